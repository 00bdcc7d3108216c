//! Runs `slt/*.slt`: SQL and its answers, by topic. With `UPDATE_SLT`, it writes the answers
//! instead.
//!
//! The tables are those of a small store, made here: see [`store`]. Some topics have a store of
//! their own.

use std::path::Path;

use arrow::datatypes::DataType;
use async_trait::async_trait;
use atlas::{Atlas, StoreConfig, Timestamp};
use atlas_datafusion::{TableOptions, register_atlas};
use atlas_tests::stores::{self, put};
use atlas_tests::{session, text};
use datafusion::common::DataFusionError;
use datafusion::prelude::SessionContext;
use ndarray::{Array2, Array3, array};
use sqllogictest::{
    AsyncDB, DBOutput, DefaultColumnType, Runner, default_column_validator, default_normalizer,
    default_validator,
};

struct Session(SessionContext);

#[async_trait]
impl AsyncDB for Session {
    type Error = DataFusionError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, DataFusionError> {
        let result = self.0.sql(sql).await?;
        let schema = result.schema().clone();
        let batches = result.collect().await?;
        if schema.fields().is_empty() {
            return Ok(DBOutput::StatementComplete(0));
        }
        let types = schema.fields().iter().map(|field| match field.data_type() {
            DataType::Float32 | DataType::Float64 => DefaultColumnType::FloatingPoint,
            data_type if data_type.is_integer() => DefaultColumnType::Integer,
            _ => DefaultColumnType::Text,
        });
        let rows = text(&batches)?.into_iter().map(|row| row.split('|').map(cell).collect());
        Ok(DBOutput::Rows { types: types.collect(), rows: rows.collect() })
    }

    async fn shutdown(&mut self) {}
}

fn cell(text: &str) -> String {
    if text.is_empty() { "(empty)".to_owned() } else { text.to_owned() }
}

/// Two moorings with profiles over (time, depth), of which the second has no coordinate for depth
/// and has integers; a field over (time, lat, lon); and a dataset of a single number.
async fn store(atlas: &Atlas) -> atlas::Result<()> {
    let day = |day: i64| Timestamp(day * 86_400_000_000_000);
    let a = atlas.create_dataset("a").await?;
    a.set_attribute("country", "NO")?;
    a.set_attribute("buoy", 11i64)?;
    a.set_attribute("temperature", "by thermistor")?;
    put(&a, "time", &["time"], array![day(0), day(1), day(2)].into_dyn(), None).await?;
    put(&a, "depth", &["depth"], array![5.0f32, 10.0].into_dyn(), None).await?;
    let temperature = array![[1.0f32, 2.0], [-9.0, f32::NAN], [5.0, 6.0]];
    put(&a, "temperature", &["time", "depth"], temperature.into_dyn(), Some(-9.0)).await?;
    a.set_array_attribute("temperature", "units", "degC")?;
    let quality = array![["g", "g", "b"], ["g", "b", "b"]].mapv(String::from);
    put(&a, "quality", &["depth", "time"], quality.into_dyn(), None).await?;
    put(&a, "latitude", &[], ndarray::arr0(60.5f64).into_dyn(), None).await?;

    let b = atlas.create_dataset("b").await?;
    b.set_attribute("country", "DE")?;
    b.set_attribute("buoy", "B-7")?;
    put(&b, "time", &["time"], array![day(1), day(3)].into_dyn(), None).await?;
    put(&b, "temperature", &["time", "depth"], array![[7i64, 8], [9, 10]].into_dyn(), None).await?;
    b.define_array::<i32>("unwritten", &["time"], &[2], None, None)?;

    let grid = atlas.create_dataset("grid").await?;
    put(&grid, "lat", &["lat"], array![-45.0f64, 45.0].into_dyn(), None).await?;
    let wind = Array3::from_shape_fn((1, 2, 3), |(_, i, j)| (i * 3 + j) as f32);
    put(&grid, "wind", &["time", "lat", "lon"], wind.into_dyn(), None).await?;
    let cover = Array2::from_shape_fn((2, 3), |(i, j)| (i + j) % 2 == 0);
    put(&grid, "cover", &["lat", "lon"], cover.into_dyn(), None).await?;

    let scalars = atlas.create_dataset("scalars").await?;
    put(&scalars, "latitude", &[], ndarray::arr0(-1.25f64).into_dyn(), None).await?;
    atlas.flush().await
}

async fn run(file: &Path, directory: &Path) -> Result<(), String> {
    let topic = file.file_stem().unwrap_or_default().to_string_lossy();
    let location = directory.join(match topic.as_ref() {
        "names" | "mixed" => topic.as_ref(),
        _ => "store",
    });
    let path = location.to_string_lossy().into_owned();
    let atlas = match Atlas::create_path(&location, StoreConfig::default()).await {
        Ok(atlas) => {
            let made = match topic.as_ref() {
                "names" => stores::names(&atlas).await,
                "mixed" => stores::mixed(&atlas).await,
                _ => store(&atlas).await,
            };
            made.map_err(|e| e.to_string())?;
            atlas
        }
        Err(_) => Atlas::open_path(&location).await.map_err(|e| e.to_string())?,
    };
    let mut runner = Runner::new(|| async {
        let ctx = session(&atlas, TableOptions::default())?;
        register_atlas(&ctx);
        atlas_udfs::register_all(&ctx);
        Ok(Session(ctx))
    });
    // The variables $STORE and $DIRECTORY in the files.
    runner.set_var("STORE".to_owned(), path);
    runner.set_var("DIRECTORY".to_owned(), directory.to_string_lossy().into_owned());
    if std::env::var_os("UPDATE_SLT").is_some() {
        let updated = runner.update_test_file(
            file,
            " ",
            default_validator,
            default_normalizer,
            default_column_validator,
        );
        return updated.await.map_err(|e| e.to_string());
    }
    runner.run_file_async(file).await.map_err(|e| e.display(false).to_string())
}

#[tokio::test]
async fn topics() {
    let directory = tempfile::tempdir().unwrap();
    let topics = Path::new(env!("CARGO_MANIFEST_DIR")).join("slt");
    let files = std::fs::read_dir(&topics).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|it| it == "slt")).collect();
    files.sort();
    assert!(!files.is_empty());
    let mut failed = Vec::new();
    for file in files {
        if let Err(error) = run(&file, directory.path()).await {
            failed.push(format!("{}\n{error}", file.display()));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}
