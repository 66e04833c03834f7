//! One connection: after every kind of end the next request starts clean; what SQL leaves behind on purpose stays, and is
//! never who the next request is.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process::{Process, Reply, read_reply};
use crate::world::{Identity, World, identities};

const PATIENCE: Duration = Duration::from_secs(20);

/// More functions for what is left on a session; each returns nothing of interest.
const FIXTURE: &str = r#"
    create function api.pid() returns int language sql volatile as $$ select pg_backend_pid() $$;
    create function api.run(code text) returns text language plpgsql volatile as $$ begin execute code; return ''; end $$;
    create function api.kept() returns json language sql volatile as $$ select json_build_object(
      'custom', current_setting('my.own', true), 'lock', (select count(*) from pg_locks where locktype = 'advisory'
        and pid = pg_backend_pid()), 'channels', (select count(*) from pg_listening_channels()),
      'temporary', to_regclass('pg_temp.note') is not null,
      'prepared', (select count(*) from pg_prepared_statements where name = 'left_behind'),
      'cursors', (select count(*) from pg_cursors where name = 'held')) $$;
    grant temporary on database postgres to reader, writer, slowpoke;
    create sequence api.hung;
"#;

fn world() -> World {
    let world = World::make();
    world.sql(FIXTURE);
    world
}

fn send(process: &Process, who: &Identity, head: &str, body: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(process.api).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (token, marker, length) = (&who.token, who.marker(), body.len());
    write!(
        stream,
        "{head} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\nX-Who: {marker}\r\nCookie: who={marker}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .unwrap();
    BufReader::new(stream)
}

fn call(process: &Process, who: &Identity, name: &str, arguments: &Value) -> Reply {
    read_reply(&mut send(process, who, &format!("POST /rpc/{name}"), &arguments.to_string())).unwrap()
}

fn run(process: &Process, who: &Identity, code: &str) -> Reply {
    call(process, who, "run", &json!({ "code": code }))
}

/// Asks everything that a request can see of its settings.
fn check_clean(process: &Process, who: &Identity, after: &str) {
    let reply = call(process, who, "state", &json!({}));
    assert_eq!(reply.status, 200, "after {after}: {}", reply.text());
    let state: Value = serde_json::from_str(&reply.text()).unwrap();
    let marker = who.marker();
    let expected = json!({
        "role": who.role, "sub": marker, "method": "POST", "path": "/rpc/state", "header": marker, "cookie": marker,
        "search_path": "\"api\", \"public\"", "timezone": "UTC", "lock_timeout": who.lock_timeout(), "fast": "",
        "timeout": "0", "isolation": "read committed", "read_only": "off", "response": "",
    });
    assert_eq!(state, expected, "after {after}");
    assert_eq!(reply.header("X-Owner"), None, "after {after}");
}

fn pid(process: &Process, who: &Identity) -> String {
    call(process, who, "pid", &json!({})).text()
}

#[test]
fn after_every_kind_of_end_the_next_request_starts_clean() {
    if crate::MUTANT {
        return;
    }
    let world = world();
    let process = world.start("server-threads = 1\ndb-pool = 1\n", "1");
    // A writer, whose role has settings, goes before; a reader, whose role has none, follows.
    let all = identities();
    let (before, next, slow) = (&all[1], &all[0], &all[2]);
    assert_eq!((before.role, next.role, slow.role), ("writer", "reader", "slowpoke"));
    let session = pid(&process, next);
    let ends: [(&str, &str, &Identity, Value, u16); 10] = [
        ("success", "headed", before, json!({}), 203),
        ("hoisted settings", "hoisted", before, json!({}), 200),
        ("another isolation level", "serial", before, json!({}), 200),
        ("an SQL error", "fail", before, json!({ "how": "raise" }), 418),
        ("an SQL error without a status", "fail", before, json!({ "how": "divide" }), 400),
        ("a late error", "fail", before, json!({ "how": "late" }), 400),
        ("a time-out", "nap", slow, json!({ "seconds": 20 }), 500),
        ("a type error at bind", "nap", before, json!({ "seconds": "never" }), 400),
        ("stale statements", "run", before, json!({ "code": "deallocate all" }), 200),
        ("settings of the session", "leave", before, json!({ "other": "<7>", "other_role": "slowpoke" }), 200),
    ];
    for (end, name, who, arguments, status) in ends {
        let reply = call(&process, who, name, &arguments);
        let status = if name == "leave" { 299 } else { status };
        assert_eq!(reply.status, status, "{end}: {}", reply.text());
        check_clean(&process, next, end);
        assert_eq!(pid(&process, next), session, "{end} keeps the connection");
    }
    let sleeping = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
    let hung = send(&process, before, "POST /rpc/nap", "{\"seconds\":60}");
    let deadline = Instant::now() + PATIENCE;
    while world.sql(sleeping) != "1" {
        assert!(Instant::now() < deadline, "not asleep in time");
    }
    drop(hung);
    check_clean(&process, next, "a client that hung up");
    assert_eq!(pid(&process, next), session, "a cancellation keeps the connection");
    let mut torn = TcpStream::connect(process.api).unwrap();
    torn.write_all(b"POST /rpc/nap HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{").unwrap();
    assert_eq!(read_reply(&mut BufReader::new(torn)).unwrap().status, 400);
    check_clean(&process, next, "a broken request");
    assert!(call(&process, before, "die", &json!({})).status >= 500);
    check_clean(&process, next, "the server's end of the session");
    assert_ne!(pid(&process, next), session, "another connection");
}

#[test]
fn what_sql_leaves_behind_is_not_who_asks_next() {
    if crate::MUTANT {
        return;
    }
    let world = world();
    let process = world.start("server-threads = 1\ndb-pool = 1\n", "1");
    let all = identities();
    let (before, next) = (&all[1], &all[0]);
    let session = pid(&process, next);
    for code in [
        "set session my.own = 'kept'",
        "set session role slowpoke",
        "reset role",
        "set session search_path = pg_catalog",
        "select pg_advisory_lock(1)",
        "listen news",
        "create temporary table note as select 666 as id, '<1>' as owner, '<1> temporary' as body",
        "prepare left_behind as select 1",
        "declare held cursor with hold for select 1",
    ] {
        let reply = run(&process, before, code);
        assert_eq!(reply.status, 200, "{code}: {}", reply.text());
        check_clean(&process, next, code);
    }
    // The session has them still, as with PostgREST …
    let kept: Value = serde_json::from_str(&call(&process, next, "kept", &json!({})).text()).unwrap();
    let expected =
        json!({ "custom": "kept", "lock": 1, "channels": 1, "temporary": true, "prepared": 1, "cursors": 1 });
    assert_eq!(kept, expected);
    // … but a notification is no answer, and a temporary table doesn't come before the schema's.
    world.sql("notify news, 'hello'");
    for target in ["/note?select=owner", "/rpc/my_notes?select=owner"] {
        let notes = read_reply(&mut send(&process, next, &format!("GET {target}"), "")).unwrap();
        assert_eq!(notes.text().matches("<0>").count(), 10, "{}", notes.text());
        assert!(!notes.text().contains("<1>"), "{}", notes.text());
    }
    assert_eq!(pid(&process, next), session);
    // Becoming what the connection's user is not a member of is refused, whoever asks.
    assert_eq!(run(&process, before, "set session role postgres").status, 403);
    assert_eq!(run(&process, before, "set session session authorization postgres").status, 403);
    check_clean(&process, next, "refusals");
}
