//! The catalog: everything about a store but its values. Its root is the JSON document
//! `atlas.json`; if there are many datasets, manifests hold them.

mod check;
mod names;
mod root;

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use self::names::{Names, Sorted};
pub(crate) use self::root::{Interned, each_once};
pub use self::root::{Root, SegmentEntry};
use crate::format::rows::Rows;
use crate::model::dtype::DType;
use crate::model::grid::ChunkGrid;
use crate::model::schema::{ArraySchema, DatasetSchema};
use crate::model::value::AttributeValue;

/// The catalog of one generation of a store: its [`Root`], and the datasets.
#[derive(Debug)]
pub struct Catalog {
    root: Arc<Root>,
    /// The rows of manifests, and then those of the root.
    parts: Vec<Part>,
    /// For each ordinal, in ascending order, the part with its first row.
    bases: Vec<Base>,
    /// The part and the row of ordinals whose first row was replaced.
    replaced: HashMap<u32, (usize, usize)>,
    /// The ordinals of the datasets in the order of their names, if that is not the order of the
    /// ordinals.
    by_name: Option<Vec<u32>>,
    /// For each schema, the names in it.
    names: OnceLock<Vec<Names>>,
}

/// Rows, and the meaning of the numbers in them.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    first: u32,
    /// The numbers of their schemas in the root; `None` if the rows have these numbers already.
    schemas: Option<Vec<Option<u32>>>,
    rows: Arc<Rows>,
}

/// The rows of a part from one row on, whose ordinals no earlier part has.
#[derive(Clone, Copy, Debug)]
struct Base {
    start: u32,
    part: usize,
    row: usize,
}

/// A dataset of a [`Catalog`].
#[derive(Clone, Copy, Debug)]
pub struct Dataset<'a> {
    part: &'a Part,
    row: usize,
}

impl<'a> Dataset<'a> {
    /// The number that identifies it in indexes.
    pub fn ordinal(&self) -> u32 {
        self.part.first + self.part.rows.ordinal(self.row)
    }

    /// Its name.
    pub fn name(&self) -> &'a str {
        self.part.rows.name(self.row).unwrap_or_default()
    }

    /// The number of its schema among [`Root::dataset_schemas`].
    pub fn schema(&self) -> usize {
        self.part.schema(self.row).map_or(usize::MAX, |schema| schema as usize)
    }

    /// The sizes of its schema's dimensions.
    pub fn sizes(&self) -> impl ExactSizeIterator<Item = usize> + Clone + use<'a> {
        self.part.rows.sizes(self.row).iter().map(|&size| usize::try_from(size).unwrap_or(usize::MAX))
    }

    /// The size of the dimension at a position in its schema.
    pub fn size_at(&self, place: usize) -> Option<usize> {
        self.part.rows.sizes(self.row).get(place).map(|&size| usize::try_from(size).unwrap_or(usize::MAX))
    }

    /// The value of an attribute.
    pub fn attribute(&self, key: &str) -> Option<AttributeValue> {
        self.part.rows.attribute(self.row, key)
    }

    /// The type of the value of an attribute, or of those in its list; and whether it is a list.
    pub fn attribute_type(&self, key: &str) -> Option<(DType, bool)> {
        self.part.rows.attribute_type(self.row, key)
    }

    /// True if it has an attribute.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.part.rows.has(self.row, key)
    }

    /// The rows that contain it, its row, and the number of its schema, for copying.
    pub(crate) fn row(&self) -> (&'a Rows, usize, u32) {
        (&self.part.rows, self.row, self.part.schema(self.row).unwrap_or(u32::MAX))
    }
}

impl Part {
    pub(crate) fn of_manifest(first: u32, schemas: Vec<Option<u32>>, rows: Arc<Rows>) -> Self {
        Self { first, schemas: Some(schemas), rows }
    }

    fn schema(&self, row: usize) -> Option<u32> {
        let schema = self.rows.schema(row);
        match &self.schemas {
            Some(schemas) => schemas.get(schema as usize).copied().flatten(),
            None => Some(schema),
        }
    }

    pub(crate) fn rows(&self) -> &Arc<Rows> {
        &self.rows
    }

