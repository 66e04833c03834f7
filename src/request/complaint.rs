//! The words of a refused query string, as Parsec puts them: where, what was unexpected, what was expected.

/// PostgREST's two texts about a part of the URL that doesn't parse.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Complaint {
    pub message: String,
    pub details: String,
}

impl Complaint {
    /// `before` is the input up to the place that failed.
    pub fn new(what: &str, shown: &str, before: &str, details: String) -> Self {
        let (line, column) = line_and_column(before);
        Self { message: format!("\"{what} ({shown})\" (line {line}, column {column})"), details }
    }
}

/// One remark about the place `at`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message {
    /// The character a rule stumbled on, `None` at the end of the input.
    Found(Option<char>),
    /// A character that a negative look-ahead refused; it is shown in single quotes and hides `Found`.
    Refused(char),
    /// A label or a literal in double quotes, ready to print.
    Expected(&'static str),
}

/// Parsec counts characters from 1, and a tab jumps to the next multiple of 8.
fn line_and_column(before: &str) -> (usize, usize) {
    let (mut line, mut column) = (1, 1);
    for character in before.chars() {
        match character {
            '\n' => (line, column) = (line + 1, 1),
            '\t' => column += 8 - (column - 1) % 8,
            _ => column += 1,
        }
    }
    (line, column)
}

/// The second text: what was unexpected and what was expected, each once, in the order it was remarked.
pub fn describe(messages: &[Message]) -> String {
    let mut found = None;
    let mut refused: Vec<String> = Vec::new();
    let mut expected: Vec<&str> = Vec::new();
    for message in messages {
        match *message {
            Message::Found(character) => _ = found.get_or_insert(character),
            Message::Refused(character) => {
                let shown = format!("'{}'", escape(character, '\''));
                if !refused.contains(&shown) {
                    refused.push(shown);
                }
            }
            Message::Expected(label) => {
                if !expected.contains(&label) {
                    expected.push(label);
                }
            }
        }
    }
    let refused: Vec<&str> = refused.iter().map(String::as_str).collect();
    let unexpected = match found {
        _ if !refused.is_empty() => Some(format!("unexpected {}", with_or(&refused))),
        Some(Some(character)) => Some(format!("unexpected \"{}\"", escape(character, '"'))),
        Some(None) => Some("unexpected end of input".to_owned()),
        None => None,
    };
    let expecting = (!expected.is_empty()).then(|| format!("expecting {}", with_or(&expected)));
    match (unexpected, expecting) {
        (None, None) => "unknown parse error".to_owned(),
        (Some(one), None) | (None, Some(one)) => one,
        (Some(first), Some(second)) => format!("{first} {second}"),
    }
}

fn with_or(items: &[&str]) -> String {
    match items {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}

/// A character as Haskell prints it inside `quote`s.
fn escape(character: char, quote: char) -> String {
    const CONTROLS: [&str; 32] = [
        "NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "a", "b", "t", "n", "v", "f", "r", "SO", "SI", "DLE", "DC1",
        "DC2", "DC3", "DC4", "NAK", "SYN", "ETB", "CAN", "EM", "SUB", "ESC", "FS", "GS", "RS", "US",
    ];
    match character {
        '\\' => "\\\\".to_owned(),
        '\u{7f}' => "\\DEL".to_owned(),
        _ if character == quote => format!("\\{quote}"),
        ' '..='~' => character.to_string(),
        _ => match CONTROLS.get(character as usize) {
            Some(name) => format!("\\{name}"),
            None => format!("\\{}", character as u32),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_tabs() {
        for (before, expect) in
            [("", (1, 1)), ("é", (1, 2)), ("a\t", (1, 9)), ("a\nbc", (2, 3)), ("12345678\t", (1, 17))]
        {
            assert_eq!(line_and_column(before), expect, "{before:?}");
        }
    }

    #[test]
    fn characters_print_as_in_haskell() {
        for (character, quote, expect) in [
            ('a', '"', "a"),
            ('"', '"', "\\\""),
            ('"', '\'', "\""),
            ('\'', '\'', "\\'"),
            ('\n', '"', "\\n"),
            ('\0', '"', "\\NUL"),
            ('é', '"', "\\233"),
            ('€', '\'', "\\8364"),
        ] {
            assert_eq!(escape(character, quote), expect);
        }
    }
}
