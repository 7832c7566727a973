//! Manual, "Operator notes"; compat.md, "Running".

use crate::expect::{text, with, Scenario};
use crate::world::What;

#[test]
fn a_newly_added_job_gets_started() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a");
    w.at(5).reload(&["a", "b"]).expect_spawn("b");
}

#[test]
fn a_deleted_job_is_terminated() {
    let mut w = with(&["a", "b"]);
    w.at(0).expect_spawns(&["a", "b"]);
    w.at(5).reload(&["a"]).expect_term("b").dies("b", 15);
    w.at(1000).expect_nothing();
}

#[test]
fn a_changed_job_is_restarted_with_its_new_configuration() {
    let mut w = with(&["a: nice 1", "b"]);
    w.at(0).expect_spawns(&["a", "b"]);
    w.at(5).reload(&["a: nice 2", "b"]).expect_term("a");
    w.at(6).dies("a", 15).expect_spawn("a");
    assert_eq!(nice(&w, "a"), 2);
}

#[test]
fn a_change_of_any_option_restarts_the_job() {
    let options = [
        "nice 5",
        "dir /d",
        "out /o",
        "err /e",
        "in /i",
        "user u",
        "env A=1",
        "cpu 0",
        "order 1",
        "ulimit -n 30",
        "bounce every 1d",
        "depends /f",
        "wait",
        "once",
        "cmd /bin/other",
    ];
    for option in options {
        let (old, new) = (job("a", ""), job("a", option));
        let mut w = crate::expect::with_text(&old, &["/f"]);
        w.at(0).expect_spawn("a");
        w.world.reload(&new);
        w.expect_term("a").dies("a", 15).expect_spawn("a");
        w.world.reload(&old);
        w.expect_term("a").dies("a", 15).expect_spawn("a");
    }
}

/// A job with a program of its own unless `option` names another.
fn job(name: &str, option: &str) -> String {
    let option = option.replace("depends /f", "depends {\n/f\n}");
    let cmd = if option.starts_with("cmd") { String::new() } else { format!("cmd /bin/{name}") };
    format!("job {{\nname {name}\n{cmd}\n{option}\n}}\n")
}

#[test]
fn an_unchanged_job_keeps_its_process() {
    let mut w = with(&["a", "b: nice 3", "c"]);
    w.at(0).expect_spawns(&["a", "b", "c"]);
    w.at(1).reload(&["a", "b: nice 3", "c"]).expect_nothing();
    w.at(2).reload(&["new", "c", "b: nice 3", "a"]).expect_spawn("new");
    w.world.reload(&format!("# elsewhere\n\n\n{}", text(&["c", "b: nice 3", "a", "new"])));
    w.at(1000).expect_nothing();
}

#[test]
fn an_unchanged_job_that_waits_for_its_restart_goes_on_waiting() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a");
    w.at(3).exits("a", 1);
    w.at(5).reload(&["a"]);
    w.at(9).reload(&["a"]);
    w.at(12).expect_nothing();
    w.at(13).expect_spawn("a");
}

#[test]
fn a_changed_job_that_waits_for_its_restart_starts_at_once() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a");
    w.at(3).exits("a", 1);
    w.at(5).reload(&["a: nice 5"]).expect_spawn("a");
    w.at(1000).expect_nothing();
}

#[test]
fn a_refused_configuration_changes_nothing() {
    let mut w = with(&["a", "b: bounce every 1m", "c", "d: disable", "e"]);
    w.at(0).expect_spawns(&["a", "b", "c", "e"]);
    w.at(3).exits("a", 1);
    w.at(4).reload(&["a", "b: bounce every 1m", "d: disable", "e: nice 1"]);
    w.expect_term("c").expect_term("e");
    let before = w.world.fingerprint();
    assert!(!w.world.parse("job {\n name a\n nonsense\n}\n"));
    assert!(!w.world.parse(&(text(&["z"]) + "job {\n")));
    assert_eq!(w.world.fingerprint(), before);
    w.at(5).expect_nothing().dies("e", 15).expect_spawn("e");
    w.at(13).expect_spawn("a");
    w.at(14).expect_kill("c");
    w.at(60).expect_term("b");
}

#[test]
fn a_good_configuration_after_a_refused_one_counts() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a");
    assert!(!w.world.parse(&(text(&["z"]) + "nonsense\n")));
    w.at(1).reload(&["a", "b"]).expect_spawn("b");
}

