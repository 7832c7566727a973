//! The truth of `-t --strict`: it exits with 0 only if a start would start every enabled job.
//! Each way in which a start fails is asked for twice: `-t` has to tell it, and the start of
//! the same file has to fail in it; else the first would prove nothing.

mod common;

use std::fs;
use std::os::unix::fs::{chown, symlink, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::Command;

use common::{eventually, job, needs_root, process, skipped, World};
use nix::sys::signal::{signal, SigHandler, Signal};
use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo};

const NOBODY: u32 = 65534;

/// Asks for all `cases`, pairs of a job's lines and the stage in which its start fails.
fn each_is_told_and_fails(mut world: World, cases: &[(&str, &str)]) {
    for (lines, _) in cases {
        world.config(&job("a", lines));
        let test = world.run(&["-t", "--strict"]);
        assert_eq!(test.status, Some(1), "{lines}: {}", test.said());
        assert!(test.said().contains("job a: "), "{lines}: {}", test.said());
    }
    let name = |n: usize| format!("case{n}");
    let jobs = cases.iter().enumerate().map(|(n, (lines, _))| job(&name(n), lines));
    world.config(&jobs.collect::<String>());
    let told = world.run(&["-t", "--strict"]).said();
    world.start();
    for (n, (lines, stage)) in cases.iter().enumerate() {
        let start = format!("job {}: ", name(n));
        assert_eq!(told.matches(&start).count(), 1, "{lines}: {told}");
        let failure = world.log().wait_for(&start);
        assert!(failure.text.starts_with(&format!("{start}{stage}")), "{lines}: {}", failure.text);
    }
}

/// And what starts is good.
fn each_is_good_and_starts(mut world: World, cases: &[&str]) {
    let name = |n: usize| format!("case{n}");
    let jobs = cases.iter().enumerate().map(|(n, lines)| job(&name(n), lines));
    world.config(&jobs.collect::<String>());
    let test = world.run(&["-t", "--strict"]);
    assert_eq!((test.status, test.said().as_str()), (Some(0), ""));
    world.start();
    for (n, lines) in cases.iter().enumerate() {
        world.exited(&name(n));
        let failures = world.log().own(&format!("job {}: ", name(n)));
        assert!(failures.is_empty(), "{lines}: {failures:?}");
    }
}

/// Copies a program and changes some bytes of it. Not by this process: see `World::script`.
fn patched(world: &World, name: &str, from: &str, at: usize, bytes: &[u8]) {
    let mut program = fs::read(from).expect("a program");
    program[at..at + bytes.len()].copy_from_slice(bytes);
    plain(world, name, &program, 0o755);
}

