//! Servers and editors from Debian, as users run them: six jobs on loopback
//! ports, killed, and their file edited with vim, nano and sed while they run.
//!
//! A test whose programs are missing is skipped, and says so; `ci/real-programs`
//! sees to it that none is.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{alive, children_of, patiently, process, World, LONG};
use nix::sys::signal::{kill, killpg, Signal};
use nix::unistd::{geteuid, Pid};

const NGINX: &str = "/usr/sbin/nginx";
const REDIS: &str = "/usr/bin/redis-server";
const PYTHON: &str = "/usr/bin/python3";
const BUSYBOX: &str = "/bin/busybox";
const DROPBEAR: &str = "/usr/sbin/dropbear";
const DROPBEARKEY: &str = "/usr/bin/dropbearkey";
const VIM: &str = "/usr/bin/vim";
const NANO: &str = "/usr/bin/nano";
const SED: &str = "/bin/sed";
const SCRIPT: &str = "/usr/bin/script";

const SERVERS: [&str; 6] = [NGINX, REDIS, PYTHON, BUSYBOX, DROPBEAR, DROPBEARKEY];
const EDITORS: [&str; 4] = [VIM, NANO, SED, SCRIPT];

#[test]
fn servers_come_back_as_they_were_when_they_are_killed() {
    if lacks("servers_come_back_as_they_were_when_they_are_killed", &SERVERS) {
        return;
    }
    let site = Site::start();
    let before = site.jobs();
    for job in &before {
        // nginx's workers and the members of the pipeline too: what a job that
        // ends by itself leaves behind is not pmtr's to end.
        killpg(Pid::from_raw(job.pid), Signal::SIGKILL).unwrap();
    }
    for old in &before {
        let new = site.restarted(old);
        patiently(LONG, "the same command line", || (words(new) == old.words).then_some(()));
    }
    site.answers();
}

#[test]
fn an_edit_restarts_the_changed_server_and_no_other() {
    let programs = [&SERVERS[..], &EDITORS[..]].concat();
    if lacks("an_edit_restarts_the_changed_server_and_no_other", &programs) {
        return;
    }
    let site = Site::start();
    let unchanged = site.jobs_but("httpd");
    let editors = [vim_by_rename, vim_in_place, nano, sed_in_place];
    for (edit, page) in editors.iter().zip(2..) {
        let old = site.world.pid_of("httpd");
        edit(&site.world.config_file(), &format!("page-{}", page - 1), &format!("page-{page}"));
        site.restarted_at_once("httpd", old);
        site.httpd_serves(page);
        assert_eq!(site.jobs_but("httpd"), unchanged, "after the edit to page {page}");
    }
    site.answers();
}

#[test]
fn sigterm_ends_every_process_of_every_server() {
    if lacks("sigterm_ends_every_process_of_every_server", &SERVERS) {
        return;
    }
    let mut site = Site::start();
    let all = descendants(site.world.pid());
    assert!(all.len() >= 8, "a worker of nginx and a pipeline are among {all:?}");
    assert_eq!(site.world.stop(), Some(0));
    let left: Vec<i32> = all.into_iter().filter(|&pid| alive(pid)).collect();
    assert!(left.is_empty(), "still running: {left:?}");
    assert_eq!(site.world.processes(), []);
    for server in &site.servers {
        TcpListener::bind(("127.0.0.1", server.port)).expect(server.name);
    }
}

/// Whether one of the programs is missing; says which.
fn lacks(test: &str, programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| !Path::new(program).exists());
    if let Some(program) = missing {
        eprintln!("skipped: {test}: no {program}");
    }
    missing.is_some() || common::skipped(test)
}

/// A pmtr with five servers and a pipeline, which have all answered.
struct Site {
    world: World,
    servers: [Server; 5],
}

/// What a server says when it is asked.
struct Server {
    name: &'static str,
    port: u16,
    question: &'static str,
    answer: &'static str,
}

/// A job's process and what it was started as.
#[derive(Debug, PartialEq)]
struct Job {
    name: &'static str,
    pid: i32,
    words: Vec<String>,
}

const GET: &str = "GET / HTTP/1.0\r\n\r\n";

