"""xarray into stores and back."""

import asyncio
import itertools
import os
import pickle
import subprocess
import sys
import warnings

import cftime
import dask
import dask.array as da
import numpy as np
import pyatlas
import pytest
import xarray as xr
from pyatlas.backend import AtlasBackendEntrypoint, read_outer
from xarray.core import indexing


def there_and_back(tmp_path, ds, **options):
    with pyatlas.Atlas.create(tmp_path / f"s{len(os.listdir(tmp_path))}") as store:
        ds.atlas.write(store, "d", **options)
    return store


def everything() -> xr.Dataset:
    """A dataset with what xarray can hold."""
    times = np.array(["2000-01-01", "NaT", "2020-02-29T12:34:56.789"], "M8[ns]")
    words = np.array(["a", "", "ü€😀"], object)
    ds = xr.Dataset(
        {
            "f4": (
                ("x", "y"),
                np.array([[1.5, np.nan, np.inf], [-0.0, 2, 3]], "f4"),
                {"units": "K"},
            ),
            "f8": (
                ("y", "x"),
                np.arange(6.0).reshape(3, 2),
                {"n": np.int32(5), "a": np.arange(3, dtype="f4")},
            ),
            "f2": (("y",), np.array([1, np.nan, 3], "f2")),
            **{
                f"{k}{b}": (("y",), np.array([0, 1, 100], f"{k}{b}"))
                for k in "iu"
                for b in (1, 2, 4, 8)
            },
            "bool": (("y",), np.array([True, False, True])),
            "time": (("y",), times, {"long_name": "when"}),
            "seconds": (("y",), times.astype("M8[s]")),
            "delta": (("y",), np.array([1, "NaT", 3], "m8[ns]")),
            "days": (("y",), np.array([1, 2, 3], "m8[s]")),
            "words": (("y",), words),
            "missing": (("y",), np.array(["a", np.nan, "c"], object)),
            "fixed": (("y",), np.array(["a", "", "ccc"])),
            "s3": (("y",), np.array([b"a", b"", b"ccc"])),
            "latin": (("y",), np.array([b"\xff", b"a", b""])),
            "blobs": (("y",), np.array([b"\x00\xff", b"", b"z"], object)),
            "texts": (("y",), np.array([b"a", b"", b"z"], object)),
            "scalar": ((), 5.5),
            "word": ((), "text"),
            "now": ((), np.datetime64("2024-01-01", "ns")),
            "empty": (("z", "y"), np.empty((0, 3))),
            "raw": (
                ("y",),
                np.array([1, -1, 3], "i2"),
                {"_FillValue": np.int16(-1), "scale_factor": 0.1},
            ),
        },
        coords={
            "x": np.array([10.0, 20.0]),
            "y": ("y", ["p", "q", "r"], {"note": "names"}),
            "lat": (("x", "y"), np.arange(6.0).reshape(2, 3), {"units": "degrees_north"}),
            "run": 3,
            "z": np.empty(0),
        },
        attrs={
            "title": "all",
            "json:odd": "json:text",
            "nested": {"a": [1, {"b": None}]},
            "tuple": (1, 2),
            "list": ["a", "b"],
            "mixed": [1, "a"],
            "array": np.array([1, 2], "i2"),
            "grid": np.arange(4).reshape(2, 2).tolist(),
            "none": None,
            "np": np.float32(0.1),
            "flag": True,
            "big": 2**70,
        },
    )
    ds["f4"].encoding = {
        "dtype": np.dtype("<i2"),
        "scale_factor": 0.1,
        "_FillValue": np.int16(-9),
        "zlib": True,
    }
    ds["f8"].encoding = {"chunksizes": (2, 1), "coordinates": "lat", "_FillValue": np.nan}
    ds["time"].encoding = {
        "units": "days since 1900-01-01",
        "calendar": "standard",
        "dtype": np.dtype(">i4"),
    }
    ds.encoding = {"unlimited_dims": {"x"}}
    return ds


