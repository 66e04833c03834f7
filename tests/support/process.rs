//! The real server as a process: started with a configuration, asked over real sockets, ended by its id.
#![allow(dead_code)] // Shared: no test binary needs all of it.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use trunkline::server::cluster::free_port;

/// Neither a process's end nor a port's opening can be waited for: both are asked for this often.
const POLL: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(20);

static STARTED: AtomicU32 = AtomicU32::new(0);

/// How a server process is started.
#[derive(Clone, Default)]
pub struct Options {
    /// Lines of the configuration file beside host and ports.
    pub config: String,
    pub environment: Vec<(String, String)>,
    /// A unix socket instead of a port.
    pub unix_socket: Option<PathBuf>,
    /// The process's hard limit of open files.
    pub descriptors_max: Option<u64>,
    /// Output goes into a pipe that nobody reads instead of the log.
    pub unread_output: bool,
    /// Handed over as a service manager does it: descriptor 3.
    pub handed: Option<Arc<OwnedFd>>,
}

pub struct Process {
    pub api: SocketAddr,
    pub admin: SocketAddr,
    child: Child,
    folder: PathBuf,
    /// What stands in the configuration file before the test's own lines.
    preamble: String,
}

impl Process {
    /// Starts the server; it may not be ready yet.
    pub fn spawn(options: &Options) -> Self {
        let port = || SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().unwrap()));
        let (api, admin) = (port(), port());
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("trunkline-process-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let listen = match &options.unix_socket {
            Some(path) => format!("server-unix-socket = \"{}\"\n", path.display()),
            None => format!("server-host = \"127.0.0.1\"\nserver-port = {}\n", api.port()),
        };
        let preamble = format!("{listen}admin-server-port = {}\n", admin.port());
        let config_file = folder.join("trunkline.conf");
        fs::write(&config_file, format!("{preamble}{}\n", options.config)).unwrap();
        let log = File::create(folder.join("log")).unwrap();
        let binary = env!("CARGO_BIN_EXE_trunkline");
        let through_shell = |before: String| {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(format!("{before} exec \"$0\" \"$1\"")).arg(binary);
            shell
        };
        let mut command = match (options.descriptors_max, &options.handed) {
            (Some(max), _) => through_shell(format!("ulimit -n {max};")),
            (None, Some(_)) => through_shell("exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1".to_owned()),
            (None, None) => Command::new(binary),
        };
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("PG")) {
                command.env_remove(name);
            }
        }
        let stdin = options.handed.as_ref().map_or_else(Stdio::null, |fd| Stdio::from(fd.try_clone().unwrap()));
        command.arg(&config_file).stdin(stdin);
        if options.unread_output {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        } else {
            command.stdout(log.try_clone().unwrap()).stderr(log);
        }
        command.envs(options.environment.iter().map(|(name, value)| (name, value)));
        Self { api, admin, child: command.spawn().unwrap(), folder, preamble }
    }

    /// Replaces the test's own lines of the configuration file.
    pub fn rewrite_config(&self, config: &str) {
        fs::write(self.folder.join("trunkline.conf"), format!("{}{config}\n", self.preamble)).unwrap();
    }

    pub fn start(options: &Options) -> Self {
        let mut process = Self::spawn(options);
        process.wait_ready();
        process
    }

    /// Waits until `/ready` answers 200.
    pub fn wait_ready(&mut self) {
        self.wait_until("ready", |process| get(process.admin, "/ready").is_ok_and(|reply| reply.status == 200));
    }

    /// Asks `done` until it holds; panics with the log where it never does.
    pub fn wait_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the server ended ({status}) before it was {what}:\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "not {what} in time:\n{}", self.log());
            thread::sleep(POLL);
        }
    }

    /// Waits until the log says `text`, whether or not the server ends then.
    pub fn wait_for_log(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "{text:?} was not said:\n{}", self.log());
            thread::sleep(POLL);
        }
    }

    pub fn log(&self) -> String {
        fs::read(self.folder.join("log")).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits for the process to end by itself.
    pub fn wait_exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server did not end:\n{}", self.log());
            thread::sleep(POLL);
        }
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most that resident memory has ever been.
    pub fn peak_bytes(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// One GET on a connection of its own.
pub fn get(address: SocketAddr, path: &str) -> io::Result<Reply> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    ask(stream, path)
}

/// One GET on a stream that is closed afterwards.
pub fn ask(mut stream: impl Read + Write, path: &str) -> io::Result<Reply> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
    read_reply(&mut BufReader::new(stream))
}

/// One POST of JSON on a connection of its own.
pub fn post(address: SocketAddr, path: &str, body: &str) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )?;
    read_reply(&mut BufReader::new(stream))
}

/// Reads one reply with a Content-Length or chunked body.
pub fn read_reply(stream: &mut impl BufRead) -> io::Result<Reply> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut reply = Reply { status, headers, body: Vec::new() };
    if reply.header("Transfer-Encoding") == Some("chunked") {
        loop {
            line.clear();
            stream.read_line(&mut line)?;
            let bytes = usize::from_str_radix(line.trim(), 16).map_err(|_| io::ErrorKind::InvalidData)?;
            let begin = reply.body.len();
            reply.body.resize(begin + bytes, 0);
            stream.read_exact(&mut reply.body[begin..])?;
            stream.read_line(&mut line)?;
            if bytes == 0 {
                break;
            }
        }
    } else if let Some(length) = reply.header("Content-Length") {
        reply.body = vec![0; length.parse().map_err(|_| io::ErrorKind::InvalidData)?];
        stream.read_exact(&mut reply.body)?;
    }
    Ok(reply)
}
