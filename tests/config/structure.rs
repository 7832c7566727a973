//! Files, jobs, blocks, lines; capacities; time.

use std::time::{Duration, Instant};

use pmtr::config::{parse_traced, Severity, TokenKind};
use pmtr::limits::{
    MAX_ADDRESSES, MAX_ARGS, MAX_DEPENDS, MAX_ENV, MAX_JOBS, MAX_SENDERS, MAX_ULIMITS, TEXT_BYTES,
};

use crate::skip::stretched;
use crate::support::{accept, argv, empty, job, names, parse, refuse, texts, Parsed, MANUAL};

#[test]
fn a_file_may_be_empty() {
    for text in ["", "\n", "# nothing\n", "# nothing", " \t\r\n", "\u{FEFF}"] {
        assert!(accept(text).is_empty(), "{text:?}");
    }
}

#[test]
fn the_examples_of_the_manual_are_accepted() {
    let Parsed { config, problems, .. } = parse(MANUAL);
    assert_eq!(problems.len(), 1, "only that anybody can reach it: {problems:?}");
    assert_eq!(
        names(&config),
        ["tunnel", "bitcoin-daemon", "capture", "api", "depending", "initial-setup"]
    );
    assert_eq!(config.addresses().count(), 3);
    let api = config.job(config.find(b"api").expect("api"));
    let script = "ifconfig eth1 up; sleep 5; exec /api/rest.py";
    assert_eq!(argv(api), ["/bin/bash", "-c", script]);
    let setup = config.job(config.find(b"initial-setup").expect("initial-setup"));
    assert!(setup.waits() && setup.is_once());
    let depending = config.job(config.find(b"depending").expect("depending"));
    assert_eq!(texts(depending.depends()), ["/home/bitcoin/.bitcoin/bitcoin.conf"]);
    assert_eq!(depending.line(), 27);
}

#[test]
fn indentation_blank_lines_comments_and_the_order_of_options_do_not_matter() {
    let plain = accept("job {\n  name a\n  cmd /x y\n  env A=1\n  once\n}\n");
    for text in [
        "job {\nname a\ncmd /x y\nenv A=1\nonce\n}",
        "\n\n\tjob\t{ # the job\n\n once # flag\n env A=1\n# comment\n\tcmd /x # p\n y\n name a\n\t}",
        "job\n{\nonce\nname\n a\nenv\n A=1\ncmd\n /x\n y\n}\n",
        "job { name a\n cmd /x y\n env A=1\n once }",
        "job {\r\n  name a\r\n  cmd /x y\r\n  env A=1\r\n  once\r\n}\r\n",
        "\u{FEFF}job {\n  name a\n  cmd /x y\n  env A=1\n  once\n}\n",
    ] {
        let config = accept(text);
        assert!(config.job(0) == plain.job(0), "{text}");
    }
}

#[test]
fn blocks_may_stand_on_one_line_each() {
    let config = accept(
        "job { name a\n cmd /x\n depends { /a } once }\n\
         job {\n name b\n cmd /x\n ulimit { -n 30 -c 0 }\n disable }\n",
    );
    assert_eq!(names(&config), ["a", "b"]);
    assert!(config.job(0).is_once() && config.job(1).is_disabled());
}

#[test]
fn strings_of_a_list_are_kept_together_however_their_options_are_mixed() {
    let config = accept(job(
        "env A=1\ndepends { /a }\nuser u\nenv B=2\ndir /d\ndepends { /b /c }\nenv C=3\nout /o\n\
         env D=4\nin /i\nerr /e\ncpu 3",
    ));
    let job = config.job(0);
    assert_eq!(texts(job.env()), ["A=1", "B=2", "C=3", "D=4"]);
    assert_eq!(texts(job.depends()), ["/a", "/b", "/c"]);
    assert_eq!(argv(job), ["/bin/true"]);
    let files = [job.user(), job.dir(), job.out(), job.stdin(), job.err()];
    let files = files.map(|file| file.expect("given").to_str().expect("UTF-8"));
    assert_eq!(files, ["u", "/d", "/o", "/i", "/e"]);
    assert_eq!((job.name(), job.cpus()), (&b"j"[..], &[8][..]));
}

