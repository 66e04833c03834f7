//! The answer under way: its head, its body's buffer, and how both reach the client.
//! Owns: the socket's writing half, its deadline, the buffers; between requests the core keeps those for whoever needs
//! them next, so that idle connections are small and busy ones allocate nothing.
//! Invariant: what is sent is framed exactly once. After `start_stream` the head is final; after `abort` nothing follows.
//! Limits: `limits::RESPONSE_HEAD_ROOM_BYTES`, `RESPONSE_KEPT_BYTES`, `CLIENT_WRITE_BYTES` and the stall time.

use std::cell::RefCell;
use std::time::Duration;

use super::write::{AnswerFraming, CHUNK_END, CONTINUE, LAST_CHUNK, Persistence, write_chunk_line};
use super::{Gone, Refusal, ResponseHead, Version};
use crate::limits;
use crate::rt::watch::Watched;
use crate::rt::{self, Writer};

/// Bytes in front of the body, where the head or a chunk's size line is put so that both leave in one write.
const ROOM: usize = limits::RESPONSE_HEAD_ROOM_BYTES;

thread_local! {
    /// Buffers of answers (`body`, `lead`) that no connection of this core needs now.
    static SPARE: RefCell<Vec<(Vec<u8>, Vec<u8>)>> = const { RefCell::new(Vec::new()) };
}

/// Where a service puts its answer: the head, and the body it appends to.
/// A body that is not streamed is sent in one write with its head after `call` returns.
#[derive(Debug)]
pub struct Reply {
    pub head: ResponseHead,
    /// `ROOM` bytes, then the body. Empty between requests: an idle connection has no buffer of its own.
    body: Vec<u8>,
    /// Head and chunk line, before they are put in front of the body.
    lead: Vec<u8>,
    stage: Stage,
    request: Asked,
    write_stall: Duration,
    /// Bytes written since the core's other tasks had a turn.
    unyielded: usize,
    // Dropped before the writer: the table must not know a descriptor that is closed.
    watched: Watched,
    writer: Writer,
}

/// How far the answer has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Deciding,
    Streaming(AnswerFraming),
    Ended,
}

/// What the request means for the form of its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Asked {
    pub version: Version,
    pub purpose: Purpose,
    /// Whether the connection goes on after the answer, as far as is known.
    pub keep_alive: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// HEAD: the body is dropped.
    HeadOnly,
    Whole,
}

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Afterwards {
    Next,
    /// The client may still be sending: it is given time to read the answer.
    Close,
    /// The answer was cut: the sooner the client notices, the better.
    Cut,
}

impl Reply {
    pub(super) fn new(writer: Writer, watched: Watched, write_stall: Duration) -> Self {
        let request = Asked { version: Version::Http11, purpose: Purpose::Whole, keep_alive: false };
        Self {
            head: ResponseHead::default(),
            body: Vec::new(),
            lead: Vec::new(),
            stage: Stage::Deciding,
            request,
            write_stall,
            unyielded: 0,
            watched,
            writer,
        }
    }

    pub(super) fn watched(&self) -> &Watched {
        &self.watched
    }

    /// Makes ready for a request's answer.
    pub(super) fn begin(&mut self, request: Asked) {
        self.request = request;
        self.stage = Stage::Deciding;
        self.head.clear();
        self.take_buffers();
    }

    fn take_buffers(&mut self) {
        if self.body.capacity() == 0 {
            (self.body, self.lead) = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
        }
        self.clear_body();
    }

    /// Lends the buffers to the core's other connections while this one is idle; an outsized one is freed.
    pub(super) fn give_back(&mut self) {
        let buffers = (std::mem::take(&mut self.body), std::mem::take(&mut self.lead));
        let kept = |buffer: &Vec<u8>| (1..=limits::RESPONSE_KEPT_BYTES).contains(&buffer.capacity());
        if kept(&buffers.0) && kept(&buffers.1) {
            SPARE.with_borrow_mut(|spare| {
                if spare.len() < limits::RESPONSE_BUFFERS_SPARE {
                    spare.push(buffers);
                }
            });
        }
    }

