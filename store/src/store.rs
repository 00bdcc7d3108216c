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
        let pending = Mutex::new(Pending::new(storage.clone(), Arc::new(catalog.clone())));
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
                *pending = Pending::new(storage.clone(), Arc::new(catalog.clone()));
                self.show(catalog);
                Ok(())
            }
            Err(error) => {
                if matches!(error, Error::Conflict { .. }) {
                    discard_files(storage, &segments).await;
                    *pending = Pending::new(storage.clone(), Arc::new(base.catalog().clone()));
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
        *pending = Pending::new(self.inner.storage.clone(), Arc::new(catalog.clone()));
        self.show(catalog);
        Ok(())
    }

    fn show(&self, catalog: Catalog) {
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
