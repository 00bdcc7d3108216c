"""SQL and what xarray and pandas compute on the same files."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyatlas
import pytest
import xarray as xr


@pytest.fixture(scope="module")
def store(tmp_path_factory, data, argo) -> pyatlas.Atlas:
    """A float's profiles and ERA-Interim, as xarray reads them."""
    location = tmp_path_factory.mktemp("sql") / "argo"
    with pyatlas.Atlas.create(location) as store:
        for path in argo[:60]:
            with xr.open_dataset(path) as ds:
                ds[VARIABLES].atlas.write(store, path.stem)
    return store


@pytest.fixture(scope="module")
def era(tmp_path_factory, data) -> pyatlas.Atlas:
    location = tmp_path_factory.mktemp("sql") / "era"
    with pyatlas.Atlas.create(location) as store, xr.open_dataset(data / "eraint_uvz.nc") as ds:
        ds.atlas.write(store, "era")
    return store


VARIABLES = [
    "TEMP",
    "PRES",
    "TEMP_QC",
    "JULD",
    "LATITUDE",
    "LONGITUDE",
    "PLATFORM_NUMBER",
    "CYCLE_NUMBER",
]


@pytest.fixture(scope="module")
def frame(argo) -> pd.DataFrame:
    """The same profiles as one frame."""
    frames = []
    for path in argo[:60]:
        with xr.open_dataset(path) as ds:
            frame = ds[VARIABLES].to_dataframe().reset_index()
            frame["dataset"] = path.stem
            frames.append(frame)
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def grid(data) -> xr.Dataset:
    with xr.open_dataset(data / "eraint_uvz.nc") as ds:
        return ds.load()


def by(frame, key, column, what):
    return frame.groupby(key)[column].agg(what)


PROFILES = {
    "SELECT count(*) FROM atlas": lambda f: len(f),
    "SELECT count(TEMP) FROM atlas": lambda f: f.TEMP.count(),
    "SELECT avg(TEMP) FROM atlas": lambda f: f.TEMP.astype("f8").mean(),
    "SELECT min(TEMP) FROM atlas": lambda f: f.TEMP.min(),
    "SELECT max(PRES) FROM atlas": lambda f: f.PRES.max(),
    "SELECT stddev(TEMP) FROM atlas": lambda f: f.TEMP.astype("f8").std(),
    "SELECT count(DISTINCT dataset) FROM atlas WHERE TEMP > 28": lambda f: f[
        f.TEMP > 28
    ].dataset.nunique(),
    "SELECT avg(TEMP) FROM atlas WHERE PRES BETWEEN 100 AND 500": (
        lambda f: f[f.PRES.between(100, 500)].TEMP.astype("f8").mean()
    ),
    "SELECT dataset, avg(TEMP) FROM atlas GROUP BY 1 ORDER BY 1": (
        lambda f: by(f.astype({"TEMP": "f8"}), "dataset", "TEMP", "mean")
    ),
    "SELECT dataset, max(PRES) FROM atlas WHERE TEMP > 5 GROUP BY 1 ORDER BY 1": (
        lambda f: by(f[f.TEMP > 5], "dataset", "PRES", "max")
    ),
    "SELECT TEMP_QC, count(*) FROM atlas WHERE TEMP_QC IS NOT NULL GROUP BY 1 ORDER BY 1": (
        lambda f: f.assign(TEMP_QC=f.TEMP_QC.str.decode("ascii")).groupby("TEMP_QC").size()
    ),
    "SELECT date_trunc('month', JULD), count(TEMP) FROM atlas GROUP BY 1 ORDER BY 1": (
        lambda f: by(f, f.JULD.dt.to_period("M").dt.to_timestamp(), "TEMP", "count")
    ),
    "SELECT N_LEVELS, avg(TEMP) FROM atlas WHERE N_LEVELS < 5 GROUP BY 1 ORDER BY 1": (
        lambda f: by(f[f.N_LEVELS < 5].astype({"TEMP": "f8"}), "N_LEVELS", "TEMP", "mean")
    ),
    "SELECT median(LATITUDE) FROM atlas": lambda f: f.LATITUDE.median(),
    "SELECT corr(TEMP, PRES) FROM atlas": lambda f: f.TEMP.astype("f8").corr(f.PRES.astype("f8")),
    "SELECT floor(PRES / 100) * 100, max(TEMP) FROM atlas WHERE PRES IS NOT NULL GROUP BY 1 ORDER BY 1": (
        lambda f: by(f, np.floor(f.PRES / 100) * 100, "TEMP", "max")
    ),
}

