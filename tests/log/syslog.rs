//! What a syslog receiver gets, whatever it does.

use crate::world::{alone, numbered, Receiver, World};
use pmtr::name::Name;
use pmtr::sys::log::{self, Echo, Setup, CRITICAL};
use pmtr::time::Instant;
use std::os::fd::AsFd;
use std::process::Command;

/// The time as syslog(3) writes it, by date(1).
fn stamp() -> String {
    let date = Command::new("date").arg("+%b %e %H:%M:%S").env("LC_ALL", "C").output().unwrap();
    String::from_utf8(date.stdout).unwrap().trim_end().into()
}

#[test]
fn a_message_is_local0_with_the_local_time_and_no_newline() {
    let (mut world, receiver) = World::with_syslog();
    let record = loop {
        let before = stamp();
        world.say("pmtr: starting");
        world.flush();
        let record = receiver.read_whole();
        if before == stamp() {
            assert_eq!(record, [format!("<134>{before} pmtr[77]: pmtr: starting")]);
            break record;
        }
    };
    assert_eq!(record.len(), 1);
}

#[test]
fn the_time_is_local_where_local_is_not_utc() {
    let test = "syslog::a_message_has_the_local_time_of_this_process";
    alone(test, &[("TZ", "ABC-5:30")]);
    alone(test, &[("TZ", "XYZ+9:15")]);
}

#[test]
#[ignore = "needs a TZ of its own: the_time_is_local_where_local_is_not_utc"]
fn a_message_has_the_local_time_of_this_process() {
    a_message_is_local0_with_the_local_time_and_no_newline();
}

#[test]
fn a_line_of_a_job_is_daemon_info_under_its_name() {
    let (mut world, receiver) = World::with_syslog();
    world.log.line(&Name::new(b"web"), 4711, "GET / 200 \u{fc}".as_bytes()).unwrap();
    world.flush();
    let record = receiver.read_whole().remove(0);
    assert!(record.starts_with("<30>"), "{record}");
    assert!(record.ends_with(" web[4711]: GET / 200 \u{fc}"), "{record}");
}

#[test]
fn what_would_end_a_tag_is_replaced() {
    let (mut world, receiver) = World::with_syslog();
    let names: [(&[u8], &str); 5] = [
        (b"a b:c[d]e/f", "a_b_c_d_e_f"),
        ("stra\u{df}e-\u{6771}\u{4eac}".as_bytes(), "stra\u{df}e-\u{6771}\u{4eac}"),
        (b"tab\there\x1b", "tab_here_"),
        ("no\u{a0}break".as_bytes(), "no__break"),
        (b"latin\xfc1.x", "latin_1.x"),
    ];
    for (name, tag) in names {
        world.log.line(&Name::new(name), 1, b"-").unwrap();
        world.flush();
        assert_eq!(receiver.read(), [format!("{tag}[1]: -")]);
    }
}

#[test]
fn every_line_of_a_message_is_a_record_and_harmless() {
    let (mut world, receiver) = World::with_syslog();
    world.say("first\n\x1b[31msecond\n\nlast\n");
    world.flush();
    assert_eq!(receiver.read(), ["pmtr[77]: first", "pmtr[77]: ?[31msecond", "pmtr[77]: last"]);
}

#[test]
fn the_facade_maps_levels_and_filters() {
    alone("syslog::levels_of_the_facade", &[]);
}

#[test]
#[ignore = "the facade is one per process: the_facade_maps_levels_and_filters"]
fn levels_of_the_facade() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let receiver = Receiver::bind(&path);
    let now = Instant::from_secs(1);
    log::start(
        &Setup { socket: Some(path), echo: Echo::Off, level: ::log::LevelFilter::Debug },
        now,
    );
    ::log::error!(target: CRITICAL, "crit");
    ::log::error!("err");
    ::log::warn!("warning");
    ::log::info!("info");
    ::log::debug!("debug");
    ::log::trace!("filtered");
    log::flush(now, None);
    assert!(log::is_empty() && log::deadline().is_none());
    let records = receiver.read_whole();
    let short: Vec<String> = records
        .iter()
        .map(|record| [&record[..5], record.rsplit(' ').next().unwrap()].concat())
        .collect();
    assert_eq!(short, ["<130>crit", "<131>err", "<132>warning", "<134>info", "<135>debug"]);
    assert!(records[0].contains(&format!(" pmtr[{}]: ", std::process::id())));
}

