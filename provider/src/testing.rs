//! Catalogs and tables to test with.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::future::Future;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Float64Array};
use atlas::{ArraySchema, Atlas, Attributes, Catalog, DType, StoreConfig};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, UnboundedMemoryPool};
use object_store::memory::InMemory;

use crate::scan::boxes::Boxes;
use crate::scan::frame::Frame;
use crate::scan::reader::{Reader, Reading};
use crate::scan::tiles::Tiles;
use crate::tables::columns::Table;
use crate::tables::kind::TableKind;

/// A dataset: its arrays with their shapes, and its attributes.
pub type Made = (Vec<(ArraySchema, Vec<usize>)>, Attributes);

pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// A store with some datasets. In each array with cells of numbers, every seventh cell is missing,
/// and the others are consecutive numbers from a number of the dataset on.
async fn store(datasets: impl IntoIterator<Item = Made>, written: bool) -> Atlas {
    let objects = Arc::new(InMemory::new());
    let atlas = Atlas::create(objects, "".into(), StoreConfig::default()).await.unwrap();
    for (number, (arrays, attributes)) in datasets.into_iter().enumerate() {
        let dataset = atlas.create_dataset(&format!("d{number}")).await.unwrap();
        for (schema, shape) in arrays {
            let (name, dtype) = (schema.name.clone(), schema.dtype);
            dataset.define(schema, &shape).unwrap();
            let cells: usize = shape.iter().product();
            let value = |i: usize| ((i % 7) != 3).then_some((number * 100 + i) as f32);
            let values: ArrayRef = match dtype {
                DType::F32 => Arc::new((0..cells).map(value).collect::<Float32Array>()),
                DType::F64 => Arc::new((0..cells).map(|i| value(i).map(f64::from)).collect::<Float64Array>()),
                _ => continue,
            };
            if written {
                dataset.write_arrow(&name, &vec![0; shape.len()], &shape, values).await.unwrap();
            }
        }
        attributes.into_iter().for_each(|(key, value)| dataset.set_attribute(&key, value).unwrap());
    }
    atlas.flush().await.unwrap();
    atlas
}

/// The catalog of a store with some datasets in which nothing is written.
pub fn catalog(datasets: impl IntoIterator<Item = Made>) -> Arc<Catalog> {
    block_on(async { store(datasets, false).await.snapshot().load().await.unwrap() })
}

/// The wide table over dimensions of a store with some datasets, and all its tiles.
pub fn table(datasets: impl IntoIterator<Item = Made>, dims: &[&str]) -> (Table, Boxes) {
    let snapshot = block_on(store(datasets, true)).snapshot();
    let catalog = block_on(snapshot.load()).unwrap();
    let dims: Vec<String> = dims.iter().map(|&dim| dim.to_owned()).collect();
    let table = Table::new("t", snapshot, catalog, TableKind::Wide { dims, attributes: true }, true);
    let tiles =
        Tiles::new(table.clone(), table.layout.datasets().map(|(o, t)| (o, 0..t.end - t.start)).collect());
    (table, tiles.all())
}

/// Reads columns of boxes.
pub fn read(table: &Table, frame: &mut Frame, columns: &[usize]) {
    let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
    let memory = MemoryConsumer::new("test").register(&pool);
    let (counters, metrics) = (crate::scan::Counters::apart(), atlas::ReadMetrics::default());
    let reading = Reading { counters: &counters, metrics: &metrics, memory: &memory };
    let reader = Reader::new(table.clone(), true);
    block_on(frame.read(&reader, columns, &reading)).unwrap();
}
