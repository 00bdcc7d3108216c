"""The examples run, and say what they are to say."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
SAID = {
    "01_basics": ["[-- 11.5 12.5]", "(2, 'write'), (1, 'write')"],
    "02_xarray": ["(12, 12)", "{'time': 24, 'lat': 21, 'lon': 41, 'run': 3} [1 3 5]"],
    "03_dask_streaming": ["'chunk_shape': [24, 45, 90]"],
    "04_sql": ["{'units': 'degC'}", "[(2000,)]"],
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path, tmp_path):
    command = [sys.executable, path, tmp_path / "store"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    for text in SAID[path.stem]:
        assert text in run.stdout, run.stdout


def test_all_examples_are_known():
    assert [path.stem for path in EXAMPLES] == list(SAID)
