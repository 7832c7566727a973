//! Each option: what it accepts, and what it refuses with which sentence.

use std::time::Duration;

use pmtr::config::{options, AddressUse, Config, JobView, Resource, Severity};

use crate::support::{accept, argv, job, parse, refuse, texts};

/// Each value of `option` is accepted, and `value` of the job is then as given.
fn accepts<'a, T: PartialEq + std::fmt::Debug>(
    option: &str,
    value: impl Fn(JobView<'_>) -> T,
    table: impl IntoIterator<Item = (&'a str, T)>,
) {
    for (text, expected) in table {
        let config = accept(job(&format!("  {option} {text}")));
        assert_eq!(value(config.job(0)), expected, "{option} {text}");
    }
}

/// Each value of `option` is refused with one error: the sentence given.
fn refuses<'a>(option: &str, table: impl IntoIterator<Item = (&'a str, &'a str)>) {
    for (text, sentence) in table {
        assert_eq!(refuse(job(&format!("  {option} {text}"))), [sentence], "{option} {text}");
    }
}

fn file(path: Option<&core::ffi::CStr>) -> Option<String> {
    path.map(|path| path.to_str().expect("UTF-8").to_owned())
}

#[test]
fn an_option_that_is_not_given_has_its_default() {
    let config = accept(job(""));
    let job = config.job(0);
    assert_eq!(argv(job), ["/bin/true"]);
    assert_eq!(job.program().to_bytes(), b"/bin/true");
    assert_eq!([job.dir(), job.out(), job.err(), job.stdin(), job.user()], [None; 5]);
    assert_eq!((job.env().count(), job.depends().count()), (0, 0));
    assert_eq!((job.cpus(), job.ulimits()), (&[][..], &[][..]));
    assert_eq!((job.nice(), job.order(), job.bounce_every()), (0, 0, None));
    assert_eq!((job.is_disabled(), job.waits(), job.is_once()), (false, false, false));
    assert!(!job.drops_log());
    assert_eq!(job.line(), 1);
}

#[test]
fn every_option_is_known_with_its_usage_and_its_purpose() {
    let names: Vec<_> = options().map(|rule| rule.name.as_str()).collect();
    let of_the_manual = [
        "name",
        "cmd",
        "dir",
        "out",
        "err",
        "log",
        "in",
        "env",
        "user",
        "nice",
        "cpu",
        "ulimit",
        "bounce every",
        "depends",
        "disable",
        "wait",
        "once",
        "order",
        "report to",
        "listen on",
        "job",
    ];
    assert!(of_the_manual.iter().all(|name| names.contains(name)));
    assert_eq!(names.len(), of_the_manual.len());
    assert!(options().all(|rule| !rule.about.is_empty()));
}

#[test]
fn name() {
    for name in
        ["j", "bitcoin-daemon", "my.job_1", "12345", "é", "}", "name", "on", &"n".repeat(63)]
    {
        let config = accept(format!("job {{\n name {name}\n cmd /x\n}}"));
        assert_eq!(config.job(0).name(), name.as_bytes());
        assert_eq!(config.find(name.as_bytes()), Some(0));
        assert_eq!(config.find(b"other"), None);
    }
    let long = "n".repeat(64);
    for (name, sentence) in [
        ("\"\"", "the value of 'name' is empty"),
        (&long, "the name is too long: NAME_BYTES is 63"),
        ("a b", "unexpected 'b' after the value of 'name': a value with white space needs quotes"),
        ("", "'name' needs more: name NAME"),
    ] {
        assert_eq!(refuse(format!("job {{\n name {name}\n cmd /x\n}}")), [sentence]);
    }
}

#[test]
fn a_name_with_white_space_is_told_of() {
    let parsed = parse("job {\n name \"a b\"\n cmd /x\n}");
    assert_eq!(
        parsed.problems,
        ["2:7: warning: the name 'a b' has white space in it: UDP control cannot name this job"]
    );
    assert_eq!(parsed.config.job(0).name(), b"a b");
}

