//! `atlas delete`, `atlas rename`, `atlas copy` and `atlas export`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use atlas::{Atlas, Codec, StoreConfig};
use atlas_datafusion::register_store;

use crate::destination;
use crate::error::{Failure, Result};
use crate::output::{Bytes, count};
use crate::printable::Printable;
use crate::session::new_context;
use crate::statement::names;
use crate::target;

/// Deletes either all of these datasets or none.
pub(crate) async fn delete(location: &str, datasets: &[String]) -> Result<()> {
    let atlas = Atlas::open_url(location).await?;
    for name in datasets {
        match atlas.delete_dataset(name).await {
            Err(atlas::Error::NoDataset { .. }) => return Err(missing(&atlas, name)?),
            deleted => deleted?,
        }
    }
    atlas.flush().await?;
    let mut out = Printable::new(io::stdout());
    writeln!(out, "{} deleted", count(datasets.len(), "dataset"))?;
    writeln!(out, "Earlier generations keep the values until `atlas compact` and `atlas vacuum`.")?;
    Ok(())
}

/// Renames a dataset.
pub(crate) async fn rename(location: &str, name: &str, new: &str) -> Result<()> {
    let atlas = Atlas::open_url(location).await?;
    match atlas.rename_dataset(name, new).await {
        Err(atlas::Error::NoDataset { .. }) => return Err(missing(&atlas, name)?),
        renamed => renamed?,
    }
    atlas.flush().await?;
    writeln!(Printable::new(io::stdout()), "{name} is {new} now")?;
    Ok(())
}

/// Adds the datasets of a store, or those that satisfy a condition, to another store.
pub(crate) async fn copy(from: &str, to: &str, condition: Option<&str>) -> Result<()> {
    let source = Atlas::open_url(from).await?;
    let selected = match condition {
        Some(condition) => selected(&source, condition).await?,
        None => source.list_datasets()?,
    };
    if selected.is_empty() {
        return Err(Failure::new("no dataset is like that: nothing was copied"));
    }
    let atlas = open_or_create(to, source.snapshot().root().codec()).await?;
    if condition.is_none() {
        // This copies segments without decoding values.
        atlas.merge(&[&source]).await?;
    } else {
        for name in &selected {
            atlas.copy_dataset(&source, name).await?;
        }
        atlas.flush().await?;
    }
    writeln!(Printable::new(io::stdout()), "{} copied", count(selected.len(), "dataset"))?;
    Ok(())
}

async fn open_or_create(location: &str, codec: Codec) -> Result<Atlas> {
    match Atlas::open_url(location).await {
        Err(atlas::Error::NoStore { .. }) => {
            Ok(Atlas::create_url(location, StoreConfig { codec, ..StoreConfig::default() }).await?)
        }
        opened => Ok(opened?),
    }
}

/// The names of the datasets that satisfy a condition on the columns of `_datasets`.
async fn selected(atlas: &Atlas, condition: &str) -> Result<Vec<String>> {
    let (session, _) = new_context(None, &Default::default())?;
    register_store(&session, "atlas", atlas)?;
    // The condition is on its own lines, since it may end with a comment.
    let sql = format!("SELECT dataset FROM atlas._datasets WHERE (\n{condition}\n)");
    let rows = crate::runner::plan_statement(&session, &sql).await?.collect().await?;
    let mut names = Vec::new();
    for batch in rows {
        let texts = cast(batch.column(0), &DataType::Utf8View)?;
        names.extend(texts.as_string_view().iter().flatten().map(str::to_owned));
    }
    Ok(names)
}

/// Writes a dataset as a NetCDF file.
pub(crate) async fn export(location: &str, dataset: &str, output: Option<&Path>) -> Result<()> {
    let atlas = Atlas::open_url(location).await?;
    if !atlas.dataset_exists(dataset)? {
        return Err(missing(&atlas, dataset)?);
    }
    let path = match output {
        Some(path) => path.to_owned(),
        None => {
            let path = PathBuf::from(format!("{dataset}.nc"));
            if path.exists() {
                return Err(Failure::new(format!(
                    "{} is there already: name a file with -o",
                    path.display()
                )));
            }
            path
        }
    };
    destination::check_path(&path)?;
    let bytes = atlas_import::export::export(&atlas, dataset).await?;
    let failed = |e: io::Error| Failure::new(format!("{}: {e}", path.display()));
    target::write_whole(&path, &bytes).map_err(failed)?;
    writeln!(
        Printable::new(io::stdout()),
        "{dataset} is in {} ({})",
        path.display(),
        Bytes(bytes.len() as u64)
    )?;
    Ok(())
}

/// The error for a dataset that does not exist.
fn missing(atlas: &Atlas, name: &str) -> Result<Failure> {
    let known = atlas.list_datasets()?;
    let near = names::near(name, known.iter().map(String::as_str));
    let hint = names::did_you_mean(&near);
    Ok(Failure::new(format!("{} has no dataset `{name}`{hint}", atlas.storage())))
}
