//! A call: which overload the arguments mean, how they are given to it, and the read of what it returns.

use std::borrow::Cow;
use std::sync::Arc;

use super::PlanSettings;
use super::call_refusal::{BodyRole, CallError};
use super::condition::Condition;
use super::field::{ColumnRef, Value};
use super::negotiate::negotiate;
use super::order::OrderOf;
use super::read::{Maker, Node, Planner, ReadPlan, Source, Total, Yields, check_preferences};
use super::tree::RootConditions;
use crate::catalog::{Catalog, Parameter, Relation, ReturnShape, ReturnType, Routine, Volatility};
use crate::name::{QualifiedName, QualifiedRoutine};
use crate::request::payload::{JsonShape, Payload};
use crate::request::prefer::{CountMode, Handling};
use crate::request::{Action, ApiRequest, BodyWanted, Invocation};

/// A call, ready to be written as SQL.
#[derive(Clone, Debug)]
pub struct CallPlan<'p> {
    pub routine: &'p Routine,
    pub arguments: Arguments<'p>,
    /// Columns that the request selects and the result doesn't have.
    pub unknown: Vec<&'p str>,
    pub read: ReadPlan<'p>,
}

/// How the routine gets its arguments.
#[derive(Clone, PartialEq, Debug)]
pub enum Arguments<'p> {
    None,
    /// The body is the argument of the only parameter, which has no name.
    Body {
        parameter: &'p Parameter,
        raw: &'p [u8],
    },
    /// PostgreSQL takes them out of a JSON body.
    Members {
        parameters: Vec<&'p Parameter>,
        document: Document,
    },
    Given(Vec<(&'p Parameter, Argument<'p>)>),
}

/// Where a JSON body has the object with the arguments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Document {
    Object,
    /// Its first element.
    Array,
    /// Nobody has looked.
    Either,
}

/// `slot` is the place among the request's arguments: the value's, or the first item's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Argument<'p> {
    Text {
        slot: u32,
        text: &'p str,
    },
    /// Of a variadic parameter.
    Items {
        slot: u32,
        items: Vec<&'p str>,
    },
}

/// The overload that a request means.
pub fn choose<'p>(request: &ApiRequest<'_>, catalog: &'p Catalog) -> Result<&'p Arc<Routine>, CallError> {
    let name = QualifiedRoutine { schema: request.schema.as_ref().into(), name: name_of(request).into() };
    let keys = argument_names(request);
    let body = match invocation(request) {
        Invocation::Post => BodyRole::of(&request.content_type),
        Invocation::Get(_) => BodyRole::Arguments,
    };
    let overloads = catalog.routines(&name);
    let mut named = overloads.iter().filter(|routine| takes(routine, &keys, body)).peekable();
    if named.peek().is_some() {
        return only(named);
    }
    let mut lone = overloads.iter().filter(|routine| takes_body(routine, body)).peekable();
    if lone.peek().is_some() {
        return only(lone);
    }
    let arguments = keys.into_iter().map(str::to_owned).collect();
    Err(CallError::not_found(catalog, &name, arguments, body))
}

fn only<'p>(candidates: impl Iterator<Item = &'p Arc<Routine>>) -> Result<&'p Arc<Routine>, CallError> {
    let candidates: Vec<&Arc<Routine>> = candidates.collect();
    match candidates.as_slice() {
        [only] => Ok(only),
        several => Err(CallError::ambiguous(several.iter().map(|routine| routine.as_ref()))),
    }
}

/// Whether the names are those of the required parameters and of some or all of the others.
fn takes(routine: &Routine, keys: &[&str], body: BodyRole) -> bool {
    let parameters = &routine.parameters;
    if parameters.is_empty() {
        return keys.is_empty() && !matches!(body, BodyRole::Only(_));
    }
    let given = |parameter: &Parameter| keys.contains(&parameter.name.as_str());
    let known = |key: &&str| parameters.iter().any(|parameter| parameter.name == *key);
    parameters.iter().filter(|parameter| parameter.required).all(given) && keys.iter().all(known)
}

fn takes_body(routine: &Routine, body: BodyRole) -> bool {
    matches!(routine.parameters.as_slice(), [only] if only.name.is_empty() && body.fits(&only.type_name))
}

