//! What arrives at syslog and on stderr: the manual's "Logs", and what the
//! compatibility list says under "Logging".

mod common;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::time::{SystemTime, UNIX_EPOCH};

use common::process::{gone, send, status};
use common::{alive, eventually, job, needs_root, patiently, sleepers, Record, World, LONG, SHORT};
use nix::fcntl::{fcntl, FcntlArg};
use nix::sys::signal::Signal::{self, SIGHUP, SIGKILL};

/// local0.info, as syslog(3) counts.
const LOCAL0_INFO: u32 = 16 * 8 + 6;

/// daemon.info.
const DAEMON_INFO: u32 = 3 * 8 + 6;

/// A job that runs a shell script and then sleeps.
fn script(name: &str, script: &str) -> String {
    job(name, &format!("cmd /bin/sh -c \"{script}; exec sleep 1000\""))
}

// pmtr's own messages.

#[test]
fn own_messages_are_local0_info_with_the_tag_pmtr() {
    let mut world = World::with(&sleepers("a"));
    world.started("a");
    world.fence();
    let pid = world.pid();
    world.stop();
    let said = ["pmtr: starting", "started job a [", "rescanning job configuration"];
    for text in said.into_iter().chain(["sending SIGTERM to job a [", "pmtr: exiting on signal 15"])
    {
        let Record { priority, tag, pid: from, .. } = world.log().wait_for(text);
        assert_eq!((priority, tag.as_str(), from), (LOCAL0_INFO, "pmtr", pid), "{text}");
    }
}

#[test]
fn every_message_is_of_the_facility_local0() {
    let world = World::with(&(sleepers("a") + &job("b", "cmd /no/such/program")));
    world.log().wait_for("job b: ");
    world.config("nonsense");
    world.log().wait_for("NOTE: using PREVIOUS job config");
    for Record { tag, priority, text, .. } in world.log().all() {
        assert_eq!((tag.as_str(), priority / 8), ("pmtr", 16), "{text}");
    }
}

#[test]
fn the_words_are_those_of_the_original() {
    let config = [
        job("fails", "cmd /bin/sh -c \"exit 7\"\n  once"),
        job("setup", "cmd /bin/true\n  wait\n  once"),
        sleepers("killed stopped"),
    ];
    let mut world = World::with(&config.concat());
    let pid = |name| world.pid_of(name);
    let (fails, setup, killed, stopped) =
        (pid("fails"), pid("setup"), pid("killed"), pid("stopped"));
    send(killed, SIGKILL);
    let expected = [
        "pmtr: starting".to_string(),
        format!("started job fails [{fails}]"),
        format!("started job setup [{setup}]"),
        "pausing for job setup to finish".to_string(),
        "job setup finished".to_string(),
        format!("job fails [{fails}] exited after 0 sec: exit status 7"),
        format!("job killed [{killed}] exited after 0 sec: signal 9"),
    ];
    expected.iter().for_each(|sentence| wait_for_sentence(&world, sentence));
    world.stop();
    wait_for_sentence(&world, "pmtr: exiting on signal 15");
    wait_for_sentence(&world, &format!("sending SIGTERM to job stopped [{stopped}]"));
    wait_for_sentence(&world, &format!("job stopped [{stopped}] exited after 0 sec: signal 15"));
}

/// Waits for a message that is exactly this, but for a job's age under load.
fn wait_for_sentence(world: &World, sentence: &str) {
    eventually(sentence, || {
        let own = world.log().own("");
        own.iter()
            .any(|r| r.text == sentence || r.text.replace("after 1 sec", "after 0 sec") == sentence)
    });
}

#[test]
fn stamps_are_local_time_with_a_padded_day() {
    // Five hours west of Greenwich, and no file of time zones needed.
    let mut world = World::new().variable("TZ", "TEST5");
    let before = local_minutes();
    world.start();
    let stamp = world.log().wait_for("pmtr: starting").stamp;
    let (month, rest) = stamp.split_at(3);
    assert!("JanFebMarAprMayJunJulAugSepOctNovDec".contains(month), "{stamp}");
    let day = rest[1..3].trim_start();
    assert!(!day.starts_with('0') && (1..=31).contains(&day.parse().unwrap()), "{stamp}");
    let time = |range: std::ops::Range<usize>| stamp[range].parse::<u64>().unwrap();
    let said = time(7..9) * 60 + time(10..12);
    assert!((said + 1440 - before) % 1440 <= 2, "{stamp}, {before} minutes after midnight");
}

