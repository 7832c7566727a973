//! Starting, restarting, stopping: the manual's "wait/once", "bounce every" and
//! "Job exits", and what the compatibility list says under "Running".

mod common;

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use common::process::{self, gone, send};
use common::{
    alive, children_of, eventually, job, needs_jobs, needs_root, patiently, skipped, sleepers,
    World, LONG,
};
use nix::sys::signal::Signal::{self, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM, SIGUSR1};

/// The jobs in the order in which they were started.
fn order_of_starts(world: &World) -> Vec<String> {
    let words = |text: &str| text.split(' ').nth(2).map(String::from);
    world.log().own("started job").iter().filter_map(|record| words(&record.text)).collect()
}

/// The time from one record to another lies between so many seconds.
fn assert_between(from: u64, to: u64, what: &str, took: Duration) {
    let to = common::stretched(to);
    assert!(Duration::from_secs(from) <= took && took < to, "{what} took {took:?}");
}

// Order of starting.

#[test]
fn all_jobs_are_started_in_the_order_of_the_file() {
    let world = World::with(&sleepers("one two three four"));
    world.started("four");
    assert_eq!(order_of_starts(&world), ["one", "two", "three", "four"]);
}

#[test]
fn order_goes_before_the_order_of_the_file() {
    let sleep = |name, order| job(name, &format!("cmd /bin/sleep 1000\n  {order}"));
    let config = [
        sleep("last", "order 2"),
        sleep("third", ""),
        sleep("second", "order -1"),
        sleep("fourth", "order 0"),
        sleep("first", "order -10"),
    ];
    let world = World::with(&config.concat());
    world.started("last");
    assert_eq!(order_of_starts(&world), ["first", "second", "third", "fourth", "last"]);
}

// wait and once

/// A job that ends when the file NAME.go appears.
fn until_go(name: &str, options: &str) -> String {
    let script = format!("until [ -e $DIR/{name}.go ]; do sleep 0.02; done; echo done");
    job(name, &format!("cmd /bin/sh -c \"{script}\"\n  {options}"))
}

#[test]
fn wait_pauses_the_startup_of_subsequent_jobs() {
    let world = World::with(&(until_go("setup", "wait\n  once") + &sleepers("later")));
    world.log().wait_for("pausing for job setup to finish");
    world.fence();
    assert_eq!(world.starts("later"), 0);
    world.file("setup.go", "");
    let finished = world.log().wait_for("job setup finished");
    world.log().wait_after(&finished, "started job later [");
}

#[test]
fn waiting_jobs_run_one_after_the_other() {
    let config = [until_go("one", "wait\n  once"), until_go("two", "wait\n  once"), sleepers("c")];
    let world = World::with(&config.concat());
    world.file("one.go", "");
    world.log().wait_for("pausing for job two to finish");
    world.fence();
    assert_eq!(world.starts("c"), 0);
    world.file("two.go", "");
    world.started("c");
    assert_eq!(order_of_starts(&world), ["one", "two", "c"]);
}

#[test]
fn the_waiting_of_a_disabled_job_holds_nothing_back() {
    let world = World::with(&(until_go("setup", "wait\n  once\n  disable") + &sleepers("later")));
    world.started("later");
}

#[test]
fn edits_are_applied_while_a_wait_job_runs() {
    let earlier = |options| job("earlier", &format!("cmd /bin/sleep 1000\n  {options}"));
    let rest = until_go("setup", "wait\n  once") + &sleepers("later");
    let world = World::with(&(earlier("") + &sleepers("leaves") + &rest));
    world.log().wait_for("pausing for job setup to finish");
    let (old, leaves) = (world.pid_of("earlier"), world.pid_of("leaves"));
    world.config(&(earlier("env NEW=1") + &rest));
    world.restarted("earlier", old);
    gone(leaves);
    assert_eq!((world.starts("setup"), world.starts("later")), (1, 0));
    world.file("setup.go", "");
    world.started("later");
}

#[test]
fn output_and_ends_of_jobs_are_logged_while_a_wait_job_runs() {
    let world = World::with(&(until_go("talks", "once") + &until_go("setup", "wait\n  once")));
    world.log().wait_for("pausing for job setup to finish");
    world.file("talks.go", "");
    world.log().wait_line("talks", "done");
    world.exited("talks");
    assert!(world.log().own("job setup finished").is_empty());
}

#[test]
fn jobs_are_restarted_while_a_wait_job_runs() {
    let world = World::with(&(sleepers("crashes") + &until_go("setup", "wait\n  once")));
    world.log().wait_for("pausing for job setup to finish");
    send(world.pid_of("crashes"), SIGKILL);
    world.log().within(LONG).wait_nth("started job crashes [", 2);
    assert!(world.log().own("job setup finished").is_empty());
}

