//! Plans that are encoded and decoded give the same answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use atlas::{Atlas, StoreConfig};
use atlas_datafusion::codec::{AtlasCodec, DeferredSource};
use atlas_datafusion::{StoreScan, TableOptions, grids, session_state};
use atlas_tests::generate::{check_cases, model};
use atlas_tests::queries::{queries, same};
use atlas_tests::random::Model;
use atlas_tests::{memory, rows, session, text};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use datafusion::prelude::SessionContext;
use datafusion_proto::bytes::{
    logical_plan_from_bytes_with_extension_codec, logical_plan_to_bytes_with_extension_codec,
    physical_plan_from_bytes_with_proto_converter, physical_plan_to_bytes_with_proto_converter,
};
use datafusion_proto::physical_plan::DeduplicatingProtoConverter;
use object_store::path::Path;
use proptest::prelude::*;

fn encoded(plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<u8>> {
    let converter = DeduplicatingProtoConverter::default();
    let bytes = physical_plan_to_bytes_with_proto_converter(Arc::clone(plan), &AtlasCodec, &converter)?;
    Ok(bytes.to_vec())
}

fn decoded(bytes: &[u8], ctx: &SessionContext) -> Result<Arc<dyn ExecutionPlan>> {
    let converter = DeduplicatingProtoConverter::default();
    physical_plan_from_bytes_with_proto_converter(bytes, &ctx.task_ctx(), &AtlasCodec, &converter)
}

async fn planned(ctx: &SessionContext, sql: &str) -> Result<Arc<dyn ExecutionPlan>> {
    ctx.sql(sql).await?.create_physical_plan().await
}

/// The physical plan that another session makes of an encoded logical plan.
async fn planned_elsewhere(
    ctx: &SessionContext,
    other: &SessionContext,
    sql: &str,
) -> Result<Arc<dyn ExecutionPlan>> {
    let logical = ctx.state().create_logical_plan(sql).await?;
    let bytes = logical_plan_to_bytes_with_extension_codec(&logical, &AtlasCodec)?;
    let there = logical_plan_from_bytes_with_extension_codec(&bytes, &other.task_ctx(), &AtlasCodec)?;
    // A decoded plan can be encoded again.
    assert_eq!(logical_plan_to_bytes_with_extension_codec(&there, &AtlasCodec)?, bytes);
    other.execute_logical_plan(there).await?.create_physical_plan().await
}

/// The number of planned and of decoded scans of stores in a plan.
fn scans(plan: &Arc<dyn ExecutionPlan>) -> (usize, usize) {
    let (mut planned, mut deferred) = (0, 0);
    plan.apply(|node| {
        planned += usize::from(StoreScan::of(node.as_ref()).is_some());
        let scan = node.downcast_ref::<DataSourceExec>();
        deferred +=
            usize::from(scan.is_some_and(|scan| scan.downcast_to_file_source::<DeferredSource>().is_some()));
        Ok(TreeNodeRecursion::Continue)
    })
    .unwrap();
    (planned, deferred)
}

/// The same plan with each scan divided into shares.
fn shared(plan: Arc<dyn ExecutionPlan>, count: usize) -> Arc<dyn ExecutionPlan> {
    let shared = plan.transform_up(|node| {
        let shares = StoreScan::of(node.as_ref()).map(|scan| scan.shares(count));
        Ok(match shares {
            Some(shares) => {
                let partitions = node.properties().partitioning.partition_count();
                let all = UnionExec::try_new(shares)?;
                // An operator above a single partition can rely on getting all rows.
                let single = partitions == 1 && count > 1;
                Transformed::yes(if single { Arc::new(CoalescePartitionsExec::new(all)) } else { all })
            }
            None => Transformed::no(node),
        })
    });
    shared.unwrap().data
}

async fn answer(plan: Arc<dyn ExecutionPlan>, ctx: &SessionContext, ordered: bool) -> Result<Vec<String>> {
    let mut rows = text(&collect(plan, ctx.task_ctx()).await?)?;
    if !ordered {
        rows.sort();
    }
    Ok(rows)
}

async fn check(model: &Model, picks: &[u32], generations: usize, nan_as_null: bool, count: usize) {
    // A decoded scan opens the store by its address.
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let address = format!("memory:///codec/{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let atlas = Atlas::create_url(&address, StoreConfig::default()).await.unwrap();
    model.write(&atlas, generations).await.unwrap();
    if model.datasets.is_empty() {
        // Nothing was committed, so there are no files to open.
        return;
    }
    let ctx = session(&atlas, TableOptions { nan_as_null, ..TableOptions::default() }).unwrap();
    // A session that does not know the store.
    let other = SessionContext::new_with_state(session_state());
    let grid = grids(&atlas.snapshot().catalog().unwrap()).into_iter().next();
    let mut tables = vec![("atlas".to_owned(), grid.map_or_else(Vec::new, |grid| grid.dims))];
    if let Some(name) = atlas.list_arrays().unwrap().get(picks[0] as usize % 5) {
        tables.push((format!("atlas.\"{name}\""), Vec::new()));
    }
    for (table, dims) in tables {
        let schema = ctx.table(table.as_str()).await.unwrap().schema().as_arrow().clone();
        for (ordered, query) in queries(&schema, &dims, picks, nan_as_null) {
            let query = query.replace(" FROM t", &format!(" FROM {table} AS t"));
            let Ok(plan) = planned(&ctx, &query).await else { continue };
            let bytes = encoded(&plan).unwrap_or_else(|e| panic!("{query}: {e}"));
            let there = decoded(&bytes, &other).unwrap_or_else(|e| panic!("{query}: {e}"));
            assert_eq!(scans(&plan).0, scans(&there).1, "{query}");
            assert_eq!(plan.schema(), there.schema(), "{query}");
            // A decoded plan can be encoded again.
            assert_eq!(
                encoded(&there).unwrap(),
                encoded(&decoded(&encoded(&there).unwrap(), &other).unwrap()).unwrap()
            );
            let elsewhere = match planned_elsewhere(&ctx, &other, &query).await {
                Ok(plan) => answer(plan, &other, ordered).await,
                Err(error) => Err(error),
            };
            let shares = shared(planned(&ctx, &query).await.unwrap(), count);
            let expected = answer(Arc::clone(&plan), &ctx, ordered).await;
            for (what, found) in [
                ("decoded", answer(there, &other, ordered).await),
                ("in shares", answer(shares, &ctx, ordered).await),
                ("as a logical plan", elsewhere),
            ] {
                match (&found, &expected) {
                    (Ok(found), Ok(expected)) => {
                        assert!(same(found, expected), "{what}: {query}: {found:#?}, expected {expected:#?}");
                    }
                    (Err(_), Err(_)) => {}
                    _ => panic!("{what}: {query}: {found:?}, expected {expected:?}"),
                }
            }
        }
    }
}

#[test]
fn plans_mean_the_same_elsewhere() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let case = (model(), prop::collection::vec(any::<u32>(), 12), 1usize..4, any::<bool>(), 1usize..5);
    check_cases(case, 12, |(model, picks, generations, nan_as_null, count)| {
        runtime.block_on(check(&model, &picks, generations, nan_as_null, count));
    });
}

/// A store at an address, with two datasets of several chunks.
async fn store(address: &str) -> Atlas {
    let atlas = Atlas::create_url(address, StoreConfig::default()).await.unwrap();
    for (name, base) in [("cold", 0.0f32), ("warm", 100.0)] {
        let dataset = atlas.create_dataset(name).await.unwrap();
        dataset.define_array::<f32>("v", &["x"], &[40], Some(vec![10]), None).unwrap();
        let cells = ndarray::Array1::from_shape_fn(40, |x| base + x as f32);
        dataset.write_array("v", &[0], cells.view().into_dyn()).await.unwrap();
    }
    atlas.flush().await.unwrap();
    atlas
}

/// A decoded sort and its decoded scan share the dynamic filter.
#[tokio::test]
async fn dynamic_filters_stay_shared() {
    let atlas = store("memory:///codec-filters").await;
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    let plan = planned(&ctx, "SELECT * FROM atlas ORDER BY v DESC LIMIT 2").await.unwrap();
    let there = decoded(&encoded(&plan).unwrap(), &ctx).unwrap();
    let found = collect(Arc::clone(&there), ctx.task_ctx()).await.unwrap();
    assert_eq!(text(&found).unwrap(), ["warm|39|139.0", "warm|38|138.0"]);
    // The scan shows the bound that the sort has found.
    let shown = displayable(there.as_ref()).indent(true).to_string();
    let scan = shown.lines().find(|line| line.contains("DataSourceExec")).unwrap();
    assert!(scan.contains("v@2 > 138"), "{shown}");
}

/// Tables about a store can be sent in logical plans too, and keep their generation. Other tables are
/// refused.
#[tokio::test]
async fn tables_about_a_store_are_sent_in_logical_plans() {
    let atlas = store("memory:///codec-metadata").await;
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    let other = SessionContext::new_with_state(session_state());
    atlas.delete_dataset("cold").await.unwrap();
    atlas.flush().await.unwrap();
    for (query, expected) in [
        ("SELECT dataset, cells FROM atlas._datasets ORDER BY 1", vec!["cold|40", "warm|40"]),
        ("SELECT name, chunks FROM atlas._variables", vec!["v|8"]),
        ("SELECT count(*) FROM atlas._attributes", vec!["0"]),
        ("SELECT dataset, min FROM atlas._chunks ORDER BY 1, min LIMIT 1", vec!["cold|0.0"]),
        ("SELECT count(*) FROM atlas_chunks('memory:///codec-metadata', 'v')", vec!["4"]),
        (
            "SELECT dataset, cells, max(v) FROM atlas JOIN atlas._datasets USING (dataset) GROUP BY 1, 2 ORDER BY 1",
            vec!["cold|40|39.0", "warm|40|139.0"],
        ),
    ] {
        let plan = planned_elsewhere(&ctx, &other, query).await.unwrap();
        assert_eq!(answer(plan, &other, true).await.unwrap(), expected, "{query}");
    }
    ctx.sql("CREATE TABLE m AS SELECT 1 AS one").await.unwrap();
    let error = planned_elsewhere(&ctx, &other, "SELECT * FROM m").await.unwrap_err().to_string();
    assert!(error.contains("is not one of a store"), "{error}");
}

/// A plan reads the generation that it was planned for, whatever is committed later.
#[tokio::test]
async fn a_plan_is_of_one_generation() {
    let atlas = store("memory:///codec-generations").await;
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    let query = "SELECT dataset, avg(v) FROM atlas GROUP BY dataset ORDER BY dataset";
    let before = encoded(&planned(&ctx, query).await.unwrap()).unwrap();
    atlas.delete_dataset("cold").await.unwrap();
    atlas.flush().await.unwrap();
    let run = |bytes: Vec<u8>| {
        let ctx = ctx.clone();
        async move { answer(decoded(&bytes, &ctx)?, &ctx, true).await }
    };
    assert_eq!(run(before.clone()).await.unwrap(), ["cold|19.5", "warm|119.5"]);
    let later = session(&atlas, TableOptions::default()).unwrap();
    let after = encoded(&planned(&later, query).await.unwrap()).unwrap();
    assert_eq!(run(after).await.unwrap(), ["warm|119.5"]);
    assert_eq!(run(before).await.unwrap(), ["cold|19.5", "warm|119.5"]);
}

/// Decoding opens nothing. Errors of the store occur when the plan runs.
#[tokio::test]
async fn decoding_opens_nothing() {
    let atlas = store("memory:///codec-moved").await;
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    let bytes = encoded(&planned(&ctx, "SELECT v FROM atlas").await.unwrap()).unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains("memory:///codec-moved"));
    // Replaces the address by another one of the same length.
    let place = bytes.windows(11).position(|window| window == b"codec-moved").unwrap();
    let mut elsewhere = bytes.clone();
    elsewhere[place..place + 11].copy_from_slice(b"codec-other");
    let there = decoded(&elsewhere, &ctx).unwrap();
    let error = collect(there, ctx.task_ctx()).await.unwrap_err().to_string();
    assert!(error.contains("codec-other"), "{error}");
    // Another store at the address has a generation of the same number.
    store("memory:///codec-other").await;
    let there = decoded(&elsewhere, &ctx).unwrap();
    let error = collect(there, ctx.task_ctx()).await.unwrap_err().to_string();
    assert!(error.contains("now has a different store"), "{error}");
}

