//! What cannot be tested everywhere.

// Not every program of tests uses all of it.
#![allow(dead_code)]

use std::path::Path;
use std::time::Duration;

/// Tests that user-mode QEMU cannot pass, each with the first version that can,
/// and the reason. Nothing else is left out under emulation.
const NOT_UNDER_EMULATION: &[(&str, u32, &str)] = &[
    ("blocks_ignores_and_catches_no_signal", NONE_YET, REAL_TIME),
    ("of_a_name_that_we_have_twice_the_first_counts", NONE_YET, "QEMU hands on only one of them"),
    ("all_limits_of_memory_are_set", NONE_YET, MEMORY),
    ("ulimit_sets_the_limits_of_memory", NONE_YET, MEMORY),
    ("a_job_that_a_real_time_signal_ended_is_not_lost", NONE_YET, REAL_TIME),
    ("jobs_block_and_ignore_no_signal", NONE_YET, REAL_TIME),
    ("real_time_signals_are_seen", NONE_YET, REAL_TIME),
    ("limits_that_leave_no_room_for_the_program", NONE_YET, TRACE),
    ("more_words_than_a_program_can_be_given", NONE_YET, TRACE),
    ("programs_that_only_the_kernel_can_judge", NONE_YET, TRACE),
    ("a_trial_runs_nothing", NONE_YET, FOREIGN),
    ("directories_and_files", NONE_YET, FOREIGN),
    ("mounts", NONE_YET, FOREIGN),
    ("nothing_is_told_of_what_starts", NONE_YET, FOREIGN),
    ("users_and_limits", NONE_YET, FOREIGN),
    ("what_only_root_may", NONE_YET, FOREIGN),
    ("what_the_user_of_a_job_may_not", NONE_YET, FOREIGN),
    ("a_job_whose_program_may_not_run_yet_holds_up_nobody_else", NONE_YET, EMULATOR),
    ("a_job_whose_program_may_run_at_last_runs", NONE_YET, EMULATOR),
    ("a_wait_job_whose_program_may_not_run_yet_is_stopped_at_once", NONE_YET, EMULATOR),
    ("what_is_not_as_asked_afterwards_ends_the_start", NONE_YET, FILTER),
    ("a_keyring_that_cannot_be_left_ends_the_start", NONE_YET, FILTER),
    ("where_close_range_is_refused_only_what_is_open_is_looked_at", NONE_YET, FILTER),
    ("where_close_range_and_proc_are_missing_few_numbers_are_looked_at", NONE_YET, FILTER),
    ("a_daemon_without_close_range_keeps_nothing_open_of_its_caller", NONE_YET, FILTER),
    ("signals_are_heard_whatever_was_ignored_and_blocked", NONE_YET, REAL_TIME),
    ("a_parent_that_dies_takes_the_jobs_along", NONE_YET, "to QEMU the parent is another thread"),
    ("soft_limits_are_raised_for_pmtr_and_handed_on_to_jobs", NONE_YET, MEMORY),
    (
        "what_says_how_a_process_runs_goes_on_to_the_jobs",
        NONE_YET,
        "QEMU does not hand on all of it",
    ),
    ("the_kernel_is_not_asked_for_memory_once_pmtr_has_started", NONE_YET, "QEMU's calls are seen"),
    ("neither_is_asked_for_memory_while_a_panic_is_reported", NONE_YET, "QEMU's calls are seen"),
    ("the_memory_of_1_24_and_1000_jobs_is_bounded", NONE_YET, COUNTED),
    ("what_a_large_file_took_is_given_back_when_a_small_one_replaces_it", NONE_YET, COUNTED),
    ("a_new_address_of_the_interface_is_in_the_next_report", NONE_YET, MULTICAST),
    ("an_interface_that_comes_goes_and_comes_again_is_used_when_it_is_there", NONE_YET, MULTICAST),
    ("each_report_to_has_the_address_of_its_own_interface", NONE_YET, MULTICAST),
    ("ipv6_multicast_leaves_by_the_interface_that_is_named", NONE_YET, MULTICAST),
    ("multicast_leaves_by_the_interface_that_is_named", NONE_YET, MULTICAST),
    ("a_storm_of_every_signal_changes_nothing", NONE_YET, REAL_TIME),
    ("no_signal_is_caught", NONE_YET, "QEMU has handlers of its own"),
    ("six_hundred_jobs_come_up_when_there_are_descriptors_for_them", NONE_YET, FILES),
    ("what_has_forked_twice_is_adopted_and_ended_with_its_group", 10, SUBREAPER),
    ("stamps_follow_etc_localtime", NONE_YET, "QEMU may have an /etc/localtime of its own"),
    ("a_daemon_keeps_nothing_open_of_its_caller", 7, "QEMU before 7 has no close_range(2)"),
];

