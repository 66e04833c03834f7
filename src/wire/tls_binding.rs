//! `tls-server-end-point` (RFC 5929): the hash of the server's certificate that SCRAM is bound to. Pure.

use ring::digest::{self, Algorithm, SHA256, SHA384, SHA512};

/// The certificate's hash by the algorithm it is signed with; MD5 and SHA-1 give way to SHA-256. `None` where the
/// signature has no hash of its own (Ed25519) or one that is not known here.
pub(super) fn server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, whole, _) = element(certificate)?;
    let (_, _, after_body) = element(whole)?;
    let (_, signature, _) = element(after_body)?;
    let (OBJECT_IDENTIFIER, name, _) = element(signature)? else { return None };
    Some(digest::digest(hash_of(name)?, certificate).as_ref().to_vec())
}

const OBJECT_IDENTIFIER: u8 = 6;

fn hash_of(signature: &[u8]) -> Option<&'static Algorithm> {
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
    if let Some(rest) = signature.strip_prefix(RSA) {
        return match rest {
            [4 | 5 | 11] => Some(&SHA256),
            [12] => Some(&SHA384),
            [13] => Some(&SHA512),
            _ => None,
        };
    }
    match signature.strip_prefix(ECDSA)? {
        [1] | [3, 2] => Some(&SHA256),
        [3, 3] => Some(&SHA384),
        [3, 4] => Some(&SHA512),
        _ => None,
    }
}

/// Tag, content and what follows of the first DER element.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, first, rest @ ..] = der else { return None };
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if !(1..=4).contains(&count) {
            return None;
        }
        let (digits, rest) = rest.split_at_checked(count)?;
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signatures_hash_is_used() {
        let check = |algorithm: &[u8], expect: Option<&'static Algorithm>| {
            let mut signature = vec![0x30, u8::try_from(algorithm.len()).unwrap() + 2, 6];
            signature.push(u8::try_from(algorithm.len()).unwrap());
            signature.extend_from_slice(algorithm);
            let mut whole = vec![0x30, u8::try_from(signature.len()).unwrap() + 2, 0x30, 0];
            whole.extend_from_slice(&signature);
            let expect = expect.map(|hash| digest::digest(hash, &whole).as_ref().to_vec());
            assert_eq!(server_end_point(&whole), expect);
            for end in 0..whole.len() {
                assert_eq!(server_end_point(&whole[..end]), None, "cut at {end}");
            }
        };
        let rsa = |last| [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last];
        check(&rsa(5), Some(&SHA256));
        check(&rsa(11), Some(&SHA256));
        check(&rsa(12), Some(&SHA384));
        check(&rsa(13), Some(&SHA512));
        check(&rsa(10), None);
        check(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 3, 3], Some(&SHA384));
        check(&[0x2b, 0x65, 0x70], None);
    }
}
