//! Statistics: the index of a variable as columns, and statistics of a whole table's column.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array};
use arrow::compute::{SortOptions, sort_to_indices, sum, take};
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use atlas::{ChunkColumns, ChunkFinder, VariableIndex};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue};

use super::boxes::Tile;
use super::chunks::ColumnChunks;
use crate::tables::columns::Table;
use crate::tables::layout::{ColumnKind, Origin};
use crate::tables::widen::{is_decimal, shown_scalar};

/// The statistics of the chunks of one segment.
pub struct SegmentStatistics<'a> {
    chunks: ChunkColumns<'a>,
    /// The stored type of the values.
    pub stored: DataType,
    m2: Option<ArrayRef>,
    nan_as_null: bool,
}

/// A statistic of the values of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    Min,
    Max,
    Sum,
    /// The sum of squared deviations from the mean.
    M2,
}

/// Numbers of cells of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// All cells.
    pub rows: u64,
    /// The number of cells that are shown as NULL.
    pub nulls: u64,
    /// The number of cells that are shown as NaN.
    pub nans: u64,
}

impl Counts {
    /// The number of cells with a value, including NaN.
    pub fn values(self) -> u64 {
        self.rows.saturating_sub(self.nulls)
    }
}

impl<'a> SegmentStatistics<'a> {
    /// The statistics of a variable's segments, in order.
    pub fn of(index: &'a VariableIndex, nan_as_null: bool) -> Vec<Self> {
        let known = |chunks: ChunkColumns<'a>| {
            let m2 = chunks.m2().map(|m2| Arc::new(m2.clone()) as ArrayRef);
            Self { chunks, stored: chunks.dtype().arrow(), m2, nan_as_null }
        };
        index.columns().map(known).collect()
    }

    /// The numbers of cells of the chunk in a row of the table.
    pub fn counts(&self, row: usize) -> Counts {
        let count = |counts: &UInt32Array| counts.values().get(row).map_or(0, |&count| u64::from(count));
        let (rows, nulls) = (count(self.chunks.row_counts()), count(self.chunks.null_counts()));
        let nans = count(self.chunks.nan_counts());
        if self.nan_as_null {
            Counts { rows, nulls: nulls + nans, nans: 0 }
        } else {
            Counts { rows, nulls, nans }
        }
    }

    /// A statistic of all chunks; `None` if the type of the values does not have it.
    pub fn column(&self, statistic: Statistic) -> Option<&ArrayRef> {
        match statistic {
            Statistic::Min => Some(self.chunks.min()),
            Statistic::Max => Some(self.chunks.max()),
            Statistic::Sum => self.chunks.sum(),
            Statistic::M2 => self.m2.as_ref(),
        }
    }

    /// True if a statistic of a chunk is known.
    pub fn has(&self, statistic: Statistic, row: usize) -> bool {
        self.column(statistic).is_some_and(|column| row < column.len() && column.is_valid(row))
    }

    /// True if bounds of stored values, [shown](crate::widen::shown) in a column's type, are bounds
    /// of the values that the column shows.
    pub fn bounds_hold_for(&self, column: &DataType) -> bool {
        self.stored == *column || self.stored.is_numeric() && column.is_numeric()
    }

    /// True if sums of stored values are sums of the values that a column of a type shows.
    pub fn sums_hold_for(&self, column: &DataType) -> bool {
        self.bounds_hold_for(column) && !is_decimal(&self.stored, column)
    }
}

/// The coordinate of the only chunk of an array, for up to this many dimensions.
const ZEROS: [u32; 32] = [0; 32];

/// The statistics of a column of a table with `rows` rows for the optimizer, without reading
/// anything; `None` if its index is not in memory.
pub fn of_column(table: &Table, column: usize, rows: u64) -> Option<ColumnStatistics> {
    let mut statistics = ColumnStatistics::new_unknown();
    match table.layout.columns.get(column)? {
        ColumnKind::Dataset => {
            statistics.null_count = Precision::Exact(0);
            return Some(statistics);
        }
        ColumnKind::Attribute(..) => return Some(statistics),
        ColumnKind::Dimension(_) | ColumnKind::Variable(_) => {}
    }
    if table.layout.has_indices(column) {
        return Some(statistics);
    }
    let values = values_of(table, column, false)?;
    statistics.null_count = Precision::Exact(usize::try_from(rows.saturating_sub(values.count)).ok()?);
    if let Some([least, greatest]) = values.bounds.filter(|bounds| bounds.iter().all(is_moderate)) {
        statistics.min_value = Precision::Exact(least);
        statistics.max_value = Precision::Exact(greatest);
    }
    if let Some(sum) = values.sum {
        statistics.sum_value = Precision::Exact(sum);
    }
    Some(statistics)
}

