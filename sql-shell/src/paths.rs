//! Explains names that are not those of a store or a table, such as paths of files.

use std::ops::ControlFlow;
use std::path::Path;

use atlas::Atlas;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{CopyToSource, CopyToStatement, Statement};
use datafusion::sql::sqlparser::ast::{ObjectName, visit_relations};

use crate::error::{Failure, Result};

/// Endings of NetCDF and HDF5 files.
const NETCDF: [&str; 7] = ["nc", "nc4", "cdf", "netcdf", "h5", "hdf5", "he5"];

/// Endings of files that are tables.
const TABLES: [&str; 8] = ["parquet", "csv", "tsv", "tab", "json", "ndjson", "jsonl", "arrow"];

/// The depth to which directories are searched for NetCDF files.
const DEPTH: usize = 3;

/// Opens a store. If there is none at the location, the error says what to do.
pub(crate) async fn open(location: &str) -> Result<Atlas> {
    match Atlas::open_url(location).await {
        Ok(atlas) => Ok(atlas),
        Err(error) => {
            let path = Path::new(location);
            let what = if is_netcdf(path) && path.is_file() {
                "is a NetCDF file, and no store"
            } else if path.is_dir() && has_netcdf(path, DEPTH) {
                "has NetCDF files in it, and is no store"
            } else {
                return Err(error.into());
            };
            let store = path.file_stem().unwrap_or_default().to_string_lossy();
            Err(Failure::new(format!(
                "{location} {what}: make a store of it first, with `atlas import {store}-store {location}`"
            )))
        }
    }
}

/// The message about a failed statement, if one of its tables is a file or a directory.
pub(crate) fn explain_tables(context: &SessionContext, statement: &Statement) -> Option<String> {
    let mut explained = None;
    let mut explain = |relation: &ObjectName| {
        let name = relation.0.iter().map(|part| part.as_ident().map_or("", |ident| ident.value.as_str()));
        let name = name.collect::<Vec<_>>().join(".");
        if !context.table_exist(name.as_str()).unwrap_or(false) {
            explained = explain_table(&name);
        }
        if explained.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let _ = match statement {
        Statement::Statement(sql) => visit_relations(&**sql, explain),
        Statement::CopyTo(CopyToStatement { source: CopyToSource::Query(query), .. }) => {
            visit_relations(&**query, explain)
        }
        Statement::CopyTo(CopyToStatement { source: CopyToSource::Relation(relation), .. }) => {
            explain(relation)
        }
        Statement::Explain(inner) => return explain_tables(context, &inner.statement),
        _ => ControlFlow::Continue(()),
    };
    explained
}

/// The message about a table that does not exist, if its name is the path of a file or a directory.
fn explain_table(name: &str) -> Option<String> {
    let path = Path::new(name);
    if path.join("atlas.json").is_file() {
        let word = path.file_name()?.to_string_lossy();
        return Some(format!(
            "{name} is a store that is not open here: open it with `\\attach {name} AS {word}`, or by \
             `atlas sql {word}={name}`"
        ));
    }
    if is_netcdf(path) && path.exists() || name.contains("://") && is_netcdf(path) {
        return Some(format!(
            "{name} is a NetCDF file, and no table: import it into a store first, with `atlas import STORE {name}`"
        ));
    }
    let is_of_table =
        path.extension().is_some_and(|ending| TABLES.iter().any(|of| ending.eq_ignore_ascii_case(of)));
    if is_of_table && !name.contains("://") && !path.exists() {
        return Some(format!("there is no file {name}"));
    }
    if path.is_dir() && has_netcdf(path, DEPTH) {
        return Some(format!(
            "{name} is a directory of NetCDF files, and no table: import it into a store first, with \
             `atlas import STORE {name}`"
        ));
    }
    None
}

fn is_netcdf(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    ending.is_some_and(|ending| NETCDF.contains(&ending.as_str()))
}

/// True if there is a NetCDF file in or below a directory.
fn has_netcdf(directory: &Path, depth: usize) -> bool {
    let Ok(entries) = std::fs::read_dir(directory) else { return false };
    let mut directories = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(found) if found.is_dir() => directories.push(path),
            Ok(_) if is_netcdf(&path) => return true,
            _ => {}
        }
    }
    depth > 0 && directories.iter().any(|directory| has_netcdf(directory, depth - 1))
}
