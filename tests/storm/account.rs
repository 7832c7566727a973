//! What came out of pmtr, held against what went in: every byte that a job wrote is either
//! in the log, in order, or counted where one is told how much was dropped.

use std::collections::{BTreeMap, VecDeque};

use crate::ledger::Run;
use crate::text::{line, numbers};

/// A job, and one of its processes.
type Source = (u64, u64);

/// What was logged of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// These whole lines of a run.
    Lines { run: u64, first: u64, end: u64 },
    /// The beginning of a line: where buffers are short, it is sent before the rest has come.
    Beginning(Vec<u8>),
    /// What comes next in that line.
    More(Vec<u8>),
    /// So much was dropped.
    Dropped { lines: u64, bytes: u64 },
}

/// All that the log got.
#[derive(Default)]
pub struct Account {
    pieces: BTreeMap<Source, VecDeque<Piece>>,
    /// How often each process was said to have been started.
    pub started: BTreeMap<Source, u64>,
    /// How many of pmtr's own messages were lost, as it said itself.
    pub lost: u64,
    pub records: u64,
}

/// Sums over all jobs, in bytes.
#[derive(Debug, Default)]
pub struct Balance {
    pub runs: u64,
    pub lines: u64,
    pub written: u64,
    pub logged: u64,
    pub dropped: u64,
}

impl Account {
    /// A record of the log: its tag without the process id, that, and the text.
    pub fn take(&mut self, tag: &str, pid: u64, text: &[u8]) {
        self.records += 1;
        match tag.strip_prefix('j').and_then(|job| job.parse().ok()) {
            Some(job) => self.take_line(job, pid, text),
            None => self.take_own(text),
        }
    }

    fn take_own(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        if let Some(rest) = text.strip_prefix("started job j") {
            let source = rest.strip_suffix(']').and_then(|rest| rest.split_once(" ["));
            let (job, pid) = source.expect("a job and its process");
            let source = (job.parse().expect("a job"), pid.parse().expect("a process"));
            *self.started.entry(source).or_default() += 1;
        } else if let Some((count, _)) = text.split_once(" log messages lost") {
            self.lost += count.parse::<u64>().expect("how many");
        }
    }

    fn take_line(&mut self, job: u64, pid: u64, text: &[u8]) {
        let pieces = self.pieces.entry((job, pid)).or_default();
        let piece = piece(job, text);
        match (pieces.back_mut(), &piece) {
            (Some(Piece::Lines { run, end, .. }), Piece::Lines { run: next, first, .. })
                if run == next && *end == *first =>
            {
                *end += 1;
            }
            _ => pieces.push_back(piece),
        }
    }

    /// Goes through the runs of a job: each has to be in the log from its first line on.
    pub fn settle(&mut self, job: u64, may_drop: bool, runs: &[Run], balance: &mut Balance) {
        for (number, run) in (0..).zip(runs) {
            let pieces = self.pieces.entry((job, run.pid)).or_default();
            let mut walk = Walk { job, run: number, seq: 1, bytes: 0, logged: 0, dropped: 0 };
            while pieces.front().is_some_and(|piece| walk.goes_on_with(piece, run)) {
                let piece = pieces.pop_front().expect("a piece");
                let is_allowed = may_drop || !matches!(piece, Piece::Dropped { .. });
                assert!(is_allowed, "job {job} does not drop, but {piece:?}");
                let was = format!("{walk:?}");
                assert!(walk.step(&piece).is_some(), "{run:?}: {was}, and then {piece:?}");
            }
            walk.end(run, balance);
        }
    }

    /// Whether all that the log got belongs to one of the runs.
    pub fn is_settled(&self) -> bool {
        self.pieces.values().all(VecDeque::is_empty)
    }
}

