//! Chunked request bodies → the bytes they carry, in place: pure, resumable, strict.
//! What framing there is is cut out of the buffer as it arrives, so that a whole body ends up contiguous behind its head.
//! Invariant: the answer does not depend on how the bytes were split over calls.
//! Source: RFC 9112 §7.1, without its leniencies (blanks around the size, line ends without CR).
//! Limits: `limits::CHUNK_LINE_BYTES_MAX`, `CHUNK_EXTENSION_BYTES_MAX`, `TRAILER_BYTES_MAX`, the caller's body limit.

use memchr::{memchr, memchr2};

use super::Refusal;
use super::head::is_token_byte;
use crate::limits;

/// Whether the body is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    NeedsMore,
    /// The body is `buffer[base..base + len]`; the next request's bytes follow it.
    Complete {
        len: usize,
    },
}

/// One chunked body on its way in.
#[derive(Debug)]
pub struct ChunkedDecoder {
    expect: Expect,
    /// Bytes of the body so far: they stand at the buffer's base.
    decoded: usize,
    /// Sum of the chunk sizes so far.
    announced: usize,
    extension_bytes: usize,
    trailer_bytes: usize,
    body_bytes_max: usize,
}

#[derive(Clone, Copy, Debug)]
enum Expect {
    Size,
    Data { left: usize },
    DataEnd,
    Trailer,
}

/// What one step over the buffer found.
enum Step {
    Next(Expect),
    Wait,
    Done,
}

impl ChunkedDecoder {
    pub fn new(body_bytes_max: usize) -> Self {
        Self { expect: Expect::Size, decoded: 0, announced: 0, extension_bytes: 0, trailer_bytes: 0, body_bytes_max }
    }

    /// Takes in what was appended to `buffer` since the last call. The body begins at `base`, the same in every call.
    pub fn decode(&mut self, buffer: &mut Vec<u8>, base: usize) -> Result<Progress, Refusal> {
        let begin = base + self.decoded;
        let mut write = begin;
        let mut read = begin;
        let done = loop {
            let step = match self.expect {
                Expect::Size => self.size_line(buffer, &mut read)?,
                Expect::Data { left } => {
                    let here = left.min(buffer.len().saturating_sub(read));
                    buffer.copy_within(read..read + here, write);
                    (read, write) = (read + here, write + here);
                    self.expect = Expect::Data { left: left - here };
                    if here == left { Step::Next(Expect::DataEnd) } else { Step::Wait }
                }
                Expect::DataEnd => data_end(buffer, &mut read)?,
                Expect::Trailer => self.trailer_line(buffer, &mut read)?,
            };
            match step {
                Step::Next(expect) => self.expect = expect,
                Step::Wait => break false,
                Step::Done => break true,
            }
        };
        self.decoded = write - base;
        buffer.drain(write..read);
        Ok(if done { Progress::Complete { len: self.decoded } } else { Progress::NeedsMore })
    }

    fn size_line(&mut self, buffer: &[u8], read: &mut usize) -> Result<Step, Refusal> {
        const TOO_LONG: Refusal = Refusal::Malformed("a chunk's size line is too long");
        let Some(line) = take_line(buffer, read, limits::CHUNK_LINE_BYTES_MAX, TOO_LONG)? else {
            return Ok(Step::Wait);
        };
        let end = memchr(b';', line).unwrap_or(line.len());
        let (digits, extension) = line.split_at_checked(end).unwrap_or((line, b""));
        self.extension_bytes += extension.len();
        if self.extension_bytes > limits::CHUNK_EXTENSION_BYTES_MAX {
            return Err(Refusal::Malformed("too many chunk extensions"));
        }
        if !extension.iter().copied().all(is_text_byte) {
            return Err(Refusal::Malformed("a control character in a chunk extension"));
        }
        let size = parse_size(digits)?;
        if size == 0 {
            return Ok(Step::Next(Expect::Trailer));
        }
        let size = usize::try_from(size).map_err(|_| Refusal::BodyTooLarge)?;
        self.announced = self.announced.saturating_add(size);
        if self.announced > self.body_bytes_max {
            return Err(Refusal::BodyTooLarge);
        }
        Ok(Step::Next(Expect::Data { left: size }))
    }

