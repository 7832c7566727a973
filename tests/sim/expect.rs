//! Scenarios that read like a log with a clock.
//!
//! Every start, every signal and the exit must be expected, in their order and at their time:
//! `w.at(12)` fails if something happened since the last time that nobody expected.

use std::time::Duration;

use pmtr::supervise::{ExitStatus, Stage};

use crate::world::{Entry, Seconds, What, World, BEGIN};

/// A world in which everything that happens must be expected.
pub struct Scenario {
    pub world: World,
    /// How much of the history was looked at.
    seen: usize,
}

/// Reads like a configuration: each line is `NAME`, or `NAME: OPTION, OPTION …`.
pub fn text(jobs: &[impl AsRef<str>]) -> String {
    jobs.iter().map(|line| job_text(line.as_ref())).collect()
}

fn job_text(line: &str) -> String {
    let (name, options) = line.split_once(": ").unwrap_or((line, ""));
    let options: String = options.split(", ").map(|option| format!("  {option}\n")).collect();
    format!("job {{\n  name {name}\n  cmd /bin/{name}\n{}}}\n", with_blocks(&options))
}

/// `depends A B` as the block that the language wants.
fn with_blocks(options: &str) -> String {
    let mut text = String::new();
    for line in options.lines() {
        match line.trim().strip_prefix("depends ") {
            Some(paths) => {
                let paths: String = paths.split(' ').map(|path| format!("    {path}\n")).collect();
                text += &format!("  depends {{\n{paths}  }}\n");
            }
            None => text += &format!("{line}\n"),
        }
    }
    text
}

/// Starts a world with these jobs at second 0.
pub fn with(jobs: &[&str]) -> Scenario {
    with_files(jobs, &[])
}

/// Starts a world with these jobs, and these files with some content.
pub fn with_files(jobs: &[&str], files: &[&str]) -> Scenario {
    with_text(&text(jobs), files)
}

/// Starts a world with this configuration, and these files with some content.
pub fn with_text(text: &str, files: &[&str]) -> Scenario {
    let mut s = Scenario { world: World::new(), seen: 0 };
    s.world.files = files.iter().map(|&path| (path.to_string(), 1)).collect();
    s.world.reload(text);
    s
}

impl Scenario {
    // The clock.

    /// Second `secs` since the beginning.
    #[track_caller]
    pub fn at(&mut self, secs: u64) -> &mut Self {
        self.at_ms(secs * 1000)
    }

    #[track_caller]
    pub fn at_ms(&mut self, ms: u64) -> &mut Self {
        let at = BEGIN + Duration::from_millis(ms);
        if at > self.world.now() {
            self.expect_nothing();
            self.world.pass_until(at);
        }
        self
    }

    /// Second `secs`, but the timer comes as late as that.
    #[track_caller]
    pub fn late_at(&mut self, secs: u64) -> &mut Self {
        self.expect_nothing();
        self.world.move_to(BEGIN + Duration::from_secs(secs));
        self
    }

    // What happens.

    pub fn exits(&mut self, name: &str, status: i32) -> &mut Self {
        let pid = self.pid(name);
        self.world.end(pid, ExitStatus::Code(status));
        self
    }

    pub fn dies(&mut self, name: &str, signal: i32) -> &mut Self {
        let pid = self.pid(name);
        self.world.end(pid, ExitStatus::Signal(signal));
        self
    }

    /// The process cannot become its program, which it says before it exits.
    pub fn fails(&mut self, name: &str, stage: Stage) -> &mut Self {
        let pid = self.pid(name);
        self.world.fail_exec(pid, stage);
        self
    }

    /// The first process exits, but others of its session stay.
    pub fn leaves_children(&mut self, name: &str) -> &mut Self {
        let pid = self.pid(name);
        self.world.sessions.insert(pid);
        self.dies(name, 15)
    }

    /// The last process of a session ends, unseen.
    pub fn session_goes(&mut self, sid: i32) -> &mut Self {
        assert!(self.world.sessions.remove(&sid), "there is such a session");
        self
    }

    pub fn reload(&mut self, jobs: &[&str]) -> &mut Self {
        self.world.reload(&text(jobs));
        self
    }

    /// Reads a file with this text.
    pub fn reload_text(&mut self, text: &str) -> &mut Self {
        self.world.reload(text);
        self
    }

    pub fn enable(&mut self, name: &str) -> &mut Self {
        self.world.enable(name);
        self
    }

    pub fn disable(&mut self, name: &str) -> &mut Self {
        self.world.disable(name);
        self
    }

    pub fn write(&mut self, path: &str, content: u64) -> &mut Self {
        self.world.change_file(path, Some(content));
        self
    }

    pub fn remove(&mut self, path: &str) -> &mut Self {
        self.world.change_file(path, None);
        self
    }

    pub fn shut_down(&mut self, signal: i32) -> &mut Self {
        self.world.shut_down(signal);
        self
    }

    /// Several things happen before the machine is asked what it wants.
    pub fn at_once(&mut self, things: impl FnOnce(&mut Self)) -> &mut Self {
        self.world.is_asleep = true;
        things(self);
        self.world.wake();
        self
    }

    // What is expected.

    #[track_caller]
    pub fn expect_spawn(&mut self, name: &str) -> &mut Self {
        self.expect(&format!("spawn {name}"))
    }

    /// Starts, in this order.
    #[track_caller]
    pub fn expect_spawns(&mut self, names: &[impl AsRef<str>]) -> &mut Self {
        for name in names {
            self.expect_spawn(name.as_ref());
        }
        self
    }

