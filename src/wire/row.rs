//! RowDescription and DataRow over the frame's own bytes.
//! Must not know: what a column means. `json` gives the bytes their form.
//! Invariant: a `DataRow` that exists has been walked to its end, so `fields` yields exactly `field_count` fields.

use std::fmt;

/// One column of a result, as far as anyone here asks. Domains are reported by PostgreSQL as their base type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldDescription {
    pub name: String,
    pub type_oid: u32,
    pub type_modifier: i32,
}

/// The columns of a result, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RowDescription {
    pub fields: Vec<FieldDescription>,
}

/// What can be wrong with the body of a RowDescription or DataRow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowError {
    /// The body ends inside a field or before the last one.
    Truncated,
    /// Bytes are left after the last field.
    TrailingBytes,
    /// A negative number of fields, or a length below -1.
    Negative,
}

impl fmt::Display for RowError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Truncated => "the row message ends too early",
            Self::TrailingBytes => "the row message has bytes after its last field",
            Self::Negative => "the row message has a negative length or count",
        })
    }
}

impl std::error::Error for RowError {}

impl RowDescription {
    /// Parses the body (after tag and length) of a RowDescription message.
    pub fn parse(body: &[u8]) -> Result<Self, RowError> {
        let (count, mut rest) = count(body)?;
        // A field takes 19 bytes at least, so a lying count can't reserve more than the body is worth.
        let mut fields = Vec::with_capacity(usize::from(count).min(rest.len() / 19));
        for _ in 0..count {
            let end = memchr::memchr(0, rest).ok_or(RowError::Truncated)?;
            let (name, after) = rest.split_at_checked(end).ok_or(RowError::Truncated)?;
            let after = after.get(1..).ok_or(RowError::Truncated)?;
            // relation oid (4), attribute number (2), type oid (4), type size (2), type modifier (4), format (2)
            let (numbers, after) = after.split_first_chunk::<18>().ok_or(RowError::Truncated)?;
            let &[_, _, _, _, _, _, t0, t1, t2, t3, _, _, m0, m1, m2, m3, _, _] = numbers;
            fields.push(FieldDescription {
                name: String::from_utf8_lossy(name).into_owned(),
                type_oid: u32::from_be_bytes([t0, t1, t2, t3]),
                type_modifier: i32::from_be_bytes([m0, m1, m2, m3]),
            });
            rest = after;
        }
        if rest.is_empty() { Ok(Self { fields }) } else { Err(RowError::TrailingBytes) }
    }
}

/// One row: the body of a DataRow message, checked, borrowed from the read buffer.
#[derive(Clone, Copy, Debug)]
pub struct DataRow<'a> {
    count: u16,
    fields: &'a [u8],
}

impl<'a> DataRow<'a> {
    /// Checks the body (after tag and length) of a DataRow message. Allocates nothing.
    pub fn parse(body: &'a [u8]) -> Result<Self, RowError> {
        let (count, fields) = count(body)?;
        let mut rest = fields;
        for _ in 0..count {
            (_, rest) = field(rest)?;
        }
        if rest.is_empty() { Ok(Self { count, fields }) } else { Err(RowError::TrailingBytes) }
    }

    pub fn field_count(&self) -> usize {
        usize::from(self.count)
    }

    /// The fields in order; `None` is SQL NULL.
    pub fn fields(&self) -> Fields<'a> {
        Fields { rest: self.fields }
    }
}

/// Iterator over a row's fields.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let (field, rest) = field(self.rest).ok()?;
        self.rest = rest;
        Some(field)
    }
}

fn count(body: &[u8]) -> Result<(u16, &[u8]), RowError> {
    let (bytes, rest) = body.split_first_chunk::<2>().ok_or(RowError::Truncated)?;
    let count = u16::try_from(i16::from_be_bytes(*bytes)).map_err(|_| RowError::Negative)?;
    Ok((count, rest))
}

