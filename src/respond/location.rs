//! `Location` of the one row that was inserted: its relation, filtered by its primary key.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands unescaped (RFC 3986, "unreserved").
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The header's value: `/relation?column=eq.value&column=is.null`. The name is not escaped, as in PostgREST.
pub fn location(relation: &str, columns: &[&str], values: &[Option<Vec<u8>>]) -> String {
    let mut out = format!("/{relation}");
    for (index, (column, value)) in columns.iter().zip(values).enumerate() {
        out.push(if index == 0 { '?' } else { '&' });
        out.extend(utf8_percent_encode(column, ESCAPED));
        match value {
            Some(value) => {
                out.push_str("=eq.");
                out.extend(utf8_percent_encode(&String::from_utf8_lossy(value), ESCAPED));
            }
            None => out.push_str("=is.null"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(columns: &[&str], values: &[Option<&str>], expect: &str) {
        let values: Vec<_> = values.iter().map(|value| value.map(|text| text.as_bytes().to_vec())).collect();
        assert_eq!(location("slots", columns, &values), expect);
    }

    #[test]
    fn keys_are_escaped() {
        check(
            &["aisle", "bay"],
            &[Some("9"), Some("a b&c=d,é%")],
            "/slots?aisle=eq.9&bay=eq.a%20b%26c%3Dd%2C%C3%A9%25",
        );
        check(&["Row Id"], &[None], "/slots?Row%20Id=is.null");
        check(&["id"], &[Some("-_.~")], "/slots?id=eq.-_.~");
    }
}
