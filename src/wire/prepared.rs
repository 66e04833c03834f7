//! Which statements are prepared on one connection.
//! Invariants: a statement counts as prepared once its ParseComplete was read; a name is never used twice, not even on
//! another connection: behind a pooler that hands out sessions by transaction (PgBouncer), another client's statement of
//! the same name would be executed in place of ours. A name that is missing there is an error that is survived.
//! Limits: `limits::PREPARED_PER_CONNECTION` and `PREPARED_BYTES_PER_CONNECTION`; the least recently used is closed beyond
//! either. A text of more than `PREPARED_TEXT_BYTES_MAX` is never kept: strangers choose texts, PostgreSQL keeps their plans.

use std::cell::{Cell, OnceCell};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::rc::Rc;

use super::row::RowDescription;
use crate::limits;

/// One statement on one connection.
#[derive(Debug)]
pub(super) struct Prepared {
    pub name: u64,
    pub text: Rc<str>,
    /// Its ParseComplete was read.
    pub parsed: Cell<bool>,
    /// Which `Sync` of the connection its Parse was sent under: until it is parsed, only the same batch may bind it.
    batch: u64,
    used: Cell<u64>,
    /// What Describe answered; without columns for a statement that returns none.
    pub row: OnceCell<Rc<RowDescription>>,
}

impl Prepared {
    pub fn unnamed() -> Rc<Self> {
        Rc::new(Self::new(0, "", 0))
    }

    fn new(name: u64, text: &str, batch: u64) -> Self {
        let (parsed, used) = (Cell::new(false), Cell::new(0));
        Self { name, text: text.into(), parsed, batch, used, row: OnceCell::new() }
    }
}

/// What `execute` has to do for a text.
pub(super) enum Need {
    /// Bind it.
    Nothing(Rc<Prepared>),
    /// Parse it under this name first; the others are to be closed before.
    Parse { statement: Rc<Prepared>, evicted: Vec<u64> },
    /// Too long to be kept, or its Parse is on the way in an earlier batch and may still fail: go without a name this time.
    Unnamed,
}

#[derive(Debug, Default)]
pub(super) struct PreparedCache {
    by_text: HashMap<Rc<str>, Rc<Prepared>, ahash::RandomState>,
    /// Of the texts in `by_text`.
    text_bytes: usize,
    last_name: u64,
    clock: u64,
    /// Names the server may still know and nobody will use again.
    pub to_close: Vec<u64>,
    pub counts: StatementCounts,
}

/// How often a statement was executed by name, and how often it was prepared already.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct StatementCounts {
    pub requests: u64,
    pub hits: u64,
}

impl PreparedCache {
    /// Names begin at a random number: among a thousand connections with a million names each, the chance
    /// that any two meet is one in ten million.
    pub fn new() -> Self {
        // Its keys come from the operating system.
        let random = RandomState::new().hash_one(0_u8);
        Self { last_name: random >> 1, ..Self::default() }
    }

    pub fn need(&mut self, text: &str, batch: u64) -> Need {
        self.clock += 1;
        self.counts.requests += 1;
        if let Some(statement) = self.by_text.get(text) {
            if !statement.parsed.get() && statement.batch != batch {
                return Need::Unnamed;
            }
            statement.used.set(self.clock);
            self.counts.hits += 1;
            return Need::Nothing(statement.clone());
        }
        if text.len() > limits::PREPARED_TEXT_BYTES_MAX {
            return Need::Unnamed;
        }
        let mut evicted = Vec::new();
        while self.by_text.len() >= limits::PREPARED_PER_CONNECTION
            || self.text_bytes + text.len() > limits::PREPARED_BYTES_PER_CONNECTION
        {
            evicted.extend(self.evict());
        }
        self.last_name += 1;
        let statement = Rc::new(Prepared::new(self.last_name, text, batch));
        statement.used.set(self.clock);
        self.by_text.insert(statement.text.clone(), statement.clone());
        self.text_bytes += text.len();
        Need::Parse { statement, evicted }
    }

    /// The columns of the statement under this text, where it is prepared.
    pub fn columns(&self, text: &str) -> Option<&Rc<RowDescription>> {
        self.by_text.get(text).filter(|statement| statement.parsed.get())?.row.get()
    }

