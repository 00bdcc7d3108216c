//! Timestamps as arguments.

use std::sync::Arc;

use arrow::array::{Array, AsArray, TimestampNanosecondArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, TimeUnit, TimestampNanosecondType};
use chrono::{DateTime, NaiveDateTime};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, Signature, TypeSignature, Volatility};

use crate::numeric::columnar;

/// A signature for timestamps of any unit and zone, dates, and types that convert to timestamps.
pub fn timestamps(others: &[DataType]) -> Signature {
    let exact = types()
        .map(|first| TypeSignature::Exact(std::iter::once(first).chain(others.iter().cloned()).collect()));
    Signature::one_of(exact.collect(), Volatility::Immutable)
}

/// The same for two times after other arguments.
pub fn two_timestamps(before: &[DataType]) -> Signature {
    let pairs = types().flat_map(|first| types().map(move |second| [first.clone(), second]));
    let exact = pairs.map(|pair| TypeSignature::Exact(before.iter().cloned().chain(pair).collect()));
    Signature::one_of(exact.collect(), Volatility::Immutable)
}

fn types() -> impl Iterator<Item = DataType> {
    let units = [TimeUnit::Nanosecond, TimeUnit::Microsecond, TimeUnit::Millisecond, TimeUnit::Second];
    let zone = Some(Arc::from("+TZ"));
    units
        .into_iter()
        .map(|unit| DataType::Timestamp(unit, None))
        .chain([DataType::Date32, DataType::Timestamp(TimeUnit::Nanosecond, zone)])
}

/// The timestamps of an argument, in UTC.
pub struct Instants(TimestampNanosecondArray);

impl Instants {
    /// The argument for `rows` rows. Times beyond the range of timestamps in nanoseconds are NULL.
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

/// A function of two timestamps. The result is an array, or one value if all arguments are single
/// values. `of` gets the number of rows and both columns of times.
pub fn between<A: Array + 'static>(
    first: &ColumnarValue,
    second: &ColumnarValue,
    others_are_one: bool,
    rows: usize,
    of: impl FnOnce(usize, &dyn Fn(usize) -> Option<(NaiveDateTime, NaiveDateTime)>) -> Result<A>,
) -> Result<ColumnarValue> {
    let is_one = |argument: &ColumnarValue| matches!(argument, ColumnarValue::Scalar(_));
    let one = others_are_one && is_one(first) && is_one(second);
    let rows = if one { 1 } else { rows };
    let (first, second) = (Instants::new(first, rows)?, Instants::new(second, rows)?);
    columnar(Arc::new(of(rows, &|row| first.get(row).zip(second.get(row)))?), one)
}

/// A function of a timestamp. The result is an array, or one value if the argument is a single
/// value.
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
    columnar(Arc::new(of(&mut (0..rows).map(|row| instants.get(row)))), one)
}
