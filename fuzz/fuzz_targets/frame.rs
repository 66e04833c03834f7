//! Frames as a server may send them, split anywhere.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| trunkline::wire::frame::fuzz_frames(bytes));
