//! What error numbers mean, in the words of libc, as users know them from other programs.
//!
//! The tables of texts that nix has would be memory of each process (see [`crate::short`]).

use crate::short::Short;
use core::ffi::CStr;
use nix::errno::Errno;
use nix::libc;

/// No text of libc's is longer; what is would be cut off.
const TEXT_BYTES: usize = 64;

/// The meaning of an error number, as a text (strerror(3)).
pub trait Meaning {
    /// As libc has it, in the language that it speaks before setlocale(3): English.
    fn meaning(self) -> Short<TEXT_BYTES>;
}

impl Meaning for Errno {
    fn meaning(self) -> Short<TEXT_BYTES> {
        let mut bytes = [0_u8; TEXT_BYTES + 1];
        // SAFETY: room for so many bytes, of which the last one written is a NUL.
        // A number that is not known has a text as well, "Unknown error 4711".
        unsafe { libc::strerror_r(self as i32, bytes.as_mut_ptr().cast(), bytes.len()) };
        let text = CStr::from_bytes_until_nul(&bytes).unwrap_or_default();
        Short::cut(text.to_str().unwrap_or_default())
    }
}
