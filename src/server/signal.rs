//! Signals, taken one by one on a thread of their own: no handler runs anywhere.
//! Invariant: `block` runs before the first thread is started, so that every thread inherits the mask.

use std::io;
use std::thread;

use nix::sys::signal::{SigSet, Signal};

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// SIGTERM, SIGINT: finish what is in flight and end; the second one ends at once.
    Stop,
    /// SIGUSR1
    ReloadSchemaCache,
    /// SIGUSR2
    ReloadConfig,
}

fn set() -> SigSet {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGUSR1, Signal::SIGUSR2] {
        set.add(signal);
    }
    set
}

/// Keeps the signals from their default action in this thread and all that it starts.
pub fn block() -> io::Result<()> {
    set().thread_block().map_err(io::Error::from)
}

/// Starts the thread that waits for signals and hands on what they ask for.
pub fn listen(mut hand_on: impl FnMut(Asked) + Send + 'static) -> io::Result<()> {
    let waiting = set();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        loop {
            match waiting.wait() {
                Ok(Signal::SIGUSR1) => hand_on(Asked::ReloadSchemaCache),
                Ok(Signal::SIGUSR2) => hand_on(Asked::ReloadConfig),
                Ok(_) => hand_on(Asked::Stop),
                // sigwait fails only for an invalid set.
                Err(_) => return,
            }
        }
    })?;
    Ok(())
}
