//! Rows → routines, computed fields and computed relationships.

use std::collections::HashMap;
use std::sync::Arc;

use super::load::{LoadError, LoadedRows, QueryName};
use super::load_relations::Types;
use super::load_row::RowReader;
use super::pg_type;
use super::relationship::ComputedRelationship;
use super::routine::{ComputedField, Parameter, ResultColumn, ReturnShape, ReturnType, Routine, Volatility};
use crate::name::{ColumnName, QualifiedName, QualifiedRoutine, RoutineName};

/// Overloads by name.
type Overloads = HashMap<QualifiedRoutine, Vec<Arc<Routine>>>;
/// Names and places among the overloads, by oid.
type Places = HashMap<u32, (QualifiedRoutine, usize)>;

/// Overloads by name, those with fewest parameters first, and where each one is.
pub fn routines(results: &LoadedRows, types: &Types) -> Result<(Overloads, Places), LoadError> {
    let mut signatures = signatures(results, types)?;
    let row_types = row_types(results, types)?;
    let mut settings = settings(results)?;
    let mut overloads: HashMap<QualifiedRoutine, Vec<(u32, Routine)>> = HashMap::new();
    for mut row in results.rows(QueryName::Routines)? {
        let oid = row.oid()?;
        let signature = signatures.remove(&oid).unwrap_or_default();
        if signature.callable() {
            let routine = routine(&mut row, signature, settings.remove(&oid).unwrap_or_default(), &row_types, types)?;
            overloads.entry(routine.name.clone()).or_default().push((oid, routine));
        }
    }
    let mut places = Places::new();
    let mut publish = |name: &QualifiedRoutine, mut list: Vec<(u32, Routine)>| {
        list.sort_by(|(oid, one), (other_oid, two)| {
            let order = |routine: &Routine| (routine.parameters.len(), routine.description.clone());
            let by_shape = order(one).cmp(&order(two)).then_with(|| one.parameters.cmp(&two.parameters));
            by_shape.then_with(|| oid.cmp(other_oid))
        });
        places.extend(list.iter().enumerate().map(|(place, &(oid, _))| (oid, (name.clone(), place))));
        list.into_iter().map(|(_, routine)| Arc::new(routine)).collect()
    };
    let routines = overloads
        .into_iter()
        .map(|(name, list)| {
            let list = publish(&name, list);
            (name, list)
        })
        .collect();
    Ok((routines, places))
}

fn routine(
    row: &mut RowReader<'_>,
    signature: Signature,
    settings: Settings,
    row_types: &RowTypes,
    types: &Types,
) -> Result<Routine, LoadError> {
    let name = QualifiedRoutine { schema: row.text()?.into(), name: row.text()?.into() };
    let description = row.optional()?.map(str::to_owned);
    let returns_set = row.boolean()?;
    let result_oid = row.oid()?;
    let result_name = QualifiedName::new(row.text()?, row.text()?);
    let is_row = row.boolean()?;
    let is_domain = row.boolean()?;
    let volatility = match row.text()? {
        "i" => Volatility::Immutable,
        "s" => Volatility::Stable,
        "v" => Volatility::Volatile,
        _ => return Err(row.refuse_last()),
    };
    let has_variadic = row.boolean()?;
    let returns = match (is_row, returns_set) {
        (false, false) if result_name == QualifiedName::new("pg_catalog", "void") => ReturnShape::Void,
        (false, false) => ReturnShape::Single(ReturnType::Scalar(result_name)),
        (false, true) => ReturnShape::SetOf(ReturnType::Scalar(result_name)),
        (true, false) => ReturnShape::Single(ReturnType::Composite { name: result_name, is_alias: is_domain }),
        (true, true) => ReturnShape::SetOf(ReturnType::Composite { name: result_name, is_alias: is_domain }),
    };
    let result = match row_types.get(&result_oid) {
        Some(columns) => columns.clone(),
        None if is_row => signature.outputs,
        None if returns == ReturnShape::Void || result_oid == pg_type::RECORD => Vec::new(),
        None => {
            vec![ResultColumn { name: name.name.as_str().into(), type_oid: result_oid, json: types.json(result_oid) }]
        }
    };
    let rows = Arc::new(Routine::rows_of(&name, &returns, &result));
    Ok(Routine {
        rows,
        name,
        description,
        parameters: signature.inputs,
        returns,
        result,
        volatility,
        has_variadic,
        isolation_level: settings.isolation_level,
        settings: settings.hoisted,
    })
}

/// Columns of row types by the type's oid.
type RowTypes = HashMap<u32, Vec<ResultColumn>>;

fn row_types(results: &LoadedRows, types: &Types) -> Result<RowTypes, LoadError> {
    let mut row_types: HashMap<u32, Vec<(i16, ResultColumn)>> = HashMap::new();
    for mut row in results.rows(QueryName::RowTypes)? {
        let columns = row_types.entry(row.oid()?).or_default();
        let number = row.attnum()?;
        let name = row.text()?.into();
        let type_oid = row.oid()?;
        columns.push((number, ResultColumn { name, type_oid, json: types.json(type_oid) }));
    }
    let in_order = |(row_type, mut columns): (u32, Vec<(i16, ResultColumn)>)| {
        columns.sort_by_key(|&(number, _)| number);
        (row_type, columns.into_iter().map(|(_, column)| column).collect())
    };
    Ok(row_types.into_iter().map(in_order).collect())
}

#[derive(Default)]
struct Signature {
    inputs: Vec<Parameter>,
    outputs: Vec<ResultColumn>,
    /// Types of the input parameters that have no name.
    unnamed: Vec<u32>,
}

