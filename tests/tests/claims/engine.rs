//! Optimizations do not change answers: compares answers with every optimization, with each one
//! switched off, and with none.

use std::sync::Arc;

use arrow::array::RecordBatch;
use atlas::{Atlas, StoreConfig};
use atlas_datafusion::{AtlasTable, TableOptions, grids, register_store};
use atlas_tests::generate::{check_cases, model};
use atlas_tests::queries::{queries, same};
use atlas_tests::random::Model;
use atlas_tests::{memory, real_data, rows, session};
use datafusion::common::Result;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use object_store::path::Path;
use proptest::prelude::*;

const OPTIMISATIONS: [&str; 6] =
    ["aggregates", "pruning", "late_materialization", "dynamic_filters", "best_first", "statistics"];

/// Sessions over one store: with all optimizations, without one each, and without any.
async fn sessions(atlas: &Atlas, options: &TableOptions) -> Vec<(String, SessionContext)> {
    let mut sessions = vec![("all".to_owned(), session(atlas, options.clone()).unwrap())];
    for name in OPTIMISATIONS {
        let ctx = session(atlas, options.clone()).unwrap();
        switch_off(&ctx, &[name]).await;
        sessions.push((format!("no {name}"), ctx));
    }
    let ctx = session(atlas, options.clone()).unwrap();
    switch_off(&ctx, &OPTIMISATIONS).await;
    sessions.push(("none".to_owned(), ctx));
    sessions
}

async fn switch_off(ctx: &SessionContext, names: &[&str]) {
    for name in names {
        ctx.sql(&format!("SET atlas.{name} = false")).await.unwrap().collect().await.unwrap();
    }
}

async fn answer(ctx: &SessionContext, sql: &str, ordered: bool) -> Result<Vec<String>> {
    let mut rows = rows(ctx, sql).await?;
    if !ordered {
        rows.sort();
    }
    Ok(rows)
}

async fn check_table(
    sessions: &[(String, SessionContext)],
    table: &str,
    dims: &[String],
    expected: Option<RecordBatch>,
    picks: &[u32],
    nan_as_null: bool,
) {
    let (_, first) = &sessions[0];
    let schema = first.table(table).await.unwrap().schema().as_arrow().clone();
    let plain = SessionContext::new();
    if let Some(expected) = expected {
        let memory = MemTable::try_new(expected.schema(), vec![vec![expected]]).unwrap();
        plain.register_table("model", Arc::new(memory)).unwrap();
    }
    for (ordered, query) in queries(&schema, dims, picks, nan_as_null) {
        let on = |name: &str| query.replace(" FROM t", &format!(" FROM {name} AS t"));
        let with_all = answer(first, &on(table), ordered).await;
        if plain.table_exist("model").unwrap() {
            let expected = answer(&plain, &on("model"), ordered).await;
            let equal = match (&with_all, &expected) {
                (Ok(found), Ok(expected)) => same(found, expected),
                // An invalid query must fail on both.
                (found, expected) => found.is_err() && expected.is_err(),
            };
            assert!(equal, "{}: {with_all:#?}, expected {expected:#?}", on(table));
        }
        let Ok(with_all) = with_all else { continue };
        for (what, ctx) in sessions.iter().skip(1) {
            let found = answer(ctx, &on(table), ordered).await.unwrap_or_default();
            assert!(same(&found, &with_all), "{what}: {}: {found:#?}, expected {with_all:#?}", on(table));
        }
    }
}

