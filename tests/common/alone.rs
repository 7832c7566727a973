//! A test in a program of its own, without the harness that other tests have.

use std::process::ExitCode;
use std::{env, thread};

/// Runs the test called `name` and says of it what the harness would.
pub fn run_alone(name: &str, test: fn()) -> ExitCode {
    println!("\nrunning 1 test");
    let is_asked_for =
        env::args().skip(1).filter(|word| !word.starts_with('-')).all(|word| name.contains(&word));
    if !is_asked_for || super::skipped(name) {
        return ExitCode::SUCCESS;
    }
    let is_good = thread::spawn(test).join().is_ok();
    let (word, passed) = if is_good { ("ok", 1) } else { ("FAILED", 0) };
    println!("test {name} ... {word}\n");
    println!("test result: {word}. {passed} passed; {} failed; 0 ignored", 1 - passed);
    if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
