//! What is right: content that was finished, and what pmtr says that it uses.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashSet};
use std::hash::Hasher;

/// The names of the jobs of a configuration.
pub type Names = BTreeSet<String>;

/// A configuration of version `n`; its length is always the same.
pub fn config(n: u32, dep: &str) -> String {
    let sleeper = |name: &str| format!("job {{\n  name {name}{n:06}\n  cmd /bin/sleep 1000\n}}\n");
    let dependent =
        format!("job {{\n  name d\n  cmd /bin/sleep 1000\n  depends {{\n    {dep}\n  }}\n}}\n");
    sleeper("a") + &dependent + &sleeper("b")
}

/// The jobs of a text that such writers have made, besides `d`; none: it is no configuration, or
/// only a part of one that would be accepted.
pub fn names(text: &str, dep: &str) -> Option<Names> {
    let mut names = Names::new();
    if text.is_empty() {
        return Some(names);
    }
    let mut lines = text.lines();
    for name in ["a", "d", "b"] {
        let mut is_next = |wanted: &str| lines.next() == Some(wanted);
        let is_good = if name == "d" {
            is_next("job {")
                && is_next("  name d")
                && is_next("  cmd /bin/sleep 1000")
                && is_next("  depends {")
                && is_next(&format!("    {dep}"))
                && is_next("  }")
        } else {
            let is_good = is_next("job {");
            let line = lines.next()?.strip_prefix("  name ")?;
            names.insert(line.to_string());
            is_good
                && line.starts_with(name)
                && line.len() == 7
                && lines.next()? == "  cmd /bin/sleep 1000"
        };
        if !(is_good && lines.next() == Some("}")) {
            return None;
        }
    }
    (lines.next().is_none() && text.ends_with('\n')).then_some(names)
}

/// As pmtr computes it of what jobs depend on.
pub fn digest(content: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(content);
    hasher.write_u64(content.len() as u64);
    hasher.finish()
}

/// What was finished at some time.
#[derive(Default)]
pub struct Finished {
    pub configs: HashSet<Names>,
    pub digests: HashSet<u64>,
}

/// What pmtr has said so far.
#[derive(Default)]
pub struct Said {
    /// The jobs that run, besides `d`.
    pub running: Names,
    pub is_d_running: bool,
    pub last_digest: Option<u64>,
}

/// Reads what pmtr said; complains about what was not finished.
pub fn read(log: &str, dep: &str, finished: &Finished) -> Result<Said, String> {
    let mut said = Said::default();
    let is_whole = log.ends_with('\n');
    let end = if is_whole { log.len() } else { log.rfind('\n').map_or(0, |at| at + 1) };
    for line in log[..end].lines() {
        let text = line.split_once("]: ").map_or("", |(_, text)| text);
        if text.starts_with("rescanning") {
            said.check(finished)?;
        } else if let Some(name) = word_after(text, "started job ") {
            if name == "d" {
                said.is_d_running = true;
            } else {
                said.running.insert(name.into());
            }
        } else if let Some(name) = word_after(text, "sending SIGTERM to job ") {
            said.running.remove(name);
        } else if let Some(digest) = text.strip_prefix(&format!("{dep}: its content is ")) {
            let digest = u64::from_str_radix(digest, 16).unwrap();
            if !finished.digests.contains(&digest) {
                return Err(format!(
                    "unfinished content of the dependency was used: {digest:016x}"
                ));
            }
            said.last_digest = Some(digest);
        }
    }
    Ok(said)
}

impl Said {
    fn check(&self, finished: &Finished) -> Result<(), String> {
        if finished.configs.contains(&self.running) {
            return Ok(());
        }
        Err(format!("an unfinished configuration was used: {:?}", self.running))
    }
}

fn word_after<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    text.strip_prefix(start)?.split(' ').next()
}