    /// The rows of this part with their ordinals.
    pub(crate) fn ordinals(&self) -> impl Iterator<Item = (u32, usize)> {
        self.rows.ordinals().iter().map(|ordinal| self.first + ordinal).zip(0..)
    }
}

impl Deref for Catalog {
    type Target = Root;

    fn deref(&self) -> &Root {
        &self.root
    }
}

impl Catalog {
    /// The catalog with this root, and with the rows of its manifests.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn of(root: Arc<Root>, manifests: Vec<Part>) -> Result<Self, String> {
        let mut parts = manifests;
        parts.push(Part { first: 0, schemas: None, rows: Arc::clone(&root.rows) });
        let mut catalog = Self {
            root,
            parts,
            bases: Vec::new(),
            replaced: HashMap::new(),
            by_name: None,
            names: OnceLock::new(),
        };
        catalog.place();
        catalog.check_rows()?;
        catalog.sort()?;
        Ok(catalog)
    }

    /// Finds the row that counts for each ordinal.
    fn place(&mut self) {
        let mut next = 0;
        for (number, part) in self.parts.iter().enumerate() {
            let known = part.rows.ordinals().partition_point(|ordinal| part.first + ordinal < next);
            let replaced = part.ordinals().take(known);
            self.replaced.extend(replaced.map(|(ordinal, row)| (ordinal, (number, row))));
            let new = part.ordinals().nth(known);
            if let Some((start, row)) = new {
                self.bases.push(Base { start, part: number, row });
                next = part.rows.ordinals().last().map_or(next, |last| part.first + last + 1);
            }
        }
    }

    /// Sorts the datasets by name, unless they are sorted already.
    fn sort(&mut self) -> Result<(), String> {
        let twice = |name: &str| format!("it has dataset `{name}` twice");
        let mut before: Option<&str> = None;
        let sorted = self.datasets().all(|(_, dataset)| {
            let name = dataset.name();
            before.replace(name).is_none_or(|before| before < name)
        });
        if sorted {
            return Ok(());
        }
        let mut datasets: Vec<(&str, u32)> =
            self.datasets().map(|(ordinal, dataset)| (dataset.name(), ordinal)).collect();
        // Sorting is fast if they are a few sorted runs.
        datasets.sort();
        if let Some([a, _]) = datasets.array_windows().find(|[a, b]| a.0 == b.0) {
            return Err(twice(a.0));
        }
        self.by_name = Some(datasets.into_iter().map(|(_, ordinal)| ordinal).collect());
        Ok(())
    }

    /// The parts that come from manifests.
    pub(crate) fn manifest_parts(&self) -> &[Part] {
        self.parts.split_last().map_or(&[], |(_, manifests)| manifests)
    }

    /// The datasets, with their ordinals, in order of ordinal.
    pub fn datasets(&self) -> impl Iterator<Item = (u32, Dataset<'_>)> {
        let rows = self.bases.iter().flat_map(|base| {
            let part = self.parts.get(base.part);
            part.into_iter().flat_map(|part| {
                part.ordinals().skip(base.row).map(move |(ordinal, row)| (ordinal, Dataset { part, row }))
            })
        });
        rows.filter_map(|(ordinal, dataset)| Some((ordinal, self.current(ordinal, dataset)?)))
    }

    /// The row that counts for an ordinal whose first row is `first`.
    fn current<'a>(&'a self, ordinal: u32, first: Dataset<'a>) -> Option<Dataset<'a>> {
        let replaced = if self.replaced.is_empty() { None } else { self.replaced.get(&ordinal) };
        let dataset = match replaced {
            Some(&(part, row)) => Dataset { part: self.parts.get(part)?, row },
            None => first,
        };
        (!dataset.part.rows.is_deleted(dataset.row)).then_some(dataset)
    }

    /// The dataset with an ordinal.
    pub fn dataset(&self, ordinal: u32) -> Option<Dataset<'_>> {
        let after = self.bases.partition_point(|base| base.start <= ordinal);
        let base = self.bases.get(after.checked_sub(1)?)?;
        let part = self.parts.get(base.part)?;
        let row = part.rows.find(ordinal.checked_sub(part.first)?)?;
        self.current(ordinal, Dataset { part, row })
    }

    /// The ordinal of the dataset with a name.
    pub fn ordinal(&self, name: &str) -> Option<u32> {
        if let Some(by_name) = &self.by_name {
            let name_of = |ordinal: u32| self.dataset(ordinal).map(|dataset| dataset.name());
            let place = by_name.binary_search_by(|&ordinal| name_of(ordinal).cmp(&Some(name))).ok()?;
            return by_name.get(place).copied();
        }
        // The datasets are sorted by name, and some ordinals are unused.
        let (mut low, mut high) = (0, self.next);
        while low < high {
            let middle = low.midpoint(high);
            // The first dataset from the middle on.
            let Some((found, dataset)) = (middle..high).find_map(|o| Some((o, self.dataset(o)?))) else {
                high = middle;
                continue;
            };
            match dataset.name().cmp(name) {
                std::cmp::Ordering::Less => low = found + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(found),
            }
        }
        None
    }

    /// The schema of a dataset.
    pub fn schema(&self, dataset: Dataset<'_>) -> &DatasetSchema {
        // `check` made sure that the schema of every dataset exists.
        static NONE: DatasetSchema =
            DatasetSchema { dims: Vec::new(), arrays: Vec::new(), attributes: Vec::new() };
        self.schemas.get(dataset.schema()).map_or(&NONE, |schema| schema)
    }

    /// An array of a dataset, by name.
    pub fn array(&self, dataset: Dataset<'_>, name: &str) -> Option<&Arc<ArraySchema>> {
        let schema = self.schema(dataset);
        let names = self.names(dataset.schema());
        let place = names?.arrays.find(name, |place| Some(self.array_at(schema, place)?.name.as_str()))?;
        self.array_at(schema, place)
    }

    fn array_at(&self, schema: &DatasetSchema, place: usize) -> Option<&Arc<ArraySchema>> {
        self.arrays.get(*schema.arrays.get(place)?)
    }

    /// The size of a dimension of a dataset.
    pub fn size(&self, dataset: Dataset<'_>, dim: &str) -> Option<usize> {
        let schema = self.schema(dataset);
        let names = self.names(dataset.schema())?;
        let place = names.dims.find(dim, |place| schema.dims.get(place).map(String::as_str))?;
        dataset.size_at(place)
    }

    /// The shape of an array of a dataset.
    pub fn shape(&self, dataset: Dataset<'_>, array: &ArraySchema) -> Vec<usize> {
        array.dims.iter().filter_map(|dim| self.size(dataset, dim)).collect()
    }

    /// The chunks of an array of a dataset.
    pub fn chunk_grid(&self, dataset: Dataset<'_>, array: &ArraySchema) -> ChunkGrid {
        let shape = self.shape(dataset, array);
        ChunkGrid::new(&shape, &array.chunk_shape(&shape))
    }

    /// The names in a schema, by its number.
    fn names(&self, schema: usize) -> Option<&Names> {
        let names = self.names.get_or_init(|| {
            let names = |schema: &Arc<DatasetSchema>| Names {
                arrays: Sorted::of(schema.arrays.len(), |place| {
                    Some(self.array_at(schema, place)?.name.as_str())
                }),
                dims: Sorted::of(schema.dims.len(), |place| schema.dims.get(place).map(String::as_str)),
            };
            self.schemas.iter().map(names).collect()
        });
        names.get(schema)
    }

    /// The attributes of a dataset.
    pub fn attributes<'a>(
        &'a self,
        dataset: Dataset<'a>,
    ) -> impl Iterator<Item = (&'a str, AttributeValue)> + use<'a> {
        let keys = self.schema(dataset).attributes.iter();
        keys.filter_map(move |key| Some((key.as_str(), dataset.attribute(key)?)))
    }
}

impl Root {
    /// The arrays of a schema.
    pub fn arrays<'a>(&'a self, schema: &'a DatasetSchema) -> impl Iterator<Item = &'a Arc<ArraySchema>> {
        schema.arrays.iter().filter_map(|&number| self.arrays.get(number))
    }
}

#[cfg(test)]
mod tests;
