//! One dataset of a store.

use std::sync::Arc;

use arrow::array::ArrayRef;
#[cfg(feature = "ndarray")]
use ndarray::{ArrayD, ArrayViewD};

#[cfg(feature = "ndarray")]
use crate::error::Error;
use crate::error::Result;
use crate::model::dtype::Element;
use crate::model::grid::Region;
use crate::model::schema::{ArraySchema, Attributes, default_chunk};
use crate::model::statistics::Statistics;
use crate::model::value::{AttributeValue, Value};
use crate::store::Atlas;

/// A dataset: its arrays and attributes.
///
/// What is written here is pending until [`Atlas::flush`]. What is read is what was committed, with
/// what is pending in this handle of the store.
#[derive(Clone)]
pub struct DatasetView {
    atlas: Atlas,
    name: String,
}

/// Names of dimensions: a list of `&str` or of `String`.
pub trait Names: sealed::Sealed {
    #[doc(hidden)]
    fn into_names(self) -> Vec<String>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for Vec<String> {}
    impl Sealed for &[&str] {}
    impl<const N: usize> Sealed for &[&str; N] {}
    impl<const N: usize> Sealed for [&str; N] {}
}

impl Names for Vec<String> {
    fn into_names(self) -> Vec<String> {
        self
    }
}

impl Names for &[&str] {
    fn into_names(self) -> Vec<String> {
        self.iter().map(ToString::to_string).collect()
    }
}

impl<const N: usize> Names for &[&str; N] {
    fn into_names(self) -> Vec<String> {
        self.as_slice().into_names()
    }
}

impl<const N: usize> Names for [&str; N] {
    fn into_names(self) -> Vec<String> {
        self.as_slice().into_names()
    }
}

/// What is known of a dataset but for its values.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct DatasetMeta {
    /// Its arrays with their shapes, in the order in which they were defined.
    pub arrays: Vec<(Arc<ArraySchema>, Vec<usize>)>,
    /// Its attributes, in the order in which they were set.
    pub attributes: Attributes,
}

/// What is known of an array but for its values.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ArrayMeta {
    /// Its type, dimensions, fill value and attributes.
    pub schema: Arc<ArraySchema>,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The shape of its chunks, but for those at the far edges.
    pub chunk_shape: Vec<usize>,
}

impl DatasetView {
    pub(crate) fn new(atlas: Atlas, name: &str) -> Self {
        Self { atlas, name: name.to_owned() }
    }

    /// The dataset's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Defines an array of `shape` over `dims`, cut into chunks of `chunk_shape` or, without one,
    /// of a sensible size. A cell that equals `fill` is missing.
    ///
    /// A dimension belongs to the dataset, and has one size. Where another array has one of `dims`
    /// with another size, this array gets one of its own, named with a number: `x_2`.
    /// [`array_meta`](Self::array_meta) tells.
    ///
    /// # Errors
    /// [`Error::ArrayExists`], [`Error::Shape`] where the arguments do not fit together,
    /// [`Error::Name`].
    pub fn define_array<T: Element>(
        &self,
        name: &str,
        dims: impl Names,
        shape: impl AsRef<[usize]>,
        chunk_shape: Option<Vec<usize>>,
        fill: Option<T>,
    ) -> Result<()> {
        let (dims, shape) = (dims.into_names(), shape.as_ref());
        let mut schema = ArraySchema { dims, ..ArraySchema::new(name, T::DTYPE, &[]) };
        schema.chunk = chunk_shape.unwrap_or_else(|| default_chunk(shape));
        schema.fill = fill.map(Element::into_value);
        self.define(schema, shape)
    }

    /// Defines an array as `schema` describes it.
    ///
    /// # Errors
    /// Those of [`define_array`](Self::define_array).
    pub fn define(&self, schema: ArraySchema, shape: &[usize]) -> Result<()> {
        self.atlas.pending().define(&self.name, schema, shape)
    }

    /// Takes an array away.
    ///
    /// # Errors
    /// [`Error::NoArray`].
    pub async fn delete_array(&self, name: &str) -> Result<()> {
        let mut writers = self.atlas.writers().await;
        let (array, ordinal) = self.atlas.pending().delete_array(&self.name, name)?;
        writers.forget(&array, ordinal);
        Ok(())
    }

