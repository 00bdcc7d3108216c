//! Frames: the rows of some boxes, with the columns that were read so far, each at its own level.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanBufferBuilder, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat, take};
use datafusion::common::Result;
use futures::future::try_join_all;

use super::boxes::Boxes;
use super::expand::Expansion;
use super::reader::{Reader, Reading};
use crate::tables::columns::Table;
use crate::tables::level::Level;

/// The rows of some boxes.
#[derive(Default)]
pub struct Frame {
    pub boxes: Boxes,
    /// The selected rows; without a mask, all rows.
    pub mask: Option<BooleanBuffer>,
    pub(super) columns: Vec<FrameColumn>,
}

/// A column, as far as it was read.
pub(super) struct FrameColumn {
    /// The position in the table.
    pub column: usize,
    /// The values of the boxes that have it, one box after the other.
    pub values: ArrayRef,
    /// Which boxes have it, if some lack it.
    pub boxes: Option<Vec<bool>>,
}

impl Frame {
    /// All rows of boxes, with no columns read yet.
    pub fn new(boxes: Boxes) -> Self {
        Self { boxes, mask: None, columns: Vec::new() }
    }

    /// The number of rows, selected or not.
    pub fn rows(&self) -> usize {
        self.boxes.rows()
    }

    /// The number of rows that are selected.
    pub fn selected(&self) -> usize {
        self.mask.as_ref().map_or(self.rows(), BooleanBuffer::count_set_bits)
    }

    /// Reads columns for all boxes that lack them, concurrently.
    pub async fn read(&mut self, reader: &Reader, columns: &[usize], reading: &Reading<'_>) -> Result<()> {
        let lacking = columns.iter().map(|&column| (column, self.lacking(column)));
        let lacking = lacking.filter(|(column, boxes)| !boxes.is_empty() || !self.has(*column));
        let lacking: Vec<(usize, Boxes)> = lacking.collect();
        let reads = lacking.iter().map(|(column, boxes)| reader.column(*column, boxes, reading));
        let read = try_join_all(reads.collect::<Vec<_>>()).await?;
        for ((column, _), more) in lacking.iter().zip(read) {
            let Some(known) = self.columns.iter_mut().find(|known| known.column == *column) else {
                self.columns.push(FrameColumn { column: *column, values: more, boxes: None });
                continue;
            };
            if let Some(have) = known.boxes.take() {
                known.values = merged(&reader.table, *column, &self.boxes, &have, &known.values, &more)?;
            }
        }
        Ok(())
    }

    /// True if something of a column was read.
    pub fn has(&self, column: usize) -> bool {
        self.columns.iter().any(|known| known.column == column)
    }

    /// The boxes for which a column was not read yet.
    pub fn lacking(&self, column: usize) -> Boxes {
        match self.columns.iter().find(|known| known.column == column) {
            None => self.boxes.clone(),
            Some(FrameColumn { boxes: None, .. }) => Boxes::default(),
            Some(FrameColumn { boxes: Some(have), .. }) => {
                self.boxes.clone().filter(|place| have.get(place) == Some(&false))
            }
        }
    }

    /// A column that was read for all boxes, at its own level.
    pub fn column(&self, column: usize) -> Result<ArrayRef> {
        let known = self.columns.iter().find(|known| known.column == column && known.boxes.is_none());
        let known = known.map(|known| Arc::clone(&known.values));
        known.ok_or_else(|| {
            datafusion::common::DataFusionError::Internal(format!("column {column} of a frame was not read"))
        })
    }

    /// A column that was read for all boxes, at a level that is not below its own.
    pub fn column_at(&self, table: &Table, column: usize, to: Level) -> Result<ArrayRef> {
        let from = table.layout.level(column);
        Expansion { boxes: &self.boxes, layout: &table.layout, from, to }.array(&self.column(column)?)
    }

    /// For each row, the position of its value at a level; `None` if the level is that of rows.
    pub fn places(&self, table: &Table, from: Level) -> Option<Vec<u32>> {
        let expansion = Expansion { boxes: &self.boxes, layout: &table.layout, from, to: Level::ROWS };
        if expansion.is_none() {
            return None;
        }
        Some(
            expansion.values(
                &(0..u32::try_from(self.boxes.values(&table.layout, from)).unwrap_or(u32::MAX))
                    .collect::<Vec<_>>(),
            ),
        )
    }

