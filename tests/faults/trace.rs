//! What strace(1) has written.

/// One system call.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    pub name: String,
    /// As strace shows it, from the name on.
    line: String,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.line)
    }
}

/// All calls of a process, in their order.
pub struct Trace {
    pub calls: Vec<Call>,
    /// The first that was made to fail.
    pub injected: Option<Call>,
    /// How many were made to fail.
    pub failed: usize,
}

impl Call {
    fn parse(line: &str, dir: &str) -> Option<Call> {
        let name: String = line.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let is_call = !name.is_empty() && line[name.len()..].starts_with('(');
        is_call.then(|| Call { name, line: line.replace(dir, "$DIR") })
    }

    /// By its name, or by its name and a word that is among its arguments.
    pub fn is_called(&self, name: &str) -> bool {
        match name.split_once(' ') {
            Some((name, word)) => self.name == name && self.line.contains(word),
            None => self.name == name,
        }
    }

    /// Whether one of the descriptors or paths in it begins so.
    pub fn is_on(&self, what: &str) -> bool {
        what.is_empty()
            || self.line.contains(&format!("<{what}"))
            || self.line.contains(&format!("\"{what}"))
    }
}

impl Trace {
    pub fn parse(text: &str, dir: &str) -> Trace {
        let is_injected = |line: &&str| line.contains("(INJECTED)");
        let injected = text.lines().find(is_injected);
        Trace {
            calls: text.lines().filter_map(|line| Call::parse(line, dir)).collect(),
            injected: injected.and_then(|line| Call::parse(line, dir)),
            failed: text.lines().filter(is_injected).count(),
        }
    }
}
