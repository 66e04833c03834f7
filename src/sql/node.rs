//! A node as SELECT: its list, lateral joins, groups and order. A node inside another is a subquery of it.

use super::clauses::{InnerBy, from_clause, is_inner_join, limit, where_clause};
use super::columns::{Aggregates, Leaf, Mode, Names, PRESENT, What, leaves};
use super::condition;
use super::writer::SqlWriter;
use crate::plan::embed::{Embed, EmbedShape};
use crate::plan::field::{ColumnRef, Reading, SelectColumn, aggregate_name};
use crate::plan::order::OrderOf;
use crate::plan::read::Node;
use crate::request::{Direction, Join, Nulls as NullsOrder};

/// The root's columns as the row writer wants them.
pub(super) fn root_list(out: &mut SqlWriter, root: &Node<'_>, mode: Mode) {
    for (index, leaf) in leaves(root, mode).iter().enumerate() {
        if index > 0 {
            out.sql(", ");
        }
        let (before, after) = match leaf.reading {
            Reading::ByType | Reading::Text | Reading::Json => ("", ""),
            Reading::ToJson => ("pg_catalog.to_json(", ")"),
        };
        out.sql(before);
        expression(out, root, leaf, mode, Aggregates::Own);
        out.sql(after);
    }
}

/// A whole SELECT whose columns have names.
pub(super) fn select(
    out: &mut SqlWriter,
    node: &Node<'_>,
    mode: Mode,
    within: Option<(&Node<'_>, &Embed<'_>)>,
    names: Names,
    aggregates: Aggregates,
) {
    out.sql("SELECT ");
    let with_presence = within.is_some_and(|(_, embed)| embed.shape == EmbedShape::Object && names == Names::Unique);
    if with_presence {
        out.sql("TRUE AS ");
        out.ident(PRESENT);
    }
    let mut first = !with_presence;
    // What selects nothing is joined for its columns' sake: an order names them.
    if within.is_some() && node.select_is_empty() && node.embeds.iter().all(Embed::is_empty) {
        out.sql(if first { "" } else { ", " });
        out.ident(&node.alias);
        out.sql(".*");
    }
    for leaf in leaves(node, mode) {
        out.sql(if first { "" } else { ", " });
        first = false;
        expression(out, node, &leaf, mode, aggregates);
        out.sql(" AS ");
        match names {
            Names::Keys => out.ident(&leaf.key),
            Names::Unique => out.ident(&leaf.name),
        }
    }
    rest(out, node, mode, within, aggregates, usize::from(with_presence));
}

pub(super) fn expression(
    out: &mut SqlWriter,
    node: &Node<'_>,
    leaf: &Leaf<'_, '_>,
    mode: Mode,
    aggregates: Aggregates,
) {
    let aggregate = match aggregates {
        Aggregates::Own => leaf.aggregate,
        Aggregates::Lifted => None,
    };
    let Some(call) = aggregate else { return argument(out, node, leaf, mode) };
    if call.cast.is_some() {
        out.sql("CAST(");
    }
    out.sql(aggregate_name(call.function));
    out.sql("(");
    match &leaf.what {
        What::Column(column) if column.value.column == ColumnRef::Row => out.sql("*"),
        What::Column(_) | What::Rows(_) | What::Row(_) | What::Carried { .. } => {
            argument(out, node, leaf, mode);
        }
    }
    out.sql(")");
    if let Some(cast) = call.cast {
        out.sql(" AS ");
        out.type_name(cast);
        out.sql(")");
    }
}

fn argument(out: &mut SqlWriter, node: &Node<'_>, leaf: &Leaf<'_, '_>, mode: Mode) {
    match &leaf.what {
        What::Column(column) => self::column(out, node, column),
        What::Rows(embed) if node.is_grouped() => {
            out.ident(&embed.joined_as);
            out.sql(".");
            out.ident(&embed.joined_as);
        }
        What::Rows(embed) => {
            out.sql("(");
            aggregated_rows(out, node, embed);
            out.sql(")");
            out.sql(mode.end_of_cast());
        }
        What::Row(embed) => {
            out.sql("pg_catalog.row_to_json(");
            out.ident(&embed.joined_as);
            out.sql(".*)");
            out.sql(mode.end_of_cast());
        }
        What::Carried { embed, name } => {
            out.ident(&embed.joined_as);
            out.sql(".");
            out.ident(name);
        }
    }
}

fn column(out: &mut SqlWriter, node: &Node<'_>, column: &SelectColumn<'_>) {
    if column.cast.is_some() {
        out.sql("CAST(");
    }
    if let Some(function) = column.representation {
        out.qualified(function.schema.as_str(), function.name.as_str());
        out.sql("(");
    }
    condition::value(out, &node.alias, &column.value);
    if column.representation.is_some() {
        out.sql(")");
    }
    if let Some(cast) = column.cast {
        out.sql(" AS ");
        out.type_name(cast);
        out.sql(")");
    }
}

/// `SELECT coalesce(json_agg(…), '[]') AS … FROM (…)`: a to-many embed's rows as one value.
fn aggregated_rows(out: &mut SqlWriter, parent: &Node<'_>, embed: &Embed<'_>) {
    out.sql("SELECT coalesce(pg_catalog.json_agg(");
    out.ident(&embed.joined_as);
    out.sql(if parent.is_grouped() { "), '[]')::jsonb AS " } else { "), '[]') AS " });
    out.ident(&embed.joined_as);
    out.sql(" FROM (");
    select(out, &embed.node, Mode::json(&embed.node), Some((parent, embed)), Names::Keys, Aggregates::Own);
    out.sql(") AS ");
    out.ident(&embed.joined_as);
}

