//! The rows that a scan emits.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{filter, take};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::common::Result;
use datafusion::physical_expr::projection::Projector;
use futures::stream::{self, BoxStream, StreamExt};

use super::expand::Expansion;
use super::filters::batch;
use super::frame::Frame;
use super::{Consumer, Work, sliced};
use crate::tables::columns::Table;
use crate::tables::level::Level;

/// The number of rows from which batches are made at a time.
const STRETCH: usize = 65_536;

/// The rows of a table, as a projection shows them.
pub struct Rows {
    pub table: Table,
    /// The columns that the projection needs, as positions in the table, ascending.
    pub columns: Vec<usize>,
    /// The schema of a batch of `columns`.
    pub schema: SchemaRef,
    /// Projects a batch of `columns` to the output.
    pub projector: Projector,
}

#[async_trait]
impl Consumer for Rows {
    fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn whole_datasets(&self) -> bool {
        false
    }

    fn is_of_statistics(&self) -> bool {
        false
    }

    async fn consume(
        self: Arc<Self>,
        frame: Frame,
        work: Work<'_>,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let mut frame = frame.compacted(&self.table)?;
        frame.read(work.reader, &self.columns, work.reading).await?;
        work.count_unread(&frame);
        work.reading.memory.try_resize(frame.memory())?;
        let (rows, batch_size) = (self, work.batch_size);
        // Process stretches of boxes, so that values repeated for rows take little memory.
        let mut stretches: Vec<Vec<bool>> = Vec::new();
        let mut count = STRETCH;
        for place in 0..frame.boxes.len() {
            if count >= STRETCH {
                stretches.push(vec![false; frame.boxes.len()]);
                count = 0;
            }
            count += frame.boxes.range(place).len();
            if let Some(slot) = stretches.last_mut().and_then(|stretch| stretch.get_mut(place)) {
                *slot = true;
            }
        }
        let batches = stretches.into_iter().flat_map(move |stretch| {
            match frame.part(&rows.table, &stretch).and_then(|part| rows.batches(&part, batch_size)) {
                Ok(batches) => batches.into_iter().map(Ok).collect::<Vec<_>>(),
                Err(error) => vec![Err(error)],
            }
        });
        Ok(stream::iter(batches).boxed())
    }
}

impl Rows {
    /// The selected rows of a frame.
    fn batches(&self, frame: &Frame, batch_size: usize) -> Result<Vec<RecordBatch>> {
        let mut columns = Vec::with_capacity(self.columns.len());
        let mut places = Places { frame, table: &self.table, known: Vec::new() };
        for &column in &self.columns {
            columns.push(places.column(column)?);
        }
        let all = batch(&self.schema, columns, frame.selected())?;
        // Project slices, so that the results of expressions take little memory.
        sliced(&all, batch_size).map(|slice| self.projector.project_batch(&slice)).collect()
    }
}

/// For each level, the positions of the selected rows' values.
struct Places<'a> {
    frame: &'a Frame,
    table: &'a Table,
    known: Vec<(Level, UInt32Array)>,
}

impl Places<'_> {
    /// The values of a column in the selected rows.
    fn column(&mut self, column: usize) -> Result<ArrayRef> {
        let (frame, layout) = (self.frame, &self.table.layout);
        let values = frame.column(column)?;
        let level = layout.level(column);
        let expansion = Expansion { boxes: &frame.boxes, layout, from: level, to: Level::ROWS };
        let Some(mask) = &frame.mask else { return expansion.array(&values) };
        if expansion.is_none() {
            return Ok(filter(&values, &BooleanArray::new(mask.clone(), None))?);
        }
        if let Some((_, places)) = self.known.iter().find(|(known, _)| *known == level) {
            return Ok(take(&values, places, None)?);
        }
        let all = frame.places(self.table, level).unwrap_or_default();
        let places = mask.set_indices().filter_map(|row| all.get(row).copied());
        let places = UInt32Array::from_iter_values(places);
        let taken = take(&values, &places, None)?;
        self.known.push((level, places));
        Ok(taken)
    }
}
