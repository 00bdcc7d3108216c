//! A table over a generation of a store, and the values of its columns that depend on datasets
//! alone.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, StringViewArray, UInt32Array, make_array};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Float64Type};
use atlas::{ArraySchema, AttributeValue, Catalog, Dataset, ReadMetrics, Snapshot, VariableIndex};
use datafusion::common::Result;

use crate::bits::bits;
use crate::error::from_store;
use crate::tables::kind::TableKind;
use crate::tables::layout::{ColumnKind, Layout, Origin, SchemaLayout};
use crate::tables::widen::shown;

/// A table: a layout over one generation of a store.
#[derive(Clone, Debug)]
pub struct Table {
    /// The name, for plans.
    pub name: String,
    /// The generation.
    pub snapshot: Arc<Snapshot>,
    /// The catalog of the generation.
    pub catalog: Arc<Catalog>,
    /// Its kind.
    pub kind: TableKind,
    /// The rows and columns.
    pub layout: Arc<Layout>,
    /// Whether NaN is read as NULL.
    pub nan_as_null: bool,
    /// The indexes of variables that were read, by name. They stay as long as a scan.
    indexes: Arc<Mutex<HashMap<String, Arc<VariableIndex>>>>,
    /// The columns that depend on the dataset alone and were requested so far, with one value for
    /// each dataset with rows.
    of_datasets: Arc<Mutex<HashMap<usize, ArrayRef>>>,
}

impl Table {
    /// A table that has not read anything yet.
    pub fn new(
        name: &str,
        snapshot: Arc<Snapshot>,
        catalog: Arc<Catalog>,
        kind: TableKind,
        nan_as_null: bool,
    ) -> Self {
        let (name, layout) = (name.to_owned(), Arc::new(kind.layout(&catalog)));
        let (indexes, of_datasets) = (Arc::default(), Arc::default());
        Self { name, snapshot, catalog, kind, layout, nan_as_null, indexes, of_datasets }
    }

    /// The same table for a scan, which keeps the indexes that it reads to itself.
    pub fn for_scan(&self) -> Self {
        Self { indexes: Arc::default(), ..self.clone() }
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

    /// The index of a column's variable; `None` if the column does not come from an array.
    pub async fn index_of(&self, column: usize, metrics: &ReadMetrics) -> Result<Option<Arc<VariableIndex>>> {
        match self.layout.variable(column) {
            Some(variable) => self.index(variable, metrics).await.map(Some),
            None => Ok(None),
        }
    }

    /// A dataset, and its layout.
    pub fn dataset(&self, ordinal: u32) -> Option<(Dataset<'_>, &SchemaLayout)> {
        let dataset = self.catalog.dataset(ordinal)?;
        Some((dataset, self.layout.of(dataset)?))
    }

    /// The origin of a column in a dataset.
    pub fn origin(&self, ordinal: u32, column: usize) -> &Origin {
        let layout = self.dataset(ordinal).map(|(_, layout)| layout);
        layout.and_then(|layout| layout.origins.get(column)).unwrap_or(&Origin::Missing)
    }

    /// The array of a column in a dataset, if the column comes from one.
    pub fn array(&self, ordinal: u32, column: usize) -> Option<&Arc<ArraySchema>> {
        let (dataset, _) = self.dataset(ordinal)?;
        let Origin::Array(_) = self.origin(ordinal, column) else { return None };
        self.catalog.array(dataset, self.layout.variable(column)?)
    }

    /// The different ways in which datasets declare the variable that a column shows; none if it
    /// shows no variable.
    pub fn declarations(&self, column: &str) -> Vec<&ArraySchema> {
        let Some(variable) = self.layout.position(column).and_then(|column| self.layout.variable(column))
        else {
            return Vec::new();
        };
        let arrays = self.catalog.array_schemas().iter();
        arrays.filter(|array| array.name == variable).map(AsRef::as_ref).collect()
    }

    /// The type of a column.
    pub fn data_type(&self, column: usize) -> DataType {
        self.layout.schema.fields().get(column).map_or(DataType::Null, |field| field.data_type().clone())
    }

    /// The values of a column that depends on the dataset alone, for a range of positions among the
    /// datasets with rows.
    pub fn of_places(&self, column: usize, places: Range<usize>) -> Result<ArrayRef> {
        let mut known = self.of_datasets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(values) = known.get(&column) {
            return Ok(values.slice(places.start, places.len()));
        }
        let datasets: Vec<u32> = self.layout.datasets().map(|(ordinal, _)| ordinal).collect();
        let values = self.made_of_datasets(column, &datasets)?;
        known.insert(column, Arc::clone(&values));
        Ok(values.slice(places.start, places.len()))
    }

    /// The values of a column that depends on the dataset alone, one for each of `datasets`.
    pub fn of_datasets(&self, column: usize, datasets: &[u32]) -> Result<ArrayRef> {
        let all = self.layout.datasets().len();
        let is_known =
            || self.of_datasets.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&column);
        // For many datasets, it pays to compute the values of all.
        if datasets.len() > 1 && (datasets.len() > all / 4 || datasets.len() > 16 && is_known()) {
            let places = datasets.iter().map(|&ordinal| self.layout.place_of(ordinal));
            if let Some(places) = places.collect::<Option<Vec<usize>>>() {
                let known = self.of_places(column, 0..all)?;
                if places.windows(2).all(|pair| matches!(pair, [a, b] if a + 1 == *b)) {
                    return Ok(known.slice(places.first().copied().unwrap_or(0), places.len()));
                }
                let places = places.into_iter().map(|place| u32::try_from(place).unwrap_or(u32::MAX));
                return Ok(take(&known, &UInt32Array::from_iter_values(places), None)?);
            }
        }
        self.made_of_datasets(column, datasets)
    }

