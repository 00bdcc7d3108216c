//! Where the bytes of files are, and how files are fetched, unpacked or decompressed for reading.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::{NamedTempFile, TempDir, TempPath};

use crate::remote::RemoteFile;
use crate::temporary::Temporary;

/// The size that any compressed file may decompress to, whatever its own size.
const FLOOR: u64 = 4 << 30;
/// The largest ratio of decompressed to compressed size beyond [`FLOOR`].
const FACTOR: u64 = 1100;

/// A way to compress a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Bzip2,
    Zstd,
}

impl Compression {
    /// Endings of names, in lower case, and the compression that they denote.
    const ENDINGS: [(&str, Self); 4] =
        [(".gz", Self::Gzip), (".tgz", Self::Gzip), (".bz2", Self::Bzip2), (".zst", Self::Zstd)];

    /// The compression that the name of a file denotes.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        Self::ENDINGS
            .into_iter()
            .find(|(ending, _)| name.ends_with(ending))
            .map(|(_, compression)| compression)
    }

    /// A name without the ending that denotes compression.
    pub(crate) fn stripped(name: &str) -> &str {
        let lower = name.to_ascii_lowercase();
        let ending = Self::ENDINGS.iter().find(|(ending, _)| *ending != ".tgz" && lower.ends_with(ending));
        ending.map_or(name, |(ending, _)| name.get(..name.len() - ending.len()).unwrap_or(name))
    }

    fn reader<'a>(self, compressed: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(compressed)),
            Self::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(compressed)),
            Self::Zstd => Box::new(zstd::Decoder::new(compressed)?),
        })
    }
}

/// Where a file is.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// On this machine.
    File(PathBuf),
    /// In an archive, with the position among its entries.
    Member(Arc<Archive>, usize),
    /// In an object store, or on a web server.
    Remote(Arc<RemoteFile>),
    /// Another file, compressed.
    Compressed(Compression, Box<Self>, Temporary),
}

/// A file on this machine, which exists for the lifetime of this value.
pub(crate) struct LocalFile {
    path: PathBuf,
    /// Removes the file when dropped.
    _temporary: Option<TempPath>,
    _archive: Option<Arc<Archive>>,
}

impl LocalFile {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn at(path: PathBuf) -> Self {
        Self { path, _temporary: None, _archive: None }
    }

    fn temporary(path: TempPath) -> Self {
        Self { path: path.to_owned(), _temporary: Some(path), _archive: None }
    }
}

impl Origin {
    /// Makes the file available on this machine. During a fetch, `alive` is called from time to
    /// time, and returns whether to continue.
    ///
    /// # Errors
    /// The file cannot be fetched, unpacked or decompressed.
    pub(crate) fn open(&self, alive: &mut dyn FnMut() -> bool) -> Result<LocalFile, String> {
        match self {
            Self::File(path) => Ok(LocalFile::at(path.clone())),
            Self::Member(archive, place) => {
                let path = archive.member(*place)?;
                Ok(LocalFile { _archive: Some(Arc::clone(archive)), ..LocalFile::at(path) })
            }
            Self::Remote(remote) => remote.fetch(alive).map(LocalFile::temporary),
            Self::Compressed(compression, inner, temporary) => {
                let compressed = inner.open(alive)?;
                let out = temporary.file().map_err(|e| e.to_string())?;
                decompressed(*compression, compressed.path(), out, alive).map(LocalFile::temporary)
            }
        }
    }
}

fn decompressed(
    compression: Compression,
    path: &Path,
    mut out: NamedTempFile,
    alive: &mut dyn FnMut() -> bool,
) -> Result<TempPath, String> {
    let failed = |e: io::Error| format!("it cannot be decompressed: {e}");
    let file = File::open(path).map_err(|e| e.to_string())?;
    let size = file.metadata().map_err(|e| e.to_string())?.len();
    let most = FLOOR.max(size.saturating_mul(FACTOR));
    let mut reader = compression.reader(BufReader::new(file)).map_err(failed)?.take(most + 1);
    let mut written = 0;
    loop {
        let count = io::copy(&mut Read::by_ref(&mut reader).take(64 << 20), &mut out).map_err(failed)?;
        written += count;
        if written > most {
            return Err(format!(
                "it becomes more than {most} bytes once decompressed, which no NetCDF file does"
            ));
        }
        if count == 0 {
            return Ok(out.into_temp_path());
        }
        if !alive() {
            return Err("it is wanted no longer".to_owned());
        }
    }
}

/// A `tar` archive, which may be compressed. All its files are unpacked when the first one is read.
#[derive(Debug)]
pub(crate) struct Archive {
    path: PathBuf,
    compression: Option<Compression>,
    /// The directory of its files, each of which is named by its position in the archive.
    unpacked: Mutex<Option<TempDir>>,
    temporary: Temporary,
}

/// An entry of an archive.
type Entry<'a> = tar::Entry<'a, Box<dyn Read>>;

/// A file in an archive.
pub(crate) struct Member {
    /// Its position among all entries.
    pub place: usize,
    pub path: PathBuf,
    pub size: u64,
    /// In nanoseconds since 1970-01-01T00:00:00Z.
    pub modified: Option<i64>,
}

