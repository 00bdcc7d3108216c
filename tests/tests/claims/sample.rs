//! `sample_at`: the values of a grid at points, compared with xarray, and what is read for them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Float64Array, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use atlas::{Atlas, StoreConfig, Timestamp};
use atlas_datafusion::TableOptions;
use atlas_tests::{memory, rows, session};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionContext;
use ndarray::{Array1, Array3, ArrayD};
use object_store::path::Path;

const HOUR: i64 = 3_600_000_000_000;
const LATITUDES: [f64; 6] = [60.0, 45.0, 30.0, 10.0, -20.0, -50.0];

async fn grid(atlas: &Atlas, name: &str, times: &[i64], lats: &[f64], lons: &[f64], chunk: [usize; 3]) {
    let dataset = atlas.create_dataset(name).await.unwrap();
    let shape = [times.len(), lats.len(), lons.len()];
    let times = Array1::from_iter(times.iter().map(|&time| Timestamp(time)));
    dataset.define_array::<Timestamp>("time", &["time"], &[shape[0]], None, None).unwrap();
    dataset.write_array("time", &[0], times.view().into_dyn()).await.unwrap();
    for (dim, values) in [("lat", lats), ("lon", lons)] {
        dataset.define_array::<f64>(dim, &[dim], &[values.len()], None, None).unwrap();
        dataset.write_array(dim, &[0], Array1::from(values.to_vec()).view().into_dyn()).await.unwrap();
    }
    // The formula of reference/sample_at.py.
    let cells = Array3::from_shape_fn(shape, |(i, j, k)| {
        let chance = (i * 7919 + j * 104_729 + k * 1_299_709) % 1009;
        if chance % 23 == 0 { f64::NAN } else { chance as f64 / 8.0 - 40.0 }
    });
    dataset.define_array::<f64>("v", &["time", "lat", "lon"], &shape, Some(chunk.to_vec()), None).unwrap();
    dataset.write_array("v", &[0, 0, 0], cells.view().into_dyn()).await.unwrap();
}

/// Midnight of 1 January 2000.
const START: i64 = 946_684_800_000_000_000;

fn globe() -> (Vec<i64>, Vec<f64>) {
    ((0..5).map(|i| START + 6 * i * HOUR).collect(), (0..8).map(|i| f64::from(i) * 45.0).collect())
}

async fn store() -> Atlas {
    let atlas = Atlas::create(memory(), Path::from("s"), StoreConfig::default()).await.unwrap();
    let (times, lons) = globe();
    grid(&atlas, "globe", &times, &LATITUDES, &lons, [2, 4, 3]).await;
    let dataset = atlas.open_dataset("globe").await.unwrap();
    let zones = Array1::from_iter(["polar", "north", "north", "tropic", "tropic", "south"].map(String::from));
    dataset.define_array::<String>("zone", &["lat"], &[6], None, None).unwrap();
    dataset.write_array("zone", &[0], zones.view().into_dyn()).await.unwrap();
    dataset.define_array::<i16>("station", &["lat", "lon"], &[6, 8], Some(vec![2, 8]), None).unwrap();
    let stations = ArrayD::from_shape_fn(vec![6, 8], |at| (at[0] * 10 + at[1]) as i16);
    dataset.write_array("station", &[0, 0], stations.view()).await.unwrap();
    atlas.flush().await.unwrap();
    atlas
}

fn points(times: &[i64], lats: &[f64], lons: &[f64]) -> RecordBatch {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let fields = [("time", time), ("lat", DataType::Float64), ("lon", DataType::Float64)];
    let fields: Vec<Field> = fields.into_iter().map(|(name, kind)| Field::new(name, kind, true)).collect();
    RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        vec![
            Arc::new(TimestampNanosecondArray::from(times.to_vec())),
            Arc::new(Float64Array::from(lats.to_vec())),
            Arc::new(Float64Array::from(lons.to_vec())),
        ],
    )
    .unwrap()
}

#[tokio::test]
async fn samples_are_those_of_xarray() {
    let ctx = session(&store().await, TableOptions::default()).unwrap();
    let table = include_str!("reference/sample_at.csv");
    let mut compared = [0; 2];
    for line in table.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let (time, lat, lon) = (cells[0].replace('T', " "), cells[1], cells[2]);
        for (method, expected) in
            ["nearest", "bilinear", "linear", "nearest, time=linear"].iter().zip(&cells[3..])
        {
            let point = format!("SELECT TIMESTAMP '{time}' AS time, {lat} AS lat, {lon} AS lon");
            let found = rows(&ctx, &format!("SELECT v FROM sample_at(atlas, ({point}), '{method}')")).await;
            let found = found.unwrap();
            assert_eq!(found.len(), 1, "{method} at {line}");
            match (found[0].parse::<f64>(), expected.parse::<f64>()) {
                (Ok(found), Ok(expected)) => {
                    assert!((found - expected).abs() < 1e-9, "{method} at {line}: {found}");
                    compared[0] += 1;
                }
                _ => {
                    assert_eq!((found[0].as_str(), *expected), ("NULL", ""), "{method} at {line}");
                    compared[1] += 1;
                }
            }
        }
    }
    assert!(compared[0] > 400 && compared[1] > 40, "{compared:?}");
}

