//! Verification: whether a store is intact.

use std::collections::{BTreeSet, HashSet};

use crate::error::{Error, Result};
use crate::format::catalog::{Catalog, SegmentEntry};
use crate::history::{files_of, records};
use crate::model::statistics::Statistics;
use crate::read::segment::Segment;
use crate::read::snapshot::Snapshot;
use crate::storage::names::{self, CATALOG_FILE};
use crate::storage::requests::ReadMetrics;
use crate::store::Atlas;
use crate::write::commit;

/// The number of blocks in memory at a time.
const BLOCKS: usize = 16;

/// The result of [`Atlas::verify`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// The number of generations whose catalogs were checked.
    pub generations: usize,
    /// The number of segments that were read.
    pub segments: usize,
    /// The number of blocks that were decoded.
    pub blocks: usize,
    /// The number of chunks whose statistics were computed again.
    pub chunks: usize,
    /// The number of bytes that were read.
    pub bytes: u64,
    /// The problems found, each with the file that it concerns.
    pub problems: Vec<String>,
    /// Files that no catalog needs. They are harmless, and [`vacuum`](Atlas::vacuum) removes them.
    pub unused: Vec<String>,
    /// Files that do not belong to the store.
    pub foreign: Vec<String>,
}

impl Atlas {
    /// Reads the whole store, in all generations whose records are kept. Compares every checksum,
    /// computes every statistic again from the values, checks every chunk against its array, and
    /// accounts for every file.
    ///
    /// # Errors
    /// If the storage cannot be listed, or has no store. Problems of the store are part of the
    /// result, not errors.
    pub async fn verify(&self) -> Result<Verified> {
        let storage = self.storage();
        let files = storage.list().await?;
        let mut verified = Verified::default();
        let mut needed = HashSet::new();
        let mut checked = BTreeSet::new();
        let mut generations: Vec<u64> =
            records(&files).filter(|(_, file)| file.size > 0).map(|(generation, _)| generation).collect();
        generations.sort_unstable();
        let current = match commit::read(storage).await {
            Err(error @ Error::NoStore { .. }) if generations.is_empty() => return Err(error),
            current => current,
        };
        match &current {
            Ok(current) => match generations.last() {
                Some(&newest) if newest > current.generation => verified.problems.push(format!(
                    "{CATALOG_FILE}: it is generation {}, and {newest} was committed: the next writer mends it",
                    current.generation
                )),
                Some(&newest) if newest == current.generation => {}
                _ => verified.problems.push(format!("{}: it is missing", names::record(current.generation))),
            },
            Err(error) => verified.problems.push(error.to_string()),
        }
        let mut catalogs = Vec::new();
        for generation in generations {
            match commit::read_generation(storage, generation).await {
                Ok((root, _)) => catalogs.push(root),
                Err(error) => verified.problems.push(error.to_string()),
            }
        }
        if let Ok(current) = current {
            let same = catalogs.iter().find(|catalog| catalog.generation == current.generation);
            if same.is_some_and(|same| same.encode(None).ok() != current.encode(None).ok()) {
                let record = names::record(current.generation);
                verified.problems.push(format!("{CATALOG_FILE}: it is not what {record} is"));
            }
            catalogs.retain(|catalog| catalog.generation != current.generation);
            catalogs.push(current);
        }
        for catalog in catalogs.into_iter().rev() {
            verified.generations += 1;
            needed.extend(files_of(&catalog));
            let snapshot = self.snapshot().at(catalog, []);
            verify_catalog(&snapshot, &mut checked, &mut verified).await;
        }
        for file in &files {
            let known = file.path == CATALOG_FILE
                || names::generation_of(&file.path).is_some()
                || needed.contains(names::last(&file.path));
            if !known {
                let list =
                    if names::is_ours(&file.path) { &mut verified.unused } else { &mut verified.foreign };
                list.push(file.path.clone());
            }
        }
        verified.unused.extend(storage.staged().await?.into_iter().map(|file| file.path));
        Ok(verified)
    }
}

