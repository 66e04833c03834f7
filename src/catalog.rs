//! Catalog: one immutable snapshot of what planning needs from `pg_catalog`. Users read "schema cache".
//! Built on the control plane, published whole, never changed; its generation empties the cores' caches.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::name::{ColumnName, QualifiedName, QualifiedRoutine, RoleName, SchemaName};

pub mod database_settings;
pub mod dump;
pub mod infer;
pub mod load;
mod load_media;
mod load_relations;
mod load_roles;
mod load_routines;
pub mod load_row;
mod load_user_code;
pub mod load_views;
pub mod media_handler;
pub mod pg_type;
pub mod relation;
pub mod relationship;
pub mod representation;
pub mod routine;

pub use media_handler::{HandlerKey, MediaHandler};
pub use relation::{Column, Relation, RelationKind};
pub use relationship::{Cardinality, Junction, Relationship};
pub use representation::Representation;
pub use routine::{ComputedField, Parameter, ResultColumn, ReturnShape, ReturnType, Routine, Volatility};

/// Number of a snapshot; what was cached under another one is dropped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Generation(pub u64);

#[derive(Debug, Default)]
pub struct Catalog {
    pub generation: Generation,
    pub relations: HashMap<QualifiedName, Arc<Relation>>,
    /// Overloads of one name, fewest parameters first.
    pub routines: HashMap<QualifiedRoutine, Vec<Arc<Routine>>>,
    /// Where each routine stands in `routines`, by oid: its name, and its place among the overloads.
    pub routine_places: HashMap<u32, (QualifiedRoutine, usize)>,
    /// Every way from a relation to others, by origin, in the order in which ambiguous candidates are listed. A request
    /// uses those whose `Relationship::schema` is its own.
    pub relationships: HashMap<QualifiedName, Vec<Arc<Relationship>>>,
    /// Functions that stand in for columns. Where several schemas have one, the relation's own wins, then the order of
    /// the extra search path.
    pub computed_fields: HashMap<QualifiedName, HashMap<ColumnName, Arc<ComputedField>>>,
    /// Keyed by the `format_type` of source and target.
    pub representations: HashMap<(String, String), Arc<Representation>>,
    pub media_handlers: HashMap<HandlerKey, Arc<MediaHandler>>,
    pub timezones: HashSet<String>,
    /// `ALTER ROLE … SET` of the roles the authenticator may become, without the isolation level.
    pub role_settings: HashMap<RoleName, Vec<(String, String)>>,
    /// Their `default_transaction_isolation`: `read committed`, `repeatable read` or `serializable`.
    pub role_isolation_levels: HashMap<RoleName, String>,
    /// What a session of the login role starts from (`queries/login.sql`): where that differs, sessions are to be replaced.
    pub login: Vec<load_row::Row>,
    pub schema_descriptions: HashMap<SchemaName, String>,
    /// `server_version_num`, for SQL that differs by version.
    pub server_version: u32,
}

impl Catalog {
    pub fn relation(&self, name: &QualifiedName) -> Option<&Arc<Relation>> {
        self.relations.get(name)
    }

    pub fn relationships_from(&self, origin: &QualifiedName) -> &[Arc<Relationship>] {
        self.relationships.get(origin).map_or(&[], Vec::as_slice)
    }

    /// Those that a request to this schema can use.
    pub fn relationships_in<'c>(
        &'c self,
        origin: &QualifiedName,
        schema: &'c SchemaName,
    ) -> impl Iterator<Item = &'c Arc<Relationship>> {
        self.relationships_from(origin).iter().filter(move |one| one.schema() == schema)
    }

    pub fn computed_field(&self, origin: &QualifiedName, field: &str) -> Option<&Arc<ComputedField>> {
        self.computed_fields.get(origin)?.get(field)
    }

    pub fn routines(&self, name: &QualifiedRoutine) -> &[Arc<Routine>] {
        self.routines.get(name).map_or(&[], Vec::as_slice)
    }
}

/// A column pair of a relationship: origin's column, target's column.
pub type ColumnPair = (ColumnName, ColumnName);
