//! Asks one connection everything that a load needs: the configuration kept in the database, then the catalog's
//! queries, in one transaction each, so that the catalog's rows fit together.
//! Limits: `limits::RELOAD_PAUSE_MS` beside requests.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::catalog::database_settings;
use crate::catalog::load::{self, CatalogQuery, LoadSettings, LoadedRows, QueryName};
use crate::config::Config;
use crate::config::source::IN_DATABASE;
use crate::sql::setup::call_text;
use crate::wire::WireError;
use crate::wire::conn::{Answer, Busy, Idle};
use crate::wire::connect::Authenticated;
use crate::wire::db_error::DbError;
use crate::{limits, rt};

/// What was found.
#[derive(Debug)]
pub struct Survey {
    /// The configuration with the database's settings; `None` where there are none to read or they are wrong.
    pub config: Option<Arc<Config>>,
    pub settings: LoadSettings,
    pub rows: LoadedRows,
    /// The session isn't that of the process that answered at the start: a connection pooler stands between.
    pub pooled: bool,
}

#[derive(Debug)]
pub enum SurveyError {
    Wire(WireError),
    Database(Box<DbError>),
    Settings(String),
}

impl fmt::Display for SurveyError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wire(error) => write!(out, "{error}"),
            Self::Database(error) => write!(out, "{}: {}", error.sqlstate, error.message),
            Self::Settings(error) => out.write_str(error),
        }
    }
}

impl From<WireError> for SurveyError {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl From<io::Error> for SurveyError {
    fn from(error: io::Error) -> Self {
        Self::Wire(error.into())
    }
}

/// How fast the rows are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    AtOnce,
    /// With a pause after every `limits::WIRE_READ_BYTES`. PostgreSQL makes no more rows while its socket is full, so its
    /// processors stay free for requests most of the time.
    BesideRequests,
}

/// Runs the whole survey and takes leave of the server.
pub async fn run(
    authenticated: Authenticated,
    config: &Config,
    pace: Pace,
    merge: impl FnOnce(&[(String, String)]) -> Option<Arc<Config>>,
) -> Result<Survey, SurveyError> {
    let mut idle = Idle::adopt(authenticated)?;
    let mut merged = None;
    if config.db_config {
        let pairs;
        (idle, pairs) = database_configuration(idle, config).await?;
        merged = merge(&pairs);
    }
    let current = merged.as_deref().unwrap_or(config);
    let settings = LoadSettings {
        schemas: current.db_schemas.iter().map(ToString::to_string).collect(),
        extra_search_path: current.db_extra_search_path.iter().map(ToString::to_string).collect(),
        hoisted_settings: current.db_hoisted_tx_settings.clone(),
        // Nobody asks for the list: PostgreSQL judges `Prefer: timezone` itself, and the query takes half of a load.
        timezones: Some(HashSet::new()),
        server_version: server_version(idle.parameter("server_version")),
    };
    let mut queries = load::queries(&settings);
    queries.push(CatalogQuery { name: QueryName::Server, text: BACKEND, params: Vec::new() });
    let (idle, mut results) = ask(idle, &load::TRANSACTION_START, &queries, pace).await?;
    let backend = results.pop().and_then(|rows| rows.into_iter().flatten().flatten().next());
    let pooled = backend.is_some_and(|backend| backend != idle.key().process_id.to_string());
    let mut rows = LoadedRows::default();
    for (query, result) in queries.iter().zip(results) {
        rows.add(query.name, result);
    }
    idle.close().await;
    Ok(Survey { config: merged, settings, rows, pooled })
}

/// The settings for the configuration alone.
pub async fn settings(authenticated: Authenticated, config: &Config) -> Result<Vec<(String, String)>, SurveyError> {
    let (idle, pairs) = database_configuration(Idle::adopt(authenticated)?, config).await?;
    idle.close().await;
    Ok(pairs)
}

/// Which process serves the session.
const BACKEND: &str = "select pg_catalog.pg_backend_pid()";

