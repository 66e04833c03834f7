//! Tokens that somebody made to get in, and what becomes of them: RFC 8725, CVEs, Wycheproof's kinds of signatures.

use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
};

use super::key::KeySet;
use super::recorded::{CASES, CONFIGS};
use super::{AuthError, AuthSettings, ClaimsError, Identity, RolePath, TokenCache, authenticate, base64};
use std::sync::Arc;

const NOW: i64 = 1_800_000_000;
const SECRET: &str = "a secret of more than thirty-two bytes";

fn url(bytes: &[u8]) -> String {
    base64::encode(bytes).trim_end_matches('=').replace('+', "-").replace('/', "_")
}

fn settings_for(secret: &[u8]) -> AuthSettings {
    AuthSettings::new(Some(KeySet::parse(secret).unwrap()), Some(secret), None, RolePath::default(), None, 1000)
}

fn ask(token: &[u8], secret: &[u8]) -> Result<Arc<Identity>, AuthError> {
    let header = [b"Bearer ", token].concat();
    authenticate(std::iter::once(header.as_slice()), &settings_for(secret), NOW, None)
}

/// A token signed with HMAC-SHA256, whatever its header says.
fn hs256(secret: &[u8], header: &str, payload: &[u8]) -> String {
    let signed = format!("{}.{}", url(header.as_bytes()), url(payload));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
    format!("{signed}.{}", url(signature.as_ref()))
}

