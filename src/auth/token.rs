//! `Authorization` → the three parts of a JWS (RFC 7515), and what its header says. No cryptography yet.
//! Of the header `alg` and `kid` count: keys that a token brings along or points to (`jwk`, `jku`, `x5u`, `x5c`) are
//! never looked at.

use super::AuthError;
use super::base64;
use super::key::Algorithm;
use crate::json::value::{self, Value};

/// A token taken apart. Nothing in it is verified.
#[derive(Debug)]
pub struct Token<'t> {
    pub algorithm: Algorithm,
    pub key_id: Option<String>,
    /// The bytes that were signed: header and payload as they came.
    pub signed: &'t [u8],
    pub payload: Vec<u8>,
    pub signature: Vec<u8>,
}

/// The token in a header's value, if its scheme is Bearer in any case. May be empty.
pub fn bearer(value: &[u8]) -> Option<&[u8]> {
    let end = value.iter().position(|&byte| is_blank(byte)).unwrap_or(value.len());
    let (scheme, rest) = value.split_at_checked(end)?;
    let start = rest.iter().position(|&byte| !is_blank(byte)).unwrap_or(rest.len());
    if scheme.eq_ignore_ascii_case(b"bearer") { rest.get(start..) } else { None }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Splits and decodes. The order of complaints is PostgREST's.
pub fn parse(token: &[u8]) -> Result<Token<'_>, AuthError> {
    if token.is_empty() {
        return Err(AuthError::Empty);
    }
    let mut parts = token.split(|&byte| byte == b'.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(AuthError::Parts(token.split(|&byte| byte == b'.').count()));
    };
    let signed = token.get(..header.len() + 1 + payload.len()).ok_or(AuthError::Unreadable)?;
    let header = base64::decode_url(header).ok_or(AuthError::Unreadable)?;
    let header = value::parse(&header).map_err(|_| AuthError::Unreadable)?;
    let algorithm = text(&header, "alg")?.ok_or(AuthError::Unreadable)?;
    let key_id = text(&header, "kid")?;
    text(&header, "typ")?;
    text(&header, "cty")?;
    let payload = base64::decode_url(payload).ok_or(AuthError::Unreadable)?;
    if algorithm == "none" {
        return Err(AuthError::Unsecured);
    }
    let algorithm = Algorithm::by_name(&algorithm).ok_or(AuthError::Unreadable)?;
    let signature = base64::decode_url(signature).ok_or(AuthError::Unreadable)?;
    Ok(Token { algorithm, key_id, signed, payload, signature })
}

/// A header member that is text where it is there at all.
fn text(header: &Value<'_>, name: &str) -> Result<Option<String>, AuthError> {
    match header.member(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_str().map(|text| Some(text.to_owned())).ok_or(AuthError::Unreadable),
    }
}
