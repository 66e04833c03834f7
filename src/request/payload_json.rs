//! A JSON body's key set, found by walking its bytes once: nothing is built, only keys of the outermost objects are kept.
//! Whatever the walk accepts is JSON (RFC 8259); PostgreSQL gets the same bytes and is the judge of what they mean.
//! Invariant: time is linear in the body; memory is that of `limits::JSON_KEYS_MAX` keys and a bit for each level of nesting.

use std::borrow::Cow;
use std::collections::HashSet;

use super::payload::JsonShape;
use crate::limits;

/// What the outermost value is made of: the first object's keys in order, without repeats; of more than
/// `limits::JSON_KEYS_MAX` some.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JsonBody<'r> {
    pub shape: JsonShape,
    pub keys: Vec<Cow<'r, str>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JsonRefusal {
    Invalid,
    /// An array with different key sets, or with something else than objects in it.
    KeysDiffer,
}

/// Walks the whole body.
pub fn read(body: &[u8]) -> Result<JsonBody<'_>, JsonRefusal> {
    let text = std::str::from_utf8(body).map_err(|_| JsonRefusal::Invalid)?;
    let mut walk = Walk { text, bytes: body, pos: 0, open: Open::default() };
    let found = walk.outermost()?;
    walk.blanks();
    if walk.pos < body.len() { Err(JsonRefusal::Invalid) } else { found }
}

/// Appends the names in a body that is one object, each with its length before it, and nothing for an empty body. False
/// for any other body, and for names with escapes. Allocates nothing for an object of plain values.
pub fn write_member_names(body: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(text) = std::str::from_utf8(body) else { return false };
    let mut walk = Walk { text, bytes: body, pos: 0, open: Open::default() };
    walk.blanks();
    if walk.peek() != Some(b'{') {
        return body.is_empty();
    }
    let mut plain = true;
    let walked = walk.object(|(start, end)| {
        let name = body.get(start..end).unwrap_or_default();
        plain &= !name.contains(&b'\\');
        out.extend_from_slice(&name.len().to_ne_bytes());
        out.extend_from_slice(name);
    });
    walk.blanks();
    plain && walked.is_ok() && walk.pos == body.len()
}

struct Walk<'r> {
    text: &'r str,
    bytes: &'r [u8],
    pos: usize,
    open: Open,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Container {
    Object,
    Array,
}

/// What is open inside the value being skipped, outermost first: a bit for each, set for an object.
#[derive(Default)]
struct Open {
    words: Vec<u64>,
    depth: usize,
}

impl Open {
    fn push(&mut self, container: Container) {
        let bit = self.depth % 64;
        if bit == 0 {
            self.words.push(0);
        }
        if let (Some(word), Container::Object) = (self.words.last_mut(), container) {
            *word |= 1 << bit;
        }
        self.depth += 1;
    }

    fn last(&self) -> Option<Container> {
        let bit = self.depth.checked_sub(1)? % 64;
        let word = self.words.last()?;
        Some(if word >> bit & 1 == 1 { Container::Object } else { Container::Array })
    }

    fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        match (self.depth % 64, self.words.last_mut()) {
            (0, _) => _ = self.words.pop(),
            (bit, Some(word)) => *word &= !(1 << bit),
            (_, None) => {}
        }
    }
}

/// Where a key's text, escapes and all, stands between its quotes.
type Span = (usize, usize);

/// The syntax is checked to the end before the keys are: a broken body is invalid, whatever its keys.
type Outermost<'r> = Result<JsonBody<'r>, JsonRefusal>;

