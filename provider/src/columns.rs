//! The values of a table's columns in a box of rows.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BooleanArray, Int64Array, UInt32Array, make_array, new_null_array,
};
use arrow::buffer::Buffer;
use arrow::compute::{nullif, take};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use atlas::{
    ArrayRead, ArraySchema, AttributeValue, Catalog, ChunkGrid, Dataset, ReadMetrics, Region, Snapshot,
    VariableIndex,
};
use datafusion::common::{Result, ScalarValue};

use crate::error::from_store;
use crate::large::Held;
use crate::layout::{ColumnKind, Layout, Origin, SchemaLayout, Tile};
use crate::scan::Reading;
use crate::widen::shown;

/// A table: its layout, of one generation of a store.
#[derive(Clone, Debug)]
pub struct Table {
    /// The name, for plans.
    pub name: String,
    /// The generation.
    pub snapshot: Arc<Snapshot>,
    /// What it has.
    pub catalog: Arc<Catalog>,
    /// The rows and columns.
    pub layout: Arc<Layout>,
    /// Whether NaN is read as NULL.
    pub nan_as_null: bool,
    /// The indexes of variables that were read, by name: they stay for as long as a scan goes on.
    indexes: Arc<Mutex<HashMap<String, Arc<VariableIndex>>>>,
    /// The columns that depend on the dataset alone, one value for each dataset with rows, as they were asked for.
    of_datasets: Arc<Mutex<HashMap<usize, ArrayRef>>>,
    /// The large chunks that a scan holds on to; `None` where each is wanted once.
    pub held: Option<Arc<Held>>,
}

impl Table {
    /// A table that has read nothing yet.
    pub fn new(
        name: &str,
        snapshot: Arc<Snapshot>,
        catalog: Arc<Catalog>,
        layout: Arc<Layout>,
        nan_as_null: bool,
    ) -> Self {
        let (name, indexes, of_datasets) = (name.to_owned(), Arc::default(), Arc::default());
        Self { name, snapshot, catalog, layout, nan_as_null, indexes, of_datasets, held: None }
    }

    /// The same table for a scan, which holds what it has read of indexes for itself, and, where it
    /// wants all of them in turn, the parts of large chunks.
    pub fn for_scan(&self, all: bool) -> Self {
        Self { indexes: Arc::default(), held: all.then(Arc::default), ..self.clone() }
    }

    /// The index of a variable.
    pub async fn index(&self, variable: &str, metrics: &ReadMetrics) -> Result<Arc<VariableIndex>> {
        let held = self.indexes.lock().unwrap_or_else(PoisonError::into_inner).get(variable).cloned();
        if let Some(index) = held {
            return Ok(index);
        }
        let index = self.snapshot.index(variable, metrics).await.map_err(from_store)?;
        let mut indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        indexes.insert(variable.to_owned(), Arc::clone(&index));
        Ok(index)
    }