#[test]
fn jobs_are_equal_when_every_field_is() {
    let base = accept(job("  env A=1"));
    for (options, equal) in [
        ("\n\n  env A=1", true),
        ("  nice 0\n  env A=1\n  order 0\n  out syslog", true),
        ("  env A=2", false),
        ("  env A=1\n  nice 1", false),
        ("  env A=1\n  order 1", false),
        ("  env A=1\n  cpu 0", false),
        ("  env A=1\n  ulimit -n 5", false),
        ("  env A=1\n  bounce every 1s", false),
        ("  env A=1\n  depends { /a }", false),
        ("  env A=1\n  dir /", false),
        ("  env A=1\n  out /x", false),
        ("  env A=1\n  err /x", false),
        ("  env A=1\n  in /x", false),
        ("  env A=1\n  user u", false),
        ("  env A=1\n  disable", false),
        ("  env A=1\n  wait", false),
        ("  env A=1\n  once", false),
        ("  env A=1\n  log block", true),
        ("  env A=1\n  log drop", false),
    ] {
        assert_eq!(accept(job(options)).job(0) == base.job(0), equal, "{options}");
    }
    let base = accept(job("  user u:g"));
    for (user, equal) in [("u:g", true), ("\"u:g\"", true), ("u", false), ("u:h", false)] {
        let other = accept(job(&format!("  user {user}")));
        assert_eq!(other.job(0) == base.job(0), equal, "{user}");
    }
}

#[test]
fn parsing_forgets_what_was_there_before() {
    let mut config = parse(MANUAL).config;
    pmtr::config::parse(b"job {\n name x\n cmd /x\n}", &mut config, &mut |_| {}).expect("good");
    assert_eq!(names(&config), ["x"]);
    assert_eq!((config.addresses().count(), config.find(b"tunnel")), (0, None));
    let refused = pmtr::config::parse(b"jib", &mut config, &mut |_| {}).unwrap_err();
    assert_eq!((refused.errors, config.len(), refused.to_string()), (1, 0, "1 error".to_owned()));
}

#[test]
fn each_word_is_shown_as_what_it_was_read() {
    let mut shown = Vec::new();
    let text =
        "job { # c\n name {\n bounce every 5s\n cmd /x every\n  \"{ }\"\n ulimit { -n 3 }\n}";
    let read = &mut |token: &pmtr::config::Token<'_>| {
        shown.push((token.line, token.kind, token.word.to_vec()))
    };
    parse_traced(text.as_bytes(), &mut empty(), &mut |_| {}, read).expect("good");
    let word = |line, kind, word: &str| (line, kind, word.as_bytes().to_vec());
    use TokenKind::{Close, Open, Option, Particle, Value};
    assert_eq!(
        shown,
        [
            word(1, Option, "job"),
            word(1, Open, "{"),
            word(2, Option, "name"),
            word(2, Value, "{"),
            word(3, Option, "bounce"),
            word(3, Particle, "every"),
            word(3, Value, "5s"),
            word(4, Option, "cmd"),
            word(4, Value, "/x"),
            word(4, Value, "every"),
            word(5, Value, "{ }"),
            word(6, Option, "ulimit"),
            word(6, Open, "{"),
            word(6, Value, "-n"),
            word(6, Value, "3"),
            word(6, Close, "}"),
            word(7, Close, "}"),
        ]
    );
    let token = pmtr::config::Token { line: 3, kind: Option, word: b"c\x07md" };
    assert_eq!(token.to_string(), "line 3 option: c?md");
}

#[test]
fn a_nul_byte_is_told_once_whatever_else_is_wrong() {
    for (text, place) in [
        (&b"job {\n name a\0b\n cmd /x\n}"[..], "2:8"),
        (b"# comment\0\n", "1:10"),
        (b"\0\0\0\0\0\0", "1:1"),
        (b"j\0o\0b\0 \0{\0", "1:2"),
        (b"job {\n name a\n cmd \"/x\0\"\n}", "3:9"),
    ] {
        let problem = format!("{place}: error: a NUL byte: this is not a text file");
        assert_eq!(parse(text).problems, [problem]);
    }
}

