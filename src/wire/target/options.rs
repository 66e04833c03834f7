//! The connection parameters that libpq knows, by key word, and which of them this server acts on.

use super::TargetError;
use super::environment::Environment;

/// Key words with their values; the first value that was set for a key word stays.
#[derive(Default)]
pub(super) struct Options(Vec<(&'static str, String)>);

impl Options {
    /// An empty value counts as none.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| *known == key)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// Replaces what an earlier part of the same connection string said.
    pub fn set(&mut self, key: &str, value: String) -> Result<(), UnknownOption> {
        let key = known(key).ok_or(UnknownOption)?;
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, place)) => *place = value,
            None => self.0.push((key, value)),
        }
        Ok(())
    }

    /// For sources of lower rank.
    pub fn set_if_absent(&mut self, key: &str, value: String) -> Result<(), UnknownOption> {
        match self.get(key) {
            Some(_) => Ok(()),
            None => self.set(key, value),
        }
    }

    pub fn complete_from_environment(&mut self, environment: &dyn Environment) {
        for (key, variable) in KNOWN {
            if !variable.is_empty()
                && self.get(key).is_none()
                && let Some(value) = environment.variable(variable)
            {
                self.0.retain(|(known, _)| known != key);
                self.0.push((key, value));
            }
        }
    }

    /// A demand for safety must not be ignored silently.
    pub fn refuse_what_is_missing(&self) -> Result<(), TargetError> {
        for key in ["sslnegotiation", "gssencmode", "requirepeer", "require_auth", "replication"] {
            let is_demand = match (key, self.get(key)) {
                (_, None) => false,
                ("sslnegotiation", Some(value)) => value != "postgres",
                ("gssencmode", Some(value)) => value == "require",
                ("replication", Some(value)) => !matches!(value, "off" | "no" | "false" | "0"),
                (_, Some(_)) => true,
            };
            if is_demand {
                return Err(TargetError::new(format!("connection option \"{key}\" is not supported with this value")));
            }
        }
        Ok(())
    }
}

/// Not a key word of libpq's.
#[derive(Debug)]
pub(super) struct UnknownOption;

fn known(key: &str) -> Option<&'static str> {
    KNOWN.iter().map(|(known, _)| *known).find(|known| *known == key)
}

/// Key word and environment variable, as of PostgreSQL 18.
const KNOWN: &[(&str, &str)] = &[
    ("service", "PGSERVICE"),
    ("servicefile", "PGSERVICEFILE"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("dbname", "PGDATABASE"),
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("client_encoding", ""),
    ("options", "PGOPTIONS"),
    ("application_name", "PGAPPNAME"),
    ("fallback_application_name", ""),
    ("keepalives", ""),
    ("keepalives_idle", ""),
    ("keepalives_interval", ""),
    ("keepalives_count", ""),
    ("tcp_user_timeout", ""),
    ("sslmode", "PGSSLMODE"),
    ("sslnegotiation", "PGSSLNEGOTIATION"),
    ("sslcompression", "PGSSLCOMPRESSION"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("sslcertmode", "PGSSLCERTMODE"),
    ("sslpassword", ""),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcrl", "PGSSLCRL"),
    ("sslcrldir", "PGSSLCRLDIR"),
    ("sslsni", "PGSSLSNI"),
    ("sslkeylogfile", ""),
    ("requirepeer", "PGREQUIREPEER"),
    ("require_auth", "PGREQUIREAUTH"),
    ("min_protocol_version", "PGMINPROTOCOLVERSION"),
    ("max_protocol_version", "PGMAXPROTOCOLVERSION"),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    ("gssencmode", "PGGSSENCMODE"),
    ("krbsrvname", "PGKRBSRVNAME"),
    ("gsslib", "PGGSSLIB"),
    ("gssdelegation", "PGGSSDELEGATION"),
    ("replication", ""),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    ("scram_client_key", ""),
    ("scram_server_key", ""),
    ("oauth_issuer", ""),
    ("oauth_client_id", ""),
    ("oauth_client_secret", ""),
    ("oauth_scope", ""),
];
