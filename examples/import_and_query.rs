//! Imports NetCDF files into a store, and queries it with SQL. To use your own directories, run
//! `cargo run -p atlas-examples --example import_and_query -- DIRECTORY…`. Without a directory, the
//! example first writes two small files.

use std::path::{Path, PathBuf};

use atlas::{Atlas, StoreConfig};
use atlas_datafusion::{register_store, session_state};
use atlas_import::{ImportOptions, import};
use datafusion::prelude::SessionContext;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let mut paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if paths.is_empty() {
        let files = directory.path().join("files");
        write_files(&files)?;
        paths.push(files);
    }
    let atlas = Atlas::create_path(directory.path().join("store"), StoreConfig::default()).await?;
    let options = ImportOptions { skip_errors: true, ..ImportOptions::default() };
    let report = import(&atlas, &paths, &options, &|_| {}).await?;
    println!("{} datasets, {} files skipped", report.imported, report.skipped.len());

    let context = SessionContext::new_with_state(session_state());
    register_store(&context, "atlas", &atlas)?;
    for sql in [
        "SELECT name, dtype, dims, units FROM atlas._variables",
        "SELECT dataset, count(*) AS rows FROM atlas GROUP BY dataset ORDER BY dataset LIMIT 5",
    ] {
        println!("\n{sql}");
        context.sql(sql).await?.show().await?;
    }
    Ok(())
}

fn write_files(directory: &Path) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(directory)?;
    for (name, values) in [("one", [7.5f32, 8.0, -999.0]), ("two", [9.0, 9.5, 10.0])] {
        std::fs::write(directory.join(name).with_extension("nc"), classic(&values))?;
    }
    Ok(())
}

/// A classic NetCDF file with `temperature(time)`, in degC, where -999 is missing.
fn classic(values: &[f32; 3]) -> Vec<u8> {
    fn text(bytes: &mut Vec<u8>, text: &str) {
        bytes.extend(u32::to_be_bytes(text.len() as u32));
        bytes.extend(text.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    let number = |bytes: &mut Vec<u8>, number: u32| bytes.extend(number.to_be_bytes());
    let mut bytes = b"CDF\x01\0\0\0\0".to_vec();
    number(&mut bytes, 10);
    number(&mut bytes, 1);
    text(&mut bytes, "time");
    number(&mut bytes, 3);
    // No attributes of the file, and one variable.
    bytes.extend([0; 8]);
    number(&mut bytes, 11);
    number(&mut bytes, 1);
    text(&mut bytes, "temperature");
    number(&mut bytes, 1);
    number(&mut bytes, 0);
    number(&mut bytes, 12);
    number(&mut bytes, 2);
    text(&mut bytes, "units");
    number(&mut bytes, 2);
    text(&mut bytes, "degC");
    text(&mut bytes, "_FillValue");
    number(&mut bytes, 5);
    number(&mut bytes, 1);
    bytes.extend((-999.0f32).to_be_bytes());
    number(&mut bytes, 5);
    number(&mut bytes, 12);
    let begin = bytes.len() as u32 + 4;
    number(&mut bytes, begin);
    values.iter().for_each(|value| bytes.extend(value.to_be_bytes()));
    bytes
}
