//! What planning refuses, in PostgREST's words.

use crate::catalog::{Cardinality, Catalog, Relationship};
use crate::error::suggest::{self, SCORE_LOOSE, SCORE_NAME};
use crate::error::{ApiError, Code, Details};
use crate::name::{ColumnName, QualifiedName, SchemaName};

/// A request that can't be planned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PlanError {
    RelationNotFound {
        schema: String,
        name: String,
        closest: Option<String>,
    },
    ColumnNotFound {
        relation: String,
        column: String,
    },
    NoRelationship(Box<NoRelationship>),
    AmbiguousRelationship {
        origin: String,
        target: String,
        candidates: Vec<Candidate>,
    },
    /// `aliased` where the name is the target of an embed that has this alias.
    NotEmbedded {
        name: String,
        aliased: Option<String>,
    },
    RelatedOrderNotToOne {
        origin: String,
        target: String,
    },
    AggregatesNotAllowed,
    NotImplemented {
        details: &'static str,
    },
    NotAcceptable {
        asked: Vec<String>,
    },
    InvalidPreferences {
        items: Vec<String>,
    },
    /// PUT with other filters than one `eq` for each column of the primary key.
    PutFilters,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoRelationship {
    pub origin: String,
    pub target: String,
    pub hint: Option<String>,
    pub schema: String,
    pub suggestion: Option<Suggestion>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Suggestion {
    pub instead: String,
    pub of: String,
}

/// One of several relationships that fit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    cardinality: &'static str,
    embedding: String,
    relationship: String,
    hint: String,
}

/// Above so many relations in a schema nothing is suggested: the search would cost more than the hint is worth.
const RELATIONS_SEARCHED_MAX: usize = 500;

impl PlanError {
    /// The relation is not in the catalog.
    pub fn relation_not_found(catalog: &Catalog, name: &QualifiedName) -> Self {
        let mut names: Vec<&str> = catalog
            .relations
            .keys()
            .filter(|known| known.schema == name.schema)
            .map(|known| known.name.as_str())
            .collect();
        names.sort_unstable();
        let closest = if names.len() < RELATIONS_SEARCHED_MAX {
            suggest::closest(name.name.as_str(), names, SCORE_NAME)
        } else {
            None
        };
        Self::RelationNotFound {
            schema: name.schema.to_string(),
            name: name.name.to_string(),
            closest: closest.map(|(_, found)| found.to_owned()),
        }
    }

    /// No relationship leads from `origin` to what the embed names.
    pub fn no_relationship(catalog: &Catalog, schema: &str, origin: &str, target: &str, hint: Option<&str>) -> Self {
        Self::NoRelationship(Box::new(NoRelationship {
            origin: origin.to_owned(),
            target: target.to_owned(),
            hint: hint.map(str::to_owned),
            schema: schema.to_owned(),
            suggestion: suggest_embed(catalog, schema, origin, target),
        }))
    }

    /// Several relationships lead from `origin` to what the embed names.
    pub fn ambiguous(origin: &str, target: &str, found: &[&Relationship]) -> Self {
        Self::AmbiguousRelationship {
            origin: origin.to_owned(),
            target: target.to_owned(),
            candidates: found.iter().filter_map(|relationship| candidate(relationship)).collect(),
        }
    }
}

/// Another origin where this one has no relationships, else another target where this one is not among them.
fn suggest_embed(catalog: &Catalog, schema: &str, origin: &str, target: &str) -> Option<Suggestion> {
    let schema = SchemaName::from(schema);
    let within = |relationship: &&std::sync::Arc<Relationship>| *relationship.schema() == schema;
    let key = QualifiedName { schema: schema.clone(), name: origin.into() };
    let mut targets = catalog.relationships_from(&key).iter().filter(within).peekable();
    if targets.peek().is_some() {
        let names: Vec<&str> = targets.map(|found| found.target().name.as_str()).collect();
        let (_, found) = suggest::closest(target, names, SCORE_LOOSE).filter(|(score, _)| *score < 1.0)?;
        return Some(Suggestion { instead: found.to_owned(), of: target.to_owned() });
    }
    let mut origins: Vec<&str> = catalog
        .relationships
        .iter()
        .filter(|(key, found)| key.schema == schema && found.iter().any(|one| within(&one)))
        .map(|(key, _)| key.name.as_str())
        .collect();
    origins.sort_unstable();
    let (_, found) = suggest::closest(origin, origins, SCORE_LOOSE)?;
    Some(Suggestion { instead: found.to_owned(), of: origin.to_owned() })
}

