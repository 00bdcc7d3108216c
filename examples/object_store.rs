//! Several writers of one store in object storage, and merging stores. Without an argument
//! everything is in memory. `cargo run -p atlas-examples --example object_store --
//! s3://bucket/prefix` writes to a bucket, with credentials from the environment.

use atlas::Atlas;
use ndarray::Array1;

/// Adds datasets through a handle of its own, like another process.
async fn write(location: String, writer: usize) -> atlas::Result<()> {
    let store = match Atlas::options().open(location.as_str()).await {
        Err(atlas::Error::NoStore { .. }) => Atlas::options().create(location.as_str()).await?,
        opened => opened?,
    };
    for number in 0..10 {
        let dataset = store.create_dataset(&format!("writer-{writer}-{number}")).await?;
        dataset.define_array::<f32>("t", ["x"], [100], None, None)?;
        let values = Array1::from_elem(100, writer as f32).into_dyn();
        dataset.write_array("t", [0], values.view()).await?;
    }
    // Others may commit at the same time. They have added other datasets, so all commits succeed.
    store.flush().await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let base = std::env::args().nth(1).unwrap_or_else(|| "memory:///example".to_owned());
    let shared = format!("{base}/shared");
    let writers: Vec<_> = (0..4).map(|writer| tokio::spawn(write(shared.clone(), writer))).collect();
    for writer in writers {
        writer.await??;
    }
    let store = Atlas::open_url(&shared).await?;
    println!("{} datasets in {} commits", store.list_datasets()?.len(), store.log().await?.len());

    let other = format!("{base}/other");
    write(other.clone(), 9).await?;
    let merged = store.merge(&[&Atlas::open_url(&other).await?]).await?;
    println!(
        "{} datasets more, in {} segments of {} bytes that were copied as they are",
        merged.datasets, merged.segments, merged.bytes
    );
    assert!(store.verify().await?.problems.is_empty());
    Ok(())
}
