//! What a client is told of a write is what the table shows afterwards, whatever is killed meanwhile; nothing is written
//! twice. The real process on a private PostgreSQL.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, clippy::unwrap_used)] // A test harness.

#[path = "support/process.rs"]
mod process;

use std::collections::HashMap;
use std::io::{self, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use process::{Options, Process, Reply, get, read_reply};
use trunkline::server::cluster::{Cluster, ClusterOptions};

const DATABASE: &str = "postgres";
/// `die_*` are keys whose row kills its own backend: before the statement's row is there, after it, at COMMIT.
const FIXTURE: &str = "
    create role anon nologin;
    create role authenticator login noinherit;
    grant anon to authenticator;
    create schema api;
    grant usage on schema api to anon;
    create table api.note (id text primary key, body text);
    create table api.entry (tag text, pad text);
    create table api.pair (id int primary key, partner int references api.pair deferrable initially deferred);
    create function public.die() returns trigger language plpgsql security definer as $$
    begin
      perform pg_terminate_backend(pg_backend_pid());
      return new;
    end $$;
    create trigger before_row before insert on api.note for each row when (new.body = 'die_before')
      execute function public.die();
    create trigger after_row after insert on api.note for each row when (new.body = 'die_after')
      execute function public.die();
    create constraint trigger at_commit after insert on api.note deferrable initially deferred
      for each row when (new.body = 'die_at_commit') execute function public.die();
    grant select, insert, update, delete on all tables in schema api to anon;
";

fn cluster() -> Cluster {
    let cluster = Cluster::start(ClusterOptions::default()).expect("a private PostgreSQL");
    cluster.psql_in(DATABASE, FIXTURE).expect("the fixture loads");
    cluster
}

fn server(cluster: &Cluster, more: &str) -> Process {
    let config = format!(
        "db-uri = \"{}\"\ndb-schemas = \"api\"\ndb-anon-role = \"anon\"\ndb-config = false\ndb-pool = 4\n{more}",
        cluster.uri("authenticator", DATABASE)
    );
    Process::start(&Options { config, ..Options::default() })
}

/// A connection that stays while it can.
struct Client {
    server: std::net::SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    fn of(server: &Process) -> Self {
        Self { server: server.api, stream: None }
    }

    fn ask(&mut self, method: &str, path: &str, prefer: &str, body: &str) -> io::Result<Reply> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.server)?;
                stream.set_read_timeout(Some(Duration::from_secs(20)))?;
                BufReader::new(stream)
            }
        };
        let length = body.len();
        write!(
            stream.get_mut(),
            "{method} {path} HTTP/1.1\r\nHost: test\r\nPrefer: {prefer}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )?;
        let reply = read_reply(&mut stream)?;
        self.stream = Some(stream);
        Ok(reply)
    }
}

/// Both forms of a transaction: one flush that commits by itself, and a look at the result before COMMIT.
const FORMS: [&str; 2] = ["return=minimal", "return=representation"];

