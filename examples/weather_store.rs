//! Grids that are written in parts, extended month by month, and read in parts, with arrays of
//! several types.
//!
//! `cargo run -p atlas-examples --example weather_store`

use std::sync::Arc;

use atlas::{Atlas, StoreConfig};
use ndarray::{Array1, Array3};
use object_store::memory::InMemory;
use object_store::path::Path;

const LAT: usize = 8;
const LON: usize = 16;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Any object store works: for example `AmazonS3` instead of `InMemory`.
    let (objects, prefix) = (Arc::new(InMemory::new()), Path::from("weather"));
    let store = Atlas::create(objects.clone(), prefix.clone(), StoreConfig::default()).await?;
    let model = store.create_dataset("model").await?;
    model.define_array::<f32>("lat", ["lat"], [LAT], None, None)?;
    model.write_array("lat", [0], Array1::linspace(55.0f32, 48.0, LAT).into_dyn().view()).await?;
    model.define_array::<f32>(
        "temperature",
        ["day", "lat", "lon"],
        [31, LAT, LON],
        Some(vec![31, 4, 8]),
        Some(f32::NAN),
    )?;
    // Write chunk by chunk. The last chunk is never written: its cells are missing.
    for (lat, lon) in [(0, 0), (0, 8), (4, 0)] {
        let part = Array3::from_shape_fn([31, 4, 8], |(day, i, _)| day as f32 / 10.0 - (lat + i) as f32);
        model.write_array("temperature", [0, lat, lon], part.into_dyn().view()).await?;
    }
    let stations = store.create_dataset("stations").await?;
    stations.define_array::<String>("name", ["station"], [2], None, None)?;
    let names = Array1::from_vec(vec!["De Bilt".to_owned(), "Vlissingen".to_owned()]);
    stations.write_array("name", [0], names.into_dyn().view()).await?;
    store.flush().await?;

    // Add February to January.
    model.extend("day", 31 + 28).await?;
    let february = Array3::<f32>::from_elem([28, LAT, LON], 4.5);
    model.write_array("temperature", [31, 0, 0], february.into_dyn().view()).await?;
    store.flush().await?;

    let reader = Atlas::open(objects, prefix).await?;
    let model = reader.open_dataset("model").await?;
    for array in model.meta()?.arrays {
        println!("{}: {} {:?} {:?}", array.0.name, array.0.dtype, array.0.dims, array.1);
    }
    let turn = model.read_array::<f32>("temperature", [29, 0, 0], [4, 1, 1]).await?.ok_or("it is there")?;
    println!("from January to February: {:.1}", turn);
    let known = model.array_stats("temperature").await?;
    println!(
        "{} cells, {} of them missing, from {:?} to {:?}",
        known.row_count, known.null_count, known.min, known.max
    );
    println!(
        "earlier, it had the shape {:?}",
        reader.open_at(1).await?.open_dataset("model").await?.shape("temperature")?
    );
    Ok(())
}
