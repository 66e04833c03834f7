//! nulls=stripped for JSON that comes ready-made: what PostgreSQL's `json_strip_nulls` prints. Members whose value is
//! null go, at any depth; nulls in arrays stay; blanks go; strings are written again as `escape_json` does.
//! Invariant: one pass, no recursion, no stack: whether a comma is due follows from the byte before it.

use super::escape;

/// Appends the JSON value `text` without null members. Text that isn't JSON gives nonsense, never a panic.
pub fn write_stripped(out: &mut Vec<u8>, text: &[u8]) {
    let start = out.len();
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b',' => after,
            b'}' | b']' | b':' => {
                out.push(byte);
                after
            }
            b'{' | b'[' => {
                write_comma(out, start);
                out.push(byte);
                after
            }
            b'"' => {
                let (string, after) = split_string(after);
                match after_colon(after) {
                    Some(value) if starts_with_null(value) => value.get(4..).unwrap_or_default(),
                    _ => {
                        write_comma(out, start);
                        write_string(out, string);
                        after
                    }
                }
            }
            _ => {
                write_comma(out, start);
                let len = rest.iter().position(|&byte| ends_scalar(byte)).unwrap_or(rest.len());
                // A byte that ends a scalar but begins nothing can't stand in JSON; it must not stop the walk.
                let (scalar, after) = rest.split_at_checked(len.max(1)).unwrap_or((rest, &[]));
                out.extend_from_slice(scalar);
                after
            }
        };
    }
}

/// A comma stands between two values or members: not at the beginning, not after an opening bracket or a colon.
fn write_comma(out: &mut Vec<u8>, start: usize) {
    if out.len() > start && !matches!(out.last(), Some(b'{' | b'[' | b':')) {
        out.push(b',');
    }
}

/// The value, where a colon says that the string before was a member's name.
fn after_colon(text: &[u8]) -> Option<&[u8]> {
    text.trim_ascii_start().strip_prefix(b":").map(<[u8]>::trim_ascii_start)
}

fn starts_with_null(text: &[u8]) -> bool {
    text.strip_prefix(b"null").is_some_and(|rest| rest.first().is_none_or(|&byte| ends_scalar(byte)))
}

fn ends_scalar(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b'}' | b']' | b'{' | b'[' | b':' | b'"')
}

/// From behind the opening quote: the string's inside, and what follows its closing quote.
fn split_string(text: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        let hit = at + found;
        if text.get(hit) == Some(&b'"') {
            return (text.get(..hit).unwrap_or_default(), text.get(hit + 1..).unwrap_or_default());
        }
        at = hit + 2;
    }
    (text, &[])
}

/// A string is printed from its meaning: `\/` becomes `/`, `\u00e9` becomes `é`.
fn write_string(out: &mut Vec<u8>, inside: &[u8]) {
    out.push(b'"');
    let mut rest = inside;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (clean, escaped) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        out.extend_from_slice(clean);
        rest = write_escaped(out, escaped);
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Writes the escape sequence at the beginning of `text` anew; gives what follows it.
fn write_escaped<'t>(out: &mut Vec<u8>, text: &'t [u8]) -> &'t [u8] {
    if let [b'\\', b'/', rest @ ..] = text {
        out.push(b'/');
        return rest;
    }
    let Some((unit, rest)) = code_unit(text) else {
        // The short escapes, which PostgreSQL prints as they came.
        let (escape, rest) = text.split_at_checked(2).unwrap_or((text, &[]));
        out.extend_from_slice(escape);
        return rest;
    };
    let (code, rest) = match code_unit(rest) {
        Some((low @ 0xdc00..=0xdfff, rest)) if (0xd800..=0xdbff).contains(&unit) => {
            (0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00), rest)
        }
        _ => (unit, rest),
    };
    match char::from_u32(code) {
        // PostgreSQL refuses \u0000 and lone surrogates here; as they came they are JSON still.
        None | Some('\0') => out.extend_from_slice(text.get(..6).unwrap_or(text)),
        Some(letter) => escape::write_unquoted(out, letter.encode_utf8(&mut [0; 4]).as_bytes()),
    }
    rest
}

/// `\uXXXX` at the beginning of `text`, and what follows.
fn code_unit(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.strip_prefix(b"\\u")?.split_first_chunk::<4>()?;
    let mut unit = 0;
    for &digit in digits {
        unit = unit * 16 + char::from(digit).to_digit(16)?;
    }
    Some((unit, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn stripped(text: &str) -> String {
        let mut out = b":".to_vec();
        write_stripped(&mut out, text.as_bytes());
        String::from_utf8_lossy(&out[1..]).into_owned()
    }

    #[test]
    fn values() {
        fn check(text: &str, expect: &str) {
            assert_eq!(stripped(text), expect, "{text}");
        }
        check("null", "null");
        check(" null ", "null");
        check(r#""null""#, r#""null""#);
        check("1.50", "1.50");
        check("true", "true");
        check("{}", "{}");
        check("[ ]", "[]");
        check(r#"{"a": null}"#, "{}");
        check(r#"{"a": null, "b" : 1 , "c":null}"#, r#"{"b":1}"#);
        check(r#"{"a": 1, "b": null}"#, r#"{"a":1}"#);
        check(r#"[null, 1, {"a":null}, null]"#, "[null,1,{},null]");
        check(r#"{"a": {"b": null, "c": [{"d": null, "e": {}}]}}"#, r#"{"a":{"c":[{"e":{}}]}}"#);
        check(r#"{"null": "null", "a": "n"}"#, r#"{"null":"null","a":"n"}"#);
        check(r#"{"a": "x:null,", "b\"": null, "c": ["\\"]}"#, r#"{"a":"x:null,","c":["\\"]}"#);
        check(r#"{"a":1,"a":null,"a":2}"#, r#"{"a":1,"a":2}"#);
        check(r#"["{", "[", ":", ","]"#, r#"["{","[",":",","]"#);
        check(r#"["a/b\/c", "\u00e9\ud83d\udc18\t\u0009\u001f\u0022"]"#, "[\"a/b/c\",\"é🐘\\t\\t\\u001f\\\"\"]");
        check(r#"["\u0000", "\ud83d", "\ud83dx"]"#, r#"["\u0000","\ud83d","\ud83dx"]"#);
    }

    #[test]
    fn what_is_no_json() {
        for text in ["", "\"", "\"\\", "\"\\u12", "{\"a\":", "nul", "{\"a\":nullx}", "}{", "\u{1}"] {
            stripped(text);
        }
    }

    #[test]
    fn deep_nesting_takes_no_stack() {
        let text = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(stripped(&text), text);
    }

    /// The definition, on parsed values.
    fn strip(value: Value) -> Value {
        match value {
            Value::Object(members) => members
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key, strip(value)))
                .collect(),
            Value::Array(items) => items.into_iter().map(strip).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::hash_map("[a-c\"\\\\é]{0,2}", inner, 0..6)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn as_the_definition_says(value in json()) {
            let expect = strip(value.clone());
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                prop_assert_eq!(serde_json::from_str::<Value>(&stripped(&text)).unwrap(), expect.clone());
            }
        }

        #[test]
        fn any_bytes_are_survived(text in any::<Vec<u8>>()) {
            write_stripped(&mut Vec::new(), &text);
        }

        #[test]
        fn anything_like_json_is_survived(text in r#"[{}\[\]:,"\\u0ntul 1]{0,24}"#) {
            stripped(&text);
        }
    }
}
