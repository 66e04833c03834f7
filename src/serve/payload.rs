//! The request's body as a parameter of its statement. A small one is copied into the batch; a large one is sent from where it
//! was received, and CSV becomes JSON on its way, so that neither is held twice.

use std::borrow::Cow;
use std::ptr;
use std::rc::Rc;

use bytes::Bytes;

use crate::http::Request;
use crate::limits;
use crate::request::payload::Payload;
use crate::request::payload_csv::{Rows, Table};
use crate::wire::piece::{Piece, Source, Value};

/// What stands for the body among a statement's values. It may be sent more than once: a stale statement is parsed anew.
#[derive(Clone, Copy, Debug)]
pub enum BodyValue<'s> {
    Bytes(&'s [u8]),
    Shared(&'s Bytes),
    Csv { table: &'s Rc<Table>, body: &'s [u8], shared: Option<&'s Bytes> },
}

impl<'s> BodyValue<'s> {
    /// Of a statement that takes no body.
    pub const NONE: Self = Self::Bytes(&[]);

    pub fn of(payload: Option<&'s Payload<'_>>, http: &Request<'s>) -> Self {
        match payload {
            Some(Payload::Json { raw, .. } | Payload::RawJson { raw } | Payload::Raw { raw }) => {
                match (raw, http.shared) {
                    // The body as it came.
                    (Cow::Borrowed(raw), Some(shared)) if ptr::eq(*raw, http.body) => Self::Shared(shared),
                    (raw, _) => Self::Bytes(raw),
                }
            }
            Some(Payload::Csv { body, table, keys: _ }) => Self::Csv { table, body, shared: http.shared },
            Some(Payload::Form { .. }) | None => Self::NONE,
        }
    }

    pub fn value(self) -> Value<'s> {
        match self {
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::Shared(bytes) => Value::Piece(Piece::Whole(bytes.clone())),
            Self::Csv { table, body, shared } => {
                let body = shared.cloned().unwrap_or_else(|| Bytes::copy_from_slice(body));
                let rows = Rows::of(table);
                Value::Piece(Piece::Made(Box::new(CsvAsJson { table: table.clone(), body, rows })))
            }
        }
    }
}

/// The rows of a CSV body, made into JSON as the server takes them.
struct CsvAsJson {
    table: Rc<Table>,
    body: Bytes,
    rows: Rows,
}

impl Source for CsvAsJson {
    fn bytes(&self) -> usize {
        self.table.json_bytes()
    }

    fn next(&mut self, out: &mut Vec<u8>) {
        self.rows.write(&self.table, &self.body, out, limits::CLIENT_WRITE_BYTES);
    }
}
