//! Stores: creating, opening, committing.

use std::path::Path as FilePath;
use std::sync::{Arc, PoisonError, RwLock};

use arrow::array::ArrayRef;
use object_store::ObjectStore;
use object_store::path::Path;
use tokio::sync::Mutex;

use crate::dataset::DatasetView;
use crate::encoding::codec::Codec;
use crate::error::{Error, Result};
use crate::format::catalog::{Catalog, Dataset};
use crate::model::grid::Region;
use crate::model::value::AttributeValue;
use crate::read::cache::CacheBudget;
use crate::read::cache::Caches;
use crate::read::snapshot::Snapshot;
use crate::storage::files::Storage;
use crate::storage::names::CATALOG_FILE;
use crate::write::commit;
use crate::write::pending::{Changes, Pending};

/// How a new store is to be.
#[derive(Clone, Debug, Default)]
pub struct StoreConfig {
    /// The compression of its blocks.
    pub codec: Codec,
    /// What is kept in memory of what is read.
    pub cache: CacheBudget,
}

/// A store. Clones of it are the same store with the same pending changes.
#[derive(Clone)]
pub struct Atlas {
    inner: Arc<Inner>,
}

struct Inner {
    storage: Storage,
    snapshot: RwLock<Arc<Snapshot>>,
    pending: Mutex<Pending>,
}

impl Atlas {
    /// A new store under `prefix` of `objects`. Nothing is written before the first [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`Error::StoreExists`] where there is a store already.
    pub async fn create(objects: Arc<dyn ObjectStore>, prefix: Path, config: StoreConfig) -> Result<Self> {
        Self::create_in(Storage::new(objects, prefix), config).await
    }

    /// A new store in a local directory, which need not exist.
    pub async fn create_path(path: impl AsRef<FilePath>, config: StoreConfig) -> Result<Self> {
        Self::create_in(Storage::local(path)?, config).await
    }

    /// A new store at a URL or a local path: see [`Storage::at`].
    pub async fn create_url(location: &str, config: StoreConfig) -> Result<Self> {
        Self::create_in(Storage::at(location)?, config).await
    }

    /// A new store.
    pub async fn create_in(storage: Storage, config: StoreConfig) -> Result<Self> {
        if storage.exists(CATALOG_FILE).await? {
            return Err(Error::StoreExists { location: storage.to_string() });
        }
        Ok(Self::with(storage, Arc::new(Caches::new(config.cache)), Catalog::empty(config.codec)))
    }

    /// The store under `prefix` of `objects`. Reads its catalog and nothing else.
    ///
    /// # Errors
    /// [`Error::NoStore`] where there is none, [`Error::Corrupt`] where its catalog is damaged.
    pub async fn open(objects: Arc<dyn ObjectStore>, prefix: Path) -> Result<Self> {
        Self::open_in(Storage::new(objects, prefix)).await
    }

    /// The store in a local directory.
    pub async fn open_path(path: impl AsRef<FilePath>) -> Result<Self> {
        Self::open_in(Storage::local(path)?).await
    }

    /// The store at a URL or a local path: see [`Storage::at`].
    pub async fn open_url(location: &str) -> Result<Self> {
        Self::open_in(Storage::at(location)?).await
    }

    /// An existing store.
    pub async fn open_in(storage: Storage) -> Result<Self> {
        let catalog = commit::read(&storage).await?;
        Ok(Self::with(storage, Arc::new(Caches::new(CacheBudget::default())), catalog))
    }

    pub(crate) fn with(storage: Storage, caches: Arc<Caches>, catalog: Catalog) -> Self {
        let snapshot = Arc::new(Snapshot::new(storage.clone(), caches, Arc::new(catalog)));
        let pending = Mutex::new(Pending::new(Arc::clone(&snapshot)));
        Self { inner: Arc::new(Inner { storage, snapshot: RwLock::new(snapshot), pending }) }
    }

