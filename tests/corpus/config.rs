//! What holds for every text that is read as a configuration.

use std::cell::RefCell;
use std::thread;

use pmtr::config::{self, Config, Problem, Refused};

/// Reads any bytes.
pub fn check_bytes(text: &[u8]) {
    with_tables(|into, other| check(text, into, other).is_ok());
}

/// A configuration is too big for the stack of a test: it is made on a larger one.
pub fn empty() -> Box<Config> {
    let maker = thread::Builder::new().stack_size(32 << 20).spawn(|| Box::new(Config::new()));
    maker.expect("a thread").join().expect("a configuration")
}

thread_local! {
    /// Two configurations for all cases of a test: making one costs more than parsing.
    static TABLES: RefCell<[Box<Config>; 2]> = RefCell::new([empty(), empty()]);
}

pub fn with_tables<T>(test: impl FnOnce(&mut Config, &mut Config) -> T) -> T {
    TABLES.with(|tables| {
        let [first, second] = &mut *tables.borrow_mut();
        test(first, second)
    })
}

pub fn parse(text: &[u8], into: &mut Config) -> Result<(), Refused> {
    config::parse(text, into, &mut |_| {})
}

/// Whether they are the same, but for the lines where things stand.
pub fn equal(a: &Config, b: &Config) -> bool {
    let addresses = |config: &Config| -> Vec<_> {
        let one = |address: &config::Address| {
            let interface = config.interface(address).map(|name| name.to_owned());
            let senders = config.senders(address).to_vec();
            (address.used_for, config.host(address).to_owned(), address.port, interface, senders)
        };
        config.addresses().map(one).collect()
    };
    a.jobs().eq(b.jobs()) && addresses(a) == addresses(b)
}

fn printed(config: &Config) -> Vec<u8> {
    let mut text = Vec::new();
    config.write_text(&mut |piece| text.extend_from_slice(piece));
    text
}

/// Whatever is told must be tellable, with a place in the text.
fn check_problem(text: &[u8], problem: &Problem<'_>) {
    let lines = text.split(|&byte| byte == b'\n').count();
    assert!((1..=lines).contains(&(problem.line as usize)), "{problem:?}");
    let line = text.split(|&byte| byte == b'\n').nth(problem.line as usize - 1).unwrap_or_default();
    assert!((1..=line.len() + 1).contains(&(problem.column as usize)), "{problem:?}");
    let report = problem.report(b"FILE").to_string();
    assert_eq!(report.lines().count(), 3, "{report}");
    assert!(!report.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "{report:?}");
    assert!(report.trim_end_matches('^').len() < report.len(), "{report}");
    let record = problem.record(b"FILE").to_string();
    assert!(!record.contains(char::is_control), "{record:?}");
}

/// Parses twice, checks all that must hold for any text, and gives what came of it.
pub fn check(text: &[u8], into: &mut Config, other: &mut Config) -> Result<(), Refused> {
    let mut words = Vec::new();
    let result = config::parse_traced(
        text,
        into,
        &mut |problem| check_problem(text, problem),
        &mut |token| words.push(token.word.to_vec()),
    );
    if let Err(refused) = result {
        assert!((1..=20).contains(&refused.errors) && into.is_empty());
        return result;
    }
    let order: Vec<_> = into.jobs().map(|job| (job.order(), job.line())).collect();
    assert!(order.windows(2).all(|pair| pair[0] < pair[1]), "{order:?}");
    for (at, job) in into.jobs().enumerate() {
        assert_eq!(into.find(job.name()), Some(at));
        assert!(job.argv().count() > 0);
    }
    let again = printed(into);
    parse(&again, other).expect("what was printed is accepted");
    assert!(equal(into, other), "{}", String::from_utf8_lossy(&again));
    assert_eq!(printed(other), again);
    result
}
