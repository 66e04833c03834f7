//! Writes of relations: one statement in one transaction, whose end is known before anything is answered.
//! Invariant: no write is sent twice, but for one that the server never bound (`transaction::run`) and one that was rolled
//! back because its rows were not what the catalog says.

use super::answer::{self, Counted, Job, Judge, Outcome};
use super::payload::BodyValue;
use super::rows::Streaming;
use super::transaction::{End, Form};
use super::{Core, Scene, ServeError};
use crate::http::Reply;
use crate::plan::mutate;
use crate::plan::negotiate::AnswerForm;
use crate::plan::{MutatePlan, PlanSettings, plan_mutate};
use crate::request::Mutation;
use crate::request::prefer::{CountMode, Handling, Resolution};
use crate::respond::guc::ResponseGucs;
use crate::respond::key_mismatch::KeyMismatch;
use crate::respond::location::location;
use crate::respond::max_affected::TooManyAffected;
use crate::respond::preference::{Honoured, write_applied};
use crate::respond::{content_range, head, warning};
use crate::sql::mutate::{inserted_statement, mutate_statement};
use crate::sql::setup::Access;

/// What a write's result must be for its transaction to be kept.
struct Limits<'j> {
    plan: &'j MutatePlan<'j>,
    /// More rows than these are refused.
    max_affected: Option<i64>,
    end: End,
}

impl Judge for Limits<'_> {
    fn judge(&self, counted: Counted) -> Result<End, ServeError> {
        if self.plan.read.answer.explain.is_some() {
            return Ok(self.end);
        }
        match self.plan.mutation {
            Mutation::SingleUpsert if counted.rows != 1 => return Err(KeyMismatch.into()),
            Mutation::SingleUpsert => {}
            Mutation::Insert | Mutation::Update | Mutation::Delete => {
                answer::check_singular(&self.plan.read, counted)?;
            }
        }
        if let Some(max) = self.max_affected
            && i64::try_from(counted.rows).map_or(true, |rows| rows > max)
        {
            return Err(TooManyAffected { rows: counted.rows }.into());
        }
        Ok(self.end)
    }
}

impl Limits<'_> {
    /// Whether the result can mean anything but what was going to happen anyway. Rows that are answered may turn out to
    /// be too many, or not what the catalog says.
    fn may_refuse(&self) -> bool {
        self.plan.mutation == Mutation::SingleUpsert
            || self.max_affected.is_some()
            || self.plan.outcome == mutate::Outcome::Rows
            || matches!(self.plan.read.answer.form, AnswerForm::Object { .. })
    }
}

impl Core {
    pub(super) async fn write(&self, scene: &Scene<'_>, reply: &mut Reply) -> Result<(), ServeError> {
        let mut settings = answer::plan_settings(scene, None);
        loop {
            match self.write_once(scene, settings, reply).await {
                // The catalog is older than the table, and what was written has been rolled back.
                Err(ServeError::FormMismatch) if settings.row_writer => {
                    settings.row_writer = false;
                    reply.clear_body();
                }
                outcome => return outcome,
            }
        }
    }

    async fn write_once(&self, scene: &Scene<'_>, settings: PlanSettings, reply: &mut Reply) -> Result<(), ServeError> {
        let plan = plan_mutate(scene.request, scene.catalog, settings)?;
        let statement = mutate_statement(&plan);
        let inserted = plan.counts_inserted().then(inserted_statement);
        let limits = Limits { plan: &plan, max_affected: max_affected(scene, plan.mutation), end: answer::end(scene) };
        let job = Job {
            plan: &plan.read,
            statement: &statement,
            afterwards: inserted.as_ref(),
            payload: BodyValue::of(scene.request.payload.as_ref(), scene.http),
            access: Access::ReadWrite,
            routine: None,
            form: form(scene, &limits),
            streaming: Streaming::Never,
        };
        let outcome = self.run_job(scene, job, &limits, reply).await?;
        finish(scene, &plan, &outcome, reply)
    }
}

/// Only where rows that are there already are changed or removed, and only if the client insists.
fn max_affected(scene: &Scene<'_>, mutation: Mutation) -> Option<i64> {
    let preferences = &scene.request.preferences;
    match mutation {
        Mutation::Update | Mutation::Delete if preferences.handling == Some(Handling::Strict) => {
            preferences.max_affected
        }
        Mutation::Update | Mutation::Delete | Mutation::Insert | Mutation::SingleUpsert => None,
    }
}

