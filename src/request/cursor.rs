//! The cursor that every grammar of the URL shares, and PostgREST's wording of what went wrong.
//!
//! PostgREST's grammars run on Parsec and clients see its complaints, so the cursor keeps Parsec's books: what was
//! unexpected and what was expected at the furthest place that failed; a label replaces the expectations of a rule that
//! took nothing; taking a character forgets what came before it. A rule failed "empty" if it left `pos` where it began:
//! only then is the next alternative tried.
//! Invariant: `messages[base..]` belong to the rule that runs now, all of them at byte `at` of the input.
//! Limits: `limits::NESTING_MAX` levels of parentheses.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::complaint::{Complaint, Message, describe};
use crate::limits;

/// The running rule failed; what it had to say is in the cursor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failed;

pub type Parse<T> = Result<T, Failed>;

/// A literal of the grammar: its text, and how an error message shows it.
#[derive(Clone, Copy, Debug)]
pub struct Literal {
    pub text: &'static str,
    pub shown: &'static str,
}

/// Builds a `Literal` whose shown form has double quotes around it.
macro_rules! literal {
    ($text:literal) => {
        $crate::request::cursor::Literal { text: $text, shown: concat!("\"", $text, "\"") }
    };
}
pub(super) use literal;

/// Reads `input`; texts handed out borrow the request where the input needed no decoding.
pub struct Cursor<'i, 'r> {
    input: &'i str,
    borrowed: Option<&'r str>,
    pos: usize,
    at: usize,
    base: usize,
    messages: SmallVec<[Message; 24]>,
    depth: usize,
    too_deep: Option<usize>,
    shortcuts: Shortcuts,
}

/// Whether a grammar may take the commonest texts at one glance. The long way is the oracle of the tests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shortcuts {
    Taken,
    Avoided,
}

/// What a rule saves of the one around it.
struct Outer {
    base: usize,
    at: usize,
    start: usize,
}

impl<'i, 'r> Cursor<'i, 'r> {
    /// A cursor over a decoded value: borrowed from the request, its texts are too; owned, they are copied.
    pub fn new(input: &'i Cow<'r, str>) -> Self {
        Self::with(input, Shortcuts::Taken)
    }

    /// A cursor that takes shortcuts or not: what comes out is the same, complaints included.
    pub fn with(input: &'i Cow<'r, str>, shortcuts: Shortcuts) -> Self {
        let borrowed = match input {
            Cow::Borrowed(text) => Some(*text),
            Cow::Owned(_) => None,
        };
        let input = input.as_ref();
        Self { input, borrowed, pos: 0, at: 0, base: 0, messages: SmallVec::new(), depth: 0, too_deep: None, shortcuts }
    }

    /// Byte offset of the next character.
    pub fn pos(&self) -> usize {
        self.pos
    }

