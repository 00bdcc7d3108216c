//! Converts the numbers of time variables to timestamps (sections 4.4, 7.1 and 7.4 of the CF
//! conventions).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, TimestampNanosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, TimestampNanosecondType, UInt64Type};
use atlas::DType;
use atlas_cftime::{Calendar, NoTimestamp, Stored, TimeUnits, UnitsError};
use netcdf_reader::NcAttrValue;

use crate::cf::{Number, Packing};
use crate::notice::{Notice, NoticeClass};
use crate::piece::Variable;

/// What to do with times in a calendar whose dates differ from those of timestamps, such as
/// `noleap`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CalendarPolicy {
    /// Keep them as numbers.
    #[default]
    Keep,
    /// Convert them to timestamps with the same date and time of day. Dates that the calendar of
    /// timestamps does not have become missing.
    Convert,
}

impl fmt::Display for CalendarPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keep => "keep",
            Self::Convert => "convert",
        })
    }
}

impl FromStr for CalendarPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "keep" => Ok(Self::Keep),
            "convert" => Ok(Self::Convert),
            _ => Err(format!("`{text}` is neither keep nor convert")),
        }
    }
}

/// Why a time variable stays numeric.
#[derive(Debug, thiserror::Error)]
enum StaysNumber {
    #[error(transparent)]
    Units(#[from] UnitsError),
    #[error("the calendar `{0}` is none that is known")]
    Calendar(String),
    #[error("its calendar `{0}` has other dates than timestamps (`--calendar convert` keeps the dates)")]
    OtherDates(Calendar),
}

/// Converts the numbers of a time variable to timestamps.
pub(crate) struct Times {
    units: TimeUnits,
    /// The calendar, if its dates are converted.
    converted: Option<Calendar>,
    out_of_range: u64,
    no_such_date: u64,
}

impl Times {
    /// The times of a variable. A bounds variable inherits units and calendar from its parent
    /// variable if it lacks them (sections 7.1 and 7.4). `None` for a variable of other numbers.
    ///
    /// # Errors
    /// A notice if it is a time variable that stays numeric.
    pub fn of(
        variable: &Variable,
        inherited: Option<&Variable>,
        packing: Option<&Packing>,
        policy: CalendarPolicy,
    ) -> Result<Option<Self>, Notice> {
        let text = |name| variable.text(name).or_else(|| inherited?.text(name));
        let (units, calendar) = (text("units").unwrap_or_default(), text("calendar"));
        let is = |name: &str, value: &str| {
            variable.text(name).is_some_and(|text| text.trim().eq_ignore_ascii_case(value))
        };
        // Section 4.4 identifies times by their units. This also recognises times that are declared
        // in another way, so that they are reported.
        let of_time = units.split_whitespace().any(|word| word.eq_ignore_ascii_case("since"))
            || calendar.is_some()
            || is("standard_name", "time")
            || is("axis", "T");
        if !of_time {
            return Ok(None);
        }
        let times = Self::parse(&units, &calendar.unwrap_or_default(), policy).and_then(|times| {
            let Some(packing) = packing else { return Ok(times) };
            let scale = precise(packing.scale, variable.attribute("scale_factor"));
            let offset = precise(packing.offset, variable.attribute("add_offset"));
            Ok(Self { units: times.units.packed(scale, offset)?, ..times })
        });
        times.map(Some).map_err(|reason| Notice {
            class: NoticeClass::TimeAsNumber,
            subject: variable.name.clone(),
            detail: reason.to_string(),
            cells: 0,
        })
    }

    fn parse(units: &str, calendar: &str, policy: CalendarPolicy) -> Result<Self, StaysNumber> {
        let calendar =
            Calendar::named(calendar).ok_or_else(|| StaysNumber::Calendar(calendar.trim().to_owned()))?;
        let units = TimeUnits::parse(units, calendar)?;
        let converted = (!calendar.is_of_timestamps()).then_some(calendar);
        match converted {
            Some(calendar) if policy == CalendarPolicy::Keep => Err(StaysNumber::OtherDates(calendar)),
            converted => Ok(Self { units, converted, out_of_range: 0, no_such_date: 0 }),
        }
    }

