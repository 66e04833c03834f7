//! A private, throw-away PostgreSQL for one test: a fresh cluster in a temporary directory, reached by unix socket only.
//! Owns: the directory and the server process; both end with the value.
//! Limits: needs PostgreSQL's server programs, in `TRUNKLINE_PG_BIN` or where Debian puts version 15.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub struct PrivatePostgres {
    server: Child,
    home: PathBuf,
}

impl PrivatePostgres {
    /// Makes a cluster and returns once it takes connections. `name` keeps parallel tests apart.
    pub fn start(name: &str) -> Self {
        let home = std::env::temp_dir().join(format!("trunkline-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&home).expect("a temporary directory");
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&home));
        }
        let data = home.join("data");
        let mut initdb = as_postgres();
        initdb.arg(program("initdb")).arg("-D").arg(&data);
        run(initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"]));
        let mut postgres = as_postgres();
        postgres.arg(program("postgres")).arg("-D").arg(&data).arg("-k").arg(&home);
        postgres.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "log_min_messages=log"]);
        let server = postgres.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("postgres starts");
        let mut started = Self { server, home };
        started.await_readiness();
        started
    }

    /// Connection string for a database of this cluster.
    pub fn uri(&self, user: &str, database: &str) -> String {
        format!("postgresql:///{database}?host={}&user={user}", self.home.display())
    }

    /// Makes the database `conformance` and loads the corpus's fixture into it.
    pub fn load_conformance_fixture(&self) {
        self.psql("postgres", "postgres", "CREATE DATABASE conformance");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/load.sh");
        run(Command::new("bash").arg(script).arg(self.uri("postgres", "conformance")));
    }

    /// Runs a script and returns what it prints: fields end with `\x1f`, rows with `\x1e`, null is `\x1d`.
    pub fn psql(&self, user: &str, database: &str, script: &str) -> String {
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-P", "null=\x1d", "-F", "\x1f", "-R", "\x1e"]);
        command.arg("--dbname").arg(self.uri(user, database)).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("psql starts");
        let mut input = child.stdin.take().expect("piped");
        let script = script.to_owned();
        // Written from the side: psql may print more than a pipe holds before it has read everything.
        let writer = std::thread::spawn(move || input.write_all(script.as_bytes()));
        let output = child.wait_with_output().expect("psql ends");
        writer.join().expect("no panic").expect("psql reads its script");
        assert!(output.status.success(), "psql failed");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn await_readiness(&mut self) {
        let mut lines = BufReader::new(self.server.stderr.take().expect("piped")).lines();
        let mut said = Vec::new();
        loop {
            match lines.next() {
                Some(Ok(line)) if line.contains("ready to accept connections") => break,
                Some(Ok(line)) => said.push(line),
                Some(Err(_)) | None => panic!("PostgreSQL did not start: {said:#?}"),
            }
        }
        // Its log is read to the end, or a full pipe would stop it.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        let pid = i32::try_from(self.server.id()).expect("a process id");
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGQUIT);
        let _ = self.server.wait();
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

/// PostgreSQL refuses to run as root; the server goes when the test's thread goes, whatever ends it.
fn as_postgres() -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid", "postgres", "--regid", "postgres", "--init-groups"]);
    }
    command.args(["--pdeathsig", "QUIT"]).current_dir(std::env::temp_dir());
    command
}

fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("TRUNKLINE_PG_BIN").unwrap_or_else(|| "/usr/lib/postgresql/15/bin".into());
    let path = Path::new(&folder).join(name);
    assert!(path.exists(), "{} is missing: set TRUNKLINE_PG_BIN", path.display());
    path
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
