//! Deadlines and departures of a core's sockets, kept in one table that one task looks at every `TICK`.
//! A request thereby pays no timer: it sets a number. A socket past its deadline is shut down, which completes whatever
//! operation is in flight on it. While a query runs, the client's socket is asked whether its peer is still there.
//! Owns: the table. Invariant: a guard is dropped before the stream whose descriptor it names.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::sys;

/// How often the table is looked at, and so how exact a deadline is.
pub const TICK: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct Entry {
    fd: RawFd,
    /// Tick at which the socket is shut down; `u64::MAX` for none.
    deadline: u64,
    peer: Peer,
    /// Nothing is under way on it: the first to go when the server drains.
    idle: bool,
    /// Nothing more is read from it, which looks like a departure and isn't one.
    deaf: bool,
}

#[derive(Debug)]
enum Peer {
    /// Nobody asks.
    Unwatched,
    /// Asked from this tick on; the waker is whoever awaits the departure.
    Watched {
        from: u64,
        waker: Option<Waker>,
    },
    Gone,
}

#[derive(Debug)]
pub struct WatchTable {
    entries: RefCell<Vec<Option<Entry>>>,
    free: RefCell<Vec<usize>>,
    tick: Cell<u64>,
    started: Instant,
}

impl Default for WatchTable {
    fn default() -> Self {
        Self { entries: RefCell::default(), free: RefCell::default(), tick: Cell::new(0), started: Instant::now() }
    }
}

impl Entry {
    fn deafen(&mut self) {
        self.deaf = true;
        sys::fd::shutdown_reading(self.fd);
    }
}

impl WatchTable {
    pub fn new() -> Rc<Self> {
        Rc::default()
    }

    /// Looks at the table for ever; one task of the core runs it.
    pub async fn run(self: Rc<Self>) {
        loop {
            super::sleep(TICK).await;
            self.look();
        }
    }

    pub fn watch(self: &Rc<Self>, fd: RawFd) -> Watched {
        let entry = Some(Entry { fd, deadline: u64::MAX, peer: Peer::Unwatched, idle: false, deaf: false });
        let key = match self.free.borrow_mut().pop() {
            Some(key) => key,
            None => {
                let mut entries = self.entries.borrow_mut();
                entries.push(None);
                entries.len() - 1
            }
        };
        if let Some(place) = self.entries.borrow_mut().get_mut(key) {
            *place = entry;
        }
        Watched { table: self.clone(), key }
    }

    /// One look: ends what is past its deadline, notices who left.
    fn look(&self) {
        let tick = u64::try_from(self.started.elapsed().as_millis() / TICK.as_millis()).unwrap_or(u64::MAX);
        self.tick.set(tick);
        let mut left = Vec::new();
        for entry in self.entries.borrow_mut().iter_mut().flatten() {
            if entry.deadline <= tick {
                entry.deadline = u64::MAX;
                sys::fd::shutdown(entry.fd);
            }
            if let Peer::Watched { from, waker } = &mut entry.peer
                && *from <= tick
                && !entry.deaf
                && sys::fd::peer_closed(entry.fd)
            {
                left.extend(waker.take());
                entry.peer = Peer::Gone;
            }
        }
        for waker in left {
            waker.wake();
        }
    }

    /// Shuts every socket down: what is left when the drain deadline passes.
    pub fn shutdown_all(&self) {
        for entry in self.entries.borrow().iter().flatten() {
            sys::fd::shutdown(entry.fd);
        }
    }

    /// Ends the sockets on which nothing is under way. A request that has come already is still read and answered.
    pub fn end_idle(&self) {
        for entry in self.entries.borrow_mut().iter_mut().flatten().filter(|entry| entry.idle) {
            entry.deafen();
        }
    }

    pub fn count(&self) -> usize {
        self.entries.borrow().iter().flatten().count()
    }
}

/// One socket's place in the table.
#[derive(Debug)]
pub struct Watched {
    table: Rc<WatchTable>,
    key: usize,
}

impl Watched {
    fn with<T>(&self, act: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        self.table.entries.borrow_mut().get_mut(self.key).and_then(Option::as_mut).map(act)
    }

