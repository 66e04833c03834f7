//! Base64 as tokens, keys and secrets have it. No crate of ours does it, and both alphabets fit one page.

/// Decodes RFC 4648's URL alphabet without padding. Unused bits of the last character may be anything, as in the
/// reference server: they change the token's text, never its meaning.
pub fn decode_url(text: &[u8]) -> Option<Vec<u8>> {
    decode(text, |byte| match byte {
        b'-' => Some(62),
        b'_' => Some(63),
        _ => alphanumeric(byte),
    })
}

/// Decodes a secret: either alphabet, `=` or `.` as padding or none, blanks around it.
pub fn decode_secret(text: &[u8]) -> Option<Vec<u8>> {
    let trimmed = text.trim_ascii();
    let data = trimmed.iter().rposition(|byte| !matches!(byte, b'=' | b'.')).and_then(|last| trimmed.get(..=last));
    decode(data.unwrap_or(b""), |byte| match byte {
        b'-' | b'+' => Some(62),
        b'_' | b'/' => Some(63),
        _ => alphanumeric(byte),
    })
}

/// Encodes in the standard alphabet with padding.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = encode_with(bytes, ['+', '/']);
    while !out.len().is_multiple_of(4) {
        out.push('=');
    }
    out
}

/// Encodes in the URL alphabet without padding.
pub fn encode_url(bytes: &[u8]) -> String {
    encode_with(bytes, ['-', '_'])
}

/// Given the two characters in which the alphabets differ.
fn encode_with(bytes: &[u8], [sixty_two, sixty_three]: [char; 2]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for place in 0..=group.len() {
            let [digit, ..] = (bits >> (18 - 6 * place) & 63).to_le_bytes();
            out.push(match digit {
                0..26 => char::from(b'A' + digit),
                26..52 => char::from(b'a' + digit - 26),
                52..62 => char::from(b'0' + digit - 52),
                62 => sixty_two,
                _ => sixty_three,
            });
        }
    }
    out
}

fn decode(text: &[u8], value: impl Fn(u8) -> Option<u8>) -> Option<Vec<u8>> {
    if text.len() % 4 == 1 {
        return None;
    }
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.chunks(4) {
        let mut bits = 0u32;
        for &byte in group {
            bits = bits << 6 | u32::from(value(byte)?);
        }
        bits <<= 6 * (4 - group.len());
        let [_, first, second, third] = bits.to_be_bytes();
        out.extend([first, second, third].into_iter().take(group.len() - 1));
    }
    Some(out)
}

fn alphanumeric(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_take_one_spelling() {
        for (text, expect) in [
            ("", Some(&b""[..])),
            ("Zg", Some(b"f")),
            ("Zm8", Some(b"fo")),
            ("Zm9v", Some(b"foo")),
            ("-_8", Some(b"\xfb\xff")),
            ("Zh", Some(b"f")),
            ("Z", None),
            ("Zg==", None),
            ("Zm9vZ", None),
            ("+/8", None),
            ("Zm 9v", None),
            ("Zm9v\n", None),
        ] {
            assert_eq!(decode_url(text.as_bytes()).as_deref(), expect, "{text:?}");
        }
    }

    #[test]
    fn secrets_take_every_spelling() {
        for (text, expect) in [
            ("+/8=", Some(&b"\xfb\xff"[..])),
            ("-_8.", Some(b"\xfb\xff")),
            (" Zg==\n", Some(b"f")),
            ("Zg", Some(b"f")),
            ("", Some(b"")),
            ("==", Some(b"")),
            ("Z=g=", None),
            ("Z", None),
            ("Zg!", None),
        ] {
            assert_eq!(decode_secret(text.as_bytes()).as_deref(), expect, "{text:?}");
        }
    }

    #[test]
    fn encoding_is_undone_by_decoding() {
        for len in 0..40u8 {
            let bytes: Vec<u8> = (0..len).map(|byte| byte.wrapping_mul(37)).collect();
            let text = encode(&bytes);
            assert_eq!(text.len() % 4, 0);
            assert_eq!(decode_secret(text.as_bytes()).unwrap(), bytes);
            assert_eq!(decode_url(encode_url(&bytes).as_bytes()).unwrap(), bytes);
        }
        assert_eq!((encode(b"fo").as_str(), encode_url(b"fo").as_str()), ("Zm8=", "Zm8"));
        assert_eq!((encode(&[0xfb, 0xff, 0xfe]), encode_url(&[0xfb, 0xff, 0xfe])), ("+//+".into(), "-__-".into()));
    }
}
