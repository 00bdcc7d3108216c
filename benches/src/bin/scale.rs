//! Measures stores of many small datasets. Each dataset has a `(24,)` f32 variable of three
//! decimals, and its hours.
//!
//! `cargo run --release -p atlas-benches --bin scale -- 1000 10000 100000 1000000` prints a table.
//! Each phase runs in a process of its own, whose peak memory is reported.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use atlas::{Atlas, Element, ReadMetrics, StoreConfig, Timestamp};
use atlas_benches::chance;
use atlas_datafusion::{register_store, session_state};
use datafusion::prelude::SessionContext;
use ndarray::Array1;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const HOURS: usize = 24;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new()?;
    if let [phase, count, store] = arguments.as_slice()
        && phase.parse::<usize>().is_err()
    {
        let (count, store) = (count.parse()?, Path::new(store));
        runtime.block_on(async {
            match phase.as_str() {
                "write" => write(store, count).await,
                "open" => open(store, count).await,
                "query" => query(store, count).await,
                _ => add(store, count).await,
            }
        })?;
        println!("peak memory|{} MB", peak()? / 1024);
        return Ok(());
    }
    for count in &arguments {
        let directory = std::env::temp_dir().join(format!("atlas-scale-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        println!("\n## {count} datasets\n\n| what | cost |\n| --- | --- |");
        for phase in ["write", "open", "query", "add"] {
            let output =
                Command::new(std::env::current_exe()?).args([phase, count]).arg(&directory).output()?;
            if !output.status.success() {
                return Err(String::from_utf8_lossy(&output.stderr).into());
            }
            for line in String::from_utf8(output.stdout)?.lines() {
                let (what, cost) = line.split_once('|').unwrap_or((line, ""));
                println!("| {phase}: {what} | {cost} |");
            }
        }
        std::fs::remove_dir_all(&directory)?;
    }
    Ok(())
}

/// The peak memory of this process, in kB.
fn peak() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no peak memory is told")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn told(what: &str, started: Instant) {
    println!("{what}|{:.3} s", started.elapsed().as_secs_f64());
}

async fn put(atlas: &Atlas, number: usize) -> atlas::Result<()> {
    let dataset = atlas.create_dataset(&format!("station-{number:07}")).await?;
    let first = (chance(number) % 1000) as i64 * 24;
    let hours = Array1::from_iter((0..HOURS).map(|i| Timestamp((first + i as i64) * 3_600_000_000_000)));
    dataset.define_array::<Timestamp>("time", &["time"], &[HOURS], None, None)?;
    dataset.write_array("time", &[0], hours.view().into_dyn()).await?;
    let value = |i: usize| (chance(number * HOURS + i) % 30_000) as f32 / 1000.0;
    let values = Array1::from_iter((0..HOURS).map(value));
    dataset.define_array::<f32>("temperature", &["time"], &[HOURS], None, None)?;
    dataset.write_array("temperature", &[0], values.view().into_dyn()).await
}

async fn write(store: &Path, count: usize) -> Result<()> {
    let started = Instant::now();
    let atlas = Atlas::create_path(store, StoreConfig::default()).await?;
    for number in 0..count {
        put(&atlas, number).await?;
    }
    atlas.flush().await?;
    told("all datasets", started);
    let size = |path: PathBuf| std::fs::metadata(path).map(|file| file.len());
    println!("catalog|{:.3} MB", size(store.join("atlas.json"))? as f64 / 1e6);
    for (variable, segments) in atlas.snapshot().root().variables() {
        let blocks: u64 = segments.iter().map(|segment| segment.index).sum();
        let indexes: u64 = segments.iter().map(|segment| segment.size - segment.index).sum();
        println!("{variable}: blocks, index|{:.3} MB, {:.3} MB", blocks as f64 / 1e6, indexes as f64 / 1e6);
    }
    Ok(())
}

async fn open(store: &Path, count: usize) -> Result<()> {
    let started = Instant::now();
    let atlas = Atlas::open_path(store).await?;
    told("the catalog", started);
    let name = format!("station-{:07}", count / 2);
    let started = Instant::now();
    let dataset = atlas.open_dataset(&name).await?;
    dataset.read_array::<f32>("temperature", &[0], &[HOURS]).await?.unwrap();
    told("one dataset's values, the first", started);
    let started = Instant::now();
    dataset.read_array::<f32>("temperature", &[0], &[HOURS]).await?.unwrap();
    told("one dataset's values, again", started);
    let (snapshot, metrics) = (atlas.snapshot(), ReadMetrics::default());
    snapshot.index("temperature", &metrics).await?;
    println!("index, again|{} requests", metrics.requests());
    let started = Instant::now();
    let index = snapshot.index("temperature", &metrics).await?;
    let catalog = snapshot.load().await?;
    let (mut sums, mut cells) = (0.0, 0);
    for (chunk, ..) in index.live(&catalog, "temperature") {
        let known = index.statistics(chunk)?;
        sums += known.sum.as_ref().and_then(f64::from_value).unwrap_or_default();
        cells += known.row_count - known.null_count;
    }
    assert!(cells as usize == count * HOURS && sums > 0.0);
    told("every dataset's mean from the index", started);
    Ok(())
}

async fn query(store: &Path, count: usize) -> Result<()> {
    let atlas = Atlas::open_path(store).await?;
    let ctx = SessionContext::new_with_state(session_state());
    let started = Instant::now();
    register_store(&ctx, "atlas", &atlas)?;
    told("registering it", started);
    let name = format!("station-{:07}", count / 2);
    for (what, sql) in [
        ("count(*)", "SELECT count(*) FROM atlas".to_owned()),
        ("_datasets", "SELECT count(dataset), min(dataset) FROM atlas._datasets".to_owned()),
        ("one dataset", format!("SELECT avg(temperature) FROM atlas WHERE dataset = '{name}'")),
        ("grouped mean, cold", "SELECT dataset, avg(temperature) FROM atlas GROUP BY dataset".to_owned()),
        ("grouped mean, warm", "SELECT dataset, avg(temperature) FROM atlas GROUP BY dataset".to_owned()),
    ] {
        let started = Instant::now();
        ctx.sql(&sql).await?.collect().await?;
        told(what, started);
    }
    Ok(())
}

async fn add(store: &Path, count: usize) -> Result<()> {
    let atlas = Atlas::open_path(store).await?;
    let started = Instant::now();
    put(&atlas, count).await?;
    atlas.flush().await?;
    told("one dataset more", started);
    let snapshot = atlas.snapshot();
    let last = snapshot.root().variables().filter_map(|(_, segments)| segments.last());
    println!("new segments|{} bytes", last.map(|segment| segment.size).sum::<u64>());
    Ok(())
}
