//! Numbers: PostgreSQL's text of a float or numeric is nearly always a JSON number; `NaN` and the infinities are not
//! and get quotes, as `to_json` gives them.

/// Appends the text of a number, quoted where it isn't a JSON number.
#[inline]
pub fn write(out: &mut Vec<u8>, text: &[u8]) {
    if is_json_number(text) {
        out.extend_from_slice(text);
    } else {
        super::escape::write(out, text);
    }
}

/// RFC 8259, section 6: `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
#[inline]
pub fn is_json_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let rest = match text.split_first() {
        Some((b'0', rest)) => rest,
        Some((b'1'..=b'9', rest)) => after_digits(rest),
        _ => return false,
    };
    let rest = match rest.split_first() {
        None => return true,
        Some((b'.', [b'0'..=b'9', rest @ ..])) => after_digits(rest),
        Some(_) => rest,
    };
    match rest {
        [] => true,
        [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] => {
            !exponent.is_empty() && after_digits(exponent).is_empty()
        }
        _ => false,
    }
}

#[inline]
fn after_digits(mut text: &[u8]) -> &[u8] {
    while let [b'0'..=b'9', rest @ ..] = text {
        text = rest;
    }
    text
}

/// Fuzz entry: whatever comes, what is written is one JSON value: the text itself or a string.
pub fn fuzz_number(text: &[u8]) {
    let mut out = Vec::new();
    write(&mut out, text);
    if is_json_number(text) {
        assert_eq!(out, text);
        assert!(text.iter().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte)));
        assert!(std::str::from_utf8(text).is_ok_and(|text| text.parse::<f64>().is_ok()));
    } else {
        assert!(out.len() >= 2 && out.first() == Some(&b'"') && out.last() == Some(&b'"'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers() {
        fn check(text: &str, expect: bool) {
            assert_eq!(is_json_number(text.as_bytes()), expect, "{text:?}");
            assert_eq!(serde_json::from_str::<serde_json::Number>(text).is_ok(), expect, "the oracle on {text:?}");
            fuzz_number(text.as_bytes());
        }
        for text in
            ["0", "-0", "1", "-1", "10", "0.5", "-0.0", "1e5", "1E5", "1e+308", "5e-324", "1.50", "0e0", "1.5e-7"]
        {
            check(text, true);
        }
        for text in ["", "-", "+1", "01", "-01", ".5", "1.", "1.e5", "1e", "1e+", "1e5.", "NaN", "-NaN", "Infinity"] {
            check(text, false);
        }
        for text in ["-Infinity", "1 2", "0x1", "1_000", "1,5", "--1", "1e5e5", "1.5.5", "e5", "-e", "1a"] {
            check(text, false);
        }
    }

    proptest! {
        #[test]
        fn as_the_oracle_says(text in "[-+0-9.eE]{0,12}") {
            let oracle = serde_json::from_str::<serde_json::Number>(&text).is_ok();
            prop_assert_eq!(is_json_number(text.as_bytes()), oracle);
            fuzz_number(text.as_bytes());
        }

        #[test]
        fn any_bytes(text in any::<Vec<u8>>()) {
            fuzz_number(&text);
        }
    }
}
