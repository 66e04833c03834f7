//! What is said on a new connection before its first batch: startup, authentication, the server's settings, whether the
//! session is of the wanted kind. Blocking, on a connector thread.
//! Limits: `limits::HANDSHAKE_FRAME_BYTES_MAX`, `PARAMETERS_BYTES_MAX`, `SCRAM_ITERATIONS_MAX`.

use std::io;

use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256};

use super::answers::parse_parameter;
use super::connect::{Channel, ConnectError, error_text};
use super::db_error::DbError;
use super::encode::{self, Refusal};
use super::frame::{Cursor, FrameSpan, next_frame};
use super::row::DataRow;
use super::target::tls::Binding;
use super::target::{Host, SessionAttrs, Target};
use super::{TransactionStatus, WireError};
use crate::limits;

/// What a handshake leaves behind.
pub(super) struct Shaken {
    pub process_id: i32,
    pub secret: i32,
    pub parameters: Vec<(String, String)>,
}

/// Why this address gives no connection.
pub(super) enum Failure {
    /// Another one may.
    NextHost(String),
    /// The login was refused, or cannot be made: the others would say the same.
    Final(ConnectError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::NextHost(error_text(&error))
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        Self::NextHost(error.to_string())
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Final(ConnectError::fatal(refusal))
    }
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        // The server is starting, stopping or a standby that takes no connections yet.
        if error.sqlstate == "57P03" {
            Self::NextHost(error.to_string())
        } else {
            Self::Final(ConnectError::refused(&error))
        }
    }
}

/// From the first byte to the first ReadyForQuery, and past it where the session's kind has to be asked for.
pub(super) fn shake(
    channel: &mut Channel,
    target: &Target,
    host: &Host,
    wanted: SessionAttrs,
) -> Result<Shaken, Failure> {
    let mut out = Vec::new();
    encode::startup(&mut out, target.startup_parameters())?;
    channel.write(&out)?;
    authenticate(channel, target, host)?;
    let shaken = await_ready(channel)?;
    check_session(channel, &shaken, wanted)?;
    Ok(shaken)
}

/// How far the login has come: SCRAM has to be finished by the server's proof that it knows the password too.
enum Login {
    Asked,
    Scram(Box<ScramSha256>),
    ScramAnswered(Box<ScramSha256>),
    Proven,
}

fn authenticate(channel: &mut Channel, target: &Target, host: &Host) -> Result<(), Failure> {
    let mut login = Login::Asked;
    let binding = target.tls.channel_binding;
    let end_point = if binding == Binding::Disable { None } else { channel.end_point() };
    loop {
        let frame = next(channel)?;
        let body = channel.input.get(frame.body.clone()).unwrap_or_default();
        match frame.tag {
            b'R' => {}
            b'E' => return Err(DbError::parse(body)?.into()),
            b'N' => continue,
            b'v' => return Err(fatal("the server wants another version of the protocol")),
            _ => return Err(broken("a message that does not belong to authentication")),
        }
        let mut cursor = Cursor::new(body);
        let Some(kind) = cursor.i32() else {
            return Err(broken("an authentication request without a kind"));
        };
        let mut out = Vec::new();
        login = match (kind, login) {
            // SCRAM without channel binding is never begun where binding is required.
            (0 | 3 | 5, Login::Asked) if binding == Binding::Require => {
                return Err(fatal("channel binding required, but server authenticated client without channel binding"));
            }
            (0, Login::Asked | Login::Proven) => return Ok(()),
            (0, Login::Scram(_) | Login::ScramAnswered(_)) => {
                return Err(broken("the server let us in without proving that it knows the password"));
            }
            (3, Login::Asked) => {
                encode::password(&mut out, password(host)?)?;
                Login::Asked
            }
            (5, Login::Asked) => {
                let salt = cursor.rest().try_into().map_err(|_| broken("an MD5 salt of the wrong size"))?;
                let hash = md5_hash(target.user.as_bytes(), password(host)?, salt);
                encode::password(&mut out, hash.as_bytes())?;
                Login::Asked
            }
            (10, Login::Asked) => {
                Login::Scram(Box::new(begin_scram(&mut out, cursor, host, binding, end_point.clone())?))
            }
            (11, Login::Scram(mut scram)) => {
                check_iterations(cursor.rest())?;
                scram.update(cursor.rest()).map_err(|_| broken("a malformed SCRAM challenge"))?;
                encode::sasl_response(&mut out, scram.message())?;
                Login::ScramAnswered(scram)
            }
            (12, Login::ScramAnswered(mut scram)) => {
                scram.finish(cursor.rest()).map_err(|_| broken("the server does not know the password itself"))?;
                Login::Proven
            }
            (3 | 5 | 10 | 11 | 12, _) => return Err(broken("an authentication request out of turn")),
            (2, _) => return Err(fatal("Kerberos 5 authentication not supported")),
            (7..=9, _) => return Err(fatal("GSSAPI and SSPI authentication not supported")),
            (kind, _) => return Err(fatal(&format!("authentication method {kind} not supported"))),
        };
        if !out.is_empty() {
            channel.write(&out)?;
        }
    }
}