/// Minutes since midnight, five hours west of Greenwich.
fn local_minutes() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    (now - 5 * 3600) / 60 % 1440
}

#[test]
fn start_and_exit_of_jobs_and_errors_in_the_file_are_logged() {
    let world = World::with(&job("a", "cmd /bin/true"));
    world.started("a");
    world.exited("a");
    world.config("job {\n  name a\n  color blue\n  cmd /bin/true\n}\n");
    world.log().wait_for("color");
    world.log().wait_for(&format!("FAILED to parse {}", world.config_file().display()));
}

// Output of jobs.

#[test]
fn job_output_is_daemon_info_with_the_jobs_name_and_pid() {
    let world = World::with(&(script("a", "echo one; echo two >&2") + &sleepers("b")));
    for text in ["one", "two"] {
        let Record { priority, pid, .. } = world.log().wait_line("a", text);
        assert_eq!((priority, pid), (DAEMON_INFO, world.pid_of("a")), "{text}");
    }
}

#[test]
fn output_is_split_at_newlines_only() {
    let pieces = "printf 'first\\nsecond\\nthi'; printf 'rd\\n'; printf fo; printf 'urth\\n'";
    let world = World::with(&script("a", pieces));
    world.log().wait_line("a", "fourth");
    assert_eq!(world.log().lines("a"), ["first", "second", "third", "fourth"]);
}

#[test]
fn lines_stay_whole_up_to_4_kib() {
    let mut world = World::new();
    let line = "0123456789abcdef".repeat(256);
    world.file("text", &format!("{line}\nnext\n"));
    world.config(&job("a", "cmd /bin/cat $DIR/text\n  once"));
    world.start();
    world.log().wait_line("a", "next");
    assert_eq!(world.log().lines("a"), [line.as_str(), "next"]);
}

#[test]
fn longer_lines_lose_nothing() {
    let mut world = World::new();
    // No letter of any mark that continued lines may have.
    let line = "0123456789".repeat(1300);
    world.file("text", &format!("{line}\nnext\n"));
    world.config(&job("a", "cmd /bin/cat $DIR/text\n  once"));
    world.start();
    world.log().wait_line("a", "next");
    let lines = world.log().lines("a");
    assert!(lines.len() > 2, "one record would be longer than a line may be");
    let digits: String = lines.concat().chars().filter(char::is_ascii_digit).collect();
    assert_eq!(digits, line);
}

#[test]
fn no_character_of_a_longer_line_is_torn() {
    let mut world = World::new();
    world.file("text", &format!("x{}\nnext\n", "é".repeat(5000)));
    world.config(&job("a", "cmd /bin/cat $DIR/text\n  once"));
    world.start();
    world.log().wait_line("a", "next");
    let all = world.log().lines("a").concat();
    assert_eq!(all.chars().filter(|&c| c == 'é').count(), 5000);
    assert!(!all.contains(['?', char::REPLACEMENT_CHARACTER]), "{all}");
}

#[test]
fn control_characters_become_question_marks() {
    let world =
        World::with(&script("a", "printf 'a\\033[31mb\\001\\177c\\007\\000\\n'; echo last"));
    world.log().wait_line("a", "last");
    assert_eq!(world.log().lines("a"), ["a?[31mb??c??", "last"]);
}

#[test]
fn utf_8_is_logged_as_it_is() {
    let world = World::with(&script("a", "echo grüße–日本🐧"));
    world.log().wait_line("a", "grüße–日本🐧");
}

#[test]
fn output_that_looks_like_a_record_is_text() {
    let text = "<0>Jan  1 00:00:00 pmtr[1]: pmtr: exiting";
    let world = World::with(&script("a", &format!("echo '{text}'")));
    world.log().wait_line("a", text);
}

#[test]
fn a_partial_line_is_sent_when_the_job_ends() {
    let world = World::with(&job("a", "cmd /usr/bin/printf last-words\n  once"));
    world.log().wait_line("a", "last-words");
}

#[test]
fn a_partial_line_is_sent_after_a_pause() {
    let world = World::with(&script("a", "printf 'Password: '"));
    eventually("the prompt", || world.log().lines("a").concat().trim_end() == "Password:");
    assert!(alive(world.pid_of("a")));
}

