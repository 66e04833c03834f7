//! `Accept` × media handlers → how the body is made.
//! The first type in the client's order that somebody can produce wins. Handlers of a relation stand in only where the
//! request selects all columns; those for `anyelement` always do; the vendor's own types can't be overridden.

use crate::catalog::media_handler::HandlerKind;
use crate::catalog::{Catalog, HandlerKey};
use crate::media::{MediaType, Nulls, PlanMedia};
use crate::name::{QualifiedName, QualifiedRoutine};
use crate::plan::refusal::PlanError;

/// How a result is answered.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer<'p> {
    /// The Content-Type.
    pub media: MediaType,
    pub form: AnswerForm<'p>,
    /// The plan is asked for instead of the result.
    pub explain: Option<PlanMedia>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnswerForm<'p> {
    /// A JSON array of objects.
    Array {
        nulls: Nulls,
    },
    /// One JSON object; another number of rows is an error.
    Object {
        nulls: Nulls,
    },
    Csv,
    GeoJson,
    /// An aggregate or function of the database over rows of `row`, or of any type.
    Handler {
        routine: &'p QualifiedRoutine,
        row: Option<&'p QualifiedName>,
    },
    /// The one value of a function that returns the media type's domain.
    Raw,
}

/// Whether the request selects all columns and nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Selection {
    AllColumns,
    Chosen,
}

/// Chooses the answer for rows of `relation`.
pub fn negotiate<'p>(
    catalog: &'p Catalog,
    relation: &'p QualifiedName,
    accept: &[MediaType],
    selection: Selection,
    plan_enabled: bool,
) -> Result<Answer<'p>, PlanError> {
    let market = Market { catalog, relation, selection };
    accept
        .iter()
        .find_map(|asked| market.offer(asked, plan_enabled))
        .ok_or_else(|| PlanError::NotAcceptable { asked: accept.iter().map(ToString::to_string).collect() })
}

struct Market<'p> {
    catalog: &'p Catalog,
    relation: &'p QualifiedName,
    selection: Selection,
}

impl<'p> Market<'p> {
    fn offer(&self, asked: &MediaType, plan_enabled: bool) -> Option<Answer<'p>> {
        let MediaType::Plan(plan) = asked else { return self.offer_result(asked) };
        if !plan_enabled {
            return None;
        }
        let answer = self.offer_result(&plan.target)?;
        Some(Answer { media: asked.clone(), explain: Some((**plan).clone()), ..answer })
    }

    fn offer_result(&self, asked: &MediaType) -> Option<Answer<'p>> {
        let answer = |media, form| Some(Answer { media, form, explain: None });
        match asked {
            MediaType::SingularJson { nulls } => answer(asked.clone(), AnswerForm::Object { nulls: *nulls }),
            MediaType::ArrayJson { nulls: Nulls::Stripped } => {
                answer(asked.clone(), AnswerForm::Array { nulls: Nulls::Stripped })
            }
            MediaType::ArrayJson { nulls: Nulls::Kept } => self.offer_result(&MediaType::Json),
            MediaType::Json
            | MediaType::GeoJson
            | MediaType::Csv
            | MediaType::OpenApi
            | MediaType::UrlEncoded
            | MediaType::OctetStream
            | MediaType::TextPlain
            | MediaType::TextXml
            | MediaType::Any
            | MediaType::Plan(_)
            | MediaType::Other(_) => self.handler(asked).or_else(|| builtin(asked)),
        }
    }

    fn handler(&self, asked: &MediaType) -> Option<Answer<'p>> {
        if self.catalog.media_handlers.is_empty() {
            return None;
        }
        let own = match self.selection {
            Selection::AllColumns => {
                self.lookup(Some(self.relation), &MediaType::Any).or_else(|| self.lookup(Some(self.relation), asked))
            }
            Selection::Chosen => None,
        };
        own.or_else(|| self.lookup(None, asked))
    }

    fn lookup(&self, row: Option<&'p QualifiedName>, media: &MediaType) -> Option<Answer<'p>> {
        let key = HandlerKey { relation: row.cloned(), media: media.clone() };
        let handler = self.catalog.media_handlers.get(&key)?;
        Some(Answer {
            media: handler.media.clone(),
            form: match handler.kind {
                HandlerKind::Aggregate => AnswerForm::Handler { routine: &handler.routine, row },
                HandlerKind::Function => AnswerForm::Raw,
            },
            explain: None,
        })
    }
}

