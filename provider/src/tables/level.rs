//! Levels: the dimensions that the values of a column or an expression depend on.

use std::ops::BitOr;

/// A set of dimensions of a table, by their positions: those on which a column or an expression
/// depends, besides the dataset. In a box of rows it has one value for each combination of indices
/// along these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Level(u64);

impl Level {
    /// The level of values that depend on the dataset alone.
    pub const DATASET: Self = Self(0);

    /// All dimensions: the rows.
    pub const ROWS: Self = Self(u64::MAX);

    /// The level of these dimensions. If a position is too large for the set, it is the level of
    /// all dimensions.
    pub fn of(dims: impl IntoIterator<Item = usize>) -> Self {
        let bit = |dim| u32::try_from(dim).ok().and_then(|dim| 1u64.checked_shl(dim));
        dims.into_iter().try_fold(0, |level, dim| Some(level | bit(dim)?)).map_or(Self::ROWS, Self)
    }

    /// True if a dimension is in it.
    pub fn has(self, dim: usize) -> bool {
        self == Self::ROWS || dim < 64 && self.0 & (1 << dim) != 0
    }

    /// True if `other` has all its dimensions.
    pub fn is_part_of(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Its only dimension, if it has exactly one.
    pub fn only(self) -> Option<usize> {
        (self.0.count_ones() == 1).then(|| self.0.trailing_zeros() as usize)
    }

    /// The number of dimensions in it.
    pub fn dims(self) -> u32 {
        self.0.count_ones()
    }
}

impl BitOr for Level {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
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
        assert_eq!(Level::of([64]), Level::ROWS);
        assert!(Level::ROWS.has(1000) && Level::of([63]).has(63) && !Level::of([63]).has(64));
    }
}
