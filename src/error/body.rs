//! An `ApiError` as the JSON body that clients parse. Cold path: allocates freely.

use super::{ApiError, Details};

/// `client-error-verbosity`
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Verbosity {
    #[default]
    Verbose,
    /// `code` and `message` alone.
    Minimal,
}

/// The body: `{"code":…,"details":…,"hint":…,"message":…}`, all four always, null where empty.
pub fn error_body(error: &dyn ApiError, verbosity: Verbosity) -> String {
    let mut out = String::from("{\"code\":");
    write_string(&mut out, &error.code().name);
    if verbosity == Verbosity::Verbose {
        out.push_str(",\"details\":");
        match error.details() {
            Some(Details::Text(text)) => write_string(&mut out, &text),
            Some(Details::Json(json)) => out.push_str(&json),
            None => out.push_str("null"),
        }
        out.push_str(",\"hint\":");
        match error.hint() {
            Some(hint) => write_string(&mut out, &hint),
            None => out.push_str("null"),
        }
    }
    out.push_str(",\"message\":");
    write_string(&mut out, &error.message());
    out.push('}');
    out
}

/// Appends `text` as a JSON string (RFC 8259 §7).
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            plain => out.push(plain),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    struct Sample;

    impl ApiError for Sample {
        fn code(&self) -> Code {
            Code::new("PGRST205", 404)
        }
        fn message(&self) -> String {
            "no \"table\"\n".to_owned()
        }
        fn hint(&self) -> Option<String> {
            Some("try\u{1}".to_owned())
        }
    }

    #[test]
    fn all_four_members_unless_minimal() {
        assert_eq!(
            error_body(&Sample, Verbosity::Verbose),
            r#"{"code":"PGRST205","details":null,"hint":"try\u0001","message":"no \"table\"\n"}"#
        );
        assert_eq!(error_body(&Sample, Verbosity::Minimal), r#"{"code":"PGRST205","message":"no \"table\"\n"}"#);
    }
}
