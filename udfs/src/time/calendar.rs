//! The calendars of the CF conventions (section 4.4.1), by proleptic day numbers.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

const DAY: i128 = 86_400_000_000_000;

/// A calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calendar {
    /// Julian until 4 October 1582, Gregorian from the day after, which is the 15th.
    Standard,
    /// Gregorian at all times.
    ProlepticGregorian,
    /// A leap year every fourth year.
    Julian,
    /// No leap years.
    NoLeap,
    /// Only leap years.
    AllLeap,
    /// Twelve months of 30 days.
    Day360,
}

/// The days of a common year before each month, and of all.
const BEFORE: [i64; 13] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];

/// Days are counted from 0001-01-01 of each calendar. That of the Gregorian one is the third of January of the Julian one.
const JULIAN_BEHIND: i64 = 2;

/// The first day of the Gregorian calendar, 1582-10-15, counted in it.
const REFORM: i64 = 577_735;

impl Calendar {
    /// The calendar with a name of the CF conventions.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.trim().to_ascii_lowercase().as_str() {
            "" | "standard" | "gregorian" => Self::Standard,
            "proleptic_gregorian" => Self::ProlepticGregorian,
            "julian" => Self::Julian,
            "noleap" | "365_day" => Self::NoLeap,
            "all_leap" | "366_day" => Self::AllLeap,
            "360_day" => Self::Day360,
            _ => return None,
        })
    }

    fn is_leap(self, year: i64) -> bool {
        let fourth = year.rem_euclid(4) == 0;
        match self {
            Self::Standard if year <= 1582 => fourth,
            Self::Standard | Self::ProlepticGregorian => {
                fourth && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
            }
            Self::Julian => fourth,
            Self::AllLeap => true,
            Self::NoLeap | Self::Day360 => false,
        }
    }

    /// The number of days in the years before `year`, from the year 1 on.
    fn days_before_year(self, year: i64) -> i64 {
        let years = year - 1;
        match self {
            Self::ProlepticGregorian | Self::Standard => {
                365 * years + years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400)
            }
            Self::Julian => 365 * years + years.div_euclid(4),
            Self::NoLeap => 365 * years,
            Self::AllLeap => 366 * years,
            Self::Day360 => 360 * years,
        }
    }

    /// The days of a year before a month, counted from 1; 13 for all of them.
    fn days_before_month(self, year: i64, month: i64) -> i64 {
        if self == Self::Day360 {
            return 30 * (month - 1);
        }
        let before = usize::try_from(month - 1).ok().and_then(|month| BEFORE.get(month));
        before.copied().unwrap_or(365) + i64::from(month > 2 && self.is_leap(year))
    }

    fn days_of_month(self, year: i64, month: i64) -> i64 {
        self.days_before_month(year, month + 1) - self.days_before_month(year, month)
    }

    /// The number of a date; `None` for one that the calendar has not.
    fn number(self, year: i64, month: i64, day: i64) -> Option<i64> {
        if self == Self::Standard {
            return match (year, month, day) {
                (1582, 10, 5..=14) => None,
                date if date < (1582, 10, 15) => Some(Self::Julian.number(year, month, day)? - JULIAN_BEHIND),
                _ => Self::ProlepticGregorian.number(year, month, day),
            };
        }
        let exists = (1..=12).contains(&month) && (1..=self.days_of_month(year, month)).contains(&day);
        exists.then(|| self.days_before_year(year) + self.days_before_month(year, month) + day - 1)
    }

    /// The year, month and day with a number.
    fn date(self, number: i64) -> (i64, i64, i64) {
        match self {
            Self::Standard if number < REFORM => return Self::Julian.date(number + JULIAN_BEHIND),
            Self::Standard => return Self::ProlepticGregorian.date(number),
            _ => {}
        }
        // At most a year off, since no year has less than 360 days or more than 366.
        let mean = match self {
            Self::Day360 => 360.0,
            Self::NoLeap => 365.0,
            Self::AllLeap => 366.0,
            Self::Julian => 365.25,
            Self::Standard | Self::ProlepticGregorian => 365.2425,
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
        let mut year = (number as f64 / mean).floor() as i64 + 1;
        while self.days_before_year(year) > number {
            year -= 1;
        }
        while self.days_before_year(year + 1) <= number {
            year += 1;
        }
        let rest = number - self.days_before_year(year);
        let month = (1..=12).rev().find(|&month| self.days_before_month(year, month) <= rest).unwrap_or(1);
        (year, month, rest - self.days_before_month(year, month) + 1)
    }
}

