//! One core's connections: idle ones last in, first out; waiters first in, first out, each with the acquisition deadline.
//! Owns: idle connections, the count of all of them, who waits.
//! Must not know: what is said on a connection.
//! Invariants: `open` counts idle, leased and opening connections and never passes `size`; while somebody waits, nothing
//! is idle; a connection that comes back with answers due cannot be expressed.
//! Limits: `limits::POOL_WAITERS_MAX`, `limits::CONNECT_SECONDS`.

pub mod exchange;
pub mod handle;
mod lease;
mod together;
mod waiter;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use exchange::{Asker, Message, Seat};
use handle::ConnectorHandle;
pub use lease::Lease;
pub use together::Passenger;
pub use waiter::Sharing;
use waiter::{Gift, Waiter, Waiting};

use crate::observe::{Event, Log};
use crate::wire::conn::{Idle, StatementCounts};
use crate::wire::connect::ConnectError;
use crate::wire::db_error::DbError;
use crate::{limits, rt};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolSettings {
    /// Connections of this core, at least one. Changes when cores even out.
    pub size: usize,
    /// How long a request waits for one.
    pub acquisition_timeout: Duration,
    /// An idle one is closed after this.
    pub max_idle: Duration,
    /// One is closed after this, or up to a tenth earlier; never while it is leased.
    pub max_lifetime: Duration,
    /// How many that wait may be sent together on one connection, at least one.
    pub together: usize,
    /// How long they wait behind one of them before they go alone.
    pub patience: Duration,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum PoolError {
    /// The acquisition deadline passed.
    TimedOut,
    /// `limits::POOL_WAITERS_MAX` wait already.
    QueueFull,
    Connect(ConnectError),
}

impl fmt::Display for PoolError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => out.write_str("no connection became free within the acquisition timeout"),
            Self::QueueFull => out.write_str("too many requests wait for a connection"),
            Self::Connect(error) => error.fmt(out),
        }
    }
}

impl std::error::Error for PoolError {}

/// A connection used so lately isn't asked whether it still lives: under load that would be a system call for each
/// request, and one that breaks at this moment is found out by its next read.
const TRUSTED: Duration = Duration::from_millis(1);
/// What `/metrics` shows of a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gauges {
    /// Idle connections.
    pub available: usize,
    pub waiting: usize,
    pub max: usize,
    /// Requests that gave up, since the start.
    pub timeouts: u64,
    pub statements: StatementCounts,
}

/// What a look at the last second's prepared statements led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Preparing {
    AsBefore,
    GivenUp,
}

pub struct Pool {
    settings: PoolSettings,
    connector: ConnectorHandle,
    size: Cell<usize>,
    asker: OnceCell<Asker>,
    state: RefCell<State>,
    timeouts: Cell<u64>,
    statements: Cell<StatementCounts>,
    /// Prepared statements that the server turned out not to know.
    lost: Cell<u64>,
    /// `statements` and `lost` at the last tick.
    ticked: Cell<(u64, u64)>,
    prepares: Cell<bool>,
    /// Connections opened before are to be replaced.
    renewed: Cell<Option<Instant>>,
    random: Cell<u64>,
    log: OnceCell<Log>,
}

#[derive(Default)]
struct State {
    idle: Vec<Parked>,
    /// Idle, leased and opening.
    open: usize,
    opening: usize,
    waiters: VecDeque<Rc<Waiter>>,
    closing: bool,
}

struct Parked {
    idle: Idle,
    expires: Instant,
    since: Instant,
}

/// What a request is given.
pub enum Leased {
    Alone(Lease),
    Together(Passenger),
}

impl Pool {
    pub fn new(settings: PoolSettings, connector: ConnectorHandle) -> Rc<Self> {
        Rc::new(Self {
            size: Cell::new(settings.size.max(1)),
            asker: OnceCell::new(),
            settings,
            connector,
            state: RefCell::default(),
            timeouts: Cell::new(0),
            statements: Cell::default(),
            lost: Cell::new(0),
            ticked: Cell::default(),
            prepares: Cell::new(true),
            renewed: Cell::new(None),
            random: Cell::new(ahash::RandomState::new().hash_one(0) | 1),
            log: OnceCell::new(),
        })
    }

