//! Arguments in, exit code out.

use std::io;
use std::process::ExitCode;

use trunkline::config::Config;
use trunkline::config::dump::dump;
use trunkline::config::source::{Outside, Process};
use trunkline::server::boot::{self, BootError};
use trunkline::server::cli::{self, Asked, Exit};
use trunkline::server::reload::ConfigReader;
use trunkline::server::{demo, signal};

/// Gives freed memory back: one large request must not keep the process large.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let asked = cli::parse(std::env::args_os());
    if let Err(error) = signal::block() {
        return Exit::failure(format!("signals: {error}")).finish();
    }
    let outcome = match asked {
        Asked::Run { file } => run(file),
        Asked::Demo { port } => run_demo(port.unwrap_or(demo::PORT)),
        Asked::DumpConfig { file } => dump_config(file),
        Asked::DumpSchema { file } => dump_schema(file),
        Asked::Ready { file } => load(file.as_deref()).map(|config| cli::ready(&config).finish()),
        Asked::Print(exit) => Ok(exit.finish()),
    };
    outcome.unwrap_or_else(|BootError(message)| Exit::failure(message).finish())
}

fn load(file: Option<&str>) -> Result<Config, BootError> {
    Config::load(&Process, file, &[], None).map_err(|error| BootError(error.to_string()))
}

/// The configuration of file and environment, and how it is read again with the database's settings.
fn load_with_reader(file: Option<String>) -> Result<(Config, ConfigReader), BootError> {
    let config = load(file.as_deref())?;
    let uri = config.db_uri.clone();
    let again: ConfigReader = Box::new(move |database| {
        Config::load(&Process, file.as_deref(), database, Some(&uri)).map_err(|error| error.to_string())
    });
    Ok((config, again))
}

fn run(file: Option<String>) -> Result<ExitCode, BootError> {
    let (config, again) = load_with_reader(file)?;
    boot::run(config, again)
}

fn dump_config(file: Option<String>) -> Result<ExitCode, BootError> {
    let (config, again) = load_with_reader(file)?;
    let (config, complaint) = boot::with_database_settings(config, &again)?;
    let stderr = complaint.map_or_else(String::new, |complaint| complaint + "\n");
    Ok(Exit { stderr, ..Exit::success(dump(&config)) }.finish())
}

fn dump_schema(file: Option<String>) -> Result<ExitCode, BootError> {
    let (config, again) = load_with_reader(file)?;
    boot::dump_schema(&config, &again).map(|json| Exit::success(json).finish())
}

/// The demo's configuration, as if it were the only file there is.
struct DemoFile(String);

const DEMO_FILE: &str = "demo.conf";

impl Outside for DemoFile {
    fn read_file(&self, path: &str) -> io::Result<Vec<u8>> {
        if path == DEMO_FILE { Ok(self.0.clone().into_bytes()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn variable(&self, _name: &str) -> Option<String> {
        None
    }

    fn variables(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

fn run_demo(port: u16) -> Result<ExitCode, BootError> {
    let served = demo::run(port, &mut io::stdout(), |text| {
        let file = DemoFile(text.to_owned());
        let read = move |database: &[(String, String)]| {
            Config::load(&file, Some(DEMO_FILE), database, None).map_err(|error| error.to_string())
        };
        boot::run(read(&[]).map_err(BootError)?, Box::new(read))
    });
    served.map_err(|error| BootError(error.to_string()))?
}
