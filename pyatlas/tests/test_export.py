"""Datasets as the files that they were imported from, and joined files, by xarray."""

import numpy as np
import pyatlas
import pytest
import xarray as xr

netcdf4 = pytest.importorskip("netCDF4")


def assert_same(one, two):
    for options in ({}, {"decode_times": False}, {"decode_cf": False}):
        with (
            xr.open_dataset(one, engine="netcdf4", **options) as a,
            xr.open_dataset(two, engine="netcdf4", **options) as b,
        ):
            xr.testing.assert_identical(a.load(), b.load())
            assert {name: v.dtype for name, v in a.variables.items()} == {
                name: v.dtype for name, v in b.variables.items()
            }


def test_files_come_back(tmp_path, data, argo):
    files = [*argo[::60], *sorted(data.glob("*.nc"))]
    store = pyatlas.Atlas.create(tmp_path / "s")
    pyatlas.import_files(store, files)
    for file in files:
        store.export(file.stem, tmp_path / "again.nc")
        assert_same(file, tmp_path / "again.nc")
    with pytest.raises(pyatlas.NotFoundError):
        store.export("none", tmp_path / "again.nc")


@pytest.mark.parametrize("model", ["NETCDF3_CLASSIC", "NETCDF4"])
def test_packed_numbers_times_text_and_fills_come_back(tmp_path, model):
    path = tmp_path / "f.nc"
    with netcdf4.Dataset(path, "w", format=model) as file:
        file.createDimension("time", None)
        file.createDimension("n", 3)
        file.createDimension("length", 6)
        file.title = "a title"
        file.numbers = np.array([1, 2], "i2")
        file.ratio = np.float32(0.1)
        times = file.createVariable("time", "f8", ("time",))
        times.units, times.calendar = "days since 1950-01-01", "standard"
        times[:] = [20000.5, 20001.041666666668, 1e9]
        packed = file.createVariable("packed", "i2", ("time", "n"), fill_value=-32768)
        packed.scale_factor, packed.add_offset = 0.0017, 273.15
        packed.missing_value = np.int16(-32767)
        packed.set_auto_maskandscale(False)
        packed[:] = [[-32768, -32767, 0], [1, 32767, -5], [7, 8, 9]]
        floats = file.createVariable("floats", "f4", ("n",), fill_value=np.float32(1e20))
        floats[:] = [1e20, np.nan, 0.1]
        unwritten = file.createVariable("unwritten", "i4", ("n",))
        unwritten[0] = 5
        text = file.createVariable("text", "S1", ("n", "length"))
        text[:] = np.array([list("ab    "), list("cd\0\0\0\0"), list("abcdef")], "S1")
    store = pyatlas.Atlas.create(tmp_path / "s")
    pyatlas.import_files(store, [path])
    store.export("f", tmp_path / "again.nc")
    # One time is none that a timestamp can be.
    for options in ({"decode_times": False}, {"decode_cf": False}):
        with (
            xr.open_dataset(path, **options) as a,
            xr.open_dataset(tmp_path / "again.nc", **options) as b,
        ):
            xr.testing.assert_identical(a.load(), b.load())
    with netcdf4.Dataset(path) as a, netcdf4.Dataset(tmp_path / "again.nc") as b:
        assert a.data_model == b.data_model and b.dimensions["time"].isunlimited()
        assert b.numbers.dtype == "i2" and b.ratio.dtype == "f4"
        assert b["packed"].add_offset.dtype == a["packed"].add_offset.dtype


def test_joined_files_are_those_of_open_mfdataset(tmp_path):
    days = tmp_path / "days"
    days.mkdir()
    generator = np.random.default_rng(16)
    # One missing, one out of order by its name.
    for number, day in enumerate([2, 0, 1, 4, 5]):
        times = np.datetime64("2024-02-27", "ns") + (day * 24 + np.arange(24)) * np.timedelta64(1, "h")
        t2m = xr.DataArray(
            generator.normal(280, 5, (24, 4, 6)).astype("f4"),
            dims=("time", "lat", "lon"),
            attrs={"units": "K"},
        )
        coords = {"time": times, "lat": np.linspace(60, 50, 4), "lon": np.arange(6.0)}
        xr.Dataset({"t2m": t2m}, coords).to_netcdf(days / f"era_{number}.nc")
    store = pyatlas.Atlas.create(tmp_path / "s")
    report = pyatlas.import_files(store, [days], concat="time", dataset_from="{name}_*.nc")
    ((name, files, extended, remarks),) = report["joined"]
    assert (name, files, extended, len(remarks)) == ("era", 5, False, 1)
    expected = xr.open_mfdataset(str(days / "*.nc"), combine="by_coords").load()
    found = xr.open_dataset(store, engine="atlas", dataset="era").load()
    xr.testing.assert_equal(found, expected)
    store.export("era", tmp_path / "era.nc")
    with xr.open_dataset(tmp_path / "era.nc") as exported:
        xr.testing.assert_equal(exported, expected)
    # One day twice, where open_mfdataset gives up.
    (days / "era_9.nc").write_bytes((days / "era_0.nc").read_bytes())
    report = pyatlas.import_files(
        store, [days], existing="update", concat="time", dataset_from="{name}_*.nc"
    )
    assert "24 of its 24" in report["joined"][0][3][0]
    xr.testing.assert_equal(
        xr.open_dataset(store, engine="atlas", dataset="era").load(), expected
    )


def test_directories_are_updated(tmp_path, argo):
    here = tmp_path / "profiles"
    here.mkdir()
    for path in argo[:5]:
        (here / path.name).write_bytes(path.read_bytes())
    store = pyatlas.Atlas.create(tmp_path / "s")
    update = {"existing": "update", "skip_errors": True}
    assert pyatlas.import_files(store, [here], **update)["imported"] == 5
    (here / argo[5].name).write_bytes(argo[5].read_bytes())
    (here / argo[0].name).write_bytes(argo[6].read_bytes())
    planned = pyatlas.import_files(store, [here], dry_run=True, **update)["planned"]
    assert {(name, replaces) for _, name, replaces in planned} == {
        (argo[0].stem, True),
        (argo[5].stem, False),
    }
    report = pyatlas.import_files(store, [here], **update)
    assert (report["imported"], report["replaced"], report["unchanged"]) == (2, 1, 4)
    with pytest.raises(ValueError):
        pyatlas.import_files(store, [here], existing="what")
    with pytest.raises(ValueError, match="together"):
        pyatlas.import_files(store, [here], concat="time")
