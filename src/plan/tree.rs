//! Which node of the `select` tree each filter, order and range of the request belongs to.
//! Knows the request only: an embed is found by the name the client gave it, before relationships are looked up.

use crate::plan::refusal::PlanError;
use crate::request::{Condition, Join, OrderTerm, Query, RowRange, SelectField, SelectItem, Targeted};

/// The root, or what stands in an embed's parentheses, with what is aimed at it.
#[derive(Default, Debug)]
pub struct Branch<'p> {
    pub fields: Vec<&'p SelectField<'p>>,
    pub embeds: Vec<EmbedRequest<'p>>,
    pub conditions: Vec<&'p Condition<'p>>,
    pub order: &'p [OrderTerm<'p>],
    /// The range and its index in `Query::ranges`.
    pub range: Option<(u32, RowRange)>,
    /// Indices of `embeds` in the order in which names are looked up: the one used last comes first.
    lookup: Vec<usize>,
}

/// An embed or spread as it was asked for.
#[derive(Debug)]
pub struct EmbedRequest<'p> {
    pub target: &'p str,
    pub alias: Option<&'p str>,
    pub hint: Option<&'p str>,
    pub join: Join,
    pub shape: Shape,
    pub branch: Branch<'p>,
    /// A filter named the target although there is an alias.
    pub legacy: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    Nested,
    Spread,
}

impl<'p> EmbedRequest<'p> {
    /// The key of the embed in its parent's object.
    pub fn key(&self) -> &'p str {
        self.alias.unwrap_or(self.target)
    }

    fn answers_to(&self, name: &str, names: TargetNames) -> bool {
        match names {
            TargetNames::Legacy => self.target == name || self.alias == Some(name),
            TargetNames::AliasOnly => self.key() == name,
        }
    }
}

/// Whether a filter may name an aliased embed by its target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TargetNames {
    Legacy,
    AliasOnly,
}

/// Which conditions of the request belong to the read: a write's root conditions choose the rows written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RootConditions {
    Read,
    Written,
}

/// Builds the tree. Errors: a path that names no embed.
pub fn grow<'p>(
    query: &'p Query<'p>,
    names: TargetNames,
    root_conditions: RootConditions,
) -> Result<Branch<'p>, PlanError> {
    let mut root = branch(query.select.as_deref().unwrap_or(&[]));
    let wanted = |condition: &&Targeted<'p, Condition<'p>>| {
        root_conditions == RootConditions::Read || !condition.path.is_empty()
    };
    // Filters, orders, ranges, logic trees, each from the last to the first: which of two embeds of one target a legacy
    // name means depends on this order.
    for condition in query.conditions.iter().rev().filter(wanted) {
        if let Condition::Filter(_) = condition.item {
            find(&mut root, &condition.path, names)?.conditions.push(&condition.item);
        }
    }
    for order in query.order.iter().rev() {
        find(&mut root, &order.path, names)?.order = &order.item;
    }
    if root_conditions == RootConditions::Read {
        for (index, range) in (0u32..).zip(&query.ranges) {
            find(&mut root, &range.path, names)?.range = Some((index, range.item));
        }
    }
    for condition in query.conditions.iter().rev().filter(wanted) {
        if let Condition::Logic { .. } = condition.item {
            find(&mut root, &condition.path, names)?.conditions.push(&condition.item);
        }
    }
    Ok(root)
}

