//! Random reads over real tables: most of them make sense, the rest nearly do.

/// SplitMix64: the same seed asks the same.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// True once in so many times.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn pick<'t, T>(&mut self, list: &'t [T]) -> &'t T {
        &list[self.below(list.len())]
    }
}

#[derive(Debug, Default)]
pub struct Table {
    pub name: String,
    pub columns: Vec<String>,
    pub embeds: Vec<String>,
}

pub struct Generator<'t> {
    pub random: Random,
    pub tables: &'t [Table],
}

const DEPTH_MAX: usize = 3;
const TESTS: &[&str] = &[
    "eq",
    "neq",
    "gt",
    "gte",
    "lt",
    "lte",
    "like",
    "ilike",
    "match",
    "imatch",
    "isdistinct",
    "in",
    "is",
    "fts",
    "plfts",
    "phfts",
    "wfts",
    "fts(english)",
    "wfts(nope)",
    "cs",
    "cd",
    "ov",
    "sl",
    "sr",
    "nxr",
    "nxl",
    "adj",
    "eq(any)",
    "like(all)",
    "gt(any)",
    "ilike(any)",
    "match(all)",
    "in(any)",
    "is(any)",
    "EQ",
    "nope",
    "",
];
const OPERANDS: &[&str] = &[
    "1",
    "2",
    "-1",
    "0",
    "3.5",
    "1e400",
    "99999999999999999999",
    "",
    "null",
    "true",
    "not_null",
    "unknown",
    "abc",
    "*a*",
    "a%",
    "_",
    "\\",
    "a\\",
    "(",
    "[a-",
    "(a|b)*",
    "{1,2}",
    "{}",
    "{",
    "{a,b}",
    "(1,2)",
    "(1,2,3)",
    "()",
    "(",
    "(\"a\\\"b\",c)",
    "[1,10)",
    "[2024-01-01,2025-01-01]",
    "2024-01-01",
    "2024-13-01",
    "infinity",
    "NaN",
    "a & b",
    "a &",
    "a b",
    "é😀",
    "\"quoted\"",
    "\"open",
    "a,b",
    "a.b",
    "a:b",
    "{\"a\":1}",
    "'; drop table x; --",
    "$1",
    "%",
    "\t",
    "--",
    "/*",
    "::int",
    "now()",
];
const CASTS: &[&str] = &[
    "a b",
    "select",
    "text",
    "int",
    "numeric",
    "json",
    "date",
    "text[]",
    "varchar(3)",
    "nope",
    "double precision",
    "bit(3)",
    "int)",
    "",
];
const PATHS: &[&str] = &["->a", "->>a", "->0", "->-1->>b", "->a->>'b", "->", "->>", "->1a", "->a->0->b"];
const AGGREGATES: &[&str] = &["sum", "avg", "max", "min", "count", "median"];
const ODD_NAMES: &[&str] =
    &["nope", "*", "", "\"id\"", "id id", "Größe", "count", "a\"b", "a'b", "a.b", "\"a.b\"", "$x", "1"];
const ACCEPTS: &[&str] = &[
    "application/json",
    "*/*",
    "text/csv",
    "application/vnd.pgrst.object+json",
    "application/vnd.pgrst.array+json",
    "application/vnd.pgrst.object+json;nulls=stripped",
    "application/vnd.pgrst.array+json;nulls=stripped",
    "text/csv;q=0.1,application/json;q=0.5",
    "application/octet-stream",
    "text/plain",
    "nonsense",
    "application/geo+json",
];
const PREFERS: &[&str] = &[
    "count=exact",
    "count=planned",
    "count=estimated",
    "handling=strict, nope=1",
    "handling=lenient",
    "timezone=Asia/Tokyo",
    "timezone=Nope",
    "max-affected=1",
    "return=minimal",
    "count=exact, timezone=UTC",
    "tx=rollback",
];
const RANGES: &[&str] = &["0-4", "2-", "-3", "5-2", "1000-2000", "0-0", "x", "99999999999999999999-"];

