//! Words that only a shell would understand: which are warned of, and which ordinary ones are not.

use crate::support::{accept, parse};
use pmtr::config::Severity;

/// The words that are warned of in a job with this line.
fn warned(line: &str) -> Vec<String> {
    let cmd = if line.starts_with("cmd ") { "" } else { "  cmd /bin/true\n" };
    let parsed = parse(format!("job {{\n  name j\n{cmd}  {line}\n}}\n"));
    assert_eq!(parsed.errors, 0, "{line}: {:?}", parsed.problems);
    let shell = "' stays as it is, since no shell reads";
    let words = parsed.of(Severity::Warning);
    words.iter().filter_map(|w| Some(w.split_once(shell)?.0[1..].to_string())).collect()
}

#[test]
fn words_of_a_shell_in_cmd_are_warned_of() {
    for (line, words) in [
        ("cmd /bin/a > /tmp/log", &[">"][..]),
        ("cmd /bin/a -v >> log", &[">>"]),
        ("cmd /bin/a < /dev/null", &["<"]),
        ("cmd /bin/a >/tmp/log 2>&1", &[">/tmp/log", "2>&1"]),
        ("cmd /bin/a 2>/dev/null", &["2>/dev/null"]),
        ("cmd /bin/a &> log", &["&>"]),
        ("cmd /bin/a 1>&2", &["1>&2"]),
        ("cmd /bin/a -f | logger -t a", &["|"]),
        ("cmd /bin/a || /bin/b", &["||"]),
        ("cmd /bin/a && /bin/b", &["&&"]),
        ("cmd /bin/a |logger", &["|logger"]),
        ("cmd /bin/sleep 1; /bin/b", &["1;"]),
        ("cmd /bin/a ; /bin/b", &[";"]),
        ("cmd /bin/a -d &", &["&"]),
        ("cmd /bin/a x&", &["x&"]),
        ("cmd /bin/echo 'a b'", &["'a"]),
        ("cmd /bin/a --text='x'", &["--text='x'"]),
        ("cmd /bin/a --text=\"x y\"", &["--text=\"x"]),
        ("cmd /bin/a $HOME", &["$HOME"]),
        ("cmd /bin/a ${HOME}/x --dir=$DIR /d/$USER", &["${HOME}/x", "--dir=$DIR", "/d/$USER"]),
        ("cmd /bin/a \"$HOME\" $1", &["$HOME", "$1"]),
        ("cmd /bin/a $(hostname) `hostname`", &["$(hostname)", "`hostname`"]),
        ("cmd /bin/a \"$(hostname -f)\"", &["$(hostname -f)"]),
        ("cmd /bin/tail -F /var/log/*.log", &["/var/log/*.log"]),
        ("cmd /bin/a ~/x --key=~/k", &["~/x", "--key=~/k"]),
        ("cmd /bin/a one \\\n    two", &["\\"]),
        ("cmd /bin/a My\\ File", &["My\\"]),
        ("cmd /usr/bin/find / -exec /bin/a {} \\;", &["\\;"]),
        // What stands behind the script is not the shell's either.
        ("cmd /bin/sh -c \"exec a\" > /tmp/log", &[">"]),
        ("cmd /bin/sh -c 'exec a'", &["'exec"]),
        ("cmd /bin/sh -c echo $X", &["$X"]),
        ("cmd /usr/sbin/tcpdump -i eth0 ip[2:2] > 576 > /tmp/log", &[">"]),
    ] {
        assert_eq!(warned(line), words, "{line}");
    }
}

