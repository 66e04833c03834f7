//! Acts on a socket through its number, where the socket itself is owned by a task that is busy with it.
//! The caller guarantees that the number still names that socket: `rt::Watched` is dropped before its stream is.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Ends both directions: a read or write in flight completes with end-of-stream or an error.
pub fn shutdown(fd: RawFd) {
    // ENOTCONN means that the peer was faster.
    let _ = nix::sys::socket::shutdown(fd, nix::sys::socket::Shutdown::Both);
}

/// Takes over a descriptor that this process was started with and that nobody else in it knows of. It is not handed on to
/// programs that this one starts.
pub fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: only borrowed to ask whether it is open at all.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    // SAFETY: it is open, and the caller guarantees that it is nobody's: `activation::take` runs once, before anything else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Ends the reading direction: a read completes with what has come already, or with end-of-stream. The peer isn't told.
pub fn shutdown_reading(fd: RawFd) {
    let _ = nix::sys::socket::shutdown(fd, nix::sys::socket::Shutdown::Read);
}

/// poll(2)'s "the peer closed its writing half"; nix has no name for it.
const RDHUP: PollFlags = PollFlags::from_bits_retain(nix::libc::POLLRDHUP);

/// True once the peer has closed its side or the connection is broken, whatever bytes are still unread.
pub fn peer_closed(fd: RawFd) -> bool {
    if fd < 0 {
        return true;
    }
    // SAFETY: only asked between `watch` and the drop of its guard, while the stream that owns `fd` is alive.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let mut polled = [PollFd::new(fd, RDHUP)];
    // Only RDHUP is asked for, and HUP, ERR and NVAL come unasked: whatever is reported means gone.
    matches!(poll(&mut polled, PollTimeout::ZERO), Ok(events) if events > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_open_is_not_adopted() {
        for fd in [-1, RawFd::MAX] {
            assert!(adopt(fd).is_err(), "{fd}");
        }
    }
}