#[test]
fn signals_are_heard_while_a_wait_job_runs() {
    let mut world = World::with(&until_go("setup", "wait\n  once"));
    world.log().wait_for("pausing for job setup to finish");
    world.fence();
    assert_eq!(world.stop(), Some(0));
    assert_eq!(world.processes(), []);
}

#[test]
fn a_wait_job_that_is_changed_meanwhile_is_waited_for_anew() {
    let setup = |options| until_go("setup", &format!("wait\n  once\n  {options}"));
    let world = World::with(&(setup("") + &sleepers("later")));
    world.log().wait_for("pausing for job setup to finish");
    let old = world.pid_of("setup");
    world.config(&(setup("env NEW=1") + &sleepers("later")));
    world.restarted("setup", old);
    world.log().wait_nth("pausing for job setup to finish", 2);
    world.fence();
    assert_eq!(world.starts("later"), 0);
    world.file("setup.go", "");
    world.started("later");
}

/// Later jobs start when an edit makes the file say `text` while a `wait` job runs.
fn releases(text: &str) {
    let world = World::with(&(until_go("setup", "wait\n  once") + &sleepers("later")));
    world.log().wait_for("pausing for job setup to finish");
    world.config(&(text.to_string() + &sleepers("later")));
    world.started("later");
}

#[test]
fn later_jobs_start_when_the_wait_job_is_deleted() {
    releases("");
}

#[test]
fn later_jobs_start_when_the_wait_job_is_disabled() {
    releases(&until_go("setup", "wait\n  once\n  disable"));
}

#[test]
fn later_jobs_start_when_the_job_is_no_wait_job_any_more() {
    releases(&until_go("setup", "once"));
}

#[test]
fn later_jobs_start_when_the_wait_job_cannot_be_started() {
    let setup = job("setup", "cmd /no/such/program\n  wait\n  once");
    World::with(&(setup + &sleepers("later"))).started("later");
}

#[test]
fn later_jobs_start_when_the_wait_job_lacks_a_file_that_it_depends_on() {
    let setup = job("setup", "cmd /bin/true\n  wait\n  once\n  depends {\n    $DIR/none\n  }");
    World::with(&(setup + &sleepers("later"))).started("later");
}

#[test]
fn once_and_exit_status_33_mean_no_restart() {
    let ends = |name, status, options| {
        job(name, &format!("cmd /bin/sh -c \"exit {status}\"\n  {options}"))
    };
    let config = [
        ends("once", 0, "once"),
        ends("once-failing", 1, "once"),
        ends("thirty-three", 33, ""),
        ends("restarted", 0, ""),
    ];
    let world = World::with(&config.concat());
    for name in ["once", "once-failing", "thirty-three"] {
        world.exited(name);
    }
    // By then the others would have been as well: they were started before it.
    world.log().within(LONG).wait_nth("started job restarted [", 2);
    world.fence();
    let starts = ["once", "once-failing", "thirty-three"].map(|name| world.starts(name));
    assert_eq!(starts, [1, 1, 1]);
}

// Jobs that exit on their own.

#[test]
fn a_job_that_exited_within_10_s_is_restarted_10_s_later() {
    let world = World::with(&job("a", "cmd /bin/sh -c \"exit 1\""));
    let exit = world.exited("a");
    let start = world.log().within(LONG).wait_after(&exit, "started job a [");
    assert_between(9, 13, "the restart", start.at - exit.at);
}

#[test]
fn a_job_that_lived_for_10_s_is_restarted_at_once() {
    let world = World::with(&job("a", "cmd /bin/sleep 10.1"));
    let exit = world.log().within(LONG).wait_exit("a");
    assert!(exit.text.contains("exited after 1"), "{exit:?}");
    let start = world.log().wait_after(&exit, "started job a [");
    assert_between(0, 1, "the restart", start.at - exit.at);
}

#[test]
fn a_wait_job_without_once_is_restarted_after_10_s_too() {
    let world = World::with(&(job("a", "cmd /bin/sh -c \"exit 0\"\n  wait") + &sleepers("b")));
    let finished = world.log().wait_for("job a finished");
    world.log().wait_after(&finished, "started job b [");
    let start = world.log().within(LONG).wait_after(&finished, "started job a [");
    assert_between(9, 13, "the restart", start.at - finished.at);
    assert_eq!(world.starts("a"), 2);
}