#[test]
fn cmd() {
    for (text, expected) in [
        ("/bin/true", &["/bin/true"][..]),
        ("/bin/echo a  b\tc", &["/bin/echo", "a", "b", "c"]),
        ("/bin/sh -c \"a; b  c\"", &["/bin/sh", "-c", "a; b  c"]),
        ("\"/opt/my program\" x", &["/opt/my program", "x"]),
        ("/bin/echo \"\" x \"\"", &["/bin/echo", "", "x", ""]),
        ("/bin/echo \"\"", &["/bin/echo", ""]),
        ("/bin/echo a\"b c\"d", &["/bin/echo", "a\"b", "c\"d"]),
        ("/bin/echo \"a\"\"b\"c", &["/bin/echo", "a", "b", "c"]),
        ("/bin/echo a#b #c d", &["/bin/echo", "a#b"]),
        ("/bin/echo \"#a\" $HOME * `x` \\n", &["/bin/echo", "#a", "$HOME", "*", "`x`", "\\n"]),
        ("/bin/echo }", &["/bin/echo", "}"]),
        ("\n  /bin/echo\n  a\n\n  # b\n  c", &["/bin/echo", "a", "c"]),
    ] {
        let config = accept(format!("job {{\n  name j\n  cmd {text}\n}}\n"));
        assert_eq!(argv(config.job(0)), expected, "{text}");
        assert_eq!(config.job(0).program().to_str(), Ok(expected[0]));
    }
}

#[test]
fn cmd_must_name_a_program() {
    for (line, sentence) in [
        ("cmd", "'cmd' needs more: cmd PROGRAM [ARGUMENT...]"),
        ("cmd \"\"", "the value of 'cmd' is empty"),
        ("cmd \"\" a", "the value of 'cmd' is empty"),
        ("cmd # /bin/true", "'cmd' needs more: cmd PROGRAM [ARGUMENT...]"),
        ("cmd \"/bin/true", "the quote that begins here does not end in this line"),
        ("cmd /bin/true \"a", "the quote that begins here does not end in this line"),
    ] {
        assert_eq!(refuse(format!("job {{\n  name j\n  {line}\n}}\n")), [sentence], "{line}");
    }
}

#[test]
fn a_relative_program_is_told_of() {
    let parsed = parse("job {\n  name j\n  cmd true x\n}\n");
    let sentence = "3:7: warning: 'true' is not an absolute path, which 'cmd' should be";
    assert_eq!(parsed.problems, [sentence]);
    assert_eq!(argv(parsed.config.job(0)), ["true", "x"]);
}

#[test]
fn dir_out_err_in() {
    let some = |text: &str| Some(text.to_owned());
    let table = || [("/a/b", some("/a/b")), ("\"/a b\"", some("/a b"))];
    accepts("dir", |job| file(job.dir()), table());
    accepts("out", |job| file(job.out()), table());
    accepts("err", |job| file(job.err()), table());
    accepts("in", |job| file(job.stdin()), table());
    let relative = || [("log/x", some("log/x")), ("x", some("x"))];
    accepts("out", |job| file(job.out()), relative());
    accepts("err", |job| file(job.err()), relative());
    accepts("in", |job| file(job.stdin()), relative());
    for option in ["dir", "out", "err", "in"] {
        let long = format!("/{}", "x".repeat(4095));
        let longest = &long[..4095];
        accept(job(&format!("  {option} {longest}")));
        refuses(
            option,
            [
                ("\"\"", &*format!("the value of '{option}' is empty")),
                (&long, "the path is too long: PATH_BYTES is 4096"),
            ],
        );
        let extra = "unexpected 'b' after the value of";
        let extra = format!("{extra} '{option}': a value with white space needs quotes");
        refuses(option, [("/a b", &*extra)]);
    }
}

#[test]
fn a_relative_dir_is_told_of() {
    let parsed = parse(job("  dir data"));
    let sentence = "4:7: warning: 'data' is not an absolute path, which 'dir' should be";
    assert_eq!(parsed.problems, [sentence]);
    assert_eq!(file(parsed.config.job(0).dir()).as_deref(), Some("data"));
}

