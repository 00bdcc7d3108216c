//! What survives when the power fails.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, Result};

use crate::storage::StoredFile;

/// How objects that were written are made to survive. Object stores in the cloud need none of it: what they have taken
/// is safe. A file system has promised nothing before it was told to sync.
#[async_trait]
pub trait Durability: Send + Sync + 'static {
    /// Makes objects under `prefix`, and their names, durable.
    async fn sync(&self, prefix: &Path, objects: Vec<Path>) -> Result<()>;

    /// Objects that were begun and never completed, which no listing shows.
    #[doc(hidden)]
    async fn staged(&self, _prefix: &Path) -> Result<Vec<StoredFile>> {
        Ok(Vec::new())
    }

    /// Removes one of those, by its path under `prefix`.
    #[doc(hidden)]
    async fn remove_staged(&self, _prefix: &Path, _path: &str) -> Result<()> {
        Ok(())
    }
}

/// The local file system, as [`object_store::local::LocalFileSystem`] uses it.
pub(crate) struct Disk {
    objects: Arc<LocalFileSystem>,
}

impl Disk {
    pub(crate) fn new(objects: Arc<LocalFileSystem>) -> Self {
        Self { objects }
    }

    /// The directory that a prefix is.
    fn directory(&self, prefix: &Path) -> Result<PathBuf> {
        let mut inside = self.objects.path_to_filesystem(&prefix.clone().join("inside"))?;
        inside.pop();
        Ok(inside)
    }
}

#[async_trait]
impl Durability for Disk {
    async fn sync(&self, prefix: &Path, objects: Vec<Path>) -> Result<()> {
        let prefix = self.directory(prefix)?;
        let files: Vec<_> =
            objects.iter().map(|object| self.objects.path_to_filesystem(object)).collect::<Result<_>>()?;
        blocking(move || {
            let mut directories = BTreeSet::new();
            for file in &files {
                File::open(file)?.sync_all()?;
                // The store's own directory may be new, and so its name in the one above.
                let above = prefix.parent().unwrap_or(&prefix);
                directories.extend(
                    file.ancestors().skip(1).take_while(|path| path.starts_with(above)).map(PathBuf::from),
                );
            }
            directories.iter().try_for_each(|directory| sync_directory(directory))
        })
        .await
    }

    async fn staged(&self, prefix: &Path) -> Result<Vec<StoredFile>> {
        let prefix = self.directory(prefix)?;
        blocking(move || {
            let mut staged = Vec::new();
            collect_staged(&prefix, &prefix, &mut staged)?;
            Ok(staged)
        })
        .await
    }

    async fn remove_staged(&self, prefix: &Path, path: &str) -> Result<()> {
        let file = self.directory(prefix)?.join(path);
        blocking(move || fs::remove_file(file)).await
    }
}

/// Files whose names end in `#` and digits, in a store's directory and in those of its variables.
fn collect_staged(root: &FilePath, directory: &FilePath, staged: &mut Vec<StoredFile>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        // What goes away while we look is not left over.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() && directory == root {
            collect_staged(root, &path, staged)?;
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        let suffix = name.rsplit_once('#').map(|(_, suffix)| suffix).unwrap_or_default();
        if suffix.is_empty() || !suffix.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        staged.push(StoredFile {
            location: Path::default(),
            path: relative,
            size: metadata.len(),
            modified: metadata.modified()?.into(),
        });
    }
    Ok(())
}

#[cfg(unix)]
fn sync_directory(directory: &FilePath) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Elsewhere a directory cannot be opened to be synced.
#[cfg(not(unix))]
fn sync_directory(_: &FilePath) -> io::Result<()> {
    Ok(())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Generic { store: "disk", source };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            Err(Error::NotFound { path: "the store's directory".to_owned(), source: error.into() })
        }
        Ok(Err(error)) => Err(failed(error.into())),
        Err(error) => Err(failed(error.into())),
    }
}
