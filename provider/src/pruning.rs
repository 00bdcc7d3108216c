//! Boxes of rows that statistics alone rule out.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use atlas::{DType, ReadMetrics, Region, Statistics, Value, VariableIndex};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;

use crate::columns::Table;
use crate::error::from_store;
use crate::layout::{Origin, Tile};

/// The indexes of variables, by name.
pub type Indexes = HashMap<String, Arc<VariableIndex>>;

/// Reads the indexes of the variables that columns come from in some datasets.
pub async fn indexes(
    table: &Table,
    columns: &[usize],
    boxes: &[Tile],
    metrics: &ReadMetrics,
) -> Result<Indexes> {
    let mut indexes = Indexes::new();
    for tile in boxes {
        for (array, _) in table.arrays(tile.dataset, columns) {
            if !indexes.contains_key(&array.name) {
                let index = table.snapshot.index(&array.name, metrics).await.map_err(from_store)?;
                indexes.insert(array.name.clone(), index);
            }
        }
    }
    Ok(indexes)
}

/// Which boxes may have rows for which `predicate` is true. Where that cannot be told, all of them.
pub async fn may_match(
    table: &Table,
    predicate: &Arc<dyn PhysicalExpr>,
    boxes: &[Tile],
    metrics: &ReadMetrics,
) -> Result<Vec<bool>> {
    let schema = Arc::clone(&table.layout.schema);
    let Ok(pruning) =
        PruningPredicateBuilder::new().with_file_schema(schema).try_build(Arc::clone(predicate))
    else {
        return Ok(vec![true; boxes.len()]);
    };
    let columns: Vec<_> = collect_columns(predicate).iter().map(|column| column.index()).collect();
    let indexes = indexes(table, &columns, boxes, metrics).await?;
    let bounds = columns
        .into_iter()
        .filter_map(|column| {
            let name = table.layout.schema.fields().get(column)?.name().clone();
            Some((name, Bounds::new(table, column, boxes, &indexes)))
        })
        .collect();
    let rows = boxes.iter().map(|tile| tile.region.cells() as u64);
    let statistics = BoxStatistics { bounds, rows: UInt64Array::from_iter_values(rows) };
    Ok(pruning.prune(&statistics).unwrap_or_else(|_| vec![true; boxes.len()]))
}

/// What is known of a column in each box.
struct Bounds {
    min: Option<ArrayRef>,
    max: Option<ArrayRef>,
    null_count: UInt64Array,
}

impl Bounds {
    fn new(table: &Table, column: usize, boxes: &[Tile], indexes: &Indexes) -> Self {
        let known: Vec<_> = boxes.iter().map(|tile| Known::of(table, column, tile, indexes)).collect();
        let data_type = table.data_type(column);
        let bound = |bound: fn(&Known) -> &Option<ScalarValue>| {
            let null = ScalarValue::try_from(&data_type).ok()?;
            let scalars = known.iter().map(|known| {
                // Values become text in another order than their own.
                let scalar = bound(known).as_ref().filter(|scalar| {
                    scalar.data_type() == data_type
                        || data_type.is_numeric() && scalar.data_type().is_numeric()
                });
                scalar.and_then(|scalar| scalar.cast_to(&data_type).ok()).unwrap_or_else(|| null.clone())
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

/// What is known of a column in one box.
#[derive(Default)]
struct Known {
    min: Option<ScalarValue>,
    max: Option<ScalarValue>,
    /// Exact where it is none or all rows; unknown between.
    null_count: Option<u64>,
}

impl Known {
    fn of(table: &Table, column: usize, tile: &Tile, indexes: &Indexes) -> Self {
        let rows = tile.region.cells() as u64;
        match table.origin(tile.dataset, column) {
            Origin::Missing => Self { null_count: Some(rows), ..Self::default() },
            Origin::Index(_) => Self { null_count: Some(0), ..Self::default() },
            Origin::Name | Origin::Attribute(_) => {
                let value = table.constant(column, tile.dataset, 1);
                let value = value.and_then(|array| ScalarValue::try_from_array(&array, 0)).ok();
                let null_count = value.as_ref().map(|value| if value.is_null() { rows } else { 0 });
                Self { min: value.clone(), max: value, null_count }
            }
            Origin::Array(array, dims) => {
                let Some(index) = indexes.get(&array.name) else { return Self::default() };
                let Some((dataset, _)) = table.dataset(tile.dataset) else { return Self::default() };
                let grid = table.snapshot.chunk_grid(dataset, array);
                let statistics = index.statistics_of(tile.dataset, &grid, &project(&tile.region, dims));
                Self::of_statistics(&statistics, array.dtype, rows, table.nan_as_null)
            }
        }
    }

    fn of_statistics(statistics: &Statistics, dtype: DType, rows: u64, nan_as_null: bool) -> Self {
        let nulls = statistics.null_count + if nan_as_null { statistics.nan_count } else { 0 };
        // A NaN that is kept compares as greater or less than all numbers: bounds do not cover it.
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

/// The part of a box that an array over `dims` of it has.
pub fn project(region: &Region, dims: &[usize]) -> Region {
    let pick = |values: &[usize]| dims.iter().filter_map(|&dim| values.get(dim).copied()).collect::<Vec<_>>();
    Region { start: pick(&region.start), shape: pick(&region.shape) }
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
        arrow::array::Array::len(&self.rows)
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
