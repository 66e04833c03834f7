//! Bytes → request head: pure, resumable, limited. `HeadScan` finds the end of a head that may still be arriving,
//! `parse_head` reads a whole one. Both are strict where HTTP lets servers be lenient: a line ends in CRLF, a name has no
//! blank behind it, a length is a plain number, and whatever could be read in two ways is refused.
//! Must not know: sockets, bodies' bytes, REST.
//! Sources: RFC 9112 §2–§7, RFC 9110 §5, §7.2. Recorded answers of PostgREST that are kept although they are lenient: raw
//! UTF-8, quotes, braces and `#` in a target, an absolute target whose host is not `Host`'s, any `Expect`.
//! Limits: `HeadLimits`.

use memchr::{memchr, memchr_iter};

use super::{Headers, Method, Refusal, Version};
use crate::limits;

/// How the request's body is delimited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    Empty,
    /// In bytes, never 0.
    Length(u64),
    Chunked,
}

/// A request head as spans of its bytes.
#[derive(Clone, Debug)]
pub struct Head<'b> {
    pub method: Method<'b>,
    /// Path and query, `*` of OPTIONS, or CONNECT's `host:port`.
    pub target: &'b [u8],
    pub version: Version,
    pub headers: Headers<'b>,
    pub framing: Framing,
    /// What the client wants of the connection after this request.
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeadLimits {
    pub head_bytes_max: usize,
    pub target_bytes_max: usize,
    pub header_count_max: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            head_bytes_max: limits::HEAD_BYTES_MAX,
            target_bytes_max: limits::TARGET_BYTES_MAX,
            header_count_max: limits::HEADER_COUNT_MAX,
        }
    }
}

/// Where the search for a head's end has come to. One per request; `find` is called again with the same bytes and more
/// behind them, and looks only at those.
#[derive(Clone, Copy, Default, Debug)]
pub struct HeadScan {
    /// Bytes before this one hold no end of the head.
    seen: usize,
    /// Where the line begins that `seen` is in.
    line: usize,
    /// Blank lines before the request line are ignored (RFC 9112 §2.2); the request line begins behind them.
    leading: usize,
    /// The request line is there and well-formed.
    request_line: bool,
}

impl HeadScan {
    /// The head's length with its blank line; `None` while more bytes are needed. A head that can't become valid any more
    /// is refused before it ends, so that a client which speaks something else is not left waiting.
    pub fn find(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Option<usize>, Refusal> {
        let fresh = bytes.get(self.seen..).unwrap_or_default();
        for offset in memchr_iter(b'\n', fresh) {
            let at = self.seen + offset;
            let line = bytes.get(self.line..at).unwrap_or_default();
            let Some((b'\r', line)) = line.split_last() else {
                return Err(Refusal::Malformed("a line ends without CR"));
            };
            let blank = line.is_empty();
            let first = self.line == self.leading;
            self.line = at + 1;
            match (blank, first) {
                (true, true) => self.leading = self.line,
                (true, false) => {
                    if self.line <= limits.head_bytes_max {
                        return Ok(Some(self.line));
                    }
                    // A request line that is too long by itself is told so.
                    self.refuse_early(bytes.get(..self.line).unwrap_or(bytes), limits)?;
                    return Err(Refusal::HeadTooLarge);
                }
                (false, _) => {}
            }
        }
        self.refuse_early(bytes, limits)?;
        self.seen = bytes.len();
        Ok(None)
    }

    /// The cold half of `find`: what is already wrong with a head whose end has not come.
    fn refuse_early(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<(), Refusal> {
        let begun = bytes.get(self.leading..).unwrap_or_default();
        let fresh = bytes.get(self.seen.saturating_sub(1)..).unwrap_or_default();
        let bare = |at: usize| fresh.get(at + 1).is_some_and(|&next| next != b'\n');
        if memchr_iter(b'\r', fresh).any(bare) {
            return Err(Refusal::Malformed("CR without LF"));
        }
        if memchr(0, fresh).is_some() {
            return Err(Refusal::Malformed("NUL in the request head"));
        }
        if !self.request_line {
            match memchr(b'\r', begun).and_then(|end| begun.get(..end)) {
                Some(line) if !line.is_empty() => {
                    RequestLine::parse(line, limits)?;
                    self.request_line = true;
                }
                Some(_) => {}
                None if begun.len() > limits.target_bytes_max + limits::METHOD_BYTES_MAX + VERSION_BYTES => {
                    return Err(Refusal::TargetTooLong);
                }
                None => {}
            }
        }
        if bytes.len() > limits.head_bytes_max { Err(Refusal::HeadTooLarge) } else { Ok(()) }
    }
}

/// ` HTTP/1.1` with both blanks around the target.
const VERSION_BYTES: usize = 10;

/// Reads a whole head, `HeadScan::find`'s span of the bytes.
pub fn parse_head<'b>(bytes: &'b [u8], limits: &HeadLimits) -> Result<Head<'b>, Refusal> {
    let mut rest = bytes;
    while let Some(after) = rest.strip_prefix(b"\r\n") {
        rest = after;
    }
    let end = memchr(b'\r', rest).ok_or(Refusal::Malformed("no request line"))?;
    let (line, fields) = rest.split_at_checked(end).ok_or(Refusal::Malformed("no request line"))?;
    let fields = fields.strip_prefix(b"\r\n").ok_or(Refusal::Malformed("CR without LF"))?;
    let RequestLine { method, target, version } = RequestLine::parse(line, limits)?;
    let headers = parse_fields(fields, limits.header_count_max)?;
    let facts = Facts::gather(&headers)?;
    if version == Version::Http11 && !facts.host {
        return Err(Refusal::Malformed("Host is missing"));
    }
    let framing = facts.framing(version)?;
    let keep_alive = match version {
        Version::Http11 => !facts.close,
        Version::Http10 => facts.keep_alive && !facts.close,
    };
    let expects_continue = facts.expects_continue && version == Version::Http11 && framing != Framing::Empty;
    Ok(Head { method, target, version, headers, framing, keep_alive, expects_continue })
}

