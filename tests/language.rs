//! The configuration language as the program takes it: the lines of the
//! compatibility list under "Language", each with `-t`. What the accepted ones
//! do is in `options.rs`, `supervise.rs` and `reload.rs`.

mod common;

use common::{job, Finished, World};
use pmtr::limits::MAX_JOBS;

/// What `-t` says of a file.
fn check(text: &str) -> Finished {
    let world = World::new();
    world.config(text);
    world.run(&["-t"])
}

/// A good job with these lines added.
fn with(lines: &str) -> String {
    job("good", &format!("cmd /bin/sleep 1000\n  {lines}"))
}

#[track_caller]
fn accepted(text: &str) -> Finished {
    let finished = check(text);
    assert_eq!(finished.status, Some(0), "{text}\n{}", finished.said());
    finished
}

/// The file is refused, and each of the parts is in what is said of it.
#[track_caller]
fn refused(text: &str, parts: &[&str]) {
    let finished = check(text);
    assert_eq!(finished.status, Some(1), "{text}\n{}", finished.said());
    for part in parts {
        assert!(finished.said().contains(part), "{part:?} in {}", finished.said());
    }
}

/// The file is taken, with a warning that has each of the parts.
#[track_caller]
fn warned(text: &str, parts: &[&str]) {
    let said = accepted(text).said();
    for part in parts {
        assert!(said.contains(part), "{part:?} in {said}");
    }
}

#[test]
fn an_empty_file_has_no_jobs() {
    accepted("");
    accepted("\n\n# nothing but a comment");
}

#[test]
fn order_is_a_number() {
    accepted(&with("order -3"));
    refused(&with("order first"), &["order", "first"]);
}

#[test]
fn ulimit_has_a_block_form_long_names_and_two_words_for_infinity() {
    accepted(&with("ulimit {\n -n 30\n -c 0\n }"));
    accepted(&with("ulimit { -n 30 -c 0 }"));
    accepted(&with("ulimit RLIMIT_NOFILE 30"));
    accepted(&with("ulimit -c infinity\n  ulimit -t unlimited"));
    refused(&with("ulimit -n infinity"), &["finite"]);
    refused(&with("ulimit -z 3"), &["-z"]);
}

#[test]
fn nice_goes_from_minus_20_to_20() {
    for nice in ["-20", "-19", "0", "19", "20"] {
        accepted(&with(&format!("nice {nice}")));
    }
    for nice in ["-21", "21", "100000000000"] {
        refused(&with(&format!("nice {nice}")), &["nice", nice, "-20", "20"]);
    }
}

#[test]
fn a_keyword_must_be_followed_by_white_space() {
    refused("job{\n  name a\n  cmd /bin/true\n}\n", &["job{"]);
    refused(&job("a", "cmd=/bin/true"), &["cmd=/bin/true"]);
    refused(&job("a", "cmd /bin/true\n  depends{\n /etc/passwd\n }"), &[]);
}

#[test]
fn a_quoted_string_ends_on_its_line() {
    refused(&job("a", "cmd /bin/echo \"one\n  two\""), &["quote"]);
}

#[test]
fn every_value_may_be_quoted() {
    let lines = [
        "dir \"/tmp\"",
        "out \"/dev/null\"",
        "err \"/dev/null\"",
        "in \"/dev/null\"",
        "env \"A=b c\"",
        "user \"root\"",
        "nice \"5\"",
        "cpu \"0\"",
        "order \"1\"",
        "ulimit \"-n\" \"30\"",
        "bounce every \"1d\"",
        "depends {\n \"/etc/passwd\"\n }",
    ];
    accepted(&job("\"quoted\"", &format!("cmd \"/bin/sleep\" \"1\"\n{}", lines.join("\n"))));
}

#[test]
fn env_needs_a_name_and_an_equals_sign() {
    refused(&with("env DEBUG"), &["DEBUG"]);
    refused(&with("env =x"), &["=x"]);
    accepted(&with("env A=\n  env B=x=y"));
}

#[test]
fn what_is_repeated_is_an_error() {
    refused("job {\n  name a\n  name b\n  cmd /bin/true\n}\n", &["name", "2"]);
    refused("job {\n  name a\n  cmd /bin/true\n  nice 1\n  cmd /bin/false\n}\n", &["cmd", "3"]);
    for option in ["dir", "out", "err", "in"] {
        refused(&with(&format!("{option} /dev\n  {option} /tmp")), &[option]);
    }
}

#[test]
fn of_some_options_the_last_counts_with_a_warning_that_names_both_lines() {
    for (option, first, last) in [
        ("user", "root", "root"),
        ("nice", "1", "2"),
        ("order", "1", "2"),
        ("bounce", "every 1s", "every 1d"),
    ] {
        let text =
            format!("job {{\nname a\ncmd /bin/true\n{option} {first}\n\n{option} {last}\n}}\n");
        warned(&text, &[option, "4", "6"]);
    }
}

