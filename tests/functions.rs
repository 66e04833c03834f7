//! Functions as endpoints, over the real process: called exactly once whatever is asked of the result, in one flush once
//! their statement is prepared, cancelled with their client, filters reaching into those that PostgreSQL can inline.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, clippy::unwrap_used)] // A test harness.
#![allow(dead_code)] // Of the support module.

#[path = "support/process.rs"]
mod process;
#[path = "functions/recorded.rs"]
mod recorded;
#[path = "functions/tap.rs"]
mod tap;

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use process::{Options, Process, Reply, read_reply};
use tap::Tap;
use trunkline::server::cluster::{Cluster, ClusterOptions};

const DATABASE: &str = "postgres";
const PATIENCE: Duration = Duration::from_secs(20);
/// The counter is a setting of the session: a read-only transaction can keep it, and with one connection it is everybody's.
const FIXTURE: &str = "
    create role anon nologin;
    create role authenticator login noinherit;
    grant anon to authenticator;
    create schema api;
    grant usage on schema api to anon;
    create table api.owner (id int primary key, name text not null);
    create table api.item (id int primary key, owner_id int references api.owner, name text not null);
    insert into api.owner values (1, 'Ada'), (2, 'Bo');
    insert into api.item select n, 1 + n % 2, 'item ' || n from generate_series(1, 2000) n;
    analyze api.item;
    create function api.counted() returns int language sql volatile as
      $$ select coalesce(nullif(current_setting('tally.calls', true), ''), '0')::int $$;
    create function api.count_call() returns void language sql volatile as
      $$ select set_config('tally.calls', (api.counted() + 1)::text, false) $$;
    create function api.reset() returns text language sql volatile as $$ select set_config('tally.calls', '0', false) $$;
    create function api.one_scalar(n int default 1) returns int language plpgsql volatile as
      $$ begin perform api.count_call(); return n; end $$;
    create function api.some_scalars() returns setof int language plpgsql volatile as
      $$ begin perform api.count_call(); return query select 7; end $$;
    create function api.one_row() returns api.item language plpgsql volatile as
      $$ declare found api.item; begin
        perform api.count_call(); select * into found from api.item where id = 1; return found;
      end $$;
    create function api.some_rows() returns setof api.item language plpgsql volatile as
      $$ begin perform api.count_call(); return query select * from api.item where id = 1; end $$;
    create function api.some_table() returns table (id int, name text) language plpgsql volatile as
      $$ begin perform api.count_call(); return query select 1, 'one'; end $$;
    create function api.nothing() returns void language plpgsql volatile as $$ begin perform api.count_call(); end $$;
    create function api.a_record() returns record language plpgsql volatile as
      $$ begin perform api.count_call(); return row(1, 'x'); end $$;
    create function api.all_items() returns setof api.item language sql stable as $$ select * from api.item $$;
    create function api.nap() returns text language sql volatile as
      $$ select set_config('request.method', 'nap', true) || pg_sleep(60)::text $$;
    create function api.who() returns text language sql stable as
      $$ select current_user || ' ' || current_setting('request.method', true) $$;
    grant select on all tables in schema api to anon;
    create table api.noted (n int);
    create function api.note_known(n int) returns int language plpgsql security definer volatile as
      $$ begin insert into api.noted values (n); return n; end $$;
    create function api.note_new(n int) returns int language plpgsql security definer volatile as
      $$ begin insert into api.noted values (n); return n; end $$;
    create function api.teapot(code text, tea text) returns int language plpgsql stable as
      $$ begin
        perform set_config('response.status', code, true);
        perform set_config('response.headers', json_build_array(json_build_object('X-Tea', tea))::text, true);
        return 1;
      end $$;
    create domain \"text/plain\" as text;
    create domain \"application/octet-stream\" as bytea;
    create function api.page(mb int) returns \"text/plain\" language sql immutable as
      $$ select repeat('x', mb * 1048576) $$;
    create function api.blob(mb int) returns \"application/octet-stream\" language sql immutable as
      $$ select decode(repeat('78', mb * 1048576), 'hex') $$;
