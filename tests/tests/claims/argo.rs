//! Compares Argo profiles and ERA-Interim fields with independently computed answers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float32Type, Float64Type, Int64Type};
use atlas::{Atlas, StoreConfig};
use atlas_datafusion::{TableOptions, grids};
use atlas_import::{ImportOptions, NoticeClass, import};
use atlas_tests::{real_data, rows, session};
use datafusion::prelude::SessionContext;

async fn imported(path: PathBuf) -> (tempfile::TempDir, Atlas) {
    let directory = tempfile::tempdir().unwrap();
    let atlas = Atlas::create_path(directory.path().join("store"), StoreConfig::default()).await.unwrap();
    let report = import(&atlas, &[path], &ImportOptions::default(), &|_| {}).await.unwrap();
    // Fill values that no packed number can equal, and values outside their valid range.
    let expected = |class| matches!(class, NoticeClass::BadAttribute | NoticeClass::OutsideValidRange);
    assert!(
        report.skipped.is_empty() && report.notices.iter().all(|(class, ..)| expected(class)),
        "{report:?}"
    );
    (directory, atlas)
}

/// The rows of a CSV file without quotes, by column.
fn table(path: &Path) -> Vec<HashMap<String, String>> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let names: Vec<_> = lines.next().unwrap().split(',').collect();
    lines
        .map(|line| names.iter().map(ToString::to_string).zip(line.split(',').map(str::to_owned)).collect())
        .collect()
}

fn close(found: f64, expected: f64, tolerance: f64) -> bool {
    (found - expected).abs() <= tolerance * expected.abs()
}

#[tokio::test]
async fn argo_has_the_expected_answers() {
    let Some(data) = real_data() else { return };
    let expected = table(&data.join("argo-expected.csv"));
    let (_directory, atlas) = imported(data.join("argo")).await;
    assert_eq!(grids(&atlas.snapshot().catalog().unwrap())[0].dims, ["N_PROF", "N_LEVELS"]);
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    for variable in ["TEMP", "PSAL", "PRES"] {
        let sql = format!(
            "SELECT dataset, count(\"{variable}\"), avg(\"{variable}\"), min(\"{variable}\"), max(\"{variable}\")
             FROM atlas GROUP BY dataset"
        );
        let mut found = HashMap::new();
        for batch in ctx.sql(&sql).await.unwrap().collect().await.unwrap() {
            for row in 0..batch.num_rows() {
                let mean = batch.column(2).as_primitive::<Float64Type>();
                let bound = |i: usize| {
                    let column = batch.column(i).as_primitive::<Float32Type>();
                    column.is_valid(row).then(|| column.value(row))
                };
                let name = batch.column(0).as_string_view().value(row).to_owned();
                let count = batch.column(1).as_primitive::<Int64Type>().value(row);
                found.insert(name, (count, mean.is_valid(row).then(|| mean.value(row)), bound(3), bound(4)));
            }
        }
        assert_eq!(found.len(), expected.len());
        for row in &expected {
            let name = &row["dataset"];
            let text = |what: &str| {
                Some(row[&format!("{variable}_{what}")].as_str()).filter(|text| !text.is_empty())
            };
            let (count, mean, min, max) = found[name];
            assert_eq!(count, text("count").map_or(0, |text| text.parse().unwrap()), "{name} {variable}");
            match (mean, text("mean")) {
                (Some(mean), Some(text)) => {
                    assert!(close(mean, text.parse().unwrap(), 1e-9), "{name} {mean} {text}")
                }
                (mean, text) => assert!(mean.is_none() && text.is_none(), "{name} {mean:?} {text:?}"),
            }
            let bound = |what: &str| text(what).map(|text| text.parse::<f64>().unwrap() as f32);
            assert_eq!((min, max), (bound("min"), bound("max")), "{name} {variable}");
        }
    }
    profiles(&ctx, &expected).await;
    shapes(&ctx, &expected).await;
}

/// Values that a profile has once are repeated along its levels.
async fn profiles(ctx: &SessionContext, expected: &[HashMap<String, String>]) {
    let sql = "SELECT dataset, \"LATITUDE\", \"PLATFORM_NUMBER\", \"DATA_MODE\",
                      CAST(CAST(\"JULD\" AS BIGINT) - CAST(TIMESTAMP '1950-01-01' AS BIGINT) AS DOUBLE) / 86400e9
               FROM atlas WHERE \"N_PROF\" = 0 AND \"N_LEVELS\" = 0 ORDER BY dataset";
    let mut seen = 0;
    for batch in ctx.sql(sql).await.unwrap().collect().await.unwrap() {
        for row in 0..batch.num_rows() {
            let name = batch.column(0).as_string_view().value(row);
            let expected = expected.iter().find(|row| row["dataset"] == name).unwrap();
            for (column, key) in [(2, "platform_number"), (3, "data_mode")] {
                assert_eq!(batch.column(column).as_string_view().value(row), expected[key], "{name}");
            }
            for (column, key, tolerance) in [(1, "latitude_0", 0.0), (4, "juld_0", 1e-12)] {
                let column = batch.column(column).as_primitive::<Float64Type>();
                let found = column.is_valid(row).then(|| column.value(row));
                match (found, expected[key].parse::<f64>().ok().filter(|number| !number.is_nan())) {
                    (Some(found), Some(expected)) => {
                        assert!(close(found, expected, tolerance), "{name} {key} {found}")
                    }
                    (found, expected) => assert_eq!(found, expected, "{name} {key}"),
                }
            }
            seen += 1;
        }
    }
    assert_eq!(seen, expected.len());
}

/// The rows do not depend on the selected columns.
async fn shapes(ctx: &SessionContext, expected: &[HashMap<String, String>]) {
    let number = |row: &HashMap<String, String>, key: &str| row[key].parse::<usize>().unwrap();
    let cells: usize = expected.iter().map(|row| number(row, "n_prof") * number(row, "n_levels")).sum();
    assert_eq!(rows(ctx, "SELECT count(*) FROM atlas").await.unwrap(), [cells.to_string()]);
    for columns in ["*", "dataset", "\"TEMP\"", "\"LATITUDE\"", "\"N_LEVELS\", \"DATA_TYPE\", title", "1"] {
        let batches =
            ctx.sql(&format!("SELECT {columns} FROM atlas")).await.unwrap().collect().await.unwrap();
        assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), cells, "{columns}");
    }
}

#[tokio::test]
async fn era_interim_has_the_expected_answers() {
    let Some(data) = real_data() else { return };
    let (_directory, atlas) = imported(data.join("eraint_uvz.nc")).await;
    let ctx = session(&atlas, TableOptions::default()).unwrap();
    for row in table(&data.join("eraint-expected.csv")) {
        let (variable, month, level) = (&row["variable"], &row["month"], &row["level"]);
        let sql = format!(
            "SELECT count({variable}), avg({variable}), min({variable}), max({variable}) FROM atlas
             WHERE month = {month} AND level = {level}"
        );
        let found: Vec<f64> =
            rows(&ctx, &sql).await.unwrap()[0].split('|').map(|text| text.parse().unwrap()).collect();
        for (found, key) in found.into_iter().zip(["cells", "mean", "min", "max"]) {
            let expected: f64 = row[key].parse().unwrap();
            assert!(
                close(found, expected, 1e-6),
                "{variable} {month} {level} {key}: {found}, not {expected}"
            );
        }
    }
}
