//! A private, throw-away PostgreSQL cluster: for `trunkline demo` and for tests that need a real database.
//! Owns: a directory under the temporary directory with the data and the unix socket, and the postmaster's process.
//! Must not know: what is loaded into it.
//! Invariant: dropping a `Cluster` stops its postmaster and deletes its directory.
//! Safe by construction: the socket's directory is closed to other users, TCP stays closed unless asked for, and a
//! cluster started by root runs as another user. Survives a crash of PostgreSQL, not of the
//! machine: fsync is off.

mod binaries;
mod directory;
mod postmaster;

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::unistd::{Gid, Uid, User};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use binaries::Binaries;
use directory::Directory;
use postmaster::Postmaster;

/// The superuser that owns the cluster, and the database it starts with.
pub const SUPERUSER: &str = "postgres";
/// The database that a new cluster holds.
pub const DATABASE: &str = "postgres";

/// Where a private port is looked for: below the range that the kernel hands out to outgoing connections.
const PORTS: std::ops::Range<u16> = 20_000..32_768;
/// The port's number only names the socket file while TCP is closed.
const SOCKET_ONLY_PORT: u16 = 5432;
const READY_SECONDS: u64 = 60;
const START_TRIES: u32 = 5;
/// A socket's path must fit into 107 bytes; this leaves room for what is appended to the temporary directory.
const TEMP_PATH_BYTES_MAX: usize = 60;
/// What may stand in a connection string's value as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.');

/// How clients on 127.0.0.1 must prove who they are. The unix socket trusts everybody who can reach it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Loopback {
    /// No TCP at all.
    #[default]
    Closed,
    Trust,
    Scram,
    Md5,
    /// The password in clear text.
    Password,
}

impl Loopback {
    /// The method's name in `pg_hba.conf`.
    fn method(self) -> Option<&'static str> {
        match self {
            Self::Closed => None,
            Self::Trust => Some("trust"),
            Self::Scram => Some("scram-sha-256"),
            Self::Md5 => Some("md5"),
            Self::Password => Some("password"),
        }
    }
}

/// What a cluster should be like; `ClusterOptions::default()` is the newest PostgreSQL found, on a unix socket only.
#[derive(Clone, Debug, Default)]
pub struct ClusterOptions {
    /// The major version wanted, or whichever is newest.
    pub major: Option<u32>,
    /// The folder of the programs to use, instead of those that a search finds.
    pub bindir: Option<PathBuf>,
    pub loopback: Loopback,
    /// Lines of `postgresql.conf`, each a name and a value that needs no quoting rules beyond doubling of quotes.
    pub settings: Vec<(String, String)>,
}

/// How a postmaster is told to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shutdown {
    /// Sessions are ended, what is committed is written.
    Fast,
    /// As after a crash: nothing is written, the next start recovers.
    Immediate,
}

/// Why a cluster could not be made or used.
#[derive(Debug)]
pub enum ClusterError {
    /// No server binaries; of that major version where one was wanted.
    NotInstalled { major: Option<u32> },
    /// Only root can start a cluster for somebody else, and here nobody else exists.
    NoUser,
    /// Something of the operating system, while doing what `doing` says.
    Os { doing: String, error: io::Error },
    /// A program of PostgreSQL's refused; `output` is what it said.
    Refused { program: &'static str, output: String },
    /// The postmaster ended or did not accept connections in time; `log` is its end.
    NotReady { log: String },
}

impl fmt::Display for ClusterError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInstalled { major: None } => {
                write!(
                    out,
                    "PostgreSQL's server is not installed (no initdb in PG_BINDIR, PATH or /usr/lib/postgresql); "
                )?;
                write!(out, "install it with: apt-get install postgresql")
            }
            Self::NotInstalled { major: Some(major) } => {
                write!(out, "PostgreSQL {major} is not installed; install it with: apt-get install postgresql-{major}")
            }
            Self::NoUser => write!(out, "PostgreSQL does not run as root, and there is no user postgres or nobody"),
            Self::Os { doing, error } => write!(out, "{doing}: {error}"),
            Self::Refused { program, output } => write!(out, "{program} failed: {}", output.trim_end()),
            Self::NotReady { log } => write!(out, "PostgreSQL did not start; its log ends:\n{}", log.trim_end()),
        }
    }
}