fn piece(job: u64, text: &[u8]) -> Piece {
    if let Some(piece) = dropped(text) {
        return piece;
    }
    if let Some(more) = text.strip_prefix(b"...") {
        return Piece::More(more.to_vec());
    }
    let whole = numbers(text).filter(|(run, seq)| {
        let line = line(job, *run, *seq);
        line.strip_suffix(b"\n") == Some(text)
    });
    match whole {
        Some((run, seq)) => Piece::Lines { run, first: seq, end: seq + 1 },
        None => Piece::Beginning(text.to_vec()),
    }
}

/// `... 12 lines, 345 bytes dropped`
fn dropped(text: &[u8]) -> Option<Piece> {
    let text = std::str::from_utf8(text).ok()?;
    let (lines, bytes) = text.strip_prefix("... ")?.split_once(" lines, ")?;
    let bytes = bytes.strip_suffix(" bytes dropped")?;
    Some(Piece::Dropped { lines: lines.parse().ok()?, bytes: bytes.parse().ok()? })
}

/// How far the log has come in what a run wrote.
#[derive(Debug)]
struct Walk {
    job: u64,
    run: u64,
    /// The line that it is in, and how much of that it has.
    seq: u64,
    bytes: usize,
    logged: u64,
    dropped: u64,
}

impl Walk {
    /// Whether a piece is of this run, and not of a later one with the same process id.
    fn goes_on_with(&self, piece: &Piece, run: &Run) -> bool {
        match piece {
            Piece::Lines { run, .. } => *run == self.run,
            Piece::Beginning(text) => self.line().starts_with(text),
            Piece::More(_) => true,
            Piece::Dropped { .. } => self.seq <= run.begun,
        }
    }

    /// None if that is not what comes next.
    fn step(&mut self, piece: &Piece) -> Option<()> {
        match piece {
            Piece::Lines { first, end, .. } => {
                (self.bytes == 0 && self.seq == *first).then_some(())?;
                (*first..*end).for_each(|_| self.log_line());
            }
            Piece::Beginning(text) => {
                (self.bytes == 0).then_some(())?;
                self.log_part(text)?;
            }
            Piece::More(text) => {
                (self.bytes > 0).then_some(())?;
                self.log_part(text)?;
            }
            Piece::Dropped { lines, bytes } => {
                self.dropped += bytes;
                self.skip(*lines, *bytes)?;
            }
        }
        Some(())
    }

    fn line(&self) -> Vec<u8> {
        line(self.job, self.run, self.seq)
    }

    fn log_line(&mut self) {
        self.logged += self.line().len() as u64;
        self.seq += 1;
    }

    fn log_part(&mut self, text: &[u8]) -> Option<()> {
        let line = self.line();
        line[self.bytes..].starts_with(text).then_some(())?;
        (self.bytes, self.logged) = (self.bytes + text.len(), self.logged + text.len() as u64);
        if self.bytes + 1 == line.len() {
            (self.seq, self.bytes, self.logged) = (self.seq + 1, 0, self.logged + 1);
        }
        Some(())
    }

    /// So many bytes with so many ends of lines.
    fn skip(&mut self, lines: u64, bytes: u64) -> Option<()> {
        let (first, mut left) = (self.seq, bytes);
        while left > 0 {
            let rest = (self.line().len() - self.bytes) as u64;
            if left < rest {
                self.bytes += left as usize;
                break;
            }
            left -= rest;
            (self.seq, self.bytes) = (self.seq + 1, 0);
        }
        (self.seq - first == lines).then_some(())
    }

    fn end(self, run: &Run, balance: &mut Balance) {
        let seen = self.seq - 1;
        assert!(self.bytes == 0 && (run.done..=run.begun).contains(&seen), "{run:?}: {self:?}");
        let written = (1..=seen).map(|seq| line(self.job, self.run, seq).len() as u64).sum::<u64>();
        assert_eq!(written, self.logged + self.dropped, "{run:?}: {self:?}");
        balance.runs += 1;
        balance.lines += seen;
        balance.written += written;
        balance.logged += self.logged;
        balance.dropped += self.dropped;
    }
}
