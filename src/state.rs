//! What pmtr notes down about its running jobs, so that the next one finds
//! what a killed one left: the bytes of the state file.
//!
//! The file is a row of 64-byte blocks: a header, then a record for every slot
//! of the table of jobs, zeros where no job runs. A block never crosses a page, so one
//! write puts it there whole; should one be torn nevertheless, or be of another
//! boot, of another PID namespace or of another slot, its checksum is wrong, and it is as
//! good as absent.
//!
//! A process id alone names nothing: it is used again. A record is therefore
//! bound to the [`Era`] in which its id is valid, and says between which two
//! moments the process was made; the kernel knows when the process with that
//! id was, and only if the two agree it is the job.

#![forbid(unsafe_code)]

use crate::name::Name;
use crate::process::{Process, Ticks};
use crate::time::Instant;

/// The size of the header, and of a record.
pub const BLOCK_BYTES: usize = 64;

/// How many bytes of a job's name a record has room for.
pub const SHORT_NAME_BYTES: usize = 32;

const MAGIC: [u8; 8] = *b"pmtr st\x01";

/// How far the kernel's time of a start may lie outside of what was measured
/// around it: rounding, and kernels that add up the clock differently.
const SLACK_TICKS: u64 = 2;

/// Where the record of a slot stands in the file.
pub const fn offset(slot: u16) -> u64 {
    (BLOCK_BYTES as u64) * (slot as u64 + 1)
}

/// In which process ids mean the same: one run of one kernel, one PID namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Era {
    /// /proc/sys/kernel/random/boot_id (random(4)).
    pub boot: [u8; 16],
    /// The inode of /proc/self/ns/pid (pid_namespaces(7)); 0 without namespaces.
    pub namespace: u64,
}

impl Era {
    /// The boot id in the form in which the kernel writes it: 32 hexadecimal digits with hyphens.
    pub fn parse_boot_id(text: &[u8]) -> Option<[u8; 16]> {
        let mut digits = text.iter().filter(|byte| byte.is_ascii_hexdigit());
        let mut boot = [0; 16];
        for byte in &mut boot {
            *byte = digit(*digits.next()?)? << 4 | digit(*digits.next()?)?;
        }
        digits.next().is_none().then_some(boot)
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|value| value as u8)
}

/// The first block: who wrote the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where its process id is valid.
    pub era: Era,
    /// The pmtr that holds the file, or held it.
    pub pid: i32,
    /// When that started.
    pub started: Ticks,
}

impl Header {
    /// The bytes of the header.
    pub fn encode(&self) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        put(&mut block, 8, MAGIC);
        put(&mut block, 16, self.era.boot);
        put(&mut block, 32, self.era.namespace.to_le_bytes());
        put(&mut block, 40, self.started.0.to_le_bytes());
        put(&mut block, 48, self.pid.to_le_bytes());
        seal(block, Digest::new())
    }

    /// The header of a file; none if it is not one of this version.
    pub fn decode(file: &[u8]) -> Option<Header> {
        let block = unseal(file.get(..BLOCK_BYTES)?, Digest::new())?;
        (take(block, 8) == MAGIC).then(|| Header {
            era: Era { boot: take(block, 16), namespace: u64::from_le_bytes(take(block, 32)) },
            started: Ticks(u64::from_le_bytes(take(block, 40))),
            pid: i32::from_le_bytes(take(block, 48)),
        })
    }
}

/// A job that was started and has not been seen to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The job's name, at most [`SHORT_NAME_BYTES`] of it.
    pub name: Name,
    /// Its first process, which begins a session of that id.
    pub pid: i32,
    /// It was not made before this.
    pub before: Instant,
    /// It was not made after this.
    pub after: Instant,
}

impl Record {
    /// The record for a job whose process was made between two moments.
    pub fn new(name: &Name, pid: i32, before: Instant, after: Instant) -> Record {
        let len = name.as_bytes().len().min(SHORT_NAME_BYTES);
        Record { name: Name::new(&name.as_bytes()[..len]), pid, before, after }
    }

