//! Status line, headers, framing → buffer. Pure but for `Date`.
//! Invariant: no field can end its line early or frame the message: names are tokens, values hold no CR, LF or NUL, and
//! the fields that frame are written by the connection alone.

use std::fmt;
use std::io::Write;

use memchr::{memchr, memchr3};

use super::date;
use super::head::is_token_byte;

/// A response head while it is still being decided. `Connection` and the framing headers are the connection's own and
/// are refused here; `Date` and `Server` are the connection's unless set here.
#[derive(Debug, Default)]
pub struct ResponseHead {
    status: u16,
    /// `None`: the standard phrase of the status.
    reason: Option<String>,
    /// `Name: value\r\n` lines, kept as bytes so that a warm request allocates nothing.
    lines: Vec<u8>,
    /// Whether `lines` has the two fields that the connection writes otherwise.
    has_date: bool,
    has_server: bool,
}

/// How the receiver finds the end of the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnswerFraming {
    /// No body, whatever the headers say: answers to HEAD, and 204, 304.
    Bodyless,
    Length(usize),
    Chunked,
    /// The connection's end is the body's end: streams to HTTP/1.0.
    Close,
}

/// What the answer says about the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Persistence {
    /// HTTP/1.1's default, not spelled out.
    Implied,
    /// HTTP/1.0 wants to be told.
    KeepAlive,
    Close,
}

/// The connection's own: adding them could split or cut an answer.
const FRAMING_FIELDS: [&str; 7] =
    ["content-length", "transfer-encoding", "connection", "keep-alive", "trailer", "upgrade", "proxy-connection"];

const SERVER_LINE: &[u8] = concat!("Server: trunkline/", env!("CARGO_PKG_VERSION"), "\r\n").as_bytes();

impl ResponseHead {
    /// Forgets everything but the buffer's room.
    pub fn clear(&mut self) {
        self.status = 0;
        self.reason = None;
        self.lines.clear();
        (self.has_date, self.has_server) = (false, false);
    }

    pub fn status(&self) -> u16 {
        self.status
    }

    /// Characters in `reason` that could end the line become blanks.
    pub fn set_status(&mut self, status: u16, reason: Option<String>) {
        self.status = status;
        self.reason = reason.map(|text| if text.contains(char::is_control) { without_controls(&text) } else { text });
    }

    /// Appends a field; false, and nothing changes, if the name is no token or frames the message, or the value holds
    /// CR, LF or NUL.
    pub fn add(&mut self, name: &str, value: &[u8]) -> bool {
        if !is_allowed_name(name) || !is_allowed_value(value) {
            return false;
        }
        self.lines.extend_from_slice(name.as_bytes());
        self.lines.extend_from_slice(b": ");
        self.lines.extend_from_slice(value);
        self.lines.extend_from_slice(b"\r\n");
        self.note(name, true);
        true
    }

    /// `add` with a value that is formatted in place.
    pub fn add_format(&mut self, name: &str, value: fmt::Arguments<'_>) -> bool {
        if !is_allowed_name(name) {
            return false;
        }
        let begin = self.lines.len();
        self.lines.extend_from_slice(name.as_bytes());
        self.lines.extend_from_slice(b": ");
        let value_begin = self.lines.len();
        let formatted = self.lines.write_fmt(value).is_ok();
        if !formatted || !is_allowed_value(self.lines.get(value_begin..).unwrap_or_default()) {
            self.lines.truncate(begin);
            return false;
        }
        self.lines.extend_from_slice(b"\r\n");
        self.note(name, true);
        true
    }

    /// Replaces every field of that name, compared without case, by this one; false as for `add`.
    pub fn set(&mut self, name: &str, value: &[u8]) -> bool {
        if !is_allowed_name(name) || !is_allowed_value(value) {
            return false;
        }
        self.remove(name);
        self.add(name, value)
    }

    pub fn contains(&self, name: &str) -> bool {
        self.fields().any(|(field, _)| field.eq_ignore_ascii_case(name))
    }

