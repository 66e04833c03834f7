//! One connection to PostgreSQL: batches out, answers in, strictly in order.
//! Owns: the socket, the read buffer, the queue of answers still due, which statements are prepared here.
//! Must not know: HTTP, plans, JSON. It moves frames; `json` gives them meaning.
//! Invariant: every `Sync` sent is answered by exactly one `ReadyForQuery`, in sending order.
//! Limits: `limits::FRAME_BYTES_MAX`, `limits::PREPARED_PER_CONNECTION`, `limits::NOTIFICATIONS_MAX`.

use std::future::{Future, poll_fn};
use std::io;
use std::num::NonZeroU16;
use std::os::fd::RawFd;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::answers::{Answers, Due, Step};
use super::connect::{Authenticated, BackendKey, Socket};
use super::db_error::DbError;
use super::encode::{self, Refusal};
use super::outgoing::{Expected, Outgoing};
use super::piece::Value;
pub use super::prepared::StatementCounts;
use super::prepared::{Need, Prepared};
use super::row::{DataRow, RowDescription};
use super::tls::{self, ReadHalf};
use super::{TransactionStatus, WireError};
use crate::rt::{self, Stream};
use crate::{limits, sys};

/// Between requests. The pool stores only `Idle`, and `begin` consumes it: a busy connection cannot be handed out.
pub struct Idle(Box<Connection>);

/// Answers may be due. Dropping it closes the socket: rows left unread would reach whoever came next.
pub struct Busy(Box<Connection>);

/// A message that somebody sent with NOTIFY to a channel this connection listens on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notification {
    pub process_id: i32,
    pub channel: String,
    pub payload: String,
}

/// What the server says about the batch, in the batch's order. `statement` counts `execute`s from 0 within the batch,
/// which ends at `sync`.
// An error is rare and written in place: boxing it would save nothing per row.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum Answer<'a> {
    /// The statement's parameters were taken; its rows will have these columns.
    Bound {
        statement: usize,
        fields: &'a Rc<RowDescription>,
    },
    Row(DataRow<'a>),
    /// The statement is done; the tag is empty for an empty statement.
    Complete {
        tag: &'a str,
    },
    /// There are more rows than `fetch` asked for; without it only a rude server says so.
    Suspended,
    /// The rest of the batch is skipped and `Ready` follows, unless the error is fatal. `statement` is one past the last
    /// for an error at the transaction's end. `bound` is false while the statement itself had not begun: an error
    /// that is `is_stale_statement` then asks for the batch to be sent once again, and the statement is parsed anew.
    Error {
        error: DbError,
        statement: usize,
        bound: bool,
    },
    /// The batch is over.
    Ready(TransactionStatus),
}

impl Idle {
    /// Takes over a connection that a connector thread has opened. Must run on the loop that will use it.
    pub fn adopt(authenticated: Authenticated) -> io::Result<Self> {
        let Authenticated { socket, session, key, parameters, leftover } = authenticated;
        let stream = match socket {
            Socket::Tcp(socket) => Stream::from_tcp(socket)?,
            Socket::Unix(socket) => Stream::from_unix(socket)?,
        };
        let fd = stream.raw_fd();
        let (reader, writer) = tls::split(stream, session);
        let connection = Connection {
            fd,
            key,
            reader,
            outgoing: Outgoing::new(writer),
            answers: Answers::new(leftover, parameters),
            executes: 0,
            batch: 1,
            unsent: 0,
            refused: None,
            in_flight: false,
            opened: Instant::now(),
        };
        Ok(Self(Box::new(connection)))
    }

    pub fn key(&self) -> &BackendKey {
        &self.0.key
    }

    /// For a deadline in `rt::watch`: a socket that is shut down ends whatever is waited for on it.
    pub fn raw_fd(&self) -> RawFd {
        self.0.fd
    }

    /// When it was adopted.
    pub fn opened(&self) -> Instant {
        self.0.opened
    }

