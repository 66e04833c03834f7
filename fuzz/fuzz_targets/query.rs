//! A query string: every grammar behind it.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| trunkline::request::query::fuzz_query(bytes));
