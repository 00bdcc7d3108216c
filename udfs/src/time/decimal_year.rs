//! `decimal_year`: a time as a fractional year.

use arrow::array::Float64Array;
use arrow::datatypes::DataType;
use chrono::{Datelike, NaiveDate, NaiveDateTime};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::instants::{each, timestamps};
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "decimal_year",
    topic: Topic::Time,
    gives: "The year, plus the fraction of it that has passed: 2000.5 in the middle of 2000, \
            whatever the length of the year.",
    arguments: &[("time", "a timestamp or date; one with a zone counts as UTC")],
    source: "xarray (`dt.decimal_year`)",
    example: "SELECT decimal_year(TIMESTAMP '2000-02-29 12:00:00')",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    ScalarUDF::new_from_impl(DecimalYear(timestamps(&[]), Box::new(ABOUT.documentation())))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DecimalYear(Signature, Box<Documentation>);

impl ScalarUDFImpl for DecimalYear {
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
        each(args.args.first(), args.number_rows, |times| {
            times.map(|time| time.map(of)).collect::<Float64Array>()
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.1)
    }
}

#[allow(clippy::cast_precision_loss)]
fn of(time: NaiveDateTime) -> f64 {
    let length = if time.date().leap_year() { 366.0 } else { 365.0 };
    let start = NaiveDate::from_yo_opt(time.year(), 1).map(|day| day.and_time(chrono::NaiveTime::MIN));
    let passed = start.and_then(|start| (time - start).num_nanoseconds()).unwrap_or(0);
    f64::from(time.year()) + passed as f64 / (length * 86_400e9)
}
