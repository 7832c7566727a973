//! The whole program with a heap of Rust's that traps once pmtr has started: as
//! tests/allocation.rs, but whoever allocates is shown by name.
//!
//! This is two programs. One is pmtr, with that heap; the other runs it. Both have
//! an `epoll_wait` that can be told to return nonsense, which makes pmtr panic.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::sync::atomic::{AtomicPtr, AtomicU8, Ordering};
use std::{env, fs, ptr, thread};

use common::tour::tour;
use common::World;
use nix::libc;
use nix::sys::signal::Signal;
use pmtr::sys::heap::Heap;

/// In the environment of pmtr: the file whose first byte is one of the following.
const TRAP: &str = "PMTR_TEST_TRAP";

/// Nobody may allocate.
const ARMED: u8 = 1;

/// That, and pmtr is to panic.
const PANICS: u8 = 2;

const NAME: &str = "the_program_does_not_allocate_once_it_has_started";

fn main() -> ExitCode {
    match env::var_os(TRAP) {
        Some(file) => {
            set_trap(&OpenOptions::new().read(true).write(true).open(file).unwrap());
            ExitCode::from(pmtr::sys::start::main(env::args_os()))
        }
        None => common::run_alone(NAME, the_program_does_not_allocate_once_it_has_started),
    }
}

fn the_program_does_not_allocate_once_it_has_started() {
    env::set_var("PMTR_BIN", env::current_exe().unwrap());
    let world = World::new();
    let trap = world.path("trap");
    fs::write(&trap, [0]).unwrap();
    // A backtrace is only for those who want it, and does allocate.
    let world = world.variable("RUST_BACKTRACE", "0");
    let mut world = world.variable(TRAP, trap.to_str().unwrap());
    world.config("");
    world.start();
    world.fence();
    // In place: it is mapped.
    let set = |to: u8| {
        OpenOptions::new().write(true).open(&trap).unwrap().write_all(&[to]).unwrap();
    };
    set(ARMED);
    tour(&mut world);
    assert!(world.is_up(), "{}", world.stderr());
    assert!(!world.stderr().contains("allocated"), "{}", world.stderr());
    set(PANICS);
    world.signal(Signal::SIGHUP);
    assert_ne!(world.wait(), Some(0));
    let told = world.stderr();
    assert!(told.contains("index out of bounds: the len is"), "{told}");
    assert!(!told.contains("allocated"), "{told}");
}

/// The byte that arms the trap.
static TRAPPED: AtomicPtr<AtomicU8> = AtomicPtr::new(ptr::null_mut());

fn trapped() -> u8 {
    // SAFETY: null, or a byte that is mapped for good.
    let byte = unsafe { TRAPPED.load(Ordering::Relaxed).as_ref() };
    byte.map_or(0, |byte| byte.load(Ordering::Relaxed))
}

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
    TRAPPED.store(at.cast(), Ordering::Relaxed);
}

/// Ends pmtr if the trap is armed, be it in the report of a panic.
fn spring(what: &str, size: usize) {
    if trapped() == 0 || std::process::id() != PID.load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: as above; it is not null.
    unsafe { TRAPPED.load(Ordering::Relaxed).as_ref() }.unwrap().store(0, Ordering::Relaxed);
    if thread::panicking() {
        // Whoever reports it has stderr's lock.
        let _ = nix::unistd::write(std::io::stderr(), b"allocated in the report of a panic\n");
    } else {
        eprintln!("{size} bytes {what}\n{}", Backtrace::force_capture());
    }
    std::process::abort();
}

/// epoll_wait(2), but for a kernel that finds more than it was asked for.
///
/// # Safety
///
/// As there.
#[no_mangle]
unsafe extern "C" fn epoll_wait(
    epoll: libc::c_int,
    events: *mut libc::epoll_event,
    room: libc::c_int,
    timeout: libc::c_int,
) -> libc::c_int {
    // SAFETY: as the caller says.
    let found = unsafe { libc::epoll_pwait(epoll, events, room, timeout, ptr::null()) };
    if trapped() == PANICS {
        room + 1
    } else {
        found
    }
}

/// What is below pmtr's own heap.
struct Trap;

#[global_allocator]
static HEAP: Heap<Trap> = Heap::new(Trap);

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
