//! HTTP/1.1 by hand: the request line goes out exactly as the case has it.
//! Limits: an answer has a deadline and a size.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::json::Json;

const REPLY_SECONDS: u64 = 30;
const BODY_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// An answer as it came.
#[derive(Debug, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// Sends one request of a case on a connection of its own and reads the answer.
pub fn exchange(address: SocketAddr, request: &Json) -> io::Result<Reply> {
    let (bytes, method) = encode(address, request)?;
    let limit = Duration::from_secs(REPLY_SECONDS);
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    stream.set_nodelay(true)?;
    stream.write_all(&bytes)?;
    read_reply(&mut BufReader::new(stream), &method)
}

/// The bytes of a request, and its method.
fn encode(address: SocketAddr, request: &Json) -> io::Result<(Vec<u8>, String)> {
    let method = request.at("method").and_then(Json::text).unwrap_or("GET").to_owned();
    let path = request.at("path").and_then(Json::text).ok_or_else(|| invalid("the case has no path"))?;
    let body = body_bytes(request.at("body"))?;
    let headers = header_list(request.at("headers"));
    let given = |wanted: &str| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let mut head = format!("{method} {path} HTTP/1.1\r\n");
    if !given("host") {
        head.push_str(&format!("Host: {address}\r\n"));
    }
    for (name, value) in &headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(body) = &body
        && !given("content-length")
        && !given("transfer-encoding")
    {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend(body.unwrap_or_default());
    Ok((bytes, method))
}

/// A string is sent as it is, `{"base64": …}` as those bytes, any other value as its text.
fn body_bytes(body: Option<&Json>) -> io::Result<Option<Vec<u8>>> {
    Ok(match body {
        None | Some(Json::Null) => None,
        Some(Json::String(text)) => Some(text.clone().into_bytes()),
        Some(Json::Object(pairs)) if pairs.len() == 1 && pairs[0].0 == "base64" => {
            let bytes = pairs[0].1.text().and_then(from_base64);
            Some(bytes.ok_or_else(|| invalid("the case's body is no base64"))?)
        }
        Some(other) => Some(other.to_string().into_bytes()),
    })
}

/// `{"Name": "value"}` or `{"Name": ["one", "two"]}` as pairs.
fn header_list(headers: Option<&Json>) -> Vec<(String, String)> {
    let mut list = Vec::new();
    for (name, value) in headers.map(Json::pairs).unwrap_or_default() {
        let values = match value {
            Json::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        list.extend(
            values.iter().map(|value| (name.clone(), value.text().map_or_else(|| value.to_string(), str::to_owned))),
        );
    }
    list
}

/// Reads to the final answer, past any interim one.
fn read_reply(stream: &mut impl BufRead, method: &str) -> io::Result<Reply> {
    let (status, headers) = loop {
        let (status, headers) = read_head(stream)?;
        if status >= 200 {
            break (status, headers);
        }
    };
    let header = |wanted: &str| {
        headers.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_str())
    };
    let mut body = Vec::new();
    if method == "HEAD" || matches!(status, 204 | 304) {
        // These have none, whatever their headers say.
    } else if header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        read_chunks(stream, &mut body)?;
    } else if let Some(length) = header("content-length") {
        let length = length.parse().map_err(|_| invalid(format!("Content-Length: {length}")))?;
        read_exactly(stream, length, &mut body)?;
    } else {
        stream.take(BODY_BYTES_MAX).read_to_end(&mut body)?;
    }
    Ok(Reply { status, headers, body })
}

fn read_head(stream: &mut impl BufRead) -> io::Result<(u16, Vec<(String, String)>)> {
    let start = read_line(stream)?;
    if start.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "connection closed before a status line"));
    }
    let status = start.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| invalid(format!("no status in {start:?}")))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            return Ok((status, headers));
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
}