#[test]
fn a_job_that_a_signal_ended_is_restarted_as_well() {
    let world = World::with(&sleepers("a"));
    send(world.pid_of("a"), SIGKILL);
    let exit = world.exited("a");
    assert!(exit.text.ends_with("signal 9"), "{exit:?}");
    world.log().within(LONG).wait_after(&exit, "started job a [");
}

#[test]
fn a_job_that_a_real_time_signal_ended_is_not_lost() {
    if skipped("a_job_that_a_real_time_signal_ended_is_not_lost") {
        return;
    }
    let world = World::with(&sleepers("a"));
    let pid = world.running("a");
    let arguments = ["-40".to_string(), pid.to_string()];
    assert!(Command::new("/bin/kill").args(arguments).status().unwrap().success());
    let exit = world.exited("a");
    assert!(exit.text.ends_with("signal 40"), "{exit:?}");
}

#[test]
fn what_a_job_that_exited_by_itself_left_behind_is_left_alone() {
    let leave = "cmd /bin/sh -c \"sleep 1000 & echo $!; exit 0\"";
    let world = World::with(&(job("setup", &format!("{leave}\n  once")) + &sleepers("b")));
    world.exited("setup");
    eventually("the line with the pid", || !world.log().lines("setup").is_empty());
    let left: i32 = world.log().lines("setup")[0].parse().unwrap();
    // pmtr has other things to do meanwhile, such as stopping and starting.
    let old = world.pid_of("b");
    world.config(&(job("setup", &format!("{leave}\n  once")) + &job("b", "cmd /bin/sleep 1001")));
    world.restarted("b", old);
    assert!(alive(left));
}

// How pmtr kills a job.

/// A job that ignores SIGTERM, and says when it does.
fn stubborn(name: &str) -> String {
    let script = "trap '' TERM; echo deaf; while :; do sleep 0.1; done";
    job(name, &format!("cmd /bin/sh -c \"{script}\""))
}

#[test]
fn a_job_is_sent_sigterm_then_sigkill_10_s_later() {
    let world = World::with(&(stubborn("a") + &sleepers("b")));
    world.log().wait_line("a", "deaf");
    let pid = world.pid_of("a");
    world.config(&sleepers("b"));
    let term = world.log().wait_for(&format!("sending SIGTERM to job a [{pid}]"));
    // Neither edits nor signals make it wait anew.
    patiently(LONG, "the middle of the grace time", || {
        (term.at.elapsed() > Duration::from_secs(6)).then_some(())
    });
    world.config(&sleepers("b c"));
    world.started("c");
    world.signal(SIGHUP);
    assert!(alive(pid));
    let kill = world.log().within(LONG).wait_for(&format!("sending SIGKILL to job a [{pid}]"));
    assert_between(9, 13, "SIGKILL", kill.at - term.at);
    gone(pid);
    world.log().wait_for(&format!("job a [{pid}] exited after"));
    assert_eq!(world.log().own("sending SIGTERM to job a").len(), 1);
}

#[test]
fn a_job_that_heeds_sigterm_is_not_sent_sigkill() {
    let script = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.02; done";
    let world = World::with(&(job("a", &format!("cmd /bin/sh -c \"{script}\"")) + &sleepers("b")));
    world.log().wait_line("a", "up");
    world.config(&sleepers("b"));
    world.log().wait_line("a", "bye");
    let exit = world.exited("a");
    assert!(exit.text.ends_with("exit status 0"), "{exit:?}");
    assert!(world.log().own("SIGKILL").is_empty());
}

/// A job that starts a process in the background and waits for it.
fn with_child(name: &str, before: &str) -> String {
    let script = format!("{before}sleep 1000 & echo $!; wait");
    job(name, &format!("cmd /bin/sh -c \"{script}\""))
}

/// The process that a job told in its first line.
fn told_pid(world: &World, job: &str) -> i32 {
    patiently(common::SHORT, "the line with a pid", || world.log().lines(job).first()?.parse().ok())
}

#[test]
fn what_is_left_of_a_stopped_jobs_group_is_killed() {
    let world = World::with(&(with_child("a", "") + &sleepers("b")));
    let child = told_pid(&world, "a");
    assert_eq!(process::group(child), world.pid_of("a"));
    world.config(&sleepers("b"));
    gone(child);
}

#[test]
fn what_is_left_of_a_restarted_jobs_group_is_gone_before_its_next_start() {
    let world = World::with(&with_child("a", "trap '' HUP; "));
    let (old, child) = (world.pid_of("a"), told_pid(&world, "a"));
    world.config(&with_child("a", "trap '' INT; "));
    world.restarted("a", old);
    assert!(!alive(child));
}

