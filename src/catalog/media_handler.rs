//! Which aggregate or function renders which media type.

use crate::media::MediaType;
use crate::name::{QualifiedName, QualifiedRoutine};

/// A handler is known by what it renders and into what.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct HandlerKey {
    /// The relation whose rows an aggregate takes, or `None` for `anyelement`; a function stands under its own name.
    pub relation: Option<QualifiedName>,
    pub media: MediaType,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MediaHandler {
    pub routine: QualifiedRoutine,
    /// Media type sent as Content-Type; differs from the key for the `*/*` handler.
    pub media: MediaType,
    pub kind: HandlerKind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HandlerKind {
    /// A function that returns the domain.
    Function,
    /// An aggregate over the rows.
    Aggregate,
}

/// What a domain of this lower-case name renders, and what is then sent as Content-Type.
pub fn media_of_domain(name: &str) -> (MediaType, MediaType) {
    match name {
        "*/*" => (MediaType::Any, MediaType::OctetStream),
        other => (media_named(other), media_named(other)),
    }
}

fn media_named(name: &str) -> MediaType {
    match name {
        "application/json" => MediaType::Json,
        "application/geo+json" => MediaType::GeoJson,
        "application/openapi+json" => MediaType::OpenApi,
        "application/octet-stream" => MediaType::OctetStream,
        "application/x-www-form-urlencoded" => MediaType::UrlEncoded,
        "text/csv" => MediaType::Csv,
        "text/plain" => MediaType::TextPlain,
        "text/xml" => MediaType::TextXml,
        other => MediaType::Other(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_read_as_media_types() {
        let check = |name, rendered, sent| assert_eq!(media_of_domain(name), (rendered, sent), "{name}");
        check("text/csv", MediaType::Csv, MediaType::Csv);
        check("*/*", MediaType::Any, MediaType::OctetStream);
        let flags = || MediaType::Other("application/vnd.harbour.flags".to_owned());
        check("application/vnd.harbour.flags", flags(), flags());
    }
}
