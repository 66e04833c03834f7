//! A write: what is written into which relation, and what of the written rows is answered.

use crate::catalog::{Cardinality, Catalog, Relation, Relationship};
use crate::name::QualifiedName;
use crate::plan::PlanSettings;
use crate::plan::condition::{self, Condition};
use crate::plan::field::Scope;
use crate::plan::negotiate;
use crate::plan::payload::{self, PayloadRows};
use crate::plan::read::{Maker, Node, NodeRange, Planner, ReadPlan, Selects, Source, Total, Yields, check_preferences};
use crate::plan::refusal::PlanError;
use crate::plan::tree::RootConditions;
use crate::request::prefer::{Missing, Resolution, Return};
use crate::request::{self, Action, ApiRequest, BodyWanted, Comparison, Mutation, Query, SelectItem, Test};

/// The name of the body's rows as PostgreSQL's messages show it: clients read PostgREST's.
pub const BODY_ALIAS: &str = "pgrst_body";

/// A write, ready to be written as SQL.
#[derive(Debug)]
pub struct MutatePlan<'p> {
    pub mutation: Mutation,
    pub relation: &'p Relation,
    pub write: Write<'p>,
    pub returning: Returning<'p>,
    /// The written rows, read like any others. Without `Outcome::Rows` only its media type counts.
    pub read: ReadPlan<'p>,
    pub outcome: Outcome<'p>,
    /// Whether `resolution` has a key to mean something by.
    pub resolvable: bool,
}

/// What is done.
#[derive(Debug)]
pub enum Write<'p> {
    Insert {
        rows: PayloadRows<'p>,
        conflict: Option<Conflict<'p>>,
        /// PUT: which of the body's rows are taken.
        taken: Vec<Condition<'p>>,
    },
    /// The body gives the values, the conditions choose the rows.
    Update {
        values: PayloadRows<'p>,
        conditions: Vec<Condition<'p>>,
    },
    Delete {
        conditions: Vec<Condition<'p>>,
    },
}

/// What becomes of rows that are there already.
#[derive(Debug)]
pub struct Conflict<'p> {
    /// Columns of the unique key; none where there is none to name, and then nothing is resolved.
    pub columns: Vec<&'p str>,
    pub resolution: Resolution,
}

/// Columns of the written rows that are needed afterwards.
#[derive(PartialEq, Eq, Debug)]
pub enum Returning<'p> {
    Nothing,
    All,
    Columns(Vec<&'p str>),
}

/// What is answered.
#[derive(PartialEq, Eq, Debug)]
pub enum Outcome<'p> {
    /// How many rows were written.
    Count,
    /// That, and of one row the values of these columns: its `Location`.
    Location(Vec<&'p str>),
    /// The rows.
    Rows,
}

/// Plans POST, PUT, PATCH and DELETE of a relation.
pub fn plan_mutate<'p>(
    request: &'p ApiRequest<'p>,
    catalog: &'p Catalog,
    settings: PlanSettings,
) -> Result<MutatePlan<'p>, PlanError> {
    let Action::Mutate { relation: name, mutation } = &request.action else {
        // Not a write: there is no relation to name.
        return Err(PlanError::relation_not_found(catalog, &QualifiedName::new(&request.schema, "")));
    };
    let wanted = QualifiedName::new(&request.schema, name);
    let relation = catalog.relation(&wanted).ok_or_else(|| PlanError::relation_not_found(catalog, &wanted))?;
    // What was written is answered in full.
    let settings = PlanSettings { max_rows: None, ..settings };
    let planner = Planner { catalog, settings, schema: &wanted.schema };
    let (mut root, warnings) = planner.tree(
        &request.query,
        Source::Returning,
        relation.name.name.as_str(),
        relation,
        RootConditions::Written,
    )?;
    let scope = Scope { catalog, relation: Some(relation), settings };
    let write = write(*mutation, request, relation, scope)?;
    check_preferences(request)?;
    let answer = negotiate::negotiate(
        catalog,
        &relation.name,
        &request.accept,
        planner.selection(&request.query, relation),
        settings.plan_enabled,
    )?;
    let returning = match request.preferences.representation {
        None | Some(Return::Minimal) => Returning::Nothing,
        Some(Return::HeadersOnly | Return::Representation) => needed(&request.query, &root, scope, relation),
    };
    if request.query.select.as_ref().is_some_and(Vec::is_empty)
        && let Returning::Columns(columns) = &returning
    {
        root.select.retain(|column| columns.contains(&column.key));
        root.select.sort_unstable_by_key(|column| column.key);
    }
    let outcome = match (request.preferences.representation, mutation) {
        (Some(Return::Representation), _) => Outcome::Rows,
        (Some(Return::HeadersOnly), Mutation::Insert) => Outcome::Location(location_columns(&returning, relation)),
        (Some(Return::HeadersOnly), Mutation::Update | Mutation::Delete | Mutation::SingleUpsert)
        | (None | Some(Return::Minimal), _) => Outcome::Count,
    };
    let maker = if settings.row_writer { Maker::RowWriter } else { Maker::Database };
    let read =
        ReadPlan { root, body: BodyWanted::Full, answer, maker, yields: Yields::Rows, total: Total::Unasked, warnings };
    let resolvable = !relation.primary_key.is_empty() || request.query.on_conflict.is_some();
    Ok(MutatePlan { mutation: *mutation, relation, write, returning, read, outcome, resolvable })
}