#[test]
fn env() {
    accepts(
        "env",
        |job| texts(job.env()),
        [
            ("A=1", vec!["A=1".to_owned()]),
            ("A=", vec!["A=".to_owned()]),
            ("A=b=c", vec!["A=b=c".to_owned()]),
            ("\"A=b c\"", vec!["A=b c".to_owned()]),
            ("A=\"b\"", vec!["A=\"b\"".to_owned()]),
            ("A=1\n env B=2\n nice 1\n env A=3", vec!["A=1".into(), "B=2".into(), "A=3".into()]),
        ],
    );
    refuses(
        "env",
        [
            ("A", "'A' is not NAME=VALUE"),
            ("=x", "'=x' is not NAME=VALUE"),
            ("=", "'=' is not NAME=VALUE"),
            ("\"\"", "'' is not NAME=VALUE"),
            ("", "'env' needs more: env NAME=VALUE"),
            (
                "A=b c",
                "unexpected 'c' after the value of 'env': a value with white space needs quotes",
            ),
        ],
    );
}

#[test]
fn user() {
    let some = |text: &str| Some(text.to_owned());
    accepts("user", |job| file(job.user()), [("bob", some("bob")), ("\"b b\"", some("b b"))]);
    let both = |user: &str, group: &str| (some(user), some(group));
    accepts(
        "user",
        |job| (file(job.user()), file(job.group())),
        [
            ("bob", (some("bob"), None)),
            ("bob:staff", both("bob", "staff")),
            ("0:4294967294", both("0", "4294967294")),
            ("1000", (some("1000"), None)),
            ("\"b b:c c\"", both("b b", "c c")),
            ("-1", (some("-1"), None)), // a name
        ],
    );
    let form = |word: &str| format!("'{word}' is neither USER nor USER:GROUP");
    let id = |word: &str| format!("'{word}': an id is a number from 0 to 4294967294");
    refuses(
        "user",
        [
            ("\"\"", "the value of 'user' is empty"),
            ("", "'user' needs more: user USER[:GROUP]"),
            (":staff", &form(":staff")),
            ("bob:", &form("bob:")),
            ("a:b:c", &form("a:b:c")),
            ("4294967295", &id("4294967295")),
            ("bob:4294967295", &id("bob:4294967295")),
            ("99999999999999999999", &id("99999999999999999999")),
        ],
    );
}

#[test]
fn nice() {
    accepts(
        "nice",
        |job| job.nice(),
        [
            ("-20", -20),
            ("-19", -19),
            ("0", 0),
            ("19", 19),
            ("20", 19),
            ("+5", 5),
            ("\"7\"", 7),
            ("010", 10),
        ],
    );
    refuses(
        "nice",
        [
            ("21", "'21' is out of range: 'nice' goes from -20 to 20"),
            ("-21", "'-21' is out of range: 'nice' goes from -20 to 20"),
            (
                "99999999999999999999",
                "'99999999999999999999' is out of range: 'nice' goes from -20 to 20",
            ),
            ("5x", "'5x' is not a number"),
            ("high", "'high' is not a number"),
            ("-", "'-' is not a number"),
            ("--5", "'--5' is not a number"),
            ("+-5", "'+-5' is not a number"),
            ("0x5", "'0x5' is not a number"),
            ("\"\"", "'' is not a number"),
            ("\" 5\"", "' 5' is not a number"),
        ],
    );
}

#[test]
fn order() {
    accepts(
        "order",
        |job| job.order(),
        [
            ("0", 0),
            ("5", 5),
            ("-5", -5),
            ("+5", 5),
            ("2147483647", i32::MAX),
            ("-2147483648", i32::MIN),
        ],
    );
    let range = "is out of range: 'order' goes from -2147483648 to 2147483647";
    refuses(
        "order",
        [
            ("2147483648", &*format!("'2147483648' {range}")),
            ("-2147483649", &*format!("'-2147483649' {range}")),
            ("-9223372036854775809", &*format!("'-9223372036854775809' {range}")),
            ("5x", "'5x' is not a number"),
            ("first", "'first' is not a number"),
        ],
    );
}

