//! Messages from any thread to one core, and one-shot answers. Used to hand over sockets and connections, never on the
//! path of a request that has what it needs.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

#[derive(Debug)]
struct Shared<T> {
    queue: VecDeque<T>,
    waker: Option<Waker>,
    senders: usize,
    receiver_alive: bool,
}

fn lock<T>(shared: &Mutex<Shared<T>>) -> MutexGuard<'_, Shared<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
pub struct Sender<T>(Arc<Mutex<Shared<T>>>);

/// The one reading end. Dropping it makes every later `send` return its message.
#[derive(Debug)]
pub struct Receiver<T>(Arc<Mutex<Shared<T>>>);

pub fn mailbox<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Shared { queue: VecDeque::new(), waker: None, senders: 1, receiver_alive: true };
    let shared = Arc::new(Mutex::new(shared));
    (Sender(shared.clone()), Receiver(shared))
}

impl<T> Sender<T> {
    /// Never blocks for longer than another `send`. The message comes back if nobody will read it.
    pub fn send(&self, message: T) -> Result<(), T> {
        let waker = {
            let mut shared = lock(&self.0);
            if !shared.receiver_alive {
                return Err(message);
            }
            shared.queue.push_back(message);
            shared.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        lock(&self.0).senders += 1;
        Self(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let waker = {
            let mut shared = lock(&self.0);
            shared.senders -= 1;
            if shared.senders == 0 { shared.waker.take() } else { None }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Receiver<T> {
    /// The next message; `None` once every sender is gone and the queue is empty.
    pub async fn receive(&mut self) -> Option<T> {
        poll_fn(|context| {
            let mut shared = lock(&self.0);
            if let Some(message) = shared.queue.pop_front() {
                return Poll::Ready(Some(message));
            }
            if shared.senders == 0 {
                return Poll::Ready(None);
            }
            shared.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// What is there now, without waiting.
    pub fn try_receive(&mut self) -> Option<T> {
        lock(&self.0).queue.pop_front()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let left = {
            let mut shared = lock(&self.0);
            shared.receiver_alive = false;
            std::mem::take(&mut shared.queue)
        };
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::{self, Driver};

    #[test]
    fn messages_cross_threads_in_order_on_both_drivers() {
        for driver in [Driver::Epoll, rt::driver()] {
            let (sender, mut receiver) = mailbox();
            let thread = std::thread::spawn(move || {
                for number in 0..1000 {
                    sender.send(number).unwrap();
                }
            });
            let seen = rt::run(driver, async move {
                let mut seen = Vec::new();
                while let Some(number) = receiver.receive().await {
                    seen.push(number);
                }
                seen
            });
            thread.join().unwrap();
            assert_eq!(seen.unwrap(), (0..1000).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_message_that_nobody_reads_comes_back() {
        let (sender, receiver) = mailbox();
        drop(receiver);
        assert_eq!(sender.send(7), Err(7));
    }
}