impl<'r> Walk<'r> {
    fn outermost(&mut self) -> Result<Outermost<'r>, JsonRefusal> {
        self.blanks();
        match self.peek() {
            Some(b'{') => {
                let (mut spans, text) = (Vec::new(), self.text);
                self.object(|span| note_key(text, &mut spans, span))?;
                Ok(Ok(JsonBody { shape: JsonShape::Object, keys: self.distinct(&spans) }))
            }
            Some(b'[') => self.array(),
            _ => {
                self.skip_value()?;
                Ok(Ok(JsonBody { shape: JsonShape::Scalar, keys: Vec::new() }))
            }
        }
    }

    fn array(&mut self) -> Result<Outermost<'r>, JsonRefusal> {
        self.pos += 1;
        self.blanks();
        if self.eat(b']') {
            return Ok(Ok(JsonBody { shape: JsonShape::Array, keys: Vec::new() }));
        }
        let (mut first, mut spans) = (Vec::new(), Vec::new());
        let mut canonical: Option<Vec<Cow<'r, str>>> = None;
        let (mut uniform, mut is_first) = (true, true);
        loop {
            self.blanks();
            if self.peek() == Some(b'{') {
                spans.clear();
                let text = self.text;
                self.object(|span| note_key(text, &mut spans, span))?;
                if is_first {
                    first.clone_from(&spans);
                } else if uniform && !self.same_spelling(&first, &spans) {
                    let wanted = canonical.get_or_insert_with(|| self.sorted(&first));
                    uniform = *wanted == self.sorted(&spans);
                }
            } else {
                self.skip_value()?;
                uniform = false;
            }
            is_first = false;
            self.blanks();
            if self.eat(b']') {
                break;
            }
            self.expect(b',')?;
        }
        if !uniform {
            return Ok(Err(JsonRefusal::KeysDiffer));
        }
        Ok(Ok(JsonBody { shape: JsonShape::Array, keys: self.distinct(&first) }))
    }

    /// An object of the outermost level; `note` is told its keys' spans.
    fn object(&mut self, mut note: impl FnMut(Span)) -> Result<(), JsonRefusal> {
        self.pos += 1;
        self.blanks();
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            self.blanks();
            note(self.string()?);
            self.blanks();
            self.expect(b':')?;
            self.skip_value()?;
            self.blanks();
            if self.eat(b'}') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// Skips one value with everything inside it. Iterative: depth costs no stack.
    fn skip_value(&mut self) -> Result<(), JsonRefusal> {
        loop {
            self.blanks();
            match self.peek().ok_or(JsonRefusal::Invalid)? {
                b'{' => {
                    self.pos += 1;
                    self.blanks();
                    if !self.eat(b'}') {
                        self.open.push(Container::Object);
                        self.member_key()?;
                        continue;
                    }
                }
                b'[' => {
                    self.pos += 1;
                    self.blanks();
                    if !self.eat(b']') {
                        self.open.push(Container::Array);
                        continue;
                    }
                }
                b'"' => _ = self.string()?,
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => self.number()?,
            }
            if !self.close()? {
                return Ok(());
            }
        }
    }

    /// After a value: closes what ends here. True if another value follows.
    fn close(&mut self) -> Result<bool, JsonRefusal> {
        loop {
            let Some(open) = self.open.last() else { return Ok(false) };
            self.blanks();
            if self.eat(b',') {
                if open == Container::Object {
                    self.blanks();
                    self.member_key()?;
                }
                return Ok(true);
            }
            self.expect(match open {
                Container::Object => b'}',
                Container::Array => b']',
            })?;
            self.open.pop();
        }
    }

    fn member_key(&mut self) -> Result<(), JsonRefusal> {
        self.string()?;
        self.blanks();
        self.expect(b':')
    }

    fn string(&mut self) -> Result<Span, JsonRefusal> {
        self.expect(b'"')?;
        let start = self.pos;
        loop {
            let rest = self.bytes.get(self.pos..).unwrap_or_default();
            let run = memchr::memchr2(b'"', b'\\', rest).ok_or(JsonRefusal::Invalid)?;
            if rest.iter().take(run).any(|&byte| byte < 0x20) {
                return Err(JsonRefusal::Invalid);
            }
            self.pos += run;
            if self.eat(b'"') {
                return Ok((start, self.pos - 1));
            }
            self.pos += 1;
            self.escape()?;
        }
    }

    /// What follows a backslash. Surrogates must come in pairs.
    fn escape(&mut self) -> Result<char, JsonRefusal> {
        let kind = self.peek().ok_or(JsonRefusal::Invalid)?;
        self.pos += 1;
        Ok(match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = self.code_unit()?;
                if !(0xD800..0xE000).contains(&high) {
                    return char::from_u32(high).ok_or(JsonRefusal::Invalid);
                }
                self.word(b"\\u")?;
                let low = self.code_unit()?;
                if high >= 0xDC00 || !(0xDC00..0xE000).contains(&low) {
                    return Err(JsonRefusal::Invalid);
                }
                char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)).ok_or(JsonRefusal::Invalid)?
            }
            _ => return Err(JsonRefusal::Invalid),
        })
    }

    fn code_unit(&mut self) -> Result<u32, JsonRefusal> {
        let digits = self.text.get(self.pos..self.pos + 4).ok_or(JsonRefusal::Invalid)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(JsonRefusal::Invalid);
        }
        self.pos += 4;
        u32::from_str_radix(digits, 16).map_err(|_| JsonRefusal::Invalid)
    }

    fn number(&mut self) -> Result<(), JsonRefusal> {
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            if !self.eat(b'+') {
                self.eat(b'-');
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonRefusal> {
        let start = self.pos;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.pos += 1;
        }
        if self.pos > start { Ok(()) } else { Err(JsonRefusal::Invalid) }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), JsonRefusal> {
        let fits = self.bytes.get(self.pos..).is_some_and(|rest| rest.starts_with(word));
        self.pos += word.len();
        if fits { Ok(()) } else { Err(JsonRefusal::Invalid) }
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.pos += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let fits = self.peek() == Some(byte);
        self.pos += usize::from(fits);
        fits
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonRefusal> {
        if self.eat(byte) { Ok(()) } else { Err(JsonRefusal::Invalid) }
    }

    /// The common case of uniform keys: same order, same spelling. Anything else is compared as sets.
    fn same_spelling(&self, first: &[Span], other: &[Span]) -> bool {
        let raw = |&(start, end): &Span| self.bytes.get(start..end);
        first.len() == other.len() && first.iter().zip(other).all(|(a, b)| raw(a) == raw(b))
    }

    fn sorted(&self, spans: &[Span]) -> Vec<Cow<'r, str>> {
        let mut keys: Vec<_> = spans.iter().map(|&span| unescape(self.text, span)).collect();
        keys.sort();
        keys.dedup();
        keys
    }

    fn distinct(&self, spans: &[Span]) -> Vec<Cow<'r, str>> {
        let mut seen = HashSet::with_capacity(spans.len());
        spans.iter().map(|&span| unescape(self.text, span)).filter(|key| seen.insert(key.clone())).collect()
    }
}

