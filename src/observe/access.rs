//! One request as a line of Apache's combined log format, with the database role as its user.

use std::borrow::Cow;
use std::time::SystemTime;

use super::log::timestamp;

/// What the line shows. Target, referer and agent are the client's bytes; the log makes them harmless.
#[derive(Clone, Copy, Debug)]
pub struct Access<'r> {
    pub peer: &'r str,
    pub role: Option<&'r str>,
    pub method: &'r str,
    pub target: &'r [u8],
    pub version: &'r str,
    pub status: u16,
    /// `None` where the length wasn't known when the head went out.
    pub body_bytes: Option<usize>,
    pub referer: Option<&'r [u8]>,
    pub agent: Option<&'r [u8]>,
}

pub fn line(access: &Access<'_>, at: SystemTime) -> String {
    format!(
        "{} - {} [{}] \"{} {} {}\" {} {} \"{}\" \"{}\"",
        access.peer,
        access.role.unwrap_or("-"),
        timestamp(at),
        access.method,
        quoted(access.target),
        access.version,
        access.status,
        access.body_bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string()),
        quoted(access.referer.unwrap_or_default()),
        quoted(access.agent.unwrap_or_default()),
    )
}

/// As it stands between quotes. A backslash is doubled, or a client could send one that takes the closing quote with it and
/// write the line's other fields itself.
fn quoted(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    if text.contains(['"', '\\']) {
        return text.replace('\\', "\\\\").replace('"', "\\\"").into();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combined_format() {
        let access = Access {
            peer: "127.0.0.1",
            role: Some("web_anon"),
            method: "GET",
            target: b"/a?b=\"c\\",
            version: "HTTP/1.1",
            status: 200,
            body_bytes: Some(12),
            referer: None,
            agent: Some(b"curl/8"),
        };
        assert_eq!(
            line(&access, SystemTime::UNIX_EPOCH),
            "127.0.0.1 - web_anon [01/Jan/1970:00:00:00 +0000] \"GET /a?b=\\\"c\\\\ HTTP/1.1\" 200 12 \"\" \"curl/8\""
        );
    }
}
