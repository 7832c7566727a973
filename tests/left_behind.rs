//! No process of a job is left behind when it is stopped, restarted or deleted, or when
//! pmtr ends, whatever that process does; but one that has begun a session of its own.

mod common;

use std::time::{Duration, Instant};

use common::cgroup::Group;
use common::process::gone;
use common::{alive, eventually, job, needs_root, patiently, process, skipped, sleepers};
use common::{World, LONG, SHORT};
use nix::libc;
use nix::sys::signal::Signal;

/// The process that a job has told in one of its lines.
fn told(world: &World, job: &str, what: &str) -> i32 {
    patiently(SHORT, &format!("{what} of {job}"), || {
        let lines = world.log().lines(job);
        lines.iter().find_map(|line| line.strip_prefix(what)?.trim().parse().ok())
    })
}

#[test]
fn a_stopped_job_is_ended_by_a_shutdown() {
    let mut world = World::with(&sleepers("a"));
    let a = world.running("a");
    process::send(a, Signal::SIGSTOP);
    assert_eq!(world.stop(), Some(0));
    assert_eq!(world.processes(), []);
}

#[test]
fn a_stopped_job_is_restarted_when_it_is_changed() {
    let world = World::with(&sleepers("a"));
    let old = world.running("a");
    process::send(old, Signal::SIGSTOP);
    world.config(&job("a", "cmd /bin/sleep 1001"));
    world.log().within(LONG).wait_for(&format!("sending SIGKILL to job a [{old}]"));
    world.log().within(LONG).wait_for(&format!("job a [{old}] exited after"));
    let new = world.restarted("a", old);
    assert!(!alive(old) && alive(new));
}

#[test]
fn what_has_forked_twice_is_adopted_and_ended_with_its_group() {
    if skipped("what_has_forked_twice_is_adopted_and_ended_with_its_group") {
        return;
    }
    let script = "(sleep 1000 & echo twice $!) ; exec sleep 1000";
    let mut world = World::with(&job("a", &format!("cmd /bin/sh -c \"{script}\"")));
    let twice = told(&world, "a", "twice ");
    eventually("its adoption", || process::parent(twice) == world.pid());
    world.config(&sleepers("b"));
    gone(twice);
    eventually("its reaping", || process::state(twice).is_none());
    assert_eq!(world.stop(), Some(0));
    assert_eq!(world.processes(), []);
}

#[test]
fn a_stopped_process_in_the_group_of_a_job_is_ended_too() {
    let script = "sleep 1000 & echo child $!; exec sleep 1000";
    let mut world = World::with(&job("a", &format!("cmd /bin/sh -c \"{script}\"")));
    let child = told(&world, "a", "child ");
    process::send(child, Signal::SIGSTOP);
    world.config(&sleepers("b"));
    // It does not hear SIGTERM, and gets SIGKILL.
    patiently(LONG, "the end of the child", || (!alive(child)).then_some(()));
    assert_eq!(world.stop(), Some(0));
}

/// A user id that nothing else on the machine has.
const BOMBER: u32 = 54_321;
const PERL: &str = "/usr/bin/perl";

#[test]
fn a_fork_bomb_that_obeys_its_limit_is_ended_whole() {
    let test = "a_fork_bomb_that_obeys_its_limit_is_ended_whole";
    if needs_root(test) || !std::path::Path::new(PERL).exists() {
        eprintln!("skipped: {test}: needs perl, and root");
        return;
    }
    let mut world = World::new();
    world.file("bomb", "while (1) { fork; select(undef, undef, undef, 0.1) }");
    let command = format!(
        "cmd /usr/bin/setpriv --reuid={BOMBER} --regid={BOMBER} --clear-groups {PERL} $DIR/bomb\n  \
         ulimit -u 40"
    );
    world.config(&(job("bomb", &command) + &sleepers("b")));
    world.start();
    let b = world.running("b");
    eventually("an explosion", || world.processes_with(PERL).len() == 40);
    world.config(&sleepers("b"));
    patiently(LONG, "the end of all", || world.processes_with(PERL).is_empty().then_some(()));
    assert!(alive(b));
    assert_eq!(world.stop(), Some(0));
    assert_eq!(world.processes(), []);
}

