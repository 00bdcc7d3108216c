//! Two writers and a reader of one store, compared with the [model](super::model). Commits must
//! succeed exactly if the table of [`Atlas::flush`] says so, and nobody may lose data.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use atlas::{ArraySchema, Atlas, CacheBudget, DType, Error, Result, StoreConfig};
use atlas_tests::model::{cases, fill, places, value};
use object_store::memory::InMemory;
use object_store::path::Path;
use proptest::prelude::*;

use super::model::{Array, Attributes, Change, Dataset, Id, Model, Touched, add, merge, read};

/// An operation of a writer. Numbers of datasets and arrays mostly refer to existing ones.
#[derive(Clone, Debug)]
enum Operation {
    Create(usize),
    Define {
        dataset: usize,
        array: usize,
        kind: usize,
    },
    Write {
        dataset: usize,
        array: usize,
        start: [usize; 2],
        size: [usize; 2],
        seed: i64,
    },
    WriteAll {
        dataset: usize,
        array: usize,
        seed: i64,
    },
    Extend {
        dataset: usize,
        dim: usize,
        by: usize,
    },
    DeleteArray {
        dataset: usize,
        array: usize,
    },
    DeleteDataset(usize),
    Rename {
        dataset: usize,
        to: usize,
    },
    SetAttribute {
        dataset: usize,
        array: Option<usize>,
        key: usize,
        value: i64,
    },
    RemoveAttribute {
        dataset: usize,
        array: Option<usize>,
        key: usize,
    },
    SetStoreAttribute {
        key: usize,
        value: i64,
    },
    AddToStoreAttribute {
        key: usize,
        more: i64,
    },
    /// Reads everything through the handle, including pending changes.
    Read,
    ReadArray {
        dataset: usize,
        array: usize,
    },
    Flush,
    Refresh,
    Discard,
    Compact,
    Vacuum,
    /// Reads everything in another handle's generation; that handle then moves to the newest
    /// generation.
    Look,
}

const NAMES: [&str; 4] = ["alpha", "beta", "gamma", "delta"];
const ARRAYS: [&str; 2] = ["t", "S"];
const KEYS: [&str; 2] = ["title", "units"];
const DIMS: [&str; 2] = ["time", "depth"];
const SIZES: [usize; 2] = [4, 3];

/// The kinds of arrays: type, dimensions, chunk shape, and whether there is a fill value.
const KINDS: [(DType, &[usize], &[usize], bool); 5] = [
    (DType::I16, &[0, 1], &[2, 2], false),
    (DType::String, &[0], &[3], true),
    (DType::I16, &[0], &[1], true),
    (DType::F32, &[1, 0], &[0, 2], false),
    (DType::I16, &[], &[], false),
];

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let (dataset, array, key) = (0usize..12, 0usize..6, 0usize..2);
    let in_array = (dataset.clone(), array.clone());
    prop_oneof![
        2 => (0usize..4).prop_map(Create),
        4 => (dataset.clone(), 0usize..2, 0usize..5).prop_map(
            |(dataset, array, kind)| Define { dataset, array, kind }),
        10 => (in_array.clone(), [0usize..8, 0usize..3], [1usize..4, 1usize..3], 0i64..100).prop_map(
            |((dataset, array), start, size, seed)| Write { dataset, array, start, size, seed }),
        4 => (in_array.clone(), 0i64..100).prop_map(|((dataset, array), seed)| WriteAll { dataset, array, seed }),
        2 => (dataset.clone(), 0usize..2, 0usize..4).prop_map(|(dataset, dim, by)| Extend { dataset, dim, by }),
        2 => in_array.clone().prop_map(|(dataset, array)| DeleteArray { dataset, array }),
        1 => dataset.clone().prop_map(DeleteDataset),
        2 => (dataset.clone(), 0usize..4).prop_map(|(dataset, to)| Rename { dataset, to }),
        3 => (dataset.clone(), prop::option::of(array.clone()), key.clone(), 0i64..3).prop_map(
            |(dataset, array, key, value)| SetAttribute { dataset, array, key, value }),
        1 => (dataset, prop::option::of(array), key.clone()).prop_map(
            |(dataset, array, key)| RemoveAttribute { dataset, array, key }),
        1 => (key.clone(), 0i64..3).prop_map(|(key, value)| SetStoreAttribute { key, value }),
        1 => (key, 1i64..3).prop_map(|(key, more)| AddToStoreAttribute { key, more }),
        2 => Just(Read),
        3 => in_array.prop_map(|(dataset, array)| ReadArray { dataset, array }),
        1 => Just(Flush),
        1 => Just(Refresh),
        1 => Just(Discard),
        1 => Just(Compact),
        1 => Just(Vacuum),
        1 => Just(Look),
    ]
}

