//! Nothing is allocated once pmtr has started, whatever happens: seen from libc,
//! and seen from the kernel.

mod common;

use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use common::tour::tour;
use common::{eventually, World};

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

/// A world whose pmtr is counted.
fn counted(name: &str) -> Option<World> {
    let world = World::new();
    let library = world.path("allocations.so");
    let source = world.file("allocations.c", include_str!("data/allocations.c"));
    let compiler = std::env::var("PMTR_CC").unwrap_or("cc".into());
    let compiled =
        Command::new(compiler).args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    if !compiled.is_ok_and(|status| status.success()) || common::skipped(name) {
        eprintln!("skipped: {name}: needs a C compiler for the program's processor, and glibc");
        return None;
    }
    let counts = world.path("allocations");
    fs::write(&counts, [0; 4096]).unwrap();
    let world = world.variable("LD_PRELOAD", library.to_str()?);
    Some(world.variable("ALLOCATIONS", counts.to_str()?))
}

#[test]
fn libc_is_not_asked_for_memory_once_pmtr_has_started() {
    let Some(world) = counted("libc_is_not_asked_for_memory_once_pmtr_has_started") else {
        return;
    };
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
const MEMORY_CALLS: &str = "brk,mmap,mmap2,mremap,shmat,memfd_create";

#[test]
fn the_kernel_is_not_asked_for_memory_once_pmtr_has_started() {
    let name = "the_kernel_is_not_asked_for_memory_once_pmtr_has_started";
    if common::skipped(name) {
        return;
    }
    if !Command::new("strace").arg("-V").output().is_ok_and(|ran| ran.status.success()) {
        eprintln!("skipped: {name}: needs strace");
        return;
    }
    let world = World::new();
    let trace = world.path("trace");
    let calls = format!("trace=?{}", MEMORY_CALLS.replace(',', ",?"));
    // Without -f: only pmtr itself; -D: it keeps its place as our child.
    let words = ["strace", "-D", "-q", "-ttt", "-e", &calls, "-o", trace.to_str().unwrap()];
    let mut world = world.wrapped_in(&words);
    world.config("");
    world.start();
    world.fence();
    let ready = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    tour(&mut world);
    assert_eq!(world.stop(), Some(0));
    // The tracer ends after pmtr.
    eventually("the end of the trace", || world.read("trace").contains("+++ exited with 0 +++"));
    let trace = world.read("trace");
    let is_late = |line: &&str| line.split(' ').next().unwrap().parse::<f64>().unwrap() > ready;
    let (late, early): (Vec<&str>, Vec<&str>) = trace.lines().partition(is_late);
    assert!(early.iter().any(|line| line.contains(" mmap(")), "nothing is traced:\n{trace}");
    let late: Vec<&&str> = late.iter().filter(|line| !line.contains(" +++ ")).collect();
    assert!(late.is_empty(), "{late:#?}");
}
