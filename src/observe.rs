//! Everything worth a log line or a count, as one enum: stages return facts, `serve`, `pool` and `server` emit events,
//! nothing else logs. Writing happens on a thread of its own, so that a blocked terminal or full disk stalls no core.

pub mod access;
pub mod kernel;
pub mod log;
pub mod metric;
pub mod timing;

pub use log::Log;

use crate::config::LogLevel;

/// Something worth telling the operator. The texts are PostgREST's where it has one.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    Starting {
        version: &'static str,
    },
    /// Something of the configuration that the operator should know.
    Notice {
        text: String,
    },
    Listening {
        address: String,
    },
    AdminListening {
        address: String,
    },
    Connected {
        server: String,
    },
    PoolInitialized {
        connections: usize,
        cores: usize,
        driver: &'static str,
    },
    SchemaCacheQueried {
        milliseconds: f64,
    },
    SchemaCacheLoaded {
        milliseconds: f64,
        summary: String,
    },
    SchemaCacheFailed {
        /// `db-schemas` and `db-extra-search-path`, as the operator wrote them.
        schemas: String,
        extra_search_path: String,
        error: String,
    },
    ConnectFailed {
        error: String,
    },
    Reconnecting {
        seconds: u32,
    },
    FatalDatabaseError {
        error: String,
    },
    RecoveryDisabled,
    ConfigReloaded,
    /// LISTEN succeeded.
    Listened {
        server: String,
        address: String,
        channel: String,
    },
    ListenFailed {
        channel: String,
        error: String,
    },
    ListenRetrying {
        seconds: u32,
    },
    ReloadSchemaMessage {
        channel: String,
    },
    ReloadConfigMessage {
        channel: String,
    },
    /// The settings kept in the database could not be read.
    DatabaseSettingsFailed {
        error: String,
    },
    ConfigInvalid {
        error: String,
    },
    Stopping,
    Stopped {
        dropped: usize,
    },
    /// A request's own failure worth attention (5xx): the error body.
    QueryFailed {
        body: String,
    },
    /// A statement of a request, as it was sent (`log-query`).
    QueryRun {
        sql: String,
    },
    /// Filters name an aliased embed by its target.
    LegacyTargetNames {
        /// `` `rel` to `alias` ``, separated by commas.
        changes: String,
        /// Method and target of the request.
        request: String,
    },
    /// Prepared statements keep vanishing: a core does without them.
    StatementsLost,
    /// PostgreSQL isn't whom we speak to, and options are on that some poolers don't serve.
    Pooled,
    /// A core's thread is gone: our bug, and nothing serves its clients.
    CoreEnded,
    /// Our bug: a task panicked, its connection is gone.
    Panicked {
        message: String,
    },
    AcceptFailed {
        error: String,
    },
    /// What happens to connections and in caches, for `log-level = "debug"`.
    Detail {
        text: String,
    },
}

const STATEMENTS_LOST: &str = "WARNING: Prepared statements keep vanishing from PostgreSQL's sessions, as behind a \
    connection pooler that pools transactions. Going on without them until the next reload; set \
    db-prepared-statements = false.";
const POOLED: &str = "WARNING: PostgreSQL is reached through a connection pooler. If it pools transactions (PgBouncer's \
    pool_mode = transaction), set db-channel-enabled = false, because notifications get lost in it, and, unless it keeps \
    prepared statements (PgBouncer's max_prepared_statements), db-prepared-statements = false.";

impl Event {
    /// The least talkative level at which the event is still written.
    pub fn level(&self) -> LogLevel {
        match self {
            Self::QueryFailed { .. } | Self::AcceptFailed { .. } => LogLevel::Error,
            Self::Detail { .. } => LogLevel::Debug,
            Self::Starting { .. }
            | Self::Notice { .. }
            | Self::Listening { .. }
            | Self::AdminListening { .. }
            | Self::Connected { .. }
            | Self::PoolInitialized { .. }
            | Self::SchemaCacheQueried { .. }
            | Self::SchemaCacheLoaded { .. }
            | Self::SchemaCacheFailed { .. }
            | Self::ConnectFailed { .. }
            | Self::Reconnecting { .. }
            | Self::FatalDatabaseError { .. }
            | Self::RecoveryDisabled
            | Self::ConfigReloaded
            | Self::Listened { .. }
            | Self::ListenFailed { .. }
            | Self::ListenRetrying { .. }
            | Self::ReloadSchemaMessage { .. }
            | Self::ReloadConfigMessage { .. }
            | Self::DatabaseSettingsFailed { .. }
            | Self::ConfigInvalid { .. }
            | Self::Stopping
            | Self::Stopped { .. }
            | Self::QueryRun { .. }
            | Self::LegacyTargetNames { .. }
            | Self::StatementsLost
            | Self::Pooled
            | Self::CoreEnded
            | Self::Panicked { .. } => LogLevel::Crit,
        }
    }

