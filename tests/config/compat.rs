//! The lines of the compatibility table's part "Language", in its order: what a
//! file for the original program means here.

use pmtr::config::{Config, Resource, Severity};

use crate::support::{accept, argv, job, names, parse, refuse, texts};

fn limits(config: &Config) -> Vec<(Resource, u64)> {
    config.job(0).ulimits().iter().map(|ulimit| (ulimit.resource, ulimit.value)).collect()
}

#[test]
fn jobs_start_in_ascending_order_which_is_0_by_default_ties_as_in_the_file() {
    let config = accept(
        "job {\n name last\n cmd /x\n order 7\n}\n\
         job {\n name b\n cmd /x\n}\n\
         job {\n name a\n cmd /x\n order 0\n}\n\
         job {\n name first\n cmd /x\n order -1\n}\n\
         job {\n name c\n cmd /x\n}\n",
    );
    assert_eq!(names(&config), ["first", "b", "a", "c", "last"]);
    for (at, name) in names(&config).iter().enumerate() {
        assert_eq!(config.find(name.as_bytes()), Some(at));
    }
}

#[test]
fn ulimit_takes_a_block_long_names_and_unlimited_but_not_infinite_descriptors() {
    let config = accept(job("  ulimit { -n 30 -c 0 }"));
    assert_eq!(limits(&config), [(Resource::Nofile, 30), (Resource::Core, 0)]);
    let config = accept(job("  ulimit {\n    RLIMIT_NOFILE 30\n    RLIMIT_CORE unlimited\n  }"));
    assert_eq!(limits(&config), [(Resource::Nofile, 30), (Resource::Core, u64::MAX)]);
    let config = accept(job("  ulimit RLIMIT_STACK infinity"));
    assert_eq!(limits(&config), [(Resource::Stack, u64::MAX)]);
    assert_eq!(refuse(job("  ulimit -n infinity")), ["the number of open files must be finite"]);
}

#[test]
fn syslog_is_a_reserved_word_for_the_default_of_out_and_err() {
    let config = accept(job("  out syslog\n  err syslog\n  in syslog"));
    let job = config.job(0);
    assert_eq!((job.out(), job.err()), (None, None));
    assert_eq!(job.stdin().expect("a file").to_bytes(), b"syslog");
}

#[test]
fn nice_goes_from_minus_20_to_20_which_is_the_kernels_19() {
    for (text, nice) in [("-20", -20), ("-19", -19), ("19", 19), ("20", 19)] {
        assert_eq!(accept(job(&format!("  nice {text}"))).job(0).nice(), nice);
    }
    for text in ["-21", "21"] {
        let sentence = format!("'{text}' is out of range: 'nice' goes from -20 to 20");
        assert_eq!(refuse(job(&format!("  nice {text}"))), [sentence]);
    }
}

#[test]
fn nice_is_0_by_default() {
    assert_eq!(accept(job("")).job(0).nice(), 0);
}

#[test]
fn keywords_are_keywords_only_as_the_first_word_of_a_line() {
    let config = accept("job {\n  name name\n  cmd /bin/echo name cmd job } env\n  user user\n}\n");
    let job = config.job(0);
    assert_eq!(argv(job), ["/bin/echo", "name", "cmd", "job", "}", "env"]);
    assert_eq!((job.name(), job.user().expect("a user").to_bytes()), (&b"name"[..], &b"user"[..]));
}

#[test]
fn a_keyword_ends_at_white_space_and_quotes_at_the_next_quote_of_the_line() {
    assert_eq!(refuse("job{\n  name j\n  cmd /x\n}"), ["'job{' needs a space before its '{'"]);
    let config = accept("job {\n  name j\n  cmd /x\n  waiting\n  not\"\n  \"a\\\" b\n}");
    assert_eq!(argv(config.job(0)), ["/x", "waiting", "not\"", "a\\", "b"]);
    assert_eq!(
        parse("job {\n  name j\n  cmd /x \"a\n  b\"\n}").problems,
        ["3:10: error: the quote that begins here does not end in this line"]
    );
}

