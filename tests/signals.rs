//! Signals, and being stopped, frozen and looked at, change nothing.

mod common;

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use common::cgroup::Group;
use common::{alive, children_of, emulated, eventually, needs_root, patiently, process};
use common::{save, skipped, sleepers, World, LONG};
use nix::libc;
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use pmtr::limits::MAX_JOBS;

/// Any signal, also one that `Signal` does not know.
fn send(pid: i32, number: i32) {
    assert!(pid > 1);
    // SAFETY: takes two numbers, of a process that the test has started.
    let sent = unsafe { libc::kill(pid, number) };
    assert_eq!(sent, 0, "signal {number}");
}

/// What is to end or stop pmtr, and what stops it for good.
const MEANT: [Signal; 8] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGKILL,
    Signal::SIGSTOP,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

#[test]
fn a_storm_of_every_signal_changes_nothing() {
    if skipped("a_storm_of_every_signal_changes_nothing") {
        return;
    }
    let mut world = World::with(&sleepers("a"));
    let a = world.running("a");
    for _ in 0..200 {
        // Those that libc keeps for itself, too: they ended pmtr.
        for number in (1..=libc::SIGRTMAX()).filter(|n| MEANT.iter().all(|&m| m as i32 != *n)) {
            send(world.pid(), number);
        }
    }
    for signal in [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU] {
        send(world.pid(), signal as i32);
    }
    world.save(save::by_rename, &sleepers("a b"));
    world.started("b");
    assert!(world.is_up() && alive(a));
    // All signals of this user count; 200 rounds would be 6,000.
    let queued = process::status(world.pid(), "SigQ");
    let queued: u32 = queued.split_once('/').unwrap().0.parse().unwrap();
    assert!(queued < 1000, "{queued} signals are pending");
    assert_eq!(world.stop(), Some(0));
}

/// With a handler, a fault of pmtr's own would be raised for ever instead of ending it, and so would be
/// what stops those that write to a terminal.
#[test]
fn no_signal_is_caught() {
    if skipped("no_signal_is_caught") {
        return;
    }
    let world = World::with(&sleepers("a"));
    world.started("a");
    let caught = u64::from_str_radix(&process::status(world.pid(), "SigCgt"), 16).unwrap();
    assert_eq!(caught, 0, "{caught:x}");
}

#[test]
fn a_storm_of_requests_is_obeyed_and_ends() {
    let mut world = World::with(&sleepers("a"));
    let a = world.running("a");
    for _ in 0..2000 {
        world.signal(Signal::SIGHUP);
        world.signal(Signal::SIGCHLD);
    }
    world.save(save::by_rename, &sleepers("a b"));
    world.started("b");
    assert!(alive(a));
    for _ in 0..100 {
        world.signal(Signal::SIGTERM);
        world.signal(Signal::SIGINT);
    }
    assert_eq!(world.wait(), Some(0));
    assert_eq!(world.log().own("sending SIGTERM to job a").len(), 1);
    assert_eq!(world.log().own("pmtr: exiting on signal").len(), 1);
}

/// Has things happen while pmtr does not run, and looks that it knows of them afterwards.
fn misses_nothing(world: &mut World, hold: impl FnOnce(&World), let_go: impl FnOnce(&World)) {
    let (a, b) = (world.running("a"), world.running("b"));
    hold(world);
    send(a, libc::SIGKILL);
    world.config(&sleepers("a b c"));
    assert!(world.log().own("rescanning").is_empty());
    let_go(world);
    world.started("c");
    world.log().wait_for(&format!("job a [{a}] exited after"));
    world.log().within(LONG).wait_nth("started job a [", 2);
    assert!(alive(b));
    assert_eq!(world.stop(), Some(0));
    assert_eq!(world.processes(), []);
}

#[test]
fn a_pmtr_that_was_stopped_goes_on() {
    let hold = |world: &World| {
        world.signal(Signal::SIGSTOP);
        eventually("a stop", || process::state(world.pid()) == Some('T'));
    };
    let mut world = World::with(&sleepers("a b"));
    misses_nothing(&mut world, hold, |world| world.signal(Signal::SIGCONT));
}

