//! Which to-many embed comes as rows of its own, behind their parent's row, for the row writer to nest. For the rest
//! PostgreSQL makes JSON of each parent's children: what it spends on that is saved (`perf/embeds.md`), and nothing is
//! where an embed has a limit, which leaves few rows, where its rows are groups, or where JSON isn't made of rows at all.
//! Invariant: one embed of the root at most. The NULLs of a second one's columns would have no type in the first one's rows.
//! Limits: `limits::CHILD_ROW_COLUMNS_MAX`.

use crate::catalog::Relationship;
use crate::limits;
use crate::plan::embed::{Embed, EmbedShape};
use crate::plan::negotiate::AnswerForm;
use crate::plan::read::{Maker, Node, ReadPlan, Source, Yields};
use crate::request::BodyWanted;

/// Turns the root's first embed that may into `EmbedShape::ChildRows`.
pub fn choose(plan: &mut ReadPlan<'_>) {
    if !allows(plan) {
        return;
    }
    let room = limits::CHILD_ROW_COLUMNS_MAX.saturating_sub(width(&plan.root));
    let root = &mut plan.root;
    if let Some(embed) = root.embeds.iter_mut().find(|embed| fits(embed, &root.alias) && width(&embed.node) <= room) {
        embed.shape = EmbedShape::ChildRows;
    }
}

fn allows(plan: &ReadPlan<'_>) -> bool {
    let objects = match plan.answer.form {
        AnswerForm::Array { .. } | AnswerForm::Object { .. } => plan.yields == Yields::Rows,
        AnswerForm::Csv | AnswerForm::GeoJson | AnswerForm::Handler { .. } | AnswerForm::Raw => false,
    };
    let stored = match plan.root.source {
        Source::Relation(_) => true,
        Source::Computed { .. } | Source::Returning | Source::Call => false,
    };
    objects && stored && plan.body == BodyWanted::Full && plan.maker == Maker::RowWriter && !plan.root.is_grouped()
}

/// The rows are tied to a subquery that has the parent's name and its key's columns, no more: a computed relationship
/// wants the whole row, and a junction's target may have the parent's own name.
fn fits(embed: &Embed<'_>, parent: &str) -> bool {
    embed.shape == EmbedShape::Array
        && matches!(embed.relationship, Relationship::Key(_))
        && embed.node.range.asked.is_none()
        && embed.node.alias != parent
        && !embed.is_empty()
        && !embed.node.is_grouped()
}

/// Columns of a node's rows.
fn width(node: &Node<'_>) -> usize {
    let embedded = node.embeds.iter().filter(|embed| !embed.is_empty()).map(|embed| match embed.shape {
        EmbedShape::Array => 1,
        EmbedShape::ChildRows => 0,
        EmbedShape::Object | EmbedShape::Spread | EmbedShape::SpreadArrays => 1 + width(&embed.node),
    });
    node.select.len() + embedded.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{MediaType, Nulls};
    use crate::plan::fixture::{self, aggregate, column, embed, select};
    use crate::plan::{PlanSettings, plan_read};
    use crate::request::{Action, Aggregate, ApiRequest, RowRange, SelectItem, Targeted};

    fn check(request: &ApiRequest<'_>, settings: PlanSettings, expect: &[EmbedShape]) {
        let catalog = fixture::catalog();
        let settings = PlanSettings { aggregates_enabled: true, ..settings };
        let plan = plan_read(request, &catalog, settings).expect("a plan");
        let shapes: Vec<_> = plan.root.embeds.iter().map(|embed| embed.shape).collect();
        assert_eq!(shapes, expect);
    }

    fn operators<'r>(embeds: impl IntoIterator<Item = SelectItem<'r>>) -> ApiRequest<'r> {
        let items = std::iter::once(column("id")).chain(embeds);
        fixture::get("operators", select(items))
    }

    fn vessels<'r>() -> SelectItem<'r> {
        embed("vessels", None, [column("id")])
    }

    #[test]
    fn arrays_become_rows() {
        let check = |request: &ApiRequest<'_>, expect: &[EmbedShape]| {
            check(request, PlanSettings::default(), expect);
            let limited = PlanSettings { max_rows: Some(10), ..PlanSettings::default() };
            self::check(request, limited, expect);
        };
        check(&operators([vessels()]), &[EmbedShape::ChildRows]);
        let junction = fixture::get("vessels", select([embed("crew", None, [column("id")])]));
        check(&junction, &[EmbedShape::ChildRows]);
        // What is below a to-one embed, or below child rows, stays.
        let below = embed("operators", None, [vessels()]);
        check(&fixture::get("vessels", select([below])), &[EmbedShape::Object]);
        check(&operators([vessels(), vessels()]), &[EmbedShape::ChildRows, EmbedShape::Array]);
        let wide = |columns| embed("vessels", None, (0..columns).map(|_| column("id")));
        let room = limits::CHILD_ROW_COLUMNS_MAX - 3;
        check(&operators([wide(room), vessels()]), &[EmbedShape::ChildRows, EmbedShape::Array]);
        check(&operators([wide(room + 1), vessels()]), &[EmbedShape::Array, EmbedShape::ChildRows]);
    }

    #[test]
    fn arrays_that_stay() {
        let stays = |request: &ApiRequest<'_>| check(request, PlanSettings::default(), &[EmbedShape::Array]);
        let mut request = operators([vessels()]);
        request.action = Action::Read { relation: "operators".into(), body: BodyWanted::HeadOnly };
        stays(&request);
        let mut request = operators([vessels()]);
        request.accept = vec![MediaType::Csv];
        stays(&request);
        request.accept = vec![MediaType::SingularJson { nulls: Nulls::Stripped }];
        check(&request, PlanSettings::default(), &[EmbedShape::ChildRows]);
        let by_database = PlanSettings { row_writer: false, ..PlanSettings::default() };
        check(&request, by_database, &[EmbedShape::Array]);
        let mut request = operators([vessels()]);
        request.query.ranges =
            vec![Targeted { path: vec!["vessels".into()], item: RowRange { offset: 0, limit: Some(1) } }];
        stays(&request);
        stays(&operators([embed("vessels", None, [aggregate("id", Aggregate::Count)])]));
        let grouped = [aggregate("id", Aggregate::Count), vessels()];
        stays(&fixture::get("operators", select(grouped)));
        // It has no output.
        stays(&operators([embed("vessels", None, [])]));
    }
}
