//! A read as SELECT. The root's rows come back as plain columns; so do to-one embeds, joined, their columns named apart.
//! To-many embeds are rows behind their parent's (`child_rows`) where the plan says so, else JSON from correlated
//! subqueries. Where the body is made in SQL, and in grouped rows, every embed is
//! one JSON column.

use super::clauses::SOURCE_CTE;
use super::columns::{Aggregates, Mode, Names, leaves, row_shape};
use super::node::{rest, root_list, select};
use super::param::fixed;
use super::writer::SqlWriter;
use super::{Leading, ResultShape, Statement, child_rows, count, explain};
use crate::media::Nulls;
use crate::plan::negotiate::AnswerForm;
use crate::plan::read::{Maker, Node, ReadPlan, Source, Total, Yields};
use crate::request::BodyWanted;

/// Writes the statement that answers the plan.
pub fn read_statement(plan: &ReadPlan<'_>) -> Statement {
    let mut out = SqlWriter::default();
    if let Some(media) = &plan.answer.explain {
        explain::plan(&mut out, media);
    }
    let result = answer(&mut out, plan);
    let (text, params) = out.finish();
    let result = if plan.answer.explain.is_some() { ResultShape::PlanLines } else { result };
    Statement { text, params, result }
}

/// The SELECT that answers a plan; what precedes it, EXPLAIN or WITH, is the caller's.
pub(super) fn answer(out: &mut SqlWriter, plan: &ReadPlan<'_>) -> ResultShape {
    if plan.body == BodyWanted::HeadOnly {
        return counts(out, plan);
    }
    match (plan.answer.form, plan.maker) {
        (AnswerForm::Array { .. } | AnswerForm::Object { .. }, Maker::RowWriter) => rows(out, plan),
        (AnswerForm::Array { .. } | AnswerForm::Object { .. }, Maker::Database)
        | (AnswerForm::Csv | AnswerForm::GeoJson | AnswerForm::Handler { .. } | AnswerForm::Raw, _) => body(out, plan),
    }
}

/// Rows for the row writer; with an exact total, that total before each of them, and one row for it alone in an empty page.
fn rows(out: &mut SqlWriter, plan: &ReadPlan<'_>) -> ResultShape {
    let mode = Mode::of(&plan.root);
    let children = child_rows::of(&plan.root);
    let Some(rows_max) = counted(plan.total) else {
        if let Some(embed) = children {
            child_rows::select(out, &plan.root, embed, mode);
        } else {
            out.sql("SELECT ");
            root_list(out, &plan.root, mode);
            rest(out, &plan.root, mode, None, Aggregates::Own, 0);
        }
        return ResultShape::Rows(row_shape(&plan.root, mode, Vec::new()));
    };
    out.sql("SELECT counted.total, page.* FROM (");
    count::total(out, &plan.root, rows_max);
    out.sql(") AS counted LEFT JOIN (");
    let shape = if let Some(embed) = children {
        child_rows::select(out, &plan.root, embed, mode);
        row_shape(&plan.root, mode, vec![Leading::Total])
    } else {
        let shape = row_shape(&plan.root, mode, vec![Leading::Total, Leading::Presence]);
        out.sql(if shape.columns.is_empty() { "SELECT TRUE" } else { "SELECT TRUE, " });
        root_list(out, &plan.root, mode);
        rest(out, &plan.root, mode, None, Aggregates::Own, 1);
        shape
    };
    out.sql(") AS page ON TRUE");
    ResultShape::Rows(shape)
}

/// Whether the statement counts, and up to which `db-max-rows`.
fn counted(total: Total) -> Option<Option<u64>> {
    match total {
        Total::Unasked | Total::PageRows | Total::Planned => None,
        Total::Exact => Some(None),
        Total::Estimated { rows_max } => Some(Some(rows_max)),
    }
}

