"""The xarray engine `atlas`: lazy datasets of a store."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

from . import _marks
from ._pyatlas import Atlas

if TYPE_CHECKING:
    from ._pyatlas import DatasetView

# If less than this share of the cells around the positions is selected, read chunk by chunk.
_SPARSE = 0.5

_DTYPES = {"timestamp_nanoseconds": "datetime64[ns]", "string": "O", "binary": "O"}


class AtlasBackendEntrypoint(BackendEntrypoint):
    """`xr.open_dataset(store, engine="atlas", dataset="name")`."""

    description = "Open datasets of Atlas stores"
    url = "https://github.com/pyatlas-nd"
    open_dataset_parameters = (
        "filename_or_obj",
        "dataset",
        "mask_and_scale",
        "decode_times",
        "concat_characters",
        "decode_coords",
        "drop_variables",
        "use_cftime",
        "decode_timedelta",
        "generation",
        "storage_options",
    )
    supports_groups = True

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        dataset: str | None = None,
        group: str | None = None,
        mask_and_scale: bool = True,
        decode_times: Any = True,
        concat_characters: bool = False,
        decode_coords: Any = True,
        drop_variables: str | Iterable[str] | None = None,
        use_cftime: bool | None = None,
        decode_timedelta: Any = None,
        generation: int | None = None,
        storage_options: dict[str, Any] | None = None,
    ) -> xr.Dataset:
        """Open one dataset of a store.

        Parameters
        ----------
        filename_or_obj : path, URL, obstore store or Atlas
            The store.
        dataset : str, optional
            The name of the dataset. It may be omitted if the store has only one. `group` is another
            name of this argument, which `xr.open_datatree` uses.
        mask_and_scale : bool
            Show missing cells as NaN, or NaT for times; integers with missing cells become floats.
            Otherwise they are shown as the fill value.
        decode_times, decode_coords, decode_timedelta, use_cftime
            As for other engines, if a variable was written undecoded. Timestamps of the store are
            always times.
        concat_characters : bool
            Join arrays of single bytes along their last dimension. Off by default, because a store
            has whole strings.
        drop_variables : str or iterable of str, optional
            Variables to leave out.
        generation : int, optional
            Open the store as it was at this generation.
        storage_options : dict, optional
            Options of the object store's client.
        """
        store = _store(filename_or_obj, generation, storage_options)
        if dataset is not None and group is not None:
            raise TypeError("`group` and `dataset` are the same: give one of them")
        name = _only(store, dataset if dataset is not None else group)
        ds = decoded(
            store.open_dataset(name),
            drop_variables,
            mask_and_scale=mask_and_scale,
            decode_times=decode_times,
            concat_characters=concat_characters,
            decode_coords=decode_coords,
            use_cftime=use_cftime,
            decode_timedelta=decode_timedelta,
        )
        ds.encoding["source"] = f"{store.location}#{name}"
        return ds

    def open_groups_as_dict(self, filename_or_obj: Any, **options: Any) -> dict[str, xr.Dataset]:
        """Open all datasets of a store, each as the group of its name."""
        opening = {key: options.pop(key, None) for key in ("generation", "storage_options")}
        store = _store(filename_or_obj, **opening)
        only = options.pop("group", None)
        names = [only.strip("/")] if only else store.list_datasets()
        groups = {f"/{name}": self.open_dataset(store, dataset=name, **options) for name in names}
        return {"/": xr.Dataset(), **groups}

    def open_datatree(self, filename_or_obj: Any, **options: Any) -> xr.DataTree:
        """Open all datasets of a store as the groups of a tree."""
        return xr.DataTree.from_dict(self.open_groups_as_dict(filename_or_obj, **options))

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """True for open stores, and for directories of this machine with an `atlas.json`."""
        if isinstance(filename_or_obj, Atlas):
            return True
        if not isinstance(filename_or_obj, (str, os.PathLike)):
            return False
        path = os.fspath(filename_or_obj)
        # Looking for a store at a URL takes a request, and most URLs belong to other engines.
        return (
            isinstance(path, str)
            and "://" not in path
            and os.path.isfile(os.path.join(path, "atlas.json"))
        )


def _store(
    source: Any, generation: int | None = None, storage_options: dict[str, Any] | None = None
) -> Atlas:
    if not isinstance(source, Atlas):
        return Atlas.open(source, generation=generation, storage_options=storage_options)
    if generation is not None or storage_options is not None:
        raise TypeError("`generation` and `storage_options` are for a store that is opened here")
    return source


def _only(store: Atlas, name: str | None) -> str:
    if name is not None:
        return name.strip("/")
    names = store.list_datasets()
    if len(names) != 1:
        raise ValueError(
            f"{store.location} has {len(names)} datasets: name one, as in dataset={names[0]!r}"
            if names
            else f"{store.location} has no dataset"
        )
    return names[0]


@dataclass(frozen=True)
class Shown:
    """How xarray shows the cells of an array.

    Parameters
    ----------
    dtype : numpy.dtype
        The dtype.
    nan : bool
        Whether missing cells are NaN, rather than the fill value.
    bytes : bool
        Whether text is shown as objects of type bytes.
    fill : scalar, optional
        The fill value, if missing cells are NaN and the array has one. Cells that equal it are
        missing.
    """

    dtype: np.dtype
    nan: bool = False
    bytes: bool = False
    fill: Any = None

    def read(self, view: DatasetView, name: str, start: list[int], shape: list[int]) -> np.ndarray:
        """A region of an array."""
        cells = view.read_array(name, start, shape, masked=self.needs_mask)
        missing = np.ma.getmask(cells)
        cells = self.shown(np.ma.getdata(cells))
        if missing is not np.ma.nomask and missing.any():
            cells[missing] = np.nan
        return cells

    @property
    def needs_mask(self) -> bool:
        """Whether the fill value does not identify missing cells."""
        return self.nan and self.fill is None

    def shown(self, cells: np.ndarray) -> np.ndarray:
        """Cells that were read, as they are shown, except for those in a mask."""
        if self.nan and self.fill is not None:
            missing = cells == self.fill
            unmasked = Shown(self.dtype, bytes=self.bytes).shown(cells)
            if missing.any():
                unmasked[missing] = np.nan
            return unmasked
        if self.bytes:
            flat = [text.encode() if isinstance(text, str) else text for text in cells.flat]
            cells = np.fromiter(flat, object, len(flat)).reshape(cells.shape)
        if cells.dtype == self.dtype:
            return cells
        if self.dtype.kind == "m":
            return cells.view(self.dtype)
        if self.dtype.kind == "S" and cells.size and isinstance(cells.flat[0], str):
            return np.char.encode(cells.astype("U"), "utf-8").astype(self.dtype)
        return cells.astype(self.dtype)


class AtlasArray(BackendArray):
    """An array of a dataset, as xarray reads it: by outer indexing."""

    def __init__(self, view: DatasetView, name: str, shown: Shown) -> None:
        meta = view.array_meta(name)
        self.view, self.name, self._shown = view, name, shown
        self.shape, self.chunks = tuple(meta["shape"]), tuple(meta["chunk_shape"])
        self.dtype = shown.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        outer = indexing.IndexingSupport.OUTER
        return indexing.explicit_indexing_adapter(key, self.shape, outer, self._read)

    async def async_getitem(self, key: indexing.ExplicitIndexer) -> Any:
        return await asyncio.to_thread(self.__getitem__, key)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        return read_outer(self._region, self.shape, self.chunks, self.dtype, key)

    def _region(self, start: list[int], shape: list[int]) -> np.ndarray:
        return self._shown.read(self.view, self.name, start, shape)


def read_outer(
    read: Any,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: np.dtype,
    key: tuple[Any, ...],
) -> np.ndarray:
    """The cells that an outer indexer selects.

    `read(start, shape)` reads a region. Along dimensions of which little is selected, only the
    chunks with selected cells are read.
    """
    wanted = [_positions(index, length) for index, length in zip(key, shape)]
    result = [len(positions) for index, positions in zip(key, wanted) if not _is_one(index)]
    if not all(len(positions) for positions in wanted):
        return np.empty(result, dtype)
    segments = [_segments(positions, chunk) for positions, chunk in zip(wanted, chunks)]
    cells = _read_segments(read, segments, [], [])
    for axis, (positions, of_axis) in enumerate(zip(wanted, segments)):
        local = _local(positions, of_axis)
        if not isinstance(local, slice) or local != slice(None):
            cells = cells[(slice(None),) * axis + (local,)]
    return cells.reshape(result)


def _is_one(index: Any) -> bool:
    return isinstance(index, (int, np.integer))


def _positions(index: Any, length: int) -> range | np.ndarray:
    if _is_one(index):
        return (
            range(int(index), int(index) + 1) if index >= 0 else _positions(index + length, length)
        )
    if isinstance(index, slice):
        return range(*index.indices(length))
    positions = np.asarray(index)
    return np.where(positions < 0, positions + length, positions)


def _segments(positions: range | np.ndarray, chunk: int) -> list[tuple[int, int]]:
    """The segments to read along a dimension: one around all positions, or those of chunks."""
    first, last = int(min(positions)), int(max(positions))
    if isinstance(positions, range) and abs(positions.step) <= chunk:
        return [(first, last + 1)]
    touched = np.unique(np.asarray(positions) // max(chunk, 1))
    if len(touched) * chunk >= _SPARSE * (last + 1 - first):
        return [(first, last + 1)]
    runs = np.split(touched, np.flatnonzero(np.diff(touched) > 1) + 1)
    return [
        (max(int(run[0]) * chunk, first), min((int(run[-1]) + 1) * chunk, last + 1)) for run in runs
    ]


def _read_segments(
    read: Any, segments: list[list[tuple[int, int]]], start: list[int], shape: list[int]
) -> np.ndarray:
    axis = len(start)
    if axis == len(segments):
        return read(start, shape)
    parts = [
        _read_segments(read, segments, [*start, first], [*shape, end - first])
        for first, end in segments[axis]
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis)


def _local(positions: range | np.ndarray, segments: list[tuple[int, int]]) -> slice | np.ndarray:
    """The positions within the segments that were read."""
    if isinstance(positions, range) and len(segments) == 1:
        first, end = segments[0]
        if positions.step == 1 and len(positions) == end - first:
            return slice(None)
    firsts = np.array([first for first, _ in segments])
    before = np.concatenate([[0], np.cumsum([end - first for first, end in segments])[:-1]])
    found = np.asarray(positions)
    segment = np.searchsorted(firsts, found, "right") - 1
    return found - firsts[segment] + before[segment]


def _describe(
    view: DatasetView, name: str, mask: bool
) -> tuple[Shown, dict[str, Any], dict[str, Any], dict[str, Any]]:
    """How xarray shows an array; its attributes, its encoding and its mark."""
    stored = view.array_meta(name)["dtype"]
    attributes = view.array_attributes(name)
    mark = _marks.of_array(attributes)
    attrs = _marks.attributes_from_store(attributes, mark.get("attrs", {}))
    encoding = _marks.encoding_from_json(mark.get("encoding", {}))
    marked = mark.get("dtype", _DTYPES.get(stored, stored))
    as_bytes = marked == "bytes" and stored == "string"
    dtype = np.dtype(object if marked == "bytes" else marked)
    if mark.get("raw"):
        return Shown(dtype, bytes=as_bytes), attrs, encoding, mark
    fill = view.array_fill_value(name)
    if stored == "timestamp_nanoseconds":
        encoding = {key: attrs.pop(key) for key in _marks.TIMES if key in attrs} | encoding
    if mask:
        encoding = {key: attrs.pop(key) for key in _marks.PACKING if key in attrs} | encoding
    nan = mask and dtype.kind in "fO" and not (isinstance(fill, float) and math.isnan(fill))
    if mask and dtype.kind in "iub" and view.array_stats(name)["null_count"]:
        # The promotion of xarray for integers with a fill value.
        small = dtype.kind != "b" and dtype.itemsize <= 2
        dtype, nan = np.dtype("float32" if small else "float64"), True
    shown = Shown(dtype, nan, as_bytes, fill if nan else None)
    return shown, attrs, encoding, mark


def _lazy_variable(view: DatasetView, name: str, mask: bool) -> tuple[xr.Variable, dict[str, Any]]:
    shown, attrs, encoding, mark = _describe(view, name, mask)
    array = AtlasArray(view, name, shown)
    dims = view.array_meta(name)["dimension_names"]
    data = indexing.LazilyIndexedArray(array)
    variable = xr.Variable(dims, data, attrs, encoding, fastpath=True)
    if array.shape:
        variable.encoding["preferred_chunks"] = dict(zip(dims, array.chunks))
    return variable, mark


def _variables(
    view: DatasetView, drop: str | Iterable[str] | None, mask: bool
) -> tuple[dict[str, xr.Variable], dict[str, Any], set[str], dict[str, Any], set[str]]:
    """Variables, attributes, names of coordinates, encoding, and variables with cftime's dates."""
    dropped = {drop} if isinstance(drop, str) else set(drop or ())
    variables, coordinates, encoding, cftime = {}, set(), {}, set()
    of_dataset: dict[str, Any] = {}
    for name in view.list_arrays():
        variable, mark = _lazy_variable(view, name, mask)
        of_dataset = mark.get("dataset", of_dataset)
        if name in dropped:
            continue
        variables[name] = variable
        if mark.get("coordinate") or variable.dims == (name,):
            coordinates.add(name)
        if mark.get("cftime"):
            cftime.add(name)
    if "unlimited" in of_dataset:
        encoding["unlimited_dims"] = set(of_dataset["unlimited"])
    attrs = _marks.attributes_from_store(view.attributes(), of_dataset.get("attrs", {}))
    return variables, attrs, coordinates, encoding, cftime