GRIDS = {
    "SELECT avg(u) FROM atlas": lambda g: float(g.u.mean()),
    "SELECT level, avg(z) FROM atlas GROUP BY 1 ORDER BY 1": lambda g: g.z.mean(
        ["month", "latitude", "longitude"]
    ),
    "SELECT max(sqrt(u * u + v * v)) FROM atlas WHERE level = 200": (
        lambda g: float(np.hypot(g.u, g.v).sel(level=200).max())
    ),
    "SELECT month, min(v) FROM atlas WHERE latitude > 60 GROUP BY 1 ORDER BY 1": (
        lambda g: g.v.where(g.latitude > 60).min(["level", "latitude", "longitude"])
    ),
    "SELECT latitude, avg(u) FROM atlas WHERE month = 7 AND level = 850 GROUP BY 1 ORDER BY 1": (
        lambda g: g.u.sel(month=7, level=850).mean("longitude").sortby("latitude")
    ),
    "SELECT count(*) FROM atlas WHERE u > 0 AND v < 0": lambda g: int(
        ((g.u > 0) & (g.v < 0)).sum()
    ),
}


def check(result, expected):
    expected = np.asarray(getattr(expected, "values", expected), dtype=float).ravel()
    found = np.array([float(row[-1]) for row in result.fetchall()])
    assert len(expected) > 0
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("query", PROFILES)
def test_profiles_are_as_pandas_has_them(store, frame, query):
    check(store.sql(query), PROFILES[query](frame))


@pytest.mark.parametrize("query", GRIDS)
def test_grids_are_as_xarray_has_them(era, grid, query):
    check(era.sql(query), GRIDS[query](grid))


def test_results_in_every_form(stations):
    store = pyatlas.Atlas.open(stations)
    result = store.sql("SELECT dataset, time, depth, temperature FROM atlas ORDER BY 1, 2, 3")
    assert result.columns == ["dataset", "time", "depth", "temperature"]
    table = result.to_arrow()
    assert table.num_rows == 12 * 24 * 5 and table.column("temperature").null_count == 36
    assert pa.table(result) == table
    assert pa.schema(result) == table.schema
    with pa.RecordBatchReader.from_stream(result) as reader:
        assert sum(batch.num_rows for batch in reader) == table.num_rows
    pandas = result.to_pandas()
    assert pandas["time"].dtype == "datetime64[ns]" and pandas["temperature"].dtype == "float32"
    assert pandas["temperature"].isna().sum() == 36
    polars = result.to_polars()
    assert polars["temperature"].null_count() == 36
    assert pl.DataFrame(result).equals(polars)
    rows = result.fetchall()
    assert rows[0][:3] == ("d00", np.datetime64("2024-01-01", "ns"), 0.0) and rows[0][3] is None
    assert len(rows) == table.num_rows
    assert "dataset: Utf8View" in repr(result)


def test_results_are_dense_datasets(stations):
    store = pyatlas.Atlas.open(stations)
    dense = store.sql("SELECT dataset, depth, time, temperature FROM atlas").to_xarray(
        ["dataset", "depth", "time"]
    )
    expected = store.open_many(store.list_datasets()).load()
    np.testing.assert_array_equal(dense["temperature"], expected["temperature"])
    np.testing.assert_array_equal(dense["time"], expected["time"])
    assert dense["temperature"].attrs == {"units": "degC", "long_name": "sea temperature"}
    # Cells without a row are missing, and integers become floats then.
    some = store.sql(
        "SELECT dataset, depth, count(*) n FROM atlas WHERE temperature > 17 GROUP BY 1, 2"
    )
    some = some.to_xarray(dims=["dataset", "depth"])
    counts = (expected["temperature"] > 17).sum("time")
    np.testing.assert_array_equal(
        some["n"].fillna(0), counts.sel(dataset=some.dataset, depth=some.depth)
    )
    assert some["n"].isnull().any() and some["n"].dtype == np.float64
    flat = store.sql("SELECT dataset, max(time) t FROM atlas GROUP BY 1").to_xarray()
    assert flat.sizes == {"row": 12} and flat["t"].dtype == "datetime64[ns]"
    with pytest.raises(ValueError, match="several rows have the same dataset"):
        store.sql("SELECT dataset, depth, temperature FROM atlas").to_xarray(["dataset"])
    with pytest.raises(KeyError, match="no column 'x'"):
        store.sql("SELECT dataset FROM atlas").to_xarray(["x"])
    with pytest.raises(ValueError, match="is NULL in some rows"):
        store.sql("SELECT dataset, temperature FROM atlas").to_xarray(["temperature"])


def test_parameters(stations):
    store = pyatlas.Atlas.open(stations)
    count = "SELECT count(*) FROM atlas WHERE "
    values = [
        ("dataset = $1 AND depth > $2", ["d01", 15], 72),
        ("dataset = $name", {"name": "d02"}, 120),
        ("time >= $1", [np.datetime64("2024-01-01T12")], 720),
        ("time >= $1", [pd.Timestamp("2024-01-01T12")], 720),
        ("time >= $1", [pd.Timestamp("2024-01-01T12").to_pydatetime()], 720),
        ("depth = $1", [np.float32(10)], 288),
        ("$1", (True,), 1440),
        ("temperature > $1", [None], 0),
    ]
    for where, params, expected in values:
        assert store.sql(count + where, params).fetchall() == [(expected,)], where
    for wrong in (["a", "b"], {"other": 1}):
        with pytest.raises(pyatlas.QueryError):
            store.sql(count + "dataset = $name", wrong).fetchall()
    with pytest.raises(TypeError):
        store.sql(count + "dataset = $1", "d01")
    with pytest.raises(TypeError, match="time zone"):
        store.sql(count + "time = $1", [pd.Timestamp("2024-01-01", tz="CET")])
    with pytest.raises(TypeError, match="cannot be of"):
        store.sql(count + "dataset = $1", [{}])


