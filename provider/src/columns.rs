//! The values of a table's columns in a box of rows.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, UInt32Array, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, nullif, take};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use atlas::{ArrayRead, ArraySchema, AttributeValue, Dataset, ReadMetrics, Region, Snapshot};
use datafusion::common::{Result, ScalarValue};

use crate::error::from_store;
use crate::layout::{ColumnKind, Layout, Origin, SchemaLayout, Tile};

/// A table: its layout, of one generation of a store.
#[derive(Clone, Debug)]
pub struct Table {
    /// The name, for plans.
    pub name: String,
    /// The generation.
    pub snapshot: Arc<Snapshot>,
    /// The rows and columns.
    pub layout: Arc<Layout>,
    /// Whether NaN is read as NULL.
    pub nan_as_null: bool,
}

impl Table {
    /// A dataset and how it gives rows.
    pub fn dataset(&self, ordinal: u32) -> Option<(&Dataset, &SchemaLayout)> {
        let dataset = self.snapshot.catalog().dataset(ordinal)?;
        Some((dataset, self.layout.of(dataset)?))
    }

    /// Where a column comes from in a dataset.
    pub fn origin(&self, ordinal: u32, column: usize) -> &Origin {
        let layout = self.dataset(ordinal).map(|(_, layout)| layout);
        layout.and_then(|layout| layout.origins.get(column)).unwrap_or(&Origin::Missing)
    }

    /// The type of a column.
    pub fn data_type(&self, column: usize) -> DataType {
        self.layout.schema.fields().get(column).map_or(DataType::Null, |field| field.data_type().clone())
    }

    /// The values of a column that depends on the dataset alone, one for each of `datasets`.
    pub fn of_datasets(&self, column: usize, datasets: &[u32]) -> Result<ArrayRef> {
        let catalog = self.snapshot.catalog();
        match self.layout.columns.get(column) {
            Some(ColumnKind::Attribute(_, kind)) => {
                kind.array(datasets.iter().map(|&ordinal| self.attribute(ordinal, column)))
            }
            _ => {
                let names = datasets.iter().map(|&ordinal| catalog.dataset(ordinal).map(|d| d.name.as_str()));
                Ok(Arc::new(names.collect::<arrow::array::StringViewArray>()))
            }
        }
    }

    fn attribute(&self, ordinal: u32, column: usize) -> Option<&AttributeValue> {
        match self.origin(ordinal, column) {
            Origin::Attribute(position) => {
                self.snapshot.catalog().dataset(ordinal)?.attributes.get(*position)
            }
            _ => None,
        }
    }

    /// The values of columns in boxes of rows: for each box an array for each column, its rows in row-major
    /// order. What several boxes have in common is read once.
    pub async fn read(
        &self,
        columns: &[usize],
        boxes: &[Tile],
        metrics: &ReadMetrics,
    ) -> Result<Vec<Vec<ArrayRef>>> {
        let stored = self.read_arrays(columns, boxes, metrics).await?;
        let mut rows = Vec::with_capacity(boxes.len());
        for (number, tile) in boxes.iter().enumerate() {
            let mut broadcast = Broadcast { shape: &tile.region.shape, indices: HashMap::new() };
            let count = tile.region.cells();
            let arrays = columns.iter().map(|&column| match self.origin(tile.dataset, column) {
                Origin::Missing => Ok(new_null_array(&self.data_type(column), count)),
                Origin::Name | Origin::Attribute(_) => self.constant(column, tile.dataset, count),
                Origin::Index(dim) => {
                    let (start, size) = span(&tile.region, *dim);
                    broadcast.rows(&self.shown(indices(start, size), column)?, &[*dim])
                }
                Origin::Array(_, dims) => match stored.get(&(column, number)) {
                    Some(values) => broadcast.rows(values, dims),
                    None => Ok(new_null_array(&self.data_type(column), count)),
                },
            });
            rows.push(arrays.collect::<Result<Vec<_>>>()?);
        }
        Ok(rows)
    }

