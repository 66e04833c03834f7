//! Numeric text that PostgreSQL may send.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| trunkline::json::fuzz_number(bytes));
