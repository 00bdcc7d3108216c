//! Catalogs to test with.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use atlas::{ArraySchema, Atlas, Attributes, Catalog, StoreConfig};
use object_store::memory::InMemory;

/// A dataset: its arrays with their shapes, and its attributes.
pub type Made = (Vec<(ArraySchema, Vec<usize>)>, Attributes);

/// The catalog of a store with some datasets, in which nothing is written.
pub fn catalog(datasets: impl IntoIterator<Item = Made>) -> Arc<Catalog> {
    let made = async {
        let objects = Arc::new(InMemory::new());
        let atlas = Atlas::create(objects, "".into(), StoreConfig::default()).await.unwrap();
        for (number, (arrays, attributes)) in datasets.into_iter().enumerate() {
            let dataset = atlas.create_dataset(&format!("d{number}")).await.unwrap();
            arrays.into_iter().for_each(|(schema, shape)| dataset.define(schema, &shape).unwrap());
            attributes.into_iter().for_each(|(key, value)| dataset.set_attribute(&key, value).unwrap());
        }
        atlas.flush().await.unwrap();
        atlas.snapshot().load().await.unwrap()
    };
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(made)
}
