//! `Accept-Profile` (reads) and `Content-Profile` (writes) → the schema that names are looked up in.

use std::borrow::Cow;

use super::refusal::RequestError;
use crate::http::{Headers, Method};

/// The schema, and whether the answer should name it.
pub struct Profile<'r> {
    pub schema: Cow<'r, str>,
    pub negotiated: bool,
}

/// Picks one of `schemas`, the first by default. With several schemas the default counts as negotiated too.
pub fn choose<'r>(
    method: Method<'_>,
    headers: &Headers<'r>,
    schemas: &'r [String],
) -> Result<Profile<'r>, RequestError> {
    let header = match method {
        Method::Post | Method::Put | Method::Patch | Method::Delete => "content-profile",
        Method::Get | Method::Head | Method::Options | Method::Other(_) => "accept-profile",
    };
    let Some(named) = headers.first(header).map(String::from_utf8_lossy) else {
        let schema = Cow::Borrowed(schemas.first().map_or("public", String::as_str));
        return Ok(Profile { schema, negotiated: schemas.len() != 1 });
    };
    if schemas.iter().any(|schema| *schema == named) {
        return Ok(Profile { schema: named, negotiated: true });
    }
    Err(RequestError::SchemaNotExposed { schema: named.into_owned(), exposed: schemas.to_vec() })
}