def decoded(
    view: DatasetView, drop_variables: str | Iterable[str] | None = None, **decoders: Any
) -> xr.Dataset:
    """A dataset of a store as `xr.open_dataset` returns it: lazy, and decoded."""
    mask = bool(decoders["mask_and_scale"])
    variables, attrs, coordinates, encoding, _ = _variables(view, drop_variables, mask)
    chunks = {
        name: variable.encoding.get("preferred_chunks") for name, variable in variables.items()
    }
    variables, attrs, more = xr.conventions.decode_cf_variables(variables, attrs, **decoders)
    for name, variable in variables.items():
        if chunks.get(name) and len(chunks[name]) == variable.ndim:
            variable.encoding["preferred_chunks"] = chunks[name]
    ds = xr.Dataset(variables, attrs=attrs).set_coords((coordinates | set(more)) & set(variables))
    ds.encoding = encoding
    return ds


def open_as_written(store: Atlas, name: str) -> xr.Dataset:
    """A dataset as it was written; arrays of several chunks as dask arrays, others in memory."""
    variables, attrs, coordinates, encoding, cftime = _variables(
        store.open_dataset(name), None, True
    )
    for of_cftime in cftime:
        variables[of_cftime] = xr.conventions.decode_cf_variable(of_cftime, variables[of_cftime])
    for key, variable in variables.items():
        chunks = variable.encoding.get("preferred_chunks", {})
        if any(variable.sizes[dim] > chunk for dim, chunk in chunks.items()):
            variables[key] = variable.chunk(chunks)
        else:
            variable.load()
    ds = xr.Dataset(variables, attrs=attrs).set_coords(coordinates)
    ds.encoding = encoding
    return ds


