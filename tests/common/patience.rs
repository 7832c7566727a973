//! Waiting for something to become true, with a deadline.

// Not every program of tests uses all of it.
#![allow(dead_code, unused_imports)]

use std::thread::sleep;
use std::time::{Duration, Instant};

pub use super::skip::stretched;

/// How long anything may take that happens at once.
pub const SHORT: u64 = 10;

/// How long anything may take that happens after the 10 s rule.
pub const LONG: u64 = 30;

/// Waits until `check` is true; fails with `what` when that takes too long.
#[track_caller]
pub fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    patiently(SHORT, what, || check().then_some(()))
}

/// Waits at most `secs` seconds for `find` to find something.
#[track_caller]
pub fn patiently<T>(secs: u64, what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + stretched(secs);
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {secs} s: {what}");
        sleep(Duration::from_millis(5));
    }
}
