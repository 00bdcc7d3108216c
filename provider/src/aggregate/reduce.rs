//! Adding the cells of a box up along the dimensions that its groups do not depend on.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::bit_chunk_iterator::BitChunks;

use super::groups::Slots;

/// Values that are added side by side, so that one need not wait for the other.
const LANES: usize = 8;

/// The cells of a box that count.
pub struct Present(Option<BooleanBuffer>);

impl Present {
    /// The selected cells that are not missing.
    pub fn new(mask: Option<BooleanBuffer>, nulls: Option<&NullBuffer>) -> Self {
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0).map(|nulls| nulls.inner().clone());
        Self(match (mask, nulls) {
            (Some(mask), Some(nulls)) => Some(&mask & &nulls),
            (mask, nulls) => mask.or(nulls),
        })
    }
}

/// Where the cells of a box belong: slots, each of one group.
///
/// The cells are rows one after the other, all cut into the same runs of consecutive cells of one slot.
pub struct Layout {
    slots: usize,
    /// For each row, what is to be added to the slots of its runs.
    bases: Vec<usize>,
    /// The lengths and slots of the runs of a row.
    runs: Vec<(usize, usize)>,
    /// True where the runs are single cells of consecutive slots.
    side_by_side: bool,
}

impl Layout {
    /// The cells of a box of `shape`, in row-major order.
    pub fn new(shape: &[usize], slots: &Slots) -> Self {
        let mut stride = 1;
        // From the fastest dimension: the stride of each dimension that slots depend on.
        let mut strides = Vec::with_capacity(slots.along.len());
        for (_, places, count) in slots.along.iter().rev() {
            strides.push((places, stride));
            stride *= count;
        }
        strides.reverse();
        let last = slots.along.last().map_or(0, |&(dim, _, _)| dim);
        let mut bases = vec![0];
        for (dim, &size) in shape.iter().enumerate().take(last) {
            let along = slots.along.iter().zip(&strides).find(|((d, _, _), _)| *d == dim);
            let step = |i: usize| {
                along.map_or(0, |(_, (places, stride))| places.get(i).copied().unwrap_or(0) * stride)
            };
            bases = bases.iter().flat_map(|base| (0..size).map(move |i| base + step(i))).collect();
        }
        let mut runs: Vec<(usize, usize)> = Vec::new();
        match strides.last() {
            None => runs.push((shape.iter().product(), 0)),
            Some((places, _)) => {
                let inner: usize = shape.iter().skip(last + 1).product();
                for &slot in *places {
                    match runs.last_mut() {
                        Some((length, before)) if *before == slot => *length += inner,
                        _ => runs.push((inner, slot)),
                    }
                }
            }
        }
        let side_by_side = runs.iter().enumerate().all(|(i, &run)| run == (1, i));
        Self { slots: slots.groups.len(), bases, runs, side_by_side }
    }

    /// The group of each cell.
    pub fn row_groups(&self, slots: &Slots) -> Vec<usize> {
        let mut groups = Vec::new();
        for base in &self.bases {
            for &(length, slot) in &self.runs {
                let group = slots.groups.get(base + slot).copied().unwrap_or(0);
                groups.extend(std::iter::repeat_n(group, length));
            }
        }
        groups
    }

    /// The number of cells of each slot that count.
    pub fn counts(&self, present: &Present) -> Vec<u64> {
        let mut counts = vec![0u64; self.slots];
        self.for_runs(|slot, start, length| {
            if let Some(count) = counts.get_mut(slot) {
                *count += match &present.0 {
                    None => length as u64,
                    Some(bits) if length == 1 => u64::from(bits.value(start)),
                    Some(bits) => bits.slice(start, length).count_set_bits() as u64,
                };
            }
        });
        counts
    }

    /// Calls `run` with the slot, the first cell and the length of every run.
    fn for_runs(&self, mut run: impl FnMut(usize, usize, usize)) {
        let mut start = 0;
        for base in &self.bases {
            for &(length, slot) in &self.runs {
                run(base + slot, start, length);
                start += length;
            }
        }
    }