/// A store without an address cannot be encoded, but can be queried.
#[tokio::test]
async fn a_store_without_an_address_cannot_be_encoded() {
    let atlas = Atlas::create(memory(), Path::from("s"), StoreConfig::default()).await.unwrap();
    let dataset = atlas.create_dataset("d").await.unwrap();
    dataset.define_array::<f32>("v", &["x"], &[4], None, None).unwrap();
    atlas.flush().await.unwrap();
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    let plan = planned(&ctx, "SELECT v FROM atlas").await.unwrap();
    let error = encoded(&plan).unwrap_err().to_string();
    assert!(error.contains("no address by which another process could open it"), "{error}");
    assert_eq!(rows(&ctx, "SELECT count(*) FROM atlas").await.unwrap(), ["4"]);
}

/// A finished aggregation emits values, not states. A part of a dataset would give the value of some
/// of its rows.
#[tokio::test]
async fn a_finished_aggregation_needs_whole_datasets() {
    let atlas = store("memory:///codec-whole").await;
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    ctx.sql("SET atlas.statistics = false").await.unwrap();
    let query = "SELECT dataset, avg(v) FROM atlas GROUP BY dataset";
    let plan = planned(&ctx, query).await.unwrap();
    let shown = displayable(plan.as_ref()).indent(true).to_string();
    assert!(shown.contains("all of a dataset together"), "{shown}");
    for count in 1..6 {
        let shares = shared(Arc::clone(&plan), count);
        assert_eq!(answer(shares, &ctx, false).await.unwrap(), ["cold|19.5", "warm|119.5"]);
    }
    // An engine that interprets tile numbers as bytes would cut the scan like this.
    let cut = plan.transform_up(|node| {
        let Some(scan) = node.downcast_ref::<DataSourceExec>() else { return Ok(Transformed::no(node)) };
        let config =
            scan.data_source().downcast_ref::<datafusion::datasource::physical_plan::FileScanConfig>();
        let mut config = config.unwrap().clone();
        for group in &mut config.file_groups {
            let files = group.iter().cloned().map(|file| {
                let range = file.range.clone().unwrap();
                file.with_range(range.start, range.end - 1)
            });
            *group = datafusion::datasource::physical_plan::FileGroup::new(files.collect());
        }
        Ok(Transformed::yes(DataSourceExec::from_data_source(config) as Arc<dyn ExecutionPlan>))
    });
    let error = collect(cut.unwrap().data, ctx.task_ctx()).await.unwrap_err().to_string();
    assert!(error.contains("are not whole datasets"), "{error}");
}
