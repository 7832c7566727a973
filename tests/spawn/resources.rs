//! Limits, priority, CPUs.

use std::fs;
use std::os::unix::process::CommandExt;

use super::skip::skipped;
use super::support::{apart, as_nobody, as_nobody_with, field, is_root, may_raise_limits, World};
use nix::libc;
use nix::sys::resource::{getrlimit, setrlimit, Resource};
use pmtr::supervise::{ExitStatus, Stage};
use pmtr::sys::spawn::{raise_file_limit, Limit};

/// Soft and hard limit in a line of /proc/PID/limits (proc_pid_limits(5)).
fn limit(limits: &str, name: &str) -> [String; 2] {
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let mut words = line.split_whitespace().map(String::from);
    [words.next().unwrap(), words.next().unwrap()]
}

/// Flags and values, and the name in /proc/PID/limits.
const ALL_BUT_MEMORY: [(&str, u64, &str); 11] = [
    ("-c", 1000, "Max core file size"),
    ("-e", 21, "Max nice priority"),
    ("-f", 9_000_000_000, "Max file size"),
    ("-i", 22, "Max pending signals"),
    ("-l", 3000, "Max locked memory"),
    ("-m", 4000, "Max resident set"),
    ("-n", 23, "Max open files"),
    ("-q", 5000, "Max msgqueue size"),
    ("-r", 24, "Max realtime priority"),
    ("-t", 25, "Max cpu time"),
    ("-u", 26, "Max processes"),
];

const MEMORY: [(&str, u64, &str); 3] = [
    ("-d", 1_000_000_000, "Max data size"),
    ("-s", 2_000_000, "Max stack size"),
    ("-v", 5_000_000_000, "Max address space"),
];

#[test]
fn all_limits_are_set_soft_and_hard() {
    let mut all = ALL_BUT_MEMORY;
    if !may_raise_limits("raising -e and -r from 0") {
        all.iter_mut().filter(|(flag, ..)| ["-e", "-r"].contains(flag)).for_each(|row| row.1 = 0);
    }
    are_set(&all);
}

#[test]
fn all_limits_of_memory_are_set() {
    if !skipped("all_limits_of_memory_are_set") {
        are_set(&MEMORY);
    }
}

fn are_set(rows: &[(&str, u64, &str)]) {
    let options: String =
        rows.iter().map(|(flag, value, _)| format!("ulimit {flag} {value}\n ")).collect();
    let limits = World::new().output(&format!("{options}cmd /bin/cat /proc/self/limits"));
    for (flag, value, name) in rows {
        assert_eq!(limit(&limits, name), [value.to_string(), value.to_string()], "{flag}");
    }
}

#[test]
fn infinity_is_no_limit() {
    let options = "ulimit -c infinity\n ulimit -f infinity";
    let limits = World::new().output(&format!("{options}\n cmd /bin/cat /proc/self/limits"));
    for name in ["Max core file size", "Max file size"] {
        assert_eq!(limit(&limits, name), ["unlimited", "unlimited"]);
    }
}

#[test]
fn of_a_limit_that_is_given_twice_the_last_counts_for_an_ordinary_user_too() {
    let test = "resources::of_a_limit_that_is_given_twice_the_last_counts_for_an_ordinary_user_too";
    if as_nobody(test) {
        let limits =
            World::new().output("ulimit -u 200\n ulimit -u 3000\n cmd /bin/cat /proc/self/limits");
        assert_eq!(limit(&limits, "Max processes"), ["3000", "3000"]);
    }
}

#[test]
fn the_limit_on_open_files_is_put_back() {
    let world = World::with_files(Limit { soft: 30, hard: 40 });
    let limits = world.output("cmd /bin/cat /proc/self/limits");
    assert_eq!(limit(&limits, "Max open files"), ["30", "40"]);
}

#[test]
fn a_job_of_another_user_can_have_more_files_than_pmtr() {
    if !may_raise_limits("a_job_of_another_user_can_have_more_files_than_pmtr") {
        return;
    }
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let more = (hard + 1).to_string();
    let limits = World::new()
        .output(&format!("user nobody\n ulimit -n {more}\n cmd /bin/cat /proc/self/limits"));
    assert_eq!(limit(&limits, "Max open files"), [more.clone(), more]);
}

#[test]
fn a_job_can_have_3_files_only() {
    // Room for 0, 1, 2. The dynamic loader is the first to find that too few: it runs, then.
    let world = World::new();
    world.file("in", "", 0o644);
    let ended = world.run("ulimit -n 3\n in DIR/in\n out DIR/out\n cmd /bin/cat");
    assert_eq!(ended.status, ExitStatus::Code(127));
    assert!(ended.output.contains("error while loading shared libraries"), "{}", ended.output);
    let limits = world.output("ulimit -n 4\n cmd /bin/cat /proc/self/limits");
    assert_eq!(limit(&limits, "Max open files"), ["4", "4"]);
}

