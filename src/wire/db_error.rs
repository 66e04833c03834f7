//! ErrorResponse and NoticeResponse: every field as the server sent it, invalid UTF-8 made harmless.
//! Source: PostgreSQL documentation, "Error and Notice Message Fields".

use std::fmt;

use super::WireError;
use super::frame::Cursor;

/// What the server refused and why.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DbError {
    /// `ERROR`, `FATAL`, `PANIC`, `WARNING` …, not localised where the server says it both ways.
    pub severity: String,
    pub sqlstate: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// Character index into the statement, from 1.
    pub position: Option<String>,
    pub internal_position: Option<String>,
    pub internal_query: Option<String>,
    /// Call stack in the server ("context").
    pub where_: Option<String>,
    pub schema: Option<String>,
    pub table: Option<String>,
    pub column: Option<String>,
    pub data_type: Option<String>,
    pub constraint: Option<String>,
    pub file: Option<String>,
    pub line: Option<String>,
    pub routine: Option<String>,
    /// The server closes the connection after this one.
    pub fatal: bool,
    /// As shown to people, perhaps localised.
    localized_severity: String,
}

impl DbError {
    pub fn parse(body: &[u8]) -> Result<Self, WireError> {
        let mut error = Self::default();
        let mut cursor = Cursor::new(body);
        loop {
            match cursor.u8() {
                Some(0) => break,
                Some(code) => {
                    let text = cursor.string().ok_or(WireError::Protocol("malformed ErrorResponse"))?;
                    error.set(code, String::from_utf8_lossy(text).into_owned());
                }
                None => return Err(WireError::Protocol("malformed ErrorResponse")),
            }
        }
        if error.severity.is_empty() {
            error.severity.clone_from(&error.localized_severity);
        }
        error.fatal = matches!(error.severity.as_str(), "FATAL" | "PANIC");
        Ok(error)
    }

    fn set(&mut self, code: u8, text: String) {
        match code {
            b'V' => self.severity = text,
            b'S' => self.localized_severity = text,
            b'C' => self.sqlstate = text,
            b'M' => self.message = text,
            b'D' => self.detail = Some(text),
            b'H' => self.hint = Some(text),
            b'P' => self.position = Some(text),
            b'p' => self.internal_position = Some(text),
            b'q' => self.internal_query = Some(text),
            b'W' => self.where_ = Some(text),
            b's' => self.schema = Some(text),
            b't' => self.table = Some(text),
            b'c' => self.column = Some(text),
            b'd' => self.data_type = Some(text),
            b'n' => self.constraint = Some(text),
            b'F' => self.file = Some(text),
            b'L' => self.line = Some(text),
            b'R' => self.routine = Some(text),
            // The protocol asks for unknown fields to be ignored.
            _ => {}
        }
    }

    /// True where the prepared statement is to blame, not the request: its plan no longer fits (0A000) or the server
    /// has dropped it (26000). Means so only while the statement's own BindComplete is missing: user code can raise the
    /// same codes.
    pub fn is_fatal(&self) -> bool {
        matches!(self.severity.as_str(), "FATAL" | "PANIC")
    }

    pub fn is_stale_statement(&self) -> bool {
        self.is_lost_statement() || self.sqlstate == "0A000"
    }

    /// The session has no such prepared statement.
    pub fn is_lost_statement(&self) -> bool {
        self.sqlstate == "26000"
    }
}

impl fmt::Display for DbError {
    /// As libpq prints it at its default verbosity, without the position.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = if self.localized_severity.is_empty() { &self.severity } else { &self.localized_severity };
        write!(out, "{severity}:  {}", self.message)?;
        if let Some(detail) = &self.detail {
            write!(out, "\nDETAIL:  {detail}")?;
        }
        if let Some(hint) = &self.hint {
            write!(out, "\nHINT:  {hint}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_kept_as_sent() {
        let body = b"SFEHLER\0VERROR\0C23505\0Mdup\0DKey\0Hfix\0P7\0Wstack\0nc_pkey\0Zunknown\0\0";
        let error = DbError::parse(body).unwrap();
        assert_eq!(error.severity, "ERROR");
        assert_eq!(error.sqlstate, "23505");
        assert_eq!(error.message, "dup");
        assert_eq!(error.detail.as_deref(), Some("Key"));
        assert_eq!(error.hint.as_deref(), Some("fix"));
        assert_eq!(error.position.as_deref(), Some("7"));
        assert_eq!(error.where_.as_deref(), Some("stack"));
        assert_eq!(error.constraint.as_deref(), Some("c_pkey"));
        assert!(!error.fatal);
        assert_eq!(error.to_string(), "FEHLER:  dup\nDETAIL:  Key\nHINT:  fix");
    }

    #[test]
    fn wrong_bodies_are_refused_and_wrong_utf8_is_replaced() {
        for body in [&b""[..], b"S", b"SERROR", b"SERROR\0", b"SERROR\0M"] {
            assert!(DbError::parse(body).is_err(), "{body:?}");
        }
        let error = DbError::parse(b"SFATAL\0M\xff!\0\0").unwrap();
        assert_eq!(error.message, "\u{fffd}!");
        assert!(error.fatal);
    }
}
