//! No process can be created, or be sent a signal: compat.md, "Running".

use crate::expect::{with, Scenario};

/// A world where no process can be created from second 0 on.
fn without_processes(jobs: &[&str]) -> Scenario {
    let mut w = with(&[]);
    w.world.forks_fail = true;
    w.reload(jobs);
    w
}

#[test]
fn a_failed_fork_is_told_and_tried_again() {
    let mut w = without_processes(&["a"]);
    w.at(0).expect_failed_spawn("a");
    w.says("job a: cannot create a process: Resource temporarily unavailable; trying every second");
    w.at(1).expect_failed_spawn("a");
    w.at(2).expect_failed_spawn("a").world.forks_fail = false;
    w.at(3).expect_spawn("a");
    w.at(1000).expect_nothing();
}

#[test]
fn a_fault_that_lasts_is_told_once() {
    let mut w = without_processes(&["a", "b", "c"]);
    for second in 0..100 {
        w.at(second).expect_failed_spawn("a");
    }
    assert_eq!(w.said("cannot create a process"), 1);
}

#[test]
fn a_fault_that_comes_back_is_told_again() {
    let mut w = without_processes(&["a"]);
    w.at(0).expect_failed_spawn("a").world.forks_fail = false;
    w.at(1).expect_spawn("a").world.forks_fail = true;
    w.at(60).exits("a", 0).expect_failed_spawn("a");
    assert_eq!(w.said("cannot create a process"), 2);
    w.at(61).expect_failed_spawn("a");
    assert_eq!(w.said("cannot create a process"), 2);
}

#[test]
fn all_jobs_are_up_again_after_the_fault_in_their_order() {
    let names: Vec<String> =
        (0..600.min(pmtr::limits::MAX_JOBS)).map(|n| format!("job{n}")).collect();
    let mut w = with(&[]);
    w.world.forks_fail = true;
    w.world.reload(&crate::expect::text(&names));
    for second in 0..20 {
        w.at(second).expect_failed_spawn("job0");
    }
    w.world.forks_fail = false;
    w.at(20).expect_spawns(&names);
    assert_eq!(w.said("cannot create a process"), 1);
}

#[test]
fn six_hundred_jobs_that_end_while_there_is_no_process_are_all_restarted() {
    let names: Vec<String> =
        (0..600.min(pmtr::limits::MAX_JOBS)).map(|n| format!("job{n}")).collect();
    let mut w = with(&[]);
    w.world.reload(&crate::expect::text(&names));
    w.expect_spawns(&names).world.forks_fail = true;
    w.at(60);
    for name in &names {
        w.exits(name, 1);
    }
    assert!(w.failed_spawns() < 3, "one of them is tried, not all");
    w.skip().world.pass_until(crate::world::BEGIN + crate::world::secs(90));
    assert!(w.failed_spawns() < 33, "one a second");
    w.skip().world.forks_fail = false;
    w.world.pass_until(crate::world::BEGIN + crate::world::secs(91));
    assert_eq!(w.world.processes.len(), names.len());
    assert_eq!(w.said("cannot create a process"), 1);
    w.skip();
}

#[test]
fn a_fault_in_the_middle_of_the_start_keeps_the_order() {
    let mut w = with(&["a", "setup: wait, once", "b", "c"]);
    w.at(0).expect_spawns(&["a", "setup"]).world.forks_fail = true;
    w.at(5).exits("setup", 0).expect_failed_spawn("b").world.forks_fail = false;
    w.at_ms(5_999).expect_nothing();
    w.at(6).expect_spawns(&["b", "c"]);
}

#[test]
fn a_wait_job_that_could_not_be_started_holds_later_jobs() {
    let mut w = without_processes(&["setup: wait, once", "late"]);
    w.at(0).expect_failed_spawn("setup");
    w.at(1).expect_failed_spawn("setup").world.forks_fail = false;
    w.at(2).expect_spawn("setup").exits("setup", 0).expect_spawn("late");
}

#[test]
fn a_restart_is_tried_every_second_without_the_ten_second_rule() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a").world.forks_fail = true;
    w.at(60).exits("a", 0).expect_failed_spawn("a");
    w.at(61).expect_failed_spawn("a").world.forks_fail = false;
    w.at(62).expect_spawn("a");
}

