//! `column=[not.]operator.operand`: the part after the `=`, and `operator.operand` inside logic trees.
//! Grammar: PostgREST docs, "Operators". Slots are given out later, by `query`, in the order of the parameters.

use std::borrow::Cow;

use super::cursor::{Cursor, Failed, Literal, Parse, literal};
use super::field::{blanks, delimiter, identifier, quoted};
use super::{Comparison, FullText, IsValue, Operand, OperandList, Quantifier, Test};

/// What ends an operand: the parameter itself, or the logic tree around it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OperandEnd {
    Input,
    Logic,
}

/// Whether the expression is negated, and its test.
pub fn expression<'r>(cursor: &mut Cursor<'_, 'r>, end: OperandEnd) -> Parse<(bool, Test<'r>)> {
    if let Some((negated, known, len)) = known_operator(cursor) {
        cursor.skip(len);
        return Ok((negated, known_test(cursor, known, end)?));
    }
    let negated = cursor.optional(negation)?.is_some();
    let test = cursor.label("operator (eq, gt, ...)", |cursor| test(cursor, end))?;
    Ok((negated, test))
}

/// `not.`
pub fn negation(cursor: &mut Cursor<'_, '_>) -> Parse<()> {
    dotted(cursor, literal!("not"))
}

/// The elements of `(a,"b,c")`.
pub fn list<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<Vec<Cow<'r, str>>> {
    blanks(cursor);
    cursor.word(literal!("("))?;
    blanks(cursor);
    let items = cursor.separated1(|cursor| cursor.word(literal!(",")), list_element)?;
    blanks(cursor);
    cursor.word(literal!(")"))?;
    blanks(cursor);
    Ok(items)
}

/// What a word before a dot can be.
enum Known {
    In,
    Is,
    IsDistinct,
    FullText(FullText),
    Comparison(Comparison),
}

/// `[not.]operator.`, and how long it is, where it has no parentheses.
fn known_operator(cursor: &Cursor<'_, '_>) -> Option<(bool, Known, usize)> {
    let text = cursor.glance()?;
    let after_not = text.strip_prefix("not.").unwrap_or(text);
    let len = after_not.bytes().take_while(u8::is_ascii_lowercase).count();
    let word = after_not.get(..len).filter(|_| after_not.get(len..).is_some_and(|after| after.starts_with('.')))?;
    let known = match word {
        "in" => Known::In,
        "is" => Known::Is,
        "isdistinct" => Known::IsDistinct,
        _ => {
            let mut comparisons = QUANTIFIED.iter().chain(&SIMPLE);
            match comparisons.find(|(literal, _)| literal.text == word) {
                Some(&(_, operator)) => Known::Comparison(operator),
                None => Known::FullText(FULL_TEXT.iter().find(|(literal, _)| literal.text == word)?.1),
            }
        }
    };
    Some((after_not.len() < text.len(), known, text.len() - after_not.len() + len + 1))
}

fn known_test<'r>(cursor: &mut Cursor<'_, 'r>, known: Known, end: OperandEnd) -> Parse<Test<'r>> {
    Ok(match known {
        Known::In => Test::In(OperandList { slot: 0, items: list(cursor)? }),
        Known::Is => Test::Is(is_value(cursor)?),
        Known::IsDistinct => Test::IsDistinct(operand(cursor, end)?),
        Known::FullText(operator) => Test::FullText { operator, language: None, operand: operand(cursor, end)? },
        Known::Comparison(operator) => Test::Compare { operator, quantifier: None, operand: operand(cursor, end)? },
    })
}

fn test<'r>(cursor: &mut Cursor<'_, 'r>, end: OperandEnd) -> Parse<Test<'r>> {
    let start = cursor.pos();
    if dotted(cursor, literal!("in")).is_ok() {
        return Ok(Test::In(OperandList { slot: 0, items: list(cursor)? }));
    }
    if dotted(cursor, literal!("is")).is_ok() {
        return is_value(cursor).map(Test::Is);
    }
    if dotted(cursor, literal!("isdistinct")).is_ok() {
        return Ok(Test::IsDistinct(operand(cursor, end)?));
    }
    for rule in [full_text, simple, quantified] {
        match cursor.attempt(|cursor| rule(cursor, end)) {
            Err(Failed) if cursor.pos() == start => {}
            done => return done,
        }
    }
    Err(Failed)
}

fn dotted(cursor: &mut Cursor<'_, '_>, word: Literal) -> Parse<()> {
    cursor.attempt(|cursor| {
        cursor.word(word)?;
        delimiter(cursor)
    })
}

fn full_text<'r>(cursor: &mut Cursor<'_, 'r>, end: OperandEnd) -> Parse<Test<'r>> {
    let operator = cursor.one_of(&FULL_TEXT)?;
    let language = cursor.optional(|cursor| cursor.attempt(|cursor| between_parentheses(cursor, identifier)))?;
    delimiter(cursor)?;
    let language = language.map(|text| Operand { slot: 0, text });
    Ok(Test::FullText { operator, language, operand: operand(cursor, end)? })
}

fn simple<'r>(cursor: &mut Cursor<'_, 'r>, end: OperandEnd) -> Parse<Test<'r>> {
    let operator = cursor.label("unknown single value operator", |cursor| cursor.one_of(&SIMPLE))?;
    delimiter(cursor)?;
    Ok(Test::Compare { operator, quantifier: None, operand: operand(cursor, end)? })
}

