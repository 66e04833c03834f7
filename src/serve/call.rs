//! Calls of routines: the overload chosen, the routine run once, its result answered.

use super::answer::{self, Counted, Job, Judge};
use super::payload::BodyValue;
use super::rows::Streaming;
use super::transaction::{End, Form, Preparation};
use super::{Core, Scene, ServeError, shape_cache};
use crate::catalog::Routine;
use crate::http::Reply;
use crate::plan::negotiate::AnswerForm;
use crate::plan::read::Maker;
use crate::plan::{CallPlan, PlanSettings, call, plan_call};
use crate::request::prefer::Handling;
use crate::respond::max_affected::TooManyAffected;
use crate::sql::call::call_statement;
use crate::sql::setup::Access;

/// What a call's result must be for its transaction to be kept.
struct Limits<'j> {
    plan: &'j CallPlan<'j>,
    max_affected: Option<i64>,
    end: End,
}

impl Judge for Limits<'_> {
    fn judge(&self, counted: Counted) -> Result<End, ServeError> {
        answer::check_singular(&self.plan.read, counted)?;
        if let Some(max) = self.max_affected
            && i64::try_from(counted.rows).map_or(true, |rows| rows > max)
        {
            return Err(TooManyAffected { rows: counted.rows }.into());
        }
        Ok(self.end)
    }
}

impl Core {
    pub(super) async fn call_routine(&self, scene: &Scene<'_>, reply: &mut Reply) -> Result<(), ServeError> {
        let routine = call::choose(scene.request, scene.catalog)?.as_ref();
        let access = if call::may_write(scene.request, routine) { Access::ReadWrite } else { Access::ReadOnly };
        let mut settings = answer::plan_settings(scene, Some(routine));
        // Without prepared statements nobody knows the result's columns before the routine has run.
        settings.row_writer = access == Access::ReadOnly || answer::preparation(scene) == Preparation::Prepared;
        loop {
            match self.call_once(scene, routine, access, settings, reply).await {
                // The catalog is older than the routine. What it did was taken back, or it has not run at all.
                Err(ServeError::FormMismatch) if settings.row_writer => {
                    settings.row_writer = false;
                    reply.clear_body();
                }
                outcome => return outcome,
            }
        }
    }

    async fn call_once(
        &self,
        scene: &Scene<'_>,
        routine: &Routine,
        access: Access,
        settings: PlanSettings,
        reply: &mut Reply,
    ) -> Result<(), ServeError> {
        let plan = plan_call(scene.request, scene.catalog, routine, settings)?;
        let statement = call_statement(&plan);
        let preferences = &scene.request.preferences;
        let strict = preferences.handling == Some(Handling::Strict);
        let judge =
            Limits { plan: &plan, max_affected: preferences.max_affected.filter(|_| strict), end: answer::end(scene) };
        let job = Job {
            plan: &plan.read,
            statement: &statement,
            afterwards: None,
            payload: BodyValue::of(scene.request.payload.as_ref(), scene.http),
            access,
            routine: Some(routine),
            form: form(scene, &judge, access),
            streaming: Streaming::Never,
        };
        shape_cache::keep(scene, &job);
        let outcome = self.run_job(scene, job, &judge, reply).await?;
        let counted = if plan.read.yields.is_set() { outcome.counted } else { Counted { rows: 1, ..outcome.counted } };
        judge.judge(counted)?;
        answer::finish(scene, job, &answer::Outcome { counted, ..outcome }, reply)
    }
}

/// What writes is ended by a look at the result wherever that can mean anything but COMMIT.
fn form(scene: &Scene<'_>, judge: &Limits<'_>, access: Access) -> Form {
    let level = answer::isolation_level(scene, Some(judge.plan.routine));
    let read = &judge.plan.read;
    let may_refuse =
        judge.max_affected.is_some() || matches!(read.answer.form, AnswerForm::Object { .. }) && read.yields.is_set();
    match (level, access) {
        (Some(level), access) => Form::Explicit { begin: answer::begin_text(level, access) },
        (None, Access::ReadWrite) if may_refuse || judge.end == End::Rollback => {
            Form::Explicit { begin: answer::begin_text("", access) }
        }
        (None, Access::ReadWrite) if read.maker == Maker::RowWriter => {
            Form::Checked { begin: answer::begin_text("", access) }
        }
        (None, Access::ReadOnly | Access::ReadWrite) => Form::Implicit,
    }
}
