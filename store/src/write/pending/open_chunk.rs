//! Incomplete chunks, and the parts of a region that go to each chunk.

use arrow::array::{Array, ArrayRef, MutableArrayData, make_array, new_null_array};
use arrow::compute::interleave;
use arrow::error::ArrowError;

use crate::model::dtype::DType;
use crate::model::grid::{ChunkGrid, Region};

/// A chunk until all its cells are written: its pieces, of which later ones hide earlier ones and
/// the cells beneath.
#[derive(Clone)]
pub(crate) struct OpenChunk {
    region: Region,
    under: Under,
    pieces: Vec<(Region, ArrayRef)>,
    written: Vec<bool>,
    left: usize,
}

/// The cells beneath a chunk: the cells of an earlier chunk with the same coordinate, which show
/// through where nothing is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Under {
    /// No cells.
    Nothing,
    /// Committed cells, of this region.
    Committed(Region),
    /// Cells of this region that were written since the last commit, to a segment that is
    /// incomplete.
    Written(Region),
}

impl OpenChunk {
    /// A chunk with the cells of `region` of its array, none of them written.
    pub(crate) fn new(region: Region, under: Under) -> Self {
        let cells = region.cells();
        Self { region, under, pieces: Vec::new(), written: vec![false; cells], left: cells }
    }

    /// The cells beneath.
    pub(crate) fn under(&self) -> &Under {
        &self.under
    }

    /// True if the cells beneath were written since the last commit.
    pub(crate) fn is_over_written(&self) -> bool {
        matches!(self.under, Under::Written(_))
    }

    /// True if nothing was written, so that the chunk need not be created.
    pub(crate) fn is_untouched(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Writes the cells of a part of the chunk.
    pub(crate) fn write(&mut self, part: Region, cells: ArrayRef) {
        self.mark(&part);
        self.pieces.push((part, cells));
    }

    /// Grows the chunk to `region`, which contains all its cells.
    pub(crate) fn grow(&mut self, region: Region) {
        self.left = region.cells();
        self.written = vec![false; self.left];
        self.region = region;
        for (part, cells) in std::mem::take(&mut self.pieces) {
            self.write(part, cells);
        }
    }

    fn mark(&mut self, part: &Region) {
        for cell in places(&self.region, part) {
            if let Some(written) = self.written.get_mut(cell)
                && !std::mem::replace(written, true)
            {
                self.left -= 1;
            }
        }
    }

    /// True once every cell was written.
    pub(crate) fn is_complete(&self) -> bool {
        self.left == 0
    }

    /// The cells of the chunk, merged over `under`, the cells beneath. Cells are missing if neither
    /// has them.
    pub(crate) fn assemble(&self, dtype: DType, under: Option<ArrayRef>) -> Result<ArrayRef, ArrowError> {
        let missing = new_null_array(&dtype.arrow(), 1);
        let mut sources: Vec<&dyn Array> = vec![&missing];
        let mut from = vec![(0, 0); self.written.len()];
        let under = match &self.under {
            Under::Committed(region) | Under::Written(region) => under.map(|cells| (region.clone(), cells)),
            Under::Nothing => None,
        };
        for (part, cells) in under.iter().chain(&self.pieces) {
            for (cell, place) in places(&self.region, part).enumerate() {
                if let Some(from) = from.get_mut(place) {
                    *from = (sources.len(), cell);
                }
            }
            sources.push(cells);
        }
        interleave(&sources, &from)
    }
}

/// The positions of a part's cells among those of `region`.
fn places(region: &Region, part: &Region) -> impl Iterator<Item = usize> + use<> {
    let runs = whole(region).runs(&relative(part, region));
    runs.into_iter().flat_map(|run| run.offset..run.offset + run.length)
}

/// The cells of `part`, given the `cells` of `region`.
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

/// `part`, relative to the first cell of `region`.
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
        /// The last value written to a cell is the value in the chunk.
        #[test]
        fn later_pieces_lie_over_earlier_ones(
            writes in prop::collection::vec((0usize..4, 0usize..5, 1usize..5, 1usize..6), 0..6),
            grown in 0usize..7,
            under in prop::option::of((1usize..4, 1usize..5)),
        ) {
            let (start, shape) = ([10, 20], [4usize, 5]);
            let mut model = vec![None; 20];
            let mut below = Under::Nothing;
            let mut cells_below = None;
            if let Some((height, width)) = under {
                below = Under::Committed(Region::new(start, [height, width]));
                let cells: ArrayRef = Arc::new(Int32Array::from_iter_values(-(height as i32 * width as i32)..0));
                for cell in 0..height * width {
                    model[cell / width * 5 + cell % width] = Some(cell as i32 - (height * width) as i32);
                }
                cells_below = Some(cells);
            }
            let mut chunk = OpenChunk::new(Region::new(start, shape), below);
            let mut written = [false; 20];
            for (number, (i, j, height, width)) in writes.into_iter().enumerate() {
                if number == grown {
                    chunk.grow(Region::new(start, [5, 6]));
                    model = (0..30).map(|cell| model.get(cell / 6 * 5 + cell % 6).copied().flatten()
                        .filter(|_| cell % 6 < 5)).collect();
                }
                let columns = if model.len() == 20 { 5 } else { 6 };
                let (height, width) = (height.min(4 - i), width.min(5 - j));
                let part = Region::new([10 + i, 20 + j], [height, width]);
                let value = |y: usize, x: usize| i32::try_from(number * 100 + y * 10 + x).unwrap();
                // The part as it is sliced from all rows of its array.
                let rows = Region::new([10 + i, 0], [height, 30]);
                let cells = (0..height).flat_map(|y| (0..30).map(move |x| value(y, x)));
                let cells: ArrayRef = Arc::new(Int32Array::from_iter_values(cells));
                chunk.write(part.clone(), cut(&cells, &rows, &part).unwrap());
                for y in 0..height {
                    for x in 0..width {
                        model[(i + y) * columns + j + x] = Some(value(y, 20 + j + x));
                        written[(i + y) * 5 + j + x] = true;
                    }
                }
            }
            prop_assert_eq!(chunk.is_complete(), model.len() == 20 && written.iter().all(|&cell| cell));
            let expected: ArrayRef = Arc::new(Int32Array::from(model));
            prop_assert_eq!(&chunk.assemble(DType::I32, cells_below).unwrap(), &expected);
        }
    }
}
