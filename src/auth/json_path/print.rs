//! A path as text again, in one canonical spelling that `parse` reads: what `--dump-config` shows.

use std::fmt;

use super::{
    Comparison, Condition, LegacyStep, LegacyTest, Operand, Origin, Query, Reach, RolePath, Segment, Select, Selector,
    Step, Subject, Test, Wanted,
};

impl fmt::Display for RolePath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standard(query) => query.fmt(out),
            Self::Legacy(steps) => steps.iter().try_for_each(|step| step.fmt(out)),
        }
    }
}

impl fmt::Display for LegacyStep {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(out, ".\"{key}\""),
            Self::Index(index) => write!(out, "[{index}]"),
            Self::Filter(test, text) => {
                let operator = match test {
                    LegacyTest::Equals => "==",
                    LegacyTest::Differs => "!=",
                    LegacyTest::StartsWith => "^==",
                    LegacyTest::EndsWith => "==^",
                    LegacyTest::Contains => "*==",
                };
                write!(out, "[?(@ {operator} \"{text}\")]")
            }
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Root => "$",
            Self::Current => "@",
        })
    }
}

impl fmt::Display for Query {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.origin.fmt(out)?;
        for Segment { reach, select } in &self.segments {
            match (reach, select) {
                (Reach::Children, Select::Dotted(name)) => write!(out, ".{name}")?,
                (Reach::Children, Select::DottedWildcard) => out.write_str(".*")?,
                (Reach::Children, Select::Bracketed(selectors)) => write!(out, "[{}]", Joined(selectors, ","))?,
                (Reach::Descendants, Select::Dotted(name)) => write!(out, "..{name}")?,
                (Reach::Descendants, Select::DottedWildcard) => out.write_str("..*")?,
                (Reach::Descendants, Select::Bracketed(selectors)) => write!(out, "..[{}]", Joined(selectors, ","))?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => Quoted(name).fmt(out),
            Self::Index(index) => write!(out, "{index}"),
            Self::Wildcard => out.write_str("*"),
            Self::Filter(condition) => write!(out, "?{condition}"),
            Self::Slice { start, end, step } => {
                let bound = |bound: &Option<i64>| bound.map_or(String::new(), |bound| bound.to_string());
                write!(out, "{}:{}:{step}", bound(start), bound(end))
            }
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, all) in self.0.iter().enumerate() {
            if index > 0 {
                out.write_str(" || ")?;
            }
            Joined(all, " && ").fmt(out)?;
        }
        Ok(())
    }
}

impl fmt::Display for Test {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = |wanted: &Wanted| match wanted {
            Wanted::True => "",
            Wanted::False => "!",
        };
        match self {
            Self::Group(wanted, condition) => write!(out, "{}({condition})", mark(wanted)),
            Self::Exists(wanted, query) => write!(out, "{}{query}", mark(wanted)),
            Self::Search(wanted, Subject::Literal(text), pattern) => {
                write!(out, "{}search({}, {})", mark(wanted), Quoted(text), Quoted(pattern.0.as_str()))
            }
            Self::Search(wanted, Subject::Query(query), pattern) => {
                write!(out, "{}search({query}, {})", mark(wanted), Quoted(pattern.0.as_str()))
            }
            Self::Compare(left, comparison, right) => {
                let operator = match comparison {
                    Comparison::Less => "<",
                    Comparison::LessOrEqual => "<=",
                    Comparison::Greater => ">",
                    Comparison::GreaterOrEqual => ">=",
                    Comparison::Equal => "==",
                    Comparison::NotEqual => "!=",
                };
                write!(out, "{left} {operator} {right}")
            }
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => out.write_str("null"),
            Self::Bool(value) => write!(out, "{value}"),
            Self::Number(text) => out.write_str(text),
            Self::String(text) => Quoted(text).fmt(out),
            Self::Singular(origin, steps) => {
                origin.fmt(out)?;
                steps.iter().try_for_each(|step| match step {
                    Step::Name(name) => write!(out, "[{}]", Quoted(name)),
                    Step::Index(index) => write!(out, "[{index}]"),
                })
            }
        }
    }
}

struct Joined<'a, T>(&'a [T], &'static str);

impl<T: fmt::Display> fmt::Display for Joined<'_, T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            if index > 0 {
                out.write_str(self.1)?;
            }
            part.fmt(out)?;
        }
        Ok(())
    }
}

/// A string literal in single quotes.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "'{}'", self.0.replace('\\', "\\\\").replace('\'', "\\'"))
    }
}
