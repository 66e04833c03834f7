//! A client that keeps its connection while the server does.

use std::fmt;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::process::read_reply;

const REPLY_SECONDS: u64 = 60;
const SHOWN_BYTES_MAX: usize = 400;
/// Headers that differ from request to request; how a body is framed may depend on what is known of the shape.
const VOLATILE: [&str; 4] = ["date", "content-length", "transfer-encoding", "connection"];

pub struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

/// An answer.
pub struct Asked {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    pub fn get(&mut self, target: &str, headers: &[(String, String)]) -> Asked {
        let mut head = format!("GET {target} HTTP/1.1\r\nHost: test\r\n");
        for (name, value) in headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host")) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut connection = self.connection.take().unwrap_or_else(|| self.connect());
        // A head that is too long may be answered before all of it was taken.
        let written = connection.get_mut().write_all(head.as_bytes());
        let shown = &target[..target.len().min(SHOWN_BYTES_MAX)];
        let reply = read_reply(&mut connection).unwrap_or_else(|error| panic!("{shown}: {error} ({written:?})"));
        let asked = Asked { status: reply.status, headers: reply.headers, body: reply.body };
        if asked.header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close")) {
            self.connection = Some(connection);
        }
        asked
    }

    fn connect(&self) -> BufReader<TcpStream> {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(REPLY_SECONDS))).unwrap();
        BufReader::new(stream)
    }
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn same_as(&self, other: &Self) -> bool {
        let kept = |asked: &Self| -> Vec<(String, String)> {
            let lasting = |(name, _): &&(String, String)| !VOLATILE.contains(&name.to_ascii_lowercase().as_str());
            asked.headers.iter().filter(lasting).cloned().collect()
        };
        self.status == other.status && kept(self) == kept(other) && self.body == other.body
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.body[..self.body.len().min(SHOWN_BYTES_MAX)];
        write!(f, "{} {:?} {}", self.status, self.headers, String::from_utf8_lossy(shown))
    }
}
