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
//! [Groups](groups) are worked out once for each dataset and for each coordinate, not for each row. Where the dataset's name is among
//! the keys, and a scan's parts are whole datasets, there is nothing to merge: then it gives values instead of states, and takes the place of
//! the final step too.

mod groups;
mod plan;
mod reduce;
mod rule;
mod source;
mod states;
mod summary;

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, UInt64Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::utils::collect_columns;

use self::groups::{Groups, LARGE};
use self::plan::{Expressions, Keys};
use self::reduce::{Layout, Present};
use self::states::States;
use crate::columns::Table;
use crate::predicate::{Scope, batch};
use crate::scan::Reading;
use crate::select::{Selected, gather, join, read, stretches};

pub use rule::AggregateInScan;
pub use source::AggregateSource;

/// What a scan adds up.
#[derive(Clone, Debug)]
pub struct Aggregation {
    /// What rows are grouped by.
    keys: Vec<Keys>,
    aggregates: Vec<Aggregate>,
    /// The columns that aggregates name, ascending.
    columns: Vec<usize>,
    /// The keys, and the states of the aggregates; or their values.
    schema: SchemaRef,
    /// Whether no group has rows in several batches, so that there is nothing to merge: what comes out are values.
    finished: bool,
}

/// An aggregate.
#[derive(Clone, Debug)]
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

/// What an aggregation works with.
pub struct Work<'a> {
    pub table: &'a Table,
    /// The columns that something is to be known of.
    pub needed: &'a [usize],
    /// Rows that are read at one time.
    pub most: usize,
    pub reading: &'a Reading<'a>,
}

/// What the boxes of a group add up to, so far.
struct Sums {
    groups: Groups,
    /// For each aggregate, its states of the groups.
    states: Vec<States>,
    /// For each aggregate, whether its states hold a box already.
    answered: Vec<Vec<bool>>,
    /// The selected rows of each group.
    rows: Vec<u64>,
}

impl Aggregation {
    /// Whether statistics may answer it for boxes of whole chunks.
    pub fn is_of_statistics(&self) -> bool {
        self.aggregates.iter().all(|aggregate| aggregate.summary.is_some())
            && self.keys.iter().all(|keys| keys.scope == Scope::Dataset)
    }

    /// The same with values instead of states, if no two datasets have a group in common: then it must be given all of a dataset
    /// at once.
    pub fn finished(&self, schema: SchemaRef) -> Option<Self> {
        let apart = self.keys.iter().any(|keys| keys.name_datasets);
        apart.then(|| Self { schema, finished: true, ..self.clone() })
    }

    /// Whether it must be given all of a dataset at once.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether it is of the values of the one column that predicates are on, and of nothing else: then it is all the same whether rows that
    /// are NULL there come too. (With keys they might make a group.)
    pub fn is_of_values(&self, predicates: &[Arc<dyn PhysicalExpr>]) -> bool {
        let mut columns = predicates.iter().flat_map(collect_columns).map(|column| column.index());
        let Some(column) = columns.next() else { return false };
        let is_of = |aggregate: &Aggregate| match aggregate.summary {
            Some(Summary::Of(_, own)) => own == column,
            Some(Summary::Rows) | None => false,
        };
        self.keys.is_empty() && columns.all(|other| other == column) && self.aggregates.iter().all(is_of)
    }

