//! A store compared with a plain model of it, under random operations.
//!
//! The model is a map of arrays with every cell in memory. Operations are drawn at random:
//! creating, defining, writing and overwriting regions, extending, deleting, renaming, attributes,
//! flushing, reopening, compacting, vacuuming. After each flush, everything is read and compared.
//! With faults, the store must be in the state before the failed operation or after it.
//! `PROPTEST_CASES=5000 cargo test --release -p atlas-tests --test claims model::` runs more cases.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use atlas::{
    ArraySchema, Atlas, AttributeValue, CacheBudget, DType, Error, ReadMetrics, Result, StoreConfig, Value,
};
use atlas_tests::model::{cases, fill, places, run, value};
use atlas_tests::objects::Watched;
use object_store::memory::InMemory;
use object_store::path::Path;
use proptest::prelude::*;

/// An array: its schema, its shape, its cells in row-major order, and which of these were written.
#[derive(Clone, Debug, PartialEq)]
struct Array {
    schema: ArraySchema,
    shape: Vec<usize>,
    cells: Vec<Option<Value>>,
    written: Vec<bool>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Dataset {
    arrays: BTreeMap<String, Array>,
    attributes: Vec<(String, AttributeValue)>,
}

type Model = BTreeMap<String, Dataset>;

/// An operation. Numbers are taken modulo the number of objects that exist.
#[derive(Clone, Debug)]
enum Operation {
    Create(usize),
    Define { dataset: usize, array: usize, dtype: usize, dims: usize, chunk: [usize; 2], fill: bool },
    Write { dataset: usize, array: usize, start: [usize; 2], size: [usize; 2], seed: i64 },
    WriteAll { dataset: usize, array: usize, seed: i64 },
    Extend { dataset: usize, dim: usize, by: usize },
    DeleteArray { dataset: usize, array: usize },
    DeleteDataset(usize),
    Rename { dataset: usize, to: usize },
    SetAttribute { dataset: usize, array: Option<usize>, key: usize, value: i64 },
    RemoveAttribute { dataset: usize, array: Option<usize>, key: usize },
    Flush,
    Reopen,
    Compact,
    Vacuum,
    Verify,
}

const NAMES: [&str; 4] = ["alpha", "beta", "gamma %2F é", "delta"];
const ARRAYS: [&str; 3] = ["t", "salt %", "name"];
const DIMS: [&str; 2] = ["time", "depth"];
const TYPES: [DType; 4] = [DType::I16, DType::F32, DType::String, DType::Timestamp];
const SIZES: [usize; 2] = [5, 3];
const KEYS: [&str; 2] = ["title", "units"];

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let (dataset, array) = (0usize..4, 0usize..3);
    prop_oneof![
        3 => dataset.clone().prop_map(Create),
        4 => (dataset.clone(), array.clone(), 0usize..4, 0usize..4, [0usize..4, 0usize..3], any::<bool>()).prop_map(
            |(dataset, array, dtype, dims, chunk, fill)| Define { dataset, array, dtype, dims, chunk, fill }),
        6 => (dataset.clone(), array.clone(), [0usize..8, 0usize..3], [1usize..6, 1usize..4], 0i64..100).prop_map(
            |(dataset, array, start, size, seed)| Write { dataset, array, start, size, seed }),
        3 => (dataset.clone(), array.clone(), 0i64..100).prop_map(
            |(dataset, array, seed)| WriteAll { dataset, array, seed }),
        3 => (dataset.clone(), 0usize..2, 0usize..4).prop_map(|(dataset, dim, by)| Extend { dataset, dim, by }),
        1 => (dataset.clone(), array.clone()).prop_map(|(dataset, array)| DeleteArray { dataset, array }),
        1 => dataset.clone().prop_map(DeleteDataset),
        1 => (dataset.clone(), 0usize..4).prop_map(|(dataset, to)| Rename { dataset, to }),
        1 => (dataset.clone(), prop::option::of(array.clone()), 0usize..2, any::<i64>()).prop_map(
            |(dataset, array, key, value)| SetAttribute { dataset, array, key, value }),
        1 => (dataset, prop::option::of(array), 0usize..2).prop_map(
            |(dataset, array, key)| RemoveAttribute { dataset, array, key }),
        5 => Just(Flush),
        1 => Just(Reopen),
        2 => Just(Compact),
        1 => Just(Vacuum),
        1 => Just(Verify),
    ]
}