/// Everything after the SELECT list, which has so many columns before the node's own.
pub(super) fn rest(
    out: &mut SqlWriter,
    node: &Node<'_>,
    mode: Mode,
    within: Option<(&Node<'_>, &Embed<'_>)>,
    aggregates: Aggregates,
    columns_before: usize,
) {
    from_clause(out, node, within);
    joins(out, node, mode);
    where_clause(out, node, within, InnerBy::Joins);
    if aggregates == Aggregates::Own {
        group_by(out, node, mode, columns_before);
    }
    order_by(out, node);
    limit(out, &node.range, within.map(|(_, embed)| embed));
}

/// Lateral joins of what is not a correlated subquery. PostgreSQL flattens those of to-one keys into plain joins.
fn joins(out: &mut SqlWriter, node: &Node<'_>, mode: Mode) {
    for (index, embed) in node.embeds.iter().enumerate() {
        let joined = match embed.shape {
            EmbedShape::Array => node.is_grouped() && !embed.is_empty(),
            EmbedShape::ChildRows => false,
            EmbedShape::SpreadArrays => !embed.is_empty(),
            EmbedShape::Object | EmbedShape::Spread => {
                !embed.is_empty() || node.order.iter().any(|term| term.of == OrderOf::Embed(index))
            }
        };
        if !joined {
            continue;
        }
        out.sql(match (embed.join, is_inner_join(embed)) {
            (Join::Inner, true) => " INNER JOIN LATERAL (",
            (Join::Inner, false) | (Join::Left, _) => " LEFT JOIN LATERAL (",
        });
        joined_rows(out, node, embed, mode);
        out.sql(") AS ");
        out.ident(&embed.joined_as);
        out.sql(" ON TRUE");
    }
}

fn joined_rows(out: &mut SqlWriter, node: &Node<'_>, embed: &Embed<'_>, mode: Mode) {
    let within = Some((node, embed));
    let below = mode.below(embed);
    match (embed.shape, mode) {
        (EmbedShape::Array | EmbedShape::ChildRows, _) => aggregated_rows(out, node, embed),
        (EmbedShape::Object, Mode::Flat) => {
            select(out, &embed.node, below, within, Names::Unique, Aggregates::Own);
        }
        (EmbedShape::Object, Mode::Json | Mode::Jsonb) => {
            select(out, &embed.node, below, within, Names::Keys, Aggregates::Own);
        }
        (EmbedShape::Spread, _) => {
            select(out, &embed.node, below, within, Names::Unique, Aggregates::Lifted);
        }
        (EmbedShape::SpreadArrays, _) => {
            out.sql("SELECT ");
            for (index, leaf) in leaves(&embed.node, below).iter().enumerate() {
                out.sql(if index > 0 { ", coalesce(pg_catalog.json_agg(" } else { "coalesce(pg_catalog.json_agg(" });
                out.ident(&embed.joined_as);
                out.sql(".");
                out.ident(&leaf.name);
                out.sql("), '[]')");
                out.sql(mode.end_of_cast());
                out.sql(" AS ");
                out.ident(&leaf.name);
            }
            out.sql(" FROM (");
            select(out, &embed.node, below, within, Names::Unique, Aggregates::Own);
            out.sql(") AS ");
            out.ident(&embed.joined_as);
        }
    }
}

/// Columns as they are read, before `to_json`, which has no equality; by position where a parameter in them would make
/// the group another expression than the column.
fn group_by(out: &mut SqlWriter, node: &Node<'_>, mode: Mode, columns_before: usize) {
    if !node.is_grouped() {
        return;
    }
    let mut next = " GROUP BY ";
    for (index, leaf) in leaves(node, mode).iter().enumerate() {
        if leaf.aggregate.is_some() {
            continue;
        }
        out.sql(next);
        next = ", ";
        match &leaf.what {
            What::Column(column) if column.value.path.is_empty() => {
                self::column(out, node, column);
            }
            What::Carried { .. } => argument(out, node, leaf, mode),
            What::Column(_) | What::Row(_) | What::Rows(_) => {
                out.ordinal(columns_before + index + 1);
            }
        }
    }
    // PostgREST groups by the names of embeds, and PostgreSQL refuses those that have no output.
    for embed in node.embeds.iter().filter(|embed| embed.is_empty()) {
        out.sql(next);
        next = ", ";
        out.ident(embed.key);
    }
}

fn order_by(out: &mut SqlWriter, node: &Node<'_>) {
    for (index, term) in node.order.iter().enumerate() {
        out.sql(if index == 0 { " ORDER BY " } else { ", " });
        let qualifier = match term.of {
            OrderOf::Own => node.alias.as_ref(),
            OrderOf::Embed(embed) => node.embeds.get(embed).map_or("", |embed| embed.joined_as.as_str()),
        };
        condition::value(out, qualifier, &term.value);
        out.sql(match term.direction {
            None => "",
            Some(Direction::Asc) => " ASC",
            Some(Direction::Desc) => " DESC",
        });
        out.sql(match term.nulls {
            None => "",
            Some(NullsOrder::First) => " NULLS FIRST",
            Some(NullsOrder::Last) => " NULLS LAST",
        });
    }
}
