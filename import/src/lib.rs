//! NetCDF files, by the CF conventions, into an [Atlas store](atlas).
//!
//! One file becomes one dataset, and one run one commit. Classic files and NetCDF-4 are read; what their
//! values mean is taken from the [CF conventions](https://cfconventions.org/): see [`cf`].
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
mod files;
mod fill;
mod names;
mod netcdf;
mod notice;
mod numbers;
mod reader;
mod repeated;
mod text;
mod thread;
mod time;
mod valid;

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use atlas::{Atlas, DatasetView};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use differ::{Declaration, Declarations};
pub use error::Error;
pub use files::NameFrom;
use files::{InputFile, find_files};
use netcdf::{Piece, read_file};
pub use notice::{Notice, NoticeClass, NoticeSummary, Notices};
pub use time::CalendarPolicy;

/// Pieces of a file that wait for the store at one time.
const QUEUE: usize = 2;

/// How to import.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// What a dataset is named after.
    pub name_from: NameFrom,
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
    /// The number of datasets added.
    pub imported: usize,
    /// Bytes of their files.
    pub bytes: u64,
    /// Files that could not be read, each with the reason.
    pub skipped: Vec<(PathBuf, Error)>,
    /// What was not taken literally.
    pub notices: NoticeSummary,
    /// Dimensions that [`chunk`](ImportOptions::chunk) names and that no array has.
    pub unknown_dims: Vec<String>,
}

