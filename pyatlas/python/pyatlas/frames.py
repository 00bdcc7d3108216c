"""Results of queries as frames and datasets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Columns = dict[str, tuple[np.ndarray, np.ndarray | None]]


def to_pandas(table: Any) -> Any:
    """An Arrow table as a pandas data frame, whose columns use the memory of NumPy or Arrow."""
    import pandas as pd
    import pyarrow as pa

    def cast(field: Any) -> Any:
        # pandas has neither string views nor dictionaries of strings.
        dtype = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if pa.types.is_string_view(dtype) or pa.types.is_string(dtype):
            return field.with_type(pa.large_string())
        if pa.types.is_binary_view(dtype):
            return field.with_type(pa.large_binary())
        return field.with_type(dtype)

    frame = table.cast(pa.schema([cast(field) for field in table.schema]))
    return frame.to_pandas() if frame.num_columns else pd.DataFrame(index=range(frame.num_rows))


def _masked(values: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """The values of a column, with NaN for missing ones."""
    if mask is None:
        return values
    if values.dtype.kind in "iub":
        values = values.astype(np.float64)
    elif values.dtype.kind != "M":
        values = values.copy()
    values[mask] = np.datetime64("NaT") if values.dtype.kind == "M" else np.nan
    return values


def to_xarray(
    columns: Columns, dims: Sequence[str] | None, attributes: dict[str, dict[str, Any]]
) -> Any:
    """Rows as a dense dataset: see `Result.to_xarray`."""
    import xarray as xr

    from . import _marks

    def attrs(name: str) -> dict[str, Any]:
        found = _marks.attributes_from_store(attributes.get(name, {}), {})
        skipped = _marks.PACKING + (_marks.TIMES if columns[name][0].dtype.kind == "M" else ())
        return {key: value for key, value in found.items() if key not in skipped}

    rows = len(next(iter(columns.values()))[0]) if columns else 0
    if not dims:
        return xr.Dataset(
            {name: ("row", _masked(*column), attrs(name)) for name, column in columns.items()}
        )
    if missing := [dim for dim in dims if dim not in columns]:
        raise KeyError(f"the result has no column {missing[0]!r}: it has {', '.join(columns)}")
    coords, places = {}, []
    for dim in dims:
        values, mask = columns[dim]
        if mask is not None:
            raise ValueError(f"column {dim!r} is NULL in some rows, and cannot be a dimension")
        labels, place = np.unique(values, return_inverse=True)
        coords[dim] = xr.Variable((dim,), labels, attrs(dim))
        places.append(place.reshape(-1))
    shape = tuple(coords[dim].size for dim in dims)
    cell = np.ravel_multi_index(places, shape) if rows else np.empty(0, np.intp)
    if len(np.unique(cell)) < rows:
        raise ValueError(
            f"several rows have the same {', '.join(dims)}: group them, or name more dimensions"
        )
    found = {}
    for name, column in columns.items():
        if name in coords:
            continue
        values = _masked(*column)
        if rows < np.prod(shape, dtype=np.int64):
            # Cells without a row are missing.
            empty: Any = np.nan
            if values.dtype.kind in "iub":
                values = values.astype(np.float64)
            elif values.dtype.kind == "M":
                empty = np.datetime64("NaT", "ns")
            dense = np.full(shape, empty, values.dtype)
        else:
            dense = np.empty(shape, values.dtype)
        dense.reshape(-1)[cell] = values
        found[name] = (tuple(dims), dense, attrs(name))
    return xr.Dataset(found, coords)
