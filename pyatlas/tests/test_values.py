"""Values between NumPy and stores, and what is refused."""

import datetime

import numpy as np
import pyarrow as pa
import pyatlas
import pytest


@pytest.fixture
def view():
    return pyatlas.Atlas.create(
        "memory:///values-" + str(np.random.default_rng().integers(2**60))
    ).create_dataset("d")


DTYPES = [
    "bool",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    "float32",
    "float64",
]


def random(dtype, shape):
    bits = np.random.default_rng(1).integers(0, 256, (*shape, 8), dtype=np.uint8)
    if dtype == "bool":
        return bits[..., 0] % 2 == 0
    if dtype.startswith("float"):
        return np.random.default_rng(1).normal(size=shape).astype(dtype)
    return np.ascontiguousarray(bits).view(dtype)[..., 0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "layout", ["C", "F", "strided", "reversed", "transposed", "swapped", "read-only"]
)
def test_every_dtype_and_layout_comes_back(view, dtype, layout):
    data = random(dtype, (6, 8))
    given = {
        "C": lambda: data,
        "F": lambda: np.asfortranarray(data),
        "strided": lambda: np.repeat(data, 2, 1)[:, ::2],
        "reversed": lambda: data[::-1].copy()[::-1],
        "transposed": lambda: data.T.copy().T,
        "swapped": lambda: data.astype(data.dtype.newbyteorder()),
        "read-only": lambda: np.frombuffer(data.tobytes(), data.dtype).reshape(data.shape),
    }[layout]()
    view.define_array("a", dtype, ["y", "x"], data.shape, [4, 3])
    view.write_array("a", [0, 0], given)
    back = view.read_array("a")
    assert back.dtype == data.dtype and back.flags.writeable
    np.testing.assert_array_equal(back, data)
    np.testing.assert_array_equal(view.read_array("a", [1, 2], [3, 5]), data[1:4, 2:7])


def test_what_was_written_is_not_changed_by_the_writer_later(view):
    data = np.arange(6.0)
    view.define_array("a", "float64", ["x"], [12], [12])
    view.write_array("a", [0], data)
    data[:] = -1
    np.testing.assert_array_equal(view.read_array("a", [0], [6]), np.arange(6.0))


