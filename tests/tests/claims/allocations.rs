//! A scan of many small datasets allocates memory for each frame, not for each dataset.

use std::sync::Arc;

use allocation_counter::measure;
use arrow::array::Float32Array;
use atlas::{ArraySchema, Atlas, DType, StoreConfig};
use atlas_datafusion::{register_store, session_state};
use atlas_tests::memory;
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use object_store::path::Path;

const DATASETS: usize = 100_000;

async fn store() -> Atlas {
    let atlas = Atlas::create(memory(), Path::from("s"), StoreConfig::default()).await.unwrap();
    for number in 0..DATASETS {
        let name = format!("d{number:06}");
        let dataset = atlas.create_dataset(&name).await.unwrap();
        // Of several sizes, so that neighbouring datasets differ.
        let levels = 2 + number % 3;
        for variable in ["t", "s"] {
            let schema = ArraySchema::new(variable.to_owned(), DType::F32, &["z"]);
            dataset.define(schema, &[levels]).unwrap();
            let values = Float32Array::from_iter_values((0..levels).map(|z| (number % 100 + z) as f32));
            dataset.write_arrow(variable, &[0], &[levels], Arc::new(values)).await.unwrap();
        }
    }
    atlas.flush().await.unwrap();
    atlas
}

#[test]
fn a_scan_allocates_for_frames_and_not_for_datasets() {
    // Everything runs on the thread that counts.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ctx = SessionContext::new_with_state(session_state());
    runtime.block_on(async {
        ctx.sql("SET datafusion.execution.target_partitions = 1").await.unwrap();
        register_store(&ctx, "atlas", &store().await).unwrap();
    });
    for query in [
        "SELECT avg(t * s) FROM atlas",
        "SELECT sum(t) FROM atlas WHERE s > 50",
        "SELECT z, stddev(t) FROM atlas GROUP BY z",
        "SELECT avg(t), max(s) FROM atlas WHERE dataset > 'd000010'",
    ] {
        let plan = runtime.block_on(async {
            // The first run reads indexes and names.
            ctx.sql(query).await.unwrap().collect().await.unwrap();
            ctx.sql(query).await.unwrap().create_physical_plan().await.unwrap()
        });
        let mut rows = 0;
        let counted = measure(|| {
            let batches = runtime.block_on(collect(Arc::clone(&plan), ctx.task_ctx())).unwrap();
            rows = batches.iter().map(|batch| batch.num_rows()).sum();
        });
        assert!(rows > 0, "{query}");
        let most = DATASETS as u64 / 10;
        assert!(counted.count_total < most, "{query}: {} allocations", counted.count_total);
    }
}
