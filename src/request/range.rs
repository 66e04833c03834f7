//! `limit`, `offset` and the `Range` header → rows wanted.
//! The rules are those of PostgREST's integer ranges: numbers that don't parse are ignored, a negative offset is 0 at the
//! root, an empty range is 416 unless it is plain `limit=0`.

use std::borrow::Cow;
use std::collections::HashMap;

use super::query::{Parameter, last_word, present, tree_path};
use super::refusal::{RangeFault, RequestError};
use super::{RowRange, Targeted};
use crate::http::{Headers, Method};

/// First and last row, both counted from 0; without `last` the range is open. Empty if `last < first`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Rows {
    first: i128,
    last: Option<i128>,
}

const ALL: Rows = Rows { first: 0, last: None };

impl Rows {
    fn is_empty(self) -> bool {
        self.last.is_some_and(|last| last < self.first)
    }

    fn intersect(self, other: Self) -> Self {
        let last = match (self.last, other.last) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, None) | (None, one) => one,
        };
        Self { first: self.first.max(other.first), last }
    }

    /// `limit=0`, alone or with an offset that cancels out.
    fn is_limit_zero(self) -> bool {
        self.last == Some(-1)
    }

    fn wanted(self) -> RowRange {
        let limit = self.last.map(|last| last - self.first + 1);
        RowRange { offset: clamp(self.first), limit }
    }
}

/// The ranges by embed path, and the root's with the `Range` header counted in.
pub struct Ranges<'r> {
    pub root: RowRange,
    pub by_path: Vec<Targeted<'r, RowRange>>,
}

/// Reads the parameters and, for GET, the header.
pub fn parse<'r>(
    parameters: &[Parameter<'r>],
    method: Method<'_>,
    headers: &Headers<'_>,
) -> Result<Ranges<'r>, RequestError> {
    let limits = collect(parameters);
    let asked = limits.iter().find(|(prefix, _)| prefix.is_none()).map_or(ALL, |&(_, rows)| rows);
    let header = match method {
        Method::Get => headers.first("range").map_or(ALL, header_rows),
        Method::Head
        | Method::Post
        | Method::Put
        | Method::Patch
        | Method::Delete
        | Method::Options
        | Method::Other(_) => ALL,
    };
    let root = if asked.is_limit_zero() { Rows { first: 0, last: Some(-1) } } else { header.intersect(asked) };
    if (root.is_empty() || asked.is_empty()) && !asked.is_limit_zero() {
        let fault = if header.is_empty() { RangeFault::LowerAboveUpper } else { RangeFault::NegativeLimit };
        return Err(RequestError::Range(fault));
    }
    if method == Method::Put && root != ALL {
        return Err(RequestError::PutRange);
    }
    let mut by_path = Vec::with_capacity(limits.len());
    for (prefix, rows) in limits {
        let path = match prefix {
            Some(key) => tree_path(key)?.0,
            None => Vec::new(),
        };
        by_path.push(Targeted { path, item: rows.wanted() });
    }
    Ok(Ranges { root: root.wanted(), by_path })
}

/// Limit and offset of one embed, before they are joined.
struct Asked<'a, 'r> {
    /// The key that named the embed; `None` for the root.
    key: Option<&'a Cow<'r, str>>,
    limit: Option<Option<i128>>,
    offset: Option<i128>,
}

/// One range a place (what stands before `limit` or `offset` in the key); the last parameter of a kind counts.
fn collect<'a, 'r>(parameters: &'a [Parameter<'r>]) -> Vec<(Option<&'a Cow<'r, str>>, Rows)> {
    let mut asked: Vec<Asked<'a, 'r>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (key, value) in present(parameters) {
        let word = last_word(key);
        if word != "limit" && word != "offset" {
            continue;
        }
        let prefix = key.get(..key.len() - word.len()).unwrap_or_default();
        let index = *places.entry(prefix).or_insert_with(|| {
            let key = (!prefix.is_empty()).then_some(key);
            asked.push(Asked { key, limit: None, offset: None });
            asked.len() - 1
        });
        let Some(place) = asked.get_mut(index) else { continue };
        match word {
            "limit" => place.limit = Some(integer(value)),
            _ => place.offset = Some(integer(value).unwrap_or(0)),
        }
    }
    asked.into_iter().map(|place| (place.key, place.rows())).collect()
}

impl Asked<'_, '_> {
    fn rows(&self) -> Rows {
        let first = self.offset.unwrap_or(0);
        let last = match (self.limit, self.offset) {
            (None, _) => None,
            (Some(limit), None) => limit.map(|limit| limit - 1),
            // Joined with an offset, an unreadable limit counts as 0 in PostgREST.
            (Some(limit), Some(_)) => Some(first + limit.unwrap_or(0) - 1),
        };
        Rows { first, last }
    }
}

