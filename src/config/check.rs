//! Source → `Config`. One line per option in `config`; the readers below turn what was given into a type or into a
//! complaint that names the option, what was given and what is accepted.
//! An empty value means unset, `db-extra-search-path` excepted. Numbers and booleans that cannot be read are refused,
//! where PostgREST silently takes the default.

use super::file::FileValue;
use super::source::{Given, Outside, Source};
use super::value::{
    BindHost, ErrorVerbosity, LogLevel, OpenApiMode, ProxyUri, RoutineSetting, SocketMode, TxEnd, is_uri,
};
use super::{Config, ConfigError};
use crate::auth::AuthSettings;
use crate::auth::base64;
use crate::auth::json_path::RolePath;
use crate::auth::key::{KeyError, KeySet};
use crate::json::decimal::Decimal;
use crate::name::{RoleName, SchemaName};

const HOISTED_DEFAULT: &str = "statement_timeout, plan_filter.statement_cost_limit, default_transaction_isolation";

pub fn config(source: &Source, outside: &dyn Outside, db_uri: Option<&str>) -> Result<Config, ConfigError> {
    let option = Reader { source };
    let server_host = option.text("server-host")?.unwrap_or_else(|| "!4".to_owned());
    let server_port = option.integer("server-port", 0, 65535)?.unwrap_or(3000);
    let jwt_secret_is_base64 =
        option.aliased("jwt-secret-is-base64", "secret-is-base64", Reader::boolean)?.unwrap_or(false);
    let jwt_secret = option.secret(outside, jwt_secret_is_base64)?;
    Ok(Config {
        admin_server_host: BindHost::parse(&option.text("admin-server-host")?.unwrap_or_else(|| server_host.clone())),
        admin_server_port: option.admin_port(server_port)?,
        admin_server_unix_socket: option.text("admin-server-unix-socket")?,
        admin_server_unix_socket_mode: option.socket_mode("admin-server-unix-socket-mode")?,
        app_settings: app_settings(source),
        client_error_verbosity: option.verbosity()?,
        db_aggregates_enabled: option.boolean("db-aggregates-enabled")?.unwrap_or(false),
        db_anon_role: option.anonymous_role()?,
        db_channel: option.text("db-channel")?.unwrap_or_else(|| "pgrst".to_owned()),
        db_channel_enabled: option.boolean("db-channel-enabled")?.unwrap_or(true),
        db_config: option.boolean("db-config")?.unwrap_or(true),
        db_pre_config: option.routine("db-pre-config")?,
        db_extra_search_path: option.extra_search_path()?,
        db_hoisted_tx_settings: commas(
            &option.text("db-hoisted-tx-settings")?.unwrap_or_else(|| HOISTED_DEFAULT.to_owned()),
        ),
        db_max_rows: option
            .aliased("db-max-rows", "max-rows", |option, key| option.integer(key, 0, i64::MAX as u64))?,
        db_plan_enabled: option.boolean("db-plan-enabled")?.unwrap_or(false),
        db_pool: option.integer("db-pool", 1, 100_000)?.unwrap_or(10),
        db_pool_acquisition_timeout_s: option.integer("db-pool-acquisition-timeout", 0, SECONDS_MAX)?.unwrap_or(10),
        db_pool_max_idletime_s: option
            .aliased("db-pool-timeout", "db-pool-max-idletime", |option, key| option.integer(key, 0, SECONDS_MAX))?
            .unwrap_or(30),
        db_pool_max_lifetime_s: option.integer("db-pool-max-lifetime", 0, SECONDS_MAX)?.unwrap_or(1800),
        db_pool_automatic_recovery: option.boolean("db-pool-automatic-recovery")?.unwrap_or(true),
        db_pre_request: option.aliased("db-pre-request", "pre-request", Reader::routine)?,
        db_prepared_statements: option.boolean("db-prepared-statements")?.unwrap_or(true),
        db_root_spec: option.aliased("db-root-spec", "root-spec", Reader::routine)?,
        db_schemas: option.schemas()?,
        db_tx_end: option.tx_end()?,
        db_uri: option.db_uri(outside, db_uri)?,
        jwt_aud: option.audience()?,
        jwt_role_claim_key: option.role_path()?,
        auth: option.auth(jwt_secret.as_deref())?,
        jwt_secret,
        jwt_secret_is_base64,
        jwt_cache_max_entries: option.cache_entries()?,
        log_level: option.log_level()?,
        log_query: option.boolean("log-query")?.unwrap_or(false),
        openapi_mode: option.openapi_mode()?,
        openapi_security_active: option.boolean("openapi-security-active")?.unwrap_or(false),
        openapi_server_proxy_uri: option.proxy_uri()?,
        server_cors_allowed_origins: option
            .text("server-cors-allowed-origins")?
            .map_or_else(Vec::new, |text| commas(&text)),
        server_host: BindHost::parse(&server_host),
        server_port,
        server_reuseport: option.boolean("server-reuseport")?.unwrap_or(false),
        server_timing_enabled: option.boolean("server-timing-enabled")?.unwrap_or(false),
        server_trace_header: option.header_name("server-trace-header")?,
        server_unix_socket: option.text("server-unix-socket")?,
        server_unix_socket_mode: option.socket_mode("server-unix-socket-mode")?,
        url_use_legacy_target_names: option.boolean("url-use-legacy-target-names")?.unwrap_or(true),
        server_threads: option.integer("server-threads", 1, 1024)?,
        server_db_pipeline: option.integer("server-db-pipeline", 1, crate::limits::DB_PIPELINE_MAX)?,
        server_pin_threads: option.boolean("server-pin-threads")?,
        server_max_body: option.size("server-max-body")?,
        server_max_response: option.size("server-max-response")?,
    })
}

