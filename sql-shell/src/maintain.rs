//! `atlas log`, `atlas verify`, `atlas repair`, `atlas compact`, `atlas merge` and `atlas vacuum`.

use std::io::{self, Write};
use std::time::Duration;

use arrow::temporal_conversions::timestamp_ms_to_datetime;
use atlas::{Atlas, Storage};

use crate::error::{Failure, Result};
use crate::output::{Bytes, count};
use crate::printable::Printable;

/// Parses a duration such as `7days` or `12h`.
pub(crate) fn parse_age(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|e| format!("{e}: give a length of time such as 7days or 12h"))
}

/// Lists the commits of a store, newest first.
pub(crate) async fn log(location: &str) -> Result<()> {
    let mut out = Printable::new(io::stdout());
    for commit in Atlas::open_url(location).await?.log().await? {
        let time = timestamp_ms_to_datetime(commit.committed)
            .map_or_else(String::new, |time| time.format("%Y-%m-%d %H:%M:%SZ").to_string());
        writeln!(
            out,
            "generation {}  {time}  {}: {}, {}, {} in {}",
            commit.generation,
            commit.operation,
            count(commit.datasets, "dataset"),
            count(commit.variables, "variable"),
            Bytes(commit.bytes),
            count(commit.segments, "segment"),
        )?;
    }
    Ok(())
}

/// Reads and verifies the whole store. Fails if it is damaged.
pub(crate) async fn verify(location: &str) -> Result<()> {
    let verified = Atlas::open_url(location).await?.verify().await?;
    let mut out = Printable::new(io::stdout());
    for problem in &verified.problems {
        writeln!(out, "problem: {}", escaped(problem))?;
    }
    for file in &verified.unused {
        writeln!(out, "unused: {}", escaped(file))?;
    }
    for file in &verified.foreign {
        writeln!(out, "not the store's: {}", escaped(file))?;
    }
    writeln!(
        out,
        "{}, {}, {}, {} and {} read",
        count(verified.generations, "generation"),
        count(verified.segments, "segment"),
        count(verified.blocks, "block"),
        count(verified.chunks, "chunk"),
        Bytes(verified.bytes)
    )?;
    if verified.problems.is_empty() {
        writeln!(out, "The store is whole.")?;
        return Ok(());
    }
    Err(Failure::new(format!("{} found", count(verified.problems.len(), "problem"))))
}

/// Recreates `atlas.json`.
pub(crate) async fn repair(location: &str) -> Result<()> {
    let atlas = Atlas::repair(Storage::at(location)?).await?;
    let snapshot = atlas.snapshot();
    let (generation, datasets) = (snapshot.root().generation(), snapshot.root().dataset_count());
    let mut out = Printable::new(io::stdout());
    writeln!(out, "atlas.json shows generation {generation}, with {}.", count(datasets, "dataset"))?;
    Ok(())
}

/// Escapes the control characters in a name, so that a terminal shows them instead of obeying them.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

pub(crate) async fn compact(location: &str, variables: &[String]) -> Result<()> {
    let atlas = Atlas::open_url(location).await?;
    let chosen: Vec<&str> = variables.iter().map(String::as_str).collect();
    let compacted = atlas.compact((!chosen.is_empty()).then_some(&chosen)).await?;
    let mut out = Printable::new(io::stdout());
    if compacted.variables.is_empty() {
        writeln!(out, "There was nothing to compact.")?;
        return Ok(());
    }
    writeln!(
        out,
        "{} compacted: {} became {}, {} became {}",
        count(compacted.variables.len(), "variable"),
        count(compacted.segments.0, "segment"),
        compacted.segments.1,
        Bytes(compacted.bytes.0),
        Bytes(compacted.bytes.1),
    )?;
    writeln!(out, "Earlier generations keep the old files until `atlas vacuum`.")?;
    Ok(())
}

/// Adds the datasets of other stores.
pub(crate) async fn merge(location: &str, from: &[String]) -> Result<()> {
    let atlas = Atlas::open_url(location).await?;
    let mut others = Vec::with_capacity(from.len());
    for location in from {
        others.push(Atlas::open_url(location).await?);
    }
    let merged = atlas.merge(&others.iter().collect::<Vec<_>>()).await?;
    let mut out = Printable::new(io::stdout());
    writeln!(
        out,
        "{} added, {} ({}) copied",
        count(merged.datasets, "dataset"),
        count(merged.segments, "segment"),
        Bytes(merged.bytes)
    )?;
    Ok(())
}

pub(crate) async fn vacuum(location: &str, older_than: Duration) -> Result<()> {
    let vacuumed = Atlas::open_url(location).await?.vacuum(older_than).await?;
    let mut out = Printable::new(io::stdout());
    let bytes = vacuumed.files.iter().map(|(_, bytes)| bytes).sum();
    writeln!(
        out,
        "{} ({}) removed, {} forgotten",
        count(vacuumed.files.len(), "file"),
        Bytes(bytes),
        count(vacuumed.generations.len(), "generation")
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_command_the_terminal() {
        assert_eq!(escaped("t é\u{1b}[2J\n\u{9b}"), "t é\\u{1b}[2J\\n\\u{9b}");
    }
}
