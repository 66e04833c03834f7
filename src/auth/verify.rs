//! Is the signature one of our keys'? ring decides; comparisons are constant in time where a secret is involved.

use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use ring::{error, hmac};

use super::AuthError;
use super::key::{Algorithm, Curve, HmacKeys, KeySet, Material};
use super::token::Token;

/// Tries each key that suits the token, in the order of the set.
pub fn verify(keys: &KeySet, token: &Token<'_>) -> Result<(), AuthError> {
    let mut suitable = keys.keys.iter().filter(|key| key.suits(token.algorithm, token.key_id.as_deref())).peekable();
    if suitable.peek().is_none() {
        return Err(AuthError::NoSuitableKey);
    }
    if suitable.any(|key| verifies(&key.material, token).is_ok()) { Ok(()) } else { Err(AuthError::Forged) }
}

fn verifies(material: &Material, token: &Token<'_>) -> Result<(), error::Unspecified> {
    match material {
        Material::Hmac(keys) => hmac::verify(hmac_key(keys, token.algorithm)?, token.signed, &token.signature),
        Material::Rsa { n, e } => {
            RsaPublicKeyComponents { n, e }.verify(rsa_parameters(token.algorithm)?, token.signed, &token.signature)
        }
        Material::Ec { curve, point } => public(ec_algorithm(*curve, token.algorithm)?, point, token),
        Material::Ed25519 { public: key } if token.algorithm == Algorithm::EdDsa => {
            public(&signature::ED25519, key, token)
        }
        Material::Ed25519 { .. } => Err(error::Unspecified),
    }
}

fn public(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    token: &Token<'_>,
) -> Result<(), error::Unspecified> {
    UnparsedPublicKey::new(algorithm, key).verify(token.signed, &token.signature)
}

fn hmac_key(keys: &HmacKeys, algorithm: Algorithm) -> Result<&hmac::Key, error::Unspecified> {
    match algorithm {
        Algorithm::Hs256 => Ok(&keys.sha256),
        Algorithm::Hs384 => Ok(&keys.sha384),
        Algorithm::Hs512 => Ok(&keys.sha512),
        Algorithm::Rs256
        | Algorithm::Rs384
        | Algorithm::Rs512
        | Algorithm::Es256
        | Algorithm::Es384
        | Algorithm::Es512
        | Algorithm::EdDsa => Err(error::Unspecified),
    }
}

fn rsa_parameters(algorithm: Algorithm) -> Result<&'static signature::RsaParameters, error::Unspecified> {
    match algorithm {
        Algorithm::Rs256 => Ok(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Ok(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Ok(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Hs256
        | Algorithm::Hs384
        | Algorithm::Hs512
        | Algorithm::Es256
        | Algorithm::Es384
        | Algorithm::Es512
        | Algorithm::EdDsa => Err(error::Unspecified),
    }
}

/// RFC 7518, 3.4: one curve, one hash. Signatures are r and s, side by side; not DER.
fn ec_algorithm(curve: Curve, algorithm: Algorithm) -> Result<&'static dyn VerificationAlgorithm, error::Unspecified> {
    match (curve, algorithm) {
        (Curve::P256, Algorithm::Es256) => Ok(&signature::ECDSA_P256_SHA256_FIXED),
        (Curve::P384, Algorithm::Es384) => Ok(&signature::ECDSA_P384_SHA384_FIXED),
        (Curve::P256 | Curve::P384, _) => Err(error::Unspecified),
    }
}