#[test]
fn a_receiver_that_does_not_read_gets_everything_in_the_end() {
    let (mut world, receiver) = World::with_syslog();
    let mut count = world.fill();
    world.flush();
    assert!(!world.log.is_empty());
    assert_eq!(world.log.deadline().unwrap().since(world.now).as_secs(), 1);
    world.pass(1.0);
    world.flush();
    assert_eq!(world.log.deadline(), None, "it waits for the poller, not for the time");
    assert_eq!(world.turn(), 0, "and the poller has nothing to tell");
    while world.line(&format!("line {count}")) {
        count += 1;
    }
    assert_eq!(world.receive(&receiver, count), numbered(count));
    assert!(world.log.is_empty());
    assert_eq!(world.turn(), 0, "nothing is waited for any more");
}

#[test]
fn messages_have_room_that_lines_have_not_and_are_counted_beyond_it() {
    let (mut world, receiver) = World::with_syslog();
    let lines = world.fill();
    for number in 0..5000 {
        world.say(&format!("message {number}"));
    }
    world.flush();
    let mut records = world.receive_all(&receiver);
    let lost = records.pop().unwrap();
    let messages = records.split_off(lines);
    assert!(messages.len() > 100);
    for (number, message) in messages.iter().enumerate() {
        assert_eq!(*message, format!("pmtr[77]: message {number}"));
    }
    assert_eq!(lost, format!("pmtr[77]: {} log messages lost", 5000 - messages.len()));
}

#[test]
fn lost_messages_are_a_warning() {
    let (mut world, receiver) = World::with_syslog();
    (0..5000).for_each(|_| world.say("message"));
    let mut records = Vec::new();
    world.until(|world| {
        records.extend(receiver.read_whole());
        world.log.is_empty().then_some(())
    });
    records.extend(receiver.read_whole());
    assert!(records.pop().unwrap().starts_with("<132>"));
}

#[test]
fn a_restart_of_syslogd_loses_nothing() {
    let (mut world, receiver) = World::with_syslog();
    assert!(world.line("before"));
    world.flush();
    assert_eq!(receiver.read(), ["web[5]: before"]);
    world.kill(receiver);
    for number in 0..50 {
        assert!(world.line(&format!("line {number}")));
        world.flush();
        world.pass(0.1);
    }
    let receiver = world.listen();
    world.pass(5.0);
    world.flush();
    assert_eq!(world.receive(&receiver, 50), numbered(50));
}

#[test]
fn syslogd_can_restart_while_it_is_being_waited_for() {
    let (mut world, receiver) = World::with_syslog();
    let count = world.fill();
    world.flush();
    let first = receiver.read();
    assert_eq!(first, numbered(count)[..first.len()]);
    // What is in its socket when syslogd ends, nobody can save.
    world.flush();
    world.kill(receiver);
    let receiver = world.listen();
    let records = world.receive(&receiver, count - first.len());
    assert_eq!(records, numbered(count)[first.len()..]);
}

#[test]
fn the_new_receiver_is_found_at_once() {
    let (mut world, receiver) = World::with_syslog();
    world.kill(receiver);
    let receiver = world.listen();
    assert!(world.line("line 0"));
    world.flush();
    assert_eq!(receiver.read(), numbered(1));
}

#[test]
fn what_fits_is_kept_for_a_receiver_without_a_time_limit() {
    let (mut world, receiver) = World::with_syslog();
    world.kill(receiver);
    let held = world.fill();
    world.say("of pmtr");
    for _ in 0..100 {
        world.pass(60.0);
        world.flush();
        assert!(!world.line("still full"));
    }
    let receiver = world.listen();
    world.flush();
    let mut records = world.receive(&receiver, held + 1);
    assert_eq!(records.pop().unwrap(), "pmtr[77]: of pmtr");
    assert_eq!(records, numbered(held));
}

