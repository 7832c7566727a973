//! What every job is started with, and what is said of a start that fails: the
//! compatibility list under "Running" and "Logging".

mod common;

use std::process::Command;

use common::process::{self, limits, status};
use common::{eventually, job, needs_root, patiently, skipped, sleepers, World, LONG};

// What every job gets.

#[test]
fn jobs_have_the_descriptors_0_1_and_2_only() {
    // pmtr's own parent left one open.
    let mut world = World::new().wrapped_in(&["/bin/sh", "-c", "exec \"$@\" 7</dev/null", "sh"]);
    world.config(&sleepers("a b c"));
    world.start();
    for name in ["a", "b", "c"] {
        let pid = world.running(name);
        // While it is loaded a program has its libraries open.
        eventually(&format!("0, 1, 2 and no other descriptor of {name}"), || {
            process::descriptors(pid).into_iter().map(|(fd, _)| fd).eq([0, 1, 2])
        });
    }
}

#[test]
fn jobs_block_and_ignore_no_signal() {
    if skipped("jobs_block_and_ignore_no_signal") {
        return;
    }
    let mut world = World::new().wrapped_in(&["nohup"]);
    world.config(&sleepers("a"));
    world.start();
    let pid = world.running("a");
    for mask in ["SigBlk", "SigIgn", "SigCgt"] {
        assert_eq!(status(pid, mask), "0000000000000000", "{mask}");
    }
}

#[test]
fn jobs_have_umask_022() {
    let mut world = World::new().wrapped_in(&["/bin/sh", "-c", "umask 077; exec \"$@\"", "sh"]);
    world.config(&sleepers("a"));
    world.start();
    assert_eq!(status(world.running("a"), "Umask"), "0022");
}

/// The bug: all but the first 256 were left out, PATH and HOME too where they came later.
#[test]
fn jobs_have_all_variables_of_pmtrs_environment_however_many_there_are() {
    let world = (0..2000).fold(World::new(), |world, n| world.variable(&format!("AA{n}"), "x"));
    let mut world = world.variable("ZZ_LAST", "here");
    world.config(&(sleepers("a") + &job("b", "env MORE=1\n  cmd /bin/sleep 1000")));
    world.start();
    for (name, more) in [("a", 0), ("b", 1)] {
        let seen = process::environment(world.running(name));
        for needed in ["PATH=", "ZZ_LAST=here", "AA0=x", "AA1999=x"] {
            assert!(seen.iter().any(|variable| variable.starts_with(needed)), "{name}: {needed}");
        }
        assert_eq!(seen.iter().filter(|variable| *variable == "MORE=1").count(), more);
    }
}

/// A look amid an execve(2) showed no environment: a test of the emulated processors failed so.
#[test]
fn a_look_at_a_process_waits_for_its_program() {
    let mut world = World::new();
    world.script("again", "[ \"$1\" = 0 ] || exec $DIR/again $(($1 - 1))\nexec sleep 1000");
    world.config(&job("a", "cmd $DIR/again 500\n  env LOOK=1"));
    world.start();
    let pid = world.running("a");
    let sleeps = |words: &[String]| words.iter().any(|word| word == "sleep");
    patiently(LONG, "the last of many programs", || {
        let words = process::words(pid);
        assert!(!words.is_empty());
        let found = process::environment(pid);
        assert!(found.contains(&"LOOK=1".to_string()), "{found:?}");
        sleeps(&words).then_some(())
    });
}

#[test]
fn each_job_is_a_session_and_a_process_group() {
    let world = World::with(&sleepers("a b"));
    for name in ["a", "b"] {
        let pid = world.running(name);
        assert_eq!((process::session(pid), process::group(pid)), (pid, pid), "{name}");
    }
}

