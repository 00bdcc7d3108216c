//! Stores: creating, opening, committing.

use std::collections::HashSet;
use std::path::Path as FilePath;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::ArrayRef;
use object_store::ObjectStore;
use object_store::path::Path;

use crate::dataset::DatasetView;
use crate::encoding::codec::Codec;
use crate::error::{Error, Result};
use crate::format::catalog::{Catalog, Root};
use crate::model::dtype::DType;
use crate::model::grid::Region;
use crate::model::schema::Attributes;
use crate::model::value::AttributeValue;
use crate::read::cache::{CacheBudget, Caches};
use crate::read::snapshot::Snapshot;
use crate::storage::files::Storage;
use crate::write::changes::{Changes, Next, StoreAttribute};
use crate::write::commit::{self, ATTEMPTS, Published};
use crate::write::pending::{Pending, Writers};
use crate::write::rebase::{Collision, Theirs, rebase};

/// The configuration of a new store.
#[derive(Clone, Debug, Default)]
pub struct StoreConfig {
    /// The compression of its blocks.
    pub codec: Codec,
    /// The budget of the caches.
    pub cache: CacheBudget,
}

/// A store. Clones of a handle are the same store with the same pending changes.
#[derive(Clone)]
pub struct Atlas {
    inner: Arc<Inner>,
}

struct Inner {
    storage: Storage,
    pending: Mutex<Pending>,
    /// Locked by the task that writes chunks or commits, before `pending`.
    writers: tokio::sync::Mutex<Writers>,
}

impl Atlas {
    /// A new store under `prefix` of `objects`. Nothing is written before the first
    /// [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`Error::StoreExists`] if there is a store already.
    pub async fn create(objects: Arc<dyn ObjectStore>, prefix: Path, config: StoreConfig) -> Result<Self> {
        Self::options().cache(config.cache).codec(config.codec).create((objects, prefix)).await
    }

    /// A new store in a local directory, which need not exist.
    pub async fn create_path(path: impl AsRef<FilePath>, config: StoreConfig) -> Result<Self> {
        Self::options().cache(config.cache).codec(config.codec).create(path.as_ref()).await
    }

    /// A new store at a URL or a local path: see [`Storage::at`].
    pub async fn create_url(location: &str, config: StoreConfig) -> Result<Self> {
        Self::options().cache(config.cache).codec(config.codec).create(location).await
    }

    /// A new store.
    pub async fn create_in(storage: Storage, config: StoreConfig) -> Result<Self> {
        Self::options().cache(config.cache).codec(config.codec).create(storage).await
    }

    /// Opens the store under `prefix` of `objects`. Reads the root of its catalog, and looks for a
    /// newer root.
    ///
    /// # Errors
    /// [`Error::NoStore`] if there is none, [`Error::Corrupt`] if its catalog is damaged.
    /// [`repair`](Self::repair) then restores `atlas.json` from the records of commits.
    pub async fn open(objects: Arc<dyn ObjectStore>, prefix: Path) -> Result<Self> {
        Self::options().open((objects, prefix)).await
    }

    /// The store in a local directory.
    pub async fn open_path(path: impl AsRef<FilePath>) -> Result<Self> {
        Self::options().open(path.as_ref()).await
    }

    /// The store at a URL or a local path: see [`Storage::at`].
    pub async fn open_url(location: &str) -> Result<Self> {
        Self::options().open(location).await
    }

    /// An existing store.
    pub async fn open_in(storage: Storage) -> Result<Self> {
        Self::options().open(storage).await
    }

    /// Restores a store's `atlas.json` from the newest record of a commit that can be read, if
    /// `atlas.json` is lost, damaged or not the newest; and opens the store.
    ///
    /// # Errors
    /// [`Error::NoStore`] if there is no record either; [`Error::Unreadable`] if `atlas.json` is
    /// restored but names datasets that cannot be read; those of the storage.
    pub async fn repair(storage: Storage) -> Result<Self> {
        let root = commit::mend(&storage).await?;
        let atlas = Self::with(storage, Arc::new(Caches::new(CacheBudget::default())), root);
        let snapshot = atlas.snapshot();
        let source = match snapshot.load().await {
            Ok(_) => return Ok(atlas),
            Err(error) if error.is_of_file() => error,
            Err(error) => return Err(error),
        };
        let earlier = atlas.readable_before().await?;
        let generation = snapshot.root().generation();
        Err(Error::Unreadable { generation, earlier, source: Box::new(source) })
    }