def test_everything_comes_back_as_it_was_written(tmp_path):
    ds = everything()
    store = there_and_back(tmp_path, ds)
    back = pyatlas.Atlas.open(store.location).open_as_xarray_dataset("d")
    xr.testing.assert_identical(back, ds)
    for name, variable in ds.variables.items():
        assert back[name].dtype == variable.dtype, name
        encoding = {k: v for k, v in back[name].encoding.items() if k != "preferred_chunks"}
        assert str(sorted(encoding.items())) == str(sorted(variable.encoding.items())), name
        for key, value in variable.attrs.items():
            assert type(back[name].attrs[key]) is type(value), (name, key)
    assert type(back.attrs["tuple"]) is tuple and back.attrs["np"].dtype == np.float32
    assert back.encoding == ds.encoding
    assert store.verify()["problems"] == []


def test_an_open_dataset_is_what_xarray_makes_of_a_file(tmp_path):
    ds = everything()
    store = there_and_back(tmp_path, ds)
    opened = xr.open_dataset(store.location, engine="atlas")
    # What was written as a file has it is decoded as a file is.
    expected = ds.assign(raw=xr.conventions.decode_cf_variable("raw", ds["raw"].variable))
    xr.testing.assert_identical(opened, expected)
    raw = xr.open_dataset(store.location, engine="atlas", mask_and_scale=False)
    assert raw["raw"].dtype == np.int16 and raw["raw"].attrs == ds["raw"].attrs
    assert opened.encoding["source"] == f"{store.location}#d"


def test_files_come_back_as_xarray_sees_them(tmp_path, data, argo):
    paths = [*argo[::60], data / "eraint_uvz.nc"]
    with pyatlas.Atlas.create(tmp_path / "s") as store:
        for path in paths:
            with xr.open_dataset(path) as ds:
                ds.atlas.write(store, path.stem)
    for path in paths:
        with xr.open_dataset(path) as ds:
            xr.testing.assert_identical(
                xr.open_dataset(store.location, engine="atlas", dataset=path.stem), ds
            )
            chunked = xr.open_dataset(store.location, engine="atlas", dataset=path.stem, chunks={})
            xr.testing.assert_identical(chunked.compute(), ds)
            for name, variable in ds.variables.items():
                assert chunked[name].dtype == variable.dtype
                ours, own = dict(chunked[name].encoding), dict(variable.encoding)
                for of_the_file in ("source", "preferred_chunks", "original_shape"):
                    ours.pop(of_the_file, None), own.pop(of_the_file, None)
                assert str(sorted(ours.items())) == str(sorted(own.items()))


def test_undecoded_files_are_decoded_as_files_are(tmp_path, data, argo):
    with pyatlas.Atlas.create(tmp_path / "s") as store:
        for path in (argo[0], data / "eraint_uvz.nc"):
            with xr.open_dataset(path, decode_cf=False) as raw:
                raw.atlas.write(store, path.stem)
                xr.testing.assert_identical(store.open_as_xarray_dataset(path.stem), raw.load())
    for path in (argo[0], data / "eraint_uvz.nc"):
        with xr.open_dataset(path, concat_characters=False) as ds:
            xr.testing.assert_identical(
                xr.open_dataset(store.location, engine="atlas", dataset=path.stem), ds
            )
        with xr.open_dataset(path) as ds:
            opened = xr.open_dataset(
                store.location, engine="atlas", dataset=path.stem, concat_characters=True
            )
            xr.testing.assert_identical(opened, ds)


def test_dates_of_other_calendars_come_back(tmp_path):
    dates = xr.date_range("2000-02-28", periods=4, calendar="360_day", use_cftime=True)
    ds = xr.Dataset({"a": ("time", np.arange(4.0))}, {"time": dates})
    store = there_and_back(tmp_path, ds)
    xr.testing.assert_identical(store.open_as_xarray_dataset("d"), ds)
    opened = xr.open_dataset(store.location, engine="atlas")
    assert isinstance(opened["time"].values[1], cftime.Datetime360Day)
    xr.testing.assert_identical(opened, ds)


