//! The life of a store: adds datasets, reads them before the commit, changes and deletes them,
//! compacts the store and opens it again.
//!
//! `cargo run -p atlas-examples --example lifecycle`

use atlas::{Atlas, StoreConfig};
use ndarray::{Array1, Array2};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let store = Atlas::create_path(directory.path(), StoreConfig::default()).await?;

    // Three datasets, two of which have a `grid`.
    let north = store.create_dataset("north").await?;
    north.define_array::<f32>("grid", ["x", "y"], [4, 4], None, None)?;
    north.write_array("grid", [0, 0], Array2::<f32>::from_elem([4, 4], 1.0).into_dyn().view()).await?;
    north.define_array::<f64>("elevation", ["x", "y"], [4, 4], None, None)?;
    north.write_array("elevation", [0, 0], Array2::<f64>::from_elem([4, 4], 100.0).into_dyn().view()).await?;
    north.set_attribute("region", "north")?;
    let south = store.create_dataset("south").await?;
    south.define_array::<f32>("grid", ["x", "y"], [4, 4], None, None)?;
    south.write_array("grid", [0, 0], Array2::<f32>::from_elem([4, 4], 2.0).into_dyn().view()).await?;
    let scratch = store.create_dataset("scratch").await?;
    scratch.define_array::<i32>("ids", ["n"], [8], None, None)?;
    scratch.write_array("ids", [0], Array1::from_iter(0..8).into_dyn().view()).await?;

    // This handle reads pending changes. Others read them once they are committed.
    let grid = south.read_array::<f32>("grid", [], []).await?.ok_or("it has just been written")?;
    assert_eq!(grid[[3, 3]], 2.0);
    store.flush().await?;
    println!("datasets: {:?}", store.list_datasets()?);
    println!("arrays:   {:?}", store.list_arrays()?);

    // Delete an array and two datasets.
    north.delete_array("elevation").await?;
    store.delete_dataset("scratch").await?;
    store.delete_dataset("south").await?;
    store.flush().await?;
    assert!(north.read_array::<f64>("elevation", [], []).await?.is_none());
    println!("left:     {:?} with {:?}", store.list_datasets()?, store.list_arrays()?);

    // Compaction rewrites segments without deleted chunks. Vacuum removes files that are no longer
    // needed.
    let compacted = store.compact(None).await?;
    println!("compacted {:?}: {} bytes became {}", compacted.variables, compacted.bytes.0, compacted.bytes.1);
    store.vacuum(std::time::Duration::ZERO).await?;

    let reopened = Atlas::open_path(directory.path()).await?;
    let north = reopened.open_dataset("north").await?;
    let grid = north.read_array::<f32>("grid", [], []).await?.ok_or("it is still there")?;
    assert_eq!(grid[[0, 0]], 1.0);
    println!("region:   {:?}", north.get_attribute("region")?);
    Ok(())
}
