//! Any state file, and any processes.

#![no_main]

#[path = "../../tests/corpus/state.rs"]
mod state;

libfuzzer_sys::fuzz_target!(|data: &[u8]| state::check(data));
