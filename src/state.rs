//! What pmtr notes down about its running jobs, so that the next one finds
//! what a killed one left: the bytes of the state file.
//!
//! The file is a row of 64-byte blocks: a header, then a record for every slot
//! of the table of jobs; zeros where no job has run, and the moment of its end where none
//! runs any more. A block never crosses a page, so one
//! write puts it there whole; should one be torn nevertheless, or be of another
//! boot, of another PID namespace or of another slot, its checksum is wrong, and it is as
//! good as absent.
//!
//! # Who is ended
//!
//! A process id alone names nothing: it is used again. A record is therefore
//! bound to the [`Era`] in which its id is valid, and says between which two
//! moments the process was made. The next pmtr ends a session only if the kernel's times convict it
//! ([`Record::owner`]):
//!
//! - A process with the record's id exists: its start must lie between the two moments.
//! - The session has lost its leader: one of its processes must have started while the file shows that
//!   the killed pmtr was alive, and none before the record's process. As long as that pmtr lived, the
//!   record's process, or its zombie, kept anybody else from beginning a session of that id.
//!
//! A session that is convicted is ended whole. One of which the times say nothing is left alone and
//! logged. All moments are those of the machine, not of a time namespace (time_namespaces(7)).
//!
//! # Versions
//!
//! The eighth byte of the magic number is the version. Version 1 knew an era by the namespace's
//! inode number alone, and times within a time namespace only: its records end
//! nothing. They are logged where they may be of this boot and namespace ([`Record::all_of_version_1`]).

#![forbid(unsafe_code)]

use crate::name::Name;
use crate::process::{Process, Ticks};
use crate::time::Instant;

/// The size of the header, and of a record.
pub const BLOCK_BYTES: usize = 64;

/// How many bytes of a job's name a record has room for.
pub const SHORT_NAME_BYTES: usize = 32;

const MAGIC: [u8; 8] = *b"pmtr st\x02";

/// The mark of the first version.
const MAGIC_OF_VERSION_1: [u8; 8] = *b"pmtr st\x01";

/// How far the kernel's time of a start may lie outside of what was measured
/// around it: rounding, and kernels that add up the clock differently.
const SLACK_TICKS: u64 = 2;

/// Where the record of a slot stands in the file.
pub const fn offset(slot: u16) -> u64 {
    (BLOCK_BYTES as u64) * (slot as u64 + 1)
}

/// The scope in which a process id is unique: one run of one kernel, one PID namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Era {
    /// /proc/sys/kernel/random/boot_id (random(4)).
    pub boot: [u8; 16],
    /// The inode of /proc/self/ns/pid (pid_namespaces(7)); 0 without namespaces. The kernel uses it
    /// again when the namespace is gone.
    pub namespace: u64,
    /// The start of the namespace's process 1, on the clock of the machine. 0 in the
    /// namespace that the machine began with, which is the only one of its inode, and where /proc
    /// hides process 1 (`hidepid`, proc(5)).
    pub init: Ticks,
}

impl Era {
    /// The inode of the PID namespace that the machine began with (`PROC_PID_INIT_INO`).
    pub const FIRST_NAMESPACE: u64 = 0xefff_fffc;

