//! Connection strings → targets, in environments of the tests' own.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::environment::{Contents, Environment};
use super::*;

#[derive(Default)]
struct Fake {
    variables: HashMap<&'static str, &'static str>,
    files: HashMap<&'static str, &'static str>,
    open_to_others: bool,
}

impl Environment for Fake {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).map(|value| (*value).to_owned())
    }

    fn user(&self) -> Option<String> {
        Some("me".to_owned())
    }

    fn home(&self) -> Option<PathBuf> {
        Some("/home/me".into())
    }

    fn read(&self, path: &Path) -> io::Result<Contents> {
        let text = path.to_str().and_then(|path| self.files.get(path)).ok_or(io::ErrorKind::NotFound)?;
        Ok(Contents { text: (*text).to_owned(), open_to_others: self.open_to_others })
    }
}

/// `user@host:port,…/database` with passwords after a slash.
fn summary(target: &Target) -> String {
    let hosts: Vec<String> = target
        .hosts
        .iter()
        .map(|host| {
            let name = match &host.endpoint {
                Endpoint::Unix { directory } => directory.display().to_string(),
                Endpoint::DefaultSocket => "socket".to_owned(),
                Endpoint::Tcp { host, address } => match (host, address) {
                    (Some(host), Some(address)) => format!("{host}={address}"),
                    (Some(host), None) => host.clone(),
                    (None, Some(address)) => format!("={address}"),
                    (None, None) => "?".to_owned(),
                },
            };
            let password = host.password.as_ref().map(|password| format!(" ({})", password.reveal()));
            format!("{name}:{}{}", host.port, password.unwrap_or_default())
        })
        .collect();
    format!("{}@{} /{}", target.user, hosts.join(","), target.database)
}

fn check_in(fake: &Fake, text: &str, expect: &str) {
    match Target::parse_in(text, fake) {
        Ok(target) => assert_eq!(summary(&target), expect, "{text}"),
        Err(error) => assert_eq!(format!("! {error}"), expect, "{text}"),
    }
}

fn check(text: &str, expect: &str) {
    check_in(&Fake::default(), text, expect);
}

#[test]
fn uris() {
    check("postgresql://", "me@socket:5432 /me");
    check("postgres://localhost", "me@localhost:5432 /me");
    check("postgresql://localhost:5433/", "me@localhost:5433 /me");
    check("postgresql://other@localhost/db", "other@localhost:5432 /db");
    check("postgresql://other:se%3Acret@localhost/db", "other@localhost:5432 (se:cret) /db");
    check("postgresql://h1:1,h2:2,[::1]:3/db", "me@h1:1,h2:2,::1:3 /db");
    check("postgresql://h1,h2:2/db", "me@h1:5432,h2:2 /db");
    check("postgresql://%2Ftmp%2Fpg/db", "me@/tmp/pg:5432 /db");
    check("postgresql:///db?host=/tmp/pg&port=7", "me@/tmp/pg:7 /db");
    check("postgresql:///my%20db", "me@socket:5432 /my db");
    check("postgresql://u@/db?host=h&hostaddr=10.0.0.1", "u@h=10.0.0.1:5432 /db");
    check("postgresql://u:p%zz@h/db", "! invalid percent-encoded token in the password of the URI");
    check("postgresql://u:p%00@h/db", "! forbidden value %00 in percent-encoded value in the password of the URI");
    check(
        "postgresql://u:p@[::1/db",
        "! end of string reached when looking for matching \"]\" in IPv6 host address in URI",
    );
    check("postgresql://[]/db", "! IPv6 host address may not be empty in URI");
    check(
        "postgresql://[::1]x/db",
        "! unexpected character after an IPv6 host address in URI (expected \":\" or \"/\")",
    );
    check("postgresql://u:a@b:c@h/db", "! invalid port number in URI");
    check("postgresql:///db?foo=1", "! invalid URI query parameter: \"foo\"");
    check("postgresql:///db?sslmode", "! missing key/value separator \"=\" in URI query parameter: \"sslmode\"");
    check("postgresql:///db?sslmode=a=b", "! extra key/value separator \"=\" in URI query parameter: \"sslmode\"");
    check("postgresql:///db?sslmode=maybe", "! invalid sslmode value: \"maybe\"");
    check("postgresql://h1,h2/db?port=1,2,3", "! could not match 3 port numbers to 2 hosts");
}

#[test]
fn key_value_strings() {
    check("", "me@socket:5432 /me");
    check("db", "me@socket:5432 /db");
    check("host=localhost port=5433 dbname=db user=u password=p", "u@localhost:5433 (p) /db");
    check("host = '/tmp/my dir'  dbname='a\\'b\\\\c'", "me@/tmp/my dir:5432 /a'b\\c");
    check("password='' user=u", "u@socket:5432 /u");
    check("host=a,b,/c port=1,,3", "me@a:1,b:5432,/c:3 /me");
    check("host=a,b port=9", "me@a:9,b:9 /me");
    check("hostaddr=127.0.0.1,::1", "me@=127.0.0.1:5432,=::1:5432 /me");
    check("host=a hostaddr=1.2.3.4,::1", "! could not match 1 host names to 2 hostaddr values");
    check("hostaddr=localhost", "! could not parse network address \"localhost\"");
    check(
        "user=u password=two words",
        "! missing \"=\" in connection info string, after the value of \"password\"; a value with spaces needs quotes",
    );
    check("user password=x", "! missing \"=\" after \"user\" in connection info string");
    check("password='open", "! unterminated quoted string in connection info string");
    check("fallback=1", "! invalid connection option \"fallback\"");
    check("port=0", "! invalid port number: \"0\"");
    check("port=65536", "! invalid port number: \"65536\"");
    check("port=x", "! invalid port number: \"x\"");
    check("connect_timeout=soon", "! invalid integer value \"soon\" for connection option \"connect_timeout\"");
    check("target_session_attrs=best", "! invalid target_session_attrs value: \"best\"");
    check("channel_binding=must", "! invalid channel_binding value: \"must\"");
    check("sslnegotiation=direct", "! connection option \"sslnegotiation\" is not supported with this value");
    check(
        "sslrootcert=system sslmode=require",
        "! weak sslmode \"require\" may not be used with sslrootcert=system (use \"verify-full\")",
    );
    check("channel_binding=prefer replication=off", "me@socket:5432 /me");
}

