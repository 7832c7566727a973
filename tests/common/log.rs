//! The syslog daemon of a test: a datagram socket, and what came through it.

use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::patience::{eventually, stretched, SHORT};

/// The tag of pmtr's own messages.
const OWN: &str = "pmtr";

/// The tag of a record that is none.
pub const MALFORMED: &str = "MALFORMED";

/// One syslog record: `<PRI>Mmm dd hh:mm:ss TAG[PID]: TEXT`.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its position among all records, from 0.
    pub number: usize,
    /// When it came.
    pub at: Instant,
    /// Eight times the facility, and the severity.
    pub priority: u32,
    /// `Mmm dd hh:mm:ss`.
    pub stamp: String,
    /// `pmtr`, or the name of a job.
    pub tag: String,
    /// The process that it is from.
    pub pid: i32,
    /// What it says.
    pub text: String,
}

impl Record {
    fn parse(number: usize, bytes: &[u8]) -> Record {
        let raw = String::from_utf8_lossy(bytes).into_owned();
        let fields = fields(&raw).unwrap_or((0, "", MALFORMED, 0, &raw));
        let (priority, stamp, tag, pid, text) = fields;
        let (stamp, tag, text) = (stamp.to_string(), tag.to_string(), text.to_string());
        Record { number, at: Instant::now(), priority, stamp, tag, pid, text }
    }

    /// The number in brackets: `started job NAME [PID]`.
    #[track_caller]
    pub fn job_pid(&self) -> i32 {
        let inside = self.text.rsplit_once('[').and_then(|(_, rest)| rest.split_once(']'));
        let pid = inside.and_then(|(digits, _)| digits.parse().ok());
        pid.unwrap_or_else(|| panic!("no [PID] in {:?}", self.text))
    }
}

fn fields(raw: &str) -> Option<(u32, &str, &str, i32, &str)> {
    let (priority, rest) = raw.strip_prefix('<')?.split_once('>')?;
    let stamp = rest.get(..15)?;
    let (head, text) = rest.get(15..)?.strip_prefix(' ')?.split_once("]: ")?;
    let (tag, pid) = head.rsplit_once('[')?;
    Some((priority.parse().ok()?, stamp, tag, pid.parse().ok()?, text))
}

/// A syslog daemon, and the records that it has read.
pub struct Log {
    path: PathBuf,
    records: Arc<Records>,
    socket: Option<UnixDatagram>,
    reader: Option<Reader>,
}

#[derive(Default)]
struct Records {
    list: Mutex<Vec<Record>>,
    arrival: Condvar,
    /// How many have come, and from whom they are only counted.
    count: AtomicUsize,
    uncollected: Mutex<String>,
}

struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Log {
    /// One that listens at `path`.
    pub fn at(path: PathBuf) -> Log {
        let mut log = Log { path, records: Arc::default(), socket: None, reader: None };
        log.open();
        log
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the socket anew and reads: what a started syslog daemon does.
    pub fn open(&mut self) {
        let socket = UnixDatagram::bind(&self.path).expect("binding the log socket");
        fs::set_permissions(&self.path, fs::Permissions::from_mode(0o666)).expect("chmod");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        self.socket = Some(socket);
        self.resume();
    }

    /// Removes the socket: what a stopped syslog daemon leaves.
    pub fn close(&mut self) {
        self.stall();
        let probe = UnixDatagram::unbound().and_then(|probe| {
            probe.set_nonblocking(true)?;
            probe.connect(&self.path)?;
            Ok(probe)
        });
        self.socket = None;
        // A process that another test is about to start may have a copy for a
        // moment yet: what is sent meanwhile would be lost in it.
        if let Ok(probe) = probe {
            eventually("the end of the socket", || {
                let sent = probe.send(b"").map_err(|error| error.kind());
                matches!(sent, Err(kind) if kind != ErrorKind::WouldBlock)
            });
        }
        // It may have been moved or removed by the test.
        let _ = fs::remove_file(&self.path);
    }

    /// Reads no more; the socket stays and fills up.
    pub fn stall(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.stop.store(true, Ordering::Relaxed);
            reader.thread.join().expect("the reader");
        }
    }

    /// Reads again.
    pub fn resume(&mut self) {
        let socket = self.socket.as_ref().expect("an open log").try_clone().expect("dup");
        let (records, stop) = (self.records.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let thread = thread::spawn(move || read(&socket, &records, &stopped));
        self.reader = Some(Reader { stop, thread });
    }

    /// From now on the records of this job are counted, but not collected: for
    /// one that writes without end.
    pub fn collect_none_of(&self, job: &str) {
        *self.records.uncollected.lock().expect("a name") = job.into();
    }

    /// How many records have come so far, collected or not.
    pub fn count(&self) -> usize {
        self.records.count.load(Ordering::Relaxed)
    }

    /// Waits for a message of pmtr itself that contains `text`; the first one.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> Record {
        self.within(SHORT).wait_for(text)
    }

    /// Waits for the `n`th message of pmtr that contains `text`, counted from 1.
    #[track_caller]
    pub fn wait_nth(&self, text: &str, n: usize) -> Record {
        self.within(SHORT).wait_nth(text, n)
    }

    /// Waits for a message of pmtr that contains `text`, and came after `earlier`.
    #[track_caller]
    pub fn wait_after(&self, earlier: &Record, text: &str) -> Record {
        self.within(SHORT).wait_after(earlier, text)
    }

    /// Waits for the job's output line `text`.
    #[track_caller]
    pub fn wait_line(&self, job: &str, text: &str) -> Record {
        self.within(SHORT).wait_line(job, text)
    }

    /// The same with a deadline of `secs` seconds.
    pub fn within(&self, secs: u64) -> Waiting<'_> {
        Waiting { log: self, secs }
    }

    /// The messages of pmtr so far that contain `text`.
    pub fn own(&self, text: &str) -> Vec<Record> {
        let all = self.list();
        all.iter().filter(|r| r.tag == OWN && r.text.contains(text)).cloned().collect()
    }

    /// The output of a job so far.
    pub fn lines(&self, job: &str) -> Vec<String> {
        self.list().iter().filter(|r| r.tag == job).map(|r| r.text.clone()).collect()
    }

    /// All records so far.
    pub fn all(&self) -> Vec<Record> {
        self.list().clone()
    }

    /// Everything for a failed test's output; very long ones without their middle.
    pub fn dump(&self) -> String {
        let all = self.list();
        let mut text = format!("the log, {} records:\n", all.len());
        for Record { number, priority, stamp, tag, pid, text: said, .. } in all.iter() {
            if (200..all.len().saturating_sub(50)).contains(number) {
                continue;
            }
            let said: String = said.chars().take(300).collect();
            let _ = writeln!(text, "  <{priority}>{stamp} {tag}[{pid}]: {said}");
        }
        text
    }

    fn list(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.list.lock().expect("the records")
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.stall();
    }
}

