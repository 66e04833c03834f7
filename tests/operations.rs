//! What an operator does to the real process: reload, listen, scrape, hand over, run it out of descriptors.
//! Every test has a private PostgreSQL of its own.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, clippy::unwrap_used)] // A test harness.

#[path = "operations/examples.rs"]
mod examples;
#[path = "operations/exposition.rs"]
mod exposition;
#[path = "operations/listening.rs"]
mod listening;
#[path = "support/load.rs"]
mod load;
#[path = "support/process.rs"]
mod process;
#[path = "operations/reliability.rs"]
mod reliability;
#[path = "operations/reloading.rs"]
mod reloading;
#[path = "operations/sharing.rs"]
mod sharing;
#[path = "operations/supervision.rs"]
mod supervision;

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use exposition::Page;
use load::Client;
use nix::sys::signal::Signal;
use process::{Options, Process, Reply, ask, get, read_reply};
use trunkline::server::cluster::{Cluster, ClusterOptions, Loopback, Shutdown, free_port};

const DATABASE: &str = "postgres";
const FIXTURE: &str = "
    create role anon nologin;
    create role clerk nologin;
    create role authenticator login noinherit;
    grant anon, clerk to authenticator;
    create schema api;
    grant usage on schema api to anon, clerk;
    create table api.item (id int primary key, name text not null);
    insert into api.item select n, 'item ' || n from generate_series(1, 100) n;
    create view api.nap as select 1 as id, pg_sleep(1)::text as slept;
    grant select on all tables in schema api to anon, clerk;
";

fn cluster() -> Cluster {
    let cluster = Cluster::start(ClusterOptions::default()).expect("a private PostgreSQL");
    cluster.psql_in(DATABASE, FIXTURE).expect("the fixture loads");
    cluster
}

fn options(cluster: &Cluster, more: &str) -> Options {
    let config = format!("db-uri = \"{}\"\ndb-schemas = \"api\"\n{more}", cluster.uri("authenticator", DATABASE));
    Options { config, ..Options::default() }
}

const ANON: &str = "db-anon-role = \"anon\"\n";

fn status(process: &Process, path: &str) -> u16 {
    get(process.api, path).map_or(0, |reply| reply.status)
}

fn psql(cluster: &Cluster, sql: &str) -> String {
    cluster.psql_in(DATABASE, sql).unwrap().trim().to_owned()
}

/// How many times the log holds `text`.
fn said(process: &Process, text: &str) -> usize {
    process.log().matches(text).count()
}

const LOADED: &str = "Schema cache loaded";

#[test]
fn notifications_reload_what_they_name() {
    let cluster = cluster();
    let mut process = Process::start(&options(&cluster, &format!("db-channel = \"the \\\"Channel\\\"\"\n{ANON}")));
    let notify = |payload: &str| {
        psql(&cluster, &format!("select pg_notify('the \"Channel\"', '{payload}')"));
    };
    assert!(process.log().contains("listening for database notifications on the"), "{}", process.log());
    let make = |name: &str| psql(&cluster, &format!("create table api.{name} (); grant select on api.{name} to anon"));
    for (payload, name) in [("reload schema", "first"), ("", "second")] {
        make(name);
        let path = format!("/{name}");
        assert_eq!(status(&process, &path), 404);
        notify(payload);
        process.wait_until("loaded", |process| status(process, &path) == 200);
    }
    // A payload of somebody else's does nothing; the one after it shows that it was heard.
    let loads = said(&process, LOADED);
    notify("hello there");
    notify("reload config");
    process.wait_until("reloaded", |process| said(process, "Received a config reload message") == 1);
    process.wait_until("loaded", |process| said(process, LOADED) > loads);
    assert_eq!(said(&process, "Received a schema cache reload message"), 2, "{}", process.log());
}

