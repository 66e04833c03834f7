//! What `/metrics` shows, in Prometheus' text format. A core counts in cells of its own, which nobody else touches; a
//! scrape asks every core for a `CoreSample` by message and adds up here. PostgREST's metrics keep their names, ours begin
//! with `trunkline_`, those of every process with `process_`.
//! Limits: no label holds anything a client sends; there are as many series as cores times a constant.

use std::cell::Cell;
use std::fmt::{Display, Write};
use std::time::Duration;

/// Upper bounds of the latency histogram's buckets, in microseconds; above the last is `+Inf`.
pub const BUCKETS_US: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];
const BUCKETS: usize = BUCKETS_US.len() + 1;
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// One core's own counters.
#[derive(Debug, Default)]
pub struct RequestCounts {
    by_class: [Cell<u64>; CLASSES.len()],
    by_bucket: [Cell<u64>; BUCKETS],
    sum_us: Cell<u64>,
}

impl RequestCounts {
    pub fn count(&self, status: u16, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let class = usize::from(status / 100).saturating_sub(1);
        let bucket = BUCKETS_US.partition_point(|&bound| bound < us);
        for cell in [self.by_class.get(class), self.by_bucket.get(bucket)].into_iter().flatten() {
            cell.set(cell.get() + 1);
        }
        self.sum_us.set(self.sum_us.get().saturating_add(us));
    }

