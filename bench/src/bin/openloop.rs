//! Sends requests at a given rate whether or not the answers keep up, and prints how long the answers took.
//!
//!     openloop PORT REQUESTS_PER_SECOND SECONDS CONNECTIONS FILE N_MAX
//!
//! FILE holds whole HTTP requests, separated by NUL bytes; `{n}` in them becomes a random number from 1 to N_MAX.
//! Arrivals are random (exponential gaps), each connection's independent of the others'. A request that is due while
//! its connection still waits for an answer counts from when it was due, so a server's pause is seen by all whom it
//! would have hit. The generator's own lateness is not counted.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, rate, seconds, connections, file, n_max] = arguments.as_slice() else {
        return Err(refused("usage: openloop PORT REQUESTS_PER_SECOND SECONDS CONNECTIONS FILE N_MAX"));
    };
    let (port, rate, seconds): (u16, f64, f64) = (number(port)?, number(rate)?, number(seconds)?);
    let (connections, n_max): (u32, u64) = (number(connections)?, number(n_max)?);
    let text = std::fs::read_to_string(file)?;
    let requests: Vec<&str> = text.split('\0').collect();
    let mean_gap = f64::from(connections) / rate;
    let started = Instant::now();
    let end = started + Duration::from_secs_f64(seconds);
    let results: Vec<io::Result<Seen>> = std::thread::scope(|scope| {
        let start = |index: u32| {
            let random = Random((u64::from(index) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let requests = &requests;
            scope.spawn(move || Client { random, mean_gap, n_max, requests }.run(port, end))
        };
        let threads: Vec<_> = (0..connections).map(start).collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| refused("a client died"))?).collect()
    });
    let mut all = Seen::default();
    for seen in results {
        let seen = seen?;
        all.latencies_us.extend(seen.latencies_us);
        all.errors += seen.errors;
    }
    report(all, rate, started.elapsed());
    Ok(())
}

fn report(mut seen: Seen, rate: f64, elapsed: Duration) {
    seen.latencies_us.sort_unstable();
    let at = |share: f64| {
        let index = (seen.latencies_us.len() as f64 * share) as usize;
        f64::from(seen.latencies_us.get(index).copied().unwrap_or_default()) / 1000.0
    };
    println!(
        r#"{{"asked_per_second":{rate:.1},"requests_per_second":{:.1},"p50_ms":{},"p90_ms":{},"p99_ms":{},"p999_ms":{},"errors":{}}}"#,
        seen.latencies_us.len() as f64 / elapsed.as_secs_f64(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        seen.errors
    );
}

#[derive(Default)]
struct Seen {
    latencies_us: Vec<u32>,
    errors: u64,
}

/// One connection's arrivals.
struct Client<'r> {
    random: Random,
    mean_gap: f64,
    n_max: u64,
    requests: &'r [&'r str],
}

impl Client<'_> {
    fn run(mut self, port: u16, end: Instant) -> io::Result<Seen> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut answer = Vec::with_capacity(1 << 16);
        let mut seen = Seen::default();
        let mut due = Instant::now();
        loop {
            due += Duration::from_secs_f64(-self.random.unit().ln() * self.mean_gap);
            if due >= end {
                return Ok(seen);
            }
            let request = self.request();
            let ahead = due.saturating_duration_since(Instant::now());
            // Awake late from a sleep is our fault; late because of the answer before is the server's.
            let since = if ahead.is_zero() { due } else { sleep_until(due, ahead) };
            stream.write_all(request.as_bytes())?;
            if read_answer(&mut stream, &mut answer)? >= 400 {
                seen.errors += 1;
            }
            seen.latencies_us.push(u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
    }

    fn request(&mut self) -> String {
        let count = self.requests.len() as u64;
        let picked = usize::try_from(self.random.next() % count.max(1)).unwrap_or_default();
        let number = self.random.next() % self.n_max.max(1) + 1;
        self.requests.get(picked).copied().unwrap_or_default().replacen("{n}", &number.to_string(), 1)
    }
}

fn sleep_until(due: Instant, ahead: Duration) -> Instant {
    std::thread::sleep(ahead);
    Instant::now().max(due)
}

/// Reads one answer and gives its status.
fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>) -> io::Result<u16> {
    answer.clear();
    let mut piece = [0; 1 << 16];
    loop {
        let len = stream.read(&mut piece)?;
        if len == 0 {
            return Err(refused("the server closed the connection"));
        }
        answer.extend_from_slice(piece.get(..len).unwrap_or_default());
        if let Some(status) = complete(answer) {
            return Ok(status);
        }
    }
}

/// The status, once the whole answer is there.
fn complete(answer: &[u8]) -> Option<u16> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let (head, body) = answer.split_at_checked(end)?;
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let header = |name: &str| Some(head.split_once(name)?.1.split("\r\n").next()?.trim());
    let whole = if header("\r\ntransfer-encoding:").is_some() {
        body.ends_with(b"0\r\n\r\n")
    } else {
        body.len() >= header("\r\ncontent-length:").map_or(Some(0), |len| len.parse().ok())?
    };
    whole.then_some(status)
}

/// xorshift64: good enough to pick rows and gaps.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// In (0, 1].
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 1.0) / (1u64 << 53) as f64
    }
}

fn number<T: std::str::FromStr>(text: &str) -> io::Result<T> {
    text.parse().map_err(|_| refused(&format!("{text} is not a number")))
}

fn refused(message: &str) -> io::Error {
    io::Error::other(message)
}