    /// An idle connection at once, or the first that comes free or is opened before the deadline; then perhaps together with
    /// others. Cancel: nothing is lost; a connection that was just given goes to the next.
    pub async fn lease(self: &Rc<Self>, sharing: Sharing) -> Result<Leased, PoolError> {
        self.tell(|| "Trying to borrow a connection from pool".to_owned());
        if let Some(held) = self.pop_idle() {
            return Ok(Leased::Alone(self.lend(held)));
        }
        let waiting = Waiting { pool: self, waiter: Waiter::new(sharing) };
        {
            let mut state = self.state.borrow_mut();
            if state.waiters.len() >= limits::POOL_WAITERS_MAX {
                return Err(PoolError::QueueFull);
            }
            waiting.waiter.queued.set(true);
            state.waiters.push_back(waiting.waiter.clone());
        }
        self.grow();
        // Boxed, as the waiter is: every idle client would hold room for its state.
        match Box::pin(self.await_gift(&waiting.waiter)).await {
            Some(Gift::Connection(held)) => Ok(self.share(self.lend(held), &waiting.waiter)),
            Some(Gift::Place(passenger)) => Ok(Leased::Together(passenger)),
            Some(Gift::Turn(..) | Gift::Dissolved) => Ok(Leased::Together(Passenger::turned_away(&waiting.waiter))),
            Some(Gift::Refusal(error)) => Err(PoolError::Connect(error)),
            None => {
                self.timeouts.set(self.timeouts.get() + 1);
                Err(PoolError::TimedOut)
            }
        }
    }

    fn lend(&self, held: Held) -> Lease {
        self.tell(|| format!("Borrowed a connection from the pool. {} is used", held.idle.name()));
        Lease::new(held)
    }

    /// What happens to connections is told to this log from now on, where it wants details.
    pub fn watch(&self, log: Log) {
        let _ = self.log.set(log);
    }

    fn tell(&self, text: impl FnOnce() -> String) {
        if let Some(log) = self.log.get().filter(|log| log.wants_details()) {
            log.event(&Event::Detail { text: text() });
        }
    }

    /// What the waiter is given before the deadline. Meanwhile, if that takes long, other cores are asked for a place.
    async fn await_gift(&self, waiter: &Waiter) -> Option<Gift> {
        let mut left = self.settings.acquisition_timeout;
        let mut pause = Duration::from_millis(limits::POOL_PATIENCE_MS);
        while self.asker.get().is_some() && left > pause {
            if let Ok(gift) = rt::within(pause, waiter.gift()).await {
                return Some(gift);
            }
            left -= pause;
            pause = Duration::from_millis(limits::POOL_ASK_AGAIN_MS);
            self.ask_others();
        }
        let given = rt::within(left, waiter.gift()).await;
        // Both may be due at once: a connection that is there is taken.
        given.ok().or_else(|| waiter.gift.take())
    }

    fn ask_others(&self) {
        let (waiting, opening) = {
            let state = self.state.borrow();
            (state.waiters.len(), state.opening)
        };
        if let Some(asker) = self.asker.get()
            && asker.asked.get() + opening < waiting
        {
            asker.ask();
        }
    }

    /// Takes its place among the pools of all cores, once.
    pub fn join(self: &Rc<Self>, seat: Seat) {
        let Seat { asker, mut receiver } = seat;
        if self.asker.set(asker).is_err() {
            return;
        }
        let pool = self.clone();
        let listener = async move {
            while let Some(message) = receiver.receive().await {
                pool.hear(message);
            }
        };
        rt::spawn(listener, |_| ());
    }

    fn hear(self: &Rc<Self>, message: Message) {
        let Some(asker) = self.asker.get() else { return };
        match message {
            Message::Wanted { by } => self.spare(asker, by),
            Message::Place => {
                asker.asked.set(asker.asked.get().saturating_sub(1));
                self.size.set(self.size.get() + 1);
                self.grow();
            }
            Message::Refused => asker.asked.set(asker.asked.get().saturating_sub(1)),
        }
    }

