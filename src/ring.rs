//! The ring in which log records wait for their two readers.
//!
//! Records stand one after the other, each in one piece: one that does not fit
//! before the end of the ring starts again at its beginning. Each reader has its
//! own place in the ring; the space of a record is free when both have passed it.
//! When nothing waits, the next record goes to the very beginning, so that a
//! quiet log touches few pages.
//!
//! A reader [holds](Mode::Hold) its records, [yields](Mode::Yield) the oldest of
//! them when the space is needed, or is [off](Mode::Off). What one yields is
//! counted; but the messages of pmtr that syslog yields are kept apart as long as
//! they fit there, so that the output of jobs does not push them out. All zeros is
//! an empty ring whose readers hold.

#![forbid(unsafe_code)]

use crate::limits::{LINE_BYTES, RING_BYTES, RING_RESERVED_BYTES};

/// Before every record: its length, and where its second part begins.
const HEADER_BYTES: usize = 4;

// The longest line fits, with whatever stands before it, even where it has to skip the end of the ring.
const _: () = assert!(RING_BYTES - RING_RESERVED_BYTES > 2 * (LINE_BYTES + 256));
const _: () = assert!(LINE_BYTES + 256 < OWN as usize);

/// In a header's second number: the record is a message of pmtr.
const OWN: u16 = 1 << 15;

/// The room for messages of pmtr that syslog has yielded.
const KEPT_BYTES: usize = RING_RESERVED_BYTES;

/// Who takes records out of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The syslog socket: takes whole records.
    Syslog,
    /// Standard error: takes what [`Record::echo`] has.
    Stderr,
}

/// What a reader does when the ring is full of records that it did not take yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It keeps them: new records have to wait.
    Hold,
    /// It loses the oldest, and they are counted.
    Yield,
    /// It takes none; nothing is counted.
    Off,
}

/// Who wrote a record, which decides how much of the ring it may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A line of a job's output: not the last [`RING_RESERVED_BYTES`].
    Job,
    /// A message of pmtr: all.
    Own,
}

/// There is no room now; what was to be written is to be kept, or counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// One record of the ring, as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    bytes: &'a [u8],
    echo_at: usize,
}

impl<'a> Record<'a> {
    /// All of it: what a syslog receiver is sent, and a newline.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What is echoed to stderr: the part from the tag on, with the newline.
    pub fn echo(&self) -> &'a [u8] {
        &self.bytes[self.echo_at..]
    }
}

/// A ring of [`RING_BYTES`] bytes. What moves stands next to its beginning, in the same page.
#[repr(C)]
pub struct Ring {
    /// Where the next record goes. Positions only grow until the ring is empty;
    /// a position's place in `bytes` is its remainder.
    head: u64,
    cursors: [u64; 2],
    modes: [Mode; 2],
    lost: [u32; 2],
    kept_len: usize,
    bytes: [u8; RING_BYTES],
    /// Messages of pmtr for syslog, older than all in the ring, with their headers.
    kept: [u8; KEPT_BYTES],
}

impl Ring {
    /// An empty ring. All zeros.
    pub const fn new() -> Self {
        Ring {
            head: 0,
            cursors: [0; 2],
            modes: [Mode::Hold; 2],
            lost: [0; 2],
            kept_len: 0,
            bytes: [0; RING_BYTES],
            kept: [0; KEPT_BYTES],
        }
    }

    /// Changes what `reader` does when the ring is full. One that is switched
    /// off lets go of all that it did not take; one that is switched on again
    /// begins with what is written from now on.
    pub fn set_mode(&mut self, reader: Reader, mode: Mode) {
        if mode == Mode::Off || self.modes[reader as usize] == Mode::Off {
            self.cursors[reader as usize] = self.head;
            self.lost[reader as usize] = 0;
            self.forget_kept(reader, usize::MAX);
        }
        self.modes[reader as usize] = mode;
        self.rewind();
    }

    /// Returns true if a record of up to `len` bytes can be written now.
    pub fn has_room(&self, class: Class, len: usize) -> bool {
        let limit = match class {
            Class::Job => RING_BYTES - RING_RESERVED_BYTES,
            Class::Own => RING_BYTES,
        };
        self.fits(self.tail(|mode| mode == Mode::Hold), HEADER_BYTES + len, limit)
    }

