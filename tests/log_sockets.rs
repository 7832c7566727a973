//! A /dev/log that is no datagram socket, does not exist, or is another one by now; and a time
//! zone that changes.

mod common;

use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{eventually, job, sleepers, World};
use nix::sys::socket::{
    accept, bind, listen, recv, socket, AddressFamily, Backlog, MsgFlags, SockFlag, SockType,
    UnixAddr,
};

/// A world whose log socket is the test's own affair.
fn world() -> World {
    let mut world = World::new();
    world.syslog().close();
    world
}

/// The text behind `TAG[PID]: ` of each record that is whole, of the job or of pmtr.
fn texts(stream: &[u8], tag: &str) -> Vec<String> {
    let whole =
        stream.split_inclusive(|&byte| byte == 0).filter_map(|part| part.strip_suffix(b"\0"));
    let text = |record: &[u8]| {
        let record = String::from_utf8(record.to_vec()).expect("UTF-8");
        assert!(record.starts_with('<') && record.matches("]: ").count() == 1, "torn: {record:?}");
        let (head, text) = record.split_once("]: ").unwrap();
        head.contains(&format!(" {tag}[")).then(|| text.to_string())
    };
    whole.filter_map(text).collect()
}

fn lines(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{n:06} {}", "x".repeat(n * 37 % 3001))).collect()
}

/// Reads what comes until `done`; a few bytes at a time.
fn read_until(stream: &mut UnixStream, all: &mut Vec<u8>, done: impl Fn(&[u8]) -> bool) {
    stream.set_nonblocking(true).unwrap();
    let mut bytes = [0; 4099];
    eventually("the records", || {
        while let Ok(len @ 1..) = stream.read(&mut bytes) {
            all.extend_from_slice(&bytes[..len]);
        }
        done(all)
    });
}

#[test]
fn a_stream_socket_gets_records_that_end_with_nul() {
    let mut world = world();
    let listener = UnixListener::bind(world.syslog().path()).unwrap();
    let lines = lines(2000);
    world.file("text", &(lines.join("\n") + "\n"));
    world.config(&(job("a", "cmd /bin/cat $DIR/text\n  once") + &sleepers("b")));
    world.start_silently();
    let (mut stream, _) = listener.accept().unwrap();
    // Meanwhile the socket fills up, and takes parts of records.
    sleep(Duration::from_millis(300));
    let mut all = Vec::new();
    read_until(&mut stream, &mut all, |all| texts(all, "a").len() >= lines.len());
    assert!(texts(&all, "a") == lines, "torn, lost or doubled");
    assert_eq!(texts(&all, "pmtr")[0], "pmtr: starting");
}

#[test]
fn a_stream_socket_that_is_restarted_gets_the_interrupted_record_whole() {
    let mut world = world();
    let path = world.syslog().path().to_path_buf();
    let listener = UnixListener::bind(&path).unwrap();
    let lines = lines(2000);
    world.file("text", &(lines.join("\n") + "\n"));
    world.config(&(job("a", "cmd /bin/cat $DIR/text\n  once") + &sleepers("b")));
    world.start_silently();
    let (mut stream, _) = listener.accept().unwrap();
    let mut first = Vec::new();
    read_until(&mut stream, &mut first, |all| texts(all, "a").len() > 100);
    drop((stream, listener));
    fs::remove_file(&path).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut second = Vec::new();
    let last = lines.last().unwrap();
    read_until(&mut stream, &mut second, |all| texts(all, "a").contains(last));
    let second = texts(&second, "a");
    // What was in the socket nobody can save: but nothing comes twice, and all that comes is whole.
    assert!(second == lines[lines.len() - second.len()..]);
    assert!(second.len() + texts(&first, "a").len() <= lines.len());
}