    /// Gives a place away: an empty one, or that of the connection that was idle longest, once that is closed.
    fn spare(self: &Rc<Self>, asker: &Asker, by: usize) {
        let mut state = self.state.borrow_mut();
        let size = self.size.get();
        let empty = state.open < size;
        if size < 2 || !state.waiters.is_empty() || !empty && state.idle.is_empty() {
            drop(state);
            return asker.pass_on(by);
        }
        self.size.set(size - 1);
        if empty {
            drop(state);
            return asker.give(by);
        }
        let oldest = state.idle.remove(0);
        drop(state);
        let place = Place::new(self);
        let pool = self.clone();
        let farewell = async move {
            oldest.idle.close().await;
            drop(place);
            if let Some(asker) = pool.asker.get() {
                asker.give(by);
            }
        };
        rt::spawn(farewell, |_| ());
    }

    /// A prepared statement could not be used. Counts those that the server did not know.
    pub fn note_stale(&self, error: &DbError) {
        self.lost.set(self.lost.get() + u64::from(error.is_lost_statement()));
    }

    /// Whether statements are worth preparing: not where a pooler behind the connections keeps giving us other sessions.
    pub fn prepares(&self) -> bool {
        self.prepares.get()
    }

    /// About once a second: closes what was idle or lived for too long, and what the server closed. Says so when statements
    /// were found not worth preparing; they are tried again after `prepare_again`.
    pub fn tick(self: &Rc<Self>) -> Preparing {
        self.close_expired();
        let (executed, lost) = (self.statements.get().requests, self.lost.get());
        let (executed_before, lost_before) = self.ticked.replace((executed, lost));
        let lost = lost - lost_before;
        let share = lost.saturating_mul(limits::STATEMENTS_PER_LOST_ONE);
        if lost < limits::STATEMENTS_LOST_MIN || share < executed - executed_before || !self.prepares.get() {
            return Preparing::AsBefore;
        }
        self.prepares.set(false);
        Preparing::GivenUp
    }

    fn close_expired(self: &Rc<Self>) {
        let now = Instant::now();
        let max_idle = self.settings.max_idle;
        let is_over = |parked: &mut Parked| {
            now >= parked.expires || now.duration_since(parked.since) >= max_idle || parked.idle.is_dead()
        };
        let over: Vec<Parked> = self.state.borrow_mut().idle.extract_if(.., is_over).collect();
        for parked in &over {
            let why = if now >= parked.expires { "max lifetime" } else { "max idletime" };
            self.tell(|| format!("{} is terminated due to {why}", parked.idle.name()));
        }
        self.close_parked(over);
    }

    /// Statements may be worth preparing again.
    pub fn prepare_again(&self) {
        self.prepares.set(true);
    }

    /// Replaces every connection within `limits::POOL_RENEWAL_SECONDS`, so that settings of the login role and of the
    /// database that were altered take effect. Spread over that time; requests in flight are not disturbed.
    pub fn renew(&self) {
        self.renewed.set(Some(Instant::now()));
        for parked in &mut self.state.borrow_mut().idle {
            parked.expires = self.expiry(&parked.idle, parked.expires);
        }
    }

    /// `expires`, or earlier where the connection is to be replaced.
    fn expiry(&self, idle: &Idle, expires: Instant) -> Instant {
        match self.renewed.get() {
            Some(renewed) if idle.opened() < renewed => {
                // Neighbouring process ids lie far apart, and the same connection gets the same time every time.
                let part = u64::from(idle.key().process_id.unsigned_abs()) * 7919 % 1000;
                expires.min(renewed + Duration::from_millis(limits::POOL_RENEWAL_SECONDS * part))
            }
            Some(_) | None => expires,
        }
    }

    /// For the drain: idle connections close now, leased ones when they come back. Requests still get connections.
    pub fn close_all(self: &Rc<Self>) {
        let idle = {
            let mut state = self.state.borrow_mut();
            state.closing = true;
            std::mem::take(&mut state.idle)
        };
        self.close_parked(idle);
    }

    fn close_parked(self: &Rc<Self>, parked: Vec<Parked>) {
        for Parked { idle, expires, .. } in parked {
            Held { place: Place::new(self), idle, expires }.close();
        }
    }

