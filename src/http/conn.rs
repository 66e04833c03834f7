//! One client connection: read, keep-alive, pipelining, time-outs, drain. Requests are answered one after another, in
//! the order they came; while one is answered nothing is read.
//! Owns: the socket (the reading half here, the writing half in `Reply`), the read buffer, the deadlines.
//! Must not know: what an answer means.
//! Invariant: no polled read or write is dropped; what takes too long ends because its socket is shut down.
//! Invariant: every byte of a request is consumed before the next one is looked for, or the connection closes.
//! Limits: `ConnectionLimits`.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::ErrorKind;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};

use super::body::{ChunkedDecoder, Progress};
use super::head::{Framing, Head, HeadLimits, HeadScan, parse_head};
use super::reply::{Afterwards, Asked, Purpose};
use super::room::{Bodies, BodyShare};
use super::{Gone, Method, Refusal, Reply, Request, Service};
use crate::limits;
use crate::rt::watch::{WatchTable, Watched};
use crate::rt::{self, Reader, Stream};

/// What a client may take of this server, in bytes and time.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    pub head: HeadLimits,
    pub body_bytes_max: usize,
    /// For the bodies that all connections of a core have on their way.
    pub bodies_bytes_max: usize,
    /// For a whole head, from its first byte.
    pub head_time: Duration,
    /// Between two requests.
    pub keep_alive_time: Duration,
    /// Between two reads of a body.
    pub body_stall: Duration,
    /// For one write of `limits::CLIENT_WRITE_BYTES`.
    pub write_stall: Duration,
    /// To read the last answer, before the socket closes.
    pub linger_time: Duration,
    /// For what is under way when the server is told to end.
    pub drain_time: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            head: HeadLimits::default(),
            body_bytes_max: limits::BODY_BYTES_MAX,
            bodies_bytes_max: limits::BODIES_BYTES_PER_CORE,
            head_time: Duration::from_secs(limits::HEAD_SECONDS),
            keep_alive_time: Duration::from_secs(limits::KEEP_ALIVE_SECONDS),
            body_stall: Duration::from_secs(limits::BODY_STALL_SECONDS),
            write_stall: Duration::from_secs(limits::CLIENT_STALL_SECONDS),
            linger_time: Duration::from_secs(limits::LINGER_SECONDS),
            drain_time: Duration::from_secs(limits::DRAIN_SECONDS),
        }
    }
}

/// Whether a core's connections are to end, how many are still open, and what their bodies take. Clones are the same drain.
#[derive(Clone, Debug, Default)]
pub struct Drain(Rc<DrainState>);

#[derive(Debug, Default)]
struct DrainState {
    draining: Cell<bool>,
    idle_ends: Cell<bool>,
    open: Cell<usize>,
    bodies: Bodies,
    waiting: RefCell<Vec<Waker>>,
}

impl Drain {
    pub fn new() -> Self {
        Self::default()
    }

    /// Every answer from now on is its connection's last, and says so.
    pub fn begin(&self) {
        self.0.draining.set(true);
    }

    /// Idle connections of `table` end now: those who use theirs have heard of it, if they had some time.
    pub fn end_idle(&self, table: &WatchTable) {
        self.0.idle_ends.set(true);
        table.end_idle();
    }

    pub fn is_draining(&self) -> bool {
        self.0.draining.get()
    }

    /// Connections being served.
    pub fn open_count(&self) -> usize {
        self.0.open.get()
    }