    /// The space for a record of up to `len` bytes; it counts from the
    /// [`commit`](Self::commit) on. Where readers yield, their oldest records go.
    pub fn reserve(&mut self, class: Class, len: usize) -> Result<&mut [u8], Full> {
        if !self.has_room(class, len) {
            return Err(Full);
        }
        while !self.fits(self.tail(|_| true), HEADER_BYTES + len, RING_BYTES) {
            self.yield_oldest();
        }
        self.rewind();
        self.skip_end(HEADER_BYTES + len);
        let at = place(self.head) + HEADER_BYTES;
        Ok(&mut self.bytes[at..at + len])
    }

    /// Makes the first `len` bytes of what was [reserved](Self::reserve) for the same
    /// class a record, whose echo begins at `echo_at`.
    pub fn commit(&mut self, class: Class, len: usize, echo_at: usize) {
        let at = place(self.head);
        let own = if class == Class::Own { OWN } else { 0 };
        self.bytes[at..at + 2].copy_from_slice(&(len as u16).to_ne_bytes());
        self.bytes[at + 2..at + 4].copy_from_slice(&(echo_at as u16 | own).to_ne_bytes());
        self.head += (HEADER_BYTES + len) as u64;
        for (cursor, mode) in self.cursors.iter_mut().zip(self.modes) {
            if mode == Mode::Off {
                *cursor = self.head;
            }
        }
    }

    /// What `reader` did not take yet, oldest first.
    pub fn records(&self, reader: Reader) -> Records<'_> {
        let kept = &self.kept[..self.kept_of(reader)];
        Records { ring: self, kept, at: self.cursors[reader as usize] }
    }

    /// Returns true if there is nothing for `reader`.
    pub fn is_empty(&self, reader: Reader) -> bool {
        self.cursors[reader as usize] == self.head && self.kept_of(reader) == 0
    }

    /// `reader` has taken its `count` oldest records.
    pub fn advance(&mut self, reader: Reader, count: usize) {
        let forgotten = self.forget_kept(reader, count);
        for _ in forgotten..count {
            let cursor = self.cursors[reader as usize];
            self.cursors[reader as usize] = self.after(cursor);
        }
        self.rewind();
    }

    /// `reader` does without its `count` oldest records; they are counted.
    pub fn lose(&mut self, reader: Reader, count: usize) {
        let lost = &mut self.lost[reader as usize];
        *lost = lost.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        self.advance(reader, count);
    }

    /// How many records `reader` has lost just before its oldest one.
    pub fn lost(&self, reader: Reader) -> u32 {
        self.lost[reader as usize]
    }

    /// `reader` was told of `count` lost records.
    pub fn told(&mut self, reader: Reader, count: u32) {
        let lost = &mut self.lost[reader as usize];
        *lost = lost.saturating_sub(count);
    }

    /// The place of the reader that is furthest behind, among those in a mode.
    fn tail(&self, counts: impl Fn(Mode) -> bool) -> u64 {
        let behind = self.cursors.iter().zip(self.modes).filter(|(_, mode)| counts(*mode));
        behind.map(|(cursor, _)| *cursor).min().unwrap_or(self.head)
    }

    fn fits(&self, tail: u64, need: usize, limit: usize) -> bool {
        let used = (self.head - tail) as usize;
        used == 0 && need <= limit || used + self.padding(need) + need <= limit
    }

    /// What has to be skipped for `need` bytes in one piece.
    fn padding(&self, need: usize) -> usize {
        let left = RING_BYTES - place(self.head);
        if need > left {
            left
        } else {
            0
        }
    }

    fn skip_end(&mut self, need: usize) {
        let (at, padding) = (place(self.head), self.padding(need));
        if padding >= HEADER_BYTES {
            self.bytes[at..at + HEADER_BYTES].fill(0);
        }
        self.head += padding as u64;
    }

    /// Takes the oldest record away from the readers that have it still; they yield.
    fn yield_oldest(&mut self) {
        let tail = self.tail(|_| true);
        let next = self.after(tail);
        for reader in [Reader::Syslog, Reader::Stderr] {
            if self.cursors[reader as usize] != tail {
                continue;
            }
            let given_up = if reader == Reader::Syslog { self.keep(tail) } else { 1 };
            let lost = &mut self.lost[reader as usize];
            *lost = lost.saturating_add(given_up);
            self.cursors[reader as usize] = next;
        }
    }

    /// Keeps the record at `position` for syslog if it is a message of pmtr. Returns how
    /// many records are lost: that one, or older ones in whose place it is kept.
    fn keep(&mut self, position: u64) -> u32 {
        let Some(Found { at, len, class: Class::Own, .. }) = self.record(position) else {
            return 1;
        };
        let mut lost = 0;
        while self.kept_len + HEADER_BYTES + len > KEPT_BYTES {
            self.forget_kept(Reader::Syslog, 1);
            lost += 1;
        }
        let whole = &self.bytes[at - HEADER_BYTES..at + len];
        self.kept[self.kept_len..][..whole.len()].copy_from_slice(whole);
        self.kept_len += whole.len();
        lost
    }

    /// The bytes that are kept for `reader`.
    fn kept_of(&self, reader: Reader) -> usize {
        match reader {
            Reader::Syslog => self.kept_len,
            Reader::Stderr => 0,
        }
    }

    /// Forgets up to `count` of the records that are kept for `reader`; returns how many.
    fn forget_kept(&mut self, reader: Reader, count: usize) -> usize {
        let (mut forgotten, mut end) = (0, 0);
        while forgotten < count && end < self.kept_of(reader) {
            end += HEADER_BYTES + header(&self.kept[end..]).0;
            forgotten += 1;
        }
        if forgotten > 0 {
            self.kept.copy_within(end..self.kept_len, 0);
            self.kept_len -= end;
        }
        forgotten
    }

    /// Starts at the beginning again when nothing waits.
    fn rewind(&mut self) {
        if self.cursors == [self.head; 2] {
            self.head = 0;
            self.cursors = [0; 2];
        }
    }

    /// The record at `position`, or behind the end of the ring that is skipped there.
    fn record(&self, position: u64) -> Option<Found> {
        let (mut position, mut at) = (position, place(position));
        let left = RING_BYTES - at;
        if left < HEADER_BYTES || header(&self.bytes[at..]).0 == 0 {
            position += left as u64;
            at = 0;
        }
        if position >= self.head {
            return None;
        }
        let (len, echo_at, class) = header(&self.bytes[at..]);
        Some(Found {
            at: at + HEADER_BYTES,
            len,
            echo_at,
            class,
            next: position + (HEADER_BYTES + len) as u64,
        })
    }

    /// The position after the record at `position`.
    fn after(&self, position: u64) -> u64 {
        self.record(position).map_or(self.head, |found| found.next)
    }
}

