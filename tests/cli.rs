//! The command line: the manual's "Command line options", exit statuses, the
//! daemon, the pid file.

mod common;

use std::fs;
use std::os::unix::fs::{symlink, PermissionsExt};

use common::process::{self, descriptors};
use common::{alive, eventually, job, needs_root, needs_shell, skipped, sleepers, World};

/// What pmtr leaves in the directory of a world, its own log socket aside.
fn files(world: &World) -> Vec<String> {
    let entries = fs::read_dir(world.path(".")).unwrap().flatten();
    let mut names: Vec<_> = entries.map(|e| e.file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "log" && !name.starts_with("finish."));
    names.sort();
    names
}

// -h, -V, wrong usage

#[test]
fn h_shows_help_with_every_option() {
    let finished = World::new().run_bare(&["-h"]);
    assert_eq!((finished.status, finished.stderr.as_str()), (Some(0), ""));
    let options = ["-h", "-V", "-F", "-I", "-c", "-t", "--strict", "-v", "-p", "--log-socket"];
    for option in options.into_iter().chain(["--state-dir", "/etc/pmtr.conf"]) {
        assert!(finished.stdout.contains(option), "{option} in {}", finished.stdout);
    }
}

#[test]
fn capital_v_shows_the_version() {
    let finished = World::new().run_bare(&["-V"]);
    assert_eq!((finished.status, finished.stderr.as_str()), (Some(0), ""));
    assert!(finished.stdout.contains(env!("CARGO_PKG_VERSION")), "{}", finished.stdout);
}

#[test]
fn wrong_usage_is_exit_status_2_and_says_what_is_wrong() {
    let world = World::new();
    let wrong: [(&[&str], &str); 5] = [
        (&["-x"], "-x"),
        (&["--no-such-option"], "--no-such-option"),
        (&["-c"], "-c"),
        (&["-F", "-p"], "-p"),
        (&["-F", "operand"], "operand"),
    ];
    for (options, what) in wrong {
        let finished = world.run_bare(options);
        assert_eq!(finished.status, Some(2), "{options:?}: {}", finished.said());
        assert!(finished.stderr.contains(what), "{what} in {}", finished.stderr);
        assert_eq!(finished.stdout, "", "{options:?}");
    }
    assert_eq!(files(&world), Vec::<String>::new());
}

#[test]
fn options_can_be_combined() {
    // As in the manual's "In a container": -IFc FILE
    let mut world = World::new();
    world.config(&sleepers("a"));
    let config = world.config_file();
    world.start_with(&["-IFc", config.to_str().unwrap()]);
    world.started("a");
    eventually("the echo", || world.stderr().contains("started job a ["));
}

// -t

#[test]
fn t_exits_with_0_for_a_good_file() {
    let world = World::new();
    world.config(&sleepers("a b"));
    let finished = world.run(&["-t"]);
    assert_eq!(finished.status, Some(0), "{}", finished.said());
}

#[test]
fn t_exits_with_1_for_a_wrong_file_and_reports_every_error() {
    let world = World::new();
    world.config(&(job("a", "comand /bin/true") + &job("b", "cmd /bin/true\n  nice x")));
    let finished = world.run(&["-t"]);
    assert_eq!(finished.status, Some(1));
    let path = world.config_file();
    for part in ["parse failed: ", path.to_str().unwrap(), "comand", "did you mean", "nice"] {
        assert!(finished.said().contains(part), "{part} in {}", finished.said());
    }
}

#[test]
fn t_starts_and_creates_nothing() {
    let world = World::new();
    world.config(&job("a", "cmd /bin/touch $DIR/ran\n  out $DIR/o\n  once"));
    let pid_file = world.pid_file();
    let finished = world.run(&["-t", "-p", pid_file.to_str().unwrap()]);
    assert_eq!(finished.status, Some(0), "{}", finished.said());
    assert_eq!(files(&world), ["pmtr.conf"]);
    assert_eq!(world.processes(), []);
}

#[test]
fn t_does_not_create_a_missing_file() {
    let world = World::new();
    let finished = world.run(&["-t"]);
    assert!(finished.said().contains("pmtr.conf"), "{}", finished.said());
    assert_eq!(files(&world), Vec::<String>::new());
}

