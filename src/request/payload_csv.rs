//! A CSV body → its columns, and its rows as a JSON array of texts (`NULL` is null), made a part at a time: spelled out, the
//! array repeats every column's name in every row.
//! Records end with CR, LF or both; a field is quoted as a whole, with doubled quotes in it, or has none at all.
//! Rows shorter than the header lack its last columns, longer ones lose the rest; blank lines are skipped.
//! Invariant: memory is the header's and one field's place for each column, whatever the rows are.
//! Limits: `limits::CSV_HEADER_BYTES_MAX`.

use memchr::{memchr, memchr3};

use crate::limits;

/// A body that was walked through to its end. Its rows are still in the body alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    names: Vec<String>,
    /// Sorted by name, then by place: of a name that stands twice the last counts that a row reaches.
    members: Vec<Member>,
    /// Which member a field is.
    ranks: Vec<usize>,
    /// Where the first record behind the header begins.
    rows_begin: usize,
    keys: Option<Vec<String>>,
    json_bytes: usize,
}

/// A column as JSON has it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Member {
    /// Which field of a record.
    field: usize,
    /// The next field of the same name.
    repeated_at: Option<usize>,
    /// `"name":`
    lead: Vec<u8>,
}

/// The error is PostgREST's message.
pub fn read(body: &[u8]) -> Result<Table, String> {
    if std::str::from_utf8(body).is_err() {
        return Err("the CSV is not valid UTF-8".to_owned());
    }
    let mut reader = Reader { bytes: body, pos: 0 };
    let mut fields = Vec::new();
    reader.record(&mut fields, limits::CSV_HEADER_BYTES_MAX)?;
    if reader.pos > limits::CSV_HEADER_BYTES_MAX {
        return Err("the CSV's header is too long".to_owned());
    }
    if !reader.line_end() {
        return Err(reader.refusal());
    }
    let names = fields.iter().map(|field| String::from_utf8_lossy(&field.text(body)).into_owned()).collect();
    let mut table = Table::of(names, reader.pos);
    table.walk(reader)?;
    Ok(table)
}

impl Table {
    fn of(names: Vec<String>, rows_begin: usize) -> Self {
        let mut places: Vec<usize> = (0..names.len()).collect();
        places.sort_by_key(|&place| names.get(place));
        let members = places
            .iter()
            .enumerate()
            .map(|(at, &field)| {
                let name = names.get(field).map(String::as_str).unwrap_or_default();
                let next = places.get(at + 1).copied().filter(|&next| names.get(next) == names.get(field));
                let mut lead = Vec::with_capacity(name.len() + 3);
                push_string(&mut lead, name.as_bytes());
                lead.push(b':');
                Member { field, repeated_at: next, lead }
            })
            .collect();
        let mut ranks = vec![0; names.len()];
        for (rank, &field) in places.iter().enumerate() {
            if let Some(place) = ranks.get_mut(field) {
                *place = rank;
            }
        }
        Self { names, members, ranks, rows_begin, keys: Some(Vec::new()), json_bytes: b"[]".len() }
    }

    /// Checks every record, compares their columns, and counts what the JSON will be.
    fn walk(&mut self, mut reader: Reader<'_>) -> Result<(), String> {
        let mut record = Record::default();
        let mut count = Count(self.json_bytes);
        let mut widths: Option<(Vec<&str>, usize)> = None;
        let mut alike = true;
        while record.read(self, &mut reader)? {
            let width = record.fields.len();
            match &mut widths {
                None => widths = Some((self.columns_of(width), width)),
                Some((wanted, known)) => {
                    count.put(b",");
                    if width != *known && alike {
                        alike = self.columns_of(width) == *wanted;
                        *known = width;
                    }
                }
            }
            self.write_row(reader.bytes, &record, &mut count);
        }
        let keys = widths.map_or(Vec::new(), |(wanted, _)| wanted.into_iter().map(str::to_owned).collect());
        self.keys = alike.then_some(keys);
        self.json_bytes = count.0;
        Ok(())
    }

    /// The columns that every row has, sorted; none if there is no row, `None` if rows differ in them.
    pub fn keys(&self) -> Option<&[String]> {
        self.keys.as_deref()
    }

