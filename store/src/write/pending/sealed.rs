//! The chunks of an array that were written to their segment, by number.

use std::ops::Range;

/// A set of numbers. It is small if the numbers are consecutive, as most arrays are written from
/// the first chunk to the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sealed {
    /// A range that grows at its end. `rest` has the other numbers, sorted.
    first: Range<u64>,
    rest: Vec<Range<u64>>,
}

impl Sealed {
    /// All numbers below `count`.
    pub(super) fn all(count: u64) -> Self {
        Self { first: 0..count, rest: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty() && self.rest.is_empty()
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        let after = self.rest.partition_point(|range| range.end <= number);
        self.first.contains(&number) || self.rest.get(after).is_some_and(|range| range.contains(&number))
    }

    pub(super) fn insert(&mut self, number: u64) {
        if self.contains(number) {
            return;
        }
        if self.first.is_empty() && self.rest.is_empty() || self.first.end == number {
            self.first.start = if self.first.is_empty() { number } else { self.first.start };
            self.first.end = number + 1;
            return;
        }
        let place = self.rest.partition_point(|range| range.end < number);
        match self.rest.get_mut(place) {
            Some(range) if range.end == number => range.end += 1,
            Some(range) if range.start == number + 1 => range.start = number,
            _ => self.rest.insert(place, number..number + 1),
        }
    }

    pub(super) fn remove(&mut self, number: u64) {
        let without = |range: &Range<u64>| {
            let (low, high) = (range.start..number.clamp(range.start, range.end), number + 1..range.end);
            if range.contains(&number) { [low, high] } else { [range.clone(), 0..0] }
        };
        let ranges = std::iter::once(&self.first).chain(&self.rest).flat_map(without);
        let mut rest: Vec<_> = ranges.filter(|range| !range.is_empty()).collect();
        rest.sort_by_key(|range| range.start);
        *self = Self { first: rest.pop().unwrap_or_default(), rest };
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> {
        std::iter::once(&self.first).chain(&self.rest).flat_map(Clone::clone)
    }
}

impl FromIterator<u64> for Sealed {
    fn from_iter<I: IntoIterator<Item = u64>>(numbers: I) -> Self {
        let mut sealed = Self::default();
        numbers.into_iter().for_each(|number| sealed.insert(number));
        sealed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(changes in prop::collection::vec((0u64..40, 0..4), 0..120)) {
            let (mut sealed, mut model) = (Sealed::default(), HashSet::new());
            for (number, change) in changes {
                if change == 0 {
                    sealed.remove(number);
                    model.remove(&number);
                } else {
                    sealed.insert(number);
                    model.insert(number);
                }
                for number in 0..41 {
                    prop_assert_eq!(sealed.contains(number), model.contains(&number));
                }
                prop_assert_eq!(sealed.numbers().collect::<HashSet<_>>(), model.clone());
            }
        }
    }

    #[test]
    fn numbers_in_order_take_no_memory() {
        let sealed: Sealed = (0..1000).collect();
        assert_eq!(sealed.rest.capacity(), 0);
    }
}
