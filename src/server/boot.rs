//! The order of starting and stopping: log, admin, first catalog, API socket, cores; then whatever comes first, a
//! signal or a fatal error; then drain.
//! The API socket is bound once the first catalog is there or its first load has failed (then it answers 503).

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::acceptor::{self, Acceptor, CoreHandle, CoreMessage, Listener, PortSharing};
use super::activation;
use super::admin::Admin;
use super::connector::Connector;
use super::core_loop::{self, CorePlan, RunningCore};
use super::listener::Listener as ReloadListener;
use super::publish::{Publisher, Retired};
use super::readiness::Readiness;
use super::reload::{self, Ask, ConfigReader, FirstTry, ReloadHandle, Reloader};
use super::signal::{self, Asked};
use super::supervisor::{self, Progress};
use crate::catalog::dump::dump;
use crate::config::{BindHost, Config, SocketMode};
use crate::http::conn::ConnectionLimits;
use crate::limits;
use crate::observe::metric::CoreSample;
use crate::observe::{Event, Log};
use crate::pool::PoolSettings;
use crate::pool::exchange::{Seat, seats};
use crate::pool::handle::ConnectorHandle;
use crate::rt::mailbox;
use crate::rt::{self, Driver};
use crate::wire::target::Target;

/// Why the process can't start or go on; the text names what to change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BootError(pub String);

/// What ends a running server.
enum End {
    Signal,
    Fatal,
}

/// Runs the server until a signal ends it.
pub fn run(config: Config, read_config: ConfigReader) -> Result<ExitCode, BootError> {
    let (log, log_thread) = Log::start(config.log_level).map_err(|error| BootError(error.to_string()))?;
    let outcome = serve(config, read_config, &log);
    log_thread.finish();
    outcome
}

fn serve(config: Config, read_config: ConfigReader, log: &Log) -> Result<ExitCode, BootError> {
    log.event(&Event::Starting { version: env!("CARGO_PKG_VERSION") });
    let handed = activation::take().map_err(io_error("sockets of the service manager"))?;
    raise_descriptor_limit(log);
    let target = Target::parse(&config.db_uri).map_err(|error| BootError(format!("db-uri: {error}")))?;
    say_notices(&target, &config, log);
    let (target, driver) = (Arc::new(target), rt::driver());
    let publisher = Publisher::new(config);
    let config = publisher.current().config.clone();
    let readiness = Arc::new(Readiness::default());
    let (reload, asks) = reload::asks();
    let (ends, ended) = sync_channel(limits::RELOAD_ASKS_MAX);
    hand_on_signals(reload.clone(), ends.clone()).map_err(io_error("signals"))?;

    let running = Arc::new(OnceLock::new());
    let endpoints =
        Admin { readiness: readiness.clone(), publisher: publisher.clone(), cores: running.clone(), log: log.clone() };
    let admin = start_admin(&config, handed.admin, endpoints, driver, log)?;
    let (listener, config_changes) = mailbox::mailbox();
    let (first_sender, first) = sync_channel(1);
    let reloader = Reloader {
        publisher: publisher.clone(),
        readiness: readiness.clone(),
        target: target.clone(),
        driver,
        read_config,
        handle: reload.clone(),
        listener,
        log: log.clone(),
        database_settings: RefCell::default(),
        retired: Retired::start().map_err(io_error("background thread"))?,
    };
    let listening = ReloadListener::beside(&reloader, fatal(ends.clone()));
    listening.start(config_changes).map_err(io_error("listener thread"))?;
    start_reloader(reloader, asks, first_sender, ends).map_err(io_error("reload thread"))?;
    if let Some(exit) = wait_for_first_try(&config, &first, &ended) {
        return Ok(exit);
    }

    let connector = Connector::start(limits::CONNECTOR_THREADS).map_err(io_error("connector"))?;
    let cores = start_cores(&config, &publisher, connector.handle(target), &reload, driver, log)?;
    let listeners = if handed.api.is_empty() { vec![bind_api(&config)?] } else { handed.api };
    let handles: Vec<CoreHandle> = cores.iter().map(|core| core.handle.clone()).collect();
    let _ = running.set(handles.clone());
    let acceptors =
        listeners.into_iter().map(|listener| accept(listener, &handles, log)).collect::<Result<Vec<_>, _>>()?;
    readiness.set_live(true);
    supervisor::tell(Progress::Serving);

    let exit = exit_code(&wait_for_end(&ended, &cores, log), log);
    readiness.set_live(false);
    supervisor::tell(Progress::Stopping);
    for acceptor in acceptors {
        acceptor.stop(port_sharing(&config));
    }
    reload.ask(Ask::Stop);
    let dropped = drain(cores, &ended);
    if let Some(admin) = admin {
        admin.acceptor.stop(PortSharing::Exclusive);
        drain(vec![admin.core], &ended);
    }
    log.event(&Event::Stopped { dropped });
    Ok(exit)
}

