//! One core's pool against a real PostgreSQL.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use trunkline::pool::{Lease, Leased, Pool, PoolError, PoolSettings, Sharing, exchange};
use trunkline::rt::mailbox::mailbox;
use trunkline::rt::{self, Driver};
use trunkline::server::connector::Connector;
use trunkline::wire::conn::{Answer, Busy};
use trunkline::wire::target::Target;

use crate::cluster::Cluster;
use crate::{on_both_drivers, run};

fn settings(size: usize) -> PoolSettings {
    let (acquisition_timeout, max_idle) = (Duration::from_secs(20), Duration::from_secs(30));
    let (max_lifetime, patience) = (Duration::from_secs(1800), Duration::from_secs(20));
    PoolSettings { size, acquisition_timeout, max_idle, max_lifetime, together: 1, patience }
}

fn pool(connector: &Connector, text: &str, settings: PoolSettings) -> Rc<Pool> {
    Pool::new(settings, connector.handle(Arc::new(Target::parse(text).unwrap())))
}

/// A connection for one request alone.
async fn obtain(pool: &Rc<Pool>) -> Result<Lease, PoolError> {
    match pool.lease(Sharing::Alone).await? {
        Leased::Alone(lease) => Ok(lease),
        Leased::Together(_) => panic!("a request that goes alone shares a connection"),
    }
}

/// Runs one statement and gives the connection back; the first field of the first row.
async fn ask(pool: &Rc<Pool>, statement: &str) -> String {
    use_lease(obtain(pool).await.unwrap(), statement).await
}

async fn use_lease(mut lease: Lease, statement: &str) -> String {
    let (words, idle) = run(lease.take(), &[statement]).await.unwrap();
    lease.put_back(idle);
    words[1].clone()
}

/// Runs until `done` says so.
async fn until(done: impl Fn() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(30), "nothing happened");
        rt::sleep(Duration::from_millis(1)).await;
    }
}

pub fn size_bounds_concurrency(text: &str) {
    let connector = Connector::start(2).unwrap();
    on_both_drivers(async || {
        let pool = pool(&connector, text, settings(2));
        let (running, most, done) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        for _ in 0..8 {
            let (pool, running, most, done) = (pool.clone(), running.clone(), most.clone(), done.clone());
            let task = async move {
                let lease = obtain(&pool).await.unwrap();
                running.set(running.get() + 1);
                most.set(most.get().max(running.get()));
                use_lease(lease, "select pg_sleep(0.01)").await;
                running.set(running.get() - 1);
                done.set(done.get() + 1);
            };
            rt::spawn(task, |message| panic!("{message}"));
        }
        until(|| done.get() == 8).await;
        assert_eq!(most.get(), 2);
        let gauges = pool.gauges();
        assert_eq!((gauges.available, gauges.waiting, gauges.max, gauges.timeouts), (2, 0, 2, 0));
        // The one used last is used next.
        let pid = ask(&pool, "select pg_backend_pid()").await;
        assert_eq!(ask(&pool, "select pg_backend_pid()").await, pid);
        pool.close_all();
        until(|| pool.gauges().available == 0).await;
    });
}

pub fn waiters_time_out_and_go_in_order(text: &str) {
    let connector = Connector::start(2).unwrap();
    on_both_drivers(async || {
        let timeout = Duration::from_millis(150);
        let pool = pool(&connector, text, PoolSettings { acquisition_timeout: timeout, ..settings(1) });
        let held = obtain(&pool).await.unwrap();
        let begin = Instant::now();
        assert!(matches!(obtain(&pool).await, Err(PoolError::TimedOut)));
        assert!(begin.elapsed() >= timeout && begin.elapsed() < timeout * 4);
        assert_eq!((pool.gauges().timeouts, pool.gauges().waiting), (1, 0));
        let order = Rc::new(RefCell::new(Vec::new()));
        for number in 0..4 {
            let (pool, order) = (pool.clone(), order.clone());
            let task = async move {
                let lease = obtain(&pool).await.unwrap();
                order.borrow_mut().push(number);
                use_lease(lease, "select 1").await;
            };
            rt::spawn(task, |message| panic!("{message}"));
        }
        until(|| pool.gauges().waiting == 4).await;
        drop(held);
        until(|| order.borrow().len() == 4).await;
        assert_eq!(*order.borrow(), [0, 1, 2, 3]);
        // A waiter that gives up leaves the queue, and what it was given just then goes on.
        let held = obtain(&pool).await.unwrap();
        assert!(rt::within(Duration::from_millis(5), obtain(&pool)).await.is_err());
        assert_eq!(pool.gauges().waiting, 0);
        drop(held);
        assert_eq!(pool.gauges().available, 1);
    });
}

