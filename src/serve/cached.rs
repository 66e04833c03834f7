//! A read by its cached shape: the same transaction, rows and head as `read`, without the stages in between.

use super::rows::{Rows, RowsJob};
use super::setup::{self, Setting};
use super::shape_cache::{self, CachedRead, Scratch};
use super::transaction::{self, Form, Preparation, Step, Want};
use super::{Core, Extras, ServeError};
use crate::auth::Identity;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::error::body::error_body;
use crate::http::{Reply, Request, ResponseHead};
use crate::observe::timing::Stage;
use crate::request::query::write_canonical;
use crate::respond::content_range::{self, OffsetPastEnd};
use crate::respond::head;
use crate::respond::singular::NotSingular;
use crate::serve::answer::Counts;
use crate::serve::rows::Framing;
use crate::sql::setup::{Access, ResponseSettings};

/// What a cached read takes of its request.
#[derive(Clone, Copy)]
pub struct Hit<'r> {
    pub config: &'r Config,
    pub catalog: &'r Catalog,
    pub http: &'r Request<'r>,
    pub identity: &'r Identity,
    pub extras: Extras<'r>,
    pub read: &'r CachedRead,
}

impl Core {
    /// `scratch` holds the request's values. `None`: a value can't be used as it is, the long way says why.
    pub(super) async fn read_cached(
        &self,
        hit: Hit<'_>,
        scratch: &mut Scratch,
        reply: &mut Reply,
    ) -> Option<Result<(), ServeError>> {
        if !hit.read.fill(hit.http.target, &scratch.spans, &mut scratch.main) {
            return None;
        }
        Some(self.run_cached(hit, scratch, reply).await)
    }

    async fn run_cached(&self, hit: Hit<'_>, scratch: &mut Scratch, reply: &mut Reply) -> Result<(), ServeError> {
        let Hit { config, read, .. } = hit;
        let setting = Setting {
            config,
            catalog: hit.catalog,
            http: hit.http,
            identity: hit.identity,
            schema: &read.schema,
            timezone: None,
            routine_settings: &[],
            response: ResponseSettings::Ignored,
        };
        let shape = setup::fill(&setting, Access::ReadOnly, &mut scratch.setup);
        let setup = self.setups.text(shape);
        let steps = [
            Step { text: &setup, values: &scratch.setup, want: Want::Nothing, payload: &[] },
            Step { text: &read.statement, values: &scratch.main, want: Want::Main, payload: &[] },
        ];
        let offset = shape_cache::offset(hit.http.target, &scratch.spans);
        let job = RowsJob {
            shape: &read.shape,
            compiled: &read.compiled,
            framing: read.framing,
            nulls: read.nulls,
            streaming: read.streaming,
            body_bytes_max: config.max_response_bytes(),
        };
        let stream_head = |head: &mut ResponseHead| {
            let (mut range, mut location) = (Vec::new(), Vec::new());
            content_range::write_open(&mut range, offset);
            write_location(&mut location, hit);
            write_head(head, hit, 200, (&range, &location));
            hit.extras.observed.clock.mark(Stage::Transaction);
            hit.extras.write(head);
        };
        let mut rows = Rows::new(job, stream_head);
        let preparation = if config.db_prepared_statements { Preparation::Prepared } else { Preparation::Unnamed };
        hit.extras.observed.begin_transaction(&steps);
        transaction::run(&self.database.pool, &steps, Form::Implicit, preparation, &mut rows, reply).await?;
        hit.extras.observed.clock.mark(Stage::Transaction);
        rows.finish(reply);
        let counted = rows.counted();
        if read.framing == Framing::Singular && counted.rows != 1 {
            return Err(NotSingular { rows: counted.rows }.into());
        }
        if reply.is_streaming() {
            return Ok(());
        }
        let total = read.total(counted);
        let status = content_range::status(offset, counted.rows, total);
        if status == 416 {
            reply.clear_body();
            let error = OffsetPastEnd { offset, total: total.unwrap_or(0) };
            reply.body().extend_from_slice(error_body(&error, config.client_error_verbosity.into()).as_bytes());
        }
        scratch.text.clear();
        content_range::write(&mut scratch.text, offset, counted.rows, total);
        let range_len = scratch.text.len();
        write_location(&mut scratch.text, hit);
        write_head(&mut reply.head, hit, status, scratch.text.split_at(range_len));
        Ok(())
    }
}

/// Path and query of this result, the latter in its canonical form.
fn write_location(out: &mut Vec<u8>, hit: Hit<'_>) {
    out.push(b'/');
    out.extend_from_slice(hit.read.relation.as_bytes());
    out.push(b'?');
    let without_query = out.len();
    write_canonical(out, hit.http.target);
    if out.len() == without_query {
        out.pop();
    }
}

fn write_head(head: &mut ResponseHead, hit: Hit<'_>, status: u16, (range, location): (&[u8], &[u8])) {
    let read = hit.read;
    head.set_status(status, None);
    head.add("Content-Range", range);
    head.add("Content-Location", location);
    head.add("Content-Type", read.content_type.as_bytes());
    if let Some(schema) = &read.content_profile {
        head.add("Content-Profile", schema.as_bytes());
    }
    if !read.preference_applied.is_empty() {
        head.add("Preference-Applied", &read.preference_applied);
    }
    head::finish_plain(head);
}
