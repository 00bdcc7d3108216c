//! States that follow from the statistics in a variable's index.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, UInt32Array, UInt64Array,
};
use arrow::compute::{cast, nullif, take};
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use atlas::{ReadMetrics, VariableIndex};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Result, ScalarValue, Statistics};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

use super::groups::Groups;
use super::states::States;
use super::{Aggregate, Aggregation, Measure, Summary};
use crate::columns::{Grids, Table, project};
use crate::select::Selected;
use crate::statistics::{SegmentStatistics, Statistic};
use crate::widen::shown;

/// Answers an aggregate for those boxes for which the index says enough, and tells which these are.
pub async fn answer(
    aggregate: &Aggregate,
    table: &Table,
    boxes: &[Selected],
    groups: &Groups,
    states: &mut States,
    metrics: &ReadMetrics,
) -> Result<Vec<bool>> {
    let (measure, column) = match aggregate.summary {
        None => return Ok(vec![false; boxes.len()]),
        // Rows are counted for all groups anyway.
        Some(Summary::Rows) => return Ok(vec![true; boxes.len()]),
        Some(Summary::Of(measure, column)) => (measure, column),
    };
    let tiles = boxes.iter().map(|selected| &selected.tile);
    let index = table.index_of(column, tiles, metrics).await?;
    let shown = table.data_type(column);
    let known =
        index.as_deref().map_or_else(Vec::new, |index| SegmentStatistics::of(index, table.nan_as_null));
    let mut known: Vec<Answers> = known.into_iter().map(|known| Answers::new(known, &shown)).collect();
    let mut answered = Vec::with_capacity(boxes.len());
    let mut chunks = Vec::new();
    let mut grids = Grids::new(table, column);
    for (place, selected) in boxes.iter().enumerate() {
        chunks.clear();
        let group = if selected.mask.is_none() { groups.only(place) } else { None };
        let (Some(group), Some(repeated)) =
            (group, whole_chunks(&mut grids, selected, index.as_deref(), &mut chunks))
        else {
            answered.push(false);
            continue;
        };
        let suffices = chunks
            .iter()
            .all(|&(segment, row)| known.get(segment).is_some_and(|known| known.suffices(row, measure)));
        answered.push(suffices);
        if suffices {
            for &(segment, row) in &chunks {
                if let Some(known) = known.get_mut(segment) {
                    known.add(row, group, repeated);
                }
            }
        }
    }
    for known in known {
        if !known.rows.is_empty() {
            states.merge(&known.states(measure, &aggregate.function)?, &known.groups)?;
        }
    }
    Ok(answered)
}

/// Adds the chunks that a box's cells of a column are, and tells how often the box repeats them; `None` where it has only
/// parts of chunks, or does not take the column from an array. What nobody wrote is left out.
fn whole_chunks(
    grids: &mut Grids,
    selected: &Selected,
    index: Option<&VariableIndex>,
    chunks: &mut Vec<(usize, usize)>,
) -> Option<u64> {
    let tile = &selected.tile;
    let Some((_, dims, grid)) = grids.of(tile.dataset) else {
        return grids.is_missing(tile.dataset).then_some(1);
    };
    let index = index?;
    let region = project(&tile.region, dims);
    if let Some(coordinate) = grid.chunk_of(&region) {
        chunks.extend(index.find(tile.dataset, &coordinate).map(|chunk| index.place(chunk)));
        return Some((selected.rows() / region.cells().max(1)) as u64);
    }
    let mut cells = 0;
    for coordinate in grid.crossing(&region) {
        cells += grid.region(&coordinate).cells();
        chunks.extend(index.find(tile.dataset, &coordinate).map(|chunk| index.place(chunk)));
    }
    let own = region.cells();
    (cells == own && own > 0).then(|| (selected.rows() / own) as u64)
}

/// The chunks of a segment that answer, each with its group.
struct Answers<'a> {
    known: SegmentStatistics<'a>,
    /// The type in which the column shows values.
    shown: DataType,
    rows: Vec<u32>,
    groups: Vec<usize>,
    /// Values of each chunk, and how often they are repeated.
    counts: Vec<u64>,
    repeated: Vec<u64>,
}

impl<'a> Answers<'a> {
    fn new(known: SegmentStatistics<'a>, shown: &DataType) -> Self {
        Self {
            known,
            shown: shown.clone(),
            rows: Vec::new(),
            groups: Vec::new(),
            counts: Vec::new(),
            repeated: Vec::new(),
        }
    }

    fn suffices(&self, row: usize, measure: Measure) -> bool {
        let counts = self.known.counts(row);
        let holds = || match measure {
            Measure::Sum | Measure::Mean => self.known.sums_hold_for(&self.shown),
            Measure::Count | Measure::Min | Measure::Max => self.known.bounds_hold_for(&self.shown),
        };
        let has = |statistic| counts.nans == 0 && holds() && self.known.has(statistic, row);
        counts.values() == 0 || measure.statistic().is_none_or(has)
    }

    fn add(&mut self, row: usize, group: usize, repeated: u64) {
        let count = self.known.counts(row).values();
        if let (Ok(row), true) = (u32::try_from(row), count > 0) {
            self.rows.push(row);
            self.groups.push(group);
            self.counts.push(count);
            self.repeated.push(repeated);
        }
    }

