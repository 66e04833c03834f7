//! A write as one statement: INSERT, UPDATE or DELETE in a CTE, and around it what is answered of its rows.
//! The body is one parameter that PostgreSQL unpacks, so that the text depends on its columns alone, never on its rows.

use super::clauses::{InnerBy, SOURCE_CTE, where_clause};
use super::read::answer;
use super::writer::SqlWriter;
use super::{Leading, Param, ResultShape, Statement, Transform, condition, explain, param};
use crate::plan::MutatePlan;
use crate::plan::mutate::{BODY_ALIAS, Conflict, Outcome, Returning, Write};
use crate::plan::payload::{PayloadColumn, PayloadRows, RowsShape};
use crate::plan::read::Node;
use crate::request::prefer::{Missing, Resolution};

/// Rows that came to an INSERT … ON CONFLICT DO UPDATE less those that were updated: rows inserted. Tables could tell by
/// `xmax`; views and partitioned tables can't. NULL where no row came.
const INSERTED: &str = "select nullif(pg_catalog.current_setting('trunkline.inserted', true), '')";
const ROW_CAME: &str = "pg_catalog.set_config('trunkline.inserted', \
    (coalesce(nullif(pg_catalog.current_setting('trunkline.inserted', true), '')::int, 0) + 1)::text, true) <> '0'";
const ROW_UPDATED: &str = "pg_catalog.set_config('trunkline.inserted', \
    (coalesce(nullif(pg_catalog.current_setting('trunkline.inserted', true), '')::int, 0) - 1)::text, true) <> '-1'";

/// Writes the statement.
pub fn mutate_statement(plan: &MutatePlan<'_>) -> Statement {
    let mut out = SqlWriter::default();
    if let Some(media) = &plan.read.answer.explain {
        explain::plan(&mut out, media);
    }
    out.sql("WITH ");
    out.ident(SOURCE_CTE);
    out.sql(" AS (");
    write(&mut out, plan);
    out.sql(") ");
    let result = match &plan.outcome {
        Outcome::Rows => answer(&mut out, &plan.read),
        Outcome::Count => counted(&mut out, &[]),
        Outcome::Location(columns) => counted(&mut out, columns),
    };
    let (text, params) = out.finish();
    let result = if plan.read.answer.explain.is_some() { ResultShape::PlanLines } else { result };
    Statement { text, params, result }
}

/// What `MutatePlan::counts_inserted` asks for: one row with the number, run after the write in its transaction.
pub fn inserted_statement() -> Statement {
    Statement { text: INSERTED.to_owned(), params: Vec::new(), result: ResultShape::Discard }
}

/// The number of rows; then the columns' values as JSON writes them, of the one row if there is one.
fn counted(out: &mut SqlWriter, columns: &[&str]) -> ResultShape {
    let leading = vec![Leading::PageTotal];
    out.sql("SELECT pg_catalog.count(*)");
    for column in columns {
        out.sql(", CASE pg_catalog.count(*) WHEN 1 THEN pg_catalog.min(pg_catalog.to_json(");
        out.ident(column);
        out.sql(") #>> '{}') END");
    }
    out.sql(" FROM ");
    out.ident(SOURCE_CTE);
    if columns.is_empty() { ResultShape::Counts { leading } } else { ResultShape::Key { leading } }
}

fn write(out: &mut SqlWriter, plan: &MutatePlan<'_>) {
    let node = plan.chosen_from();
    match &plan.write {
        Write::Insert { rows, conflict, taken: _ } => {
            insert(out, plan, rows, &node);
            if let Some(conflict) = conflict {
                self::conflict(out, rows, conflict);
            }
        }
        Write::Update { values, .. } if values.columns.is_empty() => return nothing(out, plan),
        Write::Update { values, .. } => update(out, plan, values, &node),
        Write::Delete { .. } => {
            out.sql("DELETE FROM ");
            relation(out, plan);
            where_clause(out, &node, None, InnerBy::Exists);
        }
    }
    out.sql(" RETURNING ");
    returning(out, plan, "1");
}

fn relation(out: &mut SqlWriter, plan: &MutatePlan<'_>) {
    out.qualified(plan.relation.name.schema.as_str(), plan.relation.name.name.as_str());
}

