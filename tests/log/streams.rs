//! The output of jobs, from their pipes to the log.

use crate::sealed::sealed;
use crate::world::{alone, Receiver, World};
use nix::sys::resource::{getrlimit, setrlimit, Resource};
use pmtr::limits::{MAX_STREAMS, STREAM_BUFFERS};
use pmtr::name::Name;
use pmtr::sys::log::Echo;
use pmtr::sys::streams::StreamId;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

impl World {
    /// Starts a job, whose pid is `pid`; what it writes comes from the test.
    pub fn job(&mut self, name: &str, pid: i32) -> File {
        self.open(name, pid).1
    }

    pub fn open(&mut self, name: &str, pid: i32) -> (StreamId, File) {
        let (id, pipe) = self
            .streams
            .open_with(&mut self.log, Name::new(name.as_bytes()), &self.poller)
            .unwrap();
        sealed(|| self.streams.started(id, pid));
        (id, pipe.into())
    }

    pub fn ends(&mut self, pid: i32) {
        sealed(|| self.streams.ended_with(&mut self.log, pid, self.now, &self.poller));
    }

    /// Turns until nothing happens any more; returns what the receiver got.
    pub fn settle(&mut self, receiver: &Receiver) -> Vec<String> {
        let mut records = Vec::new();
        loop {
            let (ready, got) = (self.turn(), receiver.read());
            if ready == 0 && got.is_empty() && self.log.is_empty() {
                return records;
            }
            records.extend(got);
        }
    }
}

/// Writes on another thread, as a job would: it may have to wait.
pub fn writes(mut pipe: File, text: Vec<u8>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || pipe.write_all(&text).unwrap())
}

#[test]
fn a_line_comes_with_the_name_and_pid_of_its_job() {
    let (mut world, receiver) = World::with_syslog();
    let mut web = world.job("web", 10);
    let mut db = world.job("db", 20);
    web.write_all(b"hello\nworld\n").unwrap();
    assert_eq!(world.settle(&receiver), ["web[10]: hello", "web[10]: world"]);
    db.write_all(b"ready\n").unwrap();
    assert_eq!(world.settle(&receiver), ["db[20]: ready"]);
    assert!(world.streams.is_quiet());
}

#[test]
fn a_line_that_comes_in_pieces_is_one() {
    let (mut world, receiver) = World::with_syslog();
    let mut web = world.job("web", 10);
    for piece in ["GET ", "/index.html", " 200"] {
        web.write_all(piece.as_bytes()).unwrap();
        assert_eq!(world.settle(&receiver), [""; 0]);
        world.pass(0.9);
    }
    web.write_all(b"\n").unwrap();
    assert_eq!(world.settle(&receiver), ["web[10]: GET /index.html 200"]);
}

#[test]
fn the_beginning_of_a_line_is_sent_after_a_second() {
    let (mut world, receiver) = World::with_syslog();
    let mut web = world.job("web", 10);
    web.write_all(b"Password: ").unwrap();
    assert_eq!(world.settle(&receiver), [""; 0]);
    let deadline = world.streams.deadline().unwrap();
    assert_eq!(deadline.since(world.now).as_millis(), 1000);
    world.now = deadline;
    assert_eq!(world.settle(&receiver), ["web[10]: Password: "]);
    assert!(world.streams.is_quiet() && world.streams.deadline().is_none());
    web.write_all(b"wrong\nbye\n").unwrap();
    assert_eq!(world.settle(&receiver), ["web[10]: ...wrong", "web[10]: bye"]);
}

#[test]
fn the_last_words_come_before_what_is_said_of_the_end() {
    let (mut world, receiver) = World::with_syslog();
    let mut web = world.job("web", 10);
    web.write_all(b"one\ntwo\nlast words").unwrap();
    world.ends(10);
    world.say("job web [10] exited");
    let expected =
        ["web[10]: one", "web[10]: two", "web[10]: last words", "pmtr[77]: job web [10] exited"];
    assert_eq!(world.settle(&receiver), expected);
}

#[test]
fn a_whole_pipe_comes_before_what_is_said_of_the_end() {
    let (mut world, receiver) = World::with_syslog();
    let mut web = world.job("web", 10);
    let line = format!("{}\n", "x".repeat(4095));
    (0..11).for_each(|_| web.write_all(line.as_bytes()).unwrap());
    world.ends(10);
    world.say("end");
    let records = world.settle(&receiver);
    assert_eq!((records.len(), &records[11][..]), (12, "pmtr[77]: end"));
}