impl Site {
    fn start() -> Site {
        let mut site = Site {
            world: World::new(),
            servers: [
                Server { name: "nginx", port: 0, question: GET, answer: "nginx says hello" },
                Server { name: "redis", port: 0, question: "PING\r\n", answer: "+PONG" },
                Server { name: "python", port: 0, question: GET, answer: "python says hello" },
                Server { name: "httpd", port: 0, question: GET, answer: "this is page" },
                Server { name: "dropbear", port: 0, question: "", answer: "SSH-2.0-dropbear" },
            ],
        };
        choose_ports(&mut site.servers);
        site.write_files();
        site.world.config(&site.configuration());
        site.world.start();
        site.answers();
        site
    }

    fn write_files(&self) {
        let user = if geteuid().is_root() { "user root;" } else { "" };
        let listen = format!("listen 127.0.0.1:{};", self.port("nginx"));
        self.world.file("nginx.conf", &format!("{user}\n{NGINX_CONF}").replace("LISTEN", &listen));
        self.page("python", "python says hello");
        for n in 1..=5 {
            self.page(&format!("page-{n}"), &format!("this is page {n}"));
        }
        let mut key = Command::new(DROPBEARKEY);
        key.args(["-t", "ed25519", "-f"]).arg(self.world.path("key"));
        assert!(quiet(&mut key).status().unwrap().success(), "dropbearkey");
    }

    fn page(&self, directory: &str, text: &str) {
        std::fs::create_dir(self.world.path(directory)).unwrap();
        self.world.file(&format!("{directory}/index.html"), text);
    }

    fn configuration(&self) -> String {
        let ports = ["redis", "python", "httpd", "dropbear"].map(|name| (name, self.port(name)));
        let text = ports.iter().fold(PMTR_CONF.to_string(), |text, (name, port)| {
            text.replace(&format!("PORT-OF-{name}"), &port.to_string())
        });
        let user = if geteuid().is_root() { "user nobody" } else { "" };
        text.replace("USER", user)
    }

    fn port(&self, name: &str) -> u16 {
        self.servers.iter().find(|server| server.name == name).unwrap().port
    }

    /// Waits until every server has answered and the pipeline has printed.
    #[track_caller]
    fn answers(&self) {
        for server in &self.servers {
            patiently(LONG, server.name, || server.answer().contains(server.answer).then_some(()));
        }
        patiently(LONG, "output of the pipeline", || {
            let pid = self.world.pid_of("pipeline");
            let log = self.world.log().all();
            let line = log.iter().find(|r| r.tag == "pipeline" && r.pid == pid && r.text == "BEAT");
            line.is_some().then_some(())
        });
    }

    #[track_caller]
    fn httpd_serves(&self, page: usize) {
        let httpd = self.servers.iter().find(|server| server.name == "httpd").unwrap();
        let text = format!("this is page {page}");
        patiently(LONG, &text, || httpd.answer().contains(&text).then_some(()));
    }

    fn jobs(&self) -> Vec<Job> {
        self.jobs_but("")
    }

    fn jobs_but(&self, other: &str) -> Vec<Job> {
        let names = self.servers.iter().map(|server| server.name).chain(["pipeline"]);
        let pid_and_words = |name| {
            let pid = self.world.running(name);
            Job { name, pid, words: words(pid) }
        };
        names.filter(|name| *name != other).map(pid_and_words).collect()
    }

    /// Waits until the job is started again after its early end; its new process.
    #[track_caller]
    fn restarted(&self, old: &Job) -> i32 {
        let log = self.world.log();
        let exit = log.wait_for(&format!("job {} [{}] exited", old.name, old.pid));
        log.within(LONG).wait_after(&exit, &format!("started job {} [", old.name)).job_pid()
    }

    #[track_caller]
    fn restarted_at_once(&self, job: &str, old: i32) {
        let new = self.world.restarted(job, old);
        assert_ne!(new, old);
        assert!(!alive(old), "{job} [{old}] was replaced, and is still there");
    }
}

