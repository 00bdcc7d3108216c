//! The process-wide cache of open generations, for decoded scans.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use atlas::{Atlas, Snapshot};
use datafusion::common::{Result, exec_datafusion_err, exec_err};
use quick_cache::sync::Cache;
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use crate::error::from_store;
use crate::tables::columns::Table;
use crate::tables::kind::TableKind;

/// The number of stores that stay open, with their caches of blocks and indexes.
const STORES: usize = 16;

/// The number of generations of a store that stay open. Each has a catalog in memory.
const GENERATIONS: usize = 2;

/// A generation of a store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Generation {
    /// The address of the store, without credentials.
    pub address: String,
    pub number: u64,
    /// The time of its commit, in milliseconds since 1970.
    pub committed: i64,
}

/// A table of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableOf {
    pub generation: Generation,
    /// The name in plans.
    pub name: String,
    pub kind: TableKind,
    pub nan_as_null: bool,
}

impl TableOf {
    /// The table. It opens the store if necessary; concurrent calls open it once.
    pub async fn open(&self) -> Result<Table> {
        self.generation.opened().await?.table(self).await
    }
}

impl Generation {
    /// The generation, to read from. It opens the store if necessary.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>> {
        Ok(Arc::clone(&self.opened().await?.snapshot))
    }

    async fn opened(&self) -> Result<Arc<Opened>> {
        static STORE: LazyLock<Cache<String, Arc<Store>>> = LazyLock::new(|| Cache::new(STORES));
        let store = STORE.get_or_insert_async(&self.address, Store::open(&self.address)).await?;
        let opened = store.generation(self).await;
        if opened.is_err() {
            // The address may have a different store by now: the next attempt opens it anew.
            STORE.remove(&self.address);
        }
        opened
    }

    fn is(&self, snapshot: &Snapshot) -> bool {
        (snapshot.root().generation(), snapshot.root().committed()) == (self.number, self.committed)
    }
}

/// A store that is open.
struct Store {
    /// At the generation that was opened last. The next one shares the files that both have.
    atlas: Mutex<Atlas>,
    /// The generations that were used last, the latest first.
    generations: Mutex<VecDeque<(Generation, Slot)>>,
}

/// An open generation, or one that is being opened.
type Slot = Arc<OnceCell<Arc<Opened>>>;

impl Store {
    async fn open(address: &str) -> Result<Arc<Self>> {
        let atlas = Atlas::open_url(address).await.map_err(from_store)?;
        Ok(Arc::new(Self { atlas: Mutex::new(atlas), generations: Mutex::default() }))
    }

    /// A generation; concurrent calls open it once.
    async fn generation(&self, generation: &Generation) -> Result<Arc<Opened>> {
        let cell = {
            let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
            let place = generations.iter().position(|(other, _)| other == generation);
            let kept = place.and_then(|place| generations.remove(place));
            let (generation, cell) = kept.unwrap_or_else(|| (generation.clone(), Arc::default()));
            generations.push_front((generation, Arc::clone(&cell)));
            generations.truncate(GENERATIONS);
            cell
        };
        cell.get_or_try_init(|| self.open_generation(generation)).await.cloned()
    }

    async fn open_generation(&self, generation: &Generation) -> Result<Arc<Opened>> {
        let Generation { address, number, .. } = generation;
        let mut atlas = self.atlas.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !generation.is(&atlas.snapshot()) {
            atlas = atlas.open_at(*number).await.map_err(from_store)?;
        }
        let snapshot = atlas.snapshot();
        if !generation.is(&snapshot) {
            return exec_err!(
                "generation {number} of {address} is not the one that the query was planned for: the address now has a different store"
            );
        }
        let (loaded, runtime) = (Arc::clone(&snapshot), Handle::current());
        aside(move || runtime.block_on(loaded.load())).await?.map_err(from_store)?;
        *self.atlas.lock().unwrap_or_else(PoisonError::into_inner) = atlas;
        Ok(Arc::new(Opened { snapshot, tables: Mutex::default() }))
    }
}

/// Runs work that takes long for large catalogs on a thread of its own. Connections would not be
/// served meanwhile.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| exec_datafusion_err!("opening a store failed: {e}"))
}

/// An open generation, and its tables that were used.
struct Opened {
    snapshot: Arc<Snapshot>,
    tables: Mutex<HashMap<TableOf, Arc<OnceCell<Table>>>>,
}

impl Opened {
    async fn table(&self, of: &TableOf) -> Result<Table> {
        let cell = {
            let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(tables.entry(of.clone()).or_default())
        };
        let table = cell.get_or_try_init(|| async {
            let catalog = self.snapshot.load().await.map_err(from_store)?;
            let (of, snapshot) = (of.clone(), Arc::clone(&self.snapshot));
            aside(move || Table::new(&of.name, snapshot, catalog, of.kind, of.nan_as_null)).await
        });
        table.await.cloned()
    }
}
