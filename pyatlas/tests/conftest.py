"""Stores and data that several tests use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyatlas
import pytest

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """Real files, beside the project."""
    if not DATA.is_dir():
        pytest.skip(f"there is no {DATA}")
    return DATA


@pytest.fixture(scope="session")
def argo(data: Path) -> list[Path]:
    return sorted(data.glob("argo/*/*.nc"))


def write_stations(store: pyatlas.Atlas, number: int = 12) -> None:
    """Datasets `d00`, `d01` …: temperature(depth, time), with attributes and missing cells."""
    hours = np.datetime64("2024-01-01", "ns") + np.arange(24) * np.timedelta64(3600, "s")
    for i in range(number):
        view = store.create_dataset(f"d{i:02}")
        view.define_array("time", "datetime64[ns]", ["time"], [24])
        view.write_array("time", [0], hours)
        view.define_array("depth", "float32", ["depth"], [5])
        view.write_array("depth", [0], np.arange(5, dtype="f4") * 10)
        view.define_array("temperature", "float32", ["depth", "time"], [5, 24], [2, 8], np.nan)
        values = np.random.default_rng(i).normal(10, 3, (5, 24)).astype("f4")
        values[0, :3] = np.nan
        view.write_array("temperature", [0, 0], values)
        view.set_array_attribute("temperature", "units", "degC")
        view.set_array_attribute("temperature", "long_name", "sea temperature")
        view.set_attribute("station", f"s{i % 3}")


@pytest.fixture(scope="session")
def stations(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store of twelve stations, only to be read."""
    location = str(tmp_path_factory.mktemp("stations") / "store")
    with pyatlas.Atlas.create(location) as store:
        write_stations(store)
    return location
