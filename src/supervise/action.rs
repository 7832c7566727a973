//! What the supervisor asks for.

use crate::supervise::JobId;

/// One thing to do now. Its result comes back as an [`Event`](crate::supervise::Event)
/// before the next action is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start the job; answer with `Spawned` or `SpawnFailed`.
    Spawn {
        /// The job.
        job: JobId,
    },
    /// Look at the files that the job depends on, before its start; answer with `Depends`.
    Look {
        /// The job.
        job: JobId,
    },
    /// Send a signal to a job's first process; answer with `Unsent` if that cannot be done.
    Signal {
        /// The process.
        pid: i32,
        /// Which.
        signal: StopSignal,
        /// It could not be sent before.
        again: bool,
    },
    /// Send SIGKILL to what is left of the process group of an ended job;
    /// answer with `GroupGone` if there was nothing to send it to.
    KillGroup {
        /// The job.
        job: JobId,
        /// The group.
        pgid: i32,
    },
    /// All is stopped: leave.
    Exit,
}

/// The two signals that stop a job (manual, "How pmtr kills a job").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGTERM: please.
    Term,
    /// SIGKILL: now.
    Kill,
}