fn write<'p>(
    mutation: Mutation,
    request: &'p ApiRequest<'p>,
    relation: &'p Relation,
    scope: Scope<'p>,
) -> Result<Write<'p>, PlanError> {
    let (query, preferences) = (&request.query, &request.preferences);
    let columns = query.columns.as_deref().unwrap_or_default();
    let body = |missing| payload::resolve(scope, relation, request.payload.as_ref(), columns, missing);
    let missing = preferences.missing.unwrap_or(Missing::Null);
    match mutation {
        Mutation::Insert => {
            let conflict = preferences.resolution.map(|resolution| Conflict {
                columns: match &query.on_conflict {
                    Some(columns) => columns.iter().map(AsRef::as_ref).collect(),
                    None => key_columns(relation),
                },
                resolution,
            });
            Ok(Write::Insert { rows: body(missing)?, conflict, taken: Vec::new() })
        }
        Mutation::SingleUpsert => {
            if !names_one_row(query, relation) {
                return Err(PlanError::PutFilters);
            }
            let rows = body(Missing::Null)?;
            let conflict = Conflict { columns: key_columns(relation), resolution: Resolution::MergeDuplicates };
            Ok(Write::Insert { rows, conflict: Some(conflict), taken: conditions(query, scope) })
        }
        Mutation::Update => {
            let values = body(missing)?;
            Ok(Write::Update { values, conditions: conditions(query, scope) })
        }
        Mutation::Delete => Ok(Write::Delete { conditions: conditions(query, scope) }),
    }
}

fn key_columns(relation: &Relation) -> Vec<&str> {
    relation.primary_key.iter().map(|column| column.as_str()).collect()
}

/// Whether the filters are the primary key's columns, each compared with `eq`, and nothing else.
fn names_one_row(query: &Query<'_>, relation: &Relation) -> bool {
    let key = |condition: &request::Condition<'_>| match condition {
        request::Condition::Filter(filter) => {
            let equals = matches!(filter.test, Test::Compare { operator: Comparison::Eq, quantifier: None, .. });
            equals
                && !filter.negated
                && filter.field.path.is_empty()
                && relation.primary_key.iter().any(|column| column.as_str() == filter.field.name)
        }
        request::Condition::Logic { .. } => false,
    };
    let given = |column: &str| {
        query.conditions.iter().any(|aimed| match &aimed.item {
            request::Condition::Filter(filter) => filter.field.name == column,
            request::Condition::Logic { .. } => false,
        })
    };
    !relation.primary_key.is_empty()
        && query.conditions.iter().all(|aimed| aimed.path.is_empty() && key(&aimed.item))
        && relation.primary_key.iter().all(|column| given(column.as_str()))
}

/// The root's conditions, filters before logic trees as in PostgREST: which of two broken ones is reported depends on it.
fn conditions<'p>(query: &'p Query<'p>, scope: Scope<'p>) -> Vec<Condition<'p>> {
    let root = || query.conditions.iter().filter(|aimed| aimed.path.is_empty()).map(|aimed| &aimed.item);
    let filters = root().filter(|item| matches!(item, request::Condition::Filter(_)));
    let trees = root().filter(|item| matches!(item, request::Condition::Logic { .. }));
    filters.chain(trees).map(|item| condition::resolve(scope, &[], item)).collect()
}

/// Columns that the answer needs: those selected, those that embeds hang on, and the key. Asking for more would need
/// more privileges.
fn needed<'p>(query: &'p Query<'p>, root: &Node<'p>, scope: Scope<'p>, relation: &'p Relation) -> Returning<'p> {
    let computed = root.embeds.iter().any(|embed| matches!(embed.relationship, Relationship::Computed(_)));
    let mut columns = key_columns(relation);
    let mut stars = query.select.is_none();
    for item in query.select.iter().flatten() {
        match item {
            SelectItem::Field(field) if field.field.name == "*" => stars = true,
            SelectItem::Field(field) => columns.push(&field.field.name),
            SelectItem::Embed { .. } | SelectItem::Spread { .. } => {}
        }
    }
    if computed || stars && !scope.has_representations() || columns.is_empty() && root.embeds.is_empty() {
        return Returning::All;
    }
    if stars {
        columns.extend(relation.columns.iter().map(|column| column.name.as_str()));
    }
    for embed in &root.embeds {
        let Relationship::Key(key) = embed.relationship else { continue };
        let pairs = match &key.cardinality {
            Cardinality::ManyToOne { columns, .. }
            | Cardinality::OneToMany { columns, .. }
            | Cardinality::OneToOne { columns, .. } => columns,
            Cardinality::ManyToMany(junction) => &junction.origin_columns,
        };
        columns.extend(pairs.iter().map(|(own, _)| own.as_str()));
    }
    columns.sort_unstable();
    columns.dedup();
    Returning::Columns(columns)
}

