//! What can go wrong beside the request itself, as answers: the pool, the connection, the first catalog, our own limits.

use crate::error::{ApiError, Code, Details};

/// A failure of the server's surroundings. Which address or file is in it goes to the client only as libpq would say it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// No connection could be opened.
    Connect { details: String },
    /// The connection broke while the request used it. Nothing is sent again: the statement may have run.
    ConnectionLost { details: String },
    /// No catalog has been loaded yet.
    NoCatalog,
    /// No connection became free within `db-pool-acquisition-timeout`.
    PoolTimeout,
    /// A body that may not stream passed `server-max-response`.
    ResponseTooLarge { bytes_max: usize },
    /// The request panicked: our bug, the client's request is answered all the same.
    Internal,
}

impl ApiError for Failure {
    fn code(&self) -> Code {
        match self {
            Self::Connect { .. } => Code::new("PGRST000", 503),
            Self::ConnectionLost { .. } => Code::new("PGRST001", 503),
            Self::NoCatalog => Code::new("PGRST002", 503),
            Self::PoolTimeout => Code::new("PGRST003", 504),
            Self::ResponseTooLarge { .. } => Code::new("TRUNK001", 500),
            Self::Internal => Code::new("PGRSTX00", 500),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Connect { .. } => "Database connection error.".to_owned(),
            Self::ConnectionLost { .. } => "Database client error. Retrying the connection.".to_owned(),
            Self::NoCatalog => "Could not query the database for the schema cache. Retrying.".to_owned(),
            Self::PoolTimeout => "Timed out acquiring connection from connection pool.".to_owned(),
            Self::ResponseTooLarge { .. } => "The response is larger than the server sends in one piece".to_owned(),
            Self::Internal => "Internal error".to_owned(),
        }
    }

    fn details(&self) -> Option<Details> {
        match self {
            Self::Connect { details } | Self::ConnectionLost { details } => Some(Details::Text(details.clone())),
            Self::ResponseTooLarge { bytes_max } => {
                Some(Details::Text(format!("server-max-response is {bytes_max} bytes")))
            }
            Self::NoCatalog | Self::PoolTimeout | Self::Internal => None,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::ResponseTooLarge { .. } => Some("Ask for fewer rows with limit and offset".to_owned()),
            Self::Connect { .. }
            | Self::ConnectionLost { .. }
            | Self::NoCatalog
            | Self::PoolTimeout
            | Self::Internal => None,
        }
    }
}
