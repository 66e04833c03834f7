//! `select=`: fields with casts, aliases and aggregates, embeds, spreads.
//! Grammar: PostgREST docs, "Vertical filtering", "Aggregate functions", "Resource embedding".

use std::borrow::Cow;

use super::cursor::{Cursor, Failed, Parse, literal};
use super::field::{blanks, field, identifier, name, spaced};
use super::{Aggregate, Field, Join, SelectField, SelectItem};

/// The items of a `select=` or of an embed's parentheses; none is allowed.
pub fn items<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<Vec<SelectItem<'r>>> {
    cursor.separated(|cursor| spaced(cursor, literal!(",")), item)
}

/// What an embed or spread says before its parentheses.
struct Head<'r> {
    alias: Option<Cow<'r, str>>,
    target: Cow<'r, str>,
    hint: Option<Cow<'r, str>>,
    join: Option<Join>,
}

fn item<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<SelectItem<'r>> {
    if let Some(len) = plain_item(cursor) {
        let field = Field { name: cursor.skip(len), path: Vec::new() };
        let field = SelectField { field, alias: None, cast: None, aggregate: None, aggregate_cast: None };
        return Ok(SelectItem::Field(field));
    }
    if let Some((target, after)) = cursor.plain_word()
        && after.starts_with('(')
        && target != "count"
    {
        let target = cursor.skip(target.len());
        return Ok(SelectItem::Embed { target, alias: None, hint: None, join: None, select: parenthesised(cursor)? });
    }
    let start = cursor.pos();
    match cursor.attempt(spread_head) {
        Ok(Head { target, hint, join, .. }) => {
            let select = parenthesised(cursor)?;
            return Ok(SelectItem::Spread { target, hint, join, select });
        }
        Err(Failed) if cursor.pos() != start => return Err(Failed),
        Err(Failed) => {}
    }
    match cursor.attempt(embed_head) {
        Ok(Head { alias, target, hint, join }) => {
            let select = parenthesised(cursor)?;
            Ok(SelectItem::Embed { target, alias, hint, join, select })
        }
        Err(Failed) if cursor.pos() != start => Err(Failed),
        Err(Failed) => select_field(cursor).map(SelectItem::Field),
    }
}

/// The length of a bare column or `*` with nothing more to it. At the end of an unclosed embed the long way is taken:
/// it notes what could have followed.
fn plain_item(cursor: &Cursor<'_, '_>) -> Option<usize> {
    let (word, after) = match cursor.glance()?.strip_prefix('*') {
        Some(after) => ("*", after),
        None => cursor.plain_word()?,
    };
    let ends = after.starts_with([',', ')']) || (after.is_empty() && !cursor.is_nested());
    ends.then_some(word.len())
}

fn parenthesised<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<Vec<SelectItem<'r>>> {
    cursor.nested(|cursor| {
        cursor.word(literal!("("))?;
        let select = items(cursor)?;
        cursor.word(literal!(")"))?;
        Ok(select)
    })
}

fn spread_head<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<Head<'r>> {
    blanks(cursor);
    cursor.word(literal!("..."))?;
    let target = name(cursor)?;
    let (hint, join) = embed_parameters(cursor)?;
    finish_head(cursor, Head { alias: None, target, hint, join })
}

fn embed_head<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<Head<'r>> {
    blanks(cursor);
    let alias = alias(cursor)?;
    let target = name(cursor)?;
    if target == "count" {
        return Err(Failed);
    }
    let (hint, join) = embed_parameters(cursor)?;
    finish_head(cursor, Head { alias, target, hint, join })
}

fn finish_head<'r>(cursor: &mut Cursor<'_, 'r>, head: Head<'r>) -> Parse<Head<'r>> {
    if !cursor.ahead(literal!("(")) {
        return Err(Failed);
    }
    blanks(cursor);
    Ok(head)
}

/// One of what may follow a `!`.
enum Parameter<'r> {
    Join(Join),
    Hint(Cow<'r, str>),
}

type HintAndJoin<'r> = (Option<Cow<'r, str>>, Option<Join>);