/// What numbers of a time variable count: `days since 1950-01-01`, in a calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeUnits {
    calendar: Calendar,
    /// Nanoseconds of one.
    unit: i128,
    /// Nanoseconds from 0001-01-01 of the calendar to the time that is zero.
    epoch: i128,
}

impl TimeUnits {
    /// Understands `units` as UDUNITS and the CF conventions write them. `None` for what is no such thing, for
    /// dates that the calendar has not, and for months and years, which have no fixed length.
    pub fn parse(units: &str, calendar: Calendar) -> Option<Self> {
        let units = units.trim();
        let mut words = units.split_whitespace();
        let unit = nanoseconds(&words.next()?.to_ascii_lowercase())?;
        if !words.next()?.eq_ignore_ascii_case("since") {
            return None;
        }
        let since = words.collect::<Vec<_>>().join(" ");
        let (date, time, zone) = parts(&since)?;
        let negative = date.starts_with('-');
        let mut fields =
            date.trim_start_matches(['-', '+']).split('-').map(|field| field.parse::<i64>().ok());
        let year = fields.next()?? * if negative { -1 } else { 1 };
        let (month, day) = (fields.next().unwrap_or(Some(1))?, fields.next().unwrap_or(Some(1))?);
        if fields.next().is_some() {
            return None;
        }
        let day = calendar.number(year, month, day)?;
        Some(Self { calendar, unit, epoch: i128::from(day) * DAY + time - zone })
    }

    /// The time that a number stands for, as the calendar writes it. `None` where a date of that name is not in the
    /// Gregorian calendar (30 February), or more than some 292 years from 1970, and for NaN.
    pub fn time(&self, number: f64) -> Option<NaiveDateTime> {
        if !number.is_finite() {
            return None;
        }
        // Whole units exactly, and of the rest what a float has.
        let (whole, part) = (number.trunc(), number.fract());
        if whole.abs() > 1e20 {
            return None;
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
        let after = whole as i128 * self.unit + self.fraction(number, part);
        let nanoseconds = self.epoch + after;
        let (year, month, day) = self.calendar.date(i64::try_from(nanoseconds.div_euclid(DAY)).ok()?);
        let of_day = nanoseconds.rem_euclid(DAY);
        let date = NaiveDate::from_ymd_opt(
            i32::try_from(year).ok()?,
            u32::try_from(month).ok()?,
            u32::try_from(day).ok()?,
        )?;
        let time = NaiveTime::from_num_seconds_from_midnight_opt(
            u32::try_from(of_day / 1_000_000_000).ok()?,
            u32::try_from(of_day % 1_000_000_000).ok()?,
        )?;
        Some(date.and_time(time))
    }

    /// Nanoseconds of a part of a unit, rounded to what a float of this size can tell apart: half a day of `days since` is
    /// noon, and not a nanosecond before.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn fraction(&self, number: f64, part: f64) -> i128 {
        let exact = part * self.unit as f64;
        let precision = number.abs().max(1.0) * f64::EPSILON * self.unit as f64;
        let mut step = 1.0;
        while step < precision && step < 1e9 {
            step *= 10.0;
        }
        ((exact / step).round() * step) as i128
    }
}

