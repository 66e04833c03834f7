//! A plan as SQL: text, parameters, and how the result's columns become JSON. Writes what the plan says, nothing else.
//! Must not know: sockets, HTTP. Values enter by `SqlWriter::bind` only, names by `SqlWriter::ident` only.

use crate::json::RowShape;

pub mod call;
mod child_rows;
mod clauses;
mod columns;
pub mod condition;
pub mod count;
pub mod explain;
pub mod ident;
pub mod mutate;
mod node;
pub mod param;
pub mod read;
pub mod setup;
pub mod visible;
pub mod writer;

/// One SQL statement, ready to be prepared. Its text never depends on the client's values.
#[derive(Clone, PartialEq, Debug)]
pub struct Statement {
    pub text: String,
    pub params: Vec<Param>,
    pub result: ResultShape,
}

/// A parameter: sent in text format with an unspecified type, so that PostgreSQL infers it.
#[derive(Clone, PartialEq, Debug)]
pub struct Param {
    /// The operand slot the value came from; `None` for values that belong to the shape. With the transforms `Limit` and
    /// `Offset` it is an index in `Query::ranges`, `None` being the root's own range; with `Argument` and `Items` one in
    /// `Query::arguments`.
    pub slot: Option<u32>,
    pub transform: Transform,
    /// The value as sent, `None` for NULL.
    pub value: Option<Vec<u8>>,
}

/// How a client's operand becomes the value that is sent; applied again when a cached statement gets new values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transform {
    Verbatim,
    /// like, ilike: `*` → `%`
    StarToPercent,
    /// in: elements → array literal
    ArrayLiteral,
    /// A routine's argument.
    Argument,
    /// The arguments of a variadic parameter, from the first → array literal
    Items,
    /// limit: at most this many rows
    Limit {
        rows_max: Option<u64>,
    },
    /// offset
    Offset,
    /// The request's body: `value` is `None`, the bytes are taken from the request and not copied into the statement; or
    /// what had to be made of them.
    Payload,
}

/// What comes back.
#[derive(Clone, PartialEq, Debug)]
pub enum ResultShape {
    /// Plain columns that the row writer turns into JSON objects.
    Rows(RowShape),
    /// One row: the leading columns, then the finished body.
    Body { leading: Vec<Leading> },
    /// One row of leading columns only: the answer to HEAD.
    Counts { leading: Vec<Leading> },
    /// One row: the leading columns, then the key of the one row written; NULLs where there isn't exactly one.
    Key { leading: Vec<Leading> },
    /// An execution plan, a line a row; the body is the lines with line feeds between them.
    PlanLines,
    /// Nothing is read from the rows.
    Discard,
}

/// Columns before the body or the row's own columns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leading {
    /// Total number of rows that match, for Content-Range.
    Total,
    /// Number of rows in the page, where the body doesn't tell.
    PageTotal,
    /// NULL where this row only carries the leading columns.
    Presence,
}
