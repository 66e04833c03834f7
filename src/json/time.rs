//! Timestamps: PostgreSQL's ISO text → what its `to_json` prints (XML Schema form, PostgreSQL's
//! `JsonEncodeDateTime`): `T` between date and time, a zone always with minutes, ` BC` and infinities as they are.
//! Invariant: the text came under DateStyle ISO; the caller sees to that.

/// Appends a timestamp without time zone, quoted.
#[inline]
pub fn write_timestamp(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    write_with_t(out, text);
    out.push(b'"');
}

/// Appends a timestamp with time zone, quoted.
#[inline]
pub fn write_timestamptz(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 5);
    out.push(b'"');
    let (time, era) = text.strip_suffix(b" BC").map_or((text, &b""[..]), |time| (time, &b" BC"[..]));
    write_with_t(out, time);
    // Sign and two digits: the zone is a whole number of hours. With minutes (and seconds) it is complete.
    if let [.., b'+' | b'-', b'0'..=b'9', b'0'..=b'9'] = time {
        out.extend_from_slice(b":00");
    }
    out.extend_from_slice(era);
    out.push(b'"');
}

/// The first space stands between date and time; an infinity has none.
#[inline]
fn write_with_t(out: &mut Vec<u8>, text: &[u8]) {
    let at = out.len();
    out.extend_from_slice(text);
    let Some(written) = out.get_mut(at..) else { return };
    // Behind a year of four digits, and so nearly always.
    let space = match written.get(10) {
        Some(b' ') => Some(10),
        _ => written.iter().position(|&byte| byte == b' '),
    };
    if let Some(space) = space.and_then(|index| written.get_mut(index)) {
        *space = b'T';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_zone() {
        fn check(text: &str, expect: &str) {
            let mut out = b"x y".to_vec();
            write_timestamp(&mut out, text.as_bytes());
            assert_eq!(String::from_utf8(out).unwrap(), format!("x y{expect}"), "{text:?}");
        }
        check("2024-02-29 12:30:00", r#""2024-02-29T12:30:00""#);
        check("2024-02-29 12:30:00.123456", r#""2024-02-29T12:30:00.123456""#);
        check("12024-02-29 00:00:00", r#""12024-02-29T00:00:00""#);
        check("0044-03-15 00:00:00 BC", r#""0044-03-15T00:00:00 BC""#);
        check("infinity", r#""infinity""#);
        check("-infinity", r#""-infinity""#);
        check("", r#""""#);
    }

    #[test]
    fn with_zone() {
        fn check(text: &str, expect: &str) {
            let mut out = Vec::new();
            write_timestamptz(&mut out, text.as_bytes());
            assert_eq!(String::from_utf8(out).unwrap(), expect, "{text:?}");
        }
        check("2024-02-29 12:30:00+00", r#""2024-02-29T12:30:00+00:00""#);
        check("2024-02-29 12:30:00.5-08", r#""2024-02-29T12:30:00.5-08:00""#);
        check("2024-02-29 12:30:00+05:45", r#""2024-02-29T12:30:00+05:45""#);
        check("1850-01-01 00:00:00+05:41:16", r#""1850-01-01T00:00:00+05:41:16""#);
        check("0044-03-15 00:00:00+00 BC", r#""0044-03-15T00:00:00+00:00 BC""#);
        check("0044-03-15 00:00:00+05:41:16 BC", r#""0044-03-15T00:00:00+05:41:16 BC""#);
        check("infinity", r#""infinity""#);
        check("-infinity", r#""-infinity""#);
        check("", r#""""#);
        check("+00", r#""+00:00""#);
    }
}
