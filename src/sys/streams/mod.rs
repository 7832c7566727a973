//! The output of jobs: their pipes, read in turns, and made into lines for the log.
//!
//! A stream is marked when there is something to read. A [turn](Streams::turn)
//! reads every marked stream once, in order, and goes on the next time after
//! the one where it stopped, be it only because the log was full: a job that
//! floods its pipe gets one read in a turn like any other. While the log has no
//! room no pipe is read, so that jobs wait, and nothing is lost; but for those of
//! jobs with `log drop` (see `drops`).
//!
//! What is read goes into a buffer of a small pool. A stream has one only while it
//! has text that is not logged: usually the beginning of a line, which is sent as it is
//! when no more comes for a second. When the pool is used up, the
//! others' text stays in their pipes, and no stream keeps its buffer for long.

mod bits;
mod drops;

use super::held::Held;
use super::log::{self, Log};
use super::poll::{Interest, Poller, Token};
use super::spawn::leaves_some;
use super::std::{os::fd::OwnedFd, prelude::v1::*};
use crate::dropped::Dropped;
use crate::index::{Index, Link, Linked};
use crate::limits::{MAX_STREAMS, STREAMS_PER_TURN};
use crate::limits::{STREAM_BUFFERS, STREAM_BUFFER_BYTES, STREAM_BYTES};
use crate::lines::{LineBuffer, TEXT_BYTES};
use crate::name::Name;
use crate::time::Instant;
use ::syslog::Severity;
use bits::Bits;
use core::mem::size_of;
use core::time::Duration;
use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::unistd::{pipe2, read};

/// How long the beginning of a line waits for its end.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a stream keeps its buffer when others wait for one.
const HELD_AT_MOST: Duration = Duration::from_millis(200);

/// How often a stream is read when its job has ended: as often as a pipe of 64
/// KiB (pipe(7)) can need it, and then some.
const LAST_READS: usize = 64 * 1024 / STREAM_BUFFER_BYTES + 4;

// The buffers in use are one word.
const _: () = assert!(STREAM_BUFFERS <= 64);

/// A job's output, from the start of the job on, until nobody can write to it
/// any more: its row in the table, as in [`Token::Stream`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamId(u16);

/// The table of all job output. All zeros when there is none.
///
/// What every turn of the loop looks at is next to the first rows, in the same page.
#[repr(C)]
pub struct Streams {
    /// Bit `n`: buffer `n` is in use.
    in_use: u64,
    open: Bits,
    /// There is something to be read, or to be logged.
    marked: Bits,
    /// The row to begin the next turn with.
    next: usize,
    /// The last line was not taken by the log.
    blocked: bool,
    /// A stream waits for a buffer.
    contended: bool,
    /// How many jobs have ended.
    endings: u32,
    /// The streams that do not wait for the log (`log drop`).
    lossy: Bits,
    /// Those of which something is dropped, or which have to say more when the log has room.
    dropping: Bits,
    /// The row to begin with where streams are only drained.
    next_drained: usize,
    /// Since when the log has room again.
    flows_since: Instant,
    /// The streams of the jobs that run, by their pids.
    by_pid: Index,
    /// What failed in this turn, and of which row; that stays marked.
    fault: Option<Fault>,
    /// How many rows, from the first one on, were ever used.
    used: usize,
    rows: [Row; MAX_STREAMS],
    buffers: [Buffer; STREAM_BUFFERS],
    /// What is to be dropped is read into this.
    spare: LineBuffer,
    /// What was dropped and is not told of yet; not touched before there is any.
    dropped: [Dropped; MAX_STREAMS],
}

/// Why a pipe could not be read. A number, as none of `Errno` is not zero, and no table would be.
struct Fault {
    errno: i32,
    row: u16,
}

impl Fault {
    fn new(errno: Errno, row: usize) -> Self {
        Fault { errno: errno as i32, row: row as u16 }
    }
}

struct Row {
    /// The end that we read.
    pipe: Held,
    /// Its buffer's number and one; 0 if it has none.
    buffer: u8,
    /// The text that comes next continues a line that is logged in part.
    continues: bool,
    /// The job has ended, and its last line is to be sent even without its newline.
    last_words: bool,
    /// Which ending of a job was this one's; 0 while it runs.
    ended: u32,
    /// The job's process; 0 before it has started.
    pid: i32,
    by_pid: Link,
    name: Name,
}