#[test]
fn what_a_job_left_behind_can_go_on_writing() {
    let (mut world, receiver) = World::with_syslog();
    let mut web = world.job("web", 10);
    web.write_all(b"half").unwrap();
    world.ends(10);
    assert_eq!(world.settle(&receiver), ["web[10]: half"]);
    web.write_all(b"from a child\nand more").unwrap();
    assert_eq!(world.settle(&receiver), ["web[10]: from a child"]);
    assert_eq!(world.streams.open_count(), 1);
    drop(web);
    assert_eq!(world.settle(&receiver), ["web[10]: and more"]);
    assert_eq!((world.streams.open_count(), world.streams.is_quiet()), (0, true));
}

#[test]
fn a_pid_that_is_used_again_is_the_new_jobs() {
    let (mut world, receiver) = World::with_syslog();
    let _left_behind = world.job("old", 10);
    world.ends(10);
    let mut new = world.job("new", 10);
    new.write_all(b"partial").unwrap();
    world.ends(10);
    assert_eq!(world.settle(&receiver), ["new[10]: partial"]);
}

#[test]
fn a_start_that_fails_leaves_no_stream() {
    let (mut world, receiver) = World::with_syslog();
    let (id, _pipe) = world.open("web", 0);
    world.streams.cancel(id, &world.poller);
    assert_eq!(world.streams.open_count(), 0);
    assert_eq!(world.settle(&receiver), [""; 0]);
}

#[test]
fn a_flood_does_not_keep_others_waiting() {
    let (mut world, receiver) = World::with_syslog();
    let flood = world.job("flood", 10);
    let mut quiet = world.job("quiet", 20);
    let flood = writes(flood, format!("{}\n", "f".repeat(99)).repeat(20_000).into_bytes());
    world.receive(&receiver, 1000);
    for number in 0..100 {
        writeln!(quiet, "{number}").unwrap();
        let wanted = format!("quiet[20]: {number}");
        let mut before = 0;
        world.until(|_| {
            let records = receiver.read();
            let at = records.iter().position(|record| *record == wanted);
            before += at.unwrap_or(records.len());
            at
        });
        // What was in the ring when it was written, and a turn of the flood's.
        assert!(before < 1000, "{before} lines of the flood came first");
    }
    world.until(|_| {
        receiver.read();
        flood.is_finished().then_some(())
    });
    flood.join().unwrap();
}

#[test]
fn while_the_log_is_full_pipes_stay_full_and_nothing_spins() {
    let (mut world, receiver) = World::with_syslog();
    let text: String = (0..30_000).map(|number| format!("line {number}\n")).collect();
    let job = world.job("web", 10);
    let job = writes(job, text.clone().into_bytes());
    // Nobody reads: it comes to rest, with the job waiting in its write.
    let mut still = 0;
    world.until(|world| {
        let rests = world.turn() == 0 && !world.streams.is_quiet();
        still = if rests { still + 1 } else { 0 };
        (still == 50).then_some(())
    });
    assert!(!job.is_finished());
    world.pass(1.0);
    world.flush();
    assert_eq!((world.streams.deadline(), world.log.deadline()), (None, None));
    // Messages go on meanwhile, with their own part of the ring.
    world.say("still here");
    let mut records = world.receive(&receiver, 30_001);
    let message = records.iter().position(|record| record == "pmtr[77]: still here").unwrap();
    records.remove(message);
    let expected: Vec<String> = text.lines().map(|line| format!("web[10]: {line}")).collect();
    assert!(records == expected, "lost, doubled or in another order");
    job.join().unwrap();
}

#[test]
fn a_log_that_takes_all_at_once_is_no_reason_to_wait() {
    // The ring is full in the middle of a turn, and empty at its end: nothing would wake the loop.
    let file = tempfile::tempfile().unwrap();
    let mut world = World::new();
    world.start(Echo::Auto, file.as_fd());
    let mut job = world.job("web", 10);
    job.write_all(&b"x\n".repeat(30_000)).unwrap();
    drop(job);
    while world.turn() > 0 || world.more {}
    assert_eq!(world.streams.open_count(), 0);
    assert_eq!(file.metadata().unwrap().len(), 30_000 * "web[10]: x\n".len() as u64);
}