#[test]
fn what_a_job_wrote_before_it_ended_is_logged() {
    let world = World::with(&job("a", "cmd /bin/sh -c \"echo 1; echo 2; echo 3; exit 1\"\n  once"));
    world.exited("a");
    world.log().wait_line("a", "3");
    assert_eq!(world.log().lines("a"), ["1", "2", "3"]);
}

#[test]
fn what_jobs_say_while_pmtr_ends_is_logged() {
    let script = "trap 'echo bye; exit' TERM; echo up; while :; do sleep 0.02; done";
    let mut world = World::with(&job("a", &format!("cmd /bin/sh -c \"{script}\"")));
    world.log().wait_line("a", "up");
    world.stop();
    world.log().wait_line("a", "bye");
}

#[test]
fn what_an_ended_job_left_behind_still_has_its_output_logged() {
    let left = "(until [ -e $DIR/go ]; do sleep 0.02; done; echo late) & exit 0";
    let world = World::with(&job("a", &format!("cmd /bin/sh -c \"{left}\"\n  once")));
    world.exited("a");
    world.file("go", "");
    world.log().wait_line("a", "late");
}

#[test]
fn a_thousand_lines_arrive_once_each_and_in_order() {
    let world = World::with(&job("a", "cmd /usr/bin/seq 1 1000\n  once"));
    world.log().wait_line("a", "1000");
    assert_eq!(world.log().lines("a"), numbers(1000));
}

fn numbers(last: u32) -> Vec<String> {
    (1..=last).map(|n| n.to_string()).collect()
}

#[test]
fn jobs_that_write_at_once_lose_nothing() {
    let names = ["a", "b", "c", "d"];
    let count = |name| job(name, "cmd /usr/bin/seq 1 2000\n  once");
    let world = World::with(&names.map(count).concat());
    for name in names {
        world.log().within(LONG).wait_line(name, "2000");
        assert_eq!(world.log().lines(name), numbers(2000), "{name}");
    }
}

// Syslog that does not read, goes and comes.

/// A job that writes without end.
fn flood(name: &str) -> String {
    job(name, "cmd /usr/bin/yes a-line-of-a-job-that-writes-and-writes")
}

/// A job that tells in a file that it runs.
fn teller(name: &str) -> String {
    job(name, &format!("cmd /bin/sh -c \"echo $$ > $DIR/{name}.up; exec sleep 1000\""))
}

/// Starts, stops, restarts and the end happen although nothing can be logged.
fn is_supervised(world: &mut World) {
    let is_told = |world: &World, name: &str| {
        patiently(SHORT, &format!("the start of {name}"), || {
            world.read(&format!("{name}.up")).trim().parse::<i32>().ok()
        })
    };
    world.config(&(flood("flood") + &teller("one")));
    let one = is_told(world, "one");
    world.config(&(flood("flood") + &teller("two")));
    is_told(world, "two");
    gone(one);
    fs::remove_file(world.path("two.up")).unwrap();
    world.config(
        &(flood("flood")
            + &job("two", "cmd /bin/sh -c \"echo $$ > $DIR/two.up; exec sleep 1001\"")),
    );
    is_told(world, "two");
    let asked = std::time::Instant::now();
    assert_eq!(world.stop(), Some(0));
    assert!(asked.elapsed() < common::stretched(3), "{:?}", asked.elapsed());
    assert_eq!(world.processes(), []);
}

#[test]
fn a_syslog_that_does_not_read_stops_nothing() {
    let mut world = World::with(&flood("flood"));
    world.started("flood");
    world.syslog().stall();
    is_supervised(&mut world);
}

#[test]
fn a_syslog_that_is_gone_stops_nothing() {
    let mut world = World::with(&flood("flood"));
    world.started("flood");
    world.syslog().close();
    is_supervised(&mut world);
}

#[test]
fn a_stderr_that_does_not_read_stops_nothing() {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    let mut world = World::new().stderr_to(writer);
    world.config(&flood("flood"));
    world.start();
    // Nothing more is read, and the pipe fills up.
    is_supervised(&mut world);
    drop(reader);
}

