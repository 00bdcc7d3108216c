//! Axes: their quantity, their range, and their labels.

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime};

/// The kind of values along an axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scale {
    Numbers,
    /// Numbers that only have labels at integers.
    Integers,
    /// Seconds since 1970.
    Times,
    /// Indices into a list of names.
    Names(Vec<String>),
    /// Degrees east, which may exceed a full turn.
    Longitudes,
    /// Degrees north.
    Latitudes,
}

/// An axis of a figure.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    pub label: String,
    pub scale: Scale,
    /// Whether it begins at the top or at the right.
    pub reversed: bool,
    pub from: f64,
    pub to: f64,
}

impl Axis {
    /// The position of a value between both ends, from 0 to 1.
    pub(super) fn position(&self, value: f64) -> f64 {
        let position = (value - self.from) / (self.to - self.from);
        if self.reversed { 1.0 - position } else { position }
    }

    /// Extends the axis over values, plus a fraction of their range at both ends.
    pub(super) fn fit(&mut self, values: impl Iterator<Item = f64>, spare: f64) {
        let start = (f64::INFINITY, f64::NEG_INFINITY);
        let (from, to) = values
            .filter(|value| value.is_finite())
            .fold(start, |(from, to), value| (from.min(value), to.max(value)));
        let (from, to) = if from <= to { (from, to) } else { (0.0, 1.0) };
        // A single value is put in the middle of some range.
        let spare = if from == to { (from.abs() * 0.05).max(0.5) } else { (to - from) * spare };
        (self.from, self.to) = (from - spare, to + spare);
    }

    /// Evenly spaced values with labels, about `most` at most.
    pub(super) fn ticks(&self, most: usize) -> Vec<(f64, String)> {
        match &self.scale {
            Scale::Numbers => numbers(self.from, self.to, most, 0.0),
            Scale::Integers => numbers(self.from, self.to, most, 1.0),
            Scale::Times => times(self.from, self.to, most),
            Scale::Longitudes => degrees(self.from, self.to, most, |value| {
                let value = (value + 180.0).rem_euclid(360.0) - 180.0;
                (
                    value,
                    if value == -180.0 {
                        ""
                    } else if value < 0.0 {
                        "W"
                    } else {
                        "E"
                    },
                )
            }),
            Scale::Latitudes => {
                degrees(self.from, self.to, most, |value| (value, if value < 0.0 { "S" } else { "N" }))
            }
            Scale::Names(names) => {
                let step = names.len().div_ceil(most.max(1)).max(1);
                let named = names.iter().enumerate().step_by(step);
                named.map(|(position, name)| (position as f64, name.clone())).collect()
            }
        }
    }
}

/// Ticks at multiples of 1, 2 or 5 times a power of ten, at least `least` apart.
fn numbers(from: f64, to: f64, most: usize, least: f64) -> Vec<(f64, String)> {
    let rough = ((to - from) / most.max(1) as f64).max(least);
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let digits = (-(step * 1.0001).log10().floor()).max(0.0) as usize;
    let far = from.abs().max(to.abs());
    let label = |value: f64| {
        if value == 0.0 {
            "0".to_owned()
        } else if far >= 1e7 || digits > 5 {
            let digits = (far.log10().floor() - step.log10().floor()).max(0.0) as usize;
            format!("{value:.digits$e}")
        } else {
            format!("{value:.digits$}")
        }
    };
    let first = (from / step - 1e-9).ceil();
    let values = (0..=most).map(|i| (first + i as f64) * step).take_while(|v| *v <= to + step * 1e-9);
    values.map(|value| (value, label(value))).collect()
}

/// Tick intervals on a map, in degrees.
const DEGREES: [f64; 12] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];

/// Ticks at degrees. `side` returns the number to display and the side of the globe.
fn degrees(from: f64, to: f64, most: usize, side: impl Fn(f64) -> (f64, &'static str)) -> Vec<(f64, String)> {
    let count = |step: f64| (to / step + 1e-9).floor() - (from / step - 1e-9).ceil() + 1.0;
    let step = DEGREES.into_iter().find(|step| count(*step) <= most as f64).unwrap_or(90.0);
    let digits = (-(step * 1.0001).log10().floor()).max(0.0) as usize;
    let first = (from / step - 1e-9).ceil();
    let values = (0..count(step).max(0.0) as usize).map(|i| (first + i as f64) * step + 0.0);
    let label = |value: f64| {
        let (number, side) = side(value);
        let side = if number == 0.0 { "" } else { side };
        format!("{:.digits$}°{side}", number.abs())
    };
    values.map(|value| (value, label(value))).collect()
}

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3600.0;
const DAY: f64 = 86400.0;

/// Tick intervals of times up to half a month, in seconds.
const STEPS: [f64; 17] = [
    1.0,
    5.0,
    15.0,
    30.0,
    MINUTE,
    5.0 * MINUTE,
    15.0 * MINUTE,
    30.0 * MINUTE,
    HOUR,
    3.0 * HOUR,
    6.0 * HOUR,
    12.0 * HOUR,
    DAY,
    2.0 * DAY,
    5.0 * DAY,
    10.0 * DAY,
    15.0 * DAY,
];

/// Longer tick intervals of times, in months.
const MONTHS: [u32; 13] = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 6000, 12000];