";

fn cluster() -> Cluster {
    let cluster = Cluster::start(ClusterOptions::default()).expect("a private PostgreSQL");
    cluster.psql_in(DATABASE, FIXTURE).expect("the fixture loads");
    cluster
}

fn start(cluster: &Cluster) -> Process {
    start_at(&cluster.uri("authenticator", DATABASE), "")
}

/// A server with one connection that doesn't hear of a changed schema.
fn start_at(db_uri: &str, more: &str) -> Process {
    let config = format!(
        "db-uri = \"{db_uri}\"\ndb-schemas = \"api\"\ndb-anon-role = \"anon\"\ndb-config = false\ndb-pool = 1\n\
         db-plan-enabled = true\ndb-channel-enabled = false\n{more}"
    );
    Process::start(&Options { config, ..Options::default() })
}

fn send(process: &Process, method: &str, path: &str, headers: &str, body: Option<&str>) -> TcpStream {
    let media = if body.is_some() { "Content-Type: application/json\r\n" } else { "" };
    send_raw(process, method, path, &format!("{headers}{media}"), body)
}

/// A request with these headers and what frames it.
fn send_raw(process: &Process, method: &str, path: &str, headers: &str, body: Option<&str>) -> TcpStream {
    let mut stream = TcpStream::connect(process.api).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.map_or(String::new(), |body| format!("Content-Length: {}\r\n", body.len()));
    let body = body.unwrap_or_default();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}{length}\r\n{body}")
        .unwrap();
    stream
}

fn ask(process: &Process, method: &str, path: &str, headers: &str, body: Option<&str>) -> Reply {
    read_reply(&mut BufReader::new(send(process, method, path, headers, body))).unwrap()
}

/// Resets the counter, asks, and tells how often the function ran.
fn calls(process: &Process, method: &str, path: &str, headers: &str, body: Option<&str>) -> (u16, String) {
    assert_eq!(ask(process, "GET", "/rpc/reset", "", None).status, 200);
    let reply = ask(process, method, path, headers, body);
    (reply.status, ask(process, "GET", "/rpc/counted", "", None).text())
}

#[test]
fn a_function_runs_once_whatever_is_asked_of_its_result() {
    let cluster = cluster();
    let process = start(&cluster);
    let once = |status: u16| (status, "1".to_owned());
    for name in ["one_scalar", "some_scalars", "one_row", "some_rows", "some_table", "nothing", "a_record"] {
        let path = format!("/rpc/{name}");
        let plain = if name == "nothing" { 204 } else { 200 };
        for (method, body) in [("GET", None), ("HEAD", None), ("POST", Some("{}"))] {
            for headers in ["", "Prefer: count=exact\r\n", "Prefer: count=estimated\r\n", "Prefer: count=planned\r\n"] {
                for range in ["", "?limit=1", "?limit=1&offset=0"] {
                    let path = format!("{path}{range}");
                    assert_eq!(calls(&process, method, &path, headers, body), once(plain), "{method} {path} {headers}");
                }
            }
        }
        for accept in
            ["text/csv", "application/vnd.pgrst.object+json", "application/vnd.pgrst.array+json;nulls=stripped"]
        {
            let headers = format!("Accept: {accept}\r\n");
            for (method, body) in [("GET", None), ("POST", Some("{}"))] {
                assert_eq!(calls(&process, method, &path, &headers, body), once(plain), "{method} {path} {accept}");
            }
        }
    }
    for path in [
        "/rpc/some_rows?select=id,owner(name)&id=eq.1&order=name",
        "/rpc/some_rows?select=name,...owner!inner(owner:name)&limit=5",
        "/rpc/some_table?select=name&id=gt.0&order=id.desc",
        "/rpc/one_row?select=id,owner(*)",
        "/rpc/one_scalar?n=3&pgrst_scalar=gt.1&order=pgrst_scalar",
    ] {
        for headers in ["", "Prefer: count=exact\r\n"] {
            assert_eq!(calls(&process, "GET", path, headers, None), once(200), "{path} {headers}");
        }
    }
    assert_eq!(calls(&process, "POST", "/rpc/one_scalar", "", Some("{\"n\": 9}")), once(200));
}

