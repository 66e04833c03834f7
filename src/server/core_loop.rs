//! One core: its thread, what it owns, and its loop.
//! Owns: its clients, its pool, its caches. Shares: published snapshots, read only.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::acceptor::{Accepted, CoreHandle, CoreMessage};
use super::admin::Admin;
use super::publish::{Follower, Publisher};
use super::reload::ReloadHandle;
use crate::http::Service;
use crate::http::conn::{ConnectionLimits, Drain, serve_connection};
use crate::limits;
use crate::observe::metric::{CoreSample, Sampled};
use crate::observe::{Event, Log};
use crate::pool::exchange::Seat;
use crate::pool::handle::ConnectorHandle;
use crate::pool::{Pool, PoolSettings, Preparing};
use crate::rt::mailbox::{Receiver, mailbox};
use crate::rt::watch::WatchTable;
use crate::rt::{self, Driver, Stream};
use crate::serve::{Core, Database};

/// What a core is given at its start.
pub struct CorePlan {
    pub index: usize,
    pub driver: Driver,
    pub pool: PoolSettings,
    /// Its place among the cores' pools, so that they even out.
    pub seat: Seat,
    pub limits: ConnectionLimits,
    pub publisher: Arc<Publisher>,
    pub connector: ConnectorHandle,
    pub reload: ReloadHandle,
    pub log: Log,
    /// Processor to run on, where `server-pin-threads` asks for it.
    pub pin_to: Option<core_affinity::CoreId>,
}

/// A running core, as boot sees it.
#[derive(Debug)]
pub struct RunningCore {
    pub handle: CoreHandle,
    /// Ends with the number of connections that were cut at the drain deadline.
    pub thread: JoinHandle<usize>,
}

pub fn start(plan: CorePlan) -> io::Result<RunningCore> {
    let (messages, inbox) = mailbox();
    let clients = Arc::new(AtomicUsize::new(0));
    let handle = CoreHandle { messages, clients: clients.clone() };
    let thread = thread::Builder::new().name(format!("core-{}", plan.index)).spawn(move || {
        if let Some(id) = plan.pin_to {
            core_affinity::set_for_current(id);
        }
        let (driver, log) = (plan.driver, plan.log.clone());
        rt::run(driver, run(plan, inbox, clients)).unwrap_or_else(|error| {
            log.event(&Event::Panicked { message: format!("a core could not start: {error}") });
            0
        })
    })?;
    Ok(RunningCore { handle, thread })
}

async fn run(plan: CorePlan, inbox: Receiver<CoreMessage>, clients: Arc<AtomicUsize>) -> usize {
    let pool = Pool::new(plan.pool.clone(), plan.connector.clone());
    pool.join(plan.seat);
    pool.watch(plan.log.clone());
    let database = Database { pool: pool.clone(), reload: plan.reload.clone() };
    let core = Rc::new(Core::new(Follower::new(plan.publisher.clone()), database, plan.log.clone()));
    spawn_watched(&plan.log, tend(core.clone(), pool.clone(), plan.log.clone()));
    let cut = serve_clients(core, inbox, clients, plan.limits, plan.log).await;
    pool.close_all();
    cut
}

/// A core for the admin server: the same loop without a database.
pub fn start_admin(driver: Driver, admin: Admin, limits: ConnectionLimits, log: Log) -> io::Result<RunningCore> {
    let (messages, inbox) = mailbox();
    let clients = Arc::new(AtomicUsize::new(0));
    let handle = CoreHandle { messages, clients: clients.clone() };
    let thread = thread::Builder::new().name("admin".to_owned()).spawn(move || {
        let failed = log.clone();
        rt::run(driver, async move { serve_clients(Rc::new(admin), inbox, clients, limits, log).await }).unwrap_or_else(
            |error| {
                failed.event(&Event::Panicked { message: format!("the admin server could not start: {error}") });
                0
            },
        )
    })?;
    Ok(RunningCore { handle, thread })
}