#[test]
fn two_saves_half_a_second_apart_both_count() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a");
    w.at_ms(1_000).reload(&["a", "b"]).expect_spawn("b");
    w.at_ms(1_500).reload(&["a", "b", "c"]).expect_spawn("c");
}

#[test]
fn a_running_job_that_becomes_once_runs_once_with_its_new_definition() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a");
    w.at(60).reload(&["a: once"]).expect_term("a").dies("a", 15).expect_spawn("a");
    w.at(120).exits("a", 0);
    w.at(1000).expect_nothing();
}

#[test]
fn a_running_once_job_that_changes_runs_once_with_its_new_definition() {
    let mut w = with(&["a: once, nice 1"]);
    w.at(0).expect_spawn("a");
    w.at(60).reload(&["a: once, nice 2"]).expect_term("a").dies("a", 15).expect_spawn("a");
    assert_eq!(nice(&w, "a"), 2);
    w.at(120).exits("a", 0);
    w.at(1000).expect_nothing();
}

#[test]
fn a_once_job_that_is_done_runs_again_when_it_changes_and_only_then() {
    let mut w = with(&["a: once", "b"]);
    w.at(0).expect_spawns(&["a", "b"]).exits("a", 0);
    w.at(60).reload(&["a: once", "b: nice 1"]).expect_term("b").dies("b", 15).expect_spawn("b");
    w.at(120).reload(&["a: once, nice 1", "b: nice 1"]).expect_spawn("a");
    w.at(121).exits("a", 0);
    w.at(1000).expect_nothing();
}

#[test]
fn exit_status_33_at_the_sigterm_of_a_change_is_about_the_old_definition() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a");
    w.at(5).reload(&["a: nice 1"]).expect_term("a").exits("a", 33).expect_spawn("a");
}

#[test]
fn a_job_that_is_done_by_status_33_runs_again_when_it_changes() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a").exits("a", 33);
    w.at(5).reload(&["a: nice 1"]).expect_spawn("a");
}

#[test]
fn a_job_removed_and_added_again_while_it_is_being_stopped_runs_once_again() {
    for again in ["a", "a: nice 7"] {
        let mut w = with(&["a", "b"]);
        w.at(0).expect_spawns(&["a", "b"]);
        w.at(5).reload(&["b"]).expect_term("a");
        w.at(6).reload(&["b", again]).expect_nothing();
        w.at(8).dies("a", 15).expect_spawn("a");
        w.at(1000).expect_nothing();
    }
}

#[test]
fn a_job_removed_added_and_removed_again_while_it_is_being_stopped_is_gone() {
    let mut w = with(&["a", "b"]);
    w.at(0).expect_spawns(&["a", "b"]);
    w.at(5).reload(&["b"]).expect_term("a");
    w.at(6).reload(&["a", "b"]);
    w.at(7).reload(&["b"]);
    w.at(8).dies("a", 15);
    w.at(1000).expect_nothing();
}

#[test]
fn a_job_changed_twice_while_it_is_being_stopped_runs_with_its_last_definition() {
    let mut w = with(&["a: nice 1"]);
    w.at(0).expect_spawn("a");
    w.at(5).reload(&["a: nice 2"]).expect_term("a");
    w.at(6).reload(&["a: nice 3"]);
    w.at(8).dies("a", 15).expect_spawn("a");
    assert_eq!(nice(&w, "a"), 3);
    w.at(1000).expect_nothing();
}

#[test]
fn a_job_changed_back_while_it_is_being_stopped_is_restarted_all_the_same() {
    let mut w = with(&["a: nice 1"]);
    w.at(0).expect_spawn("a");
    w.at(5).reload(&["a: nice 2"]).expect_term("a");
    w.at(6).reload(&["a: nice 1"]);
    w.at(8).dies("a", 15).expect_spawn("a");
    assert_eq!(nice(&w, "a"), 1);
}

#[test]
fn a_job_changed_while_its_session_is_being_ended_runs_with_its_last_definition() {
    let mut w = with(&["a: nice 1"]);
    w.at(0).expect_spawn("a");
    w.at(5).reload(&["a: nice 2"]).expect_term("a");
    w.leaves_children("a").expect_session_term("a");
    w.reload(&["a: nice 3"]).session_goes(101);
    w.at_ms(5_002).expect_spawn("a");
    assert_eq!(nice(&w, "a"), 3);
}

