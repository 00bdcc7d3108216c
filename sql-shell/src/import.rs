//! `atlas import`.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use arrow::temporal_conversions::timestamp_ns_to_datetime;
use atlas::{Atlas, Codec, StoreConfig};
use atlas_import::{
    CalendarPolicy, Concat, DatasetFrom, Existing, ImportOptions, MaskPolicy, NameFrom, Progress, Report,
    Source, import,
};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use crate::error::{Failure, Result};
use crate::interrupts::first_request;
use crate::output::{Bytes, count, grouped};
use crate::printable::Printable;
use crate::report;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The store: a directory or a URL.
    store: String,
    /// NetCDF files, directories, globs or URLs. `-` reads a list of them from stdin, one on each
    /// line.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// What to do with a file whose dataset exists in the store: error, skip, replace, or update,
    /// which replaces the dataset if the file has changed.
    #[arg(long, value_name = "WHAT", default_value_t)]
    existing: Existing,
    /// Join files along a dimension, in the order of its coordinate. --dataset-from says which
    /// files form a dataset. With `--existing update`, new files are appended to existing datasets.
    #[arg(long, value_name = "DIM", requires = "dataset_from")]
    concat: Option<String>,
    /// The dataset of a file to be joined: one name for all files; a pattern of the end of the path
    /// such as '{name}_*.nc', in which {name} stands for the dataset; or attr:KEY for a global
    /// attribute.
    #[arg(long, value_name = "WHAT", requires = "concat")]
    dataset_from: Option<DatasetFrom>,
    /// With `--existing update`, recognize changed files by a checksum of their bytes instead of by
    /// size and time.
    #[arg(long)]
    checksum: bool,
    /// Report what would be imported, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Import new and changed files again and again, with a pause of TIME between, until
    /// interrupted. Files that cannot be read are skipped until they change.
    #[arg(
        long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "10s",
        value_parser = crate::maintain::parse_age, conflicts_with = "dry_run"
    )]
    watch: Option<Duration>,
    /// Commit after every N datasets instead of once at the end. An interrupted import then keeps
    /// the datasets that it has committed.
    #[arg(long, value_name = "N")]
    commit_every: Option<NonZeroUsize>,
    /// The name of a dataset: the stem of the file's name, its path, or attr:KEY for a global
    /// attribute.
    #[arg(long, value_name = "WHAT", default_value_t)]
    name_from: NameFrom,
    /// Skip files that cannot be read, and list them at the end.
    #[arg(long)]
    skip_errors: bool,
    /// Fail if a part of a file cannot be read, instead of leaving that part out.
    #[arg(long)]
    strict: bool,
    /// Fail if a file yields no more values for this time, such as 30s or 1h.
    #[arg(long, value_name = "TIME", value_parser = crate::maintain::parse_age, default_value = "10min")]
    stall_limit: Duration,
    /// The number of files to read at a time. The default is the number of processors.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// The compression of a new store: zstd, lz4 or none.
    #[arg(long)]
    codec: Option<Codec>,
    /// Chunk sizes by dimension, such as time=24,lat=50.
    #[arg(long, value_name = "DIM=N,…", value_delimiter = ',', value_parser = parse_chunk)]
    chunk: Vec<(String, usize)>,
    /// Times in calendars such as noleap or 360_day: keep the numbers, or convert them to
    /// timestamps with the same dates. Dates that do not exist become NULL.
    #[arg(long, value_name = "WHAT", default_value_t)]
    calendar: CalendarPolicy,
    /// Cells with NetCDF's default fill value, in variables without _FillValue: mask or keep.
    #[arg(long, value_name = "WHAT", default_value_t = MaskPolicy::Mask)]
    default_fill: MaskPolicy,
    /// Cells outside valid_min, valid_max or valid_range: keep or mask. They are counted in both
    /// cases.
    #[arg(long, value_name = "WHAT", default_value_t = MaskPolicy::Keep)]
    valid_range: MaskPolicy,
}

