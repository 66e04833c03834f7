//! `and=(…)` and `or=(…)`: trees of filters on the root or on an embed.
//! Grammar: PostgREST docs, "Logical operators".

use std::borrow::Cow;

use super::cursor::{Cursor, Failed, Parse, literal};
use super::field::{delimiter, field, name, spaced};
use super::filter::{OperandEnd, expression, negation};
use super::{Condition, Field, Filter, LogicOperator};

/// What a key such as `a.b.not.or` says: whose tree it is, and the words to put before the value.
pub struct LogicKey<'r> {
    pub path: Vec<Cow<'r, str>>,
    pub operator: String,
}

/// `and`, `not.or`, `embed.or`. A `not` anywhere in the path negates.
pub fn key<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<LogicKey<'r>> {
    let mut path = cursor.separated1(delimiter, name)?;
    let operator = match path.iter().any(|part| part == "not") {
        true => "not.",
        false => "",
    };
    let operator = format!("{operator}{}", path.pop().unwrap_or_default());
    path.retain(|part| part != "not");
    Ok(LogicKey { path, operator })
}

/// A filter or a nested tree.
pub fn condition<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<Condition<'r>> {
    cursor.either(|cursor| cursor.attempt(filter).map(Condition::Filter), tree)
}

fn filter<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<Filter<'r>> {
    let field = match cursor.plain_word() {
        Some((name, after)) if after.starts_with('.') => Field { name: cursor.skip(name.len()), path: Vec::new() },
        _ => field(cursor)?,
    };
    delimiter(cursor)?;
    let (negated, test) = expression(cursor, OperandEnd::Logic)?;
    Ok(Filter { field, negated, test })
}

fn tree<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<Condition<'r>> {
    let negated = cursor.label("negation operator (not)", |cursor| cursor.optional(negation))?.is_some();
    let operator = cursor.label("logic operator (and, or)", operator)?;
    cursor.nested(|cursor| {
        spaced(cursor, literal!("("))?;
        let operands = cursor.separated1(|cursor| spaced(cursor, literal!(",")), condition)?;
        spaced(cursor, literal!(")"))?;
        Ok(Condition::Logic { negated, operator, operands })
    })
}

fn operator(cursor: &mut Cursor<'_, '_>) -> Parse<LogicOperator> {
    let start = cursor.pos();
    match cursor.attempt(|cursor| cursor.word(literal!("and"))) {
        Ok(()) => Ok(LogicOperator::And),
        Err(Failed) if cursor.pos() == start => cursor.word(literal!("or")).map(|()| LogicOperator::Or),
        Err(Failed) => Err(Failed),
    }
}