/// Serves what the acceptor sends until it says drain, then until the last client is gone or the deadline passes.
/// Returns how many connections were cut.
async fn serve_clients<S: Service + Sampled + 'static>(
    service: Rc<S>,
    mut inbox: Receiver<CoreMessage>,
    clients: Arc<AtomicUsize>,
    limits: ConnectionLimits,
    log: Log,
) -> usize {
    let table = WatchTable::new();
    spawn_watched(&log, table.clone().run());
    let door = Door { table: table.clone(), service, drain: Drain::new(), limits, log };
    while let Some(message) = inbox.receive().await {
        match message {
            CoreMessage::Client(accepted) => door.admit(accepted, Counted(clients.clone())),
            CoreMessage::Scrape(reply) => {
                if let Some(sample) = door.service.sample() {
                    // Whoever asked may have given up.
                    let _ = reply.send(CoreSample { clients: clients.load(Ordering::Relaxed), ..sample });
                }
            }
            CoreMessage::Drain => break,
        }
    }
    // Clients that were dealt before the drain began are served and told to go.
    while let Some(message) = inbox.try_receive() {
        if let CoreMessage::Client(accepted) = message {
            door.admit(accepted, Counted(clients.clone()));
        }
    }
    door.drain.begin();
    let _ = rt::within(Duration::from_millis(limits::DRAIN_NOTICE_MS), door.drain.all_closed()).await;
    door.drain.end_idle(&table);
    let drained = rt::within(limits.drain_time, door.drain.all_closed()).await;
    let cut = if drained.is_ok() { 0 } else { door.drain.open_count() };
    table.shutdown_all();
    cut
}

/// About once a second: evicts idle and old connections, and lets go of what was published before, which a core without
/// requests would keep.
async fn tend(core: Rc<Core>, pool: Rc<Pool>, log: Log) {
    loop {
        rt::sleep(Duration::from_secs(1)).await;
        match pool.tick() {
            Preparing::AsBefore => {}
            Preparing::GivenUp => log.event(&Event::StatementsLost),
        }
        core.follow();
    }
}

fn spawn_watched(log: &Log, task: impl Future<Output = ()> + 'static) {
    let log = log.clone();
    rt::spawn(task, move |message| log.event(&Event::Panicked { message }));
}

/// Counts a client for as long as it lives, so that the acceptor sees each core's load.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a new client's task needs of its loop.
struct Door<S> {
    table: Rc<WatchTable>,
    service: Rc<S>,
    drain: Drain,
    limits: ConnectionLimits,
    log: Log,
}

impl<S: Service + 'static> Door<S> {
    fn admit(&self, accepted: Accepted, counted: Counted) {
        let (table, service, drain) = (self.table.clone(), self.service.clone(), self.drain.clone());
        let limits = self.limits;
        spawn_watched(&self.log, async move {
            let _counted = counted;
            let (stream, peer) = match accepted {
                Accepted::Tcp(socket, peer) => (Stream::from_tcp(socket), peer.ip().to_string()),
                Accepted::Unix(socket) => (Stream::from_unix(socket), "-".to_owned()),
            };
            // A socket that can't be registered is one the client has lost: closing it is the answer.
            let Ok(stream) = stream else { return };
            serve_connection(stream, &peer, &table, service.as_ref(), &drain, &limits).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;
    use crate::http::{Gone, Reply, Request};

    /// Answers nothing.
    struct Endless(mpsc::Sender<()>);

    impl Service for Endless {
        async fn call(&self, _request: Request<'_>, _reply: &mut Reply) -> Result<(), Gone> {
            self.0.send(()).unwrap();
            rt::sleep(Duration::from_secs(600)).await;
            Ok(())
        }
    }

    impl Sampled for Endless {
        fn sample(&self) -> Option<CoreSample> {
            None
        }
    }

    #[test]
    fn what_does_not_end_is_cut_at_the_deadline() {
        for driver in [Driver::Epoll, rt::driver()] {
            let (messages, inbox) = mailbox();
            let (begun, hear) = mpsc::channel();
            let (log, log_thread) = Log::start(crate::config::LogLevel::Crit).unwrap();
            let limits = ConnectionLimits { drain_time: Duration::from_millis(200), ..ConnectionLimits::default() };
            let core = thread::spawn(move || {
                let service = Rc::new(Endless(begun));
                rt::run(driver, serve_clients(service, inbox, Arc::default(), limits, log)).unwrap()
            });
            let (mut busy, theirs) = UnixStream::pair().unwrap();
            assert!(messages.send(CoreMessage::Client(Accepted::Unix(theirs))).is_ok());
            busy.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
            hear.recv().unwrap();
            let told = Instant::now();
            assert!(messages.send(CoreMessage::Drain).is_ok());
            assert_eq!(core.join().unwrap(), 1);
            assert!(told.elapsed() >= Duration::from_millis(200), "{:?}", told.elapsed());
            assert_eq!(busy.read(&mut [0]).unwrap(), 0);
            log_thread.finish();
        }
    }
}