#[tokio::test]
async fn rows_are_those_of_the_points() {
    let ctx = session(&store().await, TableOptions::default()).unwrap();
    let ask = async |sql: &str| rows(&ctx, sql).await.map_err(|error| error.to_string());
    let point = "(SELECT 7 AS id, 44.0 AS lat, 91.0 AS lon)";
    let example = atlas_datafusion::sample::documentation().sql_example.unwrap();
    assert_eq!(ask(&example).await.unwrap().len(), 5, "the steps at the place of the documentation");
    // All coordinates of time appear, because the points have no time; variables without time are
    // repeated.
    let found =
        ask(&format!("SELECT id, time, zone, station, dataset FROM sample_at(atlas, {point}, 'nearest')"))
            .await;
    let at = |hours: i64| format!("7|2000-01-0{}T{:02}:00:00|north|12|globe", hours / 24 + 1, hours % 24);
    assert_eq!(found.unwrap(), [0, 6, 12, 18, 24].map(at));
    // Text is not interpolated; numbers of all types are.
    let found =
        ask(&format!("SELECT DISTINCT zone, round(station, 3) FROM sample_at(atlas, {point}, 'bilinear')"))
            .await;
    assert_eq!(found.unwrap(), ["north|12.689"]);
    // Names of tables, of views and in WITH.
    ctx.sql(
        "CREATE VIEW places AS SELECT 10 AS lat, column1 AS lon FROM (VALUES (0.0), (NULL), (45.0), ('NaN'::double))",
    )
    .await
    .unwrap();
    for points in ["places", "'places'", "public.places", "(SELECT * FROM places)"] {
        let found = ask(&format!("SELECT station, lon FROM sample_at('atlas', {points}, 'nearest') WHERE time IS NULL OR date_part('hour', time) = 12")).await;
        assert_eq!(found.unwrap(), ["30|0.0", "NULL|NULL", "31|45.0", "NULL|NaN"], "{points}");
    }
    let with = "WITH p AS (SELECT 10 AS lat, 45 AS lon) SELECT DISTINCT s.station FROM sample_at(atlas, p, 'nearest') AS s";
    assert_eq!(ask(with).await.unwrap(), ["31"]);
    let count = "SELECT count(*) FROM sample_at(atlas, (SELECT 1.0 AS lat, 2 AS lon WHERE false), 'nearest')";
    assert_eq!(ask(count).await.unwrap(), ["0"]);
    let variable =
        "SELECT v FROM sample_at(atlas.v, (SELECT DATE '2000-01-01' AS time, 45 AS lat, 0 AS lon), 'linear')";
    assert_eq!(ask(variable).await.unwrap(), ["60.25"]);

    for (sql, message) in [
        ("sample_at(atlas, (SELECT 1 AS x), 'nearest')", "called as a dimension of the grid: time, lat, lon"),
        (
            "sample_at(atlas, (SELECT 'a' AS lat), 'nearest')",
            "`lat` of the points is Utf8, and that of the grid Float64",
        ),
        ("sample_at(atlas, (SELECT 1 AS lat, 1 AS v), 'nearest')", "both have a column `v`"),
        (
            "sample_at(atlas, (SELECT 1 AS lat), 'bilinear')",
            "needs points with the grid's latitude and longitude",
        ),
        (
            "sample_at(atlas, (SELECT 1 AS lat), 'spline')",
            "sample_at knows 'nearest', 'bilinear' and 'linear'",
        ),
        ("sample_at(atlas, (SELECT 1 AS lat))", "takes a table, points and a method"),
        ("sample_at(places, (SELECT 1 AS lat), 'nearest')", "samples a table of a store, and places is none"),
        ("sample_at(nowhere, (SELECT 1 AS lat), 'nearest')", "table 'nowhere' not found"),
        ("sample_at(atlas, (SELECT 1 AS lat), 1)", "the method of sample_at is a text, not 1"),
    ] {
        let error = ask(&format!("SELECT * FROM {sql}")).await.unwrap_err();
        assert!(error.contains(message), "{sql}: {error}");
    }
}