    /// The index of the variable that a column comes from in some box; `None` where it comes from no array.
    pub async fn index_of<'a>(
        &self,
        column: usize,
        mut tiles: impl Iterator<Item = &'a Tile> + Send,
        metrics: &ReadMetrics,
    ) -> Result<Option<Arc<VariableIndex>>> {
        let variable = tiles.find_map(|tile| match self.origin(tile.dataset, column) {
            Origin::Array(array, _) => Some(&array.name),
            _ => None,
        });
        match variable {
            Some(variable) => self.index(variable, metrics).await.map(Some),
            None => Ok(None),
        }
    }

    /// A dataset and how it gives rows.
    pub fn dataset(&self, ordinal: u32) -> Option<(Dataset<'_>, &SchemaLayout)> {
        let dataset = self.catalog.dataset(ordinal)?;
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

    /// The values of a column that depends on the dataset alone, for datasets with rows: those at these places among all
    /// of them.
    pub fn of_places(&self, column: usize, places: Range<usize>) -> Result<ArrayRef> {
        let mut known = self.of_datasets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(values) = known.get(&column) {
            return Ok(values.slice(places.start, places.len()));
        }
        let datasets: Vec<u32> = self.layout.datasets().map(|(ordinal, _)| ordinal).collect();
        let values = self.of_datasets(column, &datasets)?;
        known.insert(column, Arc::clone(&values));
        Ok(values.slice(places.start, places.len()))
    }

    /// The values of a column that depends on the dataset alone, one for each of `datasets`.
    pub fn of_datasets(&self, column: usize, datasets: &[u32]) -> Result<ArrayRef> {
        match self.layout.columns.get(column) {
            Some(ColumnKind::Attribute(_, kind)) => {
                let values = datasets.iter().map(|&ordinal| self.attribute(ordinal, column));
                kind.array(values, self.nan_as_null)
            }
            _ => {
                let name = |&ordinal: &u32| self.catalog.dataset(ordinal).map(|dataset| dataset.name());
                let names = datasets.iter().map(name);
                Ok(Arc::new(names.collect::<arrow::array::StringViewArray>()))
            }
        }
    }

    fn attribute(&self, ordinal: u32, column: usize) -> Option<AttributeValue> {
        match self.layout.columns.get(column)? {
            ColumnKind::Attribute(key, _) => self.catalog.dataset(ordinal)?.attribute(key),
            _ => None,
        }
    }

    /// The values of a column in boxes of rows: for each box its rows in row-major order, or those of them that are picked
    /// by number. What several boxes have in common is read once.
    pub async fn read(
        &self,
        column: usize,
        boxes: &[(&Tile, Option<&UInt32Array>)],
        reading: &Reading<'_>,
    ) -> Result<Vec<ArrayRef>> {
        let mut reads: Vec<ArrayRead> = Vec::new();
        // For each box that has the array, the read that is for it.
        let mut readers: Vec<Option<usize>> = vec![None; boxes.len()];
        let mut known: HashMap<(u32, Region), usize> = HashMap::new();
        let mut variable = None;
        for ((tile, _), reader) in boxes.iter().zip(&mut readers) {
            let Origin::Array(array, dims) = self.origin(tile.dataset, column) else { continue };
            let region = project(&tile.region, dims);
            let whole = dims.len() == tile.region.shape.len();
            let mut add = |region: Region| {
                reads.push(ArrayRead { dataset: tile.dataset, region });
                reads.len() - 1
            };
            // Boxes share no cells of an array with all their dimensions.
            let read = if whole {
                add(region)
            } else {
                *known.entry((tile.dataset, region.clone())).or_insert_with(|| add(region))
            };
            *reader = Some(read);
            variable = Some(&array.name);
        }
        let arrays = match variable {
            Some(variable) => self.read_reserved(column, variable, &reads, reading).await?,
            None => Vec::new(),
        };
        let mut rows = Vec::with_capacity(boxes.len());
        // Boxes of one dataset share its name.
        let mut constant: Option<(u32, ArrayRef)> = None;
        for ((tile, picked), reader) in boxes.iter().zip(readers) {
            let count = picked.map_or(tile.region.cells(), |picked| picked.len());
            let shape = &tile.region.shape;
            rows.push(match self.origin(tile.dataset, column) {
                Origin::Missing => new_null_array(&self.data_type(column), count),
                Origin::Name | Origin::Attribute => match &constant {
                    Some((dataset, values)) if *dataset == tile.dataset && values.len() >= count => {
                        values.slice(0, count)
                    }
                    _ => {
                        let values = self.constant(column, tile.dataset, count)?;
                        constant = Some((tile.dataset, Arc::clone(&values)));
                        values
                    }
                },
                Origin::Index(dim) => {
                    let (start, size) = span(&tile.region, *dim);
                    repeat(self.shown(indices(start, size), column)?, &[*dim], shape, *picked)?
                }
                Origin::Array(_, dims) => {
                    let values = reader.and_then(|reader| arrays.get(reader).cloned());
                    let values = values.unwrap_or_else(|| new_null_array(&self.data_type(column), 0));
                    repeat(values, dims, shape, *picked)?
                }
            });
        }
        Ok(rows)
    }

    /// Regions of the arrays of a variable, as a column shows them.
    pub async fn read_arrays(
        &self,
        column: usize,
        variable: &str,
        reads: &[ArrayRead],
        metrics: &ReadMetrics,
    ) -> Result<Vec<ArrayRef>> {
        let index = self.index(variable, metrics).await?;
        let arrays = self.snapshot.read_from(&index, variable, reads, metrics).await.map_err(from_store)?;
        let may_be_nan = index.has_nan();
        let shown = arrays.into_iter().map(|array| self.shown_as(array, column, may_be_nan));
        shown.collect()
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
            let arrays = self.read_arrays(column, &variable, &reads, metrics).await?;
            for (array, number) in arrays.into_iter().zip(readers) {
                if let Some(slot) = shown.get_mut(number) {
                    *slot = Some(array);
                }
            }
        }
        Ok(shown.into_iter().flatten().collect())
    }

    /// A column that depends on the dataset alone, as `count` rows.
    pub fn constant(&self, column: usize, ordinal: u32, count: usize) -> Result<ArrayRef> {
        let scalar = match self.layout.columns.get(column) {
            Some(ColumnKind::Attribute(_, kind)) => {
                kind.scalar(self.attribute(ordinal, column), self.nan_as_null)?
            }
            _ => {
                ScalarValue::Utf8View(self.catalog.dataset(ordinal).map(|dataset| dataset.name().to_owned()))
            }
        };
        repeat(scalar.to_array()?, &[], &[count], None)
    }

    /// Values that are no NaN, in the type of a column.
    fn shown(&self, values: ArrayRef, column: usize) -> Result<ArrayRef> {
        self.shown_as(values, column, false)
    }

    /// Values as a column shows them: in its type, and NaN as NULL where that is wanted.
    fn shown_as(&self, values: ArrayRef, column: usize, may_be_nan: bool) -> Result<ArrayRef> {
        let data_type = self.data_type(column);
        let values = if self.nan_as_null && may_be_nan { nan_to_null(values)? } else { values };
        if *values.data_type() == data_type {
            return Ok(values);
        }
        shown(&values, &data_type)
    }
}