    #[track_caller]
    pub fn expect_failed_spawn(&mut self, name: &str) -> &mut Self {
        self.expect(&format!("failed spawn {name}"))
    }

    #[track_caller]
    pub fn expect_term(&mut self, name: &str) -> &mut Self {
        self.expect(&format!("SIGTERM {name}"))
    }

    #[track_caller]
    pub fn expect_kill(&mut self, name: &str) -> &mut Self {
        self.expect(&format!("SIGKILL {name}"))
    }

    /// SIGTERM to what is left of the job's session.
    #[track_caller]
    pub fn expect_session_term(&mut self, name: &str) -> &mut Self {
        self.expect(&format!("SIGTERM to the session of {name}"))
    }

    /// SIGKILL to what is left of the job's session.
    #[track_caller]
    pub fn expect_session_kill(&mut self, name: &str) -> &mut Self {
        self.expect(&format!("SIGKILL to the session of {name}"))
    }

    #[track_caller]
    pub fn expect_exit(&mut self) -> &mut Self {
        self.expect("exit")
    }

    #[track_caller]
    pub fn expect_nothing(&mut self) -> &mut Self {
        if let Some((at, found)) = self.next_seen() {
            self.world.fail(&format!("unexpected: {found}, at {}", Seconds(at)));
        }
        self
    }

    /// Whatever happened so far is none of this scenario's business.
    pub fn skip(&mut self) -> &mut Self {
        self.seen = self.world.history.len();
        self
    }

    /// The log says exactly this now.
    #[track_caller]
    pub fn says(&mut self, sentence: &str) -> &mut Self {
        let now = self.world.now();
        let wanted = Entry { at: now, what: What::Said(sentence.into()) };
        if !self.world.history.contains(&wanted) {
            self.world.fail(&format!("the log does not say: {sentence}"));
        }
        self
    }

    /// How many sentences of the log so far contain this.
    pub fn said(&self, part: &str) -> usize {
        let is_it = |entry: &&Entry| matches!(&entry.what, What::Said(s) if s.contains(part));
        self.world.history.iter().filter(is_it).count()
    }

    /// The last sentence of the log that contains this.
    #[track_caller]
    pub fn sentence(&self, part: &str) -> String {
        let mut sentences = self.world.history.iter().filter_map(|entry| match &entry.what {
            What::Said(sentence) if sentence.contains(part) => Some(sentence.clone()),
            _ => None,
        });
        sentences.next_back().unwrap_or_else(|| self.world.fail(&format!("the log has no {part}")))
    }

    pub fn session_kills(&self) -> usize {
        self.count(|what| matches!(what, What::SessionKilled { .. }))
    }

    pub fn failed_spawns(&self) -> usize {
        self.count(|what| matches!(what, What::SpawnFailed { .. }))
    }

    pub fn exits_asked(&self) -> usize {
        self.count(|what| matches!(what, What::Exit))
    }

    fn count(&self, is_it: impl Fn(&What) -> bool) -> usize {
        self.world.history.iter().filter(|entry| is_it(&entry.what)).count()
    }

    /// The process of a job.
    #[track_caller]
    pub fn pid(&self, name: &str) -> i32 {
        let found = self.world.processes.iter().find(|(_, job)| *job == name);
        *found.unwrap_or_else(|| self.world.fail(&format!("{name} has no process"))).0
    }

    /// The job has no process and nothing is due for it: only an event changes that.
    #[track_caller]
    pub fn expect_no_deadline(&mut self) -> &mut Self {
        if let Some(until) = self.world.machine().next_deadline() {
            self.world.fail(&format!("there is a deadline at {}", Seconds(until)));
        }
        self
    }

    #[track_caller]
    fn expect(&mut self, wanted: &str) -> &mut Self {
        let now = self.world.now();
        match self.next_seen() {
            Some((at, found)) if found == wanted && at == now => {}
            Some((at, found)) => self.world.fail(&format!(
                "expected: {wanted}, at {}; found: {found}, at {}",
                Seconds(now),
                Seconds(at)
            )),
            None => self.world.fail(&format!("expected: {wanted}; nothing happened")),
        }
        self
    }

    /// The next thing that must be expected.
    fn next_seen(&mut self) -> Option<(pmtr::time::Instant, String)> {
        while let Some(entry) = self.world.history.get(self.seen) {
            self.seen += 1;
            if let Some(found) = shown(&entry.what) {
                return Some((entry.at, found));
            }
        }
        None
    }
}

/// What must be expected, as text.
fn shown(what: &What) -> Option<String> {
    match what {
        What::Spawned { name, .. } => Some(format!("spawn {name}")),
        What::SpawnFailed { name } => Some(format!("failed spawn {name}")),
        What::Termed { name, .. } => Some(format!("SIGTERM {name}")),
        What::Killed { name, .. } => Some(format!("SIGKILL {name}")),
        What::SessionTermed { name, .. } => Some(format!("SIGTERM to the session of {name}")),
        What::SessionKilled { name, .. } => Some(format!("SIGKILL to the session of {name}")),
        What::Exit => Some("exit".into()),
        What::Reloaded | What::ExecFailed { .. } | What::Ended { .. } | What::Leaving => None,
        What::Enabled { .. } | What::Disabled { .. } | What::Depends { .. } => None,
        What::SessionGone { .. } | What::SessionChecked { .. } => None,
        What::Said(_) | What::Quiet { .. } => None,
    }
}

/// What happened last must have been expected, too.
impl Drop for Scenario {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.expect_nothing();
        }
    }
}
