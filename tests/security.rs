//! pmtr as somebody sees it who means harm: SECURITY.md has the whole list, with the tests of
//! other files that belong to it.

mod common;

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{chown, symlink, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{
    eventually, job, needs_root, needs_shell, patiently, process, sleepers, Finished, World, LONG,
};
use nix::libc::O_NONBLOCK;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

const NOBODY: u32 = 65534;

/// A world whose configuration, and not its directory, is all that others may have.
fn world(config: &str) -> World {
    let world = World::new();
    world.config(config);
    world
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

// The configuration.

/// What `-t` says of the file, and `--strict` makes of it.
#[track_caller]
fn is_warned_of(world: &World, warning: &str) {
    let Finished { status, stderr, .. } = world.run(&["-t"]);
    assert_eq!(status, Some(0), "{stderr}");
    let file = world.config_file();
    assert!(stderr.contains(&format!("{}: warning: {warning}", file.display())), "{stderr}");
    assert_eq!(world.run(&["-t", "--strict"]).status, Some(1));
}

#[test]
fn a_configuration_that_others_can_change_is_warned_of() {
    if needs_shell("a_configuration_that_others_can_change_is_warned_of") {
        return;
    }
    let world = world(&sleepers("a"));
    mode(&world.config_file(), 0o666);
    is_warned_of(&world, "it can be written to by others");
    mode(&world.config_file(), 0o644);
    mode(&world.path(""), 0o777);
    is_warned_of(&world, "its directory can be written to by others");
    mode(&world.path(""), 0o1777);
    assert_eq!(world.run(&["-t", "--strict"]).said(), "", "nobody can replace it there");
}

#[test]
fn a_configuration_of_another_user_is_warned_of() {
    if needs_root("a_configuration_of_another_user_is_warned_of") {
        return;
    }
    let world = world(&sleepers("a"));
    chown(world.config_file(), Some(NOBODY), None).unwrap();
    is_warned_of(&world, "it belongs to user 65534, who can change what is run here");
    chown(world.config_file(), Some(0), Some(NOBODY)).unwrap();
    mode(&world.config_file(), 0o664);
    is_warned_of(&world, "it can be written to by others");
    mode(&world.config_file(), 0o644);
    chown(world.path(""), Some(NOBODY), None).unwrap();
    is_warned_of(&world, "its directory belongs to user 65534");
}

#[test]
fn the_log_tells_that_others_can_change_the_configuration() {
    let mut world = world(&sleepers("a"));
    mode(&world.config_file(), 0o666);
    world.start();
    world.log().wait_for("it can be written to by others, who can change what is run here");
    world.started("a");
    mode(&world.config_file(), 0o644);
    let before = world.log().own("by others").len();
    // The second one shows that the first has been gone through.
    world.fence();
    world.fence();
    assert_eq!(world.log().own("by others").len(), before, "the fault is mended");
}

/// `pmtr -t` keeps writers away while it reads, and the kernel tells it of each of them by a
/// signal, which ended it.
#[test]
fn t_is_not_ended_by_who_opens_the_file_meanwhile() {
    let world = world(&"# a line that takes a while to read\n".repeat(5000));
    let (file, is_over) = (world.config_file(), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let _ = OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(&file);
            }
        });
        let ends: Vec<_> = (0..60).map(|_| world.run(&["-t"]).status).collect();
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(ends, [Some(0); 60]);
    });
}

#[test]
fn a_device_without_end_is_no_configuration() {
    let Finished { status, stderr, .. } = World::new().run_bare(&["-t", "-c", "/dev/zero"]);
    assert_eq!(status, Some(1));
    assert!(stderr.contains("longer than TEXT_BYTES"), "{stderr}");
}

// What jobs write, and what they are called.

/// Bytes that a terminal, a log file or syslog could take for more than text.
fn has_commands(text: &str) -> bool {
    text.chars().any(|c| c.is_control() && c != '\n' && c != '\t')
}

