//! What the control plane publishes and the cores read: whole immutable values behind one pointer.
//! Invariant: no field of a published value ever changes; a core picks the newest up once per request.

use std::sync::Arc;

use arc_swap::ArcSwap;

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

/// The one place where the control plane writes.
#[derive(Debug)]
pub struct Publisher(ArcSwap<Published>);

impl Publisher {
    pub fn new(config: Config) -> Arc<Self> {
        let first = Published { config: Arc::new(config), catalog: None, retry_after_seconds: 1, version: 0 };
        Arc::new(Self(ArcSwap::from_pointee(first)))
    }

    pub fn current(&self) -> Arc<Published> {
        self.0.load_full()
    }

    /// Publishes what `change` makes of the current value. Only the reload thread calls it, so nothing is lost.
    pub fn publish(&self, change: impl FnOnce(&Published) -> Published) {
        let current = self.0.load();
        let mut next = change(&current);
        next.version = current.version + 1;
        self.0.store(Arc::new(next));
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
        Arc::ptr_eq(&self.0.0.load(), seen)
    }

    pub fn snapshot(&self) -> Arc<Published> {
        self.0.current()
    }
}
