//! Names, quoted or plain, and JSON paths: what select, filters and order have in common.
//! A plain name is made of letters, digits, `_`, `$` and blanks (those around it don't count), in parts joined by dashes;
//! a quoted one may hold anything, with `\` before the character it protects.

use std::borrow::Cow;

use super::cursor::{Cursor, Failed, Literal, Parse, literal};
use super::{Arrow, Field, JsonKey, JsonStep};

/// `name` or `"quo\"ted"`.
pub fn name<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<Cow<'r, str>> {
    cursor.label("field name (* or [a..z0..9_$])", |cursor| cursor.either(quoted, |cursor| dashed(cursor, identifier)))
}

/// A name without dashes, its outer blanks removed: also the grammar of casts and text search configurations.
pub fn identifier<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<Cow<'r, str>> {
    let (start, end) = identifier_range(cursor)?;
    Ok(cursor.slice(start, end))
}

/// A name and the path into it, with blanks around both.
pub fn field<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<Field<'r>> {
    blanks(cursor);
    let name = name(cursor)?;
    let path = json_path(cursor)?;
    blanks(cursor);
    Ok(Field { name, path })
}

/// `->a->>0`, possibly empty.
pub fn json_path<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<Vec<JsonStep<'r>>> {
    cursor.repeated(|cursor| {
        let arrow = cursor.one_of(&[(literal!("->>"), Arrow::Text), (literal!("->"), Arrow::Json)])?;
        let key = cursor.either(|cursor| cursor.attempt(index), |cursor| cursor.attempt(key))?;
        Ok(JsonStep { arrow, key })
    })
}

/// Skips blanks and tabs.
pub fn blanks(cursor: &mut Cursor<'_, '_>) {
    cursor.many(|next| next == ' ' || next == '\t', &[]);
}

/// A one-character literal with blanks around it.
pub fn spaced(cursor: &mut Cursor<'_, '_>, literal: Literal) -> Parse<()> {
    blanks(cursor);
    cursor.word(literal)?;
    blanks(cursor);
    Ok(())
}

/// The dot between the parts of a path or an expression.
pub fn delimiter(cursor: &mut Cursor<'_, '_>) -> Parse<()> {
    cursor.one(|next| next == '.', &["delimiter (.)"]).map(|_| ())
}

/// `"…"`, unescaped. Quotes are shown as Haskell shows them.
pub fn quoted<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<Cow<'r, str>> {
    cursor.one(|next| next == '"', &["\"\\\"\""])?;
    let start = cursor.pos();
    let mut unescaped: Option<String> = None;
    loop {
        let (from, to) = cursor.many(|next| next != '\\' && next != '"', &["\"\\\\\""]);
        if let Some(text) = &mut unescaped {
            text.push_str(cursor.text(from, to));
        }
        match cursor.peek() {
            Some('\\') => {
                let text = unescaped.get_or_insert_with(|| cursor.text(start, to).to_owned());
                cursor.one(|_| true, &[])?;
                text.push(cursor.one(|_| true, &[])?);
            }
            _ => break,
        }
    }
    let end = cursor.pos();
    cursor.one(|next| next == '"', &["\"\\\"\""])?;
    Ok(unescaped.map_or_else(|| cursor.slice(start, end), Cow::Owned))
}

/// Parts joined by single dashes that begin no arrow; blanks around each part don't count.
fn dashed<'r>(
    cursor: &mut Cursor<'_, 'r>,
    part: impl Fn(&mut Cursor<'_, 'r>) -> Parse<Cow<'r, str>>,
) -> Parse<Cow<'r, str>> {
    let start = cursor.pos();
    let mut parts = cursor.separated1(dash, part)?;
    if parts.len() == 1 {
        return parts.pop().ok_or(Failed);
    }
    // Nothing was trimmed between the dashes: the text stands in the request as it is.
    let joined_len = parts.iter().map(|part| part.len()).sum::<usize>() + parts.len() - 1;
    if start + joined_len == cursor.pos() { Ok(cursor.slice(start, cursor.pos())) } else { Ok(parts.join("-").into()) }
}

fn dash(cursor: &mut Cursor<'_, '_>) -> Parse<()> {
    cursor.attempt(|cursor| {
        cursor.word(literal!("-"))?;
        cursor.not_followed_by(|next| next == '>', &["\">\""])
    })
}

