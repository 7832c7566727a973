//! The state machine: events in, actions out, time as an argument.
//!
//! `poll` moves the state *before* it returns an action; the shell performs it
//! and feeds the result back before it asks again. So `wait` is just nothing to
//! do, a failed fork is known before the next job is tried, and no list of
//! actions can overflow.
//!
//! The states are explained in `job`; `supervisor` says which event and which
//! deadline is answered where: in `start`, `stop`, `background`, `unsent`, `depends`, `control`
//! and `reload`.

#![forbid(unsafe_code)]

mod action;
mod background;
mod control;
mod cooldown;
mod deadlines;
mod depends;
mod event;
mod job;
mod marks;
mod notice;
mod reload;
mod start;
mod status;
mod stop;
mod supervisor;
mod table;
mod unsent;

pub use action::{Action, StopSignal};
pub use event::{Errno, Event, ExitStatus, Failure, Stage, Unreadable, ERRNO_TEXT_BYTES};
pub use job::{KILL_DELAY, RESTART_DELAY, SPAWN_PAUSE, TELL_DELAY};
pub use status::{Run, Status};
pub use supervisor::{Supervisor, DO_NOT_RESTART};
pub use unsent::SEND_AGAIN;

/// A job of the supervisor's table: its slot, and which tenant of the slot it
/// is. One that has left finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobId {
    slot: u16,
    generation: u16,
}

impl JobId {
    /// The row of the job in tables that others keep; below `MAX_JOBS`.
    pub fn slot(self) -> usize {
        usize::from(self.slot)
    }
}
