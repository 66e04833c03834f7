//! No request sees another's identity, over the real process: many identities on few connections, with errors, cancellations,
//! time-outs, vanishing clients, killed backends and stale statements in between; every answer holds only its own rows.
//! `ISOLATION_SECONDS` makes it long (default 36 in all), `ISOLATION_SEED` repeats a choice of requests.
//! Shown to be able to fail: a policy that shows too much is reported, and the feature `mutant-keep-settings`, which leaves out
//! the reset, turns the expectation round: then a leak must be found.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, clippy::unwrap_used)] // A test harness.

#[path = "isolation/left_behind.rs"]
mod left_behind;
#[path = "support/process.rs"]
mod process;
#[path = "isolation/storm.rs"]
mod storm;
#[path = "isolation/world.rs"]
mod world;

use std::io::Write;
use std::time::Duration;

use storm::{Mix, Storm, Tally};
use trunkline::rt::Driver;
use world::{World, identities};

/// Whether this build leaves out the reset.
const MUTANT: bool = cfg!(feature = "mutant-keep-settings");
const SECONDS: u64 = 36;

fn seconds() -> Duration {
    let asked = std::env::var("ISOLATION_SECONDS").ok().map(|text| text.parse().expect("whole seconds"));
    Duration::from_secs(asked.unwrap_or(SECONDS))
}

fn seed() -> u64 {
    let asked = std::env::var("ISOLATION_SEED").ok().map(|text| text.parse().expect("a number"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    asked.unwrap_or(u64::try_from(now.as_micros() % 1_000_000_007).unwrap()).max(1)
}

fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

#[test]
fn every_answer_holds_only_its_own_rows() {
    let world = World::make();
    let (seed, each) = (seed(), seconds() / 6);
    let mut all = Tally::default();
    // The driver, cores, connections, and how many reads may share one.
    let ways = [("1", 1, 2, 1), ("0", 1, 3, 1), ("1", 2, 4, 1), ("0", 2, 2, 1), ("1", 1, 2, 4), ("0", 1, 1, 3)];
    for (index, (legacy, cores, pool, together)) in ways.into_iter().enumerate() {
        if legacy == "0" && trunkline::rt::driver() == Driver::Epoll {
            say("io_uring is refused on this machine: epoll only");
        }
        let mix = if together > 1 { Mix::Sharing } else { Mix::Everything };
        let level = if together > 1 { "debug" } else { "error" };
        let more = format!(
            "server-threads = {cores}\ndb-pool = {pool}\nserver-db-pipeline = {together}\nlog-level = \"{level}\"\n"
        );
        let process = world.start(&more, legacy);
        let tally = Storm { world: &world, process: &process, seed: seed + index as u64 * 7919, mix }.rage(each);
        let log = process.log();
        let shared = log.matches(" is shared by ").count();
        say(&format!(
            "seed {seed}, legacy driver {legacy}, {cores} cores, pool {pool}, {together} on one, {shared} times: {tally}"
        ));
        assert!(!log.contains("panicked"), "{log}");
        assert_eq!(shared > 0, together > 1, "connections are shared");
        all.add(tally);
    }
    say(&format!("together: {all}"));
    let foreign = world.foreign_rows();
    if MUTANT {
        assert!(!all.leaks.is_empty(), "a build that keeps settings must be found out");
        return;
    }
    assert!(all.leaks.is_empty(), "seed {seed}: {:#?}", all.leaks);
    assert_eq!(foreign, "0", "rows written under another's name, seed {seed}");
    assert!(all.good * 2 > all.answers, "most requests succeed: {all}");
    for (kind, count) in
        [("SQL errors", all.errors), ("time-outs", all.timeouts), ("hang-ups", all.hung_up), ("kills", all.killed)]
    {
        assert!(count > 0, "the storm had no {kind}: {all}");
    }
}

/// The checker is no yes-man: a policy that lets a few foreign rows through is reported.
#[test]
fn a_policy_that_shows_too_much_is_reported() {
    let world = World::make();
    world.sql("create policy hole on api.note for select using (id % 40 = 1)");
    let process = world.start("server-threads = 1\ndb-pool = 2\n", "1");
    let tally =
        Storm { world: &world, process: &process, seed: seed(), mix: Mix::Everything }.rage(Duration::from_secs(2));
    assert!(tally.leaks.iter().any(|leak| leak.contains("foreign")), "{tally}");
}

/// … and so are answers that went to the wrong client, and settings that came from another request.
#[test]
fn swapped_answers_are_reported() {
    let [first, second] = &identities()[..2] else { panic!("two identities") };
    let body = |identity: &world::Identity| format!("[{{\"body\":\"{} 1\"}}]", identity.marker());
    assert_eq!(storm::foreign_marker(&body(first), first), None);
    assert_eq!(storm::foreign_marker(&body(first), second), Some(first.marker()));
    assert_eq!(storm::foreign_marker(&format!("{}{}", body(second), body(first)), second), Some(first.marker()));
}