    /// A setting that the server reports, by its reported spelling (`DateStyle`, `server_version`).
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.0.answers.parameter(name)
    }

    /// Ends the connection while `notification_or_pulse` waits on it.
    pub fn hang_up(&self) -> HangUp {
        HangUp(self.0.fd)
    }

    /// True once the server has closed its side: the next batch could only fail.
    pub fn is_dead(&self) -> bool {
        sys::fd::peer_closed(self.0.fd)
    }

    /// The columns of the statement under this text, where it is prepared here.
    pub fn columns(&self, text: &str) -> Option<&Rc<RowDescription>> {
        self.0.answers.prepared.columns(text)
    }

    /// The statement under this text is parsed anew when it is next used.
    pub fn forget(&mut self, text: &str) {
        self.0.answers.prepared.forget(text);
    }

    /// What was counted since the last time.
    pub fn take_statement_counts(&mut self) -> StatementCounts {
        std::mem::take(&mut self.0.answers.prepared.counts)
    }

    pub fn prepared_count(&self) -> usize {
        self.0.answers.prepared.len()
    }

    /// What the log calls it: by the process that serves it.
    pub fn name(&self) -> String {
        format!("Connection {}", self.key().process_id)
    }

    pub fn begin(self) -> Busy {
        Busy(self.0)
    }

    /// Waits for the next NOTIFY, however long that takes. Cancel: the connection cannot be used again.
    pub async fn notification(&mut self) -> Result<Notification, WireError> {
        self.notification_or_pulse(FOREVER, FOREVER).await
    }

    /// Waits for the next NOTIFY. A server that is silent for `quiet` is asked for a sign of life and gets `patience` to
    /// give it. Cancel: the connection cannot be used again, and must be ended by `hang_up` before.
    pub async fn notification_or_pulse(
        &mut self,
        quiet: Duration,
        patience: Duration,
    ) -> Result<Notification, WireError> {
        loop {
            if let Some(notification) = self.0.answers.notifications.pop_front() {
                return Ok(notification);
            }
            match self.0.answers.step()? {
                Some(Step::Error { .. }) => return Err(WireError::Closed),
                // The sign of life.
                Some(Step::Ready(_)) => {}
                Some(_) => return Err(WireError::Protocol("an answer that nobody asked for")),
                None if self.0.answers.notifications.is_empty() => self.0.more_or_pulse(quiet, patience).await?,
                None => {}
            }
        }
    }

    /// A NOTIFY that was read along with something else.
    pub fn take_notification(&mut self) -> Option<Notification> {
        self.0.answers.notifications.pop_front()
    }

    /// Takes leave of the server, so that its log stays clean.
    pub async fn close(mut self) {
        self.0.outgoing.clear();
        self.0.outgoing.buffer.extend_from_slice(encode::TERMINATE);
        self.0.outgoing.send(Expected::Silence).await;
    }
}

impl Busy {
    /// For a deadline in `rt::watch`, as with `Idle`.
    pub fn raw_fd(&self) -> RawFd {
        self.0.fd
    }

    pub fn key(&self) -> &BackendKey {
        &self.0.key
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.0.answers.parameter(name)
    }

