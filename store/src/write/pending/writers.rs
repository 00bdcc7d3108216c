//! The segments that a writer is writing: one for each variable and type, and separately for new
//! and for existing datasets.

use std::collections::BTreeMap;

use arrow::array::ArrayRef;
use futures::{StreamExt, stream};

use crate::error::Result;
use crate::model::dtype::DType;
use crate::model::schema::ArraySchema;
use crate::read::snapshot::Snapshot;
use crate::storage::names;
use crate::write::changes::NewSegment;
use crate::write::directories::Directories;
use crate::write::segment::{SegmentFile, SegmentWriter};

/// The number of segments that are completed at a time.
const CONCURRENCY: usize = 8;

/// What the chunks of one segment have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    pub(crate) variable: String,
    pub(crate) dtype: DType,
    /// True if their datasets are new. Such a segment can be moved to other ordinals, together with
    /// its datasets.
    pub(crate) of_new: bool,
}

/// The segments being written.
#[derive(Default)]
pub(crate) struct Writers {
    writers: BTreeMap<Target, SegmentWriter>,
    /// The directories of variables in a generation.
    directories: Option<(u64, Directories)>,
}

impl Writers {
    /// The segment that chunks go to.
    pub(crate) fn of(&mut self, base: &Snapshot, target: &Target) -> &mut SegmentWriter {
        let (root, directories) = (base.root(), &mut self.directories);
        self.writers.entry(target.clone()).or_insert_with(|| {
            let Target { variable, dtype, of_new } = target;
            let known = directories.take().filter(|(generation, _)| *generation == root.generation);
            let (_, known) =
                directories.insert(known.unwrap_or_else(|| (root.generation, Directories::of(root))));
            let file = SegmentFile { directory: known.of_variable(variable), name: names::segment(*dtype) };
            let first = if *of_new { root.next } else { 0 };
            SegmentWriter::new(base.storage(), variable, file, *dtype, root.codec, first)
        })
    }

    /// Drops what was written to an array.
    pub(crate) fn forget(&mut self, schema: &ArraySchema, ordinal: u32) {
        for of_new in [false, true] {
            let target = Target { variable: schema.name.clone(), dtype: schema.dtype, of_new };
            if let Some(writer) = self.writers.get_mut(&target) {
                writer.forget(ordinal);
            }
        }
    }

    /// The cells of a chunk that is still in memory.
    pub(crate) fn peek(&self, target: &Target, ordinal: u32, coordinate: &[u32]) -> Option<ArrayRef> {
        self.writers.get(target)?.peek(ordinal, coordinate)
    }

    /// Completes the segment of a target, if one is being written.
    pub(crate) async fn finish_one(&mut self, target: &Target) -> Result<Option<NewSegment>> {
        let Some(writer) = self.writers.remove(target) else { return Ok(None) };
        finish(target.clone(), writer).await.1
    }

    /// Completes the segments, and adds those with chunks to `segments`.
    pub(crate) async fn finish(&mut self, segments: &mut Vec<NewSegment>) -> Result<()> {
        let writers = std::mem::take(&mut self.writers);
        let mut finished: Vec<_> = stream::iter(writers)
            .map(|(target, writer)| finish(target, writer))
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        finished.sort_by(|a, b| a.0.cmp(&b.0));
        let mut failure = Ok(());
        for (_, segment) in finished {
            match segment {
                Ok(segment) => segments.extend(segment),
                Err(error) => failure = Err(error),
            }
        }
        failure
    }

    /// Aborts all segments.
    pub(crate) async fn abort(&mut self) {
        for mut writer in std::mem::take(&mut self.writers).into_values() {
            writer.abort().await;
        }
    }
}

async fn finish(target: Target, mut writer: SegmentWriter) -> (Target, Result<Option<NewSegment>>) {
    let finished = writer.finish().await;
    if finished.is_err() {
        writer.abort().await;
    }
    let of_new = target.of_new;
    let segment = finished
        .map(|entry| entry.map(|entry| NewSegment { variable: target.variable.clone(), entry, of_new }));
    (target, segment)
}
