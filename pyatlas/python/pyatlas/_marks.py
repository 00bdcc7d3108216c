"""Properties of xarray variables that arrays of a store lack, as JSON in their attribute `_xarray`.

The mark contains only values that differ from a reader's assumptions, and nothing that differs from
file to file, so that similar datasets share the description of their arrays. The parts of a mark:

coordinate
    True for a coordinate that is not named after its only dimension.
dtype
    NumPy's name of the dtype, if the store does not have it: ``<U8``, ``<M8[s]``, ``<m8[ns]``; or
    ``bytes``, for objects.
raw
    True if the values are as in a file, so that their attributes still say how to decode them
    (``scale_factor``, ``units = "days since …"``).
cftime
    True for `cftime` objects, which are stored as numbers with units and a calendar.
attrs
    The dtypes of attributes with NumPy dtypes.
encoding
    The encoding.
dataset
    Only in the first array: the dtypes of the dataset's attributes, and unlimited dimensions.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

KEY = "_xarray"
_JSON = "json:"

# Attributes that decode a file's numbers. A store has decoded values.
PACKING = ("_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned")
TIMES = ("units", "calendar")

# Parts of an encoding that describe the original file.
_OF_THE_FILE = frozenset({"source", "preferred_chunks"})


def utf8(text: str) -> str:
    """A text without the lone surrogates by which Python represents undecodable bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="surrogateescape").decode(errors="replace")
    return text


def attribute_to_store(value: Any) -> tuple[Any, str | None]:
    """An attribute as the store has it, and the name of its dtype if that is a NumPy dtype.

    Raises
    ------
    TypeError
        If neither the store nor JSON can hold the value.
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
    """An encoding as JSON, without its parts about the file and the shape."""
    kept = {key: value for key, value in encoding.items() if key not in _OF_THE_FILE}
    if tuple(kept.get("original_shape") or ()) == shape:
        kept.pop("original_shape", None)
    found = {}
    for key, value in kept.items():
        try:
            json.dumps(as_json := _to_json(value))
        except (TypeError, ValueError):
            # For example, a codec of another library, which xarray does not need.
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
    """The mark of an array with these attributes; empty if there is none."""
    mark = attributes.get(KEY)
    return json.loads(mark) if isinstance(mark, str) else {}