struct RequestLine<'b> {
    method: Method<'b>,
    target: &'b [u8],
    version: Version,
}

impl<'b> RequestLine<'b> {
    /// `method SP target SP version`, with exactly these blanks. `line` is without its CRLF.
    fn parse(line: &'b [u8], limits: &HeadLimits) -> Result<Self, Refusal> {
        let (method, rest) = split_at_blank(line).ok_or(Refusal::Malformed("the request line has no target"))?;
        if method.is_empty() || !method.iter().copied().all(is_token_byte) {
            return Err(Refusal::Malformed("the method is not a token"));
        }
        if method.len() > limits::METHOD_BYTES_MAX {
            return Err(Refusal::MethodTooLong);
        }
        let method = parse_method(method)?;
        let (target, version) = match split_at_blank(rest) {
            Some(parts) => parts,
            None if rest.len() > limits.target_bytes_max => return Err(Refusal::TargetTooLong),
            None => return Err(Refusal::Malformed("the request line has no version")),
        };
        if target.len() > limits.target_bytes_max {
            return Err(Refusal::TargetTooLong);
        }
        if target.iter().any(|&byte| byte <= b' ' || byte == 0x7f) {
            return Err(Refusal::Malformed("a control character in the target"));
        }
        if std::str::from_utf8(target).is_err() {
            return Err(Refusal::Malformed("the target is not UTF-8"));
        }
        let version = parse_version(version)?;
        let target = path_and_query(method, target)?;
        Ok(Self { method, target, version })
    }
}

fn split_at_blank(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (before, after) = bytes.split_at_checked(memchr(b' ', bytes)?)?;
    Some((before, after.get(1..)?))
}

fn parse_method(method: &[u8]) -> Result<Method<'_>, Refusal> {
    Ok(match method {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"POST" => Method::Post,
        b"PUT" => Method::Put,
        b"PATCH" => Method::Patch,
        b"DELETE" => Method::Delete,
        b"OPTIONS" => Method::Options,
        other => {
            let other = std::str::from_utf8(other).map_err(|_| Refusal::Malformed("the method is not a token"))?;
            Method::Other(other)
        }
    })
}

fn parse_version(version: &[u8]) -> Result<Version, Refusal> {
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Err(Refusal::Version)
        }
        _ => Err(Refusal::Malformed("the version is malformed")),
    }
}