#[test]
fn filters_reach_into_a_function_that_can_be_inlined() {
    let cluster = cluster();
    let process = start(&cluster);
    for (method, body) in [("GET", None), ("POST", Some("{}"))] {
        let plan = ask(&process, method, "/rpc/all_items?id=eq.7", "Accept: application/vnd.pgrst.plan\r\n", body);
        assert_eq!(plan.status, 200, "{}", plan.text());
        assert!(plan.text().contains("Index Scan using item_pkey"), "{}", plan.text());
    }
    let embedded = ask(&process, "GET", "/rpc/all_items?select=id,owner(name)&id=in.(1,2)&order=id", "", None);
    assert_eq!(embedded.text(), "[{\"id\":1,\"owner\":{\"name\":\"Bo\"}}, \n {\"id\":2,\"owner\":{\"name\":\"Ada\"}}]");
}

/// Every request is set up by a statement that is run before its role counts: whoever may create functions in `public` must
/// not be able to run in it. Settings beyond a function's hundred arguments arrive too.
#[test]
fn nobody_stands_in_for_what_sets_a_request_up_and_all_settings_arrive() {
    let cluster = cluster();
    for count in 1..=100 {
        let types = vec!["text"; count].join(", ");
        let stand_in = format!(
            "create function public.num_nulls({types}) returns int language plpgsql as \
             $$ begin raise exception 'a stand-in was called'; end $$"
        );
        cluster.psql_in(DATABASE, &stand_in).unwrap();
    }
    let told = "create function api.told(name text) returns text language sql stable as \
                $$ select current_setting(name, true) $$";
    cluster.psql_in(DATABASE, told).unwrap();
    let settings =
        |count: u32| (1..=count).fold(String::new(), |all, n| all + &format!("app.settings.s{n} = \"v{n}\"\n"));
    for count in [1, 200] {
        let process = start_at(&cluster.uri("authenticator", DATABASE), &settings(count));
        for n in [1, count] {
            let path = format!("/rpc/told?name=app.settings.s{n}");
            for _ in ["planned", "known"] {
                let reply = ask(&process, "GET", &path, "", None);
                assert_eq!((reply.status, reply.text()), (200, format!("\"v{n}\"")), "{count}");
            }
        }
        let reply = ask(&process, "POST", "/rpc/who", "", Some("{}"));
        assert_eq!((reply.status, reply.text().as_str()), (200, "\"anon POST\""), "{count}");
        let reply = ask(&process, "GET", "/rpc/told?name=request.cookies", "Cookie: a=b; c=\"d\"\r\n", None);
        assert_eq!(reply.text(), r#""{\"a\":\"b\",\"c\":\"d\"}""#);
        let reply = ask(&process, "GET", "/rpc/told?name=request.cookies", "", None);
        assert_eq!(reply.text(), "\"{}\"");
    }
}

const STAND_INS: [&str; 14] = [
    "to_json(text[])",
    "to_json(api.parcel)",
    "to_json(int)",
    "row_to_json(api.parcel)",
    "json_agg(json)",
    "json_agg(api.parcel)",
    "json_agg(int)",
    "json_to_record(text)",
    "json_to_recordset(text)",
    "json_typeof(text)",
    "json_array_elements(text)",
    "jsonb_array_elements(text)",
    "jsonb_build_object(text, text)",
    "unnest(text)",
];

/// Nor in what the API's own statements call: a function that fits its argument better than PostgreSQL's would be run by
/// everybody who reads the table.
#[test]
fn nobody_stands_in_for_what_statements_call() {
    let cluster = cluster();
    let table =
        "create table api.parcel (id int primary key, item_id int references api.item, name text default 'none',
                   tags text[], note jsonb);
                 insert into api.parcel values (1, 1, 'one', '{a,b}', '{\"x\": 1}'), (2, 1, 'two', null, null);
                 create function api.tags(id int) returns text[] language sql stable as
                   $$ select tags from api.parcel where parcel.id = tags.id $$;
                 create function api.doubled(n int) returns int language sql stable as $$ select 2 * n $$;
                 grant all on api.parcel to anon";
    cluster.psql_in(DATABASE, table).unwrap();
    let representation = "Prefer: return=representation\r\n";
    let missing = "Prefer: return=representation, missing=default\r\n";
    let questions = [
        ("GET", "/parcel?order=id", "", None),
        ("GET", "/parcel?order=id&select=id,tags,item(*)", "", None),
        ("GET", "/item?id=lt.3&order=id&select=id,parcel(id,tags)&parcel.order=id.desc&parcel.limit=1", "", None),
        ("GET", "/parcel?order=id&limit=1", "Prefer: count=exact\r\n", None),
        ("GET", "/parcel?select=id,tags&order=id", "Accept: text/csv\r\n", None),
        ("GET", "/parcel?order=id", "Accept: application/vnd.pgrst.array+json;nulls=stripped\r\n", None),
        ("GET", "/parcel?id=in.(1,2)&order=id", "", None),
        ("POST", "/parcel", representation, Some("{\"id\": 3, \"tags\": [\"x\"]}")),
        ("POST", "/parcel", representation, Some("[{\"id\": 4}, {\"id\": 5}]")),
        ("POST", "/parcel?columns=id,name", missing, Some("[{\"id\": 6}, {\"id\": 7, \"name\": \"n\"}]")),
        ("POST", "/parcel?columns=id,name", missing, Some("{\"id\": 8}")),
        ("PATCH", "/parcel?id=eq.3", representation, Some("{\"name\": \"x\"}")),
        ("PUT", "/parcel?id=eq.3", representation, Some("{\"id\": 3, \"name\": \"y\"}")),
        ("DELETE", "/parcel?id=gt.2&order=id", representation, None),
        ("GET", "/rpc/tags?id=1", "", None),
        ("POST", "/rpc/doubled", "", Some("{\"n\": 4}")),
    ];
    let answers = |process: &Process| {
        questions.map(|(method, path, headers, body)| {
            let reply = ask(process, method, path, headers, body);
            (method, path, reply.status, reply.text())
        })
    };
    let expected = answers(&start(&cluster));
    for (method, path, status, text) in &expected {
        assert!((200..300).contains(status), "{method} {path}: {status} {text}");
    }
    for signature in STAND_INS {
        let stand_in = "returns json language plpgsql as $$ begin raise exception 'a stand-in was called'; end $$";
        cluster.psql_in(DATABASE, &format!("create function public.{signature} {stand_in}")).unwrap();
    }
    for (answer, expected) in answers(&start(&cluster)).iter().zip(&expected) {
        assert_eq!(answer, expected);
    }
}