#[test]
fn a_job_stopped_to_be_restarted_starts_at_once() {
    let world = World::with(&sleepers("a"));
    let old = world.pid_of("a");
    world.config(&job("a", "cmd /bin/sleep 1001"));
    let term = world.log().wait_for(&format!("sending SIGTERM to job a [{old}]"));
    let start = world.log().wait_after(&term, "started job a [");
    assert_between(0, 2, "the restart", start.at - term.at);
}

// bounce every

#[test]
fn bounce_every_restarts_on_a_periodic_interval() {
    let world = World::with(&(job("a", "cmd /bin/sleep 1000\n  bounce every 1s") + &sleepers("b")));
    let starts = [1, 2, 3, 4].map(|n| world.log().wait_nth("started job a [", n));
    for old in &starts[..3] {
        world.log().wait_for(&format!("sending SIGTERM to job a [{}]", old.job_pid()));
    }
    // Of all three: on a busy machine one is seen late, and the next then comes soon.
    let took = starts[3].at - starts[0].at;
    assert!(took > Duration::from_millis(2_100) && took < common::stretched(9), "{took:?}");
    assert_eq!(world.starts("b"), 1);
}

// Shutdown.

/// What pmtr does when this signal is to end it.
fn ends_with(signal: Signal) {
    let mut world = World::with(&(with_child("a", "") + &sleepers("b c")));
    let child = told_pid(&world, "a");
    world.running("c");
    world.signal(signal);
    let sent = std::time::Instant::now();
    assert_eq!(world.wait(), Some(0));
    assert_between(0, 1, "the end", sent.elapsed());
    world.log().wait_for(&format!("pmtr: exiting on signal {}", signal as i32));
    for name in ["a", "b", "c"] {
        let pid = world.pid_of(name);
        world.log().wait_for(&format!("sending SIGTERM to job {name} [{pid}]"));
        assert!(!alive(pid));
    }
    assert!(!alive(child));
    assert_eq!(world.processes(), []);
}

#[test]
fn sigterm_ends_pmtr_and_all_that_it_started() {
    ends_with(SIGTERM);
}

#[test]
fn sigint_ends_pmtr_and_all_that_it_started() {
    ends_with(SIGINT);
}

#[test]
fn sigquit_ends_pmtr_and_all_that_it_started() {
    ends_with(SIGQUIT);
}

#[test]
fn shutdown_waits_for_a_job_that_cleans_up() {
    let script =
        "trap 'sleep 1; echo clean > $DIR/clean; exit' TERM; echo up; while :; do sleep 0.02; done";
    let mut world = World::with(&job("a", &format!("cmd /bin/sh -c \"{script}\"")));
    world.log().wait_line("a", "up");
    assert_eq!(world.stop(), Some(0));
    assert_eq!(world.read("clean"), "clean\n");
    assert_eq!(world.processes(), []);
}

#[test]
fn shutdown_kills_what_ignores_sigterm_after_10_s() {
    let mut world = World::with(&(stubborn("a") + &sleepers("b")));
    world.log().wait_line("a", "deaf");
    world.signal(SIGTERM);
    let term = world.log().wait_for("sending SIGTERM to job a [");
    // A second request neither hastens nor delays it.
    world.signal(SIGTERM);
    assert_eq!(world.wait(), Some(0));
    let kill = world.log().wait_for("sending SIGKILL to job a [");
    assert_between(9, 13, "SIGKILL", kill.at - term.at);
    assert_between(0, 1, "the end after it", kill.at.elapsed());
    assert_eq!(world.processes(), []);
}

#[test]
fn shutdown_does_not_start_what_is_due() {
    let mut world = World::with(&(until_go("setup", "wait\n  once") + &sleepers("later")));
    world.log().wait_for("pausing for job setup to finish");
    assert_eq!(world.stop(), Some(0));
    assert_eq!(world.starts("later"), 0);
}

#[test]
fn sigusr1_does_not_end_pmtr() {
    let mut world = World::with(&sleepers("a"));
    let pid = world.pid_of("a");
    world.signal(SIGUSR1);
    world.fence();
    assert!(world.is_up() && alive(pid));
}

// One process, one loop.

#[test]
fn pmtr_is_one_process() {
    let mut world = World::new();
    world.file("dep", "");
    world.config(&job("a", "cmd /bin/sleep 1000\n  depends {\n    $DIR/dep\n  }"));
    world.start();
    let a = world.running("a");
    assert_eq!(children_of(world.pid()), [a]);
    // A program that is just being executed has no environment to be known by.
    eventually("the job's environment", || world.processes().contains(&a));
    let mut all = world.processes();
    all.sort();
    let mut expected = [world.pid(), a];
    expected.sort();
    assert_eq!(all, expected);
}

