//! What holds for every state file, whoever wrote it, and every table of processes.

use pmtr::name::Name;
use pmtr::process::{Process, Ticks};
use pmtr::state::{Digest, Era, Header, Owner, Record, BLOCK_BYTES, SHORT_NAME_BYTES};
use pmtr::time::Instant;

type Block = [u8; BLOCK_BYTES];

/// This version's mark, which the checksum of a record begins with.
const MAGIC: &[u8] = b"pmtr st\x02";

/// That of the first version.
const OLD_MAGIC: &[u8] = b"pmtr st\x01";

/// `_SC_CLK_TCK` of all that Linux runs on but old Alphas, and another value.
const TICKS_PER_SEC: [u64; 2] = [100, 1024];

/// The bytes are a file as it stands there, then a file that somebody made who knows the
/// checksum, with processes, and a line of /proc.
pub fn check(data: &[u8]) {
    let mut data = Bytes { rest: data };
    let (boot, namespace) = ([data.byte(); 16], data.byte());
    let init = Ticks(u64::from(namespace >> 1 & 1));
    let era = Era { boot, namespace: u64::from(namespace % 2), init };
    check_file(data.rest, &era);
    check_line(data.rest);
    let blocks: Vec<Block> = (0..1 + data.byte() % 8).map(|slot| data.block(&era, slot)).collect();
    let processes: Vec<Process> = (0..data.byte() % 8).map(|_| data.process()).collect();
    let per_sec = TICKS_PER_SEC[usize::from(data.byte() % 2)];
    let alive = Record::last_sign(blocks.iter().copied(), &era);
    check_versions(&blocks, &era);
    for record in Record::all(blocks.into_iter(), &era) {
        check_record(&record, &era);
        assert!(record.after <= alive, "it lived when it wrote that");
        let is_ended = record.owner(&processes, per_sec, alive) == Owner::Job;
        let remains = record.remains(&processes).filter(|_| is_ended);
        let found: Vec<i32> = remains.map(|process| process.pid).collect();
        assert_eq!(found, ended(&record, &processes, per_sec, alive));
    }
    check_process(&mut data);
}

fn check_file(file: &[u8], era: &Era) {
    if let Some(header) = Header::decode(file) {
        assert_eq!(Header::decode(&header.encode()), Some(header));
    }
    let blocks = file.chunks_exact(BLOCK_BYTES).filter_map(|block| block.try_into().ok());
    for record in Record::all(blocks, era) {
        check_record(&record, era);
    }
    if let Some(boot) = Era::parse_boot_id(file) {
        let digits = file.iter().filter(|byte| byte.is_ascii_hexdigit()).count();
        assert_eq!(digits, 2 * boot.len());
    }
}

/// Nothing that can be read names init or a group, or what cannot be written again.
fn check_record(record: &Record, era: &Era) {
    assert!(record.pid > 1 && record.before <= record.after, "{record:?}");
    assert!(record.name.as_bytes().len() <= SHORT_NAME_BYTES, "{record:?}");
    assert_eq!(Record::decode(&record.encode(era, 7), era, 7).as_ref(), Some(record));
}

/// Nothing is a record of both versions, nor of two eras.
fn check_versions(blocks: &[Block], era: &Era) {
    let elsewhere = Era { init: Ticks(era.init.0 + 1), ..*era };
    for record in Record::all_of_version_1(blocks.iter().copied(), era) {
        assert!(record.pid > 1, "{record:?}");
    }
    for (slot, block) in (0..).zip(blocks.iter().skip(1)) {
        let file = [[0; BLOCK_BYTES], *block];
        let is_new = Record::decode(block, era, slot).is_some();
        let is_old = Record::all_of_version_1(file.into_iter(), era).next().is_some();
        assert!(!(is_new && (is_old || Record::decode(block, &elsewhere, slot).is_some())));
    }
}

/// Any bytes are a line of /proc/PID/stat, or none.
fn check_line(line: &[u8]) {
    let _ = Process::parse(line);
}

/// A program chooses its name, and nothing else in the line.
fn check_process(data: &mut Bytes<'_>) {
    let process = data.process();
    let Process { pid, parent, group, session, started: Ticks(started), ended } = process;
    let state = if ended { 'Z' } else { 'R' };
    let mut line = format!("{pid} (").into_bytes();
    line.extend_from_slice(data.rest);
    line.extend(format!(") {state} {parent} {group} {session} 0 -1 4194304 0 0 0 0").into_bytes());
    line.extend(format!(" 0 0 0 0 20 0 1 0 {started} 0 0\n").into_bytes());
    assert_eq!(Process::parse(&line), Some(process));
}

