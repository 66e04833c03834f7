//! Frontend messages, appended to one buffer that goes out in one write. Written here rather than with
//! `postgres_protocol::message`, because the runtime's writes take a `Vec` and that crate fills a `BytesMut`.
//! Limits: `limits::MESSAGE_BYTES_MAX`.

use super::piece::{Pieces, Value};
use crate::limits;

/// Why a message cannot be said in the protocol.
pub(super) type Refusal = &'static str;

/// Appends a message: its tag, and its length once `write_body` is done.
fn message(
    out: &mut Vec<u8>,
    tag: Option<u8>,
    write_body: impl FnOnce(&mut Vec<u8>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    message_in_pieces(out, tag, |out| write_body(out).map(|()| 0))
}

/// `message` of which more bytes than those appended are on their way: `write_body` returns how many.
fn message_in_pieces(
    out: &mut Vec<u8>,
    tag: Option<u8>,
    write_body: impl FnOnce(&mut Vec<u8>) -> Result<usize, Refusal>,
) -> Result<(), Refusal> {
    const TOO_LARGE: Refusal = "a message would be larger than PostgreSQL takes";
    out.extend(tag);
    let begin = out.len();
    out.extend_from_slice(&[0; 4]);
    let elsewhere = write_body(out)?;
    let bytes = (out.len() - begin).saturating_add(elsewhere);
    if bytes > limits::MESSAGE_BYTES_MAX {
        return Err(TOO_LARGE);
    }
    let length = i32::try_from(bytes).map_err(|_| TOO_LARGE)?;
    if let Some(place) = out.get_mut(begin..begin + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

fn string(out: &mut Vec<u8>, text: &[u8]) -> Result<(), Refusal> {
    if memchr::memchr(0, text).is_some() {
        return Err("a text that the protocol ends with a zero byte contains one");
    }
    out.extend_from_slice(text);
    out.push(0);
    Ok(())
}

/// A statement's name on its connection; 0 is the unnamed one.
fn statement_name(out: &mut Vec<u8>, name: u64) {
    if name != 0 {
        out.push(b's');
        out.extend_from_slice(itoa::Buffer::new().format(name).as_bytes());
    }
    out.push(0);
}

/// The types of all parameters are left to the server.
pub(super) fn parse(out: &mut Vec<u8>, name: u64, text: &str) -> Result<(), Refusal> {
    message(out, Some(b'P'), |out| {
        statement_name(out, name);
        string(out, text.as_bytes())?;
        out.extend_from_slice(&[0, 0]);
        Ok(())
    })
}

pub(super) fn describe_statement(out: &mut Vec<u8>, name: u64) -> Result<(), Refusal> {
    message(out, Some(b'D'), |out| {
        out.push(b'S');
        statement_name(out, name);
        Ok(())
    })
}

pub(super) fn close_statement(out: &mut Vec<u8>, name: u64) -> Result<(), Refusal> {
    message(out, Some(b'C'), |out| {
        out.push(b'S');
        statement_name(out, name);
        Ok(())
    })
}

/// The rest of a usual batch: parameters, a statement or two, Sync.
const ROOM_AFTER_PARAMETER: usize = 1024;

/// Parameters and results all in text format, through the unnamed portal.
pub(super) fn bind<'p>(
    out: &mut Vec<u8>,
    pieces: &mut Pieces,
    name: u64,
    params: impl IntoIterator<Item = Value<'p>>,
) -> Result<(), Refusal> {
    message_in_pieces(out, Some(b'B'), |out| {
        out.push(0);
        statement_name(out, name);
        out.extend_from_slice(&[0, 0]);
        let count_begin = out.len();
        out.extend_from_slice(&[0, 0]);
        let mut count: usize = 0;
        let mut elsewhere: usize = 0;
        for param in params {
            count += 1;
            match param {
                Value::Null => out.extend_from_slice(&(-1_i32).to_be_bytes()),
                Value::Bytes(bytes) => {
                    // Room for what follows too: growing once more would copy a large parameter.
                    out.reserve(bytes.len() + ROOM_AFTER_PARAMETER);
                    parameter_length(out, bytes.len())?;
                    out.extend_from_slice(bytes);
                }
                Value::Piece(piece) => {
                    parameter_length(out, piece.bytes())?;
                    elsewhere = elsewhere.saturating_add(piece.bytes());
                    pieces.insert(out.len(), piece);
                }
            }
        }
        let count = u16::try_from(count).map_err(|_| "a statement has more than 65535 parameters")?;
        if let Some(place) = out.get_mut(count_begin..count_begin + 2) {
            place.copy_from_slice(&count.to_be_bytes());
        }
        out.extend_from_slice(&[0, 0]);
        Ok(elsewhere)
    })
}

fn parameter_length(out: &mut Vec<u8>, bytes: usize) -> Result<(), Refusal> {
    let length = i32::try_from(bytes).map_err(|_| "a parameter is larger than 2 GiB")?;
    out.extend_from_slice(&length.to_be_bytes());
    Ok(())
}

/// All rows of the unnamed portal, as many as are left.
pub(super) const ALL_ROWS: i32 = 0;

/// The next rows of the unnamed portal, at most `rows_max`.
pub(super) fn execute(out: &mut Vec<u8>, rows_max: i32) {
    out.extend_from_slice(b"E\0\0\0\x09\0");
    out.extend_from_slice(&rows_max.to_be_bytes());
}

pub(super) fn sync(out: &mut Vec<u8>) {
    out.extend_from_slice(b"S\0\0\0\x04");
}

pub(super) const TERMINATE: &[u8] = b"X\0\0\0\x04";

pub(super) fn query(out: &mut Vec<u8>, text: &str) -> Result<(), Refusal> {
    message(out, Some(b'Q'), |out| string(out, text.as_bytes()))
}

pub(super) fn startup<'p>(
    out: &mut Vec<u8>,
    parameters: impl IntoIterator<Item = (&'p str, &'p str)>,
) -> Result<(), Refusal> {
    message(out, None, |out| {
        // Protocol 3.0.
        out.extend_from_slice(&0x0003_0000_i32.to_be_bytes());
        for (name, value) in parameters {
            string(out, name.as_bytes())?;
            string(out, value.as_bytes())?;
        }
        out.push(0);
        Ok(())
    })
}

/// A clear-text or MD5 password.
pub(super) fn password(out: &mut Vec<u8>, password: &[u8]) -> Result<(), Refusal> {
    message(out, Some(b'p'), |out| string(out, password))
}

pub(super) fn sasl_initial(out: &mut Vec<u8>, mechanism: &str, data: &[u8]) -> Result<(), Refusal> {
    message(out, Some(b'p'), |out| {
        string(out, mechanism.as_bytes())?;
        let length = i32::try_from(data.len()).map_err(|_| "a SASL message is larger than 2 GiB")?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(data);
        Ok(())
    })
}

pub(super) fn sasl_response(out: &mut Vec<u8>, data: &[u8]) -> Result<(), Refusal> {
    message(out, Some(b'p'), |out| {
        out.extend_from_slice(data);
        Ok(())
    })
}

/// What the server takes instead of a startup message, on a connection of its own.
pub(super) fn cancel_request(process_id: i32, secret: i32) -> [u8; 16] {
    let mut bytes = [0; 16];
    let words = [16, 80_877_102, process_id, secret];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::piece::{Piece, Source};
    use super::*;
    use bytes::{Bytes, BytesMut};
    use postgres_protocol::IsNull;
    use postgres_protocol::message::frontend;

    /// The crate that is not used for this is the oracle.
    fn check(ours: Result<Vec<u8>, Refusal>, write_theirs: impl FnOnce(&mut BytesMut)) {
        let mut theirs = BytesMut::new();
        write_theirs(&mut theirs);
        assert_eq!(ours.unwrap(), theirs.to_vec());
    }

    fn ours(write: impl FnOnce(&mut Vec<u8>) -> Result<(), Refusal>) -> Result<Vec<u8>, Refusal> {
        let mut out = Vec::new();
        write(&mut out).map(|()| out)
    }

    #[test]
    fn messages_equal_those_of_postgres_protocol() {
        let sql = "select $1, 'é'";
        check(ours(|out| parse(out, 7, sql)), |out| frontend::parse("s7", sql, [], out).unwrap());
        check(ours(|out| parse(out, 0, sql)), |out| frontend::parse("", sql, [], out).unwrap());
        check(ours(|out| describe_statement(out, 7)), |out| frontend::describe(b'S', "s7", out).unwrap());
        check(ours(|out| close_statement(out, 12)), |out| frontend::close(b'S', "s12", out).unwrap());
        check(
            ours(|out| {
                execute(out, ALL_ROWS);
                execute(out, 700);
                Ok(())
            }),
            |out| {
                frontend::execute("", 0, out).unwrap();
                frontend::execute("", 700, out).unwrap();
            },
        );
        check(
            ours(|out| {
                sync(out);
                Ok(())
            }),
            frontend::sync,
        );
        check(ours(|out| query(out, sql)), |out| frontend::query(sql, out).unwrap());
        check(ours(|out| startup(out, [("user", "a"), ("database", "b")])), |out| {
            frontend::startup_message([("user", "a"), ("database", "b")], out).unwrap();
        });
        check(ours(|out| password(out, b"secret")), |out| frontend::password_message(b"secret", out).unwrap());
        check(ours(|out| sasl_initial(out, "SCRAM-SHA-256", b"n,,")), |out| {
            frontend::sasl_initial_response("SCRAM-SHA-256", b"n,,", out).unwrap();
        });
        check(ours(|out| sasl_response(out, b"c=")), |out| frontend::sasl_response(b"c=", out).unwrap());
        check(Ok(cancel_request(5, -9).to_vec()), |out| frontend::cancel_request(5, -9, out));
        check(Ok(TERMINATE.to_vec()), frontend::terminate);
        let params: [Option<&[u8]>; 3] = [Some(b"one"), None, Some(b"")];
        check(ours(|out| bind(out, &mut Pieces::default(), 3, params.map(Value::from))), |out| {
            let write = |param: Option<&[u8]>, out: &mut BytesMut| match param {
                Some(bytes) => {
                    out.extend_from_slice(bytes);
                    Ok(IsNull::No)
                }
                None => Ok(IsNull::Yes),
            };
            assert!(frontend::bind("", "s3", [], params, write, [], out).is_ok());
        });
    }

    #[test]
    fn what_the_protocol_cannot_say_is_refused() {
        assert!(ours(|out| parse(out, 1, "select '\0'")).is_err());
        assert!(ours(|out| query(out, "\0")).is_err());
        assert!(ours(|out| startup(out, [("user", "a\0")])).is_err());
        let nulls = |count| (0..count).map(|_| Value::Null);
        assert!(ours(|out| bind(out, &mut Pieces::default(), 1, nulls(65_536))).is_err());
        assert!(ours(|out| bind(out, &mut Pieces::default(), 1, nulls(65_535))).is_ok());
    }

    /// Says that it is so large; nobody asks for its bytes.
    struct Claim(usize);

    impl Source for Claim {
        fn bytes(&self) -> usize {
            self.0
        }

        fn next(&mut self, _out: &mut Vec<u8>) {}
    }

    #[test]
    fn a_piece_counts_where_it_is_and_has_its_place() {
        let mut pieces = Pieces::default();
        let value = || Value::Piece(Piece::Whole(Bytes::from_static(b"body")));
        let written = ours(|out| bind(out, &mut pieces, 3, [Value::Bytes(b"a"), value(), Value::Null])).unwrap();
        let whole =
            ours(|out| bind(out, &mut Pieces::default(), 3, [Some(&b"a"[..]), Some(b"body"), None].map(Value::from)));
        let mut joined = written;
        for (place, piece) in pieces {
            let Piece::Whole(bytes) = piece else { panic!("made of nothing") };
            joined.splice(place..place, bytes);
        }
        assert_eq!(joined, whole.unwrap());
    }

    #[test]
    fn what_postgresql_would_not_read_is_not_sent() {
        let bind_of = |bytes| {
            let value = Value::Piece(Piece::Made(Box::new(Claim(bytes))));
            ours(|out| bind(out, &mut Pieces::default(), 1, [value]))
        };
        // Length, portal, statement, formats, count, the parameter's length, result formats.
        let around = 4 + 1 + 3 + 2 + 2 + 4 + 2;
        assert!(bind_of(limits::MESSAGE_BYTES_MAX - around).is_ok());
        assert!(bind_of(limits::MESSAGE_BYTES_MAX - around + 1).is_err());
        assert!(bind_of(usize::MAX).is_err());
    }
}
