//! What has been changed and not yet committed.

mod changes;
mod draft;
mod open_chunk;
mod sealed;
mod writers;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::error::ArrowError;

pub(crate) use self::changes::{Changed, Changes};
use self::draft::{Arrays, Draft, DraftArray, extended};
use self::open_chunk::{OpenChunk, Under};
use self::sealed::Sealed;
use self::writers::Writers;
use crate::error::{Error, Result};
use crate::format::catalog::SegmentEntry;
use crate::model::dtype::DType;
use crate::model::grid::Region;
use crate::model::schema::{ArraySchema, Attributes};
use crate::model::schema::{check_attribute, check_name, check_shape};
use crate::model::value::AttributeValue;
use crate::read::snapshot::{Snapshot, VariableIndex, check_region};
use crate::storage::files::ReadMetrics;
use crate::storage::names::token;

/// Chunks that are read and written again at one time.
const MERGED: usize = 32;

/// The changes to one generation of a store.
pub(crate) struct Pending {
    /// The generation that is being changed.
    base: Arc<Snapshot>,
    /// The token in the names of this writer's segments, which tells them from those of others.
    token: u64,
    /// Attributes of the store that are new or changed.
    attributes: Attributes,
    /// The datasets that are new or changed.
    drafts: Vec<Draft>,
    /// Where committed datasets that are changed are in `drafts`.
    changed: HashMap<u32, usize>,
    /// Names that mean another dataset than in the base: a draft, or none.
    names: HashMap<String, Option<usize>>,
    /// Datasets that were created.
    created: usize,
    /// Every different array that a draft has.
    schemas: HashSet<Arc<ArraySchema>>,
    writers: Writers,
    /// True once a write failed half-way.
    poisoned: bool,
}

/// A chunk to merge with what is under it: its dataset's ordinal, its coordinate, its cells.
type Merge = (u32, Vec<u32>, OpenChunk);

/// Chunks to merge, by variable and type.
type Merges = BTreeMap<(String, DType), Vec<Merge>>;

impl Pending {
    pub(crate) fn new(base: Arc<Snapshot>) -> Self {
        Self {
            base,
            token: token(),
            attributes: Attributes::new(),
            drafts: Vec::new(),
            changed: HashMap::new(),
            names: HashMap::new(),
            created: 0,
            schemas: HashSet::new(),
            writers: Writers::default(),
            poisoned: false,
        }
    }

    /// Forgets all that is pending.
    pub(crate) fn forget(&mut self) {
        *self = Self::new(Arc::clone(&self.base));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.drafts.is_empty() && self.attributes.is_empty()
    }

    /// Sets an attribute of the store.
    pub(crate) fn set_store_attribute(&mut self, key: &str, value: AttributeValue) -> Result<()> {
        check_value(key, &value)?;
        set(&mut self.attributes, key, value);
        Ok(())
    }

