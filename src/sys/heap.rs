//! The heap of the program: another one until pmtr has started, and then a few bytes of its own.
//!
//! Nothing is allocated after the start, with one exception that is not ours: Rust puts
//! the message of a panic together on the heap before anybody hears of the panic.
//! Whatever has gone wrong then, that shall not need memory of libc or of the
//! kernel, which may be what has gone wrong.

use super::std::alloc::{GlobalAlloc, Layout};
use super::std::prelude::v1::*;
use crate::limits::LAST_WORDS_BYTES;
use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

static IS_SEALED: AtomicBool = AtomicBool::new(false);

/// From now on memory is taken from the heap's own bytes, as long as there are any.
pub fn seal() {
    IS_SEALED.store(true, Ordering::Relaxed);
}

/// A heap, to be a program's `#[global_allocator]`, over another one.
pub struct Heap<A> {
    other: A,
    own: UnsafeCell<[u8; LAST_WORDS_BYTES]>,
    /// How many of its own bytes are given out. They are not given out again.
    used: AtomicUsize,
}

// SAFETY: of its own bytes each is given out once.
unsafe impl<A: Sync> Sync for Heap<A> {}

impl<A> Heap<A> {
    /// A heap over `other`.
    pub const fn new(other: A) -> Self {
        Heap { other, own: UnsafeCell::new([0; LAST_WORDS_BYTES]), used: AtomicUsize::new(0) }
    }

    /// Own bytes that nobody has; null if there are not as many.
    fn own(&self, layout: Layout) -> *mut u8 {
        let first = self.own.get().cast::<u8>();
        let place = |used: usize| used + first.wrapping_add(used).align_offset(layout.align());
        let after = |used| Some(place(used) + layout.size()).filter(|&end| end <= LAST_WORDS_BYTES);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after) {
            Ok(used) => first.wrapping_add(place(used)),
            Err(_) => null_mut(),
        }
    }

    fn is_own(&self, at: *mut u8) -> bool {
        let first = self.own.get() as usize;
        (first..first + LAST_WORDS_BYTES).contains(&(at as usize))
    }
}

// SAFETY: what is given out is the other heap's, or own bytes that nobody else has.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Heap<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if IS_SEALED.load(Ordering::Relaxed) {
            let own = self.own(layout);
            if !own.is_null() {
                return own;
            }
        }
        // SAFETY: as the caller says.
        unsafe { self.other.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if !self.is_own(at) {
            // SAFETY: as the caller says, and then it is the other heap's.
            unsafe { self.other.dealloc(at, layout) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::std::alloc::System;
    use super::super::std::assert;
    use super::*;

    #[test]
    fn once_sealed_it_gives_out_its_own_bytes_once_and_then_those_of_the_other() {
        let heap = Heap::new(System);
        let (odd, word) = (Layout::new::<[u8; 3]>(), Layout::new::<u64>());
        // SAFETY: all layouts have a size, and everything is freed as it was taken.
        unsafe {
            let early = heap.alloc(word);
            assert!(!heap.is_own(early));
            seal();
            let (first, second) = (heap.alloc(odd), heap.alloc(word));
            assert!(heap.is_own(first) && heap.is_own(second) && second as usize % 8 == 0);
            assert!(second as usize - first as usize >= 3);
            heap.dealloc(second, word);
            heap.dealloc(early, word);
            let all = Layout::new::<[u8; LAST_WORDS_BYTES]>();
            let more = heap.alloc(all);
            assert!(!more.is_null() && !heap.is_own(more));
            heap.dealloc(more, all);
            assert!(heap.is_own(heap.alloc(odd)));
        }
    }
}
