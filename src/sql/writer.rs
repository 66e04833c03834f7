//! SQL text and its parameters, grown together.
//! Invariant: what came from a client enters by `bind`, names by `ident`, types of casts by `type_name`, what PostgreSQL
//! wrote into the catalog by the methods that take it from there; all else is `'static`.

use super::Param;
use super::ident;
use crate::catalog::{Column, Parameter};
use crate::plan::field::CastType;

/// The one writer of SQL.
#[derive(Default, Debug)]
pub struct SqlWriter {
    text: String,
    params: Vec<Param>,
}

impl SqlWriter {
    /// Text of our own.
    pub fn sql(&mut self, text: &'static str) {
        self.text.push_str(text);
    }

    /// A quoted name.
    pub fn ident(&mut self, name: &str) {
        ident::write_quoted(&mut self.text, name);
    }

    /// A parameter's placeholder.
    pub fn bind(&mut self, param: Param) {
        self.params.push(param);
        self.text.push('$');
        self.text.push_str(&self.params.len().to_string());
    }

    /// The type of a cast. What PostgreSQL's grammar spells with words of its own is written so; everything else is a name
    /// and quoted, folded as an unquoted one would be, so that no word can make a statement that doesn't parse.
    pub fn type_name(&mut self, name: CastType<'_>) {
        let words: Vec<String> =
            name.as_str().split(' ').filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
        let folded = words.join(" ");
        if GRAMMAR_TYPES.contains(&folded.as_str()) {
            self.text.push_str(&folded);
        } else {
            ident::write_quoted(&mut self.text, &folded);
        }
    }

    /// The type of a routine's parameter, as the catalog has it: PostgreSQL's own quoting.
    pub fn parameter_type(&mut self, parameter: &Parameter) {
        self.text.push_str(&parameter.type_without_length);
    }

    /// The type of a column, as the catalog has it.
    pub fn column_type(&mut self, column: &Column) {
        self.text.push_str(&column.nominal_type);
    }

    /// The expression of a column's default, as the catalog has it.
    pub fn column_default(&mut self, column: &Column) {
        self.text.push_str(column.default.as_deref().unwrap_or("NULL"));
    }

    /// The position of an output column, for GROUP BY.
    pub fn ordinal(&mut self, position: usize) {
        self.text.push_str(&position.to_string());
    }

    /// `schema.name`
    pub fn qualified(&mut self, schema: &str, name: &str) {
        self.ident(schema);
        self.text.push('.');
        self.ident(name);
    }

    /// Text and parameters.
    pub fn finish(self) -> (String, Vec<Param>) {
        (self.text, self.params)
    }
}

/// Types that are grammar and not names (PostgreSQL, "SQL Key Words"): quoted they would be another type or none.
const GRAMMAR_TYPES: &[&str] = &[
    "bigint",
    "bit",
    "bit varying",
    "boolean",
    "char",
    "char varying",
    "character",
    "character varying",
    "dec",
    "decimal",
    "double precision",
    "float",
    "int",
    "integer",
    "interval",
    "interval day",
    "interval day to hour",
    "interval day to minute",
    "interval day to second",
    "interval hour",
    "interval hour to minute",
    "interval hour to second",
    "interval minute",
    "interval minute to second",
    "interval month",
    "interval second",
    "interval year",
    "interval year to month",
    "national char",
    "national char varying",
    "national character",
    "national character varying",
    "nchar",
    "nchar varying",
    "numeric",
    "real",
    "smallint",
    "time",
    "time with time zone",
    "time without time zone",
    "timestamp",
    "timestamp with time zone",
    "timestamp without time zone",
    "varchar",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Transform;

    #[test]
    fn types_are_grammar_or_quoted_names() {
        let check = |name: &str, expect: &str| {
            let mut out = SqlWriter::default();
            out.type_name(CastType::checked(name).unwrap());
            assert_eq!(out.finish().0, expect, "{name}");
        };
        check("text", "\"text\"");
        check("INT", "int");
        check(" Double  Precision ", "double precision");
        check("Mood", "\"mood\"");
        check("select", "\"select\"");
        check("a b", "\"a b\"");
        check("1abc", "\"1abc\"");
    }

    #[test]
    fn text_and_parameters_grow_together() {
        let mut writer = SqlWriter::default();
        writer.sql("SELECT ");
        writer.ident("a\"b");
        writer.sql(" = ");
        writer.bind(Param { slot: Some(4), transform: Transform::Verbatim, value: None });
        writer.sql(", ");
        writer.bind(Param { slot: None, transform: Transform::Verbatim, value: Some(b"x".to_vec()) });
        let (text, params) = writer.finish();
        assert_eq!(text, r#"SELECT "a""b" = $1, $2"#);
        assert_eq!(params.len(), 2);
    }
}