    /// The names of the datasets: those of the base that are still there, and then the new ones.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let base = self.base.catalog().datasets().filter_map(|(ordinal, dataset)| {
            match self.changed.get(&ordinal).and_then(|&position| self.drafts.get(position)) {
                Some(draft) => (!draft.deleted).then_some(draft.name.as_str()),
                None => Some(dataset.name.as_str()),
            }
        });
        let first = self.first_new();
        let new = self.drafts.iter().filter(move |draft| draft.ordinal >= first && !draft.deleted);
        base.chain(new.map(|draft| draft.name.as_str()))
    }

    /// True where a dataset has that name, committed or pending.
    pub(crate) fn exists(&self, name: &str) -> bool {
        match self.names.get(name) {
            Some(position) => position.is_some(),
            None => self.base.catalog().ordinal(name).is_some(),
        }
    }

    pub(crate) fn create_dataset(&mut self, name: &str) -> Result<()> {
        self.check_free(name)?;
        let ordinal = u32::try_from(self.base.catalog().datasets.len() + self.created);
        let ordinal = ordinal.ok().filter(|&ordinal| ordinal < u32::MAX).ok_or_else(|| Error::Location {
            location: self.base.storage().to_string(),
            reason: "it has as many datasets as a store can have".to_owned(),
        })?;
        self.created += 1;
        self.names.insert(name.to_owned(), Some(self.drafts.len()));
        self.drafts.push(Draft {
            ordinal,
            name: name.to_owned(),
            arrays: Arrays::default(),
            attributes: Vec::new(),
            deleted: false,
        });
        Ok(())
    }

    pub(crate) fn delete_dataset(&mut self, name: &str) -> Result<()> {
        let position = self.position(name)?;
        let Some(draft) = self.drafts.get_mut(position) else { return Ok(()) };
        draft.deleted = true;
        for array in std::mem::take(&mut draft.arrays).into_iter() {
            self.writers.forget(&array.schema, draft.ordinal);
        }
        self.names.insert(name.to_owned(), None);
        Ok(())
    }

    pub(crate) fn rename_dataset(&mut self, name: &str, new: &str) -> Result<()> {
        let position = self.position(name)?;
        if name == new {
            return Ok(());
        }
        self.check_free(new)?;
        if let Some(draft) = self.drafts.get_mut(position) {
            new.clone_into(&mut draft.name);
        }
        self.names.insert(name.to_owned(), None);
        self.names.insert(new.to_owned(), Some(position));
        Ok(())
    }

    pub(crate) fn set_attribute(&mut self, dataset: &str, key: &str, value: AttributeValue) -> Result<()> {
        check_value(key, &value)?;
        set(&mut self.dataset(dataset)?.attributes, key, value);
        Ok(())
    }

    pub(crate) fn remove_attribute(&mut self, dataset: &str, key: &str) -> Result<()> {
        let draft = self.dataset(dataset)?;
        remove(&mut draft.attributes, key).ok_or_else(|| Error::NoAttribute {
            of: format!("dataset `{dataset}`"),
            attribute: key.to_owned(),
        })
    }

    pub(crate) fn set_array_attribute(
        &mut self,
        dataset: &str,
        array: &str,
        key: &str,
        value: AttributeValue,
    ) -> Result<()> {
        check_value(key, &value)?;
        self.change_schema(dataset, array, |schema| {
            set(&mut schema.attributes, key, value);
            Ok(())
        })
    }

    pub(crate) fn remove_array_attribute(&mut self, dataset: &str, array: &str, key: &str) -> Result<()> {
        self.change_schema(dataset, array, |schema| {
            remove(&mut schema.attributes, key).ok_or_else(|| Error::NoAttribute {
                of: format!("array `{array}` of dataset `{dataset}`"),
                attribute: key.to_owned(),
            })
        })
    }

    fn change_schema(
        &mut self,
        dataset: &str,
        array: &str,
        change: impl FnOnce(&mut ArraySchema) -> Result<()>,
    ) -> Result<()> {
        let mut schema = ArraySchema::clone(&self.dataset(dataset)?.array(array)?.schema);
        change(&mut schema)?;
        let schema = intern(&mut self.schemas, schema);
        self.dataset(dataset)?.array(array)?.schema = schema;
        Ok(())
    }

    pub(crate) fn define(&mut self, dataset: &str, schema: ArraySchema, shape: &[usize]) -> Result<()> {
        check_name("an array", &schema.name)?;
        for dim in &schema.dims {
            check_name("a dimension", dim)?;
        }
        let first_new = self.first_new();
        let known = self.base.catalog().variables.contains_key(&schema.name);
        let draft = self.dataset(dataset)?;
        if draft.arrays.contains(&schema.name) {
            return Err(Error::ArrayExists { dataset: draft.name.clone(), array: schema.name });
        }
        check_shape(&schema, shape).map_err(|reason| shape_error(&draft.name, &schema.name, reason))?;
        for (dim, &found) in schema.dims.iter().zip(shape) {
            if let Some(expected) = draft.arrays.size(dim).filter(|&expected| expected != found) {
                return Err(Error::DimensionSize {
                    dataset: dataset.to_owned(),
                    array: schema.name.clone(),
                    dimension: dim.clone(),
                    expected,
                    found,
                });
            }
        }
        let replaces = known && draft.ordinal < first_new;
        let schema = intern(&mut self.schemas, schema);
        self.dataset(dataset)?.arrays.push(DraftArray {
            schema,
            shape: shape.to_vec(),
            committed: None,
            replaces,
            open: BTreeMap::new(),
            sealed: Sealed::default(),
        });
        Ok(())
    }

    pub(crate) fn delete_array(&mut self, dataset: &str, array: &str) -> Result<()> {
        let draft = self.dataset(dataset)?;
        let Some(deleted) = draft.arrays.remove(array) else {
            return Err(Error::NoArray { dataset: draft.name.clone(), array: array.to_owned() });
        };
        let ordinal = draft.ordinal;
        self.writers.forget(&deleted.schema, ordinal);
        Ok(())
    }

    /// Makes a dimension longer, and with it every array over it.
    pub(crate) fn extend(&mut self, dataset: &str, dim: &str, size: usize) -> Result<()> {
        let draft = self.dataset(dataset)?;
        let Some(before) = draft.arrays.size(dim) else {
            return Err(Error::NoDimension { dataset: dataset.to_owned(), dimension: dim.to_owned() });
        };
        if size < before {
            return Err(Error::Shrink {
                dataset: dataset.to_owned(),
                dimension: dim.to_owned(),
                size: before,
                wanted: size,
            });
        }
        let mut schemas = Vec::new();
        for array in draft.arrays.iter() {
            let Some(d) = array.schema.dims.iter().position(|name| name == dim) else { continue };
            let schema = extended(&array.schema, &array.shape, d, size);
            let mut shape = array.shape.clone();
            shape.get_mut(d).into_iter().for_each(|extent| *extent = size);
            check_shape(&schema, &shape).map_err(|reason| shape_error(dataset, &schema.name, reason))?;
            schemas.push(schema);
        }
        let schemas = schemas.into_iter().map(|schema| intern(&mut self.schemas, schema));
        let schemas = schemas.map(|schema| (schema.name.clone(), schema)).collect();
        self.dataset(dataset)?.arrays.extend(dim, size, schemas);
        Ok(())
    }

    /// Writes the cells of a region, in row-major order; null ones and those that equal the fill value are
    /// missing.
    pub(crate) async fn write(
        &mut self,
        dataset: &str,
        array: &str,
        region: Region,
        cells: ArrayRef,
    ) -> Result<()> {
        if self.poisoned {
            return Err(Error::Poisoned);
        }
        let draft = self.dataset(dataset)?;
        let ordinal = draft.ordinal;
        let pending = draft.array(array)?;
        let schema = Arc::clone(&pending.schema);
        if DType::from_arrow(cells.data_type()) != Some(schema.dtype) {
            return Err(Error::WrongType {
                dataset: dataset.to_owned(),
                array: array.to_owned(),
                expected: schema.dtype,
                found: DType::from_arrow(cells.data_type())
                    .map_or_else(|| cells.data_type().to_string(), |dtype| dtype.to_string()),
            });
        }
        check_region(dataset, array, &region, &pending.shape)?;
        if region.cells() != cells.len() {
            let (found, shape) = (cells.len(), &region.shape);
            let reason = format!("{found} values were given for a region of shape {shape:?}");
            return Err(shape_error(dataset, array, reason));
        }
        let cells = match &schema.fill {
            Some(fill) => schema.dtype.mask(&cells, fill),
            None => cells,
        };
        let complete = pending.write(&region, &cells);
        // From here on a failure leaves the array half written.
        self.poisoned = true;
        let complete = complete.map_err(|e| failed(dataset, array, &e))?;
        for (coordinate, cells) in complete {
            let writer = self.writers.of(&self.base, self.token, array, schema.dtype);
            writer.append(ordinal, coordinate, cells).await?;
        }
        self.poisoned = false;
        Ok(())
    }

    /// Writes all that is still in memory, and gives the changes for a catalog to name.
    pub(crate) async fn finish(&mut self) -> Result<Changes> {
        if self.poisoned {
            return Err(Error::Poisoned);
        }
        // From here on nothing can be added: what fails half-way cannot be taken up again.
        self.poisoned = true;
        let mut changes = Changes::default();
        let finished = self.write_segments(&mut changes.segments).await;
        if let Err(error) = finished {
            let storage = self.base.storage().clone();
            self.writers.abort().await;
            changes.discard(&storage).await;
            return Err(error);
        }
        changes.attributes = std::mem::take(&mut self.attributes);
        changes.datasets = std::mem::take(&mut self.drafts)
            .into_iter()
            .map(|draft| (draft.ordinal, (!draft.deleted).then(|| Changed::from(draft))))
            .collect();
        Ok(changes)
    }

    async fn write_segments(&mut self, segments: &mut Vec<(String, SegmentEntry)>) -> Result<()> {
        let (mut over_committed, mut over_written) = (Merges::new(), Merges::new());
        for draft in &mut self.drafts {
            for array in draft.arrays.iter_mut() {
                let (name, dtype) = (&array.schema.name, array.schema.dtype);
                if array.replaces {
                    self.writers.of(&self.base, self.token, name, dtype).delete(draft.ordinal);
                }
                for (coordinate, chunk) in std::mem::take(&mut array.open) {
                    let merges = match chunk.under() {
                        Under::Written(_) => &mut over_written,
                        Under::Committed(_) | Under::Nothing => &mut over_committed,
                    };
                    merges.entry((name.clone(), dtype)).or_default().push((draft.ordinal, coordinate, chunk));
                }
            }
        }
        for ((name, dtype), merges) in over_committed {
            let index = self.base.index(&name, &ReadMetrics::default()).await?;
            self.merge(&name, dtype, &index, merges).await?;
        }
        self.writers.finish(segments).await?;
        // Parts of chunks that were complete before lie in segments that can be read only now.
        for ((name, dtype), merges) in over_written {
            let entries = segments.iter().filter(|(variable, _)| *variable == name).map(|(_, entry)| entry);
            let index = self.base.index_of(&name, entries, &ReadMetrics::default()).await?;
            self.merge(&name, dtype, &index, merges).await?;
        }
        self.writers.finish(segments).await
    }

    /// Writes chunks over what `index` has of them.
    async fn merge(
        &mut self,
        name: &str,
        dtype: DType,
        index: &VariableIndex,
        merges: Vec<Merge>,
    ) -> Result<()> {
        for merges in merges.chunks(MERGED) {
            let found: Vec<_> = merges
                .iter()
                .map(|(ordinal, coordinate, chunk)| match chunk.under() {
                    Under::Nothing => None,
                    Under::Committed(_) | Under::Written(_) => index.find(*ordinal, coordinate),
                })
                .collect();
            let mut sorted: Vec<_> = found.iter().flatten().copied().collect();
            sorted.sort_unstable();
            let cells = self.base.chunks(index, &sorted, &ReadMetrics::default()).await?;
            let cells: HashMap<_, _> = sorted.into_iter().zip(cells).collect();
            for ((ordinal, coordinate, chunk), found) in merges.iter().zip(found) {
                if found.is_none() && chunk.is_untouched() {
                    continue;
                }
                let under = found.and_then(|found| cells.get(&found).cloned());
                let merged = chunk.assemble(dtype, under).map_err(|e| Error::corrupt(name, e.to_string()))?;
                let writer = self.writers.of(&self.base, self.token, name, dtype);
                writer.append(*ordinal, coordinate.clone(), merged).await?;
            }
        }
        Ok(())
    }

    /// The ordinal of the first dataset that is not in the base.
    fn first_new(&self) -> u32 {
        u32::try_from(self.base.catalog().datasets.len()).unwrap_or(u32::MAX)
    }

    fn check_free(&self, name: &str) -> Result<()> {
        check_name("a dataset", name)?;
        if self.exists(name) { Err(Error::DatasetExists { dataset: name.to_owned() }) } else { Ok(()) }
    }

    fn dataset(&mut self, name: &str) -> Result<&mut Draft> {
        let position = self.position(name)?;
        self.drafts.get_mut(position).ok_or_else(|| Error::NoDataset { dataset: name.to_owned() })
    }

    /// Where a dataset is in `drafts`: a committed one is put there to be changed.
    fn position(&mut self, name: &str) -> Result<usize> {
        let missing = || Error::NoDataset { dataset: name.to_owned() };
        if let Some(position) = self.names.get(name) {
            return position.ok_or_else(missing);
        }
        let catalog = self.base.catalog();
        let ordinal = catalog.ordinal(name).ok_or_else(missing)?;
        let dataset = catalog.dataset(ordinal).ok_or_else(missing)?;
        self.drafts.push(Draft::of(catalog, ordinal, dataset));
        let position = self.drafts.len() - 1;
        self.changed.insert(ordinal, position);
        self.names.insert(name.to_owned(), Some(position));
        Ok(position)
    }
}

