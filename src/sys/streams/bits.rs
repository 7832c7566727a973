//! A set of rows of the table of streams.

use crate::limits::MAX_STREAMS;

const WORDS: usize = MAX_STREAMS.div_ceil(64);

/// A set of numbers below [`MAX_STREAMS`]. All zeros when empty.
pub(super) struct Bits {
    words: [u64; WORDS],
}

impl Bits {
    pub const fn new() -> Self {
        Bits { words: [0; WORDS] }
    }

    pub fn insert(&mut self, row: usize) {
        self.words[row / 64] |= 1 << (row % 64);
    }

    pub fn remove(&mut self, row: usize) {
        self.words[row / 64] &= !(1 << (row % 64));
    }

    pub fn contains(&self, row: usize) -> bool {
        self.words[row / 64] >> (row % 64) & 1 == 1
    }

    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// The first member from `from` on; after the last one, the first of all.
    pub fn next(&self, from: usize) -> Option<usize> {
        self.first_from(from).or_else(|| self.first_from(0))
    }

    /// The first row from `from` on that both have; after the last one, the first of all.
    pub fn next_of_both(&self, other: &Bits, from: usize) -> Option<usize> {
        let mut both = Bits::new();
        for (word, (a, b)) in both.words.iter_mut().zip(self.words.iter().zip(&other.words)) {
            *word = a & b;
        }
        both.next(from)
    }

    /// Makes all of `other` members.
    pub fn insert_all(&mut self, other: &Bits) {
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
    }

    /// The lowest row that is not a member.
    pub fn first_free(&self) -> Option<usize> {
        let word = self.words.iter().position(|&word| word != u64::MAX)?;
        let row = word * 64 + self.words[word].trailing_ones() as usize;
        (row < MAX_STREAMS).then_some(row)
    }

    fn first_from(&self, from: usize) -> Option<usize> {
        let word = *self.words.get(from / 64)? & (u64::MAX << (from % 64));
        if word != 0 {
            return Some(from / 64 * 64 + word.trailing_zeros() as usize);
        }
        let next = from / 64 + 1;
        let found = self.words.get(next..)?.iter().position(|&word| word != 0)?;
        Some((next + found) * 64 + self.words[next + found].trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::std::{collections::BTreeSet, prelude::v1::*};
    use super::*;

    #[test]
    fn agrees_with_a_tree() {
        let mut bits = Bits::new();
        let mut tree = BTreeSet::new();
        let mut row = 1;
        for step in 0..500 {
            row = row * 7919 % MAX_STREAMS;
            if step % 3 == 0 {
                bits.remove(row);
                tree.remove(&row);
            } else {
                bits.insert(row);
                tree.insert(row);
            }
            let from = row * 31 % MAX_STREAMS;
            let next = tree.range(from..).next().or_else(|| tree.iter().next());
            assert_eq!(bits.next(from), next.copied());
            assert_eq!((bits.len(), bits.is_empty()), (tree.len(), tree.is_empty()));
            assert_eq!(bits.contains(row), tree.contains(&row));
            assert_eq!(bits.first_free(), (0..MAX_STREAMS).find(|row| !tree.contains(row)));
        }
    }

    #[test]
    fn a_full_set_has_no_free_row() {
        let mut bits = Bits::new();
        (0..MAX_STREAMS).for_each(|row| bits.insert(row));
        assert_eq!(bits.first_free(), None);
        bits.remove(MAX_STREAMS - 1);
        assert_eq!(bits.first_free(), Some(MAX_STREAMS - 1));
    }
}
