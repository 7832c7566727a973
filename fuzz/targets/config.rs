//! Any text as a configuration file.

#![no_main]

#[allow(dead_code)]
#[path = "../../tests/corpus/config.rs"]
mod config;

libfuzzer_sys::fuzz_target!(|data: &[u8]| config::check_bytes(data));
