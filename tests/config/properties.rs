//! What holds for every file.

use std::fmt::Write;

use pmtr::config;
use proptest::prelude::*;
use proptest::sample::{select, Index};

use crate::any_text::{check, check_bytes, equal, parse, with_tables};
use crate::support::{texts, MANUAL};

/// The words of the language, and some that are not.
fn word() -> impl Strategy<Value = String> {
    let keywords = select(vec![
        "job",
        "name",
        "cmd",
        "dir",
        "out",
        "err",
        "in",
        "env",
        "user",
        "nice",
        "cpu",
        "ulimit",
        "bounce",
        "every",
        "depends",
        "disable",
        "wait",
        "once",
        "log",
        "log drop",
        "order",
        "report",
        "to",
        "listen",
        "on",
        "{",
        "}",
        "job {",
        "depends {",
        "ulimit {",
        "\n}\n",
        "bounce every",
    ]);
    let values = select(vec![
        "/a",
        "/b c",
        "A=1",
        "5",
        "-5",
        "5s",
        "1d",
        "0x8f",
        "0,2-4",
        "-n",
        "-c",
        "RLIMIT_AS",
        "infinity",
        "syslog",
        "udp://1.2.3.4:5",
        "udp://[::1]:5@eth0",
        "from",
        "10.0.0.0/8",
        "listen on udp://[::]:5 from fe80::/10",
        "\"a b\"",
        "\"",
        "\"}\"",
        "# c\n",
        "é",
        "nmae",
        "job{",
        "};",
        "x\"y",
        "\"\"",
        "usr",
    ]);
    prop_oneof![3 => keywords.prop_map(str::to_owned), 3 => values.prop_map(str::to_owned), 1 => "[a-c]{1,3}"]
}

/// Words with something between them: nearly a configuration.
fn soup() -> impl Strategy<Value = String> {
    let between = select(vec![" ", " ", "\n", "\n", "\n  ", "\t", "\r\n", ""]);
    let words = prop::collection::vec((word(), between), 0..80);
    words.prop_map(|words| words.into_iter().map(|(word, between)| word + between).collect())
}

/// One option that is accepted: with `n` in it where two of them should differ.
fn option(n: usize) -> impl Strategy<Value = String> {
    let text = "[a-zA-Z0-9/._#%-]{1,9}|\"[a-z #{}=]{1,9}\"";
    prop_oneof![
        (text, "[A-Z]{1,3}").prop_map(move |(value, name)| match value.strip_prefix('"') {
            Some(rest) => format!("env \"{name}{n}={rest}"),
            None => format!("env {name}{n}={value}"),
        }),
        text.prop_map(|path| format!("depends {{ {} }}", hidden(&path))),
        (text, text).prop_map(|(a, b)| format!("depends {{\n {}\n {} }}", hidden(&a), hidden(&b))),
        text.prop_map(|user| format!("user {}", hidden(&user))),
        ("[a-z0-9_-]{1,9}", "[a-z0-9_-]{1,9}").prop_map(|(a, b)| format!("user {a}:{b}")),
        ("[a-z ]{1,9}", "[a-z ]{1,9}").prop_map(|(a, b)| format!("user \"{a}:{b}\"")),
        (-20..=20).prop_map(|nice: i32| format!("nice {nice}")),
        any::<i32>().prop_map(|order| format!("order {order}")),
        (0..1024, 0..1024).prop_map(|(a, b): (i32, i32)| format!("cpu {}-{}", a.min(b), a.max(b))),
        any::<u64>().prop_map(|mask| format!("cpu 0x{mask:x}")),
        (select(vec!["-c", "-d", "RLIMIT_AS", "-t"]), any::<u64>())
            .prop_map(|(flag, value)| format!("ulimit {flag} {value}")),
        any::<u32>().prop_map(|value| format!("ulimit {{ -n {value} -s infinity }}")),
        (1..40_000u32, select(vec!['s', 'm', 'h', 'd']))
            .prop_map(|(number, unit)| format!("bounce every {number}{unit}")),
        select(vec!["disable", "wait", "once", "log drop", "log block"]).prop_map(str::to_owned),
    ]
}

/// A bare word that begins with `#` would be a comment, and one that begins a
/// line and is called like an option would be that.
fn hidden(word: &str) -> String {
    let is_keyword = config::options().any(|rule| rule.name.split(' ').next() == Some(word));
    if word.starts_with('#') || is_keyword {
        format!("x{word}")
    } else {
        word.to_owned()
    }
}

/// A job's name and options, one an element.
fn job() -> impl Strategy<Value = Vec<String>> {
    let options =
        prop::collection::vec(any::<Index>().prop_flat_map(|n| option(n.index(50))), 0..12);
    let arguments = prop::collection::vec("[a-z0-9#=-]{1,9}|\"[a-z ;]{0,9}\"", 0..6);
    let files =
        prop::sample::subsequence(vec!["dir /d", "out o", "err syslog", "in \"/i i\""], 0..=4);
    (options, arguments, files).prop_flat_map(|(mut options, arguments, files)| {
        options.extend(files.into_iter().map(str::to_owned));
        let arguments = arguments.iter().map(|word| hidden(word)).collect::<Vec<_>>();
        options.push(format!("cmd /bin/x {}", arguments.join(" ")));
        Just(options).prop_shuffle()
    })
}