/// HEAD: the page is made and counted, so that what GET refuses is refused here too.
fn counts(out: &mut SqlWriter, plan: &ReadPlan<'_>) -> ResultShape {
    out.sql("SELECT ");
    let leading = leading_counts(out, plan);
    from_page(out, plan);
    ResultShape::Counts { leading }
}

/// The body in one column, after the counts.
fn body(out: &mut SqlWriter, plan: &ReadPlan<'_>) -> ResultShape {
    out.sql("SELECT ");
    let leading = leading_counts(out, plan);
    out.sql(", ");
    match plan.answer.form {
        AnswerForm::Array { nulls } => json(out, plan.yields, nulls),
        AnswerForm::Object { nulls } => {
            json(out, if plan.yields == Yields::Scalar { Yields::Scalar } else { Yields::Row }, nulls)
        }
        AnswerForm::Csv => csv(out, &plan.root),
        AnswerForm::GeoJson => out.sql(
            "pg_catalog.json_build_object('type', 'FeatureCollection', 'features', \
             coalesce(pg_catalog.json_agg(ST_AsGeoJSON(page)::json), '[]'))",
        ),
        AnswerForm::Handler { routine, row } => {
            out.qualified(routine.schema.as_str(), routine.name.as_str());
            out.sql("(page");
            match row {
                _ if plan.yields == Yields::Scalar => out.sql(".pgrst_scalar"),
                Some(row) => {
                    out.sql("::");
                    out.qualified(row.schema.as_str(), row.name.as_str());
                }
                None => {}
            }
            out.sql(")");
        }
        AnswerForm::Raw => out.sql("(pg_catalog.array_agg(page.pgrst_scalar))[1]"),
    }
    from_page(out, plan);
    ResultShape::Body { leading }
}

/// The rows as PostgreSQL's own JSON.
fn json(out: &mut SqlWriter, yields: Yields, nulls: Nulls) {
    let (before, after) = match nulls {
        Nulls::Kept => ("coalesce(", ""),
        Nulls::Stripped => ("coalesce(pg_catalog.json_strip_nulls(", ")"),
    };
    out.sql(before);
    out.sql(match yields {
        Yields::Rows => "pg_catalog.json_agg(page)",
        Yields::Row => "pg_catalog.json_agg(page)->0",
        Yields::Scalars => "pg_catalog.json_agg(page.pgrst_scalar)",
        Yields::Scalar | Yields::Nothing => "pg_catalog.json_agg(page.pgrst_scalar)->0",
    });
    out.sql(after);
    out.sql(if yields.is_set() { ", '[]')" } else { ", 'null')" });
}

fn leading_counts(out: &mut SqlWriter, plan: &ReadPlan<'_>) -> Vec<Leading> {
    let mut leading = Vec::with_capacity(2);
    if let Some(rows_max) = counted(plan.total) {
        out.sql("(");
        count::total(out, &plan.root, rows_max);
        out.sql("), ");
        leading.push(Leading::Total);
    }
    out.sql("pg_catalog.count(*)");
    leading.push(Leading::PageTotal);
    leading
}

fn from_page(out: &mut SqlWriter, plan: &ReadPlan<'_>) {
    out.sql(" FROM (");
    select(out, &plan.root, Mode::Jsonb, None, Names::Keys, Aggregates::Own);
    out.sql(") AS page");
}

