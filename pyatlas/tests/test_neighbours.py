"""Results and stores of other libraries."""

import datafusion
import duckdb
import numpy as np
import obstore.store
import polars as pl
import pyarrow as pa
import pyatlas
import pytest
from conftest import write_stations

QUERIES = [
    "SELECT count(*) FROM t",
    "SELECT dataset, avg(temperature) FROM t GROUP BY 1 ORDER BY 1",
    "SELECT count(temperature), max(temperature) FROM t WHERE temperature > 12",
    "SELECT depth, min(temperature) FROM t WHERE dataset IN ('d01', 'd05') AND depth < 30 GROUP BY 1 ORDER BY 1",
    "SELECT count(*) FROM t WHERE time >= '2024-01-01T12:00:00'",
    "SELECT dataset, depth, time, temperature FROM t ORDER BY temperature DESC NULLS LAST LIMIT 5",
    "SELECT station, sum(temperature) FROM t WHERE station <> 's1' GROUP BY 1 ORDER BY 1",
    "SELECT round(avg(haversine(depth, depth, 0.0, 0.0))) FROM t WHERE depth <= 20",
    "SELECT mode(depth) FROM t WHERE temperature < 5",
]


@pytest.mark.parametrize("query", QUERIES)
def test_datafusion_reads_tables_and_has_the_functions(stations, query):
    store = pyatlas.Atlas.open(stations)
    context = datafusion.SessionContext()
    context.register_table("t", store.table())
    pyatlas.register_functions(context)
    found = [tuple(row.values()) for row in pa.table(context.sql(query)).to_pylist()]
    expected = [
        tuple(row.values())
        for row in store.sql(query.replace("FROM t", "FROM atlas t")).to_arrow().to_pylist()
    ]
    assert len(expected) > 0
    for ours, theirs in zip(expected, found, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert a == (pytest.approx(b) if isinstance(b, float) else b)


def test_variables_are_tables_too(stations):
    store = pyatlas.Atlas.open(stations)
    context = datafusion.SessionContext()
    context.register_table("v", store.table("temperature"))
    (count,) = context.sql("SELECT count(*) FROM v WHERE depth > 5").to_pydict().values()
    assert count == [12 * 4 * 24]
    assert repr(store.table("temperature")) == "<Table atlas.temperature>"
    with pytest.raises(TypeError):
        store.table().__datafusion_table_provider__(5)


def test_functions_have_names():
    functions = {function.name: function for function in pyatlas.functions()}
    assert not functions["haversine"].is_aggregate and functions["mode"].is_aggregate
    with pytest.raises(TypeError):
        functions["mode"].__datafusion_scalar_udf__()
    with pytest.raises(TypeError):
        functions["haversine"].__datafusion_aggregate_udf__()


def test_duckdb_and_polars_read_results(stations):
    result = pyatlas.Atlas.open(stations).sql("SELECT dataset, temperature FROM atlas")
    expected = (
        pyatlas.Atlas.open(stations).sql("SELECT count(*), sum(temperature) FROM atlas").fetchall()
    )
    assert duckdb.sql("SELECT count(*), sum(temperature) FROM result").fetchall()[
        0
    ] == pytest.approx(expected[0])
    frame = pl.DataFrame(result)
    assert (len(frame), frame["temperature"].cast(pl.Float64).sum()) == pytest.approx(expected[0])


def test_tables_of_arrow_share_memory(stations):
    result = pyatlas.Atlas.open(stations).sql(
        "SELECT temperature FROM atlas WHERE temperature IS NOT NULL"
    )
    table = result.to_arrow()
    chunk = table.column(0).chunk(0)
    assert chunk.to_numpy(zero_copy_only=True).base is not None
    assert pl.from_arrow(table).shape == (12 * 5 * 24 - 36, 1)


def test_obstore_holds_stores(tmp_path):
    import pickle

    (tmp_path / "s").mkdir()
    source = obstore.store.LocalStore(tmp_path / "s")
    with pyatlas.Atlas.create(source) as store:
        write_stations(store, 2)
    assert (tmp_path / "s" / "atlas.json").exists()
    assert pyatlas.Atlas.open(tmp_path / "s").list_datasets() == ["d00", "d01"]
    store = pyatlas.Atlas.open(source)
    assert store.sql("SELECT count(temperature) FROM atlas").fetchall() == [(2 * 117,)]
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(store.open_dataset("d01"))).read_array("temperature"),
        store.open_dataset("d01").read_array("temperature"),
    )
    # A store of another provider is made again from its settings.
    remote = obstore.store.S3Store(
        "bucket",
        region="us-east-1",
        skip_signature=True,
        endpoint="http://127.0.0.1:1",
        retry_config={
            "max_retries": 0,
            "retry_timeout": __import__("datetime").timedelta(seconds=1),
            "backoff": {},
        },
        client_options={"allow_http": True},
    )
    with pytest.raises(OSError):
        pyatlas.Atlas.open(remote)
    with pytest.raises(TypeError, match="memory of another library"):
        pyatlas.Atlas.create(obstore.store.MemoryStore())
