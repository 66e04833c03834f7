//! The only place that quotes a name.

/// Appends the name in double quotes. NUL can't be sent to PostgreSQL: the name ends there, as every text does.
pub fn write_quoted(out: &mut String, name: &str) {
    out.push('"');
    for c in up_to_nul(name).chars() {
        match c {
            '"' => out.push_str("\"\""),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// What PostgreSQL would read of a C string with these characters.
pub fn up_to_nul(text: &str) -> &str {
    text.split('\0').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    fn check(name: &str, expect: &str) {
        let mut out = String::new();
        super::write_quoted(&mut out, name);
        assert_eq!(out, expect);
    }

    #[test]
    fn quoting() {
        check("ports", r#""ports""#);
        check("Cargo Hatches", r#""Cargo Hatches""#);
        check(r#"q"uote"#, r#""q""uote""#);
        check(r#"";drop table x;--"#, r#"""";drop table x;--""#);
        check("a\0b", r#""a""#);
        check("back\\slash", r#""back\slash""#);
        check("größe", r#""größe""#);
    }
}
