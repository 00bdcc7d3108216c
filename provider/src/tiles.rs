//! The tiles of a range, one after the other.

use std::ops::Range;

use atlas::ChunkGrid;

use crate::columns::{Table, are_alike};
use crate::layout::Tile;

/// The tiles of datasets, in order.
pub struct Tiles {
    table: Table,
    datasets: std::vec::IntoIter<(u32, Range<u64>)>,
    /// The dataset whose tiles are being given out, and those that are left.
    left: Option<(u32, Range<u64>)>,
    /// A dataset, and the tiles of all that are like it.
    grid: Option<(u32, ChunkGrid)>,
}

impl Tiles {
    /// The tiles of datasets of a table: for each dataset those with these numbers, counted from its first.
    pub fn new(table: Table, datasets: Vec<(u32, Range<u64>)>) -> Self {
        Self { table, datasets: datasets.into_iter(), left: None, grid: None }
    }
}

impl Iterator for Tiles {
    type Item = Tile;

    fn next(&mut self) -> Option<Tile> {
        loop {
            let (ordinal, mut left) = self.left.take().or_else(|| self.datasets.next())?;
            let table = &self.table;
            let Some((dataset, layout)) = table.dataset(ordinal) else { continue };
            let known = self.grid.as_ref().and_then(|(like, _)| table.dataset(*like));
            if known.is_none_or(|(like, _)| !are_alike(like, dataset)) {
                self.grid = Some((ordinal, layout.tiles(&layout.shape(dataset))));
            }
            let Some((_, grid)) = self.grid.as_ref().filter(|_| !left.is_empty()) else { continue };
            let tile = Tile { dataset: ordinal, region: grid.region(&grid.coordinate(left.start)) };
            left.start += 1;
            if !left.is_empty() {
                self.left = Some((ordinal, left));
            }
            return Some(tile);
        }
    }
}
