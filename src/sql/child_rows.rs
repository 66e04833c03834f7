//! Parents and the rows of one to-many embed in one result: each parent's row, then its children's.
//! The page of parents is a subquery that numbers its rows, so that PostgreSQL neither flattens it nor runs it in parallel;
//! a lateral UNION ALL makes of each row the parent's and its children's, in a nested loop that keeps the page's order. The
//! first column is twice the parent's number, and one more in its children's rows: the row writer checks it, so that no
//! child can come under another parent, whatever the planner does.

use super::columns::{Aggregates, Mode, leaves};
use super::node::{expression, rest, root_list};
use super::writer::SqlWriter;
use crate::catalog::{Cardinality, ColumnPair, Relationship};
use crate::plan::embed::{Embed, EmbedShape};
use crate::plan::field::Reading;
use crate::plan::read::Node;

/// The parent's number. Long names, as the page has the columns that tie its children to it beside them.
const PARENT: &str = "trunkline_parent";
const ROWS: &str = "trunkline_rows";

/// The embed that comes so, if there is one.
pub(super) fn of<'a, 'p>(root: &'a Node<'p>) -> Option<&'a Embed<'p>> {
    root.embeds.iter().find(|embed| embed.shape == EmbedShape::ChildRows)
}

/// The whole SELECT.
pub(super) fn select(out: &mut SqlWriter, root: &Node<'_>, embed: &Embed<'_>, mode: Mode) {
    out.sql("SELECT ");
    out.ident(ROWS);
    out.sql(".* FROM (");
    page(out, root, embed, mode);
    out.sql(") AS ");
    out.ident(&root.alias);
    out.sql(" CROSS JOIN LATERAL (");
    parent(out, root, embed, mode);
    out.sql(" UNION ALL (");
    children(out, root, embed, mode);
    out.sql(")) AS ");
    out.ident(ROWS);
}

/// The parents in their order, numbered, under their relation's name: the children are tied to it as they would be to the
/// relation.
fn page(out: &mut SqlWriter, root: &Node<'_>, embed: &Embed<'_>, mode: Mode) {
    out.sql("SELECT row_number() OVER () * 2 AS ");
    out.ident(PARENT);
    out.sql(", ");
    out.ident(&root.alias);
    out.sql(".* FROM (SELECT ");
    for (index, leaf) in leaves(root, mode).iter().enumerate() {
        expression(out, root, leaf, mode, Aggregates::Own);
        out.sql(" AS ");
        out.ident(&column_name(index));
        out.sql(", ");
    }
    for (index, (key, _)) in keys(embed).iter().enumerate() {
        out.sql(if index > 0 { ", " } else { "" });
        out.ident(&root.alias);
        out.sql(".");
        out.ident(key.as_str());
    }
    rest(out, root, mode, None, Aggregates::Own, 0);
    out.sql(") AS ");
    out.ident(&root.alias);
}

fn column_name(index: usize) -> String {
    format!("trunkline_column_{index}")
}

/// The parent's columns that its children are tied to, each with theirs.
fn keys<'a>(embed: &Embed<'a>) -> &'a [ColumnPair] {
    match embed.relationship {
        Relationship::Computed(_) => &[],
        Relationship::Key(key) => match &key.cardinality {
            Cardinality::ManyToOne { columns, .. }
            | Cardinality::OneToMany { columns, .. }
            | Cardinality::OneToOne { columns, .. } => columns,
            Cardinality::ManyToMany(junction) => &junction.origin_columns,
        },
    }
}

fn parent(out: &mut SqlWriter, root: &Node<'_>, embed: &Embed<'_>, mode: Mode) {
    out.sql("SELECT ");
    out.ident(&root.alias);
    out.sql(".");
    out.ident(PARENT);
    for (index, leaf) in leaves(root, mode).iter().enumerate() {
        let (before, after) = match leaf.reading {
            Reading::ByType | Reading::Text | Reading::Json => (", ", ""),
            Reading::ToJson => (", pg_catalog.to_json(", ")"),
        };
        out.sql(before);
        out.ident(&root.alias);
        out.sql(".");
        out.ident(&column_name(index));
        out.sql(after);
    }
    nulls(out, &embed.node, mode.below(embed));
}

fn children(out: &mut SqlWriter, root: &Node<'_>, embed: &Embed<'_>, mode: Mode) {
    let below = mode.below(embed);
    out.sql("SELECT ");
    out.ident(&root.alias);
    out.sql(".");
    out.ident(PARENT);
    out.sql(" + 1");
    nulls(out, root, mode);
    out.sql(", ");
    root_list(out, &embed.node, below);
    rest(out, &embed.node, below, Some((root, embed)), Aggregates::Own, 0);
}

/// In place of the node's columns.
fn nulls(out: &mut SqlWriter, node: &Node<'_>, mode: Mode) {
    for _ in leaves(node, mode) {
        out.sql(", NULL");
    }
}
