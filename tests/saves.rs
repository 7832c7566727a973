//! Ways of saving that went unnoticed until the next save, and files that are not finished: for
//! the configuration and for a file that a job depends on.
//!
//! More of them, in random order, are in tests/model.

mod common;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use common::{alive, emulated, eventually, job, needs_root, process, sleepers, World, LONG};
use nix::libc;

/// The configuration with these jobs besides `a`, which depends on `dep`.
fn config(names: &str, dep: &str) -> String {
    let depends = format!("cmd /bin/sleep 1000\n  depends {{\n    $DIR/{dep}\n  }}");
    job("a", &depends) + &sleepers(names)
}

/// A world whose configuration and dependency are this; the directory `new` has the next ones.
fn world_with(path: &'static str, dep: &'static str) -> World {
    let world = World::new().config_at(path);
    for directory in ["site", "new"] {
        fs::create_dir(world.path(directory)).unwrap();
        fs::set_permissions(world.path(directory), fs::Permissions::from_mode(0o755)).unwrap();
    }
    world.file("new/dep", "new");
    world.file("new/pmtr.conf", &config("b c", dep));
    world.file(dep, "old");
    world.config(&config("b", dep));
    world
}

fn world() -> World {
    world_with("site/pmtr.conf", "site/dep")
}

fn run(world: &World, script: &str) {
    let done = Command::new("/bin/sh").args(["-e", "-c", script]).current_dir(world.dir()).status();
    assert!(done.unwrap().success(), "{script}");
}

/// What is in the directory `site` is noticed after this was done: the configuration in one world, the
/// dependency in another, as an event of the one would have both looked at.
#[track_caller]
fn is_noticed(how: impl Fn(&World)) {
    let mut world = world_with("site/pmtr.conf", "dep");
    world.start();
    is_noticed_in(&world, "c", &how);
    let mut world = world_with("pmtr.conf", "site/dep");
    world.start();
    is_noticed_in(&world, "a", &how);
}

/// The job `c` starts, or `a` does again; nothing else is restarted.
#[track_caller]
fn is_noticed_in(world: &World, name: &str, how: &impl Fn(&World)) {
    let (a, b) = (world.running("a"), world.running("b"));
    how(world);
    if name == "a" {
        world.restarted("a", a);
    } else {
        world.started(name);
        assert!(alive(a));
    }
    assert!(alive(b) && world.starts("b") == 1);
}

#[test]
fn a_link_that_is_removed_and_made_again_counts() {
    for (path, dep, name) in [("site/pmtr.conf", "dep", "c"), ("pmtr.conf", "site/dep", "a")] {
        let mut world = world_with(path, dep);
        run(&world, "mv site v1; ln -s v1 site");
        world.start();
        // As `busybox ln -sfn` does.
        is_noticed_in(&world, name, &|world| run(world, "rm site; ln -s new site"));
    }
}

#[test]
fn links_to_the_files_that_are_removed_and_made_again_count() {
    is_noticed(|world| run(world, "rm site/*; for f in new/*; do ln -s ../$f site; done"));
}

#[test]
fn a_directory_that_is_removed_and_copied_anew_counts() {
    is_noticed(|world| run(world, "rm -r site; sleep 1; cp -r new site"));
}

#[test]
fn a_directory_that_is_made_and_filled_counts() {
    let script = "rm -r site; sleep 0.3; mkdir site; tar -C new -c . | tar -C site -x";
    is_noticed(|world| run(world, script));
}

/// An open directory is removed without an event of its own.
#[test]
fn a_directory_that_somebody_has_open_is_removed_and_made_anew() {
    is_noticed(|world| {
        let _open = File::open(world.path("site")).unwrap();
        run(world, "rm -r site; sleep 0.5; cp -r new site");
    });
}

#[test]
fn a_hard_link_to_a_finished_file_counts() {
    let script = "rm site/*; sleep 1; ln new/* site";
    is_noticed(|world| run(world, script));
}

