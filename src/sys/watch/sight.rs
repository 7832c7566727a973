//! A watched file as it was last seen, and whether what is there now is finished.

use super::super::opened::Writers;
use super::super::stat::Stat;
use super::super::std::prelude::v1::*;
use super::super::std::time::{SystemTime, UNIX_EPOCH};
use crate::time::Instant;
use core::time::Duration;

/// The time after its last change in which a file that somebody holds open for writing does not
/// count; also that of a file whose writers cannot be learned.
pub const QUIET: Duration = Duration::from_secs(2);

/// The same, for a file that looks unfinished and whose writers cannot be learned.
const QUIET_UNFINISHED: Duration = Duration::from_secs(10);

/// The same, for a file that has come to its name by a rename, a link or a mount, or that was
/// closed before its writing caused events. Mostly it was finished before.
const QUIET_WHOLE: Duration = Duration::from_millis(400);

/// The interval at which a file is looked at that is being written: meanwhile its changes cause no
/// events.
const WRITING: Duration = Duration::from_secs(1);

/// The time between the event of a file's closing and the moment when the kernel counts one
/// writer less, and more than that.
const CLOSING: Duration = Duration::from_millis(50);

/// What is known of one watched file. All zeros: nothing.
#[derive(Clone, Copy)]
pub struct Sight {
    /// A hash of the path that leads to it; 0: the row is free.
    pub(super) path: u64,
    /// The new configuration names it, too.
    pub(super) is_needed: bool,
    /// A hash of all that stat(2) says of a change; 0: there is no file.
    stamp: u64,
    /// A hash of device and inode of the file that was seen last; 0: none was.
    inode: u64,
    /// The digest of the content that was accepted last.
    digest: u64,
    /// When the file changed last, as far as it was seen.
    changed_at: Instant,
    /// There is a digest.
    is_read: bool,
    /// Content cannot have changed since it was read without another stamp or an event.
    is_trusted: bool,
    /// An event tells of new content.
    is_written: bool,
    /// An event tells that a writer has closed it, and no event of another change came later.
    is_closed: bool,
    /// An event tells that it was created, not renamed to its name.
    is_created: bool,
    /// Another inode than the accepted one has its name.
    is_other: bool,
    /// It was not finished when it was seen last.
    is_pending: bool,
    /// Writing to it causes no event at present.
    pub(super) is_muted: bool,
    logged: Logged,
}

/// What the log has of a writer that does not close the file.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Logged {
    Nothing = 0,
    Unfinished = 1,
    Held = 2,
}

/// Whether a file counts as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does: nobody writes it.
    Finished,
    /// It does, though somebody holds it open for writing.
    Held,
    /// It does not; it is to be looked at again at this time, or when there is an event.
    Wait(Option<Instant>),
}

/// What there is to judge a file by.
pub(in crate::sys) struct Evidence {
    pub writers: Writers,
    /// Its content looks like the beginning of something longer.
    pub is_unfinished: bool,
    /// Each change of it causes an event.
    pub is_watched: bool,
}

impl Sight {
    /// Nothing is known. All zeros.
    pub const NONE: Sight = Sight {
        path: 0,
        is_needed: false,
        stamp: 0,
        inode: 0,
        digest: 0,
        changed_at: Instant::BOOT,
        is_read: false,
        is_trusted: false,
        is_written: false,
        is_closed: false,
        is_created: false,
        is_other: false,
        is_pending: false,
        is_muted: false,
        logged: Logged::Nothing,
    };

    // Events.

    pub(in crate::sys) fn on_modified(&mut self) {
        (self.is_written, self.is_closed) = (true, false);
    }

    pub(super) fn on_closed(&mut self) {
        (self.is_written, self.is_closed) = (true, true);
    }

    pub(super) fn on_created(&mut self) {
        (self.is_created, self.is_closed) = (true, false);
    }

    pub(super) fn on_moved_in(&mut self) {
        (self.is_written, self.is_created, self.is_closed) = (true, false, false);
        self.is_other = true;
    }

    /// Writing to the file causes events from now on. A writer that opened it after the one whose
    /// closing the directory reported, and before now, has caused none.
    pub(super) fn on_watched(&mut self) {
        if self.is_closed {
            (self.is_closed, self.is_created, self.is_other) = (false, false, true);
        }
    }

    /// Events were lost.
    pub(super) fn distrust(&mut self) {
        self.is_trusted = false;
    }

    // Looks.

    /// Returns true if an event tells of new content.
    pub fn is_written(&self) -> bool {
        self.is_written
    }

    /// Returns true if the file was not finished when it was seen last.
    pub fn is_pending(&self) -> bool {
        self.is_pending
    }

    /// Returns true if the file may be another one than the one that was accepted.
    pub(in crate::sys) fn is_news(&self, stat: &Stat) -> bool {
        let is_known = self.stamp == stamp(stat) && self.is_trusted;
        !is_known || self.is_written || self.is_pending
    }