    /// Another handle of the same store at the same generation, with empty caches of its own, and nothing pending.
    #[must_use]
    pub fn with_cache(&self, budget: CacheBudget) -> Self {
        let catalog = Catalog::clone(self.snapshot().catalog());
        Self::with(self.inner.storage.clone(), Arc::new(Caches::new(budget)), catalog)
    }

    /// Where the store lies.
    pub fn storage(&self) -> &Storage {
        &self.inner.storage
    }

    /// The generation that this handle reads: the one it opened, committed or refreshed to last.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.inner.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The names of the datasets, in the order in which they were added, with the changes that are pending.
    pub async fn list_datasets(&self) -> Vec<String> {
        self.inner.pending.lock().await.names().map(str::to_owned).collect()
    }

    /// The names of the variables: of the arrays of all committed datasets, each once, sorted.
    pub fn list_arrays(&self) -> Vec<String> {
        let snapshot = self.snapshot();
        let mut names: Vec<_> = snapshot.catalog().arrays.iter().map(|array| array.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// True where there is a dataset of that name, with the changes that are pending.
    pub async fn dataset_exists(&self, name: &str) -> bool {
        self.inner.pending.lock().await.exists(name)
    }

    /// Adds a dataset.
    ///
    /// # Errors
    /// [`Error::DatasetExists`], [`Error::Name`].
    pub async fn create_dataset(&self, name: &str) -> Result<DatasetView> {
        self.change(|pending| pending.create_dataset(name)).await?;
        Ok(DatasetView::new(self.clone(), name))
    }

    /// A dataset, committed or pending.
    ///
    /// # Errors
    /// [`Error::NoDataset`].
    pub async fn open_dataset(&self, name: &str) -> Result<DatasetView> {
        if self.dataset_exists(name).await {
            Ok(DatasetView::new(self.clone(), name))
        } else {
            Err(Error::NoDataset { dataset: name.to_owned() })
        }
    }

    /// Takes a dataset away; one that was not committed yet, with all that was written of it.
    ///
    /// # Errors
    /// [`Error::NoDataset`].
    pub async fn delete_dataset(&self, name: &str) -> Result<()> {
        self.change(|pending| pending.delete_dataset(name)).await
    }

    /// Gives a dataset another name. What is pending of it goes on under the new name; it is read under the old one
    /// until the flush.
    ///
    /// # Errors
    /// [`Error::NoDataset`], [`Error::DatasetExists`] where the new name is taken, [`Error::Name`].
    pub async fn rename_dataset(&self, name: &str, new: &str) -> Result<()> {
        self.change(|pending| pending.rename_dataset(name, new)).await
    }

    /// Sets an attribute of the store as a whole: see [`Catalog::attributes`].
    ///
    /// # Errors
    /// [`Error::Name`].
    pub async fn set_attribute(&self, key: &str, value: impl Into<AttributeValue>) -> Result<()> {
        let value = value.into();
        self.change(|pending| pending.set_store_attribute(key, value)).await
    }

    /// Commits all that is pending, in one commit; nothing where nothing is pending.
    ///
    /// # Errors
    /// - [`Error::Conflict`] where somebody else has committed since this handle was opened or refreshed (but for
    ///   [`compact`](Self::compact), after which this commits all the same).
    ///   Nothing pending is committed, and it is forgotten: [`refresh`](Self::refresh) and repeat it.
    /// - [`Error::Storage`] where the storage fails. Reopening the store then finds it as it was before, or as
    ///   it was to be: the failure may have come after the commit.
    pub async fn flush(&self) -> Result<()> {
        let mut pending = self.inner.pending.lock().await;
        let base = self.snapshot();
        if pending.is_empty() && base.catalog().generation > 0 {
            return Ok(());
        }
        let changes = pending.finish().await?;
        match self.commit(&changes, base.catalog()).await {
            Ok(catalog) => {
                self.show(&mut pending, catalog);
                Ok(())
            }
            Err(error) => {
                if matches!(error, Error::Conflict { .. }) {
                    changes.discard(&self.inner.storage).await;
                    pending.forget();
                }
                Err(error)
            }
        }
    }

    /// Commits changes to `base`: to the newest generation, where only segments were compacted since.
    async fn commit(&self, changes: &Changes, base: &Catalog) -> Result<Catalog> {
        let storage = &self.inner.storage;
        let paths: Vec<_> = changes.segments.iter().map(|(variable, entry)| entry.path(variable)).collect();
        let mut catalog = changes.onto(base);
        loop {
            match commit::commit(storage, &catalog, &paths).await {
                Ok(()) => return Ok(catalog),
                Err(error @ Error::Conflict { .. }) => {
                    let newest = commit::newest(storage).await?.filter(|newest| {
                        newest.generation >= catalog.generation && newest.same_datasets(base)
                    });
                    catalog = changes.onto(&newest.ok_or(error)?);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Flushes, and gives the handle up.
    pub async fn close(self) -> Result<()> {
        self.flush().await
    }

    /// Goes on to the newest generation of the store, completing a commit that was interrupted. What is
    /// pending is forgotten.
    pub async fn refresh(&self) -> Result<()> {
        let mut pending = self.inner.pending.lock().await;
        let catalog = commit::newest(&self.inner.storage).await?;
        let empty = || Catalog::empty(self.snapshot().catalog().codec);
        self.show(&mut pending, catalog.unwrap_or_else(empty));
        Ok(())
    }

    /// Goes on to a generation, with nothing pending.
    fn show(&self, pending: &mut Pending, catalog: Catalog) {
        let mut current = self.inner.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        let caches = Arc::clone(current.caches());
        *current = Arc::new(Snapshot::new(self.inner.storage.clone(), caches, Arc::new(catalog)));
        *pending = Pending::new(Arc::clone(&current));
    }

    /// Goes on to a generation, but for a handle that has something pending to an earlier one.
    pub(crate) async fn show_unless_pending(&self, catalog: Catalog) {
        let mut pending = self.inner.pending.lock().await;
        if pending.is_empty() {
            self.show(&mut pending, catalog);
        }
    }

    /// Makes a change that is only to the catalog, and pending.
    pub(crate) async fn change<T>(&self, change: impl FnOnce(&mut Pending) -> Result<T>) -> Result<T> {
        change(&mut *self.inner.pending.lock().await)
    }

    pub(crate) async fn write(
        &self,
        dataset: &str,
        array: &str,
        region: Region,
        cells: ArrayRef,
    ) -> Result<()> {
        self.inner.pending.lock().await.write(dataset, array, region, cells).await
    }

    /// A committed dataset, with its ordinal.
    pub(crate) async fn committed(&self, catalog: &Catalog, name: &str) -> Result<(u32, Dataset)> {
        let found = catalog.ordinal(name);
        match found.and_then(|ordinal| Some((ordinal, catalog.dataset(ordinal)?.clone()))) {
            Some(found) => Ok(found),
            None if self.dataset_exists(name).await => Err(Error::NotFlushed { dataset: name.to_owned() }),
            None => Err(Error::NoDataset { dataset: name.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_can_be_shared_between_threads() {
        fn shared<T: Send + Sync + 'static>() {}
        shared::<Atlas>();
        shared::<DatasetView>();
        shared::<Snapshot>();
    }

    #[tokio::test]
    async fn errors_say_what_was_expected_and_found() {
        let atlas = Atlas::create_url("memory:///errors", StoreConfig::default()).await.unwrap();
        let dataset = atlas.create_dataset("d").await.unwrap();
        dataset.define_array::<f32>("t", &["x", "y"], &[2, 3], Some(&[1, 3]), None).await.unwrap();
        let six = ndarray::Array2::<f32>::zeros((2, 3)).into_dyn();
        let mut told = Vec::new();
        told.push(atlas.create_dataset("d").await.err());
        told.push(atlas.create_dataset("a/b").await.err());
        told.push(atlas.open_dataset("e").await.err());
        told.push(dataset.define_array::<f32>("t", &[], &[], None, None).await.err());
        told.push(dataset.define_array::<f32>("u", &["y"], &[4], None, None).await.err());
        told.push(dataset.define_array::<f32>("u", &["z", "z"], &[4, 4], None, None).await.err());
        told.push(dataset.define_array::<f32>("u", &["z"], &[4, 4], None, None).await.err());
        told.push(dataset.define_array::<f32>("u", &["z"], &[1 << 40], Some(&[1 << 40]), None).await.err());
        told.push(dataset.write_array("s", &[0, 0], six.view()).await.err());
        told.push(dataset.write_array("t", &[0, 1], six.view()).await.err());
        told.push(dataset.write_array("t", &[0, 0], six.mapv(f64::from).view()).await.err());
        told.push(dataset.read_array::<f32>("t", &[0, 0], &[1, 1]).await.err());
        dataset.write_array("t", &[0, 0], six.view()).await.unwrap();
        atlas.flush().await.unwrap();
        told.push(dataset.extend("w", 3).await.err());
        told.push(dataset.extend("x", 1).await.err());
        told.push(dataset.remove_attribute("title").await.err());
        told.push(dataset.remove_array_attribute("t", "units").await.err());
        told.push(atlas.rename_dataset("d", "_d").await.err());
        told.push(atlas.compact(Some(&["u"])).await.err());
        told.push(atlas.open_at(2).await.err());
        told.push(dataset.read_array::<f64>("t", &[0, 0], &[1, 1]).await.err());
        told.push(dataset.read_array::<f32>("t", &[usize::MAX, 0], &[2, 1]).await.err());
        told.push(Atlas::create_url("memory:///errors", StoreConfig::default()).await.err());
        told.push(Atlas::open_url("memory:///nothing").await.err());
        let told: Vec<_> = told.into_iter().map(|error| error.unwrap().to_string()).collect();
        assert_eq!(
            told,
            [
                "dataset `d` exists already",
                "`a/b` cannot name a dataset: it has a `/` in it",
                "there is no dataset `e` in this store",
                "dataset `d` has an array `t` already",
                "dimension `y` of dataset `d` has size 3, but array `u` gives it 4",
                "array `u` of dataset `d`: it has dimension `z` twice",
                "array `u` of dataset `d`: dimensions [\"z\"], shape [4, 4] and chunk shape [0, 0] differ in length",
                "array `u` of dataset `d`: a chunk of shape [1099511627776] is larger than 268435456 bytes: choose smaller chunks",
                "dataset `d` has no array `s`",
                "array `t` of dataset `d`: the region of shape [2, 3] at [0, 1] does not lie in its shape [2, 3]",
                "array `t` of dataset `d` holds f32, not f64",
                "dataset `d` has not been flushed: call `flush` before reading it",
                "dataset `d` has no dimension `w`",
                "dimension `x` of dataset `d` has size 2: it cannot become 1",
                "dataset `d` has no attribute `title`",
                "array `t` of dataset `d` has no attribute `units`",
                "`_d` cannot name a dataset: names that start with `_` are the store's own",
                "no dataset of this store has an array `u`",
                "memory:///errors has no generation 2: nobody has committed it",
                "array `t` of dataset `d` holds f32, not f64",
                "array `t` of dataset `d`: the region of shape [2, 1] at [18446744073709551615, 0] does not lie in its shape [2, 3]",
                "there is an Atlas store at memory:///errors already: open it, or choose another place",
                "no Atlas store at memory:///nothing: it has no atlas.json",
            ]
        );
    }

    #[tokio::test]
    async fn a_region_can_be_written_in_pieces_and_what_is_not_written_is_missing() {
        let atlas = Atlas::create_url("memory:///pieces", StoreConfig::default()).await.unwrap();
        let dataset = atlas.create_dataset("d").await.unwrap();
        dataset.define_array::<i32>("t", &["x", "y"], &[3, 4], Some(&[2, 3]), Some(-1)).await.unwrap();
        let one = |value: i32, shape: (usize, usize)| ndarray::Array2::from_elem(shape, value).into_dyn();
        dataset.write_array("t", &[0, 1], one(1, (3, 2)).view()).await.unwrap();
        dataset.write_array("t", &[1, 2], one(2, (2, 2)).view()).await.unwrap();
        atlas.flush().await.unwrap();
        let read = dataset.read_array::<i32>("t", &[0, 0], &[3, 4]).await.unwrap();
        let expected = ndarray::array![[-1, 1, 1, -1], [-1, 1, 2, 2], [-1, 1, 2, 2]];
        assert_eq!(read, expected.into_dyn());
        assert_eq!(dataset.array_stats("t").await.unwrap().null_count, 4);
    }

    #[tokio::test]
    async fn a_discarded_dataset_leaves_nothing() {
        let atlas = Atlas::create_url("memory:///discarded", StoreConfig::default()).await.unwrap();
        for name in ["a", "b", "c"] {
            let dataset = atlas.create_dataset(name).await.unwrap();
            dataset.define_array::<String>("s", &[], &[], None, None).await.unwrap();
            dataset.write_array("s", &[], ndarray::arr0(name.to_owned()).view().into_dyn()).await.unwrap();
        }
        atlas.delete_dataset("b").await.unwrap();
        atlas.flush().await.unwrap();
        assert_eq!(atlas.list_datasets().await, ["a", "c"]);
        assert!(matches!(atlas.open_dataset("b").await, Err(Error::NoDataset { .. })));
        let read = atlas.open_dataset("c").await.unwrap().read_array::<String>("s", &[], &[]).await.unwrap();
        assert_eq!(read.first().map(String::as_str), Some("c"));
        assert_eq!(atlas.snapshot().catalog().variables["s"][0].chunks, 2);
    }

    /// A first commit may have a chunk in two segments: whole, and with what was written of it
    /// later.
    #[tokio::test]
    async fn a_chunk_that_is_written_again_in_one_commit_counts_once() {
        let atlas = Atlas::create_url("memory:///counted", StoreConfig::default()).await.unwrap();
        let dataset = atlas.create_dataset("d").await.unwrap();
        dataset.define_array::<i32>("t", &["x"], &[6], Some(&[3]), Some(0)).await.unwrap();
        let write = async |start: usize, values: &[i32]| {
            let values = ndarray::arr1(values).into_dyn();
            dataset.write_array("t", &[start], values.view()).await.unwrap();
        };
        write(0, &[0, 2, 3, 4, 5, 6]).await;
        write(1, &[0]).await;
        atlas.flush().await.unwrap();
        let snapshot = atlas.snapshot();
        assert_eq!(snapshot.catalog().variables["t"].len(), 2);
        let counts = snapshot.counts("t", &crate::storage::files::ReadMetrics::default()).await.unwrap();
        assert_eq!(counts, [2, 6, 2]);
    }

    #[tokio::test]
    async fn sizes_and_names_out_of_the_ordinary_are_refused_or_right() {
        let atlas = Atlas::create_url("memory:///extremes", StoreConfig::default()).await.unwrap();
        let dataset = atlas.create_dataset("d").await.unwrap();
        for (shape, chunk) in [
            (vec![1 << 60], None),
            (vec![usize::MAX, usize::MAX], None),
            (vec![1 << 40, 1 << 40, 0], Some(vec![1, 1, 1])),
            (vec![1 << 47], Some(vec![1])),
        ] {
            let dims: Vec<_> = ["x", "y", "z"].into_iter().take(shape.len()).collect();
            let defined = dataset.define_array::<f64>("t", &dims, &shape, chunk.as_deref(), None).await;
            assert!(matches!(defined, Err(Error::Shape { .. })), "{shape:?}");
        }
        let none = dataset.define_array::<f64>("none", &["time", "lat"], &[0, 721], None, None).await;
        none.unwrap();
        let huge = dataset.define_array::<f64>("huge", &["n"], &[1 << 45], Some(&[1 << 20]), None).await;
        huge.unwrap();
        for name in ["", ".", "..", "a/b", "_a", "a\0"] {
            assert!(matches!(atlas.create_dataset(name).await, Err(Error::Name { .. })), "{name:?}");
            let defined = dataset.define_array::<f64>(name, &[], &[], None, None).await;
            assert!(matches!(defined, Err(Error::Name { .. })), "{name:?}");
            let defined = dataset.define_array::<f64>("t", &[name], &[1], None, None).await;
            assert!(matches!(defined, Err(Error::Name { .. })), "{name:?}");
        }
        assert!(matches!(dataset.set_attribute("", 1i64).await, Err(Error::Name { .. })));
        let mixed = vec![crate::model::value::Value::I64(1), crate::model::value::Value::Bool(true)];
        let mixed = AttributeValue::List(crate::model::dtype::DType::I64, mixed);
        assert!(matches!(dataset.set_attribute("a", mixed).await, Err(Error::Attribute { .. })));
        let names = ["a\nb\u{1b}[2J", "con", "ü".repeat(200).as_str(), &"long".repeat(300), "a#1", "%2F"]
            .map(str::to_owned);
        for name in &names {
            atlas.create_dataset(name).await.unwrap();
            dataset.define_array::<i32>(name, &[], &[], None, None).await.unwrap();
            dataset.write_array(name, &[], ndarray::arr0(7).view().into_dyn()).await.unwrap();
        }
        atlas.flush().await.unwrap();
        let opened = Atlas::open_url("memory:///extremes").await.unwrap();
        let dataset = opened.open_dataset("d").await.unwrap();
        for name in &names {
            let read = dataset.read_array::<i32>(name, &[], &[]).await.unwrap();
            assert_eq!(read.first(), Some(&7), "{name:?}");
        }
        assert!(dataset.read_array::<f64>("none", &[0, 0], &[0, 721]).await.unwrap().is_empty());
        assert_eq!(dataset.read_array::<f64>("huge", &[(1 << 45) - 2], &[2]).await.unwrap().len(), 2);
        // Nothing of it was written: that is told without looking at its chunks one by one.
        assert_eq!(dataset.array_stats("huge").await.unwrap().null_count, 1 << 45);
        let all = dataset.read_arrow("huge", &[0], &[1 << 45]).await.unwrap_err().to_string();
        assert!(all.contains("no memory for 35184372088832 cells"), "{all}");
        let verified = opened.verify().await.unwrap();
        assert_eq!((verified.problems, verified.foreign, verified.unused), (vec![], vec![], vec![]));
    }

    /// On disk too, where names of directories have at most 255 bytes.
    #[tokio::test]
    async fn variables_with_long_names_can_be_kept_on_disk() {
        let directory = tempfile::tempdir().unwrap();
        let atlas = Atlas::create_path(directory.path(), StoreConfig::default()).await.unwrap();
        let dataset = atlas.create_dataset("d").await.unwrap();
        let names = ["t".repeat(300), format!("{}u", "t".repeat(299)), "年".repeat(100)];
        for (number, name) in (0i32..).zip(&names) {
            dataset.define_array::<i32>(name, &["x"], &[2], None, None).await.unwrap();
            let values = ndarray::arr1(&[number, 9]).into_dyn();
            dataset.write_array(name, &[0], values.view()).await.unwrap();
        }
        atlas.flush().await.unwrap();
        dataset.write_array(&names[0], &[0], ndarray::arr1(&[5]).into_dyn().view()).await.unwrap();
        atlas.flush().await.unwrap();
        atlas.compact(None).await.unwrap();
        atlas.vacuum(std::time::Duration::ZERO).await.unwrap();
        let dataset = Atlas::open_path(directory.path()).await.unwrap().open_dataset("d").await.unwrap();
        for (expected, name) in [5, 1, 2].into_iter().zip(&names) {
            assert_eq!(dataset.read_array::<i32>(name, &[0], &[1]).await.unwrap().first(), Some(&expected));
        }
        assert_eq!(atlas.verify().await.unwrap().problems, [""; 0]);
    }

    /// A record that says that it is of another generation, or none, would be followed for ever.
    #[tokio::test]
    async fn a_record_of_another_generation_is_refused() {
        let storage = Storage::at("memory:///hostile").unwrap();
        let atlas = Atlas::create_in(storage.clone(), StoreConfig::default()).await.unwrap();
        atlas.create_dataset("d").await.unwrap();
        atlas.flush().await.unwrap();
        let first = storage.get(&crate::storage::names::record(1)).await.unwrap();
        storage.replace(&crate::storage::names::record(2), first).await.unwrap();
        let error = atlas.refresh().await.unwrap_err().to_string();
        assert!(error.contains("00002.json is damaged: it is the record of generation 1"), "{error}");
        let writer = Atlas::open_in(storage).await.unwrap();
        writer.create_dataset("e").await.unwrap();
        assert!(writer.flush().await.is_err());
    }

    /// A catalog that gives a chunk other cells than its index does is found out before memory is
    /// taken.
    #[tokio::test]
    async fn an_index_with_other_cells_than_its_array_is_refused() {
        let atlas = Atlas::create_url("memory:///shorter", StoreConfig::default()).await.unwrap();
        let dataset = atlas.create_dataset("d").await.unwrap();
        dataset.define_array::<i32>("t", &["x"], &[1000], None, None).await.unwrap();
        let values = ndarray::Array1::from_elem(1000, 7).into_dyn();
        dataset.write_array("t", &[0], values.view()).await.unwrap();
        atlas.flush().await.unwrap();
        let mut catalog = Catalog::clone(atlas.snapshot().catalog());
        catalog.datasets[0].as_mut().unwrap().sizes = vec![30_000_000];
        let caches = Arc::new(Caches::new(CacheBudget::default()));
        let hostile = Atlas::with(atlas.storage().clone(), caches, catalog);
        let dataset = hostile.open_dataset("d").await.unwrap();
        for (start, shape) in [(0, 30_000_000), (10, 20)] {
            let error = dataset.read_array::<i32>("t", &[start], &[shape]).await.unwrap_err().to_string();
            assert!(error.contains("has 1000 cells") && error.contains("30000000"), "{error}");
        }
        let mut catalog = Catalog::clone(atlas.snapshot().catalog());
        catalog.variables.get_mut("t").unwrap()[0].missing = 1;
        let caches = Arc::new(Caches::new(CacheBudget::default()));
        let hostile = Atlas::with(atlas.storage().clone(), caches, catalog);
        let dataset = hostile.open_dataset("d").await.unwrap();
        let error = dataset.array_stats("t").await.unwrap_err().to_string();
        assert!(
            error.contains("0 missing where the catalog says 1 chunks, 1000 cells, 1 missing"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn attributes_of_the_store_stay_through_commits_and_compactions() {
        let atlas = Atlas::create_url("memory:///attributes", StoreConfig::default()).await.unwrap();
        let add = async |name: &str| {
            let dataset = atlas.create_dataset(name).await.unwrap();
            dataset.define_array::<i32>("t", &[], &[], None, None).await.unwrap();
            dataset.write_array("t", &[], ndarray::arr0(1).view().into_dyn()).await.unwrap();
        };
        add("a").await;
        atlas.set_attribute("note", "first").await.unwrap();
        atlas.flush().await.unwrap();
        let attributes = || atlas.snapshot().catalog().attributes.clone();
        assert_eq!(attributes(), [("note".to_owned(), "first".into())]);
        add("b").await;
        atlas.flush().await.unwrap();
        atlas.compact(None).await.unwrap();
        // Nothing but the attribute is new, and the generation of others has been compacted
        // meanwhile.
        let other = Atlas::open_in(atlas.storage().clone()).await.unwrap();
        add("c").await;
        atlas.flush().await.unwrap();
        other.refresh().await.unwrap();
        other.set_attribute("note", "second").await.unwrap();
        atlas.compact(None).await.unwrap();
        other.flush().await.unwrap();
        let reopened = Atlas::open_in(atlas.storage().clone()).await.unwrap();
        assert_eq!(reopened.snapshot().catalog().attributes, [("note".to_owned(), "second".into())]);
        assert_eq!(reopened.list_datasets().await, ["a", "b", "c"]);
        assert!(matches!(atlas.set_attribute("", 1i64).await, Err(Error::Name { .. })));
    }
}
