//! Whose turn it is.

use crate::limits::MAX_JOBS;

/// The positions of the configuration that did not have their turn yet, or are to have
/// it again. Found in time that does not grow with their number. All zeros: none.
pub(super) struct Turns {
    words: [u64; MAX_JOBS.div_ceil(64)],
}

impl Turns {
    pub(super) const fn new() -> Self {
        Turns { words: [0; MAX_JOBS.div_ceil(64)] }
    }

    /// The first of them.
    pub(super) fn first(&self) -> Option<usize> {
        let word = self.words.iter().position(|&word| word != 0)?;
        Some(word * 64 + self.words[word].trailing_zeros() as usize)
    }

    pub(super) fn add(&mut self, position: usize) {
        self.words[position / 64] |= 1 << (position % 64);
    }

    pub(super) fn remove(&mut self, position: usize) {
        self.words[position / 64] &= !(1 << (position % 64));
    }

    /// Makes them the first `count` positions.
    pub(super) fn begin(&mut self, count: usize) {
        self.words.fill(0);
        (0..count).for_each(|position| self.add(position));
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn they_come_in_order_each_until_it_is_removed() {
        let mut turns = Turns::new();
        assert_eq!(turns.first(), None);
        turns.begin(MAX_JOBS);
        for position in 0..MAX_JOBS {
            assert_eq!(turns.first(), Some(position));
            turns.remove(position);
        }
        [MAX_JOBS - 1, 1, 0].iter().for_each(|&position| turns.add(position));
        let mut next = || {
            turns.first().map(|position| {
                turns.remove(position);
                position
            })
        };
        let found: Vec<usize> = core::iter::from_fn(&mut next).collect();
        assert_eq!(found, [0, 1, MAX_JOBS - 1]);
        turns.begin(2);
        turns.begin(1);
        turns.remove(0);
        assert_eq!(turns.first(), None);
    }
}
