"""xarray datasets: writing them to a store, and reading them.

usage: python 02_xarray.py [DIRECTORY]
"""

import sys
import tempfile

import numpy as np
import xarray as xr

import pyatlas

location = sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp() + "/runs"


def run(number: int) -> xr.Dataset:
    """A day of a model."""
    rng = np.random.default_rng(number)
    time = np.datetime64("2024-01-01", "ns") + np.arange(24) * np.timedelta64(1, "h")
    lat, lon = np.linspace(40, 60, 21), np.linspace(-10, 10, 41)
    temperature = 15 - 0.3 * (lat[:, None] - 50) + rng.normal(0, 1, (24, 21, 41))
    return xr.Dataset(
        {"temperature": (("time", "lat", "lon"), temperature, {"units": "degC"})},
        {"time": time, "lat": lat, "lon": lon, "member": number},
        {"model": "demo", "member": number, "season": "winter" if number % 2 else "summer"},
    )


with pyatlas.Atlas.create(location) as store:
    for number in range(6):
        run(number).atlas.write(store, f"run_{number}", chunks={"time": 12})

# Identical: values, attributes, coordinates, encodings.
xr.testing.assert_identical(store.open_as_xarray_dataset("run_3"), run(3))

# Lazy: reads only the values that are used.
ds = xr.open_dataset(location, engine="atlas", dataset="run_3")
print(ds)
print(float(ds["temperature"].sel(lat=50, lon=0).mean()))

# With dask, one block for each chunk of the store.
chunked = xr.open_dataset(location, engine="atlas", dataset="run_3", chunks={})
print(chunked["temperature"].chunks[0], float(chunked["temperature"].mean().compute()))

# All datasets as a tree, or the datasets that a predicate selects as one dataset.
tree = xr.open_datatree(location, engine="atlas")
print(list(tree.children))
winter = store.open_many(where="season = 'winter'", concat_dim="run")
print(dict(winter.sizes), winter["member"].values)
print(winter["temperature"].isel(time=0).mean(["lat", "lon"]).values.round(2))
