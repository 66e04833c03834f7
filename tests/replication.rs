//! A primary and a real streaming standby: which of them each `target_session_attrs` leads to, requests on the standby with
//! the listener on the primary, and a primary that dies and whose standby is promoted.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, clippy::unwrap_used)] // A test harness.

#[path = "support/load.rs"]
mod load;
#[path = "support/process.rs"]
mod process;

use std::time::{Duration, Instant};

use load::Load;
use process::{Options, Process, get, post};
use trunkline::server::cluster::{Cluster, ClusterOptions, Shutdown};

const DATABASE: &str = "postgres";
const FIXTURE: &str = "
    create role anon nologin;
    create role authenticator login noinherit;
    grant anon to authenticator;
    create schema api;
    grant usage on schema api to anon;
    create table api.item (id int primary key, name text);
    insert into api.item select n, 'item ' || n from generate_series(1, 10) n;
    grant select, insert on api.item to anon;
    create view api.place as select pg_is_in_recovery() as standby;
    grant select on api.place to anon;
";
const PATIENCE: Duration = Duration::from_secs(20);

struct Pair {
    primary: Cluster,
    standby: Cluster,
}

impl Pair {
    fn start() -> Self {
        let primary = Cluster::start(ClusterOptions::default()).expect("a private PostgreSQL");
        primary.psql_in(DATABASE, FIXTURE).expect("the fixture loads");
        let standby = primary.standby().expect("a streaming standby");
        Self { primary, standby }
    }

    /// Starts the server on the clusters in this order.
    fn serve(hosts: &[&Cluster], attributes: &str) -> Process {
        let join =
            |part: &dyn Fn(&Cluster) -> String| hosts.iter().map(|cluster| part(cluster)).collect::<Vec<_>>().join(",");
        let (names, ports) =
            (join(&|cluster| cluster.socket_dir().display().to_string()), join(&|cluster| cluster.port().to_string()));
        let config = format!(
            "db-uri = \"host={names} port={ports} user=authenticator dbname={DATABASE} \
             target_session_attrs={attributes}\"\ndb-schemas = \"api\"\ndb-anon-role = \"anon\"\nserver-threads = 2\n"
        );
        Process::start(&Options { config, ..Options::default() })
    }

    /// Waits until the standby has everything that the primary has.
    fn replicated(&self) {
        let position = psql(&self.primary, "select pg_current_wal_lsn()");
        let reached = format!("select pg_last_wal_replay_lsn() >= '{position}'");
        wait_until("replicated", || psql(&self.standby, &reached) == "t");
    }
}

fn psql(cluster: &Cluster, sql: &str) -> String {
    cluster.psql_in(DATABASE, sql).unwrap().trim().to_owned()
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "not {what} in time");
    }
}

fn status(process: &Process, path: &str) -> u16 {
    get(process.api, path).map_or(0, |reply| reply.status)
}

fn on_standby(process: &Process) -> bool {
    get(process.api, "/place").unwrap().text().contains("true")
}

fn listeners(cluster: &Cluster) -> String {
    psql(cluster, "select count(*) from pg_stat_activity where query ilike 'listen %'")
}

fn insert(process: &Process, id: u32) -> u16 {
    post(process.api, "/item", &format!("{{\"id\":{id}}}")).map_or(0, |reply| reply.status)
}

#[test]
fn each_kind_of_session_is_found_among_the_hosts() {
    let pair = Pair::start();
    let Pair { primary, standby } = &pair;
    let (first, then): (&[&Cluster], &[&Cluster]) = (&[primary, standby], &[standby, primary]);
    let cases: [(&str, &[&Cluster], bool); 10] = [
        ("any", first, false),
        ("any", then, true),
        ("read-write", first, false),
        ("read-write", then, false),
        ("primary", then, false),
        ("read-only", first, true),
        ("standby", first, true),
        ("prefer-standby", first, true),
        ("prefer-standby", then, true),
        ("prefer-standby", &[primary], false),
    ];
    for (number, (attributes, hosts, expect)) in (100..).zip(cases) {
        let mut process = Pair::serve(hosts, attributes);
        assert_eq!(on_standby(&process), expect, "{attributes}");
        assert_eq!(insert(&process, number), if expect { 405 } else { 201 }, "{attributes}");
        // Wherever requests go, the listener is on the primary.
        process.wait_until("alone", |_| listeners(primary) == "1");
        assert_eq!(listeners(standby), "0", "{attributes}");
        let name = format!("seen_{number}");
        psql(primary, &format!("create view api.{name} as select 1 as id; grant select on api.{name} to anon"));
        pair.replicated();
        psql(primary, "notify pgrst");
        process.wait_until("reloaded", |process| status(process, &format!("/{name}")) == 200);
    }
}

