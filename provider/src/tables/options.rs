//! Options of tables and scans.

use datafusion::common::config::{ConfigExtension, ConfigOptions};
use datafusion::common::extensions_options;

use crate::tables::workers::Workers;

/// How a store is shown as tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableOptions {
    /// The dimensions of the wide table, slowest first. The default is those of the primary grid.
    pub dimensions: Option<Vec<String>>,
    /// True if the wide table has the datasets' attributes as columns.
    pub attributes: bool,
    /// True if NaN is read as NULL, so that means of data with NaN are numbers.
    pub nan_as_null: bool,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self { dimensions: None, attributes: true, nan_as_null: true }
    }
}

extensions_options! {
    /// The optimizations of scans. Each can be switched off in a session, as in `SET
    /// atlas.aggregates = false`. Answers stay the same. Also the workers that run queries.
    pub struct AtlasOptions {
        /// Scans compute aggregates, from statistics if these suffice.
        pub aggregates: bool, default = true
        /// Statistics prune chunks, and prove that all rows of a chunk match.
        pub pruning: bool, default = true
        /// Predicates on values select rows before the other columns are read. Without it,
        /// DataFusion filters.
        pub late_materialization: bool, default = true
        /// Dynamic filters, which sorts and joins fill while a query runs, prune chunks and rows.
        pub dynamic_filters: bool, default = true
        /// A scan for the first rows of an order begins with the chunks that may have them.
        pub best_first: bool, default = true
        /// A number beside an `f32` is compared as an `f32`, so that `lat = 47.3` finds
        /// 47.3. Unlike the other options, it changes answers.
        pub f32_literals: bool, default = true
        /// Planning uses row counts, bounds and sums from indexes in memory.
        pub statistics: bool, default = true
        /// The URLs of the workers that run queries, separated by commas; empty for none.
        pub workers: Workers, default = Workers::default()
    }
}

impl ConfigExtension for AtlasOptions {
    const PREFIX: &'static str = "atlas";
}

impl AtlasOptions {
    /// The options of a session; the defaults, if Atlas is not registered in it.
    pub fn of(config: &ConfigOptions) -> Self {
        config.extensions.get::<Self>().cloned().unwrap_or_default()
    }
}
