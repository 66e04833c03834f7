//! Tables of keys, views and junctions, and the relationships that follow.

use std::collections::{BTreeMap, HashMap};

use super::*;
use crate::name::QualifiedRoutine;

const SCHEMAS: [&str; 1] = ["api"];

fn table(oid: u32, name: &str) -> Table {
    Table { oid, name: qualified(name) }
}

/// `name` in the exposed schema, `hidden.name` elsewhere.
fn qualified(name: &str) -> QualifiedName {
    match name.split_once('.') {
        Some((schema, name)) => QualifiedName::new(schema, name),
        None => QualifiedName::new("api", name),
    }
}

/// A key from `columns` of one table to columns 1, 2, … (`id`, `id2`, …) of another.
fn key(constraint: &str, origin: &Table, columns: &[(i16, &str)], target: &Table) -> ForeignKey {
    let pair = |(index, &(number, name)): (i16, &(i16, &str))| KeyColumns {
        origin: (number, name.into()),
        target: (index, if index == 1 { "id".into() } else { format!("id{index}").as_str().into() }),
    };
    ForeignKey {
        constraint: constraint.into(),
        origin: origin.clone(),
        target: target.clone(),
        one_to_one: false,
        columns: (1..).zip(columns).map(pair).collect(),
    }
}

/// A view: for each table the columns it shows, by number, and under which name.
fn view(name: &str, shown: &[(u32, i16, &str)]) -> TracedView {
    let mut tables: BTreeMap<u32, HashMap<i16, Vec<ColumnName>>> = BTreeMap::new();
    for &(table, number, name) in shown {
        tables.entry(table).or_default().entry(number).or_default().push(name.into());
    }
    TracedView { oid: 0, name: qualified(name), tables }
}

fn computed(function: &str, origin: &str, target: &str) -> ComputedRelationship {
    ComputedRelationship {
        function: QualifiedRoutine { schema: "api".into(), name: function.into() },
        origin: qualified(origin),
        origin_row: qualified(origin),
        target: qualified(target),
        to_one: false,
        self_reference: origin == target,
    }
}

#[derive(Default)]
struct Given {
    keys: Vec<ForeignKey>,
    views: Vec<TracedView>,
    primary_keys: Vec<(&'static str, Vec<&'static str>)>,
    computed: Vec<ComputedRelationship>,
}

impl Given {
    fn infer(&self) -> Inferred {
        let keys: Vec<(QualifiedName, Vec<ColumnName>)> = self
            .primary_keys
            .iter()
            .map(|(name, columns)| (qualified(name), columns.iter().map(|&column| column.into()).collect()))
            .collect();
        infer(&Facts {
            schemas: &SCHEMAS.map(str::to_owned),
            foreign_keys: &self.keys,
            views: &self.views,
            primary_keys: &keys.iter().map(|(name, columns)| (name, columns.as_slice())).collect(),
            computed: self.computed.clone(),
        })
        .expect("few relationships")
    }
}

fn columns(columns: &[ColumnPair]) -> String {
    let pairs: Vec<String> = columns.iter().map(|(one, other)| format!("{one}={other}")).collect();
    pairs.join(",")
}

fn shown(relationship: &Relationship) -> String {
    let (origin, target) = (relationship.origin().name.clone(), relationship.target().name.clone());
    let how = match relationship {
        Relationship::Computed(computed) => format!("{}()", computed.function.name),
        Relationship::Key(key) => {
            let this = if key.self_reference { " self" } else { "" };
            let how = match &key.cardinality {
                Cardinality::ManyToOne { constraint, columns: pairs } => format!("m2o {constraint} {}", columns(pairs)),
                Cardinality::OneToMany { constraint, columns: pairs } => format!("o2m {constraint} {}", columns(pairs)),
                Cardinality::OneToOne { constraint, columns: pairs, side } => {
                    format!("o2o {side:?} {constraint} {}", columns(pairs))
                }
                Cardinality::ManyToMany(junction) => format!(
                    "m2m {} {}:{} {}:{}",
                    junction.relation.name,
                    junction.origin_constraint,
                    columns(&junction.origin_columns),
                    junction.target_constraint,
                    columns(&junction.target_columns)
                ),
            };
            format!("{how}{this}")
        }
    };
    format!("{origin}>{target} {how}")
}

fn check(given: &Given, expect: &[&str]) {
    let inferred = given.infer();
    let by_origin: BTreeMap<_, _> = inferred.relationships.iter().collect();
    let found: Vec<String> = by_origin.values().flat_map(|list| list.iter().map(|one| shown(one))).collect();
    assert_eq!(found, expect);
}