#[tokio::test]
async fn every_dataset_that_has_a_point_gives_rows() {
    let atlas = store().await;
    let (times, lons) = globe();
    let later: Vec<i64> = times.iter().map(|time| time + 30 * HOUR).collect();
    grid(&atlas, "later", &later, &LATITUDES, &lons, [5, 6, 8]).await;
    atlas.flush().await.unwrap();
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    let of = async |hours: i64, method: &str| {
        let time = format!("TIMESTAMP '2000-01-01 00:00:00' + INTERVAL '{hours} hours'");
        let sql = format!(
            "SELECT dataset, v FROM sample_at(atlas, (SELECT {time} AS time, 45 AS lat, 45 AS lon), '{method}') ORDER BY dataset"
        );
        rows(&ctx, &sql).await.unwrap()
    };
    assert_eq!(of(24, "linear").await.len(), 1);
    assert!(of(24, "linear").await[0].starts_with("globe|"));
    assert!(of(30, "linear").await[0].starts_with("later|"));
    assert_eq!(of(27, "linear").await, ["NULL|NULL"], "between both");
    assert_eq!(of(27, "nearest").await.len(), 2, "half way to both");

    let broken = atlas.create_dataset("broken").await.unwrap();
    broken.define_array::<f64>("lat", &["lat"], &[3], None, None).unwrap();
    broken.write_array("lat", &[0], Array1::from(vec![1.0, 3.0, 2.0]).view().into_dyn()).await.unwrap();
    broken.define_array::<f64>("v", &["lat"], &[3], None, None).unwrap();
    atlas.flush().await.unwrap();
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    let error = rows(&ctx, "SELECT v FROM sample_at(atlas, (SELECT 2 AS lat), 'nearest')").await.unwrap_err();
    assert!(error.to_string().contains("`lat` of dataset `broken` neither rises nor falls"), "{error}");
}

/// The sum of a counter of the plan of samples.
fn counted(plan: &Arc<dyn ExecutionPlan>, name: &str) -> usize {
    let own =
        plan.metrics().filter(|_| plan.name() == "SampleAt").and_then(|metrics| metrics.sum_by_name(name));
    own.map_or(0, |value| value.as_usize())
        + plan.children().into_iter().map(|child| counted(child, name)).sum::<usize>()
}

async fn sampled(ctx: &SessionContext, sql: &str) -> (usize, usize) {
    let plan = ctx.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let batches = collect(Arc::clone(&plan), ctx.task_ctx()).await.unwrap();
    (batches.iter().map(RecordBatch::num_rows).sum(), counted(&plan, "chunks_decoded"))
}

#[tokio::test]
async fn only_chunks_that_contain_points_are_read() {
    const STEPS: usize = 1000;
    const CHUNK: [usize; 3] = [10, 10, 20];
    let atlas = Atlas::create(memory(), Path::from("s"), StoreConfig::default()).await.unwrap();
    let times: Vec<i64> = (0..STEPS as i64).map(|i| START + i * HOUR).collect();
    let lats: Vec<f64> = (0..40).map(|i| f64::from(i) * 2.0 - 39.0).collect();
    let lons: Vec<f64> = (0..60).map(|i| f64::from(i) * 2.0).collect();
    grid(&atlas, "g", &times, &lats, &lons, CHUNK).await;
    atlas.flush().await.unwrap();
    let ctx = session(&atlas, TableOptions::default()).unwrap();

    // Ten floats that drift for 1,000 steps, in the west of the grid.
    let (mut when, mut lat, mut lon) = (Vec::new(), Vec::new(), Vec::new());
    let (mut nearest, mut linear) = (BTreeSet::new(), BTreeSet::new());
    for float in 0..10 {
        for (step, time) in times.iter().enumerate() {
            let way = step as f64 / STEPS as f64;
            let (y, x) = (-30.0 + f64::from(float) * 0.7 + way * 9.3, 10.0 + way * 20.0 + f64::from(float));
            when.push(*time);
            lat.push(y);
            lon.push(x);
            let places = [(y + 39.0) / 2.0, x / 2.0];
            let chunk =
                |cell: [f64; 2]| (step / CHUNK[0], cell[0] as usize / CHUNK[1], cell[1] as usize / CHUNK[2]);
            nearest.insert(chunk(places.map(|place| (place + 0.5).floor())));
            for (south, west) in [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)] {
                linear.insert(chunk([places[0].floor() + south, places[1].floor() + west]));
            }
        }
    }
    ctx.register_batch("points", points(&when, &lat, &lon)).unwrap();
    let all = STEPS / 10 * 4 * 3;
    for (method, chunks) in [("nearest", nearest.len()), ("bilinear", linear.len())] {
        assert!(chunks < all / 2, "{chunks}");
        let start = Instant::now();
        let sql = format!("SELECT v FROM sample_at(atlas, points, '{method}')");
        let (rows, decoded) = sampled(&ctx, &sql).await;
        // Each of the three coordinates is one chunk.
        assert_eq!((rows, decoded), (10_000, chunks + 3), "{method}");
        println!("{method}: {:?}", start.elapsed());
        // (Other builds on the machine may stall a test in a debug build.)
        let is_fast = start.elapsed().as_secs_f64() < 1.0;
        assert!(is_fast || cfg!(debug_assertions), "{method} took {:?}", start.elapsed());
    }
    // No value is selected, so only coordinates are read.
    assert_eq!(sampled(&ctx, "SELECT dataset FROM sample_at(atlas, points, 'nearest')").await, (10_000, 3));
}