#[test]
fn a_backend_that_dies_in_the_transaction_leaves_no_row_and_an_error() {
    let cluster = cluster();
    let server = server(&cluster, "");
    let mut client = Client::of(&server);
    for round in 0..50 {
        for (form, prefer) in FORMS.into_iter().enumerate() {
            for fate in ["die_before", "die_after", "die_at_commit"] {
                let id = format!("{fate}-{form}-{round}");
                let body = format!(r#"{{"id":"{id}","body":"{fate}"}}"#);
                let reply = client.ask("POST", "/note", prefer, &body).unwrap();
                assert!(reply.status >= 500, "{id}: {} {}", reply.status, reply.text());
            }
            let id = format!("lives-{form}-{round}");
            let body = format!(r#"{{"id":"{id}","body":"x"}}"#);
            server_answers(&mut client, &body, prefer);
        }
    }
    let rows = cluster.psql_in(DATABASE, "select count(*) filter (where body <> 'x'), count(*) from api.note").unwrap();
    assert_eq!(rows, "0|100");
}

/// A dead connection may still wait in the pool: an error then, never a second try.
fn server_answers(client: &mut Client, body: &str, prefer: &str) {
    for _ in 0..100 {
        let reply = client.ask("POST", "/note", prefer, body).unwrap();
        match reply.status {
            201 => return,
            status => assert!(status >= 500, "{status} {}", reply.text()),
        }
    }
    panic!("the server does not recover");
}

#[test]
fn a_constraint_that_fails_at_commit_is_the_answer() {
    let cluster = cluster();
    let server = server(&cluster, "db-tx-end = \"commit-allow-override\"");
    let mut client = Client::of(&server);
    for round in 0..50 {
        for prefer in ["return=minimal", "return=representation", "tx=rollback", "return=headers-only, count=exact"] {
            let body = format!(r#"{{"id":{round},"partner":1000}}"#);
            let reply = client.ask("POST", "/pair", prefer, &body).unwrap();
            assert_eq!(reply.status, 409, "{prefer}: {}", reply.text());
            assert!(reply.text().contains("23503"), "{}", reply.text());
        }
    }
    assert_eq!(client.ask("POST", "/pair", "return=minimal", r#"{"id":1,"partner":1}"#).unwrap().status, 201);
    let reply = client.ask("PATCH", "/pair?id=eq.1", "return=representation", r#"{"partner":7}"#).unwrap();
    assert_eq!(reply.status, 409);
    assert_eq!(cluster.psql_in(DATABASE, "select id, partner from api.pair").unwrap(), "1|1");
}

#[test]
fn what_is_refused_after_it_ran_is_rolled_back() {
    let cluster = cluster();
    let server = server(&cluster, "");
    let mut client = Client::of(&server);
    for tag in ["a", "b", "c"] {
        let body = format!(r#"{{"tag":"{tag}"}}"#);
        assert_eq!(client.ask("POST", "/entry", "return=minimal", &body).unwrap().status, 201);
    }
    let reply = client.ask("DELETE", "/entry", "handling=strict, max-affected=2", "").unwrap();
    assert_eq!(reply.status, 400, "{}", reply.text());
    let reply = client.ask("PUT", "/note?id=eq.x", "return=minimal", r#"{"id":"y","body":null}"#).unwrap();
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert_eq!(client.ask("PATCH", "/entry?tag=eq.a", "return=minimal", r#"{"tag":"d"}"#).unwrap().status, 204);
    let rows = "select (select string_agg(tag, ',' order by tag) from api.entry), (select count(*) from api.note)";
    assert_eq!(cluster.psql_in(DATABASE, rows).unwrap(), "b,c,d|0");
}

#[test]
fn a_client_that_leaves_in_its_body_writes_nothing() {
    let cluster = cluster();
    let server = server(&cluster, "");
    for round in 0..200 {
        let mut stream = TcpStream::connect(server.api).unwrap();
        let body = format!(r#"{{"tag":"half-{round}"}}"#);
        write!(stream, "POST /entry HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
        stream.write_all(&body.as_bytes()[..body.len() - 1 - round % 8]).unwrap();
        stream.shutdown(if round % 2 == 0 { Shutdown::Both } else { Shutdown::Write }).unwrap();
    }
    let mut client = Client::of(&server);
    assert_eq!(client.ask("POST", "/entry", "return=minimal", r#"{"tag":"whole"}"#).unwrap().status, 201);
    assert_eq!(cluster.psql_in(DATABASE, "select string_agg(tag, ',') from api.entry").unwrap(), "whole");
}

/// Kills every connection of the server's that runs requests, again and again.
const KILLER: &str = "
    do $$ begin
      for round in 1..100 loop
        perform pg_stat_clear_snapshot();
        perform pg_terminate_backend(pid) from pg_stat_activity
          where usename = 'authenticator' and query not ilike 'listen%';
        perform pg_sleep(0.02 + random() * 0.06);
      end loop;
    end $$";

const WRITERS: usize = 4;
const LARGE_BYTES: usize = 3_000_000;

/// What came back for one tag; `None` where nothing did.
type Told = HashMap<String, Option<(u16, String)>>;

#[test]
fn answers_and_table_agree_while_backends_are_killed() {
    let cluster = cluster();
    let server = server(&cluster, "");
    let killed = AtomicBool::new(false);
    let told = thread::scope(|scope| {
        scope.spawn(|| {
            cluster.psql_in(DATABASE, KILLER).unwrap();
            killed.store(true, Ordering::Relaxed);
        });
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (server, killed) = (&server, &killed);
                scope.spawn(move || {
                    let (mut client, mut told) = (Client::of(server), Told::new());
                    while !killed.load(Ordering::Relaxed) {
                        let tag = format!("{writer}-{}", told.len());
                        // Every tenth is large enough to be killed on its way to PostgreSQL.
                        let pad = if told.len() % 10 == 9 { LARGE_BYTES } else { 1 };
                        let body = format!(r#"{{"tag":"{tag}","pad":"{}"}}"#, "p".repeat(pad));
                        let answer = client.ask("POST", "/entry", FORMS[told.len() % 2], &body);
                        told.insert(tag, answer.ok().map(|reply| (reply.status, reply.text())));
                    }
                    told
                })
            })
            .collect();
        writers.into_iter().fold(Told::new(), |mut all, writer| {
            all.extend(writer.join().unwrap());
            all
        })
    });
    let rows = cluster.psql_in(DATABASE, "select tag from api.entry").unwrap();
    let mut written: HashMap<&str, u32> = HashMap::new();
    for tag in rows.lines() {
        *written.entry(tag).or_default() += 1;
    }
    let (mut kept, mut refused) = (0, 0);
    for (tag, answer) in &told {
        let times = written.get(tag.as_str()).copied().unwrap_or(0);
        assert!(times <= 1, "{tag} was written {times} times");
        match answer {
            Some((201, _)) => assert_eq!(times, 1, "{tag} was promised"),
            // The connection ended without a word: nobody knows, and the answer says that much.
            Some((503, text)) if text.contains("PGRST001") => {}
            Some((status, text)) => {
                assert!(*status >= 500, "{tag}: {status} {text}");
                assert_eq!(times, 0, "{tag} was refused: {text}");
            }
            None => {}
        }
        kept += times;
        refused += u32::from(matches!(answer, Some((status, _)) if *status >= 500));
    }
    assert!(kept > 200 && refused > 20, "{kept} kept, {refused} refused: the killing must meet writing");
    assert_eq!(get(server.api, "/entry?limit=0").unwrap().status, 200);
}
