//! Reads that nobody wrote down: generated ones, hostile ones, and the recorded ones asked again.
//!
//! Every request goes to two servers on the same database: one that keeps the shapes of its reads, and one whose
//! pre-request function keeps it from doing so. Both must answer alike, never with a 5xx, never with SQL that PostgreSQL
//! cannot parse. Environment: `READ_SEED=number` makes another run, `READ_SECONDS=number` a longer one.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::cast_possible_truncation)]

#[path = "read_properties/ask.rs"]
mod ask;
#[path = "read_properties/generate.rs"]
mod generate;
#[path = "support/process.rs"]
mod process;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ask::{Asked, Client};
use generate::{Generator, Random, Table};
use process::{Options, Process};
use serde_json::Value;
use trunkline::server::cluster::{Cluster, ClusterOptions};

const DATABASE: &str = "conformance";
const SESSION: [&str; 4] = ["-c", "client_min_messages=warning", "-c", "timezone=UTC"];
/// A hostile request is answered in this time, by a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// What `make test` asks: the same reads each time, so that a failure is a change's.
const SEED: u64 = 3;
const READS: usize = 6_000;
/// What all of them may leave behind in a server.
const GROWTH_BYTES_MAX: u64 = 256 * 1024 * 1024;
const RUN_SECONDS: u64 = 20;
const FEWEST_REQUESTS: usize = 300;

/// Types whose values have a syntax of their own report it with SQL's code, as recorded in `read/fts/fts-syntax-error`: an
/// operand may be malformed, SQL may not.
const OPERAND_SYNTAX: [&str; 5] =
    ["in tsquery", "there is no escaped character", "of jsonpath input", "ltree syntax error", "lquery syntax error"];

/// Both servers and the database under them; dropped in this order.
struct Fixture {
    caching: Process,
    planning: Process,
    cluster: Cluster,
}

impl Fixture {
    fn start(settings: &str) -> Self {
        let settings_of_cluster = vec![("autovacuum".to_owned(), "off".to_owned())];
        let cluster =
            Cluster::start(ClusterOptions { settings: settings_of_cluster, ..ClusterOptions::default() }).unwrap();
        let create = format!("CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'");
        cluster.psql(&create).unwrap();
        let folder = corpus();
        for file in ["roles.sql", "read/schema.sql"] {
            cluster.psql_file(DATABASE, &folder.join(file), &SESSION).unwrap();
        }
        let nothing = "CREATE FUNCTION conf_ext.nothing() RETURNS void LANGUAGE sql AS ''; ANALYZE";
        cluster.psql_in(DATABASE, nothing).unwrap();
        let config = format!(
            "db-uri = \"{}\"\ndb-schemas = \"freight\"\ndb-anon-role = \"conf_anon\"\n\
             db-extra-search-path = \"conf_ext\"\ndb-config = false\ndb-pool = 3\n{settings}",
            cluster.uri("conf_authenticator", DATABASE)
        );
        let start = |more: &str| Process::start(&Options { config: format!("{config}{more}"), ..Options::default() });
        let planning = start("db-pre-request = \"conf_ext.nothing\"\n");
        Self { caching: start(""), planning, cluster }
    }

