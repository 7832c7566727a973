//! The lists of promises, in the crate's documentation and in SECURITY.md: each has its tests, and
//! they exist.

#[path = "common/named.rs"]
mod named;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use named::all_tests;

/// The rows of all tables of a page whose last column is called `tests`: the first column, and
/// the names in the last.
fn promises(page: &str) -> Vec<(String, Vec<String>)> {
    let mut rows = Vec::new();
    let mut is_list = false;
    for line in page.lines() {
        let Some(row) = line.strip_prefix("| ").and_then(|row| row.strip_suffix(" |")) else {
            is_list &= line.starts_with("|--");
            continue;
        };
        let columns: Vec<&str> = row.split(" | ").collect();
        let (first, last) = (columns[0], columns[columns.len() - 1]);
        if last == "tests" {
            is_list = true;
        } else if is_list {
            // What stands between the marks, every second piece, is code.
            let names = last.split('`').skip(1).step_by(2).map(String::from).collect();
            rows.push((first.to_string(), names));
        }
    }
    rows
}

fn page(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Tests of this crate, and scripts of the sources; only those are there when it is packaged.
fn is_there(name: &str, tests: &BTreeSet<String>) -> bool {
    match name.strip_prefix("ci/") {
        Some(_) => !Path::new("ci").exists() || Path::new(name).exists(),
        None => tests.contains(name),
    }
}

#[track_caller]
fn check(path: &str, at_least: usize) {
    let (rows, tests) = (promises(&page(path)), all_tests());
    assert!(rows.len() >= at_least, "{path} has {} rows", rows.len());
    for (promise, names) in rows {
        assert!(!names.is_empty(), "{path}: no test: {promise}");
        for name in names {
            assert!(is_there(&name, &tests), "{path}: {promise}: there is no test {name}");
        }
    }
}

#[test]
fn every_promise_has_its_tests() {
    check("src/promises.md", 30);
}

#[test]
fn every_threat_has_its_tests() {
    check("SECURITY.md", 30);
}

/// The headings of docs/compat.md that the sources cite: `compat.md, "HEADING"`.
fn cited(directory: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            cited(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a file");
            let pieces = text.split("compat.md, \"").skip(1);
            let headings = pieces.filter_map(|piece| piece.split_once('"'));
            found.extend(headings.map(|(name, _)| (path.display().to_string(), name.to_string())));
        }
    }
}

#[test]
fn every_cited_heading_of_the_compatibility_page_is_there() {
    let compat = page("docs/compat.md");
    let mut found = Vec::new();
    cited(Path::new("src"), &mut found);
    assert!(found.len() > 5, "{found:?}");
    for (path, heading) in found {
        assert!(compat.contains(&format!("\n## {heading}\n")), "{path} cites {heading}");
    }
}

#[test]
fn every_attribute_has_its_tests() {
    check("docs/attributes.md", 25);
}

#[test]
fn every_promise_of_the_house_is_in_the_list() {
    let house = page("src/lib.rs");
    let table = house.split("//! | promise | how it is kept |\n").nth(1).expect("the table");
    let rows = table.lines().skip(1).map_while(|line| line.strip_prefix("//! | "));
    let house: Vec<&str> = rows.filter_map(|row| Some(row.split_once(" | ")?.0)).collect();
    assert!(house.len() >= 8, "{house:?}");
    let listed = promises(&page("src/promises.md"));
    for promise in house {
        assert!(listed.iter().any(|(listed, _)| listed == promise), "not in the list: {promise}");
    }
}
