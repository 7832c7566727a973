//! Real syslog daemons from Debian: what they make of pmtr's records.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use common::{eventually, job, needs_root, sleepers, World};

/// Five hours west of Greenwich, and no file of time zones needed.
const ZONE: &str = "TEST5";

/// Text that a daemon might take for something else.
const TEXTS: [&str; 5] =
    ["plain", "grüße–日本🐧", "a: b[1]: c", "<0>Jan  1 00:00:00 kernel: oops", "  indented"];

/// Whether a test is left out as there is no such program, which it then says.
fn lacks(test: &str, program: &str) -> bool {
    let paths = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let lacks = !paths.iter().any(|dir| Path::new(dir).join(program).exists());
    if lacks {
        eprintln!("skipped: {test}: there is no {program}");
    }
    lacks
}

/// A job that prints [`TEXTS`].
fn speaker(world: &World) -> String {
    world.file("texts", &(TEXTS.join("\n") + "\n"));
    job("speaker", "cmd /bin/cat $DIR/texts\n  once")
}

/// Fields of a record as the receiver has understood them.
#[derive(Debug, PartialEq)]
struct Understood {
    tag: String,
    pid: String,
    facility: String,
    severity: String,
    text: String,
}

impl Understood {
    fn new(tag: &str, pid: i32, facility: &str, severity: &str, text: &str) -> Self {
        let [tag, facility, severity, text] = [tag, facility, severity, text].map(String::from);
        Understood { tag, pid: pid.to_string(), facility, severity, text }
    }
}

// rsyslogd

/// An rsyslogd with a configuration of its own, which listens where pmtr logs to.
struct Rsyslogd(Child);

impl Rsyslogd {
    fn start(world: &mut World) -> Self {
        world.syslog().close();
        let dir = world.path("").display().to_string();
        // Its own time is ignored, so that the record's must be understood.
        let config = world.file(
            "rsyslog.conf",
            "global(workDirectory=\"$DIR\")\n\
             module(load=\"imuxsock\" SysSock.Use=\"off\")\n\
             input(type=\"imuxsock\" Socket=\"$DIR/log\" CreatePath=\"off\" \
                   UseSysTimeStamp=\"off\" IgnoreTimestamp=\"off\" RateLimit.Interval=\"0\")\n\
             template(name=\"fields\" type=\"string\" string=\"%programname%|%procid%|\
                      %syslogfacility-text%|%syslogseverity-text%|\
                      %timereported:::date-unixtimestamp%|%msg%\\n\")\n\
             action(type=\"omfile\" file=\"$DIR/messages\" template=\"fields\")\n",
        );
        let mut command = Command::new("/usr/sbin/rsyslogd");
        command.arg("-n").arg("-f").arg(config).args(["-i".into(), format!("{dir}/rsyslog.pid")]);
        command.env("TZ", ZONE).stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().expect("rsyslogd");
        eventually("rsyslogd's socket", || world.path("log").exists());
        Rsyslogd(child)
    }
}

