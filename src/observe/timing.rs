//! How long each stage of one request took, for `Server-Timing` (`server-timing-enabled`). Off, it costs one branch a mark.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// PostgREST's stages, in the order in which the header names them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Who asks.
    Jwt,
    /// What is asked.
    Parse,
    /// Names resolved, statements written.
    Plan,
    /// Waiting for a connection and for PostgreSQL.
    Transaction,
    /// Status and headers.
    Response,
}

const NAMES: [&str; 5] = ["jwt", "parse", "plan", "transaction", "response"];

/// Runs from the request's beginning; a mark gives the time since the last mark to a stage.
#[derive(Debug)]
pub struct StageClock(Option<Running>);

#[derive(Debug)]
struct Running {
    last: Cell<Instant>,
    spent: [Cell<Duration>; 5],
}

impl StageClock {
    pub fn start() -> Self {
        let spent = std::array::from_fn(|_| Cell::new(Duration::ZERO));
        Self(Some(Running { last: Cell::new(Instant::now()), spent }))
    }

    /// Marks cost nothing and there is no header.
    pub fn off() -> Self {
        Self(None)
    }

    /// The stage that has just ended. One that ends more than once (a statement that is asked again) adds up.
    pub fn mark(&self, stage: Stage) {
        let Some(running) = &self.0 else { return };
        let now = Instant::now();
        let spent = running.spent.get(stage as usize);
        if let Some(spent) = spent {
            spent.set(spent.get() + now.duration_since(running.last.get()));
        }
        running.last.set(now);
    }

    /// The header's value, in milliseconds; `None` where the clock is off.
    pub fn header(&self) -> Option<String> {
        let running = self.0.as_ref()?;
        let stages = NAMES.iter().zip(&running.spent);
        let parts = stages.map(|(name, spent)| format!("{name};dur={:.1}", spent.get().as_secs_f64() * 1000.0));
        Some(parts.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_to_the_stage_that_ended() {
        let clock = StageClock::start();
        let running = clock.0.as_ref().unwrap();
        running.last.set(Instant::now() - Duration::from_millis(250));
        clock.mark(Stage::Parse);
        running.last.set(Instant::now() - Duration::from_millis(40));
        clock.mark(Stage::Transaction);
        running.last.set(Instant::now() - Duration::from_millis(60));
        clock.mark(Stage::Transaction);
        let header = clock.header().unwrap();
        let stages: Vec<_> = header.split(", ").collect();
        assert_eq!((stages.len(), stages[0], stages[4]), (5, "jwt;dur=0.0", "response;dur=0.0"));
        let milliseconds = |stage: &str, name: &str| -> f64 { stage.strip_prefix(name).unwrap().parse().unwrap() };
        assert!((250.0..350.0).contains(&milliseconds(stages[1], "parse;dur=")), "{header}");
        assert!((100.0..200.0).contains(&milliseconds(stages[3], "transaction;dur=")), "{header}");
    }

    #[test]
    fn off_there_is_no_header() {
        let clock = StageClock::off();
        clock.mark(Stage::Jwt);
        assert_eq!(clock.header(), None);
    }
}
