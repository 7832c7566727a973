//! Manual, "wait/once"; compat.md, "Language" (`order`) and "Running".

use pmtr::supervise::Stage;

use crate::expect::{with, with_files};

#[test]
fn jobs_start_in_the_order_of_the_file() {
    let mut w = with(&["c", "a", "b"]);
    w.at(0).expect_spawns(&["c", "a", "b"]);
}

#[test]
fn jobs_start_in_ascending_order_with_ties_in_file_order() {
    let mut w = with(&["e: order 2", "c", "f: order 2", "a: order -5", "d", "b: order -5"]);
    w.at(0).expect_spawns(&["a", "b", "c", "d", "e", "f"]);
}

#[test]
fn new_jobs_of_a_reload_start_in_order() {
    let mut w = with(&["d: order 4"]);
    w.at(0).expect_spawn("d");
    w.at(5).reload(&["e: order 5", "d: order 4", "a: order 1", "c: order 3"]);
    w.expect_spawns(&["a", "c", "e"]);
}

#[test]
fn wait_pauses_the_start_of_later_jobs() {
    let mut w = with(&["first", "setup: wait, once", "second", "third"]);
    w.at(0).expect_spawns(&["first", "setup"]).says("pausing for job setup to finish");
    w.at(3600).expect_nothing().exits("setup", 0).says("job setup finished");
    w.expect_spawns(&["second", "third"]);
    w.at(10_000).expect_nothing();
}

#[test]
fn wait_jobs_run_one_after_the_other() {
    let mut w = with(&["one: wait, once", "two: wait, once", "three: wait, once", "job"]);
    w.at(0).expect_spawn("one");
    w.at(5).exits("one", 0).expect_spawn("two");
    w.at(30).exits("two", 1).expect_spawn("three");
    w.at(31).dies("three", 9).expect_spawn("job");
}

#[test]
fn while_a_wait_job_runs_earlier_jobs_are_restarted() {
    let mut w = with(&["early", "setup: wait, once", "late"]);
    w.at(0).expect_spawns(&["early", "setup"]);
    w.at(3).exits("early", 1);
    w.at(13).expect_spawn("early");
    w.at(60).exits("early", 1).expect_spawn("early");
    w.at(61).exits("setup", 0).expect_spawn("late");
}

#[test]
fn while_a_wait_job_runs_signals_and_edits_are_heard() {
    let mut w = with(&["early", "setup: wait, once", "late"]);
    w.at(0).expect_spawns(&["early", "setup"]);
    w.at(5).reload(&["early: nice 1", "setup: wait, once", "late", "later"]).expect_term("early");
    w.at(6).dies("early", 15).expect_spawn("early");
    w.at(7).shut_down(15).expect_term("early").expect_term("setup");
    w.at(8).dies("early", 15).dies("setup", 15).expect_exit();
}

#[test]
fn a_wait_job_without_once_holds_later_jobs_for_its_first_run_only() {
    let mut w = with(&["setup: wait", "late"]);
    w.at(0).expect_spawn("setup");
    w.at(60).exits("setup", 0).expect_spawn("setup").expect_spawn("late");
    assert_eq!(w.said("pausing for job setup to finish"), 1);
}

#[test]
fn a_wait_job_without_once_obeys_the_ten_second_rule() {
    let mut w = with(&["setup: wait", "late"]);
    w.at(0).expect_spawn("setup");
    w.at(1).exits("setup", 0).expect_spawn("late");
    w.at_ms(10_999).expect_nothing();
    w.at(11).expect_spawn("setup");
}

#[test]
fn a_disabled_wait_job_holds_nobody() {
    let mut w = with(&["setup: wait, once, disable", "late"]);
    w.at(0).expect_spawn("late");
}

#[test]
fn a_wait_job_that_cannot_become_its_program_lets_later_jobs_start() {
    let mut w = with(&["setup: wait, once", "late"]);
    w.at(0).expect_spawn("setup").fails("setup", Stage::Exec).expect_nothing();
    w.exits("setup", 127).says("job setup finished").expect_spawn("late");
    w.at(10).expect_spawn("setup").exits("setup", 0);
    w.at(1000).expect_nothing();
}

#[test]
fn a_job_that_is_added_behind_a_running_wait_job_waits() {
    let mut w = with(&["setup: wait, once", "late"]);
    w.at(0).expect_spawn("setup");
    w.at(5).reload(&["before", "setup: wait, once", "late", "later"]).expect_spawn("before");
    w.at(60).exits("setup", 0).expect_spawns(&["late", "later"]);
}

#[test]
fn a_wait_job_that_is_moved_behind_a_job_does_not_hold_it_any_more() {
    let mut w = with(&["setup: wait, once", "late"]);
    w.at(0).expect_spawn("setup");
    w.at(5).reload(&["late", "setup: wait, once"]).expect_spawn("late");
}

