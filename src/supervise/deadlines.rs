//! When the supervisor has to act on which job, the soonest first.
//!
//! A binary heap with a place for every job, so that finding the next deadline
//! takes no time and moving one takes the logarithm of their number.

use crate::supervise::table::Row;
use crate::time::Instant;

/// At most one deadline a job. The heap, and where in it a job's entry is, are
/// columns of the jobs' rows: no entry is later than its children, at `2n + 1` and `2n + 2`.
pub(super) struct Deadlines {
    /// How many there are.
    len: u16,
}

/// The columns. All zeros: nothing is due.
#[derive(Clone, Copy)]
pub(super) struct Due {
    /// The heap's entry of this number: when something is due...
    at: Instant,
    /// ...and for which job.
    slot: u16,
    /// Where the entry of this row's job is, plus one; 0: it has none.
    place: u16,
}

impl Due {
    pub(super) const NONE: Due = Due { at: Instant::BOOT, slot: 0, place: 0 };

    /// Of two at the same time the one with the lower slot is the sooner: jobs
    /// that are stopped or restarted together are so in the order of their rows.
    fn key(&self) -> (Instant, u16) {
        (self.at, self.slot)
    }
}

impl Deadlines {
    pub(super) const fn new() -> Self {
        Deadlines { len: 0 }
    }

    /// The soonest deadline.
    pub(super) fn next(&self, rows: &[Row]) -> Option<Instant> {
        (self.len > 0).then(|| due(rows, 0).at)
    }

    /// The job with the soonest deadline, if that is not after `now`.
    pub(super) fn due(&self, rows: &[Row], now: Instant) -> Option<u16> {
        (self.next(rows)? <= now).then(|| due(rows, 0).slot)
    }

    /// Gives a job a deadline instead of the one it had, or none.
    pub(super) fn set(&mut self, rows: &mut [Row], slot: u16, at: Option<Instant>) {
        match (usize::from(due(rows, slot.into()).place), at) {
            (0, None) => {}
            (0, Some(at)) => self.insert(rows, at, slot),
            (place, None) => self.remove(rows, place - 1),
            (place, Some(at)) => {
                due_mut(rows, place - 1).at = at;
                self.restore(rows, place - 1);
            }
        }
    }

    /// A job has one entry at most, so there are as many places as are needed.
    fn insert(&mut self, rows: &mut [Row], at: Instant, slot: u16) {
        let last = usize::from(self.len);
        self.len += 1;
        set(rows, last, at, slot);
        self.restore(rows, last);
    }

    fn remove(&mut self, rows: &mut [Row], at: usize) {
        self.len -= 1;
        let last = usize::from(self.len);
        swap(rows, at, last);
        due_mut(rows, due(rows, last).slot.into()).place = 0;
        if at < last {
            self.restore(rows, at);
        }
    }

    /// Moves the entry at `at`, the only one that may be out of order, to its place.
    fn restore(&self, rows: &mut [Row], mut at: usize) {
        while at > 0 && due(rows, at).key() < due(rows, (at - 1) / 2).key() {
            swap(rows, at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
        while let Some(child) = self.sooner_child(rows, at) {
            swap(rows, at, child);
            at = child;
        }
        note(rows, at);
    }

    /// The sooner one of the children of `at`, if it is sooner than `at` itself.
    fn sooner_child(&self, rows: &[Row], at: usize) -> Option<usize> {
        let children = 2 * at + 1..usize::from(self.len).min(2 * at + 3);
        let soonest = children.min_by_key(|&child| due(rows, child).key())?;
        (due(rows, soonest).key() < due(rows, at).key()).then_some(soonest)
    }
}

fn swap(rows: &mut [Row], a: usize, b: usize) {
    let (left, right) = (*due(rows, a), *due(rows, b));
    set(rows, a, right.at, right.slot);
    set(rows, b, left.at, left.slot);
    note(rows, a);
    note(rows, b);
}

fn note(rows: &mut [Row], at: usize) {
    due_mut(rows, due(rows, at).slot.into()).place = at as u16 + 1;
}

/// Makes the heap's entry at `at` that of `slot`, which is to be [noted](note).
fn set(rows: &mut [Row], at: usize, when: Instant, slot: u16) {
    let entry = due_mut(rows, at);
    (entry.at, entry.slot) = (when, slot);
}

// The places where it is checked that a row is there; each such place takes memory.

fn due(rows: &[Row], at: usize) -> &Due {
    &rows[at].due
}

fn due_mut(rows: &mut [Row], at: usize) -> &mut Due {
    &mut rows[at].due
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn the_soonest_is_always_first(
            moves in proptest::collection::vec((0u16..40, proptest::option::of(0u64..50)), 1..300)
        ) {
            let mut deadlines = Deadlines::new();
            let mut rows: Vec<Row> = (0..40).map(|_| Row::VACANT).collect();
            let mut model = BTreeMap::new();
            for (slot, at) in moves {
                deadlines.set(&mut rows, slot, at.map(Instant::from_secs));
                match at {
                    Some(at) => model.insert(slot, at),
                    None => model.remove(&slot),
                };
                let soonest = model.values().min().map(|&at| Instant::from_secs(at));
                prop_assert_eq!(deadlines.next(&rows), soonest);
                let first = model.iter().min_by_key(|(&slot, &at)| (at, slot)).map(|(&slot, _)| slot);
                prop_assert_eq!(deadlines.due(&rows, Instant::from_secs(50)), first);
                prop_assert_eq!(deadlines.due(&rows, Instant::BOOT).is_some(), soonest == Some(Instant::BOOT));
            }
        }
    }
}
