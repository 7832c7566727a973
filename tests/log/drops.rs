//! Jobs with `log drop`: they never wait, and what they lose is told exactly.

use crate::streams::writes;
use crate::world::{Receiver, World};
use pmtr::limits::{LINE_BYTES, STREAM_BUFFERS};
use proptest::prelude::*;
use std::fs::File;
use std::io::Write;

impl World {
    /// Starts a job with `log drop`.
    fn lossy_job(&mut self, name: &str, pid: i32) -> File {
        let (id, pipe) = self.open(name, pid);
        self.streams.drops(id);
        pipe
    }

    /// Lets another job fill the log, of which nobody reads anything, until it has to wait.
    fn stall(&mut self) {
        let mut filler = self.job("filler", 99);
        self.until(|world| {
            let had_room = world.log.has_room(LINE_BYTES);
            filler.write_all(&b"a line that fills the log\n".repeat(200)).unwrap();
            while world.turn() > 0 || world.more {}
            (!had_room && !world.log.has_room(LINE_BYTES)).then_some(())
        });
    }

    /// All that the job called `name` has in the log once it is all handed on.
    fn lines_of(&mut self, receiver: &Receiver, name: &str) -> Vec<String> {
        of(name, self.settle(receiver))
    }
}

fn of(name: &str, records: Vec<String>) -> Vec<String> {
    let text = |record: &String| {
        let (tag, text) = record.split_once("]: ").unwrap();
        tag.starts_with(&format!("{name}[")).then(|| text.to_string())
    };
    records.iter().filter_map(text).collect()
}

/// The two numbers of a line that tells of dropped ones.
fn told(line: &str) -> Option<(usize, usize)> {
    let (lines, rest) = line.strip_prefix("... ")?.split_once(" lines, ")?;
    Some((lines.parse().ok()?, rest.strip_suffix(" bytes dropped")?.parse().ok()?))
}

/// Checks that each line written is either logged or counted, in order, with
/// every byte; returns how many were counted at each place.
fn account(written: &str, logged: &[String]) -> Vec<usize> {
    let mut left = written.split_inclusive('\n');
    let mut counts = Vec::new();
    for line in logged {
        match told(line) {
            Some((lines, bytes)) => {
                let dropped: usize = left.by_ref().take(lines).map(str::len).sum();
                assert_eq!(dropped, bytes, "{line}");
                counts.push(lines);
            }
            None => {
                assert_eq!(left.next().map(|line| line.trim_end_matches('\n')), Some(&line[..]))
            }
        }
    }
    assert_eq!(left.next(), None, "neither logged nor counted");
    counts
}

/// Lines of many lengths, each another.
fn text(count: usize) -> String {
    (0..count).map(|n| format!("{n} {}\n", "x".repeat(n * 37 % 211))).collect()
}

#[test]
fn a_job_that_drops_does_not_wait_and_one_line_tells_what_is_lost() {
    let (mut world, receiver) = World::with_syslog();
    let text = text(20_000);
    let job = world.lossy_job("lossy", 10);
    world.stall();
    let job = writes(job, text.clone().into_bytes());
    // Nobody reads meanwhile.
    world.until(|_| job.is_finished().then_some(()));
    job.join().unwrap();
    while world.turn() > 0 || world.more {}
    assert_eq!(account(&text, &world.lines_of(&receiver, "lossy")), [20_000]);
    // A process that another test has just begun may hold the job's end a moment longer.
    world.until(|world| (world.streams.open_count() == 0).then_some(()));
    assert!(world.streams.is_quiet() && world.streams.deadline().is_none());
}