/// What the catalog and the index of a variable determine about the values of a column.
#[derive(Debug, Default)]
pub struct ColumnValues {
    /// The number of rows with a value.
    pub count: u64,
    /// The least and the greatest value; `None` if unknown, or if there are none.
    pub bounds: Option<[ScalarValue; 2]>,
    /// The sum in the type of SQL, if each stored value counts once.
    pub sum: Option<ScalarValue>,
    /// The sum over all rows, if it was asked for.
    pub total: Option<f64>,
}

/// What is known about the values of the column of a dimension or a variable, without reading
/// anything; `None` if its index is not in memory. `with_total` asks for the sum over all rows.
pub fn values_of(table: &Table, column: usize, with_total: bool) -> Option<ColumnValues> {
    let index = match table.layout.variable(column) {
        Some(variable) => Some(table.snapshot.resident_index(variable)?),
        None => None,
    };
    let known =
        index.as_ref().map(|index| SegmentStatistics::of(index, table.nan_as_null)).unwrap_or_default();
    let mut finder = index.as_ref().map(ChunkFinder::new);
    let mut chosen: Vec<Vec<u32>> = vec![Vec::new(); known.len()];
    // The number of rows with a value, whether all bounds and all sums are known, and whether each
    // value counts once.
    let (mut count, mut bounded, mut summed, mut once) = (0u64, true, true, true);
    let (mut total, mut greatest_index) = (0.0, None);
    let mut chunks = ColumnChunks::new(table, column);
    let shown = table.data_type(column);
    for (ordinal, _) in table.layout.datasets().filter(|(_, tiles)| !tiles.is_empty()) {
        let (dataset, layout) = table.dataset(ordinal)?;
        let schema = u32::try_from(dataset.schema()).ok()?;
        let tile = Tile { dataset: ordinal, schema, spans: &[], undecided: false, chunks: 0 };
        let sizes = layout.dims.iter().filter_map(|&(_, place)| dataset.size_at(place));
        let rows = sizes.fold(1usize, usize::saturating_mul);
        if let Origin::Index(dim) = chunks.origin(&tile) {
            let size = layout.shape(dataset).get(*dim).copied()?;
            count = count.saturating_add(rows as u64);
            total += rows as f64 * (size as f64 - 1.0) / 2.0;
            greatest_index = greatest_index.max(size.checked_sub(1));
            continue;
        }
        // The dataset has no values.
        let Some(array) = chunks.of(&tile) else { continue };
        let (index, finder) = (index.as_ref()?, finder.as_mut()?);
        let cells: usize = array.chunks.shape().iter().product();
        let repeated = (rows / cells.max(1)) as u64;
        let mut add = |coordinate: &[u32]| {
            let Some(chunk) = finder.find(ordinal, coordinate) else { return Some(()) };
            let (segment, row) = index.place(chunk);
            let own = known.get(segment)?;
            let counts = own.counts(row);
            if counts.values() == 0 {
                return Some(());
            }
            count = count.saturating_add(counts.values().saturating_mul(repeated));
            let has = |statistic| own.has(statistic, row);
            bounded &=
                counts.nans == 0 && own.bounds_hold_for(&shown) && has(Statistic::Min) && has(Statistic::Max);
            summed &= counts.nans == 0 && own.sums_hold_for(&shown) && has(Statistic::Sum);
            once &= repeated == 1;
            if with_total && summed {
                total += own.column(Statistic::Sum).and_then(|sums| double_at(sums, row))? * repeated as f64;
            }
            chosen.get_mut(segment)?.push(u32::try_from(row).ok()?);
            Some(())
        };
        match array.chunks.len() as u64 {
            1 if array.chunks.shape().len() <= ZEROS.len() => {
                add(ZEROS.get(..array.chunks.shape().len()).unwrap_or_default())?;
            }
            chunks => (0..chunks).try_for_each(|number| add(&array.chunks.coordinate(number)))?,
        }
    }
    let parts = |statistic| {
        let parts = known.iter().zip(&chosen).filter(|(_, rows)| !rows.is_empty());
        let parts = parts
            .map(|(known, rows)| take(known.column(statistic)?, &UInt32Array::from(rows.clone()), None).ok());
        parts.collect::<Option<Vec<ArrayRef>>>()
    };
    let bound = |statistic, index: Option<usize>| {
        let mut parts = parts(statistic)?;
        if let Some(index) = index {
            parts.push(Arc::new(Int64Array::from(vec![i64::try_from(index).ok()?])));
        }
        first(&parts, statistic == Statistic::Max, &shown)
    };
    let bounds = if bounded && count > 0 {
        let least = bound(Statistic::Min, greatest_index.map(|_| 0));
        let greatest = bound(Statistic::Max, greatest_index);
        least.zip(greatest).map(|(least, greatest)| [least, greatest])
    } else {
        None
    };
    let is_sum = summed && once && count > 0 && greatest_index.is_none();
    let sum = is_sum.then(|| parts(Statistic::Sum)).flatten().and_then(|parts| self::total(&parts));
    Some(ColumnValues { count, bounds, sum, total: (with_total && summed).then_some(total) })
}

