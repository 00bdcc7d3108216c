//! Making files survive a loss of power.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, Result};

use crate::storage::exclusive::{self, WAYS, Way};

/// The number of files that are synced at a time. A file system makes files durable together if
/// their syncs come together.
const SYNCS: usize = 32;

/// How written objects are made to survive a loss of power. Object stores in the cloud need
/// nothing: objects that they have accepted are durable. A file system guarantees nothing before a
/// sync.
#[async_trait]
pub trait Durability: Send + Sync + 'static {
    /// Makes objects under `prefix`, and their names, durable.
    async fn sync(&self, prefix: &Path, objects: Vec<Path>) -> Result<()>;

    /// Gives the complete object `from` the name `to`, which must not be taken. If two calls use
    /// one name at the same time, one fails with [`Error::AlreadyExists`]. `from` may be gone
    /// afterwards.
    #[doc(hidden)]
    async fn publish(&self, objects: &dyn ObjectStore, from: &Path, to: &Path) -> Result<()> {
        objects.copy_if_not_exists(from, to).await
    }

    /// The kind of an object that exists and is not a file, with its article.
    #[doc(hidden)]
    fn kind(&self, _object: &Path) -> Option<&'static str> {
        None
    }

    /// Objects that were begun and never completed. Listings do not show them.
    #[doc(hidden)]
    async fn staged(&self, _prefix: &Path) -> Result<Vec<Staged>> {
        Ok(Vec::new())
    }

    /// Removes such an object, by its path under `prefix`.
    #[doc(hidden)]
    async fn remove_staged(&self, _prefix: &Path, _path: &str) -> Result<()> {
        Ok(())
    }
}

/// An object that was begun and never completed.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// Its path under the prefix.
    pub path: String,
    /// Its current size in bytes.
    pub size: u64,
    /// When it was last written.
    pub modified: DateTime<Utc>,
}

/// The local file system, as [`object_store::local::LocalFileSystem`] uses it.
pub(crate) struct Disk {
    objects: Arc<LocalFileSystem>,
    ways: &'static [Way],
}

impl Disk {
    pub(crate) fn new(objects: Arc<LocalFileSystem>) -> Self {
        Self { objects, ways: WAYS }
    }

    /// A disk on which files are created exclusively in the given ways.
    #[cfg(test)]
    pub(super) fn with_ways(objects: Arc<LocalFileSystem>, ways: &'static [Way]) -> Self {
        Self { objects, ways }
    }

    /// The directory of a prefix.
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
        let mut files = Vec::with_capacity(objects.len());
        let mut directories = BTreeSet::new();
        for object in &objects {
            let file = self.objects.path_to_filesystem(object)?;
            // The store's own directory may be new; its name is then new in the directory above.
            let above = prefix.parent().unwrap_or(&prefix);
            let around = file.ancestors().skip(1).take_while(|path| path.starts_with(above));
            directories.extend(around.map(PathBuf::from));
            files.push(file);
        }
        let access = Access::of(&prefix);
        let files = files.into_iter().map(|file| blocking(move || sync_file(&file, access)));
        stream::iter(files).buffer_unordered(SYNCS).try_collect::<()>().await?;
        let directories = directories.into_iter().map(|directory| {
            let access = access.filter(|_| directory.starts_with(&prefix) && directory != prefix);
            blocking(move || sync_directory(&directory, access))
        });
        stream::iter(directories).buffer_unordered(SYNCS).try_collect().await
    }

    async fn publish(&self, _: &dyn ObjectStore, from: &Path, to: &Path) -> Result<()> {
        let (from, to) = (self.objects.path_to_filesystem(from)?, self.objects.path_to_filesystem(to)?);
        let ways = self.ways;
        blocking(move || exclusive::publish(ways, &from, &to)).await
    }

    fn kind(&self, object: &Path) -> Option<&'static str> {
        let file = self.objects.path_to_filesystem(object).ok()?;
        kind(&file.metadata().ok()?, true)
    }

    async fn staged(&self, prefix: &Path) -> Result<Vec<Staged>> {
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
fn collect_staged(root: &FilePath, directory: &FilePath, staged: &mut Vec<Staged>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        // A file that disappears during the listing is not a leftover.
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
        staged.push(Staged { path: relative, size: metadata.len(), modified: metadata.modified()?.into() });
    }
    Ok(())
}

