//! The chunks behind a column.

use std::sync::Arc;

use atlas::{ArrayCursor, ArraySchema, ChunkGrid, Span};

use super::boxes::{Boxes, Tile};
use crate::tables::columns::Table;
use crate::tables::layout::Origin;

/// The array behind a column, in one dataset after the other.
pub struct ColumnChunks<'a> {
    table: &'a Table,
    column: usize,
    arrays: Option<ArrayCursor<'a>>,
}

/// The array behind a column in a dataset.
pub struct ColumnArray<'a, 'c> {
    pub schema: &'a Arc<ArraySchema>,
    /// For each of its dimensions the position among those of the dataset's rows.
    pub dims: &'a [usize],
    /// True if its cells are the column's values as they are.
    pub direct: bool,
    pub chunks: &'c ChunkGrid,
}

impl ColumnArray<'_, '_> {
    /// The spans of a box in the array.
    pub fn spans<'s>(&'s self, tile: &'s Tile<'_>) -> impl Iterator<Item = Span> + 's {
        self.dims.iter().map(|&dim| tile.spans.get(dim).copied().unwrap_or_default())
    }
}

impl<'a> ColumnChunks<'a> {
    /// The arrays behind a column.
    pub fn new(table: &'a Table, column: usize) -> Self {
        let arrays = table.layout.variable(column).map(|name| ArrayCursor::new(&table.catalog, name));
        Self { table, column, arrays }
    }

    /// Where the column comes from in a box.
    pub fn origin(&self, tile: &Tile<'_>) -> &'a Origin {
        let layout = self.table.layout.schema(tile.schema as usize);
        layout.and_then(|layout| layout.origins.get(self.column)).unwrap_or(&Origin::Missing)
    }

    /// The array that it comes from in a box, if it comes from one.
    pub fn of(&mut self, tile: &Tile<'_>) -> Option<ColumnArray<'a, '_>> {
        let layout = self.table.layout.schema(tile.schema as usize)?;
        let Origin::Array(dims) = layout.origins.get(self.column)? else { return None };
        let direct = layout.direct.get(self.column).copied().unwrap_or(false);
        let (schema, chunks) = self.arrays.as_mut()?.at(tile.dataset)?;
        Some(ColumnArray { schema, dims, direct, chunks })
    }

    /// The number of chunks that boxes have cells in, each counted for each box.
    pub fn crossed(self, boxes: &Boxes) -> usize {
        let mut chunks = vec![0; boxes.len()];
        self.add_crossed(boxes, &mut chunks);
        chunks.into_iter().map(|chunks| chunks as usize).sum()
    }

    /// Adds for each box the number of chunks that it has cells in.
    pub fn add_crossed(mut self, boxes: &Boxes, chunks: &mut [u32]) {
        if self.arrays.is_none() {
            return;
        }
        for (tile, count) in boxes.iter().zip(chunks) {
            let Some(array) = self.of(&tile) else { continue };
            let spans = array.spans(&tile).map(|span| (span.start, span.size));
            let own = u32::try_from(array.chunks.crossed_chunks(spans)).unwrap_or(u32::MAX);
            *count = count.saturating_add(own);
        }
    }
}
