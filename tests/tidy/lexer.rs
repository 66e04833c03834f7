//! Just enough of Rust's lexical structure to tell code from strings, comments and tests.
//! Limits: it knows no macros; what looks like a function in one counts as a function.

/// A file as it is and as the checks need it.
pub struct Source {
    pub text: String,
    /// The text with comments and the insides of literals blanked; every byte keeps its line.
    pub code: String,
    /// The contents of string literals and where they start in the text.
    strings: Vec<(usize, String)>,
    /// Where the first test module starts in `code`: tests stand last.
    tests_at: usize,
}

impl Source {
    pub fn of(text: &str) -> Self {
        let (code, strings) = blank(text);
        let inline = test_declarations(&code).into_iter().find(|(_, _, end)| *end == Some('{'));
        let tests_at = inline.map_or(code.len(), |(at, ..)| at);
        Self { text: text.to_owned(), code, strings, tests_at }
    }

    /// Modules in files of their own that are declared behind `#[cfg(test)]`.
    pub fn test_modules(&self) -> Vec<String> {
        let elsewhere = test_declarations(&self.code).into_iter().filter(|(_, _, end)| *end == Some(';'));
        elsewhere.map(|(_, name, _)| name).collect()
    }

    /// Says that all of the file is tests.
    pub fn mark_as_tests(&mut self) {
        self.tests_at = 0;
    }

    pub fn code_without_tests(&self) -> &str {
        &self.code[..self.tests_at]
    }

    pub fn lines_without_tests(&self) -> usize {
        self.code_without_tests().lines().count()
    }

    pub fn strings_without_tests(&self) -> Vec<&str> {
        let before = self.strings.iter().filter(|(at, _)| *at < self.tests_at);
        before.map(|(_, text)| text.as_str()).collect()
    }

    /// What follows `crate::`, up to the first brace or the end of the path; of `crate::{a, b::c}` each member.
    pub fn crate_paths(&self) -> Vec<String> {
        let code = self.code_without_tests();
        let mut paths = Vec::new();
        for (at, _) in code.match_indices("crate::") {
            if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
                continue;
            }
            let rest = &code[at + "crate::".len()..];
            match rest.strip_prefix('{') {
                Some(group) => paths.extend(members(group).into_iter().map(path_at_start)),
                None => paths.push(path_at_start(rest)),
            }
        }
        paths
    }

    /// Name, line and number of lines of every function with a body, tests aside.
    pub fn functions(&self) -> Vec<(String, usize, usize)> {
        let code = self.code_without_tests();
        let mut found = Vec::new();
        for (at, _) in code.match_indices("fn ") {
            if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let rest = &code[at + 3..];
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let Some(body) = body_start(rest) else { continue };
            let Some(length) = block_length(&rest[body..]) else { continue };
            if !name.is_empty() {
                let lines = rest[..body + length].lines().count();
                found.push((name, code[..at].matches('\n').count() + 1, lines));
            }
        }
        found
    }
}

/// Every module behind `#[cfg(test)]`: where the attribute stands, the module's name, and whether `{` or `;` follows.
fn test_declarations(code: &str) -> Vec<(usize, String, Option<char>)> {
    const ATTRIBUTE: &str = "#[cfg(test)]";
    let mut found = Vec::new();
    for (at, _) in code.match_indices(ATTRIBUTE) {
        let item = code[at + ATTRIBUTE.len()..].trim_start();
        let item =
            ["pub(crate) ", "pub(super) ", "pub "].iter().find_map(|word| item.strip_prefix(word)).unwrap_or(item);
        if let Some(rest) = item.strip_prefix("mod ") {
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let end = rest[name.len()..].trim_start().chars().next();
            found.push((at, name, end));
        }
    }
    found
}

/// Where a function's body begins; `None` where it is only declared. The `;` of an array's type ends nothing.
fn body_start(signature: &str) -> Option<usize> {
    let mut depth = 0i32;
    for (at, byte) in signature.bytes().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth <= 0 => return Some(at),
            b';' if depth <= 0 => return None,
            _ => {}
        }
    }
    None
}

