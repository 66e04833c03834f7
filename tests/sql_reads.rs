//! Every recorded read that succeeds, planned and run without a server: the statement that lets PostgreSQL make the body
//! runs as it stands and makes the recorded one. (Rows for the row writer are what the conformance run sees.)

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/corpus.rs"]
#[allow(dead_code)] // Shared: this test needs a part of it.
mod corpus;

use std::fmt::Write;
use std::path::Path;

use corpus::{Corpus, END, FIELD_END};
use serde_json::Value;
use trunkline::catalog::Catalog;
use trunkline::error::{ApiError, Details};
use trunkline::http::{Headers, Method};
use trunkline::plan::{PlanSettings, plan_read};
use trunkline::request::prefer::TxOverride;
use trunkline::request::target::RootPage;
use trunkline::request::{Action, RequestHead, RequestSettings};
use trunkline::sql::Statement;
use trunkline::sql::read::read_statement;

type Group = (&'static str, fn() -> PlanSettings);

/// Groups of the corpus that differ in planning only, and their settings.
const GROUPS: [Group; 4] = [
    ("read", PlanSettings::default),
    ("aggregates", || PlanSettings { aggregates_enabled: true, ..PlanSettings::default() }),
    ("capped5", || PlanSettings { max_rows: Some(5), ..PlanSettings::default() }),
    ("modern", || PlanSettings { legacy_target_names: false, ..PlanSettings::default() }),
];

#[test]
fn recorded_reads() {
    let postgres = Corpus::load();
    let catalog = postgres.catalog();
    let mut wanted = Vec::new();
    let mut script =
        String::from("SET client_min_messages = error;\nSET search_path = freight, conf_ext;\nSET ROLE conf_anon;\n");
    let mut refused = 0;
    for case in cases() {
        match outcome(&case, &catalog) {
            Outcome::Statement(statement) => {
                write_case(&mut script, wanted.len(), &statement);
                wanted.push(case);
            }
            Outcome::Refused => refused += 1,
            Outcome::NotOurs => {}
        }
    }
    assert!(wanted.len() > 700 && refused > 60, "{} statements, {refused} refusals", wanted.len());
    let printed = postgres.print(&script);
    let blocks: Vec<&str> = printed.split(END).collect();
    assert_eq!(blocks.len(), wanted.len() + 1);
    for (case, block) in wanted.iter().zip(blocks) {
        let body = block.trim_end().rsplit(FIELD_END).next().unwrap_or_default();
        let made: Value =
            serde_json::from_str(body).unwrap_or_else(|error| panic!("{}: {error} in {body}", case["id"]));
        assert!(same(&made, &case["expect"]["json"]), "{}\nmade {made}\nwant {}", case["id"], case["expect"]["json"]);
    }
}

enum Outcome {
    Statement(Statement),
    /// Refused as recorded, before any SQL.
    Refused,
    /// Another method or media type, or an answer that depends on more than the SQL.
    NotOurs,
}

fn outcome(case: &Value, catalog: &Catalog) -> Outcome {
    let Some((_, settings)) = GROUPS.iter().find(|(group, _)| case["config"] == *group) else {
        return Outcome::NotOurs;
    };
    let plain_headers = case["headers"].as_object().is_none_or(|headers| {
        headers.keys().all(|name| name.eq_ignore_ascii_case("range") || name.eq_ignore_ascii_case("range-unit"))
    });
    let expect = &case["expect"];
    if case["method"] != "GET" || !plain_headers || expect["json"].is_null() {
        return Outcome::NotOurs;
    }
    let target = case["path"].as_str().expect("a path").as_bytes();
    let mut headers = Headers::default();
    let sent = case["headers"].as_object();
    let range = sent.and_then(|sent| sent.iter().find(|(name, _)| name.eq_ignore_ascii_case("range")));
    let range = range.and_then(|(_, value)| value.as_str()).map(str::as_bytes);
    if let Some(range) = range {
        headers.fields.push(("Range", range));
    }
    let settings_of_request =
        RequestSettings { schemas: vec!["freight".into()], root: RootPage::Document, tx_override: TxOverride::Denied };
    let head = RequestHead { method: Method::Get, target, headers: &headers };
    let Ok(request) = trunkline::request::parse(head, b"", &settings_of_request) else { return Outcome::NotOurs };
    if !matches!(request.action, Action::Read { .. }) {
        return Outcome::NotOurs;
    }
    let planned = plan_read(&request, catalog, PlanSettings { row_writer: false, ..settings() });
    match planned {
        Ok(plan) if expect["status"] == 200 => Outcome::Statement(read_statement(&plan)),
        Ok(_) => Outcome::NotOurs,
        Err(error) => {
            let details = error.details().map_or(Value::Null, |details| match details {
                Details::Text(text) => Value::from(text),
                Details::Json(text) => serde_json::from_str(&text).expect("JSON details"),
            });
            let made = serde_json::json!({
                "code": error.code().name, "message": error.message(), "details": details, "hint": error.hint(),
            });
            assert!(same(&made, &expect["json"]), "{}\nmade {made}\nwant {}", case["id"], expect["json"]);
            assert_eq!(expect["status"], error.code().status, "{}", case["id"]);
            Outcome::Refused
        }
    }
}

fn write_case(script: &mut String, index: usize, statement: &Statement) {
    let arguments: Vec<String> = statement.params.iter().map(|param| literal(param.value.as_deref())).collect();
    let arguments = if arguments.is_empty() { String::new() } else { format!("({})", arguments.join(", ")) };
    writeln!(script, "PREPARE s{index} AS {};\nEXECUTE s{index}{arguments};\n\\echo '{END}'", statement.text)
        .expect("a String takes all");
}

fn literal(value: Option<&[u8]>) -> String {
    match value {
        None => "NULL".to_owned(),
        Some(value) => format!("'{}'", std::str::from_utf8(value).expect("UTF-8").replace('\'', "''")),
    }
}

fn cases() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/read/cases");
    let mut files: Vec<_> = folder.read_dir().expect("cases").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    let texts = files.iter().map(|file| std::fs::read_to_string(file).expect("text"));
    let parse = |text: String| text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect::<Vec<_>>();
    texts.flat_map(parse).collect()
}

/// Numbers by value, objects without order.
fn same(made: &Value, want: &Value) -> bool {
    match (made, want) {
        (Value::Number(made), Value::Number(want)) => made == want || made.as_f64() == want.as_f64(),
        (Value::Array(made), Value::Array(want)) => {
            made.len() == want.len() && made.iter().zip(want).all(|(made, want)| same(made, want))
        }
        (Value::Object(made), Value::Object(want)) => {
            made.len() == want.len()
                && made.iter().all(|(key, made)| want.get(key).is_some_and(|want| same(made, want)))
        }
        (made, want) => made == want,
    }
}
