//! Opens a connection: name resolution, every address of every host in turn, startup, authentication, the check of
//! `target_session_attrs`. Blocking code with a deadline; runs on a connector thread.
//! Messages are worded as libpq words them, because PostgREST shows them to clients and people search for them.
//! Limits: the deadline holds for everything but getaddrinfo(3), which has time-outs of its own.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use rustls::ClientConnection;
use socket2::{Domain, SockAddr, SockRef, Socket as RawSocket, TcpKeepalive, Type};

use super::handshake::{self, Failure};
use super::target::{Endpoint, Host, SessionAttrs, SslMode, Target};
use super::tls;
use super::tls_client::{self, Recipe};

/// What carries the bytes, encrypted or not.
#[derive(Debug)]
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Where one server was reached: a cancellation must go to the same address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ServerAddress {
    Tcp { host: String, address: SocketAddr },
    Unix { path: PathBuf },
}

/// Names one connection for cancellation.
#[derive(Clone)]
pub struct BackendKey {
    pub process_id: i32,
    pub(super) secret: i32,
    pub address: Arc<ServerAddress>,
    /// The connection is encrypted, so is its cancellation.
    pub(super) tls: Option<Recipe>,
}

impl fmt::Debug for BackendKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "BackendKey({} on {:?})", self.process_id, self.address)
    }
}

/// A connection that is ready for its first batch, on no loop yet.
#[derive(Debug)]
pub struct Authenticated {
    pub socket: Socket,
    /// Of TLS, where the socket speaks it.
    pub session: Option<Box<ClientConnection>>,
    pub key: BackendKey,
    /// What the server reported about itself, in its own order.
    pub parameters: Vec<(String, String)>,
    /// Bytes that were read past the end of the handshake.
    pub leftover: Vec<u8>,
}

/// Why no host gave a connection. Displays as libpq's message, lines separated by newlines, without one at the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectError {
    message: String,
    sqlstate: Option<String>,
    fatal: bool,
}

impl ConnectError {
    pub(crate) fn transient(message: impl Into<String>) -> Self {
        Self { message: message.into(), sqlstate: None, fatal: false }
    }

    /// Trying again cannot help until somebody changes the configuration.
    pub(super) fn fatal(message: impl Into<String>) -> Self {
        Self { message: message.into(), sqlstate: None, fatal: true }
    }

    pub(super) fn refused(error: &super::db_error::DbError) -> Self {
        let fatal = matches!(error.sqlstate.as_str(), "28P01" | "28000" | "3D000");
        Self { message: error.to_string(), sqlstate: Some(error.sqlstate.clone()), fatal }
    }

    /// True for what a start must not retry: a wrong password, an unknown role or database, an impossible setting.
    pub fn is_fatal(&self) -> bool {
        self.fatal
    }

    /// With the line end that libpq's messages have: what PostgREST shows as `details` of PGRST000.
    pub fn libpq_text(&self) -> String {
        format!("{self}\n")
    }

    /// Of the server's refusal, where it was the server that refused.
    pub fn sqlstate(&self) -> Option<&str> {
        self.sqlstate.as_deref()
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for ConnectError {}

/// Tries every address of every host in turn until one accepts and has the wanted session attributes.
/// A server that refuses the login ends the search, as in libpq: the other hosts would be asked with the same password.
pub fn connect(target: &Target, deadline: Instant) -> Result<Authenticated, ConnectError> {
    let mut failures = Vec::new();
    for wanted in target.session_attrs.passes() {
        for host in &target.hosts {
            match try_host(target, host, *wanted, deadline, &mut failures) {
                Ok(Some(connected)) => return Ok(connected),
                Ok(None) => {}
                Err(refusal) => {
                    failures.push(refusal.message);
                    return Err(ConnectError { message: failures.join("\n"), ..refusal });
                }
            }
        }
    }
    Err(ConnectError::transient(failures.join("\n")))
}

/// `Ok(None)`: this host gave no connection, the next one may.
fn try_host(
    target: &Target,
    host: &Host,
    wanted: SessionAttrs,
    deadline: Instant,
    failures: &mut Vec<String>,
) -> Result<Option<Authenticated>, ConnectError> {
    let addresses = match resolve(host) {
        Ok(addresses) => addresses,
        Err(message) => {
            failures.push(message);
            return Ok(None);
        }
    };
    for address in addresses {
        let try_deadline = target.connect_timeout.map_or(deadline, |timeout| deadline.min(Instant::now() + timeout));
        let place = Place(&address);
        let tcp = matches!(address, ServerAddress::Tcp { .. });
        for security in Security::of(if tcp { target.ssl_mode } else { SslMode::Disable }) {
            match attempt(target, host, &address, wanted, try_deadline, *security) {
                Ok(connected) => return Ok(Some(connected)),
                Err((Failure::NextHost(message), again)) => {
                    failures.push(format!("{place} failed: {message}"));
                    if !again {
                        break;
                    }
                }
                Err((Failure::Final(refusal), true)) => failures.push(format!("{place} failed: {}", refusal.message)),
                Err((Failure::Final(mut refusal), false)) => {
                    refusal.message = format!("{place} failed: {}", refusal.message);
                    return Err(refusal);
                }
            }
        }
    }
    Ok(None)
}

/// How one attempt is protected.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Security {
    Plain,
    /// Plain before an attempt with TLS.
    PlainFirst,
    /// TLS, or plain if the server has none; another attempt without TLS follows where it fails.
    Offered,
    Demanded,
}

impl Security {
    /// The attempts at one address, in order.
    fn of(mode: SslMode) -> &'static [Self] {
        match mode {
            SslMode::Disable => &[Self::Plain],
            SslMode::Allow => &[Self::PlainFirst, Self::Demanded],
            SslMode::Prefer => &[Self::Offered, Self::Plain],
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Self::Demanded],
        }
    }
}