#[test]
fn a_seqpacket_socket_gets_a_packet_for_each_record() {
    let mut world = world();
    let flags = SockFlag::SOCK_CLOEXEC;
    let listener = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).unwrap();
    bind(listener.as_raw_fd(), &UnixAddr::new(world.syslog().path()).unwrap()).unwrap();
    listen(&listener, Backlog::new(5).unwrap()).unwrap();
    world.config(&(job("a", "cmd /usr/bin/seq 1 1000\n  once") + &sleepers("b")));
    world.start_silently();
    let connected = accept(listener.as_raw_fd()).unwrap();
    let (mut got, mut bytes) = (Vec::new(), [0; 8192]);
    while got.last().map(String::as_str) != Some("1000") {
        let len = recv(connected, &mut bytes, MsgFlags::empty()).unwrap();
        got.extend(texts(&[&bytes[..len], b"\0"].concat(), "a"));
    }
    assert_eq!(got, (1..=1000).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// What a datagram socket gets until a record has this text.
fn records_until(socket: &UnixDatagram, text: &str) -> Vec<String> {
    socket.set_read_timeout(Some(common::stretched(20))).unwrap();
    let (mut got, mut bytes) = (Vec::new(), [0; 8192]);
    while !got.last().is_some_and(|last: &String| last.contains(text)) {
        let len =
            socket.recv(&mut bytes).unwrap_or_else(|error| panic!("{text}: {error}; {got:?}"));
        got.push(String::from_utf8_lossy(&bytes[..len]).into_owned());
    }
    got
}

/// Ends a receiver. A process that another test is about to start may have a copy of its socket for a
/// moment yet: what is sent meanwhile would be lost in it.
fn close(receiver: UnixDatagram, path: &std::path::Path) {
    let probe = UnixDatagram::unbound().unwrap();
    probe.connect(path).unwrap();
    drop(receiver);
    fs::remove_file(path).unwrap();
    eventually("the end of the socket", || probe.send(b"").is_err());
}

/// The bug: after eight seconds all that waited was dropped, `log block` or not.
#[test]
fn a_receiver_that_was_away_for_long_gets_all_that_was_said() {
    let mut world = world();
    let path = world.syslog().path().to_path_buf();
    let first = UnixDatagram::bind(&path).unwrap();
    world.config(&sleepers("a"));
    world.start_silently();
    records_until(&first, "started job a");
    close(first, &path);
    let count = job("b", "cmd /usr/bin/seq 1 20000\n  log block\n  once");
    world.config(&(sleepers("a") + &count));
    sleep(Duration::from_secs(13));
    let bound_at = Instant::now();
    let second = UnixDatagram::bind(&path).unwrap();
    let all = records_until(&second, "started job b");
    assert!(bound_at.elapsed() < common::stretched(1), "{:?}", bound_at.elapsed());
    assert!(all.iter().any(|record| record.contains("rescanning job configuration")), "{all:?}");
    let mut lines = all;
    lines.extend(records_until(&second, "]: 20000"));
    let of_b = lines.iter().filter_map(|r| r.split_once(" b[")?.1.split_once("]: "));
    assert!(of_b.map(|(_, text)| text.to_string()).eq((1..=20000).map(|n| n.to_string())));
}

#[test]
fn a_receiver_that_comes_late_gets_the_start() {
    let mut world = world().stderr_to(fs::File::create("/dev/null").unwrap());
    world.config(&sleepers("a"));
    world.start_silently();
    sleep(Duration::from_secs(12));
    let bound_at = Instant::now();
    let receiver = UnixDatagram::bind(world.syslog().path()).unwrap();
    let all = records_until(&receiver, "started job a");
    assert!(bound_at.elapsed() < common::stretched(1), "{:?}", bound_at.elapsed());
    assert!(all[0].ends_with("pmtr: starting"), "{all:?}");
}

#[test]
fn a_daemon_without_syslog_says_so_before_it_leaves_the_terminal() {
    let mut world = world();
    world.config(&sleepers("a"));
    world.start_daemon();
    let said = world.read("finish.err");
    let path = world.syslog().path().display().to_string();
    assert!(said.contains(&format!("no syslog at {path}: ")), "{said}");
}

#[test]
fn the_start_of_a_daemon_has_the_daemons_pid() {
    let mut world = World::new();
    world.config(&sleepers("a"));
    world.start_daemon();
    assert_eq!(world.log().wait_for("pmtr: starting").pid, world.pid());
    assert!(!world.read("finish.err").contains("no syslog"));
}

#[test]
fn a_log_socket_with_a_path_that_is_too_long_is_wrong_usage() {
    let world = World::new();
    for (len, status) in [(108, 2), (4000, 2), (107, 0)] {
        world.config("");
        let path = format!("/{}", "x".repeat(len - 1));
        let config = world.config_file().display().to_string();
        let finished = world.run_bare(&["-t", "-c", &config, "--log-socket", &path]);
        assert_eq!(finished.status, Some(status), "{}", finished.said());
        assert_eq!(finished.stderr.contains("longer than 107 bytes"), status == 2);
    }
}

/// Rules that nobody has a file of: versions 2 of tzfile(5) without any change, 5 and 9 hours east.
fn zone_file(hours: u8) -> Vec<u8> {
    let mut header = b"TZif2".to_vec();
    header.resize(44, 0);
    (header[39], header[43]) = (1, 4);
    let kind = [&(i32::from(hours) * 3600).to_be_bytes()[..], &[0, 0], b"AAA\0"].concat();
    [&header[..], &kind, &header, &kind, b"\n\n"].concat()
}

/// The hour of the last record with this text, in hours after UTC.
fn hours_east(world: &World, text: &str, nth: usize) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let stamp = world.log().wait_nth(text, nth).stamp;
    let (hour, minute) =
        (stamp[7..9].parse::<u64>().unwrap(), stamp[10..12].parse::<u64>().unwrap());
    // To the nearest hour: the minute may be over by now.
    (hour * 60 + minute + 24 * 60 + 30 - now / 60 % (24 * 60)) % (24 * 60) / 60
}

fn follows_its_zone(mut world: World, zone: &std::path::Path) {
    world.config(&sleepers("a"));
    world.start();
    assert_eq!(hours_east(&world, "pmtr: starting", 1), 5);
    // As timedatectl(1) does it.
    let new = world.path("new-zone");
    fs::write(&new, zone_file(9)).unwrap();
    fs::copy(&new, zone).unwrap();
    world.signal(nix::sys::signal::Signal::SIGHUP);
    assert_eq!(hours_east(&world, "rescanning job configuration", 1), 9);
    fs::write(zone, zone_file(2)).unwrap();
    world.config(&sleepers("a b"));
    world.started("b");
    assert_eq!(hours_east(&world, "started job b", 1), 2);
}

#[test]
fn stamps_follow_the_file_of_tz() {
    let world = World::new();
    let zone = world.path("zone");
    fs::write(&zone, zone_file(5)).unwrap();
    let world = world.variable("TZ", &format!(":{}", zone.display()));
    follows_its_zone(world, &zone);
}

#[test]
fn stamps_follow_etc_localtime() {
    if common::needs_root("stamps_follow_etc_localtime") {
        return;
    }
    let world = World::new();
    let zone = world.path("zone");
    fs::write(&zone, zone_file(5)).unwrap();
    let script =
        "unset TZ; mount --bind $DIR/zone $(readlink -f /etc/localtime) || exit; exec \"$@\"";
    let script = world.script("with-zone", script).display().to_string();
    follows_its_zone(world.wrapped_in(&["unshare", "-m", &script]), &zone);
}
