//! Through the real PgBouncer, which hands out sessions by transaction: many identities, nothing of one in another's answer,
//! with and without prepared statements; what is said about options that cannot work there; a pooler that is restarted.
//! Every test is left out, and says so, where PgBouncer isn't installed.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, clippy::unwrap_used)] // A test harness.

#[path = "support/load.rs"]
mod load;
#[path = "support/pgbouncer.rs"]
mod pgbouncer;
#[path = "support/process.rs"]
mod process;
#[path = "isolation/storm.rs"]
mod storm;
#[path = "isolation/world.rs"]
mod world;

use std::io::Write;
use std::thread;
use std::time::Duration;

use load::{Client, Load};
use nix::sys::signal::Signal;
use pgbouncer::PgBouncer;
use process::{Process, get};
use storm::{Mix, Storm, Tally};
use trunkline::server::cluster::Shutdown;
use world::{DATABASE, World};

/// Fewer sessions than Trunkline has connections: each transaction may run on another one.
const TRANSACTION: &str = "pool_mode = transaction\ndefault_pool_size = 3\n";
const PLAIN: &str = "db-prepared-statements = false\ndb-channel-enabled = false\n";
const STORM: Duration = Duration::from_secs(3);
const POOLED: &str = "reached through a connection pooler";
const VANISHING: &str = "Prepared statements keep vanishing";

fn rage(world: &World, process: &Process, mix: Mix) -> Tally {
    let tally = Storm { world, process, seed: 7, mix }.rage(STORM);
    let _ = writeln!(std::io::stdout(), "{tally}");
    assert!(tally.leaks.is_empty(), "{:#?}", tally.leaks);
    assert_eq!(world.foreign_rows(), "0", "rows written under another's name");
    assert!(tally.good * 10 > tally.answers * 8, "most requests succeed: {tally}");
    tally
}

/// Makes a view and waits until it is served, after a reload that `ask` asks for.
fn reloads(world: &World, process: &mut Process, name: &str, ask: impl FnOnce(&Process)) {
    world.sql(&format!("create view api.{name} as select 1 as id; grant select on api.{name} to anon"));
    assert_eq!(get(process.api, &format!("/{name}")).unwrap().status, 404);
    ask(process);
    process.wait_until("reloaded", |process| get(process.api, &format!("/{name}")).is_ok_and(|got| got.status == 200));
}

#[test]
fn without_prepared_statements_and_channel_all_is_well() {
    let world = World::make();
    let Some(bouncer) = PgBouncer::start(&world.cluster, TRANSACTION) else { return };
    for legacy in ["1", "0"] {
        let more = format!("server-threads = 2\ndb-pool = 8\n{PLAIN}");
        let mut process = world.start_at(&bouncer.uri(DATABASE), &more, legacy);
        rage(&world, &process, Mix::Everything);
        let sessions = world.sql("select count(*) from pg_stat_activity where usename = 'authenticator'");
        assert!((1..=3).contains(&sessions.parse::<u32>().unwrap()), "{sessions} sessions: not pooled");
        assert_eq!(world.sql("select count(*) from pg_prepared_statements"), "0");
        reloads(&world, &mut process, &format!("seen_{legacy}"), |process| process.signal(Signal::SIGUSR1));
        let log = process.log();
        assert!(!log.contains("WARNING") && !log.contains("panicked"), "{log}");
    }
}

#[test]
fn reads_that_share_a_connection_to_a_pooler_get_their_own_answers() {
    let world = World::make();
    let Some(bouncer) = PgBouncer::start(&world.cluster, TRANSACTION) else { return };
    for more in [PLAIN, "db-channel-enabled = false\n"] {
        let more = format!("server-threads = 1\ndb-pool = 2\nserver-db-pipeline = 4\nlog-level = \"debug\"\n{more}");
        let process = world.start_at(&bouncer.uri(DATABASE), &more, "0");
        rage(&world, &process, Mix::Sharing);
        assert!(process.log().contains(" is shared by "), "nothing was shared");
    }
}

#[test]
fn prepared_statements_are_never_anothers() {
    let world = World::make();
    let Some(bouncer) = PgBouncer::start(&world.cluster, TRANSACTION) else { return };
    let more = "server-threads = 2\ndb-pool = 8\ndb-channel-enabled = false\n";
    let mut process = world.start_at(&bouncer.uri(DATABASE), more, "0");
    assert!(process.log().contains(POOLED), "{}", process.log());
    rage(&world, &process, Mix::Everything);
    process.wait_until("without prepared statements", |process| process.log().contains(VANISHING));
    rage(&world, &process, Mix::Everything);
    // A reload tries again.
    reloads(&world, &mut process, "seen", |process| process.signal(Signal::SIGUSR1));
}

