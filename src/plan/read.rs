//! A read: the tree of relations with their columns, conditions, orders and ranges, and how the result is answered.

use std::borrow::Cow;

use crate::catalog::{Cardinality, Catalog, Relation, Relationship};
use crate::name::{QualifiedName, QualifiedRoutine, SchemaName};
use crate::plan::PlanSettings;
use crate::plan::condition::{self, Condition};
use crate::plan::embed::{self, Embed};
use crate::plan::field::{Scope, SelectColumn};
use crate::plan::negotiate::{self, Answer, Selection};
use crate::plan::order::{self, OrderTerm};
use crate::plan::refusal::PlanError;
use crate::plan::tree::{self, Branch, EmbedRequest, RootConditions, TargetNames};
use crate::plan::{child_rows, size, spread};
use crate::request::prefer::{CountMode, Handling};
use crate::request::{Action, ApiRequest, BodyWanted, Query, RowRange};

/// A read, ready to be written as SQL.
#[derive(Clone, PartialEq, Debug)]
pub struct ReadPlan<'p> {
    pub root: Node<'p>,
    pub body: BodyWanted,
    pub answer: Answer<'p>,
    pub maker: Maker,
    pub yields: Yields,
    pub total: Total,
    pub warnings: Vec<LegacyTarget<'p>>,
}

/// What the statement's rows are to the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Yields {
    /// A relation's, or those of a routine that returns a set of them.
    Rows,
    /// The one row of a routine.
    Row,
    /// Rows of one column, which is what the client gets of them.
    Scalars,
    Scalar,
    /// A routine that returns nothing: its row has no meaning.
    Nothing,
}

impl Yields {
    /// Whether the rows are objects to the client.
    pub fn is_row(self) -> bool {
        match self {
            Self::Rows | Self::Row => true,
            Self::Scalars | Self::Scalar | Self::Nothing => false,
        }
    }

    /// Whether the number of rows is the result's to say.
    pub fn is_set(self) -> bool {
        match self {
            Self::Rows | Self::Scalars => true,
            Self::Row | Self::Scalar | Self::Nothing => false,
        }
    }
}

/// Who makes the JSON of a JSON answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Maker {
    RowWriter,
    Database,
}

/// The rows of one relation, and what is embedded in them.
#[derive(Clone, PartialEq, Debug)]
pub struct Node<'p> {
    pub source: Source<'p>,
    /// What its columns are qualified with; PostgreSQL's messages show it.
    pub alias: Cow<'p, str>,
    pub select: Vec<SelectColumn<'p>>,
    /// Whether `select` names no column: of an embed that means no output, of the root all columns.
    pub selects: Selects,
    pub embeds: Vec<Embed<'p>>,
    pub conditions: Vec<Condition<'p>>,
    pub order: Vec<OrderTerm<'p>>,
    pub range: NodeRange,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Selects {
    Columns,
    Nothing,
}

/// Where a node's rows come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source<'p> {
    Relation(&'p QualifiedName),
    /// A function of the parent's row, which has this row type.
    Computed {
        function: &'p QualifiedRoutine,
        row: &'p QualifiedName,
    },
    /// What a mutation wrote: the statement's own CTE.
    Returning,
    /// What a routine returned: the statement's own CTE.
    Call,
}

/// The rows of a node that are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NodeRange {
    /// What the request says; index in `Query::ranges` for embeds.
    pub asked: Option<RowRange>,
    pub slot: Option<u32>,
    /// `db-max-rows`
    pub rows_max: Option<u64>,
}

impl NodeRange {
    pub fn is_all(&self) -> bool {
        self.asked.is_none() && self.rows_max.is_none()
    }
}

/// How the total number of rows is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Total {
    Unasked,
    /// The page is everything: its rows are the total.
    PageRows,
    /// Counted by the statement, beside the page.
    Exact,
    /// Estimated by the planner: `sql::count::explain_statement`, run after the page in the same transaction.
    Planned,
    /// Counted by the statement up to one past `rows_max`; if it gets there, the larger of that and the planner's
    /// estimate.
    Estimated {
        rows_max: u64,
    },
}

/// A filter that named an aliased embed by its target: answered with a warning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LegacyTarget<'p> {
    pub target: &'p str,
    pub alias: &'p str,
}

