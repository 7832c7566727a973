//! An idle pmtr does nothing at all.

mod common;

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use common::{eventually, job, process, sleepers, World};

/// How often the process was given a processor, or taken one away.
fn switches(pid: i32) -> (u64, u64) {
    let number = |name| process::status(pid, name).parse().expect("a number");
    (number("voluntary_ctxt_switches"), number("nonvoluntary_ctxt_switches"))
}

/// When the timer goes off, from now: the line of fdinfo (proc_pid_fdinfo(5)).
fn timer(pid: i32) -> String {
    let descriptors = process::descriptors(pid);
    let is_timer = |path: &std::path::Path| path.to_string_lossy().contains("[timerfd]");
    let (timer, _) = descriptors.iter().find(|(_, path)| is_timer(path)).expect("a timerfd");
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{timer}")).unwrap();
    let line = info.lines().find(|line| line.starts_with("it_value")).expect("it_value");
    line.split_once(": ").unwrap().1.to_string()
}

/// Waits until nothing is left of the start.
fn settle(world: &World) {
    let pid = world.pid();
    eventually("a second without a switch", || {
        let before = switches(pid);
        sleep(Duration::from_secs(1));
        before == switches(pid)
    });
}

/// A process that is not scheduled makes no system call either: it waits in one.
#[test]
fn for_sixty_seconds_an_idle_pmtr_with_24_jobs_is_not_scheduled() {
    let names: Vec<String> = (0..24).map(|n| format!("job{n}")).collect();
    let world = World::undisturbed(&sleepers(&names.join(" ")));
    world.started("job23");
    settle(&world);
    let pid = world.pid();
    let before = switches(pid);
    let calls = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    sleep(Duration::from_secs(60));
    assert_eq!(switches(pid), before);
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default(), calls);
    assert_eq!(timer(pid), "(0, 0)");
}

#[test]
fn the_timer_is_armed_only_while_something_is_due() {
    let world = World::with(&(sleepers("steady") + &job("crash", "cmd /bin/false")));
    world.exited("crash");
    world.fence();
    let armed = timer(world.pid());
    assert!(armed.starts_with("(9, ") || armed.starts_with("(8, "), "{armed}");
    world.config(&sleepers("steady"));
    world.fence();
    eventually("a timer that is not armed", || timer(world.pid()) == "(0, 0)");
}