    /// What stands on a second line of the log.
    pub fn second_line(&self) -> Option<String> {
        if let Self::LegacyTargetNames { changes, request } = self {
            Some(format!("Update filters, orders or limits that use {changes} in `{request}`"))
        } else {
            None
        }
    }

    pub fn text(&self) -> String {
        match self {
            Self::Starting { version } => format!("Starting Trunkline {version}..."),
            Self::Notice { text } | Self::Detail { text } => text.clone(),
            Self::Listening { address } => format!("API server listening on {address}"),
            Self::AdminListening { address } => format!("Admin server listening on {address}"),
            Self::Connected { server } => format!("Successfully connected to {server}"),
            Self::PoolInitialized { connections, cores, driver } => format!(
                "Connection Pool initialized with a maximum size of {connections} connections on {cores} cores ({driver})"
            ),
            Self::SchemaCacheQueried { milliseconds } => {
                format!("Schema cache queried in {milliseconds:.1} milliseconds")
            }
            Self::SchemaCacheLoaded { milliseconds, summary } => {
                format!("Schema cache loaded {summary} in {milliseconds:.1} milliseconds")
            }
            Self::SchemaCacheFailed { schemas, extra_search_path, error } => format!(
                "Failed to load the schema cache using db-schemas={schemas} and \
                 db-extra-search-path={extra_search_path}. {error}"
            ),
            Self::ConnectFailed { error } => format!("Failed to query the PostgreSQL version. {error}"),
            Self::Reconnecting { seconds } => {
                format!("Attempting to reconnect to the database in {seconds} seconds...")
            }
            Self::FatalDatabaseError { error } => format!("Failed to establish a connection. {error}"),
            Self::RecoveryDisabled => "Automatic recovery disabled, exiting.".to_owned(),
            Self::Listened { server, address, channel } => format!(
                "Listener connected to {server} on {address:?} and listening for database notifications on the \
                 {channel:?} channel"
            ),
            Self::ListenFailed { channel, error } => {
                let error = error.replace('\n', " ");
                format!("Failed listening for database notifications on the {channel:?} channel. {error}")
            }
            Self::ListenRetrying { seconds } => {
                format!("Retrying listening for database notifications in {seconds} seconds...")
            }
            Self::ReloadSchemaMessage { channel } => {
                format!("Received a schema cache reload message on the {channel:?} channel")
            }
            Self::ReloadConfigMessage { channel } => {
                format!("Received a config reload message on the {channel:?} channel")
            }
            Self::DatabaseSettingsFailed { error } => {
                format!("Failed to query database settings for the config parameters. {error}")
            }
            Self::ConfigReloaded => "Config reloaded".to_owned(),
            Self::ConfigInvalid { error } => format!("Failed reloading config: {error}"),
            Self::Stopping => "Received termination unix signal".to_owned(),
            Self::Stopped { dropped: 0 } => "Stopped: every request was answered".to_owned(),
            Self::Stopped { dropped } => format!("Stopped: {dropped} connections were cut at the deadline"),
            Self::QueryFailed { body } => body.clone(),
            Self::QueryRun { sql } => sql.replace('\n', " "),
            Self::LegacyTargetNames { .. } => {
                "WARNING: Embedded resource was referenced by relation name even though it \
                 has an alias. This is deprecated and will stop working in a future release."
                    .to_owned()
            }
            Self::StatementsLost => STATEMENTS_LOST.to_owned(),
            Self::Pooled => POOLED.to_owned(),
            Self::CoreEnded => "BUG: a core ended, exiting.".to_owned(),
            Self::Panicked { message } => format!("BUG: a request panicked, its connection was closed: {message}"),
            Self::AcceptFailed { error } => format!("Accepting a connection failed: {error}"),
        }
    }
}