#[test]
fn a_syslog_and_a_stderr_that_do_not_read_stop_nothing() {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    let mut world = World::new().stderr_to(writer);
    world.config(&flood("flood"));
    world.log().collect_none_of("flood");
    world.start();
    eventually("more than stderr takes", || world.log().count() > 1000);
    world.syslog().stall();
    is_supervised(&mut world);
    drop(reader);
}

#[test]
fn a_syslog_that_is_restarted_again_and_again_stops_nothing() {
    let mut world = World::with(&flood("flood"));
    world.log().collect_none_of("flood");
    world.started("flood");
    for name in ["one", "two", "three"] {
        world.syslog().close();
        world.config(&(flood("flood") + &teller(name)));
        eventually(name, || !world.read(&format!("{name}.up")).is_empty());
        world.syslog().open();
        // Whatever is in front of it in the ring.
        world.log().within(LONG).wait_for(&format!("started job {name} ["));
    }
    is_supervised(&mut world);
}

#[test]
fn a_stderr_that_is_closed_stops_nothing() {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    let mut world = World::new().stderr_to(writer);
    world.config(&flood("flood"));
    world.start();
    drop(reader);
    is_supervised(&mut world);
}

#[test]
fn what_a_stalled_syslog_holds_up_arrives_when_it_reads_again() {
    let mut world = World::with(&sleepers("a"));
    world.started("a");
    world.syslog().stall();
    let count = "seq 1 1000; touch $DIR/written; exit 0";
    world.config(&(sleepers("a") + &job("b", &format!("cmd /bin/sh -c \"{count}\"\n  once"))));
    eventually("the job with much to say", || {
        !world.processes_with("1000").is_empty() || world.path("written").exists()
    });
    world.syslog().resume();
    world.log().wait_line("b", "1000");
    assert_eq!(world.log().lines("b"), numbers(1000));
    world.started("b");
}

#[test]
fn messages_wait_for_a_syslog_that_is_restarted() {
    let mut world = World::with(&sleepers("a"));
    world.started("a");
    world.syslog().close();
    world.config(&(sleepers("a") + &teller("b")));
    eventually("the start of b", || !world.read("b.up").is_empty());
    world.syslog().open();
    // The second restart is of a syslog that nothing waits for.
    world.log().within(LONG).wait_for("started job b [");
    world.syslog().close();
    world.syslog().open();
    world.config(&(sleepers("a c") + &teller("b")));
    world.log().within(LONG).wait_for("started job c [");
}

#[test]
fn a_syslog_that_comes_later_is_found() {
    let mut world = World::new();
    world.syslog().close();
    world.config(&teller("a"));
    world.start_silently();
    eventually("the start of a", || !world.read("a.up").is_empty());
    world.syslog().open();
    world.log().within(LONG).wait_for("started job a [");
}

// What is lost is counted; what is not, is not.

/// A line of 100 bytes with its newline.
fn numbered_lines(count: usize) -> String {
    (0..count).map(|n| format!("{n:06} {}\n", "é".repeat(46))).collect()
}

