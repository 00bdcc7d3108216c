"""Datasets, arrays and attributes.

usage: python 01_basics.py [DIRECTORY]
"""

import sys
import tempfile

import numpy as np

import pyatlas

location = sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp() + "/stations"

# Changes are pending until the block ends: one commit, or nothing.
with pyatlas.Atlas.create(location) as store:
    for number, name in enumerate(["bergen", "brest", "cadiz"]):
        station = store.create_dataset(name)
        station.define_array("time", "datetime64[ns]", ["time"], [24])
        station.define_array("temperature", "float32", ["time"], [24], fill_value=float("nan"))
        hours = np.datetime64("2024-01-01") + np.arange(24) * np.timedelta64(1, "h")
        station.write_array("time", [0], hours)
        values = 8 + 4 * number + np.sin(np.arange(24) / 24 * 2 * np.pi)
        station.write_array("temperature", [0], values.astype("float32"))
        station.set_array_attribute("temperature", "units", "degC")
        station.set_attribute("country", ["Norway", "France", "Spain"][number])

store = pyatlas.Atlas.open(location)
print(store, store.list_datasets(), store.list_arrays())

brest = store.open_dataset("brest")
print(brest.array_meta("temperature"))
print(brest.array_stats("temperature"))
print(brest.read_array("temperature", start=[6], shape=[3]))
print(brest.attributes(), brest.array_attributes("temperature"))

# One array of many datasets in a single read.
stacked = store.read_array_across_stacked("temperature", store.list_datasets())
print(stacked.shape, stacked.mean(axis=1).round(2))

# Later writes replace cells. Missing cells are masked.
brest.write_array("temperature", [0], np.ma.masked_invalid(np.array([np.nan, 11.5], "float32")))
brest.set_attribute("checked", True)
store.flush()
print(brest.read_array("temperature", [0], [3], masked=True))

# Every commit can be opened again, until it is vacuumed.
before = pyatlas.Atlas.open(location, generation=1)
print(before.open_dataset("brest").read_array("temperature", [0], [3]))
print([(commit["generation"], commit["operation"]) for commit in store.log()])
assert store.verify()["problems"] == []