    /// The bytes of the record in `slot`, valid in `era`.
    pub fn encode(&self, era: &Era, slot: u16) -> [u8; BLOCK_BYTES] {
        let name = self.name.as_bytes();
        let mut block = [0; BLOCK_BYTES];
        put(&mut block, 8, self.pid.to_le_bytes());
        block[12] = name.len() as u8;
        put(&mut block, 16, self.before.as_nanos().to_le_bytes());
        put(&mut block, 24, self.after.as_nanos().to_le_bytes());
        block[32..][..name.len()].copy_from_slice(name);
        seal(block, place(era, slot))
    }

    /// The record in `slot`; none if there is none that is whole and of this `era`.
    pub fn decode(block: &[u8], era: &Era, slot: u16) -> Option<Record> {
        let block = unseal(block, place(era, slot))?;
        let name = block[32..].get(..usize::from(block[12]))?;
        let record = Record {
            name: Name::new(name),
            pid: i32::from_le_bytes(take(block, 8)),
            before: Instant::from_nanos(u64::from_le_bytes(take(block, 16))),
            after: Instant::from_nanos(u64::from_le_bytes(take(block, 24))),
        };
        // 1 is init, and 0 and less address groups in kill(2).
        (record.pid > 1 && record.before <= record.after).then_some(record)
    }

    /// All records of a file, in the order of the slots. `blocks` are all of the file, the
    /// header first.
    pub fn all<'a>(
        blocks: impl Iterator<Item = [u8; BLOCK_BYTES]> + 'a,
        era: &'a Era,
    ) -> impl Iterator<Item = Record> + 'a {
        let of_slots = (0..u16::MAX).zip(blocks.skip(1));
        of_slots.filter_map(|(slot, block)| Record::decode(&block, era, slot))
    }

    /// The ids of what still runs of this job, its first process included, out
    /// of all `processes` of the machine. `per_sec` is the value of `_SC_CLK_TCK`.
    ///
    /// That is the process which the record names, if the times agree, with all
    /// of its session. If there is no process of that id, it is all of the
    /// session that began after the record's process. (The kernel does not hand
    /// out an id again while a session is called so. Such a session can only be
    /// somebody else's if, since pmtr was killed, the job's has ended to its last
    /// process, and then all ids of the machine have been used up in turn.)
    pub fn remains<'a>(
        &self,
        processes: &'a [Process],
        per_sec: u64,
    ) -> impl Iterator<Item = i32> + 'a {
        let pid = self.pid;
        let since = self.ours_since(processes, per_sec);
        let ours = move |process: &&Process| {
            (process.pid == pid || process.session == pid)
                && since.is_some_and(|since| process.started >= since)
        };
        processes.iter().filter(|process| !process.ended).filter(ours).map(|process| process.pid)
    }

    /// From when on the session of the record's id is the job's; none if it is not.
    fn ours_since(&self, processes: &[Process], per_sec: u64) -> Option<Ticks> {
        let earliest = Ticks::of(self.before, per_sec).0.saturating_sub(SLACK_TICKS);
        let latest = Ticks::of(self.after, per_sec).0.saturating_add(SLACK_TICKS);
        match processes.iter().find(|process| process.pid == self.pid) {
            Some(first) => (earliest..=latest).contains(&first.started.0).then_some(first.started),
            None => Some(Ticks(earliest)),
        }
    }
}

/// Where a record is valid.
fn place(era: &Era, slot: u16) -> Digest {
    let digest = Digest::new().with(&MAGIC).with(&era.boot);
    digest.with(&era.namespace.to_le_bytes()).with(&slot.to_le_bytes())
}

/// The block with its checksum in front.
fn seal(mut block: [u8; BLOCK_BYTES], place: Digest) -> [u8; BLOCK_BYTES] {
    let sum = place.with(&block[8..]).value().to_le_bytes();
    block[..8].copy_from_slice(&sum);
    block
}

