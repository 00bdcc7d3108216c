//! Files to which results are written. They are complete, or as they were before.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::{NamedTempFile, TempPath};

use crate::destination;
use crate::error::{Failure, Result};
use crate::output::Format;

/// A file to which results are written.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    path: PathBuf,
    /// The format of its ending, or the requested one.
    pub format: Option<Format>,
    /// Whether a result has been written to it.
    is_used: Arc<AtomicBool>,
}

impl Target {
    /// A file that the first result replaces or creates. Without a given format, it gets the format
    /// of its ending, or else the session's.
    pub(crate) fn new(path: &Path, format: Option<Format>, of_session: Format) -> Result<Self> {
        let failed = |e: io::Error| Failure::new(format!("{}: {e}", path.display()));
        destination::check_path(path)?;
        let format = format.or_else(|| Format::of_file(path));
        if format.is_none() && of_session == Format::Table {
            check_ending(path)?;
        }
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
        directory.unwrap_or(Path::new(".")).metadata().map_err(failed)?;
        if path.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        Ok(Self { path: path.to_owned(), format, is_used: Arc::default() })
    }

    /// Begins a result.
    pub(crate) fn begin(&self, format: Format) -> Result<TargetFile> {
        let is_used = self.is_used.load(Ordering::Relaxed);
        if is_used && format.is_of_one_result() {
            return Err(Failure::new(format!(
                "{} has a result, and a file of this format has one: \\o or \\once name another file",
                self.path.display()
            )));
        }
        let file = if is_used { WholeFile::append(&self.path) } else { WholeFile::replace(&self.path) };
        Ok(TargetFile { file: file.map_err(|e| self.failed(e))?, target: self.clone() })
    }

    fn failed(&self, error: io::Error) -> Failure {
        Failure::new(format!("{}: {error}", self.path.display()))
    }
}

/// Rejects an ending that belongs to no format of results.
fn check_ending(path: &Path) -> Result<()> {
    let Some(ending) = path.extension() else { return Ok(()) };
    let path = path.display();
    if ending.eq_ignore_ascii_case("nc") {
        return Err(Failure::new(format!(
            "{path} would not be a NetCDF file: COPY (SELECT …) TO '{path}' writes one"
        )));
    }
    Err(Failure::new(format!(
        "no format has the ending of {path}: there are .csv, .tsv, .json, .ndjson, .md, .parquet, .arrow and \
         .txt; or choose a format with --format or \\format"
    )))
}

/// The file of a [`Target`], while a result is written.
pub(crate) struct TargetFile {
    file: WholeFile,
    target: Target,
}

impl TargetFile {
    /// Keeps the result.
    pub(crate) fn finish(self) -> Result<()> {
        let target = self.target;
        self.file.finish().map_err(|e| target.failed(e))?;
        target.is_used.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl Write for TargetFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.file.write(bytes)?;
        self.file.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.file.flush()
    }
}

/// A file that is written as a whole: without [`finish`](Self::finish), it stays as it was.
struct WholeFile {
    file: File,
    /// The number of bytes that were written.
    written: u64,
    undo: Undo,
}

/// How to leave a file as it was, until it is finished.
enum Undo {
    /// The bytes are in another file, which is deleted unless it takes the place of this one.
    Rename { part: TempPath, path: PathBuf },
    /// The bytes are in another file. They are copied, because this file must keep its identity: its
    /// owner, or its other names.
    Copy { part: TempPath, into: File },
    /// The file had this length. It keeps what others have appended meanwhile.
    Truncate(u64),
    /// The bytes went to a pipe or the like.
    Nothing,
}

