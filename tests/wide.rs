//! What does not fit into 32 bits: sizes of files, limits, and dates after
//! January 2038. On a 64-bit machine this is nothing special; boards with 32
//! bits are where it can fail.

mod common;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use common::process::limits;
use common::{eventually, job, sleepers, World};

/// Above 2 GiB, which a signed `off_t` of 32 bits ends at, and above 4 GiB.
const SIZES: [u64; 2] = [3 << 30, 5 << 30];

/// A file of this size without content on the disk.
fn large(path: &Path, size: u64) {
    File::create(path).unwrap().set_len(size).expect("a sparse file");
}

/// Gives a file a date in 2040. Where the file system has none, there is nothing to test.
fn date_2040(path: &Path) -> bool {
    let date = SystemTime::UNIX_EPOCH + Duration::from_secs(2_208_988_800);
    File::options().write(true).open(path).unwrap().set_modified(date).unwrap();
    let kept = fs::metadata(path).unwrap().mtime() == 2_208_988_800;
    if !kept {
        eprintln!("skipped: the file system has no date after 2038");
    }
    kept
}

#[test]
fn out_is_appended_to_a_large_file() {
    for size in SIZES {
        let mut world = World::new();
        large(&world.path("out"), size);
        world.config(&job("a", "cmd /bin/echo more\n  out $DIR/out\n  once"));
        world.start();
        world.exited("a");
        assert_eq!(fs::metadata(world.path("out")).unwrap().len(), size + 5);
    }
}

#[test]
fn in_is_taken_from_a_large_file() {
    let mut world = World::new();
    large(&world.path("in"), SIZES[1]);
    world.config(&job("a", "cmd /usr/bin/head -c 1\n  in $DIR/in\n  out $DIR/out\n  once"));
    world.start();
    world.exited("a");
    assert_eq!(world.read("out"), "\0");
}

#[test]
fn a_job_can_depend_on_a_large_file() {
    for size in SIZES {
        let mut world = World::new();
        let file = world.path("file");
        large(&file, size);
        world.config(&job("a", "cmd /bin/sleep 1000\n  depends {\n    $DIR/file\n  }"));
        world.start();
        let first = world.pid_of("a");
        large(&file, size + 1);
        world.restarted("a", first);
    }
}

#[test]
fn a_large_configuration_is_refused_as_too_large() {
    let world = World::new();
    world.config("");
    let told: Vec<String> = [1 << 20, SIZES[0], SIZES[1]]
        .into_iter()
        .map(|size| {
            large(&world.config_file(), size);
            let finished = world.run(&["-t"]);
            assert_eq!(finished.status, Some(1));
            finished.said()
        })
        .collect();
    assert!(told.iter().all(|said| *said == told[0]), "{told:#?}");
}

#[test]
fn a_configuration_of_2040_is_read_and_its_change_seen() {
    let mut world = World::new();
    world.config(&sleepers("a"));
    if !date_2040(&world.config_file()) {
        return;
    }
    assert_eq!(world.run(&["-t"]).status, Some(0));
    world.start();
    world.started("a");
    world.config(&sleepers("a b"));
    date_2040(&world.config_file());
    world.started("b");
}

#[test]
fn a_job_can_depend_on_a_file_of_2040() {
    let mut world = World::new();
    let file = world.file("file", "before");
    if !date_2040(&file) {
        return;
    }
    world.config(&job("a", "cmd /bin/sleep 1000\n  depends {\n    $DIR/file\n  }"));
    world.start();
    let first = world.pid_of("a");
    world.file("file", "after");
    date_2040(&file);
    world.restarted("a", first);
}

#[test]
fn limits_have_64_bits() {
    let mut world = World::new();
    let wide = "9000000000"; // above 2^32 + 2^31
    world.config(&job(
        "a",
        &format!(
            "cmd /bin/sleep 1000\n  ulimit -f {wide}\n  ulimit -c 4294967295\n  ulimit -t infinity"
        ),
    ));
    world.start();
    let pid = world.running("a");
    eventually("its limits", || {
        limits(pid, "Max file size") == (wide.into(), wide.into())
            // The largest value of 32 bits is a number, not infinity.
            && limits(pid, "Max core file size").1 == "4294967295"
            // Infinity is all ones in either width.
            && limits(pid, "Max cpu time") == ("unlimited".into(), "unlimited".into())
    });
}
