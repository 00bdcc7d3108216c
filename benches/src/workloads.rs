//! The stores that Atlas is compared on, the same rows as Parquet, and the queries.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use atlas::{ArraySchema, Atlas, AttributeValue, DType, Element, ReadMetrics, StoreConfig, Timestamp};
use atlas_datafusion::{register_store, session_state};
use datafusion::prelude::{ParquetReadOptions, SessionContext};

use crate::{chance, fraction, real_data};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const HOUR: i64 = 3_600_000_000_000;

/// Datasets that are alike, and what is asked of them.
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// The queries, over a table `t`; `{threshold}` stands for a value that splits a twentieth of the chunks.
    pub queries: Vec<Query>,
    /// The variable that the threshold is of.
    pub variable: &'static str,
    source: Source,
}

/// A question.
pub struct Query {
    /// Its name.
    pub name: &'static str,
    /// Its SQL.
    pub sql: &'static str,
    /// The column that decides whether two answers are the same, where ties make the others a matter of chance; else all.
    pub compared: Option<&'static str>,
}

enum Source {
    Profiles { datasets: usize },
    Grids { datasets: usize },
    Series { datasets: usize },
    Files(PathBuf),
}

fn query(name: &'static str, sql: &'static str) -> Query {
    Query { name, sql, compared: None }
}

/// Every workload that can be made here.
pub fn workloads() -> Vec<Workload> {
    let mut all = vec![
        Workload {
            name: "profile",
            about: "1,000 datasets, temperature and salinity f32 (depth 50, time 168), 3 decimals",
            variable: "temperature",
            source: Source::Profiles { datasets: 1000 },
            queries: fields(
                "SELECT sum(temperature) FROM t",
                vec![
                    query("mean of a product", "SELECT avg(temperature * salinity) FROM t"),
                    query("mean by depth", "SELECT depth, avg(temperature) FROM t GROUP BY depth"),
                    query("one dataset", "SELECT * FROM t WHERE dataset = 'profile-0500'"),
                ],
            ),
        },
        Workload {
            name: "grid",
            about: "60 datasets, temperature f32 (2 decimals), pressure f64 (noise), humidity f32 (1 decimal), \
                    (lon 100, lat 100, time 48), chunks (50, 50, 24)",
            variable: "temperature",
            source: Source::Grids { datasets: 60 },
            queries: fields(
                "SELECT sum(pressure) FROM t",
                vec![
                    query("mean of an expression", "SELECT avg(temperature * humidity + pressure) FROM t"),
                    query("mean by latitude", "SELECT lat, avg(temperature) FROM t GROUP BY lat"),
                    query(
                        "mean in a box",
                        "SELECT avg(temperature) FROM t WHERE lon BETWEEN 10 AND 19.5 AND lat BETWEEN 20 AND 29.5",
                    ),
                    query("one dataset", "SELECT * FROM t WHERE dataset = 'grid-0030'"),
                ],
            ),
        },
        Workload {
            name: "sensors",
            about: "1,000 datasets of (24,), temperature f32 (3 decimals)",
            variable: "temperature",
            source: Source::Series { datasets: 1000 },
            queries: series(),
        },
        Workload {
            name: "million",
            about: "1,000,000 datasets of (24,), temperature f32 (3 decimals)",
            variable: "temperature",
            source: Source::Series { datasets: 1_000_000 },
            queries: series(),
        },
    ];
    if let Some(data) = real_data() {
        all.push(Workload {
            name: "argo",
            about: "583 files of five Argo floats",
            variable: "TEMP",
            source: Source::Files(data.join("argo")),
            queries: vec![
                query("mean by dataset", "SELECT dataset, avg(\"TEMP\") FROM t GROUP BY dataset"),
                query("mean", "SELECT avg(\"TEMP\") FROM t"),
                query("count", "SELECT count(\"TEMP\") FROM t"),
                query("max", "SELECT max(\"PSAL\") FROM t"),
                query("mean below a value", "SELECT avg(\"TEMP\") FROM t WHERE \"TEMP\" < {threshold}"),
                query("mean of a product", "SELECT avg(\"TEMP\" * \"PSAL\") FROM t"),
                query(
                    "one dataset",
                    "SELECT dataset, \"PRES\", \"TEMP\", \"PSAL\" FROM t WHERE dataset = 'D1900722_100'",
                ),
            ],
        });
    }
    all
}

/// What is asked of every field of temperatures, with a sum to ask for, and what of one kind alone.
fn fields(sum: &'static str, own: Vec<Query>) -> Vec<Query> {
    let mut queries = vec![
        query("mean by dataset", "SELECT dataset, avg(temperature) FROM t GROUP BY dataset"),
        query("mean", "SELECT avg(temperature) FROM t"),
        query("sum", sum),
        query("count", "SELECT count(*) FROM t"),
        query("min", "SELECT min(temperature) FROM t"),
        query("max", "SELECT max(temperature) FROM t"),
        query("mean below a value", "SELECT avg(temperature) FROM t WHERE temperature < {threshold}"),
        query("sum below a value", "SELECT sum(temperature) FROM t WHERE temperature < {threshold}"),
        query("count above a value", "SELECT count(*) FROM t WHERE temperature > {threshold}"),
        query(
            "mean by day",
            "SELECT date_trunc('day', time), avg(temperature) FROM t GROUP BY date_trunc('day', time)",
        ),
    ];
    queries.extend(own);
    queries.push(Query {
        name: "warmest ten",
        sql: "SELECT * FROM t ORDER BY temperature DESC LIMIT 10",
        compared: Some("temperature"),
    });
    queries
}

