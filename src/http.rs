//! HTTP/1.1, ignorant of REST. The codecs are pure; `conn` alone has sockets.

use std::future::Future;

use bytes::Bytes;

pub mod body;
pub mod conn;
pub mod cors;
pub mod date;
pub mod head;
pub mod header;
pub mod refusal;
pub mod reply;
mod room;
pub mod write;

pub use conn::{ConnectionLimits, Drain, serve_connection};
pub use header::Headers;
pub use refusal::Refusal;
pub use reply::Reply;
pub use write::ResponseHead;

/// A request method. Tokens are compared with case (RFC 9110 §9.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method<'c> {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    Other(&'c str),
}

impl<'c> Method<'c> {
    /// The token as sent.
    pub fn as_str(self) -> &'c str {
        match self {
            Self::Other(token) => token,
            method => method.known().unwrap_or_default(),
        }
    }

    /// The token, if it is one of those that have a name here.
    pub fn known(self) -> Option<&'static str> {
        match self {
            Self::Get => Some("GET"),
            Self::Head => Some("HEAD"),
            Self::Post => Some("POST"),
            Self::Put => Some("PUT"),
            Self::Patch => Some("PATCH"),
            Self::Delete => Some("DELETE"),
            Self::Options => Some("OPTIONS"),
            Self::Other(_) => None,
        }
    }
}

/// One request, its body complete.
#[derive(Clone, Copy, Debug)]
pub struct Request<'c> {
    pub method: Method<'c>,
    /// Target as sent: path and query, still percent-encoded, valid UTF-8 without blanks and control characters; `*` of
    /// OPTIONS, `host:port` of CONNECT. Absolute-form is already reduced to its path and query.
    pub target: &'c [u8],
    pub headers: &'c Headers<'c>,
    pub body: &'c [u8],
    /// The same bytes, of a body from `limits::BODY_LENT_BYTES` on: to be passed on without a copy.
    pub shared: Option<&'c Bytes>,
    /// Peer address for the access log; `-` on a unix socket.
    pub peer: &'c str,
    pub version: Version,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    Http10,
    Http11,
}

/// The client's connection can't go on; whatever was written, it is closed now.
#[derive(Debug)]
pub struct Gone;

/// Answers requests. `conn` calls it once per request, in order, and finishes the reply with what `call` left in it.
pub trait Service {
    fn call(&self, request: Request<'_>, reply: &mut Reply) -> impl Future<Output = Result<(), Gone>>;
}