    /// Combines the values of each slot that count, beginning with `start`; `step` and `combine` may be applied in any
    /// order.
    fn fold<T: Copy, A: Copy>(
        &self,
        values: &[T],
        present: &Present,
        start: A,
        step: impl Fn(A, T) -> A,
        combine: impl Fn(A, A) -> A,
    ) -> Vec<A> {
        let mut folded = vec![start; self.slots];
        match &present.0 {
            None if self.side_by_side => {
                let row = self.runs.len();
                for (&base, values) in self.bases.iter().zip(values.chunks_exact(row.max(1))) {
                    for (slot, &value) in folded.iter_mut().skip(base).zip(values) {
                        *slot = step(*slot, value);
                    }
                }
            }
            None => self.for_runs(|slot, first, length| {
                let run = values.get(first..first + length).unwrap_or_default();
                if let Some(slot) = folded.get_mut(slot) {
                    *slot = combine(*slot, fold_run(run, start, &step, &combine));
                }
            }),
            Some(bits) => self.for_runs(|slot, first, length| {
                let run = values.get(first..first + length).unwrap_or_default();
                if let Some(slot) = folded.get_mut(slot) {
                    let words = BitChunks::new(bits.values(), bits.offset() + first, run.len());
                    *slot = combine(*slot, fold_marked(run, words.iter_padded(), start, &step, &combine));
                }
            }),
        }
        folded
    }
}

fn fold_run<T: Copy, A: Copy>(
    values: &[T],
    start: A,
    step: impl Fn(A, T) -> A,
    combine: impl Fn(A, A) -> A,
) -> A {
    let mut lanes = [start; LANES];
    let rest = add_to_lanes(&mut lanes, values, &step);
    let rest = rest.iter().fold(start, |all, &value| step(all, value));
    lanes.into_iter().fold(rest, combine)
}

/// As [`fold_run`], of the values whose bits are set, the first in the lowest bit of the first of the words.
fn fold_marked<T: Copy, A: Copy>(
    values: &[T],
    words: impl Iterator<Item = u64>,
    start: A,
    step: impl Fn(A, T) -> A,
    combine: impl Fn(A, A) -> A,
) -> A {
    let mut lanes = [start; LANES];
    for (values, mut word) in values.chunks(64).zip(words) {
        match word {
            0 => {}
            u64::MAX => {
                add_to_lanes(&mut lanes, values, &step);
            }
            _ => {
                for values in values.chunks(LANES) {
                    for (i, (lane, &value)) in lanes.iter_mut().zip(values).enumerate() {
                        let with = step(*lane, value);
                        *lane = if word & (1 << i) == 0 { *lane } else { with };
                    }
                    word >>= LANES;
                }
            }
        }
    }
    lanes.into_iter().fold(start, combine)
}

/// Adds as many of the values as fill all lanes, and returns the rest.
fn add_to_lanes<'v, T: Copy, A: Copy>(
    lanes: &mut [A; LANES],
    values: &'v [T],
    step: impl Fn(A, T) -> A,
) -> &'v [T] {
    let (many, rest) = values.as_chunks::<LANES>();
    for values in many {
        for (lane, &value) in lanes.iter_mut().zip(values) {
            *lane = step(*lane, value);
        }
    }
    rest
}

/// The sum of each slot in the type of a state; `None` for values that have no sums of it.
pub fn sums(values: &ArrayRef, present: &Present, layout: &Layout, state: &DataType) -> Option<ArrayRef> {
    macro_rules! sums {
        ($($data_type:ident, $arrow:ty, $sum:ty, $add:expr;)*) => {
            match (values.data_type(), state) {
                $((DataType::$data_type, state) if *state == <$sum>::DATA_TYPE => {
                    type Sum = <$sum as ArrowPrimitiveType>::Native;
                    let add: fn(Sum, Sum) -> Sum = $add;
                    let values = values.as_primitive::<$arrow>().values();
                    #[allow(trivial_numeric_casts, clippy::cast_lossless)]
                    let sums = layout.fold(values, present, Sum::default(), |sum, value| add(sum, value as Sum), add);
                    Some(Arc::new(PrimitiveArray::<$sum>::from_iter_values(sums)))
                })*
                _ => None,
            }
        };
    }
    sums! {
        Float32, Float32Type, Float64Type, |a, b| a + b;
        Float64, Float64Type, Float64Type, |a, b| a + b;
        Int8, Int8Type, Float64Type, |a, b| a + b;
        Int16, Int16Type, Float64Type, |a, b| a + b;
        Int32, Int32Type, Float64Type, |a, b| a + b;
        Int64, Int64Type, Float64Type, |a, b| a + b;
        UInt8, UInt8Type, Float64Type, |a, b| a + b;
        UInt16, UInt16Type, Float64Type, |a, b| a + b;
        UInt32, UInt32Type, Float64Type, |a, b| a + b;
        UInt64, UInt64Type, Float64Type, |a, b| a + b;
        Int8, Int8Type, Int64Type, i64::wrapping_add;
        Int16, Int16Type, Int64Type, i64::wrapping_add;
        Int32, Int32Type, Int64Type, i64::wrapping_add;
        Int64, Int64Type, Int64Type, i64::wrapping_add;
        UInt8, UInt8Type, UInt64Type, u64::wrapping_add;
        UInt16, UInt16Type, UInt64Type, u64::wrapping_add;
        UInt32, UInt32Type, UInt64Type, u64::wrapping_add;
        UInt64, UInt64Type, UInt64Type, u64::wrapping_add;
    }
}