@pytest.mark.parametrize(
    "blocks", [{"x": 4, "y": 3}, {"x": (1, 5, 4), "y": 3}, {"x": -1, "y": -1}, {"x": 1}]
)
@pytest.mark.parametrize("chunks", [None, {"a": [3, 2]}, {"x": 5}, {"y": -1, "z": 4}])
def test_dask_arrays_are_written_block_by_block(tmp_path, blocks, chunks):
    ds = xr.Dataset(
        {"a": (("x", "y"), np.random.default_rng(0).normal(size=(10, 7)))}, {"x": np.arange(10)}
    )
    store = there_and_back(tmp_path, ds.chunk(blocks), chunks=chunks)
    xr.testing.assert_identical(store.open_as_xarray_dataset("d").load(), ds)
    found = store.open_dataset("d").array_meta("a")["chunk_shape"]
    if chunks and "a" in chunks:
        assert found == [3, 2]
    elif chunks and "x" in chunks:
        assert found[0] == 5
    elif blocks == {"x": 4, "y": 3} and chunks is None:
        assert found == [4, 3]


def test_writing_needs_little_memory(tmp_path):
    script = """
import resource, sys, dask.array as da, xarray as xr, pyatlas
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
with pyatlas.Atlas.create(sys.argv[1]) as store:
    xr.Dataset({"a": (("t", "x"), da.random.random((8, 250_000), chunks=(2, 250_000)))}).atlas.write(store, "warm")
    before = peak()
    big = da.random.random((400, 250_000), chunks=(2, 250_000))
    xr.Dataset({"a": (("t", "x"), big)}).atlas.write(store, "d")
print(peak() - before, big.nbytes >> 20)
"""
    run = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "s"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    grown, size = map(int, run.stdout.split())
    assert size > 700 and grown < 350, f"{grown} MiB more for {size} MiB"


def test_half_a_dataset_is_not_kept(tmp_path):
    def fail(block):
        raise RuntimeError("midway")

    good = da.ones((4, 4), chunks=2)
    bad = good.map_blocks(fail, dtype=float, meta=np.empty((0, 0)))
    with pyatlas.Atlas.create(tmp_path / "s") as store:
        with pytest.raises(RuntimeError, match="midway"):
            xr.Dataset({"a": (("x", "y"), good), "b": (("x", "y"), bad)}).atlas.write(store, "d")
        assert store.list_datasets() == []
        with pytest.raises(TypeError, match="no dtype for complex128"):
            xr.Dataset({"a": ("x", np.ones(2, complex))}).atlas.write(store, "c")
        with pytest.raises(TypeError, match="objects of Fraction"):
            from fractions import Fraction

            xr.Dataset({"a": ("x", np.array([Fraction(1, 2)]))}).atlas.write(store, "c")
        with pytest.raises(TypeError, match="not JSON-serialisable"):
            xr.Dataset(attrs={"a": object()}).atlas.write(store, "c")
        with pytest.raises(ValueError, match="names that start with `_`"):
            xr.Dataset({"_a": 1}).atlas.write(store, "c")
        with pytest.raises(TypeError, match="expected an xarray.Dataset"):
            store.add_xarray_dataset(np.ones(2), "c")
        xr.Dataset({"a": 1}).atlas.write(store, "kept")
        with pytest.raises(FileExistsError):
            xr.Dataset({"a": 2}).atlas.write(store, "kept")
    assert pyatlas.Atlas.open(tmp_path / "s").list_datasets() == ["kept"]
    assert int(store.open_as_xarray_dataset("kept")["a"]) == 1


