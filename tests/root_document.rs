//! The root document of a running server: it follows privileges without a reload, `db-pre-request` guards it every time,
//! and one that was written before costs no second writing.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, clippy::unwrap_used)] // A test harness.

#[path = "support/process.rs"]
mod process;

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use process::{Options, Process, get, read_reply};
use trunkline::limits;
use trunkline::server::cluster::{Cluster, ClusterOptions};

const DATABASE: &str = "postgres";
const FIXTURE: &str = "
    create role anon nologin;
    create role authenticator login noinherit;
    grant anon to authenticator;
    create schema api;
    create schema other;
    grant usage on schema api, other to anon;
    create table api.item (id int primary key, name text not null);
    create table api.parcel (id int primary key, item_id int references api.item);
    create table other.secret (id int primary key);
    create function api.weigh(grams int) returns int language sql stable as 'select grams';
    revoke execute on function api.weigh from public;
    create function api.gate() returns void language plpgsql as $$
    begin
      if current_setting('request.headers')::json->>'x-gate' = 'shut' then raise 'the gate is shut'; end if;
    end $$;
    grant select on api.item to anon;
";

fn start(more: &str) -> (Cluster, Process) {
    let cluster = Cluster::start(ClusterOptions::default()).expect("a private PostgreSQL");
    cluster.psql_in(DATABASE, FIXTURE).expect("the fixture loads");
    let config = format!(
        "db-uri = \"{}\"\ndb-schemas = \"api, other\"\ndb-anon-role = \"anon\"\ndb-config = false\nserver-threads = 1\n\
         db-channel-enabled = false\n{more}",
        cluster.uri("authenticator", DATABASE)
    );
    let process = Process::start(&Options { config, ..Options::default() });
    (cluster, process)
}

fn document(process: &Process) -> String {
    let reply = get(process.api, "/").unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/openapi+json; charset=utf-8"));
    assert_eq!(reply.header("content-profile"), Some("api"));
    reply.text()
}

#[test]
fn it_follows_grants_and_revocations_without_a_reload() {
    let (cluster, mut process) = start("");
    let first = document(&process);
    assert_eq!(first, document(&process), "written twice, the same bytes");
    for (path, visible) in [("\"/item\"", true), ("\"/parcel\"", false), ("\"/rpc/weigh\"", false), ("secret", false)] {
        assert_eq!(first.contains(path), visible, "{path}");
    }
    cluster
        .psql_in(DATABASE, "grant insert on api.parcel to anon; grant execute on function api.weigh to anon")
        .unwrap();
    process.wait_until("showing what was granted", |process| {
        let now = document(process);
        now.contains("\"/parcel\"") && now.contains("\"/rpc/weigh\"")
    });
    cluster
        .psql_in(DATABASE, "revoke all on api.parcel from anon; revoke execute on function api.weigh from anon")
        .unwrap();
    process.wait_until("hiding what was revoked", |process| document(process) == first);
}

#[test]
fn every_request_passes_the_gate() {
    let (_cluster, process) = start("db-pre-request = \"api.gate\"");
    let ask = |gate: &str| {
        let mut stream = TcpStream::connect(process.api).unwrap();
        write!(stream, "GET / HTTP/1.1\r\nHost: test\r\nX-Gate: {gate}\r\nConnection: close\r\n\r\n").unwrap();
        read_reply(&mut BufReader::new(stream)).unwrap().status
    };
    for (gate, expect) in [("open", 200), ("shut", 400), ("open", 200), ("shut", 400)] {
        assert_eq!(ask(gate), expect, "{gate}");
    }
}

#[test]
fn a_known_document_is_not_asked_for_again_at_once() {
    let (cluster, process) = start("");
    let begun = Instant::now();
    let first = document(&process);
    cluster.psql_in(DATABASE, "revoke all on api.item from anon").unwrap();
    let second = document(&process);
    // On a machine so slow that the time is over already, nothing can be said.
    if begun.elapsed() < Duration::from_millis(limits::DOCUMENT_ASKED_MS) {
        assert_eq!(first, second);
    }
}