/// The block, if it is whole and its checksum is right.
fn unseal(block: &[u8], place: Digest) -> Option<&[u8; BLOCK_BYTES]> {
    let block: &[u8; BLOCK_BYTES] = block.try_into().ok()?;
    (u64::from_le_bytes(take(block, 0)) == place.with(&block[8..]).value()).then_some(block)
}

fn put<const N: usize>(block: &mut [u8; BLOCK_BYTES], at: usize, bytes: [u8; N]) {
    block[at..at + N].copy_from_slice(&bytes);
}

fn take<const N: usize>(block: &[u8; BLOCK_BYTES], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&block[at..at + N]);
    bytes
}

/// A checksum against accidents, not against forgery: FNV-1a, 64 bits.
#[derive(Clone, Copy)]
pub struct Digest(u64);

impl Digest {
    /// Of nothing.
    pub const fn new() -> Self {
        Digest(0xcbf2_9ce4_8422_2325)
    }

    /// Of what came before, and then `bytes`.
    pub fn with(self, bytes: &[u8]) -> Self {
        let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        Digest(bytes.iter().fold(self.0, step))
    }

    /// The checksum.
    pub fn value(self) -> u64 {
        self.0
    }
}

impl Default for Digest {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const ERA: Era = Era { boot: [7; 16], namespace: 4_026_531_836 };

