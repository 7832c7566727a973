//! The state machine: events in, actions out, time as an argument.

#![forbid(unsafe_code)]

mod action;
mod event;

pub use action::{Action, StopSignal};
pub use event::{Errno, Event, ExitStatus, Failure, Stage};

/// A job of the supervisor's table: its slot, and which tenant of the slot it
/// is. One that has left finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobId {
    pub(crate) slot: u16,
    pub(crate) generation: u16,
}
