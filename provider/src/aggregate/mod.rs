//! Aggregates that a scan computes itself, without emitting rows.
//!
//! DataFusion aggregates in two steps: a partial step for each partition produces **states**, and a
//! final step merges them. An [`Aggregation`] takes the place of the partial step. For each frame
//! of rows and each aggregate,
//!
//! - if all rows of a box match, belong to one group and form whole chunks, the state follows from
//!   the [statistics of the index](from_index);
//! - otherwise the box's cells are read. [Kernels](kernels) accumulate them by group. If that is
//!   not possible, DataFusion's own accumulators do, with the group of each row.
//!
//! [Groups](groups) are determined once for each dataset or coordinate, not for each row. When
//! `dataset` is a grouping key and a scan's partitions are whole datasets, there is nothing to
//! merge. The scan then emits values instead of states, and takes the place of the final step too.

mod from_index;
mod groups;
mod kernels;
pub mod plan;
mod repeats;
mod slots;
mod states;

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, UInt64Array};
use arrow::compute::{filter, filter_record_batch};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::common::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::utils::collect_columns;
use futures::stream::{self, BoxStream, StreamExt};

use self::groups::Groups;
use self::kernels::{doubles, moments, pair_moments};
use self::plan::Keys;
use self::slots::{Present, Slots};
use self::states::States;
use crate::scan::filters::{Expressions, batch};
use crate::scan::frame::Frame;
use crate::scan::{Consumer, Work, sliced};
use crate::tables::columns::Table;
use crate::tables::level::Level;

/// The number of rows that are accumulated at a time if all belong to one group: their values then
/// stay in the processor's cache.
const SLICE: usize = 32_768;

/// An aggregation in a scan.
#[derive(Clone, Debug)]
pub struct Aggregation {
    /// The grouping keys.
    keys: Vec<Keys>,
    aggregates: Vec<Aggregate>,
    /// The columns that aggregates refer to, ascending.
    columns: Vec<usize>,
    /// The keys and the states of the aggregates, or their values.
    schema: SchemaRef,
    /// True if no group has rows in several batches. Nothing has to be merged then, and the output
    /// is values.
    finished: bool,
}

/// An aggregate.
#[derive(Clone, Debug)]
struct Aggregate {
    function: Arc<AggregateFunctionExpr>,
    arguments: Expressions,
    /// The arguments without casts that kernels do themselves.
    narrow: Expressions,
    /// The aggregate as kernels know it, if they do.
    measure: Option<Measure>,
    /// The columns that are its arguments, unchanged or cast to types that hold all their values.
    of_columns: Option<Vec<usize>>,
}

/// An aggregate that kernels can compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    /// The number of rows.
    Rows,
    Count,
    Sum,
    Mean,
    Min,
    Max,
    /// The variance or the standard deviation.
    Variance,
    Covariance,
    Correlation,
    /// A property of the regression line of pairs.
    Regression,
}

impl Measure {
    /// True if kernels accept numbers of any type in place of floats.
    fn widens(self) -> bool {
        !matches!(self, Self::Rows | Self::Count | Self::Min | Self::Max)
    }
}

/// An aggregation over a table, as the consumer of a scan.
pub struct Adder {
    aggregation: Arc<Aggregation>,
    table: Table,
}

impl Aggregation {
    /// True if statistics may answer it for boxes of whole chunks.
    pub fn is_of_statistics(&self) -> bool {
        self.aggregates.iter().all(Aggregate::is_of_statistics)
            && self.keys.iter().all(|keys| keys.expressions.level == Level::DATASET)
    }

    /// True if it emits values instead of states.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// The columns that its aggregates refer to, as ascending positions in the table.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The same aggregation with values instead of states, if no two datasets share a group. It
    /// must then get all rows of a dataset at once.
    pub fn finished(&self, schema: SchemaRef) -> Option<Self> {
        let apart = self.keys.iter().any(|keys| keys.name_datasets);
        apart.then(|| Self { schema, finished: true, ..self.clone() })
    }

