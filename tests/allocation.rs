//! Nothing is allocated once pmtr has started, whatever happens: seen from libc,
//! and seen from the kernel.

mod common;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use common::tour::tour;
use common::{eventually, sleepers, World};
use nix::sys::signal::Signal;

/// What data/allocations.c has counted.
struct Counts {
    file: Vec<u8>,
}

impl Counts {
    fn read(world: &World) -> Counts {
        Counts { file: fs::read(world.path("allocations")).unwrap() }
    }

    fn number(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.file[at..at + 8].try_into().unwrap())
    }

    fn pid(&self) -> i32 {
        self.number(0) as i32
    }

    fn allocated(&self) -> u64 {
        self.number(8)
    }

    fn freed(&self) -> u64 {
        self.number(16)
    }

    /// The latest calls, and where the program is loaded to, to find them with addr2line(1).
    fn since(&self, earlier: &Counts, maps: &str) -> String {
        let calls = earlier.allocated()..self.allocated();
        let told = calls.rev().take(20).map(|call| {
            let at = 24 + (call % 200) as usize * 16;
            let size = u32::from_ne_bytes(self.file[at + 8..at + 12].try_into().unwrap());
            format!("  {size} bytes for {:#x}\n", self.number(at))
        });
        told.collect::<String>() + maps
    }
}

/// Where in that file it says that pmtr is to panic.
const NONSENSE: u64 = 24 + 200 * 16;

/// The library that data/allocations.c becomes; none where it cannot be made.
fn library(world: &World, name: &str) -> Option<PathBuf> {
    let library = world.path("allocations.so");
    let source = world.file("allocations.c", include_str!("data/allocations.c"));
    let compiler = std::env::var("PMTR_CC").unwrap_or("cc".into());
    let compiled =
        Command::new(compiler).args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    if !compiled.is_ok_and(|status| status.success()) || common::skipped(name) {
        eprintln!("skipped: {name}: needs a C compiler for the program's processor, and glibc");
        return None;
    }
    fs::write(world.path("allocations"), [0; 4096]).unwrap();
    Some(library)
}

/// Makes pmtr panic as soon as it wakes up, and waits for its end.
#[track_caller]
fn panic(world: &mut World) {
    let counts = OpenOptions::new().write(true).open(world.path("allocations")).unwrap();
    counts.write_all_at(&[1], NONSENSE).unwrap();
    world.signal(Signal::SIGHUP);
    assert_ne!(world.wait(), Some(0));
}

#[test]
fn libc_is_not_asked_for_memory_once_pmtr_has_started() {
    let world = World::new();
    let name = "libc_is_not_asked_for_memory_once_pmtr_has_started";
    let Some(library) = library(&world, name) else { return };
    let world = world.variable("LD_PRELOAD", library.to_str().unwrap());
    let counts = world.path("allocations");
    let world = world.variable("ALLOCATIONS", counts.to_str().unwrap());
    let (_nobody_reads, stderr) = nix::unistd::pipe().unwrap();
    let mut world = world.stderr_to(stderr).option("-vv").variable("TZ", "Europe/Berlin");
    world.config("");
    world.start();
    world.fence();
    let ready = Counts::read(&world);
    assert_eq!(ready.pid(), world.pid());
    assert!(ready.allocated() > 0, "the start allocates: nothing is counted");
    let maps = fs::read_to_string(format!("/proc/{}/maps", world.pid())).unwrap();
    tour(&mut world);
    let toured = Counts::read(&world);
    assert_eq!(toured.allocated(), ready.allocated(), "\n{}", toured.since(&ready, &maps));
    assert_eq!(toured.freed(), ready.freed());
    assert_eq!(world.stop(), Some(0));
    let left = Counts::read(&world);
    assert_eq!(left.allocated(), ready.allocated(), "\n{}", left.since(&ready, &maps));
}

/// The system calls by which a process gets memory.
const MEMORY_CALLS: &str = "trace=?brk,?mmap,?mmap2,?mremap,?shmat,?memfd_create";

/// What strace(1) has seen of pmtr alone, without its children.
struct Trace {
    text: String,
}

impl Trace {
    /// The words to put in front of pmtr; none where it cannot be traced.
    fn words(world: &World, name: &str) -> Option<Vec<String>> {
        if common::skipped(name) {
            return None;
        }
        if !Command::new("strace").arg("-V").output().is_ok_and(|ran| ran.status.success()) {
            eprintln!("skipped: {name}: needs strace");
            return None;
        }
        let trace = world.path("trace").to_str()?.to_string();
        // Without -f: only pmtr itself; -D: it keeps its place as our child.
        let words = ["strace", "-D", "-q", "-ttt", "-e", MEMORY_CALLS, "-o", &trace];
        Some(words.map(String::from).to_vec())
    }

    /// When all of it is there: the tracer ends after pmtr.
    fn read(world: &World) -> Trace {
        eventually("the end of the trace", || world.read("trace").contains("\u{20}+++ "));
        Trace { text: world.read("trace") }
    }

    /// That memory was asked for up to a point in time, and not afterwards.
    #[track_caller]
    fn check(&self, ready: SystemTime) {
        let ready = ready.duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let is_late = |line: &&str| line.split(' ').next().unwrap().parse::<f64>().unwrap() > ready;
        let (late, early): (Vec<&str>, Vec<&str>) = self.text.lines().partition(is_late);
        assert!(early.iter().any(|line| line.contains(" mmap(")), "{}", self.text);
        let asks = |line: &&&str| !line.contains(" +++ ") && !line.contains(" --- ");
        assert!(late.iter().filter(asks).count() == 0, "{late:#?}");
    }
}

#[test]
fn the_kernel_is_not_asked_for_memory_once_pmtr_has_started() {
    let world = World::new();
    let name = "the_kernel_is_not_asked_for_memory_once_pmtr_has_started";
    let Some(words) = Trace::words(&world, name) else { return };
    let mut world = world.wrapped_in(&words.iter().map(String::as_str).collect::<Vec<_>>());
    world.config("");
    world.start();
    world.fence();
    let ready = SystemTime::now();
    tour(&mut world);
    assert_eq!(world.stop(), Some(0));
    Trace::read(&world).check(ready);
}

/// Whatever is wrong then may be that there is no memory.
#[test]
fn neither_is_asked_for_memory_while_a_panic_is_reported() {
    let world = World::new();
    let name = "neither_is_asked_for_memory_while_a_panic_is_reported";
    let Some(mut words) = Trace::words(&world, name) else { return };
    let Some(library) = library(&world, name) else { return };
    let (library, counts) = (library.display(), world.path("allocations"));
    for variable in [
        format!("LD_PRELOAD={library}"),
        format!("ALLOCATIONS={}", counts.display()),
        // Only those who want a backtrace have one, and that does allocate.
        "RUST_BACKTRACE=0".to_string(),
    ] {
        words.extend(["-E".to_string(), variable]);
    }
    let mut world = world.wrapped_in(&words.iter().map(String::as_str).collect::<Vec<_>>());
    world.config(&sleepers("a"));
    world.start();
    world.fence();
    let (ready, before) = (SystemTime::now(), Counts::read(&world));
    panic(&mut world);
    let told = world.stderr();
    assert!(told.contains("index out of bounds: the len is"), "{told}");
    assert!(before.allocated() > 0, "nothing is counted");
    assert_eq!(Counts::read(&world).allocated(), before.allocated());
    Trace::read(&world).check(ready);
}
