//! What the token's fuzz target runs: any bytes as a token, and as header and claims of a token with a good signature.
//! Nothing may panic, and nothing unsigned may be believed.

use ring::hmac;

use super::base64::encode_url;
use super::json_path::RolePath;
use super::key::KeySet;
use super::{AuthSettings, TokenCache, authenticate};

const SECRET: &[u8] = b"a secret for the fuzzer, 32 bytes and more";

/// One run. `data` is split at its first byte's value into header and claims.
pub fn token(data: &[u8]) {
    let settings = AuthSettings::new(KeySet::parse(SECRET).ok(), Some(SECRET), None, RolePath::default(), None, 8);
    let mut cache = TokenCache::new();
    let mut run = |token: &[u8]| {
        let value = [b"Bearer ", token].concat();
        let once = authenticate(std::iter::once(value.as_slice()), &settings, 1_800_000_000, Some(&mut cache));
        let again = authenticate(std::iter::once(value.as_slice()), &settings, 1_800_000_000, Some(&mut cache));
        assert_eq!(once, again, "a remembered token answers as a new one");
        once
    };
    assert!(run(data).is_err(), "nobody signed this");
    let (header, claims) = match data.split_first() {
        Some((&at, rest)) => rest.split_at_checked(usize::from(at)).unwrap_or((rest, b"{}")),
        None => (data, data),
    };
    for header in [header, br#"{"alg":"HS256"}"#] {
        let signed = [encode_url(header), encode_url(claims)].join(".");
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), signed.as_bytes());
        let _ = run([signed, encode_url(signature.as_ref())].join(".").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_survived(data in proptest::collection::vec(any::<u8>(), 0..300)) {
            super::token(&data);
        }

        #[test]
        fn any_claims_are_survived(claims in "\u{0}[{\\[\":,\\\\0-9eE.truefalsn}\\] a-z-]{0,60}") {
            super::token(claims.as_bytes());
        }
    }
}
