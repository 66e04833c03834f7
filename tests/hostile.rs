//! PostgreSQL as it should not be (a scripted one that cuts, lies and interrupts) and as it is (a private cluster): what
//! the wire and the pool make of both, on both drivers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "hostile/fake.rs"]
mod fake;
#[path = "hostile/handshake.rs"]
mod handshake;
#[path = "hostile/pool.rs"]
mod pool;
#[path = "hostile/real.rs"]
mod real;

use std::future::Future;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fake::{Fake, error, message, read_batch, row, row_description};
use trunkline::rt::{self, Driver};
use trunkline::wire::WireError;
use trunkline::wire::conn::{Answer, Busy, Idle};
use trunkline::wire::connect::{Authenticated, ConnectError, connect};
use trunkline::wire::piece::{Piece, Value};
use trunkline::wire::target::Target;

fn on_both_drivers<F: Future>(mut main: impl FnMut() -> F) {
    for driver in [Driver::Epoll, rt::driver()] {
        rt::run(driver, main()).unwrap();
    }
}

fn try_open(text: &str) -> Result<Authenticated, ConnectError> {
    connect(&Target::parse(text).unwrap(), Instant::now() + Duration::from_secs(20))
}

fn open(text: &str) -> Idle {
    Idle::adopt(try_open(text).unwrap()).unwrap()
}

/// Sends the batch; then every answer up to the last `Ready` due, one word each, and the connection.
async fn answers(mut busy: Busy) -> Result<(Vec<String>, Idle), WireError> {
    let mut words = Vec::new();
    busy.send().await?;
    while busy.syncs_due() > 0 {
        match busy.answer()? {
            Some(answer) => words.push(word(answer)),
            None => busy.more().await?,
        }
    }
    Ok((words, busy.finish().await?))
}

fn word(answer: Answer<'_>) -> String {
    match answer {
        Answer::Bound { statement, fields } => {
            let names: Vec<_> = fields.fields.iter().map(|field| field.name.as_str()).collect();
            format!("bound {statement} ({})", names.join(","))
        }
        Answer::Row(row) => {
            let fields = row.fields().map(|field| match field {
                Some(text) => String::from_utf8_lossy(text).into_owned(),
                None => "NULL".to_owned(),
            });
            fields.collect::<Vec<_>>().join("|")
        }
        Answer::Complete { tag } => tag.to_owned(),
        Answer::Suspended => "suspended".to_owned(),
        Answer::Error { error, statement, bound } => format!("error {} at {statement} bound {bound}", error.sqlstate),
        Answer::Ready(status) => format!("{status:?}"),
    }
}

/// Runs statements without parameters as one batch.
async fn run(idle: Idle, statements: &[&str]) -> Result<(Vec<String>, Idle), WireError> {
    let mut busy = idle.begin();
    for text in statements {
        busy.execute(text, []);
    }
    busy.sync();
    answers(busy).await
}

/// What the fake answers to one statement, undisturbed.
const ONE: [&str; 5] = ["bound 0 (a,b)", "one|NULL", "|two", "SELECT 2", "Idle"];

#[test]
fn a_cut_anywhere_changes_nothing() {
    on_both_drivers(async || {
        let (go, wait) = mpsc::channel::<()>();
        let (say_length, length) = mpsc::channel();
        let fake = Fake::ready(move |mut socket| {
            let mut cut = 1;
            while let Some(batch) = read_batch(&mut socket) {
                let bytes = batch.concat();
                say_length.send(bytes.len()).unwrap();
                socket.write_all(&bytes[..cut]).unwrap();
                // The client has read the first part.
                wait.recv().unwrap();
                socket.write_all(&bytes[cut..]).unwrap();
                cut += 1;
            }
        });
        let mut idle = open(&fake.uri());
        let mut cut = 1;
        loop {
            let mut busy = idle.begin();
            // A new text each time, so that Parse and Describe are cut too.
            busy.execute(&format!("select {cut}"), []);
            busy.sync();
            busy.send().await.unwrap();
            busy.more().await.unwrap();
            let mut words = Vec::new();
            while let Some(answer) = busy.answer().unwrap() {
                words.push(word(answer));
            }
            go.send(()).unwrap();
            let (rest, left) = answers(busy).await.unwrap();
            words.extend(rest);
            assert_eq!(words, ONE, "cut at {cut}");
            idle = left;
            cut += 1;
            if cut == length.recv().unwrap() {
                break;
            }
        }
        idle.close().await;
        fake.join();
    });
}

