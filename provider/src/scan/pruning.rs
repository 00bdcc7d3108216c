//! Pruning: boxes of rows that statistics alone decide.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array, UInt64Array, new_null_array};
use arrow::compute::{interleave, take};
use atlas::{ChunkFinder, DType, Fit, ReadMetrics, Region, Span, Statistics, Value, VariableIndex};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CastExpr, Column as ColumnExpr, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal,
    NotExpr,
};
use datafusion::physical_expr::simplifier::PhysicalExprSimplifier;
use datafusion::physical_expr::utils::{collect_columns, conjunction};
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};

use super::boxes::{Boxes, Tile, runs_of_datasets};
use super::chunks::ColumnChunks;
use super::statistics::{SegmentStatistics, Statistic};
use crate::tables::columns::Table;
use crate::tables::layout::{ColumnKind, Origin};
use crate::tables::widen::shown_scalar;

/// A predicate that may prune boxes of rows.
pub struct Pruning {
    predicate: PruningPredicate,
    columns: Vec<usize>,
}

impl Pruning {
    /// The pruning by `predicate`; `None` if it can prune nothing.
    pub fn new(table: &Table, predicate: &Arc<dyn PhysicalExpr>) -> Option<Self> {
        let schema = Arc::clone(&table.layout.schema);
        let built = PruningPredicateBuilder::new().with_file_schema(schema);
        let pruning = built.try_build(Arc::clone(predicate)).ok().filter(|pruning| !pruning.always_true())?;
        let columns = collect_columns(predicate).iter().map(|column| column.index()).collect();
        Some(Self { predicate: pruning, columns })
    }

    /// Prunes the boxes of which every row satisfies all `predicates`. If rows that are `NULL` in
    /// the predicates' only column do not matter, only the other rows must satisfy them.
    pub fn unless_all_match(
        table: &Table,
        predicates: &[Arc<dyn PhysicalExpr>],
        nulls_count: bool,
    ) -> Option<Self> {
        if predicates.is_empty() || !predicates.iter().all(is_null_only_for_nulls) {
            return None;
        }
        let all = conjunction(predicates.iter().map(Arc::clone));
        let mut open: Arc<dyn PhysicalExpr> = Arc::new(NotExpr::new(Arc::clone(&all)));
        for column in collect_columns(&all).into_iter().filter(|_| nulls_count) {
            let is_null = Arc::new(IsNullExpr::new(Arc::new(column)));
            open = Arc::new(BinaryExpr::new(open, Operator::Or, is_null));
        }
        let open = PhysicalExprSimplifier::new(&table.layout.schema).simplify(open).ok()?;
        Self::new(table, &open)
    }

    /// The boxes that may have rows for which the predicate is true; all boxes if that cannot be
    /// decided.
    pub async fn may_match(&self, table: &Table, boxes: &Boxes, metrics: &ReadMetrics) -> Result<Vec<bool>> {
        if boxes.is_empty() {
            return Ok(Vec::new());
        }
        let mut bounds = HashMap::new();
        for &column in &self.columns {
            let index = table.index_of(column, metrics).await?;
            if let Some(field) = table.layout.schema.fields().get(column) {
                bounds.insert(field.name().clone(), Bounds::new(table, column, boxes, index.as_deref()));
            }
        }
        let rows = boxes.iter().map(|tile| tile.rows() as u64);
        let statistics = BoxStatistics { bounds, rows: UInt64Array::from_iter_values(rows) };
        Ok(self.predicate.prune(&statistics).unwrap_or_else(|_| vec![true; boxes.len()]))
    }
}