def test_nested_and_other_values():
    store = pyatlas.Atlas.create("memory:///nested")
    store.flush()
    query = """SELECT [1, NULL, 3], struct(1 AS a, 'x' AS b), X'00ff', DATE '2024-02-29', NULL, true,
        CAST(1 AS TINYINT), 1.5::REAL, 18446744073709551615::BIGINT UNSIGNED, [[1.5], []]"""
    (row,) = store.sql(query).fetchall()
    assert (
        row[0] == [1, None, 3] and row[2] == b"\x00\xff" and row[3] == np.datetime64("2024-02-29")
    )
    assert list(row[1].values()) == [1, "x"] and row[4:] == (
        None,
        True,
        1,
        1.5,
        2**64 - 1,
        [[1.5], []],
    )
    assert store.sql("SELECT 1 AS a WHERE false").fetchall() == []
    with pytest.raises(TypeError, match="to_arrow"):
        store.sql("SELECT INTERVAL '1' MONTH").fetchall()


def test_plans_tables_and_pictures(stations, capsys, tmp_path):
    store = pyatlas.Atlas.open(stations)
    means = store.sql("SELECT dataset, avg(temperature) AS mean FROM atlas GROUP BY 1 ORDER BY 1")
    # The grouped mean needs no values: the optimisations are on.
    assert "from statistics" in means.explain()
    assert "chunks_from_stats" in means.explain(analyze=True)
    means.show(2)
    shown = capsys.readouterr().out
    assert shown.count("| d0") == 2 and shown.endswith("the first 2 rows; there are more\n")
    store.sql("SELECT 1 AS a WHERE false").show()
    assert "| a |" in capsys.readouterr().out
    html = means._repr_html_()
    assert html.count("<tr>") == 13 and "more" not in html
    assert "&lt;b&gt;" in store.sql("SELECT '<b>' AS x")._repr_html_()
    assert "the first 20 rows" in store.sql("SELECT * FROM atlas")._repr_html_()
    picture = store.sql("SELECT time, avg(temperature) FROM atlas GROUP BY 1 ORDER BY 1").plot()
    assert picture._repr_svg_().startswith("<svg") and "polyline" in picture.to_svg()
    assert "avg(temperature)" in repr(picture)
    for name, start in (("a.svg", b"<svg"), ("a.png", b"\x89PNG")):
        picture.save(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
    with pytest.raises(ValueError, match=".png or .svg"):
        picture.save(tmp_path / "a.pdf")
    points = store.sql("SELECT depth, temperature FROM atlas").plot("points")
    assert "polyline" not in points.to_svg() and "temperature [" in points.to_svg()
    with pytest.raises(pyatlas.QueryError, match="no kind of picture"):
        means.plot("pie")
    with pytest.raises(pyatlas.QueryError):
        store.sql("SELECT 'x' AS a WHERE false").plot()


def test_several_stores_and_functions(stations):
    one = pyatlas.Atlas.open(stations)
    session = pyatlas.connect(a=one, b=stations)
    query = "SELECT count(*) FROM a JOIN b USING (dataset, depth, time) WHERE a.temperature = b.temperature"
    assert session.sql(query).fetchall() == [(12 * 5 * 24 - 36,)]
    assert session.table("a").name == "a" and "a" in repr(session)
    (metres,) = session.sql("SELECT round(haversine(50.06, 5.71, 58.64, 3.07))").fetchall()
    assert metres == (969079.0,)
    summary = session.sql("SUMMARIZE a").to_pandas()
    assert summary["column_name"].tolist()[0] == "dataset"
    assert session.sql("SELECT name FROM a._variables ORDER BY 1").fetchall() == [
        ("depth",),
        ("temperature",),
        ("time",),
    ]


def test_sql_shows_what_is_committed_and_says_so(tmp_path):
    with pyatlas.Atlas.create(tmp_path / "s") as store:
        store.create_dataset("a").define_array("v", "int8", ["x"], [3])
    count = "SELECT count(*) FROM atlas._datasets"
    assert store.sql(count).fetchall() == [(1,)]
    store.create_dataset("b")
    with pytest.warns(UserWarning, match="flush it first"):
        assert store.sql(count).fetchall() == [(1,)]
    store.flush()
    assert store.sql(count).fetchall() == [(2,)]
