//! The threads that open connections to PostgreSQL and deliver cancellations, with blocking sockets and deadlines.
//! (SCRAM costs 6 ms of CPU, getaddrinfo may take seconds: neither belongs on an event loop.)
//! Dropping the `Connector` sends the threads home after the job they are at.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use crate::pool::handle::{ConnectorHandle, JobQueues};
use crate::wire;
use crate::wire::target::Target;

/// Owns the threads.
pub struct Connector(Arc<JobQueues>);

/// So that one host that does not answer does not keep the others waiting.
const CONNECTING_THREADS_MIN: usize = 2;

impl Connector {
    /// Starts `connecting_threads` (at least two) and one that cancels.
    pub fn start(connecting_threads: usize) -> io::Result<Self> {
        let queues = Arc::new(JobQueues::default());
        let connector = Self(queues.clone());
        for number in 0..connecting_threads.max(CONNECTING_THREADS_MIN) {
            let queues = queues.clone();
            let thread = thread::Builder::new().name(format!("connect-{number}"));
            thread.spawn(move || {
                while let Some(job) = queues.connects.take() {
                    // A job that panics takes its reply along; the thread lives on.
                    let _ = catch_unwind(AssertUnwindSafe(|| {
                        let _ = job.reply.send(wire::connect::connect(&job.target, job.deadline));
                    }));
                }
            })?;
        }
        thread::Builder::new().name("cancel".to_owned()).spawn(move || {
            while let Some(job) = queues.cancels.take() {
                let _ = catch_unwind(AssertUnwindSafe(|| {
                    let _ = job.reply.send(wire::cancel::cancel(&job.key, job.deadline));
                }));
            }
        })?;
        Ok(connector)
    }

    pub fn handle(&self, target: Arc<Target>) -> ConnectorHandle {
        ConnectorHandle::new(self.0.clone(), target)
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        self.0.connects.close();
        self.0.cancels.close();
    }
}