    pub fn gauges(&self) -> Gauges {
        let state = self.state.borrow();
        let (available, waiting) = (state.idle.len(), state.waiters.len());
        Gauges {
            available,
            waiting,
            max: self.size.get(),
            timeouts: self.timeouts.get(),
            statements: self.statements.get(),
        }
    }

    pub fn connector(&self) -> &ConnectorHandle {
        &self.connector
    }

    /// The one used last, if its server still knows it.
    fn pop_idle(self: &Rc<Self>) -> Option<Held> {
        loop {
            let parked = self.state.borrow_mut().idle.pop()?;
            let place = Place::new(self);
            if parked.since.elapsed() < TRUSTED || !parked.idle.is_dead() {
                return Some(Held { place, idle: parked.idle, expires: parked.expires });
            }
        }
    }

    /// Opens as many connections as there are waiters without one on its way, within the size.
    fn grow(self: &Rc<Self>) {
        loop {
            {
                let mut state = self.state.borrow_mut();
                if state.opening >= state.waiters.len() || state.open >= self.size.get() {
                    return;
                }
                state.open += 1;
                state.opening += 1;
            }
            rt::spawn(open(Place::new(self), Opening(self.clone())), |_| ());
        }
    }

    /// A connection that is free: to the first waiter, or to rest.
    fn arrive(&self, mut held: Held) {
        let now = Instant::now();
        held.expires = self.expiry(&held.idle, held.expires);
        let mut state = self.state.borrow_mut();
        if now >= held.expires || state.closing && state.waiters.is_empty() {
            drop(state);
            self.tell(|| format!("{} is terminated due to max lifetime", held.idle.name()));
            held.close();
        } else if let Some(waiter) = state.waiters.pop_front() {
            drop(state);
            waiter.give(Gift::Connection(held));
        } else {
            let Held { place, idle, expires } = held;
            state.idle.push(Parked { idle, expires, since: now });
            drop(state);
            place.keep();
        }
    }

    fn lifetime(&self) -> Duration {
        // xorshift: spreads connections that were opened together.
        let mut random = self.random.get();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        self.random.set(random);
        let per_mille = u32::try_from(random % 100).unwrap_or(0);
        self.settings.max_lifetime - self.settings.max_lifetime / 1000 * per_mille
    }
}

/// Opens one connection for whoever waits first by then.
async fn open(place: Place, opening: Opening) {
    let pool = place.pool.clone();
    pool.tell(|| "Connection is being established".to_owned());
    let deadline = Instant::now() + Duration::from_secs(limits::CONNECT_SECONDS);
    let opened = pool.connector.connect(deadline).await;
    let adopted = opened.and_then(|authenticated| {
        Idle::adopt(authenticated).map_err(|error| ConnectError::transient(error.to_string()))
    });
    drop(opening);
    match adopted {
        Ok(idle) => {
            let expires = Instant::now() + pool.lifetime();
            pool.tell(|| format!("{} is available due to connection establishment", idle.name()));
            pool.arrive(Held { place, idle, expires });
        }
        Err(error) => {
            let first = pool.state.borrow_mut().waiters.pop_front();
            if let Some(waiter) = first {
                waiter.give(Gift::Refusal(error));
            }
        }
    }
}

/// Counts among the connections that are opening.
struct Opening(Rc<Pool>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.state.borrow_mut().opening -= 1;
    }
}

/// One of the pool's places, counted in `open`; dropping it frees it for whoever waits.
struct Place {
    pool: Rc<Pool>,
    frees: bool,
}

impl Place {
    fn new(pool: &Rc<Pool>) -> Self {
        Self { pool: pool.clone(), frees: true }
    }

    /// The place stays taken: by the idle connection.
    fn keep(mut self) {
        self.frees = false;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.frees {
            self.pool.state.borrow_mut().open -= 1;
            self.pool.grow();
        }
    }
}

/// A usable connection outside the pool.
struct Held {
    place: Place,
    idle: Idle,
    expires: Instant,
}

impl Held {
    /// Takes leave of the server in the background; the place is free after that.
    fn close(self) {
        let Self { place, idle, .. } = self;
        let farewell = async move {
            idle.close().await;
            drop(place);
        };
        rt::spawn(farewell, |_| ());
    }
}
