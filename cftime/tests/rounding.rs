//! The instants that floats represent.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use atlas_cftime::{Calendar, NoTimestamp, Stored, TimeUnits};
use proptest::prelude::*;

const DAY: i64 = 86_400_000_000_000;

/// Units that are in use, with their nanoseconds.
const UNITS: [(&str, i64); 6] = [
    ("days", DAY),
    ("hours", DAY / 24),
    ("minutes", DAY / 1_440),
    ("seconds", DAY / 86_400),
    ("milliseconds", DAY / 86_400_000),
    ("weeks", 7 * DAY),
];

fn epochs() -> impl Strategy<Value = (i64, u8, u8, u8)> {
    let years =
        prop_oneof![Just(1), Just(1700), Just(1858), Just(1900), Just(1950), Just(1970), 1600..2200i64];
    (years, 1..=12u8, 1..=28u8, 0..24u8)
}

fn units(unit: &str, (year, month, day, hour): (i64, u8, u8, u8)) -> TimeUnits {
    let units = format!("{unit} since {year:04}-{month:02}-{day:02} {hour:02}:00:00");
    TimeUnits::parse(&units, Calendar::ProlepticGregorian).unwrap()
}

/// The nanoseconds between two instants in the same units. Reference dates may be out of the range
/// of timestamps, so both instants are timestamps.
fn zero(units: &TimeUnits, whole: i128) -> i128 {
    i128::from(units.timestamp(Stored::Int(whole)).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2_000, ..ProptestConfig::default() })]

    /// Whole hours, minutes and seconds, divided into larger units in floating point, come back as
    /// the same hours, minutes and seconds, as long as the floats can distinguish them.
    #[test]
    fn whole_times_come_back(
        epoch in epochs(),
        unit in 0..6usize,
        step in prop_oneof![Just(DAY / 24), Just(DAY / 1_440), Just(DAY / 86_400)],
        of in 0..2_000_000_000i64,
    ) {
        let (name, length) = UNITS[unit];
        let units = units(name, epoch);
        // Steps from the reference date to some time from 1970 on.
        let years = (1971 - epoch.0).max(0);
        let first = years * 366 * (DAY / step);
        let steps = first + of % (80 * 366 * (DAY / step));
        let number = if step < length {
            steps as f64 / (length / step) as f64
        } else {
            (steps * (step / length)) as f64
        };
        prop_assume!(number.abs() * f64::EPSILON * (length as f64) < step as f64);
        let base = i128::from(years) * 366 * i128::from(DAY / length.min(DAY)) / i128::from((length / DAY).max(1));
        let epoch_ns = zero(&units, base) - base * i128::from(length);
        let expected = epoch_ns + i128::from(steps) * i128::from(step);
        // Timestamps end in 2262.
        prop_assume!(i64::try_from(expected).is_ok());
        prop_assert_eq!(i128::from(units.timestamp(Stored::Double(number)).unwrap()), expected);
    }

    /// The instant is no farther from the stored number than its interval, and no instant in the
    /// interval is rounder.
    #[test]
    fn instants_stay_in_the_interval(number in -80_000.0..80_000.0f64, unit in 0..6usize, single: bool) {
        let (name, length) = UNITS[unit];
        let number = if name == "weeks" { number / 7.0 } else { number };
        let units = units(name, (1970, 1, 1, 0));
        let (stored, value, down, up) = if single {
            let single = number as f32;
            let wide = |single: f32| f64::from(single);
            (Stored::Single(single), wide(single), wide(single.next_down()), wide(single.next_up()))
        } else {
            (Stored::Double(number), number, number.next_down(), number.next_up())
        };
        let found = units.timestamp(stored).unwrap();
        // A double has 53 bits; these products are exact to far less than a nanosecond.
        let at = |value: f64| {
            let whole = value.trunc() as i128 * i128::from(length);
            (whole, value.fract() * length as f64)
        };
        let from = |(whole, part): (i128, f64)| (i128::from(found) - whole) as f64 - part;
        let half_below = from(at((value + down) / 2.0));
        let half_above = from(at((value + up) / 2.0));
        let slack = 1e-3 + (number.abs() * length as f64) * f64::EPSILON;
        let nearest = from(at(value)).abs() <= 0.5 + slack;
        prop_assert!(nearest || (half_below >= -slack && half_above <= slack), "{half_below} {half_above}");
        // Rounder instants that are nearer than the result.
        for round in [DAY, DAY / 24, DAY / 1_440, DAY / 86_400, 1_000_000, 1_000, 100] {
            if found.rem_euclid(round) == 0 {
                break;
            }
            let (whole, part) = at(value);
            let near = (whole + part.round() as i128 + i128::from(round) / 2).div_euclid(i128::from(round));
            let distance = (near * i128::from(round) - whole) as f64 - part;
            let half = if distance < 0.0 { (value - down) / 2.0 } else { (up - value) / 2.0 } * length as f64;
            prop_assert!(distance.abs() >= half - slack, "{found} is less round than {near} times {round}");
        }
    }

    /// Integers are exact, packed or not.
    #[test]
    fn integers_are_exact(number in -9_000_000_000_000_000_000..9_000_000_000_000_000_000i64) {
        let units = units("nanoseconds", (1970, 1, 1, 0));
        prop_assert_eq!(units.timestamp(Stored::Int(number.into())), Ok(number));
        let packed = units.packed(Stored::Double(1.0), Stored::Double(0.0)).unwrap();
        prop_assert_eq!(packed.timestamp(Stored::Int(number.into())), Ok(number));
    }

    /// Hours packed as integers: fractions of days, with an offset that is not a float.
    #[test]
    fn packed_hours_come_back(hours in -200_000..200_000i64, offset in 0..480_000i64, single: bool) {
        let units = units("days", (1950, 1, 1, 0));
        let day = offset as f64 / 24.0;
        let offset_is = if single { Stored::Double(day) } else { Stored::Double(day.trunc()) };
        let packed = units.packed(Stored::Double(1.0 / 24.0), offset_is).unwrap();
        let base = if single { offset } else { offset / 24 * 24 };
        let expected = units.timestamp(Stored::Int(0)).unwrap() + (base + hours) * (DAY / 24);
        prop_assert_eq!(packed.timestamp(Stored::Int(hours.into())), Ok(expected));
    }

    /// However inexact a scale is, neighbouring integers do not become one time.
    #[test]
    fn packed_integers_stay_apart(number in 0..2_000_000_000i64, scale in 0.001..0.5f32) {
        let packed = units("seconds", (1970, 1, 1, 0)).packed(Stored::Single(scale), Stored::Double(0.0)).unwrap();
        let time = |number: i64| packed.timestamp(Stored::Int(number.into())).unwrap();
        prop_assert!(time(number) < time(number + 2));
        let exact = number as f64 * f64::from(scale) * 1e9;
        prop_assert!((time(number) as f64 - exact).abs() <= f64::from(scale) * 0.5e9 + 1.0 + exact * 1e-15);
    }
}

