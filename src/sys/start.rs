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
use super::signals::ignore_sigpipe;
use super::state::State;
use super::std::ffi::CString;
use super::std::os::unix::ffi::OsStrExt;
use super::std::path::{Path, PathBuf};
use super::std::prelude::v1::*;
use super::std::{eprintln, ffi::OsString, format, println};
use super::tables::{take, FILES, TABLES};
use super::tell;
use super::{clock, descriptors, log};

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
/// pipe that nobody reads is an error, not a signal.
pub fn main(arguments: impl Iterator<Item = OsString>) -> u8 {
    ignore_sigpipe();
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
    let mut supervisor = take(&TABLES.supervisor);
    let verbose = options.verbose;
    let verdict = options
        .absolute()
        .map_err(|error| format!("no current directory: {error}"))
        .and_then(|options| config_file(&options))
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
    let is_foreground = options.foreground || daemon::is_process_one();
    if is_foreground {
        descriptors::keep_inherited();
    } else {
        descriptors::close_inherited();
    }
    start_log(&options);
    let options = options.absolute().map_err(|error| format!("no current directory: {error}"))?;
    let launch = if is_foreground {
        Launch::foreground()
    } else {
        daemon::detach().map_err(|error| format!("cannot become a daemon: {}", error.meaning()))?
    };
    log::forked();
    warn_of_environment();
    let state = State::open(options.state_dir.as_deref(), &options.config)
        .map_err(|refused| refused.to_string())?;
    let shell = Shell::new(
        take(&TABLES.supervisor),
        take(&TABLES.streams),
        take(&FILES),
        state,
        config_file(&options)?,
    )
    .map_err(|error| format!("cannot start: {error}"))?;
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