/// Both writers make changes, and then commit one after the other. A writer that meets a conflict
/// may continue with its pending changes, or refresh.
#[derive(Clone, Debug)]
struct Round {
    operations: Vec<(usize, Operation)>,
    first: usize,
    refresh: [bool; 2],
}

fn round() -> impl Strategy<Value = Round> {
    let operations = prop::collection::vec((0usize..2, operation()), 1..12);
    (operations, 0usize..2, prop::array::uniform2(prop::bool::weighted(0.8)))
        .prop_map(|(operations, first, refresh)| Round { operations, first, refresh })
}

/// A handle, with the model of its content.
struct Writer {
    atlas: Atlas,
    base: usize,
    mine: Model,
    touched: Touched,
}

/// A generation: its content, and the changes of its commit.
#[derive(Clone, Default)]
struct Generation {
    model: Model,
    touched: Touched,
}

struct World {
    objects: Arc<InMemory>,
    generations: Vec<Generation>,
    writers: Vec<Writer>,
    reader: Option<(Atlas, usize)>,
    next: Id,
}

impl Writer {
    fn reset(&mut self, base: usize, generations: &[Generation]) {
        (self.base, self.mine, self.touched) = (base, generations[base].model.clone(), Touched::default());
    }

    /// The generation that the handle reports.
    fn generation(&self) -> usize {
        self.atlas.snapshot().root().generation() as usize
    }

