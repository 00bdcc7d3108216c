"""Stores, datasets, queries: the part of pyatlas that is written in Rust."""

import datetime
import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, TypeAlias, TypedDict, final, overload

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "AccessError",
    "Atlas",
    "AtlasError",
    "Conflict",
    "DTypeError",
    "DamagedError",
    "DatasetView",
    "ExistsError",
    "Function",
    "InternalError",
    "InvalidError",
    "LocationError",
    "NotFoundError",
    "Picture",
    "QueryError",
    "Result",
    "Session",
    "StateError",
    "StorageError",
    "Table",
    "TooLargeError",
    "__version__",
    "_main",
    "_open",
    "_open_dataset",
    "connect",
    "functions",
    "import_files",
    "init_tracing",
]

__version__: str

_Source: TypeAlias = str | os.PathLike[str] | Any
_Value: TypeAlias = bool | int | float | str | bytes

class AtlasError(Exception):
    """Any error of Atlas."""

class AccessError(AtlasError, PermissionError):
    """The storage denies access, or no credentials were given."""

class Conflict(AtlasError, RuntimeError):
    """Another writer has committed conflicting changes.

    Pending changes stay. Drop them with `Atlas.refresh` or `Atlas.discard`, and repeat the changes.
    """

class DTypeError(AtlasError, TypeError):
    """Values of one type were given or requested, but the array has another type."""

class DamagedError(AtlasError, OSError):
    """A file of the store is damaged, or of a version that this build does not read."""

class ExistsError(AtlasError, FileExistsError):
    """There is a store, a dataset or an array of that name already."""

class InternalError(AtlasError, RuntimeError):
    """A fault in Atlas: please report it."""

class InvalidError(AtlasError, ValueError):
    """An invalid name, shape, region, value or option."""

class LocationError(AtlasError, FileNotFoundError):
    """There is no store, generation or file at the location."""

class NotFoundError(AtlasError, KeyError):
    """There is no dataset, array, dimension or attribute of that name."""

class QueryError(AtlasError, ValueError):
    """A statement that cannot be planned, or fails as it runs."""

class StateError(AtlasError, RuntimeError):
    """The handle cannot do that now.

    Changes are pending, a write has failed halfway, or the process was forked.
    """

class StorageError(AtlasError, OSError):
    """The storage failed."""

class TooLargeError(AtlasError, MemoryError):
    """The request exceeds the available memory, or a limit of the store."""

class _Meta(TypedDict):
    dtype: str
    shape: list[int]
    chunk_shape: list[int]
    dimension_names: list[str]

class _Stats(TypedDict):
    row_count: int
    null_count: int
    min: Any
    max: Any

class _Commit(TypedDict):
    generation: int
    committed: np.datetime64
    operation: str
    datasets: int
    variables: int
    segments: int
    bytes: int

class _Vacuumed(TypedDict):
    files: list[tuple[str, int]]
    generations: list[int]

class _Verified(TypedDict):
    generations: int
    segments: int
    blocks: int
    chunks: int
    bytes: int
    problems: list[str]
    unused: list[str]
    foreign: list[str]

_Notice = TypedDict(
    "_Notice",
    {"class": str, "variable": str, "detail": str, "files": int, "cells": int, "example": str},
)

class _Report(TypedDict):
    imported: int
    replaced: int
    unchanged: int
    existing: int
    planned: list[tuple[str, str, bool]]
    joined: list[tuple[str, int, bool, list[str]]]
    bytes: int
    skipped: list[tuple[str, str]]
    notices: list[_Notice]
    unknown_dims: list[str]