/// The bytes from an opening brace through its closing one.
fn block_length(code: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

/// The comma-separated members of a brace group whose opening brace has been read.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => {
                found.push(group[start..at].trim());
                break;
            }
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                found.push(group[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    found.retain(|member| !member.is_empty());
    found
}

fn path_at_start(code: &str) -> String {
    let path: String = code.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':').collect();
    path.trim_end_matches(':').to_owned()
}

/// Whether `word` stands in `line` on its own.
pub fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        let closed = !word.ends_with(part) || !after.starts_with(part);
        closed && (!word.starts_with(part) || !before.ends_with(part))
    })
}

/// The text with comments and the insides of literals as blanks, and the strings' contents.
fn blank(text: &str) -> (String, Vec<(usize, String)>) {
    let (mut code, mut strings, mut at) = (String::with_capacity(text.len()), Vec::new(), 0);
    while at < text.len() {
        let rest = &text[at..];
        let (length, kept) = token(rest, code.chars().next_back());
        if let Some((from, to)) = kept {
            strings.push((at, rest[from..to].to_owned()));
        }
        match length {
            // An ordinary character.
            0 => {
                let letter = rest.chars().next().unwrap_or(' ');
                code.push(letter);
                at += letter.len_utf8();
            }
            length => {
                code.extend(rest[..length].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
                at += length;
            }
        }
    }
    (code, strings)
}

/// The length of the comment or literal that `rest` starts with, 0 where it starts with neither; of a string, also
/// where its contents are.
fn token(rest: &str, before: Option<char>) -> (usize, Option<(usize, usize)>) {
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), None);
    }
    if rest.starts_with("/*") {
        return (comment_length(rest), None);
    }
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if !in_word && let Some((open, close)) = raw_string(rest) {
        let end = rest[open..].find(&close).map_or(rest.len(), |found| open + found);
        return ((end + close.len()).min(rest.len()), Some((open, end)));
    }
    if rest.starts_with('"') {
        let end = quoted_end(rest, b'"');
        return ((end + 1).min(rest.len()), Some((1, end)));
    }
    if let Some(inside) = rest.strip_prefix('\'') {
        // A lifetime has no closing quote after one letter.
        let mut letters = inside.chars();
        let first = letters.next();
        if first == Some('\\') || letters.next() == Some('\'') {
            return ((quoted_end(rest, b'\'') + 1).min(rest.len()), None);
        }
    }
    (0, None)
}

fn comment_length(rest: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        at += match here {
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        if depth == 0 {
            break;
        }
    }
    at
}

/// Where the contents of a raw string start and what ends them.
fn raw_string(rest: &str) -> Option<(usize, String)> {
    let after = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..]
        .starts_with('"')
        .then(|| (rest.len() - after.len() + hashes + 1, format!("\"{}", "#".repeat(hashes))))
}

/// Where the quote that ends a literal stands; backslashes escape.
fn quoted_end(rest: &str, quote: u8) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_without_literals_and_comments() {
        let check = |text: &str, expect: &str| {
            let (code, _) = blank(text);
            assert_eq!(code, expect, "{text}");
        };
        check("a // b\nc", "a     \nc");
        check("a /* b /* c */ d */ e", &format!("a{}e", " ".repeat(19)));
        check(r#"f("x\"y", 'z', '\'')"#, "f(      ,    ,     )");
        check("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)");
        check(r###"r#"a"b"# br"c" bar"d""###, "               bar   ");
        check("\"é\"", "    ");
        check("\"never ends", "           ");
    }

    #[test]
    fn the_strings_of_a_file() {
        let source =
            Source::of("let a = \"one\"; // \"no\"\nlet b = r#\"two\"#;\n#[cfg(test)]\nmod tests { \"three\" }");
        assert_eq!(source.strings_without_tests(), ["one", "two"]);
    }

    #[test]
    fn words() {
        for (line, word, expect) in [
            ("unsafe {", "unsafe", true),
            ("unsafe_code", "unsafe", false),
            ("my_unsafe", "unsafe", false),
            ("x::dbg!(y)", "dbg!", true),
            ("#[ignore = \"\"]", "#[ignore", true),
            ("#[ignored]", "#[ignore", false),
        ] {
            assert_eq!(has_word(line, word), expect, "{line}");
        }
    }
}
