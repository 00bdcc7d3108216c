//! Timestamps as arguments.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, TimestampNanosecondArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, TimeUnit, TimestampNanosecondType};
use chrono::{DateTime, NaiveDateTime};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, Signature, TypeSignature, Volatility};

/// Timestamps of any unit and zone, dates, and what becomes a timestamp.
pub fn timestamps(others: &[DataType]) -> Signature {
    let units = [TimeUnit::Nanosecond, TimeUnit::Microsecond, TimeUnit::Millisecond, TimeUnit::Second];
    let types = units
        .into_iter()
        .map(|unit| DataType::Timestamp(unit, None))
        .chain([DataType::Date32, DataType::Timestamp(TimeUnit::Nanosecond, Some(Arc::from("+TZ")))]);
    let exact = types
        .map(|first| TypeSignature::Exact(std::iter::once(first).chain(others.iter().cloned()).collect()));
    Signature::one_of(exact.collect(), Volatility::Immutable)
}

/// The timestamps of an argument, in UTC.
pub struct Instants(TimestampNanosecondArray);

impl Instants {
    /// The argument for so many rows: those that no timestamp of nanoseconds has are NULL.
    pub fn new(argument: &ColumnarValue, rows: usize) -> Result<Self> {
        let array = argument.to_array(rows)?;
        let options = CastOptions::default();
        let nanoseconds =
            cast_with_options(&array, &DataType::Timestamp(TimeUnit::Nanosecond, None), &options)?;
        Ok(Self(nanoseconds.as_primitive::<TimestampNanosecondType>().clone()))
    }

    /// The timestamp of a row.
    pub fn get(&self, row: usize) -> Option<NaiveDateTime> {
        let is_valid = self.0.is_valid(row);
        is_valid.then(|| DateTime::from_timestamp_nanos(self.0.value(row)).naive_utc())
    }
}

/// A function of a timestamp: an array, or one value where the argument was one.
pub fn each<A: Array + 'static>(
    argument: Option<&ColumnarValue>,
    rows: usize,
    of: impl FnOnce(&mut dyn Iterator<Item = Option<NaiveDateTime>>) -> A,
) -> Result<ColumnarValue> {
    let Some(argument) = argument else {
        return datafusion::common::exec_err!("a timestamp is missing");
    };
    let one = matches!(argument, ColumnarValue::Scalar(_));
    let rows = if one { 1 } else { rows };
    let instants = Instants::new(argument, rows)?;
    let values: ArrayRef = Arc::new(of(&mut (0..rows).map(|row| instants.get(row))));
    Ok(if one {
        ColumnarValue::Scalar(ScalarValue::try_from_array(&values, 0)?)
    } else {
        ColumnarValue::Array(values)
    })
}