impl Signature {
    /// A request names its arguments; the one exception is a single unnamed parameter that takes the whole body.
    fn callable(&self) -> bool {
        match self.unnamed.as_slice() {
            [] => true,
            [only] => matches!(*only, pg_type::BYTEA | pg_type::JSON | pg_type::JSONB | pg_type::TEXT | pg_type::XML),
            _ => false,
        }
    }
}

fn signatures(results: &LoadedRows, types: &Types) -> Result<HashMap<u32, Signature>, LoadError> {
    let mut signatures: HashMap<u32, Signature> = HashMap::new();
    for mut row in results.rows(QueryName::Parameters)? {
        let signature = signatures.entry(row.oid()?).or_default();
        let mode = row.text()?;
        let name = row.optional()?;
        let type_oid = row.oid()?;
        let parameter = Parameter {
            name: name.unwrap_or_default().to_owned(),
            type_name: row.text()?.to_owned(),
            type_without_length: row.text()?.to_owned(),
            required: row.boolean()?,
            variadic: mode == "v",
        };
        if matches!(mode, "o" | "b" | "t") {
            let name: ColumnName = parameter.name.as_str().into();
            signature.outputs.push(ResultColumn { name, type_oid, json: types.json(type_oid) });
        }
        if matches!(mode, "i" | "b" | "v") {
            if name.is_none() {
                signature.unnamed.push(type_oid);
            }
            signature.inputs.push(parameter);
        }
    }
    Ok(signatures)
}

#[derive(Default)]
struct Settings {
    isolation_level: Option<String>,
    hoisted: Vec<(String, String)>,
}

fn settings(results: &LoadedRows) -> Result<HashMap<u32, Settings>, LoadError> {
    let mut by_routine: HashMap<u32, Settings> = HashMap::new();
    for mut row in results.rows(QueryName::RoutineSettings)? {
        let settings = by_routine.entry(row.oid()?).or_default();
        let (name, value) = row.text()?.split_once('=').ok_or_else(|| row.refuse_last())?;
        if name == ISOLATION_SETTING {
            settings.isolation_level = Some(isolation_level(value));
        }
        // Null where nothing is to be hoisted.
        if row.optional()? == Some("t") {
            settings.hoisted.push((name.to_owned(), value.to_owned()));
        }
    }
    Ok(by_routine)
}

/// Where roles and functions keep the isolation level of their transactions.
pub const ISOLATION_SETTING: &str = "default_transaction_isolation";

/// What PostgREST makes of the setting: anything that it does not know is PostgreSQL's default.
pub fn isolation_level(value: &str) -> String {
    let lower = value.to_ascii_lowercase();
    if matches!(lower.as_str(), "repeatable read" | "serializable") { lower } else { "read committed".to_owned() }
}

pub fn computed_relationships(results: &LoadedRows) -> Result<Vec<ComputedRelationship>, LoadError> {
    let mut computed = Vec::new();
    for mut row in results.rows(QueryName::ComputedRelationships)? {
        let function = QualifiedRoutine { schema: row.text()?.into(), name: row.text()?.into() };
        let origin = QualifiedName::new(row.text()?, row.text()?);
        let target = QualifiedName::new(row.text()?, row.text()?);
        computed.push(ComputedRelationship {
            function,
            origin_row: origin.clone(),
            self_reference: origin == target,
            origin,
            target,
            to_one: row.boolean()?,
        });
    }
    Ok(computed)
}

pub fn computed_fields(
    results: &LoadedRows,
    types: &Types,
    extra_search_path: &[String],
) -> Result<HashMap<QualifiedName, HashMap<ColumnName, Arc<ComputedField>>>, LoadError> {
    let mut fields: HashMap<QualifiedName, HashMap<ColumnName, Arc<ComputedField>>> = HashMap::new();
    for mut row in results.rows(QueryName::ComputedFields)? {
        let (schema, name) = (row.text()?, row.text()?);
        let origin = QualifiedName::new(row.text()?, row.text()?);
        let type_oid = row.oid()?;
        let field = ComputedField {
            function: QualifiedRoutine { schema: schema.into(), name: RoutineName::new(name) },
            type_oid,
            type_name: row.text()?.to_owned(),
            json: types.json(type_oid),
        };
        // The search path of a request is the relation's schema and the extra path: others are out of reach.
        let rank = |schema: &str| match extra_search_path.iter().position(|extra| extra == schema) {
            _ if schema == origin.schema.as_str() => Some(0),
            Some(place) => Some(place + 1),
            None => None,
        };
        let Some(new_rank) = rank(schema) else { continue };
        let of_origin = fields.entry(origin.clone()).or_default();
        let closer = of_origin
            .get(name)
            .and_then(|held| rank(held.function.schema.as_str()))
            .is_none_or(|held_rank| new_rank < held_rank);
        if closer {
            of_origin.insert(name.into(), Arc::new(field));
        }
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isolation_levels_are_normalised() {
        let check = |value: &str, expect: &str| assert_eq!(isolation_level(value), expect);
        check("REPEATABLE READ", "repeatable read");
        check("serializable", "serializable");
        check("read uncommitted", "read committed");
        check("", "read committed");
    }

    #[test]
    fn only_a_lone_unnamed_body_parameter_can_be_called() {
        let check = |unnamed: &[u32], expect| {
            let signature = Signature { unnamed: unnamed.to_vec(), ..Signature::default() };
            assert_eq!(signature.callable(), expect, "{unnamed:?}");
        };
        check(&[], true);
        check(&[pg_type::JSON], true);
        check(&[pg_type::BYTEA], true);
        check(&[pg_type::INT4], false);
        check(&[pg_type::JSON, pg_type::JSON], false);
    }
}
