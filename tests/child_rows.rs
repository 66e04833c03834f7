//! To-many embeds as rows behind their parent's, against the same reads with PostgreSQL making the arrays: the bytes of the
//! body must be equal, and so must totals and errors. The reads are the recorded ones, every pair of relations that a key
//! ties, and generated ones (`READ_SEED=number` makes another run).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::cast_possible_truncation)]

#[path = "support/corpus.rs"]
#[allow(dead_code)] // Shared: this test needs a part of it.
mod corpus;
#[path = "read_properties/generate.rs"]
mod generate;
#[path = "support/json_pg.rs"]
#[allow(dead_code)] // Shared: this test has its server elsewhere.
mod json_pg;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use corpus::Corpus;
use generate::{Generator, Random, Table};
use json_pg::Session;
use serde_json::Value;
use trunkline::catalog::{Catalog, Relationship};
use trunkline::http::{Headers, Method};
use trunkline::json::{ARRAY_CLOSE, ARRAY_OPEN, Nest, NestRow, NestWriter, RowWriter};
use trunkline::media::Nulls;
use trunkline::plan::embed::{Embed, EmbedShape};
use trunkline::plan::negotiate::AnswerForm;
use trunkline::plan::read::Node;
use trunkline::plan::{PlanSettings, ReadPlan, plan_read};
use trunkline::request::prefer::TxOverride;
use trunkline::request::target::RootPage;
use trunkline::request::{Action, RequestHead, RequestSettings};
use trunkline::sql::read::read_statement;
use trunkline::sql::{ResultShape, Statement};
use trunkline::wire::row::DataRow;

const GENERATED: usize = 20_000;
const SEED: u64 = 11;

type Request = (String, Vec<(String, String)>);

#[test]
fn bodies_are_the_same() {
    let postgres = Corpus::load();
    let catalog = postgres.catalog();
    let (socket, role, database) = postgres.address();
    let mut session = Session::open(&socket, role, database);
    session.query("SET client_min_messages = error; SET search_path = freight, conf_ext; SET ROLE conf_anon");
    let tables = tables(&catalog);
    let seed = std::env::var("READ_SEED").map_or(SEED, |text| text.parse().unwrap());
    let mut generator = Generator { random: Random(seed), tables: &tables };
    let generated: Vec<Request> = (0..GENERATED).map(|_| generator.request()).collect();
    let mut compared = Vec::new();
    for (source, requests) in [("recorded", recorded()), ("pairs", pairs(&tables)), ("generated", generated)] {
        let mut seen = Seen::default();
        for request in &requests {
            for max_rows in [None, Some(3)] {
                compare(&mut session, &catalog, request, max_rows, &mut seen);
            }
        }
        println!("{source}: {seen:?} of {}", requests.len());
        compared.push(seen);
    }
    for seen in &compared {
        assert!(seen.open * 20 <= seen.bodies && seen.other_errors * 5 <= seen.errors, "{seen:?}");
    }
    let [recorded, pairs, generated] = compared.as_slice() else { panic!("three sources") };
    assert!(recorded.bodies > 200, "{recorded:?}");
    assert!(pairs.bodies > 100 && pairs.children > 100, "{pairs:?}");
    assert!(generated.bodies > 100 && generated.errors > 100, "{generated:?}");
}

#[derive(Debug, Default)]
struct Seen {
    bodies: usize,
    children: usize,
    errors: usize,
    other_errors: usize,
    /// Bodies that differ where the request doesn't say in which order rows come, or which of them.
    open: usize,
}

