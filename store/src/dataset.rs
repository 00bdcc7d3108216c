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
/// Changes are pending until [`Atlas::flush`]. Reads show committed data together with the pending
/// changes of this handle of the store.
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

/// The metadata of a dataset: everything but its values.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct DatasetMeta {
    /// Its arrays with their shapes, in the order in which they were defined.
    pub arrays: Vec<(Arc<ArraySchema>, Vec<usize>)>,
    /// Its attributes, in the order in which they were set.
    pub attributes: Attributes,
}

/// The metadata of an array: everything but its values.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ArrayMeta {
    /// Its type, dimensions, fill value and attributes.
    pub schema: Arc<ArraySchema>,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The shape of its chunks; chunks at the far edges may be smaller.
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

    /// Defines an array of `shape` over `dims`, divided into chunks of `chunk_shape`. Without a
    /// chunk shape, Atlas chooses one. A cell that equals `fill` is missing.
    ///
    /// A dimension belongs to the dataset, and has one size. If another array has one of `dims`
    /// with another size, this array gets a dimension of its own, whose name ends in a number:
    /// `x_2`. [`array_meta`](Self::array_meta) returns the names of the dimensions.
    ///
    /// # Errors
    /// [`Error::ArrayExists`], [`Error::Name`], and [`Error::Shape`] if the arguments do not fit
    /// together.
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

    /// Deletes an array.
    ///
    /// # Errors
    /// [`Error::NoArray`].
    pub async fn delete_array(&self, name: &str) -> Result<()> {
        let mut writers = self.atlas.writers().await;
        let (array, ordinal) = self.atlas.pending().delete_array(&self.name, name)?;
        writers.forget(&array, ordinal);
        Ok(())
    }

    /// Extends a dimension to `size`, and with it every array over it. The new cells are missing
    /// until they are written.
    ///
    /// # Errors
    /// [`Error::NoDimension`], [`Error::Shrink`], [`Error::Shape`] if an array would become too
    /// large.
    pub async fn extend(&self, dimension: &str, size: usize) -> Result<()> {
        let _turn = self.atlas.writers().await;
        self.atlas.pending().extend(&self.name, dimension, size)
    }

    /// Writes the region that starts at `start` and has the shape of `values`.
    ///
    /// Values that were written before are overwritten. A chunk is encoded once its last cell is
    /// written. Of partially overwritten chunks, the flush reads the other cells again.
    ///
    /// # Errors
    /// [`Error::NoArray`], [`Error::WrongType`], [`Error::Shape`] if the region lies outside the
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

    /// Reads the region of `shape` that starts at `start`, or the whole array if both are empty. A
    /// missing cell is read as the array's fill value, or as zero or empty if the array has none.
    /// `None` if the dataset has no such array.
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

    /// Reads the region of `shape` that starts at `start`, or the whole array if both are empty:
    /// its cells in row-major order, missing ones null.
    ///
    /// # Errors
    /// [`Error::NoArray`], and those of [`read_array`](Self::read_array).
    pub async fn read_arrow(&self, name: &str, start: &[usize], shape: &[usize]) -> Result<ArrayRef> {
        let (_, whole) = self.array(name)?;
        self.atlas.cells(&self.name, name, region(start, shape, &whole)).await
    }

    /// Statistics of all cells of an array, computed from those of its chunks, without reading
    /// committed values.
    ///
    /// # Errors
    /// [`Error::NoArray`], and those of the storage.
    pub async fn array_stats(&self, name: &str) -> Result<Statistics> {
        self.atlas.statistics(&self.name, name).await
    }

    /// Its arrays and attributes.
    ///
    /// # Errors
    /// [`Error::NoDataset`] if it was deleted.
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

    /// The metadata of an array: everything but its values.
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

    /// Removes an attribute of the dataset.
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

    /// Removes an attribute of an array.
    ///
    /// # Errors
    /// [`Error::NoArray`], [`Error::NoAttribute`].
    pub fn remove_array_attribute(&self, array: &str, key: &str) -> Result<()> {
        self.atlas.pending().remove_array_attribute(&self.name, array, key)
    }
}

/// The region of an array of shape `whole` that `start` and `shape` ask for.
fn region(start: &[usize], shape: &[usize], whole: &[usize]) -> Region {
    if start.is_empty() && shape.is_empty() { Region::all(whole) } else { Region::new(start, shape) }
}