#[test]
fn no_output_of_a_job_reaches_a_terminal_as_a_command() {
    let escapes = r"\033[2J\033]0;title\007\033[6n\r\0010\b\177\302\2331m\302\205 \000";
    let mut w = world(&job("x", &format!("cmd /usr/bin/printf \"{escapes}(end)\\n\"\n  once")));
    w.start();
    w.exited("x");
    eventually("the echo", || w.stderr().contains("(end)"));
    assert_eq!(w.log().lines("x"), ["?[2J?]0;title??[6n??0????1m?? ?(end)"]);
    assert!(!has_commands(&w.stderr()), "{:?}", w.stderr());
    assert_eq!(w.stop(), Some(0));
}

/// Job names and paths are shown in the log, by `-t` and by `-vv`.
#[test]
fn names_from_the_file_reach_no_terminal_as_commands() {
    let evil = "/no/\u{1b}]0;evil\u{7}\u{9b}2J\r";
    let options = format!(
        "cmd \"{evil}\"\n dir \"{evil}\"\n out \"{evil}\"\n err \"{evil}\"\n in \"{evil}\"\n \
         user \"{evil}\"\n depends {{\n \"{evil}\"\n }}\n nonsense \"{evil}\""
    );
    let jobs = [job(&format!("\"{evil}\""), &options), job("\"\u{1b}[31mred\"", &options)].concat();
    let mut w = world(&jobs);
    let said = w.run(&["-t"]).said();
    assert!(said.contains("evil") && !has_commands(&said), "{said:?}");
    w.config(&jobs.replace("nonsense \"", "env \"A="));
    let said = w.run(&["-t", "-vv"]).said();
    assert!(said.contains("evil") && !has_commands(&said), "{said:?}");
    w.start();
    w.log().wait_for("depends on /no/?]0;evil");
    w.stop();
    assert!(!has_commands(&w.stderr()), "{:?}", w.stderr());
}

/// The language refuses a path above PATH_MAX; these are shorter, and still too long for the kernel.
#[test]
fn paths_that_the_kernel_finds_too_long_fail_alone() {
    let (name, deep) = (format!("/{}", "x".repeat(300)), "x/".repeat(1500));
    let with = |option: &str| format!("cmd /bin/true\n  {option}");
    let mut jobs: String = ["dir", "in", "out", "err"]
        .map(|option| job(&format!("long-{option}"), &with(&format!("{option} {name}"))))
        .concat();
    jobs += &job("long-depends", &with(&format!("depends {{\n {name}\n }}")));
    jobs += &job("long-program", &format!("cmd {name}"));
    jobs += &job("long-sum", &with(&format!("dir /{deep}\n depends {{\n {deep}\n }}")));
    let mut w = world(&(jobs + &sleepers("a")));
    let said = w.run(&["-t"]).said();
    assert_eq!(said.matches("File name too long").count(), 6, "{said}");
    w.start();
    for name in ["dir", "in", "out", "err", "depends", "program", "sum"] {
        let told = w.log().wait_for(&format!("job long-{name}: "));
        assert!(told.text.ends_with(": File name too long"), "{}", told.text);
    }
    w.started("a");
    assert_eq!(w.stop(), Some(0));
}

// What files turn out to be.

#[test]
fn fifos_in_place_of_files_hold_up_nobody_but_their_own_job() {
    let w = World::new();
    // One that nobody else opens, so that to open it would be to wait for ever.
    mkfifo(&w.path("lonely"), Mode::S_IRWXU).unwrap();
    mkfifo(&w.path("fifo"), Mode::S_IRWXU).unwrap();
    let on = |option: &str| job(option, &format!("cmd /bin/sleep 1000\n  {option} $DIR/fifo"));
    let depends = job("depends", "cmd /bin/sleep 1000\n  depends {\n $DIR/lonely\n }");
    w.config(&[on("in"), on("out"), on("err"), depends, sleepers("a")].concat());
    let mut w = w;
    w.start();
    w.started("a");
    w.log().wait_for("job depends: depends on ");
    w.config(&(on("in") + &on("out") + &sleepers("a b")));
    w.started("b");
    w.log().wait_for("job err [");
    assert_eq!(w.stop(), Some(0));
    assert!(w.processes().is_empty());
}