    /// Keeps only rows whose value at a level is in `selected`.
    pub fn restrict_at(&mut self, table: &Table, from: Level, selected: &BooleanBuffer) {
        let to_rows = Expansion { boxes: &self.boxes, layout: &table.layout, from, to: Level::ROWS };
        let selected = to_rows.bits(selected);
        self.restrict(selected);
    }

    /// Keeps only rows that are in `selected`.
    pub(super) fn restrict(&mut self, selected: BooleanBuffer) {
        self.mask = Some(match self.mask.take() {
            Some(mask) => &mask & &selected,
            None => selected,
        });
    }

    /// For each box, whether it has a selected row.
    pub fn live(&self) -> Vec<bool> {
        let Some(mask) = &self.mask else { return vec![true; self.boxes.len()] };
        let has_rows = |place| {
            let Range { start, end } = self.boxes.range(place);
            mask.slice(start, end - start).count_set_bits() > 0
        };
        (0..self.boxes.len()).map(has_rows).collect()
    }

    /// The frame without boxes that have no selected row.
    pub fn compacted(self, table: &Table) -> Result<Self> {
        let live = self.live();
        if live.iter().all(|&live| live) { Ok(self) } else { self.part(table, &live) }
    }

    /// The frame of some of the boxes, with the columns read for them.
    pub fn part(&self, table: &Table, wanted: &[bool]) -> Result<Self> {
        let is_wanted = |place: usize| wanted.get(place) == Some(&true);
        let mut part = Self::new(self.boxes.clone().filter(is_wanted));
        part.mask = self.mask.as_ref().map(|mask| {
            let mut rows = BooleanBufferBuilder::new(part.boxes.rows());
            for place in (0..self.boxes.len()).filter(|&place| is_wanted(place)) {
                let Range { start, end } = self.boxes.range(place);
                rows.append_buffer(&mask.slice(start, end - start));
            }
            rows.finish()
        });
        for known in &self.columns {
            let has = |place: usize| known.boxes.as_ref().is_none_or(|have| have.get(place) == Some(&true));
            let values = cut(table, known.column, &self.boxes, &known.values, has, is_wanted)?;
            let boxes = known.boxes.as_ref().map(|have| {
                let pairs = have.iter().zip(wanted);
                pairs.filter(|(_, wanted)| **wanted).map(|(&have, _)| have).collect::<Vec<bool>>()
            });
            let boxes = boxes.filter(|have| have.contains(&false));
            part.columns.push(FrameColumn { column: known.column, values, boxes });
        }
        Ok(part)
    }

    /// Takes over what was read and decided for some of the boxes. `part` has these boxes, perhaps
    /// [reduced](Self::reduced). For the other boxes nothing was read.
    pub fn adopt(&mut self, part: Self, of: &[bool]) {
        let (mut boxes, mut mask) = (Boxes::default(), BooleanBufferBuilder::new(self.rows()));
        let mut next = 0;
        for (place, &is_part) in of.iter().enumerate() {
            let (from, own) = if is_part { (&part, next) } else { (&*self, place) };
            let rows = from.boxes.range(own);
            match &from.mask {
                Some(all) => mask.append_buffer(&all.slice(rows.start, rows.len())),
                None => mask.append_n(rows.len(), true),
            }
            boxes.push(&from.boxes.get(own));
            next += usize::from(is_part);
        }
        self.boxes = boxes;
        self.mask = (part.mask.is_some() || self.mask.is_some()).then(|| mask.finish());
        let is_all = of.iter().all(|&is_part| is_part);
        self.columns = part.columns;
        for known in &mut self.columns {
            if !is_all {
                let mut own = known.boxes.take().map(Vec::into_iter);
                let has = |&is_part: &bool| match &mut own {
                    Some(own) if is_part => own.next().unwrap_or(false),
                    _ => is_part,
                };
                known.boxes = Some(of.iter().map(has).collect());
            }
        }
    }

