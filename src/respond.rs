//! What the client gets: status, headers and body, from the plan and its result. The head is final before the first
//! body byte goes out.
//! Must not know: sockets.

pub mod content_range;
pub mod db_error;
pub mod failure;
pub mod guc;
pub mod head;
pub mod key_mismatch;
pub mod location;
pub mod max_affected;
pub mod openapi;
pub mod openapi_type;
pub mod preference;
pub mod singular;
pub mod warning;
