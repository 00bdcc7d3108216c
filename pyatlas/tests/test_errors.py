"""Each exception is a built-in one too."""

import numpy as np
import pyatlas
import pytest

BUILTINS = {
    "AccessError": PermissionError,
    "Conflict": RuntimeError,
    "DTypeError": TypeError,
    "DamagedError": OSError,
    "ExistsError": FileExistsError,
    "InternalError": RuntimeError,
    "InvalidError": ValueError,
    "LocationError": FileNotFoundError,
    "NotFoundError": KeyError,
    "QueryError": ValueError,
    "StateError": RuntimeError,
    "StorageError": OSError,
    "TooLargeError": MemoryError,
}


def test_exceptions_have_two_parents_and_plain_messages():
    named = {name for name in pyatlas.__all__ if name.endswith(("Error", "Conflict"))}
    assert named == BUILTINS.keys() | {"AtlasError"}
    for name, builtin in BUILTINS.items():
        kind = getattr(pyatlas, name)
        assert issubclass(kind, builtin) and issubclass(kind, pyatlas.AtlasError)
        assert kind.__module__ == "pyatlas" and kind.__doc__
        assert str(kind("there is none")) == "there is none"


def test_what_raises_what(tmp_path):
    store = pyatlas.Atlas.create(tmp_path / "s")
    view = store.create_dataset("d")
    view.define_array("a", "int8", ["x"], [2])
    store.flush()
    cases = [
        (KeyError, "NotFoundError", lambda: store.open_dataset("e")),
        (KeyError, "NotFoundError", lambda: view.array_attributes("b")),
        (KeyError, "NotFoundError", lambda: view.extend("z", 3)),
        (KeyError, "NotFoundError", lambda: store.table("none")),
        (FileExistsError, "ExistsError", lambda: store.create_dataset("d")),
        (FileExistsError, "ExistsError", lambda: pyatlas.Atlas.create(tmp_path / "s")),
        (FileNotFoundError, "LocationError", lambda: pyatlas.Atlas.open(tmp_path / "t")),
        (
            FileNotFoundError,
            "LocationError",
            lambda: pyatlas.Atlas.open(tmp_path / "s", generation=9),
        ),
        (
            FileNotFoundError,
            "LocationError",
            lambda: pyatlas.import_files(store, [tmp_path / "no.nc"]),
        ),
        (ValueError, "InvalidError", lambda: view.extend("x", 1)),
        (ValueError, "InvalidError", lambda: pyatlas.Atlas.create("what://x")),
        (
            ValueError,
            "InvalidError",
            lambda: pyatlas.Atlas.open(tmp_path / "s", storage_options={"region": "r"}),
        ),
        (TypeError, "DTypeError", lambda: pyatlas.Atlas.open(5)),
        (TypeError, "DTypeError", lambda: view.write_array("a", [0], np.ones(2))),
        (ValueError, "QueryError", lambda: store.sql("SELECT nothing FROM atlas")),
        (ValueError, "QueryError", lambda: store.sql("SELECT 1/0").fetchall()),
    ]
    for builtin, name, action in cases:
        with pytest.raises(builtin) as error:
            action()
        assert type(error.value).__name__ == name, str(error.value)


def test_a_damaged_store_is_told(tmp_path):
    with pyatlas.Atlas.create(tmp_path / "s") as store:
        store.create_dataset("d")
    (tmp_path / "s" / "atlas.json").write_text("{")
    with pytest.raises(OSError, match="damaged") as error:
        pyatlas.Atlas.open(tmp_path / "s")
    assert isinstance(error.value, pyatlas.DamagedError)


def test_conflicts_keep_what_is_pending(tmp_path):
    with pyatlas.Atlas.create(tmp_path / "s") as store:
        view = store.create_dataset("d")
        view.define_array("a", "int8", ["x"], [2])
    other = pyatlas.Atlas.open(tmp_path / "s")
    other.open_dataset("d").write_array("a", [0], np.array([1, 1], "i1"))
    view.write_array("a", [0], np.array([2, 2], "i1"))
    store.flush()
    with pytest.raises(pyatlas.Conflict, match="array `a` of dataset `d`"):
        other.flush()
    assert other.has_pending
    other.refresh()
    assert other.open_dataset("d").read_array("a").tolist() == [2, 2]


def test_mistakes_in_queries_are_explained():
    store = pyatlas.Atlas.create("memory:///explained")
    store.flush()
    with pytest.raises(pyatlas.QueryError, match="there is no table `none`"):
        store.sql("SELECT * FROM none")
    deep = "SELECT " + "(" * 5000 + "1" + ")" * 5000
    with pytest.raises(pyatlas.QueryError):
        store.sql(deep)
    with pytest.raises(pyatlas.QueryError, match="2000 operators"):
        store.sql("SELECT " + " + ".join(["1"] * 100_000))