/// One login at one address. The failure comes with whether the same address may be tried with other security.
fn attempt(
    target: &Target,
    host: &Host,
    address: &ServerAddress,
    wanted: SessionAttrs,
    deadline: Instant,
    security: Security,
) -> Result<Authenticated, (Failure, bool)> {
    let opened = open(target, address, deadline);
    let socket = opened.map_err(|error| (Failure::NextHost(open_failure(&error, address)), false))?;
    let mut channel = Channel { socket, session: None, deadline, input: Vec::new(), begin: 0 };
    let mut recipe = None;
    if matches!(security, Security::Offered | Security::Demanded) {
        let offered = security == Security::Offered;
        if channel.ask_for_tls().map_err(|error| (error.into(), false))? {
            let made = Recipe::new(target, address);
            let made = made.map_err(|message| (Failure::Final(ConnectError::fatal(message)), false))?;
            channel.begin_tls(&made).map_err(|error| (Failure::NextHost(tls_failure(&error, address)), offered))?;
            recipe = Some(made);
        } else if !offered {
            return Err((Failure::NextHost("server does not support SSL, but SSL was required".to_owned()), false));
        }
    }
    match handshake::shake(&mut channel, target, host, wanted) {
        Ok(handshake::Shaken { process_id, secret, parameters }) => {
            let (socket, session, leftover) = channel.into_parts().map_err(|error| (error.into(), false))?;
            let key = BackendKey { process_id, secret, address: Arc::new(address.clone()), tls: recipe };
            Ok(Authenticated { socket, session, key, parameters, leftover })
        }
        Err(failure) => {
            // pg_hba.conf may treat the two kinds of connection differently.
            let login = matches!(&failure, Failure::Final(refusal) if refusal.sqlstate().is_some_and(is_login));
            let other_left = security == Security::PlainFirst || (security == Security::Offered && recipe.is_some());
            Err((failure, login && other_left))
        }
    }
}

/// Class "invalid authorization specification".
fn is_login(sqlstate: &str) -> bool {
    sqlstate.starts_with("28")
}

fn tls_failure(error: &io::Error, address: &ServerAddress) -> String {
    use rustls::{CertificateError, Error};
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    match (cause, address) {
        (
            Some(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )),
            ServerAddress::Tcp { host, .. },
        ) => format!("server certificate does not match host name \"{host}\""),
        (Some(Error::InvalidCertificate(why)), _) => format!("SSL error: certificate verify failed ({why})"),
        (Some(other), _) => format!("SSL error: {other}"),
        (None, _) => error_text(error),
    }
}

