//! Accepts client connections on one thread and deals each to the core with the fewest.
//! Dealing beats the kernel's hashing: 24 connections over 8 cores come out as 3 each.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};

use crate::limits;
use crate::observe::metric::CoreSample;
use crate::observe::{Event, Log};
use crate::rt::mailbox::Sender;

/// A socket on its way to a core.
#[derive(Debug)]
pub enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

/// What a core is sent.
#[derive(Debug)]
pub enum CoreMessage {
    Client(Accepted),
    /// Say what was counted.
    Scrape(Sender<CoreSample>),
    /// Finish what is in flight, close what is idle, then end.
    Drain,
}

/// Where the acceptor finds a core.
#[derive(Clone, Debug)]
pub struct CoreHandle {
    pub messages: Sender<CoreMessage>,
    /// Client connections the core has or has been sent.
    pub clients: Arc<AtomicUsize>,
}

/// A bound socket that isn't served yet.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
    /// From a service manager, which keeps it: it must not be shut down, and clients that are not accepted wait in it for
    /// the next start.
    HandedTcp(TcpListener),
    HandedUnix(UnixListener),
}

/// Whether another process may bind the same port beside us (`server-reuseport`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortSharing {
    Exclusive,
    Shared,
}

/// Binds the first of `addresses` that can be bound.
pub fn bind_tcp(addresses: &[SocketAddr], sharing: PortSharing) -> io::Result<Listener> {
    let mut failure = io::Error::new(io::ErrorKind::AddrNotAvailable, "no address to listen on");
    for &address in addresses {
        match bind_one(address, sharing) {
            Ok(listener) => return Ok(Listener::Tcp(listener)),
            Err(error) => failure = io::Error::new(error.kind(), format!("{address}: {error}")),
        }
    }
    Err(failure)
}

fn bind_one(address: SocketAddr, sharing: PortSharing) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // `::` also takes IPv4 clients where nothing else does; PostgREST's `*` relies on it.
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(sharing == PortSharing::Shared)?;
    socket.bind(&address.into())?;
    socket.listen(limits::LISTEN_BACKLOG)?;
    Ok(socket.into())
}

/// Binds a unix socket with the given mode. A stale file that is a socket nobody listens on is replaced.
pub fn bind_unix(path: &Path, mode: u32) -> io::Result<Listener> {
    if let Ok(metadata) = fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is not a socket", path.display())));
        }
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, format!("{} is in use", path.display())));
        }
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(Listener::Unix(listener, path.to_owned()))
}

impl Listener {
    /// The address as the log shows it: `127.0.0.1:3000` or the socket's path.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(listener) | Self::HandedTcp(listener) => {
                listener.local_addr().map_or_else(|_| "?".to_owned(), |address| address.to_string())
            }
            Self::Unix(_, path) => path.display().to_string(),
            Self::HandedUnix(listener) => {
                let address = listener.local_addr().ok();
                let path = address.and_then(|address| address.as_pathname().map(|path| path.display().to_string()));
                path.unwrap_or_else(|| "a unix socket without a name".to_owned())
            }
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) | Self::HandedTcp(listener) => listener.as_fd(),
            Self::Unix(listener, _) | Self::HandedUnix(listener) => listener.as_fd(),
        }
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(listener) | Self::HandedTcp(listener) => listener.set_nonblocking(true),
            Self::Unix(listener, _) | Self::HandedUnix(listener) => listener.set_nonblocking(true),
        }
    }

    fn is_handed(&self) -> bool {
        matches!(self, Self::HandedTcp(_) | Self::HandedUnix(_))
    }

    fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) | Self::HandedTcp(listener) => {
                let (socket, peer) = listener.accept()?;
                // A response is one write: waiting for more would only delay it.
                socket.set_nodelay(true)?;
                Ok(Accepted::Tcp(socket, peer))
            }
            Self::Unix(listener, _) | Self::HandedUnix(listener) => {
                listener.accept().map(|(socket, _)| Accepted::Unix(socket))
            }
        }
    }
}

/// A socket filter that drops the first segment of a connection and lets everything else through. The client sends it
/// again a second later, and the kernel then gives it to whoever listens on the port by then; without it, connections that
/// come between the last accept and the close are reset.
const IGNORE_SYN: [SockFilter; 4] = {
    const FLAGS_AT: u32 = 13;
    const SYN: u32 = 2;
    const LOAD_BYTE: u16 = 0x30;
    const JUMP_IF_ANY_SET: u16 = 0x45;
    const RETURN: u16 = 0x06;
    [
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS_AT),
        SockFilter::new(JUMP_IF_ANY_SET, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ]
};

