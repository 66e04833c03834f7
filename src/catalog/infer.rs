//! Foreign keys, views and junctions → the ways from each relation to others. Pure.
//! Owns: which relationships exist and in what order they are offered where a request leaves the choice open.
//! Must not know: how the facts were loaded.
//! Invariant: work grows with the facts and the relationships made of them, never with their square; `steps` counts it.
//! Limits: `limits::RELATIONSHIPS_MAX`, `limits::VIEW_KEY_NAMES_MAX`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::ColumnPair;
use super::load::LoadError;
use super::load_views::TracedView;
use super::relationship::{Cardinality, ComputedRelationship, Junction, KeyRelationship, Relationship, Side};
use crate::limits;
use crate::name::{ColumnName, ConstraintName, QualifiedName};

/// What relationships are inferred from.
#[derive(Debug)]
pub struct Facts<'f> {
    /// The exposed schemas: both ends and the junction of a relationship lie in them.
    pub schemas: &'f [String],
    /// Of all schemas: exposed views may stand on hidden tables.
    pub foreign_keys: &'f [ForeignKey],
    pub views: &'f [TracedView],
    pub primary_keys: &'f HashMap<&'f QualifiedName, &'f [ColumnName]>,
    pub computed: Vec<ComputedRelationship>,
}

#[derive(Clone, Debug)]
pub struct ForeignKey {
    pub constraint: ConstraintName,
    pub origin: Table,
    pub target: Table,
    /// The origin's columns are a primary key or unique.
    pub one_to_one: bool,
    /// In key order.
    pub columns: Vec<KeyColumns>,
}

#[derive(Clone, Debug)]
pub struct Table {
    pub oid: u32,
    pub name: QualifiedName,
}

/// One pair of a foreign key: number and name on either side.
#[derive(Clone, Debug)]
pub struct KeyColumns {
    pub origin: (i16, ColumnName),
    pub target: (i16, ColumnName),
}

#[derive(Debug)]
pub struct Inferred {
    /// By origin, each list in the order in which candidates are offered.
    pub relationships: HashMap<QualifiedName, Vec<Arc<Relationship>>>,
    /// Units of work done: keys, ends of keys and relationships looked at.
    pub steps: usize,
}

pub fn infer(facts: &Facts<'_>) -> Result<Inferred, LoadError> {
    let mut inference = Inference {
        schemas: facts.schemas.iter().map(String::as_str).collect(),
        by_table: views_by_table(facts.views),
        found: Vec::new(),
        steps: 0,
    };
    for key in facts.foreign_keys {
        inference.follow_key(key)?;
    }
    let keys_end = inference.found.len();
    inference.cross_junctions(facts.primary_keys)?;
    inference.invert(keys_end)?;
    let Inference { found, mut steps, .. } = inference;
    let relationships = by_origin(found, &facts.computed, &mut steps);
    Ok(Inferred { relationships, steps })
}

struct Inference<'f> {
    schemas: HashSet<&'f str>,
    by_table: HashMap<u32, Vec<View<'f>>>,
    found: Vec<KeyRelationship>,
    steps: usize,
}

/// A view as one of its tables sees it.
struct View<'f> {
    name: &'f QualifiedName,
    shown: &'f HashMap<i16, Vec<ColumnName>>,
}

/// One end of a foreign key: the table itself or a view that shows all of the key's columns there, under one choice
/// of names.
struct End<'f> {
    name: &'f QualifiedName,
    columns: Vec<ColumnName>,
    is_view: bool,
}

fn views_by_table(views: &[TracedView]) -> HashMap<u32, Vec<View<'_>>> {
    let mut by_table: HashMap<u32, Vec<View<'_>>> = HashMap::new();
    for view in views {
        for (&table, shown) in &view.tables {
            by_table.entry(table).or_default().push(View { name: &view.name, shown });
        }
    }
    by_table
}