    /// A dataset by number, mostly an existing one.
    fn name(&self, number: usize) -> &'static str {
        let there = NAMES.iter().filter(|name| self.mine.id(name).is_some()).collect::<Vec<_>>();
        if number < 11 && !there.is_empty() {
            there[number % there.len()]
        } else {
            NAMES[number % NAMES.len()]
        }
    }

    /// An array of a dataset by number, mostly an existing one.
    fn array(&self, dataset: usize, number: usize) -> &'static str {
        let dataset = self.mine.id(self.name(dataset)).map(|id| &self.mine.datasets[&id]);
        let there = |name: &&&str| dataset.is_some_and(|dataset| dataset.arrays.contains_key(**name));
        let there = ARRAYS.iter().filter(there).collect::<Vec<_>>();
        if number < 5 && !there.is_empty() {
            there[number % there.len()]
        } else {
            ARRAYS[number % ARRAYS.len()]
        }
    }

    /// The same operation with numbers of [`NAMES`] and [`ARRAYS`].
    fn resolve(&self, operation: &Operation) -> Operation {
        use Operation::*;
        let mut resolved = operation.clone();
        let found = |of: usize| NAMES.iter().position(|name| *name == self.name(of)).unwrap_or(0);
        let in_dataset = |of: usize, array: usize| {
            ARRAYS.iter().position(|name| *name == self.array(of, array)).unwrap_or(0)
        };
        match &mut resolved {
            Write { dataset, array, .. }
            | WriteAll { dataset, array, .. }
            | DeleteArray { dataset, array }
            | ReadArray { dataset, array }
            | SetAttribute { dataset, array: Some(array), .. }
            | RemoveAttribute { dataset, array: Some(array), .. } => {
                (*dataset, *array) = (found(*dataset), in_dataset(*dataset, *array));
            }
            Define { dataset, .. }
            | Extend { dataset, .. }
            | DeleteDataset(dataset)
            | Rename { dataset, .. }
            | SetAttribute { dataset, .. }
            | RemoveAttribute { dataset, .. } => *dataset = found(*dataset),
            _ => {}
        }
        resolved
    }

    /// Performs the operation on the model that `perform` performs on the store; `None` if it must
    /// be refused.
    fn apply(&mut self, operation: &Operation, next: &mut Id) -> Option<()> {
        use Operation::*;
        match *operation {
            Create(name) => {
                if self.mine.id(NAMES[name]).is_some() {
                    return None;
                }
                *next += 1;
                let dataset = Dataset { name: NAMES[name].to_owned(), ..Dataset::default() };
                self.mine.datasets.insert(*next, dataset);
                self.touched.datasets.insert(*next);
            }
            Define { dataset, array, kind } => {
                let (id, name) = (self.mine.id(NAMES[dataset])?, ARRAYS[array]);
                let dataset = self.mine.datasets.get_mut(&id)?;
                if dataset.arrays.contains_key(name) {
                    return None;
                }
                let (schema, shape) = definition(dataset, name, kind);
                let cells = vec![None; shape.iter().product()];
                let attributes = Attributes::new();
                dataset.arrays.insert(name.to_owned(), Array { schema, shape, cells, attributes });
                self.touched.datasets.insert(id);
            }
            Write { dataset, array, seed, .. } | WriteAll { dataset, array, seed } => {
                let id = self.mine.id(NAMES[dataset])?;
                let found = self.mine.datasets.get_mut(&id)?.arrays.get_mut(ARRAYS[array])?;
                let (start, size) = region(found, operation);
                for (i, place) in places(&found.shape, &start, &size).into_iter().enumerate() {
                    let value = value(found.schema.dtype, seed, i);
                    found.cells[place] = value.filter(|value| Some(value) != found.schema.fill.as_ref());
                }
                let chunks = found.chunks_of(&start, &size);
                self.touched.chunks.entry((id, ARRAYS[array].to_owned())).or_default().extend(chunks);
                self.touched.datasets.insert(id);
            }
            Extend { dataset, dim, by } => {
                let id = self.mine.id(NAMES[dataset])?;
                let (arrays, mut found) = (&mut self.mine.datasets.get_mut(&id)?.arrays, false);
                for array in arrays.values_mut() {
                    let Some(d) = array.schema.dims.iter().position(|name| name == DIMS[dim]) else {
                        continue;
                    };
                    found = true;
                    let mut shape = array.shape.clone();
                    shape[d] += by;
                    let mut cells = vec![None; shape.iter().product()];
                    let old = places(&shape, &vec![0; shape.len()], &array.shape);
                    for (from, place) in old.into_iter().enumerate() {
                        cells[place] = array.cells[from].clone();
                    }
                    (array.shape, array.cells) = (shape, cells);
                }
                found.then_some(())?;
                self.touched.datasets.insert(id);
            }
            DeleteArray { dataset, array } => {
                let id = self.mine.id(NAMES[dataset])?;
                self.mine.datasets.get_mut(&id)?.arrays.remove(ARRAYS[array])?;
                let key = (id, ARRAYS[array].to_owned());
                self.touched.chunks.remove(&key);
                self.touched.redefined.insert(key);
                self.touched.datasets.insert(id);
            }
            DeleteDataset(dataset) => {
                let id = self.mine.id(NAMES[dataset])?;
                self.mine.datasets.remove(&id);
                self.touched.chunks.retain(|(of, _), _| *of != id);
                self.touched.datasets.insert(id);
            }
            Rename { dataset, to } => {
                let id = self.mine.id(NAMES[dataset])?;
                if self.mine.id(NAMES[to]).is_some_and(|other| other != id) {
                    return None;
                }
                self.mine.datasets.get_mut(&id)?.name = NAMES[to].to_owned();
                self.touched.datasets.insert(id);
            }
            SetAttribute { dataset, array, key, value } => {
                self.attributes(dataset, array)?.insert(KEYS[key].to_owned(), value.into());
            }
            RemoveAttribute { dataset, array, key } => {
                drop(self.attributes(dataset, array)?.remove(KEYS[key])?);
            }
            SetStoreAttribute { key, value } => self.change(KEYS[key], Change::Set(value.into())),
            AddToStoreAttribute { key, more } => self.change(KEYS[key], Change::Add(more)),
            Read | ReadArray { .. } | Flush | Refresh | Discard | Compact | Vacuum | Look => {}
        }
        Some(())
    }

    fn attributes(&mut self, dataset: usize, array: Option<usize>) -> Option<&mut Attributes> {
        let id = self.mine.id(NAMES[dataset])?;
        self.touched.datasets.insert(id);
        let dataset = self.mine.datasets.get_mut(&id)?;
        match array {
            Some(array) => Some(&mut dataset.arrays.get_mut(ARRAYS[array])?.attributes),
            None => Some(&mut dataset.attributes),
        }
    }

    fn change(&mut self, key: &str, change: Change) {
        let value = change.over(self.mine.attributes.get(key));
        self.mine.attributes.insert(key.to_owned(), value);
        if matches!(change, Change::Set(_)) {
            self.touched.attributes.retain(|(name, _)| name != key);
        }
        self.touched.attributes.push((key.to_owned(), change));
    }

    /// Performs the operation on the store that `apply` performs on the model.
    async fn perform(&self, operation: &Operation) -> Result<()> {
        use Operation::*;
        let open = async |dataset: usize| self.atlas.open_dataset(NAMES[dataset]).await;
        let dataset = |dataset: usize| self.mine.datasets.get(&self.mine.id(NAMES[dataset])?);
        match *operation {
            Create(name) => self.atlas.create_dataset(NAMES[name]).await.map(drop),
            Define { dataset: to, array, kind } => {
                let view = open(to).await?;
                let none = Dataset::default();
                let (schema, shape) = definition(dataset(to).unwrap_or(&none), ARRAYS[array], kind);
                view.define(schema, &shape)
            }
            Write { dataset: to, array, seed, .. } | WriteAll { dataset: to, array, seed } => {
                let view = open(to).await?;
                let Some(found) = dataset(to).and_then(|dataset| dataset.arrays.get(ARRAYS[array])) else {
                    return view.write_arrow(ARRAYS[array], &[], &[], DType::I8.array([None])).await;
                };
                let (start, size) = region(found, operation);
                let (dtype, count) = (found.schema.dtype, size.iter().product());
                let cells = dtype.array((0..count).map(|i| value(dtype, seed, i)));
                view.write_arrow(ARRAYS[array], &start, &size, cells).await
            }
            Extend { dataset: of, dim, by } => {
                let view = open(of).await?;
                let size = dataset(of).and_then(|dataset| size(dataset, DIMS[dim]));
                view.extend(DIMS[dim], size.unwrap_or(1) + by).await
            }
            DeleteArray { dataset, array } => open(dataset).await?.delete_array(ARRAYS[array]).await,
            DeleteDataset(dataset) => self.atlas.delete_dataset(NAMES[dataset]).await,
            Rename { dataset, to } => self.atlas.rename_dataset(NAMES[dataset], NAMES[to]).await,
            SetAttribute { dataset, array: Some(array), key, value } => {
                open(dataset).await?.set_array_attribute(ARRAYS[array], KEYS[key], value)
            }
            SetAttribute { dataset, array: None, key, value } => {
                open(dataset).await?.set_attribute(KEYS[key], value)
            }
            RemoveAttribute { dataset, array: Some(array), key } => {
                open(dataset).await?.remove_array_attribute(ARRAYS[array], KEYS[key])
            }
            RemoveAttribute { dataset, array: None, key } => open(dataset).await?.remove_attribute(KEYS[key]),
            SetStoreAttribute { key, value } => self.atlas.set_attribute(KEYS[key], value),
            AddToStoreAttribute { key, more } => {
                self.atlas.update_attribute(KEYS[key], move |value| add(value, more))
            }
            Read | ReadArray { .. } | Flush | Refresh | Discard | Compact | Vacuum | Look => Ok(()),
        }
    }
}

