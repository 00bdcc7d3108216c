//! Written changes, and how they become the root of the next generation.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::format::catalog::{Catalog, Dataset, Interned, Root, SegmentEntry};
use crate::format::manifest::{self, ManifestEntry};
use crate::format::record::{Recorded, Written};
use crate::format::rows::{Rows, RowsBuilder};
use crate::model::schema::{ArraySchema, Attributes, DatasetSchema};
use crate::model::value::AttributeValue;
use crate::storage::names;

/// The greatest number of datasets in the root.
const MAX_INLINE: usize = 4096;

/// The greatest size of the datasets in the root: for a store without manifests, and for one with
/// manifests.
const MAX_INLINE_BYTES: [usize; 2] = [512 * 1024, 24 * 1024];

/// The number of new datasets from which they get a manifest of their own.
const OWN_MANIFEST: usize = 512;

/// A manifest is merged with earlier ones that have less than this many times its rows.
const FOLD: usize = 4;

/// Changes that are written, and that the next catalog is to name.
#[derive(Clone, Default)]
pub(crate) struct Changes {
    /// Attributes of the store that are new or changed.
    pub(crate) attributes: Vec<(String, StoreAttribute)>,
    pub(crate) added: Added,
    /// Existing datasets that are changed, by ordinal; `None` for deleted ones.
    pub(crate) changed: BTreeMap<u32, Option<Changed>>,
    /// For each variable, the chunks that were written to existing datasets.
    pub(crate) written: BTreeMap<String, Written>,
    /// New segments, which come after the existing ones.
    pub(crate) segments: Vec<NewSegment>,
}

/// The new value of an attribute of the store.
#[derive(Clone)]
pub(crate) enum StoreAttribute {
    Set(AttributeValue),
    /// A function of the value at the time of the commit.
    Update(Arc<Updater>),
}

/// Returns the new value of an attribute, given its current one.
type Updater = dyn Fn(Option<&AttributeValue>) -> AttributeValue + Send + Sync;

impl StoreAttribute {
    /// The new value, given the existing attributes.
    pub(crate) fn over(&self, attributes: &Attributes, key: &str) -> AttributeValue {
        match self {
            Self::Set(value) => value.clone(),
            Self::Update(update) => {
                update(attributes.iter().find(|(name, _)| name == key).map(|(_, value)| value))
            }
        }
    }
}

/// A segment that no catalog names yet.
#[derive(Clone)]
pub(crate) struct NewSegment {
    pub(crate) variable: String,
    pub(crate) entry: SegmentEntry,
    /// True if its datasets are new, so that its ordinals are relative to the first of them.
    pub(crate) of_new: bool,
}

/// New datasets, whose ordinals are relative to the first of them.
#[derive(Clone)]
pub(crate) struct Added {
    pub(crate) rows: Arc<Rows>,
    /// The number of ordinals that they take. It exceeds the number of rows if some datasets were
    /// deleted again.
    pub(crate) ordinals: u32,
    /// The schemas that the numbers in `rows` refer to.
    pub(crate) schemas: Vec<NewSchema>,
    /// The file name of their manifest, if they get one.
    pub(crate) file: String,
}

impl Default for Added {
    fn default() -> Self {
        let file = names::manifest();
        Self { rows: Arc::new(Rows::empty()), ordinals: 0, schemas: Vec::new(), file }
    }
}

/// The schema of new datasets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NewSchema {
    pub(crate) dims: Vec<String>,
    pub(crate) arrays: Vec<Arc<ArraySchema>>,
    pub(crate) attributes: Vec<String>,
}

/// A dataset after its changes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Changed {
    pub(crate) name: String,
    /// Its arrays with their shapes.
    pub(crate) arrays: Vec<(Arc<ArraySchema>, Vec<usize>)>,
    pub(crate) attributes: Attributes,
}

impl NewSchema {
    /// For each array, the positions of its dimensions.
    fn places(&self) -> Vec<Vec<usize>> {
        let places: HashMap<&str, usize> = self.dims.iter().map(String::as_str).zip(0..).collect();
        let of_array = |array: &Arc<ArraySchema>| {
            array.dims.iter().filter_map(|dim| places.get(dim.as_str()).copied()).collect()
        };
        self.arrays.iter().map(of_array).collect()
    }
}

/// The number of cells of an array with these sizes.
fn product(sizes: impl Iterator<Item = u64>) -> u64 {
    sizes.fold(1, u64::saturating_mul)
}

impl Changed {
    /// The number of cells of its arrays.
    fn cells(&self) -> u64 {
        let cells = self.arrays.iter().map(|(_, shape)| product(shape.iter().map(|&size| size as u64)));
        cells.fold(0, u64::saturating_add)
    }