    /// Returns true if this era is over, seen from `now`: of another boot, or of a namespace whose
    /// inode is another's now. False: it may be over.
    pub fn is_over(&self, now: &Era) -> bool {
        self.boot != now.boot || (self.namespace == now.namespace && self.init != now.init)
    }

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
        put(&mut block, 56, self.era.init.0.to_le_bytes());
        seal(block, Digest::new())
    }

    /// The header of a file; none if it is not one of this version.
    pub fn decode(file: &[u8]) -> Option<Header> {
        let block = unseal(file.get(..BLOCK_BYTES)?, Digest::new())?;
        (take(block, 8) == MAGIC).then(|| Header {
            era: Era {
                boot: take(block, 16),
                namespace: u64::from_le_bytes(take(block, 32)),
                init: Ticks(u64::from_le_bytes(take(block, 56))),
            },
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
        self.encode_for(place(era, slot))
    }

    fn encode_for(&self, place: Digest) -> [u8; BLOCK_BYTES] {
        let name = self.name.as_bytes();
        let mut block = [0; BLOCK_BYTES];
        put(&mut block, 8, self.pid.to_le_bytes());
        block[12] = name.len() as u8;
        put(&mut block, 16, self.before.as_nanos().to_le_bytes());
        put(&mut block, 24, self.after.as_nanos().to_le_bytes());
        block[32..][..name.len()].copy_from_slice(name);
        seal(block, place)
    }

    /// The bytes in place of a record once its job has ended at `now`.
    pub fn encode_end(now: Instant, era: &Era, slot: u16) -> [u8; BLOCK_BYTES] {
        Record { name: Name::NONE, pid: 0, before: now, after: now }.encode(era, slot)
    }

    /// The record in `slot`; none if there is none that is whole and of this `era`.
    pub fn decode(block: &[u8], era: &Era, slot: u16) -> Option<Record> {
        Record::decode_any(block, place(era, slot)).filter(Record::is_job)
    }

    fn decode_any(block: &[u8], place: Digest) -> Option<Record> {
        let block = unseal(block, place)?;
        let name = block[32..].get(..usize::from(block[12]))?;
        let record = Record {
            name: Name::new(name),
            pid: i32::from_le_bytes(take(block, 8)),
            before: Instant::from_nanos(u64::from_le_bytes(take(block, 16))),
            after: Instant::from_nanos(u64::from_le_bytes(take(block, 24))),
        };
        (record.before <= record.after).then_some(record)
    }

    /// Returns true if it names a process that can be a job: 1 is init, and 0 and less address
    /// groups in kill(2).
    fn is_job(&self) -> bool {
        self.pid > 1
    }

    /// All records of a file, in the order of the slots. `blocks` are all of the file, the
    /// header first.
    pub fn all<'a>(
        blocks: impl Iterator<Item = [u8; BLOCK_BYTES]> + 'a,
        era: &'a Era,
    ) -> impl Iterator<Item = Record> + 'a {
        by_slot(blocks).filter_map(|(slot, block)| Record::decode(&block, era, slot))
    }

    /// All records of a file of version 1, of this boot and a namespace of this inode. They may
    /// be of a namespace that is gone: nothing may be ended because of them.
    pub fn all_of_version_1<'a>(
        blocks: impl Iterator<Item = [u8; BLOCK_BYTES]> + 'a,
        era: &'a Era,
    ) -> impl Iterator<Item = Record> + 'a {
        by_slot(blocks).filter_map(|(slot, block)| {
            Record::decode_any(&block, place_of_version_1(era, slot)).filter(Record::is_job)
        })
    }

    /// The last moment at which the pmtr that wrote the file is known to have lived: when it started
    /// a job, or recorded the end of one. [`Instant::BOOT`]: none is known.
    pub fn last_sign(blocks: impl Iterator<Item = [u8; BLOCK_BYTES]>, era: &Era) -> Instant {
        let known = by_slot(blocks)
            .filter_map(|(slot, block)| Record::decode_any(&block, place(era, slot)));
        known.map(|record| record.after).max().unwrap_or(Instant::BOOT)
    }

    /// The same record with its moments on a clock that is `nanos` nanoseconds ahead.
    pub fn shifted(self, nanos: i64) -> Record {
        Record { before: self.before.on_clock(nanos), after: self.after.on_clock(nanos), ..self }
    }

    /// Judges whose the session of the record's id is, out of all `processes` of the machine.
    /// `per_sec` is the value of `_SC_CLK_TCK`; `alive` is a moment at which the pmtr of the record was
    /// alive, and the record in force ([`last_sign`](Self::last_sign)).
    pub fn owner(&self, processes: &[Process], per_sec: u64, alive: Instant) -> Owner {
        let earliest = Ticks::of(self.before, per_sec).0.saturating_sub(SLACK_TICKS);
        let latest = |time| Ticks::of(time, per_sec).0.saturating_add(SLACK_TICKS);
        if let Some(first) = processes.iter().find(|process| process.pid == self.pid) {
            let is_first = (earliest..=latest(self.after)).contains(&first.started.0);
            return if is_first { Owner::Job } else { Owner::Stranger };
        }
        let members = processes.iter().filter(|process| process.session == self.pid);
        match members.map(|process| process.started.0).min() {
            None => Owner::Nobody,
            Some(oldest) if oldest < earliest => Owner::Stranger,
            Some(oldest) if oldest <= latest(alive.max(self.after)) => Owner::Job,
            Some(_) => Owner::Unknown,
        }
    }

    /// What runs of the record's session out of all `processes` of the machine, its
    /// first process included. To be signalled only if the [`owner`](Self::owner) is the job.
    pub fn remains<'a>(&self, processes: &'a [Process]) -> impl Iterator<Item = &'a Process> + 'a {
        let pid = self.pid;
        let is_its = move |process: &&Process| process.pid == pid || process.session == pid;
        processes.iter().filter(|process| !process.ended).filter(is_its)
    }
}