/// The size of a dimension.
fn size(dataset: &Dataset, dim: &str) -> Option<usize> {
    dataset
        .arrays
        .values()
        .find_map(|array| array.schema.dims.iter().position(|name| name == dim).map(|d| array.shape[d]))
}

/// An array of a kind, with the dimensions of a dataset.
fn definition(dataset: &Dataset, name: &str, kind: usize) -> (ArraySchema, Vec<usize>) {
    let (dtype, dims, chunk, filled) = KINDS[kind];
    let mut schema = ArraySchema::new(name, dtype, &dims.iter().map(|&d| DIMS[d]).collect::<Vec<_>>());
    schema.chunk = chunk.to_vec();
    schema.fill = filled.then(|| fill(dtype));
    let shape = dims.iter().map(|&d| size(dataset, DIMS[d]).unwrap_or(SIZES[d])).collect();
    (schema, shape)
}

/// The region that an operation writes.
fn region(array: &Array, operation: &Operation) -> (Vec<usize>, Vec<usize>) {
    let Operation::Write { start, size, .. } = operation else {
        return (vec![0; array.shape.len()], array.shape.clone());
    };
    let start: Vec<_> = array.shape.iter().zip(start).map(|(extent, s)| s % extent).collect();
    let size = array.shape.iter().zip(size).zip(&start).map(|((extent, size), s)| *size.min(&(extent - s)));
    let size = size.collect();
    (start, size)
}