    /// The size in bytes of what was read.
    pub fn memory(&self) -> usize {
        let bytes = |known: &FrameColumn| known.values.to_data().get_slice_memory_size().unwrap_or(0);
        self.columns.iter().map(bytes).sum()
    }
}

/// The values of the wanted boxes, among those that have values.
fn cut(
    table: &Table,
    column: usize,
    boxes: &Boxes,
    values: &ArrayRef,
    has: impl Fn(usize) -> bool,
    is_wanted: impl Fn(usize) -> bool,
) -> Result<ArrayRef> {
    let level = table.layout.level(column);
    let (mut runs, mut start): (Vec<Range<usize>>, usize) = (Vec::new(), 0);
    for (place, tile) in boxes.iter().enumerate().filter(|(place, _)| has(*place)) {
        let count = tile.values(&table.layout, level);
        if is_wanted(place) {
            match runs.last_mut() {
                Some(run) if run.end == start => run.end += count,
                _ => runs.push(start..start + count),
            }
        }
        start += count;
    }
    match runs.as_slice() {
        [] => Ok(values.slice(0, 0)),
        [run] => Ok(values.slice(run.start, run.len())),
        runs if level == Level::DATASET => {
            let number = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
            let places = runs.iter().flat_map(|run| run.clone().map(number));
            Ok(take(values, &UInt32Array::from_iter_values(places), None)?)
        }
        runs => {
            let parts: Vec<ArrayRef> = runs.iter().map(|run| values.slice(run.start, run.len())).collect();
            Ok(concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>())?)
        }
    }
}