/// A start creates the file where it can, and is refused where it cannot.
#[test]
fn t_refuses_a_missing_file_just_if_a_start_does() {
    let world = World::new();
    std::os::unix::fs::symlink("nowhere", world.path("dangling")).unwrap();
    for (name, status) in [("new.conf", 0), ("no/directory.conf", 1), ("dangling", 1)] {
        let path = world.path(name);
        let options = ["-t", "-c", path.to_str().unwrap()];
        assert_eq!(world.run_bare(&options).status, Some(status), "-t on {name}");
        assert!(!path.exists());
        if status == 1 {
            let start = ["-F", "--state-dir", "state", options[1], options[2]];
            assert_eq!(world.run_bare(&start).status, Some(1), "a start on {name}");
        }
    }
}

#[test]
fn t_warns_of_what_would_keep_a_job_from_starting() {
    let warned = [
        ("cmd /no/such/program", "/no/such/program"),
        ("cmd /etc/passwd", "/etc/passwd"),
        ("cmd /bin/true\n  user no-such-user", "no-such-user"),
        ("cmd /bin/true\n  dir /no/such/dir", "/no/such/dir"),
        ("cmd /bin/true\n  in /no/such/in", "/no/such/in"),
        ("cmd /bin/true\n  out /no/such/out", "/no/such/out"),
    ];
    for (lines, what) in warned {
        let world = World::new();
        world.config(&job("faulty", lines));
        let finished = world.run(&["-t"]);
        assert_eq!(finished.status, Some(0), "{what}: a start would take the file");
        for part in ["faulty", what] {
            assert!(finished.said().contains(part), "{part} in {}", finished.said());
        }
        assert_eq!(world.run(&["-t", "--strict"]).status, Some(1), "{what}");
    }
}

#[test]
fn t_strict_exits_with_0_for_a_file_without_warnings() {
    if needs_shell("t_strict_exits_with_0_for_a_file_without_warnings") {
        return;
    }
    let world = World::new();
    // A script: a program of this machine need not be one for the processor that pmtr is for.
    world.script("sleeps", "exec sleep 1000");
    world.config(&(job("a", "cmd $DIR/sleeps") + &job("b", "cmd $DIR/sleeps")));
    let finished = world.run(&["-t", "--strict"]);
    assert_eq!(finished.status, Some(0), "{}", finished.said());
}

#[test]
fn t_works_beside_a_running_pmtr() {
    let mut world = World::with(&sleepers("a"));
    let pid = world.pid_of("a");
    assert_eq!(world.run(&["-t"]).status, Some(0));
    world.fence();
    assert!(world.is_up() && alive(pid));
}

// -v

#[test]
fn vv_shows_parsing() {
    let world = World::new();
    world.config(&job("a", "cmd /bin/sleep 4321"));
    let plain = world.run(&["-t"]).said();
    let finished = world.run(&["-t", "-vv"]);
    assert_eq!(finished.status, Some(0));
    for word in ["job", "name", "cmd", "/bin/sleep", "4321"] {
        assert!(finished.said().contains(word), "{word} in {}", finished.said());
    }
    assert!(!plain.contains("4321"), "{plain}");
}

#[test]
fn a_running_pmtr_logs_parsing_with_vv() {
    let mut world = World::new().option("-v").option("-v");
    world.config(&job("a", "cmd /bin/sleep 4321"));
    world.start();
    world.started("a");
    world.log().wait_for("4321");
    assert_eq!(world.stop(), Some(0));
}

// The daemon.

#[test]
fn it_is_a_daemon_by_default() {
    let mut world = World::new();
    world.config(&sleepers("a"));
    world.start_daemon();
    let pid = world.pid();
    world.started("a");
    assert_eq!(process::session(pid), process::group(pid));
    assert_ne!(process::session(pid), process::session(std::process::id() as i32));
    assert_eq!(process::stat(pid, 7).unwrap(), "0", "no controlling terminal");
    for (number, file) in descriptors(pid).into_iter().take(3) {
        assert_eq!(file.to_str(), Some("/dev/null"), "descriptor {number}");
    }
    assert_eq!(process::children_of(pid), [world.pid_of("a")]);
    world.stop();
    assert_eq!(world.processes(), []);
}

#[test]
fn the_command_returns_when_the_start_is_known_to_have_worked() {
    let mut world = World::new();
    world.config(&sleepers("a"));
    world.start_daemon();
    // No waiting: what is said before the command returns may only be on its way.
    assert!(alive(world.pid()));
    world.log().wait_for("pmtr: starting");
}

#[test]
fn the_daemon_follows_edits_and_signals() {
    let mut world = World::new();
    world.config(&sleepers("a"));
    world.start_daemon();
    world.started("a");
    world.config(&sleepers("a b"));
    world.started("b");
    world.fence();
}

