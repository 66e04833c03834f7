//! `Config`: every option checked and typed, immutable once built. Names, defaults, aliases and rules are PostgREST's;
//! the options of our own begin with `server-` and stand last.
//! Order: in-database settings, then `PGRST_*` variables, then the file (`source`). Unknown keys are ignored.
//! Must not know: who is configured by it. Reading files and the environment goes through `source::Outside`.

pub mod check;
pub mod dump;
pub mod file;
pub mod source;
pub mod value;

use std::fmt;

use crate::auth::AuthSettings;
use crate::auth::json_path::RolePath;
use crate::auth::key::KeyError;
use crate::limits;
use crate::name::{RoleName, SchemaName};
use source::{Outside, Source};
pub use value::{BindHost, ErrorVerbosity, LogLevel, OpenApiMode, ProxyUri, RoutineSetting, SocketMode, TxEnd};

/// One field per option, in the order of PostgREST's documentation.
#[derive(Clone, Debug)]
pub struct Config {
    pub admin_server_host: BindHost,
    pub admin_server_port: Option<u16>,
    pub admin_server_unix_socket: Option<String>,
    pub admin_server_unix_socket_mode: SocketMode,
    /// Full names (`app.settings.x`) and values, by name.
    pub app_settings: Vec<(String, String)>,
    pub client_error_verbosity: ErrorVerbosity,
    pub db_aggregates_enabled: bool,
    pub db_anon_role: Option<RoleName>,
    pub db_channel: String,
    pub db_channel_enabled: bool,
    pub db_config: bool,
    pub db_pre_config: Option<RoutineSetting>,
    pub db_extra_search_path: Vec<SchemaName>,
    pub db_hoisted_tx_settings: Vec<String>,
    pub db_max_rows: Option<u64>,
    pub db_plan_enabled: bool,
    /// Connections of the whole process, at least one.
    pub db_pool: usize,
    pub db_pool_acquisition_timeout_s: u64,
    pub db_pool_max_idletime_s: u64,
    pub db_pool_max_lifetime_s: u64,
    pub db_pool_automatic_recovery: bool,
    pub db_pre_request: Option<RoutineSetting>,
    pub db_prepared_statements: bool,
    pub db_root_spec: Option<RoutineSetting>,
    /// At least one; the first is the default.
    pub db_schemas: Vec<SchemaName>,
    pub db_tx_end: TxEnd,
    pub db_uri: String,
    pub jwt_aud: Option<String>,
    pub jwt_role_claim_key: RolePath,
    /// Decoded, for `--dump-config` alone; `auth` has the keys.
    pub jwt_secret: Option<Vec<u8>>,
    pub jwt_secret_is_base64: bool,
    /// 0 turns the cache off.
    pub jwt_cache_max_entries: usize,
    pub log_level: LogLevel,
    pub log_query: bool,
    pub openapi_mode: OpenApiMode,
    pub openapi_security_active: bool,
    pub openapi_server_proxy_uri: Option<ProxyUri>,
    /// Empty: any origin.
    pub server_cors_allowed_origins: Vec<String>,
    pub server_host: BindHost,
    /// 0 picks a free one.
    pub server_port: u16,
    pub server_reuseport: bool,
    pub server_timing_enabled: bool,
    pub server_trace_header: Option<String>,
    /// Takes precedence over the port.
    pub server_unix_socket: Option<String>,
    pub server_unix_socket_mode: SocketMode,
    pub url_use_legacy_target_names: bool,

    /// The options above that decide who calls, ready for `auth::authenticate`.
    pub auth: AuthSettings,

    /// Ours: the number of data cores; unset, it follows from the machine and `db-pool`.
    pub server_threads: Option<usize>,
    /// Ours: how many reads that wait may be sent together on one connection; unset, one.
    pub server_db_pipeline: Option<usize>,
    /// Ours: whether each data core stays on one processor.
    pub server_pin_threads: Option<bool>,
    /// Ours: `max_body_bytes` has the default.
    pub server_max_body: Option<usize>,
    /// Ours: `max_response_bytes` has the default.
    pub server_max_response: Option<usize>,
}

impl Config {
    /// Reads and checks the whole configuration. `database` holds (name, value) pairs as in `source::IN_DATABASE`.
    /// `db_uri` is what an earlier load found: a reload does not read it again.
    pub fn load(
        outside: &dyn Outside,
        file: Option<&str>,
        database: &[(String, String)],
        db_uri: Option<&str>,
    ) -> Result<Self, ConfigError> {
        let source = Source::gather(outside, file, database)?;
        check::config(&source, outside, db_uri)
    }

    /// A larger request body is refused.
    pub fn max_body_bytes(&self) -> usize {
        self.server_max_body.unwrap_or(limits::BODY_BYTES_MAX)
    }

    /// A larger response that cannot stream is refused.
    pub fn max_response_bytes(&self) -> usize {
        self.server_max_response.unwrap_or(limits::RESPONSE_BYTES_MAX)
    }
}

/// Why a configuration is refused. Secrets and connection strings are never in the text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConfigError {
    /// A file cannot be read: the configuration's own, one it imports, or one named by `@path`.
    Unreadable {
        path: String,
        reason: String,
    },
    Syntax {
        path: String,
        line: usize,
        column: usize,
        reason: &'static str,
    },
    /// PostgREST's sentence where it has one, then the key, what was given and what is accepted.
    Value {
        sentence: Option<String>,
        key: &'static str,
        given: String,
        accepted: &'static str,
    },
    Key(KeyError),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, reason } => write!(out, "{path}: {reason}"),
            Self::Syntax { path, line, column, reason } => {
                write!(out, "Error in config {path}:{line}:{column}: {reason}")
            }
            Self::Value { sentence: Some(sentence), key, given, accepted } => {
                write!(out, "Error in config {sentence} ({key} = \"{given}\"; accepted: {accepted})")
            }
            Self::Value { sentence: None, key, given, accepted } => {
                write!(out, "Error in config Invalid {key} (\"{given}\"; accepted: {accepted})")
            }
            Self::Key(error) => error.fmt(out),
        }
    }
}

impl std::error::Error for ConfigError {}
