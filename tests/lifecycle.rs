//! The real process from start to end: signals, PostgreSQL killed, restarted and absent, slow and vanishing clients.
//! Every test has a private PostgreSQL of its own and runs on both drivers where the machine has both.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, clippy::unwrap_used)] // A test harness.

#[path = "support/load.rs"]
mod load;
#[path = "support/process.rs"]
mod process;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use load::{Client, Load};
use nix::sys::signal::Signal;
use process::{Options, Process, ask, get, read_reply};
use trunkline::rt::Driver;
use trunkline::server::cluster::{Cluster, ClusterOptions, Shutdown};

const DATABASE: &str = "postgres";
const ITEM: &str = "/item?id=eq.7";
const FIXTURE: &str = "
    create role anon nologin;
    create role authenticator login noinherit;
    grant anon to authenticator;
    create schema api;
    grant usage on schema api to anon;
    create table api.item (id int primary key, name text not null);
    insert into api.item select n, 'item ' || n from generate_series(1, 1000) n;
    create view api.nap as select 1 as id, pg_sleep(1)::text as slept;
    create view api.long_nap as select 1 as id, pg_sleep(60)::text as slept;
    create view api.many as select n as id, repeat('x', 80) as filler from generate_series(1, 1000000) n;
    grant select on all tables in schema api to anon;
";

fn cluster() -> Cluster {
    let cluster = Cluster::start(ClusterOptions::default()).expect("a private PostgreSQL");
    cluster.psql_in(DATABASE, FIXTURE).expect("the fixture loads");
    cluster
}

fn options(cluster: &Cluster, more: &str) -> Options {
    let config = format!(
        "db-uri = \"{}\"\ndb-schemas = \"api\"\ndb-anon-role = \"anon\"\ndb-config = false\n{more}",
        cluster.uri("authenticator", DATABASE)
    );
    Options { config, ..Options::default() }
}

/// Runs `test` on each driver that this machine has, with one data core and with two.
fn on_every_driver(cluster: &Cluster, more: &str, test: impl Fn(&mut Process)) {
    for (forced, cores) in [("0", 1), ("0", 2), ("1", 1), ("1", 2)] {
        if forced == "0" && trunkline::rt::driver() == Driver::Epoll {
            // Nothing is untested by this: the other half of the loop runs epoll.
            let _ = writeln!(std::io::stdout(), "io_uring is refused on this machine: epoll only");
            continue;
        }
        let mut options = options(cluster, &format!("server-threads = {cores}\n{more}"));
        options.environment.push(("MONOIO_FORCE_LEGACY_DRIVER".to_owned(), forced.to_owned()));
        test(&mut Process::start(&options));
    }
}

fn status(process: &Process, path: &str) -> u16 {
    get(process.api, path).map_or(0, |reply| reply.status)
}

#[test]
fn rows_come_as_json_on_every_driver() {
    let cluster = cluster();
    on_every_driver(&cluster, "", |process| {
        let reply = get(process.api, "/item?select=id,name&order=id&limit=2").unwrap();
        assert_eq!(reply.text(), "[{\"id\":1,\"name\":\"item 1\"}, \n {\"id\":2,\"name\":\"item 2\"}]");
        assert_eq!((reply.status, reply.header("Content-Range")), (200, Some("0-1/*")));
        assert!(reply.header("Server").is_some_and(|server| server.starts_with("trunkline")));
        assert_eq!(status(process, "/nothing"), 404);
        assert_eq!(get(process.admin, "/live").unwrap().status, 200);
    });
}

#[test]
fn a_request_in_flight_finishes_when_the_process_is_told_to_end() {
    let cluster = cluster();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut process = Process::start(&options(&cluster, ""));
        let mut idle = Client::connect(&process);
        assert_eq!(idle.get("/item?limit=1").unwrap().status, 200);
        let mut busy = Client::connect(&process);
        busy.send("/nap").unwrap();
        wait_for_sleepers(&cluster, 1);
        process.signal(signal);
        let reply = read_reply(&mut busy.0).unwrap();
        assert_eq!((reply.status, reply.header("Connection")), (200, Some("close")));
        assert_eq!(idle.0.read(&mut [0]).unwrap(), 0, "an idle connection is closed");
        assert!(process.wait_exit().success(), "{}", process.log());
        assert!(TcpStream::connect(process.api).is_err(), "no new connections");
    }
}

