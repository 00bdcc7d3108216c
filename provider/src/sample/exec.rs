//! The execution plan that reads a grid at points.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow::compute::{concat, concat_batches, take};
use arrow::datatypes::SchemaRef;
use atlas::{ArrayRead, ReadMetrics, Region};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, exec_err, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::axis::{At, Axis, Coordinates};
use super::gather::{Hits, Source};
use crate::error::from_store;
use crate::tables::columns::Table;
use crate::tables::layout::{ColumnKind, Origin};

/// A dimension of the grid for which the points have a column.
#[derive(Clone, Debug)]
pub struct Along {
    /// Its position among the table's dimensions.
    pub dim: usize,
    /// The table's column of its coordinates.
    pub column: usize,
    /// The points' column.
    pub point: usize,
    /// True if values are interpolated linearly between coordinates.
    pub linear: bool,
    /// True if it wraps around at 360.
    pub turns: bool,
}

/// A column of the table of samples.
#[derive(Clone, Copy, Debug)]
pub enum Shown {
    /// A column of the points.
    Point(usize),
    /// A column of the grid.
    Grid(usize),
}

/// The approximate number of rows that are made at once.
const ROWS: usize = 1 << 18;

/// Reads a grid at points. All points are in memory first.
#[derive(Debug)]
pub struct Sampling {
    grid: Table,
    points: Arc<dyn ExecutionPlan>,
    along: Vec<Along>,
    shown: Vec<Shown>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl Sampling {
    /// The plan that emits `shown`, with the fields of `schema`.
    pub fn new(
        grid: Table,
        points: Arc<dyn ExecutionPlan>,
        along: Vec<Along>,
        shown: Vec<Shown>,
        schema: SchemaRef,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        Self { grid, points, along, shown, properties: Arc::new(properties), metrics }
    }
}

impl DisplayAs for Sampling {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SampleAt: grid={}, along=[", self.grid.name)?;
        for (place, along) in self.along.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            let dim = self.grid.layout.dims.get(along.dim).map_or("", String::as_str);
            write!(f, "{comma}{dim}={}", if along.linear { "linear" } else { "nearest" })?;
        }
        write!(f, "]")
    }
}