/// Which processes are ended, in other words than the program has.
fn ended(record: &Record, processes: &[Process], per_sec: u64, alive: Instant) -> Vec<i32> {
    let ticks =
        |at: Instant| (u128::from(at.as_nanos()) * u128::from(per_sec) / 1_000_000_000) as u64;
    let earliest = ticks(record.before).saturating_sub(2);
    let is_convicted = match processes.iter().find(|process| process.pid == record.pid) {
        Some(leader) => {
            let latest = ticks(record.after).saturating_add(2);
            leader.started.0 >= earliest && leader.started.0 <= latest
        }
        None => {
            let latest = ticks(alive).saturating_add(2);
            let of_it: Vec<&Process> =
                processes.iter().filter(|p| p.session == record.pid).collect();
            of_it.iter().all(|process| process.started.0 >= earliest)
                && of_it.iter().any(|process| process.started.0 <= latest)
        }
    };
    let is_its = |p: &&Process| p.pid == record.pid || p.session == record.pid;
    let found = processes.iter().filter(is_its).filter(|process| !process.ended);
    found.filter(|_| is_convicted).map(|process| process.pid).collect()
}

/// Bytes that are taken for one thing after the other; zeros when there are no more.
struct Bytes<'a> {
    rest: &'a [u8],
}

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        first
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// Small numbers meet each other more often.
    fn pid(&mut self) -> i32 {
        match self.byte() {
            small @ 0..=127 => i32::from(small % 16),
            _ => i32::from_le_bytes(self.take()),
        }
    }

    /// Now and then one at the end of time.
    fn time(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=127 => u64::from(small) * 10_000_000,
            _ => u64::from_le_bytes(self.take()),
        }
    }

    fn process(&mut self) -> Process {
        let (pid, session, started) = (self.pid(), self.pid(), self.byte());
        let started = if started < 200 { u64::from(started) } else { self.time() };
        let (started, ended) = (Ticks(started), self.byte() % 4 == 0);
        Process { pid, parent: 1, group: session, session, started, ended }
    }

    /// A block of the file: nothing, a record, a damaged one, one from elsewhere, or what
    /// a record can be only if somebody means harm.
    fn block(&mut self, era: &Era, position: u8) -> Block {
        // The header is the first block, and none of the slots.
        let slot = u16::from(position.saturating_sub(1));
        match self.byte() % 8 {
            0 => [0; BLOCK_BYTES],
            1 | 2 => self.record().encode(era, slot),
            3 => self.damaged(era, slot),
            4 => self.record().encode(&Era { namespace: era.namespace + 1, ..*era }, slot),
            5 => Record::encode_end(Instant::from_nanos(self.time()), era, slot),
            6 => self.old(era, slot),
            _ => self.forged(era, slot),
        }
    }

    fn record(&mut self) -> Record {
        let len = usize::from(self.byte());
        let name: Vec<u8> = (0..len % 70).map(|_| self.byte()).collect();
        let (pid, before, after) = (self.pid(), self.time(), self.time());
        let (before, after) = (Instant::from_nanos(before), Instant::from_nanos(after));
        Record::new(&Name::new(&name), pid, before, after)
    }

    /// What the checksum is there for.
    fn damaged(&mut self, era: &Era, slot: u16) -> Block {
        let whole = self.record().encode(era, slot);
        let (at, bits) = (usize::from(self.byte()) % BLOCK_BYTES, self.byte());
        let mut block = whole;
        block[at] ^= bits;
        let decoded = Record::decode(&block, era, slot);
        assert!(bits == 0 || decoded.is_none(), "a changed byte is not noticed");
        block
    }

    /// Any bytes, with their checksum.
    fn forged(&mut self, era: &Era, slot: u16) -> Block {
        let mut block: Block = self.take();
        let place = Digest::new().with(MAGIC).with(&era.boot).with(&era.namespace.to_le_bytes());
        let place = place.with(&era.init.0.to_le_bytes());
        let sum = place.with(&slot.to_le_bytes()).with(&block[8..]).value();
        block[..8].copy_from_slice(&sum.to_le_bytes());
        block
    }

    /// A record of the first version.
    fn old(&mut self, era: &Era, slot: u16) -> Block {
        let mut block = self.record().encode(era, slot);
        let place = Digest::new().with(OLD_MAGIC).with(&era.boot);
        let place = place.with(&era.namespace.to_le_bytes()).with(&slot.to_le_bytes());
        let sum = place.with(&block[8..]).value();
        block[..8].copy_from_slice(&sum.to_le_bytes());
        block
    }
}
