//! Requests beside a reload that takes its time.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::process::{Process, read_reply};
use crate::{ANON, LOADED, cluster, options, psql, said, status};

/// A reload that is held up in the function `db-pre-config`, as by a slow database, until the gate is opened.
const GATE: &str = "
    create schema private;
    create table private.gate (open bool);
    insert into private.gate values (true);
    create function private.wait() returns void volatile language plpgsql as $$
      begin
        while not (select open from private.gate) loop perform pg_sleep(0.01); end loop;
      end $$;
    grant usage on schema private to authenticator;
    grant select on private.gate to authenticator;
";

#[test]
fn requests_are_answered_with_the_old_catalog_while_a_new_one_is_loaded() {
    let cluster = cluster();
    psql(&cluster, GATE);
    let more = format!("{ANON}db-pre-config = \"private.wait\"\nserver-threads = 2\n");
    let mut process = Process::start(&options(&cluster, &more));
    psql(&cluster, "update private.gate set open = false");
    psql(&cluster, "create table api.fresh (); grant select on api.fresh to anon");
    process.signal(Signal::SIGUSR1);
    let held = "select count(*) from pg_stat_activity where query ilike '%private%wait%' and state = 'active' \
                and pid <> pg_backend_pid()";
    process.wait_until("held up", |_| psql(&cluster, held) == "1");
    let loads = said(&process, LOADED);
    for _ in 0..200 {
        assert_eq!(status(&process, "/item?select=id,name&id=eq.1"), 200);
        assert_eq!(status(&process, "/fresh"), 404);
    }
    assert_eq!(said(&process, LOADED), loads, "the reload still waits");
    psql(&cluster, "update private.gate set open = true");
    process.wait_until("loaded", |process| said(process, LOADED) > loads);
    assert_eq!(status(&process, "/fresh"), 200);
}

#[test]
fn a_reload_does_not_interrupt_a_request() {
    let cluster = cluster();
    let mut process = Process::start(&options(&cluster, ANON));
    let mut slow = BufReader::new(TcpStream::connect(process.api).unwrap());
    slow.get_ref().set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(slow.get_mut(), "GET /nap HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    process.wait_until("asleep", |_| {
        psql(&cluster, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == "1"
    });
    let loads = said(&process, LOADED);
    process.signal(Signal::SIGUSR1);
    process.wait_until("loaded", |process| said(process, LOADED) > loads);
    assert_eq!(read_reply(&mut slow).unwrap().text(), "[{\"id\":1,\"slept\":\"\"}]");
}
