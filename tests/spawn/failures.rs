//! Every stage that can be made to fail, by its name and error number.

use std::os::unix::fs::chown;

use super::support::{as_nobody, is_root, World, NOBODY};
use nix::libc;
use pmtr::supervise::Stage;

#[test]
fn a_directory_that_is_missing_or_a_file() {
    let world = World::new();
    world.file("file", "", 0o755);
    assert_eq!(world.failure("dir DIR/no\n cmd /bin/true"), (Stage::Dir, libc::ENOENT));
    assert_eq!(world.failure("dir DIR/file\n cmd /bin/true"), (Stage::Dir, libc::ENOTDIR));
}

#[test]
fn a_user_that_does_not_exist() {
    let failure = World::new().failure("user no-such-user\n cmd /bin/true");
    assert_eq!(failure, (Stage::User, 0));
}

#[test]
fn the_reason_is_told_in_words() {
    let world = World::new();
    let text = |options: &str| world.start(options).wait().failure.unwrap().errno.text.to_string();
    assert_eq!(text("user no-such-user\n cmd /bin/true"), "no such user");
    assert_eq!(text("cmd /no/such/program"), "No such file or directory");
}

#[test]
fn what_only_root_may() {
    let test = "failures::what_only_root_may";
    if !as_nobody(test) {
        return;
    }
    let world = World::new();
    assert_eq!(world.failure("user root\n cmd /bin/true"), (Stage::Gid, libc::EPERM));
    assert_eq!(world.failure("nice -5\n cmd /bin/true"), (Stage::Nice, libc::EACCES));
    for flag in ["-n 2000000", "-r 90", "-e 40"] {
        let failure = world.failure(&format!("ulimit {flag}\n cmd /bin/true"));
        assert_eq!(failure, (Stage::Ulimit, libc::EPERM), "{flag}");
    }
}

#[test]
fn more_files_than_the_kernel_has_for_anybody() {
    // Above fs.nr_open (proc_sys_fs(5)).
    let failure = World::new().failure("ulimit -n 4000000000\n cmd /bin/true");
    assert_eq!(failure, (Stage::Ulimit, libc::EPERM));
}

#[test]
fn files_that_cannot_be_opened() {
    let world = World::new();
    std::fs::create_dir(world.path("d")).unwrap();
    for (option, stage, errno) in [
        ("in DIR/no", Stage::Stdin, libc::ENOENT),
        ("out DIR/d", Stage::Out, libc::EISDIR),
        ("out DIR/no/out", Stage::Out, libc::ENOENT),
        ("err DIR/d", Stage::Err, libc::EISDIR),
        ("err DIR/no/err", Stage::Err, libc::ENOENT),
    ] {
        let failure = world.failure(&format!("{option}\n cmd /bin/true"));
        assert_eq!(failure, (stage, errno), "{option}");
    }
}

#[test]
fn files_that_the_user_may_not_open() {
    if !is_root("files_that_the_user_may_not_open") {
        return;
    }
    let world = World::new();
    world.file("roots", "", 0o600);
    for (option, stage) in
        [("in DIR/roots", Stage::Stdin), ("out DIR/roots", Stage::Out), ("err DIR/new", Stage::Err)]
    {
        let failure = world.failure(&format!("user nobody\n {option}\n cmd /bin/true"));
        assert_eq!(failure, (stage, libc::EACCES), "{option}");
    }
}

#[test]
fn programs_that_cannot_be_run() {
    let world = World::new();
    world.file("plain", "#!/bin/sh\n", 0o644);
    world.file("orphan", "#!/no/such/interpreter\n", 0o755);
    world.file("text", "true\n", 0o755);
    for (program, errno) in [
        ("DIR/no", libc::ENOENT),
        ("DIR", libc::EACCES),
        ("DIR/plain", libc::EACCES),
        ("DIR/orphan", libc::ENOENT),
        ("DIR/text", libc::ENOEXEC),
    ] {
        assert_eq!(world.failure(&format!("cmd {program}")), (Stage::Exec, errno), "{program}");
    }
}

#[test]
fn a_program_that_the_user_may_not_run() {
    if !is_root("a_program_that_the_user_may_not_run") {
        return;
    }
    let world = World::new();
    let program = world.file("roots", "#!/bin/sh\n", 0o700);
    assert_eq!(world.failure("user nobody\n cmd DIR/roots"), (Stage::Exec, libc::EACCES));
    chown(program, Some(NOBODY), None).unwrap();
    world.output("user nobody\n cmd DIR/roots");
}

#[test]
fn of_many_at_once_none_is_lost() {
    let world = World::new();
    let jobs: Vec<_> = (0..100).map(|_| world.start("cmd /no/such/program")).collect();
    let mut expected: Vec<i32> = jobs.iter().map(|job| job.pid).collect();
    let mut told = Vec::new();
    super::support::until(|| {
        told.extend(std::iter::from_fn(|| world.next_failure()).map(|f| f.pid));
        told.len() >= expected.len()
    });
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
    assert!(jobs.into_iter().all(|job| job.wait().failure.is_none()), "told once");
}
