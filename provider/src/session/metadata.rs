//! Tables about a store: its datasets, variables, attributes and chunks.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray, StringViewBuilder, UInt32Array,
    UInt64Array, new_null_array,
};
use arrow::compute::{cast, concat, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use atlas::{ArraySchema, AttributeValue, Catalog, DType, Dataset, ReadMetrics, Snapshot, is_note};
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::error::from_store;
use crate::tables::layout::{DATASET, attribute_types};
use crate::tables::names::{Mark, Wanted, distinct};
use crate::tables::options::TableOptions;
use crate::tables::places::places;
use crate::tables::widen::{AttributeType, attribute_text};

/// A table about a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// A row for each dataset: `dataset`, `cells`, the sizes of dimensions, attributes.
    Datasets,
    /// A row for each variable.
    Variables,
    /// A row for each attribute of each dataset and of each of its arrays.
    Attributes,
    /// A row for each chunk.
    Chunks,
}

impl Metadata {
    /// All kinds of tables.
    pub const ALL: [Self; 4] = [Self::Datasets, Self::Variables, Self::Attributes, Self::Chunks];

    /// The table's name. Names of variables do not start with `_`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Datasets => "_datasets",
            Self::Variables => "_variables",
            Self::Attributes => "_attributes",
            Self::Chunks => "_chunks",
        }
    }

    /// The columns, for one generation of a store.
    fn schema(self, snapshot: &Snapshot) -> Result<SchemaRef> {
        let text = |name: &str, nullable| Field::new(name, DataType::Utf8View, nullable);
        let count = |name: &str| Field::new(name, DataType::UInt64, false);
        let fields = match self {
            Self::Datasets => {
                let catalog = snapshot.catalog().map_err(from_store)?;
                return Ok(DatasetColumns::of(&catalog).schema());
            }
            Self::Variables => vec![
                text("name", false),
                text("dtype", false),
                text("dims", false),
                count("datasets"),
                count("cells"),
                count("missing"),
                count("chunks"),
                Field::new("raw_bytes", DataType::UInt64, true),
                count("stored_bytes"),
            ]
            .into_iter()
            .chain(DESCRIPTIONS.map(|name| text(name, true)))
            .collect(),
            Self::Attributes => vec![
                text("dataset", false),
                text("variable", true),
                text("name", false),
                text("dtype", false),
                text("value", false),
            ],
            Self::Chunks => {
                let coordinate = Arc::new(Field::new("item", DataType::UInt32, false));
                vec![
                    text("variable", false),
                    text("dataset", false),
                    text("dtype", false),
                    text("file", false),
                    Field::new("chunk", DataType::List(coordinate), false),
                    Field::new("block", DataType::UInt32, false),
                    Field::new("offset", DataType::UInt32, false),
                    Field::new("row_count", DataType::UInt32, false),
                    Field::new("null_count", DataType::UInt32, false),
                    Field::new("nan_count", DataType::UInt32, false),
                    text("min", true),
                    text("max", true),
                    text("sum", true),
                    Field::new("m2", DataType::Float64, true),
                ]
            }
        };
        Ok(Arc::new(Schema::new(fields)))
    }

    async fn columns(
        self,
        snapshot: &Snapshot,
        variable: Option<&str>,
        nan_as_null: bool,
    ) -> Result<Vec<ArrayRef>> {
        let catalog = snapshot.load().await.map_err(from_store)?;
        match self {
            Self::Datasets => DatasetColumns::of(&catalog).arrays(&catalog, nan_as_null),
            Self::Variables => variables(snapshot, &catalog).await,
            Self::Attributes => Ok(attributes(&catalog)),
            Self::Chunks => chunks(snapshot, &catalog, variable).await,
        }
    }
}

/// A table about one generation of a store. Its rows are computed when it is scanned.
#[derive(Debug)]
pub struct MetadataTable {
    pub(crate) kind: Metadata,
    /// The variable that it is about; `None` for all variables.
    pub(crate) variable: Option<String>,
    pub(crate) snapshot: Arc<Snapshot>,
    /// True if an attribute that is NaN is read as NULL.
    pub(crate) nan_as_null: bool,
    schema: SchemaRef,
}

impl MetadataTable {
    /// The table of this kind.
    ///
    /// # Errors
    /// If the store's datasets have to be read for it, and cannot be read.
    pub fn new(kind: Metadata, snapshot: Arc<Snapshot>, options: &TableOptions) -> Result<Self> {
        let schema = kind.schema(&snapshot)?;
        Ok(Self { kind, variable: None, snapshot, nan_as_null: options.nan_as_null, schema })
    }