/// The model after an operation on datasets; `None` if the store must refuse it.
fn apply(model: &Model, operation: &Operation) -> Option<Model> {
    use Operation::*;
    let mut after = model.clone();
    match operation {
        Create(name) => {
            let name = NAMES[*name].to_owned();
            (!model.contains_key(&name)).then(|| after.insert(name, Dataset::default()))?;
        }
        Define { dataset, array, dtype, dims, chunk, fill: filled } => {
            let dataset = after.get_mut(NAMES[*dataset])?;
            let name = ARRAYS[*array];
            if dataset.arrays.contains_key(name) {
                return None;
            }
            let (dtype, positions) = (TYPES[*dtype], [&[][..], &[0], &[0, 1], &[1, 0]][*dims]);
            let dims: Vec<_> = positions.iter().map(|&d| DIMS[d]).collect();
            let mut schema = ArraySchema::new(name, dtype, &dims);
            schema.chunk = positions.iter().map(|&d| chunk[d]).collect();
            schema.fill = filled.then(|| fill(dtype));
            // If the dataset has the dimension, its size stays.
            let known = |dim: &str| {
                dataset.arrays.values().find_map(|array| {
                    array.schema.dims.iter().position(|name| name == dim).map(|d| array.shape[d])
                })
            };
            let shape: Vec<_> = positions.iter().map(|&d| known(DIMS[d]).unwrap_or(SIZES[d])).collect();
            let cells = vec![None; shape.iter().product()];
            let written = vec![false; cells.len()];
            dataset.arrays.insert(name.to_owned(), Array { schema, shape, cells, written });
        }
        Write { dataset, array, start, size, seed } => {
            let array = after.get_mut(NAMES[*dataset])?.arrays.get_mut(ARRAYS[*array])?;
            let (start, size) = region(array, start, size);
            for (i, place) in places(&array.shape, &start, &size).into_iter().enumerate() {
                array.cells[place] = cell(&array.schema, *seed, i);
                array.written[place] = true;
            }
        }
        WriteAll { dataset, array, seed } => {
            let array = after.get_mut(NAMES[*dataset])?.arrays.get_mut(ARRAYS[*array])?;
            for (i, place) in array.cells.iter_mut().enumerate() {
                *place = cell(&array.schema, *seed, i);
            }
            array.written.fill(true);
        }
        Extend { dataset, dim, by } => {
            let dim = DIMS[*dim];
            let arrays = &mut after.get_mut(NAMES[*dataset])?.arrays;
            let mut found = false;
            for array in arrays.values_mut() {
                let Some(d) = array.schema.dims.iter().position(|name| name == dim) else { continue };
                found = true;
                let mut shape = array.shape.clone();
                shape[d] += by;
                let mut cells = vec![None; shape.iter().product()];
                let mut written = vec![false; cells.len()];
                let old = places(&shape, &vec![0; shape.len()], &array.shape);
                for (from, place) in old.into_iter().enumerate() {
                    cells[place] = array.cells[from].clone();
                    written[place] = array.written[from];
                }
                *array = Array { schema: array.schema.clone(), shape, cells, written };
            }
            found.then_some(())?;
        }
        DeleteArray { dataset, array } => {
            after.get_mut(NAMES[*dataset])?.arrays.remove(ARRAYS[*array])?;
        }
        DeleteDataset(dataset) => {
            after.remove(NAMES[*dataset])?;
        }
        Rename { dataset, to } => {
            let moved = after.remove(NAMES[*dataset])?;
            if after.insert(NAMES[*to].to_owned(), moved).is_some() {
                return None;
            }
        }
        SetAttribute { dataset, array, key, value } => {
            let attributes = attributes(&mut after, *dataset, *array)?;
            let (key, value) = (KEYS[*key].to_owned(), AttributeValue::from(*value));
            match attributes.iter_mut().find(|(name, _)| *name == key) {
                Some((_, old)) => *old = value,
                None => attributes.push((key, value)),
            }
        }
        RemoveAttribute { dataset, array, key } => {
            let attributes = attributes(&mut after, *dataset, *array)?;
            let position = attributes.iter().position(|(name, _)| name == KEYS[*key])?;
            attributes.remove(position);
        }
        Flush | Reopen | Compact | Vacuum | Verify => {}
    }
    Some(after)
}

