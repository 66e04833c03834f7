//! No write is ever sent twice, unless PostgreSQL said that nothing of it ran. The real process, and between it and a
//! private PostgreSQL a proxy that counts what is written, cuts, and lies.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, clippy::unwrap_used)] // A test harness.

#[path = "support/process.rs"]
mod process;
#[path = "write_once/proxy.rs"]
mod proxy;

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use process::{Options, Process, Reply, read_reply};
use proxy::{Fault, Meant, Proxy};
use trunkline::server::cluster::{Cluster, ClusterOptions};

const DATABASE: &str = "postgres";
const FIXTURE: &str = "
    create role anon nologin;
    create role authenticator login noinherit;
    grant anon to authenticator;
    create schema api;
    grant usage on schema api to anon;
    create table api.entry (tag text, pad text);
    grant select, insert on api.entry to anon;
";
const WRITE: Meant = |text| text.contains("INSERT INTO \"api\".\"entry\"");
const COMMIT: Meant = |text| text == "commit";
/// Both forms of a transaction: one flush that commits by itself, and a look at the result before COMMIT.
const IMPLICIT: &str = "return=minimal";
const EXPLICIT: &str = "return=representation";
const FORMS: [&str; 2] = [IMPLICIT, EXPLICIT];
/// What stands beside the tag: a small body is copied into the batch, a large one is sent from where it is.
const PADS: [usize; 2] = [10, 300_000];
const ROUNDS: usize = 10;

struct World {
    cluster: Cluster,
    proxy: Proxy,
    server: Process,
    number: usize,
    /// Writes before each fault.
    warming: usize,
}

impl World {
    fn new() -> Self {
        let cluster = Cluster::start(ClusterOptions::default()).expect("a private PostgreSQL");
        cluster.psql_in(DATABASE, FIXTURE).expect("the fixture loads");
        let proxy = Proxy::start(cluster.socket_dir().join(format!(".s.PGSQL.{}", cluster.port())));
        let config = format!(
            "db-uri = \"postgresql://authenticator@127.0.0.1:{}/{DATABASE}?sslmode=disable\"\ndb-schemas = \"api\"\n\
             db-anon-role = \"anon\"\ndb-config = false\ndb-pool = 1\n",
            proxy.port
        );
        let server = Process::start(&Options { config, ..Options::default() });
        Self { cluster, proxy, server, number: 0, warming: 1 }
    }

    fn write(&mut self, prefer: &str, pad: usize) -> (String, Option<Reply>) {
        self.number += 1;
        let tag = format!("tag {}", self.number);
        let body = format!("[{{\"tag\":\"{tag}\",\"pad\":\"{}\"}}]", "p".repeat(pad));
        let mut stream = TcpStream::connect(self.server.api).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(
            stream,
            "POST /entry HTTP/1.1\r\nHost: test\r\nPrefer: {prefer}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        (tag, read_reply(&mut BufReader::new(stream)).ok())
    }

    /// Until the connection behind the proxy is a warm one again: its statements are prepared.
    fn warm(&mut self, prefer: &str) {
        let mut done = 0;
        for _ in 0..100 {
            done += usize::from(self.write(prefer, PADS[0]).1.is_some_and(|reply| reply.status == 201));
            if done == self.warming {
                return;
            }
        }
        panic!("the server does not recover:\n{}", self.server.log());
    }

    fn times_written(&self, tag: &str) -> String {
        self.cluster.psql_in(DATABASE, &format!("select count(*) from api.entry where tag = '{tag}'")).unwrap()
    }

    /// The fault meets one write: how often that was sent, what the client is told, how often it is in the table.
    fn check(&mut self, form: &str, (batch, faults): (Meant, &[Fault]), expect: (usize, u16, &str)) {
        for pad in PADS {
            self.warm(form);
            self.proxy.expect(batch, faults);
            let (tag, reply) = self.write(form, pad);
            let sent = self.proxy.sent(WRITE);
            let reply = reply.unwrap_or_else(|| panic!("no answer: {form} {faults:?}"));
            let seen = (sent, reply.status, self.times_written(&tag));
            let wanted = (expect.0, expect.1, expect.2.to_owned());
            assert_eq!(seen, wanted, "sent, status, rows: {form}, {pad}, {faults:?}: {:.200}", reply.text());
            assert!(self.proxy.faults_left() == 0, "{form} {faults:?} did not happen");
        }
    }
}

#[test]
fn a_lost_connection_is_an_error_whatever_became_of_the_write() {
    let mut world = World::new();
    for _ in 0..ROUNDS {
        for form in FORMS {
            world.check(form, (WRITE, &[Fault::CutBefore]), (1, 503, "0"));
            world.check(form, (WRITE, &[Fault::CutAfter]), (1, 503, if form == IMPLICIT { "1" } else { "0" }));
            world.check(form, (WRITE, &[Fault::CutInAnswer]), (1, 503, if form == IMPLICIT { "1" } else { "0" }));
        }
        world.check(EXPLICIT, (COMMIT, &[Fault::CutBefore]), (1, 503, "0"));
        // Nobody knows, and the answer says that much.
        world.check(EXPLICIT, (COMMIT, &[Fault::CutAfter]), (1, 503, "1"));
        // All but its readiness arrived: it is known to be committed.
        world.check(EXPLICIT, (COMMIT, &[Fault::CutInAnswer]), (1, 201, "1"));
    }
}

#[test]
fn a_stale_statement_is_sent_once_more_and_no_more() {
    let mut world = World::new();
    // More losses among fewer statements, and the server gives up preparing any.
    world.warming = 40;
    for _ in 0..ROUNDS / 2 {
        for form in FORMS {
            for sqlstate in ["26000", "0A000"] {
                let stale = Fault::RefuseBind(sqlstate);
                world.check(form, (WRITE, &[stale]), (2, 201, "1"));
                world.check(form, (WRITE, &[stale, stale]), (2, 400, "0"));
                // User code can raise the same: then it ran.
                world.check(form, (WRITE, &[Fault::FailRun(sqlstate)]), (1, 400, "0"));
            }
        }
    }
}

#[test]
fn a_serialization_failure_or_deadlock_is_the_clients_to_repeat() {
    let mut world = World::new();
    for _ in 0..ROUNDS {
        for form in FORMS {
            for sqlstate in ["40001", "40P01"] {
                world.check(form, (WRITE, &[Fault::FailRun(sqlstate)]), (1, 500, "0"));
            }
        }
        world.check(EXPLICIT, (COMMIT, &[Fault::FailRun("40001")]), (1, 500, "0"));
    }
}