#[test]
fn the_precision_of_the_type_decides() {
    let seconds = units("seconds", (1970, 1, 1, 0));
    // 1e-7 s apart: the digits are significant, and stay.
    assert_eq!(seconds.timestamp(Stored::Double(837_648_000.123_456)), Ok(837_648_000_123_456_000));
    assert_eq!(seconds.timestamp(Stored::Double(837_648_000.123_456_8)), Ok(837_648_000_123_456_800));
    assert_eq!(seconds.timestamp(Stored::Double(0.123_456_789)), Ok(123_456_789));
    assert_eq!(seconds.timestamp(Stored::Double(0.1)), Ok(100_000_000));
    assert_eq!(seconds.timestamp(Stored::Double(-0.1)), Ok(-100_000_000));
    // Here, a 32-bit float has a precision of 64 s.
    assert_eq!(seconds.timestamp(Stored::Single(837_648_010.0)), Ok(837_648_000_000_000_000));
    let days = units("days", (1950, 1, 1, 0));
    let time = |hours: i64| days.timestamp(Stored::Int(17_000)).unwrap() + hours * (DAY / 24);
    for hours in 0..480 {
        let number = 17_000.0 + hours as f64 / 24.0;
        assert_eq!(days.timestamp(Stored::Double(number)), Ok(time(hours)));
        assert_eq!(days.timestamp(Stored::Single(number as f32)), Ok(time(hours)));
    }
}

