//! Statistics of chunks.

use std::borrow::Cow;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampNanosecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};

use crate::model::dtype::{DType, Element};
use crate::model::value::Value;

/// Text and bytes longer than this are not stored as bounds; the chunk then has no known bounds.
const MAX_BOUND: usize = 64;

/// The number of partial sums of squared deviations, which a processor adds up side by side.
const LANES: usize = 8;

/// Statistics of some cells: of a chunk, or of a whole array.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Statistics {
    /// Number of cells.
    pub row_count: u64,
    /// Number of missing cells.
    pub null_count: u64,
    /// The number of cells that are NaN. These are not missing.
    pub nan_count: u64,
    /// The least value, not counting NaN; `None` if there is no value, or the bound was too long to
    /// store.
    pub min: Option<Value>,
    /// The greatest value, not counting NaN; `None` as for `min`.
    pub max: Option<Value>,
    /// The sum of the values, not counting NaN, as `i64`, `u64` or `f64`; `None` if there is no
    /// value, the type has no sums, or the sum overflows.
    pub sum: Option<Value>,
    /// The sum of the squared deviations of the values, not counting NaN, from their mean. Divided
    /// by the number of values it is their variance. `None` if there is no value, the type has no
    /// sums, or the result is not finite.
    pub m2: Option<f64>,
}

impl Statistics {
    /// Statistics of the cells of `array`, whose Arrow type is that of `dtype`.
    pub fn of(array: &ArrayRef, dtype: DType) -> Self {
        let mut statistics =
            Self { row_count: array.len() as u64, null_count: array.null_count() as u64, ..Self::default() };
        match dtype {
            DType::Bool => {
                let values = array.as_boolean();
                statistics.min = arrow::compute::min_boolean(values).map(Value::Bool);
                statistics.max = arrow::compute::max_boolean(values).map(Value::Bool);
            }
            DType::I8 => integers::<Int8Type>(&mut statistics, array, signed_sum, f64::from),
            DType::I16 => integers::<Int16Type>(&mut statistics, array, signed_sum, f64::from),
            DType::I32 => integers::<Int32Type>(&mut statistics, array, signed_sum, f64::from),
            DType::I64 => integers::<Int64Type>(&mut statistics, array, signed_sum, |value| value as f64),
            DType::U8 => integers::<UInt8Type>(&mut statistics, array, unsigned_sum, f64::from),
            DType::U16 => integers::<UInt16Type>(&mut statistics, array, unsigned_sum, f64::from),
            DType::U32 => integers::<UInt32Type>(&mut statistics, array, unsigned_sum, f64::from),
            DType::U64 => integers::<UInt64Type>(&mut statistics, array, unsigned_sum, |value| value as f64),
            DType::F32 => floats::<Float32Type>(&mut statistics, array),
            DType::F64 => floats::<Float64Type>(&mut statistics, array),
            DType::Timestamp => {
                let values = array.as_primitive::<TimestampNanosecondType>();
                statistics.min = arrow::compute::min(values).map(Value::Timestamp);
                statistics.max = arrow::compute::max(values).map(Value::Timestamp);
            }
            DType::String => {
                let values = array.as_string_view();
                let bounds =
                    (arrow::compute::min_string_view(values), arrow::compute::max_string_view(values));
                statistics.bound(bounds, str::len, |text| Value::String(text.to_owned()));
            }
            DType::Binary => {
                let values = array.as_binary_view();
                let bounds =
                    (arrow::compute::min_binary_view(values), arrow::compute::max_binary_view(values));
                statistics.bound(bounds, <[u8]>::len, |bytes| Value::Binary(bytes.to_owned()));
            }
        }
        statistics
    }

    /// Statistics of cells that are all missing.
    pub(crate) fn missing(cells: usize) -> Self {
        Self { row_count: cells as u64, null_count: cells as u64, ..Self::default() }
    }

    /// True if every cell is missing.
    pub fn all_missing(&self) -> bool {
        self.null_count == self.row_count
    }