async fn check(model: &Model, picks: &[u32], generations: usize, nan_as_null: bool) {
    let objects = memory();
    let atlas = Atlas::create(objects.clone(), Path::from("s"), StoreConfig::default()).await.unwrap();
    model.write(&atlas, generations).await.unwrap();
    let options = TableOptions { nan_as_null, ..TableOptions::default() };
    let sessions = sessions(&atlas, &options).await;
    let (_, ctx) = &sessions[0];
    let grids = grids(&atlas.snapshot().catalog().unwrap());
    let mut tables =
        vec![("atlas".to_owned(), grids.first().map_or_else(Vec::new, |g| g.dims.clone()), None)];
    if let Some(name) = atlas.list_arrays().unwrap().get(picks[0] as usize % 5).cloned() {
        let mut dims: Vec<String> = Vec::new();
        for array in atlas.snapshot().root().array_schemas().iter().filter(|array| array.name == name) {
            dims.extend(array.dims.iter().filter(|dim| !dims.contains(dim)).cloned().collect::<Vec<_>>());
        }
        tables.push((format!("atlas.\"{name}\""), dims, Some(name)));
    }
    for (table, dims, only) in tables {
        let schema = Arc::new(ctx.table(table.as_str()).await.unwrap().schema().as_arrow().clone());
        let expected = model.table(&dims, only.as_deref(), &schema, nan_as_null).unwrap();
        check_table(&sessions, &table, &dims, Some(expected), picks, nan_as_null).await;
    }
}

#[test]
fn optimisations_change_no_answer() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let case = (model(), prop::collection::vec(any::<u32>(), 12), 1usize..4, any::<bool>());
    check_cases(case, 10, |(model, picks, generations, nan_as_null)| {
        runtime.block_on(check(&model, &picks, generations, nan_as_null));
    });
}

async fn argo() -> Option<Atlas> {
    let files = [real_data()?.join("argo/1900857")];
    let atlas = Atlas::create(memory(), Path::from("s"), StoreConfig::default()).await.unwrap();
    atlas_import::import(&atlas, &files, &atlas_import::ImportOptions::default(), &|_| ()).await.unwrap();
    Some(atlas)
}

#[tokio::test]
async fn optimisations_change_no_answer_on_argo() {
    let Some(atlas) = argo().await else { return };
    let sessions = sessions(&atlas, &TableOptions::default()).await;
    let dims = grids(&atlas.snapshot().catalog().unwrap())[0].dims.clone();
    for picks in [[3, 14, 15, 92, 65, 35], [89, 79, 32, 38, 46, 26]] {
        check_table(&sessions, "atlas", &dims, None, &picks, true).await;
    }
    for query in [
        "SELECT dataset, avg(\"TEMP\"), min(\"PSAL\"), max(\"PRES\"), count(\"TEMP\"), count(*) FROM t GROUP BY dataset",
        "SELECT avg(\"TEMP\"), sum(\"PSAL\"), count(*) FROM t WHERE \"TEMP\" < 10",
        "SELECT \"N_LEVELS\", avg(\"TEMP\") FROM t WHERE \"PRES\" > 100 GROUP BY \"N_LEVELS\"",
        "SELECT date_trunc('year', \"JULD\"), count(*) FROM t GROUP BY 1",
    ] {
        let query = query.replace(" FROM t", " FROM atlas");
        let expected = answer(&sessions[0].1, &query, false).await.unwrap();
        for (what, ctx) in sessions.iter().skip(1) {
            let found = answer(ctx, &query, false).await.unwrap();
            assert!(same(&found, &expected), "{what}: {query}: {found:#?}, expected {expected:#?}");
        }
    }
}

/// A store of two datasets with disjoint ranges of temperature, each of four chunks.
async fn two_datasets() -> Atlas {
    let atlas = Atlas::create(memory(), Path::from("s"), StoreConfig::default()).await.unwrap();
    for (name, base) in [("cold", 0.0f32), ("warm", 100.0)] {
        let dataset = atlas.create_dataset(name).await.unwrap();
        dataset
            .define_array::<f32>("temperature", &["time", "x"], &[4, 10], Some(vec![1, 10]), None)
            .unwrap();
        let cells = ndarray::Array::from_shape_fn((4, 10), |(time, x)| base + (time * 10 + x) as f32);
        dataset.write_array("temperature", &[0, 0], cells.view().into_dyn()).await.unwrap();
    }
    atlas.flush().await.unwrap();
    atlas
}

async fn plan(ctx: &SessionContext, query: &str) -> String {
    rows(ctx, &format!("EXPLAIN {query}")).await.unwrap().join("\n")
}

