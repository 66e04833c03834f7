//! Rows → schemas, types, relations with their columns, and keys.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use super::infer::{ForeignKey, KeyColumns, Table};
use super::load::{LoadError, LoadedRows, QueryName};
use super::load_row::RowReader;
use super::load_views::TracedView;
use super::pg_type::{JsonKind, TypeShape, json_kind};
use super::relation::{Column, Relation, RelationKind};
use crate::name::{ColumnName, QualifiedName, SchemaName};

/// Comments of the exposed schemas; an exposed schema that does not exist is an error, as it is to PostgREST.
pub fn schemas(results: &LoadedRows) -> Result<HashMap<SchemaName, String>, LoadError> {
    let mut descriptions = HashMap::new();
    for mut row in results.rows(QueryName::Schemas)? {
        let name = row.text()?;
        if row.optional()?.is_none() {
            return Err(LoadError::SchemaMissing { schema: name.to_owned() });
        }
        if let Some(description) = row.optional()? {
            descriptions.insert(name.into(), description.to_owned());
        }
    }
    Ok(descriptions)
}

/// Types by oid, and the labels of the enums among them.
#[derive(Debug, Default)]
pub struct Types {
    by_oid: HashMap<u32, Type>,
    labels: HashMap<u32, Vec<String>>,
}

#[derive(Debug)]
struct Type {
    base_oid: u32,
    base_name: String,
    /// Whether the base type lives in `pg_catalog`.
    base_built_in: bool,
    json: JsonKind,
}

impl Types {
    /// Rows and the database's own arrays weren't read; `to_json` is right for every type, also for one that appeared
    /// since.
    pub fn json(&self, oid: u32) -> JsonKind {
        self.by_oid.get(&oid).map_or(JsonKind::ViaToJson, |found| found.json)
    }
}

pub fn types(results: &LoadedRows) -> Result<Types, LoadError> {
    let mut types = Types::default();
    for mut row in results.rows(QueryName::Types)? {
        let oid = row.oid()?;
        let base_oid = row.oid()?;
        let base_name = row.text()?.to_owned();
        let base_built_in = row.boolean()?;
        let shape = match row.text()? {
            "array" => TypeShape::Array,
            "row" => TypeShape::Row,
            "cast" => TypeShape::CastToJson,
            "plain" => TypeShape::Plain,
            _ => return Err(row.refuse_last()),
        };
        let json = json_kind(base_oid, shape);
        types.by_oid.insert(oid, Type { base_oid, base_name, base_built_in, json });
    }
    for mut row in results.rows(QueryName::Enums)? {
        let oid = row.oid()?;
        types.labels.entry(oid).or_default().push(row.text()?.to_owned());
    }
    Ok(types)
}

/// Primary keys by the oid of their table.
pub type PrimaryKeys = HashMap<u32, PrimaryKey>;

#[derive(Debug)]
pub struct PrimaryKey {
    table: QualifiedName,
    /// In key order.
    columns: Vec<(i16, ColumnName)>,
}

pub fn primary_keys(results: &LoadedRows) -> Result<PrimaryKeys, LoadError> {
    let mut members = Vec::new();
    for mut row in results.rows(QueryName::PrimaryKeys)? {
        let table_oid = row.oid()?;
        let table = QualifiedName::new(row.text()?, row.text()?);
        let column = (row.attnum()?, row.text()?.into());
        members.push((row.place()?, table_oid, table, column));
    }
    members.sort_by_key(|&(place, ..)| place);
    let mut keys = PrimaryKeys::new();
    for (_, table_oid, table, column) in members {
        keys.entry(table_oid).or_insert_with(|| PrimaryKey { table, columns: Vec::new() }).columns.push(column);
    }
    Ok(keys)
}

/// Relations by oid, until everything that goes by oid is done.
pub type Relations = HashMap<u32, Relation>;

pub fn relations(results: &LoadedRows, types: &Types, keys: &PrimaryKeys) -> Result<Relations, LoadError> {
    let mut relations = Relations::new();
    for mut row in results.rows(QueryName::Relations)? {
        let oid = row.oid()?;
        let relation = relation(&mut row, keys.get(&oid))?;
        relations.insert(oid, relation);
    }
    let mut columns: HashMap<u32, Vec<(i16, Column)>> = HashMap::with_capacity(relations.len());
    for mut row in results.rows(QueryName::Columns)? {
        let (owner, number) = (row.oid()?, row.attnum()?);
        columns.entry(owner).or_default().push((number, column(&mut row, types)?));
    }
    for (owner, mut columns) in columns {
        let Some(relation) = relations.get_mut(&owner) else { continue };
        columns.sort_by_key(|&(number, _)| number);
        relation.columns = columns.into_iter().map(|(_, column)| column).collect();
        let names = relation.columns.iter().enumerate();
        relation.column_index = names.map(|(index, column)| (column.name.clone(), index)).collect();
    }
    Ok(relations)
}

