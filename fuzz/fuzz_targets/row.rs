//! A row's bytes into JSON.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| trunkline::json::fuzz_row(bytes));
