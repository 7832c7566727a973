//! What the tests of the language share.

pub use crate::any_text::empty;
use crate::sealed::{sealed, text_of, unsealed};
use pmtr::config::{self, Config, JobView, Problem, Severity};

/// What came of a text.
pub struct Parsed {
    pub config: Box<Config>,
    /// How many errors, as the parser counts them.
    pub errors: u32,
    /// `LINE:COLUMN: SEVERITY: SENTENCE` of each problem.
    pub problems: Vec<String>,
}

pub fn parse(text: impl AsRef<[u8]>) -> Parsed {
    let mut parsed = Parsed { config: empty(), errors: 0, problems: Vec::new() };
    let text = text.as_ref();
    let mut found = |problem: &Problem<'_>| {
        let (line, column, severity) = (problem.line, problem.column, problem.severity());
        let problem = text_of(format_args!("{line}:{column}: {severity}: {problem}"));
        unsealed(|| parsed.problems.push(problem));
        parsed.errors += u32::from(severity == Severity::Error);
    };
    let result = sealed(|| config::parse(text, &mut parsed.config, &mut found));
    // "too many errors" is told after the last one that counts.
    let many = parsed.problems.iter().any(|problem| problem.contains("too many errors"));
    parsed.errors -= u32::from(many);
    assert_eq!(result.err().map_or(0, |refused| refused.errors), parsed.errors);
    parsed
}

impl Parsed {
    /// The problems that begin with `error` or `warning` after their place.
    pub fn of(&self, severity: Severity) -> Vec<&str> {
        let mark = format!(": {severity}: ");
        self.problems.iter().filter_map(|problem| Some(problem.split_once(&mark)?.1)).collect()
    }
}

/// What came of a text that has no error, and no warning but of a value that is taken as it is and
/// may be meant otherwise (tests/config/shell.rs has these).
pub fn accept(text: impl AsRef<[u8]>) -> Box<Config> {
    let mut parsed = parse(text);
    let as_they_are = ["no shell reads", "too low for a program", "this '{' is an argument"];
    let is_other = |problem: &String| !as_they_are.iter().any(|part| problem.contains(part));
    parsed.problems.retain(is_other);
    assert_eq!(parsed.problems, [""; 0]);
    parsed.config
}

/// The sentences of the errors of a text that has at least one.
pub fn refuse(text: impl AsRef<[u8]>) -> Vec<String> {
    let parsed = parse(text);
    assert!(parsed.errors > 0, "accepted");
    assert!(parsed.config.is_empty(), "a refused configuration is empty");
    parsed.of(Severity::Error).iter().map(|sentence| (*sentence).to_owned()).collect()
}

/// A job with these options besides `name` and `cmd`, which stand in lines 2 and 3.
pub fn job(options: &str) -> String {
    format!("job {{\n  name j\n  cmd /bin/true\n{options}\n}}\n")
}

/// A job's words as text.
pub fn argv(job: JobView<'_>) -> Vec<String> {
    texts(job.argv())
}

pub fn texts(strings: config::Strings<'_>) -> Vec<String> {
    strings.map(|string| string.to_str().expect("UTF-8").to_owned()).collect()
}

pub fn names(config: &Config) -> Vec<String> {
    config.jobs().map(|job| String::from_utf8_lossy(job.name()).into_owned()).collect()
}

/// The example at the top of the manual, and those of its chapters.
pub const MANUAL: &str = r#"
job {
  name tunnel
  cmd /usr/bin/ssh -i key -TNL 5901:127.0.0.1:5901 192.168.0.1
}

job {
  name bitcoin-daemon
  dir /home/bitcoin
  cmd /usr/local/bin/bitcoind
  user bitcoin
  env HOME=/home/bitcoin
  cpu 0-8
}

job {
  name capture
  dir /data
  cmd /usr/sbin/tcpdump -i eth0 -s 0 -G 10 -w %Y%m%d%H%M%S.pcap
}

  job {
    name api
    cmd /bin/bash -c "ifconfig eth1 up; sleep 5; exec /api/rest.py"
  }

  job {
    name depending
    dir /home/bitcoin
    cmd /usr/bin/bitcoind
    user bitcoin
    env HOME=/home/bitcoin
    depends {
      /home/bitcoin/.bitcoin/bitcoin.conf
    }
  }

    job {
      name initial-setup
      cmd /bin/mkdir /dev/shm/go
      wait
      once
    }

  report to udp://127.0.0.1:9999
  listen on udp://0.0.0.0:10000
  report to udp://239.0.0.1:9999@eth2
"#;
