//! A problem with its place: several lines for a person, one line for the log.

use core::fmt::{self, Write};

use super::problem::Problem;
use crate::name::write_lossy;

/// How many bytes of a source line are shown at most.
const WINDOW_BYTES: usize = 120;

/// How many of them stand before what is meant.
const LEAD_BYTES: usize = 40;

impl<'a> Problem<'a> {
    /// The problem for a person: `FILE:LINE:COLUMN: error: SENTENCE`, the line
    /// of the file, and a line that points at what is meant. Without a newline
    /// at its end.
    pub fn report(&self, file: &'a [u8]) -> impl fmt::Display + 'a {
        Report { problem: *self, file }
    }

    /// The problem as one line for the log: `FILE line N column M: SENTENCE`.
    pub fn record(&self, file: &'a [u8]) -> impl fmt::Display + 'a {
        Record { problem: *self, file }
    }
}

struct Record<'a> {
    problem: Problem<'a>,
    file: &'a [u8],
}

impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { line, column, kind, .. } = self.problem;
        write_lossy(f, self.file)?;
        write!(f, " line {line} column {column}: {kind}")
    }
}

struct Report<'a> {
    problem: Problem<'a>,
    file: &'a [u8],
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { line, column, kind, .. } = self.problem;
        write_lossy(f, self.file)?;
        write!(f, ":{line}:{column}: {}: {kind}", kind.severity())?;
        Excerpt::of(&self.problem).fmt(f)
    }
}

/// What of a source line is shown.
struct Excerpt<'a> {
    before: &'a [u8],
    meant: &'a [u8],
    after: &'a [u8],
    /// Whether something is left out at the start and at the end.
    cut: [bool; 2],
}

impl<'a> Excerpt<'a> {
    fn of(problem: &Problem<'a>) -> Self {
        let (line, at) = (problem.source, problem.at.min(problem.source.len()));
        let start = if line.len() <= WINDOW_BYTES { 0 } else { at.saturating_sub(LEAD_BYTES) };
        let before = tail(&line[..at], at - start);
        let shown = head(&line[at..], WINDOW_BYTES - before.len());
        let (meant, after) = shown.split_at(problem.length.min(shown.len()));
        let cut = [before.len() < at, at + shown.len() < line.len()];
        Excerpt { before, meant, after, cut }
    }
}

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dots = self.cut.map(|cut| if cut { "..." } else { "" });
        write!(f, "\n    {}", dots[0])?;
        [self.before, self.meant, self.after]
            .iter()
            .try_for_each(|part| write_with_tabs(f, part))?;
        write!(f, "{}\n    {:2$}", dots[1], "", dots[0].len())?;
        write_blank(f, self.before)?;
        (0..characters(self.meant).max(1)).try_for_each(|_| f.write_char('^'))
    }
}

/// Writes harmless text, but leaves tabs: they have their place in a source line.
fn write_with_tabs(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for (position, part) in bytes.split(|&byte| byte == b'\t').enumerate() {
        if position > 0 {
            f.write_char('\t')?;
        }
        write_lossy(f, part)?;
    }
    Ok(())
}

/// Writes as much white space as `bytes` take on a screen.
fn write_blank(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for (position, part) in bytes.split(|&byte| byte == b'\t').enumerate() {
        if position > 0 {
            f.write_char('\t')?;
        }
        (0..characters(part)).try_for_each(|_| f.write_char(' '))?;
    }
    Ok(())
}

/// How many characters `bytes` are shown as: one for each byte that is not UTF-8.
pub(super) fn characters(bytes: &[u8]) -> usize {
    struct Lossy<'a>(&'a [u8]);
    impl fmt::Display for Lossy<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write_lossy(f, self.0)
        }
    }
    struct Count(usize);
    impl fmt::Write for Count {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 += text.chars().count();
            Ok(())
        }
    }
    let mut count = Count(0);
    // Counting cannot fail.
    let _ = write!(count, "{}", Lossy(bytes));
    count.0
}

/// At most `most` bytes from the start, no character torn.
pub(super) fn head(bytes: &[u8], most: usize) -> &[u8] {
    if bytes.len() <= most {
        return bytes;
    }
    let end = (most.saturating_sub(3)..=most).rev().find(|&at| is_boundary(bytes, at));
    &bytes[..end.unwrap_or(most)]
}

/// At most `most` bytes from the end, no character torn.
fn tail(bytes: &[u8], most: usize) -> &[u8] {
    let start = bytes.len() - most.min(bytes.len());
    let boundary = (start..start + 4).find(|&at| is_boundary(bytes, at));
    &bytes[boundary.unwrap_or(start)..]
}

/// Whether no byte that continues a UTF-8 character is at `at`.
fn is_boundary(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).map_or(at == bytes.len(), |byte| byte & 0xC0 != 0x80)
}
