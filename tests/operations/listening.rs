//! The listening connection: on a primary beside a pool on a replica, and across a network that goes silent.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use trunkline::config::source::Outside;
use trunkline::config::{Config, LogLevel};
use trunkline::observe::Log;
use trunkline::rt;
use trunkline::rt::mailbox::mailbox;
use trunkline::server::cluster::{Cluster, ClusterOptions, Shutdown};
use trunkline::server::listener::{Listener, Pulse};
use trunkline::server::publish::Publisher;
use trunkline::server::readiness::Readiness;
use trunkline::server::reload::{self, Ask};
use trunkline::wire::conn::Idle;
use trunkline::wire::connect::connect;
use trunkline::wire::target::Target;

use crate::process::{Options, Process, get};
use crate::{ANON, DATABASE, FIXTURE, cluster, psql, said, status};

#[test]
fn requests_go_to_a_replica_and_the_listener_to_the_primary() {
    let primary = cluster();
    let mut replica = Cluster::start(ClusterOptions::default()).expect("a private PostgreSQL");
    replica.psql_in(DATABASE, FIXTURE).expect("the fixture loads");
    replica.psql_in(DATABASE, "alter system set default_transaction_read_only = on").unwrap();
    replica.restart(Shutdown::Fast).unwrap();
    let hosts = [&replica, &primary].map(|cluster| cluster.socket_dir().display().to_string()).join(",");
    let ports = [&replica, &primary].map(|cluster| cluster.port().to_string()).join(",");
    let config = format!(
        "db-uri = \"host={hosts} port={ports} user=authenticator dbname={DATABASE} target_session_attrs=read-only\"\n\
         db-schemas = \"api\"\n{ANON}"
    );
    let mut process = Process::start(&Options { config, ..Options::default() });
    assert_eq!(status(&process, "/item?limit=1"), 200);
    let listening = "select count(*) from pg_stat_activity where query ilike 'listen %'";
    let sessions = "select count(*) > 0 from pg_stat_activity where usename = 'authenticator'";
    assert_eq!((psql(&primary, listening), psql(&replica, listening)), ("1".to_owned(), "0".to_owned()));
    assert_eq!(psql(&replica, sessions), "t");
    psql(&replica, "begin read write; create table api.fresh (); grant select on api.fresh to anon; commit");
    assert_eq!(status(&process, "/fresh"), 404);
    psql(&primary, "notify pgrst");
    process.wait_until("loaded from the replica", |process| status(process, "/fresh") == 200);
    // Without the primary requests are answered and the process is not ready.
    let mut primary = primary;
    primary.stop(Shutdown::Fast).unwrap();
    process.wait_until("not ready", |process| get(process.admin, "/ready").is_ok_and(|reply| reply.status == 503));
    assert_eq!(status(&process, "/item?limit=1"), 200);
    primary.start_again().unwrap();
    process.wait_ready();
    assert!(said(&process, "Retrying listening") > 0);
}

#[test]
fn a_silent_connection_is_asked_for_a_sign_of_life() {
    let cluster = cluster();
    let (quiet, patience) = (Duration::from_millis(20), Duration::from_millis(500));
    for driver in [rt::Driver::Epoll, rt::driver()] {
        let wire = Wire::open(&cluster);
        let deadline = Instant::now() + Duration::from_secs(10);
        let opened = connect(&Target::parse(&wire.uri()).unwrap(), deadline).unwrap();
        let outcome = thread::scope(|scope| {
            // The message comes after many quiet times: each was ended by a sign of life.
            scope.spawn(|| {
                wire.wait_for_pulses(5);
                psql(&cluster, "notify heartbeat, 'late'");
            });
            rt::run(driver, async {
                let mut busy = Idle::adopt(opened).unwrap().begin();
                busy.execute_unnamed("listen heartbeat", []);
                busy.sync();
                busy.send().await.unwrap();
                let mut idle = busy.finish().await.unwrap();
                let late = idle.notification_or_pulse(quiet, patience).await.unwrap().payload;
                wire.cut();
                let asked = Instant::now();
                let error = idle.notification_or_pulse(quiet, patience).await.unwrap_err();
                (late, error.to_string(), asked.elapsed())
            })
        });
        let (late, error, waited) = outcome.unwrap();
        assert_eq!(late, "late");
        assert!(error.contains("no answer to the heartbeat"), "{error}");
        assert!((patience..patience * 10).contains(&waited), "{waited:?}");
    }
}

