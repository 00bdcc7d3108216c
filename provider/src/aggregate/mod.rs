//! Aggregates of a scan that the scan computes itself, without making rows.
//!
//! DataFusion aggregates in two steps: a partial one for each partition, whose **states** a final one merges. An
//! [`Aggregation`] takes the place of the partial one. For each box of rows, and each aggregate,
//!
//! - where all rows of the box are wanted, belong to one group and are whole chunks, the state follows from the
//!   [statistics of the index](summary);
//! - else the box's cells are read, and [added up along the dimensions](reduce) that the groups do not depend on; or, where that is
//!   not possible, given to DataFusion's own accumulators with the group of each row.
//!
//! [Groups](groups) are worked out once for each dataset and for each coordinate, not for each row.

mod groups;
mod plan;
mod reduce;
mod rule;
mod source;
mod states;
mod summary;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, UInt64Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use atlas::ReadMetrics;
use datafusion::common::Result;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

use self::groups::{Groups, LARGE};
use self::plan::{Expressions, Keys};
use self::reduce::{Layout, Present};
use self::states::States;
use crate::columns::Table;
use crate::predicate::batch;
use crate::scan::Counters;
use crate::select::{Selected, gather, join, read, stretches};

pub use rule::AggregateInScan;
pub use source::AggregateSource;

/// What a scan adds up.
#[derive(Debug)]
pub struct Aggregation {
    /// What rows are grouped by.
    keys: Vec<Keys>,
    aggregates: Vec<Aggregate>,
    /// The columns that aggregates name, ascending.
    columns: Vec<usize>,
    /// The keys, and the states of the aggregates.
    schema: SchemaRef,
}

/// An aggregate.
#[derive(Debug)]
struct Aggregate {
    function: Arc<AggregateFunctionExpr>,
    arguments: Expressions,
    /// What it is, where statistics know of it.
    summary: Option<Summary>,
}

/// An aggregate that statistics know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Summary {
    /// The number of rows.
    Rows,
    /// One of a column's values, in this type or in one that holds them all.
    Of(Measure, usize),
}

/// What of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    Count,
    Sum,
    Mean,
    Min,
    Max,
}

impl Aggregation {
    /// The columns that its aggregates are of.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The states of the groups that the selected rows of boxes belong to.
    pub async fn aggregate(
        &self,
        table: &Table,
        boxes: &mut [Selected],
        counters: &Counters,
        metrics: &ReadMetrics,
    ) -> Result<RecordBatch> {
        if boxes.is_empty() {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.schema)));
        }
        let groups = Groups::assign(self, table, boxes, metrics).await?;
        let mut states = Vec::with_capacity(self.aggregates.len());
        let mut answered = Vec::with_capacity(self.aggregates.len());
        for aggregate in &self.aggregates {
            let mut state = States::new(
                &aggregate.function,
                &aggregate.arguments.types()?,
                self.keys.is_empty(),
                groups.len(),
            )?;
            answered.push(summary::answer(aggregate, table, boxes, &groups, &mut state, metrics).await?);
            states.push(state);
        }
        for &column in &self.columns {
            let wanted = |place: usize| {
                let users = self.aggregates.iter().zip(&answered);
                let mut unanswered = users.filter(|(_, answered)| answered.get(place) != Some(&true));
                unanswered.any(|(aggregate, _)| aggregate.arguments.columns.contains(&column))
            };
            let wanted: Vec<bool> = (0..boxes.len()).map(wanted).collect();
            let wanted = |place: usize| wanted.get(place) == Some(&true);
            read(table, column, boxes, &wanted, counters, metrics).await?;
        }
        let mut rows = vec![0u64; groups.len()];
        for stretch in stretches(boxes, LARGE) {
            let Some(own) = boxes.get(stretch.clone()) else { continue };
            if let [selected] = own
                && let Some(slots) = groups.slots(stretch.start, selected)
            {
                let place = stretch.start;
                let layout = Layout::new(&selected.tile.region.shape, &slots);
                let mask = selected.mask.as_ref().map(|mask| mask.values().clone());
                let counts = layout.counts(&Present::new(mask.clone(), None));
                slots.add(&counts, &mut rows);
                for ((aggregate, state), answered) in self.aggregates.iter().zip(&mut states).zip(&answered) {
                    if answered.get(place) == Some(&true) || aggregate.summary == Some(Summary::Rows) {
                        continue;
                    }
                    let reduced = aggregate.reduce(table, selected, mask.clone(), &layout)?;
                    match reduced {
                        Some(reduced) => state.merge(&reduced, &slots.groups)?,
                        None => {
                            let values = aggregate.values(own)?;
                            let indices = layout.row_groups(&slots);
                            state.update(&values, &indices, selected.mask.as_ref())?;
                        }
                    }
                }
                continue;
            }
            groups.count_rows(stretch.start, own, &mut rows);
            self.update_rows(stretch, own, &groups, &answered, &mut states)?;
        }
        self.batch(groups, &rows, states)
    }

    /// Gives the rows of boxes to accumulators, for the aggregates that are not answered for all of them.
    fn update_rows(
        &self,
        stretch: std::ops::Range<usize>,
        boxes: &[Selected],
        groups: &Groups,
        answered: &[Vec<bool>],
        states: &mut [States],
    ) -> Result<()> {
        for ((aggregate, state), answered) in self.aggregates.iter().zip(states).zip(answered) {
            if aggregate.summary == Some(Summary::Rows) {
                continue;
            }
            let open: Vec<usize> =
                stretch.clone().filter(|&place| answered.get(place) != Some(&true)).collect();
            // Boxes that are answered already are left out: one run of the others after the other.
            for run in open.chunk_by(|a, b| a + 1 == *b) {
                let Some((&first, &last)) = run.first().zip(run.last()) else { continue };
                let own = boxes.get(first - stretch.start..=last - stretch.start).unwrap_or_default();
                let indices = groups.of_rows(first, own);
                let values = aggregate.values(own)?;
                state.update(&values, &indices, join(own).as_ref())?;
            }
        }
        Ok(())
    }

    /// The keys and states of the groups that have rows.
    fn batch(&self, groups: Groups, rows: &[u64], states: Vec<States>) -> Result<RecordBatch> {
        let mut columns = groups.keys()?;
        for (aggregate, states) in self.aggregates.iter().zip(states) {
            if aggregate.summary == Some(Summary::Rows) {
                let count = |&rows: &u64| i64::try_from(rows).unwrap_or(i64::MAX);
                columns.push(Arc::new(rows.iter().map(count).collect::<Int64Array>()));
            } else {
                columns.extend(states.finish()?);
            }
        }
        let columns = columns.into_iter().zip(self.schema.fields()).map(|(column, field)| {
            let same = column.data_type() == field.data_type();
            if same { Ok(column) } else { arrow::compute::cast(&column, field.data_type()) }
        });
        let all = batch(&self.schema, columns.collect::<Result<_, _>>()?, rows.len())?;
        if rows.iter().all(|&rows| rows > 0) || self.keys.is_empty() {
            return Ok(all);
        }
        let mask: BooleanArray = rows.iter().map(|&rows| Some(rows > 0)).collect();
        Ok(filter_record_batch(&all, &mask)?)
    }
}

