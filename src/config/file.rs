//! The configuration file grammar: PostgREST's files are read as they are (configurator-pg).
//! `key = value` a line, `#` comments, `#;` before a directive takes it out, `group { … }` prefixes keys, `import "file"`.
//! In strings `$$` is `$` and `$(name)` an earlier key or an environment variable.
//! Limits: `IMPORTS_NESTED_MAX` files within files, `GROUPS_NESTED_MAX` groups and lists.

use std::collections::BTreeMap;

use super::ConfigError;
use super::source::Outside;

const IMPORTS_NESTED_MAX: usize = 16;
const GROUPS_NESTED_MAX: usize = 32;

/// A value as the file has it, before an option says what it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FileValue {
    Bool(bool),
    /// As written.
    Number(String),
    Text(String),
    List,
}

/// Keys with their groups' prefixes; of a repeated key the last counts.
pub type FileValues = BTreeMap<String, FileValue>;

/// Reads the file and what it imports.
pub fn load(outside: &dyn Outside, path: &str) -> Result<FileValues, ConfigError> {
    let mut values = FileValues::new();
    load_into(&mut values, outside, path, "", 0)?;
    Ok(values)
}

fn load_into(
    values: &mut FileValues,
    outside: &dyn Outside,
    path: &str,
    prefix: &str,
    depth: usize,
) -> Result<(), ConfigError> {
    let bytes = outside
        .read_file(path)
        .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), reason: error.to_string() })?;
    let text = String::from_utf8(bytes);
    let text =
        text.map_err(|_| ConfigError::Unreadable { path: path.to_owned(), reason: "it is not UTF-8".to_owned() })?;
    let mut reader = Reader { text: text.strip_prefix('\u{feff}').unwrap_or(&text), at: 0, path };
    let directives = reader.directives(0)?;
    reader.skip_lines();
    if !reader.rest().is_empty() {
        return Err(reader.error("expected a line like key = value"));
    }
    apply(values, outside, &reader, directives, prefix, depth)
}

enum Directive {
    Bind { key: String, value: FileValue, at: usize },
    Group { key: String, directives: Vec<Directive> },
    Import { path: String, at: usize },
}

fn apply(
    values: &mut FileValues,
    outside: &dyn Outside,
    reader: &Reader<'_>,
    directives: Vec<Directive>,
    prefix: &str,
    depth: usize,
) -> Result<(), ConfigError> {
    for directive in directives {
        match directive {
            Directive::Bind { key, value: FileValue::Text(text), at } => {
                let text = interpolate(values, outside, &text, prefix).map_err(|reason| reader.error_at(at, reason))?;
                values.insert(format!("{prefix}{key}"), FileValue::Text(text));
            }
            Directive::Bind { key, value, .. } => {
                values.insert(format!("{prefix}{key}"), value);
            }
            Directive::Group { key, directives } => {
                apply(values, outside, reader, directives, &format!("{prefix}{key}."), depth)?;
            }
            Directive::Import { at, .. } if depth >= IMPORTS_NESTED_MAX => {
                return Err(reader.error_at(at, "too many files within files"));
            }
            Directive::Import { path, .. } => {
                let folder = reader.path.rfind('/').and_then(|end| reader.path.get(..=end)).unwrap_or("");
                let path = if path.starts_with('/') { path } else { format!("{folder}{path}") };
                load_into(values, outside, &path, prefix, depth + 1)?;
            }
        }
    }
    Ok(())
}

/// Replaces `$$` and `$(name)`. A name is looked up with each of the prefix's groups, innermost first, then outside.
fn interpolate(values: &FileValues, outside: &dyn Outside, text: &str, prefix: &str) -> Result<String, &'static str> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else {
            let inside =
                after.strip_prefix('(').and_then(|after| after.split_once(')')).filter(|(name, _)| !name.is_empty());
            let (name, after) = inside.ok_or("a $ must be doubled, or begin $(name)")?;
            out.push_str(&variable(values, outside, name, prefix)?);
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn variable(values: &FileValues, outside: &dyn Outside, name: &str, prefix: &str) -> Result<String, &'static str> {
    let mut group = prefix;
    loop {
        match values.get(&format!("{group}{name}")) {
            Some(FileValue::Text(text) | FileValue::Number(text)) => return Ok(text.clone()),
            Some(FileValue::Bool(_) | FileValue::List) => return Err("a variable is neither text nor number"),
            None => {}
        }
        if group.is_empty() {
            return outside.variable(name).ok_or("no such variable");
        }
        let parent = group.trim_end_matches('.').rfind('.').map_or(0, |dot| dot + 1);
        group = group.get(..parent).unwrap_or("");
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    path: &'t str,
}

