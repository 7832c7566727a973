//! Short texts without a pointer to them.
//!
//! A pointer in a table is filled in when the program is loaded, wherever it was loaded to, and
//! the page that it stands in is memory of this process from then on. A table of texts that
//! stand in it is used as it is in the file.

#![forbid(unsafe_code)]

use core::fmt;
use core::ops::Deref;

/// A text of at most `N` bytes, of which there can be 255.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Short<const N: usize> {
    len: u8,
    bytes: [u8; N],
}

impl<const N: usize> Short<N> {
    /// The text, for a table: one that is too long does not compile there.
    pub const fn new(text: &str) -> Self {
        assert!(text.len() <= N && N <= u8::MAX as usize, "the text is too long");
        let mut bytes = [0; N];
        let mut at = 0;
        while at < text.len() {
            bytes[at] = text.as_bytes()[at];
            at += 1;
        }
        Short { len: at as u8, bytes }
    }

    /// The text, or as many of its characters as there is room for.
    pub fn cut(text: &str) -> Self {
        let mut end = text.len().min(N);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Short::new(&text[..end])
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl<const N: usize> Deref for Short<N> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize> fmt::Display for Short<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl<const N: usize> fmt::Debug for Short<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_as_far_as_there_is_room() {
        assert_eq!(&*Short::<4>::new("four"), "four");
        assert_eq!(&*Short::<4>::new(""), "");
        assert_eq!(&*Short::<4>::cut("fourteen"), "four");
        assert_eq!(&*Short::<4>::cut("für"), "für");
        assert_eq!(&*Short::<4>::cut("täää"), "tä", "no half of a character");
    }
}
