"""What xarray knows of a variable and the arrays of a store do not: kept as JSON in their attribute
`_xarray`.

Only what differs from what a reader would assume is written, and nothing that differs from file to
file: datasets that look alike share the description of their arrays. The parts of a mark:

coordinate
    True for a coordinate that is not named after its only dimension.
dtype
    NumPy's name of the dtype, where the store has none such: ``<U8``, ``<M8[s]``, ``<m8[ns]``; or
    ``bytes``, of objects.
raw
    True where the values are as a file has them, so that their attributes still say how to decode
    them (``scale_factor``, ``units = "days since …"``).
cftime
    True for `cftime` objects, which are stored as numbers with units and a calendar.
attrs
    The dtypes of attributes that are NumPy's.
encoding
    The encoding.
dataset
    Of the first array only: the dtypes of the attributes of the dataset, and unlimited dimensions.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

KEY = "_xarray"
_JSON = "json:"

# Attributes by which a file's numbers become values. In a store, values are values.
PACKING = ("_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned")
TIMES = ("units", "calendar")

# Parts of an encoding that tell of the file that was read.
_OF_THE_FILE = frozenset({"source", "preferred_chunks"})


def utf8(text: str) -> str:
    """A text without the lone surrogates in which Python keeps bytes that it could not decode."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="surrogateescape").decode(errors="replace")
    return text


def attribute_to_store(value: Any) -> tuple[Any, str | None]:
    """An attribute as a store has it, and the name of its dtype where that is NumPy's.

    Raises
    ------
    TypeError
        Where neither the store nor JSON has such a value.
    """
    if isinstance(value, str):
        text = utf8(value)
        return (_JSON + json.dumps(text) if text.startswith(_JSON) else text), None
    if isinstance(value, np.datetime64):
        return np.datetime64(value, "ns"), value.dtype.str
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return value.item(), value.dtype.str
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "biufU":
        return value.tolist(), value.dtype.str + "[]"
    if isinstance(value, (bool, int, float, bytes)) and _is_narrow(value):
        return value, None
    if isinstance(value, (list, tuple)) and _is_alike(value):
        return list(value), "tuple" if isinstance(value, tuple) else None
    if isinstance(value, np.ndarray):
        value = value.tolist()
    try:
        return _JSON + json.dumps(value), None
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"attribute value of type {type(value).__name__} is not JSON-serialisable and cannot "
            f"be stored: {value!r}"
        ) from error


def _is_narrow(value: Any) -> bool:
    return not isinstance(value, int) or -(2**63) <= value < 2**64


def _is_alike(values: Any) -> bool:
    kinds = {type(value) for value in values}
    return len(kinds) <= 1 and kinds <= {bool, int, float, str} and all(map(_is_narrow, values))


def attribute_from_store(value: Any, dtype: str | None) -> Any:
    """The inverse of `attribute_to_store`."""
    if isinstance(value, str) and value.startswith(_JSON):
        return json.loads(value[len(_JSON) :])
    if dtype is None:
        return value
    if dtype == "tuple":
        return tuple(value)
    if dtype.endswith("[]"):
        return np.array(value, dtype[:-2])
    if np.dtype(dtype).kind == "M":
        return np.datetime64(value, "ns").astype(dtype)
    return np.dtype(dtype).type(value)


def attributes_from_store(attributes: dict[str, Any], dtypes: dict[str, str]) -> dict[str, Any]:
    return {
        key: attribute_from_store(value, dtypes.get(key))
        for key, value in attributes.items()
        if key != KEY
    }


def encoding_to_json(encoding: dict[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """An encoding as JSON has it, without what it says of the file or of the shape."""
    kept = {key: value for key, value in encoding.items() if key not in _OF_THE_FILE}
    if tuple(kept.get("original_shape") or ()) == shape:
        kept.pop("original_shape", None)
    found = {}
    for key, value in kept.items():
        try:
            json.dumps(as_json := _to_json(value))
        except (TypeError, ValueError):
            # A codec of another library, say: xarray does without.
            continue
        found[str(key)] = as_json
    return found


def _to_json(value: Any) -> Any:
    if isinstance(value, np.dtype):
        return {"dtype": value.str}
    if isinstance(value, type) and issubclass(value, (str, bytes)):
        return {"type": value.__name__}
    if isinstance(value, np.ndarray):
        return {"array": [value.dtype.str, _to_json(value.tolist())]}
    if isinstance(value, np.generic):
        return {"scalar": [value.dtype.str, _to_json(value.item())]}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, tuple):
        return {"tuple": [_to_json(item) for item in value]}
    if isinstance(value, (set, frozenset)):
        return {"set": sorted(_to_json(item) for item in value)}
    if isinstance(value, list):
        return [_to_json(item) for item in value]
    if isinstance(value, dict):
        return {"dict": {key: _to_json(item) for key, item in value.items()}}
    return value


def encoding_from_json(encoding: dict[str, Any]) -> dict[str, Any]:
    return {key: _from_json(value) for key, value in encoding.items()}


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    match kind:
        case "dtype":
            return np.dtype(inner)
        case "type":
            return {"str": str, "bytes": bytes}[inner]
        case "array":
            return np.array(_from_json(inner[1]), inner[0])
        case "scalar":
            return np.dtype(inner[0]).type(_from_json(inner[1]))
        case "bytes":
            return bytes.fromhex(inner)
        case "tuple":
            return tuple(_from_json(item) for item in inner)
        case "set":
            return {_from_json(item) for item in inner}
        case _:
            return {key: _from_json(item) for key, item in inner.items()}


def dumps(mark: dict[str, Any]) -> str:
    return json.dumps(mark, sort_keys=True, separators=(",", ":"))


def of_array(attributes: dict[str, Any]) -> dict[str, Any]:
    """The mark of an array, which has these attributes; empty where it has none."""
    mark = attributes.get(KEY)
    return json.loads(mark) if isinstance(mark, str) else {}
