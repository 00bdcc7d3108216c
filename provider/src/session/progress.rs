//! The progress of a running query.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;

use crate::plan::aggregate_source::AggregateSource;
use crate::plan::source::AtlasSource;

/// The scans of stores in a plan. They report their progress while the plan runs.
pub struct ScanProgress {
    /// What counts chunks.
    scans: Vec<Arc<dyn ExecutionPlan>>,
    chunks: usize,
}

/// The progress of scans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The number of chunks that were decoded, pruned, or answered from statistics.
    pub chunks_done: usize,
    /// The greatest number of chunks to process. A scan that has enough rows skips the rest.
    pub chunks: usize,
    /// The number of bytes that were read from storage.
    pub bytes: usize,
}

impl ScanProgress {
    /// Counts the chunks of a plan's scans. This visits all their tiles: for a million datasets it
    /// takes tenths of a second.
    ///
    /// # Errors
    /// If a predicate cannot be evaluated.
    pub fn of(plan: &Arc<dyn ExecutionPlan>) -> Result<Self> {
        let mut progress = Self { scans: Vec::new(), chunks: 0 };
        progress.add(plan)?;
        Ok(progress)
    }

    fn add(&mut self, plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
        if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
            let chunks = if let Some((config, source)) = scan.downcast_to_file_source::<AtlasSource>() {
                source.chunks(config)?
            } else if let Some((config, source)) = scan.downcast_to_file_source::<AggregateSource>() {
                source.chunks(config)?
            } else {
                return Ok(());
            };
            self.chunks = self.chunks.saturating_add(chunks);
            self.scans.push(Arc::clone(plan));
        } else if plan.metrics().is_some_and(|metrics| metrics.sum_by_name("chunks_decoded").is_some()) {
            // It counts the work of other processes for the scans below it.
            self.scans.push(Arc::clone(plan));
        }
        plan.children().into_iter().try_for_each(|child| self.add(child))
    }

    /// The current progress of the scans.
    pub fn now(&self) -> Progress {
        let mut progress = Progress { chunks: self.chunks, ..Progress::default() };
        for metrics in self.scans.iter().filter_map(|scan| scan.metrics()) {
            let counted = |name| metrics.sum_by_name(name).map_or(0, |value| value.as_usize());
            progress.chunks_done +=
                ["chunks_pruned", "chunks_from_stats", "chunks_decoded"].map(counted).iter().sum::<usize>();
            progress.bytes += counted("bytes_read");
        }
        progress
    }
}

/// What the scans of stores in a plan have done, by chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Chunks with cells that the query is about: all of those below.
    pub chunks: usize,
    /// Chunks that were read and decoded.
    pub decoded: usize,
    /// Chunks that statistics answered, or of which no value was needed.
    pub from_statistics: usize,
    /// Chunks that were ruled out.
    pub pruned: usize,
    /// Bytes that were read from storage.
    pub bytes: usize,
}

impl Scanned {
    /// What was counted in a plan that has run; `None` where it scans no store.
    pub fn of(plan: &Arc<dyn ExecutionPlan>) -> Option<Self> {
        let mut scanned = None;
        Self::add(plan, &mut scanned);
        scanned
    }

    fn add(plan: &Arc<dyn ExecutionPlan>, scanned: &mut Option<Self>) {
        let is_scan = plan.downcast_ref::<DataSourceExec>().is_some_and(|scan| {
            scan.downcast_to_file_source::<AtlasSource>().is_some()
                || scan.downcast_to_file_source::<AggregateSource>().is_some()
        });
        // Other nodes with these counters count the work of other processes for the scans below.
        let metrics = plan.metrics();
        let counts = metrics.as_ref().is_some_and(|metrics| metrics.sum_by_name("chunks_total").is_some());
        if is_scan || counts {
            let of = scanned.get_or_insert_default();
            if let Some(metrics) = metrics {
                let counted = |name| metrics.sum_by_name(name).map_or(0, |value| value.as_usize());
                of.chunks += counted("chunks_total");
                of.decoded += counted("chunks_decoded");
                of.from_statistics += counted("chunks_from_stats");
                of.pruned += counted("chunks_pruned");
                of.bytes += counted("bytes_read");
            }
            return;
        }
        plan.children().into_iter().for_each(|child| Self::add(child, scanned));
    }
}