fn builtin(asked: &MediaType) -> Option<Answer<'static>> {
    let (media, form) = match asked {
        MediaType::Json | MediaType::Any => (MediaType::Json, AnswerForm::Array { nulls: Nulls::Kept }),
        MediaType::Csv => (MediaType::Csv, AnswerForm::Csv),
        MediaType::GeoJson => (MediaType::GeoJson, AnswerForm::GeoJson),
        MediaType::OpenApi
        | MediaType::UrlEncoded
        | MediaType::OctetStream
        | MediaType::TextPlain
        | MediaType::TextXml
        | MediaType::SingularJson { .. }
        | MediaType::ArrayJson { .. }
        | MediaType::Plan(_)
        | MediaType::Other(_) => return None,
    };
    Some(Answer { media, form, explain: None })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::catalog::MediaHandler;
    use crate::media::parse_accept;

    fn handler(catalog: &mut Catalog, relation: Option<&QualifiedName>, media: MediaType, name: &str) {
        let handler = MediaHandler {
            routine: QualifiedRoutine { schema: "api".into(), name: name.into() },
            media: media.clone(),
            kind: HandlerKind::Aggregate,
        };
        catalog.media_handlers.insert(HandlerKey { relation: relation.cloned(), media }, Arc::new(handler));
    }

    /// The Content-Type and the handler's name.
    fn check(accept: &str, selection: Selection, plan_enabled: bool, expect: Option<(&str, Option<&str>)>) {
        let ports = QualifiedName::new("api", "ports");
        let mut catalog = Catalog::default();
        handler(&mut catalog, Some(&ports), MediaType::Csv, "ports_csv");
        handler(&mut catalog, None, MediaType::TextPlain, "any_text");
        let accept = parse_accept(Some(accept.as_bytes()));
        let answer = negotiate(&catalog, &ports, &accept, selection, plan_enabled);
        let got = answer.ok().map(|answer| {
            let name = match answer.form {
                AnswerForm::Handler { routine, .. } => Some(routine.name.to_string()),
                AnswerForm::Array { .. }
                | AnswerForm::Object { .. }
                | AnswerForm::Csv
                | AnswerForm::GeoJson
                | AnswerForm::Raw => None,
            };
            (answer.media.to_string(), name)
        });
        assert_eq!(got, expect.map(|(media, name)| (media.to_owned(), name.map(str::to_owned))), "{accept:?}");
    }

    #[test]
    fn the_first_type_that_is_produced_wins() {
        let all = Selection::AllColumns;
        check("*/*", all, false, Some(("application/json", None)));
        check("image/png, application/json", all, false, Some(("application/json", None)));
        check("image/png", all, false, None);
        check("text/csv", all, false, Some(("text/csv", Some("ports_csv"))));
        check("text/csv", Selection::Chosen, false, Some(("text/csv", None)));
        check("text/plain", Selection::Chosen, false, Some(("text/plain", Some("any_text"))));
        check("application/vnd.pgrst.array+json", all, false, Some(("application/json", None)));
        check("application/openapi+json", all, false, None);
    }

    #[test]
    fn plans_need_the_option() {
        let plan = "application/vnd.pgrst.plan+json";
        check(plan, Selection::Chosen, false, None);
        check(
            plan,
            Selection::Chosen,
            true,
            Some((r#"application/vnd.pgrst.plan+json; for="application/json""#, None)),
        );
        check(&format!("{plan};for=\"image/png\""), Selection::Chosen, true, None);
    }
}
