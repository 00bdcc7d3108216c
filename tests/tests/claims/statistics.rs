//! The statistics that a scan reports to the optimizer are true.

use std::sync::Arc;

use atlas::{Atlas, StoreConfig};
use atlas_datafusion::{AtlasSource, TableOptions};
use atlas_tests::{memory, session};
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::expressions::{binary, col, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use ndarray::Array1;

async fn context() -> SessionContext {
    let atlas = Atlas::create(memory(), "s".into(), StoreConfig::default()).await.unwrap();
    for (name, size) in [("a", 10), ("b", 20), ("c", 30)] {
        let dataset = atlas.create_dataset(name).await.unwrap();
        dataset.set_attribute("size", size as i64).unwrap();
        for array in ["x", "v"] {
            let values = Array1::from_iter((0..size).map(|i| i as f64));
            dataset.define_array::<f64>(array, &["x"], &[size], None, None).unwrap();
            dataset.write_array(array, &[0], values.view().into_dyn()).await.unwrap();
        }
    }
    atlas.flush().await.unwrap();
    session(&atlas, TableOptions::default()).unwrap()
}

/// The scan of a plan, which may lie below other operators.
fn scan(plan: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    match plan.children().as_slice() {
        [] => Arc::clone(plan),
        [child, ..] => scan(child),
    }
}

async fn rows(ctx: &SessionContext, filter: &str) -> Precision<usize> {
    let sql = format!("SELECT v FROM atlas WHERE {filter}");
    let plan = ctx.sql(&sql).await.unwrap().create_physical_plan().await.unwrap();
    let leaf = scan(&plan);
    leaf.downcast_ref::<DataSourceExec>().unwrap().data_source().partition_statistics(None).unwrap().num_rows
}

#[tokio::test]
async fn row_counts_are_exact_where_whole_datasets_are_selected() {
    let ctx = context().await;
    assert_eq!(rows(&ctx, "true").await, Precision::Exact(60));
    assert_eq!(rows(&ctx, "dataset IN ('a', 'c')").await, Precision::Exact(40));
    assert_eq!(rows(&ctx, "size > 10 AND dataset <> 'c'").await, Precision::Exact(20));
    assert_eq!(rows(&ctx, "dataset = 'nobody'").await, Precision::Exact(0));
    assert!(matches!(rows(&ctx, "x > 5").await, Precision::Inexact(_)));
    assert!(matches!(rows(&ctx, "v > 5").await, Precision::Inexact(_)));
}

#[tokio::test]
async fn a_predicate_that_comes_late_makes_them_inexact() {
    let ctx = context().await;
    let plan = ctx.sql("SELECT * FROM atlas").await.unwrap().create_physical_plan().await.unwrap();
    let leaf = scan(&plan);
    let source = leaf.downcast_ref::<DataSourceExec>().unwrap();
    let schema = leaf.schema();
    let name = datafusion::common::ScalarValue::Utf8View(Some("a".to_owned()));
    let predicate =
        binary(col("dataset", &schema).unwrap(), datafusion::logical_expr::Operator::Eq, lit(name), &schema)
            .unwrap();
    let pushed =
        source.data_source().try_pushdown_filters(vec![predicate], &ConfigOptions::default()).unwrap();
    let narrowed = DataSourceExec::new(pushed.updated_node.unwrap());
    assert!(matches!(
        narrowed.data_source().partition_statistics(None).unwrap().num_rows,
        Precision::Inexact(_)
    ));
    let config = narrowed.data_source().downcast_ref::<FileScanConfig>().unwrap();
    assert!(config.file_source().is::<AtlasSource>());
    let batches = datafusion::physical_plan::collect(Arc::new(narrowed), ctx.task_ctx()).await.unwrap();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 10);
}

/// The optimizer calculates with bounds. It fails a query that compares columns whose bounds are
/// infinite or at the end of their type's range.
#[tokio::test]
async fn bounds_are_told_where_one_can_calculate_with_them() {
    let atlas = Atlas::create(memory(), "s".into(), StoreConfig::default()).await.unwrap();
    let dataset = atlas.create_dataset("a").await.unwrap();
    for (name, values) in [
        ("infinite", [f64::NEG_INFINITY, 0.0, f64::INFINITY]),
        ("extreme", [f64::MIN, 0.0, f64::MAX]),
        ("moderate", [-1.0, 0.0, 1.0]),
    ] {
        dataset.define_array::<f64>(name, &["x"], &[3], None, None).unwrap();
        dataset.write_array(name, &[0], ndarray::arr1(&values).into_dyn().view()).await.unwrap();
    }
    atlas.flush().await.unwrap();
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    let names = "infinite, extreme, moderate";
    // After this, the indexes are in memory.
    ctx.sql(&format!("SELECT {names} FROM atlas")).await.unwrap().collect().await.unwrap();
    let bounds = async |filter: &str| {
        let sql = format!("SELECT {names} FROM atlas {filter}");
        let leaf = scan(&ctx.sql(&sql).await.unwrap().create_physical_plan().await.unwrap());
        let known = leaf.downcast_ref::<DataSourceExec>().unwrap().data_source().partition_statistics(None);
        let columns = known.unwrap().column_statistics.clone();
        columns.iter().map(|column| column.max_value != Precision::Absent).collect::<Vec<_>>()
    };
    assert_eq!(bounds("").await, [false, false, true]);
    assert_eq!(bounds("WHERE moderate < extreme").await, [false; 3]);
    for compared in ["infinite < extreme", "moderate > infinite", "extreme = moderate", "infinite = infinite"]
    {
        let sql = format!("SELECT count(*) FROM atlas WHERE {compared}");
        assert_eq!(atlas_tests::rows(&ctx, &sql).await.unwrap().len(), 1, "{compared}");
    }
}
