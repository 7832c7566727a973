//! What the tests of the running program share: a world for one pmtr, the
//! syslog daemon of that world, ways to save a file, a look at processes.
//!
//! | variable | meaning |
//! |---|---|
//! | `PMTR_BIN` | the program to test; without it, the one that cargo built |
//! | `PMTR_RUNNER` | words to put in front of it, an emulator for instance |
//! | `PMTR_CC` | the C compiler for its processor; without it, `cc` |
//! | `PMTR_EMULATED` | `1`: deadlines are five times as long, assertions as they are |
//! | `PMTR_QEMU` | the major version of QEMU; without it, 7 |

// Every file of tests is a program of its own, and none of them uses everything.
#![allow(dead_code, unused_imports)]

mod alone;
pub mod cgroup;
pub mod close_range;
mod log;
mod patience;
pub mod process;
mod run;
pub mod save;
pub mod seccomp;
mod skip;
pub mod tour;
pub mod udp;
mod world;

pub use alone::run_alone;
pub use log::{Log, Record};
pub use patience::{eventually, patiently, stretched, LONG, SHORT};
pub use process::{alive, children_of};
pub use run::{program, Finished};
pub use skip::{emulated, is_root, needs_jobs, needs_root, needs_shell, skipped};
pub use world::{job, sleepers, World};
