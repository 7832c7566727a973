//! Process 1 of a container: the manual's "In a container".

mod common;

use std::fs::File;
use std::time::{Duration, Instant};

use common::process::{gone, send};
use common::{
    alive, children_of, eventually, job, needs_root, patiently, sleepers, stretched, World, LONG,
    SHORT,
};
use nix::sys::signal::Signal::{self, SIGINT, SIGTERM, SIGUSR1};

/// Becomes process 1 of a pid namespace that ends with it.
const UNSHARE: [&str; 5] = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];

/// A pmtr as process 1 with this configuration, and its process as seen from outside.
fn container(config: &str) -> (World, i32) {
    contain(World::new(), config)
}

/// The same in a world that has something already.
fn contain(world: World, config: &str) -> (World, i32) {
    let mut world = world.wrapped_in(&UNSHARE);
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

#[test]
fn as_process_1_it_reaps_ten_thousand_orphans() {
    if needs_root("as_process_1_it_reaps_ten_thousand_orphans") {
        return;
    }
    // Ten shells that end with a thousand zombies each: one SIGCHLD stands for many.
    let world = World::new();
    let zombies = "i=0; while [ $i -lt 1000 ]; do : & i=$((i + 1)); done";
    let ten = "for n in 0 1 2 3 4 5 6 7 8 9; do ($DIR/zombies) & done; wait; exit 33";
    world.script("zombies", zombies);
    let many = job("many", &format!("cmd {}", world.script("many", ten).display()));
    let (mut world, init) = contain(world, &(sleepers("before") + &many));
    world.started("before");
    let before = patiently(SHORT, "before", || children_of(init).first().copied());
    world.log().within(6 * LONG).wait_exit("many");
    patiently(LONG, "no zombie", || (children_of(init) == [before]).then_some(()));
    world.config(&(sleepers("before after") + &many));
    // The numbers of processes show that there were so many: the namespace began with 1.
    let after = world.started("after").job_pid();
    assert!(after > 10_000, "process {after}");
    assert!(world.is_up() && alive(before));
    assert_eq!(end(&mut world, init, SIGTERM), Some(0));
}

/// A job that leaves a daemon behind, which does `on_term` on SIGTERM and else stays.
fn leaves_a_daemon(world: &World, on_term: &str) -> String {
    let stay = format!("trap '{on_term}' TERM\n: >$DIR/ready\nwhile :; do sleep 0.02; done");
    let daemon = world.script("daemon", &stay);
    let leave = world.script("leave", &format!("setsid {} & exit 33", daemon.display()));
    job("leaves", &format!("cmd {}", leave.display()))
}

#[test]
fn as_process_1_it_lets_what_jobs_have_left_end_by_itself() {
    if needs_root("as_process_1_it_lets_what_jobs_have_left_end_by_itself") {
        return;
    }
    for signal in [SIGTERM, SIGINT] {
        let world = World::new();
        let leaves = leaves_a_daemon(&world, "echo tidied; : >$DIR/tidied; exit");
        let (mut world, init) = contain(world, &(leaves + &sleepers("a")));
        world.started("a");
        eventually("the daemon", || world.path("ready").exists());
        let asked = Instant::now();
        assert_eq!(end(&mut world, init, signal), Some(0));
        assert!(world.path("tidied").exists(), "{signal}");
        assert!(asked.elapsed() < stretched(SHORT), "it does not wait for nobody");
        let rest = world.log().wait_for("sending SIGTERM to what jobs have left");
        assert!(rest.at > world.exited("a").at, "jobs come first");
        assert!(world.log().lines("leaves").contains(&"tidied".to_string()), "its output is heard");
        assert!(world.log().own("sending SIGKILL").is_empty());
        assert_eq!(world.processes(), []);
    }
}

#[test]
fn as_process_1_it_kills_what_jobs_have_left_after_10_s() {
    if needs_root("as_process_1_it_kills_what_jobs_have_left_after_10_s") {
        return;
    }
    let world = World::new();
    let leaves = leaves_a_daemon(&world, "");
    let (mut world, init) = contain(world, &leaves);
    eventually("the daemon", || world.path("ready").exists());
    // Not from when the log says so: on a busy machine that is heard late.
    let asked = Instant::now();
    assert_eq!(end(&mut world, init, SIGTERM), Some(0));
    world.log().wait_for("sending SIGTERM to what jobs have left");
    let killed = world.log().wait_for("sending SIGKILL to what jobs have left");
    let grace = killed.at - asked;
    assert!(grace > Duration::from_millis(9_900), "early: {grace:?}");
    assert_eq!(world.processes(), []);
}

/// Process 1 of a namespace that waits for the rest of its command line.
const FIRST: &str = "\"$@\" & wait $!";

#[test]
fn otherwise_what_a_job_has_left_is_not_pmtrs_to_end() {
    if needs_root("otherwise_what_a_job_has_left_is_not_pmtrs_to_end") {
        return;
    }
    // In a namespace all the same: a pmtr that is wrong here would end everything that root may signal.
    let world = World::new();
    let first = world.script("first", FIRST);
    let leaves = leaves_a_daemon(&world, "");
    let words: Vec<&str> = UNSHARE.into_iter().chain([first.to_str().unwrap()]).collect();
    let mut world = world.wrapped_in(&words);
    world.config(&leaves);
    world.start();
    eventually("the daemon", || world.path("ready").exists());
    let init = patiently(SHORT, "process 1", || children_of(world.pid()).first().copied());
    let pmtr = patiently(SHORT, "pmtr", || children_of(init).first().copied());
    send(pmtr, SIGTERM);
    world.log().wait_for("pmtr: exiting on signal 15");
    gone(pmtr);
    assert!(world.log().own("what jobs have left").is_empty());
    assert_eq!(world.wait(), Some(0));
}

/// Has neither a writable root nor /proc, then executes the rest of its command line.
const BARE: &str = "set -e
mount -o remount,bind,ro /
mount -t tmpfs -o ro none /proc
if touch /pmtr-was-here 2>/dev/null; then exit 99; fi
exec \"$@\"";

#[test]
fn as_process_1_it_needs_no_proc_no_syslog_and_no_writable_root() {
    if needs_root("as_process_1_it_needs_no_proc_no_syslog_and_no_writable_root") {
        return;
    }
    let world = World::new();
    let bare = world.script("bare", BARE);
    let config = job("a", "cmd /bin/sh -c \"echo hello; exec sleep 1000\"");
    let leaves = job("leaves", "cmd /bin/sh -c \"setsid sleep 1000 & exit 33\"");
    world.config(&(config + &leaves));
    let unshare = ["unshare", "--pid", "--mount", "--fork", "--kill-child"];
    let words: Vec<&str> = unshare.into_iter().chain([bare.to_str().unwrap()]).collect();
    let world = world.wrapped_in(&words);
    let path = world.config_file();
    let nowhere = world.path("nowhere");
    let options = ["-c", path.to_str().unwrap(), "--log-socket", nowhere.to_str().unwrap()];
    let stderr = world.file("stderr", "");
    let mut command = world.command(&options);
    let mut unshare = command.stderr(File::create(stderr).unwrap()).spawn().unwrap();
    let said = |text: &str| eventually(text, || world.stderr().contains(text));
    said(": hello");
    said("job leaves [");
    said("exit status 33");
    let init = patiently(SHORT, "1", || children_of(unshare.id() as i32).first().copied());
    send(init, SIGTERM);
    let status = patiently(LONG, "the end", || unshare.try_wait().unwrap());
    assert_eq!(status.code(), Some(0), "{}", world.stderr());
    said("sending SIGTERM to job a [");
    said("sending SIGTERM to what jobs have left");
    assert!(!world.stderr().contains("no state is kept"), "{}", world.stderr());
    assert_eq!(world.processes(), []);
}