    /// Converts stored numbers to timestamps. Missing cells, NaN, and times that no timestamp can
    /// represent become NULL; the latter are counted.
    pub fn decode(&mut self, stored: &ArrayRef) -> Result<ArrayRef, String> {
        let error = |error: arrow::error::ArrowError| error.to_string();
        let timestamps: TimestampNanosecondArray = match stored.data_type() {
            DataType::Float32 => self.timestamps(stored.as_primitive::<Float32Type>(), Stored::Single),
            DataType::Float64 => self.timestamps(stored.as_primitive::<Float64Type>(), Stored::Double),
            DataType::UInt64 => {
                self.timestamps(stored.as_primitive::<UInt64Type>(), |value| Stored::Int(value.into()))
            }
            _ => {
                let stored = cast(stored, &DataType::Int64).map_err(error)?;
                self.timestamps(stored.as_primitive::<Int64Type>(), |value| Stored::Int(value.into()))
            }
        };
        Ok(Arc::new(timestamps))
    }

    fn timestamps<T: Copy>(
        &mut self,
        cells: impl IntoIterator<Item = Option<T>>,
        stored: impl Fn(T) -> Stored,
    ) -> TimestampNanosecondArray {
        cells.into_iter().map(|cell| self.timestamp(stored(cell?))).collect()
    }

    fn timestamp(&mut self, number: Stored) -> Option<i64> {
        if matches!(number, Stored::Single(value) if value.is_nan())
            || matches!(number, Stored::Double(value) if value.is_nan())
        {
            return None;
        }
        match self.units.timestamp(number) {
            Ok(timestamp) => Some(timestamp),
            Err(NoTimestamp::OutOfRange) => {
                self.out_of_range += 1;
                None
            }
            Err(NoTimestamp::NoSuchDate) => {
                self.no_such_date += 1;
                None
            }
        }
    }

    /// Converts timestamps to stored numbers of type `stored`. Null timestamps stay null, and those
    /// that no number represents become null.
    pub fn encode(&self, cells: &ArrayRef, stored: DType) -> Result<ArrayRef, String> {
        let like = match stored {
            DType::F32 => Stored::Single(0.0),
            DType::F64 => Stored::Double(0.0),
            _ => Stored::Int(0),
        };
        let timestamps = cells.as_primitive_opt::<TimestampNanosecondType>();
        let timestamps = timestamps.ok_or_else(|| "its cells are no timestamps".to_owned())?;
        let number = |timestamp: Option<i64>| match self.units.number(timestamp?, like)? {
            Stored::Int(number) => Number::Int(number).element(stored),
            Stored::Single(number) => Number::Float(number.into()).element(stored),
            Stored::Double(number) => Number::Float(number).element(stored),
        };
        Ok(stored.array(timestamps.iter().map(number)))
    }

