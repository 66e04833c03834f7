//! Bytes read from one connection → answers to what was asked on it. Pure: no socket.
//! Invariant: an answer is taken only in the place where it is due; after an error everything up to the batch's `Sync` is
//! no longer due, and statements whose ParseComplete did not come are not prepared.

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use super::conn::Notification;
use super::db_error::DbError;
use super::frame::{Cursor, announced, next_frame};
use super::prepared::{Need, Prepared, PreparedCache};
use super::row::{DataRow, RowDescription};
use super::{TransactionStatus, WireError};
use crate::limits;

/// An answer that the server owes. `statement` is the index of the `execute` it belongs to.
#[derive(Debug)]
pub(super) enum Due {
    Close { name: u64, statement: usize },
    Parse { prepared: Rc<Prepared>, statement: usize },
    Describe { prepared: Rc<Prepared>, statement: usize },
    Bind { prepared: Rc<Prepared>, statement: usize },
    Execute { statement: usize },
    Sync { executes: usize },
}

/// `conn::Answer` with places in the read buffer instead of borrows from it.
#[derive(Debug)]
pub(super) enum Step {
    Bound { statement: usize },
    Row { body: Range<usize> },
    Complete { tag: Range<usize> },
    Suspended,
    Error { error: Box<DbError>, statement: usize, bound: bool },
    Ready(TransactionStatus),
}

pub(super) struct Answers {
    input: Vec<u8>,
    /// Where the next frame begins.
    begin: usize,
    pub due: VecDeque<Due>,
    /// How many of `due` are a `Sync`.
    pub syncs_due: usize,
    pub prepared: PreparedCache,
    /// What was bound last: its columns are those of the rows that come.
    current: Option<Rc<Prepared>>,
    no_columns: Rc<RowDescription>,
    pub status: TransactionStatus,
    parameters: Vec<(String, String)>,
    pub notifications: VecDeque<Notification>,
    /// The protocol was broken: where frames begin is no longer known.
    broken: bool,
}

