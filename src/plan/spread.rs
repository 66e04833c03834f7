//! Aggregates: whether they are allowed, and where those of spreads are computed.
//! An aggregate in a to-one spread is computed by the nearest node above that isn't one, grouped by that node's columns.

use crate::plan::embed::{Embed, EmbedShape};
use crate::plan::field::SelectColumn;
use crate::plan::read::Node;
use crate::plan::refusal::PlanError;

impl<'p> Node<'p> {
    /// Whether the node's rows are groups: an aggregate is among its columns or in a to-one spread below.
    pub fn is_grouped(&self) -> bool {
        self.select.iter().any(has_aggregate) || self.lifts_aggregate()
    }

    fn lifts_aggregate(&self) -> bool {
        self.embeds.iter().any(|embed| embed.shape == EmbedShape::Spread && embed.node.is_grouped())
    }
}

fn has_aggregate(column: &SelectColumn<'_>) -> bool {
    column.aggregate.is_some()
}

/// Refuses aggregates where the configuration does, and in spreads of to-many relationships.
pub fn check_aggregates(root: &Node<'_>, enabled: bool) -> Result<(), PlanError> {
    if !enabled && any_aggregate(root) {
        return Err(PlanError::AggregatesNotAllowed);
    }
    check_arrays(&root.embeds)
}

fn any_aggregate(node: &Node<'_>) -> bool {
    node.select.iter().any(has_aggregate) || node.embeds.iter().any(|embed| any_aggregate(&embed.node))
}

fn check_arrays(embeds: &[Embed<'_>]) -> Result<(), PlanError> {
    for embed in embeds {
        if embed.shape == EmbedShape::SpreadArrays && embed.node.is_grouped() {
            return Err(PlanError::NotImplemented {
                details: "Aggregates are not implemented for one-to-many or many-to-many spreads.",
            });
        }
        check_arrays(&embed.node.embeds)?;
    }
    Ok(())
}
