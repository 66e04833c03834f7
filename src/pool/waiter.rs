//! A request that waits for a connection, and what it may be given.
//! Invariant: whoever is in the queue has been given nothing yet.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::lease::Lease;
use super::together::Passenger;
use super::{Held, Pool};
use crate::wire::conn::Busy;
use crate::wire::connect::ConnectError;

/// Whether a request may be sent on one connection with others that wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    Alone,
    /// It is read-only, runs no code that users wrote, and may be sent again elsewhere.
    Together,
}

pub(super) struct Waiter {
    pub sharing: Sharing,
    pub queued: Cell<bool>,
    pub gift: RefCell<Option<Gift>>,
    waker: RefCell<Option<Waker>>,
}

/// What somebody waits for.
pub(super) enum Gift {
    Connection(Held),
    /// None could be opened.
    Refusal(ConnectError),
    /// A connection that others share, to append one's batch to.
    Place(Passenger),
    /// The same connection, whose next answers are one's own.
    Turn(Lease, Busy),
    /// Those who shared it are each to find a connection of their own.
    Dissolved,
}

impl Waiter {
    pub fn new(sharing: Sharing) -> Rc<Self> {
        Rc::new(Self { sharing, queued: Cell::new(false), gift: RefCell::default(), waker: RefCell::default() })
    }

    /// To a waiter that was taken from the queue.
    pub fn give(&self, gift: Gift) {
        self.queued.set(false);
        // What is dropped may give something to others.
        drop(self.gift.replace(Some(gift)));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    pub async fn gift(&self) -> Gift {
        poll_fn(|context| match self.gift.take() {
            Some(gift) => Poll::Ready(gift),
            None => {
                *self.waker.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

/// A waiter's place in the queue, given up when the request is.
pub(super) struct Waiting<'p> {
    pub pool: &'p Rc<Pool>,
    pub waiter: Rc<Waiter>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let gift = self.waiter.gift.take();
        if self.waiter.queued.get() {
            let mut state = self.pool.state.borrow_mut();
            if let Some(index) = state.waiters.iter().position(|waiter| Rc::ptr_eq(waiter, &self.waiter)) {
                state.waiters.remove(index);
            }
        }
        // A connection that was given too late goes to the next.
        if let Some(Gift::Connection(held)) = gift {
            self.pool.arrive(held);
        }
    }
}