    /// Returns true if nothing but the stamp's precision makes it doubtful that content is as it was.
    pub(in crate::sys) fn is_only_doubtful(&self, stat: &Stat) -> bool {
        let is_same = self.stamp == stamp(stat) && self.is_read;
        is_same && !self.is_written && !self.is_pending
    }

    /// The digest of the accepted content.
    pub(in crate::sys) fn digest(&self) -> Option<u64> {
        Some(self.digest).filter(|_| self.is_read)
    }

    /// There is no file, or none that can be opened. Returns true if there was one before.
    pub(in crate::sys) fn vanish(&mut self) -> bool {
        let was_there = self.stamp != 0;
        (self.stamp, self.is_read, self.is_pending) = (0, false, false);
        (self.is_written, self.logged) = (false, Logged::Nothing);
        was_there
    }

    /// Takes notice of what stat(2) says.
    pub(in crate::sys) fn observe(&mut self, now: Instant, stat: &Stat) {
        let (stamp, inode) = (stamp(stat), inode(stat));
        let is_other = self.inode != inode || self.stamp == 0;
        // How a file that was never seen has come to its name is not known.
        self.is_other |= is_other && self.inode != 0;
        // What was closed was another file.
        self.is_closed &= !is_other || self.is_created;
        if self.stamp != stamp {
            // Of a file that was not seen before only its own time of change is known.
            let is_old = is_other && age(stat) >= QUIET;
            self.changed_at = if is_old { before(now) } else { now };
            self.logged = Logged::Nothing;
        }
        (self.stamp, self.inode) = (stamp, inode);
    }

    /// Decides whether the observed file counts.
    pub(in crate::sys) fn judge(&mut self, now: Instant, evidence: &Evidence) -> Verdict {
        let verdict = self.verdict(now, evidence);
        self.is_pending = matches!(verdict, Verdict::Wait(_));
        self.is_closed = false;
        verdict
    }

    fn verdict(&self, now: Instant, evidence: &Evidence) -> Verdict {
        let quiet_at = self.changed_at + QUIET;
        match evidence.writers {
            Writers::None => Verdict::Finished,
            Writers::Some if quiet_at > now => {
                let pause = if self.is_closed { CLOSING } else { WRITING };
                Verdict::Wait(Some(quiet_at.min(now + pause)))
            }
            Writers::Some if evidence.is_unfinished => Verdict::Wait(None),
            Writers::Some => Verdict::Held,
            Writers::Unknown if self.is_closed => Verdict::Finished,
            Writers::Unknown => match self.changed_at + self.patience(evidence) {
                at if at > now => Verdict::Wait(Some(at.min(now + WRITING))),
                _ => Verdict::Finished,
            },
        }
    }

    /// How long a file whose writers are unknown must not have changed.
    fn patience(&self, evidence: &Evidence) -> Duration {
        match evidence {
            _ if self.is_whole(evidence) => QUIET_WHOLE,
            Evidence { is_unfinished: true, .. } => QUIET_UNFINISHED,
            Evidence { is_unfinished: false, .. } => QUIET,
        }
    }

    /// A file that has come to its name by a rename, a link or a mount was finished before.
    fn is_whole(&self, evidence: &Evidence) -> bool {
        evidence.is_watched && self.is_other && !self.is_created
    }

    /// The observed content counts from now on.
    pub(in crate::sys) fn accept(&mut self, now: Instant, digest: u64, is_watched: bool) {
        (self.digest, self.is_read, self.is_pending) = (digest, true, false);
        (self.is_written, self.is_created, self.is_other) = (false, false, false);
        // The precision of a stamp is two seconds at most (FAT).
        self.is_trusted = is_watched || self.changed_at + QUIET <= now;
    }

    /// Returns true if the log is to say that somebody holds the file; once for each state of it.
    pub(in crate::sys) fn is_to_be_logged(&mut self, verdict: Verdict) -> bool {
        let new = match verdict {
            Verdict::Finished | Verdict::Wait(Some(_)) => Logged::Nothing,
            Verdict::Held => Logged::Held,
            Verdict::Wait(None) => Logged::Unfinished,
        };
        let old = core::mem::replace(&mut self.logged, new);
        new != Logged::Nothing && new != old
    }
}

/// What differs when content does, as far as stat(2) tells. Not 0.
fn stamp(stat: &Stat) -> u64 {
    let time = |secs: i64, nanos: u32| [secs as u64, u64::from(nanos)];
    let [modified, modified_nanos] = time(stat.st_mtime, stat.st_mtime_nsec);
    let [changed, changed_nanos] = time(stat.st_ctime, stat.st_ctime_nsec);
    let times = [modified, modified_nanos, changed, changed_nanos];
    let file = [inode(stat), stat.st_size, u64::from(stat.st_mode)];
    hash(&file, hash(&times, BASIS)).max(1)
}

fn inode(stat: &Stat) -> u64 {
    hash(&[stat.st_dev, stat.st_ino], BASIS).max(1)
}

