//! Several reads that wait, sent together on one connection (`server-db-pipeline`). PostgreSQL goes from one transaction to
//! the next without sleeping in between, and few connections serve many clients.
//! The connection goes from hand to hand: each request appends its batch, the last one sends them all, and each reads its
//! own answers in the same order.
//! Must not know: what the batches say.
//! Invariants: whoever holds the lease holds the connection; whoever waits is given it or told that the rest is dissolved.
//! What can't go on as planned (a slow statement in front, a cancellation, a broken connection) dissolves it: those who wait
//! each find a connection of their own and send their batch again, which `Sharing::Together` allows. A batch is sent twice at
//! most: the second time it is alone.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::lease::Lease;
use super::waiter::{Gift, Sharing, Waiter};
use super::{Leased, Pool};
use crate::rt;
use crate::wire::conn::Busy;

/// Those whose batches are on one connection, in order.
pub(super) struct Together {
    members: Vec<Rc<Waiter>>,
    /// The first that has not been given its turn to read.
    next: Cell<usize>,
    dissolved: Cell<bool>,
    patience: Duration,
}

/// One of them, from its batch to its turn.
pub struct Passenger {
    waiter: Rc<Waiter>,
    /// The connection to append to, and who it is shared with; `None` for one that is to go alone.
    place: Option<(Lease, Busy, Rc<Together>, usize)>,
}

impl Pool {
    /// Takes along who waits behind the one that was just given a connection.
    pub(super) fn share(&self, mut lease: Lease, first: &Rc<Waiter>) -> Leased {
        let more = match first.sharing {
            Sharing::Together => self.settings.together - 1,
            Sharing::Alone => 0,
        };
        let mut state = self.state.borrow_mut();
        let behind = state.waiters.iter().take(more).take_while(|waiter| waiter.sharing == Sharing::Together).count();
        if behind == 0 {
            return Leased::Alone(lease);
        }
        let mut members = Vec::with_capacity(1 + behind);
        members.push(first.clone());
        members.extend(state.waiters.drain(..behind));
        drop(state);
        for member in &members {
            member.queued.set(false);
        }
        let idle = lease.take();
        self.tell(|| format!("{} is shared by {} requests", idle.name(), members.len()));
        let (next, dissolved, patience) = (Cell::new(0), Cell::new(false), self.settings.patience);
        let together = Rc::new(Together { members, next, dissolved, patience });
        lease.together = Some(together.clone());
        Leased::Together(Passenger { waiter: first.clone(), place: Some((lease, idle.begin(), together, 0)) })
    }
}

impl Passenger {
    pub(super) fn turned_away(waiter: &Rc<Waiter>) -> Self {
        Self { waiter: waiter.clone(), place: None }
    }

    /// Appends this request's batch, sees to it that it is sent, and waits until its answers are the next to come. `None`:
    /// the request needs a connection of its own.
    pub async fn turn(mut self, append: impl FnOnce(&mut Busy)) -> Option<(Lease, Busy)> {
        let (lease, mut busy, together, index) = self.place.take()?;
        append(&mut busy);
        let waits = Waits { together: &together, waiter: &self.waiter };
        match together.members.get(index + 1) {
            Some(waiter) => {
                let place = Some((lease, busy, together.clone(), index + 1));
                waiter.give(Gift::Place(Self { waiter: waiter.clone(), place }));
            }
            None => {
                // A batch that can't be said is told to its own sender when it is alone.
                busy.send().await.ok()?;
                lease.pass_on(busy).await;
            }
        }
        let turn = together.await_turn(&self.waiter).await?;
        std::mem::forget(waits);
        Some(turn)
    }
}

/// Somebody whose batch is on the connection. Dropped before its turn, it dissolves the rest: its answers must not be taken for
/// another's.
struct Waits<'p> {
    together: &'p Together,
    waiter: &'p Waiter,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.together.dissolve();
        drop(self.waiter.gift.take());
    }
}

impl Together {
    /// `None` once it is dissolved, or where nobody's turn has come for too long.
    async fn await_turn(&self, waiter: &Waiter) -> Option<(Lease, Busy)> {
        loop {
            let next = self.next.get();
            let given = rt::within(self.patience, waiter.gift()).await;
            // Both may be due at once: a turn that is there is taken.
            match given.ok().or_else(|| waiter.gift.take()) {
                Some(Gift::Turn(lease, busy)) => return Some((lease, busy)),
                Some(Gift::Connection(_) | Gift::Refusal(_) | Gift::Place(_) | Gift::Dissolved) => return None,
                None if self.next.get() == next => return None,
                None => {}
            }
        }
    }

    /// Everybody who still waits goes alone.
    pub fn dissolve(&self) {
        if self.dissolved.replace(true) {
            return;
        }
        for member in self.members.iter().skip(self.next.get()) {
            member.give(Gift::Dissolved);
        }
    }
}

impl Lease {
    /// Gives a connection whose last answers were read to the one whose answers come next, or back to the pool.
    pub async fn pass_on(self, busy: Busy) {
        let next = self.together.as_ref().and_then(|together| {
            let index = together.next.get();
            let waiter = together.members.get(index).filter(|_| !together.dissolved.get())?;
            together.next.set(index + 1);
            Some(waiter.clone())
        });
        match next {
            Some(waiter) => waiter.give(Gift::Turn(self, busy)),
            None if busy.syncs_due() == 0 => self.retire(busy).await,
            // The answers that are left are nobody's: this request doesn't wait for them.
            None => rt::spawn(self.retire(busy), |_| ()),
        }
    }

    /// Whoever waits for answers on this connection finds another.
    pub fn go_alone(&self) {
        if let Some(together) = &self.together {
            together.dissolve();
        }
    }

    async fn retire(self, busy: Busy) {
        if let Ok(idle) = busy.finish().await {
            self.put_back(idle);
        }
    }
}