#[test]
fn some_options_may_be_repeated() {
    let twice = "env A=1\nenv B=1\nulimit -n 30\nulimit -c 0\ncpu 0\ncpu 0";
    let depends = "depends {\n/etc/passwd\n}\ndepends {\n/etc/group\n}";
    accepted(&with(&format!("{twice}\n{depends}\nwait\nwait\nonce\nonce\ndisable\ndisable")));
}

#[test]
fn a_job_needs_a_name_and_a_command_and_the_name_is_unique() {
    refused("job {\n  cmd /bin/true\n}\n", &["name"]);
    refused("job {\n  name a\n}\n", &["cmd"]);
    refused(&(job("same", "cmd /bin/true") + &job("same", "cmd /bin/false")), &["same", "1"]);
}

#[test]
fn cpus_have_to_be_possible() {
    for cpu in ["0", "0,2-4", "3-3", "0x8f", "0xABCD"] {
        accepted(&with(&format!("cpu {cpu}")));
    }
    for cpu in ["99999", "4-2", "0x", "0xg", "1-", "-1", "1,,2", "a"] {
        refused(&with(&format!("cpu {cpu}")), &[cpu]);
    }
    warned(&with("cpu 200"), &["good", "cpu", "warning"]);
}

#[test]
fn ulimit_values_have_64_bits() {
    accepted(&with("ulimit -f 18446744073709551615"));
    refused(&with("ulimit -f 18446744073709551616"), &["18446744073709551616"]);
}

#[test]
fn numbers_are_numbers_to_their_end() {
    let wrong = [
        "nice 5x",
        "order 1.5",
        "order 99999999999",
        "ulimit -n 30k",
        "ulimit -n -1",
        "bounce every -5s",
        "bounce every 5",
        "bounce every 5x",
        "bounce every 5ss",
        "bounce every s",
        "bounce every 99999999999999d",
    ];
    for line in wrong {
        refused(&with(line), &[line.rsplit(' ').next().unwrap()]);
    }
}

#[test]
fn addresses_are_addresses_to_their_end() {
    accepted("report to udp://127.0.0.1:9999\nreport to udp://239.0.0.1:9999@eth2\n");
    accepted("listen on udp://0.0.0.0:10000\n");
    for address in ["udp://", "udp://127.0.0.1", "udp://127.0.0.1:abc", "udp://127.0.0.1:9999x"] {
        refused(&format!("report to {address}\n"), &[address]);
    }
    for address in ["udp://0.0.0.0:65536", "udp://0.0.0.0:0", "tcp://0.0.0.0:1", "0.0.0.0:1"] {
        refused(&format!("listen on {address}\n"), &[address]);
    }
}

#[test]
fn looking_at_a_file_looks_no_host_name_up() {
    // It would take seconds, or fail.
    accepted("report to udp://no-such-host.invalid:9999\n");
}

#[test]
fn a_nul_byte_is_an_error() {
    refused(&with("env A=\0b"), &["NUL"]);
}

#[test]
fn a_misspelt_option_after_cmd_is_an_argument_and_a_warning() {
    let text = job("a", "cmd /bin/echo 1000\n  dirr /tmp\n  once");
    warned(&text, &["dirr", "did you mean", "'dir'"]);
    let world = World::with(&text);
    world.log().wait_for("dirr");
    world.log().wait_line("a", "1000 dirr /tmp");
}

#[test]
fn on_to_every_and_a_brace_can_be_arguments_and_names() {
    for name in ["on", "to", "every"] {
        accepted(&job(name, "cmd /bin/echo on to every {"));
    }
}

#[test]
fn errors_name_file_line_column_and_word_with_a_hint() {
    let world = World::new();
    world.config("job {\n  name a\n  comand /bin/sleep\n}\n");
    let said = world.run(&["-t"]).said();
    let place = format!("{}:3:3: ", world.config_file().display());
    for part in [&place, "'comand'", "did you mean 'cmd'?", "comand /bin/sleep"] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
}

#[test]
fn all_errors_of_a_file_are_told_at_once() {
    refused(&(job("a", "comand /bin/true") + &with("nice x\n  cpu y")), &["comand", "'x'", "'y'"]);
}

#[test]
fn what_does_not_fit_is_refused_with_the_limit() {
    refused(&job(&"n".repeat(64), "cmd /bin/true"), &["NAME_BYTES", "63"]);
    refused(&job("a", &format!("cmd /bin/echo {}", "x ".repeat(300))), &["MAX_ARGS", "256"]);
    let jobs: String = (0..=MAX_JOBS).map(|n| job(&format!("j{n}"), "cmd /bin/true")).collect();
    refused(&jobs, &["MAX_JOBS", &MAX_JOBS.to_string()]);
}
