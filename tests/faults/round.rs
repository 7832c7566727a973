//! What a pmtr goes through while one of its calls fails.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

use crate::common::udp::{own_address, Collector};
use crate::common::{alive, children_of, eventually, job, process, save, World, LONG};
use crate::trace::Trace;

const PORT: u16 = 4321;

/// A pmtr with a job of each kind.
pub struct Round {
    pub world: World,
    address: Ipv4Addr,
    reports: Collector,
    control: UdpSocket,
    /// The job that nothing happens to.
    steady: i32,
    version: u16,
    was: (i32, i32),
}

impl Round {
    pub fn start() -> Round {
        let address = own_address();
        let (reports, control) = (Collector::at(address), UdpSocket::bind((address, 0)).unwrap());
        let world = World::new();
        for version in 0..2 {
            fs::create_dir(world.path(&format!("v{version}"))).unwrap();
            world.file(&format!("v{version}/depends"), &version.to_string());
        }
        for link in ["current0", "current1"] {
            symlink("v0", world.path(link)).unwrap();
        }
        world.script("end", "exit 3");
        world.script("talk", "for n in 1 2 3 4 5 6 7 8 9; do echo $1 $n; done\nexec sleep 1000");
        let mut round =
            Round { world, address, reports, control, steady: 0, version: 0, was: (0, 0) };
        round.world.config(&round.jobs());
        round.world.start();
        round.steady = round.world.running("steady");
        for name in ["changed", "depends0", "depends1", "toggled"] {
            round.world.running(name);
        }
        round.world.exited("ends");
        round.world.fence();
        round
    }

    fn jobs(&self) -> String {
        let Round { address, version, .. } = self;
        // The listener's place in the file changes.
        let mut udp = [
            format!("report to {}\n", self.reports.url()),
            format!("listen on udp://{address}:{PORT}\n"),
            format!("listen on udp://{address}:{}\n", PORT + 1 + version),
        ];
        udp.rotate_left(usize::from(*version) % 3);
        udp.concat()
            + &job("steady", "cmd /bin/sleep 1000")
            + &job("changed", &format!("cmd $DIR/talk round-{version}"))
            + &job("ends", &format!("cmd $DIR/end round-{version}\n  once"))
            + &depends(0)
            + &depends(1)
            + &job("toggled", "cmd /bin/sleep 1000")
            + &job("quiet", "cmd /bin/sleep 1000\n  out $DIR/out\n  err $DIR/err")
    }

    /// Everything that can happen; fails if something of it does not.
    pub fn go(&mut self) {
        self.change_files();
        self.see_files_changed();
        self.world.syslog().stall();
        self.change_files();
        eventually("more lines than a socket takes", || self.is_talking());
        self.world.syslog().resume();
        self.see_files_changed();
        self.obey();
        self.refuse();
        self.world.syslog().close();
        self.world.signal(Signal::SIGHUP);
        self.world.syslog().open();
        self.is_whole();
    }

    /// Edits the configuration, and what a job depends on.
    pub fn change_files(&mut self) {
        self.version += 1;
        self.was = (self.world.pid_of("changed"), self.world.pid_of(&self.dependent()));
        let how = if self.version % 2 == 0 { save::in_place } else { save::by_rename };
        self.world.save(how, &self.jobs());
        let new = self.world.path("new");
        let (link, target) = (self.version % 2, self.version.div_ceil(2) % 2);
        symlink(format!("v{target}"), &new).unwrap();
        fs::rename(new, self.world.path(&format!("current{link}"))).unwrap();
    }

    /// The job whose file is changed in this version: a job that a file has restarted is not
    /// restarted by it again for ten seconds.
    fn dependent(&self) -> String {
        format!("depends{}", self.version % 2)
    }

    fn is_talking(&self) -> bool {
        let round = format!("round-{}", self.version);
        let children = children_of(self.world.pid());
        children.iter().any(|&pid| process::words(pid).contains(&round)) || !alive(self.was.0)
    }

