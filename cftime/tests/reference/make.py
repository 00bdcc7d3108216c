"""Makes the tables beside it with cftime 1.6 and xarray 2026.9: python make.py"""
import csv
import datetime
import warnings
from pathlib import Path

import cftime
import numpy as np
import xarray.coding.times

HERE = Path(__file__).parent
warnings.simplefilter("ignore")


def of_xarray(number, units, calendar):
    try:
        time = xarray.coding.times.decode_cf_datetime(np.array([number]), units, calendar)[0]
    except Exception:
        return ""
    # A cftime date has no nanoseconds; those of xarray's timestamps are zero but in one row.
    return str(time).removesuffix(".000000000").replace(" ", "T")


def of_cftime(number, units, calendar):
    try:
        return cftime.num2date(number, units, calendar).isoformat()
    except Exception:
        return ""


def table(name, columns, rows):
    with open(HERE / f"{name}.csv", "w", newline="") as file:
        writer = csv.writer(file, delimiter=";", lineterminator="\n", quoting=csv.QUOTE_NONE, escapechar="\\")
        writer.writerow(columns)
        writer.writerows(rows)


# Reference dates, and a number of days that leads to where timestamps are.
DATES = (HERE / "dates.txt").read_text().split("\n")[:-1]


def days(date):
    digits = "".join(c if c.isdigit() else " " for c in date).split()
    years = [d for d in digits if len(d) == 4 or len(d) == 8]
    old = date.startswith("-") or (digits and not years and len(digits[0]) < 4) or date.startswith(("00", "0-"))
    if date.startswith("-4713"):
        return 2_451_545
    if date.startswith("12000"):
        return -3_652_425
    if date.startswith("365"):
        return 600_000
    if date.startswith("1582"):
        return 146_097
    return 730_500 if old else 0


rows = []
for date in DATES:
    number, units = days(date), f"days since {date}"
    standard, proleptic = (
        [of_xarray(number, units, calendar), of_cftime(number, units, calendar)]
        for calendar in ["standard", "proleptic_gregorian"]
    )
    rows.append([date, "standard", number, *standard])
    if standard != proleptic:
        rows.append([date, "proleptic_gregorian", number, *proleptic])
table("dates", ["date", "calendar", "days", "xarray", "cftime"], rows)

# Names of units in each calendar.
UNITS = (
    "days day d D Days DAY dys hours hour hr hrs h H Hour minutes minute min mins m seconds second sec secs s S "
    "milliseconds millisecond msec msecs ms millisec millisecs microseconds us microsec microsecs nanoseconds "
    "nanosecond month months year years yr common_year common_years decade mbar"
).split()
CALENDARS = "standard gregorian proleptic_gregorian noleap 365_day all_leap 366_day 360_day julian tai".split()
rows = []
for unit in UNITS:
    for calendar in ["standard", "noleap", "360_day", "tai"]:
        units = f"{unit} since 2000-01-31" if "month" not in unit else f"{unit} since 2000-01-30"
        if calendar == "360_day":
            units = units.replace("-31", "-30")
        rows.append([units, calendar, 2, of_xarray(2.0, units, calendar), of_cftime(2.0, units, calendar)])
table("units", ["units", "calendar", "number", "xarray", "cftime"], rows)

# Dates of each calendar; empty where the Gregorian calendar has no such date.
rows = []
for calendar in CALENDARS:
    for date in ["2000-01-01", "1999-12-30 12:00:00", "1950-02-28 06:00", "1858-11-17", "1904-03-01 00:00:00 -06:30", "0001-01-01"]:
        if calendar == "tai" and date != "2000-01-01" and not date.startswith("1999"):
            continue
        for number in [0, 58, 59, 59.5, 60, 366, 14610, 36525.125, 730121, 737791.75, -0.25, -400]:
            if calendar == "tai" and number < 0:
                continue
            units = f"days since {date}"
            time = cftime.num2date(number, units, calendar)
            try:
                datetime.date(time.year, time.month, time.day)
                expected = time.isoformat() if 1678 <= time.year <= 2261 else ""
            except ValueError:
                expected = ""
            rows.append([units, calendar, number, expected])
table("calendars", ["units", "calendar", "number", "expected"], rows)