pub fn terminated_connections_are_replaced(cluster: &Cluster, text: &str) {
    let connector = Connector::start(2).unwrap();
    on_both_drivers(async || {
        let pool = pool(&connector, text, settings(3));
        let leases = [obtain(&pool).await.unwrap(), obtain(&pool).await.unwrap(), obtain(&pool).await.unwrap()];
        drop(leases);
        assert_eq!(pool.gauges().available, 3);
        cluster
            .sql("select pg_terminate_backend(pid, 10000) from pg_stat_activity where application_name = 'Trunkline'");
        assert_eq!(ask(&pool, "select 7").await, "7");
        // The dead ones were thrown away on the way.
        assert_eq!(pool.gauges().available, 1);
        // One that dies in use fails its request alone.
        let mut lease = obtain(&pool).await.unwrap();
        let mut busy = lease.take().begin();
        busy.execute("select pg_terminate_backend(pg_backend_pid())", []);
        busy.sync();
        busy.send().await.unwrap();
        assert!(busy.finish().await.is_err());
        drop(lease);
        assert_eq!(ask(&pool, "select 8").await, "8");
    });
}

pub fn places_are_freed(text: &str) {
    let connector = Connector::start(2).unwrap();
    on_both_drivers(async || {
        let pool = pool(&connector, text, settings(1));
        // A request that ends in the middle takes its connection along, and somebody waits already.
        let mut lease = obtain(&pool).await.unwrap();
        let mut busy = lease.take().begin();
        busy.execute("select generate_series(1, 100000)", []);
        busy.sync();
        busy.send().await.unwrap();
        busy.more().await.unwrap();
        let next = Rc::new(RefCell::new(String::new()));
        let (waiting, heard) = (pool.clone(), next.clone());
        let task = async move {
            let answer = ask(&waiting, "select 'mine'").await;
            *heard.borrow_mut() = answer;
        };
        rt::spawn(task, |message| panic!("{message}"));
        until(|| pool.gauges().waiting == 1).await;
        drop(busy);
        drop(lease);
        until(|| *next.borrow() == "mine").await;
        // A lease that was not used gives its connection back.
        drop(obtain(&pool).await.unwrap());
        assert_eq!(pool.gauges().available, 1);
    });
}

pub fn abandoned_queries_are_cancelled(cluster: &Cluster, text: &str) {
    let connector = Connector::start(2).unwrap();
    on_both_drivers(async || {
        let pool = pool(&connector, text, settings(1));
        let statements = ["select pg_sleep(600)", "select repeat('x', 1000) from generate_series(1, 100000000)"];
        for statement in statements {
            let mut lease = obtain(&pool).await.unwrap();
            let idle = lease.take();
            let pid = idle.key().process_id;
            let mut busy = idle.begin();
            busy.execute(statement, []);
            busy.sync();
            busy.send().await.unwrap();
            // Perhaps before the statement has begun: a cancellation that comes too early is sent again.
            let key = busy.key().clone();
            let finished = lease.cancel_until(&key, pin!(busy.finish())).await;
            lease.put_back(finished.unwrap().begin().settle().await.unwrap());
            assert_eq!(ask(&pool, "select pg_backend_pid()").await, pid.to_string());
        }
        let running = "select count(*) from pg_stat_activity where state = 'active' and query like '%(600)%'";
        assert_eq!(cluster.sql(&format!("{running} and pid <> pg_backend_pid()")), "0");
    });
}

/// Two cores with two places each: the one with all the load ends up with three, the other keeps one.
pub fn cores_even_out(text: &str) {
    let connector = Connector::start(2).unwrap();
    for driver in [Driver::Epoll, rt::driver()] {
        let mut seats = exchange::seats(2);
        let (busy_seat, calm_seat) = (seats.remove(0), seats.remove(0));
        let target = Arc::new(Target::parse(text).unwrap());
        let timeout = Duration::from_millis(700);
        let settings = PoolSettings { acquisition_timeout: timeout, ..settings(2) };
        let (handle, calm_settings) = (connector.handle(target.clone()), settings.clone());
        let (calm_ready, wait_for_calm) = mpsc::channel();
        let (stop, mut stopped) = mailbox::<()>();
        let calm = std::thread::spawn(move || {
            rt::run(driver, async move {
                let pool = Pool::new(calm_settings, handle);
                pool.join(calm_seat);
                // Both of its connections are open and idle.
                drop((obtain(&pool).await.unwrap(), obtain(&pool).await.unwrap()));
                calm_ready.send(()).unwrap();
                stopped.receive().await;
                assert_eq!(ask(&pool, "select 'still mine'").await, "still mine");
                pool.gauges()
            })
            .unwrap()
        });
        wait_for_calm.recv().unwrap();
        let busy = rt::run(driver, async {
            let pool = Pool::new(settings, connector.handle(target));
            pool.join(busy_seat);
            let leases = [obtain(&pool).await.unwrap(), obtain(&pool).await.unwrap(), obtain(&pool).await.unwrap()];
            assert!(matches!(obtain(&pool).await, Err(PoolError::TimedOut)));
            drop(leases);
            pool.gauges()
        });
        drop(stop);
        assert_eq!((busy.unwrap().max, calm.join().unwrap().max), (3, 1));
    }
}

