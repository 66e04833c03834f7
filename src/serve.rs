//! One request through every stage; the only file that names them all.
//! `http → request → auth → plan (on one catalog snapshot) → sql → wire → json → respond → http`

mod answer;
mod cached;
mod call;
pub mod cells;
pub mod info;
mod observed;
pub mod payload;
pub mod read;
pub mod root;
pub mod rows;
pub mod setup;
pub mod shape_cache;
pub mod transaction;
pub mod write;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cached::Hit;
use observed::Observed;
use shape_cache::{Scratch, ShapeCache};

use crate::auth::cache::{CacheCounts, TokenCache};
use crate::auth::{Identity, authenticate};
use crate::catalog::Catalog;
use crate::config::{Config, OpenApiMode, TxEnd};
use crate::error::body::error_body;
use crate::error::{ApiError, Code};
use crate::http::cors::Cors;
use crate::http::{Gone, Method, Reply, Request, ResponseHead, Service, Version};
use crate::limits;
use crate::observe::access::{Access, line};
use crate::observe::log::logs_status;
use crate::observe::metric::{CacheSample, CoreSample, PoolSample, RequestCounts, Sampled};
use crate::observe::timing::Stage;
use crate::observe::{Event, Log};
use crate::plan::ReadPlan;
use crate::pool::{Pool, PoolError};
use crate::request::prefer::TxOverride;
use crate::request::target::RootPage;
use crate::request::{self, Action, ApiRequest, RequestHead, RequestSettings};
use crate::respond::db_error::{Caller, DatabaseRefusal};
use crate::respond::failure::Failure;
use crate::respond::head;
use crate::respond::warning;
use crate::server::publish::{Follower, Published};
use crate::server::reload::{Ask, ReloadHandle};
use crate::wire::WireError;
use crate::wire::db_error::DbError;

/// The way to the database that a core's requests share.
pub struct Database {
    pub pool: Rc<Pool>,
    pub reload: ReloadHandle,
}

/// What one core answers requests with.
pub struct Core {
    follower: Follower,
    database: Database,
    log: Log,
    /// What follows from the configuration, made once for each published version.
    derived: RefCell<Option<Rc<Derived>>>,
    setups: setup::SetupCache,
    tokens: RefCell<TokenCache>,
    counts: RequestCounts,
    /// When the log was last told that requests wait in vain for a connection.
    timeout_told: Cell<Option<Instant>>,
    /// Buffers that wait for their next request.
    scratches: RefCell<Vec<Scratch>>,
}

/// Views of the configuration in the shape the stages take them.
pub struct Derived {
    published: Arc<Published>,
    request: RequestSettings,
    documents: RefCell<root::Documents>,
    shapes: ShapeCache,
}

/// Why a request ends without the answer it asked for.
pub enum ServeError {
    /// A stage refused it.
    Refused(Box<dyn ApiError>),
    Pool(PoolError),
    Wire(WireError),
    Database(Box<DbError>),
    Failure(Failure),
    /// The result's columns aren't what the catalog says: it must be asked for as JSON made by PostgreSQL.
    FormMismatch,
    ClientGone,
}

impl<E: ApiError + 'static> From<E> for ServeError {
    fn from(error: E) -> Self {
        Self::Refused(Box::new(error))
    }
}

impl fmt::Debug for ServeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(out, "Refused({:?})", error.code()),
            Self::Pool(error) => write!(out, "Pool({error:?})"),
            Self::Wire(error) => write!(out, "Wire({error:?})"),
            Self::Database(error) => write!(out, "Database({error:?})"),
            Self::Failure(failure) => write!(out, "Failure({failure:?})"),
            Self::FormMismatch => out.write_str("FormMismatch"),
            Self::ClientGone => out.write_str("ClientGone"),
        }
    }
}

/// Headers that every answer of a request carries, errors and streamed heads included, and what was noted of it.
#[derive(Clone, Copy)]
pub struct Extras<'r> {
    cors: Cors<'r>,
    trace: Option<(&'r str, &'r [u8])>,
    pub observed: &'r Observed,
}

impl Extras<'_> {
    /// For an answer that isn't an error: how long it took, where that is asked for, and what `write_refused` adds.
    pub fn write(&self, head: &mut ResponseHead) {
        if let Some(stages) = self.observed.clock.header() {
            head.add("Server-Timing", stages.as_bytes());
        }
        self.write_refused(head);
    }

    pub fn write_refused(&self, head: &mut ResponseHead) {
        self.cors.write(head);
        if let Some((name, value)) = self.trace {
            head.add(name, value);
        }
    }
}

