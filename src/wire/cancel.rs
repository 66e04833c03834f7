//! Asks a server to cancel what one of its connections is doing, over a connection of its own. Blocking, on a connector
//! thread. The server never says whether it did, but closes the connection once the signal is sent.

use std::io;
use std::time::Instant;

use super::connect::{BackendKey, Channel, open_plain};
use super::encode;

/// Returns once the server has passed the cancellation on: what is sent on the cancelled connection after that comes
/// after the signal. The connection may be used for somebody else only after one empty round trip more
/// (`Busy::settle`), because the signal may still find it between statements.
pub fn cancel(key: &BackendKey, deadline: Instant) -> io::Result<()> {
    let socket = open_plain(&key.address, deadline)?;
    let mut channel = Channel { socket, session: None, deadline, input: Vec::new(), begin: 0 };
    if let Some(recipe) = &key.tls {
        if !channel.ask_for_tls()? {
            return Err(io::Error::other("the server speaks TLS no more"));
        }
        channel.begin_tls(recipe)?;
    }
    channel.write(&encode::cancel_request(key.process_id, key.secret))?;
    loop {
        match channel.read() {
            // Nothing is to be expected here, so nothing is kept.
            Ok(()) => channel.input.clear(),
            Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}
