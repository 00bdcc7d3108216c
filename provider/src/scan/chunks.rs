//! The chunks that back a column.

use std::sync::Arc;

use atlas::{ArrayCursor, ArraySchema, ChunkGrid, Span};

use super::boxes::{Boxes, Tile};
use crate::tables::columns::Table;
use crate::tables::layout::Origin;

/// Iterates over the arrays that back a column in consecutive datasets.
pub struct ColumnChunks<'a> {
    table: &'a Table,
    column: usize,
    arrays: Option<ArrayCursor<'a>>,
}

/// The array that backs a column in a dataset.
pub struct ColumnArray<'a, 'c> {
    pub schema: &'a Arc<ArraySchema>,
    /// For each of its dimensions, the position among those of the dataset's rows.
    pub dims: &'a [usize],
    /// True if its cells are the column's values without any change.
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
    /// The arrays that back a column.
    pub fn new(table: &'a Table, column: usize) -> Self {
        let arrays = table.layout.variable(column).map(|name| ArrayCursor::new(&table.catalog, name));
        Self { table, column, arrays }
    }

    /// The origin of the column in a box.
    pub fn origin(&self, tile: &Tile<'_>) -> &'a Origin {
        let layout = self.table.layout.schema(tile.schema as usize);
        layout.and_then(|layout| layout.origins.get(self.column)).unwrap_or(&Origin::Missing)
    }

    /// The array that backs the column in a box, if one does.
    pub fn of(&mut self, tile: &Tile<'_>) -> Option<ColumnArray<'a, '_>> {
        let layout = self.table.layout.schema(tile.schema as usize)?;
        let Origin::Array(dims) = layout.origins.get(self.column)? else { return None };
        let direct = layout.direct.get(self.column).copied().unwrap_or(false);
        let (schema, chunks) = self.arrays.as_mut()?.at(tile.dataset)?;
        Some(ColumnArray { schema, dims, direct, chunks })
    }

    /// The number of chunks in which boxes have cells, counted for each box.
    pub fn crossed(self, boxes: &Boxes) -> usize {
        let mut chunks = vec![0; boxes.len()];
        self.add_crossed(boxes, &mut chunks);
        chunks.into_iter().map(|chunks| chunks as usize).sum()
    }

    /// Adds, for each box, the number of chunks in which it has cells.
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
