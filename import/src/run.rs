//! Runs an import: reads files ahead in parallel, and writes them in order.

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use atlas::{Atlas, AttributeValue, Catalog, DatasetView};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::differ::{self, Declaration, Declarations};
use crate::files::find_files;
use crate::kept::{self, Kept};
use crate::netcdf::read_file;
use crate::notice::{Notice, NoticeSummary};
use crate::piece::Piece;
use crate::plan::{InputFile, plan};
use crate::source::{Source, checksum};
use crate::temporary::{Owner, Temporary};
use crate::{Error, ImportOptions, Planned, Progress, Report, thread};

/// The number of pieces of a file that are queued for the store.
const QUEUE: usize = 2;

/// How often an import recounts the differences between datasets while other imports commit.
const RECOUNTS: u32 = 20;

/// The state of a run.
pub(crate) struct Run<'a> {
    pub(crate) atlas: &'a Atlas,
    pub(crate) options: &'a ImportOptions,
    pub(crate) report: Report,
    /// The names of all arrays that were written.
    arrays: HashSet<String>,
    /// Datasets that are written but not committed.
    written: Batch,
    progress: &'a (dyn Fn(Progress) + Sync),
    state: Progress,
    pub(crate) temporary: Temporary,
    _owner: Owner,
}

/// Datasets that are committed together.
#[derive(Default)]
struct Batch {
    datasets: usize,
    /// The datasets of the store that they replace.
    replaced: HashSet<String>,
    declarations: Declarations,
    notices: NoticeSummary,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        atlas: &'a Atlas,
        options: &'a ImportOptions,
        progress: &'a (dyn Fn(Progress) + Sync),
    ) -> Self {
        let temporary = Temporary::default();
        Self {
            atlas,
            options,
            report: Report::of(options),
            arrays: HashSet::new(),
            written: Batch::default(),
            progress,
            state: Progress::default(),
            _owner: temporary.owner(),
            temporary,
        }
    }

    /// Imports the files that `paths` name, and commits.
    pub(crate) async fn import(&mut self, paths: &[PathBuf]) -> Result<(), Error> {
        if let Some(concat) = &self.options.concat {
            return self.join(paths, concat).await;
        }
        let files = self.plan(paths).await?;
        if self.options.dry_run {
            self.report.imported = files.len();
            self.report.replaced = files.iter().filter(|file| file.replaces).count();
            self.report.bytes = files.iter().map(|file| file.source.size).sum();
            self.report.planned = files
                .into_iter()
                .map(|InputFile { path, name, replaces, .. }| Planned { path, dataset: name, replaces })
                .collect();
            return Ok(());
        }
        self.written.notices = self.report.notices.clone();
        self.write_files(files).await?;
        self.commit().await
    }

    /// The files to import.
    async fn plan(&mut self, paths: &[PathBuf]) -> Result<Vec<InputFile>, Error> {
        let catalog = self.atlas.snapshot().load().await?;
        let (paths, options) = (paths.to_vec(), self.options.clone());
        let (temporary, mut report) = (self.temporary.clone(), std::mem::take(&mut self.report));
        let planned = tokio::task::spawn_blocking(move || {
            let found = find_files(&paths, &temporary);
            let files = found.and_then(|found| plan(&catalog, found, &options, &mut report));
            (files, report)
        });
        let (files, report) = planned.await.map_err(|e| Error::Panicked { reason: e.to_string() })?;
        self.report = report;
        files
    }

    /// Tells that so many files are to be read, besides those that are skipped.
    pub(crate) fn begin(&mut self, files: usize) {
        let skipped = self.report.skipped.len();
        let total = files + skipped;
        self.proceed(|state| *state = Progress { files: skipped, total, ..Progress::default() });
    }

    /// Tells that a file of so many bytes is done.
    pub(crate) fn file_done(&mut self, bytes: u64) {
        self.proceed(|state| {
            state.files += 1;
            state.bytes += bytes;
        });
    }

    /// Changes the progress, and tells it.
    fn proceed(&mut self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.state);
        (self.progress)(self.state);
    }

    async fn write_files(&mut self, files: Vec<InputFile>) -> Result<(), Error> {
        self.begin(files.len());
        let mut waiting = files.into_iter();
        let mut reading = VecDeque::new();
        loop {
            while reading.len() < self.options.jobs.max(1)
                && let Some(file) = waiting.next()
            {
                reading.push_back(Reading::start(file, self.options));
            }
            let Some(read) = reading.pop_front() else { return Ok(()) };
            let size = read.file.source.size;
            let path = read.file.path.clone();
            match self.write_file(read).await {
                Ok(()) => {}
                Err(error) if self.options.skip_errors && error.is_of_file() => {
                    self.report.skipped.push((path, error));
                }
                Err(error) => return Err(error),
            }
            self.file_done(size);
            if self.options.commit_every.is_some_and(|most| self.written.datasets >= most.get()) {
                self.commit().await?;
                self.proceed(|state| state.committing = false);
            }
        }
    }

    /// Writes the dataset of a file. A dataset that it replaces is deleted only after the whole
    /// file was written.
    async fn write_file(&mut self, reading: Reading) -> Result<(), Error> {
        let (name, replaces) = (reading.file.name.clone(), reading.file.replaces);
        let under = if replaces { self.free_name(&name).await? } else { name.clone() };
        let (file, written) = match self.write_dataset(&under, reading).await {
            Ok(written) => written,
            Err(error) => {
                if self.atlas.dataset_exists(&under)? {
                    self.atlas.delete_dataset(&under).await?;
                }
                return Err(error);
            }
        };
        if replaces {
            self.atlas.delete_dataset(&name).await?;
            self.atlas.rename_dataset(&under, &name).await?;
            self.report.replaced += 1;
        }
        self.add(&file, written);
        Ok(())
    }

    /// A name that no dataset has, derived from `name`.
    pub(crate) async fn free_name(&self, name: &str) -> Result<String, Error> {
        // Loads the catalog, so that each name can be checked without I/O.
        self.atlas.snapshot().load().await?;
        let mut names = (1..).map(|number| format!("{name} ({number})"));
        loop {
            match names.next() {
                Some(free) if !self.atlas.dataset_exists(&free)? => return Ok(free),
                Some(_) => {}
                None => return Err(Error::NameTaken { name: name.to_owned() }),
            }
        }
    }

    async fn write_dataset(&self, name: &str, mut reading: Reading) -> Result<(InputFile, Written), Error> {
        let dataset = self.atlas.create_dataset(name).await?;
        let mut written = Written::default();
        while let Some(piece) = reading.next(self.options).await? {
            write_piece(&dataset, piece, &mut written).await.map_err(|error| match error {
                // The file is inconsistent, or has names that a store cannot have.
                atlas::Error::Storage { .. } | atlas::Error::Poisoned => Error::Store(error),
                error => Error::File { path: reading.file.path.clone(), reason: error.to_string() },
            })?;
        }
        reading.end().await?;
        let file = reading.file;
        if !written.kept.is_empty() {
            dataset.set_attribute(kept::ATTRIBUTE, kept::to_attribute(&written.kept))?;
        }
        dataset.set_attribute(Source::ATTRIBUTE, Source::to_attribute(std::slice::from_ref(&file.source)))?;
        Ok((file, written))
    }

    /// Adds a file that was written as a dataset.
    fn add(&mut self, file: &InputFile, written: Written) {
        self.report.bytes += file.source.size;
        self.dataset_written(&file.name, file.replaces);
        self.add_written(&file.path, written);
    }

    /// Counts a dataset that was written, and whether it replaced one of the store.
    pub(crate) fn dataset_written(&mut self, name: &str, replaces: bool) {
        self.report.imported += 1;
        self.written.datasets += 1;
        if replaces {
            self.written.replaced.insert(name.to_owned());
        }
    }

    /// Adds the notices about a file that was written.
    pub(crate) fn add_written(&mut self, path: &Path, written: Written) {
        for notice in written.notices {
            self.report.notices.add(notice.clone(), path);
            self.written.notices.add(notice, path);
        }
        self.report.unknown_dims.retain(|dim| !written.dims.contains(dim));
        for declaration in written.arrays {
            self.arrays.insert(declaration.name.clone());
            self.written.declarations.add(declaration, 1, path);
        }
    }

    /// Commits the written datasets, and merges their notices with those of earlier runs.
    pub(crate) async fn commit(&mut self) -> Result<(), Error> {
        let base = self.atlas.snapshot().root().generation();
        let written = std::mem::take(&mut self.written);
        if written.datasets == 0 && base > 0 {
            return Ok(());
        }
        self.proceed(|state| state.committing = true);
        let catalog = self.atlas.snapshot().load().await?;
        let mut declarations = Declarations::of_store(&catalog, &written.replaced);
        declarations.extend(written.declarations);
        let mut differences = declarations.notices();
        let had_notices = !NoticeSummary::of_store(&catalog)?.is_empty();
        drop(catalog);
        if had_notices || !written.notices.is_empty() || !differences.is_empty() {
            report(self.atlas, written.notices, differences.clone())?;
        }
        self.atlas.flush().await.map_err(|error| match error {
            // Added datasets can only conflict with other datasets of the same name.
            atlas::Error::Conflict { dataset: Some(name), .. } if !written.replaced.contains(&name) => {
                Error::NameTaken { name }
            }
            error => Error::Store(error),
        })?;
        if self.atlas.snapshot().root().generation() > base + 1 {
            // The datasets are committed. If this recount fails, the next import corrects the
            // notices.
            differences = recount(self.atlas).await.unwrap_or(differences);
        }
        self.report.notices.replace(&differ::CLASSES, &differ::about(&differences, &self.arrays));
        Ok(())
    }
}