fn series() -> Vec<Query> {
    vec![
        query("mean by dataset", "SELECT dataset, avg(temperature) FROM t GROUP BY dataset"),
        query("mean", "SELECT avg(temperature) FROM t"),
        query("count", "SELECT count(*) FROM t"),
        query("max", "SELECT max(temperature) FROM t"),
        query("mean by hour", "SELECT date_part('hour', time), avg(temperature) FROM t GROUP BY 1"),
        query("one dataset", "SELECT * FROM t WHERE dataset = 'series-0000500'"),
    ]
}

impl Workload {
    /// Writes the workload into `directory`, as a store and as Parquet, unless it is there.
    ///
    /// # Errors
    /// Where there is no room, or real files cannot be read.
    pub async fn make(&self, directory: &Path) -> Result<()> {
        let parquet = self.parquet(directory);
        if parquet.exists() {
            return Ok(());
        }
        let store = self.store(directory);
        let _ = std::fs::remove_dir_all(&store);
        let atlas = Atlas::create_url(path(&store)?, StoreConfig::default()).await?;
        match &self.source {
            Source::Profiles { datasets } => {
                for number in 0..*datasets {
                    profile(&atlas, number).await?;
                }
            }
            Source::Grids { datasets } => {
                for number in 0..*datasets {
                    grid(&atlas, number).await?;
                }
            }
            Source::Series { datasets } => {
                for number in 0..*datasets {
                    one_series(&atlas, number).await?;
                }
            }
            Source::Files(files) => {
                let options = atlas_import::ImportOptions::default();
                atlas_import::import(&atlas, std::slice::from_ref(files), &options, &|_| ()).await?;
            }
        }
        atlas.flush().await?;
        // One partition, so that the rows keep their order; else the writer's own settings: zstd, groups of 1 Mi rows,
        // statistics of pages, a page index.
        let ctx = SessionContext::new_with_state(session_state());
        register_store(&ctx, "t", &atlas)?;
        ctx.sql("SET datafusion.execution.target_partitions = 1").await?.collect().await?;
        let partial = parquet.with_extension("partial");
        let sql = format!("COPY (SELECT * FROM t) TO '{}' STORED AS PARQUET", path(&partial)?);
        ctx.sql(&sql).await?.collect().await?;
        std::fs::rename(partial, parquet)?;
        Ok(())
    }

    /// Where the store is.
    pub fn store(&self, directory: &Path) -> PathBuf {
        directory.join(self.name)
    }

    /// Where the Parquet file is.
    pub fn parquet(&self, directory: &Path) -> PathBuf {
        directory.join(format!("{}.parquet", self.name))
    }

    /// Opens both in a session, as the tables `atlas` and `parquet`.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub async fn open(&self, ctx: &SessionContext, directory: &Path) -> Result<Atlas> {
        let atlas = Atlas::open_url(path(&self.store(directory))?).await?;
        register_store(ctx, "atlas", &atlas)?;
        ctx.deregister_table("parquet")?;
        let options = ParquetReadOptions::default();
        ctx.register_parquet("parquet", path(&self.parquet(directory))?, options).await?;
        Ok(atlas)
    }

    /// A value that lies between the bounds of a twentieth of the chunks of the workload's variable and above those of the
    /// others; and the share of the chunks that it splits.
    ///
    /// # Errors
    /// Where the index cannot be read.
    pub async fn threshold(&self, atlas: &Atlas) -> Result<(f64, f64)> {
        let snapshot = atlas.snapshot();
        let catalog = snapshot.load().await?;
        let index = snapshot.index(self.variable, &ReadMetrics::default()).await?;
        let mut bounds = Vec::new();
        for (chunk, ..) in index.live(&catalog, self.variable) {
            let statistics = index.statistics(chunk)?;
            let both = statistics.min.zip(statistics.max);
            bounds.extend(both.and_then(|(min, max)| Some((f64::from_value(&min)?, f64::from_value(&max)?))));
        }
        let mut maxima: Vec<_> = bounds.iter().map(|&(_, max)| max).collect();
        maxima.sort_by(f64::total_cmp);
        let place = maxima.len() * 19 / 20;
        let threshold = maxima.get(place).ok_or("the variable has no chunks")? - 1e-4;
        let split = bounds.iter().filter(|&&(min, max)| min < threshold && threshold <= max).count();
        Ok((threshold, split as f64 / bounds.len() as f64))
    }
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| "a directory has a name that is not text".into())
}

fn rounded(value: f64, digits: i32) -> f32 {
    let scale = 10f64.powi(digits);
    ((value * scale).round() / scale) as f32
}

