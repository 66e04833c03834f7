//! What is refused before a routine is called, in PostgREST's words.

use super::refusal::PlanError;
use crate::catalog::{Catalog, Routine};
use crate::error::suggest::{self, SCORE_LOOSE, SCORE_NAME};
use crate::error::{ApiError, Code, Details};
use crate::media::MediaType;
use crate::name::QualifiedRoutine;

/// A call that can't be planned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CallError {
    Plan(PlanError),
    NotFound(Box<RoutineNotFound>),
    /// Several overloads take the arguments; each with its parameters.
    Ambiguous {
        candidates: Vec<String>,
    },
    /// `max-affected` counts rows, and the routine returns none.
    MaxAffectedWithoutRows,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoutineNotFound {
    pub name: QualifiedRoutine,
    /// Names of the arguments given, sorted.
    pub arguments: Vec<String>,
    pub body: BodyRole,
    /// The name and parameters of the routine that was meant perhaps.
    pub closest: Option<String>,
}

/// What the request's body may have been.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyRole {
    /// Named arguments.
    Arguments,
    /// Those, or one JSON argument.
    ArgumentsOrJson,
    /// One argument of this type.
    Only(&'static str),
}

impl BodyRole {
    /// Of a POST with that Content-Type.
    pub fn of(content_type: &MediaType) -> Self {
        match content_type {
            MediaType::Json => Self::ArgumentsOrJson,
            MediaType::TextPlain => Self::Only("text"),
            MediaType::TextXml => Self::Only("xml"),
            MediaType::OctetStream => Self::Only("bytea"),
            MediaType::GeoJson
            | MediaType::Csv
            | MediaType::OpenApi
            | MediaType::UrlEncoded
            | MediaType::Any
            | MediaType::SingularJson { .. }
            | MediaType::ArrayJson { .. }
            | MediaType::Plan(_)
            | MediaType::Other(_) => Self::Arguments,
        }
    }

    /// Whether the body can be the argument of a lone parameter of that type.
    pub fn fits(self, type_name: &str) -> bool {
        match self {
            Self::Arguments => false,
            Self::ArgumentsOrJson => matches!(type_name, "json" | "jsonb"),
            Self::Only(only) => type_name == only,
        }
    }
}

impl From<PlanError> for CallError {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

impl CallError {
    /// No overload takes the arguments.
    pub fn not_found(catalog: &Catalog, name: &QualifiedRoutine, mut arguments: Vec<String>, body: BodyRole) -> Self {
        arguments.sort();
        let overloads = catalog.routines(name);
        let closest = if let BodyRole::Only(_) = body {
            None
        } else if overloads.is_empty() {
            let mut names: Vec<&str> = catalog
                .routines
                .keys()
                .filter(|known| known.schema == name.schema)
                .map(|known| known.name.as_str())
                .collect();
            names.sort_unstable();
            suggest::closest(name.name.as_str(), names, SCORE_NAME).map(|(_, found)| found.to_owned())
        } else {
            let lists: Vec<String> = overloads
                .iter()
                .map(|overload| {
                    let mut names: Vec<&str> =
                        overload.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
                    names.sort_unstable();
                    format!("({})", names.join(", "))
                })
                .collect();
            let given = format!("({})", arguments.join(", "));
            suggest::closest(&given, lists.iter().map(String::as_str), SCORE_LOOSE)
                .map(|(_, found)| format!("{}{found}", name.name))
        };
        Self::NotFound(Box::new(RoutineNotFound { name: name.clone(), arguments, body, closest }))
    }

    pub fn ambiguous<'c>(candidates: impl Iterator<Item = &'c Routine>) -> Self {
        let candidates = candidates
            .map(|routine| {
                let parameters: Vec<String> = routine
                    .parameters
                    .iter()
                    .map(|parameter| format!("{} => {}", parameter.name, parameter.type_name))
                    .collect();
                format!("{}({})", routine.name, parameters.join(", "))
            })
            .collect();
        Self::Ambiguous { candidates }
    }
}

impl ApiError for CallError {
    fn code(&self) -> Code {
        match self {
            Self::Plan(error) => error.code(),
            Self::NotFound(_) => Code::new("PGRST202", 404),
            Self::Ambiguous { .. } => Code::new("PGRST203", 300),
            Self::MaxAffectedWithoutRows => Code::new("PGRST128", 400),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Plan(error) => error.message(),
            Self::NotFound(missing) => {
                let RoutineNotFound { name, arguments, body, .. } = missing.as_ref();
                let given = match body {
                    BodyRole::Only(_) => String::new(),
                    BodyRole::Arguments | BodyRole::ArgumentsOrJson if arguments.is_empty() => {
                        " without parameters".to_owned()
                    }
                    BodyRole::Arguments | BodyRole::ArgumentsOrJson => format!("({})", arguments.join(", ")),
                };
                format!("Could not find the function {name}{given} in the schema cache")
            }
            Self::Ambiguous { candidates } => {
                format!("Could not choose the best candidate function between: {}", candidates.join(", "))
            }
            Self::MaxAffectedWithoutRows => "Function must return SETOF or TABLE when max-affected preference is used \
                                             with handling=strict"
                .to_owned(),
        }
    }

    fn details(&self) -> Option<Details> {
        let missing = match self {
            Self::Plan(error) => return error.details(),
            Self::Ambiguous { .. } | Self::MaxAffectedWithoutRows => return None,
            Self::NotFound(missing) => missing,
        };
        let named = match missing.arguments.as_slice() {
            [] => " without parameters".to_owned(),
            [only] => format!(" with parameter {only}"),
            several => format!(" with parameters {}", several.join(", ")),
        };
        let searched = match missing.body {
            BodyRole::Arguments => named,
            BodyRole::ArgumentsOrJson => format!("{named} or with a single unnamed json/jsonb parameter"),
            BodyRole::Only(type_name) => format!(" with a single unnamed {type_name} parameter"),
        };
        Some(Details::Text(format!(
            "Searched for the function {}{searched}, but no matches were found in the schema cache.",
            missing.name
        )))
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Plan(error) => error.hint(),
            Self::NotFound(missing) => missing
                .closest
                .as_ref()
                .map(|closest| format!("Perhaps you meant to call the function {}.{closest}", missing.name.schema)),
            Self::Ambiguous { .. } => Some(
                "Try renaming the parameters or the function itself in the database so function overloading can be \
                 resolved"
                    .to_owned(),
            ),
            Self::MaxAffectedWithoutRows => None,
        }
    }
}
