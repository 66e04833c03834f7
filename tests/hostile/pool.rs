//! One core's pool against a real PostgreSQL.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use trunkline::pool::{Lease, Pool, PoolError, PoolSettings, exchange};
use trunkline::rt::mailbox::mailbox;
use trunkline::rt::{self, Driver};
use trunkline::server::connector::Connector;
use trunkline::wire::target::Target;

use crate::cluster::Cluster;
use crate::{on_both_drivers, run};

fn settings(size: usize) -> PoolSettings {
    let (acquisition_timeout, max_idle) = (Duration::from_secs(20), Duration::from_secs(30));
    PoolSettings { size, acquisition_timeout, max_idle, max_lifetime: Duration::from_secs(1800) }
}

fn pool(connector: &Connector, text: &str, settings: PoolSettings) -> Rc<Pool> {
    Pool::new(settings, connector.handle(Arc::new(Target::parse(text).unwrap())))
}

/// Runs one statement and gives the connection back; the first field of the first row.
async fn ask(pool: &Rc<Pool>, statement: &str) -> String {
    use_lease(pool.lease().await.unwrap(), statement).await
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
                let lease = pool.lease().await.unwrap();
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
        let held = pool.lease().await.unwrap();
        let begin = Instant::now();
        assert!(matches!(pool.lease().await, Err(PoolError::TimedOut)));
        assert!(begin.elapsed() >= timeout && begin.elapsed() < timeout * 4);
        assert_eq!((pool.gauges().timeouts, pool.gauges().waiting), (1, 0));
        let order = Rc::new(RefCell::new(Vec::new()));
        for number in 0..4 {
            let (pool, order) = (pool.clone(), order.clone());
            let task = async move {
                let lease = pool.lease().await.unwrap();
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
        let held = pool.lease().await.unwrap();
        assert!(rt::within(Duration::from_millis(5), pool.lease()).await.is_err());
        assert_eq!(pool.gauges().waiting, 0);
        drop(held);
        assert_eq!(pool.gauges().available, 1);
    });
}

pub fn terminated_connections_are_replaced(cluster: &Cluster, text: &str) {
    let connector = Connector::start(2).unwrap();
    on_both_drivers(async || {
        let pool = pool(&connector, text, settings(3));
        let leases = [pool.lease().await.unwrap(), pool.lease().await.unwrap(), pool.lease().await.unwrap()];
        drop(leases);
        assert_eq!(pool.gauges().available, 3);
        cluster
            .sql("select pg_terminate_backend(pid, 10000) from pg_stat_activity where application_name = 'Trunkline'");
        assert_eq!(ask(&pool, "select 7").await, "7");
        // The dead ones were thrown away on the way.
        assert_eq!(pool.gauges().available, 1);
        // One that dies in use fails its request alone.
        let mut lease = pool.lease().await.unwrap();
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
        let mut lease = pool.lease().await.unwrap();
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
        drop(pool.lease().await.unwrap());
        assert_eq!(pool.gauges().available, 1);
    });
}

pub fn abandoned_queries_are_cancelled(cluster: &Cluster, text: &str) {
    let connector = Connector::start(2).unwrap();
    on_both_drivers(async || {
        let pool = pool(&connector, text, settings(1));
        let statements = ["select pg_sleep(600)", "select repeat('x', 1000) from generate_series(1, 100000000)"];
        for statement in statements {
            let mut lease = pool.lease().await.unwrap();
            let idle = lease.take();
            let pid = idle.key().process_id;
            let mut busy = idle.begin();
            busy.execute(statement, []);
            busy.sync();
            busy.send().await.unwrap();
            // Perhaps before the statement has begun: a cancellation that comes too early is sent again.
            lease.abandon(busy).await;
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
                drop((pool.lease().await.unwrap(), pool.lease().await.unwrap()));
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
            let leases = [pool.lease().await.unwrap(), pool.lease().await.unwrap(), pool.lease().await.unwrap()];
            assert!(matches!(pool.lease().await, Err(PoolError::TimedOut)));
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
        let mut lease = pool_old.lease().await.unwrap();
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
                match pool.lease().await {
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
