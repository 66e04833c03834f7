//! `/live`, `/ready`, `/schema_cache` and `/metrics`, on a port or socket of their own. Any method is answered.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::acceptor::{CoreHandle, CoreMessage};
use super::publish::Publisher;
use super::readiness::Readiness;
use crate::http::{Gone, Reply, Request, Service};
use crate::observe::metric::{CoreSample, ProcessSample, Sampled, exposition};
use crate::observe::{Log, kernel};
use crate::rt::mailbox::mailbox;
use crate::{limits, rt};

/// Answers the admin server's requests.
#[derive(Debug)]
pub struct Admin {
    pub readiness: Arc<Readiness>,
    pub publisher: Arc<Publisher>,
    /// The data cores, once they run.
    pub cores: Arc<OnceLock<Vec<CoreHandle>>>,
    pub log: Log,
}

impl Service for Admin {
    async fn call(&self, request: Request<'_>, reply: &mut Reply) -> Result<(), Gone> {
        let path = request.target.split(|&byte| byte == b'?').next().unwrap_or_default();
        let status = match path {
            b"/live" => self.readiness.live_status(),
            b"/ready" => self.readiness.ready_status(),
            b"/schema_cache" => {
                if let Some(catalog) = &self.publisher.current().catalog {
                    reply.body().extend_from_slice(crate::catalog::dump::dump(catalog).as_bytes());
                }
                200
            }
            b"/metrics" => {
                reply.head.add("Content-Type", b"text/plain; charset=utf-8");
                let page = exposition(&self.process(), &self.scrape().await);
                reply.body().extend_from_slice(page.as_bytes());
                200
            }
            _ => 404,
        };
        reply.head.set_status(status, None);
        Ok(())
    }
}

impl Sampled for Admin {
    fn sample(&self) -> Option<CoreSample> {
        None
    }
}

impl Admin {
    fn process(&self) -> ProcessSample {
        let loads = self.readiness.loads();
        ProcessSample {
            version: env!("CARGO_PKG_VERSION"),
            schema_cache_loads: loads.succeeded,
            schema_cache_failures: loads.failed,
            schema_cache_query_seconds: loads.query_time.as_secs_f64(),
            listener_up: self.readiness.listener_is_up(),
            ready: self.readiness.ready_status() == 200,
            log_lines_dropped: self.log.dropped_count(),
            kernel: kernel::sample(),
        }
    }

    /// Asks every core at once, then waits for each.
    async fn scrape(&self) -> Vec<Option<CoreSample>> {
        let ask = |core: &CoreHandle| {
            let (reply, answer) = mailbox();
            core.messages.send(CoreMessage::Scrape(reply)).ok().map(|()| answer)
        };
        let answers: Vec<_> = self.cores.get().into_iter().flatten().map(ask).collect();
        let mut samples = Vec::with_capacity(answers.len());
        for answer in answers {
            let sample = match answer {
                Some(mut answer) => rt::within(Duration::from_millis(limits::SCRAPE_MS), answer.receive()).await,
                None => Ok(None),
            };
            samples.push(sample.ok().flatten());
        }
        samples
    }
}