    /// Length of the JSON.
    pub fn json_bytes(&self) -> usize {
        self.json_bytes
    }

    /// All of the JSON; `body` is what the table was read from.
    pub fn to_json(&self, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.json_bytes);
        let mut rows = Rows::of(self);
        while rows.write(self, body, &mut out, usize::MAX) {}
        out
    }

    fn write_row(&self, body: &[u8], record: &Record, out: &mut impl Out) {
        let mut next: &[u8] = b"{";
        for (member, field) in record.members.iter().filter_map(|&member| self.value(record, member)) {
            out.put(next);
            next = b",";
            out.put(&member.lead);
            field.begin(body, out);
            if !field.is_null(body) {
                field.write(body, field.begin, usize::MAX, out);
                out.put(b"\"");
            }
        }
        // A record has at least one field, and the header too.
        out.put(b"}");
    }

    fn value<'t>(&'t self, record: &'t Record, member: usize) -> Option<(&'t Member, &'t Field)> {
        let member = self.members.get(member)?;
        Some((member, record.fields.get(member.field)?))
    }

    fn columns_of(&self, width: usize) -> Vec<&str> {
        let mut columns: Vec<&str> = self.names.iter().take(width).map(String::as_str).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }
}

/// One record, its fields under the header.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct Record {
    fields: Vec<Field>,
    /// The members of its object in order: those of the record before it, where that was as wide.
    members: Vec<usize>,
    members_width: usize,
}

