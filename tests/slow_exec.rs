//! Programs that execve(2) may not run yet, because somebody is asked for permission first and does
//! not answer (fanotify(7)), as a virus scanner does. A file system that hangs is the same to a job.

mod common;

use std::ffi::CString;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use common::{alive, job, needs_root, process, sleepers, stretched, World};
use nix::errno::Errno;
use nix::libc;

/// Has the kernel wait for an answer, which does not come, before it executes these files. Dropping
/// it permits all. `Err` says what is missing.
fn unanswered(programs: &[PathBuf]) -> Result<OwnedFd, Errno> {
    // SAFETY: takes and returns numbers only.
    let fd = unsafe { libc::fanotify_init(libc::FAN_CLASS_CONTENT | libc::FAN_CLOEXEC, 0) };
    // SAFETY: it is new, and nobody else's.
    let fd = Errno::result(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })?;
    for program in programs {
        let path = CString::new(program.as_os_str().as_bytes()).unwrap();
        let (number, mask) = (fd.as_raw_fd(), libc::FAN_OPEN_EXEC_PERM);
        // SAFETY: reads a path with its NUL.
        Errno::result(unsafe {
            libc::fanotify_mark(number, libc::FAN_MARK_ADD, mask, libc::AT_FDCWD, path.as_ptr())
        })?;
    }
    Ok(fd)
}

/// The same for a test; None where the kernel asks nobody, which it then says.
fn held(test: &str, programs: &[PathBuf]) -> Option<OwnedFd> {
    let held = unanswered(programs);
    if let Err(errno) = held {
        eprintln!("skipped: {test}: fanotify(7) of this kernel: {errno}");
    }
    held.ok()
}

/// A copy of a program, which nobody else runs.
fn copy(world: &World, program: &str, name: &str) -> PathBuf {
    let path = world.path(name);
    assert!(Command::new("cp").arg(program).arg(&path).status().unwrap().success());
    path
}

/// A program, and the interpreter of the script `script`.
fn programs(world: &World) -> [PathBuf; 2] {
    let interpreter = copy(world, "/bin/sh", "interpreter");
    let script = format!("#!{}\nexec /bin/sleep 1000\n", interpreter.display());
    let write = ["-c", "printf %s \"$1\" > \"$2\" && chmod 755 \"$2\"", "sh", &script];
    let written = Command::new("/bin/sh").args(write).arg(world.path("script")).status();
    assert!(written.unwrap().success());
    [copy(world, "/bin/sleep", "program"), interpreter]
}

const HELD: &str = "job {\n  name held\n  cmd $DIR/program 1000\n}\n\
                    job {\n  name script\n  cmd $DIR/script\n}\n";

fn is_pmtr(pid: i32, program: &Path) -> bool {
    process::program(pid).is_some_and(|exe| exe == program)
}

#[test]
fn a_job_whose_program_may_not_run_yet_holds_up_nobody_else() {
    let test = "a_job_whose_program_may_not_run_yet_holds_up_nobody_else";
    if needs_root(test) {
        return;
    }
    let mut world = World::new();
    let Some(_held) = held(test, &programs(&world)) else { return };
    world.config(&(HELD.to_owned() + &sleepers("a")));
    world.start();
    world.running("a");
    let own = process::program(world.pid()).unwrap();
    for job in ["held", "script"] {
        assert!(is_pmtr(world.pid_of(job), &own), "the test does not hold {job}");
    }
    world.config(&(HELD.to_owned() + &sleepers("b")));
    world.running("b");
    let asked = Instant::now();
    assert_eq!(world.stop(), Some(0));
    assert!(asked.elapsed() < stretched(5), "{:?}", asked.elapsed());
    assert_eq!(world.processes(), []);
}

#[test]
fn a_job_whose_program_may_run_at_last_runs() {
    let test = "a_job_whose_program_may_run_at_last_runs";
    if needs_root(test) {
        return;
    }
    let mut world = World::new();
    let Some(held) = held(test, &programs(&world)) else { return };
    world.config(&(HELD.to_owned() + &sleepers("a")));
    world.start();
    world.running("a");
    drop(held);
    for job in ["held", "script"] {
        let pid = world.running(job);
        assert!(alive(pid) && world.starts(job) == 1);
    }
}

#[test]
fn a_wait_job_whose_program_may_not_run_yet_is_stopped_at_once() {
    let test = "a_wait_job_whose_program_may_not_run_yet_is_stopped_at_once";
    if needs_root(test) {
        return;
    }
    let mut world = World::new();
    let Some(_held) = held(test, &programs(&world)) else { return };
    world.config(&(job("first", "wait\n  once\n  cmd $DIR/program 1000") + &sleepers("a")));
    world.start();
    let first = world.pid_of("first");
    world.config(&sleepers("a"));
    world.running("a");
    assert!(!alive(first));
}
