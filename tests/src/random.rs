//! Random stores, and a plain model of their tables.
//!
//! The model knows nothing of chunks, blocks, tiles or pruning. For each dataset, it enumerates the
//! cells of the grid with nested loops and looks up every value, as the definition of a table says.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, SchemaRef};
use atlas::{ArraySchema, Atlas, AttributeValue, DType, Result, Value};

/// An array of the model: all its values, in row-major order.
#[derive(Clone, Debug)]
pub struct ModelArray {
    /// Its type, dimensions, chunks and fill value.
    pub schema: ArraySchema,
    /// The values; `None` is missing.
    pub values: Vec<Option<Value>>,
}

/// A dataset of the model.
#[derive(Clone, Debug, Default)]
pub struct ModelDataset {
    /// The sizes of dimensions.
    pub dims: BTreeMap<String, usize>,
    /// The arrays.
    pub arrays: Vec<ModelArray>,
    /// The attributes.
    pub attributes: Vec<(String, AttributeValue)>,
}

/// A store of the model: its datasets by name.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// The datasets, in the order in which they are added.
    pub datasets: Vec<(String, ModelDataset)>,
}

impl ModelDataset {
    /// The shape of an array.
    pub fn shape(&self, array: &ArraySchema) -> Vec<usize> {
        array.dims.iter().map(|dim| self.dims.get(dim).copied().unwrap_or(0)).collect()
    }

    /// The value of an array in a cell, given by the index along every dimension.
    fn value(&self, array: &ModelArray, index: &BTreeMap<&str, usize>) -> Option<Value> {
        let mut place = 0;
        for (dim, size) in array.schema.dims.iter().zip(self.shape(&array.schema)) {
            place = place * size + index.get(dim.as_str()).copied()?;
        }
        array.values.get(place)?.clone()
    }
}

impl Model {
    /// Writes the datasets to a store, some of them in each of several generations.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn write(&self, atlas: &Atlas, generations: usize) -> Result<()> {
        let part = self.datasets.len().div_ceil(generations.max(1)).max(1);
        for datasets in self.datasets.chunks(part) {
            for (name, dataset) in datasets {
                let view = atlas.create_dataset(name).await?;
                for (key, value) in &dataset.attributes {
                    view.set_attribute(key, value.clone())?;
                }
                for array in &dataset.arrays {
                    let shape = dataset.shape(&array.schema);
                    view.define(array.schema.clone(), &shape)?;
                    let cells = array.schema.dtype.array(array.values.iter().cloned());
                    view.write_arrow(&array.schema.name, &vec![0; shape.len()], &shape, cells).await?;
                }
            }
            atlas.flush().await?;
        }
        Ok(())
    }

    /// The table over `dims`, with the columns of `schema`. With `only`, the table of that
    /// variable. Columns are identified by the names `dataset`, dimension, variable and attribute.
    /// Values of another kind than that of the column are in a column `<name>.<kind>`. A dimension
    /// whose name a variable has is `dim.<name>`.
    ///
    /// # Errors
    /// If a value does not fit the schema's type.
    pub fn table(
        &self,
        dims: &[String],
        only: Option<&str>,
        schema: &SchemaRef,
        nan_as_null: bool,
    ) -> Result<RecordBatch, arrow::error::ArrowError> {
        let mut batches = vec![RecordBatch::new_empty(Arc::clone(schema))];
        for (name, dataset) in &self.datasets {
            let shown: Vec<_> = dataset
                .arrays
                .iter()
                .filter(|array| match only {
                    Some(only) => array.schema.name == only,
                    None => array.schema.dims.iter().all(|dim| dims.contains(dim)),
                })
                .collect();
            if shown.is_empty() {
                continue;
            }
            let own: Vec<&str> = dims
                .iter()
                .map(String::as_str)
                .filter(|dim| shown.iter().any(|array| array.schema.dims.iter().any(|d| d == dim)))
                .collect();
            let mut cells: Vec<BTreeMap<&str, usize>> = vec![BTreeMap::new()];
            for dim in &own {
                let size = dataset.dims.get(*dim).copied().unwrap_or(0);
                cells = cells
                    .iter()
                    .flat_map(|cell| {
                        (0..size).map(move |i| {
                            let mut cell = cell.clone();
                            cell.insert(dim, i);
                            cell
                        })
                    })
                    .collect();
            }
            let column = |field: &arrow::datatypes::FieldRef| -> Result<ArrayRef, arrow::error::ArrowError> {
                let title = field.name().as_str();
                let dimension = title.strip_prefix("dim.");
                let key = dimension.unwrap_or(title).split('.').next().unwrap_or(title);
                let shared = schema.index_of(&format!("dim.{key}")).is_ok();
                let is_dimension = dimension.is_some() || dims.iter().any(|dim| dim == key) && !shared;
                let coordinate =
                    dataset.arrays.iter().find(|a| a.schema.name == key && a.schema.dims == [key]);
                let array = shown.iter().find(|array| array.schema.name == key);
                let attribute = dataset.attributes.iter().find(|(name, _)| name == key);
                let (dtype, values): (DType, Vec<Option<Value>>) = if key == "dataset" {
                    (DType::String, cells.iter().map(|_| Some(Value::String(name.clone()))).collect())
                } else if is_dimension {
                    match (own.contains(&key), coordinate) {
                        (false, _) => return Ok(new_null_array(field.data_type(), cells.len())),
                        (true, Some(array)) => (
                            array.schema.dtype,
                            cells.iter().map(|cell| dataset.value(array, cell)).collect(),
                        ),
                        (true, None) => {
                            let index =
                                |cell: &BTreeMap<&str, usize>| Some(Value::I64(*cell.get(key)? as i64));
                            (DType::I64, cells.iter().map(index).collect())
                        }
                    }
                } else if let Some(array) = array {
                    (array.schema.dtype, cells.iter().map(|cell| dataset.value(array, cell)).collect())
                } else if let Some((_, AttributeValue::One(value))) = attribute {
                    (value.dtype(), cells.iter().map(|_| Some(value.clone())).collect())
                } else {
                    return Ok(new_null_array(field.data_type(), cells.len()));
                };
                let values =
                    values.into_iter().map(|value| value.filter(|value| !(nan_as_null && value.is_nan())));
                of_kind(&dtype.array(values), field.data_type())
            };
            let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
            batches.push(RecordBatch::try_new(Arc::clone(schema), columns)?);
        }
        concat_batches(schema, &batches)
    }
}

/// Values as a column of a type shows them: without those of another kind, and with an `f32` as an
/// `f64` converted by its decimal.
fn of_kind(values: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, arrow::error::ArrowError> {
    let stored = values.data_type();
    if stored == data_type || stored.is_numeric() && data_type.is_numeric() {
        let decimals = *stored == DataType::Float32 && *data_type == DataType::Float64;
        return if decimals {
            cast(&cast(values, &DataType::Utf8)?, data_type)
        } else {
            cast(values, data_type)
        };
    }
    Ok(new_null_array(data_type, values.len()))
}
