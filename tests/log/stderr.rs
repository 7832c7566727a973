//! The echo on stderr, whatever it is connected to.

use crate::world::{alone, numbered, pipe, read_now, World};
use nix::fcntl::{fcntl, FcntlArg, OFlag};
use pmtr::limits::LINE_BYTES;
use pmtr::sys::log::Echo;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;

/// A log with syslog, and stderr on a pipe that is read only when asked.
fn world_with_pipe() -> (World, crate::world::Receiver, File, File) {
    let (reader, writer) = pipe();
    let mut world = World::new();
    let receiver = world.listen();
    world.start(Echo::Auto, writer.as_fd());
    (world, receiver, reader, writer)
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(String::from).collect()
}

#[test]
fn an_echo_has_tag_and_text() {
    let (mut world, receiver, mut reader, _writer) = world_with_pipe();
    world.say("pmtr: starting");
    assert!(world.line("line 0"));
    world.flush();
    assert_eq!(read_now(&mut reader), "pmtr[77]: pmtr: starting\nweb[5]: line 0\n");
    assert_eq!(receiver.read(), ["pmtr[77]: pmtr: starting", "web[5]: line 0"]);
}

#[test]
fn without_syslog_nothing_is_lost_on_a_slow_stderr() {
    let (mut reader, writer) = pipe();
    let mut world = World::new();
    world.start(Echo::Auto, writer.as_fd());
    let (mut count, mut text) = (0, String::new());
    while count < 20_000 {
        while world.line(&format!("line {count}")) {
            count += 1;
        }
        world.flush();
        if !world.line(&format!("line {count}")) {
            text += &read_now(&mut reader);
            world.turn();
        } else {
            count += 1;
        }
    }
    world.until(|world| {
        text += &read_now(&mut reader);
        world.pass(1.0);
        world.log.is_empty().then_some(())
    });
    text += &read_now(&mut reader);
    assert_eq!(lines(&text), numbered(count));
}

#[test]
fn a_stderr_that_is_not_read_does_not_hold_syslog_up() {
    let (mut world, receiver, mut reader, _writer) = world_with_pipe();
    let mut count = 0;
    world.until(|world| {
        while world.line(&format!("line {count}")) {
            count += 1;
        }
        receiver.read();
        (count >= 50_000).then_some(())
    });
    world.until(|world| {
        receiver.read();
        world.line("").then_some(())
    });
    // Now it is read again: what it had, how many it missed, and the rest.
    let mut text = String::new();
    world.until(|world| {
        text += &read_now(&mut reader);
        receiver.read();
        world.log.is_empty().then_some(())
    });
    text += &read_now(&mut reader);
    let echo = lines(&text);
    let gap = echo.iter().position(|line| line.ends_with(" log messages lost")).unwrap();
    let lost: usize = echo[gap]["pmtr[77]: ".len()..].split(' ').next().unwrap().parse().unwrap();
    assert_eq!(echo[..gap], numbered(count)[..gap]);
    assert_eq!(echo[gap + 1..echo.len() - 1], numbered(count)[gap + lost..]);
    assert!(lost > 10_000);
}

#[test]
fn the_flags_of_a_shared_stderr_stay_as_they_are() {
    let (mut world, _receiver, _reader, writer) = world_with_pipe();
    world.fill();
    world.flush();
    let flags = OFlag::from_bits_retain(fcntl(&writer, FcntlArg::F_GETFL).unwrap());
    assert!(!flags.contains(OFlag::O_NONBLOCK));
}

#[test]
fn a_file_is_written_where_others_write_too() {
    let mut file = tempfile::tempfile().unwrap();
    let mut world = World::new();
    let _receiver = world.listen();
    world.start(Echo::Auto, file.as_fd());
    for number in 0..3 {
        writeln!(file, "other {number}").unwrap();
        world.say(&format!("own {number}"));
        world.flush();
    }
    let text = std::fs::read_to_string(format!(
        "/proc/self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(&file)
    ))
    .unwrap();
    let expected =
        ["other 0", "pmtr[77]: own 0", "other 1", "pmtr[77]: own 1", "other 2", "pmtr[77]: own 2"];
    assert_eq!(lines(&text), expected);
}

