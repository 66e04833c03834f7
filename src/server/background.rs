//! Work that nobody waits for, on a thread that runs when the machine has nothing else to do: building a catalog from the
//! rows of a reload, taking apart the one that it replaces. At any higher priority tens of milliseconds of a busy processor
//! show in the requests' p99, a nice value notwithstanding.
//! Limits: `limits::BACKGROUND_JOBS_MAX`; past it a job runs where it comes from. `limits::BACKGROUND_PATIENCE_SECONDS`: on a
//! machine that is never idle the work is done at the usual priority after that.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use crate::limits;
use crate::sys::priority::run_when_idle;

type Job = Box<dyn FnOnce() + Send>;

/// Sends jobs to the thread, which ends with the last handle.
#[derive(Clone, Debug)]
pub struct Background(SyncSender<Job>);

impl Background {
    pub fn start() -> io::Result<Self> {
        let (jobs, inbox) = sync_channel::<Job>(limits::BACKGROUND_JOBS_MAX);
        thread::Builder::new().name("background".to_owned()).spawn(move || {
            // Where that is forbidden the work is done all the same.
            let _ = run_when_idle();
            for job in inbox {
                job();
            }
        })?;
        Ok(Self(jobs))
    }

    /// Lets go of `value` there.
    pub fn drop(&self, value: impl Send + 'static) {
        self.send(Box::new(move || drop(value)));
    }

    /// What `work` returns, made there, or here if it isn't ready in time.
    pub fn make<T: Send + 'static>(&self, work: impl Fn() -> T + Send + Sync + 'static) -> T {
        let work = Arc::new(work);
        let (done, result) = sync_channel(1);
        let there = work.clone();
        self.send(Box::new(move || drop(done.send(there()))));
        let patience = Duration::from_secs(limits::BACKGROUND_PATIENCE_SECONDS);
        result.recv_timeout(patience).unwrap_or_else(|_| work())
    }

    fn send(&self, job: Job) {
        if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = self.0.try_send(job) {
            job();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::ThreadId;

    struct Tells(SyncSender<ThreadId>);

    impl Drop for Tells {
        fn drop(&mut self) {
            // Whoever wants to know may have gone.
            let _ = self.0.send(thread::current().id());
        }
    }

    #[test]
    fn values_are_made_and_dropped_elsewhere() {
        let background = Background::start().unwrap();
        let there = background.make(|| thread::current().id());
        assert_ne!(there, thread::current().id());
        let (sender, receiver) = sync_channel(1);
        background.drop(Tells(sender));
        assert_eq!(receiver.recv().unwrap(), there);
    }

    #[test]
    fn a_full_queue_makes_nobody_wait() {
        let background = Background::start().unwrap();
        let (release, held) = sync_channel::<()>(0);
        let (begun, begins) = sync_channel::<()>(0);
        background.send(Box::new(move || {
            begun.send(()).unwrap();
            held.recv().unwrap();
        }));
        begins.recv().unwrap();
        let (sender, receiver) = sync_channel(limits::BACKGROUND_JOBS_MAX + 1);
        for _ in 0..limits::BACKGROUND_JOBS_MAX + 1 {
            background.drop(Tells(sender.clone()));
        }
        assert_eq!(receiver.recv().unwrap(), thread::current().id());
        release.send(()).unwrap();
        assert_ne!(receiver.recv().unwrap(), thread::current().id());
    }
}