/// A log together with how long to wait for its records.
pub struct Waiting<'a> {
    log: &'a Log,
    secs: u64,
}

impl Waiting<'_> {
    /// As [`Log::wait_for`].
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> Record {
        self.wait_nth(text, 1)
    }

    /// As [`Log::wait_nth`].
    #[track_caller]
    pub fn wait_nth(&self, text: &str, n: usize) -> Record {
        let what = format!("message {n} with {text:?}");
        self.wait(&what, |all| all.filter(|r| r.tag == OWN && r.text.contains(text)).nth(n - 1))
    }

    /// As [`Log::wait_after`].
    #[track_caller]
    pub fn wait_after(&self, earlier: &Record, text: &str) -> Record {
        let what = format!("a message with {text:?} after {:?}", earlier.text);
        let later = |r: &&Record| r.number > earlier.number;
        self.wait(&what, |all| all.filter(later).find(|r| r.tag == OWN && r.text.contains(text)))
    }

    /// As [`Log::wait_line`].
    #[track_caller]
    pub fn wait_line(&self, job: &str, text: &str) -> Record {
        let what = format!("the line {text:?} of {job}");
        self.wait(&what, |mut all| all.find(|r| r.tag == job && r.text == text))
    }

    /// Waits for the message that tells of the job's first exit.
    #[track_caller]
    pub fn wait_exit(&self, job: &str) -> Record {
        let start = format!("job {job} [");
        let tells = |text: &str| text.starts_with(&start) && text.contains("] exited after ");
        self.wait(&format!("the exit of {job}"), |mut all| {
            all.find(|r| r.tag == OWN && tells(&r.text))
        })
    }

    #[track_caller]
    fn wait(
        &self,
        what: &str,
        find: impl Fn(std::slice::Iter<'_, Record>) -> Option<&Record>,
    ) -> Record {
        let deadline = Instant::now() + stretched(self.secs);
        let mut list = self.log.list();
        loop {
            if let Some(found) = find(list.iter()) {
                return found.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(list);
                panic!("not within {} s: {what}", self.secs);
            }
            list = self.log.records.arrival.wait_timeout(list, left).expect("the records").0;
        }
    }
}

fn read(socket: &UnixDatagram, records: &Records, stop: &AtomicBool) {
    let mut buffer = vec![0; 1 << 17];
    while !stop.load(Ordering::Relaxed) {
        let Ok(len) = socket.recv(&mut buffer) else { continue };
        let number = records.count.fetch_add(1, Ordering::Relaxed);
        let record = Record::parse(number, &buffer[..len]);
        if record.tag == *records.uncollected.lock().expect("a name") {
            continue;
        }
        records.list.lock().expect("the records").push(record);
        records.arrival.notify_all();
    }
}