#[test]
fn numbers_out_of_range_are_told_apart_from_dates_that_are_none() {
    let days = units("days", (1950, 1, 1, 0));
    for number in [
        Stored::Double(f64::NAN),
        Stored::Double(f64::INFINITY),
        Stored::Double(9.969_209_968_386_869e36),
        Stored::Single(9.969_21e36),
        Stored::Double(1e8),
        Stored::Int(i128::MAX),
        Stored::Int(i64::MIN.into()),
        Stored::Int(-200_000),
    ] {
        assert_eq!(days.timestamp(number), Err(NoTimestamp::OutOfRange), "{number:?}");
    }
    let days = TimeUnits::parse("days since 2000-01-01", Calendar::Day360).unwrap();
    assert_eq!(days.timestamp(Stored::Int(59)), Err(NoTimestamp::NoSuchDate));
    assert!(days.timestamp(Stored::Int(58)).is_ok());
    assert_eq!(days.timestamp(Stored::Int(1_000_000_000)), Err(NoTimestamp::OutOfRange));
    assert!(days.packed(Stored::Double(f64::NAN), Stored::Int(0)).is_err());
    assert!(days.packed(Stored::Int(1), Stored::Double(f64::INFINITY)).is_err());
    // The limits of timestamps.
    let nanoseconds = units("nanoseconds", (1970, 1, 1, 0));
    for end in [i64::MIN, i64::MAX] {
        assert_eq!(nanoseconds.timestamp(Stored::Int(end.into())), Ok(end));
    }
    assert_eq!(nanoseconds.timestamp(Stored::Int(i128::from(i64::MAX) + 1)), Err(NoTimestamp::OutOfRange));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2_000, ..ProptestConfig::default() })]

    /// A timestamp is written as the number that it was read from.
    #[test]
    fn timestamps_become_their_numbers_again(
        (unit, nanoseconds) in prop::sample::select(&UNITS[..]),
        epoch in epochs(),
        whole in -40_000i64..40_000,
        parts in prop::sample::select(vec![1i64, 24, 1_440, 86_400, 7]),
        part in 0i64..86_400,
        scale in prop::sample::select(vec![0.1f64, 0.5, 3.0, -2.0, 0.017]),
    ) {
        let units = units(unit, epoch);
        let integer = Stored::Int(whole.into());
        if let Ok(timestamp) = units.timestamp(integer) {
            prop_assert_eq!(units.number(timestamp, integer), Some(integer));
        }
        let value = whole as f64 + (part % parts) as f64 / parts as f64;
        for (number, step) in [
            (Stored::Double(value), value.abs() * f64::EPSILON),
            (Stored::Single(value as f32), value.abs() * f64::from(f32::EPSILON)),
        ] {
            let Ok(timestamp) = units.timestamp(number) else { continue };
            let back = units.number(timestamp, number);
            prop_assert_eq!(back.map(|back| units.timestamp(back)), Some(Ok(timestamp)));
            // Where neighbouring numbers are other nanoseconds, it is the same number.
            if step * nanoseconds as f64 > 4.0 {
                prop_assert_eq!(back, Some(number));
            }
        }
        let packed = units.packed(Stored::Double(scale), Stored::Double(12.5)).unwrap();
        if let Ok(timestamp) = packed.timestamp(integer) {
            prop_assert_eq!(packed.number(timestamp, integer), Some(integer));
        }
    }

    /// In other calendars too, by the date.
    #[test]
    fn dates_of_other_calendars_become_their_numbers_again(days in 0i64..80_000) {
        for calendar in [Calendar::NoLeap, Calendar::Day360, Calendar::Standard] {
            let units = TimeUnits::parse("days since 1850-01-01", calendar).unwrap();
            let number = Stored::Int(days.into());
            if let Ok(timestamp) = units.timestamp(number) {
                prop_assert_eq!(units.number(timestamp, number), Some(number));
            }
        }
    }
}