#[test]
fn cpu() {
    let cpus = |job: JobView<'_>| -> Vec<usize> {
        let is_set = |cpu: &usize| job.cpus()[cpu / 8] & (1 << (cpu % 8)) != 0;
        (0..job.cpus().len() * 8).filter(is_set).collect()
    };
    accepts(
        "cpu",
        cpus,
        [
            ("0", vec![0]),
            ("7", vec![7]),
            ("8", vec![8]),
            ("0,2-4", vec![0, 2, 3, 4]),
            ("2-4,3-5,1", vec![1, 2, 3, 4, 5]),
            ("3-3", vec![3]),
            ("0-8", (0..=8).collect()),
            ("0-1023", (0..=1023).collect()),
            ("1023", vec![1023]),
            ("0x8f", vec![0, 1, 2, 3, 7]),
            ("0xABCD", vec![0, 2, 3, 6, 7, 8, 9, 11, 13, 15]),
            ("0xabcd", vec![0, 2, 3, 6, 7, 8, 9, 11, 13, 15]),
            ("0x100000000000000000", vec![68]),
            ("1\n cpu 2\n cpu 0x10", vec![1, 2, 4]),
        ],
    );
    let highest = format!("0x8{}", "0".repeat(255));
    accepts(
        "cpu",
        cpus,
        [(&*highest, vec![1023]), (&*format!("0x000{}", &highest[2..]), vec![1023])],
    );
}

#[test]
fn cpu_refused() {
    for text in [
        "x", "1,", ",1", "1,,2", "1-", "-1", "1-2-3", "1-a", "1;2", "0x", "0xg", "0X1", "8f", "+1",
        "\"\"", "\"0, 1\"", "1.5",
    ] {
        let shown = text.trim_matches('"');
        let sentence = format!("'{shown}' is neither a list of CPUs (0,2-4) nor a hex mask (0x1d)");
        refuses("cpu", [(text, &*sentence)]);
    }
    refuses("cpu", [("4-2", "'4-2' has a range that ends before it begins")]);
    for text in ["1024", "0-1024", "256000", "99999999999999999999", "5,1024-1025"] {
        let sentence = format!("'{text}' names a CPU above 1023: MAX_CPUS is 1024");
        refuses("cpu", [(text, &*sentence)]);
    }
    let mask = format!("0x1{}", "0".repeat(256));
    assert!(
        refuse(job(&format!("  cpu {mask}")))[0].ends_with("a CPU above 1023: MAX_CPUS is 1024")
    );
}

#[test]
fn a_set_without_a_cpu_is_told_of() {
    let parsed = parse(job("  cpu 0x0"));
    assert_eq!(parsed.of(Severity::Warning), ["'0x0' has no CPU in it: the job runs on any"]);
    assert_eq!(parsed.config.job(0).cpus(), b"");
}

#[test]
fn ulimit() {
    for (flag, name, resource) in [
        ("-c", "RLIMIT_CORE", Resource::Core),
        ("-d", "RLIMIT_DATA", Resource::Data),
        ("-e", "RLIMIT_NICE", Resource::Nice),
        ("-f", "RLIMIT_FSIZE", Resource::Fsize),
        ("-i", "RLIMIT_SIGPENDING", Resource::Sigpending),
        ("-l", "RLIMIT_MEMLOCK", Resource::Memlock),
        ("-m", "RLIMIT_RSS", Resource::Rss),
        ("-n", "RLIMIT_NOFILE", Resource::Nofile),
        ("-q", "RLIMIT_MSGQUEUE", Resource::Msgqueue),
        ("-r", "RLIMIT_RTPRIO", Resource::Rtprio),
        ("-s", "RLIMIT_STACK", Resource::Stack),
        ("-t", "RLIMIT_CPU", Resource::Cpu),
        ("-u", "RLIMIT_NPROC", Resource::Nproc),
        ("-v", "RLIMIT_AS", Resource::As),
    ] {
        assert_eq!((resource.flag(), resource.name()), (flag, name));
        for text in [format!("{flag} 30"), format!("{name} 30"), format!("{{ {flag} 30 }}")] {
            let config = accept(job(&format!("  ulimit {text}")));
            let [ulimit] = config.job(0).ulimits() else { panic!("one limit: {text}") };
            assert_eq!((ulimit.resource, ulimit.value), (resource, 30), "{text}");
        }
    }
}

