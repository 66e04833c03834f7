//! Domain representations: functions that cast a domain from or to the text or JSON of the API.

use crate::name::QualifiedRoutine;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Representation {
    /// `format_type` of the source and of the target type.
    pub source: String,
    pub target: String,
    pub function: QualifiedRoutine,
}
