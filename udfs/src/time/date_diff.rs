//! `date_diff`: the number of days, months or years between two times.

use arrow::array::Int64Array;
use arrow::datatypes::DataType;
use chrono::{Datelike, NaiveDateTime};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::instants::{between, two_timestamps};
use crate::documentation::{About, Topic};
use crate::texts::Texts;

const ABOUT: About = About {
    name: "date_diff",
    topic: Topic::Time,
    gives: "The number of borders of a unit between two times, negative if the second is the \
            earlier one. From 31 December to 1 January it is one day, one month and one year. \
            Weeks begin on Mondays.",
    arguments: &[
        (
            "unit",
            "'year', 'quarter', 'month', 'week', 'day', 'hour', 'minute', 'second', 'millisecond', \
             'microsecond' or 'nanosecond', or its plural",
        ),
        ("start", "a timestamp or date; one with a zone counts as UTC"),
        ("end", "a timestamp or date, like `start`"),
    ],
    source: "DuckDB; NumPy's difference of `datetime64` of that unit",
    example: "SELECT date_diff('day', TIMESTAMP '2000-02-28 23:00:00', TIMESTAMP '2000-03-01 00:00:00')",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    let signature = two_timestamps(&[DataType::Utf8]);
    ScalarUDF::new_from_impl(DateDiff(signature, Box::new(ABOUT.documentation())))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DateDiff(Signature, Box<Documentation>);

impl ScalarUDFImpl for DateDiff {
    fn name(&self) -> &str {
        ABOUT.name
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [unit, start, end] = args.args.as_slice() else {
            return exec_err!("date_diff takes a unit and two times");
        };
        let units = Texts::new(unit)?;
        let one = matches!(unit, ColumnarValue::Scalar(_));
        between(start, end, one, args.number_rows, |rows, times| {
            let difference = |row: usize| -> Result<Option<i64>> {
                let (Some(unit), Some((start, end))) = (units.get(row), times(row)) else { return Ok(None) };
                let Some(number) = number_of(unit) else {
                    return exec_err!("date_diff does not know the unit '{unit}'");
                };
                Ok(number(end).zip(number(start)).and_then(|(end, start)| end.checked_sub(start)))
            };
            (0..rows).map(difference).collect::<Result<Int64Array>>()
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.1)
    }
}

/// The number of a unit, counted from a fixed time, in which a time lies.
fn number_of(unit: &str) -> Option<fn(NaiveDateTime) -> Option<i64>> {
    fn seconds(time: NaiveDateTime, of: i64) -> i64 {
        time.and_utc().timestamp().div_euclid(of)
    }
    fn months(time: NaiveDateTime) -> i64 {
        i64::from(time.year()) * 12 + i64::from(time.month0())
    }
    let unit = unit.trim().to_ascii_lowercase();
    Some(match unit.strip_suffix('s').unwrap_or(&unit) {
        "year" => |time| Some(time.year().into()),
        "quarter" => |time| Some(months(time).div_euclid(3)),
        "month" => |time| Some(months(time)),
        // 1 January 1970 was a Thursday.
        "week" => |time| Some((seconds(time, 86_400) + 3).div_euclid(7)),
        "day" => |time| Some(seconds(time, 86_400)),
        "hour" => |time| Some(seconds(time, 3600)),
        "minute" => |time| Some(seconds(time, 60)),
        "second" => |time| Some(seconds(time, 1)),
        "millisecond" => |time| Some(time.and_utc().timestamp_millis()),
        "microsecond" => |time| Some(time.and_utc().timestamp_micros()),
        "nanosecond" => |time| time.and_utc().timestamp_nanos_opt(),
        _ => return None,
    })
}
