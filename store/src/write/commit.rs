//! Commits: how a catalog becomes the store's, and how one is found.

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::format::catalog::Catalog;
use crate::storage::files::Storage;
use crate::storage::names::{CATALOG_FILE, record};

/// The catalog that `atlas.json` has.
pub(crate) async fn read(storage: &Storage) -> Result<Catalog> {
    match storage.get(CATALOG_FILE).await {
        Ok(bytes) => Catalog::decode(CATALOG_FILE, &bytes),
        Err(error) if error.is_not_found() => Err(Error::NoStore { location: storage.to_string() }),
        Err(error) => Err(error),
    }
}

/// The newest catalog, which is made the store's where an interrupted commit has left it otherwise. `None` where
/// nothing was committed.
pub(crate) async fn newest(storage: &Storage) -> Result<Option<Catalog>> {
    let catalog = match read(storage).await {
        Ok(catalog) => catalog,
        // A first commit may have been interrupted between its two files.
        Err(Error::NoStore { .. }) => Catalog::default(),
        Err(error) => return Err(error),
    };
    let catalog = roll_forward(storage, catalog).await?;
    Ok((catalog.generation > 0).then_some(catalog))
}

/// The catalog of a generation.
pub(crate) async fn read_generation(storage: &Storage, generation: u64) -> Result<Catalog> {
    let gone = |reason| Error::NoGeneration { location: storage.to_string(), generation, reason };
    match storage.get(&record(generation)).await {
        Ok(bytes) if bytes.is_empty() => Err(gone("it was vacuumed")),
        Ok(bytes) => decode_record(generation, &bytes),
        Err(error) if error.is_not_found() => Err(gone("nobody has committed it")),
        Err(error) => Err(error),
    }
}

/// The catalog of a generation, whose record has `bytes`.
fn decode_record(generation: u64, bytes: &[u8]) -> Result<Catalog> {
    let file = record(generation);
    let catalog = Catalog::decode(&file, bytes)?;
    if catalog.generation == generation {
        return Ok(catalog);
    }
    Err(Error::corrupt(file, format!("it is the record of generation {}", catalog.generation)))
}

/// Makes `catalog` the store's, after its segments, which are files of the store.
///
/// # Errors
/// [`Error::Conflict`] where somebody else has committed that generation.
pub(crate) async fn commit(storage: &Storage, catalog: &Catalog, segments: &[String]) -> Result<()> {
    catalog.check().map_err(|reason| Error::Limit { location: storage.to_string(), reason })?;
    let bytes = catalog.encode().map_err(|e| Error::corrupt(CATALOG_FILE, e.to_string()))?;
    let bytes = Bytes::from(bytes);
    let file = record(catalog.generation);
    storage.sync(segments).await?;
    // A request that was repeated because its answer was lost finds what it made itself.
    let committed = storage.create(&file, bytes.clone()).await? || storage.get(&file).await? == bytes;
    if !committed {
        let location = storage.to_string();
        return Err(Error::Conflict { location, generation: catalog.generation });
    }
    storage.replace(CATALOG_FILE, bytes).await?;
    // A slower writer must not leave its older catalog over a newer one.
    if storage.exists(&record(catalog.generation + 1)).await? {
        roll_forward(storage, catalog.clone()).await?;
    }
    Ok(())
}

/// Makes the newest commit after `catalog` the store's catalog, and returns it.
async fn roll_forward(storage: &Storage, mut catalog: Catalog) -> Result<Catalog> {
    loop {
        let file = record(catalog.generation + 1);
        let bytes = match storage.get(&file).await {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(catalog),
            Err(error) => return Err(error),
        };
        catalog = decode_record(catalog.generation + 1, &bytes)?;
        storage.replace(CATALOG_FILE, bytes).await?;
    }
}
