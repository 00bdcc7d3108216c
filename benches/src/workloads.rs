//! The workloads of the comparison: stores, the same rows as Parquet, and queries.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use atlas::{ArraySchema, Atlas, AttributeValue, DType, Element, ReadMetrics, StoreConfig, Timestamp};
use atlas_datafusion::{register_store, session_state};
use datafusion::prelude::{ParquetReadOptions, SessionContext};

use crate::{chance, fraction, real_data};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const HOUR: i64 = 3_600_000_000_000;

/// Datasets of one kind, and the queries over them.
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// The queries, over a table `t`. `{threshold}` stands for a value that splits a twentieth of
    /// the chunks.
    pub queries: Vec<Query>,
    /// The variable of the threshold.
    pub variable: &'static str,
    source: Source,
}

/// A question.
pub struct Query {
    /// Its name.
    pub name: &'static str,
    /// Its SQL.
    pub sql: &'static str,
    /// The column by which two answers are compared, if ties make the other columns arbitrary;
    /// otherwise all columns are compared.
    pub compared: Option<&'static str>,
}

enum Source {
    Profiles { datasets: usize },
    Grids { datasets: usize },
    Series { datasets: usize },
    Floats { datasets: usize },
    Tiny { datasets: usize },
    Files(PathBuf),
}

fn query(name: &'static str, sql: &'static str) -> Query {
    Query { name, sql, compared: None }
}

/// Every workload that can be made on this machine.
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
    all.push(Workload {
        name: "floats",
        about: "2,500 datasets as of Argo floats: 1 or 2 profiles of 50 to 1,500 levels, a fifth \
                missing, 60 variables",
        variable: "TEMP",
        source: Source::Floats { datasets: 2500 },
        queries: floats(),
    });
    all.push(Workload {
        name: "tiny",
        about: "6,000 datasets of 1 to 12 levels: t f32 (z), a day, a latitude, and the attributes ship and leg",
        variable: "t",
        source: Source::Tiny { datasets: 6000 },
        queries: tiny(),
    });
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

/// The queries over every field of temperatures, with a sum, and the queries for one kind of field.
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

fn floats() -> Vec<Query> {
    vec![
        query("mean by dataset", "SELECT dataset, avg(\"TEMP\") FROM t GROUP BY dataset"),
        query("mean of a product", "SELECT avg(\"TEMP\" * \"PSAL\") FROM t"),
        query(
            "greatest near the surface",
            "SELECT dataset, max(\"TEMP\") FROM t WHERE \"PRES\" < 100 GROUP BY dataset",
        ),
        query(
            "mean by month",
            "SELECT date_trunc('month', \"JULD\"), avg(\"TEMP\") FROM t \
             WHERE \"PRES\" < 50 AND \"TEMP_QC\" = '1' GROUP BY 1",
        ),
        query("by platform", "SELECT \"PLATFORM_NUMBER\", avg(\"TEMP\"), max(\"PRES\") FROM t GROUP BY 1"),
        query(
            "by 10 degrees",
            "SELECT floor(\"LATITUDE\" / 10) * 10, count(*), avg(\"TEMP\") FROM t \
             WHERE \"PRES\" BETWEEN 0 AND 10 GROUP BY 1",
        ),
        query("northern", "SELECT count(*) FROM t WHERE \"LATITUDE\" > 0"),
        query("by level", "SELECT \"N_LEVELS\", avg(\"TEMP\") FROM t GROUP BY 1"),
        query("by profile and level", "SELECT \"N_PROF\", \"N_LEVELS\", avg(\"TEMP\") FROM t GROUP BY 1, 2"),
        query(
            "by institution and level",
            "SELECT institution, \"N_LEVELS\", avg(\"TEMP\") FROM t GROUP BY 1, 2",
        ),
        query("by dataset and level", "SELECT dataset, \"N_LEVELS\", avg(\"TEMP\") FROM t GROUP BY 1, 2"),
        query("standard deviation", "SELECT stddev(\"TEMP\") FROM t"),
        Query {
            name: "first ten, missing ones first",
            sql: "SELECT dataset, \"TEMP\" FROM t ORDER BY \"TEMP\" DESC LIMIT 10",
            compared: Some("TEMP"),
        },
    ]
}

