"""Every class and method of atlas-python 0.10.0, by its own words: `python script.py atlas`.

With `pyatlas` in place of `atlas` it prints the same, which is `expected.txt`.
"""

import importlib
import sys
import tempfile
import warnings

import numpy as np
import xarray as xr

atlas = importlib.import_module(sys.argv[1])
np.set_printoptions(precision=6)


def refused(action):
    """The built-in exception that an action raises."""
    builtin = (FileExistsError, KeyError, OverflowError, TypeError, ValueError)
    try:
        action()
    except builtin as error:
        return next(kind.__name__ for kind in builtin if isinstance(error, kind))
    return "nothing"


def show(title, *values):
    print(title, *values, sep=" | ")


def describe(ds):
    for name in sorted(ds.variables):
        variable = ds[name]
        attrs = {key: np.asarray(value).tolist() for key, value in variable.attrs.items()}
        show(name, variable.dims, variable.dtype, sorted(attrs.items()), variable.values.tolist())
    show("attrs", sorted(ds.attrs.items()), sorted(ds.coords), sorted(ds.data_vars))


root = tempfile.mkdtemp()
atlas.init_tracing("off")
show("version", isinstance(atlas.__version__, str))
show(
    "create",
    *(repr(atlas.Atlas.create(f"{root}/{codec}", codec)) for codec in ("zstd", "lz4", "none")),
)
show(
    "formats",
    repr(atlas.Atlas.create(f"{root}/mp", "zstd", meta_format="msgpack", meta_compression="zstd")),
)
show("codec", refused(lambda: atlas.Atlas.create(f"{root}/x", codec="gzip")))

with atlas.Atlas.create(f"{root}/store") as store:
    view = store.create_dataset("jan")
    show("view", view.name, repr(view), repr(store))
    numbers = (
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float32",
        "float64",
    )
    for dtype in numbers:
        view.define_array(f"of_{dtype}", dtype, ["y", "x"], [4, 6], [2, 3], 7)
        data = np.arange(24, dtype=dtype).reshape(4, 6)
        view.write_array(f"of_{dtype}", [0, 0], data)
        view.write_array(f"of_{dtype}", start=[1, 2], data=np.full((2, 3), 100, dtype))
        show(dtype, view.read_array(f"of_{dtype}").tolist(), view.read_array(f"of_{dtype}").dtype)
    view.define_array(
        name="partial", dtype="float32", dims=("y", "x"), shape=(4, 6), fill_value=float("nan")
    )
    view.write_array("partial", (1, 1), np.ones((2, 2), np.float32))
    view.define_array("plain", "int32", ["z"], [3])
    view.define_array("scalar", "float64", [], [])
    view.write_array("scalar", [], np.array(2.5))
    view.define_array("time", "timestamp_nanoseconds", ["t"], [3])
    view.write_array("time", [0], np.array([0, 10**9, 2 * 10**9]))
    view.define_array("since", "datetime64[ns]", ["t"], [3], fill_value=5)
    view.define_array("words", "string", ["w"], [4])
    view.write_array("words", [0], np.array(["a", "bc", "d", "ü"], dtype=object))
    view.write_array("words", [2], np.array([b"x", b"yz"]))
    view.define_array("gone", "int8", ["w"], [4])
    view.delete_array("gone")
    show("lists", view.list_arrays(), store.list_arrays(), store.list_datasets())
    for name in ("of_int16", "partial", "plain", "scalar", "time", "since", "words", "none"):
        show(name, view.array_meta(name), view.array_fill_value(name))
    show("scalar", view.read_array("scalar"), view.read_array("scalar").shape)
    show("time", view.read_array("time"), view.read_array("since"))
    show("words", view.read_array("words"), view.read_array("words", [1], [2]))
    show(
        "parts",
        view.read_array("of_int8", [1, 2], [2, 2]),
        view.read_array("of_int8", start=[3, 0]),
    )
    show(
        "parts",
        view.read_array("of_int8", shape=[1, 2]),
        view.read_array("plain"),
        view.read_array("none"),
    )
    show("partial", view.read_array("partial"))
    several = view.read_arrays(["plain", "of_uint8", "none"])
    show("several", sorted(several.items(), key=str))
    show("several", view.read_arrays(["of_int8", "of_uint16"], start=[0, 0], shape=[1, 2]))
    for key, value in (("one", 1), ("half", 0.5), ("text", "t"), ("yes", True)):
        view.set_attribute(key, value)
        show("attribute", view.get_attribute(key), type(view.get_attribute(key)).__name__)
    for dtype, value in (
        ("int8", 5),
        ("uint16", 6),
        ("float64", 1),
        ("float32", 0.5),
        ("string", "s"),
        ("bool", False),
        ("timestamp_nanoseconds", 7),
    ):
        view.set_attribute("typed", value, dtype)
        show(dtype, view.get_attribute("typed"), type(view.get_attribute("typed")).__name__)
    show("attributes", view.attributes(), view.get_attribute("none"))
    show("refused", refused(lambda: view.define_array("plain", "int8", ["q"], [1])))
    show("refused", refused(lambda: view.define_array("_x", "int8", ["q"], [1])))
    show("refused", refused(lambda: view.define_array("q", "what", ["q"], [1])))
    show("refused", refused(lambda: view.define_array("q", "int8", ["q"], [1], fill_value=300)))
    show("refused", refused(lambda: view.define_array("q", "int8", ["q"], [1], fill_value=1.5)))
    show("refused", refused(lambda: view.write_array("plain", [0], np.ones(3))))
    show("refused", refused(lambda: view.write_array("plain", [0], [1, 2, 3])))
    show("refused", refused(lambda: view.write_array("none", [0], np.ones(3))))
    show("refused", refused(lambda: view.delete_array("none")))
    show("refused", refused(lambda: view.set_attribute("a", None)))
    show("refused", refused(lambda: view.set_attribute("a", 1, "what")))
    show(
        "refused",
        refused(lambda: store.create_dataset("jan")),
        refused(lambda: store.create_dataset("a/b")),
    )
    show(
        "refused",
        refused(lambda: store.open_dataset("feb")),
        refused(lambda: store.delete_dataset("feb")),
    )