fn relation(row: &mut RowReader<'_>, key: Option<&PrimaryKey>) -> Result<Relation, LoadError> {
    let name = QualifiedName::new(row.text()?, row.text()?);
    let kind = match row.text()? {
        "r" => RelationKind::Table,
        "p" => RelationKind::PartitionedTable,
        "f" => RelationKind::ForeignTable,
        "v" => RelationKind::View,
        "m" => RelationKind::MaterializedView,
        _ => return Err(row.refuse_last()),
    };
    let mut primary_key: Vec<ColumnName> =
        key.map_or_else(Vec::new, |key| key.columns.iter().map(|(_, name)| name.clone()).collect());
    // Clients see the order of key columns in Location headers: PostgREST sorts a table's by name.
    primary_key.sort();
    Ok(Relation {
        name,
        kind,
        description: row.optional()?.map(str::to_owned),
        columns: Vec::new(),
        column_index: HashMap::new(),
        primary_key,
        insertable: row.boolean()?,
        updatable: row.boolean()?,
        deletable: row.boolean()?,
        user_code: false,
    })
}

fn column(row: &mut RowReader<'_>, types: &Types) -> Result<Column, LoadError> {
    let name = row.text()?.into();
    let description = row.optional()?.map(str::to_owned);
    let nullable = row.boolean()?;
    let type_oid = row.oid()?;
    let of_domain = row.boolean()?;
    let type_built_in = row.boolean()?;
    let declared = types.by_oid.get(&type_oid);
    let bare_type = declared.map(|found| found.base_name.as_str());
    let nominal_type = match row.optional()? {
        Some(name) => name.to_owned(),
        None => bare_type.ok_or_else(|| row.refuse_last())?.to_owned(),
    };
    let max_length = row.optional_int()?;
    let default = row.optional()?.map(str::to_owned);
    // A built-in type is shown without its modifier, one of the database's own as it was declared.
    let base_type = match declared {
        Some(found) if of_domain && found.base_built_in => found.base_name.clone(),
        Some(_) | None => {
            let bare = bare_type.filter(|_| type_built_in && !of_domain);
            bare.unwrap_or(&nominal_type).to_owned()
        }
    };
    let base_oid = declared.map_or(type_oid, |found| found.base_oid);
    Ok(Column {
        name,
        description,
        nullable,
        nominal_type,
        base_type,
        base_oid,
        type_oid,
        max_length,
        default,
        enum_values: types.labels.get(&base_oid).cloned().unwrap_or_default(),
        json: types.json(type_oid),
    })
}

/// Gives each view the primary keys of the tables it stands on, where it shows all of a key's columns.
/// Clients see the order: tables by name from the last to the first, as PostgREST has it, columns in key order.
pub fn inherit_primary_keys(relations: &mut Relations, views: &[TracedView], keys: &PrimaryKeys) {
    for view in views {
        let Some(relation) = relations.get_mut(&view.oid) else { continue };
        let mut inherited: Vec<(&QualifiedName, Vec<ColumnName>)> = view
            .tables
            .iter()
            .filter_map(|(table, shown)| {
                let key = keys.get(table)?;
                let columns: Option<Vec<ColumnName>> =
                    key.columns.iter().map(|(number, _)| shown.get(number)?.first().cloned()).collect();
                Some((&key.table, columns?))
            })
            .collect();
        inherited.sort_by_key(|&(table, _)| Reverse(table));
        relation.primary_key = inherited.into_iter().flat_map(|(_, columns)| columns).collect();
    }
}

pub fn foreign_keys(results: &LoadedRows) -> Result<Vec<ForeignKey>, LoadError> {
    let mut pairs = Vec::new();
    for mut row in results.rows(QueryName::ForeignKeys)? {
        let oid = row.oid()?;
        let constraint = row.text()?.into();
        let origin = Table { oid: row.oid()?, name: QualifiedName::new(row.text()?, row.text()?) };
        let target = Table { oid: row.oid()?, name: QualifiedName::new(row.text()?, row.text()?) };
        let one_to_one = row.boolean()?;
        let columns =
            KeyColumns { origin: (row.attnum()?, row.text()?.into()), target: (row.attnum()?, row.text()?.into()) };
        let place = row.place()?;
        pairs.push((oid, place, ForeignKey { constraint, origin, target, one_to_one, columns: vec![columns] }));
    }
    pairs.sort_by(|(oid, place, key), (other_oid, other_place, other)| {
        let by_name = (key.origin.oid, &key.constraint).cmp(&(other.origin.oid, &other.constraint));
        by_name.then_with(|| (oid, place).cmp(&(other_oid, other_place)))
    });
    let mut keys: Vec<ForeignKey> = Vec::new();
    let mut last_oid = None;
    for (oid, _, pair) in pairs {
        match keys.last_mut() {
            Some(key) if last_oid == Some(oid) => key.columns.extend(pair.columns),
            Some(_) | None => keys.push(pair),
        }
        last_oid = Some(oid);
    }
    Ok(keys)
}

pub fn primary_keys_by_name(relations: &Relations) -> HashMap<&QualifiedName, &[ColumnName]> {
    relations.values().map(|relation| (&relation.name, relation.primary_key.as_slice())).collect()
}

pub fn publish(relations: Relations) -> HashMap<QualifiedName, Arc<Relation>> {
    relations.into_values().map(|relation| (relation.name.clone(), Arc::new(relation))).collect()
}