/// What the stages of one request are given.
pub struct Scene<'r> {
    pub config: &'r Config,
    pub catalog: &'r Catalog,
    pub http: &'r Request<'r>,
    pub request: &'r ApiRequest<'r>,
    pub identity: &'r Identity,
    pub extras: Extras<'r>,
    /// Where the plan may be kept, and the request's key and values, where its shape is simple.
    pub shape: Option<(&'r ShapeCache, &'r Scratch)>,
}

impl Core {
    pub fn new(follower: Follower, database: Database, log: Log) -> Self {
        Self {
            follower,
            database,
            log,
            derived: RefCell::new(None),
            setups: setup::SetupCache::default(),
            counts: RequestCounts::default(),
            timeout_told: Cell::new(None),
            tokens: RefCell::default(),
            scratches: RefCell::default(),
        }
    }

    /// Goes over to the newest published version without waiting for a request.
    pub fn follow(&self) {
        drop(self.derived());
    }

    /// What the stages need of the newest published version.
    fn derived(&self) -> Rc<Derived> {
        let mut derived = self.derived.borrow_mut();
        if let Some(known) = derived.as_ref().filter(|known| self.follower.is_current(&known.published)) {
            return known.clone();
        }
        let published = self.follower.snapshot();
        if let Some(known) = derived.as_ref().and_then(|known| known.published.catalog.as_ref())
            && let Some(newest) = published.catalog.as_ref().filter(|newest| newest.generation != known.generation)
        {
            self.database.pool.prepare_again();
            if newest.login != known.login {
                self.database.pool.renew();
            }
        }
        let request = request_settings(&published.config);
        let (documents, shapes) = (RefCell::default(), ShapeCache::default());
        let made = Rc::new(Derived { published, request, documents, shapes });
        *derived = Some(made.clone());
        made
    }

    async fn answer(
        &self,
        derived: &Derived,
        http: &Request<'_>,
        extras: Extras<'_>,
        reply: &mut Reply,
        caller: &mut Option<Arc<Identity>>,
    ) -> Result<(), ServeError> {
        let config = derived.published.config.as_ref();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let tokens = http.headers.all("authorization");
        let known = self.tokens.borrow().counts;
        let identity = authenticate(tokens, &config.auth, now, Some(&mut self.tokens.borrow_mut()));
        self.tell_lookups(known);
        let identity = identity?;
        *caller = Some(identity.clone());
        extras.observed.clock.mark(Stage::Jwt);
        let catalog = derived.published.catalog.as_deref().ok_or(ServeError::Failure(Failure::NoCatalog))?;
        let mut scratch = self.scratches.borrow_mut().pop().unwrap_or_default();
        let plannable = shape_cache::may_cache(config, catalog, &identity) && shape_cache::scan(http, &mut scratch);
        let hit = if plannable { derived.shapes.get(&scratch.key) } else { None };
        if let Some(plan) = hit {
            let hit = Hit { config, catalog, http, identity: &identity, extras, plan: &plan };
            match self.answer_cached(hit, &mut scratch, reply).await {
                Some(Err(ServeError::FormMismatch)) => {
                    // The catalog is older than the table: the long way lets PostgreSQL write the JSON.
                    derived.shapes.remove(&scratch.key);
                    reply.clear_body();
                }
                Some(outcome) => {
                    self.keep(scratch);
                    return outcome;
                }
                None => {}
            }
        }
        let shape = plannable.then_some((&derived.shapes, &scratch));
        // Its state is twice as large as a known shape's, and every idle connection would hold room for it.
        Box::pin(self.answer_planned(derived, http, (&identity, extras, shape), reply)).await
    }

