//! What every refusal has in common: PostgREST's `{code, message, details, hint}` and a status.
//! Each stage has its own error enum and implements `ApiError`; `error::body` renders it, cold path only.

pub mod body;
pub mod suggest;

use std::borrow::Cow;

/// The machine-readable half of an error: `PGRST…` or a SQLSTATE, and the HTTP status it is sent with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Code {
    pub name: Cow<'static, str>,
    pub status: u16,
}

impl Code {
    pub const fn new(name: &'static str, status: u16) -> Self {
        Self { name: Cow::Borrowed(name), status }
    }
}

/// The `details` member: text mostly, ready-made JSON where PostgREST sends a structure (PGRST201).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Details {
    Text(String),
    Json(String),
}

/// A refusal as the client sees it. Messages are PostgREST's own wording: clients compare them.
pub trait ApiError {
    fn code(&self) -> Code;
    fn message(&self) -> String;
    fn details(&self) -> Option<Details> {
        None
    }
    fn hint(&self) -> Option<String> {
        None
    }
    /// A reason phrase of its own, where SQL chose one (`RAISE SQLSTATE 'PT402'`).
    fn reason(&self) -> Option<String> {
        None
    }
    /// Headers this error adds (`WWW-Authenticate`, `Retry-After`, …).
    fn headers(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}