@final
class Atlas:
    """A store of many named datasets of N-dimensional arrays.

    Changes through a handle are *pending* until `flush`. Only this handle sees them. A flush
    commits all of them at once, or none. Threads can share a handle. A handle without pending
    changes can be pickled.

    A `with` block flushes at its end. If it ends with an exception, it discards pending changes and
    writes nothing.
    """

    @staticmethod
    def create(
        source: _Source,
        codec: str = "zstd",
        meta_format: str = "json",
        meta_compression: str = "none",
        *,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Atlas:
        """Create a store. Nothing is written before the first flush.

        Parameters
        ----------
        source : path, URL or obstore store
            The location of the store: a directory, a URL (``s3://``, ``gs://``, ``az://``,
            ``memory://``), or a store of obstore. pyatlas makes its own client from the settings of
            an obstore store. obstore's `MemoryStore` has none, and is refused.
        codec : {"zstd", "lz4", "none"}
            The compression of blocks.
        meta_format, meta_compression : str
            Accepted for programs that were written for atlas-python, and without effect: the
            catalog of a store is JSON.
        storage_options : mapping, optional
            Settings of the object store's client, such as ``{"region": "eu-north-1"}``. By default
            they come from the environment.

        Raises
        ------
        ExistsError
            There is a store already.
        InvalidError
            The location, an option or the codec cannot be used.
        """

    @staticmethod
    def open(
        source: _Source,
        *,
        generation: int | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Atlas:
        """Open a store.

        Parameters
        ----------
        source : path, URL or obstore store
            The location of the store: see `create`.
        generation : int, optional
            Open the store as it was at this commit (see `log`), instead of the newest.
        storage_options : mapping, optional
            Settings of the object store's client.

        Raises
        ------
        LocationError
            There is no store, or it does not have that generation, or no longer has it.
        DamagedError
            Its catalog is damaged: `atlas repair` restores it.
        """

    @property
    def location(self) -> str:
        """The location of the store."""

    @property
    def generation(self) -> int:
        """The number of the commit that this handle reads; 0 before the first."""

    @property
    def has_pending(self) -> bool:
        """Whether this handle has pending changes."""

    def create_dataset(self, name: str) -> DatasetView:
        """Add a dataset.

        Raises
        ------
        ExistsError
            There is one of that name.
        InvalidError
            The name is empty, has a ``/`` in it or begins with ``_``.
        """

    def open_dataset(self, name: str) -> DatasetView:
        """Open a dataset, which may be pending.

        Raises
        ------
        NotFoundError
            There is none of that name.
        """

    def delete_dataset(self, name: str) -> None:
        """Delete a dataset.

        Raises
        ------
        NotFoundError
            There is none of that name.
        """

    def rename_dataset(self, name: str, new: str) -> None:
        """Give a dataset another name.

        Raises
        ------
        NotFoundError, ExistsError, InvalidError
            There is no dataset `name`, there is one named `new`, or `new` is not a valid name.
        """

    def list_datasets(self) -> list[str]:
        """The names of the datasets, in the order in which they were added."""

    def list_arrays(self) -> list[str]:
        """The distinct names of the arrays of all datasets, sorted."""

    def dataset_exists(self, name: str) -> bool:
        """Whether there is a dataset of that name."""

    def attributes(self) -> dict[str, Any]:
        """The attributes of the store as a whole."""

    def get_attribute(self, key: str) -> Any:
        """An attribute of the store as a whole; None if there is none of that name."""

    def set_attribute(
        self, key: str, value: _Value | Sequence[_Value] | Any, dtype: str | None = None
    ) -> None:
        """Set an attribute of the store as a whole: see `DatasetView.set_attribute`."""

    def add_xarray_dataset(
        self,
        ds: Any,
        name: str,
        chunks: Mapping[str, Any] | None = None,
        fill_value: Any = None,
    ) -> None:
        """Add an xarray dataset.

        Its variables become arrays, with their attributes and encodings. Values are stored
        unchanged, so that SQL sees values and times. `open_as_xarray_dataset` returns an identical
        dataset. Variables that dask computes, or that are still in a file, are streamed with only a
        few blocks in memory. If this fails, no part of the dataset stays pending.

        Parameters
        ----------
        ds : xarray.Dataset
            The dataset.
        name : str
            Its name in the store.
        chunks : mapping, optional
            The shape of chunks, by variable (``{"temperature": [24, 50, 50]}``) or by dimension
            (``{"time": 24}``, -1 for the whole dimension). The default is the shape of dask's
            blocks, or one that Atlas chooses.
        fill_value : scalar or mapping, optional
            The value that stands for a missing cell: one for all numbers, or one by variable (None
            for no fill value). The default is the attribute ``_FillValue``, or NaN for floats.

        Raises
        ------
        ExistsError
            There is a dataset of that name.
        TypeError
            A store cannot have such a dtype or attribute: complex numbers, structures, objects.
        """

    def open_as_xarray_dataset(self, name: str) -> Any:
        """A dataset as an `xarray.Dataset`, as it was written.

        Arrays of several chunks are dask arrays, with a block for each chunk. Other arrays are in
        memory. To read a dataset lazily, use
        ``xr.open_dataset(store, engine="atlas", dataset=name)``.

        Raises
        ------
        NotFoundError
            There is no such dataset.
        """

    def open_as_many_xarray_dataset(
        self, names: Sequence[str], concat_dim: str = "dataset", parallel: bool = True
    ) -> Any:
        """Several datasets of the same structure as one `xarray.Dataset` in memory.

        Each variable has the shape ``(len(names), *shape)``. Coordinates and attributes are those
        of the first dataset. Reads always use all cores of the processor, whatever `parallel`
        says.

        Raises
        ------
        ValueError
            `names` is empty, or the datasets differ in shape.
        NotFoundError
            A dataset lacks a variable.
        """

    def open_many(
        self,
        names: Sequence[str] | None = None,
        *,
        where: str | None = None,
        concat_dim: str = "dataset",
        variables: Sequence[str] | None = None,
    ) -> Any:
        """Datasets of the same structure as one lazy `xarray.Dataset`, along a new dimension.

        Parameters
        ----------
        names : sequence of str, optional
            The datasets.
        where : str, optional
            Instead of names, an SQL predicate over names (``dataset``), attributes and sizes, such
            as ``"institution = 'IFREMER' AND time > 100"``.
        concat_dim : str
            The new first dimension. Its coordinate has the names of the datasets.
        variables : sequence of str, optional
            The variables; by default all. Their coordinates are included. A coordinate that differs
            between datasets gets the new dimension.

        Raises
        ------
        ValueError
            No dataset is selected, or they differ in variables, shapes or the coordinates of
            dimensions.
        """

    def read_array_across(
        self,
        array: str,
        dataset_names: Sequence[str],
        start: Sequence[int] | None = None,
        shape: Sequence[int] | None = None,
    ) -> list[NDArray[Any] | None]:
        """One region of an array in each of several datasets.

        Parameters
        ----------
        array : str
            The array.
        dataset_names : sequence of str
            The datasets.
        start, shape : sequence of int, optional
            The region; by default from the beginning to the end of each array.

        Returns
        -------
        list of numpy.ndarray or None
            The cells in each dataset, in the order of the names; None for a dataset that lacks the
            array, or does not exist.

        Raises
        ------
        NotFoundError
            No dataset of the store has the array.
        InvalidError
            The region exceeds an array.
        """

    def read_array_across_stacked(
        self,
        array: str,
        dataset_names: Sequence[str],
        start: Sequence[int] | None = None,
        shape: Sequence[int] | None = None,
    ) -> NDArray[Any]:
        """One region of an array in each of several datasets, as one array.

        Returns
        -------
        numpy.ndarray
            An array of shape ``(len(dataset_names), *shape)``.

        Raises
        ------
        NotFoundError
            A dataset lacks the array.
        InvalidError
            The region exceeds an array, or whole arrays differ in shape.
        """

    def flush(self) -> None:
        """Commit all pending changes at once.

        Raises
        ------
        Conflict
            Others have committed conflicting changes meanwhile. Nothing is committed, and all
            changes stay pending.
        StorageError
            The storage failed. The store has either all of the changes or none.
        """

    def close(self) -> None:
        """Flush."""

    def discard(self) -> None:
        """Drop pending changes."""

    def refresh(self) -> None:
        """Drop pending changes, and move to the newest generation."""

    def export(self, dataset: str, path: str | os.PathLike[str]) -> None:
        """Write a dataset as a NetCDF file, equal to the one that it was imported from.

        Raises
        ------
        NotFoundError
            There is no such dataset.
        ValueError
            A NetCDF file cannot hold it.
        """

    def compact(self, variables: Sequence[str] | None = None) -> None:
        """Rewrite the many small files of variables into few, in order of datasets.

        Raises
        ------
        NotFoundError
            There is no such variable.
        """

    def vacuum(self, older_than: datetime.timedelta | None = None) -> _Vacuumed:
        """Remove earlier generations, and unneeded files, that are older than a week.

        Parameters
        ----------
        older_than : datetime.timedelta, optional
            Another age. It must exceed the duration of every read or write in progress.

        Returns
        -------
        dict
            The removed ``files``, with their sizes in bytes, and the removed ``generations``.
        """

    def verify(self) -> _Verified:
        """Read the whole store, and check every checksum and every statistic.

        Returns
        -------
        dict
            Counts of what was checked, and ``problems``, which is empty if the store is intact.
        """

    def log(self) -> list[_Commit]:
        """The commits that can be opened, newest first."""

    def sql(self, query: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> Result:
        """Plan a query over the committed data of this store, whose table is ``atlas``.

        A name needs no quotes if it can mean only one thing. docs/sql.md describes the tables.

        Parameters
        ----------
        query : str
            An SQL statement.
        params : sequence or mapping, optional
            The values of ``$1``, ``$2`` …, or of ``$name``.

        Returns
        -------
        Result
            The rows. The query runs when they are requested.

        Raises
        ------
        QueryError
            The statement is wrong.
        """

    def table(self, name: str | None = None) -> Table:
        """A table of this store for the package `datafusion`: the wide table, or
        ``table("temperature")``.

        Raises
        ------
        NotFoundError
            There is no such table.
        """

    def __enter__(self) -> Atlas: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    def _repr_html_(self) -> str: ...

@final
class DatasetView:
    """A handle of one dataset of a store."""

    @property
    def name(self) -> str:
        """The name."""

    def list_arrays(self) -> list[str]:
        """The names of the arrays, in the order in which they were defined."""

    def define_array(
        self,
        name: str,
        dtype: str,
        dims: Sequence[str],
        shape: Sequence[int],
        chunk_shape: Sequence[int] | None = None,
        fill_value: Any = None,
    ) -> None:
        """Define an array.

        Parameters
        ----------
        name : str
            Its name.
        dtype : str
            ``bool``, ``int8`` to ``int64``, ``uint8`` to ``uint64``, ``float32``, ``float64``,
            ``timestamp_nanoseconds`` (or ``datetime64[ns]``), ``string`` or ``binary``.
        dims : sequence of str
            Its dimensions, slowest first. A dimension of the dataset has one size. If another array
            has a dimension of the same name and another size, this array gets a dimension of its
            own, such as ``x_2``.
        shape : sequence of int
            Its shape, with a size for each dimension.
        chunk_shape : sequence of int, optional
            The shape of its chunks. The default is the array's shape, or less if it is large.
        fill_value : scalar, optional
            The value that stands for a missing cell; for an instant, in nanoseconds since 1970.
            Cells that equal it are missing, and so are cells that are never written.

        Raises
        ------
        ExistsError
            There is an array of that name.
        InvalidError
            The name, the dtype or a shape is invalid.
        DTypeError, OverflowError
            The fill value is of another type, or out of range.
        """

    def write_array(self, name: str, start: Sequence[int], data: NDArray[Any]) -> None:
        """Write a region of an array, replacing earlier values.

        Parameters
        ----------
        name : str
            The array.
        start : sequence of int
            The index of the region's first cell.
        data : numpy.ndarray
            Its cells, in the array's dtype, in any layout and byte order. Instants may be
            datetime64 of any unit, or int64 of nanoseconds. Text may be objects, fixed or variable
            strings, or UTF-8 bytes. Cells that are masked, None or NaT are missing.

        Raises
        ------
        NotFoundError
            There is no such array.
        DTypeError
            The data are of another dtype.
        InvalidError
            The region exceeds the array, or an instant is not a whole number of nanoseconds
            between the years 1677 and 2262.
        """

    @overload
    def read_array(
        self,
        name: str,
        start: Sequence[int] | None = None,
        shape: Sequence[int] | None = None,
    ) -> NDArray[Any] | None: ...
    @overload
    def read_array(
        self,
        name: str,
        start: Sequence[int] | None = None,
        shape: Sequence[int] | None = None,
        *,
        masked: bool = False,
        arrow: bool = False,
    ) -> Any:
        """Read a region of an array.

        Parameters
        ----------
        name : str
            The array.
        start, shape : sequence of int, optional
            The region; by default from the beginning to the end of the array.
        masked : bool
            Return a `numpy.ma.MaskedArray`.
        arrow : bool
            Return an Arrow array, flat in row-major order, with nulls. Libraries that accept the
            Arrow C interface use it without a copy, for example ``pyarrow.array(…)``.

        Returns
        -------
        numpy.ndarray or None
            The cells; None if there is no such array. Missing cells have the fill value. Without
            one they are zero, empty or NaT. Instants are ``datetime64[ns]``, text and bytes are
            objects.

        Raises
        ------
        InvalidError
            The region exceeds the array.
        """

    def read_arrays(
        self,
        names: Sequence[str],
        start: Sequence[int] | None = None,
        shape: Sequence[int] | None = None,
        *,
        masked: bool = False,
        arrow: bool = False,
    ) -> dict[str, Any]:
        """Read one region of several arrays: the results of `read_array`, by name."""

    def delete_array(self, name: str) -> None:
        """Delete an array.

        Raises
        ------
        NotFoundError
            There is none of that name.
        """

    def extend(self, dim: str, size: int) -> None:
        """Extend a dimension, and with it every array over it. New cells are missing.

        Raises
        ------
        NotFoundError
            There is no such dimension.
        InvalidError
            It would become shorter.
        """

    def array_meta(self, array: str) -> _Meta | None:
        """The dtype, shape, chunk shape and dimensions of an array; None if there is none."""

    def array_stats(self, array: str) -> _Stats | None:
        """The number of cells and of missing ones, the least and the greatest value of an array.

        No values are read. Instants are integers of nanoseconds since 1970. None if there is no
        such array.
        """

    def array_fill_value(self, array: str) -> Any:
        """The fill value of an array, an instant in nanoseconds since 1970; None without one."""

    def attributes(self) -> dict[str, Any]:
        """The attributes, in the order in which they were set."""

    def get_attribute(self, key: str) -> Any:
        """An attribute; None if there is none of that name."""

    def set_attribute(
        self, key: str, value: _Value | Sequence[_Value] | Any, dtype: str | None = None
    ) -> None:
        """Set an attribute.

        Parameters
        ----------
        key : str
            Its name.
        value : bool, int, float, str, bytes, or a list or one-dimensional array of one of these
            Its value. Integers become 64 bits wide, floats float64. An instant of NumPy comes back
            as an integer of nanoseconds since 1970.
        dtype : str, optional
            The type of the value, if it differs from the natural one: see `define_array`.

        Raises
        ------
        InvalidError
            An attribute cannot have such a value.
        DTypeError, OverflowError
            The value is not of the dtype, or out of range.
        """

    def remove_attribute(self, key: str) -> None:
        """Remove an attribute.

        Raises
        ------
        NotFoundError
            There is none of that name.
        """

    def array_attributes(self, array: str) -> dict[str, Any]:
        """The attributes of an array, such as ``units``.

        Raises
        ------
        NotFoundError
            There is no such array.
        """

    def get_array_attribute(self, array: str, key: str) -> Any:
        """An attribute of an array; None if it has none of that name.

        Raises
        ------
        NotFoundError
            There is no such array.
        """

    def set_array_attribute(
        self, array: str, key: str, value: _Value | Sequence[_Value] | Any, dtype: str | None = None
    ) -> None:
        """Set an attribute of an array: see `set_attribute`."""

    def remove_array_attribute(self, array: str, key: str) -> None:
        """Remove an attribute of an array.

        Raises
        ------
        NotFoundError
            There is no such array, or it has no such attribute.
        """

    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Session:
    """Stores under names, for queries over all of them. `connect` makes a session."""

    def sql(self, query: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> Result:
        """Plan a statement: see `Atlas.sql`."""

    def table(self, name: str) -> Table:
        """A table, such as ``argo`` or ``argo.temperature``: see `Atlas.table`."""

@final
class Result:
    """The rows of a query. Each method that returns rows runs the query.

    It is also a stream of the Arrow C interface: ``pyarrow.table(result)``,
    ``polars.DataFrame(result)``, and in DuckDB ``SELECT … FROM result`` receive the rows as they
    are computed. While they wait, other threads run, and Ctrl-C ends the query.
    """

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""

    def to_arrow(self) -> Any:
        """The rows as a `pyarrow.Table`, without a copy."""

    def to_pandas(self) -> Any:
        """The rows as a `pandas.DataFrame`. Needs pyarrow."""

    def to_polars(self) -> Any:
        """The rows as a `polars.DataFrame`, without a copy."""

    def to_xarray(self, dims: Sequence[str] | None = None) -> Any:
        """The rows as an `xarray.Dataset`.

        Parameters
        ----------
        dims : sequence of str, optional
            The columns that become dimensions, with their sorted values as coordinates. The other
            columns become variables over all combinations of these, with the attributes of the
            store's variables of the same name. Combinations without a row are missing. By default,
            all columns lie along ``row``.

        Raises
        ------
        ValueError
            Several rows have one combination, or a dimension is NULL.
        KeyError
            There is no such column.
        """

    def to_columns(self) -> dict[str, tuple[NDArray[Any], NDArray[np.bool_] | None]]:
        """The columns as NumPy arrays, each with a mask if values are missing, or None."""

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rows as tuples: None for NULL, instants as `numpy.datetime64`."""

    def show(self, rows: int = 20) -> None:
        """Print the first rows."""

    def explain(self, analyze: bool = False) -> str:
        """The plan. It shows what is read, and what is answered from statistics.

        Parameters
        ----------
        analyze : bool
            Run the query, and show how many rows, chunks and bytes it needed.
        """

    def plot(self, kind: str | None = None) -> Picture:
        """The rows as a picture: the one that suits their columns.

        Parameters
        ----------
        kind : str, optional
            Another one: ``"points"``, ``"lines"``, ``"bars"``, ``"map"``, ``"section"``, ``"hist"``
            or ``"profile"``.

        Raises
        ------
        QueryError
            There is nothing to draw, or the columns do not suit the kind.
        """

    def __arrow_c_schema__(self) -> Any: ...
    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any: ...
    def _repr_html_(self) -> str: ...

@final
class Picture:
    """A picture of a result: SVG in notebooks, characters in terminals."""

    def to_svg(self) -> str:
        """The text of an SVG file."""

    def to_png(self) -> bytes:
        """The bytes of a PNG file."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a .svg or .png file.

        Raises
        ------
        InvalidError
            The name has another ending.
        """

    def _repr_svg_(self) -> str: ...

@final
class Table:
    """A table for the package `datafusion`, of version 55: ``context.register_table("t", table)``.

    Its scans prune and project as those of `Atlas.sql` do. Aggregates are computed from values,
    because the rules that answer them from statistics exist only in sessions of pyatlas.
    """

    @property
    def name(self) -> str:
        """The name."""

    def __datafusion_table_provider__(self, session: Any) -> Any: ...

@final
class Function:
    """An SQL function for the package `datafusion`, of version 55: see `register_functions`."""

    @property
    def name(self) -> str:
        """The name."""

    @property
    def is_aggregate(self) -> bool:
        """Whether it is an aggregate function."""

    def __datafusion_aggregate_udf__(self) -> Any: ...
    def __datafusion_scalar_udf__(self) -> Any: ...

def connect(**stores: Atlas | _Source) -> Session:
    """A session with stores under their names, as in ``connect(argo=store, era="era")``.

    The session shows the current committed state of each store.

    Raises
    ------
    LocationError
        There is no store at a location.
    """

def functions() -> list[Function]:
    """All SQL functions of Atlas: docs/functions.md lists them."""

def import_files(
    store: Atlas,
    paths: Sequence[str | os.PathLike[str]],
    *,
    name_from: str = "stem",
    existing: str = "error",
    checksum: bool = False,
    dry_run: bool = False,
    commit_every: int | None = None,
    concat: str | None = None,
    dataset_from: str | None = None,
    skip_errors: bool = False,
    strict: bool = False,
    stall_limit: float = 600.0,
    jobs: int | None = None,
    chunks: Mapping[str, int] | None = None,
    calendar: str = "keep",
    default_fill: str = "mask",
    valid_range: str = "keep",
) -> _Report:
    """Import NetCDF files by the CF conventions, in one commit: docs/import.md says how.

    Pending changes of `store` stay pending.

    Parameters
    ----------
    store : Atlas
        The store.
    paths : sequence of paths
        Files, directories and globs.
    name_from : str
        The source of the datasets' names: ``stem``, ``path`` or ``attr:KEY``.
    existing : {"error", "skip", "replace", "update"}
        What becomes of files whose datasets the store has. ``update`` replaces those of files that
        have changed.
    checksum : bool
        With ``update``: tell files that have changed by their bytes, not by their size and time.
    dry_run : bool
        Only find out what would be imported: see ``planned`` in the report.
    commit_every : int, optional
        Commit after so many datasets, and not only at the end.
    concat, dataset_from : str, optional
        A dimension along which files are joined, and to what: the name of a dataset, a pattern of
        the path with ``{name}`` in it, or ``attr:KEY``.
    skip_errors : bool
        Skip files that cannot be read.
    strict : bool
        Refuse files that cannot be read completely.
    stall_limit : float
        Seconds to wait for the next values of a file.
    jobs : int, optional
        The number of files to read at a time.
    chunks : mapping, optional
        Sizes of chunks by dimension.
    calendar : {"keep", "convert"}
        The treatment of times in calendars with other dates than timestamps.
    default_fill, valid_range : {"keep", "mask"}
        The treatment of cells with NetCDF's default fill value, and of cells out of range.

    Returns
    -------
    dict
        ``imported`` (the number of datasets), ``bytes``, ``skipped`` files with reasons,
        ``notices`` of what was not taken literally, and ``unknown_dims`` of `chunks`.

    Raises
    ------
    LocationError
        A path matches nothing.
    ExistsError
        Two files have one name, or the store has it.
    InvalidError
        A file cannot be read, or an option is wrong.
    """

def init_tracing(filter: str | None = None) -> None:
    """Log what Atlas does, with durations, to stderr. Only the first call has an effect.

    Parameters
    ----------
    filter : str, optional
        What to log, such as ``"info"`` or ``"atlas=debug"``. The default is the environment
        variable ``RUST_LOG``, or ``"info"``.

    Raises
    ------
    InvalidError
        The filter is invalid.
    """

def _main(arguments: Sequence[str]) -> int: ...
def _open(source: _Source, options: Mapping[str, Any], generation: int) -> Atlas: ...
def _open_dataset(
    source: _Source, options: Mapping[str, Any], generation: int, name: str
) -> DatasetView: ...
