//! The supervisor's own death is survived: every job runs exactly once after
//! the next start.

mod common;

use std::fs;
use std::os::unix::fs::{chown, PermissionsExt};

use common::process::gone;
use common::{alive, eventually, job, needs_root, sleepers, World, LONG};

/// Sleepers that can be told apart by the seconds they sleep.
fn numbered(numbers: &[u32]) -> String {
    numbers.iter().map(|n| job(&format!("job{n}"), &format!("cmd /bin/sleep {n}"))).collect()
}

fn each_runs_once(world: &World, numbers: &[u32]) {
    for number in numbers {
        let word = number.to_string();
        eventually(&format!("one sleep {word}"), || world.processes_with(&word).len() == 1);
    }
}

#[test]
fn after_kill_9_a_new_start_runs_every_job_exactly_once() {
    let mut world = World::with(&numbered(&[10001, 10002, 10003]));
    each_runs_once(&world, &[10001, 10002, 10003]);
    world.kill();
    // A job at the end tells that all before it have been looked after.
    world.config(&numbered(&[10001, 10002, 10003, 10004]));
    world.start();
    world.started("job10004");
    each_runs_once(&world, &[10001, 10002, 10003, 10004]);
    assert_eq!(world.stop(), Some(0));
    assert_eq!(world.processes(), []);
}

#[test]
fn after_kill_9_of_a_daemon_too() {
    let mut world = World::new();
    world.config(&numbered(&[10001, 10002]));
    world.start_daemon();
    each_runs_once(&world, &[10001, 10002]);
    world.kill();
    world.config(&numbered(&[10001, 10002, 10003]));
    world.start_daemon();
    world.started("job10003");
    each_runs_once(&world, &[10001, 10002, 10003]);
}

#[test]
fn after_kill_9_a_job_that_was_deleted_meanwhile_is_ended() {
    let mut world = World::with(&numbered(&[10001, 10002]));
    each_runs_once(&world, &[10001, 10002]);
    let deleted = world.pid_of("job10002");
    world.kill();
    world.config(&numbered(&[10001]));
    world.start();
    gone(deleted);
    each_runs_once(&world, &[10001]);
}

#[test]
fn after_kill_9_the_processes_of_a_jobs_group_are_ended_too() {
    let run = "cmd /bin/sh -c \"sleep 20001 & exec sleep 20002\"";
    let mut world = World::with(&job("a", run));
    eventually("both", || {
        world.processes_with("20001").len() + world.processes_with("20002").len() == 2
    });
    world.kill();
    world.start();
    // Taken over or started anew, but not both.
    each_runs_once(&world, &[20001, 20002]);
    world.fence();
    each_runs_once(&world, &[20001, 20002]);
}

#[test]
fn after_kill_9_a_job_that_ignores_sigterm_is_killed_before_its_next_start() {
    let script = "trap '' TERM; echo deaf; while :; do sleep 0.1; done";
    let mut world = World::with(&job("a", &format!("cmd /bin/sh -c \"{script}\"")));
    world.log().wait_line("a", "deaf");
    let old = world.pid_of("a");
    world.kill();
    world.start_silently();
    let new = world.log().within(LONG).wait_nth("started job a [", 2).job_pid();
    // Taken over, it would be the same.
    assert!(new == old || !alive(old));
}

#[test]
fn after_many_kills_every_job_runs_exactly_once() {
    let mut world = World::with(&sleepers("a"));
    for round in 0..10 {
        // Not always at rest: every other time in the middle of a start or an edit.
        world.config(&numbered(&[10001, 10002, 10003, 30000 + round]));
        if round % 2 == 0 {
            world.started(&format!("job{}", 30000 + round));
        }
        world.kill();
        world.start();
    }
    world.config(&numbered(&[10001, 10002, 10003, 10004]));
    world.started("job10004");
    each_runs_once(&world, &[10001, 10002, 10003, 10004]);
    eventually("nothing else", || common::children_of(world.pid()).len() == 4);
    assert_eq!(world.processes().len(), 5);
}

/// Whatever is wrong with the place for the state: it is said, and the job runs.
fn goes_on_without_state(prepare: impl Fn(&World), why: &str) {
    let mut world = World::new();
    world.config(&sleepers("a"));
    prepare(&world);
    world.start();
    world.log().wait_for(&format!("no state is kept, {}: {why}", world.path("state").display()));
    world.started("a");
    assert_eq!(world.stop(), Some(0));
    assert_eq!(world.processes(), []);
}

#[test]
fn without_a_place_for_its_state_pmtr_says_so_and_goes_on() {
    goes_on_without_state(|world| drop(world.file("state", "")), "Not a directory");
    let writable = |world: &World| {
        let state = world.path("state");
        fs::create_dir(&state).expect("mkdir");
        fs::set_permissions(state, fs::Permissions::from_mode(0o777)).expect("chmod");
    };
    goes_on_without_state(writable, "is not this user's alone");
}

#[test]
fn a_place_for_the_state_that_is_another_users_is_not_used() {
    if needs_root("a_place_for_the_state_that_is_another_users_is_not_used") {
        return;
    }
    let hostile = |world: &World| {
        let state = world.path("state");
        fs::create_dir(&state).expect("mkdir");
        chown(state, Some(65534), None).expect("chown");
    };
    goes_on_without_state(hostile, "is not this user's alone");
}

#[test]
fn a_state_file_of_garbage_does_no_harm() {
    let mut world = World::with(&sleepers("a"));
    world.running("a");
    assert_eq!(world.stop(), Some(0));
    for entry in fs::read_dir(world.path("state")).expect("a state directory") {
        let garbage: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(n) >> 3) as u8).collect();
        fs::write(entry.expect("a file").path(), garbage).expect("writing");
    }
    world.start();
    world.log().wait_nth("started job a [", 2);
    world.kill();
    world.start();
    world.log().wait_nth("started job a [", 3);
    eventually("one job", || world.processes_with("1000").len() == 1);
}
