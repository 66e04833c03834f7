//! How urgently the kernel runs a thread.

use std::io;

use nix::libc;

/// From now on the calling thread runs only when its processor has nothing else to do, nearly: it gets about a third of a
/// percent beside one busy thread, and whoever wakes goes before it at once. There is no way back without a privilege.
pub fn run_when_idle() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 names the calling thread; the kernel reads one structure, which lives until the call returns.
    let done = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Field 41 of the thread's stat file; its name in parentheses may hold blanks.
    fn policy() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        stat.rsplit(')').next().unwrap().split_whitespace().nth(38).unwrap().parse().unwrap()
    }

    #[test]
    fn one_thread_yields_and_the_others_do_not() {
        let before = policy();
        let inside = std::thread::spawn(move || {
            run_when_idle().unwrap();
            policy()
        });
        assert_eq!((inside.join().unwrap(), policy()), (libc::SCHED_IDLE, before));
    }
}