const _: () = assert!(size_of::<Row>() + size_of::<Dropped>() < STREAM_BYTES);
const _: () = assert!(size_of::<Buffer>() <= STREAM_BUFFER_BYTES + 32);

impl Linked for Row {
    fn link(&self) -> &Link {
        &self.by_pid
    }

    fn link_mut(&mut self) -> &mut Link {
        &mut self.by_pid
    }
}

struct Buffer {
    lines: LineBuffer,
    row: u16,
    /// When its stream got it, or last had to send the beginning of a line for others to get one.
    held_since: Instant,
    read_at: Instant,
}

/// What has become of a stream when it was its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Served {
    /// There may be more in the pipe.
    More,
    /// All is read.
    Done,
    /// The log is full.
    Blocked,
    /// There is no buffer.
    Starved,
}

const NO_ROW: Row = Row {
    pipe: Held::NONE,
    buffer: 0,
    continues: false,
    last_words: false,
    ended: 0,
    pid: 0,
    by_pid: Link::NONE,
    name: Name::NONE,
};

const EMPTY_BUFFER: Buffer =
    Buffer { lines: LineBuffer::new(), row: 0, held_since: Instant::BOOT, read_at: Instant::BOOT };

impl Streams {
    /// An empty table. All zeros.
    pub const fn new() -> Self {
        Streams {
            in_use: 0,
            open: Bits::new(),
            marked: Bits::new(),
            next: 0,
            blocked: false,
            contended: false,
            endings: 0,
            lossy: Bits::new(),
            dropping: Bits::new(),
            next_drained: 0,
            flows_since: Instant::BOOT,
            by_pid: Index::new(),
            fault: None,
            used: 0,
            rows: [NO_ROW; MAX_STREAMS],
            buffers: [EMPTY_BUFFER; STREAM_BUFFERS],
            spare: LineBuffer::new(),
            dropped: [Dropped::NONE; MAX_STREAMS],
        }
    }

    /// Makes the pipe for a job that is about to start: the end that is returned
    /// is for its stdout and stderr (it blocks, and is close-on-exec).
    ///
    /// When the table is full, the stream of the job that ended first is
    /// closed, though processes that it left behind may still write to it; what
    /// the log does not take of it then is counted as lost. With no such stream, and
    /// when nearly all descriptors are in use, the error is `EMFILE`.
    pub fn open(&mut self, name: Name, poller: &Poller) -> Result<(StreamId, OwnedFd), Errno> {
        log::with(|log| self.open_with(log, name, poller))
    }

    /// [`open`](Self::open), with a log of one's own.
    pub fn open_with(
        &mut self,
        log: &mut Log,
        name: Name,
        poller: &Poller,
    ) -> Result<(StreamId, OwnedFd), Errno> {
        let row = match self.open.first_free() {
            Some(row) => row,
            None => self.close_oldest(log, poller).ok_or(Errno::EMFILE)?,
        };
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
        leaves_some([&ours, &theirs])?;
        fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let ours = Held::new(ours);
        if let Some(fd) = ours.fd() {
            poller.add(fd, token(row), Interest::ReadOnce)?;
        }
        self.used = self.used.max(row + 1);
        self.reset(row);
        (self.rows[row].pipe, self.rows[row].name) = (ours, name);
        self.open.insert(row);
        Ok((StreamId(row as u16), theirs))
    }

    /// The job of stream `id` does not wait for the log: what that does not take
    /// is dropped, and told of when it takes more (`log drop`).
    pub fn drops(&mut self, id: StreamId) {
        self.lossy.insert(usize::from(id.0));
    }

    /// The job of stream `id` has started as process `pid`, which its lines have in their tag.
    pub fn started(&mut self, id: StreamId, pid: i32) {
        let row = usize::from(id.0);
        self.rows[row].pid = pid;
        self.by_pid.insert(&mut self.rows[..self.used], row, pid as u32);
    }

    /// The job of stream `id` could not be started.
    pub fn cancel(&mut self, id: StreamId, poller: &Poller) {
        self.close(usize::from(id.0), poller);
    }

