//! Results that are no rows for the row writer: a body made in SQL, the counts that answer HEAD, an execution plan.

use std::rc::Rc;

use super::ServeError;
use super::answer::{Counted, Counts};
use super::transaction::Sink;
use crate::catalog::pg_type::BYTEA;
use crate::http::Reply;
use crate::respond::failure::Failure;
use crate::sql::Leading;
use crate::wire::row::{DataRow, RowDescription};

/// What follows the leading columns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rest {
    /// The finished body, one field.
    Body,
    Nothing,
    /// Values that are kept.
    Fields,
    /// One line a row.
    Lines,
}

#[derive(Debug)]
pub struct Cells<'j> {
    pub leading: &'j [Leading],
    pub rest: Rest,
    pub body_bytes_max: usize,
    /// Rows of the page, as a leading column told.
    pub count: u64,
    pub total: Option<u64>,
    /// What `Rest::Fields` kept.
    pub fields: Vec<Option<Vec<u8>>>,
    body_form: BodyForm,
}

/// How PostgreSQL writes the body's type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum BodyForm {
    Text,
    /// As hexadecimal digits or with escapes (`bytea_output`).
    Bytea,
}

impl<'j> Cells<'j> {
    pub fn new(leading: &'j [Leading], rest: Rest, body_bytes_max: usize) -> Self {
        Self { leading, rest, body_bytes_max, count: 0, total: None, fields: Vec::new(), body_form: BodyForm::Text }
    }
}

impl Sink for Cells<'_> {
    fn columns(&mut self, fields: &Rc<RowDescription>) -> Result<(), ServeError> {
        let body = fields.fields.get(self.leading.len());
        self.body_form = match body {
            Some(field) if field.type_oid == BYTEA => BodyForm::Bytea,
            Some(_) | None => BodyForm::Text,
        };
        Ok(())
    }

    fn row(&mut self, row: DataRow<'_>, reply: &mut Reply) -> Result<(), ServeError> {
        let mut fields = row.fields();
        for leading in self.leading {
            let number = fields.next().flatten().and_then(parse_count);
            match leading {
                Leading::Total => self.total = number,
                Leading::PageTotal => self.count = number.unwrap_or(0),
                Leading::Presence => {}
            }
        }
        match self.rest {
            Rest::Nothing => {}
            Rest::Fields => self.fields.extend(fields.map(|field| field.map(<[u8]>::to_vec))),
            Rest::Body => {
                let body = fields.next().flatten().unwrap_or_default();
                match self.body_form {
                    BodyForm::Text => reply.body().extend_from_slice(body),
                    BodyForm::Bytea => write_bytea(reply.body(), body),
                }
            }
            Rest::Lines => {
                reply.body().extend_from_slice(fields.next().flatten().unwrap_or_default());
                reply.body().push(b'\n');
            }
        }
        Ok(())
    }

    async fn pause(&mut self, reply: &mut Reply) -> Result<(), ServeError> {
        if reply.body_len() > self.body_bytes_max {
            return Err(ServeError::Failure(Failure::ResponseTooLarge { bytes_max: self.body_bytes_max }));
        }
        Ok(())
    }
}

/// The bytes that a bytea's text stands for.
fn write_bytea(out: &mut Vec<u8>, text: &[u8]) {
    let Some(digits) = text.strip_prefix(b"\\x") else { return write_unescaped(out, text) };
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20).wrapping_sub(b'a').wrapping_add(10) & 15,
    };
    let pairs = digits.chunks_exact(2);
    out.extend(pairs.map(|pair| pair.iter().fold(0u8, |byte, &digit| byte << 4 | nibble(digit))));
}

/// `\\` is a backslash, `\nnn` the byte of that octal number.
fn write_unescaped(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'\\', [b'\\', after @ ..]) => {
                out.push(b'\\');
                rest = after;
            }
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                out.push((a & 3) << 6 | (b & 7) << 3 | (c & 7));
                rest = after;
            }
            _ => out.push(byte),
        }
    }
}

fn parse_count(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

impl Counts for Cells<'_> {
    fn counted(&self) -> Counted {
        Counted { rows: self.count, total: self.total }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn bytea_in_both_of_its_texts() {
        let check = |text: &[u8], expect: &[u8]| {
            let mut out = Vec::new();
            super::write_bytea(&mut out, text);
            assert_eq!(out, expect, "{text:?}");
        };
        check(b"\\x00ff1A", &[0, 255, 26]);
        check(b"\\x", b"");
        check(b"\\x0", b"");
        check(b"a\\\\b\\377\\000", b"a\\b\xff\x00");
        check(b"a\\9", b"a\\9");
    }
}
