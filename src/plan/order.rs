//! Order terms on their node; those of related rows on the embed they name.

use crate::plan::embed::Embed;
use crate::plan::field::{Access, ColumnRef, Scope, Value};
use crate::plan::refusal::PlanError;
use crate::request::{self, Direction, Nulls};

#[derive(Clone, PartialEq, Debug)]
pub struct OrderTerm<'p> {
    pub of: OrderOf,
    pub value: Value<'p>,
    pub direction: Option<Direction>,
    pub nulls: Option<Nulls>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrderOf {
    Own,
    /// A to-one embed, by its index in the node: the columns it selects can be ordered by.
    Embed(usize),
}

/// Resolves the terms of a node that reads `relation`.
pub fn resolve<'p>(
    scope: Scope<'p>,
    relation: &str,
    embeds: &[Embed<'p>],
    terms: &'p [request::OrderTerm<'p>],
) -> Result<Vec<OrderTerm<'p>>, PlanError> {
    terms.iter().map(|term| resolve_term(scope, relation, embeds, term)).collect()
}

fn resolve_term<'p>(
    scope: Scope<'p>,
    relation: &str,
    embeds: &[Embed<'p>],
    term: &'p request::OrderTerm<'p>,
) -> Result<OrderTerm<'p>, PlanError> {
    match term {
        request::OrderTerm::Field { field, direction, nulls } => {
            Ok(OrderTerm { of: OrderOf::Own, value: scope.value(field), direction: *direction, nulls: *nulls })
        }
        request::OrderTerm::Related { relation: name, field, direction, nulls } => {
            let index = embeds
                .iter()
                .position(|embed| embed.key == name)
                .ok_or_else(|| PlanError::NotEmbedded { name: name.to_string(), aliased: None })?;
            if embeds.get(index).is_some_and(|embed| !embed.to_one()) {
                return Err(PlanError::RelatedOrderNotToOne { origin: relation.to_owned(), target: name.to_string() });
            }
            Ok(OrderTerm {
                of: OrderOf::Embed(index),
                value: Value { column: ColumnRef::Named(&field.name), path: &field.path, access: Access::Native },
                direction: *direction,
                nulls: *nulls,
            })
        }
    }
}
