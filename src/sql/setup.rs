//! The statement that sets what a transaction's SQL sees of its request: search_path, role, request.* and the rest, in
//! PostgREST's order (role settings before the role, so that `GRANT SET ON PARAMETER` to the authenticator counts).
//! All of it is local to the transaction; `transaction_read_only` rides along.

use std::fmt::Write;

use super::ident;

/// Values of one request, gathered in one buffer that is reused: a warm request allocates nothing.
#[derive(Debug, Default)]
pub struct Values {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

/// Where a value is.
#[derive(Clone, Copy, Debug)]
enum Span {
    Null,
    /// Here, from and to.
    Own(usize, usize),
    /// It is the request's body, which is too large to be copied.
    Payload,
}

impl Values {
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
    }

    pub fn push(&mut self, value: &[u8]) {
        self.push_with(|out| out.extend_from_slice(value));
    }

    pub fn push_null(&mut self) {
        self.spans.push(Span::Null);
    }

    /// Adds what `Given::Payload` stands for.
    pub fn push_payload(&mut self) {
        self.spans.push(Span::Payload);
    }

    /// Adds the value that `write` appends.
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let begin = self.bytes.len();
        write(&mut self.bytes);
        self.spans.push(Span::Own(begin, self.bytes.len()));
    }

    pub fn iter(&self) -> impl Iterator<Item = Given<'_>> {
        self.spans.iter().map(move |span| match *span {
            Span::Null => Given::Null,
            Span::Own(begin, end) => Given::Own(self.bytes.get(begin..end).unwrap_or_default()),
            Span::Payload => Given::Payload,
        })
    }
}

/// One of the values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Given<'v> {
    Null,
    Own(&'v [u8]),
    /// The request's body, which is somewhere else.
    Payload,
}

/// What the statement's text depends on; two requests with equal parts share one prepared statement.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SetupShape {
    pub access: Access,
    /// One that HTTP names stands in the text; another is a parameter.
    pub method: Option<&'static str>,
    pub role_settings: u16,
    /// Without any, `{}` stands in the text.
    pub cookies: Presence,
    pub timezone: Presence,
    /// Settings of the called function and `app.settings.*`.
    pub other_settings: u16,
    pub response: ResponseSettings,
}

/// What becomes of `response.*` that an earlier request's SQL left on the session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ResponseSettings {
    /// Nobody reads them in this transaction.
    Ignored,
    /// They are emptied: this transaction's own decide its answer.
    Cleared,
}

/// Looks before it writes: where nothing is left, which is nearly always, nothing is set, and what was never set stays NULL.
const CLEAR_RESPONSE: &str = " or case when pg_catalog.current_setting('response.headers', true) <> '' \
    then pg_catalog.set_config('response.headers', '', true) is null end \
    or case when pg_catalog.current_setting('response.status', true) <> '' \
    then pg_catalog.set_config('response.status', '', true) is null end";

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    ReadOnly,
    ReadWrite,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Presence {
    Absent,
    Present,
}

/// Whether settings end with the transaction. The mutant, which shows that the isolation test can fail, keeps them.
const LOCAL: bool = !cfg!(feature = "mutant-keep-settings");

/// A function takes a hundred arguments (`FUNC_MAX_ARGS`).
const CALLS_AT_ONCE: u32 = 90;

