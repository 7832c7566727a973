//! What a machine runs out of: processes, descriptors, room on a disk. All jobs are
//! up again when there is more.

mod common;

use std::net::Ipv4Addr;
use std::process::Command;

use common::cgroup::Group;
use common::udp::Collector;
use common::{alive, children_of, job, needs_jobs, needs_root, patiently, process, sleepers};
use common::{World, LONG};

/// Waits until pmtr has tried a few times more: for nothing else does it wake up.
fn tries_again(world: &World) {
    let woken = || process::status(world.pid(), "voluntary_ctxt_switches").parse::<u64>().unwrap();
    let before = woken();
    patiently(LONG, "more tries", || (woken() >= before + 3).then_some(()));
}

#[test]
fn a_full_group_of_processes_is_told_and_waited_for() {
    let test = "a_full_group_of_processes_is_told_and_waited_for";
    if needs_root(test) {
        return;
    }
    let Some(group) = Group::new(test, "pids") else { return };
    let mut world = World::with(&sleepers("a"));
    let a = world.running("a");
    group.add(world.pid());
    // pmtr alone is in it, and one job more would be.
    group.set("pids.max", "1");
    world.config(&sleepers("a b c"));
    world.log().wait_for(
        "job b: cannot create a process: Resource temporarily unavailable; trying every second",
    );
    // Edits are obeyed meanwhile.
    world.config(&sleepers("a b c d"));
    world.fence();
    tries_again(&world);
    group.set("pids.max", "max");
    for name in ["b", "c", "d"] {
        world.started(name);
    }
    assert!(alive(a));
    assert_eq!(world.log().own("cannot create a process").len(), 1);
    assert_eq!(world.stop(), Some(0));
}

/// Sets how many descriptors pmtr may have from now on.
fn limit_files(world: &World, soft: &str) {
    let (pid, limit) = (format!("--pid={}", world.pid()), format!("--nofile={soft}:"));
    let done = Command::new("prlimit").args([pid, limit]).status();
    assert!(done.expect("prlimit").success());
}

#[test]
fn six_hundred_jobs_come_up_when_there_are_descriptors_for_them() {
    if needs_jobs("six_hundred_jobs_come_up_when_there_are_descriptors_for_them", 600) {
        return;
    }
    let names: Vec<String> = (0..600).map(|n| format!("job{n}")).collect();
    let mut world = World::with("");
    let (_, hard) = process::limits(world.pid(), "Max open files");
    limit_files(&world, "32");
    world.config(&sleepers(&names.join(" ")));
    let told = world.log().wait_for(": cannot create a process: Too many open files");
    assert!(told.text.starts_with("job job"), "{told:?}");
    let up = children_of(world.pid()).len();
    assert!((8..32).contains(&up), "{up} jobs with 32 descriptors");
    // The file can still be read, what depends on files, and a host be looked up: some are kept for that.
    world.file("file", "");
    let with_file =
        job("first", "cmd /bin/sleep 1000\n  depends {\n    $DIR/file\n  }\n  order -1");
    let reports = Collector::at(Ipv4Addr::LOCALHOST);
    let report_to = format!("report to {}\n", reports.url().replace("127.0.0.1", "localhost"));
    world.config(&(report_to + &with_file + &sleepers(&names.join(" "))));
    assert!(reports.next().contains("\njob599 "), "a report while there are no more descriptors");
    assert_eq!(world.log().own("FAILED to parse").len(), 0);
    tries_again(&world);
    limit_files(&world, &hard);
    patiently(3 * LONG, "all jobs", || (children_of(world.pid()).len() == 601).then_some(()));
    assert_eq!(world.log().own("Too many open files").len(), 1, "it was enough for all else");
    assert_eq!(world.stop(), Some(0));
    assert_eq!(world.processes(), []);
}

/// A world whose pmtr is in a mount namespace of its own, in which a script was run before.
fn mounted(script: &str) -> World {
    let world = World::new();
    let script = script.replace("$DIR", world.path("").to_str().unwrap().trim_end_matches('/'));
    let script = format!("{script}\nexec \"$@\"");
    world.wrapped_in(&["unshare", "-m", "/bin/sh", "-euc", &script, "sh"])
}

/// A disk of 64 KiB at `full`, which is full.
const FULL: &str = "mkdir $DIR/full\n\
                    mount -t tmpfs -o size=64k none $DIR/full\n\
                    mkdir -m 700 $DIR/full/state\n\
                    ln -s full/state $DIR/state\n\
                    touch $DIR/full/out\n\
                    dd if=/dev/zero of=$DIR/full/filler bs=1k count=100 2>/dev/null || :";

#[test]
fn a_full_disk_for_out_and_the_state_file_stops_no_job() {
    if needs_root("a_full_disk_for_out_and_the_state_file_stops_no_job") {
        return;
    }
    let mut world = mounted(FULL);
    let out = job("out", "cmd /bin/sh -c \"echo x; echo y; exec sleep 1000\"\n  out $DIR/full/out");
    world.config(&(out + &sleepers("b")));
    world.start();
    world.log().wait_for("cannot write to the state file: No space left on device");
    let b = world.running("b");
    world.running("out");
    // That a line cannot be written is the job's concern, whose stderr is the log.
    patiently(LONG, "its complaint", || {
        world.log().lines("out").iter().any(|line| line.contains("I/O error")).then_some(())
    });
    world.config(&sleepers("b c"));
    world.started("c");
    assert!(alive(b) && world.is_up());
    assert_eq!(world.stop(), Some(0));
    assert_eq!(world.processes(), []);
}

#[test]
fn a_full_disk_for_the_pid_file_is_told_at_the_start() {
    if needs_root("a_full_disk_for_the_pid_file_is_told_at_the_start") {
        return;
    }
    let world = mounted(FULL);
    world.config(&sleepers("a"));
    let finished = world.run(&["-F", "-p", world.path("full/pid").to_str().unwrap()]);
    assert_eq!(finished.status, Some(1), "{}", finished.said());
    assert!(finished.stderr.contains("full/pid: No space left on device"), "{}", finished.said());
    assert_eq!(world.processes(), []);
}

#[test]
fn a_read_only_root_stops_no_job_that_does_not_write() {
    if needs_root("a_read_only_root_stops_no_job_that_does_not_write") {
        return;
    }
    let mut world = mounted(
        "for dir in / $DIR; do mount --bind $dir $dir; mount -o remount,bind,ro $dir; done",
    );
    let out = job("out", "cmd /bin/sleep 1000\n  out $DIR/out");
    world.config(&(sleepers("a") + &out));
    world.start();
    let a = world.running("a");
    world.log().wait_for("no state is kept, ");
    let told = world.log().wait_for("job out: opening out ");
    assert!(told.text.ends_with("Read-only file system"), "{told:?}");
    // From outside it can be written.
    world.config(&sleepers("a b"));
    world.started("b");
    assert!(alive(a) && world.is_up());
    assert_eq!(world.stop(), Some(0));
}