    /// True if `other` is equal, except for the last digits of sums, which depend on the order of
    /// the additions.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        let same_sum = match (&self.sum, &other.sum) {
            (Some(Value::F64(a)), Some(Value::F64(b))) => {
                a.to_bits() == b.to_bits() || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
                    // Sums that cancel out are as uncertain as the values are large.
                    || self.largest().is_some_and(|x| (a - b).abs() <= 1e-12 * x * self.row_count as f64)
            }
            (a, b) => a == b,
        };
        let same_m2 = match (self.m2, other.m2) {
            (Some(a), Some(b)) => {
                // The root of m2 is the length of the vector of deviations. If each of n deviations
                // has an error of e, because of the mean or of the subtraction, the error of the
                // length is at most e·√n. And e is as large as the values, not as the deviations.
                let (a, b) = (a.sqrt(), b.sqrt());
                let off = 1e-12 * self.largest().unwrap_or_default() * self.values().sqrt();
                (a - b).abs() <= 1e-9 * a.max(b) + off
            }
            (a, b) => a == b,
        };
        let rest = |statistics: &Self| Self { sum: None, m2: None, ..statistics.clone() };
        same_sum && same_m2 && rest(self) == rest(other)
    }

    /// The largest absolute value.
    fn largest(&self) -> Option<f64> {
        let bounds = self.min.as_ref().and_then(number).zip(self.max.as_ref().and_then(number));
        bounds.map(|(min, max)| min.abs().max(max.abs()))
    }

    /// The number of values, not counting NaN.
    fn values(&self) -> f64 {
        self.row_count.saturating_sub(self.null_count).saturating_sub(self.nan_count) as f64
    }

    /// The sum of the squared deviations of two sets of values from the mean of all of them: Chan,
    /// Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
    /// Variances" (1979). `None` if that of a set, or its mean, is unknown because the sum
    /// overflowed.
    fn merged_m2(&self, other: &Self) -> Option<f64> {
        let (own, others) = (self.values(), other.values());
        let mean = |statistics: &Self, count| Some(number(statistics.sum.as_ref()?)? / count);
        let apart = mean(other, others)? - mean(self, own)?;
        let m2 = self.m2? + other.m2? + apart * apart * (own * (others / (own + others)));
        m2.is_finite().then_some(m2)
    }

    /// Merges the statistics of `other`'s cells. A sum that overflows becomes unknown, and `m2`
    /// becomes unknown with the next merge.
    pub fn merge(&mut self, other: &Self) {
        let (empty, other_empty) = (self.is_valueless(), other.is_valueless());
        self.m2 = match (empty, other_empty) {
            (_, true) => self.m2,
            (true, false) => other.m2,
            (false, false) => self.merged_m2(other),
        };
        self.min =
            merge(empty, self.min.take(), other_empty, &other.min, |a, b| if less(&b, &a) { b } else { a });
        self.max =
            merge(empty, self.max.take(), other_empty, &other.max, |a, b| if less(&a, &b) { b } else { a });
        let sums = merge(empty, Some(self.sum.take()), other_empty, &Some(other.sum.clone()), |a, b| {
            a.zip(b).and_then(|(a, b)| add(&a, &b))
        });
        self.sum = sums.flatten();
        self.row_count += other.row_count;
        self.null_count += other.null_count;
        self.nan_count += other.nan_count;
    }

    /// True if there is no value that could have bounds or a sum.
    fn is_valueless(&self) -> bool {
        self.null_count + self.nan_count == self.row_count
    }

    fn bound<T: ?Sized>(
        &mut self,
        (min, max): (Option<&T>, Option<&T>),
        length: impl Fn(&T) -> usize,
        value: impl Fn(&T) -> Value,
    ) {
        if let (Some(min), Some(max)) = (min, max)
            && length(min).max(length(max)) <= MAX_BOUND
        {
            self.min = Some(value(min));
            self.max = Some(value(max));
        }
    }
}

fn integers<P>(
    statistics: &mut Statistics,
    array: &ArrayRef,
    sum: fn(i128) -> Option<Value>,
    wide: impl Fn(P::Native) -> f64,
) where
    P: ArrowPrimitiveType,
    P::Native: Element + Into<i128>,
{
    let array = array.as_primitive::<P>();
    statistics.min = arrow::compute::min(array).map(Element::into_value);
    statistics.max = arrow::compute::max(array).map(Element::into_value);
    if statistics.min.is_some() {
        let values = &*present(array);
        let total: i128 = values.iter().map(|&value| value.into()).sum();
        statistics.sum = sum(total);
        statistics.m2 = m2(values, total as f64 / statistics.values(), statistics.values(), wide);
    }
}