/// The accepting thread.
#[derive(Debug)]
pub struct Acceptor {
    listener: Arc<Listener>,
    stopping: Arc<AtomicBool>,
    /// Closed to wake the accepting thread.
    wake: UnixStream,
    thread: JoinHandle<()>,
}

impl Acceptor {
    pub fn start(listener: Listener, cores: Vec<CoreHandle>, log: Log) -> io::Result<Self> {
        listener.set_nonblocking()?;
        let listener = Arc::new(listener);
        let stopping = Arc::new(AtomicBool::new(false));
        let (accepting, stop) = (listener.clone(), stopping.clone());
        let (wake, woken) = UnixStream::pair()?;
        let thread = thread::Builder::new()
            .name("acceptor".to_owned())
            .spawn(move || accept_all(&accepting, &woken, &cores, &stop, &log))?;
        Ok(Self { listener, stopping, wake, thread })
    }

    /// Accepts what the kernel has queued and no more. Removes a unix socket's file.
    /// On a shared port there is time for the other process to take over before this one's socket closes.
    pub fn stop(self, sharing: PortSharing) {
        let last_ms = match sharing {
            PortSharing::Shared => limits::HAND_OVER_MS,
            PortSharing::Exclusive => limits::LAST_CONNECTIONS_MS,
        };
        match self.listener.as_ref() {
            Listener::Tcp(listener) => {
                if SockRef::from(listener).attach_filter(&IGNORE_SYN).is_ok() {
                    thread::sleep(Duration::from_millis(last_ms));
                }
            }
            Listener::Unix(_, path) => drop(fs::remove_file(path)),
            Listener::HandedTcp(_) | Listener::HandedUnix(_) => {}
        }
        self.stopping.store(true, Ordering::Release);
        drop(self.wake);
        let _ = self.thread.join();
    }
}

/// Waits for a client, or for `woken` to be closed.
fn wait_for_client(listener: &Listener, woken: &UnixStream) {
    let mut both = [listener.fd(), woken.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    // An interruption is a client that isn't there.
    let _ = poll(&mut both, PollTimeout::NONE);
}

/// Until `stopping` is set, and then until the queue is empty. The queue of a handed socket is the next process's.
fn accept_all(listener: &Listener, woken: &UnixStream, cores: &[CoreHandle], stopping: &AtomicBool, log: &Log) {
    let mut queued_max = limits::LISTEN_BACKLOG;
    loop {
        // Asked first: a connection that is queued before the end is accepted.
        let last = stopping.load(Ordering::Acquire);
        if last && (listener.is_handed() || queued_max == 0) {
            return;
        }
        queued_max -= i32::from(last);
        match listener.accept() {
            Ok(accepted) => deal(accepted, cores),
            Err(_) if last => return,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_for_client(listener, woken),
            Err(error) if is_no_client(&error) => {}
            Err(error) => {
                // Out of descriptors mostly: waiting lets connections end, spinning would not.
                log.event(&Event::AcceptFailed { error: error.to_string() });
                thread::sleep(Duration::from_millis(limits::ACCEPT_BACKOFF_MS));
            }
        }
    }
}

/// There was one, and it left.
fn is_no_client(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
}

fn deal(accepted: Accepted, cores: &[CoreHandle]) {
    let Some(core) = cores.iter().min_by_key(|core| core.clients.load(Ordering::Relaxed)) else { return };
    if core.clients.load(Ordering::Relaxed) >= limits::CLIENTS_PER_CORE_MAX {
        return;
    }
    core.clients.fetch_add(1, Ordering::Relaxed);
    if core.messages.send(CoreMessage::Client(accepted)).is_err() {
        core.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_socket_file_is_replaced_and_a_live_or_foreign_one_is_not() {
        let folder = std::env::temp_dir().join(format!("trunkline-acceptor-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("socket");
        drop(UnixListener::bind(&path).unwrap());
        let listener = bind_unix(&path, 0o660).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert_eq!(bind_unix(&path, 0o660).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        let file = folder.join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(bind_unix(&file, 0o660).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn connections_go_to_the_core_with_the_fewest() {
        let core = |clients| {
            let (messages, receiver) = crate::rt::mailbox::mailbox();
            (CoreHandle { messages, clients: Arc::new(AtomicUsize::new(clients)) }, receiver)
        };
        let ((busy, mut busy_inbox), (free, mut free_inbox)) = (core(3), core(1));
        let cores = [busy, free];
        for _ in 0..2 {
            deal(Accepted::Unix(UnixStream::pair().unwrap().0), &cores);
        }
        assert_eq!(cores.each_ref().map(|core| core.clients.load(Ordering::Relaxed)), [3, 3]);
        assert!(busy_inbox.try_receive().is_none());
        assert!(free_inbox.try_receive().is_some() && free_inbox.try_receive().is_some());
    }
}