    /// The chunks of a variable.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn of_variable(variable: &str, snapshot: Arc<Snapshot>) -> Result<Self> {
        let chunks = Self::new(Metadata::Chunks, snapshot, &TableOptions::default())?;
        Ok(Self { variable: Some(variable.to_owned()), ..chunks })
    }
}

#[async_trait]
impl TableProvider for MetadataTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = self.kind.columns(&self.snapshot, self.variable.as_deref(), self.nan_as_null).await?;
        let batch = RecordBatch::try_new(self.schema(), columns)?;
        Ok(MemorySourceConfig::try_new_exec(&[vec![batch]], self.schema(), projection.cloned())?)
    }
}

/// The columns of `_datasets` after `dataset` and `cells`.
struct DatasetColumns {
    /// The dimensions, each with the name of its column.
    dims: Vec<(String, String)>,
    /// The attributes, each with the name and type of its column.
    attributes: Vec<(String, String, AttributeType)>,
}

impl DatasetColumns {
    fn of(catalog: &Catalog) -> Self {
        let mut seen = HashSet::new();
        let dims = catalog.dataset_schemas().iter().flat_map(|schema| &schema.dims);
        let dims: Vec<&String> = dims.filter(|dim| seen.insert(*dim)).collect();
        let attributes = attribute_types(catalog);
        let wanted = |name: &String, mark| Wanted { name: name.clone(), mark, marked: false };
        let wanted: Vec<Wanted> = dims
            .iter()
            .map(|dim| wanted(dim, Mark::Before("dim")))
            .chain(attributes.iter().map(|(key, _)| wanted(key, Mark::Before("attr"))))
            .collect();
        let mut names = distinct(&[DATASET, "cells"], &wanted).into_iter();
        Self {
            dims: dims.into_iter().cloned().zip(&mut names).collect(),
            attributes: attributes
                .into_iter()
                .zip(names)
                .map(|((key, kind), name)| (key, name, kind))
                .collect(),
        }
    }

    fn schema(&self) -> SchemaRef {
        let mut fields = vec![
            Field::new(DATASET, DataType::Utf8View, false),
            Field::new("cells", DataType::UInt64, false),
        ];
        fields.extend(self.dims.iter().map(|(_, column)| Field::new(column, DataType::Int64, true)));
        fields.extend(self.attributes.iter().map(|(_, column, kind)| Field::new(column, kind.arrow(), true)));
        Arc::new(Schema::new(fields))
    }

    fn arrays(&self, catalog: &Catalog, nan_as_null: bool) -> Result<Vec<ArrayRef>> {
        let arrays = Arrays::of(catalog);
        let cells =
            catalog.datasets().map(|(_, dataset)| arrays.cells(dataset).map(|(.., cells)| cells).sum());
        let names = catalog.datasets().map(|(_, dataset)| dataset.name());
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(StringViewArray::from_iter_values(names)),
            Arc::new(UInt64Array::from_iter_values(cells.collect::<Vec<u64>>())),
        ];
        let schemas = catalog.dataset_schemas().iter();
        let dims: Vec<HashMap<&str, usize>> = schemas.map(|schema| places(schema.dims.iter())).collect();
        for (dim, _) in &self.dims {
            let sizes = catalog.datasets().map(|(_, dataset)| {
                let place = dims.get(dataset.schema())?.get(dim.as_str())?;
                i64::try_from(dataset.size_at(*place)?).ok()
            });
            columns.push(Arc::new(sizes.collect::<Int64Array>()));
        }
        for (key, _, kind) in &self.attributes {
            let values = catalog.datasets().map(|(_, dataset)| dataset.attribute(key));
            columns.push(kind.array(values, nan_as_null)?);
        }
        Ok(columns)
    }
}

/// The arrays of each schema, by number, with the positions of their dimensions in the schema.
struct Arrays<'a>(Vec<Vec<(usize, &'a ArraySchema, Vec<usize>)>>);

impl<'a> Arrays<'a> {
    fn of(catalog: &'a Catalog) -> Self {
        let schemas = catalog.dataset_schemas().iter().map(|schema| {
            let places = places(schema.dims.iter());
            let place = |dim: &String| places.get(dim.as_str()).copied();
            let arrays = schema.arrays.iter().filter_map(|&number| {
                let array = catalog.array_schemas().get(number)?;
                Some((number, array.as_ref(), array.dims.iter().filter_map(place).collect()))
            });
            arrays.collect()
        });
        Self(schemas.collect())
    }