#[test]
fn ulimit_forms_and_values() {
    let limits = |job: JobView<'_>| -> Vec<(Resource, u64)> {
        job.ulimits().iter().map(|ulimit| (ulimit.resource, ulimit.value)).collect()
    };
    accepts(
        "ulimit",
        limits,
        [
            ("-c infinity", vec![(Resource::Core, u64::MAX)]),
            ("-c unlimited", vec![(Resource::Core, u64::MAX)]),
            ("-n 0", vec![(Resource::Nofile, 0)]),
            ("-v 5000000000", vec![(Resource::As, 5_000_000_000)]),
            ("-v 18446744073709551614", vec![(Resource::As, u64::MAX - 1)]),
            ("{\n -n 30\n -c 0\n }", vec![(Resource::Nofile, 30), (Resource::Core, 0)]),
            (
                "{ -n 30 RLIMIT_CORE infinity }",
                vec![(Resource::Nofile, 30), (Resource::Core, u64::MAX)],
            ),
            ("{ }", vec![]),
            ("-n 30\n nice 1\n ulimit { -c 0 }", vec![(Resource::Nofile, 30), (Resource::Core, 0)]),
            ("\"-n\" \"30\"", vec![(Resource::Nofile, 30)]),
        ],
    );
    refuses(
        "ulimit",
        [
            ("-n infinity", "the number of open files must be finite"),
            ("RLIMIT_NOFILE unlimited", "the number of open files must be finite"),
            ("-n 18446744073709551615", "the number of open files must be finite"),
            ("-n 18446744073709551616", "'18446744073709551616' does not fit in 64 bits"),
            ("-n -1", "'-1' is neither a number nor 'infinity'"),
            ("-n 30k", "'30k' is neither a number nor 'infinity'"),
            ("-n many", "'many' is neither a number nor 'infinity'"),
            ("-n \"\"", "'' is neither a number nor 'infinity'"),
            ("-n", "'ulimit' needs more: ulimit -FLAG VALUE | { -FLAG VALUE... }"),
            ("", "'ulimit' needs more: ulimit -FLAG VALUE | { -FLAG VALUE... }"),
            ("{ -n }", "'ulimit' needs more: ulimit -FLAG VALUE | { -FLAG VALUE... }"),
            (
                "-z 1",
                "unknown resource '-z': it is one of -c -d -e -f -i -l -m -n -q -r -s -t -u -v",
            ),
            (
                "nofile 1",
                "unknown resource 'nofile': it is one of -c -d -e -f -i -l -m -n -q -r -s -t -u -v",
            ),
            (
                "-n 1 2",
                "unexpected '2' after the value of 'ulimit': a value with white space needs quotes",
            ),
        ],
    );
}

#[test]
fn the_last_of_two_limits_for_a_resource_counts() {
    let parsed = parse(job("  ulimit -n 30\n  ulimit {\n    -c 0\n    -n 40\n  }"));
    let told = "7:5: warning: '-n' is given in line 4 and in line 7: the last one counts";
    assert_eq!(parsed.problems, [told]);
    let job = parsed.config.job(0);
    let limits: Vec<_> = job.ulimits().iter().map(|ulimit| ulimit.value).collect();
    assert_eq!(limits, [40, 0]);
}