/// What the log has of a job's output.
fn logged(world: &World, job: &str) -> String {
    world.log().lines(job).iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_long_stall_loses_doubles_and_reorders_nothing() {
    let mut world = World::with(&sleepers("a"));
    let text = numbered_lines(40_000);
    world.file("text", &text);
    world.syslog().stall();
    let cat = "/bin/cat $DIR/text; touch $DIR/written; exec sleep 1000";
    world.config(&(sleepers("a") + &job("b", &format!("cmd /bin/sh -c \"{cat}\""))));
    eventually("the writer", || !world.processes_with("/bin/cat").is_empty());
    // Twice in between, a moment each.
    for _ in 0..2 {
        world.syslog().resume();
        let before = world.log().count();
        eventually("some lines", || world.log().count() > before + 100);
        world.syslog().stall();
    }
    assert!(!world.path("written").exists(), "the job waits for the log");
    world.syslog().resume();
    let last = text.lines().last().unwrap();
    world.log().within(LONG).wait_line("b", last);
    assert!(logged(&world, "b") == text, "lost, doubled or in another order");
    eventually("the end of the writer", || world.path("written").exists());
}

#[test]
fn a_job_that_drops_goes_on_while_syslog_does_not_read() {
    let mut world = World::with(&sleepers("a"));
    let text = numbered_lines(40_000);
    world.file("text", &text);
    world.syslog().stall();
    let cat = "/bin/cat $DIR/text; touch $DIR/written; exec sleep 1000";
    let lossy = job("b", &format!("cmd /bin/sh -c \"{cat}\"\n  log drop"));
    world.config(&(sleepers("a") + &lossy));
    eventually("the end of the writer", || world.path("written").exists());
    world.syslog().resume();
    let dropped = |line: &String| line.strip_prefix("... ")?.split(' ').next()?.parse().ok();
    let all = || world.log().lines("b").iter().map(|line| dropped(line).unwrap_or(1)).sum();
    eventually("the rest of the pipe", || 40_000 == all());
    check_dropped(&text, &world.log().lines("b"));
    assert!(world.log().lines("b").iter().any(|line| dropped(line) > Some(1000)));
}

/// Each line is logged or counted, at its place, with all its bytes.
fn check_dropped(text: &str, logged: &[String]) {
    let mut left = text.split_inclusive('\n');
    for line in logged {
        if let Some(numbers) = line.strip_prefix("... ") {
            let (lines, rest) = numbers.split_once(" lines, ").expect("a count of lines");
            let bytes = rest.strip_suffix(" bytes dropped").expect("a count of bytes");
            let dropped = left.by_ref().take(lines.parse().expect("a number"));
            assert_eq!(dropped.map(str::len).sum::<usize>().to_string(), bytes, "{line}");
        } else {
            assert_eq!(left.next().map(|line| line.trim_end_matches('\n')), Some(line.as_str()));
        }
    }
    assert_eq!(left.next(), None, "neither logged nor counted");
}

/// Has the file read again, and waits until pmtr has noticed that it is to.
fn reload_unheard(world: &World) {
    world.signal(SIGHUP);
    let pending = || u64::from_str_radix(&status(world.pid(), "ShdPnd"), 16).expect("hex");
    eventually("SIGHUP being taken", || pending() & 1 == 0);
}

#[test]
fn messages_that_do_not_fit_are_counted_and_told() {
    let mut world = World::new().stderr_to(File::create("/dev/null").unwrap());
    world.config(&sleepers("a"));
    world.start();
    world.config(&"nonsense\n".repeat(10));
    world.log().wait_for("NOTE: using PREVIOUS job config");
    let before = world.log().own("").len();
    world.fence();
    world.log().wait_nth("NOTE: using PREVIOUS job config", 2);
    let of_each = world.log().own("").len() - before;
    world.syslog().stall();
    let (before, reloads) = (world.log().own("").len(), 300);
    (0..reloads).for_each(|_| reload_unheard(&world));
    world.syslog().resume();
    let told = world.log().wait_for(" log messages lost").text;
    let lost: usize = told.strip_suffix(" log messages lost").unwrap().parse().unwrap();
    let heard = world.log().own("").len() - before - 1;
    assert!(lost > 1000, "{told}");
    assert_eq!(heard + lost, of_each * reloads);
}

#[test]
fn one_flood_does_not_starve_23_quiet_jobs() {
    let mut world = World::new();
    let flood = job("flood", &format!("cmd /usr/bin/yes {}", "x".repeat(99)));
    let restless = job("restless", "cmd /bin/sleep 10.1");
    let quiet: Vec<String> = (0..22).map(|n| format!("quiet{n}")).collect();
    world.config(&(flood + &restless + &sleepers(&quiet.join(" "))));
    world.log().collect_none_of("flood");
    world.start();
    // Where a job's line goes; no other process has to run for it to be written.
    let pipe = format!("/proc/{}/fd/1", world.running("quiet21"));
    let mut pipe = File::options().write(true).open(pipe).unwrap();
    let mut before_it: Vec<usize> = (0..100)
        .map(|n| {
            let before = world.log().count();
            writeln!(pipe, "{n}").unwrap();
            world.log().wait_line("quiet21", &n.to_string()).number - before
        })
        .collect();
    before_it.sort_unstable();
    // What waits in the ring and in the socket before it, and a few turns of the flood's; at
    // times it is the test that has to wait for a CPU.
    let usual = before_it[50];
    assert!(usual < 2_000, "{usual} lines of the flood came first, and more: {before_it:?}");
    let exit = world.log().within(LONG).wait_exit("restless");
    let start = world.log().wait_after(&exit, "started job restless [");
    assert!(start.number - exit.number < 10_000, "{exit:?} {start:?}");
    assert!(world.log().count() > 10 * usual, "no flood at all");
}

// stderr

#[test]
fn the_log_is_echoed_to_stderr() {
    let world = World::with(&script("a", "echo from-the-job"));
    world.log().wait_line("a", "from-the-job");
    let (pmtr, a) = (world.pid(), world.pid_of("a"));
    for line in [format!("pmtr[{pmtr}]: started job a [{a}]"), format!("a[{a}]: from-the-job")] {
        eventually(&line, || world.stderr().lines().any(|said| said == line));
    }
}

/// Starts pmtr with a stderr that `$JOURNAL_STREAM` names, as systemd does it.
/// Returns what it wrote there before it ended.
fn said_to_the_journal(options: &[&str], stream: impl Fn(&fs::Metadata) -> String) -> String {
    let world = World::new();
    let file = File::create(world.path("journal")).unwrap();
    let stream = stream(&file.metadata().unwrap());
    let mut world = options.iter().fold(world, |world, option| world.option(option));
    world = world.variable("JOURNAL_STREAM", &stream).stderr_to(file);
    world.config(&sleepers("a"));
    world.start();
    world.started("a");
    world.stop();
    world.read("journal")
}

#[test]
fn the_echo_is_off_where_stderr_is_the_journals() {
    let own = |meta: &fs::Metadata| format!("{}:{}", meta.dev(), meta.ino());
    assert_eq!(said_to_the_journal(&[], own), "");
}

#[test]
fn the_echo_into_the_journal_is_on_with_the_option() {
    let own = |meta: &fs::Metadata| format!("{}:{}", meta.dev(), meta.ino());
    assert!(said_to_the_journal(&["-I"], own).contains("started job a ["));
}

#[test]
fn the_echo_is_on_where_stderr_is_not_the_journals() {
    let other = |meta: &fs::Metadata| format!("{}:{}", meta.dev(), meta.ino() + 1);
    assert!(said_to_the_journal(&[], other).contains("started job a ["));
}

#[test]
fn an_ordinary_user_without_syslog_reads_all_on_stderr() {
    if needs_root("an_ordinary_user_without_syslog_reads_all_on_stderr") {
        return;
    }
    let mut world = World::new();
    world.syslog().close();
    world.config(&(script("a", "echo from-the-job; id -u") + &job("b", "cmd /bin/true\n  once")));
    world.start_as_user(65534);
    for part in ["]: pmtr: starting", "]: from-the-job", "]: 65534", "] exited after 0 sec"] {
        eventually(part, || world.stderr().contains(part));
    }
    assert_eq!(world.stop(), Some(0));
    assert!(world.stderr().contains("pmtr: exiting on signal 15"));
    assert_eq!(world.processes(), []);
}

#[test]
fn stderr_can_be_a_pipe_that_is_read() {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    let mut world = World::new().stderr_to(writer);
    world.config(&job("a", "cmd /usr/bin/seq 1 1000\n  once"));
    world.start();
    let mut said = String::new();
    let reading =
        std::thread::spawn(move || File::from(reader).read_to_string(&mut said).map(|_| said));
    world.log().wait_line("a", "1000");
    world.exited("a");
    world.stop();
    let said = reading.join().unwrap().unwrap();
    let lines = said.lines().filter_map(|line| line.strip_prefix("a[")?.split_once("]: "));
    assert_eq!(lines.map(|(_, text)| text.to_string()).collect::<Vec<_>>(), numbers(1000));
}

/// The process that writes a stderr which is a file.
fn stderr_writer(world: &World) -> i32 {
    let is_writer = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "pmtr-stderr\n")
    };
    patiently(SHORT, "the writer", || common::children_of(world.pid()).into_iter().find(is_writer))
}