#[test]
fn what_has_begun_a_session_of_its_own_is_left_alone() {
    let script = "setsid sleep 1000 & echo gone $!; exec sleep 1000";
    let mut world = World::with(&job("a", &format!("cmd /bin/sh -c \"{script}\"")));
    let a = world.running("a");
    let left = told(&world, "a", "gone ");
    eventually("a session", || process::session(left) != a);
    assert_eq!(world.stop(), Some(0));
    assert!(alive(left));
}

/// A job that is frozen in the midst of an edit: SIGKILL does not end it.
fn frozen(test: &str) -> Option<(World, Group, i32)> {
    if needs_root(test) {
        return None;
    }
    let group = Group::new(test, "freezer")?;
    let world = World::with(&sleepers("a b"));
    let a = world.running("a");
    group.add(a);
    group.freeze();
    Some((world, group, a))
}

#[test]
fn a_process_that_cannot_be_killed_is_told_and_ends_when_it_can() {
    let test = "a_process_that_cannot_be_killed_is_told_and_ends_when_it_can";
    let Some((world, group, a)) = frozen(test) else { return };
    world.config(&(job("a", "cmd /bin/sleep 1001") + &sleepers("b")));
    let log = world.log().within(LONG);
    log.wait_for(&format!("job a [{a}] is still there after SIGKILL"));
    // Others are looked after meanwhile.
    world.config(&(job("a", "cmd /bin/sleep 1001") + &sleepers("b c")));
    world.started("c");
    assert!(alive(a));
    assert_eq!(world.starts("a"), 1, "a new one beside it");
    group.thaw();
    gone(a);
    world.restarted("a", a);
}

#[test]
fn a_process_that_cannot_be_killed_does_not_hold_up_a_shutdown() {
    let test = "a_process_that_cannot_be_killed_does_not_hold_up_a_shutdown";
    let Some((mut world, group, a)) = frozen(test) else { return };
    let before = Instant::now();
    world.signal(Signal::SIGTERM);
    world.log().within(LONG).wait_for(&format!("job a [{a}] is still there after SIGKILL"));
    assert_eq!(world.wait(), Some(0));
    // Ten seconds for SIGTERM, ten for SIGKILL.
    assert!(before.elapsed() >= Duration::from_secs(20), "{:?}", before.elapsed());
    assert!(alive(a));
    group.thaw();
    gone(a);
    assert_eq!(world.processes(), []);
}

#[test]
fn a_thread_group_leader_that_has_ended_does_not_hide_its_threads() {
    let test = "a_thread_group_leader_that_has_ended_does_not_hide_its_threads";
    if skipped(test) || !std::path::Path::new("/usr/bin/python3").exists() || common::emulated() {
        eprintln!("skipped: {test}: needs python3, and no emulator");
        return;
    }
    // The first thread ends by itself, another goes on: /proc shows a zombie.
    let mut world = World::new();
    world.file(
        "threads",
        "import ctypes, threading, time\n\
         threading.Thread(target=time.sleep, args=(1000,)).start()\n\
         ctypes.CDLL(None).syscall(60, 0)\n",
    );
    world.config(&job("a", "cmd /usr/bin/python3 $DIR/threads"));
    world.start();
    let a = world.pid_of("a");
    if cfg!(target_arch = "x86_64") {
        eventually("a leader that is a zombie", || process::is_zombie(a));
    }
    // As if another child had ended: all are looked at.
    world.signal(Signal::SIGCHLD);
    world.fence();
    assert!(world.log().own("] exited after").is_empty());
    assert_eq!(world.stop(), Some(0));
    assert!(process::state(a).is_none());
    // SAFETY: asks whether there is such a process.
    assert_eq!(unsafe { libc::kill(a, 0) }, -1);
}
