//! Reads and calls whose shape was planned before: the URL without its values (of a POST also the names in its body) →
//! statement, row writer and fixed parts of the head. A request that hits neither parses nor plans nor writes SQL: its
//! values go straight into the statement's parameters.
//! Owns: one map per core and published version, so that a new catalog or configuration empties it.
//! Invariant: equal keys mean equal plans but for values. What a plan takes from elsewhere (the role's settings, a
//! pre-request function) turns caching off.
//! Limits: `limits::SHAPES_PER_CORE`, `SHAPES_BYTES_PER_CORE`, `SHAPE_BYTES_MAX`, `SHAPE_BODY_BYTES_MAX`.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::Scene;
use super::answer::{self, Counted, Job};
use super::rows::{CompiledWriter, Framing, Streaming};
use super::setup;
use super::transaction::Form;
use crate::auth::Identity;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::http::{Method, Request};
use crate::limits;
use crate::media::Nulls;
use crate::plan::read::{Total, Yields};
use crate::pool::Sharing;
use crate::request::payload::write_member_names;
use crate::request::shape::{ShapeScan, ValueKind, ValueSpan, scan_shape};
use crate::request::{Action, BodyWanted, Invocation};
use crate::sql::param::{write_array, write_items};
use crate::sql::setup::{Access, ResponseSettings, Values};
use crate::sql::{Param, ResultShape, Transform};

/// Buffers of one request in flight, kept for the next.
#[derive(Debug, Default)]
pub struct Scratch {
    pub key: Vec<u8>,
    pub spans: Vec<ValueSpan>,
    pub setup: Values,
    pub main: Values,
    /// Header values under construction.
    pub text: Vec<u8>,
}

/// A request that needs nothing but its values.
#[derive(Debug)]
pub struct CachedPlan {
    pub statement: String,
    sources: Vec<Source>,
    pub shape: crate::json::RowShape,
    pub compiled: RefCell<CompiledWriter>,
    pub framing: Framing,
    pub nulls: Nulls,
    pub streaming: Streaming,
    total: Total,
    pub yields: Yields,
    pub access: Access,
    pub form: Form,
    /// Whether the transaction's code may have a say in the answer's head.
    pub response: ResponseSettings,
    /// Those of the called routine that are hoisted to the transaction.
    pub routine_settings: Vec<(String, String)>,
    pub schema: String,
    /// What Content-Location names; a call has none.
    pub relation: Option<String>,
    pub content_type: String,
    pub content_profile: Option<String>,
    pub preference_applied: Vec<u8>,
}

/// Where a parameter's value comes from.
#[derive(Debug)]
enum Source {
    /// The shape's own.
    Fixed(Option<Vec<u8>>),
    /// The request's value of that number.
    Span {
        index: usize,
        transform: Transform,
    },
    /// Those of a variadic parameter.
    Items(Vec<usize>),
    Body,
}

#[derive(Debug, Default)]
pub struct ShapeCache {
    shapes: RefCell<HashMap<Box<[u8]>, Rc<CachedPlan>, ahash::RandomState>>,
    /// Of all `weight`s.
    bytes: Cell<usize>,
}

impl ShapeCache {
    pub fn get(&self, key: &[u8]) -> Option<Rc<CachedPlan>> {
        self.shapes.borrow().get(key).cloned()
    }

    pub fn insert(&self, key: &[u8], plan: Rc<CachedPlan>) {
        self.remove(key);
        let weight = weight(key, &plan);
        if weight > limits::SHAPE_BYTES_MAX {
            return;
        }
        let mut shapes = self.shapes.borrow_mut();
        if shapes.len() >= limits::SHAPES_PER_CORE || self.bytes.get() + weight > limits::SHAPES_BYTES_PER_CORE {
            // Whoever sends so many shapes gains little from any of them; starting over is bounded and rare.
            shapes.clear();
            self.bytes.set(0);
        }
        shapes.insert(key.into(), plan);
        self.bytes.set(self.bytes.get() + weight);
    }

    pub fn remove(&self, key: &[u8]) {
        if let Some(plan) = self.shapes.borrow_mut().remove(key) {
            self.bytes.set(self.bytes.get() - weight(key, &plan));
        }
    }
}

fn weight(key: &[u8], plan: &CachedPlan) -> usize {
    key.len() + plan.statement.len()
}