#[test]
fn every_value_may_be_quoted() {
    let quoted = accept(
        "report to \"udp://10.0.0.1:99@eth0\"\nlisten on \"udp://[::]:99\" from \"fe80::/10\"\n\
         job {\n name \"j\"\n cmd \"/x\" \"y z\"\n dir \"/d\"\n out \"/o\"\n err \"/e\"\n in \"/i\"\n \
         env \"A=b c\"\n user \"u\"\n nice \"1\"\n order \"2\"\n cpu \"0-3\"\n ulimit \"-n\" \"30\"\n \
         ulimit { \"-c\" \"0\" }\n bounce every \"5m\"\n depends { \"/a b\" }\n}\n",
    );
    let plain = accept(
        "report to udp://10.0.0.1:99@eth0\nlisten on udp://[::]:99 from fe80::/10\n\
         job {\n name j\n cmd /x \"y z\"\n dir /d\n out /o\n err /e\n in /i\n env \"A=b c\"\n user u\n \
         nice 1\n order 2\n cpu 0-3\n ulimit -n 30\n ulimit -c 0\n bounce every 5m\n \
         depends { \"/a b\" }\n}\n",
    );
    assert!(quoted.job(0) == plain.job(0));
    assert_eq!(quoted.as_text().to_string(), plain.as_text().to_string());
    assert_eq!(texts(quoted.job(0).env()), ["A=b c"]);
}

#[test]
fn cr_is_white_space() {
    let unix = "job {\n  name j\n  cmd /x \"y z\"\n  depends {\n    /a\n  }\n  once\n}\n";
    let dos = unix.replace('\n', "\r\n");
    assert!(accept(unix).job(0) == accept(dos).job(0));
    assert_eq!(argv(accept("job {\n name j\n cmd /x\ry\n}").job(0)), ["/x", "y"]);
}

#[test]
fn env_needs_an_equals_sign() {
    assert_eq!(refuse(job("  env PATH")), ["'PATH' is not NAME=VALUE"]);
}

#[test]
fn of_what_is_repeated_some_is_refused_some_counts_last_and_some_adds_up() {
    for (option, other) in [
        ("name j", "name k"),
        ("dir /", "dir /x"),
        ("out /a", "out syslog"),
        ("err /a", "err /b"),
        ("in /a", "in /a"),
        ("cmd /a", "cmd /b"),
    ] {
        let text = job(&format!("  {option}\n  {other}"));
        let name = option.split(' ').next().expect("a name");
        let first = if name == "name" {
            2
        } else if name == "cmd" {
            3
        } else {
            4
        };
        let sentence = format!("'{name}' is given twice: the first one is in line {first}");
        assert_eq!(refuse(text)[0], sentence);
    }
    let parsed = parse(job("  user a\n  nice 1\n  order 1\n  bounce every 1s\n  cpu 0\n  \
           user b\n  nice 2\n  order 2\n  bounce every 2s\n  cpu 2"));
    let told = ["user", "nice", "order", "bounce every"].iter().zip(4..).map(|(option, line)| {
        let both = format!("line {line} and in line {}", line + 5);
        format!("{}:3: warning: '{option}' is given in {both}: the last one counts", line + 5)
    });
    assert_eq!(parsed.problems, told.collect::<Vec<_>>());
    let last = parsed.config.job(0);
    assert_eq!(last.user().expect("a user").to_bytes(), b"b");
    assert_eq!((last.nice(), last.order(), last.cpus()), (2, 2, &[0b101][..]));
    assert_eq!(last.bounce_every().expect("an interval").as_secs(), 2);

    let config = accept(job(
        "  once\n  once\n  wait\n  wait\n  disable\n  disable\n  env A=1\n  env B=2\n  \
           ulimit -n 1\n  ulimit -c 2\n  depends { /a }\n  depends { /b }",
    ));
    let all = config.job(0);
    assert_eq!((all.env().count(), all.ulimits().len(), all.depends().count()), (2, 2, 2));
}

#[test]
fn a_job_needs_a_name_that_no_other_has_and_a_cmd() {
    assert_eq!(refuse("job {\n  cmd /x\n}"), ["this job has no 'name'"]);
    assert_eq!(refuse("job {\n  name j\n}"), ["this job has no 'cmd'"]);
    assert_eq!(refuse("job {\n}"), ["this job has no 'name'", "this job has no 'cmd'"]);
    let twice = "\njob {\n  name j\n  cmd /x\n}\njob {\n  cmd /y\n  name j\n}\n";
    assert_eq!(parse(twice).problems, ["8:8: error: the name 'j' is taken by the job of line 2"]);
}

#[test]
fn cpus_above_the_kernels_limit_are_refused_and_a_range_may_have_one_cpu() {
    assert_eq!(refuse(job("  cpu 1024")), ["'1024' names a CPU above 1023: MAX_CPUS is 1024"]);
    let config = accept(job("  cpu 256"));
    let cpus = config.job(0).cpus();
    assert_eq!((cpus.len(), cpus[32]), (33, 1));
    assert_eq!(accept(job("  cpu 3-3")).job(0).cpus(), [0b1000]);
}