fn signed_sum(sum: i128) -> Option<Value> {
    i64::try_from(sum).ok().map(Value::I64)
}

fn unsigned_sum(sum: i128) -> Option<Value> {
    u64::try_from(sum).ok().map(Value::U64)
}

fn floats<P>(statistics: &mut Statistics, array: &ArrayRef)
where
    P: ArrowPrimitiveType,
    P::Native: Element + Into<f64>,
{
    let array = array.as_primitive::<P>();
    let values = &*present(array);
    let Pass { mut least, mut greatest, sum, nans } = Pass::over(values);
    statistics.nan_count = nans;
    if statistics.is_valueless() {
        return;
    }
    // The total order distinguishes -0.0 from 0.0, so that equal bounds mean equal values.
    let has = |zero: f64| values.iter().any(|&value| Into::<f64>::into(value).to_bits() == zero.to_bits());
    if least == 0.0 {
        least = if has(-0.0) { -0.0 } else { 0.0 };
    }
    if greatest == 0.0 {
        greatest = if has(0.0) { 0.0 } else { -0.0 };
    }
    statistics.min = Some(Value::F64(least));
    statistics.max = Some(Value::F64(greatest));
    statistics.sum = Some(Value::F64(sum));
    statistics.m2 = m2(values, sum / statistics.values(), statistics.values(), Into::into);
}

/// The result of one pass over values.
struct Pass {
    /// The least value that is not NaN; infinite if there is none. Any of the zeros if zero is the
    /// least.
    least: f64,
    greatest: f64,
    /// The sum, not counting NaN.
    sum: f64,
    nans: u64,
}

impl Pass {
    /// Not inlined: in its caller, the loop would not have enough registers for its sums.
    #[inline(never)]
    fn over<T: Copy + Into<f64>>(values: &[T]) -> Self {
        let mut pass = Self { least: f64::INFINITY, greatest: f64::NEG_INFINITY, sum: 0.0, nans: 0 };
        for &value in values {
            let value: f64 = value.into();
            if value.is_nan() {
                pass.nans += 1;
                continue;
            }
            pass.sum += value;
            // Single instructions, unlike `total_cmp`.
            pass.least = if value < pass.least { value } else { pass.least };
            pass.greatest = if value > pass.greatest { value } else { pass.greatest };
        }
        pass
    }
}

/// The values that are not missing.
fn present<P: ArrowPrimitiveType>(array: &PrimitiveArray<P>) -> Cow<'_, [P::Native]> {
    match array.null_count() {
        0 => Cow::Borrowed(array.values()),
        _ => Cow::Owned(array.iter().flatten().collect()),
    }
}

/// The sum of the squared deviations of `count` values, not counting NaN, from their mean; `None`
/// if the result is not finite. This is the second of two passes. `mean` may be off by the rounding
/// of sums, which is corrected here (Chan, Golub and LeVeque, "Algorithms for Computing the Sample
/// Variance", 1983).
fn m2<T: Copy>(values: &[T], mean: f64, count: f64, wide: impl Fn(T) -> f64) -> Option<f64> {
    if !mean.is_finite() {
        return None;
    }
    let (sum, squares) = deviations(values, mean, wide);
    let m2 = (squares - sum * sum / count).max(0.0);
    m2.is_finite().then_some(m2)
}

/// The sums of the deviations of values, not counting NaN, from a finite number, and of the squared
/// deviations.
fn deviations<T: Copy>(values: &[T], mean: f64, wide: impl Fn(T) -> f64) -> (f64, f64) {
    let deviation = |value| {
        let deviation = wide(value) - mean;
        if deviation.is_nan() { 0.0 } else { deviation }
    };
    let (many, rest) = values.as_chunks::<LANES>();
    let (mut sums, mut squares) = ([0.0; LANES], [0.0; LANES]);
    for values in many {
        for ((&value, sum), squares) in values.iter().zip(&mut sums).zip(&mut squares) {
            let deviation = deviation(value);
            *sum += deviation;
            *squares += deviation * deviation;
        }
    }
    let (mut sum, mut squares) = (sums.iter().sum::<f64>(), squares.iter().sum::<f64>());
    for &value in rest {
        let deviation = deviation(value);
        sum += deviation;
        squares += deviation * deviation;
    }
    (sum, squares)
}

