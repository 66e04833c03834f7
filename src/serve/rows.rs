//! The rows of a read on their way into the response body: buffered while anything in the head may still change,
//! streamed past `limits::BODY_BUFFERED_BYTES` where the plan proves that nothing can.

use std::cell::RefCell;
use std::rc::Rc;

use super::ServeError;
use super::answer::{Counted, Counts};
use super::transaction::Sink;
use crate::http::{Reply, ResponseHead};
use crate::json::{ARRAY_CLOSE, ARRAY_OPEN, Nest, NestRow, NestWriter, RowSeen, RowShape, RowWriter};
use crate::limits;
use crate::media::Nulls;
use crate::respond::failure::Failure;
use crate::wire::row::{DataRow, RowDescription};

/// What the body is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// `[row, \n row]`
    Array,
    /// Exactly one row, without brackets.
    Singular,
    /// The first row's object, or null.
    First,
    /// The first row's only value, or null.
    Scalar,
    /// The rows' only values.
    Scalars {
        /// Between two of them, unless the second is null.
        separator: &'static [u8],
    },
    /// The rows are counted, nothing is written.
    None,
}

/// When the body may leave before the transaction's end is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Streaming {
    Never,
    /// The head of a streamed answer is final: it was put into `Rows::stream_head` beforehand.
    PastBuffer,
}

/// The writer of a statement's rows, kept with it: compiled once for the columns that the server described.
#[derive(Debug, Default)]
pub struct CompiledWriter {
    known: Option<(Rc<RowDescription>, Rc<Writer>)>,
    /// A buffer for the next result with child rows.
    spare: Vec<u8>,
}

#[derive(Debug)]
enum Writer {
    Flat(RowWriter),
    Nested(NestWriter),
}

impl CompiledWriter {
    fn get(
        &mut self,
        shape: &RowShape,
        (framing, nulls): (Framing, Nulls),
        fields: &Rc<RowDescription>,
    ) -> Result<Rc<Writer>, ServeError> {
        if let Some((known, writer)) = &self.known
            && (Rc::ptr_eq(known, fields) || known == fields)
        {
            return Ok(writer.clone());
        }
        let writer = match &shape.children {
            None => {
                let writer = RowWriter::compile(shape, fields).map_err(|_| ServeError::FormMismatch)?;
                let writer = match nulls {
                    Nulls::Kept => writer,
                    Nulls::Stripped => writer.stripping_nulls(),
                };
                Writer::Flat(match framing {
                    Framing::Scalar | Framing::Scalars { .. } => writer.bare(),
                    Framing::Array | Framing::Singular | Framing::First | Framing::None => writer,
                })
            }
            Some(children) => {
                let writer = NestWriter::compile(shape, children, fields).map_err(|_| ServeError::FormMismatch)?;
                Writer::Nested(match nulls {
                    Nulls::Kept => writer,
                    Nulls::Stripped => writer.stripping_nulls(),
                })
            }
        };
        let writer = Rc::new(writer);
        self.known = Some((fields.clone(), writer.clone()));
        Ok(writer)
    }
}

/// What is known of the rows before they come.
#[derive(Clone, Copy, Debug)]
pub struct RowsJob<'j> {
    pub shape: &'j RowShape,
    pub compiled: &'j RefCell<CompiledWriter>,
    pub framing: Framing,
    pub nulls: Nulls,
    pub streaming: Streaming,
    pub body_bytes_max: usize,
}

pub struct Rows<'j, H> {
    job: RowsJob<'j>,
    /// Writes the head of an answer that goes out before its last row is known.
    stream_head: H,
    writer: Option<Rc<Writer>>,
    nest: Nest,
    /// Rows of the page.
    pub count: u64,
    /// Total that a leading column told.
    pub total: Option<u64>,
}

impl<'j, H: FnMut(&mut ResponseHead)> Rows<'j, H> {
    pub fn new(job: RowsJob<'j>, stream_head: H) -> Self {
        Self { job, stream_head, writer: None, nest: Nest::default(), count: 0, total: None }
    }

    /// Closes the array; the body is complete.
    pub fn finish(&mut self, reply: &mut Reply) {
        if let Some(Writer::Nested(writer)) = self.writer.as_deref() {
            writer.finish(&self.nest, reply.body());
            let spare = std::mem::take(&mut self.nest).into_spare();
            if spare.capacity() <= limits::RESPONSE_KEPT_BYTES {
                self.job.compiled.borrow_mut().spare = spare;
            }
        }
        match self.job.framing {
            Framing::Array | Framing::Scalars { .. } => {
                if self.count == 0 {
                    reply.body().extend_from_slice(ARRAY_OPEN);
                }
                reply.body().extend_from_slice(ARRAY_CLOSE);
            }
            Framing::First | Framing::Scalar if self.count == 0 => reply.body().extend_from_slice(b"null"),
            Framing::First | Framing::Scalar | Framing::Singular | Framing::None => {}
        }
    }
}

