//! The state file from outside: whatever is done to it while pmtr runs, there is one pmtr for each
//! configuration, and no job runs twice after kill -9; and nobody else is killed.

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use common::process::{gone, send};
use common::{alive, children_of, eventually, job, needs_root, patiently, sleepers, World};
use common::{LONG, SHORT};
use nix::libc;
use nix::sys::signal::Signal;

/// The one state file.
fn file(world: &World) -> PathBuf {
    patiently(SHORT, "a state file", || {
        let entries = fs::read_dir(world.path("state")).ok()?;
        entries.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some())
    })
}

/// A pmtr with two jobs whose state file something was done to: it is made again, a second one is
/// refused, and after kill -9 each job runs once.
fn survives(name: &str, harm: impl Fn(&World, &Path)) {
    let mut world = World::with(&sleepers("a b"));
    let olds = [world.running("a"), world.running("b")];
    let path = file(&world);
    harm(&world, &path);
    world.log().wait_for(&format!("the state file {} was ", path.display()));
    eventually(name, || fs::metadata(&path).is_ok_and(|found| found.len() >= 3 * 64));

    let second = world.run(&["-F"]);
    assert_eq!(second.status, Some(1), "{name}: {}", second.said());
    assert!(second.said().contains("pmtr is already running on"), "{name}: {}", second.said());

    world.kill();
    assert!(olds.into_iter().all(alive));
    world.start();
    olds.into_iter().for_each(gone);
    for job in ["a", "b"] {
        patiently(LONG, "a new one", || (world.starts(job) == 2).then_some(()));
        let found = world.log().own(&format!("job {job} ["));
        assert!(found.iter().any(|line| line.text.contains("left by a killed pmtr")), "{name}");
    }
    assert_eq!(world.stop(), Some(0));
    assert_eq!(world.processes(), [], "{name}");
}

/// The bug: a second pmtr started, and after kill -9 the jobs of both ran on.
#[test]
fn a_state_file_that_is_removed_is_made_again() {
    survives("removed", |_, path| fs::remove_file(path).unwrap());
}

#[test]
fn a_state_directory_that_is_removed_is_made_again() {
    survives("rm -r", |world, _| fs::remove_dir_all(world.path("state")).unwrap());
}

#[test]
fn a_state_directory_that_is_renamed_is_made_again() {
    survives("mv", |world, _| fs::rename(world.path("state"), world.path("old")).unwrap());
}

#[test]
fn a_state_file_that_is_replaced_is_made_again() {
    survives("replaced", |world, path| {
        fs::copy(path, world.path("state/copy")).unwrap();
        fs::rename(world.path("state/copy"), path).unwrap();
    });
}

#[test]
fn a_state_file_that_is_cut_is_filled_again() {
    survives("truncate -s 0", |_, path| drop(fs::File::create(path).unwrap()));
    survives("truncate(2)", |_, path| {
        let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: a string with its NUL.
        assert_eq!(unsafe { libc::truncate(path.as_ptr(), 64) }, 0);
    });
}

#[test]
fn a_state_file_that_is_overwritten_is_written_again() {
    survives("garbage", |_, path| fs::write(path, vec![0x5a; 640]).unwrap());
}

/// Right after the removal, when pmtr may not have noticed it yet.
#[test]
fn a_second_pmtr_has_no_chance_while_the_state_file_is_gone() {
    let mut world = World::with(&sleepers("a"));
    for round in 0..5 {
        match round % 2 {
            0 => fs::remove_file(file(&world)).unwrap(),
            _ => fs::remove_dir_all(world.path("state")).unwrap(),
        }
        let second = world.run(&["-F"]);
        assert_eq!(second.status, Some(1), "{round}: {}", second.said());
        file(&world);
    }
    assert_eq!(world.stop(), Some(0));
}

