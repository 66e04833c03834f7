//! `order=`: terms with direction and place of nulls, on own columns or a to-one embed's.
//! Grammar: PostgREST docs, "Ordering", "Order by an embedded resource".

use super::cursor::{Cursor, Failed, Parse, literal};
use super::field::{blanks, delimiter, field, name};
use super::{Direction, Field, Nulls, OrderTerm};

/// One or more terms.
pub fn terms<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<Vec<OrderTerm<'r>>> {
    cursor.separated1(
        |cursor| cursor.word(literal!(",")),
        |cursor| {
            if let Some((len, modifier)) = plain_term(cursor) {
                let field = Field { name: cursor.skip(len), path: Vec::new() };
                if let Some((_, len)) = modifier {
                    cursor.skip(len);
                }
                return Ok(OrderTerm::Field {
                    field,
                    direction: modifier.map(|(direction, _)| direction),
                    nulls: None,
                });
            }
            blanks(cursor);
            let term = cursor.either(|cursor| cursor.attempt(related), own)?;
            blanks(cursor);
            Ok(term)
        },
    )
}

/// The length of a bare column, and of the direction after it, where nothing more follows.
fn plain_term(cursor: &Cursor<'_, '_>) -> Option<(usize, Option<(Direction, usize)>)> {
    let (word, after) = cursor.plain_word()?;
    let (modifier, after) = match (after.strip_prefix(".asc"), after.strip_prefix(".desc")) {
        (Some(after), _) => (Some((Direction::Asc, ".asc".len())), after),
        (_, Some(after)) => (Some((Direction::Desc, ".desc".len())), after),
        (None, None) => (None, after),
    };
    (after.is_empty() || after.starts_with(',')).then_some((word.len(), modifier))
}

fn own<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<OrderTerm<'r>> {
    let field = field(cursor)?;
    let (direction, nulls) = modifiers(cursor)?;
    Ok(OrderTerm::Field { field, direction, nulls })
}

fn related<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<OrderTerm<'r>> {
    let relation = name(cursor)?;
    cursor.word(literal!("("))?;
    let field = field(cursor)?;
    cursor.word(literal!(")"))?;
    let (direction, nulls) = modifiers(cursor)?;
    Ok(OrderTerm::Related { relation, field, direction, nulls })
}

fn modifiers(cursor: &mut Cursor<'_, '_>) -> Parse<(Option<Direction>, Option<Nulls>)> {
    const DIRECTIONS: [(super::cursor::Literal, Direction); 2] =
        [(literal!("asc"), Direction::Asc), (literal!("desc"), Direction::Desc)];
    const NULLS: [(super::cursor::Literal, Nulls); 2] =
        [(literal!("nullsfirst"), Nulls::First), (literal!("nullslast"), Nulls::Last)];
    let direction = after_delimiter(cursor, &DIRECTIONS);
    let nulls = after_delimiter(cursor, &NULLS);
    let ends = cursor.ahead(literal!(",")) || cursor.at_end();
    if ends { Ok((direction, nulls)) } else { Err(Failed) }
}

fn after_delimiter<T: Copy>(cursor: &mut Cursor<'_, '_>, choices: &[(super::cursor::Literal, T)]) -> Option<T> {
    choices.iter().find_map(|&(literal, value)| {
        let found = cursor.attempt(|cursor| {
            delimiter(cursor)?;
            cursor.word(literal)
        });
        found.ok().map(|()| value)
    })
}