#[test]
fn a_job_that_blocks_loses_nothing_beside_one_that_drops() {
    let (mut world, receiver) = World::with_syslog();
    let text = text(10_000);
    let lossy = world.lossy_job("lossy", 10);
    let lossy = writes(lossy, text.clone().into_bytes());
    let patient = world.job("patient", 20);
    let patient = writes(patient, text.clone().into_bytes());
    world.until(|_| lossy.is_finished().then_some(()));
    (0..100).for_each(|_| _ = world.turn());
    assert!(!patient.is_finished(), "it waits for the log");
    let mut records = Vec::new();
    world.until(|world| {
        records.extend(receiver.read());
        // Quiet they are also while one does not get to write.
        (world.streams.open_count() == 0 && world.log.is_empty()).then_some(())
    });
    records.extend(receiver.read());
    lossy.join().unwrap();
    patient.join().unwrap();
    assert!(!account(&text, &of("lossy", records.clone())).is_empty());
    assert_eq!(account(&text, &of("patient", records)), [0; 0]);
}

#[test]
fn while_it_drops_nothing_spins() {
    let (mut world, receiver) = World::with_syslog();
    let mut job = world.lossy_job("lossy", 10);
    world.stall();
    job.write_all(b"lost\n").unwrap();
    world.turn();
    assert_eq!((world.turn(), world.more), (0, false));
    world.pass(1.0);
    world.flush();
    assert_eq!((world.streams.deadline(), world.log.deadline()), (None, None));
    assert!(!world.streams.is_quiet());
    assert_eq!(world.lines_of(&receiver, "lossy"), ["... 1 lines, 5 bytes dropped"]);
    assert!(world.streams.is_quiet() && world.streams.deadline().is_none());
}

#[test]
fn what_is_dropped_ends_with_its_line() {
    let (mut world, receiver) = World::with_syslog();
    let mut job = world.lossy_job("lossy", 10);
    world.stall();
    job.write_all(b"lost\nbegin").unwrap();
    world.turn();
    assert_eq!(world.lines_of(&receiver, "lossy"), [""; 0]);
    job.write_all(b" of a line").unwrap();
    assert_eq!(world.lines_of(&receiver, "lossy"), [""; 0]);
    job.write_all(b"!\nnext\nand").unwrap();
    assert_eq!(world.lines_of(&receiver, "lossy"), ["... 2 lines, 22 bytes dropped", "next"]);
    job.write_all(b" so on\n").unwrap();
    assert_eq!(world.lines_of(&receiver, "lossy"), ["and so on"]);
}

#[test]
fn a_beginning_that_waits_in_its_buffer_is_dropped_with_its_line() {
    let (mut world, receiver) = World::with_syslog();
    let mut job = world.lossy_job("lossy", 10);
    job.write_all(b"begin").unwrap();
    world.turn();
    world.stall();
    job.write_all(b" end\n").unwrap();
    world.turn();
    assert_eq!(world.lines_of(&receiver, "lossy"), ["... 1 lines, 10 bytes dropped"]);
}

#[test]
fn a_line_without_end_is_told_of_after_a_second() {
    let (mut world, receiver) = World::with_syslog();
    let mut job = world.lossy_job("lossy", 10);
    world.stall();
    job.write_all(b"lost\nPassword: ").unwrap();
    world.turn();
    assert_eq!(world.lines_of(&receiver, "lossy"), [""; 0]);
    let deadline = world.streams.deadline().unwrap();
    assert_eq!(deadline.since(world.now).as_millis(), 1000);
    world.now = deadline;
    assert_eq!(world.lines_of(&receiver, "lossy"), ["... 1 lines, 15 bytes dropped"]);
    assert!(world.streams.is_quiet() && world.streams.deadline().is_none());
    job.write_all(b"wrong\nbye\n").unwrap();
    assert_eq!(world.lines_of(&receiver, "lossy"), ["...wrong", "bye"]);
}

#[test]
fn output_without_any_newline_is_not_dropped_for_ever() {
    let (mut world, receiver) = World::with_syslog();
    let mut job = world.lossy_job("lossy", 10);
    world.stall();
    job.write_all(b"begin").unwrap();
    world.turn();
    assert_eq!(world.lines_of(&receiver, "lossy"), [""; 0]);
    job.write_all(&[b'x'; 5000]).unwrap();
    assert_eq!(world.lines_of(&receiver, "lossy"), ["... 0 lines, 5005 bytes dropped"]);
    job.write_all(b"the end\n").unwrap();
    assert_eq!(world.lines_of(&receiver, "lossy"), ["...the end"]);
}

