//! Functions as endpoints, over the real process: called exactly once whatever is asked of the result, cancelled with their
//! client, filters reaching into those that PostgreSQL can inline.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, clippy::unwrap_used)] // A test harness.
#![allow(dead_code)] // Of the support module.

#[path = "support/process.rs"]
mod process;

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use process::{Options, Process, Reply, read_reply};
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
";

fn cluster() -> Cluster {
    let cluster = Cluster::start(ClusterOptions::default()).expect("a private PostgreSQL");
    cluster.psql_in(DATABASE, FIXTURE).expect("the fixture loads");
    cluster
}

fn start(cluster: &Cluster) -> Process {
    let config = format!(
        "db-uri = \"{}\"\ndb-schemas = \"api\"\ndb-anon-role = \"anon\"\ndb-config = false\ndb-pool = 1\n\
         db-plan-enabled = true\n",
        cluster.uri("authenticator", DATABASE)
    );
    Process::start(&Options { config, ..Options::default() })
}

fn send(process: &Process, method: &str, path: &str, headers: &str, body: Option<&str>) -> TcpStream {
    let mut stream = TcpStream::connect(process.api).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body
        .map_or(String::new(), |body| format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
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

#[test]
fn a_function_is_cancelled_with_its_client_and_its_connection_is_clean() {
    let cluster = cluster();
    let process = start(&cluster);
    let asleep = || {
        let question =
            "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and usename = 'authenticator'";
        cluster.psql_in(DATABASE, question).unwrap() == "1"
    };
    let wait = |what: &str, patience: Duration, wanted: bool| {
        let deadline = Instant::now() + patience;
        while asleep() != wanted {
            assert!(Instant::now() < deadline, "not {what} in time");
        }
    };
    for (method, body) in [("GET", None), ("POST", Some("{}"))] {
        let client = send(&process, method, "/rpc/nap", "", body);
        wait("asleep", PATIENCE, true);
        drop(client);
        // A second for the server, the rest for this machine.
        wait("cancelled", Duration::from_secs(3), false);
        // There is one connection: this is it, without anything of the request before.
        let next = ask(&process, "GET", "/rpc/who", "", None);
        assert_eq!((next.status, next.text().as_str()), (200, "\"anon GET\""), "after {method}");
        assert_eq!(ask(&process, "GET", "/item?limit=1&select=id", "", None).status, 200);
    }
}
