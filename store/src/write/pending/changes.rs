//! Changes that are written, and become a catalog.

use std::sync::Arc;

use super::draft::Draft;
use super::set;
use crate::format::catalog::{Catalog, Dataset, DatasetSchema, SegmentEntry};
use crate::model::schema::{ArraySchema, Attributes};
use crate::storage::files::Storage;

/// Changes that are written, and wait to be named by a catalog.
#[derive(Default)]
pub(crate) struct Changes {
    /// Attributes of the store that are new or other than they were.
    pub attributes: Attributes,
    /// The datasets that are new, other than they were, or gone, by ordinal.
    pub datasets: Vec<(u32, Option<Changed>)>,
    /// Segments that come after those that are there.
    pub segments: Vec<(String, SegmentEntry)>,
}

/// A dataset as it is to be.
pub(crate) struct Changed {
    pub name: String,
    pub arrays: Vec<Arc<ArraySchema>>,
    pub dims: Vec<(String, usize)>,
    pub attributes: Attributes,
}

impl Changes {
    /// Removes the segments. What cannot be removed does no harm: no catalog names it.
    pub(crate) async fn discard(&self, storage: &Storage) {
        for (variable, entry) in &self.segments {
            let _ = storage.delete(&entry.path(variable)).await;
        }
    }

    /// The catalog after `base` in which they are made.
    pub(crate) fn onto(&self, base: &Catalog) -> Catalog {
        let mut catalog = base.next("write");
        for (key, value) in &self.attributes {
            set(&mut catalog.attributes, key, value.clone());
        }
        for (variable, entry) in &self.segments {
            catalog.variables.entry(variable.clone()).or_default().push(entry.clone());
        }
        let mut interned = catalog.interned();
        for (ordinal, changed) in &self.datasets {
            let dataset = changed.as_ref().map(|changed| {
                let schema = DatasetSchema {
                    arrays: changed.arrays.iter().map(|array| interned.array(&mut catalog, array)).collect(),
                    dims: changed.dims.iter().map(|(name, _)| name.clone()).collect(),
                    attributes: changed.attributes.iter().map(|(key, _)| key.clone()).collect(),
                };
                Dataset {
                    name: changed.name.clone(),
                    schema: interned.schema(&mut catalog, schema),
                    sizes: changed.dims.iter().map(|&(_, size)| size).collect(),
                    attributes: changed.attributes.iter().map(|(_, value)| value.clone()).collect(),
                }
            });
            match catalog.datasets.get_mut(*ordinal as usize) {
                Some(place) => *place = dataset,
                // New ones come in order.
                None => catalog.datasets.push(dataset),
            }
        }
        if self.datasets.iter().any(|(ordinal, _)| (*ordinal as usize) < base.datasets.len()) {
            catalog.prune();
        }
        catalog
    }
}

impl From<Draft> for Changed {
    fn from(draft: Draft) -> Self {
        let dims = draft.dims().into_iter().map(|(name, size)| (name.to_owned(), size)).collect();
        Self {
            dims,
            name: draft.name,
            arrays: draft.arrays.into_iter().map(|array| array.schema).collect(),
            attributes: draft.attributes,
        }
    }
}