    /// Trailers are checked as headers are, then forgotten.
    fn trailer_line(&mut self, buffer: &[u8], read: &mut usize) -> Result<Step, Refusal> {
        let room = limits::TRAILER_BYTES_MAX - self.trailer_bytes;
        let Some(line) = take_line(buffer, read, room, Refusal::HeadTooLarge)? else { return Ok(Step::Wait) };
        if line.is_empty() {
            return Ok(Step::Done);
        }
        self.trailer_bytes += line.len();
        let colon = memchr(b':', line).unwrap_or(0);
        let (name, value) = line.split_at_checked(colon).unwrap_or((b"", line));
        if name.is_empty() || !name.iter().copied().all(is_token_byte) || !value.iter().copied().all(is_text_byte) {
            return Err(Refusal::Malformed("a trailer is malformed"));
        }
        if FORBIDDEN_TRAILERS.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden)) {
            return Err(Refusal::Malformed("a trailer that belongs in the head"));
        }
        Ok(Step::Next(Expect::Trailer))
    }
}

/// Fields that frame, route or authenticate: behind the body they only ever try to fool somebody (RFC 9110 §6.5.1).
const FORBIDDEN_TRAILERS: [&[u8]; 10] = [
    b"content-length",
    b"transfer-encoding",
    b"host",
    b"connection",
    b"trailer",
    b"te",
    b"expect",
    b"content-type",
    b"content-encoding",
    b"authorization",
];

/// A line without its CRLF, `None` until it is whole; a line end without CR, or CR without line end, is refused.
fn take_line<'b>(
    buffer: &'b [u8],
    read: &mut usize,
    bytes_max: usize,
    too_long: Refusal,
) -> Result<Option<&'b [u8]>, Refusal> {
    let rest = buffer.get(*read..).unwrap_or_default();
    let end = memchr2(b'\r', b'\n', rest);
    if end.unwrap_or(rest.len()) > bytes_max {
        return Err(too_long);
    }
    let Some((line, ending)) = end.and_then(|end| rest.split_at_checked(end)) else { return Ok(None) };
    match ending {
        [b'\r', b'\n', ..] => {
            *read += line.len() + 2;
            Ok(Some(line))
        }
        [b'\r'] => Ok(None),
        _ => Err(Refusal::Malformed("a line of the chunked body does not end in CRLF")),
    }
}

fn data_end(buffer: &[u8], read: &mut usize) -> Result<Step, Refusal> {
    match buffer.get(*read..).unwrap_or_default() {
        [b'\r', b'\n', ..] => {
            *read += 2;
            Ok(Step::Next(Expect::Size))
        }
        [] | [b'\r'] => Ok(Step::Wait),
        _ => Err(Refusal::Malformed("a chunk is longer than its size")),
    }
}

/// 1 to 16 hexadecimal digits and nothing else.
fn parse_size(digits: &[u8]) -> Result<u64, Refusal> {
    const WRONG: Refusal = Refusal::Malformed("a chunk's size is not a hexadecimal number");
    if digits.is_empty() || digits.len() > 16 {
        return Err(WRONG);
    }
    digits.iter().try_fold(0_u64, |size, &digit| {
        let digit = char::from(digit).to_digit(16).ok_or(WRONG)?;
        Ok(size << 4 | u64::from(digit))
    })
}

