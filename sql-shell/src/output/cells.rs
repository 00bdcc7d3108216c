//! Formats values: all times in a column with the same number of digits, and durations as days and
//! hours.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, RecordBatch, make_array};
use arrow::datatypes::{
    DataType, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
    Field, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, Schema,
    Time32MillisecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType,
};
use arrow::error::ArrowError;
use arrow::util::display::{
    ArrayFormatter, ArrayFormatterFactory, DisplayIndex, FormatOptions, FormatResult,
};

use crate::error::Result;

/// The separator of date and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Between {
    /// A space, for people.
    Space,
    /// The letter `T`, as in ISO 8601.
    T,
}

/// How the values of each column are formatted.
#[derive(Clone, Debug)]
pub(crate) struct Looks {
    between: Between,
    /// The number of fractional digits of seconds in each column, divided by three.
    thousands: Vec<usize>,
}

impl Looks {
    /// Formats with as many digits as the values of each column need.
    pub(crate) fn of(schema: &Schema, batches: &[RecordBatch], between: Between) -> Self {
        let needed = |column: usize| {
            let arrays = batches.iter().filter_map(|batch| batch.columns().get(column));
            arrays.map(|array| thousands(array)).max().unwrap_or(0)
        };
        let is_timed = |field: &Field| has_times(field.data_type());
        let fields = schema.fields().iter().enumerate();
        let thousands = fields.map(|(i, field)| if is_timed(field) { needed(i) } else { 0 }).collect();
        Self { between, thousands }
    }

    /// Formats with all digits of the columns' types.
    pub(crate) fn widest(schema: &Schema, between: Between) -> Self {
        Self { between, thousands: schema.fields().iter().map(|field| most(field.data_type())).collect() }
    }

    /// The formatters of a batch's columns.
    pub(crate) fn formatters<'a>(
        &self,
        batch: &'a RecordBatch,
        null: &'a str,
    ) -> Result<Vec<ArrayFormatter<'a>>> {
        let columns = batch.columns().iter().enumerate();
        let formatter = |(i, column): (usize, &'a ArrayRef)| {
            let thousands = self.thousands.get(i).copied().unwrap_or(0);
            formatter(column, thousands, self.between, null)
        };
        Ok(columns.map(formatter).collect::<std::result::Result<_, _>>()?)
    }
}

/// The formatters of a batch that is a whole result.
pub(crate) fn formatters<'a>(batch: &'a RecordBatch, null: &'a str) -> Result<Vec<ArrayFormatter<'a>>> {
    Looks::of(batch.schema_ref(), std::slice::from_ref(batch), Between::Space).formatters(batch, null)
}

/// Whether a type contains times or durations.
pub(crate) fn has_times(data_type: &DataType) -> bool {
    most(data_type) > 0
}

const DURATIONS: [&dyn ArrayFormatterFactory; 4] = [
    &Durations { thousands: 0 },
    &Durations { thousands: 1 },
    &Durations { thousands: 2 },
    &Durations { thousands: 3 },
];