async fn open(objects: &Arc<InMemory>) -> Result<Atlas> {
    Atlas::open(objects.clone(), Path::from("s")).await
}

/// Compares the content of a handle with a model.
async fn check(atlas: &Atlas, model: &Model, what: &str) -> Result<(), TestCaseError> {
    let (datasets, attributes) = read(atlas).await.map_err(|e| fail(format!("{what}: {e}")))?;
    prop_assert_eq!(datasets, model.shown(), "{}", what);
    prop_assert_eq!(attributes, model.attributes.clone(), "{}", what);
    Ok(())
}

fn fail(reason: impl Into<String>) -> TestCaseError {
    TestCaseError::fail(reason.into())
}

impl World {
    async fn new() -> Self {
        let objects: Arc<InMemory> = Arc::default();
        let cache = CacheBudget { indexes: 10_000, blocks: 500 };
        let mut writers = Vec::new();
        for _ in 0..2 {
            let config = StoreConfig { cache, ..StoreConfig::default() };
            let atlas = Atlas::create(objects.clone(), Path::from("s"), config).await.unwrap();
            writers.push(Writer { atlas, base: 0, mine: Model::default(), touched: Touched::default() });
        }
        let generations = vec![Generation::default()];
        Self { objects, generations, writers, reader: None, next: 0 }
    }

    fn newest(&self) -> usize {
        self.generations.len() - 1
    }

    fn model(&self) -> &Model {
        &self.generations[self.newest()].model
    }

    async fn perform(&mut self, who: usize, operation: &Operation) -> Result<(), TestCaseError> {
        use Operation::*;
        let operation = &self.writers[who].resolve(operation);
        match operation {
            Flush => self.flush(who).await,
            Read => check(&self.writers[who].atlas, &self.writers[who].mine, "pending").await,
            ReadArray { dataset, array } => self.read_array(who, NAMES[*dataset], ARRAYS[*array]).await,
            Refresh => {
                self.writers[who].atlas.refresh().await.map_err(|e| fail(e.to_string()))?;
                let newest = self.newest();
                self.writers[who].reset(newest, &self.generations);
                prop_assert_eq!(self.writers[who].generation(), newest);
                check(&self.writers[who].atlas, self.model(), "refreshed").await
            }
            Discard => {
                let writer = &mut self.writers[who];
                writer.atlas.discard().await;
                writer.reset(writer.base, &self.generations);
                check(&writer.atlas, &writer.mine, "discarded").await
            }
            Compact => self.compact(who).await,
            Vacuum => self.vacuum(who).await,
            Look => self.look().await,
            _ => {
                let writer = &mut self.writers[who];
                let performed = writer.perform(operation).await;
                match (writer.apply(operation, &mut self.next), performed) {
                    (Some(()), Ok(())) | (None, Err(_)) => Ok(()),
                    (expected, found) => Err(fail(format!("{}: {found:?}", expected.is_some()))),
                }
            }
        }
    }

    /// Commits. The commit must succeed if the model says so, and otherwise fail.
    async fn flush(&mut self, who: usize) -> Result<(), TestCaseError> {
        let newest = self.newest();
        let writer = &self.writers[who];
        let theirs = self.generations[writer.base + 1..].iter().fold(Touched::default(), |mut all, one| {
            all.datasets.extend(&one.touched.datasets);
            all.redefined.extend(one.touched.redefined.iter().cloned());
            for (key, chunks) in &one.touched.chunks {
                all.chunks.entry(key.clone()).or_default().extend(chunks.iter().cloned());
            }
            all
        });
        let base = &self.generations[writer.base].model;
        let outcome = merge(base, &writer.mine, &writer.touched, self.model(), &theirs);
        match writer.atlas.flush().await {
            Ok(()) if writer.generation() == newest + 1 => {
                prop_assert_eq!(&outcome.collisions, &BTreeSet::new(), "a commit of what collides");
                let touched = std::mem::take(&mut self.writers[who].touched);
                self.generations.push(Generation { model: outcome.merged, touched });
                self.writers[who].reset(newest + 1, &self.generations);
            }
            // Nothing was pending, or another writer has created the store.
            Ok(()) => {
                prop_assert_eq!(&writer.mine, base, "nothing was committed");
                let generation = writer.generation();
                prop_assert!(generation == writer.base || writer.base == 0 && generation == newest);
                self.writers[who].reset(generation, &self.generations);
            }
            Err(Error::Conflict { dataset, array, generation, reason, .. }) => {
                let place = (dataset, array);
                prop_assert!(
                    outcome.collisions.contains(&place) || outcome.doubts.contains(&place),
                    "{place:?}: {reason}, where {:?} collide",
                    outcome.collisions
                );
                prop_assert_eq!(generation as usize, newest);
                prop_assert_eq!(writer.generation(), writer.base);
                check(&writer.atlas, &writer.mine, "pending after a conflict").await?;
            }
            Err(error) => return Err(fail(format!("flush: {error}"))),
        }
        check(&self.writers[who].atlas, &self.writers[who].mine, "after a flush").await?;
        self.check_newest().await
    }

