//! Relations and their columns.

use std::collections::HashMap;

use crate::name::{ColumnName, QualifiedName};

#[derive(Debug)]
pub struct Relation {
    pub name: QualifiedName,
    pub kind: RelationKind,
    pub description: Option<String>,
    /// In `attnum` order.
    pub columns: Vec<Column>,
    pub column_index: HashMap<ColumnName, usize>,
    /// Empty where there is none, sorted by name as PostgREST has it. Views inherit the keys of their tables, in key
    /// order, where they show all columns of one.
    pub primary_key: Vec<ColumnName>,
    pub insertable: bool,
    pub updatable: bool,
    pub deletable: bool,
    /// Its rows may run functions that users wrote: a view's, a policy's, a type's.
    pub user_code: bool,
}

impl Relation {
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.column_index.get(name).and_then(|&index| self.columns.get(index))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RelationKind {
    Table,
    PartitionedTable,
    ForeignTable,
    View,
    MaterializedView,
}

impl RelationKind {
    pub fn is_view(self) -> bool {
        matches!(self, Self::View | Self::MaterializedView)
    }
}

#[derive(Debug)]
pub struct Column {
    pub name: ColumnName,
    pub description: Option<String>,
    pub nullable: bool,
    /// `format_type` of the column's declared type: may be a domain, carries the type modifier (`character varying(3)`).
    pub nominal_type: String,
    /// The type without its modifier; under a domain its base type. One that is not built in stands as declared.
    pub base_type: String,
    /// oid of the base type under all domains: decides how a field becomes JSON.
    pub base_oid: u32,
    /// oid of the declared type.
    pub type_oid: u32,
    pub max_length: Option<i32>,
    /// Default expression as SQL, or an identity or generated column's expression.
    pub default: Option<String>,
    pub enum_values: Vec<String>,
    pub json: super::pg_type::JsonKind,
}