/// Imports files, directories (all NetCDF files below them) and globs, and commits.
///
/// `progress` is called after each file.
///
/// # Errors
/// Nothing is changed in the store where this fails: because a path names nothing, two files have one name
/// or one that the store has already, the store cannot be written, or a file cannot be read and
/// [`skip_errors`](ImportOptions::skip_errors) is not set.
pub async fn import(
    atlas: &Atlas,
    paths: &[PathBuf],
    options: &ImportOptions,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Report, Error> {
    atlas.refresh().await?;
    let mut report = Report { unknown_dims: options.chunk.keys().cloned().collect(), ..Report::default() };
    report.unknown_dims.sort();
    let files = named_files(atlas, paths, options, &mut report).await?;
    let mut state = Progress { total: files.len() + report.skipped.len(), ..Progress::default() };
    state.files = report.skipped.len();
    progress(state);

    let mut stored = NoticeSummary::of_store(atlas.snapshot().catalog())?;
    let mut declarations = Declarations::of_store(atlas.snapshot().catalog());
    let mut imported = HashSet::new();
    // Files are read ahead in parallel, and written in their order.
    let mut waiting = files.into_iter();
    let mut reading = VecDeque::new();
    loop {
        while reading.len() < options.jobs.max(1)
            && let Some(file) = waiting.next()
        {
            reading.push_back(start_reading(file, options));
        }
        let Some((file, pieces, task)) = reading.pop_front() else { break };
        match write_file(atlas, &file, pieces, task, options).await {
            Ok(written) => {
                report.imported += 1;
                report.bytes += file.size;
                written.notices.into_iter().for_each(|notice| report.notices.add(notice, &file.path));
                report.unknown_dims.retain(|dim| !written.dims.contains(dim));
                for declaration in written.arrays {
                    imported.insert(declaration.name.clone());
                    declarations.add(declaration, 1, &file.path);
                }
            }
            Err(error) if options.skip_errors && error.is_of_file() => {
                atlas.delete_dataset(&file.name).await?;
                report.skipped.push((file.path.clone(), error));
            }
            Err(error) => return Err(error),
        }
        state.files += 1;
        state.bytes += file.size;
        progress(state);
    }
    stored.extend(&report.notices);
    let differences = declarations.notices();
    report.notices.extend(&differ::about(&differences, &imported));
    stored.replace(&differ::CLASSES, &differences);
    if !stored.is_empty() {
        atlas.set_attribute(NoticeSummary::ATTRIBUTE, stored.to_attribute()).await?;
    }
    atlas.flush().await?;
    Ok(report)
}

/// The files to import, with names that differ from each other and from those in the store.
async fn named_files(
    atlas: &Atlas,
    paths: &[PathBuf],
    options: &ImportOptions,
    report: &mut Report,
) -> Result<Vec<InputFile>, Error> {
    let (paths, name_from, limit) = (paths.to_vec(), options.name_from.clone(), options.stall_limit);
    let found = tokio::task::spawn_blocking(move || find_files(&paths, &name_from, limit));
    let found = found.await.map_err(|e| Error::Panicked { reason: e.to_string() })??;
    for (path, notice) in found.notices {
        report.notices.add(notice, &path);
    }
    let mut files = Vec::with_capacity(found.files.len());
    let mut names: HashMap<String, PathBuf> = HashMap::new();
    let existing: HashSet<String> = atlas.list_datasets().await.into_iter().collect();
    for file in found.files {
        let file = match file {
            Ok(file) => file,
            Err((path, error)) if options.skip_errors => {
                report.skipped.push((path, error));
                continue;
            }
            Err((_, error)) => return Err(error),
        };
        if existing.contains(&file.name) {
            return Err(Error::NameExists { name: file.name, path: file.path });
        }
        if let Some(first) = names.insert(file.name.clone(), file.path.clone()) {
            return Err(Error::NameTwice { name: file.name, first, second: file.path });
        }
        files.push(file);
    }
    Ok(files)
}

type Reading = (InputFile, mpsc::Receiver<Piece>, oneshot::Receiver<Result<(), Error>>);

fn start_reading(file: InputFile, options: &ImportOptions) -> Reading {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let (path, options) = (file.path.clone(), options.clone());
    let done = thread::start(&file.path, move || {
        // The receiver goes away only when the import has failed for another reason, or waits no
        // longer.
        read_file(&path, &options, &mut |piece| sender.blocking_send(piece).is_ok())
    });
    (file, receiver, done)
}

/// What was written of one file.
#[derive(Default)]
struct Written {
    arrays: Vec<Declaration>,
    dims: HashSet<String>,
    notices: Vec<Notice>,
}

async fn write_file(
    atlas: &Atlas,
    file: &InputFile,
    mut pieces: mpsc::Receiver<Piece>,
    done: oneshot::Receiver<Result<(), Error>>,
    options: &ImportOptions,
) -> Result<Written, Error> {
    let stalled = |_| thread::stalled(&file.path, options.stall_limit);
    let dataset = atlas.create_dataset(&file.name).await?;
    let mut written = Written::default();
    while let Some(piece) = timeout(options.stall_limit, pieces.recv()).await.map_err(stalled)? {
        write_piece(&dataset, piece, &mut written).await.map_err(|error| match error {
            // A file that contradicts itself, or has names that a store cannot have.
            atlas::Error::Storage { .. } | atlas::Error::Poisoned => Error::Store(error),
            error => Error::File { path: file.path.clone(), reason: error.to_string() },
        })?;
    }
    // Without an answer the thread is gone.
    done.await.unwrap_or_else(|_| Err(thread::failed(&file.path))).map(|()| written)
}

async fn write_piece(dataset: &DatasetView, piece: Piece, written: &mut Written) -> atlas::Result<()> {
    match piece {
        Piece::Attribute(key, value) => dataset.set_attribute(&key, value).await,
        Piece::Array(schema, shape) => {
            written.dims.extend(schema.dims.iter().cloned());
            written.arrays.push(Declaration::of(&schema));
            dataset.define(schema, &shape).await
        }
        Piece::Cells { array, start, shape, cells } => {
            dataset.write_arrow(&array, &start, &shape, cells).await
        }
        Piece::Drop(array) => {
            written.arrays.retain(|declaration| declaration.name != array);
            match dataset.delete_array(&array).await {
                // It failed before it was defined.
                Err(atlas::Error::NoArray { .. }) => Ok(()),
                deleted => deleted,
            }
        }
        Piece::Notice(notice) => {
            written.notices.push(notice);
            Ok(())
        }
    }
}
