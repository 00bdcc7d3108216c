//! Files to which results are written. They are complete, or as they were before.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
        self.file.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.file.flush()
    }
}

/// A file that is written as a whole: without [`finish`](Self::finish), it stays as it was.
struct WholeFile {
    file: File,
    undo: Undo,
}

/// How to leave a file as it was.
enum Undo {
    /// The bytes are in another file, which is to get the name.
    Remove { part: PathBuf, path: PathBuf },
    /// The file had this length.
    Truncate(u64),
    /// The bytes went to a pipe or the like.
    Nothing,
}

impl WholeFile {
    fn replace(path: &Path) -> io::Result<Self> {
        // The file of a link is replaced, and not the link.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let known = path.metadata().ok();
        if known.as_ref().is_some_and(|known| !known.is_file()) {
            return Ok(Self { file: OpenOptions::new().write(true).open(&path)?, undo: Undo::Nothing });
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let part = path.with_file_name(name);
        let file = File::create(&part)?;
        let whole = Self { file, undo: Undo::Remove { part, path } };
        if let Some(known) = known {
            whole.file.set_permissions(known.permissions())?;
        }
        Ok(whole)
    }

    fn append(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).open(path)?;
        let known = file.metadata()?;
        let undo = if known.is_file() { Undo::Truncate(known.len()) } else { Undo::Nothing };
        Ok(Self { file, undo })
    }

    fn finish(mut self) -> io::Result<()> {
        if let Undo::Remove { part, path } = &self.undo {
            std::fs::rename(part, path)?;
        }
        self.undo = Undo::Nothing;
        Ok(())
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        // If this fails, nobody can be told: the error that led here is being reported.
        let _ = match &self.undo {
            Undo::Remove { part, .. } => std::fs::remove_file(part),
            Undo::Truncate(length) => self.file.set_len(*length),
            Undo::Nothing => Ok(()),
        };
    }
}

/// Replaces a file with bytes.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut whole = WholeFile::replace(path)?;
    whole.file.write_all(bytes)?;
    whole.finish()
}
