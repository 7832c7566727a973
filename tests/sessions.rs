//! What belongs to a job is its session, with all process groups: it goes with the job, gets its
//! time to go, and is gone before the job starts again.

mod common;

use std::path::Path;

use common::process::{self, gone};
use common::{alive, eventually, job, patiently, skipped, sleepers, World, LONG, SHORT};
use nix::sys::signal::Signal;

/// The process that a job has named in one of its lines.
fn named(world: &World, job: &str, what: &str) -> i32 {
    patiently(SHORT, &format!("{what} of {job}"), || {
        let lines = world.log().lines(job);
        lines.iter().find_map(|line| line.strip_prefix(what)?.trim().parse().ok())
    })
}

fn shell(script: &str) -> String {
    format!("cmd /bin/sh -c \"{script}\"")
}

/// Skips a test where orphans are not adopted (an emulator), or without a program.
fn needs(test: &str, program: &str) -> bool {
    let is_missing = !Path::new(program).exists();
    if is_missing {
        eprintln!("skipped: {test}: needs {program}");
    }
    is_missing || skipped(test)
}

const BASH: &str = "/bin/bash";
const PYTHON: &str = "/usr/bin/python3";

/// A program that takes SIGTERM, needs half a second to save its data, and says so.
const SAVES: &str = "import signal, sys, time\n\
    def save(*_):\n    time.sleep(0.5)\n    print('saved', flush=True)\n    sys.exit()\n\
    signal.signal(signal.SIGTERM, save)\n\
    print('ready', flush=True)\n\
    while True:\n    time.sleep(1000)\n";

#[test]
fn process_groups_of_their_own_go_with_the_job() {
    let test = "process_groups_of_their_own_go_with_the_job";
    if needs(test, BASH) {
        return;
    }
    let script = "set -m; sleep 1000 & echo child $!; exec sleep 1000";
    let mut world = World::with(&job("a", &format!("cmd /bin/bash -c \"{script}\"")));
    let (a, child) = (world.pid_of("a"), named(&world, "a", "child "));
    assert_ne!(process::group(child), a);
    world.config(&job("a", "cmd /bin/sleep 1001"));
    gone(child);
    world.log().wait_for(&format!("sending SIGTERM to what is left of job a [{a}]"));
    world.restarted("a", a);
    assert_eq!(world.stop(), Some(0));
    assert_eq!(world.processes(), []);
}

#[test]
fn a_time_limit_in_a_script_goes_with_the_job() {
    let test = "a_time_limit_in_a_script_goes_with_the_job";
    if needs(test, "/usr/bin/timeout") {
        return;
    }
    let mut world = World::with(&job("a", &shell("timeout 1000 sleep 777; echo done")));
    eventually("the sleep", || world.processes_with("777").len() >= 2);
    assert_eq!(world.stop(), Some(0));
    assert_eq!(world.processes(), []);
}

#[test]
fn a_program_behind_a_shell_gets_sigterm_and_its_time() {
    let test = "a_program_behind_a_shell_gets_sigterm_and_its_time";
    if needs(test, PYTHON) {
        return;
    }
    for script in ["python3 $DIR/saves; true", "cat /dev/zero | python3 $DIR/saves; true"] {
        let mut world = World::new();
        world.file("saves", SAVES);
        world.config(&job("a", &shell(script)));
        world.start();
        world.log().wait_line("a", "ready");
        assert_eq!(world.stop(), Some(0), "{script}");
        assert_eq!(world.log().lines("a"), ["ready", "saved"], "{script}");
        assert_eq!(world.processes(), []);
    }
}

#[test]
fn what_does_not_go_is_killed_ten_seconds_after_the_first_sigterm() {
    let test = "what_does_not_go_is_killed_ten_seconds_after_the_first_sigterm";
    if needs(test, BASH) {
        return;
    }
    let script = "(trap '' TERM; sleep 1000) & echo child $!; exec sleep 1000";
    let world = World::with(&job("a", &shell(script)));
    let (a, child) = (world.running("a"), named(&world, "a", "child "));
    world.config(&job("a", "cmd /bin/sleep 1001"));
    let log = world.log().within(LONG);
    let term = log.wait_for(&format!("sending SIGTERM to job a [{a}]"));
    let kill = log.wait_for(&format!("sending SIGKILL to what is left of job a [{a}]"));
    let waited = kill.at - term.at;
    assert!((9.9..15.0).contains(&waited.as_secs_f64()), "{waited:?}");
    gone(child);
    world.restarted("a", a);
}

