//! One dataset of a store.

use arrow::array::ArrayRef;
use ndarray::{ArrayD, ArrayViewD};

use crate::error::{Error, Result};
use crate::format::catalog::{Catalog, Dataset};
use crate::model::dtype::Element;
use crate::model::grid::Region;
use crate::model::schema::ArraySchema;
use crate::model::schema::{Attributes, default_chunk};
use crate::model::statistics::Statistics;
use crate::model::value::AttributeValue;
use crate::read::snapshot::{ArrayRead, Snapshot};
use crate::storage::files::ReadMetrics;
use crate::store::Atlas;

/// A dataset: its arrays and attributes.
///
/// What is written here is pending until [`Atlas::flush`]; what is read is what was committed.
#[derive(Clone)]
pub struct DatasetView {
    atlas: Atlas,
    name: String,
}

impl DatasetView {
    pub(crate) fn new(atlas: Atlas, name: &str) -> Self {
        Self { atlas, name: name.to_owned() }
    }

    /// The dataset's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Defines an array of `shape` over `dims`, cut into chunks of `chunk_shape` or, without one, of a
    /// sensible size. A cell that equals `fill` is missing.
    ///
    /// # Errors
    /// [`Error::ArrayExists`], [`Error::DimensionSize`] where another array has one of these dimensions with
    /// another size, [`Error::Shape`] where the arguments do not fit together, [`Error::Name`].
    pub async fn define_array<T: Element>(
        &self,
        name: &str,
        dims: &[&str],
        shape: &[usize],
        chunk_shape: Option<&[usize]>,
        fill: Option<T>,
    ) -> Result<()> {
        let mut schema = ArraySchema::new(name, T::DTYPE, dims);
        schema.chunk = chunk_shape.map_or_else(|| default_chunk(shape), <[usize]>::to_vec);
        schema.fill = fill.map(Element::into_value);
        self.define(schema, shape).await
    }

    /// Defines an array as `schema` describes it.
    ///
    /// # Errors
    /// Those of [`define_array`](Self::define_array).
    pub async fn define(&self, schema: ArraySchema, shape: &[usize]) -> Result<()> {
        self.atlas.change(|pending| pending.define(&self.name, schema, shape)).await
    }

    /// Takes an array away.
    ///
    /// # Errors
    /// [`Error::NoArray`].
    pub async fn delete_array(&self, name: &str) -> Result<()> {
        self.atlas.change(|pending| pending.delete_array(&self.name, name)).await
    }

    /// Makes a dimension `size` long, and with it every array over it. The new cells are missing until they are
    /// written.
    ///
    /// # Errors
    /// [`Error::NoDimension`], [`Error::Shrink`], [`Error::Shape`] where an array would be too large.
    pub async fn extend(&self, dimension: &str, size: usize) -> Result<()> {
        self.atlas.change(|pending| pending.extend(&self.name, dimension, size)).await
    }

    /// Writes the region that starts at `start` and has the shape of `values`.
    ///
    /// Cells that were written before are overwritten. A chunk is encoded when its last cell is written; of chunks
    /// that are cut, the other cells are read again in the flush.
    ///
    /// # Errors
    /// [`Error::NoArray`], [`Error::WrongType`], [`Error::Shape`] where the region lies outside the array.
    pub async fn write_array<T: Element>(
        &self,
        name: &str,
        start: &[usize],
        values: ArrayViewD<'_, T>,
    ) -> Result<()> {
        let cells = T::to_arrow(values.iter().cloned());
        self.write_arrow(name, start, values.shape(), cells).await
    }

    /// Writes the region of `shape` that starts at `start`: its cells in row-major order, missing ones null.
    ///
    /// # Errors
    /// Those of [`write_array`](Self::write_array).
    pub async fn write_arrow(
        &self,
        name: &str,
        start: &[usize],
        shape: &[usize],
        cells: ArrayRef,
    ) -> Result<()> {
        self.atlas.write(&self.name, name, Region::new(start, shape), cells).await
    }

    /// Reads the region of `shape` that starts at `start`. A missing cell is the array's fill value, or zero
    /// or empty where it has none.
    ///
    /// # Errors
    /// [`Error::NoArray`], [`Error::WrongType`], [`Error::Shape`], [`Error::NotFlushed`], and those of the
    /// storage.
    pub async fn read_array<T: Element>(
        &self,
        name: &str,
        start: &[usize],
        shape: &[usize],
    ) -> Result<ArrayD<T>> {
        let schema = self.schema(name).await?;
        schema.check_type::<T>(&self.name)?;
        let missing = schema.fill.as_ref().and_then(T::from_value).unwrap_or_default();
        let cells = self.read_arrow(name, start, shape).await?;
        ArrayD::from_shape_vec(shape, T::from_arrow(&cells, &missing)).map_err(|e| Error::Shape {
            dataset: self.name.clone(),
            array: name.to_owned(),
            reason: e.to_string(),
        })
    }

