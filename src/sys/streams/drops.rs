//! What is not logged of a job with `log drop`: its pipe is read even while the
//! log is full, and what was read then is counted and told of.
//!
//! What is dropped ends at the end of a line, so that none is torn: when the log
//! has room again, the rest of a line whose beginning was dropped goes, too; then
//! one line tells how many lines and bytes that were, and the next line is logged.
//! A line that does not end within a second, or that is very long, is not waited
//! for: it goes on with the mark of a continued one.

use super::super::poll::Poller;
use super::super::std::prelude::v1::*;
use super::{Fault, Log, Served, Streams, PAUSE};
use crate::dropped::Dropped;
use crate::limits::{LINE_BYTES, STREAMS_PER_TURN, STREAM_BUFFER_BYTES};
use crate::time::Instant;
use core::fmt::Write;
use heapless::Vec;
use nix::errno::Errno;
use nix::unistd::read;

/// How often a stream is read that is about to be closed, at most: as often as
/// the largest pipe needs that any user can have (pipe(7), pipe-max-size).
const ABANDONED_READS: usize = (1 << 20) / STREAM_BUFFER_BYTES + 1;

/// The longest line that tells of dropped output.
const TOLD_BYTES: usize = 80;

impl Streams {
    /// Reads what jobs write that do not wait for the log, while it is full.
    /// Returns whether there is more.
    pub(super) fn drain_lossy(&mut self, poller: &Poller) -> bool {
        let mut is_more = false;
        let mut rows = self.marked.len().min(STREAMS_PER_TURN);
        while let Some(row) = self.marked.next_of_both(&self.lossy, self.next_drained) {
            if rows == 0 {
                return true;
            }
            rows -= 1;
            is_more |= self.drop_text(row, poller);
            self.next_drained = row + 1;
        }
        is_more
    }

    /// The log has room: whoever has to say what was dropped gets a turn.
    pub(super) fn mark_dropping(&mut self, now: Instant) {
        if self.blocked {
            self.flows_since = now;
        }
        if self.blocked || self.tell_by().is_some_and(|at| at <= now) {
            self.marked.insert_all(&self.dropping);
        }
    }

    /// When to tell what was dropped, though the line does not end in which that stopped.
    pub(super) fn tell_by(&self) -> Option<Instant> {
        (!self.dropping.is_empty()).then(|| self.flows_since + PAUSE)
    }

    /// Tells what was dropped of a stream, if that ended with a line. None where the log is full.
    pub(super) fn resume(&mut self, log: &mut Log, row: usize, now: Instant) -> Option<()> {
        if !self.dropping.contains(row) {
            return Some(());
        }
        let waits = self.dropped[row].is_mid_line() && now < self.flows_since + PAUSE;
        match waits {
            true => Some(()),
            false => self.tell_dropped(log, row),
        }
    }

    /// The same when there is more text, the beginning of which goes, too.
    pub(super) fn resume_at_newline(
        &mut self,
        log: &mut Log,
        row: usize,
        slot: usize,
    ) -> Option<()> {
        if !self.dropping.contains(row) {
            return Some(());
        }
        let lines = &mut self.buffers[slot].lines;
        let is_long = lines.len() > LINE_BYTES;
        lines.discard_line(&mut self.dropped[row]);
        if self.dropped[row].is_mid_line() && !is_long {
            return Some(());
        }
        self.tell_dropped(log, row)
    }

    /// The same when no more text comes of the job.
    pub(super) fn resume_at_end(&mut self, log: &mut Log, row: usize) -> Option<()> {
        if !self.dropping.contains(row) {
            return Some(());
        }
        self.dropped[row].end_line();
        self.tell_dropped(log, row)
    }

    /// There is no buffer for a stream: of one that is being dropped, more is.
    pub(super) fn starve(&mut self, row: usize, poller: &Poller) -> Served {
        if self.dropping.contains(row) && !self.drop_text(row, poller) {
            return Served::Done;
        }
        Served::Starved
    }

    /// Drops all that is left of a stream that is to be closed.
    pub(super) fn abandon(&mut self, row: usize, poller: &Poller) -> Dropped {
        self.hold_nothing(row);
        for _ in 0..ABANDONED_READS {
            if !self.open.contains(row) || !self.drop_text(row, poller) {
                break;
            }
        }
        self.dropped[row].end_line();
        self.dropped[row]
    }

    pub(super) fn forget_dropped(&mut self, row: usize) {
        if self.dropping.contains(row) {
            self.dropping.remove(row);
            self.dropped[row] = Dropped::NONE;
        }
    }

    /// Reads once and drops that; returns whether there may be more.
    pub(super) fn drop_text(&mut self, row: usize, poller: &Poller) -> bool {
        let Some(pipe) = self.rows[row].pipe.fd() else { return false };
        let space = self.spare.space();
        let asked = space.len();
        match read(pipe, space) {
            Err(Errno::EINTR) => true,
            Ok(count @ 1..) => {
                self.hold_nothing(row);
                self.spare.filled(count);
                self.spare.discard(&mut self.dropped[row]);
                if count < asked {
                    self.await_more(row, poller);
                }
                count == asked
            }
            Err(Errno::EAGAIN) => {
                self.await_more(row, poller);
                false
            }
            Err(errno) => {
                self.fault = Some(Fault::new(errno, row));
                false
            }
            Ok(_) => {
                // Its end is told of when the log has room.
                self.dropping.insert(row);
                self.marked.remove(row);
                false
            }
        }
    }

    /// Drops what is read of a stream and not logged.
    fn hold_nothing(&mut self, row: usize) {
        if let Some(slot) = usize::from(self.rows[row].buffer).checked_sub(1) {
            self.buffers[slot].lines.discard(&mut self.dropped[row]);
            self.give_back(slot);
        }
        self.rows[row].continues = false;
        self.dropping.insert(row);
    }

    /// The pipe is empty for now.
    fn await_more(&mut self, row: usize, poller: &Poller) {
        if self.rows[row].buffer > 0 {
            // It was read before the log was full, and is logged when that has room.
            self.dropping.insert(row);
        } else if self.rows[row].last_words {
            self.rows[row].last_words = false;
            self.dropped[row].end_line();
        }
        self.rest_pipe(row, poller);
    }

    /// One line for all that was dropped. None where the log is full.
    fn tell_dropped(&mut self, log: &mut Log, row: usize) -> Option<()> {
        let dropped = self.dropped[row];
        if !dropped.is_none() {
            let mut text: Vec<u8, TOLD_BYTES> = Vec::new();
            // It fits: the numbers have 40 digits together.
            let _ = write!(text, "{dropped}");
            log.line(&self.rows[row].name, self.rows[row].pid, &text).ok()?;
        }
        if dropped.is_mid_line() {
            self.go_on_mid_line(row);
        }
        self.forget_dropped(row);
        Some(())
    }

    /// What comes next continues a line. Its buffer, if it has one, is empty.
    fn go_on_mid_line(&mut self, row: usize) {
        self.rows[row].continues = true;
        if let Some(slot) = usize::from(self.rows[row].buffer).checked_sub(1) {
            self.buffers[slot].lines.begin(true);
        }
    }
}
