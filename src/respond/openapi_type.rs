//! Types and defaults of PostgreSQL → `type`, `format`, `items` and `default` of OpenAPI 2.0.
//! As PostgREST has it: integers, numbers, booleans, strings and arrays; json has no type; whatever else is a string that
//! names its type as format.

use super::openapi::object::Object;
use crate::json::is_json_number;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SwaggerType {
    String,
    Boolean,
    Integer,
    Number,
    Array,
}

impl SwaggerType {
    /// The type for a `format_type`; `None` where any JSON goes.
    pub fn of(type_name: &str) -> Option<Self> {
        Some(match type_name {
            "boolean" => Self::Boolean,
            "smallint" | "integer" | "bigint" => Self::Integer,
            "numeric" | "real" | "double precision" => Self::Number,
            "json" | "jsonb" => return None,
            name if name.ends_with("[]") => Self::Array,
            _ => Self::String,
        })
    }

    /// The type of a parameter in a query string: arrays are written as text there, and so is JSON.
    pub fn of_query(type_name: &str) -> Self {
        match Self::of(type_name) {
            None | Some(Self::Array) => Self::String,
            Some(other) => other,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Array => "array",
        }
    }
}

/// The `format` for a `format_type`.
pub fn format(type_name: &str) -> &str {
    match type_name {
        "smallint" | "integer" => "int32",
        "bigint" => "int64",
        other => other,
    }
}

/// The type of an array's elements.
pub fn element(type_name: &str) -> &str {
    type_name.strip_suffix("[]").unwrap_or(type_name)
}

/// Adds `format`, `items` and `type` of a value in a JSON body.
pub fn write(object: &mut Object<'_>, type_name: &str) {
    let found = SwaggerType::of(type_name);
    object.text("format", format(type_name));
    if found == Some(SwaggerType::Array) {
        object.object("items", |items| {
            items.optional_text("type", SwaggerType::of(element(type_name)).map(SwaggerType::as_str));
        });
    }
    object.optional_text("type", found.map(SwaggerType::as_str));
}

/// The JSON of a column's default where it is a constant; expressions show as text where the type is a string's.
pub fn default(type_name: &str, expression: &str) -> Option<String> {
    match SwaggerType::of(type_name) {
        Some(SwaggerType::String) => {
            let constant = expression.strip_suffix(type_name).and_then(|rest| rest.strip_suffix("::"));
            let text = constant.map_or(expression, |constant| constant.trim_matches('\''));
            is_string_content(text).then(|| format!("\"{text}\""))
        }
        Some(SwaggerType::Boolean | SwaggerType::Integer | SwaggerType::Number | SwaggerType::Array) | None => {
            let literal = matches!(expression, "true" | "false" | "null") || is_json_number(expression.as_bytes());
            literal.then(|| expression.to_owned())
        }
    }
}

/// Whether `text` between quotes is a JSON string as it stands: PostgREST reads defaults so and drops the others.
fn is_string_content(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'"' | 0..=0x1f => false,
            b'\\' => match bytes.next() {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => true,
                Some(b'u') => bytes.by_ref().take(4).filter(u8::is_ascii_hexdigit).count() == 4,
                Some(_) | None => false,
            },
            _ => true,
        };
        if !fits {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_names_and_formats() {
        let check = |type_name: &str, expect: &str| {
            let mut out = Vec::new();
            Object::write(&mut out, |object| write(object, type_name));
            assert_eq!(String::from_utf8(out).unwrap(), expect, "{type_name}");
        };
        check("smallint", r#"{"format":"int32","type":"integer"}"#);
        check("bigint", r#"{"format":"int64","type":"integer"}"#);
        check("numeric", r#"{"format":"numeric","type":"number"}"#);
        check("boolean", r#"{"format":"boolean","type":"boolean"}"#);
        check("character varying", r#"{"format":"character varying","type":"string"}"#);
        check("api.\"Odd Enum\"", r#"{"format":"api.\"Odd Enum\"","type":"string"}"#);
        check("jsonb", r#"{"format":"jsonb"}"#);
        check("jsonb[]", r#"{"format":"jsonb[]","items":{},"type":"array"}"#);
        check("integer[]", r#"{"format":"integer[]","items":{"type":"integer"},"type":"array"}"#);
    }

    #[test]
    fn query_parameters_always_have_a_type() {
        let check = |type_name, expect| assert_eq!(SwaggerType::of_query(type_name), expect, "{type_name}");
        check("integer[]", SwaggerType::String);
        check("json", SwaggerType::String);
        check("real", SwaggerType::Number);
    }

    #[test]
    fn constants_are_defaults() {
        let check = |type_name: &str, expression: &str, expect: Option<&str>| {
            assert_eq!(default(type_name, expression).as_deref(), expect, "{expression}");
        };
        check("integer", "10", Some("10"));
        check("numeric", "1.5", Some("1.5"));
        check("integer", "'-1'::integer", None);
        check("bigint", "nextval('api.t_id_seq'::regclass)", None);
        check("boolean", "true", Some("true"));
        check("boolean", "(NOT true)", None);
        check("jsonb", "'{}'::jsonb", None);
        check("text[]", "'{}'::text[]", None);
        check("text", "'untitled'::text", Some("\"untitled\""));
        check("text", "''::text", Some("\"\""));
        check("text", "'it''s'::text", Some("\"it''s\""));
        check("uuid", "gen_random_uuid()", Some("\"gen_random_uuid()\""));
        check("text", "'say \"hi\"'::text", None);
        check("text", r"E'a\\b'::text", Some(r#""E'a\\b""#));
        check("text", r"'a\qb'::text", None);
        check("text", r"'a\u12'::text", None);
        check("text", "'two\nlines'::text", None);
        check("date", "'2024-01-01'::date", Some("\"2024-01-01\""));
        check("text", "'x'::character varying", Some("\"'x'::character varying\""));
    }
}
