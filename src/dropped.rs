//! How much of a job's output was dropped, because the log did not take it.

#![forbid(unsafe_code)]

use core::fmt;

/// Lines and bytes that were dropped one after the other, counted as the job
/// wrote them: a line is a newline, and the newline is one of the bytes. What
/// the job writes is either logged or counted here. All zeros when there is nothing.
///
/// Its `Display` is the line that tells of it, in the job's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    lines: u64,
    bytes: u64,
    mid_line: bool,
}

impl Dropped {
    /// Nothing. All zeros.
    pub const NONE: Dropped = Dropped { lines: 0, bytes: 0, mid_line: false };

    /// Whether there is nothing.
    pub fn is_none(&self) -> bool {
        self.bytes == 0
    }

    /// How many lines have lost their end, or all.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Whether what comes next is the rest of a line.
    pub fn is_mid_line(&self) -> bool {
        self.mid_line
    }

    /// Adds `text`, which comes next.
    pub fn add(&mut self, text: &[u8]) {
        self.bytes += text.len() as u64;
        self.lines += text.iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.mid_line = text.last().map_or(self.mid_line, |&last| last != b'\n');
    }

    /// Nothing more comes: a line ends without its newline.
    pub fn end_line(&mut self) {
        self.lines += u64::from(self.mid_line);
        self.mid_line = false;
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "... {} lines, {} bytes dropped", self.lines, self.bytes)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_line_counts_where_it_ends() {
        let mut dropped = Dropped::NONE;
        for (text, mid_line) in [("one\ntw", true), ("", true), ("o\n", false), ("three", true)] {
            dropped.add(text.as_bytes());
            assert_eq!(dropped.is_mid_line(), mid_line, "{text}");
        }
        assert_eq!(dropped.to_string(), "... 2 lines, 13 bytes dropped");
        dropped.end_line();
        dropped.end_line();
        assert_eq!(dropped.to_string(), "... 3 lines, 13 bytes dropped");
    }
}
