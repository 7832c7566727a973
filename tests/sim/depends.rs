//! Manual, "depends"; compat.md, "Running".

use crate::expect::{with, with_files};

#[test]
fn a_change_of_a_dependency_restarts_the_job() {
    let mut w = with_files(&["web: depends /f", "other"], &["/f"]);
    w.at(0).expect_spawns(&["web", "other"]);
    w.at(5).write("/f", 2).expect_term("web");
    w.says("job web: a file that it depends on has changed");
    w.at(6).dies("web", 15).expect_spawn("web");
}

#[test]
fn the_same_content_is_no_change() {
    let mut w = with_files(&["web: depends /f"], &["/f"]);
    w.at(0).expect_spawn("web");
    w.at(5).write("/f", 1).expect_nothing();
    w.at(60).exits("web", 0).expect_spawn("web").write("/f", 1).expect_nothing();
}

#[test]
fn each_of_several_files_counts() {
    let mut w = with_files(&["web: depends /f /g /h"], &["/f", "/g", "/h"]);
    w.at(0).expect_spawn("web");
    w.at(5).write("/h", 2).expect_term("web").dies("web", 15).expect_spawn("web");
    w.at(15).write("/f", 2).expect_term("web").dies("web", 15).expect_spawn("web");
}

#[test]
fn all_jobs_that_depend_on_a_file_are_restarted() {
    let mut w = with_files(&["a: depends /f", "b: depends /f", "c: depends /g"], &["/f", "/g"]);
    w.at(0).expect_spawns(&["a", "b", "c"]);
    w.at(5).write("/f", 2).expect_term("a").expect_term("b");
}

#[test]
fn a_once_job_that_is_done_runs_again_when_a_dependency_changes() {
    let mut w = with_files(&["setup: once, depends /f"], &["/f"]);
    w.at(0).expect_spawn("setup").exits("setup", 0);
    w.at(60).write("/f", 2).expect_spawn("setup").exits("setup", 0);
    w.at(1000).expect_nothing();
}

#[test]
fn a_once_job_that_runs_is_restarted_when_a_dependency_changes() {
    let mut w = with_files(&["setup: once, depends /f"], &["/f"]);
    w.at(0).expect_spawn("setup");
    w.at(60).write("/f", 2).expect_term("setup").exits("setup", 33).expect_spawn("setup");
    w.at(61).exits("setup", 0);
    w.at(1000).expect_nothing();
}

#[test]
fn a_job_that_waits_for_its_restart_starts_when_a_dependency_changes() {
    let mut w = with_files(&["web: depends /f"], &["/f"]);
    w.at(0).expect_spawn("web").exits("web", 1);
    w.at(5).write("/f", 2).expect_spawn("web");
    w.at(1000).expect_nothing();
}

#[test]
fn a_change_while_a_job_is_being_stopped_restarts_it_no_second_time() {
    let mut w = with_files(&["web: depends /f"], &["/f"]);
    w.at(0).expect_spawn("web");
    w.at(5).write("/f", 2).expect_term("web");
    w.at(6).write("/f", 3).expect_nothing();
    w.at(7).reload(&["web: depends /f, nice 1"]).write("/f", 4).expect_nothing();
    w.at(8).dies("web", 15).expect_spawn("web");
    w.at(1000).expect_nothing();
}

#[test]
fn a_change_while_a_job_is_being_bounced_makes_it_run_again_whatever_its_status() {
    let mut w = with_files(&["web: once, bounce every 1m, depends /f"], &["/f"]);
    w.at(0).expect_spawn("web");
    w.at(60).expect_term("web").write("/f", 2);
    w.at(61).exits("web", 33).expect_spawn("web");
}

#[test]
fn a_change_while_the_session_of_a_finished_job_is_ended_makes_it_run_again() {
    let mut w = with_files(&["web: once, bounce every 1m, depends /f"], &["/f"]);
    w.at(0).expect_spawn("web");
    w.at(60).expect_term("web").leaves_children("web").expect_session_term("web");
    w.write("/f", 2).session_goes(101);
    w.at_ms(60_002).expect_spawn("web");
}

#[test]
fn a_change_while_a_job_is_being_removed_or_disabled_starts_nothing() {
    let mut w = with_files(&["a: depends /f", "b: depends /f"], &["/f"]);
    w.at(0).expect_spawns(&["a", "b"]);
    w.at(5).reload(&["b: depends /f"]).expect_term("a");
    w.disable("b").expect_term("b").write("/f", 2);
    w.at(6).dies("a", 15).dies("b", 15).write("/f", 3);
    w.at(1000).expect_nothing();
}

#[test]
fn a_change_while_a_job_waits_for_its_turn_starts_it_no_sooner() {
    let mut w = with_files(&["setup: wait, once", "web: depends /f"], &["/f"]);
    w.at(0).expect_spawn("setup");
    w.at(5).write("/f", 2).write("/f", 3).expect_nothing();
    w.at(6).exits("setup", 0).expect_spawn("web");
    w.at(1000).expect_nothing();
}

