//! Following a standard path (RFC 9535, section 2.3) until its first node.
//! Limits: a walk visits `NODES_MAX` nodes; beyond that nothing is found.

use std::cell::Cell;
use std::cmp::Ordering;

use super::{
    Comparison, Condition, Operand, Origin, Query, Reach, Segment, Select, Selector, Step, Subject, Test, Wanted,
};
use crate::json::decimal::Decimal;
use crate::json::value::Value;

/// Nodes one evaluation may visit: `$..*..*` multiplies, and the claims come from outside.
const NODES_MAX: u32 = 100_000;

/// The first node of the query's list.
pub fn first<'v, 't>(query: &Query, claims: &'v Value<'t>) -> Option<&'v Value<'t>> {
    Walk { root: claims, nodes_left: Cell::new(NODES_MAX) }.first(query, claims)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Continue,
    Stop,
}

/// One evaluation: nodes are handed to `found` in the order of the RFC's node list, until it says stop.
struct Walk<'v, 't> {
    root: &'v Value<'t>,
    nodes_left: Cell<u32>,
}

type Found<'f, 'v, 't> = &'f mut dyn FnMut(&'v Value<'t>) -> Flow;

impl<'v, 't> Walk<'v, 't> {
    fn query(&self, query: &Query, current: &'v Value<'t>, found: Found<'_, 'v, 't>) -> Flow {
        let from = match query.origin {
            Origin::Root => self.root,
            Origin::Current => current,
        };
        self.segments(&query.segments, from, found)
    }

    fn segments(&self, segments: &[Segment], node: &'v Value<'t>, found: Found<'_, 'v, 't>) -> Flow {
        let Some((segment, rest)) = segments.split_first() else {
            return found(node);
        };
        match segment.reach {
            Reach::Children => self.select(&segment.select, rest, node, found),
            Reach::Descendants => self.descend(&segment.select, rest, node, found),
        }
    }

    fn descend(&self, select: &Select, rest: &[Segment], node: &'v Value<'t>, found: Found<'_, 'v, 't>) -> Flow {
        if self.select(select, rest, node, found) == Flow::Stop {
            return Flow::Stop;
        }
        each_child(node, &mut |child| self.descend(select, rest, child, found))
    }

    fn select(&self, select: &Select, rest: &[Segment], node: &'v Value<'t>, found: Found<'_, 'v, 't>) -> Flow {
        let Some(left) = self.nodes_left.get().checked_sub(1) else {
            return Flow::Stop;
        };
        self.nodes_left.set(left);
        let mut next = |child| self.segments(rest, child, found);
        match select {
            Select::Dotted(name) => node.member(name).map_or(Flow::Continue, next),
            Select::DottedWildcard => each_child(node, &mut next),
            Select::Bracketed(selectors) => {
                for selector in selectors {
                    if self.selector(selector, node, &mut next) == Flow::Stop {
                        return Flow::Stop;
                    }
                }
                Flow::Continue
            }
        }
    }

    fn selector(&self, selector: &Selector, node: &'v Value<'t>, next: Found<'_, 'v, 't>) -> Flow {
        match selector {
            Selector::Name(name) => node.member(name).map_or(Flow::Continue, next),
            Selector::Index(index) => item(node, *index).map_or(Flow::Continue, next),
            Selector::Wildcard => each_child(node, next),
            Selector::Slice { start, end, step } => slice(node, *start, *end, *step, next),
            Selector::Filter(condition) => each_child(node, &mut |child| {
                let holds = self.holds(condition, child);
                // A test cut short by the limit proves nothing, least of all that something is absent.
                match self.nodes_left.get() {
                    0 => Flow::Stop,
                    _ if holds => next(child),
                    _ => Flow::Continue,
                }
            }),
        }
    }

    fn holds(&self, condition: &Condition, current: &'v Value<'t>) -> bool {
        condition.0.iter().any(|all| all.iter().all(|test| self.test(test, current)))
    }

    fn test(&self, test: &Test, current: &'v Value<'t>) -> bool {
        let (wanted, holds) = match test {
            Test::Group(wanted, condition) => (*wanted, self.holds(condition, current)),
            Test::Exists(wanted, query) => (*wanted, self.first(query, current).is_some()),
            Test::Search(wanted, subject, pattern) => {
                let text = match subject {
                    Subject::Literal(text) => Some(text.as_str()),
                    Subject::Query(query) => self.first(query, current).and_then(Value::as_str),
                };
                (*wanted, text.is_some_and(|text| pattern.0.is_match(text)))
            }
            Test::Compare(left, comparison, right) => {
                (Wanted::True, comparison.holds(self.operand(left, current), self.operand(right, current)))
            }
        };
        holds == (wanted == Wanted::True)
    }

    fn first(&self, query: &Query, current: &'v Value<'t>) -> Option<&'v Value<'t>> {
        let mut first = None;
        self.query(query, current, &mut |node| {
            first = Some(node);
            Flow::Stop
        });
        first
    }

