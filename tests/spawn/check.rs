//! What is told of a configuration before it is used: whatever keeps a job from
//! starting, and nothing else. Each is held against what a start really does.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::skip::emulated;
use super::support::{as_nobody, config, is_root, World};
use pmtr::config::Config;
use pmtr::sys::check::check;

/// The lines and texts of what is told of a configuration.
fn findings(config: &Config) -> Vec<(u32, String)> {
    let mut findings = Vec::new();
    let count = check(config, &mut |line, text| findings.push((line, text.to_string())));
    assert_eq!(count as usize, findings.len());
    // What is not for the processor of these tests starts all the same in QEMU.
    let is_here = |text: &str| text.contains("cmd /bin/") || text.contains("its interpreter /bin/");
    let starts = |text: &str| is_here(text) && text.ends_with("Exec format error");
    findings.retain(|(_, text)| !(emulated() && starts(text)));
    findings
}

/// What is told of a job with these options, in which DIR stands for the
/// directory of the world again.
pub fn told(world: &World, options: &str) -> Vec<String> {
    let dir = world.path("");
    let dir = dir.to_str().unwrap().trim_end_matches('/');
    let text = |(_, text): (u32, String)| {
        let text = text.strip_prefix("job test: ").expect("the job is named").to_string();
        text.replace(dir, "DIR")
    };
    findings(&world.config(options)).into_iter().map(text).collect()
}

/// Both the warning and the start that fails: one is not to be without the other.
fn fails(world: &World, options: &str, expected: &str) {
    assert_eq!(told(world, options), [expected], "{options}");
    assert!(world.start(options).wait().failure.is_some(), "it started: {options}");
}

/// No warning, and no failure either.
fn starts(world: &World, options: &str) {
    assert_eq!(told(world, options), [""; 0], "{options}");
    world.run(options);
}

#[test]
fn nothing_is_told_of_what_starts() {
    let world = World::new();
    world.file("in", "", 0o644);
    world.file("watched", "", 0o644);
    world.file("script", "#! /bin/sh -e\nexit 0\n", 0o755);
    for options in [
        "cmd /bin/true",
        "cmd /bin/sh -c \"exit 3\"",
        "dir DIR\n in in\n out out\n err err\n cmd /bin/true",
        "cmd DIR/script",
        "dir DIR\n cmd ./script",
        "depends {\n DIR/watched\n}\n cmd /bin/true",
        "dir DIR\n depends {\n watched\n}\n cmd /bin/true",
        "ulimit -n 100\n ulimit -c 0\n ulimit -v 1000000000\n nice 3\n cpu 0-1023\n cmd /bin/true",
        "in /dev/null\n out /dev/null\n cmd /bin/true",
    ] {
        starts(&world, options);
    }
    if is_root("a job as nobody") {
        starts(&world, "user nobody\n nice -3\n cmd /bin/true");
    }
}

#[test]
fn job_and_line_are_named_and_disabled_jobs_are_not_looked_at() {
    let config = config(
        "# one\njob {\n name a\n cmd /no/a\n}\njob {\n name b\n disable\n cmd /no/b\n}\n\
         job {\n name c\n dir /no/dir\n cmd /no/c\n}\n",
    );
    let expected = [
        (2, "job a: cmd /no/a: No such file or directory"),
        (11, "job c: dir /no/dir: No such file or directory"),
        (11, "job c: cmd /no/c: No such file or directory"),
    ];
    let told = findings(&config);
    let told: Vec<_> = told.iter().map(|(line, text)| (*line, text.as_str())).collect();
    assert_eq!(told, expected);
}

