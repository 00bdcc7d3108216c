//! `day_of_year`: the number of a day in its year.

use arrow::array::Int32Array;
use arrow::datatypes::DataType;
use chrono::{Datelike, NaiveDateTime};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::instants::{each, timestamps};
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "day_of_year",
    topic: Topic::Time,
    gives: "The number of the day in its year, from 1 to 366.",
    arguments: &[("time", "a timestamp or date; one with a zone counts as UTC")],
    source: "ISO 8601 ordinal dates",
    example: "SELECT day_of_year(TIMESTAMP '2000-02-29 12:00:00')",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    ScalarUDF::new_from_impl(DayOfYear(timestamps(&[]), Box::new(ABOUT.documentation())))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DayOfYear(Signature, Box<Documentation>);

impl ScalarUDFImpl for DayOfYear {
    fn name(&self) -> &str {
        ABOUT.name
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        each(args.args.first(), args.number_rows, |times| {
            times.map(|time| time.map(of)).collect::<Int32Array>()
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.1)
    }
}

fn of(time: NaiveDateTime) -> i32 {
    i32::try_from(time.ordinal()).unwrap_or(i32::MAX)
}
