//! JSON that keeps what a comparison needs: numbers as written, repeated keys, the order of keys.

use std::fmt;

/// Arrays and objects inside each other; the recorded answers stay far below.
const DEPTH_MAX: usize = 512;
/// Half surrogates, which JSON can spell and a `String` cannot hold, move to this private plane.
const SURROGATES: u32 = 0xf_0000 - 0xd800;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Json {
    Null,
    Bool(bool),
    /// As it was written.
    Number(String),
    String(String),
    Array(Vec<Json>),
    /// In order; keys may repeat.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The first value under a key of an object.
    pub fn at(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Object(pairs) => pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    pub fn items(&self) -> &[Json] {
        match self {
            Json::Array(items) => items,
            _ => &[],
        }
    }

    pub fn pairs(&self) -> &[(String, Json)] {
        match self {
            Json::Object(pairs) => pairs,
            _ => &[],
        }
    }

    /// Equal as answers: numbers by decimal value, keys in any order (repeated ones among themselves in order).
    pub fn same(&self, other: &Json) -> bool {
        match (self, other) {
            (Json::Number(a), Json::Number(b)) => Decimal::of(a) == Decimal::of(b),
            (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b)),
            (Json::Object(a), Json::Object(b)) => {
                let sorted = |pairs: &[(String, Json)]| {
                    let mut order: Vec<usize> = (0..pairs.len()).collect();
                    order.sort_by(|x, y| pairs[*x].0.cmp(&pairs[*y].0));
                    order
                };
                a.len() == b.len()
                    && sorted(a).into_iter().zip(sorted(b)).all(|(x, y)| a[x].0 == b[y].0 && a[x].1.same(&b[y].1))
            }
            (Json::Null | Json::Bool(_) | Json::String(_), _) => self == other,
            (Json::Number(_) | Json::Array(_) | Json::Object(_), _) => false,
        }
    }
}

/// A number's value: `±0.digits × 10^exponent`, the digits without zeros at either end; zero has none and no sign.
#[derive(PartialEq, Eq, Debug)]
struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn of(text: &str) -> Self {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0');
        let lead = (all.len() - digits.len()) as i64;
        let digits = digits.trim_end_matches('0').to_owned();
        if digits.is_empty() {
            return Self { negative: false, digits, exponent: 0 };
        }
        let power: i64 = power.trim_start_matches('+').parse().unwrap_or(i64::MAX / 2);
        Self { negative, digits, exponent: power + whole.len() as i64 - lead }
    }
}

/// The text that a request's body is sent as, and that differences are shown as.
impl fmt::Display for Json {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Null => write!(out, "null"),
            Json::Bool(value) => write!(out, "{value}"),
            Json::Number(text) => write!(out, "{text}"),
            Json::String(text) => write_string(out, text),
            Json::Array(items) => {
                write!(out, "[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(out, "{}{item}", if index == 0 { "" } else { ", " })?;
                }
                write!(out, "]")
            }
            Json::Object(pairs) => {
                write!(out, "{{")?;
                for (index, (key, value)) in pairs.iter().enumerate() {
                    write!(out, "{}", if index == 0 { "" } else { ", " })?;
                    write_string(out, key)?;
                    write!(out, ": {value}")?;
                }
                write!(out, "}}")
            }
        }
    }
}

fn write_string(out: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    write!(out, "\"")?;
    for letter in text.chars() {
        match letter {
            '"' => write!(out, "\\\"")?,
            '\\' => write!(out, "\\\\")?,
            '\n' => write!(out, "\\n")?,
            '\r' => write!(out, "\\r")?,
            '\t' => write!(out, "\\t")?,
            '\u{8}' => write!(out, "\\b")?,
            '\u{c}' => write!(out, "\\f")?,
            letter if letter < ' ' => write!(out, "\\u{:04x}", u32::from(letter))?,
            letter => write!(out, "{letter}")?,
        }
    }
    write!(out, "\"")
}

