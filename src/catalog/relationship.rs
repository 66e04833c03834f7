//! Ways from one relation to another.
//! Invariant: `Ord` is the order in which PostgREST offers candidates where a request leaves the choice open: clients
//! see it in the details and the hint of PGRST201.

use std::cmp::Ordering;

use super::ColumnPair;
use crate::name::{ConstraintName, QualifiedName, QualifiedRoutine, SchemaName};

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Relationship {
    /// From a foreign key, between tables or the views over them.
    Key(KeyRelationship),
    /// From a function of the origin's row type.
    Computed(ComputedRelationship),
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct KeyRelationship {
    pub origin: QualifiedName,
    pub target: QualifiedName,
    pub self_reference: bool,
    pub cardinality: Cardinality,
    pub origin_is_view: bool,
    pub target_is_view: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cardinality {
    ManyToOne { constraint: ConstraintName, columns: Vec<ColumnPair> },
    OneToMany { constraint: ConstraintName, columns: Vec<ColumnPair> },
    OneToOne { constraint: ConstraintName, columns: Vec<ColumnPair>, side: Side },
    ManyToMany(Junction),
}

impl Relationship {
    pub fn origin(&self) -> &QualifiedName {
        match self {
            Self::Key(key) => &key.origin,
            Self::Computed(computed) => &computed.origin,
        }
    }

    pub fn target(&self) -> &QualifiedName {
        match self {
            Self::Key(key) => &key.target,
            Self::Computed(computed) => &computed.target,
        }
    }

    /// Requests to this schema can use it: the target's, but the function's where there is one.
    pub fn schema(&self) -> &SchemaName {
        match self {
            Self::Key(key) => &key.target.schema,
            Self::Computed(computed) => &computed.function.schema,
        }
    }
}

impl Ord for Relationship {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Key(one), Self::Key(two)) => one.cmp(two),
            (Self::Key(_), Self::Computed(_)) => Ordering::Less,
            (Self::Computed(_), Self::Key(_)) => Ordering::Greater,
            (Self::Computed(one), Self::Computed(two)) => one.cmp(two),
        }
    }
}

impl PartialOrd for Relationship {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Cardinality {
    /// One-to-many before many-to-one, one-to-one, many-to-many; then constraints and columns decide.
    fn rank(&self) -> u8 {
        match self {
            Self::OneToMany { .. } => 0,
            Self::ManyToOne { .. } => 1,
            Self::OneToOne { .. } => 2,
            Self::ManyToMany(_) => 3,
        }
    }

    fn key(&self) -> Option<(&ConstraintName, &[ColumnPair], Option<Side>)> {
        match self {
            Self::OneToMany { constraint, columns } | Self::ManyToOne { constraint, columns } => {
                Some((constraint, columns, None))
            }
            Self::OneToOne { constraint, columns, side } => Some((constraint, columns, Some(*side))),
            Self::ManyToMany(_) => None,
        }
    }

    fn junction(&self) -> Option<&Junction> {
        match self {
            Self::ManyToMany(junction) => Some(junction),
            Self::OneToMany { .. } | Self::ManyToOne { .. } | Self::OneToOne { .. } => None,
        }
    }
}

impl Ord for Cardinality {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank()
            .cmp(&other.rank())
            .then_with(|| self.key().cmp(&other.key()))
            .then_with(|| self.junction().cmp(&other.junction()))
    }
}

impl PartialOrd for Cardinality {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Which end of a one-to-one relationship the origin is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Side {
    /// The origin has the foreign key.
    Child,
    /// The origin is referenced.
    Parent,
}

/// The relation in the middle of a many-to-many relationship.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Junction {
    pub relation: QualifiedName,
    /// Constraint from the junction to the origin, and to the target.
    pub origin_constraint: ConstraintName,
    pub target_constraint: ConstraintName,
    /// (origin's column, junction's column)
    pub origin_columns: Vec<ColumnPair>,
    /// (target's column, junction's column)
    pub target_columns: Vec<ColumnPair>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ComputedRelationship {
    pub function: QualifiedRoutine,
    pub origin: QualifiedName,
    /// The origin's row type as the function's parameter names it.
    pub origin_row: QualifiedName,
    pub target: QualifiedName,
    pub to_one: bool,
    pub self_reference: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(target: &str, cardinality: Cardinality) -> Relationship {
        Relationship::Key(KeyRelationship {
            origin: QualifiedName::new("api", "origin"),
            target: QualifiedName::new("api", target),
            self_reference: false,
            cardinality,
            origin_is_view: false,
            target_is_view: false,
        })
    }

    fn one_to_one(constraint: &str, side: Side) -> Cardinality {
        Cardinality::OneToOne { constraint: constraint.into(), columns: vec![("id".into(), "id".into())], side }
    }

    fn junction(relation: &str) -> Cardinality {
        Cardinality::ManyToMany(Junction {
            relation: QualifiedName::new("api", relation),
            origin_constraint: "a".into(),
            target_constraint: "b".into(),
            origin_columns: vec![],
            target_columns: vec![],
        })
    }

    #[test]
    fn candidates_are_offered_in_postgrests_order() {
        let columns = vec![("a".into(), "b".into())];
        let ordered = [
            key("x", Cardinality::OneToMany { constraint: "z".into(), columns: columns.clone() }),
            key("x", Cardinality::ManyToOne { constraint: "a".into(), columns: columns.clone() }),
            key("x", Cardinality::ManyToOne { constraint: "b".into(), columns }),
            key("x", one_to_one("a", Side::Child)),
            key("x", one_to_one("a", Side::Parent)),
            key("x", junction("first")),
            key("x", junction("second")),
            key("y", one_to_one("a", Side::Child)),
            Relationship::Computed(ComputedRelationship {
                function: QualifiedRoutine { schema: "api".into(), name: "a".into() },
                origin: QualifiedName::new("api", "origin"),
                origin_row: QualifiedName::new("api", "origin"),
                target: QualifiedName::new("api", "a"),
                to_one: false,
                self_reference: false,
            }),
        ];
        let mut shuffled = ordered.to_vec();
        shuffled.reverse();
        shuffled.sort();
        assert_eq!(shuffled, ordered);
    }
}