fn accept(listener: Listener, cores: &[CoreHandle], log: &Log) -> Result<Acceptor, BootError> {
    let address = listener.address();
    let acceptor = Acceptor::start(listener, cores.to_vec(), log.clone()).map_err(io_error("acceptor"))?;
    log.event(&Event::Listening { address });
    Ok(acceptor)
}

fn exit_code(end: &End, log: &Log) -> ExitCode {
    match end {
        End::Signal => {
            log.event(&Event::Stopping);
            ExitCode::SUCCESS
        }
        End::Fatal => ExitCode::FAILURE,
    }
}

fn say_notices(target: &Target, config: &Config, log: &Log) {
    for warning in &target.warnings {
        log.event(&Event::Notice { text: format!("db-uri: {warning}") });
    }
    for text in config.auth.notices() {
        log.event(&Event::Notice { text });
    }
}

/// A connection takes a descriptor, and the soft limit is often 1024 for the sake of programs that use select(2).
fn raise_descriptor_limit(log: &Log) {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, hard)| if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) });
    if let Err(error) = raised {
        log.event(&Event::Notice { text: format!("the limit of open files stays as it is: {error}") });
    }
}

/// Waits for a signal or a fatal error. A core whose loop is gone (one request's panic does not end it) is fatal: its
/// clients would wait for ever.
fn wait_for_end(ended: &Receiver<End>, cores: &[RunningCore], log: &Log) -> End {
    let mut watchdog = supervisor::watchdog().map(Watchdog::new);
    let watched = Duration::from_millis(limits::CORES_WATCHED_MS);
    let pause = watchdog.as_ref().map_or(watched, |watchdog| watchdog.pause.min(watched));
    loop {
        match ended.recv_timeout(pause) {
            Ok(end) => return end,
            Err(RecvTimeoutError::Disconnected) => return End::Signal,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if cores.iter().any(|core| core.thread.is_finished()) {
            log.event(&Event::CoreEnded);
            return End::Fatal;
        }
        if let Some(watchdog) = &mut watchdog {
            watchdog.look(cores);
        }
    }
}

/// Tells the supervisor that the process lives, as long as every core answers.
struct Watchdog {
    pause: Duration,
    due: Vec<mailbox::Receiver<CoreSample>>,
}

impl Watchdog {
    fn new(pause: Duration) -> Self {
        Self { pause, due: Vec::new() }
    }

    fn look(&mut self, cores: &[RunningCore]) {
        self.due.retain_mut(|answer| answer.try_receive().is_none());
        if self.due.is_empty() {
            supervisor::tell(Progress::Alive);
            let ask = |core: &RunningCore| {
                let (reply, answer) = mailbox::mailbox();
                core.handle.messages.send(CoreMessage::Scrape(reply)).ok().map(|()| answer)
            };
            self.due = cores.iter().filter_map(ask).collect();
        }
    }
}

/// What a thread calls that finds that the process can't go on.
fn fatal(ends: SyncSender<End>) -> Box<dyn Fn() + Send> {
    Box::new(move || drop(ends.try_send(End::Fatal)))
}

fn io_error(what: &'static str) -> impl Fn(io::Error) -> BootError {
    move |error| BootError(format!("{what}: {error}"))
}

fn hand_on_signals(reload: ReloadHandle, ends: SyncSender<End>) -> io::Result<()> {
    signal::listen(move |asked| match asked {
        Asked::Stop => drop(ends.try_send(End::Signal)),
        Asked::ReloadSchemaCache => reload.ask(Ask::SchemaCache),
        Asked::ReloadConfig => reload.ask(Ask::Config),
    })
}

fn start_reloader(
    reloader: Reloader,
    asks: Receiver<Ask>,
    first: SyncSender<FirstTry>,
    ends: SyncSender<End>,
) -> io::Result<()> {
    thread::Builder::new().name("reload".to_owned()).spawn(move || {
        reloader.run(&asks, &first, fatal(ends).as_ref());
    })?;
    Ok(())
}

/// The configuration with the database's settings in it, and what the operator should read if they could not be had.
pub fn with_database_settings(
    config: Config,
    read_config: &ConfigReader,
) -> Result<(Config, Option<String>), BootError> {
    if !config.db_config {
        return Ok((config, None));
    }
    let target = Target::parse(&config.db_uri).map_err(|error| BootError(format!("db-uri: {error}")))?;
    match reload::settings_once(&target, &config, rt::driver()) {
        Ok(settings) => Ok((read_config(&settings).map_err(BootError)?, None)),
        Err(error) => Ok((config, Some(Event::DatabaseSettingsFailed { error }.text()))),
    }
}

/// Loads the catalog once and prints it (`--dump-schema`).
pub fn dump_schema(config: &Config, read_config: &ConfigReader) -> Result<String, BootError> {
    let target = Target::parse(&config.db_uri).map_err(|error| BootError(format!("db-uri: {error}")))?;
    let merge = |settings: &[(String, String)]| read_config(settings).ok().map(Arc::new);
    let loaded = reload::load_once(&target, config, rt::driver(), merge).map_err(BootError)?;
    Ok(dump(&loaded))
}

/// Returns an exit code where the process ends before it has served. On a shared port only a loaded catalog will do: the
/// other process answers until then.
fn wait_for_first_try(config: &Config, first: &Receiver<FirstTry>, ended: &Receiver<End>) -> Option<ExitCode> {
    loop {
        match first.recv_timeout(Duration::from_millis(limits::START_POLL_MS)) {
            Ok(FirstTry::Retrying) if config.server_reuseport => {}
            Ok(FirstTry::Loaded | FirstTry::Retrying) => return None,
            Ok(FirstTry::Fatal) => return Some(ExitCode::FAILURE),
            Err(_) => {}
        }
        match ended.try_recv() {
            Ok(End::Signal) => return Some(ExitCode::SUCCESS),
            Ok(End::Fatal) => return Some(ExitCode::FAILURE),
            Err(_) => {}
        }
    }
}

/// The cores' share of `db-pool`: at least one connection each, the rest dealt out evenly.
pub fn split_pool(connections: usize, cores: usize) -> Vec<usize> {
    let cores = cores.max(1);
    (0..cores).map(|core| (connections / cores + usize::from(core < connections % cores)).max(1)).collect()
}

/// `min(available cores, max(1, db-pool / 4))`: tiny pools lose more than extra threads win.
pub fn core_count(available: usize, connections: usize, configured: Option<usize>) -> usize {
    configured.unwrap_or_else(|| available.min((connections / 4).max(1))).clamp(1, connections.max(1))
}

fn start_cores(
    config: &Config,
    publisher: &Arc<Publisher>,
    connector: ConnectorHandle,
    reload: &ReloadHandle,
    driver: Driver,
    log: &Log,
) -> Result<Vec<RunningCore>, BootError> {
    let available = thread::available_parallelism().map_or(1, |count| count.get());
    let count = core_count(available, config.db_pool, config.server_threads);
    log.event(&Event::PoolInitialized { connections: config.db_pool, cores: count, driver: driver_name(driver) });
    let pins = if config.server_pin_threads == Some(true) {
        core_affinity::get_core_ids().unwrap_or_default()
    } else {
        Vec::new()
    };
    let shares = split_pool(config.db_pool, count);
    let start = |(index, (size, seat)): (usize, (usize, Seat))| {
        core_loop::start(CorePlan {
            index,
            driver,
            pool: pool_settings(config, size),
            seat,
            limits: connection_limits(config),
            publisher: publisher.clone(),
            connector: connector.clone(),
            reload: reload.clone(),
            log: log.clone(),
            pin_to: pins.get(index).copied(),
        })
    };
    shares
        .into_iter()
        .zip(seats(count))
        .enumerate()
        .map(start)
        .collect::<io::Result<_>>()
        .map_err(io_error("core thread"))
}

fn driver_name(driver: Driver) -> &'static str {
    match driver {
        Driver::IoUring => "io_uring",
        Driver::Epoll => "epoll",
    }
}