fn tiny() -> Vec<Query> {
    vec![
        query("first ten by depth", "SELECT z, t, dataset FROM t ORDER BY z, t, dataset LIMIT 10"),
        Query { name: "warmest ten", sql: "SELECT * FROM t ORDER BY t DESC LIMIT 10", compared: Some("t") },
        Query {
            name: "warmest places",
            sql: "SELECT day, lat, max(t) m FROM t GROUP BY day, lat ORDER BY 3 DESC LIMIT 5",
            compared: Some("m"),
        },
        query(
            "different values",
            "SELECT count(DISTINCT t), count(DISTINCT ship), count(DISTINCT day) FROM t",
        ),
        query("by year", "SELECT date_trunc('year', day), avg(t) FROM t GROUP BY 1"),
        query("names or values", "SELECT count(*), avg(t) FROM t WHERE dataset LIKE '%7' OR t > 40"),
        query("cube", "SELECT ship, leg, avg(t) FROM t GROUP BY CUBE(ship, leg)"),
    ]
}

impl Workload {
    /// Writes the workload into `directory`, as a store and as Parquet, unless it is there already.
    ///
    /// # Errors
    /// If the disk is full, or real files cannot be read.
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
            Source::Floats { datasets } => {
                for number in 0..*datasets {
                    float(&atlas, number).await?;
                }
            }
            Source::Tiny { datasets } => {
                for number in 0..*datasets {
                    tiny_profile(&atlas, number).await?;
                }
            }
            Source::Files(files) => {
                let options = atlas_import::ImportOptions::default();
                atlas_import::import(&atlas, std::slice::from_ref(files), &options, &|_| ()).await?;
            }
        }
        atlas.flush().await?;
        // One partition, so that the rows keep their order. Otherwise the writer's default
        // settings: zstd, row groups of 1 Mi rows, page statistics, a page index.
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

    /// The path of the Parquet file.
    pub fn parquet(&self, directory: &Path) -> PathBuf {
        directory.join(format!("{}.parquet", self.name))
    }

    /// Opens both in a session, as the tables `atlas` and `parquet`.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn open(&self, ctx: &SessionContext, directory: &Path) -> Result<Atlas> {
        let atlas = Atlas::open_url(path(&self.store(directory))?).await?;
        register_store(ctx, "atlas", &atlas)?;
        ctx.deregister_table("parquet")?;
        let options = ParquetReadOptions::default();
        ctx.register_parquet("parquet", path(&self.parquet(directory))?, options).await?;
        Ok(atlas)
    }

    /// A value that lies between the bounds of a twentieth of the chunks of the workload's
    /// variable, and above those of the others; and the share of the chunks that it splits.
    ///
    /// # Errors
    /// If the index cannot be read.
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

