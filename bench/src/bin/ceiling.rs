//! The hand-written ceiling: may_minihttp, one hard-coded query, no settings, no roles, no errors worth the name.
//! What a generic server can be compared with; not a server for anybody's port.
//!
//!     ceiling PORT SOCKET USER DATABASE [CONNECTIONS]
//!
//! SOCKET is the path of PostgreSQL's unix socket, or host:port; the user must need no password and be
//! allowed to read the table.
//! `GET /track?select=id,name,ms&id=eq.{n}` is answered; whatever stands before `id=eq.` is not looked at.

use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use may::sync::Mutex;
use may_minihttp::{HttpService, HttpServiceFactory, Request, Response};
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;
use trunkline::json::write_string;
use trunkline::wire::row::DataRow;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const QUERY: &str = "select id, name, ms from track where id = $1";
const STATEMENT: &str = "one_row";
/// Where the load test's sample data has its tables.
const SEARCH_PATH: &str = "shop, public";
const CONNECTIONS: usize = 10;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, socket, user, database, rest @ ..] = arguments.as_slice() else {
        return Err(refused("usage: ceiling PORT SOCKET USER DATABASE [CONNECTIONS]"));
    };
    let port: u16 = port.parse().map_err(|_| refused("PORT must be a number"))?;
    let count = match rest {
        [] => CONNECTIONS,
        [count, ..] => count.parse().map_err(|_| refused("CONNECTIONS must be a number"))?,
    };
    may::config().set_stack_size(0x4000);
    let open = |_| Ok(Mutex::new(Connection::open(socket, user, database)?));
    let connections: Vec<_> = (0..count.max(1)).map(open).collect::<io::Result<_>>()?;
    let server = Tracks { connections: connections.into() }.start(("127.0.0.1", port))?;
    server.join().map_err(|_| refused("the server ended"))
}

struct Tracks {
    connections: Arc<[Mutex<Connection>]>,
}

/// One client connection; it asks the PostgreSQL connection that its descriptor's number falls on.
struct TrackService {
    connections: Arc<[Mutex<Connection>]>,
    index: usize,
}

impl HttpServiceFactory for Tracks {
    type Service = TrackService;

    fn new_service(&self, id: usize) -> TrackService {
        TrackService { connections: Arc::clone(&self.connections), index: id % self.connections.len() }
    }
}

impl HttpService for TrackService {
    fn call(&mut self, request: Request, response: &mut Response) -> io::Result<()> {
        let Some((_, id)) = request.path().split_once("id=eq.") else {
            response.status_code(404, "Not Found");
            return Ok(());
        };
        let mut connection = self.connections[self.index].lock().map_err(|_| refused("a poisoned lock"))?;
        let body = connection.track(id)?;
        response.header("Content-Type: application/json; charset=utf-8");
        response.body_mut().extend_from_slice(body);
        Ok(())
    }
}

enum Stream {
    Unix(may::os::unix::net::UnixStream),
    Tcp(may::net::TcpStream),
}

/// One PostgreSQL connection with the query prepared.
struct Connection {
    stream: Stream,
    request: BytesMut,
    answer: BytesMut,
    body: Vec<u8>,
}

impl Connection {
    fn open(socket: &str, user: &str, database: &str) -> io::Result<Self> {
        let stream = if socket.starts_with('/') {
            Stream::Unix(may::os::unix::net::UnixStream::connect(socket)?)
        } else {
            let stream = may::net::TcpStream::connect(socket)?;
            stream.set_nodelay(true)?;
            Stream::Tcp(stream)
        };
        let mut connection =
            Self { stream, request: BytesMut::new(), answer: BytesMut::with_capacity(8192), body: Vec::new() };
        let parameters = [("user", user), ("database", database), ("search_path", SEARCH_PATH)];
        frontend::startup_message(parameters, &mut connection.request)?;
        connection.ask()?;
        frontend::parse(STATEMENT, QUERY, [], &mut connection.request)?;
        frontend::sync(&mut connection.request);
        connection.ask()?;
        Ok(connection)
    }

    /// The track as the body of an answer.
    fn track(&mut self, id: &str) -> io::Result<&[u8]> {
        let bound = frontend::bind(
            "",
            STATEMENT,
            [],
            [id],
            |id, out| {
                out.extend_from_slice(id.as_bytes());
                Ok(IsNull::No)
            },
            [],
            &mut self.request,
        );
        bound.map_err(|_| refused("a parameter that can't be bound"))?;
        frontend::execute("", 0, &mut self.request)?;
        frontend::sync(&mut self.request);
        self.body.clear();
        self.body.push(b'[');
        self.ask()?;
        self.body.push(b']');
        Ok(&self.body)
    }

    /// Sends what was encoded and reads to ReadyForQuery, writing rows on the way.
    fn ask(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Stream::Unix(stream) => stream.write_all(&self.request)?,
            Stream::Tcp(stream) => stream.write_all(&self.request)?,
        }
        self.request.clear();
        let mut failed = false;
        loop {
            while let [tag, a, b, c, d, ..] = *self.answer {
                let len = u32::from_be_bytes([a, b, c, d]) as usize + 1;
                if self.answer.len() < len {
                    break;
                }
                match tag {
                    b'D' => write_track(&mut self.body, &self.answer[5..len])?,
                    b'E' => failed = true,
                    b'Z' => {
                        self.answer.advance(len);
                        return if failed { Err(refused("PostgreSQL refused")) } else { Ok(()) };
                    }
                    _ => {}
                }
                self.answer.advance(len);
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let mut piece = [0; 4096];
        let len = match &mut self.stream {
            Stream::Unix(stream) => stream.read(&mut piece)?,
            Stream::Tcp(stream) => stream.read(&mut piece)?,
        };
        self.answer.extend_from_slice(&piece[..len]);
        if len == 0 { Err(refused("PostgreSQL closed the connection")) } else { Ok(()) }
    }
}

fn write_track(out: &mut Vec<u8>, body: &[u8]) -> io::Result<()> {
    let row = DataRow::parse(body).map_err(|error| refused(&error.to_string()))?;
    let mut fields = row.fields().map(|field| field.unwrap_or(b"null"));
    let mut next = || fields.next().unwrap_or_default();
    out.extend_from_slice(b"{\"id\":");
    out.extend_from_slice(next());
    out.extend_from_slice(b",\"name\":");
    write_string(out, next());
    out.extend_from_slice(b",\"ms\":");
    out.extend_from_slice(next());
    out.push(b'}');
    Ok(())
}

fn refused(message: &str) -> io::Error {
    io::Error::other(message)
}
