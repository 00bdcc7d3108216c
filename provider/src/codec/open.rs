//! The process-wide cache of open generations, for decoded scans.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use atlas::{Atlas, Snapshot};
use datafusion::common::{Result, exec_err};
use quick_cache::sync::Cache;
use tokio::sync::OnceCell;

use crate::error::from_store;
use crate::tables::columns::Table;
use crate::tables::kind::TableKind;

/// The number of stores that stay open, with their caches of blocks and indexes.
const STORES: usize = 16;

/// The number of generations that stay open.
const GENERATIONS: usize = 16;

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
        static OPENED: LazyLock<Cache<Generation, Arc<Opened>>> = LazyLock::new(|| Cache::new(GENERATIONS));
        OPENED.get_or_insert_async(self, self.open()).await
    }

    /// Opens the generation in the store that is now at its address.
    async fn open(&self) -> Result<Arc<Opened>> {
        static STORE: LazyLock<Cache<String, Atlas>> = LazyLock::new(|| Cache::new(STORES));
        let atlas = STORE.get_or_insert_async(&self.address, Atlas::open_url(&self.address)).await;
        let atlas = atlas.map_err(from_store)?;
        let snapshot = match atlas.snapshot() {
            newest if self.is(&newest) => newest,
            _ => atlas.open_at(self.number).await.map_err(from_store)?.snapshot(),
        };
        if !self.is(&snapshot) {
            STORE.remove(&self.address);
            let Self { address, number, .. } = self;
            return exec_err!(
                "generation {number} of {address} is not the one that the query was planned for: the address now has a different store"
            );
        }
        snapshot.load().await.map_err(from_store)?;
        Ok(Arc::new(Opened { snapshot, tables: Mutex::default() }))
    }

    fn is(&self, snapshot: &Snapshot) -> bool {
        (snapshot.root().generation(), snapshot.root().committed()) == (self.number, self.committed)
    }
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
            Ok::<_, datafusion::common::DataFusionError>(Table::new(
                &of.name,
                Arc::clone(&self.snapshot),
                catalog,
                of.kind.clone(),
                of.nan_as_null,
            ))
        });
        table.await.cloned()
    }
}
