//! pmtr needs little of its stack, whatever it is given to read: nothing recurses
//! over input, and no table stands there.

mod common;

use common::tour::tour;
use common::{job, save, World};
use nix::sys::signal::Signal;
use pmtr::limits::{MAX_JOBS, TEXT_BYTES};

/// A pmtr that the kernel ends when it wants more than so many KiB of stack
/// (setrlimit(2)), its arguments and environment included; the debug build gets
/// four times as much, as nothing is optimised there.
fn with_stack(kib: u32) -> World {
    let is_debug = cfg!(debug_assertions) && std::env::var_os("PMTR_BIN").is_none();
    let kib = if is_debug { 4 * kib } else { kib };
    let script = format!("ulimit -s {kib} && exec \"$@\"");
    World::new().wrapped_in(&["/bin/sh", "-c", &script, "sh"])
}

/// 64 KiB are for the jobs' processes, which have the same limit and look users up.
#[test]
fn whatever_happens_a_stack_of_64_kib_is_enough() {
    if common::skipped("whatever_happens_a_stack_of_64_kib_is_enough") {
        return;
    }
    let mut world = with_stack(64);
    world.config("");
    world.start();
    tour(&mut world);
    assert_eq!(world.stop(), Some(0));
}

#[test]
fn the_largest_files_need_no_more_than_40_kib() {
    if common::skipped("the_largest_files_need_no_more_than_40_kib") {
        return;
    }
    let mut world = with_stack(40);
    world.config("");
    world.start();
    let filler = "x".repeat(TEXT_BYTES / MAX_JOBS - 100);
    let lines = format!("cmd /bin/sleep 1000\n  env X={filler}\n  disable");
    let jobs: String = (0..MAX_JOBS).map(|n| job(&format!("job{n}"), &lines)).collect();
    world.save(save::in_place, &jobs);
    world.log().wait_for("rescanning");
    for bad in
        ["{ ".repeat(TEXT_BYTES / 2), "job {\n".repeat(TEXT_BYTES / 6), "x".repeat(TEXT_BYTES)]
    {
        let before = world.log().own("FAILED to parse").len();
        world.save(save::by_rename, &bad);
        world.log().wait_nth("FAILED to parse", before + 1);
    }
    world.signal(Signal::SIGTERM);
    assert_eq!(world.wait(), Some(0));
}