async fn database_configuration(idle: Idle, config: &Config) -> Result<(Idle, Vec<(String, String)>), SurveyError> {
    let call = config.db_pre_config.as_ref();
    let call =
        call.map(|routine| call_text(routine.schema.as_ref().map(|schema| schema.as_str()), routine.name.as_str()));
    let mut before = vec!["begin", load::OWN_ROLE];
    before.extend(call.as_deref());
    let queries = [database_settings::role_query(IN_DATABASE), database_settings::session_query(IN_DATABASE)];
    let (idle, mut results) = ask(idle, &before, &queries, Pace::AtOnce).await?;
    let session = results.pop().unwrap_or_default();
    let role = results.pop().unwrap_or_default();
    let pairs = database_settings::read(&role, if call.is_some() { &session } else { &[] })
        .map_err(|error| SurveyError::Settings(error.to_string()))?;
    Ok((idle, pairs))
}

/// `15.18 (Debian …)` → 150018, `18beta1` → 180000 (as server_version_num has it); 0 where it can't be read.
fn server_version(text: Option<&str>) -> u32 {
    let mut numbers = text.unwrap_or("").split(|letter: char| !letter.is_ascii_digit()).map(|part| part.parse::<u32>());
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if minor < 1000 => major.saturating_mul(10_000).saturating_add(minor),
        (Some(Ok(major)), _) => major.saturating_mul(10_000),
        (Some(Err(_)) | None, _) => 0,
    }
}

type Rows = Vec<Vec<Option<String>>>;

/// One transaction: `before`, then the queries, then COMMIT. All in one flush, or beside requests one query after the other
/// with pauses. Rows of the queries, in their order.
async fn ask(
    idle: Idle,
    before: &[&str],
    queries: &[CatalogQuery],
    pace: Pace,
) -> Result<(Idle, Vec<Rows>), SurveyError> {
    let mut busy = idle.begin();
    let mut results = Vec::with_capacity(queries.len());
    let flush_len = match pace {
        Pace::AtOnce => queries.len().max(1),
        Pace::BesideRequests => 1,
    };
    let mut before = before;
    for flush in queries.chunks(flush_len) {
        for text in before {
            busy.execute_unnamed(text, []);
        }
        for query in flush {
            busy.execute_unnamed(query.text, query.params.iter().map(|param| Some(param.as_bytes())));
        }
        if results.len() + flush.len() == queries.len() {
            busy.execute_unnamed("commit", []);
        }
        busy.sync();
        busy.send().await?;
        results.extend(rows_of(&mut busy, before.len(), flush.len(), pace).await?);
        before = &[];
        if pace == Pace::BesideRequests {
            rt::sleep(Duration::from_millis(limits::RELOAD_PAUSE_MS)).await;
        }
    }
    Ok((busy.finish().await?, results))
}

/// Reads one flush: the rows of `count` queries, which come after `skipped` other statements. After an error the
/// transaction is lost, and the connection closes with `busy`.
async fn rows_of(busy: &mut Busy, skipped: usize, count: usize, pace: Pace) -> Result<Vec<Rows>, SurveyError> {
    let mut results: Vec<Rows> = vec![Vec::new(); count];
    let (mut current, mut failure, mut unpaused_bytes) = (0, None, 0);
    loop {
        match busy.answer()? {
            None => {
                if pace == Pace::BesideRequests && unpaused_bytes >= limits::WIRE_READ_BYTES {
                    unpaused_bytes = 0;
                    rt::sleep(Duration::from_millis(limits::RELOAD_PAUSE_MS)).await;
                }
                busy.more().await?;
            }
            Some(Answer::Bound { statement, .. }) => current = statement,
            Some(Answer::Row(row)) => {
                unpaused_bytes += row.fields().flatten().map(<[u8]>::len).sum::<usize>();
                if let Some(rows) = current.checked_sub(skipped).and_then(|index| results.get_mut(index)) {
                    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
                    rows.push(row.fields().map(|field| field.map(text)).collect());
                }
            }
            Some(Answer::Error { error, .. }) => failure = Some(error),
            Some(Answer::Ready(_)) => break,
            Some(Answer::Complete { .. } | Answer::Suspended) => {}
        }
    }
    match failure {
        Some(error) => Err(SurveyError::Database(Box::new(error))),
        None => Ok(results),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_versions() {
        assert_eq!(server_version(Some("15.18 (Debian 15.18-0+deb12u1)")), 150_018);
        assert_eq!(server_version(Some("18beta1")), 180_000);
        assert_eq!(server_version(Some("")), 0);
        assert_eq!(server_version(None), 0);
    }
}
