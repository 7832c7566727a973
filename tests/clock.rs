//! A wall clock that is set, by years and both ways, changes nothing (compat.md:
//! "all times come from the wall clock").

mod common;

use std::fs;
use std::process::Command;
use std::time::Duration;

use common::{job, stretched, World};

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
    let restarted = world.log().within(30).wait_after(&exited, "started job short [");
    let delay = restarted.at - exited.at;
    assert!(delay > Duration::from_millis(9_900), "early: {delay:?}");
    assert!(delay < stretched(3) + Duration::from_secs(10), "late: {delay:?}");
    assert_eq!(world.starts("bounced"), 1);
    assert_eq!(world.stop(), Some(0));
}
