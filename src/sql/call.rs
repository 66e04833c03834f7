//! A call as SQL: the routine's rows in a CTE around which the result is read. PostgreSQL merges the CTE into the read where
//! it is asked for once and nothing in it is volatile, so that filters reach into an inlinable function; otherwise the
//! CTE's rows are kept, and the routine runs once.

use super::clauses::SOURCE_CTE;
use super::param;
use super::read::answer;
use super::writer::SqlWriter;
use super::{Param, ResultShape, Statement, Transform, explain};
use crate::catalog::routine::SCALAR_COLUMN;
use crate::catalog::{Parameter, ReturnShape, ReturnType, Routine};
use crate::plan::call::{Arguments, CallPlan, Document};
use crate::request::BodyWanted;

/// The called routine's rows. The name is in PostgreSQL's messages, and so PostgREST's.
const CALL: &str = "pgrst_call";
/// The arguments that a JSON body has.
const BODY: &str = "pgrst_body";

/// Writes the statement that calls the routine and answers the plan.
pub fn call_statement(plan: &CallPlan<'_>) -> Statement {
    let mut out = SqlWriter::default();
    if let Some(media) = &plan.read.answer.explain {
        explain::plan(&mut out, media);
    }
    out.sql("WITH ");
    out.ident(SOURCE_CTE);
    out.sql(if must_be_kept(plan) { " AS MATERIALIZED (" } else { " AS (" });
    call(&mut out, plan);
    out.sql(") ");
    let result = answer(&mut out, &plan.read);
    let (text, params) = out.finish();
    let result = if plan.read.answer.explain.is_some() { ResultShape::PlanLines } else { result };
    Statement { text, params, result }
}

/// A scalar that is merged would be computed wherever it is mentioned: not at all, or twice.
fn must_be_kept(plan: &CallPlan<'_>) -> bool {
    let root = &plan.read.root;
    let mentioned_once = root.conditions.is_empty() && root.order.is_empty() && root.select.len() == 1;
    !plan.read.yields.is_row() && !mentioned_once
}

fn call(out: &mut SqlWriter, plan: &CallPlan<'_>) {
    // PostgreSQL wants the columns of a record named in FROM, and nobody knows them. For HEAD the value isn't wanted: the
    // recorded answers say that a function which isn't volatile is not even called.
    let unwanted = plan.read.body == BodyWanted::HeadOnly && !plan.read.yields.is_row();
    if unwanted || is_record(plan.routine) {
        out.sql("SELECT ");
        invocation(out, plan);
        out.sql(" AS ");
        out.ident(SCALAR_COLUMN);
        if let Arguments::Members { .. } = plan.arguments {
            out.sql(" FROM ");
            body(out, plan);
        }
        return;
    }
    out.sql("SELECT ");
    out.ident(CALL);
    out.sql(".*");
    for name in &plan.unknown {
        out.sql(", ");
        out.ident(CALL);
        out.sql(".");
        out.ident(name);
    }
    out.sql(" FROM ");
    if let Arguments::Members { .. } = plan.arguments {
        body(out, plan);
        out.sql(", LATERAL ");
    }
    invocation(out, plan);
    out.sql(" AS ");
    out.ident(CALL);
    if !plan.read.yields.is_row() {
        out.sql("(");
        out.ident(SCALAR_COLUMN);
        out.sql(")");
    }
}

/// Whether the result's columns are known to the function alone.
fn is_record(routine: &Routine) -> bool {
    match &routine.returns {
        ReturnShape::Single(ReturnType::Scalar(name)) | ReturnShape::SetOf(ReturnType::Scalar(name)) => {
            name.schema.as_str() == "pg_catalog" && name.name.as_str() == "record"
        }
        ReturnShape::Single(ReturnType::Composite { .. })
        | ReturnShape::SetOf(ReturnType::Composite { .. })
        | ReturnShape::Void => false,
    }
}

/// `schema.function(arguments)`
fn invocation(out: &mut SqlWriter, plan: &CallPlan<'_>) {
    out.qualified(plan.routine.name.schema.as_str(), plan.routine.name.name.as_str());
    out.sql("(");
    match &plan.arguments {
        Arguments::None => {}
        Arguments::Body { parameter, raw } => {
            out.bind(body_argument(parameter, raw));
            out.sql("::");
            out.parameter_type(parameter);
        }
        Arguments::Members { parameters, .. } => {
            for (index, parameter) in parameters.iter().enumerate() {
                named(out, index, parameter);
                out.ident(BODY);
                out.sql(".");
                out.ident(&parameter.name);
            }
        }
        Arguments::Given(list) => {
            for (index, (parameter, argument)) in list.iter().enumerate() {
                named(out, index, parameter);
                out.bind(param::argument(argument));
                out.sql("::");
                out.parameter_type(parameter);
            }
        }
    }
    out.sql(")");
}

/// `VARIADIC "name" := `
fn named(out: &mut SqlWriter, index: usize, parameter: &Parameter) {
    if index > 0 {
        out.sql(", ");
    }
    if parameter.variadic {
        out.sql("VARIADIC ");
    }
    out.ident(&parameter.name);
    out.sql(" := ");
}

/// The body as it came; bytes are sent as hexadecimal digits, because parameters are texts.
fn body_argument(parameter: &Parameter, raw: &[u8]) -> Param {
    let value = (parameter.type_name == "bytea").then(|| {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = Vec::with_capacity(raw.len() * 2 + 2);
        text.extend_from_slice(b"\\x");
        for &byte in raw {
            text.extend(HEX.get(usize::from(byte >> 4)));
            text.extend(HEX.get(usize::from(byte & 15)));
        }
        text
    });
    Param { slot: None, transform: Transform::Payload, value }
}

