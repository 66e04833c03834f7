//! A CSV body → rows of fields under a header, and those as a JSON array of texts (`NULL` is null).
//! Records end with CR, LF or both; a field is quoted as a whole, with doubled quotes in it, or has none at all.
//! Rows shorter than the header lack its last columns, longer ones lose the rest; blank lines are skipped.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::payload::push_json_string;

/// Header and records, blank lines removed.
#[derive(Debug)]
pub struct Table<'r> {
    header: Vec<Cow<'r, str>>,
    rows: Vec<Vec<Cow<'r, str>>>,
}

/// The error is PostgREST's message.
pub fn read(body: &[u8]) -> Result<Table<'_>, String> {
    let text = std::str::from_utf8(body).map_err(|_| "the CSV is not valid UTF-8".to_owned())?;
    let mut reader = Reader { text, pos: 0 };
    let header = reader.record()?;
    if !reader.line_end() {
        return Err(reader.refusal());
    }
    let mut rows = Vec::new();
    while reader.pos < text.len() {
        let row = reader.record()?;
        if !reader.line_end() && reader.pos < text.len() {
            return Err(reader.refusal());
        }
        if !matches!(row.as_slice(), [only] if only.is_empty()) {
            rows.push(row);
        }
    }
    Ok(Table { header, rows })
}

impl Table<'_> {
    /// The columns that every row has, sorted; none if there is no row, `None` if rows differ in them.
    pub fn keys(&self) -> Option<Vec<&str>> {
        let mut rows = self.rows.iter();
        let Some(first) = rows.next() else { return Some(Vec::new()) };
        let wanted = self.columns_of(first.len());
        let mut alike = first.len().min(self.header.len());
        for row in rows {
            let width = row.len().min(self.header.len());
            if width != alike {
                if self.columns_of(width) != wanted {
                    return None;
                }
                alike = width;
            }
        }
        Some(wanted)
    }

    pub fn to_json(&self) -> Vec<u8> {
        let mut out = vec![b'['];
        for (index, row) in self.rows.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let members: BTreeMap<&str, &str> =
                self.header.iter().zip(row).map(|(key, value)| (&**key, &**value)).collect();
            out.push(b'{');
            for (index, (key, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_json_string(&mut out, key);
                out.push(b':');
                match value {
                    "NULL" => out.extend(b"null"),
                    _ => push_json_string(&mut out, value),
                }
            }
            out.push(b'}');
        }
        out.push(b']');
        out
    }

    fn columns_of(&self, width: usize) -> Vec<&str> {
        let mut columns: Vec<&str> = self.header.iter().take(width).map(|column| &**column).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }
}

struct Reader<'r> {
    text: &'r str,
    pos: usize,
}

impl<'r> Reader<'r> {
    fn record(&mut self) -> Result<Vec<Cow<'r, str>>, String> {
        let mut fields = vec![self.field()?];
        while self.rest().starts_with(',') {
            self.pos += 1;
            fields.push(self.field()?);
        }
        Ok(fields)
    }

    fn field(&mut self) -> Result<Cow<'r, str>, String> {
        if self.rest().starts_with('"') {
            return self.quoted();
        }
        let rest = self.rest();
        let len = rest.find(['"', ',', '\n', '\r']).unwrap_or(rest.len());
        self.pos += len;
        Ok(Cow::Borrowed(rest.get(..len).unwrap_or_default()))
    }

    fn quoted(&mut self) -> Result<Cow<'r, str>, String> {
        self.pos += 1;
        let mut text = Cow::Borrowed("");
        loop {
            let rest = self.rest();
            let Some(len) = rest.find('"') else {
                self.pos = self.text.len();
                return Err(self.refusal());
            };
            text += rest.get(..len).unwrap_or_default();
            self.pos += len + 1;
            if !self.rest().starts_with('"') {
                return Ok(text);
            }
            self.pos += 1;
            text += "\"";
        }
    }

    fn line_end(&mut self) -> bool {
        let rest = self.rest();
        let len = match rest.as_bytes() {
            [b'\r', b'\n', ..] => 2,
            [b'\r' | b'\n', ..] => 1,
            _ => 0,
        };
        self.pos += len;
        len > 0
    }

    fn rest(&self) -> &'r str {
        self.text.get(self.pos..).unwrap_or_default()
    }

    fn refusal(&self) -> String {
        let rest = self.rest();
        let why = if rest.is_empty() { "not enough input" } else { "endOfInput" };
        let shown: String = rest.chars().take(100).flat_map(char::escape_default).collect();
        format!("parse error ({why}) at \"{shown}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expect: Result<(&str, Option<&[&str]>), &str>) {
        let found = read(body.as_bytes());
        let found = found.as_ref().map(|table| (String::from_utf8(table.to_json()).unwrap(), table.keys()));
        let expect = expect.map(|(json, keys)| (json.to_owned(), keys.map(<[&str]>::to_vec))).map_err(str::to_owned);
        assert_eq!(found.map_err(Clone::clone), expect, "{body:?}");
    }

    #[test]
    fn tables() {
        check("a,b\n1,hi\n", Ok((r#"[{"a":"1","b":"hi"}]"#, Some(&["a", "b"]))));
        check("a,b\r\n1,NULL\r\n2,", Ok((r#"[{"a":"1","b":null},{"a":"2","b":""}]"#, Some(&["a", "b"]))));
        check("a\n", Ok(("[]", Some(&[]))));
        check("\"x,y\"\n\"a \"\"b\"\"\nc\"\n", Ok((r#"[{"x,y":"a \"b\"\u000ac"}]"#, Some(&["x,y"]))));
        check("a,a\n1,2\n", Ok((r#"[{"a":"2"}]"#, Some(&["a"]))));
        check("a,b\n1\n\n", Ok((r#"[{"a":"1"}]"#, Some(&["a"]))));
        check("a\n1,2\n", Ok((r#"[{"a":"1"}]"#, Some(&["a"]))));
        check("a,b\n1\n1,2\n", Ok((r#"[{"a":"1"},{"a":"1","b":"2"}]"#, None)));
        check("a,a\n1\n1,2\n", Ok((r#"[{"a":"1"},{"a":"2"}]"#, Some(&["a"]))));
    }

    #[test]
    fn broken_tables() {
        check("", Err("parse error (not enough input) at \"\""));
        check("a,b", Err("parse error (not enough input) at \"\""));
        check("a\n\"b", Err("parse error (not enough input) at \"\""));
        check("a\nb\"c\n", Err("parse error (endOfInput) at \"\\\"c\\n\""));
    }
}
