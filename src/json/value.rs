//! JSON text as values that keep what was written: numbers stay text, so that `12345678901234567890123` is neither rounded
//! nor refused. For what is small and read once: tokens, keys, what SQL says about an answer.
//! Of a repeated key the first counts, and objects are held and written in key order: what PostgREST's reader and
//! writer do, and clients see it in `request.jwt.claims`.
//! Limits: `limits::NESTING_MAX`; deeper text is refused, so that no recursion here or later outgrows a stack.
//! `request::payload_json` walks bodies, which are large, without building anything.

use crate::error::body::write_string;
use std::borrow::Cow;

use super::decimal::Decimal;
use crate::limits::NESTING_MAX;

/// One JSON value, borrowed from its text where no escape stands in it.
#[derive(Clone, PartialEq, Debug)]
pub enum Value<'t> {
    Null,
    Bool(bool),
    /// As written; the grammar has been checked.
    Number(&'t str),
    String(Cow<'t, str>),
    Array(Vec<Value<'t>>),
    /// In key order, each key once.
    Object(Vec<(Cow<'t, str>, Value<'t>)>),
}

impl<'t> Value<'t> {
    /// The member of that name, if this is an object that has one.
    pub fn member(&self, name: &str) -> Option<&Value<'t>> {
        match self {
            Self::Object(members) => {
                let at = members.binary_search_by(|(key, _)| key.as_ref().cmp(name)).ok()?;
                members.get(at).map(|(_, value)| value)
            }
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) | Self::Array(_) => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Array(_) | Self::Object(_) => None,
        }
    }

    /// Appends the value as compact JSON, numbers in PostgREST's form (`1e3` → `1000`, `-0` → `0`).
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(text) => Decimal::parse(text).write_json(out),
            Self::String(text) => write_string(out, text),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_string(out, key);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// The text is not JSON, not UTF-8, or nested too deeply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotJson;

/// Reads the whole of `bytes` as one value, blanks around it allowed (RFC 8259).
pub fn parse(bytes: &[u8]) -> Result<Value<'_>, NotJson> {
    let text = std::str::from_utf8(bytes).map_err(|_| NotJson)?;
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.skip_blanks();
    if reader.at == text.len() { Ok(value) } else { Err(NotJson) }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn value(&mut self, depth: usize) -> Result<Value<'t>, NotJson> {
        if depth > NESTING_MAX {
            return Err(NotJson);
        }
        self.skip_blanks();
        match self.peek().ok_or(NotJson)? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(Value::String),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'n' => self.word("null", Value::Null),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'t>, NotJson> {
        self.at += 1;
        let mut members = Vec::new();
        self.skip_blanks();
        if !self.eat(b'}') {
            loop {
                self.skip_blanks();
                let key = self.string()?;
                self.skip_blanks();
                self.expect(b':')?;
                members.push((key, self.value(depth + 1)?));
                self.skip_blanks();
                if self.eat(b'}') {
                    break;
                }
                self.expect(b',')?;
            }
        }
        members.sort_by(|(left, _), (right, _)| left.cmp(right));
        members.dedup_by(|(later, _), (earlier, _)| later == earlier);
        Ok(Value::Object(members))
    }

    fn array(&mut self, depth: usize) -> Result<Value<'t>, NotJson> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_blanks();
        if !self.eat(b']') {
            loop {
                items.push(self.value(depth + 1)?);
                self.skip_blanks();
                if self.eat(b']') {
                    break;
                }
                self.expect(b',')?;
            }
        }
        Ok(Value::Array(items))
    }

    fn string(&mut self) -> Result<Cow<'t, str>, NotJson> {
        self.expect(b'"')?;
        let mut unescaped: Option<String> = None;
        let mut from = self.at;
        loop {
            match self.peek().ok_or(NotJson)? {
                b'"' => {
                    let tail = self.text.get(from..self.at).ok_or(NotJson)?;
                    self.at += 1;
                    return Ok(match unescaped {
                        None => Cow::Borrowed(tail),
                        Some(mut text) => {
                            text.push_str(tail);
                            Cow::Owned(text)
                        }
                    });
                }
                b'\\' => {
                    let text = unescaped.get_or_insert_with(String::new);
                    text.push_str(self.text.get(from..self.at).ok_or(NotJson)?);
                    self.at += 1;
                    let character = self.escape()?;
                    text.push(character);
                    from = self.at;
                }
                0..=0x1f => return Err(NotJson),
                _ => self.at += 1,
            }
        }
    }

    /// What follows a backslash. A surrogate must come as a pair.
    fn escape(&mut self) -> Result<char, NotJson> {
        let escaped = self.peek().ok_or(NotJson)?;
        self.at += 1;
        Ok(match escaped {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex_quad()?;
                if !(0xd800..0xdc00).contains(&first) {
                    return char::from_u32(first).ok_or(NotJson);
                }
                self.expect(b'\\')?;
                self.expect(b'u')?;
                let second = self.hex_quad()?;
                if !(0xdc00..0xe000).contains(&second) {
                    return Err(NotJson);
                }
                return char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or(NotJson);
            }
            _ => return Err(NotJson),
        })
    }

    fn hex_quad(&mut self) -> Result<u32, NotJson> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).ok_or(NotJson)?;
        self.at += 4;
        digits.iter().try_fold(0, |sum, &digit| Ok(sum * 16 + char::from(digit).to_digit(16).ok_or(NotJson)?))
    }

    fn number(&mut self) -> Result<Value<'t>, NotJson> {
        let from = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            if !self.eat(b'-') {
                self.eat(b'+');
            }
            let exponent = self.at;
            self.digits()?;
            // Decimal counts exponents in 64 bits; nobody means one this long.
            if self.at - exponent > 17 {
                return Err(NotJson);
            }
        }
        self.text.get(from..self.at).map(Value::Number).ok_or(NotJson)
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > from { Ok(()) } else { Err(NotJson) }
    }

    fn word(&mut self, word: &str, value: Value<'t>) -> Result<Value<'t>, NotJson> {
        if self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            self.at += word.len();
            Ok(value)
        } else {
            Err(NotJson)
        }
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), NotJson> {
        if self.eat(byte) { Ok(()) } else { Err(NotJson) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `expect` is the value written again, or nothing where the text must be refused.
    fn check(text: &str, expect: Option<&str>) {
        let written = parse(text.as_bytes()).ok().map(|value| {
            let mut out = String::new();
            value.write(&mut out);
            out
        });
        assert_eq!(written.as_deref(), expect, "{text}");
    }

    #[test]
    fn values_come_back_in_key_order() {
        check(
            " {\"z\":1, \"a\" : {\"y\":1,\"b\":[2,null,true,false]}} ",
            Some(r#"{"a":{"b":[2,null,true,false],"y":1},"z":1}"#),
        );
        check(r#"{"role":"first","role":"second"}"#, Some(r#"{"role":"first"}"#));
        check(
            r#"{"a":1.0,"b":1e3,"c":12345678901234567890,"d":0.1,"e":-0}"#,
            Some(r#"{"a":1.0,"b":1000,"c":12345678901234567890,"d":0.1,"e":0}"#),
        );
        check(r#""\u0041\n\ud83d\udce6\/\u0001<>\u007f""#, Some("\"A\\n📦/\\u0001<>\u{7f}\""));
        check("[]", Some("[]"));
        check("{}", Some("{}"));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            " ",
            "nope",
            "tru",
            "[1,]",
            "[1",
            "{\"a\":}",
            "{\"a\"}",
            "{,}",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "\"",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "\"\u{1}\"",
            "1 2",
            "{\"a\":1}}",
            "'a'",
            "NaN",
            "1e999999999999999999",
        ] {
            check(text, None);
        }
        assert_eq!(parse(b"\"\xff\""), Err(NotJson));
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(NESTING_MAX).as_bytes()).is_ok());
        assert!(parse(nested(NESTING_MAX + 2).as_bytes()).is_err());
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
    }

    /// The same value as serde_json reads, to numbers' digits. Repeated keys and deep nesting are ours to decide.
    fn alike(ours: &Value<'_>, theirs: &serde_json::Value) -> bool {
        match (ours, theirs) {
            (Value::Null, serde_json::Value::Null) => true,
            (Value::Bool(ours), serde_json::Value::Bool(theirs)) => ours == theirs,
            (Value::Number(ours), serde_json::Value::Number(theirs)) => {
                Decimal::parse(ours).compare(&Decimal::parse(theirs.as_str())).is_eq()
            }
            (Value::String(ours), serde_json::Value::String(theirs)) => ours == theirs,
            (Value::Array(ours), serde_json::Value::Array(theirs)) => {
                ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| alike(ours, theirs))
            }
            (Value::Object(ours), serde_json::Value::Object(theirs)) => {
                // Of a repeated key serde_json keeps the last value, so only the keys compare.
                ours.len() == theirs.len() && ours.iter().all(|(key, _)| theirs.contains_key(key.as_ref()))
            }
            _ => false,
        }
    }

    proptest::proptest! {
        #[test]
        fn it_reads_what_serde_json_reads(text in "[\\[\\]{}\":,\\\\0-9eE.+truefalsn u\u{e9}-]{0,24}") {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            match (parse(text.as_bytes()), theirs) {
                (Ok(ours), Ok(theirs)) => assert!(alike(&ours, &theirs), "{text}"),
                (ours, theirs) => assert_eq!(ours.is_ok(), theirs.is_ok(), "{text} {ours:?} {theirs:?}"),
            }
        }

        #[test]
        fn any_text_survives_being_written_and_read(text in ".{0,40}") {
            let mut out = String::new();
            write_string(&mut out, &text);
            assert_eq!(parse(out.as_bytes()), Ok(Value::String(Cow::Borrowed(&text))));
            assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }

    /// Texts that are nearly JSON: tokens of its grammar and what breaks them, in any order.
    fn nearly_json() -> impl Strategy<Value = String> {
        let token = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"a\"",
            "\"\\u00e9\"",
            "\"\\x\"",
            "\"b",
            "1",
            "-0.5e3",
            "01",
            "1.",
            "true",
            "null",
            "nul",
            " ",
        ]);
        let scalar = prop::sample::select(vec!["1", "\"x\"", "null", "[]", "{}", "-2e-3"]).prop_map(str::to_owned);
        let whole = scalar.prop_recursive(5, 32, 4, |inner| {
            let items = prop::collection::vec(inner, 0..4);
            (items, any::<bool>()).prop_map(|(items, object)| match object {
                true => {
                    let member = |(index, item): (usize, &String)| format!("\"k{index}\":{item}");
                    format!("{{{}}}", items.iter().enumerate().map(member).collect::<Vec<_>>().join(","))
                }
                false => format!("[{}]", items.join(" , ")),
            })
        });
        prop_oneof![whole, prop::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat())]
    }

    proptest! {
        #[test]
        fn simd_json_takes_and_refuses_the_same(text in nearly_json()) {
            let other = simd_json::to_borrowed_value(&mut text.clone().into_bytes()).is_ok();
            prop_assert_eq!(parse(text.as_bytes()).is_ok(), other, "{}", text);
        }
    }
}