    /// The poller has told of [`Token::Stream`] with this row.
    pub fn readable(&mut self, row: u16) {
        if self.open.contains(usize::from(row)) {
            self.marked.insert(usize::from(row));
        }
    }

    /// The job that was started as `pid` has ended: reads what it has left in
    /// its pipe, so that this comes before what is said of its end, and sends
    /// its last line even without a newline. The pipe stays open for processes
    /// that it has left behind.
    pub fn ended(&mut self, pid: i32, now: Instant, poller: &Poller) {
        log::with(|log| self.ended_with(log, pid, now, poller));
    }

    /// [`ended`](Self::ended), with a log of one's own.
    pub fn ended_with(&mut self, log: &mut Log, pid: i32, now: Instant, poller: &Poller) {
        let Some(row) = self.by_pid.find(&self.rows[..self.used], pid as u32, |_| true) else {
            return;
        };
        self.by_pid.remove(&mut self.rows[..self.used], row);
        self.endings = self.endings.saturating_add(1);
        self.rows[row].ended = self.endings;
        self.rows[row].last_words = true;
        self.drain(log, row, now, poller);
    }

    /// One round over the marked streams. Returns whether there is more to be
    /// done at once. To be called in every turn of the loop: whatever wakes it,
    /// the poller, the [deadline](Self::deadline) or the log's own, may be what a stream waits for.
    pub fn turn(&mut self, now: Instant, poller: &Poller) -> bool {
        log::with(|log| self.turn_with(log, now, poller))
    }

    /// [`turn`](Self::turn), with a log of one's own.
    pub fn turn_with(&mut self, log: &mut Log, now: Instant, poller: &Poller) -> bool {
        if self.blocked && !is_unblocked(log, now, poller) {
            return self.drain_lossy(poller);
        }
        self.mark_dropping(now);
        self.blocked = !self.send_overdue(log, now);
        let more = !self.blocked && self.round(log, now, poller);
        match self.blocked {
            true => is_unblocked(log, now, poller) || self.drain_lossy(poller),
            false => more,
        }
    }

    /// When to take a [turn](Self::turn) though no stream is readable: for the
    /// beginning of a line whose end does not come.
    pub fn deadline(&self) -> Option<Instant> {
        if self.blocked {
            return None;
        }
        let overdue = self.held().filter_map(|slot| self.overdue_at(slot));
        overdue.chain(self.tell_by()).min()
    }

    /// What has failed since the last time, with the name of the job whose output it is.
    pub fn take_fault(&mut self) -> (Name, Result<(), Errno>) {
        match self.fault.take() {
            Some(Fault { errno, row }) => {
                (self.rows[usize::from(row)].name, Err(Errno::from_raw(errno)))
            }
            None => (Name::NONE, Ok(())),
        }
    }

    /// How many streams are open.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Returns true if all that was told to be readable is read and logged.
    pub fn is_quiet(&self) -> bool {
        self.marked.is_empty() && self.in_use == 0 && self.dropping.is_empty()
    }

    fn round(&mut self, log: &mut Log, now: Instant, poller: &Poller) -> bool {
        self.contended = false;
        let (mut at, mut served, mut starved) = (self.next, 0, None);
        for _ in 0..self.marked.len() {
            let Some(row) = self.marked.next(at).filter(|_| served < STREAMS_PER_TURN) else {
                break;
            };
            match self.serve(log, row, now, poller) {
                Served::More | Served::Done => served += 1,
                Served::Starved => starved = starved.or(Some(row)),
                Served::Blocked => {
                    // The room that there will be is for the others first.
                    self.blocked = true;
                    self.next = row + 1;
                    return false;
                }
            }
            at = row + 1;
        }
        self.contended = starved.is_some();
        self.next = starved.unwrap_or(at);
        served > 0 && !self.marked.is_empty()
    }

    /// Logs what a stream has, reads once, and logs that.
    fn serve(&mut self, log: &mut Log, row: usize, now: Instant, poller: &Poller) -> Served {
        if self.resume(log, row, now).is_none() {
            return Served::Blocked;
        }
        let Some(slot) = self.buffer_of(row, now) else { return self.starve(row, poller) };
        let served =
            self.log_lines(log, slot).and_then(|()| self.read(log, row, slot, now, poller));
        if self.buffers[slot].lines.is_empty() {
            self.give_back(slot);
        }
        served.unwrap_or(Served::Blocked)
    }

