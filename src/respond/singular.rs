//! One object was asked for and another number of rows came.

use crate::error::{ApiError, Code, Details};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotSingular {
    pub rows: u64,
}

impl ApiError for NotSingular {
    fn code(&self) -> Code {
        Code::new("PGRST116", 406)
    }

    fn message(&self) -> String {
        "Cannot coerce the result to a single JSON object".to_owned()
    }

    fn details(&self) -> Option<Details> {
        Some(Details::Text(format!("The result contains {} rows", self.rows)))
    }
}
