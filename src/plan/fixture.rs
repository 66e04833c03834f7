//! A small catalog and requests made by hand, for the tests of planning and SQL.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::catalog::pg_type::{INT4, JsonKind};
use crate::catalog::relationship::{KeyRelationship, Side};
use crate::catalog::{
    Cardinality, Catalog, Column, Junction, Parameter, Relation, RelationKind, Relationship, ResultColumn, ReturnShape,
    ReturnType, Routine, Volatility,
};
use crate::media::MediaType;
use crate::name::{QualifiedName, QualifiedRoutine};
use crate::request::payload::{JsonShape, Payload};
use crate::request::prefer::Preferences;
use crate::request::{
    Action, Aggregate, ApiRequest, BodyWanted, Comparison, Condition, Field, Filter, Invocation, Join, Operand, Query,
    RowRange, SelectField, SelectItem, Targeted, Test,
};

/// ports ← operators ← vessels, vessels — crew over assignments, vessels — boxes one to one.
pub fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    let int = ("integer", JsonKind::Number);
    let text = ("text", JsonKind::Text);
    for (name, columns) in [
        (
            "ports",
            vec![
                ("id", int),
                ("code", text),
                ("tags", ("text[]", JsonKind::ViaToJson)),
                ("info", ("jsonb", JsonKind::Json)),
                ("opened", ("date", JsonKind::Date)),
            ],
        ),
        ("operators", vec![("id", int), ("name", text), ("port_id", int), ("parent_id", int)]),
        ("vessels", vec![("id", int), ("name", text), ("operator_id", int), ("words", ("tsvector", JsonKind::Text))]),
        ("crew", vec![("id", int), ("name", text)]),
        ("assignments", vec![("vessel_id", int), ("crew_id", int)]),
        ("boxes", vec![("serial", text), ("vessel_id", int)]),
    ] {
        add_relation(&mut catalog, name, &columns);
    }
    one_to_many(&mut catalog, "ports", "operators", "port_id", "operators_port_id_fkey");
    one_to_many(&mut catalog, "operators", "operators", "parent_id", "operators_parent_id_fkey");
    one_to_many(&mut catalog, "operators", "vessels", "operator_id", "vessels_operator_id_fkey");
    one_to_many(&mut catalog, "vessels", "assignments", "vessel_id", "assignments_vessel_id_fkey");
    one_to_many(&mut catalog, "crew", "assignments", "crew_id", "assignments_crew_id_fkey");
    for (origin, target) in [("vessels", "crew"), ("crew", "vessels")] {
        let (own, theirs) = if origin == "vessels" { ("vessel_id", "crew_id") } else { ("crew_id", "vessel_id") };
        add_key(
            &mut catalog,
            origin,
            target,
            Cardinality::ManyToMany(Junction {
                relation: QualifiedName::new("api", "assignments"),
                origin_constraint: format!("assignments_{own}_fkey").as_str().into(),
                target_constraint: format!("assignments_{theirs}_fkey").as_str().into(),
                origin_columns: vec![("id".into(), own.into())],
                target_columns: vec![("id".into(), theirs.into())],
            }),
        );
    }
    add_key(
        &mut catalog,
        "vessels",
        "boxes",
        Cardinality::OneToOne {
            constraint: "boxes_vessel_id_fkey".into(),
            columns: vec![("id".into(), "vessel_id".into())],
            side: Side::Parent,
        },
    );
    catalog
}

fn add_relation(catalog: &mut Catalog, name: &str, columns: &[(&str, (&str, JsonKind))]) {
    let columns: Vec<Column> = columns
        .iter()
        .map(|(name, (type_name, json))| Column {
            name: (*name).into(),
            description: None,
            nullable: true,
            nominal_type: (*type_name).to_owned(),
            base_type: (*type_name).to_owned(),
            base_oid: 0,
            type_oid: 0,
            max_length: None,
            default: None,
            enum_values: Vec::new(),
            json: *json,
        })
        .collect();
    let name = QualifiedName::new("api", name);
    let column_index: HashMap<_, _> =
        columns.iter().enumerate().map(|(index, column)| (column.name.clone(), index)).collect();
    let relation = Relation {
        name: name.clone(),
        kind: RelationKind::Table,
        description: None,
        columns,
        column_index,
        primary_key: vec!["id".into()],
        insertable: true,
        updatable: true,
        deletable: true,
        user_code: false,
    };
    catalog.relations.insert(name, Arc::new(relation));
}

/// Adds an overload in schema `api`; a parameter is its name, its type and how it is given.
pub fn add_routine(
    catalog: &mut Catalog,
    name: &str,
    parameters: &[(&str, &str, Given)],
    returns: ReturnShape,
    volatility: Volatility,
) {
    let parameters = parameters.iter().map(|&(name, type_name, given)| Parameter {
        name: name.to_owned(),
        type_name: type_name.to_owned(),
        type_without_length: type_name.to_owned(),
        required: given != Given::Optional,
        variadic: given == Given::Variadic,
    });
    let name = QualifiedRoutine { schema: "api".into(), name: name.into() };
    let int = ResultColumn { name: name.name.as_str().into(), type_oid: INT4, json: JsonKind::Number };
    let result = match &returns {
        ReturnShape::Single(scalar) | ReturnShape::SetOf(scalar) if *scalar == record() => Vec::new(),
        ReturnShape::Single(ReturnType::Scalar(_)) | ReturnShape::SetOf(ReturnType::Scalar(_)) => vec![int],
        ReturnShape::Single(_) | ReturnShape::SetOf(_) | ReturnShape::Void => Vec::new(),
    };
    let routine = Routine {
        rows: Arc::new(Routine::rows_of(&name, &returns, &result)),
        name: name.clone(),
        description: None,
        parameters: parameters.collect(),
        returns,
        result,
        volatility,
        has_variadic: false,
        isolation_level: None,
        settings: Vec::new(),
    };
    catalog.routines.entry(name).or_default().push(Arc::new(routine));
}

