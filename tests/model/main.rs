//! Whatever happens to a path, pmtr runs what it holds.
//!
//! Each seed is a random sequence of what a file system can do to the configuration and to a file
//! that a job depends on: several writers write in parts, files and directories are renamed,
//! exchanged, linked, mounted and removed. Once that is over pmtr must run what the paths hold
//! within a second, and it must never have used content that a writer had not finished.
//!
//! | variable | meaning |
//! |---|---|
//! | `PMTR_MODEL_SEEDS` | the number of seeds for each file system; without it, 50 |
//! | `PMTR_SEED` | the first seed, or `time` for the time in milliseconds; without it, 1 |
//! | `PMTR_MODEL_THREADS` | how many run at once; without it, 4 for each processor |

#[path = "../common/mod.rs"]
mod common;
#[path = "../sim/dice.rs"]
mod dice;
mod disk;
mod life;
mod run;
mod truth;

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use common::{emulated, skipped};
use disk::Disk;

/// Each test here starts many programs: one after the other.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn a_path_holds_what_pmtr_runs_on_tmpfs() {
    all_seeds("a_path_holds_what_pmtr_runs_on_tmpfs", Disk::Tmpfs);
}

#[test]
fn a_path_holds_what_pmtr_runs_on_ext4() {
    all_seeds("a_path_holds_what_pmtr_runs_on_ext4", Disk::Ext4);
}

#[test]
fn a_path_holds_what_pmtr_runs_on_overlayfs() {
    all_seeds("a_path_holds_what_pmtr_runs_on_overlayfs", Disk::Overlay);
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| match &*value {
        "time" => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64,
        value => value.parse().expect("a number"),
    })
}

fn all_seeds(test: &str, disk: Disk) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if skipped(test) || disk.is_missing(test) {
        return;
    }
    let count = number("PMTR_MODEL_SEEDS").unwrap_or(if emulated() { 5 } else { 50 });
    let first = number("PMTR_SEED").unwrap_or(1);
    println!("seeds {first} to {}", first + count - 1);
    let processors = thread::available_parallelism().map_or(1, usize::from) as u64;
    let threads = number("PMTR_MODEL_THREADS").unwrap_or(4 * processors);
    let (next, is_bad) = (AtomicU64::new(first), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..threads.min(count) {
            scope.spawn(|| {
                while !is_bad.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    // A namespace of mounts belongs to a thread, and ends with it.
                    let one = || catch_unwind(AssertUnwindSafe(|| run::one(seed, disk)));
                    let done = thread::scope(|scope| scope.spawn(one).join());
                    if !matches!(done, Ok(Ok(()))) {
                        is_bad.store(true, Ordering::Relaxed);
                        println!("again: PMTR_SEED={seed} PMTR_MODEL_SEEDS=1 cargo test --test model {test}");
                    }
                }
            });
        }
    });
    assert!(!is_bad.load(Ordering::Relaxed), "a seed failed");
}