impl WholeFile {
    fn replace(path: &Path) -> io::Result<Self> {
        // Open files of this process, such as /dev/stdout. Others write to them too.
        if ["/dev", "/proc"].iter().any(|root| path.starts_with(root)) {
            let file = OpenOptions::new().append(true).open(path)?;
            return Ok(Self { file, written: 0, undo: Undo::Nothing });
        }
        // The file of a link is replaced, and not the link.
        let path = destination::resolve(path);
        // Only a file that could be written may be replaced.
        let existing = match OpenOptions::new().write(true).open(&path) {
            Ok(file) => Some((file.metadata()?, file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
        let (part, into) = match existing {
            Some((known, file)) if !known.is_file() => {
                return Ok(Self { file, written: 0, undo: Undo::Nothing });
            }
            None => (part_in(&directory)?, None),
            Some((known, file)) => match part_in(&directory) {
                Ok(part) if is_replaceable(&known, &part.as_file().metadata()?) => {
                    part.as_file().set_permissions(known.permissions())?;
                    (part, None)
                }
                Ok(part) => (part, Some(file)),
                Err(_) => (part_in(&std::env::temp_dir())?, Some(file)),
            },
        };
        let (file, part) = part.into_parts();
        let undo = match into {
            Some(into) => Undo::Copy { part, into },
            None => Undo::Rename { part, path },
        };
        Ok(Self { file, written: 0, undo })
    }

    fn append(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).open(path)?;
        let known = file.metadata()?;
        let undo = if known.is_file() { Undo::Truncate(known.len()) } else { Undo::Nothing };
        Ok(Self { file, written: 0, undo })
    }

    fn finish(mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.undo, Undo::Nothing) {
            Undo::Rename { part, path } => match part.persist(&path) {
                Ok(()) => Ok(()),
                // Such as a file that is mounted by itself.
                Err(failed) => {
                    let into = OpenOptions::new().write(true).open(&path).map_err(|_| failed.error)?;
                    copy(&failed.path, into)
                }
            },
            Undo::Copy { part, into } => copy(&part, into),
            Undo::Truncate(_) | Undo::Nothing => Ok(()),
        }
    }
}

/// A new file that is deleted unless it is kept.
fn part_in(directory: &Path) -> io::Result<NamedTempFile> {
    let mut part = tempfile::Builder::new();
    part.prefix(".atlas-").suffix(".part");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Less what the process masks.
        part.permissions(std::fs::Permissions::from_mode(0o666));
    }
    part.tempfile_in(directory)
}

/// True if a file can take the place of another one, so that nobody notices: it has the same owner,
/// and the other one has no other name.
#[cfg(unix)]
fn is_replaceable(known: &Metadata, part: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    known.nlink() == 1 && (known.uid(), known.gid()) == (part.uid(), part.gid())
}

#[cfg(not(unix))]
fn is_replaceable(_known: &Metadata, _part: &Metadata) -> bool {
    true
}

/// Replaces the content of a file.
fn copy(from: &Path, mut to: File) -> io::Result<()> {
    let mut from = File::open(from)?;
    to.set_len(0)?;
    io::copy(&mut from, &mut to).map(drop)
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if let Undo::Truncate(length) = self.undo {
            let is_last = self.file.metadata().is_ok_and(|known| known.len() == length + self.written);
            if is_last {
                // If this fails, nobody can be told: the error that led here is being reported.
                let _ = self.file.set_len(length);
            }
        }
    }
}

/// Replaces a file with bytes.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut whole = WholeFile::replace(path)?;
    whole.file.write_all(bytes)?;
    whole.finish()
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_replaced_file_keeps_what_others_know_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let read = |name: &str| std::fs::read_to_string(path(name)).unwrap();
        std::fs::write(path("plain"), "old").unwrap();
        std::fs::set_permissions(path("plain"), std::fs::Permissions::from_mode(0o640)).unwrap();
        std::fs::write(path("twice"), "a longer old text").unwrap();
        std::fs::hard_link(path("twice"), path("other name")).unwrap();
        symlink("new", path("dangling")).unwrap();
        symlink("plain", path("link")).unwrap();
        for name in ["plain", "twice", "dangling", "link"] {
            write_whole(&path(name), name.as_bytes()).unwrap();
            assert_eq!(read(name), name);
        }
        assert_eq!((read("plain").as_str(), read("other name").as_str()), ("link", "twice"));
        assert_eq!(read("new"), "dangling");
        assert!(path("dangling").is_symlink() && path("link").is_symlink());
        assert_eq!(path("plain").metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(path("twice").metadata().unwrap().nlink(), 2);
        // An abandoned file leaves nothing, whatever was begun beside it.
        let (first, second) = (WholeFile::replace(&path("plain")), WholeFile::replace(&path("plain")));
        let mut second = second.unwrap();
        second.file.write_all(b"second").unwrap();
        drop(first);
        second.finish().unwrap();
        assert_eq!(read("plain"), "second");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 6);
    }

    #[test]
    fn an_abandoned_append_keeps_what_others_appended() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, "1").unwrap();
        for (by_others, expected) in [("", "1"), ("3", "123")] {
            let mut whole = WholeFile::append(&path).unwrap();
            whole.file.write_all(b"2").unwrap();
            whole.written = 1;
            OpenOptions::new().append(true).open(&path).unwrap().write_all(by_others.as_bytes()).unwrap();
            drop(whole);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        }
    }
}
