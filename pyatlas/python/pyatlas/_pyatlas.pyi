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
    """The storage does not let this process look, or has been given no credentials."""

class Conflict(AtlasError, RuntimeError):
    """Another writer has committed changes of the same.

    What is pending stays: `Atlas.refresh` or `Atlas.discard` it, and repeat the changes.
    """

class DTypeError(AtlasError, TypeError):
    """Values of one type were given or asked for where the array has another."""

class DamagedError(AtlasError, OSError):
    """A file of the store is damaged, or of a version that this build does not read."""

class ExistsError(AtlasError, FileExistsError):
    """There is a store, a dataset or an array of that name already."""

class InternalError(AtlasError, RuntimeError):
    """A fault in Atlas: please report it."""

class InvalidError(AtlasError, ValueError):
    """A name, shape, region, value or option that cannot be."""

class LocationError(AtlasError, FileNotFoundError):
    """There is no store, generation or file at the location."""

class NotFoundError(AtlasError, KeyError):
    """There is no dataset, array, dimension or attribute of that name."""

class QueryError(AtlasError, ValueError):
    """A statement that cannot be planned, or fails as it runs."""

class StateError(AtlasError, RuntimeError):
    """The handle cannot do that now.

    Something is pending, a write has failed half-way, or the process was forked.
    """

class StorageError(AtlasError, OSError):
    """The storage failed."""

class TooLargeError(AtlasError, MemoryError):
    """More was asked for than memory, or a limit of the store, allows."""

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
    bytes: int
    skipped: list[tuple[str, str]]
    notices: list[_Notice]
    unknown_dims: list[str]