    /// Appends a statement to the batch: prepared here already, or from now on. Every value in text format, as many as
    /// the text has parameters. What the protocol cannot say is refused by `send`.
    pub fn execute<'p>(&mut self, text: &str, params: impl IntoIterator<Item = Option<&'p [u8]>>) {
        self.execute_values(text, params.into_iter().map(Value::from));
    }

    /// `execute` where a value may be too large to be copied.
    pub fn execute_values<'p>(&mut self, text: &str, values: impl IntoIterator<Item = Value<'p>>) {
        let result = self.0.execute(text, values);
        self.0.note(result);
    }

    /// Appends a statement without a name on the connection: for transaction poolers (`db-prepared-statements = false`).
    pub fn execute_unnamed<'p>(&mut self, text: &str, params: impl IntoIterator<Item = Option<&'p [u8]>>) {
        self.execute_unnamed_values(text, params.into_iter().map(Value::from));
    }

    /// `execute_unnamed` where a value may be too large to be copied.
    pub fn execute_unnamed_values<'p>(&mut self, text: &str, values: impl IntoIterator<Item = Value<'p>>) {
        let result = self.0.open_unnamed(text, values).map(|()| self.0.run(encode::ALL_ROWS));
        self.0.note(result);
    }

    /// Appends the planning of a statement without a name, whose rows `fetch` then asks for. Within a transaction block it
    /// stays open over `sync`, until the next statement.
    pub fn open_unnamed<'p>(&mut self, text: &str, params: impl IntoIterator<Item = Option<&'p [u8]>>) {
        let result = self.0.open_unnamed(text, params.into_iter().map(Value::from));
        self.0.note(result);
    }

    /// Appends the request for the next rows of what was opened last: `Suspended` says that there are more.
    pub fn fetch(&mut self, rows_max: NonZeroU16) {
        self.0.run(i32::from(rows_max.get()));
    }

    /// Ends the batch: what came since the last `sync` is one implicit transaction, unless BEGIN was among it.
    pub fn sync(&mut self) {
        let connection = &mut *self.0;
        encode::sync(&mut connection.outgoing.buffer);
        connection.answers.due.push_back(Due::Sync { executes: connection.executes });
        connection.answers.syncs_due += 1;
        connection.executes = 0;
        connection.batch += 1;
        connection.unsent += 1;
    }

    /// Sends what was appended, one batch or several, in one write. A batch that may not fit into the socket's buffer goes on being written
    /// by `more`. A server that takes nothing more is noticed by `more` too, after its last words.
    /// Cancel: the connection closes.
    pub async fn send(&mut self) -> Result<(), WireError> {
        self.0.send().await
    }

    /// The next answer that is there already; `None`: ask for `more`.
    #[inline]
    pub fn answer(&mut self) -> Result<Option<Answer<'_>>, WireError> {
        let answers = &mut self.0.answers;
        let Some(step) = answers.step()? else {
            return Ok(None);
        };
        let answer = match step {
            Step::Row { body } => Answer::Row(answers.row(body)?),
            Step::Bound { statement } => Answer::Bound { statement, fields: answers.fields() },
            Step::Complete { tag } => Answer::Complete { tag: answers.text(tag)? },
            Step::Suspended => Answer::Suspended,
            Step::Error { error, statement, bound } => Answer::Error { error: *error, statement, bound },
            Step::Ready(status) => Answer::Ready(status),
        };
        Ok(Some(answer))
    }

    /// One read of at most `limits::WIRE_READ_BYTES`. Cancel: the connection cannot be used again.
    pub async fn more(&mut self) -> Result<(), WireError> {
        self.0.more().await
    }

    /// Batches whose `Ready` is still to be read.
    pub fn syncs_due(&self) -> usize {
        self.0.answers.syncs_due
    }

    /// The statement under this text is parsed anew when it is next used.
    pub fn forget(&mut self, text: &str) {
        self.0.answers.prepared.forget(text);
    }

    /// Every statement is parsed anew: the server has dropped them (DISCARD ALL).
    pub fn forget_all(&mut self) {
        self.0.answers.prepared.forget_all();
    }

    /// Reads through the last `Ready` due; the only way back to `Idle`. Refuses a connection whose transaction is open.
    /// Cancel: closes the connection.
    pub async fn finish(mut self) -> Result<Idle, WireError> {
        if self.0.executes > 0 || !self.0.outgoing.buffer.is_empty() && !self.0.outgoing.is_writing() {
            return Err(WireError::Unusable("a batch was left unsent"));
        }
        while !self.0.answers.due.is_empty() {
            match self.answer()? {
                Some(_) => {}
                // Boxed: most often nothing is due any more, and every request would hold room for its state.
                None => Box::pin(self.0.more()).await?,
            }
        }
        self.0.outgoing.finish().await;
        match self.0.answers.status {
            TransactionStatus::Idle => {}
            TransactionStatus::InTransaction | TransactionStatus::Failed => {
                return Err(WireError::Unusable("a transaction was left open"));
            }
        }
        self.0.answers.shrink();
        Ok(Idle(self.0))
    }

    /// `finish` for a connection whose query was cancelled, once the cancellation has been delivered: the cancel may
    /// have missed its statement, so one empty round trip takes the blow before anybody else's statement can.
    /// Cancel: closes the connection.
    pub async fn settle(self) -> Result<Idle, WireError> {
        let mut busy = self.finish().await?.begin();
        busy.sync();
        busy.send().await?;
        busy.finish().await
    }
}

struct Connection {
    fd: RawFd,
    key: BackendKey,
    reader: ReadHalf,
    outgoing: Outgoing,
    answers: Answers,
    /// Statements in the batch that grows.
    executes: usize,
    /// Number of the batch that grows.
    batch: u64,
    /// Batches that are complete but not sent.
    unsent: usize,
    refused: Option<Refusal>,
    /// A read or write was begun; if it still is when the next begins, it was abandoned and took bytes with it.
    in_flight: bool,
    opened: Instant,
}

impl Connection {
    fn note(&mut self, result: Result<(), Refusal>) {
        if let Err(refusal) = result {
            self.refused.get_or_insert(refusal);
        }
    }