/// Origin-form as it is; absolute-form without its scheme and host; `*`; CONNECT's host and port.
fn path_and_query<'b>(method: Method<'_>, target: &'b [u8]) -> Result<&'b [u8], Refusal> {
    if target.first() == Some(&b'/') || (target == b"*" && method == Method::Options) {
        return Ok(target);
    }
    if method == Method::Other("CONNECT") {
        return if is_host(target) { Ok(target) } else { Err(Refusal::Malformed("the target is not host:port")) };
    }
    let Some(rest) = strip_scheme(target) else { return Err(Refusal::Malformed("the target is not a path")) };
    let path = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (host, path) = rest.split_at_checked(path).unwrap_or((rest, b""));
    if host.is_empty() || !is_host(host) {
        return Err(Refusal::Malformed("the target's host is malformed"));
    }
    match path.first() {
        None => Ok(b"/"),
        Some(b'/') => Ok(path),
        // Would need a slash put in between that the client didn't send.
        Some(_) => Err(Refusal::Malformed("the target has no path")),
    }
}

fn strip_scheme(target: &[u8]) -> Option<&[u8]> {
    [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
        let (begin, rest) = target.split_at_checked(scheme.len())?;
        begin.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

/// `uri-host [":" port]` (RFC 3986 §3.2.2): a registered name or IPv4 address, or an IP literal in brackets. Empty is
/// what a client sends whose target has no authority.
fn is_host(value: &[u8]) -> bool {
    let (name, port) = if value.first() == Some(&b'[') {
        let Some((literal, rest)) = memchr(b']', value).and_then(|end| value.split_at_checked(end + 1)) else {
            return false;
        };
        let inner = literal.get(1..literal.len() - 1).unwrap_or_default();
        if inner.is_empty() || !inner.iter().all(|&byte| byte.is_ascii_alphanumeric() || b":.-_~%".contains(&byte)) {
            return false;
        }
        match rest.split_first() {
            None => return true,
            Some((b':', port)) => (&b""[..], port),
            Some(_) => return false,
        }
    } else {
        match memchr(b':', value).and_then(|at| value.split_at_checked(at)) {
            Some((name, port)) => (name, port.get(1..).unwrap_or_default()),
            None => (value, &b""[..]),
        }
    };
    name.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte))
        && port.iter().all(u8::is_ascii_digit)
}

/// RFC 9110 §5.6.2.
pub(super) fn is_token_byte(byte: u8) -> bool {
    // A match is two comparisons of bits; a search through the marks would be a loop for every byte of every name.
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

/// Few heads have more fields than this: they are split without clearing room for the many.
const FIELDS_USUAL: usize = 32;

/// Field lines up to and with the blank one → names and values. httparse refuses control characters, blanks around the
/// name and folded lines; line ends have been checked by `HeadScan`.
fn parse_fields(fields: &[u8], count_max: usize) -> Result<Headers<'_>, Refusal> {
    let mut few = [httparse::EMPTY_HEADER; FIELDS_USUAL];
    match split_fields(fields, &mut few) {
        Err(Refusal::HeadTooLarge) if count_max > FIELDS_USUAL => {
            let mut many = vec![httparse::EMPTY_HEADER; count_max];
            split_fields(fields, &mut many)
        }
        other => other,
    }
    .and_then(|headers| if headers.fields.len() > count_max { Err(Refusal::HeadTooLarge) } else { Ok(headers) })
}