fn bind_api(config: &Config) -> Result<Listener, BootError> {
    if let Some(path) = &config.server_unix_socket {
        return bind_socket("server-unix-socket", path, config.server_unix_socket_mode);
    }
    bind_port("server-port", &config.server_host, config.server_port, port_sharing(config))
}

fn port_sharing(config: &Config) -> PortSharing {
    if config.server_reuseport { PortSharing::Shared } else { PortSharing::Exclusive }
}

fn bind_socket(key: &str, path: &str, mode: SocketMode) -> Result<Listener, BootError> {
    acceptor::bind_unix(Path::new(path), mode.bits()).map_err(|error| BootError(format!("{key}: {error}")))
}

fn bind_port(key: &str, host: &BindHost, port: u16, sharing: PortSharing) -> Result<Listener, BootError> {
    let addresses = addresses(host, port).map_err(|error| BootError(format!("{key}: {error}")))?;
    acceptor::bind_tcp(&addresses, sharing).map_err(|error| BootError(format!("{key}: {error}")))
}

/// What `server-host` means, in the order in which binding is tried.
fn addresses(host: &BindHost, port: u16) -> io::Result<Vec<SocketAddr>> {
    let any4 = SocketAddr::from(([0, 0, 0, 0], port));
    let any6 = SocketAddr::from(([0u16; 8], port));
    Ok(match host {
        BindHost::Any | BindHost::AnyPreferIpv6 => vec![any6, any4],
        BindHost::AnyPreferIpv4 => vec![any4, any6],
        BindHost::AnyIpv4 => vec![any4],
        BindHost::AnyIpv6 => vec![any6],
        BindHost::Named(name) => (name.as_str(), port).to_socket_addrs()?.collect(),
    })
}

