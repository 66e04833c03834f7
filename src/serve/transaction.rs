//! A request's statements as one transaction, answers in order:
//! `settings → (pre-request) → main → (planned count) → (response GUCs)`; role and request.* hold for what follows in the
//! batch and are gone at its end. Implicit: one flush, one `Sync`, which commits. Explicit, where the result decides how
//! the transaction ends or another isolation level is asked for: BEGIN in front, and COMMIT or ROLLBACK after a look.
//! Invariant: when `run` returns, the connection is back in the pool, clean, or closed.

use std::pin::pin;
use std::rc::Rc;

use smallvec::SmallVec;

use super::ServeError;
use super::payload::BodyValue;
use crate::http::Reply;
use crate::pool::{Lease, Leased, Passenger, Pool, Sharing};
use crate::rt::{First, first};
use crate::sql::setup::{Given, Values};
use crate::wire::conn::{Answer, Busy, Idle};
use crate::wire::db_error::DbError;
use crate::wire::piece::Value;
use crate::wire::row::{DataRow, RowDescription};
use crate::wire::{TransactionStatus, WireError};

/// One statement of the batch.
#[derive(Clone, Copy, Debug)]
pub struct Step<'s> {
    pub text: &'s str,
    pub values: &'s Values,
    pub want: Want,
    /// What one of the values stands for, where it is the request's body.
    pub payload: BodyValue<'s>,
}

/// What becomes of a step's rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Want {
    Nothing,
    /// They go to the sink.
    Main,
    /// The fields of the first row are kept.
    FirstRow,
}

/// How statements are sent (`db-prepared-statements`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Preparation {
    Prepared,
    Unnamed,
}

/// How the transaction is bounded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// It is the batch itself; success commits.
    Implicit,
    /// Implicit where the main statement's columns are known on this connection, and the sink takes them. Elsewhere `begin`
    /// opens it and a look ends it: what was done for a result that then can't be answered would stay done.
    Checked { begin: &'static str },
    /// `begin` opens it; the sink's verdict ends it.
    Explicit { begin: &'static str },
}

/// How an explicit transaction ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Commit,
    /// Deferred constraints are checked first, so that the client hears of them all the same.
    Rollback,
}

/// Takes the main statement's rows.
pub trait Sink {
    /// The statement is bound; its columns are these. Called again if the batch is sent again.
    fn columns(&mut self, fields: &Rc<RowDescription>) -> Result<(), ServeError>;
    fn row(&mut self, row: DataRow<'_>, reply: &mut Reply) -> Result<(), ServeError>;
    /// Called between reads: may write to the client.
    fn pause(&mut self, reply: &mut Reply) -> impl Future<Output = Result<(), ServeError>>;
    /// Every statement has run: how does an explicit transaction end? An error rolls back and is the answer.
    fn verdict(&self, _first_rows: &FirstRows) -> Result<End, ServeError> {
        Ok(End::Commit)
    }
}

/// The first row of every `Want::FirstRow` step, in step order; empty where there was none. Response settings that nobody
/// set, two NULLs, allocate nothing.
pub type FirstRows = SmallVec<[FirstRow; 2]>;
pub type FirstRow = SmallVec<[Option<Vec<u8>>; 2]>;

/// How the steps are run.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub form: Form,
    pub preparation: Preparation,
    /// `Sharing::Together` only with `Form::Implicit`.
    pub sharing: Sharing,
}

