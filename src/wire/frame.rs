//! Bytes from the server → frames, borrowed where they lie. Pure and resumable: a frame that is not whole yet is asked
//! for again once more bytes are there.
//! Limits: `limits::FRAME_BYTES_MAX`.

use std::ops::Range;

use super::WireError;
use crate::limits;

/// Where one whole message lies in the read buffer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FrameSpan {
    pub tag: u8,
    pub body: Range<usize>,
}

/// Tag and length.
const HEADER_BYTES: usize = 5;

/// The frame that begins at `begin`; `None` while it is not whole.
#[inline]
pub fn next_frame(buffer: &[u8], begin: usize) -> Result<Option<FrameSpan>, WireError> {
    let Some([tag, length @ ..]) = buffer.get(begin..).and_then(|rest| rest.first_chunk::<HEADER_BYTES>()) else {
        return Ok(None);
    };
    // The length counts itself; a negative one is too large.
    let length = u32::from_be_bytes(*length) as usize;
    if length > limits::FRAME_BYTES_MAX {
        return Err(WireError::FrameTooLarge { bytes: length });
    }
    if length < 4 {
        return Err(WireError::Protocol("message length below its own size"));
    }
    let end = begin + 1 + length;
    if end > buffer.len() {
        return Ok(None);
    }
    Ok(Some(FrameSpan { tag: *tag, body: begin + HEADER_BYTES..end }))
}

/// How long the frame at the buffer's begin is, header and all, as far as its header is there.
pub fn announced(buffer: &[u8]) -> Option<usize> {
    let [_, length @ ..] = buffer.first_chunk::<HEADER_BYTES>()?;
    Some(1 + u32::from_be_bytes(*length) as usize)
}

/// Reads the fields of one frame's body; every read fails rather than pass the end.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub fn new(body: &'a [u8]) -> Self {
        Self(body)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub fn i16(&mut self) -> Option<i16> {
        self.chunk().map(i16::from_be_bytes)
    }

    pub fn i32(&mut self) -> Option<i32> {
        self.chunk().map(i32::from_be_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_be_bytes)
    }

    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    /// Up to the next zero byte, which is skipped.
    pub fn string(&mut self) -> Option<&'a [u8]> {
        let end = memchr::memchr(0, self.0)?;
        let text = self.bytes(end)?;
        self.u8()?;
        Some(text)
    }

    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }
}

/// Fuzz entry: walks any bytes as frames and decodes each as whatever its tag says.
pub fn fuzz_frames(bytes: &[u8]) {
    let mut begin = 0;
    while let Ok(Some(frame)) = next_frame(bytes, begin) {
        let body = bytes.get(frame.body.clone()).unwrap_or_default();
        match frame.tag {
            b'D' => {
                if let Ok(row) = super::row::DataRow::parse(body) {
                    let width = row.fields().count();
                    assert!(width <= body.len());
                }
            }
            b'T' => drop(super::row::RowDescription::parse(body)),
            b'E' | b'N' => drop(super::db_error::DbError::parse(body)),
            b'Z' => drop(super::TransactionStatus::parse(body)),
            _ => drop(Cursor::new(body).string()),
        }
        assert!(frame.body.end > begin);
        begin = frame.body.end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(bytes: &[u8], expect: Result<Option<(u8, Range<usize>)>, &str>) {
        let got = next_frame(bytes, 0).map(|frame| frame.map(|frame| (frame.tag, frame.body)));
        match (got, expect) {
            (Ok(got), Ok(expect)) => assert_eq!(got, expect),
            (Err(got), Err(expect)) => assert!(got.to_string().contains(expect), "{got}"),
            (got, expect) => panic!("{got:?} is not {expect:?}"),
        }
    }

    #[test]
    fn frames_are_found_whole_or_not_at_all() {
        check(b"", Ok(None));
        check(b"Z\0\0\0", Ok(None));
        check(b"Z\0\0\0\x05", Ok(None));
        check(b"Z\0\0\0\x05I", Ok(Some((b'Z', 5..6))));
        check(b"1\0\0\0\x04", Ok(Some((b'1', 5..5))));
        check(b"1\0\0\0\x03", Err("below its own size"));
        check(b"1\0\0\0\0", Err("below its own size"));
        check(b"D\xff\xff\xff\xff", Err("4294967295 bytes"));
        check(b"D\x7f\xff\xff\xff", Err("2147483647 bytes"));
    }

    fn frames() -> impl Strategy<Value = Vec<u8>> {
        let body = prop::collection::vec(any::<u8>(), 0..40);
        let frame = (prop::sample::select(&b"DTENZSA123CInst"[..]), body);
        prop::collection::vec(frame, 0..8).prop_map(|frames| {
            let mut bytes = Vec::new();
            for (tag, body) in frames {
                bytes.push(tag);
                bytes.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
                bytes.extend_from_slice(&body);
            }
            bytes
        })
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            fuzz_frames(&bytes);
        }

        #[test]
        fn any_bodies_are_survived(bytes in frames()) {
            fuzz_frames(&bytes);
        }

        #[test]
        fn a_cut_never_changes_a_frame(bytes in frames(), cut in any::<prop::sample::Index>()) {
            let cut = cut.index(bytes.len() + 1);
            let whole = next_frame(&bytes, 0).unwrap();
            let part = next_frame(&bytes[..cut], 0).unwrap();
            prop_assert!(part.is_none() || part == whole);
        }
    }
}
