//! Asks one connection everything that a load needs: the configuration kept in the database, then the catalog's
//! queries, in one transaction each, so that the catalog's rows fit together.
//! Limits beside requests: `limits::RELOAD_PIECE_US`, `RELOAD_ROWS_MIN`, `RELOAD_ALONE_TIMES`, `RELOAD_PAUSE_MS`,
//! `RELOAD_COURTESY_MS`.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::publish::Publisher;
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
#[derive(Clone, Copy)]
pub enum Pace<'a> {
    AtOnce,
    /// As many at a time as PostgreSQL makes within `limits::RELOAD_PIECE_US`, with pauses while there are requests, so that its
    /// processors are free for them most of the time and nobody waits for long.
    BesideRequests(&'a Publisher),
}

/// Runs the whole survey and takes leave of the server.
pub async fn run(
    authenticated: Authenticated,
    config: &Config,
    pace: Pace<'_>,
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

/// One transaction: `before`, then the queries, then COMMIT. Rows of the queries, in their order.
async fn ask(
    idle: Idle,
    before: &[&str],
    queries: &[CatalogQuery],
    pace: Pace<'_>,
) -> Result<(Idle, Vec<Rows>), SurveyError> {
    match pace {
        Pace::AtOnce => ask_at_once(idle, before, queries).await,
        Pace::BesideRequests(publisher) => ask_in_pieces(idle, before, queries, publisher).await,
    }
}

async fn ask_at_once(idle: Idle, before: &[&str], queries: &[CatalogQuery]) -> Result<(Idle, Vec<Rows>), SurveyError> {
    let mut busy = idle.begin();
    for text in before {
        busy.execute_unnamed(text, []);
    }
    for query in queries {
        busy.execute_unnamed(query.text, query.params());
    }
    busy.execute_unnamed("commit", []);
    let mut results = vec![Rows::new(); before.len() + queries.len()];
    answers(&mut busy, &mut results).await?;
    Ok((busy.finish().await?, results.split_off(before.len())))
}

async fn ask_in_pieces(
    idle: Idle,
    before: &[&str],
    queries: &[CatalogQuery],
    publisher: &Publisher,
) -> Result<(Idle, Vec<Rows>), SurveyError> {
    let mut busy = idle.begin();
    let mut courtesy = Courtesy::new(publisher);
    for text in before {
        busy.execute_unnamed(text, []);
    }
    answers(&mut busy, &mut []).await?;
    let round_trip = round_trip(&mut busy).await?;
    let mut results = Vec::with_capacity(queries.len());
    for query in queries {
        busy.open_unnamed(query.text, query.params());
        answers(&mut busy, &mut []).await?;
        courtesy.pause().await;
        let (mut rows, mut size) = ([Rows::new()], PieceSize::new(round_trip));
        loop {
            let (known, begun) = (rows[0].len(), Instant::now());
            busy.fetch(if courtesy.is_alone() { size.rows_alone() } else { size.rows() });
            let end = answers(&mut busy, &mut rows).await?;
            size.learn(rows[0].len() - known, begun.elapsed());
            courtesy.pause().await;
            if end == End::Complete {
                break;
            }
        }
        results.extend(rows);
    }
    busy.execute_unnamed("commit", []);
    answers(&mut busy, &mut []).await?;
    Ok((busy.finish().await?, results))
}

/// The shortest of a few that ask nothing.
async fn round_trip(busy: &mut Busy) -> Result<Duration, SurveyError> {
    let mut shortest = Duration::MAX;
    for _ in 0..3 {
        let begun = Instant::now();
        answers(busy, &mut []).await?;
        shortest = shortest.min(begun.elapsed());
    }
    Ok(shortest)
}

/// Leaves PostgreSQL's processors to requests after each piece, as long as there are any: who waits for nothing but the reload
/// gets it at once.
struct Courtesy<'a> {
    publisher: &'a Publisher,
    asked: Option<Instant>,
}

impl<'a> Courtesy<'a> {
    fn new(publisher: &'a Publisher) -> Self {
        // What was asked before the reload began is no reason.
        publisher.take_asked();
        Self { publisher, asked: None }
    }

    fn is_alone(&self) -> bool {
        let courtesy = Duration::from_millis(limits::RELOAD_COURTESY_MS);
        self.asked.is_none_or(|asked| asked.elapsed() >= courtesy)
    }

    async fn pause(&mut self) {
        if self.publisher.take_asked() {
            self.asked = Some(Instant::now());
        }
        if !self.is_alone() {
            rt::sleep(Duration::from_millis(limits::RELOAD_PAUSE_MS)).await;
        }
    }
}

