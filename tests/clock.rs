//! A wall clock that is set, by years and both ways, changes nothing (compat.md:
//! "all times come from the wall clock").

mod common;

use std::fs;
use std::process::Command;
use std::time::Duration;

use common::process::{gone, send};
use common::{children_of, job, needs_root, patiently, sleepers, stretched, Record, World, SHORT};
use nix::sys::signal::Signal;

/// A world whose pmtr has a wall clock of its own, see [`set_clock`].
fn world(name: &str) -> Option<World> {
    let world = World::new();
    let library = world.path("wall_clock.so");
    let source = world.file("wall_clock.c", include_str!("data/wall_clock.c"));
    let compiler = std::env::var("PMTR_CC").unwrap_or("cc".into());
    let compiled =
        Command::new(compiler).args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    if !compiled.is_ok_and(|status| status.success()) || common::skipped(name) {
        eprintln!("skipped: {name}: needs a C compiler for the program's processor");
        return None;
    }
    set_clock(&world, 0);
    let offset = world.path("clock");
    let world = world.variable("LD_PRELOAD", library.to_str()?);
    Some(world.variable("WALL_CLOCK", offset.to_str()?))
}

fn set_clock(world: &World, days: i64) {
    let new = world.path("clock.new");
    fs::write(&new, (days * 24 * 60 * 60).to_string()).unwrap();
    fs::rename(new, world.path("clock")).unwrap();
}

#[test]
fn a_step_of_the_wall_clock_makes_no_restart_late_or_early() {
    let Some(mut world) = world("a_step_of_the_wall_clock_makes_no_restart_late_or_early") else {
        return;
    };
    let bounced = job("bounced", "cmd /bin/sleep 1000\n  bounce every 1h");
    world.config(&(job("short", "cmd /bin/true") + &bounced));
    world.start();
    world.started("bounced");
    let exited = world.exited("short");
    for (days, name) in [(100, "forwards"), (-3000, "back"), (3000, "to_and_fro")] {
        set_clock(&world, days);
        world.config(&(job("short", "cmd /bin/true") + &bounced + &job(name, "cmd /bin/sleep 9")));
        let started = world.started(name);
        // The step has come through: the log has the new date.
        assert_ne!(started.stamp[..6], exited.stamp[..6], "{days} days");
    }
    is_in_time(&world, &exited);
    assert_eq!(world.starts("bounced"), 1);
    assert_eq!(world.stop(), Some(0));
}

/// The job that has exited so is restarted after ten seconds.
fn is_in_time(world: &World, exited: &Record) {
    let restarted = world.log().within(30).wait_after(exited, "started job short [");
    let delay = restarted.at - exited.at;
    assert!(delay > Duration::from_millis(9_900), "early: {delay:?}");
    assert!(delay < stretched(3) + Duration::from_secs(10), "late: {delay:?}");
}

/// As on a machine that was suspended for eleven days and a half: only one of the clocks that cannot be set
/// has gone on meanwhile (time_namespaces(7)).
const SUSPENDED: [&str; 5] = ["unshare", "--time", "--boottime", "1000000", "--fork"];

#[test]
fn where_the_machine_was_suspended_restarts_are_in_time_and_what_is_left_is_known() {
    let test = "where_the_machine_was_suspended_restarts_are_in_time_and_what_is_left_is_known";
    let can = || Command::new(SUSPENDED[0]).args(&SUSPENDED[1..]).arg("true").status();
    if needs_root(test) {
        return;
    }
    if !can().is_ok_and(|status| status.success()) {
        return eprintln!("skipped: {test}: needs time namespaces");
    }
    let mut world = World::new().wrapped_in(&SUSPENDED);
    world.config(&(sleepers("steady") + &job("short", "cmd /bin/true")));
    world.start();
    let exited = world.exited("short");
    is_in_time(&world, &exited);
    let pmtr = patiently(SHORT, "pmtr", || children_of(world.pid()).first().copied());
    let steady = world.pid_of("steady");
    send(pmtr, Signal::SIGKILL);
    world.wait();
    world.start();
    world.log().wait_for(&format!("job steady [{steady}], left by a killed pmtr, is gone"));
    gone(steady);
    let pmtr = patiently(SHORT, "pmtr", || children_of(world.pid()).first().copied());
    send(pmtr, Signal::SIGTERM);
    assert_eq!(world.wait(), Some(0));
    assert_eq!(world.processes(), []);
}
