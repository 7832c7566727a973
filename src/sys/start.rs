//! From the command line to the loop, and back to an exit status.

use super::config_file::ConfigFile;
use super::daemon::{self, Launch};
use super::dry_run::{dry_run, Verdict};
use super::errno::Meaning;
use super::file_writer::FileWriter;
use super::options::{self, Help, Mode, Options, Version};
use super::pidfile::PidFile;
use super::room::Limits;
use super::run::Shell;
use super::signals;
use super::spawn;
use super::state::State;
use super::std::ffi::CString;
use super::std::os::unix::ffi::OsStrExt;
use super::std::path::{Path, PathBuf};
use super::std::prelude::v1::*;
use super::std::{env, eprintln, ffi::OsString, format, io, println};
use super::tables::{take, FILES, TABLES};
use super::tell;
use super::{clock, descriptors, log};
use crate::config::Resource;
use nix::libc;
use nix::sys::stat::{umask, Mode as Bits};

/// The exit status of a start that did not work, and of `-t` for a
/// configuration that a start would refuse.
const FAILED: u8 = 1;

/// The exit status of a command line that is not understood.
const WRONG_USAGE: u8 = 2;

/// The exit status of what has worked.
const DONE: u8 = 0;

/// The whole program; returns its exit status.
///
/// Does itself what Rust's runtime does otherwise: descriptors 0 to 2 are open,
/// so that nothing else gets such a number and takes what is meant for them, and a
/// pipe that nobody reads is an error, not a signal. What else execve(2) keeps of whoever started pmtr,
/// and what becomes of it, is in docs/attributes.md.
pub fn main(arguments: impl Iterator<Item = OsString>) -> u8 {
    signals::sanitise();
    umask(Bits::S_IWGRP | Bits::S_IWOTH);
    if let Err(error) = daemon::sanitise_stdio() {
        eprintln!("pmtr: cannot open /dev/null: {error}");
        return FAILED;
    }
    let options = match options::parse(arguments) {
        Ok(options) => options,
        Err(usage) => {
            eprintln!("pmtr: {usage}");
            return WRONG_USAGE;
        }
    };
    match options.mode {
        Mode::Help => println!("{Help}"),
        Mode::Version => println!("{Version}"),
        Mode::Limits => println!("{Limits}"),
        Mode::Test { strict } => return test(options, strict),
        Mode::Supervise => return supervise(options),
    }
    DONE
}

/// `-t`: says what it found, and whether a start would take it.
///
/// Not inlined: what it takes of the stack is not for those who supervise.
#[inline(never)]
fn test(options: Options, strict: bool) -> u8 {
    signals::unblock_all();
    let mut supervisor = take(&TABLES.supervisor);
    let verbose = options.verbose;
    let verdict = options
        .absolute()
        .map_err(|error| format!("no current directory: {error}"))
        .and_then(|options| {
            leave_lost_dir();
            config_file(&options)
        })
        .map(|mut file| dry_run(&mut file, supervisor.standby(), verbose));
    match verdict {
        Ok(Verdict::Good) => DONE,
        Ok(Verdict::Warned) if !strict => DONE,
        Ok(Verdict::Warned | Verdict::Refused) => FAILED,
        Err(reason) => {
            eprintln!("pmtr: {reason}");
            FAILED
        }
    }
}

/// Starts, runs until the end was asked for, and tidies up.
fn supervise(options: Options) -> u8 {
    let is_foreground = options.foreground || daemon::is_process_one();
    let writer = if is_foreground { FileWriter::start() } else { None };
    if let Some(writer) = &writer {
        log::stderr_writer_is(writer.pid());
    }
    let status = supervise_logged(options);
    if let Some(writer) = writer {
        writer.finish();
    }
    status
}

/// The same with a stderr that does not block.
fn supervise_logged(options: Options) -> u8 {
    // Used where it stands: what is moved is on the stack twice.
    let mut opened = open(options);
    let done = match &mut opened {
        Ok(opened) => opened.supervise(),
        Err(reason) => Err(core::mem::take(reason)),
    };
    match done {
        Ok(()) => DONE,
        Err(reason) => {
            tell::error!("{reason}");
            log::flush(clock::now(), None);
            FAILED
        }
    }
}

