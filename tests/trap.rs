//! The whole program with a heap of Rust's that traps once pmtr has started: as
//! tests/allocation.rs, but whoever allocates is shown by name.
//!
//! This is two programs. One is pmtr, with that heap; the other runs it.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::{env, fs, ptr, thread};

use common::tour::tour;
use common::World;
use nix::libc;

/// In the environment of pmtr: the file whose first byte arms the trap.
const TRAP: &str = "PMTR_TEST_TRAP";

const NAME: &str = "the_program_does_not_allocate_once_it_has_started";

fn main() -> ExitCode {
    match env::var_os(TRAP) {
        Some(file) => {
            set_trap(&OpenOptions::new().read(true).write(true).open(file).unwrap());
            ExitCode::from(pmtr::sys::start::main(env::args_os()))
        }
        None => test(),
    }
}

/// As the harness of other tests does it.
fn test() -> ExitCode {
    println!("\nrunning 1 test");
    let is_asked_for =
        env::args().skip(1).filter(|word| !word.starts_with('-')).all(|word| NAME.contains(&word));
    if !is_asked_for || common::skipped(NAME) {
        return ExitCode::SUCCESS;
    }
    let is_good = thread::spawn(the_program_does_not_allocate_once_it_has_started).join().is_ok();
    let (word, passed) = if is_good { ("ok", 1) } else { ("FAILED", 0) };
    println!("test {NAME} ... {word}\n");
    println!("test result: {word}. {passed} passed; {} failed; 0 ignored", 1 - passed);
    if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn the_program_does_not_allocate_once_it_has_started() {
    env::set_var("PMTR_BIN", env::current_exe().unwrap());
    let world = World::new();
    let trap = world.path("trap");
    fs::write(&trap, [0]).unwrap();
    let mut world = world.variable(TRAP, trap.to_str().unwrap());
    world.config("");
    world.start();
    world.fence();
    // In place: it is mapped.
    OpenOptions::new().write(true).open(&trap).unwrap().write_all(&[1]).unwrap();
    tour(&mut world);
    assert!(world.is_up(), "{}", world.stderr());
    assert!(!world.stderr().contains("allocated"), "{}", world.stderr());
    assert_eq!(world.stop(), Some(0));
}

/// The byte that arms the trap.
static ARMED: AtomicPtr<AtomicBool> = AtomicPtr::new(ptr::null_mut());

/// Not a child, which looks users up.
static PID: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

/// Makes the first byte of a file the one that arms the trap.
fn set_trap(file: &File) {
    let (size, protection) = (1, libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: a new mapping of one byte of a file that has it.
    let at = unsafe {
        libc::mmap(ptr::null_mut(), size, protection, libc::MAP_SHARED, file.as_raw_fd(), 0)
    };
    assert_ne!(at, libc::MAP_FAILED);
    PID.store(std::process::id(), Ordering::Relaxed);
    ARMED.store(at.cast(), Ordering::Relaxed);
}

/// Ends pmtr if the trap is armed. A thread that panics may allocate: its
/// message is put together before anybody hears of the panic.
fn spring(what: &str, size: usize) {
    // SAFETY: null, or a byte that is mapped for good.
    let armed = unsafe { ARMED.load(Ordering::Relaxed).as_ref() };
    let Some(armed) = armed.filter(|armed| armed.load(Ordering::Relaxed)) else { return };
    if thread::panicking() || std::process::id() != PID.load(Ordering::Relaxed) {
        return;
    }
    armed.store(false, Ordering::Relaxed);
    eprintln!("{size} bytes {what}\n{}", Backtrace::force_capture());
    std::process::abort();
}

struct Trap;

#[global_allocator]
static HEAP: Trap = Trap;

// SAFETY: everything is done by the system's heap.
unsafe impl GlobalAlloc for Trap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        spring("allocated", layout.size());
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        spring("reallocated", size);
        // SAFETY: as the caller says.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller says.
        unsafe { System.dealloc(at, layout) }
    }
}