#[test]
fn a_channel_with_a_name_that_postgresql_cuts_is_heard() {
    let cluster = cluster();
    let channel = "c".repeat(80);
    let mut process = Process::start(&options(&cluster, &format!("db-channel = \"{channel}\"\n{ANON}")));
    psql(&cluster, &format!("create table api.long (); grant select on api.long to anon; notify {channel}"));
    process.wait_until("loaded", |process| status(process, "/long") == 200);
}

#[test]
fn settings_of_the_login_role_count_after_a_reload() {
    let cluster = cluster();
    psql(
        &cluster,
        "create view api.patience as select current_setting('statement_timeout') as value; \
         grant select on api.patience to anon",
    );
    let mut process = Process::start(&options(&cluster, ANON));
    let patience = |process: &Process| get(process.api, "/patience").unwrap().text();
    assert_eq!(patience(&process), "[{\"value\":\"0\"}]");
    psql(&cluster, "alter role authenticator set statement_timeout = '123s'; notify pgrst");
    process.wait_until("patient for 123 seconds", |process| patience(process).contains("123s"));
}

#[test]
fn connections_outlive_a_reload_that_changes_nothing_for_them() {
    let cluster = cluster();
    psql(&cluster, "create view api.session as select pg_backend_pid() as pid; grant select on api.session to anon");
    let mut process = Process::start(&options(&cluster, &format!("db-pool = 1\nserver-threads = 1\n{ANON}")));
    let session = |process: &Process| get(process.api, "/session").unwrap().text();
    let first = session(&process);
    psql(&cluster, "create table api.later (); grant select on api.later to anon; notify pgrst");
    process.wait_until("loaded", |process| status(process, "/later") == 200);
    // Longer than a connection that is to be replaced lives on.
    let until = Instant::now() + Duration::from_secs(6);
    process.wait_until("six seconds later", |process| {
        assert_eq!(session(process), first);
        Instant::now() > until
    });
    psql(&cluster, "alter role authenticator set statement_timeout = '123s'; notify pgrst");
    process.wait_until("replaced", |process| session(process) != first);
}

#[test]
fn a_refused_password_ends_the_start() {
    let options = ClusterOptions { loopback: Loopback::Scram, ..ClusterOptions::default() };
    let cluster = Cluster::start(options).expect("a private PostgreSQL");
    psql(
        &cluster,
        "create role guarded login password 'right'; create schema api; grant usage on schema api to guarded",
    );
    let config = |password: &str| {
        let uri = cluster.loopback_uri("guarded", password, DATABASE).unwrap();
        let config = format!("db-uri = \"{uri}\"\ndb-schemas = \"api\"\ndb-anon-role = \"guarded\"\n");
        Options { config, ..Options::default() }
    };
    let mut refused = Process::spawn(&config("wrong"));
    assert!(!refused.wait_exit().success());
    let log = refused.log();
    assert!(log.contains("Failed to establish a connection."), "{log}");
    assert!(log.contains("password authentication failed for user \"guarded\""), "{log}");
    assert!(!log.contains("wrong"), "{log}");
    // A password that turns wrong ends a process that runs, once it needs a new connection.
    let mut running = Process::start(&config("right"));
    psql(&cluster, "alter role guarded password 'other'");
    running.signal(Signal::SIGUSR1);
    assert!(!running.wait_exit().success());
    assert!(running.log().contains("password authentication failed"), "{}", running.log());
}

