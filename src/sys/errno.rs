//! What error numbers mean, in the words of libc, as users know them from other programs.
//!
//! The tables of texts that nix has would be memory of each process (see [`crate::short`]).

use crate::short::Short;
use crate::supervise::ERRNO_TEXT_BYTES;
use core::ffi::CStr;
use nix::errno::Errno;
use nix::libc;

/// The meaning of an error number, as a text (strerror(3)).
pub trait Meaning {
    /// As libc has it, in the language that it speaks before setlocale(3): English.
    fn meaning(self) -> Short<ERRNO_TEXT_BYTES>;
}

impl Meaning for Errno {
    fn meaning(self) -> Short<ERRNO_TEXT_BYTES> {
        let mut bytes = [0_u8; ERRNO_TEXT_BYTES + 1];
        // SAFETY: room for so many bytes, of which the last one written is a NUL.
        // A number that is not known has a text as well, "Unknown error 4711".
        unsafe { libc::strerror_r(self as i32, bytes.as_mut_ptr().cast(), bytes.len()) };
        let text = CStr::from_bytes_until_nul(&bytes).unwrap_or_default();
        Short::cut(text.to_str().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::super::std::prelude::v1::*;
    use super::super::std::{assert_eq, io};
    use super::*;

    #[test]
    fn every_number_has_the_whole_text_of_libc() {
        for number in 1..=133 {
            // std asks libc, too, and puts the number behind.
            let all = io::Error::from_raw_os_error(number).to_string();
            let expected = all.split(" (os error").next();
            if Errno::from_raw(number) != Errno::UnknownErrno {
                assert_eq!(Some(&*Errno::from_raw(number).meaning()), expected, "{number}");
            }
        }
        assert_eq!(&*Errno::EAGAIN.meaning(), "Resource temporarily unavailable");
    }
}
