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
mod error;
mod files;
mod netcdf;
mod notice;
mod numbers;
mod text;
pub mod time;

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};

use atlas::{Atlas, DatasetView};
use tokio::sync::mpsc;

pub use error::Error;
pub use files::NameFrom;
use files::{InputFile, find_files};
use netcdf::{Piece, read_file};
pub use notice::{Notice, NoticeClass, NoticeSummary, Notices};

/// Pieces of a file that wait for the store at one time.
const QUEUE: usize = 2;

/// How to import.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// What a dataset is named after.
    pub name_from: NameFrom,
    /// Go on past files that cannot be read, and list them.
    pub skip_errors: bool,
    /// Files that are read at one time.
    pub jobs: usize,
    /// Chunk sizes by dimension; the others are chosen by [`atlas::default_chunk`].
    pub chunk: HashMap<String, usize>,
}

impl Default for ImportOptions {
    fn default() -> Self {
        let jobs = std::thread::available_parallelism().map_or(2, usize::from);
        Self { name_from: NameFrom::Stem, skip_errors: false, jobs, chunk: HashMap::new() }
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
        match write_file(atlas, &file, pieces, task, &mut report).await {
            Ok(()) => {
                report.imported += 1;
                report.bytes += file.size;
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
    let (paths, name_from) = (paths.to_vec(), options.name_from.clone());
    let found = tokio::task::spawn_blocking(move || find_files(&paths, &name_from));
    let found = found.await.map_err(|e| Error::Panicked { reason: e.to_string() })??;
    let mut files = Vec::with_capacity(found.len());
    let mut names: HashMap<String, PathBuf> = HashMap::new();
    let existing: HashSet<String> = atlas.list_datasets().await.into_iter().collect();
    for file in found {
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

type Reading = (InputFile, mpsc::Receiver<Piece>, tokio::task::JoinHandle<Result<(), Error>>);

fn start_reading(file: InputFile, options: &ImportOptions) -> Reading {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let (path, chunk) = (file.path.clone(), options.chunk.clone());
    let task = tokio::task::spawn_blocking(move || {
        // The receiver goes away only when the import has failed for another reason.
        read_file(&path, &chunk, &mut |piece| sender.blocking_send(piece).is_ok())
    });
    (file, receiver, task)
}

async fn write_file(
    atlas: &Atlas,
    file: &InputFile,
    mut pieces: mpsc::Receiver<Piece>,
    task: tokio::task::JoinHandle<Result<(), Error>>,
    report: &mut Report,
) -> Result<(), Error> {
    let dataset = atlas.create_dataset(&file.name).await?;
    while let Some(piece) = pieces.recv().await {
        write_piece(&dataset, piece, &file.path, report).await.map_err(|error| match error {
            // A file that contradicts itself, or has names that a store cannot have.
            atlas::Error::Storage { .. } | atlas::Error::Poisoned => Error::Store(error),
            error => Error::File { path: file.path.clone(), reason: error.to_string() },
        })?;
    }
    match task.await {
        Ok(read) => read,
        Err(_) => Err(Error::File {
            path: file.path.clone(),
            reason: "the NetCDF reader failed on it: it is damaged, or of a kind the reader does not know"
                .to_owned(),
        }),
    }
}

async fn write_piece(
    dataset: &DatasetView,
    piece: Piece,
    path: &Path,
    report: &mut Report,
) -> atlas::Result<()> {
    match piece {
        Piece::Attribute(key, value) => dataset.set_attribute(&key, value).await,
        Piece::Array(schema, shape) => {
            report.unknown_dims.retain(|dim| !schema.dims.contains(dim));
            dataset.define(schema, &shape).await
        }
        Piece::Cells { array, start, shape, cells } => {
            dataset.write_arrow(&array, &start, &shape, cells).await
        }
        Piece::Notice(notice) => {
            report.notices.add(notice, path);
            Ok(())
        }
    }
}