/// Such a file says that it is empty, and can be read for years.
#[test]
fn a_file_without_end_in_depends_does_not_hold_up_supervision() {
    let depends = "cmd /bin/sleep 1000\n  depends {\n /proc/self/pagemap\n }";
    let mut w = world(&[job("endless", depends), sleepers("a")].concat());
    w.start();
    w.started("a");
    w.config(&sleepers("b"));
    w.started("b");
    assert_eq!(w.stop(), Some(0));
}

#[test]
fn a_link_in_place_of_out_does_not_open_what_the_user_may_not() {
    if needs_root("a_link_in_place_of_out_does_not_open_what_the_user_may_not") {
        return;
    }
    let w = World::new();
    let precious = w.file("precious", "root's\n");
    fs::create_dir(w.path("theirs")).unwrap();
    chown(w.path("theirs"), Some(NOBODY), Some(NOBODY)).unwrap();
    symlink(&precious, w.path("theirs/out")).unwrap();
    symlink(w.path("new"), w.path("theirs/err")).unwrap();
    let writes = "cmd /bin/sh -c \"echo mine; echo mine >&2\"\n  user nobody";
    let on = |option| job(option, &format!("{writes}\n  {option} $DIR/theirs/{option}"));
    w.config(&(on("out") + &on("err")));
    let mut w = w;
    w.start();
    for file in ["out", "err"] {
        let told = w.log().wait_for(&format!("job {file}: opening {file}"));
        assert!(told.text.ends_with(": Permission denied"), "{}", told.text);
    }
    assert_eq!(w.read("precious"), "root's\n");
    assert!(!w.path("new").exists());
}

#[test]
fn a_pid_file_of_another_user_is_refused() {
    if needs_root("a_pid_file_of_another_user_is_refused") {
        return;
    }
    let w = world(&sleepers("a"));
    fs::write(w.pid_file(), "1\n").unwrap();
    chown(w.pid_file(), Some(NOBODY), None).unwrap();
    let finished = w.run(&["-F", "-p", w.pid_file().to_str().unwrap()]);
    assert_eq!(finished.status, Some(1));
    assert!(finished.stderr.contains("belongs to user 65534"), "{}", finished.stderr);
    assert_eq!(fs::read_to_string(w.pid_file()).unwrap(), "1\n");
}

// What jobs are, and what they get.

/// Between fork and exec a job is its user already, and still has all of the configuration in
/// its memory. It can be kept there, by a FIFO.
#[test]
fn a_start_that_hangs_shows_its_user_nothing_of_pmtr() {
    if needs_root("a_start_that_hangs_shows_its_user_nothing_of_pmtr") {
        return;
    }
    let w = World::new();
    mkfifo(&w.path("fifo"), Mode::S_IRWXU).unwrap();
    chown(w.path("fifo"), Some(NOBODY), None).unwrap();
    w.config(&job("held", "cmd /bin/cat\n  user nobody\n  in $DIR/fifo\n  env SECRET=1"));
    let mut w = w;
    w.start();
    let pid = w.pid_of("held");
    eventually("the job's user", || process::status(pid, "Uid").starts_with("65534"));
    for file in ["fd", "fd/0", "cwd", "root"] {
        let path = format!("/proc/{pid}/{file}");
        let as_nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "test", "-r", &path];
        let status = Command::new("setpriv").args(as_nobody).status().unwrap();
        assert_eq!(status.code(), Some(1), "{path} can be read");
    }
}