    /// The input not yet taken.
    pub fn rest(&self) -> &'i str {
        self.input.get(self.pos..).unwrap_or("")
    }

    pub fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// The text between two byte offsets, to look at.
    pub fn text(&self, start: usize, end: usize) -> &'i str {
        self.input.get(start..end).unwrap_or("")
    }

    /// The text between two byte offsets, to keep: borrowed from the request where that is possible.
    pub fn slice(&self, start: usize, end: usize) -> Cow<'r, str> {
        match self.borrowed {
            Some(text) => Cow::Borrowed(text.get(start..end).unwrap_or("")),
            None => Cow::Owned(self.text(start, end).to_owned()),
        }
    }

    /// The ASCII letters, digits and `_` that come next, and what follows them; `None` without any, or without shortcuts.
    pub fn plain_word(&self) -> Option<(&'i str, &'i str)> {
        let rest = self.rest();
        let len = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
        if len > 0 && self.shortcuts == Shortcuts::Taken { rest.split_at_checked(len) } else { None }
    }

    /// The input not yet taken, where shortcuts are.
    pub fn glance(&self) -> Option<&'i str> {
        (self.shortcuts == Shortcuts::Taken).then(|| self.rest())
    }

    /// Takes bytes that a glance has understood: whole characters, at least one.
    pub fn skip(&mut self, len: usize) -> Cow<'r, str> {
        let start = self.pos;
        self.advance_to(start + len);
        self.slice(start, self.pos)
    }

    /// True inside parentheses.
    pub fn is_nested(&self) -> bool {
        self.depth > 0
    }

    /// Everything up to the end of the input.
    pub fn take_rest(&mut self) -> Cow<'r, str> {
        let start = self.pos;
        if start < self.input.len() {
            self.advance_to(self.input.len());
        }
        self.complain(&[]);
        self.slice(start, self.input.len())
    }

    /// One character that `wanted` accepts; `labels` say what it would have been.
    pub fn one(&mut self, wanted: impl Fn(char) -> bool, labels: &[&'static str]) -> Parse<char> {
        match self.peek() {
            Some(next) if wanted(next) => {
                self.advance_to(self.pos + next.len_utf8());
                Ok(next)
            }
            _ => {
                self.complain(labels);
                Err(Failed)
            }
        }
    }

    /// Any number of characters that `wanted` accepts: their range in the input.
    pub fn many(&mut self, wanted: impl Fn(char) -> bool, labels: &[&'static str]) -> (usize, usize) {
        let start = self.pos;
        let rest = self.rest();
        let taken = rest.find(|next| !wanted(next)).unwrap_or(rest.len());
        if taken > 0 {
            self.advance_to(start + taken);
        }
        self.complain(labels);
        (start, self.pos)
    }

    /// One or more characters that `wanted` accepts.
    pub fn many1(&mut self, wanted: impl Fn(char) -> bool, labels: &[&'static str]) -> Parse<(usize, usize)> {
        let (start, end) = self.many(wanted, labels);
        if end > start { Ok((start, end)) } else { Err(Failed) }
    }

    /// A literal. One that fits in part fails with the part taken, complaining where it began.
    pub fn word(&mut self, literal: Literal) -> Parse<()> {
        let rest = self.rest();
        if rest.starts_with(literal.text) {
            self.advance_to(self.pos + literal.text.len());
            return Ok(());
        }
        let (fits, found) = common_prefix(rest, literal.text);
        if fits > 0 {
            self.messages.truncate(self.base);
        }
        self.push_at(self.pos, &[Message::Found(found), Message::Expected(literal.shown)]);
        self.pos += fits;
        Err(Failed)
    }

    /// True if the literal comes next; nothing is taken. If it doesn't, that is noted as an expectation.
    pub fn ahead(&mut self, literal: Literal) -> bool {
        let rest = self.rest();
        if rest.starts_with(literal.text) {
            return true;
        }
        let (_, found) = common_prefix(rest, literal.text);
        self.push_at(self.pos, &[Message::Found(found), Message::Expected(literal.shown)]);
        false
    }

    /// True at the end of the input.
    pub fn at_end(&mut self) -> bool {
        let next = self.peek();
        let remark = next.map_or(Message::Found(None), Message::Refused);
        self.push_at(self.pos, &[remark, Message::Expected("end of input")]);
        next.is_none()
    }

    /// Fails if a character that `refused` accepts comes next. `label` is what that character would be shown as.
    pub fn not_followed_by(&mut self, refused: impl Fn(char) -> bool, label: &[&'static str]) -> Parse<()> {
        match self.peek() {
            Some(next) if refused(next) => {
                self.push_at(self.pos + next.len_utf8(), &[Message::Refused(next)]);
                Err(Failed)
            }
            _ => {
                self.complain(label);
                Ok(())
            }
        }
    }

    /// Runs a rule; if it fails, whatever it took is given back.
    pub fn attempt<T>(&mut self, rule: impl FnOnce(&mut Self) -> Parse<T>) -> Parse<T> {
        let outer = self.enter();
        let result = rule(self);
        if result.is_err() && self.too_deep.is_none() {
            self.pos = outer.start;
        }
        self.leave(outer);
        result
    }

    /// Names a rule: if it takes nothing, what it expected is replaced by `label`.
    pub fn label<T>(&mut self, label: &'static str, rule: impl FnOnce(&mut Self) -> Parse<T>) -> Parse<T> {
        let outer = self.enter();
        let result = rule(self);
        if self.pos == outer.start && (result.is_err() || self.messages.len() > self.base) {
            let base = self.base;
            let mut kept = base;
            for index in base..self.messages.len() {
                if let Some(&message) = self.messages.get(index)
                    && !matches!(message, Message::Expected(_))
                {
                    if let Some(slot) = self.messages.get_mut(kept) {
                        *slot = message;
                    }
                    kept += 1;
                }
            }
            self.messages.truncate(kept);
            self.messages.push(Message::Expected(label));
        }
        self.leave(outer);
        result
    }

    /// Tries `first`; where that failed without taking anything, `second`.
    pub fn either<T>(
        &mut self,
        first: impl FnOnce(&mut Self) -> Parse<T>,
        second: impl FnOnce(&mut Self) -> Parse<T>,
    ) -> Parse<T> {
        let start = self.pos;
        match first(self) {
            Err(Failed) if self.pos == start => second(self),
            done => done,
        }
    }

    /// A rule that may be absent.
    pub fn optional<T>(&mut self, rule: impl FnOnce(&mut Self) -> Parse<T>) -> Parse<Option<T>> {
        let start = self.pos;
        match rule(self) {
            Ok(found) => Ok(Some(found)),
            Err(Failed) if self.pos == start => Ok(None),
            Err(Failed) => Err(Failed),
        }
    }

    /// The first literal that fits; each that doesn't is given back.
    pub fn one_of<T: Copy>(&mut self, choices: &[(Literal, T)]) -> Parse<T> {
        for &(literal, value) in choices {
            if self.attempt(|cursor| cursor.word(literal)).is_ok() {
                return Ok(value);
            }
        }
        Err(Failed)
    }

    /// Items with separators between them, none at all allowed. A rule that takes something and fails, fails the list.
    pub fn separated<T>(
        &mut self,
        mut separator: impl FnMut(&mut Self) -> Parse<()>,
        mut item: impl FnMut(&mut Self) -> Parse<T>,
    ) -> Parse<Vec<T>> {
        let start = self.pos;
        match self.separated1(&mut separator, &mut item) {
            Err(Failed) if self.pos == start => Ok(Vec::new()),
            done => done,
        }
    }

    /// Items with separators between them, at least one.
    pub fn separated1<T>(
        &mut self,
        mut separator: impl FnMut(&mut Self) -> Parse<()>,
        mut item: impl FnMut(&mut Self) -> Parse<T>,
    ) -> Parse<Vec<T>> {
        let mut items = vec![item(self)?];
        loop {
            let start = self.pos;
            let step = separator(self).and_then(|()| item(self));
            match step {
                Ok(next) => items.push(next),
                Err(Failed) if self.pos == start => return Ok(items),
                Err(Failed) => return Err(Failed),
            }
        }
    }

    /// Repeats a rule until it fails without taking anything.
    pub fn repeated<T>(&mut self, mut rule: impl FnMut(&mut Self) -> Parse<T>) -> Parse<Vec<T>> {
        let mut items = Vec::new();
        loop {
            let start = self.pos;
            match rule(self) {
                Ok(next) => items.push(next),
                Err(Failed) if self.pos == start => return Ok(items),
                Err(Failed) => return Err(Failed),
            }
        }
    }

    /// One level of parentheses deeper; past `limits::NESTING_MAX` the whole parse fails.
    pub fn nested<T>(&mut self, rule: impl FnOnce(&mut Self) -> Parse<T>) -> Parse<T> {
        if self.depth >= limits::NESTING_MAX {
            self.too_deep.get_or_insert(self.pos);
            return Err(Failed);
        }
        self.depth += 1;
        let result = rule(self);
        self.depth -= 1;
        result
    }

    /// Taking characters forgets what was expected before them.
    fn advance_to(&mut self, pos: usize) {
        self.pos = pos;
        self.messages.truncate(self.base);
    }

    /// The next character is none of `labels`.
    fn complain(&mut self, labels: &[&'static str]) {
        let found = self.peek();
        if self.make_room(self.pos) {
            self.messages.push(Message::Found(found));
            self.messages.extend(labels.iter().map(|&label| Message::Expected(label)));
        }
    }

    fn push_at(&mut self, at: usize, messages: &[Message]) {
        if self.make_room(at) {
            self.messages.extend_from_slice(messages);
        }
    }

    /// The furthest place wins: remarks about an earlier one are dropped, or not taken (false).
    fn make_room(&mut self, at: usize) -> bool {
        if self.messages.len() == self.base || at > self.at {
            self.messages.truncate(self.base);
            self.at = at;
        }
        at == self.at
    }

    fn enter(&mut self) -> Outer {
        let outer = Outer { base: self.base, at: self.at, start: self.pos };
        self.base = self.messages.len();
        outer
    }

    /// Joins the remarks of the rule that ends with those of the rule around it.
    fn leave(&mut self, outer: Outer) {
        let own = self.messages.len() > self.base;
        let outers = self.base > outer.base;
        if self.pos != outer.start || (own && outers && self.at > outer.at) {
            self.messages.drain(outer.base..self.base);
        } else if !own || (outers && self.at < outer.at) {
            self.messages.truncate(self.base);
            self.at = outer.at;
        }
        self.base = outer.base;
    }

    /// What to tell the client after the outermost rule failed. `what` is `failed to parse select parameter`, say;
    /// `shown` the value to repeat in the message.
    pub fn complaint(&self, what: &'static str, shown: &str) -> Complaint {
        let at = self.too_deep.unwrap_or(self.at);
        let details = match self.too_deep {
            Some(_) => format!("nested deeper than {} levels", limits::NESTING_MAX),
            None => describe(self.messages.get(self.base..).unwrap_or(&[])),
        };
        Complaint::new(what, shown, self.input.get(..at).unwrap_or(self.input), details)
    }
}

/// How many bytes of `literal` the input has, and the character that differs.
fn common_prefix(input: &str, literal: &str) -> (usize, Option<char>) {
    let fits = input.bytes().zip(literal.bytes()).take_while(|(a, b)| a == b).count();
    (fits, input.get(fits..).and_then(|rest| rest.chars().next()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_furthest_failure_is_told() {
        let input = Cow::Borrowed("abx");
        let mut cursor = Cursor::new(&input);
        let outcome = cursor.label("a start", |cursor| {
            cursor.either(
                |cursor| {
                    cursor.attempt(|cursor| {
                        cursor.word(literal!("a"))?;
                        cursor.word(literal!("b"))?;
                        cursor.word(literal!("c"))
                    })
                },
                |cursor| cursor.word(literal!("z")),
            )
        });
        assert_eq!(outcome, Err(Failed));
        let complaint = cursor.complaint("failed to parse it", "abx");
        assert_eq!(complaint.message, "\"failed to parse it (abx)\" (line 1, column 3)");
        assert_eq!(complaint.details, "unexpected \"x\" expecting a start");
    }
}
