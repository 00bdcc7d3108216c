"""Datasets that are larger than memory, with dask.

usage: python 03_dask_streaming.py [DIRECTORY]
"""

import sys
import tempfile

import dask.array as da
import numpy as np
import xarray as xr

import pyatlas

location = sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp() + "/large"

# Nothing is computed yet. `xr.open_dataset("big.nc", chunks={})` is lazy too.
hours, lat, lon = 240, 90, 180
waves = da.from_array(np.sin(np.arange(hours) / 24 * 2 * np.pi), chunks=24)
noise = da.random.default_rng(0).normal(size=(hours, lat, lon), chunks=(24, 45, 90))
ds = xr.Dataset(
    {"height": (("time", "lat", "lon"), (waves[:, None, None] + noise).astype("f4"))},
    {
        "time": np.datetime64("2024-01-01", "ns") + np.arange(hours) * np.timedelta64(1, "h"),
        "lat": np.linspace(-89, 89, lat),
        "lon": np.linspace(-179, 179, lon),
    },
)

# Blocks are computed and written one after another; they become the chunks of the store.
with pyatlas.Atlas.create(location, codec="lz4") as store:
    ds.atlas.write(store, "waves")
print(store.open_dataset("waves").array_meta("height"))

# Reading is lazy too. Workers of a cluster receive names, not values.
lazy = xr.open_dataset(location, engine="atlas", dataset="waves", chunks={})
daily = lazy["height"].resample(time="1D").mean().mean(["lat", "lon"])
print(daily.compute().values.round(3))

# The same with SQL, from the chunks' statistics and values.
means = store.sql(
    "SELECT date_trunc('day', time) AS day, avg(height) AS mean FROM atlas GROUP BY 1 ORDER BY 1"
).to_xarray(dims=["day"])
np.testing.assert_allclose(means["mean"], daily.compute(), atol=1e-5)
