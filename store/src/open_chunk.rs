//! Chunks that are not complete yet, and the parts of a region that go to each chunk.

use arrow::array::{Array, ArrayRef, MutableArrayData, make_array, new_null_array};
use arrow::compute::interleave;
use arrow::error::ArrowError;

use crate::{ChunkGrid, DType, Region};

/// A chunk until all its cells are written: pieces of it, later ones over earlier ones.
pub(crate) struct OpenChunk {
    region: Region,
    pieces: Vec<(Region, ArrayRef)>,
    written: Vec<bool>,
    left: usize,
}

impl OpenChunk {
    /// A chunk with the cells of `region` of its array, of which none is written.
    pub(crate) fn new(region: Region) -> Self {
        let cells = region.cells();
        Self { region, pieces: Vec::new(), written: vec![false; cells], left: cells }
    }

    /// Writes the cells of a part of the chunk.
    pub(crate) fn write(&mut self, part: Region, cells: ArrayRef) {
        for cell in self.places(&part) {
            if let Some(written) = self.written.get_mut(cell)
                && !std::mem::replace(written, true)
            {
                self.left -= 1;
            }
        }
        self.pieces.push((part, cells));
    }

    /// True once every cell was written.
    pub(crate) fn is_complete(&self) -> bool {
        self.left == 0
    }

    /// The cells of the chunk, those that nobody wrote null.
    pub(crate) fn assemble(&self, dtype: DType) -> Result<ArrayRef, ArrowError> {
        let missing = new_null_array(&dtype.arrow(), 1);
        let mut sources: Vec<&dyn Array> = vec![&missing];
        let mut from = vec![(0, 0); self.written.len()];
        for (part, cells) in &self.pieces {
            for (cell, place) in self.places(part).enumerate() {
                if let Some(from) = from.get_mut(place) {
                    *from = (sources.len(), cell);
                }
            }
            sources.push(cells);
        }
        interleave(&sources, &from)
    }

    /// The places of a part's cells among those of the chunk.
    fn places(&self, part: &Region) -> impl Iterator<Item = usize> + use<> {
        let runs = whole(&self.region).runs(&relative(part, &self.region));
        runs.into_iter().flat_map(|run| run.offset..run.offset + run.length)
    }
}

/// The cells of `part` of `region`, whose cells are `cells`.
pub(crate) fn cut(cells: &ArrayRef, region: &Region, part: &Region) -> Result<ArrayRef, ArrowError> {
    let runs = whole(region).runs(&relative(part, region));
    if let [run] = runs.as_slice() {
        return Ok(cells.slice(run.offset, run.length));
    }
    let data = cells.to_data();
    let mut piece = MutableArrayData::new(vec![&data], true, part.cells());
    for run in runs {
        piece.try_extend(0, run.offset, run.offset + run.length)?;
    }
    Ok(make_array(piece.freeze()))
}

/// A grid with one chunk, of the shape of `region`.
fn whole(region: &Region) -> ChunkGrid {
    ChunkGrid::new(&region.shape, &region.shape.iter().map(|&size| size.max(1)).collect::<Vec<_>>())
}

/// `part`, as seen from the first cell of `region`.
fn relative(part: &Region, region: &Region) -> Region {
    let start: Vec<_> = part.start.iter().zip(&region.start).map(|(part, start)| part - start).collect();
    Region::new(start, part.shape.clone())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int32Array;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is written last to a cell is what the chunk has in it.
        #[test]
        fn later_pieces_lie_over_earlier_ones(
            writes in prop::collection::vec((0usize..4, 0usize..5, 1usize..5, 1usize..6), 0..6),
        ) {
            let (start, shape) = ([10, 20], [4usize, 5]);
            let mut chunk = OpenChunk::new(Region::new(start, shape));
            let mut model = vec![None; 20];
            for (number, (i, j, height, width)) in writes.into_iter().enumerate() {
                let (height, width) = (height.min(4 - i), width.min(5 - j));
                let part = Region::new([10 + i, 20 + j], [height, width]);
                let value = |y: usize, x: usize| i32::try_from(number * 100 + y * 10 + x).unwrap();
                // The part as cut out of all rows of the array that it is in.
                let rows = Region::new([10 + i, 0], [height, 30]);
                let cells = (0..height).flat_map(|y| (0..30).map(move |x| value(y, x)));
                let cells: ArrayRef = Arc::new(Int32Array::from_iter_values(cells));
                chunk.write(part.clone(), cut(&cells, &rows, &part).unwrap());
                for y in 0..height {
                    for x in 0..width {
                        model[(i + y) * 5 + j + x] = Some(value(y, 20 + j + x));
                    }
                }
            }
            prop_assert_eq!(chunk.is_complete(), model.iter().all(Option::is_some));
            let expected: ArrayRef = Arc::new(Int32Array::from(model));
            prop_assert_eq!(&chunk.assemble(DType::I32).unwrap(), &expected);
        }
    }
}
