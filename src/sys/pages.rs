//! Pages of memory that are needed now and then, and given back in between (madvise(2)).

use super::std::prelude::v1::*;
use super::std::sync::Mutex;
use crate::limits::PAGE_BYTES;
use core::ffi::c_void;
use core::mem::size_of;
use nix::libc;
use nix::unistd::{sysconf, SysconfVar};

/// The part of a buffer that is whole pages, which [`give_back_bytes`] leaves nothing of.
pub(super) fn whole(bytes: &mut [u8]) -> &mut [u8] {
    let (before, len) = extent(bytes.as_ptr(), bytes.len());
    &mut bytes[before..][..len]
}

/// Gives back the memory of a buffer: its whole pages are zeros afterwards, and
/// take up memory when they are used again.
pub(super) fn give_back_bytes(bytes: &mut [u8]) {
    // SAFETY: bytes can have any value.
    unsafe { give_back_pages(bytes.as_mut_ptr(), bytes.len()) }
}

/// The same for a table.
///
/// # Safety
///
/// The table must be worth the same when any of its pages become zeros.
pub(super) unsafe fn give_back<T>(table: &mut T) {
    let at = core::ptr::addr_of_mut!(*table).cast::<u8>();
    // SAFETY: as the caller says.
    unsafe { give_back_pages(at, size_of::<T>()) }
}

/// The same for one that is shared, but that nobody uses now.
///
/// # Safety
///
/// As for [`give_back`], and nobody else may look at it meanwhile.
pub(super) unsafe fn give_back_shared<T>(table: &Mutex<T>) {
    // SAFETY: as the caller says.
    unsafe { give_back_pages(core::ptr::addr_of!(*table).cast_mut().cast(), size_of::<Mutex<T>>()) }
}

/// # Safety
///
/// As for [`give_back`], and the bytes must be borrowed for writing.
unsafe fn give_back_pages(at: *mut u8, len: usize) {
    let (before, len) = extent(at, len);
    let first = at.wrapping_add(before).cast::<c_void>();
    // SAFETY: the pages are all inside of what the caller gives back.
    // Where that cannot be (mlock(2)) the memory is kept, and nothing is lost.
    let _ = unsafe { libc::madvise(first, len, libc::MADV_DONTNEED) };
}

/// How far below its present end the stack may have been in use: what pmtr needs of it at most.
const STACK_BYTES: usize = 64 * 1024;

/// What the function below and its call of the kernel need of the stack at most.
const CALL_BYTES: usize = 256;

/// Gives back the memory of the stack below its present end, where calls that have
/// returned had their variables. For the first thread of a process, whose stack
/// has nothing else below it for a long way (setrlimit(2), `RLIMIT_STACK`).
#[inline(never)]
pub(super) fn give_back_stack() {
    let here = 0_u8;
    let end = core::hint::black_box(core::ptr::addr_of!(here)) as usize - CALL_BYTES;
    let page = page_bytes();
    let (end, len) = (end / page * page, STACK_BYTES / page * page);
    // SAFETY: nobody has anything below the end of the stack.
    // Where that cannot be (mlock(2)) the memory is kept, and nothing is lost; what
    // the stack did not reach yet is no error either, but told as one.
    let _ = unsafe { libc::madvise((end - len) as *mut c_void, len, libc::MADV_DONTNEED) };
}

/// Gives back what the heap of libc does not use any more (malloc_trim(3)): nothing
/// is allocated after the start.
pub(super) fn give_back_heap() {
    // SAFETY: takes a number, how many bytes to keep at the end of the heap.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Where the first whole page begins in so many bytes, and how many bytes whole pages have.
fn extent(at: *const u8, len: usize) -> (usize, usize) {
    let page = page_bytes();
    let before = at.align_offset(page).min(len);
    (before, (len - before) / page * page)
}

fn page_bytes() -> usize {
    let known = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    known.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(PAGE_BYTES)
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
