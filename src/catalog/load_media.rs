//! Rows → domain representations and media handlers.

use std::collections::HashMap;
use std::sync::Arc;

use super::load::{LoadError, LoadedRows, QueryName};
use super::media_handler::{HandlerKey, HandlerKind, MediaHandler, media_of_domain};
use super::representation::Representation;
use crate::name::{QualifiedName, QualifiedRoutine};

pub fn representations(results: &LoadedRows) -> Result<HashMap<(String, String), Arc<Representation>>, LoadError> {
    let mut representations = HashMap::new();
    for mut row in results.rows(QueryName::Representations)? {
        let source = row.text()?.to_owned();
        let target = row.text()?.to_owned();
        let function = QualifiedRoutine { schema: row.text()?.into(), name: row.text()?.into() };
        let key = (source.clone(), target.clone());
        representations.insert(key, Arc::new(Representation { source, target, function }));
    }
    Ok(representations)
}

pub fn media_handlers(results: &LoadedRows) -> Result<HashMap<HandlerKey, Arc<MediaHandler>>, LoadError> {
    let mut handlers = HashMap::new();
    for mut row in results.rows(QueryName::MediaHandlers)? {
        let kind = match row.text()? {
            "aggregate" => HandlerKind::Aggregate,
            "function" => HandlerKind::Function,
            _ => return Err(row.refuse_last()),
        };
        let routine = QualifiedRoutine { schema: row.text()?.into(), name: row.text()?.into() };
        let relation = match (row.optional()?, row.optional()?) {
            (Some(schema), Some(name)) => Some(QualifiedName::new(schema, name)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(row.refuse_last()),
        };
        let (rendered, sent) = media_of_domain(row.text()?);
        handlers
            .insert(HandlerKey { relation, media: rendered }, Arc::new(MediaHandler { routine, media: sent, kind }));
    }
    Ok(handlers)
}
