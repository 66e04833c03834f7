//! What a run's results mean beside the lists: what must pass, what may differ, what is new.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

/// How one case went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    /// With the sentences that say how it differed.
    Failed(Vec<String>),
    /// What it needs is not installed here.
    Skipped,
}

/// One case's result.
pub struct Result {
    pub id: String,
    pub area: String,
    pub outcome: Outcome,
}

/// What the lists say. `all` holds every id of the corpus, whether it ran or not.
pub struct Lists {
    pub all: BTreeSet<String>,
    pub expected: BTreeSet<String>,
    pub differing: BTreeSet<String>,
}

impl Lists {
    /// Mistakes in the lists themselves.
    fn mistakes(&self) -> Vec<String> {
        let mut out = Vec::new();
        for id in self.expected.difference(&self.all) {
            out.push(format!("EXPECTED names {id}, which is no case: take it out (UPDATE_EXPECTED=1 does)"));
        }
        for id in self.differing.difference(&self.all) {
            out.push(format!("DIFFERENCES.md names {id}, which is no case: take it out"));
        }
        for id in self.expected.intersection(&self.differing) {
            out.push(format!("{id} is in EXPECTED and in DIFFERENCES.md: it can be in one only"));
        }
        out
    }
}

#[derive(Default)]
struct Area {
    passed: usize,
    listed: usize,
    total: usize,
}

/// What came out of a run.
#[derive(Default)]
pub struct Verdict {
    areas: BTreeMap<String, Area>,
    pub passed: usize,
    /// Listed cases that failed, and mistakes in the lists.
    pub broken: Vec<(String, Vec<String>)>,
    /// Passing cases that no list names.
    pub new: Vec<String>,
    /// Failing cases that no list names.
    pub not_yet: Vec<(String, Vec<String>)>,
    /// Cases of DIFFERENCES.md that failed, as they should.
    differing: usize,
    /// Cases of DIFFERENCES.md that passed all the same.
    no_longer_differing: Vec<String>,
    skipped: usize,
}

impl Verdict {
    pub fn of(results: Vec<Result>, lists: &Lists) -> Self {
        let mut verdict = Self::default();
        verdict.broken.extend(lists.mistakes().into_iter().map(|mistake| (mistake, Vec::new())));
        for Result { id, area, outcome } in results {
            let (listed, differs) = (lists.expected.contains(&id), lists.differing.contains(&id));
            let area = verdict.areas.entry(area).or_default();
            area.total += 1;
            area.listed += usize::from(listed);
            area.passed += usize::from(outcome == Outcome::Passed);
            match outcome {
                Outcome::Skipped => verdict.skipped += 1,
                Outcome::Passed if differs => verdict.no_longer_differing.push(id),
                Outcome::Failed(_) if differs => verdict.differing += 1,
                Outcome::Passed => {
                    verdict.passed += 1;
                    if !listed {
                        verdict.new.push(id);
                    }
                }
                Outcome::Failed(problems) if listed => verdict.broken.push((id, problems)),
                Outcome::Failed(problems) => verdict.not_yet.push((id, problems)),
            }
        }
        verdict
    }

    /// How many count as failures; a case that passes without being listed does only if `strict`.
    pub fn failures(&self, strict: bool) -> usize {
        self.broken.len() + if strict { self.new.len() } else { 0 }
    }

    /// The list with the new cases added and those that are no cases any more taken out.
    pub fn updated(&self, lists: &Lists) -> BTreeSet<String> {
        let kept = lists.expected.intersection(&lists.all).cloned();
        kept.chain(self.new.iter().cloned()).collect()
    }