    /// Makes a dimension `size` long, and with it every array over it. The new cells are missing
    /// until they are written.
    ///
    /// # Errors
    /// [`Error::NoDimension`], [`Error::Shrink`], [`Error::Shape`] where an array would be too
    /// large.
    pub async fn extend(&self, dimension: &str, size: usize) -> Result<()> {
        let _turn = self.atlas.writers().await;
        self.atlas.pending().extend(&self.name, dimension, size)
    }

    /// Writes the region that starts at `start` and has the shape of `values`.
    ///
    /// Cells that were written before are overwritten. A chunk is encoded when its last cell is
    /// written; of chunks that are cut, the other cells are read again in the flush.
    ///
    /// # Errors
    /// [`Error::NoArray`], [`Error::WrongType`], [`Error::Shape`] where the region lies outside the
    /// array.
    #[cfg(feature = "ndarray")]
    pub async fn write_array<T: Element>(
        &self,
        name: &str,
        start: impl AsRef<[usize]>,
        values: ArrayViewD<'_, T>,
    ) -> Result<()> {
        let cells = T::to_arrow(values.iter().cloned());
        self.write_arrow(name, start.as_ref(), values.shape(), cells).await
    }

    /// Writes the region of `shape` that starts at `start`: its cells in row-major order, missing
    /// ones null.
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

    /// Reads the region of `shape` that starts at `start`, or the whole array where both are empty.
    /// A missing cell is the array's fill value, or zero or empty where it has none. `None` where
    /// the dataset has no such array.
    ///
    /// # Errors
    /// [`Error::WrongType`], [`Error::Shape`], and those of the storage.
    #[cfg(feature = "ndarray")]
    pub async fn read_array<T: Element>(
        &self,
        name: &str,
        start: impl AsRef<[usize]>,
        shape: impl AsRef<[usize]>,
    ) -> Result<Option<ArrayD<T>>> {
        let (schema, whole) = match self.array(name) {
            Err(Error::NoArray { .. }) => return Ok(None),
            found => found?,
        };
        schema.check_type::<T>(&self.name)?;
        let missing = schema.fill.as_ref().and_then(T::from_value).unwrap_or_default();
        let region = region(start.as_ref(), shape.as_ref(), &whole);
        let shape = region.shape.clone();
        let cells = self.atlas.cells(&self.name, name, region).await?;
        let array = ArrayD::from_shape_vec(shape, T::from_arrow(&cells, &missing));
        array.map(Some).map_err(|e| Error::Shape {
            dataset: self.name.clone(),
            array: name.to_owned(),
            reason: e.to_string(),
        })
    }

    /// Reads the region of `shape` that starts at `start`, or the whole array where both are empty:
    /// its cells in row-major order, missing ones null.
    ///
    /// # Errors
    /// [`Error::NoArray`], and those of [`read_array`](Self::read_array).
    pub async fn read_arrow(&self, name: &str, start: &[usize], shape: &[usize]) -> Result<ArrayRef> {
        let (_, whole) = self.array(name)?;
        self.atlas.cells(&self.name, name, region(start, shape, &whole)).await
    }

    /// Statistics of all cells of an array, from those of its chunks: no committed value is read.
    ///
    /// # Errors
    /// [`Error::NoArray`], and those of the storage.
    pub async fn array_stats(&self, name: &str) -> Result<Statistics> {
        self.atlas.statistics(&self.name, name).await
    }

    /// Its arrays and attributes.
    ///
    /// # Errors
    /// [`Error::NoDataset`] where it was deleted.
    pub fn meta(&self) -> Result<DatasetMeta> {
        let found = self.atlas.pending().describe(&self.name)?;
        Ok(DatasetMeta { arrays: found.arrays, attributes: found.attributes })
    }

    /// The arrays, in the order in which they were defined.
    ///
    /// # Errors
    /// Those of [`meta`](Self::meta).
    pub fn arrays(&self) -> Result<Vec<ArraySchema>> {
        Ok(self.meta()?.arrays.into_iter().map(|(array, _)| Arc::unwrap_or_clone(array)).collect())
    }

