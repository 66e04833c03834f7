//! The query string: split, percent-decoded, each key sent to its grammar; and its canonical form for Content-Location.
//! Errors come in PostgREST's order: order, and/or, columns, select, filters, on_conflict; ranges are `range`'s.
//! Must not know: routines. By GET a call's parameters whose value begins with no operator are its arguments.

use std::borrow::Cow;
use std::collections::HashSet;

use smallvec::SmallVec;

use super::complaint::Complaint;
use super::cursor::{Cursor, Failed, Parse};
use super::field::{delimiter, json_path, name, spaced};
use super::filter::{OperandEnd, expression};
use super::refusal::RequestError;
use super::{Condition, Field, Filter, Query, Targeted, Test, logic, order, select};
use crate::http::Method;

/// One `key=value` of the query string, decoded; the value is `None` where there is no `=`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parameter<'r> {
    pub key: Cow<'r, str>,
    pub value: Option<Cow<'r, str>>,
}

/// Whether a parameter without operator is a routine's argument or an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bare {
    Argument,
    Refused,
}

/// Splits at `&` and `;`, decodes `%xx` and `+`. `None` if the decoded bytes are no UTF-8.
pub fn split(query: &[u8]) -> Option<Vec<Parameter<'_>>> {
    split_into(query)
}

fn split_into<'q, L: Default + FromIterator<Parameter<'q>>>(query: &'q [u8]) -> Option<L> {
    // What ends in a separator has nothing after it; between two separators stands an empty parameter.
    if query.is_empty() {
        return Some(L::default());
    }
    let query = query.strip_suffix(b"&").or_else(|| query.strip_suffix(b";")).unwrap_or(query);
    query.split(|&byte| byte == b'&' || byte == b';').map(parameter).collect()
}

fn parameter(part: &[u8]) -> Option<Parameter<'_>> {
    let mut halves = part.splitn(2, |&byte| byte == b'=');
    let key = decode(halves.next().unwrap_or_default())?;
    let value = match halves.next() {
        Some(value) => Some(decode(value)?),
        None => None,
    };
    Some(Parameter { key, value })
}

/// Path and query string of a target: what stands before and after the first `?`.
pub fn halves(target: &[u8]) -> (&[u8], &[u8]) {
    let mut halves = target.splitn(2, |&byte| byte == b'?');
    (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
}

/// Decodes `%xx` and `+`; a `%` that no two hexadecimal digits follow stands for itself. `None` if that is no UTF-8.
pub fn decode(text: &[u8]) -> Option<Cow<'_, str>> {
    if !text.iter().any(|&byte| byte == b'%' || byte == b'+') {
        return std::str::from_utf8(text).ok().map(Cow::Borrowed);
    }
    let spaced: Vec<u8> = text.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
    String::from_utf8(percent_encoding::percent_decode(&spaced).collect()).ok().map(Cow::Owned)
}

/// Parses everything but `limit` and `offset`.
pub fn parse<'r>(parameters: &[Parameter<'r>], bare: Bare) -> Result<Query<'r>, RequestError> {
    let mut query = Query { order: orders(parameters)?, ..Query::default() };
    let mut conditions = logic_trees(parameters)?;
    query.columns = first(parameters, "columns").map(|value| names(value, COLUMNS)).transpose()?.map(sorted);
    query.select = match first(parameters, "select") {
        Some(value) => Some(whole(value, SELECT, value, select::items)?),
        None => None,
    };
    filters(parameters, bare, &mut conditions, &mut query.arguments)?;
    query.on_conflict = first(parameters, "on_conflict").map(|value| names(value, ON_CONFLICT)).transpose()?;
    conditions.sort_by_key(|&(position, _)| position);
    query.conditions = conditions.into_iter().map(|(_, condition)| condition).collect();
    query.slots = number(&mut query.conditions);
    Ok(query)
}

/// The query string with its parameters sorted by name, values of one name joined by commas, everything encoded again.
/// As in PostgREST, bytes past ASCII are taken for Latin-1 and so come out encoded twice. Empty without parameters.
pub fn canonical(target: &[u8]) -> String {
    let mut out = Vec::new();
    write_canonical(&mut out, target);
    // Nothing but ASCII is written.
    String::from_utf8(out).unwrap_or_default()
}

