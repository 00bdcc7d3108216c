//! Files in object stores and on web servers.

use std::fmt;
use std::io::{Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use atlas::Storage;
use futures::StreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt};
use tempfile::{NamedTempFile, TempPath};
use tokio::runtime::Handle;

use crate::source::Source;
use crate::temporary::Temporary;

/// The number of bytes of each request.
const PART: u64 = 8 * 1024 * 1024;

/// The number of consecutive attempts without data before a download fails. Each pause is three
/// times as long as the one before.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// True for the URL of something that is not on this machine.
pub(crate) fn is_url(path: &std::path::Path) -> bool {
    let scheme = path.to_str().and_then(|text| text.split_once("://")).map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| {
        scheme.len() > 1 && scheme.chars().all(|c| c.is_ascii_alphanumeric()) && scheme != "file"
    })
}

/// A file in an object store.
pub(crate) struct RemoteFile {
    objects: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
    tag: Option<String>,
    temporary: Temporary,
    runtime: Handle,
}

impl fmt::Debug for RemoteFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteFile({}/{})", self.objects, self.path)
    }
}

/// The location that a URL names.
pub(crate) struct Listing {
    storage: Storage,
    /// The URL without its path.
    root: String,
    temporary: Temporary,
    runtime: Handle,
}

impl Listing {
    /// The location of a URL. It is listed, and its files are read, on the runtime of this thread.
    ///
    /// # Errors
    /// The URL cannot be used.
    pub(crate) fn of(url: &str, temporary: &Temporary) -> Result<Self, String> {
        let storage = Storage::at(url).map_err(|e| e.to_string())?;
        let root = storage.root().as_str().trim_end_matches('/').to_owned();
        Ok(Self { storage, root, temporary: temporary.clone(), runtime: Handle::current() })
    }

    /// The URL of an object.
    fn url(&self, path: &Path) -> PathBuf {
        PathBuf::from(format!("{}/{path}", self.root))
    }

    /// The file at the URL itself; `None` if there is none.
    pub(crate) fn file(&self) -> Result<Option<(PathBuf, Source, RemoteFile)>, String> {
        let found = self.runtime.block_on(self.storage.objects().head(self.storage.prefix()));
        match found {
            Ok(meta) => Ok(Some(self.found(meta))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// All files below the URL, in the order of their paths.
    pub(crate) fn below(&self) -> Result<Vec<(PathBuf, Source, RemoteFile)>, String> {
        let listing = async {
            let mut listed = self.storage.objects().list(Some(self.storage.prefix()));
            let mut found = Vec::new();
            while let Some(meta) = listed.next().await {
                found.push(meta.map_err(|e| e.to_string())?);
            }
            found.sort_by(|a: &ObjectMeta, b| a.location.cmp(&b.location));
            Ok::<_, String>(found)
        };
        let found = self.runtime.block_on(listing)?;
        Ok(found.into_iter().map(|meta| self.found(meta)).collect())
    }

    fn found(&self, meta: ObjectMeta) -> (PathBuf, Source, RemoteFile) {
        let url = self.url(&meta.location);
        // For servers that do not report the modification time, it is the smallest instant.
        let modified = meta.last_modified.timestamp_nanos_opt().filter(|&nanoseconds| nanoseconds > 0);
        let location = url.to_string_lossy().into_owned();
        let source = Source { location, size: meta.size, modified, checksum: None };
        let remote = RemoteFile {
            objects: Arc::clone(self.storage.objects()),
            path: meta.location,
            size: meta.size,
            tag: meta.e_tag,
            temporary: self.temporary.clone(),
            runtime: self.runtime.clone(),
        };
        (url, source, remote)
    }
}

impl RemoteFile {
    /// Downloads the file in parts. After a connection breaks off, the download continues after the
    /// bytes that have arrived.
    pub(crate) fn fetch(&self, alive: &mut dyn FnMut() -> bool) -> Result<TempPath, String> {
        let mut out = self.temporary.file().map_err(|e| e.to_string())?;
        let (mut position, mut in_parts) = (0, true);
        // Consecutive attempts that delivered no bytes.
        let mut failures = 0;
        while position < self.size {
            let begun = position;
            let end = if in_parts { self.size.min(position + PART) } else { self.size };
            let part = position..end;
            match self.runtime.block_on(self.part(part, in_parts, &mut position, &mut out, alive)) {
                Ok(()) => failures = 0,
                Err(Failed::NoParts) => (in_parts, position) = (false, 0),
                Err(Failed::ForGood(reason)) => return Err(reason),
                Err(Failed::ForNow(reason)) => {
                    // Without ranges, each attempt starts from the beginning.
                    failures = if in_parts && position > begun { 0 } else { failures + 1 };
                    if failures == ATTEMPTS {
                        return Err(format!("it broke off {ATTEMPTS} times: {reason}"));
                    }
                    if !in_parts {
                        position = 0;
                    }
                    std::thread::sleep(PAUSE * 3u32.pow(failures));
                }
            }
        }
        out.flush().map_err(|e| e.to_string())?;
        Ok(out.into_temp_path())
    }

    /// Downloads a part, or the whole file if the server does not support ranges. Advances
    /// `position` by the bytes that arrive.
    async fn part(
        &self,
        part: Range<u64>,
        in_parts: bool,
        position: &mut u64,
        out: &mut NamedTempFile,
        alive: &mut dyn FnMut() -> bool,
    ) -> Result<(), Failed> {
        let options = GetOptions {
            if_match: self.tag.clone(),
            range: in_parts.then(|| GetRange::Bounded(part.clone())),
            ..GetOptions::default()
        };
        let changed = || Failed::ForGood("it was changed while it was read".to_owned());
        let result = match self.objects.get_opts(&self.path, options).await {
            Ok(result) => result,
            Err(object_store::Error::Precondition { .. }) => return Err(changed()),
            Err(object_store::Error::NotSupported { .. } | object_store::Error::NotImplemented { .. })
                if in_parts =>
            {
                return Err(Failed::NoParts);
            }
            Err(error @ object_store::Error::NotFound { .. }) => {
                return Err(Failed::ForGood(error.to_string()));
            }
            Err(error) => return Err(Failed::ForNow(error.to_string())),
        };
        if result.meta.size != self.size {
            return Err(changed());
        }
        out.as_file_mut().seek(SeekFrom::Start(part.start)).map_err(written)?;
        let mut bytes = result.into_stream();
        while let Some(piece) = bytes.next().await {
            let piece = piece.map_err(|e| Failed::ForNow(e.to_string()))?;
            if piece.len() as u64 > part.end - *position {
                return Err(Failed::ForGood("there came more than was asked for".to_owned()));
            }
            out.write_all(&piece).map_err(written)?;
            *position += piece.len() as u64;
            if !alive() {
                return Err(Failed::ForGood("it is wanted no longer".to_owned()));
            }
        }
        match part.end - *position {
            0 => Ok(()),
            left => Err(Failed::ForNow(format!("{left} bytes did not come"))),
        }
    }
}

/// Why a part did not arrive.
enum Failed {
    /// Another attempt may succeed.
    ForNow(String),
    ForGood(String),
    /// The server only returns whole files.
    NoParts,
}

fn written(error: std::io::Error) -> Failed {
    Failed::ForGood(format!("it cannot be kept while it is read: {error}"))
}
