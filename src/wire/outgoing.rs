//! What a connection still has to write. A batch that surely fits into the socket's buffer is written at once; a larger
//! one is written while answers are read, because a server that is blocked on writing does not read.

use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::piece::{Piece, Pieces};
use super::tls::WriteHalf;
use crate::limits;

type Flight = Pin<Box<dyn Future<Output = (io::Result<()>, Vec<u8>, WriteHalf)>>>;

enum State {
    Ready(WriteHalf),
    Writing(Flight),
    /// The server takes nothing more. Why is left to the reading half to say: a farewell may be waiting there.
    Failed,
}

/// What the server may be doing while it is written to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// It waits for this batch.
    Silence,
    /// It may be blocked on answers to an earlier one.
    Answers,
}

/// The writing half and its buffer.
pub(super) struct Outgoing {
    state: State,
    /// The batch that grows; sent by `send`.
    pub buffer: Vec<u8>,
    /// What goes out in between.
    pub pieces: Pieces,
    /// `send` came while a write was under way.
    queued: bool,
}

impl Outgoing {
    pub fn new(writer: WriteHalf) -> Self {
        Self { state: State::Ready(writer), buffer: Vec::new(), pieces: Pieces::default(), queued: false }
    }

    /// True while bytes are on their way: then reading must go along with `poll`.
    pub fn is_writing(&self) -> bool {
        matches!(self.state, State::Writing(_))
    }

    /// Takes the buffer to be written. Cancel: the connection must be closed.
    pub async fn send(&mut self, expected: Expected) {
        if self.buffer.is_empty() {
            return;
        }
        let small = self.buffer.len() <= limits::WIRE_WRITE_BYTES && self.pieces.is_empty();
        match mem::replace(&mut self.state, State::Failed) {
            State::Ready(mut writer) if small && expected == Expected::Silence => {
                let (result, buffer) = writer.write(mem::take(&mut self.buffer)).await;
                self.landed(result, buffer, writer);
            }
            State::Ready(writer) => {
                self.launch(writer);
                // Begins the write; whoever reads goes on with it.
                poll_fn(|context| {
                    let _ = self.poll(context);
                    Poll::Ready(())
                })
                .await;
            }
            State::Writing(flight) => {
                self.state = State::Writing(flight);
                self.queued = true;
            }
            State::Failed => self.clear(),
        }
    }

    /// Forgets what was to be written.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.pieces.clear();
    }

    fn launch(&mut self, mut writer: WriteHalf) {
        let buffer = mem::take(&mut self.buffer);
        let pieces = mem::take(&mut self.pieces);
        self.state = State::Writing(Box::pin(async move {
            let (result, buffer) = write(&mut writer, buffer, pieces).await;
            (result, buffer, writer)
        }));
    }

    fn landed(&mut self, result: io::Result<()>, mut buffer: Vec<u8>, writer: WriteHalf) {
        self.state = if result.is_ok() { State::Ready(writer) } else { State::Failed };
        if self.buffer.is_empty() && buffer.capacity() <= limits::WIRE_READ_BYTES {
            buffer.clear();
            self.buffer = buffer;
        }
    }

    /// Goes on writing; ready when nothing is on its way.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let State::Writing(flight) = &mut self.state {
            let Poll::Ready((result, buffer, writer)) = flight.as_mut().poll(context) else {
                return Poll::Pending;
            };
            self.landed(result, buffer, writer);
            if mem::take(&mut self.queued) {
                match mem::replace(&mut self.state, State::Failed) {
                    State::Ready(writer) => self.launch(writer),
                    State::Failed => self.clear(),
                    State::Writing(flight) => self.state = State::Writing(flight),
                }
            }
        }
        Poll::Ready(())
    }

    /// Waits until nothing is on its way. Only once the server has read everything, or it may never be.
    pub async fn finish(&mut self) {
        poll_fn(|context| self.poll(context)).await;
    }
}

/// Writes the batch, each piece in its place. The buffer comes back whatever happens.
async fn write(writer: &mut WriteHalf, mut buffer: Vec<u8>, pieces: Pieces) -> (io::Result<()>, Vec<u8>) {
    let mut begin = 0;
    let mut result;
    for (place, piece) in pieces {
        (result, buffer) = writer.write_part(buffer, begin, place).await;
        if result.is_ok() {
            result = write_piece(writer, piece).await;
        }
        if result.is_err() {
            return (result, buffer);
        }
        begin = place;
    }
    let end = buffer.len();
    writer.write_part(buffer, begin, end).await
}

async fn write_piece(writer: &mut WriteHalf, piece: Piece) -> io::Result<()> {
    let mut source = match piece {
        Piece::Whole(bytes) => return writer.write_bytes(bytes).await,
        Piece::Made(source) => source,
    };
    let mut missing = source.bytes();
    let mut part = Vec::new();
    loop {
        source.next(&mut part);
        // The server waits for what it was told to wait for: this connection must not go on, and the panic closes it.
        assert!(part.len() <= missing && part.is_empty() == (missing == 0), "a parameter is not as long as it said");
        if part.is_empty() {
            return Ok(());
        }
        missing -= part.len();
        let end = part.len();
        let result;
        (result, part) = writer.write_part(part, 0, end).await;
        result?;
        part.clear();
    }
}
