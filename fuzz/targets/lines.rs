//! Any output of a job, in any pieces.

#![no_main]

#[allow(dead_code)]
#[path = "../../tests/corpus/lines.rs"]
mod lines;

libfuzzer_sys::fuzz_target!(|data: &[u8]| lines::check(data));