fn formatter<'a>(
    array: &'a dyn Array,
    thousands: usize,
    between: Between,
    null: &'a str,
) -> std::result::Result<ArrayFormatter<'a>, ArrowError> {
    let (time, time_zone) = match (between, thousands) {
        (Between::Space, 0) => ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S%:z"),
        (Between::Space, 1) => ("%Y-%m-%d %H:%M:%S%.3f", "%Y-%m-%d %H:%M:%S%.3f%:z"),
        (Between::Space, 2) => ("%Y-%m-%d %H:%M:%S%.6f", "%Y-%m-%d %H:%M:%S%.6f%:z"),
        (Between::Space, _) => ("%Y-%m-%d %H:%M:%S%.9f", "%Y-%m-%d %H:%M:%S%.9f%:z"),
        (Between::T, 0) => ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%:z"),
        (Between::T, 1) => ("%Y-%m-%dT%H:%M:%S%.3f", "%Y-%m-%dT%H:%M:%S%.3f%:z"),
        (Between::T, 2) => ("%Y-%m-%dT%H:%M:%S%.6f", "%Y-%m-%dT%H:%M:%S%.6f%:z"),
        (Between::T, _) => ("%Y-%m-%dT%H:%M:%S%.9f", "%Y-%m-%dT%H:%M:%S%.9f%:z"),
    };
    // A time of day has the format of the part after the date.
    let time_of_day = time.get("%Y-%m-%d ".len()..);
    let options = FormatOptions::default()
        .with_null(null)
        .with_timestamp_format(Some(time))
        .with_timestamp_tz_format(Some(time_zone))
        .with_time_format(time_of_day)
        .with_formatter_factory(DURATIONS.get(thousands).copied());
    match options.formatter_factory() {
        Some(durations) => match durations.create_array_formatter(array, &options, None)? {
            Some(formatter) => Ok(formatter),
            None => ArrayFormatter::try_new(array, &options),
        },
        None => ArrayFormatter::try_new(array, &options),
    }
}

/// The largest number of fractional digits of seconds in a type, divided by three.
fn most(data_type: &DataType) -> usize {
    match data_type {
        DataType::Timestamp(unit, _)
        | DataType::Time32(unit)
        | DataType::Time64(unit)
        | DataType::Duration(unit) => match unit {
            TimeUnit::Second => 0,
            TimeUnit::Millisecond => 1,
            TimeUnit::Microsecond => 2,
            TimeUnit::Nanosecond => 3,
        },
        DataType::Interval(IntervalUnit::YearMonth) => 0,
        DataType::Interval(IntervalUnit::DayTime) => 1,
        DataType::Interval(IntervalUnit::MonthDayNano) => 3,
        DataType::List(inner)
        | DataType::LargeList(inner)
        | DataType::ListView(inner)
        | DataType::LargeListView(inner)
        | DataType::FixedSizeList(inner, _)
        | DataType::Map(inner, _) => most(inner.data_type()),
        DataType::Struct(fields) => fields.iter().map(|field| most(field.data_type())).max().unwrap_or(0),
        DataType::Dictionary(_, values) => most(values),
        DataType::RunEndEncoded(_, values) => most(values.data_type()),
        _ => 0,
    }
}

/// The number of fractional digits of seconds that values need, divided by three.
fn thousands(array: &dyn Array) -> usize {
    fn of<T: ArrowPrimitiveType>(array: &dyn Array, need: impl Fn(T::Native) -> usize, most: usize) -> usize {
        let mut needed = 0;
        for value in array.as_primitive::<T>().iter().flatten() {
            needed = needed.max(need(value));
            if needed == most {
                break;
            }
        }
        needed
    }
    let most = most(array.data_type());
    let in_units =
        |units: usize| move |value: i64| (0..units).find(|&k| divides(value, units - k)).unwrap_or(units);
    match array.data_type() {
        _ if most == 0 => 0,
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            of::<TimestampNanosecondType>(array, in_units(3), most)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            of::<TimestampMicrosecondType>(array, in_units(2), most)
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            of::<TimestampMillisecondType>(array, in_units(1), most)
        }
        DataType::Time64(TimeUnit::Nanosecond) => of::<Time64NanosecondType>(array, in_units(3), most),
        DataType::Time64(TimeUnit::Microsecond) => of::<Time64MicrosecondType>(array, in_units(2), most),
        DataType::Time32(TimeUnit::Millisecond) => {
            of::<Time32MillisecondType>(array, |value| in_units(1)(value.into()), most)
        }
        DataType::Duration(TimeUnit::Nanosecond) => of::<DurationNanosecondType>(array, in_units(3), most),
        DataType::Duration(TimeUnit::Microsecond) => of::<DurationMicrosecondType>(array, in_units(2), most),
        DataType::Duration(TimeUnit::Millisecond) => of::<DurationMillisecondType>(array, in_units(1), most),
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            of::<IntervalMonthDayNanoType>(array, |value| in_units(3)(value.nanoseconds), most)
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            of::<IntervalDayTimeType>(array, |value| in_units(1)(value.milliseconds.into()), most)
        }
        _ => array
            .to_data()
            .child_data()
            .iter()
            .map(|child| thousands(&make_array(child.clone())))
            .max()
            .unwrap_or(0),
    }
}