impl Record {
    /// Reads the next record that isn't a blank line; false at the end. Time is the record's own.
    fn read(&mut self, table: &Table, reader: &mut Reader<'_>) -> Result<bool, String> {
        while reader.pos < reader.bytes.len() {
            let width = reader.record(&mut self.fields, table.names.len())?;
            if !reader.line_end() && reader.pos < reader.bytes.len() {
                return Err(reader.refusal());
            }
            if width > 1 || self.fields.first().is_some_and(|only| only.begin < only.end) {
                self.arrange(table);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn arrange(&mut self, table: &Table) {
        let width = self.fields.len();
        if width == self.members_width {
            return;
        }
        self.members_width = width;
        self.members.clear();
        let repeated = |&member: &usize| {
            table.members.get(member).and_then(|member| member.repeated_at).is_some_and(|place| place < width)
        };
        self.members.extend(table.ranks.iter().take(width).copied().filter(|member| !repeated(member)));
        self.members.sort_unstable();
    }
}

/// How far the JSON of a table has been written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rows {
    /// Where the next record begins.
    pos: usize,
    record: Record,
    at: At,
    /// What stands before the next row.
    separator: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Row,
    /// This member of the record comes next.
    Member {
        index: usize,
        separator: u8,
    },
    /// This member's value goes on from here.
    Value {
        index: usize,
        from: usize,
    },
    End,
}

impl Rows {
    pub fn of(table: &Table) -> Self {
        Self { pos: table.rows_begin, record: Record::default(), at: At::Row, separator: b'[' }
    }

    /// Appends about `bytes` more; false once there is nothing more to come.
    pub fn write(&mut self, table: &Table, body: &[u8], out: &mut Vec<u8>, bytes: usize) -> bool {
        let enough = out.len().saturating_add(bytes);
        while out.len() < enough && self.at != At::End {
            self.at = self.step(table, body, out, enough);
        }
        self.at != At::End
    }

    fn step(&mut self, table: &Table, body: &[u8], out: &mut Vec<u8>, enough: usize) -> At {
        match self.at {
            At::Row => {
                let mut reader = Reader { bytes: body, pos: self.pos };
                // What is refused was refused when the table was read.
                let found = self.record.read(table, &mut reader).unwrap_or(false);
                self.pos = reader.pos;
                if !found {
                    out.extend_from_slice(if self.separator == b'[' { b"[]" } else { b"]" });
                    return At::End;
                }
                out.push(std::mem::replace(&mut self.separator, b','));
                At::Member { index: 0, separator: b'{' }
            }
            At::Member { index, separator } => {
                let Some((member, field)) = self.value(table, index) else {
                    out.push(b'}');
                    return At::Row;
                };
                out.push(separator);
                out.extend_from_slice(&member.lead);
                field.begin(body, out);
                match field.is_null(body) {
                    true => At::Member { index: index + 1, separator: b',' },
                    false => At::Value { index, from: field.begin },
                }
            }
            At::Value { index, from } => {
                if let Some((_, field)) = self.value(table, index).filter(|(_, field)| from < field.end) {
                    let from = field.write(body, from, enough - out.len(), out);
                    return At::Value { index, from };
                }
                out.push(b'"');
                At::Member { index: index + 1, separator: b',' }
            }
            At::End => At::End,
        }
    }

    fn value<'t>(&'t self, table: &'t Table, index: usize) -> Option<(&'t Member, &'t Field)> {
        table.value(&self.record, *self.record.members.get(index)?)
    }
}

/// Where JSON goes: into a buffer, or nowhere but counted.
trait Out {
    fn put(&mut self, bytes: &[u8]);
}

impl Out for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

struct Count(usize);

impl Out for Count {
    fn put(&mut self, bytes: &[u8]) {
        self.0 = self.0.saturating_add(bytes.len());
    }
}

/// A field's text in the body, without its quotes; in a quoted one those inside are still doubled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Field {
    begin: usize,
    end: usize,
    quotes: Quotes,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Quotes {
    Single,
    Doubled,
}

impl Field {
    fn text<'b>(&self, body: &'b [u8]) -> std::borrow::Cow<'b, [u8]> {
        let text = body.get(self.begin..self.end).unwrap_or_default();
        match self.quotes {
            Quotes::Doubled if memchr(b'"', text).is_some() => {
                let (mut out, mut rest) = (Vec::new(), text);
                while let Some(at) = memchr(b'"', rest) {
                    out.extend_from_slice(rest.get(..=at).unwrap_or_default());
                    rest = rest.get(at + 2..).unwrap_or_default();
                }
                out.extend_from_slice(rest);
                out.into()
            }
            Quotes::Single | Quotes::Doubled => text.into(),
        }
    }

    fn is_null(&self, body: &[u8]) -> bool {
        body.get(self.begin..self.end) == Some(b"NULL")
    }

    /// `null`, or the quote before the text.
    fn begin(&self, body: &[u8], out: &mut impl Out) {
        out.put(if self.is_null(body) { b"null" } else { b"\"" });
    }

    /// The text from `from`, escaped, about `bytes` of it; returns where the rest begins.
    fn write(&self, body: &[u8], from: usize, bytes: usize, out: &mut impl Out) -> usize {
        let end = self.end.min(from.saturating_add(bytes.max(1)));
        let mut from = from;
        while from < end {
            let text = body.get(from..end).unwrap_or_default();
            let plain = text.iter().position(|&byte| is_escaped(byte)).unwrap_or(text.len());
            out.put(text.get(..plain).unwrap_or_default());
            from += plain;
            if let Some(&byte) = text.get(plain) {
                escape(byte, out);
                from += if byte == b'"' && self.quotes == Quotes::Doubled { 2 } else { 1 };
            }
        }
        from
    }
}

fn is_escaped(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

fn escape(byte: u8, out: &mut impl Out) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' => out.put(b"\\\""),
        b'\\' => out.put(b"\\\\"),
        _ => {
            out.put(b"\\u00");
            let digits = [byte >> 4, byte & 15].map(|digit| HEX.get(usize::from(digit)).copied().unwrap_or_default());
            out.put(&digits);
        }
    }
}

/// Appends a JSON string, quotes and all.
pub fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    let whole = Field { begin: 0, end: text.len(), quotes: Quotes::Single };
    whole.write(text, 0, usize::MAX, out);
    out.push(b'"');
}

struct Reader<'r> {
    bytes: &'r [u8],
    pos: usize,
}

