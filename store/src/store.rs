//! Stores: creating, opening, committing.

use std::path::Path as FilePath;
use std::sync::{Arc, PoisonError, RwLock};

use arrow::array::ArrayRef;
use bytes::Bytes;
use object_store::ObjectStore;
use object_store::path::Path;
use tokio::sync::Mutex;

use crate::catalog::Catalog;
use crate::pending::{Pending, discard_files};
use crate::snapshot::Snapshot;
use crate::storage::Storage;
use crate::{ArraySchema, AttributeValue, CATALOG_FILE, Codec, DatasetView, Error, Region, Result};

/// How a new store is to be.
#[derive(Clone, Debug, Default)]
pub struct StoreConfig {
    /// The compression of its blocks.
    pub codec: Codec,
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
        Self::create_at(Storage::new(objects, prefix), config).await
    }

    /// A new store in a local directory, which need not exist.
    pub async fn create_path(path: impl AsRef<FilePath>, config: StoreConfig) -> Result<Self> {
        Self::create_at(Storage::local(path)?, config).await
    }

    /// A new store at a URL or a local path: see [`Storage::at`].
    pub async fn create_url(location: &str, config: StoreConfig) -> Result<Self> {
        Self::create_at(Storage::at(location)?, config).await
    }

    /// A new store.
    pub async fn create_at(storage: Storage, config: StoreConfig) -> Result<Self> {
        if storage.exists(CATALOG_FILE).await? {
            return Err(Error::StoreExists { location: storage.to_string() });
        }
        Ok(Self::with(storage, Catalog::empty(config.codec)))
    }

    /// The store under `prefix` of `objects`. Reads its catalog and nothing else.
    ///
    /// # Errors
    /// [`Error::NoStore`] where there is none, [`Error::Corrupt`] where its catalog is damaged.
    pub async fn open(objects: Arc<dyn ObjectStore>, prefix: Path) -> Result<Self> {
        Self::open_at(Storage::new(objects, prefix)).await
    }

    /// The store in a local directory.
    pub async fn open_path(path: impl AsRef<FilePath>) -> Result<Self> {
        Self::open_at(Storage::local(path)?).await
    }

    /// The store at a URL or a local path: see [`Storage::at`].
    pub async fn open_url(location: &str) -> Result<Self> {
        Self::open_at(Storage::at(location)?).await
    }

    /// An existing store.
    pub async fn open_at(storage: Storage) -> Result<Self> {
        let catalog = read_catalog(&storage).await?;
        Ok(Self::with(storage, catalog))
    }

    fn with(storage: Storage, catalog: Catalog) -> Self {
        let catalog = Arc::new(catalog);
        let pending = Mutex::new(Pending::new(storage.clone(), Arc::clone(&catalog)));
        let snapshot = RwLock::new(Arc::new(Snapshot::new(storage.clone(), catalog)));
        Self { inner: Arc::new(Inner { storage, snapshot, pending }) }
    }

    /// Where the store lies.
    pub fn storage(&self) -> &Storage {
        &self.inner.storage
    }

    /// The generation that this handle reads: the one it opened, committed or refreshed to last.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.inner.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The names of the datasets, in the order in which they were added; pending ones last.
    pub async fn list_datasets(&self) -> Vec<String> {
        let pending = self.inner.pending.lock().await;
        let snapshot = self.snapshot();
        let committed = snapshot.catalog().datasets().map(|(_, dataset)| dataset.name.as_str());
        committed.chain(pending.names()).map(str::to_owned).collect()
    }

    /// The names of the variables: of the arrays of all committed datasets, each once, sorted.
    pub fn list_arrays(&self) -> Vec<String> {
        let snapshot = self.snapshot();
        let mut names: Vec<_> = snapshot.catalog().arrays.iter().map(|array| array.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// True where there is a dataset of that name, committed or pending.
    pub async fn dataset_exists(&self, name: &str) -> bool {
        self.inner.pending.lock().await.contains(name) || self.snapshot().catalog().ordinal(name).is_some()
    }

    /// Adds a dataset.
    ///
    /// # Errors
    /// [`Error::DatasetExists`], [`Error::Name`].
    pub async fn create_dataset(&self, name: &str) -> Result<DatasetView> {
        self.inner.pending.lock().await.create_dataset(name)?;
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

    /// Takes back a dataset that was created and not yet committed, with all that was written of it.
    ///
    /// # Errors
    /// [`Error::NoDataset`], [`Error::Committed`].
    pub async fn discard_dataset(&self, name: &str) -> Result<()> {
        self.inner.pending.lock().await.discard_dataset(name)
    }

    /// Commits all that is pending, in one commit; nothing where nothing is pending.
    ///
    /// # Errors
    /// - [`Error::Conflict`] where somebody else has committed since this handle was opened or refreshed.
    ///   Nothing pending is committed, and it is forgotten: [`refresh`](Self::refresh) and repeat it.
    /// - [`Error::Storage`] where the storage fails. Reopening the store then finds it as it was before, or as
    ///   it was to be: the failure may have come after the commit.
    pub async fn flush(&self) -> Result<()> {
        let mut pending = self.inner.pending.lock().await;
        let base = self.snapshot();
        if pending.is_empty() && base.catalog().generation > 0 {
            return Ok(());
        }
        let storage = &self.inner.storage;
        let (catalog, segments) = pending.finish().await?;
        let committed = commit(storage, &catalog).await;
        match committed {
            Ok(()) => {
                self.show(&mut pending, Arc::new(catalog));
                Ok(())
            }
            Err(error) => {
                if matches!(error, Error::Conflict { .. }) {
                    discard_files(storage, &segments).await;
                    pending.forget();
                }
                Err(error)
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
        let catalog = match read_catalog(&self.inner.storage).await {
            Ok(catalog) => catalog,
            // A first commit may have been interrupted between its two files.
            Err(Error::NoStore { .. }) => Catalog::empty(pending.codec()),
            Err(error) => return Err(error),
        };
        let catalog = roll_forward(&self.inner.storage, catalog).await?;
        self.show(&mut pending, Arc::new(catalog));
        Ok(())
    }

    /// Goes on to a generation, with nothing pending.
    fn show(&self, pending: &mut Pending, catalog: Arc<Catalog>) {
        *pending = Pending::new(self.inner.storage.clone(), Arc::clone(&catalog));
        let snapshot = Arc::new(Snapshot::new(self.inner.storage.clone(), catalog));
        *self.inner.snapshot.write().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }

    pub(crate) async fn is_pending(&self, dataset: &str) -> bool {
        self.inner.pending.lock().await.contains(dataset)
    }

    pub(crate) async fn define(&self, dataset: &str, schema: ArraySchema, shape: &[usize]) -> Result<()> {
        self.inner.pending.lock().await.define(dataset, schema, shape)
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

    pub(crate) async fn set_attribute(
        &self,
        dataset: &str,
        array: Option<&str>,
        key: &str,
        value: AttributeValue,
    ) -> Result<()> {
        let mut pending = self.inner.pending.lock().await;
        match array {
            None => pending.set_attribute(dataset, key, value),
            Some(array) => pending.set_array_attribute(dataset, array, key, value),
        }
    }
}

async fn read_catalog(storage: &Storage) -> Result<Catalog> {
    match storage.get(CATALOG_FILE).await {
        Ok(bytes) => Catalog::decode(CATALOG_FILE, &bytes),
        Err(Error::Storage { source: object_store::Error::NotFound { .. }, .. }) => {
            Err(Error::NoStore { location: storage.to_string() })
        }
        Err(error) => Err(error),
    }
}

/// The record of a commit. Creating it is the commit: of two writers only one can.
fn commit_file(generation: u64) -> String {
    format!("_commits/{generation:020}.json")
}

async fn commit(storage: &Storage, catalog: &Catalog) -> Result<()> {
    let bytes = catalog.encode().map_err(|e| Error::corrupt(CATALOG_FILE, e.to_string()))?;
    let bytes = Bytes::from(bytes);
    let file = commit_file(catalog.generation);
    // A request that was repeated because its answer was lost finds what it made itself.
    let committed = storage.create(&file, bytes.clone()).await? || storage.get(&file).await? == bytes;
    if !committed {
        let location = storage.to_string();
        return Err(Error::Conflict { location, generation: catalog.generation });
    }
    storage.put(CATALOG_FILE, bytes).await?;
    // A slower writer must not leave its older catalog over a newer one.
    if storage.exists(&commit_file(catalog.generation + 1)).await? {
        roll_forward(storage, catalog.clone()).await?;
    }
    Ok(())
}

/// Makes the newest commit after `catalog` the store's catalog, and returns it.
async fn roll_forward(storage: &Storage, mut catalog: Catalog) -> Result<Catalog> {
    loop {
        let file = commit_file(catalog.generation + 1);
        let bytes = match storage.get(&file).await {
            Ok(bytes) => bytes,
            Err(Error::Storage { source: object_store::Error::NotFound { .. }, .. }) => return Ok(catalog),
            Err(error) => return Err(error),
        };
        catalog = Catalog::decode(&file, &bytes)?;
        storage.put(CATALOG_FILE, bytes).await?;
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
        told.push(dataset.write_array("t", &[0, 0], six.view()).await.err());
        atlas.flush().await.unwrap();
        told.push(dataset.write_array("t", &[0, 0], six.view()).await.err());
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
                "array `t` of dataset `d`: the chunk at [0, 0] has been written already",
                "dataset `d` is committed: this version adds datasets, it does not change them",
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
        atlas.discard_dataset("b").await.unwrap();
        atlas.flush().await.unwrap();
        assert_eq!(atlas.list_datasets().await, ["a", "c"]);
        assert!(matches!(atlas.open_dataset("b").await, Err(Error::NoDataset { .. })));
        let read = atlas.open_dataset("c").await.unwrap().read_array::<String>("s", &[], &[]).await.unwrap();
        assert_eq!(read.first().map(String::as_str), Some("c"));
        assert_eq!(atlas.snapshot().catalog().variables["s"][0].chunks, 2);
    }
}
