//! Imports NetCDF files into an [Atlas store](atlas), by the CF conventions.
//!
//! Each file becomes one dataset, and each run is one commit. Classic and NetCDF-4 files can be
//! read. The [CF conventions](https://cfconventions.org/) define the meaning of their values: see
//! [`cf`].
//!
//! ```no_run
//! # async fn example() -> Result<(), atlas_import::Error> {
//! use atlas::{Atlas, StoreConfig};
//! use atlas_import::{ImportOptions, import};
//!
//! let atlas = Atlas::create_path("argo", StoreConfig::default()).await?;
//! let report = import(&atlas, &["profiles".into()], &ImportOptions::default(), &|_| {}).await?;
//! println!("{} datasets, {} files skipped", report.imported, report.skipped.len());
//! # Ok(())
//! # }
//! ```

pub mod cf;
mod differ;
mod encoding;
mod error;
pub mod export;
mod files;
mod fill;
mod join;
mod kept;
mod names;
mod netcdf;
mod note;
mod notice;
mod numbers;
mod origin;
mod paths;
mod piece;
mod plan;
mod reader;
mod remote;
mod repeated;
mod run;
mod source;
mod temporary;
mod text;
mod thread;
mod time;
mod valid;

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use atlas::{Atlas, CacheBudget};

pub use error::Error;
pub use files::NameFrom;
pub use join::{Concat, DatasetFrom, Joined};
pub use notice::{Notice, NoticeClass, NoticeSummary, Notices};
pub use plan::Existing;
use run::Run;
pub use source::Source;
pub use time::CalendarPolicy;

/// Options of an import.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// How datasets are named.
    pub name_from: NameFrom,
    /// What to do with files whose datasets the store already has.
    pub existing: Existing,
    /// Joins files along a dimension, instead of making one dataset of each file.
    pub concat: Option<Concat>,
    /// Detects changed files by the checksum of their bytes, instead of by size and modification
    /// time.
    pub checksum: bool,
    /// Only reports what an import would do.
    pub dry_run: bool,
    /// Commits after each batch of this many datasets, and not only at the end. An interrupted
    /// import keeps the batches that it committed, and need not repeat them.
    pub commit_every: Option<NonZeroUsize>,
    /// Skips files that cannot be read, and lists them in the report.
    pub skip_errors: bool,
    /// Rejects files that can only be read in part. By default, the import leaves out the
    /// unreadable part and reports it.
    pub strict: bool,
    /// The longest time that reading the next values of a file may take. A file that takes longer
    /// fails, and is not read any further.
    pub stall_limit: Duration,
    /// The number of files that are read concurrently.
    pub jobs: usize,
    /// Chunk sizes by dimension; [`atlas::default_chunk`] chooses the others.
    pub chunk: HashMap<String, usize>,
    /// What to do with times in calendars whose dates differ from those of timestamps.
    pub calendar: CalendarPolicy,
    /// What to do with cells that contain NetCDF's default fill value, if the variable has no
    /// `_FillValue`.
    pub default_fill: MaskPolicy,
    /// What to do with cells outside `valid_min`, `valid_max` or `valid_range`. Such cells are
    /// counted in either case.
    pub valid_range: MaskPolicy,
}

/// What to do with cells that may not be values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskPolicy {
    /// Keep them as values.
    Keep,
    /// Make them missing.
    Mask,
}

impl fmt::Display for MaskPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keep => "keep",
            Self::Mask => "mask",
        })
    }
}

impl FromStr for MaskPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "keep" => Ok(Self::Keep),
            "mask" => Ok(Self::Mask),
            _ => Err(format!("`{text}` is neither keep nor mask")),
        }
    }
}

impl Default for ImportOptions {
    fn default() -> Self {
        let jobs = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            name_from: NameFrom::Stem,
            existing: Existing::Error,
            concat: None,
            checksum: false,
            dry_run: false,
            commit_every: None,
            skip_errors: false,
            strict: false,
            stall_limit: Duration::from_secs(600),
            jobs,
            chunk: HashMap::new(),
            calendar: CalendarPolicy::Keep,
            default_fill: MaskPolicy::Mask,
            valid_range: MaskPolicy::Keep,
        }
    }
}

/// The progress of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The number of files that are done, including skipped ones.
    pub files: usize,
    /// The number of all files.
    pub total: usize,
    /// The number of bytes of the files that are done.
    pub bytes: u64,
    /// Whether the run is committing what was read so far, or has made its last commit. If a run is
    /// dropped meanwhile, the commit may be complete or not. At other times, what was read since the
    /// commit before has no effect then.
    pub committing: bool,
}

/// The result of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// The number of datasets that were written: new datasets and replaced ones.
    pub imported: usize,
    /// The number of these datasets that replaced another dataset.
    pub replaced: usize,
    /// The number of bytes of their files.
    pub bytes: u64,
    /// The number of files that have not changed since the store imported them: see
    /// [`Existing::Update`].
    pub unchanged: usize,
    /// The number of files that were skipped because the store has datasets with their names: see
    /// [`Existing::Skip`].
    pub existing: usize,
    /// The datasets to which files were joined: see [`ImportOptions::concat`].
    pub joined: Vec<Joined>,
    /// Files that could not be read, each with the reason.
    pub skipped: Vec<(PathBuf, Error)>,
    /// What the import did not take literally.
    pub notices: NoticeSummary,
    /// Dimensions that [`chunk`](ImportOptions::chunk) names but no array has.
    pub unknown_dims: Vec<String>,
    /// The files that a dry run would import: see [`ImportOptions::dry_run`].
    pub planned: Vec<Planned>,
}

impl Report {
    /// The report of an import that has not begun.
    fn of(options: &ImportOptions) -> Self {
        let mut unknown_dims: Vec<_> = options.chunk.keys().cloned().collect();
        unknown_dims.sort();
        Self { unknown_dims, ..Self::default() }
    }
}

/// A file that would be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Its path.
    pub path: PathBuf,
    /// The name of its dataset.
    pub dataset: String,
    /// Whether it would replace a dataset with that name.
    pub replaces: bool,
}

/// Imports files, directories (all NetCDF files below them) and globs, and commits.
///
/// Pending changes in `atlas` are not committed, and stay pending. If there are none, the handle
/// moves on to the generation with the import. Imports into one store may run concurrently.
///
/// `progress` is called after each file.
///
/// # Errors
/// The import fails if a path matches no file, two files have the same name, the store cannot be
/// written, or a file cannot be read and [`skip_errors`](ImportOptions::skip_errors) is not set. It
/// also fails if the store already has a dataset with the name of a file, and
/// [`existing`](ImportOptions::existing) does not say what to do.
///
/// A failed import changes nothing in the store, with two exceptions: what was committed before, if
/// [`commit_every`](ImportOptions::commit_every) is set; and what [`Atlas::flush`] says of
/// [`Storage`](atlas::Error::Storage) and [`NotShown`](atlas::Error::NotShown).
pub async fn import(
    atlas: &Atlas,
    paths: &[PathBuf],
    options: &ImportOptions,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Report, Error> {
    // Writes through a handle of its own, so that they do not mix with the caller's pending
    // changes.
    let own = atlas.with_cache(CacheBudget::default());
    own.refresh().await?;
    let mut run = Run::new(&own, options, progress);
    let imported = run.import(paths).await;
    if imported.is_err() {
        own.discard().await;
    }
    atlas.catch_up_with(&own).await;
    imported.map(|()| run.report)
}
