//! Control datagrams: bytes to commands (manual, "UDP control").
//!
//! `enable NAME ...` and `disable NAME ...`, in any mixture: a verb is in force
//! until the next one. So no verb can be the name of a job here. Words are
//! separated by white space; a newline is some, and so is the NUL that a
//! program in C may send along.

#![forbid(unsafe_code)]

/// What one word of a datagram asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Enable the job of this name, if there is one.
    Enable(&'a [u8]),
    /// Disable the job of this name, if there is one.
    Disable(&'a [u8]),
    /// Nothing: the datagram has no verb, or no name. The last command of it.
    Invalid,
}

/// The commands of a datagram, in its order: at most one for every two bytes,
/// and at least one.
pub fn commands(datagram: &[u8]) -> Commands<'_> {
    Commands { rest: datagram, verb: None, is_over: false, is_any: false }
}

/// The commands of a datagram, one after the other.
#[derive(Clone, Debug)]
pub struct Commands<'a> {
    rest: &'a [u8],
    verb: Option<Verb>,
    is_over: bool,
    /// Whether there was a command.
    is_any: bool,
}

#[derive(Clone, Copy, Debug)]
enum Verb {
    Enable,
    Disable,
}

impl<'a> Commands<'a> {
    fn word(&mut self) -> Option<&'a [u8]> {
        let start = self.rest.iter().position(|&byte| !is_space(byte))?;
        let rest = &self.rest[start..];
        let end = rest.iter().position(|&byte| is_space(byte)).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        self.rest = rest;
        Some(word)
    }

    fn end(&mut self) -> Option<Command<'a>> {
        let is_told = core::mem::replace(&mut self.is_over, true);
        (!is_told && !self.is_any).then_some(Command::Invalid)
    }
}

impl<'a> Iterator for Commands<'a> {
    type Item = Command<'a>;

    fn next(&mut self) -> Option<Command<'a>> {
        while !self.is_over {
            let command = match (self.word(), self.verb) {
                (Some(b"enable"), _) => {
                    self.verb = Some(Verb::Enable);
                    continue;
                }
                (Some(b"disable"), _) => {
                    self.verb = Some(Verb::Disable);
                    continue;
                }
                (Some(name), Some(Verb::Enable)) => Command::Enable(name),
                (Some(name), Some(Verb::Disable)) => Command::Disable(name),
                (Some(_), None) | (None, _) => return self.end(),
            };
            self.is_any = true;
            return Some(command);
        }
        None
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c | 0)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::Command::{Disable, Enable, Invalid};
    use super::*;
    use std::vec::Vec;

    fn all(datagram: &[u8]) -> Vec<Command<'_>> {
        commands(datagram).collect()
    }

    #[test]
    fn one_verb_and_its_jobs() {
        assert_eq!(all(b"enable abc"), [Enable(b"abc")]);
        assert_eq!(all(b"disable abc"), [Disable(b"abc")]);
        assert_eq!(all(b"enable a b c"), [Enable(b"a"), Enable(b"b"), Enable(b"c")]);
    }

    #[test]
    fn verbs_may_be_mixed() {
        let mixed = [Disable(b"a"), Disable(b"b"), Enable(b"c"), Disable(b"d")];
        assert_eq!(all(b"disable a b enable c disable d"), mixed);
        assert_eq!(all(b"enable disable a"), [Disable(b"a")]);
        assert_eq!(all(b"enable a enable"), [Enable(b"a")]);
    }

    #[test]
    fn words_end_at_white_space() {
        let expected = [Enable(b"a"), Disable(b"b")];
        for datagram in [
            &b"enable a disable b\n"[..],
            b"  enable   a   disable   b  ",
            b"enable\ta\r\ndisable\tb\r\n",
            b"enable a\ndisable b",
            b"enable a disable b\0",
            b"enable a\0disable b\0\0",
        ] {
            assert_eq!(all(datagram), expected, "{:?}", datagram);
        }
    }

    #[test]
    fn names_are_bytes() {
        assert_eq!(all(b"enable j\xFF"), [Enable(b"j\xFF")]);
        assert_eq!(all("disable é".as_bytes()), [Disable("é".as_bytes())]);
    }

    #[test]
    fn what_has_no_verb_or_no_name_is_invalid() {
        for datagram in [
            &b""[..],
            b" \r\n\t",
            b"\0\0\0",
            b"abc",
            b"abc enable def",
            b"Enable abc",
            b"enabled abc",
            b"enable",
            b"disable\n",
            b"enable disable enable",
        ] {
            assert_eq!(all(datagram), [Invalid], "{:?}", datagram);
        }
    }

    #[test]
    fn a_datagram_of_any_size_is_read_to_its_end() {
        let mut datagram = b"disable".to_vec();
        datagram.extend(b" x".repeat(32_000));
        assert_eq!(all(&datagram).len(), 32_000);
        assert_eq!(all(&[0; 65_536]), [Invalid]);
        assert_eq!(all(&[b'a'; 65_536]), [Invalid]);
    }
}
