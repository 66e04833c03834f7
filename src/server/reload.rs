//! Loads the configuration kept in the database and the catalog, publishes both, and does so again when asked: one
//! thread, one load at a time. Owns: its own connection, one per load; the settings that the database held last.
//! A failing load keeps what is published and is tried again with a back-off that doubles up to
//! `limits::RECONNECT_SECONDS_MAX`; asks that come meanwhile are answered by the load that follows them.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::listener::{ConfigChanged, ListenerHandle};
use super::publish::{Published, Publisher, Retired};
use super::readiness::{CacheState, Readiness};
use super::supervisor::{self, Progress};
use super::survey::{self, Pace, Survey};
use crate::catalog::load::{self, LoadError, LoadSettings, LoadedRows};
use crate::catalog::{Catalog, Generation};
use crate::config::Config;
use crate::error::ApiError;
use crate::limits;
use crate::name::SchemaName;
use crate::observe::{Event, Log};
use crate::rt::{self, Driver};
use crate::wire::connect::{ConnectError, connect};
use crate::wire::target::Target;

/// What the reload thread is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    SchemaCache,
    /// Read file, environment and database settings again; the catalog, which depends on them, is loaded after that.
    Config,
    /// A request found PostgreSQL away: load again, which also finds out when it is back.
    ConnectionLost,
    Stop,
}

/// Asks the reload thread; never blocks. A full queue means that a load is due anyway.
#[derive(Clone, Debug)]
pub struct ReloadHandle {
    asks: SyncSender<Ask>,
    /// Survives a full queue.
    config_due: Arc<AtomicBool>,
}

impl ReloadHandle {
    pub fn ask(&self, ask: Ask) {
        if ask == Ask::Config {
            self.config_due.store(true, Ordering::Release);
        }
        let _ = self.asks.try_send(ask);
    }
}

/// How the first try went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FirstTry {
    Loaded,
    /// PostgreSQL isn't there yet: serve 503 and keep trying.
    Retrying,
    /// Trying again can't help (wrong password, no such database) or isn't wanted.
    Fatal,
}

/// Reads file and environment again and merges the database's settings in.
pub type ConfigReader = Box<dyn Fn(&[(String, String)]) -> Result<Config, String> + Send>;

pub struct Reloader {
    pub publisher: Arc<Publisher>,
    pub readiness: Arc<Readiness>,
    pub target: Arc<Target>,
    pub driver: Driver,
    pub read_config: ConfigReader,
    /// The asking end, for what it notes beside the queue.
    pub handle: ReloadHandle,
    /// Hears of every configuration that is published.
    pub listener: ListenerHandle,
    pub log: Log,
    /// What the database held when it was last asked, so that a reload of the file alone does not forget it.
    pub database_settings: RefCell<Vec<(String, String)>>,
    /// What was published before and may still be read.
    pub retired: Retired,
}

/// A bounded queue of asks and its two ends.
pub fn asks() -> (ReloadHandle, Receiver<Ask>) {
    let (sender, receiver) = sync_channel(limits::RELOAD_ASKS_MAX);
    (ReloadHandle { asks: sender, config_due: Arc::default() }, receiver)
}

#[derive(Debug)]
enum LoadFailure {
    Connect(ConnectError),
    Query(String),
    Build(LoadError),
}

impl fmt::Display for LoadFailure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(out, "{error}"),
            Self::Query(error) => out.write_str(error),
            Self::Build(error) => out.write_str(&error.message()),
        }
    }
}

enum Attempt {
    Loaded,
    GiveUp,
    Stopped,
}

impl Reloader {
    /// The thread's whole life. `first` hears once how the first try went; `on_fatal` what ends the process later.
    pub fn run(self, asks: &Receiver<Ask>, first: &SyncSender<FirstTry>, on_fatal: &dyn Fn()) {
        let mut generation = 0;
        loop {
            generation += 1;
            let tell = |outcome| {
                if generation == 1 {
                    let _ = first.try_send(outcome);
                }
            };
            match self.load_until_it_works(Generation(generation), asks, &tell) {
                Attempt::Loaded => tell(FirstTry::Loaded),
                Attempt::GiveUp => {
                    tell(FirstTry::Fatal);
                    on_fatal();
                    return;
                }
                Attempt::Stopped => return,
            }
            // The first ask after a rest is answered at once, a burst that follows by one load after it.
            match self.wait(asks, Duration::from_millis(limits::RELOAD_DEBOUNCE_MS)) {
                Waited::Stop => return,
                Waited::Asked => continue,
                Waited::Elapsed => {}
            }
            match self.next_ask(asks) {
                None | Some(Ask::Stop) => return,
                Some(Ask::SchemaCache | Ask::Config | Ask::ConnectionLost) => self.reload_config_if_due(),
            }
        }
    }