fn begin_scram(
    out: &mut Vec<u8>,
    mut mechanisms: Cursor<'_>,
    host: &Host,
    binding: Binding,
    end_point: Option<Vec<u8>>,
) -> Result<ScramSha256, Failure> {
    let (mut plain, mut plus) = (false, false);
    for mechanism in std::iter::from_fn(|| mechanisms.string()) {
        plain |= mechanism == SCRAM_SHA_256.as_bytes();
        plus |= mechanism == SCRAM_SHA_256_PLUS.as_bytes();
    }
    let (mechanism, bound) = match end_point {
        Some(hash) if plus => (SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(hash)),
        _ if binding == Binding::Require => {
            return Err(fatal(
                "channel binding is required, but server did not offer an authentication method that supports channel \
                 binding",
            ));
        }
        _ if !plain => return Err(fatal("none of the server's SASL authentication mechanisms are supported")),
        // Tells the server, which then knows whether somebody took its offer away.
        Some(_) => (SCRAM_SHA_256, ChannelBinding::unrequested()),
        None => (SCRAM_SHA_256, ChannelBinding::unsupported()),
    };
    let scram = ScramSha256::new(password(host)?, bound);
    encode::sasl_initial(out, mechanism, scram.message())?;
    Ok(scram)
}

/// The server chooses how much work the client does: within reason.
fn check_iterations(challenge: &[u8]) -> Result<(), Failure> {
    let count = challenge.split(|byte| *byte == b',').find_map(|part| part.strip_prefix(b"i="));
    let count = count.and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| digits.parse::<u32>().ok());
    match count {
        Some(count) if count <= limits::SCRAM_ITERATIONS_MAX => Ok(()),
        Some(_) => Err(broken("more SCRAM iterations than any server needs")),
        None => Err(broken("a malformed SCRAM challenge")),
    }
}

fn password(host: &Host) -> Result<&[u8], Failure> {
    match &host.password {
        Some(password) => Ok(password.reveal().as_bytes()),
        None => Err(fatal("fe_sendauth: no password supplied")),
    }
}

/// The settings and the key that come after the login.
fn await_ready(channel: &mut Channel) -> Result<Shaken, Failure> {
    let (mut process_id, mut secret) = (0, 0);
    let mut parameters = Vec::new();
    let mut parameter_bytes = 0;
    loop {
        let frame = next(channel)?;
        let body = channel.input.get(frame.body.clone()).unwrap_or_default();
        match frame.tag {
            b'S' => {
                parameter_bytes += body.len();
                if parameter_bytes > limits::PARAMETERS_BYTES_MAX {
                    return Err(broken("more reported settings than any server has"));
                }
                parameters.push(parse_parameter(body)?);
            }
            b'K' => {
                let mut cursor = Cursor::new(body);
                let (Some(id), Some(key)) = (cursor.i32(), cursor.i32()) else {
                    return Err(broken("malformed BackendKeyData"));
                };
                (process_id, secret) = (id, key);
            }
            b'N' => {}
            b'E' => return Err(DbError::parse(body)?.into()),
            b'Z' => {
                TransactionStatus::parse(body)?;
                return Ok(Shaken { process_id, secret, parameters });
            }
            _ => return Err(broken("a message that does not belong to the start of a session")),
        }
    }
}

