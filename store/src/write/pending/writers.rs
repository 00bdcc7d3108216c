//! The segments that a writer has under way, one for each variable and type.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};

use crate::error::Result;
use crate::format::catalog::SegmentEntry;
use crate::model::dtype::DType;
use crate::model::schema::ArraySchema;
use crate::read::snapshot::Snapshot;
use crate::storage::names::file_name;
use crate::write::segment::SegmentWriter;

/// Segments that are finished at one time.
const CONCURRENCY: usize = 8;

/// The segments being written.
#[derive(Default)]
pub(super) struct Writers {
    writers: BTreeMap<(String, DType), SegmentWriter>,
    /// Segments that were completed, which later ones must not be named like.
    completed: usize,
}

impl Writers {
    /// The segment that chunks of an array go to.
    pub(super) fn of(&mut self, base: &Snapshot, token: u64, name: &str, dtype: DType) -> &mut SegmentWriter {
        let (catalog, completed) = (base.catalog(), self.completed);
        self.writers.entry((name.to_owned(), dtype)).or_insert_with(|| {
            let (generation, token) = (catalog.generation + 1, token.wrapping_add(completed as u64));
            SegmentWriter::new(
                base.storage(),
                name,
                file_name(generation, token, dtype),
                dtype,
                catalog.codec,
            )
        })
    }

    /// Leaves out what was written of an array.
    pub(super) fn forget(&mut self, schema: &ArraySchema, ordinal: u32) {
        if let Some(writer) = self.writers.get_mut(&(schema.name.clone(), schema.dtype)) {
            writer.forget(ordinal);
        }
    }

    /// Completes the segments, and adds those to `segments` that have chunks.
    pub(super) async fn finish(&mut self, segments: &mut Vec<(String, SegmentEntry)>) -> Result<()> {
        self.completed += 1;
        let writers = std::mem::take(&mut self.writers);
        let mut finished: Vec<_> = stream::iter(writers)
            .map(|((variable, dtype), mut writer)| async move {
                let finished = writer.finish().await;
                if finished.is_err() {
                    writer.abort().await;
                }
                (variable, dtype, finished)
            })
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        finished.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        let mut failure = Ok(());
        for (variable, _, entry) in finished {
            match entry {
                Ok(entry) => segments.extend(entry.map(|entry| (variable, entry))),
                Err(error) => failure = Err(error),
            }
        }
        failure
    }

    pub(super) async fn abort(&mut self) {
        for writer in self.writers.values_mut() {
            writer.abort().await;
        }
    }
}
