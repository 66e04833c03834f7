//! Catalog → JSON, for `--dump-schema` and the admin server's `/schema_cache`. Member names are PostgREST's.
//! Invariant: the same catalog makes the same bytes: everything kept by hash is written in order of its key.

mod writer;

use std::collections::BTreeMap;

use self::writer::Json;
use super::media_handler::{HandlerKey, MediaHandler};
use super::relation::{Column, Relation};
use super::relationship::{Cardinality, Relationship, Side};
use super::routine::{Parameter, ReturnShape, ReturnType, Routine, Volatility};
use super::{Catalog, ColumnPair};
use crate::media::MediaType;
use crate::name::{QualifiedName, QualifiedRoutine, SchemaName};

/// The whole catalog as one JSON object.
pub fn dump(catalog: &Catalog) -> String {
    let tables: BTreeMap<_, _> = catalog.relations.iter().collect();
    let routines: BTreeMap<_, _> = catalog.routines.iter().collect();
    let representations: BTreeMap<_, _> = catalog.representations.iter().collect();
    let mut json = Json::default();
    json.object(|json| {
        json.member("dbTables", |json| {
            json.pairs(tables, |json, name| qualified(json, name), |json, table| relation(json, table));
        });
        json.member("dbRelationships", |json| relationships(json, catalog));
        json.member("dbRoutines", |json| {
            json.pairs(
                routines,
                |json, name| qualified_routine(json, name),
                |json, overloads| json.list(overloads, |json, one| routine(json, one)),
            );
        });
        json.member("dbRepresentations", |json| {
            json.pairs(
                representations,
                |json, (source, target)| json.list([source, target], |json, name| json.text(name)),
                |json, one| {
                    json.object(|json| {
                        json.member("drSourceType", |json| json.text(&one.source));
                        json.member("drTargetType", |json| json.text(&one.target));
                        json.member("drFunction", |json| json.text(&one.function.to_string()));
                    });
                },
            );
        });
        json.member("dbMediaHandlers", |json| media_handlers(json, catalog));
    });
    json.finish()
}

fn relation(json: &mut Json, relation: &Relation) {
    json.object(|json| {
        json.member("tableSchema", |json| json.text(relation.name.schema.as_str()));
        json.member("tableName", |json| json.text(relation.name.name.as_str()));
        json.member("tableDescription", |json| json.optional(relation.description.as_deref()));
        json.member("tableIsView", |json| json.boolean(relation.kind.is_view()));
        json.member("tableInsertable", |json| json.boolean(relation.insertable));
        json.member("tableUpdatable", |json| json.boolean(relation.updatable));
        json.member("tableDeletable", |json| json.boolean(relation.deletable));
        json.member("tablePKCols", |json| json.list(&relation.primary_key, |json, name| json.text(name.as_str())));
        json.member("tableColumns", |json| {
            json.object(|json| {
                for one in &relation.columns {
                    json.member(one.name.as_str(), |json| column(json, one));
                }
            });
        });
    });
}

fn column(json: &mut Json, column: &Column) {
    json.object(|json| {
        json.member("colName", |json| json.text(column.name.as_str()));
        json.member("colDescription", |json| json.optional(column.description.as_deref()));
        json.member("colNullable", |json| json.boolean(column.nullable));
        json.member("colType", |json| json.text(&column.base_type));
        json.member("colNominalType", |json| json.text(&column.nominal_type));
        json.member("colMaxLen", |json| match column.max_length {
            Some(length) => json.raw(&length.to_string()),
            None => json.raw("null"),
        });
        json.member("colDefault", |json| json.optional(column.default.as_deref()));
        json.member("colEnum", |json| json.list(&column.enum_values, |json, label| json.text(label)));
    });
}

/// Keyed by the origin and the schema whose requests can use the relationships.
fn relationships(json: &mut Json, catalog: &Catalog) {
    let mut by_schema: BTreeMap<(&QualifiedName, &SchemaName), Vec<&Relationship>> = BTreeMap::new();
    for (origin, list) in &catalog.relationships {
        for one in list {
            by_schema.entry((origin, one.schema())).or_default().push(one);
        }
    }
    json.pairs(
        by_schema,
        |json, (origin, schema)| {
            json.raw("[");
            qualified(json, origin);
            json.raw(",");
            json.text(schema.as_str());
            json.raw("]");
        },
        |json, list| json.list(list, relationship),
    );
}

