//! Tells a supervisor how far the server is (systemd's notification protocol, sd_notify(3)): a line to the datagram socket
//! that `NOTIFY_SOCKET` names. Without that variable nothing happens, and a supervisor that does not listen is no failure.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// What there is to tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// The API is served, be it with 503 as long as PostgreSQL is away.
    Serving,
    /// Requests in flight are being finished.
    Stopping,
}

impl Progress {
    fn message(self) -> &'static [u8] {
        match self {
            Self::Serving => b"READY=1\n",
            Self::Stopping => b"STOPPING=1\n",
        }
    }
}

pub fn tell(progress: Progress) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let _ = name.to_str().map_or_else(|| Err(io::ErrorKind::InvalidInput.into()), |name| send(name, progress));
}

/// A name that begins with `@` is in the abstract namespace.
fn send(name: &str, progress: Progress) -> io::Result<()> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A supervisor whose queue is full must not keep us from serving.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(progress.message(), &address).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_names_are_reached() {
        let path = std::env::temp_dir().join(format!("trunkline-notify-{}", std::process::id()));
        let name = format!("trunkline-notify-{}", std::process::id());
        let files = UnixDatagram::bind(&path).unwrap();
        let hidden = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let cases = [
            (files, path.to_str().unwrap().to_owned(), Progress::Serving),
            (hidden, format!("@{name}"), Progress::Stopping),
        ];
        for (socket, name, progress) in cases {
            send(&name, progress).unwrap();
            let mut buffer = [0; 64];
            let count = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..count], progress.message());
        }
        std::fs::remove_file(&path).unwrap();
        assert!(send(path.to_str().unwrap(), Progress::Serving).is_err());
    }
}