/// The one among equal schemas that drafts share.
fn intern(schemas: &mut HashSet<Arc<ArraySchema>>, schema: ArraySchema) -> Arc<ArraySchema> {
    if let Some(known) = schemas.get(&schema) {
        return Arc::clone(known);
    }
    let schema = Arc::new(schema);
    schemas.insert(Arc::clone(&schema));
    schema
}

fn set(attributes: &mut Attributes, key: &str, value: AttributeValue) {
    match attributes.iter_mut().find(|(name, _)| name == key) {
        Some((_, old)) => *old = value,
        None => attributes.push((key.to_owned(), value)),
    }
}

fn remove(attributes: &mut Attributes, key: &str) -> Option<()> {
    let position = attributes.iter().position(|(name, _)| name == key)?;
    attributes.remove(position);
    Some(())
}

fn shape_error(dataset: &str, array: &str, reason: String) -> Error {
    Error::Shape { dataset: dataset.to_owned(), array: array.to_owned(), reason }
}

fn failed(dataset: &str, array: &str, error: &ArrowError) -> Error {
    shape_error(dataset, array, error.to_string())
}

fn check_value(key: &str, value: &AttributeValue) -> Result<()> {
    check_attribute(key)?;
    value.check().map_err(|reason| Error::Attribute { attribute: key.to_owned(), reason })
}