#[test]
fn ordinary_arguments_are_not_warned_of() {
    for line in [
        "cmd /bin/sh -c \"a | b > c 2>&1 & wait; echo '$X' `x` ~/y /z/* \"",
        "cmd /bin/bash -lc \"$COMMAND\"",
        "cmd /usr/bin/env A=1 /bin/sh -ec \"a && b\" sh one",
        "cmd /usr/sbin/tcpdump -i eth0 tcp[tcpflags] & (tcp-syn|tcp-fin) != 0 and ip[2:2] > 576",
        "cmd /usr/sbin/tcpdump -i eth0 \"tcp[13] & 2 != 0\" -w %Y%m%d.pcap",
        "cmd /usr/bin/awk \"{ print $1; x = $2 > 3 }\" /etc/passwd",
        "cmd /usr/bin/awk {print$NF} /etc/passwd",
        "cmd /bin/sed -n $p /etc/passwd",
        "cmd /usr/bin/curl http://h/x?a=1&b=2;c=3 https://h/?$filter=a&x=",
        "cmd /usr/bin/curl -H \"Accept: text/html; q=1\" -d {\"a\":\"b\"} -X POST",
        "cmd /usr/bin/find / -path /proc/* -prune -o -name *.tmp -exec rm {} ; -print",
        "cmd /usr/bin/cut -d | -f 2",
        "cmd /usr/bin/cut -f 2 -d ;",
        "cmd /bin/grep -E a|b$ /etc/passwd",
        "cmd /usr/sbin/nginx -g \"daemon off;\"",
        "cmd /usr/bin/psql -c VACUUM;",
        "cmd /usr/bin/java com.x.Outer$Inner",
        "cmd /bin/a $2y$10$abc $apr1$salt$hash $argon2id$v=19$m=1",
        "cmd /usr/bin/ssh host tail -f ~/x | grep $Y > /tmp/z",
        "cmd /usr/bin/printf <%s> %s\\n don't a->b a=>b x>=3",
        "cmd /bin/a *:80 */5 --exclude=*.o --include /x/*",
        "cmd /usr/bin/promtool up{job=\"a\"} > 5",
        "cmd /usr/bin/mosquitto_sub -t $SYS/broker/#",
        "cmd /bin/a C:\\dir\\ {a,b} [x] -- - @file %n",
        "env A=b&c;d|e>f",
        "env A={\"x\":\"y\"}",
        "env \"A=don't $x\"",
        "env HASH=$2y$10$abc",
    ] {
        assert_eq!(warned(line), [""; 0], "{line}");
    }
}

#[test]
fn quotes_that_stay_in_the_value_of_env_are_warned_of() {
    for line in ["env A=\"b\"", "env A='b'", "env 'A=b'", "env \"A='b c'\"", "env A=\"\""] {
        assert_eq!(warned(line).len(), 1, "{line}");
    }
    for line in ["env PATH=$PATH:/x", "env DIR=${HOME}/x", "env HOME=~/x", "env N=`nproc`"] {
        assert_eq!(warned(line).len(), 1, "{line}");
    }
    // The second half is an error already.
    let parsed = parse("job {\n  name j\n  cmd /bin/true\n  env A=\"b c\"\n}\n");
    assert_eq!((parsed.errors, parsed.problems.len()), (1, 2));
}

#[test]
fn the_place_the_word_and_what_to_do_are_told() {
    let parsed = parse("job {\n  name j\n  cmd /bin/a x\n    | b\n  env A='b'\n}\n");
    let expected = [
        "4:5: warning: '|' stays as it is, since no shell reads 'cmd': wrap it: /bin/sh -c \"...\"",
        "5:7: warning: 'A='b'' stays as it is, since no shell reads 'env': \
         put double quotes around the whole word, none inside",
    ];
    assert_eq!(parsed.problems, expected);
}

#[test]
fn a_brace_alone_on_a_line_behind_cmd_is_warned_of() {
    let parsed = parse("job {\n  name j\n  cmd /bin/a\n  {\n}\n");
    let expected = "4:3: warning: this '{' is an argument of the 'cmd' above: \
                    a '{' stands in the line of its option";
    assert_eq!(parsed.problems, [expected]);
    accept("job\n{\n  name j\n  depends\n  {\n    /a\n  }\n  cmd /bin/a\n}\n");
}

#[test]
fn too_few_files_and_directories_are_warned_of() {
    let job =
        |line: &str| parse(format!("job {{\n  name j\n  cmd /bin/a\n  {line}\n}}\n")).problems;
    let few = "is too low for a program to start: it needs 4, and a shell with a script 12";
    assert_eq!(job("ulimit -n 3"), [format!("4:13: warning: '3' {few}")]);
    assert_eq!(job("ulimit { RLIMIT_NOFILE 0 }"), [format!("4:26: warning: '0' {few}")]);
    assert_eq!(job("ulimit -n 4"), [""; 0]);
    let directory =
        "4:13: warning: '/etc/' is a directory: 'depends' takes files, name those in it";
    assert_eq!(job("depends { /etc/ }"), [directory]);
}

#[test]
fn the_warnings_have_a_bound() {
    let words = "> ".repeat(200);
    let parsed = parse(format!("job {{\n  name j\n  cmd /bin/a {words}\n}}\n"));
    assert_eq!(parsed.problems.len(), 21);
    assert!(parsed.problems[20].ends_with("too many warnings: the others are not shown"));
}