/// Every address behind one host.
fn resolve(host: &Host) -> Result<Vec<ServerAddress>, String> {
    let tcp = |host: &str, address: SocketAddr| ServerAddress::Tcp { host: host.to_owned(), address };
    match &host.endpoint {
        Endpoint::Unix { directory } => Ok(vec![ServerAddress::Unix { path: socket_path(directory, host.port) }]),
        Endpoint::DefaultSocket => {
            let paths = Endpoint::DEFAULT_DIRECTORIES.map(|directory| socket_path(Path::new(directory), host.port));
            let [first, second] = paths;
            let path = if !first.exists() && second.exists() { second } else { first };
            Ok(vec![ServerAddress::Unix { path }])
        }
        Endpoint::Tcp { host: name, address: Some(address) } => {
            Ok(vec![tcp(name.as_deref().unwrap_or_default(), SocketAddr::new(*address, host.port))])
        }
        Endpoint::Tcp { host: name, address: None } => {
            let name = name.as_deref().unwrap_or_default();
            let failed = |why: &str| format!("could not translate host name \"{name}\" to address: {why}");
            if let Ok(address) = name.parse::<IpAddr>() {
                return Ok(vec![tcp(name, SocketAddr::new(address, host.port))]);
            }
            let found = (name, host.port).to_socket_addrs().map_err(|error| failed(&resolver_text(&error)))?;
            let mut addresses: Vec<ServerAddress> = Vec::new();
            for address in found.map(|address| tcp(name, address)) {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            if addresses.is_empty() { Err(failed("no address found")) } else { Ok(addresses) }
        }
    }
}

fn resolver_text(error: &io::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_owned()
}

fn socket_path(directory: &Path, port: u16) -> PathBuf {
    directory.join(format!(".s.PGSQL.{port}"))
}

pub(super) fn time_left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// A plain socket to the address, without a word said.
pub(super) fn open_plain(address: &ServerAddress, deadline: Instant) -> io::Result<Socket> {
    match address {
        ServerAddress::Tcp { address, .. } => {
            let socket = TcpStream::connect_timeout(address, time_left(deadline)?)?;
            socket.set_nodelay(true)?;
            Ok(Socket::Tcp(socket))
        }
        ServerAddress::Unix { path } => {
            let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
            // Bounds connect(2) too, which waits while the server's backlog is full.
            socket.set_write_timeout(Some(time_left(deadline)?))?;
            socket.connect(&unix_address(path)?)?;
            Ok(Socket::Unix(std::os::fd::OwnedFd::from(socket).into()))
        }
    }
}

/// A path beginning with `@` names a socket in Linux's abstract namespace.
fn unix_address(path: &Path) -> io::Result<SockAddr> {
    match path.to_str().and_then(|path| path.strip_prefix('@')) {
        Some(name) => SockAddr::unix(format!("\0{name}")),
        None => SockAddr::unix(path),
    }
}

fn open(target: &Target, address: &ServerAddress, deadline: Instant) -> io::Result<Socket> {
    let socket = open_plain(address, deadline)?;
    if let Socket::Tcp(tcp) = &socket {
        let raw = SockRef::from(tcp);
        let wanted = &target.keepalives;
        if wanted.enabled {
            let mut keepalive = TcpKeepalive::new();
            if let Some(idle) = wanted.idle {
                keepalive = keepalive.with_time(idle);
            }
            if let Some(interval) = wanted.interval {
                keepalive = keepalive.with_interval(interval);
            }
            if let Some(count) = wanted.count {
                keepalive = keepalive.with_retries(count);
            }
            raw.set_tcp_keepalive(&keepalive)?;
            raw.set_keepalive(true)?;
        }
        if let Some(timeout) = target.tcp_user_timeout {
            raw.set_tcp_user_timeout(Some(timeout))?;
        }
    }
    Ok(socket)
}

/// Displays as libpq names the place of an attempt.
struct Place<'a>(&'a ServerAddress);

impl fmt::Display for Place<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ServerAddress::Tcp { host, address } => {
                let (ip, port) = (address.ip().to_string(), address.port());
                if host.is_empty() || *host == ip {
                    write!(out, "connection to server at \"{ip}\", port {port}")
                } else {
                    write!(out, "connection to server at \"{host}\" ({ip}), port {port}")
                }
            }
            ServerAddress::Unix { path } => write!(out, "connection to server on socket \"{}\"", path.display()),
        }
    }
}

fn open_failure(error: &io::Error, address: &ServerAddress) -> String {
    let text = error_text(error);
    let refused = matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound);
    match address {
        ServerAddress::Tcp { .. } if refused || error.kind() == io::ErrorKind::HostUnreachable => {
            format!("{text}\n\tIs the server running on that host and accepting TCP/IP connections?")
        }
        ServerAddress::Unix { .. } if refused => {
            format!("{text}\n\tIs the server running locally and accepting connections on that socket?")
        }
        ServerAddress::Tcp { .. } | ServerAddress::Unix { .. } => text,
    }
}

/// strerror(3)'s words, without Rust's "(os error n)".
pub(super) fn error_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "timeout expired".to_owned(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            super::CLOSED_UNEXPECTEDLY.to_owned()
        }
        _ => match error.raw_os_error() {
            Some(number) => Errno::from_raw(number).desc().to_owned(),
            None => error.to_string(),
        },
    }
}

