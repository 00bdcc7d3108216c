"""Makes the tables against which the functions are tested, with independent libraries.

    pip install 'numpy==2.4.*' 'scipy==1.17.*' 'gsw==3.6.*' 'cftime==1.6.*' 'metpy==1.7.*' 'pyproj==3.7.*' \
        'pvlib==0.*' 'pymannkendall==1.4.*' 'argopy==1.5.*' 'shapely==2.*' 'pygeohash==3.*'
    python make.py

A table of a function has its arguments and the expected value; empty means NULL.
"""

import csv
import datetime
import fractions
import itertools
import math
import pathlib

import argopy  # noqa: F401 (xarray's `argo`)
import cftime
import gsw
import metpy.calc
import numpy as np
import pandas as pd
import pygeohash
import pvlib
import pymannkendall
import pyproj
import scipy.integrate
import scipy.stats
import shapely
import xarray as xr
from metpy.units import units

HERE = pathlib.Path(__file__).parent
NAN = math.nan


def text(value):
    if value is None:
        return ""
    if isinstance(value, (float, np.floating)):
        return repr(float(value))
    return str(value)


def table(name, arguments, rows, expected):
    with open(HERE / f"{name}.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*arguments, "expected"])
        for row in rows:
            writer.writerow([*map(text, row), text(expected(*row))])


# Geography, on the sphere.
sphere = pyproj.Geod(a=6371008.8, b=6371008.8)
places = [(0, 0), (51.5, -0.13), (-33.9, 151.2), (90, 0), (-90, 10), (10, 180), (10, -179.5), (64.1, 338.1)]
pairs = [a + b for a, b in itertools.product(places, places)]
table(
    "haversine",
    ["lat1", "lon1", "lat2", "lon2"],
    [*pairs, (NAN, 0, 1, 1), (95, 0, 1, 1)],
    lambda a, b, c, d: NAN if math.isnan(a) else None if a > 90 else sphere.inv(b, a, d, c)[2],
)
apart = [p for p in pairs if sphere.inv(p[1], p[0], p[3], p[2])[2] > 1 and abs(p[0]) < 90 and abs(p[2]) < 90]
table(
    "initial_bearing",
    ["lat1", "lon1", "lat2", "lon2"],
    [*apart, (NAN, 0, 1, 1), (0, 0, -95, 1)],
    lambda a, b, c, d: NAN if math.isnan(a) else None if abs(c) > 90 else sphere.inv(b, a, d, c)[0] % 360,
)
lons = [0, 179.5, 180, -180, 181, 270, 360, 540.25, -540, 1e4, -0.5, NAN, -1e-14]
table("normalize_lon", ["lon"], [(lon,) for lon in lons], lambda lon: float(np.mod(lon + 180, 360) - 180) if abs(lon) > 180 else -180.0 if lon == 180 else float(lon))


def area(lat, dlat, dlon):
    if math.isnan(lat):
        return NAN
    if abs(lat) > 90:
        return None
    south, north = max(lat - dlat / 2, -90), min(lat + dlat / 2, 90)
    zone, _ = scipy.integrate.quad(lambda y: math.cos(math.radians(y)), south, north, epsabs=0, epsrel=1e-12)
    return 6371008.8**2 * math.radians(1) * zone * math.radians(dlon)


table(
    "cell_area",
    ["lat", "dlat", "dlon"],
    [(0, 1, 1), (45, 0.25, 0.25), (-89.9, 0.5, 1), (90, 1, 360), (30, 1e-6, 1e-6), (0, 180, 360), (NAN, 1, 1), (91, 1, 1)],
    area,
)


def inside(lat, lon, south, west, north, east):
    if any(map(math.isnan, (lat, lon))):
        return "false"
    if east - west >= 360:
        turns = True
    else:
        while east < west:
            east += 360
        turns = any(west <= lon + 360 * k <= east for k in range(-4, 5))
    return str(south <= lat <= north and turns).lower()


boxes = [(-20, 170, -10, -170), (40, -10, 60, 20), (-90, -180, 90, 180), (-90, 0, 90, 360), (0, 350, 10, 370), (40, 10, 60, 20)]
spots = [(-17.7, 178), (-17.7, -179), (-10, -170), (-10, -169.9), (50, 0), (50, 360), (5, 355), (5, 5), (50, 379), (NAN, 0), (0, NAN)]
table(
    "in_bbox",
    ["lat", "lon", "south", "west", "north", "east"],
    [spot + box for spot in spots for box in boxes],
    inside,
)

shapes = {
    "triangle": "POLYGON ((0 0, 10 0, 5 8, 0 0))",
    "hole": "POLYGON ((0 0, 10 0, 10 10, 0 10, 0 0), (4 4, 6 4, 6 6, 4 6, 4 4))",
    "two": "MULTIPOLYGON (((0 0, 2 0, 2 2, 0 2, 0 0)), ((5 5, 9 5, 9 9, 5 9, 5 5)))",
    "hook": "polygon((0 0,10 0,10 10,8 10,8 2,2 2,2 10,0 10,0 0))",
    "date line": "POLYGON ((170 -20, 190 -20, 190 20, 170 20, 170 -20))",
    "east": "POLYGON ((350 -5, 365 -5, 365 5, 350 5, 350 -5))",
}
inside = [(0, 0), (5, 5), (4, 4), (5, 4), (1, 1), (8, 5), (8.1, 5), (9, 1), (5, 1.999), (7, 7), (0, 5), (-1, 5), (0, 180), (0, -175), (10, 185), (0, 169.9),
          (1, -3), (1, 357), (1, 2), (1, 722), (NAN, 5), (5, NAN), (5, math.inf), (95, 5)]


def in_polygon(lat, lon, wkt):
    if not all(map(math.isfinite, (lat, lon))):
        return "false"
    shape = shapely.from_wkt(wkt)
    return str(any(shape.intersects(shapely.Point(lon + 360 * k, lat)) for k in range(-3, 4))).lower()


table("in_polygon", ["lat", "lon", "wkt"], [(*place, wkt) for wkt in shapes.values() for place in inside], in_polygon)
hashed = [(57.64911, 10.40744), (0, 0), (-25.382708, -49.265506), (89.99, 179.99), (-89.5, -180), (51.5, 359.87), (12.3, 200), (NAN, 1), (1, math.inf), (91, 0)]


def geohash(lat, lon, characters):
    if not abs(lat) <= 90 or not math.isfinite(lon):
        return None
    return pygeohash.encode(lat, (lon + 180) % 360 - 180, characters)


table("geohash", ["lat", "lon", "characters"], [(*place, n) for place in hashed for n in (1, 5, 8, 12)], geohash)

# Time.
calendars = ["standard", "gregorian", "proleptic_gregorian", "noleap", "365_day", "all_leap", "366_day", "360_day", "julian"]
numbers = [0, 1, 58, 59, 59.5, 60, 365, 366, 730.25, 14610, 36525.125, -1, -0.25, -400, 2e6, NAN]
since = ["days since 2000-01-01", "days since 1999-12-30 12:00:00", "days since 1950-02-28 06:00"]
rows = [(n, u, c) for c in calendars for u in since for n in numbers]
rows += [
    (876_576, "hours since 1900-01-01 00:00:0.0", "gregorian"),
    (730_122, "days since 0001-01-01 00:00:00", "standard"),
    (730_119, "days since 0001-01-01", "proleptic_gregorian"),
    (365_000.25, "days since 1000-03-01 06:00", "standard"),
    (0.5, "seconds since 1970-01-01T00:00:00Z", "standard"),
    (1_700_000_000, "seconds since 1970-01-01", "standard"),
    (5, "days since 1990-01-01 00:00:00 -0530", "noleap"),
    (5, "minutes since 1990-1-1 6:30 +02:00", "360_day"),
]


def cf_time(number, unit, calendar):
    if math.isnan(number):
        return None
    date = cftime.num2date(number, unit, calendar)
    try:
        datetime.date(date.year, date.month, date.day)
    except ValueError:
        return None
    if not 1678 <= date.year <= 2261:
        return None
    return f"{date.year:04}-{date.month:02}-{date.day:02}T{date.hour:02}:{date.minute:02}:{date.second:02}.{date.microsecond:06}"


table("cf_time", ["value", "units", "calendar"], rows, cf_time)

times = ["1970-01-01T00:00:00", "2000-02-29T12:00:00", "1999-12-31T23:59:59", "2001-03-01T00:00:00", "1850-07-04T06:30:00", "2099-11-30T18:00:00", "2020-12-31T12:00:00"]
when = [pd.Timestamp(time) for time in times]
table("season", ["time"], [(t,) for t in times], lambda t: ["DJF", "MAM", "JJA", "SON"][pd.Timestamp(t).month % 12 // 3])
table("day_of_year", ["time"], [(t,) for t in times], lambda t: pd.Timestamp(t).dayofyear)

for part in ("year", "month", "day", "hour", "minute", "second"):
    table(part, ["time"], [(t,) for t in times], lambda t: getattr(pd.Timestamp(t), part))

apart = [*times, "1970-01-05T00:00:00", "1969-12-31T23:59:59.999999999", "2000-01-31T00:00:00", "2000-03-31T10:30:00", "1997-02-28T10:30:00"]
pairs_of_times = [*itertools.pairwise(apart), *itertools.pairwise(apart[::2]), *itertools.pairwise(reversed(apart))]
numpy_units = {"month": "M", "day": "D", "hour": "h", "minute": "m", "second": "s", "millisecond": "ms", "microsecond": "us", "nanosecond": "ns"}


def date_diff(unit, start, end):
    start, end = np.datetime64(start), np.datetime64(end)
    if unit == "Years":
        return int((end.astype("M8[Y]") - start.astype("M8[Y]")).astype(int))
    if unit == "quarter":
        return (pd.Period(pd.Timestamp(end), "Q") - pd.Period(pd.Timestamp(start), "Q")).n
    if unit == "week":
        return (pd.Period(pd.Timestamp(end), "W-SUN") - pd.Period(pd.Timestamp(start), "W-SUN")).n
    of = lambda time: time.astype(f"M8[{numpy_units[unit]}]").astype(int)
    return int(of(end) - of(start))


table("date_diff", ["unit", "start", "end"], [(u, *pair) for u in ["Years", "quarter", "week", *numpy_units] for pair in pairs_of_times], date_diff)


def months_between(end, start):
    """As Oracle's and Spark's manuals say, in exact fractions."""
    end, start = pd.Timestamp(end), pd.Timestamp(start)
    whole = (end.year - start.year) * 12 + end.month - start.month
    if end.day == start.day or end.is_month_end and start.is_month_end:
        return float(whole)
    over = lambda time: time.value - pd.Timestamp(time.year, time.month, 1).value
    return float(whole + fractions.Fraction(over(end) - over(start), 31 * 86400 * 10**9))


assert round(months_between("1997-02-28 10:30:00", "1996-10-30"), 8) == 3.94959677  # of Spark's manual
table("months_between", ["end", "start"], pairs_of_times, months_between)


def multiply_interval(interval, number, divisor):
    """As PostgreSQL's manual says, in exact fractions. Intervals are months, days and seconds."""
    if any(map(math.isnan, (number, divisor))) or divisor == 0 or math.isinf(number):
        return None
    months, days, seconds = map(int, interval.split()[::2])
    times = fractions.Fraction(number) / fractions.Fraction(divisor)
    rest = lambda x: (int(x), x - int(x))
    nearly = lambda x, digits: fractions.Fraction(round(x * digits), digits)
    months, of_month = rest(months * times)
    more_days, of_day = rest(nearly(of_month * 30, 10**6))
    days, of_days = rest(days * times)
    carried, of_day = rest(nearly(of_day + of_days, 86400 * 10**6))
    nanoseconds = round(seconds * times * 10**9) + int(of_day * 86400 * 10**9)
    return f"{months} {days + more_days + carried} {nanoseconds}"


lengths = ["1 months 0 days 0 seconds", "0 months 1 days 0 seconds", "0 months 0 days 3600 seconds", "14 months -3 days 7 seconds", "49 months 10 days 86399 seconds"]
factors = [(3, 1), (-1, 1), (1.5, 1), (1, 3), (1, 49), (0.1, 1), (0, 1), (2, -0.25), (NAN, 1), (1, NAN), (1, 0), (math.inf, 1)]
table("multiply_interval", ["interval", "number", "divisor"], [(i, *f) for i in lengths for f in factors], multiply_interval)


def decimal_year(time):
    time = pd.Timestamp(time)
    start, end = pd.Timestamp(time.year, 1, 1), pd.Timestamp(time.year + 1, 1, 1)
    return time.year + (time - start) / (end - start)


table("decimal_year", ["time"], [(t,) for t in times], decimal_year)


def zenith(time, lat, lon):
    if math.isnan(lat):
        return NAN
    if abs(lat) > 90:
        return None
    at = pd.DatetimeIndex([time], tz="UTC")
    return float(pvlib.solarposition.spa_python(at, lat, lon)["zenith"].iloc[0])


spots = [(0, 0), (23.44, 0), (52.5, 13.4), (-77.8, 166.7), (90, 0), (40, -120), (-33.9, 511.2), (NAN, 0), (91, 0)]
days = ["2000-06-21T12:00:00", "2003-10-17T19:30:30", "1999-12-21T00:00:00", "1850-03-20T06:00:00", "2050-09-01T15:45:00"]
table("solar_zenith", ["time", "lat", "lon"], [(d, *s) for d in days for s in spots], zenith)


# Ocean.
def known(of, is_valid=lambda *_: True):
    def expected(*numbers):
        if any(map(math.isnan, numbers)):
            return NAN
        return float(of(*numbers)) if is_valid(*numbers) else None

    return expected


waters = [(sa, t, p) for sa in (0, 5, 34.7, 38.5, 42) for t in (-1.5, 0, 4, 17.3, 29) for p in (0, 10, 1500, 6000)]
odd = [(-1, 10, 0), (NAN, 10, 0), (35, NAN, 0)]
salty = lambda sa, *_: sa >= 0
# Of Reference Composition: as at the surface of the North Atlantic, except for the anomaly.
table("absolute_salinity", ["sp"], [(sp,) for sp in (0, 2, 20, 35, 41.5, -1, NAN)], known(gsw.SR_from_SP, salty))
table("conservative_temperature", ["sa", "t", "p"], waters + odd, known(gsw.CT_from_t, salty))
table("potential_density", ["sa", "ct", "p_ref"], waters + odd, known(gsw.rho, salty))
table("sound_speed", ["sa", "ct", "p"], waters + odd, known(gsw.sound_speed, salty))
surface = [w[:2] for w in waters if w[2] == 0] + [w[:2] for w in odd]
for name, of in [("sigma1", gsw.sigma1), ("sigma2", gsw.sigma2), ("spiciness", gsw.spiciness0)]:
    table(name, ["sa", "ct"], surface, known(of, salty))
table("sigma0", ["sa", "ct"], surface, known(gsw.sigma0, salty))
columns = [(v, lat) for v in (0, 5, 100, 1000, 4500, 10000) for lat in (-90, -45, 0, 30, 89)] + [(NAN, 0), (100, 91)]
table("depth_from_pressure", ["p", "lat"], columns, known(lambda p, lat: -gsw.z_from_p(p, lat), lambda p, lat: abs(lat) <= 90))
table("pressure_from_depth", ["depth", "lat"], columns, known(lambda z, lat: gsw.p_from_z(-z, lat), lambda z, lat: abs(lat) <= 90))
table(
    "freezing_temperature",
    ["sa", "p"],
    [(sa, p) for sa in (0, 1, 20, 34.7, 42, 80) for p in (0, 100, 1000, 5000)] + [(-1, 0), (NAN, 0), (130, 0)],
    known(lambda sa, p: gsw.t_freezing(sa, p, 0), lambda sa, p: 0 <= sa <= 120),
)


# Argo's parameters, chosen by argopy.
choices = [
    (round(10 + i * 0.1, 1) if i % 7 else None, round(10 + i * 0.1 + 0.05, 2) if i % 11 else None, qc, mode, adjusted_qc)
    for i, (mode, qc, adjusted_qc) in enumerate(itertools.product("RAD", "123489", "1249"))
]


def argo_best(adjusted, raw, qc, mode, adjusted_qc):
    names = {"TEMP": raw, "TEMP_ADJUSTED": adjusted, "PRES": 5.0, "PRES_ADJUSTED": 5.0}
    data = {name: NAN if value is None else value for name, value in names.items()}
    data |= {"TEMP_QC": int(qc), "TEMP_ADJUSTED_QC": int(adjusted_qc), "PRES_QC": 1, "PRES_ADJUSTED_QC": 1}
    data |= {f"{name}_ADJUSTED_ERROR": 0.0 for name in ("TEMP", "PRES")}
    data |= {f"{name}_DATA_MODE": mode for name in ("TEMP", "PRES")}
    coordinates = {"N_POINTS": [0], "LATITUDE": 0.0, "LONGITUDE": 0.0, "TIME": np.datetime64("2000-01-01", "ns")}
    points = lambda values: {name: ("N_POINTS", np.atleast_1d(value)) for name, value in values.items()}
    of_mode = xr.Dataset(points(data), coords=points(coordinates)).argo.datamode.merge(params="TEMP")
    good = of_mode.argo.filter_qc(QC_list=[1, 2], QC_fields=["TEMP_QC"])
    found = float(good["TEMP"].values[0]) if good.sizes["N_POINTS"] else NAN
    return None if math.isnan(found) else found


table("argo_best", ["adjusted", "raw", "qc", "mode", "adjusted_qc"], choices, argo_best)

# Profiles: the rows of each, and the results.
def cast(p, surface, mixed, deep=4.0, gap=0.0):
    """Temperatures and salinities of a mixed layer over a thermocline."""
    p = np.array(p, float)
    below = np.maximum(p - mixed, 0)
    t = deep + (surface - deep) * np.exp(-below / 120) + gap * (p > mixed)
    return [(p, round(float(t), 3), round(float(s), 3)) for p, t, s in zip(p, t, 35 + below * 0.0004 + 0.003 * (p > mixed))]


casts = {
    "deep": cast([2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 700, 1000], 24, 60),
    "inverted": cast([5, 15, 25, 35, 60, 120], 3, 30, deep=2.0, gap=0.9),
    "starts below": cast([12, 20, 40, 90, 180], 20, 30),
    "shallow": cast([1, 4, 9, 14, 19], 18, 400),
    "one level": cast([10], 18, 400),
    "doubled": cast([5, 10, 10, 15, 30, 30, 30, 60, 100, 140], 22, 25),
    "gaps": [*cast([3, 8, 60, 90, 130], 15, 40), (20, NAN, 35.0), (45, 14.9, NAN), (75, None, 35.1), (None, 12.0, 35.0)],
    "fresh": [(2, 10.0, -1.0), (8, 10.0, 35.0), (20, 9.9, 35.01), (60, 7.0, 35.1)],
}
casts["doubled"][2] = (10.0, 22.4, 35.02)
casts["doubled"][5] = (30.0, 20.1, 35.07)
levels = [(name, *row) for name, rows in casts.items() for row in rows]
order = np.random.default_rng(11).permutation(len(levels))
missing_number = lambda number: number is None or math.isnan(number)


def means(rows, columns):
    """The levels in order, each with the means of its rows without missing values."""
    rows = [[row[k] for k in columns] for row in rows if not any(missing_number(row[k]) for k in columns)]
    by_level = itertools.groupby(sorted(rows), key=lambda row: row[0])
    return np.array([np.mean(list(rows), axis=0) for _, rows in by_level]).reshape(-1, len(columns))


def interp(level, p, t):
    return np.interp(level, p, t) if len(p) and p[0] <= level <= p[-1] else None


def integral(p, t, start, end):
    if not len(p) or not p[0] <= start <= end <= p[-1]:
        return None
    inside = (start < p) & (p < end)
    ends = lambda of: [np.interp(start, p, of), *of[inside], np.interp(end, p, of)]
    return scipy.integrate.trapezoid(ends(t), ends(p))


def mixed(p, values, threshold, size):
    """Linear interpolation in steps of a micrometre, for lack of a library."""
    surface = interp(10, p, values)
    if surface is None or p[-1] == 10:
        return None
    reached = lambda x: size(np.interp(x, p, values) - surface) >= threshold
    for a, b in itertools.pairwise(np.unique([10, *p[p > 10]])):
        if reached(b):
            while b - a > 1e-12 * b:
                a, b = (a, (a + b) / 2) if reached((a + b) / 2) else ((a + b) / 2, b)
                if a == (a + b) / 2 or b == (a + b) / 2:
                    break
            return b
    return None


def profile(rows):
    p, t = means(rows, [1, 2]).T
    salty = means(rows, [1, 2, 3])
    salty = salty[salty[:, 2] >= 0]
    sa = gsw.SR_from_SP(salty[:, 2])
    sigma = gsw.sigma0(sa, gsw.CT_from_t(sa, salty[:, 1], salty[:, 0]))
    return {
        "interp_10": interp(10, p, t),
        "interp_100": interp(100, p, t),
        "integrate": scipy.integrate.trapezoid(t, p),
        "integrate_10_100": integral(p, t, 10, 100),
        "integrate_100_10": None if (whole := integral(p, t, 10, 100)) is None else -whole,
        "mixed_t": mixed(p, t, 0.2, abs),
        "mixed_ts": mixed(salty[:, 0], sigma, 0.03, float),
    }


def buoyancy(rows, *lat):
    whole = lambda row: not any(map(missing_number, row[1:])) and row[3] >= 0
    p, ct, sa = means([row for row in rows if whole(row)], [1, 2, 3]).T
    of_level = dict(zip(p[1:], gsw.Nsquared(sa, ct, p, *lat)[0]))
    return {row: of_level.get(row[1]) for row in rows if whole(row)}


of_levels = {name: [levels[i] for i in order if levels[i][0] == name] for name in casts}
stable = {name: (buoyancy(rows), buoyancy(rows, 30.0)) for name, rows in of_levels.items()}
with open(HERE / "levels.csv", "w", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["of", "p", "t", "s", "nsquared", "nsquared_30"])
    for row in (levels[i] for i in order):
        writer.writerow([row[0], *map(text, row[1:]), *(text(found.get(row)) for found in stable[row[0]])])
with open(HERE / "profiles.csv", "w", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    found = {name: profile(rows) for name, rows in of_levels.items()}
    writer.writerow(["of", *found["deep"]])
    for name, values in found.items():
        writer.writerow([name, *map(text, values.values())])


# Atmosphere.
winds = [(3, 4), (0, 0), (0, 5), (0, -5), (5, 0), (-5, 0), (-2.5, -7.1), (1e-9, -1e-9), (NAN, 1), (1e200, 1e200)]
table("wind_speed", ["u", "v"], winds, known(lambda u, v: np.hypot(u, v)))
table(
    "wind_direction",
    ["u", "v"],
    winds,
    known(lambda u, v: metpy.calc.wind_direction(u * units("m/s"), v * units("m/s")).m_as("degree")),
)
K, Pa = units.K, units.Pa
cold = lambda t, *_: t > 0
temps = [200, 233.15, 253.15, 273.15, 273.16, 288.15, 293.15, 300.5, 310, 320]
table(
    "potential_temperature",
    ["p", "t"],
    [(p, t) for p in (1000, 20000, 50000, 100000, 105000) for t in (200, 250, 288.15)] + [(0, 250), (-1, 250), (NAN, 250), (50000, 0)],
    known(lambda p, t: metpy.calc.potential_temperature(p * Pa, t * K).m_as("K"), lambda p, t: p > 0 and t > 0),
)
table(
    "saturation_vapor_pressure",
    ["t"],
    [(t,) for t in [*temps, 0, -5, NAN]],
    known(lambda t: metpy.calc.saturation_vapor_pressure(t * K).m_as("Pa"), cold),
)
table(
    "dewpoint",
    ["t", "rh"],
    [(t, rh) for t in temps for rh in (0.01, 0.2, 0.5, 1, 1.05)] + [(280, 0), (280, -0.1), (280, NAN), (-1, 0.5)],
    known(lambda t, rh: metpy.calc.dewpoint_from_relative_humidity(t * K, rh).m_as("K"), lambda t, rh: t > 0 and rh > 0),
)
table(
    "relative_humidity",
    ["t", "td"],
    [(t, t - d) for t in temps for d in (0, 1, 5, 20)] + [(280, NAN), (0, 280), (280, -1)],
    known(lambda t, td: metpy.calc.relative_humidity_from_dewpoint(t * K, td * K).m_as(""), lambda t, td: t > 0 and td > 0),
)


def heat_index(t, rh):
    index = metpy.calc.heat_index(np.array([t]) * K, np.array([rh]) * units("")).to("K")
    return float(index.magnitude[0]) if not np.ma.getmaskarray(index.magnitude)[0] else None


table(
    "heat_index",
    ["t", "rh"],
    [(t, rh) for t in (285, 299, 300, 302, 303.5, 305.15, 310, 316) for rh in (0, 0.1, 0.13, 0.3, 0.6, 0.86, 0.95, 1)] + [(NAN, 0.5), (310, -1), (0, 0.5)],
    lambda t, rh: NAN if math.isnan(t) else None if rh < 0 or t <= 0 else heat_index(t, rh),
)

# Units, by Pint with the names of MetPy.
conversions = [
    ("degC", "K"), ("K", "degC"), ("degF", "degC"), ("degC", "degF"), ("degrees_celsius", "kelvin"), ("m s-1", "knot"), ("m/s", "km h-1"),
    ("kg m-2 s-1", "mm day-1 kg m-3"), ("hPa", "Pa"), ("mbar", "hPa"), ("dbar", "Pa"), ("atm", "hPa"), ("W m-2", "J m-2 day-1"),
    ("percent", "1"), ("g kg-1", "1"), ("mg m-3", "kg/m^3"), ("mmol m-3", "mol L-1"), ("micromole m-3", "mol m-3"),
    ("degrees_north", "radian"), ("nautical_mile", "km"), ("feet", "m"), ("day", "s"), ("hours", "minutes"), ("um", "m"), ("ppm", "1"),
    ("m2 s-2", "J/kg"), ("degC m-1", "K km-1"), ("1e-3 kg", "g"), ("kW h", "J"), ("inch", "mm"), ("mile", "km"), ("GPa", "bar"),
]
to_pint = {"percent": "percent", "1": "dimensionless", "degC m-1": "delta_degC/m", "kg m-2 s-1": "kg/m**2/s",
           "mm day-1 kg m-3": "mm/day*kg/m**3", "kW h": "kW*h", "degrees_north": "degree", "micromole m-3": "umol/m**3", "degrees_celsius": "degC"}


def pint(name):
    if name in to_pint:
        return to_pint[name]
    parts = []
    for part in name.replace("/", " / ").split():
        if part == "/":
            parts.append("/")
            continue
        stem = part.rstrip("0123456789^-")
        exponent = part[len(stem):].lstrip("^")
        parts += ([] if not parts or parts[-1] == "/" else ["*"]) + [stem + (f"**({exponent})" if exponent else "")]
    return "".join(parts)


def convert(x, a, b):
    if (a, b) == ("1e-3 kg", "g"):
        return float(x)
    return NAN if math.isnan(x) else float(units.Quantity(float(x), pint(a)).to(pint(b)).magnitude)


table("convert_units", ["x", "from", "to"], [(x, a, b) for a, b in conversions for x in (0, 1, -40, 273.15)] + [(NAN, "m", "km")], convert)

# Numbers.
table(
    "bin",
    ["x", "width"],
    [(x, w) for x in (0, 0.1, 4.9, 5, -0.1, -5, 1e9, 12.34) for w in (1, 5, 0.5, 2.5)] + [(1, 0), (1, -1), (NAN, 1), (1, NAN)],
    lambda x, w: None if w <= 0 else float(np.floor(x / w) * w),
)

# Aggregates: of a few groups, and in windows of five rows.
random = np.random.default_rng(7)
n = 120
series = {
    "row": np.arange(n),
    "g": random.integers(0, 5, n),
    "x": np.round(random.gamma(2.0, 3.0, n) - 2, 3),
    "w": np.round(random.uniform(0.1, 4, n), 3),
    "lat": np.round(random.uniform(-90, 90, n), 2),
    "deg": np.round(random.normal(350, 40, n), 1),
}
series["x"][random.choice(n, 12, replace=False)] = NAN
missing = set(random.choice(n, 10, replace=False).tolist())
start = datetime.datetime(1999, 1, 1)
times = [start + datetime.timedelta(hours=int(h)) for h in random.permutation(np.arange(n) * 97)]
with open(HERE / "series.csv", "w", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*series, "time"])
    for i in range(n):
        row = [text(v[i].item()) for v in series.values()]
        if i in missing:
            row[2] = ""
        writer.writerow([*row, times[i].isoformat()])
seconds = np.array([(t - datetime.datetime(1970, 1, 1)).total_seconds() for t in times])


YEAR = 365.2425 * 86400


def aggregates(rows):
    rows = np.array(rows)
    there = np.array([i not in missing and not math.isnan(series["x"][i]) for i in rows], bool)
    some = rows[there]
    x = series["x"][some]
    if not len(x):
        return {"completeness": 0.0, "circular_mean": circular(series["deg"][rows]), "histogram": "0 0 0 0 0 0"}
    w, lat = series["w"][some], series["lat"][some]
    varied = len(set(x)) > 1
    bins, _ = np.histogram(x, bins=6, range=(-2, 10))
    values, counts = np.unique(np.floor(x), return_counts=True)
    order = np.argsort(seconds[some])
    return {
        "weighted_mean": np.average(x, weights=w),
        "area_mean": np.average(x, weights=np.cos(np.radians(lat))),
        "circular_mean": circular(series["deg"][rows]),
        "linear_trend": scipy.stats.linregress(seconds[some], x).slope * YEAR if varied and len(x) > 1 else None,
        "rms": np.sqrt(np.mean(x**2)),
        "skewness": scipy.stats.skew(x) if varied else None,
        "kurtosis": scipy.stats.kurtosis(x) if varied else None,
        "mode": values[np.argmax(counts)],
        "histogram": " ".join(map(str, bins)),
        "first_valid": x[order[0]],
        "last_valid": x[order[-1]],
        "arg_max": x[np.argmax(w)],
        "arg_min": x[np.argmin(w)],
        "bias": np.mean(x - w),
        "rmse": np.sqrt(np.mean((x - w) ** 2)),
        "spearman": scipy.stats.spearmanr(x, w).statistic if varied and len(x) > 1 else None,
        "mad": scipy.stats.median_abs_deviation(x),
        "iqr": scipy.stats.iqr(x),
        **{f"nan{name}": getattr(np, f"nan{name}")(x) for name in ("mean", "median", "min", "max", "sum", "std", "var")},
        **trends(x[order], seconds[some][order]),
        **tied(np.floor(x[order]), np.array([times[i].month for i in some])[order]),
        "completeness": len(x) / len(rows),
    }


def trends(x, seconds):
    """Trends of values in the order of time, with distinct times."""
    if len(x) < 2:
        return {}
    test = pymannkendall.original_test(x)
    return {
        "linear_trend_error": scipy.stats.linregress(seconds, x).stderr * YEAR if len(x) > 2 else None,
        "theil_sen": scipy.stats.theilslopes(x, seconds).slope * YEAR,
        "mann_kendall_tau": test.Tau,
        "mann_kendall_s": float(test.s),
        "mann_kendall_var_s": float(test.var_s),
        "mann_kendall_z": float(test.z),
        "mann_kendall_p": test.p,
    }


def tied(x, months):
    """Trends of values and times with ties."""
    if len(x) < 2:
        return {}
    rising = lambda x: float(np.sign(np.subtract.outer(x, x) * np.subtract.outer(months, months)).sum() / 2)
    s = rising(x)
    if len(x) <= 5:
        # Over all orders of the values, which are equally likely.
        variance = float(np.mean([rising(np.array(order)) ** 2 for order in itertools.permutations(x)]))
    else:
        # SciPy does not return the variance, but a probability that depends on it.
        likely = scipy.stats.kendalltau(x, months, method="asymptotic").pvalue
        variance = (s / scipy.stats.norm.isf(likely / 2)) ** 2
    return {
        "mann_kendall_tied_values_var_s": float(pymannkendall.original_test(x).var_s),
        "mann_kendall_tied_s": s,
        "mann_kendall_tied_var_s": variance,
    }


def circular(degrees):
    return math.degrees(scipy.stats.circmean(np.radians(degrees))) % 360


names = list(aggregates(range(n)))
with open(HERE / "aggregates.csv", "w", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["of", *names])
    for g in range(5):
        found = aggregates([i for i in range(n) if series["g"][i] == g])
        writer.writerow([f"group {g}", *(text(found.get(name)) for name in names)])
    for i in range(n):
        found = aggregates(range(max(0, i - 4), i + 1))
        writer.writerow([f"window {i}", *(text(found.get(name)) for name in names)])

# The same for extreme numbers, computed with more digits and a wider range than a double.
inf, largest = math.inf, np.finfo(float).max
odd_series = {
    "large": [1e300, -1e300, 5e299, 2e300, 1e299],
    "tiny": [5e-324, 1e-310, 0.0, -1e-320, 3e-315],
    "largest": [largest, largest, -largest, 0.0, 1.0],
    "infinite": [1.0, inf, 3.0, 4.0, 5.0],
    "both infinities": [-inf, 1.0, inf, 2.0, 3.0],
    "missing": [NAN, 1.0, NAN, 2.0, 4.5],
}
hours = np.array([0, 1, 3, 4, 9])
others = np.array([1.0, -2.0, 3.0, 0.5, 2.0])


def extremes(x):
    there = ~np.isnan(x)
    x, y, t = np.longdouble(x[there]), np.longdouble(others[there]), np.longdouble(hours[there] * 3600)
    pairs = [(i, j) for j in range(len(x)) for i in range(j)]
    after = int(np.searchsorted(t, 7200))
    share = (7200 - t[after - 1]) / (t[after] - t[after - 1])
    with np.errstate(all="ignore"):
        slope = ((t - t.mean()) * (x - x.mean())).sum() / ((t - t.mean()) ** 2).sum()
        residuals = x - x.mean() - slope * (t - t.mean())
        error = np.sqrt((residuals**2).sum() / (len(x) - 2) / ((t - t.mean()) ** 2).sum())
        return {
            "bias": (x - y).mean(),
            "rmse": np.sqrt(((x - y) ** 2).mean()),
            "spearman": scipy.stats.spearmanr(np.float64(x), np.float64(y)).statistic,
            "mad": np.median(abs(x - np.median(x))),
            # (NumPy cannot interpolate from infinities with a weight of zero. Of five values,
            # quartiles are values.)
            "iqr": np.subtract(
                *np.quantile(x, [0.75, 0.25], method="linear" if np.isfinite(x).all() else "nearest")
            ),
            "theil_sen": np.median([(x[j] - x[i]) / (t[j] - t[i]) for i, j in pairs]) * YEAR,
            "linear_trend_error": error * YEAR,
            "mann_kendall": float(sum(np.sign(x[j] - x[i]) for i, j in pairs)),
            "arg_max": float(y[x == x.max()].min()),
            "arg_min": float(y[x == x.min()].min()),
            "integrate": scipy.integrate.trapezoid(x, t),
            "interp": (1 - share) * x[after - 1] + share * x[after],
            "nanmean": np.nanmean(np.float64(x)),
            "nanmax": np.nanmax(x),
        }


with np.errstate(all="ignore"), open(HERE / "extremes.csv", "w", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    found = {name: extremes(np.array(x)) for name, x in odd_series.items()}
    writer.writerow(["of", "hours", "x", "w", *found["large"]])
    for name, x in odd_series.items():
        for i in range(len(x)):
            results = map(text, map(float, found[name].values())) if i == 0 else [""] * len(found[name])
            writer.writerow([name, str(hours[i]), text(x[i]), text(others[i].item()), *results])