impl Aggregate {
    /// Its arguments in the rows of boxes.
    fn values(&self, boxes: &[Selected]) -> Result<Vec<ArrayRef>> {
        let rows = boxes.iter().map(Selected::rows).sum();
        let arrays = self.arguments.columns.iter().map(|&column| gather(boxes, column));
        self.arguments.evaluate(arrays.collect::<Result<_>>()?, rows)
    }

    /// Its states for the slots of a box, from the box's cells; `None` where they cannot be added up.
    fn reduce(
        &self,
        table: &Table,
        selected: &Selected,
        mask: Option<arrow::buffer::BooleanBuffer>,
        layout: &Layout,
    ) -> Result<Option<Vec<ArrayRef>>> {
        let Some(Summary::Of(measure, column)) = self.summary else { return Ok(None) };
        let Some(values) = selected.value(column) else { return Ok(None) };
        let present = Present::new(mask, values.nulls());
        // A NaN that is no NULL makes what is least and greatest depend on the order.
        let ordered = table.nan_as_null || !values.data_type().is_floating();
        let counts = || layout.counts(&present);
        let states = self.function.state_fields()?;
        let state = |place: usize| states.get(place).map(|field| field.data_type().clone());
        let counted = |values: Option<ArrayRef>, counts: &[u64]| {
            values.map(|values| summary::null_where_nothing(&values, counts)).transpose()
        };
        Ok(match measure {
            Measure::Count => {
                let counts = counts().into_iter().map(|count| i64::try_from(count).unwrap_or(i64::MAX));
                Some(vec![Arc::new(counts.collect::<Int64Array>())])
            }
            Measure::Sum => {
                let Some(state) = state(0) else { return Ok(None) };
                counted(reduce::sums(values, &present, layout, &state), &counts())?.map(|sums| vec![sums])
            }
            Measure::Mean => {
                let Some(state) = state(1) else { return Ok(None) };
                let counts = counts();
                let sums = counted(reduce::sums(values, &present, layout, &state), &counts)?;
                let counts: UInt64Array =
                    counts.into_iter().map(|count| (count > 0).then_some(count)).collect();
                sums.map(|sums| vec![Arc::new(counts) as ArrayRef, sums])
            }
            Measure::Min | Measure::Max if ordered => {
                let Some(state) = state(0) else { return Ok(None) };
                let bounds = reduce::bounds(values, &present, layout, measure == Measure::Max);
                let bounds = counted(bounds, &counts())?;
                bounds
                    .map(|bounds| arrow::compute::cast(&bounds, &state))
                    .transpose()?
                    .map(|bounds| vec![bounds])
            }
            Measure::Min | Measure::Max => None,
        })
    }
}
