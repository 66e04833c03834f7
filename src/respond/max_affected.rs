//! `Prefer: handling=strict, max-affected=…`: more rows came than the client allows.

use crate::error::{ApiError, Code, Details};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooManyAffected {
    pub rows: u64,
}

impl ApiError for TooManyAffected {
    fn code(&self) -> Code {
        Code::new("PGRST124", 400)
    }

    fn message(&self) -> String {
        "Query result exceeds max-affected preference constraint".to_owned()
    }

    fn details(&self) -> Option<Details> {
        Some(Details::Text(format!("The query affects {} rows", self.rows)))
    }
}
