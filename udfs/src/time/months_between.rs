//! `months_between`: the months between two times, with fractions.

use arrow::array::Float64Array;
use arrow::datatypes::DataType;
use chrono::{Datelike, NaiveDateTime, Timelike};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::instants::{between, two_timestamps};
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "months_between",
    topic: Topic::Time,
    gives: "The months from `start` to `end`, negative if `end` is the earlier one. The result is \
            a whole number, whatever the hours, if both are on the same day of the month or both \
            on the last day. Otherwise the remaining days count in months of 31 days.",
    arguments: &[
        ("end", "a timestamp or date; one with a zone counts as UTC"),
        ("start", "a timestamp or date, like `end`"),
    ],
    source: "Oracle, and Spark without its rounding",
    example: "SELECT months_between(TIMESTAMP '1997-02-28 10:30:00', DATE '1996-10-30')",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    ScalarUDF::new_from_impl(MonthsBetween(two_timestamps(&[]), Box::new(ABOUT.documentation())))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct MonthsBetween(Signature, Box<Documentation>);

impl ScalarUDFImpl for MonthsBetween {
    fn name(&self) -> &str {
        ABOUT.name
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [end, start] = args.args.as_slice() else {
            return exec_err!("months_between takes two times");
        };
        between(end, start, true, args.number_rows, |rows, times| {
            Ok((0..rows)
                .map(|row| times(row).map(|(end, start)| months(end, start)))
                .collect::<Float64Array>())
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.1)
    }
}

fn months(end: NaiveDateTime, start: NaiveDateTime) -> f64 {
    const MONTH: f64 = 31.0 * 86_400.0;
    let month = |time: NaiveDateTime| f64::from(time.year()) * 12.0 + f64::from(time.month());
    let is_last = |time: NaiveDateTime| u32::from(time.date().num_days_in_month()) == time.day();
    let whole = month(end) - month(start);
    if end.day() == start.day() || is_last(end) && is_last(start) {
        return whole;
    }
    let seconds = |time: NaiveDateTime| {
        let of_day = f64::from(time.num_seconds_from_midnight()) + f64::from(time.nanosecond()) / 1e9;
        f64::from(time.day()) * 86_400.0 + of_day
    };
    whole + (seconds(end) - seconds(start)) / MONTH
}
