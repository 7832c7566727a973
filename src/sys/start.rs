//! From the command line to the loop, and back to an exit status.

use super::config_file::ConfigFile;
use super::daemon::{self, Launch};
use super::dry_run::{dry_run, Verdict};
use super::options::{self, Help, Mode, Options, Version};
use super::pidfile::PidFile;
use super::room::Limits;
use super::run::Shell;
use super::spawn;
use super::state::State;
use super::std::ffi::CString;
use super::std::os::unix::ffi::OsStrExt;
use super::std::path::{Path, PathBuf};
use super::std::prelude::v1::*;
use super::std::process::ExitCode;
use super::std::{env, eprintln, format, println};
use super::tables::{take, TABLES};
use super::{clock, log};
use crate::limits::MAX_INHERITED_ENV;

/// The exit status of a start that did not work, and of `-t` for a
/// configuration that a start would refuse.
const FAILED: u8 = 1;

/// The exit status of a command line that is not understood.
const WRONG_USAGE: u8 = 2;

/// The whole program.
pub fn main() -> ExitCode {
    let options = match options::parse(env::args_os()) {
        Ok(options) => options,
        Err(usage) => {
            eprintln!("pmtr: {usage}");
            return ExitCode::from(WRONG_USAGE);
        }
    };
    match options.mode {
        Mode::Help => println!("{Help}"),
        Mode::Version => println!("{Version}"),
        Mode::Limits => println!("{Limits}"),
        Mode::Test { strict } => return test(options, strict),
        Mode::Supervise => return supervise(options),
    }
    ExitCode::SUCCESS
}

/// `-t`: says what it found, and whether a start would take it.
fn test(options: Options, strict: bool) -> ExitCode {
    let mut supervisor = take(&TABLES.supervisor);
    let verbose = options.verbose;
    let verdict = options
        .absolute()
        .map_err(|error| format!("no current directory: {error}"))
        .and_then(|options| config_file(&options))
        .map(|mut file| dry_run(&mut file, supervisor.standby(), verbose));
    match verdict {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Warned) if !strict => ExitCode::SUCCESS,
        Ok(Verdict::Warned | Verdict::Refused) => ExitCode::from(FAILED),
        Err(reason) => {
            eprintln!("pmtr: {reason}");
            ExitCode::from(FAILED)
        }
    }
}

/// Starts, runs until the end was asked for, and tidies up.
fn supervise(options: Options) -> ExitCode {
    let (mut shell, pidfile) = match launch(options) {
        Ok(launched) => launched,
        Err(reason) => {
            ::log::error!("{reason}");
            log::flush(clock::now(), None);
            return ExitCode::from(FAILED);
        }
    };
    shell.run();
    if let Some(pidfile) = pidfile {
        pidfile.remove();
    }
    ExitCode::SUCCESS
}

/// Everything that comes before the first job, and why it came to nothing.
fn launch(options: Options) -> Result<(Shell, Option<PidFile>), String> {
    let (mut shell, launch, pidfile) = open(options)?;
    shell.first_load()?;
    let pidfile = pidfile.as_deref().map(write_pidfile).transpose()?;
    launch.ready().map_err(|error| format!("cannot let go of the terminal: {error}"))?;
    log::daemonized();
    Ok((shell, pidfile))
}

/// Becomes a daemon where that is wanted, and opens what the loop needs.
///
/// Not inlined: what it takes of the stack is free again when the configuration is loaded.
#[inline(never)]
fn open(options: Options) -> Result<(Shell, Launch, Option<PathBuf>), String> {
    let is_foreground = options.foreground || daemon::is_process_one();
    if !is_foreground {
        daemon::close_inherited();
    }
    start_log(&options);
    warn_of_environment();
    let options = options.absolute().map_err(|error| format!("no current directory: {error}"))?;
    daemon::sanitise_stdio().map_err(|error| format!("cannot open /dev/null: {error}"))?;
    let launch = if is_foreground {
        Launch::foreground()
    } else {
        daemon::detach().map_err(|error| format!("cannot become a daemon: {error}"))?
    };
    let state = State::open(options.state_dir.as_deref(), &options.config)
        .map_err(|refused| refused.to_string())?;
    let shell = Shell::new(
        take(&TABLES.supervisor),
        take(&TABLES.streams),
        take(&TABLES.files),
        state,
        config_file(&options)?,
    )
    .map_err(|error| format!("cannot start: {error}"))?;
    Ok((shell, launch, options.pidfile))
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

/// Jobs whose environment is not whole must not be a riddle.
fn warn_of_environment() {
    let left_out = spawn::left_out();
    if left_out > 0 {
        ::log::warn!(
            "jobs do not get the last {left_out} variables of pmtr's environment: \
             there are more than {MAX_INHERITED_ENV}"
        );
    }
}

fn write_pidfile(path: &Path) -> Result<PidFile, String> {
    PidFile::write(path).map_err(|refused| format!("pid file {}: {refused}", path.display()))
}

fn config_file(options: &Options) -> Result<ConfigFile, String> {
    let path = CString::new(options.config.as_os_str().as_bytes());
    path.map(ConfigFile::new).map_err(|_| String::from("the configuration's name has a NUL"))
}