    /// Reads the region of `shape` that starts at `start`: its cells in row-major order, missing ones null.
    ///
    /// # Errors
    /// Those of [`read_array`](Self::read_array).
    pub async fn read_arrow(&self, name: &str, start: &[usize], shape: &[usize]) -> Result<ArrayRef> {
        let snapshot = self.atlas.snapshot();
        let (dataset, _) = self.committed(snapshot.catalog()).await?;
        let reads = [ArrayRead { dataset, region: Region::new(start, shape) }];
        let cells = snapshot.read(name, &reads, &ReadMetrics::default()).await?.pop();
        cells.ok_or_else(|| Error::NoArray { dataset: self.name.clone(), array: name.to_owned() })
    }

    /// Statistics of all cells of an array, from those of its chunks: no value is read.
    ///
    /// # Errors
    /// [`Error::NoArray`], [`Error::NotFlushed`], and those of the storage.
    pub async fn array_stats(&self, name: &str) -> Result<Statistics> {
        let snapshot = self.atlas.snapshot();
        let (ordinal, dataset) = self.committed(snapshot.catalog()).await?;
        let array = find(snapshot.catalog(), &dataset, name)?;
        statistics(&snapshot, ordinal, &dataset, array).await
    }

    /// The arrays, in the order in which they were defined.
    ///
    /// # Errors
    /// [`Error::NotFlushed`].
    pub async fn arrays(&self) -> Result<Vec<ArraySchema>> {
        let snapshot = self.atlas.snapshot();
        let catalog = snapshot.catalog();
        let (_, dataset) = self.committed(catalog).await?;
        Ok(catalog.arrays(catalog.schema(&dataset)).map(|array| ArraySchema::clone(array)).collect())
    }

    /// The type, dimensions, fill value and attributes of an array.
    ///
    /// # Errors
    /// [`Error::NoArray`], [`Error::NotFlushed`].
    pub async fn schema(&self, name: &str) -> Result<ArraySchema> {
        let snapshot = self.atlas.snapshot();
        let (_, dataset) = self.committed(snapshot.catalog()).await?;
        find(snapshot.catalog(), &dataset, name).cloned()
    }

    /// The shape of an array.
    ///
    /// # Errors
    /// [`Error::NoArray`], [`Error::NotFlushed`].
    pub async fn shape(&self, name: &str) -> Result<Vec<usize>> {
        let snapshot = self.atlas.snapshot();
        let (_, dataset) = self.committed(snapshot.catalog()).await?;
        Ok(snapshot.catalog().shape(&dataset, find(snapshot.catalog(), &dataset, name)?))
    }

    /// The attributes of the dataset, in the order in which they were set.
    ///
    /// # Errors
    /// [`Error::NotFlushed`].
    pub async fn attributes(&self) -> Result<Attributes> {
        let snapshot = self.atlas.snapshot();
        let (_, dataset) = self.committed(snapshot.catalog()).await?;
        let attributes = snapshot.catalog().attributes(&dataset);
        Ok(attributes.map(|(key, value)| (key.to_owned(), value.clone())).collect())
    }

    /// Sets an attribute of the dataset.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub async fn set_attribute(&self, key: &str, value: impl Into<AttributeValue>) -> Result<()> {
        self.atlas.change(|pending| pending.set_attribute(&self.name, key, value.into())).await
    }

    /// Takes an attribute of the dataset away.
    ///
    /// # Errors
    /// [`Error::NoAttribute`].
    pub async fn remove_attribute(&self, key: &str) -> Result<()> {
        self.atlas.change(|pending| pending.remove_attribute(&self.name, key)).await
    }

    /// Sets an attribute of an array.
    ///
    /// # Errors
    /// [`Error::NoArray`], [`Error::Name`].
    pub async fn set_array_attribute(
        &self,
        array: &str,
        key: &str,
        value: impl Into<AttributeValue>,
    ) -> Result<()> {
        let value = value.into();
        self.atlas.change(|pending| pending.set_array_attribute(&self.name, array, key, value)).await
    }

    /// Takes an attribute of an array away.
    ///
    /// # Errors
    /// [`Error::NoArray`], [`Error::NoAttribute`].
    pub async fn remove_array_attribute(&self, array: &str, key: &str) -> Result<()> {
        self.atlas.change(|pending| pending.remove_array_attribute(&self.name, array, key)).await
    }

    async fn committed(&self, catalog: &Catalog) -> Result<(u32, Dataset)> {
        self.atlas.committed(catalog, &self.name).await
    }
}

fn find<'a>(catalog: &'a Catalog, dataset: &Dataset, name: &str) -> Result<&'a ArraySchema> {
    let array = catalog.array(dataset, name).map(AsRef::as_ref);
    array.ok_or_else(|| Error::NoArray { dataset: dataset.name.clone(), array: name.to_owned() })
}

async fn statistics(
    snapshot: &Snapshot,
    ordinal: u32,
    dataset: &Dataset,
    array: &ArraySchema,
) -> Result<Statistics> {
    let index = snapshot.index(&array.name, &ReadMetrics::default()).await?;
    let grid = snapshot.chunk_grid(dataset, array);
    let all = Region::all(&snapshot.catalog().shape(dataset, array));
    Ok(index.statistics_of(ordinal, &grid, &all))
}
