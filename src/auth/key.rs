//! `jwt-secret` → verification keys: a text secret, one JSON Web Key (RFC 7517) or a set of them.
//! A key's type fixes which algorithms it may verify, so that a public key is never taken for an HMAC secret
//! (CVE-2016-10555). Text that looks like a key but is not one is refused for the same reason.
//! Limits: a secret has `SECRET_BYTES_MIN` bytes, an RSA key 2048 to 8192 bits, a set `limits::JWT_KEYS_MAX` keys.

use std::fmt;

use ring::hmac;

use super::base64;
use crate::json::value::{self, Value};
use crate::limits::JWT_KEYS_MAX;

/// Shorter secrets can be found by trying.
pub const SECRET_BYTES_MIN: usize = 32;

/// The keys of one configuration, in the order they were given.
#[derive(Clone, Debug)]
pub struct KeySet {
    pub keys: Vec<Key>,
    /// Members that can verify nothing here, for the log: place in the set from 1, and why.
    pub passed_over: Vec<(usize, &'static str)>,
}

/// One key and what it may be used for.
#[derive(Clone)]
pub struct Key {
    /// `kid`: a token that names one is verified with keys of that name only.
    pub id: Option<String>,
    /// `alg`, where the key is bound to one.
    pub algorithm: Option<Algorithm>,
    pub material: Material,
}

/// What signatures are checked with, by key type.
#[derive(Clone)]
pub enum Material {
    /// `oct`: the same secret under each of the three hashes.
    Hmac(Box<HmacKeys>),
    /// Modulus and exponent, big-endian, without leading zeros.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// An uncompressed point.
    Ec { curve: Curve, point: Vec<u8> },
    /// OKP with Ed25519.
    Ed25519 { public: Vec<u8> },
}

/// One secret, prepared for each hash.
#[derive(Clone)]
pub struct HmacKeys {
    pub sha256: hmac::Key,
    pub sha384: hmac::Key,
    pub sha512: hmac::Key,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Curve {
    P256,
    P384,
}

/// Signature algorithms (RFC 7518, 8037) that PostgREST takes; the PS family is not among them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

impl Algorithm {
    /// By its exact name: `hs256` is none.
    pub fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "HS256" => Self::Hs256,
            "HS384" => Self::Hs384,
            "HS512" => Self::Hs512,
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }
}

impl Key {
    /// Whether a token with this algorithm and key id may be checked with this key.
    pub fn suits(&self, algorithm: Algorithm, id: Option<&str>) -> bool {
        let family = match (&self.material, algorithm) {
            (Material::Hmac(_), Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512)
            | (Material::Rsa { .. }, Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512)
            | (Material::Ec { .. }, Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512)
            | (Material::Ed25519 { .. }, Algorithm::EdDsa) => true,
            (Material::Hmac(_) | Material::Rsa { .. } | Material::Ec { .. } | Material::Ed25519 { .. }, _) => false,
        };
        let bound = self.algorithm.is_none_or(|bound| bound == algorithm);
        let named = id.is_none_or(|id| self.id.as_deref() == Some(id));
        family && bound && named
    }
}

/// Why a `jwt-secret` is refused. The secret itself is never in the text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyError {
    TooShort,
    NotBase64,
    NotASet,
    TooMany,
    Member { index: usize, reason: &'static str },
    Unsupported { reason: &'static str },
}

impl fmt::Display for KeyError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => out.write_str("The JWT secret must be at least 32 characters long."),
            Self::NotBase64 => out.write_str("jwt-secret is not base64, as jwt-secret-is-base64 = true says"),
            Self::NotASet => out.write_str("jwt-secret has a member \"keys\" that is not a list of JSON Web Keys"),
            Self::TooMany => write!(out, "jwt-secret has more than {JWT_KEYS_MAX} keys"),
            Self::Member { index, reason } => write!(out, "jwt-secret, key {}: {reason}", index + 1),
            Self::Unsupported { reason } => write!(out, "jwt-secret has no key that could verify a token: {reason}"),
        }
    }
}

impl KeySet {
    /// Reads the secret's bytes, already decoded where `jwt-secret-is-base64`.
    pub fn parse(secret: &[u8]) -> Result<Self, KeyError> {
        let value = value::parse(secret).ok();
        match value.as_ref().filter(|value| value.member("keys").is_some() || value.member("kty").is_some()) {
            Some(object) => Self::from_json(object),
            None if secret.len() < SECRET_BYTES_MIN => Err(KeyError::TooShort),
            None => {
                let key = Key { id: None, algorithm: Some(Algorithm::Hs256), material: hmac_material(secret) };
                Ok(Self { keys: vec![key], passed_over: Vec::new() })
            }
        }
    }

