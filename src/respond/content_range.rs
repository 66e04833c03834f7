//! `Content-Range`, and the status that follows from a page and its total: 200, 206 or 416.

use std::io::Write;

use crate::error::{ApiError, Code, Details};

/// 416: the offset lies behind the last row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OffsetPastEnd {
    pub offset: u64,
    pub total: u64,
}

impl ApiError for OffsetPastEnd {
    fn code(&self) -> Code {
        Code::new("PGRST103", 416)
    }

    fn message(&self) -> String {
        "Requested range not satisfiable".to_owned()
    }

    fn details(&self) -> Option<Details> {
        let Self { offset, total } = self;
        Some(Details::Text(format!("An offset of {offset} was requested, but there are only {total} rows.")))
    }
}

/// What a counted or uncounted page is answered with (PostgREST 16, "Pagination and Count").
pub fn status(offset: u64, rows: u64, total: Option<u64>) -> u16 {
    match total {
        None => 200,
        Some(total) if offset > total => 416,
        Some(total) if rows < total => 206,
        Some(_) => 200,
    }
}

/// Appends `first-last/total`; `*` stands for an empty range and for an unknown total.
pub fn write(out: &mut Vec<u8>, offset: u64, rows: u64, total: Option<u64>) {
    if rows == 0 || total == Some(0) {
        out.push(b'*');
    } else {
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(digits.format(offset).as_bytes());
        out.push(b'-');
        out.extend_from_slice(digits.format(offset.saturating_add(rows - 1)).as_bytes());
    }
    match total {
        // Writing to a Vec can't fail.
        Some(total) => drop(write!(out, "/{total}")),
        None => out.extend_from_slice(b"/*"),
    }
}

/// The range of a body whose last row isn't known when its head goes out.
pub fn write_open(out: &mut Vec<u8>, offset: u64) {
    let _ = write!(out, "{offset}-*/*");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(offset: u64, rows: u64, total: Option<u64>, expect: (u16, &str)) {
        let mut out = Vec::new();
        write(&mut out, offset, rows, total);
        assert_eq!((status(offset, rows, total), std::str::from_utf8(&out).unwrap()), expect);
    }

    #[test]
    fn pages_and_totals() {
        check(0, 3, None, (200, "0-2/*"));
        check(0, 0, None, (200, "*/*"));
        check(5, 5, Some(20), (206, "5-9/20"));
        check(0, 20, Some(20), (200, "0-19/20"));
        check(20, 0, Some(20), (206, "*/20"));
        check(21, 0, Some(20), (416, "*/20"));
        check(0, 0, Some(0), (200, "*/0"));
        check(1, 0, Some(0), (416, "*/0"));
        check(u64::MAX, 2, None, (200, "18446744073709551615-18446744073709551615/*"));
    }
}
