//! Reports as a person sees them: for each `NAME.conf` in tests/data/config there
//! is a `NAME.expected`, written from the rules of the language.

use std::fs;
use std::path::{Path, PathBuf};

use pmtr::config;

use crate::support::empty;

fn files() -> Vec<PathBuf> {
    let folder = Path::new("tests/data/config");
    let entries = fs::read_dir(folder).expect("the folder of files");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|e| e == "conf")).collect();
    files.sort();
    files
}

/// All reports about a file, and at the end what became of it.
fn reports(path: &Path) -> String {
    let name = path.file_name().expect("a name").to_str().expect("UTF-8");
    let mut reports = String::new();
    let text = fs::read(path).expect("a file");
    let result = config::parse(&text, &mut empty(), &mut |problem| {
        reports += &format!("{}\n", problem.report(name.as_bytes()));
    });
    let end = result.map_or_else(|refused| refused.to_string(), |()| "accepted".to_owned());
    reports + &end + "\n"
}

#[test]
fn reports_are_as_expected() {
    let files = files();
    assert!(files.len() >= 10, "the files are there");
    for path in files {
        let expected =
            fs::read_to_string(path.with_extension("expected")).expect("what is expected");
        let reports = reports(&path);
        assert!(reports == expected, "{}:\n{reports}\nexpected:\n{expected}", path.display());
    }
}

/// What the reports of a text look like, without the line that says what is wrong.
fn excerpts(text: &[u8]) -> Vec<String> {
    let mut excerpts = Vec::new();
    let _ = config::parse(text, &mut empty(), &mut |problem| {
        let report = problem.report(b"f").to_string();
        excerpts.push(report.split_once('\n').expect("an excerpt").1.to_owned());
    });
    excerpts
}

#[test]
fn what_is_not_text_is_shown_harmless_one_sign_for_each() {
    assert_eq!(
        excerpts(b"job {\n name j\n cmd /x\n nice \x1b[31m\xFF\xC3\xE2\x82z\n}"),
        ["     nice ?[31m????z\n          ^^^^^^^^^^"]
    );
    assert_eq!(
        excerpts("job {\n\u{7f}é\tuser x\n name j\n cmd /x\n}".as_bytes()),
        ["    ?é\tuser x\n    ^^"]
    );
}

#[test]
fn a_long_line_is_shown_around_what_is_meant() {
    let before = "a".repeat(500);
    let after = "b".repeat(500);
    let text = format!("job {{\n name j {before} {after}\n cmd /x\n}}");
    let window = format!(" name j {}", "a".repeat(112));
    let caret = format!("        {}", "^".repeat(112));
    assert_eq!(excerpts(text.as_bytes()), [format!("    {window}...\n    {caret}")]);

    let text = format!("job {{\n name \"{before}\" }} nice 99 {after}\n cmd /x\n}}");
    let shown = excerpts(text.as_bytes());
    assert!(shown.iter().all(|lines| lines.lines().all(|line| line.len() <= 4 + 3 + 120 + 3)));

    let wide = "é".repeat(300);
    let text = format!("job {{\n name j\n cmd /x\n env {wide}=1 {wide}\n}}");
    let shown = &excerpts(text.as_bytes())[0];
    assert!(!shown.contains('?'), "no character is torn: {shown}");
    assert!(
        shown.starts_with("    ...é") && shown.lines().next().expect("a line").ends_with("...")
    );
}

#[test]
fn a_long_word_does_not_bury_the_sentence() {
    let word = "é".repeat(200);
    let text = format!("job {{\n name j\n cmd /x\n nice {word}\n}}");
    let mut sentences = Vec::new();
    let _ = config::parse(text.as_bytes(), &mut empty(), &mut |p| sentences.push(p.to_string()));
    assert_eq!(sentences, [format!("'{}...' is not a number", "é".repeat(32))]);
}
