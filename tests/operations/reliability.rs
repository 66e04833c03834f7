//! What the table of `tests/README.md` asks of the process and no other test shows.

use std::fmt::Write as _;
use std::io::{BufReader, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use trunkline::server::cluster::Shutdown;

use crate::process::{Options, Process, Reply, get, read_reply};
use crate::{ANON, LOADED, cluster, options, psql, said, status};

/// A number of the environment, for the long forms in `make soak`.
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn send(process: &Process, method: &str, path: &str, header: &str) -> Reply {
    let mut stream = TcpStream::connect(process.api).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
    if !header.is_empty() {
        write!(head, "{header}\r\n").unwrap();
    }
    write!(stream, "{head}\r\n").unwrap();
    read_reply(&mut BufReader::new(stream)).unwrap()
}

#[test]
fn a_database_that_is_not_there_ends_a_process_that_may_not_recover() {
    let cluster = cluster();
    let config = format!(
        "db-uri = \"{}\"\ndb-schemas = \"api\"\n{ANON}db-pool-automatic-recovery = false\n",
        cluster.uri("authenticator", "nowhere")
    );
    let mut process = Process::spawn(&Options { config, ..Options::default() });
    assert!(!process.wait_exit().success());
    let log = process.log();
    assert!(log.contains("database \"nowhere\" does not exist"), "{log}");
    assert!(log.contains("Automatic recovery disabled, exiting."), "{log}");
}

#[test]
fn an_outage_is_waited_out_with_longer_and_longer_pauses() {
    let mut cluster = cluster();
    let mut process = Process::start(&options(&cluster, ANON));
    assert_eq!(status(&process, "/item?limit=1"), 200);
    let before = process.resident_bytes();
    cluster.stop(Shutdown::Immediate).unwrap();
    let over = Instant::now() + Duration::from_secs(number("OUTAGE_SECONDS", 4));
    while Instant::now() < over {
        let reply = get(process.api, "/item?limit=1").unwrap();
        assert_eq!(reply.status, 503, "{}", reply.text());
        let seconds: u32 = reply.header("Retry-After").and_then(|text| text.parse().ok()).expect("Retry-After");
        assert!(seconds <= 32, "{seconds}");
    }
    let pauses: Vec<u32> = process
        .log()
        .lines()
        .filter_map(|line| line.split("Attempting to reconnect to the database in ").nth(1))
        .filter_map(|rest| rest.split(' ').next()?.parse().ok())
        .collect();
    assert!(pauses.len() >= 2, "{pauses:?}");
    for (number, pause) in pauses.iter().enumerate() {
        assert_eq!(*pause, 1 << number.min(5), "{pauses:?}");
    }
    let grown = process.resident_bytes().saturating_sub(before);
    assert!(grown < 16 * 1024 * 1024, "grew by {grown} bytes");
    cluster.start_again().unwrap();
    psql(&cluster, "create table api.fresh (); grant select on api.fresh to anon");
    psql(&cluster, "alter role authenticator set pgrst.db_max_rows = '2'");
    // The pause under way may be 32 s long.
    let deadline = Instant::now() + Duration::from_secs(60);
    while status(&process, "/fresh") != 200
        || get(process.api, "/item").unwrap().header("Content-Range") != Some("0-1/*")
    {
        assert!(Instant::now() < deadline, "not loaded again:\n{}", process.log());
    }
    process.wait_ready();
}

#[test]
fn what_needs_no_database_is_answered_without_one() {
    let mut cluster = cluster();
    let secret = "jwt-secret = \"a secret of thirty-two characters and more\"\n";
    let process = Process::start(&options(&cluster, &format!("{ANON}{secret}")));
    cluster.stop(Shutdown::Fast).unwrap();
    for (method, path, header, expect) in [
        ("GET", "/nothing", "", 404),
        ("GET", "/a/b", "", 404),
        ("TRACE", "/item", "", 405),
        ("OPTIONS", "/item", "", 200),
        ("GET", "/item", "Authorization: Bearer a.b.c", 401),
        ("GET", "/item?select=id,nowhere(id)", "", 400),
        ("GET", "/item", "Accept: image/png", 406),
        ("GET", "/item?id=wat.1", "", 400),
        ("GET", "/item?order=id.sideways", "", 400),
        ("GET", "/item", "", 503),
    ] {
        let reply = send(&process, method, path, header);
        assert_eq!(reply.status, expect, "{method} {path} {header}: {}", reply.text());
    }
}

#[test]
fn a_serialization_failure_is_answered_and_not_tried_again() {
    let cluster = cluster();
    psql(
        &cluster,
        "create sequence api.calls; grant usage on api.calls to anon;
         create function api.conflict() returns void language plpgsql as $$
           begin perform nextval('api.calls'); raise exception 'conflict' using errcode = '40001'; end $$",
    );
    let process = Process::start(&options(&cluster, ANON));
    let reply = send(&process, "POST", "/rpc/conflict", "Content-Length: 0");
    assert!(reply.status == 500 && reply.text().contains("40001"), "{} {}", reply.status, reply.text());
    assert_eq!(psql(&cluster, "select last_value from api.calls"), "1");
}

#[test]
fn a_reload_that_fails_keeps_what_was_loaded() {
    let cluster = cluster();
    let pre_config = |body: &str| {
        psql(
            &cluster,
            &format!(
                "create or replace function private.pre() returns void language plpgsql as $$ begin {body} end $$"
            ),
        );
    };
    psql(&cluster, "create schema private; grant usage on schema private to authenticator");
    pre_config("null;");
    let mut process = Process::start(&options(&cluster, &format!("{ANON}db-pre-config = \"private.pre\"\n")));
    pre_config("raise exception 'not now';");
    psql(&cluster, "create table api.fresh (); grant select on api.fresh to anon");
    process.signal(Signal::SIGUSR1);
    process.wait_until("refused", |process| said(process, "Failed to load the schema cache") > 0);
    assert_eq!(get(process.admin, "/ready").unwrap().status, 503);
    assert_eq!((status(&process, "/item?limit=1"), status(&process, "/fresh")), (200, 404));
    pre_config("null;");
    process.wait_ready();
    assert_eq!((status(&process, "/item?limit=1"), status(&process, "/fresh")), (200, 200));
}

#[test]
fn a_table_that_was_dropped_is_an_error_and_no_more() {
    let cluster = cluster();
    psql(&cluster, "create table api.gone (id int); grant select on api.gone to anon");
    let mut process = Process::start(&options(&cluster, ANON));
    // Once with the statement prepared on the connection, once without.
    assert_eq!(status(&process, "/gone?select=id"), 200);
    psql(&cluster, "drop table api.gone");
    for path in ["/gone?select=id", "/gone"] {
        let reply = get(process.api, path).unwrap();
        assert!(reply.status == 404 && reply.text().contains("42P01"), "{} {}", reply.status, reply.text());
    }
    assert_eq!(status(&process, "/item?limit=1"), 200);
    psql(&cluster, "notify pgrst");
    process.wait_until("up to date", |process| {
        get(process.api, "/gone").is_ok_and(|reply| reply.text().contains("PGRST205"))
    });
}

#[test]
fn a_large_schema_loads_and_unknown_names_are_answered() {
    let cluster = cluster();
    let relations = number("WIDE_RELATIONS", 1_000);
    for begin in (1..=relations).step_by(100) {
        let end = (begin + 99).min(relations);
        psql(
            &cluster,
            &format!(
                "do $$ begin for n in {begin}..{end} loop
                   execute format('create table api.t%s (id int primary key, before int references api.%I)', n,
                     case when n = 1 then 'item' else 't' || n - 1 end);
                 end loop; end $$"
            ),
        );
    }
    psql(&cluster, "grant select on all tables in schema api to anon");
    let mut process = Process::spawn(&options(&cluster, ANON));
    let deadline = Instant::now() + Duration::from_secs(20 + relations / 100);
    while !get(process.admin, "/ready").is_ok_and(|reply| reply.status == 200) {
        assert!(Instant::now() < deadline, "not ready:\n{}", process.log());
    }
    let asked = |process: &Process| {
        for _ in 0..2 {
            let reply = get(process.api, "/t12x").unwrap();
            assert!(reply.status == 404 && reply.text().contains("PGRST205"), "{}", reply.text());
            assert_eq!(status(process, &format!("/t{relations}?select=id,before,t{}(id)", relations - 1)), 200);
        }
    };
    asked(&process);
    for _ in 0..2 {
        let loads = said(&process, LOADED);
        process.signal(Signal::SIGUSR1);
        let deadline = Instant::now() + Duration::from_secs(20 + relations / 100);
        while said(&process, LOADED) == loads {
            assert_eq!(status(&process, "/item?limit=1"), 200);
            assert!(Instant::now() < deadline, "not loaded:\n{}", process.log());
        }
        asked(&process);
    }
    // Three catalogs at most: the one that is served, its successor, and the rows that are read.
    let most = process.peak_bytes();
    assert!(most < 64 * 1024 * 1024 + relations * 30 * 1024, "{most} bytes");
    process.wait_ready();
}

#[test]
fn a_secret_that_changed_counts_at_once() {
    let cluster = cluster();
    let with = |secret: &str| format!("{}jwt-secret = \"{secret}\"\n", options(&cluster, ANON).config);
    // {"alg":"HS256"}, {"role":"clerk"}
    let token =
        "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiY2xlcmsifQ.zHNQEJ9g8lOMeEbrVP6fUxsY4CI1COIbUKaL7ZHDr1g";
    let first = with("a secret of thirty-two characters and more");
    let mut process = Process::start(&Options { config: first, ..Options::default() });
    for _ in 0..2 {
        assert_eq!(send(&process, "GET", "/item?limit=1", token).status, 200);
    }
    let reloads = said(&process, "Config reloaded");
    process.rewrite_config(&with("another one of thirty-two characters or more"));
    process.signal(Signal::SIGUSR2);
    process.wait_until("reloaded", |process| said(process, "Config reloaded") > reloads);
    assert_eq!(send(&process, "GET", "/item?limit=1", token).status, 401);
}

#[test]
fn every_way_to_name_a_host_is_bound() {
    let cluster = cluster();
    let has_ipv6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    for host in ["*", "*4", "!4", "*6", "!6", "127.0.0.1", "localhost", "::1"] {
        if !has_ipv6 && ["!6", "::1"].contains(&host) {
            continue;
        }
        let mut options = options(&cluster, ANON);
        for (name, value) in [("PGRST_SERVER_HOST", host), ("PGRST_SERVER_PORT", "0")] {
            options.environment.push((name.to_owned(), value.to_owned()));
        }
        options.environment.push(("PGRST_ADMIN_SERVER_HOST".to_owned(), "127.0.0.1".to_owned()));
        let mut process = Process::start(&options);
        // The log is written by a thread of its own, perhaps later.
        process.wait_until("logged", |process| said(process, "API server listening on") == 1);
        let log = process.log();
        let address = log.split("API server listening on ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
        let address: SocketAddr = address.parse().unwrap();
        assert_ne!(address.port(), 0);
        let local = match address {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::LOCALHOST, address.port())),
        };
        assert_eq!(get(local, "/item?limit=1").unwrap().status, 200, "{host}");
    }
}
