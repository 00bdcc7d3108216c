//! Reduces the boxes of a frame to the parts around their selected rows. A predicate such as a
//! range of pressures selects a few neighbouring rows of each profile; of the columns that are read
//! after it, only the cells there are needed. Reading them takes a copy of each box's part, so it
//! pays for columns that would be copied anyway, such as texts.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanBufferBuilder, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::take;
use arrow::util::bit_chunk_iterator::UnalignedBitChunk;
use atlas::Span;
use datafusion::common::Result;

use super::boxes::{Boxes, Tile};
use super::frame::{Frame, FrameColumn};
use crate::tables::layout::Layout;
use crate::tables::level::Level;

/// Boxes are reduced if at most one of this many of their rows remains: the columns read so far are
/// then copied.
const REDUCTION: usize = 4;

/// The part of a box that remains along its fastest dimension of more than one index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    /// The dimension, among those of the box and of the table.
    local: usize,
    dim: usize,
    /// The size of the box along it.
    size: usize,
    /// The first remaining index, counted from the first of the box, and how many remain.
    first: usize,
    kept: usize,
}

impl Cut {
    /// The part of a box from the first to the last index at which a row is selected; `None` for a
    /// single row. `rows` is the first row of the box in the mask.
    fn new(tile: &Tile<'_>, layout: &Layout, mask: &BooleanBuffer, rows: usize) -> Option<Self> {
        let local = tile.spans.iter().rposition(|span| span.size > 1)?;
        let (dim, _) = *layout.schema(tile.schema as usize)?.dims.get(local)?;
        let size = tile.spans.get(local)?.size;
        let lines = (0..tile.rows() / size).map(|line| {
            ends(&UnalignedBitChunk::new(mask.values(), mask.offset() + rows + line * size, size))
        });
        let around = |(first, last): (usize, usize), (a, b): (usize, usize)| (first.min(a), last.max(b));
        let (first, last) = lines.flatten().reduce(around)?;
        Some(Self { local, dim, size, first, kept: last + 1 - first })
    }

    /// The number of rows that remain of a box.
    fn rows(self, tile: &Tile<'_>) -> usize {
        tile.rows() / self.size * self.kept
    }
}

/// The positions of the first and the last bit that is set.
fn ends(bits: &UnalignedBitChunk<'_>) -> Option<(usize, usize)> {
    let words = bits.iter().count();
    let first = bits.iter().enumerate().find(|(_, word)| *word != 0)?;
    let last = (0..words).rev().zip(bits.iter().rev()).find(|(_, word)| *word != 0)?;
    let position = |number: usize, bit: u32| (number * 64 + bit as usize) - bits.lead_padding();
    Some((position(first.0, first.1.trailing_zeros()), position(last.0, 63 - last.1.leading_zeros())))
}

