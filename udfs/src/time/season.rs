//! `season`: the season of a time.

use arrow::array::StringViewArray;
use arrow::datatypes::DataType;
use chrono::{Datelike, NaiveDateTime};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::instants::{each, timestamps};
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "season",
    topic: Topic::Time,
    gives: "The meteorological season of the month: 'DJF', 'MAM', 'JJA' or 'SON'.",
    arguments: &[("time", "a timestamp or date; one with a zone counts as UTC")],
    source: "the seasons of xarray (`dt.season`)",
    example: "SELECT season(TIMESTAMP '2000-02-29 12:00:00')",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    ScalarUDF::new_from_impl(Season(timestamps(&[]), Box::new(ABOUT.documentation())))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Season(Signature, Box<Documentation>);

impl ScalarUDFImpl for Season {
    fn name(&self) -> &str {
        ABOUT.name
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        each(args.args.first(), args.number_rows, |times| {
            times.map(|time| time.map(of)).collect::<StringViewArray>()
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.1)
    }
}

fn of(time: NaiveDateTime) -> &'static str {
    match time.month() {
        12 | 1 | 2 => "DJF",
        3..=5 => "MAM",
        6..=8 => "JJA",
        _ => "SON",
    }
}