    /// Shuts the socket down unless `clear` or a later deadline comes within `duration` (to the next tick but one).
    pub fn set_deadline(&self, duration: Duration) {
        let ticks = u64::try_from(duration.as_millis() / TICK.as_millis()).unwrap_or(u64::MAX);
        let deadline = self.table.tick.get().saturating_add(ticks).saturating_add(2);
        self.with(|entry| entry.deadline = deadline);
    }

    pub fn clear_deadline(&self) {
        self.with(|entry| entry.deadline = u64::MAX);
    }

    /// As `WatchTable::end_idle` does.
    pub fn end_reading(&self) {
        self.with(Entry::deafen);
    }

    /// Says that nothing is under way, so that `WatchTable::end_idle` may end the socket.
    pub fn mark_idle(&self) {
        self.with(|entry| entry.idle = true);
    }

    pub fn mark_busy(&self) {
        self.with(|entry| entry.idle = false);
    }

    /// From now on the peer's departure is looked for, from the next tick but one (a short query costs nothing).
    pub fn watch_peer(&self) {
        let from = self.table.tick.get() + 2;
        self.with(|entry| {
            if !matches!(entry.peer, Peer::Gone) {
                entry.peer = Peer::Watched { from, waker: None };
            }
        });
    }

    pub fn unwatch_peer(&self) {
        self.with(|entry| {
            if !matches!(entry.peer, Peer::Gone) {
                entry.peer = Peer::Unwatched;
            }
        });
    }

    /// Ready once the peer is found gone. Cancel: nothing is lost.
    pub async fn peer_gone(&self) {
        poll_fn(|context| {
            self.with(|entry| match &mut entry.peer {
                Peer::Gone => Poll::Ready(()),
                Peer::Watched { waker, .. } => {
                    if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                        *waker = Some(context.waker().clone());
                    }
                    Poll::Pending
                }
                Peer::Unwatched => Poll::Pending,
            })
            .unwrap_or(Poll::Pending)
        })
        .await;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(place) = self.table.entries.borrow_mut().get_mut(self.key) {
            *place = None;
        }
        self.table.free.borrow_mut().push(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::{self, Driver, Stream};
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_deadline_completes_a_read_in_flight() {
        for driver in [Driver::Epoll, rt::driver()] {
            let (mine, _theirs) = UnixStream::pair().unwrap();
            let read = rt::run(driver, async move {
                let table = WatchTable::new();
                rt::spawn(table.clone().run(), |_| ());
                let stream = Stream::from_unix(mine).unwrap();
                let watched = table.watch(stream.raw_fd());
                let (mut reader, _writer) = stream.split();
                watched.set_deadline(Duration::ZERO);
                reader.append(Vec::new(), 10).await.0
            });
            assert!(matches!(read.unwrap(), Ok(0) | Err(_)));
        }
    }

    #[test]
    fn what_has_come_is_read_before_the_end_and_nobody_has_left() {
        for driver in [Driver::Epoll, rt::driver()] {
            let (mine, mut theirs) = UnixStream::pair().unwrap();
            let departed = rt::run(driver, async move {
                let table = WatchTable::new();
                rt::spawn(table.clone().run(), |_| ());
                let stream = Stream::from_unix(mine).unwrap();
                let watched = table.watch(stream.raw_fd());
                watched.mark_idle();
                theirs.write_all(b"come").unwrap();
                table.end_idle();
                let (mut reader, _writer) = stream.split();
                let (read, bytes) = reader.append(Vec::new(), 10).await;
                assert_eq!((read.unwrap(), bytes.as_slice()), (4, &b"come"[..]));
                assert_eq!(reader.append(Vec::new(), 10).await.0.unwrap(), 0);
                watched.watch_peer();
                rt::within(TICK * 5, watched.peer_gone()).await.is_ok()
            });
            assert!(!departed.unwrap());
        }
    }

    #[test]
    fn a_departure_is_noticed_behind_unread_bytes() {
        let (mine, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"unread").unwrap();
        drop(theirs);
        rt::run(rt::driver(), async move {
            let table = WatchTable::new();
            rt::spawn(table.clone().run(), |_| ());
            let stream = Stream::from_unix(mine).unwrap();
            let watched = table.watch(stream.raw_fd());
            watched.watch_peer();
            watched.peer_gone().await;
        })
        .unwrap();
    }
}
