//! Running a read-shaped statement, whatever its rows come from, and writing the answer's head: reads of relations, what a
//! mutation returns, what a routine returns.

use std::cell::RefCell;
use std::rc::Rc;

use super::cells::{Cells, Rest};
use super::payload::BodyValue;
use super::rows::{CompiledWriter, Framing, Rows, RowsJob, Streaming};
use super::setup::{self, Setting, fill};
use super::transaction::{self, End, FirstRow, FirstRows, Form, Manner, Preparation, Sink, Step, Want};
use super::{Core, Scene, ServeError};
use crate::catalog::Routine;
use crate::config::TxEnd;
use crate::error::body::error_body;
use crate::http::{Reply, ResponseHead};
use crate::json::{ROW_SEPARATOR, SCALAR_SEPARATOR, STRIPPED_SEPARATOR};
use crate::media::Nulls;
use crate::observe::timing::Stage;
use crate::plan::field::Reading;
use crate::plan::negotiate::AnswerForm;
use crate::plan::read::{Total, Yields};
use crate::plan::{PlanSettings, ReadPlan, user_code};
use crate::pool::Sharing;
use crate::request::prefer::TransactionEnd;
use crate::request::query::canonical;
use crate::request::{Action, BodyWanted};
use crate::respond::content_range::{self, OffsetPastEnd};
use crate::respond::guc::{self, ResponseGucs};
use crate::respond::head;
use crate::respond::preference::{Honoured, write_applied};
use crate::respond::singular::NotSingular;
use crate::sql::setup::{Access, ResponseSettings, Values, call_text};
use crate::sql::{Param, ResultShape, Statement, Transform};
use crate::wire::row::{DataRow, RowDescription};

/// What the result says about itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    pub rows: u64,
    pub total: Option<u64>,
}

/// A statement with what surrounds it in its transaction.
#[derive(Clone, Copy)]
pub struct Job<'j> {
    pub plan: &'j ReadPlan<'j>,
    pub statement: &'j Statement,
    /// Run after it, its first row kept: the planner's estimate, or how many rows were new.
    pub afterwards: Option<&'j Statement>,
    /// The request's body where the statement takes it as a parameter.
    pub payload: BodyValue<'j>,
    pub access: Access,
    /// The routine that is called: its settings and isolation level are the transaction's.
    pub routine: Option<&'j Routine>,
    pub form: Form,
    /// Whether the body may leave before the transaction's end.
    pub streaming: Streaming,
}

/// A job's result: the body is in the reply.
pub struct Outcome {
    pub counted: Counted,
    /// What the estimate said.
    pub first_rows: FirstRows,
    /// The key of the one row written, where the statement returned it.
    pub key: Vec<Option<Vec<u8>>>,
    /// The response settings, where any code could have set them.
    pub gucs: Option<FirstRow>,
}

/// Looks at a result before its transaction ends.
pub trait Judge {
    fn judge(&self, counted: Counted) -> Result<End, ServeError>;
}

/// A sink that knows how many rows it took.
pub trait Counts {
    fn counted(&self) -> Counted;
}

struct Judged<'j, S, J> {
    sink: S,
    judge: &'j J,
}

impl<S: Sink + Counts, J: Judge> Sink for Judged<'_, S, J> {
    fn columns(&mut self, fields: &Rc<RowDescription>) -> Result<(), ServeError> {
        self.sink.columns(fields)
    }

    #[inline]
    fn row(&mut self, row: DataRow<'_>, reply: &mut Reply) -> Result<(), ServeError> {
        self.sink.row(row, reply)
    }

    async fn pause(&mut self, reply: &mut Reply) -> Result<(), ServeError> {
        self.sink.pause(reply).await
    }

    fn verdict(&self, _first_rows: &FirstRows) -> Result<End, ServeError> {
        self.judge.judge(self.sink.counted())
    }
}

