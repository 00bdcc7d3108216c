//! Uncommitted changes.

mod draft;
mod names;
mod open_chunk;
mod reading;
mod sealed;
mod settled;
mod writers;
mod writing;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::catalog::Catalog;
use crate::model::dtype::DType;
use crate::model::schema::{ArraySchema, Attributes, check_attribute, check_name, check_shape};
use crate::model::value::AttributeValue;
use crate::read::snapshot::Snapshot;
use crate::storage::names::token;
use crate::write::changes::{Changed, NewSegment, StoreAttribute, set};

use self::draft::{Draft, DraftArray, extended};
use self::names::{Datasets, Names};
pub(crate) use self::open_chunk::OpenChunk;
pub(crate) use self::reading::{PendingChunks, PendingRead, Source};
use self::sealed::Sealed;
use self::settled::Settled;
pub(crate) use self::writers::Writers;

/// The changes to one generation of a store, without the chunks that are being written to segments.
pub(crate) struct Pending {
    /// The generation that is being changed.
    base: Arc<Snapshot>,
    /// Attributes of the store that are new or changed, in the order of the changes.
    attributes: Vec<(String, StoreAttribute)>,
    /// The datasets that are new or changed, by ordinal.
    drafts: HashMap<u32, Draft>,
    /// New datasets that are no longer drafts.
    settled: Settled,
    /// Names that refer to another dataset than in the base, or to none.
    names: Names,
    /// The distinct arrays of the drafts.
    schemas: HashSet<Arc<ArraySchema>>,
    /// Complete segments. Their first ordinal is that of the base.
    segments: Vec<NewSegment>,
    /// True during a commit, when nothing can be changed.
    flushing: bool,
    /// True once a write failed halfway.
    poisoned: bool,
    /// The token of a commit of exactly these changes whose outcome is unknown.
    attempt: Option<String>,
    /// True once such a commit was tried and not refused. Files may then belong to a generation.
    attempted: bool,
}

impl Pending {
    pub(crate) fn new(base: Arc<Snapshot>) -> Self {
        Self {
            base,
            attributes: Vec::new(),
            drafts: HashMap::new(),
            settled: Settled::default(),
            names: Names::default(),
            schemas: HashSet::new(),
            segments: Vec::new(),
            flushing: false,
            poisoned: false,
            attempt: None,
            attempted: false,
        }
    }

    /// Begins to commit the changes, under a token. The token of the last attempt is used again if
    /// nothing was changed since.
    pub(crate) fn attempt(&mut self) -> String {
        self.attempted = true;
        self.attempt.get_or_insert_with(token).clone()
    }

    /// Records that the changes were certainly not committed.
    pub(crate) fn refused(&mut self) {
        self.attempted = false;
    }

    /// True if the changes may be committed although the attempt failed.
    pub(crate) fn may_be_committed(&self) -> bool {
        self.attempted
    }

    /// The generation that is being changed.
    pub(crate) fn base(&self) -> &Arc<Snapshot> {
        &self.base
    }

    fn catalog(&self) -> Result<Arc<Catalog>> {
        self.base.catalog()
    }

    /// The ordinal of the first dataset that is not in the base.
    fn first_new(&self) -> u32 {
        self.base.root().next
    }

    /// Complete segments that no catalog names.
    pub(crate) fn segments(&self) -> &[NewSegment] {
        &self.segments
    }

    /// Adds complete segments.
    pub(crate) fn add_segments(&mut self, segments: impl IntoIterator<Item = NewSegment>) {
        self.segments.extend(segments);
    }

