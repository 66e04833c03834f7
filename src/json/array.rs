//! Arrays as `to_json` writes them, from PostgreSQL's own text for them (array_out; PostgreSQL 18 documentation 8.15.6):
//! dimensions as nested brackets, lower bounds left out.

use super::{escape, number};
use crate::catalog::pg_type::ArrayElement;

/// Appends an array, `{…}` or with other lower bounds than 1 `[…]={…}`, as JSON.
#[inline]
pub fn write(out: &mut Vec<u8>, text: &[u8], form: ArrayElement) {
    let mut rest = text;
    if text.first() == Some(&b'[') {
        rest = split_before(text, |byte| byte == b'{').1;
    }
    while let Some((&byte, after)) = rest.split_first() {
        rest = match byte {
            b'{' => {
                out.push(b'[');
                after
            }
            b'}' => {
                out.push(b']');
                after
            }
            b',' => {
                out.push(b',');
                after
            }
            b'"' => write_quoted(out, after),
            _ => {
                let (element, after) = split_before(rest, |byte| matches!(byte, b',' | b'}'));
                write_bare(out, element, form);
                after
            }
        };
    }
}

/// A text that was `NULL` would be in quotes.
fn write_bare(out: &mut Vec<u8>, element: &[u8], form: ArrayElement) {
    match form {
        _ if element == b"NULL" => out.extend_from_slice(b"null"),
        ArrayElement::Bool => out.extend_from_slice(if element == b"t" { b"true" } else { b"false" }),
        ArrayElement::Number => number::write(out, element),
        ArrayElement::Text => escape::write(out, element),
    }
}

/// An element whose quote has been read, with a backslash before each quote and backslash in it. What comes after it.
fn write_quoted<'t>(out: &mut Vec<u8>, mut rest: &'t [u8]) -> &'t [u8] {
    out.push(b'"');
    loop {
        let (plain, end) = split_before(rest, |byte| matches!(byte, b'"' | b'\\'));
        escape::write_unquoted(out, plain);
        match end {
            [b'\\', escaped, after @ ..] => {
                escape::write_unquoted(out, &[*escaped]);
                rest = after;
            }
            _ => {
                out.push(b'"');
                return end.get(1..).unwrap_or_default();
            }
        }
    }
}

fn split_before(text: &[u8], ends: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let place = text.iter().position(|&byte| ends(byte)).unwrap_or(text.len());
    text.split_at_checked(place).unwrap_or((text, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(text: &str, form: ArrayElement) -> String {
        let mut out = Vec::new();
        write(&mut out, text.as_bytes(), form);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn arrays_as_postgresql_15_writes_them() {
        let check = |form, text, expect| assert_eq!(written(text, form), expect, "{text}");
        check(ArrayElement::Text, "{}", "[]");
        check(ArrayElement::Text, "{a,NULL,\"NULL\",\"\",null}", r#"["a",null,"NULL","","null"]"#);
        check(ArrayElement::Text, r#"{"a b","x\"y","\\","{,}",ä}"#, r#"["a b","x\"y","\\","{,}","ä"]"#);
        check(ArrayElement::Text, "{\"line\nfeed\",\u{1}}", r#"["line\nfeed","\u0001"]"#);
        check(ArrayElement::Text, "{{a,b},{c,NULL}}", r#"[["a","b"],["c",null]]"#);
        check(ArrayElement::Text, "[-1:0][2:2]={{a},{b}}", r#"[["a"],["b"]]"#);
        check(ArrayElement::Text, "[2:2]={\"]={\"}", r#"["]={"]"#);
        check(ArrayElement::Number, "{1,-2,NULL,1e+20,NaN,-Infinity}", r#"[1,-2,null,1e+20,"NaN","-Infinity"]"#);
        check(ArrayElement::Number, "{{{1}},{{2}}}", "[[[1]],[[2]]]");
        check(ArrayElement::Bool, "{t,f,NULL}", "[true,false,null]");
    }

    #[test]
    fn what_no_server_sends_is_survived() {
        for text in ["", "{", "\"", "{\"", "{\"\\", "[1:2]", "[", "}", ",,", "{a", "{\"a\"b}"] {
            written(text, ArrayElement::Text);
        }
    }

    /// As array_out quotes.
    fn array_out(elements: &[Option<String>]) -> String {
        let element = |element: &Option<String>| match element {
            None => "NULL".to_owned(),
            Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        };
        format!("{{{}}}", elements.iter().map(element).collect::<Vec<_>>().join(","))
    }

    proptest! {
        #[test]
        fn texts_come_back(elements in proptest::collection::vec(any::<Option<String>>(), 0..6)) {
            let json: Vec<Option<String>> = serde_json::from_str(&written(&array_out(&elements), ArrayElement::Text)).unwrap();
            prop_assert_eq!(json, elements);
        }

        #[test]
        fn any_text_is_survived(text in any::<String>()) {
            written(&text, ArrayElement::Text);
        }
    }
}
