//! A list with a fixed capacity.

#![forbid(unsafe_code)]

use core::ops::{Deref, DerefMut};

/// A list of at most `N` rows; a slice of those that are there.
///
/// All zeros when empty, if `T`'s value for the rows that are not there is. Its
/// length is next to its first rows, in the same page: a list that nobody uses
/// takes up none, and a short one takes up one.
#[repr(C)]
pub struct List<T, const N: usize> {
    len: u32,
    rows: [T; N],
}

impl<T: Copy, const N: usize> List<T, N> {
    /// An empty list, whose rows are `none` until they are used.
    pub const fn new(none: T) -> Self {
        List { len: 0, rows: [none; N] }
    }

    /// Adds a row; gives it back if there is no room.
    pub fn push(&mut self, row: T) -> Result<(), T> {
        let at = self.len as usize;
        *self.rows.get_mut(at).ok_or(row)? = row;
        self.len += 1;
        Ok(())
    }

    /// Adds all rows, or none of them if there is no room for all.
    pub fn extend_from_slice(&mut self, rows: &[T]) -> Result<(), ()> {
        let at = self.len as usize;
        let room = self.rows.get_mut(at..).and_then(|room| room.get_mut(..rows.len())).ok_or(())?;
        room.copy_from_slice(rows);
        self.len += rows.len() as u32;
        Ok(())
    }

    /// Empties the list.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Keeps the rows for which `is_kept`, in their order.
    pub fn retain(&mut self, is_kept: impl Fn(&T) -> bool) {
        let mut kept = 0;
        for at in 0..self.len as usize {
            let row = self.rows[at];
            if is_kept(&row) {
                self.rows[kept] = row;
                kept += 1;
            }
        }
        self.len = kept as u32;
    }
}

impl<T, const N: usize> Deref for List<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.rows[..self.len as usize]
    }
}

impl<T, const N: usize> DerefMut for List<T, N> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.rows[..self.len as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_as_many_as_there_is_room_for() {
        let mut list = List::<u8, 3>::new(0);
        assert_eq!(&*list, &[]);
        assert_eq!(list.push(1), Ok(()));
        assert_eq!(list.extend_from_slice(&[2, 3, 4]), Err(()));
        assert_eq!(list.extend_from_slice(&[2, 3]), Ok(()));
        assert_eq!(list.push(4), Err(4));
        assert_eq!(&*list, &[1, 2, 3]);
        list.retain(|&row| row != 2);
        assert_eq!(&*list, &[1, 3]);
        list.clear();
        assert!(list.is_empty());
    }
}
