//! "Perhaps you meant …": the candidate closest to a name that was not found. Cold path only.
//! Scores are those of the Haskell package `fuzzyset` with its defaults, because clients see which hint they lead to:
//! candidates share a gram with the name, the best by cosine similarity go on, and their edit distance decides.
//! Limits: `NAME_CHARS_MAX`, `FINALISTS_MAX`, `CANDIDATES_MAX`; past the first and the last there is no suggestion.

use std::cmp::Ordering;
use std::collections::HashMap;

/// Score that a table or routine must reach.
pub const SCORE_NAME: f64 = 0.75;
/// Score that the target of an embed or a list of parameters must reach.
pub const SCORE_LOOSE: f64 = 0.33;

/// Longer names than PostgreSQL's 63 bytes match nothing; lists of parameters may be longer than names.
const NAME_CHARS_MAX: usize = 512;
const CANDIDATES_MAX: usize = 2_000;
/// So many candidates, the best by cosine similarity, have their edit distance computed.
const FINALISTS_MAX: usize = 50;
/// Tried in this order; the first size with any match decides.
const GRAM_SIZES: [usize; 2] = [3, 2];

/// The best candidate and its score. Equal but for case scores 1.
pub fn closest<'c>(
    name: &str,
    candidates: impl IntoIterator<Item = &'c str>,
    score_min: f64,
) -> Option<(f64, &'c str)> {
    let name = name.to_lowercase();
    let mut seen: HashMap<String, &'c str, ahash::RandomState> = HashMap::default();
    let mut keys: Vec<String> = Vec::new();
    for candidate in candidates {
        let key = candidate.to_lowercase();
        if seen.insert(key.clone(), candidate).is_none() {
            keys.push(key);
        }
    }
    if let Some(&candidate) = seen.get(&name) {
        return Some((1.0, candidate));
    }
    if name.chars().count() > NAME_CHARS_MAX || keys.len() > CANDIDATES_MAX {
        return None;
    }
    let (score, key) = GRAM_SIZES.into_iter().find_map(|size| best_with_grams(&name, &keys, size, score_min))?;
    seen.get(key).map(|&candidate| (score, candidate))
}

fn best_with_grams<'k>(name: &str, keys: &'k [String], size: usize, score_min: f64) -> Option<(f64, &'k String)> {
    let wanted = Grams::of(name, size);
    let chars = name.chars().count();
    // So few are all finalists: whose length alone keeps it from the score needs no comparison.
    let may_win = |key: &&String| {
        keys.len() > FINALISTS_MAX || {
            let other = key.chars().count();
            score_of(chars.abs_diff(other), chars.max(other)) >= score_min
        }
    };
    let mut finalists: Vec<(f64, &String)> = keys
        .iter()
        .filter(may_win)
        .map(|key| (wanted.cosine(&Grams::of(key, size)), key))
        .filter(|(score, _)| *score > 0.0)
        .collect();
    finalists.sort_by(|(left, _), (right, _)| right.total_cmp(left));
    let mut best: Option<(f64, &String)> = None;
    for (_, key) in finalists.into_iter().take(FINALISTS_MAX) {
        let score = similarity(name, key);
        if score >= score_min && best.is_none_or(|(highest, _)| score > highest) {
            best = Some((score, key));
        }
    }
    best
}

/// Substrings of two or three characters of the word characters between two hyphens, sorted, each with how often it is
/// there. A client that asks for what isn't there pays this for every relation, so nothing is hashed or allocated apart.
struct Grams(Vec<([char; 3], u32)>);

impl Grams {
    fn of(text: &str, size: usize) -> Self {
        let word = std::iter::once('-')
            .chain(text.chars().filter(|c| c.is_alphanumeric() || c.is_whitespace() || *c == ','))
            .chain(std::iter::once('-'));
        let mut grams = Vec::with_capacity(text.len() + 2);
        let mut latest = ['\0'; 3];
        for (index, c) in word.enumerate() {
            let [_, before, last] = latest;
            // Of a gram of two the first place stays empty.
            latest = [if size == 2 { '\0' } else { before }, last, c];
            if index + 1 >= size {
                grams.push((latest, 1));
            }
        }
        grams.sort_unstable();
        grams.dedup_by(|again, first| {
            let same = again.0 == first.0;
            first.1 += u32::from(same);
            same
        });
        Self(grams)
    }

