//! Tests for tests/run-ptest: one of them fails, after words that a test says which is left out.

#[test]
fn fails() {
    panic!("skipped: fails: not at all");
}

#[test]
fn another_passes() {}
