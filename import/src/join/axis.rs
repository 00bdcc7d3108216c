//! The coordinate that orders the parts of a joined dataset.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use arrow::util::display::array_value_to_string;

/// The coordinates of a file or a dataset along the dimension.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// The values; `None` if the dimension has no coordinate variable.
    pub values: Option<ArrayRef>,
    /// The sort keys: integers as they are, and floats as integers with the same order.
    pub keys: Vec<i64>,
}

impl Axis {
    /// The coordinates of a dimension.
    ///
    /// # Errors
    /// The values are not strictly ascending: one is missing, or not greater than the previous one.
    pub(super) fn of(dim: &str, values: ArrayRef) -> Result<Self, String> {
        let missing = values.null_count();
        if missing > 0 {
            return Err(format!("its coordinate `{dim}` is missing in {missing} places"));
        }
        let keys = keys(&values)
            .ok_or_else(|| format!("its coordinate `{dim}` is {}, which has no order", values.data_type()))?;
        if let Some(place) = keys.windows(2).position(|pair| matches!(pair, [one, next] if next <= one)) {
            let shown = |place| array_value_to_string(&values, place).unwrap_or_default();
            return Err(format!(
                "its coordinate `{dim}` does not increase: {} comes after {}",
                shown(place + 1),
                shown(place)
            ));
        }
        Ok(Self { values: Some(values), keys })
    }

    /// Numbers the indices of a dimension without a coordinate variable, starting at `first`.
    pub(super) fn counted(first: usize, size: usize) -> Self {
        let keys = (first..first.saturating_add(size)).map(|place| i64::try_from(place).unwrap_or(i64::MAX));
        Self { values: None, keys: keys.collect() }
    }
}

/// Integers with the order of the values; `None` for types without an order.
fn keys(values: &ArrayRef) -> Option<Vec<i64>> {
    match values.data_type() {
        DataType::Float32 | DataType::Float64 => {
            let floats = cast(values, &DataType::Float64).ok()?;
            let floats = floats.as_primitive::<Float64Type>().values().iter();
            // This is the order of `f64::total_cmp`, except that both zeros are equal.
            let key = |value: &f64| {
                let bits = (value + 0.0).to_bits().cast_signed();
                bits ^ (((bits >> 63).cast_unsigned() >> 1).cast_signed())
            };
            floats.map(|value| (!value.is_nan()).then(|| key(value))).collect()
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => integers(values),
        // Integers above the greatest i64 have no key.
        data_type if data_type.is_integer() => integers(values),
        _ => None,
    }
}

fn integers(values: &ArrayRef) -> Option<Vec<i64>> {
    let integers = cast(values, &DataType::Int64).ok().filter(|integers| integers.null_count() == 0)?;
    Some(integers.as_primitive::<Int64Type>().values().to_vec())
}

/// The values as numbers whose differences can be compared.
pub(super) fn steps(values: &ArrayRef) -> Option<Vec<f64>> {
    let numbers = match values.data_type() {
        DataType::Timestamp(..) => cast(values, &DataType::Int64).ok()?,
        _ => std::sync::Arc::clone(values),
    };
    let floats = cast(&numbers, &DataType::Float64).ok()?;
    Some(floats.as_primitive::<Float64Type>().values().to_vec())
}

/// Concatenates values.
pub(super) fn together(values: &[ArrayRef]) -> Option<ArrayRef> {
    let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
    concat(&values).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float32Array, Int16Array, StringViewArray, UInt64Array};

    use super::*;

    fn axis(values: impl Array + 'static) -> Result<Axis, String> {
        Axis::of("x", Arc::new(values))
    }

    #[test]
    fn keys_are_in_the_order_of_the_values() {
        let floats = axis(Float32Array::from(vec![-2.5, -0.0, 1e-30, 3.0])).unwrap().keys;
        assert!(floats.is_sorted() && floats[1] == axis(Float32Array::from(vec![0.0])).unwrap().keys[0]);
        assert_eq!(axis(Int16Array::from(vec![-3, 5])).unwrap().keys, [-3, 5]);
    }

    #[test]
    fn what_has_no_order_is_refused() {
        assert!(axis(Int16Array::from(vec![1, 1])).unwrap_err().contains("1 comes after 1"));
        assert!(axis(Int16Array::from(vec![2, 1])).is_err());
        assert!(axis(Int16Array::from(vec![None, Some(1)])).unwrap_err().contains("missing in 1"));
        assert!(axis(Float32Array::from(vec![f32::NAN])).is_err());
        assert!(axis(UInt64Array::from(vec![u64::MAX])).is_err());
        assert!(axis(StringViewArray::from(vec!["a"])).is_err());
    }
}
