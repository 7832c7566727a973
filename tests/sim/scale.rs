//! What an event costs does not grow with the number of jobs.

use std::time::Duration;

use nix::time::{clock_gettime, ClockId};
use pmtr::config;
use pmtr::limits::MAX_JOBS;
use pmtr::supervise::{Action, Event, ExitStatus, Supervisor};
use pmtr::time::Instant;

use crate::world::machine;

const FEW: usize = 10;
const MANY: usize = if MAX_JOBS < 1000 { MAX_JOBS } else { 1000 };

/// A hundred times the jobs cost the same for each, but for what does not fit in a
/// processor's cache. What grows with them would cost many times as much.
const AT_MOST: u32 = 4;

/// A machine whose jobs run, each in a process that ends when it is told to.
struct Running {
    machine: Box<Supervisor>,
    now: Instant,
    /// By the jobs' slots.
    pids: Vec<i32>,
    last: i32,
}

impl Running {
    fn with(count: usize) -> Running {
        let (machine, now) = (machine(), Instant::from_secs(1000));
        let mut new = Running { machine, now, pids: vec![0; MAX_JOBS], last: 100 };
        new.reload(count, "nice 0");
        assert_eq!(new.pids.iter().filter(|&&pid| pid > 0).count(), count);
        new
    }

    /// Reads a file of so many jobs, each with these lines.
    fn reload(&mut self, count: usize, lines: &str) {
        let job = |n| format!("job {{\n name job{n}\n cmd /bin/sleep 1000\n {lines}\n}}\n");
        let text: String = (0..count).map(job).collect();
        config::parse(text.as_bytes(), self.machine.standby(), &mut |_| ()).expect("a good file");
        self.tell(Event::Reloaded);
    }

    fn tell(&mut self, event: Event) {
        self.machine.handle(self.now, event);
        while let Some(action) = self.machine.poll(self.now) {
            match action {
                Action::Spawn { job } => {
                    self.last += 1;
                    self.pids[job.slot()] = self.last;
                    self.machine.handle(self.now, Event::Spawned { job, pid: self.last });
                }
                Action::Signal { pid, .. } => self.end(pid),
                Action::EndSession { .. } | Action::LeaveSession { .. } => unreachable!(),
                Action::Look { .. } | Action::Exit => unreachable!(),
            }
        }
    }

    fn end(&mut self, pid: i32) {
        let status = ExitStatus::Code(0);
        self.machine.handle(self.now, Event::Exited { pid, status, is_alone: true });
    }
}

/// The processor time that one of `count` events costs this thread: the least of some rounds.
fn cost(count: usize, mut round: impl FnMut()) -> Duration {
    let used = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
    let mut once = || {
        let before = used();
        round();
        used() - before
    };
    (0..8).map(|_| once()).min().unwrap() / count as u32
}

/// Measures with few and with many jobs.
#[track_caller]
fn does_not_grow(what: &str, measure: impl Fn(Running, usize) -> Duration) {
    let [few, many] = [FEW, MANY].map(|count| measure(Running::with(count), count));
    println!("{what}: {few:?} with {FEW} jobs, {many:?} with {MANY}");
    assert!(many < few * AT_MOST, "{what}: {few:?} with {FEW} jobs, {many:?} with {MANY}");
}

#[test]
fn an_exit_and_the_start_after_it_cost_the_same_with_many_jobs() {
    does_not_grow("an exit and a start", |mut w, count| {
        cost(1000, || {
            for n in 0..1000 {
                w.now = w.now + Duration::from_secs(20);
                let pid = w.pids[n * 7 % count];
                w.tell(Event::Exited { pid, status: ExitStatus::Code(0), is_alone: true });
            }
        })
    });
}

#[test]
fn a_job_is_found_and_taken_down_and_up_at_the_same_cost_with_many_jobs() {
    does_not_grow("a command", |mut w, count| {
        let names: Vec<String> = (0..count).map(|n| format!("job{n}")).collect();
        cost(1000, || {
            for name in names.iter().cycle().take(1000) {
                w.now = w.now + Duration::from_secs(20);
                let position = w.machine.config().find(name.as_bytes()).expect("a job");
                let job = w.machine.job_at(position).expect("a job");
                w.tell(Event::Disable { job });
                w.tell(Event::Enable { job });
            }
        })
    });
}

#[test]
fn a_reload_that_changes_all_jobs_costs_each_of_many_the_same() {
    does_not_grow("a changed job", |mut w, count| {
        let mut nice = 0;
        cost(count, || {
            nice = 1 - nice;
            w.now = w.now + Duration::from_secs(20);
            w.reload(count, &format!("nice {nice}"));
        })
    });
}