/// The value of a scan's counter.
async fn counted(ctx: &SessionContext, query: &str, name: &str) -> usize {
    let plan = rows(ctx, &format!("EXPLAIN ANALYZE {query}")).await.unwrap().join("\n");
    let found = plan.split(&format!("{name}=")).nth(1).unwrap_or_else(|| panic!("no {name} in {plan}"));
    let digits: String = found.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

/// Each optimization shows in plans or in counters, and does not show if it is switched off. The
/// tests above therefore compare different work.
#[tokio::test]
async fn an_optimisation_that_is_off_does_nothing() {
    let atlas = two_datasets().await;
    let on = session(&atlas, TableOptions::default()).unwrap();
    let off = |name: &'static str| {
        let ctx = session(&atlas, TableOptions::default()).unwrap();
        async move {
            switch_off(&ctx, &[name]).await;
            ctx
        }
    };

    let grouped = "SELECT dataset, avg(temperature) FROM atlas GROUP BY dataset";
    let told = plan(&on, grouped).await;
    assert!(
        told.contains("from statistics=[avg(atlas.temperature)]") && !told.contains("mode=Partial"),
        "{told}"
    );
    assert!(told.contains("grouped once per dataset=[dataset@0]"), "{told}");
    // A dataset's group is within one range, so that there is nothing to merge.
    assert!(told.contains("all of a dataset together") && !told.contains("AggregateExec"), "{told}");
    assert_eq!(counted(&on, grouped, "chunks_from_stats").await, 8);
    let told = plan(&off("aggregates").await, grouped).await;
    assert!(!told.contains("from statistics") && told.contains("mode=Partial"), "{told}");
    assert_eq!(counted(&off("aggregates").await, grouped, "chunks_decoded").await, 8);

    let by_time = "SELECT x, avg(temperature) FROM atlas GROUP BY x";
    assert!(plan(&on, by_time).await.contains("grouped once per x=[x@2]"));
    // There are two datasets, and both must be decoded: several partitions share each of them.
    let told =
        plan(&on, "SELECT dataset, avg(temperature) FROM atlas WHERE temperature > 115 GROUP BY dataset")
            .await;
    assert!(told.contains("AggregateExec: mode=FinalPartitioned"), "{told}");

    // In the warm dataset, one chunk is split, and two match as a whole.
    let warm = "SELECT avg(temperature) FROM atlas WHERE temperature > 115";
    for (ctx, pruned, from_stats, decoded) in
        [(&on, 5, 2, 1), (&off("pruning").await, 0, 0, 8), (&off("aggregates").await, 5, 0, 3)]
    {
        let found = [
            counted(ctx, warm, "chunks_total").await,
            counted(ctx, warm, "chunks_pruned").await,
            counted(ctx, warm, "chunks_from_stats").await,
            counted(ctx, warm, "chunks_decoded").await,
        ];
        assert_eq!(found, [8, pruned, from_stats, decoded]);
    }

    let rows_of = "SELECT x, temperature FROM atlas WHERE temperature > 115";
    assert!(!plan(&on, rows_of).await.contains("FilterExec"));
    assert!(plan(&off("late_materialization").await, rows_of).await.contains("FilterExec"));

    let warmest = "SELECT * FROM atlas ORDER BY temperature DESC LIMIT 2";
    let told = plan(&on, warmest).await;
    assert!(told.contains("greatest temperature first") && told.contains("DynamicFilter"), "{told}");
    assert!(!plan(&off("best_first").await, warmest).await.contains("temperature first"));
    assert!(!plan(&off("dynamic_filters").await, warmest).await.contains("DynamicFilter"));
    assert!(counted(&on, warmest, "chunks_decoded").await < 8, "some chunk is ruled out by those before it");
    assert_eq!(counted(&off("dynamic_filters").await, warmest, "chunks_decoded").await, 8);

    // The index is in memory by now, so that planning knows the answer.
    let whole = "SELECT avg(temperature), sum(temperature), max(temperature) FROM atlas";
    assert!(plan(&on, whole).await.contains("PlaceholderRowExec"));
    assert!(!plan(&off("statistics").await, whole).await.contains("PlaceholderRowExec"));
}