@pytest.mark.parametrize(
    "unit", ["Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "7D", "90s", "25us"]
)
def test_instants_of_every_unit_come_back(view, unit):
    days = np.arange("1969-11-01", "1972-03-01", 13, dtype="M8[D]")
    data = np.concatenate([days.astype(f"M8[{unit}]"), [np.datetime64("NaT")]])
    view.define_array("t", "timestamp_nanoseconds", ["x"], data.shape)
    view.write_array("t", [0], data)
    np.testing.assert_array_equal(view.read_array("t"), data.astype("M8[ns]"))


def test_instants_finer_than_nanoseconds_are_exact_or_refused(view):
    view.define_array("t", "timestamp_nanoseconds", ["x"], [1])
    view.write_array("t", [0], np.array([5000], "M8[ps]"))
    assert view.read_array("t")[0] == np.datetime64(5, "ns")
    with pytest.raises(ValueError, match="no whole number of nanoseconds"):
        view.write_array("t", [0], np.array([5001], "M8[ps]"))


@pytest.mark.parametrize(
    "instant", ["1500-01-01", "2300-01-01", "1677-09-21T00:12:43", "2262-04-11T23:47:17"]
)
def test_instants_out_of_range_are_refused(view, instant):
    view.define_array("t", "timestamp_nanoseconds", ["x"], [1])
    with pytest.raises(ValueError, match="between 1677-09-21 and 2262-04-11"):
        view.write_array("t", [0], np.array([instant], "M8[s]"))
    assert np.isnat(view.read_array("t")[0])


def test_texts_come_back_as_objects(view):
    words = ["", "a", "ü€😀", "with\nlines", "x" * 5000]
    forms = {
        "objects": np.array(words, object),
        "fixed": np.array(words),
        "bytes": np.array([word.encode() for word in words]),
        "bytes_objects": np.array([word.encode() for word in words], object),
    }
    if hasattr(np.dtypes, "StringDType"):
        forms["variable"] = np.array(words, np.dtypes.StringDType())
    for name, array in forms.items():
        view.define_array(name, "string", ["w"], [len(words)])
        view.write_array(name, [0], array)
        back = view.read_array(name)
        assert back.dtype == object and back.tolist() == words, name
    with pytest.raises(ValueError, match="no UTF-8"):
        view.write_array("bytes", [0], np.array([b"\xff"] * 5))
    with pytest.raises(TypeError, match="str or bytes, got int"):
        view.write_array("objects", [0], np.array([1] * 5, object))


def test_bytes_come_back(view):
    data = np.array([b"", b"\x00\xff\x00", None, bytearray(b"ab")], object)
    view.define_array("b", "binary", ["x"], [4])
    view.write_array("b", [0], data)
    assert view.read_array("b").tolist() == [b"", b"\x00\xff\x00", b"", b"ab"]
    assert view.read_array("b", masked=True).mask.tolist() == [False, False, True, False]
    with pytest.raises(TypeError, match="must be bytes"):
        view.write_array("b", [0], np.array(["text"], object))


def test_missing_cells_are_the_fill_value_or_masked_or_null(view):
    view.define_array("a", "int16", ["x"], [5], fill_value=-9)
    view.write_array("a", [0], np.ma.masked_array(np.arange(4, dtype="i2"), [0, 1, 0, 1]))
    assert view.read_array("a").tolist() == [0, -9, 2, -9, -9]
    masked = view.read_array("a", masked=True)
    assert masked.mask.tolist() == [False, True, False, True, True]
    assert masked.fill_value == -9 and masked.dtype == np.int16
    assert pa.array(view.read_array("a", arrow=True)).to_pylist() == [0, None, 2, None, None]
    with pytest.raises(ValueError, match="not both"):
        view.read_array("a", masked=True, arrow=True)
    # A value that equals the fill value is missing too.
    view.write_array("a", [0], np.array([-9], "i2"))
    assert view.array_stats("a")["null_count"] == 4


def test_none_is_missing_in_arrays_of_objects(view):
    view.define_array("a", "int8", ["x"], [3], fill_value=0)
    view.write_array("a", [0], np.array([1, None, 3], object))
    assert view.read_array("a", masked=True).tolist() == [1, None, 3]
    with pytest.raises(OverflowError):
        view.write_array("a", [0], np.array([1, None, 300], object))
    with pytest.raises(TypeError):
        view.write_array("a", [0], np.array([1.5, None, 3], object))


def test_missing_numbers_without_a_fill_value_are_told(view):
    view.define_array("a", "float32", ["x"], [2])
    with pytest.warns(UserWarning, match="has no fill value"):
        view.write_array("a", [0], np.ma.masked_array(np.ones(2, "f4"), [0, 1]))
    assert view.read_array("a", masked=True).tolist() == [1.0, None]


def test_masked_instants_are_nat(view):
    view.define_array("t", "timestamp_nanoseconds", ["x"], [2])
    view.write_array("t", [0], np.ma.masked_array(np.array(["2020", "2021"], "M8[Y]"), [1, 0]))
    assert np.isnat(view.read_array("t")).tolist() == [True, False]


@pytest.mark.parametrize(
    "data",
    [
        np.ones(3),
        np.ones(3, "i4"),
        np.ones(3, complex),
        np.array(["a"] * 3),
        [1.0, 2.0, 3.0],
        1.0,
        None,
    ],
)
def test_data_of_another_dtype_are_refused(view, data):
    view.define_array("a", "float32", ["x"], [3])
    with pytest.raises(TypeError, match="expected a numpy ndarray with dtype float32"):
        view.write_array("a", [0], data)


@pytest.mark.parametrize(
    "start, shape", [([2], [2]), ([4], [1]), ([0, 0], [1, 1]), ([0], [5]), ([1], [])]
)
def test_regions_outside_are_refused(view, start, shape):
    view.define_array("a", "float32", ["x"], [3])
    with pytest.raises(ValueError, match="does not lie in its shape"):
        view.read_array("a", start, shape)


def test_scalars_and_empty_arrays(view):
    view.define_array("s", "float64", [], [])
    view.write_array("s", [], np.float64(2.5))
    assert view.read_array("s").shape == () and view.read_array("s") == 2.5
    view.define_array("e", "int32", ["z", "x"], [0, 3])
    assert view.read_array("e").shape == (0, 3)


def test_attributes_come_back(view):
    values = {
        "int": 5,
        "large": 2**64 - 1,
        "small": -(2**63),
        "float": 0.1,
        "nan": float("nan"),
        "text": "ü",
        "bool": True,
        "bytes": b"\x00\x01",
        "ints": [1, 2],
        "floats": [1.5, 2.0],
        "mixed": [1, 2.5],
        "texts": ["a", "b"],
        "none": [],
    }
    for key, value in values.items():
        view.set_attribute(key, value)
    assert str(view.attributes()) == str(values | {"mixed": [1.0, 2.5]})
    view.define_array("a", "int8", ["x"], [1])
    view.set_array_attribute("a", "units", "K")
    assert view.array_attributes("a") == {"units": "K"}
    assert view.get_array_attribute("a", "units") == "K"
    view.remove_array_attribute("a", "units")
    view.remove_attribute("int")
    assert view.array_attributes("a") == {} and view.get_attribute("int") is None
    with pytest.raises(KeyError):
        view.remove_attribute("int")
    for wrong in (None, {"a": 1}, [1, "a"], [[1]], datetime.date(2020, 1, 1), np.ones((2, 2))):
        with pytest.raises(ValueError):
            view.set_attribute("x", wrong)
    with pytest.raises(OverflowError):
        view.set_attribute("x", 2**64)


def test_numpy_attributes(view):
    view.set_attribute("a", np.array([1, 2], "i4"))
    view.set_attribute("b", np.float32(0.5))
    view.set_attribute("c", np.datetime64("1970-01-01T00:00:01"))
    view.set_attribute("d", np.array([], "f8"))
    assert view.attributes() == {"a": [1, 2], "b": 0.5, "c": 10**9, "d": []}