impl std::error::Error for ClusterError {}

/// An operating system error with what was being done.
fn os(doing: impl Into<String>) -> impl FnOnce(io::Error) -> ClusterError {
    let doing = doing.into();
    move |error| ClusterError::Os { doing, error }
}

/// The user that PostgreSQL runs as, where that is not ourselves.
#[derive(Clone, Copy, Debug)]
struct Servant {
    uid: Uid,
    gid: Gid,
}

impl Servant {
    /// `None` means that PostgreSQL may run as whoever we are.
    fn find() -> Result<Option<Self>, ClusterError> {
        if !Uid::effective().is_root() {
            return Ok(None);
        }
        let known = ["postgres", "nobody"].into_iter().find_map(|name| User::from_name(name).ok().flatten());
        known.map(|user| Some(Self { uid: user.uid, gid: user.gid })).ok_or(ClusterError::NoUser)
    }
}

/// A program of PostgreSQL's with nothing of our environment, as the servant where there is one.
fn program(path: &Path, folder: &Path, servant: Option<Servant>) -> Command {
    let mut command = Command::new(path);
    command.env_clear().env("LC_ALL", "C").env("TZ", "UTC").env("PATH", "/usr/bin:/bin");
    command.current_dir(folder).stdin(Stdio::null());
    if let Some(Servant { uid, gid }) = servant {
        command.uid(uid.as_raw()).gid(gid.as_raw());
    }
    command
}

