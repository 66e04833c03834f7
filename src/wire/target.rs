//! Where to connect and as whom: a connection string plus what libpq fills in from the environment, the service file,
//! the password file and its defaults. Source: PostgreSQL documentation, "Connection Strings", "Parameter Key Words",
//! "Environment Variables", "The Password File", "The Connection Service File".
//! Invariant: no message and no Debug output shows a password, not even a piece of a misplaced one.

pub mod environment;
mod key_value;
mod options;
mod pass_file;
mod service_file;
pub mod tls;
mod uri;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use environment::Environment;
use options::Options;

/// One database, on any of several hosts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// At least one; tried in this order.
    pub hosts: Vec<Host>,
    pub user: String,
    pub database: String,
    pub application_name: Option<String>,
    /// Used where no `application_name` is given.
    pub fallback_application_name: String,
    /// Command-line options for the session (`-c name=value`).
    pub options: Option<String>,
    /// Session defaults from PGTZ, PGDATESTYLE, PGGEQO.
    pub session_defaults: Vec<(&'static str, String)>,
    pub session_attrs: SessionAttrs,
    pub ssl_mode: SslMode,
    pub tls: tls::TlsSettings,
    /// Of each address; `None` waits as long as the caller's deadline allows.
    pub connect_timeout: Option<Duration>,
    pub keepalives: Keepalives,
    pub tcp_user_timeout: Option<Duration>,
    /// What was ignored and should be known to the operator.
    pub warnings: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    pub endpoint: Endpoint,
    pub port: u16,
    pub password: Option<Password>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Endpoint {
    /// A socket in this directory; `@…` is Linux's abstract namespace.
    Unix { directory: PathBuf },
    /// A socket in the first of `DEFAULT_DIRECTORIES` that has one.
    DefaultSocket,
    /// `address` spares the look-up of `host`; one of the two is there.
    Tcp { host: Option<String>, address: Option<IpAddr> },
}

impl Endpoint {
    /// Debian's and upstream's.
    pub const DEFAULT_DIRECTORIES: [&'static str; 2] = ["/var/run/postgresql", "/tmp"];
}

/// A secret that shows itself only when asked.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Password(…)")
    }
}

/// Which kind of session is wanted (`target_session_attrs`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SessionAttrs {
    #[default]
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    /// A standby, or else any.
    PreferStandby,
}

impl SessionAttrs {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "any" => Self::Any,
            "read-write" => Self::ReadWrite,
            "read-only" => Self::ReadOnly,
            "primary" => Self::Primary,
            "standby" => Self::Standby,
            "prefer-standby" => Self::PreferStandby,
            _ => return None,
        })
    }

    /// What to look for in each pass over the hosts.
    pub(super) fn passes(self) -> &'static [Self] {
        match self {
            Self::Any => &[Self::Any],
            Self::ReadWrite => &[Self::ReadWrite],
            Self::ReadOnly => &[Self::ReadOnly],
            Self::Primary => &[Self::Primary],
            Self::Standby => &[Self::Standby],
            Self::PreferStandby => &[Self::Standby, Self::Any],
        }
    }
}

/// How much TLS is wanted on TCP connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SslMode {
    Disable,
    Allow,
    #[default]
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl SslMode {
    fn parse(text: &str) -> Option<Self> {
        [Self::Disable, Self::Allow, Self::Prefer, Self::Require, Self::VerifyCa, Self::VerifyFull]
            .into_iter()
            .find(|mode| mode.name() == text)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// TCP keepalives; `None` leaves a value to the system.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keepalives {
    pub enabled: bool,
    pub idle: Option<Duration>,
    pub interval: Option<Duration>,
    pub count: Option<u32>,
}

/// What is wrong with a connection string, as libpq words it where that shows nothing secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetError(String);

impl TargetError {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for TargetError {}

const FALLBACK_APPLICATION_NAME: &str = "Trunkline";
const DEFAULT_PORT: u16 = 5432;

impl Target {
    /// Reads a connection string (URI, key/value, or a mere database name, as libpq does) and completes it from this
    /// process's environment.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        Self::parse_in(text, &environment::OfProcess)
    }

    /// `parse` in a given environment.
    pub fn parse_in(text: &str, environment: &dyn Environment) -> Result<Self, TargetError> {
        let mut options = Options::default();
        if uri::is_uri(text) {
            uri::parse(text, &mut options)?;
        } else {
            key_value::parse(text, &mut options)?;
        }
        service_file::complete(&mut options, environment)?;
        options.complete_from_environment(environment);
        options.refuse_what_is_missing()?;
        resolve(&options, environment)
    }

    /// The startup message's parameters.
    pub(super) fn startup_parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        let name = self.application_name.as_deref().unwrap_or(&self.fallback_application_name);
        let fixed = [("user", self.user.as_str()), ("database", &self.database), ("client_encoding", "UTF8")];
        let options = self.options.as_deref().map(|options| ("options", options));
        let defaults = self.session_defaults.iter().map(|(name, value)| (*name, value.as_str()));
        fixed.into_iter().chain([("application_name", name)]).chain(options).chain(defaults)
    }
}