#[test]
fn a_change_while_the_start_fails_before_the_program_restarts_the_job() {
    let mut w = with_files(&["web: depends /f"], &["/f"]);
    w.at(0).expect_spawn("web").fails("web", pmtr::supervise::Stage::Exec);
    w.write("/f", 2).expect_term("web").exits("web", 127).expect_spawn("web");
}

#[test]
fn a_job_whose_dependency_is_missing_starts_when_it_appears() {
    let mut w = with(&["web: depends /etc/web.conf", "other"]);
    w.at(0).expect_spawn("other");
    w.says("job web: depends on /etc/web.conf: No such file or directory");
    w.at(1000).expect_nothing().expect_no_deadline();
    w.write("/etc/web.conf", 1).expect_spawn("web");
}

#[test]
fn a_missing_dependency_is_told_once() {
    let mut w = with(&["web: depends /f /g", "other"]);
    w.at(0).expect_spawn("other").says("job web: depends on /f: No such file or directory");
    w.at(5).write("/f", 1).write("/f", 2).expect_nothing();
    w.at(6).reload(&["web: depends /f /g", "other"]).write("/f", 3).expect_nothing();
    assert_eq!(w.said("depends on"), 1);
    w.write("/g", 1).expect_spawn("web");
}

#[test]
fn a_wait_job_whose_dependency_is_missing_holds_nobody_until_it_runs() {
    let mut w = with(&["setup: wait, once, depends /f", "late", "blocked: depends /g"]);
    w.at(0).expect_spawn("late");
    w.at(5).write("/f", 1).expect_spawn("setup").says("pausing for job setup to finish");
    w.at(6).write("/g", 1).expect_nothing();
    w.at(7).exits("setup", 0).expect_spawn("blocked");
}

#[test]
fn a_job_runs_on_when_a_dependency_goes_and_is_told() {
    let mut w = with_files(&["web: depends /f"], &["/f"]);
    w.at(0).expect_spawn("web");
    w.at(5).remove("/f").says("job web: depends on /f: No such file or directory");
    w.at(6).remove("/f").expect_nothing();
    assert_eq!(w.said("depends on"), 1);
    w.at(7).write("/f", 1).expect_nothing();
    w.at(8).remove("/f").expect_nothing();
    w.at(9).write("/f", 2).expect_term("web").dies("web", 15).expect_spawn("web");
}

#[test]
fn a_job_that_exits_while_a_dependency_is_gone_starts_when_it_is_back() {
    for content in [1, 2] {
        let mut w = with_files(&["web: depends /f"], &["/f"]);
        w.at(0).expect_spawn("web");
        w.at(5).remove("/f");
        w.at(60).exits("web", 0);
        w.at(1000).expect_nothing().expect_no_deadline();
        w.write("/f", content).expect_spawn("web");
    }
}

#[test]
fn a_restart_that_a_missing_file_put_off_is_not_held_by_a_wait_job() {
    let mut w = with_files(&["web: depends /f"], &["/f"]);
    w.at(0).expect_spawn("web");
    w.at(5).remove("/f");
    w.at(60).exits("web", 0).reload(&["setup: wait, once", "web: depends /f"]);
    w.expect_spawn("setup");
    w.at(61).write("/f", 1).expect_spawn("web");
}

#[test]
fn a_job_waits_its_ten_seconds_even_if_a_dependency_goes_and_comes_back_between() {
    let mut w = with_files(&["web: depends /f"], &["/f"]);
    w.at(0).expect_spawn("web");
    w.at(1).exits("web", 1).remove("/f");
    w.at(5).write("/f", 1).expect_nothing();
    w.at(11).expect_spawn("web");
}

#[test]
fn a_new_definition_looks_at_its_own_files() {
    let mut w = with_files(&["web: depends /f"], &["/f"]);
    w.at(0).expect_spawn("web");
    w.at(5).reload(&["web: depends /g"]).expect_term("web").dies("web", 15);
    w.says("job web: depends on /g: No such file or directory").expect_nothing();
    w.at(6).remove("/f").write("/f", 2).expect_nothing();
    w.at(7).reload(&["web"]).expect_spawn("web");
}

#[test]
fn a_job_that_is_blocked_can_be_disabled_changed_and_removed() {
    let mut w = with(&["a: depends /f", "b: depends /f", "c: depends /f", "d: depends /f"]);
    w.at(5).reload(&["a: depends /f, disable", "b", "d: depends /f"]).expect_spawn("b");
    w.at(6).disable("d").write("/f", 1).expect_nothing();
    w.at(7).enable("d").expect_spawn("d");
    w.at(1000).expect_nothing();
}

#[test]
fn files_that_change_while_a_job_is_disabled_start_nothing_and_count_later() {
    let mut w = with_files(&["web: depends /f"], &["/f"]);
    w.at(0).expect_spawn("web");
    w.at(5).disable("web").expect_term("web").dies("web", 15);
    w.at(6).write("/f", 2).expect_nothing();
    w.at(7).enable("web").expect_spawn("web");
    w.at(8).write("/f", 2).expect_nothing();
    w.at(9).write("/f", 3).expect_term("web");
}