impl Reader<'_> {
    fn directives(&mut self, depth: usize) -> Result<Vec<Directive>, ConfigError> {
        let mut directives = Vec::new();
        loop {
            self.skip_lines();
            if self.eat("#;") {
                self.skip_blanks();
                self.directive(depth)?;
            } else if self.rest().is_empty() || self.rest().starts_with('}') {
                return Ok(directives);
            } else {
                directives.push(self.directive(depth)?);
            }
            self.skip_blanks();
            match self.peek() {
                Some('\n' | '\r') => self.at += 1,
                Some('}') | None => return Ok(directives),
                Some(_) => return Err(self.error("expected the end of the line")),
            }
        }
    }

    fn directive(&mut self, depth: usize) -> Result<Directive, ConfigError> {
        let at = self.at;
        let key = self.key()?;
        self.skip_lines();
        if key == "import" {
            return Ok(Directive::Import { path: self.string()?, at });
        }
        if self.eat("=") {
            self.skip_lines();
            return Ok(Directive::Bind { key, value: self.value(depth)?, at });
        }
        if !self.eat("{") {
            return Err(self.error("expected = or { after the key"));
        }
        if depth >= GROUPS_NESTED_MAX {
            return Err(self.error("groups nested too deeply"));
        }
        let directives = self.directives(depth + 1)?;
        self.skip_lines();
        if self.eat("}") { Ok(Directive::Group { key, directives }) } else { Err(self.error("expected }")) }
    }

    /// Words of letters, digits, `_` and `-`, each starting with a letter, joined by dots.
    fn key(&mut self) -> Result<String, ConfigError> {
        let from = self.at;
        loop {
            if !self.peek().is_some_and(char::is_alphabetic) {
                return Err(self.error("expected a key"));
            }
            self.skip_while(|character| character.is_alphanumeric() || matches!(character, '_' | '-'));
            if !self.eat(".") {
                return Ok(self.text.get(from..self.at).unwrap_or("").to_owned());
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<FileValue, ConfigError> {
        for (word, value) in [("on", true), ("off", false), ("true", true), ("false", false)] {
            if self.eat(word) {
                return Ok(FileValue::Bool(value));
            }
        }
        match self.peek() {
            Some('"') => self.string().map(FileValue::Text),
            Some('0'..='9' | '-') => self.number(),
            Some('[') if depth < GROUPS_NESTED_MAX => self.list(depth),
            _ => Err(self.error("expected a quoted string, a number, true or false")),
        }
    }

    fn list(&mut self, depth: usize) -> Result<FileValue, ConfigError> {
        self.at += 1;
        self.skip_lines();
        while !self.eat("]") {
            self.value(depth + 1)?;
            self.skip_lines();
            if !self.eat(",") && !self.rest().starts_with(']') {
                return Err(self.error("expected , or ]"));
            }
            self.skip_lines();
        }
        Ok(FileValue::List)
    }

    fn number(&mut self) -> Result<FileValue, ConfigError> {
        let from = self.at;
        self.eat("-");
        let mut whole = self.skip_while(|character| character.is_ascii_digit());
        if self.eat(".") {
            whole &= self.skip_while(|character| character.is_ascii_digit());
        }
        if self.eat("e") || self.eat("E") {
            if !self.eat("-") {
                self.eat("+");
            }
            whole &= self.skip_while(|character| character.is_ascii_digit());
        }
        match self.text.get(from..self.at) {
            Some(number) if whole => Ok(FileValue::Number(number.to_owned())),
            _ => Err(self.error("expected a digit")),
        }
    }

    fn string(&mut self) -> Result<String, ConfigError> {
        if !self.eat("\"") {
            return Err(self.error("expected a quoted string"));
        }
        let from = self.at;
        let mut text = String::new();
        loop {
            match self.next() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escape()?),
                Some(character) => text.push(character),
                None => return Err(self.error_at(from, "this string has no end")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, ConfigError> {
        Ok(match self.next() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some(same @ ('"' | '\\')) => same,
            Some('u') => {
                let first = self.hex_quad()?;
                let pair = (0xd800..0xdc00).contains(&first) && self.eat("\\u");
                let second = if pair { self.hex_quad()? } else { 0 };
                let code = if (0xdc00..0xe000).contains(&second) {
                    0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                } else {
                    first
                };
                return char::from_u32(code).ok_or_else(|| self.error("invalid UTF-16 surrogates"));
            }
            Some(_) | None => return Err(self.error("an escape is one of \\n \\t \\r \\\" \\\\ \\uXXXX")),
        })
    }

    fn hex_quad(&mut self) -> Result<u32, ConfigError> {
        let digits =
            self.text.get(self.at..self.at + 4).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let code = digits
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.error("expected four hex digits"))?;
        self.at += 4;
        Ok(code)
    }

    /// Blanks, line ends and comments; not `#;`, which is a directive's.
    fn skip_lines(&mut self) {
        loop {
            self.skip_while(char::is_whitespace);
            if !self.rest().starts_with('#') || self.rest().starts_with("#;") {
                return;
            }
            self.skip_while(|character| !matches!(character, '\n' | '\r'));
        }
    }

    /// Blanks and a comment, up to the line's end.
    fn skip_blanks(&mut self) {
        self.skip_while(|character| matches!(character, ' ' | '\t'));
        if self.rest().starts_with('#') {
            self.skip_while(|character| !matches!(character, '\n' | '\r'));
        }
    }

    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) -> bool {
        let rest = self.rest();
        let len = rest.find(|character| !wanted(character)).unwrap_or(rest.len());
        self.at += len;
        len > 0
    }

    fn eat(&mut self, sign: &str) -> bool {
        let found = self.rest().starts_with(sign);
        self.at += if found { sign.len() } else { 0 };
        found
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        Some(character)
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn error(&self, reason: &'static str) -> ConfigError {
        self.error_at(self.at, reason)
    }

    fn error_at(&self, at: usize, reason: &'static str) -> ConfigError {
        let before = self.text.get(..at).unwrap_or("");
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        ConfigError::Syntax { path: self.path.to_owned(), line, column, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::Given;
    use super::*;

    /// `expect` lists `key=value` by key, or is the complaint with its place.
    fn check(text: &str, expect: &str) {
        let outside = Given::default()
            .file("dir/main.conf", text)
            .file("dir/more.conf", "more = \"$(name)$(ENV)\"")
            .variable("ENV", "e");
        let got = match load(&outside, "dir/main.conf") {
            Ok(values) => values.iter().map(|(key, value)| format!("{key}={value:?}")).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        };
        let got = got.replace("Text(", "").replace("Number(", "#").replace("Bool(", "").replace(')', "");
        assert!(got == expect || (!expect.is_empty() && got.ends_with(expect)), "{text}\n{got}\n{expect}");
    }

    #[test]
    fn lines_become_values() {
        check("", "");
        check("# only\n\n  # comments", "");
        check("a = 1", "a=#\"1\"");
        check("a=\"x\" # why\nb-c.d_e =\n true\r\nf = off\n", "a=\"x\" b-c.d_e=true f=false");
        check("a = 1\na = 2", "a=#\"2\"");
        check("#; a = 1\nb = on", "b=true");
        check("app.settings { x = \"1\"\n y { z = 2 }\n}", "app.settings.x=\"1\" app.settings.y.z=#\"2\"");
        check("a = [1, \"b\", [], true]", "a=List");
        check("n = 1.5e-3\nm = -4", "m=#\"-4\" n=#\"1.5e-3\"");
        check("a = \"two\nlines\"", "a=\"two\\nlines\"");
        check("ünï = 1", "ünï=#\"1\"");
        check("a = [\n # one\n 1,\n]", "a=List");
    }

    #[test]
    fn strings_escape_and_interpolate() {
        check(r#"a = "q\"b\\n\n\u00e9\ud83d\udce6""#, "a=\"q\\\"b\\\\n\\né📦\"");
        check("name = \"n\"\na = \"$$.role $(name) $(ENV)\"", "a=\"$.role n e\" name=\"n\"");
        check("name = \"n\"\nimport \"more.conf\"", "more=\"ne\" name=\"n\"");
        check("g { x = 5\n y = \"$(x)\" }", "g.x=#\"5\" g.y=\"5\"");
        check("a = \"$5\"", "dir/main.conf:1:1: a $ must be doubled, or begin $(name");
        check("a = \"$(none)\"", "1:1: no such variable");
        check("t = true\na = \"$(t)\"", "2:1: a variable is neither text nor number");
    }

    #[test]
    fn other_text_is_refused_with_its_place() {
        check("a", "1:2: expected = or { after the key");
        check("a = ", "1:5: expected a quoted string, a number, true or false");
        check("a = b", "1:5: expected a quoted string, a number, true or false");
        check("\n a = 1 b = 2", "2:8: expected the end of the line");
        check("a = once", "1:7: expected the end of the line");
        check("a = \"x", "1:6: this string has no end");
        check("a = \"\\x\"", "1:8: an escape is one of \\n \\t \\r \\\" \\\\ \\uXXXX");
        check("a = \"\\ud800\"", "1:12: invalid UTF-16 surrogates");
        check("a. = 1", "1:3: expected a key");
        check("1a = 1", "1:1: expected a key");
        check("}", "1:1: expected a line like key = value");
        check("a {", "1:4: expected }");
        check("a = 1.", "1:7: expected a digit");
        check("a = [1 2]", "1:8: expected , or ]");
        check("import \"none.conf\"", "dir/none.conf: not there");
        check("import \"main.conf\"", "1:1: too many files within files");
        check(&"a { ".repeat(5000), "groups nested too deeply");
        check(&format!("a = {}", "[".repeat(5000)), "expected a quoted string, a number, true or false");
    }
}