    /// Drops every field of that name, compared without case.
    pub fn remove(&mut self, name: &str) {
        let mut at = 0;
        while let Some(line) = self.lines.get(at..).and_then(first_line) {
            let (length, same) = (line.len() + 2, split_line(line).0.eq_ignore_ascii_case(name));
            if same {
                self.lines.drain(at..at + length);
            } else {
                at += length;
            }
        }
        self.note(name, false);
    }

    fn note(&mut self, name: &str, present: bool) {
        if name.eq_ignore_ascii_case("date") {
            self.has_date = present;
        } else if name.eq_ignore_ascii_case("server") {
            self.has_server = present;
        }
    }

    /// Names and values in the order they were added.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut rest = self.lines.as_slice();
        std::iter::from_fn(move || {
            let line = first_line(rest)?;
            rest = rest.get(line.len() + 2..).unwrap_or_default();
            Some(split_line(line))
        })
    }

    /// Whether an answer with this status has no body by definition (RFC 9110 §6.4.1).
    pub fn is_bodyless(&self) -> bool {
        matches!(self.status, 204 | 304)
    }

    /// Appends the head with its blank line to `out`. A status that can't end a request becomes 500: below 200 the client
    /// would go on waiting.
    pub fn write(&self, out: &mut Vec<u8>, framing: AnswerFraming, persistence: Persistence) {
        let status = if (200..=999).contains(&self.status) { self.status } else { 500 };
        out.extend_from_slice(b"HTTP/1.1 ");
        write_number(out, usize::from(status));
        out.push(b' ');
        out.extend_from_slice(self.reason.as_deref().unwrap_or_else(|| phrase(status)).as_bytes());
        out.extend_from_slice(b"\r\n");
        if !self.has_date {
            out.extend_from_slice(b"Date: ");
            out.extend_from_slice(&date::now());
            out.extend_from_slice(b"\r\n");
        }
        if !self.has_server {
            out.extend_from_slice(SERVER_LINE);
        }
        match persistence {
            Persistence::Implied => {}
            Persistence::KeepAlive => out.extend_from_slice(b"Connection: keep-alive\r\n"),
            Persistence::Close => out.extend_from_slice(b"Connection: close\r\n"),
        }
        match framing {
            AnswerFraming::Bodyless | AnswerFraming::Close => {}
            AnswerFraming::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            AnswerFraming::Length(length) => {
                out.extend_from_slice(b"Content-Length: ");
                write_number(out, length);
                out.extend_from_slice(b"\r\n");
            }
        }
        out.extend_from_slice(&self.lines);
        out.extend_from_slice(b"\r\n");
    }
}

/// A chunk's size line. `size` is not 0: that would end the body.
pub fn write_chunk_line(out: &mut Vec<u8>, size: usize) {
    debug_assert!(size > 0, "an empty chunk ends the body");
    // A `Vec` does not fail to grow, it aborts.
    let _ = write!(out, "{size:x}\r\n");
}

/// What follows a chunk's bytes.
pub const CHUNK_END: &[u8] = b"\r\n";
/// The chunk that ends the body, without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// The interim answer to `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

fn write_number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn without_controls(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

fn is_allowed_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(is_token_byte)
        && !FRAMING_FIELDS.iter().any(|framing| name.eq_ignore_ascii_case(framing))
}

fn is_allowed_value(value: &[u8]) -> bool {
    memchr3(b'\r', b'\n', 0, value).is_none()
}

/// The first line without its CRLF.
fn first_line(lines: &[u8]) -> Option<&[u8]> {
    lines.get(..memchr(b'\r', lines)?)
}

fn split_line(line: &[u8]) -> (&str, &[u8]) {
    let colon = memchr(b':', line).unwrap_or(line.len());
    let (name, value) = line.split_at_checked(colon).unwrap_or((line, b""));
    (std::str::from_utf8(name).unwrap_or_default(), value.get(2..).unwrap_or_default())
}