fn split_fields<'b>(fields: &'b [u8], room: &mut [httparse::Header<'b>]) -> Result<Headers<'b>, Refusal> {
    match httparse::parse_headers(fields, room) {
        Ok(httparse::Status::Complete((length, split))) if length == fields.len() => {
            Ok(Headers { fields: split.iter().map(|field| (field.name, trim(field.value))).collect() })
        }
        Ok(httparse::Status::Complete(_) | httparse::Status::Partial) => {
            Err(Refusal::Malformed("the headers end too early"))
        }
        Err(httparse::Error::TooManyHeaders) => Err(Refusal::HeadTooLarge),
        Err(httparse::Error::HeaderName) => Err(Refusal::Malformed("a header's name is malformed")),
        Err(_) => Err(Refusal::Malformed("a header's value is malformed")),
    }
}

/// Without blanks and tabs at both ends.
fn trim(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let begin = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(begin, |last| last + 1);
    value.get(begin..end).unwrap_or_default()
}

/// The fields that steer the connection, gathered in one pass.
#[derive(Default)]
struct Facts<'b> {
    host: bool,
    length: Option<u64>,
    coding: Option<&'b [u8]>,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

impl<'b> Facts<'b> {
    fn gather(headers: &Headers<'b>) -> Result<Self, Refusal> {
        let mut facts = Self::default();
        for &(name, value) in &headers.fields {
            match name.len() {
                4 if name.eq_ignore_ascii_case("host") => {
                    if std::mem::replace(&mut facts.host, true) {
                        return Err(Refusal::Malformed("Host is there twice"));
                    }
                    if !is_host(value) {
                        return Err(Refusal::Malformed("Host is malformed"));
                    }
                }
                6 if name.eq_ignore_ascii_case("expect") => {
                    facts.expects_continue |= value.eq_ignore_ascii_case(b"100-continue");
                }
                10 if name.eq_ignore_ascii_case("connection") => {
                    facts.close |= list(value).any(|item| item.eq_ignore_ascii_case(b"close"));
                    facts.keep_alive |= list(value).any(|item| item.eq_ignore_ascii_case(b"keep-alive"));
                }
                14 if name.eq_ignore_ascii_case("content-length") => {
                    let length = parse_length(value)?;
                    only(&mut facts.length, length, "Content-Length is there twice")?;
                }
                17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                    only(&mut facts.coding, value, "Transfer-Encoding is there twice")?;
                }
                _ => {}
            }
        }
        Ok(facts)
    }

    fn framing(&self, version: Version) -> Result<Framing, Refusal> {
        match (self.coding, self.length) {
            (Some(_), Some(_)) => Err(Refusal::Malformed("both Content-Length and Transfer-Encoding")),
            (Some(_), None) if version == Version::Http10 => Err(Refusal::Malformed("Transfer-Encoding in HTTP/1.0")),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
            (Some(coding), None) if is_known_coding(coding) => Err(Refusal::TransferCoding),
            (Some(_), None) => Err(Refusal::Malformed("Transfer-Encoding is not chunked")),
            (None, Some(0) | None) => Ok(Framing::Empty),
            (None, Some(length)) => Ok(Framing::Length(length)),
        }
    }
}

/// Sets what must not be set twice, even to the same value.
fn only<T>(place: &mut Option<T>, value: T, twice: &'static str) -> Result<(), Refusal> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refusal::Malformed(twice)),
    }
}

/// Items of a comma-separated list, trimmed.
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim)
}

/// Digits alone, no sign, no leading zero, below 2^63.
fn parse_length(value: &[u8]) -> Result<u64, Refusal> {
    const WRONG: Refusal = Refusal::Malformed("Content-Length is not a number");
    let padded = value.first() == Some(&b'0') && value.len() > 1;
    if value.is_empty() || padded || !value.iter().all(u8::is_ascii_digit) {
        return Err(WRONG);
    }
    let text = std::str::from_utf8(value).map_err(|_| WRONG)?;
    text.parse::<u64>().ok().filter(|&length| length < 1 << 63).ok_or(WRONG)
}