/// `!hint`, `!inner`, `!left`: up to two in any order, the first of a kind counts.
fn embed_parameters<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<HintAndJoin<'r>> {
    let (mut hint, mut join) = (None, None);
    for _ in 0..2 {
        match cursor.optional(embed_parameter)? {
            Some(Parameter::Hint(name)) => _ = hint.get_or_insert(name),
            Some(Parameter::Join(kind)) => _ = join.get_or_insert(kind),
            None => {}
        }
    }
    Ok((hint, join))
}

fn embed_parameter<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<Parameter<'r>> {
    cursor.word(literal!("!"))?;
    cursor.either(
        |cursor| {
            cursor.one_of(&[(literal!("left"), Join::Left), (literal!("inner"), Join::Inner)]).map(Parameter::Join)
        },
        |cursor| cursor.attempt(name).map(Parameter::Hint),
    )
}

/// `alias:`, where no second colon follows.
fn alias<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<Option<Cow<'r, str>>> {
    cursor.optional(|cursor| {
        cursor.attempt(|cursor| {
            let alias = name(cursor)?;
            cursor.word(literal!(":"))?;
            cursor.not_followed_by(|next| next == ':', &["\":\""])?;
            Ok(alias)
        })
    })
}

fn select_field<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<SelectField<'r>> {
    blanks(cursor);
    let found = cursor.either(
        |cursor| cursor.attempt(star),
        |cursor| cursor.either(|cursor| cursor.attempt(bare_count), plain_field),
    )?;
    blanks(cursor);
    Ok(found)
}

fn star<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<SelectField<'r>> {
    cursor.word(literal!("*"))?;
    field_end(cursor)?;
    Ok(SelectField { field: every_column(), alias: None, cast: None, aggregate: None, aggregate_cast: None })
}

fn bare_count<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<SelectField<'r>> {
    let alias = alias(cursor)?;
    cursor.word(literal!("count()"))?;
    let aggregate_cast = cast(cursor)?;
    field_end(cursor)?;
    Ok(SelectField { field: every_column(), alias, cast: None, aggregate: Some(Aggregate::Count), aggregate_cast })
}

fn plain_field<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<SelectField<'r>> {
    let alias = alias(cursor)?;
    let field = field(cursor)?;
    let first_cast = cast(cursor)?;
    let aggregate = cursor.optional(|cursor| cursor.attempt(aggregate))?;
    let aggregate_cast = cast(cursor)?;
    field_end(cursor)?;
    Ok(SelectField { field, alias, cast: first_cast, aggregate, aggregate_cast })
}

fn every_column<'r>() -> Field<'r> {
    Field { name: Cow::Borrowed("*"), path: Vec::new() }
}

fn cast<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<Option<Cow<'r, str>>> {
    cursor.optional(|cursor| {
        cursor.word(literal!("::"))?;
        identifier(cursor)
    })
}

fn aggregate(cursor: &mut Cursor<'_, '_>) -> Parse<Aggregate> {
    cursor.word(literal!("."))?;
    let aggregate = cursor.either(aggregate_word, |cursor| {
        cursor.one_of(&[(literal!("max"), Aggregate::Max), (literal!("min"), Aggregate::Min)])
    })?;
    cursor.word(literal!("()"))?;
    Ok(aggregate)
}

/// The three whose first letters differ: one that fits in part is not given back.
fn aggregate_word(cursor: &mut Cursor<'_, '_>) -> Parse<Aggregate> {
    cursor.either(
        |cursor| cursor.word(literal!("sum")).map(|()| Aggregate::Sum),
        |cursor| {
            cursor.either(
                |cursor| cursor.word(literal!("avg")).map(|()| Aggregate::Avg),
                |cursor| cursor.word(literal!("count")).map(|()| Aggregate::Count),
            )
        },
    )
}

fn field_end(cursor: &mut Cursor<'_, '_>) -> Parse<()> {
    let ends = cursor.ahead(literal!(")")) || cursor.ahead(literal!(",")) || cursor.at_end();
    if ends { Ok(()) } else { Err(Failed) }
}