/// All that a start needs besides a configuration.
struct Opened {
    shell: Shell,
    launch: Launch,
    pidfile: Option<PathBuf>,
}

/// Becomes a daemon where that is wanted, and opens what the loop needs.
///
/// Not inlined: what it takes of the stack is free again when the configuration is loaded.
#[inline(never)]
fn open(options: Options) -> Result<Opened, String> {
    signals::ignore_others();
    let limits = spawn::raise_limits();
    let is_foreground = options.foreground || daemon::is_process_one();
    if is_foreground {
        signals::hear_of_parents_death();
        descriptors::keep_inherited();
    } else {
        descriptors::close_inherited();
    }
    start_log(&options);
    warn_of_limits();
    let options = options.absolute().map_err(|error| format!("no current directory: {error}"))?;
    if leave_lost_dir() {
        tell::warning!("the current directory is gone: jobs without dir start in /");
    }
    let launch = if is_foreground {
        Launch::foreground()
    } else {
        daemon::detach().map_err(|error| format!("cannot become a daemon: {}", error.meaning()))?
    };
    log::forked();
    let state = State::open(options.state_dir.as_deref(), &options.config)
        .map_err(|refused| refused.to_string())?;
    let shell = Shell::new(
        take(&TABLES.supervisor),
        take(&TABLES.streams),
        take(&FILES),
        state,
        config_file(&options)?,
        limits,
    )
    .map_err(|error| format!("cannot start: {error}{}", hint(&error)))?;
    Ok(Opened { shell, launch, pidfile: options.pidfile })
}

impl Opened {
    fn supervise(&mut self) -> Result<(), String> {
        let pidfile = self.launch()?;
        self.shell.run();
        if let Some(pidfile) = pidfile {
            pidfile.remove();
        }
        Ok(())
    }

    /// What comes before the first job, and why it came to nothing.
    #[inline(never)] // as `open`
    fn launch(&mut self) -> Result<Option<PidFile>, String> {
        self.shell.first_load()?;
        let pidfile = self.pidfile.take().as_deref().map(write_pidfile).transpose()?;
        let launch = core::mem::replace(&mut self.launch, Launch::foreground());
        if launch.is_daemon() {
            log::warn_if_unreachable(clock::now());
        }
        launch.ready().map_err(|error| format!("cannot let go of the terminal: {error}"))?;
        log::stderr_replaced();
        Ok(pidfile)
    }
}

/// What an error of the start comes from, where it does not say so.
fn hint(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EMFILE) => format!(": the limit (ulimit -n) is {}", spawn::soft_file_limit()),
        _ => String::new(),
    }
}

/// Enters / if the current directory has no name any more, for which jobs would not start either.
fn leave_lost_dir() -> bool {
    env::current_dir().is_err() && env::set_current_dir("/").is_ok()
}

/// Limits that pmtr could not raise, and that end it or keep it from its own files.
fn warn_of_limits() {
    if let Some(seconds) = spawn::hard_limit(Resource::Cpu) {
        tell::warning!("pmtr will be killed after {seconds} s of CPU time: raise its ulimit -t");
    }
    if let Some(bytes) = spawn::hard_limit(Resource::Fsize).filter(|&bytes| bytes < OWN_FILE_BYTES)
    {
        tell::warning!("pmtr can write no more than {bytes} bytes to a file: raise its ulimit -f");
    }
}

/// More than the files of pmtr's own have.
const OWN_FILE_BYTES: u64 = 1 << 20;

fn start_log(options: &Options) {
    let level = match options.verbose {
        0 => ::log::LevelFilter::Info,
        1 => ::log::LevelFilter::Debug,
        _ => ::log::LevelFilter::Trace,
    };
    let echo = if options.echo { log::Echo::Forced } else { log::Echo::Auto };
    let setup = log::Setup { socket: options.log_socket.clone(), echo, level };
    log::start(&setup, clock::now());
}

fn write_pidfile(path: &Path) -> Result<PidFile, String> {
    PidFile::write(path).map_err(|refused| format!("pid file {}: {refused}", path.display()))
}

fn config_file(options: &Options) -> Result<ConfigFile, String> {
    let path = CString::new(options.config.as_os_str().as_bytes());
    path.map(ConfigFile::new).map_err(|_| String::from("the configuration's name has a NUL"))
}