impl Answers {
    pub fn new(leftover: Vec<u8>, parameters: Vec<(String, String)>) -> Self {
        Self {
            input: leftover,
            begin: 0,
            due: VecDeque::new(),
            syncs_due: 0,
            prepared: PreparedCache::new(),
            current: None,
            no_columns: Rc::default(),
            status: TransactionStatus::Idle,
            parameters,
            notifications: VecDeque::new(),
            broken: false,
        }
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The next answer whose frame is whole.
    #[inline]
    pub fn step(&mut self) -> Result<Option<Step>, WireError> {
        if self.broken {
            return Err(WireError::Unusable("the server broke the protocol on this connection"));
        }
        loop {
            let taken = match next_frame(&self.input, self.begin) {
                Ok(None) => return Ok(None),
                Ok(Some(frame)) => {
                    self.begin = frame.body.end;
                    // Nearly every frame of a large answer.
                    if frame.tag == b'D' && matches!(self.due.front(), Some(Due::Execute { .. })) {
                        return Ok(Some(Step::Row { body: frame.body }));
                    }
                    self.take(frame.tag, frame.body)
                }
                Err(error) => Err(error),
            };
            match taken {
                Ok(None) => {}
                Ok(Some(step)) => return Ok(Some(step)),
                Err(error) => {
                    self.broken = true;
                    return Err(error);
                }
            }
        }
    }

    /// One frame other than an expected row; `None` for what nobody has to hear of.
    fn take(&mut self, tag: u8, body: Range<usize>) -> Result<Option<Step>, WireError> {
        match tag {
            b'N' => return Ok(None),
            b'S' => return self.set_parameter(body).map(|()| None),
            b'A' => return self.keep_notification(body).map(|()| None),
            b'E' => return self.fail(body).map(Some),
            _ => {}
        }
        // Says whether the answer that was due has come in full.
        let (step, done) = match (tag, self.due.front()) {
            (b'1', Some(Due::Parse { prepared, .. })) => {
                prepared.parsed.set(true);
                (None, true)
            }
            (b't', Some(Due::Describe { .. })) => (None, false),
            (b'T', Some(Due::Describe { prepared, .. })) => {
                let row = RowDescription::parse(slice(&self.input, body))?;
                let _ = prepared.row.set(Rc::new(row));
                (None, true)
            }
            (b'n', Some(Due::Describe { prepared, .. })) => {
                let _ = prepared.row.set(Rc::default());
                (None, true)
            }
            (b'2', Some(Due::Bind { prepared, statement })) => {
                self.current = Some(prepared.clone());
                (Some(Step::Bound { statement: *statement }), true)
            }
            (b'3', Some(Due::Close { .. })) => (None, true),
            (b'C', Some(Due::Execute { .. })) => {
                // The tag ends with a zero byte.
                (Some(Step::Complete { tag: body.start..body.end.saturating_sub(1).max(body.start) }), true)
            }
            (b'I', Some(Due::Execute { .. })) => (Some(Step::Complete { tag: body.start..body.start }), true),
            (b's', Some(Due::Execute { .. })) => (Some(Step::Suspended), true),
            (b'Z', Some(Due::Sync { .. })) => {
                self.status = TransactionStatus::parse(slice(&self.input, body))?;
                self.syncs_due -= 1;
                (Some(Step::Ready(self.status)), true)
            }
            _ => return Err(WireError::Protocol("an answer that is not due")),
        };
        if done {
            self.due.pop_front();
        }
        Ok(step)
    }

    fn fail(&mut self, body: Range<usize>) -> Result<Step, WireError> {
        let error = Box::new(DbError::parse(slice(&self.input, body))?);
        let (statement, bound) = match self.due.front() {
            Some(Due::Close { statement, .. } | Due::Parse { statement, .. } | Due::Describe { statement, .. }) => {
                (*statement, false)
            }
            Some(Due::Bind { prepared, statement }) => {
                match error.sqlstate.as_str() {
                    "0A000" if prepared.name != 0 => self.prepared.forget(&prepared.text),
                    // DISCARD ALL and DEALLOCATE ALL take the others too.
                    "26000" => self.prepared.forget_all(),
                    _ => {}
                }
                (*statement, false)
            }
            Some(Due::Execute { statement }) => (*statement, true),
            Some(Due::Sync { executes }) => (*executes, true),
            None if error.fatal => (0, false),
            None => return Err(WireError::Protocol("an error that nothing had asked for")),
        };
        self.skip_to_sync();
        Ok(Step::Error { error, statement, bound })
    }

    /// The server skips the rest of the batch, and so do we.
    fn skip_to_sync(&mut self) {
        while let Some(due) = self.due.front() {
            match due {
                Due::Sync { .. } => break,
                Due::Close { name, .. } => self.prepared.to_close.push(*name),
                Due::Parse { prepared, .. } => self.prepared.remove_unparsed(prepared),
                // Without its columns a statement is of no use: it is parsed anew, under a new name.
                Due::Describe { prepared, .. } if prepared.parsed.get() && prepared.name != 0 => {
                    self.prepared.forget(&prepared.text);
                }
                Due::Describe { .. } | Due::Bind { .. } | Due::Execute { .. } => {}
            }
            self.due.pop_front();
        }
    }

    fn set_parameter(&mut self, body: Range<usize>) -> Result<(), WireError> {
        let (name, value) = parse_parameter(slice(&self.input, body))?;
        if let Some((_, known)) = self.parameters.iter_mut().find(|(known, _)| *known == name) {
            *known = value;
        } else {
            self.parameters.push((name, value));
        }
        let bytes: usize = self.parameters.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > limits::PARAMETERS_BYTES_MAX {
            return Err(WireError::Protocol("more reported settings than any server has"));
        }
        Ok(())
    }

    fn keep_notification(&mut self, body: Range<usize>) -> Result<(), WireError> {
        let mut cursor = Cursor::new(slice(&self.input, body));
        let read = (cursor.i32(), cursor.string(), cursor.string());
        let (Some(process_id), Some(channel), Some(payload)) = read else {
            return Err(WireError::Protocol("malformed NotificationResponse"));
        };
        let channel = String::from_utf8_lossy(channel).into_owned();
        let payload = String::from_utf8_lossy(payload).into_owned();
        if self.notifications.len() >= limits::NOTIFICATIONS_MAX {
            self.notifications.pop_front();
        }
        self.notifications.push_back(Notification { process_id, channel, payload });
        Ok(())
    }

    /// The row in this place, which has as many fields as were described.
    #[inline]
    pub fn row(&self, body: Range<usize>) -> Result<DataRow<'_>, WireError> {
        let row = DataRow::parse(slice(&self.input, body))?;
        if row.field_count() != self.fields().fields.len() {
            return Err(WireError::Protocol("a row of another width than was described"));
        }
        Ok(row)
    }

