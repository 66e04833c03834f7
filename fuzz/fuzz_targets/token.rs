//! A bearer token.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| trunkline::auth::fuzz::token(bytes));