/// What cannot be made again is said once, and made as soon as it can be.
#[test]
fn a_state_directory_that_is_read_only_is_said_once_and_tried_again() {
    let test = "a_state_directory_that_is_read_only_is_said_once_and_tried_again";
    if needs_root(test) {
        return;
    }
    let mut world = World::new();
    world.config(&sleepers("a"));
    world.start_as_user(65_534);
    let old = world.running("a");
    let path = file(&world);
    let mode = |mode| fs::set_permissions(world.path("state"), Permissions::from_mode(mode));
    mode(0o500).unwrap();
    fs::remove_file(&path).unwrap();
    let said = "cannot be made again: Permission denied";
    world.log().wait_for(said);
    world.fence();
    assert_eq!(world.log().own(said).len(), 1);
    mode(0o700).unwrap();
    world.log().within(LONG).wait_for("was removed or replaced: it is made again");
    assert!(path.exists());
    world.kill();
    world.start_silently();
    gone(old);
    patiently(LONG, "a new one", || (world.starts("a") == 2).then_some(()));
    assert_eq!(world.stop(), Some(0));
}

// Starting.

/// The bug: SIGTERM was heard when all leftovers were gone and all jobs had been started.
#[test]
fn a_pmtr_that_stops_leftovers_hears_sigterm_at_once_and_starts_nothing() {
    let deaf = "cmd /bin/sh -c \"trap '' TERM; : >$DIR/ready; while :; do sleep 0.1; done\"";
    let mut world = World::with(&job("deaf", deaf));
    let old = world.pid_of("deaf");
    eventually("the trap", || world.path("ready").exists());
    world.kill();
    world.start_silently();
    world.log().wait_for(&format!("sending SIGTERM to job deaf [{old}], left by"));
    let asked = Instant::now();
    world.signal(Signal::SIGTERM);
    world.log().wait_for("pmtr: exiting on signal 15");
    assert!(asked.elapsed() < common::stretched(5), "{:?}", asked.elapsed());
    // As for every job: ten seconds from its SIGTERM, and nothing is left.
    assert_eq!(world.wait(), Some(0));
    gone(old);
    assert_eq!(world.starts("deaf"), 1);
    assert_eq!(world.log().own("pmtr: starting").len(), 1);
}

// Containers.

const UNSHARE: [&str; 6] =
    ["unshare", "--pid", "--mount", "--fork", "--mount-proc", "--kill-child"];

/// A pmtr with a process 1 before it in a PID namespace, with `$DIR/etc-NAME` as its /mnt.
struct Container<'a> {
    world: &'a World,
    child: std::process::Child,
    name: &'static str,
}

impl<'a> Container<'a> {
    fn new(world: &'a World, name: &'static str) -> Self {
        let etc = world.path(&format!("etc-{name}"));
        fs::create_dir_all(&etc).unwrap();
        let text = job(name, "cmd /bin/sleep 1000");
        fs::write(etc.join("pmtr.conf"), text).unwrap();
        // Starts a pmtr whenever there is a new file `go`.
        let script = format!(
            "mount --bind {etc} /mnt; while :; do if [ -e {etc}/go ]; then rm {etc}/go; \
             {pmtr} -F -I -c /mnt/pmtr.conf --state-dir {state} --log-socket {etc}/none \
             2>>{etc}/log & echo $! >{etc}/pid; fi; sleep 0.02; done",
            etc = etc.display(),
            pmtr = common::program().display(),
            state = world.path("state").display(),
        );
        let mut command = Command::new(UNSHARE[0]);
        command.args(&UNSHARE[1..]).args(["sh", "-c", &script]);
        let container = Container { world, child: command.spawn().unwrap(), name };
        container.start(1);
        container
    }