#[test]
fn after_many_errors_the_rest_is_left_alone() {
    let parsed = parse(job(&"  nice x\n".repeat(30)));
    let errors = parsed.of(Severity::Error);
    assert_eq!((parsed.errors, errors.len()), (20, 21));
    assert_eq!(errors[20], "too many errors: the rest of the file is not checked");
}

#[test]
fn many_warnings_are_not_all_told_but_accepted() {
    let parsed = parse(job(&"  nice 1\n".repeat(50)));
    assert_eq!((parsed.problems.len(), parsed.config.len()), (21, 1));
}

#[test]
fn many_jobs_of_equal_order_stay_as_in_the_file() {
    let job = |n: usize| format!("job {{\n name j{n:03}\n cmd /x\n order {}\n}}\n", n % 3);
    let count = MAX_JOBS.min(200);
    let config = accept(repeated(job)(count));
    let expected = (0..3).flat_map(|order| (order..count).step_by(3)).map(|n| format!("j{n:03}"));
    assert_eq!(names(&config), expected.collect::<Vec<_>>());
}

/// One more than `most` is refused with `sentence`, `most` are accepted.
fn limit(most: usize, text: impl Fn(usize) -> String, sentence: &str) {
    accept(text(most));
    assert_eq!(refuse(text(most + 1)), [sentence]);
    assert_eq!(refuse(text(most + 3)), [sentence], "told once");
}

fn repeated(piece: impl Fn(usize) -> String) -> impl Fn(usize) -> String {
    move |count| (0..count).map(&piece).collect()
}

#[test]
fn every_limit_is_an_error_with_its_name_and_value() {
    let jobs = repeated(|n| format!("job {{\n name j{n}\n cmd /x\n}}\n"));
    limit(MAX_JOBS, jobs, &format!("too many jobs: MAX_JOBS is {MAX_JOBS}"));

    let words = |count: usize| format!("job {{\n name j\n cmd /x{}\n}}", " y".repeat(count - 1));
    limit(MAX_ARGS, words, &format!("too many words in this 'cmd': MAX_ARGS is {MAX_ARGS}"));

    let env = |count| job(&repeated(|n| format!(" env A{n}=x\n"))(count));
    limit(MAX_ENV, env, &format!("too many 'env' in this job: MAX_ENV is {MAX_ENV}"));

    let depends = |count: usize| {
        let half = |from, to| (from..to).map(|n| format!(" /{n}\n")).collect::<String>();
        let (first, second) = (half(0, count / 2), half(count / 2, count));
        let other = job(&format!("depends {{ {second} }}")).replace("name j", "name k");
        job(&format!("depends {{ {first} }}")) + &other
    };
    limit(MAX_DEPENDS, depends, &format!("too many 'depends' files: MAX_DEPENDS is {MAX_DEPENDS}"));

    let report = repeated(|n| format!("report to udp://10.0.0.1:{}\n", n + 1));
    let sentence =
        format!("too many 'report to' and 'listen on': MAX_ADDRESSES is {MAX_ADDRESSES}");
    limit(MAX_ADDRESSES, report, &sentence);

    let from = |count| format!("listen on udp://[::]:1{}\n", " from ::1".repeat(count));
    limit(
        MAX_SENDERS,
        from,
        &format!("too many 'from' of 'listen on': MAX_SENDERS is {MAX_SENDERS}"),
    );
}

#[test]
fn too_many_ulimits_are_an_error() {
    let all = "-c 9 -d 9 -e 9 -f 9 -i 9 -l 9 -m 9 -n 9 -q 9 -r 9 -s 9 -t 9 -u 9 -v 9";
    let text = |count: usize| -> String {
        let job = |n: usize| {
            let own = (count - n * 14).min(14);
            let own: Vec<_> = all.split_inclusive(" 9").take(own).collect();
            format!("job {{\n name j{n}\n cmd /x\n ulimit {{ {} }}\n}}\n", own.concat())
        };
        (0..count.div_ceil(14)).map(job).collect()
    };
    limit(MAX_ULIMITS, text, &format!("too many 'ulimit' settings: MAX_ULIMITS is {MAX_ULIMITS}"));
}