/// Text of the statement. Parameters in order: search_path; (name, value) of each role setting; role; claims; method where
/// it isn't in the shape; path; headers; cookies where present; timezone where present; (name, value) of each other
/// setting.
///
/// `num_nulls` has its arguments worked out from left to right, and as `set_config` never returns null (guc_funcs.c) no row
/// comes out: as output columns the same calls cost PostgreSQL an eighth more of the whole transaction, and what is the same
/// for most requests costs less in the text than as a parameter (perf/results/hot-path.md).
///
/// Functions are named with their schema: of a variadic one PostgreSQL prefers any with the very types, wherever it is, and
/// in `public` that could be anybody's.
pub fn setup_text(shape: SetupShape) -> String {
    let mut text = String::from("select where pg_catalog.num_nulls(");
    let mut setter = Setter { text: &mut text, calls: 0, parameter: 0 };
    if shape.access == Access::ReadOnly {
        setter.fixed("transaction_read_only", "on", true);
    }
    setter.named("search_path");
    for _ in 0..shape.role_settings {
        setter.dynamic();
    }
    setter.named("role");
    setter.named("request.jwt.claims");
    match shape.method {
        Some(method) => setter.fixed("request.method", method, LOCAL),
        None => setter.named("request.method"),
    }
    setter.named("request.path");
    setter.named("request.headers");
    match shape.cookies {
        Presence::Present => setter.named("request.cookies"),
        Presence::Absent => setter.fixed("request.cookies", "{}", LOCAL),
    }
    if shape.timezone == Presence::Present {
        setter.named("timezone");
    }
    for _ in 0..shape.other_settings {
        setter.dynamic();
    }
    text.push_str(") > 0");
    if shape.response == ResponseSettings::Cleared {
        text.push_str(CLEAR_RESPONSE);
    }
    text
}

struct Setter<'t> {
    text: &'t mut String,
    calls: u32,
    parameter: u32,
}

impl Setter<'_> {
    fn separate(&mut self) {
        if self.calls == CALLS_AT_ONCE {
            self.text.push_str(") > 0 or pg_catalog.num_nulls(");
            self.calls = 0;
        } else if self.calls > 0 {
            self.text.push_str(", ");
        }
        self.calls += 1;
    }

    /// Neither needs quoting: both are words of this program.
    fn fixed(&mut self, name: &'static str, value: &'static str, local: bool) {
        self.separate();
        // Writing to a String can't fail.
        let _ = write!(self.text, "pg_catalog.set_config('{name}', '{value}', {local})");
    }

    fn named(&mut self, name: &'static str) {
        self.separate();
        self.parameter += 1;
        let _ = write!(self.text, "pg_catalog.set_config('{name}', ${}, {LOCAL})", self.parameter);
    }

    fn dynamic(&mut self) {
        self.separate();
        self.parameter += 2;
        let _ = write!(self.text, "pg_catalog.set_config(${}, ${}, {LOCAL})", self.parameter - 1, self.parameter);
    }
}

/// The call of a routine without arguments that is run for what it does (`db-pre-request`, `db-pre-config`).
pub fn call_text(schema: Option<&str>, name: &str) -> String {
    let mut text = String::from("select ");
    if let Some(schema) = schema {
        ident::write_quoted(&mut text, schema);
        text.push('.');
    }
    ident::write_quoted(&mut text, name);
    text.push_str("()");
    text
}

/// Appends a `search_path` value: the schemas as quoted identifiers.
pub fn write_search_path<'s>(out: &mut Vec<u8>, schemas: impl Iterator<Item = &'s str>) {
    for (index, schema) in schemas.enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        out.push(b'"');
        for &byte in schema.as_bytes() {
            if byte == b'"' {
                out.push(b'"');
            }
            out.push(byte);
        }
        out.push(b'"');
    }
}

/// Appends `{"name":"value",…}`: names lower-cased, a repeated name's last value alone, bytes that are no UTF-8 replaced.
/// `fields` is walked once for each field that it holds (there are at most `limits::HEADER_COUNT_MAX`).
pub fn write_json_object<'h, I>(out: &mut Vec<u8>, fields: I)
where
    I: Iterator<Item = (&'h str, &'h [u8])> + Clone,
{
    out.push(b'{');
    let mut rest = fields;
    let mut first = true;
    while let Some((name, value)) = rest.next() {
        let repeated = rest.clone().any(|(later, _)| later.eq_ignore_ascii_case(name));
        if repeated {
            continue;
        }
        if !first {
            out.push(b',');
        }
        first = false;
        out.push(b'"');
        let begin = out.len();
        write_escaped(out, name);
        if let Some(written) = out.get_mut(begin..) {
            written.make_ascii_lowercase();
        }
        out.extend_from_slice(b"\":\"");
        match std::str::from_utf8(value) {
            Ok(text) => write_escaped(out, text),
            Err(_) => write_escaped(out, &String::from_utf8_lossy(value)),
        }
        out.push(b'"');
    }
    out.push(b'}');
}