#[test]
fn tight_limits_on_memory_and_files_do_not_get_in_the_way_of_the_start() {
    if !is_root("tight_limits_on_memory_and_files_do_not_get_in_the_way_of_the_start") {
        return;
    }
    // What becomes of the program then is another matter.
    let tight = "ulimit -d 0\n ulimit -f 0\n ulimit -l 0\n ulimit -c 0\n ulimit -n 0";
    World::new().run(&format!("user nobody\n {tight}\n cmd /bin/true"));
}

#[test]
fn our_own_limit_on_files_is_raised_to_what_we_need() {
    if !apart("resources::our_own_limit_on_files_is_raised_to_what_we_need", |_| ()) {
        return;
    }
    setrlimit(Resource::RLIMIT_NOFILE, 64, 128).unwrap();
    assert_eq!(raise_file_limit(), Limit { soft: 64, hard: 128 });
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if may_raise_limits("raising the hard limit on files") {
        assert!(soft > pmtr::limits::MAX_STREAMS as libc::rlim_t);
        assert_eq!(soft, hard);
    } else {
        assert_eq!((soft, hard), (128, 128));
    }
}

#[test]
fn or_as_far_as_an_ordinary_user_may() {
    if as_nobody("resources::or_as_far_as_an_ordinary_user_may") {
        setrlimit(Resource::RLIMIT_NOFILE, 64, 128).unwrap();
        assert_eq!(raise_file_limit(), Limit { soft: 64, hard: 128 });
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (128, 128));
    }
}

#[test]
fn more_files_than_we_need_stay() {
    if apart("resources::more_files_than_we_need_stay", |_| ()) {
        let more = pmtr::limits::MAX_STREAMS as u64 + 1000;
        let both = (more as libc::rlim_t, more as libc::rlim_t + 1);
        setrlimit(Resource::RLIMIT_NOFILE, both.0, both.1).unwrap();
        assert_eq!(raise_file_limit(), Limit { soft: more, hard: more + 1 });
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), both);
    }
}

#[test]
fn nice_is_set_and_0_by_default() {
    if !is_root("nice_is_set_and_0_by_default") {
        return;
    }
    let inherited = 5;
    if !apart("resources::nice_is_set_and_0_by_default", |command| nicely(command, inherited)) {
        return;
    }
    let world = World::new();
    for (option, expected) in [("", "0"), ("nice 0", "0"), ("nice 7", "7"), ("nice -20", "-20")] {
        let nice = world.output(&format!("{option}\n cmd /usr/bin/nice"));
        assert_eq!(nice.trim(), expected, "{option}");
    }
}

#[test]
fn an_ordinary_user_stays_as_nice_unless_nice_is_asked_for() {
    let test = "resources::an_ordinary_user_stays_as_nice_unless_nice_is_asked_for";
    if !as_nobody_with(test, |command| nicely(command, 5)) {
        return;
    }
    let world = World::new();
    assert_eq!(world.output("cmd /usr/bin/nice").trim(), "5");
    assert_eq!(world.output("nice 6\n cmd /usr/bin/nice").trim(), "6");
    assert_eq!(world.failure("nice 4\n cmd /bin/true"), (Stage::Nice, libc::EACCES));
}

fn nicely(command: &mut std::process::Command, nice: i32) {
    // SAFETY: one system call.
    unsafe {
        command.pre_exec(move || {
            libc::setpriority(libc::PRIO_PROCESS, 0, nice);
            Ok(())
        })
    };
}

fn cpus_of(options: &str) -> String {
    let status = World::new().output(&format!("{options}\n cmd /bin/cat /proc/self/status"));
    field(&status, "Cpus_allowed_list").to_string()
}

#[test]
fn runs_on_the_cpus_that_it_is_told_to() {
    // Not every machine has CPU 0 for us; the last one that we may use will do as well.
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let all = field(&own, "Cpus_allowed_list").to_string();
    let last = all.rsplit([',', '-']).next().unwrap();
    assert_eq!(cpus_of(&format!("cpu {last}")), last);
    assert_eq!(cpus_of(&format!("cpu {last},1000-1023")), last, "absent ones are ignored");
    assert_eq!(cpus_of(""), all);
}

#[test]
fn a_set_of_absent_cpus_is_none() {
    let own = fs::read_to_string("/proc/self/status").unwrap();
    assert_eq!(cpus_of("cpu 1000-1023"), field(&own, "Cpus_allowed_list"));
}