#[test]
fn programs() {
    let world = World::new();
    world.file("plain", "#!/bin/sh\n", 0o644);
    world.file("text", "exit 0\n", 0o755);
    world.file("empty", "", 0o755);
    world.file("nameless", "#! \n", 0o755);
    world.file("orphan", "#!/no/such -x\n", 0o755);
    world.file("adopted", format!("#!{}\n", world.path("orphan").display()), 0o755);
    world.file("directed", "#!/tmp\n", 0o755);
    for (cmd, expected) in [
        ("DIR/no", "DIR/no: No such file or directory"),
        ("DIR/plain", "DIR/plain: Permission denied"),
        ("DIR/plain/x", "DIR/plain/x: Not a directory"),
        ("DIR", "DIR: Is a directory"),
        ("/dev/null", "/dev/null: Permission denied"),
        ("DIR/orphan", "DIR/orphan: its interpreter /no/such: No such file or directory"),
        ("DIR/adopted", "DIR/adopted: its interpreter /no/such: No such file or directory"),
        ("DIR/directed", "DIR/directed: its interpreter /tmp: Is a directory"),
        ("DIR/nameless", "DIR/nameless: Exec format error"),
        ("DIR/text", "DIR/text: Exec format error"),
        ("DIR/empty", "DIR/empty: Exec format error"),
    ] {
        fails(&world, &format!("cmd {cmd}"), &format!("cmd {expected}"));
    }
}

#[test]
fn a_script_that_runs_itself() {
    let world = World::new();
    let own = world.path("own");
    world.file("own", format!("#!{}\n", own.display()), 0o755);
    let expected = "cmd DIR/own: Too many levels of symbolic links";
    fails(&world, "cmd DIR/own", expected);
}

#[test]
fn a_program_whose_loader_is_missing() {
    let world = World::new();
    // This one is for the processor that it runs on, and dynamic.
    let mut program = fs::read(std::env::current_exe().unwrap()).unwrap();
    let loader = program.windows(8).position(|bytes| bytes == b"/ld-linu").expect("a dynamic one");
    program[loader + 1] = b'n';
    let start = program[..loader].iter().rposition(|byte| *byte == 0).unwrap() + 1;
    let end = loader + program[loader..].iter().position(|byte| *byte == 0).unwrap();
    let name = String::from_utf8(program[start..end].to_vec()).unwrap();
    world.file("program", &program, 0o755);
    let expected = format!("cmd DIR/program: its interpreter {name}: No such file or directory");
    fails(&world, "cmd DIR/program", &expected);
}

#[test]
fn a_program_for_another_processor() {
    let world = World::new();
    let mut program = fs::read("/bin/true").unwrap();
    let (machine, none) = (18, [0, 0]); // e_machine, EM_NONE (elf(5))
    program[machine..machine + 2].copy_from_slice(&none);
    world.file("program", &program, 0o755);
    fails(&world, "cmd DIR/program", "cmd DIR/program: Exec format error");
}

#[test]
fn directories_and_what_is_relative_to_them() {
    let world = World::new();
    world.file("file", "", 0o755);
    fails(&world, "dir DIR/no\n cmd /bin/true", "dir DIR/no: No such file or directory");
    fails(&world, "dir DIR/file\n cmd /bin/true", "dir DIR/file: Not a directory");
    let lost = "dir DIR/no\n in in\n out d/out\n depends {\n x\n}\n cmd /bin/true";
    fails(&world, lost, "dir DIR/no: No such file or directory");
}

#[test]
fn files() {
    let world = World::new();
    fs::create_dir(world.path("d")).unwrap();
    for (options, expected) in [
        ("in DIR/no", "in DIR/no: No such file or directory"),
        ("out DIR/d", "out DIR/d: Is a directory"),
        ("out DIR/no/out", "out DIR/no/out: No such file or directory"),
        ("err DIR/d", "err DIR/d: Is a directory"),
        ("err DIR/no/err", "err DIR/no/err: No such file or directory"),
    ] {
        fails(&world, &format!("{options}\n cmd /bin/true"), expected);
    }
}

#[test]
fn nothing_is_made() {
    let world = World::new();
    let options = "out DIR/out\n err DIR/err\n cmd /bin/touch DIR/touched";
    assert_eq!(told(&world, options), [""; 0]);
    assert_eq!(fs::read_dir(world.path("")).unwrap().count(), 0);
}