#[test]
fn bounce_every() {
    let every = |job: JobView<'_>| job.bounce_every();
    let secs = |secs| Some(Duration::from_secs(secs));
    accepts(
        "bounce every",
        every,
        [
            ("1s", secs(1)),
            ("90s", secs(90)),
            ("5m", secs(300)),
            ("2h", secs(7200)),
            ("1d", secs(86_400)),
            ("49710d", secs(49_710 * 86_400)),
            ("4294967295s", secs(4_294_967_295)),
            ("\"1d\"", secs(86_400)),
        ],
    );
    refuses(
        "bounce every",
        [
            ("5", "'5' is not a number with one of s, m, h, d behind it"),
            ("s", "'s' is not a number with one of s, m, h, d behind it"),
            ("5w", "'5w' is not a number with one of s, m, h, d behind it"),
            ("-5s", "'-5s' is not a number with one of s, m, h, d behind it"),
            ("5xs", "'5xs' is not a number with one of s, m, h, d behind it"),
            ("1.5h", "'1.5h' is not a number with one of s, m, h, d behind it"),
            ("\"\"", "'' is not a number with one of s, m, h, d behind it"),
            ("0s", "'0s' is no time at all"),
            ("0d", "'0d' is no time at all"),
            ("4294967296s", "'4294967296s' is too long: at most 4294967295s"),
            ("49711d", "'49711d' is too long: at most 4294967295s"),
            ("99999999999999999999s", "'99999999999999999999s' is too long: at most 4294967295s"),
            ("18446744073709551615d", "'18446744073709551615d' is too long: at most 4294967295s"),
            ("", "'bounce every' needs more: bounce every N[smhd]"),
        ],
    );
    refuses(
        "bounce",
        [
            ("5m", "'bounce' must be followed by 'every'"),
            ("", "'bounce' must be followed by 'every'"),
            ("evry 5m", "'bounce' must be followed by 'every'"),
        ],
    );
}

#[test]
fn depends() {
    let list = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
    accepts(
        "depends",
        |job| texts(job.depends()),
        [
            ("{ /a /b }", list(&["/a", "/b"])),
            ("{\n /a\n /b\n }", list(&["/a", "/b"])),
            ("\n {\n /a }", list(&["/a"])),
            ("{ /a\n }\n nice 1\n depends { b }", list(&["/a", "b"])),
            ("{ \"/a b\" \"}\" \"name\" { }", list(&["/a b", "}", "name", "{"])),
        ],
    );
    refuses(
        "depends",
        [
            ("/a", "'depends' must be followed by '{'"),
            ("", "'depends' must be followed by '{'"),
            ("{ }", "'depends' needs more: depends { FILE... }"),
            ("{ \"\" }", "the value of 'depends' is empty"),
            ("{ /a", "missing '}': the 'job' of line 1 is not closed"),
            ("{\n /a\n nice 5\n", "missing '}': the 'depends' of line 4 is not closed"),
        ],
    );
}

#[test]
fn flags() {
    accepts("disable", |job| job.is_disabled(), [("", true), ("\n disable", true)]);
    accepts("wait", |job| job.waits(), [("", true), ("\n wait", true)]);
    accepts("once", |job| job.is_once(), [("", true), ("\n once", true)]);
    refuses("disable", [("yes", "unexpected 'yes': 'disable' takes no value")]);
    refuses("wait", [("5", "unexpected '5': 'wait' takes no value")]);
    refuses("once", [("wait", "'wait' must begin a line of its own")]);
}

#[test]
fn log() {
    accepts(
        "log",
        |job| job.drops_log(),
        [("block", false), ("drop", true), ("\"drop\"", true), ("\n    drop", true)],
    );
    refuses(
        "log",
        [
            ("", "'log' needs more: log block | drop"),
            ("\"\"", "'' is neither 'block' nor 'drop'"),
            ("Drop", "'Drop' is neither 'block' nor 'drop'"),
            ("dropped", "'dropped' is neither 'block' nor 'drop'"),
            ("drop block", "unexpected 'block' after the value of 'log': a value with white space needs quotes"),
        ],
    );
    let parsed = parse(job("  log drop\n  log block"));
    assert_eq!(
        parsed.of(Severity::Warning),
        ["'log' is given in line 4 and in line 5: the last one counts"]
    );
    assert!(!parsed.config.job(0).drops_log());
}

