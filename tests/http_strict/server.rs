//! A server of the crate's own connection loop, with a service that says what it was asked.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use trunkline::http::cors::Cors;
use trunkline::http::{ConnectionLimits, Drain, Gone, Method, Reply, Request, Service, Version, serve_connection};
use trunkline::rt::mailbox::{Sender, mailbox};
use trunkline::rt::watch::WatchTable;
use trunkline::rt::{self, Driver, Stream};

/// How long a test waits for what must happen at once.
pub const PATIENCE: Duration = Duration::from_secs(20);

enum Message {
    Socket(TcpStream),
    Drain,
    Stop,
}

/// What the server tells the test.
#[derive(PartialEq, Eq, Debug)]
pub enum Event {
    /// A request to `/hold` is being served.
    Held,
    /// The client of a request to `/watch` is gone.
    PeerGone,
    Closed,
    Panicked(String),
}

pub struct Server {
    pub address: SocketAddr,
    pub events: mpsc::Receiver<Event>,
    messages: Sender<Message>,
    release: Sender<()>,
    core: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(driver: Driver, limits: ConnectionLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (messages, mut received) = mailbox();
        let (release, released) = mailbox();
        let (events_sender, events) = mpsc::channel();
        let accepted = messages.clone();
        std::thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                socket.set_nodelay(true).unwrap();
                if accepted.send(Message::Socket(socket)).is_err() {
                    return;
                }
            }
        });
        let core = std::thread::spawn(move || {
            rt::run(driver, async move {
                let table = WatchTable::new();
                let drain = Drain::new();
                let echo =
                    Rc::new(Echo { events: events_sender.clone(), released: std::cell::RefCell::new(Some(released)) });
                rt::spawn(table.clone().run(), |_| ());
                while let Some(message) = received.receive().await {
                    match message {
                        Message::Socket(socket) => {
                            let (table, drain, echo, events) =
                                (table.clone(), drain.clone(), echo.clone(), events_sender.clone());
                            let panicked = events_sender.clone();
                            rt::spawn(
                                async move {
                                    let stream = Stream::from_tcp(socket).unwrap();
                                    serve_connection(stream, "peer", &table, &*echo, &drain, &limits).await;
                                    let _ = events.send(Event::Closed);
                                },
                                move |text| {
                                    let _ = panicked.send(Event::Panicked(text));
                                },
                            );
                        }
                        Message::Drain => {
                            drain.begin();
                            drain.end_idle(&table);
                        }
                        Message::Stop => break,
                    }
                }
                table.shutdown_all();
                drain.all_closed().await;
                assert_eq!((drain.open_count(), table.count()), (0, 0));
            })
            .unwrap();
        });
        Self { address, events, messages, release, core: Some(core) }
    }

    pub fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    pub fn drain(&self) {
        self.messages.send(Message::Drain).ok().unwrap();
    }

    /// Lets one request to `/hold` go on.
    pub fn release(&self) {
        self.release.send(()).unwrap();
    }

    pub fn event(&self) -> Event {
        self.events.recv_timeout(PATIENCE).unwrap()
    }

    /// Sends `input` on a connection of its own, which stays open for more, and reads until the server closes it.
    pub fn exchange(&self, input: &[u8]) -> Vec<u8> {
        let mut socket = self.connect();
        // The server may answer and close before it has taken everything.
        let _ = socket.write_all(input);
        read_to_end(&mut socket)
    }

    /// As `exchange`, but says that nothing more comes.
    pub fn exchange_whole(&self, input: &[u8]) -> Vec<u8> {
        let mut socket = self.connect();
        let _ = socket.write_all(input);
        let _ = socket.shutdown(std::net::Shutdown::Write);
        read_to_end(&mut socket)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.messages.send(Message::Stop);
        // Wakes the acceptor so that it sees that nobody listens.
        let joined = self.core.take().map(JoinHandle::join);
        let _ = TcpStream::connect(self.address);
        if !std::thread::panicking() {
            joined.unwrap().unwrap();
        }
    }
}

pub fn read_to_end(socket: &mut TcpStream) -> Vec<u8> {
    read_until_closed(socket).0
}