impl<'f> Inference<'f> {
    /// Every end that has the key × every end that it refers to.
    fn follow_key(&mut self, key: &'f ForeignKey) -> Result<(), LoadError> {
        let origins = self.ends(&key.origin, key.columns.iter().map(|pair| &pair.origin));
        let targets = self.ends(&key.target, key.columns.iter().map(|pair| &pair.target));
        for origin in &origins {
            for target in &targets {
                let columns: Vec<ColumnPair> =
                    origin.columns.iter().cloned().zip(target.columns.iter().cloned()).collect();
                let constraint = key.constraint.clone();
                let cardinality = if key.one_to_one {
                    Cardinality::OneToOne { constraint, columns, side: Side::Child }
                } else {
                    Cardinality::ManyToOne { constraint, columns }
                };
                self.add(KeyRelationship {
                    origin: origin.name.clone(),
                    target: target.name.clone(),
                    // A view of a table is not the table itself.
                    self_reference: origin.is_view == target.is_view && origin.name == target.name,
                    cardinality,
                    origin_is_view: origin.is_view,
                    target_is_view: target.is_view,
                })?;
            }
        }
        Ok(())
    }

    fn ends(&mut self, table: &'f Table, columns: impl Iterator<Item = &'f (i16, ColumnName)> + Clone) -> Vec<End<'f>> {
        let mut ends = Vec::new();
        if self.schemas.contains(table.name.schema.as_str()) {
            let columns = columns.clone().map(|(_, name)| name.clone()).collect();
            ends.push(End { name: &table.name, columns, is_view: false });
        }
        self.steps += 1;
        for view in self.by_table.get(&table.oid).map_or(&[][..], Vec::as_slice) {
            self.steps += 1;
            let shown: Option<Vec<&[ColumnName]>> =
                columns.clone().map(|(number, _)| view.shown.get(number).map(Vec::as_slice)).collect();
            let Some(shown) = shown else { continue };
            ends.extend(choices(&shown).into_iter().map(|columns| End { name: view.name, columns, is_view: true }));
        }
        ends
    }

    /// Two many-to-one keys of one relation whose columns all belong to its primary key make a many-to-many between
    /// their targets.
    fn cross_junctions(&mut self, primary_keys: &HashMap<&QualifiedName, &[ColumnName]>) -> Result<(), LoadError> {
        let mut by_junction: HashMap<&QualifiedName, Vec<Leg<'_>>> = HashMap::new();
        for relationship in &self.found {
            self.steps += 1;
            let Cardinality::ManyToOne { constraint, columns } = &relationship.cardinality else { continue };
            let key = primary_keys.get(&relationship.origin).copied().unwrap_or_default();
            if columns.iter().all(|(junction_column, _)| key.contains(junction_column)) {
                by_junction.entry(&relationship.origin).or_default().push(Leg { relationship, constraint, columns });
            }
        }
        let mut crossed = Vec::new();
        for legs in by_junction.values() {
            for to_origin in legs {
                for to_target in legs {
                    self.steps += 1;
                    if to_origin.constraint != to_target.constraint {
                        crossed.push(many_to_many(to_origin, to_target));
                    }
                }
                if self.found.len() + crossed.len() > limits::RELATIONSHIPS_MAX {
                    return Err(LoadError::TooManyRelationships);
                }
            }
        }
        self.found.append(&mut crossed);
        Ok(())
    }

    /// The way back of each key; many-to-many was made in both directions.
    fn invert(&mut self, keys_end: usize) -> Result<(), LoadError> {
        let inverses: Vec<KeyRelationship> = self.found.iter().take(keys_end).filter_map(inverse).collect();
        self.steps += inverses.len();
        for relationship in inverses {
            self.add(relationship)?;
        }
        Ok(())
    }

    fn add(&mut self, relationship: KeyRelationship) -> Result<(), LoadError> {
        self.steps += 1;
        if self.found.len() >= limits::RELATIONSHIPS_MAX {
            return Err(LoadError::TooManyRelationships);
        }
        self.found.push(relationship);
        Ok(())
    }
}