    pub(crate) fn with(storage: Storage, caches: Arc<Caches>, root: Root) -> Self {
        Self::of(Snapshot::new(storage, caches, Arc::new(root)))
    }

    pub(crate) fn of(snapshot: Snapshot) -> Self {
        let storage = snapshot.storage().clone();
        let pending = Mutex::new(Pending::new(Arc::new(snapshot)));
        Self { inner: Arc::new(Inner { storage, pending, writers: tokio::sync::Mutex::default() }) }
    }

    /// Another handle of the same store at the same generation, with empty caches of its own and no
    /// pending changes.
    #[must_use]
    pub fn with_cache(&self, budget: CacheBudget) -> Self {
        let root = Arc::clone(self.snapshot().root());
        Self::of(Snapshot::new(self.inner.storage.clone(), Arc::new(Caches::new(budget)), root))
    }

    /// Where the store lies.
    pub fn storage(&self) -> &Storage {
        &self.inner.storage
    }

    /// The generation that this handle reads: the last one that it opened, committed or refreshed
    /// to.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(self.pending().base())
    }

    /// True if this handle has changes that are not committed.
    ///
    /// # Errors
    /// Those of [`list_datasets`](Self::list_datasets).
    pub fn has_pending(&self) -> Result<bool> {
        Ok(!self.pending().is_empty()?)
    }

    pub(crate) fn pending(&self) -> MutexGuard<'_, Pending> {
        self.inner.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn writers(&self) -> tokio::sync::MutexGuard<'_, Writers> {
        self.inner.writers.lock().await
    }

    /// The names of the datasets, in the order in which they were added, including pending changes.
    ///
    /// # Errors
    /// If the list cannot be read: see [`Snapshot::catalog`].
    pub fn list_datasets(&self) -> Result<Vec<String>> {
        self.pending().names()
    }

    /// The distinct names of the arrays of all datasets, sorted, including pending changes.
    ///
    /// # Errors
    /// Those of [`list_datasets`](Self::list_datasets).
    pub fn list_arrays(&self) -> Result<Vec<String>> {
        Ok(self.pending().variables()?.into_keys().collect())
    }

    /// The type of an array in the datasets that have it; `None` if no dataset has it, or the types
    /// differ.
    ///
    /// # Errors
    /// Those of [`list_datasets`](Self::list_datasets).
    pub fn array_dtype(&self, array: &str) -> Result<Option<DType>> {
        let variables = self.pending().variables()?;
        let types = variables.get(array).filter(|types| types.len() == 1);
        Ok(types.and_then(|types| types.iter().next().copied()))
    }

    /// True if there is a dataset with that name, including pending changes.
    ///
    /// # Errors
    /// Those of [`list_datasets`](Self::list_datasets).
    pub fn dataset_exists(&self, name: &str) -> Result<bool> {
        self.pending().exists(name)
    }

    /// Adds a dataset.
    ///
    /// # Errors
    /// [`Error::DatasetExists`], [`Error::Name`].
    pub async fn create_dataset(&self, name: &str) -> Result<DatasetView> {
        let _turn = self.turn(name).await?;
        self.pending().create_dataset(name)?;
        Ok(DatasetView::new(self.clone(), name))
    }

    /// A dataset, committed or pending.
    ///
    /// # Errors
    /// [`Error::NoDataset`].
    pub async fn open_dataset(&self, name: &str) -> Result<DatasetView> {
        self.look(name).await?;
        if self.pending().exists(name)? {
            Ok(DatasetView::new(self.clone(), name))
        } else {
            Err(Error::NoDataset { dataset: name.to_owned() })
        }
    }

    /// Deletes a dataset. If it was not committed yet, everything written to it is dropped.
    ///
    /// # Errors
    /// [`Error::NoDataset`].
    pub async fn delete_dataset(&self, name: &str) -> Result<()> {
        let mut turn = self.turn(name).await?;
        let (arrays, ordinal) = self.pending().delete_dataset(name)?;
        arrays.iter().for_each(|array| turn.forget(array, ordinal));
        Ok(())
    }

    /// Renames a dataset. Its pending changes continue under the new name.
    ///
    /// # Errors
    /// [`Error::NoDataset`], [`Error::DatasetExists`] if the new name is taken, [`Error::Name`].
    pub async fn rename_dataset(&self, name: &str, new: &str) -> Result<()> {
        let _turn = self.turn(name).await?;
        self.look(new).await?;
        self.pending().rename_dataset(name, new)
    }

    /// Sets an attribute of the store as a whole.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn set_attribute(&self, key: &str, value: impl Into<AttributeValue>) -> Result<()> {
        self.pending().set_store_attribute(key, value.into())
    }

    /// Changes an attribute of the store as a whole. `update` gets the value that the attribute has
    /// at the time of the commit, if any, and returns the new one. Two writers can thus both add to
    /// it.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn update_attribute(
        &self,
        key: &str,
        update: impl Fn(Option<&AttributeValue>) -> AttributeValue + Send + Sync + 'static,
    ) -> Result<()> {
        self.pending().update_store_attribute(key, StoreAttribute::Update(Arc::new(update)))
    }

    /// The attributes of the store as a whole, including pending changes.
    pub fn attributes(&self) -> Attributes {
        self.pending().store_attributes()
    }

    /// Waits until no task writes or commits through this handle, and makes sure that `name` can be
    /// looked up.
    async fn turn(&self, name: &str) -> Result<tokio::sync::MutexGuard<'_, Writers>> {
        let turn = self.writers().await;
        self.look(name).await?;
        Ok(turn)
    }

    /// Loads the datasets, if that is needed to decide whether one has this name.
    async fn look(&self, name: &str) -> Result<()> {
        let snapshot = self.snapshot();
        if snapshot.root().may_have(name) { snapshot.load().await.map(drop) } else { Ok(()) }
    }

    /// Commits all pending changes in one commit. Does nothing if none are pending.
    ///
    /// Others may have committed since this handle was opened or refreshed. Both commits succeed if
    /// they concern different things:
    ///
    /// | change of a dataset | commutes with | conflicts with |
    /// | --- | --- | --- |
    /// | create | everything | creating a dataset of the same name |
    /// | overwrite cells | other chunks, other arrays, attributes, renaming | the same chunk |
    /// | extend | arrays without the dimension, attributes, renaming | writes to an array over the dimension, its definition, extension or deletion |
    /// | define or delete an array | other arrays, attributes, renaming | writes to that array, its definition or deletion |
    /// | set or remove an attribute | other attributes, and everything else | another value of the same attribute, deletion of its array |
    /// | rename | everything but names | another name of the dataset, the same name of another dataset |
    /// | delete | nothing | everything, including another deletion |
    ///
    /// If both have made the same change to anything but cells, arrays and dimensions, there is no
    /// conflict. Changes of different datasets always commute, except for names.
    /// [Updated](Self::update_attribute) attributes of the store and [`compact`](Self::compact)
    /// commute with all of these. If a writer opened the store before commits that were
    /// [vacuumed](Self::vacuum) since, it cannot know what they changed, and gets a conflict.
    ///
    /// # Errors
    /// - [`Error::Conflict`] if others have changed the same thing. Nothing is committed, and all
    ///   changes stay pending until they are [discarded](Self::discard) or the handle is
    ///   [refreshed](Self::refresh).
    /// - [`Error::Busy`] if others always committed first. Changes stay pending.
    /// - [`Error::NotShown`] if the changes are committed, but `atlas.json` could not be replaced.
    /// - [`Error::Storage`] if the storage fails. The failure may have come after the commit:
    ///   reopening the store finds it with all of the changes or with none.
    #[cfg_attr(feature = "tracing", tracing::instrument(skip_all, fields(store = %self.storage())))]
    pub async fn flush(&self) -> Result<()> {
        let mut writers = self.writers().await;
        let base = self.snapshot();
        let (rest, segments) = {
            let mut pending = self.pending();
            if base.root().generation > 0 && pending.is_empty()? {
                return Ok(());
            }
            pending.pause()?;
            pending.poison();
            (pending.take_rest(), pending.segments().to_vec())
        };
        let written = rest.write(&base, &mut writers, &segments).await;
        let (changes, attempt) = {
            let mut pending = self.pending();
            pending.resume();
            pending.add_segments(written?);
            pending.mend();
            pending.pause()?;
            (pending.changes(), pending.attempt())
        };
        let committed = match changes {
            Ok(changes) => self.commit(&base, &changes, "write", &attempt).await,
            Err(error) => Err(error),
        };
        let mut pending = self.pending();
        pending.resume();
        if matches!(committed, Err(Error::Conflict { .. } | Error::Busy { .. } | Error::Limit { .. })) {
            pending.refused();
        }
        let (snapshot, shown) = committed?;
        *pending = Pending::new(Arc::new(snapshot));
        shown
    }

    /// Commits changes, identified by a token, to `base`, or to the newest generation if they do
    /// not conflict with it. Returns the generation with the changes, and whether `atlas.json`
    /// shows it.
    pub(crate) async fn commit(
        &self,
        base: &Snapshot,
        changes: &Changes,
        operation: &str,
        writer: &str,
    ) -> Result<(Snapshot, Result<()>)> {
        let storage = &self.inner.storage;
        let (mut newest, mut theirs) = (base.clone(), Some(Theirs::default()));
        let (files, mut manifests) = (changes.files(), HashSet::new());
        for attempt in 0..ATTEMPTS {
            if attempt > 0 && changes.is_empty() {
                // Another writer has created the store.
                return Ok((newest, Ok(())));
            }
            let next = if attempt == 0 {
                follow(changes, &newest, operation).await?
            } else {
                let rebased = self.rebased(base, changes, &newest, theirs.as_ref()).await?;
                follow(&rebased, &newest, operation).await?
            };
            let renamed = renamed(changes, base)?;
            let recorded = changes.recorded(newest.root(), renamed, writer);
            match commit::publish(storage, &next, &recorded, &files, &mut manifests, attempt).await {
                Ok(Published::Committed) => return Ok((newest.at(next.root, next.rows), Ok(()))),
                Err(error @ Error::NotShown { .. }) => {
                    return Ok((newest.at(next.root, next.rows), Err(error)));
                }
                Ok(Published::Lost) => {}
                Err(error) => return Err(error),
            }
            let (root, more) = commit::roll_forward(storage, Root::clone(newest.root())).await?;
            theirs = theirs.zip(more).map(|(mut theirs, more)| {
                theirs.extend(&more);
                theirs
            });
            newest = newest.at(root, []);
            // An earlier attempt failed only after its commit.
            if theirs.as_ref().is_some_and(|theirs| theirs.have(writer)) {
                return Ok((newest, Ok(())));
            }
        }
        Err(Error::Busy { location: storage.to_string(), attempts: ATTEMPTS as usize })
    }

    /// The changes to `base`, rebased onto `newest`.
    async fn rebased(
        &self,
        base: &Snapshot,
        changes: &Changes,
        newest: &Snapshot,
        theirs: Option<&Theirs>,
    ) -> Result<Changes> {
        let conflict = |Collision { dataset, array, reason }| Error::Conflict {
            location: self.inner.storage.to_string(),
            generation: newest.root().generation,
            dataset,
            array,
            reason,
        };
        let gone = || {
            let reason = "what was committed since this handle was opened was vacuumed".to_owned();
            conflict(Collision { reason, ..Collision::default() })
        };
        let theirs = theirs.ok_or_else(gone)?;
        let (base, newest) = (base.load().await?, newest.load().await?);
        rebase(changes, &base, &newest, theirs).map_err(conflict)
    }

    /// Flushes, and consumes the handle.
    pub async fn close(self) -> Result<()> {
        self.flush().await
    }

    /// Moves to the newest generation of the store, and completes a commit that was interrupted.
    /// Drops pending changes.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn refresh(&self) -> Result<()> {
        let mut writers = self.writers().await;
        let storage = &self.inner.storage;
        let root = match commit::mend(storage).await {
            Ok(root) => root,
            // A client that may only read can still see the newest generation.
            Err(Error::Storage { .. }) => commit::newest(storage).await?,
            Err(Error::NoStore { .. }) => Root::empty(self.snapshot().root().codec),
            Err(error) => return Err(error),
        };
        let next = self.snapshot().at(root, []);
        self.forget(&mut writers, next).await;
        Ok(())
    }

    /// Drops pending changes, and stays at this generation.
    pub async fn discard(&self) {
        let mut writers = self.writers().await;
        let base = Snapshot::clone(&self.snapshot());
        self.forget(&mut writers, base).await;
    }

    /// Moves to a generation, without pending changes.
    async fn forget(&self, writers: &mut Writers, snapshot: Snapshot) {
        writers.abort().await;
        let segments = {
            let mut pending = self.pending();
            // Files that may be committed are left to `vacuum`.
            let keep = pending.may_be_committed();
            let segments = if keep { Vec::new() } else { pending.segments().to_vec() };
            *pending = Pending::new(Arc::new(snapshot));
            segments
        };
        // A leftover file is harmless: no catalog names it.
        for segment in segments {
            let _ = self.inner.storage.delete(&segment.entry.path(&segment.variable)).await;
        }
    }

    /// Moves to the generation of another handle of the same store, if that is newer and nothing is
    /// pending in this handle.
    pub async fn catch_up_with(&self, other: &Self) {
        let root = Root::clone(other.snapshot().root());
        if root.generation > self.snapshot().root().generation {
            let snapshot = self.snapshot().at(root, []);
            self.show_unless_pending(snapshot).await;
        }
    }

    /// Moves to a generation, unless this handle has pending changes to an earlier one.
    pub(crate) async fn show_unless_pending(&self, snapshot: Snapshot) {
        let _writers = self.writers().await;
        let mut pending = self.pending();
        if pending.is_empty().unwrap_or(false) {
            *pending = Pending::new(Arc::new(snapshot));
        }
    }

    pub(crate) async fn write(
        &self,
        dataset: &str,
        array: &str,
        region: Region,
        cells: ArrayRef,
    ) -> Result<()> {
        // Do not begin to write what could not be committed in the end.
        self.inner.storage.check_exclusive_create().await?;
        let mut writers = self.turn(dataset).await?;
        let (writing, base) = {
            let mut pending = self.pending();
            (pending.write(dataset, array, &region, cells)?, Arc::clone(pending.base()))
        };
        if let Some(writing) = writing {
            writing.append(&base, &mut writers).await?;
            self.pending().mend();
        }
        Ok(())
    }
}