fn insert(out: &mut SqlWriter, plan: &MutatePlan<'_>, rows: &PayloadRows<'_>, node: &Node<'_>) {
    out.sql("INSERT INTO ");
    relation(out, plan);
    for (index, column) in rows.columns.iter().enumerate() {
        out.sql(if index == 0 { "(" } else { ", " });
        out.ident(column.column.name.as_str());
    }
    out.sql(if rows.columns.is_empty() { " SELECT FROM " } else { ") SELECT " });
    for (index, column) in rows.columns.iter().enumerate() {
        out.sql(if index == 0 { "" } else { ", " });
        body_column(out, column);
    }
    out.sql(if rows.columns.is_empty() { "" } else { " FROM " });
    body(out, rows);
    let mut next = " WHERE ";
    if plan.counts_inserted() {
        out.sql(next);
        next = " AND ";
        out.sql(ROW_CAME);
    }
    for condition in &node.conditions {
        out.sql(next);
        next = " AND ";
        condition::condition(out, node, condition);
    }
}

fn conflict(out: &mut SqlWriter, rows: &PayloadRows<'_>, conflict: &Conflict<'_>) {
    if conflict.columns.is_empty() {
        return;
    }
    out.sql(" ON CONFLICT (");
    for (index, column) in conflict.columns.iter().enumerate() {
        out.sql(if index == 0 { "" } else { ", " });
        out.ident(column);
    }
    out.sql(") DO ");
    match conflict.resolution {
        Resolution::MergeDuplicates if !rows.columns.is_empty() => {
            for (index, column) in rows.columns.iter().enumerate() {
                out.sql(if index == 0 { "UPDATE SET " } else { ", " });
                out.ident(column.column.name.as_str());
                out.sql(" = EXCLUDED.");
                out.ident(column.column.name.as_str());
            }
            out.sql(" WHERE ");
            out.sql(ROW_UPDATED);
        }
        Resolution::MergeDuplicates | Resolution::IgnoreDuplicates => out.sql("NOTHING"),
    }
}

fn update(out: &mut SqlWriter, plan: &MutatePlan<'_>, values: &PayloadRows<'_>, node: &Node<'_>) {
    out.sql("UPDATE ");
    relation(out, plan);
    for (index, column) in values.columns.iter().enumerate() {
        out.sql(if index == 0 { " SET " } else { ", " });
        out.ident(column.column.name.as_str());
        out.sql(" = ");
        body_column(out, column);
    }
    out.sql(" FROM ");
    body(out, values);
    where_clause(out, node, None, InnerBy::Exists);
}

/// An update that sets nothing is none; its columns are asked for all the same, with the privileges that takes.
fn nothing(out: &mut SqlWriter, plan: &MutatePlan<'_>) {
    out.sql("SELECT ");
    returning(out, plan, "NULL");
    out.sql(" FROM ");
    relation(out, plan);
    out.sql(" WHERE FALSE");
}

fn returning(out: &mut SqlWriter, plan: &MutatePlan<'_>, unneeded: &'static str) {
    let name = plan.relation.name.name.as_str();
    match &plan.returning {
        Returning::Nothing => out.sql(unneeded),
        Returning::All => {
            out.ident(name);
            out.sql(".*");
        }
        Returning::Columns(columns) => {
            for (index, column) in columns.iter().enumerate() {
                out.sql(if index == 0 { "" } else { ", " });
                out.ident(name);
                out.sql(".");
                out.ident(column);
            }
        }
    }
}

fn body_column(out: &mut SqlWriter, column: &PayloadColumn<'_>) {
    out.ident(BODY_ALIAS);
    out.sql(".");
    out.ident(column.column.name.as_str());
}

/// The body's rows as a FROM item.
fn body(out: &mut SqlWriter, rows: &PayloadRows<'_>) {
    if rows.columns.is_empty() {
        return rows_of_defaults(out, rows.shape);
    }
    if rows.columns.iter().all(|column| column.parse.is_none()) {
        return records(out, rows, BODY_ALIAS);
    }
    for (index, column) in rows.columns.iter().enumerate() {
        out.sql(if index == 0 { "(SELECT " } else { ", " });
        if let Some(parse) = column.parse {
            out.qualified(parse.schema.as_str(), parse.name.as_str());
            out.sql("(");
            out.ident(column.column.name.as_str());
            out.sql(") AS ");
        }
        out.ident(column.column.name.as_str());
    }
    out.sql(" FROM ");
    records(out, rows, "trunkline_json");
    out.sql(") AS ");
    out.ident(BODY_ALIAS);
}