    /// Compares the committed data with the model.
    async fn check_newest(&self) -> Result<(), TestCaseError> {
        if self.newest() == 0 {
            let found = open(&self.objects).await.err();
            prop_assert!(matches!(found, Some(Error::NoStore { .. })), "{:?}", found);
            return Ok(());
        }
        let atlas = open(&self.objects).await.map_err(|e| fail(e.to_string()))?;
        prop_assert_eq!(atlas.snapshot().root().generation() as usize, self.newest());
        check(&atlas, self.model(), "committed").await
    }

    async fn read_array(&self, who: usize, dataset: &str, array: &str) -> Result<(), TestCaseError> {
        let writer = &self.writers[who];
        let Ok(view) = writer.atlas.open_dataset(dataset).await else {
            prop_assert_eq!(writer.mine.id(dataset), None);
            return Ok(());
        };
        let expected = writer.mine.id(dataset).and_then(|id| writer.mine.datasets[&id].arrays.get(array));
        let found = view.read_arrow(array, &[], &[]).await;
        match (expected, found) {
            (Some(expected), Ok(found)) => {
                let dtype = expected.schema.dtype;
                let cells: Vec<_> = (0..found.len()).map(|i| dtype.value(&found, i)).collect();
                prop_assert_eq!(&cells, &expected.cells);
            }
            (None, Err(Error::NoArray { .. })) => {}
            (expected, found) => return Err(fail(format!("{:?}: {found:?}", expected.is_some()))),
        }
        Ok(())
    }

    /// Compacting changes no value, and does not conflict with pending changes.
    async fn compact(&mut self, who: usize) -> Result<(), TestCaseError> {
        if self.newest() == 0 {
            return Ok(());
        }
        self.writers[who].atlas.compact(None).await.map_err(|e| fail(format!("compact: {e}")))?;
        let generation = open(&self.objects).await.unwrap().snapshot().root().generation() as usize;
        if generation > self.newest() {
            prop_assert_eq!(generation, self.newest() + 1);
            let model = self.model().clone();
            self.generations.push(Generation { model, touched: Touched::default() });
        }
        let shown = self.writers[who].generation();
        if shown != self.writers[who].base {
            prop_assert_eq!(&self.writers[who].mine, &self.generations[self.writers[who].base].model);
            prop_assert_eq!(shown, self.newest());
            self.writers[who].reset(shown, &self.generations);
        }
        check(&self.writers[who].atlas, &self.writers[who].mine, "after a compaction").await?;
        self.check_newest().await
    }

    /// Vacuuming everything requires that nobody writes or reads an earlier generation.
    async fn vacuum(&mut self, who: usize) -> Result<(), TestCaseError> {
        let newest = self.newest();
        let rest = self.writers.iter().all(|w| w.base == newest && w.touched == Touched::default());
        if newest == 0 || !rest || self.reader.as_ref().is_some_and(|(_, at)| *at != newest) {
            return Ok(());
        }
        let vacuumed = self.writers[who].atlas.vacuum(Duration::ZERO).await;
        vacuumed.map_err(|e| fail(format!("vacuum: {e}")))?;
        self.check_newest().await
    }

    async fn look(&mut self) -> Result<(), TestCaseError> {
        if let Some((reader, at)) = &self.reader {
            check(reader, &self.generations[*at].model, "an earlier generation").await?;
        }
        if self.newest() > 0 {
            let newest = self.newest();
            let reader = match self.reader.take() {
                Some((reader, _)) => reader,
                None => open(&self.objects).await.unwrap(),
            };
            reader.refresh().await.unwrap();
            check(&reader, self.model(), "a reader").await?;
            self.reader = Some((reader, newest));
        }
        Ok(())
    }

