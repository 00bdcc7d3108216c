//! What is known of a chunk without reading it.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::datatypes::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampNanosecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};

use crate::model::dtype::{DType, Element};
use crate::model::value::Value;

/// Text and bytes longer than this are not kept as bounds: the bounds of their chunk are unknown.
const MAX_BOUND: usize = 64;

/// Statistics of some cells: of a chunk, or of a whole array.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Number of cells.
    pub row_count: u64,
    /// Number of missing cells.
    pub null_count: u64,
    /// Number of cells that are NaN. They are not missing.
    pub nan_count: u64,
    /// The least value, NaN apart; `None` where there is no value or the bound was too long to keep.
    pub min: Option<Value>,
    /// The greatest value, NaN apart; `None` as for `min`.
    pub max: Option<Value>,
    /// The sum of the values, NaN apart, as `i64`, `u64` or `f64`; `None` where there is no value, the
    /// type has no sums, or the sum overflows.
    pub sum: Option<Value>,
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
            DType::I8 => integers::<Int8Type>(&mut statistics, array, signed_sum),
            DType::I16 => integers::<Int16Type>(&mut statistics, array, signed_sum),
            DType::I32 => integers::<Int32Type>(&mut statistics, array, signed_sum),
            DType::I64 => integers::<Int64Type>(&mut statistics, array, signed_sum),
            DType::U8 => integers::<UInt8Type>(&mut statistics, array, unsigned_sum),
            DType::U16 => integers::<UInt16Type>(&mut statistics, array, unsigned_sum),
            DType::U32 => integers::<UInt32Type>(&mut statistics, array, unsigned_sum),
            DType::U64 => integers::<UInt64Type>(&mut statistics, array, unsigned_sum),
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

    /// True where every cell is missing.
    pub fn all_missing(&self) -> bool {
        self.null_count == self.row_count
    }

    /// True where `other` says the same, but for the last digits of a sum of floats, which depend on the order in
    /// which they are added.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        let same_sum = match (&self.sum, &other.sum) {
            (Some(Value::F64(a)), Some(Value::F64(b))) => {
                a.to_bits() == b.to_bits() || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
                    // Sums that cancel out are as uncertain as the values are large.
                    || self.largest().is_some_and(|x| (a - b).abs() <= 1e-12 * x * self.row_count as f64)
            }
            (a, b) => a == b,
        };
        same_sum && Self { sum: None, ..self.clone() } == Self { sum: None, ..other.clone() }
    }

    fn largest(&self) -> Option<f64> {
        match (&self.min, &self.max) {
            (Some(Value::F64(min)), Some(Value::F64(max))) => Some(min.abs().max(max.abs())),
            _ => None,
        }
    }

    /// Counts `other`'s cells too.
    pub fn merge(&mut self, other: &Self) {
        let (empty, other_empty) = (self.is_valueless(), other.is_valueless());
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

    /// True where there is no value to have bounds or a sum.
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

fn integers<P>(statistics: &mut Statistics, array: &ArrayRef, sum: fn(i128) -> Option<Value>)
where
    P: ArrowPrimitiveType,
    P::Native: Element + Into<i128>,
{
    let values = array.as_primitive::<P>();
    statistics.min = arrow::compute::min(values).map(Element::into_value);
    statistics.max = arrow::compute::max(values).map(Element::into_value);
    if statistics.min.is_some() {
        statistics.sum = sum(values.iter().flatten().map(Into::into).sum());
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
    let mut bounds: Option<(f64, f64)> = None;
    let mut sum = 0.0;
    for value in array.as_primitive::<P>().iter().flatten() {
        let value: f64 = value.into();
        if value.is_nan() {
            statistics.nan_count += 1;
            continue;
        }
        sum += value;
        // The total order tells -0.0 from 0.0, so that equal bounds mean equal values.
        bounds = Some(bounds.map_or((value, value), |(min, max)| {
            (
                if value.total_cmp(&min).is_lt() { value } else { min },
                if value.total_cmp(&max).is_gt() { value } else { max },
            )
        }));
    }
    if let Some((min, max)) = bounds {
        statistics.min = Some(Value::F64(min));
        statistics.max = Some(Value::F64(max));
        statistics.sum = Some(Value::F64(sum));
    }
}

/// One side's knowledge where the other has no values, both combined where both are known, else none.
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

    use arrow::array::{Float32Array, Int64Array, StringViewArray};

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
        assert_eq!(merged, Statistics::of(&whole, DType::F32));
    }
}
