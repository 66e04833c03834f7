//! The fast path: a simple request's shape, its URL without the values, found in one pass that allocates nothing.
//! Simple is GET of `/relation` and GET or POST of `/rpc/routine` with `select`, `order`, `limit`, `offset`, plain
//! `column=operator.value` filters and, calling by GET, plain `argument=value`. Requests of one shape parse alike but for
//! values and range, so plan and statement can be cached by shape.
//! Must not know: headers and bodies. What of a request's `Range`, `Prefer`, `Accept`, profile or body counts, the caller adds
//! to the key itself.
//! Invariant: a key that parsed once parses always, unless a value is no UTF-8: then its span decodes to `None`.

use std::borrow::Cow;

use super::cursor::Cursor;
use super::filter;
use super::query::{Bare, decode};
use crate::http::Method;

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

/// Operands and lists come in the order of their slots, arguments in that of `Query::arguments`; `limit` and `offset` have
/// no slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ValueKind {
    Operand,
    /// `(a,b)`
    List,
    /// Of a routine.
    Argument,
    /// At least 1.
    Limit,
    Offset,
}

impl ValueSpan {
    /// An operand's or argument's text.
    pub fn text<'t>(&self, target: &'t [u8]) -> Option<Cow<'t, str>> {
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

/// Writes the shape of a GET's or POST's target into `key` and where its values are into `values`; both are cleared first.
pub fn scan_shape(method: Method<'_>, target: &[u8], key: &mut Vec<u8>, values: &mut Vec<ValueSpan>) -> ShapeScan {
    key.clear();
    values.clear();
    match scan(method, target, key, values) {
        Some(()) => ShapeScan::Simple,
        None => ShapeScan::NotSimple,
    }
}

fn scan(method: Method<'_>, target: &[u8], key: &mut Vec<u8>, values: &mut Vec<ValueSpan>) -> Option<()> {
    u32::try_from(target.len()).ok()?;
    let path_len = target.iter().position(|&byte| byte == b'?').unwrap_or(target.len());
    let (path, _) = target.split_at_checked(path_len)?;
    let name = path.strip_prefix(b"/")?;
    let (bare, name) = match (method, name.strip_prefix(b"rpc/")) {
        (Method::Get, Some(routine)) => (Bare::Argument, routine),
        (Method::Get, None) => (Bare::Refused, name),
        (Method::Post, Some(routine)) => {
            key.push(b'!');
            (Bare::Refused, routine)
        }
        _ => return None,
    };
    if name.is_empty() || !name.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"_-.~$".contains(&byte)) {
        return None;
    }
    key.extend_from_slice(path);
    let mut seen = Seen { bare, select: false, order: false, limit: false, offset: false };
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

/// Which of the parameters that may stand once only were there, and whether there may be arguments.
struct Seen {
    bare: Bare,
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
            let (structure, kind) = match (seen.bare, is_argument(value)) {
                (Bare::Argument, true) => (0, Some(ValueKind::Argument)),
                (Bare::Argument | Bare::Refused, _) => expression(value)?,
            };
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

/// Whether a value surely begins with no operator: those are words of small letters before a dot or a parenthesis.
fn is_argument(text: &[u8]) -> bool {
    let word_len = text.iter().position(|byte| !byte.is_ascii_lowercase()).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(word_len).unwrap_or_default();
    match rest {
        [b'.', ..] => !matches!(word, b"not" | b"in" | b"is") && !takes_one_value(word),
        [b'(', ..] => false,
        // Coded, one of these or another letter.
        [b'%', high, low, ..] => {
            !matches!((high, low.to_ascii_lowercase()), (b'2', b'8' | b'e') | (b'6', _) | (b'7', b'0'..=b'9' | b'a'))
        }
        _ => true,
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