#[test]
fn a_wait_job_that_is_taken_out_while_it_runs_holds_nobody_any_more() {
    let mut w = with(&["setup: wait, once", "late"]);
    w.at(0).expect_spawn("setup");
    w.at(5).reload(&["late"]).expect_term("setup").expect_spawn("late");
    w.at(6).dies("setup", 15);
}

#[test]
fn a_wait_job_that_changes_while_it_runs_holds_later_jobs_until_it_has_run_anew() {
    let mut w = with(&["setup: wait, once", "late"]);
    w.at(0).expect_spawn("setup");
    w.at(5).reload(&["setup: wait, once, nice 1", "late"]).expect_term("setup");
    w.at(6).dies("setup", 15).expect_spawn("setup");
    assert_eq!(w.said("job setup finished"), 0, "it has not");
    w.at(60).exits("setup", 0).says("job setup finished").expect_spawn("late");
}

#[test]
fn a_wait_job_with_a_lingering_session_holds_later_jobs_until_it_has_run_anew() {
    let mut w = with(&["setup: wait, once", "late"]);
    w.at(0).expect_spawn("setup");
    w.at(5).reload(&["setup: wait, once, nice 1", "late"]).expect_term("setup");
    w.leaves_children("setup").expect_session_term("setup").session_goes(101);
    w.at_ms(5_002).expect_spawn("setup");
    w.at(60).exits("setup", 0).expect_spawn("late");
}

#[test]
fn a_job_that_stops_to_be_a_wait_job_lets_later_jobs_start_once_it_is_restarted() {
    let mut w = with(&["setup: wait", "late"]);
    w.at(0).expect_spawn("setup");
    w.at(5).reload(&["setup", "late"]).expect_term("setup").expect_spawn("late");
    w.at(6).dies("setup", 15).expect_spawn("setup");
}

#[test]
fn a_job_that_becomes_a_wait_job_holds_only_jobs_that_have_not_started() {
    let mut w = with(&["setup", "late"]);
    w.at(0).expect_spawns(&["setup", "late"]);
    w.at(60).reload(&["setup: wait", "late", "new"]).expect_term("setup");
    w.at(61).dies("setup", 15).expect_spawn("setup");
    w.at(62).exits("late", 0).expect_spawn("late");
    w.at(80).exits("setup", 0).expect_spawn("setup").expect_spawn("new");
}

#[test]
fn a_wait_job_that_is_done_holds_nobody_at_a_reload() {
    let mut w = with(&["setup: wait, once", "late"]);
    w.at(0).expect_spawn("setup").exits("setup", 0).expect_spawn("late");
    w.at(60).reload(&["setup: wait, once", "late", "new"]).expect_spawn("new");
}

#[test]
fn a_wait_job_that_was_restarted_holds_nobody_at_a_reload() {
    let mut w = with(&["setup: wait", "late"]);
    w.at(0).expect_spawn("setup");
    w.at(20).exits("setup", 0).expect_spawns(&["setup", "late"]);
    w.at(60).reload(&["setup: wait", "late", "new"]).expect_spawn("new");
}

#[test]
fn a_wait_job_that_is_disabled_by_control_holds_later_jobs_until_it_is_gone() {
    let mut w = with(&["setup: wait, once", "late"]);
    w.at(0).expect_spawn("setup");
    w.at(5).disable("setup").expect_term("setup");
    w.at(8).expect_nothing().dies("setup", 15).expect_spawn("late");
}

#[test]
fn a_wait_job_whose_files_change_while_it_runs_is_not_finished() {
    let mut w = with_files(&["setup: wait, once, depends /f", "late"], &["/f"]);
    w.at(0).expect_spawn("setup");
    w.at(5).write("/f", 2).expect_term("setup");
    w.at(6).dies("setup", 15).expect_spawn("setup");
    assert_eq!(w.said("job setup finished"), 0, "it has not");
    w.at(60).exits("setup", 0).says("job setup finished").expect_spawn("late");
}

#[test]
fn a_wait_job_that_is_bounced_is_finished() {
    let mut w = with(&["setup: wait, bounce every 1m", "late"]);
    w.at(0).expect_spawn("setup");
    w.at(60).expect_term("setup");
    w.at(62).dies("setup", 15).says("job setup finished").expect_spawns(&["setup", "late"]);
}

#[test]
fn a_wait_job_that_ignores_sigterm_is_killed_and_then_later_jobs_start() {
    let mut w = with(&["setup: wait, once", "late"]);
    w.at(0).expect_spawn("setup");
    w.at(5).reload(&["setup: wait, once, disable", "late"]).expect_term("setup");
    w.at(15).expect_kill("setup").dies("setup", 9).expect_spawn("late");
}