#[test]
fn a_stderr_that_is_a_file_has_all_when_pmtr_has_ended() {
    let mut world = World::new();
    let file = File::create(world.path("echo")).unwrap();
    world = world.stderr_to(file);
    world.config(&job("a", "cmd /usr/bin/seq 1 1000\n  once"));
    world.start();
    let writer = stderr_writer(&world);
    world.exited("a");
    world.stop();
    gone(writer);
    let said = world.read("echo");
    let lines = said.lines().filter_map(|line| line.strip_prefix("a[")?.split_once("]: "));
    assert_eq!(lines.map(|(_, text)| text.to_string()).collect::<Vec<_>>(), numbers(1000));
    assert!(
        said.lines().last().unwrap().contains("a [") || said.contains("pmtr: exiting on signal 15")
    );
}

/// As a file system that hangs (FUSE, NFS, a frozen one) stops who writes there.
#[test]
fn a_stderr_whose_file_hangs_stops_nothing() {
    let mut world = World::new();
    let file = File::create(world.path("echo")).unwrap();
    world = world.stderr_to(file);
    world.config(&flood("flood"));
    world.log().collect_none_of("flood");
    world.start();
    let writer = stderr_writer(&world);
    send(writer, Signal::SIGSTOP);
    eventually("more than a pipe takes", || world.log().count() > 5000);
    world.config(&(flood("flood") + &teller("one")));
    eventually("the start", || !world.read("one.up").is_empty());
    // Nobody who is asked to end by a terminal or by name ends it.
    send(writer, Signal::SIGTERM);
    let asked = std::time::Instant::now();
    assert_eq!(world.stop(), Some(0));
    assert!(asked.elapsed() < common::stretched(3), "{:?}", asked.elapsed());
    send(writer, Signal::SIGCONT);
    gone(writer);
    // What it did not take is counted where the next line is.
    let said = world.read("echo");
    assert!(said.contains("pmtr: starting") && said.ends_with('\n'), "{} bytes", said.len());
}

