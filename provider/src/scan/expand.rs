//! Expands values of one level to a higher one, by repeating them along the dimensions that they
//! lack.

use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, BooleanArray, UInt32Array, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::take;
use arrow::datatypes::DataType;
use datafusion::common::Result;

use super::boxes::Boxes;
use crate::tables::layout::Layout;
use crate::tables::level::Level;

/// How values of a level are repeated for a higher one in some boxes.
#[derive(Clone, Copy)]
pub struct Expansion<'a> {
    pub boxes: &'a Boxes,
    pub layout: &'a Layout,
    pub from: Level,
    pub to: Level,
}

impl Expansion<'_> {
    /// True if no value is repeated.
    pub fn is_none(&self) -> bool {
        self.from == self.to
            || self.boxes.iter().all(|tile| {
                let mut sizes = tile.sizes(self.layout, self.to, self.from);
                sizes.all(|(has, size)| has || size == 1)
            })
    }

    /// The number of values at the higher level.
    fn len(&self) -> usize {
        self.boxes.values(self.layout, self.to)
    }

    /// The values, repeated for the higher level.
    pub fn values<T: Copy>(&self, values: &[T]) -> Vec<T> {
        let mut expanded = Vec::with_capacity(self.len());
        let (mut sizes, mut rest) = (Vec::new(), values);
        for tile in self.boxes.iter() {
            sizes.clear();
            merge_into(&mut sizes, tile.sizes(self.layout, self.to, self.from));
            let own: usize = sizes.iter().filter(|(has, _)| *has).map(|(_, size)| size).product();
            let (now, after) = rest.split_at_checked(own).unwrap_or((rest, &[]));
            rest = after;
            repeat(now, &sizes, &mut expanded);
        }
        expanded
    }

    /// A bit for each value of the higher level: that of the value from which it comes.
    pub fn bits(&self, bits: &BooleanBuffer) -> BooleanBuffer {
        if self.is_none() {
            return bits.clone();
        }
        let bytes: Vec<u8> = bits.iter().map(u8::from).collect();
        let expanded = self.values(&bytes);
        BooleanBuffer::collect_bool(expanded.len(), |i| expanded.get(i) == Some(&1))
    }

    /// The same for an array of any type.
    pub fn array(&self, values: &ArrayRef) -> Result<ArrayRef> {
        if self.is_none() {
            return Ok(Arc::clone(values));
        }
        if let DataType::Boolean = values.data_type() {
            let values = values.as_boolean();
            let valid = values.nulls().map(|nulls| NullBuffer::new(self.bits(nulls.inner())));
            return Ok(Arc::new(BooleanArray::new(self.bits(values.values()), valid)));
        }
        if let Some(expanded) = self.numbers(values) {
            return Ok(expanded);
        }
        let places: Vec<u32> = (0..u32::try_from(values.len()).unwrap_or(u32::MAX)).collect();
        Ok(take(values, &UInt32Array::from(self.values(&places)), None)?)
    }

    /// The same for an array whose values have a fixed width.
    fn numbers(&self, values: &ArrayRef) -> Option<ArrayRef> {
        let data = values.to_data();
        let width = data.data_type().primitive_width()?;
        let first = data.buffers().first()?;
        let place = data.offset()..data.offset() + data.len();
        let buffer = match width {
            1 => Buffer::from_vec(self.values(first.typed_data::<u8>().get(place)?)),
            2 => Buffer::from_vec(self.values(first.typed_data::<u16>().get(place)?)),
            4 => Buffer::from_vec(self.values(first.typed_data::<u32>().get(place)?)),
            8 => Buffer::from_vec(self.values(first.typed_data::<u64>().get(place)?)),
            _ => return None,
        };
        let valid = data.nulls().map(|nulls| NullBuffer::new(self.bits(nulls.inner())));
        let expanded =
            ArrayData::builder(data.data_type().clone()).len(self.len()).add_buffer(buffer).nulls(valid);
        expanded.build().ok().map(make_array)
    }
}

/// Merges consecutive sizes that are alike.
fn merge_into(merged: &mut Vec<(bool, usize)>, sizes: impl Iterator<Item = (bool, usize)>) {
    for (has, size) in sizes {
        match merged.last_mut() {
            Some((last, merged)) if *last == has => *merged *= size,
            _ => merged.push((has, size)),
        }
    }
}

/// Repeats values along the dimensions that they lack. `sizes` has for each dimension, slowest
/// first, whether the values have it, and its size.
fn repeat<T: Copy>(values: &[T], sizes: &[(bool, usize)], repeated: &mut Vec<T>) {
    let first = values.first().copied();
    match *sizes {
        [] => repeated.extend(first),
        [(true, size)] => repeated.extend_from_slice(values.get(..size).unwrap_or_default()),
        [(false, size)] => {
            repeated.extend(first.into_iter().flat_map(|value| std::iter::repeat_n(value, size)))
        }
        [(true, size), (false, times)] => {
            for &value in values.iter().take(size) {
                repeated.extend(std::iter::repeat_n(value, times));
            }
        }
        [(false, times), ref rest @ ..] => {
            let start = repeated.len();
            if times > 0 {
                repeat(values, rest, repeated);
            }
            let end = repeated.len();
            (1..times).for_each(|_| repeated.extend_from_within(start..end));
        }
        [(true, size), ref rest @ ..] => {
            let stride: usize = rest.iter().filter(|(has, _)| *has).map(|(_, size)| size).product();
            for i in 0..size {
                repeat(values.get(i * stride..).unwrap_or_default(), rest, repeated);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Each cell of a box has the value at its own indices along the dimensions that the values
        /// have.
        #[test]
        fn values_are_repeated_along_what_they_lack(dims in prop::collection::vec((any::<bool>(), 0usize..4), 0..5)) {
            let own: usize = dims.iter().filter(|(has, _)| *has).map(|(_, size)| size).product();
            let values: Vec<usize> = (0..own).collect();
            let mut expected = Vec::new();
            for cell in 0..dims.iter().map(|(_, size)| size).product() {
                let (mut rest, mut value, mut stride) = (cell, 0, 1);
                for &(has, size) in dims.iter().rev() {
                    if has {
                        value += rest % size * stride;
                        stride *= size;
                    }
                    rest /= size;
                }
                expected.push(values[value]);
            }
            let mut merged = Vec::new();
            merge_into(&mut merged, dims.iter().copied());
            for sizes in [dims, merged] {
                let mut repeated = Vec::new();
                repeat(&values, &sizes, &mut repeated);
                prop_assert_eq!(&repeated, &expected);
            }
        }
    }
}
