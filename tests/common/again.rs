//! A test program that starts itself once more.

// Not every program of tests uses all of it.
#![allow(dead_code)]

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

/// A command line with `program`, which was built for the machine that the
/// tests run on: `PMTR_RUNNER`, the words before it, are an emulator of that.
pub fn on_target(program: &Path) -> Vec<OsString> {
    let runner = env::var("PMTR_RUNNER").unwrap_or_default();
    let words = runner.split_whitespace().map(OsString::from);
    words.chain([program.into()]).collect()
}

/// This test program.
pub fn this_program() -> Command {
    let words = on_target(&env::current_exe().expect("a path"));
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}