#[test]
fn report_to_and_listen_on() {
    for (text, host, port, interface) in [
        ("udp://127.0.0.1:9999", "127.0.0.1", 9999, None),
        ("udp://0.0.0.0:1", "0.0.0.0", 1, None),
        ("udp://collector.example.org:65535", "collector.example.org", 65535, None),
        ("udp://my_host-1:514", "my_host-1", 514, None),
        ("udp://[::1]:9999", "::1", 9999, None),
        ("udp://[::]:9999", "::", 9999, None),
        ("udp://[fe80::1:2]:9999", "fe80::1:2", 9999, None),
        ("udp://[1:2:3:4:5:6:7:8]:9999", "1:2:3:4:5:6:7:8", 9999, None),
        ("udp://[::ffff:10.0.0.1]:9999", "::ffff:10.0.0.1", 9999, None),
        ("udp://239.0.0.1:9999@eth2", "239.0.0.1", 9999, Some("eth2")),
        ("udp://[ff02::1]:9999@enp0s31f6.1234x", "ff02::1", 9999, Some("enp0s31f6.1234x")),
        ("\"udp://127.0.0.1:9999\"", "127.0.0.1", 9999, None),
    ] {
        let config = accept(format!("report to {text}\n"));
        let [address] = config.addresses().collect::<Vec<_>>()[..] else { panic!("one address") };
        assert_eq!((address.used_for, address.line), (AddressUse::Report, 1));
        assert_eq!((config.host(address).to_str(), address.port), (Ok(host), port), "{text}");
        assert_eq!(file(config.interface(address)).as_deref(), interface, "{text}");
        if interface.is_none() {
            let config = parse(format!("\nlisten on {text}\n")).config;
            let address = config.addresses().next().expect("an address");
            assert_eq!((address.used_for, address.line), (AddressUse::Listen, 2));
        }
    }
}

#[test]
fn addresses_refused() {
    let form = "an address is udp://HOST:PORT";
    let port = "the port is not a number from 1 to 65535";
    let host = "the host is neither a name nor an IPv4 address";
    let ipv6 = "what stands in brackets is not an IPv6 address";
    let brackets = "an IPv6 address stands in brackets: udp://[::1]:9999";
    let interface = "the name of an interface has 1 to 15 characters";
    for (text, fault) in [
        ("127.0.0.1:9999", form),
        ("tcp://127.0.0.1:9999", form),
        ("udp:/127.0.0.1:9999", form),
        ("udp://", form),
        ("udp://127.0.0.1", form),
        ("udp://127.0.0.1:", port),
        ("udp://127.0.0.1:0", port),
        ("udp://127.0.0.1:65536", port),
        ("udp://127.0.0.1:abc", port),
        ("udp://127.0.0.1:99x", port),
        ("udp://127.0.0.1:+99", port),
        ("udp://127.0.0.1:-1", port),
        ("udp://127.0.0.1:99/", port),
        ("udp://:9999", host),
        ("udp://256.0.0.1:9999", host),
        ("udp://127.1:9999", host),
        ("udp://1.2.3.4.5:9999", host),
        ("udp://01.2.3.4:9999", host),
        ("udp://a/b:9999", host),
        ("udp://[::1:9999", host),
        ("udp://[]:9999", ipv6),
        ("udp://[127.0.0.1]:9999", ipv6),
        ("udp://[1:2]:9999", ipv6),
        ("udp://[1::2::3]:9999", ipv6),
        ("udp://[:::1]:9999", ipv6),
        ("udp://[12345::]:9999", ipv6),
        ("udp://[1:2:3:4:5:6:7:8:9]:9999", ipv6),
        ("udp://[1:2:3:4:5:6:7::8]:9999", ipv6),
        ("udp://[g::1]:9999", ipv6),
        ("udp://[1.2.3.4::]:9999", ipv6),
        ("udp://::1:9999", brackets),
        ("udp://239.0.0.1:9999@", interface),
        ("udp://239.0.0.1:9999@abcdefghijklmnop", interface),
        ("udp://239.0.0.1:9999@a/b", interface),
        ("\"udp://239.0.0.1:9999@a b\"", interface),
    ] {
        let line = format!("report to {text}\n");
        let shown = text.trim_matches('"');
        assert_eq!(refuse(line), [format!("'{shown}': {fault}")]);
    }
    assert_eq!(
        refuse("listen on udp://0.0.0.0:10000@eth0"),
        ["'udp://0.0.0.0:10000@eth0': only 'report to' takes an interface"]
    );
    assert_eq!(refuse("report udp://1.1.1.1:1"), ["'report' must be followed by 'to'"]);
    assert_eq!(refuse("listen\n"), ["'listen' must be followed by 'on'"]);
    assert_eq!(
        refuse("listen on\njob {\n name j\n cmd /x\n}"),
        ["'listen on' needs more: listen on udp://HOST:PORT [from ADDRESS[/BITS]]..."]
    );
}