/// What a proxy relies on that keeps connections and may not send a write twice.
#[test]
fn no_request_that_was_taken_is_lost_at_the_end() {
    let cluster = cluster();
    on_every_driver(&cluster, "", |process| {
        let (served, api) = (&AtomicU64::new(0), process.api);
        let lost = thread::scope(|scope| {
            let clients: Vec<_> =
                (0..16).map(|number| scope.spawn(move || ask_to_the_end(api, number, served))).collect();
            process.wait_until("under load", |_| served.load(Ordering::Relaxed) > 500);
            process.signal(Signal::SIGTERM);
            clients.into_iter().filter_map(|client| client.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(lost, Vec::<String>::new());
        assert!(process.wait_exit().success(), "{}", process.log());
    });
}

/// Asks over a kept connection, or with an odd number over a new one each time, until no new one can be had. What is said of
/// a request that was sent and never answered.
fn ask_to_the_end(api: SocketAddr, number: u64, served: &AtomicU64) -> Option<String> {
    loop {
        let mut client = Client::connect_to(api).ok()?;
        loop {
            let reply = match client.get(ITEM) {
                Ok(reply) => reply,
                Err(error) => return Some(error.to_string()),
            };
            assert_eq!(reply.status, 200);
            served.fetch_add(1, Ordering::Relaxed);
            if reply.header("Connection") == Some("close") || number % 2 == 1 {
                break;
            }
        }
    }
}

#[test]
fn a_second_signal_does_not_wait() {
    let cluster = cluster();
    let mut process = Process::start(&options(&cluster, ""));
    let mut busy = Client::connect(&process);
    busy.send("/long_nap").unwrap();
    wait_for_sleepers(&cluster, 1);
    process.signal(Signal::SIGTERM);
    process.wait_until("stopping", |process| process.log().contains("termination"));
    process.signal(Signal::SIGTERM);
    process.wait_exit();
}

/// Waits until so many of the server's backends sleep.
fn wait_for_sleepers(cluster: &Cluster, count: u32) {
    let question = "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and usename = 'authenticator'";
    let deadline = Instant::now() + Duration::from_secs(20);
    while cluster.psql_in(DATABASE, question).unwrap().trim() != count.to_string() {
        assert!(Instant::now() < deadline, "there never were {count} sleeping backends");
    }
}

#[test]
fn a_client_that_leaves_has_its_query_cancelled() {
    let cluster = cluster();
    on_every_driver(&cluster, "db-pool = 2\n", |process| {
        let mut client = Client::connect(process);
        client.send("/long_nap").unwrap();
        wait_for_sleepers(&cluster, 1);
        drop(client);
        wait_for_sleepers(&cluster, 0);
        assert_eq!(status(process, "/item?limit=1"), 200);
    });
}

#[test]
fn killed_backends_cost_the_requests_in_flight_and_no_others() {
    let cluster = cluster();
    on_every_driver(&cluster, "db-pool = 4\n", |process| {
        let load = Load::start(process, 8, ITEM);
        load.wait_for(200);
        for _ in 0..5 {
            let before = load.answered();
            let killed: u64 = cluster
                .psql_in(
                    DATABASE,
                    "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                     where usename = 'authenticator' and application_name <> ''",
                )
                .unwrap()
                .trim()
                .parse()
                .unwrap();
            assert!(killed > 0);
            load.wait_for(before + 200);
        }
        let outcome = load.stop();
        assert!(outcome.other.is_empty(), "only 200 and 503: {outcome:?}");
        // Four connections, five times: no more than these can have been in use.
        assert!(outcome.unavailable <= 20, "{outcome:?}");
        assert_eq!(status(process, "/item?limit=1"), 200);
    });
}

#[test]
fn postgresql_restarted_under_load_is_found_again() {
    let mut cluster = cluster();
    for how in [Shutdown::Fast, Shutdown::Immediate] {
        let options = options(&cluster, "");
        let mut process = Process::start(&options);
        let load = Load::start(&process, 4, ITEM);
        load.wait_for(200);
        cluster.restart(how).unwrap();
        let before = load.ok();
        process.wait_until("back", |_| load.ok() > before + 200);
        let outcome = load.stop();
        assert!(outcome.other.is_empty(), "only 200 and 503: {outcome:?}");
        process.wait_ready();
    }
}

#[test]
fn postgresql_absent_at_start_is_waited_for() {
    let mut cluster = cluster();
    cluster.stop(Shutdown::Fast).unwrap();
    let mut process = Process::spawn(&options(&cluster, ""));
    process.wait_until("answering", |process| status(process, "/item") == 503);
    let reply = get(process.api, "/item").unwrap();
    assert!(reply.text().contains("PGRST002"), "{}", reply.text());
    assert!(reply.header("Retry-After").is_some());
    assert_eq!(get(process.admin, "/ready").unwrap().status, 503);
    assert_eq!(get(process.admin, "/live").unwrap().status, 200);
    cluster.start_again().unwrap();
    process.wait_ready();
    assert_eq!(status(&process, "/item?limit=1"), 200);
}

#[test]
fn a_refused_login_ends_the_start_with_a_clear_message() {
    let cluster = cluster();
    let mut options = options(&cluster, "");
    options.config = options.config.replace("authenticator", "nobody_here");
    let mut process = Process::spawn(&options);
    assert!(!process.wait_exit().success());
    assert!(process.log().contains("role \"nobody_here\" does not exist"), "{}", process.log());
}

#[test]
fn an_exhausted_pool_refuses_at_its_time() {
    let cluster = cluster();
    on_every_driver(&cluster, "db-pool = 1\ndb-pool-acquisition-timeout = 1\n", |process| {
        let mut busy = Client::connect(process);
        busy.send("/long_nap").unwrap();
        wait_for_sleepers(&cluster, 1);
        let asked = Instant::now();
        let reply = get(process.api, "/item?limit=1").unwrap();
        assert_eq!(reply.status, 504);
        assert!(reply.text().contains("PGRST003"), "{}", reply.text());
        assert!(asked.elapsed() >= Duration::from_secs(1), "{:?}", asked.elapsed());
        // What never reaches PostgreSQL needs no connection.
        assert_eq!(status(process, "/nothing"), 404);
        assert_eq!(status(process, "/item?id=wat.1"), 400);
        drop(busy);
        wait_for_sleepers(&cluster, 0);
    });
}

#[test]
fn a_unix_socket_has_its_mode_and_is_gone_afterwards() {
    let cluster = cluster();
    let path = std::env::temp_dir().join(format!("trunkline-lifecycle-{}.socket", std::process::id()));
    let mut options = options(&cluster, "server-unix-socket-mode = \"600\"\n");
    options.unix_socket = Some(path.clone());
    let mut process = Process::start(&options);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(ask(UnixStream::connect(&path).unwrap(), "/item?limit=1").unwrap().status, 200);
    process.signal(Signal::SIGTERM);
    assert!(process.wait_exit().success());
    assert!(!path.exists());
}

#[test]
fn a_socket_file_that_a_killed_server_left_is_replaced_and_a_served_one_is_not() {
    let cluster = cluster();
    let path = std::env::temp_dir().join(format!("trunkline-stale-{}.socket", std::process::id()));
    let mut options = options(&cluster, "");
    options.unix_socket = Some(path.clone());
    let mut killed = Process::start(&options);
    killed.signal(Signal::SIGKILL);
    killed.wait_exit();
    assert!(path.exists());
    let mut served = Process::start(&options);
    let mut second = Process::spawn(&options);
    assert!(!second.wait_exit().success());
    assert!(second.log().contains("is in use"), "{}", second.log());
    assert_eq!(ask(UnixStream::connect(&path).unwrap(), "/item?limit=1").unwrap().status, 200);
    served.signal(Signal::SIGTERM);
    assert!(served.wait_exit().success());
    assert!(!path.exists());
}

#[test]
fn a_port_in_use_is_named() {
    let cluster = cluster();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut options = options(&cluster, "");
    options.environment.push(("PGRST_SERVER_PORT".to_owned(), port.to_string()));
    let mut process = Process::spawn(&options);
    assert!(!process.wait_exit().success());
    assert!(process.log().contains("server-port"), "{}", process.log());
}

#[test]
fn a_million_rows_for_a_slow_client_do_not_make_the_process_grow() {
    let cluster = cluster();
    on_every_driver(&cluster, "", |process| {
        assert_eq!(status(process, "/item"), 200);
        let before = process.resident_bytes();
        let mut client = Client::connect(process);
        client.send("/many").unwrap();
        let mut most = 0;
        let mut taken = 0_u64;
        let mut buffer = vec![0; 256 * 1024];
        let stream = client.0.get_mut();
        while !buffer[..].windows(5).any(|end| end == b"0\r\n\r\n") {
            let bytes = stream.read(&mut buffer).unwrap();
            assert!(bytes > 0, "the answer was cut");
            buffer[bytes..].fill(0);
            taken += u64::try_from(bytes).unwrap();
            most = most.max(process.resident_bytes());
        }
        assert!(taken > 100_000_000, "{taken} bytes are no million rows");
        let grown = most.saturating_sub(before);
        assert!(grown < 16 * 1024 * 1024, "grew by {grown} bytes");
    });
}

#[test]
fn a_streamed_answer_that_fails_is_seen_to_be_incomplete() {
    let cluster = cluster();
    cluster
        .psql_in(
            DATABASE,
            "create view api.breaks as select n as id, 1 / (900000 - n) as broken, repeat('x', 80) as filler \
             from generate_series(1, 1000000) n; grant select on api.breaks to anon",
        )
        .unwrap();
    let process = Process::start(&options(&cluster, ""));
    let mut client = Client::connect(&process);
    client.send("/breaks").unwrap();
    let mut all = Vec::new();
    let end = client.0.read_to_end(&mut all);
    assert!(end.is_err() || !all.ends_with(b"0\r\n\r\n"), "no last chunk after an error");
    assert_eq!(status(&process, "/item?limit=1"), 200);
}