    /// The next ask, and meanwhile whatever the cores have left of older versions is taken apart. `None`: the process ends.
    fn next_ask(&self, asks: &Receiver<Ask>) -> Option<Ask> {
        while !self.retired.is_empty() {
            match asks.recv_timeout(Duration::from_millis(limits::RETIRED_SWEPT_MS)) {
                Ok(ask) => return Some(ask),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => self.retired.sweep(),
            }
        }
        asks.recv().ok()
    }

    fn load_until_it_works(&self, generation: Generation, asks: &Receiver<Ask>, tell: &dyn Fn(FirstTry)) -> Attempt {
        let mut delay_seconds = 1;
        loop {
            let reloading = generation > Generation(1);
            if reloading {
                supervisor::tell(Progress::Reloading);
            }
            let loaded = self.load(generation);
            if reloading {
                supervisor::tell(Progress::Reloaded);
            }
            match loaded {
                Ok(()) => return Attempt::Loaded,
                Err(LoadFailure::Connect(error)) if self.is_final(&error) => {
                    self.log.event(&Event::FatalDatabaseError { error: error.to_string() });
                    return Attempt::GiveUp;
                }
                Err(failure @ LoadFailure::Connect(_)) => {
                    self.log.event(&Event::ConnectFailed { error: failure.to_string() });
                    if !self.publisher.current().config.db_pool_automatic_recovery {
                        self.log.event(&Event::RecoveryDisabled);
                        return Attempt::GiveUp;
                    }
                }
                Err(failure @ (LoadFailure::Query(_) | LoadFailure::Build(_))) => {
                    self.report_failed_load(&failure);
                }
            }
            self.readiness.set_cache(CacheState::Pending);
            tell(FirstTry::Retrying);
            self.log.event(&Event::Reconnecting { seconds: delay_seconds });
            self.publisher
                .publish(&self.retired, |current| Published { retry_after_seconds: delay_seconds, ..current.clone() });
            if self.wait(asks, Duration::from_secs(u64::from(delay_seconds))) == Waited::Stop {
                return Attempt::Stopped;
            }
            delay_seconds = (delay_seconds * 2).min(limits::RECONNECT_SECONDS_MAX);
        }
    }

    /// Whether trying again can't help. A database that isn't there may be created yet; a role that is refused may be on
    /// its way back (a fail-over, a restored backup) once it has worked; a wrong password stays wrong.
    fn is_final(&self, error: &ConnectError) -> bool {
        error.is_fatal()
            && match error.sqlstate() {
                Some("3D000") => false,
                Some("28000") => self.publisher.current().catalog.is_none(),
                Some(_) | None => true,
            }
    }

    fn report_failed_load(&self, failure: &LoadFailure) {
        self.readiness.count_failed_load();
        let config = self.publisher.current().config.clone();
        let joined = |schemas: &[SchemaName]| schemas.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        self.log.event(&Event::SchemaCacheFailed {
            schemas: joined(&config.db_schemas),
            extra_search_path: joined(&config.db_extra_search_path),
            error: failure.to_string(),
        });
    }

    fn load(&self, generation: Generation) -> Result<(), LoadFailure> {
        let started = Instant::now();
        let deadline = started + Duration::from_secs(limits::CONNECT_SECONDS);
        let authenticated = connect(&self.target, deadline).map_err(LoadFailure::Connect)?;
        let version = authenticated.parameters.iter().find(|(name, _)| name == "server_version");
        let version = version.map_or_else(String::new, |(_, version)| version.clone());
        self.log.event(&Event::Connected { server: format!("PostgreSQL {version}") });
        let current = self.publisher.current();
        let (config, first) = (current.config.clone(), current.catalog.is_none());
        drop(current);
        let survey = rt::run(
            self.driver,
            survey::run(authenticated, &config, self.pace(generation), |settings| self.merged(settings)),
        );
        let Survey { config: merged, settings, rows, pooled } = match survey {
            Ok(Ok(survey)) => survey,
            Ok(Err(error)) => return Err(LoadFailure::Query(error.to_string())),
            Err(error) => return Err(LoadFailure::Query(error.to_string())),
        };
        let query_time = started.elapsed();
        let config = merged.unwrap_or(config);
        if pooled && first && (config.db_channel_enabled || config.db_prepared_statements) {
            self.log.event(&Event::Pooled);
        }
        self.log.event(&Event::SchemaCacheQueried { milliseconds: milliseconds(started) });
        let building = Instant::now();
        let mut catalog = self.build(generation, rows, settings).map_err(LoadFailure::Build)?;
        catalog.generation = generation;
        let summary = summary(&catalog);
        let catalog = Some(Arc::new(catalog));
        self.publisher.publish(&self.retired, |current| Published {
            config,
            catalog,
            retry_after_seconds: 0,
            version: current.version,
        });
        let _ = self.listener.send(ConfigChanged);
        self.readiness.set_cache(CacheState::Loaded);
        self.readiness.count_load(query_time);
        self.log.event(&Event::SchemaCacheLoaded { milliseconds: milliseconds(building), summary });
        Ok(())
    }