#[test]
fn what_it_depends_on() {
    let world = World::new();
    fs::create_dir(world.path("d")).unwrap();
    let told = told(&world, "dir DIR\n depends {\n no\n DIR/d\n}\n cmd /bin/true");
    let when = "it starts when that is there";
    assert_eq!(
        told,
        [
            format!("depends on no: No such file or directory; {when}"),
            "depends on DIR/d: Is a directory; it never starts: name the files in it".to_string(),
        ]
    );
}

#[test]
fn users() {
    let world = World::new();
    fails(&world, "user no-such\n cmd /bin/true", "user no-such: no such user");
    fails(&world, "user root:no-such\n cmd /bin/true", "user root:no-such: no such group");
}

#[test]
fn cpus() {
    let world = World::new();
    let options = "cpu 1000-1023\n cmd /bin/true";
    assert_eq!(told(&world, options), ["cpu: there is no such CPU; it runs on any"]);
    world.run(options);
}

#[test]
fn limits() {
    let world = World::new();
    let options = "ulimit -n 4000000000\n cmd /bin/true";
    fails(&world, options, "ulimit -n 4000000000: Operation not permitted");
}

const OTHER: &str = "only root can start a job with other ids or groups than its own";

#[test]
fn what_only_root_may() {
    let test = "check::what_only_root_may";
    if !as_nobody(test) {
        return;
    }
    let world = World::new();
    for (option, expected) in [
        ("user root", &*format!("user root: {OTHER}")),
        ("user nobody:root", &format!("user nobody:root: {OTHER}")),
        ("nice -5", "nice -5: Permission denied"),
        ("ulimit -n 2000000", "ulimit -n 2000000: Operation not permitted"),
        ("ulimit -r 90", "ulimit -r 90: Operation not permitted"),
        ("out /etc/new", "out /etc/new: Permission denied"),
        ("in /etc/shadow", "in /etc/shadow: Permission denied"),
    ] {
        fails(&world, &format!("{option}\n cmd /bin/true"), expected);
    }
    starts(&world, "user nobody\n cmd /bin/true");
    starts(&world, "nice 0\n ulimit -n 10\n ulimit -n 20\n cmd /bin/true");
}

#[test]
fn what_the_user_of_the_job_may_not() {
    if !is_root("what_the_user_of_the_job_may_not") {
        return;
    }
    let world = World::new();
    world.file("roots", "#!/bin/sh\n", 0o700);
    fs::create_dir(world.path("closed")).unwrap();
    fs::set_permissions(world.path("closed"), Permissions::from_mode(0o700)).unwrap();
    world.file("closed/script", "#!/bin/sh\n", 0o755);
    world.file("executable", "#!/bin/sh\n", 0o711);
    for (options, expected) in [
        ("in DIR/roots", "in DIR/roots: Permission denied"),
        ("out DIR/roots", "out DIR/roots: Permission denied"),
        ("err DIR/new", "err DIR/new: Permission denied"),
        ("out DIR/closed/new", "out DIR/closed/new: Permission denied"),
    ] {
        fails(&world, &format!("user nobody\n {options}\n cmd /bin/true"), expected);
        assert_eq!(told(&world, &format!("{options}\n cmd /bin/true")), [""; 0], "as root");
    }
    for program in ["DIR/roots", "DIR/closed/script"] {
        let expected = format!("cmd {program}: Permission denied");
        fails(&world, &format!("user nobody\n cmd {program}"), &expected);
        starts(&world, &format!("cmd {program}"));
    }
    starts(&world, "user nobody\n dir DIR/closed\n cmd /bin/true");
    starts(&world, "user nobody\n cmd DIR/executable"); // it is another matter what the shell makes of it
}

#[test]
fn everything_at_once() {
    let world = World::new();
    let options = "dir DIR/no\n user no-such\n in DIR/in\n ulimit -n 4000000000\n cmd /no";
    assert_eq!(told(&world, options).len(), 5);
}