/// Keeps `spans` short: repeats go, and of the others those beyond what can be anybody's name.
fn note_key(text: &str, spans: &mut Vec<Span>, key: Span) {
    if spans.len() >= 2 * limits::JSON_KEYS_MAX {
        let mut seen = HashSet::with_capacity(spans.len());
        spans.retain(|&span| seen.insert(unescape(text, span)));
        spans.truncate(limits::JSON_KEYS_MAX);
    }
    spans.push(key);
}

fn unescape(text: &str, (start, end): Span) -> Cow<'_, str> {
    let raw = text.get(start..end).unwrap_or_default();
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut walk = Walk { text: raw, bytes: raw.as_bytes(), pos: 0, open: Open::default() };
    let mut out = String::with_capacity(raw.len());
    while let Some(rest) = raw.get(walk.pos..).filter(|rest| !rest.is_empty()) {
        let run = rest.find('\\').unwrap_or(rest.len());
        out.push_str(rest.get(..run).unwrap_or_default());
        walk.pos += run + 1;
        if run < rest.len() {
            out.extend(walk.escape());
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expect: Result<(JsonShape, &[&str]), JsonRefusal>) {
        let found = read(body.as_bytes());
        let expect =
            expect.map(|(shape, keys)| JsonBody { shape, keys: keys.iter().map(|&key| Cow::Borrowed(key)).collect() });
        assert_eq!(found, expect, "{body}");
        let mut written = Vec::new();
        if write_member_names(body.as_bytes(), &mut written) && !body.is_empty() {
            let keys = found.map(|found| (found.shape, found.keys.iter().map(|key| key.to_string()).collect()));
            assert_eq!(keys, Ok((JsonShape::Object, names(&written))), "{body}");
        }
    }

    /// What `write_member_names` wrote, each name once.
    fn names(mut written: &[u8]) -> Vec<String> {
        let mut names = Vec::new();
        while let Some((len, rest)) = written.split_first_chunk() {
            let (name, rest) = rest.split_at(usize::from_ne_bytes(*len));
            let name = String::from_utf8(name.to_vec()).unwrap();
            if !names.contains(&name) {
                names.push(name);
            }
            written = rest;
        }
        names
    }

    #[test]
    fn member_names_are_a_part_of_the_shape() {
        let check = |body: &str, expect: Option<&[&str]>| {
            let mut written = Vec::new();
            let found = write_member_names(body.as_bytes(), &mut written).then(|| names(&written));
            let expect = expect.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
            assert_eq!(found, expect, "{body}");
        };
        check("", Some(&[]));
        check(" {} ", Some(&[]));
        check(r#"{"a": 1, "é": {"c": [2]}, "a": null}"#, Some(&["a", "é"]));
        for other in ["[]", "5", " ", r#"{"\u0061": 1}"#, r#"{"a": 1} 2"#, r#"{"a": }"#, r#"{"a": 1"#] {
            check(other, None);
        }
    }

    #[test]
    fn shapes_and_keys() {
        check(r#"{"a":1,"b":[{"c":2}]}"#, Ok((JsonShape::Object, &["a", "b"])));
        check(r#" {"b":1 , "a":"x","b":{}} "#, Ok((JsonShape::Object, &["b", "a"])));
        check("{}", Ok((JsonShape::Object, &[])));
        check("[]", Ok((JsonShape::Array, &[])));
        check(r#"[{"a":1,"b":2},{"b":1,"a":2}]"#, Ok((JsonShape::Array, &["a", "b"])));
        check(r#"[{"a":1},{"\u0061":2}]"#, Ok((JsonShape::Array, &["a"])));
        check(r#"{"\ud83d\ude00\n":1}"#, Ok((JsonShape::Object, &["\u{1f600}\n"])));
        for scalar in ["5", "-0.5e+3", "\"x\"", "null", "true", "false"] {
            check(scalar, Ok((JsonShape::Scalar, &[])));
        }
    }

    #[test]
    fn uneven_arrays() {
        for body in [
            r#"[{"a":1},{}]"#,
            r#"[{"a":1},{"b":1}]"#,
            r#"[{"a":1},{"a":1,"b":1}]"#,
            "[1,2]",
            r#"[{"a":1},5]"#,
            r#"[5,{"a":1}]"#,
            "[[{}]]",
        ] {
            check(body, Err(JsonRefusal::KeysDiffer));
        }
    }

    #[test]
    fn broken_json() {
        for body in [
            "",
            "  ",
            "{",
            "[",
            "{]",
            "[}",
            "[1,]",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
            "{'a':1}",
            "01",
            "1.",
            ".5",
            "-",
            "1e",
            "+1",
            "nul",
            "tru",
            "NaN",
            "\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\udc00\\ud800\"",
            "\"\n\"",
            "\u{feff}{}",
            "{} x",
            "[{\"a\":1},5",
            "[[]",
            "[{\"a\":[}]}]",
            "{\"a\":1 \"b\":2}",
            "[1 2]",
        ] {
            check(body, Err(JsonRefusal::Invalid));
        }
        assert_eq!(read(b"\"\xff\""), Err(JsonRefusal::Invalid));
    }

    #[test]
    fn of_too_many_keys_some_are_kept_and_repeats_hide_none() {
        let many: String = (0..100_000).map(|key| format!("\"k{key}\":{key},")).collect();
        let body = format!("[{{{many}\"end\":1}}]");
        let JsonBody { shape, keys } = read(body.as_bytes()).unwrap();
        assert_eq!(shape, JsonShape::Array);
        assert!((limits::JSON_KEYS_MAX..=2 * limits::JSON_KEYS_MAX).contains(&keys.len()), "{} keys", keys.len());
        let repeats = "\"a\":1,".repeat(100_000);
        check(&format!("{{{repeats}\"b\":1}}"), Ok((JsonShape::Object, &["a", "b"])));
        check(&format!("[{{{repeats}\"b\":1}},{{\"b\":1,\"a\":2}}]"), Ok((JsonShape::Array, &["a", "b"])));
        check(&format!("[{{\"a\":1}},{{{repeats}\"b\":1}}]"), Err(JsonRefusal::KeysDiffer));
    }

    #[test]
    fn levels_of_both_kinds_are_told_apart() {
        for depth in [1, 63, 64, 65, 200] {
            let (mut begin, mut end) = (String::new(), String::new());
            for level in 0..depth {
                let object = level % 3 == 0;
                begin.push_str(if object { "{\"k\":" } else { "[" });
                end.insert(0, if object { '}' } else { ']' });
            }
            check(&format!("{{\"a\":{begin}1{end}}}"), Ok((JsonShape::Object, &["a"])));
            check(&format!("{{\"a\":{begin}1{end},\"b\":{begin}{{}}{end}}}"), Ok((JsonShape::Object, &["a", "b"])));
            let swapped: String = end.chars().map(|end| if end == ']' { '}' } else { ']' }).collect();
            check(&format!("{{\"a\":{begin}1{swapped}}}"), Err(JsonRefusal::Invalid));
        }
    }

    #[test]
    fn deep_nesting_needs_no_stack() {
        let deep = "[".repeat(200_000);
        check(&deep, Err(JsonRefusal::Invalid));
        check(&format!("{{\"a\":{deep}{}}}", "]".repeat(200_000)), Ok((JsonShape::Object, &["a"])));
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_serde(body in "[\\[\\]{}\",:0-9a\\\\eE.+ -]{0,24}") {
            let theirs = serde_json::from_str::<serde_json::Value>(&body).is_ok();
            assert_eq!(!matches!(read(body.as_bytes()), Err(JsonRefusal::Invalid)), theirs, "{body}");
        }
    }
}