store = atlas.Atlas.open(f"{root}/store")
view = store.open_dataset("jan")
show("reopened", repr(store), repr(view), view.read_array("of_float32")[1].tolist())
for name in ("of_int16", "of_float64", "time", "none"):
    show("stats", name, view.array_stats(name))

for month, first in (("feb", 100), ("mar", 200)):
    other = store.create_dataset(month)
    other.define_array("of_int32", "int32", ["y", "x"], [4, 6], [2, 3])
    other.write_array(
        "of_int32", [0, 0], np.arange(first, first + 24, dtype=np.int32).reshape(4, 6)
    )
store.flush()
names = ["mar", "jan", "feb"]
show("across", store.read_array_across("of_int32", names, [1, 1], [2, 2]))
show(
    "across",
    [None if array is None else array.shape for array in store.read_array_across("partial", names)],
)
show("across", store.read_array_across("of_int32", ["none", "feb"], start=[3, 5], shape=[1, 1]))
show("stacked", store.read_array_across_stacked("of_int32", names, start=[0, 0], shape=[1, 3]))
show("stacked", store.read_array_across_stacked("of_int32", names).shape)
show("refused", refused(lambda: store.read_array_across("none", names)))
show("refused", refused(lambda: store.read_array_across("of_int32", [])))
show("refused", refused(lambda: store.read_array_across_stacked("partial", names)))
store.delete_dataset("mar")
show("deleted", store.list_datasets(), store.dataset_exists("mar"), store.dataset_exists("feb"))
show("compact", store.flush(), store.compact(), store.close())
show(
    "compacted",
    atlas.Atlas.open(f"{root}/store").open_dataset("feb").read_array("of_int32", [3, 0], [1, 6]),
)

lat, lon = np.arange(4, dtype=np.float32), np.arange(6, dtype=np.float32)
grid = (np.arange(24, dtype=np.float32) / 2).reshape(4, 6)
grid[0, 0] = np.nan
ds = xr.Dataset(
    {
        "temperature": (("lat", "lon"), grid, {"units": "C", "valid": [1, 2]}),
        "count": (("lat",), np.array([1, -1, 3, 4], np.int16), {"_FillValue": np.int16(-1)}),
        "label": (("lat",), np.array(["a", "b", "c", "d"], dtype=object)),
        "zero": ((), np.float64(1.5)),
    },
    coords={
        "lat": lat,
        "lon": lon,
        "time": (("lat",), np.array(["2020-01-01", "NaT", "2021-01-01", "2022-01-01"], "M8[ns]")),
    },
    attrs={"month": 1, "station": "KNMI", "list": ["x", "y"]},
)
with atlas.Atlas.create(f"{root}/xarray") as store, warnings.catch_warnings():
    warnings.simplefilter("ignore")
    store.add_xarray_dataset(ds, "jan")
    ds.atlas.write(store, "feb")
    store.add_xarray_dataset(
        ds, name="chunked", chunks={"temperature": [2, 3]}, fill_value={"count": 4}
    )
    ds.chunk({"lat": 2}).atlas.write(store, "dask", chunks=None, fill_value=-5)
store = atlas.Atlas.open(f"{root}/xarray")
for name in ("jan", "feb", "chunked", "dask"):
    back = store.open_as_xarray_dataset(name)
    xr.testing.assert_identical(back.drop_attrs().load(), ds.drop_attrs())
    show(name, {key: back[key].chunks for key in sorted(back.data_vars)})
    view = store.open_dataset(name)
    show(
        name,
        view.array_meta("temperature"),
        view.array_fill_value("temperature"),
        view.array_fill_value("count"),
    )
    if name != "dask":
        show(name, view.array_stats("temperature"))
describe(store.open_as_xarray_dataset("jan"))
# atlas-python stacks no strings.
for name in ("one", "two"):
    store.add_xarray_dataset(ds.drop_vars("label") + (name == "two"), name)
many = store.open_as_many_xarray_dataset(["one", "two"], concat_dim="month", parallel=False)
show(
    "many",
    dict(many.sizes),
    many["temperature"].dims,
    many["month"].values.tolist(),
    sorted(many.coords),
)
many = store.open_as_many_xarray_dataset(["one", "two"])
show("many", many["temperature"].dims, float(many["temperature"].sum()), many["count"].dtype)
show("refused", refused(lambda: store.open_as_many_xarray_dataset([])))
show("refused", refused(lambda: store.open_as_xarray_dataset("none")))