#[test]
fn a_writer_of_stderr_that_is_killed_is_survived_and_told() {
    let mut world = World::new();
    let file = File::create(world.path("echo")).unwrap();
    world = world.stderr_to(file);
    world.config(&sleepers("a"));
    world.start();
    world.started("a");
    send(stderr_writer(&world), SIGKILL);
    world.log().wait_for("the process that writes stderr has ended");
    world.config(&sleepers("a b"));
    world.started("b");
    assert_eq!(common::children_of(world.pid()).len(), 2);
    assert_eq!(world.stop(), Some(0));
}

#[test]
fn a_stderr_that_is_no_file_needs_no_process() {
    let world = World::with(&sleepers("a"));
    let a = world.running("a");
    assert_eq!(common::children_of(world.pid()), [a]);
}

/// A small file system, which is thawed and unmounted in the end.
struct Freezer(std::path::PathBuf);

impl Freezer {
    /// None where such a thing cannot be made, as in most containers.
    fn mount(world: &World) -> Option<Freezer> {
        let script = "cd $DIR && mkdir ice && truncate -s 16M image && mkfs.ext4 -q image && \
                      mount -o loop image ice && fsfreeze -f ice && fsfreeze -u ice";
        let script = world.script("freezer", script);
        let ice = Freezer(world.path("ice"));
        let made = std::process::Command::new(script).stderr(std::process::Stdio::null()).status();
        made.is_ok_and(|status| status.success()).then_some(ice)
    }

    fn freeze(&self, how: &str) {
        let status = std::process::Command::new("fsfreeze").arg(how).arg(&self.0).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        for (program, option) in [("fsfreeze", "-u"), ("umount", "-l")] {
            let mut command = std::process::Command::new(program);
            command.arg(option).arg(&self.0).stderr(std::process::Stdio::null());
            let _ = command.status();
        }
    }
}

/// What waits there cannot even be killed.
#[test]
fn a_stderr_on_a_frozen_file_system_stops_nothing() {
    let name = "a_stderr_on_a_frozen_file_system_stops_nothing";
    if needs_root(name) {
        return;
    }
    let mut world = World::new();
    let Some(ice) = Freezer::mount(&world) else {
        eprintln!("skipped: {name}: no file system that can be frozen");
        return;
    };
    let file = File::create(world.path("ice/echo")).unwrap();
    world = world.stderr_to(file);
    world.config(&sleepers("a"));
    world.start();
    let writer = stderr_writer(&world);
    ice.freeze("-f");
    world.config(&(sleepers("a") + &teller("one")));
    eventually("the start", || !world.read("one.up").is_empty());
    let asked = std::time::Instant::now();
    assert_eq!(world.stop(), Some(0));
    assert!(asked.elapsed() < common::stretched(3), "{:?}", asked.elapsed());
    ice.freeze("-u");
    gone(writer);
    assert!(world.read("ice/echo").contains("pmtr: exiting on signal 15"));
}