/// Registered codings with `chunked` once and last: well-formed, only not spoken here.
fn is_known_coding(value: &[u8]) -> bool {
    const CODINGS: [&[u8]; 5] = [b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress"];
    let mut items = list(value).collect::<Vec<_>>();
    items.pop().is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"))
        && items.iter().all(|item| CODINGS.iter().any(|coding| item.eq_ignore_ascii_case(coding)))
}

/// Fuzzer's entry: no panic, the same verdict whether the bytes come at once or one by one.
pub fn fuzz_head(bytes: &[u8]) {
    let limits = HeadLimits { head_bytes_max: 4096, target_bytes_max: 2048, header_count_max: 64 };
    let verdict = |found: Result<Option<usize>, Refusal>| -> Option<String> {
        match found {
            Ok(None) => None,
            Ok(Some(end)) => Some(format!("{:?}", bytes.get(..end).map(|head| parse_head(head, &limits)))),
            Err(refusal) => Some(format!("{:?}", refusal.status() < 500)),
        }
    };
    let whole = verdict(HeadScan::default().find(bytes, &limits));
    let mut scan = HeadScan::default();
    let split = (0..=bytes.len()).find_map(|end| verdict(scan.find(bytes.get(..end).unwrap_or_default(), &limits)));
    let accepted = |verdict: &Option<String>| verdict.as_ref().filter(|text| text.contains("Ok(")).cloned();
    assert_eq!(accepted(&whole), accepted(&split), "a head is read differently in pieces");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> HeadLimits {
        HeadLimits { head_bytes_max: 2000, target_bytes_max: 100, header_count_max: 40 }
    }

    /// What the bytes come to, arriving at once and one by one: a line of what was read, or a status.
    fn read(bytes: &[u8]) -> Result<String, u16> {
        let whole = HeadScan::default().find(bytes, &limits());
        let mut scan = HeadScan::default();
        let split = (0..=bytes.len()).find_map(|end| scan.find(&bytes[..end], &limits()).transpose());
        let verdict = |found: Option<Result<usize, Refusal>>| match found {
            None => Err(0),
            Some(Err(refusal)) => Err(refusal.status()),
            Some(Ok(end)) => parse_head(&bytes[..end], &limits()).map_err(Refusal::status).map(|head| {
                let Head { method, target, version, framing, keep_alive, expects_continue, headers } = head;
                let target = String::from_utf8_lossy(target);
                let names: Vec<_> = headers.fields.iter().map(|(name, _)| *name).collect();
                format!("{method:?} {target} {version:?} {framing:?} {keep_alive} {expects_continue} {names:?}")
            }),
        };
        let (whole, split) = (verdict(whole.transpose()), verdict(split));
        assert_eq!(whole, split, "{:?} in pieces", String::from_utf8_lossy(bytes));
        fuzz_head(bytes);
        whole
    }

    fn check(bytes: &[u8], expect: &str) {
        assert_eq!(read(bytes).as_deref(), Ok(expect), "{:?}", String::from_utf8_lossy(bytes));
    }

    fn refused(status: u16, bytes: &[u8]) {
        assert_eq!(read(bytes), Err(status), "{:?}", String::from_utf8_lossy(bytes));
    }

    /// A GET with these lines behind Host.
    fn with(lines: &str) -> Vec<u8> {
        format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n").into_bytes()
    }

    #[test]
    fn request_lines() {
        check(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", r#"Get / Http11 Empty true false ["Host"]"#);
        check(b"\r\n\r\nHEAD /a?b HTTP/1.0\r\n\r\n", "Head /a?b Http10 Empty false false []");
        check(b"brew /pot#x HTTP/1.1\r\nhost:\r\n\r\n", r#"Other("brew") /pot#x Http11 Empty true false ["host"]"#);
        check(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", r#"Options * Http11 Empty true false ["Host"]"#);
        check(b"TRACE /x HTTP/1.0\r\n\r\n", r#"Other("TRACE") /x Http10 Empty false false []"#);
        check(b"CONNECT h:443 HTTP/1.0\r\n\r\n", r#"Other("CONNECT") h:443 Http10 Empty false false []"#);
        check(b"GET HTTP://h:81/a?b HTTP/1.0\r\n\r\n", "Get /a?b Http10 Empty false false []");
        check(b"GET https://[::1] HTTP/1.0\r\n\r\n", "Get / Http10 Empty false false []");
        check(
            "GET /Straße?ort=\"{Köln}\" HTTP/1.0\r\n\r\n".as_bytes(),
            "Get /Straße?ort=\"{Köln}\" Http10 Empty false false []",
        );
        for line in [
            "GET /",
            "GET  / HTTP/1.1",
            "GET /  HTTP/1.1",
            " GET / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET /a b HTTP/1.1",
            "GET\t/\tHTTP/1.1",
            "GET /\x01 HTTP/1.1",
            "GET /\x7f HTTP/1.1",
            "GET /\0 HTTP/1.1",
            "G(T / HTTP/1.1",
            "GÉT / HTTP/1.1",
            "GET / HTTP/1.32",
            "GET / HTTP/11.1",
            "GET / http/1.1",
            "GET / HTTP/1.",
            "GET / HTP/1.1",
            "GET / HTTP/1,1",
            "GET / HTTP/x.1",
            "GET / HTTP/\r\r1.1",
            "GET x HTTP/1.1",
            "GET * HTTP/1.1",
            "GET http:// HTTP/1.1",
            "GET http://h?x HTTP/1.1",
            "GET http://u@h/ HTTP/1.1",
            "GET ftp://h/ HTTP/1.1",
            "GET  HTTP/1.1",
            "GET",
            "\x16\x03\x01\x02\0\x01",
        ] {
            refused(400, format!("{line}\r\nHost: h\r\n\r\n").as_bytes());
        }
        for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/9.9", "HTTP/0.9", "HTTP/3.0"] {
            refused(505, format!("GET / {version}\r\nHost: h\r\n\r\n").as_bytes());
        }
        refused(505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        refused(505, b"PRI * HTTP/2.0\r\n");
        refused(400, b"GET /\xe9 HTTP/1.1\r\nHost: h\r\n\r\n");
        refused(400, b"GET /\xc3?\xa9 HTTP/1.1\r\nHost: h\r\n\r\n");
    }

    #[test]
    fn what_can_not_become_a_head_is_refused_before_it_ends() {
        for begun in [&b"GET /\r\n"[..], b"GET / HTTP/1.1\nHost", b"GET / HTTP/1.1\rHost", b"\x16\x03\x01\0", b"\n"] {
            refused(400, begun);
        }
        for begun in [&b""[..], b"\r\n", b"GE", b"GET / HTTP/1.1\r", b"GET / HTTP/1.1\r\nHost: h\r\n\r", b"GET (\""] {
            refused(0, begun);
        }
    }

    #[test]
    fn field_lines() {
        check(
            &with("A: \t b \t \r\nC:\r\nD: \"\u{e9},;\"\r\n"),
            r#"Get / Http11 Empty true false ["Host", "A", "C", "D"]"#,
        );
        for lines in [
            "A: b\nC: d\r\n",
            "A: b\rC: d\r\n",
            "A: b\r\r\n",
            "A: \0\r\n",
            "A: \x01\r\n",
            "A: \x7f\r\n",
            "A: b\r\n c\r\n",
            "A: b\r\n\tc\r\n",
            "A : b\r\n",
            "A\t: b\r\n",
            " A: b\r\n",
            "A\r\n",
            "A b\r\n",
            ": b\r\n",
            "\u{e9}: b\r\n",
            "A\x01: b\r\n",
            "A\0: b\r\n",
            "Ho\r\nst: b\r\n",
            "A(: b\r\n",
            "A\n",
            ":\r\n",
        ] {
            refused(400, &with(lines));
        }
        refused(400, b"GET / HTTP/1.1\r\n Host: h\r\n\r\n");
        refused(400, b"GET / HTTP/1.1\r\n\tA: b\r\nHost: h\r\n\r\n");
        refused(400, b"GET / HTTP/1.1\r\nHost: h\r\n\n");
        refused(400, b"GET / HTTP/1.1\nHost: h\n\n");
    }

    #[test]
    fn hosts() {
        for host in
            ["", "h", "h:80", "H.test:99999", "h:", "127.0.0.1", "[::1]", "[::1]:80", "a_b~c", "x%20y", "[v1.x]"]
        {
            check(
                format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes(),
                r#"Get / Http11 Empty true false ["Host"]"#,
            );
        }
        for host in [
            "a b", "a,b/", "a/b", "u@h", "h:x", "h:1:2", "[::1", "[]", "[::1]x", "::1", "h#", "h?", "\u{e9}", "<h>",
            "h\\",
        ] {
            refused(400, format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        }
        refused(400, b"GET / HTTP/1.1\r\n\r\n");
        refused(400, &with("host: h\r\n"));
        refused(400, b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n");
        check(b"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", r#"Get / Http11 Empty true false ["Host"]"#);
        refused(400, b"GET http://a/ HTTP/1.1\r\n\r\n");
    }

    #[test]
    fn framing() {
        let read = |lines: &str| {
            read(&with(lines))
                .map(|text| text.split(" Http11 ").nth(1).unwrap().split(" true").next().unwrap().to_owned())
        };
        assert_eq!(read("Content-Length: 0\r\n").as_deref(), Ok("Empty"));
        assert_eq!(read("content-LENGTH:  12  \r\n").as_deref(), Ok("Length(12)"));
        assert_eq!(read("Content-Length: 9223372036854775807\r\n").as_deref(), Ok("Length(9223372036854775807)"));
        assert_eq!(read("Transfer-Encoding: Chunked\r\n").as_deref(), Ok("Chunked"));
        for length in [
            "5, 5",
            "5,5",
            "+5",
            "-5",
            "0x5",
            "5_0",
            "010",
            "00",
            "",
            "1Z",
            "9223372036854775808",
            "18446744073709551616",
            "99999999999999999999999999",
            "5 5",
            "5\t5",
            "\"5\"",
            "5;",
            "5.0",
            "1e3",
            "\u{663}",
        ] {
            assert_eq!(read(&format!("Content-Length: {length}\r\n")), Err(400), "{length}");
        }
        assert_eq!(read("Content-Length: 5\r\nContent-Length: 5\r\n"), Err(400));
        assert_eq!(read("Content-Length: 5\r\ncontent-length: 6\r\n"), Err(400));
        for coding in [
            ",chunked",
            "chunked,",
            "chunked, chunked",
            "xchunked",
            "\u{a0}chunked",
            "chunked;x",
            "\"chunked\"",
            "chunked x",
            "identity",
            "gzip",
            "chunked, gzip",
            "",
            "chunke",
            "xyz, chunked",
        ] {
            assert_eq!(read(&format!("Transfer-Encoding: {coding}\r\n")), Err(400), "{coding}");
        }
        assert_eq!(read("Transfer-Encoding: \x0bchunked\r\n"), Err(400));
        assert_eq!(read("Transfer-Encoding: gzip, chunked\r\n"), Err(501));
        assert_eq!(read("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), Err(400));
        for both in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "transfer-encoding: chunked\r\nCONTENT-length: 5\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
            "Transfer-Encoding: x\r\nContent-Length: 1\r\n",
        ] {
            assert_eq!(read(both), Err(400), "{both}");
        }
        refused(400, b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
    }

    #[test]
    fn persistence_and_expectations() {
        let read = |version: &str, lines: &str| {
            let head = format!("PUT / {version}\r\nHost: h\r\n{lines}\r\n");
            let head = parse_head(head.as_bytes(), &limits()).unwrap();
            (head.keep_alive, head.expects_continue)
        };
        assert_eq!(read("HTTP/1.1", ""), (true, false));
        assert_eq!(read("HTTP/1.1", "Connection: x, CLOSE\r\n"), (false, false));
        assert_eq!(read("HTTP/1.1", "Connection: x\r\nConnection: close\r\n"), (false, false));
        assert_eq!(read("HTTP/1.1", "Connection: enclose\r\n"), (true, false));
        assert_eq!(read("HTTP/1.0", ""), (false, false));
        assert_eq!(read("HTTP/1.0", "Connection: Keep-Alive\r\n"), (true, false));
        assert_eq!(read("HTTP/1.0", "Connection: keep-alive, close\r\n"), (false, false));
        assert_eq!(read("HTTP/1.1", "Expect: 100-Continue\r\nContent-Length: 1\r\n"), (true, true));
        assert_eq!(read("HTTP/1.1", "Expect: 100-continue\r\n"), (true, false));
        assert_eq!(read("HTTP/1.1", "Expect: nothing\r\nContent-Length: 1\r\n"), (true, false));
        assert_eq!(read("HTTP/1.0", "Expect: 100-continue\r\nContent-Length: 1\r\n"), (false, false));
    }

    #[test]
    fn bounds() {
        let target =
            |length: usize| format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(length - 1)).into_bytes();
        assert!(read(&target(100)).is_ok());
        refused(414, &target(101));
        refused(414, &target(2000));
        refused(414, format!("GET /{}", "x".repeat(300)).as_bytes());
        assert!(read(&with(&"A: b\r\n".repeat(39))).is_ok());
        refused(431, &with(&"A: b\r\n".repeat(40)));
        refused(431, &with(&"A: b\r\n".repeat(41)));
        refused(431, &with(&format!("A: {}\r\n", "x".repeat(2000))));
        refused(431, format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(2000)).as_bytes());
        refused(431, &b"\r\n".repeat(1001));
        let room = 2000 - with("A: \r\n").len();
        assert!(read(&with(&format!("A: {}\r\n", "x".repeat(room)))).is_ok());
        refused(431, &with(&format!("A: {}\r\n", "x".repeat(room + 1))));
        refused(501, format!("{} / HTTP/1.1\r\nHost: h\r\n\r\n", "M".repeat(65)).as_bytes());
        assert!(read(format!("{} / HTTP/1.1\r\nHost: h\r\n\r\n", "M".repeat(64)).as_bytes()).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            fuzz_head(&bytes);
        }

        #[test]
        fn nearly_heads(pieces in proptest::collection::vec(proptest::sample::select(vec![
            "GET", " ", "/", "HTTP/1.1", "HTTP/1.0", "\r\n", "\r", "\n", "Host", ":", "h", "\0", "\t", "Content-Length", "5",
            "Transfer-Encoding", "chunked", "Connection", "close", "GET / HTTP/1.1\r\nHost: h\r\n", "\r\n\r\n", "\u{e9}",
        ]), 0..20)) {
            fuzz_head(pieces.concat().as_bytes());
        }
    }
}