#[test]
fn single_bytes_and_interruptions_change_nothing() {
    on_both_drivers(async || {
        let fake = Fake::ready(|mut socket| {
            let mut number = 0;
            while let Some(batch) = read_batch(&mut socket) {
                for part in batch {
                    number += 1;
                    let parameter = format!("TimeZone\0{number}\0");
                    let notification = [&[0, 0, 0, 5][..], format!("channel\0{number}\0").as_bytes()].concat();
                    let noise = [message(b'N', b"SNOTICE\0Mnoise\0\0"), message(b'S', parameter.as_bytes())];
                    let bytes = [noise.concat(), message(b'A', &notification), part].concat();
                    bytes.iter().for_each(|byte| socket.write_all(&[*byte]).unwrap());
                }
            }
        });
        let (words, idle) = run(open(&fake.uri()), &["select 1"]).await.unwrap();
        assert_eq!(words, ONE);
        assert_eq!(idle.parameter("TimeZone"), Some("8"));
        let (words, mut idle) = run(idle, &["select 1"]).await.unwrap();
        assert_eq!(words, ONE);
        assert_eq!(idle.parameter("TimeZone"), Some("13"));
        for number in 1..=13 {
            let notification = idle.notification().await.unwrap();
            assert_eq!((notification.process_id, notification.channel.as_str()), (5, "channel"));
            assert_eq!(notification.payload, number.to_string());
        }
        idle.close().await;
        fake.join();
    });
}

/// The answers to two statements with one message replaced: the client must end with this error, soon and unharmed.
fn check_lie(name: &str, place: usize, lie: &[u8], expect: &str) {
    on_both_drivers(async || {
        let lie = lie.to_vec();
        let fake = Fake::ready(move |mut socket| {
            let mut batch = read_batch(&mut socket).unwrap();
            batch[place] = lie;
            // The client may have left already.
            let _ = socket.write_all(&batch.concat());
            let _ = socket.shutdown(Shutdown::Write);
            while read_batch_quietly(&mut socket) {}
        });
        let error = run(open(&fake.uri()), &["select 1", "select 2"]).await.err().unwrap_or_else(|| panic!("{name}"));
        assert!(error.to_string().contains(expect), "{name}: {error}");
        fake.join();
    });
}

fn read_batch_quietly(socket: &mut TcpStream) -> bool {
    fake::read_tag(socket).is_some()
}

#[test]
fn lies_end_the_connection() {
    // 1 t T 2 D D C 1 t T 2 D D C Z
    let huge = [b'D', 0x7f, 0xff, 0xff, 0xff];
    let many = |tag| message(tag, &[0x7f, 0xff, 0, 0]);
    check_lie("length zero", 4, b"D\0\0\0\0", "below its own size");
    check_lie("length three", 4, b"D\0\0\0\x03", "below its own size");
    check_lie("negative length", 4, &[b'D', 0xff, 0xff, 0xff, 0xfe], "announced a message");
    check_lie("huge length", 4, &huge, "announced a message");
    check_lie("length that swallows the rest", 4, b"D\0\0\x0f\xff", "closed the connection");
    check_lie("unknown tag", 4, &message(b'!', b""), "not due");
    check_lie("copy in", 4, &message(b'G', &[0, 0, 0]), "not due");
    check_lie("copy out", 3, &message(b'H', &[0, 0, 0]), "not due");
    check_lie("copy data", 4, &message(b'd', b"x"), "not due");
    check_lie("another login", 0, &message(b'R', &[0, 0, 0, 3]), "not due");
    check_lie("bind without parse", 0, &message(b'2', b""), "not due");
    check_lie("row before bind", 3, &row(&[None, None]), "not due");
    check_lie("ready too early", 6, &message(b'Z', b"I"), "not due");
    check_lie("ready for nothing", 3, &[message(b'2', b""), message(b'Z', b"I")].concat(), "not due");
    check_lie("unknown status", 14, &message(b'Z', b"Q"), "transaction status");
    check_lie("no status", 14, &message(b'Z', b""), "transaction status");
    check_lie("row too narrow", 4, &row(&[None]), "width");
    check_lie("row too wide", 4, &row(&[None, None, None]), "width");
    check_lie("row of many fields", 4, &many(b'D'), "ends too early");
    check_lie("negative field count", 4, &message(b'D', &[0xff, 0xff]), "negative");
    check_lie("field length -2", 4, &message(b'D', &[0, 1, 255, 255, 255, 254]), "negative");
    check_lie("field past the end", 4, &message(b'D', &[0, 2, 0, 0, 0, 9, b'x']), "ends too early");
    check_lie("bytes after the row", 4, &message(b'D', &[0, 1, 255, 255, 255, 255, 0]), "after its last");
    check_lie("many columns", 2, &many(b'T'), "ends too early");
    check_lie("column name without end", 2, &message(b'T', &[0, 1, b'a']), "ends too early");
    check_lie("error without end", 4, &message(b'E', b"SERROR"), "ErrorResponse");
    check_lie("parameter without end", 4, &message(b'S', b"a\0b"), "ParameterStatus");
    check_lie("notification without end", 4, &message(b'A', &[0, 0]), "NotificationResponse");
    check_lie("tag that is not text", 6, &message(b'C', b"\xff\0"), "not text");
    check_lie("settings without end", 4, &message(b'S', &[&[b'a'; 70_000][..], b"\0b\0"].concat()), "settings");
}

