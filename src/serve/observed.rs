//! What is noted of one request for `Server-Timing` and `log-query`; nothing where neither is asked for.

use std::cell::RefCell;

use super::transaction::Step;
use crate::config::Config;
use crate::observe::timing::{Stage, StageClock};
use crate::observe::{Event, Log};

#[derive(Debug)]
pub struct Observed {
    pub clock: StageClock,
    /// Statements as they were sent.
    queries: Option<RefCell<Vec<String>>>,
}

impl Observed {
    pub fn new(config: &Config) -> Self {
        let clock = if config.server_timing_enabled { StageClock::start() } else { StageClock::off() };
        Self { clock, queries: config.log_query.then(RefCell::default) }
    }

    /// Planning is over, the statements are about to be sent.
    pub fn begin_transaction(&self, steps: &[Step<'_>]) {
        self.clock.mark(Stage::Plan);
        if let Some(queries) = &self.queries {
            queries.borrow_mut().extend(steps.iter().map(|step| step.text.to_owned()));
        }
    }

    pub fn write_queries(self, log: &Log) {
        for sql in self.queries.into_iter().flat_map(RefCell::into_inner) {
            log.event(&Event::QueryRun { sql });
        }
    }
}