    /// Notices about all cells so far.
    pub fn notices(&self, subject: &str) -> Vec<Notice> {
        let notice = |class, detail, cells| Notice { class, subject: subject.to_owned(), detail, cells };
        let mut notices = Vec::new();
        if let Some(calendar) = self.converted {
            let detail = format!("dates of the calendar `{calendar}` are timestamps with the same dates");
            notices.push(notice(NoticeClass::CalendarConverted, detail, 0));
        }
        if self.out_of_range > 0 {
            let detail = NoTimestamp::OutOfRange.to_string();
            notices.push(notice(NoticeClass::TimeOutOfRange, detail, self.out_of_range));
        }
        if self.no_such_date > 0 {
            let detail = NoTimestamp::NoSuchDate.to_string();
            notices.push(notice(NoticeClass::DateNotInCalendar, detail, self.no_such_date));
        }
        notices
    }
}

/// Converts a number of the packing, with the precision of its attribute.
#[allow(clippy::cast_possible_truncation)]
fn precise(value: f64, attribute: Option<&NcAttrValue>) -> Stored {
    match attribute {
        Some(NcAttrValue::Floats(_)) => Stored::Single(value as f32),
        _ => Stored::Double(value),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::TimestampNanosecondArray;
    use netcdf_writer::{NcFileBuilder, NcWriteFormat, NcWriteOptions};

    use super::*;
    use crate::ImportOptions;
    use crate::netcdf::read_file;
    use crate::piece::Piece;

    const HOUR: i64 = 3_600_000_000_000;

    /// Reads the time variables of a file, in hours since 2000-01-01T00:00:00, and the notices.
    fn read(
        file: &NcFileBuilder,
        format: NcWriteFormat,
        calendar: CalendarPolicy,
    ) -> (BTreeMap<String, Vec<Option<f64>>>, Vec<Notice>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.nc");
        let mut bytes = Vec::new();
        file.write(&mut bytes, NcWriteOptions { format }).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let (mut times, mut notices) = (BTreeMap::<_, Vec<_>>::new(), Vec::new());
        let options = ImportOptions { calendar, ..ImportOptions::default() };
        read_file(&path, &path, &options, &mut |piece| {
            match piece {
                Piece::Cells { array, cells, .. } => {
                    if let Some(cells) = cells.as_primitive_opt::<TimestampNanosecondType>() {
                        times.entry(array).or_default().extend(hours(cells));
                    }
                }
                Piece::Notice(notice) => notices.push(notice),
                _ => {}
            }
            true
        })
        .unwrap();
        (times, notices)
    }

    fn hours(cells: &TimestampNanosecondArray) -> Vec<Option<f64>> {
        let year_2000 = 10_957 * 24 * HOUR;
        cells.iter().map(|cell| cell.map(|cell| (cell - year_2000) as f64 / HOUR as f64)).collect()
    }

    fn text(text: &str) -> NcAttrValue {
        NcAttrValue::Chars(text.to_owned())
    }

    /// Adds a numeric variable with attributes.
    fn add(file: &mut NcFileBuilder, name: &str, attributes: &[(&str, NcAttrValue)], cells: &[f64]) {
        let dim = file.add_dimension(format!("of_{name}"), cells.len() as u64).unwrap();
        let variable = file.add_variable::<f64>(name, &[dim]).unwrap();
        for (key, value) in attributes {
            file.add_variable_attribute(variable, *key, value.clone()).unwrap();
        }
        file.write_variable(variable, cells).unwrap();
    }

    #[test]
    fn an_odd_cell_is_missing_and_the_others_are_times() {
        let mut file = NcFileBuilder::new();
        let units = ("units", text("days since 2000-01-01"));
        let missing = ("missing_value", NcAttrValue::Doubles(vec![-1e30]));
        let cells = [0.0, 1e30, f64::NAN, -1e30, f64::INFINITY, 1.0 / 24.0];
        add(&mut file, "time", &[units, missing], &cells);
        let (times, notices) = read(&file, NcWriteFormat::Classic, CalendarPolicy::Keep);
        assert_eq!(times["time"], [Some(0.0), None, None, None, None, Some(1.0)]);
        let detail = NoTimestamp::OutOfRange.to_string();
        let class = NoticeClass::TimeOutOfRange;
        assert_eq!(notices, [Notice { class, subject: "time".to_owned(), detail, cells: 2 }]);
    }

    #[test]
    fn odd_cells_are_counted_over_all_slabs() {
        let mut file = NcFileBuilder::new();
        let mut cells = vec![0.0; 33 * 1024 * 1024 / 8];
        (cells[0], cells[33 * 1024 * 1024 / 8 - 1]) = (1e30, 1e30);
        add(&mut file, "time", &[("units", text("days since 2000-01-01"))], &cells);
        let (times, notices) = read(&file, NcWriteFormat::Classic, CalendarPolicy::Keep);
        assert_eq!(times["time"].len(), cells.len());
        assert_eq!(times["time"].iter().filter(|cell| cell.is_none()).count(), 2);
        assert_eq!(notices.iter().map(|notice| notice.cells).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn other_calendars_stay_numbers_or_are_converted() {
        let mut file = NcFileBuilder::new();
        let units = || ("units", text("days since 2000-02-01"));
        let calendar = |name| ("calendar", text(name));
        // 1 and 30 February 2000, 1 March 2000, 29 February 2001.
        add(&mut file, "d360", &[units(), calendar("360_day")], &[0.0, 29.0, 30.5, 388.0]);
        add(&mut file, "noleap", &[units(), calendar("365_day")], &[27.0, 28.0]);
        add(&mut file, "all_leap", &[units(), calendar("all_leap")], &[28.0, 29.0, 394.0]);
        add(&mut file, "julian", &[units(), calendar("julian")], &[28.0, 29.0]);
        add(&mut file, "lunar", &[units(), calendar("lunar")], &[1.0]);

        let (times, notices) = read(&file, NcWriteFormat::Classic, CalendarPolicy::Keep);
        assert!(times.is_empty());
        assert_eq!(notices.len(), 5);
        assert!(notices.iter().all(|notice| notice.class == NoticeClass::TimeAsNumber), "{notices:?}");
        assert!(notices[0].detail.contains("`360_day` has other dates"), "{notices:?}");
        assert!(notices[4].detail.contains("`lunar` is none that is known"), "{notices:?}");

        let (times, notices) = read(&file, NcWriteFormat::Classic, CalendarPolicy::Convert);
        let day = |days: f64| Some((31.0 + days) * 24.0);
        assert_eq!(times["d360"], [day(0.0), None, day(29.5), None]);
        assert_eq!(times["noleap"], [day(27.0), day(29.0)]);
        assert_eq!(times["all_leap"], [day(28.0), day(29.0), None]);
        assert_eq!(times["julian"], [day(28.0), day(29.0)]);
        let counts = |class| {
            let of_class = notices.iter().filter(move |notice| notice.class == class);
            of_class.map(|notice| (notice.subject.as_str(), notice.cells)).collect::<Vec<_>>()
        };
        assert_eq!(counts(NoticeClass::DateNotInCalendar), [("d360", 2), ("all_leap", 1)]);
        assert_eq!(counts(NoticeClass::CalendarConverted).len(), 4);
        assert_eq!(counts(NoticeClass::TimeAsNumber), [("lunar", 0)]);
    }

    #[test]
    fn times_that_stay_numbers_are_reported_with_the_reason() {
        let mut file = NcFileBuilder::new();
        let expected = [
            ("months since 2000-01-01", "`months` have no fixed length"),
            ("mbar since 2000-01-01", "`mbar` is no unit of time"),
            ("days since 01/02/2000", "reference date is not understood"),
            ("days since 2001-02-29", "reference date is not understood"),
            ("days since 0000-01-01", "none of the calendar `standard`"),
        ];
        for (k, (units, _)) in expected.iter().enumerate() {
            add(&mut file, &format!("v{k}"), &[("units", text(units))], &[1.0]);
        }
        let declared = [("units", text("day as %Y%m%d.%f")), ("standard_name", text("time"))];
        add(&mut file, "declared", &declared, &[20_000_101.5]);
        add(&mut file, "axis", &[("axis", text("T"))], &[1.0]);
        add(
            &mut file,
            "offset",
            &[("units", text("days since 2000-01-01")), ("add_offset", NcAttrValue::Doubles(vec![1e300]))],
            &[1.0],
        );
        add(&mut file, "period", &[("units", text("days"))], &[1.0]);
        add(&mut file, "height", &[("units", text("m"))], &[1.0]);
        let (times, notices) = read(&file, NcWriteFormat::Classic, CalendarPolicy::Convert);
        assert!(times.is_empty());
        let reasons = expected.iter().map(|(_, reason)| *reason);
        let reasons = reasons.chain(["no reference date", "no reference date", "scale_factor or add_offset"]);
        assert_eq!(notices.len(), reasons.clone().count(), "{notices:?}");
        for (notice, reason) in notices.iter().zip(reasons) {
            assert_eq!(notice.class, NoticeClass::TimeAsNumber);
            assert!(notice.detail.contains(reason), "{notice:?}");
        }
    }

    #[test]
    fn bounds_take_the_units_and_the_calendar_of_their_variable() {
        let mut file = NcFileBuilder::new();
        let units = || ("units", text("hours since 2000-01-01"));
        let noleap = ("calendar", text("noleap"));
        add(&mut file, "time", &[units(), ("bounds", text("time_bounds"))], &[1.0]);
        add(&mut file, "time_bounds", &[], &[0.0, 2.0]);
        add(&mut file, "month", &[units(), ("climatology", text("month_bounds"))], &[3.0]);
        add(&mut file, "month_bounds", &[], &[2.0, 4.0]);
        // It has its own units, but inherits the calendar.
        add(&mut file, "model", &[units(), noleap, ("bounds", text("model_bounds"))], &[1.0]);
        add(&mut file, "model_bounds", &[units()], &[0.0, 2.0]);
        let (times, notices) = read(&file, NcWriteFormat::Classic, CalendarPolicy::Keep);
        assert_eq!(times["time_bounds"], [Some(0.0), Some(2.0)]);
        assert_eq!(times["month_bounds"], [Some(2.0), Some(4.0)]);
        let subjects: Vec<_> = notices.iter().map(|notice| notice.subject.as_str()).collect();
        assert_eq!(subjects, ["model", "model_bounds"]);
    }

    #[test]
    fn bounds_are_found_from_the_group_of_their_variable() {
        let mut file = NcFileBuilder::new();
        let dim = file.add_dimension("pair", 2).unwrap();
        let mut add = |path: &str, attributes: &[(&str, &str)], cells: [f64; 2]| {
            let variable = file.add_variable_path::<f64>(path, &[dim]).unwrap();
            for (key, value) in attributes {
                file.add_variable_attribute(variable, *key, text(value)).unwrap();
            }
            file.write_variable(variable, &cells).unwrap();
        };
        add("bounds", &[], [5.0, 6.0]);
        add("a/time", &[("units", "hours since 2000-01-01"), ("bounds", "bounds")], [1.0, 2.0]);
        add("a/bounds", &[], [3.0, 4.0]);
        add("b/time", &[("units", "days since 2000-01-01"), ("bounds", "bounds")], [1.0, 2.0]);
        let (times, _) = read(&file, NcWriteFormat::Nc4, CalendarPolicy::Keep);
        assert_eq!(times["a.bounds"], [Some(3.0), Some(4.0)]);
        assert_eq!(times["bounds"], [Some(120.0), Some(144.0)]);
    }

    #[test]
    fn the_type_and_the_packing_decide_how_precise_times_are() {
        let mut file = NcFileBuilder::new();
        let dim = file.add_dimension("n", 2).unwrap();
        let units = || text("days since 2000-01-01");
        let single = file.add_variable::<f32>("single", &[dim]).unwrap();
        file.add_variable_attribute(single, "units", units()).unwrap();
        file.write_variable(single, &[1000.0f32 + 1.0 / 24.0, 1000.0 + 7.0 / 24.0]).unwrap();
        let packed = file.add_variable::<i16>("packed", &[dim]).unwrap();
        file.add_variable_attribute(packed, "units", units()).unwrap();
        file.add_variable_attribute(packed, "scale_factor", NcAttrValue::Doubles(vec![1.0 / 24.0])).unwrap();
        file.add_variable_attribute(packed, "add_offset", NcAttrValue::Doubles(vec![1000.0 + 1.0 / 24.0]))
            .unwrap();
        file.write_variable(packed, &[0i16, 22]).unwrap();
        let unsigned = file.add_variable::<i64>("unsigned", &[dim]).unwrap();
        file.add_variable_attribute(unsigned, "units", text("nanoseconds since 1600-01-01")).unwrap();
        file.add_variable_attribute(unsigned, "_Unsigned", text("true")).unwrap();
        let until = (400 * 365 + 97) * 24 * i128::from(HOUR);
        file.write_variable(unsigned, &[until as u64 as i64, until as u64 as i64]).unwrap();
        let (times, notices) = read(&file, NcWriteFormat::Nc4, CalendarPolicy::Keep);
        assert_eq!(times["single"], [Some(24_001.0), Some(24_007.0)]);
        assert_eq!(times["packed"], [Some(24_001.0), Some(24_023.0)]);
        assert_eq!(times["unsigned"], [Some(0.0), Some(0.0)]);
        assert!(notices.is_empty(), "{notices:?}");
    }
}
