//! NetCDF files, by the CF conventions, into an [Atlas store](atlas).
//!
//! One file becomes one dataset, and one run one commit. Classic files and NetCDF-4 are read; what
//! their values mean is taken from the [CF conventions](https://cfconventions.org/): see [`cf`].
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
mod piece;
mod plan;
mod reader;
mod remote;
mod repeated;
mod run;
mod source;
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

/// How to import.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// What a dataset is named after.
    pub name_from: NameFrom,
    /// What becomes of files whose datasets the store has already.
    pub existing: Existing,
    /// Join files along a dimension, rather than make a dataset of each.
    pub concat: Option<Concat>,
    /// Tell a file that has changed by the checksum of its bytes, rather than by its size and time.
    pub checksum: bool,
    /// Only find out what would be done.
    pub dry_run: bool,
    /// Commit each time that so many datasets are written, and not only at the end: an import that
    /// is interrupted has then done a part, and need not do it again.
    pub commit_every: Option<NonZeroUsize>,
    /// Go on past files that cannot be read, and list them.
    pub skip_errors: bool,
    /// Refuse a file of which a part cannot be read. By default that part is left out, and told.
    pub strict: bool,
    /// How long a file may take to give its next values. One that takes longer fails, and is left
    /// alone.
    pub stall_limit: Duration,
    /// Files that are read at one time.
    pub jobs: usize,
    /// Chunk sizes by dimension; the others are chosen by [`atlas::default_chunk`].
    pub chunk: HashMap<String, usize>,
    /// What becomes of times in calendars that have other dates than timestamps.
    pub calendar: CalendarPolicy,
    /// What becomes of cells with NetCDF's default fill value, where the variable has no
    /// `_FillValue`.
    pub default_fill: MaskPolicy,
    /// What becomes of cells outside `valid_min`, `valid_max` or `valid_range`. They are counted in
    /// any case.
    pub valid_range: MaskPolicy,
}

/// What becomes of cells that may not be values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskPolicy {
    /// They stay.
    Keep,
    /// They are missing.
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

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files that are done, the skipped ones among them.
    pub files: usize,
    /// Files in all.
    pub total: usize,
    /// Bytes of the files that are done.
    pub bytes: u64,
}

/// What a run did.
#[derive(Debug, Default)]
pub struct Report {
    /// The number of datasets that were written: those that are new, and those that took the place
    /// of others.
    pub imported: usize,
    /// How many of them took the place of others.
    pub replaced: usize,
    /// Bytes of their files.
    pub bytes: u64,
    /// Files that the store has as they are: see [`Existing::Update`].
    pub unchanged: usize,
    /// Files that were passed over because the store has datasets of their names: see
    /// [`Existing::Skip`].
    pub existing: usize,
    /// The datasets that files were joined to: see [`ImportOptions::concat`].
    pub joined: Vec<Joined>,
    /// Files that could not be read, each with the reason.
    pub skipped: Vec<(PathBuf, Error)>,
    /// What was not taken literally.
    pub notices: NoticeSummary,
    /// Dimensions that [`chunk`](ImportOptions::chunk) names and that no array has.
    pub unknown_dims: Vec<String>,
    /// What would be imported, where nothing was: see [`ImportOptions::dry_run`].
    pub planned: Vec<Planned>,
}

impl Report {
    /// That of an import that has not begun.
    fn of(options: &ImportOptions) -> Self {
        let mut unknown_dims: Vec<_> = options.chunk.keys().cloned().collect();
        unknown_dims.sort();
        Self { unknown_dims, ..Self::default() }
    }
}

/// A file that would be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The file.
    pub path: PathBuf,
    /// The name of its dataset.
    pub dataset: String,
    /// Whether it would take the place of a dataset of that name.
    pub replaces: bool,
}

/// Imports files, directories (all NetCDF files below them) and globs, and commits.
///
/// What is pending in `atlas` is not committed, and stays pending. Where nothing is, the handle
/// goes on to the generation with the import. Imports into one store may run at the same time.
///
/// `progress` is called after each file.
///
/// # Errors
/// Nothing is changed in the store where this fails: because a path names nothing, two files have
/// one name or one that the store has already and [`existing`](ImportOptions::existing) does not
/// say what to do, the store cannot be written, or a file cannot be read and
/// [`skip_errors`](ImportOptions::skip_errors) is not set. But for what was committed before, where
/// [`commit_every`](ImportOptions::commit_every) asks for that, and what [`Atlas::flush`] says of
/// [`Storage`](atlas::Error::Storage) and [`NotShown`](atlas::Error::NotShown).
pub async fn import(
    atlas: &Atlas,
    paths: &[PathBuf],
    options: &ImportOptions,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Report, Error> {
    // What it writes is not to be mixed with what the caller has pending.
    let own = atlas.with_cache(CacheBudget::default());
    own.refresh().await?;
    let mut run = Run::new(&own, options);
    let imported = run.import(paths, progress).await;
    if imported.is_err() {
        own.discard().await;
    }
    atlas.catch_up_with(&own).await;
    imported.map(|()| run.report)
}