#[test]
fn a_socket_is_written_without_waiting_and_without_torn_lines() {
    let (mut reader, writer) = UnixStream::pair().unwrap();
    reader.set_nonblocking(true).unwrap();
    let mut world = World::new();
    world.start(Echo::Auto, writer.as_fd());
    let long = "x".repeat(4000);
    let (mut count, mut text) = (0, String::new());
    world.until(|world| {
        while count < 500 && world.line(&format!("{count} {long}")) {
            count += 1;
        }
        text += &read_now(&mut (&mut reader).take(10_000));
        world.pass(1.0);
        (count == 500 && world.log.is_empty()).then_some(())
    });
    text += &read_now(&mut reader);
    let expected: Vec<String> = (0..500).map(|n| format!("web[5]: {n} {long}")).collect();
    assert!(lines(&text) == expected);
}

#[test]
fn a_stderr_that_is_closed_is_given_up() {
    let (mut world, receiver, reader, _writer) = world_with_pipe();
    drop(reader);
    let count = world.fill();
    world.flush();
    assert_eq!(world.receive(&receiver, count), numbered(count));
    assert!(world.log.is_empty());
    assert_eq!((world.log.deadline(), world.turn()), (None, 0));
}

#[test]
fn the_null_device_is_no_echo() {
    let null = File::options().write(true).open("/dev/null").unwrap();
    let mut world = World::new();
    world.start(Echo::Forced, null.as_fd());
    let room = world.log.has_room(LINE_BYTES);
    world.fill();
    world.pass(9.0);
    world.flush();
    // Else there would be room again.
    assert!(room && !world.log.has_room(LINE_BYTES));
}

#[test]
fn a_full_disk_loses_lines_and_says_so() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut world = World::new();
    let receiver = world.listen();
    world.start(Echo::Auto, full.as_fd());
    for _ in 0..3 {
        let count = world.fill();
        world.flush();
        assert_eq!(world.receive(&receiver, count), numbered(count));
        assert_eq!((world.log.is_empty(), world.log.deadline()), (true, None));
    }
    let (mut reader, writer) = pipe();
    world.log.stderr_is(writer.as_fd());
    world.say("new");
    world.flush();
    assert!(read_now(&mut reader).ends_with("pmtr[77]: new\n"));
}

#[test]
fn stderr_can_become_another() {
    let (mut world, _receiver, mut reader, writer) = world_with_pipe();
    let null = File::options().write(true).open("/dev/null").unwrap();
    world.log.stderr_is(null.as_fd());
    drop(writer);
    world.say("in the background");
    world.flush();
    // A process that another test starts may have a copy until it is its program.
    world.until(|_| (reader.read(&mut [0; 10]).ok()? == 0).then_some(()));
}

#[test]
fn the_journal_does_not_get_everything_twice() {
    alone("stderr::stderr_is_the_journal", &[]);
}

#[test]
#[ignore = "sets JOURNAL_STREAM: the_journal_does_not_get_everything_twice"]
fn stderr_is_the_journal() {
    let (mut reader, writer) = UnixStream::pair().unwrap();
    reader.set_nonblocking(true).unwrap();
    let writer = File::from(std::os::fd::OwnedFd::from(writer));
    let stat = writer.metadata().unwrap();
    std::env::set_var("JOURNAL_STREAM", format!("{}:{}", stat.dev(), stat.ino()));
    let expected = [
        (Echo::Auto, true, ""),
        (Echo::Forced, true, "pmtr[77]: hello\n"),
        (Echo::Auto, false, "pmtr[77]: hello\n"),
    ];
    for (echo, syslog, text) in expected {
        let mut world = World::new();
        let _receiver = syslog.then(|| world.listen());
        world.start(echo, writer.as_fd());
        world.say("hello");
        world.flush();
        assert_eq!(read_now(&mut reader), text, "{echo:?}, syslog: {syslog}");
    }
}