#[test]
fn a_connection_cut_in_the_middle_never_looks_whole() {
    let whole = {
        let parts = [message(b'1', b""), message(b't', &[0, 0]), row_description(&["a", "b"]), message(b'2', b"")];
        [parts.concat(), row(&[Some("one"), None]), message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat()
    };
    on_both_drivers(async || {
        for cut in 0..whole.len() {
            let part = whole[..cut].to_vec();
            let fake = Fake::ready(move |mut socket| {
                read_batch(&mut socket);
                socket.write_all(&part).unwrap();
            });
            let result = run(open(&fake.uri()), &["select 1"]).await;
            assert!(matches!(result, Err(WireError::Closed)), "cut at {cut}");
            fake.join();
        }
    });
}

#[test]
fn an_error_in_each_place_is_told_apart_and_survived() {
    // Two statements: which one fails in the place of which of its messages, and had it begun?
    let places = [
        (0, "error 22000 at 0 bound false"),
        (1, "error 22000 at 0 bound false"),
        (2, "error 22000 at 0 bound false"),
        (3, "error 22000 at 0 bound false"),
        (4, "error 22000 at 0 bound true"),
        (6, "error 22000 at 0 bound true"),
        (7, "error 22000 at 1 bound false"),
        (9, "error 22000 at 1 bound false"),
        (10, "error 22000 at 1 bound false"),
        (12, "error 22000 at 1 bound true"),
        (14, "error 22000 at 2 bound true"),
    ];
    on_both_drivers(async || {
        for (place, expect) in places {
            let fake = Fake::ready(move |mut socket| {
                let mut batch = read_batch(&mut socket).unwrap();
                batch.truncate(place);
                socket.write_all(&[batch.concat(), error("ERROR", "22000"), message(b'Z', b"I")].concat()).unwrap();
                // Closes of what was half prepared come first.
                while let Some(batch) = read_batch(&mut socket) {
                    socket.write_all(&batch.concat()).unwrap();
                }
            });
            let (words, idle) = run(open(&fake.uri()), &["select 1", "select 2"]).await.unwrap();
            assert_eq!(words[words.len() - 2..], [expect, "Idle"], "error in place {place}");
            let (words, idle) = run(idle, &["select 1"]).await.unwrap();
            assert_eq!(words, ONE);
            idle.close().await;
            fake.join();
        }
    });
}

#[test]
fn a_fatal_error_is_heard_before_the_end() {
    on_both_drivers(async || {
        let fake = Fake::ready(|mut socket| {
            read_batch(&mut socket);
            socket.write_all(&error("FATAL", "57P01")).unwrap();
        });
        let mut busy = open(&fake.uri()).begin();
        busy.execute("select 1", []);
        busy.sync();
        busy.send().await.unwrap();
        loop {
            match busy.answer().unwrap() {
                Some(Answer::Error { error, .. }) => break assert!(error.fatal && error.sqlstate == "57P01"),
                Some(answer) => panic!("{answer:?}"),
                None => busy.more().await.unwrap(),
            }
        }
        assert!(matches!(busy.finish().await, Err(WireError::Closed)));
        fake.join();
    });
}

#[test]
fn what_cannot_be_sent_is_refused_before_it_is() {
    on_both_drivers(async || {
        let fake = Fake::ready(|mut socket| while read_batch(&mut socket).is_some() {});
        let mut busy = open(&fake.uri()).begin();
        busy.execute("select '\0'", []);
        busy.sync();
        assert!(matches!(busy.send().await, Err(WireError::Unsendable(_))));
        drop(busy);
        fake.join();
    });
}

#[test]
fn an_abandoned_read_makes_the_connection_unusable_and_closes_it() {
    on_both_drivers(async || {
        let fake = Fake::ready(|mut socket| {
            read_batch(&mut socket);
            // Says nothing and waits for the client to go.
            assert!(fake::read_tag(&mut socket).is_none());
        });
        let mut busy = open(&fake.uri()).begin();
        busy.execute("select 1", []);
        busy.sync();
        busy.send().await.unwrap();
        assert!(rt::within(Duration::from_millis(5), busy.more()).await.is_err());
        assert!(matches!(busy.more().await, Err(WireError::Unusable(_))));
        assert!(matches!(busy.finish().await, Err(WireError::Unusable(_))));
        // The loop has to turn for the operation in flight to end with its socket.
        rt::sleep(Duration::from_millis(1)).await;
        fake.join();
    });
}

#[test]
fn a_batch_that_nobody_reads_closes_with_its_connection() {
    let parameter = vec![b'x'; 20 << 20];
    on_both_drivers(async || {
        let (gone, wait_until_gone) = mpsc::channel::<()>();
        let fake = Fake::ready(move |mut socket| {
            wait_until_gone.recv().unwrap();
            while read_batch_quietly(&mut socket) {}
        });
        let mut busy = open(&fake.uri()).begin();
        let piece = Value::Piece(Piece::Whole(Bytes::from(parameter.clone())));
        busy.execute_values("select $1, $2", [Value::Bytes(&parameter), piece]);
        busy.sync();
        busy.send().await.unwrap();
        assert!(rt::within(Duration::from_millis(20), busy.more()).await.is_err());
        drop(busy);
        gone.send(()).unwrap();
        rt::sleep(Duration::from_millis(1)).await;
        fake.join();
    });
}