/// Appends what `canonical` returns; with a usual number of parameters and nothing to decode this allocates nothing.
pub fn write_canonical(out: &mut Vec<u8>, target: &[u8]) {
    let (_, query) = halves(target);
    let mut parameters: SmallVec<[Parameter<'_>; 8]> = split_into(query).unwrap_or_default();
    parameters.sort_by(|a, b| a.key.cmp(&b.key));
    let mut last: Option<&str> = None;
    for parameter in &parameters {
        let value = parameter.value.as_deref().unwrap_or_default();
        if last == Some(&*parameter.key) {
            out.push(b',');
        } else {
            if last.is_some() {
                out.push(b'&');
            }
            encode_twice(out, &parameter.key);
            out.push(b'=');
        }
        encode_twice(out, value);
        last = Some(&parameter.key);
    }
}

fn encode_twice(out: &mut Vec<u8>, text: &str) {
    const HEX: [u8; 16] = *b"0123456789ABCDEF";
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let mut rest = text.as_bytes();
    // Most of a query is plain, and whole runs of it are copied at once.
    while let Some(run) = rest.iter().position(|byte| !plain(byte)) {
        let (copied, coded) = rest.split_at_checked(run).unwrap_or((rest, &[]));
        out.extend_from_slice(copied);
        let Some((&byte, after)) = coded.split_first() else { return };
        for encoded in char::from(byte).encode_utf8(&mut [0; 4]).bytes() {
            let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'%', digit(encoded >> 4), digit(encoded & 15)]);
        }
        rest = after;
    }
    out.extend_from_slice(rest);
}

type Placed<'r> = (usize, Targeted<'r, Condition<'r>>);

fn orders<'r>(parameters: &[Parameter<'r>]) -> Result<Vec<Targeted<'r, Vec<super::OrderTerm<'r>>>>, RequestError> {
    let mut found: Vec<Targeted<'r, _>> = Vec::new();
    for (key, value) in present(parameters).filter(|(key, _)| last_word(key) == "order") {
        let (path, _) = tree_path(key)?;
        let item = whole(value, ORDER, value, order::terms)?;
        found.push(Targeted { path, item });
    }
    if found.len() > 1 {
        let mut seen = HashSet::new();
        let first: Vec<bool> = found.iter().map(|order| seen.insert(&order.path)).collect();
        let mut first = first.into_iter();
        found.retain(|_| first.next().unwrap_or(true));
    }
    Ok(found)
}

fn logic_trees<'r>(parameters: &[Parameter<'r>]) -> Result<Vec<Placed<'r>>, RequestError> {
    let mut found = Vec::new();
    for (position, parameter) in parameters.iter().enumerate() {
        let Parameter { key, value: Some(value) } = parameter else { continue };
        if !matches!(last_word(key), "and" | "or") {
            continue;
        }
        let target = whole(key, LOGIC_PATH, key, logic::key)?;
        let text = Cow::Owned(target.operator + value);
        let item = whole(&text, LOGIC_TREE, value, logic::condition)?;
        found.push((position, Targeted { path: target.path, item }));
    }
    Ok(found)
}

fn filters<'r>(
    parameters: &[Parameter<'r>],
    bare: Bare,
    conditions: &mut Vec<Placed<'r>>,
    arguments: &mut Vec<(Cow<'r, str>, Cow<'r, str>)>,
) -> Result<(), RequestError> {
    for (position, parameter) in parameters.iter().enumerate() {
        let Parameter { key, value: Some(value) } = parameter else { continue };
        if is_reserved(key) {
            continue;
        }
        let (path, field) = tree_path(key)?;
        let mut cursor = Cursor::new(value);
        match expression(&mut cursor, OperandEnd::Input) {
            Ok((negated, test)) => {
                conditions
                    .push((position, Targeted { path, item: Condition::Filter(Filter { field, negated, test }) }));
            }
            Err(Failed) if bare == Bare::Argument && cursor.pos() == 0 => arguments.push((field.name, value.clone())),
            Err(Failed) => return Err(RequestError::Query(cursor.complaint(FILTER, value))),
        }
    }
    Ok(())
}

/// `a.b.column->path`: the embed and the field in it.
pub fn tree_path<'r>(key: &Cow<'r, str>) -> Result<(Vec<Cow<'r, str>>, Field<'r>), RequestError> {
    whole(key, TREE_PATH, key, |cursor| {
        if let Some((name, "")) = cursor.plain_word() {
            return Ok((Vec::new(), Field { name: cursor.skip(name.len()), path: Vec::new() }));
        }
        let mut path = cursor.separated1(delimiter, name)?;
        let name = path.pop().ok_or(Failed)?;
        Ok((path, Field { name, path: json_path(cursor)? }))
    })
}

/// The last dot-separated word of a key, which makes it an order, a limit, a logic tree.
pub fn last_word(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// Parameters with a value, in request order.
pub fn present<'a, 'r>(parameters: &'a [Parameter<'r>]) -> impl Iterator<Item = (&'a Cow<'r, str>, &'a Cow<'r, str>)> {
    parameters.iter().filter_map(|parameter| Some((&parameter.key, parameter.value.as_ref()?)))
}

