//! What the compiler does not check of the house's plan (the crate's documentation).

use std::fs;
use std::path::{Path, PathBuf};

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory of sources").map(Result::unwrap) {
        match entry.path() {
            path if path.is_dir() => found.extend(sources(&path)),
            path if path.extension().is_some_and(|ending| ending == "rs") => found.push(path),
            _ => {}
        }
    }
    found
}

/// The files above `src/sys` with their text, but for the program itself.
fn pure_sources() -> Vec<(PathBuf, String)> {
    let is_pure = |path: &PathBuf| !path.starts_with("src/sys") && !path.ends_with("main.rs");
    let read = |path: PathBuf| (path.clone(), fs::read_to_string(path).unwrap());
    let found: Vec<_> = sources(Path::new("src")).into_iter().filter(is_pure).map(read).collect();
    assert!(found.len() > 10, "the sources were not found");
    found
}

/// The part of a file that goes into the program.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

#[test]
fn pure_modules_name_no_crate_of_the_system() {
    for (path, text) in pure_sources() {
        for name in ["nix::", "libc::", "inotify::", "syslog::", "lexopt::", "extern crate"] {
            assert!(!without_tests(&text).contains(name), "{} names {name}", path.display());
        }
    }
}

#[test]
fn pure_modules_forbid_unsafe_code() {
    for (path, text) in pure_sources() {
        let is_root = path.parent() == Some(Path::new("src")) || path.ends_with("mod.rs");
        // The root of the crate cannot forbid it: `sys` needs it.
        if is_root && !path.ends_with("src/lib.rs") {
            let forbids = text.contains("#![forbid(unsafe_code)]");
            assert!(forbids, "{} does not forbid unsafe code", path.display());
        }
    }
}

#[test]
fn the_machine_has_no_catch_all_for_its_states_and_events() {
    for path in sources(Path::new("src/supervise")) {
        let text = fs::read_to_string(&path).unwrap();
        let found = without_tests(&text).lines().find(|line| line.trim_start().starts_with("_ =>"));
        assert_eq!(found, None, "{}", path.display());
    }
}
