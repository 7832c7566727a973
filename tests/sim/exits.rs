//! Manual, "Jobs that exit on their own"; compat.md, "Running".

use pmtr::limits::MAX_JOBS;
use pmtr::supervise::Stage;

use crate::expect::with;

#[test]
fn a_job_that_exits_is_restarted() {
    let mut w = with(&["tunnel"]);
    w.at(0).expect_spawn("tunnel").says("started job tunnel [101]");
    w.at(60).exits("tunnel", 0).expect_spawn("tunnel");
    w.says("job tunnel [101] exited after 60 sec: exit status 0").says("started job tunnel [102]");
    w.at(600).exits("tunnel", 1).expect_spawn("tunnel");
}

#[test]
fn a_job_that_lived_under_ten_seconds_waits_ten_seconds() {
    let mut w = with(&["tunnel"]);
    w.at(0).expect_spawn("tunnel");
    w.at(3).exits("tunnel", 1).says("job tunnel [101] exited after 3 sec: exit status 1");
    w.at_ms(12_999).expect_nothing();
    w.at(13).expect_spawn("tunnel");
}

#[test]
fn ten_seconds_are_counted_exactly() {
    let mut w = with(&["short", "long"]);
    w.at(0).expect_spawns(&["short", "long"]);
    w.at_ms(9_999).exits("short", 0).expect_nothing();
    w.at_ms(10_000).exits("long", 0).expect_spawn("long");
    w.at_ms(19_999).expect_spawn("short");
}

#[test]
fn a_job_that_always_fails_is_tried_every_ten_seconds() {
    let mut w = with(&["tunnel"]);
    w.at(0).expect_spawn("tunnel").exits("tunnel", 1);
    for turn in 1..100 {
        w.at(10 * turn).expect_spawn("tunnel").exits("tunnel", 1).expect_nothing();
    }
    w.at(1000).expect_spawn("tunnel");
}

#[test]
fn a_job_that_seems_to_go_into_the_background_is_logged_once() {
    const LINE: &str = "job daemon has ended with status 0 within a second, again and again: ";
    let mut w = with(&["daemon"]);
    for turn in 0..20 {
        let start = 11_000 * turn;
        w.at_ms(start).expect_spawn("daemon").at_ms(start + 1000).exits("daemon", 0);
        assert_eq!(w.said(LINE), usize::from(turn >= 2), "exit {turn}");
    }
    // A run that is longer, or fails, ends the row.
    w.at(220).expect_spawn("daemon").at_ms(221_001).exits("daemon", 0);
    for (turn, status) in [(0, 0), (1, 0), (2, 1), (3, 0), (4, 0)] {
        w.at_ms(231_001 + 10_000 * turn).expect_spawn("daemon").exits("daemon", status);
        assert_eq!(w.said(LINE), 1, "exit {turn}");
    }
    w.at_ms(281_001).expect_spawn("daemon").exits("daemon", 0);
    assert_eq!(w.said(LINE), 2);
}

#[test]
fn a_job_that_is_not_restarted_or_is_another_does_not_seem_to_go_into_the_background() {
    const LINE: &str = "job daemon has ended";
    let mut w = with(&["daemon"]);
    for turn in 0..2 {
        w.at(10 * turn).expect_spawn("daemon").exits("daemon", 0);
    }
    w.reload(&["daemon: nice 3"]).expect_spawn("daemon").exits("daemon", 0);
    assert_eq!(w.said(LINE), 0);
    w.reload(&["daemon: once"]).expect_spawn("daemon").exits("daemon", 0);
    w.at(100).expect_nothing();
    assert_eq!(w.said(LINE), 0);
}

#[test]
fn a_job_killed_by_a_signal_from_elsewhere_is_restarted_like_any_other() {
    let mut w = with(&["tunnel"]);
    w.at(0).expect_spawn("tunnel");
    w.at(2).dies("tunnel", 15).says("job tunnel [101] exited after 2 sec: signal 15");
    w.at(12).expect_spawn("tunnel");
    w.at(30).dies("tunnel", 9).expect_spawn("tunnel");
    w.says("job tunnel [102] exited after 18 sec: signal 9");
}

#[test]
fn a_job_killed_by_a_real_time_signal_is_not_lost() {
    let mut w = with(&["tunnel"]);
    w.at(0).expect_spawn("tunnel");
    w.at(60).dies("tunnel", 34).expect_spawn("tunnel");
    w.says("job tunnel [101] exited after 60 sec: signal 34");
}

#[test]
fn a_once_job_is_not_restarted_however_it_ends() {
    let mut w = with(&["good: once", "bad: once", "shot: once", "late: once"]);
    w.at(0).expect_spawns(&["good", "bad", "shot", "late"]);
    w.at(1).exits("good", 0).exits("bad", 1).dies("shot", 9);
    w.at(100).exits("late", 0);
    w.at(100_000).expect_nothing().expect_no_deadline();
}

#[test]
fn exit_status_33_means_do_not_restart_me() {
    let mut w = with(&["early", "late"]);
    w.at(0).expect_spawns(&["early", "late"]);
    w.at(1).exits("early", 33).says("job early [101] exited after 1 sec: exit status 33");
    w.at(60).exits("late", 33);
    w.at(100_000).expect_nothing().expect_no_deadline();
}

#[test]
fn signal_33_is_not_exit_status_33() {
    let mut w = with(&["tunnel"]);
    w.at(0).expect_spawn("tunnel");
    w.at(60).dies("tunnel", 33).expect_spawn("tunnel");
}

