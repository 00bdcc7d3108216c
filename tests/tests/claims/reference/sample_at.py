"""Makes the table that `sample_at` is tested against, with xarray.

    pip install 'numpy==2.4.*' 'xarray>=2025' 'scipy==1.17.*'
    python sample_at.py

The grid is made by a formula that the test has too. Empty means NULL.
"""

import csv
import pathlib

import numpy as np
import xarray as xr

TIMES = np.datetime64("2000-01-01") + np.arange(5) * np.timedelta64(6, "h")
LATITUDES = np.array([60.0, 45, 30, 10, -20, -50])  # falling, in steps that differ
LONGITUDES = np.arange(0.0, 360, 45)


def cell(i, j, k):
    chance = (i * 7919 + j * 104729 + k * 1299709) % 1009
    return np.nan if chance % 23 == 0 else chance / 8 - 40


cells = np.array([[[cell(i, j, k) for k in range(8)] for j in range(6)] for i in range(5)])
axes = {"time": TIMES, "lat": LATITUDES, "lon": LONGITUDES}
grid = xr.DataArray(cells, coords=axes, dims=list(axes))
# Around the globe.
globe = xr.concat([grid.isel(lon=[-1]).assign_coords(lon=[-45.0]), grid, grid.isel(lon=[0]).assign_coords(lon=[360.0])], "lon")

random = np.random.default_rng(5)
points = [
    (TIMES[0] + np.timedelta64(int(hours * 60), "m"), round(lat, 2), round(lon, 2))
    for hours, lat, lon in zip(random.uniform(0, 24, 150), random.uniform(-50, 60, 150), random.uniform(-30, 350, 150))
]
points += [
    (TIMES[2], 30.0, 90.0),
    (TIMES[4], -50.0, 315.0),
    (TIMES[0], 60.0, 330.0),
    (TIMES[1], 10.0, -45.0),
    (TIMES[1], 66.0, 10.0),  # beyond, by less than half a step
    (TIMES[1], 70.0, 10.0),
    (TIMES[1], -50.1, 10.0),
    (TIMES[4] + np.timedelta64(2, "h"), 10.0, 10.0),
    (TIMES[4] + np.timedelta64(4, "h"), 10.0, 10.0),
    (TIMES[0] - np.timedelta64(1, "s"), 10.0, 10.0),
]


def within(values, at, half):
    lowest, highest = values.min(), values.max()
    if half:
        ordered = np.sort(values)
        lowest, highest = lowest - (ordered[1] - ordered[0]) / 2, highest + (ordered[-1] - ordered[-2]) / 2
    return lowest <= at <= highest


def sample(point, linear):
    at = dict(zip(axes, point))
    at["lon"] = at["lon"] % 360
    if not all(within(axes[dim], at[dim], dim not in linear) for dim in ("time", "lat")):
        return None
    nearest = {dim: at[dim] for dim in axes if dim not in linear}
    of = globe.sel(nearest, method="nearest") if nearest else globe
    for dim in linear:
        # One after the other, so that no missing cell counts for a point on a line of the grid.
        of = of.sel({dim: at[dim]}) if at[dim] in globe[dim].values else of.interp({dim: at[dim]})
    return None if np.isnan(of) else float(of)


methods = {"nearest": (), "bilinear": ("lat", "lon"), "linear": ("time", "lat", "lon"), "nearest, time=linear": ("time",)}
with open(pathlib.Path(__file__).parent / "sample_at.csv", "w", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["time", "lat", "lon", *methods])
    for point in points:
        found = [sample(point, linear) for linear in methods.values()]
        writer.writerow([str(point[0].astype("M8[s]")), *point[1:], *("" if value is None else repr(value) for value in found)])
