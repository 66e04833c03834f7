//! Clients that ask over keep-alive connections, one after the other or many at once, while the test does something to what
//! is behind the server.
#![allow(dead_code)] // Shared: no test binary needs all of it.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Process, Reply, read_reply};

const PATIENCE: Duration = Duration::from_secs(20);

/// A connection that stays: one request after the other.
pub struct Client(pub BufReader<TcpStream>);

impl Client {
    pub fn connect(process: &Process) -> Self {
        Self::connect_to(process.api).unwrap()
    }

    pub fn connect_to(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    pub fn send(&mut self, path: &str) -> std::io::Result<()> {
        write!(self.0.get_mut(), "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
    }

    pub fn get(&mut self, path: &str) -> std::io::Result<Reply> {
        self.send(path)?;
        read_reply(&mut self.0)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub ok: u64,
    pub unavailable: u64,
    /// Neither 200 nor 503: what, and how often.
    pub other: BTreeMap<String, u64>,
}

/// Clients that ask for one path over and over, until they are told to stop.
pub struct Load {
    stop: Arc<AtomicBool>,
    ok: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
    clients: Vec<thread::JoinHandle<Outcome>>,
}

impl Load {
    pub fn start(process: &Process, count: usize, path: &'static str) -> Self {
        let (stop, ok, answered) = (Arc::default(), Arc::default(), Arc::default());
        let clients = (0..count).map(|_| {
            let client = Client::connect(process);
            let (stop, ok, answered) = (Arc::clone(&stop), Arc::clone(&ok), Arc::clone(&answered));
            thread::spawn(move || ask_until(client, path, &stop, &ok, &answered))
        });
        Self { clients: clients.collect(), stop, ok, answered }
    }

    pub fn ok(&self) -> u64 {
        self.ok.load(Ordering::Relaxed)
    }

    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    pub fn wait_for(&self, answered: u64) {
        wait(answered, || self.answered());
    }

    pub fn stop(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().fold(Outcome::default(), |mut sum, client| {
            let one = client.join().expect("a client ends");
            sum.ok += one.ok;
            sum.unavailable += one.unavailable;
            one.other.into_iter().for_each(|(what, count)| *sum.other.entry(what).or_default() += count);
            sum
        })
    }
}

fn wait(answered: u64, count: impl Fn() -> u64) {
    let deadline = Instant::now() + PATIENCE;
    while count() < answered {
        assert!(Instant::now() < deadline, "only {} of {answered} answers", count());
        thread::yield_now();
    }
}

fn ask_until(mut client: Client, path: &str, stop: &AtomicBool, ok: &AtomicU64, answered: &AtomicU64) -> Outcome {
    let mut outcome = Outcome::default();
    while !stop.load(Ordering::Relaxed) {
        match client.get(path) {
            Ok(reply) if reply.status == 200 => {
                outcome.ok += 1;
                ok.fetch_add(1, Ordering::Relaxed);
            }
            Ok(reply) if reply.status == 503 => outcome.unavailable += 1,
            Ok(reply) => *outcome.other.entry(format!("{} {}", reply.status, reply.text())).or_default() += 1,
            Err(error) => *outcome.other.entry(error.to_string()).or_default() += 1,
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
    outcome
}
