//! Servers that misbehave before the first batch.

use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use trunkline::wire::connect::connect;
use trunkline::wire::target::Target;

use crate::fake::{Fake, error, hello, message, read_startup, read_tag};
use crate::try_open;

#[derive(Clone, Copy, PartialEq)]
enum Then {
    Fatal,
    Transient,
}

/// After the startup message the server sends these, each after the client has said something again.
fn check(name: &str, says: &[Vec<u8>], then: Then, expect: &str) {
    let says = says.to_vec();
    let fake = Fake::start(move |mut socket| {
        read_startup(&mut socket);
        for (index, part) in says.iter().enumerate() {
            if index > 0 && read_tag(&mut socket).is_none() {
                return;
            }
            if socket.write_all(part).is_err() {
                return;
            }
        }
    });
    let failure = try_open(&fake.uri()).err().unwrap_or_else(|| panic!("{name}"));
    assert!(failure.to_string().contains(expect), "{name}: {failure}");
    assert_eq!(failure.is_fatal(), then == Then::Fatal, "{name}: {failure}");
    fake.join();
}

fn login(kind: u8, rest: &[u8]) -> Vec<u8> {
    message(b'R', &[&[0, 0, 0, kind][..], rest].concat())
}

#[test]
fn wrong_logins_end_in_an_error() {
    use Then::{Fatal, Transient};
    let scram = login(10, b"SCRAM-SHA-256\0\0");
    check("closed at once", &[], Transient, "server closed the connection unexpectedly");
    check("error before login", &[error("FATAL", "53300")], Transient, "FATAL:  says no");
    check("unknown role", &[error("FATAL", "28000")], Fatal, "FATAL:  says no");
    check("starting up", &[error("FATAL", "57P03")], Transient, "FATAL:  says no");
    check("cannot fork", &[b"Ecould not fork new process\n\0".to_vec()], Transient, "could not fork new process");
    check("http", &[b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()], Transient, "announced a message");
    check("another version", &[message(b'v', &[0; 8])], Fatal, "another version");
    check("kerberos", &[login(2, b"")], Fatal, "not supported");
    check("gssapi", &[login(7, b"")], Fatal, "not supported");
    check("unknown login", &[login(99, b"")], Fatal, "authentication method 99 not supported");
    check("login without kind", &[message(b'R', b"\0")], Transient, "without a kind");
    check("short salt", &[login(5, b"abc")], Transient, "salt");
    check("no mechanism we know", &[login(10, b"OTHER\0\0")], Fatal, "SASL");
    check("challenge out of turn", &[login(11, b"r=a,s=b,i=1")], Transient, "out of turn");
    check("final out of turn", &[login(12, b"v=a")], Transient, "out of turn");
    check("let in without proof", &[scram.clone(), login(0, b"")], Transient, "without proving");
    check("another nonce", &[scram.clone(), login(11, b"r=evil,s=c2FsdA==,i=4096")], Transient, "SCRAM");
    check("endless work", &[scram.clone(), login(11, b"r=a,s=c2FsdA==,i=4294967295")], Transient, "iterations");
    check("rubbish", &[scram, login(11, b"\xff\xfe")], Transient, "SCRAM");
    check("row instead", &[message(b'D', b"\0\0")], Transient, "does not belong");
    check("oversized", &[b"S\x00\x0f\xff\xff".to_vec()], Transient, "announced a message");
    check("short key", &[[login(0, b""), message(b'K', b"\0\0")].concat()], Transient, "BackendKeyData");
    check("strange start", &[[login(0, b""), message(b'T', b"\0\0")].concat()], Transient, "does not belong");
    let settings = message(b'S', &[&[b'a'; 1000][..], b"\0b\0"].concat()).repeat(70);
    check("endless settings", &[[login(0, b""), settings].concat()], Transient, "settings");
}

#[test]
fn a_handshake_of_single_bytes_succeeds_and_keeps_what_follows() {
    let fake = Fake::start(|mut socket| {
        read_startup(&mut socket);
        for byte in hello() {
            socket.write_all(&[byte]).unwrap();
        }
    });
    let connected = try_open(&fake.uri()).unwrap();
    assert_eq!(connected.key.process_id, 7);
    assert_eq!(connected.parameters, [("DateStyle".to_owned(), "ISO, MDY".to_owned())]);
    fake.join();
    let late = message(b'N', b"SNOTICE\0\0");
    let also = late.clone();
    let fake = Fake::start(move |mut socket| {
        read_startup(&mut socket);
        socket.write_all(&[hello(), also].concat()).unwrap();
    });
    assert_eq!(try_open(&fake.uri()).unwrap().leftover, late);
    fake.join();
}

#[test]
fn a_silent_server_is_left_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = Target::parse(&format!("postgresql://u@127.0.0.1:{port}/db?sslmode=disable")).unwrap();
    let begin = Instant::now();
    let failure = connect(&target, begin + Duration::from_millis(100)).unwrap_err();
    assert!(failure.to_string().ends_with("timeout expired"), "{failure}");
    assert!(!failure.is_fatal());
    assert!(begin.elapsed() >= Duration::from_millis(100));
}

#[test]
fn the_next_host_is_tried_and_every_failure_is_told() {
    let fake = Fake::start(|mut socket| {
        read_startup(&mut socket);
        socket.write_all(&hello()).unwrap();
    });
    let port = fake.port;
    assert!(try_open(&format!("postgresql://u@127.0.0.1:1,127.0.0.1:{port}/db?sslmode=disable")).is_ok());
    fake.join();
    let failure = try_open("postgresql://u@127.0.0.1:1,127.0.0.1:2/db").unwrap_err().to_string();
    assert!(failure.contains("port 1 failed: Connection refused\n\t"), "{failure}");
    assert!(failure.contains("\nconnection to server at \"127.0.0.1\", port 2 failed"), "{failure}");
}