    /// The arrays of a dataset, by number, each with the number of its cells.
    fn cells<'b>(
        &'b self,
        dataset: Dataset<'b>,
    ) -> impl Iterator<Item = (usize, &'a ArraySchema, u64)> + use<'a, 'b> {
        let arrays = self.0.get(dataset.schema()).map_or(&[][..], Vec::as_slice);
        arrays.iter().map(move |(number, array, dims)| {
            let sizes = dims.iter().filter_map(|&dim| dataset.size_at(dim));
            (*number, *array, sizes.map(|size| size as u64).product())
        })
    }
}

/// The attributes of variables that are shown as columns.
const DESCRIPTIONS: [&str; 3] = ["units", "long_name", "standard_name"];

/// The properties of a variable according to the catalog.
struct Variable {
    dtypes: BTreeSet<DType>,
    dims: BTreeSet<String>,
    datasets: u64,
    cells: u64,
    /// The size of all values before encoding; unknown if values differ in length.
    raw_bytes: Option<u64>,
    /// For each of the [`DESCRIPTIONS`], the values that datasets declare.
    descriptions: [BTreeSet<String>; DESCRIPTIONS.len()],
}

impl Variable {
    fn new() -> Self {
        Self {
            dtypes: BTreeSet::new(),
            dims: BTreeSet::new(),
            datasets: 0,
            cells: 0,
            raw_bytes: Some(0),
            descriptions: Default::default(),
        }
    }

    /// Adds the declarations of an array, which several datasets may share.
    fn declare(&mut self, array: &ArraySchema) {
        self.dtypes.insert(array.dtype);
        self.dims.insert(format!("({})", array.dims.join(", ")));
        for (key, values) in DESCRIPTIONS.iter().zip(&mut self.descriptions) {
            values.extend(array.attribute(key).map(attribute_text));
        }
    }
}

async fn variables(snapshot: &Snapshot, catalog: &Catalog) -> Result<Vec<ArrayRef>> {
    let mut variables: BTreeMap<&str, Variable> = BTreeMap::new();
    let arrays = Arrays::of(catalog);
    let mut declared = vec![false; catalog.array_schemas().len()];
    for (_, dataset) in catalog.datasets() {
        for (number, array, cells) in arrays.cells(dataset) {
            let variable = variables.entry(&array.name).or_insert_with(Variable::new);
            if declared.get_mut(number).is_some_and(|declared| !std::mem::replace(declared, true)) {
                variable.declare(array);
            }
            variable.datasets += 1;
            variable.cells += cells;
            let bytes = array.dtype.width().map(|width| cells * width as u64);
            variable.raw_bytes = variable.raw_bytes.zip(bytes).map(|(a, b)| a + b);
        }
    }
    let text = |text: &dyn Fn(&Variable) -> Option<String>| -> ArrayRef {
        Arc::new(variables.values().map(text).collect::<StringViewArray>())
    };
    let list = |values: &BTreeSet<String>| {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        (!values.is_empty()).then(|| values.join(", "))
    };
    let descriptions = std::array::from_fn::<ArrayRef, { DESCRIPTIONS.len() }, _>(|place| {
        text(&|variable| variable.descriptions.get(place).and_then(list))
    });
    let count = |count: &dyn Fn(&str, &Variable) -> Option<u64>| -> ArrayRef {
        Arc::new(variables.iter().map(|(name, variable)| count(name, variable)).collect::<UInt64Array>())
    };
    let mut totals: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
    for name in variables.keys() {
        let counts = snapshot.counts(name, &ReadMetrics::default()).await.map_err(from_store)?;
        totals.insert(name, counts);
    }
    let total = |name: &str| totals.get(name).copied().unwrap_or_default();
    let bytes = |name: &str| catalog.segments(name).iter().map(|segment| segment.size).sum();
    let dtypes =
        |variable: &Variable| variable.dtypes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut columns = vec![
        Arc::new(StringViewArray::from_iter_values(variables.keys())) as ArrayRef,
        text(&|variable| Some(dtypes(variable))),
        text(&|variable| list(&variable.dims)),
        count(&|_, variable| Some(variable.datasets)),
        count(&|_, variable| Some(variable.cells)),
        // Cells that no segment has were never written.
        count(&|name, variable| {
            let [_, cells, missing] = total(name);
            Some(missing + variable.cells.saturating_sub(cells))
        }),
        count(&|name, _| Some(total(name)[0])),
        count(&|_, variable| variable.raw_bytes),
        count(&|name, _| Some(bytes(name))),
    ];
    columns.extend(descriptions);
    Ok(columns)
}

