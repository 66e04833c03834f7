//! Strings as PostgreSQL's `escape_json` writes them: short escapes, `\u00xx` in lower case for the other control
//! characters, everything from a space on untouched but `"` and `\`.
//! The search for bytes to escape reads whole words in safe code; SSE2 by hand gained nothing that a row shows
//! (perf/results/escape.md).

/// Appends `text` as a JSON string with its quotes.
#[inline]
pub fn write(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    write_unquoted(out, text);
    out.push(b'"');
}

/// Appends `text` escaped, without quotes around it.
#[inline]
pub fn write_unquoted(out: &mut Vec<u8>, text: &[u8]) {
    write_with(out, text, first_to_escape);
}

#[inline]
fn write_with(out: &mut Vec<u8>, mut text: &[u8], first: impl Fn(&[u8]) -> usize) {
    loop {
        let (clean, rest) = text.split_at_checked(first(text)).unwrap_or((text, &[]));
        out.extend_from_slice(clean);
        let Some((&byte, rest)) = rest.split_first() else { return };
        write_escape(out, byte);
        text = rest;
    }
}

fn write_escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' => b"\\\"",
        b'\\' => b"\\\\",
        0x08 => b"\\b",
        0x0c => b"\\f",
        b'\n' => b"\\n",
        b'\r' => b"\\r",
        b'\t' => b"\\t",
        _ => {
            let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(short);
}

/// Index of the first byte to escape, or the length where there is none. Eight bytes at a time; the last word overlaps
/// the one before it, so that no tail is walked byte by byte.
#[inline]
pub fn first_to_escape(text: &[u8]) -> usize {
    let Some(last) = text.last_chunk::<8>() else { return first_of_few(text) };
    let (pairs, rest) = text.as_chunks::<16>();
    for (index, pair) in pairs.iter().enumerate() {
        let &[a, b, c, d, e, f, g, h, rest @ ..] = pair;
        if hits(u64::from_le_bytes([a, b, c, d, e, f, g, h])) | hits(u64::from_le_bytes(rest)) != 0 {
            return index * 16 + first_plain(pair);
        }
    }
    let before_rest = text.len() - rest.len();
    if let Some(word) = rest.first_chunk::<8>()
        && hits(u64::from_le_bytes(*word)) != 0
    {
        return before_rest + first_plain(word);
    }
    if hits(u64::from_le_bytes(*last)) != 0 { text.len() - 8 + first_plain(last) } else { text.len() }
}

/// Fewer than eight bytes, as two halves that overlap in the middle.
#[inline]
fn first_of_few(text: &[u8]) -> usize {
    let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) else { return first_plain(text) };
    let word = u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last));
    if hits(word) == 0 { text.len() } else { first_plain(text) }
}

/// Not zero where one of the word's bytes must be escaped: a borrow reaches the high bit of a byte that is less than
/// the bound (of one above 0x7f it doesn't count), or of its neighbour; so a bit always comes with a real hit.
#[inline]
fn hits(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES * 0x80;
    let below_space = word.wrapping_sub(ONES * 0x20);
    let quote = (word ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    (below_space | quote | backslash) & !word & HIGHS
}

/// The definition of `first_to_escape`: one byte after the other.
#[inline]
pub fn first_plain(text: &[u8]) -> usize {
    text.iter().position(|&byte| must_escape(byte)).unwrap_or(text.len())
}

#[inline]
fn must_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, text);
        out
    }

    #[test]
    fn strings() {
        fn check(text: &str, expect: &str) {
            assert_eq!(String::from_utf8(written(text.as_bytes())).unwrap(), expect, "{text:?}");
        }
        check("", r#""""#);
        check("plain", r#""plain""#);
        check("a\"b\\c/d", r#""a\"b\\c/d""#);
        check("\u{8}\u{c}\n\r\t", r#""\b\f\n\r\t""#);
        check("\u{1}\u{b}\u{1f}", r#""\u0001\u000b\u001f""#);
        check("\u{7f}é水🐘\u{2028}", "\"\u{7f}é水🐘\u{2028}\"");
        check("a long one that ends in a quote, past 32\"", "\"a long one that ends in a quote, past 32\\\"\"");
    }

    #[test]
    fn every_byte_at_every_place() {
        for len in 0..40 {
            for at in 0..len {
                for byte in 0..=255 {
                    for filler in [b'a', 0xff, 0x80, b'!'] {
                        let mut text = vec![filler; len];
                        text[at] = byte;
                        assert_eq!(first_to_escape(&text), first_plain(&text), "{text:?}");
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn fast_equals_plain(text in any::<Vec<u8>>()) {
            let mut plain = vec![b'"'];
            write_with(&mut plain, &text, first_plain);
            plain.push(b'"');
            prop_assert_eq!(written(&text), plain);
        }

        #[test]
        fn reads_back(text in any::<String>()) {
            let back: String = serde_json::from_slice(&written(text.as_bytes())).unwrap();
            prop_assert_eq!(back, text);
        }
    }
}
