//! Types: what JSON form a value of a type takes.

/// How PostgreSQL's `to_json` writes a value of the type, and so how we must.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum JsonKind {
    /// `true` / `false`
    Bool,
    /// Integers, floats, numeric: verbatim where the text is a JSON number, else quoted (`NaN`, `Infinity`).
    Number,
    Date,
    Timestamp,
    TimestampTz,
    /// json, jsonb: verbatim.
    Json,
    /// Everything whose output text is quoted and escaped.
    Text,
    /// Arrays of PostgreSQL's own that are usual: their text is taken apart.
    Array,
    /// Other arrays, composites, and types with a cast function to json: selected as `to_json(col)` and spliced raw.
    ViaToJson,
}

/// What a base type is made of, as far as `to_json` looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TypeShape {
    Array,
    /// A composite type, a relation's row type, `record`.
    Row,
    /// A function casts it to json. Types that initdb made don't count.
    CastToJson,
    Plain,
}

/// The kind of a base type, never of a domain. Oids below 10000 are fixed for ever.
pub fn json_kind(base_oid: u32, shape: TypeShape) -> JsonKind {
    match shape {
        TypeShape::Array if array_element(base_oid).is_some() => JsonKind::Array,
        TypeShape::Array | TypeShape::Row | TypeShape::CastToJson => JsonKind::ViaToJson,
        TypeShape::Plain => match base_oid {
            BOOL => JsonKind::Bool,
            INT2 | INT4 | INT8 | FLOAT4 | FLOAT8 | NUMERIC => JsonKind::Number,
            DATE => JsonKind::Date,
            TIMESTAMP => JsonKind::Timestamp,
            TIMESTAMPTZ => JsonKind::TimestampTz,
            JSON | JSONB => JsonKind::Json,
            _ => JsonKind::Text,
        },
    }
}

/// What the elements of an array become, which are all of one type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArrayElement {
    Bool,
    Number,
    Text,
}

/// The elements of one of PostgreSQL's array types, those that are usual; the others are for `to_json`.
pub fn array_element(array_oid: u32) -> Option<ArrayElement> {
    Some(match array_oid {
        1000 => ArrayElement::Bool,
        // int2, int4, int8, float4, float8, numeric
        1005 | 1007 | 1016 | 1021 | 1022 | 1231 => ArrayElement::Number,
        // name, text, char(n), varchar, uuid
        1003 | 1009 | 1014 | 1015 | 2951 => ArrayElement::Text,
        _ => return None,
    })
}

pub const BOOL: u32 = 16;
pub const BYTEA: u32 = 17;
pub const INT8: u32 = 20;
pub const INT2: u32 = 21;
pub const INT4: u32 = 23;
pub const TEXT: u32 = 25;
pub const JSON: u32 = 114;
pub const XML: u32 = 142;
pub const FLOAT4: u32 = 700;
pub const FLOAT8: u32 = 701;
pub const DATE: u32 = 1082;
pub const TIMESTAMP: u32 = 1114;
pub const TIMESTAMPTZ: u32 = 1184;
pub const NUMERIC: u32 = 1700;
pub const RECORD: u32 = 2249;
pub const VOID: u32 = 2278;
pub const JSONB: u32 = 3802;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_to_json() {
        let check = |oid, shape, expect| assert_eq!(json_kind(oid, shape), expect, "{oid} {shape:?}");
        check(BOOL, TypeShape::Plain, JsonKind::Bool);
        check(INT8, TypeShape::Plain, JsonKind::Number);
        check(NUMERIC, TypeShape::Plain, JsonKind::Number);
        check(DATE, TypeShape::Plain, JsonKind::Date);
        check(TIMESTAMP, TypeShape::Plain, JsonKind::Timestamp);
        check(TIMESTAMPTZ, TypeShape::Plain, JsonKind::TimestampTz);
        check(JSON, TypeShape::Plain, JsonKind::Json);
        check(JSONB, TypeShape::Plain, JsonKind::Json);
        check(TEXT, TypeShape::Plain, JsonKind::Text);
        // money, interval, time, inet, int4range are texts to to_json; so is an oid, although it looks like a number.
        for oid in [790, 1186, 1083, 869, 3904, 26] {
            check(oid, TypeShape::Plain, JsonKind::Text);
        }
        check(1007, TypeShape::Array, JsonKind::Array);
        // jsonb[]
        check(3807, TypeShape::Array, JsonKind::ViaToJson);
        check(RECORD, TypeShape::Row, JsonKind::ViaToJson);
        check(16_500, TypeShape::CastToJson, JsonKind::ViaToJson);
        check(16_500, TypeShape::Plain, JsonKind::Text);
    }
}
