//! States that are derived from the statistics in a variable's index.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, UInt32Array, UInt64Array, new_null_array,
};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use atlas::{ChunkFinder, Fit, ReadMetrics, Region, Span, VariableIndex};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Result, ScalarValue, Statistics};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

use super::states::States;
use super::{Aggregate, Aggregation, Measure};
use crate::scan::boxes::Tile;
use crate::scan::chunks::ColumnChunks;
use crate::scan::frame::Frame;
use crate::scan::statistics::{SegmentStatistics, Statistic};
use crate::tables::columns::Table;
use crate::tables::layout::Origin;
use crate::tables::widen::shown;

/// Answers aggregates for the boxes for which the index has enough statistics, and returns which
/// boxes these are. Statistics must be able to answer all of the aggregates. `only` has, for each
/// box, the only group of its rows, if there is only one.
pub async fn answer(
    aggregates: &[Aggregate],
    table: &Table,
    frame: &Frame,
    only: &[Option<u32>],
    states: &mut [States],
    metrics: &ReadMetrics,
) -> Result<Vec<bool>> {
    let mut answered: Vec<bool> = only
        .iter()
        .enumerate()
        .map(|(place, group)| {
            let all = frame.boxes.range(place);
            let mask = frame.mask.as_ref();
            let is_whole = mask.is_none_or(|m| m.slice(all.start, all.len()).count_set_bits() == all.len());
            group.is_some() && is_whole
        })
        .collect();
    let mut indexes = Vec::with_capacity(aggregates.len());
    for aggregate in aggregates {
        indexes.push(match aggregate.statistical() {
            Some((_, column)) => table.index_of(column, metrics).await?,
            None => None,
        });
    }
    // First find what all aggregates can answer, then compute states: a box is answered as a whole.
    let mut chosen: Vec<(Vec<Answers<'_>>, Vec<Chosen>)> = Vec::with_capacity(aggregates.len());
    for (aggregate, index) in aggregates.iter().zip(&indexes) {
        let (mut answers, mut own) = (Vec::new(), Vec::new());
        if let Some((measure, column)) = aggregate.statistical() {
            let mut columns = ColumnChunks::new(table, column);
            if let Some(index) = index.as_deref() {
                let shown = table.data_type(column);
                let known = SegmentStatistics::of(index, table.nan_as_null);
                answers.extend(known.into_iter().map(|known| Answers::new(known, &shown)));
                own = chunks_that_answer(measure, index, &answers, &mut columns, frame, &mut answered);
            } else {
                for (tile, answered) in frame.boxes.iter().zip(&mut answered) {
                    *answered = *answered && matches!(columns.origin(&tile), Origin::Missing);
                }
            }
        }
        chosen.push((answers, own));
    }
    for ((aggregate, states), (answers, chosen)) in aggregates.iter().zip(states).zip(&mut chosen) {
        let Some((measure, _)) = aggregate.statistical() else { continue };
        for chosen in chosen.iter().filter(|chosen| answered.get(chosen.place) == Some(&true)) {
            let group = only.get(chosen.place).copied().flatten();
            if let Some((answers, group)) = answers.get_mut(chosen.segment).zip(group) {
                answers.add(chosen.row, group as usize, chosen.repeated);
            }
        }
        for answers in answers.iter().filter(|answers| !answers.rows.is_empty()) {
            states.merge(&answers.states(measure, &aggregate.function)?, &answers.groups)?;
        }
    }
    Ok(answered)
}

/// A whole chunk that lies in a box.
struct Chosen {
    /// The position of the box.
    place: usize,
    segment: usize,
    row: usize,
    /// How often the box repeats the chunk's values.
    repeated: u64,
}

/// The chunks of the boxes that are still `answered`. A box whose chunks do not suffice for a measure
/// is answered no longer.
fn chunks_that_answer(
    measure: Measure,
    index: &VariableIndex,
    answers: &[Answers<'_>],
    columns: &mut ColumnChunks<'_>,
    frame: &Frame,
    answered: &mut [bool],
) -> Vec<Chosen> {
    let mut finder = ChunkFinder::new(index);
    let (mut chosen, mut coordinate) = (Vec::new(), Vec::new());
    for ((place, tile), answered) in frame.boxes.iter().enumerate().zip(answered) {
        if !*answered {
            continue;
        }
        let first = chosen.len();
        let repeated = whole_chunks(columns, &mut finder, index, &tile, &mut coordinate, |(segment, row)| {
            chosen.push(Chosen { place, segment, row, repeated: 1 });
        });
        let own = chosen.get_mut(first..).unwrap_or_default();
        let suffices = |chosen: &Chosen| {
            answers.get(chosen.segment).is_some_and(|answers| answers.suffices(chosen.row, measure))
        };
        match repeated.filter(|_| own.iter().all(suffices)) {
            Some(repeated) => own.iter_mut().for_each(|chosen| chosen.repeated = repeated),
            None => {
                chosen.truncate(first);
                *answered = false;
            }
        }
    }
    chosen
}

/// Calls `add` with the chunks of a column in a box, and returns how often the box repeats them.
/// `None` if the box has only parts of chunks, or the column does not come from an array. Chunks
/// that were never written are left out.
fn whole_chunks(
    chunks: &mut ColumnChunks<'_>,
    finder: &mut ChunkFinder<'_>,
    index: &VariableIndex,
    tile: &Tile<'_>,
    coordinate: &mut Vec<u32>,
    mut add: impl FnMut((usize, usize)),
) -> Option<u64> {
    let Some(array) = chunks.of(tile) else {
        return matches!(chunks.origin(tile), Origin::Missing).then_some(1);
    };
    let own: usize = array.spans(tile).map(|span| span.size).product();
    let repeated = (tile.rows() / own.max(1)) as u64;
    if array.chunks.fit(array.spans(tile), coordinate) == Fit::Whole {
        finder.find(tile.dataset, coordinate).into_iter().for_each(|chunk| add(index.place(chunk)));
        return Some(repeated);
    }
    let spans: Vec<Span> = array.spans(tile).collect();
    let crossed = array.chunks.crossing(&Region::from(spans.as_slice()));
    let cells: usize = crossed.iter().map(|coordinate| array.chunks.region(coordinate).cells()).sum();
    if cells != own || own == 0 {
        return None;
    }
    for coordinate in &crossed {
        finder.find(tile.dataset, coordinate).into_iter().for_each(|chunk| add(index.place(chunk)));
    }
    Some(repeated)
}

/// The chunks of a segment that answer, each with its group.
struct Answers<'a> {
    known: SegmentStatistics<'a>,
    /// The type in which the column shows its values.
    shown: DataType,
    rows: Vec<u32>,
    groups: Vec<usize>,
    /// The number of values of each chunk, and how often they are repeated.
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
            Measure::Variance => self.known.sums_hold_for(&self.shown) && self.known.has(Statistic::M2, row),
            _ => self.known.bounds_hold_for(&self.shown),
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

    /// The states of the matching rows, each for its group.
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
                None => new_null_array(&state, self.rows.len()),
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
            Measure::Variance => {
                let counts: Vec<u64> = counts().collect();
                let sums = self.times(taken(DataType::Float64)?);
                let means = sums.as_primitive::<Float64Type>().iter().zip(&counts);
                let means = means.map(|(sum, &count)| Some(sum? / count as f64)).collect::<Float64Array>();
                let m2 = self.known.column(Statistic::M2);
                let m2 = m2.map(|m2| take(m2, &UInt32Array::from(self.rows.clone()), None)).transpose()?;
                let m2 = m2.unwrap_or_else(|| new_null_array(&DataType::Float64, self.rows.len()));
                vec![Arc::new(UInt64Array::from(counts)), Arc::new(means), self.times(m2)]
            }
            _ => {
                let bounds = shown(&taken(self.known.stored.clone())?, &self.shown)?;
                vec![if bounds.data_type() == &state(0) { bounds } else { cast(&bounds, &state(0))? }]
            }
        })
    }

    /// Multiplies sums by the number of repetitions of their values.
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