    /// None where the log is full.
    fn read(
        &mut self,
        log: &mut Log,
        row: usize,
        slot: usize,
        now: Instant,
        poller: &Poller,
    ) -> Option<Served> {
        let Some(pipe) = self.rows[row].pipe.fd() else { return Some(Served::Done) };
        let space = self.buffers[slot].lines.space();
        let asked = space.len();
        match read(pipe, space) {
            Ok(0) => self.finish(log, row, slot, poller),
            Ok(count) => {
                self.buffers[slot].lines.filled(count);
                self.buffers[slot].read_at = now;
                self.resume_at_newline(log, row, slot)?;
                self.log_lines(log, slot)?;
                if count < asked {
                    self.rest(log, row, slot, poller)
                } else {
                    Some(Served::More)
                }
            }
            Err(Errno::EINTR) => Some(Served::More),
            Err(Errno::EAGAIN) => self.rest(log, row, slot, poller),
            Err(errno) => {
                // The pipe is as it was, and its job would not survive its being closed.
                self.fault = Some(Fault::new(errno, row));
                Some(Served::Done)
            }
        }
    }

    /// The pipe is empty for now.
    fn rest(&mut self, log: &mut Log, row: usize, slot: usize, poller: &Poller) -> Option<Served> {
        if self.rows[row].last_words {
            self.resume_at_end(log, row)?;
            self.log_rest(log, slot, true)?;
            self.rows[row].last_words = false;
        }
        self.rest_pipe(row, poller);
        Some(Served::Done)
    }

    /// To be told when there is something to be read again.
    fn rest_pipe(&mut self, row: usize, poller: &Poller) {
        self.marked.remove(row);
        let Some(pipe) = self.rows[row].pipe.fd() else { return };
        if let Err(errno) = poller.change(pipe, token(row), Interest::ReadOnce) {
            // Nobody would tell that there is more: it is read again.
            self.fault = Some(Fault::new(errno, row));
            self.marked.insert(row);
        }
    }

    /// Nobody can write to the pipe any more.
    fn finish(
        &mut self,
        log: &mut Log,
        row: usize,
        slot: usize,
        poller: &Poller,
    ) -> Option<Served> {
        self.resume_at_end(log, row)?;
        self.log_rest(log, slot, true)?;
        self.close(row, poller);
        Some(Served::Done)
    }

    fn drain(&mut self, log: &mut Log, row: usize, now: Instant, poller: &Poller) {
        self.marked.insert(row);
        for _ in 0..LAST_READS {
            if self.blocked && self.lossy.contains(row) {
                if !self.drop_text(row, poller) {
                    return;
                }
                continue;
            }
            match self.serve(log, row, now, poller) {
                Served::More => {}
                Served::Done => return,
                Served::Blocked => {
                    self.blocked = true;
                    return;
                }
                Served::Starved => return self.contended = true,
            }
        }
    }

    /// Sends the beginnings of lines that have waited long enough; false if the log is full.
    fn send_overdue(&mut self, log: &mut Log, now: Instant) -> bool {
        for slot in 0..STREAM_BUFFERS {
            if self.overdue_at(slot).map_or(true, |at| at > now) {
                continue;
            }
            let row = usize::from(self.buffers[slot].row);
            let logged = self
                .resume(log, row, now)
                .and_then(|()| self.log_lines(log, slot))
                .and_then(|()| self.log_rest(log, slot, false));
            if logged.is_none() {
                return false;
            }
            self.buffers[slot].read_at = now;
            self.buffers[slot].held_since = now;
            if self.buffers[slot].lines.is_empty() {
                self.give_back(slot);
            }
        }
        true
    }

    /// When the beginning of a line in a buffer is to be sent; none while more of it is being read.
    fn overdue_at(&self, slot: usize) -> Option<Instant> {
        let buffer = &self.buffers[slot];
        if self.in_use >> slot & 1 == 0 {
            return None;
        }
        let paused = (!self.marked.contains(buffer.row.into())).then_some(buffer.read_at + PAUSE);
        let wanted = self.contended.then_some(buffer.held_since + HELD_AT_MOST);
        paused.into_iter().chain(wanted).min()
    }