fn attributes(
    model: &mut Model,
    dataset: usize,
    array: Option<usize>,
) -> Option<&mut Vec<(String, AttributeValue)>> {
    let dataset = model.get_mut(NAMES[dataset])?;
    match array {
        Some(array) => Some(&mut dataset.arrays.get_mut(ARRAYS[array])?.schema.attributes),
        None => Some(&mut dataset.attributes),
    }
}

fn region(array: &Array, start: &[usize; 2], size: &[usize; 2]) -> (Vec<usize>, Vec<usize>) {
    let start: Vec<_> = array.shape.iter().zip(start).map(|(extent, s)| s % extent.max(&1)).collect();
    let size =
        array.shape.iter().zip(size).zip(&start).map(|((extent, size), start)| *size.min(&(extent - start)));
    let size = size.collect();
    (start, size)
}

fn cell(schema: &ArraySchema, seed: i64, i: usize) -> Option<Value> {
    value(schema.dtype, seed, i).filter(|value| Some(value) != schema.fill.as_ref())
}

/// Performs the operation on the store that `apply` performs on the model.
async fn perform(atlas: &Atlas, model: &Model, operation: &Operation) -> Result<()> {
    use Operation::*;
    let open = async |dataset: &usize| atlas.open_dataset(NAMES[*dataset]).await;
    match operation {
        Create(name) => atlas.create_dataset(NAMES[*name]).await.map(drop),
        Define { dataset, array, .. } => {
            let view = open(dataset).await?;
            let after = apply(model, operation);
            let after =
                after.as_ref().and_then(|after| after.get(NAMES[*dataset])?.arrays.get(ARRAYS[*array]));
            let refused = ArraySchema::new(ARRAYS[*array], DType::I8, &[]);
            let (schema, shape) =
                after.map_or((refused, Vec::new()), |array| (array.schema.clone(), array.shape.clone()));
            view.define(schema, &shape)
        }
        Write { dataset, array, .. } | WriteAll { dataset, array, .. } => {
            let view = open(dataset).await?;
            let known = model.get(NAMES[*dataset]).and_then(|dataset| dataset.arrays.get(ARRAYS[*array]));
            let Some(known) = known else {
                return view.write_arrow(ARRAYS[*array], &[], &[], DType::I8.array([None])).await;
            };
            let (start, size, seed) = match operation {
                Write { start, size, seed, .. } => {
                    let (start, size) = region(known, start, size);
                    (start, size, *seed)
                }
                WriteAll { seed, .. } => (vec![0; known.shape.len()], known.shape.clone(), *seed),
                _ => unreachable!(),
            };
            let (dtype, count) = (known.schema.dtype, size.iter().product());
            let cells = dtype.array((0..count).map(|i| value(dtype, seed, i)));
            view.write_arrow(ARRAYS[*array], &start, &size, cells).await
        }
        Extend { dataset, dim, by } => {
            let view = open(dataset).await?;
            let known = model.get(NAMES[*dataset]);
            let size = known.and_then(|dataset| {
                dataset.arrays.values().find_map(|array| {
                    array.schema.dims.iter().position(|name| name == DIMS[*dim]).map(|d| array.shape[d])
                })
            });
            view.extend(DIMS[*dim], size.unwrap_or(1) + by).await
        }
        DeleteArray { dataset, array } => open(dataset).await?.delete_array(ARRAYS[*array]).await,
        DeleteDataset(dataset) => atlas.delete_dataset(NAMES[*dataset]).await,
        Rename { dataset, to } => atlas.rename_dataset(NAMES[*dataset], NAMES[*to]).await,
        SetAttribute { dataset, array, key, value } => match array {
            Some(array) => open(dataset).await?.set_array_attribute(ARRAYS[*array], KEYS[*key], *value),
            None => open(dataset).await?.set_attribute(KEYS[*key], *value),
        },
        RemoveAttribute { dataset, array, key } => match array {
            Some(array) => open(dataset).await?.remove_array_attribute(ARRAYS[*array], KEYS[*key]),
            None => open(dataset).await?.remove_attribute(KEYS[*key]),
        },
        Flush => atlas.flush().await,
        Compact => atlas.compact(None).await.map(drop),
        Vacuum => atlas.vacuum(Duration::ZERO).await.map(drop),
        Verify => {
            // A storage that has failed also appears as a problem.
            let problems = atlas.verify().await?.problems;
            if problems.is_empty() { Ok(()) } else { Err(Error::Poisoned) }
        }
        Reopen => unreachable!("done by the caller"),
    }
}