/// Reason phrases of the IANA registry for final answers; empty for a status that has none.
fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        510 => "Not Extended",
        511 => "Network Authentication Required",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(build: impl FnOnce(&mut ResponseHead), framing: AnswerFraming, persistence: Persistence, expect: &str) {
        let mut head = ResponseHead::default();
        build(&mut head);
        let mut out = Vec::new();
        head.write(&mut out, framing, persistence);
        let text = String::from_utf8(out).unwrap();
        let date = text.lines().find(|line| line.starts_with("Date: ")).map(str::to_owned).unwrap_or_default();
        let text = text.replace(&date, "Date: D").replace(concat!("trunkline/", env!("CARGO_PKG_VERSION")), "S");
        assert_eq!(text, expect.replace('\n', "\r\n"));
    }

    #[test]
    fn heads() {
        check(
            |head| head.set_status(200, None),
            AnswerFraming::Length(0),
            Persistence::Implied,
            "HTTP/1.1 200 OK\nDate: D\nServer: S\nContent-Length: 0\n\n",
        );
        check(
            |head| {
                head.set_status(206, None);
                assert!(head.add("Content-Range", b"0-1/2"));
                assert!(head.add_format("X-Took", format_args!("{}ms", 12)));
            },
            AnswerFraming::Chunked,
            Persistence::KeepAlive,
            "HTTP/1.1 206 Partial Content\nDate: D\nServer: S\nConnection: keep-alive\nTransfer-Encoding: chunked\n\
             Content-Range: 0-1/2\nX-Took: 12ms\n\n",
        );
        check(
            |head| head.set_status(799, None),
            AnswerFraming::Close,
            Persistence::Close,
            "HTTP/1.1 799 \nDate: D\nServer: S\nConnection: close\n\n",
        );
        check(
            |head| {
                head.set_status(418, Some("no\r\nX: coffee\0".to_owned()));
                assert!(head.add("server", b"mine") && head.set("Date", b"never"));
                head.remove("date");
            },
            AnswerFraming::Bodyless,
            Persistence::Implied,
            "HTTP/1.1 418 no  X: coffee \nDate: D\nserver: mine\n\n",
        );
        check(
            |head| head.set_status(101, None),
            AnswerFraming::Bodyless,
            Persistence::Implied,
            "HTTP/1.1 500 Internal Server Error\nDate: D\nServer: S\n\n",
        );
        check(
            |_| (),
            AnswerFraming::Length(3),
            Persistence::Implied,
            "HTTP/1.1 500 Internal Server Error\nDate: D\nServer: S\nContent-Length: 3\n\n",
        );
    }

    #[test]
    fn fields_that_would_split_an_answer_are_refused() {
        let mut head = ResponseHead::default();
        assert!(head.add("X", b"kept"));
        for (name, value) in [
            ("X", &b"a\r\nY: b"[..]),
            ("X", b"a\nb"),
            ("X", b"a\rb"),
            ("X", b"a\0b"),
            ("X\r\nY", b"a"),
            ("X Y", b"a"),
            ("X:", b"a"),
            ("", b"a"),
            ("\u{e9}", b"a"),
            ("Content-Length", b"5"),
            ("transfer-ENCODING", b"chunked"),
            ("Connection", b"close"),
        ] {
            assert!(!head.add(name, value), "{name:?}");
            assert!(!head.set(name, value), "{name:?}");
            let text = String::from_utf8_lossy(value);
            assert!(!head.add_format(name, format_args!("{text}")), "{name:?}");
        }
        assert_eq!(head.fields().collect::<Vec<_>>(), [("X", &b"kept"[..])]);
    }

    #[test]
    fn fields_are_replaced_and_removed_by_name() {
        let mut head = ResponseHead::default();
        for (name, value) in [("A", "1"), ("B", "2"), ("a", "3"), ("C", ""), ("A", "4")] {
            assert!(head.add(name, value.as_bytes()));
        }
        assert!(head.contains("c") && !head.contains("D"));
        assert!(head.set("a", b"5"));
        assert_eq!(head.fields().collect::<Vec<_>>(), [("B", &b"2"[..]), ("C", b""), ("a", b"5")]);
        head.remove("B");
        head.remove("absent");
        assert_eq!(head.fields().collect::<Vec<_>>(), [("C", &b""[..]), ("a", b"5")]);
        head.clear();
        assert_eq!(head.fields().count(), 0);
    }
}
