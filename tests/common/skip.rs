//! What cannot be tested everywhere.

// Not every program of tests uses all of it.
#![allow(dead_code)]

use std::time::Duration;

/// Tests that user-mode QEMU cannot pass, each with its reason. Nothing else
/// is left out under emulation.
const NOT_UNDER_EMULATION: &[(&str, &str)] = &[
    ("blocks_ignores_and_catches_no_signal", REAL_TIME),
    ("of_a_name_that_we_have_twice_the_first_counts", "QEMU hands on only one of them"),
    ("all_limits_of_memory_are_set", MEMORY),
    ("ulimit_sets_the_limits_of_memory", MEMORY),
    ("a_job_that_a_real_time_signal_ended_is_not_lost", REAL_TIME),
    ("jobs_block_and_ignore_no_signal", REAL_TIME),
    ("real_time_signals_are_seen", REAL_TIME),
];

const REAL_TIME: &str = "QEMU keeps some real-time signals, and gives others other numbers";
const MEMORY: &str = "QEMU does not apply the limits of memory, as it needs that itself";

/// Whether pmtr runs in an emulator (`PMTR_EMULATED=1`).
pub fn emulated() -> bool {
    std::env::var_os("PMTR_EMULATED").is_some_and(|value| value == "1")
}

/// A deadline `secs` seconds long, longer under emulation.
pub fn stretched(secs: u64) -> Duration {
    Duration::from_secs(if emulated() { 5 * secs } else { secs })
}

/// Whether the test called `name` is to be left out, which it then says.
pub fn skipped(name: &str) -> bool {
    let entry = NOT_UNDER_EMULATION.iter().find(|(test, _)| *test == name);
    match entry {
        Some((_, reason)) if emulated() => {
            eprintln!("skipped: {name}: {reason}");
            true
        }
        _ => false,
    }
}

/// Whether the test called `name` is to be left out because it needs root, or
/// cannot be run under emulation.
pub fn needs_root(name: &str) -> bool {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: {name}: needs root");
        return true;
    }
    skipped(name)
}
