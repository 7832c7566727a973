//! What would keep a job from starting: the warnings of `pmtr -t`.
//!
//! For each job a child goes through the same steps as between fork and exec,
//! as far as they leave no trace, and asks the kernel about the rest as the
//! user that it has become by then (access(2)). So permissions, read-only file
//! systems and access control lists are judged by who knows them. At last it begins the
//! program, as far as its first instruction (`trial`). Nothing is created, opened for writing, or run.

mod files;
mod limited;
mod program;
mod trial;

use core::ffi::CStr;
use core::fmt::{self, Display};

use super::errno::Meaning;
use super::spawn::{self, Failed, Limit, NoWayBack, User};
use super::std::io::{self, Write};
use super::std::{format, fs::File, prelude::v1::*, vec};
use crate::config::{Config, JobView};
use crate::name::{write_lossy, Name};
use files::{appendable, readable, readable_file, Judgement};
pub use limited::LIMIT;
use nix::errno::Errno;
use nix::fcntl::{open, OFlag};
use nix::libc;
use nix::sys::stat::Mode;
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::{fork, read, ForkResult};

/// Looks for what would keep the enabled jobs of a configuration from starting,
/// if they were started by the user that calls this. Tells `found` the line of
/// the job and what is wrong; returns how often.
///
/// Not for the supervisor's loop: it forks, waits and allocates.
pub fn check(config: &Config, found: &mut dyn FnMut(u32, &dyn Display)) -> u32 {
    let mut count = 0;
    for job in config.jobs().filter(|job| !job.is_disabled()) {
        let name = Name::new(job.name());
        for problem in problems(job) {
            found(job.line(), &format_args!("job {name}: {problem}"));
            count += 1;
        }
    }
    count
}

fn problems(job: JobView<'_>) -> Vec<String> {
    match ask_child(job) {
        Ok(text) => text.lines().map(String::from).collect(),
        Err(error) => vec![format!("cannot be checked: {error}")],
    }
}

/// The problems of a job, one a line, and what has not answered.
fn ask_child(job: JobView<'_>) -> io::Result<String> {
    let answer = limited::ask(|out| Examiner { job, lost: false, problems: 0, out }.examine())?;
    Ok(match answer.hung {
        Some(what) => {
            answer.text + &format!("{what}: no answer within {} s", limited::LIMIT.as_secs())
        }
        None => answer.text,
    })
}

/// Returns true if a configuration can be read within ten seconds, whatever comes of it.
pub fn answers(path: &CStr) -> bool {
    let answer = limited::ask(|_| {
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        if let Ok(file) = open(path, flags | OFlag::O_LARGEFILE, Mode::empty()) {
            let _ = read(&file, &mut [0]);
        }
    });
    answer.map_or(true, |answer| answer.hung.is_none())
}

fn exit(status: i32) -> ! {
    // SAFETY: ends the process, and nothing else.
    unsafe { libc::_exit(status) }
}

/// Goes through the steps of a start, and on where a start would end.
struct Examiner<'a> {
    job: JobView<'a>,
    /// Not in the job's directory, so nothing can be said about relative paths.
    lost: bool,
    /// How many were told.
    problems: u32,
    out: File,
}

impl<'a> Examiner<'a> {
    fn examine(&mut self) {
        self.dir();
        self.depends();
        let mut user = self.user();
        self.nice();
        self.cpu();
        self.ulimits();
        let trial = match self.problems {
            0 if can_be(user.as_mut()) => {
                self.next("cmd", self.job.program());
                trial::try_start(self.job, user.as_mut())
            }
            // One of these, or of the next step, is what it would tell.
            _ => Ok(()),
        };
        if let Some(user) = &mut user {
            self.switch_to(user);
        }
        self.files();
        self.program(trial);
    }

    /// Says what is looked at next.
    fn next(&mut self, option: &str, value: &CStr) {
        limited::next(&mut self.out, format_args!("{option} {}", Shown(value)));
    }

    fn say(&mut self, problem: fmt::Arguments<'_>) {
        self.problems += 1;
        // A reader that has gone wants to hear no more.
        let _ = writeln!(self.out, "{problem}");
    }

    fn dir(&mut self) {
        let Some(dir) = self.job.dir() else { return };
        self.next("dir", dir);
        if let Err(error) = spawn::enter_dir(self.job) {
            self.lost = true;
            self.say(format_args!("dir {}: {}", Shown(dir), error.meaning()));
        }
    }

    fn depends(&mut self) {
        for path in self.job.depends() {
            self.next("depends on", path);
            if let Err(error) = self.judge(path, readable_file) {
                let advice = match error {
                    Errno::EISDIR => "it never starts: name the files in it",
                    _ => "it starts when that is there",
                };
                let error = error.meaning();
                let path = Shown(path);
                self.say(format_args!("depends on {path}: {error}; {advice}"));
            }
        }
    }