fn jobs() -> impl Strategy<Value = Vec<Vec<String>>> {
    prop::collection::vec(job(), 0..6).prop_map(|mut jobs| {
        let named = |(n, job): (usize, &mut Vec<String>)| {
            job.insert(n % (job.len() + 1), format!("name job{n}"))
        };
        jobs.iter_mut().enumerate().for_each(named);
        jobs
    })
}

/// The words of all options that begin with `name`, with a scanner of its own.
fn values(options: &[String], name: &str) -> Vec<String> {
    let mut words = Vec::new();
    for option in options.iter().filter_map(|option| option.strip_prefix(name)) {
        let mut rest = option.trim_start();
        while !rest.is_empty() {
            let (word, after) = match rest.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').expect("a second quote"),
                None => rest.split_at(rest.find([' ', '\n']).unwrap_or(rest.len())),
            };
            let brace = matches!(word, "{" | "}") && !rest.starts_with('"');
            words.extend((!brace).then(|| word.to_owned()));
            rest = after.trim_start();
        }
    }
    words
}

/// The options in which every word is the one between its white space.
fn without_quotes(options: &[String]) -> Vec<String> {
    let (quoted, mut plain): (Vec<_>, Vec<_>) =
        options.iter().cloned().partition(|option| option.contains('"'));
    if quoted.iter().any(|option| option.starts_with("cmd")) {
        plain.push("cmd /bin/x y".to_owned());
    }
    plain
}

/// Writes jobs so that nothing but the language needs a line of its own.
fn plain(jobs: &[Vec<String>]) -> String {
    let mut text = String::new();
    for options in jobs {
        writeln!(text, "job {{\n{}\n}}", options.join("\n")).expect("text");
    }
    text
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(text in prop::collection::vec(any::<u8>(), 0..400)) {
        check_bytes(&text);
    }

    #[test]
    fn no_words_make_it_panic(text in soup()) {
        check_bytes(text.as_bytes());
    }

    #[test]
    fn no_damage_to_a_real_file_makes_it_panic(
        edits in prop::collection::vec((any::<Index>(), 0..4u8, any::<u8>(), any::<Index>()), 1..8)
    ) {
        let mut text = MANUAL.as_bytes().to_vec();
        for (at, how, byte, other) in edits {
            let (at, other) = (at.index(text.len()), other.index(text.len()));
            match how {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                2 => { text.remove(at); }
                _ => text.swap(at, other),
            }
        }
        check_bytes(&text);
        text.truncate(text.len() / 2);
        check_bytes(&text);
    }

    #[test]
    fn what_is_right_is_accepted_printed_and_read_again(jobs in jobs()) {
        with_tables(|into, other| {
            let text = plain(&jobs);
            prop_assert!(check(text.as_bytes(), into, other).is_ok(), "{}", text);
            prop_assert_eq!(into.len(), jobs.len());
            for (n, options) in jobs.iter().enumerate() {
                let job = into.job(into.find(format!("job{n}").as_bytes()).expect("the job"));
                prop_assert_eq!(texts(job.env()), values(options, "env "));
                prop_assert_eq!(texts(job.depends()), values(options, "depends "));
                prop_assert_eq!(texts(job.argv()), values(options, "cmd "));
            }
            Ok(())
        })?;
    }

    #[test]
    fn line_ends_indentation_blank_lines_and_comments_do_not_matter(
        jobs in jobs(),
        noise in prop::collection::vec(select(vec!["\n", "\r\n", "\n\n", "\n\t  ", " # c\n", "\n# job {\n  "]), 20)
    ) {
        let text = plain(&jobs);
        let mut noise = noise.iter().cycle();
        let noisy: String = text.split_inclusive('\n')
            .map(|line| line.trim_end_matches('\n').to_owned() + noise.next().expect("endless"))
            .collect();
        with_tables(|plain, other| {
            parse(text.as_bytes(), plain).expect("good");
            prop_assert!(parse(noisy.as_bytes(), other).is_ok(), "{}", noisy);
            prop_assert!(equal(plain, other), "{}", noisy);
            prop_assert!(parse(noisy.replace("\r\n", "\n").replace('\n', "\r\n").as_bytes(), other).is_ok());
            prop_assert!(equal(plain, other));
            Ok(())
        })?;
    }

    #[test]
    fn every_word_is_read_once_in_its_order(jobs in jobs()) {
        let jobs: Vec<Vec<String>> = jobs.iter().map(|options| without_quotes(options)).collect();
        let text = plain(&jobs);
        let mut words: Vec<Vec<u8>> = Vec::new();
        let read = &mut |token: &config::Token<'_>| words.push(token.word.to_vec());
        with_tables(|into, _| config::parse_traced(text.as_bytes(), into, &mut |_| {}, read))
            .expect("good");
        let expected: Vec<Vec<u8>> = text
            .lines()
            .flat_map(|line| line.split_ascii_whitespace().take_while(|word| !word.starts_with('#')))
            .map(|word| word.as_bytes().to_vec())
            .collect();
        prop_assert_eq!(words, expected);
    }
}
