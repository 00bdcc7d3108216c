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

use atlas::{Atlas, AttributeValue, CacheBudget, Catalog, DatasetView};
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

/// How often an import counts anew what datasets differ in, as others go on importing.
const RECOUNTS: u32 = 20;

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
/// What is pending in `atlas` is not committed, and stays pending. Where nothing is, the handle
/// goes on to the generation with the import. Imports into one store may run at the same time.
///
/// `progress` is called after each file.
///
/// # Errors
/// Nothing is changed in the store where this fails: because a path names nothing, two files have
/// one name or one that the store has already, the store cannot be written, or a file cannot be
/// read and [`skip_errors`](ImportOptions::skip_errors) is not set. But for what [`Atlas::flush`]
/// says of [`Storage`](atlas::Error::Storage) and [`NotShown`](atlas::Error::NotShown).
pub async fn import(
    atlas: &Atlas,
    paths: &[PathBuf],
    options: &ImportOptions,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Report, Error> {
    // What it writes is not to be mixed with what the caller has pending.
    let own = atlas.with_cache(CacheBudget::default());
    own.refresh().await?;
    let mut run = match Run::write(&own, paths, options, progress).await {
        Ok(run) => run,
        Err(error) => {
            own.discard().await;
            return Err(error);
        }
    };
    let committed = run.commit(&own).await;
    match &committed {
        // What is pending may be committed: the failure may have come after that.
        Ok(()) | Err(atlas::Error::Storage { .. } | atlas::Error::NotShown { .. }) => {}
        Err(_) => own.discard().await,
    }
    atlas.catch_up_with(&own).await;
    committed.map_err(|error| match error {
        // Datasets that were added collide with nothing but others of their names.
        atlas::Error::Conflict { dataset: Some(name), .. } => Error::NameTaken { name },
        error => Error::Store(error),
    })?;
    Ok(run.report)
}

/// A run, as far as it is.
struct Run {
    report: Report,
    /// The number of the generation that the files were added to.
    base: u64,
    /// Whether that had notices.
    had_notices: bool,
    /// What arrays declare: those of the store, and those of the files.
    declarations: Declarations,
    /// The names of the files' arrays.
    imported: HashSet<String>,
}

impl Run {
    /// Writes the datasets of files, which stay pending.
    async fn write(
        atlas: &Atlas,
        paths: &[PathBuf],
        options: &ImportOptions,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Self, Error> {
        let catalog = atlas.snapshot().load().await?;
        let mut report =
            Report { unknown_dims: options.chunk.keys().cloned().collect(), ..Report::default() };
        report.unknown_dims.sort();
        let files = named_files(&catalog, paths, options, &mut report).await?;
        let mut run = Self {
            base: catalog.generation(),
            had_notices: !NoticeSummary::of_store(&catalog)?.is_empty(),
            declarations: Declarations::of_store(&catalog),
            imported: HashSet::new(),
            report,
        };
        drop(catalog);
        run.write_files(atlas, files, options, progress).await?;
        Ok(run)
    }

    async fn write_files(
        &mut self,
        atlas: &Atlas,
        files: Vec<InputFile>,
        options: &ImportOptions,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<(), Error> {
        let skipped = self.report.skipped.len();
        let mut state = Progress { files: skipped, total: files.len() + skipped, ..Progress::default() };
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
            let Some((file, pieces, task)) = reading.pop_front() else { return Ok(()) };
            match write_file(atlas, &file, pieces, task, options).await {
                Ok(written) => self.add(&file, written),
                Err(error) if options.skip_errors && error.is_of_file() => {
                    atlas.delete_dataset(&file.name).await?;
                    self.report.skipped.push((file.path.clone(), error));
                }
                Err(error) => return Err(error),
            }
            state.files += 1;
            state.bytes += file.size;
            progress(state);
        }
    }

    /// Adds what was written of a file.
    fn add(&mut self, file: &InputFile, written: Written) {
        let report = &mut self.report;
        report.imported += 1;
        report.bytes += file.size;
        written.notices.into_iter().for_each(|notice| report.notices.add(notice, &file.path));
        report.unknown_dims.retain(|dim| !written.dims.contains(dim));
        for declaration in written.arrays {
            self.imported.insert(declaration.name.clone());
            self.declarations.add(declaration, 1, &file.path);
        }
    }

    /// Commits what is pending, with the notices of this run beside those of earlier ones.
    async fn commit(&mut self, atlas: &Atlas) -> atlas::Result<()> {
        let mut differences = self.declarations.notices();
        if self.had_notices || !self.report.notices.is_empty() || !differences.is_empty() {
            report(atlas, self.report.notices.clone(), differences.clone())?;
        }
        atlas.flush().await?;
        if atlas.snapshot().root().generation() > self.base + 1 {
            // The datasets are there: what goes wrong now the next import puts right.
            differences = recount(atlas).await.unwrap_or(differences);
        }
        self.report.notices.extend(&differ::about(&differences, &self.imported));
        Ok(())
    }
}

/// Adds the notices of a run to those that the store has when it is committed. Those of the whole
/// store take the place of what it has of their classes.
fn report(atlas: &Atlas, of_run: NoticeSummary, of_store: NoticeSummary) -> atlas::Result<()> {
    atlas.update_attribute(NoticeSummary::ATTRIBUTE, move |now| {
        let all = NoticeSummary::from_attribute(now).map(|mut all| {
            all.extend(&of_run);
            all.replace(&differ::CLASSES, &of_store);
            all.to_attribute()
        });
        // A newer version has come in between.
        all.unwrap_or_else(|_| now.cloned().unwrap_or_else(|| AttributeValue::from(Vec::<String>::new())))
    })
}

/// Counts anew what the datasets of a store differ in, after others have added some too.
async fn recount(atlas: &Atlas) -> Result<NoticeSummary, Error> {
    let mut differences = NoticeSummary::default();
    for _ in 0..RECOUNTS {
        let catalog = atlas.snapshot().load().await?;
        differences = Declarations::of_store(&catalog).notices();
        let stored = NoticeSummary::of_store(&catalog)?;
        let mut counted = stored.clone();
        counted.replace(&differ::CLASSES, &differences);
        if counted == stored {
            break;
        }
        report(atlas, NoticeSummary::default(), differences.clone())?;
        atlas.flush().await?;
        if atlas.snapshot().root().generation() == catalog.generation() + 1 {
            break;
        }
    }
    Ok(differences)
}

/// The files to import, with names that differ from each other and from those in the store.
async fn named_files(
    catalog: &Catalog,
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
    for file in found.files {
        let file = match file {
            Ok(file) => file,
            Err((path, error)) if options.skip_errors => {
                report.skipped.push((path, error));
                continue;
            }
            Err((_, error)) => return Err(error),
        };
        if catalog.ordinal(&file.name).is_some() {
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
        Piece::Attribute(key, value) => dataset.set_attribute(&key, value),
        Piece::Array(schema, shape) => {
            written.dims.extend(schema.dims.iter().cloned());
            written.arrays.push(Declaration::of(&schema));
            dataset.define(schema, &shape)
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