#[test]
fn a_file_that_gets_its_name_when_it_is_written_counts() {
    is_noticed(|world| {
        run(world, "rm site/*; sleep 0.3");
        for name in ["dep", "pmtr.conf"] {
            let text = world.read(&format!("new/{name}"));
            link_unnamed(&world.path("site"), name, &text);
        }
    });
}

/// O_TMPFILE and linkat(2).
fn link_unnamed(directory: &Path, name: &str, text: &str) {
    let flags = libc::O_TMPFILE;
    let file = OpenOptions::new().write(true).mode(0o644).custom_flags(flags).open(directory);
    let mut file = file.unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let from = format!("/proc/self/fd/{}", file.as_raw_fd());
    let from = std::ffi::CString::new(from).unwrap();
    let to = directory.join(name);
    let to = std::ffi::CString::new(to.to_str().unwrap()).unwrap();
    let (at, follow) = (libc::AT_FDCWD, libc::AT_SYMLINK_FOLLOW);
    // SAFETY: strings with their NUL.
    assert_eq!(unsafe { libc::linkat(at, from.as_ptr(), at, to.as_ptr(), follow) }, 0);
}

/// Only truncate(2) has no opened file.
#[test]
fn a_file_that_is_truncated_by_its_path_counts() {
    let mut world = world();
    world.start();
    let (a, b) = (world.running("a"), world.running("b"));
    truncate(&world.path("site/dep"));
    let a = world.restarted("a", a);
    truncate(&world.path("site/pmtr.conf"));
    [a, b].into_iter().for_each(process::gone);
}

fn truncate(path: &Path) {
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: a string with its NUL.
    assert_eq!(unsafe { libc::truncate(path.as_ptr(), 0) }, 0);
}

// Mounts.

#[test]
fn what_is_mounted_over_a_path_and_unmounted_counts() {
    if needs_root("what_is_mounted_over_a_path_and_unmounted_counts") {
        return;
    }
    for over in
        ["mount --bind new site", "for f in dep pmtr.conf; do mount --bind new/$f site/$f; done"]
    {
        let wrapper = ["unshare", "--mount", "--propagation", "private"];
        let mut world = world().wrapped_in(&wrapper);
        world.start();
        let pid = world.pid();
        let within = |script: &str| {
            run(
                &world,
                &format!(
                    "nsenter -m -t {pid} /bin/sh -e -c 'cd {}; {script}'",
                    world.dir().display()
                ),
            )
        };
        let (a, b) = (world.running("a"), world.running("b"));
        within(over);
        let a = world.restarted("a", a);
        let c = world.running("c");
        within("umount -l site 2>/dev/null || umount site/dep site/pmtr.conf");
        process::gone(c);
        world.restarted_again("a", a);
        assert!(alive(b));
    }
}

// The race between look-up and watch.

#[test]
fn what_is_made_between_look_up_and_watch_is_noticed() {
    let test = "what_is_made_between_look_up_and_watch_is_noticed";
    if emulated() || Command::new("strace").arg("-V").output().is_err() {
        return eprintln!("skipped: {test}: needs strace");
    }
    // Before the directory is watched for the last time, and for the first time that matters.
    for watches in [3, 5] {
        let world = world_with("pmtr.conf", "site/dep");
        let dir = world.dir().to_str().unwrap().to_string();
        let trace = world.path("new/trace").to_str().unwrap().to_string();
        let delay =
            ["-e", "trace=inotify_add_watch", "-e", "inject=inotify_add_watch:delay_enter=400000"];
        let mut wrapper = vec!["strace", "-D", "-o", &trace, "-P", &dir];
        wrapper.extend(delay);
        let mut world = world.wrapped_in(&wrapper);
        run(&world, "rm -r site");
        world.start_silently();
        eventually("watches", || world.read("new/trace").lines().count() >= watches);
        run(&world, "mkdir site; cp new/dep site");
        world.log().within(LONG).wait_for("started job a [");
    }
}

// Files that are not finished.

