//! Ended children are seen, however they ended. All children of a process are
//! seen, so this is one test: another one's would be in the way.

use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::Signal;
use pmtr::supervise::ExitStatus;
use pmtr::sys::reap::{kill_group, peek, reap, signal};

#[path = "common/skip.rs"]
mod skip;

fn shell(script: &str) -> (Child, i32) {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    let pid = child.id() as i32;
    (child, pid)
}

fn next() -> (i32, ExitStatus) {
    let start = Instant::now();
    loop {
        if let Some(ended) = peek().unwrap() {
            return ended;
        }
        assert!(start.elapsed() < skip::stretched(20), "no child has ended");
        sleep(Duration::from_millis(2));
    }
}

#[test]
fn children_are_seen_until_they_are_reaped() {
    assert_eq!(peek(), Ok(None), "no child at all");
    every_way_to_end_is_seen();
    a_zombie_keeps_its_pid_and_its_group();
    what_is_left_of_a_group_is_killed();
    numbers_that_mean_more_than_one_process_are_refused();
}

fn every_way_to_end_is_seen() {
    let (_living, pid) = shell("exec sleep 1000");
    assert_eq!(peek(), Ok(None), "none that has ended");
    for (script, expected) in [
        ("exit 0", ExitStatus::Code(0)),
        ("exit 255", ExitStatus::Code(255)),
        ("kill -TERM $$", ExitStatus::Signal(libc::SIGTERM)),
        ("ulimit -c unlimited; cd /proc; kill -ABRT $$", ExitStatus::Signal(libc::SIGABRT)),
    ] {
        ends(script, expected);
    }
    if !skip::skipped("real_time_signals_are_seen") {
        for signal in [libc::SIGRTMIN(), libc::SIGRTMAX()] {
            ends(&format!("kill -{signal} $$"), ExitStatus::Signal(signal));
        }
    }
    reap(pid).unwrap(); // does nothing to a living one
    signal(pid, Signal::SIGTERM).unwrap();
    assert_eq!(next(), (pid, ExitStatus::Signal(libc::SIGTERM)));
    reap(pid).unwrap();
    assert_eq!(peek(), Ok(None));
}

fn ends(script: &str, expected: ExitStatus) {
    let (_child, pid) = shell(script);
    assert_eq!(next(), (pid, expected), "{script}");
    reap(pid).unwrap();
}

fn a_zombie_keeps_its_pid_and_its_group() {
    let (_child, pid) = shell("exit 7");
    assert_eq!(next(), (pid, ExitStatus::Code(7)));
    assert_eq!(peek(), Ok(Some((pid, ExitStatus::Code(7)))));
    assert_eq!(kill_group(pid, Signal::SIGKILL), Ok(true));
    reap(pid).unwrap();
    assert_eq!(kill_group(pid, Signal::SIGKILL), Ok(false));
    assert_eq!(signal(pid, Signal::SIGTERM).unwrap_err().code, libc::ESRCH);
}

fn what_is_left_of_a_group_is_killed() {
    let (_child, pid) = shell("sleep 1000 &");
    assert_eq!(next(), (pid, ExitStatus::Code(0)));
    reap(pid).unwrap();
    assert_eq!(kill_group(pid, Signal::SIGKILL), Ok(true), "the sleep");
    let start = Instant::now();
    while kill_group(pid, Signal::SIGKILL) != Ok(false) {
        assert!(start.elapsed() < skip::stretched(20), "it does not die");
        sleep(Duration::from_millis(2));
    }
}

fn numbers_that_mean_more_than_one_process_are_refused() {
    for number in [1, 0, -1, -2, i32::MIN] {
        assert_eq!(signal(number, Signal::SIGKILL).unwrap_err().code, libc::EINVAL);
        assert_eq!(kill_group(number, Signal::SIGKILL).unwrap_err().code, libc::EINVAL);
    }
}
