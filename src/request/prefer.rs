//! `Prefer`: every preference an enum; the unknown ones kept for `handling=strict`.
//! Several headers or one comma list; the first occurrence of a preference wins.

use std::borrow::Cow;

use super::refusal::RequestError;
use crate::http::Headers;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Preferences<'r> {
    pub resolution: Option<Resolution>,
    pub representation: Option<Return>,
    pub count: Option<CountMode>,
    pub transaction: Option<TransactionEnd>,
    pub missing: Option<Missing>,
    pub handling: Option<Handling>,
    pub timezone: Option<Cow<'r, str>>,
    pub max_affected: Option<i64>,
    /// Items that are no known preference, as written.
    pub invalid: Vec<Cow<'r, str>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resolution {
    MergeDuplicates,
    IgnoreDuplicates,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Return {
    Minimal,
    HeadersOnly,
    Representation,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CountMode {
    Exact,
    Planned,
    Estimated,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransactionEnd {
    Commit,
    Rollback,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missing {
    Default,
    Null,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Handling {
    Strict,
    Lenient,
}

impl<'r> Preferences<'r> {
    /// Reads every `Prefer` header; `tx` counts only where the configuration lets clients override the transaction's end.
    pub fn parse(headers: &Headers<'r>, tx_override: TxOverride) -> Self {
        let mut found = Self::default();
        let (mut zone_seen, mut affected_seen) = (false, false);
        for value in headers.all("prefer") {
            for item in value.split(|&byte| byte == b',') {
                let item = item.trim_ascii();
                if let Some(zone) = item.strip_prefix(b"timezone=") {
                    if !zone_seen {
                        found.timezone = Some(String::from_utf8_lossy(zone));
                    }
                    zone_seen = true;
                } else if let Some(rows) = item.strip_prefix(b"max-affected=") {
                    if !affected_seen {
                        let digits =
                            std::str::from_utf8(rows).ok().map(str::trim).filter(|text| !text.starts_with('+'));
                        found.max_affected = digits.and_then(|text| text.parse().ok());
                    }
                    affected_seen = true;
                } else if !found.note(item, tx_override) {
                    found.invalid.push(String::from_utf8_lossy(item));
                }
            }
        }
        found
    }

    /// The refusal that `handling=strict` asks for. PostgREST gives it after names were resolved and media types agreed.
    pub fn strictly_refused(&self) -> Option<RequestError> {
        let refused = self.handling == Some(Handling::Strict) && !self.invalid.is_empty();
        refused
            .then(|| RequestError::Preferences { invalid: self.invalid.iter().map(|item| item.to_string()).collect() })
    }

    /// Takes a known preference, the first of its kind; false for anything else.
    fn note(&mut self, item: &[u8], tx_override: TxOverride) -> bool {
        match item {
            b"resolution=merge-duplicates" => first(&mut self.resolution, Resolution::MergeDuplicates),
            b"resolution=ignore-duplicates" => first(&mut self.resolution, Resolution::IgnoreDuplicates),
            b"return=representation" => first(&mut self.representation, Return::Representation),
            b"return=minimal" => first(&mut self.representation, Return::Minimal),
            b"return=headers-only" => first(&mut self.representation, Return::HeadersOnly),
            b"count=exact" => first(&mut self.count, CountMode::Exact),
            b"count=planned" => first(&mut self.count, CountMode::Planned),
            b"count=estimated" => first(&mut self.count, CountMode::Estimated),
            b"missing=default" => first(&mut self.missing, Missing::Default),
            b"missing=null" => first(&mut self.missing, Missing::Null),
            b"handling=strict" => first(&mut self.handling, Handling::Strict),
            b"handling=lenient" => first(&mut self.handling, Handling::Lenient),
            b"tx=commit" => self.note_transaction(TransactionEnd::Commit, tx_override),
            b"tx=rollback" => self.note_transaction(TransactionEnd::Rollback, tx_override),
            _ => return false,
        }
        true
    }

    fn note_transaction(&mut self, end: TransactionEnd, tx_override: TxOverride) {
        match tx_override {
            TxOverride::Allowed => first(&mut self.transaction, end),
            TxOverride::Denied => {}
        }
    }
}

/// Whether `Prefer: tx=` may decide how the transaction ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TxOverride {
    Allowed,
    Denied,
}

fn first<T>(place: &mut Option<T>, value: T) {
    place.get_or_insert(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<'r>(values: &[&'r str]) -> Preferences<'r> {
        let mut headers = Headers::default();
        headers.fields.extend(values.iter().map(|value| ("prefer", value.as_bytes())));
        Preferences::parse(&headers, TxOverride::Allowed)
    }

    #[test]
    fn the_first_of_a_kind_counts() {
        let found = parse(&["count=exact,    tx=commit   ,tx=rollback", "count=planned, anything", "max-affected=7"]);
        assert_eq!(found.count, Some(CountMode::Exact));
        assert_eq!(found.transaction, Some(TransactionEnd::Commit));
        assert_eq!(found.max_affected, Some(7));
        assert_eq!(found.invalid, ["anything"]);
        assert_eq!(found.strictly_refused(), None);
    }

    #[test]
    fn strict_handling_lists_the_unknown() {
        let found = parse(&["handling=strict, return=never, max-affected=x, timezone=Mars", "zz"]);
        assert_eq!(found.timezone.as_deref(), Some("Mars"));
        assert_eq!(found.max_affected, None);
        let invalid = vec!["return=never".to_owned(), "zz".to_owned()];
        assert_eq!(found.strictly_refused(), Some(RequestError::Preferences { invalid }));
    }

    #[test]
    fn the_transaction_is_the_configurations_to_give() {
        let mut headers = Headers::default();
        headers.fields.push(("Prefer", b"tx=rollback"));
        let found = Preferences::parse(&headers, TxOverride::Denied);
        assert_eq!((found.transaction, found.invalid.len()), (None, 0));
    }
}