/// Whether the caller's role and the configuration leave plans to the request alone.
pub fn may_cache(config: &Config, catalog: &Catalog, identity: &Identity) -> bool {
    config.db_pre_request.is_none()
        && setup::role_settings(config, catalog, identity).is_empty()
        && setup::role_isolation_level(config, catalog, identity).is_none()
}

/// Keeps a request's plan for the others of its shape, where it has one.
pub fn keep(scene: &Scene<'_>, job: &Job<'_>) {
    if let Some((shapes, scratch)) = scene.shape
        && let Some(plan) = CachedPlan::of(scene, job, &scratch.spans)
    {
        shapes.insert(&scratch.key, Rc::new(plan));
    }
}

/// Headers that a plan depends on.
const OF_GET: &[&str] = &["accept", "prefer", "accept-profile"];
const OF_POST: &[&str] = &["accept", "prefer", "content-profile", "content-type"];

/// Writes the request's key and finds its values; false where it has to take the long way.
pub fn scan(http: &Request<'_>, scratch: &mut Scratch) -> bool {
    let Scratch { key, spans, .. } = scratch;
    if scan_shape(http.method, http.target, key, spans) != ShapeScan::Simple {
        return false;
    }
    let is_post = http.method == Method::Post;
    for name in if is_post { OF_POST } else { OF_GET } {
        let mut values = http.headers.all(name);
        key.push(0);
        if let Some(value) = values.next() {
            key.push(1);
            key.extend_from_slice(value);
        }
        if values.next().is_some() {
            return false;
        }
    }
    if is_post { scan_body(http, key) } else { http.headers.first("range").is_none() }
}

/// Adds the names of the body's members; false for anything but a small JSON object.
fn scan_body(http: &Request<'_>, key: &mut Vec<u8>) -> bool {
    let is_json = match http.headers.first("content-type") {
        Some(media) => media.strip_prefix(b"application/json").is_some_and(|rest| matches!(rest, [] | [b';', ..])),
        None => true,
    };
    // No header has a zero byte: here the names begin.
    key.push(0);
    is_json && http.body.len() <= limits::SHAPE_BODY_BYTES_MAX && write_member_names(http.body, key)
}

impl CachedPlan {
    /// Keeps what a planned request has that its values don't change; `None` where they may.
    pub fn of(scene: &Scene<'_>, job: &Job<'_>, spans: &[ValueSpan]) -> Option<Self> {
        let (plan, preferences) = (job.plan, &scene.request.preferences);
        let ResultShape::Rows(shape) = &job.statement.result else { return None };
        let relation = match &scene.request.action {
            Action::Read { relation, body: BodyWanted::Full } => Some(relation.to_string()),
            Action::Call { by: Invocation::Get(BodyWanted::Full) | Invocation::Post, .. } => None,
            Action::Read { .. }
            | Action::Call { .. }
            | Action::Mutate { .. }
            | Action::RelationInfo { .. }
            | Action::RoutineInfo { .. }
            | Action::SchemaRead { .. }
            | Action::SchemaInfo => return None,
        };
        let plain = plan.answer.explain.is_none()
            && plan.warnings.is_empty()
            && job.afterwards.is_none()
            && matches!(job.form, Form::Implicit | Form::Checked { .. })
            && preferences.timezone.is_none()
            && preferences.max_affected.is_none();
        if !plain {
            return None;
        }
        let arguments = &scene.request.query.arguments;
        let sources =
            job.statement.params.iter().map(|param| Source::of(param, spans, arguments)).collect::<Option<_>>()?;
        let (framing, nulls) = answer::framing(plan);
        Some(Self {
            statement: job.statement.text.clone(),
            sources,
            shape: shape.clone(),
            compiled: RefCell::default(),
            framing,
            nulls,
            streaming: job.streaming,
            total: plan.total,
            yields: plan.yields,
            access: job.access,
            form: job.form,
            response: answer::response_settings(scene, job),
            routine_settings: job.routine.map_or_else(Vec::new, |routine| routine.settings.clone()),
            schema: scene.request.schema.to_string(),
            relation,
            content_type: plan.answer.media.content_type(),
            content_profile: scene.request.negotiated_by_profile.then(|| scene.request.schema.to_string()),
            preference_applied: answer::preference_applied(scene),
        })
    }