/// Runs the read in both forms, if it has two.
fn compare(session: &mut Session, catalog: &Catalog, request: &Request, max_rows: Option<u64>, seen: &mut Seen) {
    let (target, sent) = request;
    let mut headers = Headers::default();
    for (name, value) in sent {
        let name = ["Accept", "Prefer", "Range"].into_iter().find(|known| known.eq_ignore_ascii_case(name));
        headers.fields.extend(name.map(|name| (name, value.as_bytes())));
    }
    let settings =
        RequestSettings { schemas: vec!["freight".into()], root: RootPage::Document, tx_override: TxOverride::Denied };
    let head = RequestHead { method: Method::Get, target: target.as_bytes(), headers: &headers };
    let Ok(request) = trunkline::request::parse(head, b"", &settings) else { return };
    if !matches!(request.action, Action::Read { .. }) {
        return;
    }
    let settings = PlanSettings { aggregates_enabled: true, max_rows, ..PlanSettings::default() };
    let planned = plan_read(&request, catalog, settings);
    let Ok(mut plan) = planned else { return };
    if plan.root.embeds.iter().all(|embed| embed.shape != EmbedShape::ChildRows) {
        return;
    }
    let by_rows = run(session, &plan, &read_statement(&plan));
    for embed in &mut plan.root.embeds {
        if embed.shape == EmbedShape::ChildRows {
            embed.shape = EmbedShape::Array;
        }
    }
    let correlated = run(session, &plan, &read_statement(&plan));
    match (by_rows, correlated) {
        (Ok(by_rows), Ok(correlated)) => {
            assert_eq!((by_rows.rows, by_rows.total), (correlated.rows, correlated.total), "{target} {sent:?}");
            let show = |made: &Made| String::from_utf8_lossy(&made.body).into_owned();
            if by_rows.body != correlated.body && leaves_order_open(&plan.root) {
                seen.open += 1;
            } else {
                assert_eq!(show(&by_rows), show(&correlated), "{target} {sent:?} {max_rows:?}");
            }
            serde_json::from_slice::<Value>(&by_rows.body).expect("JSON");
            seen.bodies += 1;
            seen.children += by_rows.children;
        }
        (Err(by_rows), Err(correlated)) => {
            // Of two faults PostgreSQL names the one that it reads first.
            seen.other_errors += usize::from(by_rows != correlated);
            seen.errors += 1;
        }
        (by_rows, correlated) => {
            let of = |made: Result<Made, String>| made.map_or_else(|error| error, |_| "a body".to_owned());
            panic!("{target} {sent:?}: {} and {}", of(by_rows), of(correlated));
        }
    }
}

/// Whether any rows come in the order that PostgreSQL likes best.
fn leaves_order_open(node: &Node<'_>) -> bool {
    node.order.is_empty() || node.embeds.iter().any(embed_leaves_order_open)
}

fn embed_leaves_order_open(embed: &Embed<'_>) -> bool {
    if embed.to_one() { embed.node.embeds.iter().any(embed_leaves_order_open) } else { leaves_order_open(&embed.node) }
}

struct Made {
    body: Vec<u8>,
    rows: usize,
    children: usize,
    total: Option<i64>,
}

/// The array that the statement's rows become; an error is its code and message.
fn run(session: &mut Session, plan: &ReadPlan<'_>, statement: &Statement) -> Result<Made, String> {
    let ResultShape::Rows(shape) = &statement.result else { panic!("rows") };
    let (AnswerForm::Array { nulls } | AnswerForm::Object { nulls }) = plan.answer.form else { panic!("JSON") };
    let quote = |value: &[u8]| format!("'{}'", String::from_utf8_lossy(value).replace('\'', "''"));
    let params = statement.params.iter().map(|param| param.value.as_deref().map_or("NULL".to_owned(), quote));
    let params = params.collect::<Vec<_>>().join(", ");
    let values = if params.is_empty() { String::new() } else { format!("({params})") };
    let text = format!("DEALLOCATE ALL; PREPARE read AS {}; EXECUTE read{values}", statement.text);
    let answer = session.try_query(&text).map_err(|error| {
        // Severity, code, message, detail and hint; not the position in the statement and the server's source.
        let fields: Vec<&str> = error.split(" P").next().unwrap_or_default().split(" F").collect();
        fields[0].to_owned()
    })?;
    let mut made = Made { body: ARRAY_OPEN.to_vec(), rows: 0, children: 0, total: None };
    let rows = answer.rows.iter().map(|row| DataRow::parse(row).unwrap());
    if let Some(children) = &shape.children {
        let writer = NestWriter::compile(shape, children, &answer.columns).unwrap();
        nested(&mut made, if nulls == Nulls::Stripped { writer.stripping_nulls() } else { writer }, rows);
    } else {
        let writer = RowWriter::compile(shape, &answer.columns).unwrap();
        flat(&mut made, if nulls == Nulls::Stripped { writer.stripping_nulls() } else { writer }, rows);
    }
    made.body.extend_from_slice(ARRAY_CLOSE);
    Ok(made)
}