    fn execute<'p>(&mut self, text: &str, params: impl IntoIterator<Item = Value<'p>>) -> Result<(), Refusal> {
        let statement = self.executes;
        for name in std::mem::take(&mut self.answers.prepared.to_close) {
            self.close_statement(name)?;
        }
        match self.answers.prepared.need(text, self.batch) {
            Need::Nothing(prepared) => self.bind(prepared, params)?,
            Need::Unnamed => self.open_unnamed(text, params)?,
            Need::Parse { statement: prepared, evicted } => {
                for name in evicted {
                    self.close_statement(name)?;
                }
                self.parse(&prepared, text, statement)?;
                self.bind(prepared, params)?;
            }
        }
        self.run(encode::ALL_ROWS);
        Ok(())
    }

    fn open_unnamed<'p>(&mut self, text: &str, params: impl IntoIterator<Item = Value<'p>>) -> Result<(), Refusal> {
        let prepared = Prepared::unnamed();
        self.parse(&prepared, text, self.executes)?;
        self.bind(prepared, params)
    }

    fn close_statement(&mut self, name: u64) -> Result<(), Refusal> {
        encode::close_statement(&mut self.outgoing.buffer, name)?;
        self.answers.due.push_back(Due::Close { name, statement: self.executes });
        Ok(())
    }

    fn parse(&mut self, prepared: &Rc<Prepared>, text: &str, statement: usize) -> Result<(), Refusal> {
        encode::parse(&mut self.outgoing.buffer, prepared.name, text)?;
        encode::describe_statement(&mut self.outgoing.buffer, prepared.name)?;
        self.answers.due.push_back(Due::Parse { prepared: prepared.clone(), statement });
        self.answers.due.push_back(Due::Describe { prepared: prepared.clone(), statement });
        Ok(())
    }

    fn bind<'p>(&mut self, prepared: Rc<Prepared>, params: impl IntoIterator<Item = Value<'p>>) -> Result<(), Refusal> {
        let Outgoing { buffer, pieces, .. } = &mut self.outgoing;
        encode::bind(buffer, pieces, prepared.name, params)?;
        self.answers.due.push_back(Due::Bind { prepared, statement: self.executes });
        Ok(())
    }

    /// The portal that was bound last.
    fn run(&mut self, rows_max: i32) {
        encode::execute(&mut self.outgoing.buffer, rows_max);
        self.answers.due.push_back(Due::Execute { statement: self.executes });
        self.executes += 1;
    }

    fn begin_operation(&mut self) -> Result<(), WireError> {
        if self.in_flight {
            return Err(WireError::Unusable("an operation on the connection was abandoned"));
        }
        self.in_flight = true;
        Ok(())
    }

    async fn send(&mut self) -> Result<(), WireError> {
        if let Some(why) = self.refused {
            return Err(WireError::Unsendable(why));
        }
        self.begin_operation()?;
        // A server with earlier answers unread may be blocked on writing them.
        let earlier = self.answers.syncs_due > std::mem::take(&mut self.unsent);
        let expected = if earlier { Expected::Answers } else { Expected::Silence };
        self.outgoing.send(expected).await;
        self.in_flight = false;
        Ok(())
    }

    /// `more` on a connection that owes nothing: an empty batch asks a silent server whether it is there.
    async fn more_or_pulse(&mut self, quiet: Duration, patience: Duration) -> Result<(), WireError> {
        self.begin_operation()?;
        let input = self.answers.take_input();
        let Self { fd, reader, outgoing, answers, .. } = self;
        let (result, input) = {
            let mut read = pin!(reader.append(input, limits::WIRE_READ_BYTES));
            let mut done = rt::within_borrowed(read.as_mut(), quiet).await;
            if done.is_none() {
                encode::sync(&mut outgoing.buffer);
                answers.due.push_back(Due::Sync { executes: 0 });
                answers.syncs_due += 1;
                outgoing.send(Expected::Answers).await;
                let mut both = pin!(poll_fn(|context| {
                    let _: Poll<()> = outgoing.poll(context);
                    read.as_mut().poll(context)
                }));
                done = rt::within_borrowed(both.as_mut(), patience).await;
            }
            match done {
                Some(done) => done,
                None => {
                    sys::fd::shutdown(*fd);
                    let (_, input) = read.await;
                    (Err(io::Error::new(io::ErrorKind::TimedOut, "no answer to the heartbeat")), input)
                }
            }
        };
        self.arrived(result, input)
    }

    async fn more(&mut self) -> Result<(), WireError> {
        self.begin_operation()?;
        let input = self.answers.take_input();
        let Self { reader, outgoing, .. } = self;
        let (result, input) = if outgoing.is_writing() {
            let mut read = std::pin::pin!(reader.append(input, limits::WIRE_READ_BYTES));
            poll_fn(|context| {
                let _: Poll<()> = outgoing.poll(context);
                read.as_mut().poll(context)
            })
            .await
        } else {
            reader.append(input, limits::WIRE_READ_BYTES).await
        };
        self.arrived(result, input)
    }

    fn arrived(&mut self, result: io::Result<usize>, input: Vec<u8>) -> Result<(), WireError> {
        self.answers.put_input(input);
        self.in_flight = false;
        match result {
            Ok(0) => Err(WireError::Closed),
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Longer than a process lives, and within what the timers take.
const FOREVER: Duration = Duration::from_secs(365 * 86_400);

/// Ends a connection that is lent to `Idle::notification_or_pulse`. Use it only while the `Idle` is alive.
#[derive(Debug)]
pub struct HangUp(RawFd);

impl HangUp {
    /// The wait ends with an error.
    pub fn now(&self) {
        sys::fd::shutdown(self.0);
    }
}

impl Drop for Connection {
    /// Completes whatever operation is still in flight.
    fn drop(&mut self) {
        sys::fd::shutdown(self.fd);
    }
}