/// Nothing waits longer than a century.
const SECONDS_MAX: u64 = 3_155_760_000;

struct Reader<'s> {
    source: &'s Source,
}

type Read<T> = Result<Option<T>, ConfigError>;

impl Reader<'_> {
    /// `key`, or `alias` where that is unset.
    fn aliased<T>(
        &self,
        key: &'static str,
        alias: &'static str,
        read: impl Fn(&Self, &'static str) -> Read<T>,
    ) -> Read<T> {
        match read(self, key)? {
            Some(value) => Ok(Some(value)),
            None => read(self, alias),
        }
    }

    fn text(&self, key: &'static str) -> Read<String> {
        Ok(self.text_or_empty(key)?.filter(|text| !text.is_empty()))
    }

    fn text_or_empty(&self, key: &'static str) -> Read<String> {
        match self.source.given(key) {
            None => Ok(None),
            Some(Given::Text(text)) => Ok(Some(text.to_owned())),
            Some(Given::File(FileValue::Text(text) | FileValue::Number(text))) => Ok(Some(text.clone())),
            Some(Given::File(FileValue::Bool(value))) => Ok(Some(value.to_string())),
            Some(Given::File(FileValue::List)) => {
                Err(refuse(key, "a list in brackets", "text in quotes, several separated by commas"))
            }
        }
    }

    fn boolean(&self, key: &'static str) -> Read<bool> {
        if let Some(Given::File(FileValue::Bool(value))) = self.source.given(key) {
            return Ok(Some(*value));
        }
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        // Whatever is no letter may stand around the word: PGRST_X='"true"' comes out of many a container file.
        let word: String = text.chars().filter(|character| character.is_alphabetic()).collect();
        if word.eq_ignore_ascii_case("true") {
            Ok(Some(true))
        } else if word.eq_ignore_ascii_case("false") {
            Ok(Some(false))
        } else {
            let number = text.trim().parse::<i128>();
            number
                .map(|number| Some(number > 0))
                .map_err(|_| refuse(key, &text, "true, false, or a number (above 0 is true)"))
        }
    }

    fn integer<T: TryFrom<u64>>(&self, key: &'static str, min: u64, max: u64) -> Read<T> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        let number = match self.source.given(key) {
            Some(Given::File(FileValue::Number(text))) => Decimal::parse(text).to_i64(),
            _ => text.trim().parse::<i64>().ok(),
        };
        let number = number.and_then(|number| u64::try_from(number).ok()).filter(|number| (min..=max).contains(number));
        let number = number.and_then(|number| T::try_from(number).ok());
        number.map(Some).ok_or_else(|| refuse(key, &text, range_words(min, max)))
    }

    /// Bytes, plain or in kB, MB or GB of 1024 each.
    fn size(&self, key: &'static str) -> Read<usize> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        let trimmed = text.trim();
        let unit = trimmed.find(|character: char| !character.is_ascii_digit()).unwrap_or(trimmed.len());
        let (digits, unit) = trimmed.split_at_checked(unit).unwrap_or((trimmed, ""));
        let factor = match unit.trim() {
            "" | "B" => Some(1),
            "kB" => Some(1 << 10),
            "MB" => Some(1 << 20),
            "GB" => Some(1 << 30),
            _ => None,
        };
        let bytes = digits.parse::<usize>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
        let bytes = bytes.filter(|bytes| *bytes > 0);
        bytes
            .map(Some)
            .ok_or_else(|| refuse(key, &text, "a number of bytes above 0, or one with kB, MB or GB after it"))
    }

    fn routine(&self, key: &'static str) -> Read<RoutineSetting> {
        Ok(self.text(key)?.map(|text| RoutineSetting::parse(&text)))
    }

    /// One of an option's words, or its default.
    fn word<T>(
        &self,
        key: &'static str,
        parse: fn(&str) -> Option<T>,
        default: T,
        sentence: &str,
        accepted: &'static str,
    ) -> Result<T, ConfigError> {
        match self.text(key)? {
            None => Ok(default),
            Some(text) => parse(&text).ok_or_else(|| refuse_saying(sentence, key, &text, accepted)),
        }
    }

    fn verbosity(&self) -> Result<ErrorVerbosity, ConfigError> {
        let sentence = "Invalid client-error-verbosity. Check your configuration.";
        self.word(
            "client-error-verbosity",
            ErrorVerbosity::parse,
            ErrorVerbosity::Verbose,
            sentence,
            "verbose, minimal",
        )
    }

    fn log_level(&self) -> Result<LogLevel, ConfigError> {
        let sentence = "Invalid logging level. Check your configuration.";
        self.word("log-level", LogLevel::parse, LogLevel::Error, sentence, "crit, error, warn, info, debug")
    }

    fn openapi_mode(&self) -> Result<OpenApiMode, ConfigError> {
        let sentence = "Invalid openapi-mode. Check your configuration.";
        let accepted = "follow-privileges, ignore-privileges, disabled";
        self.word("openapi-mode", OpenApiMode::parse, OpenApiMode::FollowPrivileges, sentence, accepted)
    }

    fn tx_end(&self) -> Result<TxEnd, ConfigError> {
        let sentence = "Invalid transaction termination. Check your configuration.";
        let accepted = "commit, commit-allow-override, rollback, rollback-allow-override";
        self.word("db-tx-end", TxEnd::parse, TxEnd::Commit, sentence, accepted)
    }

    fn admin_port(&self, server_port: u16) -> Read<u16> {
        let port = self.integer("admin-server-port", 0, 65535)?;
        if port == Some(server_port) {
            let sentence = "admin-server-port cannot be the same as server-port";
            return Err(refuse_saying(sentence, "admin-server-port", &server_port.to_string(), "another port"));
        }
        Ok(port)
    }

    fn socket_mode(&self, key: &'static str) -> Result<SocketMode, ConfigError> {
        let Some(text) = self.text(key)? else {
            return Ok(SocketMode::DEFAULT);
        };
        SocketMode::parse(&text)
            .map_err(|reason| refuse_saying(&format!("Invalid {key}: {reason}"), key, &text, "600 to 777, octal"))
    }

    fn extra_search_path(&self) -> Result<Vec<SchemaName>, ConfigError> {
        let text = self.text_or_empty("db-extra-search-path")?.unwrap_or_else(|| "public".to_owned());
        Ok(commas(&text).iter().map(|schema| schema.as_str().into()).collect())
    }

    fn schemas(&self) -> Result<Vec<SchemaName>, ConfigError> {
        let text = self.aliased("db-schemas", "db-schema", Self::text)?.unwrap_or_else(|| "public".to_owned());
        let schemas = commas(&text);
        if let Some(system) =
            schemas.iter().find(|schema| ["pg_catalog", "information_schema"].contains(&schema.as_str()))
        {
            let sentence = format!("db-schemas does not allow schema: '{system}'");
            return Err(refuse_saying(&sentence, "db-schemas", &text, "schemas of your own"));
        }
        if schemas.is_empty() {
            return Err(refuse("db-schemas", &text, "one or more schemas, separated by commas"));
        }
        Ok(schemas.iter().map(|schema| schema.as_str().into()).collect())
    }

    /// `@path` reads the file, blanks around its content dropped.
    fn db_uri(&self, outside: &dyn Outside, known: Option<&str>) -> Result<String, ConfigError> {
        if let Some(known) = known {
            return Ok(known.to_owned());
        }
        let text = self.text("db-uri")?.unwrap_or_else(|| "postgresql://".to_owned());
        match text.strip_prefix('@') {
            None => Ok(text),
            Some(path) => {
                let content = String::from_utf8(read(outside, path)?);
                let content = content.map_err(|_| ConfigError::Unreadable {
                    path: path.to_owned(),
                    reason: "it is not UTF-8".to_owned(),
                })?;
                Ok(content.trim().to_owned())
            }
        }
    }

    fn anonymous_role(&self) -> Read<RoleName> {
        Ok(self.text("db-anon-role")?.map(RoleName::new))
    }

    fn auth(&self, secret: Option<&[u8]>) -> Result<AuthSettings, ConfigError> {
        let keys = secret.map(KeySet::parse).transpose().map_err(ConfigError::Key)?;
        let (audience, path, role) = (self.audience()?, self.role_path()?, self.anonymous_role()?);
        Ok(AuthSettings::new(keys, secret, audience, path, role, self.cache_entries()?))
    }

    fn audience(&self) -> Read<String> {
        let Some(text) = self.text("jwt-aud")? else {
            return Ok(None);
        };
        if text.contains(':') && !is_uri(&text) {
            let sentence = "jwt-aud should be a string or a valid URI";
            return Err(refuse_saying(sentence, "jwt-aud", &text, "text without a colon, or a URI"));
        }
        Ok(Some(text))
    }

    fn role_path(&self) -> Result<RolePath, ConfigError> {
        let Some(text) = self.aliased("jwt-role-claim-key", "role-claim-key", Self::text)? else {
            return Ok(RolePath::default());
        };
        RolePath::parse(&text).map_err(|error| {
            let sentence = format!("failed to parse role-claim-key value ({text}): {}", error.reason);
            refuse_saying(&sentence, "jwt-role-claim-key", &text, "a JSONPath such as $.role, in files $$.role")
        })
    }

    /// The secret's bytes: from the file where it is `@path`, less one line end, and out of base64.
    fn secret(&self, outside: &dyn Outside, is_base64: bool) -> Read<Vec<u8>> {
        let Some(text) = self.text("jwt-secret")? else {
            return Ok(None);
        };
        let secret = match text.strip_prefix('@') {
            None => text.into_bytes(),
            Some(path) => {
                let mut content = read(outside, path)?;
                if content.last() == Some(&b'\n') {
                    content.pop();
                }
                content
            }
        };
        if is_base64 {
            base64::decode_secret(&secret).ok_or(ConfigError::Key(KeyError::NotBase64)).map(Some)
        } else {
            Ok(Some(secret))
        }
    }

    /// 0 and less turn the cache off.
    fn cache_entries(&self) -> Result<usize, ConfigError> {
        let key = "jwt-cache-max-entries";
        if self.text(key)?.is_some_and(|text| text.trim().parse::<i64>().is_ok_and(|number| number < 0)) {
            return Ok(0);
        }
        Ok(self.integer(key, 0, 10_000_000)?.unwrap_or(1000))
    }

    fn proxy_uri(&self) -> Read<ProxyUri> {
        let Some(text) = self.text("openapi-server-proxy-uri")? else {
            return Ok(None);
        };
        ProxyUri::parse(&text).map(Some).ok_or_else(|| {
            let sentence = "Malformed proxy uri, a correct example: https://example.com:8443/basePath";
            refuse_saying(
                sentence,
                "openapi-server-proxy-uri",
                &text,
                "http or https, without user, query and fragment",
            )
        })
    }

    fn header_name(&self, key: &'static str) -> Read<String> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        let fits = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        if fits { Ok(Some(text)) } else { Err(refuse(key, &text, "the name of a header")) }
    }
}

