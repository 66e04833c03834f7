//! The columns of a node's SELECT: its own, those it takes over from embeds, and what they are called.

use std::borrow::Cow;
use std::collections::HashSet;

use super::Leading;
use crate::json::{ChildRows, FieldForm, OutputColumn, RowShape};
use crate::plan::embed::{Embed, EmbedShape};
use crate::plan::field::{AggregateCall, Reading, SelectColumn};
use crate::plan::read::Node;

/// Tells a joined row from none. Long, so that no message suggests it in place of a misspelt column.
pub(super) const PRESENT: &str = "trunkline_row_is_present";

/// How a node's to-one embeds enter its rows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Their columns among the node's.
    Flat,
    /// One json column each.
    Json,
    /// One jsonb column each: rows can be grouped by them, and text made of them has PostgREST's blanks.
    Jsonb,
}

impl Mode {
    /// Rows that are groups can only be grouped by whole embeds.
    pub(super) fn of(node: &Node<'_>) -> Self {
        if node.is_grouped() { Self::Jsonb } else { Self::Flat }
    }

    pub(super) fn json(node: &Node<'_>) -> Self {
        if node.is_grouped() { Self::Jsonb } else { Self::Json }
    }

    pub(super) fn end_of_cast(self) -> &'static str {
        match self {
            Self::Flat | Self::Json => "",
            Self::Jsonb => "::jsonb",
        }
    }

    pub(super) fn below(self, embed: &Embed<'_>) -> Self {
        match (self, embed.shape) {
            (Self::Json | Self::Jsonb, _) | (_, EmbedShape::Array | EmbedShape::SpreadArrays) => {
                Self::json(&embed.node)
            }
            (Self::Flat, EmbedShape::Spread) => Self::Flat,
            (Self::Flat, EmbedShape::Object | EmbedShape::ChildRows) => Self::of(&embed.node),
        }
    }
}

/// Whether a node computes its aggregates or leaves their arguments to the node above: to-one spreads do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregates {
    Own,
    Lifted,
}

/// What a node's columns are called in its subquery.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// Their keys, as PostgreSQL's JSON functions take them, repeated or not.
    Keys,
    /// Names that the node above can tell apart.
    Unique,
}

/// One column of a node's SELECT list.
pub(super) struct Leaf<'a, 'p> {
    pub key: Cow<'a, str>,
    /// The key, or something else where the key repeats.
    pub name: String,
    pub reading: Reading,
    pub aggregate: Option<AggregateCall<'p>>,
    pub what: What<'a, 'p>,
}

pub(super) enum What<'a, 'p> {
    Column(&'a SelectColumn<'p>),
    /// All rows of a to-many embed, as JSON.
    Rows(&'a Embed<'p>),
    /// The row of a to-one embed, as JSON.
    Row(&'a Embed<'p>),
    /// A column of an embed's subquery.
    Carried {
        embed: &'a Embed<'p>,
        name: String,
    },
}

pub(super) fn leaves<'a, 'p>(node: &'a Node<'p>, mode: Mode) -> Vec<Leaf<'a, 'p>> {
    let mut list: Vec<Leaf<'a, 'p>> = Vec::with_capacity(node.select.len());
    let leaf = |key, reading, aggregate, what| Leaf { key, name: String::new(), reading, aggregate, what };
    for column in &node.select {
        let key = Cow::Borrowed(column.key);
        list.push(leaf(key, column.reading, column.aggregate, What::Column(column)));
    }
    for embed in node.embeds.iter().filter(|embed| !embed.is_empty()) {
        let below = mode.below(embed);
        match (embed.shape, mode) {
            (EmbedShape::Array, _) => {
                list.push(leaf(Cow::Borrowed(embed.key), Reading::Json, None, What::Rows(embed)));
            }
            (EmbedShape::Object, Mode::Json | Mode::Jsonb) => {
                list.push(leaf(Cow::Borrowed(embed.key), Reading::Json, None, What::Row(embed)));
            }
            (EmbedShape::Object, Mode::Flat) => {
                let what = What::Carried { embed, name: PRESENT.to_owned() };
                list.push(leaf(Cow::Borrowed(PRESENT), Reading::ByType, None, what));
                for child in leaves(&embed.node, below) {
                    let what = What::Carried { embed, name: child.name };
                    list.push(leaf(child.key, child.reading, None, what));
                }
            }
            (EmbedShape::Spread, _) => {
                for child in leaves(&embed.node, below) {
                    let what = What::Carried { embed, name: child.name };
                    list.push(leaf(child.key, child.reading, child.aggregate, what));
                }
            }
            (EmbedShape::SpreadArrays, _) => {
                for child in leaves(&embed.node, below) {
                    let what = What::Carried { embed, name: child.name };
                    list.push(leaf(child.key, Reading::Json, None, what));
                }
            }
            (EmbedShape::ChildRows, _) => {}
        }
    }
    name_apart(&mut list);
    list
}