/// The least or the greatest value of each slot, anything for a slot of which no cell counts; `None` for values of a type
/// that is not supported. Floats must not be NaN.
pub fn bounds(values: &ArrayRef, present: &Present, layout: &Layout, greatest: bool) -> Option<ArrayRef> {
    macro_rules! bounds {
        ($($data_type:pat, $arrow:ty, $least:expr, $most:expr;)*) => {
            match values.data_type() {
                $($data_type => {
                    let values = values.as_primitive::<$arrow>().values();
                    let bounds = if greatest {
                        let pick = |a, b| if b > a { b } else { a };
                        layout.fold(values, present, $least, pick, pick)
                    } else {
                        let pick = |a, b| if b < a { b } else { a };
                        layout.fold(values, present, $most, pick, pick)
                    };
                    Some(Arc::new(PrimitiveArray::<$arrow>::from_iter_values(bounds)))
                })*
                _ => None,
            }
        };
    }
    bounds! {
        DataType::Float32, Float32Type, f32::NEG_INFINITY, f32::INFINITY;
        DataType::Float64, Float64Type, f64::NEG_INFINITY, f64::INFINITY;
        DataType::Int8, Int8Type, i8::MIN, i8::MAX;
        DataType::Int16, Int16Type, i16::MIN, i16::MAX;
        DataType::Int32, Int32Type, i32::MIN, i32::MAX;
        DataType::Int64, Int64Type, i64::MIN, i64::MAX;
        DataType::UInt8, UInt8Type, u8::MIN, u8::MAX;
        DataType::UInt16, UInt16Type, u16::MIN, u16::MAX;
        DataType::UInt32, UInt32Type, u32::MIN, u32::MAX;
        DataType::UInt64, UInt64Type, u64::MIN, u64::MAX;
        DataType::Timestamp(TimeUnit::Nanosecond, None), TimestampNanosecondType, i64::MIN, i64::MAX;
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int32Array;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the shape, the slots and the mask: as if cell after cell was added to its group.
        #[test]
        fn cells_are_added_to_their_groups(
            shape in proptest::collection::vec(1usize..40, 1..4),
            places in proptest::collection::vec(0usize..3, 40),
            dim in 0usize..3,
            stretches in proptest::collection::vec(0usize..150, 0..40),
            masked in any::<bool>(),
            offset in 0usize..70,
        ) {
            let cells: usize = shape.iter().product();
            let dim = dim % shape.len();
            let slots = Slots {
                along: vec![(dim, places[..shape[dim]].to_vec(), 3)],
                groups: vec![2, 0, 1],
            };
            let layout = Layout::new(&shape, &slots);
            // Stretches of cells that count, and of others.
            let bits = stretches.iter().enumerate().flat_map(|(i, &n)| std::iter::repeat_n(i % 2 == 0, n));
            let bits: BooleanBuffer = std::iter::repeat_n(true, offset)
                .chain(bits.chain(std::iter::repeat(cells.is_multiple_of(2))))
                .take(offset + cells)
                .collect();
            let mask = masked.then(|| bits.slice(offset, cells));
            let values = Int32Array::from_iter_values((0..cells).map(|i| (i * 7919 % 1009) as i32));
            let mut sums = vec![0i64; 3];
            let mut greatest = vec![i32::MIN; 3];
            let mut counts = vec![0u64; 3];
            for (cell, slot) in layout.row_groups(&Slots { groups: vec![0, 1, 2], ..slots }).into_iter().enumerate() {
                if mask.as_ref().is_none_or(|mask| mask.value(cell)) {
                    sums[slot] += i64::from(values.value(cell));
                    greatest[slot] = greatest[slot].max(values.value(cell));
                    counts[slot] += 1;
                }
            }
            let present = Present::new(mask, None);
            let values: ArrayRef = Arc::new(values);
            prop_assert_eq!(layout.counts(&present), counts);
            let got = super::sums(&values, &present, &layout, &DataType::Int64).unwrap();
            prop_assert_eq!(got.as_primitive::<Int64Type>().values(), &sums);
            let got = bounds(&values, &present, &layout, true).unwrap();
            prop_assert_eq!(got.as_primitive::<Int32Type>().values(), &greatest);
        }
    }
}
