//! Manual, "bounce every".

use crate::expect::with;

#[test]
fn a_job_is_restarted_on_a_periodic_interval() {
    let mut w = with(&["cache: bounce every 1m"]);
    w.at(0).expect_spawn("cache");
    w.at(60)
        .expect_term("cache")
        .says("bouncing job cache")
        .dies("cache", 15)
        .expect_spawn("cache");
    w.at_ms(119_999).expect_nothing();
    w.at(120).expect_term("cache");
    w.at(125).dies("cache", 15).expect_spawn("cache");
    w.at(185).expect_term("cache");
}

#[test]
fn the_interval_counts_from_the_start() {
    let mut w = with(&["cache: bounce every 1m"]);
    w.at(0).expect_spawn("cache");
    w.at(50).exits("cache", 0).expect_spawn("cache");
    w.at_ms(109_999).expect_nothing();
    w.at(110).expect_term("cache");
}

#[test]
fn a_bounce_within_ten_seconds_of_the_start_does_not_wait() {
    let mut w = with(&["cache: bounce every 1s"]);
    w.at(0).expect_spawn("cache");
    for second in 1..50 {
        w.at(second).expect_term("cache").dies("cache", 15).expect_spawn("cache");
    }
}

#[test]
fn an_interval_that_passes_while_the_machine_sleeps_bounces_once() {
    let mut w = with(&["cache: bounce every 1m"]);
    w.at(0).expect_spawn("cache");
    w.late_at(86_400).expect_term("cache").dies("cache", 15).expect_spawn("cache");
    w.at(86_459).expect_nothing();
    w.at(86_460).expect_term("cache");
}

#[test]
fn a_job_that_is_being_stopped_is_not_bounced() {
    let mut w = with(&["cache: bounce every 8s"]);
    w.at(0).expect_spawn("cache");
    w.at(5).reload(&["cache: bounce every 1m"]).expect_term("cache");
    w.at(15).expect_kill("cache");
    assert_eq!(w.said("bouncing"), 0);
}

#[test]
fn a_once_job_that_is_bounced_has_had_its_run() {
    let mut w = with(&["cache: once, bounce every 1m"]);
    w.at(0).expect_spawn("cache");
    w.at(60).expect_term("cache").dies("cache", 15);
    w.at(1000).expect_nothing().expect_no_deadline();
}

#[test]
fn a_bounced_job_that_exits_with_33_is_not_restarted() {
    let mut w = with(&["cache: bounce every 1m"]);
    w.at(0).expect_spawn("cache");
    w.at(60).expect_term("cache").exits("cache", 33);
    w.at(1000).expect_nothing().expect_no_deadline();
}

#[test]
fn a_bounce_that_turns_into_a_change_restarts_the_job_whatever_its_status() {
    let mut w = with(&["cache: bounce every 1m"]);
    w.at(0).expect_spawn("cache");
    w.at(60).expect_term("cache");
    w.at(61).reload(&["cache: once"]);
    w.at(62).exits("cache", 33).expect_spawn("cache");
    w.at(100).exits("cache", 0);
    w.at(1000).expect_nothing();
}

#[test]
fn a_job_that_waits_for_its_restart_is_not_bounced() {
    let mut w = with(&["cache: bounce every 5s"]);
    w.at(0).expect_spawn("cache");
    w.at(4).exits("cache", 1);
    w.at(14).expect_spawn("cache");
    w.at(19).expect_term("cache");
}
