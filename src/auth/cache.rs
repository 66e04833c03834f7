//! Verified tokens of one core: an RS256 signature costs 34 µs, an ES256 one 98 µs, finding the token again none.
//! Owns: the tokens' whole bytes, which are compared in full; a hash alone would let one token pass for another.
//! Invariant: everything in it was verified under `fingerprint`; another fingerprint empties it.
//! Limits: as many entries as configured, tokens of `limits::TOKEN_CACHED_BYTES_MAX`. Out goes what was not used since the hand last
//! came by (CLOCK: second chance in order of age, as in SIEVE, without moving entries).
//! Refused tokens are not remembered: they cost a verification each, but can't push good ones out.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::Identity;
use super::claims::Times;
use crate::limits::TOKEN_CACHED_BYTES_MAX;

/// One core's tokens.
pub struct TokenCache {
    fingerprint: [u8; 32],
    slots: Vec<Slot>,
    by_token: HashMap<Rc<[u8]>, usize, ahash::RandomState>,
    /// The slot to look at next when room is needed.
    hand: usize,
    pub counts: CacheCounts,
}

/// Since the core started.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CacheCounts {
    pub requests: u64,
    pub hits: u64,
    pub evictions: u64,
}

struct Slot {
    token: Rc<[u8]>,
    identity: Arc<Identity>,
    times: Times,
    used: bool,
}

impl TokenCache {
    pub fn new() -> Self {
        let by_token = HashMap::with_hasher(ahash::RandomState::new());
        Self { fingerprint: [0; 32], slots: Vec::new(), by_token, hand: 0, counts: CacheCounts::default() }
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The identity behind a token, if it was verified under these settings. The times are the caller's to check.
    pub(super) fn find(&mut self, token: &[u8], fingerprint: &[u8; 32]) -> Option<(Arc<Identity>, Times)> {
        if self.fingerprint != *fingerprint {
            self.slots.clear();
            self.by_token.clear();
            self.fingerprint = *fingerprint;
        }
        self.counts.requests += 1;
        let slot = self.slots.get_mut(*self.by_token.get(token)?)?;
        self.counts.hits += 1;
        slot.used = true;
        Some((slot.identity.clone(), slot.times))
    }

    /// Takes in a token that `find` did not know, just verified.
    pub(super) fn remember(&mut self, token: &[u8], identity: &Arc<Identity>, times: Times, entries_max: usize) {
        if token.len() > TOKEN_CACHED_BYTES_MAX {
            return;
        }
        while self.slots.len() > entries_max {
            self.forget_last();
        }
        let slot = Slot { token: token.into(), identity: identity.clone(), times, used: false };
        let at = if self.slots.len() < entries_max { self.slots.len() } else { self.make_room() };
        self.by_token.insert(slot.token.clone(), at);
        match self.slots.get_mut(at) {
            Some(old) => *old = slot,
            None => self.slots.push(slot),
        }
    }

    /// Frees the first slot from the hand on that was not used since the last round, at the latest after one round.
    fn make_room(&mut self) -> usize {
        loop {
            let at = if self.hand < self.slots.len() { self.hand } else { 0 };
            self.hand = at + 1;
            match self.slots.get_mut(at) {
                Some(slot) if slot.used => slot.used = false,
                Some(slot) => {
                    self.by_token.remove(&slot.token);
                    self.counts.evictions += 1;
                    return at;
                }
                None => return at,
            }
        }
    }

    fn forget_last(&mut self) {
        if let Some(slot) = self.slots.pop() {
            self.by_token.remove(&slot.token);
            self.counts.evictions += 1;
        }
    }
}

impl Default for TokenCache {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: [u8; 32] = [1; 32];

    fn identity(name: &str) -> Arc<Identity> {
        Arc::new(Identity { role: name.into(), claims_json: String::new() })
    }

    /// Looks a token up and remembers it where it is new. Says whether it was known.
    fn touch(cache: &mut TokenCache, token: &str, entries_max: usize) -> bool {
        let found = cache.find(token.as_bytes(), &HERE);
        if let Some((found, _)) = &found {
            assert_eq!(found.role.as_str(), token);
        } else {
            cache.remember(token.as_bytes(), &identity(token), Times::default(), entries_max);
        }
        found.is_some()
    }

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let mut cache = TokenCache::new();
        for token in ["a", "b", "c"] {
            assert!(!touch(&mut cache, token, 3));
        }
        assert!(touch(&mut cache, "a", 3));
        assert!(!touch(&mut cache, "d", 3), "b goes, a has a second chance");
        assert!(touch(&mut cache, "a", 3) && touch(&mut cache, "c", 3) && touch(&mut cache, "d", 3));
        assert!(!touch(&mut cache, "b", 3));
        assert_eq!(cache.len(), 3);
        assert_eq!(cache.counts, CacheCounts { requests: 9, hits: 4, evictions: 2 });
    }

    #[test]
    fn it_is_bounded_whatever_comes() {
        let mut cache = TokenCache::new();
        for number in 0..10_000u32 {
            touch(&mut cache, &number.to_string(), 100);
            touch(&mut cache, &(number % 7).to_string(), 100);
            assert!(cache.len() <= 100 && cache.by_token.len() == cache.len());
        }
        touch(&mut cache, "shrunk", 10);
        assert_eq!((cache.len(), cache.by_token.len()), (10, 10));
        touch(&mut cache, &"x".repeat(TOKEN_CACHED_BYTES_MAX + 1), 10);
        assert!(!touch(&mut cache, &"x".repeat(TOKEN_CACHED_BYTES_MAX + 1), 10));
    }

    #[test]
    fn other_settings_empty_it() {
        let mut cache = TokenCache::new();
        touch(&mut cache, "a", 3);
        assert!(cache.find(b"a", &HERE).is_some());
        assert!(cache.find(b"a", &[2; 32]).is_none());
        assert!(cache.is_empty());
    }
}
