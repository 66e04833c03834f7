//! Exact, planned and estimated totals: the root's rows that match, without range, columns or order.
//! Inner joins count as conditions, so that a row is counted once.

use super::clauses::{InnerBy, from_clause, where_clause};
use super::param::fixed;
use super::writer::SqlWriter;
use super::{ResultShape, Statement, explain};
use crate::plan::read::{Node, ReadPlan, Total};

/// Writes `SELECT count(*) AS total …`; `rows_max` stops it one past that many rows.
pub fn total(out: &mut SqlWriter, root: &Node<'_>, rows_max: Option<u64>) {
    out.sql("SELECT pg_catalog.count(*) AS total");
    let Some(rows_max) = rows_max else { return matching(out, root) };
    out.sql(" FROM (SELECT");
    matching(out, root);
    out.sql(" LIMIT ");
    out.bind(fixed(&rows_max.saturating_add(1).to_string()));
    out.sql(") AS counted");
}

fn matching(out: &mut SqlWriter, root: &Node<'_>) {
    from_clause(out, root, None);
    where_clause(out, root, None, InnerBy::Exists);
}

/// The planner's estimate of the total: one row, an EXPLAIN in JSON whose top node's `Plan Rows` is the estimate.
/// `None` where the plan's total needs none. For `Total::Estimated` it is needed only if the exact count is past
/// `rows_max`.
pub fn explain_statement(plan: &ReadPlan<'_>) -> Option<Statement> {
    match plan.total {
        Total::Unasked | Total::PageRows | Total::Exact => return None,
        Total::Planned | Total::Estimated { .. } => {}
    }
    let mut out = SqlWriter::default();
    explain::estimate(&mut out);
    out.sql("SELECT 1");
    matching(&mut out, &plan.root);
    let (text, params) = out.finish();
    Some(Statement { text, params, result: ResultShape::PlanLines })
}
