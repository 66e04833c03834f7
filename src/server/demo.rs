//! `trunkline demo`: a private, throw-away PostgreSQL with a small sample database and a configuration to serve it.
//! Owns: the cluster, the key that signs the sample token.
//! Must not know: how the server boots. Whoever calls `run` hands that in.
//! Invariant: nothing is left once a `Demo` is dropped.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use super::cluster::{Cluster, ClusterError, ClusterOptions, DATABASE};
use crate::auth::base64;

/// Where the demo listens: the port that PostgREST has by default.
pub const PORT: u16 = 3000;

const SAMPLE: &str = include_str!("demo.sql");
const SCHEMA: &str = "toolshed";
const TOKEN_SECONDS: u64 = 24 * 60 * 60;

/// A sample database, ready to be served.
pub struct Demo {
    cluster: Cluster,
    /// Signs and checks tokens; made anew by every `prepare`.
    secret: String,
}

impl Demo {
    /// Starts a cluster of its own and loads the sample into it.
    pub fn prepare() -> Result<Self, ClusterError> {
        let cluster = Cluster::start(ClusterOptions::default())?;
        cluster.psql(SAMPLE)?;
        let mut bytes = [0; 30];
        let filled = SystemRandom::new().fill(&mut bytes);
        filled.map_err(|_| ClusterError::Os {
            doing: "drawing a secret".to_owned(),
            error: io::Error::other("no randomness"),
        })?;
        Ok(Self { cluster, secret: base64::encode_url(&bytes) })
    }

    /// The connection string of the role that the server logs in as.
    pub fn db_uri(&self) -> String {
        self.cluster.uri("authenticator", DATABASE)
    }

    /// The configuration file that serves the sample on 127.0.0.1.
    pub fn config_text(&self, port: u16) -> String {
        format!(
            "db-uri = \"{}\"\ndb-schemas = \"{SCHEMA}\"\ndb-anon-role = \"web_anon\"\njwt-secret = \"{}\"\n\
             server-host = \"127.0.0.1\"\nserver-port = {port}\n",
            self.db_uri(),
            self.secret
        )
    }