fn parse_chunk(text: &str) -> Result<(String, usize), String> {
    let (dim, size) = text.split_once('=').ok_or("give a dimension and a size, such as time=24")?;
    match size.parse() {
        Ok(size) if size > 0 => Ok((dim.to_owned(), size)),
        _ => Err(format!("`{size}` is not a number of cells")),
    }
}

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let options = options(arguments)?;
    let paths = listed(&arguments.paths)?;
    let atlas = open_or_create(&arguments.store, arguments.codec).await?;
    let (committing, mut is_committing) = watch::channel(false);
    let work = async {
        if let Some(pause) = arguments.watch {
            return repeat(arguments, &atlas, &paths, &options, pause, &committing).await;
        }
        let started = Instant::now();
        let report = shown(&atlas, &paths, &options, &committing).await?;
        tell(arguments, &report, started.elapsed())
    };
    let (requested, heard) = (first_request(None)?, Cell::new(None));
    let stop = async {
        heard.set(Some(requested.await));
        if *is_committing.borrow() {
            // Whoever has closed stderr need not know.
            let _ = writeln!(io::stderr(), "completing the commit first");
        }
        // Fails only without the sender, which `work` uses.
        let _ = is_committing.wait_for(|is_committing| !is_committing).await;
    };
    tokio::select! {
        biased;
        done = work => done?,
        () = stop => {}
    }
    match heard.get() {
        Some(stop) if arguments.watch.is_none() => Err(Failure::stopped(stop)),
        _ => Ok(()),
    }
}

fn options(arguments: &Arguments) -> Result<ImportOptions> {
    let update = arguments.existing == Existing::Update || arguments.watch.is_some();
    if arguments.checksum && !update {
        return Err(Failure::new("--checksum tells which files have changed: add --existing update"));
    }
    if arguments.watch.is_some() && matches!(arguments.existing, Existing::Skip | Existing::Replace) {
        return Err(Failure::new("--watch imports what is new or changed: leave out --existing"));
    }
    let defaults = ImportOptions::default();
    Ok(ImportOptions {
        name_from: arguments.name_from.clone(),
        concat: arguments
            .concat
            .clone()
            .zip(arguments.dataset_from.clone())
            .map(|(dim, dataset)| Concat { dim, dataset }),
        existing: if update { Existing::Update } else { arguments.existing },
        checksum: arguments.checksum,
        dry_run: arguments.dry_run,
        commit_every: arguments.commit_every,
        skip_errors: arguments.skip_errors || arguments.watch.is_some(),
        strict: arguments.strict,
        stall_limit: arguments.stall_limit,
        jobs: arguments.jobs.unwrap_or(defaults.jobs),
        chunk: arguments.chunk.iter().cloned().collect::<HashMap<_, _>>(),
        calendar: arguments.calendar,
        default_fill: arguments.default_fill,
        valid_range: arguments.valid_range,
    })
}

/// The paths, with `-` replaced by the list on stdin. Paths on stdin are separated by NULs, as
/// `find -print0` writes them, if there are any; otherwise by line breaks.
fn listed(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::with_capacity(paths.len());
    for path in paths {
        if path.as_os_str() != "-" {
            all.push(path.clone());
            continue;
        }
        let mut list = Vec::new();
        io::stdin().read_to_end(&mut list)?;
        let end = if list.contains(&0) { 0 } else { b'\n' };
        let lines = list.split(|&byte| byte == end).map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        for line in lines.filter(|line| !line.is_empty()) {
            all.push(listed_path(line)?);
        }
    }
    if all.is_empty() {
        return Err(Failure::new("the list on stdin is empty: there is nothing to import"));
    }
    Ok(all)
}

/// A path of the list on stdin.
#[cfg(unix)]
fn listed_path(bytes: &[u8]) -> Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    Ok(PathBuf::from(std::ffi::OsStr::from_bytes(bytes)))
}

