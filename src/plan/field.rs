//! Columns of `select`: what is read, under which key, and how the value becomes JSON.

use crate::catalog::pg_type::JsonKind;
use crate::catalog::{Catalog, Column, Relation};
use crate::name::{QualifiedName, QualifiedRoutine};
use crate::plan::PlanSettings;
use crate::request::{Aggregate, Field, JsonKey, JsonStep, SelectField};

/// A column, or something in it, of the node it belongs to.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Value<'p> {
    pub column: ColumnRef<'p>,
    pub path: &'p [JsonStep<'p>],
    pub access: Access,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ColumnRef<'p> {
    Named(&'p str),
    /// The row itself: what `count()` counts.
    Row,
    /// A function of the row, where the rows don't have the type that it takes: they are cast to it.
    Computed {
        function: &'p QualifiedRoutine,
        row: &'p QualifiedName,
    },
}

/// How arrows reach into a column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// json, jsonb: as it is, so that indexes apply.
    Native,
    /// Anything else: through `to_jsonb`.
    ToJsonb,
}

/// A column of the result.
#[derive(Clone, PartialEq, Debug)]
pub struct SelectColumn<'p> {
    /// Its key in the object.
    pub key: &'p str,
    pub value: Value<'p>,
    /// Function that writes a domain for the API.
    pub representation: Option<&'p QualifiedRoutine>,
    pub cast: Option<CastType<'p>>,
    pub aggregate: Option<AggregateCall<'p>>,
    pub reading: Reading,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AggregateCall<'p> {
    pub function: Aggregate,
    pub cast: Option<CastType<'p>>,
}

/// How a field is read when the row writer makes the object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// As it is; the writer's form follows from its type.
    ByType,
    /// As it is: text whose type the catalog knows to be neither structured nor JSON.
    Text,
    /// As it is: text that is JSON already.
    Json,
    /// Through `to_json`.
    ToJson,
}

/// The type of a cast: letters, digits, `_`, `$` and blanks, so that it can be written unquoted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CastType<'p>(&'p str);

impl<'p> CastType<'p> {
    /// `None` where another character is in it.
    pub fn checked(name: &'p str) -> Option<Self> {
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | ' ');
        (!name.trim().is_empty() && name.chars().all(fits)).then_some(Self(name))
    }

    pub fn as_str(self) -> &'p str {
        self.0
    }

    /// Whether the type is one of PostgreSQL's own scalars.
    pub fn is_builtin(self) -> bool {
        self.kind().is_some()
    }

    /// Whether values of the type are scalars that the row writer knows.
    fn kind(self) -> Option<JsonKind> {
        let name = self.0.trim().to_ascii_lowercase();
        KNOWN_CASTS.iter().find(|(known, _)| *known == name).map(|&(_, kind)| kind)
    }
}

const KNOWN_CASTS: &[(&str, JsonKind)] = &[
    ("bool", JsonKind::Bool),
    ("boolean", JsonKind::Bool),
    ("int", JsonKind::Number),
    ("int2", JsonKind::Number),
    ("int4", JsonKind::Number),
    ("int8", JsonKind::Number),
    ("integer", JsonKind::Number),
    ("smallint", JsonKind::Number),
    ("bigint", JsonKind::Number),
    ("real", JsonKind::Number),
    ("float", JsonKind::Number),
    ("float4", JsonKind::Number),
    ("float8", JsonKind::Number),
    ("double precision", JsonKind::Number),
    ("numeric", JsonKind::Number),
    ("decimal", JsonKind::Number),
    ("text", JsonKind::Text),
    ("varchar", JsonKind::Text),
    ("character varying", JsonKind::Text),
    ("uuid", JsonKind::Text),
    ("time", JsonKind::Text),
    ("interval", JsonKind::Text),
    ("date", JsonKind::Date),
    ("timestamp", JsonKind::Timestamp),
    ("timestamptz", JsonKind::TimestampTz),
    ("timestamp with time zone", JsonKind::TimestampTz),
    ("timestamp without time zone", JsonKind::Timestamp),
    ("json", JsonKind::Json),
    ("jsonb", JsonKind::Json),
];

/// What resolving a node's columns needs.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'p> {
    pub catalog: &'p Catalog,
    pub relation: Option<&'p Relation>,
    pub settings: PlanSettings,
}