#[test]
fn a_pmtr_that_was_frozen_goes_on() {
    let test = "a_pmtr_that_was_frozen_goes_on";
    if needs_root(test) {
        return;
    }
    let Some(group) = Group::new(test, "freezer") else { return };
    let mut world = World::with(&sleepers("a b"));
    world.running("b");
    group.add(world.pid());
    misses_nothing(&mut world, |_| group.freeze(), |_| group.thaw());
}

/// Whether a program is missing that looks into others; says so.
fn lacks(test: &str, program: &str) -> bool {
    let is_there = Command::new(program).arg("--version").output();
    let lacks = !is_there.is_ok_and(|ran| ran.status.success()) || emulated();
    if lacks {
        eprintln!("skipped: {test}: needs {program}, and no emulator");
    }
    lacks
}

fn traced_by(world: &World) -> String {
    process::status(world.pid(), "TracerPid")
}

#[test]
fn strace_may_come_and_go() {
    if lacks("strace_may_come_and_go", "strace") {
        return;
    }
    let mut world = World::with(&sleepers("a"));
    let a = world.running("a");
    for round in 0..5 {
        let pid = world.pid().to_string();
        let mut strace = Command::new("strace");
        let strace = strace.args(["-f", "-q", "-o", "/dev/null", "-p", &pid]).stderr(Stdio::null());
        let mut strace = strace.spawn().unwrap();
        eventually("strace", || traced_by(&world) != "0");
        world.config(&sleepers(&format!("a round{round}")));
        world.started(&format!("round{round}"));
        kill(Pid::from_raw(strace.id() as i32), Signal::SIGTERM).unwrap();
        strace.wait().unwrap();
        eventually("the end of it", || traced_by(&world) == "0");
    }
    assert!(alive(a));
    assert_eq!(world.stop(), Some(0));
}

#[test]
fn gdb_may_come_and_go() {
    if lacks("gdb_may_come_and_go", "gdb") {
        return;
    }
    let mut world = World::with(&sleepers("a b"));
    let hold = |world: &World| {
        let pid = world.pid().to_string();
        let look = ["-nx", "-batch", "-p", &pid, "-ex", "info registers", "-ex", "detach"];
        let mut gdb = Command::new("gdb");
        let gdb = gdb.args(look).env("DEBUGINFOD_URLS", "").stdin(Stdio::null());
        let seen = gdb.output().unwrap();
        let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
        assert!(seen.contains(&format!("(process {pid}) detached")), "{seen}");
        eventually("the end of it", || traced_by(world) == "0");
        world.signal(Signal::SIGSTOP);
        eventually("a stop", || process::state(world.pid()) == Some('T'));
    };
    misses_nothing(&mut world, hold, |world| world.signal(Signal::SIGCONT));
}

#[test]
fn children_that_end_at_once_are_all_noticed() {
    // One signal tells of all of them: they end while pmtr does not look.
    let count = MAX_JOBS.min(if emulated() { 100 } else { 1000 });
    let names: Vec<String> = (0..count).map(|n| format!("job{n}")).collect();
    let mut world = World::with(&sleepers(&names.join(" ")));
    let deadline = 3 * LONG;
    world.log().within(deadline).wait_for(&format!("started job job{} [", count - 1));
    let children = children_of(world.pid());
    assert_eq!(children.len(), count);
    world.signal(Signal::SIGSTOP);
    children.iter().for_each(|&pid| send(pid, libc::SIGKILL));
    patiently(deadline, "their end", || {
        children.iter().all(|&pid| process::is_zombie(pid)).then_some(())
    });
    world.signal(Signal::SIGCONT);
    eventually("their reaping", || children.iter().all(|&pid| process::state(pid).is_none()));
    // It knows that each has ended: ten seconds later all run again.
    patiently(deadline, "all jobs", || {
        sleep(Duration::from_millis(50));
        (children_of(world.pid()).len() == count).then_some(())
    });
    assert_eq!(world.stop(), Some(0));
}