/// Chunks with missing cells are also answered from statistics, if a predicate and all aggregates
/// are of the same column.
#[tokio::test]
async fn missing_cells_do_not_matter_to_the_values_of_their_column() {
    let atlas = Atlas::create(memory(), Path::from("s"), StoreConfig::default()).await.unwrap();
    let dataset = atlas.create_dataset("gaps").await.unwrap();
    dataset.define_array::<f32>("v", &["x"], &[40], Some(vec![10]), Some(-1.0)).unwrap();
    let cells = ndarray::Array1::from_shape_fn(40, |x| if x % 3 == 0 || x >= 30 { -1.0 } else { x as f32 });
    dataset.write_array("v", &[0], cells.view().into_dyn()).await.unwrap();
    atlas.flush().await.unwrap();
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    // Of the four chunks, one is below, one is split, one is above, and one has no values.
    let of_values = "SELECT count(v), avg(v) FROM atlas WHERE v > 15";
    assert_eq!(rows(&ctx, of_values).await.unwrap(), ["10|22.5"]);
    assert_eq!(counted(&ctx, of_values, "chunks_decoded").await, 1);
    assert_eq!(counted(&ctx, of_values, "chunks_from_stats").await, 1);
    let of_rows = "SELECT count(*), avg(v) FROM atlas WHERE v > 15";
    assert_eq!(rows(&ctx, of_rows).await.unwrap(), ["10|22.5"]);
    assert_eq!(counted(&ctx, of_rows, "chunks_decoded").await, 2);
    let grouped = "SELECT dataset, avg(v) FROM atlas WHERE v > 15 AND x > 30 GROUP BY dataset";
    assert!(rows(&ctx, grouped).await.unwrap().is_empty());
}

/// A join with a few names prunes the chunks of the other datasets.
#[tokio::test]
async fn a_join_rules_datasets_out() {
    let atlas = two_datasets().await;
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    let joined = "SELECT atlas.x, temperature FROM atlas JOIN (VALUES ('warm'), ('hot')) AS w(name) ON dataset = w.name";
    assert_eq!(rows(&ctx, joined).await.unwrap().len(), 40);
    assert_eq!(counted(&ctx, joined, "chunks_pruned").await, 4);
    switch_off(&ctx, &["dynamic_filters"]).await;
    assert_eq!(counted(&ctx, joined, "chunks_pruned").await, 0);
}

/// Datasets of which the later ones can be pruned by a bound of the first ones. `w` is NULL in the
/// first ones.
async fn later_datasets() -> Atlas {
    let atlas = Atlas::create(memory(), Path::from("s"), StoreConfig::default()).await.unwrap();
    for number in 0..8u8 {
        let dataset = atlas.create_dataset(&format!("d{number}")).await.unwrap();
        let step = f32::from(number);
        let v = ndarray::Array1::from_shape_fn(64, |x| step * 10.0 + (x % 7) as f32);
        let w = ndarray::Array1::from_shape_fn(64, |x| {
            if number < 3 { f32::NAN } else { 100.0 - step * 10.0 + (x % 5) as f32 }
        });
        for (name, values) in [("v", v), ("w", w)] {
            dataset.define_array::<f32>(name, &["x"], &[64], Some(vec![16]), None).unwrap();
            dataset.write_array(name, &[0], values.view().into_dyn()).await.unwrap();
        }
    }
    atlas.flush().await.unwrap();
    atlas
}

/// Aggregations fill filters that hold for only one of their functions, and offer them for all.
#[tokio::test]
async fn filters_that_aggregations_fill_are_not_believed() {
    let atlas = later_datasets().await;
    for query in [
        "SELECT max(abs(v)), min(v) FROM atlas",
        "SELECT max(v) FILTER (WHERE v < 30), min(v) FROM atlas",
        "SELECT min(v), max(v) FILTER (WHERE dataset = 'd5') FROM atlas",
        "SELECT max(w), min(v) FROM atlas WHERE v + w IS NULL OR v + w > 0",
        "SELECT max(abs(a.v)), min(a.v) FROM atlas a JOIN (SELECT DISTINCT dataset FROM atlas) b ON a.dataset = b.dataset",
        "SELECT max(abs(v)), min(v) FROM atlas JOIN (VALUES ('d0'), ('d1'), ('d4'), ('d6'), ('d7')) b(name) ON dataset = name",
        "SELECT max(abs(v)), min(v) FROM (SELECT v FROM atlas UNION ALL SELECT w FROM atlas)",
        "SELECT min(v), max(v * 2 - 1) FROM atlas WHERE v >= 0",
    ] {
        let mut answers = Vec::new();
        for partitions in [1, 4] {
            for off in [&OPTIMISATIONS[..0], &["aggregates"], &OPTIMISATIONS] {
                let ctx = session(&atlas, TableOptions::default()).unwrap();
                for set in [
                    &format!("SET datafusion.execution.target_partitions = {partitions}"),
                    "SET datafusion.optimizer.enable_aggregate_dynamic_filter_pushdown = true",
                ] {
                    ctx.sql(set).await.unwrap().collect().await.unwrap();
                }
                switch_off(&ctx, off).await;
                answers.push(rows(&ctx, query).await.unwrap());
            }
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "{query}: {answers:?}");
    }
}

