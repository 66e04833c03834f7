//! `Preference-Applied`: the preferences that were honoured, in PostgREST's fixed order.

use crate::request::prefer::{CountMode, Handling, Missing, Preferences, Resolution, Return, TransactionEnd};

/// Which preferences the action honours; the others are left out of the header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Honoured {
    pub resolution: bool,
    pub representation: bool,
    pub missing: bool,
    pub max_affected: bool,
    /// `db-tx-end` allows the override.
    pub transaction: bool,
}

/// Appends the header's value; nothing where nothing applies.
pub fn write_applied(out: &mut Vec<u8>, preferences: &Preferences<'_>, honoured: Honoured) {
    let mut items = Items { out, any: false };
    if honoured.resolution {
        match preferences.resolution {
            Some(Resolution::MergeDuplicates) => items.add("resolution=", "merge-duplicates"),
            Some(Resolution::IgnoreDuplicates) => items.add("resolution=", "ignore-duplicates"),
            None => {}
        }
    }
    if honoured.missing {
        match preferences.missing {
            Some(Missing::Default) => items.add("missing=", "default"),
            Some(Missing::Null) => items.add("missing=", "null"),
            None => {}
        }
    }
    if honoured.representation {
        match preferences.representation {
            Some(Return::Minimal) => items.add("return=", "minimal"),
            Some(Return::HeadersOnly) => items.add("return=", "headers-only"),
            Some(Return::Representation) => items.add("return=", "representation"),
            None => {}
        }
    }
    match preferences.count {
        Some(CountMode::Exact) => items.add("count=", "exact"),
        Some(CountMode::Planned) => items.add("count=", "planned"),
        Some(CountMode::Estimated) => items.add("count=", "estimated"),
        None => {}
    }
    if honoured.transaction {
        match preferences.transaction {
            Some(TransactionEnd::Commit) => items.add("tx=", "commit"),
            Some(TransactionEnd::Rollback) => items.add("tx=", "rollback"),
            None => {}
        }
    }
    match preferences.handling {
        Some(Handling::Strict) => items.add("handling=", "strict"),
        Some(Handling::Lenient) => items.add("handling=", "lenient"),
        None => {}
    }
    if let Some(zone) = &preferences.timezone {
        items.add("timezone=", zone);
    }
    if honoured.max_affected
        && preferences.handling == Some(Handling::Strict)
        && let Some(max) = preferences.max_affected
    {
        items.add("max-affected=", &max.to_string());
    }
}

struct Items<'o> {
    out: &'o mut Vec<u8>,
    any: bool,
}

impl Items<'_> {
    fn add(&mut self, name: &str, value: &str) {
        if self.any {
            self.out.extend_from_slice(b", ");
        }
        self.any = true;
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(value.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_honoured_in_fixed_order() {
        let preferences = Preferences {
            timezone: Some("UTC".into()),
            count: Some(CountMode::Exact),
            representation: Some(Return::Minimal),
            handling: Some(Handling::Strict),
            max_affected: Some(3),
            ..Preferences::default()
        };
        let applied = |honoured| {
            let mut out = Vec::new();
            write_applied(&mut out, &preferences, honoured);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(applied(Honoured::default()), "count=exact, handling=strict, timezone=UTC");
        assert_eq!(
            applied(Honoured { representation: true, max_affected: true, ..Honoured::default() }),
            "return=minimal, count=exact, handling=strict, timezone=UTC, max-affected=3"
        );
    }
}