#[test]
fn relative_paths_work_for_a_daemon() {
    let world = World::new();
    world.config(&sleepers("a"));
    let mut command = world.command(&["-c", "pmtr.conf", "-p", "pid", "--log-socket", "log"]);
    let status = command.args(["--state-dir", "state"]).current_dir(world.path(".")).status();
    assert!(status.unwrap().success());
    world.started("a");
    world.config(&sleepers("a b"));
    world.started("b");
    let pid: i32 = world.read("pid").trim().parse().unwrap();
    process::send(pid, nix::sys::signal::Signal::SIGTERM);
    process::gone(pid);
    assert!(!world.path("pid").exists());
}

/// Or whoever waits for the other end of a pipe waits as long as the daemon runs.
#[test]
fn a_daemon_keeps_nothing_open_of_its_caller() {
    if skipped("a_daemon_keeps_nothing_open_of_its_caller") {
        return;
    }
    let open = "exec 9</dev/zero; exec \"$@\"";
    let mut world = World::new().wrapped_in(&["/bin/sh", "-c", open, "sh"]);
    world.config(&sleepers("a"));
    world.start_daemon();
    let open = process::descriptors(world.pid());
    assert!(open.iter().all(|(_, file)| file.to_str() != Some("/dev/zero")), "{open:?}");
    world.stop();
}

#[test]
fn a_failing_start_of_a_daemon_is_exit_status_1() {
    let world = World::new();
    world.config("nonsense");
    let pid_file = world.pid_file();
    let finished = world.run(&["-p", pid_file.to_str().unwrap()]);
    assert_eq!(finished.status, Some(1));
    assert!(finished.stderr.contains("nonsense"), "{}", finished.stderr);
    world.log().wait_for("parse failed: ");
    assert!(!pid_file.exists());
    assert_eq!(world.processes(), []);
}

#[test]
fn a_failing_start_in_the_foreground_is_exit_status_1() {
    let world = World::new();
    world.config("nonsense");
    let finished = world.run(&["-F"]);
    assert_eq!(finished.status, Some(1));
    assert!(finished.stderr.contains("parse failed: "), "{}", finished.stderr);
    world.log().wait_for("parse failed: ");
}

#[test]
fn a_configuration_that_cannot_be_read_is_exit_status_1() {
    let world = World::new();
    fs::create_dir(world.config_file()).unwrap();
    for options in [&["-F"][..], &[], &["-t"]] {
        let finished = world.run(options);
        assert_eq!(finished.status, Some(1), "{options:?}: {}", finished.said());
        assert!(finished.said().contains("pmtr.conf"), "{}", finished.said());
    }
}

#[test]
fn a_missing_configuration_is_created_empty_with_mode_0600() {
    let mut world = World::new();
    world.start();
    let meta = fs::metadata(world.config_file()).unwrap();
    assert_eq!((meta.len(), meta.permissions().mode() & 0o7777), (0, 0o600));
    world.config(&sleepers("a"));
    world.started("a");
}

#[test]
fn a_configuration_that_cannot_be_created_is_exit_status_1() {
    let world = World::new();
    let state = world.path("state");
    let config = "/no/such/directory/pmtr.conf";
    let options = ["-F", "-c", config, "--state-dir", state.to_str().unwrap()];
    let finished = world.run_bare(&options);
    assert_eq!(finished.status, Some(1));
    assert!(finished.stderr.contains(config), "{}", finished.stderr);
}

// The pid file.

#[test]
fn p_makes_a_pid_file_and_the_end_removes_it() {
    let mut world = World::new().option("-p").option("$DIR/pid");
    world.start();
    assert_eq!(world.read("pid"), format!("{}\n", world.pid()));
    let mode = fs::metadata(world.path("pid")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o644);
    world.stop();
    assert!(!world.path("pid").exists());
}

#[test]
fn a_stale_pid_file_is_replaced() {
    let mut world = World::new().option("-p").option("$DIR/pid");
    world.file("pid", "999999999\n");
    world.start();
    assert_eq!(world.read("pid"), format!("{}\n", world.pid()));
}

#[test]
fn a_pid_file_that_cannot_be_written_is_exit_status_1() {
    let world = World::new();
    world.config(&sleepers("a"));
    let finished = world.run(&["-F", "-p", "/no/such/directory/pid"]);
    assert_eq!(finished.status, Some(1));
    assert!(finished.stderr.contains("/no/such/directory/pid"), "{}", finished.stderr);
    assert_eq!(world.processes(), []);
}