    /// The first catalog is waited for, by requests too.
    fn pace(&self, generation: Generation) -> Pace<'_> {
        if generation == Generation(1) { Pace::AtOnce } else { Pace::BesideRequests(&self.publisher) }
    }

    /// The first catalog is waited for, the others are not.
    fn build(&self, generation: Generation, rows: LoadedRows, settings: LoadSettings) -> Result<Catalog, LoadError> {
        match self.pace(generation) {
            Pace::AtOnce => load::build(&rows, &settings),
            Pace::BesideRequests(_) => {
                let rows = Arc::new(rows);
                let given = rows.clone();
                let built = self.retired.background.make(move || load::build(&given, &settings));
                self.retired.background.drop(rows);
                built
            }
        }
    }

    /// The configuration with the database's settings in it; `None` where it is wrong, and then the old one stays.
    fn merged(&self, settings: &[(String, String)]) -> Option<Arc<Config>> {
        *self.database_settings.borrow_mut() = settings.to_vec();
        match (self.read_config)(settings) {
            Ok(config) => {
                self.log.set_level(config.log_level);
                self.log.event(&Event::ConfigReloaded);
                Some(Arc::new(config))
            }
            Err(error) => {
                self.log.event(&Event::ConfigInvalid { error });
                None
            }
        }
    }

    fn reload_config_if_due(&self) {
        if self.handle.config_due.swap(false, Ordering::AcqRel) {
            self.reload_config();
        }
    }

    /// File and environment are read at once, with what the database held last; the load that follows asks the database
    /// anew, where it is asked at all.
    fn reload_config(&self) {
        let known = self.database_settings.borrow().clone();
        let read = match (self.read_config)(&known) {
            Ok(config) if !config.db_config && !known.is_empty() => {
                self.database_settings.borrow_mut().clear();
                (self.read_config)(&[])
            }
            read => read,
        };
        match read {
            Ok(config) => {
                self.log.set_level(config.log_level);
                if !config.db_config {
                    self.log.event(&Event::ConfigReloaded);
                }
                let config = Arc::new(config);
                self.publisher.publish(&self.retired, |current| Published { config, ..current.clone() });
                let _ = self.listener.send(ConfigChanged);
            }
            Err(error) if !self.publisher.current().config.db_config => {
                self.log.event(&Event::ConfigInvalid { error });
            }
            // The load says so.
            Err(_) => {}
        }
    }

    /// Lets `duration` pass, or less if an ask to stop comes.
    fn wait(&self, asks: &Receiver<Ask>, duration: Duration) -> Waited {
        let deadline = Instant::now() + duration;
        let mut waited = Waited::Elapsed;
        loop {
            match asks.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Ask::Stop) | Err(RecvTimeoutError::Disconnected) => return Waited::Stop,
                Ok(Ask::SchemaCache | Ask::Config | Ask::ConnectionLost) => {
                    waited = Waited::Asked;
                    self.reload_config_if_due();
                }
                Err(RecvTimeoutError::Timeout) => return waited,
            }
        }
    }
}

/// The settings that the database holds for the configuration (`--dump-config`).
pub fn settings_once(target: &Target, config: &Config, driver: Driver) -> Result<Vec<(String, String)>, String> {
    let deadline = Instant::now() + Duration::from_secs(limits::CONNECT_SECONDS);
    let authenticated = connect(target, deadline).map_err(|error| error.to_string())?;
    let settings = rt::run(driver, survey::settings(authenticated, config)).map_err(|error| error.to_string())?;
    settings.map_err(|error| error.to_string())
}