/// How often pmtr has gone to sleep so far.
fn sleeps(world: &World) -> String {
    process::status(world.pid(), "voluntary_ctxt_switches")
}

/// Waits until pmtr sleeps for a whole second: it has done all that it had to.
fn falls_asleep(world: &World) {
    patiently(LONG, "pmtr going to sleep", || {
        let before = sleeps(world);
        std::thread::sleep(Duration::from_secs(1));
        (before == sleeps(world)).then_some(())
    });
}

#[test]
fn no_wake_up_without_a_reason() {
    let world = World::undisturbed(&sleepers("a b c"));
    world.running("c");
    falls_asleep(&world);
    let before = sleeps(&world);
    // Longer than the 10 s after which the original wakes up.
    std::thread::sleep(Duration::from_secs(11));
    assert_eq!(sleeps(&world), before);
}

#[test]
fn a_job_that_closes_its_output_wakes_nobody() {
    let world = World::undisturbed(&job("a", "cmd /bin/sh -c \"exec sleep 1000 >&- 2>&-\""));
    world.running("a");
    falls_asleep(&world);
}

#[test]
fn a_syslog_that_does_not_read_wakes_nobody() {
    let mut world = World::with(&job("a", "cmd /usr/bin/yes"));
    world.running("a");
    world.syslog().stall();
    falls_asleep(&world);
}

#[test]
fn a_stderr_that_is_closed_wakes_nobody() {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    let mut world = World::new().stderr_to(writer);
    world.config(&sleepers("a"));
    world.start();
    drop(reader);
    world.config(&sleepers("a b"));
    world.started("b");
    falls_asleep(&world);
}

#[test]
fn a_failed_fork_is_logged_and_tried_again() {
    if needs_root("a_failed_fork_is_logged_and_tried_again") {
        return;
    }
    let mut world = World::new();
    world.config(&sleepers("a"));
    world.start_as_user(65534);
    let a = world.running("a");
    let (soft, _) = process::limits(world.pid(), "Max processes");
    limit_processes(&world, "0");
    world.config(&sleepers("a b"));
    let failure = world.log().wait_for("job b: ");
    assert!(failure.text.contains("Resource temporarily unavailable"));
    limit_processes(&world, &soft);
    world.log().within(LONG).wait_for("started job b [");
    assert!(alive(a));
}

/// Sets the number of processes that pmtr's user may have when pmtr asks.
fn limit_processes(world: &World, number: &str) {
    let arguments = [format!("--nproc={number}:"), format!("--pid={}", world.pid())];
    // As that user: another one's limits only the privileged may set.
    let done = Command::new("prlimit").args(arguments).uid(65534).gid(65534).status();
    assert!(done.expect("prlimit").success());
}

#[test]
fn six_hundred_jobs_run_and_end() {
    if needs_jobs("six_hundred_jobs_run_and_end", 600) {
        return;
    }
    // Each has a pipe: far more than the usual limit of open files.
    let mut world = World::new().wrapped_in(&["prlimit", "--nofile=256:"]);
    let names: Vec<_> = (0..600).map(|n| format!("job{n}")).collect();
    let run = "cmd /bin/sh -c \"echo up; exec sleep 1000\"";
    world.config(&names.iter().map(|name| job(name, run)).collect::<String>());
    world.start();
    for name in &names {
        world.log().within(LONG).wait_line(name, "up");
    }
    assert_eq!(children_of(world.pid()).len(), 600);
    assert_eq!(world.stop(), Some(0));
    assert_eq!(world.processes(), []);
}

#[test]
fn jobs_start_whatever_there_is_about_udp() {
    let busy = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    let udp = format!("report to udp://no-such-host.invalid:9\nlisten on udp://127.0.0.1:{port}\n");
    let mut world = World::with(&(udp + &sleepers("a")));
    world.started("a");
    world.fence();
    assert_eq!(world.stop(), Some(0));
}

#[test]
fn an_orphan_of_a_job_is_no_concern_of_the_supervisor() {
    // It is the same group, and ends after its job has been started again.
    let script = "(until [ -e $DIR/go ]; do sleep 0.02; done) & exit 33";
    let mut world =
        World::with(&(job("a", &format!("cmd /bin/sh -c \"{script}\"")) + &sleepers("b")));
    world.exited("a");
    world.file("go", "");
    world.fence();
    assert!(world.is_up());
    assert_eq!(world.stop(), Some(0));
}
