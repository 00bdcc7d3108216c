//! How a store is opened or created.

use std::fmt;
use std::sync::Arc;

use crate::encoding::codec::Codec;
use crate::error::{Error, Result};
use crate::format::catalog::Root;
use crate::read::cache::{CacheBudget, Caches};
use crate::storage::location::Location;
use crate::storage::names::CATALOG_FILE;
use crate::store::Atlas;
use crate::write::commit;

/// Options for opening or creating a store; see [`Atlas::options`].
#[derive(Clone, Default)]
pub struct Options {
    cache: CacheBudget,
    storage: Vec<(String, String)>,
    generation: Option<u64>,
    codec: Option<Codec>,
}

impl Atlas {
    /// Opens or creates a store with options.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> atlas::Result<()> {
    /// use atlas::{Atlas, CacheBudget, Codec};
    ///
    /// let atlas = Atlas::options().codec(Codec::Lz4).create("memory:///options").await?;
    /// atlas.create_dataset("station-1").await?;
    /// atlas.flush().await?;
    ///
    /// let cache = CacheBudget::default();
    /// let first = Atlas::options().cache(cache).generation(1).open("memory:///options").await?;
    /// assert_eq!(first.list_datasets().unwrap(), ["station-1"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Options that do not apply are errors:
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # use atlas::Atlas;
    /// let opened = Atlas::options().storage_option("region", "eu-north-1").open("/data/argo").await;
    /// assert!(opened.is_err());
    /// # }
    /// ```
    pub fn options() -> Options {
        Options::default()
    }
}

impl Options {
    /// The budget of the caches.
    #[must_use]
    pub fn cache(self, budget: CacheBudget) -> Self {
        Self { cache: budget, ..self }
    }

    /// Configures the client of an object store. [`Storage::with_options`] documents the keys, and
    /// the environment variables that are read for keys without an option.
    ///
    /// [`Storage::with_options`]: crate::storage::files::Storage::with_options
    #[must_use]
    pub fn storage_option(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.storage.push((key.into(), value.into()));
        self
    }

    /// Opens the store as it was at this generation: see [`Atlas::open_at`].
    #[must_use]
    pub fn generation(self, generation: u64) -> Self {
        Self { generation: Some(generation), ..self }
    }

    /// The compression of a new store's blocks.
    #[must_use]
    pub fn codec(self, codec: Codec) -> Self {
        Self { codec: Some(codec), ..self }
    }

    /// Opens an existing store. Reads the root of its catalog, and looks for a newer one.
    ///
    /// # Errors
    /// - [`Error::NoStore`] if there is none, [`Error::Corrupt`] if its catalog is damaged.
    /// - [`Error::NoGeneration`] if it has no such generation, or no longer.
    /// - [`Error::Location`] if the location, or a storage option for it, cannot be used.
    /// - [`Error::Option`] for [`codec`](Self::codec).
    pub async fn open(self, location: impl Into<Location>) -> Result<Atlas> {
        self.open_at(location.into()).await
    }

    #[cfg_attr(feature = "tracing", tracing::instrument(name = "open", skip(self)))]
    async fn open_at(self, location: Location) -> Result<Atlas> {
        if self.codec.is_some() {
            let reason = "is for a store that is created: an existing one has its codec";
            return Err(Error::Option { option: "codec", reason });
        }
        let storage = location.storage(self.storage)?;
        let root = match self.generation {
            None => commit::newest(&storage).await?,
            Some(generation) => match commit::read_generation(&storage, generation).await {
                Err(Error::NoGeneration { .. }) if !storage.exists(CATALOG_FILE).await? => {
                    return Err(Error::NoStore { location: storage.to_string() });
                }
                read => read?.0,
            },
        };
        Ok(Atlas::with(storage, Arc::new(Caches::new(self.cache)), root))
    }

    /// Creates a store. Nothing is written before the first [`flush`](Atlas::flush).
    ///
    /// # Errors
    /// - [`Error::StoreExists`] if there is a store already.
    /// - [`Error::Location`] if the location, or a storage option for it, cannot be used; and if
    ///   it is a directory that has other files than a store has.
    /// - [`Error::Option`] for [`generation`](Self::generation), and for a codec that this program
    ///   was built without.
    pub async fn create(self, location: impl Into<Location>) -> Result<Atlas> {
        self.create_at(location.into()).await
    }

