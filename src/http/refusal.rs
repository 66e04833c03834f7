//! What the connection itself refuses, before any service sees the request. The connection closes after the answer.

/// A request that is not HTTP/1.1 as we read it, or is too large. Never guessed at: two readers that guess differently
/// are how requests are smuggled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Says what is wrong in a few words of our own; nothing of the request is repeated.
    Malformed(&'static str),
    TargetTooLong,
    HeadTooLarge,
    BodyTooLarge,
    /// This one and those that other clients are sending.
    BodiesTooLarge,
    MethodTooLong,
    /// A transfer coding that is registered but not spoken here.
    TransferCoding,
    Version,
}

impl Refusal {
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::BodyTooLarge => 413,
            Self::BodiesTooLarge => 503,
            Self::TargetTooLong => 414,
            Self::HeadTooLarge => 431,
            Self::MethodTooLong | Self::TransferCoding => 501,
            Self::Version => 505,
        }
    }

    /// The plain text of the answer.
    pub fn text(self) -> &'static str {
        match self {
            Self::Malformed(what) => what,
            Self::TargetTooLong => "the request target is too long",
            Self::HeadTooLarge => "the request's headers are too large or too many",
            Self::BodyTooLarge => "the request body is too large",
            Self::BodiesTooLarge => "too many large request bodies at the same time",
            Self::MethodTooLong => "the method is unknown",
            Self::TransferCoding => "the transfer coding is not supported",
            Self::Version => "only HTTP/1.1 and HTTP/1.0 are spoken here",
        }
    }
}
