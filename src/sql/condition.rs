//! Conditions as SQL: operators, logic, JSON paths, full text. Values are parameters without a type, so that PostgreSQL
//! reads them as the column's.

use super::Transform;
use super::clauses;
use super::param::{fixed, list, operand};
use super::writer::SqlWriter;
use crate::name::QualifiedRoutine;
use crate::plan::condition::{Condition, Filter, TextVector};
use crate::plan::field::{Access, ColumnRef, Value};
use crate::plan::read::Node;
use crate::request::{
    Arrow, Comparison, FullText, IsValue, JsonKey, JsonStep, LogicOperator, Operand, Quantifier, Test,
};

/// A column, or something in it, of the rows called `qualifier`.
pub fn value(out: &mut SqlWriter, qualifier: &str, value: &Value<'_>) {
    if value.column == ColumnRef::Row {
        return out.ident(qualifier);
    }
    let through_jsonb = value.access == Access::ToJsonb && !value.path.is_empty();
    if through_jsonb {
        out.sql("to_jsonb(");
    }
    match value.column {
        ColumnRef::Row => {}
        ColumnRef::Named(column) => {
            out.ident(qualifier);
            out.sql(".");
            out.ident(column);
        }
        ColumnRef::Computed { function, row } => {
            out.qualified(function.schema.as_str(), function.name.as_str());
            out.sql("(");
            out.ident(qualifier);
            out.sql("::");
            out.qualified(row.schema.as_str(), row.name.as_str());
            out.sql(")");
        }
    }
    if through_jsonb {
        out.sql(")");
    }
    json_path(out, value.path);
}

fn json_path(out: &mut SqlWriter, path: &[JsonStep<'_>]) {
    for step in path {
        out.sql(match step.arrow {
            Arrow::Json => "->",
            Arrow::Text => "->>",
        });
        match &step.key {
            JsonKey::Name(name) => out.bind(fixed(name)),
            JsonKey::Index(index) => {
                out.bind(fixed(index));
                out.sql("::int");
            }
        }
    }
}

/// A condition of a node.
pub fn condition(out: &mut SqlWriter, node: &Node<'_>, condition: &Condition<'_>) {
    match condition {
        Condition::Filter(filter) => self::filter(out, &node.alias, filter),
        Condition::Logic { negated, operator, operands } => {
            out.sql(if *negated { "NOT (" } else { "(" });
            for (index, operand) in operands.iter().enumerate() {
                if index > 0 {
                    out.sql(match operator {
                        LogicOperator::And => " AND ",
                        LogicOperator::Or => " OR ",
                    });
                }
                self::condition(out, node, operand);
            }
            out.sql(")");
        }
        Condition::Embedded { embed, presence } => clauses::embedded(out, node, *embed, *presence),
    }
}

/// A filter on the rows called `qualifier`.
pub fn filter(out: &mut SqlWriter, qualifier: &str, filter: &Filter<'_>) {
    if filter.negated {
        out.sql("NOT ");
    }
    match filter.vector {
        TextVector::AsIs => value(out, qualifier, &filter.value),
        TextVector::Made { language } => {
            out.sql("to_tsvector(");
            self::language(out, language);
            value(out, qualifier, &filter.value);
            out.sql(")");
        }
    }
    match filter.test {
        Test::Compare { operator, quantifier, operand } => {
            compare(out, *operator, *quantifier, operand, filter.parse);
        }
        Test::In(items) => {
            let param = list(items);
            out.sql(" = ANY (");
            match filter.parse {
                None => out.bind(param),
                Some(parse) => {
                    out.sql("SELECT ");
                    out.qualified(parse.schema.as_str(), parse.name.as_str());
                    out.sql("(pg_catalog.unnest(");
                    out.bind(param);
                    out.sql("::text[]))");
                }
            }
            out.sql(")");
        }
        Test::Is(what) => out.sql(match what {
            IsValue::Null => " IS NULL",
            IsValue::NotNull => " IS NOT NULL",
            IsValue::True => " IS TRUE",
            IsValue::False => " IS FALSE",
            IsValue::Unknown => " IS UNKNOWN",
        }),
        Test::IsDistinct(from) => {
            out.sql(" IS DISTINCT FROM ");
            out.bind(operand(from, Transform::Verbatim));
        }
        Test::FullText { operator, language, operand: words } => {
            out.sql(match operator {
                FullText::Fts => " @@ to_tsquery(",
                FullText::Plfts => " @@ plainto_tsquery(",
                FullText::Phfts => " @@ phraseto_tsquery(",
                FullText::Wfts => " @@ websearch_to_tsquery(",
            });
            self::language(out, language.as_ref());
            out.bind(operand(words, Transform::Verbatim));
            out.sql(")");
        }
    }
}

fn language(out: &mut SqlWriter, language: Option<&Operand<'_>>) {
    if let Some(language) = language {
        out.bind(operand(language, Transform::Verbatim));
        out.sql(", ");
    }
}

fn compare(
    out: &mut SqlWriter,
    operator: Comparison,
    quantifier: Option<Quantifier>,
    wanted: &Operand<'_>,
    parse: Option<&QualifiedRoutine>,
) {
    out.sql(sign(operator));
    match quantifier {
        None => {}
        Some(Quantifier::Any) => out.sql("ANY ("),
        Some(Quantifier::All) => out.sql("ALL ("),
    }
    match (operator, parse) {
        (Comparison::Like | Comparison::Ilike, _) => {
            out.bind(operand(wanted, Transform::StarToPercent));
        }
        (_, None) => out.bind(operand(wanted, Transform::Verbatim)),
        (_, Some(parse)) => {
            out.qualified(parse.schema.as_str(), parse.name.as_str());
            out.sql("(");
            out.bind(operand(wanted, Transform::Verbatim));
            out.sql(")");
        }
    }
    if quantifier.is_some() {
        out.sql(")");
    }
}

fn sign(operator: Comparison) -> &'static str {
    match operator {
        Comparison::Eq => " = ",
        Comparison::Neq => " <> ",
        Comparison::Gt => " > ",
        Comparison::Gte => " >= ",
        Comparison::Lt => " < ",
        Comparison::Lte => " <= ",
        Comparison::Like => " LIKE ",
        Comparison::Ilike => " ILIKE ",
        Comparison::Match => " ~ ",
        Comparison::Imatch => " ~* ",
        Comparison::Contains => " @> ",
        Comparison::Contained => " <@ ",
        Comparison::Overlaps => " && ",
        Comparison::StrictlyLeft => " << ",
        Comparison::StrictlyRight => " >> ",
        Comparison::NotExtendsRight => " &< ",
        Comparison::NotExtendsLeft => " &> ",
        Comparison::Adjacent => " -|- ",
    }
}