#[cfg(not(unix))]
fn listed_path(bytes: &[u8]) -> Result<PathBuf> {
    let text = std::str::from_utf8(bytes);
    text.map(PathBuf::from).map_err(|_| Failure::new("a path in the list on stdin is not UTF-8"))
}

/// Imports, and shows the progress.
async fn shown(
    atlas: &Atlas,
    paths: &[PathBuf],
    options: &ImportOptions,
    committing: &watch::Sender<bool>,
) -> Result<Report, atlas_import::Error> {
    // The bar is written to stderr, and only drawn if that is a terminal.
    let bar = ProgressBar::new(0);
    if let Ok(style) =
        ProgressStyle::with_template("{wide_bar} {pos}/{len} files  {per_sec}  {msg}  ETA {eta}")
    {
        bar.set_style(style);
    }
    let show = |progress: Progress| {
        bar.set_length(progress.total as u64);
        bar.set_position(progress.files as u64);
        bar.set_message(Bytes(progress.bytes).to_string());
        committing.send_replace(progress.committing);
    };
    let report = import(atlas, paths, options, &show).await;
    committing.send_replace(false);
    bar.finish_and_clear();
    report
}

/// Repeatedly imports new and changed files.
async fn repeat(
    arguments: &Arguments,
    atlas: &Atlas,
    paths: &[PathBuf],
    options: &ImportOptions,
    pause: Duration,
    committing: &watch::Sender<bool>,
) -> Result<()> {
    // Files that could not be read, with the reasons. They are not reported again while the reason
    // stays the same.
    let mut told: HashSet<String> = HashSet::new();
    loop {
        let started = Instant::now();
        let mut report = match shown(atlas, paths, options, committing).await {
            Ok(report) => report,
            // The directory may still be empty, and its first files come later.
            Err(atlas_import::Error::Nothing { .. }) => Report::default(),
            Err(error) => return Err(error.into()),
        };
        let now: HashSet<String> = report.skipped.iter().map(|(_, error)| error.to_string()).collect();
        report.skipped.retain(|(_, error)| !told.contains(&error.to_string()));
        told = now;
        if report.imported > 0 || !report.skipped.is_empty() {
            tell(arguments, &report, started.elapsed())?;
            io::stdout().flush()?;
        }
        tokio::time::sleep(pause).await;
    }
}

fn tell(arguments: &Arguments, report: &Report, taken: Duration) -> Result<()> {
    let mut out = Printable::new(io::stdout());
    if arguments.dry_run {
        for planned in &report.planned {
            let what = if planned.replaces { "replace" } else { "add" };
            writeln!(out, "would {what} {} from {}", planned.dataset, planned.path.display())?;
        }
        writeln!(out, "would be {}", summary(report))?;
    } else {
        let seconds = taken.as_secs_f64();
        let read = match report.joined.as_slice() {
            [] => report.imported,
            joined => joined.iter().map(|joined| joined.files).sum(),
        };
        let files = read + report.unchanged + report.existing;
        #[allow(clippy::cast_precision_loss)]
        let rate = files as f64 / seconds.max(1e-9);
        let bytes = Bytes(report.bytes);
        writeln!(out, "{} ({bytes}) in {seconds:.1} s, {rate:.0} files/s", summary(report))?;
    }
    drop(out);
    let mut stderr = Printable::new(io::stderr());
    for joined in &report.joined {
        let (dataset, files) = (&joined.dataset, count(joined.files, "file"));
        writeln!(stderr, "{dataset}: {files} joined")?;
        for remark in &joined.remarks {
            writeln!(stderr, "  {remark}")?;
        }
    }
    for dim in &report.unknown_dims {
        writeln!(stderr, "no array has the dimension `{dim}`: its --chunk did nothing")?;
    }
    let more = report::write(&mut stderr, &report.notices, report::SCREEN)?;
    if more > 0 {
        writeln!(stderr, "and {more} more: atlas info {} --import", arguments.store)?;
    }
    if !report.skipped.is_empty() {
        writeln!(stderr, "skipped {}:", count(report.skipped.len(), "file"))?;
        for (_, error) in &report.skipped {
            writeln!(stderr, "  {error}")?;
        }
    }
    Ok(())
}

