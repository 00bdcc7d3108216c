"""Threads, processes, forks and Ctrl-C."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pyatlas
import pytest
import xarray as xr


def python(
    script: str, *arguments: object, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


def is_identical(location: str, name: str, path: str) -> bool:
    """For another process: whether a dataset is what xarray sees in a file."""
    with xr.open_dataset(path) as ds:
        return xr.open_dataset(location, engine="atlas", dataset=name).identical(ds)


def test_a_process_pool_sees_the_same(tmp_path, data, argo):
    paths = [*argo[::100], data / "eraint_uvz.nc"]
    with pyatlas.Atlas.create(tmp_path / "s") as store:
        for path in paths:
            with xr.open_dataset(path) as ds:
                ds.atlas.write(store, path.stem)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        same = pool.map(
            is_identical, [store.location] * len(paths), [p.stem for p in paths], map(str, paths)
        )
        assert list(same) == [True] * len(paths)
        views = [store.open_dataset(path.stem) for path in paths]
        lists = pool.map(pyatlas.DatasetView.list_arrays, views)
        assert list(lists) == [view.list_arrays() for view in views]


def test_dask_distributed(stations):
    from distributed import Client, LocalCluster

    expected = xr.open_dataset(stations, engine="atlas", dataset="d03").load()
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        opened = xr.open_dataset(stations, engine="atlas", dataset="d03", chunks={})
        xr.testing.assert_identical(opened.compute(), expected)


def test_a_fork_after_the_first_use_raises_and_does_not_hang(stations):
    script = """
    import os, sys, pyatlas
    store = pyatlas.Atlas.open(sys.argv[1])
    view = store.open_dataset("d00")
    result = store.sql("SELECT count(*) FROM atlas")
    actions = [store.list_datasets, store.flush, lambda: view.read_array("time"), view.attributes, result.fetchall,
               lambda: store.sql("SELECT 1"), lambda: pyatlas.Atlas.open(sys.argv[1]), lambda: store.table()]
    child = os.fork()
    if child == 0:
        refused = 0
        for action in actions:
            try:
                action()
            except pyatlas.StateError as error:
                refused += "forked" in str(error)
        os._exit(0 if refused == len(actions) else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(store.list_datasets()))
    """
    run = python(script, stations, timeout=30)
    assert run.stdout.split() == ["0", "12"], run.stderr


def test_a_fork_before_the_first_use_works(stations):
    script = """
    import os, sys, pyatlas
    child = os.fork()
    found = len(pyatlas.Atlas.open(sys.argv[1]).list_datasets())
    if child == 0:
        os._exit(found)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), found)
    """
    assert python(script, stations, timeout=30).stdout.split() == ["12", "12"]


def decimals(seed: int) -> np.ndarray:
    """Numbers with two decimals, which take work to decode."""
    return np.random.default_rng(seed).normal(size=(64, 16384)).round(2)


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> pyatlas.Atlas:
    """Sixteen datasets that take a while to read."""
    location = tmp_path_factory.mktemp("large") / "s"
    with pyatlas.Atlas.create(location) as store:
        for i in range(16):
            view = store.create_dataset(f"d{i:02}")
            view.define_array("a", "float64", ["y", "x"], [64, 16384])
            view.write_array("a", [0, 0], decimals(i))
    return store


def test_threads_read_the_same(large):
    def read(name: str) -> float:
        # Without its cache, a handle decodes again.
        return float(pyatlas.Atlas.open(large.location).open_dataset(name).read_array("a").sum())

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(read, large.list_datasets()))
    np.testing.assert_allclose(found, [float(decimals(i).sum()) for i in range(16)])


def test_other_threads_run_during_a_read(large):
    def read() -> tuple[float, float]:
        store = pyatlas.Atlas.open(large.location)
        names = store.list_datasets()
        begun = time.perf_counter()
        store.read_array_across("a", names)
        return begun, time.perf_counter()

    def overlaps() -> bool:
        """Whether this thread runs when another one has done a third of a read."""
        moments = []
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(read)
            while not reading.done():
                moments.append(time.perf_counter())
        begun, ended = reading.result()
        third = (ended - begun) / 3
        return any(begun + third < moment < ended - third for moment in moments)

    # On a busy machine, a thread can have no processor for that long.
    assert sum(overlaps() for _ in range(20)) >= 3


def test_one_handle_in_many_threads(stations):
    store = pyatlas.Atlas.open(stations)
    names = store.list_datasets() * 20
    whole = dict(zip(names, store.read_array_across("temperature", names)))

    def work(name: str) -> None:
        np.testing.assert_array_equal(
            store.open_dataset(name).read_array("temperature"), whole[name]
        )
        (count,) = store.sql("SELECT count(*) FROM atlas WHERE dataset = $1", [name]).fetchall()
        assert count == (120,)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, names))


def interrupted(script: str, *arguments: object) -> float:
    """Seconds that a script takes from Ctrl-C, which it is sent after it prints a line, to its end."""
    # Jobs that a script runs in the background ignore interrupts: not this one.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    command = [sys.executable, "-uc", heed + textwrap.dedent(script), *map(str, arguments)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "begun\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return float(out)


def ends_soon(script: str, *arguments: object) -> bool:
    """Whether Ctrl-C ends a script in a fifth of a second, and some time for other processes."""
    return any(interrupted(script, *arguments) < 0.2 + 0.15 for _ in range(5))


FOREVER = (
    "SELECT count(*) FROM generate_series(1, 10000000) a, generate_series(1, 10000000) b "
    "WHERE sin(a.value) > 2 OR a.value = b.value + 0.5"
)


@pytest.mark.parametrize("form", ["fetchall()", "to_arrow()", "show()", "to_pandas()"])
def test_ctrl_c_ends_a_query(stations, form):
    script = f"""
    import sys, time, pyatlas
    result = pyatlas.Atlas.open(sys.argv[1]).sql({FOREVER!r})
    print("begun")
    begun = time.monotonic()
    try:
        result.{form}
    except KeyboardInterrupt:
        print(time.monotonic() - begun - 0.5)
    """
    assert ends_soon(script, stations)


def test_ctrl_c_ends_a_stream(stations):
    script = f"""
    import sys, time, pyatlas, pyarrow as pa
    result = pyatlas.Atlas.open(sys.argv[1]).sql({FOREVER!r})
    print("begun")
    begun = time.monotonic()
    try:
        try:
            pa.table(result)
        except pa.ArrowException:
            for _ in range(100):
                time.sleep(0.01)
    except KeyboardInterrupt:
        print(time.monotonic() - begun - 0.5)
    """
    assert ends_soon(script, stations)


def test_ctrl_c_in_a_write_leaves_the_store_as_it_was(tmp_path):
    with pyatlas.Atlas.create(tmp_path / "s") as store:
        store.create_dataset("kept").set_attribute("a", 1)
    script = """
    import sys, time, numpy as np, pyatlas
    data = np.random.default_rng(0).normal(size=(256, 65536))
    try:
        with pyatlas.Atlas.open(sys.argv[1]) as store:
            print("begun")
            for i in range(1000):
                view = store.create_dataset(f"d{i}")
                view.define_array("a", "float64", ["y", "x"], data.shape)
                view.write_array("a", [0, 0], data)
    except KeyboardInterrupt:
        print(0.0)
    """
    interrupted(script, tmp_path / "s")
    store = pyatlas.Atlas.open(tmp_path / "s")
    assert store.list_datasets() == ["kept"] and store.generation == 1
    assert store.verify()["problems"] == []


def test_importing_is_quick():
    script = "import time; t = time.perf_counter(); import pyatlas; print(time.perf_counter() - t)"
    python(script)
    assert min(float(python(script).stdout) for _ in range(5)) < 0.150


def test_importing_needs_neither_xarray_nor_numpy():
    run = python(
        "import pyatlas, sys; print({'numpy', 'xarray', 'dask', 'pandas'} & set(sys.modules))"
    )
    assert run.stdout == "set()\n"