/// The values of all boxes, merged from `known` for those that have values, and `more` for the
/// others.
fn merged(
    table: &Table,
    column: usize,
    boxes: &Boxes,
    have: &[bool],
    known: &ArrayRef,
    more: &ArrayRef,
) -> Result<ArrayRef> {
    let level = table.layout.level(column);
    let (mut parts, mut starts): (Vec<(bool, usize, usize)>, [usize; 2]) = (Vec::new(), [0; 2]);
    for (tile, &have) in boxes.iter().zip(have) {
        let count = tile.values(&table.layout, level);
        let [of_more, of_known] = &mut starts;
        let start = if have { of_known } else { of_more };
        match parts.last_mut() {
            Some((last, _, length)) if *last == have => *length += count,
            _ => parts.push((have, *start, count)),
        }
        *start += count;
    }
    let part = |&(have, start, length): &(bool, usize, usize)| {
        if have { known.slice(start, length) } else { more.slice(start, length) }
    };
    let parts: Vec<ArrayRef> = parts.iter().map(part).collect();
    Ok(concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>())?)
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Float64Type;
    use atlas::{ArraySchema, Attributes, DType};
    use proptest::prelude::*;

    use super::*;
    use crate::testing;

    /// Datasets of these sizes along `x` and `y`. They have arrays over both, over one of them,
    /// over both in reverse order, and over none. Some datasets lack some arrays, or have them in
    /// another type or in chunks.
    fn datasets(sizes: &[(usize, usize, u8)]) -> Vec<testing::Made> {
        let made = sizes.iter().map(|&(x, y, kind)| {
            let array = |name: &str, dtype, dims: &[&str]| {
                let shape = dims.iter().map(|&dim| if dim == "x" { x } else { y }).collect();
                let mut schema = ArraySchema::new(name.to_owned(), dtype, dims);
                if kind & 1 == 1 && dims.len() == 2 {
                    schema.chunk = vec![2, 0];
                }
                (schema, shape)
            };
            let full = if kind & 2 == 2 { DType::F64 } else { DType::F32 };
            let mut arrays = vec![array("full", full, &["x", "y"])];
            if kind & 4 == 0 {
                arrays.push(array("inner", DType::F32, &["y"]));
                arrays.push(array("turned", DType::F32, &["y", "x"]));
            }
            if kind & 8 == 0 {
                arrays.push(array("outer", DType::F32, &["x"]));
                arrays.push(array("scalar", DType::F64, &[]));
            }
            (arrays, Attributes::new())
        });
        made.collect()
    }

    /// The value of an array in a row, as [`testing::table`] has written it.
    fn expected(
        name: &str,
        dataset: usize,
        (x, y): (usize, usize),
        (ny, kind, nx): (usize, u8, usize),
    ) -> Option<f64> {
        let (cell, lacks) = match name {
            "full" => (x * ny + y, 0),
            "inner" => (y, 4),
            "turned" => (y * nx + x, 4),
            "outer" => (x, 8),
            _ => (0, 8),
        };
        (kind & lacks == 0 && cell % 7 != 3).then_some((dataset * 100 + cell) as f64)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// However a frame is read in parts, and whatever boxes are dropped between, each row has
        /// the values of its own cell.
        #[test]
        fn columns_are_those_of_the_rows(
            sizes in prop::collection::vec((1usize..4, 1usize..6, 0u8..16), 1..6),
            keep in prop::collection::vec(any::<bool>(), 24),
            first in any::<bool>(),
        ) {
            let (table, tiles) = testing::table(datasets(&sizes), &["x", "y"]);
            let names = ["full", "inner", "turned", "outer", "scalar"];
            let columns: Vec<usize> = names.iter().filter_map(|name| table.layout.position(name)).collect();
            let mut frame = Frame::new(tiles);
            let kept: Vec<bool> = (0..frame.boxes.len()).map(|place| keep[place % keep.len()]).collect();
            if first {
                // Some boxes are read first, and all boxes later.
                let mut part = frame.part(&table, &kept).unwrap();
                testing::read(&table, &mut part, &columns);
                frame.adopt(part, &kept);
                if keep[0] {
                    frame = frame.part(&table, &kept).unwrap();
                }
                testing::read(&table, &mut frame, &columns);
            } else {
                testing::read(&table, &mut frame, &columns);
                frame = frame.part(&table, &kept).unwrap();
            }
            for &column in &columns {
                let name = table.layout.schema.field(column).name().clone();
                let values = frame.column_at(&table, column, Level::ROWS).unwrap();
                let values = arrow::compute::cast(&values, &arrow::datatypes::DataType::Float64).unwrap();
                let found: Vec<Option<f64>> = values.as_primitive::<Float64Type>().iter().collect();
                let mut wanted = Vec::new();
                for tile in frame.boxes.iter() {
                    let (nx, ny, kind) = sizes[tile.dataset as usize];
                    for x in tile.spans[0].start..tile.spans[0].end() {
                        for y in tile.spans[1].start..tile.spans[1].end() {
                            wanted.push(expected(&name, tile.dataset as usize, (x, y), (ny, kind, nx)));
                        }
                    }
                }
                prop_assert_eq!(found, wanted, "{}", name);
            }
        }

        /// Excluded rows stay excluded, and boxes without rows are dropped.
        #[test]
        fn what_is_ruled_out_stays_so(
            sizes in prop::collection::vec((1usize..4, 1usize..6, Just(0u8)), 1..5),
            bits in prop::collection::vec(any::<bool>(), 60),
        ) {
            let (table, tiles) = testing::table(datasets(&sizes), &["x", "y"]);
            let mut frame = Frame::new(tiles);
            let column = table.layout.position("full").unwrap();
            testing::read(&table, &mut frame, &[column]);
            // Whole boxes too.
            let selected = |row: usize| bits[row % bits.len()] && bits[row / 8 % bits.len()];
            let mask: BooleanBuffer = (0..frame.rows()).map(selected).collect();
            let rows = |frame: &Frame| -> Vec<Option<f32>> {
                let values = frame.column_at(&table, column, Level::ROWS).unwrap();
                let values = values.as_primitive::<arrow::datatypes::Float32Type>().clone();
                let is_selected = |row: &usize| frame.mask.as_ref().is_none_or(|mask| mask.value(*row));
                (0..frame.rows()).filter(is_selected).map(|row| values.is_valid(row).then(|| values.value(row))).collect()
            };
            frame.restrict(mask.clone());
            let before = rows(&frame);
            prop_assert_eq!(before.len(), mask.count_set_bits());
            let frame = frame.compacted(&table).unwrap();
            prop_assert!(frame.live().iter().all(|&live| live));
            prop_assert_eq!(rows(&frame), before);
        }
    }
}