impl Reader<'_> {
    /// Reads one record; its first `kept` fields are left in `fields`. Returns how many there are.
    fn record(&mut self, fields: &mut Vec<Field>, kept: usize) -> Result<usize, String> {
        fields.clear();
        let mut count = 0;
        loop {
            let field = self.field()?;
            if count < kept {
                fields.push(field);
            }
            count += 1;
            if self.peek() != Some(b',') {
                return Ok(count);
            }
            self.pos += 1;
        }
    }

    fn field(&mut self) -> Result<Field, String> {
        if self.peek() == Some(b'"') {
            return self.quoted();
        }
        let rest = self.rest();
        let len = memchr3(b'"', b',', b'\n', rest).unwrap_or(rest.len());
        let len = memchr(b'\r', rest.get(..len).unwrap_or_default()).unwrap_or(len);
        let begin = self.pos;
        self.pos += len;
        Ok(Field { begin, end: self.pos, quotes: Quotes::Single })
    }

    fn quoted(&mut self) -> Result<Field, String> {
        self.pos += 1;
        let begin = self.pos;
        loop {
            let Some(len) = memchr(b'"', self.rest()) else {
                self.pos = self.bytes.len();
                return Err(self.refusal());
            };
            self.pos += len + 1;
            if self.peek() != Some(b'"') {
                return Ok(Field { begin, end: self.pos - 1, quotes: Quotes::Doubled });
            }
            self.pos += 1;
        }
    }

    fn line_end(&mut self) -> bool {
        let len = match self.rest() {
            [b'\r', b'\n', ..] => 2,
            [b'\r' | b'\n', ..] => 1,
            _ => 0,
        };
        self.pos += len;
        len > 0
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.pos..).unwrap_or_default()
    }

    fn refusal(&self) -> String {
        const SHOWN_CHARS: usize = 100;
        let rest = self.rest();
        let why = if rest.is_empty() { "not enough input" } else { "endOfInput" };
        // A character has at most four bytes.
        let begin = String::from_utf8_lossy(rest.get(..SHOWN_CHARS * 4).unwrap_or(rest));
        let shown: String = begin.chars().take(SHOWN_CHARS).flat_map(char::escape_default).collect();
        format!("parse error ({why}) at \"{shown}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expect: Result<(&str, Option<&[&str]>), &str>) {
        let found = read(body.as_bytes()).map(|table| (whole(&table, body), table.keys().map(<[String]>::to_vec)));
        let owned = |keys: &[&str]| keys.iter().map(|&key| key.to_owned()).collect();
        let expect = expect.map(|(json, keys)| (json.to_owned(), keys.map(owned))).map_err(str::to_owned);
        assert_eq!(found, expect, "{body:?}");
    }

    /// The JSON, which must be the same in parts of any size, and as long as it said.
    fn whole(table: &Table, body: &str) -> String {
        let json = table.to_json(body.as_bytes());
        assert_eq!(json.len(), table.json_bytes(), "{body:?}");
        for bytes in [1, 2, 3, 7, 1000] {
            let (mut out, mut part, mut rows) = (Vec::new(), Vec::new(), Rows::of(table));
            loop {
                let more = rows.write(table, body.as_bytes(), &mut part, bytes);
                out.append(&mut part);
                if !more {
                    break;
                }
            }
            assert_eq!(out, json, "{body:?} in parts of {bytes}");
        }
        String::from_utf8(json).unwrap()
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

    #[test]
    fn the_memory_is_the_headers_whatever_the_rows_are() {
        let commas = ",".repeat(1_000_000);
        let table = read(format!("a,b\n{commas}\n").as_bytes()).unwrap();
        assert_eq!(table.names.len(), 2);
        let mut rows = Rows::of(&table);
        let body = format!("a,b\n1{commas}\n2,\"{}\"", "\"\"".repeat(500_000));
        let table = read(body.as_bytes()).unwrap();
        let mut part = Vec::new();
        while rows.write(&table, body.as_bytes(), &mut part, 1000) {
            assert!(part.len() < 1100 && rows.record.fields.capacity() < 16, "{} bytes", part.len());
            part.clear();
        }
        let long = "x".repeat(limits::CSV_HEADER_BYTES_MAX + 1);
        assert_eq!(read(format!("{long}\n1").as_bytes()), Err("the CSV's header is too long".to_owned()));
        assert_eq!(read(format!("{commas}\n1").as_bytes()), Err("the CSV's header is too long".to_owned()));
    }

    proptest::proptest! {
        #[test]
        fn json_is_what_serde_reads_back(body in "[ab,]{1,5}\n([ab\"\\\\,\r\n\u{1}é]{0,6}|NULL|\n|,){0,8}") {
            if let Ok(table) = read(body.as_bytes()) {
                let json = whole(&table, &body);
                proptest::prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{body:?} {json}");
            }
        }
    }
}
