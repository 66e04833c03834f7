//! What `--dump-config` and `--example` print. A dump is a configuration file: loading it gives the same configuration
//! and the same dump, to which end `$`, `\` and line ends in values are escaped, unlike in PostgREST's.

use std::fmt::{self, Write};

use super::Config;
use crate::auth::base64;

/// Every option as a line `key = value`, in byte order of the lines. Our own options are there when they are set.
pub fn dump(config: &Config) -> String {
    let mut lines: Vec<String> =
        config.app_settings.iter().map(|(name, value)| format!("{name} = {}", quoted(value))).collect();
    texts(config, &mut lines);
    numbers_and_booleans(config, &mut lines);
    lines.sort();
    lines.iter().fold(String::new(), |text, line| text + line + "\n")
}

fn texts(config: &Config, lines: &mut Vec<String>) {
    let mut push = |key: &str, value: &dyn fmt::Display| lines.push(format!("{key} = {}", quoted(&value.to_string())));
    push("admin-server-host", &config.admin_server_host.as_str());
    push("admin-server-unix-socket", &optional(&config.admin_server_unix_socket));
    push("admin-server-unix-socket-mode", &config.admin_server_unix_socket_mode);
    push("client-error-verbosity", &config.client_error_verbosity.as_str());
    push("db-anon-role", &optional(&config.db_anon_role));
    push("db-channel", &config.db_channel);
    push("db-extra-search-path", &joined(&config.db_extra_search_path));
    push("db-hoisted-tx-settings", &joined(&config.db_hoisted_tx_settings));
    push("db-pre-config", &optional(&config.db_pre_config));
    push("db-pre-request", &optional(&config.db_pre_request));
    push("db-root-spec", &optional(&config.db_root_spec));
    push("db-schemas", &joined(&config.db_schemas));
    push("db-tx-end", &config.db_tx_end.as_str());
    push("db-uri", &config.db_uri);
    push("jwt-aud", &optional(&config.jwt_aud));
    push("jwt-role-claim-key", &config.jwt_role_claim_key);
    push("jwt-secret", &secret(config));
    push("log-level", &config.log_level.as_str());
    push("openapi-mode", &config.openapi_mode.as_str());
    push("openapi-server-proxy-uri", &config.openapi_server_proxy_uri.as_ref().map_or("", |uri| &uri.text));
    push("server-cors-allowed-origins", &joined(&config.server_cors_allowed_origins));
    push("server-host", &config.server_host.as_str());
    push("server-trace-header", &optional(&config.server_trace_header));
    push("server-unix-socket", &optional(&config.server_unix_socket));
    push("server-unix-socket-mode", &config.server_unix_socket_mode);
}

fn numbers_and_booleans(config: &Config, lines: &mut Vec<String>) {
    let mut push = |key: &str, value: &dyn fmt::Display| lines.push(format!("{key} = {value}"));
    push("admin-server-port", &or_empty(&config.admin_server_port));
    push("db-aggregates-enabled", &config.db_aggregates_enabled);
    push("db-channel-enabled", &config.db_channel_enabled);
    push("db-config", &config.db_config);
    push("db-max-rows", &or_empty(&config.db_max_rows));
    push("db-plan-enabled", &config.db_plan_enabled);
    push("db-pool", &config.db_pool);
    push("db-pool-acquisition-timeout", &config.db_pool_acquisition_timeout_s);
    push("db-pool-automatic-recovery", &config.db_pool_automatic_recovery);
    push("db-pool-max-idletime", &config.db_pool_max_idletime_s);
    push("db-pool-max-lifetime", &config.db_pool_max_lifetime_s);
    push("db-prepared-statements", &config.db_prepared_statements);
    push("jwt-cache-max-entries", &config.jwt_cache_max_entries);
    push("jwt-secret-is-base64", &config.jwt_secret_is_base64);
    push("log-query", &config.log_query);
    push("openapi-security-active", &config.openapi_security_active);
    push("server-port", &config.server_port);
    push("server-reuseport", &config.server_reuseport);
    push("server-timing-enabled", &config.server_timing_enabled);
    push("url-use-legacy-target-names", &config.url_use_legacy_target_names);
    let own: [(&str, Option<&dyn fmt::Display>); 5] = [
        ("server-db-pipeline", config.server_db_pipeline.as_ref().map(|value| value as &dyn fmt::Display)),
        ("server-max-body", config.server_max_body.as_ref().map(|value| value as &dyn fmt::Display)),
        ("server-max-response", config.server_max_response.as_ref().map(|value| value as &dyn fmt::Display)),
        ("server-pin-threads", config.server_pin_threads.as_ref().map(|value| value as &dyn fmt::Display)),
        ("server-threads", config.server_threads.as_ref().map(|value| value as &dyn fmt::Display)),
    ];
    for (key, value) in own {
        if let Some(value) = value {
            push(key, value);
        }
    }
}

fn optional<T: fmt::Display>(value: &Option<T>) -> String {
    value.as_ref().map_or_else(String::new, T::to_string)
}