fn relationship(json: &mut Json, relationship: &Relationship) {
    json.object(|json| match relationship {
        Relationship::Key(key) => {
            json.member("tag", |json| json.text("Relationship"));
            json.member("relTable", |json| qualified(json, &key.origin));
            json.member("relForeignTable", |json| qualified(json, &key.target));
            json.member("relIsSelf", |json| json.boolean(key.self_reference));
            json.member("relCardinality", |json| cardinality(json, &key.cardinality));
            json.member("relTableIsView", |json| json.boolean(key.origin_is_view));
            json.member("relFTableIsView", |json| json.boolean(key.target_is_view));
        }
        Relationship::Computed(computed) => {
            json.member("tag", |json| json.text("ComputedRelationship"));
            json.member("relFunction", |json| qualified_routine(json, &computed.function));
            json.member("relTable", |json| qualified(json, &computed.origin));
            json.member("relForeignTable", |json| qualified(json, &computed.target));
            json.member("relTableAlias", |json| qualified(json, &QualifiedName::new("", "")));
            json.member("relToOne", |json| json.boolean(computed.to_one));
            json.member("relIsSelf", |json| json.boolean(computed.self_reference));
        }
    });
}

fn cardinality(json: &mut Json, cardinality: &Cardinality) {
    json.object(|json| match cardinality {
        Cardinality::OneToMany { constraint, columns } => key(json, "O2M", constraint.as_str(), columns),
        Cardinality::ManyToOne { constraint, columns } => key(json, "M2O", constraint.as_str(), columns),
        Cardinality::OneToOne { constraint, columns, side } => {
            key(json, "O2O", constraint.as_str(), columns);
            json.member("isParent", |json| json.boolean(*side == Side::Parent));
        }
        Cardinality::ManyToMany(junction) => {
            json.member("tag", |json| json.text("M2M"));
            json.member("contents", |json| {
                json.object(|json| {
                    json.member("junTable", |json| qualified(json, &junction.relation));
                    json.member("junConstraint1", |json| json.text(junction.origin_constraint.as_str()));
                    json.member("junConstraint2", |json| json.text(junction.target_constraint.as_str()));
                    json.member("junColsSource", |json| json.list(&junction.origin_columns, column_pair));
                    json.member("junColsTarget", |json| json.list(&junction.target_columns, column_pair));
                });
            });
        }
    });
}

fn key(json: &mut Json, tag: &str, constraint: &str, columns: &[ColumnPair]) {
    json.member("tag", |json| json.text(tag));
    json.member("relCons", |json| json.text(constraint));
    json.member("relColumns", |json| json.list(columns, column_pair));
}

fn column_pair(json: &mut Json, (one, other): &ColumnPair) {
    json.list([one, other], |json, name| json.text(name.as_str()));
}

fn routine(json: &mut Json, routine: &Routine) {
    json.object(|json| {
        json.member("pdSchema", |json| json.text(routine.name.schema.as_str()));
        json.member("pdName", |json| json.text(routine.name.name.as_str()));
        json.member("pdDescription", |json| json.optional(routine.description.as_deref()));
        json.member("pdParams", |json| json.list(&routine.parameters, parameter));
        json.member("pdReturnType", |json| returns(json, &routine.returns));
        json.member("pdVolatility", |json| {
            json.text(match routine.volatility {
                Volatility::Volatile => "Volatile",
                Volatility::Stable => "Stable",
                Volatility::Immutable => "Immutable",
            });
        });
        json.member("pdHasVariadic", |json| json.boolean(routine.has_variadic));
        json.member("pdIsoLvl", |json| {
            json.optional(routine.isolation_level.as_deref().map(|level| match level {
                "repeatable read" => "RepeatableRead",
                "serializable" => "Serializable",
                _ => "ReadCommitted",
            }));
        });
        json.member("pdFuncSettings", |json| {
            json.list(&routine.settings, |json, (name, value)| {
                json.list([name, value], |json, part| json.text(part));
            });
        });
    });
}

fn parameter(json: &mut Json, parameter: &Parameter) {
    json.object(|json| {
        json.member("ppName", |json| json.text(&parameter.name));
        json.member("ppType", |json| json.text(&parameter.type_name));
        json.member("ppTypeMaxLength", |json| json.text(&parameter.type_without_length));
        json.member("ppReq", |json| json.boolean(parameter.required));
        json.member("ppVar", |json| json.boolean(parameter.variadic));
    });
}

fn returns(json: &mut Json, shape: &ReturnShape) {
    let void = ReturnType::Scalar(QualifiedName::new("pg_catalog", "void"));
    let (tag, result) = match shape {
        ReturnShape::Void => ("Single", &void),
        ReturnShape::Single(result) => ("Single", result),
        ReturnShape::SetOf(result) => ("SetOf", result),
    };
    json.tagged(tag, |json| match result {
        ReturnType::Scalar(name) => json.tagged("Scalar", |json| qualified(json, name)),
        ReturnType::Composite { name, is_alias } => json.tagged("Composite", |json| {
            json.raw("[");
            qualified(json, name);
            json.raw(",");
            json.boolean(*is_alias);
            json.raw("]");
        }),
    });
}