/// The members of the body's object as one row.
fn body(out: &mut SqlWriter, plan: &CallPlan<'_>) {
    let Arguments::Members { parameters, document } = &plan.arguments else { return };
    let raw = || Param { slot: None, transform: Transform::Payload, value: None };
    out.sql("pg_catalog.json_to_record(");
    match document {
        Document::Object => {
            out.bind(raw());
            out.sql("::json");
        }
        Document::Array => {
            out.bind(raw());
            out.sql("::json->0");
        }
        Document::Either => {
            out.sql(
                "(SELECT CASE pg_catalog.json_typeof(given) WHEN 'array' THEN given->0 ELSE given END FROM (SELECT ",
            );
            out.bind(raw());
            out.sql("::json AS given) AS body)");
        }
    }
    out.sql(") AS ");
    out.ident(BODY);
    out.sql("(");
    for (index, parameter) in parameters.iter().enumerate() {
        if index > 0 {
            out.sql(", ");
        }
        out.ident(&parameter.name);
        out.sql(" ");
        out.parameter_type(parameter);
    }
    out.sql(")");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, Volatility};
    use crate::plan::PlanSettings;
    use crate::plan::call::{choose, plan_call};
    use crate::plan::fixture::{self, Given, add_routine, call_by_get, call_by_post, int, row_of};
    use crate::request::ApiRequest;

    fn catalog() -> Catalog {
        let mut catalog = fixture::catalog();
        let mut add = |name, parameters: &[_], returns| {
            add_routine(&mut catalog, name, parameters, returns, Volatility::Stable);
        };
        let a = ("a", "integer", Given::Always);
        add("twice", &[a], ReturnShape::Single(int()));
        add("some", &[("items", "text[]", Given::Variadic)], ReturnShape::SetOf(int()));
        add("crew_of", &[a], ReturnShape::SetOf(row_of("crew")));
        add("body", &[("", "bytea", Given::Always)], ReturnShape::Single(int()));
        add("loose", &[a], ReturnShape::Single(fixture::record()));
        catalog
    }

    fn statement(request: &ApiRequest<'_>) -> Statement {
        let catalog = catalog();
        let routine = choose(request, &catalog).expect("an overload");
        call_statement(&plan_call(request, &catalog, routine, PlanSettings::default()).expect("a plan"))
    }

    fn check(request: &ApiRequest<'_>, expect: &str) {
        assert_eq!(statement(request).text, expect);
    }

    #[test]
    fn arguments_are_parameters_of_the_statement() {
        check(
            &call_by_get("twice", &[("a", "1")]),
            r#"WITH "trunkline_source" AS (SELECT "pgrst_call".* FROM "api"."twice"("a" := $1::integer) AS "pgrst_call"("pgrst_scalar")) SELECT "twice"."pgrst_scalar" FROM "trunkline_source" AS "twice""#,
        );
        check(
            &call_by_post("twice", &["a"], "{}"),
            r#"WITH "trunkline_source" AS (SELECT "pgrst_call".* FROM pg_catalog.json_to_record($1::json) AS "pgrst_body"("a" integer), LATERAL "api"."twice"("a" := "pgrst_body"."a") AS "pgrst_call"("pgrst_scalar")) SELECT "twice"."pgrst_scalar" FROM "trunkline_source" AS "twice""#,
        );
        let some = statement(&call_by_get("some", &[("items", "1"), ("items", "{\"}")]));
        assert!(some.text.contains(r#""api"."some"(VARIADIC "items" := $1::text[])"#), "{}", some.text);
        assert_eq!(some.params.first().and_then(|param| param.value.as_deref()), Some(&br#"{"1","{\"}"}"#[..]));
    }

    #[test]
    fn records_are_called_where_no_columns_are_named() {
        check(
            &call_by_get("loose", &[("a", "1")]),
            r#"WITH "trunkline_source" AS (SELECT "api"."loose"("a" := $1::integer) AS "pgrst_scalar") SELECT pg_catalog.to_json("loose"."pgrst_scalar") FROM "trunkline_source" AS "loose""#,
        );
    }

    #[test]
    fn a_body_of_bytes_is_sent_as_digits() {
        let mut request = call_by_post("body", &[], "");
        request.content_type = crate::media::MediaType::OctetStream;
        request.payload = Some(crate::request::payload::Payload::Raw { raw: b"\x00\xffA".as_slice().into() });
        let statement = statement(&request);
        assert!(statement.text.contains(r#""api"."body"($1::bytea)"#), "{}", statement.text);
        assert_eq!(statement.params.first().and_then(|param| param.value.as_deref()), Some(&b"\\x00ff41"[..]));
    }

    #[test]
    fn rows_are_read_like_a_relation() {
        let mut request = call_by_get("crew_of", &[("a", "1")]);
        request.query.select = Some(vec![fixture::column("name"), fixture::column("rank")]);
        request.query.conditions.push(fixture::equals(&[], "id", "7"));
        check(
            &request,
            r#"WITH "trunkline_source" AS (SELECT "pgrst_call".*, "pgrst_call"."rank" FROM "api"."crew_of"("a" := $1::integer) AS "pgrst_call") SELECT "crew"."name", pg_catalog.to_json("crew"."rank") FROM "trunkline_source" AS "crew" WHERE "crew"."id" = $2"#,
        );
        // A scalar that a filter names too would be computed twice.
        let mut request = call_by_get("twice", &[("a", "1")]);
        request.query.conditions.push(fixture::equals(&[], "pgrst_scalar", "7"));
        assert!(statement(&request).text.starts_with("WITH \"trunkline_source\" AS MATERIALIZED ("));
    }
}
