//! The metrics of a scan, as `EXPLAIN ANALYZE` shows them.

use atlas::ReadMetrics;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};

use super::boxes::Boxes;
use super::chunks::ColumnChunks;
use crate::tables::columns::Table;

/// The metrics of a scan. A chunk counts once for each box of rows that has cells in it.
pub struct Counters {
    total: Count,
    pruned: Count,
    from_stats: Count,
    decoded: Count,
    bytes: Count,
    requests: Count,
}

impl Counters {
    pub fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        let counter = |name: &'static str| MetricBuilder::new(metrics).counter(name, partition);
        Self {
            total: counter("chunks_total"),
            pruned: counter("chunks_pruned"),
            from_stats: counter("chunks_from_stats"),
            decoded: counter("chunks_decoded"),
            bytes: counter("bytes_read"),
            requests: counter("requests"),
        }
    }

    /// Counters of a part of the work. They can be [added](Self::add) to others, which know the
    /// total themselves.
    pub fn apart() -> Self {
        Self {
            total: Count::new(),
            pruned: Count::new(),
            from_stats: Count::new(),
            decoded: Count::new(),
            bytes: Count::new(),
            requests: Count::new(),
        }
    }

    /// Adds a part of the work on boxes with cells in `chunks`. Chunks that were neither decoded
    /// nor answered were pruned. The counters therefore add up, even for a scan that is stopped.
    pub fn add(&self, part: &Self, chunks: usize, metrics: &ReadMetrics) {
        let done = part.from_stats.value() + part.decoded.value();
        self.total.add(chunks.max(done));
        self.pruned.add(chunks.saturating_sub(done));
        self.from_stats.add(part.from_stats.value());
        self.decoded.add(part.decoded.value());
        self.bytes.add(usize::try_from(metrics.bytes()).unwrap_or(usize::MAX));
        self.requests.add(usize::try_from(metrics.requests()).unwrap_or(usize::MAX));
    }

    /// Counts chunks in which boxes have cells and that were read. All but `decoded` of them were
    /// fully described by the index.
    pub fn count_read(&self, crossed: usize, decoded: usize) {
        let decoded = decoded.min(crossed);
        self.decoded.add(decoded);
        self.from_stats.add(crossed - decoded);
    }

    /// Counts the chunks of a column that need not be read for boxes.
    pub fn count_answered(&self, table: &Table, column: usize, boxes: &Boxes) {
        self.from_stats.add(ColumnChunks::new(table, column).crossed(boxes));
    }
}
