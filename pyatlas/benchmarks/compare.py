"""Compares pyatlas with atlas-python 0.10.0 and `xr.open_mfdataset`, on the workloads of workloads.py.

usage: python compare.py DIRECTORY --workloads ../shared/bench --seed VENV/bin/python
                         [--loads profile grid] [--repeat 5]

VENV has `atlas-python==0.10.0`, and this environment pyatlas, both with xarray, dask and netCDF4.
Each measurement is a process of its own, which opens the store again for each repetition. Figures are
the best of the repetitions, in milliseconds, and the checksums of all must agree. Prints a table in
Markdown.
"""

from __future__ import annotations

import argparse
import glob
import importlib
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

SLICES = {"profile": ([10, 0], [5, 24]), "grid": ([25, 25, 0], [10, 10, 12])}
TASKS = {
    "atlas": ["write", "open", "full", "slice", "mean"],
    "pyatlas": ["write", "open", "full", "slice", "mean"],
    "mfdataset": ["one_slice", "mean"],
    "pyatlas_one": ["one_slice"],
}


def datasets(load: str, number: int | None) -> list[tuple[str, Any]]:
    import workloads
    import xarray as xr

    make = getattr(workloads, load)
    made = make() if number is None else make(number)
    found = []
    for name, dims, variables, coords, _ in made:
        data = {key: (dims, values) for key, values in variables.items()}
        found.append(
            (name, xr.Dataset(data, {key: (key, values) for key, values in coords.items()}))
        )
    return found


def best(
    action: Callable[[], Any], repeat: int, before: Callable[[], Any] = lambda: None
) -> tuple[float, Any]:
    """Milliseconds of the fastest of some runs, and its result."""
    fastest, value = math.inf, None
    for _ in range(repeat):
        before()
        begun = time.perf_counter()
        value = action()
        fastest = min(fastest, (time.perf_counter() - begun) * 1e3)
    return fastest, value