fn identifier_range(cursor: &mut Cursor<'_, '_>) -> Parse<(usize, usize)> {
    let (start, end) = cursor.many1(|next| next.is_alphabetic() || is_plain(next), &["letter", "digit"])?;
    let text = cursor.text(start, end);
    let lead = text.len() - text.trim_start_matches(' ').len();
    Ok((start + lead, start + lead + text.trim_matches(' ').len()))
}

fn is_plain(next: char) -> bool {
    next.is_ascii_digit() || matches!(next, '_' | ' ' | '$')
}

/// `0` or `-3`, counted as an index only where the operand ends after it.
fn index<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<JsonKey<'r>> {
    let start = cursor.pos();
    cursor.optional(|cursor| cursor.word(literal!("-")))?;
    let (_, end) = cursor.many1(|next| next.is_ascii_digit(), &["digit"])?;
    let ends = cursor.ahead(literal!("->"))
        || cursor.ahead(literal!("::"))
        || cursor.ahead(literal!("."))
        || cursor.ahead(literal!(","))
        || cursor.at_end();
    if ends { Ok(JsonKey::Index(cursor.slice(start, end))) } else { Err(Failed) }
}

fn key<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<JsonKey<'r>> {
    cursor
        .label("any non reserved character different from: .,>()", |cursor| {
            cursor.either(quoted, |cursor| dashed(cursor, key_part))
        })
        .map(JsonKey::Name)
}

fn key_part<'r>(cursor: &mut Cursor<'_, 'r>) -> Parse<Cow<'r, str>> {
    let (start, end) = cursor.many1(|next| !"(-:.,>)".contains(next), &[])?;
    let text = cursor.text(start, end);
    let lead = text.len() - text.trim_start_matches(is_space).len();
    Ok(cursor.slice(start + lead, start + lead + text.trim_matches(is_space).len()))
}

/// What Haskell's `isSpace` accepts: fewer characters than Rust's `is_whitespace`.
fn is_space(character: char) -> bool {
    character.is_whitespace() && !matches!(character, '\u{85}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        fn check(text: &str, expect: &str) {
            let input = Cow::Borrowed(text);
            let found = field(&mut Cursor::new(&input)).map(|Field { name, path }| {
                path.iter().fold(format!("[{name}]"), |out, step| match (&step.arrow, &step.key) {
                    (Arrow::Json, JsonKey::Name(key)) => format!("{out}->[{key}]"),
                    (Arrow::Text, JsonKey::Name(key)) => format!("{out}->>[{key}]"),
                    (Arrow::Json, JsonKey::Index(digits)) => format!("{out}->{digits}"),
                    (Arrow::Text, JsonKey::Index(digits)) => format!("{out}->>{digits}"),
                })
            });
            assert_eq!(found.as_deref().unwrap_or("failed"), expect, "{text}");
        }
        check("identifier", "[identifier]");
        check(" with  blanks\t", "[with  blanks]");
        check("with-dashes - and-blanks", "[with-dashes-and-blanks]");
        check("Größe_$1", "[Größe_$1]");
        check("\" \\\"quoted\\\\ \"", "[ \"quoted\\ ]");
        check("a->b->>c", "[a]->[b]->>[c]");
        check("a->0->>-12", "[a]->0->>-12");
        check("a->0x", "[a]->[0x]");
        check("a->> key-with ->b", "[a]->>[key-with]->[b]");
        check("a->\"b.c\"", "[a]->[b.c]");
        for text in ["", ":", "-a", "\"a", "a->", "a->-x", "a->>>b", "a-", "\"\\"] {
            check(text, "failed");
        }
    }

    #[test]
    fn texts_borrow_what_needed_no_decoding() {
        let borrowed = Cow::Borrowed("a-b->key");
        let found = field(&mut Cursor::new(&borrowed)).unwrap();
        assert!(matches!(found.name, Cow::Borrowed("a-b")), "{found:?}");
        let owned = Cow::Owned("a-b".to_owned());
        assert!(matches!(field(&mut Cursor::new(&owned)).unwrap().name, Cow::Owned(_)));
    }
}