/// PostgREST hands numbers and booleans of the file on as its own notation for them.
fn app_settings(source: &Source) -> Vec<(String, String)> {
    let value = |given: Given<'_>| match given {
        Given::Text(text) => text.to_owned(),
        Given::File(FileValue::Text(text)) => text.clone(),
        Given::File(FileValue::Bool(true)) => "Bool True".to_owned(),
        Given::File(FileValue::Bool(false)) => "Bool False".to_owned(),
        Given::File(FileValue::List) => "List".to_owned(),
        Given::File(FileValue::Number(text)) => {
            let mut out = "Number ".to_owned();
            Decimal::parse(text).write_pointed(&mut out);
            out
        }
    };
    source.app_settings().into_iter().map(|(name, given)| (name, value(given))).collect()
}

fn read(outside: &dyn Outside, path: &str) -> Result<Vec<u8>, ConfigError> {
    outside
        .read_file(path)
        .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), reason: error.to_string() })
}

fn commas(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn refuse(key: &'static str, given: &str, accepted: &'static str) -> ConfigError {
    ConfigError::Value { sentence: None, key, given: given.to_owned(), accepted }
}

fn refuse_saying(sentence: &str, key: &'static str, given: &str, accepted: &'static str) -> ConfigError {
    ConfigError::Value { sentence: Some(sentence.to_owned()), key, given: given.to_owned(), accepted }
}

fn range_words(min: u64, max: u64) -> &'static str {
    match (min, max) {
        (0, 65535) => "a port, 0 to 65535",
        (1, _) => "a whole number from 1",
        (_, SECONDS_MAX) => "a whole number of seconds from 0",
        _ => "a whole number from 0",
    }
}

