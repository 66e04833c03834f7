//! The fast path: a simple GET's shape, its URL without the values, found in one pass that allocates nothing.
//! Simple is one path segment with `select`, `order`, `limit`, `offset` and plain `column=operator.value` filters. Requests
//! of one shape parse alike but for operands and range, so plan and statement can be cached by shape.
//! Must not know: headers. A caller whose request has `Range`, `Prefer`, `Accept` or a profile adds them to the key itself.
//! Invariant: a key that parsed once parses always, unless a value is no UTF-8: then its span decodes to `None`.

use std::borrow::Cow;

use super::cursor::Cursor;
use super::filter;
use super::query::decode;

/// Whether the target has a shape.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShapeScan {
    Simple,
    /// The slow path must see this request; `key` and `values` hold nothing of use.
    NotSimple,
}

/// A value of a simple request: where it stands in the target, still encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ValueSpan {
    start: u32,
    end: u32,
    pub kind: ValueKind,
}

/// Operands and lists come in the order of their slots; `limit` and `offset` have none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ValueKind {
    Operand,
    /// `(a,b)`
    List,
    /// At least 1.
    Limit,
    Offset,
}

impl ValueSpan {
    /// An operand's text.
    pub fn operand<'t>(&self, target: &'t [u8]) -> Option<Cow<'t, str>> {
        decode(self.raw(target))
    }

    /// A list's elements.
    pub fn list<'t>(&self, target: &'t [u8]) -> Option<Vec<Cow<'t, str>>> {
        let text = decode(self.raw(target))?;
        filter::list(&mut Cursor::new(&text)).ok()
    }

    /// A limit or an offset.
    pub fn number(&self, target: &[u8]) -> u64 {
        let digits = self.raw(target);
        digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit.wrapping_sub(b'0')))
    }

    fn raw<'t>(&self, target: &'t [u8]) -> &'t [u8] {
        target.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// Writes the shape of a GET's target into `key` and where its values are into `values`; both are cleared first.
pub fn scan_shape(target: &[u8], key: &mut Vec<u8>, values: &mut Vec<ValueSpan>) -> ShapeScan {
    key.clear();
    values.clear();
    match scan(target, key, values) {
        Some(()) => ShapeScan::Simple,
        None => ShapeScan::NotSimple,
    }
}

fn scan(target: &[u8], key: &mut Vec<u8>, values: &mut Vec<ValueSpan>) -> Option<()> {
    u32::try_from(target.len()).ok()?;
    let path_len = target.iter().position(|&byte| byte == b'?').unwrap_or(target.len());
    let (path, _) = target.split_at_checked(path_len)?;
    let name = path.strip_prefix(b"/")?;
    if name.is_empty() || !name.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"_-.~$".contains(&byte)) {
        return None;
    }
    key.extend_from_slice(path);
    let mut seen = Seen::default();
    let mut start = path_len + 1;
    // `/t` has no parameters; `/t?` has one empty one, which is not simple.
    while start <= target.len() {
        let (name_len, len) = measure(target.get(start..)?)?;
        parameter(target.get(start..start + len)?, name_len, start, key, values, &mut seen)?;
        start += len + 1;
    }
    Some(())
}

/// The lengths of a parameter's name and of the whole up to the next `&`. Semicolons separate parameters too: not simple.
/// One plain loop: parameters are some twenty bytes long.
fn measure(rest: &[u8]) -> Option<(usize, usize)> {
    let mut name_len = None;
    for (index, &byte) in rest.iter().enumerate() {
        match byte {
            b'&' => return Some((name_len?, index)),
            b';' => return None,
            b'=' if name_len.is_none() => name_len = Some(index),
            _ => {}
        }
    }
    Some((name_len?, rest.len()))
}

/// Which of the parameters that may stand once only were there.
#[derive(Default)]
struct Seen {
    select: bool,
    order: bool,
    limit: bool,
    offset: bool,
}

fn parameter(
    text: &[u8],
    name_len: usize,
    start: usize,
    key: &mut Vec<u8>,
    values: &mut Vec<ValueSpan>,
    seen: &mut Seen,
) -> Option<()> {
    let (name, value) = (text.get(..name_len)?, text.get(name_len + 1..)?);
    key.push(b'&');
    let span = |skipped: usize, kind| {
        let (start, end) = (u32::try_from(start + skipped).ok()?, u32::try_from(start + text.len()).ok()?);
        Some(ValueSpan { start, end, kind })
    };
    match name {
        b"select" | b"order" => {
            once(if name == b"select" { &mut seen.select } else { &mut seen.order })?;
            key.extend_from_slice(text);
        }
        b"limit" => {
            once(&mut seen.limit)?;
            // `limit=0` changes more than a number: it is an error beside an offset.
            let counts = is_number(value) && value.iter().any(|&digit| digit != b'0');
            values.push(span(name_len + 1, ValueKind::Limit).filter(|_| counts)?);
            key.extend_from_slice(b"limit=");
        }
        b"offset" => {
            once(&mut seen.offset)?;
            values.push(span(name_len + 1, ValueKind::Offset).filter(|_| is_number(value))?);
            key.extend_from_slice(b"offset=");
        }
        b"and" | b"or" | b"columns" | b"on_conflict" => return None,
        _ => {
            if name.is_empty() || !name.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return None;
            }
            let (structure, kind) = expression(value)?;
            key.extend_from_slice(text.get(..name_len + 1 + structure)?);
            if let Some(kind) = kind {
                values.push(span(name_len + 1 + structure, kind)?);
            }
        }
    }
    Some(())
}

fn once(seen: &mut bool) -> Option<()> {
    (!std::mem::replace(seen, true)).then_some(())
}

/// Up to 18 digits: they fit 64 bits.
fn is_number(text: &[u8]) -> bool {
    (1..=18).contains(&text.len()) && text.iter().all(u8::is_ascii_digit)
}

/// How many bytes of `[not.]operator.value` belong to the shape, and what kind of value follows, if any.
fn expression(text: &[u8]) -> Option<(usize, Option<ValueKind>)> {
    let after_not = text.strip_prefix(b"not.").unwrap_or(text);
    let skipped = text.len() - after_not.len();
    let operator_len = after_not.iter().position(|&byte| byte == b'.')?;
    let (operator, value) = (after_not.get(..operator_len)?, after_not.get(operator_len + 1..)?);
    let structure = skipped + operator_len + 1;
    match operator {
        b"is" => match value {
            b"null" | b"not_null" | b"true" | b"false" | b"unknown" => Some((text.len(), None)),
            _ => None,
        },
        // Between these two parentheses nothing fails to parse: see `filter::list`.
        b"in" => (value.len() >= 2 && value.starts_with(b"(") && value.ends_with(b")"))
            .then_some((structure, Some(ValueKind::List))),
        _ => takes_one_value(operator).then_some((structure, Some(ValueKind::Operand))),
    }
}

fn takes_one_value(operator: &[u8]) -> bool {
    let quantified = operator.strip_suffix(b"(any)").or_else(|| operator.strip_suffix(b"(all)"));
    let is = |(literal, _): &(super::cursor::Literal, _), word: &[u8]| literal.text.as_bytes() == word;
    match quantified {
        Some(bare) => filter::QUANTIFIED.iter().any(|known| is(known, bare)),
        None => {
            filter::QUANTIFIED.iter().any(|known| is(known, operator))
                || filter::SIMPLE.iter().any(|known| is(known, operator))
                || filter::FULL_TEXT.iter().any(|(literal, _)| literal.text.as_bytes() == operator)
                || operator == b"isdistinct"
        }
    }
}