/// True for datasets whose arrays have the same dimensions, and the same sizes along them.
pub fn are_alike(one: Dataset<'_>, other: Dataset<'_>) -> bool {
    one.schema() == other.schema() && one.sizes().eq(other.sizes())
}

/// The chunks of the array behind a column, in one dataset after the other: those that are alike share them.
pub struct Grids<'a> {
    table: &'a Table,
    column: usize,
    last: Option<(Dataset<'a>, ChunkGrid)>,
}

impl<'a> Grids<'a> {
    /// The chunks behind a column.
    pub fn new(table: &'a Table, column: usize) -> Self {
        Self { table, column, last: None }
    }

    /// The array in a dataset, its dimensions among those of the dataset's rows, and its chunks.
    pub fn of(&mut self, ordinal: u32) -> Option<(&'a Arc<ArraySchema>, &'a [usize], &ChunkGrid)> {
        let (dataset, layout) = self.table.dataset(ordinal)?;
        let Origin::Array(array, dims) = layout.origins.get(self.column)? else { return None };
        if self.last.as_ref().is_none_or(|(last, _)| !are_alike(*last, dataset)) {
            self.last = Some((dataset, self.table.catalog.chunk_grid(dataset, array)));
        }
        self.last.as_ref().map(|(_, grid)| (array, dims.as_slice(), grid))
    }

    /// True where a dataset has nothing for the column.
    pub fn is_missing(&self, ordinal: u32) -> bool {
        matches!(self.table.origin(ordinal, self.column), Origin::Missing)
    }

