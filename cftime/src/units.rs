//! Units of time since a reference date (section 4.4 of the CF conventions).

use crate::calendar::Calendar;
use crate::reference::Reference;
use crate::stored::{DAY, Interval, Stored, split};

const SECOND: i128 = 1_000_000_000;

/// The day number of 1970-01-01 in the Gregorian calendar.
const UNIX_DAY: i64 = 719_162;

/// Beyond this many days from the year 1, no date of any calendar is in the range of timestamps.
const MOST_DAYS: i64 = 10_000_000;

/// The first day of the TAI calendar, 1958-01-01.
const TAI_DAY: i64 = 714_779;

/// The units of a time variable, such as `days since 1950-01-01`, in a calendar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeUnits {
    calendar: Calendar,
    /// Nanoseconds of one unit.
    unit: i128,
    /// The scale of packed numbers.
    scale: Scale,
    /// Nanoseconds from 0001-01-01 of the calendar to the time zero.
    epoch: i128,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Scale {
    Whole(i128),
    Inexact(Stored),
}

/// Why text is not a unit of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitsError {
    /// Units without the word `since`.
    #[error("its units have no reference date after the word `since`")]
    NoReference,
    /// An unknown unit before `since`.
    #[error("`{0}` is no unit of time")]
    Unknown(String),
    /// Months or years in a calendar that does not give them a fixed length.
    #[error("`{unit}` have no fixed length in the calendar `{calendar}`")]
    NoFixedLength {
        /// The unit.
        unit: String,
        /// The calendar.
        calendar: Calendar,
    },
    /// A reference date in an unknown form, or one that the calendar does not have.
    #[error("its reference date is not understood, or is none of the calendar `{0}`")]
    Reference(Calendar),
    /// A `scale_factor` or `add_offset` that is not finite, or is too large.
    #[error("its scale_factor or add_offset is not finite, or too large")]
    Packing,
}

/// Why a number has no timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTimestamp {
    /// Before 1677-09-21T00:12:43.145224192 or after 2262-04-11T23:47:16.854775807, infinite, or
    /// not a number.
    #[error("a time outside the years from 1677 to 2262, which timestamps can express")]
    OutOfRange,
    /// A date such as 30 February.
    #[error("a date that the Gregorian calendar has not")]
    NoSuchDate,
}

impl TimeUnits {
    /// Parses `units` such as `days since 1950-01-01 00:00:00 UTC`, in any case. Months are
    /// accepted in the calendar `360_day`, and `common_year`s in `noleap`.
    ///
    /// # Errors
    /// The first reason why they are not units of time since a date of the calendar.
    pub fn parse(units: &str, calendar: Calendar) -> Result<Self, UnitsError> {
        let (unit, reference) = split_since(units).ok_or(UnitsError::NoReference)?;
        let unit = length(&unit.to_lowercase(), calendar)?;
        let epoch = Reference::parse(reference).and_then(|reference| {
            let day = calendar.day(reference.year, reference.month, reference.day)?;
            // Atomic time begins in 1958, and has no zones (section 4.4.1).
            let counted = calendar != Calendar::Tai || (day >= TAI_DAY && reference.offset == 0);
            let nanoseconds = i128::from(reference.time - reference.offset);
            counted.then_some(i128::from(day) * DAY + nanoseconds)
        });
        let epoch = epoch.ok_or(UnitsError::Reference(calendar))?;
        Ok(Self { calendar, unit, scale: Scale::Whole(1), epoch })
    }

    /// The units of packed numbers (section 8.1), which are multiplied by `scale` and then
    /// increased by `offset`. The offset is itself a time, and moves the reference date.
    ///
    /// # Errors
    /// [`UnitsError::Packing`] if times cannot be computed with them.
    pub fn packed(self, scale: Stored, offset: Stored) -> Result<Self, UnitsError> {
        let (day, of_day) = self.instant(offset).ok_or(UnitsError::Packing)?;
        #[allow(clippy::cast_possible_truncation)]
        let scale = match scale {
            Stored::Int(whole) => Scale::Whole(whole),
            inexact => {
                let value = inexact.as_f64();
                if !value.is_finite() {
                    return Err(UnitsError::Packing);
                }
                if value.fract() == 0.0 { Scale::Whole(value as i128) } else { Scale::Inexact(inexact) }
            }
        };
        Ok(Self { scale, epoch: i128::from(day) * DAY + i128::from(of_day), ..self })
    }

    /// The timestamp of a stored number, in nanoseconds since 1970-01-01T00:00:00Z, with the date
    /// that the calendar gives it. Of all instants that the number may represent (see [`Stored`]),
    /// it is the roundest: a whole day, hour, minute, second, millisecond, microsecond, or a tenth
    /// of one.
    ///
    /// # Errors
    /// If no timestamp has that date.
    pub fn timestamp(&self, number: Stored) -> Result<i64, NoTimestamp> {
        let (day, of_day) = self.instant(number).ok_or(NoTimestamp::OutOfRange)?;
        if !(-MOST_DAYS..=MOST_DAYS).contains(&day) {
            return Err(NoTimestamp::OutOfRange);
        }
        let day = if self.calendar.is_of_timestamps() {
            day
        } else {
            let (year, month, day) = self.calendar.date(day);
            Calendar::ProlepticGregorian.day(year, month, day).ok_or(NoTimestamp::NoSuchDate)?
        };
        let nanoseconds = i128::from(day - UNIX_DAY) * DAY + i128::from(of_day);
        i64::try_from(nanoseconds).map_err(|_| NoTimestamp::OutOfRange)
    }

