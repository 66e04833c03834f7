//! What a core holds of the connector: jobs go into its queues, answers come back through a mailbox of one message.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use crate::limits;
use crate::rt::mailbox::{Sender, mailbox};
use crate::wire::connect::{Authenticated, BackendKey, ConnectError};
use crate::wire::target::Target;

/// Open a connection.
pub struct ConnectJob {
    pub target: Arc<Target>,
    pub deadline: Instant,
    pub reply: Sender<Result<Authenticated, ConnectError>>,
}

/// Cancel what a connection is doing.
pub struct CancelJob {
    pub key: BackendKey,
    pub deadline: Instant,
    pub reply: Sender<io::Result<()>>,
}

/// A bounded queue that threads wait on.
pub struct JobQueue<T> {
    state: Mutex<(VecDeque<T>, Open)>,
    filled: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Yes,
    No,
}

impl<T> Default for JobQueue<T> {
    fn default() -> Self {
        Self { state: Mutex::new((VecDeque::new(), Open::Yes)), filled: Condvar::new() }
    }
}

impl<T> JobQueue<T> {
    /// False if the queue is full or closed; the job is dropped, and with it the way its answer would have taken.
    fn push(&self, job: T) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.1 == Open::No || state.0.len() >= limits::CONNECTOR_JOBS_MAX {
            return false;
        }
        state.0.push_back(job);
        drop(state);
        self.filled.notify_one();
        true
    }

    /// The next job; `None` once the queue is closed.
    pub fn take(&self) -> Option<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if state.1 == Open::No {
                return None;
            }
            if let Some(job) = state.0.pop_front() {
                return Some(job);
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Drops what waits and sends the threads home.
    pub fn close(&self) {
        let left = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.1 = Open::No;
            std::mem::take(&mut state.0)
        };
        drop(left);
        self.filled.notify_all();
    }
}

/// Cancellations have a queue (and a thread) of their own: they must not wait behind connections that time out.
#[derive(Default)]
pub struct JobQueues {
    pub connects: JobQueue<ConnectJob>,
    pub cancels: JobQueue<CancelJob>,
}

/// The connector as a core sees it, for one target. Cheap to clone, may go to any thread.
#[derive(Clone)]
pub struct ConnectorHandle {
    queues: Arc<JobQueues>,
    target: Arc<Target>,
}

impl ConnectorHandle {
    pub fn new(queues: Arc<JobQueues>, target: Arc<Target>) -> Self {
        Self { queues, target }
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The same threads, another database or other session attributes.
    pub fn with_target(&self, target: Arc<Target>) -> Self {
        Self { queues: self.queues.clone(), target }
    }

    /// Cancel: the connection is closed when it comes.
    pub async fn connect(&self, deadline: Instant) -> Result<Authenticated, ConnectError> {
        let (reply, mut answer) = mailbox();
        let target = self.target.clone();
        if !self.queues.connects.push(ConnectJob { target, deadline, reply }) {
            return Err(ConnectError::transient("too many connections to the database are being opened"));
        }
        let lost = || Err(ConnectError::transient("the connector stopped"));
        answer.receive().await.unwrap_or_else(lost)
    }

    /// Completes once the server has passed the cancellation on to the connection.
    pub async fn cancel(&self, key: BackendKey, deadline: Instant) -> io::Result<()> {
        let (reply, mut answer) = mailbox();
        if !self.queues.cancels.push(CancelJob { key, deadline, reply }) {
            return Err(io::Error::other("too many cancellations are waiting"));
        }
        answer.receive().await.unwrap_or_else(|| Err(io::Error::other("the connector stopped")))
    }
}