/// Reads the content of a store as a model, and checks statistics against the cells.
async fn read(atlas: &Atlas) -> Result<Model> {
    let mut model = Model::new();
    // Pending changes hide committed data, so another handle reads these.
    let snapshot = atlas.snapshot();
    let atlas = &atlas.open_at(snapshot.root().generation()).await?;
    let names: Vec<_> =
        snapshot.catalog()?.datasets().map(|(_, dataset)| dataset.name().to_owned()).collect();
    for name in names {
        let view = atlas.open_dataset(&name).await?;
        let mut dataset = Dataset { attributes: view.attributes()?, ..Dataset::default() };
        for mut schema in view.arrays()? {
            let shape = view.shape(&schema.name)?;
            let cells = view.read_arrow(&schema.name, &vec![0; shape.len()], &shape).await?;
            let statistics = view.array_stats(&schema.name).await?;
            let values: Vec<_> = (0..cells.len()).map(|i| schema.dtype.value(&cells, i)).collect();
            let nan = values.iter().flatten().filter(|value| value.is_nan()).count();
            assert_eq!(
                (statistics.row_count, statistics.null_count, statistics.nan_count),
                (cells.len() as u64, cells.null_count() as u64, nan as u64)
            );
            let expected = atlas::Statistics::of(&cells, schema.dtype);
            assert_eq!(
                (&statistics.min, &statistics.max),
                (&expected.min, &expected.max),
                "{name} {schema:?}"
            );
            assert_eq!(statistics.sum, expected.sum);
            // The store chooses new chunks when an array grows.
            schema.chunk.clear();
            let written = Vec::new();
            dataset.arrays.insert(schema.name.clone(), Array { schema, shape, cells: values, written });
        }
        model.insert(name, dataset);
    }
    Ok(model)
}

/// The model without information that the store need not keep.
fn plain(model: &Model) -> Model {
    let mut model = model.clone();
    for array in model.values_mut().flat_map(|dataset| dataset.arrays.values_mut()) {
        array.schema.chunk.clear();
        array.written.clear();
    }
    model
}

