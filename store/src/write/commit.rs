//! Commits: how a root becomes the store's root, and how the newest root is found.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use crate::error::{Error, Result};
use crate::format::catalog::Root;
use crate::format::record::Recorded;
use crate::storage::files::Storage;
use crate::storage::names::{self, CATALOG_FILE, record};
use crate::write::changes::Next;
use crate::write::rebase::Theirs;

/// The number of commits of others after which a writer gives up.
pub(crate) const ATTEMPTS: u32 = 100;

/// The longest pause before a writer tries again.
const MAX_PAUSE: Duration = Duration::from_millis(1000);

/// Requests that are under way at one time.
const CONCURRENCY: usize = 32;

/// The outcome of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// The root is the store's now.
    Committed,
    /// Another writer has committed that generation. The pause before the next attempt is over.
    Lost,
}

/// The root in `atlas.json`.
pub(crate) async fn read(storage: &Storage) -> Result<Root> {
    match storage.get(CATALOG_FILE).await {
        Ok(bytes) => Ok(Root::decode(CATALOG_FILE, &bytes)?.0),
        Err(error) if error.is_not_found() => Err(Error::NoStore { location: storage.to_string() }),
        Err(error) => Err(error),
    }
}

/// The newest root: that of `atlas.json`, or of a later commit. A later commit exists if its writer
/// did not get to replace `atlas.json`, or if another writer has replaced it with an older root.
///
/// # Errors
/// [`Error::NoStore`] if nothing was committed.
pub(crate) async fn newest(storage: &Storage) -> Result<Root> {
    match read(storage).await {
        Ok(root) => Ok(roll_forward(storage, root).await?.0),
        // If the storage cannot list files, or denies it, there is no store either.
        Err(error @ Error::NoStore { .. }) => newest_record(storage).await.ok().flatten().ok_or(error),
        Err(error) => Err(error),
    }
}

/// The newest root. Writes it to `atlas.json` if that has another one.
pub(crate) async fn mend(storage: &Storage) -> Result<Root> {
    let found = read(storage).await;
    let shown = found.as_ref().ok().map(|root| root.generation);
    let root = match found {
        Ok(root) => roll_forward(storage, root).await?.0,
        Err(error) => newest_record(storage).await?.ok_or(error)?,
    };
    if shown != Some(root.generation) {
        show(storage, &root).await?;
    }
    Ok(root)
}

/// The root of the newest record that can be read.
async fn newest_record(storage: &Storage) -> Result<Option<Root>> {
    let mut generations = storage.generations().await?;
    generations.sort_unstable();
    let mut failure = None;
    for generation in generations.into_iter().rev() {
        match read_generation(storage, generation).await {
            Ok((root, _)) => return Ok(Some(root)),
            // A record that was incomplete when its writer died commits nothing.
            Err(error @ (Error::NoGeneration { .. } | Error::Corrupt { .. })) => failure = Some(error),
            Err(error) => return Err(error),
        }
    }
    failure.map_or(Ok(None), Err)
}

/// The root of a generation, and the changes of its commit.
pub(crate) async fn read_generation(storage: &Storage, generation: u64) -> Result<(Root, Recorded)> {
    let gone = |reason| Error::NoGeneration { location: storage.to_string(), generation, reason };
    match storage.get(&record(generation)).await {
        Ok(bytes) if bytes.is_empty() => Err(gone("it was vacuumed")),
        Ok(bytes) => decode_record(generation, &bytes),
        Err(error) if error.is_not_found() => Err(gone("nobody has committed it")),
        Err(error) => Err(error),
    }
}

fn decode_record(generation: u64, bytes: &[u8]) -> Result<(Root, Recorded)> {
    let file = record(generation);
    let (root, recorded) = Root::decode(&file, bytes)?;
    if root.generation != generation {
        return Err(Error::corrupt(file, format!("it is the record of generation {}", root.generation)));
    }
    let recorded = recorded.ok_or_else(|| Error::corrupt(file, "it does not say what was changed"))?;
    Ok((root, recorded))
}