    /// The arrays that columns come from, each over the part that a box needs of it.
    async fn read_arrays(
        &self,
        columns: &[usize],
        boxes: &[Tile],
        metrics: &ReadMetrics,
    ) -> Result<HashMap<(usize, usize), ArrayRef>> {
        let mut stored = HashMap::new();
        for &column in columns {
            let mut reads: Vec<ArrayRead> = Vec::new();
            let mut users: Vec<Vec<usize>> = Vec::new();
            let mut known: HashMap<(u32, Region), usize> = HashMap::new();
            let mut variable = None;
            for (number, tile) in boxes.iter().enumerate() {
                let Origin::Array(array, dims) = self.origin(tile.dataset, column) else { continue };
                let (start, shape): (Vec<_>, Vec<_>) =
                    dims.iter().map(|&dim| span(&tile.region, dim)).unzip();
                let region = Region { start, shape };
                let read = *known.entry((tile.dataset, region.clone())).or_insert_with(|| {
                    reads.push(ArrayRead { dataset: tile.dataset, region });
                    users.push(Vec::new());
                    reads.len() - 1
                });
                if let Some(users) = users.get_mut(read) {
                    users.push(number);
                }
                variable = Some(array.name.clone());
            }
            let Some(variable) = variable else { continue };
            let arrays = self.snapshot.read(&variable, &reads, metrics).await.map_err(from_store)?;
            for (array, users) in arrays.into_iter().zip(users) {
                let values = self.shown(array, column)?;
                stored.extend(users.into_iter().map(|number| ((column, number), Arc::clone(&values))));
            }
        }
        Ok(stored)
    }

    /// The coordinates that `column` shows in some datasets, for each of them from an index on so many: an array for each
    /// dataset, of NULL where its rows do not have the dimension.
    pub async fn coordinates(
        &self,
        column: usize,
        datasets: &[(u32, usize, usize)],
        metrics: &ReadMetrics,
    ) -> Result<Vec<ArrayRef>> {
        let mut shown: Vec<Option<ArrayRef>> = vec![None; datasets.len()];
        let (mut reads, mut readers, mut variable) = (Vec::new(), Vec::new(), None);
        for (number, &(dataset, start, size)) in datasets.iter().enumerate() {
            let values = match self.origin(dataset, column) {
                Origin::Index(_) => self.shown(indices(start, size), column)?,
                Origin::Array(array, _) => {
                    reads.push(ArrayRead { dataset, region: Region::new(vec![start], vec![size]) });
                    readers.push(number);
                    variable = Some(array.name.clone());
                    continue;
                }
                _ => new_null_array(&self.data_type(column), size),
            };
            if let Some(slot) = shown.get_mut(number) {
                *slot = Some(values);
            }
        }
        if let Some(variable) = variable {
            let arrays = self.snapshot.read(&variable, &reads, metrics).await.map_err(from_store)?;
            for (array, number) in arrays.into_iter().zip(readers) {
                if let Some(slot) = shown.get_mut(number) {
                    *slot = Some(self.shown(array, column)?);
                }
            }
        }
        Ok(shown.into_iter().flatten().collect())
    }

    /// A column that depends on the dataset alone, as `count` rows.
    pub fn constant(&self, column: usize, ordinal: u32, count: usize) -> Result<ArrayRef> {
        let scalar = match self.layout.columns.get(column) {
            Some(ColumnKind::Attribute(_, kind)) => kind.scalar(self.attribute(ordinal, column))?,
            _ => ScalarValue::Utf8View(self.snapshot.catalog().dataset(ordinal).map(|d| d.name.clone())),
        };
        scalar.to_array_of_size(count)
    }

    /// Stored values as a column shows them: in its type, and NaN as NULL where that is wanted.
    fn shown(&self, values: ArrayRef, column: usize) -> Result<ArrayRef> {
        let data_type = self.data_type(column);
        let values = if self.nan_as_null { nan_to_null(values)? } else { values };
        if *values.data_type() == data_type {
            return Ok(values);
        }
        Ok(cast_with_options(&values, &data_type, &CastOptions::default())?)
    }