#[test]
fn the_workers_of_a_killed_master_go_before_it_starts_again() {
    let test = "the_workers_of_a_killed_master_go_before_it_starts_again";
    if needs(test, PYTHON) {
        return;
    }
    let master = "import os, socket, time\n\
        s = socket.socket()\n\
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n\
        s.bind(('127.0.0.1', int(open('port').read() or 0) if os.path.exists('port') else 0))\n\
        open('port', 'w').write(str(s.getsockname()[1]))\n\
        s.listen()\n\
        if os.fork() == 0:\n    os.setpgid(0, 0)\n\
        os.write(1, b'serving\\n')\n\
        while True:\n    time.sleep(1000)\n";
    let mut world = World::new();
    world.file("master", master);
    world.config(&job("web", "cmd /usr/bin/python3 $DIR/master\n  dir $DIR"));
    world.start();
    let old = world.running("web");
    eventually("both", || world.log().lines("web").len() == 2);
    process::send(old, Signal::SIGKILL);
    let new = world.log().within(LONG).wait_nth("started job web [", 2).job_pid();
    eventually("both again", || world.log().lines("web").len() == 4);
    assert!(alive(new));
    let lines = world.log().lines("web");
    assert!(lines.iter().all(|line| line == "serving"), "{lines:?}");
    assert_eq!(world.stop(), Some(0));
    assert_eq!(world.processes(), []);
}

#[test]
fn the_leader_is_reaped_last() {
    let test = "the_leader_is_reaped_last";
    if needs(test, BASH) {
        return;
    }
    let script = "(trap '' TERM; sleep 1000) & echo child $!; exec sleep 1000";
    let world = World::with(&(job("a", &shell(script)) + &sleepers("b")));
    let (a, b) = (world.running("a"), world.running("b"));
    let child = named(&world, "a", "child ");
    process::send(a, Signal::SIGTERM);
    world.log().wait_for(&format!("sending SIGTERM to what is left of job a [{a}]"));
    assert!(process::is_zombie(a), "its number is taken as long as anything is left");
    // Others that end meanwhile are reaped all the same.
    process::send(b, Signal::SIGKILL);
    world.log().wait_for(&format!("job b [{b}] exited after"));
    eventually("its reaping", || process::state(b).is_none());
    assert!(process::is_zombie(a));
    process::send(child, Signal::SIGKILL);
    for sleep in process::children_of(child) {
        process::send(sleep, Signal::SIGKILL);
    }
    patiently(LONG, "the reaping of the leader", || process::state(a).is_none().then_some(()));
}

#[test]
fn a_zombie_of_a_living_parent_holds_up_nothing() {
    let test = "a_zombie_of_a_living_parent_holds_up_nothing";
    if needs(test, PYTHON) {
        return;
    }
    // The parent of the zombie has left the session, on purpose.
    let program = "import os, time\n\
        if os.fork() == 0:\n    \
            child = os.fork()\n    \
            if child == 0: os._exit(0)\n    \
            os.setsid()\n    \
            print('left', os.getpid(), flush=True)\n    \
            print('zombie', child, flush=True)\n\
        while True:\n    time.sleep(1000)\n";
    let mut world = World::new();
    world.file("program", program);
    world.config(&job("a", "cmd /usr/bin/python3 $DIR/program"));
    world.start();
    let a = world.running("a");
    let (left, zombie) = (named(&world, "a", "left "), named(&world, "a", "zombie "));
    eventually("a zombie", || process::is_zombie(zombie));
    assert_eq!(process::session(zombie), a);
    let before = std::time::Instant::now();
    world.config(&job("a", "cmd /bin/sleep 1001"));
    world.restarted("a", a);
    assert!(before.elapsed().as_secs() < 10, "{:?}", before.elapsed());
    assert!(alive(left) && process::is_zombie(zombie));
    process::send(left, Signal::SIGKILL);
}

#[test]
fn a_renamed_job_starts_when_the_old_one_is_gone() {
    let test = "a_renamed_job_starts_when_the_old_one_is_gone";
    if needs(test, PYTHON) {
        return;
    }
    let mut world = World::new();
    world.file("saves", SAVES);
    world.config(&job("old", "cmd /usr/bin/python3 $DIR/saves"));
    world.start();
    world.log().wait_line("old", "ready");
    let old = world.pid_of("old");
    world.config(&job("new", "cmd /usr/bin/python3 $DIR/saves"));
    let exited = world.log().wait_for(&format!("job old [{old}] exited after"));
    let started = world.log().wait_for("started job new");
    assert!(started.at >= exited.at);
    world.log().wait_for("job new waits for the end of job old, which runs the same program");
    assert_eq!(world.stop(), Some(0));
}
