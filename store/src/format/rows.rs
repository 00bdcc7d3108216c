//! Datasets as columns: the content of a manifest, and the form of datasets in memory.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, RecordBatch, StringViewArray, StringViewBuilder, UInt32Array,
    UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type, UInt64Type};
use arrow::error::ArrowError;

use crate::model::dtype::DType;
use crate::model::value::{AttributeValue, Value};

/// The number of values of an attribute that are gathered before they become a column.
const GATHERED: usize = 4096;

/// Datasets, in ascending order of their ordinals. The ordinals are relative to a start that the
/// owner knows. A row without a name deletes earlier rows of its ordinal.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    table: RecordBatch,
    ordinals: UInt32Array,
    names: StringViewArray,
    schemas: UInt32Array,
    sizes: ListArray,
    attributes: Vec<AttributeColumn>,
    /// The columns of attributes by name: one for each type of their values.
    by_key: HashMap<String, Vec<usize>>,
}

/// The values of one attribute that have one type.
#[derive(Clone, Debug)]
struct AttributeColumn {
    kind: AttributeKind,
    values: ArrayRef,
}

/// An attribute's name, the type of its values, and whether these are lists.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) struct AttributeKind(pub(crate) String, pub(crate) DType, pub(crate) bool);

impl AttributeKind {
    fn arrow(&self) -> DataType {
        let values = self.1.arrow();
        if self.2 { DataType::List(Arc::new(Field::new("item", values, false))) } else { values }
    }
}

/// The columns of rows with these attributes.
pub(crate) fn schema_of(attributes: &[AttributeKind]) -> SchemaRef {
    let sizes = DataType::List(Arc::new(Field::new("item", DataType::UInt64, false)));
    let mut fields = vec![
        Field::new("ordinal", DataType::UInt32, false),
        Field::new("name", DataType::Utf8View, true),
        Field::new("schema", DataType::UInt32, false),
        Field::new("sizes", sizes, false),
    ];
    fields.extend(attributes.iter().map(|kind| Field::new(&kind.0, kind.arrow(), true)));
    Arc::new(Schema::new(fields))
}

impl Rows {
    /// The rows of a table whose columns are [`schema_of`] these attributes.
    pub(crate) fn of(table: RecordBatch, attributes: &[AttributeKind]) -> Result<Self, String> {
        let columns = table.columns();
        let [ordinals, names, schemas, sizes, values @ ..] = columns else {
            return Err("it has too few columns".to_owned());
        };
        let strange = || "it has other columns than it says".to_owned();
        let mut by_key: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, kind) in attributes.iter().enumerate() {
            by_key.entry(kind.0.clone()).or_default().push(place);
        }
        let attributes: Vec<_> = attributes
            .iter()
            .zip(values)
            .map(|(kind, values)| AttributeColumn { kind: kind.clone(), values: Arc::clone(values) })
            .collect();
        let rows = Self {
            ordinals: ordinals.as_primitive_opt::<UInt32Type>().ok_or_else(strange)?.clone(),
            names: names.as_string_view_opt().ok_or_else(strange)?.clone(),
            schemas: schemas.as_primitive_opt::<UInt32Type>().ok_or_else(strange)?.clone(),
            sizes: sizes.as_list_opt().ok_or_else(strange)?.clone(),
            attributes,
            by_key,
            table,
        };
        if rows.sizes.values().as_primitive_opt::<UInt64Type>().is_none() {
            return Err(strange());
        }
        if !rows.ordinals.values().is_sorted_by(|a, b| a < b) {
            return Err("its ordinals are out of order".to_owned());
        }
        Ok(rows)
    }

    pub(crate) fn empty() -> Self {
        // A table without rows has no errors.
        RowsBuilder::default().finish().unwrap_or_else(|_| unreachable!("no rows are rows"))
    }

    pub(crate) fn len(&self) -> usize {
        self.ordinals.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn table(&self) -> &RecordBatch {
        &self.table
    }

    pub(crate) fn kinds(&self) -> Vec<AttributeKind> {
        self.attributes.iter().map(|column| column.kind.clone()).collect()
    }

    pub(crate) fn ordinals(&self) -> &[u32] {
        self.ordinals.values()
    }

    pub(crate) fn ordinal(&self, row: usize) -> u32 {
        self.ordinals.values().get(row).copied().unwrap_or(u32::MAX)
    }

    /// The row of an ordinal.
    pub(crate) fn find(&self, ordinal: u32) -> Option<usize> {
        let ordinals = self.ordinals.values();
        let first = *ordinals.first()?;
        // In most cases no ordinal is unused.
        let dense = usize::try_from(ordinal.checked_sub(first)?).ok()?;
        if ordinals.get(dense) == Some(&ordinal) {
            return Some(dense);
        }
        ordinals.binary_search(&ordinal).ok()
    }

    /// `None` for a row that deletes.
    pub(crate) fn name(&self, row: usize) -> Option<&str> {
        (row < self.names.len() && self.names.is_valid(row)).then(|| self.names.value(row))
    }

    /// True for a row that deletes.
    pub(crate) fn is_deleted(&self, row: usize) -> bool {
        self.names.is_null(row)
    }

    pub(crate) fn names(&self) -> &StringViewArray {
        &self.names
    }

    pub(crate) fn schema(&self, row: usize) -> u32 {
        self.schemas.values().get(row).copied().unwrap_or(u32::MAX)
    }

    pub(crate) fn sizes(&self, row: usize) -> &[u64] {
        let offsets = self.sizes.value_offsets();
        let bound = |row: usize| offsets.get(row).and_then(|&offset| usize::try_from(offset).ok());
        let values = self.sizes.values().as_primitive::<UInt64Type>().values();
        bound(row).zip(bound(row + 1)).and_then(|(start, end)| values.get(start..end)).unwrap_or_default()
    }

    pub(crate) fn attribute(&self, row: usize, key: &str) -> Option<AttributeValue> {
        self.by_key.get(key)?.iter().find_map(|&place| self.attributes.get(place)?.value(row))
    }

    /// The type of an attribute of a row, and whether it is a list.
    pub(crate) fn attribute_type(&self, row: usize, key: &str) -> Option<(DType, bool)> {
        let mut columns = self.by_key.get(key)?.iter().filter_map(|&place| self.attributes.get(place));
        let column = columns.find(|column| column.values.is_valid(row))?;
        Some((column.kind.1, column.kind.2))
    }

    /// True if a row has a value of an attribute.
    pub(crate) fn has(&self, row: usize, key: &str) -> bool {
        let columns = self.by_key.get(key).into_iter().flatten();
        columns.filter_map(|&place| self.attributes.get(place)).any(|column| column.values.is_valid(row))
    }

    /// The attributes that some rows have.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.by_key.keys().map(String::as_str)
    }
}