/// Computed relationships override keys and so are never among several.
fn candidate(relationship: &Relationship) -> Option<Candidate> {
    let Relationship::Key(key) = relationship else { return None };
    let (origin, target) = (key.origin.name.as_str(), key.target.name.as_str());
    let by_columns = |constraint: &str, pairs: &[(ColumnName, ColumnName)]| {
        let left = listed(pairs.iter().map(|(own, _)| own));
        let right = listed(pairs.iter().map(|(_, theirs)| theirs));
        format!("{constraint} using {origin}({left}) and {target}({right})")
    };
    let (cardinality, relationship, hint) = match &key.cardinality {
        Cardinality::ManyToOne { constraint, columns } => {
            ("many-to-one", by_columns(constraint.as_str(), columns), constraint.as_str())
        }
        Cardinality::OneToMany { constraint, columns } => {
            ("one-to-many", by_columns(constraint.as_str(), columns), constraint.as_str())
        }
        Cardinality::OneToOne { constraint, columns, .. } => {
            ("one-to-one", by_columns(constraint.as_str(), columns), constraint.as_str())
        }
        Cardinality::ManyToMany(junction) => {
            let name = junction.relation.name.as_str();
            let left = listed(junction.origin_columns.iter().map(|(_, theirs)| theirs));
            let right = listed(junction.target_columns.iter().map(|(_, theirs)| theirs));
            let text = format!(
                "{name} using {}({left}) and {}({right})",
                junction.origin_constraint, junction.target_constraint
            );
            ("many-to-many", text, name)
        }
    };
    Some(Candidate {
        cardinality,
        embedding: format!("{origin} with {target}"),
        relationship,
        hint: format!("'{target}!{hint}'"),
    })
}

fn listed<'n>(names: impl Iterator<Item = &'n ColumnName>) -> String {
    names.map(ColumnName::as_str).collect::<Vec<_>>().join(", ")
}

impl ApiError for PlanError {
    fn code(&self) -> Code {
        match self {
            Self::RelationNotFound { .. } => Code::new("PGRST205", 404),
            Self::ColumnNotFound { .. } => Code::new("PGRST204", 400),
            Self::NoRelationship(_) => Code::new("PGRST200", 400),
            Self::AmbiguousRelationship { .. } => Code::new("PGRST201", 300),
            Self::NotEmbedded { .. } => Code::new("PGRST108", 400),
            Self::RelatedOrderNotToOne { .. } => Code::new("PGRST118", 400),
            Self::AggregatesNotAllowed => Code::new("PGRST123", 400),
            Self::NotImplemented { .. } => Code::new("PGRST127", 400),
            Self::NotAcceptable { .. } => Code::new("PGRST107", 406),
            Self::InvalidPreferences { .. } => Code::new("PGRST122", 400),
            Self::PutFilters => Code::new("PGRST105", 405),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::RelationNotFound { schema, name, .. } => {
                format!("Could not find the table '{schema}.{name}' in the schema cache")
            }
            Self::ColumnNotFound { relation, column } => {
                format!("Could not find the '{column}' column of '{relation}' in the schema cache")
            }
            Self::NoRelationship(missing) => format!(
                "Could not find a relationship between '{}' and '{}' in the schema cache",
                missing.origin, missing.target
            ),
            Self::AmbiguousRelationship { origin, target, .. } => {
                format!("Could not embed because more than one relationship was found for '{origin}' and '{target}'")
            }
            Self::NotEmbedded { name, .. } => {
                format!("'{name}' is not an embedded resource in this request")
            }
            Self::RelatedOrderNotToOne { target, .. } => {
                format!("A related order on '{target}' is not possible")
            }
            Self::AggregatesNotAllowed => "Use of aggregate functions is not allowed".to_owned(),
            Self::NotImplemented { .. } => "Feature not implemented".to_owned(),
            Self::NotAcceptable { asked } => {
                format!("None of these media types are available: {}", asked.join(", "))
            }
            Self::InvalidPreferences { .. } => "Invalid preferences given with handling=strict".to_owned(),
            Self::PutFilters => "Filters must include all and only primary key columns with 'eq' operators".to_owned(),
        }
    }