#[test]
fn a_file_that_is_too_long_is_refused_at_the_line_where_it_is() {
    let text = |length: usize| {
        let comments = length - job("").len();
        "#\n".repeat(comments / 2) + &"\n".repeat(comments % 2) + &job("")
    };
    accept(text(TEXT_BYTES));
    let parsed = parse(text(TEXT_BYTES + 3));
    let [problem] = &parsed.problems[..] else { panic!("one problem: {:?}", parsed.problems) };
    assert!(problem.ends_with(&format!("error: too much text: TEXT_BYTES is {TEXT_BYTES}")));
    let line: usize = problem.split(':').next().expect("a line").parse().expect("a number");
    assert_eq!(line, text(TEXT_BYTES + 3).as_bytes()[..TEXT_BYTES].split(|&b| b == b'\n').count());
}

#[test]
fn a_text_block_that_masks_fill_is_an_error_too() {
    // A mask of 1,024 CPUs takes 128 bytes, but is written in 8.
    let jobs = TEXT_BYTES / 128;
    if jobs > MAX_JOBS {
        eprintln!("skipped: more jobs are needed than there may be");
        return;
    }
    let text = repeated(|n| format!("job {{\n name j{n}\n cmd /x\n cpu 1023\n}}\n"))(jobs);
    assert_eq!(refuse(text), [format!("too much text: TEXT_BYTES is {TEXT_BYTES}")]);
}

#[test]
fn parsing_and_reporting_need_little_stack() {
    let mut config = empty();
    let text = MANUAL.to_owned() + "jib {\n nice x\n cpu 9-1\n}\n";
    let small = std::thread::Builder::new().stack_size(64 << 10);
    let parser = small.spawn(move || {
        let mut reports = String::new();
        let result = pmtr::config::parse(text.as_bytes(), &mut config, &mut |problem| {
            reports += &problem.report(b"FILE").to_string();
        });
        (result.is_err(), reports.len())
    });
    let (refused, reported) = parser.expect("a thread").join().expect("no overflow");
    assert!(refused && reported > 0);
}

/// A slow machine under load parses a file of full size in far less.
fn in_time() -> Duration {
    stretched(5)
}

#[test]
fn a_file_of_full_size_does_not_take_long() {
    let jobs = MAX_JOBS.min(1000);
    let filler = "x".repeat(TEXT_BYTES / jobs - 100);
    let one = |n| {
        format!(
            "job {{\n name j{n}\n cmd /bin/x {filler}\n env A=1\n depends {{ }}\n env B=2\n}}\n"
        )
        .replace(" depends { }\n", " nice 1\n")
    };
    let text = repeated(one)(jobs);
    let before = Instant::now();
    assert_eq!(accept(text).len(), jobs);
    assert!(before.elapsed() < in_time());
}

#[test]
fn the_worst_mixture_of_lists_does_not_take_long() {
    let filler = "y".repeat(1000);
    let arguments = format!(" {filler}").repeat(200);
    let mixed: String =
        (0..MAX_ENV).map(|n| format!(" env A{n}=x\n depends {{ /{n} }}\n")).collect();
    let text = format!(
        "job {{\n name j\n env X=1\n depends {{ /x }}\n cmd /x{arguments}\n{}}}",
        mixed.replacen(" env A0=x\n", "", 1)
    );
    let before = Instant::now();
    let config = accept(text);
    assert!(before.elapsed() < in_time());
    let job = config.job(0);
    assert_eq!(
        (job.argv().count(), job.env().count(), job.depends().count()),
        (201, MAX_ENV, MAX_ENV + 1)
    );
}

#[test]
fn many_errors_in_one_long_line_do_not_take_long() {
    let text = job(&format!("cmd {}", "ab ".repeat(TEXT_BYTES / 3 - 100)));
    let before = Instant::now();
    assert!(parse(text).errors > 0);
    let text = "nice 5 ".repeat(TEXT_BYTES / 7 - 100);
    assert!(parse(format!("job {{\n{text}")).errors > 0);
    assert!(before.elapsed() < in_time());
}