    pub fn see_files_changed(&self) {
        let log = self.world.log();
        let start = |name: &str, pid: i32| {
            let old = log.within(LONG).wait_for(&format!("started job {name} [{pid}]"));
            log.within(LONG).wait_after(&old, &format!("started job {name} ["));
        };
        start("changed", self.was.0);
        start(&self.dependent(), self.was.1);
        // By itself, once more in each version.
        log.within(LONG).wait_nth("exit status 3", usize::from(self.version) + 1);
        log.within(LONG).wait_line("changed", &format!("round-{} 9", self.version));
    }

    pub fn send(&self, command: &str) {
        self.control.send_to(command.as_bytes(), (self.address, PORT)).unwrap();
    }

    /// Has pmtr refuse a file, and take one again.
    fn refuse(&self) {
        let log = self.world.log();
        self.world.config(&(self.jobs() + "nonsense\n"));
        log.within(LONG).wait_for("unknown option 'nonsense'");
        log.within(LONG).wait_for("using PREVIOUS job config");
        let before = log.own("rescanning").len();
        self.world.config(&self.jobs());
        log.within(LONG).wait_nth("rescanning", before + 1);
        // All is done and told: what a syslog daemon has not read it loses when it ends.
        self.send("enable nobody");
        log.within(LONG).wait_for("control msg for unknown job nobody");
    }

    /// Sends commands, and waits for what comes of them.
    fn obey(&self) {
        let log = self.world.log();
        let before = self.world.starts("toggled");
        self.send("disable toggled");
        log.within(LONG).wait_for("disabling toggled");
        self.reports.wait_line("toggled d 0 0 /bin/sleep");
        self.send("enable toggled");
        log.within(LONG).wait_nth("started job toggled [", before + 1);
        self.reports.wait_line("toggled e # # /bin/sleep");
    }

    /// All jobs run, each once, and the one that nobody has touched is the same.
    fn is_whole(&self) {
        let names = ["steady", "changed", "depends0", "depends1", "toggled", "quiet"];
        eventually("five jobs that run", || {
            let mut expected: Vec<i32> = names.map(|name| self.world.pid_of(name)).into();
            let mut found = children_of(self.world.pid());
            expected.sort_unstable();
            found.sort_unstable();
            found == expected && found.iter().all(|&pid| alive(pid))
        });
        assert_eq!(self.world.pid_of("steady"), self.steady);
        self.world.fence();
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let trace = read(&self.world);
            let last = &trace.calls[trace.calls.len().saturating_sub(60)..];
            eprintln!("made to fail: {:#?}\nthe last calls: {last:#?}", trace.injected);
        }
    }
}

/// A strace that has taken hold of pmtr.
pub fn attached(world: &World, inject: Option<&str>) -> Child {
    let mut command = Command::new("strace");
    command.args(["-q", "-yy", "-s", "256", "-o"]).arg(world.path("trace"));
    if let Some(inject) = inject {
        command.args(["-e", inject]);
    }
    let pid = world.pid();
    let errors = fs::File::create(world.path("strace.err")).unwrap();
    let child = command.args(["-p", &pid.to_string()]).stdin(Stdio::null()).stderr(errors).spawn();
    // It has written of pmtr's waiting for it to be interrupted.
    eventually("strace", || !world.read("trace").is_empty());
    child.unwrap()
}

/// What a strace has seen whose pmtr has ended.
pub fn finish(world: &World, mut strace: Child) -> Trace {
    strace.wait().unwrap();
    read(world)
}

/// Lets pmtr go; what the strace has seen so far.
pub fn detach(world: &World, mut strace: Child) -> Trace {
    kill(Pid::from_raw(strace.id() as i32), Signal::SIGTERM).unwrap();
    strace.wait().unwrap();
    read(world)
}

fn read(world: &World) -> Trace {
    Trace::parse(&world.read("trace"), world.path("").to_str().unwrap().trim_end_matches('/'))
}

/// A job that depends on a file behind a link.
fn depends(link: u16) -> String {
    let block = format!("depends {{\n    $DIR/current{link}/depends\n  }}");
    job(&format!("depends{link}"), &format!("cmd /bin/sleep 1000\n  {block}"))
}