    /// The columns of the statement that was bound last.
    #[inline]
    pub fn fields(&self) -> &Rc<RowDescription> {
        self.current.as_ref().and_then(|prepared| prepared.row.get()).unwrap_or(&self.no_columns)
    }

    pub fn text(&self, place: Range<usize>) -> Result<&str, WireError> {
        std::str::from_utf8(slice(&self.input, place))
            .map_err(|_| WireError::Protocol("a command tag that is not text"))
    }

    /// Lends the buffer to a read, the consumed bytes cut off.
    pub fn take_input(&mut self) -> Vec<u8> {
        let mut input = std::mem::take(&mut self.input);
        if self.begin >= input.len() {
            input.clear();
        } else {
            input.drain(..self.begin);
        }
        self.begin = 0;
        // A large frame gets its room at once: growing bit by bit would copy what has come of it. Pages that nothing is
        // written to cost nothing, and where there is no room for all of it growing says so.
        let missing =
            announced(&input).map_or(0, |whole| whole.min(limits::FRAME_BYTES_MAX).saturating_sub(input.len()));
        if missing > limits::WIRE_READ_BYTES {
            let _ = input.try_reserve_exact(missing + limits::WIRE_READ_BYTES);
        }
        input
    }

    pub fn put_input(&mut self, input: Vec<u8>) {
        self.input = input;
    }

    /// Gives memory back that an outsized frame took.
    pub fn shrink(&mut self) {
        if self.input.capacity() > 4 * limits::WIRE_READ_BYTES {
            let mut input = self.take_input();
            input.shrink_to(limits::WIRE_READ_BYTES);
            self.input = input;
        }
    }
}

pub(super) fn parse_parameter(body: &[u8]) -> Result<(String, String), WireError> {
    let mut cursor = Cursor::new(body);
    match (cursor.string(), cursor.string()) {
        (Some(name), Some(value)) => {
            Ok((String::from_utf8_lossy(name).into_owned(), String::from_utf8_lossy(value).into_owned()))
        }
        _ => Err(WireError::Protocol("malformed ParameterStatus")),
    }
}

/// A frame's place is inside the buffer by construction.
#[inline]
fn slice(input: &[u8], place: Range<usize>) -> &[u8] {
    input.get(place).unwrap_or_default()
}

/// Fuzz entry: any bytes as the answers to a batch of two statements, the first of them new, and to a batch after it.
pub fn fuzz_answers(bytes: &[u8]) {
    let mut answers = two_batches();
    answers.put_input(bytes.to_vec());
    while let Ok(Some(step)) = answers.step() {
        match step {
            Step::Row { body } => {
                if let Ok(row) = answers.row(body) {
                    assert_eq!(row.fields().count(), answers.fields().fields.len());
                }
            }
            Step::Complete { tag } => drop(answers.text(tag).map(str::len)),
            Step::Bound { .. } | Step::Suspended | Step::Error { .. } | Step::Ready(_) => {}
        }
    }
    let due = answers.due.iter().filter(|due| matches!(due, Due::Sync { .. })).count();
    assert_eq!(due, answers.syncs_due);
}