/// Runs the steps. A statement that went stale on this connection (DDL, DISCARD ALL) is parsed again and everything sent
/// once more: the server said that nothing ran. Nothing else is ever sent twice, but what may share a connection.
pub async fn run<S: Sink>(
    pool: &Rc<Pool>,
    steps: &[Step<'_>],
    manner: Manner,
    sink: &mut S,
    reply: &mut Reply,
) -> Result<FirstRows, ServeError> {
    let preparation = if pool.prepares() { manner.preparation } else { Preparation::Unnamed };
    let mut manner = Manner { preparation, ..manner };
    loop {
        match pool.lease(manner.sharing).await.map_err(ServeError::Pool)? {
            Leased::Alone(lease) => return run_alone(pool, lease, steps, manner, sink, reply).await,
            Leased::Together(passenger) => {
                // Boxed: every idle client would hold room for its state.
                let together = Box::pin(run_together(pool, passenger, steps, manner, sink, reply));
                if let Some(first_rows) = together.await? {
                    return Ok(first_rows);
                }
            }
        }
        manner.sharing = Sharing::Alone;
    }
}

async fn run_alone<S: Sink>(
    pool: &Pool,
    mut lease: Lease,
    steps: &[Step<'_>],
    manner: Manner,
    sink: &mut S,
    reply: &mut Reply,
) -> Result<FirstRows, ServeError> {
    let mut idle = lease.take();
    let mut renewed = false;
    loop {
        let form = match checked(manner.form, &idle, steps, sink) {
            Ok(form) => form,
            Err(error) => {
                lease.put_back(idle);
                return Err(error);
            }
        };
        let mut busy = idle.begin();
        append(&mut busy, form, steps, manner.preparation);
        let mut batch = Batch::new(steps, form);
        // An unreadable connection is closed by dropping it, here and below.
        busy.send().await.map_err(ServeError::Wire)?;
        batch.receive(&lease, &mut busy, sink, reply).await.map_err(|error| batch.prior_failure(error))?;
        if form != Form::Implicit {
            let ended = batch.end(&mut busy, sink, reply).await;
            if ended.is_err() && batch.committed == Committed::Yes {
                // The backend died after its COMMIT: what was written stays written.
                return Ok(batch.first_rows);
            }
            ended?;
        }
        idle = match batch.cancelled {
            Cancelled::No => busy.finish().await,
            Cancelled::Yes => Box::pin(busy.settle()).await,
        }
        .map_err(|error| batch.prior_failure(error))?;
        match batch.stale() {
            Some((error, text)) if !renewed => {
                renewed = true;
                pool.note_stale(error);
                idle.forget(text);
            }
            Some(_) | None => {
                lease.put_back(idle);
                return batch.outcome();
            }
        }
    }
}

/// Runs the steps on a connection that others share. `None`: they are to be run alone.
async fn run_together<S: Sink>(
    pool: &Pool,
    passenger: Passenger,
    steps: &[Step<'_>],
    manner: Manner,
    sink: &mut S,
    reply: &mut Reply,
) -> Result<Option<FirstRows>, ServeError> {
    let turn = passenger.turn(|busy| append(busy, manner.form, steps, manner.preparation)).await;
    let Some((lease, mut busy)) = turn else { return Ok(None) };
    let mut batch = Batch::new(steps, manner.form);
    batch.receive(&lease, &mut busy, sink, reply).await.map_err(|error| batch.prior_failure(error))?;
    if let Some((error, text)) = batch.stale() {
        pool.note_stale(error);
        busy.forget(text);
        lease.pass_on(busy).await;
        return Ok(None);
    }
    match batch.cancelled {
        Cancelled::No => lease.pass_on(busy).await,
        Cancelled::Yes => {
            let settled = Box::pin(busy.settle()).await;
            lease.put_back(settled.map_err(|error| batch.prior_failure(error))?);
        }
    }
    batch.outcome().map(Some)
}

impl<'s> Step<'s> {
    fn value(&self, given: Given<'s>) -> Value<'s> {
        match given {
            Given::Null => Value::Null,
            Given::Own(bytes) => Value::Bytes(bytes),
            Given::Payload => self.payload.value(),
        }
    }
}

/// Decides what `Form::Checked` is on this connection.
fn checked<S: Sink>(form: Form, idle: &Idle, steps: &[Step<'_>], sink: &mut S) -> Result<Form, ServeError> {
    let Form::Checked { begin } = form else { return Ok(form) };
    let main = steps.iter().find(|step| step.want == Want::Main);
    match main.and_then(|main| idle.columns(main.text)) {
        Some(fields) => sink.columns(fields).map(|()| Form::Implicit),
        None => Ok(Form::Explicit { begin }),
    }
}

/// The whole batch, up to its Sync.
fn append(busy: &mut Busy, form: Form, steps: &[Step<'_>], preparation: Preparation) {
    if let Form::Explicit { begin } = form {
        execute(busy, begin, [], preparation);
    }
    for step in steps {
        execute(busy, step.text, step.values.iter().map(|given| step.value(given)), preparation);
    }
    busy.sync();
}

fn execute<'p>(busy: &mut Busy, text: &str, values: impl IntoIterator<Item = Value<'p>>, preparation: Preparation) {
    match preparation {
        Preparation::Prepared => busy.execute_values(text, values),
        Preparation::Unnamed => busy.execute_unnamed_values(text, values),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    No,
    Yes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cancelled {
    No,
    Yes,
}

/// Whether PostgreSQL said that an explicit transaction is committed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Committed {
    No,
    Yes,
}

enum Failure {
    Database {
        error: Box<DbError>,
        statement: usize,
        bound: Bound,
    },
    /// The sink or the client gave up; what the server still sends is read and dropped.
    Sink(ServeError),
}

struct Batch<'s> {
    steps: &'s [Step<'s>],
    /// What stands in front of them.
    begin: Option<&'static str>,
    /// Statements in front of the steps.
    before: usize,
    current: usize,
    first_rows: FirstRows,
    failure: Option<Failure>,
    cancelled: Cancelled,
    committed: Committed,
}

impl<'s> Batch<'s> {
    fn new(steps: &'s [Step<'s>], form: Form) -> Self {
        let begin = match form {
            Form::Explicit { begin } => Some(begin),
            Form::Implicit | Form::Checked { .. } => None,
        };
        Self {
            steps,
            begin,
            before: usize::from(begin.is_some()),
            current: 0,
            first_rows: FirstRows::new(),
            failure: None,
            cancelled: Cancelled::No,
            committed: Committed::No,
        }
    }

    /// The statement that is to be parsed again, where one failed for that before it had begun.
    fn stale(&self) -> Option<(&DbError, &'s str)> {
        let Some(Failure::Database { error, statement, bound: Bound::No }) = &self.failure else { return None };
        let mut texts = self.begin.into_iter().chain(self.steps.iter().map(|step| step.text));
        let text = texts.nth(*statement)?;
        error.is_stale_statement().then_some((&**error, text))
    }

    fn outcome(self) -> Result<FirstRows, ServeError> {
        match self.failure {
            None => Ok(self.first_rows),
            Some(Failure::Database { error, .. }) => Err(ServeError::Database(error)),
            Some(Failure::Sink(error)) => Err(error),
        }
    }
}

impl Batch<'_> {
    /// Reads to the `Ready` of a batch that was sent. An error means that the connection can't be read further.
    async fn receive<S: Sink>(
        &mut self,
        lease: &Lease,
        busy: &mut Busy,
        sink: &mut S,
        reply: &mut Reply,
    ) -> Result<(), WireError> {
        reply.watch_peer();
        loop {
            while let Some(answer) = busy.answer()? {
                if let Answer::Ready(_) = answer {
                    reply.unwatch_peer();
                    return Ok(());
                }
                self.take(answer, sink, reply);
            }
            if self.failure.is_none()
                && let Err(error) = sink.pause(reply).await
            {
                self.give_up(error);
            }
            if reply.is_streaming() {
                // From here on the client sets the pace.
                lease.go_alone();
            }
            self.more(lease, busy, reply).await?;
        }
    }

    /// Ends the explicit transaction as the sink says, or by ROLLBACK after a failure. What goes wrong at COMMIT is the
    /// batch's failure like any other.
    async fn end<S: Sink>(&mut self, busy: &mut Busy, sink: &mut S, reply: &mut Reply) -> Result<(), ServeError> {
        let verdict = match &self.failure {
            Some(_) => None,
            None => match sink.verdict(&self.first_rows) {
                Ok(end) => Some(end),
                Err(error) => {
                    self.give_up(error);
                    None
                }
            },
        };
        let texts: &[&str] = match verdict {
            Some(End::Commit) => &["commit"],
            Some(End::Rollback) => &["set constraints all immediate", "rollback"],
            None => &["rollback"],
        };
        let status = self.finish_with(busy, sink, reply, texts).await?;
        if status == TransactionStatus::Failed {
            // A deferred constraint stopped `set constraints`; the rollback after it was skipped. A transaction that is
            // open even then (user code may drop prepared statements) ends with its connection.
            self.finish_with(busy, sink, reply, &["rollback"]).await?;
        }
        Ok(())
    }

    /// One more batch on the same connection, whose rows nobody wants. Never prepared: a statement that turned out to be
    /// lost here would cost a transaction that has done its work.
    async fn finish_with<S: Sink>(
        &mut self,
        busy: &mut Busy,
        sink: &mut S,
        reply: &mut Reply,
        texts: &[&str],
    ) -> Result<TransactionStatus, ServeError> {
        for text in texts {
            busy.execute_unnamed(text, std::iter::empty());
        }
        busy.sync();
        self.before = usize::MAX;
        // The end of a transaction isn't cancelled: whatever becomes of it is what the client must be told.
        let status = self.read_unwatched(busy, sink, reply).await;
        status.map_err(|error| self.prior_failure(error))
    }

    async fn read_unwatched<S: Sink>(
        &mut self,
        busy: &mut Busy,
        sink: &mut S,
        reply: &mut Reply,
    ) -> Result<TransactionStatus, WireError> {
        busy.send().await?;
        loop {
            while let Some(answer) = busy.answer()? {
                if let Answer::Ready(status) = answer {
                    return Ok(status);
                }
                self.take(answer, sink, reply);
            }
            busy.more().await?;
        }
    }

    fn take<S: Sink>(&mut self, answer: Answer<'_>, sink: &mut S, reply: &mut Reply) {
        match answer {
            Answer::Bound { statement, fields } => {
                self.current = statement;
                let want = self.want();
                if want == Want::FirstRow {
                    self.first_rows.push(FirstRow::new());
                } else if want == Want::Main
                    && let Err(error) = sink.columns(fields)
                {
                    self.give_up(error);
                }
            }
            Answer::Row(_) if self.failure.is_some() => {}
            Answer::Row(row) => match self.want() {
                Want::Nothing => {}
                Want::Main => {
                    if let Err(error) = sink.row(row, reply) {
                        self.give_up(error);
                    }
                }
                Want::FirstRow => {
                    if let Some(first) = self.first_rows.last_mut().filter(|first| first.is_empty()) {
                        first.extend(row.fields().map(|field| field.map(<[u8]>::to_vec)));
                    }
                }
            },
            // A backend that is told to end says so after COMMIT too, where it takes nothing back.
            Answer::Error { .. } if self.committed == Committed::Yes => {}
            Answer::Error { error, statement, bound } => {
                let bound = if bound { Bound::Yes } else { Bound::No };
                self.failure.get_or_insert(Failure::Database { error: Box::new(error), statement, bound });
            }
            Answer::Complete { tag: "COMMIT" } => self.committed = Committed::Yes,
            Answer::Complete { .. } | Answer::Suspended | Answer::Ready(_) => {}
        }
    }

    fn want(&self) -> Want {
        let step = self.current.checked_sub(self.before).and_then(|step| self.steps.get(step));
        step.map_or(Want::Nothing, |step| step.want)
    }

    fn give_up(&mut self, error: ServeError) {
        self.failure.get_or_insert(Failure::Sink(error));
    }

    /// One read. Once nobody wants the result any more the query is cancelled, while the read in flight goes on.
    async fn more(&mut self, lease: &Lease, busy: &mut Busy, reply: &mut Reply) -> Result<(), WireError> {
        if self.cancelled == Cancelled::Yes {
            return busy.more().await;
        }
        let key = busy.key().clone();
        let mut read = pin!(busy.more());
        if self.failure.is_none() {
            let gone = pin!(reply.peer_gone());
            match first(read.as_mut(), gone).await {
                First::Left(result) => return result,
                First::Right(()) => self.give_up(ServeError::ClientGone),
            }
        } else if !matches!(self.failure, Some(Failure::Sink(_))) {
            // PostgreSQL has ended the batch itself; what is left to read is its ReadyForQuery.
            return read.await;
        }
        self.cancelled = Cancelled::Yes;
        Box::pin(lease.cancel_until(&key, read)).await
    }

    /// What went wrong first is what the client is told.
    fn prior_failure(&mut self, then: WireError) -> ServeError {
        match self.failure.take() {
            Some(Failure::Database { error, .. }) => ServeError::Database(error),
            Some(Failure::Sink(error)) => error,
            None => ServeError::Wire(then),
        }
    }
}
