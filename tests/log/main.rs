//! The log path against a real kernel: a syslog receiver and a stderr of the
//! test's own, pipes as jobs have them, and a clock that the test sets.

#[path = "../common/again.rs"]
mod again;
mod drops;
mod journald;
#[path = "../common/sealed.rs"]
mod sealed;
#[path = "../common/skip.rs"]
mod skip;
mod stderr;
mod streams;
mod syslog;
mod world;
