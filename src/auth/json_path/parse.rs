//! Text → `RolePath`. Grammar: RFC 9535, section 2, without functions other than `search()`, and with the dotted syntax
//! of PostgREST before 16 tried where that fails.
//! Limits: filters nest `FILTERS_NESTED_MAX` deep.

use regex_lite::RegexBuilder;

use super::{
    Comparison, Condition, LegacyStep, LegacyTest, NotAPath, Operand, Origin, Pattern, Query, Reach, RolePath, Segment,
    Select, Selector, Step, Subject, Test, Wanted,
};

const FILTERS_NESTED_MAX: usize = 32;
/// Compiled size of a pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 256 * 1024;

pub fn parse(text: &str) -> Result<RolePath, NotAPath> {
    let mut reader = Reader { text, at: 0, depth: 0 };
    match reader.whole() {
        Ok(query) => Ok(RolePath::Standard(query)),
        Err(error) => Reader { text, at: 0, depth: 0 }.legacy().map(RolePath::Legacy).map_err(|_| error),
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn whole(&mut self) -> Result<Query, NotAPath> {
        self.blanks();
        let query = self.query()?;
        self.blanks();
        if self.rest().is_empty() { Ok(query) } else { self.unexpected() }
    }

    fn query(&mut self) -> Result<Query, NotAPath> {
        let origin = self.origin()?;
        let mut segments = Vec::new();
        while let Some(segment) = self.segment()? {
            segments.push(segment);
        }
        Ok(Query { origin, segments })
    }

    fn origin(&mut self) -> Result<Origin, NotAPath> {
        if self.eat("$") {
            Ok(Origin::Root)
        } else if self.eat("@") {
            Ok(Origin::Current)
        } else {
            self.unexpected()
        }
    }

    /// The next segment, or none where something else follows.
    fn segment(&mut self) -> Result<Option<Segment>, NotAPath> {
        let before = self.at;
        self.blanks();
        let reach = if self.eat("..") { Reach::Descendants } else { Reach::Children };
        if self.eat("[") {
            return Ok(Some(Segment { reach, select: self.bracketed()? }));
        }
        if reach == Reach::Children && !self.eat(".") {
            self.at = before;
            return Ok(None);
        }
        if self.eat("*") {
            return Ok(Some(Segment { reach, select: Select::DottedWildcard }));
        }
        Ok(Some(Segment { reach, select: Select::Dotted(self.shorthand()?) }))
    }

    fn shorthand(&mut self) -> Result<String, NotAPath> {
        let first = |character: char| character.is_alphabetic() || character == '_' || !character.is_ascii();
        if !self.peek().is_some_and(first) {
            return self.unexpected();
        }
        Ok(self.take_while(|character| first(character) || character.is_alphanumeric()))
    }

    /// What stands between brackets, after the opening one.
    fn bracketed(&mut self) -> Result<Select, NotAPath> {
        let mut selectors = Vec::new();
        loop {
            self.blanks();
            selectors.push(self.selector()?);
            self.blanks();
            if self.eat("]") {
                return Ok(Select::Bracketed(selectors));
            }
            self.expect(",")?;
        }
    }

    fn selector(&mut self) -> Result<Selector, NotAPath> {
        match self.peek() {
            Some('\'' | '"') => self.string().map(Selector::Name),
            Some('*') => {
                self.at += 1;
                Ok(Selector::Wildcard)
            }
            Some('?') => {
                self.at += 1;
                self.blanks();
                self.condition().map(Selector::Filter)
            }
            _ => self.index_or_slice(),
        }
    }

    fn index_or_slice(&mut self) -> Result<Selector, NotAPath> {
        let start = self.optional_integer()?;
        self.blanks();
        if !self.eat(":") {
            return start.map(Selector::Index).map_or_else(|| self.unexpected(), Ok);
        }
        self.blanks();
        let end = self.optional_integer()?;
        self.blanks();
        let step = if self.eat(":") {
            self.blanks();
            self.optional_integer()?
        } else {
            None
        };
        Ok(Selector::Slice { start, end, step: step.unwrap_or(1) })
    }

    fn optional_integer(&mut self) -> Result<Option<i64>, NotAPath> {
        let from = self.at;
        self.eat("-");
        let digits = self.take_while(|character| character.is_ascii_digit());
        if digits.is_empty() {
            return if self.at == from { Ok(None) } else { self.unexpected() };
        }
        let number = self.text.get(from..self.at).and_then(|digits| digits.parse().ok());
        number
            .map(Some)
            .ok_or_else(|| NotAPath { reason: format!("number out of range at character {}", self.column(from)) })
    }

    fn condition(&mut self) -> Result<Condition, NotAPath> {
        // An error ends the parse, so only success needs to count down again.
        self.depth += 1;
        if self.depth > FILTERS_NESTED_MAX {
            return Err(NotAPath { reason: format!("filters nested deeper than {FILTERS_NESTED_MAX}") });
        }
        let mut alternatives = vec![self.conjunction()?];
        while self.eat_after_blanks("||") {
            self.blanks();
            alternatives.push(self.conjunction()?);
        }
        self.depth -= 1;
        Ok(Condition(alternatives))
    }

    fn conjunction(&mut self) -> Result<Vec<Test>, NotAPath> {
        let mut tests = vec![self.test()?];
        while self.eat_after_blanks("&&") {
            self.blanks();
            tests.push(self.test()?);
        }
        Ok(tests)
    }

    fn test(&mut self) -> Result<Test, NotAPath> {
        let wanted = if self.eat("!") { Wanted::False } else { Wanted::True };
        self.blanks();
        if self.eat("(") {
            self.blanks();
            let condition = self.condition()?;
            self.blanks();
            self.expect(")")?;
            return Ok(Test::Group(wanted, condition));
        }
        if self.eat("search(") {
            return self.search(wanted);
        }
        let from = self.at;
        if wanted == Wanted::True
            && let Ok(left) = self.operand()
        {
            self.blanks();
            if let Some(comparison) = self.comparison() {
                self.blanks();
                return Ok(Test::Compare(left, comparison, self.operand()?));
            }
        }
        self.at = from;
        self.query().map(|query| Test::Exists(wanted, query))
    }

    /// The arguments of `search(subject, 'pattern')`, after the opening parenthesis.
    fn search(&mut self, wanted: Wanted) -> Result<Test, NotAPath> {
        self.blanks();
        let subject = match self.peek() {
            Some('\'' | '"') => Subject::Literal(self.string()?),
            _ => Subject::Query(self.query()?),
        };
        self.blanks();
        self.expect(",")?;
        self.blanks();
        let pattern = self.string()?;
        self.blanks();
        self.expect(")")?;
        let built = RegexBuilder::new(&pattern).size_limit(PATTERN_BYTES_MAX).build();
        let pattern =
            built.map_err(|error| NotAPath { reason: format!("the pattern '{pattern}' of search(): {error}") })?;
        Ok(Test::Search(wanted, subject, Pattern(pattern)))
    }

    fn comparison(&mut self) -> Option<Comparison> {
        let operators = [
            (">=", Comparison::GreaterOrEqual),
            ("<=", Comparison::LessOrEqual),
            (">", Comparison::Greater),
            ("<", Comparison::Less),
            ("!=", Comparison::NotEqual),
            ("==", Comparison::Equal),
        ];
        operators.into_iter().find_map(|(sign, comparison)| self.eat(sign).then_some(comparison))
    }

    fn operand(&mut self) -> Result<Operand, NotAPath> {
        match self.peek() {
            Some('\'' | '"') => self.string().map(Operand::String),
            Some('$' | '@') => self.singular(),
            Some('-' | '0'..='9') => self.number().map(Operand::Number),
            _ if self.eat("true") => Ok(Operand::Bool(true)),
            _ if self.eat("false") => Ok(Operand::Bool(false)),
            _ if self.eat("null") => Ok(Operand::Null),
            _ => self.unexpected(),
        }
    }

    /// A path of names and indexes. It is read without `bracketed`: what is more general would be parsed twice at every
    /// level of a nested filter.
    fn singular(&mut self) -> Result<Operand, NotAPath> {
        let origin = self.origin()?;
        let mut steps = Vec::new();
        loop {
            let before = self.at;
            self.blanks();
            if self.eat("[") {
                self.blanks();
                steps.push(match self.peek() {
                    Some('\'' | '"') => Step::Name(self.string()?),
                    _ => Step::Index(self.optional_integer()?.map_or_else(|| self.unexpected(), Ok)?),
                });
                self.blanks();
                self.expect("]")?;
            } else if self.eat(".") {
                steps.push(Step::Name(self.shorthand()?));
            } else {
                self.at = before;
                return Ok(Operand::Singular(origin, steps));
            }
        }
    }

    fn number(&mut self) -> Result<String, NotAPath> {
        let from = self.at;
        self.eat("-");
        let mut digits = self.take_while(|character| character.is_ascii_digit());
        if !digits.is_empty() && self.eat(".") {
            digits = self.take_while(|character| character.is_ascii_digit());
        }
        if !digits.is_empty() && (self.eat("e") || self.eat("E")) {
            if !self.eat("-") {
                self.eat("+");
            }
            digits = self.take_while(|character| character.is_ascii_digit());
        }
        match self.text.get(from..self.at) {
            Some(number) if !digits.is_empty() && digits.len() < 18 => Ok(number.to_owned()),
            _ => self.unexpected(),
        }
    }

    /// A string in either quotes, with JSON's escapes.
    fn string(&mut self) -> Result<String, NotAPath> {
        let Some(quote @ ('\'' | '"')) = self.next() else {
            return self.unexpected();
        };
        let mut text = String::new();
        loop {
            match self.next() {
                Some(character) if character == quote => return Ok(text),
                Some('\\') => text.push(self.escape(quote)?),
                Some(character) if character >= ' ' => text.push(character),
                Some(_) | None => return self.unexpected(),
            }
        }
    }

    fn escape(&mut self, quote: char) -> Result<char, NotAPath> {
        match self.next() {
            Some('b') => Ok('\u{8}'),
            Some('f') => Ok('\u{c}'),
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some(same @ ('/' | '\\')) => Ok(same),
            Some(same) if same == quote => Ok(same),
            Some('u') => {
                let first = self.hex_quad()?;
                let code = if (0xd800..0xdc00).contains(&first) {
                    self.expect("\\u")?;
                    let second = self.hex_quad()?;
                    let paired = (0xdc00..0xe000).contains(&second);
                    if paired { 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00) } else { first }
                } else {
                    first
                };
                char::from_u32(code).map_or_else(|| self.unexpected(), Ok)
            }
            Some(_) | None => self.unexpected(),
        }
    }

    fn hex_quad(&mut self) -> Result<u32, NotAPath> {
        let digits =
            self.text.get(self.at..self.at + 4).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
            Some(code) => {
                self.at += 4;
                Ok(code)
            }
            None => self.unexpected(),
        }
    }

    fn legacy(&mut self) -> Result<Vec<LegacyStep>, NotAPath> {
        let mut steps = Vec::new();
        while !self.rest().is_empty() {
            if self.eat(".") {
                steps.push(LegacyStep::Key(self.legacy_key()?));
            } else if self.eat("[?(") {
                let filter = self.legacy_filter()?;
                steps.push(filter);
                return if self.rest().is_empty() { Ok(steps) } else { self.unexpected() };
            } else {
                self.expect("[")?;
                let index = self.take_while(|character| character.is_ascii_digit());
                self.expect("]")?;
                steps.push(LegacyStep::Index(index.parse().or_else(|_| self.unexpected())?));
            }
        }
        if steps.is_empty() { self.unexpected() } else { Ok(steps) }
    }

    fn legacy_key(&mut self) -> Result<String, NotAPath> {
        if self.peek() == Some('"') {
            return self.legacy_quoted();
        }
        let key = self.take_while(|character| character.is_alphanumeric() || matches!(character, '_' | '$' | '@'));
        if key.is_empty() { self.unexpected() } else { Ok(key) }
    }

    fn legacy_quoted(&mut self) -> Result<String, NotAPath> {
        self.expect("\"")?;
        let text = self.take_while(|character| character != '"');
        self.expect("\"")?;
        Ok(text)
    }

    /// `@ operator "text")]`, after `[?(`.
    fn legacy_filter(&mut self) -> Result<LegacyStep, NotAPath> {
        let operators = [
            ("==^", LegacyTest::EndsWith),
            ("==", LegacyTest::Equals),
            ("!=", LegacyTest::Differs),
            ("^==", LegacyTest::StartsWith),
            ("*==", LegacyTest::Contains),
        ];
        self.expect("@")?;
        self.blanks();
        let found = operators.into_iter().find_map(|(sign, test)| self.eat(sign).then_some(test));
        let test = found.map_or_else(|| self.unexpected(), Ok)?;
        self.blanks();
        let text = self.legacy_quoted()?;
        self.expect(")]")?;
        Ok(LegacyStep::Filter(test, text))
    }

    fn blanks(&mut self) {
        self.take_while(|character| matches!(character, ' ' | '\n' | '\r' | '\t'));
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let rest = self.rest();
        let taken =
            rest.find(|character| !wanted(character)).and_then(|end| rest.get(..end)).unwrap_or(rest).to_owned();
        self.at += taken.len();
        taken
    }

    fn eat_after_blanks(&mut self, sign: &str) -> bool {
        let before = self.at;
        self.blanks();
        let found = self.eat(sign);
        if !found {
            self.at = before;
        }
        found
    }

    fn eat(&mut self, sign: &str) -> bool {
        let found = self.rest().starts_with(sign);
        self.at += if found { sign.len() } else { 0 };
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), NotAPath> {
        if self.eat(sign) { Ok(()) } else { self.unexpected() }
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

    fn unexpected<T>(&self) -> Result<T, NotAPath> {
        let column = self.column(self.at);
        Err(NotAPath {
            reason: match self.peek() {
                Some(character) => format!("unexpected '{character}' at character {column}"),
                None => "unexpected end".to_owned(),
            },
        })
    }

    fn column(&self, at: usize) -> usize {
        self.text.get(..at).map_or(0, |before| before.chars().count()) + 1
    }
}