    /// The states of the wanted rows, each for its group.
    fn states(&self, measure: Measure, function: &AggregateFunctionExpr) -> Result<Vec<ArrayRef>> {
        let fields = function.state_fields()?;
        let state =
            |place: usize| fields.get(place).map_or(DataType::Null, |field| field.data_type().clone());
        let counts =
            || self.counts.iter().zip(&self.repeated).map(|(&count, &times)| count.wrapping_mul(times));
        let taken = |state: DataType| -> Result<ArrayRef> {
            let column = measure.statistic().and_then(|statistic| self.known.column(statistic));
            let values = column.map(|column| take(column, &UInt32Array::from(self.rows.clone()), None));
            let values = values.transpose()?;
            Ok(match values {
                Some(values) if *values.data_type() == state => values,
                Some(values) => cast(&values, &state)?,
                None => arrow::array::new_null_array(&state, self.rows.len()),
            })
        };
        Ok(match measure {
            Measure::Count => {
                let counts = counts().map(|count| i64::try_from(count).unwrap_or(i64::MAX));
                vec![Arc::new(counts.collect::<Int64Array>())]
            }
            Measure::Sum => vec![self.times(taken(state(0))?)],
            Measure::Mean => {
                vec![Arc::new(UInt64Array::from_iter_values(counts())), self.times(taken(state(1))?)]
            }
            Measure::Min | Measure::Max => {
                let bounds = shown(&taken(self.known.stored.clone())?, &self.shown)?;
                vec![if bounds.data_type() == &state(0) { bounds } else { cast(&bounds, &state(0))? }]
            }
        })
    }

    /// Sums of values, as sums of the same values repeated.
    fn times(&self, sums: ArrayRef) -> ArrayRef {
        if self.repeated.iter().all(|&times| times == 1) {
            return sums;
        }
        let times = &self.repeated;
        match sums.data_type() {
            DataType::Float64 => {
                let sums = sums.as_primitive::<Float64Type>().iter().zip(times);
                Arc::new(sums.map(|(sum, &times)| Some(sum? * times as f64)).collect::<Float64Array>())
            }
            DataType::Int64 => {
                let sums = sums.as_primitive::<Int64Type>().iter().zip(times);
                let product =
                    |(sum, times): (Option<i64>, &u64)| Some(sum?.wrapping_mul(times.cast_signed()));
                Arc::new(sums.map(product).collect::<Int64Array>())
            }
            _ => {
                let sums = sums.as_primitive::<UInt64Type>().iter().zip(times);
                Arc::new(sums.map(|(sum, &times)| Some(sum?.wrapping_mul(times))).collect::<UInt64Array>())
            }
        }
    }
}

/// `values`, NULL where nothing was counted.
pub fn null_where_nothing(values: &ArrayRef, counts: &[u64]) -> Result<ArrayRef> {
    let nothing: BooleanArray = counts.iter().map(|&count| Some(count == 0)).collect();
    Ok(nullif(values, &nothing)?)
}

impl Aggregation {
    /// The states of an aggregation without keys of all rows, where statistics of the table say enough.
    pub(super) fn known(&self, statistics: &Statistics) -> Result<Option<Vec<ScalarValue>>> {
        let Precision::Exact(rows) = statistics.num_rows else { return Ok(None) };
        if !self.keys.is_empty() {
            return Ok(None);
        }
        let mut states = Vec::new();
        for aggregate in &self.aggregates {
            let own = match aggregate.summary {
                Some(Summary::Rows) => Some(vec![count(rows)]),
                Some(Summary::Of(measure, column)) => {
                    let known = statistics.column_statistics.get(column);
                    known.map(|known| of_column(measure, rows, known)).transpose()?.flatten()
                }
                None => None,
            };
            let Some(own) = own else { return Ok(None) };
            for (value, field) in own.into_iter().zip(aggregate.function.state_fields()?) {
                states.push(value.cast_to(field.data_type())?);
            }
        }
        Ok(Some(states))
    }
}

fn of_column(measure: Measure, rows: usize, known: &ColumnStatistics) -> Result<Option<Vec<ScalarValue>>> {
    let Precision::Exact(nulls) = known.null_count else { return Ok(None) };
    let values = rows.saturating_sub(nulls);
    let exact = |value: &Precision<ScalarValue>| match value {
        _ if values == 0 => Some(ScalarValue::Null),
        Precision::Exact(value) => Some(value.clone()),
        _ => None,
    };
    Ok(match measure {
        Measure::Count => Some(vec![count(values)]),
        Measure::Sum => exact(&known.sum_value).map(|sum| vec![sum]),
        Measure::Mean => exact(&known.sum_value).map(|sum| vec![count(values), sum]),
        Measure::Min => exact(&known.min_value).map(|min| vec![min]),
        Measure::Max => exact(&known.max_value).map(|max| vec![max]),
    })
}

fn count(count: usize) -> ScalarValue {
    ScalarValue::UInt64(Some(count as u64))
}

impl Measure {
    /// The statistic that it follows from, with the counts; `None` where these are enough.
    fn statistic(self) -> Option<Statistic> {
        match self {
            Self::Count => None,
            Self::Sum | Self::Mean => Some(Statistic::Sum),
            Self::Min => Some(Statistic::Min),
            Self::Max => Some(Statistic::Max),
        }
    }
}