    /// The body's buffer: append to it, nothing else. Its first bytes are the connection's own, so that its length is not
    /// the body's (`body_len`).
    pub fn body(&mut self) -> &mut Vec<u8> {
        &mut self.body
    }

    /// Bytes of the body that wait to be sent.
    pub fn body_len(&self) -> usize {
        self.body.len().saturating_sub(ROOM)
    }

    /// Drops what waits to be sent, so that an error's body can take its place.
    pub fn clear_body(&mut self) {
        // Cuts to the room in front, or makes it where the buffer is new.
        self.body.resize(ROOM, 0);
    }

    /// Sends the head as it is now and the body so far; from here on the body goes out in chunks.
    /// Does nothing if that has happened already.
    pub async fn start_stream(&mut self) -> Result<(), Gone> {
        match self.stage {
            Stage::Deciding => {}
            Stage::Streaming(_) => return Ok(()),
            Stage::Ended => return Err(Gone),
        }
        let framing = match (self.is_bodyless(), self.request.version) {
            (true, _) => AnswerFraming::Bodyless,
            (false, Version::Http11) => AnswerFraming::Chunked,
            (false, Version::Http10) => AnswerFraming::Close,
        };
        if framing == AnswerFraming::Close {
            self.request.keep_alive = false;
        }
        self.stage = Stage::Streaming(framing);
        self.lead.clear();
        let persistence = self.persistence();
        self.head.write(&mut self.lead, framing, persistence);
        self.send_chunk(framing).await?;
        // From here on a chunk is all that waits: what had to be collected before is given back.
        self.body.shrink_to(limits::RESPONSE_KEPT_BYTES);
        Ok(())
    }

    /// While streaming: sends what was collected since the last time. Waits while the client is behind.
    pub async fn flush(&mut self) -> Result<(), Gone> {
        match self.stage {
            Stage::Deciding => Ok(()),
            Stage::Streaming(framing) => {
                self.lead.clear();
                self.send_chunk(framing).await
            }
            Stage::Ended => Err(Gone),
        }
    }

    /// The answer can't be completed. A stream ends without its last chunk, so that the client sees that it was cut; an
    /// answer that has not begun is not sent. The connection closes.
    pub fn abort(&mut self) {
        self.stage = Stage::Ended;
    }

    pub fn is_streaming(&self) -> bool {
        matches!(self.stage, Stage::Streaming(_))
    }

    /// The connection ends with this answer.
    pub fn close_after(&mut self) {
        self.request.keep_alive = false;
    }

    /// From now on the client's departure is looked for.
    pub fn watch_peer(&self) {
        self.watched.watch_peer();
    }

    pub fn unwatch_peer(&self) {
        self.watched.unwatch_peer();
    }

    /// Ready once the client is found gone. Cancel: nothing is lost.
    pub async fn peer_gone(&self) {
        self.watched.peer_gone().await;
    }

    /// Sends what the service left: the whole answer, or a stream's end.
    pub(super) async fn finish(&mut self) -> Result<Afterwards, Gone> {
        match self.stage {
            Stage::Ended => return Ok(Afterwards::Cut),
            Stage::Streaming(framing) => {
                self.lead.clear();
                if framing == AnswerFraming::Chunked {
                    if self.body_len() > 0 {
                        write_chunk_line(&mut self.lead, self.body.len() - ROOM);
                        self.body.extend_from_slice(CHUNK_END);
                    }
                    self.body.extend_from_slice(LAST_CHUNK);
                }
                self.drop_body_of(framing);
            }
            Stage::Deciding => {
                let framing =
                    if self.is_bodyless() { AnswerFraming::Bodyless } else { AnswerFraming::Length(self.body_len()) };
                self.lead.clear();
                let persistence = self.persistence();
                self.head.write(&mut self.lead, framing, persistence);
                self.drop_body_of(framing);
            }
        }
        self.stage = Stage::Ended;
        self.send().await?;
        Ok(if self.request.keep_alive { Afterwards::Next } else { Afterwards::Close })
    }