/// The header is the keys as they are, the lines are the rows' record text without its parentheses. The header of written
/// rows names what the mutation returned, selected or not, as PostgREST's does.
fn csv(out: &mut SqlWriter, root: &Node<'_>) {
    if root.source == Source::Returning {
        out.sql("coalesce((SELECT pg_catalog.string_agg(key, ',') FROM pg_catalog.json_object_keys((SELECT pg_catalog.row_to_json(written) FROM ");
        out.ident(SOURCE_CTE);
        out.sql(" AS written LIMIT 1)) AS key), '')");
    } else {
        let keys: Vec<String> = leaves(root, Mode::Jsonb).into_iter().map(|leaf| leaf.key.into_owned()).collect();
        out.sql("CASE WHEN pg_catalog.count(*) = 0 THEN '' ELSE ");
        out.bind(fixed(&keys.join(",")));
        out.sql("::text END");
    }
    out.sql(
        " || E'\\n' || \
         coalesce(pg_catalog.string_agg(pg_catalog.substring(page::text, 2, pg_catalog.length(page::text) - 2), E'\\n'), '')",
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::MediaType;
    use crate::plan::fixture::{self, column, embed, equals, select};
    use crate::plan::{PlanSettings, plan_read};
    use crate::request::prefer::CountMode;
    use crate::request::{ApiRequest, IsValue, Join, Query, RowRange, Test};

    fn check_with(request: &ApiRequest<'_>, settings: PlanSettings, expect: &str) {
        let catalog = fixture::catalog();
        let plan = plan_read(request, &catalog, settings).expect("a plan");
        assert_eq!(read_statement(&plan).text, expect);
    }

    fn check(request: &ApiRequest<'_>, expect: &str) {
        check_with(request, PlanSettings { aggregates_enabled: true, ..PlanSettings::default() }, expect);
    }

    #[test]
    fn columns_and_conditions() {
        check(
            &fixture::get("ports", Query::default()),
            r#"SELECT "ports"."id", "ports"."code", pg_catalog.to_json("ports"."tags"), "ports"."info", "ports"."opened" FROM "api"."ports""#,
        );
        let mut request = fixture::get("ports", select([column("id")]));
        request.query.conditions.push(equals(&[], "co\"de", "x"));
        request.range = RowRange { offset: 2, limit: Some(3) };
        check(&request, r#"SELECT "ports"."id" FROM "api"."ports" WHERE "ports"."co""de" = $1 LIMIT $2 OFFSET $3"#);
        request.accept = vec![MediaType::Csv];
        request.query.conditions.clear();
        check(
            &request,
            "SELECT pg_catalog.count(*), CASE WHEN pg_catalog.count(*) = 0 THEN '' ELSE $1::text END || E'\\n' || \
             coalesce(pg_catalog.string_agg(pg_catalog.substring(page::text, 2, pg_catalog.length(page::text) - 2), E'\\n'), '') \
             FROM (SELECT \"ports\".\"id\" AS \"id\" FROM \"api\".\"ports\" LIMIT $2 OFFSET $3) AS page",
        );
    }

    #[test]
    fn totals_and_head() {
        let mut request = fixture::get("ports", select([column("id")]));
        request.preferences.count = Some(CountMode::Exact);
        check(&request, r#"SELECT "ports"."id" FROM "api"."ports""#);
        request.range = RowRange { offset: 0, limit: Some(1) };
        check(
            &request,
            r#"SELECT counted.total, page.* FROM (SELECT pg_catalog.count(*) AS total FROM "api"."ports") AS counted LEFT JOIN (SELECT TRUE, "ports"."id" FROM "api"."ports" LIMIT $1 OFFSET $2) AS page ON TRUE"#,
        );
        request.action = crate::request::Action::Read { relation: "ports".into(), body: BodyWanted::HeadOnly };
        check(
            &request,
            r#"SELECT (SELECT pg_catalog.count(*) AS total FROM "api"."ports"), pg_catalog.count(*) FROM (SELECT "ports"."id" AS "id" FROM "api"."ports" LIMIT $1 OFFSET $2) AS page"#,
        );
    }

    #[test]
    fn embeds() {
        check(
            &fixture::get(
                "vessels",
                select([
                    column("id"),
                    embed("operators", None, [column("name"), embed("vessels", None, [column("id")])]),
                ]),
            ),
            r#"SELECT "vessels"."id", "vessels_operators_1"."trunkline_row_is_present", "vessels_operators_1"."name", "vessels_operators_1"."vessels" FROM "api"."vessels" LEFT JOIN LATERAL (SELECT TRUE AS "trunkline_row_is_present", "operators_1"."name" AS "name", (SELECT coalesce(pg_catalog.json_agg("operators_vessels_2"), '[]') AS "operators_vessels_2" FROM (SELECT "vessels_2"."id" AS "id" FROM "api"."vessels" AS "vessels_2" WHERE "vessels_2"."operator_id" = "operators_1"."id") AS "operators_vessels_2") AS "vessels" FROM "api"."operators" AS "operators_1" WHERE "operators_1"."id" = "vessels"."operator_id") AS "vessels_operators_1" ON TRUE"#,
        );
        let mut request =
            fixture::get("vessels", select([column("id"), embed("crew", Some(Join::Inner), [column("name")])]));
        request.query.conditions.push(equals(&["crew"], "name", "Otto"));
        check(
            &request,
            r#"SELECT "trunkline_rows".* FROM (SELECT row_number() OVER () * 2 AS "trunkline_parent", "vessels".* FROM (SELECT "vessels"."id" AS "trunkline_column_0", "vessels"."id" FROM "api"."vessels" WHERE EXISTS (SELECT 1 FROM "api"."crew", "api"."assignments" AS "trunkline_junction" WHERE "crew"."name" = $1 AND "crew"."id" = "trunkline_junction"."crew_id" AND "trunkline_junction"."vessel_id" = "vessels"."id")) AS "vessels") AS "vessels" CROSS JOIN LATERAL (SELECT "vessels"."trunkline_parent", "vessels"."trunkline_column_0", NULL UNION ALL (SELECT "vessels"."trunkline_parent" + 1, NULL, "crew"."name" FROM "api"."crew", "api"."assignments" AS "trunkline_junction" WHERE "crew"."name" = $2 AND "crew"."id" = "trunkline_junction"."crew_id" AND "trunkline_junction"."vessel_id" = "vessels"."id")) AS "trunkline_rows""#,
        );
        let mut request = fixture::get("operators", select([column("id"), embed("vessels", None, [])]));
        request.query.conditions.push(fixture::aimed(&[], Test::Is(IsValue::Null), "vessels"));
        check(
            &request,
            r#"SELECT "operators"."id" FROM "api"."operators" WHERE NOT EXISTS (SELECT 1 FROM "api"."vessels" AS "vessels_1" WHERE "vessels_1"."operator_id" = "operators"."id")"#,
        );
    }

    #[test]
    fn spreads_and_aggregates() {
        check(
            &fixture::get(
                "vessels",
                select([
                    fixture::aggregate("id", crate::request::Aggregate::Max),
                    fixture::spread("operators", [column("name")]),
                ]),
            ),
            r#"SELECT max("vessels"."id"), "vessels_operators_1"."name" FROM "api"."vessels" LEFT JOIN LATERAL (SELECT "operators_1"."name" AS "name" FROM "api"."operators" AS "operators_1" WHERE "operators_1"."id" = "vessels"."operator_id") AS "vessels_operators_1" ON TRUE GROUP BY "vessels_operators_1"."name""#,
        );
        check(
            &fixture::get(
                "operators",
                select([column("name"), fixture::spread("vessels", [column("id"), column("id")])]),
            ),
            r#"SELECT "operators"."name", "operators_vessels_1"."id", "operators_vessels_1"."trunkline_row_is_present_1" FROM "api"."operators" LEFT JOIN LATERAL (SELECT coalesce(pg_catalog.json_agg("operators_vessels_1"."id"), '[]') AS "id", coalesce(pg_catalog.json_agg("operators_vessels_1"."trunkline_row_is_present_1"), '[]') AS "trunkline_row_is_present_1" FROM (SELECT "vessels_1"."id" AS "id", "vessels_1"."id" AS "trunkline_row_is_present_1" FROM "api"."vessels" AS "vessels_1" WHERE "vessels_1"."operator_id" = "operators"."id") AS "operators_vessels_1") AS "operators_vessels_1" ON TRUE"#,
        );
    }
}