    /// The number of chunks that boxes have cells in, each counted for each box.
    pub fn crossed<'t>(mut self, tiles: impl Iterator<Item = &'t Tile>) -> usize {
        let crossed = tiles.map(|tile| match self.of(tile.dataset) {
            Some((_, dims, grid)) => grid.crossed_chunks(dims.iter().map(|&dim| span(&tile.region, dim))),
            None => 0,
        });
        crossed.sum()
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

/// `values`, over `dims` of a box of `shape` in this order, as a value for each row of the box, or for each picked row:
/// repeated along the dimensions that they lack.
fn repeat(
    values: ArrayRef,
    dims: &[usize],
    shape: &[usize],
    picked: Option<&UInt32Array>,
) -> Result<ArrayRef> {
    let whole = dims.iter().copied().eq(0..shape.len());
    Ok(match picked {
        None if whole => values,
        None => match repeated(&values, dims, shape) {
            Some(rows) => rows?,
            None => take(&values, &cells_of_rows(shape, dims), None)?,
        },
        Some(picked) if whole => take(&values, picked, None)?,
        Some(picked) => take(&values, &cells_of(picked, shape, dims), None)?,
    })
}

/// As [`repeat`] for all rows, by copying bytes; `None` for values that are missing, or no numbers of four or eight bytes, or must be
/// transposed.
fn repeated(values: &ArrayRef, dims: &[usize], shape: &[usize]) -> Option<Result<ArrayRef>> {
    if values.null_count() > 0 || !dims.is_sorted() || shape.contains(&0) {
        return None;
    }
    let data = values.to_data();
    let bytes = data.buffers().first()?;
    let place = data.offset()..data.offset() + data.len();
    let rows = match data.data_type().primitive_width()? {
        4 => Buffer::from_vec(spread(bytes.typed_data::<u32>().get(place)?, dims, shape)),
        8 => Buffer::from_vec(spread(bytes.typed_data::<u64>().get(place)?, dims, shape)),
        _ => return None,
    };
    let rows = ArrayData::builder(data.data_type().clone()).len(shape.iter().product()).add_buffer(rows);
    Some(rows.build().map(make_array).map_err(Into::into))
}

/// Values over `dims` of a box of `shape`, ascending, as a value for each row of the box.
fn spread<T: Copy>(values: &[T], dims: &[usize], shape: &[usize]) -> Vec<T> {
    let mut rows = values.to_vec();
    // From the inside out: the rows that belong together by now are a unit.
    let mut unit = 1;
    for (dim, &size) in shape.iter().enumerate().rev() {
        if !dims.contains(&dim) && size > 1 {
            let mut longer = Vec::with_capacity(rows.len() * size);
            if unit == 1 {
                rows.iter().for_each(|&value| longer.extend(std::iter::repeat_n(value, size)));
            } else {
                let units = rows.chunks(unit).flat_map(|unit| std::iter::repeat_n(unit, size));
                units.for_each(|unit| longer.extend_from_slice(unit));
            }
            rows = longer;
        }
        unit *= size;
    }
    rows
}

/// For some rows of a box of `shape`, by number, the cell of an array over `dims` of it.
fn cells_of(rows: &UInt32Array, shape: &[usize], dims: &[usize]) -> UInt32Array {
    let size = |dim: usize| shape.get(dim).and_then(|&size| u32::try_from(size).ok()).unwrap_or(1).max(1);
    // For each dimension of the array, the rows from one index to the next, and its size.
    let steps = |&dim: &usize| ((dim + 1..shape.len()).map(size).product::<u32>().max(1), size(dim));
    let steps: Vec<(u32, u32)> = dims.iter().map(steps).collect();
    let cell = |&row: &u32| steps.iter().fold(0, |cell, (step, size)| cell * size + row / step % size);
    UInt32Array::from_iter_values(rows.values().iter().map(cell))
}

/// The part of a box that an array over `dims` of it has.
pub fn project(region: &Region, dims: &[usize]) -> Region {
    let spans = dims.iter().map(|&dim| span(region, dim));
    Region {
        start: spans.clone().map(|(start, _)| start).collect(),
        shape: spans.map(|(_, size)| size).collect(),
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
        let mut longer = Vec::with_capacity(cells.len() * size as usize);
        cells.into_iter().for_each(|cell| longer.extend((0..size).map(|i| cell + i * stride)));
        cells = longer;
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
            let rows = repeat(values.slice(0, length), dims, shape, None).unwrap();
            let some = UInt32Array::from_iter_values((0..rows.len() as u32).step_by(2));
            let picked = repeat(values.slice(0, length), dims, shape, Some(&some)).unwrap();
            assert_eq!(&picked, &take(&rows, &some, None).unwrap());
            rows.as_primitive::<arrow::datatypes::Int64Type>().values().to_vec()
        };
        assert_eq!(rows(&[2, 3], &[0, 1], 6), [0, 1, 2, 3, 4, 5]);
        assert_eq!(rows(&[2, 3], &[1, 0], 6), [0, 2, 4, 1, 3, 5]);
        assert_eq!(rows(&[2, 3], &[1], 3), [0, 1, 2, 0, 1, 2]);
        assert_eq!(rows(&[2, 3], &[0], 2), [0, 0, 0, 1, 1, 1]);
        assert_eq!(rows(&[2, 3], &[], 1), [0; 6]);
        assert_eq!(rows(&[], &[], 1), [0]);
        assert_eq!(rows(&[3, 1, 2], &[2, 0], 6), [0, 3, 1, 4, 2, 5]);
        assert_eq!(rows(&[2, 0, 2], &[0], 2), [0; 0]);
    }

    #[test]
    fn values_of_any_width_are_repeated() {
        let (dims, shape) = ([1], [2, 3, 2]);
        let texts = ["a", "longer than what a view holds", "b", "c"];
        let arrays: [ArrayRef; 6] = [
            Arc::new(Int64Array::from_iter_values(0..4)),
            Arc::new(arrow::array::Float32Array::from(vec![0.5, 1.5, 2.5, 3.5])),
            Arc::new(arrow::array::Int16Array::from_iter_values(0..4)),
            Arc::new(arrow::array::StringViewArray::from_iter_values(texts)),
            Arc::new(BooleanArray::from(vec![true, false, true, true])),
            Arc::new(Int64Array::from(vec![Some(1), None, Some(3), None])),
        ];
        for values in arrays {
            let values = values.slice(1, 3);
            let rows = repeat(Arc::clone(&values), &dims, &shape, None).unwrap();
            assert_eq!(&rows, &take(&values, &cells_of_rows(&shape, &dims), None).unwrap());
        }
    }
}