    fn made_of_datasets(&self, column: usize, datasets: &[u32]) -> Result<ArrayRef> {
        match self.layout.columns.get(column) {
            Some(ColumnKind::Attribute(_, kind)) => {
                let values = datasets.iter().map(|&ordinal| self.attribute(ordinal, column));
                kind.array(values, self.nan_as_null)
            }
            _ => {
                let name = |&ordinal: &u32| self.catalog.dataset(ordinal).map(|dataset| dataset.name());
                let names = datasets.iter().map(name);
                Ok(Arc::new(names.collect::<StringViewArray>()))
            }
        }
    }

    fn attribute(&self, ordinal: u32, column: usize) -> Option<AttributeValue> {
        match self.layout.columns.get(column)? {
            ColumnKind::Attribute(key, _) => self.catalog.dataset(ordinal)?.attribute(key),
            _ => None,
        }
    }

    /// Values as a column shows them: in its type, and with NaN as NULL if requested.
    pub fn shown(&self, values: ArrayRef, column: usize, may_be_nan: bool) -> Result<ArrayRef> {
        let data_type = self.data_type(column);
        let values = if self.nan_as_null && may_be_nan { nan_to_null(values) } else { values };
        if *values.data_type() == data_type {
            return Ok(values);
        }
        shown(&values, &data_type)
    }
}

/// The same values, with NaN as NULL.
fn nan_to_null(values: ArrayRef) -> ArrayRef {
    fn without_nan<T: ArrowPrimitiveType>(
        values: &PrimitiveArray<T>,
        is_nan: impl Fn(T::Native) -> bool,
    ) -> Option<ArrayRef> {
        let cells = values.values();
        if !cells.iter().fold(false, |any, &value| any | is_nan(value)) {
            return None;
        }
        let numbers = bits(cells, |value| !is_nan(value));
        let valid = match values.nulls() {
            Some(nulls) => nulls.inner() & &numbers,
            None => numbers,
        };
        // The values stay in their memory.
        let data = values.to_data().into_builder().nulls(Some(NullBuffer::new(valid)));
        data.build().ok().map(make_array)
    }
    let without = match values.data_type() {
        DataType::Float32 => without_nan(values.as_primitive::<Float32Type>(), f32::is_nan),
        DataType::Float64 => without_nan(values.as_primitive::<Float64Type>(), f64::is_nan),
        _ => None,
    };
    without.unwrap_or(values)
}
