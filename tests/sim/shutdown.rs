//! Shutting down, from every state: manual, "How pmtr kills a job"; compat.md, "Running".

use pmtr::supervise::Stage;

use crate::expect::{with, with_files, Scenario};

/// Nothing ever happens again.
fn is_over(w: &mut Scenario) {
    w.expect_no_deadline().at(1_000_000).expect_nothing();
}

#[test]
fn without_jobs_pmtr_leaves_at_once() {
    let mut w = with(&[]);
    w.at(5).shut_down(2).says("pmtr: exiting on signal 2").expect_exit();
    is_over(&mut w);
}

#[test]
fn pmtr_leaves_as_soon_as_the_last_process_is_gone() {
    let mut w = with(&["a", "b", "c"]);
    w.at(0).expect_spawns(&["a", "b", "c"]);
    w.at(5).shut_down(15).says("pmtr: exiting on signal 15");
    w.expect_term("a").expect_term("b").expect_term("c");
    w.at_ms(5_100).dies("b", 15).dies("a", 15).expect_nothing();
    w.at_ms(7_300).dies("c", 15).expect_exit();
    is_over(&mut w);
}

#[test]
fn a_job_that_ignores_sigterm_gets_sigkill_after_ten_seconds() {
    let mut w = with(&["a", "b"]);
    w.at(0).expect_spawns(&["a", "b"]);
    w.at(5).shut_down(15).expect_term("a").expect_term("b");
    w.at(6).dies("a", 15);
    w.at(15).expect_kill("b").dies("b", 9).expect_exit();
    is_over(&mut w);
}

#[test]
fn nothing_is_restarted_once_pmtr_is_leaving() {
    let mut w = with(&["a", "b"]);
    w.at(0).expect_spawns(&["a", "b"]);
    w.at(60).at_once(|w| {
        w.shut_down(15).exits("a", 0);
    });
    w.expect_term("b").at(61).exits("b", 0).expect_exit();
    is_over(&mut w);
}

#[test]
fn jobs_that_do_not_run_hold_nothing_up() {
    let jobs =
        ["early", "done: once", "off: disable", "blocked: depends /f", "setup: wait", "late"];
    let mut w = with(&jobs);
    w.at(0).expect_spawns(&["early", "done", "setup"]).exits("early", 1).exits("done", 0);
    w.at(5).shut_down(15).expect_term("setup").dies("setup", 15).expect_exit();
    w.write("/f", 1);
    is_over(&mut w);
}

#[test]
fn a_job_that_is_being_stopped_gets_no_second_sigterm_and_no_second_ten_seconds() {
    let mut w = with(&["a", "b"]);
    w.at(0).expect_spawns(&["a", "b"]);
    w.at(5).reload(&["b: nice 1"]).expect_term("a").expect_term("b");
    w.at(8).shut_down(15).expect_nothing();
    w.at(15).expect_kill("a").expect_kill("b").dies("a", 9).dies("b", 9).expect_exit();
    is_over(&mut w);
}

#[test]
fn a_job_that_got_its_sigkill_gets_no_other() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a");
    w.at(5).reload(&[]).expect_term("a");
    w.at(15).expect_kill("a");
    w.at(16).shut_down(15).expect_nothing().dies("a", 9).expect_exit();
    is_over(&mut w);
}

#[test]
fn a_process_that_outlives_sigkill_is_told_and_left_behind() {
    let mut w = with(&["a", "b"]);
    w.at(0).expect_spawns(&["a", "b"]);
    w.at(5).shut_down(15).expect_term("a").expect_term("b");
    w.at(15).expect_kill("a").expect_kill("b").dies("b", 9).expect_nothing();
    w.at(25).says("job a [101] is still there after SIGKILL").expect_exit();
    is_over(&mut w);
}

#[test]
fn a_process_that_has_outlived_sigkill_before_gets_ten_seconds_more() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a");
    w.at(5).reload(&[]).expect_term("a");
    w.at(15).expect_kill("a");
    w.at(60).shut_down(15).expect_nothing();
    w.at(70).says("job a [101] is still there after SIGKILL").expect_exit();
    is_over(&mut w);
}

#[test]
fn a_process_that_goes_after_it_was_left_behind_is_no_concern() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a");
    w.at(5).shut_down(15).expect_term("a");
    w.at(15).expect_kill("a");
    w.at(25).expect_exit().dies("a", 9);
    is_over(&mut w);
}

#[test]
fn what_is_left_of_a_session_is_ended_before_pmtr_leaves() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a");
    w.at(5).shut_down(15).expect_term("a").leaves_children("a").expect_session_term("a");
    w.at_ms(5_002).session_goes(101);
    w.at_ms(5_006).expect_exit();
    is_over(&mut w);
}

#[test]
fn a_session_that_does_not_go_does_not_hold_the_shutdown_up_for_ever() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a");
    w.at(5).shut_down(15).expect_term("a").leaves_children("a").skip();
    w.world.pass_until(crate::world::BEGIN + crate::world::secs(25));
    assert_eq!(w.said("processes of session 101 are still there"), 1);
    assert_eq!(w.exits_asked(), 1);
    is_over(w.skip());
}

#[test]
fn a_session_that_is_being_ended_already_is_waited_for() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a");
    w.at(5).reload(&["a: nice 1"]).expect_term("a").leaves_children("a").expect_session_term("a");
    w.shut_down(15).expect_nothing().session_goes(101);
    w.at_ms(5_002).expect_exit();
    is_over(&mut w);
}

#[test]
fn a_process_that_fails_before_its_program_is_stopped_too() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a").fails("a", Stage::Exec).shut_down(15).expect_term("a");
    w.exits("a", 127).expect_exit();
    is_over(&mut w);
}

#[test]
fn a_second_signal_changes_nothing() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a");
    w.at(5).shut_down(15).expect_term("a");
    w.at(6).shut_down(2).shut_down(15).expect_nothing();
    w.at(15).expect_kill("a").dies("a", 9).expect_exit().shut_down(15);
    assert_eq!(w.said("exiting on signal"), 1);
    is_over(&mut w);
}

#[test]
fn nothing_that_happens_while_pmtr_is_leaving_starts_a_job() {
    let mut w = with_files(&["a: depends /f", "b: disable", "c"], &["/f"]);
    w.at(0).expect_spawns(&["a", "c"]).disable("c").expect_term("c");
    w.at(5).shut_down(15).expect_term("a");
    w.reload(&["a", "b", "c", "d"]).enable("b").enable("c").disable("a").enable("a").write("/f", 2);
    w.expect_nothing().dies("c", 15).dies("a", 15).expect_exit();
    w.reload(&["a", "b", "c", "d"]).enable("b");
    is_over(&mut w);
}

#[test]
fn a_late_timer_does_not_lose_the_exit() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a");
    w.at(5).shut_down(15).expect_term("a");
    w.late_at(3600).expect_kill("a");
    w.late_at(7200).expect_exit();
    is_over(&mut w);
}
