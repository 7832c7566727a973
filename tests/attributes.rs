//! What a process has from whoever started it, and keeps when it becomes another program (execve(2)):
//! pmtr runs whatever it is, and jobs get what docs/attributes.md says.

mod common;

use std::io;
use std::path::PathBuf;

use common::close_range::{refuse_close_range, MOST_DESCRIPTORS};
use common::process::descriptors;
use common::udp::Collector;
use common::{needs_root, skipped, sleepers, World};
use nix::sys::resource::{getrlimit, setrlimit, Resource};

// Descriptors.

/// As many descriptors as may be, and no close_range(2).
fn many_without_close_range() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    refuse_close_range()
}

/// Whether the limit is high enough for the test to mean something.
fn may_have_many(test: &str) -> bool {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    let may = hard > 2 * u64::from(MOST_DESCRIPTORS);
    if !may {
        eprintln!("skipped: {test}: needs a higher limit on open files");
    }
    may
}

/// A world whose pmtr has descriptor 7 of its caller, but no close_range(2).
fn without_close_range(before: &str) -> World {
    let script = format!("{before} exec \"$@\" 7</dev/null");
    let words = ["unshare", "-m", "/bin/sh", "-c", &script, "sh"];
    let words = if before.is_empty() { &words[2..] } else { &words[..] };
    World::new().wrapped_in(words).prepared_by(many_without_close_range)
}

fn numbers(pid: i32) -> Vec<i32> {
    descriptors(pid).into_iter().map(|(number, _)| number).collect()
}

/// The bug: a call for each number below the limit, at every start and every look-up of a name.
#[test]
fn where_close_range_is_refused_only_what_is_open_is_looked_at() {
    let test = "where_close_range_is_refused_only_what_is_open_is_looked_at";
    if skipped(test) || !may_have_many(test) {
        return;
    }
    let reports = Collector::at([127, 0, 0, 1]);
    let report = reports.url().replace("127.0.0.1", "localhost");
    let mut world = without_close_range("");
    world.config(&format!("report to {report}\n{}", sleepers("a b")));
    world.start();
    for name in ["a", "b"] {
        let pid = world.running(name);
        common::eventually("its descriptors", || numbers(pid) == [0, 1, 2]);
    }
    assert!(numbers(world.pid()).contains(&7), "pmtr keeps what its caller may wait for");
    assert!(reports.next().contains("b e "));
    assert_eq!(world.stop(), Some(0));
}

#[test]
fn where_close_range_and_proc_are_missing_few_numbers_are_looked_at() {
    let test = "where_close_range_and_proc_are_missing_few_numbers_are_looked_at";
    if needs_root(test) || !may_have_many(test) {
        return;
    }
    let mut world = without_close_range("mount -t tmpfs none /proc &&");
    world.config(&sleepers("a"));
    world.start();
    let pid = world.running("a");
    common::eventually("its descriptors", || numbers(pid) == [0, 1, 2]);
    assert_eq!(world.stop(), Some(0));
}

#[test]
fn a_daemon_without_close_range_keeps_nothing_open_of_its_caller() {
    let test = "a_daemon_without_close_range_keeps_nothing_open_of_its_caller";
    if skipped(test) || !may_have_many(test) {
        return;
    }
    let mut world = without_close_range("");
    world.config(&sleepers("a"));
    world.start_daemon();
    let pid = world.running("a");
    assert_eq!(numbers(pid), [0, 1, 2]);
    let file = PathBuf::from("/dev/null");
    let kept = descriptors(world.pid()).into_iter().filter(|(n, path)| *n > 2 && *path == file);
    assert_eq!(kept.count(), 0);
}