impl Core {
    /// Runs the job in one transaction. The body is complete in `reply`, or on its way.
    pub(super) async fn run_job<J: Judge>(
        &self,
        scene: &Scene<'_>,
        job: Job<'_>,
        judge: &J,
        reply: &mut Reply,
    ) -> Result<Outcome, ServeError> {
        let pre_request = pre_request(scene);
        let response = response_settings(scene, &job);
        let gucs = response == ResponseSettings::Cleared;
        let mut setup_values = Values::default();
        let routine_settings = job.routine.map_or(&[][..], |routine| &routine.settings);
        let setting = Setting::of(scene, routine_settings, response);
        let shape = fill(&setting, job.access, &mut setup_values);
        let setup = self.setups.text(shape);
        let main_values = values_of(&job.statement.params);
        let afterwards_values = job.afterwards.map(|afterwards| values_of(&afterwards.params));
        let none = Values::default();
        let mut steps =
            vec![Step { text: &setup, values: &setup_values, want: Want::Nothing, payload: BodyValue::NONE }];
        steps.extend(pre_request.as_deref().map(|text| Step {
            text,
            values: &none,
            want: Want::Nothing,
            payload: BodyValue::NONE,
        }));
        steps.push(Step { text: &job.statement.text, values: &main_values, want: Want::Main, payload: job.payload });
        if let (Some(afterwards), Some(values)) = (job.afterwards, &afterwards_values) {
            steps.push(Step { text: &afterwards.text, values, want: Want::FirstRow, payload: BodyValue::NONE });
        }
        if gucs {
            steps.push(Step { text: guc::READ, values: &none, want: Want::FirstRow, payload: BodyValue::NONE });
        }
        self.begin_transaction(scene, job.plan, &steps);
        let (counted, mut first_rows, key) = self.take_result(scene, job, &steps, judge, reply).await?;
        scene.extras.observed.clock.mark(Stage::Transaction);
        let gucs = if gucs { first_rows.pop() } else { None };
        Ok(Outcome { counted, first_rows, key, gucs })
    }

    async fn take_result<J: Judge>(
        &self,
        scene: &Scene<'_>,
        job: Job<'_>,
        steps: &[Step<'_>],
        judge: &J,
        reply: &mut Reply,
    ) -> Result<(Counted, FirstRows, Vec<Option<Vec<u8>>>), ServeError> {
        let pool = &self.database.pool;
        let manner = Manner { form: job.form, preparation: preparation(scene), sharing: Sharing::Alone };
        let body_bytes_max = scene.config.max_response_bytes();
        let (leading, rest): (&[_], _) = match &job.statement.result {
            ResultShape::Rows(shape) => {
                let (framing, nulls) = framing(job.plan);
                let compiled = RefCell::new(CompiledWriter::default());
                let streaming = job.streaming;
                let rows_job = RowsJob { shape, compiled: &compiled, framing, nulls, streaming, body_bytes_max };
                let stream_head = |head: &mut ResponseHead| {
                    let offset = scene.request.range.offset;
                    write_head(head, scene, job.plan, 200, |out| content_range::write_open(out, offset));
                    head::finish(head);
                    scene.extras.observed.clock.mark(Stage::Transaction);
                    scene.extras.write(head);
                };
                let mut judged = Judged { sink: Rows::new(rows_job, stream_head), judge };
                let first_rows = transaction::run(pool, steps, manner, &mut judged, reply).await?;
                judged.sink.finish(reply);
                return Ok((judged.sink.counted(), first_rows, Vec::new()));
            }
            ResultShape::Body { leading } => (leading, Rest::Body),
            ResultShape::Counts { leading } => (leading, Rest::Nothing),
            ResultShape::Key { leading } => (leading, Rest::Fields),
            ResultShape::PlanLines => (&[], Rest::Lines),
            ResultShape::Discard => (&[], Rest::Nothing),
        };
        let mut judged = Judged { sink: Cells::new(leading, rest, body_bytes_max), judge };
        let first_rows = transaction::run(pool, steps, manner, &mut judged, reply).await?;
        Ok((judged.sink.counted(), first_rows, judged.sink.fields))
    }
}

/// Status and headers of a result; the body is replaced where the range lies behind its end.
pub fn finish(scene: &Scene<'_>, job: Job<'_>, outcome: &Outcome, reply: &mut Reply) -> Result<(), ServeError> {
    let Outcome { counted, first_rows, key: _, gucs } = outcome;
    let estimated = job.afterwards.and_then(|_| first_rows.first());
    let total = total(job.plan.total, *counted, estimated);
    let gucs = ResponseGucs::parse(gucs.as_deref().unwrap_or_default())?;
    if reply.is_streaming() {
        return Ok(());
    }
    if job.plan.answer.explain.is_some() {
        reply.head.set_status(200, None);
        write_types(&mut reply.head, scene, job.plan);
    } else {
        let offset = scene.request.range.offset;
        let status = match content_range::status(offset, counted.rows, total) {
            200 if job.plan.yields == Yields::Nothing => 204,
            status => status,
        };
        if status == 416 {
            refuse_range(scene, total, reply);
        }
        write_head(&mut reply.head, scene, job.plan, status, |out| {
            content_range::write(out, offset, counted.rows, total);
        });
        if status == 204 {
            reply.clear_body();
        }
    }
    gucs.apply(&mut reply.head);
    head::finish(&mut reply.head);
    Ok(())
}

/// One object was asked for: another number of rows is refused.
pub fn check_singular(plan: &ReadPlan<'_>, counted: Counted) -> Result<(), ServeError> {
    let singular = matches!(plan.answer.form, AnswerForm::Object { .. }) && plan.answer.explain.is_none();
    if singular && plan.yields.is_set() && counted.rows != 1 {
        return Err(NotSingular { rows: counted.rows }.into());
    }
    Ok(())
}

/// `begin` for a transaction of that isolation level.
pub fn begin_text(level: &str, access: Access) -> &'static str {
    match (level, access) {
        ("serializable", Access::ReadOnly) => "begin isolation level serializable read only",
        ("serializable", Access::ReadWrite) => "begin isolation level serializable read write",
        ("repeatable read", Access::ReadOnly) => "begin isolation level repeatable read read only",
        ("repeatable read", Access::ReadWrite) => "begin isolation level repeatable read read write",
        (_, Access::ReadOnly) => "begin isolation level read committed read only",
        (_, Access::ReadWrite) => "begin isolation level read committed read write",
    }
}