#[test]
fn a_pid_file_of_a_running_pmtr_is_not_taken() {
    let mut world = World::new().option("-p").option("$DIR/pid");
    world.start();
    let pid = world.pid();
    world.file("other.conf", "");
    // Another configuration, another state directory, the same pid file.
    let [config, state] = ["other.conf", "state2"].map(|name| world.path(name));
    let mut options = vec!["-F", "-c", config.to_str().unwrap()];
    options.extend(["--state-dir", state.to_str().unwrap()]);
    let finished = world.run_bare(&options);
    assert_eq!(finished.status, Some(1), "{}", finished.said());
    assert!(finished.stderr.contains(&pid.to_string()), "{}", finished.stderr);
    assert_eq!(world.read("pid"), format!("{pid}\n"));
}

// A second pmtr.

/// A second pmtr with these options does not start, names the first, and
/// leaves it alone.
fn is_refused(world: &mut World, options: &[&str]) {
    let a = world.pid_of("a");
    let finished = world.run_bare(options);
    assert_eq!(finished.status, Some(1), "{}", finished.said());
    let first = world.pid().to_string();
    assert!(finished.stderr.contains(&first), "{first} in {}", finished.stderr);
    world.fence();
    assert!(world.is_up() && alive(a));
    assert_eq!(world.processes_with("1000"), [a]);
}

#[test]
fn a_second_pmtr_says_who_holds_the_configuration_and_exits() {
    let mut world = World::with(&sleepers("a"));
    let [config, state] = [world.config_file(), world.path("state")];
    let [config, state] = [config.to_str().unwrap(), state.to_str().unwrap()];
    is_refused(&mut world, &["-F", "-c", config, "--state-dir", state]);
    is_refused(&mut world, &["-c", config, "--state-dir", state]);
}

#[test]
fn a_second_pmtr_is_not_deceived_by_another_spelling() {
    let mut world = World::with(&sleepers("a"));
    symlink(world.path("."), world.path("link")).unwrap();
    let state = world.path("state");
    for name in ["link/pmtr.conf", "link/./link/pmtr.conf"] {
        let path = world.path(name);
        let options = ["-F", "-c", path.to_str().unwrap(), "--state-dir", state.to_str().unwrap()];
        is_refused(&mut world, &options);
    }
}

#[test]
fn a_daemon_holds_its_configuration_too() {
    let mut world = World::new();
    world.config(&sleepers("a"));
    world.start_daemon();
    let [config, state] = [world.config_file(), world.path("state")];
    let options = ["-F", "-c", config.to_str().unwrap(), "--state-dir", state.to_str().unwrap()];
    is_refused(&mut world, &options);
}

#[test]
fn pmtrs_with_different_configurations_run_beside_each_other() {
    let mut one = World::with(&sleepers("a"));
    let other = World::new();
    other.config(&sleepers("a"));
    let [config, log] = [other.config_file(), other.log().path().to_path_buf()];
    // In the first one's state directory.
    let state = one.path("state");
    let options = [&config, &log, &state].map(|path| path.to_str().unwrap());
    let mut command = other.command(&["-F", "-c", options[0], "--log-socket", options[1]]);
    let mut child = command.args(["--state-dir", options[2]]).spawn().unwrap();
    other.started("a");
    one.fence();
    assert!(one.is_up() && alive(one.pid_of("a")));
    process::send(child.id() as i32, nix::sys::signal::Signal::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(alive(one.pid_of("a")));
    assert_eq!(other.processes(), []);
}

#[test]
fn after_the_end_of_one_pmtr_another_can_start() {
    let mut world = World::with(&sleepers("a"));
    world.started("a");
    assert_eq!(world.stop(), Some(0));
    world.start();
    world.log().wait_nth("started job a [", 2);
}

// An ordinary user.

#[test]
fn an_ordinary_user_can_run_it() {
    if needs_root("an_ordinary_user_can_run_it") {
        return;
    }
    let mut world = World::new();
    world.config(&sleepers("a"));
    world.start_as_user(65534);
    let a = world.running("a");
    assert_eq!(process::status(a, "Uid"), "65534\t65534\t65534\t65534");
    world.config(&sleepers("a b"));
    world.started("b");
    assert_eq!(world.stop(), Some(0));
    assert_eq!(world.processes(), []);
}

#[test]
fn a_state_directory_that_cannot_be_written_keeps_nobody_from_starting() {
    if needs_root("a_state_directory_that_cannot_be_written_keeps_nobody_from_starting") {
        return;
    }
    let mut world = World::new();
    fs::create_dir(world.path("state")).unwrap();
    fs::set_permissions(world.path("state"), fs::Permissions::from_mode(0o700)).unwrap();
    world.config(&sleepers("a"));
    world.start_as_user(65534);
    world.started("a");
    world.log().wait_for("state");
    assert_eq!(world.stop(), Some(0));
}
