//! A read or call by its cached shape: the same transaction, rows and head as in `read` and `call`, without the stages in
//! between.

use super::answer::{Counted, Counts};
use super::payload::BodyValue;
use super::rows::{Framing, Rows, RowsJob};
use super::setup::{self, Setting};
use super::shape_cache::{self, CachedPlan, Scratch};
use super::transaction::{self, Manner, Preparation, Step, Want};
use super::{Core, Extras, ServeError};
use crate::auth::Identity;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::error::body::error_body;
use crate::http::{Reply, Request, ResponseHead};
use crate::observe::timing::Stage;
use crate::plan::read::Yields;
use crate::request::query::write_canonical;
use crate::respond::content_range::{self, OffsetPastEnd};
use crate::respond::guc::{self, ResponseGucs};
use crate::respond::head;
use crate::respond::singular::NotSingular;
use crate::sql::setup::{ResponseSettings, Values};

/// What a cached plan takes of its request.
#[derive(Clone, Copy)]
pub struct Hit<'r> {
    pub config: &'r Config,
    pub catalog: &'r Catalog,
    pub http: &'r Request<'r>,
    pub identity: &'r Identity,
    pub extras: Extras<'r>,
    pub plan: &'r CachedPlan,
}

impl Core {
    /// `scratch` holds the request's values. `None`: a value can't be used as it is, the long way says why.
    pub(super) async fn answer_cached(
        &self,
        hit: Hit<'_>,
        scratch: &mut Scratch,
        reply: &mut Reply,
    ) -> Option<Result<(), ServeError>> {
        if !hit.plan.fill(hit.http, &scratch.spans, &mut scratch.main) {
            return None;
        }
        Some(self.run_cached(hit, scratch, reply).await)
    }

    async fn run_cached(&self, hit: Hit<'_>, scratch: &mut Scratch, reply: &mut Reply) -> Result<(), ServeError> {
        let Hit { config, plan, .. } = hit;
        let setting = Setting {
            config,
            catalog: hit.catalog,
            http: hit.http,
            identity: hit.identity,
            schema: &plan.schema,
            timezone: None,
            routine_settings: &plan.routine_settings,
            response: plan.response,
        };
        let shape = setup::fill(&setting, plan.access, &mut scratch.setup);
        let setup = self.setups.text(shape);
        let none = Values::default();
        let steps = [
            Step { text: &setup, values: &scratch.setup, want: Want::Nothing, payload: BodyValue::NONE },
            Step { text: &plan.statement, values: &scratch.main, want: Want::Main, payload: BodyValue::NONE },
            Step { text: guc::READ, values: &none, want: Want::FirstRow, payload: BodyValue::NONE },
        ];
        let steps = match plan.response {
            ResponseSettings::Ignored => steps.split_last().map_or(&steps[..], |(_, unasked)| unasked),
            ResponseSettings::Cleared => &steps[..],
        };
        let offset = shape_cache::offset(hit.http.target, &scratch.spans);
        let job = RowsJob {
            shape: &plan.shape,
            compiled: &plan.compiled,
            framing: plan.framing,
            nulls: plan.nulls,
            streaming: plan.streaming,
            body_bytes_max: config.max_response_bytes(),
        };
        let stream_head = |head: &mut ResponseHead| {
            let (mut range, mut location) = (Vec::new(), Vec::new());
            content_range::write_open(&mut range, offset);
            write_location(&mut location, hit);
            write_head(head, hit, 200, (&range, &location));
            head::finish_plain(head);
            hit.extras.observed.clock.mark(Stage::Transaction);
            hit.extras.write(head);
        };
        let mut rows = Rows::new(job, stream_head);
        let preparation = if config.db_prepared_statements { Preparation::Prepared } else { Preparation::Unnamed };
        hit.extras.observed.begin_transaction(steps);
        let manner = Manner { form: plan.form, preparation, sharing: plan.sharing() };
        let first_rows = transaction::run(&self.database.pool, steps, manner, &mut rows, reply).await?;
        hit.extras.observed.clock.mark(Stage::Transaction);
        rows.finish(reply);
        let counted = plan.counted(rows.counted());
        if plan.framing == Framing::Singular && counted.rows != 1 {
            return Err(NotSingular { rows: counted.rows }.into());
        }
        if reply.is_streaming() {
            return Ok(());
        }
        let gucs = match plan.response {
            ResponseSettings::Ignored => None,
            ResponseSettings::Cleared => first_rows.first().map(|row| ResponseGucs::parse(row)).transpose()?,
        };
        finish(hit, (offset, counted), gucs, &mut scratch.text, reply);
        Ok(())
    }
}

/// Status and headers of a result; the body is replaced where the range lies behind its end.
fn finish(
    hit: Hit<'_>,
    (offset, counted): (u64, Counted),
    gucs: Option<ResponseGucs>,
    text: &mut Vec<u8>,
    reply: &mut Reply,
) {
    let total = hit.plan.total(counted);
    let status = match content_range::status(offset, counted.rows, total) {
        200 if hit.plan.yields == Yields::Nothing => 204,
        status => status,
    };
    if status == 204 || status == 416 {
        reply.clear_body();
    }
    if status == 416 {
        let error = OffsetPastEnd { offset, total: total.unwrap_or(0) };
        reply.body().extend_from_slice(error_body(&error, hit.config.client_error_verbosity.into()).as_bytes());
    }
    text.clear();
    content_range::write(text, offset, counted.rows, total);
    let range_len = text.len();
    write_location(text, hit);
    write_head(&mut reply.head, hit, status, text.split_at(range_len));
    match gucs {
        Some(gucs) => {
            gucs.apply(&mut reply.head);
            head::finish(&mut reply.head);
        }
        None => head::finish_plain(&mut reply.head),
    }
}

/// Path and query of this result, the latter in its canonical form; nothing for a call's.
fn write_location(out: &mut Vec<u8>, hit: Hit<'_>) {
    let Some(relation) = &hit.plan.relation else { return };
    out.push(b'/');
    out.extend_from_slice(relation.as_bytes());
    out.push(b'?');
    let without_query = out.len();
    write_canonical(out, hit.http.target);
    if out.len() == without_query {
        out.pop();
    }
}

fn write_head(head: &mut ResponseHead, hit: Hit<'_>, status: u16, (range, location): (&[u8], &[u8])) {
    let plan = hit.plan;
    head.set_status(status, None);
    head.add("Content-Range", range);
    if plan.relation.is_some() {
        head.add("Content-Location", location);
    }
    if status != 204 {
        head.add("Content-Type", plan.content_type.as_bytes());
        if let Some(schema) = &plan.content_profile {
            head.add("Content-Profile", schema.as_bytes());
        }
    }
    if !plan.preference_applied.is_empty() {
        head.add("Preference-Applied", &plan.preference_applied);
    }
}