/// True for an expression that is NULL only if one of its columns is NULL.
fn is_null_only_for_nulls(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let mut known = true;
    let _ = expr.apply(|node| {
        known &= match node.downcast_ref::<BinaryExpr>() {
            Some(binary) => {
                use Operator::{And, Eq, Gt, GtEq, Lt, LtEq, NotEq, Or};
                matches!(binary.op(), And | Or | Eq | NotEq | Lt | LtEq | Gt | GtEq)
            }
            None => match node.downcast_ref::<Literal>() {
                Some(literal) => !literal.value().is_null(),
                None => {
                    node.is::<ColumnExpr>()
                        || node.is::<CastExpr>()
                        || node.is::<NotExpr>()
                        || node.is::<IsNullExpr>()
                        || node.is::<IsNotNullExpr>()
                        || node.is::<InListExpr>()
                        || node.is::<LikeExpr>()
                }
            },
        };
        Ok(if known { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    known
}

/// The statistics of a column in each box.
pub struct Bounds {
    /// Lower bounds of the values.
    pub min: Option<ArrayRef>,
    /// Upper bounds of the values.
    pub max: Option<ArrayRef>,
    /// Exact if no row is NULL or all rows are; otherwise unknown.
    pub null_count: UInt64Array,
}

impl Bounds {
    /// The statistics of a column in boxes, from the index of its variable.
    pub fn new(table: &Table, column: usize, boxes: &Boxes, index: Option<&VariableIndex>) -> Self {
        let is_of_datasets = match table.layout.columns.get(column) {
            Some(ColumnKind::Attribute(_, kind)) => !kind.list,
            kind => kind == Some(&ColumnKind::Dataset),
        };
        if let Some(bounds) = is_of_datasets.then(|| Self::of_datasets(table, column, boxes).ok()).flatten() {
            return bounds;
        }
        match index.and_then(|index| Self::of_chunks(table, column, boxes, index).transpose()) {
            Some(Ok(bounds)) => bounds,
            _ => Self::of_boxes(table, column, boxes, index),
        }
    }

    /// The statistics of a column that has one value in each box.
    fn of_datasets(table: &Table, column: usize, boxes: &Boxes) -> Result<Self> {
        let (datasets, places) = runs_of_datasets(boxes);
        let mut values = table.of_datasets(column, &datasets)?;
        if datasets.len() < boxes.len() {
            values = take(&values, &UInt32Array::from(places), None)?;
        }
        let nulls = boxes
            .iter()
            .enumerate()
            .map(|(place, tile)| Some(if values.is_null(place) { tile.rows() as u64 } else { 0 }));
        let null_count = nulls.collect();
        Ok(Self { min: Some(Arc::clone(&values)), max: Some(values), null_count })
    }

    /// The statistics if every box lies in one chunk of values that are stored as they are shown.
    fn of_chunks(table: &Table, column: usize, boxes: &Boxes, index: &VariableIndex) -> Result<Option<Self>> {
        let data_type = table.data_type(column);
        let known = SegmentStatistics::of(index, table.nan_as_null);
        if known.iter().any(|known| known.stored != data_type) {
            return Ok(None);
        }
        // After the segments, an entry for unknown statistics.
        let unknown = (known.len(), 0);
        let (mut places, mut nulls) = (Vec::new(), Vec::new());
        let (mut chunks, mut finder) = (ColumnChunks::new(table, column), ChunkFinder::new(index));
        let mut coordinate = Vec::new();
        for tile in boxes.iter() {
            let rows = Some(tile.rows() as u64);
            let Some(array) = chunks.of(&tile) else {
                if !matches!(chunks.origin(&tile), Origin::Missing) {
                    return Ok(None);
                }
                places.push(unknown);
                nulls.push(rows);
                continue;
            };
            if array.chunks.fit(array.spans(&tile), &mut coordinate) == Fit::Several {
                return Ok(None);
            }
            let Some(place) = finder.find(tile.dataset, &coordinate).map(|chunk| index.place(chunk)) else {
                places.push(unknown);
                nulls.push(rows);
                continue;
            };
            let Some(counts) = known.get(place.0).map(|known| known.counts(place.1)) else { return Ok(None) };
            // If NaN is kept, it compares as greater or less than all numbers, and bounds do not
            // cover it.
            places.push(if counts.nans == 0 { place } else { unknown });
            nulls.push(match counts.nulls {
                0 => Some(0),
                _ if counts.values() == 0 => rows,
                _ => None,
            });
        }
        let nothing = new_null_array(&data_type, 1);
        let bounds = |statistic| {
            let columns: Option<Vec<&dyn Array>> =
                known.iter().map(|known| known.column(statistic).map(|column| column.as_ref())).collect();
            let columns = columns.map(|mut columns| {
                columns.push(&nothing);
                interleave(&columns, &places)
            });
            columns.transpose()
        };
        let (min, max) = (bounds(Statistic::Min)?, bounds(Statistic::Max)?);
        Ok(Some(Self { min, max, null_count: nulls.into_iter().collect() }))
    }

    fn of_boxes(table: &Table, column: usize, boxes: &Boxes, index: Option<&VariableIndex>) -> Self {
        let mut chunks = ColumnChunks::new(table, column);
        let known = boxes.iter().map(|tile| Known::of(table, column, &mut chunks, &tile, index));
        let known: Vec<_> = known.collect();
        let data_type = table.data_type(column);
        let bound = |bound: fn(&Known) -> &Option<ScalarValue>| {
            let null = ScalarValue::try_from(&data_type).ok()?;
            let scalars = known.iter().map(|known| {
                let scalar = bound(known).as_ref().and_then(|scalar| shown_scalar(scalar, &data_type));
                scalar.unwrap_or_else(|| null.clone())
            });
            ScalarValue::iter_to_array(scalars).ok()
        };
        Self {
            min: bound(|known| &known.min),
            max: bound(|known| &known.max),
            null_count: known.iter().map(|known| known.null_count).collect(),
        }
    }
}

/// The statistics of a column in one box.
#[derive(Default)]
struct Known {
    min: Option<ScalarValue>,
    max: Option<ScalarValue>,
    null_count: Option<u64>,
}

impl Known {
    fn of(
        table: &Table,
        column: usize,
        chunks: &mut ColumnChunks<'_>,
        tile: &Tile<'_>,
        index: Option<&VariableIndex>,
    ) -> Self {
        let rows = tile.rows() as u64;
        match chunks.origin(tile) {
            Origin::Missing => Self { null_count: Some(rows), ..Self::default() },
            Origin::Index(_) => Self { null_count: Some(0), ..Self::default() },
            Origin::Name | Origin::Attribute => {
                let value = table.of_datasets(column, &[tile.dataset]);
                let value = value.and_then(|array| ScalarValue::try_from_array(&array, 0)).ok();
                let null_count = value.as_ref().map(|value| if value.is_null() { rows } else { 0 });
                Self { min: value.clone(), max: value, null_count }
            }
            Origin::Array(..) => {
                let Some((index, array)) = index.zip(chunks.of(tile)) else { return Self::default() };
                let spans: Vec<Span> = array.spans(tile).collect();
                let region = Region::from(spans.as_slice());
                match index.statistics_of(tile.dataset, array.chunks, &region) {
                    Ok(statistics) => {
                        Self::of_statistics(&statistics, array.schema.dtype, rows, table.nan_as_null)
                    }
                    // An index that contradicts itself prunes nothing.
                    Err(_) => Self::default(),
                }
            }
        }
    }

    fn of_statistics(statistics: &Statistics, dtype: DType, rows: u64, nan_as_null: bool) -> Self {
        let nulls = statistics.null_count + if nan_as_null { statistics.nan_count } else { 0 };
        // If NaN is kept, it compares as greater or less than all numbers, and bounds do not cover
        // it.
        let bounded = nan_as_null || statistics.nan_count == 0;
        let bound =
            |value: &Option<Value>| value.clone().filter(|_| bounded).and_then(|value| scalar(value, dtype));
        Self {
            min: bound(&statistics.min),
            max: bound(&statistics.max),
            null_count: match nulls {
                0 => Some(0),
                nulls if nulls == statistics.row_count => Some(rows),
                _ => None,
            },
        }
    }
}

fn scalar(value: Value, dtype: DType) -> Option<ScalarValue> {
    ScalarValue::try_from_array(&dtype.array([Some(value)]), 0).ok()
}

struct BoxStatistics {
    bounds: HashMap<String, Bounds>,
    rows: UInt64Array,
}

impl PruningStatistics for BoxStatistics {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds.get(&column.name)?.min.clone()
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds.get(&column.name)?.max.clone()
    }

    fn num_containers(&self) -> usize {
        self.rows.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        Some(Arc::new(self.bounds.get(&column.name)?.null_count.clone()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.rows.clone()))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
