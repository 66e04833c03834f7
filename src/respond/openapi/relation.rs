//! A relation in the document: its path, its definition and the parameters that name its columns.

use super::object::{Array, Members, Object, reference};
use super::write_summary;
use crate::catalog::relationship::Side;
use crate::catalog::{Cardinality, Catalog, Column, Relation, Relationship};
use crate::name::{ColumnName, RelationName};
use crate::respond::openapi_type;

/// `/relation`: GET, and the writes where the relation takes any.
pub fn write_path(paths: &mut Members, relation: &Relation) {
    let name = relation.name.name.as_str();
    let operation =
        |object: &mut Object<'_>, parameters: &dyn Fn(&mut Array<'_>), responses: fn(&mut Object<'_>, &str)| {
            write_summary(object, relation.description.as_deref());
            object.array("parameters", parameters);
            object.object("responses", |object| responses(object, name));
            object.texts("tags", [name]);
        };
    let shared =
        |array: &mut Array<'_>, names: &[&str]| names.iter().for_each(|name| array.reference("parameters", name));
    let filters = |array: &mut Array<'_>| {
        relation.columns.iter().for_each(|column| array.reference("parameters", &filter_key(name, &column.name)));
    };
    let body = |array: &mut Array<'_>| array.reference("parameters", &body_key(name));
    paths.insert(format!("/{name}"), |object| {
        object.object("get", |object| {
            let parameters = |array: &mut Array<'_>| {
                filters(array);
                shared(array, &["select", "order", "range", "rangeUnit", "offset", "limit", "preferCount"]);
            };
            operation(object, &parameters, write_rows_responses);
        });
        if !(relation.insertable || relation.updatable || relation.deletable) {
            return;
        }
        object.object("post", |object| {
            let parameters = |array: &mut Array<'_>| {
                body(array);
                shared(array, &["select", "preferPost"]);
            };
            operation(object, &parameters, |object, _| write_response(object, "201", "Created"));
        });
        object.object("delete", |object| {
            let parameters = |array: &mut Array<'_>| {
                filters(array);
                shared(array, &["preferReturn"]);
            };
            operation(object, &parameters, |object, _| write_response(object, "204", "No Content"));
        });
        object.object("patch", |object| {
            let parameters = |array: &mut Array<'_>| {
                filters(array);
                body(array);
                shared(array, &["preferReturn"]);
            };
            operation(object, &parameters, |object, _| write_response(object, "204", "No Content"));
        });
    });
}

fn write_rows_responses(object: &mut Object<'_>, name: &str) {
    object.object("200", |object| {
        object.text("description", "OK");
        object.object("schema", |object| {
            object.object("items", |object| reference(object, "definitions", name));
            object.text("type", "array");
        });
    });
    write_response(object, "206", "Partial Content");
}

pub fn write_response(object: &mut Object<'_>, status: &str, description: &str) {
    object.object(status, |object| object.text("description", description));
}

/// The shape of a row.
pub fn write_definition(definitions: &mut Members, catalog: &Catalog, relation: &Relation) {
    definitions.insert(relation.name.name.as_str().to_owned(), |object| {
        object.optional_text("description", relation.description.as_deref());
        let required = relation.columns.iter().filter(|column| !column.nullable);
        object.optional_texts("required", required.map(|column| column.name.as_str()));
        if !relation.columns.is_empty() {
            object.object("properties", |object| {
                for column in &relation.columns {
                    object.object(column.name.as_str(), |object| write_property(object, catalog, relation, column));
                }
            });
        }
        object.text("type", "object");
    });
}

fn write_property(object: &mut Object<'_>, catalog: &Catalog, relation: &Relation, column: &Column) {
    let default = column.default.as_deref().and_then(|expression| openapi_type::default(&column.base_type, expression));
    if let Some(default) = default {
        object.json("default", default.as_bytes());
    }
    object.optional_text("description", property_description(catalog, relation, column).as_deref());
    object.optional_texts("enum", column.enum_values.iter().map(String::as_str));
    if let Some(max_length) = column.max_length {
        object.json("maxLength", max_length.to_string().as_bytes());
    }
    openapi_type::write(object, &column.base_type);
}

/// The column's comment, and what keys it belongs to. Tools read the tags at the ends of the lines.
fn property_description(catalog: &Catalog, relation: &Relation, column: &Column) -> Option<String> {
    let mut notes = Vec::new();
    if relation.primary_key.contains(&column.name) {
        notes.push("This is a Primary Key.<pk/>".to_owned());
    }
    if let Some((target, referenced)) = referenced(catalog, relation, &column.name) {
        notes.push(format!(
            "This is a Foreign Key to `{target}.{referenced}`.<fk table='{target}' column='{referenced}'/>"
        ));
    }
    if notes.is_empty() {
        return column.description.clone();
    }
    let comment = column.description.as_ref().map(|comment| format!("{comment}\n\n")).unwrap_or_default();
    Some(format!("{comment}Note:\n{}", notes.join("\n")))
}

/// Where the column alone is a foreign key: the relation and column it points to, a table rather than a view over it.
fn referenced<'c>(
    catalog: &'c Catalog,
    relation: &'c Relation,
    column: &ColumnName,
) -> Option<(&'c RelationName, &'c ColumnName)> {
    let single = |relationship: &'c Relationship| {
        let Relationship::Key(key) = relationship else { return None };
        let columns = match &key.cardinality {
            Cardinality::ManyToOne { columns, .. } | Cardinality::OneToOne { columns, side: Side::Child, .. } => {
                columns
            }
            Cardinality::OneToOne { side: Side::Parent, .. }
            | Cardinality::OneToMany { .. }
            | Cardinality::ManyToMany(_) => return None,
        };
        match columns.as_slice() {
            [(own, referenced)] if own == column => Some((key.target_is_view, &key.target.name, referenced)),
            _ => None,
        }
    };
    let found = catalog.relationships_in(&relation.name, &relation.name.schema).filter_map(|one| single(one));
    found.min_by_key(|&(target_is_view, _, _)| target_is_view).map(|(_, target, referenced)| (target, referenced))
}

/// The body of a write, and a filter for each column.
pub fn write_parameters(parameters: &mut Members, relation: &Relation) {
    let name = relation.name.name.as_str();
    parameters.insert(body_key(name), |object| {
        object.text("name", name);
        object.text("description", name);
        object.json("required", b"false");
        object.text("in", "body");
        object.object("schema", |object| reference(object, "definitions", name));
    });
    for column in &relation.columns {
        parameters.insert(filter_key(name, &column.name), |object| {
            object.text("name", column.name.as_str());
            object.optional_text("description", column.description.as_deref());
            object.json("required", b"false");
            object.text("in", "query");
            object.text("type", "string");
        });
    }
}

fn body_key(relation: &str) -> String {
    format!("body.{relation}")
}

fn filter_key(relation: &str, column: &ColumnName) -> String {
    format!("rowFilter.{relation}.{column}")
}