#[test]
fn a_reload_during_the_fault_loses_no_job() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a").world.forks_fail = true;
    w.at(5).reload(&["a", "b"]).expect_failed_spawn("b");
    w.at_ms(5_500).reload(&["a", "b", "c"]).world.forks_fail = false;
    w.at(6).expect_spawns(&["b", "c"]);
    w.at(1000).expect_nothing();
}

#[test]
fn a_disable_during_the_fault_loses_no_other_job() {
    let mut w = without_processes(&["a", "b"]);
    w.at(0).expect_failed_spawn("a");
    w.at_ms(500).disable("a").world.forks_fail = false;
    w.at(1).expect_spawn("b");
}

#[test]
fn a_job_that_waits_for_its_restart_is_not_started_during_the_pause() {
    let mut w = with(&["a", "b"]);
    w.at(0).expect_spawns(&["a", "b"]).exits("a", 1).world.forks_fail = true;
    w.at_ms(9_500).exits("b", 33).reload(&["a", "b", "c"]).expect_failed_spawn("c");
    w.world.forks_fail = false;
    w.at(10).expect_nothing();
    w.at_ms(10_500).expect_spawn("a").expect_spawn("c");
}

#[test]
fn a_shutdown_during_the_fault_leaves() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a").world.forks_fail = true;
    w.at(5).reload(&["a", "b"]).expect_failed_spawn("b").shut_down(15).expect_term("a");
    w.at_ms(5_500).dies("a", 15).expect_exit().expect_no_deadline();
    w.at(1000).expect_nothing();
}

#[test]
fn a_stop_during_the_fault_goes_on() {
    let mut w = with(&["a", "b"]);
    w.at(0).expect_spawns(&["a", "b"]).world.forks_fail = true;
    w.at(5).reload(&["a: nice 1"]).expect_term("a").expect_term("b").dies("a", 15);
    w.expect_failed_spawn("a");
    for second in 6..15 {
        w.at(second).expect_failed_spawn("a");
    }
    w.at(15).expect_kill("b").expect_failed_spawn("a");
}

// Signals.

/// Only the last one was remembered, and tried once.
#[test]
fn signals_that_cannot_be_sent_are_all_tried_again_every_second() {
    let mut w = with(&["a", "b", "c"]);
    w.at(0).expect_spawns(&["a", "b", "c"]).world.signals_fail = true;
    w.at(60).reload(&["b"]).expect_term("a").expect_term("c");
    w.at_ms(60_999).expect_nothing();
    w.at(61).expect_term("a").expect_term("c");
    w.at(62).expect_term("a").expect_term("c").world.signals_fail = false;
    w.at(63).expect_term("a").expect_term("c");
    w.at_ms(69_999).expect_nothing();
    w.at(70).expect_kill("a").expect_kill("c");
    w.at(71).exits("a", 0).exits("c", 0);
    w.skip().at(1000).expect_nothing().expect_no_deadline();
}

#[test]
fn a_sigkill_that_cannot_be_sent_is_sent_when_it_can() {
    let mut w = with(&["a", "b"]);
    w.at(0).expect_spawns(&["a", "b"]);
    w.at(60).reload(&[]).expect_term("a").expect_term("b").world.signals_fail = true;
    w.at(70).expect_kill("a").expect_kill("b");
    for second in 71..100 {
        w.at(second).expect_kill("a").expect_kill("b");
    }
    w.world.signals_fail = false;
    w.at(100).expect_kill("a").expect_kill("b");
    w.at(1000).expect_nothing().expect_no_deadline();
}

#[test]
fn what_has_ended_meanwhile_is_sent_nothing() {
    let mut w = with(&["a", "b"]);
    w.at(0).expect_spawns(&["a", "b"]).world.signals_fail = true;
    w.at(60).reload(&["b"]).expect_term("a").exits("a", 0);
    w.skip().at(1000).expect_nothing().expect_no_deadline();
}

#[test]
fn a_sigterm_that_could_not_be_sent_gives_way_to_sigkill() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a").world.signals_fail = true;
    w.at(60).reload(&[]).expect_term("a");
    for second in 61..70 {
        w.at(second).expect_term("a");
    }
    w.world.signals_fail = false;
    w.at(70).expect_kill("a");
    w.at(1000).expect_nothing();
}