pub fn eviction(text: &str) {
    let connector = Connector::start(2).unwrap();
    on_both_drivers(async || {
        let idle_soon = PoolSettings { max_idle: Duration::from_millis(30), ..settings(2) };
        let pool_idle = pool(&connector, text, idle_soon);
        ask(&pool_idle, "select 1").await;
        pool_idle.tick();
        assert_eq!(pool_idle.gauges().available, 1);
        until(|| {
            pool_idle.tick();
            pool_idle.gauges().available == 0
        })
        .await;
        let old_soon = PoolSettings { max_lifetime: Duration::from_millis(50), ..settings(1) };
        let pool_old = pool(&connector, text, old_soon);
        let mut lease = obtain(&pool_old).await.unwrap();
        let (words, idle) = run(lease.take(), &["select pg_backend_pid(), pg_sleep(0.1)"]).await.unwrap();
        // Too old, but never taken from who uses it; the next gets a new one.
        pool_old.tick();
        lease.put_back(idle);
        assert_eq!(pool_old.gauges().available, 0);
        assert_ne!(ask(&pool_old, "select pg_backend_pid()").await, words[1].trim_end_matches('|'));
    });
}

pub fn failures_reach_those_who_wait(text: &str) {
    let connector = Connector::start(2).unwrap();
    on_both_drivers(async || {
        let failed = Rc::new(Cell::new(0));
        let pool = pool(&connector, &format!("{text} dbname=nowhere"), settings(2));
        for _ in 0..6 {
            let (pool, failed) = (pool.clone(), failed.clone());
            let task = async move {
                match obtain(&pool).await {
                    Err(PoolError::Connect(error)) => assert_eq!(error.sqlstate(), Some("3D000")),
                    other => panic!("{:?}", other.err()),
                }
                failed.set(failed.get() + 1);
            };
            rt::spawn(task, |message| panic!("{message}"));
        }
        until(|| failed.get() == 6).await;
        assert_eq!(pool.gauges().waiting, 0);
    });
}

/// What those that may share a connection were answered: (number, answer, whether it came on a shared one).
#[derive(Default)]
struct Shared {
    answers: RefCell<Vec<(usize, String, bool)>>,
}

impl Shared {
    /// Asks from a task of its own; a turn that doesn't come makes it ask again alone.
    fn ask(self: &Rc<Self>, pool: &Rc<Pool>, number: usize, statement: &'static str) {
        let (shared, pool) = (self.clone(), pool.clone());
        let task = async move {
            let (answer, together) = ask_together(&pool, statement).await;
            shared.answers.borrow_mut().push((number, answer, together));
        };
        rt::spawn(task, |message| panic!("{message}"));
    }

    async fn taken(&self, count: usize) -> Vec<(usize, String, bool)> {
        until(|| self.answers.borrow().len() == count).await;
        self.answers.take()
    }
}

async fn ask_together(pool: &Rc<Pool>, statement: &str) -> (String, bool) {
    if let Leased::Together(passenger) = pool.lease(Sharing::Together).await.unwrap() {
        let append = |busy: &mut Busy| {
            busy.execute(statement, []);
            busy.sync();
        };
        if let Some((lease, mut busy)) = passenger.turn(append).await {
            let mut words = Vec::new();
            loop {
                match busy.answer() {
                    Ok(Some(Answer::Ready(_))) => break,
                    Ok(Some(answer)) => words.push(crate::word(answer)),
                    Ok(None) => {
                        if busy.more().await.is_err() {
                            return ("broken".to_owned(), true);
                        }
                    }
                    Err(_) => return ("broken".to_owned(), true),
                }
            }
            lease.pass_on(busy).await;
            let answer = words.get(1).or(words.last()).cloned().unwrap();
            return (answer, true);
        }
    }
    (ask(pool, statement).await, false)
}