/// Defines and writes a whole array.
async fn put(
    atlas: &Atlas,
    dataset: &str,
    schema: ArraySchema,
    shape: &[usize],
    cells: arrow::array::ArrayRef,
) -> Result<()> {
    let dataset = atlas.open_dataset(dataset).await?;
    let name = schema.name.clone();
    dataset.define(schema, shape)?;
    dataset.write_arrow(&name, &vec![0; shape.len()], shape, cells).await?;
    Ok(())
}

async fn hours(atlas: &Atlas, dataset: &str, first: i64, count: usize) -> Result<()> {
    let hours = (0i64..).take(count).map(|hour| Timestamp((first + hour) * HOUR));
    let schema = ArraySchema::new("time".to_owned(), DType::Timestamp, &["time"]);
    put(atlas, dataset, schema, &[count], Timestamp::to_arrow(hours)).await
}

async fn axis(atlas: &Atlas, dataset: &str, name: &str, step: f32, count: usize) -> Result<()> {
    let values = (0..count).map(|i| i as f32 * step);
    let schema = ArraySchema::new(name.to_owned(), DType::F32, &[name]);
    put(atlas, dataset, schema, &[count], f32::to_arrow(values)).await
}

async fn profile(atlas: &Atlas, number: usize) -> Result<()> {
    const SHAPE: [usize; 2] = [50, 168];
    let name = format!("profile-{number:04}");
    atlas.create_dataset(&name).await?.set_attribute("station", AttributeValue::from(number as i64))?;
    axis(atlas, &name, "depth", 10.0, SHAPE[0]).await?;
    hours(atlas, &name, (number % 52) as i64 * 168, SHAPE[1]).await?;
    let warmth = fraction(number) * 15.0;
    let temperature = |i: usize| {
        let (depth, hour) = ((i / SHAPE[1]) as f64, (i % SHAPE[1]) as f64);
        let day = (hour / 24.0 * std::f64::consts::TAU).sin();
        10.0 + warmth - depth * 0.2 + day + (fraction(number * 8400 + i) - 0.5) * 0.4
    };
    let salinity = |i: usize| 34.0 + (i / SHAPE[1]) as f64 * 0.02 + fraction(number * 8400 + i + 1) * 0.2;
    let cells = SHAPE[0] * SHAPE[1];
    let dims = ["depth", "time"];
    for (variable, values) in [
        ("temperature", f32::to_arrow((0..cells).map(|i| rounded(temperature(i), 3)))),
        ("salinity", f32::to_arrow((0..cells).map(|i| rounded(salinity(i), 3)))),
    ] {
        let schema = ArraySchema::new(variable.to_owned(), DType::F32, &dims);
        put(atlas, &name, schema, &SHAPE, values).await?;
    }
    Ok(())
}

async fn grid(atlas: &Atlas, number: usize) -> Result<()> {
    const SHAPE: [usize; 3] = [100, 100, 48];
    let name = format!("grid-{number:04}");
    atlas.create_dataset(&name).await?;
    axis(atlas, &name, "lon", 1.0, SHAPE[0]).await?;
    axis(atlas, &name, "lat", 1.0, SHAPE[1]).await?;
    hours(atlas, &name, number as i64 * 48, SHAPE[2]).await?;
    let cells: usize = SHAPE.iter().product();
    let season = (number as f64 / 60.0 * std::f64::consts::TAU).sin() * 8.0;
    let random = |i: usize| fraction(number * cells + i);
    let temperature = |i: usize| {
        let (lat, hour) = ((i / SHAPE[2] % SHAPE[1]) as f64, (i % SHAPE[2]) as f64);
        let day = (hour / 24.0 * std::f64::consts::TAU).sin() * 2.0;
        28.0 - lat * 0.3 + season + day + random(i)
    };
    let variables: [(&str, DType, arrow::array::ArrayRef); 3] = [
        ("temperature", DType::F32, f32::to_arrow((0..cells).map(|i| rounded(temperature(i), 2)))),
        ("pressure", DType::F64, f64::to_arrow((0..cells).map(|i| 1000.0 + random(i + 1) * 30.0))),
        ("humidity", DType::F32, f32::to_arrow((0..cells).map(|i| rounded(random(i + 2) * 100.0, 1)))),
    ];
    for (variable, dtype, values) in variables {
        let mut schema = ArraySchema::new(variable.to_owned(), dtype, &["lon", "lat", "time"]);
        schema.chunk = vec![50, 50, 24];
        put(atlas, &name, schema, &SHAPE, Arc::clone(&values)).await?;
    }
    Ok(())
}

async fn one_series(atlas: &Atlas, number: usize) -> Result<()> {
    let name = format!("series-{number:07}");
    atlas.create_dataset(&name).await?;
    hours(atlas, &name, (chance(number) % 1000) as i64 * 24, 24).await?;
    let values = (0..24).map(|i| (chance(number * 24 + i) % 30_000) as f32 / 1000.0);
    let schema = ArraySchema::new("temperature".to_owned(), DType::F32, &["time"]);
    put(atlas, &name, schema, &[24], f32::to_arrow(values)).await
}