/// Only code that users wrote can have set `response.*`: a routine, a pre-request function, what a read leans on; a write
/// may run triggers, policies, defaults.
pub fn response_settings(scene: &Scene<'_>, job: &Job<'_>) -> ResponseSettings {
    let user_code = job.access == Access::ReadWrite
        || job.routine.is_some()
        || scene.config.db_pre_request.is_some()
        || user_code::may_run(job.plan, scene.catalog);
    if user_code { ResponseSettings::Cleared } else { ResponseSettings::Ignored }
}

/// How transactions end that nobody refuses (`db-tx-end`, `Prefer: tx`).
pub fn end(scene: &Scene<'_>) -> End {
    let asked = scene.request.preferences.transaction;
    match (scene.config.db_tx_end, asked) {
        (TxEnd::Commit, _) => End::Commit,
        (TxEnd::Rollback, _) => End::Rollback,
        (TxEnd::CommitAllowOverride | TxEnd::RollbackAllowOverride, Some(TransactionEnd::Commit)) => End::Commit,
        (TxEnd::CommitAllowOverride | TxEnd::RollbackAllowOverride, Some(TransactionEnd::Rollback)) => End::Rollback,
        (TxEnd::CommitAllowOverride, None) => End::Commit,
        (TxEnd::RollbackAllowOverride, None) => End::Rollback,
    }
}

/// The isolation level that the routine or the role asks for.
pub fn isolation_level<'s>(scene: &Scene<'s>, routine: Option<&'s Routine>) -> Option<&'s str> {
    let of_routine = routine.and_then(|routine| routine.isolation_level.as_deref());
    of_routine.or_else(|| setup::role_isolation_level(scene.config, scene.catalog, scene.identity))
}

pub fn plan_settings(scene: &Scene<'_>, routine: Option<&Routine>) -> PlanSettings {
    let role_settings = setup::role_settings(scene.config, scene.catalog, scene.identity);
    let settings = routine.map_or(&[][..], |routine| routine.settings.as_slice());
    let date_style = |(name, _): &(String, String)| name.eq_ignore_ascii_case("datestyle");
    PlanSettings {
        max_rows: scene.config.db_max_rows,
        aggregates_enabled: scene.config.db_aggregates_enabled,
        legacy_target_names: scene.config.url_use_legacy_target_names,
        plan_enabled: scene.config.db_plan_enabled,
        date_style_iso: !role_settings.iter().chain(settings).any(date_style),
        row_writer: true,
    }
}

pub(super) fn preparation(scene: &Scene<'_>) -> Preparation {
    if scene.config.db_prepared_statements { Preparation::Prepared } else { Preparation::Unnamed }
}

pub(super) fn pre_request(scene: &Scene<'_>) -> Option<String> {
    let routine = scene.config.db_pre_request.as_ref()?;
    Some(call_text(routine.schema.as_ref().map(|schema| schema.as_str()), routine.name.as_str()))
}

fn values_of(params: &[Param]) -> Values {
    let mut values = Values::default();
    for param in params {
        match &param.value {
            Some(value) => values.push(value),
            None if param.transform == Transform::Payload => values.push_payload(),
            None => values.push_null(),
        }
    }
    values
}

/// What the rows are put between, and whether nulls stay.
pub fn framing(plan: &ReadPlan<'_>) -> (Framing, Nulls) {
    match (plan.answer.form, plan.yields) {
        (AnswerForm::Array { nulls } | AnswerForm::Object { nulls }, Yields::Scalar | Yields::Nothing) => {
            (Framing::Scalar, nulls)
        }
        (AnswerForm::Array { nulls }, Yields::Scalars) => {
            (Framing::Scalars { separator: separator(plan, nulls) }, nulls)
        }
        (AnswerForm::Array { nulls } | AnswerForm::Object { nulls }, Yields::Row) => (Framing::First, nulls),
        (AnswerForm::Array { nulls }, Yields::Rows) => (Framing::Array, nulls),
        (AnswerForm::Object { nulls }, Yields::Rows | Yields::Scalars) => (Framing::Singular, nulls),
        (AnswerForm::Csv | AnswerForm::GeoJson | AnswerForm::Handler { .. } | AnswerForm::Raw, _) => {
            (Framing::None, Nulls::Kept)
        }
    }
}