/// Waiters are sent together, in order, at most so many; each reads its own answer, also behind an error.
pub fn waiters_share_a_connection(text: &str) {
    let connector = Connector::start(2).unwrap();
    on_both_drivers(async || {
        let pool = pool(&connector, text, PoolSettings { together: 3, ..settings(1) });
        let statements = [
            "select 'a' || pg_backend_pid()",
            "select 1/0",
            "select 'c' || pg_backend_pid()",
            "select 'd' || pg_backend_pid()",
        ];
        let pid = ask(&pool, "select pg_backend_pid()").await;
        for _ in 0..3 {
            let held = obtain(&pool).await.unwrap();
            let shared = Rc::new(Shared::default());
            for (number, statement) in statements.into_iter().enumerate() {
                shared.ask(&pool, number, statement);
            }
            until(|| pool.gauges().waiting == 4).await;
            drop(held);
            let answers = shared.taken(4).await;
            let [a, b, c, d] = &answers[..] else { panic!("{answers:?}") };
            assert_eq!((a, c), (&(0, format!("a{pid}"), true), &(2, format!("c{pid}"), true)));
            assert!(b.0 == 1 && b.2 && b.1.contains("22012"), "{b:?}");
            assert_eq!(d, &(3, format!("d{pid}"), false));
            assert_eq!(pool.gauges().available, 1);
        }
    });
}

/// Each takes its time, all of them together more than anybody waits behind a single one.
pub fn who_shares_waits_as_long_as_turns_come(text: &str) {
    let connector = Connector::start(2).unwrap();
    on_both_drivers(async || {
        let patience = Duration::from_secs(1);
        let pool = pool(&connector, text, PoolSettings { together: 4, patience, ..settings(1) });
        let held = obtain(&pool).await.unwrap();
        let shared = Rc::new(Shared::default());
        for number in 0..4 {
            shared.ask(&pool, number, "select 'slept' || pg_sleep(0.45)");
        }
        until(|| pool.gauges().waiting == 4).await;
        drop(held);
        assert!(shared.taken(4).await.iter().all(|(_, answer, together)| answer == "slept" && *together));
    });
}

/// Behind one that goes alone, or in front of it, nobody is taken along.
pub fn who_goes_alone_shares_with_nobody(text: &str) {
    let connector = Connector::start(2).unwrap();
    on_both_drivers(async || {
        let pool = pool(&connector, text, PoolSettings { together: 3, ..settings(1) });
        let held = obtain(&pool).await.unwrap();
        let shared = Rc::new(Shared::default());
        shared.ask(&pool, 0, "select 0");
        let alone = Rc::new(RefCell::new(String::new()));
        let (waiting, heard) = (pool.clone(), alone.clone());
        until(|| pool.gauges().waiting == 1).await;
        let task = async move {
            let answer = ask(&waiting, "select 1").await;
            *heard.borrow_mut() = answer;
        };
        rt::spawn(task, |message| panic!("{message}"));
        until(|| pool.gauges().waiting == 2).await;
        shared.ask(&pool, 2, "select 2");
        until(|| pool.gauges().waiting == 3).await;
        drop(held);
        assert_eq!(shared.taken(2).await, [(0, "0".to_owned(), false), (2, "2".to_owned(), false)]);
        assert_eq!(*alone.borrow(), "1");
    });
}

/// What waits behind a slow statement goes alone before that ends; so does what shared a connection that broke.
pub fn who_shares_is_not_held_up(text: &str) {
    let connector = Connector::start(2).unwrap();
    on_both_drivers(async || {
        let patience = Duration::from_millis(30);
        let pool = pool(&connector, text, PoolSettings { together: 4, patience, ..settings(2) });
        let slow = [("select pg_sleep(2)", ""), ("select pg_terminate_backend(pg_backend_pid())", "broken")];
        for (first, its_answer) in slow {
            let held = (obtain(&pool).await.unwrap(), obtain(&pool).await.unwrap());
            let shared = Rc::new(Shared::default());
            shared.ask(&pool, 0, first);
            until(|| pool.gauges().waiting == 1).await;
            for number in 1..4 {
                shared.ask(&pool, number, "select 'quick'");
            }
            until(|| pool.gauges().waiting == 4).await;
            drop(held.0);
            // The slow one has the connection with all others behind it; the second connection comes free only now.
            until(|| pool.gauges().waiting == 0).await;
            drop(held.1);
            let mut answers = shared.taken(4).await;
            // The slow one is the last to be answered, the broken one the first.
            let last = if its_answer.is_empty() { 3 } else { 0 };
            assert_eq!(answers[last].0, 0, "{answers:?}");
            answers.sort();
            let others = (1..4).map(|number| (number, "quick".to_owned(), false));
            let expected: Vec<_> = std::iter::once((0, its_answer.to_owned(), true)).chain(others).collect();
            assert_eq!(answers, expected);
            // Whatever was left of the shared connection is read, or its place free.
            until(|| pool.gauges().available == 2 || its_answer == "broken").await;
        }
        assert_eq!(ask(&pool, "select 5").await, "5");
    });
}
