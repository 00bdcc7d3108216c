//! Queries over a store in Apache Ballista, in standalone mode. Client, scheduler and executor are in
//! this process, and exchange encoded plans as they would between machines.
//!
//! `cargo run --manifest-path examples/ballista/Cargo.toml`

mod codec;

use std::sync::Arc;

use atlas::{Atlas, StoreConfig};
use atlas_datafusion::{register_store, with_atlas};
use ballista::prelude::{SessionConfigExt, SessionContextExt};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use ndarray::Array2;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let location = directory.path().join("store").display().to_string();
    let atlas = Atlas::create_url(&location, StoreConfig::default()).await?;
    for station in 0..24u8 {
        let dataset = atlas.create_dataset(&format!("station-{station:02}")).await?;
        let values = Array2::from_shape_fn((30, 10), |(time, depth)| {
            20.0 + f32::from(station) - depth as f32 + (time % 7) as f32 / 10.0
        });
        dataset.define_array::<f32>(
            "temperature",
            &["time", "depth"],
            &[30, 10],
            Some(vec![10, 10]),
            None,
        )?;
        dataset.write_array("temperature", &[0, 0], values.view().into_dyn()).await?;
    }
    atlas.flush().await?;

    let config = SessionConfig::new_with_ballista()
        .with_target_partitions(4)
        .with_ballista_logical_extension_codec(Arc::new(codec::LogicalCodec::default()))
        .with_ballista_physical_extension_codec(codec::physical());
    let state = with_atlas(SessionStateBuilder::new().with_config(config).with_default_features()).build();
    // The same session without Ballista, for comparison.
    let alone = SessionContext::new_with_state(
        with_atlas(SessionStateBuilder::new().with_default_features()).build(),
    );
    let ballista = SessionContext::standalone_with_state(state).await?;
    for ctx in [&alone, &ballista] {
        register_store(ctx, "atlas", &atlas)?;
    }
    for query in [
        "SELECT dataset, avg(temperature) AS mean FROM atlas GROUP BY dataset ORDER BY dataset LIMIT 3",
        "SELECT depth, count(*) AS n, avg(temperature) AS mean FROM atlas GROUP BY depth ORDER BY depth",
        "SELECT dataset, time, depth, temperature FROM atlas ORDER BY temperature DESC, time LIMIT 3",
        "SELECT count(*) AS n FROM atlas WHERE temperature > 30 AND dataset < 'station-12'",
        "SELECT time, max(temperature) AS warmest FROM atlas.temperature GROUP BY time ORDER BY time LIMIT 3",
        "SELECT d.dataset, d.cells, count(*) AS warm FROM atlas JOIN atlas._datasets AS d USING (dataset) \
         WHERE temperature > 35 GROUP BY d.dataset, d.cells ORDER BY warm DESC, dataset LIMIT 3",
    ] {
        let found = ballista.sql(query).await?.to_string().await?;
        let expected = alone.sql(query).await?.to_string().await?;
        println!("{query}\n{found}");
        if found != expected {
            return Err(format!("without Ballista, the answer is\n{expected}").into());
        }
    }
    Ok(())
}
