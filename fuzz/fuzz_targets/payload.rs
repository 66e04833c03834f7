//! A request body: JSON, CSV or form.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| trunkline::request::payload::fuzz_payload(bytes));