fn two_batches() -> Answers {
    let mut answers = Answers::new(Vec::new(), Vec::new());
    for batch in 1..=2 {
        for (statement, text) in ["select 1", "select 2"].into_iter().enumerate() {
            let prepared = match answers.prepared.need(text, batch) {
                Need::Parse { statement: prepared, .. } => {
                    answers.due.push_back(Due::Close { name: 99, statement });
                    answers.due.push_back(Due::Parse { prepared: prepared.clone(), statement });
                    answers.due.push_back(Due::Describe { prepared: prepared.clone(), statement });
                    prepared
                }
                Need::Nothing(prepared) => prepared,
                Need::Unnamed => Prepared::unnamed(),
            };
            answers.due.push_back(Due::Bind { prepared, statement });
            answers.due.push_back(Due::Execute { statement });
        }
        answers.due.push_back(Due::Sync { executes: 2 });
        answers.syncs_due += 1;
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Frames that are right by themselves, mostly in an order that makes sense.
    fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let right: [(u8, &[u8]); 14] = [
            (b'3', b""),
            (b'1', b""),
            (b't', &[0, 0]),
            (b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x19\0\0\0\0\0\0\0\0"),
            (b'2', b""),
            (b'D', &[0, 1, 0, 0, 0, 1, b'x']),
            (b'C', b"SELECT 1\0"),
            (b'Z', b"I"),
            (b'n', b""),
            (b'E', b"VERROR\0C26000\0M!\0\0"),
            (b'N', b"\0"),
            (b'S', b"a\0b\0"),
            (b'A', b"\0\0\0\x01c\0p\0"),
            (b'D', &[0, 2, 255, 255, 255, 255, 255, 255, 255, 255]),
        ];
        // The order of the list is the order of a batch: going up by one is the likely step.
        prop::collection::vec(prop_oneof![6 => Just(1_usize), 1 => 0..14_usize], 0..40).prop_map(move |steps| {
            let mut place = 13;
            let mut frames = Vec::new();
            for step in steps {
                place = (place + step) % right.len();
                let (tag, body) = right[place];
                let mut frame = vec![tag];
                frame.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
                frame.extend_from_slice(body);
                frames.push(frame);
            }
            frames
        })
    }

    fn steps(answers: &mut Answers) -> Vec<String> {
        let mut steps = Vec::new();
        loop {
            match answers.step() {
                Ok(Some(Step::Row { body })) => {
                    steps.push(format!("{:?}", answers.row(body).map(|row| row.field_count())))
                }
                Ok(Some(Step::Complete { tag })) => steps.push(format!("{:?}", answers.text(tag))),
                Ok(Some(step)) => steps.push(format!("{step:?}")),
                Ok(None) => return steps,
                Err(error) => {
                    steps.push(error.to_string());
                    return steps;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_answers_are_survived(frames in frames(), rubbish in prop::collection::vec(any::<u8>(), 0..30)) {
            fuzz_answers(&[frames.concat(), rubbish].concat());
        }

        #[test]
        fn pieces_give_the_same_answers(frames in frames(), size in 1..9_usize) {
            let bytes = frames.concat();
            let mut whole = two_batches();
            whole.put_input(bytes.clone());
            let expect = steps(&mut whole);
            let mut pieces = two_batches();
            let mut got = Vec::new();
            for piece in bytes.chunks(size) {
                let mut input = pieces.take_input();
                input.extend_from_slice(piece);
                pieces.put_input(input);
                got.extend(steps(&mut pieces));
                if pieces.broken {
                    break;
                }
            }
            prop_assert_eq!(got, expect);
        }
    }

    #[test]
    fn only_what_was_parsed_counts_as_prepared() {
        let mut answers = two_batches();
        // The first statement is parsed and described, the second fails to parse.
        let frame =
            |tag: u8, body: &[u8]| [&[tag][..], &u32::try_from(body.len() + 4).unwrap().to_be_bytes(), body].concat();
        let said = [
            frame(b'3', b""),
            frame(b'1', b""),
            frame(b'n', b""),
            frame(b'2', b""),
            frame(b'C', b"X\0"),
            frame(b'3', b""),
            frame(b'E', b"C42601\0\0"),
            frame(b'Z', b"I"),
        ];
        answers.put_input(said.concat());
        steps(&mut answers);
        assert!(matches!(answers.prepared.need("select 1", 9), Need::Nothing(_)));
        assert!(matches!(answers.prepared.need("select 2", 9), Need::Parse { .. }));
    }
}
