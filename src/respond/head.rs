//! Status and headers of answers. What the connection adds itself (Date, Server, framing) isn't here.

use crate::error::ApiError;
use crate::error::body::{Verbosity, error_body};
use crate::http::ResponseHead;

/// Sent with every answer that isn't an error, unless SQL set its own.
const VARY: &str = "Accept, Prefer, Range";

/// Turns the reply into a refusal: PostgREST's body, `Proxy-Status` naming the code, the error's own headers.
pub fn refuse(
    head: &mut ResponseHead,
    body: &mut Vec<u8>,
    error: &dyn ApiError,
    verbosity: Verbosity,
    retry_after_seconds: u32,
) {
    let code = error.code();
    head.clear();
    head.set_status(code.status, error.reason());
    head.add("Content-Type", b"application/json; charset=utf-8");
    head.add("Proxy-Status", format!("PostgREST; error={}", code.name).as_bytes());
    let mut retry_given = false;
    for (name, value) in error.headers() {
        retry_given |= name.eq_ignore_ascii_case("Retry-After");
        head.add(&name, value.as_bytes());
    }
    if code.status == 503 && !retry_given {
        head.add("Retry-After", retry_after_seconds.to_string().as_bytes());
    }
    body.extend_from_slice(error_body(error, verbosity).as_bytes());
}

/// Headers of every successful answer.
pub fn finish(head: &mut ResponseHead) {
    if !head.contains("Vary") {
        finish_plain(head);
    }
}

/// `finish` where no SQL had a say in the headers.
pub fn finish_plain(head: &mut ResponseHead) {
    head.add("Vary", VARY.as_bytes());
}
