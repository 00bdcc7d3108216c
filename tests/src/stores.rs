//! The stores that `slt/*.slt` query, by topic.

use atlas::{Atlas, DatasetView, Element, Result, Timestamp};
use ndarray::{ArrayD, arr0, array};

/// Defines an array and writes all of it.
///
/// # Errors
/// Those of the store.
pub async fn put<T: Element>(
    dataset: &DatasetView,
    name: &str,
    dims: &[&str],
    values: ArrayD<T>,
    fill: Option<T>,
) -> Result<()> {
    dataset.define_array(name, dims, values.shape(), None, fill)?;
    dataset.write_array(name, &vec![0; dims.len()], values.view()).await
}

/// Names that collide: of variables and dimensions, of attributes, of grids, and with `dataset`.
///
/// # Errors
/// Those of the store.
pub async fn names(atlas: &Atlas) -> Result<()> {
    // Coordinates over both dimensions, along each, and of a single point.
    let swath = atlas.create_dataset("swath").await?;
    let lat = array![[40.2f32, 40.4, 40.6], [40.8, 41.0, 41.2]];
    put(&swath, "lat", &["lat", "lon"], lat.into_dyn(), None).await?;
    let lon = array![[-99.5f64, -99.25, -99.0], [-99.5, -99.25, -99.0]];
    put(&swath, "lon", &["lat", "lon"], lon.into_dyn(), None).await?;
    put(&swath, "mask", &["lat", "lon"], array![[1i32, 2, 3], [4, 5, 6]].into_dyn(), None).await?;
    let map = atlas.create_dataset("map").await?;
    put(&map, "lat", &["lat"], array![10.5f64, 40.2].into_dyn(), None).await?;
    put(&map, "lon", &["lon"], array![7.0f64].into_dyn(), None).await?;
    put(&map, "mask", &["lat", "lon"], array![[7i32], [8]].into_dyn(), None).await?;
    let point = atlas.create_dataset("point").await?;
    put(&point, "lat", &[], arr0(-3.0f64).into_dyn(), None).await?;
    put(&point, "mask", &[], arr0(9i32).into_dyn(), None).await?;
    // Neither coordinates nor variables with the names of dimensions.
    let bare = atlas.create_dataset("bare").await?;
    put(&bare, "mask", &["lat", "lon"], array![[10i32, 11]].into_dyn(), None).await?;

    map.set_attribute("mask", "an attribute")?;
    map.set_attribute("attr.mask", "its fallback")?;
    map.set_attribute("dataset", "another")?;
    map.set_attribute("Mask", "in another case")?;
    map.set_attribute("name", "not the dataset's")?;
    map.set_attribute("lat", "of neither")?;

    let called = atlas.create_dataset("called").await?;
    put(&called, "dataset", &["dataset"], array![0.5f64, 1.5].into_dyn(), None).await?;
    put(&called, "level", &["dataset"], array![1i32, 2].into_dyn(), None).await?;
    let label = atlas.create_dataset("label").await?;
    put(&label, "dataset", &["row"], array!["p", "q"].mapv(String::from).into_dyn(), None).await?;

    let left = atlas.create_dataset("left").await?;
    put(&left, "u", &["a", "b_c"], array![[1i32]].into_dyn(), None).await?;
    let right = atlas.create_dataset("right").await?;
    put(&right, "v", &["a_b", "c"], array![[2i32]].into_dyn(), None).await?;

    let cases = atlas.create_dataset("cases").await?;
    put(&cases, "TEMP", &["x"], array![1i32, 2].into_dyn(), None).await?;
    put(&cases, "temp", &["x"], array![3i32, 4].into_dyn(), None).await?;
    put(&cases, "x", &["X"], array![5i32].into_dyn(), None).await?;
    atlas.flush().await
}

/// Variables, coordinates and attributes that datasets declare with different types.
///
/// # Errors
/// Those of the store.
pub async fn mixed(atlas: &Atlas) -> Result<()> {
    let day = |day: i64| Timestamp(day * 86_400_000_000_000);
    let standard = atlas.create_dataset("standard").await?;
    put(&standard, "time", &["time"], array![day(10_957), day(10_958)].into_dyn(), None).await?;
    put(&standard, "v", &["time"], array![0.1f32, 47.3].into_dyn(), None).await?;
    put(&standard, "when", &["time"], array![day(0), day(1)].into_dyn(), None).await?;
    standard.set_array_attribute("v", "units", "K")?;
    standard.set_array_attribute("v", "long_name", "warmth")?;
    standard.set_attribute("score", f64::NAN)?;
    standard.set_attribute("buoy", 5.0f64)?;
    standard.set_attribute("limits", vec![0.0f64, 40.5])?;

    // The calendar of this dataset has no timestamps.
    let noleap = atlas.create_dataset("noleap").await?;
    put(&noleap, "time", &["time"], array![9.0f64, 10.0, 100.0].into_dyn(), None).await?;
    put(&noleap, "v", &["time"], array![0.1f64, 47.3, f64::NAN].into_dyn(), None).await?;
    put(&noleap, "when", &["time"], array![9i32, 10, 100].into_dyn(), None).await?;
    noleap.set_array_attribute("v", "units", "degC")?;
    noleap.set_array_attribute("v", "long_name", "warmth")?;
    noleap.set_attribute("score", 2.5f64)?;
    noleap.set_attribute("buoy", "B-7")?;
    noleap.set_attribute("limits", "none")?;

    // Without a coordinate, and with text instead of numbers.
    let bare = atlas.create_dataset("bare").await?;
    put(&bare, "v", &["time"], array!["low", "high"].mapv(String::from).into_dyn(), None).await?;
    put(&bare, "when", &["time"], array![true, false].into_dyn(), None).await?;
    bare.set_attribute("buoy", 7i64)?;
    bare.set_attribute("since", day(0))?;

    // A dataset without rows.
    let empty = atlas.create_dataset("zero").await?;
    empty.define_array::<f64>("v", &["time"], &[0], None, None)?;
    empty.set_attribute("score", 99.0f64)?;
    atlas.flush().await
}
