//! Bearer token → `Identity`: under which role the request runs, and with which claims.
//! `Authorization` → `token` (three parts, header) → `verify` (signature, with `key`s) → `claims` (times, audience) →
//! `role`. Verified tokens are remembered per core (`cache`); times are checked on every request.
//! Must not know: HTTP, configuration, clocks. The caller gives the time.
//! Where PostgREST has a rule it is PostgREST's, wording included: `crit` is not looked at, of repeated claims the first
//! counts, times that are no whole 64-bit numbers count as 0.

pub mod base64;
pub mod cache;
pub mod claims;
pub mod fuzz;
pub mod json_path;
pub mod key;
pub mod role;
pub mod token;
pub mod verify;

use std::sync::Arc;

use ring::digest;

use crate::error::{ApiError, Code, Details};
use crate::json::value::{self, Value};
use crate::name::RoleName;
pub use cache::TokenCache;
use claims::{ClaimsError, Times};
use json_path::RolePath;
use key::KeySet;

/// Who calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    pub role: RoleName,
    /// The claims as compact JSON, `role` set to the role: the value of `request.jwt.claims`.
    pub claims_json: String,
}

/// What of the configuration decides who calls. Immutable; shared by all cores.
#[derive(Clone, Debug)]
pub struct AuthSettings {
    keys: Option<KeySet>,
    audience: Option<String>,
    role_path: RolePath,
    anonymous_role: Option<RoleName>,
    cache_entries_max: usize,
    /// Of everything above that an identity depends on: what was remembered under another one is worthless.
    fingerprint: [u8; 32],
    /// The answer to every request without a token.
    anonymous: Result<Arc<Identity>, AuthError>,
}

impl AuthSettings {
    /// `secret` is what `keys` were read from. `cache_entries_max` is a bound per core; 0 turns caching off.
    pub fn new(
        keys: Option<KeySet>,
        secret: Option<&[u8]>,
        audience: Option<String>,
        role_path: RolePath,
        anonymous_role: Option<RoleName>,
        cache_entries_max: usize,
    ) -> Self {
        let path = role_path.to_string();
        let anonymous_name = anonymous_role.as_ref().map(|role| role.as_str().as_bytes());
        let fingerprint =
            fingerprint(&[secret, audience.as_deref().map(str::as_bytes), Some(path.as_bytes()), anonymous_name]);
        let anonymous = role::identity(Vec::new(), &role_path, anonymous_role.as_ref()).map(Arc::new);
        Self { keys, audience, role_path, anonymous_role, cache_entries_max, fingerprint, anonymous }
    }

    /// What an administrator should read in the log at start.
    pub fn notices(&self) -> Vec<String> {
        let passed_over = self.keys.iter().flat_map(|keys| &keys.passed_over);
        let mut notices: Vec<String> =
            passed_over.map(|(place, reason)| format!("jwt-secret: key {place} is passed over: {reason}")).collect();
        if let RolePath::Legacy(_) = self.role_path {
            let path = &self.role_path;
            notices
                .push(format!("jwt-role-claim-key: the syntax of {path} is deprecated; use a JSONPath such as $.role"));
        }
        notices
    }

    /// Whether a role is that of requests without a token: privileges refused to it are 401, not 403.
    pub fn is_anonymous(&self, role: &RoleName) -> bool {
        self.anonymous_role.as_ref() == Some(role)
    }
}

fn fingerprint(parts: &[Option<&[u8]>]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        // Lengths keep neighbours apart; no length is that of an absent part.
        context.update(&part.map_or(usize::MAX, <[u8]>::len).to_be_bytes());
        context.update(part.unwrap_or_default());
    }
    let mut out = [0; 32];
    out.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    out
}

