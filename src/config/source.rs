//! Where a value comes from: the database before the environment before the file. A key that stands in an earlier
//! source hides the later ones even where it is empty.

use std::collections::BTreeMap;
use std::io;

use super::ConfigError;
use super::file::{self, FileValue, FileValues};

/// Files and environment variables, so that tests bring their own.
pub trait Outside {
    fn read_file(&self, path: &str) -> io::Result<Vec<u8>>;
    fn variable(&self, name: &str) -> Option<String>;
    /// Every environment variable, in any order.
    fn variables(&self) -> Vec<(String, String)>;
}

/// The process's own files and environment.
pub struct Process;

impl Outside for Process {
    fn read_file(&self, path: &str) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn variables(&self) -> Vec<(String, String)> {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
    }
}

/// The settings that count when they come from the database, without their `pgrst.` prefix.
pub const IN_DATABASE: &[&str] = &[
    "client_error_verbosity",
    "db_aggregates_enabled",
    "db_anon_role",
    "db_extra_search_path",
    "db_hoisted_tx_settings",
    "db_max_rows",
    "db_plan_enabled",
    "db_pre_config",
    "db_pre_request",
    "db_prepared_statements",
    "db_root_spec",
    "db_schemas",
    "db_tx_end",
    "jwt_aud",
    "jwt_role_claim_key",
    "jwt_secret",
    "jwt_secret_is_base64",
    "openapi_mode",
    "openapi_security_active",
    "openapi_server_proxy_uri",
    "server_cors_allowed_origins",
    "server_timing_enabled",
    "server_trace_header",
    "url_use_legacy_target_names",
];

/// The three sources together.
#[derive(Debug)]
pub struct Source {
    file: FileValues,
    environment: BTreeMap<String, String>,
    database: BTreeMap<String, String>,
}

/// A value where it was found.
#[derive(Clone, Copy, Debug)]
pub enum Given<'s> {
    /// From the environment or the database, where everything is text.
    Text(&'s str),
    File(&'s FileValue),
}

impl Source {
    /// `database`: names as in `IN_DATABASE`; others are ignored.
    pub fn gather(
        outside: &dyn Outside,
        file: Option<&str>,
        database: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        let file = file.map_or_else(|| Ok(FileValues::new()), |path| file::load(outside, path))?;
        let environment = outside.variables().into_iter().filter(|(name, _)| name.starts_with("PGRST_")).collect();
        let database = database.iter().filter(|(name, _)| IN_DATABASE.contains(&name.as_str())).cloned().collect();
        Ok(Self { file, environment, database })
    }

    /// The value of `key`, spelt as in files.
    pub fn given(&self, key: &str) -> Option<Given<'_>> {
        let name = key.replace('-', "_");
        let text = self.database.get(&name).or_else(|| self.environment.get(&format!("PGRST_{}", name.to_uppercase())));
        text.map(|text| Given::Text(text)).or_else(|| self.file.get(key).map(Given::File))
    }

    /// `app.settings.*` by full name. `PGRST_APP_SETTINGS_x` sets `app.settings.x`, in the case it is written in.
    pub fn app_settings(&self) -> BTreeMap<String, Given<'_>> {
        let from_file = self.file.iter().filter(|(key, _)| key.starts_with("app.settings."));
        let mut settings: BTreeMap<_, _> = from_file.map(|(key, value)| (key.clone(), Given::File(value))).collect();
        for (name, value) in &self.environment {
            if let Some(name) = name.strip_prefix("PGRST_APP_SETTINGS_") {
                settings.insert(format!("app.settings.{name}"), Given::Text(value));
            }
        }
        settings
    }
}

#[cfg(test)]
pub mod tests {
    use super::{BTreeMap, Outside, io};

    /// Files and variables that a test gives.
    #[derive(Default)]
    pub struct Given {
        files: BTreeMap<String, Vec<u8>>,
        variables: BTreeMap<String, String>,
    }

    impl Given {
        pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
            self.files.insert(path.to_owned(), content.into());
            self
        }

        pub fn variable(mut self, name: &str, value: &str) -> Self {
            self.variables.insert(name.to_owned(), value.to_owned());
            self
        }
    }

    impl Outside for Given {
        fn read_file(&self, path: &str) -> io::Result<Vec<u8>> {
            self.files.get(path).cloned().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "not there"))
        }

        fn variable(&self, name: &str) -> Option<String> {
            self.variables.get(name).cloned()
        }

        fn variables(&self) -> Vec<(String, String)> {
            self.variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
        }
    }
}
