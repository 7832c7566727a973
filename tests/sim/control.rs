//! Manual, "UDP control"; compat.md, "UDP".

use pmtr::supervise::Stage;

use crate::expect::{with, with_files};

#[test]
fn a_running_job_is_stopped_by_disable_and_started_by_enable() {
    let mut w = with(&["abc", "other"]);
    w.at(0).expect_spawns(&["abc", "other"]);
    w.at(5).disable("abc").says("disabling abc").expect_term("abc");
    w.at(6).dies("abc", 15);
    w.at(60).expect_nothing().enable("abc").says("enabling abc").expect_spawn("abc");
}

#[test]
fn a_job_that_the_file_disables_is_started_by_enable() {
    let mut w = with(&["abc: disable"]);
    w.at(5).enable("abc").expect_spawn("abc");
    w.at(60).exits("abc", 0).expect_spawn("abc");
    w.at(61).exits("abc", 0);
    w.at(71).expect_spawn("abc");
}

#[test]
fn what_is_so_already_is_not_told() {
    let mut w = with(&["on", "off: disable"]);
    w.at(0).expect_spawn("on").enable("on").disable("off");
    assert_eq!(w.said("abling"), 0);
    w.disable("on").expect_term("on").disable("on").enable("off").expect_spawn("off").enable("off");
    assert_eq!(w.said("abling"), 2);
    w.dies("on", 15).disable("on");
    assert_eq!(w.said("abling"), 2);
}

#[test]
fn an_unknown_job_is_no_concern() {
    let mut w = with(&["abc"]);
    w.at(0).expect_spawn("abc").enable("xyz").disable("xyz").expect_nothing();
}

#[test]
fn a_job_that_waits_for_its_restart_can_be_disabled() {
    let mut w = with(&["abc"]);
    w.at(0).expect_spawn("abc").exits("abc", 1);
    w.at(5).disable("abc").says("disabling abc");
    w.at(60).expect_nothing().expect_no_deadline().enable("abc").expect_spawn("abc");
}

#[test]
fn enable_does_not_shorten_the_ten_seconds() {
    let mut w = with(&["abc"]);
    w.at(0).expect_spawn("abc").exits("abc", 1);
    w.at(5).enable("abc").expect_nothing();
    w.at(10).expect_spawn("abc");
}

#[test]
fn a_job_that_waits_for_its_turn_can_be_disabled_and_enabled() {
    let mut w = with(&["setup: wait, once", "abc", "late"]);
    w.at(0).expect_spawn("setup").disable("abc").says("disabling abc");
    w.at(5).exits("setup", 0).expect_spawn("late");
    w.at(6).enable("abc").expect_spawn("abc");
}

#[test]
fn a_job_that_is_enabled_behind_a_running_wait_job_waits_for_its_turn() {
    let mut w = with(&["setup: wait, once", "abc: disable", "def"]);
    w.at(0).expect_spawn("setup").enable("abc").disable("def").enable("def").expect_nothing();
    w.at(60).exits("setup", 0).expect_spawns(&["abc", "def"]);
}

#[test]
fn a_wait_job_that_is_enabled_holds_only_jobs_that_have_not_started() {
    let mut w = with(&["setup: wait, once, disable", "abc", "def: disable"]);
    w.at(0).expect_spawn("abc").enable("setup").expect_spawn("setup").enable("def");
    w.expect_nothing().exits("setup", 0).expect_spawn("def");
}

#[test]
fn a_wait_job_that_is_enabled_while_it_is_being_stopped_holds_jobs_that_have_not_started() {
    let mut w = with(&["setup: wait, disable", "abc"]);
    w.at(0).expect_spawn("abc").enable("setup").expect_spawn("setup");
    w.at(20).exits("setup", 0).expect_spawn("setup");
    w.disable("setup").expect_term("setup").world.forks_fail = true;
    w.at(25).reload(&["setup: wait, disable", "abc", "def"]).expect_failed_spawn("def");
    w.enable("setup").world.forks_fail = false;
    w.at(26).expect_nothing().dies("setup", 15).expect_spawn("setup");
    w.at(40).exits("setup", 0).expect_spawn("setup").expect_spawn("def");
}

#[test]
fn a_job_that_is_done_cannot_be_enabled() {
    let mut w = with(&["setup: once"]);
    w.at(0).expect_spawn("setup").exits("setup", 0);
    w.at(5).enable("setup").disable("setup").enable("setup");
    w.at(1000).expect_nothing();
}

#[test]
fn a_job_that_fails_before_its_program_can_be_disabled() {
    let mut w = with(&["abc"]);
    w.at(0).expect_spawn("abc").fails("abc", Stage::User).disable("abc").expect_term("abc");
    w.exits("abc", 127);
    w.at(1000).expect_nothing();
}

#[test]
fn a_blocked_job_can_be_disabled_and_enabled() {
    let mut w = with(&["abc: depends /f"]);
    w.at(0).disable("abc").says("disabling abc").write("/f", 1).expect_nothing();
    w.enable("abc").expect_spawn("abc");
}

#[test]
fn a_job_that_is_being_stopped_for_a_change_can_be_disabled_and_enabled() {
    let mut w = with(&["abc"]);
    w.at(0).expect_spawn("abc");
    w.at(1).reload(&["abc: once"]).expect_term("abc");
    w.at(2).disable("abc").says("disabling abc").expect_nothing();
    w.at(3).enable("abc").says("enabling abc").expect_nothing();
    w.at(4).dies("abc", 15).expect_spawn("abc");
}

#[test]
fn a_job_that_is_being_bounced_can_be_disabled() {
    let mut w = with(&["abc: bounce every 1m"]);
    w.at(0).expect_spawn("abc");
    w.at(60).expect_term("abc").disable("abc");
    w.at(61).dies("abc", 15);
    w.at(1000).expect_nothing();
}