    /// True if it depends only on the values of the one column that predicates are on. Rows in
    /// which that column is NULL then do not matter. (With keys, they might make a group.)
    pub fn is_of_values(&self, predicates: &[Arc<dyn PhysicalExpr>]) -> bool {
        let mut columns = predicates.iter().flat_map(collect_columns).map(|column| column.index());
        let Some(column) = columns.next() else { return false };
        let is_of = |aggregate: &Aggregate| {
            let is_column = aggregate.of_columns.as_deref() == Some(&[column]);
            is_column && aggregate.measure.is_some_and(|measure| measure != Measure::Rows)
        };
        self.keys.is_empty() && columns.all(|other| other == column) && self.aggregates.iter().all(is_of)
    }
}

impl Aggregate {
    /// The column whose statistics answer it.
    fn statistical(&self) -> Option<(Measure, usize)> {
        match (self.measure?, self.of_columns.as_deref()?) {
            (Measure::Rows | Measure::Covariance | Measure::Correlation | Measure::Regression, _) => None,
            (measure, &[column]) => Some((measure, column)),
            _ => None,
        }
    }

    fn is_of_statistics(&self) -> bool {
        self.measure == Some(Measure::Rows) || self.statistical().is_some()
    }
}

/// Rows to be accumulated: the values of their columns, the group of each row, and which rows
/// count.
struct Rows<'a> {
    frame: &'a Frame,
    slots: &'a Slots,
    groups: usize,
    rows: Range<usize>,
}

impl Rows<'_> {
    fn mask(&self) -> Option<arrow::buffer::BooleanBuffer> {
        self.frame.mask.as_ref().map(|mask| mask.slice(self.rows.start, self.rows.len()))
    }
}

#[async_trait]
impl Consumer for Adder {
    fn columns(&self) -> &[usize] {
        &self.aggregation.columns
    }

    fn whole_datasets(&self) -> bool {
        self.aggregation.finished
    }

    fn is_of_statistics(&self) -> bool {
        self.aggregation.is_of_statistics()
    }

    async fn consume(
        self: Arc<Self>,
        frame: Frame,
        work: Work<'_>,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let states = self.aggregate(frame, &work).await?;
        let batches: Vec<_> = sliced(&states, work.batch_size).map(Ok).collect();
        Ok(stream::iter(batches).boxed())
    }
}

impl Adder {
    /// An aggregation over a table.
    pub fn new(aggregation: Arc<Aggregation>, table: Table) -> Self {
        Self { aggregation, table }
    }

    /// The states, or values, of the groups of the selected rows of a frame.
    async fn aggregate(&self, frame: Frame, work: &Work<'_>) -> Result<RecordBatch> {
        let Aggregation { keys, aggregates, schema, .. } = &*self.aggregation;
        let mut frame = frame.compacted(&self.table)?;
        if frame.boxes.is_empty() {
            return Ok(RecordBatch::new_empty(Arc::clone(schema)));
        }
        let groups = Groups::assign(keys, &mut frame, work).await?;
        let mut states = Vec::with_capacity(aggregates.len());
        for aggregate in aggregates {
            let types = aggregate.arguments.types()?;
            states.push(States::new(&aggregate.function, &types, keys.is_empty(), groups.len())?);
        }
        let only = groups.only(&self.table, &frame.boxes);
        let answered = if aggregates.iter().all(Aggregate::is_of_statistics) {
            from_index::answer(aggregates, &self.table, &frame, &only, &mut states, work.reading.metrics)
                .await?
        } else {
            vec![false; frame.boxes.len()]
        };
        let mut rows = vec![0; groups.len()];
        for (place, group) in only.into_iter().enumerate() {
            // All rows of an answered box count.
            let answered = answered.get(place) == Some(&true);
            if let Some(rows) = group.filter(|_| answered).and_then(|group| rows.get_mut(group as usize)) {
                *rows += frame.boxes.range(place).len() as u64;
            }
        }
        for wanted in parts(&frame, &answered, work.most) {
            let mut part = frame.part(&self.table, &wanted)?;
            part.read(work.reader, &self.aggregation.columns, work.reading).await?;
            work.count_unread(&part);
            let own = groups.part(&self.table, &frame.boxes, &wanted);
            let slots = own.slots(&self.table, &part.boxes);
            let selected = Present::new(part.mask.clone(), []);
            let counts = slots.counts(&selected, part.rows(), groups.len());
            rows.iter_mut().zip(counts).for_each(|(rows, count)| *rows += count);
            for (aggregate, state) in aggregates.iter().zip(&mut states) {
                self.add_up(aggregate, &part, &slots, groups.len(), state)?;
            }
        }
        if answered.contains(&true) {
            work.count_unread(&frame.part(&self.table, &answered)?);
        }
        self.batch(&groups, states, &rows)
    }