fn resolve(options: &Options, environment: &dyn Environment) -> Result<Target, TargetError> {
    let user = match options.get("user") {
        Some(user) => user.to_owned(),
        None => {
            environment.user().ok_or_else(|| TargetError::new("no user name given, and this process's has none"))?
        }
    };
    let database = options.get("dbname").unwrap_or(&user).to_owned();
    let mut warnings = Vec::new();
    let (ssl_mode, tls) = tls::resolve(options, environment, &mut warnings)?;
    let mut hosts = hosts(options)?;
    match options.get("password") {
        Some(password) => hosts.iter_mut().for_each(|host| host.password = Some(Password::new(password))),
        None => pass_file::complete(&mut hosts, &user, &database, options, environment, &mut warnings),
    }
    let session_defaults = [("PGTZ", "timezone"), ("PGDATESTYLE", "datestyle"), ("PGGEQO", "geqo")];
    Ok(Target {
        hosts,
        application_name: options.get("application_name").map(str::to_owned),
        fallback_application_name: options
            .get("fallback_application_name")
            .unwrap_or(FALLBACK_APPLICATION_NAME)
            .to_owned(),
        options: options.get("options").map(str::to_owned),
        session_defaults: session_defaults
            .into_iter()
            .filter_map(|(variable, setting)| Some((setting, environment.variable(variable)?)))
            .collect(),
        session_attrs: parsed(options, "target_session_attrs", SessionAttrs::parse)?.unwrap_or_default(),
        ssl_mode,
        tls,
        // libpq's minimum of two seconds.
        connect_timeout: positive(options, "connect_timeout")?.map(|count| Duration::from_secs(count.max(2).into())),
        keepalives: Keepalives {
            enabled: integer(options, "keepalives")?.unwrap_or(1) != 0,
            idle: positive(options, "keepalives_idle")?.map(|count| Duration::from_secs(count.into())),
            interval: positive(options, "keepalives_interval")?.map(|count| Duration::from_secs(count.into())),
            count: positive(options, "keepalives_count")?,
        },
        tcp_user_timeout: positive(options, "tcp_user_timeout")?.map(|count| Duration::from_millis(count.into())),
        user,
        database,
        warnings,
    })
}

/// Pairs hosts, addresses and ports up.
fn hosts(options: &Options) -> Result<Vec<Host>, TargetError> {
    let list = |key: &str| options.get(key).map(|text| text.split(',').collect::<Vec<_>>());
    let (names, addresses) = (list("host"), list("hostaddr"));
    let count = addresses.as_ref().or(names.as_ref()).map_or(1, Vec::len);
    if let (Some(names), Some(addresses)) = (&names, &addresses)
        && names.len() != addresses.len()
    {
        let (names, addresses) = (names.len(), addresses.len());
        return Err(TargetError::new(format!("could not match {names} host names to {addresses} hostaddr values")));
    }
    let ports = list("port").unwrap_or_else(|| vec![""]);
    if ports.len() != 1 && ports.len() != count {
        return Err(TargetError::new(format!("could not match {} port numbers to {count} hosts", ports.len())));
    }
    let mut hosts = Vec::with_capacity(count);
    for index in 0..count {
        let of = |list: &Option<Vec<&str>>| {
            let text = list.as_ref().and_then(|list| list.get(index).copied());
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let port = ports.get(index).or(ports.first()).copied().unwrap_or_default();
        hosts.push(Host { endpoint: endpoint(of(&names), of(&addresses))?, port: parse_port(port)?, password: None });
    }
    Ok(hosts)
}

fn endpoint(name: Option<String>, address: Option<String>) -> Result<Endpoint, TargetError> {
    let parsed = match &address {
        Some(text) => match text.parse::<IpAddr>() {
            Ok(address) => Some(address),
            Err(_) => return Err(TargetError::new(format!("could not parse network address \"{text}\""))),
        },
        None => None,
    };
    Ok(match (name, parsed) {
        (None, None) => Endpoint::DefaultSocket,
        (Some(name), None) if name.starts_with(['/', '@']) => Endpoint::Unix { directory: Path::new(&name).into() },
        (host, address) => Endpoint::Tcp { host, address },
    })
}

fn parse_port(text: &str) -> Result<u16, TargetError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(DEFAULT_PORT);
    }
    match text.parse() {
        Ok(0) | Err(_) => Err(TargetError::new(format!("invalid port number: \"{text}\""))),
        Ok(port) => Ok(port),
    }
}

fn parsed<T>(options: &Options, key: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, TargetError> {
    options
        .get(key)
        .map(|text| parse(text).ok_or_else(|| TargetError::new(format!("invalid {key} value: \"{text}\""))))
        .transpose()
}

fn integer(options: &Options, key: &str) -> Result<Option<i32>, TargetError> {
    let Some(text) = options.get(key) else { return Ok(None) };
    let message = || TargetError::new(format!("invalid integer value \"{text}\" for connection option \"{key}\""));
    text.trim().parse().map(Some).map_err(|_| message())
}

/// Zero and less mean the default.
fn positive(options: &Options, key: &str) -> Result<Option<u32>, TargetError> {
    Ok(integer(options, key)?.and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0))
}

#[cfg(test)]
mod tests;
