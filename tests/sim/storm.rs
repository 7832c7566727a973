//! A storm: configurations, reloads good and bad, exits, failures, control, changed files,
//! late timers, and a shutdown at the end, as the dice have it; the oracle reads along.

use std::collections::BTreeMap;
use std::time::Duration;

use pmtr::limits::MAX_JOBS;
use pmtr::supervise::{ExitStatus, Stage};
use pmtr::time::Instant;

use crate::dice::Dice;
use crate::oracle::{Oracle, Spec};
use crate::world::{secs, Entry, What, World};

const NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
const FILES: [&str; 3] = ["/etc/x", "/etc/y", "/etc/z"];

/// So many steps of a storm a shutdown takes at most.
const MOST_STEPS_TO_LEAVE: u64 = 1000;

/// A world in a storm.
pub struct Storm {
    pub world: World,
    oracle: Oracle,
    /// How much of the history the oracle has read.
    read: usize,
    dice: Dice,
    /// What will happen in the world: at a time, and in an order.
    agenda: BTreeMap<(Instant, u64), Plan>,
    plans: u64,
    /// The jobs of the live configuration.
    specs: Vec<Spec>,
    versions: u32,
    /// Chance of their own, so that a storm without refused reloads is the same storm.
    refusals: Option<Dice>,
    is_calm: bool,
}

#[derive(Clone, Copy, Debug)]
enum Plan {
    FailExec(i32, Stage),
    End(i32, ExitStatus),
    SessionGoes(i32),
}

impl Storm {
    /// One in which files with errors come when the dice `refusals` say so.
    pub fn new(dice: Dice, refusals: Option<Dice>) -> Storm {
        let mut storm = Storm {
            world: World::new(),
            oracle: Oracle::new(),
            read: 0,
            dice,
            agenda: BTreeMap::new(),
            plans: 0,
            specs: Vec::new(),
            versions: 0,
            refusals,
            is_calm: false,
        };
        storm.world.files = FILES.iter().map(|&file| (file.to_string(), 0)).collect();
        storm.write_anew();
        storm.reload();
        storm
    }

    /// Whether all that was chosen for it has happened; chance has no end.
    #[allow(dead_code)]
    pub fn is_over(&self) -> bool {
        self.dice.is_chance()
    }

    // The course of a storm.

    /// So many steps.
    pub fn rage(&mut self, steps: u64) {
        for _ in 0..steps {
            if self.dice.percent(10) {
                self.rage_unheard();
            } else {
                self.step();
            }
        }
    }

