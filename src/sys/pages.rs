//! Memory that is needed now and then, and given back in between (madvise(2)).

use super::std::prelude::v1::*;
use core::ffi::c_void;
use core::mem::size_of;
use nix::libc;
use nix::unistd::{sysconf, SysconfVar};

/// Gives back the memory of a table in `.bss` that is empty now: its whole
/// pages are zeros afterwards, and take up memory when they are used again.
///
/// # Safety
///
/// The table must be worth the same when any of its pages become zeros.
pub(super) unsafe fn give_back<T>(table: &mut T) {
    let page = page_bytes();
    let at = core::ptr::addr_of_mut!(*table).cast::<u8>();
    let before = at.align_offset(page);
    let Some(len) = size_of::<T>().checked_sub(before) else { return };
    let (first, len) = (at.wrapping_add(before), len - len % page);
    // SAFETY: the pages are all inside of the table, and the caller does without them.
    // Nothing is lost if it cannot be: then the memory is kept.
    let _ = unsafe { libc::madvise(first.cast::<c_void>(), len, libc::MADV_DONTNEED) };
}

fn page_bytes() -> usize {
    let known = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    known.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(1 << 16)
}

#[cfg(test)]
mod tests {
    use super::super::std::boxed::Box;
    use super::*;

    #[test]
    fn what_is_given_back_is_zeros_inside_and_untouched_around() {
        let mut table = Box::new([0xa5_u8; 40_000]);
        let (before, table, behind) = {
            let (before, rest) = table.split_at_mut(4_001);
            let (table, behind) = rest.split_at_mut(30_001);
            (before, <&mut [u8; 30_001]>::try_from(table).unwrap(), behind)
        };
        // SAFETY: bytes may have any value.
        unsafe { give_back(table) };
        assert!(before.iter().chain(behind.iter()).all(|&byte| byte == 0xa5));
        let zeros = table.iter().filter(|&&byte| byte == 0).count();
        let page = page_bytes();
        assert!(zeros % page == 0 && zeros > 30_001 - 2 * page, "{zeros}");
    }
}
