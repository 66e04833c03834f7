//! Reads whose shape was planned before: the URL without its values → statement, row writer and fixed parts of the head.
//! A request that hits neither parses nor plans nor writes SQL: its values go straight into the statement's parameters.
//! Owns: one map per core and published version, so that a new catalog or configuration empties it.
//! Invariant: equal keys mean equal plans but for values. What a plan takes from elsewhere (the role's settings, a
//! pre-request function) turns caching off.
//! Limits: `limits::SHAPES_PER_CORE`, `SHAPES_BYTES_PER_CORE`, `SHAPE_BYTES_MAX`.

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
use crate::plan::user_code;
use crate::request::shape::{ShapeScan, ValueKind, ValueSpan, scan_shape};
use crate::request::{Action, BodyWanted};
use crate::sql::param::write_array;
use crate::sql::setup::Values;
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

/// A read that needs nothing but its values.
#[derive(Debug)]
pub struct CachedRead {
    pub statement: String,
    sources: Vec<Source>,
    pub shape: crate::json::RowShape,
    pub compiled: RefCell<CompiledWriter>,
    pub framing: Framing,
    pub nulls: Nulls,
    pub streaming: Streaming,
    total: Total,
    pub schema: String,
    pub relation: String,
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
    Span { index: usize, transform: Transform },
}

#[derive(Debug, Default)]
pub struct ShapeCache {
    shapes: RefCell<HashMap<Box<[u8]>, Rc<CachedRead>, ahash::RandomState>>,
    /// Of all `weight`s.
    bytes: Cell<usize>,
}

impl ShapeCache {
    pub fn get(&self, key: &[u8]) -> Option<Rc<CachedRead>> {
        self.shapes.borrow().get(key).cloned()
    }

    pub fn insert(&self, key: &[u8], read: Rc<CachedRead>) {
        self.remove(key);
        let weight = weight(key, &read);
        if weight > limits::SHAPE_BYTES_MAX {
            return;
        }
        let mut shapes = self.shapes.borrow_mut();
        if shapes.len() >= limits::SHAPES_PER_CORE || self.bytes.get() + weight > limits::SHAPES_BYTES_PER_CORE {
            // Whoever sends so many shapes gains little from any of them; starting over is bounded and rare.
            shapes.clear();
            self.bytes.set(0);
        }
        shapes.insert(key.into(), read);
        self.bytes.set(self.bytes.get() + weight);
    }

    pub fn remove(&self, key: &[u8]) {
        if let Some(read) = self.shapes.borrow_mut().remove(key) {
            self.bytes.set(self.bytes.get() - weight(key, &read));
        }
    }
}

fn weight(key: &[u8], read: &CachedRead) -> usize {
    key.len() + read.statement.len()
}

/// Whether the caller's role and the configuration leave plans to the request alone.
pub fn may_cache(config: &Config, catalog: &Catalog, identity: &Identity) -> bool {
    config.db_pre_request.is_none()
        && setup::role_settings(config, catalog, identity).is_empty()
        && setup::role_isolation_level(config, catalog, identity).is_none()
}

/// Writes the request's key and finds its values; false where it has to take the long way.
pub fn scan(http: &Request<'_>, scratch: &mut Scratch) -> bool {
    if http.method != Method::Get || scan_shape(http.target, &mut scratch.key, &mut scratch.spans) != ShapeScan::Simple
    {
        return false;
    }
    for name in ["accept", "prefer", "accept-profile"] {
        let mut values = http.headers.all(name);
        scratch.key.push(0);
        if let Some(value) = values.next() {
            scratch.key.push(1);
            scratch.key.extend_from_slice(value);
        }
        if values.next().is_some() {
            return false;
        }
    }
    http.headers.first("range").is_none()
}

impl CachedRead {
    /// Keeps what a planned read has that its values don't change; `None` where they may.
    pub fn of(scene: &Scene<'_>, job: &Job<'_>, spans: &[ValueSpan]) -> Option<Self> {
        let (plan, preferences) = (job.plan, &scene.request.preferences);
        let ResultShape::Rows(shape) = &job.statement.result else { return None };
        let Action::Read { relation, body: BodyWanted::Full } = &scene.request.action else { return None };
        let plain = plan.answer.explain.is_none()
            && plan.warnings.is_empty()
            && plan.yields == Yields::Rows
            && job.afterwards.is_none()
            && job.form == Form::Implicit
            && preferences.timezone.is_none()
            && !user_code::may_run(plan, scene.catalog);
        if !plain {
            return None;
        }
        let sources = job.statement.params.iter().map(|param| Source::of(param, spans)).collect::<Option<_>>()?;
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
            schema: scene.request.schema.to_string(),
            relation: relation.to_string(),
            content_type: plan.answer.media.content_type(),
            content_profile: scene.request.negotiated_by_profile.then(|| scene.request.schema.to_string()),
            preference_applied: answer::preference_applied(scene),
        })
    }

    /// Fills the statement's parameters; false where a value is no UTF-8.
    pub fn fill(&self, target: &[u8], spans: &[ValueSpan], values: &mut Values) -> bool {
        values.clear();
        self.sources.iter().all(|source| source.push(target, spans, values))
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
    fn of(param: &Param, spans: &[ValueSpan]) -> Option<Self> {
        let at = |wanted: fn(ValueKind) -> bool, number: usize| {
            spans.iter().enumerate().filter(|(_, span)| wanted(span.kind)).nth(number).map(|(index, _)| index)
        };
        let index = match (param.transform, param.slot) {
            (Transform::Limit { .. } | Transform::Offset, Some(_)) | (Transform::Payload, _) => return None,
            (Transform::Limit { .. }, None) => at(|kind| kind == ValueKind::Limit, 0),
            (Transform::Offset, None) => at(|kind| kind == ValueKind::Offset, 0),
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

    fn push(&self, target: &[u8], spans: &[ValueSpan], values: &mut Values) -> bool {
        let Self::Span { index, transform } = self else {
            let Self::Fixed(value) = self else { return false };
            match value {
                Some(value) => values.push(value),
                None => values.push_null(),
            }
            return true;
        };
        let Some(span) = spans.get(*index) else { return false };
        match span.kind {
            ValueKind::Operand => {
                let Some(text) = span.operand(target) else { return false };
                values.push_with(|out| transform.write_text(&text, out));
            }
            ValueKind::List => {
                let Some(items) = span.list(target) else { return false };
                values.push_with(|out| write_array(&items, out));
            }
            ValueKind::Limit | ValueKind::Offset => {
                values.push_with(|out| transform.write_number(span.number(target), out));
            }
        }
        true
    }
}