/// Between two scalars: PostgreSQL breaks the line before what is structured.
fn separator(plan: &ReadPlan<'_>, nulls: Nulls) -> &'static [u8] {
    let structured = plan.root.select.first().is_some_and(|column| column.reading == Reading::ToJson);
    match nulls {
        Nulls::Stripped => STRIPPED_SEPARATOR,
        Nulls::Kept if structured => ROW_SEPARATOR,
        Nulls::Kept => SCALAR_SEPARATOR,
    }
}

/// An array that nobody counts, made by SQL that runs no user code: nothing in its head depends on its rows but the last
/// row's number.
pub fn streaming(scene: &Scene<'_>, plan: &ReadPlan<'_>) -> Streaming {
    let fixed = match (plan.answer.form, plan.total) {
        (AnswerForm::Array { .. }, Total::Unasked) => plan.body == BodyWanted::Full,
        _ => false,
    };
    if fixed && !user_code::may_run(plan, scene.catalog) { Streaming::PastBuffer } else { Streaming::Never }
}

/// The total for Content-Range from what the statements said.
fn total(kind: Total, counted: Counted, estimate: Option<&FirstRow>) -> Option<u64> {
    let estimated = || estimate.and_then(|row| row.first()?.as_deref().and_then(plan_rows));
    match kind {
        Total::Unasked => None,
        Total::PageRows => Some(counted.rows),
        Total::Exact => counted.total,
        Total::Planned => estimated(),
        Total::Estimated { rows_max } => match counted.total {
            Some(total) if total > rows_max => Some(total.max(estimated().unwrap_or(0))),
            total => total,
        },
    }
}

/// `Plan Rows` of the top node of an EXPLAIN (FORMAT JSON).
fn plan_rows(explain: &[u8]) -> Option<u64> {
    const KEY: &[u8] = b"\"Plan Rows\":";
    let at = memchr::memmem::find(explain, KEY)? + KEY.len();
    let rest = std::str::from_utf8(explain.get(at..)?).ok()?.trim_start();
    let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
    digits.parse().ok()
}

pub fn write_types(head: &mut ResponseHead, scene: &Scene<'_>, plan: &ReadPlan<'_>) {
    head.add("Content-Type", plan.answer.media.content_type().as_bytes());
    if scene.request.negotiated_by_profile {
        head.add("Content-Profile", scene.request.schema.as_bytes());
    }
}

fn write_head(
    head: &mut ResponseHead,
    scene: &Scene<'_>,
    plan: &ReadPlan<'_>,
    status: u16,
    range: impl FnOnce(&mut Vec<u8>),
) {
    head.set_status(status, None);
    let mut value = Vec::new();
    range(&mut value);
    head.add("Content-Range", &value);
    if let Action::Read { relation, .. } = &scene.request.action {
        head.add("Content-Location", location(relation, scene.http.target).as_bytes());
    }
    if status != 204 {
        write_types(head, scene, plan);
    }
    let applied = preference_applied(scene);
    if !applied.is_empty() {
        head.add("Preference-Applied", &applied);
    }
    if !plan.warnings.is_empty() {
        head.add("Warning", crate::respond::warning::legacy_names(&plan.warnings).as_bytes());
    }
}

/// The value of Preference-Applied for a read or call; empty where nothing applies.
pub fn preference_applied(scene: &Scene<'_>) -> Vec<u8> {
    let mut value = Vec::new();
    let transaction = scene.request.preferences.transaction.is_some();
    let max_affected = matches!(scene.request.action, Action::Call { .. });
    let honoured = Honoured { transaction, max_affected, ..Honoured::default() };
    write_applied(&mut value, &scene.request.preferences, honoured);
    value
}

/// The relation's name, and the query string with its parameters sorted.
fn location(relation: &str, target: &[u8]) -> String {
    let query = canonical(target);
    if query.is_empty() { format!("/{relation}") } else { format!("/{relation}?{query}") }
}

/// The offset lies behind the last row: the body says so instead of the rows.
fn refuse_range(scene: &Scene<'_>, total: Option<u64>, reply: &mut Reply) {
    let error = OffsetPastEnd { offset: scene.request.range.offset, total: total.unwrap_or(0) };
    reply.clear_body();
    let body = error_body(&error, scene.config.client_error_verbosity.into());
    reply.body().extend_from_slice(body.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planned_rows_are_read_from_the_top_node() {
        let explain = br#"[ { "Plan": { "Node Type": "Seq Scan", "Plan Rows": 1234, "Plans": [{"Plan Rows": 9}] } } ]"#;
        assert_eq!(plan_rows(explain), Some(1234));
        assert_eq!(plan_rows(b"[]"), None);
    }
}
