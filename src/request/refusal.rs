//! What the request stage refuses, in PostgREST's codes and words.

use super::complaint::Complaint;
use crate::error::{ApiError, Code, Details};

/// A request that can't mean anything, found before any name is looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RequestError {
    /// A path that is neither `/`, `/relation` nor `/rpc/routine`.
    InvalidPath,
    /// `/` with OpenAPI disabled.
    RootDisabled,
    MethodUnsupported {
        method: String,
    },
    RoutineMethod {
        method: String,
    },
    SchemaNotExposed {
        schema: String,
        exposed: Vec<String>,
    },
    /// Part of the query string doesn't parse.
    Query(Complaint),
    Range(RangeFault),
    /// PUT with `limit` or `offset`.
    PutRange,
    /// The body doesn't fit its Content-Type.
    Body {
        message: String,
    },
    /// The body is more than PostgreSQL takes as one value, or than is taken apart here.
    BodyTooLarge,
    /// `handling=strict` and preferences nobody knows.
    Preferences {
        invalid: Vec<String>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RangeFault {
    /// `Range: 5-2`
    LowerAboveUpper,
    /// A negative `limit`, or one that leaves nothing of the Range header.
    NegativeLimit,
}

impl ApiError for RequestError {
    fn code(&self) -> Code {
        match self {
            Self::Query(_) => Code::new("PGRST100", 400),
            Self::RoutineMethod { .. } => Code::new("PGRST101", 405),
            Self::Body { .. } => Code::new("PGRST102", 400),
            Self::BodyTooLarge => Code::new("PGRST102", 413),
            Self::Range(_) => Code::new("PGRST103", 416),
            Self::SchemaNotExposed { .. } => Code::new("PGRST106", 406),
            Self::PutRange => Code::new("PGRST114", 400),
            Self::MethodUnsupported { .. } => Code::new("PGRST117", 405),
            Self::Preferences { .. } => Code::new("PGRST122", 400),
            Self::InvalidPath => Code::new("PGRST125", 404),
            Self::RootDisabled => Code::new("PGRST126", 404),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Query(complaint) => complaint.message.clone(),
            Self::RoutineMethod { method } => format!("Cannot use the {method} method on RPC"),
            Self::Body { message } => message.clone(),
            Self::BodyTooLarge => "the request body is too large".to_owned(),
            Self::Range(_) => "Requested range not satisfiable".to_owned(),
            Self::SchemaNotExposed { schema, .. } => format!("Invalid schema: {schema}"),
            Self::PutRange => "limit/offset querystring parameters are not allowed for PUT".to_owned(),
            Self::MethodUnsupported { method } => format!("Unsupported HTTP method: {method}"),
            Self::Preferences { .. } => "Invalid preferences given with handling=strict".to_owned(),
            Self::InvalidPath => "Invalid path specified in request URL".to_owned(),
            Self::RootDisabled => "Root endpoint metadata is disabled".to_owned(),
        }
    }

    fn details(&self) -> Option<Details> {
        match self {
            Self::Query(complaint) => Some(Details::Text(complaint.details.clone())),
            Self::Range(RangeFault::LowerAboveUpper) => Some(Details::Text(
                "The lower boundary must be lower than or equal to the upper boundary in the Range header.".to_owned(),
            )),
            Self::Range(RangeFault::NegativeLimit) => {
                Some(Details::Text("Limit should be greater than or equal to zero.".to_owned()))
            }
            Self::Preferences { invalid } => {
                Some(Details::Text(format!("Invalid preferences: {}", invalid.join(", "))))
            }
            Self::RoutineMethod { .. }
            | Self::Body { .. }
            | Self::BodyTooLarge
            | Self::SchemaNotExposed { .. }
            | Self::PutRange
            | Self::MethodUnsupported { .. }
            | Self::InvalidPath
            | Self::RootDisabled => None,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::SchemaNotExposed { exposed, .. } => {
                Some(format!("Only the following schemas are exposed: {}", exposed.join(", ")))
            }
            Self::Query(_)
            | Self::RoutineMethod { .. }
            | Self::Body { .. }
            | Self::BodyTooLarge
            | Self::Range(_)
            | Self::PutRange
            | Self::MethodUnsupported { .. }
            | Self::Preferences { .. }
            | Self::InvalidPath
            | Self::RootDisabled => None,
        }
    }
}