    /// The plain answer to what never became a request. The connection closes.
    pub(super) async fn refuse(&mut self, refusal: Refusal) -> Result<(), Gone> {
        self.begin(Asked { version: Version::Http11, purpose: Purpose::Whole, keep_alive: false });
        self.head.set_status(refusal.status(), None);
        self.head.add("Content-Type", b"text/plain; charset=utf-8");
        self.body.extend_from_slice(refusal.text().as_bytes());
        self.body.push(b'\n');
        self.finish().await.map(|_| ())
    }

    /// Asks for the body of a client that waits for it.
    pub(super) async fn send_continue(&mut self) -> Result<(), Gone> {
        self.take_buffers();
        self.lead.clear();
        self.lead.extend_from_slice(CONTINUE);
        self.send().await
    }

    /// Tells the client that nothing more comes.
    pub(super) async fn end_writing(&mut self) -> Result<(), Gone> {
        self.writer.shutdown().await.map_err(|_| Gone)
    }

    fn is_bodyless(&self) -> bool {
        self.request.purpose == Purpose::HeadOnly || self.head.is_bodyless()
    }

    fn persistence(&self) -> Persistence {
        match (self.request.keep_alive, self.request.version) {
            (false, _) => Persistence::Close,
            (true, Version::Http11) => Persistence::Implied,
            (true, Version::Http10) => Persistence::KeepAlive,
        }
    }

    fn drop_body_of(&mut self, framing: AnswerFraming) {
        if framing == AnswerFraming::Bodyless {
            self.clear_body();
        }
    }

    /// Sends `lead`, then the body as a chunk where there is any: an empty one would end the stream.
    async fn send_chunk(&mut self, framing: AnswerFraming) -> Result<(), Gone> {
        self.drop_body_of(framing);
        if framing == AnswerFraming::Chunked && self.body_len() > 0 {
            write_chunk_line(&mut self.lead, self.body.len() - ROOM);
            self.body.extend_from_slice(CHUNK_END);
        }
        self.send().await
    }

    /// Sends `lead` and the body and empties both.
    async fn send(&mut self) -> Result<(), Gone> {
        if self.body.len() < ROOM {
            // Somebody cleared the buffer itself: the body is what `body_len` says, nothing.
            self.clear_body();
        }
        let lead_len = self.lead.len();
        let begin = match ROOM.checked_sub(lead_len).and_then(|begin| self.body.get_mut(begin..ROOM)) {
            Some(room) => {
                room.copy_from_slice(&self.lead);
                ROOM - lead_len
            }
            None => {
                self.write_lead().await?;
                ROOM
            }
        };
        self.write_body(begin).await?;
        self.clear_body();
        Ok(())
    }

    /// A head larger than the room for it goes first; with a small body behind it that is one write all the same.
    async fn write_lead(&mut self) -> Result<(), Gone> {
        if self.body_len() <= limits::CLIENT_WRITE_BYTES {
            self.lead.extend_from_slice(self.body.get(ROOM..).unwrap_or_default());
            self.body.truncate(ROOM);
        }
        let lead = std::mem::take(&mut self.lead);
        let end = lead.len();
        self.watched.set_deadline(self.write_stall);
        let (result, _) = self.writer.write_part(lead, 0, end).await;
        self.watched.clear_deadline();
        result.map_err(|_| self.lost())
    }

    async fn write_body(&mut self, mut begin: usize) -> Result<(), Gone> {
        while begin < self.body.len() {
            if self.unyielded >= limits::CLIENT_TURN_BYTES {
                self.unyielded = 0;
                rt::yield_now().await;
            }
            let end = self.body.len().min(begin + limits::CLIENT_WRITE_BYTES + ROOM);
            self.watched.set_deadline(self.write_stall);
            let (result, body) = self.writer.write_part(std::mem::take(&mut self.body), begin, end).await;
            self.body = body;
            result.map_err(|_| self.lost())?;
            self.unyielded += end - begin;
            begin = end;
        }
        self.watched.clear_deadline();
        Ok(())
    }

    fn lost(&mut self) -> Gone {
        self.stage = Stage::Ended;
        self.request.keep_alive = false;
        Gone
    }
}