/// In a session without the rule, a table uses no dynamic filters.
#[tokio::test]
async fn a_table_in_a_plain_session_uses_no_dynamic_filters() {
    let atlas = later_datasets().await;
    let ctx = SessionContext::new();
    let table = AtlasTable::wide("t", atlas.snapshot(), &TableOptions::default()).unwrap();
    ctx.register_table("t", Arc::new(table)).unwrap();
    assert!(!plan(&ctx, "SELECT v FROM t ORDER BY v DESC LIMIT 2").await.contains("DynamicFilter"));
    assert_eq!(rows(&ctx, "SELECT max(abs(v)), min(v) FROM t").await.unwrap(), ["76.0|0.0"]);
}

/// Filters refer to columns by their index above the scan, and DataFusion renumbers only some of
/// them.
#[tokio::test]
async fn orders_over_expressions_of_columns_are_those_of_the_columns() {
    let atlas = Atlas::create(memory(), Path::from("s"), StoreConfig::default()).await.unwrap();
    for number in 0..40u8 {
        let dataset = atlas.create_dataset(&format!("d{number:02}")).await.unwrap();
        for (name, scale) in [("p", 3.0), ("t", -2.0), ("t_adjusted", 5.0), ("z", 0.5)] {
            let values = ndarray::Array1::from_shape_fn(50, |x| {
                scale * f64::from((u32::from(number) * 37 + x as u32 * 11) % 101)
            });
            dataset.define_array::<f64>(name, &["x"], &[50], None, None).unwrap();
            dataset.write_array(name, &[0], values.view().into_dyn()).await.unwrap();
        }
    }
    atlas.flush().await.unwrap();
    let sessions = sessions(&atlas, &TableOptions::default()).await;
    for query in [
        "SELECT dataset, x FROM atlas ORDER BY t + p DESC, t, dataset, x LIMIT 3",
        "SELECT t, p FROM atlas ORDER BY t + p, p, dataset, x LIMIT 7",
        "WITH c AS (SELECT dataset, x, t_adjusted AS t, t AS raw FROM atlas)
         SELECT * FROM c ORDER BY abs(t - raw) DESC NULLS LAST, raw, dataset, x LIMIT 3",
        "WITH c AS (SELECT dataset, t AS x, x AS t, p AS z, z AS p FROM atlas)
         SELECT * FROM c ORDER BY z - p, z, t, dataset LIMIT 5",
        "SELECT p, t FROM atlas ORDER BY p % 7, p, t, dataset, x LIMIT 4",
        // Both sides have a column with that name.
        "SELECT b.dataset, b.x, b.t FROM atlas a JOIN atlas b ON a.x = b.x AND a.p = b.p
         WHERE a.dataset < b.dataset ORDER BY b.t, b.dataset, b.x, a.dataset LIMIT 3",
        "SELECT c.t FROM atlas a JOIN atlas b ON a.p = b.t JOIN atlas c ON b.p = c.t AND a.x = c.x
         ORDER BY c.t DESC, c.dataset, c.x, a.dataset, b.dataset LIMIT 3",
        "SELECT a.dataset, a.x, a.p FROM atlas a JOIN (SELECT p AS t, t AS p FROM atlas WHERE x = 3 AND dataset = 'd07') b
         ON a.t = b.p AND a.p = b.t ORDER BY 1, 2",
    ] {
        let mut answers = Vec::new();
        for (name, ctx) in &sessions {
            let answer = rows(ctx, query).await;
            answers.push(answer.unwrap_or_else(|e| panic!("{name}: {query}: {e}")));
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "{query}: {answers:?}");
    }
}