/// Where a record is, its length, its echo's place, its class, and the position after it.
struct Found {
    at: usize,
    len: usize,
    echo_at: usize,
    class: Class,
    next: u64,
}

/// The length, the echo's place and the class of the record that begins with this header.
fn header(bytes: &[u8]) -> (usize, usize, Class) {
    let number = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
    let class = if number(2) & OWN != 0 { Class::Own } else { Class::Job };
    (number(0).into(), (number(2) & !OWN).into(), class)
}

impl Default for Ring {
    fn default() -> Self {
        Self::new()
    }
}

/// The records that a reader did not take yet; made by [`Ring::records`].
pub struct Records<'a> {
    ring: &'a Ring,
    /// What is kept apart, and comes first.
    kept: &'a [u8],
    at: u64,
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        if !self.kept.is_empty() {
            let (len, echo_at, _) = header(self.kept);
            let (bytes, rest) = self.kept[HEADER_BYTES..].split_at(len);
            self.kept = rest;
            return Some(Record { bytes, echo_at });
        }
        if self.at == self.ring.head {
            return None;
        }
        let Found { at, len, echo_at, next, .. } = self.ring.record(self.at)?;
        self.at = next;
        Some(Record { bytes: &self.ring.bytes[at..at + len], echo_at })
    }
}

