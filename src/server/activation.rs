//! Sockets that a service manager has bound and hands over (systemd's socket activation, sd_listen_fds(3)): `LISTEN_FDS`
//! descriptors from 3 on, meant for the process `LISTEN_PID`. One that is named `admin` (`LISTEN_FDNAMES`) is the admin server's,
//! every other the API's. They take the place of configured ports and sockets.
//! Invariant: `take` runs once, before anything else could own one of these descriptors.

use std::io;
use std::os::fd::RawFd;

use socket2::{Domain, Socket, Type};

use super::acceptor::Listener;
use crate::sys;

/// What was handed over; empty without a service manager.
#[derive(Debug, Default)]
pub struct Handed {
    pub api: Vec<Listener>,
    pub admin: Option<Listener>,
}

const FIRST_FD: RawFd = 3;
const ADMIN: &str = "admin";

/// Takes the sockets of this process's environment. An error names the descriptor.
pub fn take() -> io::Result<Handed> {
    let variable = |name: &str| std::env::var(name).ok();
    let fds = named(variable, std::process::id());
    let mut handed = Handed::default();
    for (fd, name) in fds {
        let listener =
            listener(fd).map_err(|error| io::Error::new(error.kind(), format!("descriptor {fd}: {error}")))?;
        if name == ADMIN && handed.admin.is_none() {
            handed.admin = Some(listener);
        } else {
            handed.api.push(listener);
        }
    }
    Ok(handed)
}

/// The descriptors for the process `pid` with their names. What can't be understood is for somebody else.
fn named(variable: impl Fn(&str) -> Option<String>, pid: u32) -> Vec<(RawFd, String)> {
    let number = |name: &str| variable(name).and_then(|text| text.parse::<u32>().ok());
    let count = number("LISTEN_FDS").filter(|_| number("LISTEN_PID") == Some(pid)).unwrap_or(0);
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let fds = (FIRST_FD..).take(usize::try_from(count).unwrap_or(0));
    fds.map(|fd| (fd, names.next().unwrap_or_default().to_owned())).collect()
}

fn listener(fd: RawFd) -> io::Result<Listener> {
    let socket = Socket::from(sys::fd::adopt(fd)?);
    if socket.r#type()? != Type::STREAM || !socket.is_listener()? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a stream socket that listens"));
    }
    // The flag is shared with the service manager, which does not accept.
    socket.set_nonblocking(true)?;
    match socket.domain()? {
        Domain::IPV4 | Domain::IPV6 => Ok(Listener::HandedTcp(socket.into())),
        Domain::UNIX => Ok(Listener::HandedUnix(socket.into())),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "neither TCP nor a unix socket")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_those_of_this_process() {
        let check = |pid: &str, fds: &str, names: &str, expect: &[(RawFd, &str)]| {
            let variable = |name: &str| {
                let value = match name {
                    "LISTEN_PID" => pid,
                    "LISTEN_FDS" => fds,
                    _ => names,
                };
                (!value.is_empty()).then(|| value.to_owned())
            };
            let found = named(variable, 7);
            let found: Vec<(RawFd, &str)> = found.iter().map(|(fd, name)| (*fd, name.as_str())).collect();
            assert_eq!(found, expect, "{pid} {fds} {names}");
        };
        check("7", "1", "", &[(3, "")]);
        check("7", "3", "api:admin", &[(3, "api"), (4, "admin"), (5, "")]);
        check("8", "1", "", &[]);
        check("", "1", "", &[]);
        check("7", "", "api", &[]);
        check("7", "-1", "", &[]);
        check("7", "many", "", &[]);
    }
}