/// `12 new, 3 replaced, 2,402 unchanged, 1 skipped (why)`.
fn summary(report: &Report) -> String {
    let extended = report.joined.iter().filter(|joined| joined.extended).count();
    let mut parts = vec![format!("{} new", grouped(report.imported - report.replaced - extended))];
    let mut part = |number: usize, what: &str| {
        if number > 0 {
            parts.push(format!("{} {what}", grouped(number)));
        }
    };
    part(report.replaced, "replaced");
    part(extended, "extended");
    part(report.unchanged, "unchanged");
    part(report.existing, "skipped (the store has them)");
    if let Some((path, error)) = report.skipped.first() {
        let told = error.to_string();
        let why = told.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&told);
        let others = if report.skipped.len() > 1 { ", …" } else { "" };
        part(report.skipped.len(), &format!("skipped ({why}{others})"));
    }
    parts.join(", ")
}

/// Lists the sources of a store's datasets: where each was imported from.
pub(crate) async fn sources(location: &str) -> Result<()> {
    let atlas = Atlas::open_url(location).await?;
    let catalog = atlas.snapshot().load().await?;
    let mut out = Printable::new(io::stdout().lock());
    for (_, dataset) in catalog.datasets() {
        let sources = Source::of_dataset(&dataset);
        if sources.is_empty() {
            writeln!(out, "{}: not imported, or before sources were remembered", dataset.name())?;
        }
        for source in sources {
            let time = source.modified.and_then(timestamp_ns_to_datetime);
            let time = time
                .map_or_else(|| "unknown".to_owned(), |time| time.format("%Y-%m-%d %H:%M:%SZ").to_string());
            let checksum = source.checksum.map_or_else(String::new, |sum| format!("  crc64nvme {sum:016x}"));
            let (location, size) = (source.location, Bytes(source.size));
            writeln!(out, "{}: {location}  {size}  modified {time}{checksum}", dataset.name())?;
        }
    }
    Ok(())
}

async fn open_or_create(location: &str, codec: Option<Codec>) -> Result<Atlas> {
    match Atlas::open_url(location).await {
        Ok(atlas) => {
            let found = atlas.snapshot().root().codec();
            match codec.filter(|codec| *codec != found) {
                None => Ok(atlas),
                Some(_) => {
                    Err(Failure::new(format!("the store's codec is {found} already: leave out --codec")))
                }
            }
        }
        Err(atlas::Error::NoStore { .. }) => Ok(Atlas::create_url(
            location,
            StoreConfig { codec: codec.unwrap_or_default(), ..StoreConfig::default() },
        )
        .await?),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_summed_up_in_a_line() {
        let bad = |path: &str| {
            let error = atlas_import::Error::File { path: path.into(), reason: "it is empty".into() };
            (PathBuf::from(path), error)
        };
        let mut report = Report { imported: 15, replaced: 3, unchanged: 2402, ..Report::default() };
        report.skipped = vec![bad("a.nc")];
        assert_eq!(summary(&report), "12 new, 3 replaced, 2,402 unchanged, 1 skipped (it is empty)");
        report.skipped.push(bad("b.nc"));
        assert!(summary(&report).ends_with("2 skipped (it is empty, …)"));
        assert_eq!(
            summary(&Report { existing: 7, ..Report::default() }),
            "0 new, 7 skipped (the store has them)"
        );
        let shown: Vec<_> = [0, 999, 1000, 1_234_567].map(grouped).into();
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
    }
}