/// An unset number is an empty string.
fn or_empty<T: fmt::Display>(value: &Option<T>) -> String {
    value.as_ref().map_or_else(|| "\"\"".to_owned(), T::to_string)
}

fn joined<T: fmt::Display>(parts: &[T]) -> String {
    parts.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

fn secret(config: &Config) -> String {
    let secret = config.jwt_secret.as_deref().unwrap_or_default();
    if config.jwt_secret_is_base64 { base64::encode(secret) } else { String::from_utf8_lossy(secret).into_owned() }
}

fn quoted(text: &str) -> String {
    let mut out = "\"".to_owned();
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '$' => out.push_str("$$"),
            other => {
                let _ = out.write_char(other);
            }
        }
    }
    out.push('"');
    out
}

/// What `--example` prints: a file to start from, with every option.
pub const EXAMPLE: &str = include_str!("example.conf");

#[cfg(test)]
mod tests {
    use super::super::source::tests::Given;
    use super::*;

    fn load(text: &str) -> Config {
        Config::load(&Given::default().file("c", text), Some("c"), &[], None).unwrap_or_else(|error| panic!("{error}"))
    }

    const DEFAULTS: &str = include_str!("dump_defaults.conf");

    #[test]
    fn the_defaults_are_dumped_as_the_reference_dumps_them() {
        assert_eq!(dump(&load("")), DEFAULTS);
    }

    #[test]
    fn a_dump_loads_into_the_same_dump() {
        let given = r#"
            app.settings.quote = "a \"b\" \\ $$x"
            app.settings.Mixed = "two\nlines"
            db-schemas = "a , b"
            db-extra-search-path = ""
            db-max-rows = 5
            admin-server-port = 3001
            db-uri = "postgres://u:p$$w\"d@h/db"
            jwt-secret = "K0NLT0NLT0NLT0NLT0NLT0NLT0NLT0NLT0NLT0NLT0M="
            jwt-secret-is-base64 = true
            jwt-role-claim-key = "$$.roles[?(@ == 'x' || search(@, '^\\\\d'))]['a\\'b']"
            db-tx-end = "rollback-allow-override"
            server-cors-allowed-origins = "https://a.test, https://b.test"
            server-max-body = "64MB"
            server-threads = 2
            server-pin-threads = false
            server-unix-socket-mode = "777"
            log-level = "debug"
            openapi-server-proxy-uri = "https://a.test:8443/x"
        "#;
        let once = dump(&load(given));
        assert_eq!(dump(&load(&once)), once);
        for line in [
            "db-schemas = \"a,b\"\n",
            "db-extra-search-path = \"\"\n",
            "server-max-body = 67108864\n",
            "server-threads = 2\n",
            "server-pin-threads = false\n",
            "db-max-rows = 5\n",
            "app.settings.quote = \"a \\\"b\\\" \\\\ $$x\"\n",
            "jwt-secret = \"K0NLT0NLT0NLT0NLT0NLT0NLT0NLT0NLT0NLT0NLT0M=\"\n",
        ] {
            assert!(once.contains(line), "{line}\n{once}");
        }
        let legacy = dump(&load("jwt-role-claim-key = \".a.\\\"b-c\\\"[0]\""));
        assert!(legacy.contains(r#"jwt-role-claim-key = ".\"a\".\"b-c\"[0]""#), "{legacy}");
        assert_eq!(dump(&load(&legacy)), legacy);
    }

    #[test]
    fn the_example_is_a_file_of_defaults() {
        assert_eq!(dump(&load(EXAMPLE)), DEFAULTS);
        for line in DEFAULTS.lines() {
            let key = line.split(" = ").next().unwrap();
            assert!(EXAMPLE.contains(&format!("\n{key} = ")) || EXAMPLE.contains(&format!("\n# {key} = ")), "{key}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_in_a_value_comes_back(text in "(?s).{0,40}") {
            let given = Given::default().variable("PGRST_APP_SETTINGS_x", &text).variable("PGRST_DB_ANON_ROLE", &text);
            let first = Config::load(&given, None, &[], None).unwrap();
            let again = load(&dump(&first));
            assert_eq!(again.app_settings, first.app_settings);
            assert_eq!(again.db_anon_role, first.db_anon_role);
        }

        #[test]
        fn any_file_is_read_or_refused(text in "[a-c =\"\\\\$(){}\\[\\]#;\n,.0-9onfimprtu-]{0,60}") {
            let given = Given::default().file("c", text).file("a", "b = 1");
            let _ = Config::load(&given, Some("c"), &[], None);
        }

        #[test]
        fn any_path_is_read_or_refused(text in "[$@.a-c\\[\\]'\"?(),:0-9!=<>&|* -]{0,40}") {
            use crate::auth::json_path::RolePath;
            if let Ok(path) = RolePath::parse(&text) {
                let printed = path.to_string();
                assert_eq!(RolePath::parse(&printed).unwrap().to_string(), printed);
            }
        }
    }
}