impl AttributeColumn {
    fn value(&self, row: usize) -> Option<AttributeValue> {
        if row >= self.values.len() || self.values.is_null(row) {
            return None;
        }
        let AttributeKind(_, dtype, list) = self.kind;
        if !list {
            return dtype.value(&self.values, row).map(AttributeValue::One);
        }
        let items = self.values.as_list_opt::<i32>()?.value(row);
        let items = (0..items.len()).filter_map(|item| dtype.value(&items, item)).collect();
        Some(AttributeValue::List(dtype, items))
    }
}

/// Builds [`Rows`] one by one.
#[derive(Default)]
pub(crate) struct RowsBuilder {
    ordinals: Vec<u32>,
    names: StringViewBuilder,
    schemas: Vec<u32>,
    ends: Vec<usize>,
    sizes: Vec<u64>,
    columns: Vec<ColumnBuilder>,
    places: HashMap<AttributeKind, usize>,
}

struct ColumnBuilder {
    kind: AttributeKind,
    /// The number of rows that are in the column, for lists with the ends of their items.
    rows: usize,
    ends: Vec<usize>,
    valid: Vec<bool>,
    items: usize,
    gathered: Vec<Option<Value>>,
    parts: Vec<ArrayRef>,
}

impl RowsBuilder {
    pub(crate) fn len(&self) -> usize {
        self.ordinals.len()
    }

    /// Adds the row of a dataset. Ordinals come in ascending order.
    pub(crate) fn push<K: AsRef<str>>(
        &mut self,
        ordinal: u32,
        name: &str,
        schema: u32,
        sizes: impl Iterator<Item = u64>,
        attributes: impl Iterator<Item = (K, AttributeValue)>,
    ) {
        let row = self.ordinals.len();
        self.names.append_value(name);
        self.schemas.push(schema);
        self.sizes.extend(sizes);
        self.end(ordinal);
        for (key, value) in attributes {
            let kind = match &value {
                AttributeValue::One(value) => AttributeKind(key.as_ref().to_owned(), value.dtype(), false),
                AttributeValue::List(dtype, values) => {
                    let dtype = values.first().map_or(*dtype, Value::dtype);
                    AttributeKind(key.as_ref().to_owned(), dtype, true)
                }
            };
            let place = *self.places.entry(kind).or_insert_with_key(|kind| {
                self.columns.push(ColumnBuilder::new(kind.clone()));
                self.columns.len() - 1
            });
            if let Some(column) = self.columns.get_mut(place) {
                column.push(row, value);
            }
        }
    }

    /// Adds a row that deletes.
    pub(crate) fn push_deleted(&mut self, ordinal: u32) {
        self.names.append_null();
        self.schemas.push(0);
        self.end(ordinal);
    }