/// JSON string contents. Header values are short: no vector code here.
fn write_escaped(out: &mut Vec<u8>, text: &str) {
    for &byte in text.as_bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0..=0x1f => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.extend(HEX.get(usize::from(byte >> 4)));
                out.extend(HEX.get(usize::from(byte & 15)));
            }
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_follows_the_shape_and_parameters_are_counted() {
        let plain = SetupShape {
            access: Access::ReadOnly,
            method: Some("GET"),
            role_settings: 0,
            cookies: Presence::Absent,
            timezone: Presence::Absent,
            other_settings: 0,
            response: ResponseSettings::Ignored,
        };
        assert_eq!(
            setup_text(plain),
            "select where pg_catalog.num_nulls(pg_catalog.set_config('transaction_read_only', 'on', true), \
             pg_catalog.set_config('search_path', $1, true), \
             pg_catalog.set_config('role', $2, true), pg_catalog.set_config('request.jwt.claims', $3, true), \
             pg_catalog.set_config('request.method', 'GET', true), pg_catalog.set_config('request.path', $4, true), \
             pg_catalog.set_config('request.headers', $5, true), pg_catalog.set_config('request.cookies', '{}', true)) > 0"
        );
        let full = SetupShape {
            access: Access::ReadWrite,
            method: None,
            role_settings: 2,
            cookies: Presence::Present,
            timezone: Presence::Present,
            other_settings: 1,
            response: ResponseSettings::Ignored,
        };
        let text = setup_text(full);
        let begin = "select where pg_catalog.num_nulls(pg_catalog.set_config('search_path', $1, true), \
                     pg_catalog.set_config($2, $3, true), ";
        assert!(text.starts_with(begin), "{text}");
        let methods =
            "pg_catalog.set_config('request.method', $8, true), pg_catalog.set_config('request.path', $9, true), ";
        assert!(text.contains(methods), "{text}");
        let end = "pg_catalog.set_config('request.cookies', $11, true), pg_catalog.set_config('timezone', $12, true), \
                   pg_catalog.set_config($13, $14, true)) > 0";
        assert!(text.ends_with(end), "{text}");
        let cleared = setup_text(SetupShape { response: ResponseSettings::Cleared, ..full });
        assert_eq!(cleared.strip_prefix(&text), Some(CLEAR_RESPONSE));
        let many = setup_text(SetupShape { other_settings: 200, ..full });
        assert_eq!(many.matches("num_nulls(").count(), 3);
        assert_eq!(many.matches("pg_catalog.set_config(").count(), 210);
    }

    #[test]
    fn header_objects() {
        let check = |fields: &[(&str, &[u8])], expect: &str| {
            let mut out = Vec::new();
            write_json_object(&mut out, fields.iter().copied());
            assert_eq!(String::from_utf8(out).unwrap(), expect);
        };
        check(&[], "{}");
        check(&[("X-A", b"1"), ("x-a", b"2")], r#"{"x-a":"2"}"#);
        check(&[("Host", b"a\"b\\c\td")], r#"{"host":"a\"b\\c\u0009d"}"#);
        check(&[("X", b"\xff")], "{\"x\":\"\u{fffd}\"}");
    }

    #[test]
    fn search_paths_are_quoted() {
        let mut out = Vec::new();
        write_search_path(&mut out, ["api", "we\"ird"].into_iter());
        assert_eq!(out, b"\"api\", \"we\"\"ird\"");
    }

    #[test]
    fn values_keep_their_bounds() {
        let mut values = Values::default();
        values.push(b"ab");
        values.push(b"");
        values.push_null();
        values.push_with(|out| out.push(b'c'));
        values.push_payload();
        let all = values.iter().collect::<Vec<_>>();
        assert_eq!(all, [Given::Own(b"ab"), Given::Own(b""), Given::Null, Given::Own(b"c"), Given::Payload]);
    }
}
