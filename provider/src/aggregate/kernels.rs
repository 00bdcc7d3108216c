//! Kernels that accumulate the values of a frame by group.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::slots::{Present, Slots};

/// The sum of each group in the type of a state; `None` for values that have no sums of that type.
pub fn sums(
    values: &ArrayRef,
    present: &Present,
    slots: &Slots,
    groups: usize,
    state: &DataType,
) -> Option<ArrayRef> {
    macro_rules! sums {
        ($($data_type:ident, $arrow:ty, $sum:ty, $add:expr;)*) => {
            match (values.data_type(), state) {
                $((DataType::$data_type, state) if *state == <$sum>::DATA_TYPE => {
                    type Sum = <$sum as ArrowPrimitiveType>::Native;
                    let add = $add;
                    let values = values.as_primitive::<$arrow>().values();
                    #[allow(trivial_numeric_casts, clippy::cast_lossless)]
                    let sums = slots.fold(values, present, (Sum::default(), groups), |_, sum, value| add(sum, value as Sum), add);
                    Some(Arc::new(PrimitiveArray::<$sum>::from_iter_values(sums)))
                })*
                _ => None,
            }
        };
    }
    sums! {
        Float32, Float32Type, Float64Type, |a: f64, b: f64| a + b;
        Float64, Float64Type, Float64Type, |a: f64, b: f64| a + b;
        Int8, Int8Type, Float64Type, |a: f64, b: f64| a + b;
        Int16, Int16Type, Float64Type, |a: f64, b: f64| a + b;
        Int32, Int32Type, Float64Type, |a: f64, b: f64| a + b;
        Int64, Int64Type, Float64Type, |a: f64, b: f64| a + b;
        UInt8, UInt8Type, Float64Type, |a: f64, b: f64| a + b;
        UInt16, UInt16Type, Float64Type, |a: f64, b: f64| a + b;
        UInt32, UInt32Type, Float64Type, |a: f64, b: f64| a + b;
        UInt64, UInt64Type, Float64Type, |a: f64, b: f64| a + b;
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

/// The least or the greatest value of each group; arbitrary for a group without counted rows.
/// `None` for values of an unsupported type. Floats must not be NaN.
pub fn bounds(
    values: &ArrayRef,
    present: &Present,
    slots: &Slots,
    groups: usize,
    greatest: bool,
) -> Option<ArrayRef> {
    macro_rules! bounds {
        ($($data_type:pat, $arrow:ty, $least:expr, $most:expr;)*) => {
            match values.data_type() {
                $($data_type => {
                    let values = values.as_primitive::<$arrow>().values();
                    let bounds = if greatest {
                        let pick = |a, b| if b > a { b } else { a };
                        slots.fold(values, present, ($least, groups), |_, a, b| pick(a, b), pick)
                    } else {
                        let pick = |a, b| if b < a { b } else { a };
                        slots.fold(values, present, ($most, groups), |_, a, b| pick(a, b), pick)
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

/// Means and sums of squared deviations from them, by group. Computed in two passes, so that no
/// digits are lost.
pub struct Moments {
    pub means: Vec<f64>,
    pub m2: Vec<f64>,
}

/// Numbers as `f64`; `None` for values that are not numbers.
pub fn doubles(values: &ArrayRef) -> Option<Float64Array> {
    let is_number = values.data_type().is_integer() || values.data_type().is_floating();
    let doubles = is_number.then(|| cast(values, &DataType::Float64).ok()).flatten()?;
    Some(doubles.as_primitive::<Float64Type>().clone())
}

fn means(values: &[f64], present: &Present, slots: &Slots, counts: &[u64]) -> Vec<f64> {
    let add = |a: f64, b: f64| a + b;
    let sums = slots.fold(values, present, (0.0, counts.len()), |_, sum, value| add(sum, value), add);
    sums.into_iter().zip(counts).map(|(sum, &count)| sum / count as f64).collect()
}

/// The moments of the values of each group.
pub fn moments(values: &Float64Array, present: &Present, slots: &Slots, counts: &[u64]) -> Moments {
    let cells: &[f64] = values.values();
    let means = means(cells, present, slots, counts);
    let deviation = |group: u32, sum: f64, value: f64| {
        let from_mean = value - means.get(group as usize).copied().unwrap_or_default();
        from_mean * from_mean + sum
    };
    let m2 = slots.fold(cells, present, (0.0, counts.len()), deviation, |a, b| a + b);
    Moments { means, m2 }
}

/// The moments of pairs of values: those of the first values, those of the second, and the sum of
/// the products of both deviations.
pub struct PairMoments {
    pub first: Moments,
    pub second: Moments,
    pub products: Vec<f64>,
}

/// The moments of the pairs of each group.
pub fn pair_moments(
    values: [&Float64Array; 2],
    present: &Present,
    slots: &Slots,
    counts: &[u64],
) -> PairMoments {
    let [x, y] = values.map(|values| &values.values()[..]);
    let (of_x, of_y) = (means(x, present, slots, counts), means(y, present, slots, counts));
    let pairs: Vec<[f64; 2]> = x.iter().zip(y).map(|(&x, &y)| [x, y]).collect();
    let deviations = |group: u32, [xx, yy, xy]: [f64; 3], [x, y]: [f64; 2]| {
        let mean = |means: &[f64]| means.get(group as usize).copied().unwrap_or_default();
        let (x, y) = (x - mean(&of_x), y - mean(&of_y));
        [x * x + xx, y * y + yy, x * y + xy]
    };
    let add = |a: [f64; 3], b: [f64; 3]| [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
    let sums = slots.fold(&pairs, present, ([0.0; 3], counts.len()), deviations, add);
    let m2 = |of: usize| sums.iter().map(|sums| sums[of]).collect::<Vec<f64>>();
    let (xx, yy, products) = (m2(0), m2(1), m2(2));
    let first = Moments { means: of_x, m2: xx };
    PairMoments { first, second: Moments { means: of_y, m2: yy }, products }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int32Array;
    use arrow::buffer::BooleanBuffer;
    use proptest::prelude::*;

    use super::super::slots::BoxSlots;
    use super::*;

    proptest! {
        /// For all slots and masks, the result is as if each row were added to its group.
        #[test]
        fn rows_are_added_to_their_groups(
            runs in prop::collection::vec((0u32..3, 0usize..90), 0..12),
            stretches in prop::collection::vec(0usize..150, 0..20),
            masked: bool,
            offset in 0usize..70,
            kind in 0..5,
            sizes in prop::collection::vec((any::<bool>(), 1usize..6), 0..4),
        ) {
            let mut rows: usize = runs.iter().map(|(_, length)| length).sum();
            let slots = match kind {
                3 => {
                    let own: usize = sizes.iter().filter(|(has, _)| *has).map(|(_, size)| size).product();
                    let of_box = |first: u32| {
                        let numbers: Vec<u32> = (0..own as u32).map(|i| (first + i * i) % 3).collect();
                        BoxSlots::new(&sizes, &numbers)
                    };
                    rows = sizes.iter().map(|(_, size)| size).product::<usize>() * 2;
                    Slots::Boxes(vec![of_box(0), of_box(1)])
                }
                4 => Slots::Sequences(runs.clone()),
                0 => Slots::One,
                1 => Slots::Runs(runs.clone()),
                _ => Slots::Rows(runs.iter().flat_map(|&(group, length)| std::iter::repeat_n(group, length)).collect()),
            };
            // Stretches of rows that count, and of rows that do not.
            let bits = stretches.iter().enumerate().flat_map(|(i, &n)| std::iter::repeat_n(i % 2 == 0, n));
            let bits: BooleanBuffer = std::iter::repeat_n(true, offset)
                .chain(bits.chain(std::iter::repeat(rows.is_multiple_of(2))))
                .take(offset + rows)
                .collect();
            let mask = masked.then(|| bits.slice(offset, rows));
            let values = Int32Array::from_iter_values((0..rows).map(|i| (i * 7919 % 1009) as i32));
            let groups = if kind == 4 { 92 } else { 3 };
            let (mut sums, mut greatest, mut counts) = (vec![0i64; groups], vec![i32::MIN; groups], vec![0u64; groups]);
            let mut of_groups: Vec<Vec<f64>> = vec![Vec::new(); groups];
            for (row, group) in slots.to_rows(rows).into_iter().enumerate() {
                if mask.as_ref().is_none_or(|mask| mask.value(row)) {
                    sums[group] += i64::from(values.value(row));
                    greatest[group] = greatest[group].max(values.value(row));
                    counts[group] += 1;
                    of_groups[group].push(f64::from(values.value(row)));
                }
            }
            let present = Present::new(mask, []);
            let values: ArrayRef = Arc::new(values);
            prop_assert_eq!(&slots.counts(&present, rows, groups), &counts);
            let got = super::sums(&values, &present, &slots, groups, &DataType::Int64).unwrap();
            prop_assert_eq!(got.as_primitive::<Int64Type>().values(), &sums);
            let got = bounds(&values, &present, &slots, groups, true).unwrap();
            prop_assert_eq!(got.as_primitive::<Int32Type>().values(), &greatest);

            let x = doubles(&values).unwrap();
            let y: Float64Array = x.iter().map(|x| x.map(|x| (x * 0.37).sin() * 100.0)).collect();
            let got = pair_moments([&x, &y], &present, &slots, &counts);
            let alone = moments(&x, &present, &slots, &counts);
            for (group, values) in of_groups.iter().enumerate().filter(|(_, values)| !values.is_empty()) {
                let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
                let other: Vec<f64> = values.iter().map(|x| (x * 0.37).sin() * 100.0).collect();
                let (x, y) = (mean(values), mean(&other));
                let product = |a: &[f64], ma: f64, b: &[f64], mb: f64| -> f64 {
                    a.iter().zip(b).map(|(a, b)| (a - ma) * (b - mb)).sum()
                };
                for (got, expected) in [
                    (got.first.means[group], x),
                    (alone.means[group], x),
                    (got.second.means[group], y),
                    (got.first.m2[group], product(values, x, values, x)),
                    (alone.m2[group], product(values, x, values, x)),
                    (got.second.m2[group], product(&other, y, &other, y)),
                    (got.products[group], product(values, x, &other, y)),
                ] {
                    prop_assert!((got - expected).abs() <= 1e-9 * (1.0 + expected.abs()) * 1e3, "{got} {expected}");
                }
            }
        }
    }

    proptest! {
        /// Whatever is made of the groups of rows: they are the same.
        #[test]
        fn groups_of_rows_are_kept(sequences in prop::collection::vec((0u32..50, 1usize..60), 0..8)) {
            let groups = sequences.iter().flat_map(|&(first, length)| (first..).take(length));
            let groups: Vec<u32> = groups.collect();
            let expected: Vec<usize> = groups.iter().map(|&group| group as usize).collect();
            prop_assert_eq!(Slots::of_rows(groups).to_rows(expected.len()), expected);
        }
    }

    #[test]
    fn the_groups_of_a_box_are_those_of_its_dimensions() {
        let rows = |sizes: &[(bool, usize)], numbers: &[u32]| {
            let slots = Slots::Boxes(vec![BoxSlots::new(sizes, numbers)]);
            slots.to_rows(sizes.iter().map(|(_, size)| size).product())
        };
        assert_eq!(rows(&[(false, 2), (true, 3)], &[0, 1, 2]), [0, 1, 2, 0, 1, 2]);
        assert_eq!(rows(&[(true, 2), (false, 3)], &[0, 1]), [0, 0, 0, 1, 1, 1]);
        assert_eq!(
            rows(&[(true, 2), (false, 2), (true, 2), (false, 2)], &[0, 1, 2, 3]),
            [0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3]
        );
        assert_eq!(rows(&[(false, 2), (false, 2)], &[7]), [7; 4]);
        assert_eq!(rows(&[], &[7]), [7]);
    }
}