@final
class Atlas:
    """A store of many named datasets of N-dimensional arrays.

    What is written through a handle is *pending* until `flush`: this handle reads it, and nobody
    else does. A flush commits all of it at once, or nothing. A handle can be shared between
    threads, and pickled while nothing is pending in it.

    A `with` block flushes at its end. Where it ends by an exception, it discards what is pending,
    and writes nothing.
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
            Where the store is to be: a directory, a URL (``s3://``, ``gs://``, ``az://``,
            ``memory://``), or a store of obstore, which is made again from its settings. obstore's
            `MemoryStore` has none, and is refused.
        codec : {"zstd", "lz4", "none"}
            The compression of blocks.
        meta_format, meta_compression : str
            Taken for the sake of programs that were written for atlas-python, and without effect:
            the catalog of a store is JSON.
        storage_options : mapping, optional
            Settings of the object store's client, such as ``{"region": "eu-north-1"}``. Otherwise
            the environment has them.

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
            Where the store is: see `create`.
        generation : int, optional
            Open the store as it was at this commit (see `log`), instead of the newest.
        storage_options : mapping, optional
            Settings of the object store's client.

        Raises
        ------
        LocationError
            There is no store, or it has no such generation, or no longer.
        DamagedError
            Its catalog is damaged: `atlas repair` makes it anew.
        """

    @property
    def location(self) -> str:
        """Where the store is."""

    @property
    def generation(self) -> int:
        """The number of the commit that this handle reads; 0 before the first."""

    @property
    def has_pending(self) -> bool:
        """Whether this handle has changes that are not committed."""

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
            There is no dataset `name`, there is one named `new`, or none can be named so.
        """

    def list_datasets(self) -> list[str]:
        """The names of the datasets, in the order in which they were added."""

    def list_arrays(self) -> list[str]:
        """The names of the arrays of all datasets, each once, sorted."""

    def dataset_exists(self, name: str) -> bool:
        """Whether there is a dataset of that name."""

    def attributes(self) -> dict[str, Any]:
        """The attributes of the store as a whole."""

    def get_attribute(self, key: str) -> Any:
        """An attribute of the store as a whole; None where it has none of that name."""

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
        """Add a dataset of xarray.

        Its variables, with their attributes and encodings, become arrays; what they hold is stored
        as it is, so that SQL has values and times. `open_as_xarray_dataset` gives an identical
        dataset. Variables of dask, and those that are still in a file, are streamed: at no time are
        more than some blocks in memory. Where this fails, nothing of the dataset stays pending.

        Parameters
        ----------
        ds : xarray.Dataset
            The dataset.
        name : str
            Its name in the store.
        chunks : mapping, optional
            The shape of chunks, by variable (``{"temperature": [24, 50, 50]}``) or by dimension
            (``{"time": 24}``, -1 for all of it). By default that of dask's blocks, or a sensible
            one.
        fill_value : scalar or mapping, optional
            What stands for a missing cell: one for all numbers, or one by variable, where None is
            for none. By default the attribute ``_FillValue``, or NaN for floats.

        Raises
        ------
        ExistsError
            There is a dataset of that name.
        TypeError
            A store has no such dtype or attribute: complex numbers, structures, objects.
        """

    def open_as_xarray_dataset(self, name: str) -> Any:
        """A dataset as an `xarray.Dataset`, as it was written.

        Arrays of several chunks are dask arrays, with a block for each; others are in memory. For a
        dataset that is read lazily, use ``xr.open_dataset(store, engine="atlas", dataset=name)``.

        Raises
        ------
        NotFoundError
            There is no such dataset.
        """

    def open_as_many_xarray_dataset(
        self, names: Sequence[str], concat_dim: str = "dataset", parallel: bool = True
    ) -> Any:
        """Datasets that are alike as one `xarray.Dataset` in memory.

        Each variable has the shape ``(len(names), *shape)``. Coordinates and attributes are those
        of the first dataset. Reads are always shared out over the processor's cores, whatever
        `parallel` says.

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
        """Datasets that are alike as one lazy `xarray.Dataset`, along a new first dimension.

        Parameters
        ----------
        names : sequence of str, optional
            The datasets.
        where : str, optional
            Or a predicate of SQL on them, over their names (``dataset``), attributes and sizes,
            such as ``"institution = 'IFREMER' AND time > 100"``.
        concat_dim : str
            The new dimension, whose coordinate is the names.
        variables : sequence of str, optional
            The variables; by default all. Coordinates come with them. A coordinate that differs
            between datasets gets the new dimension.

        Raises
        ------
        ValueError
            No dataset is chosen, or they differ in variables, shapes or the coordinates of
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
            The region: from the beginning and to the end of each array by default.

        Returns
        -------
        list of numpy.ndarray or None
            The cells in each dataset, in the order of the names; None where a dataset lacks the
            array, or does not exist.

        Raises
        ------
        NotFoundError
            No dataset of the store has the array.
        InvalidError
            The region does not lie in an array.
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
            Of shape ``(len(dataset_names), *shape)``.

        Raises
        ------
        NotFoundError
            A dataset lacks the array.
        InvalidError
            The region does not lie in an array, or whole arrays differ in shape.
        """

    def flush(self) -> None:
        """Commit all that is pending, at once.

        Raises
        ------
        Conflict
            Others have committed changes of the same since. Nothing is committed, and all stays
            pending.
        StorageError
            The storage failed. The store is as it was, or as it was to be.
        """

    def close(self) -> None:
        """Flush."""

    def discard(self) -> None:
        """Forget what is pending."""

    def refresh(self) -> None:
        """Forget what is pending, and go on to the newest generation."""

    def compact(self, variables: Sequence[str] | None = None) -> None:
        """Put the segments of variables, which many commits leave, in order again.

        Raises
        ------
        NotFoundError
            There is no such variable.
        """

    def vacuum(self, older_than: datetime.timedelta | None = None) -> _Vacuumed:
        """Remove earlier generations and files that none needs, if they are older than a week.

        Parameters
        ----------
        older_than : datetime.timedelta, optional
            Another age. It must be longer than any read or write that is under way.

        Returns
        -------
        dict
            ``files`` with their bytes, and ``generations``, that were removed.
        """

    def verify(self) -> _Verified:
        """Read the whole store, and check every checksum and every statistic.

        Returns
        -------
        dict
            What was checked, and ``problems``, which is empty where the store is whole.
        """

    def log(self) -> list[_Commit]:
        """The commits that can be opened, newest first."""

    def sql(self, query: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> Result:
        """Plan a query over what is committed of this store, whose table is ``atlas``.

        Names need no quotes where only one can be meant. docs/sql.md says what the tables are.

        Parameters
        ----------
        query : str
            A statement of SQL.
        params : sequence or mapping, optional
            The values of ``$1``, ``$2`` …, or of ``$name``.

        Returns
        -------
        Result
            The rows, which are not computed before they are asked for.

        Raises
        ------
        QueryError
            The statement is wrong.
        """

    def table(self, name: str | None = None) -> Table:
        """A table of this store for the package `datafusion`: the wide one, or
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
            Its dimensions, slowest first. A dimension of the dataset has one size: where another
            array has one of the same name and another size, this array gets one of its own,
            ``x_2``.
        shape : sequence of int
            Its shape, of as many numbers.
        chunk_shape : sequence of int, optional
            The shape of its chunks; by default the array's own, or less if it is large.
        fill_value : scalar, optional
            The value that stands for a missing cell, in nanoseconds since 1970 for an instant.
            Cells that equal it are missing, and those that nobody writes.

        Raises
        ------
        ExistsError
            There is an array of that name.
        InvalidError
            The name, the dtype or a shape cannot be.
        DTypeError, OverflowError
            The fill value is of another type, or out of range.
        """

    def write_array(self, name: str, start: Sequence[int], data: NDArray[Any]) -> None:
        """Write a region of an array, over what is there.

        Parameters
        ----------
        name : str
            The array.
        start : sequence of int
            Where the region begins.
        data : numpy.ndarray
            Its cells, of any layout and byte order, and of the array's dtype. Instants may be
            datetime64 of any unit, or int64 of nanoseconds; texts may be objects, fixed or variable
            strings, or UTF-8 bytes. Cells that are masked, None or NaT are missing.

        Raises
        ------
        NotFoundError
            There is no such array.
        DTypeError
            The data are of another dtype.
        InvalidError
            The region does not lie in the array, or an instant is no whole number of nanoseconds
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
            The region: from the beginning and to the end of the array by default.
        masked : bool
            Give a `numpy.ma.MaskedArray`.
        arrow : bool
            Give an array of Arrow, flat in row-major order, with nulls: any library that takes
            Arrow's C interface has it without a copy, as by ``pyarrow.array(…)``.

        Returns
        -------
        numpy.ndarray or None
            The cells; None where there is no such array. Missing cells are the fill value. Without
            one they are zero or empty, and NaT. Instants are ``datetime64[ns]``, texts and bytes
            are objects.

        Raises
        ------
        InvalidError
            The region does not lie in the array.
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
        """Read one region of several arrays: what `read_array` gives, by name."""

    def delete_array(self, name: str) -> None:
        """Delete an array.

        Raises
        ------
        NotFoundError
            There is none of that name.
        """

    def extend(self, dim: str, size: int) -> None:
        """Make a dimension longer, and with it every array over it. New cells are missing.

        Raises
        ------
        NotFoundError
            There is no such dimension.
        InvalidError
            It would become shorter.
        """

    def array_meta(self, array: str) -> _Meta | None:
        """The dtype, shape, chunk shape and dimensions of an array; None where there is none."""

    def array_stats(self, array: str) -> _Stats | None:
        """The number of cells and of missing ones, the least and the greatest value of an array.

        No value is read. Instants are integers of nanoseconds since 1970. None where there is no
        such array.
        """

    def array_fill_value(self, array: str) -> Any:
        """The fill value of an array, an instant in nanoseconds since 1970; None without one."""

    def attributes(self) -> dict[str, Any]:
        """The attributes, in the order in which they were set."""

    def get_attribute(self, key: str) -> Any:
        """An attribute; None where there is none of that name."""

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
            The type of the value, if it is not to be told from it: see `define_array`.

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
        """An attribute of an array; None where it has none of that name.

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
    """Stores under names, for queries over all of them. `connect` makes one."""

    def sql(self, query: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> Result:
        """Plan a statement: see `Atlas.sql`."""

    def table(self, name: str) -> Table:
        """A table, such as ``argo`` or ``argo.temperature``: see `Atlas.table`."""

@final
class Result:
    """The rows of a query. Each method that asks for them runs the query.

    It is a stream of Arrow's C interface too: ``pyarrow.table(result)``,
    ``polars.DataFrame(result)``, and in DuckDB ``SELECT … FROM result`` take the rows as they are
    computed. While they wait, other threads run, and Ctrl-C ends the query.
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
            columns become variables of the shape of all combinations, with the attributes of the
            store's variables of their names. Combinations without a row are missing. By default,
            all columns lie along ``row``.

        Raises
        ------
        ValueError
            Several rows are of one combination, or a dimension is NULL.
        KeyError
            There is no such column.
        """

    def to_columns(self) -> dict[str, tuple[NDArray[Any], NDArray[np.bool_] | None]]:
        """The columns as NumPy arrays, each with a mask where values are missing, else None."""

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rows as tuples: None for NULL, instants as `numpy.datetime64`."""

    def show(self, rows: int = 20) -> None:
        """Print the first rows."""

    def explain(self, analyze: bool = False) -> str:
        """The plan: what is read, and what is answered from statistics.

        Parameters
        ----------
        analyze : bool
            Run it, and tell how many rows, chunks and bytes it has taken.
        """

    def plot(self) -> Picture:
        """The rows as a picture: lines, bars or a map, as their columns suggest.

        Raises
        ------
        QueryError
            There is nothing to draw.
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
            The name ends otherwise.
        """

    def _repr_svg_(self) -> str: ...

@final
class Table:
    """A table for the package `datafusion`, of version 55: ``context.register_table("t", table)``.

    Scans of it prune and project as those of `Atlas.sql` do. Aggregates are computed from values:
    what answers them from statistics is a rule of our sessions.
    """

    @property
    def name(self) -> str:
        """The name."""

    def __datafusion_table_provider__(self, session: Any) -> Any: ...

@final
class Function:
    """A function of SQL for the package `datafusion`, of version 55: see `register_functions`."""

    @property
    def name(self) -> str:
        """The name."""

    @property
    def is_aggregate(self) -> bool:
        """Whether it takes a group of rows."""

    def __datafusion_aggregate_udf__(self) -> Any: ...
    def __datafusion_scalar_udf__(self) -> Any: ...

def connect(**stores: Atlas | _Source) -> Session:
    """A session with stores under their names, as in ``connect(argo=store, era="era")``.

    The session shows what is committed of each now.

    Raises
    ------
    LocationError
        There is no store at a location.
    """

def functions() -> list[Function]:
    """All functions of SQL that Atlas brings: docs/functions.md lists them."""

def import_files(
    store: Atlas,
    paths: Sequence[str | os.PathLike[str]],
    *,
    name_from: str = "stem",
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

    What is pending in `store` stays pending.

    Parameters
    ----------
    store : Atlas
        The store.
    paths : sequence of paths
        Files, directories and globs.
    name_from : str
        What datasets are named after: ``stem``, ``path`` or ``attr:KEY``.
    skip_errors : bool
        Go on past files that cannot be read.
    strict : bool
        Refuse files of which a part cannot be read.
    stall_limit : float
        Seconds to wait for the next values of a file.
    jobs : int, optional
        Files to read at one time.
    chunks : mapping, optional
        Sizes of chunks by dimension.
    calendar : {"keep", "convert"}
        What becomes of times in calendars that have other dates than timestamps.
    default_fill, valid_range : {"keep", "mask"}
        What becomes of cells with NetCDF's default fill value, and of those out of range.

    Returns
    -------
    dict
        ``imported`` datasets, ``bytes``, ``skipped`` files with the reasons, ``notices`` of what
        was not taken literally, and ``unknown_dims`` of `chunks`.

    Raises
    ------
    LocationError
        A path names nothing.
    ExistsError
        Two files have one name, or the store has it.
    InvalidError
        A file cannot be read, or an option is wrong.
    """

def init_tracing(filter: str | None = None) -> None:
    """Write what Atlas does, and how long it takes, to stderr. Only the first call has an effect.

    Parameters
    ----------
    filter : str, optional
        What to write, such as ``"info"`` or ``"atlas=debug"``; by default as the environment
        variable ``RUST_LOG`` says, or ``"info"``.

    Raises
    ------
    InvalidError
        The filter cannot be understood.
    """

def _main(arguments: Sequence[str]) -> int: ...
def _open(source: _Source, options: Mapping[str, Any], generation: int) -> Atlas: ...
def _open_dataset(
    source: _Source, options: Mapping[str, Any], generation: int, name: str
) -> DatasetView: ...
