//! pmtr: a small process supervisor for appliances. One file lists every
//! program of a device; this runs them. What it does for its user is in the
//! README; this page is about the house.
//!
//! # In one breath
//!
//! Pure house, thin door. Configuration text and events come in at one door,
//! actions leave by one door, time is an argument, running out of room is a
//! value, and a job is in exactly one state. Only [`sys`] knows Linux.
//!
//! # The promises, and what each one costs
//!
//! | promise | how it is kept |
//! |---|---|
//! | after start-up nothing is allocated | fixed tables; the pure modules are `no_std` without `alloc` |
//! | memory has a bound | every capacity is a constant of [`limits`] |
//! | nothing wakes up without a reason | one epoll_wait(2), one timer, armed only while something is due |
//! | the loop never blocks | non-blocking log, pipes and UDP; `wait` is a state, not a waitpid(2); users and hosts are looked up by children; no sleep |
//! | a refused configuration changes nothing | it is parsed into a second table, checked, and only then the tables are swapped |
//! | a clock step changes nothing | one clock, which cannot be set ([`time`]) |
//! | no process is lost, left behind or doubled | a session for each job, whose first process is reaped last; a state file outlives pmtr ([`state`]) |
//! | nothing that happens after start-up ends the supervisor | a failed fork, a full table, a missing /dev/log: told, and tried again |
//!
//! [`promises`] has more of them, each with its tests.
//!
//! # The data's way
//!
//! ```text
//! file ─ sys ─► text ─► tokens ─► job specs in the STANDBY configuration      pure
//!                          │ any error: line, column, reason; the live one is untouched
//!                          ▼
//!              reconcile(live, standby): keep · restart · start · stop        pure
//! ────────────────────────────────────────────────────────────────────────────────────
//! signalfd · inotify · UDP · job pipes · timer ─► Event ─► Supervisor::handle(now, event)
//!                                     ▲                          │
//!              next_deadline() arms the timer                    ▼  poll(now) until None
//!                                   Event ◄─ sys performs ◄── Action  (spawn, signal, exit …)
//! every sentence of the log ─ log facade ─► a ring of records ─► /dev/log, stderr
//! ```
//!
//! [`poll`](supervise::Supervisor::poll) returns one action and moves the
//! state *before* it returns it; the shell performs it and feeds the result
//! back before it asks again. So `wait` is just nothing to do, a failed fork is
//! known before the next job is tried, and no list of actions can overflow.
//!
//! # The rooms
//!
//! | where | what |
//! |---|---|
//! | [`limits`] | every capacity, with its reason |
//! | [`time`], [`zone`] | points in time of the one clock; time zones, for the log's stamps |
//! | [`name`] | a job's name, and showing bytes that users chose |
//! | [`config`] | bytes to a configuration: lexer, parser, values, problems |
//! | [`supervise`] | the state machine: events, actions, states, sentences |
//! | [`lines`], [`dropped`], [`ring`] | a job's output as clean lines; what of it was dropped; records that wait for the log |
//! | [`control`], [`report`] | datagrams that come, and those that go |
//! | [`state`] | what is remembered for the case that pmtr is killed |
//! | [`sys`] | epoll, signalfd, timerfd, inotify, fork and exec, pipes, syslog, UDP: all of `std`, nix, libc and `unsafe` |
//!
//! # Decisions
//!
//! - **One pipe tells every failure between fork and exec**
//!   ([`sys::spawn`]). A child writes there before it exits, so whoever reads
//!   it before reaping knows why; a successful start costs nothing.
//! - **Every process starts as a copy** (fork(2)), which costs more than vfork(2), but waits on its
//!   own: a name service, a FIFO, a hung file system, or a permission to run the program
//!   (fanotify(7)) that does not come hold up one job, and not pmtr.
//! - **libc calls `main`, not Rust's runtime**: what that does before is in
//!   [`sys::start`], but for a handler of stack overflows, for which it would look through
//!   /proc/self/maps. The program stays position-independent, though every page
//!   with a pointer in it, 12 kB, becomes the process's own when it is loaded: a
//!   daemon of root's is not to be where everybody expects it. So that there are few such pages,
//!   tables have their texts in themselves ([`short`]), libc has those of errors, and what pmtr says
//!   comes from one place.
//! - **What waiting does not need is given back** before pmtr waits: the stack below,
//!   the file's text, the last datagram (madvise(2)).
//! - **Users are looked up by the child**: always as the system has them now,
//!   and a name service that blocks or allocates blocks one job.
//! - **A job is a session**, whose first process stays a zombie until nothing else is left of it:
//!   until it is reaped nobody else can have that number. The others are found in /proc
//!   (`sys::sessions`). A cgroup would also hold what has left the session on purpose, so pmtr
//!   makes none.
//! - **A job in the file is the same job while its name is**: two definitions
//!   are compared field by field through [`config::JobView`], whose `==` is
//!   the question "has it changed?".
//! - **Whatever the loop itself is refused it does again**, after a rest: no result
//!   is dropped whose event does not come a second time (a SIGCHLD, an edge of
//!   epoll, a deadline), and nothing that stays ready is polled without a pause.
//! - **What a job depends on is looked at when it is to start**, and whenever
//!   a watch hints at a change: only content counts.
//! - **A file counts when it is finished** ([`sys::watch`]): a read lease, for the
//!   moment of a look, tells whether somebody has it open for writing. Where none can be had, events and
//!   quiet time decide.

#![no_std]
#![warn(missing_docs)]

pub mod config;
pub mod control;
pub mod dropped;
pub mod index;
pub mod limits;
pub mod lines;
pub mod list;
pub mod name;
pub mod process;
#[doc = include_str!("promises.md")]
pub mod promises {}
pub mod report;
pub mod ring;
pub mod short;
pub mod state;
pub mod supervise;
pub mod time;
pub mod zone;

pub mod sys;
