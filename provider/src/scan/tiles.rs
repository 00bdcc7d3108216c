//! The tiles of datasets, one after the other.

use std::ops::Range;

use atlas::Span;

use super::boxes::Boxes;
use crate::tables::columns::Table;

/// Iterates over the tiles of datasets, in order. Each tile is as large as a chunk of the dataset's
/// largest array.
pub struct Tiles {
    table: Table,
    datasets: std::vec::IntoIter<(u32, Range<u64>)>,
    /// The current dataset: its ordinal, its schema, and its remaining tiles.
    left: Option<(u32, u32, Range<u64>)>,
    /// The sizes of the rows of that dataset, and those of a tile.
    shape: Vec<usize>,
    tile: Vec<usize>,
}

impl Tiles {
    /// The tiles of datasets of a table. For each dataset, the range of its tiles, relative to its
    /// first.
    pub fn new(table: Table, datasets: Vec<(u32, Range<u64>)>) -> Self {
        Self { table, datasets: datasets.into_iter(), left: None, shape: Vec::new(), tile: Vec::new() }
    }

    /// The dataset of the next tile.
    fn next_dataset(&mut self) -> Option<u32> {
        while self.left.as_ref().is_none_or(|(_, _, left)| left.is_empty()) {
            let (ordinal, tiles) = self.datasets.next()?;
            let Some((dataset, layout)) = self.table.dataset(ordinal) else { continue };
            layout.tile_sizes(dataset, &mut self.shape, &mut self.tile);
            let schema = u32::try_from(dataset.schema()).unwrap_or(u32::MAX);
            self.left = Some((ordinal, schema, tiles));
        }
        self.left.as_ref().map(|(ordinal, ..)| *ordinal)
    }

    /// Takes the next tile.
    fn take(&mut self, boxes: &mut Boxes) {
        let Some((dataset, schema, left)) = &mut self.left else { return };
        let mut number = left.start;
        left.start += 1;
        // The tile number gives the position of the tile, from the fastest dimension on.
        let mut inner: u64 = 1;
        let counts = self.shape.iter().zip(&self.tile).map(|(size, tile)| size.div_ceil(*tile) as u64);
        let all: u64 = counts.clone().product();
        let spans = self.shape.iter().zip(&self.tile).zip(counts).map(|((&size, &tile), count)| {
            inner *= count.max(1);
            let stride = (all / inner).max(1);
            let place = number / stride;
            number %= stride;
            let start = usize::try_from(place).unwrap_or(usize::MAX).saturating_mul(tile);
            Span { start, size: tile.min(size.saturating_sub(start)) }
        });
        boxes.push_spans(*dataset, *schema, spans, true);
    }

    /// At most `most` tiles. With `whole`, the last dataset is completed.
    pub fn take_some(&mut self, most: usize, whole: bool) -> Boxes {
        let mut boxes = Boxes::default();
        while boxes.len() < most && self.next_dataset().is_some() {
            self.take(&mut boxes);
        }
        let last = boxes.datasets().last().copied();
        while whole && last.is_some() && self.next_dataset() == last {
            self.take(&mut boxes);
        }
        boxes
    }

    /// All tiles.
    pub fn all(mut self) -> Boxes {
        self.take_some(usize::MAX, false)
    }
}
