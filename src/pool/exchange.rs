//! How cores even out: a core whose requests wait asks the others, one after the other, for a place that they do not use.
//! Places move, sockets do not: the giver closes an idle connection (or had none open), the taker opens one. That costs a
//! connect of a few milliseconds, but only until the sizes fit the load, and no state of a connection crosses threads.
//! Invariants: the sizes of all cores always add up to the pool's; a core keeps at least one place.

use std::cell::Cell;

use crate::rt::mailbox::{Receiver, Sender, mailbox};

/// What cores say to each other.
pub(super) enum Message {
    /// The core with this number has requests that wait. Goes round until somebody gives or it is back.
    Wanted { by: usize },
    /// One more for you.
    Place,
    /// Nobody has one to spare.
    Refused,
}

/// One core's seat among all of them; goes to the core's thread and then to its pool.
pub struct Seat {
    pub(super) asker: Asker,
    pub(super) receiver: Receiver<Message>,
}

/// The sending half of a seat.
pub(super) struct Asker {
    number: usize,
    cores: Vec<Sender<Message>>,
    /// Asked and not yet answered.
    pub asked: Cell<usize>,
}

/// Seats for that many cores.
pub fn seats(count: usize) -> Vec<Seat> {
    let (cores, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| mailbox()).unzip();
    let seat = |(number, receiver)| {
        let asker = Asker { number, cores: cores.clone(), asked: Cell::new(0) };
        Seat { asker, receiver }
    };
    receivers.into_iter().enumerate().map(seat).collect()
}

impl Asker {
    pub fn ask(&self) {
        if self.cores.len() > 1 {
            self.asked.set(self.asked.get() + 1);
            self.pass_on(self.number);
        }
    }

    /// To the next core, or back to who asked.
    pub fn pass_on(&self, by: usize) {
        let next = (self.number + 1) % self.cores.len();
        let message = if next == by { Message::Refused } else { Message::Wanted { by } };
        self.send(next, message);
    }

    pub fn give(&self, to: usize) {
        self.send(to, Message::Place);
    }

    /// A core that is gone has no requests that could miss the message.
    fn send(&self, to: usize, message: Message) {
        if let Some(core) = self.cores.get(to) {
            let _ = core.send(message);
        }
    }
}
