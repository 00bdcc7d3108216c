"""The life of a store."""

import datetime
import pickle

import numpy as np
import pyatlas
import pytest
from conftest import write_stations


def test_nothing_is_written_before_a_flush(tmp_path):
    store = pyatlas.Atlas.create(tmp_path / "s")
    write_stations(store, 1)
    assert store.has_pending and store.list_datasets() == ["d00"]
    with pytest.raises(FileNotFoundError):
        pyatlas.Atlas.open(tmp_path / "s")
    store.flush()
    assert not store.has_pending and store.generation == 1
    assert pyatlas.Atlas.open(tmp_path / "s").list_datasets() == ["d00"]


def test_an_exception_in_a_with_block_writes_nothing(tmp_path):
    with pyatlas.Atlas.create(tmp_path / "s") as store:
        write_stations(store, 1)
    before = sorted(path for path in (tmp_path / "s").rglob("*"))
    with pytest.raises(RuntimeError, match="midway"), pyatlas.Atlas.open(tmp_path / "s") as store:
        store.delete_dataset("d00")
        write_stations(store, 4)
        raise RuntimeError("midway")
    assert store.list_datasets() == ["d00"] and not store.has_pending
    assert sorted(path for path in (tmp_path / "s").rglob("*")) == before
    assert store.verify()["problems"] == []
    with pytest.raises(KeyError), pyatlas.Atlas.create(tmp_path / "t") as store:
        store.create_dataset("d")
        store.open_dataset("e")
    with pytest.raises(FileNotFoundError):
        pyatlas.Atlas.open(tmp_path / "t")


def test_generations_stay_readable(tmp_path):
    with pyatlas.Atlas.create(tmp_path / "s", codec="lz4") as store:
        write_stations(store, 2)
    store.rename_dataset("d01", "renamed")
    store.flush()
    view = store.open_dataset("d00")
    view.extend("time", 30)
    view.delete_array("depth")
    store.flush()
    assert store.list_datasets() == ["d00", "renamed"]
    assert view.array_meta("temperature")["shape"] == [5, 30]
    assert np.isnan(view.read_array("temperature", [0, 24])).all()
    first = pyatlas.Atlas.open(tmp_path / "s", generation=1)
    assert first.list_datasets() == ["d00", "d01"] and first.generation == 1
    log = store.log()
    assert [commit["generation"] for commit in log] == [3, 2, 1]
    assert log[0]["operation"] == "write" and log[0]["datasets"] == 2
    age = np.datetime64("now") - log[0]["committed"]
    assert abs(age) < np.timedelta64(1, "h")


def test_compaction_and_vacuum_keep_what_is_current(tmp_path):
    store = pyatlas.Atlas.create(tmp_path / "s")
    for i in range(3):
        view = store.create_dataset(f"d{i}")
        view.define_array("a", "int32", ["x"], [4])
        view.write_array("a", [0], np.arange(4, dtype="i4") + i)
        store.flush()
    store.compact(["a"])
    with pytest.raises(KeyError):
        store.compact(["b"])
    removed = store.vacuum(datetime.timedelta(0))
    assert removed["generations"] and removed["files"]
    assert store.vacuum() == {"files": [], "generations": []}
    verified = store.verify()
    assert verified["problems"] == [] and verified["segments"] == 1 and verified["chunks"] == 3
    assert store.read_array_across_stacked("a", ["d0", "d2"]).tolist() == [
        [0, 1, 2, 3],
        [2, 3, 4, 5],
    ]


def test_attributes_of_the_store(tmp_path):
    with pyatlas.Atlas.create(tmp_path / "s") as store:
        store.set_attribute("title", "stations")
    store = pyatlas.Atlas.open(tmp_path / "s")
    assert store.attributes() == {"title": "stations"} and store.get_attribute("none") is None


def test_discard_forgets(tmp_path):
    with pyatlas.Atlas.create(tmp_path / "s") as store:
        write_stations(store, 1)
    store.delete_dataset("d00")
    assert not store.dataset_exists("d00")
    store.discard()
    assert store.dataset_exists("d00")


def test_stores_show_themselves(stations):
    store = pyatlas.Atlas.open(stations)
    html = store._repr_html_()
    assert "temperature" in html and "degC" in html and "12 datasets" in html
    assert store.location.endswith("store")


def test_handles_are_pickled_with_their_generation(tmp_path):
    with pyatlas.Atlas.create(tmp_path / "s") as store:
        write_stations(store, 2)
    view = store.open_dataset("d01")
    pickled = pickle.dumps((store, view))
    store.delete_dataset("d01")
    with pytest.raises(pyatlas.StateError, match="pending"):
        pickle.dumps(store)
    store.flush()
    then, same = pickle.loads(pickled)
    assert then.list_datasets() == ["d00", "d01"] and then.generation == 1
    np.testing.assert_array_equal(
        same.read_array("time"), store.open_dataset("d00").read_array("time")
    )
    with pytest.raises(pyatlas.StateError):
        pickle.dumps(pyatlas.Atlas.create(tmp_path / "t"))


def test_reads_of_a_part_across_datasets(tmp_path):
    store = pyatlas.Atlas.create(tmp_path / "s")
    for name, size in (("a", 3), ("b", 5)):
        view = store.create_dataset(name)
        view.define_array("v", "int8", ["x"], [size])
        view.write_array("v", [0], np.arange(size, dtype="i1"))
    tails = store.read_array_across("v", ["a", "b", "c"], start=[2])
    assert [None if tail is None else tail.tolist() for tail in tails] == [[2], [2, 3, 4], None]
    with pytest.raises(ValueError, match="shape"):
        store.read_array_across_stacked("v", ["a", "b"])
    view.define_array("w", "float32", ["y"], [1])
    assert store.read_array_across("w", ["a", "b"])[0] is None
    assert store.read_array_across("w", ["a"]) == [None]
