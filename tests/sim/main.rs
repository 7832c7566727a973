//! The state machine on a simulated clock: a scenario for every sentence of the manual's
//! "Operator notes" and "Job exits" and for every line of compat.md, "Running", that the
//! machine decides; and random storms.

mod dice;
mod expect;
mod oracle;
#[path = "../common/sealed.rs"]
mod sealed;
mod storm;
mod watchdog;
mod world;

mod bounce;
mod control;
mod depends;
mod exits;
mod faults;
mod order;
mod reload;
mod room;
mod scale;
mod shutdown;
mod status;
mod stop;
mod storms;