/// Not 0.
pub(super) fn path_hash(path: &[u8]) -> u64 {
    path.iter().fold(BASIS, |hash, &byte| self::hash(&[u64::from(byte)], hash)).max(1)
}

const BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, with words in place of bytes, and the high half mixed into the low one.
fn hash(words: &[u64], basis: u64) -> u64 {
    words.iter().fold(basis, |hash, &word| {
        let mixed = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    })
}

/// The time since the file was modified, by the clock that file systems use; zero if that
/// was set back.
fn age(stat: &Stat) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let modified = Duration::new(u64::try_from(stat.st_mtime).unwrap_or(0), stat.st_mtime_nsec);
    now.saturating_sub(modified)
}

fn before(now: Instant) -> Instant {
    Instant::from_nanos(now.as_nanos().saturating_sub(QUIET.as_nanos() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(size: u64, mtime: i64) -> Stat {
        Stat {
            st_dev: 1,
            st_ino: 2,
            st_mode: 0o100_644,
            st_nlink: 1,
            st_uid: 0,
            st_gid: 0,
            st_rdev: (0, 0),
            st_size: size,
            st_mtime: mtime,
            st_mtime_nsec: 0,
            st_btime: (0, 0),
            st_ctime: mtime,
            st_ctime_nsec: 0,
        }
    }

    /// A time of change that is far from being old.
    const FRESH: i64 = i64::MAX / 4;

    fn evidence(writers: Writers, is_unfinished: bool) -> Evidence {
        Evidence { writers, is_unfinished, is_watched: true }
    }

    #[test]
    fn a_file_that_nobody_writes_counts_at_once() {
        let mut sight = Sight::NONE;
        sight.observe(Instant::from_secs(100), &stat(1, FRESH));
        let none = evidence(Writers::None, true);
        assert_eq!(sight.judge(Instant::from_secs(100), &none), Verdict::Finished);
    }

    #[test]
    fn a_writer_is_waited_for_until_two_seconds_after_its_last_write() {
        let (mut sight, some) = (Sight::NONE, evidence(Writers::Some, false));
        for second in 100..105 {
            let now = Instant::from_secs(second);
            sight.observe(now, &stat(second, FRESH));
            assert!(matches!(sight.judge(now, &some), Verdict::Wait(Some(_))), "{second}");
        }
        let now = Instant::from_secs(106);
        assert_eq!(sight.judge(now, &some), Verdict::Held);
        assert_eq!(sight.judge(now, &evidence(Writers::Some, true)), Verdict::Wait(None));
        assert!(sight.is_to_be_logged(Verdict::Held) && !sight.is_to_be_logged(Verdict::Held));
    }

    #[test]
    fn where_writers_are_unknown_a_closed_file_counts_at_once_and_a_renamed_one_soon() {
        let (mut sight, unknown) = (Sight::NONE, evidence(Writers::Unknown, false));
        let now = Instant::from_secs(100);
        sight.on_created();
        sight.observe(now, &stat(1, FRESH));
        assert!(matches!(sight.judge(now, &unknown), Verdict::Wait(Some(_))));
        sight.on_closed();
        assert_eq!(sight.judge(now, &unknown), Verdict::Finished);
        sight.accept(now, 1, true);
        sight.on_moved_in();
        sight.observe(now, &Stat { st_ino: 3, ..stat(1, FRESH) });
        assert_eq!(sight.judge(now, &unknown), Verdict::Wait(Some(now + QUIET_WHOLE)));
        assert_eq!(sight.judge(now + QUIET_WHOLE, &unknown), Verdict::Finished);
    }

    #[test]
    fn what_was_closed_before_it_was_watched_may_have_been_opened_again() {
        let (mut sight, unknown) = (Sight::NONE, evidence(Writers::Unknown, false));
        let now = Instant::from_secs(100);
        sight.on_created();
        sight.on_closed();
        sight.on_watched();
        sight.observe(now, &stat(1, FRESH));
        assert_eq!(sight.judge(now, &unknown), Verdict::Wait(Some(now + QUIET_WHOLE)));
        sight.on_closed();
        assert_eq!(sight.judge(now, &unknown), Verdict::Finished);
    }

    #[test]
    fn where_nothing_is_known_two_seconds_of_quiet_decide_and_ten_for_what_looks_unfinished() {
        let now = Instant::from_secs(100);
        for (is_unfinished, quiet) in [(false, 2), (true, 10)] {
            let mut sight = Sight::NONE;
            let unwatched =
                Evidence { writers: Writers::Unknown, is_unfinished, is_watched: false };
            sight.observe(now, &stat(1, FRESH));
            assert!(matches!(sight.judge(now, &unwatched), Verdict::Wait(Some(_))));
            let early = now + Duration::from_millis(quiet * 1000 - 1);
            assert!(matches!(sight.judge(early, &unwatched), Verdict::Wait(Some(_))));
            let late = now + Duration::from_secs(quiet);
            assert_eq!(sight.judge(late, &unwatched), Verdict::Finished);
        }
    }
}
