//! The log's other end: reads records, and now and then does not.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::thread::{self, sleep, JoinHandle};
use std::time::Duration;

use crate::account::Account;

pub struct Receiver {
    /// For how many milliseconds it is not to read.
    stall: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    reader: JoinHandle<Account>,
}

impl Receiver {
    pub fn at(path: &Path) -> Receiver {
        let socket = UnixDatagram::bind(path).expect("the log's socket");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        let (stall, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (stalled, ended) = (stall.clone(), over.clone());
        let reader = thread::spawn(move || read(&socket, &stalled, &ended));
        Receiver { stall, over, reader }
    }

    /// Does not read for a while.
    pub fn stall(&self, millis: u64) {
        self.stall.store(millis, Ordering::Relaxed);
    }

    /// Reads what there is left, and returns all that it got.
    pub fn end(self) -> Account {
        self.over.store(true, Ordering::Relaxed);
        self.reader.join().expect("a log that makes sense")
    }
}

fn read(socket: &UnixDatagram, stall: &AtomicU64, over: &AtomicBool) -> Account {
    let (mut account, mut bytes) = (Account::default(), vec![0; 1 << 16]);
    loop {
        sleep(Duration::from_millis(stall.swap(0, Ordering::Relaxed)));
        let is_last = over.load(Ordering::Relaxed);
        match socket.recv(&mut bytes) {
            Ok(len) => {
                let (tag, pid, text) = fields(&bytes[..len]).expect("a syslog record");
                account.take(tag, pid, text);
            }
            Err(_) if is_last => return account,
            Err(_) => {}
        }
    }
}

/// Tag, process and text of `<PRI>Mmm dd hh:mm:ss TAG[PID]: TEXT`.
fn fields(record: &[u8]) -> Option<(&str, u64, &[u8])> {
    let head = record.iter().position(|byte| *byte == b'>')? + 1 + "Mmm dd hh:mm:ss ".len();
    let end = head + record.get(head..)?.windows(3).position(|bytes| bytes == b"]: ")?;
    let (tag, pid) = std::str::from_utf8(&record[head..end]).ok()?.split_once('[')?;
    Some((tag, pid.parse().ok()?, &record[end + 3..]))
}