    /// A look at all 512 costs about a microsecond, beside a Parse that costs PostgreSQL fifty.
    fn evict(&mut self) -> Option<u64> {
        let oldest = self.by_text.values().min_by_key(|statement| statement.used.get())?.clone();
        self.remove(&oldest.text).map(|oldest| oldest.name)
    }

    fn remove(&mut self, text: &str) -> Option<Rc<Prepared>> {
        let statement = self.by_text.remove(text)?;
        self.text_bytes -= statement.text.len();
        Some(statement)
    }

    /// The statement under this text is parsed anew when it is next used.
    pub fn forget(&mut self, text: &str) {
        let name = self.remove(text).map(|statement| statement.name);
        self.to_close.extend(name);
    }

    /// The server has dropped them all (DISCARD ALL, DEALLOCATE ALL), or perhaps some: Close never fails.
    pub fn forget_all(&mut self) {
        self.to_close.extend(self.by_text.drain().map(|(_, statement)| statement.name));
        self.text_bytes = 0;
    }

    /// Its Parse failed or was skipped.
    pub fn remove_unparsed(&mut self, statement: &Prepared) {
        if self.by_text.get(&statement.text).is_some_and(|known| known.name == statement.name) {
            self.remove(&statement.text);
        }
    }

    pub fn len(&self) -> usize {
        self.by_text.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_now(cache: &mut PreparedCache, text: &str) -> (u64, Vec<u64>) {
        match cache.need(text, 1) {
            Need::Parse { statement, evicted } => {
                statement.parsed.set(true);
                (statement.name, evicted)
            }
            Need::Nothing(_) | Need::Unnamed => panic!("{text} is prepared"),
        }
    }

    fn name_of(cache: &mut PreparedCache, text: &str) -> Option<u64> {
        match cache.need(text, 1) {
            Need::Nothing(statement) => Some(statement.name),
            Need::Parse { .. } | Need::Unnamed => None,
        }
    }

    #[test]
    fn the_least_recently_used_goes_and_names_are_never_reused() {
        let mut cache = PreparedCache::default();
        for number in 0..limits::PREPARED_PER_CONNECTION {
            assert!(parse_now(&mut cache, &format!("select {number}")).1.is_empty());
        }
        assert_eq!(name_of(&mut cache, "select 0"), Some(1));
        let (name, evicted) = parse_now(&mut cache, "one more");
        assert_eq!(evicted, [2]);
        assert_eq!(name, limits::PREPARED_PER_CONNECTION as u64 + 1);
        assert_eq!(cache.len(), limits::PREPARED_PER_CONNECTION);
        cache.forget("one more");
        assert_eq!(cache.to_close, [name]);
        assert!(parse_now(&mut cache, "one more").0 > name);
        cache.forget_all();
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn texts_take_a_bounded_room_together() {
        let mut cache = PreparedCache::default();
        let long = |number: usize| format!("{}{number:02}", "x".repeat(limits::PREPARED_TEXT_BYTES_MAX - 2));
        let fit = limits::PREPARED_BYTES_PER_CONNECTION / limits::PREPARED_TEXT_BYTES_MAX;
        for number in 1..=fit {
            assert!(parse_now(&mut cache, &long(number)).1.is_empty());
        }
        assert!(matches!(cache.need(&(long(0) + "0"), 1), Need::Unnamed));
        assert_eq!(parse_now(&mut cache, &long(fit + 1)).1, [1]);
        assert_eq!(parse_now(&mut cache, "a short one").1, [2]);
        assert!(parse_now(&mut cache, "another").1.is_empty());
        cache.forget_all();
        assert_eq!(cache.text_bytes, 0);
        assert!(parse_now(&mut cache, &long(1)).1.is_empty());
    }

    #[test]
    fn a_statement_on_the_way_is_bound_in_its_own_batch_only() {
        let mut cache = PreparedCache::default();
        assert!(matches!(cache.need("select 1", 1), Need::Parse { .. }));
        assert!(matches!(cache.need("select 1", 1), Need::Nothing(_)));
        assert!(matches!(cache.need("select 1", 2), Need::Unnamed));
        let Need::Nothing(statement) = cache.need("select 1", 1) else { panic!("on the way") };
        statement.parsed.set(true);
        assert!(matches!(cache.need("select 1", 2), Need::Nothing(_)));
        cache.remove_unparsed(&statement);
        assert!(matches!(cache.need("select 1", 2), Need::Parse { .. }));
    }
}
