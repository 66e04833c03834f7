//! What will be asked of the database: a request's names resolved once, against one catalog snapshot.
//! Must not know: SQL text. Values stay the request's operands; identifiers come from the catalog or are passed on as
//! written, to be quoted, so that PostgreSQL itself says which column does not exist.

pub mod call;
pub mod call_refusal;
pub mod child_rows;
pub mod condition;
pub mod embed;
pub mod field;
pub mod mutate;
pub mod negotiate;
pub mod order;
pub mod payload;
pub mod read;
pub mod refusal;
mod size;
pub mod spread;
pub mod tree;
pub mod user_code;

#[cfg(test)]
pub mod fixture;

pub use call::{CallPlan, plan_call};
pub use mutate::{MutatePlan, plan_mutate};
pub use read::{ReadPlan, plan_read};
pub use refusal::PlanError;

/// What of the configuration planning depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlanSettings {
    /// `db-max-rows`
    pub max_rows: Option<u64>,
    /// `db-aggregates-enabled`
    pub aggregates_enabled: bool,
    /// `url-use-legacy-target-names`
    pub legacy_target_names: bool,
    /// `db-plan-enabled`
    pub plan_enabled: bool,
    /// False where the session's DateStyle isn't ISO: dates are then written by PostgreSQL's own JSON functions.
    pub date_style_iso: bool,
    /// Whether JSON is made of plain rows. False where the rows turned out not to be what the catalog says: PostgreSQL
    /// then makes the body.
    pub row_writer: bool,
}

impl Default for PlanSettings {
    fn default() -> Self {
        Self {
            max_rows: None,
            aggregates_enabled: false,
            legacy_target_names: true,
            plan_enabled: false,
            date_style_iso: true,
            row_writer: true,
        }
    }
}
