//! What the tests of the log path stand on.

use crate::sealed::sealed;
use nix::fcntl::{fcntl, FcntlArg, OFlag};
use pmtr::name::Name;
use pmtr::sys::log::{Echo, Log, Setup};
use pmtr::sys::poll::{Poller, Ready, Token};
use pmtr::sys::streams::Streams;
use pmtr::time::Instant;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant as RealTime};

/// The process id in the tag of pmtr's own messages.
pub const PID: i32 = 77;

/// Something like syslogd: it binds the socket, and reads only when asked.
pub struct Receiver {
    socket: UnixDatagram,
}

impl Receiver {
    pub fn bind(path: &Path) -> Self {
        // As syslogd does when it starts.
        let _ = std::fs::remove_file(path);
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Receiver { socket }
    }

    /// All that has come until now, without priority and time.
    pub fn read(&self) -> Vec<String> {
        self.read_whole()
            .iter()
            .map(|record| record[record.find('>').unwrap() + 17..].to_string())
            .collect()
    }

    /// All that has come until now.
    pub fn read_whole(&self) -> Vec<String> {
        let mut bytes = [0; 10_000];
        let records = std::iter::from_fn(|| {
            self.socket.recv(&mut bytes).ok().map(|len| bytes[..len].to_vec())
        });
        records.map(|record| String::from_utf8(record).unwrap()).collect()
    }
}

/// A log with its socket's path, a table of streams, a poller and a clock.
pub struct World {
    pub log: Box<Log>,
    pub streams: Box<Streams>,
    pub poller: Poller,
    pub now: Instant,
    pub path: PathBuf,
    /// The last turn was not the end of it.
    pub more: bool,
    ready: Ready,
    _directory: tempfile::TempDir,
}

impl World {
    /// Nothing is started, and nobody listens yet.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        World {
            log: Box::new(Log::new()),
            streams: Box::new(Streams::new()),
            poller: Poller::new().unwrap(),
            now: Instant::from_secs(1000),
            path: directory.path().join("log"),
            more: false,
            ready: Ready::new(),
            _directory: directory,
        }
    }

    /// Somebody listens, and there is no stderr.
    pub fn with_syslog() -> (Self, Receiver) {
        let mut world = World::new();
        let receiver = world.listen();
        world.start(Echo::Off, std::io::stderr().as_fd());
        (world, receiver)
    }

    pub fn listen(&self) -> Receiver {
        Receiver::bind(&self.path)
    }

    /// syslogd ends, and leaves its socket file behind.
    pub fn kill(&self, receiver: Receiver) {
        let probe = UnixDatagram::unbound().unwrap();
        probe.set_nonblocking(true).unwrap();
        probe.connect(&self.path).unwrap();
        drop(receiver);
        // A process that another test is about to start may have a copy for a
        // moment yet: what is sent meanwhile would be lost in it.
        let start = RealTime::now();
        while !probe.send(b"").is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
            assert!(start.elapsed() < super::skip::stretched(20), "the socket does not go away");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(self.path.exists());
    }

    pub fn start(&mut self, echo: Echo, stderr: BorrowedFd<'_>) {
        let setup = Setup { socket: Some(self.path.clone()), echo, level: log::LevelFilter::Info };
        self.log.start(&setup, stderr, PID, self.now);
    }

    pub fn pass(&mut self, seconds: f64) {
        self.now = self.now + Duration::from_secs_f64(seconds);
    }

    pub fn say(&mut self, message: &str) {
        sealed(|| self.log.message(syslog::Severity::LOG_INFO, format_args!("{message}")));
    }

    pub fn line(&mut self, text: &str) -> bool {
        sealed(|| self.log.line(&Name::new(b"web"), 5, text.as_bytes()).is_ok())
    }

    /// Adds `line 0`, `line 1` … as long as they are taken; returns how many are. Sends nothing.
    pub fn fill(&mut self) -> usize {
        (0..).take_while(|number| self.line(&format!("line {number}"))).count()
    }

    pub fn flush(&mut self) {
        sealed(|| self.log.flush(self.now, Some(&self.poller)));
    }

    /// One turn of a loop as pmtr has it, without waiting; returns how many descriptors were ready.
    pub fn turn(&mut self) -> usize {
        let count = sealed(|| self.sealed_turn());
        self.flush();
        count
    }

    fn sealed_turn(&mut self) -> usize {
        let count = self.poller.wait(&mut self.ready, false).unwrap();
        for n in 0..count {
            match self.ready.token(n) {
                Token::Stream(row) => self.streams.readable(row),
                token => self.log.ready(token, self.now, &self.poller),
            }
        }
        self.more = self.streams.turn_with(&mut self.log, self.now, &self.poller);
        count
    }

    /// Turns until `done` returns something. That is called after every turn.
    pub fn until<T>(&mut self, mut done: impl FnMut(&mut World) -> Option<T>) -> T {
        let start = RealTime::now();
        loop {
            let ready = self.turn();
            if let Some(result) = done(self) {
                return result;
            }
            assert!(start.elapsed() < super::skip::stretched(20), "waited too long");
            if ready == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Turns until `receiver` got `count` records; returns all that it got.
    pub fn receive(&mut self, receiver: &Receiver, count: usize) -> Vec<String> {
        let mut records = Vec::new();
        self.until(|_| {
            records.extend(receiver.read());
            (records.len() >= count).then_some(())
        });
        records
    }

    /// Turns until all is handed on; returns what `receiver` got.
    pub fn receive_all(&mut self, receiver: &Receiver) -> Vec<String> {
        let mut records = Vec::new();
        self.until(|world| {
            let handed_on = world.log.is_empty();
            records.extend(receiver.read());
            handed_on.then_some(())
        });
        records
    }
}

/// `TAG[5]: line 0` … as [`World::fill`] writes them.
pub fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("web[5]: line {number}")).collect()
}

/// What is in a pipe or stream socket now.
pub fn read_now(from: &mut impl Read) -> String {
    let mut text = Vec::new();
    let mut bytes = [0; 4096];
    while let Ok(len @ 1..) = from.read(&mut bytes) {
        text.extend_from_slice(&bytes[..len]);
    }
    String::from_utf8(text).unwrap()
}

/// A pipe: its reading end, which does not block, and its writing end, which does.
pub fn pipe() -> (File, File) {
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    (reader.into(), writer.into())
}

/// Runs an ignored test in a process of its own, as it changes or needs what
/// belongs to the whole process.
pub fn alone(test: &str, environment: &[(&str, &str)]) {
    let mut command = super::again::this_program();
    command
        .args(["--exact", test, "--ignored", "--test-threads=1"])
        .envs(environment.iter().copied());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