#[cfg(test)]
mod tests {
    use super::super::dump::dump;
    use super::super::source::tests::Given as Outer;
    use super::*;

    struct Case {
        outside: Outer,
        database: Vec<(String, String)>,
    }

    fn file(text: &str) -> Case {
        let outside = Outer::default()
            .file("c", text)
            .file("secret", format!("{}\n", "s".repeat(32)))
            .file("uri", " postgres://u@h/db\n");
        Case { outside: outside.file("short", "x").file("binary", vec![0xff; 32]), database: Vec::new() }
    }

    impl Case {
        fn env(self, name: &str, value: &str) -> Self {
            Self { outside: self.outside.variable(name, value), ..self }
        }

        fn database(mut self, name: &str, value: &str) -> Self {
            self.database.push((name.to_owned(), value.to_owned()));
            self
        }

        fn load(&self) -> Result<Config, ConfigError> {
            Config::load(&self.outside, Some("c"), &self.database, None)
        }

        /// `expect` is a line of the dump, or a part of the complaint.
        fn check(&self, expect: &str) {
            match self.load() {
                Ok(config) => {
                    let text = dump(&config);
                    assert!(text.lines().any(|line| line == expect), "{expect}\n{text}");
                }
                Err(error) => assert!(error.to_string().contains(expect), "{expect}\n{error}"),
            }
        }
    }