fn quantified<'r>(cursor: &mut Cursor<'_, 'r>, end: OperandEnd) -> Parse<Test<'r>> {
    let operator = cursor.label("unknown single value operator", |cursor| cursor.one_of(&QUANTIFIED))?;
    let quantifier = cursor.optional(|cursor| cursor.attempt(|cursor| between_parentheses(cursor, quantifier)))?;
    delimiter(cursor)?;
    Ok(Test::Compare { operator, quantifier, operand: operand(cursor, end)? })
}

fn quantifier(cursor: &mut Cursor<'_, '_>) -> Parse<Quantifier> {
    cursor.one_of(&[(literal!("any"), Quantifier::Any), (literal!("all"), Quantifier::All)])
}

fn between_parentheses<'i, 'r, T>(
    cursor: &mut Cursor<'i, 'r>,
    rule: impl FnOnce(&mut Cursor<'i, 'r>) -> Parse<T>,
) -> Parse<T> {
    cursor.word(literal!("("))?;
    let found = rule(cursor)?;
    cursor.word(literal!(")"))?;
    Ok(found)
}

fn operand<'r>(cursor: &mut Cursor<'_, 'r>, end: OperandEnd) -> Parse<Operand<'r>> {
    let text = match end {
        OperandEnd::Input => cursor.take_rest(),
        OperandEnd::Logic => logic_operand(cursor)?,
    };
    Ok(Operand { slot: 0, text })
}

/// In a logic tree an operand is quoted, an array literal without inner braces, or ends at `,` or `)`.
fn logic_operand<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<Cow<'r, str>> {
    cursor.either(
        |cursor| cursor.attempt(quoted_element),
        |cursor| cursor.either(|cursor| cursor.attempt(array_literal), |cursor| Ok(bare_element(cursor))),
    )
}

fn array_literal<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<Cow<'r, str>> {
    let start = cursor.pos();
    cursor.word(literal!("{"))?;
    cursor.many(|next| next != '{' && next != '}', &[]);
    cursor.word(literal!("}"))?;
    Ok(cursor.slice(start, cursor.pos()))
}

fn list_element<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<Cow<'r, str>> {
    cursor.either(|cursor| cursor.attempt(quoted_element), |cursor| Ok(bare_element(cursor)))
}

/// A quoted text counts as one only if the element ends with it.
fn quoted_element<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<Cow<'r, str>> {
    let text = quoted(cursor)?;
    cursor.not_followed_by(|next| next != ',' && next != ')', &[])?;
    Ok(text)
}

fn bare_element<'r>(cursor: &mut Cursor<'_, 'r>) -> Cow<'r, str> {
    let (start, end) = cursor.many(|next| next != ',' && next != ')', &[]);
    cursor.slice(start, end)
}

/// `null`, `TRUE`, … What follows the word is not looked at, as in PostgREST.
fn is_value(cursor: &mut Cursor<'_, '_>) -> Parse<IsValue> {
    cursor.label("isVal: (null, not_null, true, false, unknown)", |cursor| {
        for (word, value) in IS_VALUES {
            if cursor.attempt(|cursor| caseless(cursor, word)).is_ok() {
                return Ok(value);
            }
        }
        Err(Failed)
    })
}

fn caseless(cursor: &mut Cursor<'_, '_>, word: &str) -> Parse<()> {
    for letter in word.chars() {
        cursor.one(|next| next == letter || next == letter.to_ascii_uppercase(), &["letter"])?;
    }
    Ok(())
}

const IS_VALUES: [(&str, IsValue); 5] = [
    ("null", IsValue::Null),
    ("not_null", IsValue::NotNull),
    ("true", IsValue::True),
    ("false", IsValue::False),
    ("unknown", IsValue::Unknown),
];

/// Operators are tried in this order, the longer of two that begin alike first.
pub const FULL_TEXT: [(Literal, FullText); 4] = [
    (literal!("fts"), FullText::Fts),
    (literal!("plfts"), FullText::Plfts),
    (literal!("phfts"), FullText::Phfts),
    (literal!("wfts"), FullText::Wfts),
];

/// Comparisons that take no quantifier.
pub const SIMPLE: [(Literal, Comparison); 9] = [
    (literal!("neq"), Comparison::Neq),
    (literal!("cs"), Comparison::Contains),
    (literal!("cd"), Comparison::Contained),
    (literal!("ov"), Comparison::Overlaps),
    (literal!("sl"), Comparison::StrictlyLeft),
    (literal!("sr"), Comparison::StrictlyRight),
    (literal!("nxr"), Comparison::NotExtendsRight),
    (literal!("nxl"), Comparison::NotExtendsLeft),
    (literal!("adj"), Comparison::Adjacent),
];

/// Comparisons that take `(any)` and `(all)`.
pub const QUANTIFIED: [(Literal, Comparison); 9] = [
    (literal!("eq"), Comparison::Eq),
    (literal!("gte"), Comparison::Gte),
    (literal!("gt"), Comparison::Gt),
    (literal!("lte"), Comparison::Lte),
    (literal!("lt"), Comparison::Lt),
    (literal!("like"), Comparison::Like),
    (literal!("ilike"), Comparison::Ilike),
    (literal!("match"), Comparison::Match),
    (literal!("imatch"), Comparison::Imatch),
];