#[test]
fn the_file_limit_that_pmtr_raises_for_itself_is_put_back_for_jobs() {
    let mut world = World::new().wrapped_in(&["prlimit", "--nofile=64:4096"]);
    world.config(&sleepers("a"));
    world.start();
    let pid = world.running("a");
    assert_eq!(limits(pid, "Max open files"), ("64".into(), "4096".into()));
    let (soft, hard) = limits(world.pid(), "Max open files");
    assert!(soft.parse::<u32>().unwrap() > 64 && hard == "4096", "{soft}, {hard}");
}

// Starts that fail.

/// Starts a job with these lines, and expects a message that names the job,
/// `what` and `reason`.
fn fails(lines: &str, what: &str, reason: &str) {
    let world = World::with(&job("faulty", lines));
    let record = world.log().wait_for("job faulty: ");
    for part in [what, reason] {
        assert!(record.text.contains(part), "{part:?} in {:?}", record.text);
    }
}

#[test]
fn a_missing_program_is_told() {
    fails("cmd /no/such/program", "/no/such/program", "No such file or directory");
}

#[test]
fn a_program_that_cannot_be_executed_is_told() {
    fails("cmd /etc/passwd", "/etc/passwd", "Permission denied");
}

#[test]
fn a_missing_directory_is_told() {
    fails("cmd /bin/true\n  dir /no/such/dir", "/no/such/dir", "No such file or directory");
}

#[test]
fn a_missing_in_file_is_told() {
    fails("cmd /bin/cat\n  in /no/such/file", "/no/such/file", "No such file or directory");
}

#[test]
fn an_out_file_that_cannot_be_opened_is_told() {
    fails("cmd /bin/true\n  out /no/dir/o", "/no/dir/o", "No such file or directory");
}

#[test]
fn an_out_file_that_the_user_may_not_open_is_told() {
    if needs_root("an_out_file_that_the_user_may_not_open_is_told") {
        return;
    }
    fails("cmd /bin/true\n  user nobody\n  out $DIR/o", "/o", "Permission denied");
}

#[test]
fn an_err_file_that_cannot_be_opened_is_told() {
    fails("cmd /bin/true\n  err /etc", "/etc", "Is a directory");
}

#[test]
fn an_unknown_user_is_told() {
    fails("cmd /bin/true\n  user no-such-user", "no-such-user", "user");
}

#[test]
fn a_user_that_may_not_be_assumed_is_told() {
    if needs_root("a_user_that_may_not_be_assumed_is_told") {
        return;
    }
    let mut world = World::new();
    world.config(&job("faulty", "cmd /bin/true\n  user daemon"));
    world.start_as_user(65534);
    let record = world.log().wait_for("job faulty: ");
    assert!(record.text.contains("Operation not permitted"), "{record:?}");
}

#[test]
fn a_start_that_failed_is_tried_again_after_10_s() {
    let mut world = World::new();
    world.config(&(job("late", "cmd $DIR/program") + &sleepers("other")));
    world.start();
    let failure = world.log().wait_for("job late: ");
    world.script("program", "echo up; exec sleep 1000");
    let up = world.log().within(LONG).wait_line("late", "up");
    let delay = up.at - failure.at;
    assert!((9..14).contains(&delay.as_secs()), "after {delay:?}");
    assert_eq!(world.starts("other"), 1);
}

#[test]
fn a_job_that_cannot_start_does_not_hold_others_back() {
    let world = World::with(&(job("faulty", "cmd /no/such/program") + &sleepers("b")));
    world.started("b");
}

#[test]
fn a_job_whose_output_waits_for_a_reader_holds_nobody_back() {
    let mut world = World::new();
    // Opening a FIFO for writing blocks until somebody reads it.
    assert!(Command::new("mkfifo").arg(world.path("fifo")).status().unwrap().success());
    world.config(&(job("a", "cmd /bin/sleep 1000\n  out $DIR/fifo") + &sleepers("b")));
    world.start();
    world.started("b");
    assert_eq!(world.stop(), Some(0));
    assert_eq!(world.processes(), []);
}
