//! [Atlas stores](atlas) as DataFusion tables.
//!
//! ```
//! # use datafusion::prelude::SessionContext;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use atlas::{Atlas, StoreConfig};
//! use atlas_datafusion::register_store;
//! # use ndarray::array;
//! # let atlas = Atlas::create_url("memory:///doc", StoreConfig::default()).await?;
//! # for (name, warmth) in [("a", 1.0f32), ("b", 3.0)] {
//! #     let dataset = atlas.create_dataset(name).await?;
//! #     dataset.define_array::<f32>("temperature", &["time"], &[2], None, None)?;
//! #     dataset.write_array("temperature", &[0], array![warmth, warmth + 1.0].view().into_dyn()).await?;
//! # }
//! # atlas.flush().await?;
//!
//! let atlas = Atlas::open_url("memory:///doc").await?;
//! let ctx = SessionContext::new();
//! register_store(&ctx, "atlas", &atlas)?;
//! let means = ctx.sql("SELECT dataset, mean(temperature) AS mean FROM atlas GROUP BY dataset ORDER BY 1").await?;
//! assert_eq!(means.to_string().await?, "\
//! +---------+------+
//! | dataset | mean |
//! +---------+------+
//! | a       | 1.5  |
//! | b       | 3.5  |
//! +---------+------+");
//! # Ok(())
//! # }
//! ```
//!
//! # The tables of a store
//!
//! Registered as `atlas`, a store is
//!
//! - **`atlas`**, the wide table of its primary grid. It has a row for each cell of the grid in
//!   each dataset. Its columns are the dataset's name, the dimensions, the variables on the grid or
//!   on some of its dimensions, and the attributes of datasets. Variables with fewer dimensions are
//!   repeated along the others, as in `xarray.Dataset.to_dataframe()`;
//! - **`atlas.<variable>`**, a table for each variable, with its own cells;
//! - **`atlas._grid_<dims>`**, the wide table over these dimensions: of further grids, of fewer
//!   dimensions that some variable has, and of any others on request;
//! - **`atlas._datasets`**, **`atlas._variables`**, **`atlas._attributes`**, **`atlas._chunks`**:
//!   tables about the store, computed without reading values.
//!
//! A dimension's column is its coordinate, the one-dimensional variable of the same name. If a
//! dataset has no coordinate, the column is the index from 0. Missing cells are NULL, and so is NaN
//! unless [`TableOptions`] says otherwise. If datasets declare one name with different types,
//! numbers are promoted as NumPy promotes them. Values that cannot be compared with one another get
//! columns of their own: beside the timestamps of `time`, the numbers of other datasets are
//! `time.number`. If a name is taken, the column gets a prefix: `dim.lat` beside a variable
//! `lat(lat, lon)`, `attr.title` beside a variable `title`.
//!
//! # What a query reads
//!
//! A query reads only the columns that it names.
//!
//! - Predicates on `dataset`, on attributes and on one coordinate are evaluated once for each
//!   dataset or coordinate value. They select datasets and index ranges.
//! - Predicates on values prune chunks by their statistics. Then their columns are read, those with
//!   the fewest dimensions first; the other columns are read only for the remaining rows.
//! - `count`, `sum`, `avg`, `min`, `max`, `var` and `stddev` of a column, over all rows or grouped
//!   by `dataset` and attributes, are answered from statistics for chunks of which all rows match
//!   and belong to one group. Other chunks are decoded and accumulated. `covar`, `corr` and
//!   `regr_*` of all rows are accumulated too.
//! - Keys that depend on some dimensions only, such as coordinates, are evaluated once for each
//!   combination of these. Other aggregates get the group of each row, without the rows being made.
//! - `ORDER BY … LIMIT` begins with the chunks that may have the first rows.
//!
//! `EXPLAIN` shows what is decided from statistics, and the levels of filters and keys.
//! `EXPLAIN ANALYZE` counts: `chunks_total` is the sum of `chunks_pruned`, `chunks_from_stats`
//! (answered from statistics, or without values) and `chunks_decoded`; `bytes_read` and `requests`
//! are those of the storage. Each optimization can be switched off in a session, without changing
//! answers: see [`AtlasOptions`].
//!
//! # What it does not do
//!
//! SQL reads tables and does not write them; [`atlas`] and `atlas-import` write stores. A
//! registered table keeps showing the generation with which it was registered.

mod aggregate;
mod bits;
#[cfg(feature = "proto")]
pub mod codec;
mod error;
mod functions;
mod plan;
mod rules;
pub mod sample;
mod scan;
mod session;
mod tables;
#[cfg(test)]
mod testing;

pub use functions::SoundFunctions;
pub use plan::aggregate_rule::AggregateInScan;
pub use plan::aggregate_source::AggregateSource;
pub use plan::bitwise::BitwiseOperands;
pub use plan::dynamic::SoundDynamicFilters;
pub use plan::literals::FloatLiterals;
pub use plan::share::StoreScan;
pub use plan::source::AtlasSource;
pub use plan::table::AtlasTable;
pub use sample::{SAMPLE_AT, SampleAt};
pub use session::describe::{ColumnDescription, ColumnRole, describe};
pub use session::metadata::{Metadata, MetadataTable};
pub use session::progress::{Progress, ScanProgress, Scanned};
pub use session::register::{
    ATLAS_CHUNKS, ATLAS_DATASETS, FILE_TYPE, READ_ATLAS, register_atlas, register_store, register_store_with,
    session_state, with_atlas,
};
pub use session::summary::{summarize, summarize_rows};
pub use tables::grids::{Grid, grids};
pub use tables::names::grid_table_names;
pub use tables::options::{AtlasOptions, TableOptions};
pub use tables::words::type_in_words;
pub use tables::workers::Workers;