/// Names of the arguments that a request gives, each once.
fn argument_names<'r>(request: &'r ApiRequest<'_>) -> Vec<&'r str> {
    let mut names: Vec<&str> = match (invocation(request), &request.payload) {
        (Invocation::Get(_), _) => request.query.arguments.iter().map(|(name, _)| name.as_ref()).collect(),
        (Invocation::Post, Some(Payload::Form { fields })) => {
            request.query.columns.as_ref().map_or_else(|| fields.iter().map(|(name, _)| name.as_ref()).collect(), texts)
        }
        (Invocation::Post, Some(Payload::Json { keys, .. })) => texts(request.query.columns.as_ref().unwrap_or(keys)),
        // CSV is made into JSON for a call.
        (Invocation::Post, Some(Payload::RawJson { .. } | Payload::Raw { .. } | Payload::Csv { .. }) | None) => {
            request.query.columns.as_ref().map_or_else(Vec::new, texts)
        }
    };
    names.sort_unstable();
    names.dedup();
    names
}

fn texts<'r>(names: &'r Vec<Cow<'_, str>>) -> Vec<&'r str> {
    names.iter().map(AsRef::as_ref).collect()
}

fn name_of<'r>(request: &'r ApiRequest<'_>) -> &'r str {
    match &request.action {
        Action::Call { routine, .. } | Action::RoutineInfo { routine } => routine,
        Action::Read { .. }
        | Action::Mutate { .. }
        | Action::RelationInfo { .. }
        | Action::SchemaRead { .. }
        | Action::SchemaInfo => "",
    }
}

fn invocation(request: &ApiRequest<'_>) -> Invocation {
    match request.action {
        Action::Call { by, .. } => by,
        Action::RoutineInfo { .. }
        | Action::Read { .. }
        | Action::Mutate { .. }
        | Action::RelationInfo { .. }
        | Action::SchemaRead { .. }
        | Action::SchemaInfo => Invocation::Get(BodyWanted::Full),
    }
}

/// Plans a call of the overload that `choose` found.
pub fn plan_call<'p>(
    request: &'p ApiRequest<'p>,
    catalog: &'p Catalog,
    routine: &'p Routine,
    settings: PlanSettings,
) -> Result<CallPlan<'p>, CallError> {
    let relation = rows_of(catalog, routine);
    let planner = Planner { catalog, settings, schema: &routine.name.schema };
    let alias = relation.name.name.as_str();
    let (mut root, warnings) = planner.tree(&request.query, Source::Call, alias, relation, RootConditions::Read)?;
    root.range = planner.root_range(&request.query, request.range);
    if let Some(row) = row_type(&routine.returns) {
        Fields { catalog, relation, row }.resolve(&mut root);
    }
    let selection = planner.selection(&request.query, relation);
    let answer = negotiate(catalog, &relation.name, &request.accept, selection, settings.plan_enabled)?;
    check_preferences(request)?;
    let yields = yields(&routine.returns);
    let preferences = &request.preferences;
    if preferences.handling == Some(Handling::Strict) && preferences.max_affected.is_some() && !yields.is_set() {
        return Err(CallError::MaxAffectedWithoutRows);
    }
    let by = invocation(request);
    let body = match by {
        Invocation::Get(body) => body,
        Invocation::Post => BodyWanted::Full,
    };
    let maker = if settings.row_writer { Maker::RowWriter } else { Maker::Database };
    let total = total(preferences.count, &root);
    Ok(CallPlan {
        routine,
        arguments: arguments(request, routine, by),
        unknown: if yields.is_row() { unknown(relation, &root) } else { Vec::new() },
        read: ReadPlan { root, body, answer, maker, yields, total, warnings },
    })
}

/// Whether a POST may write; GET and HEAD never do.
pub fn may_write(request: &ApiRequest<'_>, routine: &Routine) -> bool {
    invocation(request) == Invocation::Post && routine.volatility == Volatility::Volatile
}

fn row_type(returns: &ReturnShape) -> Option<&QualifiedName> {
    match returns {
        ReturnShape::Single(ReturnType::Composite { name, .. })
        | ReturnShape::SetOf(ReturnType::Composite { name, .. }) => Some(name),
        ReturnShape::Single(ReturnType::Scalar(_)) | ReturnShape::SetOf(ReturnType::Scalar(_)) | ReturnShape::Void => {
            None
        }
    }
}

/// The result as a relation. One of the routine's own schema is better known than by its row type.
fn rows_of<'p>(catalog: &'p Catalog, routine: &'p Routine) -> &'p Relation {
    let own = row_type(&routine.returns).filter(|name| name.schema == routine.name.schema);
    let exposed = own.and_then(|name| catalog.relation(name));
    exposed.map_or(&routine.rows, |exposed| exposed)
}

fn yields(returns: &ReturnShape) -> Yields {
    match returns {
        ReturnShape::Void => Yields::Nothing,
        ReturnShape::Single(ReturnType::Scalar(_)) => Yields::Scalar,
        ReturnShape::Single(ReturnType::Composite { .. }) => Yields::Row,
        ReturnShape::SetOf(ReturnType::Scalar(_)) => Yields::Scalars,
        ReturnShape::SetOf(ReturnType::Composite { .. }) => Yields::Rows,
    }
}