/// A line without its end; empty at the end of the stream too.
fn read_line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    stream.take(BODY_BYTES_MAX).read_until(b'\n', &mut line)?;
    while matches!(line.last(), Some(b'\r' | b'\n')) {
        line.pop();
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn read_chunks(stream: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let line = read_line(stream)?;
        let size = u64::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16);
        let size = size.map_err(|_| invalid(format!("no chunk size in {line:?}")))?;
        read_exactly(stream, size, body)?;
        read_line(stream)?;
        if size == 0 {
            return Ok(());
        }
    }
}

fn read_exactly(stream: &mut impl BufRead, size: u64, body: &mut Vec<u8>) -> io::Result<()> {
    if size > BODY_BYTES_MAX {
        return Err(invalid(format!("a body of {size} bytes")));
    }
    let read = stream.take(size).read_to_end(body)?;
    if read as u64 == size { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = char::from(BASE64[(bits >> (18 - 6 * place) & 63) as usize]);
            text.push(if place <= group.len() { digit } else { '=' });
        }
    }
    text
}

pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for group in text.trim_end_matches('=').as_bytes().chunks(4) {
        let mut bits = 0u32;
        for digit in group {
            bits = bits << 6 | u32::try_from(BASE64.iter().position(|known| known == digit)?).ok()?;
        }
        bits <<= 6 * (4 - group.len());
        bytes.extend(bits.to_be_bytes().get(1..group.len())?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn requests_as_they_go_out() {
        let check = |case: &str, expect: &str| {
            let address = "127.0.0.1:3000".parse().expect("an address");
            let (bytes, _) = encode(address, &json::parse(case).expect(case)).expect(case);
            assert_eq!(String::from_utf8_lossy(&bytes), expect, "{case}");
        };
        check(r#"{"path": "/a b?x=é"}"#, "GET /a b?x=é HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n\r\n");
        check(
            r#"{"method": "POST", "path": "/", "headers": {"HOST": "h", "Prefer": ["a", "b"]}, "body": "é"}"#,
            "POST / HTTP/1.1\r\nHOST: h\r\nPrefer: a\r\nPrefer: b\r\nContent-Length: 2\r\n\r\né",
        );
        check(
            r#"{"path": "/", "headers": {"Host": "h", "Transfer-Encoding": "chunked"}, "body": {"base64": "MA0KDQo="}}"#,
            "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        );
        check(
            r#"{"path": "/", "headers": {"Host": "h"}, "body": {"a": [1.0, "x"]}}"#,
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 17\r\n\r\n{\"a\": [1.0, \"x\"]}",
        );
    }

    #[test]
    fn answers_as_they_come_in() {
        let check = |bytes: &str, method: &str, expect: Option<(u16, &str)>| {
            let reply = read_reply(&mut bytes.as_bytes(), method);
            let got =
                reply.as_ref().ok().map(|reply| (reply.status, String::from_utf8_lossy(&reply.body).into_owned()));
            assert_eq!(got, expect.map(|(status, body)| (status, body.to_owned())), "{bytes:?}: {reply:?}");
        };
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc", "GET", Some((200, "ab")));
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "HEAD", Some((200, "")));
        check("HTTP/1.1 204 No Content\r\n\r\nrest", "GET", Some((204, "")));
        check("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n\r\nall", "POST", Some((201, "all")));
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
            "GET",
            Some((200, "abc0123456789")),
        );
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "GET", None);
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "GET", None);
        check("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabc", "GET", None);
        check("", "GET", None);
        check("nonsense\r\n\r\n", "GET", None);
    }

    #[test]
    fn base64_both_ways() {
        let check = |bytes: &[u8], text: &str| {
            assert_eq!(to_base64(bytes), text);
            assert_eq!(from_base64(text).as_deref(), Some(bytes));
        };
        check(b"", "");
        check(b"f", "Zg==");
        check(b"fo", "Zm8=");
        check(b"foo", "Zm9v");
        check(&[0xff, 0xfe, 0xfd, 0xfc], "//79/A==");
        assert_eq!(from_base64("Zg*="), None);
    }
}