class AcrossArray(BackendArray):
    """One array of many datasets, stacked along a new first dimension."""

    def __init__(self, store: Atlas, names: Sequence[str], name: str, shown: Shown) -> None:
        meta = store.open_dataset(names[0]).array_meta(name)
        self.store, self.names, self.name, self._shown = store, tuple(names), name, shown
        self.shape = (len(names), *meta["shape"])
        self.chunks = (1, *meta["chunk_shape"])
        self.dtype = shown.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        outer = indexing.IndexingSupport.OUTER
        return indexing.explicit_indexing_adapter(key, self.shape, outer, self._read)

    async def async_getitem(self, key: indexing.ExplicitIndexer) -> Any:
        return await asyncio.to_thread(self.__getitem__, key)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        return read_outer(self._region, self.shape, self.chunks, self.dtype, key)

    def whole(self) -> np.ndarray:
        """All cells."""
        return self._region([0] * len(self.shape), list(self.shape))

    def _region(self, start: list[int], shape: list[int]) -> np.ndarray:
        names = self.names[start[0] : start[0] + shape[0]]
        if not self._shown.needs_mask:
            # Read at once, on all cores.
            cells = self.store.read_array_across_stacked(self.name, names, start[1:], shape[1:])
            return self._shown.shown(cells)
        views = map(self.store.open_dataset, names)
        return np.stack([self._shown.read(view, self.name, start[1:], shape[1:]) for view in views])