    /// The columns that its aggregates are of.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The states, or values, of the groups that the selected rows of boxes belong to.
    pub async fn aggregate(&self, boxes: &mut [Selected], work: &Work<'_>) -> Result<RecordBatch> {
        if boxes.is_empty() {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.schema)));
        }
        let mut sums = self.start(boxes, work).await?;
        for part in self.parts(boxes, &sums.answered, work.most) {
            let Some(own) = boxes.get_mut(part.clone()) else { continue };
            self.read(part.start, own, &sums.answered, work).await?;
            work.reading.counters.count_answered(work.table, own, work.needed);
            for stretch in stretches(own, LARGE) {
                let Some(own) = own.get(stretch.clone()) else { continue };
                self.add_up(part.start + stretch.start, own, work.table, &mut sums)?;
            }
            own.iter_mut().for_each(|selected| selected.values.clear());
        }
        self.batch(sums)
    }

    /// The groups of boxes, with what statistics tell of them.
    async fn start(&self, boxes: &[Selected], work: &Work<'_>) -> Result<Sums> {
        let groups = Groups::assign(self, work.table, boxes, work.reading.metrics).await?;
        let rows = vec![0; groups.len()];
        let mut sums = Sums { groups, states: Vec::new(), answered: Vec::new(), rows };
        for aggregate in &self.aggregates {
            let mut state = States::new(
                &aggregate.function,
                &aggregate.arguments.types()?,
                self.keys.is_empty(),
                sums.groups.len(),
            )?;
            let answered =
                summary::answer(aggregate, work.table, boxes, &sums.groups, &mut state, work.reading.metrics)
                    .await?;
            sums.answered.push(answered);
            sums.states.push(state);
        }
        Ok(sums)
    }

    /// Boxes in runs of which no more than `most` rows are to be read, unless one box has more.
    fn parts(&self, boxes: &[Selected], answered: &[Vec<bool>], most: usize) -> Vec<Range<usize>> {
        let mut parts: Vec<Range<usize>> = Vec::new();
        let mut rows = most;
        for (place, selected) in boxes.iter().enumerate() {
            if rows >= most {
                parts.push(place..place);
                rows = 0;
            }
            let read = answered.iter().any(|answered| answered.get(place) != Some(&true));
            rows += if read { selected.rows() } else { 0 };
            parts.last_mut().into_iter().for_each(|part| part.end = place + 1);
        }
        parts
    }

    /// Reads what is not answered of boxes, the first of which is at a place.
    async fn read(
        &self,
        first: usize,
        boxes: &mut [Selected],
        answered: &[Vec<bool>],
        work: &Work<'_>,
    ) -> Result<()> {
        for &column in &self.columns {
            let wanted = |place: usize| {
                let users = self.aggregates.iter().zip(answered);
                let mut unanswered = users.filter(|(_, answered)| answered.get(place) != Some(&true));
                unanswered.any(|(aggregate, _)| aggregate.arguments.columns.contains(&column))
            };
            let wanted: Vec<bool> = (first..first + boxes.len()).map(wanted).collect();
            let wanted = |place: usize| wanted.get(place) == Some(&true);
            read(work.table, column, boxes, &wanted, work.reading).await?;
        }
        Ok(())
    }

    /// Adds a stretch of boxes that were read, the first of which is at a place, to the groups of their rows.
    fn add_up(&self, first: usize, boxes: &[Selected], table: &Table, sums: &mut Sums) -> Result<()> {
        let is_answered = |answered: &Vec<bool>| {
            answered.get(first..first + boxes.len()).is_some_and(|own| own.iter().all(|&answered| answered))
        };
        let slots = match boxes {
            _ if sums.answered.iter().all(is_answered) => None,
            [selected] => sums.groups.slots(first, selected).map(|slots| (selected, slots)),
            _ => None,
        };
        let Some((selected, slots)) = slots else {
            sums.groups.count_rows(first, boxes, &mut sums.rows);
            return self.update_rows(first, boxes, sums);
        };
        let layout = Layout::new(&selected.tile.region.shape, &slots);
        let mask = selected.mask.as_ref().map(|mask| mask.values().clone());
        slots.add(&layout.counts(&Present::new(mask.clone(), None)), &mut sums.rows);
        for ((aggregate, state), answered) in self.aggregates.iter().zip(&mut sums.states).zip(&sums.answered)
        {
            if answered.get(first) == Some(&true) || aggregate.summary == Some(Summary::Rows) {
                continue;
            }
            match aggregate.reduce(table, selected, mask.clone(), &layout)? {
                Some(reduced) => state.merge(&reduced, &slots.groups)?,
                None => {
                    let indices = layout.row_groups(&slots);
                    state.update(&aggregate.values(boxes)?, &indices, selected.mask.as_ref())?;
                }
            }
        }
        Ok(())
    }

    /// Gives the rows of boxes, the first of which is at a place, to the accumulators of what is not answered.
    fn update_rows(&self, first: usize, boxes: &[Selected], sums: &mut Sums) -> Result<()> {
        for ((aggregate, state), answered) in self.aggregates.iter().zip(&mut sums.states).zip(&sums.answered)
        {
            if aggregate.summary == Some(Summary::Rows) {
                continue;
            }
            let all = first..first + boxes.len();
            let open: Vec<usize> = all.filter(|place| answered.get(*place) != Some(&true)).collect();
            // Boxes that are answered already are left out: one run of the others after the other.
            for run in open.chunk_by(|a, b| a + 1 == *b) {
                let Some((&start, &last)) = run.first().zip(run.last()) else { continue };
                let own = boxes.get(start - first..=last - first).unwrap_or_default();
                let indices = sums.groups.of_rows(start, own);
                let values = aggregate.values(own)?;
                state.update(&values, &indices, join(own).as_ref())?;
            }
        }
        Ok(())
    }

    /// The keys and states, or values, of the groups that have rows.
    fn batch(&self, sums: Sums) -> Result<RecordBatch> {
        let Sums { groups, states, rows, .. } = sums;
        let mut columns = groups.keys()?;
        for (aggregate, states) in self.aggregates.iter().zip(states) {
            if aggregate.summary == Some(Summary::Rows) {
                let count = |&rows: &u64| i64::try_from(rows).unwrap_or(i64::MAX);
                columns.push(Arc::new(rows.iter().map(count).collect::<Int64Array>()));
            } else if self.finished {
                columns.push(states.values()?);
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
