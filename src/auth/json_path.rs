//! Where the role stands in the claims: `jwt-role-claim-key`, RFC 9535 JSONPath with `search()` as its only function,
//! and the dotted syntax of PostgREST before 16 (`.realm."user-role"[0]`). `parse` reads it, `walk` follows it through the
//! claims, `print` writes it. The first node found counts; objects are walked in key order.

mod parse;
mod print;
mod walk;

use regex_lite::Regex;

use crate::json::value::Value;

/// A checked path, in either syntax.
#[derive(Clone, Debug)]
pub enum RolePath {
    Standard(Query),
    /// Deprecated by PostgREST 16; the log says so at start.
    Legacy(Vec<LegacyStep>),
}

/// The text is a path in neither syntax.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotAPath {
    /// What was wrong, and at which character from 1, by the standard syntax.
    pub reason: String,
}

#[derive(Clone, Debug)]
pub enum LegacyStep {
    Key(String),
    Index(usize),
    /// Only ever last: the first string of an array that fits.
    Filter(LegacyTest, String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LegacyTest {
    Equals,
    Differs,
    StartsWith,
    EndsWith,
    Contains,
}

#[derive(Clone, Debug)]
pub struct Query {
    origin: Origin,
    segments: Vec<Segment>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Origin {
    /// `$`
    Root,
    /// `@`: the node a filter is looking at.
    Current,
}

#[derive(Clone, Debug)]
struct Segment {
    reach: Reach,
    select: Select,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reach {
    Children,
    /// `..`: the node and everything below it.
    Descendants,
}

#[derive(Clone, Debug)]
enum Select {
    Dotted(String),
    DottedWildcard,
    Bracketed(Vec<Selector>),
}

#[derive(Clone, Debug)]
enum Selector {
    Name(String),
    Index(i64),
    Slice { start: Option<i64>, end: Option<i64>, step: i64 },
    Wildcard,
    Filter(Condition),
}

/// Alternatives of conjunctions.
#[derive(Clone, Debug)]
struct Condition(Vec<Vec<Test>>);

#[derive(Clone, Debug)]
enum Test {
    Group(Wanted, Condition),
    Exists(Wanted, Query),
    Search(Wanted, Subject, Pattern),
    Compare(Operand, Comparison, Operand),
}

/// Whether a test must hold or, after `!`, must not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wanted {
    True,
    False,
}

#[derive(Clone, Debug)]
enum Subject {
    Literal(String),
    Query(Query),
}

#[derive(Clone, Debug)]
struct Pattern(Regex);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

#[derive(Clone, Debug)]
enum Operand {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    /// A path of names and indexes: at most one node.
    Singular(Origin, Vec<Step>),
}

#[derive(Clone, Debug)]
enum Step {
    Name(String),
    Index(i64),
}

impl RolePath {
    /// Reads a path: the standard syntax first, the dotted one if that fails. `$$` of configuration files is `$` by now.
    pub fn parse(text: &str) -> Result<Self, NotAPath> {
        parse::parse(text)
    }

    /// The first node the path leads to.
    pub fn first<'v, 't>(&self, claims: &'v Value<'t>) -> Option<&'v Value<'t>> {
        match self {
            Self::Standard(query) => walk::first(query, claims),
            Self::Legacy(steps) => steps.iter().try_fold(claims, |node, step| step.from(node)),
        }
    }
}

impl Default for RolePath {
    /// `$.role`
    fn default() -> Self {
        let role = Segment { reach: Reach::Children, select: Select::Dotted("role".to_owned()) };
        Self::Standard(Query { origin: Origin::Root, segments: vec![role] })
    }
}

impl LegacyStep {
    fn from<'v, 't>(&self, node: &'v Value<'t>) -> Option<&'v Value<'t>> {
        match (self, node) {
            (Self::Key(key), Value::Object(_)) => node.member(key),
            (Self::Index(index), Value::Array(items)) => items.get(*index),
            (Self::Filter(test, text), Value::Array(items)) => {
                items.iter().find(|item| item.as_str().is_some_and(|item| test.holds(item, text)))
            }
            _ => None,
        }
    }
}

impl LegacyTest {
    fn holds(self, item: &str, text: &str) -> bool {
        match self {
            Self::Equals => item == text,
            Self::Differs => item != text,
            Self::StartsWith => item.starts_with(text),
            Self::EndsWith => item.ends_with(text),
            Self::Contains => item.contains(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::value;

    const CLAIMS: &str = r#"{"role":"author","realm":{"role":"editor","user-role":"dash"},"roles":["author","editor","viewer"],
        "https://x.test/claims":{"role":"url"},"grants":[{"name":"a","on":false,"level":1.0},{"name":"b","on":true,"level":2}],
        "n":5,"nil":null}"#;

    /// `expect` is the found node as JSON; `-` stands for none.
    fn check(path: &str, expect: &str) {
        let claims = value::parse(CLAIMS.as_bytes()).unwrap();
        let parsed = RolePath::parse(path).unwrap_or_else(|error| panic!("{path}: {}", error.reason));
        for path in [parsed.clone(), RolePath::parse(&parsed.to_string()).unwrap()] {
            let mut found = String::new();
            match path.first(&claims) {
                Some(node) => node.write(&mut found),
                None => found.push('-'),
            }
            assert_eq!(found, expect, "{path}");
        }
    }

    #[test]
    fn standard_paths_find_the_first_node() {
        check("$.role", r#""author""#);
        check("$.none", "-");
        check(" $.realm.role ", r#""editor""#);
        check("$.realm['user-role']", r#""dash""#);
        check("$[\"realm\"][\"user-role\"]", r#""dash""#);
        check("$['https://x.test/claims'].role", r#""url""#);
        check("$.roles[1]", r#""editor""#);
        check("$.roles[-1]", r#""viewer""#);
        check("$.roles[7]", "-");
        check("$.roles[*]", r#""author""#);
        check("$.roles[1:]", r#""editor""#);
        check("$.roles[:1:-1]", r#""viewer""#);
        check("$.roles[::-2]", r#""viewer""#);
        check("$.roles[0:2:0]", "-");
        check("$.roles[9, 2]", r#""viewer""#);
        check("$..name", r#""a""#);
        check("$..[1]", r#"{"level":2,"name":"b","on":true}"#);
        check("$.n", "5");
        check("$.nil", "null");
        check("$.realm.*", r#""editor""#);
    }

    #[test]
    fn filters_compare_search_and_combine() {
        check("$.roles[?(@ == 'editor')]", r#""editor""#);
        check("$.roles[?@ != 'author']", r#""editor""#);
        check("$.roles[?@ > 'e' && @ < 'f' || @ == 'none']", r#""editor""#);
        check("$.roles[?search(@, '^vi')]", r#""viewer""#);
        check("$.roles[?!search(@, 'or$')]", r#""viewer""#);
        check("$.grants[?@.on == true].name", r#""b""#);
        check("$.grants[?@.level == 2.0].name", r#""b""#);
        check("$.grants[?@.level<=1].name", r#""a""#);
        check("$.grants[?!(@.on == true)].name", r#""a""#);
        check("$.grants[?@.none].name", "-");
        check("$.grants[?!@.none].name", r#""a""#);
        check("$.grants[?@.name == $.grants[1].name].level", "2");
        check("$.grants[?@.none == @.other].name", r#""a""#);
        check("$[?@ == null]", "null");
        check("$.grants[?@.on].name", r#""a""#);
    }

    #[test]
    fn dotted_paths_still_work() {
        check(".role", r#""author""#);
        check(".realm.\"user-role\"", r#""dash""#);
        check(".\"https://x.test/claims\".role", r#""url""#);
        check(".roles[1]", r#""editor""#);
        check(".roles[9]", "-");
        check(".role[0]", "-");
        check(".roles[?(@ == \"editor\")]", r#""editor""#);
        check(".roles[?(@ != \"author\")]", r#""editor""#);
        check(".roles[?(@ ^== \"vi\")]", r#""viewer""#);
        check(".roles[?(@ ==^ \"tor\")]", r#""editor""#);
        check(".roles[?(@*==\"iewe\")]", r#""viewer""#);
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "role",
            "$.",
            "$role",
            "$.user-role",
            "$.roles[",
            "$.roles[a]",
            "$.roles[?]",
            "$['a",
            ".",
            ".a.",
            ".a[x]",
            ".a[?(@ == 'b')]",
            ".roles[?(@ == \"a\")].b",
            "$.a[?length(@) > 1]",
            "$.a[?search(@, '(')]",
            "$.a[?@.*== 1]",
            "$.a[1:2:3:4]",
            "$.1a",
            "$.roles[99999999999999999999]",
        ] {
            assert!(RolePath::parse(text).is_err(), "{text}");
        }
        assert!(RolePath::parse(&format!("$[?{}@{}]", "(".repeat(5000), ")".repeat(5000))).is_err());
        assert_eq!(RolePath::parse("$.a[!]").unwrap_err().reason, "unexpected '!' at character 5");
    }

    #[test]
    fn a_walk_ends() {
        let deep = format!("{}{}", "[".repeat(150), "]".repeat(150));
        let claims = value::parse(deep.as_bytes()).unwrap();
        let path = RolePath::parse("$..*..*..*..*..*..*.role").unwrap();
        assert!(path.first(&claims).is_none());
    }
}
