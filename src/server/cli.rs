//! Flags and commands, PostgREST's and `demo`. What was asked is returned: nothing is printed or run here, but for
//! `ready`, which asks a running server's admin port.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};

use crate::config::{BindHost, Config, dump};

/// The PostgREST release whose answers these are.
pub const POSTGREST_VERSION: &str = "16.2";

/// What the command line asks for. `file` is the configuration file; without it the environment alone configures.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Asked {
    Run {
        file: Option<String>,
    },
    DumpConfig {
        file: Option<String>,
    },
    DumpSchema {
        file: Option<String>,
    },
    Ready {
        file: Option<String>,
    },
    /// A private throw-away database with sample data.
    Demo {
        port: Option<u16>,
    },
    /// Help, version, example, or a complaint about the arguments.
    Print(Exit),
}

/// The last words of a process and its exit code: 0 for success, 1 for any failure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exit {
    pub code: u8,
    pub stdout: String,
    pub stderr: String,
}

impl Exit {
    pub fn success(stdout: impl Into<String>) -> Self {
        Self { code: 0, stdout: stdout.into(), stderr: String::new() }
    }

    /// A line for people.
    pub fn failure(message: impl Into<String>) -> Self {
        Self { code: 1, stdout: String::new(), stderr: message.into() + "\n" }
    }

    /// Prints both texts. A reader that has gone away is no failure.
    pub fn finish(self) -> ExitCode {
        let _ = io::stdout().write_all(self.stdout.as_bytes()).and_then(|()| io::stdout().flush());
        let _ = io::stderr().write_all(self.stderr.as_bytes());
        ExitCode::from(self.code)
    }
}

/// Reads the arguments, the program's name first.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Asked {
    match command().try_get_matches_from(arguments) {
        Ok(matches) => asked(&matches),
        Err(error) if error.use_stderr() => {
            Asked::Print(Exit { code: 1, stdout: String::new(), stderr: error.to_string() })
        }
        Err(error) => Asked::Print(Exit::success(error.to_string())),
    }
}

/// `Trunkline 0.1.0 (PostgREST 16.2)`
pub fn version() -> String {
    format!("Trunkline {} (PostgREST {POSTGREST_VERSION})", env!("CARGO_PKG_VERSION"))
}

fn command() -> Command {
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    let port = Arg::new("port").long("port").value_name("N").value_parser(value_parser!(u16));
    let demo = Command::new("demo")
        .about("Serve sample data from a private, throw-away PostgreSQL")
        .arg(port.help("Port on 127.0.0.1 (default 3000)"));
    Command::new("trunkline")
        .about("Trunkline: a REST API to an existing PostgreSQL database, with PostgREST's answers")
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args_conflicts_with_subcommands(true)
        .arg(flag("version", "Show the version").short('v'))
        .arg(flag("example", "Show an example configuration file").short('e'))
        .arg(flag("dump-config", "Dump the loaded configuration and exit"))
        .arg(flag("dump-schema", "Dump the loaded schema cache as JSON and exit (its structure may change)"))
        .arg(flag("ready", "Ask the admin server of a running process for /ready and exit"))
        .group(ArgGroup::new("instead").args(["version", "example", "dump-config", "dump-schema", "ready"]))
        .arg(Arg::new("FILENAME").help("Path to the configuration file"))
        .subcommand(demo)
        .after_help(AFTER_HELP)
}

/// What a manual page would say beside the options.
const AFTER_HELP: &str = "\
Configuration: every option stands in FILENAME (see --example), in the environment (db-uri is PGRST_DB_URI) or, where the
reference allows it, in the database (ALTER ROLE authenticator SET pgrst.db_schemas = 'api'). The database wins over the
environment, the environment over the file. Without FILENAME the environment and libpq's PG* variables do.

Signals: SIGUSR1 reloads the schema cache, SIGUSR2 the configuration; so do NOTIFY pgrst, 'reload schema' and 'reload config'.
SIGTERM and SIGINT finish the requests under way, for 30 seconds at most; a second one does not wait.

Output: the access log on standard output, everything else on standard error. The admin server (admin-server-port) has /live,
/ready, /metrics and /schema_cache.

systemd: NOTIFY_SOCKET, WATCHDOG_USEC and sockets by LISTEN_FDS are understood; the one named admin is the admin server's.

Exit status: 0 if it ended as it was told to, 1 otherwise, with the reason on standard error.";

fn asked(matches: &ArgMatches) -> Asked {
    if let Some(("demo", demo)) = matches.subcommand() {
        return Asked::Demo { port: demo.get_one("port").copied() };
    }
    let file = matches.get_one::<String>("FILENAME").cloned();
    if matches.get_flag("version") {
        Asked::Print(Exit::success(version() + "\n"))
    } else if matches.get_flag("example") {
        Asked::Print(Exit::success(dump::EXAMPLE))
    } else if matches.get_flag("dump-config") {
        Asked::DumpConfig { file }
    } else if matches.get_flag("dump-schema") {
        Asked::DumpSchema { file }
    } else if matches.get_flag("ready") {
        Asked::Ready { file }
    } else {
        Asked::Run { file }
    }
}

/// Connecting and each read of `ready` may take this long.
const READY_SECONDS: u64 = 30;

/// Asks the admin server whether it is ready. Blocks.
pub fn ready(config: &Config) -> Exit {
    let Some(port) = config.admin_server_port else {
        return Exit::failure("ERROR: Admin server is not running. Please check admin-server-port config.");
    };
    let BindHost::Named(host) = &config.admin_server_host else {
        let host = config.admin_server_host.as_str();
        return Exit::failure(format!(
            "ERROR: The `--ready` flag cannot be used when server-host is configured as \"{host}\". \
             Please update your server-host config to \"localhost\"."
        ));
    };
    let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let url = format!("http://{authority}/ready");
    match status(host, port, &authority) {
        Ok(200..=299) => Exit::success(format!("OK: {url}\n")),
        Ok(_) => Exit::failure(format!("ERROR: {url}")),
        Err(_) => Exit::failure(format!("ERROR: connection refused to {url}")),
    }
}

