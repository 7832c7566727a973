//! A job's process, looked at from inside and outside: what it has, what it has
//! not, how it fails, and whether that is foretold. Real forks, real programs;
//! root and nobody.

#[path = "../common/again.rs"]
mod again;
mod check;
mod environment;
mod failures;
mod files;
mod identity;
mod process;
mod resources;
#[path = "../common/seccomp.rs"]
mod seccomp;
#[path = "../common/skip.rs"]
mod skip;
mod support;
mod users;