impl<H> Counts for Rows<'_, H> {
    fn counted(&self) -> Counted {
        Counted { rows: self.count, total: self.total }
    }
}

impl<H: FnMut(&mut ResponseHead)> Sink for Rows<'_, H> {
    fn columns(&mut self, fields: &Rc<RowDescription>) -> Result<(), ServeError> {
        let mut compiled = self.job.compiled.borrow_mut();
        self.writer = Some(compiled.get(self.job.shape, (self.job.framing, self.job.nulls), fields)?);
        self.nest = Nest::new(std::mem::take(&mut compiled.spare));
        Ok(())
    }

    #[inline]
    fn row(&mut self, row: DataRow<'_>, reply: &mut Reply) -> Result<(), ServeError> {
        match self.writer.as_deref() {
            None => Err(ServeError::FormMismatch),
            Some(Writer::Flat(writer)) => flat_row(&self.job, writer, (&mut self.count, &mut self.total), row, reply),
            Some(Writer::Nested(writer)) => {
                let body = reply.body();
                let begin = body.len();
                if self.job.framing == Framing::Array && self.count == 0 {
                    body.extend_from_slice(ARRAY_OPEN);
                }
                let seen = writer.write_row(&mut self.nest, body, row).map_err(|_| ServeError::FormMismatch)?;
                note_total(&mut self.total, seen.row);
                match seen.kind {
                    NestRow::Parent => self.count += 1,
                    NestRow::Child => {}
                    NestRow::Nothing => body.truncate(begin),
                }
                Ok(())
            }
        }
    }

    /// Writing is boxed: it happens once in many reads, and every idle connection would hold room for its state.
    async fn pause(&mut self, reply: &mut Reply) -> Result<(), ServeError> {
        let buffered = reply.body_len();
        if reply.is_streaming() {
            if buffered >= limits::STREAM_CHUNK_BYTES {
                Box::pin(reply.flush()).await.map_err(|_| ServeError::ClientGone)?;
            }
        } else if self.job.streaming == Streaming::PastBuffer && buffered < limits::BODY_BUFFERED_BYTES {
            if buffered >= limits::BODY_GROWTH_BYTES {
                // Once, to where streaming begins: doubling would leave as much again behind. Untouched pages cost nothing.
                let room = limits::BODY_BUFFERED_BYTES + 4 * limits::WIRE_READ_BYTES;
                reply.body().reserve_exact(room.saturating_sub(buffered));
            }
        } else if self.job.streaming == Streaming::PastBuffer {
            (self.stream_head)(&mut reply.head);
            Box::pin(reply.start_stream()).await.map_err(|_| ServeError::ClientGone)?;
        } else if buffered > self.job.body_bytes_max {
            return Err(ServeError::Failure(Failure::ResponseTooLarge { bytes_max: self.job.body_bytes_max }));
        }
        Ok(())
    }
}

#[inline]
fn flat_row(
    job: &RowsJob<'_>,
    writer: &RowWriter,
    (count, total): (&mut u64, &mut Option<u64>),
    row: DataRow<'_>,
    reply: &mut Reply,
) -> Result<(), ServeError> {
    let body = reply.body();
    let begin = body.len();
    match (job.framing, *count) {
        (Framing::Array | Framing::Scalars { .. }, 0) => body.extend_from_slice(ARRAY_OPEN),
        (Framing::Array, _) => body.extend_from_slice(writer.separator()),
        (Framing::Scalars { separator }, _) => body.extend_from_slice(separator),
        (Framing::Singular | Framing::First | Framing::Scalar | Framing::None, _) => {}
    }
    let seen = writer.write_row(body, row).map_err(|_| ServeError::FormMismatch)?;
    note_total(total, seen);
    if !seen.present {
        body.truncate(begin);
        return Ok(());
    }
    match job.framing {
        Framing::None => body.truncate(begin),
        Framing::First | Framing::Scalar if *count > 0 => body.truncate(begin),
        Framing::First | Framing::Scalar | Framing::Array | Framing::Scalars { .. } | Framing::Singular => {}
    }
    *count += 1;
    Ok(())
}

fn note_total(total: &mut Option<u64>, seen: RowSeen) {
    if let Some(told) = seen.total {
        *total = u64::try_from(told).ok();
    }
}