/// Parses a whole text; the error says what was wrong at which byte.
pub fn parse(text: &str) -> Result<Json, String> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let value = parser.value()?;
    parser.blanks();
    if parser.at == text.len() { Ok(value) } else { Err(parser.wrong("more than one value")) }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn wrong(&self, what: &str) -> String {
        format!("{what} at byte {}", self.at)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Result<Json, String> {
        self.blanks();
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => self.string().map(Json::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.word(),
        }
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Result<Json, String>) -> Result<Json, String> {
        self.at += 1;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wrong("nested too deeply"));
        }
        let value = inner(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn object(&mut self) -> Result<Json, String> {
        let mut pairs = Vec::new();
        self.blanks();
        if self.eat(b'}') {
            return Ok(Json::Object(pairs));
        }
        loop {
            self.blanks();
            let key = self.string()?;
            self.blanks();
            if !self.eat(b':') {
                return Err(self.wrong("no colon"));
            }
            pairs.push((key, self.value()?));
            self.blanks();
            match () {
                () if self.eat(b',') => {}
                () if self.eat(b'}') => return Ok(Json::Object(pairs)),
                () => return Err(self.wrong("no end of an object")),
            }
        }
    }

    fn array(&mut self) -> Result<Json, String> {
        let mut items = Vec::new();
        self.blanks();
        if self.eat(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value()?);
            self.blanks();
            match () {
                () if self.eat(b',') => {}
                () if self.eat(b']') => return Ok(Json::Array(items)),
                () => return Err(self.wrong("no end of an array")),
            }
        }
    }

    fn word(&mut self) -> Result<Json, String> {
        let rest = &self.text[self.at..];
        for (word, value) in [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))] {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.wrong("no value"))
    }

    fn digits(&mut self) -> Result<(), String> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.wrong("no digit")) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<Json, String> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        Ok(Json::Number(self.text[start..self.at].to_owned()))
    }

    fn string(&mut self) -> Result<String, String> {
        if !self.eat(b'"') {
            return Err(self.wrong("no string"));
        }
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest
                .find(|c: char| c == '"' || c == '\\' || c < ' ')
                .ok_or_else(|| self.wrong("no end of a string"))?;
            out.push_str(&rest[..plain]);
            self.at += plain;
            match () {
                () if self.eat(b'"') => return Ok(out),
                () if self.eat(b'\\') => out.push(self.escape()?),
                () => return Err(self.wrong("control character in a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let letter = self.peek().ok_or_else(|| self.wrong("no escape"))?;
        self.at += 1;
        Ok(match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => {
                let high = self.hex()?;
                let code = match self.low_half(high) {
                    Some(low) => 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00),
                    None => high,
                };
                char::from_u32(code)
                    .or_else(|| char::from_u32(code + SURROGATES))
                    .ok_or_else(|| self.wrong("no letter"))?
            }
            _ => return Err(self.wrong("unknown escape")),
        })
    }

    fn hex(&mut self) -> Result<u32, String> {
        let digits = self.text.get(self.at..self.at + 4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let digits = digits.ok_or_else(|| self.wrong("no four hexadecimal digits"))?;
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|error| error.to_string())
    }

    /// The second half of a surrogate pair, if one follows the first.
    fn low_half(&mut self, high: u32) -> Option<u32> {
        if !(0xd800..0xdc00).contains(&high) || !self.text[self.at..].starts_with("\\u") {
            return None;
        }
        let start = self.at;
        self.at += 2;
        let low = self.hex().ok().filter(|low| (0xdc00..0xe000).contains(low));
        if low.is_none() {
            self.at = start;
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_the_same_and_that_are_not() {
        let check = |a: &str, b: &str, expect: bool| {
            let (left, right) = (parse(a).expect(a), parse(b).expect(b));
            assert_eq!(left.same(&right), expect, "{a} and {b}");
            assert_eq!(right.same(&left), expect, "{b} and {a}");
        };
        check("1", "1.0", true);
        check("1e2", "100", true);
        check("-0", "0.00", true);
        check("0.1e1", "1", true);
        check("1.25E-3", "0.00125", true);
        check("166667.0", "166667", true);
        check("123456789012345678901234567890.1", "123456789012345678901234567890.2", false);
        check("1", "-1", false);
        check("1", "\"1\"", false);
        check("0", "false", false);
        check("null", "false", false);
        check(r#"{"a": 1, "b": 2}"#, r#"{"b":2,"a":1.0}"#, true);
        check(r#"{"a": 1, "a": 2}"#, r#"{"a": 2, "a": 1}"#, false);
        check(r#"{"a": 1, "a": 1}"#, r#"{"a": 1}"#, false);
        check(r#"{"a": 1}"#, r#"{"b": 1}"#, false);
        check("[1, 2]", "[2, 1]", false);
        check("[1]", "[1, 1]", false);
        check("{}", "[]", false);
        check(r#""\u00e9\ud83d\ude00""#, "\"é😀\"", true);
        check(r#""\ud800""#, r#""\ud801""#, false);
        check(r#""\ud800""#, r#""\uD800""#, true);
    }

    #[test]
    fn texts_that_are_no_json() {
        for bad in [
            "",
            "nul",
            "01",
            "1.",
            "-",
            "1e",
            ".5",
            "[1,]",
            "{\"a\"}",
            "{1:2}",
            "\"",
            "\"\u{1}\"",
            "\"\\x\"",
            "\"\\u12\"",
            "1 2",
            "NaN",
        ] {
            assert!(parse(bad).is_err(), "{bad} was taken");
        }
        assert!(parse(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn printing_and_parsing_agree() {
        for text in [r#"{"a": [1.50, -2e3, null, true, "q\"\\\n\t\b\f\u0001é"], "a": {}}"#, "[]", "\"\""] {
            assert_eq!(parse(text).expect(text).to_string(), text);
        }
    }
}