#[test]
fn no_host_of_the_wanted_kind_is_waited_for() {
    let Pair { primary, standby } = Pair::start();
    let wrong = [("standby", "server is not in hot standby mode"), ("read-only", "session is not read-only")];
    for (attributes, complaint) in wrong {
        let config = format!(
            "db-uri = \"{}&target_session_attrs={attributes}\"\ndb-schemas = \"api\"\ndb-anon-role = \"anon\"\n",
            primary.uri("authenticator", DATABASE)
        );
        let mut process = Process::spawn(&Options { config, ..Options::default() });
        process.wait_until("refused", |process| process.log().contains(complaint));
        process.wait_until("answering", |process| status(process, "/item") == 503);
    }
    // A standby alone becomes what is wanted.
    let config = format!(
        "db-uri = \"{}&target_session_attrs=primary\"\ndb-schemas = \"api\"\ndb-anon-role = \"anon\"\n",
        standby.uri("authenticator", DATABASE)
    );
    let mut process = Process::spawn(&Options { config, ..Options::default() });
    process.wait_until("refused", |process| process.log().contains("server is in hot standby mode"));
    psql(&standby, "select pg_promote()");
    process.wait_ready();
    assert_eq!(insert(&process, 1000), 201);
}

#[test]
fn a_promoted_standby_takes_over() {
    let mut pair = Pair::start();
    let mut process = Pair::serve(&[&pair.primary, &pair.standby], "read-write");
    assert_eq!(insert(&process, 100), 201);
    pair.replicated();
    let load = Load::start(&process, 4, "/item?id=eq.7");
    load.wait_for(200);
    pair.primary.stop(Shutdown::Immediate).unwrap();
    process.wait_until("not ready", |process| get(process.admin, "/ready").is_ok_and(|reply| reply.status == 503));
    let (before, ok) = (load.answered(), load.ok());
    load.wait_for(before + 50);
    assert!(load.ok() <= ok + 4, "the standby isn't for writing yet");
    psql(&pair.standby, "select pg_promote()");
    let promoted = Instant::now();
    process.wait_until("back", |_| load.ok() > ok + 200);
    process.wait_ready();
    // The back-off had come to a few seconds by then.
    assert!(promoted.elapsed() < Duration::from_secs(10), "{:?}", promoted.elapsed());
    let outcome = load.stop();
    assert!(outcome.other.is_empty() && outcome.unavailable > 0, "only 200 and 503: {outcome:?}");
    assert_eq!(insert(&process, 101), 201);
    assert_eq!(psql(&pair.standby, "select count(*) from api.item where id in (100, 101)"), "2");
    assert_eq!(listeners(&pair.standby), "1");
    let made = "create view api.after as select 1 as id; grant select on api.after to anon; notify pgrst";
    psql(&pair.standby, made);
    process.wait_until("reloaded", |process| status(process, "/after") == 200);
}

#[test]
fn reads_go_on_without_the_primary_and_writes_after_the_promotion() {
    let mut pair = Pair::start();
    let mut process = Pair::serve(&[&pair.primary, &pair.standby], "prefer-standby");
    let load = Load::start(&process, 4, "/item?id=eq.7");
    load.wait_for(100);
    pair.primary.stop(Shutdown::Immediate).unwrap();
    process.wait_until("not ready", |process| get(process.admin, "/ready").is_ok_and(|reply| reply.status == 503));
    load.wait_for(load.answered() + 100);
    assert_eq!(insert(&process, 100), 405);
    psql(&pair.standby, "select pg_promote()");
    process.wait_ready();
    assert_eq!(insert(&process, 101), 201);
    let outcome = load.stop();
    assert!(outcome.other.is_empty() && outcome.unavailable == 0, "no read noticed: {outcome:?}");
    assert_eq!(listeners(&pair.standby), "1");
}