    /// The long way, through every stage.
    async fn answer_planned(
        &self,
        derived: &Derived,
        http: &Request<'_>,
        (identity, extras, shape): (&Identity, Extras<'_>, Option<(&ShapeCache, &Scratch)>),
        reply: &mut Reply,
    ) -> Result<(), ServeError> {
        let config = derived.published.config.as_ref();
        let catalog = derived.published.catalog.as_deref().ok_or(ServeError::Failure(Failure::NoCatalog))?;
        let head = RequestHead { method: http.method, target: http.target, headers: http.headers };
        let request = request::parse(head, http.body, &derived.request)?;
        extras.observed.clock.mark(Stage::Parse);
        let scene = Scene { config, catalog, http, request: &request, identity, extras, shape };
        match &request.action {
            Action::Read { .. } => self.read(&scene, reply).await,
            Action::SchemaRead { body } => self.root(derived, &scene, *body, reply).await,
            Action::Call { .. } => self.call_routine(&scene, reply).await,
            Action::RelationInfo { relation } => info::relation(&scene, relation, reply),
            Action::RoutineInfo { .. } => info::routine(&scene, reply),
            Action::SchemaInfo => {
                info::root(&scene, reply);
                Ok(())
            }
            Action::Mutate { .. } => self.write(&scene, reply).await,
        }
    }

    /// Planning is over, the statements are about to be sent: tells the operator which request leans on names that will
    /// go, and what is sent where that is asked for.
    fn begin_transaction(&self, scene: &Scene<'_>, plan: &ReadPlan<'_>, steps: &[transaction::Step<'_>]) {
        scene.extras.observed.begin_transaction(steps);
        if !plan.warnings.is_empty() {
            let target = String::from_utf8_lossy(scene.http.target);
            let request = format!("{} {target}", scene.http.method.as_str());
            self.log.event(&Event::LegacyTargetNames { changes: warning::changes(&plan.warnings), request });
        }
    }

    /// Tells what the token cache was asked for since it counted `before`.
    fn tell_lookups(&self, before: CacheCounts) {
        if !self.log.wants_details() {
            return;
        }
        let now = self.tokens.borrow().counts;
        let told = [
            ("Looked up a JWT in JWT cache", now.requests != before.requests),
            ("Evicted entry from JWT cache", now.evictions != before.evictions),
        ];
        for (text, _) in told.iter().filter(|(_, happened)| *happened) {
            self.log.event(&Event::Detail { text: (*text).to_owned() });
        }
    }

    /// Keeps a request's buffers for the next one.
    fn keep(&self, scratch: Scratch) {
        let mut scratches = self.scratches.borrow_mut();
        if scratches.len() < limits::SCRATCHES_PER_CORE {
            scratches.push(scratch);
        }
    }

    /// Turns what went wrong into the answer, and tells who should know.
    fn refuse(&self, derived: &Derived, error: ServeError, caller: Caller, reply: &mut Reply) {
        let refusal = self.refusal(error, caller);
        let verbosity = derived.published.config.client_error_verbosity.into();
        if refusal.code().status >= 500 && self.is_news(&refusal.code()) {
            self.log.event(&Event::QueryFailed { body: error_body(refusal.as_ref(), verbosity) });
        }
        reply.clear_body();
        let mut body = std::mem::take(reply.body());
        head::refuse(&mut reply.head, &mut body, refusal.as_ref(), verbosity, derived.published.retry_after_seconds);
        *reply.body() = body;
    }

    /// A pool that is exhausted refuses every request: one line in five seconds says so.
    fn is_news(&self, code: &Code) -> bool {
        if code.name != Failure::PoolTimeout.code().name {
            return true;
        }
        let now = Instant::now();
        let pause = Duration::from_secs(limits::POOL_TIMEOUT_TOLD_SECONDS);
        let news = self.timeout_told.get().is_none_or(|told| now.duration_since(told) >= pause);
        if news {
            self.timeout_told.set(Some(now));
        }
        news
    }

    fn refusal(&self, error: ServeError, caller: Caller) -> Box<dyn ApiError> {
        match error {
            ServeError::Refused(error) => error,
            ServeError::Failure(failure) => Box::new(failure),
            ServeError::Database(error) => {
                if error.is_fatal() {
                    self.database.reload.ask(Ask::ConnectionLost);
                }
                Box::new(DatabaseRefusal::new(
                    &error.sqlstate,
                    &error.message,
                    error.detail.as_deref(),
                    error.hint.as_deref(),
                    caller,
                ))
            }
            ServeError::Pool(PoolError::TimedOut | PoolError::QueueFull) => Box::new(Failure::PoolTimeout),
            ServeError::Pool(PoolError::Connect(error)) => {
                self.database.reload.ask(Ask::ConnectionLost);
                Box::new(Failure::Connect { details: error.libpq_text() })
            }
            ServeError::Wire(error) => {
                self.database.reload.ask(Ask::ConnectionLost);
                Box::new(Failure::ConnectionLost { details: error.libpq_text() })
            }
            ServeError::FormMismatch | ServeError::ClientGone => Box::new(Failure::Internal),
        }
    }

    fn log_access(&self, request: &Request<'_>, role: Option<&str>, reply: &Reply) {
        let status = reply.head.status();
        if !logs_status(self.log.level(), status) {
            return;
        }
        let access = Access {
            peer: request.peer,
            role,
            method: request.method.as_str(),
            target: request.target,
            version: match request.version {
                Version::Http10 => "HTTP/1.0",
                Version::Http11 => "HTTP/1.1",
            },
            status,
            body_bytes: (!reply.is_streaming() && request.method != Method::Head).then(|| reply.body_len()),
            referer: request.headers.first("referer"),
            agent: request.headers.first("user-agent"),
        };
        self.log.access(line(&access, SystemTime::now()));
    }
}

impl Service for Core {
    async fn call(&self, request: Request<'_>, reply: &mut Reply) -> Result<(), Gone> {
        let arrived = Instant::now();
        self.follower.note_asked();
        let derived = self.derived();
        let config = derived.published.config.as_ref();
        let origins = Some(config.server_cors_allowed_origins.as_slice());
        let cors = Cors::decide(origins, request.method, request.headers);
        let trace = config.server_trace_header.as_deref();
        let trace = trace.map(|name| (name, request.headers.first(name).unwrap_or_default()));
        let observed = Observed::new(config);
        let extras = Extras { cors, trace, observed: &observed };
        if let Cors::Preflight { .. } = cors {
            reply.head.set_status(200, None);
            extras.write_refused(&mut reply.head);
            self.counts.count(200, arrived.elapsed());
            return Ok(());
        }
        let mut identity = None;
        match self.answer(&derived, &request, extras, reply, &mut identity).await {
            Ok(()) if reply.is_streaming() => {}
            Ok(()) => {
                observed.clock.mark(Stage::Response);
                extras.write(&mut reply.head);
            }
            Err(ServeError::ClientGone) => return Err(Gone),
            Err(error) if reply.is_streaming() => {
                self.log.event(&Event::QueryFailed { body: format!("a streamed answer was cut: {error:?}") });
                reply.abort();
            }
            Err(error) => {
                let anonymous = identity.as_ref().is_none_or(|identity| config.auth.is_anonymous(&identity.role));
                let caller = if anonymous { Caller::Anonymous } else { Caller::Authenticated };
                self.refuse(&derived, error, caller, reply);
                extras.write_refused(&mut reply.head);
            }
        }
        self.counts.count(reply.head.status(), arrived.elapsed());
        if logs_status(self.log.level(), reply.head.status()) {
            observed.write_queries(&self.log);
        }
        let role = identity.as_ref().map(|identity| identity.role.as_str());
        self.log_access(&request, role, reply);
        Ok(())
    }
}

impl Sampled for Core {
    fn sample(&self) -> Option<CoreSample> {
        let (pool, tokens) = (self.database.pool.gauges(), self.tokens.borrow().counts);
        Some(CoreSample {
            requests: self.counts.sample(),
            pool: PoolSample {
                available: pool.available,
                waiting: pool.waiting,
                max: pool.max,
                timeouts: pool.timeouts,
            },
            tokens: CacheSample { requests: tokens.requests, hits: tokens.hits, evictions: tokens.evictions },
            statements: CacheSample { requests: pool.statements.requests, hits: pool.statements.hits, evictions: 0 },
            clients: 0,
        })
    }
}

fn request_settings(config: &Config) -> RequestSettings {
    RequestSettings {
        schemas: config.db_schemas.iter().map(ToString::to_string).collect(),
        root: match (&config.db_root_spec, config.openapi_mode) {
            (Some(routine), _) => RootPage::Routine(routine.name.to_string()),
            (None, OpenApiMode::Disabled) => RootPage::Disabled,
            (None, OpenApiMode::FollowPrivileges | OpenApiMode::IgnorePrivileges) => RootPage::Document,
        },
        tx_override: match config.db_tx_end {
            TxEnd::Commit | TxEnd::Rollback => TxOverride::Denied,
            TxEnd::CommitAllowOverride | TxEnd::RollbackAllowOverride => TxOverride::Allowed,
        },
    }
}
