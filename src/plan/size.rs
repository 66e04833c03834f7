//! How many subqueries a read becomes, and a limit on it.
//! Null filters and inner embeds are written as EXISTS wherever they are named, with those of the embeds below inside: a
//! few of them on every level of a deep `select` would multiply to a statement without bounds.
//! Limits: `limits::SUBQUERIES_MAX`.

use crate::limits;
use crate::plan::condition::Condition;
use crate::plan::read::Node;
use crate::plan::refusal::PlanError;
use crate::request::Join;

/// Refuses a tree that would become too large a statement.
pub fn check(root: &Node<'_>) -> Result<(), PlanError> {
    if Size::of(root).rows > limits::SUBQUERIES_MAX {
        return Err(PlanError::NotImplemented {
            details: "Null filters and inner joins of nested resources multiply to too many subqueries.",
        });
    }
    Ok(())
}

/// Subqueries of a node where its rows are read, and where only their existence counts.
struct Size {
    rows: u64,
    exists: u64,
}

impl Size {
    fn of(node: &Node<'_>) -> Self {
        let mut size = Self { rows: 1, exists: 1 };
        for (index, embed) in node.embeds.iter().enumerate() {
            let below = Self::of(&embed.node);
            let mut named = u64::from(embed.join == Join::Inner);
            for condition in &node.conditions {
                named = named.saturating_add(times_named(condition, index));
            }
            let exists = named.saturating_mul(below.exists);
            size.exists = size.exists.saturating_add(exists);
            size.rows = size.rows.saturating_add(exists).saturating_add(below.rows);
        }
        size
    }
}

fn times_named(condition: &Condition<'_>, index: usize) -> u64 {
    match condition {
        Condition::Filter(_) => 0,
        Condition::Embedded { embed, .. } => u64::from(*embed == index),
        Condition::Logic { operands, .. } => operands.iter().map(|operand| times_named(operand, index)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::fixture::{self, aimed, catalog, column, embed, select};
    use crate::plan::{PlanError, PlanSettings, plan_read};
    use crate::request::{IsValue, Join, Test};

    /// `vessels!inner(operators!inner(vessels!inner(…)))`, each named in `filters` null filters.
    fn check(depth: usize, filters: usize, fits: bool) {
        let names = ["operators", "vessels"];
        let mut item = column("id");
        for level in (0..depth).rev() {
            item = embed(names[level % 2], Some(Join::Inner), [item]);
        }
        let mut query = select([item]);
        let path: Vec<&str> = (0..depth).map(|level| names[level % 2]).collect();
        for level in 0..depth {
            for _ in 0..filters {
                query.conditions.push(aimed(&path[..level], Test::Is(IsValue::Null), path[level]));
            }
        }
        let request = fixture::get("vessels", query);
        let (catalog, settings) = (catalog(), PlanSettings::default());
        let planned = plan_read(&request, &catalog, settings);
        match planned {
            Ok(plan) => {
                assert!(fits, "{depth} {filters}");
                assert!(crate::sql::read::read_statement(&plan).text.len() < 4_000_000);
            }
            Err(error) => assert!(!fits && matches!(error, PlanError::NotImplemented { .. }), "{depth} {error:?}"),
        }
    }

    #[test]
    fn nesting_is_bounded() {
        check(1, 0, true);
        check(60, 0, true);
        check(5, 1, true);
        check(5, 3, true);
        check(20, 1, false);
        check(60, 60, false);
    }
}