/// A world whose pmtr finds these users.
fn with_passwd(passwd: &str, group: &str) -> World {
    let world = World::new();
    let (passwd, group) = (world.file("passwd", passwd), world.file("group", group));
    let bind = format!(
        "mount --bind {} /etc/passwd && mount --bind {} /etc/group && exec \"$@\"",
        passwd.display(),
        group.display()
    );
    world.wrapped_in(&["unshare", "-m", "sh", "-c", &bind, "sh"])
}

/// To setresuid(2) it means "leave it as it is", so the job ran as root.
#[test]
fn a_user_whose_id_is_minus_1_does_not_run_as_root() {
    let test = "a_user_whose_id_is_minus_1_does_not_run_as_root";
    if needs_root(test) || needs_shell(test) {
        return;
    }
    let passwd = "root:x:0:0::/:/bin/sh\nsvc:x:4294967295:0::/:/bin/sh\n\
        grp:x:4321:4294967295::/:/bin/sh\nsup:x:4321:0::/:/bin/sh\n";
    let mut w = with_passwd(passwd, "root:x:0:\nbad:x:4294967295:sup\n");
    let user = |user: &str| job(user, &format!("cmd /usr/bin/touch $DIR/ran\n  user {user}"));
    w.config(&["svc", "grp", "sup", "root:bad"].map(user).concat());
    let jobs = [
        ("svc", "setting user id of user svc: 4294967295 (-1) is not a user id"),
        ("grp", "setting group id of user grp: 4294967295 (-1) is not a group id"),
        ("sup", "setting groups of user sup: 4294967295 (-1) is not a group id"),
        ("root:bad", "setting group id of user root: 4294967295 (-1) is not a group id"),
    ];
    let Finished { status, stderr, .. } = w.run(&["-t", "--strict"]);
    assert_eq!(status, Some(1));
    for (job, sentence) in jobs {
        let reason = sentence.rsplit(": ").next().unwrap();
        let warning = format!("warning: job {job}: user {job}: {reason}\n");
        assert!(stderr.contains(&warning), "{stderr}");
    }
    w.start();
    for (job, sentence) in jobs {
        w.log().wait_for(&format!("job {job}: {sentence}"));
        w.exited(job);
    }
    assert_eq!(w.stop(), Some(0));
    assert!(!w.path("ran").exists());
}

/// A pmtr that is an ordinary user with these capabilities, as a service of systemd with `User=` and
/// `AmbientCapabilities=` is.
fn with_capabilities(capabilities: &str) -> World {
    let world = World::new();
    chown(world.dir(), Some(NOBODY), Some(NOBODY)).unwrap();
    fs::copy(common::program(), world.path("own")).unwrap();
    // In place of the program, where the user cannot get in.
    let own = format!("shift; exec {} \"$@\"", world.path("own").display());
    let ids = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let sets = ["inh", "ambient"].map(|set| format!("--{set}-caps={capabilities}"));
    world.wrapped_in(
        &[&["setpriv"], &ids[..], &[&sets[0], &sets[1]], &["sh", "-c", &own, "sh"]].concat(),
    )
}

/// The ids, groups and capabilities of a process.
fn credentials(pid: i32) -> [String; 7] {
    ["Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapAmb"]
        .map(|field| process::status(pid, field).trim().to_string())
}

fn ids(id: u32) -> [String; 7] {
    let four = [id.to_string().as_str(); 4].join("\t");
    let none = "0".repeat(16);
    [four.clone(), four, id.to_string(), none.clone(), none.clone(), none.clone(), none]
}