const NONE_YET: u32 = u32::MAX;

const REAL_TIME: &str = "QEMU keeps some real-time signals, and gives others other numbers";
const FOREIGN: &str = "the programs of this machine are another processor's for -t";
const COUNTED: &str = "QEMU's memory is counted, which is more with every code that it translates";
const EMULATOR: &str = "with QEMU it is QEMU that is executed, and it opens the program by itself";
const TRACE: &str = "QEMU cannot trace a process";
const FILTER: &str = "QEMU has no filters of system calls";
const MULTICAST: &str =
    "QEMU before 10 cannot choose the interface of multicast, and 10.0 forgets which";
const FILES: &str = "QEMU takes descriptors of the same limit";
const SUBREAPER: &str = "QEMU before 10 refuses PR_SET_CHILD_SUBREAPER";
const MEMORY: &str = "QEMU does not apply the limits of memory, as it needs that itself";

/// Whether pmtr runs in an emulator (`PMTR_EMULATED=1`).
pub fn emulated() -> bool {
    std::env::var_os("PMTR_EMULATED").is_some_and(|value| value == "1")
}

/// The emulator's major version (`PMTR_QEMU`); that of Debian 12 if nobody says otherwise.
fn version() -> u32 {
    std::env::var("PMTR_QEMU").ok().and_then(|major| major.parse().ok()).unwrap_or(7)
}

/// A deadline `secs` seconds long, longer under emulation.
pub fn stretched(secs: u64) -> Duration {
    Duration::from_secs(if emulated() { 5 * secs } else { secs })
}

/// Whether the test called `name` is to be left out, which it then says.
pub fn skipped(name: &str) -> bool {
    let entry = NOT_UNDER_EMULATION.iter().find(|(test, ..)| *test == name);
    match entry {
        Some((_, able, reason)) if emulated() && version() < *able => {
            eprintln!("skipped: {name}: {reason}");
            true
        }
        _ => false,
    }
}

/// Whether the test called `name` is to be left out because it needs more jobs than pmtr was built
/// for, or cannot be run under emulation.
pub fn needs_jobs(name: &str, count: usize) -> bool {
    if pmtr::limits::MAX_JOBS < count {
        eprintln!("skipped: {name}: needs {count} jobs");
        return true;
    }
    skipped(name)
}

/// Whether this is root with what root usually may: in a container that can be
/// little (capabilities(7), `CAP_SYS_ADMIN`).
pub fn is_root() -> bool {
    const CAP_SYS_ADMIN: u32 = 21;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    nix::unistd::geteuid().is_root() && effective.unwrap_or(0) >> CAP_SYS_ADMIN & 1 == 1
}

/// Whether the test called `name` is to be left out because pmtr's emulator (`PMTR_RUNNER`) has no
/// programs for its processor, so that -t is right to say of every job that it does not start.
/// Those of ci/boards have.
pub fn needs_shell(name: &str) -> bool {
    let runner = std::env::var("PMTR_RUNNER").unwrap_or_default();
    let root = runner.split_whitespace().skip_while(|word| *word != "-L").nth(1);
    let is_missing = !Path::new(root.unwrap_or("/")).join("bin/sh").exists();
    if is_missing {
        eprintln!("skipped: {name}: the emulator has no shell of its own");
    }
    is_missing
}

/// Whether the test called `name` is to be left out because it needs root, or
/// cannot be run under emulation.
pub fn needs_root(name: &str) -> bool {
    if !is_root() {
        eprintln!("skipped: {name}: needs root");
        return true;
    }
    skipped(name)
}