#[test]
fn a_once_job_that_is_disabled_while_it_runs_runs_again_when_it_is_enabled() {
    let mut w = with(&["abc: once"]);
    w.at(0).expect_spawn("abc");
    w.at(5).disable("abc").expect_term("abc").exits("abc", 33);
    w.at(6).enable("abc").expect_spawn("abc");
}

#[test]
fn a_job_whose_session_is_being_ended_can_be_disabled_and_enabled() {
    let mut w = with(&["abc"]);
    w.at(0).expect_spawn("abc");
    w.at(5).reload(&["abc: nice 1"]).expect_term("abc").leaves_children("abc");
    w.expect_session_term("abc").disable("abc");
    w.at_ms(5_002).session_goes(101);
    w.at_ms(5_005).enable("abc");
    w.at_ms(5_006).expect_spawn("abc");
}

#[test]
fn a_job_that_is_done_but_for_its_session_cannot_be_enabled() {
    let mut w = with(&["abc: once, bounce every 1m"]);
    w.at(0).expect_spawn("abc");
    w.at(60).expect_term("abc").leaves_children("abc").expect_session_term("abc");
    w.disable("abc").enable("abc").session_goes(101);
    w.at(1000).expect_nothing();
}

#[test]
fn a_job_that_was_taken_out_cannot_be_enabled() {
    let mut w = with(&["abc"]);
    w.at(0).expect_spawn("abc");
    let old = w.world.find("abc").unwrap();
    w.at(5).reload(&[]).expect_term("abc");
    w.world.enable_job(old);
    w.world.disable_job(old);
    w.at(6).dies("abc", 15);
    w.world.enable_job(old);
    w.world.disable_job(old);
    w.at(1000).expect_nothing();
}

#[test]
fn an_undead_job_can_be_disabled() {
    let mut w = with(&["abc"]);
    w.at(0).expect_spawn("abc");
    w.at(5).reload(&["abc: nice 1"]).expect_term("abc");
    w.at(15).expect_kill("abc");
    w.at(60).disable("abc").expect_nothing().dies("abc", 9);
    w.at(1000).expect_nothing();
}

// The effect is temporary: the settings in pmtr.conf resume precedence when it is edited.

#[test]
fn a_job_disabled_by_control_is_started_by_the_next_reload() {
    let mut w = with(&["abc", "other"]);
    w.at(0).expect_spawns(&["abc", "other"]);
    w.at(5).disable("abc").expect_term("abc").dies("abc", 15);
    w.at(60).reload(&["abc", "other"]).expect_spawn("abc");
}

#[test]
fn a_job_enabled_by_control_is_stopped_by_the_next_reload() {
    let mut w = with(&["abc: disable"]);
    w.at(5).enable("abc").expect_spawn("abc");
    w.at(60).reload(&["abc: disable"]).expect_term("abc").dies("abc", 15);
    w.at(1000).expect_nothing();
}

#[test]
fn a_refused_reload_does_not_end_the_effect_of_control() {
    let mut w = with(&["abc"]);
    w.at(0).expect_spawn("abc").disable("abc").expect_term("abc").dies("abc", 15);
    assert!(!w.world.parse("nonsense"));
    w.at(1000).expect_nothing();
}

#[test]
fn a_job_disabled_by_control_that_is_still_being_stopped_is_restarted_after_a_reload() {
    let mut w = with(&["abc"]);
    w.at(0).expect_spawn("abc");
    w.at(5).disable("abc").expect_term("abc");
    w.at(6).reload(&["abc"]).expect_nothing();
    w.at(7).dies("abc", 15).expect_spawn("abc");
}

#[test]
fn a_job_enabled_by_control_in_any_state_is_disabled_by_a_reload() {
    let mut w = with_files(&["a: disable", "b: disable, depends /f"], &[]);
    w.at(0).enable("a").expect_spawn("a").exits("a", 1).enable("b");
    w.at(5).reload(&["a: disable", "b: disable, depends /f"]).write("/f", 1);
    w.at(1000).expect_nothing().expect_no_deadline();
}

#[test]
fn a_job_enabled_by_control_whose_turn_has_not_come_is_disabled_by_a_reload() {
    let mut w = with(&["setup: wait", "a: disable"]);
    w.at(0).expect_spawn("setup").enable("a").reload(&["setup: wait", "a: disable"]);
    w.at(60).exits("setup", 0).expect_spawn("setup");
}

#[test]
fn a_job_enabled_by_control_that_is_done_is_disabled_by_a_reload() {
    let mut w = with(&["a: disable, once"]);
    w.at(0).enable("a").expect_spawn("a").exits("a", 0);
    w.at(5).reload(&["a: disable, once"]).expect_nothing();
    w.at(6).enable("a").says("enabling a").expect_spawn("a");
}

#[test]
fn a_job_enabled_by_control_that_is_being_bounced_is_disabled_by_a_reload() {
    let mut w = with(&["a: disable, bounce every 1m"]);
    w.at(0).enable("a").expect_spawn("a");
    w.at(60).expect_term("a").reload(&["a: disable, bounce every 1m"]).dies("a", 15);
    w.at(1000).expect_nothing();
}

#[test]
fn a_disable_in_the_file_is_ended_by_enable_while_the_job_is_being_stopped() {
    let mut w = with(&["abc"]);
    w.at(0).expect_spawn("abc");
    w.at(5).reload(&["abc: disable"]).expect_term("abc").enable("abc").says("enabling abc");
    w.at(6).dies("abc", 15).expect_spawn("abc");
}
