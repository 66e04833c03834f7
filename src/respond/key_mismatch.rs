//! PUT of a row whose key isn't the one in the URL.

use crate::error::{ApiError, Code};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyMismatch;

impl ApiError for KeyMismatch {
    fn code(&self) -> Code {
        Code::new("PGRST115", 400)
    }

    fn message(&self) -> String {
        "Payload values do not match URL in primary key column(s)".to_owned()
    }
}
