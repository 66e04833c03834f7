//! What the control plane publishes and the cores read: whole immutable values behind one pointer.
//! Invariants: no field of a published value ever changes; a core picks the newest up once per request; the last reference
//! to a value is never a core's (`Retired`), so that taking a large catalog apart is no request's latency.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;

use super::background::Background;
use crate::catalog::Catalog;
use crate::config::Config;

/// Everything a request depends on that isn't the request.
#[derive(Clone, Debug)]
pub struct Published {
    pub config: Arc<Config>,
    /// `None` until the first load has succeeded.
    pub catalog: Option<Arc<Catalog>>,
    /// Seconds until the next try while PostgreSQL is away: `Retry-After`.
    pub retry_after_seconds: u32,
    /// Counts publications; caches built from an older one are dropped.
    pub version: u64,
}

/// The one place where the control plane writes; cores write one flag.
#[derive(Debug)]
pub struct Publisher {
    published: ArcSwap<Published>,
    /// Some core was asked something. Written once for all requests between two looks, so that cores only read it.
    asked: AtomicBool,
}

impl Publisher {
    pub fn new(config: Config) -> Arc<Self> {
        let first = Published { config: Arc::new(config), catalog: None, retry_after_seconds: 1, version: 0 };
        Arc::new(Self { published: ArcSwap::from_pointee(first), asked: AtomicBool::new(false) })
    }

    pub fn current(&self) -> Arc<Published> {
        self.published.load_full()
    }

    /// Whether there were requests since the last time.
    pub fn take_asked(&self) -> bool {
        self.asked.swap(false, Ordering::Relaxed)
    }

    /// Publishes what `change` makes of the current value; what it was goes to `retired`. Only the reload thread calls it,
    /// so nothing is lost.
    pub fn publish(&self, retired: &Retired, change: impl FnOnce(&Published) -> Published) {
        let next = {
            let current = self.published.load();
            Published { version: current.version + 1, ..change(&current) }
        };
        retired.published.borrow_mut().push(self.published.swap(Arc::new(next)));
        retired.sweep();
    }
}

/// Values that were replaced and that a core may still read: held here until no core does, then taken apart in the
/// background.
#[derive(Debug)]
pub struct Retired {
    published: RefCell<Vec<Arc<Published>>>,
    /// Where that happens.
    pub background: Background,
}

impl Retired {
    pub fn start() -> io::Result<Self> {
        Ok(Self { published: RefCell::default(), background: Background::start()? })
    }

    /// Lets go of what nobody reads any more. Whoever still does had it before it was replaced: nobody can come anew.
    pub fn sweep(&self) {
        let unread = |published: &mut Arc<Published>| Arc::strong_count(published) == 1;
        let swept: Vec<_> = self.published.borrow_mut().extract_if(.., unread).collect();
        if !swept.is_empty() {
            self.background.drop(swept);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.published.borrow().is_empty()
    }
}

/// A core's view of what is published.
#[derive(Debug)]
pub struct Follower(Arc<Publisher>);

impl Follower {
    pub fn new(publisher: Arc<Publisher>) -> Self {
        Self(publisher)
    }

    /// Whether nothing newer than `seen` was published; touches no count that cores share.
    pub fn is_current(&self, seen: &Arc<Published>) -> bool {
        Arc::ptr_eq(&self.0.published.load(), seen)
    }

    /// A request has come.
    pub fn note_asked(&self) {
        if !self.0.asked.load(Ordering::Relaxed) {
            self.0.asked.store(true, Ordering::Relaxed);
        }
    }

    pub fn snapshot(&self) -> Arc<Published> {
        self.0.current()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::tests::Given;
    use std::time::{Duration, Instant};

    #[test]
    fn the_last_reference_is_dropped_by_the_sweep_and_not_by_a_core() {
        let config = Config::load(&Given::default(), None, &[], None).unwrap();
        let (publisher, retired) = (Publisher::new(config), Retired::start().unwrap());
        let core = Follower::new(publisher.clone());
        let seen = core.snapshot();
        let old = Arc::downgrade(&seen);
        publisher.publish(&retired, Published::clone);
        assert!(!core.is_current(&seen) && core.snapshot().version == 1);
        retired.sweep();
        assert!(!retired.is_empty(), "a core still reads it");
        drop(seen);
        assert!(old.upgrade().is_some(), "the core's was not the last");
        retired.sweep();
        assert!(retired.is_empty());
        let deadline = Instant::now() + Duration::from_secs(20);
        while old.strong_count() > 0 {
            assert!(Instant::now() < deadline, "it is still there");
            std::thread::yield_now();
        }
    }
}
