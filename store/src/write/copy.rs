//! Datasets of another store, copied by their values.

use crate::error::Result;
use crate::store::Atlas;

/// Bytes of an array that are copied at one time, about.
const PART: usize = 32 * 1024 * 1024;

impl Atlas {
    /// Adds a dataset of another store to this one, where it is pending until
    /// [`flush`](Self::flush): its attributes, its arrays, and their cells. To add all of a store
    /// at once, [`merge`](Self::merge) copies segments as they are.
    ///
    /// # Errors
    /// [`Error::NoDataset`](crate::Error::NoDataset) where the other store has no such dataset,
    /// [`Error::DatasetExists`](crate::Error::DatasetExists), and those of both storages. The part
    /// that was copied then stays pending, until the dataset is deleted or all is
    /// [discarded](Self::discard).
    pub async fn copy_dataset(&self, from: &Self, name: &str) -> Result<()> {
        let source = from.open_dataset(name).await?;
        let meta = source.meta()?;
        let copy = self.create_dataset(name).await?;
        for (key, value) in meta.attributes {
            copy.set_attribute(&key, value)?;
        }
        for (schema, shape) in meta.arrays {
            let array = schema.name.clone();
            let row = shape.iter().skip(1).product::<usize>().saturating_mul(schema.dtype.memory_width());
            let chunk = schema.chunk_shape(&shape).first().copied().unwrap_or(1);
            let rows = (PART / row.max(1) / chunk.max(1)).max(1) * chunk.max(1);
            copy.define(crate::model::schema::ArraySchema::clone(&schema), &shape)?;
            if shape.is_empty() {
                let cells = source.read_arrow(&array, &[], &[]).await?;
                copy.write_arrow(&array, &[], &[], cells).await?;
                continue;
            }
            let size = shape.first().copied().unwrap_or(0);
            for first in (0..size).step_by(rows) {
                let (mut start, mut part) = (vec![0; shape.len()], shape.clone());
                if let Some((start, part)) = start.first_mut().zip(part.first_mut()) {
                    (*start, *part) = (first, rows.min(size - first));
                }
                let cells = source.read_arrow(&array, &start, &part).await?;
                copy.write_arrow(&array, &start, &part, cells).await?;
            }
        }
        Ok(())
    }
}
