//! The environment and the directory.

use std::collections::BTreeMap;
use std::env;

use super::skip::skipped;
use super::support::{apart, World};

/// The variables that a job with these options sees; none of them twice.
fn variables(world: &World, options: &str) -> BTreeMap<String, String> {
    let output = world.output(&format!("{options}\n cmd /usr/bin/env"));
    let pairs: Vec<_> = output.lines().map(|line| line.split_once('=').unwrap()).collect();
    let map: BTreeMap<_, _> =
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    assert_eq!(map.len(), pairs.len(), "a name is there twice: {output}");
    map
}

fn own() -> BTreeMap<String, String> {
    env::vars().collect()
}

#[test]
fn is_ours_and_that_of_the_file() {
    if !apart("environment::is_ours_and_that_of_the_file", |command| {
        command.env_clear().env("PATH", "/bin:/usr/bin").env("A", "ours").env("B", "ours");
    }) {
        return;
    }
    let seen = variables(&World::new(), "env A=1\n env EMPTY=\n env A=2=3\n env C=x");
    let mut expected = own();
    for (name, value) in [("A", "2=3"), ("EMPTY", ""), ("C", "x")] {
        expected.insert(name.into(), value.into());
    }
    assert_eq!(seen, expected);
}

#[test]
fn is_rid_of_what_speaks_of_pmtr_unless_the_file_says_so() {
    let names = [
        "NOTIFY_SOCKET",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "JOURNAL_STREAM",
    ];
    if !apart("environment::is_rid_of_what_speaks_of_pmtr_unless_the_file_says_so", |command| {
        command.envs(names.map(|name| (name, "1"))).env("LISTEN_FDS_OTHER", "kept");
    }) {
        return;
    }
    assert!(names.iter().all(|name| env::var_os(name).is_some()));
    let mut expected = own();
    expected.retain(|name, _| !names.contains(&name.as_str()));
    expected.insert("NOTIFY_SOCKET".into(), "mine".into());
    assert_eq!(variables(&World::new(), "env NOTIFY_SOCKET=mine"), expected);
}

#[test]
fn of_a_name_that_we_have_twice_the_first_counts() {
    if skipped("of_a_name_that_we_have_twice_the_first_counts") {
        return;
    }
    if std::process::Command::new("python3").arg("-V").output().is_err() {
        return eprintln!("skipped: of_a_name_that_we_have_twice_the_first_counts: needs python3");
    }
    // env(1) sorts such things out; a shell's exec does, too. So: execve(2) with both.
    let script = "import os, sys, ctypes; libc = ctypes.CDLL(None); \
        env = (ctypes.c_char_p * 5)(b'TWICE=1', b'PATH=/bin', b'TWICE=2', b'PMTR_TEST_APART=1', None); \
        argv = (ctypes.c_char_p * 5)(*[a.encode() for a in sys.argv[1:5]]); \
        libc.execve(argv[0], argv, env)";
    if !super::support::apart_under(
        &["/usr/bin/env", "python3", "-c", script],
        "environment::of_a_name_that_we_have_twice_the_first_counts",
        |_| (),
    ) {
        return;
    }
    assert_eq!(variables(&World::new(), "")["TWICE"], "1");
}

/// The bug: all but the first 256 were left out.
#[test]
fn is_all_of_ours_however_large() {
    let count = 20_000;
    if !apart("environment::is_all_of_ours_however_large", |command| {
        command.env_clear().envs((0..count).map(|n| (format!("V{n}"), "x"))).env("ZZ", "last");
    }) {
        return;
    }
    for options in ["", "env MORE=1"] {
        let mut seen = variables(&World::new(), options);
        seen.remove("MORE");
        assert_eq!(seen, own());
        assert!(seen.len() > count && seen["ZZ"] == "last");
    }
}

#[test]
fn may_be_empty() {
    if !apart("environment::may_be_empty", |command| {
        command.env_clear();
    }) {
        return;
    }
    let world = World::new();
    env::vars().for_each(|(name, _)| env::remove_var(name));
    assert_eq!(world.output("cmd /usr/bin/env"), "");
    assert_eq!(world.output("env A=1\n cmd /usr/bin/env"), "A=1\n");
}

#[test]
fn the_job_starts_in_its_directory() {
    let world = World::new();
    let expected = std::fs::canonicalize(world.path(".")).unwrap();
    assert_eq!(world.output("dir DIR\n cmd /bin/pwd -P").trim(), expected.to_str().unwrap());
    let ours = env::current_dir().unwrap();
    assert_eq!(world.output("cmd /bin/pwd -P").trim(), ours.to_str().unwrap());
}