impl<'p> Scope<'p> {
    pub fn column(&self, name: &str) -> Option<&'p Column> {
        self.relation.and_then(|relation| relation.column(name))
    }

    /// A field where a filter or an order stands.
    pub fn value(&self, field: &'p Field<'p>) -> Value<'p> {
        Value { column: ColumnRef::Named(&field.name), path: &field.path, access: access(self.column(&field.name)) }
    }

    /// The function between a representation's two types.
    pub fn representation(&self, source: &str, target: &str) -> Option<&'p QualifiedRoutine> {
        let key = (source.to_owned(), target.to_owned());
        if self.catalog.representations.is_empty() {
            return None;
        }
        self.catalog.representations.get(&key).map(|found| &found.function)
    }

    /// Whether a column of the relation is written by a function of its own.
    pub fn has_representations(&self) -> bool {
        let columns = self.relation.map_or(&[][..], |relation| &relation.columns);
        columns.iter().any(|column| self.representation(&column.nominal_type, "json").is_some())
    }

    /// All columns of the relation, in their order.
    pub fn star(&self) -> impl Iterator<Item = SelectColumn<'p>> + use<'p> {
        let scope = *self;
        let columns = scope.relation.map_or(&[][..], |relation| &relation.columns);
        columns.iter().map(move |column| {
            let representation = scope.representation(&column.nominal_type, "json");
            SelectColumn {
                key: column.name.as_str(),
                value: Value {
                    column: ColumnRef::Named(column.name.as_str()),
                    path: &[],
                    access: access(Some(column)),
                },
                representation,
                cast: None,
                aggregate: None,
                reading: match representation {
                    Some(_) => Reading::ToJson,
                    None => scope.reading(Some(column.json)),
                },
            }
        })
    }

    /// One field of `select`. The casts were checked by the parser; one that was not is left to PostgreSQL as text.
    pub fn select(&self, field: &'p SelectField<'p>) -> SelectColumn<'p> {
        let column = self.column(&field.field.name);
        let representation = column.and_then(|column| self.representation(&column.nominal_type, "json"));
        let cast = field.cast.as_deref().and_then(CastType::checked);
        let aggregate = field.aggregate.map(|function| AggregateCall {
            function,
            cast: field.aggregate_cast.as_deref().and_then(CastType::checked),
        });
        let counts_rows = aggregate.is_some() && field.field.name == "*";
        let mut value = self.value(&field.field);
        if counts_rows {
            value.column = ColumnRef::Row;
        }
        let kind = self.result_kind(field, column, representation.is_some());
        SelectColumn { key: output_key(field), value, representation, cast, aggregate, reading: self.reading(kind) }
    }

    /// What kind the selected value has, as far as the catalog can tell.
    fn result_kind(&self, field: &SelectField<'_>, column: Option<&Column>, represented: bool) -> Option<JsonKind> {
        let source = match (field.cast.as_deref().and_then(CastType::checked), column) {
            (Some(cast), _) => cast.kind(),
            (None, _) if represented => None,
            (None, _) if !field.field.path.is_empty() => match field.field.path.last()?.arrow {
                crate::request::Arrow::Json => Some(JsonKind::Json),
                crate::request::Arrow::Text => Some(JsonKind::Text),
            },
            (None, Some(column)) => Some(column.json),
            (None, None) => self.computed_kind(&field.field.name),
        };
        let Some(function) = field.aggregate else { return source };
        if let Some(cast) = field.aggregate_cast.as_deref().and_then(CastType::checked) {
            return cast.kind();
        }
        match (function, source) {
            (Aggregate::Count, _) => Some(JsonKind::Number),
            (Aggregate::Min | Aggregate::Max, source) => source,
            (Aggregate::Sum | Aggregate::Avg, Some(JsonKind::Number)) => Some(JsonKind::Number),
            (Aggregate::Sum | Aggregate::Avg, _) => None,
        }
    }

    /// The kind of a function that stands in for a column.
    fn computed_kind(&self, name: &str) -> Option<JsonKind> {
        let found = self.catalog.computed_field(&self.relation?.name, name)?;
        Some(found.json)
    }

    fn reading(&self, kind: Option<JsonKind>) -> Reading {
        match kind {
            Some(JsonKind::Bool | JsonKind::Number | JsonKind::Array) => Reading::ByType,
            Some(JsonKind::Text) => Reading::Text,
            Some(JsonKind::Date | JsonKind::Timestamp | JsonKind::TimestampTz) if self.settings.date_style_iso => {
                Reading::ByType
            }
            Some(JsonKind::Json) => Reading::Json,
            Some(JsonKind::Date | JsonKind::Timestamp | JsonKind::TimestampTz | JsonKind::ViaToJson) | None => {
                Reading::ToJson
            }
        }
    }
}

fn access(column: Option<&Column>) -> Access {
    match column.map(|column| column.nominal_type.as_str()) {
        Some("json" | "jsonb") => Access::Native,
        Some(_) | None => Access::ToJsonb,
    }
}

/// Alias, aggregate's name, the JSON path's last key, or the column's name.
fn output_key<'p>(field: &'p SelectField<'p>) -> &'p str {
    if let Some(alias) = &field.alias {
        return alias;
    }
    if let Some(aggregate) = field.aggregate {
        return aggregate_name(aggregate);
    }
    let last_key = field.field.path.iter().rev().find_map(|step| match &step.key {
        JsonKey::Name(name) => Some(name.as_ref()),
        JsonKey::Index(_) => None,
    });
    last_key.unwrap_or(&field.field.name)
}

/// The aggregate's name in SQL.
pub fn aggregate_name(aggregate: Aggregate) -> &'static str {
    match aggregate {
        Aggregate::Avg => "avg",
        Aggregate::Count => "count",
        Aggregate::Max => "max",
        Aggregate::Min => "min",
        Aggregate::Sum => "sum",
    }
}
