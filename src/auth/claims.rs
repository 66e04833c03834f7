//! The registered claims (RFC 7519, 4.1) that decide whether a token counts now, and for us.
//! Checked in the order exp, nbf, iat, aud. Clocks may differ by `SKEW_SECONDS`, either way, the bound included.

use crate::json::decimal::Decimal;
use crate::json::value::Value;

const SKEW_SECONDS: i64 = 30;

/// What of a verified token must be checked again on every use. In seconds of the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Times {
    pub expires: Option<i64>,
    pub not_before: Option<i64>,
    pub issued: Option<i64>,
}

/// Why the claims are refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClaimsError {
    /// The payload is not a JSON object.
    Unreadable,
    ExpiresNotNumber,
    NotBeforeNotNumber,
    IssuedNotNumber,
    AudienceNotText,
    Expired,
    NotYetValid,
    IssuedInFuture,
    OtherAudience,
}

impl ClaimsError {
    pub fn message(self) -> &'static str {
        match self {
            Self::Unreadable => "Parsing claims failed",
            Self::ExpiresNotNumber => "The JWT 'exp' claim must be a number",
            Self::NotBeforeNotNumber => "The JWT 'nbf' claim must be a number",
            Self::IssuedNotNumber => "The JWT 'iat' claim must be a number",
            Self::AudienceNotText => "The JWT 'aud' claim must be a string or an array of strings",
            Self::Expired => "JWT expired",
            Self::NotYetValid => "JWT not yet valid",
            Self::IssuedInFuture => "JWT issued at future",
            Self::OtherAudience => "JWT not in audience",
        }
    }
}

impl Times {
    /// Whether the token counts at `now`.
    pub fn check(&self, now: i64) -> Result<(), ClaimsError> {
        if self.expires.is_some_and(|expires| now.saturating_sub(SKEW_SECONDS) > expires) {
            return Err(ClaimsError::Expired);
        }
        if self.not_before.is_some_and(|not_before| now.saturating_add(SKEW_SECONDS) < not_before) {
            return Err(ClaimsError::NotYetValid);
        }
        if self.issued.is_some_and(|issued| now.saturating_add(SKEW_SECONDS) < issued) {
            return Err(ClaimsError::IssuedInFuture);
        }
        Ok(())
    }
}

/// Checks all claims; `audience` is `jwt-aud`.
pub fn check(claims: &Value<'_>, audience: Option<&str>, now: i64) -> Result<Times, ClaimsError> {
    // A later claim's type is looked at only when the earlier claims hold.
    let mut times = Times { expires: seconds(claims, "exp", ClaimsError::ExpiresNotNumber)?, ..Times::default() };
    times.check(now)?;
    times.not_before = seconds(claims, "nbf", ClaimsError::NotBeforeNotNumber)?;
    times.check(now)?;
    times.issued = seconds(claims, "iat", ClaimsError::IssuedNotNumber)?;
    times.check(now)?;
    check_audience(claims, audience)?;
    Ok(times)
}

/// Numbers that are not whole, or not of 64 bits, count as 0: as in the reference server.
fn seconds(claims: &Value<'_>, name: &str, error: ClaimsError) -> Result<Option<i64>, ClaimsError> {
    match claims.member(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(text)) => Ok(Some(Decimal::parse(text).to_i64().unwrap_or(0))),
        Some(Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => Err(error),
    }
}

/// A token without audiences is for everybody.
fn check_audience(claims: &Value<'_>, audience: Option<&str>) -> Result<(), ClaimsError> {
    let ours = |text: &str| audience.is_none_or(|audience| audience == text);
    let fits = match claims.member("aud") {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => ours(text),
        Some(Value::Array(items)) => {
            let mut any = items.is_empty();
            for item in items {
                any |= ours(item.as_str().ok_or(ClaimsError::AudienceNotText)?);
            }
            any
        }
        Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => return Err(ClaimsError::AudienceNotText),
    };
    if fits { Ok(()) } else { Err(ClaimsError::OtherAudience) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::value;

    const NOW: i64 = 1_800_000_000;

    fn check_at(text: &str, audience: Option<&str>, expect: Result<(), ClaimsError>) {
        let claims = value::parse(text.as_bytes()).unwrap();
        assert_eq!(check(&claims, audience, NOW).map(|_| ()), expect, "{text}");
    }

    #[test]
    fn times_have_thirty_seconds_each_way() {
        for (claim, error, edge, step) in [
            ("exp", ClaimsError::Expired, NOW - 30, -1),
            ("nbf", ClaimsError::NotYetValid, NOW + 30, 1),
            ("iat", ClaimsError::IssuedInFuture, NOW + 30, 1),
        ] {
            check_at(&format!("{{\"{claim}\":{edge}}}"), None, Ok(()));
            check_at(&format!("{{\"{claim}\":{}}}", edge + step), None, Err(error));
            check_at(&format!("{{\"{claim}\":{}.0}}", edge + step), None, Err(error));
            check_at(&format!("{{\"{claim}\":null}}"), None, Ok(()));
        }
        check_at("{\"exp\":9223372036854775807,\"nbf\":-9223372036854775808}", None, Ok(()));
        check_at("{\"exp\":-9223372036854775808}", None, Err(ClaimsError::Expired));
        check_at("{\"exp\":1e300}", None, Err(ClaimsError::Expired));
        check_at("{\"exp\":1,\"nbf\":\"x\"}", None, Err(ClaimsError::Expired));
        check_at("{\"nbf\":\"x\",\"exp\":4102444800}", None, Err(ClaimsError::NotBeforeNotNumber));
    }

    #[test]
    fn audiences_are_text_and_ours() {
        for (text, without, with) in [
            ("{}", Ok(()), Ok(())),
            (r#"{"aud":null}"#, Ok(()), Ok(())),
            (r#"{"aud":[]}"#, Ok(()), Ok(())),
            (r#"{"aud":"a"}"#, Ok(()), Ok(())),
            (r#"{"aud":["b","a"]}"#, Ok(()), Ok(())),
            (r#"{"aud":"A"}"#, Ok(()), Err(ClaimsError::OtherAudience)),
            (r#"{"aud":""}"#, Ok(()), Err(ClaimsError::OtherAudience)),
            (r#"{"aud":["b"]}"#, Ok(()), Err(ClaimsError::OtherAudience)),
            (r#"{"aud":["a",1]}"#, Err(ClaimsError::AudienceNotText), Err(ClaimsError::AudienceNotText)),
            (r#"{"aud":true}"#, Err(ClaimsError::AudienceNotText), Err(ClaimsError::AudienceNotText)),
        ] {
            check_at(text, None, without);
            check_at(text, Some("a"), with);
        }
    }
}
