//! TLS on a connection to PostgreSQL once it is open: two halves of one session, which read and write at the same time.
//! Invariant: the session is borrowed only between awaits, and only the writing half sends what it has queued.
//! The plain halves go straight to the socket; the TLS futures are boxed so that the plain ones stay small.

use std::cell::RefCell;
use std::io::{self, BufRead, Write};
use std::rc::Rc;

use bytes::Bytes;
use rustls::ClientConnection;

use crate::limits;
use crate::rt::{Reader, Stream, Writer};

type Session = Rc<RefCell<ClientConnection>>;

/// The reading half of a connection.
pub(super) enum ReadHalf {
    Plain(Reader),
    Tls(Box<TlsReader>),
}

/// The writing half of a connection.
pub(super) enum WriteHalf {
    Plain(Writer),
    Tls(Box<TlsWriter>),
}

pub(super) struct TlsReader {
    reader: Reader,
    session: Session,
    cipher: Vec<u8>,
    /// Met behind bytes that were still good.
    failure: Option<io::Error>,
}

pub(super) struct TlsWriter {
    writer: Writer,
    session: Session,
    cipher: Vec<u8>,
}

/// Splits a stream with the session that was begun on it, if one was.
pub(super) fn split(stream: Stream, session: Option<Box<ClientConnection>>) -> (ReadHalf, WriteHalf) {
    let (reader, writer) = stream.split();
    let Some(session) = session else {
        return (ReadHalf::Plain(reader), WriteHalf::Plain(writer));
    };
    let session: Session = Rc::new(RefCell::new(*session));
    let read = TlsReader { reader, session: session.clone(), cipher: Vec::new(), failure: None };
    (ReadHalf::Tls(Box::new(read)), WriteHalf::Tls(Box::new(TlsWriter { writer, session, cipher: Vec::new() })))
}

impl ReadHalf {
    /// `Reader::append`; under TLS a little more than `bytes_max` may come at once.
    pub async fn append(&mut self, buffer: Vec<u8>, bytes_max: usize) -> (io::Result<usize>, Vec<u8>) {
        match self {
            Self::Plain(reader) => reader.append(buffer, bytes_max).await,
            Self::Tls(reader) => Box::pin(reader.append(buffer, bytes_max)).await,
        }
    }
}

impl WriteHalf {
    /// Writes the whole buffer. It comes back whatever happens.
    pub async fn write(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let end = buffer.len();
        self.write_part(buffer, 0, end).await
    }

    /// Writes `buffer[begin..end]`. The buffer comes back whatever happens.
    pub async fn write_part(&mut self, buffer: Vec<u8>, begin: usize, end: usize) -> (io::Result<()>, Vec<u8>) {
        match self {
            Self::Plain(writer) => writer.write_part(buffer, begin, end).await,
            Self::Tls(writer) => {
                let result = Box::pin(writer.write(buffer.get(begin..end).unwrap_or_default())).await;
                (result, buffer)
            }
        }
    }

    /// Writes bytes that others hold too.
    pub async fn write_bytes(&mut self, bytes: Bytes) -> io::Result<()> {
        match self {
            Self::Plain(writer) => writer.write_bytes(bytes).await,
            Self::Tls(writer) => Box::pin(writer.write(&bytes)).await,
        }
    }
}

impl TlsReader {
    async fn append(&mut self, mut buffer: Vec<u8>, bytes_max: usize) -> (io::Result<usize>, Vec<u8>) {
        if let Some(failure) = self.failure.take() {
            return (Err(failure), buffer);
        }
        let begin = buffer.len();
        // The handshake may have read some already.
        let mut open = drain(&mut self.session.borrow_mut(), &mut buffer);
        while buffer.len() == begin && matches!(open, Ok(true)) {
            let (result, cipher) = self.reader.append(std::mem::take(&mut self.cipher), bytes_max).await;
            self.cipher = cipher;
            open = match result {
                // The socket may end without a word of TLS: PostgreSQL's processes do when they are killed.
                Ok(0) => Ok(false),
                Ok(_) => decrypt(&mut self.session.borrow_mut(), &self.cipher, &mut buffer),
                Err(error) => Err(error),
            };
            self.cipher.clear();
        }
        let count = buffer.len() - begin;
        match open {
            Err(error) if count == 0 => return (Err(error), buffer),
            Err(error) => self.failure = Some(error),
            Ok(_) => {}
        }
        (Ok(count), buffer)
    }
}

/// Feeds what was read; false once the server has closed the session.
fn decrypt(session: &mut ClientConnection, mut cipher: &[u8], buffer: &mut Vec<u8>) -> io::Result<bool> {
    let mut open = true;
    while !cipher.is_empty() && open {
        session.read_tls(&mut cipher)?;
        session.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        open = drain(session, buffer)?;
    }
    Ok(open)
}

/// Takes all plain bytes there are; false where the server has closed the session.
pub(super) fn drain(session: &mut ClientConnection, buffer: &mut Vec<u8>) -> io::Result<bool> {
    let mut reader = session.reader();
    loop {
        match reader.fill_buf() {
            Ok([]) => return Ok(false),
            Ok(chunk) => {
                buffer.extend_from_slice(chunk);
                let count = chunk.len();
                reader.consume(count);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        }
    }
}

impl TlsWriter {
    async fn write(&mut self, mut plain: &[u8]) -> io::Result<()> {
        while !plain.is_empty() {
            let mut cipher = std::mem::take(&mut self.cipher);
            let taken = encrypt(&mut self.session.borrow_mut(), plain, &mut cipher)?;
            plain = plain.get(taken..).unwrap_or_default();
            let (result, mut cipher) = self.writer.write_from(cipher, 0).await;
            result?;
            cipher.clear();
            self.cipher = cipher;
        }
        Ok(())
    }
}

/// Turns the beginning of `plain` into records and says how much that was.
fn encrypt(session: &mut ClientConnection, plain: &[u8], cipher: &mut Vec<u8>) -> io::Result<usize> {
    let piece = plain.get(..limits::WIRE_WRITE_BYTES).unwrap_or(plain);
    let taken = session.writer().write(piece)?;
    while session.wants_write() {
        session.write_tls(cipher)?;
    }
    if taken == 0 && cipher.is_empty() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    Ok(taken)
}