#[test]
fn a_job_removed_while_its_session_is_being_ended_is_forgotten_afterwards() {
    let mut w = with(&["a: nice 1"]);
    w.at(0).expect_spawn("a");
    w.at(5).reload(&["a: nice 2"]).expect_term("a");
    w.leaves_children("a").expect_session_term("a");
    w.reload(&[]).session_goes(101);
    w.at(1000).expect_nothing().expect_no_deadline();
}

#[test]
fn disable_in_the_file_stops_a_job_and_its_end_starts_it() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a");
    w.at(5).reload(&["a: disable"]).expect_term("a").dies("a", 15);
    w.at(100).expect_nothing();
    w.at(200).reload(&["a"]).expect_spawn("a");
}

#[test]
fn a_disabled_job_is_not_started() {
    let mut w = with(&["a: disable", "b"]);
    w.at(0).expect_spawn("b");
    w.at(5).reload(&["a: disable", "b", "c: disable"]).expect_nothing();
    w.at(6).reload(&["a: disable, nice 1", "b", "c: disable"]).expect_nothing();
    w.at(1000).expect_nothing().expect_no_deadline();
}

#[test]
fn a_job_disabled_and_enabled_in_the_file_while_it_is_being_stopped_runs() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a");
    w.at(5).reload(&["a: disable"]).expect_term("a");
    w.at(6).reload(&["a"]);
    w.at(7).dies("a", 15).expect_spawn("a");
}

#[test]
fn a_job_changed_and_then_disabled_while_it_is_being_stopped_stays_down() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a");
    w.at(5).reload(&["a: nice 1"]).expect_term("a");
    w.at(6).reload(&["a: disable"]);
    w.at(7).dies("a", 15);
    w.at(1000).expect_nothing();
}

#[test]
fn a_job_disabled_while_it_waits_for_its_restart_is_not_restarted() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a").exits("a", 1);
    w.at(5).reload(&["a: disable"]);
    w.at(1000).expect_nothing().expect_no_deadline();
}

#[test]
fn a_job_that_waits_for_its_restart_is_deleted() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a").exits("a", 1);
    w.at(5).reload(&[]);
    w.at(1000).expect_nothing().expect_no_deadline();
}

#[test]
fn a_file_without_jobs_is_as_good_as_any() {
    let mut w = with(&[]);
    w.at(5).reload(&["a"]).expect_spawn("a");
    w.at(6).reload(&[]).expect_term("a").dies("a", 15);
    w.at(1000).expect_nothing().expect_no_deadline();
}

#[test]
fn a_change_while_a_process_fails_before_its_program_is_a_change() {
    let mut w = with(&["a: dir /wrong"]);
    w.at(0).expect_spawn("a").fails("a", pmtr::supervise::Stage::Dir);
    w.reload(&["a: dir /right"]).expect_term("a");
    w.exits("a", 127).expect_spawn("a");
}

#[test]
fn a_stale_name_of_a_job_finds_nothing() {
    let mut w = with(&["a"]);
    w.at(0).expect_spawn("a");
    let old = w.world.find("a").unwrap();
    w.at(5).reload(&[]).expect_term("a").dies("a", 15);
    w.at(6).reload(&["b"]).expect_spawn("b");
    assert!(w.world.machine().spec(old).is_none());
    assert_eq!(w.world.machine().name(old).to_string(), "");
    assert_eq!(old.slot(), w.world.find("b").unwrap().slot(), "b has the row that a had");
}

#[test]
fn rows_of_jobs_that_come_and_go_are_used_again() {
    let mut w = with(&[]);
    w.world.is_obedient = true;
    for turn in 0..50 {
        let names: Vec<String> = (0..20).map(|n| format!("job{}", turn * 20 + n)).collect();
        w.skip().world.reload(&text(&names));
        let slots = names.iter().map(|name| w.world.find(name).unwrap().slot());
        assert!(slots.max() < Some(40), "twenty that go, twenty that come");
    }
    let live = w.world.processes.len();
    assert_eq!(live, 20);
    let exits = w.world.history.iter().filter(|entry| matches!(entry.what, What::Ended { .. }));
    assert_eq!(exits.count(), 49 * 20);
    w.skip();
}

fn nice(w: &Scenario, name: &str) -> i8 {
    let machine = w.world.machine();
    machine.spec(w.world.find(name).unwrap()).unwrap().nice()
}