fn attributes(catalog: &Catalog) -> Vec<ArrayRef> {
    let mut columns: [StringViewBuilder; 5] =
        std::array::from_fn(|_| StringViewBuilder::new().with_deduplicate_strings());
    let mut push = |dataset: &str, variable: Option<&str>, name: &str, value: &AttributeValue| {
        let dtype = match value {
            AttributeValue::One(value) => value.dtype().to_string(),
            AttributeValue::List(dtype, _) => format!("list of {dtype}"),
        };
        let values = [Some(dataset), variable, Some(name), Some(&dtype), Some(&attribute_text(value))];
        for (column, value) in columns.iter_mut().zip(values) {
            column.append_option(value);
        }
    };
    for (_, dataset) in catalog.datasets() {
        for (name, value) in catalog.attributes(dataset).filter(|(name, _)| !is_note(name)) {
            push(dataset.name(), None, name, &value);
        }
        for array in catalog.arrays(catalog.schema(dataset)) {
            for (name, value) in array.attributes.iter().filter(|(name, _)| !is_note(name)) {
                push(dataset.name(), Some(&array.name), name, value);
            }
        }
    }
    columns.into_iter().map(|mut column| Arc::new(column.finish()) as ArrayRef).collect()
}

/// Values of any type as text.
fn as_text(values: &ArrayRef) -> Result<ArrayRef> {
    match values.as_binary_view_opt() {
        Some(values) => {
            let text = |bytes: &[u8]| atlas::Value::Binary(bytes.to_vec()).to_string();
            Ok(Arc::new(values.iter().map(|value| value.map(text)).collect::<StringViewArray>()))
        }
        None => Ok(cast(values, &DataType::Utf8View)?),
    }
}

async fn chunks(snapshot: &Snapshot, catalog: &Catalog, only: Option<&str>) -> Result<Vec<ArrayRef>> {
    let schema = Metadata::Chunks.schema(snapshot)?;
    let mut parts: Vec<Vec<ArrayRef>> = Vec::new();
    for (variable, _) in catalog.variables().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        let index = snapshot.index(variable, &ReadMetrics::default()).await.map_err(from_store)?;
        // The rows of each table whose chunks count, with the names of their datasets.
        let mut live: BTreeMap<usize, (Vec<u32>, Vec<&str>)> = BTreeMap::new();
        for (chunk, ordinal, _) in index.live(catalog, variable) {
            let (number, row) = index.place(chunk);
            if let (Some(dataset), Ok(row)) = (catalog.dataset(ordinal), u32::try_from(row)) {
                let (rows, names) = live.entry(number).or_default();
                rows.push(row);
                names.push(dataset.name());
            }
        }
        for (number, chunks) in index.columns().enumerate() {
            let Some((rows, names)) = live.remove(&number) else { continue };
            let constant = |text: &str| -> ArrayRef {
                Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(text, rows.len())))
            };
            let taken = |column: &dyn Array| take(column, &UInt32Array::from(rows.clone()), None);
            let values = |column: Option<&ArrayRef>| match column {
                Some(column) => as_text(&taken(column)?),
                None => Ok(new_null_array(&DataType::Utf8View, rows.len())),
            };
            parts.push(vec![
                constant(variable),
                Arc::new(StringViewArray::from_iter_values(&names)),
                constant(&chunks.dtype().to_string()),
                constant(chunks.file()),
                taken(chunks.coordinates())?,
                taken(chunks.blocks())?,
                taken(chunks.offsets())?,
                taken(chunks.row_counts())?,
                taken(chunks.null_counts())?,
                taken(chunks.nan_counts())?,
                values(Some(chunks.min()))?,
                values(Some(chunks.max()))?,
                values(chunks.sum())?,
                match chunks.m2() {
                    Some(m2) => taken(m2)?,
                    None => new_null_array(&DataType::Float64, rows.len()),
                },
            ]);
        }
    }
    schema
        .fields()
        .iter()
        .enumerate()
        .map(|(position, field)| {
            let column: Vec<_> =
                parts.iter().filter_map(|part| part.get(position)).map(AsRef::as_ref).collect();
            if column.is_empty() { Ok(new_null_array(field.data_type(), 0)) } else { Ok(concat(&column)?) }
        })
        .collect()
}
