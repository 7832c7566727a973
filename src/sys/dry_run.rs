//! `pmtr -t`: what a start would say of the configuration, without one (manual,
//! "Operator notes").

use super::check;
use super::config_file::{ConfigFile, Refused};
use super::errno::Meaning;
use super::room::Taken;
use super::std::prelude::v1::*;
use super::std::{eprintln, println};
use super::tables::{take, FILES};
use crate::config::{Config, Problem, Severity, Token};
use core::ffi::CStr;
use nix::errno::Errno;

/// What `-t` found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A start would take the configuration, and there is nothing to say of it.
    Good,
    /// A start would take it; there were warnings.
    Warned,
    /// A start would refuse it.
    Refused,
}

/// Checks the configuration into `config`, and tells on stderr what is wrong.
/// Shows how much of each limit the file takes, if `verbose` is at least 1, and each
/// word as it is read, if it is 2 (manual, "-vv shows parsing"). Creates nothing.
pub fn dry_run(file: &mut ConfigFile, config: &mut Config, verbose: u8) -> Verdict {
    let mut warnings = 0;
    let mut found = |problem: &Problem<'_>, path: &CStr| {
        warnings += u32::from(problem.severity() == Severity::Warning);
        eprintln!("{}", problem.report(path.to_bytes()));
    };
    let mut read = |token: &Token<'_>| {
        if verbose >= 2 {
            println!("{token}");
        }
    };
    if !check::answers(file.path()) {
        eprintln!("parse failed: {file}: no answer within {} s", check::LIMIT.as_secs());
        return Verdict::Refused;
    }
    let text = &mut take(&FILES).text;
    let opened = file.open();
    let loaded = file.load(&opened, text, config, &mut found, &mut read);
    if let Some(exposure) = file.exposure() {
        eprintln!("{file}: warning: {exposure}");
        warnings += 1;
    }
    match loaded {
        Ok(()) if verbose > 0 => {
            println!("{}", Taken { file: file.bytes(), config: config.size() })
        }
        Ok(()) => {}
        Err(Refused::Unreadable(Errno::ENOENT)) => return missing(file),
        Err(refused) => {
            eprintln!("parse failed: {file}: {refused}");
            return Verdict::Refused;
        }
    }
    warnings += check::check(config, &mut |line, problem| {
        eprintln!("{file}:{line}: warning: {problem}");
    });
    match warnings {
        0 => Verdict::Good,
        _ => Verdict::Warned,
    }
}

/// A start creates the file, if it can.
fn missing(file: &ConfigFile) -> Verdict {
    match file.can_be_created() {
        Ok(()) => {
            eprintln!("{file}: warning: no such file: a start would create it, empty");
            Verdict::Warned
        }
        Err(errno) => {
            eprintln!("{file}: error: no such file, and none can be created: {}", errno.meaning());
            Verdict::Refused
        }
    }
}