/// `a-b` or `a-`; anything else is no range at all.
fn header_rows(value: &[u8]) -> Rows {
    let Ok(text) = std::str::from_utf8(value) else { return ALL };
    let Some((first, last)) = text.split_once('-') else { return ALL };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if first.is_empty() || !digits(first) || !digits(last) {
        return ALL;
    }
    Rows { first: integer(first).unwrap_or(0), last: integer(last) }
}

/// An integer as Haskell reads one: blanks and parentheses around it, a minus sign, hexadecimal or octal digits.
fn integer(text: &str) -> Option<i128> {
    let mut text = text.trim();
    while let Some(inner) = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) {
        text = inner.trim();
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest.trim_start()),
        None => (1, text),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, digits.get(2..)?),
        Some("0o" | "0O") => (8, digits.get(2..)?),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).unwrap_or(INTEGER_MAX).min(INTEGER_MAX);
    Some(sign * value)
}

/// Of what is larger PostgreSQL's refusal names this: sums of such numbers still fit.
const INTEGER_MAX: i128 = 10_i128.pow(37);

fn clamp(value: i128) -> u64 {
    u64::try_from(value.max(0)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::query;

    fn check(method: Method<'_>, query: &str, header: Option<&str>, expect: Result<(u64, Option<i128>), RequestError>) {
        let parameters = query::split(query.as_bytes()).unwrap();
        let mut headers = Headers::default();
        headers.fields.extend(header.map(|value| ("Range", value.as_bytes())));
        let found = parse(&parameters, method, &headers).map(|ranges| (ranges.root.offset, ranges.root.limit));
        assert_eq!(found, expect, "{method:?} {query} {header:?}");
    }

    #[test]
    fn root_ranges() {
        let negative = || Err(RequestError::Range(RangeFault::NegativeLimit));
        let crossed = || Err(RequestError::Range(RangeFault::LowerAboveUpper));
        for (query, header, expect) in [
            ("", None, Ok((0, None))),
            ("limit=5", None, Ok((0, Some(5)))),
            ("limit=5&offset=10", None, Ok((10, Some(5)))),
            ("offset=10&limit=5&limit=6", None, Ok((10, Some(6)))),
            ("limit=x", None, Ok((0, None))),
            ("offset=-3", None, Ok((0, None))),
            ("offset=-3&limit=5", None, Ok((0, Some(2)))),
            ("limit=0", None, Ok((0, Some(0)))),
            ("limit=0", Some("3-4"), Ok((0, Some(0)))),
            ("limit=0&offset=2", None, negative()),
            ("limit=-1", None, negative()),
            ("limit=2", Some("5-6"), negative()),
            ("", Some("5-2"), crossed()),
            ("", Some("2-5"), Ok((2, Some(4)))),
            ("", Some("2-"), Ok((2, None))),
            ("limit=3", Some("2-9"), Ok((2, Some(1)))),
            ("", Some("items=0-5"), Ok((0, None))),
            ("", Some("-5"), Ok((0, None))),
            ("limit=(7)", None, Ok((0, Some(7)))),
            ("limit=0x10", None, Ok((0, Some(16)))),
            ("limit=99999999999999999999", None, Ok((0, Some(99_999_999_999_999_999_999)))),
        ] {
            check(Method::Get, query, header, expect);
        }
    }

    #[test]
    fn ranges_of_embeds() {
        let check = |query: &str, expect: (u64, Option<i128>)| {
            let parameters = query::split(query.as_bytes()).unwrap();
            let ranges = parse(&parameters, Method::Get, &Headers::default()).unwrap();
            let [range] = ranges.by_path.as_slice() else { panic!("one range: {query}") };
            assert_eq!((range.item.offset, range.item.limit), expect, "{query}");
        };
        check("crew.limit=3", (0, Some(3)));
        check("crew.offset=2&crew.limit=3", (2, Some(3)));
        // PostgreSQL refuses it.
        check("crew.limit=-1", (0, Some(-1)));
        check("crew.offset=-1", (0, None));
        check("crew.limit=x", (0, None));
        let nines = "9".repeat(50);
        check(&format!("crew.limit={nines}&crew.offset={nines}"), (u64::MAX, Some(INTEGER_MAX)));
        check(&format!("crew.limit=-{nines}"), (0, Some(-INTEGER_MAX)));
    }

    #[test]
    fn the_header_counts_for_get_only() {
        check(Method::Head, "", Some("5-2"), Ok((0, None)));
        check(Method::Put, "limit=1", None, Err(RequestError::PutRange));
        check(Method::Put, "id=eq.1", Some("1-2"), Ok((0, None)));
    }
}