impl Drop for Rsyslogd {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

/// What rsyslogd has written so far, with the second since 1970 of each record.
fn of_rsyslogd(world: &World) -> Vec<(Understood, u64)> {
    let parse = |line: &str| {
        let [tag, pid, facility, severity, second, text] =
            line.splitn(6, '|').collect::<Vec<_>>()[..]
        else {
            panic!("{line}");
        };
        // RFC 3164: the space after the tag is part of the message.
        let text = text.strip_prefix(' ').unwrap_or(text);
        let pid = pid.parse().unwrap_or(0);
        (Understood::new(tag, pid, facility, severity, text), second.parse().unwrap())
    };
    world
        .read("messages")
        .split_inclusive('\n')
        .filter(|l| l.ends_with('\n'))
        .map(|l| parse(l.trim_end_matches('\n')))
        .collect()
}

/// The record with this text; waits for it.
#[track_caller]
fn in_rsyslogd(world: &World, text: &str) -> Understood {
    eventually(text, || of_rsyslogd(world).iter().any(|(record, _)| record.text == text));
    of_rsyslogd(world).into_iter().map(|(record, _)| record).find(|r| r.text == text).unwrap()
}

#[test]
fn rsyslogd_understands_every_field() {
    if lacks("rsyslogd_understands_every_field", "rsyslogd") {
        return;
    }
    let mut world = World::new().variable("TZ", ZONE);
    let _rsyslogd = Rsyslogd::start(&mut world);
    world.config(&speaker(&world));
    world.start_silently();
    let own = |severity, text: &str| Understood::new("pmtr", world.pid(), "local0", severity, text);
    assert_eq!(in_rsyslogd(&world, "pmtr: starting"), own("info", "pmtr: starting"));
    let start = |(r, _): &(Understood, u64)| {
        r.text
            .strip_prefix("started job speaker [")
            .map(|rest| rest.trim_end_matches(']').parse::<i32>().unwrap())
    };
    let pid = common::patiently(common::SHORT, "the start", || {
        of_rsyslogd(&world).iter().find_map(start)
    });
    for text in TEXTS {
        assert_eq!(
            in_rsyslogd(&world, text),
            Understood::new("speaker", pid, "daemon", "info", text)
        );
    }
    world.config("nonsense");
    let note = "NOTE: using PREVIOUS job config";
    assert_eq!(in_rsyslogd(&world, note), own("crit", note));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    for (record, second) in of_rsyslogd(&world) {
        assert!(now - second < 60, "{record:?} is of {second}, now it is {now}");
    }
}

#[test]
fn rsyslogd_can_be_restarted() {
    if lacks("rsyslogd_can_be_restarted", "rsyslogd") {
        return;
    }
    let mut world = World::new();
    let rsyslogd = Rsyslogd::start(&mut world);
    world.config(&sleepers("a"));
    world.start_silently();
    in_rsyslogd(&world, "pmtr: starting");
    drop(rsyslogd);
    let _ = fs::remove_file(world.path("log"));
    world.file("text", &(0..1000).map(|n| format!("line {n}\n")).collect::<String>());
    world.config(&(sleepers("a") + &job("b", "cmd /bin/cat $DIR/text\n  once")));
    // pmtr has noticed that nobody is there, and the job may have to wait.
    eventually("the end of pmtr's patience", || {
        !world.processes_with("/bin/cat").is_empty() || world.stderr().contains("line 9")
    });
    let _rsyslogd = Rsyslogd::start(&mut world);
    in_rsyslogd(&world, "line 999");
    let lines = of_rsyslogd(&world).into_iter().filter(|(r, _)| r.tag == "b").map(|(r, _)| r.text);
    assert_eq!(
        lines.collect::<Vec<_>>(),
        (0..1000).map(|n| format!("line {n}")).collect::<Vec<_>>()
    );
}

// busybox syslogd

/// Gives the program a /dev of its own with a busybox syslogd in it, and takes
/// the option away that would have it log elsewhere.
const IN_BUSYBOX: &str = r#"
    dev=$DIR/dev; mkdir $dev && mount -t tmpfs none $dev || exit
    for node in null zero urandom; do touch $dev/$node; mount --bind /dev/$node $dev/$node; done
    mkdir $dev/shm; ln -s /proc/self/fd $dev/fd; mount --rbind $dev /dev || exit
    busybox syslogd -O $DIR/messages || exit
    until [ -S /dev/log ]; do sleep 0.02; done
    left=$#
    while [ $left -gt 0 ]; do
        word=$1; shift; left=$((left - 1))
        if [ "$word" = --log-socket ]; then shift; left=$((left - 1)); else set -- "$@" "$word"; fi
    done
    exec "$@"
"#;

/// What busybox syslogd has written so far: `STAMP HOST FACILITY.SEVERITY TAG[PID]: TEXT`.
fn of_busybox(world: &World) -> Vec<(Understood, String)> {
    let parse = |line: &str| {
        let (stamp, rest) = (line.get(..15)?, line.get(15..)?);
        let (_, rest) = rest.strip_prefix(' ')?.split_once(' ')?;
        let (kind, rest) = rest.split_once(' ')?;
        let (facility, severity) = kind.split_once('.')?;
        let (head, text) = rest.split_once("]: ")?;
        let (tag, pid) = head.split_once('[')?;
        let pid = pid.parse().ok()?;
        Some((Understood::new(tag, pid, facility, severity, text), stamp.to_string()))
    };
    world.read("messages").lines().filter_map(parse).collect()
}

#[test]
fn busybox_syslogd_understands_every_field() {
    let name = "busybox_syslogd_understands_every_field";
    if needs_root(name) || lacks(name, "busybox") || lacks(name, "unshare") {
        return;
    }
    let world = World::new();
    let script = world.script("in-busybox", IN_BUSYBOX).display().to_string();
    let mut world = world.variable("TZ", ZONE).wrapped_in(&["unshare", "-m", &script]);
    world.syslog().close();
    world.config(&speaker(&world));
    let before = local_minute();
    world.start_silently();
    eventually("the last line", || of_busybox(&world).iter().any(|(r, _)| r.text == TEXTS[4]));
    let all = of_busybox(&world);
    let own = |text: &str| Understood::new("pmtr", world.pid(), "local0", "info", text);
    assert!(all.iter().any(|(record, _)| *record == own("pmtr: starting")), "{all:?}");
    let start = "started job speaker [";
    let started = all.iter().find_map(|(r, _)| r.text.strip_prefix(start)).expect("a start");
    let pid = started.trim_end_matches(']').parse().unwrap();
    for text in TEXTS {
        let expected = Understood::new("speaker", pid, "daemon", "info", text);
        assert!(all.iter().any(|(record, _)| *record == expected), "{text}: {all:?}");
    }
    // It prints the time that the record has.
    for (record, stamp) in all.iter().filter(|(record, _)| record.tag != "syslogd") {
        let minute =
            stamp[7..9].parse::<u64>().unwrap() * 60 + stamp[10..12].parse::<u64>().unwrap();
        assert!((minute + 1440 - before) % 1440 <= 2, "{stamp}: {record:?}");
    }
}

/// Minutes since midnight in [`ZONE`].
fn local_minute() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    (now - 5 * 3600) / 60 % 1440
}