#[test]
fn without_any_log_what_fits_is_kept_and_the_end_does_not_wait() {
    let mut world = World::new();
    world.start(Echo::Off, std::io::stderr().as_fd());
    let held = world.fill();
    world.pass(3600.0);
    world.flush();
    assert!(held > 0 && !world.line("still full"));
    assert!(world.log.is_empty() && !world.log.is_taken());
    let receiver = world.listen();
    assert_eq!(world.receive(&receiver, held), numbered(held));
}

#[test]
fn a_receiver_that_comes_is_found_at_once() {
    let (mut world, receiver) = World::with_syslog();
    world.kill(receiver);
    world.say("waits");
    world.flush();
    for at in [1.0, 100.0, 4000.0] {
        world.pass(at);
        world.flush();
    }
    assert_eq!(world.turn(), 0);
    let receiver = world.listen();
    assert_eq!(world.receive(&receiver, 1), ["pmtr[77]: waits"], "the time stands still");
}

/// As `/dev/log` is one, to where the journal listens, whose directory is not there yet.
#[test]
fn a_receiver_behind_a_link_is_found_at_once() {
    let mut world = World::new();
    let directory = world.path.with_file_name("journal");
    std::os::unix::fs::symlink("journal/dev-log", &world.path).unwrap();
    world.start(Echo::Off, std::io::stderr().as_fd());
    world.say("waits");
    world.flush();
    world.pass(4000.0);
    world.flush();
    std::fs::create_dir(&directory).unwrap();
    while world.turn() > 0 {}
    let receiver = Receiver::bind(&directory.join("dev-log"));
    assert_eq!(world.receive(&receiver, 1), ["pmtr[77]: waits"]);
}

#[test]
fn a_new_receiver_in_the_place_of_one_that_is_stopped_gets_the_log() {
    let (mut world, stopped) = World::with_syslog();
    world.say("before");
    world.flush();
    let receiver = world.listen();
    world.pass(0.1);
    world.say("after");
    world.flush();
    assert_eq!(receiver.read(), ["pmtr[77]: after"]);
    assert_eq!(stopped.read(), ["pmtr[77]: before"]);
}

#[test]
fn a_new_receiver_in_the_place_of_one_that_is_full_gets_the_log() {
    let (mut world, stopped) = World::with_syslog();
    let count = world.fill();
    world.flush();
    world.pass(1.5);
    world.flush();
    assert_eq!((world.turn(), world.log.deadline()), (0, None), "now an event is waited for");
    let receiver = world.listen();
    let rest = world.receive(&receiver, 1);
    let rest = [rest, world.receive_all(&receiver)].concat();
    let got = [stopped.read(), rest].concat();
    assert_eq!(got, numbered(count));
}

#[test]
fn syslogd_may_come_up_a_few_seconds_later() {
    let mut world = World::new();
    world.start(Echo::Off, std::io::stderr().as_fd());
    world.say("pmtr: starting");
    world.flush();
    world.pass(8.0);
    let receiver = world.listen();
    world.flush();
    assert_eq!(receiver.read(), ["pmtr[77]: pmtr: starting"]);
}

#[test]
fn it_is_tried_ever_less_often() {
    let mut world = World::new();
    world.start(Echo::Off, std::io::stderr().as_fd());
    world.say("hello");
    let start = world.now;
    let mut tries = Vec::new();
    for _ in 0..20 {
        world.now = world.log.deadline().unwrap();
        world.flush();
        tries.push(world.now.since(start).as_millis());
    }
    assert_eq!(tries[..7], [100, 300, 700, 1500, 3100, 6300, 12_700]);
    assert_eq!(tries[19] - tries[18], 3_600_000);
}

#[test]
fn a_quiet_log_waits_for_nothing() {
    let (mut world, receiver) = World::with_syslog();
    world.say("hello");
    world.flush();
    assert_eq!(receiver.read().len(), 1);
    assert_eq!((world.log.deadline(), world.turn()), (None, 0));
}
