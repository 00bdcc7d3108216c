//! How a store is shown as tables, and how these are scanned.

use datafusion::common::config::{ConfigExtension, ConfigOptions};
use datafusion::common::extensions_options;

/// How a store is shown as tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableOptions {
    /// The dimensions of the wide table, slowest first; without them, those of the primary grid.
    pub dimensions: Option<Vec<String>>,
    /// Whether the wide table has the datasets' attributes as columns.
    pub attributes: bool,
    /// Whether NaN is read as NULL, so that means of data with NaN are numbers.
    pub nan_as_null: bool,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self { dimensions: None, attributes: true, nan_as_null: true }
    }
}

extensions_options! {
    /// What scans do besides reading, each to be switched off in a session: `SET atlas.aggregates =
    /// false`. Answers are the same.
    pub struct AtlasOptions {
        /// Whether scans aggregate themselves, from statistics where these say enough.
        pub aggregates: bool, default = true
        /// Whether statistics rule chunks out, and tell that all rows of a chunk are wanted.
        pub pruning: bool, default = true
        /// Whether predicates on values choose rows before the other columns are read; else
        /// DataFusion filters.
        pub late_materialization: bool, default = true
        /// Whether filters that sorts and joins find while a query runs keep chunks and rows from
        /// being read.
        pub dynamic_filters: bool, default = true
        /// Whether a scan for the first rows of an order begins with the chunks that may have them.
        pub best_first: bool, default = true
        /// Whether a number beside an `f32` is compared as an `f32`, so that `lat = 47.3` finds
        /// 47.3. Unlike the other options, it changes answers.
        pub f32_literals: bool, default = true
        /// Whether planning takes row counts, bounds and sums from indexes that are in memory.
        pub statistics: bool, default = true
    }
}

impl ConfigExtension for AtlasOptions {
    const PREFIX: &'static str = "atlas";
}

impl AtlasOptions {
    /// The options of a session; the defaults, where it was not told of Atlas.
    pub fn of(config: &ConfigOptions) -> Self {
        config.extensions.get::<Self>().cloned().unwrap_or_default()
    }
}