    /// True if nothing is pending.
    pub(crate) fn is_empty(&self) -> Result<bool> {
        if !self.attributes.is_empty() || !self.segments.is_empty() || self.settled.created() > 0 {
            return Ok(false);
        }
        for draft in self.drafts.values() {
            if draft.deleted || draft.is_written() || self.is_changed(draft)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// True if a draft of a committed dataset differs from it.
    fn is_changed(&self, draft: &Draft) -> Result<bool> {
        Ok(self.committed(draft)?.as_ref() != Some(&draft.changed()))
    }

    /// The dataset of a draft as it was committed.
    fn committed(&self, draft: &Draft) -> Result<Option<Changed>> {
        let catalog = self.catalog()?;
        Ok(catalog.dataset(draft.ordinal).map(|dataset| Changed::of(&catalog, dataset)))
    }

    /// Forbids changes until [`resume`](Self::resume).
    pub(crate) fn pause(&mut self) -> Result<()> {
        let attempt = self.attempt.take();
        self.check_open()?;
        (self.attempt, self.flushing) = (attempt, true);
        Ok(())
    }

    pub(crate) fn resume(&mut self) {
        self.flushing = false;
    }

    /// Forbids commits unless [`mend`](Self::mend) follows, because the operation that begins now
    /// cannot be repeated.
    pub(crate) fn poison(&mut self) {
        self.poisoned = true;
    }

    pub(crate) fn mend(&mut self) {
        self.poisoned = false;
    }

    fn check_open(&mut self) -> Result<()> {
        if self.flushing {
            return Err(Error::Flushing);
        }
        if self.poisoned {
            return Err(Error::Poisoned);
        }
        // The next commit will have other changes.
        self.attempt = None;
        Ok(())
    }

    /// Sets an attribute of the store.
    pub(crate) fn set_store_attribute(&mut self, key: &str, value: AttributeValue) -> Result<()> {
        check_value(key, &value)?;
        self.check_open()?;
        self.attributes.retain(|(name, _)| name != key);
        self.attributes.push((key.to_owned(), StoreAttribute::Set(value)));
        Ok(())
    }

    /// Updates an attribute of the store at the time of the commit, from its value then.
    pub(crate) fn update_store_attribute(&mut self, key: &str, update: StoreAttribute) -> Result<()> {
        check_attribute(key)?;
        self.check_open()?;
        self.attributes.push((key.to_owned(), update));
        Ok(())
    }

    /// The attributes of the store.
    pub(crate) fn store_attributes(&self) -> Attributes {
        let mut attributes = self.base.root().attributes.clone();
        for (key, value) in &self.attributes {
            let value = value.over(&attributes, key);
            set(&mut attributes, key, value);
        }
        attributes
    }

    /// The names of the datasets: those of the base that still exist, and then the new ones.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let catalog = self.catalog()?;
        let new = self.first_new()..self.first_new() + self.settled.created();
        let mut names = Vec::with_capacity(catalog.dataset_count() + new.len());
        for (ordinal, dataset) in catalog.datasets() {
            match self.drafts.get(&ordinal) {
                Some(draft) if draft.deleted => {}
                Some(draft) => names.push(draft.name.clone()),
                None => names.push(dataset.name().to_owned()),
            }
        }
        names.extend(new.filter_map(|ordinal| match self.drafts.get(&ordinal) {
            Some(draft) => (!draft.deleted).then(|| draft.name.clone()),
            None => self.settled.name(ordinal - self.first_new()).map(str::to_owned),
        }));
        Ok(names)
    }

    /// The arrays of datasets including pending changes, by name and type, in the order of names.
    pub(crate) fn variables(&self) -> Result<BTreeMap<String, HashSet<DType>>> {
        let mut found: BTreeMap<String, HashSet<_>> = BTreeMap::new();
        let mut add = |array: &ArraySchema| {
            found.entry(array.name.clone()).or_default().insert(array.dtype);
        };
        let first = self.first_new();
        if self.drafts.keys().all(|&ordinal| ordinal >= first) {
            self.base.root().arrays.iter().for_each(|array| add(array));
        } else {
            let catalog = self.catalog()?;
            let unchanged = catalog.datasets().filter(|(ordinal, _)| !self.drafts.contains_key(ordinal));
            let schemas: HashSet<usize> = unchanged.map(|(_, dataset)| dataset.schema()).collect();
            let schemas = schemas.into_iter().filter_map(|schema| catalog.dataset_schemas().get(schema));
            schemas.for_each(|schema| catalog.arrays(schema).for_each(|array| add(array)));
        }
        self.settled.arrays().for_each(|array| add(array));
        for draft in self.drafts.values().filter(|draft| !draft.deleted) {
            draft.arrays.iter().for_each(|array| add(&array.schema));
        }
        Ok(found)
    }

    /// True if a dataset has that name, committed or pending.
    pub(crate) fn exists(&self, name: &str) -> Result<bool> {
        self.ordinal(name).map(|ordinal| ordinal.is_some())
    }

    fn datasets(&self) -> Datasets<'_> {
        Datasets { drafts: &self.drafts, settled: &self.settled, first_new: self.first_new() }
    }

    /// The ordinal of the dataset that currently has a name.
    fn ordinal(&self, name: &str) -> Result<Option<u32>> {
        if let Some(ordinal) = self.names.get(name, self.datasets()) {
            return Ok(ordinal);
        }
        if !self.base.root().may_have(name) {
            return Ok(None);
        }
        Ok(self.catalog()?.ordinal(name))
    }

