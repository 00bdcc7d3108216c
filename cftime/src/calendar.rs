//! The calendars of the CF conventions (section 4.4.1): conversion between dates and day numbers.

use std::fmt;

/// A calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Calendar {
    /// Julian until 4 October 1582. The next day is 15 October, and from then on Gregorian.
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
    /// Gregorian dates from 1958 on, with days of 86,400 seconds of atomic time.
    Tai,
}

/// The number of days of a common year before each month, and in the whole year.
const BEFORE: [i64; 13] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];

/// Days are counted from 0001-01-01 of each calendar. In the Gregorian calendar, this is 3 January
/// of the Julian calendar.
const JULIAN_BEHIND: i64 = 2;

/// The day number of 1582-10-15, the first day of the Gregorian calendar, in that calendar.
const REFORM: i64 = 577_735;

impl Calendar {
    /// The calendar with this name in the CF conventions, in any case. An empty name is the
    /// standard calendar.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.trim().to_ascii_lowercase().as_str() {
            "" | "standard" | "gregorian" => Self::Standard,
            "proleptic_gregorian" => Self::ProlepticGregorian,
            "julian" => Self::Julian,
            "noleap" | "365_day" => Self::NoLeap,
            "all_leap" | "366_day" => Self::AllLeap,
            "360_day" => Self::Day360,
            "tai" => Self::Tai,
            _ => return None,
        })
    }

    /// True if dates of the calendar are the same instants as timestamps with these dates, in all
    /// years that timestamps can express.
    pub fn is_of_timestamps(self) -> bool {
        matches!(self, Self::Standard | Self::ProlepticGregorian)
    }

    /// True if the calendar has no year 0: the year before 1 is -1.
    fn lacks_year_zero(self) -> bool {
        matches!(self, Self::Standard | Self::Julian)
    }

    /// From here on, years are astronomical: 1 BC is the year 0.
    fn is_leap(self, year: i64) -> bool {
        let fourth = year.rem_euclid(4) == 0;
        match self {
            Self::Standard | Self::ProlepticGregorian | Self::Tai => {
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
            Self::Standard | Self::ProlepticGregorian | Self::Tai => {
                365 * years + years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400)
            }
            Self::Julian => 365 * years + years.div_euclid(4),
            Self::NoLeap => 365 * years,
            Self::AllLeap => 366 * years,
            Self::Day360 => 360 * years,
        }
    }

    /// The number of days of a year before a month, counted from 1; for month 13, of the whole
    /// year.
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

    /// The day number of a date, 0 for 0001-01-01; `None` if the calendar does not have the date.
    pub(crate) fn day(self, year: i64, month: i64, day: i64) -> Option<i64> {
        let year = match year {
            0 if self.lacks_year_zero() => return None,
            year if year < 0 && self.lacks_year_zero() => year + 1,
            year => year,
        };
        match (self, (year, month, day)) {
            (Self::Standard, (1582, 10, 5..=14)) => None,
            (Self::Standard, date) if date < (1582, 10, 15) => {
                Some(Self::Julian.astronomical_day(year, month, day)? - JULIAN_BEHIND)
            }
            _ => self.astronomical_day(year, month, day),
        }
    }

    fn astronomical_day(self, year: i64, month: i64, day: i64) -> Option<i64> {
        let exists = (1..=12).contains(&month) && (1..=self.days_of_month(year, month)).contains(&day);
        exists.then(|| self.days_before_year(year) + self.days_before_month(year, month) + day - 1)
    }

    /// The year, month and day of a day number; the inverse of [`day`](Self::day).
    pub(crate) fn date(self, number: i64) -> (i64, i64, i64) {
        if self == Self::Standard && number < REFORM {
            return Self::Julian.date(number + JULIAN_BEHIND);
        }
        // The estimate is off by at most a year, because every year has 360 to 366 days.
        let mean = match self {
            Self::Day360 => 360.0,
            Self::NoLeap => 365.0,
            Self::AllLeap => 366.0,
            Self::Julian => 365.25,
            Self::Standard | Self::ProlepticGregorian | Self::Tai => 365.2425,
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
        let day = rest - self.days_before_month(year, month) + 1;
        (if self.lacks_year_zero() && year <= 0 { year - 1 } else { year }, month, day)
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standard => "standard",
            Self::ProlepticGregorian => "proleptic_gregorian",
            Self::Julian => "julian",
            Self::NoLeap => "noleap",
            Self::AllLeap => "all_leap",
            Self::Day360 => "360_day",
            Self::Tai => "tai",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Calendar; 7] = [
        Calendar::Standard,
        Calendar::ProlepticGregorian,
        Calendar::Julian,
        Calendar::NoLeap,
        Calendar::AllLeap,
        Calendar::Day360,
        Calendar::Tai,
    ];

    #[test]
    fn calendars_have_the_names_that_they_show() {
        for calendar in ALL {
            assert_eq!(Calendar::named(&format!(" {calendar} ").to_uppercase()), Some(calendar));
        }
        assert_eq!(Calendar::named("360"), None);
    }

    #[test]
    fn every_day_has_a_date_and_every_date_a_number() {
        for calendar in ALL {
            for number in (-2_000_000..1_200_000).step_by(7).chain(577_000..578_500).chain(-800..800) {
                let (year, month, day) = calendar.date(number);
                assert_eq!(calendar.day(year, month, day), Some(number), "{calendar} {year}-{month}-{day}");
            }
        }
    }

    #[test]
    fn dates_follow_each_other_across_the_reform_and_the_missing_year() {
        let day = |year, month, day| Calendar::Standard.day(year, month, day);
        assert_eq!(day(1582, 10, 4).map(|day| day + 1), day(1582, 10, 15));
        assert_eq!(day(1500, 2, 29).map(|day| day + 1), day(1500, 3, 1));
        assert_eq!(day(-1, 12, 31).map(|day| day + 1), day(1, 1, 1));
        // 1 BC is a leap year of the Julian calendar.
        assert_eq!(day(-1, 2, 29).map(|day| day + 1), day(-1, 3, 1));
        assert_eq!((day(1582, 10, 10), day(1501, 2, 29), day(0, 1, 1)), (None, None, None));
        assert_eq!(Calendar::ProlepticGregorian.day(0, 12, 31), Some(-1));
    }
}
