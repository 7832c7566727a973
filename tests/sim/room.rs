//! No free row: the table is full of jobs that are being stopped.

use pmtr::limits::MAX_JOBS;

use crate::expect::{text, with, Scenario};
use crate::world::{secs, BEGIN};

fn names(prefix: &str) -> Vec<String> {
    (0..MAX_JOBS).map(|n| format!("{prefix}{n}")).collect()
}

/// A full table whose jobs are all being stopped since second 5.
fn full() -> Scenario {
    let mut w = with(&[]);
    w.world.reload(&text(&names("old")));
    w.expect_spawns(&names("old"));
    w.at(5);
    w
}

#[test]
fn a_full_table_of_other_jobs_starts_as_the_old_ones_go_in_order() {
    let mut w = full();
    w.world.reload(&text(&names("new")));
    w.skip().at(6).expect_nothing();
    for (old, new) in names("old").iter().rev().zip(names("new")) {
        w.dies(old, 15).expect_spawn(&new);
    }
    w.at(1000).expect_nothing();
    assert_eq!(w.world.processes.len(), MAX_JOBS);
}

#[test]
fn a_job_without_a_row_can_be_taken_out_and_put_in_again() {
    let mut w = full();
    w.world.reload(&text(&names("new")));
    w.skip().at(6).reload(&["one", "two"]);
    w.dies("old7", 15).expect_spawn("one");
    w.reload(&["three", "two"]).expect_term("one");
    w.dies("old8", 15).expect_spawn("three").dies("one", 15).expect_spawn("two");
}

#[test]
fn a_wait_job_without_a_row_holds_later_jobs() {
    let mut w = full();
    let mut jobs: Vec<String> = vec!["setup: wait, once".into()];
    jobs.extend(names("old").iter().skip(1).map(|name| format!("{name}: nice 1")));
    w.world.reload(&text(&jobs));
    w.skip().dies("old1", 15).expect_nothing();
    w.dies("old0", 15).expect_spawn("setup").exits("setup", 0).expect_spawn("old1");
    w.dies("old2", 15).expect_spawn("old2");
}

#[test]
fn a_disabled_wait_job_without_a_row_holds_nobody() {
    let mut w = full();
    let mut jobs: Vec<String> = vec!["setup: wait, once, disable".into()];
    jobs.extend(names("old").iter().skip(1).map(|name| format!("{name}: nice 1")));
    w.world.reload(&text(&jobs));
    w.skip().dies("old1", 15).expect_spawn("old1");
}

#[test]
fn jobs_without_a_row_do_not_hold_a_shutdown_up() {
    let mut w = full();
    w.world.reload(&text(&names("new")));
    w.skip().at(6).shut_down(15).expect_nothing();
    for name in names("old") {
        w.dies(&name, 15);
    }
    w.expect_exit();
    w.at(1000).expect_nothing();
}

#[test]
fn a_full_table_of_jobs_that_ignore_sigterm_is_killed_and_replaced() {
    let mut w = full();
    w.world.reload(&text(&names("new")));
    w.skip().world.pass_until(BEGIN + secs(14));
    w.expect_nothing().world.is_obedient = true;
    w.world.pass_until(BEGIN + secs(15));
    assert_eq!(w.said("sending SIGKILL"), MAX_JOBS);
    assert!(w.world.processes.values().all(|name| name.starts_with("new")));
    assert_eq!(w.world.processes.len(), MAX_JOBS);
    w.skip().at(1000).expect_nothing();
}