/// A planner's guess at what a function returns means nothing: only counting counts.
fn total(count: Option<CountMode>, root: &Node<'_>) -> Total {
    match count {
        None | Some(CountMode::Planned) => Total::Unasked,
        Some(CountMode::Exact | CountMode::Estimated) if root.range.is_all() => Total::PageRows,
        Some(CountMode::Exact | CountMode::Estimated) => Total::Exact,
    }
}

fn arguments<'p>(request: &'p ApiRequest<'p>, routine: &'p Routine, by: Invocation) -> Arguments<'p> {
    if by != Invocation::Post {
        return given(routine, &request.query.arguments);
    }
    let (raw, document) = match &request.payload {
        None | Some(Payload::Csv { .. }) => return Arguments::None,
        Some(Payload::Form { fields }) => return given(routine, fields),
        Some(Payload::Raw { raw } | Payload::RawJson { raw }) => (raw.as_ref(), Document::Either),
        Some(Payload::Json { raw, shape, .. }) => (
            raw.as_ref(),
            match shape {
                JsonShape::Object => Document::Object,
                JsonShape::Array | JsonShape::Scalar => Document::Array,
            },
        ),
    };
    if let [parameter] = routine.parameters.as_slice()
        && parameter.name.is_empty()
    {
        return Arguments::Body { parameter, raw };
    }
    let keys = argument_names(request);
    let parameters: Vec<&Parameter> =
        routine.parameters.iter().filter(|parameter| keys.contains(&parameter.name.as_str())).collect();
    if parameters.is_empty() { Arguments::None } else { Arguments::Members { parameters, document } }
}

/// Of an argument given twice the last counts, of a variadic one all do.
fn given<'p>(routine: &'p Routine, pairs: &'p [(Cow<'p, str>, Cow<'p, str>)]) -> Arguments<'p> {
    let mut list = Vec::new();
    for parameter in &routine.parameters {
        let mut values = (0..).zip(pairs).filter(|(_, (name, _))| *name == parameter.name.as_str()).peekable();
        let Some(&(slot, _)) = values.peek() else { continue };
        if parameter.variadic {
            let items = values.map(|(_, (_, value))| value.as_ref()).collect();
            list.push((parameter, Argument::Items { slot, items }));
        } else if let Some((slot, (_, text))) = values.last() {
            list.push((parameter, Argument::Text { slot, text }));
        }
    }
    if list.is_empty() { Arguments::None } else { Arguments::Given(list) }
}