impl Aggregation {
    /// The states of an aggregation without keys over all rows, if the statistics of the table
    /// suffice.
    pub fn known(&self, statistics: &Statistics) -> Result<Option<Vec<ScalarValue>>> {
        let Precision::Exact(rows) = statistics.num_rows else { return Ok(None) };
        if !self.keys.is_empty() {
            return Ok(None);
        }
        let mut states = Vec::new();
        for aggregate in &self.aggregates {
            let own = match (aggregate.measure, aggregate.statistical()) {
                (Some(Measure::Rows), _) => Some(vec![count(rows)]),
                (_, Some((measure, column))) => {
                    let known = statistics.column_statistics.get(column);
                    known.map(|known| of_column(measure, rows, known)).transpose()?.flatten()
                }
                _ => None,
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
        _ => None,
    })
}

fn count(count: usize) -> ScalarValue {
    ScalarValue::UInt64(Some(count as u64))
}

impl Measure {
    /// The statistic that it needs beside the counts; `None` if counts suffice.
    fn statistic(self) -> Option<Statistic> {
        match self {
            Self::Sum | Self::Mean | Self::Variance => Some(Statistic::Sum),
            Self::Min => Some(Statistic::Min),
            Self::Max => Some(Statistic::Max),
            _ => None,
        }
    }
}