    #[cfg_attr(feature = "tracing", tracing::instrument(name = "create", skip(self)))]
    async fn create_at(self, location: Location) -> Result<Atlas> {
        if self.generation.is_some() {
            let reason = "is for a store that is opened: a new one has no generation";
            return Err(Error::Option { option: "generation", reason });
        }
        let codec = self.codec.unwrap_or_default();
        if !codec.is_built() {
            let reason = "is one that this program was built without: see the features of atlas-store";
            return Err(Error::Option { option: "codec", reason });
        }
        let storage = location.storage(self.storage)?;
        // A store may have lost its `atlas.json`. Some storages cannot list files.
        let records = async || storage.generations().await.is_ok_and(|records| !records.is_empty());
        if storage.exists(CATALOG_FILE).await? || records().await {
            return Err(Error::StoreExists { location: storage.to_string() });
        }
        // What an import has left that was killed before its first commit is no hindrance.
        if storage.root().scheme() == "file"
            && let Some(file) = storage.foreign().await?
        {
            let reason = format!(
                "it is no store and has files in it, such as {file}: choose an empty or a new directory"
            );
            return Err(Error::Location { location: storage.to_string(), reason });
        }
        let root = Root::empty(codec);
        Ok(Atlas::with(storage, Arc::new(Caches::new(self.cache)), root))
    }
}

/// Omits the values of storage options, which may be secrets.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.storage.iter().map(|(key, _)| key).collect();
        f.debug_struct("Options")
            .field("cache", &self.cache)
            .field("storage", &keys)
            .field("generation", &self.generation)
            .field("codec", &self.codec)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStore;
    use object_store::memory::InMemory;
    use object_store::path::Path;

    use super::*;
    use crate::store::StoreConfig;

    async fn two_generations(location: impl Into<Location>) -> Atlas {
        let atlas = Atlas::options().codec(Codec::Uncompressed).create(location).await.unwrap();
        for name in ["a", "b"] {
            atlas.create_dataset(name).await.unwrap();
            atlas.flush().await.unwrap();
        }
        atlas
    }

    #[tokio::test]
    async fn a_store_is_opened_at_every_kind_of_location() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let url = url::Url::from_file_path(&path).unwrap();
        let written = two_generations(path.as_path()).await;
        assert_eq!(written.snapshot().root().codec, Codec::None);
        for location in [
            Location::from(path.as_path()),
            Location::from(&path),
            Location::from(path.to_str().unwrap()),
            Location::from(&url),
            Location::from(url.to_string()),
            Location::from(written.storage()),
        ] {
            let opened = Atlas::options().open(location.clone()).await.unwrap();
            assert_eq!(opened.list_datasets().unwrap(), ["a", "b"], "{location:?}");
            let first = Atlas::options().generation(1).open(location).await.unwrap();
            assert_eq!(first.list_datasets().unwrap(), ["a"]);
        }
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        two_generations((Arc::clone(&objects), Path::from("x"))).await;
        let opened = Atlas::open(objects, Path::from("x")).await.unwrap();
        assert_eq!(opened.list_datasets().unwrap(), ["a", "b"]);
    }

    #[tokio::test]
    async fn options_that_do_not_apply_are_errors() {
        let location = "memory:///inapplicable";
        two_generations(location).await;
        let opened = async |options: Options| options.open(location).await.err().unwrap();
        let error = opened(Atlas::options().codec(Codec::Lz4)).await;
        assert_eq!(
            error.to_string(),
            "the option `codec` is for a store that is created: an existing one has its codec"
        );
        let error = opened(Atlas::options().storage_option("region", "r")).await.to_string();
        assert!(error.contains("`region`"), "{error}");
        let error = opened(Atlas::options().generation(3)).await.to_string();
        assert_eq!(error, "memory:///inapplicable has no generation 3: nobody has committed it");
        let created = Atlas::options().generation(1).create("memory:///another").await.err().unwrap();
        assert!(matches!(created, Error::Option { option: "generation", .. }), "{created}");
        let error = Atlas::options().create(location).await.err().unwrap();
        assert!(matches!(error, Error::StoreExists { .. }), "{error}");
        let error = Atlas::options().generation(1).open("memory:///none").await.err().unwrap();
        assert!(matches!(error, Error::NoStore { .. }), "{error}");
        let created = Atlas::create_url(location, StoreConfig::default()).await.err().unwrap();
        assert!(matches!(created, Error::StoreExists { .. }), "{created}");
    }

    #[test]
    fn values_of_storage_options_are_not_shown() {
        let options = Atlas::options().storage_option("secret_access_key", "a-value").generation(5);
        let shown = format!("{options:?}");
        assert!(shown.contains("secret_access_key") && !shown.contains("a-value"), "{shown}");
    }
}
