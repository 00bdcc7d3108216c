//! A program with its own DataFusion session. It adds a store as a catalog beside its other tables,
//! with Atlas's optimizer rules and functions.
//!
//! `cargo run -p atlas-examples --example embed_datafusion`

use std::sync::Arc;

use atlas::{Atlas, StoreConfig};
use atlas_datafusion::register_store;
use datafusion::arrow::array::{Float64Array, RecordBatch, StringArray};
use datafusion::prelude::{SessionConfig, SessionContext};
use ndarray::Array1;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let atlas = Atlas::create_url("memory:///embedded", StoreConfig::default()).await?;
    for (name, base) in [("a", 10.0), ("b", 20.0), ("c", 30.0)] {
        let dataset = atlas.create_dataset(name).await?;
        dataset.define_array::<f64>("temperature", ["time"], [100], None, None)?;
        let values = Array1::from_shape_fn(100, |i| base + (i % 10) as f64 / 10.0);
        dataset.write_array("temperature", [0], values.into_dyn().view()).await?;
    }
    atlas.flush().await?;

    // The session belongs to the program. Registering the store adds the rules that it needs.
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    register_store(&context, "atlas", &atlas)?;
    atlas_udfs::register_all(&context);
    let limits = RecordBatch::try_from_iter([
        ("station", Arc::new(StringArray::from(vec!["a", "b"])) as _),
        ("most", Arc::new(Float64Array::from(vec![10.5, 25.0])) as _),
    ])?;
    context.register_batch("limits", limits)?;
    let joined = context
        .sql(
            "SELECT dataset, count(*) AS above FROM atlas JOIN limits ON dataset = station \
             WHERE temperature > most GROUP BY dataset ORDER BY dataset",
        )
        .await?;
    joined.show().await?;
    let plan = context.sql("EXPLAIN SELECT dataset, avg(temperature) FROM atlas GROUP BY dataset").await?;
    plan.show().await?;
    Ok(())
}
