//! A private, throw-away PostgreSQL on a unix socket, and just enough of a client to see a result's own bytes.
//! Owns: the server process and its directory; both go when the value is dropped.

use std::io::{Read, Write};
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, getuid};
use postgres_protocol::message::frontend;
use trunkline::wire::row::{DataRow, RowDescription};

/// A running server.
pub struct Server {
    process: Child,
    directory: PathBuf,
}

/// A session that asks one query after the other.
pub struct Session {
    stream: UnixStream,
}

/// What a query gave: its columns, and the bodies of its DataRow messages.
pub struct Answer {
    pub columns: RowDescription,
    pub rows: Vec<Vec<u8>>,
}

impl Server {
    pub fn start() -> Self {
        let directory = std::env::temp_dir().join(format!("trunkline-json-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        // PostgreSQL refuses to run as root.
        let user = getuid().is_root().then(|| User::from_name("postgres").unwrap().expect("a user named postgres"));
        if let Some(user) = &user {
            chown(&directory, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
        }
        let program = |name: &str| {
            let mut command = Command::new(binaries().join(name));
            command.current_dir(&directory).env("TZ", "UTC").env("LC_ALL", "C.UTF-8").stdout(Stdio::null());
            if let Some(user) = &user {
                command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
            }
            command
        };
        let mut initdb = program("initdb");
        initdb.args(["-D", "data", "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions"]);
        assert!(initdb.status().unwrap().success(), "initdb failed");
        let mut postgres = program("postgres");
        postgres.args(["-D", "data", "-F", "-c", "listen_addresses=", "-c", "log_min_messages=fatal", "-k"]);
        let process = postgres.arg(&directory).stderr(Stdio::null()).spawn().unwrap();
        Self { process, directory }
    }

    /// Opens a session, waiting until the server takes one.
    pub fn session(&self) -> Session {
        let socket = self.directory.join(".s.PGSQL.5432");
        let give_up = Instant::now() + Duration::from_secs(30);
        loop {
            match Session::open(&socket) {
                Ok(session) => return session,
                Err(error) => assert!(Instant::now() < give_up, "no session: {error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(i32::try_from(self.process.id()).unwrap()), Signal::SIGQUIT);
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// `PG_BIN`, or the newest version where Debian's packages put it, or the newest that pg_config knows.
fn binaries() -> PathBuf {
    if let Some(path) = std::env::var_os("PG_BIN") {
        return path.into();
    }
    let debian = (14..=18).rev().map(|major| PathBuf::from(format!("/usr/lib/postgresql/{major}/bin")));
    debian.into_iter().find(|path| path.join("initdb").exists()).unwrap_or_else(|| {
        let output = Command::new("pg_config").arg("--bindir").output().expect("PostgreSQL's binaries, or PG_BIN");
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
    })
}

impl Session {
    fn open(socket: &Path) -> Result<Self, String> {
        let mut session = Self { stream: UnixStream::connect(socket).map_err(|error| error.to_string())? };
        let mut message = BytesMut::new();
        frontend::startup_message([("user", "tester"), ("database", "postgres")], &mut message).unwrap();
        session.stream.write_all(&message).map_err(|error| error.to_string())?;
        session.answer().map(|_| session)
    }

    /// One query by the simple protocol, whose rows come in text format.
    pub fn query(&mut self, sql: &str) -> Answer {
        let mut message = BytesMut::new();
        frontend::query(sql, &mut message).unwrap();
        self.stream.write_all(&message).unwrap();
        self.answer().unwrap_or_else(|error| panic!("{error}\nin: {sql}"))
    }

    /// The first column of every row, NULL as `None`.
    pub fn texts(&mut self, sql: &str) -> Vec<Option<String>> {
        let first = |row: &Vec<u8>| {
            let field = DataRow::parse(row).unwrap().fields().next().unwrap();
            field.map(|text| String::from_utf8(text.to_vec()).unwrap())
        };
        self.query(sql).rows.iter().map(first).collect()
    }

    /// Reads to ReadyForQuery.
    fn answer(&mut self) -> Result<Answer, String> {
        let mut answer = Answer { columns: RowDescription::default(), rows: Vec::new() };
        let mut error = None;
        loop {
            let mut header = [0; 5];
            self.stream.read_exact(&mut header).map_err(|error| error.to_string())?;
            let [tag, len @ ..] = header;
            let mut body = vec![0; usize::try_from(u32::from_be_bytes(len)).unwrap() - 4];
            self.stream.read_exact(&mut body).map_err(|error| error.to_string())?;
            match tag {
                b'T' => answer.columns = RowDescription::parse(&body).unwrap(),
                b'D' => answer.rows.push(body),
                b'E' => error = Some(String::from_utf8_lossy(&body).replace('\0', " ")),
                b'Z' => return error.map_or(Ok(answer), Err),
                _ => {}
            }
            // A refused start-up is not followed by ReadyForQuery.
            if let (Some(error), b'E') = (&error, tag)
                && error.contains("FATAL")
            {
                return Err(error.clone());
            }
        }
    }
}