#[test]
fn a_key_leads_both_ways() {
    let (films, directors) = (table(1, "films"), table(2, "directors"));
    let keys = vec![key("fk", &films, &[(2, "director_id")], &directors)];
    check(
        &Given { keys, ..Given::default() },
        &["directors>films o2m fk id=director_id", "films>directors m2o fk director_id=id"],
    );
}

#[test]
fn a_unique_key_is_one_to_one_on_both_sides() {
    let mut one = key("fk", &table(1, "wiki"), &[(1, "film_id")], &table(2, "films"));
    one.one_to_one = true;
    check(
        &Given { keys: vec![one], ..Given::default() },
        &["films>wiki o2o Parent fk id=film_id", "wiki>films o2o Child fk film_id=id"],
    );
}

#[test]
fn a_table_can_refer_to_itself() {
    let staff = table(1, "staff");
    let keys = vec![key("boss", &staff, &[(2, "boss_id")], &staff)];
    check(
        &Given { keys, ..Given::default() },
        &["staff>staff o2m boss id=boss_id self", "staff>staff m2o boss boss_id=id self"],
    );
}

#[test]
fn hidden_tables_have_no_relationships() {
    let keys = vec![
        key("a", &table(1, "hidden.films"), &[(2, "director_id")], &table(2, "directors")),
        key("b", &table(3, "films"), &[(2, "studio_id")], &table(4, "hidden.studios")),
    ];
    check(&Given { keys, ..Given::default() }, &[]);
}

#[test]
fn views_take_the_place_of_their_tables() {
    let (films, directors) = (table(1, "hidden.films"), table(2, "directors"));
    let keys = vec![key("fk", &films, &[(2, "director_id")], &directors)];
    let views = vec![
        view("film_cards", &[(1, 1, "id"), (1, 2, "by")]),
        view("film_titles", &[(1, 1, "id")]),
        view("director_cards", &[(2, 1, "no")]),
    ];
    check(
        &Given { keys, views, ..Given::default() },
        &[
            "director_cards>film_cards o2m fk no=by",
            "directors>film_cards o2m fk id=by",
            "film_cards>director_cards m2o fk by=no",
            "film_cards>directors m2o fk by=id",
        ],
    );
}

#[test]
fn a_composite_key_needs_all_its_columns_in_a_view() {
    let (lines, orders) = (table(1, "lines"), table(2, "orders"));
    let keys = vec![key("fk", &lines, &[(1, "year"), (2, "number")], &orders)];
    let views = vec![view("half", &[(2, 1, "id")]), view("whole", &[(2, 2, "b"), (2, 1, "a")])];
    check(
        &Given { keys, views, ..Given::default() },
        &[
            "lines>orders m2o fk year=id,number=id2",
            "lines>whole m2o fk year=a,number=b",
            "orders>lines o2m fk id=year,id2=number",
            "whole>lines o2m fk a=year,b=number",
        ],
    );
}

#[test]
fn a_key_shown_twice_can_be_taken_by_either_name() {
    let keys = vec![key("fk", &table(1, "hidden.films"), &[(2, "director_id")], &table(2, "directors"))];
    let views = vec![view("twins", &[(1, 2, "left"), (1, 2, "right")])];
    check(
        &Given { keys, views, ..Given::default() },
        &[
            "directors>twins o2m fk id=left",
            "directors>twins o2m fk id=right",
            "twins>directors m2o fk left=id",
            "twins>directors m2o fk right=id",
        ],
    );
}

#[test]
fn a_view_over_a_self_reference_refers_to_itself_and_to_the_table() {
    let staff = table(1, "staff");
    let keys = vec![key("boss", &staff, &[(2, "boss_id")], &staff)];
    let views = vec![view("people", &[(1, 1, "id"), (1, 2, "boss_id")])];
    check(
        &Given { keys, views, ..Given::default() },
        &[
            "people>people o2m boss id=boss_id self",
            "people>people m2o boss boss_id=id self",
            "people>staff o2m boss id=boss_id",
            "people>staff m2o boss boss_id=id",
            "staff>people o2m boss id=boss_id",
            "staff>people m2o boss boss_id=id",
            "staff>staff o2m boss id=boss_id self",
            "staff>staff m2o boss boss_id=id self",
        ],
    );
}

