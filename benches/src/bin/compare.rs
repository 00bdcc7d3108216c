//! Runs the same queries over the same rows in a store and in Parquet, alternately in one session.
//!
//! `cargo run --release -p atlas-benches --bin compare` makes the workloads in a temporary
//! directory (`--dir` keeps them), checks that both give the same answers, and prints medians and
//! their ratios. `--json FILE` also writes them to a file.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use atlas_benches::workloads::{Query, Workload, workloads};
use atlas_datafusion::session_state;
use clap::Parser;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionContext;
use futures::StreamExt;

/// The allocator of the shell, and of DataFusion's own shell.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Atlas against Parquet.
#[derive(Parser)]
struct Arguments {
    /// The number of runs of each query; the median counts.
    #[arg(long, default_value_t = 7)]
    runs: usize,
    /// The workloads to run, by name; by default all.
    #[arg(long, value_delimiter = ',')]
    workload: Vec<String>,
    /// The query to run, by name; by default all.
    #[arg(long)]
    query: Option<String>,
    /// The directory in which the data are made and kept; by default a temporary one.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Writes the rows of the table as JSON to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Settings of the session, for both formats: `name=value`.
    #[arg(long)]
    set: Vec<String>,
    /// Runs each query this many times on the store only, for a profiler.
    #[arg(long)]
    profile: Option<usize>,
    /// Only makes the data.
    #[arg(long)]
    make: bool,
    /// Only scans all columns of one workload, and reports the peak memory.
    #[arg(long, hide = true)]
    scan: Option<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    let temporary = tempfile::tempdir()?;
    let directory = arguments.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&directory)?;
    let chosen = |workload: &Workload| {
        arguments.workload.is_empty() || arguments.workload.iter().any(|name| name == workload.name)
    };
    if let Some(name) = &arguments.scan {
        return runtime.block_on(scan(name, &directory, &arguments));
    }
    let (mut rows, mut sizes) = (Vec::new(), Vec::new());
    for workload in workloads().iter().filter(|workload| chosen(workload)) {
        // In a process of its own, so that the measurement does not include remains of making the
        // data.
        if arguments.make {
            runtime.block_on(workload.make(&directory))?;
            continue;
        }
        run(Command::new(std::env::current_exe()?)
            .args(["--make", "--workload", workload.name, "--dir"])
            .arg(&directory))?;
        runtime.block_on(compare(workload, &directory, &arguments, &mut rows))?;
        let (store, parquet) = (bytes(&workload.store(&directory))?, bytes(&workload.parquet(&directory))?);
        sizes.push(serde_json::json!({
            "workload": workload.name, "atlas_bytes": store, "parquet_bytes": parquet,
            "ratio": store as f64 / parquet as f64,
        }));
    }
    if arguments.make {
        return Ok(());
    }
    println!("\n| workload | Atlas MB | Parquet MB | Atlas / Parquet |\n| --- | --: | --: | --: |");
    for size in &sizes {
        let number = |key: &str| size[key].as_f64().unwrap_or_default();
        println!(
            "| {} | {:.1} | {:.1} | {:.2} |",
            size["workload"].as_str().unwrap_or_default(),
            number("atlas_bytes") / 1e6,
            number("parquet_bytes") / 1e6,
            number("ratio")
        );
    }
    if workloads().iter().any(|workload| workload.name == "grid" && chosen(workload)) {
        let output =
            run(Command::new(std::env::current_exe()?).args(["--scan", "grid", "--dir"]).arg(&directory))?;
        println!("\n{output}");
    }
    if let Some(file) = &arguments.json {
        std::fs::write(file, serde_json::to_string_pretty(&rows)?)?;
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

async fn session(arguments: &Arguments) -> Result<SessionContext> {
    let ctx = SessionContext::new_with_state(session_state());
    for setting in &arguments.set {
        ctx.sql(&format!("SET {setting}")).await?.collect().await?;
    }
    Ok(ctx)
}

/// Runs the queries of a workload, and prints and adds the rows of its table.
async fn compare(
    workload: &Workload,
    directory: &Path,
    arguments: &Arguments,
    rows: &mut Vec<serde_json::Value>,
) -> Result<()> {
    let ctx = session(arguments).await?;
    let atlas = workload.open(&ctx, directory).await?;
    let (threshold, split) = workload.threshold(&atlas).await?;
    println!("\n## {}: {}\n", workload.name, workload.about);
    println!("A predicate below or above {threshold:.4} splits {:.1} % of the chunks.\n", split * 100.0);
    println!("| query | Atlas ms | Parquet ms | ratio | Atlas bytes, first run | Parquet bytes |");
    println!("| --- | --: | --: | --: | --: | --: |");
    for query in workload
        .queries
        .iter()
        .filter(|query| arguments.query.as_deref().is_none_or(|name| name == query.name))
    {
        let sql = query.sql.replace("{threshold}", &threshold.to_string());
        let of = |table: &str| sql.replace("FROM t", &format!("FROM {table}"));
        let (atlas, parquet) = (of("atlas"), of("parquet"));
        if let Some(runs) = arguments.profile {
            for _ in 0..runs {
                time(&ctx, &atlas).await?;
            }
            continue;
        }
        // The first runs give the answers, and warm the caches.
        let (atlas_answer, atlas_bytes) = answer(&ctx, &atlas, "bytes_read").await?;
        let (parquet_answer, parquet_bytes) = answer(&ctx, &parquet, "bytes_scanned").await?;
        check(query, &atlas_answer, &parquet_answer)
            .map_err(|reason| format!("{}, {}: {reason}", workload.name, query.name))?;
        let (mut atlas_times, mut parquet_times) = (Vec::new(), Vec::new());
        for _ in 0..arguments.runs.max(1) {
            for (times, sql) in [(&mut atlas_times, &atlas), (&mut parquet_times, &parquet)] {
                // The previous query of the other format affects the processor's caches. An
                // uncounted run removes the effect.
                time(&ctx, sql).await?;
                times.push(time(&ctx, sql).await?);
            }
        }
        let (atlas_ms, parquet_ms) = (median(atlas_times), median(parquet_times));
        let ratio = parquet_ms / atlas_ms;
        println!(
            "| {} | {atlas_ms:.2} | {parquet_ms:.2} | {ratio:.1} | {atlas_bytes} | {parquet_bytes} |",
            query.name
        );
        rows.push(serde_json::json!({
            "workload": workload.name, "query": query.name, "sql": sql, "atlas_ms": atlas_ms,
            "parquet_ms": parquet_ms, "ratio": ratio, "atlas_bytes": atlas_bytes, "parquet_bytes": parquet_bytes,
        }));
    }
    Ok(())
}

/// The rows of a query, and the bytes that its scans read.
async fn answer(ctx: &SessionContext, sql: &str, metric: &str) -> Result<(Vec<RecordBatch>, usize)> {
    let plan = ctx.sql(sql).await?.create_physical_plan().await?;
    let batches = collect(Arc::clone(&plan), ctx.task_ctx()).await?;
    Ok((batches, metric_of(&plan, metric)))
}

fn metric_of(plan: &Arc<dyn ExecutionPlan>, name: &str) -> usize {
    let own = plan.metrics().and_then(|metrics| metrics.sum_by_name(name)).map_or(0, |m| m.as_usize());
    own + plan.children().into_iter().map(|child| metric_of(child, name)).sum::<usize>()
}

async fn time(ctx: &SessionContext, sql: &str) -> Result<Duration> {
    let started = Instant::now();
    ctx.sql(sql).await?.collect().await?;
    Ok(started.elapsed())
}

/// In milliseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

/// The cells of an answer. Cells that are not floats come first in the order, so that rows of two
/// answers match up.
type Row = (Vec<String>, Vec<f64>);

/// Checks that two answers are equal, with rows in any order and floats except for their last
/// digits.
fn check(query: &Query, a: &[RecordBatch], b: &[RecordBatch]) -> std::result::Result<(), String> {
    let (a, b) = (rows(query, a).map_err(|e| e.to_string())?, rows(query, b).map_err(|e| e.to_string())?);
    if a.len() != b.len() {
        return Err(format!("{} rows and {} rows", a.len(), b.len()));
    }
    let near =
        |a: f64, b: f64| a.to_bits() == b.to_bits() || a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
    for (a, b) in a.iter().zip(&b) {
        if a.0 != b.0 || a.1.len() != b.1.len() || !a.1.iter().zip(&b.1).all(|(&a, &b)| near(a, b)) {
            return Err(format!("{a:?} and {b:?}"));
        }
    }
    Ok(())
}

fn rows(query: &Query, batches: &[RecordBatch]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for batch in batches {
        let schema = batch.schema();
        let compared = |name: &str| query.compared.is_none_or(|compared| compared == name);
        let columns = schema.fields().iter().zip(batch.columns());
        let columns = columns.filter(|(field, _)| compared(field.name())).map(|(_, column)| column);
        let (floats, others): (Vec<_>, Vec<_>) = columns.partition(|c| c.data_type().is_floating());
        let floats: Vec<_> = floats
            .into_iter()
            .map(|column| cast(column, &DataType::Float64))
            .collect::<std::result::Result<_, _>>()?;
        let options = FormatOptions::default();
        let others: Vec<_> = others
            .into_iter()
            .map(|column| ArrayFormatter::try_new(column, &options))
            .collect::<std::result::Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            let others = others.iter().map(|column| column.value(row).to_string()).collect();
            let float = |column: &arrow::array::ArrayRef| {
                let column = column.as_primitive::<Float64Type>();
                if arrow::array::Array::is_null(column, row) { f64::NAN } else { column.value(row) }
            };
            rows.push((others, floats.iter().map(float).collect()));
        }
    }
    let order = |a: &Row, b: &Row| {
        let floats = || {
            let pairs = a.1.iter().zip(&b.1).map(|(a, b)| a.total_cmp(b));
            pairs.into_iter().find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
        };
        a.0.cmp(&b.0).then_with(floats)
    };
    rows.sort_by(order);
    Ok(rows)
}