    /// A dataset without changes.
    pub(crate) fn of(catalog: &Catalog, dataset: Dataset<'_>) -> Self {
        let arrays = catalog.arrays(catalog.schema(dataset));
        let attributes = catalog.attributes(dataset);
        Self {
            name: dataset.name().to_owned(),
            arrays: arrays.map(|array| (Arc::clone(array), catalog.shape(dataset, array))).collect(),
            attributes: attributes.map(|(key, value)| (key.to_owned(), value)).collect(),
        }
    }

    /// Its dimensions, in the order in which arrays name them, with their sizes.
    pub(crate) fn dims(&self) -> Vec<(&str, usize)> {
        let mut seen = HashSet::new();
        let dims = self.arrays.iter().flat_map(|(array, shape)| array.dims.iter().zip(shape));
        dims.filter(|(dim, _)| seen.insert(dim.as_str())).map(|(dim, &size)| (dim.as_str(), size)).collect()
    }

    /// Its schema, and the sizes of the schema's dimensions.
    pub(crate) fn schema(&self) -> (NewSchema, Vec<u64>) {
        let (dims, sizes) = self.dims().into_iter().map(|(dim, size)| (dim.to_owned(), size as u64)).unzip();
        let arrays = self.arrays.iter().map(|(array, _)| Arc::clone(array)).collect();
        let attributes = self.attributes.iter().map(|(key, _)| key.clone()).collect();
        (NewSchema { dims, arrays, attributes }, sizes)
    }

    pub(crate) fn attributes(&self) -> impl Iterator<Item = (&str, AttributeValue)> {
        self.attributes.iter().map(|(key, value)| (key.as_str(), value.clone()))
    }
}

