//! Merging: adds the datasets of other stores, and copies their segments unchanged.

use std::collections::HashSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};

use crate::error::{Error, Result};
use crate::format::catalog::{Catalog, SegmentEntry};
use crate::format::rows::RowsBuilder;
use crate::model::schema::Attributes;
use crate::model::value::AttributeValue;
use crate::storage::files::Storage;
use crate::storage::names;
use crate::store::Atlas;
use crate::write::changes::{Added, Changes, NewSchema, NewSegment, StoreAttribute};
use crate::write::directories::Directories;

/// The number of segments that are copied at a time.
const CONCURRENCY: usize = 4;

/// The result of [`Atlas::merge`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Merged {
    /// The number of datasets that were added.
    pub datasets: usize,
    /// The number of segments that were copied.
    pub segments: usize,
    /// Their length in bytes.
    pub bytes: u64,
}

impl Atlas {
    /// Adds the datasets of other stores to this one, in one commit. Segments are copied unchanged,
    /// without decoding values. If both have an attribute of the store as a whole, the value of
    /// this store stays.
    ///
    /// # Errors
    /// [`Error::DatasetExists`] if two of the stores have a dataset of one name, and those of
    /// [`flush`](Self::flush). Nothing is changed then. [`Error::Pending`] if this handle or one of
    /// the others has pending changes.
    #[cfg_attr(feature = "tracing", tracing::instrument(skip_all, fields(store = %self.storage(), stores = others.len())))]
    pub async fn merge(&self, others: &[&Self]) -> Result<Merged> {
        let base = self.snapshot();
        let own = base.load().await?;
        for atlas in others.iter().copied().chain([self]) {
            if !atlas.pending().is_empty()? {
                return Err(Error::Pending { location: atlas.storage().to_string() });
            }
        }
        let mut changes = Changes::default();
        let mut seen: HashSet<String> = HashSet::new();
        let (mut rows, mut schemas) = (RowsBuilder::default(), Vec::new());
        let mut copies = Vec::new();
        let mut merged = Merged::default();
        let mut directories = Directories::of(&own);
        self.storage().check_exclusive_create().await?;
        for other in others {
            let snapshot = other.snapshot();
            let catalog = snapshot.load().await?;
            let first = changes.added.ordinals;
            merged.datasets += add_datasets(&own, &catalog, first, &mut seen, &mut rows, &mut schemas)?;
            add_attributes(&mut changes.attributes, &catalog.attributes);
            for (variable, entries) in catalog.variables() {
                for entry in entries {
                    let directory = directories.of_variable(variable);
                    let file = names::segment(entry.dtype);
                    let copy = SegmentEntry { file, directory, first: entry.first + first, ..entry.clone() };
                    copies.push((snapshot.storage().clone(), variable.to_owned(), entry.clone(), copy));
                }
            }
            let ordinals = first.checked_add(catalog.next);
            changes.added.ordinals = ordinals.ok_or_else(|| Error::Limit {
                location: self.storage().to_string(),
                reason: "together they have more datasets than a store can have".to_owned(),
            })?;
        }
        let limit = |reason| Error::Limit { location: self.storage().to_string(), reason };
        changes.added = Added { rows: Arc::new(rows.finish().map_err(limit)?), schemas, ..changes.added };
        for (_, variable, _, entry) in &copies {
            merged.segments += 1;
            merged.bytes += entry.size;
            changes.segments.push(NewSegment {
                variable: variable.clone(),
                entry: entry.clone(),
                of_new: true,
            });
        }
        if merged.datasets == 0 {
            return Ok(Merged::default());
        }
        let copying: Vec<_> = copies
            .iter()
            .map(|(from, variable, old, new)| copy(from, self.storage(), variable, old, new))
            .collect();
        let copied = stream::iter(copying).buffer_unordered(CONCURRENCY).try_collect::<()>().await;
        let committed = match copied {
            Ok(()) => self.commit(&base, &changes, "merge", &names::token()).await,
            Err(error) => Err(error),
        };
        match committed {
            Ok((snapshot, shown)) => {
                self.show_unless_pending(snapshot).await;
                shown.map(|()| merged)
            }
            Err(error) => {
                // After a failure of the storage, they may have been committed.
                if matches!(error, Error::Conflict { .. } | Error::Busy { .. } | Error::Limit { .. }) {
                    for file in changes.files() {
                        let _ = self.storage().delete(&file).await;
                    }
                }
                Err(error)
            }
        }
    }
}

/// Adds the datasets of a store, with ordinals from `first` on, and returns their number.
fn add_datasets(
    own: &Catalog,
    other: &Catalog,
    first: u32,
    seen: &mut HashSet<String>,
    rows: &mut RowsBuilder,
    schemas: &mut Vec<NewSchema>,
) -> Result<usize> {
    let mut numbers = vec![None; other.dataset_schemas().len()];
    let mut count = 0;
    for (ordinal, dataset) in other.datasets() {
        let name = dataset.name();
        if own.ordinal(name).is_some() || !seen.insert(name.to_owned()) {
            return Err(Error::DatasetExists { dataset: name.to_owned() });
        }
        let (from, row, schema) = dataset.row();
        let Some(number) = numbers.get_mut(schema as usize) else { continue };
        let number = *number.get_or_insert_with(|| {
            let schema = other.schema(dataset);
            schemas.push(NewSchema {
                dims: schema.dims.clone(),
                arrays: other.arrays(schema).cloned().collect(),
                attributes: schema.attributes.clone(),
            });
            schemas.len() - 1
        });
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let keys = other.schema(dataset).attributes.iter().map(String::as_str);
        rows.push_row(first + ordinal, from, row, number, keys);
        count += 1;
    }
    Ok(count)
}

/// Adds the attributes of a store that are not there yet.
fn add_attributes(to: &mut Vec<(String, StoreAttribute)>, other: &Attributes) {
    for (key, value) in other {
        let value = value.clone();
        let first = move |there: Option<&AttributeValue>| there.unwrap_or(&value).clone();
        to.push((key.clone(), StoreAttribute::Update(Arc::new(first))));
    }
}

/// Copies a segment, in parts.
async fn copy(
    from: &Storage,
    to: &Storage,
    variable: &str,
    old: &SegmentEntry,
    new: &SegmentEntry,
) -> Result<()> {
    to.copy_from(from, &old.path(variable), old.size, &new.path(variable)).await
}