/// Whether a number is a multiple of the given power of a thousand.
fn divides(value: i64, power: usize) -> bool {
    let by = match power {
        0 => 1,
        1 => 1_000,
        2 => 1_000_000,
        _ => 1_000_000_000,
    };
    value % by == 0
}

/// Formats durations and intervals, including those in lists and structures.
#[derive(Debug)]
struct Durations {
    thousands: usize,
}

impl ArrayFormatterFactory for Durations {
    fn create_array_formatter<'f>(
        &self,
        array: &'f dyn Array,
        options: &FormatOptions<'f>,
        _: Option<&'f Field>,
    ) -> std::result::Result<Option<ArrayFormatter<'f>>, ArrowError> {
        if !matches!(array.data_type(), DataType::Duration(_) | DataType::Interval(_)) {
            return Ok(None);
        }
        let written = Written { array, null: options.null(), thousands: self.thousands };
        Ok(Some(ArrayFormatter::new(Box::new(written), options.safe())))
    }
}

struct Written<'a> {
    array: &'a dyn Array,
    null: &'a str,
    thousands: usize,
}

impl DisplayIndex for Written<'_> {
    fn write(&self, row: usize, f: &mut dyn Write) -> FormatResult {
        fn at<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> T::Native {
            let array: &PrimitiveArray<T> = array.as_primitive();
            array.value(row)
        }
        if self.array.is_null(row) {
            f.write_str(self.null)?;
            return Ok(());
        }
        let (months, days, nanoseconds) = match self.array.data_type() {
            DataType::Duration(unit) => {
                let (value, factor) = match unit {
                    TimeUnit::Second => (at::<DurationSecondType>(self.array, row), 1_000_000_000),
                    TimeUnit::Millisecond => (at::<DurationMillisecondType>(self.array, row), 1_000_000),
                    TimeUnit::Microsecond => (at::<DurationMicrosecondType>(self.array, row), 1_000),
                    TimeUnit::Nanosecond => (at::<DurationNanosecondType>(self.array, row), 1),
                };
                let total = i128::from(value) * factor;
                // One sign applies to the whole duration, since these days are not calendar days.
                let (days, rest) = (total / DAY, total % DAY);
                if total < 0 {
                    f.write_char('-')?;
                }
                (0, days.abs(), rest.abs())
            }
            DataType::Interval(IntervalUnit::YearMonth) => {
                (at::<IntervalYearMonthType>(self.array, row), 0, 0)
            }
            DataType::Interval(IntervalUnit::DayTime) => {
                let value = at::<IntervalDayTimeType>(self.array, row);
                (0, value.days.into(), i128::from(value.milliseconds) * 1_000_000)
            }
            _ => {
                let value = at::<IntervalMonthDayNanoType>(self.array, row);
                (value.months, value.days.into(), value.nanoseconds.into())
            }
        };
        let mut parts = Vec::new();
        let counts = [(i128::from(months / 12), "year"), (i128::from(months % 12), "month"), (days, "day")];
        for (count, unit) in counts.into_iter().filter(|(count, _)| *count != 0) {
            parts.push(format!("{count} {unit}{}", if count.abs() == 1 { "" } else { "s" }));
        }
        let is_date = matches!(self.array.data_type(), DataType::Interval(_)) && !parts.is_empty();
        if nanoseconds != 0 || !is_date {
            parts.push(clock(nanoseconds, self.thousands));
        }
        f.write_str(&parts.join(" "))?;
        Ok(())
    }
}

const DAY: i128 = 86_400_000_000_000;