impl Generator<'_> {
    /// A target and its headers.
    pub fn request(&mut self) -> (String, Vec<(String, String)>) {
        let index = self.random.below(self.tables.len());
        let table = &self.tables[index];
        let mut paths = Vec::new();
        let mut parts = Vec::new();
        if !self.random.once_in(5) {
            let select = self.select(table, 0, "", &mut paths);
            parts.push(("select".to_owned(), select));
        }
        paths.push((String::new(), index));
        for _ in 0..self.random.below(4) {
            let (prefix, index) = self.random.pick(&paths).clone();
            let part = self.restriction(&prefix, &self.tables[index]);
            parts.push(part);
        }
        let query: Vec<String> =
            parts.iter().map(|(key, value)| format!("{}={}", escaped(key), escaped(value))).collect();
        let headers = self.headers();
        (format!("/{}?{}", escaped(&table.name), query.join("&")), headers)
    }

    fn headers(&mut self) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        for (name, values) in [("Accept", ACCEPTS), ("Prefer", PREFERS), ("Range", RANGES)] {
            if self.random.once_in(5) {
                headers.push((name.to_owned(), (*self.random.pick(values)).to_owned()));
            }
        }
        headers
    }

    /// A select list; what was embedded is added to `paths` with the index of its table.
    fn select(&mut self, table: &Table, depth: usize, prefix: &str, paths: &mut Vec<(String, usize)>) -> String {
        let mut items = Vec::new();
        for _ in 0..=self.random.below(4) {
            let embeds = depth < DEPTH_MAX && !table.embeds.is_empty() && self.random.once_in(3);
            let item = if embeds { self.embed(table, depth, prefix, paths) } else { self.field(table) };
            items.push(item);
        }
        if self.random.once_in(25) {
            items.clear();
        }
        items.join(",")
    }

    fn column(&mut self, table: &Table) -> String {
        if self.random.once_in(25) {
            return (*self.random.pick(ODD_NAMES)).to_owned();
        }
        let mut column = self.random.pick(&table.columns).clone();
        if column.contains([' ', ',', '.', '(']) {
            column = format!("\"{column}\"");
        }
        if self.random.once_in(10) {
            column.push_str(self.random.pick::<&str>(PATHS));
        }
        column
    }

    fn field(&mut self, table: &Table) -> String {
        let mut field = if self.random.once_in(8) { "*".to_owned() } else { self.column(table) };
        if self.random.once_in(10) {
            field = format!("{}:{field}", self.random.pick(&["a", "b", "id", "ä", "\"x y\"", ""]));
        }
        if self.random.once_in(10) {
            field = format!("{field}::{}", self.random.pick(CASTS));
        }
        if self.random.once_in(10) {
            field = format!("{field}.{}()", self.random.pick(AGGREGATES));
            if self.random.once_in(3) {
                field = format!("{field}::{}", self.random.pick(CASTS));
            }
        }
        if self.random.once_in(40) { "count()".to_owned() } else { field }
    }

    fn embed(&mut self, table: &Table, depth: usize, prefix: &str, paths: &mut Vec<(String, usize)>) -> String {
        let name = self.random.pick(&table.embeds).clone();
        let index = self.tables.iter().position(|known| known.name == name);
        let index = index.unwrap_or_else(|| self.random.below(self.tables.len()));
        let alias = if self.random.once_in(6) { Some(*self.random.pick(&["x", "y", "id", "embedded"])) } else { None };
        let key = format!("{prefix}{}", alias.unwrap_or(&name));
        let inner = self.select(&self.tables[index], depth + 1, &format!("{key}."), paths);
        paths.push((format!("{key}."), index));
        let modifier = match self.random.below(12) {
            0 | 1 => "!inner",
            2 => "!left",
            3 => "!nope",
            _ => "",
        };
        match (alias, self.random.once_in(5)) {
            (_, true) => format!("...{name}{modifier}({inner})"),
            (Some(alias), false) => format!("{alias}:{name}{modifier}({inner})"),
            (None, false) => format!("{name}{modifier}({inner})"),
        }
    }

    /// A query parameter that narrows, orders or pages.
    fn restriction(&mut self, prefix: &str, table: &Table) -> (String, String) {
        match self.random.below(10) {
            0 | 1 => (format!("{prefix}order"), self.order(table)),
            2 => (
                format!("{prefix}limit"),
                (*self.random.pick(&["0", "1", "5", "-1", "x", "99999999999999999999"])).to_owned(),
            ),
            3 => (format!("{prefix}offset"), (*self.random.pick(&["0", "1", "1000", "-1", "x"])).to_owned()),
            4 | 5 => {
                let negated = if self.random.once_in(4) { "not." } else { "" };
                let operator = *self.random.pick(&["and", "or"]);
                (format!("{prefix}{negated}{operator}"), self.tree(table, 0))
            }
            6 if !prefix.is_empty() => {
                let test = (*self.random.pick(&["is.null", "not.is.null", "eq.1"])).to_owned();
                (prefix.trim_end_matches('.').to_owned(), test)
            }
            _ => (format!("{prefix}{}", self.column(table)), self.test()),
        }
    }

    fn order(&mut self, table: &Table) -> String {
        let mut terms = Vec::new();
        for _ in 0..=self.random.below(3) {
            let mut term = self.column(table);
            if self.random.once_in(8) && !table.embeds.is_empty() {
                term = format!("{}({term})", self.random.pick(&table.embeds));
            }
            term.push_str(self.random.pick::<&str>(&[
                "",
                "",
                ".asc",
                ".desc",
                ".desc.nullslast",
                ".nullsfirst",
                ".nope",
            ]));
            terms.push(term);
        }
        terms.join(",")
    }

    fn test(&mut self) -> String {
        let negated = if self.random.once_in(6) { "not." } else { "" };
        let operator = *self.random.pick(TESTS);
        let operand = *self.random.pick(OPERANDS);
        if operator == "in" && !operand.starts_with('(') {
            return format!("{negated}in.({operand},{})", self.random.pick(OPERANDS));
        }
        format!("{negated}{operator}.{operand}")
    }

    fn tree(&mut self, table: &Table, depth: usize) -> String {
        let mut members = Vec::new();
        for _ in 0..=self.random.below(3) {
            if depth < DEPTH_MAX && self.random.once_in(4) {
                let operator = *self.random.pick(&["and", "or", "not.and", "not.or"]);
                members.push(format!("{operator}{}", self.tree(table, depth + 1)));
            } else {
                members.push(format!("{}.{}", self.column(table), self.test()));
            }
        }
        format!("({})", members.join(","))
    }
}

/// Percent-encoded where a query string needs it.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            b'-' | b'.' | b'_' | b'*' | b'(' | b')' | b',' | b':' | b'!' | b'>' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