/// Also what begins a transaction that isn't the batch itself is parsed again.
#[test]
fn what_user_code_deallocates_is_prepared_again() {
    let cluster = cluster();
    let forget = "create function api.forget() returns text language plpgsql volatile as \
                  $$ begin execute 'deallocate all'; return 'forgotten'; end $$";
    cluster.psql_in(DATABASE, forget).unwrap();
    let process = start_at(&cluster.uri("authenticator", DATABASE), "db-tx-end = \"commit-allow-override\"\n");
    for _ in 0..3 {
        for preference in ["Prefer: tx=rollback\r\n", ""] {
            let reply = ask(&process, "POST", "/rpc/one_scalar", preference, Some("{\"n\": 9}"));
            assert_eq!((reply.status, reply.text().as_str()), (200, "9"), "{preference}");
            let reply = ask(&process, "POST", "/rpc/forget", "", Some("{}"));
            assert_eq!((reply.status, reply.text().as_str()), (200, "\"forgotten\""));
        }
    }
}

/// Asks PostgreSQL until it has an answer.
fn told_by(cluster: &Cluster, what: &str, question: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = cluster.psql_in(DATABASE, question).unwrap();
        if !answer.is_empty() {
            return answer;
        }
        assert!(Instant::now() < deadline, "no {what} in time");
    }
}