struct RunningAdmin {
    acceptor: Acceptor,
    core: RunningCore,
}

fn start_admin(
    config: &Config,
    handed: Option<Listener>,
    admin: Admin,
    driver: Driver,
    log: &Log,
) -> Result<Option<RunningAdmin>, BootError> {
    let listener = if let Some(listener) = handed {
        listener
    } else if let Some(path) = &config.admin_server_unix_socket {
        bind_socket("admin-server-unix-socket", path, config.admin_server_unix_socket_mode)?
    } else if let Some(port) = config.admin_server_port {
        bind_port("admin-server-port", &config.admin_server_host, port, PortSharing::Exclusive)?
    } else {
        return Ok(None);
    };
    let core = core_loop::start_admin(driver, admin, connection_limits(config), log.clone())
        .map_err(io_error("admin thread"))?;
    log.event(&Event::AdminListening { address: listener.address() });
    let handles: Vec<CoreHandle> = vec![core.handle.clone()];
    let acceptor = Acceptor::start(listener, handles, log.clone()).map_err(io_error("admin acceptor"))?;
    Ok(Some(RunningAdmin { acceptor, core }))
}

/// Tells every core to finish; a second signal doesn't wait for them. Returns how many connections were cut.
fn drain(cores: Vec<RunningCore>, ended: &Receiver<End>) -> usize {
    for core in &cores {
        let _ = core.handle.messages.send(CoreMessage::Drain);
    }
    while cores.iter().any(|core| !core.thread.is_finished()) {
        if ended.recv_timeout(Duration::from_millis(limits::START_POLL_MS)).is_ok() {
            return cores.iter().filter(|core| !core.thread.is_finished()).count();
        }
    }
    cores.into_iter().map(|core| core.thread.join().unwrap_or(1)).sum()
}

fn pool_settings(config: &Config, size: usize) -> PoolSettings {
    PoolSettings {
        size,
        acquisition_timeout: Duration::from_secs(config.db_pool_acquisition_timeout_s),
        max_idle: Duration::from_secs(config.db_pool_max_idletime_s),
        max_lifetime: Duration::from_secs(config.db_pool_max_lifetime_s),
        together: config.server_db_pipeline.unwrap_or(1),
        patience: Duration::from_millis(limits::DB_PIPELINE_PATIENCE_MS),
    }
}

fn connection_limits(config: &Config) -> ConnectionLimits {
    let body_bytes_max = config.max_body_bytes();
    // Two of the largest, where the configuration allows larger ones than a core's usual room.
    let bodies_bytes_max = limits::BODIES_BYTES_PER_CORE.max(body_bytes_max.saturating_mul(2));
    ConnectionLimits { body_bytes_max, bodies_bytes_max, ..ConnectionLimits::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_and_their_shares() {
        assert_eq!(core_count(8, 10, None), 2);
        assert_eq!(core_count(8, 1, None), 1);
        assert_eq!(core_count(2, 100, None), 2);
        assert_eq!(core_count(2, 3, Some(8)), 3);
        assert_eq!(split_pool(10, 2), [5, 5]);
        assert_eq!(split_pool(10, 4), [3, 3, 2, 2]);
        assert_eq!(split_pool(1, 1), [1]);
    }
}
