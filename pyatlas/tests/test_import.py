"""NetCDF files into stores, and the command."""

import csv
import subprocess
import sys

import pyatlas
import pytest


def test_files_are_imported(tmp_path, data, argo):
    store = pyatlas.Atlas.create(tmp_path / "s")
    report = pyatlas.import_files(store, argo[:20], chunks={"N_LEVELS": 50, "none": 3}, jobs=2)
    assert (
        report["imported"] == 20 and report["skipped"] == [] and report["unknown_dims"] == ["none"]
    )
    assert report["bytes"] == sum(path.stat().st_size for path in argo[:20])
    assert store.list_datasets() == [path.stem for path in argo[:20]]
    assert store.open_dataset(argo[0].stem).array_meta("TEMP")["chunk_shape"][1] == 50
    profiles = store.sql(
        "SELECT dataset, count(TEMP), avg(TEMP), max(PRES) FROM atlas GROUP BY 1 ORDER BY 1"
    )
    with (data / "argo-expected.csv").open() as lines:
        expected = {row["dataset"]: row for row in csv.DictReader(lines)}
    for name, number, mean, deepest in profiles.fetchall():
        row = expected[name]
        assert number == int(row["TEMP_count"])
        assert (mean, deepest) == pytest.approx((float(row["TEMP_mean"]), float(row["PRES_max"])))
    with pytest.raises(FileExistsError):
        pyatlas.import_files(store, [argo[0]])
    for option in (
        {"name_from": "what"},
        {"calendar": "what"},
        {"default_fill": "what"},
        {"stall_limit": -1.0},
    ):
        with pytest.raises(ValueError):
            pyatlas.import_files(store, [argo[0]], **option)


def test_files_that_cannot_be_read_are_skipped_or_refused(tmp_path):
    bad = tmp_path / "bad.nc"
    bad.write_bytes(b"CDF\x01 no more")
    store = pyatlas.Atlas.create(tmp_path / "s")
    with pytest.raises(ValueError, match="bad.nc"):
        pyatlas.import_files(store, [bad])
    report = pyatlas.import_files(store, [bad], skip_errors=True)
    assert report["imported"] == 0 and report["skipped"][0][0] == str(bad)


def test_notices_tell_what_was_not_taken_literally(tmp_path, data):
    store = pyatlas.Atlas.create(tmp_path / "s")
    (notice, *_) = pyatlas.import_files(store, [data / "eraint_uvz.nc"])["notices"]
    assert (
        notice["class"] == "unusual attribute"
        and notice["variable"] == "u"
        and notice["files"] == 1
    )


def test_the_command_comes_with_the_package(stations):
    command = [sys.executable, "-m", "pyatlas._command"]
    version = subprocess.run([*command, "--version"], capture_output=True, text=True)
    assert version.returncode == 0 and version.stdout.startswith("atlas ")
    sql = [*command, "sql", stations, "--format", "csv", "-c", "SELECT count(*) AS n FROM atlas"]
    assert subprocess.run(sql, capture_output=True, text=True).stdout == "n\n1440\n"
    wrong = subprocess.run([*command, "info", stations + "-none"], capture_output=True, text=True)
    assert wrong.returncode == 1 and "no Atlas store" in wrong.stderr