/// A filter accepts zeros that a sort may place either way, but does not change zeros in the sort's
/// expressions.
#[tokio::test]
async fn expressions_of_zeros_are_sorted_and_joined_by() {
    let atlas = Atlas::create(memory(), Path::from("s"), StoreConfig::default()).await.unwrap();
    let dataset = atlas.create_dataset("d").await.unwrap();
    dataset.define_array::<f64>("x", ["i"], [6], Some(vec![1]), None).unwrap();
    let values = ndarray::arr1(&[1.0, 2.0, 0.0, 3.0, -0.0, -1.0]).into_dyn();
    dataset.write_array("x", [0], values.view()).await.unwrap();
    atlas.flush().await.unwrap();
    for dynamic in [true, false] {
        let ctx = session(&atlas, TableOptions::default()).unwrap();
        ctx.sql(&format!("SET atlas.dynamic_filters = {dynamic}")).await.unwrap();
        for (query, expected) in [
            ("SELECT x > 0 FROM atlas WHERE x >= 0 ORDER BY x > 0 LIMIT 1", "false"),
            (
                "SELECT x > 0 FROM atlas WHERE x >= 0 ORDER BY CASE WHEN x > 0 THEN 2 ELSE 1 END LIMIT 1",
                "false",
            ),
            ("SELECT CASE WHEN x > 0 THEN 'p' ELSE 'n' END AS k FROM atlas ORDER BY k LIMIT 1", "n"),
            ("SELECT x < 0 FROM atlas WHERE x <= 0 ORDER BY x < 0 LIMIT 1", "false"),
            ("SELECT x < 0 AND i > 0 FROM atlas ORDER BY x < 0 AND i > 0 DESC LIMIT 1", "true"),
            (
                "SELECT count(*) FROM atlas a JOIN (VALUES (1)) b(f) ON CASE WHEN a.x > 0 THEN 2 ELSE 1 END = b.f",
                "3",
            ),
        ] {
            assert_eq!(rows(&ctx, query).await.unwrap(), [expected], "{query} with filters: {dynamic}");
        }
    }
}

/// Bounds with which the optimizer cannot calculate are not given to it.
#[tokio::test]
async fn columns_are_compared_whatever_their_bounds() {
    let extremes = [f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, -0.0, 0.0, f64::MIN_POSITIVE, 1.0];
    for (i, low) in extremes.into_iter().enumerate() {
        let atlas = Atlas::create(memory(), Path::from("s"), StoreConfig::default()).await.unwrap();
        let dataset = atlas.create_dataset("d").await.unwrap();
        let other = extremes[(i + 3) % extremes.len()];
        let put = async |name: &str, values: [f64; 3]| {
            dataset.define_array::<f64>(name, &["x"], &[3], None, None).unwrap();
            dataset.write_array(name, &[0], ndarray::arr1(&values).view().into_dyn()).await.unwrap();
        };
        put("a", [low, 1.0, other]).await;
        put("b", [other, low, 0.5]).await;
        #[expect(clippy::cast_possible_truncation)]
        for (name, values) in [("c", [low as i64, 1, other as i64]), ("e", [other as i64, low as i64, 7])] {
            dataset.define_array::<i64>(name, &["x"], &[3], None, None).unwrap();
            dataset.write_array(name, &[0], ndarray::arr1(&values).view().into_dyn()).await.unwrap();
        }
        atlas.flush().await.unwrap();
        let ctx = session(&atlas, TableOptions::default()).unwrap();
        // Now the indexes are in memory, and planning knows all bounds.
        rows(&ctx, "SELECT count(a), count(b), count(c), count(e) FROM atlas").await.unwrap();
        for op in ["<", ">=", "=", "<>"] {
            for (left, right) in [("a", "b"), ("c", "e"), ("a", "b * 2")] {
                for query in [
                    format!("EXPLAIN SELECT * FROM atlas WHERE {left} {op} {right}"),
                    format!("EXPLAIN SELECT * FROM (SELECT * FROM atlas LIMIT 3) WHERE {left} {op} {right}"),
                ] {
                    rows(&ctx, &query).await.unwrap_or_else(|e| panic!("{query}: {e}"));
                }
            }
        }
    }
}

