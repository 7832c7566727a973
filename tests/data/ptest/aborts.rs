//! A test for tests/run-ptest: its program ends before there is a result.

#[test]
fn aborts() {
    std::process::abort();
}
