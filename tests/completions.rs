//! Completions and the syntax file know every option.

mod common;

use std::fs;
use std::process::Command;

use common::World;
use pmtr::config::options;

/// The options of `pmtr --help`, without hyphens: letters, and words.
fn command_line() -> (Vec<String>, Vec<String>) {
    let help = World::new().run_bare(&["--help"]).stdout;
    let lines = help.lines().filter(|line| line.trim_start().starts_with('-'));
    let words = lines.flat_map(|line| line.split_whitespace().take(2).collect::<Vec<_>>());
    let options: Vec<&str> = words.map(|word| word.trim_end_matches(',')).collect();
    let long = |option: &&str| option.strip_prefix("--").map(String::from);
    let short = |option: &&str| option.strip_prefix('-').filter(|o| o.len() == 1).map(String::from);
    (options.iter().filter_map(short).collect(), options.iter().filter_map(long).collect())
}

fn read(name: &str) -> String {
    fs::read_to_string(format!("packaging/{name}")).unwrap()
}

#[test]
fn every_completion_has_every_option() {
    let (bash, zsh, fish) = (
        read("completions/pmtr.bash"),
        read("completions/pmtr.zsh"),
        read("completions/pmtr.fish"),
    );
    let (short, long) = command_line();
    assert!(short.len() >= 8 && long.len() >= 10, "{short:?} {long:?}");
    for o in short {
        assert!(bash.contains(&format!("-{o} --")), "bash: -{o}");
        assert!(zsh.contains(&format!("{{-{o},--")), "zsh: -{o}");
        assert!(fish.contains(&format!(" -s {o} -l ")), "fish: -{o}");
    }
    for o in long {
        assert!(bash.contains(&format!("--{o}")), "bash: --{o}");
        assert!(zsh.contains(&format!("--{o}")), "zsh: --{o}");
        assert!(fish.contains(&format!(" -l {o} ")), "fish: --{o}");
    }
}

#[test]
fn bash_completes_options_files_and_directories() {
    let complete = |words: &str| {
        let script = format!(
            "source packaging/completions/pmtr.bash; COMP_WORDS=({words}); \
             COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _pmtr; echo ${{COMPREPLY[@]}}"
        );
        let output = Command::new("bash").args(["-c", &script]).output().expect("bash");
        String::from_utf8(output.stdout).unwrap().trim().to_string()
    };
    assert_eq!(complete("pmtr --stri"), "--strict");
    assert_eq!(complete("pmtr --log"), "--log-socket");
    assert_eq!(complete("pmtr -c examples/hel"), "examples/hello.conf");
    assert_eq!(complete("pmtr -IFc examples/hel"), "examples/hello.conf");
    assert_eq!(complete("pmtr --state-dir example"), "examples");
    assert_eq!(complete("pmtr --state-dir examples/hel"), "");
}

#[test]
fn the_syntax_file_has_every_option_of_the_language() {
    let syntax = read("vim/syntax/pmtr.vim").replace("\\s\\+", " ");
    let words: Vec<&str> = syntax.split(['(', '|', ')', '\\', '*']).collect();
    for option in options() {
        let name = option.name.as_str();
        assert!(words.contains(&name) || name == "job", "no {name} in {words:?}");
    }
}