/// Some servers overwrite the environment that processes are recognised by.
impl Drop for Site {
    fn drop(&mut self) {
        if !self.world.is_up() {
            return;
        }
        let pmtr = self.world.pid();
        for pid in [vec![pmtr], descendants(pmtr)].concat() {
            // It may have ended.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

impl Server {
    /// What it says, up to the answer that is expected; nothing if it is not there.
    fn answer(&self) -> String {
        let mut said = Vec::new();
        let _ = self.ask(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    }

    fn ask(&self, said: &mut Vec<u8>) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_millis(300)))?;
        stream.write_all(self.question.as_bytes())?;
        // Two of them keep the connection open: the time-out ends that.
        stream.read_to_end(said)?;
        Ok(())
    }
}

/// Gives every server a port that is free now. All are held until all are chosen.
fn choose_ports(servers: &mut [Server]) {
    let listeners: Vec<_> =
        servers.iter().map(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap()).collect();
    for (server, listener) in servers.iter_mut().zip(&listeners) {
        server.port = listener.local_addr().unwrap().port();
    }
}

fn words(pid: i32) -> Vec<String> {
    process::words(pid)
}

/// The children of a process, their children, and so on.
fn descendants(pid: i32) -> Vec<i32> {
    let children = children_of(pid);
    let below = children.iter().flat_map(|&child| descendants(child)).collect();
    [children.clone(), below].concat()
}

/// Writes a new file and renames it over the old one.
fn vim_by_rename(file: &Path, old: &str, new: &str) {
    vim("set backupcopy=no writebackup", file, old, new);
}

/// Writes into the file.
fn vim_in_place(file: &Path, old: &str, new: &str) {
    vim("set backupcopy=yes writebackup", file, old, new);
}

fn vim(setting: &str, file: &Path, old: &str, new: &str) {
    let mut vim = Command::new(VIM);
    vim.args(["-es", "-u", "NONE", "-N"]).arg(file);
    vim.args(["-c", setting, "-c", &format!("%s/{old}/{new}/"), "-c", "wq"]);
    assert!(quiet(&mut vim).status().unwrap().success(), "vim");
}

fn sed_in_place(file: &Path, old: &str, new: &str) {
    let mut sed = Command::new(SED);
    sed.args(["-i", &format!("s/{old}/{new}/")]).arg(file);
    assert!(quiet(&mut sed).status().unwrap().success(), "sed");
}

/// Types into nano, on a terminal that script(1) makes.
fn nano(file: &Path, old: &str, new: &str) {
    let mut script = Command::new(SCRIPT);
    script.args(["-qec", &format!("{NANO} -I {}", file.display()), "/dev/null"]);
    script.env("TERM", "xterm").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = script.spawn().unwrap();
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    read_until(&mut screen, b"Exit");
    // Replace (^\) all of them, write (^O), leave (^X).
    write!(keys, "\x1c{old}\r{new}\rA\x0f\r\x18").unwrap();
    screen.read_to_end(&mut Vec::new()).unwrap();
    assert!(child.wait().unwrap().success(), "nano");
}

/// Reads a terminal's output until it shows `word`.
fn read_until(screen: &mut impl Read, word: &[u8]) {
    let (mut shown, mut buffer) = (Vec::new(), [0; 4096]);
    while !shown.windows(word.len()).any(|part| part == word) {
        let len = screen.read(&mut buffer).unwrap();
        assert!(len > 0, "no {:?} on the screen", String::from_utf8_lossy(word));
        shown.extend_from_slice(&buffer[..len]);
    }
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

const NGINX_CONF: &str = "\
pid $DIR/nginx.pid;
worker_processes 1;
events { }
http {
  access_log off;
  client_body_temp_path $DIR/nginx-body;
  proxy_temp_path $DIR/nginx-proxy;
  fastcgi_temp_path $DIR/nginx-fastcgi;
  uwsgi_temp_path $DIR/nginx-uwsgi;
  scgi_temp_path $DIR/nginx-scgi;
  server { LISTEN return 200 'nginx says hello'; }
}
";

const PMTR_CONF: &str = "\
job {
  name nginx
  cmd /usr/sbin/nginx -e stderr -p $DIR -c $DIR/nginx.conf -g \"daemon off;\"
}
job {
  name redis
  dir /
  cmd /usr/bin/redis-server --bind 127.0.0.1 --port PORT-OF-redis --save \"\" --appendonly no
  USER
}
job {
  name python
  cmd /usr/bin/python3 -m http.server PORT-OF-python --bind 127.0.0.1 --directory $DIR/python
  env PYTHONUNBUFFERED=1
  USER
}
job {
  name httpd
  cmd /bin/busybox httpd -f -p 127.0.0.1:PORT-OF-httpd -h $DIR/page-1
  USER
}
job {
  name dropbear
  cmd /usr/sbin/dropbear -F -E -r $DIR/key -p 127.0.0.1:PORT-OF-dropbear -P $DIR/dropbear.pid
}
job {
  name pipeline
  cmd /bin/sh -c \"while :; do echo beat; sleep 1; done | sed -u s/beat/BEAT/\"
  USER
}
";