    /// Everything a reader wants to know, ending with `N passed, N failed`. `verbose` adds how the cases that need not
    /// pass yet differed.
    pub fn write(&self, out: &mut impl Write, strict: bool, verbose: bool) -> io::Result<()> {
        let not_yet = if verbose { self.not_yet.as_slice() } else { &[] };
        for (word, list) in [("FAIL", self.broken.as_slice()), ("not yet", not_yet)] {
            for (id, problems) in list {
                writeln!(out, "{word} {id}")?;
                problems.iter().try_for_each(|problem| writeln!(out, "    {problem}"))?;
            }
        }
        for id in &self.new {
            writeln!(out, "new: add it to EXPECTED (UPDATE_EXPECTED=1 does): {id}")?;
        }
        for id in &self.no_longer_differing {
            writeln!(out, "no longer differs: take it out of DIFFERENCES.md: {id}")?;
        }
        writeln!(out, "{:<34} {:>7} {:>7} {:>7}", "area", "passed", "listed", "total")?;
        let mut sum = Area::default();
        for (name, area) in &self.areas {
            writeln!(out, "{name:<34} {:>7} {:>7} {:>7}", area.passed, area.listed, area.total)?;
            sum.passed += area.passed;
            sum.listed += area.listed;
            sum.total += area.total;
        }
        writeln!(out, "{:<34} {:>7} {:>7} {:>7}", "all", sum.passed, sum.listed, sum.total)?;
        let (not_yet, new) = (self.not_yet.len(), self.new.len());
        writeln!(
            out,
            "not passing and not listed: {not_yet}; new: {new}; known differences: {}; skipped: {}",
            self.differing, self.skipped
        )?;
        writeln!(out, "{} passed, {} failed", self.passed, self.failures(strict))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(all: &[&str], expected: &[&str], differing: &[&str]) -> Lists {
        let set = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        Lists { all: set(all), expected: set(expected), differing: set(differing) }
    }

    fn check(results: &[(&str, Outcome)], lists: &Lists, strict: bool, failures: usize, lines: &[&str]) -> Verdict {
        let results = results.iter().map(|(id, outcome)| Result {
            id: (*id).to_owned(),
            area: "read/a".to_owned(),
            outcome: outcome.clone(),
        });
        let verdict = Verdict::of(results.collect(), lists);
        let mut out = Vec::new();
        verdict.write(&mut out, strict, false).expect("a report");
        let out = String::from_utf8(out).expect("text");
        assert_eq!(verdict.failures(strict), failures, "{out}");
        for line in lines {
            assert!(out.lines().any(|found| found == *line), "{line:?} is not in:\n{out}");
        }
        verdict
    }

    #[test]
    fn each_outcome_beside_each_list() {
        let failed = || Outcome::Failed(vec!["status: expected 200, got 500".to_owned()]);
        let lists = lists(&["1", "2", "3", "4", "5", "6", "7"], &["1", "2", "7"], &["5", "6"]);
        let results = [
            ("1", Outcome::Passed),
            ("2", failed()),
            ("3", Outcome::Passed),
            ("4", failed()),
            ("5", failed()),
            ("6", Outcome::Passed),
            ("7", Outcome::Skipped),
        ];
        let lines = [
            "FAIL 2",
            "    status: expected 200, got 500",
            "new: add it to EXPECTED (UPDATE_EXPECTED=1 does): 3",
            "no longer differs: take it out of DIFFERENCES.md: 6",
            "read/a                                   3       3       7",
            "not passing and not listed: 1; new: 1; known differences: 1; skipped: 1",
        ];
        check(&results, &lists, false, 1, &[&lines[..], &["2 passed, 1 failed"]].concat());
        let verdict = check(&results, &lists, true, 2, &[&lines[..], &["2 passed, 2 failed"]].concat());
        assert_eq!(verdict.updated(&lists).into_iter().collect::<Vec<_>>(), ["1", "2", "3", "7"]);
    }

    #[test]
    fn mistakes_in_the_lists_fail() {
        check(&[], &lists(&["1"], &["1", "gone"], &["gone too"]), false, 2, &["0 passed, 2 failed"]);
        let both = lists(&["1"], &["1"], &["1"]);
        check(
            &[("1", Outcome::Passed)],
            &both,
            false,
            1,
            &["FAIL 1 is in EXPECTED and in DIFFERENCES.md: it can be in one only"],
        );
        let gone = lists(&["1"], &["1", "gone"], &[]);
        let verdict = check(&[], &gone, false, 1, &[]);
        assert_eq!(verdict.updated(&gone).into_iter().collect::<Vec<_>>(), ["1"]);
    }
}