    fn details(&self) -> Option<Details> {
        match self {
            Self::NoRelationship(missing) => {
                let hint = missing.hint.as_ref().map_or(String::new(), |hint| format!(" using the hint '{hint}'"));
                Some(Details::Text(format!(
                    "Searched for a foreign key relationship between '{}' and '{}'{hint} in the schema '{}', but no matches were found.",
                    missing.origin, missing.target, missing.schema
                )))
            }
            Self::AmbiguousRelationship { candidates, .. } => Some(Details::Json(candidates_json(candidates))),
            Self::NotEmbedded { aliased: Some(_), .. } => {
                Some(Details::Text("Target names are not allowed in filters if they have an alias".to_owned()))
            }
            Self::RelatedOrderNotToOne { origin, target } => Some(Details::Text(format!(
                "'{origin}' and '{target}' do not form a many-to-one or one-to-one relationship"
            ))),
            Self::NotImplemented { details } => Some(Details::Text((*details).to_owned())),
            Self::InvalidPreferences { items } => {
                Some(Details::Text(format!("Invalid preferences: {}", items.join(", "))))
            }
            Self::RelationNotFound { .. }
            | Self::ColumnNotFound { .. }
            | Self::NotEmbedded { aliased: None, .. }
            | Self::AggregatesNotAllowed
            | Self::NotAcceptable { .. }
            | Self::PutFilters => None,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::RelationNotFound { schema, closest, .. } => {
                closest.as_ref().map(|closest| format!("Perhaps you meant the table '{schema}.{closest}'"))
            }
            Self::NoRelationship(missing) => missing.suggestion.as_ref().map(|suggestion| {
                format!("Perhaps you meant '{}' instead of '{}'.", suggestion.instead, suggestion.of)
            }),
            Self::AmbiguousRelationship { target, candidates, .. } => {
                let hints: Vec<&str> = candidates.iter().map(|candidate| candidate.hint.as_str()).collect();
                Some(format!(
                    "Try changing '{target}' to one of the following: {}. Find the desired relationship in the 'details' key.",
                    hints.join(", ")
                ))
            }
            Self::NotEmbedded { name, aliased: None } => {
                Some(format!("Verify that '{name}' is included in the 'select' query parameter."))
            }
            Self::NotEmbedded { name, aliased: Some(alias) } => {
                Some(format!("Change '{name}' to '{alias}' in filters, orders or limits."))
            }
            Self::ColumnNotFound { .. }
            | Self::RelatedOrderNotToOne { .. }
            | Self::AggregatesNotAllowed
            | Self::NotImplemented { .. }
            | Self::NotAcceptable { .. }
            | Self::InvalidPreferences { .. }
            | Self::PutFilters => None,
        }
    }
}

fn candidates_json(candidates: &[Candidate]) -> String {
    let objects: Vec<String> = candidates
        .iter()
        .map(|candidate| {
            format!(
                "{{\"cardinality\":{},\"embedding\":{},\"relationship\":{}}}",
                json_string(candidate.cardinality),
                json_string(&candidate.embedding),
                json_string(&candidate.relationship)
            )
        })
        .collect();
    format!("[{}]", objects.join(","))
}

fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
