//! How the server is: what the admin endpoints report. Written by the reload thread and boot, read by the admin server.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

/// Where the schema cache is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CacheState {
    /// Not tried yet.
    Initial,
    /// Loading, or recovering: the last try failed and the next one comes.
    Pending,
    Loaded,
}

/// The connection that listens for reload messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListenerState {
    /// Not wanted.
    Off,
    /// Wanted, and not there.
    Down,
    Up,
}

/// How loading went since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loads {
    pub succeeded: u64,
    pub failed: u64,
    /// What the last successful one's queries took.
    pub query_time: Duration,
}

#[derive(Debug, Default)]
pub struct Readiness {
    cache: AtomicU8,
    /// The API socket is bound and served.
    live: AtomicBool,
    listener: AtomicU8,
    loads_succeeded: AtomicU64,
    loads_failed: AtomicU64,
    query_us: AtomicU64,
}

impl Readiness {
    pub fn set_cache(&self, state: CacheState) {
        self.cache.store(state as u8, Ordering::Release);
    }

    pub fn set_live(&self, live: bool) {
        self.live.store(live, Ordering::Release);
    }

    pub fn set_listener(&self, state: ListenerState) {
        self.listener.store(state as u8, Ordering::Release);
    }

    pub fn listener_is_up(&self) -> bool {
        self.listener.load(Ordering::Acquire) == ListenerState::Up as u8
    }

    pub fn count_load(&self, query_time: Duration) {
        self.query_us.store(u64::try_from(query_time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.loads_succeeded.fetch_add(1, Ordering::Relaxed);
    }

    pub fn count_failed_load(&self) {
        self.loads_failed.fetch_add(1, Ordering::Relaxed);
    }

    pub fn loads(&self) -> Loads {
        Loads {
            succeeded: self.loads_succeeded.load(Ordering::Relaxed),
            failed: self.loads_failed.load(Ordering::Relaxed),
            query_time: Duration::from_micros(self.query_us.load(Ordering::Relaxed)),
        }
    }

    /// Status of `/live`.
    pub fn live_status(&self) -> u16 {
        if self.live.load(Ordering::Acquire) { 200 } else { 500 }
    }

    /// Status of `/ready`: 503 while loading or recovering or while the listener is away, 500 while the API isn't served.
    pub fn ready_status(&self) -> u16 {
        let cache = self.cache.load(Ordering::Acquire);
        let listener = self.listener.load(Ordering::Acquire);
        if cache != CacheState::Loaded as u8 || listener == ListenerState::Down as u8 {
            503
        } else if self.live.load(Ordering::Acquire) {
            200
        } else {
            500
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_needs_both_and_live_only_the_socket() {
        let readiness = Readiness::default();
        assert_eq!((readiness.live_status(), readiness.ready_status()), (500, 503));
        readiness.set_live(true);
        assert_eq!((readiness.live_status(), readiness.ready_status()), (200, 503));
        readiness.set_cache(CacheState::Loaded);
        assert_eq!(readiness.ready_status(), 200);
        readiness.set_live(false);
        assert_eq!((readiness.live_status(), readiness.ready_status()), (500, 500));
        readiness.set_cache(CacheState::Pending);
        assert_eq!(readiness.ready_status(), 503);
        readiness.set_cache(CacheState::Loaded);
        readiness.set_live(true);
        for (state, expect) in [(ListenerState::Down, 503), (ListenerState::Up, 200), (ListenerState::Off, 200)] {
            readiness.set_listener(state);
            assert_eq!(readiness.ready_status(), expect, "{state:?}");
        }
    }
}
