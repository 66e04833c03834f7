//! `server-db-pipeline`: reads that wait share a connection, and a slow one in front holds up nobody.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{ANON, Page, Process, cluster, get, options, psql, read_reply, said};

const VIEWS: &str = "
    create view api.held as select pg_sleep(60)::text;
    create view api.long_nap as select pg_sleep(60)::text;
    grant select on api.held, api.long_nap to anon;
";

#[test]
fn a_slow_read_in_front_holds_up_nobody_and_is_cancelled_with_its_client() {
    let cluster = cluster();
    psql(&cluster, VIEWS);
    let more = format!("{ANON}db-pool = 2\nserver-threads = 1\nserver-db-pipeline = 4\nlog-level = \"debug\"\n");
    let mut process = Process::start(&options(&cluster, &more));
    let api = process.api;
    let send = |path: &str| {
        let mut stream = TcpStream::connect(api).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        BufReader::new(stream)
    };
    let gauge = |process: &Process, name: &str| {
        Page::parse(&get(process.admin, "/metrics").unwrap().text()).unwrap().sum(name, "")
    };
    let asleep = |what: &str, view: &str| {
        psql(
            &cluster,
            &format!("select {what} from pg_stat_activity where wait_event = 'PgSleep' and query like '%\"{view}\"%'"),
        )
    };
    let sleeping = |view: &str| asleep("count(*)", view);
    // Shapes are planned before they may share; the one in front is to be among them.
    let planned = send("/long_nap");
    process.wait_until("planned", |_| sleeping("long_nap") == "1");
    drop(planned);
    process.wait_until("cancelled", |_| sleeping("long_nap") == "0");
    assert_eq!(read_reply(&mut send("/item?id=eq.1")).unwrap().status, 200);
    let mut busy = [send("/held"), send("/held")];
    process.wait_until("busy", |_| sleeping("held") == "2");
    let slow = send("/long_nap");
    process.wait_until("waiting", |process| gauge(process, "pgrst_db_pool_waiting") > 0.5);
    let mut quick: Vec<_> = (1..=3).map(|id| send(&format!("/item?id=eq.{id}"))).collect();
    process.wait_until("waiting", |process| gauge(process, "pgrst_db_pool_waiting") > 3.5);
    asleep("pg_cancel_backend(pid)", "held");
    for stream in &mut busy {
        assert!(read_reply(stream).unwrap().text().contains("57014"));
    }
    for (stream, id) in quick.iter_mut().zip(1..) {
        assert_eq!(read_reply(stream).unwrap().text(), format!("[{{\"id\":{id},\"name\":\"item {id}\"}}]"));
    }
    assert_eq!(sleeping("long_nap"), "1", "{}", process.log());
    assert!(said(&process, " is shared by 4 requests") == 1, "{}", process.log());
    drop(slow);
    process.wait_until("cancelled", |_| sleeping("long_nap") == "0");
    process.wait_until("back", |process| gauge(process, "pgrst_db_pool_available") > 1.5);
    assert_eq!(read_reply(&mut send("/item?id=eq.7")).unwrap().text(), "[{\"id\":7,\"name\":\"item 7\"}]");
}
