//! A real PostgreSQL: every login, pipelined batches, large ones, statements that go stale, cancellation.

use std::time::{Duration, Instant};

use bytes::Bytes;
use trunkline::server::connector::Connector;
use trunkline::wire::WireError;
use trunkline::wire::conn::Answer;
use trunkline::wire::piece::{Piece, Source, Value};
use trunkline::wire::target::Target;

use crate::cluster::{Cluster, PASSWORD};
use crate::{answers, on_both_drivers, open, pool, run, try_open};

/// One cluster for all of them; each names itself when it fails.
#[test]
fn a_real_server() {
    let cluster = Cluster::start();
    logins(&cluster);
    for text in [on_socket(&cluster), on_tcp(&cluster)] {
        batches(&text);
        errors(&cluster, &text);
        stale_statements(&cluster, &text);
        large_batches(&text);
        pieces(&text);
        many_statements(&text);
        open_transactions(&text);
        notifications(&cluster, &text);
        cancellation(&text);
        pool::size_bounds_concurrency(&text);
        pool::waiters_time_out_and_go_in_order(&text);
        pool::terminated_connections_are_replaced(&cluster, &text);
        pool::places_are_freed(&text);
        pool::eviction(&text);
        pool::abandoned_queries_are_cancelled(&cluster, &text);
        pool::cores_even_out(&text);
        pool::failures_reach_those_who_wait(&text);
        pool::waiters_share_a_connection(&text);
        pool::who_shares_waits_as_long_as_turns_come(&text);
        pool::who_goes_alone_shares_with_nobody(&text);
        pool::who_shares_is_not_held_up(&text);
    }
}

pub fn on_socket(cluster: &Cluster) -> String {
    format!("host={} port={} user=postgres dbname=postgres", cluster.socket.display(), cluster.port)
}

pub fn on_tcp(cluster: &Cluster) -> String {
    format!("host=127.0.0.1 port={} user=u_super dbname=postgres", cluster.port)
}