#[test]
fn a_dependency_that_is_written_and_not_closed_counts_after_two_seconds() {
    let mut world = world();
    world.start();
    let old = world.running("a");
    let mut file = OpenOptions::new().append(true).open(world.path("site/dep")).unwrap();
    file.write_all(b"more").unwrap();
    sleep(Duration::from_secs(1));
    assert!(alive(old), "it was not waited for");
    world.restarted("a", old);
    world.log().wait_for("site/dep: somebody holds it open for writing");
    drop(file);
    world.fence();
    assert_eq!(world.starts("a"), 2);
}

#[test]
fn a_configuration_that_somebody_holds_open_counts_after_two_seconds() {
    let mut world = world();
    world.start();
    world.running("b");
    let holder = OpenOptions::new().append(true).open(world.config_file()).unwrap();
    world.config(&config("b c", "site/dep"));
    world.started("c");
    world.log().wait_for("pmtr.conf: somebody holds it open for writing; it counts as it is");
    // What others save is applied all the time, also in another file.
    world.save(common::save::by_rename, &config("b c d", "site/dep"));
    world.started("d");
    drop(holder);
}

/// pmtr was woken ten times a second.
#[test]
fn a_writer_is_waited_for_without_busy_polling() {
    if emulated() {
        return eprintln!(
            "skipped: a_writer_is_waited_for_without_busy_polling: an emulator wakes up"
        );
    }
    let mut world = world();
    world.start();
    world.running("b");
    let mut writer = OpenOptions::new().append(true).open(world.config_file()).unwrap();
    writer.write_all(b"# a comment without an end").unwrap();
    world
        .log()
        .wait_for("site/pmtr.conf: somebody holds it open for writing, and it looks unfinished");
    let switches =
        || process::status(world.pid(), "voluntary_ctxt_switches").parse::<u64>().unwrap();
    sleep(Duration::from_millis(500));
    let before = switches();
    sleep(Duration::from_secs(5));
    assert!(switches() - before < 3, "{} wake-ups", switches() - before);
    // Neither while it is written.
    let before = switches();
    for _ in 0..300 {
        writer.write_all(b"x").unwrap();
        sleep(Duration::from_millis(10));
    }
    let woken = switches() - before;
    assert!(woken < 40, "{woken} wake-ups in three seconds");
    writer.write_all(format!("\n{}", sleepers("c")).as_bytes()).unwrap();
    drop(writer);
    world.started("c");
    assert_eq!(world.starts("b"), 1);
}

#[test]
fn an_emptied_configuration_that_somebody_holds_is_waited_for() {
    let mut world = world();
    world.start();
    let b = world.running("b");
    let mut writer = File::create(world.config_file()).unwrap();
    world.log().wait_for("it looks unfinished; it counts when it is closed");
    assert!(alive(b));
    let text = config("b c", "site/dep").replace("$DIR", world.dir().to_str().unwrap());
    writer.write_all(text.as_bytes()).unwrap();
    drop(writer);
    world.started("c");
    assert!(alive(b));
}

/// No lease can be had on a file of another user: whether somebody writes it is not known.
#[test]
fn half_a_file_of_another_user_is_waited_for() {
    if needs_root("half_a_file_of_another_user_is_waited_for") {
        return;
    }
    let mut world = world();
    world.start_as_user(65534);
    let (a, b) = (world.running("a"), world.running("b"));
    for (name, text) in [("dep", "two".into()), ("pmtr.conf", world.read("new/pmtr.conf"))] {
        std::os::unix::fs::chown(world.path("site").join(name), Some(0), Some(0)).unwrap();
        let mut file = File::create(world.path("site").join(name)).unwrap();
        // The first half is a good configuration.
        let half = text.rfind("job {").unwrap_or(1);
        for part in [&text[..half], &text[half..]] {
            file.write_all(part.as_bytes()).unwrap();
            sleep(Duration::from_secs(1));
            assert!(alive(b) && world.starts("c") == 0, "half a file was used");
        }
        if name == "dep" {
            assert!(alive(a), "half a file was used");
        }
    }
    world.restarted("a", a);
    world.started("c");
    eventually("one restart", || world.starts("a") == 2);
}