impl ExecutionPlan for Sampling {
    fn name(&self) -> &str {
        "SampleAt"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.points]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([points]) = <[_; 1]>::try_from(children) else {
            return internal_err!("a grid is sampled at the points of one plan");
        };
        let (along, shown) = (self.along.clone(), self.shown.clone());
        Ok(Arc::new(Self::new(self.grid.clone(), points, along, shown, self.schema())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let size = context.session_config().batch_size().max(1);
        let points = self.points.execute(partition, context)?;
        let schema = self.schema();
        let counter = |name: &'static str| MetricBuilder::new(&self.metrics).counter(name, partition);
        let counters = ["chunks_decoded", "bytes_read", "requests"].map(counter);
        let (grid, along, shown) = (self.grid.for_scan(), self.along.clone(), self.shown.clone());
        let of_samples = Arc::clone(&schema);
        let samples = async move {
            let fields = points.schema();
            let points = concat_batches(&fields, &points.try_collect::<Vec<_>>().await?)?;
            let sampler = Sampler::load(grid, along, shown, of_samples).await?;
            let step = (ROWS / sampler.rows_of_point().max(1)).max(1);
            let starts = (0..points.num_rows()).step_by(step);
            let parts: Vec<_> =
                starts.map(|start| points.slice(start, step.min(points.num_rows() - start))).collect();
            let sampler = Arc::new(sampler);
            let sampled = stream::iter(parts).then(move |points| {
                let (sampler, counters) = (Arc::clone(&sampler), counters.clone());
                async move {
                    let batch = sampler.sample(&points).await?;
                    let [chunks, bytes, requests] = &counters;
                    // The counters cover everything that was read so far.
                    let found = &sampler.read;
                    chunks.add(found.chunks() as usize - chunks.value());
                    bytes.add(found.bytes() as usize - bytes.value());
                    requests.add(found.requests() as usize - requests.value());
                    let starts = (0..batch.num_rows()).step_by(size);
                    let batches: Vec<_> = starts
                        .map(|start| Ok(batch.slice(start, size.min(batch.num_rows() - start))))
                        .collect();
                    Ok::<_, DataFusionError>(stream::iter(batches))
                }
            });
            Ok::<_, DataFusionError>(sampled.try_flatten())
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::once(samples).try_flatten())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// What is prepared for a dataset before any point is located.
struct Dataset {
    ordinal: u32,
    /// For each dimension of the points: its axis, unless the dataset lacks the dimension.
    axes: Vec<Option<Axis>>,
    /// For each dimension of its rows, the source of the index.
    sources: Vec<Source>,
    /// The sizes of the dimensions that points do not have.
    kept: Vec<usize>,
    /// For each shown column, its coordinates if it is one of those dimensions.
    coordinates: Vec<Option<(usize, ArrayRef)>>,
}

struct Sampler {
    grid: Table,
    along: Vec<Along>,
    shown: Vec<Shown>,
    schema: SchemaRef,
    datasets: Vec<Dataset>,
    read: ReadMetrics,
}

impl Sampler {
    /// Reads the coordinates of all datasets.
    async fn load(grid: Table, along: Vec<Along>, shown: Vec<Shown>, schema: SchemaRef) -> Result<Self> {
        let read = ReadMetrics::default();
        let mut datasets = Vec::new();
        for (ordinal, _) in grid.layout.datasets() {
            let Some((dataset, layout)) = grid.dataset(ordinal) else { continue };
            let source = |&(dim, _): &(usize, usize)| along.iter().position(|along| along.dim == dim);
            let places: Vec<Option<usize>> = layout.dims.iter().map(source).collect();
            // Coordinates of another kind do not match those of the points. A dataset without any
            // matching coordinate has no points.
            let other_kind = places.iter().flatten().any(|&place| {
                let column = along.get(place).map(|along| along.column);
                column.is_none_or(|column| matches!(grid.origin(ordinal, column), Origin::Missing))
            });
            if other_kind || places.iter().flatten().next().is_none() {
                continue;
            }
            let shape = layout.shape(dataset);
            let mut kept = Vec::new();
            let sources = places.iter().zip(&shape).map(|(place, &size)| match place {
                Some(place) => Source::Along(*place),
                None => {
                    kept.push(size);
                    Source::Kept(kept.len() - 1)
                }
            });
            let sources = sources.collect();
            datasets.push(Dataset { ordinal, axes: vec![], sources, kept, coordinates: vec![] });
        }
        for along in &along {
            let coordinates = coordinates(&grid, along.dim, along.column, &datasets, &read).await?;
            for (dataset, found) in datasets.iter_mut().zip(coordinates) {
                dataset.axes.push(match found {
                    Some(values) => Some(axis(&grid, dataset.ordinal, along, &values)?),
                    None => None,
                });
            }
        }
        for shown in &shown {
            let dim = match shown {
                Shown::Grid(column) => match grid.layout.columns.get(*column) {
                    Some(ColumnKind::Dimension(dim)) => Some((*dim, *column)),
                    _ => None,
                },
                Shown::Point(_) => None,
            };
            let found = match dim {
                Some((dim, column)) => coordinates(&grid, dim, column, &datasets, &read).await?,
                None => vec![None; datasets.len()],
            };
            for (dataset, found) in datasets.iter_mut().zip(found) {
                let local = dim.and_then(|(dim, _)| grid.dataset(dataset.ordinal)?.1.local(dim));
                let kept = local.and_then(|local| match dataset.sources.get(local) {
                    Some(Source::Kept(kept)) => Some(*kept),
                    _ => None,
                });
                dataset.coordinates.push(kept.zip(found));
            }
        }
        Ok(Self { grid, along, shown, schema, datasets, read })
    }

    /// The rows that a point has at most.
    fn rows_of_point(&self) -> usize {
        let rows = self.datasets.iter().map(|dataset| dataset.kept.iter().product::<usize>());
        rows.fold(0usize, usize::saturating_add)
    }

    async fn sample(&self, points: &RecordBatch) -> Result<RecordBatch> {
        let mut of_points = Vec::with_capacity(self.along.len());
        for along in &self.along {
            let data_type = self.grid.data_type(along.column);
            of_points.push(Coordinates::new(points.column(along.point), &data_type)?);
        }
        let mut found = vec![false; points.num_rows()];
        // For each row its point, and its columns by dataset.
        let mut rows: Vec<u32> = Vec::new();
        let mut parts: Vec<Vec<ArrayRef>> = vec![Vec::new(); self.shown.len()];
        for dataset in &self.datasets {
            let mut hits = Hits::new(dataset.kept.clone(), self.along.len());
            for (row, found) in found.iter_mut().enumerate() {
                let located = dataset.axes.iter().zip(&self.along).zip(&of_points);
                let located = located.map(|((axis, along), of_points)| match axis {
                    Some(axis) => axis.locate(of_points.get(row, axis.origin)?, along.linear),
                    None => Some(At { from: 0, to: 0, share: 0.0 }),
                });
                if let Some(at) = located.collect::<Option<Vec<At>>>() {
                    hits.push(u32::try_from(row).unwrap_or(u32::MAX), &at);
                    *found = true;
                }
            }
            if hits.rows() == 0 {
                continue;
            }
            let of_rows = hits.points_of_rows();
            for (place, (shown, parts)) in self.shown.iter().zip(&mut parts).enumerate() {
                parts.push(match shown {
                    Shown::Point(column) => {
                        take(points.column(*column), &UInt32Array::from(of_rows.clone()), None)?
                    }
                    Shown::Grid(column) => self.of_grid(place, *column, dataset, &hits).await?,
                });
            }
            rows.extend(of_rows);
        }
        // Points that lie in no dataset.
        let beyond: Vec<u32> = (0..).zip(&found).filter(|(_, found)| !**found).map(|(row, _)| row).collect();
        for ((shown, parts), field) in self.shown.iter().zip(&mut parts).zip(self.schema.fields()) {
            parts.push(match shown {
                Shown::Point(column) => {
                    take(points.column(*column), &UInt32Array::from(beyond.clone()), None)?
                }
                Shown::Grid(_) => new_null_array(field.data_type(), beyond.len()),
            });
        }
        rows.extend(beyond);
        let mut order: Vec<u32> = (0..).zip(&rows).map(|(place, _)| place).collect();
        order.sort_by_key(|&place| usize::try_from(place).ok().and_then(|place| rows.get(place)));
        let order = UInt32Array::from(order);
        let mut columns = Vec::with_capacity(parts.len());
        for parts in &parts {
            let parts: Vec<&dyn arrow::array::Array> = parts.iter().map(AsRef::as_ref).collect();
            columns.push(take(&concat(&parts)?, &order, None)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    /// A column of the grid for the rows of a dataset.
    async fn of_grid(&self, place: usize, column: usize, dataset: &Dataset, hits: &Hits) -> Result<ArrayRef> {
        let data_type = self.schema.field(place).data_type();
        match self.grid.layout.columns.get(column) {
            Some(ColumnKind::Dimension(_)) => match dataset.coordinates.get(place) {
                Some(Some((kept, values))) => Ok(take(values, &hits.kept_of_rows(*kept), None)?),
                _ => Ok(new_null_array(data_type, hits.rows())),
            },
            Some(ColumnKind::Variable(_)) => match self.grid.array(dataset.ordinal, column).zip(dims_of(
                &self.grid,
                dataset.ordinal,
                column,
            )) {
                Some((array, dims)) => {
                    let sources = dims.iter().filter_map(|&dim| dataset.sources.get(dim).copied()).collect();
                    hits.gather(&self.grid, dataset.ordinal, column, array, sources, data_type, &self.read)
                        .await
                }
                _ => Ok(new_null_array(data_type, hits.rows())),
            },
            _ => {
                let one = self.grid.of_datasets(column, &[dataset.ordinal])?;
                Ok(take(&one, &UInt32Array::from(vec![0; hits.rows()]), None)?)
            }
        }
    }
}

/// The positions, among the dimensions of a dataset's rows, of those of a column's array.
fn dims_of(grid: &Table, ordinal: u32, column: usize) -> Option<&[usize]> {
    match grid.origin(ordinal, column) {
        Origin::Array(dims) => Some(dims),
        _ => None,
    }
}

/// For each dataset, what a column shows along a dimension, unless the dataset lacks it.
async fn coordinates(
    grid: &Table,
    dim: usize,
    column: usize,
    datasets: &[Dataset],
    read: &ReadMetrics,
) -> Result<Vec<Option<ArrayRef>>> {
    let size = |ordinal: u32| {
        let (dataset, layout) = grid.dataset(ordinal)?;
        layout.shape(dataset).get(layout.local(dim)?).copied()
    };
    let wanted: Vec<(usize, (u32, usize, usize))> = datasets
        .iter()
        .enumerate()
        .filter_map(|(place, dataset)| Some((place, (dataset.ordinal, 0, size(dataset.ordinal)?))))
        .collect();
    let mut found = vec![None; datasets.len()];
    let (mut reads, mut places) = (Vec::new(), Vec::new());
    for (place, (dataset, start, size)) in wanted {
        let values = match grid.origin(dataset, column) {
            Origin::Array(_) => {
                reads.push(ArrayRead { dataset, region: Region::new(vec![start], vec![size]) });
                places.push(place);
                continue;
            }
            Origin::Index(_) => {
                let indices = (start..start + size).map(|i| i64::try_from(i).unwrap_or(i64::MAX));
                grid.shown(Arc::new(Int64Array::from_iter_values(indices)), column, false)?
            }
            _ => new_null_array(&grid.data_type(column), size),
        };
        found.get_mut(place).into_iter().for_each(|slot| *slot = Some(values.clone()));
    }
    if let Some(variable) = grid.layout.variable(column).filter(|_| !reads.is_empty()) {
        let index = grid.index(variable, read).await?;
        let arrays = grid.snapshot.read_from(&index, variable, &reads, read).await.map_err(from_store)?;
        for (place, values) in places.into_iter().zip(arrays) {
            let values = grid.shown(values, column, index.has_nan())?;
            found.get_mut(place).into_iter().for_each(|slot| *slot = Some(values.clone()));
        }
    }
    Ok(found)
}

fn axis(grid: &Table, ordinal: u32, along: &Along, values: &ArrayRef) -> Result<Axis> {
    let coordinates = Coordinates::new(values, &grid.data_type(along.column))?;
    let Some(axis) = Axis::new(&coordinates, along.turns) else {
        let dim = grid.layout.dims.get(along.dim).map_or("", String::as_str);
        let dataset = grid.catalog.dataset(ordinal).map_or("", |dataset| dataset.name());
        return exec_err!(
            "`{dim}` of dataset `{dataset}` neither rises nor falls throughout: no point lies between its \
             coordinates"
        );
    };
    Ok(axis)
}