/// Both zeros are one value: in pruned chunks, in rows, in lists, and in the keys of joins.
#[tokio::test]
async fn zeros_of_both_signs_are_one_value() {
    let atlas = Atlas::create(memory(), Path::from("s"), StoreConfig::default()).await.unwrap();
    let dataset = atlas.create_dataset("d").await.unwrap();
    let values = ndarray::arr1(&[-0.0, 0.0, 1.0, -1.0, 0.0, -0.0, 2.0]);
    dataset.define_array::<f64>("x", &["i"], &[7], Some(vec![1]), None).unwrap();
    dataset.write_array("x", &[0], values.view().into_dyn()).await.unwrap();
    dataset.define_array::<f32>("y", &["i"], &[7], Some(vec![2]), None).unwrap();
    dataset.write_array("y", &[0], values.mapv(|x| x as f32).view().into_dyn()).await.unwrap();
    atlas.flush().await.unwrap();
    let join = "SELECT count(*) FROM atlas a JOIN (VALUES (ZERO)) b(k) ON a.x = b.k";
    for (name, ctx) in sessions(&atlas, &TableOptions::default()).await {
        for column in ["x", "y"] {
            for zero in ["0.0", "CAST('-0.0' AS DOUBLE)"] {
                for (condition, expected) in [
                    ("x = ZERO", "4"),
                    ("x <> ZERO", "3"),
                    ("x < ZERO", "1"),
                    ("x <= ZERO", "5"),
                    ("x >= ZERO", "6"),
                    ("x BETWEEN ZERO AND ZERO", "4"),
                    ("x IN (ZERO)", "4"),
                    ("x IN (ZERO, 1.0)", "5"),
                    ("x IN (5.0, 6.0, 7.0, 8.0, ZERO)", "4"),
                    ("x NOT IN (ZERO, 5.0)", "3"),
                    ("x NOT IN (5.0, 6.0, 7.0, 8.0, ZERO)", "3"),
                ] {
                    let query = format!("SELECT count(*) FROM atlas WHERE {condition}");
                    let query = query.replace('x', column).replace("ZERO", zero);
                    assert_eq!(rows(&ctx, &query).await.unwrap(), [expected], "{name}: {query}");
                }
                let join = join.replace("a.x", &format!("a.{column}")).replace("ZERO", zero);
                assert_eq!(rows(&ctx, &join).await.unwrap(), ["4"], "{name}: {join}");
            }
        }
    }
}

/// A store brings the rules for correct answers into a session that others made.
#[tokio::test]
async fn a_store_brings_its_rules_into_any_session() {
    let atlas = Atlas::create(memory(), Path::from("s"), StoreConfig::default()).await.unwrap();
    let dataset = atlas.create_dataset("d").await.unwrap();
    let values = ndarray::arr1(&[47.3f32, -0.0, 10.1, -60.0]);
    dataset.define_array::<f32>("lat", &["i"], &[4], Some(vec![1]), None).unwrap();
    dataset.write_array("lat", &[0], values.view().into_dyn()).await.unwrap();
    atlas.flush().await.unwrap();
    let ctx = SessionContext::new();
    register_store(&ctx, "atlas", &atlas).unwrap();
    for (query, expected) in [
        ("SELECT count(*) FROM atlas WHERE lat = 47.3", "1"),
        ("SELECT count(*) FROM atlas WHERE lat IN (10.1, 0.0)", "2"),
        ("SELECT count(*) FROM atlas WHERE lat BETWEEN 10.1 AND 47.3", "2"),
        ("SELECT max(abs(lat)), min(lat) FROM atlas", "60.0|-60.0"),
        ("SELECT lat FROM atlas ORDER BY lat DESC LIMIT 1", "47.3"),
    ] {
        assert_eq!(rows(&ctx, query).await.unwrap(), [expected], "{query}");
    }
    // It also brings the rules for speed.
    assert!(plan(&ctx, "SELECT * FROM atlas ORDER BY lat LIMIT 1").await.contains("DynamicFilter"));
    ctx.sql("SET atlas.f32_literals = false").await.unwrap().collect().await.unwrap();
    assert_eq!(rows(&ctx, "SELECT count(*) FROM atlas WHERE lat = 47.3").await.unwrap(), ["0"]);
}