/// The kind, with its article, of something that is not the expected file or directory.
pub(crate) fn kind(found: &Metadata, file: bool) -> Option<&'static str> {
    let found = found.file_type();
    if found.is_file() {
        return (!file).then_some("a file");
    }
    if found.is_dir() {
        return file.then_some("a directory");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if found.is_fifo() {
            return Some("a pipe");
        }
        if found.is_socket() {
            return Some("a socket");
        }
    }
    Some("a device")
}

/// The access rights to a store's directory, and so to its files: a group that shares a store
/// cannot rely on the umask of each member.
#[derive(Clone, Copy, Debug)]
struct Access {
    #[cfg(unix)]
    mode: u32,
    #[cfg(unix)]
    group: u32,
}

impl Access {
    fn of(directory: &FilePath) -> Option<Self> {
        let found = directory.metadata().ok()?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            Some(Self { mode: found.mode() & 0o7777, group: found.gid() })
        }
        #[cfg(not(unix))]
        {
            let _ = found;
            Some(Self {})
        }
    }

    /// Gives a file or a directory these access rights, if this process owns it.
    #[cfg(unix)]
    fn give(self, path: &FilePath, found: &Metadata) {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
        // A file does not need a directory's right to search it, or the bits that its files
        // inherit.
        let mode = if found.is_dir() { self.mode } else { self.mode & 0o666 };
        // Failures are ignored: only the owner can change group and mode, and has done so before.
        if found.gid() != self.group {
            let _ = chown(path, None, Some(self.group));
        }
        if found.mode() & 0o7777 != mode {
            let _ = fs::set_permissions(path, fs::Permissions::from_mode(mode));
        }
    }

    #[cfg(not(unix))]
    fn give(self, _path: &FilePath, _found: &Metadata) {}
}

fn sync_file(path: &FilePath, access: Option<Access>) -> io::Result<()> {
    let file = File::open(path)?;
    if let Some(access) = access {
        access.give(path, &file.metadata()?);
    }
    file.sync_all()
}

#[cfg(unix)]
fn sync_directory(path: &FilePath, access: Option<Access>) -> io::Result<()> {
    sync_file(path, access)
}