/// Scans all columns of a workload with two partitions, and reports the peak memory.
async fn scan(name: &str, directory: &Path, arguments: &Arguments) -> Result<()> {
    let ctx = session(arguments).await?;
    ctx.sql("SET datafusion.execution.target_partitions = 2").await?.collect().await?;
    let workload =
        workloads().into_iter().find(|workload| workload.name == name).ok_or("no such workload")?;
    workload.open(&ctx, directory).await?;
    let started = Instant::now();
    let plan = ctx.sql("SELECT * FROM atlas").await?.create_physical_plan().await?;
    let streams = (0..plan.properties().output_partitioning().partition_count()).map(|partition| {
        let (plan, context) = (Arc::clone(&plan), ctx.task_ctx());
        tokio::spawn(async move {
            let mut stream = plan.execute(partition, context)?;
            let mut rows = 0;
            while let Some(batch) = stream.next().await {
                rows += batch?.num_rows();
            }
            datafusion::common::Result::<_>::Ok(rows)
        })
    });
    let mut rows = 0;
    for stream in streams.collect::<Vec<_>>() {
        rows += stream.await??;
    }
    let seconds = started.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no peak of memory is told")?;
    let peak: f64 = peak.trim().trim_end_matches(" kB").parse()?;
    println!(
        "A scan of all columns of {name} with 2 partitions: {rows} rows in {seconds:.2} s, peak memory {:.0} MiB.",
        peak / 1024.0
    );
    Ok(())
}

/// The size of a file, or of the files in a directory.
fn bytes(path: &Path) -> Result<u64> {
    let meta = std::fs::metadata(path)?;
    if !meta.is_dir() {
        return Ok(meta.len());
    }
    std::fs::read_dir(path)?.map(|entry| bytes(&entry?.path())).sum()
}