#[test]
fn a_pmtr_with_capabilities_hands_none_to_a_job_with_a_user() {
    let test = "a_pmtr_with_capabilities_hands_none_to_a_job_with_a_user";
    if needs_root(test) || common::emulated() {
        return eprintln!("skipped: {test}: another program is run in place of the emulator");
    }
    let mut w = with_capabilities("+setuid,+setgid,+kill,+net_raw");
    let sleeps = |name: &str, lines: &str| job(name, &format!("cmd /bin/sleep 1000\n  {lines}"));
    let others = sleeps("other", "user 4711") + &sleeps("root", "user root");
    // pmtr may not give the pipe away (`CAP_CHOWN`), and the job can open it.
    let run = "cmd /bin/sh -c \"echo hello > /dev/stdout; exec sleep 1000\"\n  user 4711";
    let says = job("says", run);
    w.config(&[others, sleeps("same", "user nobody"), sleepers("own"), says].concat());
    w.start();
    w.log().wait_line("says", "hello");
    assert_eq!(credentials(w.running("other")), ids(4711));
    assert_eq!(credentials(w.running("same")), ids(NOBODY));
    assert_eq!(process::status(w.running("root"), "Uid"), "0\t0\t0\t0");
    let own = credentials(w.running("own"));
    assert_eq!(own, credentials(w.pid()), "a job without `user` is what pmtr is");
    assert_ne!(own[6], "0".repeat(16));
    assert_eq!(w.stop(), Some(0));
    assert_eq!(w.processes(), []);
}

#[test]
fn a_pmtr_of_nobody_starts_jobs_of_nobody_and_of_nobody_else() {
    let test = "a_pmtr_of_nobody_starts_jobs_of_nobody_and_of_nobody_else";
    if needs_root(test) || needs_shell(test) {
        return;
    }
    let sleeps = |name: &str, lines: &str| job(name, &format!("cmd /bin/sleep 1000\n  {lines}"));
    let w = World::new();
    let good = sleeps("name", "user nobody") + &sleeps("number", "user 65534:65534");
    w.config(&good);
    let mut w = w;
    w.start_as_user(NOBODY);
    for name in ["name", "number"] {
        assert!(process::status(w.running(name), "Uid").starts_with("65534\t65534\t"), "{name}");
    }
    assert_eq!(w.run(&["-t", "--strict"]).said(), "");
    w.config(&(good + &sleeps("daemon", "user daemon")));
    w.log().wait_for("job daemon: setting group id of user daemon: Operation not permitted");
    let said = w.run(&["-t"]).said();
    let why = "only root can start a job with other ids or groups than its own";
    assert!(said.contains(&format!("job daemon: user daemon: {why}")), "{said}");
    assert_eq!(w.stop(), Some(0));
}

/// A job such as `ping` or `sudo` needs them.
#[test]
fn jobs_may_gain_privileges_if_pmtr_may() {
    let mut w = world(&job("x", "cmd /bin/grep NoNewPrivs /proc/self/status\n  once"));
    w.start();
    w.exited("x");
    let own = process::status(std::process::id() as i32, "NoNewPrivs");
    assert_eq!(w.log().lines("x"), [format!("NoNewPrivs:\t{own}")]);
}

/// A job of an ordinary user's pmtr that has become root cannot be sent any signal.
#[test]
fn a_job_that_has_become_root_is_told_of_and_left() {
    if needs_root("a_job_that_has_become_root_is_told_of_and_left") {
        return;
    }
    let w = World::new();
    fs::copy("/usr/bin/setpriv", w.path("become")).unwrap();
    mode(&w.path("become"), 0o4755);
    let rises = "cmd $DIR/become --reuid=0 --clear-groups /bin/sleep 1000";
    w.config(&(job("root", rises) + &sleepers("a")));
    let mut w = w;
    w.start_as_user(NOBODY);
    let pid = w.running("root");
    if !process::status(pid, "Uid").starts_with("0\t0") {
        return eprintln!("skipped: a_job_that_has_become_root…: no setuid programs here");
    }
    w.signal(nix::sys::signal::Signal::SIGTERM);
    w.log().within(LONG).wait_for(&format!("job root [{pid}] is still there after SIGKILL"));
    assert_eq!(w.wait(), Some(0));
    assert!(process::alive(pid));
    process::send(pid, nix::sys::signal::Signal::SIGKILL);
    patiently(LONG, "its end", || (!process::alive(pid)).then_some(()));
}
