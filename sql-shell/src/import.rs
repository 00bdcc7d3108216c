//! `atlas import`.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use atlas::{Atlas, Codec, StoreConfig};
use atlas_import::{CalendarPolicy, ImportOptions, MaskPolicy, NameFrom, Progress, import};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::error::{Failure, Result};
use crate::output::{Bytes, count};
use crate::printable::Printable;
use crate::report;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The store: a directory or a URL.
    store: String,
    /// NetCDF files, directories of them, or globs.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// What datasets are named after: stem, path, or attr:KEY for a global attribute.
    #[arg(long, value_name = "WHAT", default_value_t)]
    name_from: NameFrom,
    /// Go on past files that cannot be read, and list them at the end.
    #[arg(long)]
    skip_errors: bool,
    /// Refuse files of which a part cannot be read, instead of leaving that part out.
    #[arg(long)]
    strict: bool,
    /// How long to wait for the next values of a file before it fails, such as 30s or 1h.
    #[arg(long, value_name = "TIME", value_parser = crate::maintain::parse_age, default_value = "10min")]
    stall_limit: Duration,
    /// Files to read at one time; as many as there are processors, by default.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// The compression of a new store: zstd, lz4 or none.
    #[arg(long)]
    codec: Option<Codec>,
    /// Chunk sizes by dimension, such as time=24,lat=50.
    #[arg(long, value_name = "DIM=N,…", value_delimiter = ',', value_parser = parse_chunk)]
    chunk: Vec<(String, usize)>,
    /// Times in calendars such as noleap or 360_day: keep the numbers, or convert them to
    /// timestamps with the same dates, NULL where there is no such date.
    #[arg(long, value_name = "WHAT", default_value_t)]
    calendar: CalendarPolicy,
    /// What becomes of cells with NetCDF's default fill value, where a variable has no _FillValue:
    /// mask or keep.
    #[arg(long, value_name = "WHAT", default_value_t = MaskPolicy::Mask)]
    default_fill: MaskPolicy,
    /// What becomes of cells outside valid_min, valid_max or valid_range: keep or mask. They are
    /// counted either way.
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
    let started = Instant::now();
    let atlas = open_or_create(&arguments.store, arguments.codec).await?;
    let defaults = ImportOptions::default();
    let options = ImportOptions {
        name_from: arguments.name_from.clone(),
        skip_errors: arguments.skip_errors,
        strict: arguments.strict,
        stall_limit: arguments.stall_limit,
        jobs: arguments.jobs.unwrap_or(defaults.jobs),
        chunk: arguments.chunk.iter().cloned().collect::<HashMap<_, _>>(),
        calendar: arguments.calendar,
        default_fill: arguments.default_fill,
        valid_range: arguments.valid_range,
    };
    // The bar is on stderr, and is not drawn where that is no terminal.
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
    };
    let report = import(&atlas, &arguments.paths, &options, &show).await;
    bar.finish_and_clear();
    let report = report?;

    let seconds = started.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss)]
    let rate = report.imported as f64 / seconds.max(1e-9);
    let (imported, bytes) = (count(report.imported, "dataset"), Bytes(report.bytes));
    writeln!(io::stdout(), "{imported} ({bytes}) imported in {seconds:.1} s, {rate:.0} files/s")?;
    let mut stderr = Printable::new(io::stderr());
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