fn branch<'p>(items: &'p [SelectItem<'p>]) -> Branch<'p> {
    let mut branch = Branch::default();
    for item in items {
        match item {
            SelectItem::Field(field) => branch.fields.push(field),
            SelectItem::Embed { target, alias, hint, join, select } => {
                branch.embeds.push(EmbedRequest {
                    target,
                    alias: alias.as_deref(),
                    hint: hint.as_deref(),
                    join: join.unwrap_or(Join::Left),
                    shape: Shape::Nested,
                    branch: self::branch(select),
                    legacy: false,
                });
            }
            SelectItem::Spread { target, hint, join, select } => {
                branch.embeds.push(EmbedRequest {
                    target,
                    alias: None,
                    hint: hint.as_deref(),
                    join: join.unwrap_or(Join::Left),
                    shape: Shape::Spread,
                    branch: self::branch(select),
                    legacy: false,
                });
            }
        }
    }
    branch.lookup = (0..branch.embeds.len()).collect();
    branch
}

fn find<'t, 'p>(
    branch: &'t mut Branch<'p>,
    path: &[impl AsRef<str>],
    names: TargetNames,
) -> Result<&'t mut Branch<'p>, PlanError> {
    let Some((name, rest)) = path.split_first() else { return Ok(branch) };
    let name = name.as_ref();
    let Some(place) = branch.place_of(name, names) else {
        return Err(branch.not_embedded(name, names));
    };
    let index = branch.lookup.remove(place);
    branch.lookup.insert(0, index);
    let Some(embed) = branch.embeds.get_mut(index) else {
        return Err(PlanError::NotEmbedded { name: name.to_owned(), aliased: None });
    };
    embed.legacy |= embed.target == name && embed.alias.is_some_and(|alias| alias != name);
    find(&mut embed.branch, rest, names)
}

impl Branch<'_> {
    fn place_of(&self, name: &str, names: TargetNames) -> Option<usize> {
        self.lookup.iter().position(|&index| self.embeds.get(index).is_some_and(|embed| embed.answers_to(name, names)))
    }

    fn not_embedded(&self, name: &str, names: TargetNames) -> PlanError {
        let aliased = match names {
            TargetNames::Legacy => None,
            TargetNames::AliasOnly => self
                .place_of(name, TargetNames::Legacy)
                .and_then(|place| self.lookup.get(place))
                .and_then(|&index| self.embeds.get(index))
                .map(|embed| embed.key().to_owned()),
        };
        PlanError::NotEmbedded { name: name.to_owned(), aliased }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixture::{column, embed, equals, select};

    fn aliased<'r>(alias: &'r str, item: SelectItem<'r>) -> SelectItem<'r> {
        match item {
            SelectItem::Embed { target, hint, join, select, .. } => {
                SelectItem::Embed { target, alias: Some(alias.into()), hint, join, select }
            }
            other => other,
        }
    }

    /// How many conditions each embed of `a:vessels(),b:vessels()` gets.
    fn check(paths: &[&[&str]], names: TargetNames, expect: Result<[usize; 2], Option<&str>>) {
        let mut query = select(["a", "b"].map(|alias| aliased(alias, embed("vessels", None, [column("id")]))));
        query.conditions = paths.iter().map(|path| equals(path, "id", "1")).collect();
        let grown = grow(&query, names, RootConditions::Read);
        let got = match grown {
            Ok(root) => Ok([0, 1].map(|index| root.embeds[index].branch.conditions.len())),
            Err(PlanError::NotEmbedded { aliased, .. }) => Err(aliased),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(got, expect.map_err(|aliased| aliased.map(str::to_owned)));
    }

    #[test]
    fn paths_find_embeds_by_name() {
        check(&[&["a"], &["b"], &["b"]], TargetNames::Legacy, Ok([1, 2]));
        check(&[&["b"]], TargetNames::AliasOnly, Ok([0, 1]));
        check(&[&["vessels"]], TargetNames::Legacy, Ok([1, 0]));
        // The embed that was named last stands first when a target could mean either.
        check(&[&["vessels"], &["b"]], TargetNames::Legacy, Ok([0, 2]));
        check(&[&["vessels"]], TargetNames::AliasOnly, Err(Some("a")));
        check(&[&["crew"]], TargetNames::AliasOnly, Err(None));
        check(&[&["a", "crew"]], TargetNames::Legacy, Err(None));
    }

    #[test]
    fn written_rows_keep_their_conditions() {
        let mut query = select([column("id"), embed("crew", None, [])]);
        query.conditions = vec![equals(&[], "id", "1"), equals(&["crew"], "id", "1")];
        let root = grow(&query, TargetNames::Legacy, RootConditions::Written).unwrap();
        assert_eq!((root.conditions.len(), root.embeds[0].branch.conditions.len()), (0, 1));
    }
}
