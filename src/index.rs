//! Finding a row of a table by a key, in time that does not grow with the table.
//!
//! A hash table whose parts are columns of the very table whose rows it finds:
//! it has no memory of its own, so that a table of few rows takes few pages.
//! Rows whose keys have the same remainder make a chain; the number of chains
//! is doubled when the rows are twice as many.

#![forbid(unsafe_code)]

/// The columns of the index in a row. All zeros: the row is not in the index.
#[derive(Clone, Copy, Debug, Default)]
pub struct Link {
    key: u32,
    /// The first row of the chain that has this row's number, plus one; 0: it is empty.
    first: u16,
    /// The next row of the chain that this row is in, plus one, or [`LAST`]; 0: it is in none.
    next: u16,
}

/// Ends a chain.
const LAST: u16 = u16::MAX;

/// A row that can be in an index.
pub trait Linked {
    /// Its columns.
    fn link(&self) -> &Link;
    /// Its columns, for the index to write to.
    fn link_mut(&mut self) -> &mut Link;
}

/// An index of a table of fewer than 65,535 rows. All zeros when empty.
///
/// Its methods take those rows of the table that are in use, which may only become more.
#[derive(Clone, Copy, Debug, Default)]
pub struct Index {
    chains: u16,
}

impl Link {
    /// No part of an index. All zeros.
    pub const NONE: Link = Link { key: 0, first: 0, next: 0 };
}

impl Index {
    /// An index without rows.
    pub const fn new() -> Self {
        Index { chains: 0 }
    }

    /// The row with a key. Where several have it, `is_it` says which is meant.
    pub fn find<R: Linked>(
        &self,
        rows: &[R],
        key: u32,
        is_it: impl Fn(&R) -> bool,
    ) -> Option<usize> {
        let mut next = rows[..usize::from(self.chains)].get(self.chain(key))?.link().first;
        while let Some(row) = row(next) {
            let link = rows[row].link();
            if link.key == key && is_it(&rows[row]) {
                return Some(row);
            }
            next = link.next;
        }
        None
    }

    /// Adds a row, which is not in the index.
    pub fn insert<R: Linked>(&mut self, rows: &mut [R], row: usize, key: u32) {
        if rows.len() >= 2 * usize::from(self.chains) {
            self.grow(rows);
        }
        rows[row].link_mut().key = key;
        self.chain_up(rows, row);
    }

    /// Takes a row out, if it is in the index.
    pub fn remove<R: Linked>(&mut self, rows: &mut [R], gone: usize) {
        let Link { key, next: behind, .. } = *rows[gone].link();
        if behind == 0 {
            return;
        }
        let chain = self.chain(key);
        let mut before = rows[chain].link().first;
        if before == number(gone) {
            rows[chain].link_mut().first = if behind == LAST { 0 } else { behind };
        } else {
            while let Some(at) = row(before) {
                before = rows[at].link().next;
                if before == number(gone) {
                    rows[at].link_mut().next = behind;
                }
            }
        }
        rows[gone].link_mut().next = 0;
    }

    /// Takes all rows out.
    pub fn clear<R: Linked>(&mut self, rows: &mut [R]) {
        rows.iter_mut().for_each(|row| *row.link_mut() = Link::NONE);
        self.chains = 0;
    }

    fn chain(&self, key: u32) -> usize {
        // Without a chain there is none that could be found.
        key.checked_rem(u32::from(self.chains)).unwrap_or(0) as usize
    }

    fn grow<R: Linked>(&mut self, rows: &mut [R]) {
        self.chains = rows.len() as u16;
        rows.iter_mut().for_each(|row| row.link_mut().first = 0);
        for row in 0..rows.len() {
            if rows[row].link().next > 0 {
                self.chain_up(rows, row);
            }
        }
    }

    fn chain_up<R: Linked>(&self, rows: &mut [R], row: usize) {
        let chain = self.chain(rows[row].link().key);
        let first = core::mem::replace(&mut rows[chain].link_mut().first, number(row));
        rows[row].link_mut().next = if first == 0 { LAST } else { first };
    }
}

/// The row of a number; 0 and [`LAST`] are none.
fn row(number: u16) -> Option<usize> {
    (number != LAST).then_some(number)?.checked_sub(1).map(usize::from)
}

fn number(row: usize) -> u16 {
    row as u16 + 1
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    #[derive(Clone, Default)]
    struct Row {
        link: Link,
        name: u32,
    }

    impl Linked for Row {
        fn link(&self) -> &Link {
            &self.link
        }

        fn link_mut(&mut self) -> &mut Link {
            &mut self.link
        }
    }

    /// What happens to a row: it gets a name (and key), loses it, or rows are added.
    #[derive(Clone, Debug)]
    enum Step {
        Name(usize, u32),
        Forget(usize),
        More(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..100_usize, 0..90_u32).prop_map(|(row, name)| Step::Name(row, name)),
            2 => (0..100_usize).prop_map(Step::Forget),
            1 => (1..20_usize).prop_map(Step::More),
        ]
    }

    proptest! {
        /// Few keys for many names, so that chains are long and keys are shared.
        #[test]
        fn agrees_with_a_tree(steps in proptest::collection::vec(step(), 1..150), keys in 1..90_u32) {
            let mut rows: Vec<Row> = Vec::new();
            rows.resize(1, Row::default());
            let (mut index, mut model) = (Index::new(), BTreeMap::new());
            for step in steps {
                match step {
                    Step::Name(row, name) => {
                        let row = row % rows.len();
                        if !model.contains_key(&name) && !model.values().any(|&other| other == row) {
                            rows[row].name = name;
                            index.insert(&mut rows, row, name % keys);
                            model.insert(name, row);
                        }
                    }
                    Step::Forget(row) => {
                        let row = row % rows.len();
                        index.remove(&mut rows, row);
                        model.retain(|_, other| *other != row);
                    }
                    Step::More(more) => rows.resize(rows.len() + more, Row::default()),
                }
                for name in 0..90 {
                    let found = index.find(&rows, name % keys, |row| row.name == name);
                    prop_assert_eq!(found, model.get(&name).copied());
                }
            }
        }
    }

    #[test]
    fn a_cleared_index_is_as_a_new_one() {
        let mut rows = std::vec![Row::default(); 9];
        let mut index = Index::new();
        (0..9).for_each(|row| index.insert(&mut rows, row, 7));
        index.clear(&mut rows);
        assert_eq!(index.find(&rows, 7, |_| true), None);
        index.insert(&mut rows, 4, 7);
        assert_eq!(index.find(&rows, 7, |_| true), Some(4));
    }

    #[test]
    fn a_chain_is_short_however_many_rows_there_are() {
        let mut rows = Vec::new();
        let mut index = Index::new();
        for row in 0..1000 {
            rows.push(Row::default());
            // As process ids are: the next one every time, with gaps.
            index.insert(&mut rows, row, 70_000 + row as u32 * 3);
        }
        for chain in 0..usize::from(index.chains) {
            let start = row(rows[chain].link.first);
            let chain = core::iter::successors(start, |&at| row(rows[at].link.next));
            assert!(chain.count() <= 2);
        }
    }
}