/// A value that is a number.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::I64(value) => Some(*value as f64),
        Value::U64(value) => Some(*value as f64),
        Value::F64(value) => Some(*value),
        _ => None,
    }
}

/// One side's bound or sum if the other side has no values, both combined if both are known,
/// otherwise none.
fn merge<T: Clone>(
    empty: bool,
    a: Option<T>,
    other_empty: bool,
    b: &Option<T>,
    both: impl Fn(T, T) -> T,
) -> Option<T> {
    match (empty, other_empty) {
        (_, true) => a,
        (true, false) => b.clone(),
        (false, false) => a.zip(b.clone()).map(|(a, b)| both(a, b)),
    }
}

fn less(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a < b,
        (Value::I64(a), Value::I64(b)) | (Value::Timestamp(a), Value::Timestamp(b)) => a < b,
        (Value::U64(a), Value::U64(b)) => a < b,
        (Value::F64(a), Value::F64(b)) => a.total_cmp(b).is_lt(),
        (Value::String(a), Value::String(b)) => a < b,
        (Value::Binary(a), Value::Binary(b)) => a < b,
        _ => false,
    }
}

fn add(a: &Value, b: &Value) -> Option<Value> {
    match (a, b) {
        (Value::I64(a), Value::I64(b)) => a.checked_add(*b).map(Value::I64),
        (Value::U64(a), Value::U64(b)) => a.checked_add(*b).map(Value::U64),
        (Value::F64(a), Value::F64(b)) => Some(Value::F64(a + b)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float32Array, Float64Array, Int64Array, StringViewArray};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nan_and_missing_are_counted_apart_and_bound_nothing() {
        let array: ArrayRef = Arc::new(Float32Array::from(vec![Some(f32::NAN), None, Some(2.0), Some(-1.5)]));
        let expected = Statistics {
            row_count: 4,
            null_count: 1,
            nan_count: 1,
            min: Some(Value::F64(-1.5)),
            max: Some(Value::F64(2.0)),
            sum: Some(Value::F64(0.5)),
            m2: Some(6.125),
        };
        assert_eq!(Statistics::of(&array, DType::F32), expected);
    }

    #[test]
    fn a_sum_that_overflows_is_unknown() {
        let array: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, 1, -1]));
        assert_eq!(Statistics::of(&array, DType::I64).sum, Some(Value::I64(i64::MAX)));
        let array: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, 1]));
        assert_eq!(Statistics::of(&array, DType::I64).sum, None);
    }

    #[test]
    fn long_text_has_no_bounds() {
        let array: ArrayRef = Arc::new(StringViewArray::from(vec!["a".to_owned(), "b".repeat(65)]));
        let statistics = Statistics::of(&array, DType::String);
        assert_eq!((statistics.min, statistics.max), (None, None));
    }

    #[test]
    fn merged_statistics_are_those_of_all_cells() {
        let parts =
            [vec![Some(3.0), None], vec![None, None], vec![Some(f32::NAN)], vec![Some(-7.5), Some(1.0)]];
        let whole: ArrayRef = Arc::new(Float32Array::from(parts.concat()));
        let mut merged = Statistics::default();
        for part in parts {
            let part: ArrayRef = Arc::new(Float32Array::from(part));
            merged.merge(&Statistics::of(&part, DType::F32));
        }
        assert!(merged.agrees(&Statistics::of(&whole, DType::F32)), "{merged:?}");
    }

    fn of_f64(values: &[f64]) -> Statistics {
        Statistics::of(&(Arc::new(Float64Array::from(values.to_vec())) as ArrayRef), DType::F64)
    }

    fn of_i64(values: &[i64]) -> Statistics {
        Statistics::of(&(Arc::new(Int64Array::from(values.to_vec())) as ArrayRef), DType::I64)
    }

    #[test]
    fn deviations_are_known_wherever_they_are_finite() {
        assert_eq!(of_f64(&[3.0]).m2, Some(0.0));
        assert_eq!(of_f64(&[]).m2, None);
        assert_eq!(of_f64(&[f64::NAN]).m2, None);
        assert_eq!(of_f64(&[1.0, f64::INFINITY]).m2, None);
        assert_eq!(of_f64(&[1e200, -1e200]).m2, None);
        assert_eq!(of_f64(&[0.1; 1000]).m2, Some(0.0));
        // A sum of i64 overflows, but the mean is still known.
        let large = of_i64(&[i64::MAX, i64::MAX]);
        assert_eq!((&large.sum, large.m2), (&None, Some(0.0)));
        let mut merged = large;
        merged.merge(&of_i64(&[1]));
        assert_eq!(merged.m2, None);
        let text: ArrayRef = Arc::new(StringViewArray::from(vec!["a"]));
        assert_eq!(Statistics::of(&text, DType::String).m2, None);
    }

    #[test]
    fn bounds_tell_one_zero_from_the_other() {
        let bounds = |values: &[f64]| {
            let Statistics { min, max, .. } = of_f64(values);
            [min, max].map(|bound| number(&bound.unwrap()).unwrap().to_bits())
        };
        let (plus, minus) = (0f64.to_bits(), (-0f64).to_bits());
        assert_eq!(bounds(&[0.0, 0.0]), [plus, plus]);
        assert_eq!(bounds(&[-0.0, f64::NAN]), [minus, minus]);
        assert_eq!(bounds(&[0.0, -0.0]), [minus, plus]);
        assert_eq!(bounds(&[-0.0, 0.0]), [minus, plus]);
        assert_eq!(bounds(&[f64::NEG_INFINITY, -0.0])[1], minus);
        assert_eq!(bounds(&[f64::INFINITY, f64::INFINITY]), [f64::INFINITY.to_bits(); 2]);
    }

    #[test]
    fn deviations_agree_to_what_rounding_leaves_of_them() {
        let told = |m2| Statistics { m2, ..of_f64(&[1e6, 1e6 + 1e-3, 1e6 - 1e-3]) };
        let own = told(Some(2e-6));
        assert!(own.agrees(&told(Some(2e-6 + 1e-10))), "the values have no more digits");
        assert!(!own.agrees(&told(Some(2.1e-6))) && !own.agrees(&told(None)) && !told(None).agrees(&own));
    }

    /// Parts of values, with missing ones among them.
    fn parts() -> impl Strategy<Value = Vec<Vec<Option<f64>>>> {
        let value = prop_oneof![Just(None), Just(Some(f64::NAN)), (-1e3..1e3).prop_map(Some)];
        let parts = prop::collection::vec(prop::collection::vec(value, 0..70), 0..6);
        (parts, prop_oneof![Just(0.0), Just(1e6), Just(-1e9)]).prop_map(|(parts, far)| {
            let moved = |part: Vec<Option<f64>>| part.into_iter().map(|value| Some(value? + far)).collect();
            parts.into_iter().map(moved).collect()
        })
    }

    proptest! {
        #[test]
        fn deviations_are_those_of_two_plain_passes(parts in parts()) {
            for dtype in [DType::F64, DType::F32, DType::I64, DType::U32] {
                let cell = |value: &Option<f64>| -> Option<Value> {
                    match (dtype, (*value)?) {
                        (DType::F32, value) => Some(Value::F64(f64::from(value as f32))),
                        (DType::I64 | DType::U32, value) if value.is_nan() => None,
                        (DType::I64, value) => Some(Value::I64(value as i64)),
                        (DType::U32, value) => Some(Value::U64(u64::from(value as u32))),
                        (_, value) => Some(Value::F64(value)),
                    }
                };
                let cells: Vec<Vec<Option<Value>>> =
                    parts.iter().map(|part| part.iter().map(cell).collect()).collect();
                let whole = Statistics::of(&dtype.array(cells.concat()), dtype);
                let mut merged = Statistics::default();
                for part in cells.clone() {
                    merged.merge(&Statistics::of(&dtype.array(part), dtype));
                }
                let numbers: Vec<f64> =
                    cells.concat().iter().flatten().filter_map(number).filter(|x| !x.is_nan()).collect();
                let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
                let m2: f64 = numbers.iter().map(|x| (x - mean).powi(2)).sum();
                let plain = Statistics { m2: (!numbers.is_empty()).then_some(m2), ..whole.clone() };
                prop_assert!(whole.agrees(&plain), "{dtype}: {whole:?} {plain:?}");
                prop_assert!(merged.agrees(&plain), "{dtype}: {merged:?} {plain:?}");
            }
        }
    }
}
