//! Any datagram.

#![no_main]

#[path = "../../tests/corpus/control.rs"]
mod control;

libfuzzer_sys::fuzz_target!(|data: &[u8]| control::check(data));