    /// A token for the member of the sample called Ada, good for a day.
    pub fn token(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
        let claims = format!(r#"{{"role":"web_member","member_id":1,"exp":{}}}"#, now + TOKEN_SECONDS);
        sign(&self.secret, &claims)
    }

    /// What to try, for the terminal.
    pub fn invitation(&self, port: u16) -> String {
        let (url, token) = (format!("http://127.0.0.1:{port}"), self.token());
        format!(
            r#"A sample database is served at {url}

Read:        curl '{url}/tool?select=name,daily_fee,category(name)&order=name&limit=3'
Filter:      curl '{url}/tool?daily_fee=lt.2&name=ilike.*saw*'
Embed:       curl '{url}/category?select=name,tool(name)&tool.order=name'
Count:       curl -I -H 'Prefer: count=exact' '{url}/tool?limit=2'
A view:      curl '{url}/tool_on_shelf?category=eq.Garden'
A function:  curl '{url}/rpc/find_tool?words=cordless'
Spreadsheet: curl -H 'Accept: text/csv' '{url}/category'
All of it:   curl '{url}/'

As a member, who sees only her own loans and may borrow:

export TOKEN={token}
curl -H "Authorization: Bearer $TOKEN" '{url}/loan?select=due_on,returned_on,tool(name)'
curl -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{{"tool_id": 3}}' '{url}/rpc/borrow'

Look inside: {psql} '{uri}'

Ctrl-C ends the demo and removes its database.
"#,
            psql = self.cluster.bindir().join("psql").display(),
            uri = self.cluster.uri(super::cluster::SUPERUSER, DATABASE),
        )
    }
}

/// Prepares a demo, tells how to use it, and hands its configuration to `boot`, which serves until it is told to end.
/// Returns what `boot` returned, after everything has been removed.
pub fn run<T>(port: u16, out: &mut dyn Write, boot: impl FnOnce(&str) -> T) -> Result<T, ClusterError> {
    let told = |error| ClusterError::Os { doing: "writing to the terminal".to_owned(), error };
    writeln!(out, "Starting a private PostgreSQL …").map_err(told)?;
    let demo = Demo::prepare()?;
    writeln!(out, "{}", demo.invitation(port)).and_then(|()| out.flush()).map_err(told)?;
    Ok(boot(&demo.config_text(port)))
}

/// An HS256 token (RFC 7515) over claims that are JSON already.
pub fn sign(secret: &str, claims: &str) -> String {
    let mut token =
        format!("{}.{}", base64::encode_url(br#"{"alg":"HS256","typ":"JWT"}"#), base64::encode_url(claims.as_bytes()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = base64::encode_url(hmac::sign(&key, token.as_bytes()).as_ref());
    token.push('.');
    token.push_str(&signature);
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_as_jwt_io_signs_it() {
        let claims = r#"{"sub":"1234567890","name":"John Doe","iat":1516239022}"#;
        let expect = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2\
                      MjM5MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c";
        assert_eq!(sign("your-256-bit-secret", claims), expect);
    }

    #[test]
    fn the_sample_keeps_members_apart() {
        let demo = Demo::prepare().expect("a demo");
        let check = |role: &str, member: &str, sql: &str, expect: Result<&str, &str>| {
            let script = format!(
                "SET search_path = toolshed; SET ROLE {role}; \
                 SELECT set_config('request.jwt.claims', '{{\"member_id\": {member}}}', false) \\g /dev/null\n{sql};"
            );
            match (demo.cluster.psql(&script), expect) {
                (Ok(output), Ok(expect)) => assert_eq!(output, expect, "{role} {member}: {sql}"),
                (Err(error), Err(expect)) => {
                    assert!(error.to_string().contains(expect), "{role} {member}: {sql}: {error}")
                }
                (got, expect) => panic!("{role} {member}: {sql}: expected {expect:?}, got {got:?}"),
            }
        };
        check("web_anon", "1", "SELECT count(*) > 5 FROM tool", Ok("t"));
        check("web_anon", "1", "SELECT count(*) FROM loan", Err("permission denied"));
        check("web_anon", "1", "SELECT borrow(3)", Err("permission denied"));
        check("web_anon", "1", "SELECT name FROM find_tool('cordless -drill')", Ok("Jigsaw"));
        check("web_anon", "1", "SELECT count(*) FROM tool_on_shelf WHERE name = 'Hedge trimmer'", Ok("0"));
        check("web_member", "1", "SELECT DISTINCT member_id FROM loan", Ok("1"));
        check("web_member", "2", "SELECT DISTINCT member_id FROM loan", Ok("2"));
        check("web_member", "99", "SELECT count(*) FROM loan", Ok("0"));
        check("web_member", "1", "SELECT tool_id FROM borrow(3)", Ok("3"));
        check("web_member", "2", "SELECT borrow(3)", Err("not on the shelf"));
        check("web_member", "2", "UPDATE loan SET member_id = 1", Err("permission denied"));
    }

    #[test]
    fn boot_gets_the_configuration_and_the_terminal_what_to_try() {
        let mut out = Vec::new();
        let config = run(3456, &mut out, str::to_owned).expect("a demo");
        let out = String::from_utf8(out).expect("text");
        for line in ["db-schemas = \"toolshed\"", "db-anon-role = \"web_anon\"", "server-port = 3456"] {
            assert!(config.lines().any(|found| found == line), "{line} is not in {config}");
        }
        assert!(out.contains("curl 'http://127.0.0.1:3456/tool?"), "{out}");
        let uri = config.lines().find_map(|line| line.strip_prefix("db-uri = ")).expect("a URI");
        let (_, host) = uri.split_once("host=").expect("a host");
        let socket = host.split('&').next().expect("a path");
        assert!(!std::path::Path::new(socket).exists(), "{socket} is still there");
    }
}
