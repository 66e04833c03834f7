//! `key = value key2 = 'quoted value'`: libpq's quoting, in which a backslash keeps the next character as it is.

use super::TargetError;
use super::options::Options;

/// A string without `=` is a database name.
pub(super) fn parse(text: &str, options: &mut Options) -> Result<(), TargetError> {
    let trimmed = text.trim();
    if !trimmed.is_empty() && !trimmed.contains('=') {
        let _ = options.set("dbname", trimmed.to_owned());
        return Ok(());
    }
    let mut rest = text;
    let mut last: Option<String> = None;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(());
        }
        let end = rest.find(|character: char| character == '=' || character.is_whitespace()).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        let Some(value) = after.trim_start().strip_prefix('=') else {
            return Err(missing_equals(key, last.as_deref()));
        };
        let (value, after) = take_value(value.trim_start())?;
        if options.set(key, value).is_err() {
            return Err(TargetError::new(format!("invalid connection option \"{key}\"")));
        }
        last = Some(key.to_owned());
        rest = after;
    }
}

/// The word without `=` may be the rest of a password with a space in it: only the first word is shown.
fn missing_equals(word: &str, last: Option<&str>) -> TargetError {
    TargetError::new(match last {
        None => format!("missing \"=\" after \"{word}\" in connection info string"),
        Some(key) => format!(
            "missing \"=\" in connection info string, after the value of \"{key}\"; a value with spaces needs quotes"
        ),
    })
}

fn take_value(text: &str) -> Result<(String, &str), TargetError> {
    let mut value = String::new();
    let (quoted, text) = match text.strip_prefix('\'') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, text.get(index + 1..).unwrap_or_default())),
            _ if !quoted && character.is_whitespace() => return Ok((value, text.get(index..).unwrap_or_default())),
            _ => value.push(character),
        }
    }
    if quoted { Err(TargetError::new("unterminated quoted string in connection info string")) } else { Ok((value, "")) }
}