impl Frame {
    /// The frame with its boxes reduced to the parts around selected rows, provided that most rows
    /// lie outside these parts. Along other dimensions than the fastest, boxes stay as they are.
    pub fn reduced(self, table: &crate::tables::columns::Table) -> Result<Self> {
        let rows = self.rows();
        let Some(mask) = self.mask.as_ref().filter(|mask| mask.count_set_bits() <= rows / REDUCTION) else {
            return Ok(self);
        };
        let layout = &table.layout;
        let cut =
            |(place, tile): (usize, Tile<'_>)| Cut::new(&tile, layout, mask, self.boxes.range(place).start);
        let cuts: Vec<Option<Cut>> = self.boxes.iter().enumerate().map(cut).collect();
        let left = |(tile, cut): (Tile<'_>, &Option<Cut>)| cut.map_or(tile.rows(), |cut| cut.rows(&tile));
        if self.boxes.iter().zip(&cuts).map(left).sum::<usize>() > rows / REDUCTION {
            return Ok(self);
        }
        let (mut boxes, mut spans) = (Boxes::default(), Vec::<Span>::new());
        let mut selected = BooleanBufferBuilder::new(rows / REDUCTION);
        for ((place, tile), cut) in self.boxes.iter().enumerate().zip(&cuts) {
            spans.clear();
            spans.extend(tile.spans);
            if let Some((cut, span)) = cut.and_then(|cut| Some((cut, spans.get_mut(cut.local)?))) {
                *span = Span { start: span.start + cut.first, size: cut.kept };
            }
            boxes.push(&Tile { spans: &spans, ..tile });
            let start = self.boxes.range(place).start;
            for_lines(*cut, tile.rows(), |first, count| {
                selected.append_buffer(&mask.slice(start + first, count))
            });
        }
        let columns = self.columns.iter().map(|known| {
            let values = self.values_left(known, layout, &cuts)?;
            Ok(FrameColumn { column: known.column, values, boxes: known.boxes.clone() })
        });
        let columns = columns.collect::<Result<_>>()?;
        let selected = selected.finish();
        let mask = Some(selected).filter(|mask| mask.count_set_bits() < mask.len());
        Ok(Self { boxes, mask, columns })
    }

    /// The values of a column in what is left of the boxes.
    fn values_left(&self, known: &FrameColumn, layout: &Layout, cuts: &[Option<Cut>]) -> Result<ArrayRef> {
        let level = layout.level(known.column);
        if level == Level::DATASET {
            return Ok(Arc::clone(&known.values));
        }
        let mut places: Vec<u32> = Vec::new();
        let mut start = 0;
        for ((place, tile), cut) in self.boxes.iter().enumerate().zip(cuts) {
            if known.boxes.as_ref().is_some_and(|have| have.get(place) == Some(&false)) {
                continue;
            }
            let count = tile.values(layout, level);
            for_lines(cut.filter(|cut| level.has(cut.dim)), count, |first, count| {
                let narrow = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
                places.extend(narrow(start + first)..narrow(start + first + count));
            });
            start += count;
        }
        if places.len() == known.values.len() {
            return Ok(Arc::clone(&known.values));
        }
        Ok(take(&known.values, &UInt32Array::from(places), None)?)
    }
}

/// Calls `add` with what a cut leaves of each line of `count` values, as the first value and the
/// number of values.
fn for_lines(cut: Option<Cut>, count: usize, mut add: impl FnMut(usize, usize)) {
    match cut {
        Some(Cut { size, first, kept, .. }) => {
            (0..count / size).for_each(|line| add(line * size + first, kept));
        }
        None => add(0, count),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Float32Type;
    use atlas::{ArraySchema, Attributes, DType};
    use proptest::prelude::*;

    use super::*;
    use crate::testing;

    proptest! {
        #[test]
        fn the_ends_of_bits_are_found(bits in prop::collection::vec(prop::bool::weighted(0.1), 0..300), skip in 0usize..80) {
            let skip = skip.min(bits.len());
            let buffer: BooleanBuffer = bits.iter().copied().collect();
            let found = ends(&UnalignedBitChunk::new(buffer.values(), skip, bits.len() - skip));
            let set: Vec<usize> = (skip..bits.len()).filter(|&bit| bits[bit]).map(|bit| bit - skip).collect();
            prop_assert_eq!(found, set.first().copied().zip(set.last().copied()));
        }

        /// A reduced frame has the same selected rows, with the same values, whether columns were
        /// read before it was reduced or after. The rest of the frame adopts it.
        #[test]
        fn reduced_frames_have_the_selected_rows(
            sizes in prop::collection::vec((1usize..4, 1usize..20), 1..6),
            chunked in any::<bool>(),
            selected in prop::collection::vec((0usize..60, 0usize..4), 1..6),
            before in 0usize..8,
            decided in prop::collection::vec(any::<bool>(), 6),
        ) {
            let made = sizes.iter().map(|&(x, y)| {
                let array = |name: &str, dims: &[&str]| {
                    let shape: Vec<usize> = dims.iter().map(|&dim| if dim == "x" { x } else { y }).collect();
                    let mut schema = ArraySchema::new(name.to_owned(), DType::F32, dims);
                    if chunked && dims.len() == 2 {
                        schema.chunk = vec![2, 5];
                    }
                    (schema, shape)
                };
                let arrays = vec![array("full", &["x", "y"]), array("inner", &["y"]), array("outer", &["x"])];
                (arrays, Attributes::new())
            });
            let (table, tiles) = testing::table(made, &["x", "y"]);
            let columns: Vec<usize> =
                ["full", "inner", "outer"].iter().filter_map(|name| table.layout.position(name)).collect();
            let rows = |frame: &Frame| -> Vec<(u32, Vec<Option<f32>>)> {
                let of = |column: &usize| {
                    let values = frame.column_at(&table, *column, Level::ROWS).unwrap();
                    values.as_primitive::<Float32Type>().iter().collect::<Vec<_>>()
                };
                let values: Vec<_> = columns.iter().map(of).collect();
                let datasets = frame.boxes.iter().flat_map(|tile| std::iter::repeat_n(tile.dataset, tile.rows()));
                let row = |(row, dataset): (usize, u32)| (dataset, values.iter().map(|of| of[row]).collect());
                let is_selected = |(row, _): &(usize, u32)| frame.mask.as_ref().is_none_or(|mask| mask.value(*row));
                datasets.enumerate().filter(is_selected).map(row).collect()
            };
            let whole = |tiles: &Boxes| {
                let mut frame = Frame::new(tiles.clone());
                let is_selected = |row: usize| selected.iter().any(|&(first, count)| (first..first + count).contains(&(row % 64)));
                let mask: BooleanBuffer = (0..frame.rows()).map(is_selected).collect();
                frame.restrict(mask);
                frame
            };
            let mut expected = whole(&tiles);
            testing::read(&table, &mut expected, &columns);
            let expected = rows(&expected);

            let some = |before: usize| -> Vec<usize> {
                columns.iter().enumerate().filter(|(i, _)| before & (1 << i) != 0).map(|(_, &column)| column).collect()
            };
            let mut frame = whole(&tiles);
            testing::read(&table, &mut frame, &some(before));
            let all = frame.rows();
            let mut frame = frame.reduced(&table).unwrap();
            prop_assert!(frame.rows() == all || frame.rows() <= all / REDUCTION);
            testing::read(&table, &mut frame, &columns);
            prop_assert_eq!(rows(&frame), expected.clone());

            // A part of the boxes is reduced, and the others know nothing of it.
            let mut frame = whole(&tiles);
            let of: Vec<bool> = (0..frame.boxes.len()).map(|place| decided[place % decided.len()]).collect();
            let mut part = frame.part(&table, &of).unwrap();
            testing::read(&table, &mut part, &some(before));
            frame.adopt(part.reduced(&table).unwrap(), &of);
            testing::read(&table, &mut frame, &columns);
            prop_assert_eq!(rows(&frame), expected);
        }
    }
}
