"""`ds.atlas`: xarray datasets into a store."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from . import _marks
from ._pyatlas import AtlasError

if TYPE_CHECKING:
    from ._pyatlas import Atlas, DatasetView

# The size of a batch of blocks that are computed together, and the number of batches at a time.
_BATCH = 32 << 20
_AHEAD = 2

# The greatest size of a chunk: half of the limit of a store.
_LARGEST_CHUNK = 128 << 20

_NAT = -(2**63)


@xr.register_dataset_accessor("atlas")
class AtlasAccessor:
    """The methods of Atlas on an xarray dataset."""

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = ds

    def write(
        self,
        store: Atlas,
        name: str,
        chunks: Mapping[str, Any] | None = None,
        fill_value: Any = None,
    ) -> None:
        """Add this dataset to a store: see `Atlas.add_xarray_dataset`."""
        write_dataset(store, self._ds, name, chunks, fill_value)


def write_dataset(
    store: Atlas,
    ds: xr.Dataset,
    name: str,
    chunks: Mapping[str, Any] | None = None,
    fill_value: Any = None,
) -> None:
    """Add a dataset to a store: see `Atlas.add_xarray_dataset`."""
    if not isinstance(ds, xr.Dataset):
        raise TypeError(f"expected an xarray.Dataset, got {type(ds).__name__}")
    view = store.create_dataset(name)
    try:
        of_dataset = _write_attributes_of_dataset(view, ds)
        for variable in [*ds.coords, *ds.data_vars]:
            if not isinstance(variable, str):
                raise TypeError(f"the name {variable!r} of a variable is no str")
            _Writing(view, ds, variable, chunks or {}, fill_value, of_dataset).write()
            of_dataset = {}
    except BaseException:
        # A later flush must not commit a part of a dataset.
        with contextlib.suppress(AtlasError):
            store.delete_dataset(name)
        raise


def _write_attributes_of_dataset(view: DatasetView, ds: xr.Dataset) -> dict[str, Any]:
    """Write the attributes of a dataset. Returns their part of the mark of its first array."""
    dtypes = {}
    for key, value in ds.attrs.items():
        stored, dtype = _marks.attribute_to_store(value)
        view.set_attribute(_marks.utf8(str(key)), stored)
        if dtype:
            dtypes[str(key)] = dtype
    mark: dict[str, Any] = {"attrs": dtypes} if dtypes else {}
    if "unlimited_dims" in ds.encoding:
        mark["unlimited"] = sorted(set(ds.encoding["unlimited_dims"]) & set(ds.sizes))
    return mark


class _Writing:
    """The writing of one variable."""

    def __init__(
        self,
        view: DatasetView,
        ds: xr.Dataset,
        name: str,
        chunks: Mapping[str, Any],
        fill_value: Any,
        of_dataset: dict[str, Any],
    ) -> None:
        self.view, self.name = view, name
        self.variable = ds.variables[name]
        self.mark: dict[str, Any] = {}
        if name in ds.coords and self.variable.dims != (name,):
            self.mark["coordinate"] = True
        if of_dataset:
            self.mark["dataset"] = of_dataset
        self.encode_objects()
        self.chunks = self.chunk_shape(chunks)
        self.fill_value = self.fill(fill_value)

    def encode_objects(self) -> None:
        """Convert dates of other calendars to numbers, as in files."""
        if self.variable.dtype.kind != "O" or not self.variable.size:
            return
        first = np.asarray(self.variable[(0,) * self.variable.ndim].data).item()
        if type(first).__module__.startswith("cftime"):
            encoded = xr.conventions.encode_cf_variable(self.variable, name=self.name)
            self.variable = encoded
            self.mark["cftime"] = self.mark["raw"] = True

    def write(self) -> None:
        dtype = self.stored_dtype()
        try:
            self.write_as(dtype)
        except UnicodeDecodeError:
            # Bytes that are not text.
            self.view.delete_array(self.name)
            self.write_as("binary")

    def stored_dtype(self) -> str:
        dtype = self.variable.dtype
        name = dtype.newbyteorder("=").str
        match dtype.kind:
            case "b" | "i" | "u":
                return dtype.name
            case "f" if dtype.itemsize in (4, 8):
                return dtype.name
            case "f" if dtype.itemsize == 2:
                self.mark["dtype"] = name
                return "float32"
            case "M":
                if np.datetime_data(dtype) != ("ns", 1):
                    self.mark["dtype"] = name
                return "timestamp_nanoseconds"
            case "m":
                self.mark["dtype"] = name
                return "int64"
            case "U":
                self.mark["dtype"] = name
                return "string"
            case "S":
                self.mark["dtype"] = name
                return "string"
            case "O":
                return self.dtype_of_objects()
            case "T":
                return "string"
            case _:
                raise TypeError(f"variable {self.name!r}: a store has no dtype for {dtype}")

    def dtype_of_objects(self) -> str:
        # One block of a dask array determines the type. Other types in other blocks then fail.
        data = self.variable.data
        if _is_dask(data):
            data = data.blocks[(0,) * data.ndim].compute()
        for element in np.asarray(data, object).ravel():
            if isinstance(element, str):
                return "string"
            if isinstance(element, bytes):
                self.mark["dtype"] = "bytes"
                return "string"
            if element is not None and element == element:
                raise TypeError(
                    f"variable {self.name!r}: a store has no objects of {type(element).__name__}"
                )
        return "string"

    def chunk_shape(self, chunks: Mapping[str, Any]) -> list[int] | None:
        """The shape of chunks: the caller's, that of dask's blocks, or None for the default."""
        dims, shape = self.variable.dims, self.variable.shape
        wanted = chunks.get(self.name) if not isinstance(chunks.get(self.name), int) else None
        if wanted is not None:
            return [int(size) for size in wanted]
        by_dim = {dim: size for dim, size in chunks.items() if dim in dims}
        blocks = self.variable.chunks if _is_dask(self.variable._data) else None
        if blocks is None and not by_dim:
            return None
        sizes = [max(of_dim) for of_dim in blocks] if blocks else list(shape)
        found = [int(by_dim.get(dim, size)) for dim, size in zip(dims, sizes)]
        found = [length if size == -1 else size for size, length in zip(found, shape)]
        # A dask block may exceed the limit of a chunk.
        while math.prod(found) * max(self.variable.dtype.itemsize, 8) > _LARGEST_CHUNK:
            axis = next(axis for axis, size in enumerate(found) if size > 1)
            found[axis] = -(-found[axis] // 2)
        return [max(size, 1) for size in found]

    def fill(self, given: Any) -> Any:
        """The fill value: the caller's, that of the attribute `_FillValue`, or NaN for floats."""
        kind = self.variable.dtype.kind
        if isinstance(given, Mapping) and self.name in given:
            return _scalar(given[self.name], self.variable.dtype)
        if given is not None and not isinstance(given, Mapping) and kind in "iuf":
            return _scalar(given, self.variable.dtype)
        if kind == "m":
            return _NAT
        of_file = self.variable.attrs.get("_FillValue")
        if of_file is not None:
            return _as_element(of_file, self.variable.dtype)
        return math.nan if kind == "f" else None

    def write_as(self, dtype: str) -> None:
        variable = self.variable
        fill_value = self.fill_value
        if dtype == "binary" and isinstance(fill_value, str):
            fill_value = fill_value.encode()
        dims, shape = [str(dim) for dim in variable.dims], list(variable.shape)
        self.view.define_array(self.name, dtype, dims, shape, self.chunks, fill_value)
        self.write_attributes()
        if variable._in_memory:
            block = np.asarray(variable.data)
            self.view.write_array(self.name, [0] * block.ndim, _as_stored(block, dtype))
            return
        data = variable.data if _is_dask(variable._data) else _Lazy(variable)
        chunks = self.view.array_meta(self.name)["chunk_shape"]
        with contextlib.closing(_blocks(data, chunks)) as blocks:
            for start, block in blocks:
                self.view.write_array(self.name, start, _as_stored(block, dtype))

    def write_attributes(self) -> None:
        variable, mark = self.variable, dict(self.mark)
        dtypes = {}
        for key, value in variable.attrs.items():
            stored, dtype = _marks.attribute_to_store(value)
            self.view.set_array_attribute(self.name, _marks.utf8(str(key)), stored)
            if dtype:
                dtypes[str(key)] = dtype
        encoding = _marks.encoding_to_json(variable.encoding, variable.shape)
        if dtypes:
            mark["attrs"] = dtypes
        if encoding:
            mark["encoding"] = encoding
        is_time = " since " in str(variable.attrs.get("units", ""))
        if is_time or any(key in variable.attrs for key in _marks.PACKING):
            mark["raw"] = True
        if mark:
            self.view.set_array_attribute(self.name, _marks.KEY, _marks.dumps(mark))