/// Adds the notices of a run to those of the store at the time of the commit. Notices about the
/// whole store replace earlier ones of the same classes.
fn report(atlas: &Atlas, of_run: NoticeSummary, of_store: NoticeSummary) -> atlas::Result<()> {
    atlas.update_attribute(NoticeSummary::ATTRIBUTE, move |now| {
        let all = NoticeSummary::from_attribute(now).map(|mut all| {
            all.extend(&of_run);
            all.replace(&differ::CLASSES, &of_store);
            all.to_attribute()
        });
        // A newer version of Atlas has committed in the meantime.
        all.unwrap_or_else(|_| now.cloned().unwrap_or_else(|| AttributeValue::from(Vec::<String>::new())))
    })
}

/// Recounts the differences between the datasets of a store, after others have added datasets.
async fn recount(atlas: &Atlas) -> Result<NoticeSummary, Error> {
    let mut differences = NoticeSummary::default();
    for _ in 0..RECOUNTS {
        let catalog: Arc<Catalog> = atlas.snapshot().load().await?;
        differences = Declarations::of_store(&catalog, &HashSet::new()).notices();
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

/// A file that is being read.
pub(crate) struct Reading {
    pub(crate) file: InputFile,
    pieces: mpsc::Receiver<Piece>,
    /// Its checksum, after it was read completely.
    done: Option<oneshot::Receiver<Result<u64, Error>>>,
}

impl Reading {
    pub(crate) fn start(file: InputFile, options: &ImportOptions) -> Self {
        let (sender, pieces) = mpsc::channel(QUEUE);
        let (path, origin, options) = (file.path.clone(), file.origin.clone(), options.clone());
        let done = thread::start(&file.path, move || {
            let failed = |reason| Error::File { path: path.clone(), reason };
            let mut alive = || !matches!(sender.try_send(Piece::Waiting), Err(TrySendError::Closed(_)));
            let local = origin.open(&mut alive).map_err(failed)?;
            // The receiver is dropped only if the import failed for another reason, or stopped
            // waiting.
            read_file(local.path(), &path, &options, &mut |piece| sender.blocking_send(piece).is_ok())?;
            checksum(local.path()).map_err(|e| failed(e.to_string()))
        });
        Self { file, pieces, done: Some(done) }
    }

    /// The next piece of the file.
    pub(crate) async fn next(&mut self, options: &ImportOptions) -> Result<Option<Piece>, Error> {
        let stalled = |_| thread::stalled(&self.file.path, options.stall_limit);
        timeout(options.stall_limit, self.pieces.recv()).await.map_err(stalled)
    }

    /// The result of reading, after the last piece.
    pub(crate) async fn end(&mut self) -> Result<(), Error> {
        // If there is no answer, the thread is gone.
        let failed = || Err(thread::failed(&self.file.path));
        let read = match self.done.take() {
            Some(done) => done.await.unwrap_or_else(|_| failed()),
            None => failed(),
        };
        self.file.source.checksum = Some(read?);
        Ok(())
    }
}

/// What was written of one file.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) arrays: Vec<Declaration>,
    pub(crate) dims: HashSet<String>,
    pub(crate) notices: Vec<Notice>,
    kept: Kept,
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
        Piece::ArrayAttribute(array, key, value) => dataset.set_array_attribute(&array, &key, value),
        Piece::KeptCells(array, cells) => {
            written.kept.insert(array, cells);
            Ok(())
        }
        Piece::Drop(array) => {
            written.kept.remove(&array);
            written.arrays.retain(|declaration| declaration.name != array);
            match dataset.delete_array(&array).await {
                // The array failed before it was defined.
                Err(atlas::Error::NoArray { .. }) => Ok(()),
                deleted => deleted,
            }
        }
        Piece::Notice(notice) => {
            written.notices.push(notice);
            Ok(())
        }
        Piece::Waiting => Ok(()),
    }
}