/// The answer to a well-signed token with this header.
fn header(header: &str, expect: Result<(), AuthError>) {
    let got = ask(hs256(SECRET.as_bytes(), header, br#"{"role":"r"}"#).as_bytes(), SECRET.as_bytes());
    assert_eq!(got.map(|_| ()), expect, "{header:.200}");
}

/// The role that a well-signed token with these claims gets.
fn claims(payload: &[u8], expect: Result<&str, AuthError>) {
    let got = ask(hs256(SECRET.as_bytes(), r#"{"alg":"HS256"}"#, payload).as_bytes(), SECRET.as_bytes());
    assert_eq!(
        got.as_ref().map(|identity| identity.role.as_str()),
        expect.as_ref().copied(),
        "{:.200}",
        String::from_utf8_lossy(payload)
    );
}

#[test]
fn g1_the_algorithm_is_one_of_ours() {
    header(r#"{"alg":"HS256"}"#, Ok(()));
    header(r#"{"alg":"none"}"#, Err(AuthError::Unsecured));
    for name in ["None", "nOnE", "NONE", "", "hs256", "HS256 ", "PS256", "RSA-OAEP", "dir"] {
        header(&format!("{{\"alg\":\"{name}\"}}"), Err(AuthError::Unreadable));
    }
    for alg in
        ["{}", r#"{"alg":null}"#, r#"{"alg":["HS256"]}"#, r#"{"alg":256}"#, r#"["HS256"]"#, "null", "\"HS256\"", ""]
    {
        header(alg, Err(AuthError::Unreadable));
    }
    let token = hs256(SECRET.as_bytes(), r#"{"alg":"HS256"}"#, b"{}");
    let unsigned = &token[..=token.rfind('.').unwrap()];
    assert_eq!(ask(unsigned.as_bytes(), SECRET.as_bytes()), Err(AuthError::Forged));
}

#[test]
fn g2_a_public_key_is_no_hmac_secret() {
    let n = "v".repeat(342);
    let jwk = format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB"}}"#);
    let set = format!(r#"{{"keys":[{jwk}]}}"#);
    for secret in [jwk.as_str(), set.as_str()] {
        for hmac_secret in [secret, n.as_str(), "AQAB"] {
            let token = hs256(hmac_secret.as_bytes(), r#"{"alg":"HS256"}"#, b"{}");
            assert_eq!(ask(token.as_bytes(), secret.as_bytes()), Err(AuthError::NoSuitableKey));
        }
        // The algorithm of the key's own type, with something else's signature.
        let token = hs256(secret.as_bytes(), r#"{"alg":"RS256"}"#, b"{}");
        assert_eq!(ask(token.as_bytes(), secret.as_bytes()), Err(AuthError::Forged));
    }
    // And a secret verifies nothing but HS256.
    for name in ["RS256", "ES256", "ES384", "ES512", "EdDSA", "HS384", "HS512"] {
        header(&format!("{{\"alg\":\"{name}\"}}"), Err(AuthError::NoSuitableKey));
    }
}

#[test]
fn g3_keys_that_a_token_brings_along_are_ignored() {
    let own = r#"{"kty":"oct","k":"b2N0LWtleS1zZWNyZXQtb2N0LWtleS1zZWNyZXQtMDEyMw"}"#;
    let head =
        format!(r#"{{"alg":"HS256","jwk":{own},"jku":"http://127.0.0.1:9/","x5u":"http://127.0.0.1:9/","x5c":["x"]}}"#);
    let token = hs256(b"oct-key-secret-oct-key-secret-0123", &head, b"{}");
    assert_eq!(ask(token.as_bytes(), SECRET.as_bytes()), Err(AuthError::Forged));
    header(&head, Ok(()));
}

#[test]
fn g4_a_key_id_is_a_name_and_nothing_else() {
    let oct = |k: &str, kid: &str| format!(r#"{{"kty":"oct","k":"{}","kid":"{kid}"}}"#, url(k.as_bytes()));
    let rsa = format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB","kid":"rsa"}}"#, "v".repeat(342));
    let second = "another secret of thirty-two bytes";
    let set = format!(r#"{{"keys":[{},{},{},{rsa}]}}"#, oct(SECRET, "one"), oct(second, "two"), oct(SECRET, "two"));
    let ask_with = |kid: &str, secret: &str| {
        let token = hs256(secret.as_bytes(), &format!(r#"{{"alg":"HS256","kid":{kid}}}"#), br#"{"role":"r"}"#);
        ask(token.as_bytes(), set.as_bytes()).map(|_| ())
    };
    assert_eq!(ask_with("null", second), Ok(()), "absent: every key is tried");
    assert_eq!(ask_with("\"one\"", SECRET), Ok(()));
    assert_eq!(ask_with("\"one\"", second), Err(AuthError::Forged));
    assert_eq!(ask_with("\"two\"", SECRET), Ok(()), "two keys of one name are both tried");
    assert_eq!(ask_with("\"rsa\"", SECRET), Err(AuthError::NoSuitableKey), "a key of another type");
    for kid in ["\"../../dev/null\"", "\"' or 1=1 --\"", "\"one\\u0000\"", "\"\"", "\"ONE\""] {
        assert_eq!(ask_with(kid, SECRET), Err(AuthError::NoSuitableKey), "{kid}");
    }
    assert_eq!(ask_with(&format!("\"{}\"", "k".repeat(1 << 20)), SECRET), Err(AuthError::NoSuitableKey));
    for kid in ["1", "[\"one\"]", "{}", "true"] {
        assert_eq!(ask_with(kid, SECRET), Err(AuthError::Unreadable), "{kid}");
    }
}

#[test]
fn g5_the_form_is_compact_jws() {
    header(r#"{"alg":"HS256","crit":["x"],"x":1}"#, Ok(()));
    header(r#"{"alg":"HS256","typ":"JWT","cty":"JWT"}"#, Ok(()));
    header(r#"{"alg":"HS256","typ":1}"#, Err(AuthError::Unreadable));
    header(r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#, Err(AuthError::Unreadable));
    for (token, expect) in [
        ("", AuthError::Empty),
        ("a", AuthError::Parts(1)),
        ("a.b", AuthError::Parts(2)),
        ("a.b.c.d", AuthError::Parts(4)),
        ("a.b.c.d.e", AuthError::Parts(5)),
        ("..", AuthError::Unreadable),
        ("....", AuthError::Parts(5)),
        ("a.b.c", AuthError::Unreadable),
        (".e30.", AuthError::Unreadable),
    ] {
        assert_eq!(ask(token.as_bytes(), SECRET.as_bytes()), Err(expect), "{token}");
    }
    // With b64 false (RFC 7797) the payload stands there as it is; here it must be base64url like any other.
    let signed = format!("{}.{}", url(br#"{"alg":"HS256","b64":false,"crit":["b64"]}"#), r#"{"role":"r"}"#);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), signed.as_bytes());
    assert_eq!(
        ask(format!("{signed}.{}", url(tag.as_ref())).as_bytes(), SECRET.as_bytes()),
        Err(AuthError::Unreadable)
    );
}

#[test]
fn g6_short_secrets_are_refused() {
    for secret in [
        "",
        " ",
        "x",
        "0123456789012345678901234567890",
        r#"{"kty":"oct","k":""}"#,
        r#"{"keys":[{"kty":"oct","k":"AA"}]}"#,
    ] {
        assert!(KeySet::parse(secret.as_bytes()).is_err(), "{secret}");
    }
}

/// r and s of 32 bytes each: n - s verifies as well as s.
fn negated(signature: &[u8]) -> Vec<u8> {
    const N: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let n: Vec<u8> = (0..32).map(|index| u8::from_str_radix(&N[index * 2..index * 2 + 2], 16).unwrap()).collect();
    let mut out = signature.to_vec();
    let mut borrow = 0;
    for index in (0..32).rev() {
        let difference = i32::from(n[index]) - i32::from(signature[32 + index]) - borrow;
        borrow = i32::from(difference < 0);
        out[32 + index] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    out
}

fn der(signature: &[u8]) -> Vec<u8> {
    let integer = |part: &[u8]| [&[2, 33, 0], part].concat();
    let (r, s) = signature.split_at(signature.len() / 2);
    let body = [integer(r), integer(s)].concat();
    [&[0x30, u8::try_from(body.len()).unwrap()], body.as_slice()].concat()
}

#[test]
fn g7_ecdsa_signatures_are_two_numbers_in_range() {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
    let point = pair.public_key().as_ref();
    let jwk = format!(r#"{{"kty":"EC","crv":"P-256","x":"{}","y":"{}"}}"#, url(&point[1..33]), url(&point[33..]));
    let signed = format!("{}.{}", url(br#"{"alg":"ES256"}"#), url(br#"{"role":"r"}"#));
    let good = pair.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec();
    let ask_with = |signature: &[u8], jwk: &str| {
        ask(format!("{signed}.{}", url(signature)).as_bytes(), jwk.as_bytes()).map(|_| ())
    };
    assert_eq!(ask_with(&good, &jwk), Ok(()));
    assert_eq!(ask_with(&negated(&good), &jwk), Ok(()), "high and low s are both ECDSA signatures");
    let n = negated(&[0; 64])[32..].to_vec();
    let above_n = [&n[..31], &[n[31] + 1]].concat();
    let (r, s, zero) = (&good[..32], &good[32..], [0u8; 32]);
    for (name, signature) in [
        ("both zero: CVE-2022-21449", [0; 64].to_vec()),
        ("r zero", [&zero, s].concat()),
        ("s zero", [r, &zero].concat()),
        ("r is n", [&n, s].concat()),
        ("s is n", [r, &n].concat()),
        ("r above n", [&above_n, s].concat()),
        ("s above n", [r, &above_n].concat()),
        ("all ones", vec![0xff; 64]),
        ("swapped", [s, r].concat()),
        ("DER", der(&good)),
        ("short", good[..63].to_vec()),
        ("long", [&good, &[0][..]].concat()),
        ("padded to 96 bytes", [&[0; 16][..], r, &[0; 16], s].concat()),
        ("empty", Vec::new()),
    ] {
        assert_eq!(ask_with(&signature, &jwk), Err(AuthError::Forged), "{name}");
    }
    let off_curve = format!(r#"{{"kty":"EC","crv":"P-256","x":"{}","y":"AQ"}}"#, url(&point[1..33]));
    assert_eq!(ask_with(&good, &off_curve), Err(AuthError::Forged));
    let other_curve =
        format!(r#"{{"kty":"EC","crv":"P-384","x":"{}","y":"{}"}}"#, url(&point[1..33]), url(&point[33..]));
    assert_eq!(ask_with(&good, &other_curve), Err(AuthError::Forged));
    let bound = jwk.replace("{\"kty\"", "{\"alg\":\"ES384\",\"kty\"");
    assert_eq!(ask_with(&good, &bound), Err(AuthError::NoSuitableKey));
}

#[test]
fn g7_p384_goes_with_sha384_alone() {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
    let point = pair.public_key().as_ref();
    let jwk = format!(r#"{{"kty":"EC","crv":"P-384","x":"{}","y":"{}"}}"#, url(&point[1..49]), url(&point[49..]));
    for (name, expect) in [("ES384", Ok(())), ("ES256", Err(AuthError::Forged)), ("ES512", Err(AuthError::Forged))] {
        let signed = format!("{}.{}", url(format!("{{\"alg\":\"{name}\"}}").as_bytes()), url(br#"{"role":"r"}"#));
        let signature = pair.sign(&random, signed.as_bytes()).unwrap();
        let got = ask(format!("{signed}.{}", url(signature.as_ref())).as_bytes(), jwk.as_bytes());
        assert_eq!(got.map(|_| ()), expect, "{name}");
    }
}

#[test]
fn g7_ed25519_signatures_are_canonical_and_keys_not_of_small_order() {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let jwk = |public: &[u8]| format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, url(public));
    let own = jwk(pair.public_key().as_ref());
    let signed = format!("{}.{}", url(br#"{"alg":"EdDSA"}"#), url(br#"{"role":"r"}"#));
    let good = pair.sign(signed.as_bytes()).as_ref().to_vec();
    let ask_with =
        |signature: &[u8]| ask(format!("{signed}.{}", url(signature)).as_bytes(), own.as_bytes()).map(|_| ());
    assert_eq!(ask_with(&good), Ok(()));
    // S + L is the same number modulo the group's order, and no longer canonical (RFC 8032, 5.1.7).
    let order: [u8; 16] =
        [0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14];
    let mut more = good.clone();
    let mut carry = 0u16;
    for index in 0..32 {
        let addend = order.get(index).copied().unwrap_or(if index == 31 { 0x10 } else { 0 });
        let sum = u16::from(more[32 + index]) + u16::from(addend) + carry;
        more[32 + index] = u8::try_from(sum & 0xff).unwrap();
        carry = sum >> 8;
    }
    for wrong in [more, vec![0; 64], good[..63].to_vec(), [&good[32..], &good[..32]].concat(), Vec::new()] {
        assert_eq!(ask_with(&wrong), Err(AuthError::Forged));
    }
    let point = |first: u8, middle: u8, last: u8| [&[first][..], &[middle; 30], &[last]].concat();
    for small in [
        point(0, 0, 0),
        point(1, 0, 0),
        point(1, 0, 0x80),
        point(0xec, 0xff, 0x7f),
        point(0xed, 0xff, 0x7f),
        point(0xee, 0xff, 0xff),
    ] {
        assert!(KeySet::parse(jwk(&small).as_bytes()).unwrap_err().to_string().contains("small order"), "{small:?}");
    }
}

#[test]
fn g7_rsa_signatures_are_as_long_as_the_key_and_below_its_modulus() {
    let configs: serde_json::Value = serde_json::from_str(CONFIGS).unwrap();
    let jwk = configs["jwt_rsa_any"]["jwt-secret"].as_str().unwrap();
    let case = CASES.lines().find(|line| line.contains("write/jwt/rsa-any-rs256\"")).unwrap();
    let case: serde_json::Value = serde_json::from_str(case).unwrap();
    let token = case["headers"]["Authorization"].as_str().unwrap().strip_prefix("Bearer ").unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let good = base64::decode_url(signature.as_bytes()).unwrap();
    let modulus: serde_json::Value = serde_json::from_str(jwk).unwrap();
    let modulus = base64::decode_url(modulus["n"].as_str().unwrap().as_bytes()).unwrap();
    let ask_with =
        |signature: &[u8]| ask(format!("{signed}.{}", url(signature)).as_bytes(), jwk.as_bytes()).map(|_| ());
    assert_eq!(ask_with(&good), Ok(()));
    let plus_modulus = {
        let mut carry = 0u16;
        let mut sum: Vec<u8> = Vec::new();
        for (left, right) in good.iter().rev().zip(modulus.iter().rev()) {
            carry += u16::from(*left) + u16::from(*right);
            sum.insert(0, carry.to_be_bytes()[1]);
            carry >>= 8;
        }
        if carry > 0 {
            sum.insert(0, 1);
        }
        sum
    };
    let one = [&[0; 255][..], &[1]].concat();
    for (name, signature) in [
        ("the same number modulo n", plus_modulus),
        ("n itself", modulus),
        ("zero", vec![0; 256]),
        ("one", one),
        ("a leading zero more", [&[0][..], &good].concat()),
        ("a zero at the end", [&good[..], &[0]].concat()),
        ("short", good[1..].to_vec()),
        ("empty", Vec::new()),
    ] {
        assert_eq!(ask_with(&signature), Err(AuthError::Forged), "{name}");
    }
    // The same signature under another hash's name: the header is signed too, and the padding names the hash.
    let head = url(br#"{"alg":"RS512"}"#);
    let renamed = format!("{head}.{}.{signature}", signed.split_once('.').unwrap().1);
    assert_eq!(ask(renamed.as_bytes(), jwk.as_bytes()), Err(AuthError::Forged));
}

#[test]
fn g8_and_g9_claims_are_checked_after_the_signature() {
    claims(br#"{"role":"r","exp":1}"#, Err(AuthError::Claims(ClaimsError::Expired)));
    let forged = hs256(b"some other secret, thirty-two bytes", r#"{"alg":"HS256"}"#, br#"{"exp":1}"#);
    assert_eq!(
        ask(forged.as_bytes(), SECRET.as_bytes()),
        Err(AuthError::Forged),
        "nothing is said about unverified claims"
    );
    claims(br#"{"role":"r","aud":["x"]}"#, Ok("r"));
}

#[test]
fn g10_claims_are_a_bounded_json_object() {
    let unreadable = || Err(AuthError::Claims(ClaimsError::Unreadable));
    claims(br#"{"role":"first","role":"second"}"#, Ok("first"));
    claims(br#"{"role":"r","exp":4102444800,"exp":1}"#, Ok("r"));
    for payload in [
        &b""[..],
        b"[]",
        b"1",
        b"null",
        b"\"x\"",
        b"{",
        b"{}x",
        b"{\"role\":\"\xff\"}",
        b"{\"role\":\"\xc3\"}",
        b"{'role':'r'}",
    ] {
        claims(payload, unreadable());
    }
    let nested = |depth: usize| format!(r#"{{"role":"r","a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    claims(nested(150).as_bytes(), Ok("r"));
    claims(nested(20_000).as_bytes(), unreadable());
    claims(format!(r#"{{"role":"r","a":"{}"}}"#, "x".repeat(100_000)).as_bytes(), Ok("r"));
    let good = hs256(SECRET.as_bytes(), r#"{"alg":"HS256"}"#, br#"{"role":"r"}"#);
    for (name, token) in [
        ("padding", format!("{good}=")),
        ("line end", format!("{good}\n")),
        ("blank inside", good.replacen('.', " .", 1)),
        ("standard alphabet", good.replacen('.', ".+/", 1)),
        ("one character too many", format!("{good}AA")),
    ] {
        assert!(ask(token.as_bytes(), SECRET.as_bytes()).is_err(), "{name}");
    }
}

#[test]
fn g11_roles_are_text_for_the_database_to_judge() {
    for (payload, role) in [
        (&br#"{"role":""}"#[..], ""),
        (br#"{"role":5}"#, "5"),
        (br#"{"role":["a"]}"#, "[\"a\"]"),
        (br#"{"role":{"a":1}}"#, "{\"a\":1}"),
        (br#"{"role":"a\u0000b"}"#, "a\0b"),
        (br#"{"role":"a\"; drop table x; --"}"#, "a\"; drop table x; --"),
        (br#"{"role":"postgres"}"#, "postgres"),
    ] {
        claims(payload, Ok(role));
    }
    claims(b"{}", Err(AuthError::NoRole));
}

#[test]
fn g12_a_remembered_token_is_no_better_than_a_new_one() {
    let token = |claims: &str| format!("Bearer {}", hs256(SECRET.as_bytes(), r#"{"alg":"HS256"}"#, claims.as_bytes()));
    let mut cache = TokenCache::new();
    let settings = settings_for(SECRET.as_bytes());
    let mut ask_at = |header: &str, settings: &AuthSettings, now: i64| {
        authenticate(std::iter::once(header.as_bytes()), settings, now, Some(&mut cache))
    };
    let good = token(&format!(r#"{{"role":"r","exp":{NOW},"nbf":{}}}"#, NOW - 10));
    let first = ask_at(&good, &settings, NOW).unwrap();
    assert!(Arc::ptr_eq(&first, &ask_at(&good, &settings, NOW).unwrap()), "found again, not made again");
    assert!(ask_at(&good, &settings, NOW + 30).is_ok());
    assert_eq!(ask_at(&good, &settings, NOW + 31), Err(AuthError::Claims(ClaimsError::Expired)));
    assert_eq!(ask_at(&good, &settings, NOW - 41), Err(AuthError::Claims(ClaimsError::NotYetValid)));
    let (shorter, longer) = (&good[..good.len() - 1], format!("{good}A"));
    assert!(ask_at(shorter, &settings, NOW).is_err() && ask_at(&longer, &settings, NOW).is_err());
    let rotated = settings_for(b"some other secret, thirty-two bytes");
    assert_eq!(ask_at(&good, &rotated, NOW), Err(AuthError::Forged));
    assert!(ask_at(&good, &settings, NOW).is_ok());
    let audience = AuthSettings { audience: Some("us".to_owned()), ..settings.clone() };
    let keys = Some(KeySet::parse(SECRET.as_bytes()).unwrap());
    let audience = AuthSettings::new(keys, Some(SECRET.as_bytes()), audience.audience, RolePath::default(), None, 1000);
    let theirs = token(r#"{"role":"r","aud":"them"}"#);
    assert!(ask_at(&theirs, &settings, NOW).is_ok());
    assert_eq!(ask_at(&theirs, &audience, NOW), Err(AuthError::Claims(ClaimsError::OtherAudience)));
    assert_eq!(cache.counts.hits, 4);
    let off = AuthSettings { cache_entries_max: 0, ..settings };
    let mut unused = TokenCache::new();
    assert!(authenticate(std::iter::once(good.as_bytes()), &off, NOW, Some(&mut unused)).is_ok());
    assert!(unused.is_empty() && unused.counts.requests == 0);
}

#[test]
fn g13_the_header_has_one_scheme_and_one_token() {
    let token = hs256(SECRET.as_bytes(), r#"{"alg":"HS256"}"#, br#"{"role":"r"}"#);
    let settings = settings_for(SECRET.as_bytes());
    let ask_all =
        |headers: &[String]| authenticate(headers.iter().map(String::as_bytes), &settings, NOW, None).map(|_| ());
    for good in
        [format!("Bearer {token}"), format!("bearer {token}"), format!("BEARER  \t{token}"), format!("Bearer\t{token}")]
    {
        assert_eq!(ask_all(&[good]), Ok(()));
    }
    for (header, expect) in [
        (String::new(), AuthError::NoRole),
        (format!("Bearer{token}"), AuthError::NoRole),
        (format!("Basic {token}"), AuthError::NoRole),
        (token.clone(), AuthError::NoRole),
        (format!(" Bearer {token}"), AuthError::NoRole),
        ("Bearer".to_owned(), AuthError::Empty),
        ("Bearer  ".to_owned(), AuthError::Empty),
        (format!("Bearer {token}, Bearer {token}"), AuthError::Parts(5)),
        (format!("Bearer {token},"), AuthError::Unreadable),
        (format!("Bearer \"{token}\""), AuthError::Unreadable),
    ] {
        assert_eq!(ask_all(std::slice::from_ref(&header)), Err(expect), "{header}");
    }
    assert_eq!(ask_all(&[]), Err(AuthError::NoRole));
    assert_eq!(ask_all(&[format!("Bearer {token}"), "Bearer x".to_owned()]), Ok(()), "the first header counts");
    assert_eq!(ask_all(&["Basic x".to_owned(), format!("Bearer {token}")]), Err(AuthError::NoRole));
}