/// The generation after `newest`, with the changes.
async fn follow(changes: &Changes, newest: &Snapshot, operation: &str) -> Result<Next> {
    let root = newest.root();
    let catalog = if changes.is_apart(root) { None } else { Some(newest.load().await?) };
    let next = changes.onto(root, catalog.as_deref(), operation);
    next.map_err(|reason| Error::Limit { location: newest.storage().to_string(), reason })
}

/// The datasets that the changes rename.
fn renamed(changes: &Changes, base: &Snapshot) -> Result<Vec<u32>> {
    if changes.changed.is_empty() {
        return Ok(Vec::new());
    }
    let catalog: Arc<Catalog> = base.catalog()?;
    let named = changes.changed.iter().filter_map(|(&ordinal, changed)| Some((ordinal, changed.as_ref()?)));
    let other = named.filter(|(ordinal, changed)| {
        catalog.dataset(*ordinal).is_some_and(|dataset| dataset.name() != changed.name)
    });
    Ok(other.map(|(ordinal, _)| ordinal).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::rows::RowsBuilder;

    #[test]
    fn handles_can_be_shared_between_threads() {
        fn shared<T: Send + Sync + 'static>() {}
        shared::<Atlas>();
        shared::<DatasetView>();
        shared::<Snapshot>();
    }

    #[test]
    fn what_is_under_way_can_go_on_in_another_thread() {
        fn sent<T: Send>(_: T) {}
        let work = async {
            let atlas = Atlas::create_url("memory:///sent", StoreConfig::default()).await?;
            let dataset = atlas.create_dataset("d").await?;
            dataset.write_arrow("t", &[0], &[1], DType::I8.array([None])).await?;
            dataset.read_array::<i8>("t", &[], &[]).await?.unwrap();
            dataset.array_stats("t").await?;
            atlas.read_array_across::<i8>("t", &["d"], &[], &[]).await?;
            atlas.compact(None).await?;
            atlas.merge(&[&atlas]).await?;
            atlas.vacuum(std::time::Duration::ZERO).await?;
            atlas.verify().await?;
            atlas.discard().await;
            atlas.flush().await
        };
        sent(work);
    }

    #[tokio::test]
    async fn a_handle_tells_whether_something_is_pending() {
        let atlas = Atlas::create_url("memory:///has-pending", StoreConfig::default()).await.unwrap();
        assert!(!atlas.has_pending().unwrap());
        atlas.create_dataset("d").await.unwrap();
        assert!(atlas.has_pending().unwrap());
        atlas.flush().await.unwrap();
        assert!(!atlas.has_pending().unwrap());
        let dataset = atlas.open_dataset("d").await.unwrap();
        dataset.set_attribute("a", 1i64).unwrap();
        assert!(atlas.has_pending().unwrap());
        dataset.remove_attribute("a").unwrap();
        assert!(!atlas.has_pending().unwrap(), "it is as it was");
        atlas.set_attribute("a", 1i64).unwrap();
        atlas.discard().await;
        assert!(!atlas.has_pending().unwrap());
    }

    #[tokio::test]
    async fn errors_say_what_was_expected_and_found() {
        let atlas = Atlas::create_url("memory:///errors", StoreConfig::default()).await.unwrap();
        let dataset = atlas.create_dataset("d").await.unwrap();
        dataset.define_array::<f32>("t", &["x", "y"], &[2, 3], Some(vec![1, 3]), None).unwrap();
        let six = ndarray::Array2::<f32>::zeros((2, 3)).into_dyn();
        let mut told = Vec::new();
        told.push(atlas.create_dataset("d").await.err());
        told.push(atlas.create_dataset("a/b").await.err());
        told.push(atlas.open_dataset("e").await.err());
        told.push(dataset.define_array::<f32>("t", &[], &[], None, None).err());
        told.push(dataset.define_array::<f32>("u", &["z", "z"], &[4, 4], None, None).err());
        told.push(dataset.define_array::<f32>("u", &["z"], &[4, 4], None, None).err());
        told.push(dataset.define_array::<f32>("u", &["z"], &[1 << 40], Some(vec![1 << 40]), None).err());
        told.push(dataset.write_array("s", &[0, 0], six.view()).await.err());
        told.push(dataset.write_array("t", &[0, 1], six.view()).await.err());
        told.push(dataset.write_array("t", &[0, 0], six.mapv(f64::from).view()).await.err());
        dataset.write_array("t", &[0, 0], six.view()).await.unwrap();
        atlas.flush().await.unwrap();
        told.push(dataset.extend("w", 3).await.err());
        told.push(dataset.extend("x", 1).await.err());
        told.push(dataset.remove_attribute("title").err());
        told.push(dataset.remove_array_attribute("t", "units").err());
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
                "array `u` of dataset `d`: it has dimension `z` twice",
                "array `u` of dataset `d`: dimensions [\"z\"], shape [4, 4] and chunk shape [0, 0] differ in length",
                "array `u` of dataset `d`: a chunk of shape [1099511627776] is larger than 268435456 bytes: choose smaller chunks",
                "dataset `d` has no array `s`",
                "array `t` of dataset `d`: the region of shape [2, 3] at [0, 1] does not lie in its shape [2, 3]",
                "array `t` of dataset `d` holds f32, not f64",
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
        dataset.define_array::<i32>("t", &["x", "y"], &[3, 4], Some(vec![2, 3]), Some(-1)).unwrap();
        let one = |value: i32, shape: (usize, usize)| ndarray::Array2::from_elem(shape, value).into_dyn();
        dataset.write_array("t", &[0, 1], one(1, (3, 2)).view()).await.unwrap();
        dataset.write_array("t", &[1, 2], one(2, (2, 2)).view()).await.unwrap();
        atlas.flush().await.unwrap();
        let read = dataset.read_array::<i32>("t", &[0, 0], &[3, 4]).await.unwrap().unwrap();
        let expected = ndarray::array![[-1, 1, 1, -1], [-1, 1, 2, 2], [-1, 1, 2, 2]];
        assert_eq!(read, expected.into_dyn());
        assert_eq!(dataset.array_stats("t").await.unwrap().null_count, 4);
    }

    #[tokio::test]
    async fn a_dimension_of_another_size_gets_a_name_of_its_own() {
        let atlas = Atlas::create_url("memory:///dimensions", StoreConfig::default()).await.unwrap();
        let dataset = atlas.create_dataset("d").await.unwrap();
        for (name, shape) in [("a", [2, 3]), ("b", [4, 3]), ("c", [5, 3]), ("e", [4, 2])] {
            dataset.define_array::<i32>(name, &["x", "y"], &shape, None, None).unwrap();
        }
        let dims = |name: &str| dataset.schema(name).unwrap().dims;
        assert_eq!([dims("a"), dims("b")], [["x", "y"], ["x_2", "y"]]);
        assert_eq!([dims("c"), dims("e")], [["x_3", "y"], ["x_2", "y_2"]]);
        atlas.flush().await.unwrap();
        let opened = Atlas::open_url("memory:///dimensions").await.unwrap();
        assert_eq!(opened.open_dataset("d").await.unwrap().shape("e").unwrap(), [4, 2]);
    }

    #[tokio::test]
    async fn a_discarded_dataset_leaves_nothing() {
        let atlas = Atlas::create_url("memory:///discarded", StoreConfig::default()).await.unwrap();
        for name in ["a", "b", "c"] {
            let dataset = atlas.create_dataset(name).await.unwrap();
            dataset.define_array::<String>("s", &[], &[], None, None).unwrap();
            dataset.write_array("s", &[], ndarray::arr0(name.to_owned()).view().into_dyn()).await.unwrap();
        }
        atlas.delete_dataset("b").await.unwrap();
        atlas.flush().await.unwrap();
        assert_eq!(atlas.list_datasets().unwrap(), ["a", "c"]);
        assert!(matches!(atlas.open_dataset("b").await, Err(Error::NoDataset { .. })));
        let read = atlas
            .open_dataset("c")
            .await
            .unwrap()
            .read_array::<String>("s", &[], &[])
            .await
            .unwrap()
            .unwrap();
        assert_eq!(read.first().map(String::as_str), Some("c"));
        assert_eq!(atlas.snapshot().root().variables["s"][0].chunks, 2);
    }

    /// A first commit may have a chunk in two segments: complete, and with later changes.
    #[tokio::test]
    async fn a_chunk_that_is_written_again_in_one_commit_counts_once() {
        let atlas = Atlas::create_url("memory:///counted", StoreConfig::default()).await.unwrap();
        let dataset = atlas.create_dataset("d").await.unwrap();
        dataset.define_array::<i32>("t", &["x"], &[6], Some(vec![3]), Some(0)).unwrap();
        let write = async |start: usize, values: &[i32]| {
            let values = ndarray::arr1(values).into_dyn();
            dataset.write_array("t", &[start], values.view()).await.unwrap();
        };
        write(0, &[0, 2, 3, 4, 5, 6]).await;
        write(1, &[0]).await;
        atlas.flush().await.unwrap();
        let snapshot = atlas.snapshot();
        assert_eq!(snapshot.root().variables["t"].len(), 2);
        let counts = snapshot.counts("t", &crate::storage::requests::ReadMetrics::default()).await.unwrap();
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
            let defined = dataset.define_array::<f64>("t", dims.as_slice(), &shape, chunk, None);
            assert!(matches!(defined, Err(Error::Shape { .. })), "{shape:?}");
        }
        let none = dataset.define_array::<f64>("none", &["time", "lat"], &[0, 721], None, None);
        none.unwrap();
        let huge = dataset.define_array::<f64>("huge", &["n"], &[1 << 45], Some(vec![1 << 20]), None);
        huge.unwrap();
        for name in ["", ".", "..", "a/b", "_a", "a\0"] {
            assert!(matches!(atlas.create_dataset(name).await, Err(Error::Name { .. })), "{name:?}");
            let defined = dataset.define_array::<f64>(name, &[], &[], None, None);
            assert!(matches!(defined, Err(Error::Name { .. })), "{name:?}");
            let defined = dataset.define_array::<f64>("t", &[name], &[1], None, None);
            assert!(matches!(defined, Err(Error::Name { .. })), "{name:?}");
        }
        assert!(matches!(dataset.set_attribute("", 1i64), Err(Error::Name { .. })));
        let mixed = vec![crate::model::value::Value::I64(1), crate::model::value::Value::Bool(true)];
        let mixed = AttributeValue::List(DType::I64, mixed);
        assert!(matches!(dataset.set_attribute("a", mixed), Err(Error::Attribute { .. })));
        let names = ["a\nb\u{1b}[2J", "con", "ü".repeat(200).as_str(), &"long".repeat(300), "a#1", "%2F"]
            .map(str::to_owned);
        for name in &names {
            atlas.create_dataset(name).await.unwrap();
            dataset.define_array::<i32>(name, &[], &[], None, None).unwrap();
            dataset.write_array(name, &[], ndarray::arr0(7).view().into_dyn()).await.unwrap();
        }
        atlas.flush().await.unwrap();
        let opened = Atlas::open_url("memory:///extremes").await.unwrap();
        let dataset = opened.open_dataset("d").await.unwrap();
        for name in &names {
            let read = dataset.read_array::<i32>(name, &[], &[]).await.unwrap().unwrap();
            assert_eq!(read.first(), Some(&7), "{name:?}");
        }
        assert!(dataset.read_array::<f64>("none", &[0, 0], &[0, 721]).await.unwrap().unwrap().is_empty());
        assert_eq!(
            dataset.read_array::<f64>("huge", &[(1 << 45) - 2], &[2]).await.unwrap().unwrap().len(),
            2
        );
        // Nothing of the array was written, which is known without visiting its chunks one by one.
        assert_eq!(dataset.array_stats("huge").await.unwrap().null_count, 1 << 45);
        let all = dataset.read_arrow("huge", &[0], &[1 << 45]).await.unwrap_err().to_string();
        assert!(all.contains("no memory for 35184372088832 cells"), "{all}");
        let verified = opened.verify().await.unwrap();
        assert_eq!((verified.problems, verified.foreign, verified.unused), (vec![], vec![], vec![]));
    }

    /// Also on disk, where names of directories have at most 255 bytes.
    #[tokio::test]
    async fn variables_with_long_names_can_be_kept_on_disk() {
        let directory = tempfile::tempdir().unwrap();
        let atlas = Atlas::create_path(directory.path(), StoreConfig::default()).await.unwrap();
        let dataset = atlas.create_dataset("d").await.unwrap();
        let names = ["t".repeat(300), format!("{}u", "t".repeat(299)), "年".repeat(100)];
        for (number, name) in (0i32..).zip(&names) {
            dataset.define_array::<i32>(name, &["x"], &[2], None, None).unwrap();
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
            assert_eq!(
                dataset.read_array::<i32>(name, &[0], &[1]).await.unwrap().unwrap().first(),
                Some(&expected)
            );
        }
        assert_eq!(atlas.verify().await.unwrap().problems, [""; 0]);
    }

    /// A record with the number of another generation, or without one, would be followed forever.
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
        assert!(Atlas::open_in(storage).await.is_err());
        atlas.create_dataset("e").await.unwrap();
        assert!(matches!(atlas.flush().await, Err(Error::Corrupt { .. })));
    }

    /// If catalog and index disagree on the number of cells of a chunk, this is found before memory
    /// is allocated.
    #[tokio::test]
    async fn an_index_with_other_cells_than_its_array_is_refused() {
        let atlas = Atlas::create_url("memory:///shorter", StoreConfig::default()).await.unwrap();
        let dataset = atlas.create_dataset("d").await.unwrap();
        dataset.define_array::<i32>("t", &["x"], &[1000], None, None).unwrap();
        let values = ndarray::Array1::from_elem(1000, 7).into_dyn();
        dataset.write_array("t", &[0], values.view()).await.unwrap();
        atlas.flush().await.unwrap();
        let mut catalog = Root::clone(atlas.snapshot().root());
        let mut rows = RowsBuilder::default();
        rows.push(0, "d", 0, [30_000_000].into_iter(), std::iter::empty::<(&str, _)>());
        (catalog.rows, catalog.cells) = (Arc::new(rows.finish().unwrap()), 30_000_000);
        let caches = Arc::new(Caches::new(CacheBudget::default()));
        let hostile = Atlas::with(atlas.storage().clone(), caches, catalog);
        let dataset = hostile.open_dataset("d").await.unwrap();
        for (start, shape) in [(0, 30_000_000), (10, 20)] {
            let error = dataset.read_array::<i32>("t", &[start], &[shape]).await.unwrap_err().to_string();
            assert!(error.contains("has 1000 cells") && error.contains("30000000"), "{error}");
        }
        let mut catalog = Root::clone(atlas.snapshot().root());
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
            dataset.define_array::<i32>("t", &[], &[], None, None).unwrap();
            dataset.write_array("t", &[], ndarray::arr0(1).view().into_dyn()).await.unwrap();
        };
        add("a").await;
        atlas.set_attribute("note", "first").unwrap();
        atlas.flush().await.unwrap();
        let attributes = || atlas.snapshot().root().attributes.clone();
        assert_eq!(attributes(), [("note".to_owned(), "first".into())]);
        add("b").await;
        atlas.flush().await.unwrap();
        atlas.compact(None).await.unwrap();
        // Only the attribute is new, and another writer has compacted the store meanwhile.
        let other = Atlas::open_in(atlas.storage().clone()).await.unwrap();
        add("c").await;
        atlas.flush().await.unwrap();
        other.refresh().await.unwrap();
        other.set_attribute("note", "second").unwrap();
        atlas.compact(None).await.unwrap();
        other.flush().await.unwrap();
        let reopened = Atlas::open_in(atlas.storage().clone()).await.unwrap();
        assert_eq!(reopened.snapshot().root().attributes, [("note".to_owned(), "second".into())]);
        assert_eq!(reopened.list_datasets().unwrap(), ["a", "b", "c"]);
        assert!(matches!(atlas.set_attribute("", 1i64), Err(Error::Name { .. })));
    }
}