#[test]
fn many_jobs_at_once_lose_nothing() {
    let (mut world, receiver) = World::with_syslog();
    let jobs: Vec<_> = (0..60)
        .map(|n| {
            let mut pipe = world.job(&format!("job{n}"), 100 + n);
            std::thread::spawn(move || {
                for number in 0..200 {
                    // In two writes: other jobs come in between.
                    let line =
                        format!("{number} {}\n", "x".repeat((number * 37 + n as usize) % 300));
                    let (first, second) = line.split_at(line.len() / 2);
                    pipe.write_all(first.as_bytes()).unwrap();
                    pipe.write_all(second.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    let mut lines: BTreeMap<String, String> = BTreeMap::new();
    world.until(|world| {
        world.pass(0.001);
        for record in receiver.read() {
            let (tag, text) = record.split_once(": ").unwrap();
            let all = lines.entry(tag.into()).or_default();
            match text.strip_prefix("...") {
                // Sent in parts, as there were more jobs than buffers.
                Some(rest) => *all = format!("{}{rest}\n", all.trim_end_matches('\n')),
                None => *all += &format!("{text}\n"),
            }
        }
        (world.streams.open_count() == 0 && world.log.is_empty()).then_some(())
    });
    jobs.into_iter().for_each(|job| job.join().unwrap());
    for n in 0..60 {
        let expected: String = (0..200)
            .map(|number| format!("{number} {}\n", "x".repeat((number * 37 + n) % 300)))
            .collect();
        assert!(lines[&format!("job{n}[{}]", 100 + n)] == expected, "job{n}");
    }
}

#[test]
fn more_jobs_than_buffers_in_the_middle_of_a_line() {
    let (mut world, receiver) = World::with_syslog();
    let count = STREAM_BUFFERS + 10;
    let mut jobs: Vec<File> =
        (0..count).map(|n| world.job(&format!("job{n}"), 100 + n as i32)).collect();
    jobs.iter_mut().for_each(|job| job.write_all(b"begin").unwrap());
    assert_eq!(world.settle(&receiver), [""; 0]);
    let deadline = world.streams.deadline().unwrap();
    assert_eq!(deadline.since(world.now).as_millis(), 200, "sooner than the pause");
    world.now = deadline;
    assert_eq!(world.settle(&receiver).len(), STREAM_BUFFERS);
    jobs.iter_mut().for_each(|job| job.write_all(b" end\n").unwrap());
    let mut records = world.settle(&receiver);
    records.sort();
    let mut expected: Vec<String> = (0..count)
        .map(|n| {
            format!(
                "job{n}[{}]: {}",
                100 + n,
                if n < STREAM_BUFFERS { "... end" } else { "begin end" }
            )
        })
        .collect();
    expected.sort();
    assert_eq!(records, expected);
    assert!(world.streams.is_quiet());
}

#[test]
fn a_full_table_closes_the_stream_that_ended_first() {
    alone("streams::the_table_is_full", &[]);
}

#[test]
#[ignore = "needs descriptors for a full table: a_full_table_closes_the_stream_that_ended_first"]
fn the_table_is_full() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    if hard < 2 * MAX_STREAMS as nix::libc::rlim_t + 100 {
        eprintln!("skipped: {hard} descriptors are too few for a full table");
        return;
    }
    let (mut world, receiver) = World::with_syslog();
    let mut jobs: Vec<File> =
        (0..MAX_STREAMS).map(|n| world.job(&format!("job{n}"), 100 + n as i32)).collect();
    let refused = world.streams.open_with(&mut world.log, Name::new(b"one more"), &world.poller);
    assert_eq!(refused.err(), Some(nix::errno::Errno::EMFILE));
    world.ends(103);
    world.ends(101);
    jobs[3].write_all(b"left behind").unwrap();
    let mut last = world.job("last", 50);
    last.write_all(b"hello\n").unwrap();
    let expected = [
        "job3[103]: left behind",
        "pmtr[77]: closing the output of ended job job3: too many are open",
        "last[50]: hello",
    ];
    assert_eq!(world.settle(&receiver), expected);
    assert!(jobs[3].write_all(b"nobody reads this").is_err());

    // The next one while the log is full.
    while (0..10).any(|_| world.turn() > 0 || world.line("filler")) {}
    jobs[1].write_all(b"one line\nand another one\nthe last one").unwrap();
    world.job("next", 51);
    let records = world.settle(&receiver);
    let own: Vec<_> = records.iter().filter(|record| record.starts_with("pmtr")).collect();
    let expected = [
        "pmtr[77]: closing the output of ended job job1: too many are open",
        "pmtr[77]: 3 log messages lost",
    ];
    assert_eq!(own, expected);
    assert!(!records.iter().any(|record| record.starts_with("job1[")));
}