    /// What runs no code that users wrote and changes nothing may run twice.
    pub fn sharing(&self) -> Sharing {
        let repeatable = self.access == Access::ReadOnly
            && self.response == ResponseSettings::Ignored
            && self.relation.is_some()
            && self.form == Form::Implicit;
        if repeatable { Sharing::Together } else { Sharing::Alone }
    }

    /// Fills the statement's parameters; false where a value is no UTF-8.
    pub fn fill(&self, http: &Request<'_>, spans: &[ValueSpan], values: &mut Values) -> bool {
        values.clear();
        self.sources.iter().all(|source| source.push(http, spans, values))
    }

    /// What the result says of the answer's rows.
    pub fn counted(&self, counted: Counted) -> Counted {
        if self.yields.is_set() { counted } else { Counted { rows: 1, ..counted } }
    }

    pub fn total(&self, counted: Counted) -> Option<u64> {
        match self.total {
            Total::PageRows => Some(counted.rows),
            Total::Exact => counted.total,
            Total::Unasked | Total::Planned | Total::Estimated { .. } => None,
        }
    }
}

/// The root's offset, or 0.
pub fn offset(target: &[u8], spans: &[ValueSpan]) -> u64 {
    spans.iter().find(|span| span.kind == ValueKind::Offset).map_or(0, |span| span.number(target))
}

impl Source {
    fn of(param: &Param, spans: &[ValueSpan], arguments: &[(Cow<'_, str>, Cow<'_, str>)]) -> Option<Self> {
        let at = |wanted: fn(ValueKind) -> bool, number: usize| {
            spans.iter().enumerate().filter(|(_, span)| wanted(span.kind)).nth(number).map(|(index, _)| index)
        };
        let argument = |number: usize| at(|kind| kind == ValueKind::Argument, number);
        let index = match (param.transform, param.slot) {
            (Transform::Limit { .. } | Transform::Offset, Some(_)) => return None,
            (Transform::Payload, _) => return param.value.is_none().then_some(Self::Body),
            (Transform::Limit { .. }, None) => at(|kind| kind == ValueKind::Limit, 0),
            (Transform::Offset, None) => at(|kind| kind == ValueKind::Offset, 0),
            (Transform::Argument, slot) => Some(argument(usize::try_from(slot?).ok()?)?),
            (Transform::Items, slot) => {
                let (name, _) = arguments.get(usize::try_from(slot?).ok()?)?;
                let items = arguments.iter().enumerate().filter(|(_, (other, _))| other == name);
                return items.map(|(number, _)| argument(number)).collect::<Option<_>>().map(Self::Items);
            }
            (Transform::Verbatim | Transform::StarToPercent | Transform::ArrayLiteral, None) => None,
            (Transform::Verbatim | Transform::StarToPercent | Transform::ArrayLiteral, Some(slot)) => {
                let value = |kind| matches!(kind, ValueKind::Operand | ValueKind::List);
                Some(at(value, usize::try_from(slot).ok()?)?)
            }
        };
        Some(match index {
            Some(index) => Self::Span { index, transform: param.transform },
            None => Self::Fixed(param.value.clone()),
        })
    }

    fn push(&self, http: &Request<'_>, spans: &[ValueSpan], values: &mut Values) -> bool {
        match self {
            Self::Fixed(Some(value)) => values.push(value),
            Self::Fixed(None) => values.push_null(),
            Self::Body => values.push(http.body),
            Self::Items(indexes) => {
                let text = |&index: &usize| spans.get(index).and_then(|span| span.text(http.target));
                let Some(items) = indexes.iter().map(text).collect::<Option<Vec<_>>>() else { return false };
                values.push_with(|out| write_items(&items, out));
            }
            Self::Span { index, transform } => {
                let Some(span) = spans.get(*index) else { return false };
                return push_span(*span, *transform, http.target, values);
            }
        }
        true
    }
}

fn push_span(span: ValueSpan, transform: Transform, target: &[u8], values: &mut Values) -> bool {
    match span.kind {
        ValueKind::Operand | ValueKind::Argument => {
            let Some(text) = span.text(target) else { return false };
            values.push_with(|out| transform.write_text(&text, out));
        }
        ValueKind::List => {
            let Some(items) = span.list(target) else { return false };
            values.push_with(|out| write_array(&items, out));
        }
        ValueKind::Limit | ValueKind::Offset => {
            values.push_with(|out| transform.write_number(span.number(target).into(), out));
        }
    }
    true
}