    fn operand<'o>(&'o self, operand: &'o Operand, current: &'o Value<'t>) -> Operated<'o, 't> {
        match operand {
            Operand::Null => Operated::Null,
            Operand::Bool(value) => Operated::Bool(*value),
            Operand::Number(text) => Operated::Number(text),
            Operand::String(text) => Operated::String(text),
            Operand::Singular(origin, steps) => {
                let from = match origin {
                    Origin::Root => self.root,
                    Origin::Current => current,
                };
                let node = steps.iter().try_fold(from, |node, step| match step {
                    Step::Name(name) => node.member(name),
                    Step::Index(index) => item(node, *index),
                });
                match node {
                    None => Operated::Nothing,
                    Some(Value::Null) => Operated::Null,
                    Some(Value::Bool(value)) => Operated::Bool(*value),
                    Some(Value::Number(text)) => Operated::Number(text),
                    Some(Value::String(text)) => Operated::String(text),
                    Some(tree @ (Value::Array(_) | Value::Object(_))) => Operated::Tree(tree),
                }
            }
        }
    }
}

/// One side of a comparison. Two nothings are equal.
enum Operated<'o, 't> {
    Nothing,
    Null,
    Bool(bool),
    Number(&'o str),
    String(&'o str),
    Tree(&'o Value<'t>),
}

impl Comparison {
    fn holds(self, left: Operated<'_, '_>, right: Operated<'_, '_>) -> bool {
        let order = match (&left, &right) {
            (Operated::Number(left), Operated::Number(right)) => {
                Some(Decimal::parse(left).compare(&Decimal::parse(right)))
            }
            (Operated::String(left), Operated::String(right)) => Some(left.cmp(right)),
            _ => None,
        };
        let equal = match (&left, &right) {
            (Operated::Nothing, Operated::Nothing) | (Operated::Null, Operated::Null) => true,
            (Operated::Bool(left), Operated::Bool(right)) => left == right,
            (Operated::Tree(left), Operated::Tree(right)) => same(left, right),
            _ => order == Some(Ordering::Equal),
        };
        match self {
            Self::Equal => equal,
            Self::NotEqual => !equal,
            Self::Less => order == Some(Ordering::Less),
            Self::LessOrEqual => equal || order == Some(Ordering::Less),
            Self::Greater => order == Some(Ordering::Greater),
            Self::GreaterOrEqual => equal || order == Some(Ordering::Greater),
        }
    }
}

/// Equality by value, numbers of any spelling.
fn same(left: &Value<'_>, right: &Value<'_>) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            Decimal::parse(left).compare(&Decimal::parse(right)) == Ordering::Equal
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            let pairs = left.iter().zip(right);
            left.len() == right.len()
                && pairs.into_iter().all(|(left, right)| left.0 == right.0 && same(&left.1, &right.1))
        }
        _ => left == right,
    }
}

fn each_child<'v, 't>(node: &'v Value<'t>, found: Found<'_, 'v, 't>) -> Flow {
    match node {
        Value::Array(items) => stop_early(items.iter(), found),
        Value::Object(members) => stop_early(members.iter().map(|(_, value)| value), found),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Flow::Continue,
    }
}

fn stop_early<'v, 't: 'v>(mut nodes: impl Iterator<Item = &'v Value<'t>>, found: Found<'_, 'v, 't>) -> Flow {
    if nodes.any(|node| found(node) == Flow::Stop) { Flow::Stop } else { Flow::Continue }
}

/// The array's item at `index`, counted from the end where that is negative.
fn item<'v, 't>(node: &'v Value<'t>, index: i64) -> Option<&'v Value<'t>> {
    let Value::Array(items) = node else {
        return None;
    };
    let from_end = if index < 0 { i64::try_from(items.len()).ok()? } else { 0 };
    items.get(usize::try_from(index.checked_add(from_end)?).ok()?)
}

/// RFC 9535, 2.3.4.2.2: bounds clamped to the array, a step of zero selects nothing.
fn slice<'v, 't>(
    node: &'v Value<'t>,
    start: Option<i64>,
    end: Option<i64>,
    step: i64,
    found: Found<'_, 'v, 't>,
) -> Flow {
    let Value::Array(items) = node else {
        return Flow::Continue;
    };
    let len = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let counted = |bound: i64| if bound < 0 { bound.saturating_add(len) } else { bound };
    let (mut at, stop) = if step >= 0 {
        (start.map_or(0, counted).clamp(0, len), end.map_or(len, counted).clamp(0, len))
    } else {
        (start.map_or(len - 1, counted).clamp(-1, len - 1), end.map_or(-1, counted).clamp(-1, len - 1))
    };
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        if item(node, at).is_some_and(|item| found(item) == Flow::Stop) {
            return Flow::Stop;
        }
        at = at.saturating_add(step);
    }
    Flow::Continue
}
