//! Which columns a write takes from its body, and how a value of each is read.
//! The body itself stays bytes: PostgreSQL unpacks it.

use std::borrow::Cow;

use crate::catalog::{Column, Relation};
use crate::name::QualifiedRoutine;
use crate::plan::field::Scope;
use crate::plan::refusal::PlanError;
use crate::request::payload::{JsonShape, Payload};
use crate::request::prefer::Missing;

/// The rows of a body as PostgreSQL sees them.
#[derive(Clone, Debug)]
pub struct PayloadRows<'p> {
    /// Sorted by name. Empty where the body's objects have no keys: rows of defaults then.
    pub columns: Vec<PayloadColumn<'p>>,
    pub shape: RowsShape,
    /// What a row has where its object lacks a key.
    pub missing: Missing,
}

/// A column that the body gives.
#[derive(Clone, Copy, Debug)]
pub struct PayloadColumn<'p> {
    pub column: &'p Column,
    /// Function that reads JSON into the column's domain.
    pub parse: Option<&'p QualifiedRoutine>,
}

/// What the body's outermost value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowsShape {
    Object,
    Array,
}

/// Resolves the body's columns against the relation. `columns` are those of `columns=`, which counts for JSON alone: a body
/// that was looked into has its own.
pub fn resolve<'p>(
    scope: Scope<'p>,
    relation: &'p Relation,
    payload: Option<&'p Payload<'p>>,
    columns: &'p [Cow<'p, str>],
    missing: Missing,
) -> Result<PayloadRows<'p>, PlanError> {
    let (names, shape) = match payload {
        Some(Payload::Json { keys, shape, .. }) => (keys.as_slice(), shape_of(*shape)),
        Some(Payload::Csv { keys, .. }) => (keys.as_slice(), RowsShape::Array),
        Some(Payload::RawJson { raw }) => (columns, shape_of_bytes(raw)),
        // Writes have JSON alone: forms and CSV were made into it.
        Some(Payload::Form { .. } | Payload::Raw { .. }) | None => (&[][..], RowsShape::Array),
    };
    let column = |name: &'p Cow<'p, str>| {
        let column = relation.column(name).ok_or_else(|| PlanError::ColumnNotFound {
            relation: relation.name.name.to_string(),
            column: name.to_string(),
        })?;
        Ok(PayloadColumn { column, parse: scope.representation("json", &column.nominal_type) })
    };
    let columns = names.iter().map(column).collect::<Result<_, _>>()?;
    Ok(PayloadRows { columns, shape, missing })
}

fn shape_of(shape: JsonShape) -> RowsShape {
    match shape {
        JsonShape::Object => RowsShape::Object,
        JsonShape::Array | JsonShape::Scalar => RowsShape::Array,
    }
}

/// Of a body that nobody looked into: PostgreSQL refuses what turns out to be something else.
fn shape_of_bytes(raw: &[u8]) -> RowsShape {
    let first = raw.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    if first == Some(&b'{') { RowsShape::Object } else { RowsShape::Array }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_told_by_the_first_byte() {
        let check = |raw: &str, expect| assert_eq!(shape_of_bytes(raw.as_bytes()), expect, "{raw}");
        check("{\"a\":1}", RowsShape::Object);
        check(" \t\r\n{", RowsShape::Object);
        check("[{}]", RowsShape::Array);
        check("5", RowsShape::Array);
        check("", RowsShape::Array);
    }
}