/// Loads a catalog without publishing it. `merge` makes a configuration of the database's settings.
pub fn load_once(
    target: &Target,
    config: &Config,
    driver: Driver,
    merge: impl FnOnce(&[(String, String)]) -> Option<Arc<Config>>,
) -> Result<Catalog, String> {
    let deadline = Instant::now() + Duration::from_secs(limits::CONNECT_SECONDS);
    let authenticated = connect(target, deadline).map_err(|error| error.to_string())?;
    let survey =
        rt::run(driver, survey::run(authenticated, config, Pace::AtOnce, merge)).map_err(|error| error.to_string())?;
    let Survey { settings, rows, .. } = survey.map_err(|error| error.to_string())?;
    load::build(&rows, &settings).map_err(|error| error.message())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Waited {
    /// Nothing came.
    Elapsed,
    /// Something came that the next load answers.
    Asked,
    Stop,
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

fn summary(catalog: &Catalog) -> String {
    format!(
        "{} Relations, {} Relationships, {} Functions, {} Domain Representations, {} Media Type Handlers",
        catalog.relations.len(),
        catalog.relationships.values().map(Vec::len).sum::<usize>(),
        catalog.routines.values().map(Vec::len).sum::<usize>(),
        catalog.representations.len(),
        catalog.media_handlers.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::tests::Given;

    /// A reload thread's inside, whose configuration file has another `db-max-rows` each time it is read.
    fn reloader() -> (Reloader, Receiver<Ask>, std::sync::Arc<std::sync::atomic::AtomicU64>) {
        let (handle, receiver) = asks();
        let read = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let reads = read.clone();
        let load = |rows: u64, database: &[(String, String)]| {
            let file = Given::default().file("c", format!("db-max-rows = {rows}"));
            Config::load(&file, Some("c"), database, None).map_err(|error| error.to_string())
        };
        let (log, _) = Log::start(crate::config::LogLevel::Crit).unwrap();
        let (listener, _) = crate::rt::mailbox::mailbox();
        let reloader = Reloader {
            publisher: Publisher::new(load(0, &[]).unwrap()),
            readiness: Arc::default(),
            target: Arc::new(Target::parse("postgresql://nobody@localhost/nowhere").unwrap()),
            driver: Driver::Epoll,
            read_config: Box::new(move |database| load(reads.fetch_add(1, Ordering::Relaxed) + 1, database)),
            handle,
            listener,
            log,
            database_settings: RefCell::default(),
            retired: Retired::start().unwrap(),
        };
        (reloader, receiver, read)
    }

    #[test]
    fn waiting_collects_asks_and_ends_at_stop() {
        let (reloader, receiver, read) = reloader();
        let wait = |ms| reloader.wait(&receiver, Duration::from_millis(ms));
        assert!(wait(1) == Waited::Elapsed);
        reloader.handle.ask(Ask::SchemaCache);
        reloader.handle.ask(Ask::ConnectionLost);
        assert!(wait(1) == Waited::Asked);
        assert_eq!(read.load(Ordering::Relaxed), 0);
        reloader.handle.ask(Ask::Config);
        reloader.handle.ask(Ask::Config);
        assert!(wait(1) == Waited::Asked);
        assert_eq!(read.load(Ordering::Relaxed), 1);
        reloader.handle.ask(Ask::Stop);
        assert!(wait(60_000) == Waited::Stop);
    }

    #[test]
    fn a_reload_of_the_file_keeps_what_the_database_said() {
        let (reloader, _, _) = reloader();
        let roles = || {
            let config = reloader.publisher.current().config.clone();
            (config.db_anon_role.as_ref().map(ToString::to_string), config.db_max_rows)
        };
        *reloader.database_settings.borrow_mut() = vec![("db_anon_role".to_owned(), "guest".to_owned())];
        reloader.reload_config();
        assert_eq!(roles(), (Some("guest".to_owned()), Some(1)));
    }

    #[test]
    fn an_ask_for_the_configuration_survives_a_full_queue() {
        let (reloader, receiver, read) = reloader();
        for _ in 0..limits::RELOAD_ASKS_MAX {
            reloader.handle.ask(Ask::SchemaCache);
        }
        reloader.handle.ask(Ask::Config);
        assert!(reloader.wait(&receiver, Duration::from_millis(1)) == Waited::Asked);
        assert_eq!(read.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_full_queue_drops_asks_without_blocking() {
        let (handle, receiver) = asks();
        for _ in 0..limits::RELOAD_ASKS_MAX * 2 {
            handle.ask(Ask::SchemaCache);
        }
        assert_eq!(receiver.try_iter().count(), limits::RELOAD_ASKS_MAX);
    }
}