/// Endings of archives, in lower case.
const ARCHIVES: [&str; 5] = [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.zst"];

impl Archive {
    /// True if the name of a file denotes an archive that can be read.
    pub(crate) fn is_named(name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        ARCHIVES.iter().any(|ending| name.len() > ending.len() && name.ends_with(ending))
    }

    pub(crate) fn new(path: &Path, temporary: &Temporary) -> Self {
        let compression = Compression::of(&path.to_string_lossy());
        Self { path: path.to_owned(), compression, unpacked: Mutex::default(), temporary: temporary.clone() }
    }

    /// Calls `with` for each regular file in the archive, with its position among all entries.
    fn walk(&self, with: &mut dyn FnMut(usize, &mut Entry<'_>) -> io::Result<()>) -> Result<(), String> {
        let failed = |e: io::Error| format!("it cannot be read as a tar archive: {e}");
        let file = BufReader::new(File::open(&self.path).map_err(|e| e.to_string())?);
        let reader: Box<dyn Read> = match self.compression {
            Some(compression) => compression.reader(file).map_err(failed)?,
            None => Box::new(file),
        };
        let mut archive = tar::Archive::new(reader);
        for (place, entry) in archive.entries().map_err(failed)?.enumerate() {
            self.temporary.check().map_err(failed)?;
            let mut entry = entry.map_err(failed)?;
            if entry.header().entry_type().is_file() {
                with(place, &mut entry).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// The files in the archive.
    ///
    /// # Errors
    /// It is not an archive, or damaged.
    pub(crate) fn members(&self) -> Result<Vec<Member>, String> {
        let mut members = Vec::new();
        self.walk(&mut |place, entry| {
            let modified = entry.header().mtime().ok().and_then(|seconds| i64::try_from(seconds).ok());
            members.push(Member {
                place,
                path: entry.path()?.into_owned(),
                size: entry.size(),
                modified: modified.and_then(|seconds| seconds.checked_mul(1_000_000_000)),
            });
            Ok(())
        })?;
        Ok(members)
    }

    /// The path of a file. The first call unpacks all files.
    fn member(&self, place: usize) -> Result<PathBuf, String> {
        let mut unpacked = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(directory) = unpacked.as_ref() {
            return Ok(directory.path().join(place.to_string()));
        }
        let directory = self.temporary.directory().map_err(|e| e.to_string())?;
        self.walk(&mut |place, entry| {
            // The file is named by its position, so that no path in an archive can lead elsewhere.
            let mut out = self.temporary.create(&directory.path().join(place.to_string()))?;
            io::copy(entry, &mut out).map(drop)
        })?;
        let path = directory.path().join(place.to_string());
        *unpacked = Some(directory);
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(origin: &Origin) -> Result<Vec<u8>, String> {
        let local = origin.open(&mut || true)?;
        std::fs::read(local.path()).map_err(|e| e.to_string())
    }

    #[test]
    fn compressed_files_are_files_for_a_while() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.nc.gz");
        let mut encoder =
            flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
        encoder.write_all(b"hello").unwrap();
        encoder.finish().unwrap();
        let file = Box::new(Origin::File(path.clone()));
        let origin = Origin::Compressed(Compression::Gzip, file, Temporary::default());
        let local = origin.open(&mut || true).unwrap();
        let there = local.path().to_owned();
        assert_eq!(std::fs::read(&there).unwrap(), b"hello");
        drop(local);
        assert!(!there.exists());
        // A truncated archive, and a file that is not an archive.
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 6]).unwrap();
        assert!(read(&origin).unwrap_err().contains("cannot be decompressed"));
        std::fs::write(&path, b"CDF\x01").unwrap();
        assert!(read(&origin).is_err());
    }

    #[test]
    fn files_of_archives_are_unpacked_by_their_places() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.tar");
        let mut builder = tar::Builder::new(File::create(&path).unwrap());
        for (name, bytes) in [("a/x.nc", &b"one"[..]), ("b/x.nc", b"two")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mtime(7);
            header.set_cksum();
            builder.append_data(&mut header, name, bytes).unwrap();
        }
        builder.finish().unwrap();
        let archive = Arc::new(Archive::new(&path, &Temporary::default()));
        let members = archive.members().unwrap();
        assert_eq!(members[1].path, Path::new("b/x.nc"));
        assert_eq!((members[1].size, members[1].modified), (3, Some(7_000_000_000)));
        let origins = members.iter().map(|member| Origin::Member(Arc::clone(&archive), member.place));
        let read: Vec<_> = origins.map(|origin| read(&origin).unwrap()).collect();
        assert_eq!(read, [b"one", b"two"]);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..700]).unwrap();
        let damaged = Archive::new(&path, &Temporary::default());
        assert!(damaged.members().is_err() || damaged.member(0).is_err());
    }

    #[test]
    fn names_say_what_files_are() {
        assert_eq!(Compression::of("a.NC.GZ"), Some(Compression::Gzip));
        assert_eq!(Compression::of("a.nc"), None);
        assert_eq!(Compression::stripped("a.nc.gz"), "a.nc");
        assert_eq!(Compression::stripped("a.tgz"), "a.tgz");
        assert!(Archive::is_named("x/a.tar.gz") && Archive::is_named("a.TGZ") && !Archive::is_named(".tar"));
    }
}