class _Lazy:
    """A variable that is read from its file block by block."""

    def __init__(self, variable: xr.Variable) -> None:
        self._variable = variable
        self.shape, self.dtype = variable.shape, variable.dtype

    def __getitem__(self, region: tuple[slice, ...]) -> np.ndarray:
        return self._variable[region].values


def _as_stored(block: Any, dtype: str) -> np.ndarray:
    block = np.asarray(block)
    match block.dtype.kind:
        case "m":
            return (
                block.view(np.int64) if block.dtype.isnative else block.astype("=m8").view(np.int64)
            )
        case "f" if block.dtype.itemsize == 2:
            return block.astype(np.float32)
        case "S" if dtype == "string":
            # Raises UnicodeDecodeError if these are not text.
            return np.char.decode(block, "utf-8")
        case "O" if dtype == "string":
            texts = [text.decode() if isinstance(text, bytes) else text for text in block.flat]
            return np.fromiter(texts, object, len(texts)).reshape(block.shape)
    return block


def _scalar(value: Any, dtype: np.dtype) -> Any:
    """A fill value as `define_array` accepts it; an instant in nanoseconds."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = np.asarray(value)[()]
        if value.dtype.kind == "M":
            return int(value.astype("M8[ns]").view(np.int64))
        value = value.item()
    if dtype.kind in "OSUT" and isinstance(value, bytes):
        return value.decode(errors="replace")
    if dtype.kind == "f" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _as_element(value: Any, dtype: np.dtype) -> Any:
    """A fill value of a file, if a variable of this dtype can have it."""
    if np.ndim(value) or (dtype.kind == "M" and np.asarray(value).dtype.kind != "M"):
        return None
    if dtype.kind not in "biuf":
        return _scalar(value, dtype)
    try:
        with np.errstate(all="ignore"):
            element = np.asarray(value).astype(dtype)[()]
        same = element == value or (element != element and value != value)
    except (TypeError, ValueError, OverflowError):
        return None
    return element.item() if same else None


def _blocks(data: Any, chunks: Sequence[int]) -> Iterator[tuple[list[int], np.ndarray]]:
    """The blocks of an array with their starts. Each consists of whole chunks.

    They are computed in batches, two ahead of the one that is written, so that only some of them
    are in memory.
    """
    lengths = _block_lengths(data, chunks)
    starts = [[0, *itertools.accumulate(of_dim)][:-1] for of_dim in lengths]
    regions = [
        tuple(slice(start, start + length) for start, length in corner)
        for corner in itertools.product(*map(zip, starts, lengths))
    ]
    cells = max((math.prod(s.stop - s.start for s in region) for region in regions), default=1)
    size = max(1, min(16, _BATCH // max(1, cells * data.dtype.itemsize)))
    batches = [regions[i : i + size] for i in range(0, len(regions), size)]
    with ThreadPoolExecutor(max_workers=1) as pool:
        ahead: list[Future[list[np.ndarray]]] = []
        try:
            for number, batch in enumerate(batches):
                while len(ahead) < min(_AHEAD, len(batches) - number):
                    ahead.append(pool.submit(_compute, data, batches[number + len(ahead)]))
                for region, block in zip(batch, ahead.pop(0).result()):
                    yield [axis.start for axis in region], block
        finally:
            for future in ahead:
                future.cancel()


def _is_dask(data: Any) -> bool:
    return hasattr(data, "__dask_graph__")


def _compute(data: Any, regions: list[tuple[slice, ...]]) -> list[np.ndarray]:
    blocks = [data[region] for region in regions]
    if not _is_dask(data):
        return blocks
    import dask

    return list(dask.compute(*blocks))


def _block_lengths(data: Any, chunks: Sequence[int]) -> list[list[int]]:
    """The lengths of blocks along each dimension, in whole chunks.

    They are about as long as dask's blocks, or as large as a batch of a file may be.
    """
    steps = [max(chunk, 1) for chunk in chunks]
    if _is_dask(data):
        steps = [max(step, max(own) // step * step) for step, own in zip(steps, data.chunks)]
    else:
        room = _BATCH // max(math.prod(steps) * data.dtype.itemsize, 1)
        for axis in reversed(range(len(steps))):
            more = max(1, min(room, -(-data.shape[axis] // steps[axis])))
            steps[axis], room = steps[axis] * more, room // more
    return [
        [min(step, length - start) for start in range(0, length, step)]
        for step, length in zip(steps, data.shape)
    ]
