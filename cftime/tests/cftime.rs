//! Compares units, calendars and reference dates with cftime and xarray, and lists where this crate
//! differs.
//!
//! `reference/make.py` makes the tables; its `dates.txt` lists the reference dates.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use atlas_cftime::{Calendar, Stored, TimeUnits};

fn rows<const N: usize>(table: &'static str) -> impl Iterator<Item = [&'static str; N]> {
    table.lines().skip(1).map(|line| {
        let fields: Vec<_> = line.split(';').collect();
        fields.try_into().unwrap_or_else(|_| panic!("{line} has other columns"))
    })
}

/// A time as the tables write it; empty for none.
fn timestamp(units: &str, calendar: &str, number: &str) -> Option<i64> {
    let calendar = Calendar::named(calendar).unwrap();
    let number = match number.parse() {
        Ok(integer) => Stored::Int(integer),
        Err(_) => Stored::Double(number.parse().unwrap()),
    };
    TimeUnits::parse(units, calendar).ok()?.timestamp(number).ok()
}

/// `2000-01-01T00:00:00.5` as a timestamp.
fn written(time: &str) -> Option<i64> {
    let (date, clock) = time.split_once('T')?;
    timestamp(&format!("days since {date} {clock}"), "proleptic_gregorian", "0")
}

/// Reference dates that mean something else here than in xarray, or than in cftime if xarray does
/// not read them.
const DIFFERENT: [(&str, Option<&str>); 40] = [
    // The order of day and month is unknown.
    ("1/2/2000", None),
    ("01-02-2000", None),
    // A single digit is the hour, as in UDUNITS; cftime ignores it.
    ("2000-01-02 3", Some("2000-01-02T03:00:00")),
    // An offset without a sign is ahead of UTC, as in UDUNITS. cftime ignores it, and xarray treats
    // it as the time.
    ("2000-01-02 03:04:05 1:00", Some("2000-01-02T02:04:05")),
    ("2000-01-02 03:04:05 0:00", Some("2000-01-02T03:04:05")),
    ("2000-01-02 03:04:05 00:00", Some("2000-01-02T03:04:05")),
    ("2000-01-02 03:04:05 100", Some("2000-01-02T02:04:05")),
    // No zone has 63 hours.
    ("2000-01-02 03:04:05 -630", Some("2000-01-02T09:34:05")),
    ("2000-01-02 03:04:05 +24:00", None),
    ("2000-01-02 03:04:05 +01:60", None),
    ("2000-01-02 03:04:05 +01 00", None),
    // A time or a zone; a zone that contradicts itself; zones whose sign has two traditions.
    ("2000-01-02+01:00", None),
    ("2000-01-02T03:04:05+01:00Z", None),
    ("2000-01-02 03:04:05 UTC+1", None),
    ("2000-01-02 03:04:05 UTC+01:00", None),
    ("2000-01-02 03:04:05 GMT-3", None),
    // Parts that xarray and cftime ignore.
    ("2000-01-02 03:04:05 EST", None),
    ("2000-01-02 03:04:05 PST", None),
    ("2000-01-02 03:04:05 CET", None),
    ("2000-01-02 03:04:05 garbage", None),
    ("2000-01-02 garbage", None),
    ("2000-01-02 03:04:05 local time", None),
    ("2000-01-02 03:04:05 Europe/Berlin", None),
    ("2000-01-02 noon", None),
    ("2000-01-02 03:04:-5", None),
    ("2000-01-02 03:04:05 A", None),
    ("2000-01-02 03:04:05:06", None),
    ("2000-01-02 03:04:05.5.5", None),
    ("2000-01-02 03-04-05", None),
    ("2000-01-02 03.04.05", None),
    ("2000-01-02 13:04:05 PM", None),
    ("2000-01-02 03h04m", None),
    ("1970-01-01 at 00:00:00", None),
    ("1970-01-01 (00:00:00)", None),
    ("1970-01-01 00:00:00 UTC (proleptic)", None),
    ("1970-01-01 0:0:0 UTC time", None),
    ("1970-01-01 00:00:00 Universal", None),
    ("1970-01-01 00:00:00 universal time", None),
    // Compact dates with more separators than xarray accepts.
    ("20000102Z", Some("2000-01-02T00:00:00")),
    ("20000102,030405", Some("2000-01-02T03:04:05")),
];

#[test]
fn reference_dates_are_those_of_xarray_and_cftime() {
    let mut differ = Vec::new();
    for [date, calendar, days, xarray, cftime] in rows(include_str!("reference/dates.csv")) {
        let expected = match DIFFERENT.iter().find(|(different, _)| *different == date) {
            Some((_, expected)) => *expected,
            None => [xarray, cftime].into_iter().find(|time| !time.is_empty()),
        };
        let found = timestamp(&format!("days since {date}"), calendar, days);
        if found != expected.map(|time| written(time).unwrap()) {
            differ.push((date, calendar, found, expected));
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
    for (date, _) in DIFFERENT {
        assert!(
            include_str!("reference/dates.txt").lines().any(|line| line == date),
            "{date} is in no table"
        );
    }
}

#[test]
fn units_are_those_of_xarray_and_cftime() {
    for [units, calendar, number, xarray, cftime] in rows(include_str!("reference/units.csv")) {
        let expected = [xarray, cftime].into_iter().find(|time| !time.is_empty());
        let found = timestamp(units, calendar, number);
        // UDUNITS knows abbreviations, and xarray nanoseconds, that the other does not know.
        if expected.is_none() && (units.starts_with("us ") || units.starts_with("nanosecond")) {
            assert!(found.is_some(), "{units} {calendar}");
            continue;
        }
        assert_eq!(found, expected.map(|time| written(time).unwrap()), "{units} {calendar}");
    }
}

#[test]
fn dates_are_those_of_the_calendar() {
    for [units, calendar, number, expected] in rows(include_str!("reference/calendars.csv")) {
        let expected = (!expected.is_empty()).then(|| written(expected).unwrap());
        assert_eq!(timestamp(units, calendar, number), expected, "{number} {units} {calendar}");
    }
}