#[test]
fn a_listener_whose_network_goes_silent_opens_another_connection() {
    let cluster = cluster();
    let wire = Wire::open(&cluster);
    let (reload, asked) = reload::asks();
    let (_changes, changed) = mailbox();
    let (log, log_thread) = Log::start(LogLevel::Crit).unwrap();
    let readiness = Arc::new(Readiness::default());
    let listener = Listener {
        publisher: Publisher::new(Config::load(&Nothing, None, &[], None).unwrap()),
        readiness: readiness.clone(),
        target: Arc::new(Target::parse(&wire.uri()).unwrap()),
        driver: rt::driver(),
        reload,
        log,
        pulse: Pulse { quiet: Duration::from_millis(20), patience: Duration::from_millis(500) },
        on_fatal: Box::new(|| ()),
    };
    listener.start(changed).unwrap();
    let patience = Duration::from_secs(20);
    for message in ["first", "second"] {
        wait_until("listening", || readiness.listener_is_up());
        wire.wait_for_pulses(3);
        psql(&cluster, "notify pgrst");
        assert_eq!(asked.recv_timeout(patience), Ok(Ask::Config), "{message}");
        wire.cut();
        wait_until("lost", || !readiness.listener_is_up());
        // What may have been missed is asked for as soon as there is a new connection.
        assert_eq!(asked.recv_timeout(patience), Ok(Ask::Config), "after the {message}");
    }
    drop(log_thread);
}

fn wait_until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "not {what} in time");
        thread::yield_now();
    }
}

/// No file, no environment.
struct Nothing;

impl Outside for Nothing {
    fn read_file(&self, _path: &str) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn variable(&self, _name: &str) -> Option<String> {
        None
    }

    fn variables(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// A network between a client and PostgreSQL that can go silent without closing anything.
struct Wire {
    folder: PathBuf,
    /// So many connections, from the first, are silent.
    silent: Arc<AtomicU64>,
    accepted: Arc<AtomicU64>,
    /// Batches of nothing but a Sync that the client sent since the last cut.
    pulses: Arc<AtomicU64>,
}

/// A Sync message.
const SYNC: &[u8] = b"S\0\0\0\x04";

impl Wire {
    fn open(cluster: &Cluster) -> Self {
        let number = WIRES.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("trunkline-wire-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let server = cluster.socket_dir().join(format!(".s.PGSQL.{}", cluster.port()));
        let listener = UnixListener::bind(folder.join(".s.PGSQL.5432")).unwrap();
        let (silent, accepted, pulses): (Arc<AtomicU64>, Arc<AtomicU64>, Arc<AtomicU64>) = Default::default();
        let wire = Self { folder, silent: silent.clone(), accepted: accepted.clone(), pulses: pulses.clone() };
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let number = accepted.fetch_add(1, Ordering::Relaxed);
                let server = UnixStream::connect(&server).unwrap();
                let (from_server, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let (silent, silent_too, counting) = (silent.clone(), silent.clone(), pulses.clone());
                let cut = move || number < silent.load(Ordering::Relaxed);
                let cut_too = move || number < silent_too.load(Ordering::Relaxed);
                thread::spawn(move || carry(from_server, to_client, cut_too, |_| ()));
                thread::spawn(move || {
                    carry(client, server, cut, |bytes| {
                        counting.fetch_add(u64::from(bytes == SYNC), Ordering::Relaxed);
                    });
                });
            }
        });
        wire
    }

    /// Nothing comes through on the connections that there are.
    fn cut(&self) {
        self.silent.store(self.accepted.load(Ordering::Relaxed), Ordering::Relaxed);
        self.pulses.store(0, Ordering::Relaxed);
    }

    fn uri(&self) -> String {
        format!("host={} port=5432 user=authenticator dbname={DATABASE}", self.folder.display())
    }

    fn wait_for_pulses(&self, count: u64) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.pulses.load(Ordering::Relaxed) < count {
            assert!(Instant::now() < deadline, "no signs of life were asked for");
            thread::yield_now();
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

static WIRES: AtomicU64 = AtomicU64::new(0);

/// Moves bytes until either end closes; once cut, it swallows them.
fn carry(mut from: UnixStream, mut to: UnixStream, cut: impl Fn() -> bool, look: impl Fn(&[u8])) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        look(&buffer[..count]);
        if !cut() && to.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}