fn flat<'r>(made: &mut Made, writer: RowWriter, rows: impl Iterator<Item = DataRow<'r>>) {
    for row in rows {
        let begin = made.body.len();
        if made.rows > 0 {
            made.body.extend_from_slice(writer.separator());
        }
        let seen = writer.write_row(&mut made.body, row).unwrap();
        made.total = seen.total;
        if seen.present {
            made.rows += 1;
        } else {
            made.body.truncate(begin);
        }
    }
}

fn nested<'r>(made: &mut Made, writer: NestWriter, rows: impl Iterator<Item = DataRow<'r>>) {
    let mut nest = Nest::default();
    for row in rows {
        let seen = writer.write_row(&mut nest, &mut made.body, row).unwrap();
        made.total = seen.row.total;
        match seen.kind {
            NestRow::Parent => made.rows += 1,
            NestRow::Child => made.children += 1,
            NestRow::Nothing => {}
        }
    }
    writer.finish(&nest, &mut made.body);
}

fn tables(catalog: &Catalog) -> Vec<Table> {
    let mut tables = BTreeMap::new();
    for relation in catalog.relations.values().filter(|relation| relation.name.schema.as_str() == "freight") {
        let columns = relation.columns.iter().map(|column| column.name.as_str().to_owned()).collect();
        let mut embeds: Vec<String> = catalog
            .relationships_in(&relation.name, &relation.name.schema)
            .map(|relationship| match relationship.as_ref() {
                Relationship::Key(key) => key.target.name.as_str().to_owned(),
                Relationship::Computed(computed) => computed.function.name.as_str().to_owned(),
            })
            .collect();
        embeds.sort();
        embeds.dedup();
        let name = relation.name.name.as_str().to_owned();
        tables.insert(name.clone(), Table { name, columns, embeds });
    }
    tables.into_values().collect()
}

/// Each relation with each that it leads to, and with two of them around and behind other members.
fn pairs(tables: &[Table]) -> Vec<Request> {
    let stripped = vec![("Accept".to_owned(), "application/vnd.pgrst.array+json;nulls=stripped".to_owned())];
    let counted = vec![("Prefer".to_owned(), "count=exact".to_owned())];
    let mut requests = Vec::new();
    for table in tables {
        let name = &table.name;
        for (index, embed) in table.embeds.iter().enumerate() {
            let next = &table.embeds[(index + 1) % table.embeds.len()];
            requests.push((format!("/{name}?select=*,{embed}(*)"), Vec::new()));
            requests.push((format!("/{name}?select={embed}(*)"), stripped.clone()));
            requests.push((format!("/{name}?select=*,{embed}!inner(*)&limit=2&offset=1"), counted.clone()));
            requests.push((format!("/{name}?select=*,{embed}(*),a:{next}(*)"), stripped.clone()));
            requests.push((format!("/{name}?select=a:{embed}(*),b:{next}(*),c:{embed}(*)&limit=4"), counted.clone()));
            requests.push((format!("/{name}?select=*,{embed}(*)&limit=2&offset=100000"), counted.clone()));
            let below = tables.iter().find(|other| other.name == *embed).and_then(|other| other.embeds.first());
            if let Some(below) = below {
                requests.push((format!("/{name}?select={embed}(*,{below}(*))"), Vec::new()));
                requests.push((format!("/{name}?select=*,{embed}(*,...{below}(*))"), stripped.clone()));
            }
        }
    }
    requests
}

fn recorded() -> Vec<Request> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/read/cases");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut requests = Vec::new();
    for file in files {
        for line in fs::read_to_string(file).unwrap().lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            if case["method"] != "GET" {
                continue;
            }
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let headers = case["headers"].as_object().into_iter().flatten();
            let headers = headers.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect();
            requests.extend(text(&case["path"]).map(|target| (target, headers)));
        }
    }
    requests
}