    fn path(&self, file: &str) -> PathBuf {
        self.world.path(&format!("etc-{}/{file}", self.name))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Starts a pmtr, and waits until its job has been started for the nth time.
    fn start(&self, nth: usize) {
        fs::write(self.path("go"), "").unwrap();
        let start = format!("started job {} [", self.name);
        patiently(LONG, "a start", || (self.log().matches(&start).count() >= nth).then_some(()));
    }

    /// The processes below its process 1 that run `program`.
    fn all(&self, program: &str) -> Vec<i32> {
        let mut found = children_of(self.child.id() as i32);
        for at in 0.. {
            let Some(&pid) = found.get(at) else { break };
            found.extend(children_of(pid));
        }
        let is_it =
            |pid: &i32| common::process::words(*pid).first().is_some_and(|w| w.ends_with(program));
        found.into_iter().filter(is_it).collect()
    }

    fn jobs(&self) -> Vec<i32> {
        let all = self.all("sleep");
        let is_job = |pid: &i32| common::process::words(*pid).last().is_some_and(|w| w == "1000");
        all.into_iter().filter(is_job).collect()
    }

    /// kill -9 of its pmtr.
    fn kill(&self) {
        // One that was refused is on its way out. A pmtr whose stderr is a file has a child for that.
        let supervisors = || {
            let all = self.all("/pmtr");
            let is_child = |pid: &i32| all.contains(&common::process::parent(*pid));
            all.iter().copied().filter(|pid| !is_child(pid)).collect::<Vec<_>>()
        };
        eventually("one pmtr", || supervisors().len() == 1);
        let pmtr = supervisors();
        send(pmtr[0], Signal::SIGKILL);
        gone(pmtr[0]);
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        // The namespace goes with its process 1.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The bug: the second one was told that pmtr runs already.
#[test]
fn two_containers_that_share_the_state_directory_both_run() {
    let test = "two_containers_that_share_the_state_directory_both_run";
    if needs_root(test) || common::skipped(test) || common::emulated() {
        eprintln!("skipped: {test}: needs root, and no emulator");
        return;
    }
    let world = World::new();
    let (one, two) = (Container::new(&world, "one"), Container::new(&world, "two"));
    for container in [&one, &two] {
        assert!(!container.log().contains("already running"), "{}", container.log());
        eventually("its job", || container.jobs().len() == 1);
    }
    // Each is refused beside itself, and finds its own after kill -9.
    for (container, other) in [(&one, &two), (&two, &one)] {
        fs::write(container.path("go"), "").unwrap();
        eventually("a refusal", || container.log().contains("already running"));
        let (job, others) = (container.jobs(), other.jobs());
        container.kill();
        container.start(2);
        eventually("one job", || container.jobs().len() == 1);
        assert_ne!(container.jobs(), job);
        assert_eq!(other.jobs(), others, "{}", container.log());
    }
}

/// The bug: in a new namespace with the inode and the state file of an old one, a stranger was killed.
#[test]
fn a_container_with_a_kept_state_directory_kills_no_stranger() {
    let test = "a_container_with_a_kept_state_directory_kills_no_stranger";
    if needs_root(test) || common::skipped(test) || common::emulated() {
        eprintln!("skipped: {test}: needs root, and no emulator");
        return;
    }
    let world = World::new();
    let pmtr = format!(
        "{} -F -I -c $DIR/pmtr.conf --state-dir $DIR/state --log-socket $DIR/none 2>>$DIR/out &",
        common::program().display()
    );
    let init = world.script("init", &AGAIN.replace("PMTR", &pmtr));
    world.config(&sleepers("a"));
    for _ in 0..200 {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]).arg(&init);
        assert!(command.status().unwrap().success(), "{}", world.read("out"));
        if world.path("tried").exists() {
            break;
        }
    }
    if !world.path("tried").exists() {
        eprintln!("skipped: {test}: no inode was used again");
        return;
    }
    assert_eq!(world.read("session"), world.read("job"));
    assert_eq!(world.read("lives").trim(), "yes", "{}", world.read("out"));
    assert!(!world.read("out").contains("left by a killed pmtr"), "{}", world.read("out"));
}

/// Process 1 of a namespace: the first time a pmtr is killed in it; then, in one with the same inode, the job's
/// number is that of a session whose leader is gone, and pmtr starts.
const AGAIN: &str = "\
    inode=$(stat -Lc %i /proc/self/ns/pid)\n\
    if [ ! -e $DIR/job ]; then\n\
      PMTR pmtr=$!\n\
      until grep -q 'started job a' $DIR/out; do sleep 0.05; done\n\
      sed -n 's/.*started job a .\\([0-9]*\\).*/\\1/p' $DIR/out >$DIR/job\n\
      echo $inode >$DIR/inode; kill -9 $pmtr; exit 0\n\
    fi\n\
    [ $inode = $(cat $DIR/inode) ] || exit 0\n\
    job=$(cat $DIR/job)\n\
    sleep 0.5\n\
    echo $((job - 1)) >/proc/sys/kernel/ns_last_pid\n\
    setsid sh -c 'echo $$ >$DIR/session; sleep 555 & echo $! >$DIR/stranger; sleep 0.2' &\n\
    wait $!\n\
    rm $DIR/out; PMTR\n\
    until grep -q 'pmtr: starting' $DIR/out; do sleep 0.05; done\n\
    ! kill -0 $(cat $DIR/stranger) || echo yes >$DIR/lives\n\
    : >$DIR/tried";
