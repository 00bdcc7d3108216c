//! Finds boxes with equal values, so that keys are evaluated once for all of them. Stations that
//! measure at the same times, and profiles at the same depths, repeat their coordinates.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::take;
use datafusion::common::{HashMap, Result};

/// The least number of boxes, and of values in each on average, for which it pays to compare them.
const FEWEST: usize = 8;

/// The number of boxes after which half of the values must have been repetitions. A thousand
/// different days among stations are still worth it.
const TRIED: usize = 4096;

/// A column of which boxes repeat values.
#[derive(Debug)]
pub(super) struct Repeats {
    /// The values of different boxes, one box after the other.
    pub different: ArrayRef,
    /// For each box, the place of its values among these.
    places: Vec<Range<usize>>,
}

impl Repeats {
    /// Compares boxes that have this many values each. `None` if most of them differ, or if the
    /// type's values are not of equal size.
    pub(super) fn find(
        column: &ArrayRef,
        sizes: impl ExactSizeIterator<Item = usize>,
    ) -> Result<Option<Self>> {
        let boxes = sizes.len();
        if boxes < FEWEST || column.len() / boxes < FEWEST || column.null_count() > 0 {
            return Ok(None);
        }
        let data = column.to_data();
        let Some(width) = column.data_type().primitive_width() else { return Ok(None) };
        let Some(bytes) = data.buffers().first().and_then(|buffer| buffer.get(data.offset() * width..))
        else {
            return Ok(None);
        };
        let mut known: HashMap<&[u8], usize> = HashMap::new();
        let (mut rows, mut places) = (Vec::new(), Vec::with_capacity(boxes));
        let mut start = 0;
        for (number, size) in sizes.enumerate() {
            let Some(own) = bytes.get(start * width..(start + size) * width) else { return Ok(None) };
            let place = *known.entry(own).or_insert_with(|| {
                let place = rows.len();
                rows.extend((start..start + size).map(|row| u32::try_from(row).unwrap_or(u32::MAX)));
                place
            });
            places.push(place..place + size);
            start += size;
            if number >= TRIED && rows.len() > start / 2 {
                return Ok(None);
            }
        }
        if rows.len() > start / 2 {
            return Ok(None);
        }
        Ok(Some(Self { different: take(column, &UInt32Array::from(rows), None)?, places }))
    }

    /// The numbers of all values, from those of the different ones.
    pub(super) fn numbers(&self, different: &[u32]) -> Vec<u32> {
        let mut numbers = Vec::with_capacity(self.places.iter().map(Range::len).sum());
        let places = self.places.iter().filter_map(|place| different.get(place.clone()));
        places.for_each(|own| numbers.extend_from_slice(own));
        numbers
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringViewArray};
    use arrow::datatypes::Int64Type;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The numbers of the different values lead to the values of all boxes.
        #[test]
        fn what_is_found_stands_for_all_boxes(
            kinds in prop::collection::vec(prop::collection::vec(0i64..3, 0..30), 1..5),
            boxes in prop::collection::vec(any::<prop::sample::Index>(), 0..200),
            before in 0usize..3,
        ) {
            let boxes: Vec<&Vec<i64>> = boxes.iter().map(|index| index.get(&kinds)).collect();
            let values: Vec<i64> = boxes.iter().flat_map(|values| values.iter().copied()).collect();
            let padded: Vec<i64> = std::iter::repeat_n(-1, before).chain(values.iter().copied()).collect();
            let column: ArrayRef = Arc::new(Int64Array::from(padded).slice(before, values.len()));
            let found = Repeats::find(&column, boxes.iter().map(|values| values.len())).unwrap();
            if let Some(found) = found {
                let different = found.different.as_any().downcast_ref::<arrow::array::PrimitiveArray<Int64Type>>().unwrap();
                prop_assert!(different.len() <= values.len() / 2);
                let rows: Vec<u32> = (0..).take(different.len()).collect();
                let all: Vec<i64> =
                    found.numbers(&rows).into_iter().map(|row| different.value(row as usize)).collect();
                prop_assert_eq!(all, values);
            }
        }
    }

    #[test]
    fn only_repetitions_of_numbers_without_nulls_are_looked_for() {
        let day = |hour: i64| (hour..hour + 24).map(Some);
        let repeated: Vec<Option<i64>> = (0..100).flat_map(|station| day(station % 5)).collect();
        let find = |values: Vec<Option<i64>>| {
            let column: ArrayRef = Arc::new(Int64Array::from(values));
            Repeats::find(&column, [24; 100].into_iter()).unwrap()
        };
        assert_eq!(find(repeated.clone()).unwrap().different.len(), 5 * 24);
        assert!(find((0..100).flat_map(day).collect()).is_none());
        // Many different boxes, each of which is repeated much later.
        let days: Vec<i64> =
            (0..6000).flat_map(|station| (0..24).map(move |hour| station % 1000 * 24 + hour)).collect();
        let column: ArrayRef = Arc::new(Int64Array::from(days));
        let found = Repeats::find(&column, std::iter::repeat_n(24, 6000)).unwrap().unwrap();
        assert_eq!(found.different.len(), 1000 * 24);
        let mut with_null = repeated;
        with_null[7] = None;
        assert!(find(with_null).is_none());
        let texts: ArrayRef = Arc::new(StringViewArray::from(vec!["a"; 2400]));
        assert!(Repeats::find(&texts, [24; 100].into_iter()).unwrap().is_none());
    }
}