/// Selected names that mean nothing, for PostgreSQL to say so.
fn unknown<'p>(relation: &Relation, root: &Node<'p>) -> Vec<&'p str> {
    let mut names: Vec<&'p str> = root
        .select
        .iter()
        .filter_map(|column| match column.value.column {
            ColumnRef::Named(name) if relation.column(name).is_none() => Some(name),
            ColumnRef::Named(_) | ColumnRef::Row | ColumnRef::Computed { .. } => None,
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Computed fields of a row type: functions that take a row of it, which the statement's own rows are not.
struct Fields<'p> {
    catalog: &'p Catalog,
    relation: &'p Relation,
    row: &'p QualifiedName,
}

impl<'p> Fields<'p> {
    fn resolve(&self, root: &mut Node<'p>) {
        for column in &mut root.select {
            self.value(&mut column.value);
        }
        for condition in &mut root.conditions {
            self.condition(condition);
        }
        for term in root.order.iter_mut().filter(|term| term.of == OrderOf::Own) {
            self.value(&mut term.value);
        }
    }

    fn condition(&self, condition: &mut Condition<'p>) {
        match condition {
            Condition::Filter(filter) => self.value(&mut filter.value),
            Condition::Logic { operands, .. } => operands.iter_mut().for_each(|operand| self.condition(operand)),
            Condition::Embedded { .. } => {}
        }
    }

    fn value(&self, value: &mut Value<'p>) {
        let ColumnRef::Named(name) = value.column else { return };
        if self.relation.column(name).is_none()
            && let Some(field) = self.catalog.computed_field(&self.relation.name, name)
        {
            value.column = ColumnRef::Computed { function: &field.function, row: self.row };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ApiError;
    use crate::plan::fixture::{Given, add_routine, call_by_get, call_by_post, int, row_of};

    fn catalog() -> Catalog {
        let mut catalog = crate::plan::fixture::catalog();
        let scalar = || ReturnShape::Single(int());
        let mut add = |name, parameters: &[(&str, &str, Given)]| {
            add_routine(&mut catalog, name, parameters, scalar(), Volatility::Stable);
        };
        add("sum", &[("a", "integer", Given::Always), ("b", "integer", Given::Always)]);
        add("sum", &[("a", "integer", Given::Always), ("c", "text", Given::Optional)]);
        add("twice", &[("x", "integer", Given::Always)]);
        add("twice", &[("x", "text", Given::Always)]);
        add("many", &[("items", "integer[]", Given::Variadic), ("sep", "text", Given::Optional)]);
        add("swallow", &[("", "jsonb", Given::Always)]);
        add("now", &[]);
        add_routine(&mut catalog, "ports_near", &[], ReturnShape::SetOf(row_of("ports")), Volatility::Volatile);
        catalog
    }

    /// The parameters of the overload, or the code of the refusal.
    fn check(request: &ApiRequest<'_>, expect: Result<&[&str], &str>) {
        let catalog = catalog();
        let chosen = choose(request, &catalog)
            .map(|routine| routine.parameters.iter().map(|parameter| parameter.name.clone()).collect::<Vec<_>>());
        let expect: Result<Vec<String>, String> =
            expect.map(|names| names.iter().map(|&name| name.to_owned()).collect()).map_err(str::to_owned);
        assert_eq!(chosen.map_err(|error| error.code().name.to_string()), expect, "{:?}", request.query.arguments);
    }

    #[test]
    fn overloads_are_chosen_by_the_names_of_the_arguments() {
        check(&call_by_get("sum", &[("b", "1"), ("a", "2")]), Ok(&["a", "b"]));
        check(&call_by_get("sum", &[("a", "1"), ("a", "2")]), Ok(&["a", "c"]));
        check(&call_by_get("sum", &[("a", "1"), ("b", "2"), ("c", "3")]), Err("PGRST202"));
        check(&call_by_get("sum", &[]), Err("PGRST202"));
        check(&call_by_get("twice", &[("x", "1")]), Err("PGRST203"));
        check(&call_by_get("now", &[]), Ok(&[]));
        check(&call_by_get("now", &[("x", "1")]), Err("PGRST202"));
        check(&call_by_get("nothing", &[]), Err("PGRST202"));
        check(&call_by_get("swallow", &[]), Err("PGRST202"));
        check(&call_by_post("swallow", &["a"], "{\"a\":1}"), Ok(&[""]));
        check(&call_by_post("sum", &["a", "b"], "{\"a\":1,\"b\":2}"), Ok(&["a", "b"]));
        let mut text = call_by_post("now", &[], "");
        text.content_type = crate::media::MediaType::TextPlain;
        check(&text, Err("PGRST202"));
    }

    #[test]
    fn refusals_name_what_was_meant_perhaps() {
        let catalog = catalog();
        let refusal = |request: &ApiRequest<'_>| choose(request, &catalog).expect_err("a refusal");
        let missing = refusal(&call_by_get("sum", &[("b", "1")]));
        assert_eq!(missing.message(), "Could not find the function api.sum(b) in the schema cache");
        assert_eq!(missing.hint().as_deref(), Some("Perhaps you meant to call the function api.sum(a, b)"));
        let misspelt = refusal(&call_by_get("swalow", &[]));
        assert_eq!(misspelt.message(), "Could not find the function api.swalow without parameters in the schema cache");
        assert_eq!(misspelt.hint().as_deref(), Some("Perhaps you meant to call the function api.swallow"));
        let ambiguous = refusal(&call_by_get("twice", &[("x", "1")]));
        assert_eq!(
            ambiguous.message(),
            "Could not choose the best candidate function between: api.twice(x => integer), api.twice(x => text)"
        );
    }

    #[test]
    fn the_last_of_a_repeated_argument_counts_and_all_of_a_variadic_one() {
        let catalog = catalog();
        let request = call_by_get("many", &[("items", "1"), ("sep", "-"), ("items", "2"), ("sep", "+")]);
        let routine = choose(&request, &catalog).expect("an overload");
        let plan = plan_call(&request, &catalog, routine, PlanSettings::default()).expect("a plan");
        let Arguments::Given(list) = &plan.arguments else { panic!("{:?}", plan.arguments) };
        let given: Vec<_> = list.iter().map(|(parameter, given)| (parameter.name.as_str(), given.clone())).collect();
        let items = Argument::Items { slot: 0, items: vec!["1", "2"] };
        assert_eq!(given, [("items", items), ("sep", Argument::Text { slot: 3, text: "+" })]);
    }

    #[test]
    fn only_a_volatile_function_called_by_post_may_write() {
        let catalog = catalog();
        let write = |request: &ApiRequest<'_>| may_write(request, choose(request, &catalog).expect("an overload"));
        assert!(write(&call_by_post("ports_near", &[], "")));
        assert!(!write(&call_by_get("ports_near", &[])));
        assert!(!write(&call_by_post("now", &[], "")));
    }
}