def test_fill_values(tmp_path):
    ds = xr.Dataset(
        {
            "n": ("x", np.array([1, 2, 3], "i2")),
            "f": ("x", [1.0, np.nan, 3.0]),
            "t": ("x", np.array(["2000", "NaT", "2001"], "M8[ns]")),
            "w": ("x", np.array(["a", None, ""], object)),
        }
    )
    view = there_and_back(tmp_path, ds).open_dataset("d")
    assert [view.array_fill_value(name) for name in "ntw"] == [None] * 3
    assert np.isnan(view.array_fill_value("f"))
    assert [view.array_stats(name)["null_count"] for name in "nftw"] == [0, 1, 1, 1]
    view = there_and_back(tmp_path, ds, fill_value=2).open_dataset("d")
    assert view.array_fill_value("n") == 2 and view.array_fill_value("f") == 2.0
    assert view.array_stats("n")["null_count"] == 1
    store = there_and_back(tmp_path, ds, fill_value={"n": 3, "f": None, "w": "a"})
    view = store.open_dataset("d")
    assert [view.array_fill_value(name) for name in "nfw"] == [3, None, "a"]
    xr.testing.assert_identical(store.open_as_xarray_dataset("d")["f"], ds["f"])
    # A missing integer is NaN, as xarray has it.
    assert np.isnan(xr.open_dataset(store.location, engine="atlas")["n"].values[2])
    as_stored = xr.open_dataset(store.location, engine="atlas", mask_and_scale=False)
    assert as_stored["n"].values.tolist() == [1, 2, 3]