    /// The user of the job, if there is such a one.
    fn user(&mut self) -> Option<User<'a>> {
        if let Some(user) = self.job.user() {
            self.next("user", user);
        }
        User::of(self.job).unwrap_or_else(|failed| {
            self.no_user(failed);
            None
        })
    }

    fn no_user(&mut self, failed: Failed) {
        let reason = failed.reason();
        let why = match reason.code {
            libc::EPERM => "only root can start a job with other ids or groups than its own",
            _ => &reason.text,
        };
        let Some(user) = self.job.user() else { return };
        match self.job.group() {
            None => self.say(format_args!("user {}: {why}", Shown(user))),
            Some(group) => self.say(format_args!("user {}:{}: {why}", Shown(user), Shown(group))),
        }
    }

    fn nice(&mut self) {
        if let Err(error) = spawn::nice(self.job) {
            self.say(format_args!("nice {}: {}", self.job.nice(), error.meaning()));
        }
    }

    fn cpu(&mut self) {
        match spawn::affinity(self.job) {
            Ok(()) => {}
            Err(Errno::EINVAL) => {
                self.say(format_args!("cpu: there is no such CPU; it runs on any"));
            }
            Err(error) => self.say(format_args!("cpu: {}", error.meaning())),
        }
    }

    fn ulimits(&mut self) {
        for ulimit in self.job.ulimits() {
            let limit = Limit::both(ulimit.value);
            // In a process of its own: the limit is not to hurt the rest of this one.
            if let Err(error) = in_child(|| spawn::set_limit(ulimit.resource, limit)) {
                let (flag, value) = (ulimit.resource.flag(), Amount(ulimit.value));
                self.say(format_args!("ulimit {flag} {value}: {}", error.meaning()));
            }
        }
    }

    fn switch_to(&mut self, user: &mut User<'_>) {
        if let Err(failed) = user.take_on() {
            self.no_user(failed);
        }
    }

    fn files(&mut self) {
        let input = self.job.stdin().unwrap_or(spawn::DEV_NULL);
        let files: [(_, _, Judgement); 3] = [
            ("in", Some(input), readable),
            ("out", self.job.out(), appendable),
            ("err", self.job.err(), appendable),
        ];
        for (option, path, judgement) in files {
            // What pmtr has open already is not opened.
            let Some(path) = path.filter(|path| spawn::own_number(path).is_none()) else {
                continue;
            };
            self.next(option, path);
            if let Err(error) = self.judge(path, judgement) {
                self.say(format_args!("{option} {}: {}", Shown(path), error.meaning()));
            }
        }
    }

    fn judge(&self, path: &CStr, judgement: Judgement) -> Result<(), Errno> {
        if self.knows(path) {
            judgement(path)
        } else {
            Ok(())
        }
    }

    fn knows(&self, path: &CStr) -> bool {
        !self.lost || path.to_bytes().starts_with(b"/")
    }

    /// What a look at the file tells has better words than the trial.
    fn program(&mut self, trial: Result<(), trial::Failure>) {
        let path = self.job.program();
        if !self.knows(path) {
            return;
        }
        self.next("cmd", path);
        match (program::examine(path), trial) {
            (Err(refusal), _) => self.say(format_args!("cmd {}: {refusal}", Shown(path))),
            (Ok(()), Err(failure)) => self.say(format_args!("cmd {}: {failure}", Shown(path))),
            (Ok(()), Ok(())) => {}
        }
    }
}

/// Returns true if this process can become the user of a job.
fn can_be(user: Option<&mut User<'_>>) -> bool {
    let take_on = |user: &mut User<'_>| user.take_on().map_err(|_| Errno::EPERM);
    user.map_or(true, |user| in_child(|| take_on(user)).is_ok())
}

/// Tries something that would change this process.
fn in_child(step: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    // SAFETY: as above.
    let ForkResult::Parent { child } = (unsafe { fork() })? else {
        let _no_way_back = NoWayBack;
        exit(step().map_or_else(|error| error as i32, |()| 0))
    };
    match waitpid(child, None)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        WaitStatus::Exited(_, code) => Err(Errno::from_raw(code)),
        _ => Ok(()), // What killed it was the limit, which has been set.
    }
}

/// The value of a limit.
struct Amount(u64);

impl Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            u64::MAX => f.write_str("infinity"),
            value => value.fmt(f),
        }
    }
}

/// A string of the configuration as text that can be shown, on one line.
struct Shown<'a>(&'a CStr);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_lossy(f, self.0.to_bytes())
    }
}