    /// Adds the rows of a frame to the states of their groups.
    fn add_up(
        &self,
        aggregate: &Aggregate,
        frame: &Frame,
        slots: &Slots,
        groups: usize,
        states: &mut States,
    ) -> Result<()> {
        if aggregate.measure == Some(Measure::Rows) {
            return Ok(());
        }
        let slice = if *slots == Slots::One { SLICE } else { frame.rows().max(1) };
        let arguments = &aggregate.arguments;
        let columns =
            arguments.columns.iter().map(|&column| frame.column_at(&self.table, column, Level::ROWS));
        let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
        for start in (0..frame.rows()).step_by(slice) {
            let length = slice.min(frame.rows() - start);
            let rows = Rows { frame, slots, groups, rows: start..start + length };
            let columns: Vec<ArrayRef> = columns.iter().map(|column| column.slice(start, length)).collect();
            let mask = rows.mask();
            let reduced = match aggregate.measure {
                None => Ok(None),
                Some(measure) => match aggregate.narrow.evaluate(columns.clone(), length) {
                    Ok(values) => self.reduce(aggregate, measure, &values, &rows),
                    Err(error) => Err(error),
                },
            };
            if let Ok(Some((reduced, counts))) = reduced {
                merge(states, &reduced, &counts)?;
                continue;
            }
            match (arguments.evaluate(columns.clone(), length), &mask) {
                (Ok(values), _) => {
                    let mask = mask.map(|mask| BooleanArray::new(mask, None));
                    states.update(&values, &slots.to_rows(length), mask.as_ref())?;
                }
                // A failure on rows that are not selected must not fail the selected ones.
                (Err(_), Some(mask)) => {
                    let selected = BooleanArray::new(mask.clone(), None);
                    let columns = columns.iter().map(|column| filter(column, &selected));
                    let columns: Vec<ArrayRef> = columns.collect::<std::result::Result<_, _>>()?;
                    let values = arguments.evaluate(columns, mask.count_set_bits())?;
                    let of_rows = slots.to_rows(length);
                    let of_rows: Vec<usize> =
                        mask.set_indices().filter_map(|row| of_rows.get(row).copied()).collect();
                    states.update(&values, &of_rows, None)?;
                }
                (Err(error), None) => return Err(error),
            }
        }
        Ok(())
    }

    /// The states of groups computed from the values of their rows, and the number of values of
    /// each group; `None` if no kernel supports it.
    fn reduce(
        &self,
        aggregate: &Aggregate,
        measure: Measure,
        values: &[ArrayRef],
        rows: &Rows<'_>,
    ) -> Result<Option<(Vec<ArrayRef>, Vec<u64>)>> {
        let Some(first) = values.first() else { return Ok(None) };
        let (slots, groups) = (rows.slots, rows.groups);
        let fields = aggregate.function.state_fields()?;
        let state = |place: usize| fields.get(place).map(|field| field.data_type().clone());
        let present = Present::new(rows.mask(), values.iter().map(|values| values.nulls()));
        let counts = slots.counts(&present, first.len(), groups);
        let counted = || Arc::new(UInt64Array::from(counts.clone())) as ArrayRef;
        let floats = |values: Vec<f64>| Arc::new(Float64Array::from(values)) as ArrayRef;
        // If NaN is kept, least and greatest values depend on the order of rows.
        let ordered = self.table.nan_as_null || !first.data_type().is_floating();
        let is_pair = |kind| measure == kind && values.len() == 2;
        let states = match measure {
            Measure::Rows => None,
            Measure::Count => {
                let counts = counts.iter().map(|&count| i64::try_from(count).unwrap_or(i64::MAX));
                Some(vec![Arc::new(counts.collect::<Int64Array>()) as ArrayRef])
            }
            Measure::Sum => {
                let sums = state(0).and_then(|state| kernels::sums(first, &present, slots, groups, &state));
                sums.map(|sums| vec![sums])
            }
            Measure::Mean => {
                let sums = state(1).and_then(|state| kernels::sums(first, &present, slots, groups, &state));
                sums.map(|sums| vec![counted(), sums])
            }
            Measure::Min | Measure::Max if ordered => {
                let bounds = kernels::bounds(first, &present, slots, groups, measure == Measure::Max);
                let typed = bounds.zip(state(0)).map(|(bounds, state)| arrow::compute::cast(&bounds, &state));
                typed.transpose()?.map(|bounds| vec![bounds])
            }
            Measure::Variance => doubles(first).map(|values| {
                let found = moments(&values, &present, slots, &counts);
                vec![counted(), floats(found.means), floats(found.m2)]
            }),
            Measure::Covariance | Measure::Correlation | Measure::Regression if is_pair(measure) => {
                let pair = doubles(first).zip(values.get(1).and_then(doubles));
                pair.map(|(x, y)| {
                    // The dependent variable of a regression is its first argument.
                    let pair = if measure == Measure::Regression { [&y, &x] } else { [&x, &y] };
                    let found = pair_moments(pair, &present, slots, &counts);
                    let means = [found.first.means, found.second.means].map(floats);
                    let m2 = [found.first.m2, found.second.m2].map(floats);
                    let ([mean_1, mean_2], [m2_1, m2_2]) = (means, m2);
                    let products = floats(found.products);
                    match measure {
                        Measure::Covariance => vec![counted(), mean_1, mean_2, products],
                        Measure::Correlation => vec![counted(), mean_1, m2_1, mean_2, m2_2, products],
                        _ => vec![counted(), mean_1, mean_2, m2_1, m2_2, products],
                    }
                })
            }
            _ => None,
        };
        Ok(states.map(|states| (states, counts)))
    }