/// Checks the segments of a generation that were not checked yet, and the chunks of its arrays.
async fn verify_catalog(snapshot: &Snapshot, checked: &mut BTreeSet<(String, u32)>, verified: &mut Verified) {
    let catalog = match snapshot.load().await {
        Ok(catalog) => catalog,
        Err(error) => return verified.problems.push(error.to_string()),
    };
    for (variable, entries) in &catalog.variables {
        for entry in entries {
            if checked.insert((entry.path(variable), entry.first))
                && let Err(error) = verify_segment(snapshot, variable, entry, verified).await
            {
                verified.problems.push(error.to_string());
            }
        }
        match snapshot.index(variable, &ReadMetrics::default()).await {
            Ok(index) => {
                for (chunk, dataset, coordinate) in index.chunks() {
                    let misplaced = match index.cells(chunk) {
                        Ok(cells) => misplaced(&catalog, variable, dataset, coordinate, cells),
                        Err(error) => Some(error.to_string()),
                    };
                    verified.problems.extend(misplaced.map(|problem| format!("{variable}: {problem}")));
                }
            }
            // Already reported with its segment.
            Err(_) => continue,
        }
    }
}

/// What is wrong with the position of a chunk of `cells` cells.
fn misplaced(
    catalog: &Catalog,
    variable: &str,
    dataset: u32,
    coordinate: &[u32],
    cells: usize,
) -> Option<String> {
    // Chunks of deleted datasets and arrays are obsolete.
    let dataset = catalog.dataset(dataset)?;
    let array = catalog.array(dataset, variable)?;
    let grid = catalog.chunk_grid(dataset, array);
    let name = dataset.name();
    if !grid.contains(coordinate) {
        return Some(format!("dataset `{name}` has no chunk at {coordinate:?}, but a segment has it"));
    }
    let expected = grid.region(coordinate).cells();
    (expected != cells).then(|| {
        format!(
            "dataset `{name}` has a chunk of {cells} cells at {coordinate:?} where {expected} were expected"
        )
    })
}

/// Reads and checks a whole segment.
async fn verify_segment(
    snapshot: &Snapshot,
    variable: &str,
    entry: &SegmentEntry,
    verified: &mut Verified,
) -> Result<()> {
    let metrics = ReadMetrics::default();
    let segment = Segment::open(snapshot.storage(), 0, variable, entry, &metrics).await?;
    verified.segments += 1;
    let count = segment.index.blocks.len();
    let mut rows: Vec<usize> =
        (0..segment.index.len()).filter(|&row| !segment.index.is_deletion(row)).collect();
    rows.sort_by_key(|&row| segment.index.cells(row).0);
    let mut rows = rows.into_iter().peekable();
    let mut totals = Statistics::default();
    for first in (0..count).step_by(BLOCKS) {
        let entries = segment.index.blocks.iter().enumerate().skip(first).take(BLOCKS);
        let numbers: Vec<_> = entries.map(|(number, entry)| (number, 0..entry.cells as usize)).collect();
        let blocks = segment.blocks(snapshot.storage(), &numbers, false, &metrics).await?;
        verified.blocks += blocks.len();
        for ((number, _), block) in numbers.iter().zip(&blocks) {
            while let Some(row) = rows.next_if(|&row| segment.index.cells(row).0 == *number) {
                let (_, cells) = segment.index.cells(row);
                let found = Statistics::of(&block.slice(cells.start, cells.len()), entry.dtype);
                let told = segment.index.statistics(row);
                verified.chunks += 1;
                totals.row_count += found.row_count;
                totals.null_count += found.null_count;
                if !found.agrees(&told) {
                    verified.problems.push(format!(
                        "{}: the chunk at {:?} of dataset #{} has {found:?} where its index says {told:?}",
                        segment.file,
                        segment.index.coordinate(row),
                        segment.index.dataset(row)
                    ));
                }
            }
        }
    }
    verified.bytes += metrics.bytes();
    let (cells, missing) = (totals.row_count, totals.null_count);
    if (cells, missing) != (entry.cells, entry.missing) {
        verified.problems.push(format!(
            "{}: it has {cells} cells, {missing} of them missing, where the catalog says {} and {}",
            segment.file, entry.cells, entry.missing
        ));
    }
    Ok(())
}