impl Node<'_> {
    /// Whether the node selects no column of its own.
    pub fn select_is_empty(&self) -> bool {
        self.selects == Selects::Nothing
    }
}

/// Plans GET and HEAD of a relation.
pub fn plan_read<'p>(
    request: &'p ApiRequest<'p>,
    catalog: &'p Catalog,
    settings: PlanSettings,
) -> Result<ReadPlan<'p>, PlanError> {
    let Action::Read { relation: name, body } = &request.action else {
        // Not a read: there is no relation to name.
        return Err(PlanError::relation_not_found(catalog, &QualifiedName::new(&request.schema, "")));
    };
    let body = *body;
    let wanted = QualifiedName::new(&request.schema, name);
    let relation = catalog.relation(&wanted).ok_or_else(|| PlanError::relation_not_found(catalog, &wanted))?;
    let planner = Planner { catalog, settings, schema: &wanted.schema };
    let (mut root, warnings) = planner.tree(
        &request.query,
        Source::Relation(&relation.name),
        relation.name.name.as_str(),
        relation,
        RootConditions::Read,
    )?;
    root.range = planner.root_range(&request.query, request.range);
    let answer = negotiate::negotiate(
        catalog,
        &relation.name,
        &request.accept,
        planner.selection(&request.query, relation),
        settings.plan_enabled,
    )?;
    check_preferences(request)?;
    let total = total(request.preferences.count, &root.range, settings.max_rows);
    let maker = if settings.row_writer { Maker::RowWriter } else { Maker::Database };
    let mut plan = ReadPlan { root, body, answer, maker, yields: Yields::Rows, total, warnings };
    child_rows::choose(&mut plan);
    Ok(plan)
}

/// `handling=strict` refuses preferences that are none.
pub fn check_preferences(request: &ApiRequest<'_>) -> Result<(), PlanError> {
    let preferences = &request.preferences;
    if preferences.handling == Some(Handling::Strict) && !preferences.invalid.is_empty() {
        let items = preferences.invalid.iter().map(ToString::to_string).collect();
        return Err(PlanError::InvalidPreferences { items });
    }
    Ok(())
}

fn total(count: Option<CountMode>, range: &NodeRange, max_rows: Option<u64>) -> Total {
    match (count, max_rows) {
        (None, _) => Total::Unasked,
        (Some(CountMode::Planned), _) => Total::Planned,
        (Some(CountMode::Exact | CountMode::Estimated), _) if range.is_all() => Total::PageRows,
        (Some(CountMode::Estimated), Some(rows_max)) => Total::Estimated { rows_max },
        (Some(CountMode::Exact), _) | (Some(CountMode::Estimated), None) => Total::Exact,
    }
}

/// What every node is planned against.
pub struct Planner<'p, 's> {
    pub catalog: &'p Catalog,
    pub settings: PlanSettings,
    /// The request's: relationships are looked up in it, whatever schema their origin is in.
    pub schema: &'s SchemaName,
}