#[test]
fn a_job_that_is_enabled_while_its_file_is_missing_says_why_it_does_not_start() {
    let mut w = with_files(&["web: depends /f"], &["/f"]);
    w.at(0).expect_spawn("web");
    w.at(5).disable("web").expect_term("web").dies("web", 15).remove("/f");
    w.at(60).enable("web").says("job web: depends on /f: No such file or directory");
    w.at(61).write("/f", 1).expect_spawn("web");
}

#[test]
fn a_disabled_job_says_nothing_of_its_files() {
    let mut w = with(&["web: disable, depends /f"]);
    w.at(5).write("/f", 1).remove("/f").write("/f", 2);
    assert_eq!(w.said("job web"), 0);
}

/// A job that writes what it depends on (this made 432 starts in ten seconds).
#[test]
fn a_job_that_writes_its_own_dependency_is_restarted_once_in_ten_seconds() {
    let mut w = with_files(&["web: depends /f"], &["/f"]);
    w.at(0).expect_spawn("web");
    w.at(5).write("/f", 2).expect_term("web").dies("web", 15).expect_spawn("web");
    for content in 3..50 {
        w.write("/f", content).expect_nothing();
    }
    w.at(14).write("/f", 50).expect_nothing();
    w.at(15).expect_term("web").dies("web", 15).expect_spawn("web").write("/f", 51);
    w.at(25).expect_term("web").dies("web", 15).expect_spawn("web");
    w.at(1000).expect_nothing().expect_no_deadline();
}

#[test]
fn a_dependency_that_is_as_it_was_at_the_end_of_the_ten_seconds_restarts_nothing() {
    let mut w = with_files(&["web: depends /f"], &["/f"]);
    w.at(0).expect_spawn("web");
    w.at(5).write("/f", 2).expect_term("web").dies("web", 15).expect_spawn("web");
    w.at(6).write("/f", 3).remove("/f").write("/f", 2);
    w.at(1000).expect_nothing().expect_no_deadline();
    w.write("/f", 3).expect_term("web").dies("web", 15).expect_spawn("web");
}

#[test]
fn a_once_job_that_writes_its_own_dependency_runs_once_in_ten_seconds() {
    let mut w = with_files(&["setup: once, depends /f"], &["/f"]);
    w.at(0).expect_spawn("setup").write("/f", 2).expect_term("setup").exits("setup", 0);
    w.expect_spawn("setup").write("/f", 3).exits("setup", 0).write("/f", 4).expect_nothing();
    w.at(10).expect_spawn("setup").exits("setup", 0);
    w.at(1000).expect_nothing().expect_no_deadline();
}

#[test]
fn a_job_that_writes_its_own_dependency_and_exits_is_started_once_in_ten_seconds() {
    let mut w = with_files(&["web: depends /f"], &["/f"]);
    w.at(0).expect_spawn("web");
    w.at(5).write("/f", 2).expect_term("web").dies("web", 15).expect_spawn("web");
    w.at(6).exits("web", 1).write("/f", 3).expect_nothing();
    w.write("/f", 4).expect_nothing();
    w.at(15).expect_spawn("web");
    w.at(16).exits("web", 1).write("/f", 5).expect_nothing();
    w.at(25).expect_spawn("web");
    w.at(1000).expect_nothing().expect_no_deadline();
}

#[test]
fn a_start_for_another_reason_takes_the_files_as_they_are() {
    let mut w = with_files(&["web: depends /f, bounce every 5s"], &["/f"]);
    w.at(0).expect_spawn("web");
    w.at(1).write("/f", 2).expect_term("web").dies("web", 15).expect_spawn("web");
    w.at(2).write("/f", 3).expect_nothing();
    w.at(6).expect_term("web").dies("web", 15).expect_spawn("web");
    w.at(7).write("/f", 3).expect_nothing();
    w.at(8).reload(&["web: depends /f"]).expect_term("web").dies("web", 15).expect_spawn("web");
    w.at(9).write("/f", 4).expect_term("web").dies("web", 15).expect_spawn("web");
    w.at(1000).expect_nothing();
}

#[test]
fn a_new_definition_ends_the_ten_seconds() {
    let mut w = with_files(&["web: depends /f"], &["/f"]);
    w.at(0).expect_spawn("web");
    w.at(1).write("/f", 2).expect_term("web").dies("web", 15).expect_spawn("web");
    w.at(2).write("/f", 3).expect_nothing();
    w.at(3).reload(&["web: nice 1, depends /f"]).expect_term("web").dies("web", 15);
    w.expect_spawn("web").write("/f", 4).expect_term("web").dies("web", 15).expect_spawn("web");
    w.at(1000).expect_nothing().expect_no_deadline();
}