def of_store(
    module: str, load: str, task: str, root: str, repeat: int, number: int | None
) -> dict[str, Any]:
    """One task of a store, by a package with atlas-python's names."""
    import numpy as np

    atlas = importlib.import_module(module).Atlas
    location = f"{root}/{load}.{module}"
    start, shape = SLICES[load]
    if task == "write":
        made = datasets(load, number)

        def write() -> None:
            with atlas.create(location) as store:
                for name, ds in made:
                    store.add_xarray_dataset(ds, name)

        taken, _ = best(
            write, max(2, repeat // 2), lambda: shutil.rmtree(location, ignore_errors=True)
        )
        size = sum(
            os.path.getsize(path)
            for path in glob.glob(f"{location}/**/*", recursive=True)
            if os.path.isfile(path)
        )
        return {"ms": taken, "checksum": len(made), "bytes": size}
    names = atlas.open(location).list_datasets()
    variables = [
        name
        for name in atlas.open(location).list_arrays()
        if name in ("temperature", "salinity", "pressure", "humidity")
    ]

    def read(*region: list[int]) -> float:
        store = atlas.open(location)
        return sum(
            float(
                store.read_array_across_stacked(name, names, *region).ravel()[::97].sum(dtype="f8")
            )
            for name in variables
        )

    def mean() -> float:
        store = atlas.open(location)
        if module == "pyatlas":
            rows = store.sql(
                "SELECT dataset, avg(temperature) AS mean FROM atlas GROUP BY dataset"
            ).to_columns()
            return float(rows["mean"][0].sum())
        stacked = store.read_array_across_stacked("temperature", names)
        return float(np.nanmean(stacked, axis=tuple(range(1, stacked.ndim)), dtype="f8").sum())

    action = {
        "open": lambda: len(atlas.open(location).list_datasets()),
        "full": read,
        "slice": lambda: read(start, shape),
        "mean": mean,
    }[task]
    taken, value = best(action, repeat)
    return {"ms": taken, "checksum": value}


def of_files(load: str, task: str, root: str, repeat: int) -> dict[str, Any]:
    """One task of NetCDF files, by `xr.open_mfdataset`."""
    import xarray as xr

    files = sorted(glob.glob(f"{root}/{load}.nc/*.nc"))
    start, shape = SLICES[load]

    def opened() -> Any:
        ds = xr.open_mfdataset(
            files,
            combine="nested",
            concat_dim="dataset",
            coords="minimal",
            compat="override",
            join="override",
            data_vars="all",
        )
        return ds["temperature"]

    def one_slice() -> float:
        array = opened()
        region = {dim: slice(a, a + n) for dim, a, n in zip(array.dims[1:], start, shape)}
        return float(array.isel(region).astype("f8").sum().compute())

    def mean() -> float:
        array = opened()
        return float(array.mean(array.dims[1:], dtype="f8").sum().compute())

    taken, value = best({"one_slice": one_slice, "mean": mean}[task], max(2, repeat // 2))
    return {"ms": taken, "checksum": value}


def one_slice(load: str, root: str, repeat: int) -> dict[str, Any]:
    """The slice of one variable that `of_files` takes, by pyatlas."""
    import pyatlas

    start, shape = SLICES[load]

    def read() -> float:
        store = pyatlas.Atlas.open(f"{root}/{load}.pyatlas")
        return float(
            store.read_array_across_stacked("temperature", store.list_datasets(), start, shape).sum(
                dtype="f8"
            )
        )

    taken, value = best(read, repeat)
    return {"ms": taken, "checksum": value}


def worker(
    who: str, load: str, task: str, root: str, repeat: int, number: int | None
) -> dict[str, Any]:
    if who == "mfdataset":
        return of_files(load, task, root, repeat)
    if who == "pyatlas_one":
        return one_slice(load, root, repeat)
    return of_store(who, load, task, root, repeat, number)


def files(load: str, root: str, number: int | None) -> None:
    """NetCDF files of a workload, where they are missing."""
    directory = f"{root}/{load}.nc"
    if os.path.isdir(directory):
        return
    os.makedirs(directory)
    for name, ds in datasets(load, number):
        ds.to_netcdf(f"{directory}/{name}.nc", engine="netcdf4")


def row(
    load: str, task: str, ours: dict[str, Any], theirs: dict[str, Any], than: str, wanted: float
) -> str:
    same = math.isclose(ours["checksum"], theirs["checksum"], rel_tol=1e-5)
    lead = theirs["ms"] / ours["ms"]
    met = "yes" if lead >= wanted else "no"
    times = f"{theirs['ms']:.1f} | {ours['ms']:.1f} | {lead:.1f}"
    return (
        f"| {load} | {task} | {than} | {times} | {wanted:g} | {met} "
        f"| {'same' if same else 'DIFFER'} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory")
    parser.add_argument("--workloads", required=True)
    parser.add_argument("--seed", help="the Python of atlas-python")
    parser.add_argument("--loads", nargs="+", default=["profile", "grid"])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--number", type=int, help="datasets, if not those of the workload")
    parser.add_argument("--worker", nargs=3)
    options = parser.parse_args()
    sys.path.insert(0, options.workloads)
    if options.worker:
        who, load, task = options.worker
        print(
            json.dumps(worker(who, load, task, options.directory, options.repeat, options.number))
        )
        return

    def measured(who: str, load: str, task: str) -> dict[str, Any]:
        python = options.seed if who == "atlas" else sys.executable
        command = [
            python,
            os.path.abspath(__file__),
            options.directory,
            "--workloads",
            options.workloads,
            "--repeat",
            str(options.repeat),
            "--worker",
            who,
            load,
            task,
        ]
        command += ["--number", str(options.number)] if options.number else []
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            raise SystemExit(run.stderr)
        return json.loads(run.stdout.splitlines()[-1])

    os.makedirs(options.directory, exist_ok=True)
    print("| workload | task | beside | its ms | pyatlas ms | lead | wanted | met | values |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: | --- | --- |")
    for load in options.loads:
        files(load, options.directory, options.number)
        ours = {task: measured("pyatlas", load, task) for task in TASKS["pyatlas"]}
        wanted = {"write": 1, "open": 1, "full": 2, "slice": 2, "mean": 20}
        for task in TASKS["atlas"] if options.seed else []:
            print(
                row(
                    load,
                    task,
                    ours[task],
                    measured("atlas", load, task),
                    "atlas-python",
                    wanted[task],
                ),
                flush=True,
            )
        theirs = measured("mfdataset", load, "mean")
        print(row(load, "mean", ours["mean"], theirs, "open_mfdataset", 50), flush=True)
        ours, theirs = (
            measured("pyatlas_one", load, "one_slice"),
            measured("mfdataset", load, "one_slice"),
        )
        print(row(load, "one slice", ours, theirs, "open_mfdataset", 10), flush=True)


if __name__ == "__main__":
    main()
