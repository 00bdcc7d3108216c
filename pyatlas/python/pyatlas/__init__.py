"""Atlas: SQL over thousands of N-dimensional datasets, for people who use xarray.

A store holds named datasets of N-dimensional arrays, on a local disk or any object storage::

    import pyatlas
    import xarray as xr

    with pyatlas.Atlas.create("argo") as store:
        for path in paths:
            store.add_xarray_dataset(xr.open_dataset(path), path.stem)

    store.sql("SELECT dataset, avg(TEMP) FROM atlas GROUP BY dataset").to_pandas()
    xr.open_dataset("argo", engine="atlas", dataset="R13857_001")

Nothing is written to disk before a flush. The end of a `with` block flushes too.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from typing import TYPE_CHECKING, Any

from ._pyatlas import (
    AccessError,
    Atlas,
    AtlasError,
    Conflict,
    DamagedError,
    DatasetView,
    DTypeError,
    ExistsError,
    Function,
    InternalError,
    InvalidError,
    LocationError,
    NotFoundError,
    Picture,
    QueryError,
    Result,
    Session,
    StateError,
    StorageError,
    Table,
    TooLargeError,
    __version__,
    connect,
    functions,
    import_files,
    init_tracing,
)

if TYPE_CHECKING:
    import types
    from collections.abc import Sequence

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
    "connect",
    "functions",
    "import_files",
    "init_tracing",
    "register_functions",
]


def register_functions(context: Any) -> None:
    """Register all SQL functions of Atlas with a session of the package `datafusion`.

    Parameters
    ----------
    context : datafusion.SessionContext
        The session, of version 55.
    """
    from datafusion import udaf, udf

    for function in functions():
        if function.is_aggregate:
            context.register_udaf(udaf(function))
        else:
            context.register_udf(udf(function))


class _AfterXarray(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Registers `ds.atlas` once xarray is imported. Importing xarray takes longer than pyatlas."""

    _loader: importlib.abc.Loader | None = None

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "xarray":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None:
            self._loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        from . import accessor  # noqa: F401


if "xarray" in sys.modules:
    from . import accessor  # noqa: F401
else:
    import importlib.util

    sys.meta_path.insert(0, _AfterXarray())