fn is_text_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// Fuzzer's entry: no panic, the same body and rest however the bytes are split.
pub fn fuzz_chunked(bytes: &[u8]) {
    let mut at_once = bytes.to_vec();
    let whole = ChunkedDecoder::new(1000).decode(&mut at_once, 0);
    let mut decoder = ChunkedDecoder::new(1000);
    let mut grown = Vec::new();
    let mut split = Ok(Progress::NeedsMore);
    for (at, &byte) in bytes.iter().enumerate() {
        grown.push(byte);
        split = decoder.decode(&mut grown, 0);
        if split != Ok(Progress::NeedsMore) {
            grown.extend_from_slice(bytes.get(at + 1..).unwrap_or_default());
            break;
        }
    }
    assert_eq!(whole.is_err(), split.is_err(), "a chunked body is refused only in pieces");
    if let Ok(progress) = whole {
        assert_eq!((Ok(progress), at_once), (split, grown), "a chunked body is read differently in pieces");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Body and what is left behind it, or the refusal's status.
    type Verdict<'a> = Result<(&'a [u8], &'a [u8]), u16>;

    /// `None` where more is needed.
    fn check(input: &[u8], expect: Option<Verdict<'_>>) {
        let name = String::from_utf8_lossy(input);
        for step in [1, 2, 3, 7, input.len().max(1)] {
            let mut buffer = b"head".to_vec();
            let mut decoder = ChunkedDecoder::new(64);
            let mut found = None;
            let mut sent = 0;
            while found.is_none() && sent < input.len() {
                let end = (sent + step).min(input.len());
                buffer.extend_from_slice(&input[sent..end]);
                sent = end;
                found = match decoder.decode(&mut buffer, 4) {
                    Ok(Progress::NeedsMore) => None,
                    Ok(Progress::Complete { len }) => {
                        buffer.extend_from_slice(&input[sent..]);
                        assert_eq!(&buffer[..4], b"head");
                        Some(Ok((buffer[4..4 + len].to_vec(), buffer[4 + len..].to_vec())))
                    }
                    Err(refusal) => Some(Err(refusal.status())),
                };
            }
            let expect = expect.map(|verdict| verdict.map(|(body, rest)| (body.to_vec(), rest.to_vec())));
            assert_eq!(found, expect, "{name:?} in steps of {step}");
        }
        fuzz_chunked(input);
    }

    #[test]
    fn whole_bodies() {
        check(b"0\r\n\r\n", Some(Ok((b"", b""))));
        check(b"5\r\nhello\r\n0\r\n\r\n", Some(Ok((b"hello", b""))));
        check(b"5\r\nhello\r\n000006\r\n world\r\n0\r\n\r\nGET /", Some(Ok((b"hello world", b"GET /"))));
        check(b"a\r\n0123456789\r\nA;x=\"y z\"\r\n0123456789\r\n0\r\n\r\n", Some(Ok((b"01234567890123456789", b""))));
        check(b"2\r\n\r\n\r\n0\r\n\r\n", Some(Ok((b"\r\n", b""))));
        check(b"1\r\nx\r\n0;last\r\nX-Sum: 1\r\nx-more:\r\n\r\nrest", Some(Ok((b"x", b"rest"))));
    }

    #[test]
    fn unfinished_bodies() {
        for input in [&b""[..], b"5", b"5\r", b"5\r\nhel", b"5\r\nhello\r\n", b"5\r\nhello\r\n0\r\n", b"0\r\nX: 1\r\n"]
        {
            check(input, None);
        }
    }

    #[test]
    fn malformed_bodies() {
        for input in [
            &b"0x10\r\n"[..],
            b"+1\r\nx\r\n",
            b"-0\r\n\r\n",
            b"1_0\r\n",
            b"\r\n\r\n",
            b" 1\r\nx\r\n",
            b"1 \r\nx\r\n",
            b"1 ;x\r\nx\r\n",
            b"\t1\r\n",
            b"00000000000000001\r\nx\r\n",
            b"1g\r\n",
            b"1,\r\n",
            b"1;a\rb\r\nx\r\n",
            b"1;a\x00b\r\nx\r\n",
            b"1;\x01\r\nx\r\n",
            b"1\nx\r\n",
            b"1\r\nx\n0\r\n\r\n",
            b"1\r\nxy\r\n",
            b"1\r\nx0\r\n\r\n",
            b"1\r\nx\r\r\n",
            b"0\n\n",
            b"0\r\n\n",
            b"0\r\nX: 1\n\r\n",
            b"0\r\nContent-Length: 3\r\n\r\n",
            b"0\r\ntransfer-encoding: chunked\r\n\r\n",
            b"0\r\nHost: x\r\n\r\n",
            b"0\r\nno colon\r\n\r\n",
            b"0\r\n: empty\r\n\r\n",
            b"0\r\nX : blank\r\n\r\n",
            b"0\r\n X: led\r\n\r\n",
            b"0\r\nX: a\x00b\r\n\r\n",
            b"0\r\nX: a\rb\r\n\r\n",
            b"0\r\nGET / HTTP/1.1\r\n\r\n",
        ] {
            check(input, Some(Err(400)));
        }
    }

    #[test]
    fn bounds() {
        let mut fits = b"40\r\n".to_vec();
        fits.extend_from_slice(&[b'x'; 64]);
        fits.extend_from_slice(b"\r\n0\r\n\r\n");
        check(&fits, Some(Ok((&[b'x'; 64], b""))));
        check(b"41\r\n", Some(Err(413)));
        check(b"1\r\nx\r\n40\r\n", Some(Err(413)));
        check(b"ffffffffffffffff\r\n", Some(Err(413)));
        check(b"1\r\nx\r\nffffffffffffffff\r\n", Some(Err(413)));
        let long = [b"1;", &[b'x'; 2000][..]].concat();
        check(&long, Some(Err(400)));
        let many = [b"0\r\n".to_vec(), b"X: 0123456789\r\n".repeat(1000)].concat();
        check(&many, Some(Err(431)));
        let extended = [b"1;", &[b'x'; 1000][..], b"\r\nx\r\n"].concat().repeat(20);
        check(&extended, Some(Err(400)));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(proptest::sample::select(b"0123af;x: \r\n\r\nX\x00".to_vec()), 0..60)) {
            fuzz_chunked(&bytes);
        }
    }
}
