//! A machine that does not answer ends the tests, with the name of the test that asked it.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, Once};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// So long one answer may take, on any machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The tests that wait for an answer: since when, and who they are.
static WAITING: Mutex<Option<HashMap<ThreadId, (Instant, String)>>> = Mutex::new(None);

thread_local! {
    /// The seed of the storm on this thread.
    pub static SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Waits for an answer of the machine.
pub fn watch<T>(answer: impl FnOnce() -> T) -> T {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(thread::spawn(keep_watch)));
    let current = thread::current();
    let name = format!("{} {:?}", current.name().unwrap_or_default(), SEED.get());
    let waiting = || WAITING.lock().expect("nobody panics while holding this");
    waiting().get_or_insert_with(HashMap::new).insert(current.id(), (Instant::now(), name));
    let answer = answer();
    waiting().get_or_insert_with(HashMap::new).remove(&current.id());
    answer
}

fn keep_watch() {
    loop {
        thread::sleep(Duration::from_secs(1));
        let waiting = WAITING.lock().expect("nobody panics while holding this");
        for (since, name) in waiting.iter().flat_map(HashMap::values) {
            if since.elapsed() > PATIENCE {
                // Not `eprintln!`, which a test's threads hold back until the test ends.
                let _ = writeln!(std::io::stderr(), "the machine does not answer: {name}");
                std::process::abort();
            }
        }
    }
}
