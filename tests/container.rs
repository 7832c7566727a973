//! Process 1 of a container: the manual's "In a container".

mod common;

use common::process::send;
use common::{alive, children_of, eventually, job, needs_root, patiently, sleepers, World, SHORT};
use nix::sys::signal::Signal::{self, SIGINT, SIGTERM, SIGUSR1};

/// Becomes process 1 of a pid namespace that ends with it.
const UNSHARE: [&str; 5] = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];

/// A pmtr as process 1 with this configuration, and its process as seen from outside.
fn container(config: &str) -> (World, i32) {
    let mut world = World::new().wrapped_in(&UNSHARE);
    world.config(config);
    let path = world.config_file();
    // The manual's example, without -F: it is not needed.
    world.start_with(&["-Ic", path.to_str().unwrap()]);
    world.log().wait_for("pmtr: starting");
    let unshare = world.pid();
    let init = patiently(SHORT, "process 1", || children_of(unshare).first().copied());
    (world, init)
}

/// Sends a signal to process 1 and waits for its end; returns its exit status.
fn end(world: &mut World, init: i32, signal: Signal) -> Option<i32> {
    send(init, signal);
    world.wait()
}

#[test]
fn as_process_1_it_stays_in_the_foreground() {
    if needs_root("as_process_1_it_stays_in_the_foreground") {
        return;
    }
    let (mut world, init) = container(&sleepers("a"));
    assert_eq!(world.started("a").pid, 1);
    assert!(world.is_up() && alive(init));
    eventually("the echo", || world.stderr().contains("pmtr[1]: started job a ["));
}

#[test]
fn as_process_1_it_follows_edits() {
    if needs_root("as_process_1_it_follows_edits") {
        return;
    }
    let (world, _) = container(&sleepers("a"));
    world.started("a");
    world.config(&sleepers("a b"));
    world.started("b");
}

#[test]
fn as_process_1_it_ends_all_jobs_on_sigterm() {
    if needs_root("as_process_1_it_ends_all_jobs_on_sigterm") {
        return;
    }
    let (mut world, init) = container(&sleepers("a b"));
    world.started("b");
    assert_eq!(end(&mut world, init, SIGTERM), Some(0));
    world.log().wait_for("sending SIGTERM to job b [");
    assert_eq!(world.processes(), []);
}

#[test]
fn as_process_1_it_ends_on_sigint() {
    if needs_root("as_process_1_it_ends_on_sigint") {
        return;
    }
    let (mut world, init) = container(&sleepers("a"));
    world.started("a");
    assert_eq!(end(&mut world, init, SIGINT), Some(0));
}

#[test]
fn as_process_1_it_does_not_end_on_sigusr1() {
    if needs_root("as_process_1_it_does_not_end_on_sigusr1") {
        return;
    }
    let (mut world, init) = container(&sleepers("a"));
    world.started("a");
    send(init, SIGUSR1);
    world.config(&sleepers("a b"));
    world.started("b");
    assert!(world.is_up() && alive(init));
}

#[test]
fn as_process_1_it_reaps_orphans() {
    if needs_root("as_process_1_it_reaps_orphans") {
        return;
    }
    // Ten processes whose parent ends before they do.
    let orphan = "(until [ -e $DIR/go ]; do sleep 0.02; done) &";
    let script = format!("for i in 0 1 2 3 4 5 6 7 8 9; do {orphan} done; exit 33");
    let orphans = job("a", &format!("cmd /bin/sh -c \"{script}\""));
    let (mut world, init) = container(&(orphans + &sleepers("b")));
    world.exited("a");
    eventually("ten orphans and b", || children_of(init).len() == 11);
    world.file("go", "");
    eventually("b and nothing else, no zombie either", || children_of(init).len() == 1);
    assert!(children_of(init).into_iter().all(alive));
    assert!(world.is_up());
}
