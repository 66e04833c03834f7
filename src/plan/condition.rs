//! Filters and logic trees on their node: the field resolved, the domain's parser found, null filters on embeds told apart.

use crate::name::QualifiedRoutine;
use crate::plan::embed::Embed;
use crate::plan::field::{Scope, Value};
use crate::request::{self, IsValue, LogicOperator, Operand, Test};

/// A condition of a node.
#[derive(Clone, PartialEq, Debug)]
pub enum Condition<'p> {
    Filter(Filter<'p>),
    Logic {
        negated: bool,
        operator: LogicOperator,
        operands: Vec<Condition<'p>>,
    },
    /// `embed=is.null`, `embed=not.is.null`; the index is the embed's in its node.
    Embedded {
        embed: usize,
        presence: Presence,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Presence {
    Present,
    Absent,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Filter<'p> {
    pub value: Value<'p>,
    pub vector: TextVector<'p>,
    pub negated: bool,
    pub test: &'p Test<'p>,
    /// Function that reads the operand into the column's domain.
    pub parse: Option<&'p QualifiedRoutine>,
}

/// Whether full text search has to make a `tsvector` first.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum TextVector<'p> {
    AsIs,
    Made { language: Option<&'p Operand<'p>> },
}

/// Resolves one condition of the request.
pub fn resolve<'p>(scope: Scope<'p>, embeds: &[Embed<'p>], condition: &'p request::Condition<'p>) -> Condition<'p> {
    match condition {
        request::Condition::Logic { negated, operator, operands } => Condition::Logic {
            negated: *negated,
            operator: *operator,
            operands: operands.iter().map(|operand| resolve(scope, embeds, operand)).collect(),
        },
        request::Condition::Filter(filter) => {
            null_filter(embeds, filter).unwrap_or_else(|| Condition::Filter(of_column(scope, filter)))
        }
    }
}

/// `is.null` on a name that an embed has; any other operator means a column of that name.
fn null_filter<'p>(embeds: &[Embed<'p>], filter: &request::Filter<'p>) -> Option<Condition<'p>> {
    if filter.test != Test::Is(IsValue::Null) || !filter.field.path.is_empty() {
        return None;
    }
    let embed = embeds.iter().position(|embed| embed.key == filter.field.name)?;
    let presence = if filter.negated { Presence::Present } else { Presence::Absent };
    Some(Condition::Embedded { embed, presence })
}

fn of_column<'p>(scope: Scope<'p>, filter: &'p request::Filter<'p>) -> Filter<'p> {
    let column = scope.column(&filter.field.name);
    let vector = match &filter.test {
        Test::FullText { language, .. } if column.is_none_or(|column| column.base_type != "tsvector") => {
            TextVector::Made { language: language.as_ref() }
        }
        Test::FullText { .. } | Test::Compare { .. } | Test::In(_) | Test::Is(_) | Test::IsDistinct(_) => {
            TextVector::AsIs
        }
    };
    Filter {
        value: scope.value(&filter.field),
        vector,
        negated: filter.negated,
        test: &filter.test,
        parse: column.and_then(|column| scope.representation("text", &column.nominal_type)),
    }
}