#[test]
fn a_failed_step_before_exec_is_told_and_retried_like_an_early_exit() {
    let mut w = with(&["web: dir /srv/web, user www", "api"]);
    w.at(0).expect_spawns(&["web", "api"]);
    w.fails("web", Stage::Dir).exits("web", 127);
    w.says("job web: changing directory to /srv/web: No such file or directory");
    w.at_ms(9_999).expect_nothing();
    w.at(10).expect_spawn("web");
    w.fails("web", Stage::User).says("job web: looking up user www: No such file or directory");
    w.exits("web", 127);
    w.at(20).expect_spawn("web").fails("web", Stage::Exec).exits("web", 127);
    w.says("job web: executing /bin/web: No such file or directory");
    w.at(30).expect_spawn("web");
}

#[test]
fn every_step_before_exec_is_told_in_words_of_its_own() {
    let mut w = with(&["web: dir /d, user u, in /i, out /o, err /e"]);
    w.at(0).expect_spawn("web");
    let mut told: Vec<String> = Vec::new();
    for (turn, &stage) in (1..).zip(&Stage::ALL) {
        w.fails("web", stage).exits("web", 127);
        told.push(w.sentence("job web: "));
        w.at(10 * turn).expect_spawn("web");
    }
    told.sort();
    told.dedup();
    assert_eq!(told.len(), Stage::ALL.len(), "{told:#?}");
}

#[test]
fn a_failed_exec_waits_ten_seconds_even_if_it_took_long_to_fail() {
    let mut w = with(&["web: in /run/fifo"]);
    w.at(0).expect_spawn("web");
    w.at(60).fails("web", Stage::Stdin).exits("web", 127);
    w.says("job web: opening in /run/fifo: No such file or directory");
    w.at_ms(69_999).expect_nothing();
    w.at(70).expect_spawn("web");
}

#[test]
fn a_once_job_that_could_not_become_its_program_has_not_run() {
    let mut w = with(&["setup: once"]);
    w.at(0).expect_spawn("setup").fails("setup", Stage::Exec).exits("setup", 127);
    w.at(10).expect_spawn("setup").exits("setup", 0);
    w.at(1000).expect_nothing().expect_no_deadline();
}

#[test]
fn the_status_of_a_failed_exec_is_not_the_status_of_the_job() {
    let mut w = with(&["web"]);
    w.at(0).expect_spawn("web").fails("web", Stage::Exec).exits("web", 33);
    w.at(10).expect_spawn("web");
}

#[test]
fn what_a_job_that_is_not_restarted_leaves_behind_is_left_alone() {
    let mut w = with(&["setup: once", "tunnel"]);
    w.at(0).expect_spawns(&["setup", "tunnel"]);
    w.at(1).leaves_children("setup");
    assert!(!w.world.machine().keeps(101));
    w.world.sessions.insert(102);
    w.at(2).exits("tunnel", 33);
    assert!(!w.world.machine().keeps(102));
    w.at(1000).expect_nothing();
}

#[test]
fn what_a_crashed_job_leaves_behind_is_ended_before_it_starts_again() {
    let mut w = with(&["web"]);
    w.at(0).expect_spawn("web");
    w.at(60).leaves_children("web").expect_session_term("web");
    w.says("sending SIGTERM to what is left of job web [101]");
    assert!(w.world.machine().keeps(101));
    w.at_ms(69_999).expect_nothing();
    w.at(70).expect_session_kill("web").session_goes(101);
    w.says("sending SIGKILL to what is left of job web [101]");
    w.at_ms(70_002).expect_spawn("web");
    assert!(!w.world.machine().keeps(101));
    w.at(1000).expect_nothing();
}

#[test]
fn what_is_left_is_ended_while_a_job_backs_off() {
    let mut w = with(&["web"]);
    w.at(0).expect_spawn("web");
    w.at(1).leaves_children("web").expect_session_term("web");
    w.at(2).session_goes(101);
    w.at(11).expect_spawn("web");
}

#[test]
fn an_adopted_orphan_is_no_concern() {
    let mut w = with(&["tunnel"]);
    w.at(0).expect_spawn("tunnel");
    w.world.end_orphan(4711);
    w.at(1000).expect_nothing();
}

#[test]
fn an_orphan_with_the_old_number_of_a_job_is_no_concern() {
    let mut w = with(&["tunnel"]);
    w.at(0).expect_spawn("tunnel");
    w.at(60).exits("tunnel", 0).expect_spawn("tunnel");
    w.at(61).world.end_orphan(101);
    assert_eq!(w.pid("tunnel"), 102);
    w.at(120).exits("tunnel", 0).expect_spawn("tunnel");
}

#[test]
fn more_processes_come_and_go_than_any_table_holds() {
    let mut w = with(&["tunnel"]);
    for second in 0..3 * MAX_JOBS as u64 {
        w.at(10 * second).expect_spawn("tunnel").exits("tunnel", 0);
    }
}

#[test]
fn a_timer_that_comes_late_starts_each_job_once() {
    let mut w = with(&["a", "b"]);
    w.at(0).expect_spawns(&["a", "b"]);
    w.at(1).exits("a", 1).exits("b", 1);
    w.late_at(86_400).expect_spawns(&["a", "b"]);
    w.at(100_000).expect_nothing();
}

#[test]
fn a_quiet_machine_has_no_deadline() {
    let mut w = with(&["a", "b: once", "c: disable", "d: depends /d"]);
    w.at(0).expect_spawns(&["a", "b"]).exits("b", 0).expect_no_deadline();
}
