//! Reads of relations: plan, statement, answer.

use super::answer::{self, Counted, Job, Judge};
use super::payload::BodyValue;
use super::transaction::{End, Form};
use super::{Core, Scene, ServeError, shape_cache};
use crate::http::Reply;
use crate::plan::{PlanSettings, ReadPlan, plan_read};
use crate::sql::count;
use crate::sql::read::read_statement;
use crate::sql::setup::Access;

/// A read changes nothing: how its transaction ends doesn't matter.
struct AsAsked<'j>(&'j ReadPlan<'j>);

impl Judge for AsAsked<'_> {
    fn judge(&self, counted: Counted) -> Result<End, ServeError> {
        answer::check_singular(self.0, counted).map(|()| End::Commit)
    }
}

impl Core {
    pub(super) async fn read(&self, scene: &Scene<'_>, reply: &mut Reply) -> Result<(), ServeError> {
        let mut settings = answer::plan_settings(scene, None);
        loop {
            match self.read_once(scene, settings, reply).await {
                // The catalog is older than the table: PostgreSQL knows the types itself.
                Err(ServeError::FormMismatch) if settings.row_writer => {
                    settings.row_writer = false;
                    reply.clear_body();
                }
                outcome => return outcome,
            }
        }
    }

    async fn read_once(&self, scene: &Scene<'_>, settings: PlanSettings, reply: &mut Reply) -> Result<(), ServeError> {
        let plan = plan_read(scene.request, scene.catalog, settings)?;
        let statement = read_statement(&plan);
        let estimate = count::explain_statement(&plan);
        let access = Access::ReadOnly;
        let form = match answer::isolation_level(scene, None) {
            Some(level) => Form::Explicit { begin: answer::begin_text(level, access) },
            None => Form::Implicit,
        };
        let job = Job {
            plan: &plan,
            statement: &statement,
            afterwards: estimate.as_ref(),
            payload: BodyValue::NONE,
            access,
            routine: None,
            form,
            streaming: answer::streaming(scene, &plan),
        };
        shape_cache::keep(scene, &job);
        let judge = AsAsked(&plan);
        let outcome = self.run_job(scene, job, &judge, reply).await?;
        judge.judge(outcome.counted)?;
        answer::finish(scene, job, &outcome, reply)
    }
}
