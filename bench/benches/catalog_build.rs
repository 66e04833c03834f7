//! From the rows of the catalog queries to a catalog: three foreign keys a table, a view over every tenth table. PostgreSQL's own
//! time is not in it.

use divan::{Bencher, black_box};
use trunkline::catalog::load::{self, LoadSettings, LoadedRows, QueryName};
use trunkline::catalog::load_row::Row;

const RELATIONS: [u32; 3] = [1_000, 10_000, 50_000];
const COLUMNS: [&str; 6] = ["id", "ref1", "ref2", "ref3", "name", "made_at"];
const FIRST_OID: u32 = 20_000;
const SCHEMA: &str = "app";

fn main() {
    divan::main();
}

/// Fields of a row; `\N` is null.
fn row(fields: &[&str]) -> Row {
    fields.iter().map(|field| (*field != "\\N").then(|| (*field).to_owned())).collect()
}

fn settings() -> LoadSettings {
    LoadSettings { schemas: vec![SCHEMA.to_owned()], ..LoadSettings::default() }
}

/// What PostgreSQL would answer for so many relations.
fn rows(relations: u32) -> LoadedRows {
    let tables = relations - relations / 11;
    let mut loaded = LoadedRows::default();
    for query in load::queries(&settings()) {
        loaded.add(query.name, Vec::new());
    }
    loaded.add(QueryName::Server, vec![row(&["150018"])]);
    loaded.add(QueryName::Schemas, vec![row(&[SCHEMA, "2200", "\\N"])]);
    loaded.add(
        QueryName::Types,
        vec![row(&["23", "23", "integer", "t", "plain"]), row(&["25", "25", "text", "t", "plain"])],
    );
    let (mut classes, mut columns, mut primary, mut foreign) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for number in 0..relations {
        let oid = (FIRST_OID + number).to_string();
        let (name, kind) = if number < tables { (format!("t{number}"), "r") } else { (format!("v{number}"), "v") };
        classes.push(row(&[&oid, SCHEMA, &name, kind, "\\N", "t", "t", "t"]));
        for (place, column) in COLUMNS.iter().enumerate() {
            let place = (place + 1).to_string();
            columns.push(row(&[&oid, &place, column, "\\N", "t", "23", "f", "t", "\\N", "\\N", "\\N"]));
        }
        if number >= tables {
            continue;
        }
        primary.push(row(&[&oid, SCHEMA, &name, "1", "id", "1"]));
        for step in 1..=3_u32 {
            let target = (number * 7 + step * 13) % tables;
            let (key, target_oid) = ((1_000_000 + number * 3 + step).to_string(), (FIRST_OID + target).to_string());
            let (constraint, target_name) = (format!("t{number}_ref{step}_fkey"), format!("t{target}"));
            let (place, column) = ((step + 1).to_string(), format!("ref{step}"));
            foreign.push(row(&[
                &key,
                &constraint,
                &oid,
                SCHEMA,
                &name,
                &target_oid,
                SCHEMA,
                &target_name,
                "f",
                &place,
                &column,
                "1",
                "id",
                "1",
            ]));
        }
    }
    loaded.add(QueryName::Relations, classes);
    loaded.add(QueryName::Columns, columns);
    loaded.add(QueryName::PrimaryKeys, primary);
    loaded.add(QueryName::ForeignKeys, foreign);
    loaded.add(QueryName::Views, views(tables, relations));
    loaded
}

/// Views that show a table's key columns, as PostgreSQL keeps them: a parse tree as text.
fn views(tables: u32, relations: u32) -> Vec<Row> {
    let of_view = |number: u32| {
        let table = FIRST_OID + (number - tables) * 10 % tables;
        let target = |(index, column): (usize, &&str)| {
            let place = index + 1;
            format!(
                "{{TARGETENTRY :expr {{VAR :varno 1 :varattno {place} :vartype 23}} :resno {place} :resname {column} \
                 :ressortgroupref 0 :resorigtbl {table} :resorigcol {place} :resjunk false}}"
            )
        };
        let targets: String = COLUMNS.iter().enumerate().map(target).collect();
        let tree = format!("({{QUERY :commandType 1 :targetList ({targets}) :rtable <>}})");
        row(&[&(FIRST_OID + number).to_string(), SCHEMA, &format!("v{number}"), "t", &tree])
    };
    (tables..relations).map(of_view).collect()
}

#[divan::bench(args = RELATIONS, sample_count = 5, sample_size = 1)]
fn whole_build(bencher: Bencher, relations: u32) {
    let loaded = rows(relations);
    let ways =
        load::build(&loaded, &settings()).map_or(0, |catalog| catalog.relationships.values().map(Vec::len).sum());
    assert!(ways > relations as usize * 6, "{ways} relationships of {relations} relations");
    bencher.bench_local(|| black_box(load::build(black_box(&loaded), &settings())).is_ok());
}