    fn from_json(object: &Value<'_>) -> Result<Self, KeyError> {
        let one = std::slice::from_ref(object);
        let members = match object.member("keys") {
            Some(Value::Array(members)) => members.as_slice(),
            Some(_) => return Err(KeyError::NotASet),
            None => one,
        };
        if members.len() > JWT_KEYS_MAX {
            return Err(KeyError::TooMany);
        }
        let mut keys = Vec::new();
        let mut passed_over = Vec::new();
        for (index, member) in members.iter().enumerate() {
            match read_key(member) {
                Ok(key) => keys.push(key),
                Err(Refused::Unusable(reason)) => passed_over.push((index + 1, reason)),
                Err(Refused::Broken("too short")) => return Err(KeyError::TooShort),
                Err(Refused::Broken(reason)) => return Err(KeyError::Member { index, reason }),
            }
        }
        match passed_over.first() {
            Some(&(_, reason)) if keys.is_empty() => Err(KeyError::Unsupported { reason }),
            _ => Ok(Self { keys, passed_over }),
        }
    }
}

enum Refused {
    /// Not for us, and no mistake: sets hold keys for other uses.
    Unusable(&'static str),
    Broken(&'static str),
}

fn read_key(key: &Value<'_>) -> Result<Key, Refused> {
    let text = |name: &str| key.member(name).and_then(Value::as_str);
    let algorithm = match key.member("alg") {
        None | Some(Value::Null) => None,
        Some(name) => {
            Some(name.as_str().and_then(Algorithm::by_name).ok_or(Refused::Unusable("its alg is not supported"))?)
        }
    };
    match text("use") {
        None | Some("sig") => {}
        Some("enc") => return Err(Refused::Unusable("its use is enc")),
        Some(_) => return Err(Refused::Broken("use must be sig or enc")),
    }
    let material = match key.member("kty").map(Value::as_str) {
        Some(Some("oct")) => read_oct(key)?,
        Some(Some("RSA")) => read_rsa(key)?,
        Some(Some("EC")) => read_ec(key)?,
        Some(Some("OKP")) => read_okp(key)?,
        Some(Some(_)) => return Err(Refused::Unusable("its kty is not supported")),
        Some(None) | None => return Err(Refused::Broken("kty is missing")),
    };
    Ok(Key { id: text("kid").map(str::to_owned), algorithm, material })
}

fn read_oct(key: &Value<'_>) -> Result<Material, Refused> {
    let secret = bytes(key, "k").ok_or(Refused::Broken("an oct key needs k in base64url"))?;
    if secret.len() < SECRET_BYTES_MIN { Err(Refused::Broken("too short")) } else { Ok(hmac_material(&secret)) }
}

fn hmac_material(secret: &[u8]) -> Material {
    Material::Hmac(Box::new(HmacKeys {
        sha256: hmac::Key::new(hmac::HMAC_SHA256, secret),
        sha384: hmac::Key::new(hmac::HMAC_SHA384, secret),
        sha512: hmac::Key::new(hmac::HMAC_SHA512, secret),
    }))
}

fn read_rsa(key: &Value<'_>) -> Result<Material, Refused> {
    let n = unsigned(key, "n").ok_or(Refused::Broken("an RSA key needs n in base64url"))?;
    let e = unsigned(key, "e").ok_or(Refused::Broken("an RSA key needs e in base64url"))?;
    let bits = n.len() * 8 - n.first().map_or(0, |first| usize::try_from(first.leading_zeros()).unwrap_or(0));
    if !(2048..=8192).contains(&bits) {
        return Err(Refused::Broken("an RSA key must have 2048 to 8192 bits"));
    }
    let odd = e.last().is_some_and(|last| last % 2 == 1);
    if !odd || e.len() > 4 || e == [1] {
        return Err(Refused::Broken("an RSA key's e must be odd, above 1 and below 2^32"));
    }
    Ok(Material::Rsa { n, e })
}

fn read_ec(key: &Value<'_>) -> Result<Material, Refused> {
    let (curve, len) = match key.member("crv").and_then(Value::as_str) {
        Some("P-256") => (Curve::P256, 32),
        Some("P-384") => (Curve::P384, 48),
        Some("P-521") => {
            return Err(Refused::Unusable("EC keys on P-521 are not supported, those on P-256 and P-384 are"));
        }
        _ => return Err(Refused::Broken("an EC key needs crv: P-256 or P-384")),
    };
    let mut point = vec![4];
    for name in ["x", "y"] {
        let coordinate = unsigned(key, name).filter(|coordinate| coordinate.len() <= len);
        let coordinate =
            coordinate.ok_or(Refused::Broken("an EC key needs x and y in base64url, of its curve's size"))?;
        point.extend(std::iter::repeat_n(0, len - coordinate.len()));
        point.extend(coordinate);
    }
    Ok(Material::Ec { curve, point })
}

fn read_okp(key: &Value<'_>) -> Result<Material, Refused> {
    match key.member("crv").and_then(Value::as_str) {
        Some("Ed25519") => {}
        Some("Ed448" | "X25519" | "X448") => return Err(Refused::Unusable("of OKP keys only Ed25519 is supported")),
        _ => return Err(Refused::Broken("an OKP key needs crv: Ed25519")),
    }
    let public = bytes(key, "x").filter(|public| public.len() == 32);
    let public = public.ok_or(Refused::Broken("an Ed25519 key needs x, 32 bytes in base64url"))?;
    if is_small_order(&public) {
        return Err(Refused::Broken("this Ed25519 key is a point of small order: anybody could sign"));
    }
    Ok(Material::Ed25519 { public })
}

/// The points whose multiples are few, in their encodings with and without reduction; the sign bit does not matter.
fn is_small_order(public: &[u8]) -> bool {
    const TWO: &str = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
    const SIX: &str = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a";
    let mut hex: String = public.iter().take(31).map(|byte| format!("{byte:02x}")).collect();
    hex.push_str(&format!("{:02x}", public.last().map_or(0, |byte| byte & 0x7f)));
    let around_prime = hex.get(2..) == Some(&format!("{}7f", "ff".repeat(30)));
    let around_zero = hex.get(2..) == Some(&"00".repeat(31));
    let first = hex.get(..2).unwrap_or("");
    hex == TWO
        || hex == SIX
        || (around_zero && matches!(first, "00" | "01"))
        || (around_prime && matches!(first, "ec" | "ed" | "ee"))
}

fn bytes(key: &Value<'_>, name: &str) -> Option<Vec<u8>> {
    base64::decode_url(key.member(name)?.as_str()?.as_bytes())
}

/// A big-endian number without its leading zeros; zero is none.
fn unsigned(key: &Value<'_>, name: &str) -> Option<Vec<u8>> {
    let mut number = bytes(key, name)?;
    let zeros = number.iter().position(|&byte| byte != 0)?;
    Some(number.split_off(zeros))
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.material {
            Material::Hmac(_) => "oct",
            Material::Rsa { .. } => "RSA",
            Material::Ec { .. } => "EC",
            Material::Ed25519 { .. } => "OKP",
        };
        out.debug_struct("Key")
            .field("kty", &kind)
            .field("kid", &self.id)
            .field("alg", &self.algorithm)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expect` is the debug form of the keys, or the message of the refusal.
    fn check(secret: &str, expect: &str) {
        let got = match KeySet::parse(secret.as_bytes()) {
            Ok(set) => set.keys.iter().map(|key| format!("{key:?}")).collect::<Vec<_>>().join("; "),
            Err(error) => error.to_string(),
        };
        assert!(got.contains(expect) && (got.is_empty() == expect.is_empty()), "{secret}\n{got}");
    }

    const OCT: &str = r#"{"kty":"oct","k":"b2N0LWtleS1zZWNyZXQtb2N0LWtleS1zZWNyZXQtMDEyMw","kid":"o"}"#;

    #[test]
    fn secrets_and_keys_are_told_apart() {
        check("0123456789012345678901234567890", "at least 32 characters");
        check("", "at least 32 characters");
        check("01234567890123456789012345678901", "kty: \"oct\", kid: None, alg: Some(Hs256)");
        check(&format!("{{\"password\": \"{}\"}}", "x".repeat(32)), "alg: Some(Hs256)");
        check(OCT, "kty: \"oct\", kid: Some(\"o\"), alg: None");
        check(&format!("{{\"keys\":[{OCT}]}}"), "kid: Some(\"o\")");
        check("{\"keys\": []}                    ", "");
    }

    #[test]
    fn broken_and_weak_keys_are_refused() {
        let ec = |crv: &str, x: &str| format!(r#"{{"kty":"EC","crv":"{crv}","x":"{x}","y":"AQ"}}"#);
        check(r#"{"keys": {"kty":"oct"}}                       "#, "not a list");
        check(r#"{"kty":"oct","k":"c2hvcnQ"}"#, "at least 32 characters");
        check(r#"{"kty":"oct"}                                     "#, "needs k");
        check(r#"{"kty":"oct","k":"b2N0LWtleS1zZWNyZXQtb2N0LWtleS1zZWNyZXQtMDEyMw","use":"x"}"#, "sig or enc");
        check(&format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, "v".repeat(171)), "2048 to 8192");
        check(&format!(r#"{{"kty":"RSA","n":"{}","e":"AQ"}}"#, "v".repeat(342)), "must be odd");
        check(&format!(r#"{{"kty":"RSA","n":"{}","e":"AQAC"}}"#, "v".repeat(342)), "must be odd");
        check(&format!(r#"{{"kty":"RSA","n":"{}"}}"#, "v".repeat(342)), "needs e");
        check(&ec("P-256", "v".repeat(44).as_str()), "of its curve's size");
        check(&ec("P-256K", "AQ"), "needs crv");
        check(&ec("P-521", "AQ"), "P-521 are not supported");
        check(&format!(r#"{{"keys":[{OCT},{}]}}"#, ec("P-521", "AQ")), "kty: \"oct\"");
        check(&format!(r#"{{"keys":[{OCT},{}]}}"#, ec("P-256", "")), "key 2: an EC key needs");
        check(r#"{"kty":"OKP","crv":"Ed25519","x":"AQ"}"#, "32 bytes");
        check(r#"{"kty":"OKP","crv":"X25519","x":"AQ"}"#, "only Ed25519");
        check(r#"{"kty":5}                                         "#, "kty is missing");
        check(r#"{"keys":[5]}                                      "#, "kty is missing");
        check(r#"{"kty":"new"}                                     "#, "kty is not supported");
    }
}