#[test]
fn a_junction_needs_both_keys_in_its_primary_key() {
    let (roles, films, actors) = (table(1, "roles"), table(2, "films"), table(3, "actors"));
    let keys = vec![key("f", &roles, &[(1, "film_id")], &films), key("a", &roles, &[(2, "actor_id")], &actors)];
    let plain = [
        "actors>roles o2m a id=actor_id",
        "films>roles o2m f id=film_id",
        "roles>actors m2o a actor_id=id",
        "roles>films m2o f film_id=id",
    ];
    check(&Given { keys: keys.clone(), primary_keys: vec![("roles", vec!["film_id"])], ..Given::default() }, &plain);
    check(
        &Given { keys, primary_keys: vec![("roles", vec!["actor_id", "film_id", "since"])], ..Given::default() },
        &[
            "actors>films m2m roles a:id=actor_id f:id=film_id",
            "actors>roles o2m a id=actor_id",
            "films>actors m2m roles f:id=film_id a:id=actor_id",
            "films>roles o2m f id=film_id",
            "roles>actors m2o a actor_id=id",
            "roles>films m2o f film_id=id",
        ],
    );
}

#[test]
fn a_hidden_junction_joins_through_its_view_only() {
    let (roles, films, actors) = (table(1, "hidden.roles"), table(2, "films"), table(3, "actors"));
    let keys = vec![key("f", &roles, &[(1, "film_id")], &films), key("a", &roles, &[(2, "actor_id")], &actors)];
    let primary_keys = vec![("cast", vec!["film", "actor"]), ("hidden.roles", vec!["film_id", "actor_id"])];
    let views = vec![view("cast", &[(1, 1, "film"), (1, 2, "actor")])];
    check(
        &Given { keys, views, primary_keys, ..Given::default() },
        &[
            "actors>cast o2m a id=actor",
            "actors>films m2m cast a:id=actor f:id=film",
            "cast>actors m2o a actor=id",
            "cast>films m2o f film=id",
            "films>actors m2m cast f:id=film a:id=actor",
            "films>cast o2m f id=film",
        ],
    );
}

#[test]
fn a_computed_relationship_overrides_the_inferred_ones_of_its_name() {
    let (films, directors) = (table(1, "films"), table(2, "directors"));
    let keys = vec![key("fk", &films, &[(2, "director_id")], &directors)];
    check(
        &Given { keys, computed: vec![computed("directors", "films", "directors")], ..Given::default() },
        &["directors>films o2m fk id=director_id", "films>directors directors()"],
    );
}

#[test]
fn names_of_a_key_in_a_view_are_bounded() {
    let names: Vec<ColumnName> = (0..100).map(|number| format!("c{number}").as_str().into()).collect();
    assert_eq!(choices(&[&names, &names, &names]).len(), limits::VIEW_KEY_NAMES_MAX);
    assert_eq!(choices(&[&names]).len(), 100);
    assert!(choices(&[&names, &[]]).is_empty());
}

/// Tables with three keys each, a view over every tenth, a junction in every fifth.
fn synthetic(tables: u32) -> Given {
    let name = |number: u32| format!("t{number}");
    let made: Vec<Table> = (0..tables).map(|number| table(number, &name(number))).collect();
    let mut given = Given::default();
    for (number, origin) in (0..tables).zip(&made) {
        for step in 1..=3_u32 {
            let target = &made[((number * 7 + step * 13) % tables) as usize];
            let attnum = i16::try_from(step).expect("small") + 1;
            let column = format!("ref{step}");
            given.keys.push(key(&format!("fk{step}"), origin, &[(attnum, &column)], target));
        }
        if number % 10 == 0 {
            given.views.push(view(&format!("v{number}"), &[(number, 1, "id"), (number, 2, "ref1")]));
        }
        if number % 5 == 0 {
            given.primary_keys.push((name(number).leak(), vec!["ref1", "ref2"]));
        }
    }
    given
}

#[test]
fn work_grows_with_the_number_of_relations() {
    let small = synthetic(1_000).infer();
    let large = synthetic(10_000).infer();
    let count = |inferred: &Inferred| inferred.relationships.values().map(Vec::len).sum::<usize>();
    assert!(count(&large) >= 60_000, "30 000 keys lead both ways");
    assert!(large.steps <= small.steps * 11, "{} steps, then {}", small.steps, large.steps);
    assert!(count(&large) <= count(&small) * 11);
    assert!(large.steps <= count(&large) * 5, "{} steps for {}", large.steps, count(&large));
}