    fn cosine(&self, other: &Self) -> f64 {
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut dot = 0;
        while let (Some((gram, count)), Some((other, times))) = (left.peek(), right.peek()) {
            match gram.cmp(other) {
                Ordering::Less => drop(left.next()),
                Ordering::Greater => drop(right.next()),
                Ordering::Equal => {
                    dot += count * times;
                    left.next();
                    right.next();
                }
            }
        }
        f64::from(dot) / (self.magnitude() * other.magnitude())
    }

    fn magnitude(&self) -> f64 {
        f64::from(self.0.iter().map(|(_, count)| count * count).sum::<u32>()).sqrt()
    }
}

/// 1 − edit distance ÷ length of the longer one.
fn similarity(left: &str, right: &str) -> f64 {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let longer = left.len().max(right.len());
    if longer == 0 {
        return 1.0;
    }
    let mut row: Vec<u32> = (0..).take(right.len() + 1).collect();
    for (above, a) in (0u32..).zip(&left) {
        let mut diagonal = above;
        let mut before = above + 1;
        for (index, b) in right.iter().enumerate() {
            let Some(over) = row.get(index + 1).copied() else { break };
            let changed = diagonal + u32::from(a != b);
            let cost = changed.min(over + 1).min(before + 1);
            if let Some(slot) = row.get_mut(index) {
                *slot = before;
            }
            before = cost;
            diagonal = over;
        }
        if let Some(last) = row.last_mut() {
            *last = before;
        }
    }
    let distance = row.last().copied().unwrap_or(0);
    score_of(usize::try_from(distance).unwrap_or(usize::MAX), longer)
}

fn score_of(distance: usize, longer: usize) -> f64 {
    let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    1.0 - number(distance) / number(longer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: &[&str] = &[
        "ports",
        "operators",
        "vessels",
        "vessel_cards",
        "crew_assignments",
        "Cargo Hatches",
        "Fähren",
        "routes",
        "voyages",
        "black_boxes",
        "drills",
    ];

    fn check(name: &str, score_min: f64, expect: Option<&str>) {
        let found = closest(name, TABLES.iter().copied(), score_min).map(|(_, found)| found);
        assert_eq!(found, expect, "{name}");
    }

    #[test]
    fn length_alone_rules_out_no_candidate_that_reaches_the_score() {
        assert_eq!(closest("abc", ["abcd"], SCORE_NAME), Some((0.75, "abcd")));
        assert_eq!(closest("abcd", ["abc"], SCORE_NAME), Some((0.75, "abc")));
        assert_eq!(closest("ab", ["abc"], SCORE_NAME), None);
        // With more candidates than finalists lengths aren't looked at: the answer is the same.
        let many: Vec<String> = (0..=FINALISTS_MAX).map(|number| format!("zzz{number}")).collect();
        let many = many.iter().map(String::as_str).chain(["abcd"]);
        assert_eq!(closest("abc", many, SCORE_NAME), Some((0.75, "abcd")));
    }

    #[test]
    fn tables() {
        check("vesels", SCORE_NAME, Some("vessels"));
        check("vessel_card", SCORE_NAME, Some("vessel_cards"));
        check("crewassignments", SCORE_NAME, Some("crew_assignments"));
        check("cargo hatches", SCORE_NAME, Some("Cargo Hatches"));
        check("\"Cargo Hatches\"", SCORE_NAME, Some("Cargo Hatches"));
        check("F\u{fffd}hren", SCORE_NAME, Some("Fähren"));
        check("Fa\u{308}hren", SCORE_NAME, None);
        check("nowhere", SCORE_NAME, None);
        check("zzzzqqq", SCORE_NAME, None);
        check("", SCORE_NAME, None);
        check(&"x".repeat(2000), SCORE_NAME, None);
    }

    #[test]
    fn embeds() {
        check("home_port_id", SCORE_LOOSE, Some("ports"));
        check("parties", SCORE_LOOSE, Some("routes"));
        check("skills", SCORE_LOOSE, Some("drills"));
        check("Ports", SCORE_LOOSE, Some("ports"));
    }

    #[test]
    fn edit_distance() {
        for (left, right, distance) in [
            ("kitten", "sitting", 3.0),
            ("", "abc", 3.0),
            ("abc", "abc", 0.0),
            ("ab", "ba", 2.0),
            ("flaw", "lawn", 2.0),
        ] {
            let longer = left.len().max(right.len()) as f64;
            assert!((similarity(left, right) - (1.0 - distance / longer)).abs() < 1e-9, "{left} {right}");
        }
    }
}