#[test]
fn a_function_is_cancelled_within_a_second_of_its_clients_departure_and_its_connection_is_clean() {
    let cluster = cluster();
    let process = start(&cluster);
    for (method, body) in [("GET", None), ("POST", Some("{}"))] {
        // Later its shape is known. A busy machine may hold one of them up; what is slow by itself holds up each.
        let mut best = f64::INFINITY;
        for time in ["new", "known", "known"] {
            let client = send(&process, method, "/rpc/nap", "", body);
            let asleep = "select pid from pg_stat_activity where wait_event = 'PgSleep' and usename = 'authenticator'";
            let pid = told_by(&cluster, "nap", asleep);
            let left = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            drop(client);
            // PostgreSQL notes itself when the backend was done: how late this test looks makes no difference.
            let done = format!(
                "select extract(epoch from state_change) from pg_stat_activity where pid = {pid} and state <> 'active'"
            );
            let done: f64 = told_by(&cluster, "cancellation", &done).parse().unwrap();
            let took = done - left.as_secs_f64();
            assert!((0.0..PATIENCE.as_secs_f64()).contains(&took), "{method}, {time}: cancelled after {took} s");
            best = best.min(took);
            // There is one connection: this is it, without anything of the request before.
            let next = ask(&process, "GET", "/rpc/who", "", None);
            assert_eq!((next.status, next.text().as_str()), (200, "\"anon GET\""), "after {method}");
            assert_eq!(ask(&process, "GET", "/item?limit=1&select=id", "", None).status, 200);
            let same = format!("select pid from pg_stat_activity where pid = {pid} and usename = 'authenticator'");
            assert_eq!(told_by(&cluster, "backend", &same), pid);
        }
        assert!(best < 1.0, "{method}: cancelled after {best} s at best");
    }
}

#[test]
fn a_known_call_is_one_flush_of_prepared_statements() {
    let cluster = cluster();
    let tap = Tap::start(&cluster);
    let process = start_at(&tap.uri(&cluster, "authenticator", DATABASE), "");
    // Bind and Execute of the settings, of the call, and of what it may have set for the answer; then Sync.
    let call = "BEBEBES";
    for (method, path, body, sent) in [
        ("GET", "/item?select=id&id=eq.1", None, "BEBES"),
        ("GET", "/rpc/who", None, call),
        ("POST", "/rpc/who", Some("{}"), call),
        ("GET", "/rpc/all_items?select=id,owner(name)&id=eq.7", None, call),
        ("GET", "/rpc/one_scalar?n=3", None, call),
        ("POST", "/rpc/one_scalar", Some("{\"n\": 3}"), call),
        ("POST", "/rpc/nothing", Some("{}"), call),
        // Planned anew each time.
        ("HEAD", "/rpc/all_items?id=eq.7", None, call),
    ] {
        for _ in 0..2 {
            assert!(ask(&process, method, path, "", body).status < 300, "{method} {path}");
        }
        tap.take();
        assert!(ask(&process, method, path, "", body).status < 300);
        assert_eq!(tap.take(), (sent.to_owned(), true), "{method} {path}");
    }
}