#[test]
fn the_environment_fills_in_what_is_not_given() {
    let variables = HashMap::from([
        ("PGHOST", "pghost"),
        ("PGPORT", "7000"),
        ("PGUSER", "pguser"),
        ("PGPASSWORD", "pgpass"),
        ("PGDATABASE", "pgdb"),
        ("PGAPPNAME", "app"),
        ("PGTARGETSESSIONATTRS", "read-only"),
        ("PGCONNECT_TIMEOUT", "1"),
        ("PGSSLMODE", "disable"),
        ("PGTZ", "UTC"),
    ]);
    let fake = Fake { variables, ..Fake::default() };
    check_in(&fake, "", "pguser@pghost:7000 (pgpass) /pgdb");
    check_in(&fake, "postgresql://", "pguser@pghost:7000 (pgpass) /pgdb");
    check_in(&fake, "postgresql://u:p@h:1/d", "u@h:1 (p) /d");
    let target = Target::parse_in("", &fake).unwrap();
    assert_eq!(target.session_attrs, SessionAttrs::ReadOnly);
    assert_eq!(target.ssl_mode, SslMode::Disable);
    assert_eq!(target.connect_timeout, Some(Duration::from_secs(2)));
    let startup: Vec<_> = target.startup_parameters().collect();
    assert!(startup.contains(&("application_name", "app")));
    assert!(startup.contains(&("timezone", "UTC")));
    let plain = Target::parse_in("keepalives=0 tcp_user_timeout=1500 options='-c a=b'", &Fake::default()).unwrap();
    assert!(!plain.keepalives.enabled);
    assert_eq!(plain.tcp_user_timeout, Some(Duration::from_millis(1500)));
    let startup: Vec<_> = plain.startup_parameters().collect();
    assert!(startup.contains(&("application_name", "Trunkline")));
    assert!(startup.contains(&("options", "-c a=b")));
}

#[test]
fn the_password_file_serves_each_host() {
    let text = "# all\nother:*:*:*:wrong\nh1:5432:db:u:one\\:1\n*:*:db:u:any\nlocalhost:*:*:*:local\n";
    let mut fake = Fake { files: HashMap::from([("/home/me/.pgpass", text)]), ..Fake::default() };
    check_in(&fake, "postgresql://u@h1,h2/db", "u@h1:5432 (one:1),h2:5432 (any) /db");
    check_in(&fake, "dbname=x", "me@socket:5432 (local) /x");
    check_in(&fake, "host=/var/run/postgresql", "me@/var/run/postgresql:5432 (local) /me");
    check_in(&fake, "host=h9 dbname=x", "me@h9:5432 /x");
    check_in(&fake, "host=h1 dbname=db user=u password=p", "u@h1:5432 (p) /db");
    fake.open_to_others = true;
    check_in(&fake, "postgresql://u@h1/db", "u@h1:5432 /db");
    let warnings = Target::parse_in("postgresql://u@h1/db", &fake).unwrap().warnings;
    assert!(warnings.iter().any(|warning| warning.contains("/home/me/.pgpass")));
}

#[test]
fn the_service_file_ranks_between_string_and_environment() {
    let text = "[other]\nhost=no\n\n# comment\n[mine]\nhost=sh\nport=7\ndbname = sdb\n[last]\nrubbish\n";
    let fake = Fake {
        files: HashMap::from([("/home/me/.pg_service.conf", text)]),
        variables: HashMap::from([("PGPORT", "9"), ("PGUSER", "pu")]),
        ..Fake::default()
    };
    check_in(&fake, "service=mine", "pu@sh:7 /sdb");
    check_in(&fake, "service=mine port=8", "pu@sh:8 /sdb");
    check_in(&fake, "service=none", "! definition of service \"none\" not found");
    check_in(&fake, "service=last", "! syntax error in service file \"/home/me/.pg_service.conf\", line 10");
}

#[test]
fn debug_output_hides_the_password() {
    let target = Target::parse_in("password=hunter2 user=u", &Fake::default()).unwrap();
    assert!(!format!("{target:?}").contains("hunter2"));
}

proptest! {
    #[test]
    fn any_text_is_survived_and_no_password_shows(text in "(postgres://)?[ -~]{0,60}") {
        let _ = Target::parse_in(&text, &Fake::default());
        let secret = "hunter2hunter2";
        for wrong in [format!("postgresql://u:{secret}%zz@h/{text}"), format!("user=u password={secret} {text}")] {
            if let Err(error) = Target::parse_in(&wrong, &Fake::default()) {
                prop_assert!(!error.to_string().contains(secret), "{}", error);
            }
        }
    }
}
