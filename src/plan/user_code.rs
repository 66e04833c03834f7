//! Whether a read can run code that users wrote. What can't, can't set `response.*` either: its answer's head follows from
//! its rows alone, so nothing needs to be asked after them, and a long one may leave before its end.
//! Errs on the side of yes: whatever isn't a plain column of a relation that the catalog calls quiet counts as code.

use crate::catalog::{Cardinality, Catalog, Relation, Relationship};
use crate::plan::condition::{Condition, Filter};
use crate::plan::field::{ColumnRef, SelectColumn, Value};
use crate::plan::negotiate::AnswerForm;
use crate::plan::order::{OrderOf, OrderTerm};
use crate::plan::read::{Node, ReadPlan, Source};

/// True unless the plan is proved to run none.
pub fn may_run(plan: &ReadPlan<'_>, catalog: &Catalog) -> bool {
    let handler = match plan.answer.form {
        AnswerForm::Array { .. } | AnswerForm::Object { .. } | AnswerForm::Csv => false,
        AnswerForm::GeoJson | AnswerForm::Handler { .. } | AnswerForm::Raw => true,
    };
    handler || node_may_run(&plan.root, catalog)
}

fn node_may_run(node: &Node<'_>, catalog: &Catalog) -> bool {
    let Source::Relation(name) = node.source else { return true };
    let Some(relation) = catalog.relation(name).filter(|relation| !relation.user_code) else { return true };
    node.select.iter().any(|column| !is_plain(column, relation))
        || node.conditions.iter().any(|condition| condition_may_run(condition, relation))
        || node.order.iter().any(|term| order_may_run(term, relation))
        || node
            .embeds
            .iter()
            .any(|embed| junction_may_run(embed.relationship, catalog) || node_may_run(&embed.node, catalog))
}

fn is_plain(column: &SelectColumn<'_>, relation: &Relation) -> bool {
    let builtin = |cast: Option<crate::plan::field::CastType<'_>>| cast.is_none_or(|cast| cast.is_builtin());
    column.representation.is_none()
        && builtin(column.cast)
        && column.aggregate.is_none_or(|aggregate| builtin(aggregate.cast))
        && is_column(&column.value, relation)
}

fn is_column(value: &Value<'_>, relation: &Relation) -> bool {
    match value.column {
        ColumnRef::Named(name) => relation.column(name).is_some(),
        ColumnRef::Row => true,
        ColumnRef::Computed { .. } => false,
    }
}

fn condition_may_run(condition: &Condition<'_>, relation: &Relation) -> bool {
    match condition {
        Condition::Filter(Filter { value, parse, .. }) => parse.is_some() || !is_column(value, relation),
        Condition::Logic { operands, .. } => operands.iter().any(|operand| condition_may_run(operand, relation)),
        // The embed itself is looked at with its node.
        Condition::Embedded { .. } => false,
    }
}

fn order_may_run(term: &OrderTerm<'_>, relation: &Relation) -> bool {
    match term.of {
        OrderOf::Own => !is_column(&term.value, relation),
        OrderOf::Embed(_) => true,
    }
}

fn junction_may_run(relationship: &Relationship, catalog: &Catalog) -> bool {
    match relationship {
        Relationship::Computed(_) => true,
        Relationship::Key(key) => match &key.cardinality {
            Cardinality::ManyToMany(junction) => {
                catalog.relation(&junction.relation).is_none_or(|relation| relation.user_code)
            }
            Cardinality::ManyToOne { .. } | Cardinality::OneToMany { .. } | Cardinality::OneToOne { .. } => false,
        },
    }
}