/// The first field of `rest` and what follows it.
#[inline]
fn field(rest: &[u8]) -> Result<(Option<&[u8]>, &[u8]), RowError> {
    let (bytes, rest) = rest.split_first_chunk::<4>().ok_or(RowError::Truncated)?;
    match i32::from_be_bytes(*bytes) {
        -1 => Ok((None, rest)),
        len => {
            let len = usize::try_from(len).map_err(|_| RowError::Negative)?;
            let (value, rest) = rest.split_at_checked(len).ok_or(RowError::Truncated)?;
            Ok((Some(value), rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(fields: &[Option<&[u8]>]) -> Vec<u8> {
        let mut body = i16::try_from(fields.len()).unwrap().to_be_bytes().to_vec();
        for field in fields {
            match field {
                None => body.extend_from_slice(&(-1i32).to_be_bytes()),
                Some(value) => {
                    body.extend_from_slice(&i32::try_from(value.len()).unwrap().to_be_bytes());
                    body.extend_from_slice(value);
                }
            }
        }
        body
    }

    #[test]
    fn rows() {
        fn check(body: &[u8], expect: Result<Vec<Option<&[u8]>>, RowError>) {
            let got = DataRow::parse(body).map(|row| {
                assert_eq!(row.field_count(), row.fields().count());
                row.fields().collect::<Vec<_>>()
            });
            assert_eq!(got, expect, "{body:?}");
        }
        check(&encode(&[]), Ok(vec![]));
        check(&encode(&[Some(b"ab"), None, Some(b"")]), Ok(vec![Some(b"ab"), None, Some(b"")]));
        check(b"", Err(RowError::Truncated));
        check(b"\0", Err(RowError::Truncated));
        check(b"\0\x01", Err(RowError::Truncated));
        check(b"\0\x01\0\0\0", Err(RowError::Truncated));
        check(b"\0\x01\0\0\0\x02a", Err(RowError::Truncated));
        check(b"\0\x01\0\0\0\x01ab", Err(RowError::TrailingBytes));
        check(b"\0\0a", Err(RowError::TrailingBytes));
        check(b"\xff\xff", Err(RowError::Negative));
        check(b"\0\x01\xff\xff\xff\xfe", Err(RowError::Negative));
        check(b"\0\x01\x7f\xff\xff\xff", Err(RowError::Truncated));
        check(b"\x7f\xff", Err(RowError::Truncated));
    }

    #[test]
    fn descriptions() {
        let mut body = vec![0, 2];
        for (name, oid) in [("id", 23u32), ("näme", 25)] {
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(&[0, 0, 0, 0, 9, 0, 1]);
            body.extend_from_slice(&oid.to_be_bytes());
            body.extend_from_slice(&[0, 4, 0xff, 0xff, 0xff, 0xff, 0, 0]);
        }
        let description = RowDescription::parse(&body).unwrap();
        assert_eq!(description.fields.len(), 2);
        assert_eq!(description.fields[1], FieldDescription { name: "näme".into(), type_oid: 25, type_modifier: -1 });
        for cut in 0..body.len() {
            assert_eq!(RowDescription::parse(&body[..cut]), Err(RowError::Truncated), "{cut}");
        }
        body.push(0);
        assert_eq!(RowDescription::parse(&body), Err(RowError::TrailingBytes));
        assert_eq!(RowDescription::parse(b"\x80\0"), Err(RowError::Negative));
        assert_eq!(RowDescription::parse(b"\x7f\xff"), Err(RowError::Truncated));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read(fields in proptest::collection::vec(any::<Option<Vec<u8>>>(), 0..20)) {
            let fields: Vec<_> = fields.iter().map(|field| field.as_deref()).collect();
            let body = encode(&fields);
            prop_assert_eq!(DataRow::parse(&body).unwrap().fields().collect::<Vec<_>>(), fields);
            for cut in 0..body.len() {
                prop_assert!(DataRow::parse(&body[..cut]).is_err());
            }
        }

        #[test]
        fn any_bytes_are_survived(body in any::<Vec<u8>>()) {
            let _ = RowDescription::parse(&body);
            if let Ok(row) = DataRow::parse(&body) {
                prop_assert_eq!(row.fields().count(), row.field_count());
            }
        }
    }
}
