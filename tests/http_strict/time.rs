//! What takes too long, and what must end in good order.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use trunkline::http::ConnectionLimits;

use crate::server::{Event, PATIENCE, answers, on_both, read_to_end, statuses};

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(60);

/// Nothing ends for another reason than the one the test is about.
fn patient() -> ConnectionLimits {
    ConnectionLimits {
        head_time: LONG,
        keep_alive_time: LONG,
        body_stall: LONG,
        write_stall: LONG,
        linger_time: LONG,
        ..ConnectionLimits::default()
    }
}

#[test]
fn e13_slow_heads() {
    on_both(ConnectionLimits { head_time: SHORT, ..patient() }, |server| {
        let begun = Instant::now();
        let mut socket = server.connect();
        socket.write_all(b"GET / HTTP/1.1\r\nX: ").unwrap();
        // A byte now and then does not buy time.
        while socket.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
            assert!(begun.elapsed() < PATIENCE);
        }
        assert_eq!(server.event(), Event::Closed);
    });
}

#[test]
fn e13_slow_bodies() {
    on_both(ConnectionLimits { body_stall: SHORT, ..patient() }, |server| {
        for input in [
            &b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc"[..],
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX",
        ] {
            server.exchange(input);
            assert_eq!(server.event(), Event::Closed);
        }
    });
}

#[test]
fn e13_idle_connections() {
    on_both(ConnectionLimits { keep_alive_time: SHORT, ..patient() }, |server| {
        assert_eq!(server.exchange(b""), b"");
        assert_eq!(statuses(&server.exchange(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")), [200]);
    });
}

#[test]
fn e13_many_idle_connections() {
    on_both(patient(), |server| {
        let mut idle: Vec<_> = (0..150).map(|_| server.connect()).collect();
        for socket in &mut idle {
            socket.write_all(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        }
        assert_eq!(statuses(&server.exchange_whole(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")), [200]);
        assert_eq!(server.event(), Event::Closed);
        for socket in &mut idle {
            let mut status = [0; 12];
            socket.read_exact(&mut status).unwrap();
            assert_eq!(&status, b"HTTP/1.1 200");
        }
        server.drain();
        for socket in &mut idle {
            read_to_end(socket);
            assert_eq!(server.event(), Event::Closed);
        }
    });
}

#[test]
fn e13_slow_readers() {
    on_both(ConnectionLimits { write_stall: SHORT, ..patient() }, |server| {
        for path in ["/bytes/50000000", "/endless"] {
            let mut socket = server.connect();
            socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
            assert_eq!(server.event(), Event::Closed, "{path}");
            drop(socket);
        }
    });
}

#[test]
fn e13_a_steady_reader_is_not_cut() {
    on_both(ConnectionLimits { write_stall: Duration::from_secs(1), ..patient() }, |server| {
        let begun = Instant::now();
        let mut socket = server.connect();
        socket.write_all(b"GET /bytes/30000000 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
        let mut seen = 0;
        let mut piece = vec![0; 1024 * 1024];
        loop {
            match socket.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => seen += read,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted),
            }
            // Slower than the deadline as a whole, faster for each piece.
            std::thread::sleep(Duration::from_millis(40));
        }
        assert!(seen > 30_000_000);
        assert!(begun.elapsed() > Duration::from_secs(1), "the reader was not slow");
    });
}

#[test]
fn e13_half_closed_clients_are_answered() {
    on_both(patient(), |server| {
        let input = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /bytes/100000 HTTP/1.1\r\nHost: h\r\n\r\n";
        assert_eq!(statuses(&server.exchange_whole(input)), [200, 200]);
        assert_eq!(server.event(), Event::Closed);
        assert_eq!(statuses(&server.exchange_whole(b"GET / HTTP/1.1\r\nHost")), [400]);
        assert_eq!(
            statuses(&server.exchange_whole(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc")),
            [400]
        );
        assert_eq!(server.exchange_whole(b""), b"");
    });
}

#[test]
fn a_refusal_reaches_a_client_that_goes_on_sending() {
    let limits = ConnectionLimits { body_bytes_max: 1000, linger_time: PATIENCE, ..patient() };
    on_both(limits, |server| {
        for _ in 0..20 {
            let mut socket = server.connect();
            socket.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n").unwrap();
            socket.write_all(&[b'x'; 300_000]).unwrap();
            assert_eq!(statuses(&read_to_end(&mut socket)), [413]);
        }
    });
    on_both(ConnectionLimits { linger_time: SHORT, ..patient() }, |server| {
        let mut socket = server.connect();
        socket.write_all(b"broken\n").unwrap();
        assert_eq!(server.event(), Event::Closed);
        assert_eq!(statuses(&read_to_end(&mut socket)), [400]);
    });
}

#[test]
fn the_bodies_of_all_clients_have_a_limit_together() {
    on_both(ConnectionLimits { bodies_bytes_max: 200_000, ..patient() }, |server| {
        let large = [
            &b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 150000\r\n\r\n"[..],
            &[b'x'; 150_000],
        ];
        let large = large.concat();
        // When the server has read what another client sent can't be seen from outside: it is asked until it has.
        let until = |status: u16| {
            let deadline = Instant::now() + PATIENCE;
            while statuses(&server.exchange_whole(&large)) != [status] {
                assert!(Instant::now() < deadline, "never {status}");
            }
        };
        until(200);
        let (most, rest) = large.split_at(100_000);
        let mut slow = server.connect();
        slow.write_all(most).unwrap();
        until(503);
        assert_eq!(
            statuses(&server.exchange_whole(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")),
            [200]
        );
        slow.write_all(rest).unwrap();
        assert_eq!(statuses(&read_to_end(&mut slow)), [200]);
        until(200);
    });
}

#[test]
fn departures_are_noticed_while_a_request_is_served() {
    on_both(patient(), |server| {
        let mut socket = server.connect();
        socket.write_all(b"GET /watch HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        assert_eq!(server.event(), Event::Held);
        drop(socket);
        assert_eq!(server.event(), Event::PeerGone);
        assert_eq!(server.event(), Event::Closed);
    });
}

#[test]
fn draining_ends_idle_connections_and_finishes_the_others() {
    on_both(patient(), |server| {
        let mut idle = server.connect();
        idle.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        let mut first = [0; 1];
        idle.read_exact(&mut first).unwrap();
        let mut busy = server.connect();
        busy.write_all(b"GET /hold HTTP/1.1\r\nHost: h\r\n\r\nGET /never HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        assert_eq!(server.event(), Event::Held);
        server.drain();
        assert_eq!(server.event(), Event::Closed);
        let rest = [&first[..], &read_to_end(&mut idle)].concat();
        assert_eq!(statuses(&rest), [200]);
        server.release();
        let seen = answers(&read_to_end(&mut busy), false);
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0].text(), seen[0].field("Connection")), ("released".to_owned(), Some("close")));
        drop(busy);
        assert_eq!(server.event(), Event::Closed);
        // Whoever comes now is let go at once.
        assert_eq!(server.exchange(b""), b"");
    });
}