/// Each way to say where the database is and what its password is, beside and instead of `db-uri`.
#[test]
fn what_libpq_reads_leads_to_the_database() {
    let options = ClusterOptions { loopback: Loopback::Scram, ..ClusterOptions::default() };
    let cluster = Cluster::start(options).expect("a private PostgreSQL");
    psql(
        &cluster,
        "create role guarded login password 'right'; create schema api; grant usage on schema api to guarded",
    );
    psql(&cluster, "create view api.who as select session_user as name; grant select on api.who to guarded");
    let folder = std::env::temp_dir().join(format!("trunkline-libpq-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let port = cluster.port();
    let file = |name: &str, mode: u32, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.display().to_string()
    };
    let pass_line = format!("# passwords\n127.0.0.1:{port}:*:guarded:right\n");
    let pass_file = file("pass", 0o600, &pass_line);
    let open_pass_file = file("open", 0o644, &pass_line);
    let place = format!("host=127.0.0.1\nport={port}\ndbname=postgres\nuser=guarded\n");
    let services = file("services", 0o644, &format!("[whole]\n{place}password=right\n[bare]\n{place}"));
    let uri_file = file("uri", 0o600, &format!("postgresql://guarded:right@127.0.0.1:{port}/postgres\n"));
    let here =
        [("PGHOST", "127.0.0.1"), ("PGPORT", &port.to_string()), ("PGDATABASE", "postgres"), ("PGUSER", "guarded")];
    let with = |more: &[(&'static str, &str)]| -> Vec<(String, String)> {
        let both = here.iter().chain(more);
        both.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let service = |more: &[(&str, &str)]| -> Vec<(String, String)> {
        let both = [("PGSERVICEFILE", services.as_str())].into_iter().chain(more.iter().copied());
        both.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let missing = "no password supplied";
    let cases = [
        ("", with(&[("PGPASSWORD", "right")]), None),
        ("", with(&[("PGPASSFILE", &pass_file)]), None),
        ("", with(&[("PGPASSFILE", &open_pass_file)]), Some(missing)),
        ("", with(&[("PGPASSWORD", "right"), ("PGSSLMODE", "require")]), Some("server does not support SSL")),
        ("service=whole", service(&[]), None),
        ("", service(&[("PGSERVICE", "whole")]), None),
        ("postgresql://?service=bare", service(&[("PGPASSFILE", &pass_file)]), None),
        ("service=bare", service(&[]), Some(missing)),
        ("service=none", service(&[]), Some("definition of service \"none\" not found")),
        (&format!("host=127.0.0.1 port={port} user=guarded dbname=postgres passfile={pass_file}"), vec![], None),
        (&format!("@{uri_file}"), vec![], None),
    ];
    for (uri, environment, refused) in cases {
        let line = if uri.is_empty() { String::new() } else { format!("db-uri = \"{uri}\"\n") };
        let config = format!("{line}db-schemas = \"api\"\ndb-anon-role = \"guarded\"\n");
        let mut process = Process::spawn(&Options { config, environment: environment.clone(), ..Options::default() });
        match refused {
            None => {
                process.wait_ready();
                assert_eq!(
                    get(process.api, "/who").unwrap().text(),
                    "[{\"name\":\"guarded\"}]",
                    "{uri} {environment:?}"
                );
            }
            Some(why) => process.wait_for_log(why),
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_burst_of_notifications_is_a_few_reloads() {
    let cluster = cluster();
    let mut process = Process::start(&options(&cluster, ANON));
    let loads = said(&process, LOADED);
    // Equal notifications of one transaction are one.
    let burst =
        "begin; notify pgrst, 'reload schema'; commit; begin; notify pgrst, 'reload config'; commit;".repeat(500);
    psql(&cluster, &burst);
    psql(&cluster, "create table api.last (); grant select on api.last to anon; notify pgrst");
    process.wait_until("up to date", |process| status(process, "/last") == 200);
    let reloads = said(&process, LOADED) - loads;
    assert!((1..=10).contains(&reloads), "{reloads} reloads");
}

#[test]
fn settings_of_the_database_come_go_and_win() {
    let cluster = cluster();
    psql(&cluster, "alter role authenticator set pgrst.db_anon_role = 'anon'");
    // Asked as the login role, which may become anybody: nobody else's function runs in it.
    psql(
        &cluster,
        "create function public.unnest(text[]) returns setof text language plpgsql as \
         $$ begin raise exception 'a stand-in was called'; end $$",
    );
    let mut process = Process::start(&options(&cluster, "db-max-rows = 5\n"));
    let range = |process: &Process| {
        let reply = get(process.api, "/item").unwrap();
        reply.header("Content-Range").unwrap_or_default().to_owned()
    };
    assert_eq!(range(&process), "0-4/*");
    psql(&cluster, "alter role authenticator set pgrst.db_max_rows = '2'; notify pgrst, 'reload config'");
    process.wait_until("two rows", |process| range(process) == "0-1/*");
    // A setting for the database wins over one for the role.
    psql(
        &cluster,
        "alter role authenticator in database postgres set pgrst.db_max_rows = '3'; notify pgrst, 'reload config'",
    );
    process.wait_until("three rows", |process| range(process) == "0-2/*");
    // A reload by signal does not forget them.
    let reloads = said(&process, "Config reloaded");
    process.signal(Signal::SIGUSR2);
    process.wait_until("reloaded", |process| said(process, "Config reloaded") > reloads);
    assert_eq!(range(&process), "0-2/*");
    psql(
        &cluster,
        "alter role authenticator reset pgrst.db_max_rows; \
         alter role authenticator in database postgres reset pgrst.db_max_rows; notify pgrst, 'reload config'",
    );
    process.wait_until("five rows", |process| range(process) == "0-4/*");
    // What can't be is said, and what was stays.
    psql(&cluster, "alter role authenticator set pgrst.jwt_secret = 'short'; notify pgrst, 'reload config'");
    process.wait_until("refused", |process| said(process, "Failed reloading config") > 0);
    assert_eq!(range(&process), "0-4/*");
}

#[test]
fn a_file_that_changed_is_read_on_a_signal_and_a_wrong_one_is_not_taken() {
    let cluster = cluster();
    let base = options(&cluster, ANON);
    let without = Options { config: format!("{}db-config = false\n", base.config), ..Options::default() };
    let mut process = Process::start(&without);
    let rows = |process: &Process| get(process.api, "/item").unwrap().text().matches("\"id\"").count();
    assert_eq!(rows(&process), 100);
    process.rewrite_config(&format!("{}db-max-rows = 7\n", without.config));
    process.signal(Signal::SIGUSR2);
    process.wait_until("seven rows", |process| rows(process) == 7);
    process.rewrite_config(&format!("{}db-max-rows = 3\nlog-level = \"loud\"\n", without.config));
    process.signal(Signal::SIGUSR2);
    process.wait_until("refused", |process| said(process, "Failed reloading config") > 0);
    assert_eq!(rows(&process), 7);
    process.rewrite_config(&format!("{}db-channel-enabled = false\n", without.config));
    process.signal(Signal::SIGUSR2);
    process.wait_until("all rows", |process| rows(process) == 100);
    let listening = "select count(*) from pg_stat_activity where query ilike 'listen %'";
    process.wait_until("silent", |_| psql(&cluster, listening) == "0");
    process.rewrite_config(&format!("{}db-channel = \"other\"\n", without.config));
    process.signal(Signal::SIGUSR2);
    process.wait_until("on the other channel", |process| said(process, "on the \"other\" channel") > 0);
    assert_eq!(psql(&cluster, listening), "1");
}

#[test]
fn a_listener_that_is_killed_comes_back_and_catches_up() {
    let cluster = cluster();
    let mut process = Process::start(&options(&cluster, ANON));
    let killed = psql(
        &cluster,
        "create table api.missed (); grant select on api.missed to anon; \
         select count(pg_terminate_backend(pid)) from pg_stat_activity where query ilike 'listen %'",
    );
    assert!(killed.ends_with('1'), "{killed}");
    process.wait_until("lost", |process| said(process, "Retrying listening for database notifications in 1") > 0);
    // Nobody notified: the reload is what a new listener asks for.
    process.wait_until("caught up", |process| status(process, "/missed") == 200);
    process.wait_ready();
    assert_eq!(said(&process, "Listener connected to PostgreSQL"), 2, "{}", process.log());
}

#[test]
fn a_process_that_ends_stops_looking_for_postgresql() {
    let mut cluster = cluster();
    cluster.stop(Shutdown::Fast).unwrap();
    let mut process = Process::spawn(&options(&cluster, ANON));
    process.wait_until("answering", |process| status(process, "/item") == 503);
    process.wait_until("retrying", |process| said(process, "Retrying listening") > 0);
    process.signal(Signal::SIGTERM);
    assert!(process.wait_exit().success());
    assert!(said(&process, "Retrying listening") < 10, "{}", process.log());
}

#[test]
fn without_recovery_a_lost_database_ends_the_process() {
    let mut cluster = cluster();
    for channel in ["true", "false"] {
        let more = format!("{ANON}db-pool-automatic-recovery = false\ndb-channel-enabled = {channel}\n");
        let mut process = Process::start(&options(&cluster, &more));
        assert_eq!(status(&process, "/item?limit=1"), 200);
        cluster.stop(Shutdown::Fast).unwrap();
        // Without a listener the next request finds out.
        let _ = get(process.api, "/item?limit=1");
        assert!(!process.wait_exit().success());
        assert!(process.log().contains("Automatic recovery disabled, exiting."), "{}", process.log());
        cluster.start_again().unwrap();
    }
}

#[test]
fn the_metrics_are_what_prometheus_reads_and_they_count() {
    let cluster = cluster();
    let secret = "a secret of thirty-two characters and more";
    let more = format!("{ANON}db-pool = 2\nserver-threads = 2\njwt-secret = \"{secret}\"\n");
    let mut process = Process::start(&options(&cluster, &more));
    let scrape = |process: &Process| {
        let reply = get(process.admin, "/metrics").unwrap();
        assert_eq!(reply.header("Content-Type"), Some("text/plain; charset=utf-8"));
        Page::parse(&reply.text()).unwrap_or_else(|complaint| panic!("{complaint}\n{}", reply.text()))
    };
    let before = scrape(&process);
    for _ in 0..3 {
        assert_eq!(status(&process, "/item?limit=1"), 200);
        assert_eq!(status(&process, "/nothing"), 404);
    }
    let after = scrape(&process);
    let grown = |name: &str, label: &str| after.sum(name, label) - before.sum(name, label);
    assert!((grown("trunkline_http_requests_total", "class=\"2xx\"") - 3.0).abs() < 0.1);
    assert!((grown("trunkline_http_requests_total", "class=\"4xx\"") - 3.0).abs() < 0.1);
    assert!((grown("trunkline_http_request_duration_seconds_count", "") - 6.0).abs() < 0.1);
    for (name, at_least, at_most) in [
        ("pgrst_db_pool_max", 2.0, 2.0),
        ("pgrst_db_pool_available", 1.0, 2.0),
        ("pgrst_db_pool_waiting", 0.0, 0.0),
        ("pgrst_db_pool_timeouts_total", 0.0, 0.0),
        ("pgrst_schema_cache_query_time_seconds", 0.0001, 20.0),
        ("pgrst_jwt_cache_requests_total", 0.0, 0.0),
        ("pgrst_jwt_cache_hits_total", 0.0, 0.0),
        ("pgrst_jwt_cache_evictions_total", 0.0, 0.0),
        ("trunkline_listener_up", 1.0, 1.0),
        ("trunkline_core_up", 2.0, 2.0),
        ("trunkline_ready", 1.0, 1.0),
        ("process_open_fds", 5.0, 1000.0),
        ("process_resident_memory_bytes", 1e6, 1e9),
    ] {
        let value = after.sum(name, "");
        assert!((at_least..=at_most).contains(&value), "{name} is {value}");
    }
    assert!(after.sum("pgrst_schema_cache_loads_total", "status=\"SUCCESS\"") >= 1.0);
    let loads = after.sum("pgrst_schema_cache_loads_total", "status=\"SUCCESS\"");
    process.signal(Signal::SIGUSR1);
    process.wait_until("loaded again", |process| {
        scrape(process).sum("pgrst_schema_cache_loads_total", "status=\"SUCCESS\"") > loads
    });
}

#[test]
fn an_exhausted_pool_is_counted_and_told_once() {
    let cluster = cluster();
    psql(&cluster, "create view api.long_nap as select pg_sleep(20)::text; grant select on api.long_nap to anon");
    let more = format!("{ANON}db-pool = 1\ndb-pool-acquisition-timeout = 2\n");
    let mut process = Process::start(&options(&cluster, &more));
    let scrape = |process: &Process| Page::parse(&get(process.admin, "/metrics").unwrap().text()).unwrap();
    let api = process.api;
    let send = |path: &str| {
        let mut stream = TcpStream::connect(api).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        BufReader::new(stream)
    };
    let busy = send("/long_nap");
    let sleeping = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
    process.wait_until("busy", |_| psql(&cluster, sleeping) == "1");
    let mut waiting: Vec<_> = (0..5).map(|_| send("/item?limit=1")).collect();
    process.wait_until("waiting", |process| scrape(process).sum("pgrst_db_pool_waiting", "") > 4.5);
    for stream in &mut waiting {
        assert_eq!(read_reply(stream).unwrap().status, 504);
    }
    let page = scrape(&process);
    assert!((page.sum("pgrst_db_pool_timeouts_total", "") - 5.0).abs() < 0.1);
    assert!(page.sum("pgrst_db_pool_waiting", "") < 0.5 && page.sum("pgrst_db_pool_available", "") < 0.5);
    assert_eq!(said(&process, "PGRST003"), 1, "{}", process.log());
    drop(busy);
}

#[test]
fn the_log_says_what_is_asked_of_it() {
    let cluster = cluster();
    let more = format!("{ANON}log-level = \"info\"\nlog-query = true\nserver-timing-enabled = true\n");
    let mut process = Process::start(&options(&cluster, &more));
    let reply = get(process.api, "/item?limit=1").unwrap();
    let timing = reply.header("Server-Timing").unwrap().to_owned();
    let stages: Vec<&str> = timing.split(", ").map(|stage| stage.split(";dur=").next().unwrap()).collect();
    assert_eq!(stages, ["jwt", "parse", "plan", "transaction", "response"]);
    for part in timing.split(", ") {
        let duration = part.split(";dur=").nth(1).unwrap();
        assert!(duration.parse::<f64>().is_ok() && duration.split('.').nth(1).unwrap().len() == 1, "{timing}");
    }
    assert_eq!(get(process.api, "/nothing").unwrap().header("Server-Timing"), None);
    process.wait_until("logged", |process| said(process, "\"GET /nothing HTTP/1.1\" 404") == 1);
    let log = process.log();
    assert!(log.contains("\"GET /item?limit=1 HTTP/1.1\" 200"), "{log}");
    assert!(log.contains("- anon ["), "{log}");
    assert!(log.to_lowercase().contains("select \"api\".\"item\"") || log.contains("\"api\".\"item\""), "{log}");
    assert!(log.contains("Starting Trunkline") && log.contains("API server listening on"), "{log}");
}

#[test]
fn the_debug_level_tells_of_connections_and_tokens() {
    let cluster = cluster();
    let secret = "jwt-secret = \"a secret of thirty-two characters and more\"\n";
    for (level, tells) in [("info", false), ("debug", true)] {
        let more = format!("{ANON}{secret}log-level = \"{level}\"\ndb-pool-max-idletime = 1\ndb-pool = 1\n");
        let mut process = Process::start(&options(&cluster, &more));
        // {"alg":"HS256"} . {"role":"clerk"}, signed with the secret
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiY2xlcmsifQ.zHNQEJ9g8lOMeEbrVP6fUxsY4CI1COIbUKaL7ZHDr1g";
        let mut stream = BufReader::new(TcpStream::connect(process.api).unwrap());
        stream.get_ref().set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let head = format!("GET /item?limit=1 HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\n\r\n");
        stream.get_mut().write_all(head.as_bytes()).unwrap();
        assert_eq!(read_reply(&mut stream).unwrap().status, 200);
        process.wait_until("logged", |process| said(process, "\"GET /item?limit=1 HTTP/1.1\" 200") == 1);
        let lines = [
            "Trying to borrow a connection from pool",
            "Connection is being established",
            "is available due to connection establishment",
            "Borrowed a connection from the pool",
            "is available due to session success",
            "Looked up a JWT in JWT cache",
            "is terminated due to max idletime",
        ];
        if tells {
            process.wait_until("told", |process| lines.iter().all(|line| said(process, line) > 0));
        } else {
            assert!(lines.iter().all(|line| said(&process, line) == 0), "{}", process.log());
        }
        assert!(!process.log().contains(token), "no token in the log");
    }
}

#[test]
fn two_processes_hand_a_port_over_without_a_failed_request() {
    let cluster = cluster();
    let port = free_port().unwrap();
    let mut options = options(&cluster, &format!("{ANON}server-reuseport = true\n"));
    options.environment.push(("PGRST_SERVER_PORT".to_owned(), port.to_string()));
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut old = Process::start(&options);
    let load = Connecting::start(address, 32);
    load.wait_for(100);
    for _ in 0..4 {
        let new = Process::start(&options);
        load.wait_for(load.answered() + 100);
        old.signal(Signal::SIGTERM);
        assert!(old.wait_exit().success(), "{}", old.log());
        load.wait_for(load.answered() + 100);
        old = new;
    }
    let failures = load.stop();
    assert_eq!(failures, Vec::<String>::new());
}

#[test]
fn running_out_of_descriptors_is_survived() {
    let cluster = cluster();
    let mut options = options(&cluster, &format!("{ANON}server-threads = 1\n"));
    options.descriptors_max = Some(64);
    let mut process = Process::start(&options);
    assert_eq!(status(&process, "/item?limit=1"), 200);
    let held: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(process.api).unwrap()).collect();
    process.wait_until("out of descriptors", |process| said(process, "Accepting a connection failed") > 0);
    drop(held);
    process.wait_until("serving", |process| status(process, "/item?limit=1") == 200);
    process.wait_ready();
}

#[test]
fn a_log_that_nobody_reads_stalls_nobody() {
    let cluster = cluster();
    let mut options = options(&cluster, &format!("{ANON}log-level = \"info\"\n"));
    options.unread_output = true;
    let mut process = Process::start(&options);
    let path = format!("/item?limit=1&name=eq.{}", "x".repeat(2000));
    let mut stream = BufReader::new(TcpStream::connect(process.api).unwrap());
    stream.get_ref().set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // A pipe holds 64 KiB, the queue 8192 lines.
    for _ in 0..200 {
        write!(stream.get_mut(), "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        assert_eq!(read_reply(&mut stream).unwrap().status, 200);
    }
    drop(stream);
    process.signal(Signal::SIGTERM);
    assert!(process.wait_exit().success());
}

#[test]
fn the_admin_server_can_be_a_socket() {
    let cluster = cluster();
    let path = std::env::temp_dir().join(format!("trunkline-admin-{}.socket", std::process::id()));
    let more =
        format!("{ANON}admin-server-unix-socket = \"{}\"\nadmin-server-unix-socket-mode = \"640\"\n", path.display());
    let mut process = Process::spawn(&options(&cluster, &more));
    let ask = |what: &str| UnixStream::connect(&path).and_then(|stream| ask(stream, what));
    process.wait_until("ready", |_| ask("/ready").is_ok_and(|reply| reply.status == 200));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(ask("/live").unwrap().status, 200);
    assert!(Page::parse(&ask("/metrics").unwrap().text()).is_ok());
    process.signal(Signal::SIGTERM);
    assert!(process.wait_exit().success());
    assert!(!path.exists());
}

#[test]
fn a_supervisor_hears_that_the_server_serves_and_that_it_stops() {
    let cluster = cluster();
    let path = std::env::temp_dir().join(format!("trunkline-supervisor-{}", std::process::id()));
    let supervisor = UnixDatagram::bind(&path).unwrap();
    supervisor.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut options = options(&cluster, ANON);
    options.environment.push(("NOTIFY_SOCKET".to_owned(), path.display().to_string()));
    let mut process = Process::spawn(&options);
    let hear = || {
        let mut buffer = [0; 64];
        let count = supervisor.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    assert_eq!(hear(), "READY=1\n");
    assert_eq!(status(&process, "/item?limit=1"), 200);
    process.signal(Signal::SIGTERM);
    assert_eq!(hear(), "STOPPING=1\n");
    assert!(process.wait_exit().success());
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_dumped_configuration_holds_what_the_database_says() {
    let cluster = cluster();
    psql(&cluster, "alter role authenticator set pgrst.db_max_rows = '17'");
    let dump = |more: &str| {
        let folder = std::env::temp_dir().join(format!("trunkline-dump-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("c");
        std::fs::write(&file, options(&cluster, more).config).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_trunkline")).arg("--dump-config").arg(&file).output().unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    let (_, out, err) = dump("db-max-rows = 3\n");
    assert!(out.contains("db-max-rows = 17\n") && err.is_empty(), "{out}{err}");
    let (_, out, _) = dump("db-max-rows = 3\ndb-config = false\n");
    assert!(out.contains("db-max-rows = 3\n"), "{out}");
    psql(&cluster, "alter role authenticator set pgrst.db_tx_end = 'sometimes'");
    let (success, out, err) = dump("");
    assert!(!success && out.is_empty() && err.contains("db-tx-end"), "{out}{err}");
}

/// Clients that open a connection for every request, and as many that keep theirs until they are told that it ends.
struct Connecting {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<thread::JoinHandle<Vec<String>>>,
}

fn get_kept(kept: &mut Option<Client>, address: SocketAddr, path: &str) -> std::io::Result<Reply> {
    let mut client = match kept.take() {
        Some(client) => client,
        None => Client::connect_to(address)?,
    };
    let reply = client.get(path)?;
    *kept = (reply.header("Connection") != Some("close")).then_some(client);
    Ok(reply)
}

impl Connecting {
    fn start(address: SocketAddr, count: usize) -> Self {
        let (stop, answered): (Arc<AtomicBool>, Arc<AtomicU64>) = Default::default();
        let clients = (0..count).map(|number| {
            let (stop, answered) = (stop.clone(), answered.clone());
            thread::spawn(move || {
                let mut failures = Vec::new();
                let mut kept = None;
                while !stop.load(Ordering::Relaxed) {
                    let reply = if number % 2 == 0 {
                        get(address, "/item?id=eq.7")
                    } else {
                        get_kept(&mut kept, address, "/item?id=eq.7")
                    };
                    match reply {
                        Ok(reply) if reply.status == 200 => {}
                        Ok(reply) => failures.push(format!("status {}", reply.status)),
                        Err(error) => failures.push(error.to_string()),
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                failures
            })
        });
        Self { clients: clients.collect(), stop, answered }
    }

    fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    fn wait_for(&self, answered: u64) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.answered() < answered {
            assert!(Instant::now() < deadline, "only {} of {answered} answers", self.answered());
            thread::yield_now();
        }
    }

    fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().expect("a client ends")).collect()
    }
}