/// A blocking socket with its deadline and what was read from it.
pub(super) struct Channel {
    pub socket: Socket,
    pub session: Option<Box<ClientConnection>>,
    pub deadline: Instant,
    pub input: Vec<u8>,
    /// Where the next frame begins.
    pub begin: usize,
}

impl Channel {
    /// Asks the server for TLS. Reads one byte and no more: whatever follows it unencrypted is nobody's to trust.
    pub fn ask_for_tls(&mut self) -> io::Result<bool> {
        self.write(&tls_client::REQUEST)?;
        let mut answer = [0];
        let count = loop {
            match self.read_socket(&mut answer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        match count {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => match answer {
                [b'S'] => Ok(true),
                [b'N'] => Ok(false),
                _ => Err(io::Error::other("received invalid response to SSL negotiation")),
            },
        }
    }

    pub fn begin_tls(&mut self, recipe: &Recipe) -> io::Result<()> {
        let mut session = recipe.session()?;
        while session.is_handshaking() {
            self.flush_tls(&mut session)?;
            if session.is_handshaking() {
                self.receive_tls(&mut session)?;
            }
        }
        self.flush_tls(&mut session)?;
        self.session = Some(session);
        Ok(())
    }

    fn flush_tls(&mut self, session: &mut ClientConnection) -> io::Result<()> {
        let mut cipher = Vec::new();
        while session.wants_write() {
            session.write_tls(&mut cipher)?;
        }
        self.write_socket(&cipher)
    }

    fn receive_tls(&mut self, session: &mut ClientConnection) -> io::Result<()> {
        let mut chunk = [0; 4096];
        let count = match self.read_socket(&mut chunk) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut cipher = chunk.get(..count).unwrap_or_default();
        while !cipher.is_empty() {
            session.read_tls(&mut cipher)?;
            if let Err(error) = session.process_new_packets() {
                // The alert that tells the server why.
                let _ = self.flush_tls(session);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
        Ok(())
    }

    /// The hash of the server's certificate, for channel binding; `None` without TLS too.
    pub fn end_point(&self) -> Option<Vec<u8>> {
        let certificate = self.session.as_ref()?.peer_certificates()?.first()?;
        super::tls_binding::server_end_point(certificate)
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(mut session) = self.session.take() else { return self.write_socket(bytes) };
        let result = session.writer().write_all(bytes).and_then(|()| self.flush_tls(&mut session));
        self.session = Some(session);
        result
    }

    /// Appends what one read brings; the end of the stream is an error.
    pub fn read(&mut self) -> io::Result<()> {
        if let Some(mut session) = self.session.take() {
            let begin = self.input.len();
            let mut open = tls::drain(&mut session, &mut self.input);
            if self.input.len() == begin && matches!(open, Ok(true)) {
                open = self.receive_tls(&mut session).and_then(|()| tls::drain(&mut session, &mut self.input));
            }
            self.session = Some(session);
            // The server's farewell may come together with the end.
            return if open? || self.input.len() > begin { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        let mut chunk = [0; 4096];
        match self.read_socket(&mut chunk) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.input.extend_from_slice(chunk.get(..count).unwrap_or_default());
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn write_socket(&mut self, bytes: &[u8]) -> io::Result<()> {
        let left = Some(time_left(self.deadline)?);
        match &mut self.socket {
            Socket::Tcp(socket) => {
                socket.set_write_timeout(left)?;
                socket.write_all(bytes)
            }
            Socket::Unix(socket) => {
                socket.set_write_timeout(left)?;
                socket.write_all(bytes)
            }
        }
    }

    fn read_socket(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        let left = Some(time_left(self.deadline)?);
        match &mut self.socket {
            Socket::Tcp(socket) => {
                socket.set_read_timeout(left)?;
                socket.read(chunk)
            }
            Socket::Unix(socket) => {
                socket.set_read_timeout(left)?;
                socket.read(chunk)
            }
        }
    }

    /// The socket without its time-outs, and what was read too much.
    fn into_parts(mut self) -> io::Result<(Socket, Option<Box<ClientConnection>>, Vec<u8>)> {
        match &self.socket {
            Socket::Tcp(socket) => {
                socket.set_read_timeout(None)?;
                socket.set_write_timeout(None)?;
            }
            Socket::Unix(socket) => {
                socket.set_read_timeout(None)?;
                socket.set_write_timeout(None)?;
            }
        }
        self.input.drain(..self.begin.min(self.input.len()));
        Ok((self.socket, self.session, self.input))
    }
}