/// The body as records: columns have their own types, or json where a function reads them.
fn records(out: &mut SqlWriter, rows: &PayloadRows<'_>, alias: &str) {
    match (rows.missing, rows.shape) {
        (Missing::Null, RowsShape::Object) => {
            out.sql("pg_catalog.json_to_record(");
            payload(out);
            out.sql(")");
        }
        (Missing::Null, RowsShape::Array) => {
            out.sql("pg_catalog.json_to_recordset(");
            payload(out);
            out.sql(")");
        }
        (Missing::Default, RowsShape::Object) => {
            out.sql("pg_catalog.jsonb_to_record(");
            defaults(out, rows);
            payload(out);
            out.sql("::jsonb)");
        }
        (Missing::Default, RowsShape::Array) => {
            out.sql("pg_catalog.jsonb_array_elements(");
            payload(out);
            out.sql(") AS trunkline_element, LATERAL pg_catalog.jsonb_to_record(");
            defaults(out, rows);
            out.sql("trunkline_element)");
        }
    }
    out.sql(" AS ");
    out.ident(alias);
    for (index, column) in rows.columns.iter().enumerate() {
        out.sql(if index == 0 { "(" } else { ", " });
        out.ident(column.column.name.as_str());
        out.sql(" ");
        match column.parse {
            Some(_) => out.sql("json"),
            None => out.column_type(column.column),
        }
    }
    out.sql(")");
}

/// One row without columns for each object.
fn rows_of_defaults(out: &mut SqlWriter, shape: RowsShape) {
    match shape {
        RowsShape::Object => out.sql("(VALUES (1))"),
        RowsShape::Array => {
            out.sql("pg_catalog.json_array_elements(");
            payload(out);
            out.sql(")");
        }
    }
    out.sql(" AS ");
    out.ident(BODY_ALIAS);
}

/// An object of the columns' defaults, to be overlaid by what the body says.
fn defaults(out: &mut SqlWriter, rows: &PayloadRows<'_>) {
    out.sql("pg_catalog.jsonb_build_object(");
    let mut next = "";
    for PayloadColumn { column, .. } in &rows.columns {
        if column.default.is_none() {
            continue;
        }
        out.sql(next);
        next = ", ";
        out.bind(param::fixed(column.name.as_str()));
        out.sql("::text, ");
        out.column_default(column);
    }
    out.sql(") || ");
}

