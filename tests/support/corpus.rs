//! A private PostgreSQL with the conformance corpus's fixture, and what psql prints of it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use trunkline::catalog::Catalog;
use trunkline::catalog::load::{self, CatalogQuery, LoadSettings, LoadedRows};
use trunkline::catalog::load_row::Row;
use trunkline::error::ApiError;
use trunkline::server::cluster::{Cluster, ClusterOptions, SUPERUSER};

const DATABASE: &str = "conformance";
/// Who the server logs in as.
const LOGIN: &str = "conf_authenticator";
/// What ends a field, a row, and a query's rows in what `psql` prints, and what null is there.
pub const FIELD_END: char = '\u{1f}';
const ROW_END: char = '\u{1e}';
pub const END: char = '\u{2}';
const NULL: &str = "\u{1d}";

pub struct Corpus(Cluster);

impl Corpus {
    pub fn load() -> Self {
        let corpus = Self(Cluster::start(ClusterOptions::default()).expect("a private PostgreSQL"));
        corpus.0.psql(&format!("CREATE DATABASE {DATABASE}")).expect("a database");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/load.sh");
        let path = format!("{}:{}", corpus.0.bindir().display(), std::env::var("PATH").unwrap_or_default());
        let uri = corpus.0.uri(SUPERUSER, DATABASE);
        let output = Command::new("bash").arg(script).arg(uri).env("PATH", path).output().expect("bash");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        corpus
    }

    /// What the server would know of the schema `freight`.
    pub fn catalog(&self) -> Catalog {
        let settings = LoadSettings {
            schemas: vec!["freight".to_owned()],
            extra_search_path: vec!["conf_ext".to_owned()],
            server_version: 150_000,
            ..LoadSettings::default()
        };
        let queries = load::queries(&settings);
        let mut rows = LoadedRows::default();
        for (query, answer) in queries.iter().zip(self.ask(&queries)) {
            rows.add(query.name, answer);
        }
        load::build(&rows, &settings).unwrap_or_else(|error| panic!("{}", error.message()))
    }

    /// Where a session of the server's role begins: socket, role, database.
    pub fn address(&self) -> (PathBuf, &'static str, &'static str) {
        (self.0.socket_dir().join(format!(".s.PGSQL.{}", self.0.port())), LOGIN, DATABASE)
    }

    /// Runs statements as the superuser.
    pub fn superuser(&self, sql: &str) -> String {
        self.0.psql_in(DATABASE, sql).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs a script as the server's role and returns what it prints: fields end with `FIELD_END`, rows with `ROW_END`.
    pub fn print(&self, script: &str) -> String {
        let mut command = Command::new(self.0.bindir().join("psql"));
        let [null, field, row] = [NULL.to_owned(), FIELD_END.to_string(), ROW_END.to_string()];
        command.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-P",
            &format!("null={null}"),
            "-F",
            &field,
            "-R",
            &row,
        ]);
        command.arg("--dbname").arg(self.0.uri(LOGIN, DATABASE)).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("psql starts");
        let mut input = child.stdin.take().expect("piped");
        let script = script.to_owned();
        // Written from the side: psql may print more than a pipe holds before it has read everything.
        let writer = std::thread::spawn(move || input.write_all(script.as_bytes()));
        let output = child.wait_with_output().expect("psql ends");
        writer.join().expect("no panic").expect("psql reads its script");
        assert!(output.status.success(), "psql failed");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Runs queries in one transaction, as the server does: parameters are untyped texts.
    pub fn ask(&self, queries: &[CatalogQuery]) -> Vec<Vec<Row>> {
        let mut script = load::TRANSACTION_START.join(";\n");
        script.push_str(";\n");
        for query in queries {
            let name = query.name.as_str();
            let quote = |param: &String| format!("'{}'", param.replace('\'', "''"));
            let quoted: Vec<String> = query.params.iter().map(quote).collect();
            let arguments = if quoted.is_empty() { String::new() } else { format!("({})", quoted.join(", ")) };
            writeln!(script, "PREPARE {name} AS {}\nEXECUTE {name}{arguments};\n\\echo '{END}'", query.text)
                .expect("a String takes all");
        }
        script.push_str("COMMIT;\n");
        let printed = self.print(&script);
        let mut blocks: Vec<&str> = printed.split(&format!("{END}\n")).collect();
        assert_eq!(blocks.pop(), Some(""), "nothing after the last query");
        assert_eq!(blocks.len(), queries.len());
        blocks.into_iter().map(rows).collect()
    }
}

fn rows(block: &str) -> Vec<Row> {
    let Some(block) = block.strip_suffix('\n') else { return Vec::new() };
    let field = |text: &str| (text != NULL).then(|| text.to_owned());
    block.split(ROW_END).map(|row| row.split(FIELD_END).map(field).collect()).collect()
}
