//! PostgreSQL's errors as HTTP answers: SQLSTATE → status (PostgREST 16, "Errors"), and the errors that SQL raises on
//! purpose to choose the answer (`PTxyz`, `PGRST`).

use crate::error::{ApiError, Code, Details};
use crate::json::decimal::Decimal;
use crate::json::value::{self, Value};

/// An error that PostgreSQL reported for a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DatabaseRefusal {
    sqlstate: String,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    caller: Caller,
    raised: Option<Result<Raised, RaiseError>>,
}

/// Who asked: decides between 401 and 403.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caller {
    Anonymous,
    Authenticated,
}

/// `RAISE SQLSTATE 'PGRST'` understood: MESSAGE is the body, DETAIL the head.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Raised {
    code: String,
    message: String,
    details: Option<String>,
    hint: Option<String>,
    status: u16,
    status_text: Option<String>,
    headers: Vec<(String, String)>,
}

/// PGRST121: what is wrong with the raised error's JSON.
#[derive(Clone, PartialEq, Eq, Debug)]
enum RaiseError {
    Message(String),
    Detail(String),
    NoDetail,
}

impl DatabaseRefusal {
    pub fn new(sqlstate: &str, message: &str, detail: Option<&str>, hint: Option<&str>, caller: Caller) -> Self {
        let raised = (sqlstate == "PGRST").then(|| parse_raised(message, detail));
        Self {
            sqlstate: sqlstate.to_owned(),
            message: message.to_owned(),
            detail: detail.map(str::to_owned),
            hint: hint.map(str::to_owned),
            caller,
            raised,
        }
    }
}

/// Status of a SQLSTATE; `message` tells apart the few that share one.
fn status_of(sqlstate: &str, message: &str, caller: Caller) -> u16 {
    match sqlstate {
        "23503" | "23505" => 409,
        "25006" => 405,
        // pg-safeupdate's refusal of a full-table write is the client's fault.
        "21000" if message.ends_with("requires a WHERE clause") => 400,
        "21000" | "53400" | "42P17" => 500,
        "22023" if message.starts_with("role") && message.ends_with("does not exist") => 401,
        "57P01" => 503,
        "P0001" => 400,
        "42883" if message.starts_with("function xmlagg(") => 406,
        "42883" | "42P01" => 404,
        "42501" => match caller {
            Caller::Anonymous => 401,
            Caller::Authenticated => 403,
        },
        _ => match sqlstate.get(..2).unwrap_or("") {
            "08" | "53" => 503,
            "09" | "25" | "2D" | "38" | "39" | "3B" | "40" | "54" | "55" | "57" | "58" | "F0" | "HV" | "P0" | "XX" => {
                500
            }
            "0L" | "0P" | "28" => 403,
            "PT" => raised_status(sqlstate).unwrap_or(500),
            _ => 400,
        },
    }
}

/// `PTxyz`: the status itself.
fn raised_status(sqlstate: &str) -> Option<u16> {
    sqlstate.strip_prefix("PT")?.parse().ok()
}

impl ApiError for DatabaseRefusal {
    fn code(&self) -> Code {
        match &self.raised {
            Some(Ok(raised)) => Code { name: raised.code.clone().into(), status: raised.status },
            Some(Err(_)) => Code::new("PGRST121", 500),
            None => Code {
                name: self.sqlstate.clone().into(),
                status: status_of(&self.sqlstate, &self.message, self.caller),
            },
        }
    }

    fn message(&self) -> String {
        match &self.raised {
            Some(Ok(raised)) => raised.message.clone(),
            Some(Err(_)) => "Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error".to_owned(),
            None => self.message.clone(),
        }
    }

    fn details(&self) -> Option<Details> {
        match &self.raised {
            Some(Ok(raised)) => raised.details.clone().map(Details::Text),
            Some(Err(error)) => Some(Details::Text(error.details())),
            None => self.detail.clone().map(Details::Text),
        }
    }

    fn hint(&self) -> Option<String> {
        match &self.raised {
            Some(Ok(raised)) => raised.hint.clone(),
            Some(Err(error)) => Some(error.hint().to_owned()),
            None => self.hint.clone(),
        }
    }

    fn reason(&self) -> Option<String> {
        match &self.raised {
            Some(Ok(raised)) => raised.status_text.clone(),
            Some(Err(_)) => None,
            None => raised_status(&self.sqlstate).map(|_| self.message.clone()),
        }
    }

    fn headers(&self) -> Vec<(String, String)> {
        match &self.raised {
            Some(Ok(raised)) => raised.headers.clone(),
            Some(Err(_)) => Vec::new(),
            None if self.code().status == 401 => vec![("WWW-Authenticate".to_owned(), "Bearer".to_owned())],
            None => Vec::new(),
        }
    }
}