    /// The keys and states, or values, of the groups that have rows.
    fn batch(&self, groups: &Groups, states: Vec<States>, rows: &[u64]) -> Result<RecordBatch> {
        let Aggregation { aggregates, keys, schema, finished, .. } = &*self.aggregation;
        let mut columns = groups.keys().to_vec();
        for (aggregate, states) in aggregates.iter().zip(states) {
            if aggregate.measure == Some(Measure::Rows) {
                let count = |&rows: &u64| i64::try_from(rows).unwrap_or(i64::MAX);
                columns.push(Arc::new(rows.iter().map(count).collect::<Int64Array>()));
            } else if *finished {
                columns.push(states.values()?);
            } else {
                columns.extend(states.finish()?);
            }
        }
        let columns = columns.into_iter().zip(schema.fields()).map(|(column, field)| {
            let same = column.data_type() == field.data_type();
            if same { Ok(column) } else { arrow::compute::cast(&column, field.data_type()) }
        });
        let all = batch(schema, columns.collect::<std::result::Result<_, _>>()?, rows.len())?;
        if rows.iter().all(|&rows| rows > 0) || keys.is_empty() {
            return Ok(all);
        }
        let mask: BooleanArray = rows.iter().map(|&rows| Some(rows > 0)).collect();
        Ok(filter_record_batch(&all, &mask)?)
    }
}

/// Merges states into those of the groups that have values.
fn merge(states: &mut States, reduced: &[ArrayRef], counts: &[u64]) -> Result<()> {
    let groups: Vec<usize> = (0..counts.len()).filter(|&group| counts.get(group) != Some(&0)).collect();
    if groups.len() == counts.len() {
        return states.merge(reduced, &groups);
    }
    if groups.is_empty() {
        return Ok(());
    }
    let has_values: BooleanArray = counts.iter().map(|&count| Some(count > 0)).collect();
    let reduced = reduced.iter().map(|states| filter(states, &has_values));
    states.merge(&reduced.collect::<std::result::Result<Vec<_>, _>>()?, &groups)
}

/// The boxes that are not answered, in parts of at most `most` rows, or of a single box.
fn parts(frame: &Frame, answered: &[bool], most: usize) -> Vec<Vec<bool>> {
    let mut parts: Vec<Vec<bool>> = Vec::new();
    let mut rows = most;
    for place in (0..frame.boxes.len()).filter(|&place| answered.get(place) != Some(&true)) {
        if rows >= most {
            parts.push(vec![false; frame.boxes.len()]);
            rows = 0;
        }
        rows += frame.boxes.range(place).len();
        if let Some(slot) = parts.last_mut().and_then(|part| part.get_mut(place)) {
            *slot = true;
        }
    }
    parts
}