/// On other platforms a directory cannot be opened for syncing.
#[cfg(not(unix))]
fn sync_directory(_: &FilePath, _: Option<Access>) -> io::Result<()> {
    Ok(())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(match error.kind() {
            io::ErrorKind::NotFound => {
                Error::NotFound { path: "the store's directory".to_owned(), source: error.into() }
            }
            io::ErrorKind::AlreadyExists => {
                Error::AlreadyExists { path: "a file".to_owned(), source: error.into() }
            }
            io::ErrorKind::Unsupported => Error::NotSupported { source: error.into() },
            _ => Error::Generic { store: "disk", source: error.into() },
        }),
        Err(source) => Err(Error::JoinError { source }),
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::store::{Atlas, StoreConfig};

    async fn write(atlas: &Atlas, dataset: &str, arrays: &[&str]) {
        let dataset = atlas.create_dataset(dataset).await.unwrap();
        for array in arrays {
            dataset.define_array::<i32>(array, &["x"], &[2], None, None).unwrap();
            let values = ndarray::arr1(&[1, 2]).into_dyn();
            dataset.write_array(array, &[0], values.view()).await.unwrap();
        }
        atlas.flush().await.unwrap();
    }

    fn modes(directory: &FilePath) -> BTreeSet<(bool, u32)> {
        let mut modes = BTreeSet::new();
        for entry in fs::read_dir(directory).unwrap() {
            let (path, found) = {
                let entry = entry.unwrap();
                (entry.path(), entry.metadata().unwrap())
            };
            modes.insert((found.is_dir(), found.permissions().mode() & 0o7777));
            if found.is_dir() {
                modes.extend(self::modes(&path));
            }
        }
        modes
    }

    #[tokio::test]
    async fn what_is_written_can_be_used_by_whom_the_directory_is_for() {
        for mode in [0o2775, 0o775, 0o700, 0o2770] {
            let directory = tempfile::tempdir().unwrap();
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
            let atlas = Atlas::create_path(directory.path(), StoreConfig::default()).await.unwrap();
            write(&atlas, "a", &["t", "s"]).await;
            write(&atlas, "b", &["t", "new"]).await;
            atlas.compact(None).await.unwrap();
            atlas.vacuum(std::time::Duration::ZERO).await.unwrap();
            assert_eq!(modes(directory.path()), [(false, mode & 0o666), (true, mode)].into());
        }
    }

    /// Each sync takes a while, and the syncs of a commit of many variables overlap. The test uses
    /// pipes, which can be opened only once the other end is opened.
    #[tokio::test]
    async fn many_files_are_synced_at_one_time() {
        use std::os::unix::fs::OpenOptionsExt;
        const PIPES: usize = 8;
        let directory = tempfile::tempdir().unwrap();
        let objects = Arc::new(LocalFileSystem::new());
        let prefix = Path::from_absolute_path(directory.path().canonicalize().unwrap()).unwrap();
        let pipes: Vec<_> = (0..PIPES).map(|number| format!("{number}.af")).collect();
        for pipe in &pipes {
            let path = directory.path().join(pipe);
            assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
        }
        let files = pipes.iter().map(|pipe| prefix.clone().join(pipe.as_str())).collect();
        let syncing = tokio::spawn(async move { Disk::new(objects).sync(&prefix, files).await });
        // Open the last pipe first: its sync is already under way while the others still wait.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let mut open = Vec::new();
        for pipe in pipes.iter().rev() {
            let path = directory.path().join(pipe);
            let begun = std::time::Instant::now();
            let opened = loop {
                let opened = fs::OpenOptions::new().write(true).custom_flags(flags).open(&path);
                if opened.is_ok() || begun.elapsed().as_secs() > 5 {
                    break opened;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            };
            if opened.is_err() {
                // This end keeps the test from waiting forever.
                let _other =
                    fs::OpenOptions::new().read(true).write(true).open(directory.path().join(&pipes[0]));
                panic!("{pipe} waits for those before it: {opened:?}");
            }
            open.push(opened);
        }
        // A pipe cannot be synced.
        assert!(syncing.await.unwrap().is_err());
    }

    /// Nothing waits for a pipe: it may never get a writer.
    #[tokio::test]
    async fn what_is_no_file_is_said_to_be_what_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let pipe = |path: &FilePath| {
            let _ = fs::remove_file(path);
            assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
        };
        let atlas = Atlas::create_path(&path, StoreConfig::default()).await.unwrap();
        write(&atlas, "a", &["t"]).await;

        let segment = fs::read_dir(path.join("t")).unwrap().next().unwrap().unwrap().path();
        pipe(&segment);
        let dataset = Atlas::open_path(&path).await.unwrap().open_dataset("a").await.unwrap();
        let error = dataset.read_array::<i32>("t", &[0], &[2]).await.unwrap_err().to_string();
        assert!(error.contains("t/data.") && error.contains("it is a pipe, not a file"), "{error}");
        pipe(&path.join("_commits/00000000000000000002.json"));
        assert!(atlas.refresh().await.unwrap_err().to_string().contains("pipe"));
        assert!(atlas.verify().await.unwrap().problems.iter().any(|problem| problem.contains("pipe")));

        let catalog = path.join("atlas.json");
        let opened = async || Atlas::open_path(&path).await.err().unwrap().to_string();
        pipe(&catalog);
        assert_eq!(opened().await, "atlas.json is damaged: it is a pipe, not a file");
        let created = Atlas::create_path(&path, StoreConfig::default()).await.err().unwrap();
        assert_eq!(created.to_string(), "atlas.json is damaged: it is a pipe, not a file");
        fs::remove_file(&catalog).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &catalog).unwrap();
        assert_eq!(opened().await, "atlas.json is damaged: it is a device, not a file");
        fs::remove_file(&catalog).unwrap();
        fs::create_dir(&catalog).unwrap();
        assert_eq!(opened().await, "atlas.json is damaged: it is a directory, not a file");
        fs::remove_dir(&catalog).unwrap();
        fs::write(&catalog, "").unwrap();
        assert_eq!(opened().await, "atlas.json is damaged: it is empty");

        let no_directory = directory.path().join("pipe");
        pipe(&no_directory);
        let error = Atlas::open_path(&no_directory).await.err().unwrap().to_string();
        assert!(error.ends_with("it is a pipe, not a directory"), "{error}");
        let error = Atlas::open_path(no_directory.join("store")).await.err().unwrap().to_string();
        assert!(error.ends_with("/pipe is a pipe, not a directory"), "{error}");
    }
}
