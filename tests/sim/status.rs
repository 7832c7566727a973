//! What a report says of the jobs: compat.md, "UDP".

use pmtr::supervise::Stage;

use crate::expect::{with, with_files, Scenario};

/// `NAME e|d SECONDS runs|-` of each job that is reported.
fn statuses(w: &Scenario) -> Vec<String> {
    let line = |status: pmtr::supervise::Status<'_>| {
        let name = String::from_utf8_lossy(status.spec.name()).into_owned();
        let state = if status.is_enabled { "e" } else { "d" };
        match status.run {
            Some(run) => {
                assert_eq!(run.pid, w.pid(&name));
                let seconds = w.world.now().since(run.since).as_secs();
                format!("{name} {state} {seconds} runs")
            }
            None => format!("{name} {state} 0 -"),
        }
    };
    w.world.machine().statuses().map(line).collect()
}

#[track_caller]
fn assert_reports(w: &Scenario, expected: &[&str]) {
    assert_eq!(statuses(w), expected);
}

#[test]
fn jobs_are_in_the_order_of_starting_with_the_time_since_their_start() {
    let mut w = with(&["b", "c: order 1", "a", "first: order -1"]);
    w.at(0).expect_spawns(&["first", "b", "a", "c"]).at(7).expect_nothing();
    assert_reports(&w, &["first e 7 runs", "b e 7 runs", "a e 7 runs", "c e 7 runs"]);
}

#[test]
fn a_job_that_does_not_run_has_no_seconds_and_no_process() {
    let mut w = with_files(&["off: disable", "a", "needs: depends /f"], &[]);
    w.at(0).expect_spawn("a").at(5).exits("a", 1).at(9);
    assert_reports(&w, &["off d 0 -", "a e 0 -", "needs e 0 -"]);
    w.at(15).expect_spawn("a").at(17);
    assert_reports(&w, &["off d 0 -", "a e 2 runs", "needs e 0 -"]);
}

#[test]
fn a_job_that_waits_for_its_turn_is_reported() {
    let mut w = with(&["setup: wait", "a"]);
    w.at(0).expect_spawn("setup").at(60);
    assert_reports(&w, &["setup e 60 runs", "a e 0 -"]);
    w.exits("setup", 0).expect_spawns(&["setup", "a"]);
}

#[test]
fn jobs_that_will_not_be_restarted_are_left_out() {
    let mut w = with(&["setup: once", "never: once, disable", "a", "b"]);
    w.at(0).expect_spawns(&["setup", "a", "b"]);
    // Until they have ended they are there, as in the original.
    assert_reports(&w, &["setup e 0 runs", "never d 0 -", "a e 0 runs", "b e 0 runs"]);
    w.at(5).exits("a", 33).exits("setup", 1);
    assert_reports(&w, &["never d 0 -", "b e 5 runs"]);
}

#[test]
fn one_that_exits_with_status_33_while_it_is_bounced_is_left_out() {
    let mut w = with(&["a: bounce every 5s", "b"]);
    w.at(0).expect_spawns(&["a", "b"]).at(5).expect_term("a");
    w.at(6);
    assert_reports(&w, &["a e 6 runs", "b e 6 runs"]);
    w.at_once(|w| _ = w.exits("a", 33));
    assert_reports(&w, &["b e 6 runs"]);
}

#[test]
fn a_disabled_job_is_reported_as_such_at_once_and_runs_until_it_is_gone() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a").at(5).disable("a").expect_term("a").at(6);
    assert_reports(&w, &["a d 6 runs"]);
    w.dies("a", 15);
    assert_reports(&w, &["a d 0 -"]);
    w.enable("a").expect_spawn("a").at(8);
    assert_reports(&w, &["a e 2 runs"]);
}

#[test]
fn one_that_is_enabled_while_it_goes_is_enabled() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a").disable("a").expect_term("a").enable("a");
    assert_reports(&w, &["a e 0 runs"]);
    w.dies("a", 15).expect_spawn("a");
}

#[test]
fn a_job_that_was_taken_out_is_not_reported() {
    let mut w = with(&["a", "b"]);
    w.at(0).expect_spawns(&["a", "b"]).at(5).reload(&["b"]).expect_term("a");
    assert_reports(&w, &["b e 5 runs"]);
    w.dies("a", 15);
}

#[test]
fn a_process_that_could_not_become_its_program_is_reported_no_more() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a").at(1);
    assert_reports(&w, &["a e 1 runs"]);
    w.fails("a", Stage::Exec);
    assert_reports(&w, &["a e 1 runs"]);
    w.exits("a", 127);
    assert_reports(&w, &["a e 0 -"]);
}

#[test]
fn at_a_shutdown_all_are_still_reported() {
    let mut w = with(&["a", "b: disable"]);
    w.at(0).expect_spawn("a").at(5).shut_down(15).expect_term("a");
    assert_reports(&w, &["a e 5 runs", "b d 0 -"]);
    w.dies("a", 15).expect_exit();
    assert_reports(&w, &["a e 0 -", "b d 0 -"]);
}