def test_reads_are_lazy_and_by_outer_indexing(tmp_path):
    data = np.random.default_rng(0).normal(size=(9, 7, 5))
    ds = xr.Dataset({"a": (("x", "y", "z"), data)})
    store = there_and_back(tmp_path, ds, chunks={"a": [2, 3, 5]})
    lazy = xr.open_dataset(store.location, engine="atlas", cache=False)["a"]
    assert (
        isinstance(lazy.variable._data, indexing.LazilyIndexedArray) or not lazy.variable._in_memory
    )
    keys = [
        slice(None),
        slice(2, 6),
        slice(None, None, -1),
        slice(7, 1, -3),
        slice(1, None, 4),
        slice(3, 3),
        0,
        -1,
        [4, 0, 4],
        [0],
        np.array([], int),
        np.array([6, 1]),
        np.int64(2),
    ]
    for x, y, z in itertools.product(keys, keys, [slice(None), slice(4, 0, -2), 3, [1, 1]]):
        if all(isinstance(key, (int, np.integer)) for key in (x, y, z)):
            continue
        found = lazy.isel(x=x, y=y, z=z)
        np.testing.assert_array_equal(
            found.values, ds["a"].isel(x=x, y=y, z=z).values, str((x, y, z))
        )
    points = xr.DataArray([0, 3, 8], dims="p")
    np.testing.assert_array_equal(
        lazy.isel(x=points, y=points // 2), ds["a"].isel(x=points, y=points // 2)
    )


def test_little_is_read_where_little_is_wanted():
    data = np.arange(1000).reshape(100, 10)
    read = []

    def region(start, shape):
        read.append((start, shape))
        return data[start[0] : start[0] + shape[0], start[1] : start[1] + shape[1]]

    found = read_outer(region, (100, 10), (10, 10), data.dtype, (np.array([95, 3, 4]), slice(2, 4)))
    np.testing.assert_array_equal(found, data[[95, 3, 4]][:, 2:4])
    assert sum(shape[0] for _, shape in read) < 20 and len(read) == 2
    read.clear()
    found = read_outer(region, (100, 10), (10, 10), data.dtype, (slice(0, 100, 90), 5))
    np.testing.assert_array_equal(found, data[::90, 5])
    assert sum(np.prod(shape) for _, shape in read) <= 20


def test_chunks_follow_the_store(tmp_path):
    ds = xr.Dataset({"a": (("x", "y"), np.ones((10, 7))), "b": ("y", np.ones(7))})
    store = there_and_back(tmp_path, ds, chunks={"a": [4, 7]})
    opened = xr.open_dataset(store.location, engine="atlas", chunks={})
    assert opened["a"].chunks == ((4, 4, 2), (7,)) and opened["b"].chunks == ((7,),)
    assert store.open_as_xarray_dataset("d")["a"].chunks == ((4, 4, 2), (7,))
    assert store.open_as_xarray_dataset("d")["b"].chunks is None


def test_lazy_arrays_can_be_pickled_and_awaited(tmp_path):
    ds = xr.Dataset({"a": (("x", "y"), np.arange(12.0).reshape(3, 4))})
    store = there_and_back(tmp_path, ds)
    opened = xr.open_dataset(store.location, engine="atlas")
    xr.testing.assert_identical(pickle.loads(pickle.dumps(opened)), ds)
    xr.testing.assert_identical(asyncio.run(opened.load_async()), ds)
    chunked = xr.open_dataset(store.location, engine="atlas", chunks={"x": 1})
    with dask.config.set(
        scheduler="processes", num_workers=2, **{"multiprocessing.context": "spawn"}
    ):
        xr.testing.assert_identical(chunked.compute(), ds)


def test_all_datasets_are_groups(stations):
    tree = xr.open_datatree(stations, engine="atlas")
    assert [name for name in tree.children][:2] == ["d00", "d01"]
    one = xr.open_dataset(stations, engine="atlas", dataset="d01")
    xr.testing.assert_identical(tree["d01"].to_dataset(), one)
    groups = xr.open_groups(stations, engine="atlas")
    assert len(groups) == 13
    xr.testing.assert_identical(groups["/d01"], one)
    xr.testing.assert_identical(xr.open_dataset(stations, engine="atlas", group="d01"), one)
    with pytest.raises(ValueError, match="12 datasets: name one"):
        xr.open_dataset(stations, engine="atlas")
    with pytest.raises(KeyError):
        xr.open_dataset(stations, engine="atlas", dataset="none")
    dropped = xr.open_dataset(stations, engine="atlas", dataset="d01", drop_variables=["depth"])
    assert "depth" not in dropped.variables


def test_stores_are_recognized_without_a_request(tmp_path, stations):
    guess = AtlasBackendEntrypoint().guess_can_open
    assert guess(stations) and guess(pyatlas.Atlas.open(stations))
    for other in (
        "https://example.org/a.nc",
        "s3://bucket/store",
        str(tmp_path),
        "a.nc",
        b"CDF",
        5,
    ):
        assert not guess(other)
    assert xr.open_dataset(stations, dataset="d00").sizes == {"depth": 5, "time": 24}
    with pytest.raises(TypeError):
        xr.open_dataset(pyatlas.Atlas.open(stations), engine="atlas", dataset="d00", generation=1)


def test_imported_datasets_have_values(tmp_path, data, argo):
    with pyatlas.Atlas.create(tmp_path / "s") as store:
        pyatlas.import_files(store, [argo[0], data / "eraint_uvz.nc"])
    opened = xr.open_dataset(store.location, engine="atlas", dataset="eraint_uvz")
    with xr.open_dataset(data / "eraint_uvz.nc") as ds:
        for name in ds.variables:
            np.testing.assert_allclose(opened[name], ds[name], rtol=1e-12)
        assert opened["u"].attrs == {k: v for k, v in ds["u"].attrs.items()}
        assert "scale_factor" in opened["u"].encoding
    opened = xr.open_dataset(store.location, engine="atlas", dataset=argo[0].stem)
    with xr.open_dataset(argo[0]) as ds:
        np.testing.assert_array_equal(opened["TEMP"], ds["TEMP"])
        # Atlas keeps the decimals of days, and xarray rounds them in binary.
        assert abs(opened["JULD"] - ds["JULD"]).values < np.timedelta64(1, "us")
        assert np.isnan(opened["PRES_ADJUSTED"]).all()
        assert opened["DATA_MODE"].item() == ds["DATA_MODE"].item().decode()
        assert opened["TEMP"].attrs["units"] == ds["TEMP"].attrs["units"]


def test_many_datasets_are_opened_as_one(stations):
    store = pyatlas.Atlas.open(stations)
    many = store.open_many(where="station = 's1'")
    assert many["dataset"].values.tolist() == ["d01", "d04", "d07", "d10"]
    assert many["temperature"].dims == ("dataset", "depth", "time")
    assert not many["temperature"].variable._in_memory
    each = [
        xr.open_dataset(stations, engine="atlas", dataset=name) for name in many["dataset"].values
    ]
    expected = xr.concat(
        each, xr.Variable("dataset", many["dataset"].values), data_vars="all", join="exact"
    )
    xr.testing.assert_equal(many, expected.drop_attrs())
    xr.testing.assert_equal(
        many.isel(dataset=[2, 0], time=slice(5, 9)), expected.isel(dataset=[2, 0], time=slice(5, 9))
    )
    one = store.open_many(["d03"], concat_dim="run", variables=["temperature"])
    assert one["temperature"].dims == ("run", "depth", "time")
    eager = store.open_as_many_xarray_dataset(["d01", "d04", "d07", "d10"])
    xr.testing.assert_equal(eager, expected)
    chunked = many.chunk(many["temperature"].encoding["preferred_chunks"])
    assert chunked["temperature"].chunks == ((4,), (2, 2, 1), (8, 8, 8))
    xr.testing.assert_equal(chunked.compute(), expected)
    xr.testing.assert_equal(pickle.loads(pickle.dumps(many)), expected)
    with pytest.raises(TypeError):
        store.open_many()
    with pytest.raises(ValueError, match="no dataset"):
        store.open_many(where="station = 'none'")
    with pytest.raises(KeyError):
        store.open_many(["d00"], variables=["none"])
    with pytest.raises(ValueError, match="already"):
        store.open_many(["d00"], concat_dim="time")


def test_missing_cells_of_many_datasets(tmp_path):
    store = pyatlas.Atlas.create(tmp_path / "s")
    for name, fill in (("a", -9), ("b", -9), ("c", -8), ("d", None)):
        view = store.create_dataset(name)
        view.define_array("n", "int16", ["x"], [3], None, fill)
        view.define_array("w", "string", ["x"], [3], None, None if fill is None else "?")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            view.write_array("n", [0], np.ma.masked_array(np.array([1, 2, -8], "i2"), [0, 1, 0]))
        view.write_array("w", [0], np.array(["u", None, "?"], object))
    store.flush()
    same = store.open_many(["a", "b"])
    np.testing.assert_array_equal(same["n"], [[1, np.nan, -8]] * 2)
    assert same["w"].isnull().values.tolist() == [[False, True, True]] * 2
    mixed = store.open_many(["a", "c", "d"])
    np.testing.assert_array_equal(
        mixed["n"], [[1, np.nan, -8], [1, np.nan, np.nan], [1, np.nan, -8]]
    )
    assert mixed["w"].isnull().values.tolist()[2] == [False, True, False]
    opened = xr.open_dataset(store.location, engine="atlas", dataset="c")
    np.testing.assert_array_equal(opened["n"], [1, np.nan, np.nan])


def test_datasets_that_differ_are_not_stacked(tmp_path):
    with pyatlas.Atlas.create(tmp_path / "s") as store:
        xr.Dataset({"a": ("x", [1.0, 2])}, {"x": [0, 1], "height": 2.0}).atlas.write(store, "a")
        xr.Dataset({"a": ("x", [3.0, 4])}, {"x": [0, 1], "height": 3.0}).atlas.write(store, "b")
        xr.Dataset({"a": ("x", [3.0, 4])}, {"x": [0, 5], "height": 3.0}).atlas.write(store, "c")
        xr.Dataset({"a": ("x", [3.0])}, {"x": [0]}).atlas.write(store, "d")
    assert store.open_many(["a", "b"])["height"].values.tolist() == [2.0, 3.0]
    with pytest.raises(ValueError, match="coordinate 'x' differs"):
        store.open_many(["a", "c"])
    with pytest.raises(ValueError, match="of dataset 'd'"):
        store.open_many(["a", "d"])


def test_the_accessor_comes_with_whichever_is_imported_first():
    for first, second in (("pyatlas", "xarray"), ("xarray", "pyatlas")):
        script = f"import {first}, {second}; print(xarray.Dataset().atlas.write.__doc__)"
        with warnings.catch_warnings():
            run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert "Add this dataset to a store" in run.stdout, run.stderr