    fn check_free(&self, name: &str) -> Result<()> {
        check_name("a dataset", name)?;
        if self.exists(name)? { Err(Error::DatasetExists { dataset: name.to_owned() }) } else { Ok(()) }
    }

    pub(crate) fn create_dataset(&mut self, name: &str) -> Result<()> {
        self.check_open()?;
        self.check_free(name)?;
        let first_new = self.first_new();
        let ordinal = first_new.checked_add(self.settled.created());
        let ordinal = ordinal.filter(|&ordinal| ordinal < u32::MAX - 1).ok_or_else(|| Error::Limit {
            location: self.base.storage().to_string(),
            reason: "it has as many datasets as a store can have".to_owned(),
        })?;
        self.settle()?;
        self.settled.create();
        self.drafts.insert(ordinal, Draft::new(ordinal, name));
        let datasets = Datasets { drafts: &self.drafts, settled: &self.settled, first_new };
        self.names.create(name, ordinal, datasets);
        Ok(())
    }

    /// The draft of a dataset, to be changed.
    fn draft(&mut self, name: &str) -> Result<&mut Draft> {
        self.check_open()?;
        let missing = || Error::NoDataset { dataset: name.to_owned() };
        let ordinal = self.ordinal(name)?.ok_or_else(missing)?;
        if !self.drafts.contains_key(&ordinal) {
            let draft = match ordinal.checked_sub(self.first_new()) {
                Some(number) => self.settled.draft(number, ordinal),
                None => {
                    let catalog = self.catalog()?;
                    catalog.dataset(ordinal).map(|dataset| Draft::of(&catalog, dataset))
                }
            };
            self.drafts.insert(ordinal, draft.ok_or_else(missing)?);
        }
        self.drafts.get_mut(&ordinal).ok_or_else(missing)
    }

    /// Deletes a dataset. Returns the arrays whose chunks need not be written any more, and the
    /// dataset's ordinal.
    pub(crate) fn delete_dataset(&mut self, name: &str) -> Result<(Vec<Arc<ArraySchema>>, u32)> {
        let draft = self.draft(name)?;
        draft.deleted = true;
        let ordinal = draft.ordinal;
        let arrays = std::mem::take(&mut draft.arrays).into_iter().map(|array| array.schema).collect();
        self.names.change(name, ordinal, None);
        Ok((arrays, ordinal))
    }

    pub(crate) fn rename_dataset(&mut self, name: &str, new: &str) -> Result<()> {
        let ordinal = self.draft(name)?.ordinal;
        if name == new {
            return Ok(());
        }
        self.check_free(new)?;
        new.clone_into(&mut self.draft(name)?.name);
        self.names.change(name, ordinal, Some(new));
        Ok(())
    }

    pub(crate) fn set_attribute(&mut self, dataset: &str, key: &str, value: AttributeValue) -> Result<()> {
        check_value(key, &value)?;
        set(&mut self.draft(dataset)?.attributes, key, value);
        Ok(())
    }

    pub(crate) fn remove_attribute(&mut self, dataset: &str, key: &str) -> Result<()> {
        let draft = self.draft(dataset)?;
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
        let mut schema = ArraySchema::clone(&self.draft(dataset)?.array(array)?.schema);
        change(&mut schema)?;
        let schema = intern(&mut self.schemas, schema);
        self.draft(dataset)?.array(array)?.schema = schema;
        Ok(())
    }

    pub(crate) fn define(&mut self, dataset: &str, mut schema: ArraySchema, shape: &[usize]) -> Result<()> {
        check_name("an array", &schema.name)?;
        for dim in &schema.dims {
            check_name("a dimension", dim)?;
        }
        let first_new = self.first_new();
        let committed = self.base.root().variables.contains_key(&schema.name);
        let written = self.segments.iter().any(|segment| segment.variable == schema.name);
        let draft = self.draft(dataset)?;
        if draft.arrays.contains(&schema.name) {
            return Err(Error::ArrayExists { dataset: draft.name.clone(), array: schema.name });
        }
        check_shape(&schema, shape).map_err(|reason| shape_error(&draft.name, &schema.name, reason))?;
        for (place, &size) in shape.iter().enumerate() {
            let fits = |dims: &[String], dim: &str| {
                let elsewhere = dims.iter().enumerate().any(|(other, name)| other != place && name == dim);
                !elsewhere && draft.arrays.size(dim).is_none_or(|known| known == size)
            };
            let Some(dim) = schema.dims.get(place).filter(|dim| !fits(&schema.dims, dim)) else { continue };
            let free = (2..).map(|number| format!("{dim}_{number}")).find(|name| fits(&schema.dims, name));
            if let Some((dim, free)) = schema.dims.get_mut(place).zip(free) {
                #[cfg(feature = "tracing")]
                tracing::warn!(
                    dataset,
                    array = schema.name,
                    dimension = dim.as_str(),
                    size,
                    renamed = free.as_str(),
                    "the dimension has another size in this dataset"
                );
                *dim = free;
            }
        }
        let replaces = committed && draft.ordinal < first_new || written;
        let schema = intern(&mut self.schemas, schema);
        self.draft(dataset)?.arrays.push(DraftArray {
            schema,
            shape: shape.to_vec(),
            committed: None,
            replaces: if replaces { draft::Replaces::Due } else { draft::Replaces::No },
            open: BTreeMap::new(),
            sealed: Sealed::default(),
        });
        Ok(())
    }

