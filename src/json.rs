//! Values PostgreSQL sent (text format) → JSON bytes, straight into the response buffer; beside it JSON text → `value`s.
//! Must not know: plans. A `RowShape` says which column becomes what; RowDescription says which form its type takes.

mod array;
pub mod decimal;
mod escape;
mod nest;
mod number;
mod row;
mod strip;
mod time;
pub mod value;

pub use escape::{first_plain, first_to_escape, write as write_string, write_unquoted as write_string_unquoted};
pub use nest::{Nest, NestError, NestRow, NestSeen, NestWriter};
pub use number::{fuzz_number, is_json_number};
pub use row::{FormMismatch, RowSeen, RowWidthError, RowWriter, fuzz_row};
pub use strip::write_stripped;

use crate::catalog::pg_type::{ArrayElement, array_element};

/// The columns of a result and what they become, in the order in which they are selected.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RowShape {
    pub leading: Vec<crate::sql::Leading>,
    pub columns: Vec<OutputColumn>,
    /// Where there are any, the leading columns are followed by one that tells whose row it is (`nest`).
    pub children: Option<ChildRows>,
}

/// A to-many embed whose rows come behind their parent's, in columns of their own after all of the parent's.
#[derive(Clone, PartialEq, Debug)]
pub struct ChildRows {
    pub name: String,
    /// How many of the parent's members stand before the array.
    pub before: usize,
    pub columns: Vec<OutputColumn>,
}

/// One member of the JSON object that a row becomes.
#[derive(Clone, PartialEq, Debug)]
pub enum OutputColumn {
    /// One result column.
    Field { name: String, form: FieldForm },
    /// A to-one embed: first a presence column (NULL: the member is `null`, the children's columns are skipped),
    /// then the children's columns.
    Object { name: String, columns: Vec<OutputColumn> },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldForm {
    /// The form follows from the result column's type, which must be one of PostgreSQL's own.
    ByType,
    /// As `ByType`, and a type from an extension or a user is written as a string: the catalog says that it is
    /// neither a composite nor an array and has no cast to json (enums, ranges, base types).
    Text,
    /// The text is JSON already, of type json or jsonb.
    Json,
}

/// What one field's text becomes; decided once per result set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JsonForm {
    /// `t` and `f` → `true` and `false`
    Bool,
    /// Verbatim: the text of an integer.
    Integer,
    /// Verbatim where it is a JSON number, else quoted.
    Number,
    /// Quoted as it is.
    Date,
    Timestamp,
    TimestampTz,
    /// Verbatim: JSON already.
    Json,
    /// Quoted and escaped.
    Text,
    Array(ArrayElement),
}

/// How PostgreSQL's `to_json` writes a value of one of its own types; `None` for rarer arrays, composites, pseudo-types and
/// everything that isn't built in.
pub fn form_of_type(oid: u32) -> Option<JsonForm> {
    Some(match oid {
        16 => JsonForm::Bool,
        // int8, int2, int4
        20 | 21 | 23 => JsonForm::Integer,
        // float4, float8, numeric
        700 | 701 | 1700 => JsonForm::Number,
        1082 => JsonForm::Date,
        1114 => JsonForm::Timestamp,
        1184 => JsonForm::TimestampTz,
        // json, jsonb
        114 | 3802 => JsonForm::Json,
        oid if TEXT_TYPES.binary_search(&oid).is_ok() => JsonForm::Text,
        _ => return array_element(oid).map(JsonForm::Array),
    })
}

/// Types whose output text is quoted, by oid (pg_type.dat of PostgreSQL 14 to 18).
#[rustfmt::skip]
const TEXT_TYPES: [u32; 69] = [
    // bytea, "char", name, regproc, text, oid, tid, xid, cid
    17, 18, 19, 24, 25, 26, 27, 28, 29,
    // xml, pg_node_tree, point, lseg, path, box, polygon, line, cidr, unknown, circle, macaddr8, money, macaddr, inet
    142, 194, 600, 601, 602, 603, 604, 628, 650, 705, 718, 774, 790, 829, 869,
    // aclitem, char(n), varchar, time, interval, timetz, bit, varbit, refcursor
    1033, 1042, 1043, 1083, 1186, 1266, 1560, 1562, 1790,
    // regprocedure, regoper, regoperator, regclass, regtype, uuid, txid_snapshot, pg_lsn, pg_ndistinct, pg_dependencies
    2202, 2203, 2204, 2205, 2206, 2950, 2970, 3220, 3361, 3402,
    // tsvector, tsquery, gtsvector, regconfig, regdictionary
    3614, 3615, 3642, 3734, 3769,
    // int4range, numrange, tsrange, tstzrange, daterange, int8range, jsonpath, regnamespace, regrole, regcollation
    3904, 3906, 3908, 3910, 3912, 3926, 4072, 4089, 4096, 4191,
    // int4multirange, nummultirange, tsmultirange, tstzmultirange, datemultirange, int8multirange
    4451, 4532, 4533, 4534, 4535, 4536,
    // pg_brin_bloom_summary, pg_brin_minmax_multi_summary, pg_mcv_list, pg_snapshot, xid8
    4600, 4601, 5017, 5038, 5069,
];

/// Oids from here on are given to types that users and extensions create (PostgreSQL's FirstNormalObjectId).
const FIRST_USER_OID: u32 = 16384;

/// Before the first row of an array, between two rows, after the last: what `json_agg` prints for rows, and PostgREST
/// with it.
pub const ARRAY_OPEN: &[u8] = b"[";
pub const ROW_SEPARATOR: &[u8] = b", \n ";
pub const ARRAY_CLOSE: &[u8] = b"]";
/// Between two rows where nulls are stripped: `json_strip_nulls` leaves no blanks.
pub const STRIPPED_SEPARATOR: &[u8] = b",";
/// Between two scalars: `json_agg` breaks the line before arrays and composites only.
pub const SCALAR_SEPARATOR: &[u8] = b", ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_forms() {
        fn check(oid: u32, expect: Option<JsonForm>) {
            assert_eq!(form_of_type(oid), expect, "{oid}");
        }
        assert!(TEXT_TYPES.is_sorted(), "it is searched by halves");
        check(16, Some(JsonForm::Bool));
        check(25, Some(JsonForm::Text));
        check(5069, Some(JsonForm::Text));
        check(1009, Some(JsonForm::Array(ArrayElement::Text)));
        // int2vector, oidvector, point[], record, jsonb[], void, the first user type, none
        for oid in [22, 30, 1017, 2249, 3807, 2278, FIRST_USER_OID, 0] {
            check(oid, None);
        }
    }
}