/// What came, and whether the connection was reset behind it.
pub fn read_until_closed(socket: &mut TcpStream) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let mut piece = [0; 64 * 1024];
    loop {
        match socket.read(&mut piece) {
            Ok(0) => return (bytes, false),
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return (bytes, true),
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
}

/// Says what it was asked: what a test compares.
pub fn echo_text(method: &str, target: &[u8], version: &str, fields: &[(String, Vec<u8>)], body: &[u8]) -> Vec<u8> {
    let mut fields: Vec<_> = fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    fields.sort_by(|left, right| left.0.cmp(&right.0));
    let mut text = format!("{method} {} {version}\n", String::from_utf8_lossy(target));
    for (name, value) in fields {
        text += &format!("{name}: {}\n", String::from_utf8_lossy(value));
    }
    text += &format!("\n{}", String::from_utf8_lossy(body));
    text.into_bytes()
}

struct Echo {
    events: mpsc::Sender<Event>,
    released: std::cell::RefCell<Option<trunkline::rt::mailbox::Receiver<()>>>,
}

/// `/bytes/12` → 12.
fn argument(target: &str) -> usize {
    target.rsplit('/').next().unwrap().parse().unwrap()
}

impl Service for Echo {
    async fn call(&self, request: Request<'_>, reply: &mut Reply) -> Result<(), Gone> {
        let target = String::from_utf8_lossy(request.target).into_owned();
        reply.head.set_status(200, None);
        let cors = Cors::decide(None, request.method, request.headers);
        cors.write(&mut reply.head);
        if matches!(cors, Cors::Preflight { .. }) {
            return Ok(());
        }
        match target.split('/').nth(1).unwrap_or_default() {
            "status" => {
                reply.head.set_status(u16::try_from(argument(&target)).unwrap(), None);
                reply.body().extend_from_slice(b"body");
            }
            "bytes" => reply.body().resize(argument(&target) + trunkline::limits::RESPONSE_HEAD_ROOM_BYTES, b'x'),
            "header" => {
                let value = "y".repeat(argument(&target));
                assert!(reply.head.add("X-Large", value.as_bytes()));
                reply.body().extend_from_slice(b"small");
            }
            "split" => {
                assert!(!reply.head.add("X-Evil", b"a\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"));
                assert!(!reply.head.add("Content-Length", b"1"));
                reply.head.set_status(200, Some("OK\r\nX-Evil: b".to_owned()));
            }
            "stream" | "abort" => {
                reply.body().extend_from_slice(b"first,");
                reply.start_stream().await?;
                assert!(reply.is_streaming());
                for number in 0..argument(&target) {
                    reply.body().extend_from_slice(format!("{number},").as_bytes());
                    reply.flush().await?;
                    reply.flush().await?;
                    assert_eq!(reply.body_len(), 0);
                }
                reply.body().extend_from_slice(b"last");
                if target.starts_with("/abort") {
                    reply.abort();
                    assert!(reply.flush().await.is_err());
                }
            }
            "endless" => {
                reply.start_stream().await?;
                loop {
                    reply.body().resize(64 * 1024, b'x');
                    reply.flush().await?;
                }
            }
            "replace" => {
                reply.body().extend_from_slice(b"rows so far");
                reply.clear_body();
                reply.body().extend_from_slice(b"error");
                reply.close_after();
            }
            "panic" => panic!("on purpose"),
            "gone" => return Err(Gone),
            "hold" => {
                self.events.send(Event::Held).unwrap();
                let mut released = self.released.take().unwrap();
                released.receive().await;
                self.released.replace(Some(released));
                reply.body().extend_from_slice(b"released");
            }
            "watch" => {
                reply.watch_peer();
                self.events.send(Event::Held).unwrap();
                reply.peer_gone().await;
                self.events.send(Event::PeerGone).unwrap();
                reply.unwatch_peer();
            }
            _ => {
                let method = match request.method {
                    Method::Get => "GET",
                    Method::Head => "HEAD",
                    Method::Post => "POST",
                    Method::Put => "PUT",
                    Method::Patch => "PATCH",
                    Method::Delete => "DELETE",
                    Method::Options => "OPTIONS",
                    Method::Other(name) => {
                        reply.head.set_status(405, None);
                        name
                    }
                };
                let version = match request.version {
                    Version::Http10 => "HTTP/1.0",
                    Version::Http11 => "HTTP/1.1",
                };
                let fields: Vec<_> =
                    request.headers.fields.iter().map(|&(name, value)| (name.to_owned(), value.to_vec())).collect();
                let text = echo_text(method, request.target, version, &fields, request.body);
                reply.body().extend_from_slice(&text);
            }
        }
        Ok(())
    }
}

/// One answer as a client reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(": ")?;
            field.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Splits what a connection brought into answers; panics where that is not possible to the last byte. `head_only`: the
/// answers are to HEAD.
pub fn answers(mut bytes: &[u8], head_only: bool) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let text = String::from_utf8_lossy(bytes);
        let head_len = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
        let head = String::from_utf8(bytes[..head_len + 2].to_vec()).unwrap();
        assert!(!head.replace("\r\n", "").contains(['\r', '\n']), "{head:?}");
        bytes = &bytes[head_len + 4..];
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: Vec::new() };
        if !head_only && !matches!(status, 100..=199 | 204 | 304) {
            if answer.field("Transfer-Encoding") == Some("chunked") {
                assert_eq!(answer.field("Content-Length"), None);
                loop {
                    let line = bytes.windows(2).position(|two| two == b"\r\n").unwrap();
                    let size = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap();
                    answer.body.extend_from_slice(&bytes[line + 2..line + 2 + size]);
                    assert_eq!(&bytes[line + 2 + size..line + 4 + size], b"\r\n");
                    bytes = &bytes[line + 4 + size..];
                    if size == 0 {
                        break;
                    }
                }
            } else if let Some(length) = answer.field("Content-Length") {
                let (body, rest) = bytes.split_at(length.parse().unwrap());
                answer.body = body.to_vec();
                bytes = rest;
            } else {
                answer.body = bytes.to_vec();
                bytes = b"";
            }
        }
        answers.push(answer);
    }
    answers
}

pub fn statuses(bytes: &[u8]) -> Vec<u16> {
    answers(bytes, false).iter().map(|answer| answer.status).collect()
}

/// On epoll and, where the machine has it, on io_uring.
pub fn on_both(limits: ConnectionLimits, test: impl Fn(&Server)) {
    for driver in [Driver::Epoll, rt::driver()] {
        test(&Server::start(driver, limits));
    }
}