/// The newest commit after `root`, and the changes of all commits after `root`. `None` instead of
/// the changes if a record was vacuumed.
pub(crate) async fn roll_forward(storage: &Storage, mut root: Root) -> Result<(Root, Option<Theirs>)> {
    let mut theirs = Some(Theirs::default());
    let mut generation = root.generation;
    loop {
        generation += 1;
        match storage.get(&record(generation)).await {
            // The record was vacuumed, so another commit follows it.
            Ok(bytes) if bytes.is_empty() => theirs = None,
            Ok(bytes) => {
                let (next, recorded) = decode_record(generation, &bytes)?;
                root = next;
                theirs.iter_mut().for_each(|theirs| theirs.add(&recorded));
            }
            Err(error) if error.is_not_found() || error.is_denied() => return Ok((root, theirs)),
            Err(error) => return Err(error),
        }
    }
}

/// Commits `next`, after its segments, whose paths are `files`. `written` has the manifests that an
/// earlier attempt has written; `attempt` is the number of the attempt.
///
/// # Errors
/// [`Error::NotShown`] if the commit succeeded, but `atlas.json` could not be replaced.
#[cfg_attr(feature = "tracing", tracing::instrument(name = "commit", skip_all, fields(generation = next.root.generation, attempt)))]
pub(crate) async fn publish(
    storage: &Storage,
    next: &Next,
    recorded: &Recorded,
    files: &[String],
    written: &mut HashSet<String>,
    attempt: u32,
) -> Result<Published> {
    let root = &next.root;
    root.check().map_err(|reason| Error::Limit { location: storage.to_string(), reason })?;
    let encoded = root.encode(Some(recorded));
    let bytes = Bytes::from(encoded.map_err(|e| Error::internal(CATALOG_FILE, e.to_string()))?);
    // A root that readers refuse would make the whole store unreadable.
    decode_record(root.generation, &bytes).map_err(|e| Error::internal(CATALOG_FILE, e.to_string()))?;
    for (file, bytes) in &next.manifests {
        if !written.contains(file) {
            storage.replace(file, bytes.clone()).await?;
            written.insert(file.clone());
        }
    }
    storage.sync(files).await?;
    // A vacuum may have removed the first segments of a long import as leftovers.
    let checking: Vec<_> = files.iter().map(|file| check_there(storage, file)).collect();
    stream::iter(checking).buffer_unordered(CONCURRENCY).try_collect::<()>().await?;
    let file = record(root.generation);
    // If a request was repeated because its answer was lost, it finds the file that it created
    // itself.
    let is_ours = async || storage.get(&file).await.is_ok_and(|found| found == bytes);
    match storage.create(&file, bytes.clone()).await {
        Ok(true) => {}
        Ok(false) if is_ours().await => {}
        Ok(false) => {
            pause(attempt).await;
            return Ok(Published::Lost);
        }
        Err(_) if is_ours().await => {}
        Err(error) => return Err(error),
    }
    let shown = async {
        show(storage, root).await?;
        // A slower writer must not replace a newer root with its older one.
        let (newest, _) = roll_forward(storage, root.clone()).await?;
        if newest.generation == root.generation { Ok(()) } else { show(storage, &newest).await }
    };
    shown
        .await
        .map_err(|source: Error| Error::NotShown { generation: root.generation, source: Box::new(source) })?;
    Ok(Published::Committed)
}

async fn check_there(storage: &Storage, file: &str) -> Result<()> {
    if storage.exists(file).await? {
        return Ok(());
    }
    let reason = "it was written for this commit, and removed before it: was the store vacuumed meanwhile?";
    Err(Error::corrupt(file, reason))
}

/// Writes a root to `atlas.json`.
async fn show(storage: &Storage, root: &Root) -> Result<()> {
    let bytes = root.encode(None).map_err(|e| Error::internal(CATALOG_FILE, e.to_string()))?;
    storage.replace(CATALOG_FILE, Bytes::from(bytes)).await
}

/// Waits for a time that grows with the number of attempts, and differs between writers.
async fn pause(attempt: u32) {
    let most = Duration::from_millis(5).saturating_mul(1 << attempt.min(8)).min(MAX_PAUSE);
    let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX).max(1);
    let pause = Duration::from_micros(names::random() % most);
    #[cfg(feature = "tracing")]
    tracing::debug!(attempt, ?pause, "another writer has committed this generation: trying again");
    tokio::time::sleep(pause).await;
}
