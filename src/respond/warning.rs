//! `Warning`: the request leans on something deprecated. Text and agent are PostgREST's: clients log them.

use crate::plan::read::LegacyTarget;

/// Filters that name an aliased embed by its target.
pub fn legacy_names(targets: &[LegacyTarget<'_>]) -> String {
    let changes = changes(targets);
    format!(
        "299 PostgRESTv16.2 \"Embedded resource was referenced by relation name even though it has an alias. This is \
         deprecated and will stop working in a future release. Update {changes} in query string filters, orders or limits.\""
    )
}

/// What to write instead of what, for the header and the log.
pub fn changes(targets: &[LegacyTarget<'_>]) -> String {
    let changes = targets.iter().map(|target| format!("`{}` to `{}`", target.target, target.alias));
    changes.collect::<Vec<_>>().join(", ")
}