/// Rows that a value of a lower level excludes are not read any further. Statistics of both
/// datasets' latitudes allow for 1, but only one dataset has it.
#[tokio::test]
async fn what_is_ruled_out_at_a_lower_level_is_not_read() {
    let atlas = Atlas::create(memory(), Path::from("s"), StoreConfig::default()).await.unwrap();
    for (name, latitudes) in [("a", [1.0, 5.0]), ("b", [0.0, 2.0])] {
        let dataset = atlas.create_dataset(name).await.unwrap();
        dataset.define_array::<f64>("latitude", &["profile"], &[2], None, None).unwrap();
        let latitudes = ndarray::arr1(&latitudes).into_dyn();
        dataset.write_array("latitude", &[0], latitudes.view()).await.unwrap();
        for (variable, offset) in [("temperature", 0.0), ("salinity", 30.0)] {
            dataset.define_array::<f64>(variable, &["profile", "level"], &[2, 50], None, None).unwrap();
            let values = ndarray::Array2::from_shape_fn((2, 50), |(i, j)| offset + (i * 50 + j) as f64);
            dataset.write_array(variable, &[0, 0], values.view().into_dyn()).await.unwrap();
        }
    }
    atlas.flush().await.unwrap();
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    for (query, answer) in [
        ("SELECT avg(temperature + salinity) FROM atlas WHERE latitude = 1", "79.0"),
        ("SELECT sum(salinity) FROM atlas WHERE latitude = 1 AND temperature > 48.5", "79.0"),
        (
            "SELECT dataset, temperature, salinity FROM atlas WHERE latitude = 1 AND temperature > 48.5",
            "a|49.0|79.0",
        ),
    ] {
        assert_eq!(rows(&ctx, query).await.unwrap(), [answer], "{query}");
        // The latitudes of both, and the temperature and salinity of one.
        assert_eq!(counted(&ctx, query, "chunks_decoded").await, 4, "{query}");
        assert_eq!(counted(&ctx, query, "chunks_total").await, 6, "{query}");
        assert_eq!(counted(&ctx, query, "chunks_pruned").await, 2, "{query}");
        let told = plan(&ctx, query).await;
        assert!(told.contains("filtered once per profile=[latitude@"), "{told}");
    }
}

/// Once enough rows are NULL that come first, no other row can be better: nothing more is read.
#[tokio::test]
async fn an_order_that_begins_with_missing_values_stops_when_it_has_enough() {
    let atlas = Atlas::create(memory(), Path::from("s"), StoreConfig::default()).await.unwrap();
    let cells = 3000u16;
    for number in 0..40 {
        let dataset = atlas.create_dataset(&format!("d{number:02}")).await.unwrap();
        let value = |cell: u16| f32::from(if cell % 100 == number { 9999 } else { cell });
        let values = ndarray::Array1::from_iter((0..cells).map(value));
        dataset.define_array::<f32>("t", &["z"], &[usize::from(cells)], None, Some(9999.0)).unwrap();
        dataset.write_array("t", &[0], values.view().into_dyn()).await.unwrap();
    }
    atlas.flush().await.unwrap();
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    let query = "SELECT t FROM atlas ORDER BY t DESC LIMIT 10";
    assert_eq!(rows(&ctx, query).await.unwrap(), ["NULL"; 10]);
    let decoded = counted(&ctx, query, "chunks_decoded").await;
    assert!((1..20).contains(&decoded), "{decoded} of 40 chunks");
    // With values among the first rows all of them may have better ones.
    let query = "SELECT t FROM atlas ORDER BY t DESC NULLS LAST LIMIT 10";
    assert_eq!(rows(&ctx, query).await.unwrap()[0], "2999.0");
}
