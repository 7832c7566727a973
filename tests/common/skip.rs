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
    ("limits_that_leave_no_room_for_the_program", TRACE),
    ("more_words_than_a_program_can_be_given", TRACE),
    ("programs_that_only_the_kernel_can_judge", TRACE),
    ("real_time_signals_are_seen", REAL_TIME),
    ("a_trial_runs_nothing", FOREIGN),
    ("directories_and_files", FOREIGN),
    ("mounts", FOREIGN),
    ("nothing_is_told_of_what_starts", FOREIGN),
    ("users_and_limits", FOREIGN),
    ("what_only_root_may", FOREIGN),
    ("what_the_user_of_a_job_may_not", FOREIGN),
    ("what_a_killed_pmtr_was_about_to_start_holds_nothing_for_long", GUEST),
];

/// The same of QEMU before version 10 (`PMTR_QEMU`).
const NOT_UNDER_OLDER_EMULATION: &[(&str, &str)] = &[
    ("a_new_address_of_the_interface_is_in_the_next_report", MULTICAST),
    ("an_interface_that_comes_goes_and_comes_again_is_used_when_it_is_there", MULTICAST),
    ("each_report_to_has_the_address_of_its_own_interface", MULTICAST),
    ("ipv6_multicast_leaves_by_the_interface_that_is_named", MULTICAST),
    ("multicast_leaves_by_the_interface_that_is_named", MULTICAST),
];

const REAL_TIME: &str = "QEMU keeps some real-time signals, and gives others other numbers";
const FOREIGN: &str = "the programs of this machine are another processor's for -t";
const GUEST: &str = "QEMU has no processes that share their descriptors";
const TRACE: &str = "QEMU cannot trace a process";
const MULTICAST: &str = "QEMU before 10 cannot choose the interface of multicast";
const MEMORY: &str = "QEMU does not apply the limits of memory, as it needs that itself";

/// Whether pmtr runs in an emulator (`PMTR_EMULATED=1`).
pub fn emulated() -> bool {
    std::env::var_os("PMTR_EMULATED").is_some_and(|value| value == "1")
}

/// Whether the emulator is one before QEMU 10, which is so if nobody says otherwise.
fn older() -> bool {
    let version = std::env::var("PMTR_QEMU").ok().and_then(|major| major.parse::<u32>().ok());
    version.map_or(true, |major| major < 10)
}

/// A deadline `secs` seconds long, longer under emulation.
pub fn stretched(secs: u64) -> Duration {
    Duration::from_secs(if emulated() { 5 * secs } else { secs })
}

/// Whether the test called `name` is to be left out, which it then says.
pub fn skipped(name: &str) -> bool {
    let older: &[_] = if older() { NOT_UNDER_OLDER_EMULATION } else { &[] };
    let entry = NOT_UNDER_EMULATION.iter().chain(older).find(|(test, _)| *test == name);
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
