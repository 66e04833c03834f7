//! FROM, WHERE and LIMIT of a node. Inside another node it is tied to that node's rows by their relationship.

use super::Transform;
use super::columns::always_has_row;
use super::condition;
use super::param::{fixed, number};
use super::writer::SqlWriter;
use crate::catalog::{Cardinality, Relationship};
use crate::plan::condition::Presence;
use crate::plan::embed::Embed;
use crate::plan::read::{Node, NodeRange, Source};
use crate::request::Join;

/// The name of a mutation's or call's rows in the statement.
pub const SOURCE_CTE: &str = "trunkline_source";

/// FROM, with a many-to-many embed's junction.
pub fn from_clause(out: &mut SqlWriter, node: &Node<'_>, within: Option<(&Node<'_>, &Embed<'_>)>) {
    out.sql(" FROM ");
    let own_name = match node.source {
        Source::Relation(name) => {
            out.qualified(name.schema.as_str(), name.name.as_str());
            name.name.as_str()
        }
        Source::Computed { function, row } => {
            out.qualified(function.schema.as_str(), function.name.as_str());
            out.sql("(");
            if let Some((parent, _)) = within {
                out.ident(&parent.alias);
                out.sql("::");
                out.qualified(row.schema.as_str(), row.name.as_str());
            }
            out.sql(")");
            function.name.as_str()
        }
        Source::Returning | Source::Call => {
            out.ident(SOURCE_CTE);
            SOURCE_CTE
        }
    };
    if own_name != node.alias {
        out.sql(" AS ");
        out.ident(&node.alias);
    }
    if let Some(junction) = within.and_then(|(_, embed)| junction_of(embed)) {
        out.sql(", ");
        out.qualified(junction.relation.schema.as_str(), junction.relation.name.as_str());
        out.sql(" AS ");
        out.ident(JUNCTION);
    }
}

/// The junction is named apart: target and junction may have one name in two schemas.
const JUNCTION: &str = "trunkline_junction";

fn junction_of<'a>(embed: &'a Embed<'_>) -> Option<&'a crate::catalog::Junction> {
    match embed.relationship {
        Relationship::Computed(_) => None,
        Relationship::Key(key) => match &key.cardinality {
            Cardinality::ManyToMany(junction) => Some(junction),
            Cardinality::ManyToOne { .. } | Cardinality::OneToMany { .. } | Cardinality::OneToOne { .. } => None,
        },
    }
}

/// An inner embed that is joined filters by its join; any other by a condition.
pub(super) fn is_inner_join(embed: &Embed<'_>) -> bool {
    embed.to_one() && !embed.is_empty()
}

/// How inner embeds restrict a node's rows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum InnerBy {
    /// By their joins, where they have one.
    Joins,
    /// All by conditions: nothing is joined.
    Exists,
}

/// WHERE: the node's conditions, what ties it to its parent, and its inner embeds.
pub fn where_clause(out: &mut SqlWriter, node: &Node<'_>, within: Option<(&Node<'_>, &Embed<'_>)>, inner: InnerBy) {
    let mut next = " WHERE ";
    for condition in &node.conditions {
        out.sql(next);
        next = " AND ";
        condition::condition(out, node, condition);
    }
    if let Some((parent, embed)) = within {
        tie(out, parent, embed, &mut next);
    }
    for embed in &node.embeds {
        let no_condition =
            inner == InnerBy::Joins && (is_inner_join(embed) || !embed.is_empty() && always_has_row(&embed.node));
        if embed.join == Join::Inner && !no_condition {
            out.sql(next);
            next = " AND ";
            exists(out, node, embed);
        }
    }
}

/// The columns that a child's rows share with their parent's.
fn tie(out: &mut SqlWriter, parent: &Node<'_>, embed: &Embed<'_>, next: &mut &'static str) {
    let mut equal = |left: (&str, &str), right: (&str, &str)| {
        out.sql(next);
        *next = " AND ";
        out.ident(left.0);
        out.sql(".");
        out.ident(left.1);
        out.sql(" = ");
        out.ident(right.0);
        out.sql(".");
        out.ident(right.1);
    };
    let key = match embed.relationship {
        Relationship::Computed(_) => return,
        Relationship::Key(key) => key,
    };
    match &key.cardinality {
        Cardinality::ManyToOne { columns, .. }
        | Cardinality::OneToMany { columns, .. }
        | Cardinality::OneToOne { columns, .. } => {
            for (own, theirs) in columns {
                equal((&embed.node.alias, theirs.as_str()), (&parent.alias, own.as_str()));
            }
        }
        Cardinality::ManyToMany(junction) => {
            for (target, middle) in &junction.target_columns {
                equal((&embed.node.alias, target.as_str()), (JUNCTION, middle.as_str()));
            }
            for (origin, middle) in &junction.origin_columns {
                equal((JUNCTION, middle.as_str()), (&parent.alias, origin.as_str()));
            }
        }
    }
}

/// A null filter on an embed.
pub fn embedded(out: &mut SqlWriter, node: &Node<'_>, index: usize, presence: Presence) {
    let Some(embed) = node.embeds.get(index) else { return out.sql("FALSE") };
    if presence == Presence::Absent {
        out.sql("NOT ");
    }
    exists(out, node, embed);
}

/// Whether the embed has rows: a semi-join, so that its conditions can use their indexes.
fn exists(out: &mut SqlWriter, parent: &Node<'_>, embed: &Embed<'_>) {
    let within = Some((parent, embed));
    out.sql("EXISTS (SELECT 1");
    from_clause(out, &embed.node, within);
    where_clause(out, &embed.node, within, InnerBy::Exists);
    if embed.node.range.asked.is_some() {
        limit(out, &NodeRange { rows_max: None, ..embed.node.range }, None);
    }
    out.sql(")");
}

/// LIMIT and OFFSET. A key leads to one row at most, so that `db-max-rows` means nothing there and would keep the join
/// from being flattened.
pub(super) fn limit(out: &mut SqlWriter, range: &NodeRange, embed: Option<&Embed<'_>>) {
    let by_key = embed.is_some_and(|embed| embed.to_one() && matches!(embed.relationship, Relationship::Key(_)));
    let rows_max = if by_key { None } else { range.rows_max };
    let asked = range.asked.unwrap_or_default();
    match (asked.limit, rows_max) {
        (Some(limit), rows_max) => {
            out.sql(" LIMIT ");
            out.bind(number(range.slot, limit, Transform::Limit { rows_max }));
        }
        (None, Some(rows_max)) => {
            out.sql(" LIMIT ");
            out.bind(fixed(&rows_max.to_string()));
        }
        (None, None) => {}
    }
    if range.asked.is_some() {
        out.sql(" OFFSET ");
        out.bind(number(range.slot, asked.offset.into(), Transform::Offset));
    }
}