fn payload(out: &mut SqlWriter) {
    out.bind(Param { slot: None, transform: Transform::Payload, value: None });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixture::{self, column, equals, select};
    use crate::plan::{PlanSettings, plan_mutate};
    use crate::request::payload::{JsonShape, Payload};
    use crate::request::prefer::Return;
    use crate::request::{Action, ApiRequest, Mutation, Query};

    fn request(mutation: Mutation, keys: &[&'static str], shape: JsonShape) -> ApiRequest<'static> {
        let mut request = fixture::get("crew", Query::default());
        request.action = Action::Mutate { relation: "crew".into(), mutation };
        let keys = keys.iter().map(|&key| key.into()).collect();
        request.payload = Some(Payload::Json { raw: b"{}".as_slice().into(), keys, shape });
        request
    }

    fn check(request: &ApiRequest<'_>, expect: &str) {
        let catalog = fixture::catalog();
        let plan = plan_mutate(request, &catalog, PlanSettings::default()).expect("a plan");
        assert_eq!(mutate_statement(&plan).text, expect);
    }

    #[test]
    fn inserts() {
        check(
            &request(Mutation::Insert, &["id", "name"], JsonShape::Array),
            r#"WITH "trunkline_source" AS (INSERT INTO "api"."crew"("id", "name") SELECT "pgrst_body"."id", "pgrst_body"."name" FROM pg_catalog.json_to_recordset($1) AS "pgrst_body"("id" integer, "name" text) RETURNING 1) SELECT pg_catalog.count(*) FROM "trunkline_source""#,
        );
        check(
            &request(Mutation::Insert, &[], JsonShape::Object),
            r#"WITH "trunkline_source" AS (INSERT INTO "api"."crew" SELECT FROM (VALUES (1)) AS "pgrst_body" RETURNING 1) SELECT pg_catalog.count(*) FROM "trunkline_source""#,
        );
        let mut one = request(Mutation::Insert, &["name"], JsonShape::Object);
        one.preferences.representation = Some(Return::Representation);
        one.query = select([column("name")]);
        check(
            &one,
            r#"WITH "trunkline_source" AS (INSERT INTO "api"."crew"("name") SELECT "pgrst_body"."name" FROM pg_catalog.json_to_record($1) AS "pgrst_body"("name" text) RETURNING "crew"."id", "crew"."name") SELECT "crew"."name" FROM "trunkline_source" AS "crew""#,
        );
    }

    #[test]
    fn upserts() {
        let mut one = request(Mutation::Insert, &["id", "name"], JsonShape::Object);
        one.preferences.resolution = Some(Resolution::IgnoreDuplicates);
        one.query.on_conflict = Some(vec!["id".into()]);
        let begin = r#"WITH "trunkline_source" AS (INSERT INTO "api"."crew"("id", "name") SELECT "pgrst_body"."id", "pgrst_body"."name" FROM pg_catalog.json_to_record($1) AS "pgrst_body"("id" integer, "name" text)"#;
        let end = r#" RETURNING 1) SELECT pg_catalog.count(*) FROM "trunkline_source""#;
        check(&one, &format!(r#"{begin} ON CONFLICT ("id") DO NOTHING{end}"#));
        one.preferences.resolution = Some(Resolution::MergeDuplicates);
        check(
            &one,
            &format!(
                r#"{begin} WHERE {ROW_CAME} ON CONFLICT ("id") DO UPDATE SET "id" = EXCLUDED."id", "name" = EXCLUDED."name" WHERE {ROW_UPDATED}{end}"#
            ),
        );
        one.query.on_conflict = Some(Vec::new());
        check(&one, &format!("{begin} WHERE {ROW_CAME}{end}"));
    }

    #[test]
    fn updates_and_deletes() {
        let mut one = request(Mutation::Update, &["name"], JsonShape::Object);
        one.query.conditions.push(equals(&[], "id", "3"));
        check(
            &one,
            r#"WITH "trunkline_source" AS (UPDATE "api"."crew" SET "name" = "pgrst_body"."name" FROM pg_catalog.json_to_record($1) AS "pgrst_body"("name" text) WHERE "crew"."id" = $2 RETURNING 1) SELECT pg_catalog.count(*) FROM "trunkline_source""#,
        );
        one.action = Action::Mutate { relation: "crew".into(), mutation: Mutation::Delete };
        check(
            &one,
            r#"WITH "trunkline_source" AS (DELETE FROM "api"."crew" WHERE "crew"."id" = $1 RETURNING 1) SELECT pg_catalog.count(*) FROM "trunkline_source""#,
        );
        check(
            &request(Mutation::Update, &[], JsonShape::Object),
            r#"WITH "trunkline_source" AS (SELECT NULL FROM "api"."crew" WHERE FALSE) SELECT pg_catalog.count(*) FROM "trunkline_source""#,
        );
    }

    /// The catalog's `crew`, whose names have a default and whose ids are written by a function.
    fn catalog_with_code() -> crate::catalog::Catalog {
        use crate::catalog::Representation;
        use crate::name::{QualifiedName, QualifiedRoutine};
        use std::sync::Arc;
        let mut catalog = fixture::catalog();
        let crew = catalog.relations.get_mut(&QualifiedName::new("api", "crew")).and_then(Arc::get_mut).expect("crew");
        for column in &mut crew.columns {
            match column.name.as_str() {
                "id" => column.nominal_type = "public.number".to_owned(),
                _ => column.default = Some("'Otto'::text".to_owned()),
            }
        }
        let (source, target) = ("json".to_owned(), "public.number".to_owned());
        let function = QualifiedRoutine { schema: "public".into(), name: "read".into() };
        let read = Representation { source: source.clone(), target: target.clone(), function };
        catalog.representations.insert((source, target), Arc::new(read));
        catalog
    }

    #[test]
    fn defaults_and_representations() {
        let check = |shape, missing, body: &str| {
            let mut one = request(Mutation::Insert, &["id", "name"], shape);
            one.preferences.missing = Some(missing);
            let catalog = catalog_with_code();
            let plan = plan_mutate(&one, &catalog, PlanSettings::default()).expect("a plan");
            let text = mutate_statement(&plan).text;
            let begin = r#"WITH "trunkline_source" AS (INSERT INTO "api"."crew"("id", "name") SELECT "pgrst_body"."id", "pgrst_body"."name" FROM (SELECT "public"."read"("id") AS "id", "name" FROM "#;
            let end = r#" AS "trunkline_json"("id" json, "name" text)) AS "pgrst_body" RETURNING 1) SELECT pg_catalog.count(*) FROM "trunkline_source""#;
            assert_eq!(text, format!("{begin}{body}{end}"));
        };
        check(JsonShape::Array, Missing::Null, "pg_catalog.json_to_recordset($1)");
        check(
            JsonShape::Object,
            Missing::Default,
            "pg_catalog.jsonb_to_record(pg_catalog.jsonb_build_object($1::text, 'Otto'::text) || $2::jsonb)",
        );
        check(
            JsonShape::Array,
            Missing::Default,
            "pg_catalog.jsonb_array_elements($1) AS trunkline_element, LATERAL pg_catalog.jsonb_to_record(pg_catalog.jsonb_build_object($2::text, 'Otto'::text) || trunkline_element)",
        );
    }
}
