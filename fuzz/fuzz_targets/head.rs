//! A request head as a client may send it.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| trunkline::http::head::fuzz_head(bytes));