fn times(from: f64, to: f64, most: usize) -> Vec<(f64, String)> {
    let rough = (to - from) / most.max(1) as f64;
    if rough < 1.0 {
        let ticks = numbers(from, to, most, 0.0).into_iter();
        return ticks.map(|(value, _)| (value, written(value, "%H:%M:%S%.3f"))).collect();
    }
    if let Some(step) = STEPS.into_iter().find(|step| *step >= rough) {
        let format = match step {
            step if step < MINUTE => "%H:%M:%S",
            step if step < DAY && to - from < DAY => "%H:%M",
            step if step < DAY => "%m-%d %H:%M",
            _ => "%Y-%m-%d",
        };
        let first = (from / step).ceil();
        let values = (0..=most).map(|i| (first + i as f64) * step).take_while(|value| *value <= to);
        return values.map(|value| (value, written(value, format))).collect();
    }
    let step = MONTHS.into_iter().find(|step| f64::from(*step) * 30.0 * DAY >= rough).unwrap_or(12000);
    let format = if step < 12 { "%Y-%m" } else { "%Y" };
    let Some(start) = moment(from) else { return Vec::new() };
    // Months since the year 0, rounded down to a multiple of the interval.
    let months = (start.year().max(0) as u32 * 12 + start.month0()) / step * step;
    let day = NaiveDate::from_ymd_opt((months / 12) as i32, months % 12 + 1, 1);
    let days = (0..most as u32 + 2).map_while(|i| day?.checked_add_months(Months::new(i * step)));
    let values = days.map(|day| day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp() as f64);
    let within = values.filter(|value| (from..=to).contains(value));
    within.map(|value| (value, written(value, format))).collect()
}

fn moment(seconds: f64) -> Option<NaiveDateTime> {
    let nanoseconds = (seconds.rem_euclid(1.0) * 1e9) as u32;
    Some(DateTime::from_timestamp(seconds.floor() as i64, nanoseconds)?.naive_utc())
}

fn written(seconds: f64, format: &str) -> String {
    moment(seconds).map_or_else(String::new, |time| time.format(format).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(scale: Scale, from: f64, to: f64) -> Axis {
        Axis { label: String::new(), scale, reversed: false, from, to }
    }

    fn labels(scale: Scale, from: f64, to: f64, most: usize) -> Vec<String> {
        axis(scale, from, to).ticks(most).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn labels_are_round() {
        assert_eq!(labels(Scale::Numbers, -0.03, 1.07, 5), ["0", "0.5", "1.0"]);
        assert_eq!(labels(Scale::Numbers, -90.0, 90.0, 5), ["-50", "0", "50"]);
        assert_eq!(labels(Scale::Integers, 0.5, 3.5, 9), ["1", "2", "3"]);
        assert_eq!(labels(Scale::Numbers, 0.0, 1e-8, 2), ["0", "5.0e-9", "1.0e-8"]);
        assert_eq!(labels(Scale::Numbers, 101_200.0, 101_900.0, 3), ["101500"]);
        assert_eq!(labels(Scale::Names(vec!["a".into(), "b".into(), "c".into()]), -0.5, 2.5, 2), ["a", "c"]);
    }

    #[test]
    fn times_are_told_as_precisely_as_their_steps() {
        let from = 951_782_400.0; // 2000-02-29
        assert_eq!(labels(Scale::Times, from, from + 6.0 * HOUR, 3), ["00:00", "03:00", "06:00"]);
        assert_eq!(
            labels(Scale::Times, from, from + 3.0 * DAY, 3),
            ["2000-02-29", "2000-03-01", "2000-03-02", "2000-03-03"]
        );
        assert_eq!(labels(Scale::Times, from, from + 100.0 * DAY, 3), ["2000-03", "2000-05"]);
        assert_eq!(labels(Scale::Times, from, from + 4000.0 * DAY, 4), ["2005", "2010"]);
        assert_eq!(labels(Scale::Times, from, from + 0.5, 1), ["00:00:00.000", "00:00:00.500"]);
    }

    #[test]
    fn degrees_have_sides_and_go_on_beyond_the_date_line() {
        let of = |scale, from, to, most| labels(scale, from, to, most).join(" ");
        let globe = "180° 120°W 60°W 0° 60°E 120°E 180°";
        assert_eq!(of(Scale::Longitudes, -180.0, 180.0, 8), globe);
        assert_eq!(of(Scale::Longitudes, -180.0, 180.0, 13).matches('°').count(), 13);
        assert_eq!(of(Scale::Longitudes, 165.0, 195.0, 4), "170°E 180° 170°W");
        assert_eq!(of(Scale::Longitudes, 0.0, 360.0, 8), "0° 60°E 120°E 180° 120°W 60°W 0°");
        assert_eq!(of(Scale::Latitudes, -90.0, 90.0, 7), "90°S 60°S 30°S 0° 30°N 60°N 90°N");
        assert_eq!(of(Scale::Latitudes, 49.85, 50.02, 4), "49.85°N 49.90°N 49.95°N 50.00°N");
    }

    #[test]
    fn one_value_is_in_the_middle() {
        let mut one = axis(Scale::Numbers, 0.0, 0.0);
        one.fit([3.0, f64::NAN].into_iter(), 0.1);
        assert_eq!(one.position(3.0), 0.5);
        one.reversed = true;
        assert_eq!(one.position(one.from), 1.0);
    }
}