/// Decides who calls. `authorization` holds the values of the `Authorization` headers, of which the first counts; `now`
/// is in seconds of the Unix epoch. A token found in the cache costs no allocation.
pub fn authenticate<'h>(
    mut authorization: impl Iterator<Item = &'h [u8]>,
    settings: &AuthSettings,
    now: i64,
    cache: Option<&mut TokenCache>,
) -> Result<Arc<Identity>, AuthError> {
    let Some(token) = authorization.next().and_then(token::bearer) else {
        return settings.anonymous.clone();
    };
    let keys = settings.keys.as_ref().ok_or(AuthError::NoSecret)?;
    let Some(cache) = cache.filter(|_| settings.cache_entries_max > 0) else {
        return verified(token, keys, settings, now).map(|(identity, _)| identity);
    };
    if let Some((identity, times)) = cache.find(token, &settings.fingerprint) {
        times.check(now).map_err(AuthError::Claims)?;
        return Ok(identity);
    }
    let (identity, times) = verified(token, keys, settings, now)?;
    cache.remember(token, &identity, times, settings.cache_entries_max);
    Ok(identity)
}

fn verified(
    token: &[u8],
    keys: &KeySet,
    settings: &AuthSettings,
    now: i64,
) -> Result<(Arc<Identity>, Times), AuthError> {
    let token = token::parse(token)?;
    verify::verify(keys, &token)?;
    let Ok(claims @ Value::Object(_)) = value::parse(&token.payload) else {
        return Err(AuthError::Claims(ClaimsError::Unreadable));
    };
    let times = claims::check(&claims, settings.audience.as_deref(), now).map_err(AuthError::Claims)?;
    let Value::Object(members) = claims else {
        return Err(AuthError::Claims(ClaimsError::Unreadable));
    };
    let identity = role::identity(members, &settings.role_path, settings.anonymous_role.as_ref())?;
    Ok((Arc::new(identity), times))
}

/// Why a request's caller is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuthError {
    /// A token came, and nothing to verify it with is configured.
    NoSecret,
    Empty,
    Parts(usize),
    /// Header, payload or signature cannot be read, or the algorithm is unknown.
    Unreadable,
    /// `alg` is `none`.
    Unsecured,
    /// No key is of the token's kind, or has its `kid`.
    NoSuitableKey,
    /// Keys that fit were tried.
    Forged,
    /// Neither token nor claims name a role, and no anonymous role is configured.
    NoRole,
    Claims(ClaimsError),
}

impl ApiError for AuthError {
    fn code(&self) -> Code {
        match self {
            Self::NoSecret => Code::new("PGRST300", 500),
            Self::Empty | Self::Parts(_) | Self::Unreadable | Self::Unsecured | Self::NoSuitableKey | Self::Forged => {
                Code::new("PGRST301", 401)
            }
            Self::NoRole => Code::new("PGRST302", 401),
            Self::Claims(_) => Code::new("PGRST303", 401),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::NoSecret => "Server lacks JWT secret".to_owned(),
            Self::Empty => "Empty JWT is sent in Authorization header".to_owned(),
            Self::Parts(count) => format!("Expected 3 parts in JWT; got {count}"),
            Self::Unreadable => "JWT cryptographic operation failed".to_owned(),
            Self::Unsecured => "Wrong or unsupported encoding algorithm".to_owned(),
            Self::NoSuitableKey | Self::Forged => "No suitable key or wrong key type".to_owned(),
            Self::NoRole => "Anonymous access is disabled".to_owned(),
            Self::Claims(error) => error.message().to_owned(),
        }
    }

    fn details(&self) -> Option<Details> {
        let text = match self {
            Self::Unsecured => "JWT is unsecured but expected 'alg' was not 'none'",
            Self::NoSuitableKey => "No suitable key was found to decode the JWT",
            Self::Forged => "None of the keys was able to decode the JWT",
            Self::NoSecret | Self::Empty | Self::Parts(_) | Self::Unreadable | Self::NoRole | Self::Claims(_) => {
                return None;
            }
        };
        Some(Details::Text(text.to_owned()))
    }

    fn headers(&self) -> Vec<(String, String)> {
        let challenge = match self {
            Self::NoSecret => return Vec::new(),
            Self::NoRole => "Bearer".to_owned(),
            Self::Empty
            | Self::Parts(_)
            | Self::Unreadable
            | Self::Unsecured
            | Self::NoSuitableKey
            | Self::Forged
            | Self::Claims(_) => format!("Bearer error=\"invalid_token\", error_description=\"{}\"", self.message()),
        };
        vec![("WWW-Authenticate".to_owned(), challenge)]
    }
}

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod recorded;
