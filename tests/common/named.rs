//! The names of all tests, for documents that say which of them holds a promise.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The names of the functions in `tests` and `src` that have a `#[test]` above them.
pub fn all_tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for directory in ["tests", "src"] {
        collect(Path::new(directory), &mut found);
    }
    assert!(found.len() > 500, "the tests were not found");
    found
}

fn collect(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(tests_in(&fs::read_to_string(path).expect("a file")));
        }
    }
}

/// Between the mark and the function there may be another attribute. A program that is a single
/// test, without a harness, says its name by itself.
fn tests_in(text: &str) -> Vec<String> {
    let marked = text.split("#[test]\n").skip(1);
    let marked = marked.filter_map(|rest| rest.split_once("fn ")?.1.split_once('('));
    let alone = text.split("\nconst NAME: &str = \"").skip(1);
    let alone = alone.filter_map(|rest| rest.split_once("\";"));
    marked.chain(alone).map(|(name, _)| name.to_string()).collect()
}
