"""SQL queries over all datasets, with results for other libraries.

usage: python 04_sql.py [DIRECTORY]
"""

import sys
import tempfile

import numpy as np
import xarray as xr

import pyatlas

location = sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp() + "/floats"

with pyatlas.Atlas.create(location) as store:
    for number in range(20):
        rng = np.random.default_rng(number)
        pressure = np.sort(rng.uniform(0, 2000, 100)).astype("f4")
        temperature = (25 * np.exp(-pressure / 500) + rng.normal(0, 0.2, 100)).astype("f4")
        temperature[rng.random(100) < 0.1] = np.nan
        ds = xr.Dataset(
            {
                "temperature": ("level", temperature, {"units": "degC"}),
                "pressure": ("level", pressure, {"units": "dbar"}),
                "time": ((), np.datetime64("2024-01-01", "ns") + np.timedelta64(number, "D")),
            },
            attrs={"platform": f"19{number % 4:02}"},
        )
        store.add_xarray_dataset(ds, f"cast_{number:02}")

# Lazy: planned here, and run when the rows are requested.
means = store.sql(
    "SELECT platform, count(temperature) AS n, avg(temperature) AS mean FROM atlas "
    "WHERE pressure < $deepest GROUP BY platform ORDER BY platform",
    params={"deepest": 100},
)
means.show()
print(means.explain())
print(means.to_pandas().round(2))
print(means.fetchall()[0])

# As a dataset, with coordinates and the attributes of the store.
binned = store.sql(
    "SELECT dataset, floor(pressure / 500) * 500 AS depth, avg(temperature) AS temperature "
    "FROM atlas GROUP BY 1, 2"
).to_xarray(dims=["dataset", "depth"])
print(binned["temperature"].mean("dataset").round(1).values, binned["temperature"].attrs)

# Any library that accepts the Arrow C interface receives the rows as they are computed.
rows = store.sql("SELECT dataset, pressure, temperature FROM atlas WHERE temperature > 24")
try:
    import duckdb
    import polars as pl
except ImportError:
    print("duckdb or polars is not installed")
else:
    print(pl.DataFrame(rows).shape)
    print(duckdb.sql("SELECT count(*), min(temperature) > 24 FROM rows").fetchall())

# A picture: SVG in notebooks, characters in terminals.
print(store.sql("SELECT pressure, temperature FROM atlas WHERE dataset = 'cast_00'").plot())

# Several stores in one query.
session = pyatlas.connect(floats=store, again=location)
print(session.sql("SELECT count(*) FROM floats JOIN again USING (dataset, level)").fetchall())