/// Hours, minutes and seconds.
fn clock(nanoseconds: i128, thousands: usize) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let nanoseconds = nanoseconds.unsigned_abs();
    let seconds = nanoseconds / 1_000_000_000;
    let mut text = format!("{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if thousands > 0 {
        let fraction = format!("{:09}", nanoseconds % 1_000_000_000);
        text.push('.');
        text.push_str(fraction.get(..3 * thousands.min(3)).unwrap_or(&fraction));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        DurationMicrosecondArray, DurationNanosecondArray, DurationSecondArray, IntervalMonthDayNanoArray,
        ListArray, TimestampNanosecondArray,
    };
    use arrow::datatypes::IntervalMonthDayNano;

    use super::*;

    fn shown(array: ArrayRef, between: Between) -> Vec<String> {
        let batch = RecordBatch::try_from_iter([("a", array)]).unwrap();
        let looks = Looks::of(&batch.schema(), std::slice::from_ref(&batch), between);
        let columns = looks.formatters(&batch, "NULL").unwrap();
        (0..batch.num_rows()).map(|row| columns[0].value(row).to_string()).collect()
    }

    #[test]
    fn times_of_a_column_have_the_same_number_of_digits() {
        let times =
            |values: &[Option<i64>]| Arc::new(TimestampNanosecondArray::from(values.to_vec())) as ArrayRef;
        let space = |values: &[Option<i64>]| shown(times(values), Between::Space);
        assert_eq!(space(&[Some(0), None]), ["1970-01-01 00:00:00", "NULL"]);
        assert_eq!(
            space(&[Some(0), Some(1_500_000_000)]),
            ["1970-01-01 00:00:00.000", "1970-01-01 00:00:01.500"]
        );
        assert_eq!(space(&[Some(1_000), Some(0)])[1], "1970-01-01 00:00:00.000000");
        assert_eq!(space(&[Some(-1)]), ["1969-12-31 23:59:59.999999999"]);
        assert_eq!(shown(times(&[Some(1)]), Between::T), ["1970-01-01T00:00:00.000000001"]);
        let list = ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>([Some([
            Some(0),
            Some(1_000_000),
        ])]);
        let inner = arrow::compute::cast(
            &list,
            &DataType::new_list(DataType::Timestamp(TimeUnit::Nanosecond, None), true),
        );
        assert_eq!(
            shown(inner.unwrap(), Between::Space),
            ["[1970-01-01 00:00:00.000, 1970-01-01 00:00:00.001]"]
        );
    }

    #[test]
    fn durations_are_days_and_hours() {
        let hours = |hours: i64| hours * 3600;
        let seconds: ArrayRef =
            Arc::new(DurationSecondArray::from(vec![hours(3) + 62, hours(25), -hours(49)]));
        assert_eq!(shown(seconds, Between::Space), ["03:01:02", "1 day 01:00:00", "-2 days 01:00:00"]);
        let nanos: ArrayRef =
            Arc::new(DurationNanosecondArray::from(vec![Some(0), Some(-1_500_000_000), None]));
        assert_eq!(shown(nanos, Between::Space), ["00:00:00.000", "-00:00:01.500", "NULL"]);
        let widest = DurationMicrosecondArray::from(vec![i64::MIN, i64::MAX]);
        assert_eq!(shown(Arc::new(widest), Between::Space)[0], "-106751991 days 04:00:54.775808");
        let intervals = IntervalMonthDayNanoArray::from(vec![
            IntervalMonthDayNano::new(14, 3, 0),
            IntervalMonthDayNano::new(0, 1, 3_600_000_000_000),
            IntervalMonthDayNano::new(0, 0, 0),
            IntervalMonthDayNano::new(-1, -2, -1_000_000_000),
        ]);
        let expected = ["1 year 2 months 3 days", "1 day 01:00:00", "00:00:00", "-1 month -2 days -00:00:01"];
        assert_eq!(shown(Arc::new(intervals), Between::Space), expected);
    }
}