    #[test]
    fn the_database_wins_over_the_environment_over_the_file() {
        file("db-max-rows = 1").check("db-max-rows = 1");
        file("db-max-rows = 1").env("PGRST_DB_MAX_ROWS", "2").check("db-max-rows = 2");
        file("db-max-rows = 1").env("PGRST_DB_MAX_ROWS", "2").database("db_max_rows", "3").check("db-max-rows = 3");
        file("db-max-rows = 1").env("PGRST_DB_MAX_ROWS", "").check("db-max-rows = \"\"");
        file("db-anon-role = \"a\"").database("db_anon_role", "").check("db-anon-role = \"\"");
        file("").database("db_pool", "77").check("db-pool = 10");
        file("unknown = 1\nother.key = \"x\"").env("PGRST_UNKNOWN", "x").check("db-pool = 10");
        file("").env("PGRST_DB_SCHEMA", "old").check("db-schemas = \"old\"");
    }

    #[test]
    fn aliases_count_where_the_name_is_unset() {
        file("max-rows = 2").check("db-max-rows = 2");
        file("max-rows = 2\ndb-max-rows = 3").check("db-max-rows = 3");
        file("db-schema = \"s\"").check("db-schemas = \"s\"");
        file("pre-request = \"a.b\"").check("db-pre-request = \"a.b\"");
        file("root-spec = \"r\"").check("db-root-spec = \"r\"");
        file("role-claim-key = \"$$.a.b\"").check("jwt-role-claim-key = \"$$.a.b\"");
        file("db-pool-timeout = 7\ndb-pool-max-idletime = 8").check("db-pool-max-idletime = 7");
        file("secret-is-base64 = true").check("jwt-secret-is-base64 = true");
    }