/// A number of an array, as `f64`.
fn double_at(values: &ArrayRef, row: usize) -> Option<f64> {
    let value = ScalarValue::try_from_array(values, row).ok()?.cast_to(&DataType::Float64).ok()?;
    if let ScalarValue::Float64(value) = value { value } else { None }
}

/// True if the optimizer can calculate with a bound. Its estimates step to the next value and count
/// the values between bounds. The query fails if that leaves the range of the type.
fn is_moderate(bound: &ScalarValue) -> bool {
    match bound {
        ScalarValue::Float32(Some(value)) => value.abs() <= f32::MAX / 2.0,
        ScalarValue::Float64(Some(value)) => value.abs() <= f64::MAX / 2.0,
        ScalarValue::Int64(Some(value)) => value.unsigned_abs() <= i64::MAX as u64 / 2,
        ScalarValue::UInt64(Some(value)) => *value <= u64::MAX / 2,
        ScalarValue::TimestampNanosecond(Some(value), _) => value.unsigned_abs() <= i64::MAX as u64 / 2,
        ScalarValue::Int8(Some(value)) => value.unsigned_abs() < i8::MAX as u8,
        ScalarValue::Int16(Some(value)) => value.unsigned_abs() < i16::MAX as u16,
        ScalarValue::Int32(Some(value)) => value.unsigned_abs() < i32::MAX as u32,
        ScalarValue::UInt8(Some(value)) => *value < u8::MAX,
        ScalarValue::UInt16(Some(value)) => *value < u16::MAX,
        ScalarValue::UInt32(Some(value)) => *value < u32::MAX,
        _ => true,
    }
}

/// The least or the greatest value, in a type.
fn first(parts: &[ArrayRef], greatest: bool, data_type: &DataType) -> Option<ScalarValue> {
    let options = SortOptions { descending: greatest, nulls_first: false };
    let firsts = parts.iter().map(|values| {
        let place = sort_to_indices(values, Some(options), Some(1)).ok()?;
        let first = ScalarValue::try_from_array(values, place.values().first().copied()? as usize).ok()?;
        shown_scalar(&first, data_type)
    });
    let firsts = firsts.collect::<Option<Vec<_>>>()?;
    let better = |a: ScalarValue, b: ScalarValue| {
        let order = b.partial_cmp(&a);
        let wanted = if greatest { std::cmp::Ordering::Greater } else { std::cmp::Ordering::Less };
        if order == Some(wanted) { b } else { a }
    };
    firsts.into_iter().reduce(better)
}

/// The total of sums, unless it overflows or they have different types.
fn total(parts: &[ArrayRef]) -> Option<ScalarValue> {
    let data_type = parts.first()?.data_type();
    if parts.iter().any(|sums| sums.data_type() != data_type) {
        return None;
    }
    match data_type {
        DataType::Float64 => {
            let sums = parts.iter().filter_map(|sums| sum(sums.as_primitive::<Float64Type>()));
            Some(ScalarValue::Float64(Some(sums.sum())))
        }
        DataType::Int64 => {
            let mut sums = parts.iter().flat_map(|sums| sums.as_primitive::<Int64Type>().iter().flatten());
            Some(ScalarValue::Int64(Some(sums.try_fold(0, i64::checked_add)?)))
        }
        DataType::UInt64 => {
            let mut sums = parts.iter().flat_map(|sums| sums.as_primitive::<UInt64Type>().iter().flatten());
            Some(ScalarValue::UInt64(Some(sums.try_fold(0, u64::checked_add)?)))
        }
        _ => None,
    }
}