/// One key of a junction.
struct Leg<'r> {
    relationship: &'r KeyRelationship,
    constraint: &'r ConstraintName,
    columns: &'r [ColumnPair],
}

fn many_to_many(to_origin: &Leg<'_>, to_target: &Leg<'_>) -> KeyRelationship {
    let origin = &to_origin.relationship.target;
    let target = &to_target.relationship.target;
    KeyRelationship {
        origin: origin.clone(),
        target: target.clone(),
        self_reference: origin == target,
        cardinality: Cardinality::ManyToMany(Junction {
            relation: to_origin.relationship.origin.clone(),
            origin_constraint: to_origin.constraint.clone(),
            target_constraint: to_target.constraint.clone(),
            origin_columns: swapped(to_origin.columns),
            target_columns: swapped(to_target.columns),
        }),
        origin_is_view: to_origin.relationship.target_is_view,
        target_is_view: to_target.relationship.target_is_view,
    }
}

fn inverse(relationship: &KeyRelationship) -> Option<KeyRelationship> {
    let cardinality = match &relationship.cardinality {
        Cardinality::ManyToOne { constraint, columns } => {
            Cardinality::OneToMany { constraint: constraint.clone(), columns: swapped(columns) }
        }
        Cardinality::OneToOne { constraint, columns, side } => {
            let side = match side {
                Side::Child => Side::Parent,
                Side::Parent => Side::Child,
            };
            Cardinality::OneToOne { constraint: constraint.clone(), columns: swapped(columns), side }
        }
        Cardinality::OneToMany { .. } | Cardinality::ManyToMany(_) => return None,
    };
    Some(KeyRelationship {
        origin: relationship.target.clone(),
        target: relationship.origin.clone(),
        self_reference: relationship.self_reference,
        cardinality,
        origin_is_view: relationship.target_is_view,
        target_is_view: relationship.origin_is_view,
    })
}

fn swapped(columns: &[ColumnPair]) -> Vec<ColumnPair> {
    columns.iter().map(|(origin, target)| (target.clone(), origin.clone())).collect()
}

/// Every way to name a key's columns where the view shows some of them more than once.
fn choices(shown: &[&[ColumnName]]) -> Vec<Vec<ColumnName>> {
    let mut choices = vec![Vec::with_capacity(shown.len())];
    for names in shown {
        choices = choices
            .iter()
            .flat_map(|begun| {
                names.iter().map(move |name| {
                    let mut longer = begun.clone();
                    longer.push(name.clone());
                    longer
                })
            })
            .take(limits::VIEW_KEY_NAMES_MAX)
            .collect();
    }
    choices
}

/// Sorts into lists by origin. A computed relationship takes the place of the inferred ones that lead from its
/// origin to a relation of the function's own name.
fn by_origin(
    found: Vec<KeyRelationship>,
    computed: &[ComputedRelationship],
    steps: &mut usize,
) -> HashMap<QualifiedName, Vec<Arc<Relationship>>> {
    let overridden: HashSet<(&QualifiedName, &str, &str)> =
        computed.iter().map(|one| (&one.origin, one.function.schema.as_str(), one.function.name.as_str())).collect();
    let mut lists: HashMap<QualifiedName, Vec<Relationship>> = HashMap::new();
    for relationship in found {
        *steps += 1;
        let target = &relationship.target;
        if !overridden.contains(&(&relationship.origin, target.schema.as_str(), target.name.as_str())) {
            lists.entry(relationship.origin.clone()).or_default().push(Relationship::Key(relationship));
        }
    }
    for relationship in computed {
        *steps += 1;
        lists.entry(relationship.origin.clone()).or_default().push(Relationship::Computed(relationship.clone()));
    }
    let publish = |mut list: Vec<Relationship>| {
        list.sort();
        list.into_iter().map(Arc::new).collect()
    };
    lists.into_iter().map(|(origin, list)| (origin, publish(list))).collect()
}

#[cfg(test)]
mod tests;