/// Whether an argument has to be given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Given {
    Always,
    Optional,
    Variadic,
}

/// A scalar result.
pub fn int() -> ReturnType {
    ReturnType::Scalar(QualifiedName::new("pg_catalog", "int4"))
}

/// A result whose columns nobody knows.
pub fn record() -> ReturnType {
    ReturnType::Scalar(QualifiedName::new("pg_catalog", "record"))
}

/// Rows of a relation.
pub fn row_of(relation: &str) -> ReturnType {
    ReturnType::Composite { name: QualifiedName::new("api", relation), is_alias: false }
}

/// A call by GET with these arguments.
pub fn call_by_get<'r>(routine: &'r str, arguments: &[(&'r str, &'r str)]) -> ApiRequest<'r> {
    let arguments = arguments.iter().map(|&(name, value)| (name.into(), value.into())).collect();
    ApiRequest {
        action: Action::Call { routine: routine.into(), by: Invocation::Get(BodyWanted::Full) },
        ..get("", Query { arguments, ..Query::default() })
    }
}

/// A call by POST with this JSON object, whose keys are these.
pub fn call_by_post<'r>(routine: &'r str, keys: &[&'r str], raw: &'r str) -> ApiRequest<'r> {
    let keys = keys.iter().map(|&key| key.into()).collect();
    ApiRequest {
        action: Action::Call { routine: routine.into(), by: Invocation::Post },
        payload: Some(Payload::Json { raw: raw.as_bytes().into(), keys, shape: JsonShape::Object }),
        ..get("", Query::default())
    }
}

fn add_key(catalog: &mut Catalog, origin: &str, target: &str, cardinality: Cardinality) {
    let (origin, target) = (QualifiedName::new("api", origin), QualifiedName::new("api", target));
    let relationship = Relationship::Key(KeyRelationship {
        self_reference: origin == target,
        origin: origin.clone(),
        target,
        cardinality,
        origin_is_view: false,
        target_is_view: false,
    });
    catalog.relationships.entry(origin).or_default().push(Arc::new(relationship));
}

fn one_to_many(catalog: &mut Catalog, parent: &str, child: &str, column: &str, constraint: &str) {
    add_key(
        catalog,
        parent,
        child,
        Cardinality::OneToMany { constraint: constraint.into(), columns: vec![("id".into(), column.into())] },
    );
    add_key(
        catalog,
        child,
        parent,
        Cardinality::ManyToOne { constraint: constraint.into(), columns: vec![(column.into(), "id".into())] },
    );
}

/// GET of a relation with this query.
pub fn get<'r>(relation: &'r str, query: Query<'r>) -> ApiRequest<'r> {
    ApiRequest {
        action: Action::Read { relation: Cow::Borrowed(relation), body: BodyWanted::Full },
        schema: Cow::Borrowed("api"),
        negotiated_by_profile: false,
        query,
        preferences: Preferences::default(),
        accept: vec![MediaType::Json],
        content_type: MediaType::Json,
        range: RowRange::default(),
        payload: None,
    }
}

pub fn select<'r>(items: impl IntoIterator<Item = SelectItem<'r>>) -> Query<'r> {
    Query { select: Some(items.into_iter().collect()), ..Query::default() }
}

pub fn named(name: &str) -> Field<'_> {
    Field { name: Cow::Borrowed(name), path: Vec::new() }
}

pub fn column(name: &str) -> SelectItem<'_> {
    SelectItem::Field(SelectField {
        field: named(name),
        alias: None,
        cast: None,
        aggregate: None,
        aggregate_cast: None,
    })
}

pub fn aggregate(name: &str, aggregate: Aggregate) -> SelectItem<'_> {
    SelectItem::Field(SelectField {
        field: named(name),
        alias: None,
        cast: None,
        aggregate: Some(aggregate),
        aggregate_cast: None,
    })
}

pub fn embed<'r>(
    target: &'r str,
    join: Option<Join>,
    select: impl IntoIterator<Item = SelectItem<'r>>,
) -> SelectItem<'r> {
    SelectItem::Embed {
        target: Cow::Borrowed(target),
        alias: None,
        hint: None,
        join,
        select: select.into_iter().collect(),
    }
}

pub fn spread<'r>(target: &'r str, select: impl IntoIterator<Item = SelectItem<'r>>) -> SelectItem<'r> {
    SelectItem::Spread { target: Cow::Borrowed(target), hint: None, join: None, select: select.into_iter().collect() }
}

/// `path.name=eq.value`
pub fn equals<'r>(path: &[&'r str], name: &'r str, value: &'r str) -> Targeted<'r, Condition<'r>> {
    aimed(
        path,
        Test::Compare {
            operator: Comparison::Eq,
            quantifier: None,
            operand: Operand { slot: 0, text: Cow::Borrowed(value) },
        },
        name,
    )
}

pub fn aimed<'r>(path: &[&'r str], test: Test<'r>, name: &'r str) -> Targeted<'r, Condition<'r>> {
    Targeted {
        path: path.iter().map(|name| Cow::Borrowed(*name)).collect(),
        item: Condition::Filter(Filter { field: named(name), negated: false, test }),
    }
}