/// The names of units with a fixed length, in nanoseconds.
fn nanoseconds(name: &str) -> Option<i128> {
    Some(match name {
        "nanosecond" | "nanoseconds" | "ns" => 1,
        "microsecond" | "microseconds" | "us" => 1_000,
        "millisecond" | "milliseconds" | "msec" | "msecs" | "millisec" | "millisecs" | "ms" => 1_000_000,
        "second" | "seconds" | "sec" | "secs" | "s" => 1_000_000_000,
        "minute" | "minutes" | "min" | "mins" => 60_000_000_000,
        "hour" | "hours" | "hr" | "hrs" | "h" => 3_600_000_000_000,
        "day" | "days" | "d" => DAY,
        "week" | "weeks" => 7 * DAY,
        _ => return None,
    })
}

/// The date, the nanoseconds of its day, and those that its time zone is ahead of UTC.
fn parts(text: &str) -> Option<(&str, i128, i128)> {
    let (date, rest) = text.split_once(['T', 't', ' ']).unwrap_or((text, ""));
    let rest = rest.trim();
    // What follows the time: a zone, apart or not.
    let end = rest.find(|c: char| c.is_whitespace() || matches!(c, 'Z' | 'z' | '+' | '-' | 'U' | 'G'));
    let (clock, zone) = rest.split_at(end.unwrap_or(rest.len()));
    Some((date, time_of_day(clock)?, offset(zone.trim())?))
}

fn time_of_day(text: &str) -> Option<i128> {
    let mut fields = text.split(':');
    let mut whole = |most: i128| match fields.next() {
        None | Some("") => Some(0),
        Some(field) => field.parse::<i128>().ok().filter(|value| (0..most).contains(value)),
    };
    let minutes = whole(24)? * 60 + whole(60)?;
    let (seconds, part) = match fields.next() {
        None => ("0", ""),
        Some(seconds) => seconds.split_once('.').unwrap_or((seconds, "")),
    };
    let seconds = seconds.parse::<i128>().ok().filter(|seconds| (0..60).contains(seconds))?;
    let part = part.get(..9).unwrap_or(part);
    let digits = u32::try_from(part.len()).ok()?;
    let part = if part.is_empty() { 0 } else { part.parse::<i128>().ok()? * 10_i128.pow(9 - digits) };
    fields.next().is_none().then_some((minutes * 60 + seconds) * 1_000_000_000 + part)
}

fn offset(text: &str) -> Option<i128> {
    if text.is_empty() || ["Z", "UTC", "GMT"].iter().any(|name| text.eq_ignore_ascii_case(name)) {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits = text.strip_prefix(['+', '-'])?;
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None if digits.len() > 2 => digits.split_at_checked(digits.len() - 2)?,
        None => (digits, "0"),
    };
    let (hours, minutes) = (hours.parse::<i128>().ok()?, minutes.parse::<i128>().ok()?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Calendar; 6] = [
        Calendar::Standard,
        Calendar::ProlepticGregorian,
        Calendar::Julian,
        Calendar::NoLeap,
        Calendar::AllLeap,
        Calendar::Day360,
    ];

    #[test]
    fn every_day_has_a_date_and_every_date_a_number() {
        for calendar in ALL {
            for number in (-800_000..1_200_000).step_by(7).chain(577_000..578_500) {
                let (year, month, day) = calendar.date(number);
                assert_eq!(
                    calendar.number(year, month, day),
                    Some(number),
                    "{calendar:?} {year}-{month}-{day}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for units in [
            "days since",
            "days",
            "months since 2000-01-01",
            "years since 2000-01-01",
            "days since 2001-02-29",
            "days since 2001-13-01",
            "days since 1582-10-10",
            "days since 2000-01-01 25:00",
            "days since 2000-01-01 00:00 Europe/Berlin",
            "degrees_north",
        ] {
            assert_eq!(TimeUnits::parse(units, Calendar::Standard), None, "{units}");
        }
    }
}