fn place(position: u64) -> usize {
    (position % RING_BYTES as u64) as usize
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::Mode::*;
    use super::*;
    use proptest::prelude::*;
    use std::{boxed::Box, collections::VecDeque, vec, vec::Vec};

    const JOB_BYTES: usize = RING_BYTES - RING_RESERVED_BYTES;

    fn push(ring: &mut Ring, class: Class, bytes: &[u8], echo_at: usize) -> Result<(), Full> {
        // As the log does: more is reserved than used in the end.
        ring.reserve(class, bytes.len() + 20)?[..bytes.len()].copy_from_slice(bytes);
        ring.commit(class, bytes.len(), echo_at);
        Ok(())
    }

    fn fill(ring: &mut Ring, class: Class, bytes: &[u8]) -> usize {
        (0..).take_while(|_| push(ring, class, bytes, 0).is_ok()).count()
    }

    /// A record that tells which it is.
    fn numbered(number: usize, len: usize) -> Vec<u8> {
        let mut record = vec![number as u8; len];
        record[..4].copy_from_slice(&(number as u32).to_ne_bytes());
        record
    }

    /// What a reader is to see: a queue, and a count of what went before its first.
    struct Model {
        mode: Mode,
        waiting: VecDeque<(Class, Vec<u8>)>,
        /// Messages of pmtr that were yielded; for syslog only.
        kept: VecDeque<Vec<u8>>,
        lost: usize,
    }

    impl Model {
        fn yield_oldest(&mut self, reader: Reader) {
            let (class, bytes) = self.waiting.pop_front().unwrap();
            if class == Class::Job || reader == Reader::Stderr {
                return self.lost += 1;
            }
            self.kept.push_back(bytes);
            while self.kept.iter().map(|bytes| bytes.len() + HEADER_BYTES).sum::<usize>()
                > KEPT_BYTES
            {
                self.kept.pop_front();
                self.lost += 1;
            }
        }

        fn take(&mut self, count: usize) {
            let kept = count.min(self.kept.len());
            self.kept.drain(..kept);
            self.waiting.drain(..count - kept);
        }

        fn len(&self) -> usize {
            self.kept.len() + self.waiting.len()
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(Class, usize),
        Take(Reader, usize),
        Lose(Reader, usize),
        Switch(Reader, Mode),
    }

    fn step() -> impl Strategy<Value = Step> {
        let reader = || prop_oneof![Just(Reader::Syslog), Just(Reader::Stderr)];
        let mode = prop_oneof![4 => Just(Hold), 4 => Just(Yield), 1 => Just(Off)];
        let len = prop_oneof![4..200usize, 200..4400usize];
        prop_oneof![
            20 => (prop_oneof![Just(Class::Job), Just(Class::Own)], len).prop_map(|(class, len)| Step::Push(class, len)),
            8 => (reader(), 0..40usize).prop_map(|(reader, count)| Step::Take(reader, count)),
            1 => (reader(), 0..3usize).prop_map(|(reader, count)| Step::Lose(reader, count)),
            1 => (reader(), mode).prop_map(|(reader, mode)| Step::Switch(reader, mode)),
        ]
    }

    /// Takes the oldest records of those who yield away until the ring has as many as the model.
    fn yield_as(ring: &Ring, models: &mut [Model; 2]) {
        for (model, reader) in models.iter_mut().zip([Reader::Syslog, Reader::Stderr]) {
            let waiting = Records { ring, kept: &[], at: ring.cursors[reader as usize] }.count();
            while model.mode == Yield && waiting < model.waiting.len() {
                model.yield_oldest(reader);
            }
        }
    }

    fn check(ring: &Ring, models: &[Model; 2]) {
        for (model, reader) in models.iter().zip([Reader::Syslog, Reader::Stderr]) {
            assert!(ring.records(reader).map(|record| record.bytes()).eq(model
                .kept
                .iter()
                .chain(model.waiting.iter().map(|(_, bytes)| bytes))
                .map(|bytes| &bytes[..])));
            assert_eq!(ring.lost(reader) as usize, model.lost);
            assert_eq!(ring.is_empty(reader), model.len() == 0);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..Default::default() })]

        #[test]
        fn readers_see_every_record_once_and_in_order(steps in proptest::collection::vec(step(), 1..400)) {
            let mut ring = Box::new(Ring::new());
            let mut models = [Hold, Hold].map(|mode| Model { mode, waiting: VecDeque::new(), kept: VecDeque::new(), lost: 0 });
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Push(class, len) => {
                        let record = numbered(number, len);
                        if push(&mut ring, class, &record, 4).is_ok() {
                            models.iter_mut().filter(|model| model.mode != Off).for_each(|model| model.waiting.push_back((class, record.clone())));
                        } else {
                            // Only because of one who holds, who has more than half of it.
                            let held = models.iter().filter(|model| model.mode == Hold)
                                .map(|model| model.waiting.iter().map(|(_, bytes)| bytes.len() + HEADER_BYTES).sum::<usize>()).max();
                            prop_assert!(held.unwrap_or(0) > JOB_BYTES - 2 * 4500);
                        }
                        yield_as(&ring, &mut models);
                    }
                    Step::Take(reader, count) => {
                        let model = &mut models[reader as usize];
                        let count = count.min(model.len());
                        model.take(count);
                        ring.advance(reader, count);
                    }
                    Step::Lose(reader, count) => {
                        let model = &mut models[reader as usize];
                        let count = count.min(model.len());
                        model.take(count);
                        model.lost += count;
                        ring.lose(reader, count);
                    }
                    Step::Switch(reader, mode) => {
                        let model = &mut models[reader as usize];
                        if mode == Off || model.mode == Off {
                            model.waiting.clear();
                            model.kept.clear();
                            model.lost = 0;
                        }
                        model.mode = mode;
                        ring.set_mode(reader, mode);
                    }
                }
                check(&ring, &models);
            }
        }
    }

    #[test]
    fn the_echo_is_the_second_part() {
        let mut ring = Ring::new();
        push(&mut ring, Class::Own, b"<30>tag: text\n", 4).unwrap();
        let record = ring.records(Reader::Stderr).next().unwrap();
        assert_eq!((record.bytes(), record.echo()), (&b"<30>tag: text\n"[..], &b"tag: text\n"[..]));
    }

    #[test]
    fn jobs_leave_a_part_to_messages() {
        let mut ring = Ring::new();
        let line = [b'x'; 96];
        let lines = fill(&mut ring, Class::Job, &line);
        assert_eq!(lines, JOB_BYTES / (96 + HEADER_BYTES));
        let messages = fill(&mut ring, Class::Own, &line);
        assert_eq!(messages, RING_BYTES / (96 + HEADER_BYTES) - lines);
        assert!(!ring.has_room(Class::Own, 116));
    }

    #[test]
    fn a_reader_that_yields_holds_nobody_up() {
        let mut ring = Ring::new();
        ring.set_mode(Reader::Stderr, Yield);
        for number in 0..10_000 {
            push(&mut ring, Class::Job, &numbered(number, 60), 0).unwrap();
            ring.advance(Reader::Syslog, 1);
        }
        let kept: Vec<Vec<u8>> =
            ring.records(Reader::Stderr).map(|record| record.bytes().to_vec()).collect();
        let lost = ring.lost(Reader::Stderr) as usize;
        assert_eq!(lost + kept.len(), 10_000);
        assert_eq!(kept[0], numbered(lost, 60));
        assert!(kept.len() > RING_BYTES / 2 / 64);
    }

    #[test]
    fn output_of_jobs_does_not_push_messages_out() {
        let mut ring = Ring::new();
        ring.set_mode(Reader::Syslog, Yield);
        ring.set_mode(Reader::Stderr, Off);
        let messages: Vec<Vec<u8>> = (0..10).map(|n| numbered(n, 60)).collect();
        messages.iter().for_each(|message| push(&mut ring, Class::Own, message, 7).unwrap());
        (0..10_000).for_each(|n| push(&mut ring, Class::Job, &numbered(n, 60), 7).unwrap());
        let all: Vec<_> =
            ring.records(Reader::Syslog).map(|record| record.bytes().to_vec()).collect();
        assert_eq!(all[..10], messages);
        assert_eq!(all.len() - 10 + ring.lost(Reader::Syslog) as usize, 10_000);
        assert_eq!(ring.records(Reader::Syslog).next().unwrap().echo(), &messages[0][7..]);
    }

    #[test]
    fn nothing_is_lost_for_a_record_that_is_not_taken() {
        let mut ring = Ring::new();
        ring.set_mode(Reader::Stderr, Yield);
        fill(&mut ring, Class::Own, &[b'x'; 100]);
        assert_eq!(ring.lost(Reader::Stderr), 0);
    }

    #[test]
    fn a_quiet_ring_stays_at_its_beginning() {
        let mut ring = Ring::new();
        for _ in 0..1000 {
            push(&mut ring, Class::Own, &[b'x'; 500], 0).unwrap();
            ring.advance(Reader::Syslog, 1);
            ring.advance(Reader::Stderr, 1);
        }
        assert!(ring.bytes[HEADER_BYTES + 500..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn told_losses_are_told_once() {
        let mut ring = Ring::new();
        for number in 0..5 {
            push(&mut ring, Class::Own, &numbered(number, 8), 0).unwrap();
        }
        ring.lose(Reader::Syslog, 3);
        ring.told(Reader::Syslog, 2);
        assert_eq!((ring.lost(Reader::Syslog), ring.lost(Reader::Stderr)), (1, 0));
        assert_eq!(ring.records(Reader::Syslog).next().unwrap().bytes(), numbered(3, 8));
    }
}
