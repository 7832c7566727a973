//! Which of many are meant.

use crate::limits::MAX_JOBS;

/// Positions of the configuration, or rows of the table. The first of them is found in time that
/// does not grow with their number. All zeros: none.
pub(super) struct Marks {
    words: [u64; MAX_JOBS.div_ceil(64)],
}

impl Marks {
    pub(super) const fn new() -> Self {
        Marks { words: [0; MAX_JOBS.div_ceil(64)] }
    }

    /// The first of them.
    pub(super) fn first(&self) -> Option<usize> {
        let word = self.words.iter().position(|&word| word != 0)?;
        Some(word * 64 + self.words[word].trailing_zeros() as usize)
    }

    /// The first of them that is not below `start`.
    pub(super) fn first_from(&self, start: usize) -> Option<usize> {
        let rest = self.words.get(start / 64)? >> (start % 64);
        if rest != 0 {
            return Some(start + rest.trailing_zeros() as usize);
        }
        let next = start / 64 + 1;
        let word = next + self.words[next..].iter().position(|&word| word != 0)?;
        Some(word * 64 + self.words[word].trailing_zeros() as usize)
    }

    pub(super) fn contains(&self, position: usize) -> bool {
        self.words[position / 64] >> (position % 64) & 1 == 1
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
        let mut turns = Marks::new();
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

    #[test]
    fn those_below_a_position_are_left_out() {
        let mut marks = Marks::new();
        let all = [0, 1, MAX_JOBS / 2, MAX_JOBS - 1];
        all.iter().for_each(|&position| marks.add(position));
        for start in 0..MAX_JOBS + 70 {
            let expected = all.into_iter().find(|&position| position >= start);
            assert_eq!(marks.first_from(start), expected, "{start}");
        }
    }
}