/// Whose a session is that has the id of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Nobody's: there is no such session, nor such a process.
    Nobody,
    /// The recorded job's.
    Job,
    /// Somebody else's: the id was used again.
    Stranger,
    /// Somebody's: its leader is gone, and the times of the others prove nothing.
    Unknown,
}

/// The blocks behind the header, each with its slot.
fn by_slot<I: Iterator<Item = [u8; BLOCK_BYTES]>>(
    blocks: I,
) -> impl Iterator<Item = (u16, [u8; BLOCK_BYTES])> {
    (0..u16::MAX).zip(blocks.skip(1))
}

/// Where a record is valid.
fn place(era: &Era, slot: u16) -> Digest {
    let digest = Digest::new().with(&MAGIC).with(&era.boot).with(&era.namespace.to_le_bytes());
    digest.with(&era.init.0.to_le_bytes()).with(&slot.to_le_bytes())
}

/// Where a record of version 1 is valid.
fn place_of_version_1(era: &Era, slot: u16) -> Digest {
    let digest = Digest::new().with(&MAGIC_OF_VERSION_1).with(&era.boot);
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

    const ERA: Era = Era { boot: [7; 16], namespace: 4_026_532_001, init: Ticks(4711) };

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

    /// The bug: the inode of a namespace is used again, and a stranger in the new one was killed.
    #[test]
    fn a_record_of_an_earlier_namespace_of_the_same_inode_is_none() {
        let block = job().encode(&ERA, 3);
        let later = Era { init: Ticks(4712), ..ERA };
        assert_eq!(Record::decode(&block, &later, 3), None);
        assert!(ERA.is_over(&later) && !ERA.is_over(&ERA));
        assert!(ERA.is_over(&Era { boot: [8; 16], ..ERA }));
        assert!(!ERA.is_over(&Era { namespace: 1, ..later }), "it may go on elsewhere");
    }

    #[test]
    fn a_record_of_version_1_names_its_job_and_is_none_of_this_version() {
        let block = job().encode_for(place_of_version_1(&ERA, 0));
        let file = [[0; BLOCK_BYTES], block, job().encode(&ERA, 1)].concat();
        assert_eq!(Record::all_of_version_1(blocks(&file), &ERA).collect::<Vec<_>>(), [job()]);
        assert_eq!(Record::decode(&block, &ERA, 0), None);
        let other = Era { boot: [8; 16], ..ERA };
        assert_eq!(Record::all_of_version_1(blocks(&file), &other).count(), 0);
    }

    #[test]
    fn the_end_of_a_job_is_no_record_but_a_sign_of_life() {
        let (early, late) = (Instant::from_secs(101), Instant::from_secs(200));
        let end = Record::encode_end(late, &ERA, 1);
        assert_eq!(Record::decode(&end, &ERA, 1), None);
        let others = [job().encode(&ERA, 0), Record::encode_end(early, &ERA, 1)];
        let file = [&[[0; BLOCK_BYTES]], &others[..]].concat().concat();
        assert_eq!(Record::last_sign(blocks(&file), &ERA), early);
        let file = [[0; BLOCK_BYTES], others[0], end].concat();
        assert_eq!(Record::last_sign(blocks(&file), &ERA), late);
        let elsewhere = Era { init: Ticks(1), ..ERA };
        assert_eq!(Record::last_sign(blocks(&file), &elsewhere), Instant::BOOT);
    }

    #[test]
    fn moments_can_be_moved_to_another_clock_and_back() {
        let there = job().shifted(-70_000_000_000);
        assert_eq!(there.before, Instant::from_secs(30));
        assert_eq!(there.shifted(70_000_000_000), job());
        assert_eq!(job().shifted(i64::MIN).before, Instant::BOOT);
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

    /// What would be ended: the killed pmtr was alive 2 s after the job's start.
    fn ended(processes: &[Process]) -> Vec<i32> {
        match owner(processes) {
            Owner::Job => job().remains(processes).map(|process| process.pid).collect(),
            Owner::Nobody | Owner::Stranger | Owner::Unknown => Vec::new(),
        }
    }

    fn owner(processes: &[Process]) -> Owner {
        job().owner(processes, TICKS, Instant::from_secs(102))
    }

    #[test]
    fn a_job_is_its_first_process_and_all_of_its_session() {
        let other = process(900, 900, 50);
        let all = [process(4711, 4711, 0), process(4712, 4711, 0), process(4800, 4711, 500), other];
        assert_eq!(ended(&all), [4711, 4712, 4800]);
    }

    #[test]
    fn the_first_process_counts_before_it_has_begun_its_session() {
        assert_eq!(ended(&[process(4711, 77, 0), process(77, 77, -500)]), [4711]);
    }

    #[test]
    fn rounding_is_forgiven_and_no_more() {
        for (ticks, ours) in [(-3, false), (-2, true), (0, true), (2, true), (3, false)] {
            assert_eq!(!ended(&[process(4711, 4711, ticks)]).is_empty(), ours, "{ticks}");
        }
    }

    #[test]
    fn a_reused_id_is_left_alone_with_all_of_its_session() {
        let all = [process(4711, 4711, 3000), process(4712, 4711, 3001), process(5, 5, 0)];
        assert_eq!(owner(&all), Owner::Stranger);
        assert_eq!(owner(&[process(4711, 1, 3000), process(4712, 4711, 3001)]), Owner::Stranger);
    }

    #[test]
    fn what_the_first_process_left_behind_is_the_job_too() {
        assert_eq!(ended(&[process(4712, 4711, 100), process(4713, 4711, 9000)]), [4712, 4713]);
        let unreaped = Process { ended: true, ..process(4711, 4711, 0) };
        assert_eq!(ended(&[unreaped, process(4712, 4711, 9000)]), [4712]);
        assert_eq!(ended(&[unreaped]), []);
        assert_eq!(owner(&[]), Owner::Nobody);
    }

    #[test]
    fn a_session_that_is_older_than_the_job_is_a_strangers() {
        assert_eq!(owner(&[process(4712, 4711, 100), process(4000, 4711, -5)]), Owner::Stranger);
    }

    /// The bug: everything in a session of that id was killed that had started after the job.
    #[test]
    fn a_session_without_leader_is_ended_only_if_it_began_while_pmtr_lived() {
        for (ticks, whose) in [(202, Owner::Job), (203, Owner::Unknown), (3000, Owner::Unknown)] {
            assert_eq!(owner(&[process(4712, 4711, ticks)]), whose, "{ticks}");
        }
        let alone = [process(4712, 4711, 3)];
        assert_eq!(job().owner(&alone, TICKS, Instant::BOOT), Owner::Unknown);
    }
}
