//! PostgreSQL's protocol 3.0, ignorant of REST: batches out, answers in, strictly in order.
//! The server's bytes are hostile input too: every length is checked, nothing panics.

mod answers;
pub mod cancel;
pub mod conn;
pub mod connect;
pub mod db_error;
mod encode;
pub mod frame;
mod handshake;
mod outgoing;
pub mod piece;
mod prepared;
pub mod row;
pub mod target;
mod tls;
mod tls_binding;
mod tls_client;

use std::fmt;
use std::io;

pub use answers::fuzz_answers;

/// What ends a connection. Nothing of it says anything about the statement: the server's refusals are `DbError`s.
#[derive(Debug)]
pub enum WireError {
    /// The server closed the connection, or was closed.
    Closed,
    /// Reading or writing failed.
    Io(io::Error),
    /// The server's bytes are not the protocol; says what was wrong.
    Protocol(&'static str),
    /// A frame announced more bytes than `limits::FRAME_BYTES_MAX`.
    FrameTooLarge { bytes: usize },
    /// Nothing was sent: the batch cannot be written in the protocol; says why.
    Unsendable(&'static str),
    /// A transaction was left open, or an operation was abandoned half-way: the connection cannot be used again.
    Unusable(&'static str),
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

impl From<row::RowError> for WireError {
    fn from(error: row::RowError) -> Self {
        Self::Protocol(match error {
            row::RowError::Truncated => "a row message that ends too early",
            row::RowError::TrailingBytes => "a row message with bytes after its last field",
            row::RowError::Negative => "a row message with a negative length or count",
        })
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => out.write_str(CLOSED_UNEXPECTEDLY),
            Self::Io(error) => write!(out, "connection to the server failed: {error}"),
            Self::Protocol(what) => write!(out, "the server broke the protocol: {what}"),
            Self::FrameTooLarge { bytes } => write!(out, "the server announced a message of {bytes} bytes"),
            Self::Unsendable(why) | Self::Unusable(why) => out.write_str(why),
        }
    }
}

impl std::error::Error for WireError {}

impl WireError {
    /// With the line end that libpq's messages have: what PostgREST shows as `details` of PGRST001.
    pub fn libpq_text(&self) -> String {
        format!("{self}\n")
    }
}

/// libpq's words.
const CLOSED_UNEXPECTEDLY: &str = "server closed the connection unexpectedly\n\tThis probably means the server \
    terminated abnormally\n\tbefore or while processing the request.";

/// What `ReadyForQuery` says about the transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransactionStatus {
    Idle,
    InTransaction,
    Failed,
}

impl TransactionStatus {
    fn parse(body: &[u8]) -> Result<Self, WireError> {
        match body {
            [b'I'] => Ok(Self::Idle),
            [b'T'] => Ok(Self::InTransaction),
            [b'E'] => Ok(Self::Failed),
            _ => Err(WireError::Protocol("unknown transaction status")),
        }
    }
}