/// A transaction that can only end by COMMIT is the batch itself.
fn form(scene: &Scene<'_>, limits: &Limits<'_>) -> Form {
    match answer::isolation_level(scene, None) {
        Some(level) => Form::Explicit { begin: answer::begin_text(level, Access::ReadWrite) },
        None if limits.may_refuse() || limits.end == End::Rollback => {
            Form::Explicit { begin: answer::begin_text("", Access::ReadWrite) }
        }
        None => Form::Implicit,
    }
}

/// Status and headers; the body is in the reply.
fn finish(scene: &Scene<'_>, plan: &MutatePlan<'_>, outcome: &Outcome, reply: &mut Reply) -> Result<(), ServeError> {
    let gucs = ResponseGucs::parse(outcome.gucs.as_deref().unwrap_or_default())?;
    if plan.read.answer.explain.is_some() {
        reply.head.set_status(200, None);
        answer::write_types(&mut reply.head, scene, &plan.read);
    } else {
        write_head(scene, plan, outcome, reply);
    }
    gucs.apply(&mut reply.head);
    head::finish(&mut reply.head);
    Ok(())
}

fn write_head(scene: &Scene<'_>, plan: &MutatePlan<'_>, outcome: &Outcome, reply: &mut Reply) {
    let preferences = &scene.request.preferences;
    let head = &mut reply.head;
    head.set_status(status(scene, plan, outcome), None);
    let mut value = Vec::new();
    if let mutate::Outcome::Location(columns) = &plan.outcome
        && outcome.counted.rows == 1
        && !columns.is_empty()
    {
        head.add("Location", location(plan.relation.name.name.as_str(), columns, &outcome.key).as_bytes());
    }
    let counts = matches!(preferences.count, Some(CountMode::Exact | CountMode::Estimated));
    let total = counts.then_some(outcome.counted.rows);
    match plan.mutation {
        Mutation::Insert | Mutation::Delete => content_range::write(&mut value, 0, 0, total),
        Mutation::Update => content_range::write(&mut value, 0, outcome.counted.rows, total),
        Mutation::SingleUpsert => {}
    }
    if !value.is_empty() {
        head.add("Content-Range", &value);
    }
    if plan.outcome == mutate::Outcome::Rows {
        answer::write_types(head, scene, &plan.read);
    }
    value.clear();
    write_applied(&mut value, preferences, honoured(scene, plan));
    if !value.is_empty() {
        head.add("Preference-Applied", &value);
    }
    if !plan.read.warnings.is_empty() {
        head.add("Warning", warning::legacy_names(&plan.read.warnings).as_bytes());
    }
}

fn status(scene: &Scene<'_>, plan: &MutatePlan<'_>, outcome: &Outcome) -> u16 {
    let inserted = outcome.first_rows.first().and_then(|row| row.first()?.as_deref());
    let none_inserted = inserted.is_none_or(|count| count.starts_with(b"-") || count == b"0");
    match (plan.mutation, &plan.outcome) {
        (Mutation::Insert, _) => {
            let merges = scene.request.preferences.resolution == Some(Resolution::MergeDuplicates);
            if merges && none_inserted { 200 } else { 201 }
        }
        (Mutation::SingleUpsert, mutate::Outcome::Rows) if !none_inserted => 201,
        (Mutation::SingleUpsert | Mutation::Update | Mutation::Delete, mutate::Outcome::Rows) => 200,
        (Mutation::SingleUpsert | Mutation::Update | Mutation::Delete, _) => 204,
    }
}

fn honoured(scene: &Scene<'_>, plan: &MutatePlan<'_>) -> Honoured {
    let changes = matches!(plan.mutation, Mutation::Update | Mutation::Delete);
    Honoured {
        resolution: plan.mutation == Mutation::Insert && plan.resolvable,
        representation: true,
        missing: matches!(plan.mutation, Mutation::Insert | Mutation::Update),
        max_affected: changes,
        transaction: scene.request.preferences.transaction.is_some(),
    }
}