#[test]
fn no_request_executes_anothers_statement() {
    let world = World::make();
    let Some(bouncer) = PgBouncer::start(&world.cluster, TRANSACTION) else { return };
    drop(each_its_own(&world, &bouncer));
}

#[test]
fn a_pooler_that_keeps_prepared_statements_is_believed() {
    let world = World::make();
    let Some(plain) = PgBouncer::start(&world.cluster, TRANSACTION) else { return };
    if !plain.can_keep_statements() {
        let _ = writeln!(std::io::stdout(), "this PgBouncer has no max_prepared_statements: not tested");
        return;
    }
    let keeping = format!("{TRANSACTION}max_prepared_statements = 1000\n");
    let Some(bouncer) = PgBouncer::start(&world.cluster, &keeping) else { return };
    let process = each_its_own(&world, &bouncer);
    assert!(!process.log().contains(VANISHING), "{}", process.log());
}

const RELATIONS: usize = 10;

/// Ten statements that differ in nothing but their relation, each prepared in another order on each connection.
fn each_its_own(world: &World, bouncer: &PgBouncer) -> Process {
    for number in 0..RELATIONS {
        let made =
            format!("create view api.v{number} as select 1 as id, {number} as own; grant select on api.v{number}");
        world.sql(&format!("{made} to anon"));
    }
    let more = "server-threads = 2\ndb-pool = 8\ndb-channel-enabled = false\n";
    let process = world.start_at(&bouncer.uri(DATABASE), more, "0");
    thread::scope(|scope| {
        for client in 0..8 {
            let mut connection = Client::connect(&process);
            scope.spawn(move || {
                for turn in 0..100 {
                    let number = (turn * 7 + client * 3 + turn / (client + 2)) % RELATIONS;
                    let reply = connection.get(&format!("/v{number}?select=own&id=eq.1")).unwrap();
                    assert_eq!((reply.status, reply.text()), (200, format!("[{{\"own\":{number}}}]")));
                }
            });
        }
    });
    process
}

#[test]
fn a_channel_is_heard_where_sessions_are_pooled_and_warned_of_elsewhere() {
    let world = World::make();
    let Some(session) = PgBouncer::start(&world.cluster, "pool_mode = session\n") else { return };
    let Some(transaction) = PgBouncer::start(&world.cluster, TRANSACTION) else { return };
    let mut process = world.start_at(&session.uri(DATABASE), "db-prepared-statements = false\n", "0");
    reloads(&world, &mut process, "heard", |_| drop(world.sql("notify pgrst")));
    let mut process = world.start_at(&transaction.uri(DATABASE), "db-prepared-statements = false\n", "0");
    assert!(process.log().contains(POOLED), "{}", process.log());
    assert!(process.log().contains("set db-channel-enabled = false"), "{}", process.log());
    reloads(&world, &mut process, "signalled", |process| process.signal(Signal::SIGUSR1));
}

#[test]
fn a_pooler_or_a_database_behind_it_restarted_under_load_is_found_again() {
    let mut world = World::make();
    world.sql("create view api.one as select 1 as id; grant select on api.one to anon");
    let Some(mut bouncer) = PgBouncer::start(&world.cluster, TRANSACTION) else { return };
    let more = format!("server-threads = 2\ndb-pool = 8\n{PLAIN}");
    let mut process = world.start_at(&bouncer.uri(DATABASE), &more, "0");
    let load = Load::start(&process, 8, "/one");
    load.wait_for(200);
    bouncer.restart(|| {
        let before = load.answered();
        // While it is away every request is answered.
        load.wait_for(before + 50);
    });
    let before = load.ok();
    process.wait_until("back", |_| load.ok() > before + 200);
    process.wait_ready();
    world.cluster.restart(Shutdown::Fast).unwrap();
    let before = load.ok();
    process.wait_until("back again", |_| load.ok() > before + 200);
    let outcome = load.stop();
    assert!(outcome.other.is_empty() && outcome.unavailable > 0, "only 200 and 503: {outcome:?}");
}