/// How many rows PostgreSQL makes within `limits::RELOAD_PIECE_US`, or within a round trip to it where that takes longer: less
/// would spend the time on the way. What it was seen to take includes its waiting for a processor, so the shortest time counts,
/// and what was seen long ago counts less.
#[derive(Debug)]
struct PieceSize {
    round_trip_ns: u64,
    row_ns: u64,
}

impl PieceSize {
    fn new(round_trip: Duration) -> Self {
        let round_trip_ns = u64::try_from(round_trip.as_nanos()).unwrap_or(u64::MAX);
        Self { round_trip_ns, row_ns: Self::piece_ns(round_trip_ns) / 32 }
    }

    fn piece_ns(round_trip_ns: u64) -> u64 {
        round_trip_ns.max(limits::RELOAD_PIECE_US * 1000)
    }

    fn rows(&self) -> NonZeroU16 {
        let rows = Self::piece_ns(self.round_trip_ns) / self.row_ns.max(1);
        NonZeroU16::new(u16::try_from(rows).unwrap_or(u16::MAX))
            .map_or(limits::RELOAD_ROWS_MIN, |rows| rows.max(limits::RELOAD_ROWS_MIN))
    }

    /// While nobody waits.
    fn rows_alone(&self) -> NonZeroU16 {
        self.rows().saturating_mul(limits::RELOAD_ALONE_TIMES)
    }

    fn learn(&mut self, rows: usize, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        // Half of it at most: one piece's luck doubles the next and no more.
        let Some(each) = (took - self.round_trip_ns.min(took / 2)).checked_div(rows as u64) else { return };
        self.row_ns = each.min(self.row_ns + self.row_ns / 4).max(1);
    }
}

/// Whether the last statement has more rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Complete,
    Suspended,
}

/// Sends what was appended and reads its answers, the rows of each statement into its `results`. After an error the
/// transaction is lost, and the connection closes with `busy`.
async fn answers(busy: &mut Busy, results: &mut [Rows]) -> Result<End, SurveyError> {
    busy.sync();
    busy.send().await?;
    let (mut current, mut failure, mut end) = (0, None, End::Complete);
    loop {
        match busy.answer()? {
            None => busy.more().await?,
            Some(Answer::Bound { statement, .. }) => current = statement,
            Some(Answer::Row(row)) => {
                if let Some(rows) = results.get_mut(current) {
                    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
                    rows.push(row.fields().map(|field| field.map(text)).collect());
                }
            }
            Some(Answer::Error { error, .. }) => failure = Some(error),
            Some(Answer::Ready(_)) => break,
            Some(Answer::Complete { .. }) => {}
            Some(Answer::Suspended) => end = End::Suspended,
        }
    }
    match failure {
        Some(error) => Err(SurveyError::Database(Box::new(error))),
        None => Ok(end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_follow_the_fastest_row_and_forget_it_slowly() {
        let mut size = PieceSize::new(Duration::from_micros(100));
        let (piece, way) = (Duration::from_micros(limits::RELOAD_PIECE_US), Duration::from_micros(100));
        let rows = |size: &PieceSize| usize::from(size.rows().get());
        assert_eq!(rows(&size), 32);
        size.learn(32, way + piece / 4);
        assert_eq!(rows(&size), 128);
        // Its rows take no longer: it waited for a processor.
        size.learn(128, piece * 40);
        assert!((100..128).contains(&rows(&size)));
        for _ in 0..100 {
            size.learn(rows(&size), piece * 5);
        }
        assert_eq!(rows(&size), 16);
        size.learn(0, piece);
        assert_eq!(rows(&size), 16);
        size.learn(1, Duration::ZERO);
        assert_eq!(rows(&size), usize::from(u16::MAX));
        assert_eq!(size.rows_alone().get(), u16::MAX);
    }

    #[test]
    fn a_long_way_makes_long_pieces() {
        let way = Duration::from_millis(20);
        let mut size = PieceSize::new(way);
        for _ in 0..10 {
            // Five microseconds a row; half of the first pieces' time is theirs, as far as can be told.
            let rows = size.rows().get();
            size.learn(usize::from(rows), way + Duration::from_micros(5) * u32::from(rows));
        }
        // Four thousand take twenty milliseconds.
        assert!((3000..=5000).contains(&size.rows().get()), "{size:?}");
    }

    #[test]
    fn server_versions() {
        assert_eq!(server_version(Some("15.18 (Debian 15.18-0+deb12u1)")), 150_018);
        assert_eq!(server_version(Some("18beta1")), 180_000);
        assert_eq!(server_version(Some("")), 0);
        assert_eq!(server_version(None), 0);
    }
}
