//! Tests for tests/run-ptest: none of them fails.

#[test]
fn passes() {}

#[test]
fn passes_with_output() {
    println!("not skipped: a test may say anything");
}

#[test]
fn leaves_itself_out() {
    eprintln!("skipped: leaves_itself_out: needs a tool");
}

#[test]
#[ignore = "takes an hour"]
fn ignored() {}

mod module {
    #[test]
    fn leaves_itself_out() {
        println!("skipped: the file system is too small");
    }
}
