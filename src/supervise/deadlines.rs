//! When the supervisor has to act on which job, the soonest first.
//!
//! A binary heap with a place for every job, so that finding the next deadline
//! takes no time and moving one takes the logarithm of their number.

use crate::limits::MAX_JOBS;
use crate::time::Instant;

/// At most one deadline a job, by the job's slot.
pub(super) struct Deadlines {
    /// A heap: no entry is later than its children, at `2n + 1` and `2n + 2`.
    heap: heapless::Vec<Entry, MAX_JOBS>,
    /// Where in `heap` a slot's entry is, plus one; 0: it has none.
    place: [u16; MAX_JOBS],
}

/// Of two at the same time the one with the lower slot is the sooner: jobs that
/// are stopped or restarted together are so in the order of their rows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    at: Instant,
    slot: u16,
}

impl Deadlines {
    pub(super) const fn new() -> Self {
        Deadlines { heap: heapless::Vec::new(), place: [0; MAX_JOBS] }
    }

    /// The soonest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.first().map(|entry| entry.at)
    }

    /// The job with the soonest deadline, if that is not after `now`.
    pub(super) fn due(&self, now: Instant) -> Option<u16> {
        self.heap.first().filter(|entry| entry.at <= now).map(|entry| entry.slot)
    }

    /// Gives a job a deadline instead of the one it had, or none.
    pub(super) fn set(&mut self, slot: u16, at: Option<Instant>) {
        match (usize::from(self.place[usize::from(slot)]), at) {
            (0, None) => {}
            (0, Some(at)) => self.insert(Entry { at, slot }),
            (place, None) => self.remove(place - 1),
            (place, Some(at)) => {
                self.heap[place - 1].at = at;
                self.restore(place - 1);
            }
        }
    }

    fn insert(&mut self, entry: Entry) {
        // A slot has one entry at most, so there is room for every slot's.
        if self.heap.push(entry).is_ok() {
            self.restore(self.heap.len() - 1);
        }
    }

    fn remove(&mut self, at: usize) {
        let gone = self.heap.swap_remove(at);
        self.place[usize::from(gone.slot)] = 0;
        if at < self.heap.len() {
            self.restore(at);
        }
    }

    /// Moves the entry at `at`, the only one that may be out of order, to its place.
    fn restore(&mut self, mut at: usize) {
        while at > 0 && self.heap[at] < self.heap[(at - 1) / 2] {
            self.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
        while let Some(child) = self.sooner_child(at) {
            self.swap(at, child);
            at = child;
        }
        self.note(at);
    }

    /// The sooner one of the children of `at`, if it is sooner than `at` itself.
    fn sooner_child(&self, at: usize) -> Option<usize> {
        let children = 2 * at + 1..self.heap.len().min(2 * at + 3);
        let soonest = children.min_by_key(|&child| self.heap[child])?;
        (self.heap[soonest] < self.heap[at]).then_some(soonest)
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.note(a);
        self.note(b);
    }

    fn note(&mut self, at: usize) {
        self.place[usize::from(self.heap[at].slot)] = at as u16 + 1;
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::{boxed::Box, collections::BTreeMap};

    proptest! {
        #[test]
        fn the_soonest_is_always_first(
            moves in proptest::collection::vec((0u16..40, proptest::option::of(0u64..50)), 1..300)
        ) {
            let mut deadlines = Box::new(Deadlines::new());
            let mut model = BTreeMap::new();
            for (slot, at) in moves {
                deadlines.set(slot, at.map(Instant::from_secs));
                match at {
                    Some(at) => model.insert(slot, at),
                    None => model.remove(&slot),
                };
                let soonest = model.values().min().map(|&at| Instant::from_secs(at));
                prop_assert_eq!(deadlines.next(), soonest);
                let first = model.iter().min_by_key(|(&slot, &at)| (at, slot)).map(|(&slot, _)| slot);
                prop_assert_eq!(deadlines.due(Instant::from_secs(50)), first);
                prop_assert_eq!(deadlines.due(Instant::BOOT).is_some(), soonest == Some(Instant::BOOT));
            }
        }
    }
}