    /// The inverse of [`timestamp`](Self::timestamp): the stored number of the type of `like` that
    /// stands for a timestamp, the nearest to it of several. `None` where none does.
    pub fn number(&self, timestamp: i64, like: Stored) -> Option<Stored> {
        let (day, of_day) = split(i128::from(timestamp))?;
        let day = if self.calendar.is_of_timestamps() {
            day + UNIX_DAY
        } else {
            let (year, month, day) = Calendar::ProlepticGregorian.date(day + UNIX_DAY);
            self.calendar.day(year, month, day)?
        };
        let after = i128::from(day) * DAY + i128::from(of_day) - self.epoch;
        let count = match self.scale {
            Scale::Whole(scale) => quotient(after, self.unit.checked_mul(scale)?)?,
            Scale::Inexact(scale) => {
                let (whole, part) = quotient(after, self.unit)?;
                let count = (as_f64(whole) + part) / scale.as_f64();
                (0, count)
            }
        };
        let nearest = as_f64(count.0) + count.1;
        let candidates: Vec<Stored> = match like {
            #[allow(clippy::cast_possible_truncation)]
            Stored::Int(_) => {
                let near = count.0 + count.1.round() as i128;
                [near, near - 1, near + 1].map(Stored::Int).into()
            }
            #[allow(clippy::cast_possible_truncation)]
            Stored::Single(_) => {
                let near = nearest as f32;
                [near, near.next_down(), near.next_up()].map(Stored::Single).into()
            }
            Stored::Double(_) => [nearest, nearest.next_down(), nearest.next_up()].map(Stored::Double).into(),
        };
        candidates.into_iter().find(|&number| self.timestamp(number) == Ok(timestamp))
    }

    /// The day number in the calendar, and the nanoseconds of that day. `None` for numbers that are
    /// not finite or too large for the computation.
    fn instant(&self, number: Stored) -> Option<(i64, i64)> {
        let interval = match (number, self.scale) {
            (Stored::Int(number), Scale::Whole(scale)) => {
                let after = number.checked_mul(scale)?.checked_mul(self.unit)?;
                return split(self.epoch.checked_add(after)?);
            }
            (Stored::Int(_), Scale::Inexact(scale)) => {
                Interval::product(number.as_f64(), Interval::of(scale))
            }
            (float, Scale::Whole(scale)) => Interval::of(float).times(Stored::Int(scale).as_f64()),
            (float, Scale::Inexact(scale)) => Interval::of(float).times(scale.as_f64()),
        };
        interval.roundest(self.unit, self.epoch)
    }
}

/// A quotient: what is before the point, and the rest, both with the sign of the whole.
fn quotient(number: i128, by: i128) -> Option<(i128, f64)> {
    let (whole, rest) = (number.checked_div(by)?, number.checked_rem(by)?);
    Some((whole, as_f64(rest) / as_f64(by)))
}

#[allow(clippy::cast_precision_loss)]
fn as_f64(number: i128) -> f64 {
    number as f64
}

/// The texts before and after the word `since`.
fn split_since(units: &str) -> Option<(&str, &str)> {
    let blank = |c: char| c.is_whitespace() || c == '\0';
    let (unit, rest) = units.trim_matches(blank).split_once(char::is_whitespace)?;
    let (since, reference) = rest.trim_start().split_once(char::is_whitespace)?;
    since.eq_ignore_ascii_case("since").then_some((unit, reference))
}

/// The length of a unit of time in nanoseconds, by its names in UDUNITS, xarray and cftime.
fn length(name: &str, calendar: Calendar) -> Result<i128, UnitsError> {
    Ok(match name {
        "nanosecond" | "nanoseconds" | "nanosec" | "nanosecs" | "nsec" | "nsecs" | "ns" => 1,
        "microsecond" | "microseconds" | "microsec" | "microsecs" | "usec" | "usecs" | "us" | "µs" | "μs" => {
            1_000
        }
        "millisecond" | "milliseconds" | "millisec" | "millisecs" | "msec" | "msecs" | "ms" => 1_000_000,
        "second" | "seconds" | "sec" | "secs" | "s" => SECOND,
        "minute" | "minutes" | "min" | "mins" => 60 * SECOND,
        "hour" | "hours" | "hr" | "hrs" | "h" => 3_600 * SECOND,
        "day" | "days" | "d" => DAY,
        "week" | "weeks" => 7 * DAY,
        "fortnight" | "fortnights" => 14 * DAY,
        "month" | "months" if calendar == Calendar::Day360 => 30 * DAY,
        "common_year" | "common_years" if calendar == Calendar::NoLeap => 365 * DAY,
        "month" | "months" | "year" | "years" | "yr" | "yrs" | "common_year" | "common_years" | "decade"
        | "decades" | "century" | "centuries" => {
            return Err(UnitsError::NoFixedLength { unit: name.to_owned(), calendar });
        }
        _ => return Err(UnitsError::Unknown(name.to_owned())),
    })
}