    #[test]
    fn booleans_are_read_in_many_forms() {
        for (text, expect) in [
            ("true", true),
            ("\"true\"", true),
            ("\"TRUE\"", true),
            ("\"'True'\"", true),
            ("on", true),
            ("1", true),
            ("\"3\"", true),
            ("false", false),
            ("\"False\"", false),
            ("off", false),
            ("0", false),
            ("\"-1\"", false),
            ("\"\"", false),
        ] {
            file(&format!("db-plan-enabled = {text}")).check(&format!("db-plan-enabled = {expect}"));
        }
        file("").env("PGRST_DB_PLAN_ENABLED", "\"true\"").check("db-plan-enabled = true");
        file("db-plan-enabled = \"yes\"")
            .check("Error in config Invalid db-plan-enabled (\"yes\"; accepted: true, false, or a number");
    }

    #[test]
    fn numbers_are_whole_and_bounded() {
        file("db-pool = \"12\"").check("db-pool = 12");
        file("db-pool = 12.0").check("db-pool = 12");
        file("db-pool = \"\"").check("db-pool = 10");
        file("db-pool = 0").check("Invalid db-pool (\"0\"; accepted: a whole number from 1)");
        file("db-pool = 1.5").check("Invalid db-pool (\"1.5\"");
        file("db-pool = \"ten\"").check("Invalid db-pool (\"ten\"");
        file("db-pool = true").check("Invalid db-pool (\"true\"");
        file("db-max-rows = -1").check("Invalid db-max-rows (\"-1\"; accepted: a whole number from 0)");
        file("server-port = 65536").check("accepted: a port, 0 to 65535");
        file("server-port = 0").check("server-port = 0");
        file("jwt-cache-max-entries = -4").check("jwt-cache-max-entries = 0");
        file("server-max-body = \"2 MB\"").check("server-max-body = 2097152");
        file("server-max-body = \"2 TB\"").check("Invalid server-max-body");
        file("server-max-body = 0").check("Invalid server-max-body");
        file("server-threads = 0").check("Invalid server-threads");
        file("server-db-pipeline = 4").check("server-db-pipeline = 4");
        file("server-db-pipeline = 0").check("Invalid server-db-pipeline");
        file("db-schemas = [\"a\"]").check("several separated by commas");
    }

    #[test]
    fn words_are_checked_with_the_references_sentences() {
        file("log-level = \"loud\"")
            .check("Invalid logging level. Check your configuration. (log-level = \"loud\"; accepted: crit,");
        file("log-level = \"Error\"").check("Invalid logging level.");
        file("openapi-mode = \"x\"").check("Invalid openapi-mode. Check your configuration.");
        file("db-tx-end = \"x\"").check("Invalid transaction termination. Check your configuration.");
        file("client-error-verbosity = \"x\"").check("Invalid client-error-verbosity. Check your configuration.");
        file("admin-server-port = 3000").check("admin-server-port cannot be the same as server-port");
        file("server-unix-socket-mode = \"599\"").check("Invalid server-unix-socket-mode: not an octal");
        file("server-unix-socket-mode = \"577\"")
            .check("Invalid server-unix-socket-mode: needs to be between 600 and 777");
        file("admin-server-unix-socket-mode = 755").check("admin-server-unix-socket-mode = \"755\"");
        file("db-schemas = \"a, pg_catalog\"").check("db-schemas does not allow schema: 'pg_catalog'");
        file("db-schemas = \"information_schema\"").check("db-schemas does not allow schema: 'information_schema'");
        file("db-schemas = \" , \"").check("Invalid db-schemas");
        file("jwt-aud = \"a b:c\"").check("jwt-aud should be a string or a valid URI");
        file("jwt-aud = \"a b\"").check("jwt-aud = \"a b\"");
        file("openapi-server-proxy-uri = \"x\"")
            .check("Malformed proxy uri, a correct example: https://example.com:8443/basePath");
        file("jwt-role-claim-key = \"role\"").check("failed to parse role-claim-key value (role)");
        file("server-trace-header = \"a b\"").check("Invalid server-trace-header");
    }

