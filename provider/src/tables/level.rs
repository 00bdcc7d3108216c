//! Levels: the dimensions that the values of a column or an expression depend on.

use std::ops::BitOr;

/// The number of words of a set of dimensions.
const WORDS: usize = 16;

/// A set of dimensions of a table, by their positions: those on which a column or an expression
/// depends, besides the dataset. In a box of rows it has one value for each combination of indices
/// along these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Level([u64; WORDS]);

impl Level {
    /// The level of values that depend on the dataset alone.
    pub const DATASET: Self = Self([0; WORDS]);

    /// All dimensions: the rows.
    pub const ROWS: Self = Self([u64::MAX; WORDS]);

    /// The greatest number of dimensions of a table that can be scanned.
    pub const MAX_DIMS: usize = WORDS * 64;

    /// The level of these dimensions. If a position is too large for the set, it is the level of
    /// all dimensions.
    pub fn of(dims: impl IntoIterator<Item = usize>) -> Self {
        let mut level = Self::DATASET;
        for dim in dims {
            let Some(word) = level.0.get_mut(dim / 64) else { return Self::ROWS };
            *word |= 1 << (dim % 64);
        }
        level
    }

    /// True if a dimension is in it.
    pub fn has(self, dim: usize) -> bool {
        match self.0.get(dim / 64) {
            Some(word) => word & (1 << (dim % 64)) != 0,
            None => self == Self::ROWS,
        }
    }

    /// True if `other` has all its dimensions.
    pub fn is_part_of(self, other: Self) -> bool {
        self | other == other
    }

    /// Its only dimension, if it has exactly one.
    pub fn only(self) -> Option<usize> {
        let (place, word) = self.0.iter().enumerate().find(|(_, word)| **word != 0)?;
        (self.dims() == 1).then(|| place * 64 + word.trailing_zeros() as usize)
    }

    /// The number of dimensions in it.
    pub fn dims(self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }
}

impl BitOr for Level {
    type Output = Self;

    fn bitor(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word |= other);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_sets_of_dimensions() {
        let (time, depth) = (Level::of([0]), Level::of([1]));
        assert_eq!((Level::of([]), Level::of([1, 0])), (Level::DATASET, time | depth));
        assert_eq!((time.only(), (time | depth).only(), Level::DATASET.only()), (Some(0), None, None));
        assert!(time.is_part_of(time | depth) && !(time | depth).is_part_of(time) && depth.has(1));
        for dim in [0, 1, 63, 64, 65, 127, 128, Level::MAX_DIMS - 1] {
            let level = Level::of([dim]);
            assert_eq!((level.only(), level.dims()), (Some(dim), 1));
            assert!(level.has(dim) && !level.has(dim + 1) && !level.has(dim + 64) && Level::ROWS.has(dim));
            assert_ne!(level, Level::ROWS);
            assert_eq!((level | Level::of([2])).only(), None);
        }
        assert_eq!(Level::of([0, Level::MAX_DIMS]), Level::ROWS);
        assert!(Level::ROWS.has(5000) && !Level::DATASET.has(5000));
    }
}
