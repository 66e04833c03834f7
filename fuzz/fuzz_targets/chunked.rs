//! A chunked body, split anywhere.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| trunkline::http::body::fuzz_chunked(bytes));
