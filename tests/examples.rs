//! What the documentation shows is true: every configuration in it is accepted
//! by `pmtr -t`, and its tables name what there is.
//!
//! Paths are relative to the package, where cargo runs tests.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Finished, World};

#[test]
fn every_file_in_examples_is_accepted() {
    let files = configurations_in("examples");
    assert!(files.len() >= 4, "only {files:?}");
    files.iter().for_each(|file| assert_accepted(file));
}

#[test]
fn every_example_of_the_manual_is_accepted() {
    let files = configurations_in("tests/data/manual");
    assert!(files.len() >= 7, "only {files:?}");
    files.iter().for_each(|file| assert_accepted(file));
}

#[test]
fn every_configuration_in_the_readme_is_accepted() {
    let world = World::new();
    let readme = readme();
    let blocks = conf_blocks(&readme);
    assert!(!blocks.is_empty(), "README.md has no ```conf block");
    for (n, block) in blocks.iter().enumerate() {
        assert_accepted(&world.file(&format!("README-block-{}.conf", n + 1), block));
    }
}

/// The other tests here would pass if `-t` accepted anything.
#[test]
fn a_misspelt_option_is_not_accepted() {
    let world = World::new();
    let hello = fs::read_to_string("examples/hello.conf").unwrap();
    let file = world.file("misspelt.conf", &hello.replacen("  name ", "  nmae ", 1));
    assert_eq!(test_syntax(&file).status, Some(1));
}

#[test]
fn the_readme_names_every_command_line_option() {
    let help = World::new().run_bare(&["--help"]).said();
    let options: Vec<&str> = help
        .split(|c: char| c.is_whitespace() || "[]|,=<>().;:".contains(c))
        .filter(|word| is_option(word))
        .collect();
    assert!(options.contains(&"-c"), "no options found in:\n{help}");
    let readme = readme();
    for option in options {
        assert!(readme.contains(&format!("`{option}")), "README.md does not name {option}");
    }
}

#[test]
fn all_options_conf_shows_every_option_of_the_readme() {
    let options = first_column(&readme(), "| option | argument |");
    assert!(options.contains(&"bounce every".to_string()), "{options:?}");
    let file = fs::read_to_string("examples/all-options.conf").unwrap();
    for option in options {
        let mut lines = file.lines().map(str::trim_start);
        let shown = lines.any(|line| line == option || line.starts_with(&format!("{option} ")));
        assert!(shown, "examples/all-options.conf does not show {option}");
    }
}

fn assert_accepted(file: &Path) {
    let tested = test_syntax(file);
    assert_eq!(tested.status, Some(0), "pmtr -t -c {}:\n{}", file.display(), tested.said());
}

fn test_syntax(file: &Path) -> Finished {
    // pmtr runs in the world's directory.
    let file = fs::canonicalize(file).unwrap();
    World::new().run_bare(&["-t", "-c", file.to_str().unwrap()])
}

fn readme() -> String {
    fs::read_to_string("README.md").unwrap()
}

fn configurations_in(dir: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|e| e == "conf")).collect()
}

/// What stands between "```conf" and "```".
fn conf_blocks(markdown: &str) -> Vec<&str> {
    let after_start = markdown.split("\n```conf\n").skip(1);
    after_start.map(|rest| rest.split("\n```").next().unwrap()).collect()
}

/// `-x`, `-xx` or `--word`.
fn is_option(word: &str) -> bool {
    word.starts_with('-') && word.contains(|c: char| c.is_ascii_alphabetic())
}

/// The options in the first cells of all tables with this head.
fn first_column(markdown: &str, head: &str) -> Vec<String> {
    let bodies = markdown.split(head).skip(1);
    let rows = bodies.flat_map(|body| body.lines().skip(2).take_while(|l| l.starts_with('|')));
    let cells = rows.map(|row| row.split('|').nth(1).unwrap());
    cells.flat_map(|cell| cell.split(',')).map(|o| o.trim().trim_matches('`').to_string()).collect()
}