    /// None where the log is full.
    fn log_lines(&mut self, log: &mut Log, slot: usize) -> Option<()> {
        let buffer = &mut self.buffers[slot];
        let row = usize::from(buffer.row);
        while let Some(text) = buffer.lines.line() {
            log.line(&self.rows[row].name, self.rows[row].pid, text).ok()?;
            buffer.lines.take();
        }
        Some(())
    }

    /// None where the log is full.
    fn log_rest(&mut self, log: &mut Log, slot: usize, last: bool) -> Option<()> {
        let buffer = &mut self.buffers[slot];
        let row = usize::from(buffer.row);
        while let Some(text) = buffer.lines.rest(last) {
            log.line(&self.rows[row].name, self.rows[row].pid, text).ok()?;
            buffer.lines.take();
            if !last {
                break;
            }
        }
        Some(())
    }

    /// The buffer of a stream; a free one if it has none.
    fn buffer_of(&mut self, row: usize, now: Instant) -> Option<usize> {
        if let Some(slot) = usize::from(self.rows[row].buffer).checked_sub(1) {
            return Some(slot);
        }
        let slot = self.in_use.trailing_ones() as usize;
        let buffer = self.buffers.get_mut(slot)?;
        buffer.lines.begin(self.rows[row].continues);
        (buffer.row, buffer.held_since, buffer.read_at) = (row as u16, now, now);
        self.rows[row].buffer = slot as u8 + 1;
        self.in_use |= 1 << slot;
        Some(slot)
    }

    fn give_back(&mut self, slot: usize) {
        let row = &mut self.rows[usize::from(self.buffers[slot].row)];
        if self.in_use >> slot & 1 == 1 && usize::from(row.buffer) == slot + 1 {
            row.continues = self.buffers[slot].lines.continues();
            row.buffer = 0;
            self.in_use &= !(1 << slot);
        }
    }

    fn held(&self) -> impl Iterator<Item = usize> + '_ {
        (0..STREAM_BUFFERS).filter(|slot| self.in_use >> slot & 1 == 1)
    }

    /// Makes room for another stream; returns its row.
    fn close_oldest(&mut self, log: &mut Log, poller: &Poller) -> Option<usize> {
        let ended = (0..MAX_STREAMS).filter(|&row| self.rows[row].ended > 0);
        let oldest = ended.min_by_key(|&row| self.rows[row].ended)?;
        let name = self.rows[oldest].name;
        self.rows[oldest].last_words = true;
        self.drain(log, oldest, super::clock::now(), poller);
        if !self.open.contains(oldest) {
            return Some(oldest);
        }
        log.message(
            Severity::LOG_WARNING,
            format_args!("closing the output of ended job {name}: too many are open"),
        );
        log.lose(self.abandon(oldest, poller).lines());
        self.close(oldest, poller);
        Some(oldest)
    }

    fn close(&mut self, row: usize, poller: &Poller) {
        if let Some(slot) = usize::from(self.rows[row].buffer).checked_sub(1) {
            self.in_use &= !(1 << slot);
        }
        if let Some(pipe) = self.rows[row].pipe.fd() {
            // A child that has not become its program yet has a copy: closing ours would not do.
            let _ = poller.remove(pipe);
        }
        self.by_pid.remove(&mut self.rows[..self.used], row);
        self.reset(row);
        self.open.remove(row);
        self.marked.remove(row);
        self.lossy.remove(row);
        self.forget_dropped(row);
    }

    /// Empties a row, but for the columns of the index: they can be of other rows.
    fn reset(&mut self, row: usize) {
        let by_pid = self.rows[row].by_pid;
        self.rows[row] = Row { by_pid, ..NO_ROW };
    }
}

impl Default for Streams {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns true if a log that was full has room again for whatever line comes.
fn is_unblocked(log: &mut Log, now: Instant, poller: &Poller) -> bool {
    if !log.has_room(TEXT_BYTES) {
        log.flush(now, Some(poller));
    }
    log.has_room(TEXT_BYTES)
}

fn token(row: usize) -> Token {
    Token::Stream(row as u16)
}
