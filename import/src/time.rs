//! Times: what the numbers of a time variable stand for.
//!
//! Section numbers are those of the [CF conventions 1.11](https://cfconventions.org/Data/cf-conventions/cf-conventions-1.11/cf-conventions.html).

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};

use crate::cf::Number;

const SECOND: i64 = 1_000_000_000;

/// The Julian day number of 1970-01-01.
const UNIX_JULIAN_DAY: i64 = 2_440_588;

/// What a number of a time variable stands for (section 4.4): `epoch` and so many units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeUnits {
    /// Nanoseconds of one unit.
    unit: i64,
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    epoch: i128,
}

impl TimeUnits {
    /// Understands `units` such as `days since 1950-01-01 00:00:00 UTC` in a calendar whose dates are those
    /// of the world: `standard`, `gregorian`, `proleptic_gregorian`, or none named. `None` for other
    /// calendars, for months and years, which have no fixed length, and for what is not understood: those
    /// stay numbers.
    pub fn parse(units: &str, calendar: Option<&str>) -> Option<Self> {
        let mixed = match calendar.map(|name| name.trim().to_ascii_lowercase()).as_deref() {
            None | Some("" | "standard" | "gregorian") => true,
            Some("proleptic_gregorian") => false,
            Some(_) => return None,
        };
        let mut words = units.split_whitespace();
        let unit = unit(&words.next()?.to_ascii_lowercase())?;
        if !words.next()?.eq_ignore_ascii_case("since") {
            return None;
        }
        let epoch = words.collect::<Vec<_>>().join(" ");
        Some(Self { unit, epoch: parse_epoch(&epoch, mixed)? })
    }

    /// The instant of a number, in nanoseconds since 1970-01-01T00:00:00Z, or `None` where it is out of
    /// the range of years from 1677 to 2262 that those can express.
    pub fn instant(&self, number: Number) -> Option<i64> {
        let since = match number {
            Number::Int(value) => value.checked_mul(i128::from(self.unit))?,
            Number::Float(value) if value.is_finite() && value.abs() < 1e18 => {
                // Whole units exactly, and the rest as exactly as a float has it.
                #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
                let (whole, rest) =
                    (value.trunc() as i128, (value.fract() * self.unit as f64).round() as i128);
                whole.checked_mul(i128::from(self.unit))?.checked_add(rest)?
            }
            Number::Float(_) => return None,
        };
        i64::try_from(self.epoch.checked_add(since)?).ok()
    }
}

/// Nanoseconds of a unit of time, by the names that UDUNITS gives it.
fn unit(name: &str) -> Option<i64> {
    Some(match name {
        "nanosecond" | "nanoseconds" | "nanosec" | "nanosecs" | "ns" => 1,
        "microsecond" | "microseconds" | "microsec" | "microsecs" | "us" => 1_000,
        "millisecond" | "milliseconds" | "millisec" | "millisecs" | "msec" | "msecs" | "ms" => 1_000_000,
        "second" | "seconds" | "sec" | "secs" | "s" => SECOND,
        "minute" | "minutes" | "min" | "mins" => 60 * SECOND,
        "hour" | "hours" | "hr" | "hrs" | "h" => 3_600 * SECOND,
        "day" | "days" | "d" => 86_400 * SECOND,
        "week" | "weeks" => 7 * 86_400 * SECOND,
        _ => return None,
    })
}