fn logins(cluster: &Cluster) {
    let port = cluster.port;
    let socket = cluster.socket.display();
    let good = [
        format!("host={socket} port={port} user=postgres dbname=postgres"),
        format!("host=127.0.0.1 port={port} user=u_trust dbname=postgres"),
        format!("host=127.0.0.1 port={port} user=u_password dbname=postgres password='{PASSWORD}'"),
        format!("host=127.0.0.1 port={port} user=u_md5 dbname=postgres password='{PASSWORD}'"),
        format!("host=127.0.0.1 port={port} user=u_scram dbname=postgres password='{PASSWORD}'"),
        format!("postgresql://u_scram:p%20%C3%A4@localhost:{port}/postgres"),
        format!("postgresql://u_trust@127.0.0.1:1,127.0.0.1:{port}/postgres?target_session_attrs=read-write"),
        format!("postgresql://u_trust@127.0.0.1:{port}/postgres?target_session_attrs=prefer-standby"),
    ];
    for text in good {
        let connected = try_open(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(connected.parameters.iter().any(|(name, value)| name == "client_encoding" && value == "UTF8"));
    }
    let tcp = format!("host=127.0.0.1 port={port}");
    let at = format!("connection to server at \"127.0.0.1\", port {port} failed:");
    let refused = |login: &str, fatal: bool, sqlstate: &str, message: &str| {
        let error = try_open(login).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!((error.is_fatal(), error.sqlstate().unwrap_or_default()), (fatal, sqlstate), "{login}");
    };
    refused(
        &format!("{tcp} user=u_scram password=wrong dbname=postgres"),
        true,
        "28P01",
        &format!("{at} FATAL:  password authentication failed for user \"u_scram\""),
    );
    refused(
        &format!("{tcp} user=u_md5 dbname=postgres passfile=/dev/null"),
        true,
        "",
        &format!("{at} fe_sendauth: no password supplied"),
    );
    refused(
        &format!("{tcp} user=u_trust dbname=nowhere"),
        true,
        "3D000",
        &format!("{at} FATAL:  database \"nowhere\" does not exist"),
    );
    refused(
        &format!("{tcp} user=u_trust dbname=postgres target_session_attrs=standby"),
        false,
        "",
        &format!("{at} server is not in hot standby mode"),
    );
    refused(
        &format!("{tcp} user=u_trust dbname=postgres sslmode=require"),
        false,
        "",
        &format!("{at} server does not support SSL, but SSL was required"),
    );
    refused(
        "postgresql://u@127.0.0.1:1/x",
        false,
        "",
        "connection to server at \"127.0.0.1\", port 1 failed: Connection refused\n\tIs the server running on that \
         host and accepting TCP/IP connections?",
    );
    refused(
        "host=/nonexistent user=u",
        false,
        "",
        "connection to server on socket \"/nonexistent/.s.PGSQL.5432\" failed: No such file or directory\n\tIs the \
         server running locally and accepting connections on that socket?",
    );
}

fn batches(text: &str) {
    on_both_drivers(async || {
        let idle = open(text);
        assert_eq!(idle.parameter("DateStyle"), Some("ISO, MDY"));
        let two = ["select 1 as a, null as b", "select set_config('a.b','c',true)"];
        let expect = ["bound 0 (a,b)", "1|NULL", "SELECT 1", "bound 1 (set_config)", "c", "SELECT 1", "Idle"];
        let (words, idle) = run(idle, &two).await.unwrap();
        assert_eq!(words, expect);
        // Prepared now: the descriptions are remembered.
        let (words, idle) = run(idle, &two).await.unwrap();
        assert_eq!(words, expect);
        assert_eq!(idle.prepared_count(), 2);
        let mut busy = idle.begin();
        busy.execute_unnamed("select $1::text, $2::int4", [Some("é".as_bytes()), None]);
        busy.execute("set timezone = 'Asia/Tokyo'", []);
        busy.execute("", []);
        busy.sync();
        let (words, idle) = answers(busy).await.unwrap();
        assert_eq!(words[..3], ["bound 0 (text,int4)", "é|NULL", "SELECT 1"]);
        assert_eq!(words[3..], ["bound 1 ()", "SET", "bound 2 ()", "", "Idle"]);
        assert_eq!(idle.parameter("TimeZone"), Some("Asia/Tokyo"));
        // Two batches on their way at once; the second uses what the first prepares.
        let mut busy = idle.begin();
        busy.execute("select 2 as two", []);
        busy.sync();
        busy.execute("select 2 as two", []);
        busy.sync();
        let (words, idle) = answers(busy).await.unwrap();
        let one = ["bound 0 (two)", "2", "SELECT 1", "Idle"];
        assert_eq!(words, [one, one].concat());
        idle.close().await;
    });
}

fn errors(cluster: &Cluster, text: &str) {
    cluster.sql("drop table if exists once; create table once (i int unique deferrable initially deferred)");
    on_both_drivers(async || {
        let mut idle = open(text);
        let cases: [(&[&str], &[&str]); 6] = [
            (&["selec", "select 1"], &["error 42601 at 0 bound false", "Idle"]),
            (&["select 1 as a", "select 1/(random() * 0)::int"], &["error 22012 at 1 bound true", "Idle"]),
            (&["select 1 as a", "select nope"], &["error 42703 at 1 bound false", "Idle"]),
            (
                &["insert into once values (1), (1)", "select 1 as a"],
                &["bound 0 ()", "INSERT 0 2", "bound 1 (a)", "1", "SELECT 1", "error 23505 at 2 bound true", "Idle"],
            ),
            (&["begin", "select nope", "commit"], &["bound 0 ()", "BEGIN", "error 42703 at 1 bound false", "Failed"]),
            (&["rollback"], &["bound 0 ()", "ROLLBACK", "Idle"]),
        ];
        let mut busy = idle.begin();
        for (statements, expect) in cases {
            for statement in statements {
                busy.execute(statement, []);
            }
            busy.sync();
            busy.send().await.unwrap();
            let mut words = Vec::new();
            while busy.syncs_due() > 0 {
                match busy.answer().unwrap() {
                    Some(answer) => words.push(crate::word(answer)),
                    None => busy.more().await.unwrap(),
                }
            }
            let tail = &words[words.len() - expect.len()..];
            assert_eq!(tail, expect, "{statements:?}");
        }
        idle = busy.finish().await.unwrap();
        let (words, _) = run(idle, &["select count(*) from once"]).await.unwrap();
        assert_eq!(words[1], "0");
    });
}

fn stale_statements(cluster: &Cluster, text: &str) {
    on_both_drivers(async || {
        cluster.sql("drop table if exists changing; create table changing as select 1 as a");
        let read = ["select set_config('a.b','c',true)", "select * from changing"];
        let (_, idle) = run(open(text), &read).await.unwrap();
        cluster.sql("alter table changing add column b int default 2");
        let (words, idle) = run(idle, &read).await.unwrap();
        assert_eq!(words[3..], ["error 0A000 at 1 bound false", "Idle"]);
        let (words, idle) = run(idle, &read).await.unwrap();
        assert_eq!(words[3..], ["bound 1 (a,b)", "1|2", "SELECT 1", "Idle"]);
        let (_, idle) = run(idle, &["discard all"]).await.unwrap();
        let (words, idle) = run(idle, &read).await.unwrap();
        assert_eq!(words, ["error 26000 at 0 bound false", "Idle"]);
        let (words, idle) = run(idle, &read).await.unwrap();
        assert_eq!(words[3..], ["bound 1 (a,b)", "1|2", "SELECT 1", "Idle"]);
        // The same code from a function is the request's own.
        let raise = "do $$ begin raise exception using errcode = '0A000'; end $$";
        let (words, _) = run(idle, &[raise]).await.unwrap();
        assert_eq!(words[1..], ["error 0A000 at 0 bound true", "Idle"]);
    });
}

fn large_batches(text: &str) {
    let parameter = vec![b'x'; 50 << 20];
    on_both_drivers(async || {
        let mut busy = open(text).begin();
        // 20 MB of answers stand before a parameter of 50 MB: neither side may wait for the other.
        busy.execute("select repeat('y', 1000) from generate_series(1, 20000)", []);
        busy.execute("select length($1)", [Some(parameter.as_slice())]);
        busy.execute("select repeat('z', 5000000)", []);
        busy.sync();
        busy.send().await.unwrap();
        let (mut rows, mut bytes, mut last) = (0, 0, String::new());
        while busy.syncs_due() > 0 {
            match busy.answer().unwrap() {
                Some(Answer::Row(row)) => {
                    let field = row.fields().next().flatten().unwrap();
                    rows += 1;
                    bytes += field.len();
                    if field.len() < 10 {
                        last = String::from_utf8_lossy(field).into_owned();
                    }
                }
                Some(Answer::Error { error, .. }) => panic!("{error}"),
                Some(_) => {}
                None => busy.more().await.unwrap(),
            }
        }
        assert_eq!((rows, bytes, last.as_str()), (20_002, 25_000_008, "52428800"));
        let (words, _) = run(busy.finish().await.unwrap(), &["select 1 as a"]).await.unwrap();
        assert_eq!(words[1], "1");
    });
}

/// Values that are sent from where they are or made on the way, several in a batch, small ones and statements between them.
fn pieces(text: &str) {
    let whole = Bytes::from("w".repeat(3_000_000));
    on_both_drivers(async || {
        let made = |parts| Value::Piece(Piece::Made(Box::new(Parts { left: parts })));
        let mut busy = open(text).begin();
        busy.execute_values("select md5($1) as a", [Value::Piece(Piece::Whole(whole.clone()))]);
        busy.execute("select $1 as b", [Some(&b"between"[..])]);
        let values =
            [made(40), Value::Null, Value::Piece(Piece::Whole(whole.slice(1..9))), made(0), Value::Bytes(b"e")];
        let lengths = "select concat_ws(',', length($1), length($2), $3::text, length($4), $5::text) as c";
        busy.execute_values(lengths, values);
        busy.sync();
        // The next batch waits behind this one.
        busy.send().await.unwrap();
        busy.execute_values("select length($1) as d", [made(3)]);
        busy.sync();
        let (words, idle) = answers(busy).await.unwrap();
        let rows: Vec<_> =
            words.iter().filter(|word| !word.starts_with("bound") && !word.starts_with("SELECT")).collect();
        let md5 = "b7fbbcf48e177a296c325007fff36d50";
        assert_eq!(rows, [md5, "between", "4000,wwwwwwww,0,e", "Idle", "300", "Idle"]);
        idle.close().await;
    });
}

/// A value of parts of a hundred bytes.
struct Parts {
    left: usize,
}

impl Source for Parts {
    fn bytes(&self) -> usize {
        self.left * 100
    }

    fn next(&mut self, out: &mut Vec<u8>) {
        if self.left > 0 {
            self.left -= 1;
            out.extend([b'm'; 100]);
        }
    }
}

fn many_statements(text: &str) {
    on_both_drivers(async || {
        let mut idle = open(text);
        for number in 0..600 {
            let statement = format!("select {number} as n");
            let (words, left) = run(idle, &[&statement]).await.unwrap();
            assert_eq!(words[1], number.to_string());
            idle = left;
        }
        assert_eq!(idle.prepared_count(), 512);
        let (words, _) = run(idle, &["select count(*) from pg_prepared_statements"]).await.unwrap();
        assert_eq!(words[1], "512");
    });
}

fn open_transactions(text: &str) {
    on_both_drivers(async || {
        let result = run(open(text), &["begin", "select 1"]).await;
        assert!(matches!(result, Err(WireError::Unusable(_))));
        let mut busy = open(text).begin();
        busy.execute("select 1", []);
        assert!(matches!(busy.finish().await, Err(WireError::Unusable(_))));
    });
}

fn notifications(cluster: &Cluster, text: &str) {
    on_both_drivers(async || {
        let (_, mut idle) = run(open(text), &["listen \"some channel\""]).await.unwrap();
        cluster.sql("notify \"some channel\", 'first'; notify \"some channel\"");
        let first = idle.notification().await.unwrap();
        assert_eq!((first.channel.as_str(), first.payload.as_str()), ("some channel", "first"));
        assert_eq!(idle.notification().await.unwrap().payload, "");
    });
}

/// A cancellation races with its statement's end; whoever comes next on the connection must never feel it.
fn cancellation(text: &str) {
    let connector = Connector::start(2).unwrap();
    let handle = connector.handle(std::sync::Arc::new(Target::parse(text).unwrap()));
    on_both_drivers(async || {
        let mut idle = open(text);
        let (mut cancelled, mut missed) = (0, 0);
        for round in 0..200_u32 {
            let key = idle.key().clone();
            let mut busy = idle.begin();
            let millis = f64::from(round % 20) / 10.0;
            busy.execute("select pg_sleep($1::float8 / 1000)", [Some(millis.to_string().as_bytes())]);
            busy.sync();
            busy.send().await.unwrap();
            handle.cancel(key, Instant::now() + Duration::from_secs(10)).await.unwrap();
            while busy.syncs_due() > 0 {
                match busy.answer().unwrap() {
                    Some(Answer::Error { error, .. }) => {
                        assert_eq!(error.sqlstate, "57014");
                        cancelled += 1;
                    }
                    Some(Answer::Complete { .. }) => missed += 1,
                    Some(_) => {}
                    None => busy.more().await.unwrap(),
                }
            }
            idle = busy.settle().await.unwrap();
            let (words, left) = run(idle, &["select 'next' as n, pg_sleep(0.0005)"]).await.unwrap();
            assert_eq!(words[1], "next|", "round {round}");
            idle = left;
        }
        assert_eq!(cancelled + missed, 200);
        idle.close().await;
    });
}
