//! Which relationship a `select` item means, and what the embed becomes.

use std::sync::Arc;

use crate::catalog::{Cardinality, Catalog, ColumnPair, Relationship};
use crate::name::QualifiedName;
use crate::plan::read::Node;
use crate::plan::refusal::PlanError;
use crate::plan::tree::{EmbedRequest, Shape};
use crate::request::Join;

/// A relation's rows inside those of another.
#[derive(Clone, PartialEq, Debug)]
pub struct Embed<'p> {
    /// Its key in the parent's object; also its name in null filters and related orders.
    pub key: &'p str,
    /// The name of its rows where the parent joins them: PostgreSQL's messages show it.
    pub joined_as: String,
    pub relationship: &'p Relationship,
    pub join: Join,
    pub shape: EmbedShape,
    pub node: Node<'p>,
}

/// How the child's rows enter the parent's row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EmbedShape {
    /// to-one: `"client": {…}` or null
    Object,
    /// to-many: `"tasks": […]`
    Array,
    /// to-many: as `Array`, its rows behind their parent's among the statement's (`plan::child_rows`)
    ChildRows,
    /// to-one: the child's columns among the parent's
    Spread,
    /// to-many: each of the child's columns an array among the parent's columns
    SpreadArrays,
}

impl Embed<'_> {
    pub fn to_one(&self) -> bool {
        match self.shape {
            EmbedShape::Object | EmbedShape::Spread => true,
            EmbedShape::Array | EmbedShape::ChildRows | EmbedShape::SpreadArrays => false,
        }
    }

    /// An embed that selects nothing, all the way down: it filters and has no key in the output.
    pub fn is_empty(&self) -> bool {
        self.node.select_is_empty() && self.node.embeds.iter().all(Embed::is_empty)
    }
}

/// The shape an embed takes over this relationship.
pub fn shape_over(asked: Shape, relationship: &Relationship) -> EmbedShape {
    let to_one = match relationship {
        Relationship::Computed(computed) => computed.to_one,
        Relationship::Key(key) => match key.cardinality {
            Cardinality::ManyToOne { .. } | Cardinality::OneToOne { .. } => true,
            Cardinality::OneToMany { .. } | Cardinality::ManyToMany(_) => false,
        },
    };
    match (asked, to_one) {
        (Shape::Nested, true) => EmbedShape::Object,
        (Shape::Nested, false) => EmbedShape::Array,
        (Shape::Spread, true) => EmbedShape::Spread,
        (Shape::Spread, false) => EmbedShape::SpreadArrays,
    }
}

/// The one relationship from `origin` that the embed names, among those of the request's schema.
pub fn find<'p>(
    catalog: &'p Catalog,
    origin: &QualifiedName,
    asked: &EmbedRequest<'_>,
) -> Result<&'p Relationship, PlanError> {
    let found: Vec<&Relationship> = catalog
        .relationships_from(origin)
        .iter()
        .map(Arc::as_ref)
        .filter(|relationship| *relationship.schema() == origin.schema)
        .filter(|relationship| fits(relationship, asked.target, asked.hint))
        .collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(PlanError::no_relationship(
            catalog,
            origin.schema.as_str(),
            origin.name.as_str(),
            asked.target,
            asked.hint,
        )),
        several => Err(PlanError::ambiguous(origin.name.as_str(), asked.target, several)),
    }
}

fn fits(relationship: &Relationship, target: &str, hint: Option<&str>) -> bool {
    let key = match relationship {
        Relationship::Computed(computed) => return computed.function.name.as_str() == target,
        Relationship::Key(key) => key,
    };
    let link = Link::of(&key.cardinality);
    let names_target = key.target.name.as_str() == target;
    // A relation that refers to itself has one key and two directions: the relation's name means its children, the
    // key's column the parent.
    match (key.self_reference, hint) {
        (true, None) => match key.cardinality {
            Cardinality::OneToMany { .. } => names_target,
            Cardinality::ManyToOne { .. } => link.has_own_column(target),
            Cardinality::OneToOne { .. } | Cardinality::ManyToMany(_) => false,
        },
        (true, Some(hint)) => {
            names_target && matches!(key.cardinality, Cardinality::OneToMany { .. }) && link.has_their_column(hint)
        }
        (false, None) => {
            names_target || !key.target_is_view && (link.is_constraint(target) || link.has_own_column(target))
        }
        (false, Some(hint)) => {
            names_target
                && (link.is_constraint(hint)
                    || link.has_own_column(hint)
                    || link.has_their_column(hint)
                    || link.is_junction(hint))
        }
    }
}

/// What a hint can name.
enum Link<'p> {
    Columns { constraint: &'p str, pairs: &'p [ColumnPair] },
    Junction(&'p str),
}

impl<'p> Link<'p> {
    fn of(cardinality: &'p Cardinality) -> Self {
        match cardinality {
            Cardinality::ManyToOne { constraint, columns }
            | Cardinality::OneToMany { constraint, columns }
            | Cardinality::OneToOne { constraint, columns, .. } => {
                Self::Columns { constraint: constraint.as_str(), pairs: columns }
            }
            Cardinality::ManyToMany(junction) => Self::Junction(junction.relation.name.as_str()),
        }
    }

    fn is_constraint(&self, name: &str) -> bool {
        matches!(self, Self::Columns { constraint, .. } if *constraint == name)
    }

    fn is_junction(&self, name: &str) -> bool {
        matches!(self, Self::Junction(junction) if *junction == name)
    }

    /// Of keys of one column only.
    fn has_own_column(&self, name: &str) -> bool {
        matches!(self, Self::Columns { pairs: [(own, _)], .. } if own.as_str() == name)
    }

    fn has_their_column(&self, name: &str) -> bool {
        matches!(self, Self::Columns { pairs: [(_, theirs)], .. } if theirs.as_str() == name)
    }
}