/// The next generation: its root, the manifests to be written before it, and their rows.
pub(crate) struct Next {
    pub(crate) root: Root,
    pub(crate) manifests: Vec<(String, Bytes)>,
    pub(crate) rows: Vec<(String, Arc<Rows>)>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.attributes.is_empty()
            && self.added.ordinals == 0
            && self.changed.is_empty()
            && self.written.is_empty()
            && self.segments.is_empty()
    }

    /// True if the next root can be made without loading the existing datasets.
    pub(crate) fn is_apart(&self, newest: &Root) -> bool {
        let added = self.added.rows.len();
        let inline = newest.rows.len() + if added < OWN_MANIFEST { added } else { 0 };
        self.changed.is_empty() && (newest.manifests.is_empty() || inline < MAX_INLINE / 8)
    }

    /// The paths of the segments.
    pub(crate) fn files(&self) -> Vec<String> {
        self.segments.iter().map(|segment| segment.entry.path(&segment.variable)).collect()
    }

    /// The changes for the record of a commit after `newest`. `writer` distinguishes the commit
    /// from all others.
    pub(crate) fn recorded(&self, newest: &Root, renamed: Vec<u32>, writer: &str) -> Recorded {
        let there = |there: bool| {
            let changed = self.changed.iter().filter(move |(_, changed)| changed.is_some() == there);
            changed.map(|(&ordinal, _)| ordinal).collect()
        };
        Recorded {
            writer: writer.to_owned(),
            added: (newest.next, self.added.ordinals),
            changed: there(true),
            renamed,
            deleted: there(false),
            written: self.written.clone(),
            compacted: Vec::new(),
        }
    }

    /// The generation after `newest` with these changes. `catalog` has the datasets of `newest`; it
    /// is needed unless the changes are [independent](Self::is_apart) of these.
    pub(crate) fn onto(
        &self,
        newest: &Root,
        catalog: Option<&Catalog>,
        operation: &str,
    ) -> Result<Next, String> {
        let mut root = newest.following(operation);
        for (key, value) in &self.attributes {
            let value = value.over(&root.attributes, key);
            value.check().map_err(|reason| format!("attribute `{key}`: {reason}"))?;
            set(&mut root.attributes, key, value);
        }
        for NewSegment { variable, entry, of_new } in &self.segments {
            let first = entry.first + if *of_new { newest.next } else { 0 };
            let entries = root.variables.entry(variable.clone()).or_default();
            entries.push(SegmentEntry { first, ..entry.clone() });
        }
        let mut interned = root.interned();
        let of_added: Vec<u32> =
            self.added.schemas.iter().map(|schema| intern(&mut root, &mut interned, schema)).collect();
        let inline = self.inline(newest, &mut root, &mut interned, &of_added)?;
        let live = (0..self.added.rows.len()).filter(|&row| self.added.rows.name(row).is_some()).count();
        let deleted = self.changed.values().filter(|changed| changed.is_none()).count();
        let count = (newest.count as usize + live).checked_sub(deleted);
        root.count = count.and_then(|count| u32::try_from(count).ok()).ok_or("it has too many datasets")?;
        root.next = newest
            .next
            .checked_add(self.added.ordinals)
            .filter(|&next| next < u32::MAX)
            .ok_or("it would have more datasets than a store can have")?;
        root.cells = self.cells(newest, catalog)?;
        let mut next = Next { root, manifests: Vec::new(), rows: Vec::new() };
        let own = self.has_own_manifest(newest);
        next.root.rows = Arc::new(inline);
        if own {
            let schemas = of_added.iter().copied().map(Some).collect();
            let rows = &self.added.rows;
            let codec = newest.codec;
            let encoded = manifest::encode(self.added.file.clone(), rows, codec, newest.next, schemas)?;
            next.add(encoded, Arc::clone(rows));
        }
        if !self.changed.is_empty() {
            let catalog = catalog.ok_or("its datasets are not known")?;
            let used = used(catalog, &self.changed, &next.root, &of_added);
            next.root.prune(&used)?;
        }
        next.spill(catalog, own)?;
        Ok(next)
    }

    /// The number of cells of all arrays after the changes.
    fn cells(&self, newest: &Root, catalog: Option<&Catalog>) -> Result<u64, String> {
        let added = &self.added.rows;
        let places: Vec<_> = self.added.schemas.iter().map(NewSchema::places).collect();
        let mut cells = newest.cells;
        for row in (0..added.len()).filter(|&row| added.name(row).is_some()) {
            let sizes = added.sizes(row);
            let arrays = places.get(added.schema(row) as usize).into_iter().flatten();
            let of_row = arrays.map(|dims| product(dims.iter().filter_map(|&dim| sizes.get(dim).copied())));
            cells = of_row.fold(cells, u64::saturating_add);
        }
        for (&ordinal, changed) in &self.changed {
            let dataset = catalog.and_then(|catalog| Some((catalog, catalog.dataset(ordinal)?)));
            let (catalog, dataset) = dataset.ok_or("its datasets are not known")?;
            cells = cells.saturating_sub(Changed::of(catalog, dataset).cells());
            cells = cells.saturating_add(changed.as_ref().map_or(0, Changed::cells));
        }
        Ok(cells)
    }

    fn has_own_manifest(&self, newest: &Root) -> bool {
        let added = self.added.rows.len();
        added >= OWN_MANIFEST && (!newest.manifests.is_empty() || newest.rows.len() + added > MAX_INLINE)
    }

    /// The rows of the root: existing ones, changed ones, and new ones if these get no manifest of
    /// their own.
    fn inline(
        &self,
        newest: &Root,
        root: &mut Root,
        interned: &mut Interned,
        of_added: &[u32],
    ) -> Result<Rows, String> {
        let mut rows = RowsBuilder::default();
        let (old, mut changed) = (&newest.rows, self.changed.iter().peekable());
        let mut push_changed = |rows: &mut RowsBuilder, (&ordinal, changed): (&u32, &Option<Changed>)| {
            let Some(changed) = changed else { return rows.push_deleted(ordinal) };
            let (schema, sizes) = changed.schema();
            let schema = intern(root, interned, &schema);
            rows.push(ordinal, &changed.name, schema, sizes.into_iter(), changed.attributes());
        };
        for row in 0..old.len() {
            let ordinal = old.ordinal(row);
            while let Some(change) = changed.next_if(|(changed, _)| **changed < ordinal) {
                push_changed(&mut rows, change);
            }
            match changed.next_if(|(changed, _)| **changed == ordinal) {
                Some(change) => push_changed(&mut rows, change),
                None => rows.push_row(ordinal, old, row, old.schema(row), old.keys()),
            }
        }
        changed.for_each(|change| push_changed(&mut rows, change));
        if !self.has_own_manifest(newest) {
            let added = &self.added.rows;
            for row in 0..added.len() {
                let schema = of_added.get(added.schema(row) as usize).copied().unwrap_or_default();
                rows.push_row(newest.next + added.ordinal(row), added, row, schema, added.keys());
            }
        }
        rows.finish()
    }
}

impl Next {
    fn add(&mut self, (entry, bytes): (ManifestEntry, Bytes), rows: Arc<Rows>) {
        self.manifests.push((names::manifest_path(&entry.file), bytes));
        self.rows.push((entry.file.clone(), rows));
        self.root.manifests.push(entry);
    }

