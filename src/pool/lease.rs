//! A connection on loan to one request.
//! Limits: `limits::CANCEL_SECONDS`.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::together::Together;
use super::{Held, Place, Pool};
use crate::wire::conn::Idle;
use crate::wire::connect::BackendKey;
use crate::{limits, rt};

/// Between two cancellations of the same query, doubled each time.
const CANCEL_PAUSE: Duration = Duration::from_millis(20);
const CANCEL_PAUSE_MAX: Duration = Duration::from_secs(2);

/// A connection on loan. Dropped while the connection is out, it frees the place for a new one; dropped before `take`, it
/// gives the connection back.
pub struct Lease {
    pool: Rc<Pool>,
    place: Option<(Place, Instant)>,
    /// Before it is taken.
    idle: Option<Idle>,
    /// Who else has batches on it.
    pub(super) together: Option<Rc<Together>>,
}

impl Lease {
    pub(super) fn new(held: Held) -> Self {
        let Held { place, idle, expires } = held;
        Self { pool: place.pool.clone(), place: Some((place, expires)), idle: Some(idle), together: None }
    }

    /// The connection, once.
    pub fn take(&mut self) -> Idle {
        match self.idle.take() {
            Some(idle) => idle,
            None => unreachable!("a lease's connection is taken once"),
        }
    }

    /// Gives the connection to the next.
    pub fn put_back(mut self, mut idle: Idle) {
        self.together = None;
        if let Some((place, expires)) = self.place.take() {
            let (new, mut sum) = (idle.take_statement_counts(), self.pool.statements.get());
            sum.requests += new.requests;
            sum.hits += new.hits;
            self.pool.statements.set(sum);
            self.pool.tell(|| format!("{} is available due to session success", idle.name()));
            self.pool.arrive(Held { place, idle, expires });
        }
    }

    /// Cancels what the connection with this key is doing until `reading` ends; one that fails or comes before the statement
    /// began is sent again. Until `Busy::settle` has run after that, the connection must not go back: the cancellation could
    /// still hit whatever is sent next. Whoever shares the connection goes alone.
    pub async fn cancel_until<F: Future>(&self, key: &BackendKey, mut reading: Pin<&mut F>) -> F::Output {
        self.go_alone();
        let mut pause = CANCEL_PAUSE;
        loop {
            let deadline = Instant::now() + Duration::from_secs(limits::CANCEL_SECONDS);
            let _: io::Result<()> = self.pool.connector.cancel(key.clone(), deadline).await;
            if let Some(done) = rt::within_borrowed(reading.as_mut(), pause).await {
                return done;
            }
            pause = (pause * 2).min(CANCEL_PAUSE_MAX);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.go_alone();
        if let (Some(idle), Some((place, expires))) = (self.idle.take(), self.place.take()) {
            self.pool.arrive(Held { place, idle, expires });
        }
    }
}
