//! A heap that can be sealed: who allocates then, or frees, fails the test.
//!
//! A program of tests that has this module has this heap. The seal is a
//! thread's own, as tests run beside each other.

// Not every program of tests uses all of it.
#![allow(dead_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::fmt::{self, Write};
use std::thread;

#[global_allocator]
static HEAP: Sealable = Sealable;

struct Sealable;

thread_local! {
    static IS_SEALED: Cell<bool> = const { Cell::new(false) };
    /// Who broke the seal first.
    static BROKEN: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Does something that has to do without the heap.
#[track_caller]
pub fn sealed<T>(action: impl FnOnce() -> T) -> T {
    let result = with_seal(true, action);
    if let Some(broken) = BROKEN.with(|broken| broken.borrow_mut().take()) {
        panic!("{broken}");
    }
    result
}

/// Does, in the midst of what is [`sealed`], something that only the test wants.
pub fn unsealed<T>(action: impl FnOnce() -> T) -> T {
    with_seal(false, action)
}

fn with_seal<T>(is_sealed: bool, action: impl FnOnce() -> T) -> T {
    /// Also where `action` panics.
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            IS_SEALED.set(self.0);
        }
    }
    let _before = Before(IS_SEALED.replace(is_sealed));
    action()
}

/// The text of something that has to do without the heap to become text.
pub fn text_of(something: impl fmt::Display) -> String {
    let mut text = Buffer { bytes: [0; 8192], len: 0 };
    sealed(|| write!(text, "{something}")).expect("text of at most 8 KiB");
    unsealed(|| String::from_utf8_lossy(&text.bytes[..text.len]).into_owned())
}

struct Buffer {
    bytes: [u8; 8192],
    len: usize,
}

impl Write for Buffer {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + more.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(more.as_bytes());
        self.len += more.len();
        Ok(())
    }
}

/// A panic's message is put together on the heap, before anybody hears of the panic.
fn check(what: &str, size: usize) {
    if IS_SEALED.get() && !thread::panicking() {
        unsealed(|| {
            let broken = format!("{size} bytes {what}\n{}", Backtrace::force_capture());
            BROKEN.with(|first| first.borrow_mut().get_or_insert(broken).len())
        });
    }
}

// SAFETY: everything is done by the system's heap.
unsafe impl GlobalAlloc for Sealable {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check("allocated", layout.size());
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check("allocated, zeroed", layout.size());
        // SAFETY: as the caller says.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        check("reallocated", size);
        // SAFETY: as the caller says.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        check("freed", layout.size());
        // SAFETY: as the caller says.
        unsafe { System.dealloc(at, layout) }
    }
}

#[test]
#[should_panic(expected = "8 bytes allocated")]
fn a_seal_that_is_broken_fails_the_test() {
    sealed(|| drop(std::hint::black_box(Box::new(5_u64))));
}

#[test]
fn outside_of_the_seal_the_heap_is_there() {
    let boxed = sealed(|| unsealed(|| Box::new(5)));
    assert_eq!(*boxed, 5);
}

#[test]
#[should_panic(expected = "5 of 7")]
fn a_panic_may_use_the_heap() {
    sealed(|| panic!("{} of 7", std::hint::black_box(5)));
}