    /// Ready once no connection is open. Cancel: nothing is lost.
    pub async fn all_closed(&self) {
        poll_fn(|context| {
            if self.open_count() == 0 {
                return Poll::Ready(());
            }
            let mut waiting = self.0.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    fn enter(&self) -> Open {
        self.0.open.set(self.0.open.get() + 1);
        Open(self.clone())
    }
}

/// A connection's place in the count; given back even when a panic ends its task.
struct Open(Drain);

impl Drop for Open {
    fn drop(&mut self) {
        let state = &self.0.0;
        state.open.set(state.open.get() - 1);
        if state.open.get() == 0 {
            for waker in state.waiting.take() {
                waker.wake();
            }
        }
    }
}

/// Why no further request is answered.
enum Interrupted {
    Refused(Refusal),
    /// Nobody is there, or nothing was under way.
    Gone,
}

impl From<Gone> for Interrupted {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

impl From<Refusal> for Interrupted {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Serves a client's requests until either side ends the connection. A panic of the service unwinds through here and
/// closes the socket; `rt::spawn` catches it. Cancel: `WatchTable::shutdown_all` ends it; it must not be dropped midway.
pub async fn serve_connection<S: Service>(
    stream: Stream,
    peer: &str,
    table: &Rc<WatchTable>,
    service: &S,
    drain: &Drain,
    limits: &ConnectionLimits,
) {
    let _open = drain.enter();
    let watched = table.watch(stream.raw_fd());
    let (reader, writer) = stream.split();
    // Dropped in reverse: the reply, with its place in the table, goes before the last half of the socket.
    let share = drain.0.bodies.share();
    let mut input = Input { reader, unyielded: 0, bytes: Vec::new(), begin: 0, lent_bytes: 0, share };
    let mut reply = Reply::new(writer, watched, limits.write_stall);
    let mut pipelined = 0;
    loop {
        if !input.unread().is_empty() {
            pipelined += 1;
            if pipelined == limits::PIPELINED_PER_TURN {
                pipelined = 0;
                rt::yield_now().await;
            }
        }
        let served = serve_request(&mut input, &mut reply, peer, service, drain, limits).await;
        if served.is_err() {
            // Nothing more is read.
            input.forget();
        }
        input.give_back_outsized();
        match served {
            Ok(Afterwards::Next) => {}
            Ok(Afterwards::Close) => break,
            Err(Interrupted::Refused(refusal)) => match reply.refuse(refusal).await {
                Ok(()) => break,
                Err(Gone) => return,
            },
            Ok(Afterwards::Cut) | Err(Interrupted::Gone) => return,
        }
    }
    // Whether the client reads the last answer is no longer this server's business.
    let _ = linger(&mut input, &mut reply, limits).await;
}

/// One request and its answer.
async fn serve_request<S: Service>(
    input: &mut Input,
    reply: &mut Reply,
    peer: &str,
    service: &S,
    drain: &Drain,
    limits: &ConnectionLimits,
) -> Result<Afterwards, Interrupted> {
    let head_len = receive_head(input, reply, drain, limits).await?;
    let mut head = parse_head(input.span(0, head_len), &limits.head)?;
    if let Framing::Length(announced) = head.framing
        && usize::try_from(announced).map_or(true, |announced| announced > limits.body_bytes_max)
    {
        return Err(Refusal::BodyTooLarge.into());
    }
    let mut lent = None;
    let body_len = match body_at_hand(head.framing, input.unread().len() - head_len) {
        Some(body_len) => body_len,
        None => {
            let (framing, expects_continue) = (head.framing, head.expects_continue);
            // Reading moves the buffer that `head` points into.
            drop(head);
            let body_len = receive_body(input, reply, head_len, framing, expects_continue, limits).await?;
            if body_len >= limits::BODY_LENT_BYTES {
                lent = Some(input.lend(head_len, body_len));
            }
            let bytes = lent.as_ref().map_or_else(|| input.span(0, head_len), |lent: &Lent| &lent.head);
            head = parse_head(bytes, &limits.head)?;
            body_len
        }
    };
    let version = head.version;
    let purpose = if head.method == Method::Head { Purpose::HeadOnly } else { Purpose::Whole };
    reply.begin(Asked { version, purpose, keep_alive: head.keep_alive && !drain.is_draining() });
    let shared = lent.as_ref().map(|lent| &lent.body);
    let body: &[u8] = match shared {
        Some(shared) => shared,
        None => input.span(head_len, head_len + body_len),
    };
    let Head { method, target, headers, .. } = &head;
    let request = Request { method: *method, target, headers, body, shared, peer, version };
    service.call(request, reply).await?;
    drop(head);
    let in_place = lent.is_none();
    drop(lent);
    if in_place {
        input.consume(head_len + body_len);
    }
    if drain.is_draining() {
        reply.close_after();
    }
    Ok(reply.finish().await?)
}

/// Waits for a whole head and returns its length. Between requests the connection is idle.
async fn receive_head(
    input: &mut Input,
    reply: &mut Reply,
    drain: &Drain,
    limits: &ConnectionLimits,
) -> Result<usize, Interrupted> {
    input.share.give_back();
    // Some clients end a body with a blank line that is no part of it: that must not look like a head's beginning.
    while input.unread().starts_with(b"\r\n") {
        input.consume(2);
    }
    if input.unread().is_empty() {
        input.give_back();
        reply.give_back();
        let watched = reply.watched();
        if drain.0.idle_ends.get() {
            watched.end_reading();
        }
        watched.set_deadline(limits.keep_alive_time);
        watched.mark_idle();
        let read = input.fill(0).await;
        watched.mark_busy();
        if read? == 0 {
            return Err(Interrupted::Gone);
        }
        watched.clear_deadline();
    }
    let mut scan = HeadScan::default();
    let mut late = false;
    loop {
        if let Some(head_len) = scan.find(input.unread(), &limits.head)? {
            if late {
                reply.watched().clear_deadline();
            }
            return Ok(head_len);
        }
        if !late {
            reply.watched().set_deadline(limits.head_time);
            late = true;
        }
        if input.fill(0).await? == 0 {
            return Err(match input.unread() {
                b"\r\n" => Interrupted::Gone,
                _ => Refusal::Malformed("the request head is not complete").into(),
            });
        }
    }
}

/// The body's length if all of it came with the head and nothing needs decoding.
fn body_at_hand(framing: Framing, bytes_at_hand: usize) -> Option<usize> {
    match framing {
        Framing::Empty => Some(0),
        Framing::Length(length) => usize::try_from(length).ok().filter(|&length| length <= bytes_at_hand),
        Framing::Chunked => None,
    }
}

/// Waits for a whole body and returns its length; it stands behind the head.
async fn receive_body(
    input: &mut Input,
    reply: &mut Reply,
    head_len: usize,
    framing: Framing,
    expects_continue: bool,
    limits: &ConnectionLimits,
) -> Result<usize, Interrupted> {
    if expects_continue && input.unread().len() == head_len {
        reply.send_continue().await?;
    }
    let body_len = match framing {
        Framing::Empty => 0,
        Framing::Length(length) => {
            let length = usize::try_from(length).map_err(|_| Refusal::BodyTooLarge)?;
            receive_length(input, reply.watched(), head_len + length, limits).await?;
            length
        }
        Framing::Chunked => receive_chunked(input, reply.watched(), head_len, limits).await?,
    };
    reply.watched().clear_deadline();
    Ok(body_len)
}

/// Reads until `end` bytes of the request are there.
async fn receive_length(
    input: &mut Input,
    watched: &Watched,
    end: usize,
    limits: &ConnectionLimits,
) -> Result<(), Interrupted> {
    loop {
        let missing = end.saturating_sub(input.unread().len());
        if missing == 0 {
            return Ok(());
        }
        if input.unread().len() >= BODY_TRUST_BYTES {
            input.reserve(missing);
        }
        read_body(input, watched, missing, limits).await?;
    }
}

/// A client that has sent this much of a body is believed to send the rest: room is made for it at once, instead of
/// doubling the buffer with two copies of the body in memory. Of a chunked body the rest is all that it may become: that is
/// address space, and memory is what is written to.
const BODY_TRUST_BYTES: usize = 1024 * 1024;

async fn receive_chunked(
    input: &mut Input,
    watched: &Watched,
    head_len: usize,
    limits: &ConnectionLimits,
) -> Result<usize, Interrupted> {
    let mut decoder = ChunkedDecoder::new(limits.body_bytes_max);
    loop {
        let base = input.begin + head_len;
        match decoder.decode(&mut input.bytes, base)? {
            Progress::Complete { len } => return Ok(len),
            Progress::NeedsMore => {
                if input.unread().len() >= BODY_TRUST_BYTES {
                    let whole =
                        head_len + limits.body_bytes_max.min(limits::PARAMETER_BYTES_MAX) + limits::BODY_READ_BYTES;
                    input.reserve(whole.saturating_sub(input.unread().len()));
                }
                read_body(input, watched, limits::READ_BUFFER_BYTES, limits).await?;
            }
        }
    }
}

async fn read_body(
    input: &mut Input,
    watched: &Watched,
    missing: usize,
    limits: &ConnectionLimits,
) -> Result<(), Interrupted> {
    watched.set_deadline(limits.body_stall);
    match input.fill(missing.min(limits::BODY_READ_BYTES)).await? {
        0 => Err(Refusal::Malformed("the request body is not complete").into()),
        _ => Ok(input.share.grow_to(input.bytes.len(), limits.bodies_bytes_max)?),
    }
}

/// Closes so that the client can read what was sent: a socket closed over unread bytes is reset, and a reset takes the
/// answer with it. Reads and forgets, for a bounded time and amount.
async fn linger(input: &mut Input, reply: &mut Reply, limits: &ConnectionLimits) -> Result<(), Gone> {
    reply.give_back();
    input.bytes = Vec::new();
    input.share.give_back();
    reply.end_writing().await?;
    reply.watched().set_deadline(limits.linger_time);
    let mut forgotten = 0;
    while forgotten < limits::LINGER_BYTES_MAX {
        input.forget();
        match input.fill(0).await? {
            0 => break,
            read => forgotten += read,
        }
    }
    Ok(())
}

/// The reading half and what came through it.
struct Input {
    reader: Reader,
    /// Bytes read since the core's other tasks had a turn.
    unyielded: usize,
    bytes: Vec<u8>,
    /// Bytes before this one belong to answered requests.
    begin: usize,
    /// What was taken out for the request under way.
    lent_bytes: usize,
    /// What the body that is on its way takes.
    share: BodyShare,
}

impl Input {
    fn unread(&self) -> &[u8] {
        self.bytes.get(self.begin..).unwrap_or_default()
    }

    /// Part of `unread`.
    fn span(&self, from: usize, to: usize) -> &[u8] {
        self.unread().get(from..to).unwrap_or_default()
    }

    fn consume(&mut self, count: usize) {
        self.begin += count;
        if self.begin >= self.bytes.len() {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.bytes.clear();
        self.begin = 0;
    }

    /// Appends what one read brings; 0 is the end of the stream. Reads `wanted` bytes at most, or as many as the buffer
    /// has room for.
    async fn fill(&mut self, wanted: usize) -> Result<usize, Gone> {
        self.bytes.drain(..self.begin);
        self.begin = 0;
        let room = self.bytes.capacity() - self.bytes.len();
        let usual = if self.bytes.capacity() == 0 {
            limits::IDLE_BUFFER_BYTES
        } else if room < ROOM_BYTES_MIN {
            limits::READ_BUFFER_BYTES
        } else {
            room.min(limits::BODY_READ_BYTES)
        };
        loop {
            let (result, bytes) = self.reader.append(std::mem::take(&mut self.bytes), wanted.max(usual)).await;
            self.bytes = bytes;
            match result {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Gone),
                Ok(read) => {
                    self.unyielded += read;
                    if self.unyielded >= limits::CLIENT_TURN_BYTES {
                        self.unyielded = 0;
                        rt::yield_now().await;
                    }
                    return Ok(read);
                }
            }
        }
    }

    /// Takes out a request that is there as a whole; what follows it stays.
    fn lend(&mut self, head_len: usize, body_len: usize) -> Lent {
        self.lent_bytes = body_len;
        let rest = self.unread().get(head_len + body_len..).unwrap_or_default().to_vec();
        let mut request = Bytes::from(std::mem::replace(&mut self.bytes, rest));
        request.advance(std::mem::take(&mut self.begin));
        let head = request.split_to(head_len);
        request.truncate(body_len);
        Lent { head, body: request }
    }

    /// Makes room for this much more, and for what may be read along with it. Where there isn't so much memory the buffer
    /// grows as it is filled.
    fn reserve(&mut self, missing: usize) {
        if self.bytes.capacity() - self.bytes.len() < missing {
            let _ = self.bytes.try_reserve_exact(missing + limits::READ_BUFFER_BYTES);
        }
    }

    /// Returns to the system what an outsized request took: with the next one it would come too late.
    fn give_back_outsized(&mut self) {
        let outsized = self.lent_bytes.max(self.bytes.capacity());
        self.lent_bytes = 0;
        if outsized >= limits::OUTSIZED_BYTES {
            if self.unread().is_empty() {
                self.give_back();
            }
            rt::give_back_memory();
        }
    }

    /// Returns what an outsized request took.
    fn give_back(&mut self) {
        if self.bytes.capacity() > 2 * limits::READ_BUFFER_BYTES {
            self.bytes = Vec::new();
        }
    }
}

/// A request whose body is large, taken out of the buffer that received it.
struct Lent {
    head: Bytes,
    body: Bytes,
}

/// With less room than this the buffer grows before the next read.
const ROOM_BYTES_MIN: usize = 1024;