    /// The arrays that columns come from in a dataset.
    pub fn arrays(&self, ordinal: u32, columns: &[usize]) -> Vec<(&Arc<ArraySchema>, &[usize])> {
        let mut seen = BTreeSet::new();
        columns
            .iter()
            .filter_map(|&column| match self.origin(ordinal, column) {
                Origin::Array(array, dims) if seen.insert(&array.name) => Some((array, dims.as_slice())),
                _ => None,
            })
            .collect()
    }
}

/// The first index and the number of indices of a box along a dimension.
fn span(region: &Region, dim: usize) -> (usize, usize) {
    match (region.start.get(dim), region.shape.get(dim)) {
        (Some(&start), Some(&size)) => (start, size),
        _ => (0, 0),
    }
}

fn indices(start: usize, size: usize) -> ArrayRef {
    let index = |i: usize| i64::try_from(i).unwrap_or(i64::MAX);
    Arc::new(Int64Array::from_iter_values((start..start + size).map(index)))
}

fn nan_to_null(values: ArrayRef) -> Result<ArrayRef> {
    let nan = match values.data_type() {
        DataType::Float32 => BooleanArray::from_unary(values.as_primitive::<Float32Type>(), f32::is_nan),
        DataType::Float64 => BooleanArray::from_unary(values.as_primitive::<Float64Type>(), f64::is_nan),
        _ => return Ok(values),
    };
    if nan.true_count() == 0 { Ok(values) } else { Ok(nullif(&values, &nan)?) }
}

/// Repeats arrays along the dimensions of a box that they lack.
struct Broadcast<'a> {
    shape: &'a [usize],
    /// By the dimensions of an array, for each row of the box the cell of the array.
    indices: HashMap<Vec<usize>, UInt32Array>,
}

impl Broadcast<'_> {
    /// `values`, over `dims` of the box in this order, as a value for each row of the box.
    fn rows(&mut self, values: &ArrayRef, dims: &[usize]) -> Result<ArrayRef> {
        if dims.iter().copied().eq(0..self.shape.len()) {
            return Ok(Arc::clone(values));
        }
        let shape = self.shape;
        let indices = self.indices.entry(dims.to_vec()).or_insert_with(|| cells_of_rows(shape, dims));
        Ok(take(values, indices, None)?)
    }
}

/// For each row of a box of `shape`, in row-major order, the cell of an array over `dims` of it.
fn cells_of_rows(shape: &[usize], dims: &[usize]) -> UInt32Array {
    let mut strides = vec![0u32; shape.len()];
    let mut stride = 1u32;
    for &dim in dims.iter().rev() {
        if let (Some(slot), Some(&size)) = (strides.get_mut(dim), shape.get(dim)) {
            *slot = stride;
            stride = stride.saturating_mul(u32::try_from(size).unwrap_or(u32::MAX));
        }
    }
    let mut cells = vec![0u32];
    for (&size, stride) in shape.iter().zip(strides) {
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        cells = cells.into_iter().flat_map(|cell| (0..size).map(move |i| cell + i * stride)).collect();
    }
    UInt32Array::from(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_repeated_along_what_they_lack_and_transposed() {
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(0..6));
        let rows = |shape: &[usize], dims: &[usize], length: usize| {
            let mut broadcast = Broadcast { shape, indices: HashMap::new() };
            let rows = broadcast.rows(&values.slice(0, length), dims).unwrap();
            rows.as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
        };
        assert_eq!(rows(&[2, 3], &[0, 1], 6), [0, 1, 2, 3, 4, 5]);
        assert_eq!(rows(&[2, 3], &[1, 0], 6), [0, 2, 4, 1, 3, 5]);
        assert_eq!(rows(&[2, 3], &[1], 3), [0, 1, 2, 0, 1, 2]);
        assert_eq!(rows(&[2, 3], &[0], 2), [0, 0, 0, 1, 1, 1]);
        assert_eq!(rows(&[2, 3], &[], 1), [0; 6]);
        assert_eq!(rows(&[], &[], 1), [0]);
        assert_eq!(rows(&[3, 1, 2], &[2, 0], 6), [0, 3, 1, 4, 2, 5]);
    }
}