    fn blocks(file: &[u8]) -> impl Iterator<Item = [u8; BLOCK_BYTES]> + '_ {
        file.chunks_exact(BLOCK_BYTES).map(|block| block.try_into().unwrap())
    }

    fn job() -> Record {
        let (before, after) = (Instant::from_secs(100), Instant::from_nanos(100_000_900_000));
        Record::new(&Name::new(b"web"), 4711, before, after)
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(Record::decode(&job().encode(&ERA, 3), &ERA, 3), Some(job()));
        let header = Header { era: ERA, pid: 42, started: Ticks(99) };
        assert_eq!(Header::decode(&header.encode()), Some(header));
    }

    #[test]
    fn a_file_is_a_header_and_the_records_by_slot() {
        let mut file = Vec::from([0; 4 * BLOCK_BYTES]);
        file[..BLOCK_BYTES]
            .copy_from_slice(&Header { era: ERA, pid: 1, started: Ticks(1) }.encode());
        let at = offset(2) as usize;
        file[at..][..BLOCK_BYTES].copy_from_slice(&job().encode(&ERA, 2));
        assert_eq!(Record::all(blocks(&file), &ERA).collect::<Vec<_>>(), [job()]);
    }

    #[test]
    fn a_record_of_another_boot_namespace_or_slot_is_none() {
        let block = job().encode(&ERA, 3);
        assert_eq!(Record::decode(&block, &Era { boot: [8; 16], ..ERA }, 3), None);
        assert_eq!(Record::decode(&block, &Era { namespace: 1, ..ERA }, 3), None);
        assert_eq!(Record::decode(&block, &ERA, 4), None);
    }

    #[test]
    fn a_record_never_names_init_or_a_group() {
        for pid in [1, 0, -1, -4711, i32::MIN] {
            let record = Record { pid, ..job() };
            assert_eq!(Record::decode(&record.encode(&ERA, 0), &ERA, 0), None, "{pid}");
        }
    }

    #[test]
    fn a_long_name_is_cut() {
        let record = Record::new(&Name::new(&[b'x'; 63]), 2, Instant::BOOT, Instant::BOOT);
        assert_eq!(record.name.as_bytes(), [b'x'; SHORT_NAME_BYTES]);
        assert_eq!(Record::decode(&record.encode(&ERA, 0), &ERA, 0), Some(record));
    }

    #[test]
    fn zeros_are_no_record_and_no_header() {
        assert_eq!(Record::decode(&[0; BLOCK_BYTES], &ERA, 0), None);
        assert_eq!(Header::decode(&[0; BLOCK_BYTES]), None);
        assert_eq!(Header::decode(b""), None);
    }

    #[test]
    fn the_header_of_another_version_is_none() {
        let mut block = Header { era: ERA, pid: 42, started: Ticks(99) }.encode();
        block[15] += 1;
        assert_eq!(Header::decode(&seal(block, Digest::new())), None);
    }

    #[test]
    fn the_boot_id_is_read_as_the_kernel_writes_it() {
        let text = b"891d9f62-3274-4ce0-8fc7-30cefba73bc8\n";
        let boot = Era::parse_boot_id(text).unwrap();
        assert_eq!((boot[0], boot[1], boot[15]), (0x89, 0x1d, 0xc8));
        assert_eq!(Era::parse_boot_id(&text[..30]), None);
        assert_eq!(Era::parse_boot_id(b"891d9f62-3274-4ce0-8fc7-30cefba73bc8-00"), None);
    }

    proptest! {
        #[test]
        fn one_changed_bit_makes_a_record_absent(bit in 0..BLOCK_BYTES * 8) {
            let mut block = job().encode(&ERA, 0);
            block[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Record::decode(&block, &ERA, 0), None);
        }

        #[test]
        fn a_torn_record_is_absent(at in 1..BLOCK_BYTES) {
            let new = Record { pid: 815, before: Instant::from_secs(99), ..job() };
            let (old, new) = (job().encode(&ERA, 0), new.encode(&ERA, 0));
            let torn = [&new[..at], &old[at..]].concat();
            if torn != old && torn != new {
                prop_assert_eq!(Record::decode(&torn, &ERA, 0), None);
            }
        }

        #[test]
        fn any_bytes_are_a_file(file in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(Header::decode(&file), None);
            prop_assert_eq!(Record::all(blocks(&file), &ERA).count(), 0);
        }
    }

    const TICKS: u64 = 100;

    /// A process that runs, and started `ticks` after 100 s, the job's `before`.
    fn process(pid: i32, session: i32, ticks: i64) -> Process {
        let started = Ticks(10_000_u64.saturating_add_signed(ticks));
        Process { pid, parent: 1, group: session, session, started, ended: false }
    }

    fn remains(processes: &[Process]) -> Vec<i32> {
        job().remains(processes, TICKS).collect()
    }

    #[test]
    fn a_job_is_its_first_process_and_all_of_its_session() {
        let other = process(900, 900, 50);
        let all = [process(4711, 4711, 0), process(4712, 4711, 0), process(4800, 4711, 500), other];
        assert_eq!(remains(&all), [4711, 4712, 4800]);
    }

    #[test]
    fn the_first_process_counts_before_it_has_begun_its_session() {
        assert_eq!(remains(&[process(4711, 77, 0), process(77, 77, -500)]), [4711]);
    }

    #[test]
    fn rounding_is_forgiven_and_no_more() {
        for (ticks, ours) in [(-3, false), (-2, true), (0, true), (2, true), (3, false)] {
            assert_eq!(!remains(&[process(4711, 4711, ticks)]).is_empty(), ours, "{ticks}");
        }
    }

    #[test]
    fn a_reused_id_is_left_alone_with_all_of_its_session() {
        let all = [process(4711, 4711, 3000), process(4712, 4711, 3001), process(5, 5, 0)];
        assert_eq!(remains(&all), []);
        assert_eq!(remains(&[process(4711, 1, 3000), process(4712, 4711, 3001)]), []);
    }

    #[test]
    fn what_the_first_process_left_behind_is_the_job_too() {
        let older_than_the_job = process(4000, 4711, -5);
        assert_eq!(remains(&[process(4712, 4711, 100), older_than_the_job]), [4712]);
        let unreaped = Process { ended: true, ..process(4711, 4711, 0) };
        assert_eq!(remains(&[unreaped, process(4712, 4711, 100)]), [4712]);
        assert_eq!(remains(&[unreaped]), []);
    }
}