    /// At the end all handles see the same intact store, before and after compaction.
    async fn finish(&mut self) -> Result<(), TestCaseError> {
        self.look().await?;
        for who in 0..2 {
            self.perform(who, &Operation::Refresh).await?;
        }
        if self.newest() == 0 {
            return Ok(());
        }
        let verified = self.writers[0].atlas.verify().await.unwrap();
        prop_assert_eq!(&verified.problems, &[""; 0]);
        self.compact(0).await?;
        self.perform(1, &Operation::Refresh).await?;
        self.look().await?;
        self.vacuum(1).await?;
        let verified = self.writers[1].atlas.verify().await.unwrap();
        prop_assert_eq!(&verified.problems, &[""; 0]);
        prop_assert_eq!((&verified.unused, &verified.foreign), (&Vec::new(), &Vec::new()));
        Ok(())
    }
}

/// Two datasets with two arrays each, committed before the writers begin.
fn beginning() -> Vec<Operation> {
    let mut operations = Vec::new();
    for dataset in 0..2 {
        operations.push(Operation::Create(dataset));
    }
    // The first two datasets that exist.
    for (dataset, array, kind) in [(0, 0, 0), (0, 1, 1), (1, 0, 2), (1, 1, 3)] {
        operations.push(Operation::Define { dataset, array, kind });
        operations.push(Operation::WriteAll { dataset, array, seed: kind as i64 });
    }
    operations
}

async fn follow(begun: bool, rounds: &[Round]) -> Result<(), TestCaseError> {
    let mut world = World::new().await;
    if begun {
        for operation in beginning().iter().chain([&Operation::Flush, &Operation::Refresh]) {
            world.perform(0, operation).await?;
        }
        world.perform(1, &Operation::Refresh).await?;
    }
    for (number, round) in rounds.iter().enumerate() {
        let told = |error, who: usize, what: &dyn std::fmt::Debug| match error {
            TestCaseError::Fail(why) => fail(format!("round {number}: {what:?} of writer {who}: {why}")),
            rejected => rejected,
        };
        for (who, operation) in &round.operations {
            world.perform(*who, operation).await.map_err(|error| told(error, *who, operation))?;
        }
        for who in [round.first, 1 - round.first] {
            world.perform(who, &Operation::Flush).await.map_err(|error| told(error, who, &"flush"))?;
        }
        for who in (0..2).filter(|&who| round.refresh[who]) {
            world.perform(who, &Operation::Refresh).await.map_err(|error| told(error, who, &"refresh"))?;
        }
    }
    world.finish().await
}

/// Runs a future while the clock stands still: a writer that has lost a race does not wait.
fn run<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().start_paused(true).build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn two_writers_and_a_reader_lose_nothing(
        begun in prop::bool::weighted(0.9),
        rounds in prop::collection::vec(round(), 1..8),
    ) {
        run(follow(begun, &rounds))?;
    }
}

/// The values of an array are gone although it is defined as before: its deletion and its definition
/// are two commits, and no other dataset has the variable.
#[test]
fn an_array_that_was_deleted_and_defined_again_is_another() {
    use Operation::*;
    let delete = (0, DeleteDataset(8));
    let again = [
        (1, DeleteArray { dataset: 0, array: 5 }),
        (1, Flush),
        (1, Define { dataset: 0, array: 1, kind: 3 }),
        (1, Flush),
    ];
    let changes = [
        DeleteDataset(0),
        Write { dataset: 0, array: 5, start: [0, 0], size: [1, 1], seed: 7 },
        DeleteArray { dataset: 0, array: 5 },
        SetAttribute { dataset: 0, array: Some(5), key: 0, value: 1 },
        Extend { dataset: 0, dim: 0, by: 1 },
    ];
    for change in changes {
        let first = Round { operations: vec![delete.clone()], first: 0, refresh: [false, true] };
        let mut operations = vec![(0, change.clone())];
        operations.extend(again.clone());
        let second = Round { operations, first: 1, refresh: [true, true] };
        if let Err(error) = run(follow(true, &[first, second])) {
            panic!("{change:?}: {error}");
        }
    }
}