    /// Several things happen before the machine is asked again.
    fn rage_unheard(&mut self) {
        self.world.is_asleep = true;
        for _ in 0..2 + self.dice.below(4) {
            self.strike();
        }
        self.world.wake();
        self.look_on();
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..=49 => self.go_on(),
            50..=55 => {
                let ms = self.dice.below(3_000);
                self.go_on_until(self.world.now() + Duration::from_millis(ms));
            }
            56..=59 => self.sleep(),
            _ => self.strike(),
        }
    }

    /// Something happens that nobody planned.
    fn strike(&mut self) {
        match self.dice.below(100) {
            0..=24 => {
                self.edit();
                self.reload();
            }
            25..=34 => self.refuse(),
            35..=44 => self.world.enable(self.dice.pick(&NAMES)),
            45..=54 => self.world.disable(self.dice.pick(&NAMES)),
            55..=74 => self.change_file(),
            75..=79 => self.end_orphan(),
            80..=84 => self.world.forks_fail ^= true,
            _ => self.end_any(),
        }
        self.look_on();
    }

    /// The faults are over: then all that is to run runs, and soon there is nothing to do.
    pub fn settle(&mut self) {
        self.is_calm = true;
        self.world.forks_fail = false;
        for file in FILES {
            if !self.world.files.contains_key(file) {
                self.world.change_file(file, Some(0));
            }
        }
        self.look_on();
        self.agenda.clear();
        self.calm_all();
        self.go_on_until(self.world.now() + secs(120));
        for spec in &self.specs {
            let is_steady = !spec.wait && spec.bounce_every.is_none();
            let runs = self.world.processes.values().any(|name| *name == spec.name);
            if is_steady && self.oracle.is_wanted(&spec.name) && !runs {
                self.world.fail(&format!("{} does not run after the storm", spec.name));
            }
        }
        let is_steady = |spec: &Spec| !spec.wait && spec.bounce_every.is_none();
        if self.specs.iter().all(is_steady) && self.world.machine().next_deadline().is_some() {
            self.world.fail("there is a deadline, but all is well");
        }
    }

    fn calm_all(&mut self) {
        for pid in self.world.processes.keys().copied().collect::<Vec<_>>() {
            self.plan_fate(pid);
            if self.oracle.is_to_end(pid) {
                self.plan(secs(1), Plan::End(pid, ExitStatus::Signal(9)));
            }
        }
        for sid in self.world.sessions.iter().copied().collect::<Vec<_>>() {
            self.plan(secs(1), Plan::SessionGoes(sid));
        }
    }

    /// pmtr is told to leave, and leaves.
    pub fn shut_down(&mut self) {
        self.world.shut_down(15);
        self.look_on();
        // Steps and not seconds: late timers may let a year pass, but have few steps to do.
        for _ in 0..MOST_STEPS_TO_LEAVE {
            if !self.oracle.has_left() {
                self.step();
            }
        }
        if !self.oracle.has_left() {
            self.world.fail("pmtr does not leave");
        }
        for _ in 0..20 {
            self.step();
        }
        if let Some(until) = self.world.machine().next_deadline() {
            self.world.fail(&format!("pmtr has left, but has a deadline: {until:?}"));
        }
    }

    // The clock.

    /// Goes to the next time at which something is planned or due.
    fn go_on(&mut self) {
        let due = self.world.machine().next_deadline();
        let planned = self.agenda.keys().next().map(|&(at, _)| at);
        match [due, planned].into_iter().flatten().min() {
            Some(at) => self.go_to(at),
            None => self.go_to(self.world.now() + secs(1)),
        }
    }

    fn go_on_until(&mut self, end: Instant) {
        loop {
            let due = self.world.machine().next_deadline();
            let planned = self.agenda.keys().next().map(|&(at, _)| at);
            match [due, planned].into_iter().flatten().min().filter(|&at| at <= end) {
                Some(at) => self.go_to(at),
                None => return self.go_to(end),
            }
        }
    }

    /// The machine, or the whole device, sleeps: the timer comes late.
    fn sleep(&mut self) {
        let nap = self.dice.pick(&[1, 9, 60, 3600, 30 * 86_400]);
        self.go_to(self.world.now() + secs(nap));
    }

    /// What is planned for this time happens before the timer, or after it.
    fn go_to(&mut self, at: Instant) {
        let at = at.max(self.world.now());
        self.world.is_asleep = self.dice.percent(50);
        self.world.move_to(at);
        self.look_on();
        while let Some((&key, &plan)) =
            self.agenda.iter().next().filter(|((when, _), _)| *when <= at)
        {
            self.agenda.remove(&key);
            self.carry_out(plan);
            self.look_on();
        }
        self.world.wake();
        self.look_on();
    }

    // What happens.

    fn plan(&mut self, delay: Duration, plan: Plan) {
        self.plans += 1;
        self.agenda.insert((self.world.now() + delay, self.plans), plan);
    }

    fn carry_out(&mut self, plan: Plan) {
        match plan {
            Plan::FailExec(pid, stage) if self.world.processes.contains_key(&pid) => {
                self.world.fail_exec(pid, stage);
            }
            Plan::End(pid, status) if self.world.processes.contains_key(&pid) => {
                self.end(pid, status);
            }
            Plan::SessionGoes(sid) => {
                if self.world.sessions.remove(&sid) && self.dice.percent(50) {
                    self.reuse(sid);
                }
            }
            Plan::FailExec(..) | Plan::End(..) => {}
        }
    }

    /// A process ends; now and then others of its session stay.
    fn end(&mut self, pid: i32, status: ExitStatus) {
        if self.dice.percent(25) && !self.is_calm {
            self.world.sessions.insert(pid);
            let delay = [0, 1, 5, 900, 9_000, 11_000, 40_000];
            let delay = Duration::from_millis(self.dice.pick(&delay));
            self.plan(delay, Plan::SessionGoes(pid));
        } else if self.dice.percent(25) {
            self.world.end(pid, status);
            return self.reuse(pid);
        }
        self.world.end(pid, status);
    }

    /// The kernel hands a free number out again.
    fn reuse(&mut self, number: i32) {
        let world = &mut self.world;
        let is_taken = world.processes.contains_key(&number) || world.sessions.contains(&number);
        if !is_taken && !world.numbers.contains(&number) {
            world.numbers.push(number);
        }
    }

    fn end_any(&mut self) {
        let pids: Vec<i32> = self.world.processes.keys().copied().collect();
        if !pids.is_empty() {
            let (pid, status) = (self.dice.pick(&pids), self.status());
            self.end(pid, status);
        }
    }

    /// An adopted process ends, which may have a number that a job had once.
    fn end_orphan(&mut self) {
        let number = 101 + self.dice.below(self.read as u64 / 10 + 1) as i32;
        let is_jobs = self.world.processes.contains_key(&number);
        // Nobody else has the number of a zombie that is kept.
        if !is_jobs && !self.world.machine().keeps(number) {
            self.world.end_orphan(number);
        }
    }

    fn status(&mut self) -> ExitStatus {
        let codes = [0, 1, 127].map(ExitStatus::Code);
        let signals = [1, 9, 11, 15, 33, 34].map(ExitStatus::Signal);
        match self.dice.below(100) {
            0..=7 => ExitStatus::Code(33),
            8..=69 => self.dice.pick(&codes),
            _ => self.dice.pick(&signals),
        }
    }

    fn change_file(&mut self) {
        let file = self.dice.pick(&FILES);
        let content = self.dice.percent(70).then(|| self.dice.below(3));
        self.world.change_file(file, content);
    }

    // The processes, as the machine makes and signals them.

    /// The oracle reads what happened, and the processes answer to it.
    fn look_on(&mut self) {
        while let Some(entry) = self.world.history.get(self.read).cloned() {
            self.read += 1;
            if let Err(complaint) = self.oracle.read(&entry) {
                let happened = self.world.history.split_off(self.read);
                drop(happened);
                self.world.fail(&complaint);
            }
            self.answer(&entry);
        }
    }

    fn answer(&mut self, entry: &Entry) {
        match &entry.what {
            What::Spawned { pid, .. } => self.plan_fate(*pid),
            What::Termed { pid, .. } => self.answer_term(*pid),
            What::Killed { pid, .. } => self.answer_kill(*pid),
            _ => {}
        }
    }

    fn plan_fate(&mut self, pid: i32) {
        if self.is_calm {
            let name = &self.world.processes[&pid];
            if self.specs.iter().any(|spec| spec.name == *name && spec.wait) {
                self.plan(secs(1), Plan::End(pid, ExitStatus::Code(0)));
            }
            return;
        }
        let status = self.status();
        let ms = match self.dice.below(100) {
            0..=14 => {
                let stage = self.dice.pick(&Stage::ALL);
                let ms = self.dice.below(2_000);
                self.plan(Duration::from_millis(ms), Plan::FailExec(pid, stage));
                ms + self.dice.below(2) * 500
            }
            15..=49 => self.dice.below(12_000),
            50..=59 => self.dice.pick(&[0, 9_999, 10_000, 10_001]),
            60..=89 => self.dice.below(600_000),
            _ => return,
        };
        self.plan(Duration::from_millis(ms), Plan::End(pid, status));
    }

    fn answer_term(&mut self, pid: i32) {
        let status = if self.dice.percent(50) { ExitStatus::Signal(15) } else { self.status() };
        match self.dice.below(100) {
            _ if self.is_calm => self.plan(secs(1), Plan::End(pid, status)),
            0..=59 => {
                let ms = self.dice.below(9_000);
                self.plan(Duration::from_millis(ms), Plan::End(pid, status));
            }
            60..=69 => self.plan(secs(10), Plan::End(pid, status)),
            _ => {}
        }
    }

    fn answer_kill(&mut self, pid: i32) {
        let status = ExitStatus::Signal(9);
        match self.dice.below(100) {
            _ if self.is_calm => self.plan(secs(0), Plan::End(pid, status)),
            0..=64 => {
                let ms = self.dice.below(1_000);
                self.plan(Duration::from_millis(ms), Plan::End(pid, status));
            }
            65..=89 => {
                let delay = secs(5 + self.dice.below(60));
                self.plan(delay, Plan::End(pid, status));
            }
            _ => {}
        }
    }

    // The file.

    fn reload(&mut self) {
        self.oracle.files.push_back(self.specs.clone());
        self.world.reload(&text(&self.specs));
        self.look_on();
    }

    /// A file with an error, which changes nothing.
    fn refuse(&mut self) {
        let Some(dice) = &mut self.refusals else { return };
        let mut specs = self.specs.clone();
        specs.retain(|_| dice.percent(70));
        let mut text = text(&specs);
        match dice.below(3) {
            0 => text += "job {\n",
            1 => text = text.replacen("cmd", "comand", 1) + "}\n",
            _ => text.insert_str(0, "nonsense\n"),
        }
        let before = self.world.fingerprint();
        if self.world.parse(&text) {
            self.world.fail(&format!("a bad configuration is taken:\n{text}"));
        }
        if self.world.fingerprint() != before {
            self.world.fail("a refused configuration has changed something");
        }
    }

    fn edit(&mut self) {
        if self.dice.percent(10) {
            return self.write_anew();
        }
        for _ in 0..1 + self.dice.below(4) {
            self.edit_once();
        }
    }

    /// A file that has little to do with the one before.
    fn write_anew(&mut self) {
        self.specs.clear();
        for _ in 0..self.dice.below(NAMES.len() as u64 + 3) {
            self.add();
        }
    }

    fn edit_once(&mut self) {
        let len = self.specs.len() as u64;
        match self.dice.below(100) {
            0..=24 => self.add(),
            _ if len == 0 => {}
            25..=39 => drop(self.specs.remove(self.dice.below(len) as usize)),
            40..=49 => {
                let (a, b) = (self.dice.below(len), self.dice.below(len));
                self.specs.swap(a as usize, b as usize);
            }
            50..=84 => {
                let at = self.dice.below(len) as usize;
                self.specs[at] = self.spec(self.specs[at].name.clone());
            }
            85..=94 => {
                let at = self.dice.below(len) as usize;
                self.specs[at].disable ^= true;
            }
            _ => {}
        }
    }

    fn add(&mut self) {
        let name = self.dice.pick(&NAMES);
        let is_new = self.specs.iter().all(|spec| spec.name != name);
        if is_new && self.specs.len() < MAX_JOBS {
            let spec = self.spec(name.into());
            let at = self.dice.below(self.specs.len() as u64 + 1) as usize;
            self.specs.insert(at, spec);
        }
    }

    fn spec(&mut self, name: String) -> Spec {
        self.versions += 1;
        let dice = &mut self.dice;
        let depends = FILES.iter().filter(|_| dice.percent(20)).map(|file| file.to_string());
        let depends = depends.collect();
        let every = [1, 5, 10, 15, 60, 3600];
        Spec {
            name,
            version: self.versions,
            order: if dice.percent(20) { dice.below(5) as i32 - 2 } else { 0 },
            wait: dice.percent(20),
            once: dice.percent(20),
            disable: dice.percent(10),
            bounce_every: dice.percent(20).then(|| dice.pick(&every)),
            depends,
        }
    }
}

fn text(specs: &[Spec]) -> String {
    specs.iter().map(job_text).collect()
}

fn job_text(spec: &Spec) -> String {
    let Spec { name, version, order, .. } = spec;
    let mut text =
        format!("job {{\nname {name}\ncmd /bin/{name}\nenv V={version}\norder {order}\n");
    for (is_so, word) in [(spec.wait, "wait"), (spec.once, "once"), (spec.disable, "disable")] {
        text += if is_so { word } else { "" };
        text += "\n";
    }
    if let Some(every) = spec.bounce_every {
        text += &format!("bounce every {every}s\n");
    }
    if !spec.depends.is_empty() {
        text += &format!("depends {{\n{}\n}}\n", spec.depends.join("\n"));
    }
    text + "}\n"
}