impl RaiseError {
    fn details(&self) -> String {
        match self {
            Self::Message(text) => format!("Invalid JSON value for MESSAGE: '{text}'"),
            Self::Detail(text) => format!("Invalid JSON value for DETAIL: '{text}'"),
            Self::NoDetail => "DETAIL is missing in the RAISE statement".to_owned(),
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::Message(_) => {
                "MESSAGE must be a JSON object with obligatory keys: 'code', 'message' and optional keys: 'details', 'hint'."
            }
            Self::Detail(_) | Self::NoDetail => {
                "DETAIL must be a JSON object with obligatory keys: 'status', 'headers' and optional key: 'status_text'."
            }
        }
    }
}

fn parse_raised(message: &str, detail: Option<&str>) -> Result<Raised, RaiseError> {
    let body = parse_object(message)
        .and_then(|body| {
            Some((text(&body, "code")?, text(&body, "message")?, optional(&body, "details")?, optional(&body, "hint")?))
        })
        .ok_or_else(|| RaiseError::Message(message.to_owned()))?;
    let detail = detail.ok_or(RaiseError::NoDetail)?;
    let head = parse_object(detail)
        .and_then(|head| {
            let Value::Number(status) = head.member("status")? else { return None };
            let status = Decimal::parse(status).to_i64().and_then(|status| u16::try_from(status).ok())?;
            Some((status, optional(&head, "status_text")?, header_pairs(&head)?))
        })
        .ok_or_else(|| RaiseError::Detail(detail.to_owned()))?;
    let (code, message, details, hint) = body;
    let (status, status_text, headers) = head;
    Ok(Raised { code, message, details, hint, status, status_text, headers })
}

fn parse_object(text: &str) -> Option<Value<'_>> {
    value::parse(text.as_bytes()).ok().filter(|value| matches!(value, Value::Object(_)))
}

fn text(object: &Value<'_>, key: &str) -> Option<String> {
    object.member(key).and_then(Value::as_str).map(str::to_owned)
}

/// Absent and null are both fine (`Some(None)`); anything but text is not (`None`).
fn optional(object: &Value<'_>, key: &str) -> Option<Option<String>> {
    match object.member(key) {
        None | Some(Value::Null) => Some(None),
        Some(value) => value.as_str().map(|text| Some(text.to_owned())),
    }
}

/// The `headers` object in the order of its keys; values must be text. One that would split the answer is left out of it
/// by `ResponseHead`.
fn header_pairs(object: &Value<'_>) -> Option<Vec<(String, String)>> {
    let Some(Value::Object(fields)) = object.member("headers") else { return None };
    fields.iter().map(|(name, value)| Some((name.to_string(), value.as_str()?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        let check = |sqlstate: &str, message: &str, status: u16| {
            let error = DatabaseRefusal::new(sqlstate, message, None, None, Caller::Authenticated);
            assert_eq!(error.code().status, status, "{sqlstate} {message}");
        };
        check("23505", "", 409);
        check("42501", "permission denied", 403);
        check("22023", "role \"x\" does not exist", 401);
        check("22023", "invalid zone", 400);
        check("21000", "DELETE requires a WHERE clause", 400);
        check("21000", "more than one row", 500);
        check("PT402", "pay", 402);
        check("PTabc", "pay", 500);
        check("P0001", "raised", 400);
        check("P0002", "raised", 500);
        check("22P02", "bad literal", 400);
        check("é", "not a sqlstate", 400);
        let anonymous = DatabaseRefusal::new("42501", "denied", None, None, Caller::Anonymous);
        assert_eq!((anonymous.code().status, anonymous.headers().len()), (401, 1));
    }

    #[test]
    fn raised_answers() {
        let raised = DatabaseRefusal::new(
            "PGRST",
            r#"{"code":"123","message":"Pay","details":"owed","hint":null}"#,
            Some(r#"{"status":402,"headers":{"X-Owed":"5"},"status_text":"Pay Up"}"#),
            None,
            Caller::Anonymous,
        );
        assert_eq!(raised.code(), Code { name: "123".into(), status: 402 });
        assert_eq!(raised.reason().as_deref(), Some("Pay Up"));
        assert_eq!(raised.headers(), vec![("X-Owed".to_owned(), "5".to_owned())]);
        for (message, detail) in [("not json", Some("{}")), ("{\"code\":\"1\"}", None)] {
            let broken = DatabaseRefusal::new("PGRST", message, detail, None, Caller::Anonymous);
            assert_eq!(broken.code(), Code::new("PGRST121", 500));
            assert!(broken.hint().is_some_and(|hint| hint.starts_with("MESSAGE")));
        }
        let deep = "[".repeat(1_000_000);
        assert_eq!(
            DatabaseRefusal::new("PGRST", &deep, Some(&deep), None, Caller::Anonymous).code(),
            Code::new("PGRST121", 500)
        );
        let no_detail = DatabaseRefusal::new("PGRST", r#"{"code":"1","message":"m"}"#, None, None, Caller::Anonymous);
        assert_eq!(no_detail.details(), Some(Details::Text("DETAIL is missing in the RAISE statement".to_owned())));
    }
}