fn name_apart(list: &mut [Leaf<'_, '_>]) {
    // The node itself may have a presence column in front.
    let mut taken = HashSet::from([PRESENT.to_owned()]);
    for (index, leaf) in list.iter_mut().enumerate() {
        leaf.name = if taken.contains(leaf.key.as_ref()) {
            format!("{PRESENT}_{index}")
        } else {
            leaf.key.clone().into_owned()
        };
        taken.insert(leaf.name.clone());
    }
}

/// What the row writer makes of the root's list, in step with `leaves`, and of the child rows.
pub(super) fn row_shape(root: &Node<'_>, mode: Mode, leading: Vec<Leading>) -> RowShape {
    let mut columns = own_output(root);
    let mut children = None;
    for embed in root.embeds.iter().filter(|embed| !embed.is_empty()) {
        if embed.shape == EmbedShape::ChildRows {
            let of_child = output(&embed.node, mode.below(embed));
            children = Some(ChildRows { name: embed.key.to_owned(), before: columns.len(), columns: of_child });
        }
        columns.extend(embed_output(embed, mode));
    }
    RowShape { leading, columns, children }
}

fn output(node: &Node<'_>, mode: Mode) -> Vec<OutputColumn> {
    let mut columns = own_output(node);
    columns.extend(node.embeds.iter().filter(|embed| !embed.is_empty()).flat_map(|embed| embed_output(embed, mode)));
    columns
}

fn own_output(node: &Node<'_>) -> Vec<OutputColumn> {
    node.select.iter().map(|column| field(column.key, column.reading)).collect()
}

fn embed_output(embed: &Embed<'_>, mode: Mode) -> Vec<OutputColumn> {
    let below = mode.below(embed);
    match (embed.shape, mode) {
        (EmbedShape::Array, _) | (EmbedShape::Object, Mode::Json | Mode::Jsonb) => {
            vec![field(embed.key, Reading::Json)]
        }
        (EmbedShape::Object, Mode::Flat) => {
            vec![OutputColumn::Object { name: embed.key.to_owned(), columns: output(&embed.node, below) }]
        }
        (EmbedShape::Spread, _) => output(&embed.node, below),
        (EmbedShape::SpreadArrays, _) => {
            leaves(&embed.node, below).iter().map(|leaf| field(&leaf.key, Reading::Json)).collect()
        }
        (EmbedShape::ChildRows, _) => Vec::new(),
    }
}

fn field(name: &str, reading: Reading) -> OutputColumn {
    let form = match reading {
        Reading::ByType => FieldForm::ByType,
        Reading::Text => FieldForm::Text,
        Reading::Json | Reading::ToJson => FieldForm::Json,
    };
    OutputColumn::Field { name: name.to_owned(), form }
}

/// One group of everything has a row even where there is nothing.
pub(super) fn always_has_row(node: &Node<'_>) -> bool {
    node.is_grouped() && leaves(node, Mode::Json).iter().all(|leaf| leaf.aggregate.is_some())
}