/// Runs a program to its end and returns its standard output; what it complained of is the error.
fn run(name: &'static str, mut command: Command) -> Result<String, ClusterError> {
    let output = command.output().map_err(os(format!("starting {name}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stdout));
    Err(ClusterError::Refused { program: name, output: said })
}

/// A running cluster of one's own.
pub struct Cluster {
    // Dropped in this order: the process first, then the files under it.
    postmaster: Option<Postmaster>,
    directory: Directory,
    binaries: Binaries,
    servant: Option<Servant>,
    options: ClusterOptions,
    port: u16,
    scripts: AtomicU32,
}

impl Cluster {
    /// Makes a new cluster and returns once it accepts connections.
    pub fn start(options: ClusterOptions) -> Result<Self, ClusterError> {
        let binaries = Binaries::find(options.bindir.as_deref(), options.major)?;
        let servant = Servant::find()?;
        let directory = Directory::create(&temp_folder(servant), servant)?;
        let mut initdb = program(&binaries.initdb(), directory.path(), servant);
        initdb.arg("-D").arg(directory.data()).args(["-U", SUPERUSER, "-A", "trust"]);
        initdb.args(["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]);
        run("initdb", initdb)?;
        let mut cluster = Self {
            postmaster: None,
            directory,
            binaries,
            servant,
            options,
            port: SOCKET_ONLY_PORT,
            scripts: AtomicU32::new(0),
        };
        cluster.configure_access()?;
        cluster.start_on_free_port()?;
        Ok(cluster)
    }

    /// A streaming replica of this cluster in a folder of its own, which follows until it is promoted (`pg_promote()`).
    /// Returns once it answers reads; TCP is as with the original, on a port of its own.
    pub fn standby(&self) -> Result<Self, ClusterError> {
        let directory = Directory::create(&temp_folder(self.servant), self.servant)?;
        let mut backup = program(&self.binaries.basebackup(), directory.path(), self.servant);
        backup.args(["-X", "stream", "-c", "fast", "--no-sync", "--write-recovery-conf", "-D"]).arg(directory.data());
        backup.arg("-d").arg(self.uri(SUPERUSER, DATABASE));
        run("pg_basebackup", backup)?;
        let mut standby = Self {
            postmaster: None,
            directory,
            binaries: self.binaries.clone(),
            servant: self.servant,
            options: self.options.clone(),
            port: SOCKET_ONLY_PORT,
            scripts: AtomicU32::new(0),
        };
        standby.start_on_free_port()?;
        Ok(standby)
    }

    /// The major version that runs.
    pub fn major(&self) -> u32 {
        self.binaries.major
    }

    /// The folder of PostgreSQL's programs.
    pub fn bindir(&self) -> &Path {
        &self.binaries.folder
    }

    /// The folder that holds the unix socket; `host` in libpq's words.
    pub fn socket_dir(&self) -> PathBuf {
        self.directory.socket()
    }

    /// The TCP port; where TCP is closed, the number in the socket file's name.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The connection string of a role through the unix socket, which asks for no password.
    pub fn uri(&self, role: &str, database: &str) -> String {
        let host = self.socket_dir();
        let host = utf8_percent_encode(host.to_str().unwrap_or_default(), PLAIN);
        let (role, database) = (utf8_percent_encode(role, PLAIN), utf8_percent_encode(database, PLAIN));
        format!("postgresql://{role}@/{database}?host={host}&port={}", self.port)
    }

    /// The connection string of a role through 127.0.0.1; `None` where TCP is closed.
    pub fn loopback_uri(&self, role: &str, password: &str, database: &str) -> Option<String> {
        self.options.loopback.method()?;
        let [role, password, database] = [role, password, database].map(|part| utf8_percent_encode(part, PLAIN));
        Some(format!("postgresql://{role}:{password}@127.0.0.1:{}/{database}", self.port))
    }

    /// Runs statements as superuser in the database `postgres` and returns psql's unaligned output.
    /// Each statement is its own transaction; the first that fails ends the script.
    pub fn psql(&self, sql: &str) -> Result<String, ClusterError> {
        self.psql_in(DATABASE, sql)
    }

    /// `psql` in another database.
    pub fn psql_in(&self, database: &str, sql: &str) -> Result<String, ClusterError> {
        let number = self.scripts.fetch_add(1, Ordering::Relaxed);
        let script = self.directory.path().join(format!("script-{number}.sql"));
        let written = fs::File::create_new(&script).and_then(|mut file| file.write_all(sql.as_bytes()));
        written.map_err(os("writing a script"))?;
        let done = self.psql_file(database, &script, &[]);
        fs::remove_file(&script).map_err(os("removing a script"))?;
        done
    }

    /// Runs a file's statements as superuser, with `options` as the session's settings (`-c name=value` words).
    pub fn psql_file(&self, database: &str, file: &Path, options: &[&str]) -> Result<String, ClusterError> {
        let mut psql = program(&self.binaries.psql(), self.directory.path(), None);
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "--dbname"]);
        psql.arg(self.uri(SUPERUSER, database)).arg("-f").arg(file);
        psql.env("PGCLIENTENCODING", "UTF8").env("PGOPTIONS", options.join(" "));
        run("psql", psql).map(|output| output.trim_end_matches('\n').to_owned())
    }

    /// Ends the postmaster; the data stay until the cluster is dropped.
    pub fn stop(&mut self, how: Shutdown) -> Result<(), ClusterError> {
        match self.postmaster.take() {
            Some(postmaster) => postmaster.stop(how).map_err(os("stopping PostgreSQL")),
            None => Ok(()),
        }
    }

    /// Starts the postmaster again after `stop`, on the same port and data; returns once it accepts connections.
    pub fn start_again(&mut self) -> Result<(), ClusterError> {
        if self.postmaster.is_none() {
            let mut postgres = program(&self.binaries.postgres(), self.directory.path(), self.servant);
            postgres.arg("-D").arg(self.directory.data());
            let postmaster = Postmaster::spawn(postgres)?;
            postmaster.wait_ready(Duration::from_secs(READY_SECONDS))?;
            self.postmaster = Some(postmaster);
        }
        Ok(())
    }

    /// `stop` and `start_again`.
    pub fn restart(&mut self, how: Shutdown) -> Result<(), ClusterError> {
        self.stop(how)?;
        self.start_again()
    }

    /// The postmaster's process id, while it runs.
    pub fn postmaster_pid(&self) -> Option<u32> {
        self.postmaster.as_ref().map(Postmaster::pid)
    }

    /// The end of the running postmaster's log.
    pub fn log(&self) -> String {
        self.postmaster.as_ref().map(Postmaster::log).unwrap_or_default()
    }

    /// Who may connect, and from where.
    fn configure_access(&self) -> Result<(), ClusterError> {
        let mut rules = "local all all trust\nlocal replication all trust\n".to_owned();
        if let Some(method) = self.options.loopback.method() {
            rules.push_str(&format!("host all all 127.0.0.1/32 {method}\n"));
        }
        fs::write(self.directory.data().join("pg_hba.conf"), rules).map_err(os("writing pg_hba.conf"))
    }

    /// A port that was free a moment ago may be taken by the time PostgreSQL binds it: then another is tried.
    fn start_on_free_port(&mut self) -> Result<(), ClusterError> {
        let path = self.directory.data().join("postgresql.conf");
        let defaults = fs::read_to_string(&path).map_err(os("reading postgresql.conf"))?;
        let mut tries = 0;
        loop {
            if self.options.loopback != Loopback::Closed {
                self.port = free_port().map_err(os("looking for a free port"))?;
            }
            fs::write(&path, self.settings(&defaults)).map_err(os("writing postgresql.conf"))?;
            tries += 1;
            match self.start_again() {
                Err(ClusterError::NotReady { log })
                    if tries < START_TRIES && log.contains("Address already in use") => {}
                done => return done,
            }
        }
    }

    fn settings(&self, defaults: &str) -> String {
        let (socket, port) = (self.socket_dir(), self.port.to_string());
        let listen = if self.options.loopback == Loopback::Closed { "" } else { "127.0.0.1" };
        let encryption = if self.options.loopback == Loopback::Md5 { "md5" } else { "scram-sha-256" };
        let ours = [
            ("listen_addresses", listen),
            ("port", &port),
            ("unix_socket_directories", socket.to_str().unwrap_or_default()),
            ("password_encryption", encryption),
            ("fsync", "off"),
            ("full_page_writes", "off"),
            ("logging_collector", "off"),
            ("log_destination", "stderr"),
            ("timezone", "UTC"),
            ("lc_messages", "C"),
        ];
        let wanted = self.options.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut text = defaults.to_owned();
        for (name, value) in ours.into_iter().chain(wanted) {
            text.push_str(&format!("{name} = '{}'\n", value.replace('\'', "''")));
        }
        text
    }
}

/// The temporary directory, or `/tmp` where a socket's path below it would be too long or the servant cannot reach it.
fn temp_folder(servant: Option<Servant>) -> PathBuf {
    let given = std::env::temp_dir();
    let open = |folder: &Path| fs::metadata(folder).is_ok_and(|found| found.mode() & 0o001 != 0);
    let reached = servant.is_none() || given.ancestors().all(open);
    if reached && given.as_os_str().len() <= TEMP_PATH_BYTES_MAX { given } else { PathBuf::from("/tmp") }
}

/// A TCP port of 127.0.0.1 that nothing listens on, below the range of outgoing connections. Somebody else may take it
/// before its caller does: bind at once, and try another where that fails.
pub fn free_port() -> io::Result<u16> {
    static TURN: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.subsec_nanos());
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    // Processes that start together must not all begin at the same port.
    let seed = nanos.wrapping_add(std::process::id().wrapping_mul(7919)).wrapping_add(turn.wrapping_mul(104_729));
    let width = u32::from(PORTS.end - PORTS.start);
    for step in 0..width {
        let Ok(offset) = u16::try_from((seed % width + step) % width) else { continue };
        let port = PORTS.start + offset;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "every port from 20000 to 32767 is taken"))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use nix::sys::signal::SigSet;

    use super::*;

    fn check(options: ClusterOptions, sql: &str, expect: &str) -> Cluster {
        let cluster = Cluster::start(options).expect("a cluster");
        assert_eq!(cluster.psql(sql).expect("psql"), expect, "{sql}");
        cluster
    }

    #[test]
    fn a_cluster_answers_survives_a_crash_and_leaves_nothing() {
        let mut cluster = check(
            ClusterOptions { settings: vec![("autovacuum".into(), "off".into())], ..Default::default() },
            "SELECT current_user, current_setting('server_encoding'), current_setting('autovacuum'), \
             datcollate FROM pg_database WHERE datname = current_database()",
            "postgres|UTF8|off|C.UTF-8",
        );
        let root = cluster.directory.path().to_owned();
        cluster.psql("CREATE TABLE kept AS SELECT 'naïve'::text AS word").expect("create");
        for how in [Shutdown::Immediate, Shutdown::Fast] {
            cluster.restart(how).expect("restart");
            assert_eq!(cluster.psql("TABLE kept").expect("psql"), "naïve", "{how:?}");
        }
        cluster.stop(Shutdown::Fast).expect("stop");
        assert!(cluster.psql("SELECT 1").is_err(), "a stopped cluster must not answer");
        cluster.start_again().expect("start");
        drop(cluster);
        assert!(!root.exists(), "{} is still there", root.display());
    }

    #[test]
    fn a_standby_follows_and_can_be_promoted() {
        let mut primary = check(ClusterOptions::default(), "CREATE TABLE kept AS SELECT 1 AS one", "");
        let standby = primary.standby().expect("a standby");
        assert_eq!(standby.psql("SELECT pg_is_in_recovery(), one FROM kept").expect("psql"), "t|1");
        assert!(standby.psql("DROP TABLE kept").is_err(), "a standby must not write");
        primary.stop(Shutdown::Immediate).expect("stop");
        assert_eq!(
            standby.psql("SELECT pg_promote(); INSERT INTO kept VALUES (2); TABLE kept").expect("psql"),
            "t\n1\n2"
        );
    }

    #[test]
    fn a_caller_that_blocks_signals_can_stop_it_all_the_same() {
        SigSet::all().thread_block().expect("a mask");
        let mut cluster = check(ClusterOptions::default(), "SELECT 1", "1");
        let start = Instant::now();
        cluster.stop(Shutdown::Fast).expect("an end");
        assert!(start.elapsed() < Duration::from_secs(10), "the first signal was not heard");
    }

    #[test]
    fn loopback_asks_for_the_password() {
        let options = ClusterOptions { loopback: Loopback::Scram, ..Default::default() };
        let cluster = check(options, "CREATE ROLE someone LOGIN PASSWORD 'it''s @ secret'; SELECT 1", "1");
        assert!(PORTS.contains(&cluster.port()));
        for (password, accepted) in [("it's @ secret", true), ("wrong", false)] {
            let mut psql = program(&cluster.binaries.psql(), cluster.directory.path(), None);
            psql.args(["-X", "-w", "-c", "SELECT 1", "--dbname"]);
            psql.arg(cluster.loopback_uri("someone", password, DATABASE).expect("a loopback URI"));
            assert_eq!(run("psql", psql).is_ok(), accepted, "{password}");
        }
    }

    #[test]
    fn a_bad_setting_is_told_with_the_servers_own_words() {
        let options = ClusterOptions { settings: vec![("work_mem".into(), "plenty".into())], ..Default::default() };
        let error = Cluster::start(options).err().expect("an error").to_string();
        assert!(error.contains("work_mem"), "{error}");
    }

    #[test]
    fn a_script_that_fails_says_why() {
        let cluster = check(ClusterOptions::default(), "SELECT 1; SELECT 2", "1\n2");
        let error = cluster.psql("SELECT no_such_column").expect_err("an error").to_string();
        assert!(error.contains("no_such_column"), "{error}");
        assert!(cluster.psql_in("no_such_database", "SELECT 1").is_err());
        assert_eq!(cluster.loopback_uri("someone", "", DATABASE), None);
    }

    #[test]
    fn free_ports_are_private_and_can_be_bound() {
        let port = free_port().expect("a port");
        assert!(PORTS.contains(&port));
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
    }
}