/// The senders of each address.
fn senders(config: &Config) -> Vec<Vec<String>> {
    let of = |address| config.senders(address).iter().map(|sender| sender.to_string()).collect();
    config.addresses().map(of).collect()
}

#[test]
fn listen_on_takes_any_number_of_from() {
    let config = accept(
        "listen on udp://0.0.0.0:1 from 10.0.0.0/8 from 192.168.1.5\n\
         listen on udp://127.0.0.1:2\n\
         report to udp://127.0.0.1:9\n\
         listen on udp://[::]:3 from fe80::/10 # link-local\n\
         listen on\n udp://host:4 from \"::/0\"\n",
    );
    assert_eq!(
        senders(&config),
        [
            vec!["10.0.0.0/8", "192.168.1.5/32"],
            vec![],
            vec![],
            vec!["fe80:0:0:0:0:0:0:0/10"],
            vec!["0:0:0:0:0:0:0:0/0"],
        ]
    );
}

#[test]
fn from_refused() {
    let fault = "'from' takes an IPv4 or IPv6 address, or ADDRESS/BITS";
    for sender in ["10.0.0.0/33", "::/129", "10.0.0/8", "host", "[::1]", "10.0.0.1/", "udp://::1"] {
        let text = format!("listen on udp://0.0.0.0:1 from {sender}\n");
        assert_eq!(refuse(text), [format!("'{sender}': {fault}")]);
    }
    let more = "'listen on' needs more: listen on udp://HOST:PORT [from ADDRESS[/BITS]]...";
    assert_eq!(refuse("listen on udp://0.0.0.0:1 from\n"), [more]);
    assert_eq!(refuse("listen on udp://0.0.0.0:1 from ::1 from\njob {\n"), [more, UNCLOSED]);
    let unexpected = "unexpected '::1' after the value of 'listen on': \
                      a value with white space needs quotes";
    assert_eq!(refuse("listen on udp://0.0.0.0:1 ::1\n"), [unexpected]);
    assert_eq!(refuse("listen on udp://0.0.0.0:1 from ::2 ::1\n"), [unexpected]);
    assert_eq!(
        refuse("report to udp://127.0.0.1:1 from ::1\n"),
        ["unexpected 'from' after the value of 'report to': a value with white space needs quotes"]
    );
    assert_eq!(refuse("listen on udp://127.0.0.1:1\nfrom ::1\n"), ["unknown option 'from'"]);
    // The address before it is not given what a bad one had.
    assert_eq!(refuse("listen on udp://[::1]:1\nlisten on x from ::1\n").len(), 1);
}

const UNCLOSED: &str = "missing '}': the 'job' of line 2 is not closed";

#[test]
fn a_listener_that_other_hosts_can_reach_is_warned_of() {
    let warning = |host: &str, address: &str| {
        let text = format!("listen on udp://{address}:1\n");
        let exposed = "any host that reaches this port can enable and disable jobs: \
                       say whom to listen to with 'from ADDRESS/BITS'";
        let said = format!("1:11: warning: 'udp://{host}:1': {exposed}");
        assert_eq!(parse(text).problems, [said]);
    };
    for address in ["0.0.0.0", "[::]", "10.0.0.1", "[fe80::1]", "example.org", "128.0.0.1"] {
        warning(address, address);
        accept(format!("listen on udp://{address}:1 from 0.0.0.0/0\n"));
        accept(format!("report to udp://{address}:1\n"));
    }
    for address in ["127.0.0.1", "127.9.9.9", "[::1]", "localhost", "[::ffff:127.0.0.1]"] {
        accept(format!("listen on udp://{address}:1\n"));
    }
}