#[test]
fn the_end_of_a_job_ends_its_last_line() {
    let (mut world, receiver) = World::with_syslog();
    let mut job = world.lossy_job("lossy", 10);
    let mut left_behind = job.try_clone().unwrap();
    world.stall();
    job.write_all(b"one\nlast words").unwrap();
    world.turn();
    world.ends(10);
    drop(job);
    left_behind.write_all(b"from a child\n").unwrap();
    world.turn();
    assert_eq!(world.lines_of(&receiver, "lossy"), ["... 3 lines, 27 bytes dropped"]);
    drop(left_behind);
    assert_eq!(world.settle(&receiver), [""; 0]);
    // What another test is about to start has a copy of the pipe for a moment.
    world.until(|world| (world.streams.open_count() == 0).then_some(()));
    assert!(world.streams.is_quiet());
}

#[test]
fn last_words_that_are_only_begun_wait_for_the_log() {
    let (mut world, receiver) = World::with_syslog();
    let mut job = world.lossy_job("lossy", 10);
    job.write_all(b"last words").unwrap();
    world.turn();
    world.stall();
    drop(job);
    world.ends(10);
    world.turn();
    assert_eq!((world.turn(), world.more), (0, false));
    assert_eq!(world.lines_of(&receiver, "lossy"), ["last words"]);
    assert_eq!((world.streams.open_count(), world.streams.is_quiet()), (0, true));
}

#[test]
fn jobs_that_wait_with_all_buffers_do_not_make_it_wait() {
    let (mut world, receiver) = World::with_syslog();
    let mut patient: Vec<File> =
        (0..STREAM_BUFFERS).map(|n| world.job(&format!("job{n}"), 100 + n as i32)).collect();
    patient.iter_mut().for_each(|job| job.write_all(b"begin").unwrap());
    while (0..10).any(|_| world.turn() > 0 || world.line("filler")) {}
    patient.iter_mut().for_each(|job| job.write_all(b" and end\n").unwrap());
    while world.turn() > 0 || world.more {}
    let text = text(5000);
    let job = world.lossy_job("lossy", 10);
    let job = writes(job, text.clone().into_bytes());
    world.until(|_| job.is_finished().then_some(()));
    job.join().unwrap();
    let records = world.settle(&receiver);
    assert_eq!(account(&text, &of("lossy", records.clone())), [5000]);
    for n in 0..STREAM_BUFFERS {
        assert_eq!(of(&format!("job{n}"), records.clone()), ["begin and end"]);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    Read,
    Turn,
    Pass,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..6000usize).prop_map(Step::Write),
        2 => Just(Step::Read),
        4 => Just(Step::Turn),
        1 => Just(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_line_is_logged_or_counted(steps in proptest::collection::vec(step(), 1..200)) {
        let (mut world, receiver) = World::with_syslog();
        let mut job = world.lossy_job("lossy", 10);
        let all = text(20_000);
        let (mut written, mut records) = (0, Vec::new());
        for step in steps {
            match step {
                Step::Write(count) => {
                    // The pipe takes that much, or it would wait here for ever.
                    job.write_all(&all.as_bytes()[written..written + count]).unwrap();
                    written += count;
                    world.turn();
                    while world.more {
                        world.turn();
                    }
                }
                Step::Read => records.extend(receiver.read()),
                Step::Turn => _ = world.turn(),
                Step::Pass => world.pass(0.1),
            }
        }
        let end = written + all[written..].find('\n').unwrap() + 1;
        job.write_all(&all.as_bytes()[written..end]).unwrap();
        records.extend(world.settle(&receiver));
        account(&all[..end], &of("lossy", records));
        prop_assert!(world.streams.is_quiet());
    }
}
