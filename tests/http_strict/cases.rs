//! What one client sends, and what comes back.

use std::io::{Read, Write};
use std::time::Duration;

use trunkline::http::ConnectionLimits;
use trunkline::http::head::HeadLimits;

use crate::server::{Answer, Event, Server, answers, on_both, statuses};

fn limits() -> ConnectionLimits {
    ConnectionLimits { body_bytes_max: 1000, ..ConnectionLimits::default() }
}

/// Every input is refused with `status` while the client still holds its side open, and nothing behind it is looked at.
fn refused(status: u16, inputs: &[&[u8]]) {
    on_both(limits(), |server| {
        for input in inputs {
            let followed = [input, &b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"[..]].concat();
            let seen = answers(&server.exchange(&followed), false);
            let shown = String::from_utf8_lossy(input);
            assert_eq!(seen.iter().map(|answer| answer.status).collect::<Vec<_>>(), [status], "{shown:?}");
            assert_eq!(seen[0].field("Connection"), Some("close"), "{shown:?}");
        }
    });
}

/// The answers to `input` from a client that then says that it has nothing more to send.
fn served(server: &Server, input: &[u8]) -> Vec<Answer> {
    answers(&server.exchange_whole(input), false)
}

fn get(lines: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n\r\n").into_bytes()
}

fn post(lines: &str, body: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: h\r\n{lines}\r\n\r\n{body}").into_bytes()
}

fn refused_lines(status: u16, lines: &[&str]) {
    let inputs: Vec<_> = lines.iter().map(|lines| post(lines, "")).collect();
    refused(status, &inputs.iter().map(Vec::as_slice).collect::<Vec<_>>());
}

#[test]
fn e1_length_and_transfer_encoding() {
    refused_lines(
        400,
        &[
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "transfer-encoding: CHUNKED\r\nCONTENT-LENGTH: 0",
            "TRANSFER-ENCODING: chunked\r\nX: y\r\ncontent-length: 5",
        ],
    );
}

#[test]
fn e2_content_length() {
    let values = [
        "5, 5",
        "+5",
        "-5",
        "0x5",
        "5_0",
        "010",
        "",
        "1Z",
        "9223372036854775808",
        "99999999999999999999",
        "5 5",
        "1\t",
    ];
    let lines: Vec<_> = values.iter().map(|value| format!("Content-Length: {value}")).collect();
    refused_lines(400, &lines[..11].iter().map(String::as_str).collect::<Vec<_>>());
    refused_lines(400, &["Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5\r\ncontent-length: 6"]);
    on_both(limits(), |server| {
        assert!(
            served(server, &post(&lines[11], "z"))[0].text().ends_with("\n\nz"),
            "blanks around it are no part of it"
        );
    });
}

#[test]
fn e3_transfer_encoding() {
    refused_lines(
        400,
        &[
            "Transfer-Encoding: ,chunked",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: \x0bchunked",
            "Transfer-Encoding: \u{a0}chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding:",
        ],
    );
    refused_lines(501, &["Transfer-Encoding: gzip, chunked"]);
    refused(400, &[b"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]);
}

#[test]
fn e4_chunks() {
    let chunked = |body: &str| post("Transfer-Encoding: chunked", body);
    let huge = format!("1;{}\r\nx\r\n", "e".repeat(5000));
    let inputs: Vec<_> = [
        "0x10\r\n",
        "+1\r\nx\r\n",
        "-0\r\n\r\n",
        "1_0\r\n",
        "\r\n\r\n",
        " 1\r\nx\r\n",
        "00000000000000001\r\nx\r\n",
        "1 \r\nx\r\n",
        "1junk\r\nx\r\n",
        &huge,
        "1;a\rb\r\nx\r\n",
        "1\r\nxy\r\n",
        "1\nx\r\n",
        "1\r\nx\n",
        "1\r\nx\r\n0\n\n",
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "0\r\nHost: x\r\n\r\n",
        "0\r\nno colon\r\n\r\n",
        "1\r\nx0\r\n\r\n",
    ]
    .map(chunked)
    .into();
    refused(400, &inputs.iter().map(Vec::as_slice).collect::<Vec<_>>());
    on_both(limits(), |server| {
        for unfinished in ["", "5", "5\r\nhel", "1\r\nx\r\n", "0\r\n", "0\r\nX: y\r\n"] {
            assert_eq!(statuses(&server.exchange_whole(&chunked(unfinished))), [400], "{unfinished:?}");
        }
        let fine = chunked("5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n");
        assert!(served(server, &fine)[0].text().ends_with("\n\nhello world"));
    });
}

#[test]
fn e5_field_lines() {
    refused_lines(
        400,
        &[
            "A: b\nC: d",
            "A: b\rC: d",
            "A: b\0c",
            "A: b\r\n c",
            "A: b\r\n\tc",
            "A : b",
            "A\t: b",
            "A",
            ": b",
            "A\x01: b",
            "\u{e9}: b",
            "A\0: b",
            "Nam\r\ne: b",
            "A: \x7f",
        ],
    );
    refused(
        400,
        &[
            b"GET / HTTP/1.1\nHost: h\n\n",
            b"GET / HTTP/1.1\rHost: h\r\r",
            b"GET / HTTP/1.1\r\n Host: h\r\n\r\n",
            b"GET / HTTP/1.1\r\n\tX: y\r\nHost: h\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nX: \xff\n\r\n",
        ],
    );
}

#[test]
fn e6_host() {
    refused(
        400,
        &[
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
            b"GET http://a/ HTTP/1.1\r\n\r\n",
        ],
    );
    on_both(limits(), |server| {
        // As recorded: the absolute target's host need not be Host's.
        let seen = served(server, b"GET http://elsewhere.test:81/x?y HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(seen[0].text().starts_with("GET /x?y HTTP/1.1\n"));
        assert_eq!(statuses(&server.exchange_whole(b"GET / HTTP/1.0\r\n\r\n")), [200]);
    });
}

#[test]
fn e7_request_line() {
    let lines = [
        "G(T / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /\x01 HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET / HTTP/1.32",
        "GET /",
        "GET / HTTP/\r\r1.1",
        "GET\t/\tHTTP/1.1",
        "GET  / HTTP/1.1",
        "GET / http/1.1",
        "GET x HTTP/1.1",
        "GET * HTTP/1.1",
        "GET / HTTP/1.1\n",
    ];
    let inputs: Vec<_> = lines.iter().map(|line| format!("{line}\r\nHost: h\r\n\r\n").into_bytes()).collect();
    refused(400, &inputs.iter().map(Vec::as_slice).collect::<Vec<_>>());
    refused(
        505,
        &[
            b"GET / HTTP/9.9\r\nHost: h\r\n\r\n",
            b"GET / HTTP/1.2\r\nHost: h\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ],
    );
    on_both(limits(), |server| {
        // As recorded: raw UTF-8.
        let seen = served(server, "GET /Straße?ort=\"{Köln}\"#x HTTP/1.1\r\nHost: h\r\n\r\n".as_bytes());
        assert!(seen[0].text().starts_with("GET /Straße?ort=\"{Köln}\"#x HTTP/1.1\n"));
    });
}

#[test]
fn e8_sizes() {
    let head = HeadLimits { head_bytes_max: 4000, target_bytes_max: 1000, header_count_max: 50 };
    on_both(ConnectionLimits { head, ..limits() }, |server| {
        let check = |input: &[u8], status: u16| assert_eq!(statuses(&server.exchange_whole(input)), [status]);
        check(&get("A: b\r\n".repeat(48).trim_end()), 200);
        check(&get("A: b\r\n".repeat(50).trim_end()), 431);
        check(&get(&format!("A: {}", "x".repeat(3900))), 200);
        check(&get(&format!("A: {}", "x".repeat(4000))), 431);
        check(&get(&format!("A: {}", "x".repeat(400_000))), 431);
        check(format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(999)).as_bytes(), 200);
        check(format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(1000)).as_bytes(), 414);
        check(format!("GET /{}", "x".repeat(300_000)).as_bytes(), 414);
        check(&post("Content-Length: 1000", &"x".repeat(1000)), 200);
        check(&post("Content-Length: 1001", &"x".repeat(1001)), 413);
        check(&post("Content-Length: 9223372036854775807", ""), 413);
        check(&post("Content-Length: 500000", &"x".repeat(500_000)), 413);
        check(&post("Transfer-Encoding: chunked", "3e8\r\n"), 400);
        check(&post("Transfer-Encoding: chunked", "3e9\r\n"), 413);
        check(&post("Transfer-Encoding: chunked", &"1\r\nx\r\n".repeat(1001)), 413);
        // A client that waits is told before it sends.
        check(&post("Content-Length: 1001\r\nExpect: 100-continue", ""), 413);
    });
}

#[test]
fn e9_a_get_with_a_body_is_consumed() {
    on_both(limits(), |server| {
        let inner = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
        for method in ["GET", "HEAD", "OPTIONS", "DELETE", "BREW"] {
            let lines =
                format!("{method} /status/299 HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{inner}", inner.len());
            let next = "HEAD /next HTTP/1.1\r\nHost: h\r\n\r\n";
            let bytes = server.exchange_whole(format!("{lines}{next}").as_bytes());
            let text = String::from_utf8(bytes).unwrap();
            assert_eq!(text.matches("HTTP/1.1 299").count(), 1, "{method}");
            assert_eq!(text.matches("HTTP/1.1 200").count(), 1, "{method}");
            assert!(!text.contains("smuggled"), "{method}");
        }
    });
}

#[test]
fn e10_pipelining() {
    on_both(limits(), |server| {
        let many: String = (0..500).map(|number| format!("GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n")).collect();
        let seen = served(server, many.as_bytes());
        assert_eq!(seen.len(), 500);
        for (number, answer) in seen.iter().enumerate() {
            assert!(answer.text().starts_with(&format!("GET /{number} HTTP/1.1\n")));
        }
        let mixed = [
            post("Content-Length: 3", "abc"),
            post("Transfer-Encoding: chunked", "3\r\ndef\r\n0\r\n\r\n"),
            get("X: y"),
        ];
        let bodies: Vec<_> = served(server, &mixed.concat()).iter().map(|answer| answer.text()).collect();
        assert!(bodies[0].ends_with("\n\nabc") && bodies[1].ends_with("\n\ndef") && bodies[2].starts_with("GET / "));
        // Blank lines between requests are forgiven.
        let spaced = [post("Content-Length: 1", "a"), b"\r\n\r\n".to_vec(), get("X: y")].concat();
        assert_eq!(statuses(&server.exchange_whole(&spaced)), [200, 200]);
        assert_eq!(statuses(&server.exchange_whole(&[get("X: y"), b"\r\n".to_vec()].concat())), [200]);
        let closing = [get("Connection: close"), b"junk \0\n\n".to_vec(), get("X: y")].concat();
        assert_eq!(statuses(&server.exchange(&closing)), [200]);
        let broken = [get("X: y"), b"broken\n\n".to_vec(), get("X: y")].concat();
        assert_eq!(statuses(&server.exchange(&broken)), [200, 400]);
        assert_eq!(statuses(&server.exchange(b"GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n")), [200]);
        let kept = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".repeat(2);
        let seen = served(server, &kept);
        assert_eq!(seen.iter().map(|answer| answer.field("Connection")).collect::<Vec<_>>(), [Some("keep-alive"); 2]);
    });
}

#[test]
fn e11_any_fragmentation() {
    let stream = [
        post("Content-Length: 5\r\nX: y", "hello"),
        post("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\nX: y\r\n\r\n"),
        get("Connection: close"),
    ]
    .concat();
    on_both(limits(), |server| {
        let date = |bytes: Vec<u8>| answers(&bytes, false).into_iter().map(|answer| answer.body).collect::<Vec<_>>();
        let expect = date(server.exchange_whole(&stream));
        assert_eq!(expect.len(), 3);
        for split in 1..stream.len() {
            let mut socket = server.connect();
            socket.write_all(&stream[..split]).unwrap();
            // Not waiting for anything: the gap is what makes two reads of it, mostly.
            std::thread::sleep(Duration::from_micros(300));
            socket.write_all(&stream[split..]).unwrap();
            assert_eq!(date(crate::server::read_to_end(&mut socket)), expect, "split at {split}");
        }
        let mut socket = server.connect();
        for byte in &stream {
            socket.write_all(&[*byte]).unwrap();
        }
        assert_eq!(date(crate::server::read_to_end(&mut socket)), expect);
    });
}

#[test]
fn e12_expect() {
    on_both(limits(), |server| {
        let mut socket = server.connect();
        socket.write_all(&post("Content-Length: 5\r\nExpect: 100-continue\r\nConnection: close", "")).unwrap();
        let mut interim = [0; 25];
        socket.read_exact(&mut interim).unwrap();
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        socket.write_all(b"hello").unwrap();
        let seen = answers(&crate::server::read_to_end(&mut socket), false);
        assert!(seen[0].text().ends_with("\n\nhello"));
        // The body is there already.
        assert_eq!(
            statuses(&server.exchange_whole(&post("Content-Length: 5\r\nExpect: 100-continue", "hello"))),
            [200]
        );
        // As recorded: another expectation is ignored.
        assert_eq!(statuses(&server.exchange_whole(&get("Expect: nothing"))), [200]);
        assert_eq!(statuses(&server.exchange_whole(&get("Expect: 100-continue"))), [200]);
    });
}

#[test]
fn e14_answers_are_framed_once() {
    on_both(limits(), |server| {
        for path in ["/", "/bytes/100", "/stream/3", "/status/204", "/status/500", "/bytes/200000"] {
            let input = format!("HEAD {path} HTTP/1.1\r\nHost: h\r\n\r\n").repeat(2);
            let seen = answers(&server.exchange_whole(input.as_bytes()), true);
            assert_eq!(seen.len(), 2, "{path}");
            assert_eq!((seen[0].field("Content-Length"), seen[0].field("Transfer-Encoding")), (None, None), "{path}");
        }
        for status in [204, 304] {
            let input = format!("GET /status/{status} HTTP/1.1\r\nHost: h\r\n\r\n").repeat(2);
            let seen = served(server, input.as_bytes());
            assert_eq!(seen.iter().map(|answer| answer.status).collect::<Vec<_>>(), [status; 2]);
            assert_eq!(seen[0].field("Content-Length"), None);
        }
        for length in [0, 1, 1000, 65_535, 65_536, 66_561, 1_000_000] {
            let seen = served(server, format!("GET /bytes/{length} HTTP/1.1\r\nHost: h\r\n\r\n").repeat(2).as_bytes());
            assert_eq!(seen.iter().map(|answer| answer.body.len()).collect::<Vec<_>>(), [length; 2]);
        }
        for length in [1, 700, 1000, 1024, 5000, 50_000] {
            let seen = served(server, format!("GET /header/{length} HTTP/1.1\r\nHost: h\r\n\r\n").repeat(2).as_bytes());
            assert_eq!(seen.iter().map(|answer| answer.text()).collect::<Vec<_>>(), ["small"; 2]);
            assert_eq!(seen[1].field("X-Large").unwrap().len(), length);
        }
        let seen = served(server, b"GET /split HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].field("X-Evil"), None);
    });
}

#[test]
fn e14_streams() {
    on_both(limits(), |server| {
        let seen =
            served(server, b"GET /stream/3 HTTP/1.1\r\nHost: h\r\n\r\nGET /stream/0 HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(seen.iter().map(Answer::text).collect::<Vec<_>>(), ["first,0,1,2,last", "first,last"]);
        assert_eq!(seen[0].field("Transfer-Encoding"), Some("chunked"));
        let seen = served(server, b"GET /stream/2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(seen[0].text(), "first,0,1,last");
        assert_eq!((seen[0].field("Transfer-Encoding"), seen[0].field("Connection")), (None, Some("close")));
        // Cut: the client sees that no last chunk comes.
        let bytes = server.exchange(b"GET /abort/1 HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(bytes.ends_with(b"2\r\n0,\r\n"), "{:?}", String::from_utf8_lossy(&bytes));
        let seen = answers(&server.exchange(b"GET /replace HTTP/1.1\r\nHost: h\r\n\r\n"), false);
        assert_eq!((seen[0].text(), seen[0].field("Connection")), ("error".to_owned(), Some("close")));
    });
}

#[test]
fn e15_preflight() {
    on_both(limits(), |server| {
        let preflight = b"OPTIONS /x HTTP/1.1\r\nHost: h\r\nOrigin: null\r\nAccess-Control-Request-Method: GET\r\n\r\n";
        let seen = served(server, preflight);
        assert_eq!(seen[0].field("Access-Control-Allow-Origin"), Some("*"));
        assert_eq!(seen[0].field("Access-Control-Allow-Credentials"), None);
    });
}

#[test]
fn e17_methods() {
    on_both(limits(), |server| {
        for line in
            ["TRACE / HTTP/1.1", "CONNECT h:443 HTTP/1.1", "CONNECT /x HTTP/1.1", "BREW /x HTTP/1.1", "get / HTTP/1.1"]
        {
            let seen = served(server, format!("{line}\r\nHost: h\r\n\r\n").as_bytes());
            assert_eq!(seen[0].status, 405, "{line}");
            assert!(seen[0].text().starts_with(&format!("{line}\n")));
        }
        assert!(served(server, b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")[0].text().starts_with("OPTIONS * "));
    });
}

#[test]
fn a_panic_or_a_lost_client_ends_its_connection_alone() {
    on_both(limits(), |server| {
        let mut other = server.connect();
        other.write_all(&get("X: 1")).unwrap();
        assert_eq!(server.exchange(b"GET /panic HTTP/1.1\r\nHost: h\r\n\r\n"), b"");
        assert_eq!(server.event(), Event::Panicked("on purpose".to_owned()));
        assert_eq!(server.exchange(b"GET /gone HTTP/1.1\r\nHost: h\r\n\r\n"), b"");
        other.write_all(&get("Connection: close")).unwrap();
        assert_eq!(statuses(&crate::server::read_to_end(&mut other)), [200, 200]);
    });
}