/// The status of `GET /ready`, from the first of the host's addresses that takes a connection.
fn status(host: &str, port: u16, authority: &str) -> io::Result<u16> {
    let limit = Duration::from_secs(READY_SECONDS);
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, limit) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(limit))?;
                stream.set_write_timeout(Some(limit))?;
                let request = format!("GET /ready HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
                stream.write_all(request.as_bytes())?;
                return read_status(&mut stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Reads as far as the three digits of `HTTP/1.1 200`.
fn read_status(stream: &mut impl Read) -> io::Result<u16> {
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    let digits = start
        .strip_prefix(b"HTTP/1.")
        .and_then(|rest| rest.get(2..))
        .and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::tests::Given;
    use std::net::TcpListener;

    fn check(arguments: &str, expect: Asked) {
        assert_eq!(
            parse(["trunkline"].into_iter().chain(arguments.split_whitespace()).map(OsString::from)),
            expect,
            "{arguments}"
        );
    }

    #[test]
    fn flags_are_those_of_the_reference() {
        let file = || Some("a.conf".to_owned());
        check("", Asked::Run { file: None });
        check("a.conf", Asked::Run { file: file() });
        check("--dump-config", Asked::DumpConfig { file: None });
        check("--dump-config a.conf", Asked::DumpConfig { file: file() });
        check("a.conf --dump-schema", Asked::DumpSchema { file: file() });
        check("--ready a.conf", Asked::Ready { file: file() });
        check("demo", Asked::Demo { port: None });
        check("demo --port 4000", Asked::Demo { port: Some(4000) });
        check("./demo", Asked::Run { file: Some("./demo".to_owned()) });
        check("-v", Asked::Print(Exit::success("Trunkline 0.1.0 (PostgREST 16.2)\n")));
        check("--version a.conf", Asked::Print(Exit::success("Trunkline 0.1.0 (PostgREST 16.2)\n")));
        check("-e", Asked::Print(Exit::success(dump::EXAMPLE)));
    }

    #[test]
    fn help_succeeds_and_nonsense_fails() {
        let printed = |arguments: &[&str]| match parse(["trunkline"].iter().chain(arguments).map(OsString::from)) {
            Asked::Print(exit) => exit,
            other => panic!("{other:?}"),
        };
        for flag in ["-h", "--help"] {
            let help = printed(&[flag]);
            assert_eq!((help.code, help.stderr.as_str()), (0, ""));
            let options = ["--dump-config", "--dump-schema", "--ready", "--example", "--version", "FILENAME", "demo"];
            for word in options.into_iter().chain(["SIGUSR1", "PGRST_DB_URI", "Exit status", "/metrics", "LISTEN_FDS"])
            {
                assert!(help.stdout.contains(word), "{word}\n{}", help.stdout);
            }
        }
        for wrong in
            [&["--nope"][..], &["a", "b"], &["--ready", "--dump-config"], &["demo", "--port", "99999"], &["demo", "x"]]
        {
            let exit = printed(wrong);
            assert!(
                exit.code == 1 && exit.stdout.is_empty() && exit.stderr.starts_with("error:"),
                "{wrong:?} {exit:?}"
            );
        }
    }

    fn asked_of(answer: &'static [u8], extra: &str) -> (Exit, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            stream.write_all(answer).unwrap();
            String::from_utf8(head).unwrap()
        });
        let text = format!("server-host = \"127.0.0.1\"\nadmin-server-port = {port}\n{extra}");
        let config = Config::load(&Given::default().file("c", text), Some("c"), &[], None).unwrap();
        let exit = ready(&config);
        let head = server.join().unwrap();
        let shown = exit.stdout.replace(&port.to_string(), "PORT");
        (Exit { stdout: shown, stderr: exit.stderr.replace(&port.to_string(), "PORT"), ..exit }, head)
    }

    #[test]
    fn ready_asks_the_admin_server() {
        let (exit, head) = asked_of(b"HTTP/1.1 200 OK\r\n\r\n", "");
        assert_eq!(exit, Exit::success("OK: http://127.0.0.1:PORT/ready\n"));
        assert!(head.starts_with("GET /ready HTTP/1.1\r\nHost: 127.0.0.1:") && head.ends_with("\r\n\r\n"), "{head}");
        assert_eq!(
            asked_of(b"HTTP/1.1 503 Unavailable\r\n\r\n", "").0,
            Exit::failure("ERROR: http://127.0.0.1:PORT/ready")
        );
        assert_eq!(asked_of(b"nonsense that is long", "").0.code, 1);
        assert_eq!(asked_of(b"HTTP", "").0, Exit::failure("ERROR: connection refused to http://127.0.0.1:PORT/ready"));
    }

    #[test]
    fn ready_needs_an_address() {
        let exit = |text: &str| ready(&Config::load(&Given::default().file("c", text), Some("c"), &[], None).unwrap());
        assert!(exit("").stderr.contains("Please check admin-server-port config."));
        assert!(exit("admin-server-port = 3001").stderr.contains("configured as \"!4\". Please update"));
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let refused = exit(&format!("server-host = \"127.0.0.1\"\nadmin-server-port = {closed}"));
        assert_eq!(refused, Exit::failure(format!("ERROR: connection refused to http://127.0.0.1:{closed}/ready")));
    }
}