fn check_session(channel: &mut Channel, shaken: &Shaken, wanted: SessionAttrs) -> Result<(), Failure> {
    let mut is = |parameter: &str, query: &str| {
        match shaken.parameters.iter().find(|(name, _)| name == parameter) {
            Some((_, value)) => Ok(value == "on"),
            // PostgreSQL before 14 does not report it.
            None => ask(channel, query),
        }
    };
    let mut in_recovery = || is("in_hot_standby", "SELECT pg_catalog.pg_is_in_recovery()");
    let complaint = match wanted {
        SessionAttrs::Any | SessionAttrs::PreferStandby => None,
        SessionAttrs::Primary => in_recovery()?.then_some("server is in hot standby mode"),
        SessionAttrs::Standby => (!in_recovery()?).then_some("server is not in hot standby mode"),
        SessionAttrs::ReadWrite | SessionAttrs::ReadOnly => {
            let read_only = in_recovery()? || is("default_transaction_read_only", "SHOW transaction_read_only")?;
            match (wanted, read_only) {
                (SessionAttrs::ReadWrite, true) => Some("session is read-only"),
                (SessionAttrs::ReadOnly, false) => Some("session is not read-only"),
                _ => None,
            }
        }
    };
    complaint.map_or(Ok(()), |complaint| Err(Failure::NextHost(complaint.to_owned())))
}

/// Runs a query of one boolean.
fn ask(channel: &mut Channel, query: &str) -> Result<bool, Failure> {
    let mut out = Vec::new();
    encode::query(&mut out, query)?;
    channel.write(&out)?;
    let mut value = None;
    loop {
        let frame = next(channel)?;
        let body = channel.input.get(frame.body.clone()).unwrap_or_default();
        match frame.tag {
            b'D' => {
                let row = DataRow::parse(body).map_err(WireError::from)?;
                value = row.fields().next().flatten().map(|text| matches!(text, b"t" | b"on"));
            }
            b'E' => return Err(DbError::parse(body)?.into()),
            b'T' | b'C' | b'N' | b'S' => {}
            b'Z' => return value.ok_or_else(|| broken("no answer to a question about the session")),
            _ => return Err(broken("an answer that is not due")),
        }
    }
}

/// The next whole frame.
fn next(channel: &mut Channel) -> Result<FrameSpan, Failure> {
    loop {
        if let Some([tag, length @ ..]) = channel.input.get(channel.begin..).and_then(|rest| rest.first_chunk::<5>()) {
            let bytes = u32::from_be_bytes(*length) as usize;
            if bytes > limits::HANDSHAKE_FRAME_BYTES_MAX {
                return Err(oversized(channel, *tag, bytes));
            }
        }
        if let Some(frame) = next_frame(&channel.input, channel.begin)? {
            channel.begin = frame.body.end;
            return Ok(frame);
        }
        // Frames before this one are done with.
        channel.input.drain(..channel.begin);
        channel.begin = 0;
        channel.read()?;
    }
}

/// A postmaster that cannot even fork says `E` and plain text.
fn oversized(channel: &Channel, tag: u8, bytes: usize) -> Failure {
    let text = channel.input.get(channel.begin + 1..).unwrap_or_default();
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    if tag == b'E' && text.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) {
        return Failure::NextHost(String::from_utf8_lossy(text).trim_end().to_owned());
    }
    WireError::FrameTooLarge { bytes }.into()
}

fn broken(what: &'static str) -> Failure {
    WireError::Protocol(what).into()
}

fn fatal(message: &str) -> Failure {
    Failure::Final(ConnectError::fatal(message))
}