fn plain(world: &World, name: &str, bytes: &[u8], mode: u32) {
    let draft = world.path("draft");
    fs::write(&draft, bytes).expect("a draft");
    let copied = Command::new("cp").arg(&draft).arg(world.path(name)).status();
    assert!(copied.expect("cp").success());
    set_mode(&world.path(name), mode);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

fn dir(world: &World, name: &str, mode: u32) {
    fs::create_dir(world.path(name)).expect("mkdir");
    set_mode(&world.path(name), mode);
}

#[test]
fn programs() {
    let world = World::new();
    plain(&world, "plain", b"#!/bin/true\n", 0o644);
    plain(&world, "text", b"exit 0\n", 0o755);
    plain(&world, "empty", b"", 0o755);
    plain(&world, "orphan", b"#!/no/such\n", 0o755);
    plain(&world, "nameless", b"#!\n", 0o755);
    plain(&world, "of-a-text", format!("#!{}\n", world.path("text").display()).as_bytes(), 0o755);
    symlink("no", world.path("dangling")).unwrap();
    symlink("loop", world.path("loop")).unwrap();
    mkfifo(&world.path("fifo"), Mode::from_bits_truncate(0o777)).unwrap();
    let long = format!("cmd $DIR/{}", "x".repeat(256));
    let cases = [
        "cmd $DIR/no",
        "cmd $DIR/plain",
        "cmd $DIR/plain/x",
        "cmd $DIR",
        "cmd $DIR/fifo",
        "cmd /dev/null",
        "cmd $DIR/text",
        "cmd $DIR/empty",
        "cmd $DIR/orphan",
        "cmd $DIR/nameless",
        "cmd $DIR/of-a-text",
        "cmd $DIR/dangling",
        "cmd $DIR/loop",
        &long,
    ];
    each_is_told_and_fails(world, &cases.map(|lines| (lines, "executing ")));
}

#[test]
fn programs_that_only_the_kernel_can_judge() {
    if skipped("programs_that_only_the_kernel_can_judge") {
        return;
    }
    // Offsets of a file header's fields (elf(5)): e_machine, e_type, e_phnum.
    let is_64 = cfg!(target_pointer_width = "64");
    let (machine, kind, rows) = (18, 16, if is_64 { 56 } else { 44 });
    let world = World::new();
    patched(&world, "other-processor", "/bin/true", machine, &[0, 0]);
    patched(&world, "object", "/bin/true", kind, &1u16.to_ne_bytes()); // ET_REL
    patched(&world, "core", "/bin/true", kind, &4u16.to_ne_bytes()); // ET_CORE
    patched(&world, "no-segments", "/bin/true", rows, &[0, 0]);
    let head = fs::read("/bin/true").unwrap();
    plain(&world, "cut-off", &head[..100], 0o755);
    plain(&world, "of-a-broken-one", b"#!./object\n", 0o755);
    let cases = [
        ("cmd $DIR/other-processor", "executing "),
        ("cmd $DIR/object", "executing "),
        ("cmd $DIR/core", "executing "),
        ("cmd $DIR/no-segments", "executing "),
        ("cmd $DIR/cut-off", "executing "),
        ("dir $DIR\n  cmd ./of-a-broken-one", "executing "),
    ];
    each_is_told_and_fails(world, &cases);
}

#[test]
fn more_words_than_a_program_can_be_given() {
    if skipped("more_words_than_a_program_can_be_given") {
        return;
    }
    // One string may have 128 KiB (execve(2), "Limits on size of arguments and environment").
    let long = format!("env A={}\n  cmd /bin/true", "x".repeat(140_000));
    each_is_told_and_fails(World::new(), &[(&long, "executing ")]);
}

#[test]
fn directories_and_files() {
    if skipped("directories_and_files") {
        return;
    }
    let world = World::new();
    plain(&world, "file", b"", 0o644);
    dir(&world, "d", 0o755);
    symlink("no/such", world.path("dangling")).unwrap();
    symlink("loop", world.path("loop")).unwrap();
    let _socket = UnixListener::bind(world.path("socket")).unwrap();
    let long = format!("out $DIR/{}\n  cmd /bin/true", "x".repeat(256));
    let cases = [
        ("dir $DIR/no\n  cmd /bin/true", "changing directory to"),
        ("dir $DIR/file\n  cmd /bin/true", "changing directory to"),
        ("dir $DIR/loop\n  cmd /bin/true", "changing directory to"),
        ("in $DIR/no\n  cmd /bin/true", "opening in"),
        ("in $DIR/loop\n  cmd /bin/true", "opening in"),
        ("in $DIR/socket\n  cmd /bin/true", "opening in"),
        ("in /dev/tty\n  cmd /bin/true", "opening in"),
        ("out $DIR/d\n  cmd /bin/true", "opening out"),
        ("out $DIR/new/\n  cmd /bin/true", "opening out"),
        ("out $DIR/no/new\n  cmd /bin/true", "opening out"),
        ("out $DIR/file/new\n  cmd /bin/true", "opening out"),
        ("out $DIR/dangling\n  cmd /bin/true", "opening out"),
        ("out $DIR/loop\n  cmd /bin/true", "opening out"),
        ("out $DIR/socket\n  cmd /bin/true", "opening out"),
        ("out /dev/tty\n  cmd /bin/true", "opening out"),
        (&long, "opening out"),
        ("err $DIR/d\n  cmd /bin/true", "opening err"),
        ("err $DIR/no/new\n  cmd /bin/true", "opening err"),
    ];
    each_is_told_and_fails(world, &cases);
}

#[test]
fn users_and_limits() {
    if skipped("users_and_limits") {
        return;
    }
    let cases = [
        ("user no-such\n  cmd /bin/true", "looking up user"),
        ("ulimit -n 4000000000\n  cmd /bin/true", "setting ulimit"),
    ];
    each_is_told_and_fails(World::new(), &cases);
}

#[test]
fn what_only_root_may() {
    if needs_root("what_only_root_may") {
        return;
    }
    let mut world = World::new();
    world.config("");
    world.become_user(NOBODY);
    plain(&world, "roots", b"#!/bin/true\n", 0o700);
    dir(&world, "closed", 0o700);
    let cases = [
        ("user root\n  cmd /bin/true", "setting group id"),
        ("nice -5\n  cmd /bin/true", "setting nice"),
        ("ulimit -n 2000000\n  cmd /bin/true", "setting ulimit"),
        ("ulimit -r 90\n  cmd /bin/true", "setting ulimit"),
        ("ulimit -e 40\n  cmd /bin/true", "setting ulimit"),
        ("in /etc/shadow\n  cmd /bin/true", "opening in"),
        ("out /etc/new\n  cmd /bin/true", "opening out"),
        ("err /etc/new\n  cmd /bin/true", "opening err"),
        ("dir $DIR/closed\n  cmd /bin/true", "changing directory to"),
        ("cmd $DIR/roots", "executing "),
    ];
    each_is_told_and_fails(world, &cases);
}

#[test]
fn what_the_user_of_a_job_may_not() {
    if needs_root("what_the_user_of_a_job_may_not") {
        return;
    }
    let world = World::new();
    plain(&world, "roots", b"#!/bin/true\n", 0o700);
    dir(&world, "closed", 0o700);
    plain(&world, "closed/program", b"#!/bin/true\n", 0o755);
    plain(&world, "of-roots", format!("#!{}\n", world.path("roots").display()).as_bytes(), 0o755);
    symlink("closed/new", world.path("into-closed")).unwrap();
    let cases = [
        ("user nobody\n  cmd $DIR/roots", "executing "),
        ("user nobody\n  cmd $DIR/closed/program", "executing "),
        ("user nobody\n  cmd $DIR/of-roots", "executing "),
        ("user nobody\n  in $DIR/roots\n  cmd /bin/true", "opening in"),
        ("user nobody\n  in $DIR/closed/program\n  cmd /bin/true", "opening in"),
        ("user nobody\n  out $DIR/roots\n  cmd /bin/true", "opening out"),
        ("user nobody\n  err $DIR/new\n  cmd /bin/true", "opening err"),
        ("user nobody\n  out $DIR/into-closed\n  cmd /bin/true", "opening out"),
    ];
    each_is_told_and_fails(world, &cases);
}

#[test]
fn limits_that_leave_no_room_for_the_program() {
    let name = "limits_that_leave_no_room_for_the_program";
    if needs_root(name) {
        return;
    }
    // Two processes of nobody are one too many for a third (execve(2), EAGAIN).
    let others = "user nobody\n  cmd /bin/sleep 1000";
    let others = job("other", others) + &job("another", others);
    let world = World::with(&others);
    world.running("other");
    world.running("another");
    world.config(&(others + &job("a", "user nobody\n  ulimit -u 1\n  cmd /bin/true")));
    let failure = world.log().wait_for("job a: ");
    assert!(failure.text.starts_with("job a: executing "), "{}", failure.text);
    let test = world.run(&["-t", "--strict"]);
    assert_eq!(test.status, Some(1));
    assert!(test.said().contains("job a: cmd /bin/true: "), "{}", test.said());
}

#[test]
fn what_others_put_into_a_sticky_directory() {
    let name = "what_others_put_into_a_sticky_directory";
    let level = fs::read_to_string("/proc/sys/fs/protected_regular").unwrap_or_default();
    if needs_root(name) {
        return;
    }
    if level.trim() != "1" && level.trim() != "2" {
        eprintln!("skipped: {name}: fs.protected_regular is off");
        return;
    }
    let world = World::new();
    dir(&world, "sticky", 0o1777);
    plain(&world, "sticky/nobodys", b"", 0o666);
    chown(world.path("sticky/nobodys"), Some(NOBODY), None).unwrap();
    each_is_told_and_fails(world, &[("out $DIR/sticky/nobodys\n  cmd /bin/true", "opening out")]);
}

/// In a mount namespace whose directory `mnt` has no programs and no devices, and is read-only
/// at `ro`.
const MOUNTS: &str = "mount -t tmpfs -o noexec,nodev none $DIR/mnt || exit 77\n\
    mount -t tmpfs -o ro none $DIR/ro || exit 77\n\
    cp $DIR/program $DIR/mnt/program\n\
    echo \"#!$DIR/mnt/program\" >$DIR/script && chmod 755 $DIR/script\n\
    mknod -m 666 $DIR/mnt/null c 1 3\n\
    exec \"$@\"";

#[test]
fn mounts() {
    if needs_root("mounts") {
        return;
    }
    let world = World::new();
    dir(&world, "mnt", 0o755);
    dir(&world, "ro", 0o755);
    plain(&world, "program", b"#!/bin/true\n", 0o755);
    let script = world.script("mounts", MOUNTS);
    let script = script.to_str().unwrap().to_string();
    let world = world.wrapped_in(&["unshare", "-m", &script]);
    let probe = world.run(&["--version"]);
    if probe.status != Some(0) {
        eprintln!("skipped: mounts: no mount namespace is to be had");
        return;
    }
    let cases = [
        ("cmd $DIR/mnt/program", "executing "),
        ("cmd $DIR/script", "executing "),
        ("out $DIR/ro/new\n  cmd /bin/true", "opening out"),
        ("in $DIR/mnt/null\n  cmd /bin/true", "opening in"),
        ("err $DIR/mnt/null\n  cmd /bin/true", "opening err"),
    ];
    each_is_told_and_fails(world, &cases);
}

#[test]
fn cpus_that_do_not_exist() {
    let mut world = World::new();
    world.config(&job("a", "cpu 1000-1023\n  cmd /bin/true"));
    let test = world.run(&["-t", "--strict"]);
    assert_eq!(test.status, Some(1), "{}", test.said());
    world.start();
    world.log().wait_for("none of its cpus can be used, it runs on any");
}

#[test]
fn nothing_is_told_of_what_starts() {
    if skipped("nothing_is_told_of_what_starts") {
        return;
    }
    let world = World::new();
    plain(&world, "in", b"", 0o644);
    plain(&world, "script", b"#! /bin/sh -e\nexit 0\n", 0o755);
    plain(
        &world,
        "of-a-script",
        format!("#!{}\n", world.path("script").display()).as_bytes(),
        0o755,
    );
    plain(&world, "unreadable", b"", 0o000);
    symlink("new", world.path("link")).unwrap();
    let mut cases = vec![
        "cmd /bin/true",
        "dir $DIR\n  in in\n  out out\n  err err\n  cmd $DIR/script",
        "cmd $DIR/of-a-script",
        "out $DIR/link\n  cmd /bin/true",
        "out /dev/null\n  err $DIR/out\n  cmd /bin/true",
        "ulimit -n 100\n  ulimit -c 0\n  ulimit -d 1000000000\n  nice 3\n  cpu 0-1023\n  cmd /bin/true",
        "in /\n  cmd /bin/true",
        "once\n  cmd /bin/sh -c \"exit 3\"",
    ];
    if geteuid().is_root() {
        cases.push("user nobody\n  cmd /bin/true");
        cases.push("in $DIR/unreadable\n  nice -3\n  cmd /bin/true");
    }
    each_is_good_and_starts(world, &cases);
}

#[test]
fn t_and_the_log_warn_of_what_only_a_shell_would_understand() {
    let mut world = World::new();
    dir(&world, "d", 0o755);
    let lines = "cmd /bin/true > /tmp/x\n  env A='b'\n  ulimit -n 3\n  once";
    world.config(&job("a", lines));
    let test = world.run(&["-t", "--strict"]);
    assert_eq!(test.status, Some(1));
    for (place, text) in [
        (":3:17: warning: ", "'>' stays as it is, since no shell reads 'cmd'"),
        (":4:7: warning: ", "'A='b'' stays as it is, since no shell reads 'env'"),
        (":5:13: warning: ", "'3' is too low for a program to start"),
    ] {
        assert!(test.stderr.contains(&format!("{place}{text}")), "{text}: {}", test.stderr);
    }
    assert_eq!(world.run(&["-t"]).status, Some(0), "without --strict");
    world.start();
    world.log().wait_for("line 3 column 17: '>' stays as it is, since no shell reads 'cmd'");
    world.config(&job("a", "cmd /bin/true\n  once\n  depends { $DIR/d }\n  env B=$HOME"));
    world.log().wait_for("line 6 column 7: 'B=$HOME' stays as it is, since no shell reads 'env'");
    world.log().wait_for("/d: Is a directory; name the files in it");
    let test = world.run(&["-t", "--strict"]);
    assert!(test.stderr.contains("/d: Is a directory; it never starts: name"), "{}", test.stderr);
}

/// A file system that never answers: nobody reads what the kernel asks of it (fuse(4)).
struct Hung {
    path: std::path::PathBuf,
    /// The kernel gives up what is asked as soon as it is closed.
    device: Option<fs::File>,
}

impl Hung {
    fn new(test: &str, world: &World) -> Option<Hung> {
        let device = fs::File::options().read(true).write(true).open("/dev/fuse");
        let path = world.path("hung");
        fs::create_dir(&path).unwrap();
        let mounted = device.and_then(|device| {
            let options = format!(
                "fd={},rootmode=40000,user_id=0,group_id=0,allow_other",
                std::os::fd::AsRawFd::as_raw_fd(&device)
            );
            let [target, options] = [path.to_str().unwrap(), &options]
                .map(|text| std::ffi::CString::new(text).unwrap());
            // SAFETY: four strings, all with a NUL.
            let status = unsafe {
                nix::libc::mount(
                    b"none\0".as_ptr().cast(),
                    target.as_ptr(),
                    b"fuse\0".as_ptr().cast(),
                    0,
                    options.as_ptr().cast(),
                )
            };
            nix::errno::Errno::result(status)?;
            Ok(device)
        });
        match mounted {
            Ok(device) => Some(Hung { path, device: Some(device) }),
            Err(error) => {
                eprintln!("skipped: {test}: no FUSE: {error}");
                None
            }
        }
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        self.device = None;
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

/// What hangs below pmtr: a program, an interpreter, and other files.
const HANGING: [(&str, &str); 4] = [
    ("cmd $DIR/hung/program", "cmd $DIR/hung/program"),
    ("cmd $DIR/script", "cmd $DIR/script"),
    ("cmd /bin/true\n  dir $DIR/hung", "dir $DIR/hung"),
    ("cmd /bin/true\n  depends { $DIR/hung/file }", "depends on $DIR/hung/file"),
];

#[test]
fn t_waits_ten_seconds_for_a_file_system_and_names_what_hangs() {
    let name = "t_waits_ten_seconds_for_a_file_system_and_names_what_hangs";
    if needs_root(name) {
        return;
    }
    let world = World::new();
    let script = format!("#!{}\n", world.path("hung/interpreter").display());
    plain(&world, "script", script.as_bytes(), 0o755);
    let Some(_hung) = Hung::new(name, &world) else { return };
    for (lines, what) in HANGING {
        world.config(&job("a", lines));
        let what = what.replace("$DIR", world.dir().to_str().unwrap());
        let test = patiently_run(&world, &["-t", "--strict"]);
        assert_eq!(test.0, Some(1), "{lines}: {}", test.1);
        assert!(test.1.contains(&format!("job a: {what}: no answer within 10 s")), "{}", test.1);
        assert_eq!(world.processes(), [], "{lines}");
    }
    let test = patiently_run(&world, &["-t", "-c", world.path("hung/conf").to_str().unwrap()]);
    assert_eq!(test.0, Some(1), "{}", test.1);
    assert!(test.1.contains("hung/conf: no answer within 10 s"), "{}", test.1);
    assert_eq!(world.processes(), []);
}

/// As `World::run`, which has less patience.
fn patiently_run(world: &World, options: &[&str]) -> (Option<i32>, String) {
    let config = world.config_file();
    let mut command = world.command(&["-c", config.to_str().unwrap()]);
    let output = command.args(options).output().expect("pmtr");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn ctrl_c_ends_t_and_leaves_nothing_behind() {
    let name = "ctrl_c_ends_t_and_leaves_nothing_behind";
    if needs_root(name) {
        return;
    }
    let world = World::new();
    let Some(_hung) = Hung::new(name, &world) else { return };
    world.config(&job("a", "cmd $DIR/hung/program"));
    let config = world.config_file();
    let mut command = world.command(&["-t", "-c", config.to_str().unwrap()]);
    // A shell that starts the tests in the background has it ignored.
    // SAFETY: one system call between fork and exec, which sets no handler.
    unsafe {
        command.pre_exec(|| {
            signal(Signal::SIGINT, SigHandler::SigDfl)?;
            Ok(())
        })
    };
    let mut pmtr = command.spawn().expect("pmtr");
    eventually("pmtr, and those that ask for it", || world.processes().len() > 1);
    process::send(pmtr.id() as i32, Signal::SIGINT);
    eventually("its end", || pmtr.try_wait().unwrap().is_some());
    eventually("the end of all", || world.processes().is_empty());
    assert_eq!(pmtr.wait().unwrap().signal(), Some(2));
}

/// A configuration that is a FIFO is refused at once, whoever has it open.
#[test]
fn t_does_not_wait_for_a_fifo() {
    let world = World::new();
    mkfifo(&world.config_file(), Mode::S_IRWXU).unwrap();
    let _writer = fs::File::options().read(true).write(true).open(world.config_file()).unwrap();
    let test = world.run(&["-t"]);
    assert_eq!(test.status, Some(1));
    assert!(test.stderr.contains("it is a FIFO, not a file"), "{}", test.stderr);
}

#[test]
fn a_trial_runs_nothing() {
    if skipped("a_trial_runs_nothing") {
        return;
    }
    let world = World::new();
    world.script("job", "touch $DIR/touched");
    world.config(&job("a", "cmd $DIR/job"));
    assert_eq!(world.run(&["-t", "--strict"]).status, Some(0));
    assert!(!world.path("touched").exists());
    assert_eq!(world.processes(), []);
}
