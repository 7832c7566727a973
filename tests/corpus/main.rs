//! What the fuzzers try, without a fuzzer: everything that they have found worth keeping
//! goes through the same checks, and so does what property tests make up.
//!
//! `PMTR_CORPUS` names a directory with more such files, laid out as tests/data/corpus is.

mod config;
mod control;
mod lines;
mod state;
mod supervisor;

mod chance;
#[path = "../sim/dice.rs"]
mod dice;
#[path = "../sim/oracle.rs"]
mod oracle;
#[path = "../common/sealed.rs"]
mod sealed;
#[path = "../sim/storm.rs"]
mod storm;
#[path = "../sim/watchdog.rs"]
mod watchdog;
#[path = "../sim/world.rs"]
#[allow(dead_code)]
mod world;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Puts every file for `target` through `check`; the name of the one that fails is told.
fn check_all(target: &str, check: fn(&[u8])) {
    let committed = Path::new("tests/data/corpus").join(target);
    let more = env::var_os("PMTR_CORPUS").map(|more| PathBuf::from(more).join(target));
    let files: Vec<PathBuf> =
        [Some(committed), more].into_iter().flatten().flat_map(files).collect();
    assert!(files.len() >= 10, "the files of {target} were not found");
    for file in files {
        let _told = Told(&file);
        check(&fs::read(&file).expect("a file"));
    }
}

fn files(directory: PathBuf) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(&directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

/// Says which file it was.
struct Told<'a>(&'a Path);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the file: {}", self.0.display());
        }
    }
}

#[test]
fn the_corpus_of_configurations_breaks_no_promise() {
    check_all("config", config::check_bytes);
}

#[test]
fn the_corpus_of_datagrams_breaks_no_promise() {
    check_all("control", control::check);
}

#[test]
fn the_corpus_of_job_output_breaks_no_promise() {
    check_all("lines", lines::check);
}

#[test]
fn the_corpus_of_state_files_breaks_no_promise() {
    check_all("state", state::check);
}

#[test]
fn the_corpus_of_storms_breaks_no_promise() {
    check_all("supervisor", supervisor::check);
}