    /// Moves the rows of the root to a manifest if there are many, or if `own` new datasets have
    /// come after them.
    fn spill(&mut self, catalog: Option<&Catalog>, own: bool) -> Result<(), String> {
        let rows = Arc::clone(&self.root.rows);
        if rows.is_empty() {
            return Ok(());
        }
        let last = if own { self.root.manifests.pop() } else { None };
        let most = MAX_INLINE_BYTES.get(usize::from(!self.root.manifests.is_empty()));
        let many = rows.len() > MAX_INLINE || self.root.inline_bytes() > most.copied().unwrap_or_default();
        if own || many {
            self.fold(catalog, &rows, FOLD)?;
        }
        self.root.manifests.extend(last);
        Ok(())
    }

    /// Moves `rows`, the root's rows, to a manifest, merged with earlier manifests that have less
    /// than `times` as many rows.
    pub(crate) fn fold(
        &mut self,
        catalog: Option<&Catalog>,
        rows: &Rows,
        times: usize,
    ) -> Result<(), String> {
        let root = &mut self.root;
        let mut merged: BTreeMap<u32, (&Rows, usize, u32)> = BTreeMap::new();
        for row in 0..rows.len() {
            merged.insert(rows.ordinal(row), (rows, row, rows.schema(row)));
        }
        let parts = catalog.map_or(&[][..], Catalog::manifest_parts);
        // The catalog's manifests are the first of the root's, because roots only add manifests.
        if root.manifests.len() == parts.len() {
            for part in parts.iter().rev() {
                let Some(entry) = root.manifests.last() else { break };
                if entry.rows as usize >= merged.len().max(1).saturating_mul(times) {
                    break;
                }
                for (ordinal, row) in part.ordinals() {
                    // Rows whose schema is gone were replaced or deleted by later rows.
                    let schema = entry.schemas.get(part.rows().schema(row) as usize).copied().flatten();
                    merged.entry(ordinal).or_insert((part.rows(), row, schema.unwrap_or_default()));
                }
                root.manifests.pop();
            }
        }
        if root.manifests.is_empty() {
            merged.retain(|_, (rows, row, _)| rows.name(*row).is_some());
        }
        root.rows = Arc::new(Rows::empty());
        let Some((&first, _)) = merged.first_key_value() else { return Ok(()) };
        let (mut builder, mut used, mut numbers) = (RowsBuilder::default(), Vec::new(), BTreeMap::new());
        for (ordinal, (rows, row, schema)) in merged {
            let local = match rows.name(row) {
                Some(_) => *numbers.entry(schema).or_insert_with(|| {
                    used.push(Some(schema));
                    used.len() - 1
                }),
                None => 0,
            };
            let local = u32::try_from(local).map_err(|e| e.to_string())?;
            let keys = root.schemas.get(schema as usize).map_or(&[][..], |schema| &schema.attributes);
            builder.push_row(ordinal - first, rows, row, local, keys.iter().map(String::as_str));
        }
        let rows = Arc::new(builder.finish()?);
        let codec = self.root.codec;
        let encoded = manifest::encode(names::manifest(), &rows, codec, first, used)?;
        self.add(encoded, rows);
        Ok(())
    }
}

/// The number of a schema in `root`. Adds the schema if it is new.
fn intern(root: &mut Root, interned: &mut Interned, schema: &NewSchema) -> u32 {
    let arrays = schema.arrays.iter().map(|array| interned.array(root, array)).collect();
    let schema = DatasetSchema { arrays, dims: schema.dims.clone(), attributes: schema.attributes.clone() };
    interned.schema(root, schema)
}

/// The schemas of the datasets after the changes, by their numbers in `root`.
fn used(
    catalog: &Catalog,
    changed: &BTreeMap<u32, Option<Changed>>,
    root: &Root,
    of_added: &[u32],
) -> HashSet<u32> {
    let kept = catalog.datasets().filter(|(ordinal, _)| !changed.contains_key(ordinal));
    let mut used: HashSet<u32> = kept.map(|(_, dataset)| dataset.row().2).collect();
    let inline = (0..root.rows.len()).filter(|&row| root.rows.name(row).is_some());
    used.extend(inline.map(|row| root.rows.schema(row)));
    used.extend(of_added);
    used
}

/// Sets an attribute in a list of attributes.
pub(crate) fn set(attributes: &mut Attributes, key: &str, value: AttributeValue) {
    match attributes.iter_mut().find(|(name, _)| name == key) {
        Some((_, old)) => *old = value,
        None => attributes.push((key.to_owned(), value)),
    }
}