#[test]
fn ulimits_have_64_bits() {
    let config = accept(job("  ulimit -v 8589934592"));
    assert_eq!(limits(&config), [(Resource::As, 8 << 30)]);
}

#[test]
fn trailing_garbage_is_an_error() {
    for options in [
        "  nice 5x",
        "  order 5x",
        "  ulimit -n 30k",
        "  bounce every -5s",
        "  env =x",
        "  nice 99999999999",
        "  order 99999999999",
        "  bounce every 99999999999d",
        "  ulimit -c 99999999999999999999",
    ] {
        assert_eq!(refuse(job(options)).len(), 1, "{options}");
    }
    for address in ["udp://", "udp://127.0.0.1:abc", "udp://127.0.0.1:99x"] {
        assert_eq!(refuse(format!("report to {address}")).len(), 1, "{address}");
        assert_eq!(refuse(format!("listen on {address}")).len(), 1, "{address}");
    }
    let nul = refuse("job {\n  name j\n  cmd /x a\0b\n}");
    assert_eq!(nul, ["a NUL byte: this is not a text file"]);
}

#[test]
fn cmd_goes_on_to_the_next_keyword_with_a_warning_where_one_is_misspelled() {
    let config = accept("job {\n  name j\n  cmd /x -a\n    -b 1\n\n    \"c\"\n  once\n}");
    assert_eq!(argv(config.job(0)), ["/x", "-a", "-b", "1", "c"]);
    let parsed = parse("job {\n  name j\n  cmd /x\n  usr root\n  Once\n  \"nme\" }\n}");
    let sentence =
        |word, hint| format!("'{word}' is an argument of the 'cmd' above: did you mean '{hint}'?");
    assert_eq!(parsed.of(Severity::Warning), [sentence("usr", "user"), sentence("Once", "once")]);
    assert_eq!(argv(parsed.config.job(0)), ["/x", "usr", "root", "Once", "nme", "}"]);
}

#[test]
fn bytes_above_0x7f_are_plain() {
    let config = accept("job {\n  name é\n  cmd /bin/écho ünï \"日本 語\"\n}");
    assert_eq!(config.job(0).name(), "é".as_bytes());
    assert_eq!(argv(config.job(0)), ["/bin/écho", "ünï", "日本 語"]);
    let config = accept(b"job {\n  name \xE9\xA0\n  cmd /x \xFF\x80 \"\xC3\"\n}");
    assert_eq!(config.job(0).name(), b"\xE9\xA0");
    let words: Vec<_> = config.job(0).argv().map(|word| word.to_bytes()).collect();
    assert_eq!(words, [&b"/x"[..], b"\xFF\x80", b"\xC3"]);
}

#[test]
fn on_to_every_and_a_brace_can_be_arguments_and_names() {
    for word in ["on", "to", "every", "{"] {
        let text = format!("job {{\n  name {word}\n  user {word}\n  cmd /x {word}\n  {word}\n}}\n");
        let config = accept(text);
        assert_eq!(config.job(0).name(), word.as_bytes());
        assert_eq!(argv(config.job(0)), ["/x", word, word]);
    }
}

#[test]
fn relative_files_are_kept_as_they_are() {
    let config = accept(job("  dir /d\n  out o\n  err e\n  in i\n  depends { a }"));
    let job = config.job(0);
    let files = [job.out(), job.err(), job.stdin()].map(|file| file.expect("given").to_bytes());
    assert_eq!(files, [b"o", b"e", b"i"]);
    assert_eq!(texts(job.depends()), ["a"]);
}

#[test]
fn errors_name_file_line_column_and_word_with_a_hint_where_there_is_one() {
    let mut reports = Vec::new();
    let text = b"job {\n  name j\n  comand /x\n}\n";
    let mut config = crate::support::empty();
    pmtr::config::parse(text, &mut config, &mut |problem| {
        reports.push(problem.report(b"/etc/pmtr.conf").to_string());
        reports.push(problem.record(b"/etc/pmtr.conf").to_string());
    })
    .unwrap_err();
    assert_eq!(
        reports,
        [
            "/etc/pmtr.conf:3:3: error: unknown option 'comand': did you mean 'cmd'?\n      \
             comand /x\n      ^^^^^^",
            "/etc/pmtr.conf line 3 column 3: unknown option 'comand': did you mean 'cmd'?",
        ]
    );
}
