//! The words of the command line as libc hands them to `main` (execve(2)), which
//! is where std has them from, too, where it starts the program.

use super::std::ffi::{OsStr, OsString};
use super::std::os::unix::ffi::OsStrExt;
use super::std::prelude::v1::*;
use core::ffi::{c_char, c_int, CStr};

/// The words that were not taken yet, the program's name the first of all.
pub struct Arguments {
    words: *const *const c_char,
    left: c_int,
}

impl Arguments {
    /// `count` words.
    ///
    /// # Safety
    ///
    /// `words` are so many pointers to strings with a NUL, which nobody changes.
    pub unsafe fn new(count: c_int, words: *const *const c_char) -> Self {
        Arguments { words, left: count }
    }
}

impl Iterator for Arguments {
    type Item = OsString;

    fn next(&mut self) -> Option<OsString> {
        self.left = self.left.checked_sub(1).filter(|&left| left >= 0)?;
        // SAFETY: one of `count`, see `new`.
        let word = unsafe { CStr::from_ptr(*self.words) };
        self.words = self.words.wrapping_add(1);
        Some(OsStr::from_bytes(word.to_bytes()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::std::assert_eq;
    use super::*;
    use core::ptr;

    #[test]
    fn all_words_are_handed_over_as_they_are() {
        let words = ["pmtr\0", "\0", "-c\u{e9}\0"].map(|word| word.as_ptr().cast());
        // SAFETY: three strings.
        let arguments = unsafe { Arguments::new(3, words.as_ptr()) };
        let expected = ["pmtr", "", "-c\u{e9}"].map(OsString::from);
        assert_eq!(arguments.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_program_that_is_started_without_a_name_has_no_words() {
        // SAFETY: no string.
        assert_eq!(unsafe { Arguments::new(0, ptr::null()) }.next(), None);
    }
}