    #[test]
    fn files_behind_an_at_sign_are_read() {
        file("db-uri = \"@uri\"").check("db-uri = \"postgres://u@h/db\"");
        file("db-uri = \"@none\"").check("none: not there");
        file("db-uri = \"@binary\"").check("binary: it is not UTF-8");
        file("jwt-secret = \"@secret\"").check(&format!("jwt-secret = \"{}\"", "s".repeat(32)));
        file("jwt-secret = \"@short\"").check("The JWT secret must be at least 32 characters long.");
        file("jwt-secret = \"@none\"").check("none: not there");
        assert_eq!(file("jwt-secret = \"@binary\"").load().unwrap().jwt_secret, Some(vec![0xff; 32]));
        let known = Config::load(&Outer::default().file("c", "db-uri = \"@none\""), Some("c"), &[], Some("known"));
        assert_eq!(known.unwrap().db_uri, "known");
        assert!(matches!(Config::load(&Outer::default(), Some("c"), &[], None), Err(ConfigError::Unreadable { .. })));
        assert!(Config::load(&Outer::default(), None, &[], None).is_ok());
    }

    #[test]
    fn secrets_are_checked_and_never_shown() {
        file("jwt-secret = \"hunter2\"").check("The JWT secret must be at least 32 characters long.");
        file("jwt-secret = \"\"").check("jwt-secret = \"\"");
        file("jwt-secret = \"???\"\njwt-secret-is-base64 = true").check("jwt-secret is not base64");
        file("jwt-secret = \"c2hvcnQ=\"\njwt-secret-is-base64 = true").check("at least 32 characters");
        for text in ["jwt-secret = \"hunter2\"", "jwt-secret = \"hunter2!\"\njwt-secret-is-base64 = true"] {
            assert!(!file(text).load().unwrap_err().to_string().contains("hunter2"));
        }
    }

    #[test]
    fn what_is_accepted_but_odd_is_noticed() {
        let notices = |text: &str| file(text).load().unwrap().auth.notices().join("; ");
        assert_eq!(notices("jwt-role-claim-key = \"$$.role\""), "");
        assert!(
            notices("jwt-role-claim-key = \".role\"")
                .starts_with("jwt-role-claim-key: the syntax of .\"role\" is deprecated")
        );
        let oct = "{\\\"kty\\\":\\\"oct\\\",\\\"k\\\":\\\"b2N0LWtleS1zZWNyZXQtb2N0LWtleS1zZWNyZXQtMDEyMw\\\"}";
        let p521 = "{\\\"kty\\\":\\\"EC\\\",\\\"crv\\\":\\\"P-521\\\"}";
        let set = notices(&format!("jwt-secret = \"{{\\\"keys\\\":[{oct},{p521}]}}\""));
        assert_eq!(
            set,
            "jwt-secret: key 2 is passed over: EC keys on P-521 are not supported, those on P-256 and P-384 are"
        );
    }

    #[test]
    fn app_settings_come_from_file_and_environment() {
        let case = file("app.settings.a = \"1\"\napp.settings { b = 5\n c = true }\napp.settings.d = \"file\"");
        let case = case.env("PGRST_APP_SETTINGS_d", "env").env("PGRST_APP_SETTINGS_E", "x");
        let config = case.load().unwrap();
        let settings: Vec<_> = config.app_settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expect = [
            "app.settings.E=x",
            "app.settings.a=1",
            "app.settings.b=Number 5.0",
            "app.settings.c=Bool True",
            "app.settings.d=env",
        ];
        assert_eq!(settings, expect);
    }

    #[test]
    fn a_configuration_is_shared_between_threads() {
        fn shared<T: Send + Sync>(_: &T) {}
        shared(&file("").load().unwrap());
    }

    #[test]
    fn the_admin_server_follows_the_servers_host() {
        file("server-host = \"*6\"").check("admin-server-host = \"*6\"");
        file("server-host = \"*6\"\nadmin-server-host = \"localhost\"").check("admin-server-host = \"localhost\"");
        file("db-extra-search-path = \"\"").check("db-extra-search-path = \"\"");
        file("db-extra-search-path = \"a, b\"").check("db-extra-search-path = \"a,b\"");
    }
}