/// The database's handlers, and the built-in ones that none of them replaces.
fn media_handlers(json: &mut Json, catalog: &Catalog) {
    let mut handlers: BTreeMap<(Option<&QualifiedName>, String), Handler<'_>> = BTreeMap::new();
    for (rendered, tag, sent) in BUILTIN_HANDLERS {
        handlers.insert((None, rendered.to_owned()), Handler::Builtin { tag, sent });
    }
    for (key, handler) in &catalog.media_handlers {
        handlers.insert((key.relation.as_ref(), media_text(&key.media)), Handler::Custom { key, handler });
    }
    json.pairs(
        handlers,
        |json, (relation, media)| {
            json.raw("[");
            target(json, *relation);
            json.raw(",");
            json.text(media);
            json.raw("]");
        },
        |json, handler| {
            json.raw("[");
            match handler {
                Handler::Builtin { tag, sent } => {
                    json.object(|json| json.member("tag", |json| json.text(tag)));
                    json.raw(",");
                    json.text(sent);
                }
                Handler::Custom { key, handler } => {
                    json.tagged("CustomFunc", |json| {
                        json.raw("[");
                        qualified_routine(json, &handler.routine);
                        json.raw(",");
                        target(json, key.relation.as_ref());
                        json.raw("]");
                    });
                    json.raw(",");
                    json.text(&media_text(&handler.media));
                }
            }
            json.raw("]");
        },
    );
}

enum Handler<'c> {
    Builtin { tag: &'static str, sent: &'static str },
    Custom { key: &'c HandlerKey, handler: &'c MediaHandler },
}

/// Rendered, PostgREST's tag, sent.
const BUILTIN_HANDLERS: [(&str, &str, &str); 4] = [
    ("*/*", "BuiltinOvAggJson", "application/json"),
    ("application/json", "BuiltinOvAggJson", "application/json"),
    ("text/csv", "BuiltinOvAggCsv", "text/csv"),
    ("application/geo+json", "BuiltinOvAggGeoJson", "application/geo+json"),
];

fn target(json: &mut Json, relation: Option<&QualifiedName>) {
    match relation {
        Some(name) => json.tagged("RelId", |json| qualified(json, name)),
        None => json.object(|json| json.member("tag", |json| json.text("RelAnyElement"))),
    }
}

/// Names of the media types that a domain can have; a handler has no other.
fn media_text(media: &MediaType) -> String {
    let name = match media {
        MediaType::Json => "application/json",
        MediaType::GeoJson => "application/geo+json",
        MediaType::Csv => "text/csv",
        MediaType::OpenApi => "application/openapi+json",
        MediaType::UrlEncoded => "application/x-www-form-urlencoded",
        MediaType::OctetStream => "application/octet-stream",
        MediaType::TextPlain => "text/plain",
        MediaType::TextXml => "text/xml",
        MediaType::Any => "*/*",
        MediaType::SingularJson { .. } => "application/vnd.pgrst.object+json",
        MediaType::ArrayJson { .. } => "application/vnd.pgrst.array+json",
        MediaType::Plan(_) => "application/vnd.pgrst.plan",
        MediaType::Other(name) => name,
    };
    name.to_owned()
}

fn qualified(json: &mut Json, name: &QualifiedName) {
    identifier(json, name.schema.as_str(), name.name.as_str());
}

fn qualified_routine(json: &mut Json, name: &QualifiedRoutine) {
    identifier(json, name.schema.as_str(), name.name.as_str());
}

fn identifier(json: &mut Json, schema: &str, name: &str) {
    json.object(|json| {
        json.member("qiSchema", |json| json.text(schema));
        json.member("qiName", |json| json.text(name));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_catalog_has_all_members() {
        let value: serde_json::Value = serde_json::from_str(&dump(&Catalog::default())).expect("valid JSON");
        let members = value.as_object().expect("an object");
        let expect = ["dbTables", "dbRelationships", "dbRoutines", "dbRepresentations", "dbMediaHandlers"];
        assert_eq!(members.len(), expect.len());
        for name in expect {
            let count = if name == "dbMediaHandlers" { 4 } else { 0 };
            assert_eq!(value[name].as_array().map(Vec::len), Some(count), "{name}");
        }
    }
}