fn is_reserved(key: &str) -> bool {
    matches!(key, "select" | "columns" | "on_conflict")
        || matches!(last_word(key), "order" | "limit" | "offset" | "and" | "or")
}

/// Only the first parameter of a name counts, even if it is the one without a value.
fn first<'a, 'r>(parameters: &'a [Parameter<'r>], name: &str) -> Option<&'a Cow<'r, str>> {
    parameters.iter().find(|parameter| parameter.key == name)?.value.as_ref()
}

fn names<'r>(value: &Cow<'r, str>, what: &'static str) -> Result<Vec<Cow<'r, str>>, RequestError> {
    whole(value, what, value, |cursor| cursor.separated1(|cursor| spaced(cursor, super::cursor::literal!(",")), name))
}

/// Sorted, without repeats: PostgREST keeps a set, and its errors name the first that is wrong.
fn sorted(mut names: Vec<Cow<'_, str>>) -> Vec<Cow<'_, str>> {
    names.sort();
    names.dedup();
    names
}

/// Runs a grammar from the start of `input`. What it leaves at the end is ignored unless the grammar itself asks.
/// (The `Cow` itself is needed: it tells whether texts may borrow the request.)
#[allow(clippy::ptr_arg)]
fn whole<'i, 'r, T>(
    input: &'i Cow<'r, str>,
    what: &'static str,
    shown: &str,
    grammar: impl FnOnce(&mut Cursor<'i, 'r>) -> Parse<T>,
) -> Result<T, RequestError> {
    let mut cursor = Cursor::new(input);
    grammar(&mut cursor).map_err(|Failed| RequestError::Query(cursor.complaint(what, shown)))
}

/// Gives every operand its slot, in request order; how many there are.
fn number(conditions: &mut [Targeted<'_, Condition<'_>>]) -> u32 {
    let mut next = 0;
    for condition in conditions {
        number_condition(&mut condition.item, &mut next);
    }
    next
}

fn number_condition(condition: &mut Condition<'_>, next: &mut u32) {
    let mut take = |slot: &mut u32| {
        *slot = *next;
        *next += 1;
    };
    match condition {
        Condition::Filter(filter) => match &mut filter.test {
            Test::Compare { operand, .. } | Test::IsDistinct(operand) => take(&mut operand.slot),
            Test::In(list) => take(&mut list.slot),
            Test::Is(_) => {}
            Test::FullText { language, operand, .. } => {
                if let Some(language) = language {
                    take(&mut language.slot);
                }
                take(&mut operand.slot);
            }
        },
        Condition::Logic { operands, .. } => {
            for operand in operands {
                number_condition(operand, next);
            }
        }
    }
}

/// The refusal of a query string or body that is no UTF-8 once decoded.
pub fn not_text(part: &'static str) -> RequestError {
    RequestError::Query(Complaint {
        message: format!("failed to decode the {part}"),
        details: "the percent-decoded text is not valid UTF-8".to_owned(),
    })
}

/// Fuzz entry: a query string through every grammar, and its canonical form.
pub fn fuzz_query(bytes: &[u8]) {
    if let Some(parameters) = split(bytes) {
        let _ = parse(&parameters, Bare::Argument);
        let _ = parse(&parameters, Bare::Refused);
    }
    let target = [b"/t?", bytes].concat();
    let _ = canonical(&target);
    let (mut key, mut values) = (Vec::new(), Vec::new());
    for (method, path) in [(Method::Get, "/t?"), (Method::Get, "/rpc/f?"), (Method::Post, "/rpc/f?")] {
        let target = [path.as_bytes(), bytes].concat();
        let _ = super::shape::scan_shape(method, &target, &mut key, &mut values);
    }
}

const SELECT: &str = "failed to parse select parameter";
const COLUMNS: &str = "failed to parse columns parameter";
const ON_CONFLICT: &str = "failed to parse on_conflict parameter";
const FILTER: &str = "failed to parse filter";
const ORDER: &str = "failed to parse order";
const LOGIC_PATH: &str = "failed to parse logic path";
const LOGIC_TREE: &str = "failed to parse logic tree";
const TREE_PATH: &str = "failed to parse tree path";

#[cfg(test)]
mod tests {
    use super::fuzz_query;

    #[test]
    fn the_fuzzers_corpus_does_no_harm() {
        for query in
            ["", "&&=;", "select=a,b(c,...d!x(e))&a=eq.1&b.c=in.(1,\"2\")", "or=(a.eq.1,not.and(b.is.null", "x=%ff&%"]
        {
            fuzz_query(query.as_bytes());
        }
        fuzz_query(&[b'('; 4096]);
        fuzz_query(&(0..=255).collect::<Vec<u8>>());
    }
}