    /// Deletes an array. Returns its schema and its dataset's ordinal; its chunks need not be
    /// written any more.
    pub(crate) fn delete_array(&mut self, dataset: &str, array: &str) -> Result<(Arc<ArraySchema>, u32)> {
        let written = self.segments.iter().any(|segment| segment.variable == array);
        let draft = self.draft(dataset)?;
        let Some(deleted) = draft.arrays.remove(array) else {
            return Err(Error::NoArray { dataset: draft.name.clone(), array: array.to_owned() });
        };
        if written {
            draft.stale.insert(array.to_owned());
        }
        Ok((deleted.schema, draft.ordinal))
    }

    /// Extends a dimension, and with it every array over it.
    pub(crate) fn extend(&mut self, dataset: &str, dim: &str, size: usize) -> Result<()> {
        let draft = self.draft(dataset)?;
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
        self.draft(dataset)?.arrays.extend(dim, size, schemas);
        Ok(())
    }

    /// A dataset including pending changes.
    pub(crate) fn describe(&self, name: &str) -> Result<Changed> {
        let missing = || Error::NoDataset { dataset: name.to_owned() };
        let ordinal = self.ordinal(name)?.ok_or_else(missing)?;
        if let Some(draft) = self.drafts.get(&ordinal) {
            return Ok(draft.changed());
        }
        match ordinal.checked_sub(self.first_new()) {
            Some(number) => self.settled.changed(number).ok_or_else(missing),
            None => {
                let catalog = self.catalog()?;
                Ok(Changed::of(&catalog, catalog.dataset(ordinal).ok_or_else(missing)?))
            }
        }
    }

    /// An array of a dataset and its shape, including pending changes.
    pub(crate) fn array(&self, dataset: &str, array: &str) -> Result<(Arc<ArraySchema>, Vec<usize>)> {
        let missing = || Error::NoDataset { dataset: dataset.to_owned() };
        let none = || Error::NoArray { dataset: dataset.to_owned(), array: array.to_owned() };
        let ordinal = self.ordinal(dataset)?.ok_or_else(missing)?;
        if let Some(draft) = self.drafts.get(&ordinal) {
            let found = draft.arrays.get(array).ok_or_else(none)?;
            return Ok((Arc::clone(&found.schema), found.shape.clone()));
        }
        match ordinal.checked_sub(self.first_new()) {
            Some(number) => {
                let found = self.settled.changed(number).ok_or_else(missing)?;
                found.arrays.into_iter().find(|(schema, _)| schema.name == array).ok_or_else(none)
            }
            None => {
                let catalog = self.catalog()?;
                let dataset = catalog.dataset(ordinal).ok_or_else(missing)?;
                let found = catalog.array(dataset, array).ok_or_else(none)?;
                Ok((Arc::clone(found), catalog.shape(dataset, found)))
            }
        }
    }
}

/// The shared instance among equal schemas of drafts.
fn intern(schemas: &mut HashSet<Arc<ArraySchema>>, schema: ArraySchema) -> Arc<ArraySchema> {
    if let Some(known) = schemas.get(&schema) {
        return Arc::clone(known);
    }
    let schema = Arc::new(schema);
    schemas.insert(Arc::clone(&schema));
    schema
}

fn remove(attributes: &mut Attributes, key: &str) -> Option<()> {
    let position = attributes.iter().position(|(name, _)| name == key)?;
    attributes.remove(position);
    Some(())
}

fn shape_error(dataset: &str, array: &str, reason: String) -> Error {
    Error::Shape { dataset: dataset.to_owned(), array: array.to_owned(), reason }
}

fn check_value(key: &str, value: &AttributeValue) -> Result<()> {
    check_attribute(key)?;
    value.check().map_err(|reason| Error::Attribute { attribute: key.to_owned(), reason })
}