/// Nanoseconds from 1970-01-01T00:00:00Z to an epoch: a date, then a time and an offset from UTC, if any.
fn parse_epoch(text: &str, mixed: bool) -> Option<i128> {
    let (date, rest) = text.split_once([' ', 'T', 't']).unwrap_or((text, ""));
    let (sign, date) = date.strip_prefix('-').map_or((1, date), |date| (-1, date));
    let mut fields = date.split('-').map(|field| field.parse::<i32>().ok());
    let year = sign * fields.next()??;
    let month = fields.next().unwrap_or(Some(1))?;
    let day = fields.next().unwrap_or(Some(1))?;
    if fields.next().is_some() {
        return None;
    }
    let day = days_since_1970(year, u32::try_from(month).ok()?, u32::try_from(day).ok()?, mixed)?;
    let (time, zone) = parse_time(rest.trim())?;
    let nanoseconds = NaiveDateTime::new(NaiveDate::default(), time).and_utc().timestamp_nanos_opt()?;
    Some(i128::from(day) * i128::from(86_400 * SECOND) + i128::from(nanoseconds) - i128::from(zone))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, or, where `mixed` and before 1582-10-15, of the
/// Julian one. `None` for dates that the calendar has not.
fn days_since_1970(year: i32, month: u32, day: u32, mixed: bool) -> Option<i64> {
    if !mixed || (year, month, day) >= (1582, 10, 15) {
        let date = NaiveDate::from_ymd_opt(year, month, day)?;
        return Some(date.signed_duration_since(DateTime::UNIX_EPOCH.date_naive()).num_days());
    }
    let leap = year.rem_euclid(4) == 0;
    let length = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let skipped = year == 1582 && month == 10 && day > 4;
    // There was no year 0.
    if !(1..=12).contains(&month) || !(1..=length).contains(&day) || skipped || year == 0 {
        return None;
    }
    // The Julian day number of a Julian date: Meeus, Astronomical Algorithms, chapter 7, in integers.
    let (y, m) = (i64::from(year + i32::from(year < 0)), i64::from(month));
    let (y, m) = if m <= 2 { (y - 1, m + 12) } else { (y, m) };
    let julian_day = (1461 * (y + 4716)).div_euclid(4) + (306_001 * (m + 1)) / 10_000 + i64::from(day) - 1524;
    Some(julian_day - UNIX_JULIAN_DAY)
}

/// A time of day and an offset from UTC in nanoseconds, of text such as `00:00:0.0 +01:00` or `12:00Z`.
fn parse_time(text: &str) -> Option<(NaiveTime, i64)> {
    let at = text.find(['+', '-', 'Z', 'z', 'U', 'u', 'G', 'g', ' ']).unwrap_or(text.len());
    let (time, zone) = text.split_at(at);
    let mut fields = time.split(':');
    let field = |field: Option<&str>| match field {
        None | Some("") => Some(0.0),
        Some(field) => field.parse::<f64>().ok(),
    };
    let (hours, minutes, seconds) = (field(fields.next())?, field(fields.next())?, field(fields.next())?);
    let whole = |value: f64| value >= 0.0 && value.fract() == 0.0;
    if fields.next().is_some() || !whole(hours) || !whole(minutes) || !(0.0..60.0).contains(&seconds) {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let time = NaiveTime::from_hms_nano_opt(
        hours as u32,
        minutes as u32,
        seconds.trunc() as u32,
        (seconds.fract() * 1e9).round().min(999_999_999.0) as u32,
    )?;
    Some((time, parse_zone(zone.trim())?))
}

fn parse_zone(text: &str) -> Option<i64> {
    if ["", "z", "utc", "gmt"].contains(&text.to_ascii_lowercase().as_str()) {
        return Some(0);
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) => (hours, minutes),
        None if digits.len() > 2 => digits.split_at_checked(digits.len() - 2)?,
        None => (digits, "0"),
    };
    let (hours, minutes) = (hours.parse::<u32>().ok()?, minutes.parse::<u32>().ok()?);
    (hours <= 14 && minutes < 60).then(|| sign * i64::from(hours * 60 + minutes) * 60 * SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(units: &str, calendar: Option<&str>, number: f64) -> Option<String> {
        let instant = TimeUnits::parse(units, calendar)?.instant(Number::Float(number))?;
        Some(DateTime::from_timestamp_nanos(instant).format("%Y-%m-%dT%H:%M:%S%.f").to_string())
    }

    /// Expected values are those of cftime 1.6 (`num2date`).
    #[test]
    fn times_are_those_of_the_world() {
        for (units, calendar, number, expected) in [
            ("days since 1950-01-01 00:00:00 UTC", None, 17376.5, "1997-07-29T12:00:00"),
            ("hours since 1900-01-01 00:00:0.0", Some("gregorian"), 876_576.0, "2000-01-01T00:00:00"),
            ("seconds since 1970-01-01T00:00:00Z", Some("standard"), 0.5, "1970-01-01T00:00:00.500"),
            ("seconds since 1970-01-01 00:00:00 +02:00", None, 0.0, "1969-12-31T22:00:00"),
            ("minutes since 2000-1-1 6:30", None, 1.0, "2000-01-01T06:31:00"),
            ("days since 2000-01-01 12:00:00 -0530", None, 0.0, "2000-01-01T17:30:00"),
            ("Days Since 1970", None, 1.0, "1970-01-02T00:00:00"),
            // The standard calendar is the Julian one before 15 October 1582.
            ("days since 0001-01-01 00:00:00", Some("standard"), 730_122.0, "2000-01-02T00:00:00"),
            ("days since 1000-03-01 06:00", None, 365_000.25, "1999-07-08T12:00:00"),
            ("days since 0001-01-01", Some("proleptic_gregorian"), 730_119.0, "2000-01-01T00:00:00"),
        ] {
            assert_eq!(instant(units, calendar, number).as_deref(), Some(expected), "{units}");
        }
    }

    #[test]
    fn julian_dates_meet_the_gregorian_ones_at_the_reform() {
        assert_eq!(
            days_since_1970(1582, 10, 4, true).map(|day| day + 1),
            days_since_1970(1582, 10, 15, true)
        );
        assert_eq!(days_since_1970(1500, 2, 29, true).map(|day| day + 1), days_since_1970(1500, 3, 1, true));
        assert_eq!((days_since_1970(1582, 10, 10, true), days_since_1970(1501, 2, 29, true)), (None, None));
    }

    #[test]
    fn what_is_no_date_of_the_world_stays_a_number() {
        for (units, calendar) in [
            ("days since 2000-01-01", Some("noleap")),
            ("days since 2000-01-01", Some("360_day")),
            ("months since 2000-01-01", None),
            ("days since 1582-10-10", None),
            ("days since 2001-02-29", None),
            ("days since", None),
            ("degrees_north", None),
            ("m", None),
            ("days since 2000-01-01 25:00", None),
            ("days since 2000-01-01 00:00 Europe/Berlin", None),
        ] {
            assert_eq!(TimeUnits::parse(units, calendar), None, "{units}");
        }
        let units = TimeUnits::parse("days since 1950-01-01", None).unwrap();
        for number in [Number::Float(f64::NAN), Number::Float(1e10), Number::Int(i128::MAX)] {
            assert_eq!(units.instant(number), None);
        }
    }
}