    /// Adds a row of other rows, with another ordinal and another schema number.
    pub(crate) fn push_row<'a>(
        &mut self,
        ordinal: u32,
        rows: &'a Rows,
        row: usize,
        schema: u32,
        keys: impl Iterator<Item = &'a str>,
    ) {
        match rows.name(row) {
            Some(name) => {
                let attributes = keys.filter_map(|key| Some((key, rows.attribute(row, key)?)));
                self.push(ordinal, name, schema, rows.sizes(row).iter().copied(), attributes);
            }
            None => self.push_deleted(ordinal),
        }
    }

    fn end(&mut self, ordinal: u32) {
        self.ordinals.push(ordinal);
        self.ends.push(self.sizes.len());
    }

    pub(crate) fn finish(mut self) -> Result<Rows, String> {
        let rows = self.ordinals.len();
        let kinds: Vec<_> = self.columns.iter().map(|column| column.kind.clone()).collect();
        let built = (|| {
            let item = Arc::new(Field::new("item", DataType::UInt64, false));
            let sizes = ListArray::try_new(
                item,
                offsets(&self.ends)?,
                Arc::new(UInt64Array::from(self.sizes)),
                None,
            )?;
            let mut columns: Vec<ArrayRef> = vec![
                Arc::new(UInt32Array::from(self.ordinals)),
                Arc::new(self.names.finish()),
                Arc::new(UInt32Array::from(self.schemas)),
                Arc::new(sizes),
            ];
            for column in self.columns {
                columns.push(column.finish(rows)?);
            }
            RecordBatch::try_new(schema_of(&kinds), columns)
        })();
        Rows::of(built.map_err(|e: ArrowError| e.to_string())?, &kinds)
    }
}

impl ColumnBuilder {
    fn new(kind: AttributeKind) -> Self {
        let (ends, valid, gathered, parts) = Default::default();
        Self { kind, rows: 0, ends, valid, items: 0, gathered, parts }
    }

    fn push(&mut self, row: usize, value: AttributeValue) {
        if self.rows > row {
            // A row with a duplicate is refused together with its schema.
            return;
        }
        self.pad(row);
        match value {
            AttributeValue::One(value) => self.gather(Some(value)),
            AttributeValue::List(_, values) => {
                self.items += values.len();
                values.into_iter().for_each(|value| self.gather(Some(value)));
                self.ends.push(self.items);
                self.valid.push(true);
            }
        }
        self.rows = row + 1;
    }

    /// Adds nulls for the rows before `row`.
    fn pad(&mut self, row: usize) {
        for _ in self.rows..row {
            if self.kind.2 {
                self.ends.push(self.items);
                self.valid.push(false);
            } else {
                self.gather(None);
            }
        }
        self.rows = row.max(self.rows);
    }

    fn gather(&mut self, value: Option<Value>) {
        self.gathered.push(value);
        if self.gathered.len() >= GATHERED {
            self.parts.push(self.kind.1.array(self.gathered.drain(..)));
        }
    }

    fn finish(mut self, rows: usize) -> Result<ArrayRef, ArrowError> {
        self.pad(rows);
        self.parts.push(self.kind.1.array(self.gathered.drain(..)));
        let parts: Vec<&dyn Array> = self.parts.iter().map(AsRef::as_ref).collect();
        let values = concat(&parts)?;
        if !self.kind.2 {
            return Ok(values);
        }
        let item = Arc::new(Field::new("item", self.kind.1.arrow(), false));
        let valid = NullBuffer::from(self.valid);
        Ok(Arc::new(ListArray::try_new(item, offsets(&self.ends)?, values, Some(valid))?))
    }
}

fn offsets(ends: &[usize]) -> Result<OffsetBuffer<i32>, ArrowError> {
    let mut offsets = Vec::with_capacity(ends.len() + 1);
    offsets.push(0i32);
    for &end in ends {
        let end = i32::try_from(end);
        offsets.push(end.map_err(|_| {
            ArrowError::InvalidArgumentError("too many dimensions and attributes for one manifest".to_owned())
        })?);
    }
    Ok(OffsetBuffer::new(ScalarBuffer::from(offsets)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes() -> Vec<Vec<(&'static str, AttributeValue)>> {
        vec![
            vec![("title", "a".into()), ("levels", vec![1i64, 2].into())],
            vec![("title", 5i64.into()), ("ratio", f64::NAN.into())],
            vec![("none", Vec::<f64>::new().into()), ("title", "c".into())],
            vec![],
        ]
    }

    #[test]
    fn rows_come_back_whatever_types_attributes_have() {
        let mut builder = RowsBuilder::default();
        let all = attributes();
        for (number, attributes) in (0u32..).zip(&all) {
            let sizes = (0..u64::from(number)).map(|size| size * 7);
            let name = format!("dataset {number}");
            builder.push(number * 2, &name, number, sizes, attributes.iter().cloned());
        }
        builder.push_deleted(100);
        let rows = builder.finish().unwrap();
        assert_eq!(rows.ordinals(), [0, 2, 4, 6, 100]);
        for (number, attributes) in (0u32..).zip(&all) {
            let row = rows.find(number * 2).unwrap();
            assert_eq!(rows.name(row), Some(format!("dataset {number}").as_str()));
            assert_eq!(rows.schema(row), number);
            assert_eq!(rows.sizes(row).len() as u64, u64::from(number));
            for key in rows.keys() {
                let expected = attributes.iter().find(|(name, _)| *name == key).map(|(_, value)| value);
                assert_eq!(rows.attribute(row, key).as_ref(), expected, "{key} of {number}");
            }
        }
        assert_eq!((rows.find(1), rows.find(101)), (None, None));
        assert_eq!(rows.name(rows.find(100).unwrap()), None);
        assert!(Rows::empty().is_empty() && Rows::empty().find(0).is_none());
    }
}