impl<'p> Planner<'p, '_> {
    /// The whole tree of a request over `source`, whose rows have the columns of `relation`.
    pub fn tree(
        &self,
        query: &'p Query<'p>,
        source: Source<'p>,
        alias: &'p str,
        relation: &'p Relation,
        root_conditions: RootConditions,
    ) -> Result<(Node<'p>, Vec<LegacyTarget<'p>>), PlanError> {
        let names = if self.settings.legacy_target_names { TargetNames::Legacy } else { TargetNames::AliasOnly };
        let branch = tree::grow(query, names, root_conditions)?;
        let mut warnings = Vec::new();
        collect_warnings(&branch.embeds, &mut warnings);
        let mut root = self.node(branch, source, Cow::Borrowed(alias), Some(relation), &relation.name, 0)?;
        if query.select.is_none() || root.selects == Selects::Nothing && root.embeds.is_empty() {
            root.select = self.scope(Some(relation)).star().collect();
            root.selects = Selects::Columns;
        }
        spread::check_aggregates(&root, self.settings.aggregates_enabled)?;
        size::check(&root)?;
        Ok((root, warnings))
    }

    /// The root's range: whatever the request says, at most `db-max-rows`. `offset=0` counts as said, so that requests
    /// of one shape have one statement.
    pub fn root_range(&self, query: &Query<'_>, range: RowRange) -> NodeRange {
        let said = query.ranges.iter().any(|targeted| targeted.path.is_empty());
        let asked = (said || range != RowRange::default()).then_some(range);
        NodeRange { asked, slot: None, rows_max: self.settings.max_rows }
    }

    fn scope(&self, relation: Option<&'p Relation>) -> Scope<'p> {
        Scope { catalog: self.catalog, relation, settings: self.settings }
    }

    fn node(
        &self,
        branch: Branch<'p>,
        source: Source<'p>,
        alias: Cow<'p, str>,
        relation: Option<&'p Relation>,
        name: &'p QualifiedName,
        depth: usize,
    ) -> Result<Node<'p>, PlanError> {
        let scope = self.scope(relation);
        let embeds =
            branch.embeds.into_iter().map(|asked| self.embed(asked, name, depth + 1)).collect::<Result<Vec<_>, _>>()?;
        let order = order::resolve(scope, name.name.as_str(), &embeds, branch.order)?;
        // They were gathered from the last to the first.
        let conditions = branch
            .conditions
            .into_iter()
            .rev()
            .map(|condition| condition::resolve(scope, &embeds, condition))
            .collect();
        let selects = if branch.fields.is_empty() { Selects::Nothing } else { Selects::Columns };
        let mut select = Vec::with_capacity(branch.fields.len());
        for field in branch.fields {
            if field.field.name == "*" && field.field.path.is_empty() && field.aggregate.is_none() {
                select.extend(scope.star());
            } else {
                select.push(scope.select(field));
            }
        }
        let range = NodeRange {
            asked: branch.range.map(|(_, range)| range),
            slot: branch.range.map(|(index, _)| index),
            rows_max: self.settings.max_rows,
        };
        Ok(Node { source, alias, select, selects, embeds, conditions, order, range })
    }

    fn embed(&self, asked: EmbedRequest<'p>, origin: &QualifiedName, depth: usize) -> Result<Embed<'p>, PlanError> {
        let exposed = QualifiedName { schema: self.schema.clone(), name: origin.name.clone() };
        let relationship = embed::find(self.catalog, &exposed, &asked)?;
        let target = relationship.target();
        let numbered = || Cow::Owned(format!("{}_{depth}", target.name));
        let (source, alias) = match relationship {
            Relationship::Computed(computed) => {
                (Source::Computed { function: &computed.function, row: &computed.origin_row }, numbered())
            }
            Relationship::Key(key) => {
                let alias = match key.cardinality {
                    Cardinality::ManyToMany(_) => Cow::Borrowed(target.name.as_str()),
                    Cardinality::ManyToOne { .. } | Cardinality::OneToMany { .. } | Cardinality::OneToOne { .. } => {
                        numbered()
                    }
                };
                (Source::Relation(target), alias)
            }
        };
        let key = asked.key();
        let joined_as = format!("{}_{key}_{depth}", origin.name);
        let shape = embed::shape_over(asked.shape, relationship);
        let join = asked.join;
        let relation = self.catalog.relation(target).map(std::sync::Arc::as_ref);
        let node = self.node(asked.branch, source, alias, relation, target, depth)?;
        Ok(Embed { key, joined_as, relationship, join, shape, node })
    }

    /// Whether a relation's own media handlers may stand in.
    pub fn selection(&self, query: &Query<'_>, relation: &'p Relation) -> Selection {
        let star = match query.select.as_deref() {
            None => true,
            Some([crate::request::SelectItem::Field(field)]) => field.field.name == "*",
            Some(_) => false,
        };
        let expanded = relation.columns.len() != 1 && self.scope(Some(relation)).has_representations();
        if star && !expanded { Selection::AllColumns } else { Selection::Chosen }
    }
}

fn collect_warnings<'p>(embeds: &[EmbedRequest<'p>], warnings: &mut Vec<LegacyTarget<'p>>) {
    for embed in embeds {
        if let (true, Some(alias)) = (embed.legacy, embed.alias) {
            warnings.push(LegacyTarget { target: embed.target, alias });
        }
        collect_warnings(&embed.branch.embeds, warnings);
    }
}
