//! `cf_time`: timestamps of numbers with units and a calendar.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveBuilder, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampNanosecondType};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::calendar::{Calendar, TimeUnits};
use crate::documentation::{About, Topic};

const ABOUT: About = About {
    name: "cf_time",
    topic: Topic::Time,
    gives: "The timestamp that a number stands for, with the date that the calendar gives it. NULL where no timestamp has that date: \
            30 February of `360_day`, 29 February of a common year, years before 1678 or after 2261. Units and calendars that are not understood are an \
            error, and so are months and years, which have no fixed length.",
    arguments: &[
        ("value", "the number"),
        ("units", "what it counts, such as 'days since 1950-01-01 00:00:00'"),
        (
            "calendar",
            "'standard' (or 'gregorian'), 'proleptic_gregorian', 'noleap' ('365_day'), 'all_leap' ('366_day'), '360_day' or 'julian'",
        ),
    ],
    source: "CF conventions 1.12, section 4.4",
    example: "SELECT cf_time(59, 'days since 2001-01-01', 'noleap')",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    let arguments = vec![DataType::Float64, DataType::Utf8, DataType::Utf8];
    let signature = Signature::exact(arguments, Volatility::Immutable);
    ScalarUDF::new_from_impl(CfTime(signature, Box::new(ABOUT.documentation())))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CfTime(Signature, Box<Documentation>);

impl ScalarUDFImpl for CfTime {
    fn name(&self) -> &str {
        ABOUT.name
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Nanosecond, None))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let all_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if all_scalar { 1 } else { args.number_rows };
        let [values, units, calendars] = args.args.as_slice() else {
            return exec_err!("cf_time takes a number, units and a calendar");
        };
        let values = cast(&values.to_array(rows)?, &DataType::Float64)?;
        let values = values.as_primitive::<Float64Type>();
        let (units, calendars) = (Texts::new(units)?, Texts::new(calendars)?);
        let mut known: HashMap<(&str, &str), TimeUnits> = HashMap::new();
        let mut times = PrimitiveBuilder::<TimestampNanosecondType>::with_capacity(rows);
        for row in 0..rows {
            let (Some(units), Some(calendar)) = (units.get(row), calendars.get(row)) else {
                times.append_null();
                continue;
            };
            let parsed = match known.entry((units, calendar)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(parse(units, calendar)?),
            };
            let value = values.is_valid(row).then(|| values.value(row));
            let time = value.and_then(|value| parsed.time(value)?.and_utc().timestamp_nanos_opt());
            times.append_option(time);
        }
        let times: ArrayRef = Arc::new(times.finish());
        Ok(if all_scalar {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&times, 0)?)
        } else {
            ColumnarValue::Array(times)
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.1)
    }
}

fn parse(units: &str, calendar: &str) -> Result<TimeUnits> {
    let Some(known) = Calendar::named(calendar) else {
        return exec_err!("cf_time does not know the calendar '{calendar}'");
    };
    match TimeUnits::parse(units, known) {
        Some(units) => Ok(units),
        None => exec_err!("cf_time does not understand the units '{units}' in the calendar '{calendar}'"),
    }
}

/// Texts for rows: one for each, or one for all.
struct Texts(StringArray, bool);

impl Texts {
    fn new(argument: &ColumnarValue) -> Result<Self> {
        let one = matches!(argument, ColumnarValue::Scalar(_));
        let texts = cast(&argument.to_array(1)?, &DataType::Utf8)?;
        Ok(Self(texts.as_string::<i32>().clone(), one))
    }

    fn get(&self, row: usize) -> Option<&str> {
        let row = if self.1 { 0 } else { row };
        self.0.is_valid(row).then(|| self.0.value(row))
    }
}