/// The key's columns in the order in which the row has them.
fn location_columns<'p>(returning: &Returning<'p>, relation: &'p Relation) -> Vec<&'p str> {
    let mut key = key_columns(relation);
    match returning {
        Returning::All => key.sort_by_key(|column| relation.column_index.get(*column)),
        Returning::Columns(_) | Returning::Nothing => key.sort_unstable(),
    }
    key
}

impl<'p> MutatePlan<'p> {
    /// The rows that conditions choose from: the relation's own, or for PUT the body's.
    pub fn chosen_from(&self) -> Node<'p> {
        let (alias, conditions) = match &self.write {
            Write::Insert { taken, .. } => (BODY_ALIAS, taken),
            Write::Update { conditions, .. } | Write::Delete { conditions } => {
                (self.relation.name.name.as_str(), conditions)
            }
        };
        Node {
            source: Source::Relation(&self.relation.name),
            alias: alias.into(),
            select: Vec::new(),
            selects: Selects::Nothing,
            embeds: Vec::new(),
            conditions: conditions.clone(),
            order: Vec::new(),
            range: NodeRange::default(),
        }
    }

    /// Whether inserted rows are told from updated ones.
    pub fn counts_inserted(&self) -> bool {
        match &self.write {
            Write::Insert { conflict: Some(conflict), .. } => conflict.resolution == Resolution::MergeDuplicates,
            Write::Insert { conflict: None, .. } | Write::Update { .. } | Write::Delete { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ApiError;
    use crate::plan::fixture::{self, aimed, column, embed, equals, select};
    use crate::request::payload::{JsonShape, Payload};
    use crate::request::prefer::{Handling, Preferences};
    use crate::request::{IsValue, Join};

    fn request(relation: &'static str, mutation: Mutation, keys: &[&'static str]) -> ApiRequest<'static> {
        let mut request = fixture::get(relation, Query::default());
        request.action = Action::Mutate { relation: relation.into(), mutation };
        let keys = keys.iter().map(|&key| key.into()).collect();
        request.payload = Some(Payload::Json { raw: b"{}".as_slice().into(), keys, shape: JsonShape::Object });
        request
    }

    fn refused(request: &ApiRequest<'_>) -> Option<String> {
        let catalog = fixture::catalog();
        plan_mutate(request, &catalog, PlanSettings::default()).err().map(|error| error.code().name.into_owned())
    }

    #[test]
    fn put_takes_the_key_and_nothing_else() {
        let check = |conditions: &[fn() -> request::Targeted<'static, request::Condition<'static>>], expect| {
            let mut put = request("crew", Mutation::SingleUpsert, &["id", "name"]);
            put.query.conditions = conditions.iter().map(|condition| condition()).collect();
            assert_eq!(refused(&put).is_none(), expect);
        };
        let id = || equals(&[], "id", "1");
        check(&[id], true);
        check(&[id, id], true);
        check(&[], false);
        check(&[id, || equals(&[], "name", "x")], false);
        check(&[|| equals(&[], "name", "x")], false);
        check(&[|| aimed(&[], Test::Is(IsValue::Null), "id")], false);
        let keyless = request("assignments", Mutation::SingleUpsert, &["vessel_id"]);
        assert_eq!(refused(&keyless).as_deref(), Some("PGRST105"));
    }

    #[test]
    fn refusals_come_in_order() {
        let mut one = request("crew", Mutation::Insert, &["id", "nope"]);
        assert_eq!(refused(&one).as_deref(), Some("PGRST204"));
        let invalid = vec!["what=ever".into()];
        one.preferences = Preferences { handling: Some(Handling::Strict), invalid, ..Preferences::default() };
        assert_eq!(refused(&one).as_deref(), Some("PGRST204"));
        one.payload = None;
        assert_eq!(refused(&one).as_deref(), Some("PGRST122"));
        one.action = Action::Mutate { relation: "nothing".into(), mutation: Mutation::Insert };
        assert_eq!(refused(&one).as_deref(), Some("PGRST205"));
    }

    #[test]
    fn only_needed_columns_are_returned() {
        let check = |representation, query, expect: Returning<'_>| {
            let catalog = fixture::catalog();
            let mut one = request("vessels", Mutation::Update, &["name"]);
            one.query = query;
            one.preferences.representation = representation;
            let plan = plan_mutate(&one, &catalog, PlanSettings::default()).expect("a plan");
            assert_eq!(plan.returning, expect);
        };
        let full = Some(Return::Representation);
        check(None, select([column("name")]), Returning::Nothing);
        check(full, Query::default(), Returning::All);
        check(full, select([column("name"), column("*")]), Returning::All);
        check(full, select([column("name")]), Returning::Columns(vec!["id", "name"]));
        check(full, select([]), Returning::Columns(vec!["id"]));
        let embeds = select([column("name"), embed("operators", Some(Join::Left), [column("name")])]);
        check(full, embeds, Returning::Columns(vec!["id", "name", "operator_id"]));
    }
}
