//! What a report says of the jobs (manual, "UDP control"; compat.md, "UDP").

use crate::config::JobView;
use crate::supervise::job::{Idle, State, Then};
use crate::supervise::supervisor::Supervisor;
use crate::time::Instant;

/// How a job stands that is to be reported.
#[derive(Clone, Copy)]
pub struct Status<'a> {
    /// The job.
    pub spec: JobView<'a>,
    /// Whether it is to run, be it later.
    pub is_enabled: bool,
    /// Its process, while there is one: a disabled job may still be going.
    pub run: Option<Run>,
}

/// A job's first process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its process id.
    pub pid: i32,
    /// When it was started.
    pub since: Instant,
}

impl Supervisor {
    /// All jobs of the live configuration, in the order of starting, but for
    /// those that have ended and will not be restarted: a `once` job is there
    /// until it has run, as in the original.
    pub fn statuses(&self) -> impl Iterator<Item = Status<'_>> {
        (0..self.config().len()).filter_map(|position| self.status_at(position))
    }

    /// The job at a position of the live configuration, which has one there;
    /// none if it has ended and will not be restarted.
    pub fn status_at(&self, position: usize) -> Option<Status<'_>> {
        let spec = self.config().job(position);
        let row = self.config().row(position).checked_sub(1);
        // One without a row waits for it, to be what the file says.
        let state = row.map_or(State::Vacant, |row| self.table.state(row));
        let is_enabled = state.is_enabled().unwrap_or(!spec.is_disabled());
        (!state.is_done()).then(|| Status { spec, is_enabled, run: state.run() })
    }
}

impl State {
    /// Whether the job is to run; none where only the file knows.
    fn is_enabled(self) -> Option<bool> {
        match self {
            State::Vacant => None,
            State::Idle(idle) => Some(idle != Idle::Disabled),
            State::Stopping { then, .. } | State::Clearing { then, .. } => {
                Some(then != Then::Disable)
            }
            State::Queued | State::BackingOff { .. } | State::Blocked { .. } => Some(true),
            State::Yielding => Some(true),
            State::Starting { .. } | State::Running { .. } | State::Failing { .. } => Some(true),
        }
    }

    fn is_done(self) -> bool {
        match self {
            State::Idle(idle) => idle == Idle::Done,
            State::Stopping { then, .. } | State::Clearing { then, .. } => then == Then::Finish,
            State::Vacant | State::Queued | State::BackingOff { .. } => false,
            State::Blocked { .. } | State::Yielding | State::Starting { .. } => false,
            State::Running { .. } | State::Failing { .. } => false,
        }
    }

    fn run(self) -> Option<Run> {
        match self {
            State::Running { pid, since, .. } | State::Failing { pid, since, .. } => {
                Some(Run { pid, since })
            }
            State::Stopping { pid, since, .. } => Some(Run { pid, since }),
            State::Vacant | State::Idle(_) | State::Queued | State::BackingOff { .. } => None,
            State::Blocked { .. } | State::Yielding | State::Starting { .. } => None,
            State::Clearing { .. } => None,
        }
    }
}