    /// The names of the arrays, in the order in which they were defined.
    ///
    /// # Errors
    /// Those of [`meta`](Self::meta).
    pub fn list_arrays(&self) -> Result<Vec<String>> {
        Ok(self.meta()?.arrays.into_iter().map(|(array, _)| array.name.clone()).collect())
    }

    fn array(&self, name: &str) -> Result<(Arc<ArraySchema>, Vec<usize>)> {
        self.atlas.pending().array(&self.name, name)
    }

    /// What is known of an array but for its values.
    ///
    /// # Errors
    /// [`Error::NoArray`].
    pub fn array_meta(&self, name: &str) -> Result<ArrayMeta> {
        let (schema, shape) = self.array(name)?;
        let chunk_shape = schema.chunk_shape(&shape);
        Ok(ArrayMeta { schema, shape, chunk_shape })
    }

    /// The type, dimensions, fill value and attributes of an array.
    ///
    /// # Errors
    /// [`Error::NoArray`].
    pub fn schema(&self, name: &str) -> Result<ArraySchema> {
        Ok(Arc::unwrap_or_clone(self.array(name)?.0))
    }

    /// The shape of an array.
    ///
    /// # Errors
    /// [`Error::NoArray`].
    pub fn shape(&self, name: &str) -> Result<Vec<usize>> {
        Ok(self.array(name)?.1)
    }

    /// The value that stands for a missing cell of an array; `None` where it has none.
    ///
    /// # Errors
    /// [`Error::NoArray`].
    pub fn array_fill_value(&self, name: &str) -> Result<Option<Value>> {
        Ok(self.array(name)?.0.fill.clone())
    }

    /// The attributes of the dataset, in the order in which they were set.
    ///
    /// # Errors
    /// Those of [`meta`](Self::meta).
    pub fn attributes(&self) -> Result<Attributes> {
        Ok(self.meta()?.attributes)
    }

    /// An attribute of the dataset; `None` where it has no such attribute.
    ///
    /// # Errors
    /// Those of [`meta`](Self::meta).
    pub fn get_attribute(&self, key: &str) -> Result<Option<AttributeValue>> {
        Ok(self.attributes()?.into_iter().find(|(name, _)| name == key).map(|(_, value)| value))
    }

    /// An attribute of an array; `None` where it has no such attribute.
    ///
    /// # Errors
    /// [`Error::NoArray`].
    pub fn get_array_attribute(&self, array: &str, key: &str) -> Result<Option<AttributeValue>> {
        Ok(self.array(array)?.0.attribute(key).cloned())
    }

    /// Sets an attribute of the dataset.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn set_attribute(&self, key: &str, value: impl Into<AttributeValue>) -> Result<()> {
        self.atlas.pending().set_attribute(&self.name, key, value.into())
    }

    /// Takes an attribute of the dataset away.
    ///
    /// # Errors
    /// [`Error::NoAttribute`].
    pub fn remove_attribute(&self, key: &str) -> Result<()> {
        self.atlas.pending().remove_attribute(&self.name, key)
    }

    /// Sets an attribute of an array.
    ///
    /// # Errors
    /// [`Error::NoArray`], [`Error::Name`].
    pub fn set_array_attribute(
        &self,
        array: &str,
        key: &str,
        value: impl Into<AttributeValue>,
    ) -> Result<()> {
        self.atlas.pending().set_array_attribute(&self.name, array, key, value.into())
    }

    /// Takes an attribute of an array away.
    ///
    /// # Errors
    /// [`Error::NoArray`], [`Error::NoAttribute`].
    pub fn remove_array_attribute(&self, array: &str, key: &str) -> Result<()> {
        self.atlas.pending().remove_array_attribute(&self.name, array, key)
    }
}

/// The region that is asked for of an array of shape `whole`.
fn region(start: &[usize], shape: &[usize], whole: &[usize]) -> Region {
    if start.is_empty() && shape.is_empty() { Region::all(whole) } else { Region::new(start, shape) }
}
