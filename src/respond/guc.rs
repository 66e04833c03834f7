//! `response.status` and `response.headers`: what SQL decided about the answer.

use crate::error::{ApiError, Code};
use crate::http::ResponseHead;
use crate::json::value::{self, Value};

/// The statement that reads both at the end of a transaction. An unset or reset setting is NULL or empty.
pub const READ: &str =
    "select pg_catalog.current_setting('response.headers', true), pg_catalog.current_setting('response.status', true)";

/// What is wrong with a response setting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GucError {
    Headers,
    Status,
}

impl ApiError for GucError {
    fn code(&self) -> Code {
        match self {
            Self::Headers => Code::new("PGRST111", 500),
            Self::Status => Code::new("PGRST112", 500),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Headers => {
                "response.headers guc must be a JSON array composed of objects with a single key and a string value"
            }
            Self::Status => "response.status guc must be a valid status code",
        }
        .to_owned()
    }
}

/// Both settings, understood. Must be known before the head is final.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ResponseGucs {
    status: Option<u16>,
    headers: Vec<(String, String)>,
}

impl ResponseGucs {
    /// `row` is what `READ` returned.
    pub fn parse(row: &[Option<Vec<u8>>]) -> Result<Self, GucError> {
        let setting = |index: usize| row.get(index).and_then(Option::as_deref).filter(|text| !text.is_empty());
        // PostgREST reads the status first: with both broken it names that.
        let status = setting(1).map(parse_status).transpose()?;
        let headers = setting(0).map_or(Ok(Vec::new()), parse_headers)?;
        Ok(Self { status, headers })
    }

    /// Overrides the status; a header that SQL set replaces the server's own of that name.
    pub fn apply(&self, head: &mut ResponseHead) {
        if let Some(status) = self.status {
            head.set_status(status, None);
        }
        for (name, _) in &self.headers {
            head.remove(name);
        }
        for (name, value) in &self.headers {
            head.add(name, value.as_bytes());
        }
    }
}

/// Leading digits count, as in PostgREST.
fn parse_status(text: &[u8]) -> Result<u16, GucError> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let digits = text.get(..digits).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).filter(|status| (100..1000).contains(status)).ok_or(GucError::Status)
}

fn parse_headers(text: &[u8]) -> Result<Vec<(String, String)>, GucError> {
    let Ok(Value::Array(items)) = value::parse(text) else { return Err(GucError::Headers) };
    items.iter().map(|item| header(item).ok_or(GucError::Headers)).collect()
}

/// One `{"Name": "value"}`. A name or value that would split the response is refused.
fn header(item: &Value<'_>) -> Option<(String, String)> {
    let Value::Object(members) = item else { return None };
    let [(name, value)] = members.as_slice() else { return None };
    let value = value.as_str()?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let splits = |byte: u8| matches!(byte, b'\r' | b'\n' | 0);
    let fine = !name.is_empty() && name.bytes().all(token) && !value.bytes().any(splits);
    fine.then(|| (name.to_string(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(headers: Option<&str>, status: Option<&str>) -> Result<ResponseGucs, GucError> {
        let field = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
        ResponseGucs::parse(&[field(headers), field(status)])
    }

    #[test]
    fn settings_are_read_or_refused() {
        assert_eq!(parsed(None, None), Ok(ResponseGucs::default()));
        assert_eq!(parsed(Some(""), Some("")), Ok(ResponseGucs::default()));
        let both = parsed(Some(r#"[{"X-A": "1"}, {"X-A": "2"}]"#), Some("201")).unwrap();
        assert_eq!(both.status, Some(201));
        assert_eq!(both.headers.len(), 2);
        for broken in
            ["{}", "[1]", r#"[{"a":1}]"#, r#"[{"a":"1","b":"2"}]"#, r#"[{"a":"x\r\ny: z"}]"#, r#"[{"a b":"1"}]"#]
        {
            assert_eq!(parsed(Some(broken), None), Err(GucError::Headers), "{broken}");
        }
        // SQL may put a client's text in: what is nested too deeply for a stack is refused before it is built.
        for deep in ["[".repeat(1_000_000), "[{\"a\":".repeat(1_000_000)] {
            assert_eq!(parsed(Some(&deep), None), Err(GucError::Headers));
        }
        assert_eq!(parsed(None, Some("abc")), Err(GucError::Status));
        assert_eq!(parsed(Some("{}"), Some("abc")), Err(GucError::Status));
    }
}
