//! New datasets that are complete, as columns. A draft takes ten times as much memory.

use std::collections::HashMap;
use std::sync::Arc;

use super::draft::Draft;
use super::{Pending, Sealed};
use crate::error::{Error, Result};
use crate::format::rows::{Rows, RowsBuilder};
use crate::model::grid::ChunkGrid;
use crate::model::schema::ArraySchema;
use crate::write::changes::{Added, Changed, NewSchema};

/// The greatest number of new datasets that stay drafts.
const DRAFTS: u32 = 4096;

/// New datasets that are settled. They are counted from the first new dataset.
#[derive(Default)]
pub(super) struct Settled {
    created: u32,
    /// Datasets before this one were settled if possible.
    tried: u32,
    /// In ascending order of their ordinals.
    parts: Vec<Rows>,
    schemas: Vec<NewSchema>,
    numbers: HashMap<NewSchema, u32>,
}

impl Settled {
    /// The number of datasets that were created, settled or not.
    pub(super) fn created(&self) -> u32 {
        self.created
    }

    pub(super) fn create(&mut self) {
        self.created += 1;
    }

    fn find(&self, number: u32) -> Option<(&Rows, usize)> {
        let part =
            self.parts.partition_point(|rows| rows.ordinals().last().is_some_and(|&last| last < number));
        let rows = self.parts.get(part)?;
        Some((rows, rows.find(number)?))
    }

    pub(super) fn name(&self, number: u32) -> Option<&str> {
        let (rows, row) = self.find(number)?;
        rows.name(row)
    }

    /// The arrays of settled datasets.
    pub(super) fn arrays(&self) -> impl Iterator<Item = &Arc<ArraySchema>> {
        self.schemas.iter().flat_map(|schema| &schema.arrays)
    }

    pub(super) fn changed(&self, number: u32) -> Option<Changed> {
        let (rows, row) = self.find(number)?;
        let schema = self.schemas.get(rows.schema(row) as usize)?;
        let sizes: HashMap<&str, usize> = schema
            .dims
            .iter()
            .zip(rows.sizes(row))
            .map(|(dim, &size)| (dim.as_str(), usize::try_from(size).unwrap_or(usize::MAX)))
            .collect();
        let shape = |array: &ArraySchema| {
            array.dims.iter().filter_map(|dim| sizes.get(dim.as_str()).copied()).collect()
        };
        let attributes = schema.attributes.iter();
        Some(Changed {
            name: rows.name(row)?.to_owned(),
            arrays: schema.arrays.iter().map(|array| (Arc::clone(array), shape(array))).collect(),
            attributes: attributes.filter_map(|key| Some((key.clone(), rows.attribute(row, key)?))).collect(),
        })
    }

    /// Turns a settled dataset into a draft again. The settled form does not record which of its
    /// chunks were written, so any of them may have been.
    pub(super) fn draft(&self, number: u32, ordinal: u32) -> Option<Draft> {
        let changed = self.changed(number)?;
        let sealed = |array: &ArraySchema, shape: &[usize]| {
            Sealed::all(ChunkGrid::new(shape, &array.chunk_shape(shape)).len() as u64)
        };
        Some(Draft::again(ordinal, changed, sealed))
    }

    /// The number of a schema.
    fn intern(&mut self, schema: NewSchema) -> u32 {
        let next = u32::try_from(self.schemas.len()).unwrap_or(u32::MAX);
        *self.numbers.entry(schema).or_insert_with_key(|schema| {
            self.schemas.push(schema.clone());
            next
        })
    }
}

fn push(settled: &mut Settled, rows: &mut RowsBuilder, number: u32, draft: &Draft) {
    let changed = draft.changed();
    let (schema, sizes) = changed.schema();
    let schema = settled.intern(schema);
    rows.push(number, &changed.name, schema, sizes.into_iter(), changed.attributes());
}

impl Pending {
    /// Settles the new datasets whose chunks are all being written, once there are many.
    pub(super) fn settle(&mut self) -> Result<()> {
        let first = self.first_new();
        if self.settled.created - self.settled.tried < DRAFTS {
            return Ok(());
        }
        let mut rows = RowsBuilder::default();
        for number in self.settled.tried..self.settled.created {
            let Some(draft) = self.drafts.get(&(first + number)) else { continue };
            if draft.is_open() {
                continue;
            }
            if draft.deleted {
                rows.push_deleted(number);
            } else {
                push(&mut self.settled, &mut rows, number, draft);
            }
            self.drafts.remove(&(first + number));
        }
        self.settled.tried = self.settled.created;
        if rows.len() > 0 {
            self.settled.parts.push(rows.finish().map_err(|reason| self.limit(reason))?);
        }
        Ok(())
    }

    pub(super) fn limit(&self, reason: String) -> Error {
        Error::Limit { location: self.base.storage().to_string(), reason }
    }

    /// All new datasets, for a commit.
    pub(super) fn added(&mut self) -> Result<Added> {
        let first = self.first_new();
        let mut rows = RowsBuilder::default();
        let mut settled = std::mem::take(&mut self.settled);
        for number in 0..settled.created {
            match self.drafts.get(&(first + number)) {
                Some(draft) if draft.deleted => {}
                Some(draft) => push(&mut settled, &mut rows, number, draft),
                None => {
                    if let Some((from, row)) =
                        settled.find(number).filter(|(rows, row)| rows.name(*row).is_some())
                    {
                        let schema = from.schema(row);
                        let keys = settled.schemas.get(schema as usize);
                        let keys = keys.into_iter().flat_map(|schema| &schema.attributes);
                        rows.push_row(number, from, row, schema, keys.map(String::as_str));
                    }
                }
            }
        }
        self.settled = settled;
        let rows = rows.finish().map_err(|reason| self.limit(reason))?;
        // The same rows again, without those of drafts, which come before these.
        self.settled.parts = vec![rows.clone()];
        let (rows, schemas) = (Arc::new(rows), self.settled.schemas.clone());
        Ok(Added { rows, ordinals: self.settled.created, schemas, ..Added::default() })
    }
}