def _same_everywhere(views: Sequence[DatasetView], variable: str) -> None:
    """Check that an array has one dtype, dimensions and shape in all datasets.

    Raises
    ------
    ValueError
        Names the first dataset that differs.
    """
    keys = ("dtype", "dimension_names", "shape")
    first = None
    for view in views:
        meta = view.array_meta(variable)
        found = meta and {key: meta[key] for key in keys}
        first = first or found
        if found is None or found != first:
            raise ValueError(
                f"variable {variable!r} of dataset {view.name!r} is {found}, and in "
                f"{views[0].name!r} {first}: choose datasets that are alike, or other `variables`"
            )


def _shown_everywhere(views: Sequence[DatasetView], variable: str) -> Shown:
    """How xarray shows an array of several datasets."""
    every = {_describe(view, variable, True)[0] for view in views}
    if len(every) == 1:
        return every.pop()
    dtype = np.result_type(*(shown.dtype for shown in every))
    # Fill values differ, so each dataset has its own mask.
    return Shown(dtype, any(shown.nan for shown in every), any(shown.bytes for shown in every))


def open_many(
    store: Atlas,
    names: Sequence[str] | None,
    where: str | None,
    concat_dim: str,
    variables: Sequence[str] | None,
) -> xr.Dataset:
    """Many datasets along a new dimension, lazily: see `Atlas.open_many`."""
    if (names is None) == (where is None):
        raise TypeError("give `names` of datasets, or a predicate of SQL on them, `where`")
    if names is None:
        query = f"SELECT dataset FROM atlas._datasets WHERE {where} ORDER BY dataset"
        names = [name for (name,) in store.sql(query).fetchall()]
    if not names:
        raise ValueError("no dataset to open")
    views = [store.open_dataset(name) for name in names]
    of_first, attrs, coordinates, encoding, _ = _variables(views[0], None, True)
    chosen = [name for name in of_first if name not in coordinates]
    if variables is not None:
        chosen = [name for name in variables if name not in coordinates]
        if missing := [name for name in chosen if name not in of_first]:
            raise KeyError(f"dataset {names[0]!r} has no variable {missing[0]!r}")
    if concat_dim in of_first or any(concat_dim in of_first[name].dims for name in chosen):
        raise ValueError(f"the datasets have {concat_dim!r} already: name another dimension")
    found = {name: of_first[name] for name in of_first if name in coordinates}
    for name in [*chosen, *found]:
        _same_everywhere(views, name)
    for name in chosen:
        like = of_first[name]
        array = AcrossArray(store, names, name, _shown_everywhere(views, name))
        chunks = {concat_dim: len(names), **like.encoding.get("preferred_chunks", {})}
        of_variable = {**like.encoding, "preferred_chunks": chunks}
        data = indexing.LazilyIndexedArray(array)
        found[name] = xr.Variable((concat_dim, *like.dims), data, like.attrs, of_variable)
    for name in [name for name in found if name in coordinates]:
        array = AcrossArray(store, names, name, _shown_everywhere(views, name))
        found[name] = _varying(found[name], array.whole(), name, concat_dim)
    found[concat_dim] = xr.Variable((concat_dim,), np.asarray(names))
    ds = xr.Dataset(found, attrs=attrs).set_coords(coordinates & set(found))
    ds.encoding = encoding
    return ds


