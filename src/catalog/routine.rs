//! Functions as endpoints, one `Routine` an overload.

use std::collections::HashMap;
use std::sync::Arc;

use super::pg_type::{JsonKind, RECORD, VOID};
use super::relation::{Column, Relation, RelationKind};
use crate::name::{ColumnName, QualifiedName, QualifiedRoutine};

#[derive(Debug)]
pub struct Routine {
    pub name: QualifiedRoutine,
    pub description: Option<String>,
    pub parameters: Vec<Parameter>,
    pub returns: ReturnShape,
    /// The result's columns, for every result that PostgreSQL can describe before the call: the OUT, INOUT and TABLE
    /// parameters, the columns of the row type, or a scalar under the function's name. Empty for `void` and `record`.
    pub result: Vec<ResultColumn>,
    /// The result as a relation: what a request selects of it and filters it by. It has the name of its row type, or the
    /// function's, in the function's schema. A scalar is the one column `pgrst_scalar`, an undefined record too.
    pub rows: Arc<Relation>,
    pub volatility: Volatility,
    pub has_variadic: bool,
    /// `default_transaction_isolation` of the function: `read committed`, `repeatable read` or `serializable`.
    pub isolation_level: Option<String>,
    /// `SET name = value` of the function that are hoisted to the transaction.
    pub settings: Vec<(String, String)>,
}

/// Fields are compared in PostgREST's order: it decides which overload an error names first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Parameter {
    /// Empty for an unnamed parameter.
    pub name: String,
    pub type_name: String,
    /// Type without a length that would truncate (`character` → `character varying`).
    pub type_without_length: String,
    pub required: bool,
    pub variadic: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResultColumn {
    pub name: ColumnName,
    pub type_oid: u32,
    pub json: JsonKind,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReturnShape {
    Void,
    Single(ReturnType),
    SetOf(ReturnType),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReturnType {
    /// Schema and name in `pg_type`, domains resolved: `pg_catalog.int4`, `pg_catalog._text`.
    Scalar(QualifiedName),
    /// A row type: its relation or composite type; `record` for an undefined one.
    Composite { name: QualifiedName, is_alias: bool },
}

/// The column of results that are no rows; PostgREST's name, and clients see it in CSV.
pub const SCALAR_COLUMN: &str = "pgrst_scalar";

impl Routine {
    /// The relation that `rows` is: what requests can name in the result.
    pub fn rows_of(name: &QualifiedRoutine, returns: &ReturnShape, result: &[ResultColumn]) -> Relation {
        let row_type = match returns {
            ReturnShape::Single(ReturnType::Composite { name, .. })
            | ReturnShape::SetOf(ReturnType::Composite { name, .. }) => Some(name.name.as_str()),
            ReturnShape::Single(ReturnType::Scalar(_))
            | ReturnShape::SetOf(ReturnType::Scalar(_))
            | ReturnShape::Void => None,
        };
        let columns: Vec<Column> = match (row_type, result) {
            (Some(_), columns) => columns.iter().map(|column| result_column(column.name.clone(), column)).collect(),
            (None, [scalar]) => vec![result_column(SCALAR_COLUMN.into(), scalar)],
            (None, _) => {
                let record = ResultColumn { name: SCALAR_COLUMN.into(), type_oid: RECORD, json: JsonKind::ViaToJson };
                vec![result_column(SCALAR_COLUMN.into(), &record)]
            }
        };
        let column_index: HashMap<ColumnName, usize> =
            columns.iter().enumerate().map(|(index, column)| (column.name.clone(), index)).collect();
        Relation {
            name: QualifiedName { schema: name.schema.clone(), name: row_type.unwrap_or(name.name.as_str()).into() },
            kind: RelationKind::View,
            description: None,
            columns,
            column_index,
            primary_key: Vec::new(),
            insertable: false,
            updatable: false,
            deletable: false,
            user_code: false,
        }
    }
}

/// Of a result's columns no more is known than how they become JSON.
fn result_column(name: ColumnName, column: &ResultColumn) -> Column {
    Column {
        name,
        description: None,
        nullable: true,
        nominal_type: String::new(),
        base_type: String::new(),
        base_oid: column.type_oid,
        type_oid: column.type_oid,
        max_length: None,
        default: None,
        enum_values: Vec::new(),
        // A void is no value that could be written.
        json: if column.type_oid == VOID { JsonKind::ViaToJson } else { column.json },
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Volatility {
    Volatile,
    Stable,
    Immutable,
}

/// A function of a relation's row that stands in for a column: `SELECT label(vessels) FROM vessels`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ComputedField {
    pub function: QualifiedRoutine,
    pub type_oid: u32,
    /// `format_type` of the result: may be a domain.
    pub type_name: String,
    pub json: JsonKind,
}
