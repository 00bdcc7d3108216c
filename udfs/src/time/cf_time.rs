//! `cf_time`: timestamps of numbers with units and a calendar.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, PrimitiveBuilder};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int64Type, TimeUnit, TimestampNanosecondType, UInt64Type,
};
use atlas_cftime::{Calendar, Stored, TimeUnits};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::documentation::{About, Topic};
use crate::numeric::columnar;
use crate::texts::Texts;

const ABOUT: About = About {
    name: "cf_time",
    topic: Topic::Time,
    gives: "The timestamp of a number, with the date that the calendar gives it. An integer is \
            exact. A float represents all numbers that are nearest to it, and the roundest of \
            their times is returned: 0.041666666666666664 days are one hour. NULL if no timestamp \
            has that date: 30 February of `360_day`, 29 February of a common year, years before \
            1678 or after 2261. Unknown units and calendars are an error. So are months and years \
            without a fixed length: months have one in `360_day`, a `common_year` in `noleap`.",
    arguments: &[
        ("value", "the number"),
        ("units", "its units, such as 'days since 1950-01-01 00:00:00', in the forms that the import reads"),
        (
            "calendar",
            "'standard' (or 'gregorian'), 'proleptic_gregorian', 'noleap' ('365_day'), 'all_leap' ('366_day'), '360_day', 'julian' or 'tai'",
        ),
    ],
    source: "CF conventions 1.12, section 4.4",
    example: "SELECT cf_time(59, 'days since 2001-01-01', 'noleap')",
};

/// The function.
pub(super) fn udf() -> ScalarUDF {
    let signature = Signature::user_defined(Volatility::Immutable);
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

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let [value, _, _] = arguments else {
            return plan_err!(
                "cf_time takes a number, units and a calendar, not {} arguments",
                arguments.len()
            );
        };
        let value = match value {
            DataType::Dictionary(_, value) => value,
            value => value,
        };
        // The type determines the precision of a number.
        let value = match value {
            DataType::UInt64 => DataType::UInt64,
            value if value.is_integer() => DataType::Int64,
            DataType::Float16 | DataType::Float32 => DataType::Float32,
            value if value.is_numeric() || value.is_null() => DataType::Float64,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Float64,
            value => return plan_err!("cf_time takes a number as its value, not {value}"),
        };
        Ok(vec![value, DataType::Utf8, DataType::Utf8])
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
        let values = stored(&values.to_array(rows)?)?;
        let (units, calendars) = (Texts::new(units)?, Texts::new(calendars)?);
        let mut known: HashMap<(&str, &str), TimeUnits> = HashMap::new();
        let mut times = PrimitiveBuilder::<TimestampNanosecondType>::with_capacity(rows);
        for (row, value) in values.into_iter().enumerate() {
            let (Some(units), Some(calendar)) = (units.get(row), calendars.get(row)) else {
                times.append_null();
                continue;
            };
            let parsed = match known.entry((units, calendar)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(parse(units, calendar)?),
            };
            times.append_option(value.and_then(|value| parsed.timestamp(value).ok()));
        }
        let times: ArrayRef = Arc::new(times.finish());
        columnar(times, all_scalar)
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
        Ok(units) => Ok(units),
        Err(reason) => {
            exec_err!(
                "cf_time does not understand the units '{units}' in the calendar '{calendar}': {reason}"
            )
        }
    }
}

/// Numbers with the precision of their type.
fn stored(values: &ArrayRef) -> Result<Vec<Option<Stored>>> {
    Ok(match values.data_type() {
        DataType::Int64 => {
            values.as_primitive::<Int64Type>().iter().map(|value| Some(Stored::Int(value?.into()))).collect()
        }
        DataType::UInt64 => {
            values.as_primitive::<UInt64Type>().iter().map(|value| Some(Stored::Int(value?.into()))).collect()
        }
        DataType::Float32 => {
            values.as_primitive::<Float32Type>().iter().map(|value| Some(Stored::Single(value?))).collect()
        }
        _ => {
            let values = cast(values, &DataType::Float64)?;
            values.as_primitive::<Float64Type>().iter().map(|value| Some(Stored::Double(value?))).collect()
        }
    })
}