    pub fn sample(&self) -> RequestSample {
        RequestSample {
            by_class: self.by_class.each_ref().map(Cell::get),
            by_bucket: self.by_bucket.each_ref().map(Cell::get),
            sum_us: self.sum_us.get(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RequestSample {
    by_class: [u64; CLASSES.len()],
    by_bucket: [u64; BUCKETS],
    sum_us: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PoolSample {
    /// Idle connections.
    pub available: usize,
    pub waiting: usize,
    pub max: usize,
    pub timeouts: u64,
}

/// How often something was found in a cache.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CacheSample {
    pub requests: u64,
    pub hits: u64,
    pub evictions: u64,
}

/// One core at the time of a scrape.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CoreSample {
    pub requests: RequestSample,
    pub pool: PoolSample,
    pub tokens: CacheSample,
    pub statements: CacheSample,
    pub clients: usize,
}

/// The control plane and the process at the time of a scrape.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ProcessSample {
    pub version: &'static str,
    pub schema_cache_loads: u64,
    pub schema_cache_failures: u64,
    pub schema_cache_query_seconds: f64,
    pub listener_up: bool,
    pub ready: bool,
    pub log_lines_dropped: u64,
    pub kernel: KernelSample,
}

/// What the kernel says about the process; zeros where it says nothing.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct KernelSample {
    pub cpu_seconds: f64,
    pub resident_bytes: f64,
    pub open_descriptors: usize,
    pub max_descriptors: u64,
    pub started_at_seconds: f64,
}

/// Answers a scrape.
pub trait Sampled {
    /// `None` where there is nothing to count.
    fn sample(&self) -> Option<CoreSample>;
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Name, help, and where a core's value is.
type Column<T> = (&'static str, &'static str, fn(&CoreSample) -> T);

/// The text of `/metrics`. `None` stands for a core that did not answer the scrape in time.
pub fn exposition(process: &ProcessSample, cores: &[Option<CoreSample>]) -> String {
    let mut page = Page(String::with_capacity(8 * 1024));
    let up: Vec<CoreSample> = cores.iter().flatten().copied().collect();
    postgrest(&mut page, process, &up);
    ours(&mut page, process, cores, &up);
    kernel(&mut page, &process.kernel);
    page.0
}

fn postgrest(page: &mut Page, process: &ProcessSample, cores: &[CoreSample]) {
    let sum = |field: fn(&CoreSample) -> u64| cores.iter().map(field).sum::<u64>();
    let places = |field: fn(&CoreSample) -> usize| cores.iter().map(field).sum::<usize>();
    page.one(
        "pgrst_schema_cache_query_time_seconds",
        "The query time in seconds of the last schema cache load",
        Kind::Gauge,
        process.schema_cache_query_seconds,
    );
    let name = "pgrst_schema_cache_loads_total";
    page.head(name, "The total number of times the schema cache was loaded", Kind::Counter);
    page.sample(name, &[("status", &"SUCCESS")], process.schema_cache_loads);
    page.sample(name, &[("status", &"FAIL")], process.schema_cache_failures);
    page.one(
        "pgrst_db_pool_timeouts_total",
        "The total number of pool connection timeouts",
        Kind::Counter,
        sum(|core| core.pool.timeouts),
    );
    page.one(
        "pgrst_db_pool_available",
        "Available connections in the pool",
        Kind::Gauge,
        places(|core| core.pool.available),
    );
    page.one(
        "pgrst_db_pool_waiting",
        "Requests waiting to acquire a pool connection",
        Kind::Gauge,
        places(|core| core.pool.waiting),
    );
    page.one("pgrst_db_pool_max", "Max pool connections", Kind::Gauge, places(|core| core.pool.max));
    page.one(
        "pgrst_jwt_cache_requests_total",
        "The total number of JWT cache lookups",
        Kind::Counter,
        sum(|core| core.tokens.requests),
    );
    page.one(
        "pgrst_jwt_cache_hits_total",
        "The total number of JWT cache hits",
        Kind::Counter,
        sum(|core| core.tokens.hits),
    );
    page.one(
        "pgrst_jwt_cache_evictions_total",
        "The total number of JWT cache evictions",
        Kind::Counter,
        sum(|core| core.tokens.evictions),
    );
}

fn ours(page: &mut Page, process: &ProcessSample, cores: &[Option<CoreSample>], up: &[CoreSample]) {
    let name = "trunkline_build_info";
    page.head(name, "Always 1; the version is a label", Kind::Gauge);
    page.sample(name, &[("version", &process.version)], 1);
    page.one("trunkline_ready", "Whether /ready answers 200", Kind::Gauge, u8::from(process.ready));
    page.one(
        "trunkline_listener_up",
        "Whether the connection that listens for reload messages is up",
        Kind::Gauge,
        u8::from(process.listener_up),
    );
    page.one(
        "trunkline_log_lines_dropped_total",
        "Log lines dropped because standard output or error did not take them",
        Kind::Counter,
        process.log_lines_dropped,
    );
    page.per_core("trunkline_core_up", "Whether the core answered this scrape", Kind::Gauge, cores, |core| {
        Some(u64::from(core.is_some()))
    });
    requests(page, cores, up);
    let gauges: [Column<usize>; 4] = [
        ("trunkline_http_connections", "Client connections", |core| core.clients),
        ("trunkline_db_pool_available", "Idle connections to PostgreSQL", |core| core.pool.available),
        ("trunkline_db_pool_waiting", "Requests queued for a connection to PostgreSQL", |core| core.pool.waiting),
        ("trunkline_db_pool_max", "The core's share of db-pool", |core| core.pool.max),
    ];
    for (name, help, field) in gauges {
        page.per_core(name, help, Kind::Gauge, cores, |core| core.map(|core| count(field(core))));
    }
    let counters: [Column<u64>; 4] = [
        ("trunkline_jwt_cache_hits_total", "Tokens found verified", |core| core.tokens.hits),
        ("trunkline_jwt_cache_requests_total", "Tokens looked up", |core| core.tokens.requests),
        ("trunkline_prepared_statement_hits_total", "Statements that were prepared already", |core| {
            core.statements.hits
        }),
        ("trunkline_prepared_statement_requests_total", "Statements executed by name", |core| core.statements.requests),
    ];
    for (name, help, field) in counters {
        page.per_core(name, help, Kind::Counter, cores, |core| core.map(field));
    }
}

fn requests(page: &mut Page, cores: &[Option<CoreSample>], up: &[CoreSample]) {
    let name = "trunkline_http_requests_total";
    page.head(name, "Requests answered, by class of status", Kind::Counter);
    for (number, core) in cores.iter().enumerate() {
        let Some(core) = core else { continue };
        for (class, count) in CLASSES.iter().zip(core.requests.by_class) {
            page.sample(name, &[("core", &number), ("class", class)], count);
        }
    }
    let name = "trunkline_http_request_duration_seconds";
    page.head(name, "Time from a request's arrival to its answer being ready", Kind::Histogram);
    let mut total = 0;
    for (index, bound) in BUCKETS_US.iter().map(|&bound| Some(bound)).chain([None]).enumerate() {
        total += up.iter().filter_map(|core| core.requests.by_bucket.get(index)).sum::<u64>();
        let bound = bound.map_or_else(|| "+Inf".to_owned(), |us| seconds(us).to_string());
        page.sample(&format!("{name}_bucket"), &[("le", &bound)], total);
    }
    page.sample(&format!("{name}_sum"), &[], seconds(up.iter().map(|core| core.requests.sum_us).sum()));
    page.sample(&format!("{name}_count"), &[], total);
}

fn kernel(page: &mut Page, sample: &KernelSample) {
    page.one("process_cpu_seconds_total", "User and system CPU time", Kind::Counter, sample.cpu_seconds);
    page.one("process_resident_memory_bytes", "Resident memory", Kind::Gauge, sample.resident_bytes);
    page.one("process_open_fds", "Open file descriptors", Kind::Gauge, sample.open_descriptors);
    page.one("process_max_fds", "The limit of open file descriptors", Kind::Gauge, sample.max_descriptors);
    page.one(
        "process_start_time_seconds",
        "Start of the process, in seconds since 1970-01-01",
        Kind::Gauge,
        sample.started_at_seconds,
    );
}

fn seconds(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64()
}

fn count(places: usize) -> u64 {
    u64::try_from(places).unwrap_or(u64::MAX)
}

/// The page as far as it is written. Writing to a `String` does not fail.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, help: &str, kind: Kind) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Label values are numbers and words of our own: nothing in them needs escaping.
    fn sample(&mut self, name: &str, labels: &[(&str, &dyn Display)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"{text}\"", if index == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn one(&mut self, name: &str, help: &str, kind: Kind, value: impl Display) {
        self.head(name, help, kind);
        self.sample(name, &[], value);
    }

    fn per_core(
        &mut self,
        name: &str,
        help: &str,
        kind: Kind,
        cores: &[Option<CoreSample>],
        value: impl Fn(Option<&CoreSample>) -> Option<u64>,
    ) {
        self.head(name, help, kind);
        for (number, core) in cores.iter().enumerate() {
            if let Some(value) = value(core.as_ref()) {
                self.sample(name, &[("core", &number)], value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_fall_into_their_class_and_bucket() {
        let counts = RequestCounts::default();
        for (status, us) in [(200, 100), (200, 101), (404, 20_000_000), (503, 0), (42, 1), (999, 1)] {
            counts.count(status, Duration::from_micros(us));
        }
        let sample = counts.sample();
        assert_eq!(sample.by_class, [1, 2, 0, 1, 1]);
        assert_eq!((sample.by_bucket[0], sample.by_bucket[1], sample.by_bucket[16]), (4, 1, 1));
        assert_eq!(sample.sum_us, 20_000_203);
    }

    #[test]
    fn the_page_adds_up_over_cores_and_leaves_out_what_did_not_answer() {
        let counts = RequestCounts::default();
        counts.count(200, Duration::from_micros(300));
        counts.count(500, Duration::from_secs(60));
        let pool = PoolSample { available: 2, waiting: 1, max: 5, timeouts: 3 };
        let core = CoreSample { requests: counts.sample(), pool, clients: 7, ..CoreSample::default() };
        let process = ProcessSample { version: "1.2", schema_cache_loads: 4, ..ProcessSample::default() };
        let page = exposition(&process, &[Some(core), None, Some(core)]);
        for line in [
            "pgrst_schema_cache_loads_total{status=\"SUCCESS\"} 4",
            "pgrst_db_pool_max 10",
            "pgrst_db_pool_available 4",
            "pgrst_db_pool_timeouts_total 6",
            "trunkline_core_up{core=\"1\"} 0",
            "trunkline_http_connections{core=\"2\"} 7",
            "trunkline_http_requests_total{core=\"0\",class=\"5xx\"} 1",
            "trunkline_http_request_duration_seconds_bucket{le=\"0.00025\"} 0",
            "trunkline_http_request_duration_seconds_bucket{le=\"0.0005\"} 2",
            "trunkline_http_request_duration_seconds_bucket{le=\"10\"} 2",
            "trunkline_http_request_duration_seconds_bucket{le=\"+Inf\"} 4",
            "trunkline_http_request_duration_seconds_count 4",
            "# TYPE trunkline_http_request_duration_seconds histogram",
            "trunkline_build_info{version=\"1.2\"} 1",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
        assert!(!page.contains("trunkline_http_connections{core=\"1\"}"));
    }
}
