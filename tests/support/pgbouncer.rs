//! The real PgBouncer in front of a private cluster, on a port of its own. Runs as the user that PostgreSQL runs as, because
//! it refuses to run as root. Dropping it ends the process and deletes its folder.
//! Limits: where PgBouncer isn't installed, `start` says so and gives nothing.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use trunkline::server::cluster::{Cluster, free_port};

const POLL: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(20);

/// The first version with `max_prepared_statements`.
const KEEPS_STATEMENTS: (u32, u32) = (1, 21);

static STARTED: AtomicU32 = AtomicU32::new(0);

pub struct PgBouncer {
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    child: Child,
}

impl PgBouncer {
    /// `settings` are lines of the section `[pgbouncer]`. It keeps no prepared statements unless they say so.
    pub fn start(cluster: &Cluster, settings: &str) -> Option<Self> {
        let Some(program) = find() else {
            let _ = writeln!(std::io::stdout(), "PgBouncer is not installed (apt-get install pgbouncer): not tested");
            return None;
        };
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("trunkline-pgbouncer-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let port = free_port().unwrap();
        let keeps = if version(&program) >= KEEPS_STATEMENTS && !settings.contains("max_prepared_statements") {
            "max_prepared_statements = 0"
        } else {
            ""
        };
        let server = format!("host={} port={}", cluster.socket_dir().display(), cluster.port());
        let config = format!(
            "[databases]\n* = {server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = trust\nauth_file = {}\nserver_login_retry = 1\n{settings}\n{keeps}\n",
            folder.join("users").display()
        );
        fs::write(folder.join("users"), "\"authenticator\" \"\"\n").unwrap();
        fs::write(folder.join("pgbouncer.ini"), config).unwrap();
        let mut started = Self { child: spawn(&program, &folder), program, folder, port };
        started.await_readiness();
        Some(started)
    }

    pub fn uri(&self, database: &str) -> String {
        format!("postgresql://authenticator@127.0.0.1:{}/{database}", self.port)
    }

    /// Whether this version can keep prepared statements.
    pub fn can_keep_statements(&self) -> bool {
        version(&self.program) >= KEEPS_STATEMENTS
    }

    /// Ends it as it is, transactions and all, and starts it again after `meanwhile`.
    pub fn restart(&mut self, meanwhile: impl FnOnce()) {
        self.end();
        meanwhile();
        self.child = spawn(&self.program, &self.folder);
        self.await_readiness();
    }

    fn await_readiness(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.child.try_wait().unwrap().is_some();
            assert!(!ended && Instant::now() < deadline, "PgBouncer did not start:\n{}", self.log());
            thread::sleep(POLL);
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn end(&mut self) {
        // SIGTERM is PgBouncer's immediate shutdown.
        let _ = kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        self.end();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Debian puts it where only root looks for programs.
fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join("pgbouncer")).find(|program| program.exists())
}

/// Major and minor.
fn version(program: &Path) -> (u32, u32) {
    let output = Command::new(program).arg("--version").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut numbers = text.split_whitespace().nth(1).unwrap().split('.').map(|part| part.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

fn spawn(program: &Path, folder: &Path) -> Child {
    let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
    let mut command = Command::new(program);
    if geteuid().is_root() {
        let user = ["postgres", "nobody"].iter().find_map(|name| User::from_name(name).unwrap()).expect("a servant");
        chown(folder, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command.arg(folder.join("pgbouncer.ini")).current_dir(folder).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(log).spawn().unwrap()
}
