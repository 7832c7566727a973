//! `in`, `out`, `err`, and the log.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::support::{as_nobody, is_root, World, NOBODY};

#[test]
fn without_options_input_is_empty_and_both_outputs_go_to_the_log() {
    let world = World::new();
    let output = world.output("cmd /bin/sh -c \"cat; readlink /proc/self/fd/0; echo e >&2\"");
    assert_eq!(output, "/dev/null\ne\n");
}

#[test]
fn output_is_appended_to_a_file_made_with_mode_644() {
    let world = World::new();
    for _ in 0..2 {
        assert_eq!(world.output("out DIR/out\n cmd /bin/sh -c \"echo o; echo e >&2\""), "e\n");
    }
    assert_eq!(world.read("out"), "o\no\n");
    assert_eq!(fs::metadata(world.path("out")).unwrap().permissions().mode(), 0o100644);
}

#[test]
fn errors_have_a_file_of_their_own() {
    let world = World::new();
    assert_eq!(world.output("err DIR/err\n cmd /bin/sh -c \"echo o; echo e >&2\""), "o\n");
    assert_eq!(world.read("err"), "e\n");
}

#[test]
fn one_file_for_both_keeps_all_lines() {
    let world = World::new();
    let cmd = "cmd /bin/sh -c \"echo o; echo e >&2; echo p; echo f >&2\"";
    assert_eq!(world.output(&format!("out DIR/both\n err DIR/both\n {cmd}")), "");
    assert_eq!(world.read("both"), "o\ne\np\nf\n");
}

#[test]
fn input_comes_from_a_file() {
    let world = World::new();
    world.file("in", "hello\n", 0o600);
    assert_eq!(world.output("in DIR/in\n cmd /bin/cat"), "hello\n");
}

#[test]
fn relative_paths_start_at_the_directory_of_the_job() {
    let world = World::new();
    world.file("in", "hello\n", 0o600);
    world.output("dir DIR\n in in\n out out\n err err\n cmd /bin/sh -c \"cat; cat no >&2 || :\"");
    assert_eq!(world.read("out"), "hello\n");
    assert!(world.read("err").contains("no"));
}

#[test]
fn files_are_opened_as_the_user_of_the_job() {
    if !is_root("files_are_opened_as_the_user_of_the_job") {
        return;
    }
    let world = World::new();
    fs::create_dir(world.path("theirs")).unwrap();
    std::os::unix::fs::chown(world.path("theirs"), Some(NOBODY), None).unwrap();
    world.output("user nobody\n out DIR/theirs/out\n cmd /bin/echo hello");
    let made = fs::metadata(world.path("theirs/out")).unwrap();
    assert_eq!((made.uid(), made.gid(), made.mode()), (NOBODY, NOBODY, 0o100644));
}

#[test]
fn an_ordinary_user_can_open_standard_output_again() {
    let cmd = "cmd /bin/sh -c \"echo out > /dev/stdout; echo err > /dev/stderr\"";
    assert_eq!(World::new().output(cmd), "out\nerr\n");
    if is_root("an_ordinary_user_can_open_standard_output_again") {
        assert_eq!(World::new().output(&format!("user nobody\n {cmd}")), "out\nerr\n");
    }
}

#[test]
fn so_can_the_jobs_of_a_pmtr_that_is_not_roots() {
    if as_nobody("files::so_can_the_jobs_of_a_pmtr_that_is_not_roots") {
        an_ordinary_user_can_open_standard_output_again();
    }
}
