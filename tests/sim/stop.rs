//! Manual, "How pmtr kills a job"; compat.md, "Running".

use crate::expect::{with, Scenario};
use crate::world::What;

/// A world with one job that was told to go at second 5, in any of the ways there are.
fn told_to_go(option: &str, how: impl FnOnce(&mut Scenario)) -> Scenario {
    let mut w = with(&[&format!("tunnel{option}"), "other"]);
    w.at(0).expect_spawns(&["tunnel", "other"]);
    how(w.at(5));
    w.expect_term("tunnel").says("sending SIGTERM to job tunnel [101]");
    w
}

fn deleted(w: &mut Scenario) {
    w.reload(&["other"]);
}

fn disabled(w: &mut Scenario) {
    w.reload(&["tunnel: disable", "other"]);
}

fn altered(w: &mut Scenario) {
    w.reload(&["tunnel: nice 5", "other"]);
}

fn nothing(_: &mut Scenario) {}

/// What a job has besides its name, and what then makes it go.
type Way = (&'static str, fn(&mut Scenario));

fn all_ways() -> [Way; 4] {
    [("", deleted), ("", disabled), ("", altered), (": bounce every 5s", nothing)]
}

#[test]
fn a_job_is_terminated_when_it_is_deleted() {
    let mut w = told_to_go("", deleted);
    w.at(6).dies("tunnel", 15).says("job tunnel [101] exited after 6 sec: signal 15");
    w.at(1000).expect_nothing();
}

#[test]
fn a_job_is_terminated_when_it_is_disabled() {
    let mut w = told_to_go("", disabled);
    w.at(6).dies("tunnel", 15);
    w.at(1000).expect_nothing();
}

#[test]
fn a_job_is_terminated_when_it_is_altered() {
    let mut w = told_to_go("", altered);
    w.at(6).dies("tunnel", 15).expect_spawn("tunnel");
}

#[test]
fn a_job_is_terminated_when_it_is_bounced() {
    let mut w = told_to_go(": bounce every 5s", nothing);
    w.says("bouncing job tunnel");
    w.at(6).dies("tunnel", 15).expect_spawn("tunnel");
    w.at(11).expect_term("tunnel");
}

#[test]
fn jobs_are_terminated_when_pmtr_is_shut_down() {
    let mut w = with(&["tunnel", "other"]);
    w.at(0).expect_spawns(&["tunnel", "other"]);
    w.at(5).shut_down(15).expect_term("tunnel").expect_term("other");
    w.at(6).dies("tunnel", 15).dies("other", 15).expect_exit();
}

#[test]
fn sigkill_comes_ten_seconds_after_sigterm_whatever_it_was_for() {
    for (option, how) in all_ways() {
        let mut w = told_to_go(option, how);
        w.at_ms(14_999).expect_nothing();
        w.at(15).expect_kill("tunnel").says("sending SIGKILL to job tunnel [101]");
    }
}

#[test]
fn sigkill_does_not_come_if_the_job_is_gone() {
    for (option, how) in all_ways() {
        let mut w = told_to_go(option, how);
        w.at_ms(14_999).dies("tunnel", 15).skip();
        w.at_ms(19_998).expect_nothing();
    }
}

#[test]
fn sigkill_comes_in_time_whatever_reloads_happen_between() {
    let mut w = told_to_go("", altered);
    w.at(7).reload(&["tunnel: nice 6", "other"]);
    w.at(9).reload(&["tunnel: nice 6", "other"]);
    w.at(11).reload(&["other"]);
    w.at_ms(14_500).reload(&["tunnel", "other"]);
    w.at(15).expect_kill("tunnel");
    w.at(16).dies("tunnel", 9).expect_spawn("tunnel");
}

#[test]
fn sigkill_comes_once() {
    let mut w = told_to_go("", altered);
    w.at(15).expect_kill("tunnel");
    w.at(17).reload(&["tunnel: nice 7", "other"]);
    w.at(18).disable("tunnel");
    w.at(1000).expect_nothing();
}

#[test]
fn a_late_timer_sends_sigkill_when_it_comes() {
    let mut w = told_to_go("", altered);
    w.late_at(3600).expect_kill("tunnel");
}

#[test]
fn a_job_that_was_stopped_to_be_restarted_starts_at_once() {
    let mut w = with(&["tunnel"]);
    w.at(0).expect_spawn("tunnel");
    w.at(1).reload(&["tunnel: nice 5"]).expect_term("tunnel");
    w.at(2).dies("tunnel", 15).expect_spawn("tunnel");
}

#[test]
fn a_job_that_exits_before_it_gets_its_sigterm_is_stopped() {
    let mut w = with(&["tunnel"]);
    w.at(0).expect_spawn("tunnel");
    w.at(1).at_once(|w| {
        w.reload(&["tunnel: nice 5"]).exits("tunnel", 1);
    });
    w.expect_spawn("tunnel");
}

#[test]
fn a_process_that_outlives_sigkill_is_told_once() {
    let mut w = told_to_go("", altered);
    w.at(15).expect_kill("tunnel");
    w.at(25).says("job tunnel [101] is still there after SIGKILL");
    w.at(10_000).expect_nothing().expect_no_deadline();
    assert_eq!(w.said("is still there"), 1);
    w.dies("tunnel", 9).expect_spawn("tunnel");
}

#[test]
fn what_is_left_of_the_session_gets_sigterm_once_the_job_is_gone() {
    let mut w = told_to_go("", altered);
    w.at(6).leaves_children("tunnel").expect_session_term("tunnel");
    w.says("sending SIGTERM to what is left of job tunnel [101]").session_goes(101);
    w.at_ms(6_002).expect_spawn("tunnel");
}

#[test]
fn what_is_left_of_the_session_gets_sigkill_ten_seconds_after_the_first_sigterm() {
    let mut w = told_to_go("", altered);
    w.at(6).leaves_children("tunnel").expect_session_term("tunnel");
    w.at_ms(14_999).expect_nothing();
    w.at(15).expect_session_kill("tunnel").session_goes(101);
    w.says("sending SIGKILL to what is left of job tunnel [101]");
    w.at_ms(15_002).expect_spawn("tunnel");
}

#[test]
fn what_a_killed_job_leaves_is_killed_at_once_as_its_time_is_over() {
    let mut w = told_to_go("", altered);
    w.at(15).expect_kill("tunnel");
    w.at(16).leaves_children("tunnel").expect_session_kill("tunnel");
    w.session_goes(101);
    w.at_ms(16_002).expect_spawn("tunnel");
}

#[test]
fn a_job_is_not_restarted_while_its_old_session_is_there() {
    let mut w = told_to_go("", altered);
    w.at(6).leaves_children("tunnel").expect_session_term("tunnel");
    w.at(10).session_goes(101).at_ms(10_094).expect_spawn("tunnel");
    let checks = |what: &What| matches!(what, What::SessionChecked { .. });
    let checks = w.world.history.iter().filter(|entry| checks(&entry.what)).count();
    assert!((10..30).contains(&checks), "{checks} checks in four seconds");
}

#[test]
fn a_session_that_does_not_go_is_told_and_given_up() {
    let mut w = told_to_go("", altered);
    w.at(6).leaves_children("tunnel").skip();
    w.world.pass_until(crate::world::BEGIN + crate::world::secs(30));
    assert_eq!(w.said("job tunnel: processes of session 101 are still there after SIGKILL"), 1);
    assert!((10..60).contains(&w.session_kills()), "{} kills", w.session_kills());
    assert_eq!(w.said("started job tunnel"), 2);
    w.skip().at(1000).expect_nothing();
}

#[test]
fn the_number_of_a_session_that_has_gone_may_be_that_of_a_new_job() {
    let mut w = told_to_go("", altered);
    w.at(6).leaves_children("tunnel").expect_session_term("tunnel");
    // The last of the session ends unseen, and the kernel hands its number out again.
    w.session_goes(101).world.numbers.push(101);
    w.at_ms(6_001).reload(&["tunnel: nice 5", "other", "new"]);
    w.expect_spawn("new").expect_spawn("tunnel");
    assert_eq!(w.pid("new"), 101);
    w.at(1000).expect_nothing();
}

#[test]
fn a_renamed_job_starts_when_the_old_one_is_gone() {
    let renamed = "job {\nname new\ncmd /bin/old -v\n}\njob {\nname other\ncmd /bin/other\n}\n";
    let mut w = with(&["old"]);
    w.at(0).expect_spawn("old");
    w.at(5).reload_text(renamed).expect_term("old").expect_spawn("other");
    w.says("job new waits for the end of job old, which runs the same program");
    w.at(8).leaves_children("old").expect_session_term("old");
    w.at(9).session_goes(101).at_ms(9_022).expect_spawn("new");
    w.at(1000).expect_nothing();
}

#[test]
fn a_renamed_job_holds_the_jobs_behind_it_back_if_they_wait_for_it() {
    let renamed = "job {\nname new\ncmd /bin/old\nwait\n}\njob {\nname b\ncmd /bin/b\n}\n";
    let mut w = with(&["old"]);
    w.at(0).expect_spawn("old");
    w.at(5).reload_text(renamed).expect_term("old");
    w.at(8).dies("old", 15).expect_spawn("new");
    w.at(9).exits("new", 0).expect_spawn("b");
    w.at(19).expect_spawn("new");
}

#[test]
fn a_job_that_yields_can_be_disabled_and_taken_out() {
    let renamed = "job {\nname new\ncmd /bin/old\n}\n";
    let mut w = with(&["old"]);
    w.at(0).expect_spawn("old");
    w.at(5).reload_text(renamed).expect_term("old");
    w.disable("new").enable("new").reload(&["other"]).expect_spawn("other");
    w.at(8).dies("old", 15).at(1000).expect_nothing();
}

#[test]
fn each_job_has_its_own_ten_seconds() {
    let mut w = with(&["a", "b", "c"]);
    w.at(0).expect_spawns(&["a", "b", "c"]);
    w.at(1).reload(&["b", "c"]).expect_term("a");
    w.at(4).reload(&["c"]).expect_term("b");
    w.at(5).reload(&[]).expect_term("c");
    w.at(11).expect_kill("a");
    w.at(14).expect_kill("b");
    w.at(15).expect_kill("c");
    w.at(16).dies("a", 9).dies("b", 9).dies("c", 9).expect_no_deadline();
}