/// One or two profiles of an Argo float.
async fn float(atlas: &Atlas, number: usize) -> Result<()> {
    let random = |i: usize| fraction(number * 100_003 + i);
    let profiles = 1 + number % 2;
    let most = if random(1) < 0.3 { 1500.0 } else { 200.0 };
    let levels = 50 + (random(2) * (most - 50.0)) as usize;
    let name = format!("R{:07}_{:03}", 1_900_000 + number / 25, number % 25);
    let institution = ["AO", "BO", "CS", "IF", "JA", "KO", "ME", "NM"][number / 25 % 8];
    atlas.create_dataset(&name).await?.set_attribute("institution", AttributeValue::from(institution))?;
    let cells = profiles * levels;
    let there = (levels as f64 * (0.6 + 0.4 * random(3))) as usize;
    let pressure = |i: usize| (i % levels) as f64 * 2000.0 / levels as f64 + random(i);
    let column = |value: &dyn Fn(usize) -> f64, digits: i32| -> arrow::array::ArrayRef {
        let value = |i: usize| (i % levels < there).then(|| rounded(value(i), digits));
        Arc::new((0..cells).map(value).collect::<arrow::array::Float32Array>())
    };
    let temperature = |i: usize| 28.0 * (-pressure(i) / 600.0).exp() + random(i + 7) * 0.6;
    let salinity = |i: usize| 34.5 + pressure(i) / 4000.0 + random(i + 11) * 0.1;
    let mut variables = vec![
        ("PRES".to_owned(), column(&pressure, 1)),
        ("TEMP".to_owned(), column(&temperature, 3)),
        ("PSAL".to_owned(), column(&salinity, 3)),
    ];
    let flags: arrow::array::StringViewArray = (0..cells)
        .map(|i| (i % levels < there).then_some(if random(i + 5) < 0.9 { "1" } else { "4" }))
        .collect();
    for other in 0..51 {
        // Variables that most queries do not use: small, and the same in all datasets.
        let values: arrow::array::Float32Array = (0..cells).map(|_| Some(other as f32)).collect();
        variables.push((format!("OTHER_{other:02}"), Arc::new(values)));
    }
    let (dims, shape) = (["N_PROF", "N_LEVELS"], [profiles, levels]);
    for (variable, values) in variables {
        put(atlas, &name, ArraySchema::new(variable, DType::F32, &dims), &shape, values).await?;
    }
    let schema = ArraySchema::new("TEMP_QC".to_owned(), DType::String, &dims);
    put(atlas, &name, schema, &shape, Arc::new(flags)).await?;
    let of_profiles: [(&str, DType, arrow::array::ArrayRef); 5] = [
        ("LATITUDE", DType::F64, f64::to_arrow((0..profiles).map(|_| (random(21) - 0.5) * 120.0))),
        ("LONGITUDE", DType::F64, f64::to_arrow((0..profiles).map(|_| (random(22) - 0.5) * 360.0))),
        (
            "JULD",
            DType::Timestamp,
            Timestamp::to_arrow((0..profiles).map(|p| Timestamp((random(23 + p) * 43_800.0) as i64 * HOUR))),
        ),
        (
            "PLATFORM_NUMBER",
            DType::String,
            String::to_arrow((0..profiles).map(|_| (1_900_000 + number / 25).to_string())),
        ),
        ("CYCLE_NUMBER", DType::I32, i32::to_arrow((0..profiles).map(|_| (number % 25) as i32))),
    ];
    for (variable, dtype, values) in of_profiles {
        let schema = ArraySchema::new(variable.to_owned(), dtype, &["N_PROF"]);
        put(atlas, &name, schema, &[profiles], values).await?;
    }
    Ok(())
}

/// A cast of a few levels.
async fn tiny_profile(atlas: &Atlas, number: usize) -> Result<()> {
    let random = |i: usize| fraction(number * 131 + i);
    let name = format!("cast-{number:04}");
    let dataset = atlas.create_dataset(&name).await?;
    dataset.set_attribute("ship", AttributeValue::from(["Meteor", "Polarstern", "Sonne"][number % 3]))?;
    dataset.set_attribute("leg", AttributeValue::from((number / 100) as i64))?;
    let levels = 1 + number % 12;
    axis(atlas, &name, "z", 10.0, levels).await?;
    let values = f32::to_arrow((0..levels).map(|i| rounded(random(i) * 45.0 - 2.0, 2)));
    put(atlas, &name, ArraySchema::new("t".to_owned(), DType::F32, &["z"]), &[levels], values).await?;
    let day = Timestamp((number as i64 % 4000) * 24 * HOUR);
    put(
        atlas,
        &name,
        ArraySchema::new("day".to_owned(), DType::Timestamp, &[]),
        &[],
        Timestamp::to_arrow([day].into_iter()),
    )
    .await?;
    let lat = f64::to_arrow([(random(50) * 18.0).floor() * 10.0 - 90.0].into_iter());
    put(atlas, &name, ArraySchema::new("lat".to_owned(), DType::F64, &[]), &[], lat).await
}