/// For each variable, the number of chunks with written cells, the number of their cells, and of
/// the missing ones among these.
fn counts(model: &Model) -> BTreeMap<String, [u64; 3]> {
    let mut counts: BTreeMap<String, [u64; 3]> = BTreeMap::new();
    for (name, array) in model.values().flat_map(|dataset| &dataset.arrays) {
        let chunk = array.schema.chunk_shape(&array.shape);
        let mut chunks: BTreeMap<Vec<usize>, (bool, u64, u64)> = BTreeMap::new();
        for (place, cell) in array.cells.iter().enumerate() {
            let mut rest = place;
            let mut coordinate: Vec<_> = array
                .shape
                .iter()
                .zip(&chunk)
                .rev()
                .map(|(&size, &chunk)| {
                    let index = rest % size;
                    rest /= size;
                    index / chunk
                })
                .collect();
            coordinate.reverse();
            let (written, cells, missing) = chunks.entry(coordinate).or_default();
            *written |= array.written[place];
            *cells += 1;
            *missing += u64::from(cell.is_none());
        }
        let total = counts.entry(name.clone()).or_default();
        for (_, cells, missing) in chunks.values().filter(|(written, ..)| *written) {
            *total = [total[0] + 1, total[1] + cells, total[2] + missing];
        }
    }
    counts
}

/// Compares the store's counts of its variables with the model.
async fn check_counts(atlas: &Atlas, model: &Model) -> Result<(), TestCaseError> {
    let snapshot = atlas.snapshot();
    for (name, expected) in counts(model) {
        let found = snapshot.counts(&name, &ReadMetrics::default()).await.unwrap();
        prop_assert_eq!(found, expected, "{}", name);
    }
    Ok(())
}

async fn open(objects: Arc<dyn object_store::ObjectStore>) -> Result<Atlas> {
    Atlas::open(objects, Path::from("s")).await
}

/// `created` tells whether an empty first commit precedes the operations.
async fn follow(operations: &[Operation], created: bool) -> Result<(), TestCaseError> {
    let objects: Arc<InMemory> = Arc::default();
    let config =
        StoreConfig { cache: CacheBudget { indexes: 10_000, blocks: 500 }, ..StoreConfig::default() };
    let mut atlas = Atlas::create(objects.clone(), Path::from("s"), config).await.unwrap();
    if created {
        atlas.flush().await.unwrap();
    }
    let (mut pending, mut committed) = (Model::new(), Model::new());
    for operation in operations {
        use Operation::{Compact, Reopen, Vacuum, Verify};
        let is_there = atlas.snapshot().root().generation() > 0;
        if !is_there && matches!(operation, Reopen | Compact | Vacuum | Verify) {
            continue;
        }
        match operation {
            Reopen => {
                atlas = open(objects.clone()).await.unwrap();
                pending = committed.clone();
                continue;
            }
            _ => match (apply(&pending, operation), perform(&atlas, &pending, operation).await) {
                (Some(after), Ok(())) => pending = after,
                (None, Err(_)) => {}
                (expected, found) => {
                    return Err(TestCaseError::fail(format!(
                        "{operation:?}: {} {found:?}",
                        expected.is_some()
                    )));
                }
            },
        }
        let mut names = atlas.list_datasets().unwrap();
        names.sort();
        prop_assert_eq!(names, pending.keys().cloned().collect::<Vec<_>>());
        if matches!(operation, Operation::Flush) {
            committed = pending.clone();
        }
        if atlas.snapshot().root().generation() == 0 {
            continue;
        }
        prop_assert_eq!(read(&atlas).await.unwrap(), plain(&committed), "after {:?}", operation);
        check_counts(&atlas, &committed).await?;
    }
    atlas.flush().await.unwrap();
    let reopened = open(objects.clone()).await.unwrap();
    prop_assert_eq!(read(&reopened).await.unwrap(), plain(&pending));
    check_counts(&reopened, &pending).await?;
    atlas.compact(None).await.unwrap();
    atlas.vacuum(Duration::ZERO).await.unwrap();
    let verified = atlas.verify().await.unwrap();
    prop_assert_eq!(&verified.problems, &[""; 0]);
    prop_assert_eq!((&verified.unused, &verified.foreign), (&Vec::new(), &Vec::new()));
    prop_assert_eq!(read(&open(objects).await.unwrap()).await.unwrap(), plain(&pending));
    Ok(())
}