def _varying(variable: xr.Variable, stacked: np.ndarray, name: str, concat_dim: str) -> xr.Variable:
    """A coordinate of many datasets: with the new dimension, if it differs between them.

    Raises
    ------
    ValueError
        If the coordinate of a dimension differs: the datasets are on different grids.
    """
    first, rest = stacked[0], stacked[1:]
    same = (rest == first) | ((rest != rest) & (first != first))
    if np.all(same):
        return variable
    if variable.dims == (name,):
        raise ValueError(
            f"the coordinate {name!r} differs between the datasets: open those of one grid, or "
            "concatenate them with xr.concat, which aligns"
        )
    dims = (concat_dim, *variable.dims)
    return xr.Variable(dims, stacked, variable.attrs, variable.encoding)


def open_as_many(store: Atlas, names: Sequence[str], concat_dim: str) -> xr.Dataset:
    """Datasets stacked along a new dimension, in memory; coordinates are those of the first."""
    if not names:
        raise ValueError("open_as_many_xarray_dataset: `names` is empty")
    template = open_as_written(store, names[0])
    found = {}
    for name, variable in template.data_vars.items():
        shown = _describe(store.open_dataset(names[0]), name, True)[0]
        stacked = AcrossArray(store, names, name, shown).whole()
        found[name] = xr.DataArray(stacked, dims=[concat_dim, *variable.dims], attrs=variable.attrs)
    coords = {name: template.coords[name] for name in template.coords}
    coords[concat_dim] = xr.DataArray(np.asarray(names), dims=[concat_dim])
    return xr.Dataset(found, coords, template.attrs)
