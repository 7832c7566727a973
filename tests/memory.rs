//! How much memory pmtr takes: what the kernel counts as its own (anonymous), and
//! its share of what is mapped (PSS), in smaps_rollup (proc_pid_smaps(5)).

mod common;

use std::fs;

use common::{eventually, save, sleepers, World};
use pmtr::limits::MAX_JOBS;

/// Of one process, in kB. What it shares with nobody is all of its anonymous memory:
/// there is only one process of pmtr, and its jobs are other programs.
struct Memory {
    anonymous: u64,
    pss: u64,
}

fn memory(pid: i32) -> Memory {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("smaps_rollup");
    let number = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    };
    Memory { anonymous: number("Anonymous:"), pss: number("Pss:") }
}

/// Whether a process runs the program of this world.
fn is_pmtr(world: &World) -> impl Fn(&i32) -> bool {
    let program = |pid: i32| fs::read_link(format!("/proc/{pid}/exe")).ok();
    let ours = program(world.pid());
    move |&pid| program(pid) == ours
}

/// A pmtr whose jobs all run, and of which nobody wants anything any more.
fn world_of(jobs: usize) -> World {
    let names: Vec<String> = (0..jobs).map(|n| format!("job{n}")).collect();
    let world = World::with(&sleepers(&names.join(" ")));
    world.log().within(60).wait_for(&format!("started job job{} [", jobs - 1));
    world.fence();
    world
}

/// Whether the program is one as it is shipped; the bounds are those of that,
/// on a machine whose libc has been looked at.
fn is_measured(name: &str) -> bool {
    let is_release = !cfg!(debug_assertions) || std::env::var_os("PMTR_BIN").is_some();
    let is_known = cfg!(all(target_arch = "x86_64", target_env = "gnu"));
    if !is_release || !is_known {
        eprintln!("skipped: {name}: needs the release build (PMTR_BIN) for x86_64 and glibc");
    }
    is_release && is_known
}

/// How much of anonymous memory `jobs` jobs may take, in kB.
struct Bound {
    jobs: usize,
    dynamic: u64,
    of_static: u64,
}

/// An empty C program takes 92 on the same machine, if it is not static. Three pages more than the
/// most that was measured: where the stack begins is random, and so is, from one change of the program to the
/// next, where its pages begin. With 1,000 jobs it depends on the machine how much of the log was
/// under way at once.
const BOUNDS: [Bound; 3] = [
    Bound { jobs: 1, dynamic: 148, of_static: 88 },
    Bound { jobs: 24, dynamic: 148, of_static: 88 },
    Bound { jobs: 1000, dynamic: 640, of_static: 580 },
];

/// Whether all of a program is in one file (`ci/static-tests`).
fn is_static(pid: i32) -> bool {
    !fs::read_to_string(format!("/proc/{pid}/maps")).expect("maps").contains("/ld-")
}

#[test]
fn the_memory_of_1_24_and_1000_jobs_is_bounded() {
    if common::skipped("the_memory_of_1_24_and_1000_jobs_is_bounded") {
        return;
    }
    let is_measured = is_measured("the_memory_of_1_24_and_1000_jobs_is_bounded");
    for Bound { jobs, dynamic, of_static } in BOUNDS {
        if jobs > MAX_JOBS {
            continue;
        }
        let world = world_of(jobs);
        // A job is a copy of pmtr until it is its program.
        let ours = || world.processes().into_iter().filter(is_pmtr(&world));
        eventually("the programs of all jobs", || ours().eq([world.pid()]));
        let Memory { anonymous, pss } = memory(world.pid());
        let bound = if is_static(world.pid()) { of_static } else { dynamic };
        println!("{jobs:>4} jobs: {anonymous:>4} kB anonymous (at most {bound}), {pss:>4} kB PSS");
        assert!(!is_measured || anonymous <= bound, "{jobs} jobs: {anonymous} kB, not {bound}");
    }
}

#[test]
fn what_a_large_file_took_is_given_back_when_a_small_one_replaces_it() {
    if common::skipped("what_a_large_file_took_is_given_back_when_a_small_one_replaces_it") {
        return;
    }
    let world = world_of(24);
    let before = memory(world.pid()).anonymous;
    let bad = format!("{}\nbad", "# a long comment\n".repeat(14_000));
    world.save(save::in_place, &bad);
    world.log().wait_for("FAILED to parse");
    world.fence();
    let after = memory(world.pid()).anonymous;
    println!("{before} kB before a large file was refused, {after} kB after");
    assert!(after <= before + 32, "{after} kB instead of {before}");
}