/// The same with a storage that fails after some operations, more than once. The store must then be
/// in the state of the last commit or of the failed one.
async fn follow_with_faults(operations: &[Operation], faults: &[i64]) -> Result<(), TestCaseError> {
    let objects: Arc<InMemory> = Arc::default();
    let created = Atlas::create(objects.clone(), Path::from("s"), StoreConfig::default()).await.unwrap();
    created.flush().await.unwrap();
    let mut faults = faults.iter().copied();
    let mut next = || Watched::failing_after(objects.clone(), faults.next().unwrap_or(-1));
    let mut atlas = open_surely(next(), &objects).await;
    let (mut pending, mut committed) = (Model::new(), Model::new());
    for operation in operations {
        if matches!(operation, Operation::Reopen) {
            atlas = open_surely(next(), &objects).await;
            pending = committed.clone();
            continue;
        }
        let after = apply(&pending, operation);
        let done = perform(&atlas, &pending, operation).await;
        match (after, done) {
            (Some(after), Ok(())) => {
                pending = after;
                if matches!(operation, Operation::Flush) {
                    committed = pending.clone();
                }
            }
            (None, Err(_)) if !matches!(operation, Operation::Flush) => {}
            (_, Err(Error::Storage { .. } | Error::NotShown { .. } | Error::Poisoned)) => {
                // The next writer finds the old state, or the new one if it was being committed.
                let next_up = open(objects.clone()).await.unwrap();
                next_up.refresh().await.unwrap();
                let found = read(&next_up).await.unwrap();
                if matches!(operation, Operation::Flush) && found == plain(&pending) {
                    committed = pending.clone();
                }
                prop_assert_eq!(&found, &plain(&committed), "after {:?} failed", operation);
                prop_assert_eq!(next_up.verify().await.unwrap().problems, [""; 0]);
                atlas = open_surely(next(), &objects).await;
                pending = committed.clone();
            }
            (expected, found) => {
                return Err(TestCaseError::fail(format!("{operation:?}: {} {found:?}", expected.is_some())));
            }
        }
    }
    let last = open(objects.clone()).await.unwrap();
    last.refresh().await.unwrap();
    prop_assert_eq!(read(&last).await.unwrap(), plain(&committed));
    last.vacuum(Duration::ZERO).await.unwrap();
    let verified = last.verify().await.unwrap();
    prop_assert_eq!((&verified.problems, &verified.unused), (&Vec::new(), &Vec::new()));
    Ok(())
}

/// Opens a store whose storage fails, or one whose storage works if the first cannot be opened.
async fn open_surely(watched: Arc<Watched>, objects: &Arc<InMemory>) -> Atlas {
    let atlas = open(watched).await;
    let atlas = match atlas {
        Ok(atlas) => atlas,
        Err(_) => open(objects.clone()).await.unwrap(),
    };
    match atlas.refresh().await {
        Ok(()) => atlas,
        Err(_) => {
            let atlas = open(objects.clone()).await.unwrap();
            atlas.refresh().await.unwrap();
            atlas
        }
    }
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn a_store_holds_what_its_model_holds(
        operations in prop::collection::vec(operation(), 1..60),
        created: bool,
    ) {
        run(follow(&operations, created))?;
    }

    #[test]
    fn a_store_whose_storage_fails_is_old_or_new(
        operations in prop::collection::vec(operation(), 1..50),
        faults in prop::collection::vec(0i64..60, 1..6),
    ) {
        run(follow_with_faults(&operations, &faults))?;
    }
}