#[test]
fn what_a_function_says_of_its_answer_counts_each_time() {
    let cluster = cluster();
    let process = start(&cluster);
    for (code, tea) in [("418", "none"), ("201", "green"), ("418", "black"), ("203", "green")] {
        let posted = format!("{{\"code\": \"{code}\", \"tea\": \"{tea}\"}}");
        for (method, path, body) in [
            ("GET", format!("/rpc/teapot?code={code}&tea={tea}"), None),
            ("POST", "/rpc/teapot".to_owned(), Some(posted)),
        ] {
            let reply = ask(&process, method, &path, "", body.as_deref());
            assert_eq!((reply.status.to_string().as_str(), reply.header("X-Tea")), (code, Some(tea)), "{method}");
            let next = ask(&process, "GET", "/rpc/who", "", None);
            assert_eq!((next.status, next.header("X-Tea")), (200, None), "after {method}");
        }
    }
    // What would be a header or a body of its own is refused.
    for tea in ["green\\r\\nX-More: 1", "green\\n", "green\\r\\n\\r\\n<p>"] {
        let posted = format!("{{\"code\": \"200\", \"tea\": \"{tea}\"}}");
        let reply = ask(&process, "POST", "/rpc/teapot", "", Some(&posted));
        assert_eq!((reply.status, reply.header("X-Tea"), reply.header("X-More")), (500, None, None), "{tea}");
        assert!(reply.text().contains("\"PGRST111\""), "{}", reply.text());
    }
}

#[test]
fn a_function_that_is_newer_than_the_catalog_is_run_once_and_answered() {
    let cluster = cluster();
    let uri = cluster.uri("authenticator", DATABASE);
    let count = || cluster.psql_in(DATABASE, "select count(*) from api.noted").unwrap();
    for more in ["", "db-prepared-statements = false\n"] {
        let process = start_at(&uri, more);
        cluster.psql_in(DATABASE, "delete from api.noted").unwrap();
        assert_eq!(ask(&process, "POST", "/rpc/note_known", "", Some("{\"n\": 1}")).text(), "1");
        assert_eq!(ask(&process, "POST", "/rpc/note_known", "", Some("{\"n\": 1}")).text(), "1");
        let mut calls = 2;
        assert_eq!(count(), calls.to_string());
        for name in ["note_known", "note_new"] {
            let replace = |result: &str| {
                let body = format!(
                    "drop function api.{name}; create function api.{name}(n int) returns {result} language plpgsql \
                     security definer volatile as $$ begin insert into api.noted values (n); return n; end $$"
                );
                cluster.psql_in(DATABASE, &body.replace("return n;", &format!("return {};", value(result)))).unwrap();
            };
            replace("int[]");
            for n in [2, 3, 4] {
                let reply = ask(&process, "POST", &format!("/rpc/{name}"), "", Some(&format!("{{\"n\": {n}}}")));
                calls += 1;
                assert_eq!((reply.status, reply.text()), (200, format!("[{n},{n}]")), "{name} {more}");
                assert_eq!(count(), calls.to_string(), "{name} {more}");
            }
            replace("int");
            let reply = ask(&process, "POST", &format!("/rpc/{name}"), "", Some("{\"n\": 5}"));
            calls += 1;
            assert_eq!((reply.status, reply.text().as_str()), (200, "5"), "{name} {more}");
            assert_eq!(count(), calls.to_string(), "{name} {more}");
        }
    }
}

/// What the function returns of its argument `n`.
fn value(result: &str) -> &'static str {
    if result == "int" { "n" } else { "array[n, n]" }
}

/// One copy is what arrives from PostgreSQL, one is what leaves; a third would show.
#[test]
fn a_body_that_a_function_made_is_in_memory_as_it_came_and_as_it_leaves() {
    const MB: usize = 48;
    let bytes = (MB << 20) as f64;
    let cluster = cluster();
    // The digits of a bytea are twice as long as its bytes.
    for (name, media, copies) in [("page", "text/plain", 2.0), ("blob", "application/octet-stream", 3.0)] {
        let process = start(&cluster);
        let accept = format!("Accept: {media}\r\n");
        assert_eq!(ask(&process, "GET", &format!("/rpc/{name}?mb=1"), &accept, None).body.len(), 1 << 20);
        let before = process.peak_bytes();
        let reply = ask(&process, "GET", &format!("/rpc/{name}?mb={MB}"), &accept, None);
        assert_eq!((reply.status, reply.body.len()), (200, MB << 20), "{name}");
        assert!(reply.body.iter().all(|&byte| byte == b'x'), "{name}");
        let grown = (process.peak_bytes() - before) as f64 / bytes;
        assert!(grown < copies + 0.5, "{name}: {grown} times the body");
    }
}