    /// Relations with their columns, and what a foreign key leads to from each, in both directions.
    fn tables(&self) -> Vec<Table> {
        let rows = |sql: &str| -> Vec<(String, String)> {
            let text = self.cluster.psql_in(DATABASE, sql).unwrap();
            text.lines()
                .map(|line| line.split_once('|').unwrap())
                .map(|(name, rest)| (name.to_owned(), rest.to_owned()))
                .collect()
        };
        let mut tables: BTreeMap<String, Table> = BTreeMap::new();
        let columns = "SELECT relname, attname FROM pg_attribute JOIN pg_class ON attrelid = pg_class.oid \
             WHERE relnamespace = 'freight'::regnamespace AND relkind IN ('r', 'v', 'p', 'm') AND attnum > 0 \
             AND NOT attisdropped ORDER BY relname, attnum";
        for (table, column) in rows(columns) {
            let entry = tables.entry(table.clone()).or_default();
            entry.name = table;
            entry.columns.push(column);
        }
        let keys = "SELECT DISTINCT o.relname, t.relname FROM pg_constraint JOIN pg_class o ON conrelid = o.oid \
             JOIN pg_class t ON confrelid = t.oid WHERE contype = 'f' ORDER BY 1, 2";
        for (origin, target) in rows(keys) {
            for (from, to) in [(&origin, &target), (&target, &origin)] {
                if let Some(table) = tables.get_mut(from) {
                    table.embeds.push(to.clone());
                }
            }
        }
        let computed = "SELECT t.typname, proname FROM pg_proc JOIN pg_type t ON t.oid = proargtypes[0] \
             WHERE pronamespace = 'freight'::regnamespace AND pronargs = 1 AND t.typtype = 'c' ORDER BY 1, 2";
        for (table, function) in rows(computed) {
            if let Some(table) = tables.get_mut(&table) {
                table.embeds.push(function.clone());
                table.columns.push(function);
            }
        }
        tables.into_values().collect()
    }
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

/// Past libtest's capture: the seed is of interest when everything passes too.
fn tell(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// What is wrong with an answer by itself.
fn complaint(asked: &Asked) -> Option<String> {
    let kind = asked.header("content-type").unwrap_or_default();
    // A range behind the last row is refused under the type that was asked for, in JSON all the same.
    let refused = asked.status >= 300;
    let json = if kind.contains("json") || refused { serde_json::from_slice::<Value>(&asked.body).ok() } else { None };
    if (kind.contains("json") || refused) && json.is_none() {
        return Some("no JSON".to_owned());
    }
    if asked.status < 300 {
        return None;
    }
    // PostgreSQL's own bounds (54…: stack depth, 1,664 columns) are a 500 to PostgREST too (`write/errors/sqlstate-54001`),
    // and name themselves.
    let bounded = json.as_ref().and_then(|json| json.get("code")?.as_str()).is_some_and(|code| code.starts_with("54"));
    if asked.status >= 500 && !bounded {
        return Some("a 5xx".to_owned());
    }
    let error = json.unwrap_or_default();
    let text = |field: &str| error.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (code, message) = (text("code"), text("message"));
    match code.as_str() {
        "" => Some("an error without a code".to_owned()),
        "42601" if !OPERAND_SYNTAX.iter().any(|known| message.contains(known)) => {
            Some("SQL that does not parse".to_owned())
        }
        _ => None,
    }
}

/// Asks both servers and returns the code, `2xx` where there is none.
fn compare(clients: &mut [Client; 2], target: &str, headers: &[(String, String)]) -> Result<String, String> {
    let [caching, planning] = clients;
    let first = caching.get(target, headers);
    let oracle = planning.get(target, headers);
    if let Some(what) = complaint(&first) {
        return Err(format!("{what}: {target} {headers:?}\n  {first}"));
    }
    if !first.same_as(&oracle) {
        return Err(format!("cached and planned differ: {target} {headers:?}\n  {first}\n  {oracle}"));
    }
    let error: Value = serde_json::from_slice(&first.body).unwrap_or_default();
    Ok(match error.get("code").and_then(Value::as_str) {
        Some(code) if first.status >= 300 => code.to_owned(),
        Some(_) | None => "2xx".to_owned(),
    })
}

fn report(failures: &[String]) {
    assert!(failures.is_empty(), "{} failures, the first of them:\n{}", failures.len(), {
        failures.iter().take(12).cloned().collect::<Vec<_>>().join("\n")
    });
}

#[test]
fn any_read_is_answered_or_refused() {
    let seed = number("READ_SEED").unwrap_or(SEED);
    tell(&format!("READ_SEED={seed}"));
    // Some generated joins are large: PostgreSQL is to give up on them soon.
    let fixture = Fixture::start("db-aggregates-enabled = true\ndb-plan-enabled = true\ndb-max-rows = 20\n");
    let tables = fixture.tables();
    let mut generator = Generator { random: Random(seed), tables: &tables };
    let mut clients = [Client::new(fixture.caching.api), Client::new(fixture.planning.api)];
    let deadline = Instant::now() + Duration::from_secs(number("READ_SECONDS").unwrap_or(RUN_SECONDS));
    let (mut codes, mut failures, mut asked) = (BTreeMap::<String, usize>::new(), Vec::new(), 0);
    let asked_max = if number("READ_SECONDS").is_some() { usize::MAX } else { READS };
    while Instant::now() < deadline && asked < asked_max && failures.len() < 40 {
        let (target, headers) = generator.request();
        asked += 1;
        match compare(&mut clients, &target, &headers) {
            Ok(code) => *codes.entry(code).or_default() += 1,
            Err(problem) => failures.push(problem),
        }
    }
    tell(&format!("{asked} generated reads: {codes:?}"));
    report(&failures);
    assert!(asked > FEWEST_REQUESTS, "only {asked} requests");
    let good = codes.get("2xx").copied().unwrap_or_default();
    assert!(good * 10 > asked, "only {good} of {asked} requests were answered: the generator is out of touch");
}

/// Other digits in the values of a query; names, casts and orders stay.
fn with_other_values(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let other = |part: &str| match part.split_once('=') {
        Some((key, value)) if !["select", "order", "columns", "on_conflict"].iter().any(|end| key.ends_with(end)) => {
            let turned = value.chars().map(|digit| match digit {
                '1'..='8' => char::from(digit as u8 + 1),
                kept => kept,
            });
            // An escape's digits are no value.
            let turned: String = if value.contains('%') { value.to_owned() } else { turned.collect() };
            format!("{key}={turned}")
        }
        Some(_) | None => part.to_owned(),
    };
    format!("{path}?{}", query.split('&').map(other).collect::<Vec<_>>().join("&"))
}

#[test]
fn a_known_shape_answers_as_a_new_one() {
    let fixture = Fixture::start("jwt-secret = \"read half of the corpus: a secret of more than 32 bytes\"\n");
    let mut clients = [Client::new(fixture.caching.api), Client::new(fixture.planning.api)];
    let (mut failures, mut asked) = (Vec::new(), 0);
    let mut files: Vec<_> =
        fs::read_dir(corpus().join("read/cases")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    for line in
        files.iter().flat_map(|file| fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
    {
        let case: Value = serde_json::from_str(&line).unwrap();
        let text = |field: &str| case.get(field).and_then(Value::as_str).unwrap_or_default();
        let plain = |value: &str| value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        // Costs of a plan and bytes outside HTTP's grammar are not compared; other configurations share this code.
        let target = text("path").to_owned();
        if !["read", "aggregates"].contains(&text("config"))
            || !matches!(text("method"), "" | "GET")
            || target.contains(' ')
        {
            continue;
        }
        let headers: Vec<(String, String)> =
            case.get("headers").and_then(Value::as_object).map_or_else(Vec::new, |given| {
                let one = |value: &Value| value.as_str().map(str::to_owned);
                given.iter().filter_map(|(name, value)| Some((name.clone(), one(value)?))).collect()
            });
        if !plain(&target) || headers.iter().any(|(_, value)| !plain(value)) {
            continue;
        }
        let other = with_other_values(&target);
        for target in [&target, &target, &other, &target] {
            asked += 1;
            if let Err(problem) = compare(&mut clients, target, &headers) {
                failures.push(problem);
            }
        }
    }
    tell(&format!("{asked} reads of recorded shapes"));
    report(&failures);
    assert!(asked > 4_000, "only {asked} requests");
}

/// `open` so many times, the core, `close` as often.
fn nested(times: usize, open: &str, core: &str, close: &str) -> String {
    format!("{}{core}{}", open.repeat(times), close.repeat(times))
}

#[test]
fn hostile_sizes_are_answered_or_refused() {
    let fixture = Fixture::start("");
    let process = &fixture.caching;
    let mut client = Client::new(process.api);
    assert_eq!(client.get("/vessels?limit=1", &[]).status, 200);
    let before = process.resident_bytes();
    let mut failures = Vec::new();
    let mut check = |name: &str, target: String, headers: &[(String, String)], allowed: &[u16]| {
        let begun = Instant::now();
        let mut client = Client::new(process.api);
        let answer = client.get(&target, headers);
        let (took, bytes) = (begun.elapsed(), process.resident_bytes());
        tell(&format!("{name}: {} in {took:?}, {} MB resident", answer.status, bytes >> 20));
        let wrong = !allowed.contains(&answer.status)
            || took > PATIENCE
            || bytes > before + GROWTH_BYTES_MAX
            || (![414, 431].contains(&answer.status) && complaint(&answer).is_some());
        if wrong {
            failures.push(format!("{name}: {answer} after {took:?}, {bytes} bytes resident"));
        }
    };
    let deep = |times| nested(times, "voyages(id,vessels(id,", "id", "))");
    check("30 embeds", format!("/vessels?id=eq.-1&select=id,{}", deep(15)), &[], &[200]);
    check("30 to-one embeds", format!("/operators?select=id,{}", nested(30, "parent(id,", "id", ")")), &[], &[200]);
    check("30 spreads", format!("/operators?select=id,{}", nested(30, "...parent(", "id", ")")), &[], &[200]);
    check("300 embeds", format!("/vessels?id=eq.-1&select=id,{}", deep(150)), &[], &[400]);
    check("10,000 embeds", format!("/operators?select={}", nested(10_000, "p(", "id", ")")), &[], &[400]);
    check("a query of 1 MB", format!("/vessels?name=eq.{}", "x".repeat(1 << 20)), &[], &[414]);
    let header = vec![("X-Long".to_owned(), "x".repeat(1 << 20))];
    check("a header of 1 MB", "/vessels".to_owned(), &header, &[431]);
    check("10,000 filters", format!("/vessels?{}", "id=gt.0&".repeat(10_000)), &[], &[414]);
    check("7,000 filters", format!("/vessels?{}", "id=gt.0&".repeat(7_000)), &[], &[200]);
    check("an or of 5,000", format!("/vessels?or=({}id.eq.1)", "id.gt.0,".repeat(5_000)), &[], &[200]);
    check("a list of 25,000", format!("/vessels?id=in.({}1)", "1,".repeat(25_000)), &[], &[200]);
    check("10,000 deep", format!("/vessels?or={}", nested(10_000, "(or", "(id.eq.1)", ")")), &[], &[400]);
    check("10,000 nots", format!("/vessels?id={}eq.1", "not.".repeat(10_000)), &[], &[400]);
    // As PostgREST: what follows an empty select list is passed over (recorded: read/select/paren-only).
    check("10,000 parentheses", format!("/vessels?select={}", nested(10_000, "(", "id", ")")), &[], &[200]);
    check("a path of 10,000", format!("/vessels?select=brief{}", "->a".repeat(10_000)), &[], &[200, 400, 500]);
    check("18,000 columns", format!("/vessels?select={}id", "id,".repeat(18_000)), &[], &[200, 400, 500]);
    let many: String = (0..3_000).map(|alias| format!("a{alias}:name,")).collect();
    check("3,000 aliases", format!("/vessels?select={many}id"), &[], &[200, 400, 500]);
    let many: String = (0..2_000).map(|alias| format!("a{alias}:voyages(id),")).collect();
    check("2,000 embeds side by side", format!("/vessels?id=eq.-1&select={many}id"), &[], &[200, 400, 500]);
    check("5,000 orders", format!("/vessels?order={}id", "id,".repeat(5_000)), &[], &[200, 400, 500]);
    report(&failures);
    assert_eq!(client.get("/vessels?limit=1", &[]).status, 200, "the connection from before still answers");
}
