//! Tells a supervisor how far the server is (systemd's notification protocol, sd_notify(3)): a line to the datagram socket
//! that `NOTIFY_SOCKET` names. Without that variable nothing happens, and a supervisor that does not listen is no failure.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};

/// What there is to tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// The API is served, be it with 503 as long as PostgreSQL is away.
    Serving,
    /// The schema cache, and the configuration where that is asked for, are being loaded again; requests go on meanwhile.
    Reloading,
    /// That is over, well or not: what was loaded last is served.
    Reloaded,
    /// Every core answers (`WATCHDOG_USEC`).
    Alive,
    /// Requests in flight are being finished.
    Stopping,
}

impl Progress {
    fn message(self) -> String {
        match self {
            Self::Serving | Self::Reloaded => "READY=1\n".to_owned(),
            Self::Reloading => format!("RELOADING=1\nMONOTONIC_USEC={}\n", monotonic_us()),
            Self::Alive => "WATCHDOG=1\n".to_owned(),
            Self::Stopping => "STOPPING=1\n".to_owned(),
        }
    }
}

/// What systemd compares with the time at which it asked.
fn monotonic_us() -> i64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |now| now.num_microseconds())
}

/// How often the supervisor wants to hear that the process lives: half of the time that it grants.
pub fn watchdog() -> Option<Duration> {
    let variable = |name: &str| std::env::var(name).ok();
    watchdog_of(variable, std::process::id())
}

fn watchdog_of(variable: impl Fn(&str) -> Option<String>, pid: u32) -> Option<Duration> {
    let number = |name: &str| variable(name).and_then(|text| text.parse::<u64>().ok());
    let for_us = variable("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(u64::from(pid));
    number("WATCHDOG_USEC").filter(|&us| us > 0 && for_us).map(|us| Duration::from_micros(us / 2))
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
    socket.send_to_addr(progress.message().as_bytes(), &address).map(|_| ())
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
            assert_eq!(&buffer[..count], progress.message().as_bytes());
        }
        std::fs::remove_file(&path).unwrap();
        assert!(send(path.to_str().unwrap(), Progress::Serving).is_err());
    }

    #[test]
    fn the_watchdog_is_fed_twice_in_its_time() {
        let check = |us: &str, pid: &str, expect| {
            let variable = |name: &str| {
                let value = if name == "WATCHDOG_PID" { pid } else { us };
                (!value.is_empty()).then(|| value.to_owned())
            };
            assert_eq!(watchdog_of(variable, 7), expect, "{us} {pid}");
        };
        check("3000000", "7", Some(Duration::from_millis(1500)));
        check("3000000", "", Some(Duration::from_millis(1500)));
        check("3000000", "8", None);
        check("0", "7", None);
        check("soon", "", None);
        check("", "7", None);
    }
}
