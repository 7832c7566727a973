//! Notices a program that goes into the background, which pmtr cannot supervise (daemon(7)).

use core::time::Duration;

use crate::supervise::notice::Notice;
use crate::supervise::supervisor::Supervisor;
use crate::supervise::ExitStatus;
use crate::time::Instant;

/// A daemon's first process ends as soon as the second one runs.
const SHORT_RUN: Duration = Duration::from_secs(1);

/// How many short runs in a row are logged; those after them are not.
const LOGGED_RUN: u8 = 3;

impl Supervisor {
    /// Counts the short runs of a job that is restarted each time; logs the third one in a row.
    pub(super) fn count_short_runs(
        &mut self,
        now: Instant,
        slot: u16,
        since: Instant,
        status: ExitStatus,
    ) {
        let is_short = status == ExitStatus::Code(0) && now.since(since) <= SHORT_RUN;
        let is_restarted = !self.is_final(slot, status);
        let job = self.table.job_mut(slot);
        job.short_runs =
            if is_short && is_restarted { job.short_runs.saturating_add(1) } else { 0 };
        if job.short_runs == LOGGED_RUN {
            Notice::Background { name: job.name }.log();
        }
    }
}
