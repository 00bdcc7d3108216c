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
//! - **`atlas`**, the wide table of its primary grid: a row for each cell of the grid in each
//!   dataset, a column for the dataset's name, for each dimension, for each variable on the grid or
//!   on some of its dimensions (which is repeated along the others, as
//!   `xarray.Dataset.to_dataframe()` does), and for each attribute of datasets;
//! - **`atlas.<variable>`**, for each variable a table of its own cells;
//! - **`atlas._grid_<dims>`**, the wide tables of further grids;
//! - **`atlas._datasets`**, **`atlas._variables`**, **`atlas._attributes`**, **`atlas._chunks`**:
//!   what is known without reading values.
//!
//! A dimension's column is its coordinate, the one-dimensional variable of the same name, where the
//! dataset has one, else the index from 0. Missing cells are NULL, and so is NaN unless
//! [`TableOptions`] says otherwise. Where datasets declare one name with different types, numbers
//! are promoted as NumPy promotes them, and values that cannot be compared with one another have
//! columns of their own: beside the timestamps of `time`, the numbers of other datasets are
//! `time.number`. A name that is taken gets a mark: `dim.lat` beside a variable `lat(lat, lon)`,
//! `attr.title` beside a variable `title`.
//!
//! # What a query reads
//!
//! Only the columns that it names. Predicates on `dataset`, on attributes and on one coordinate are
//! decided once for each dataset or coordinate value, and choose datasets and index ranges.
//! Predicates on values rule chunks out by their statistics; then the columns that they name are
//! read, those with the fewest dimensions first, and the other columns only where a row is left.
//!
//! `count`, `sum`, `avg`, `min`, `max`, `var` and `stddev` of a column, of all rows or grouped by
//! `dataset` and attributes, are answered from statistics for chunks of which all rows are wanted
//! and belong to one group; the others are decoded and added up. `covar`, `corr` and `regr_*` of
//! all rows are added up too. Keys that depend on some dimensions only, as coordinates do, are
//! evaluated once for each combination of these. Other aggregates get the group of each row without
//! making it. `ORDER BY … LIMIT` begins with the chunks that may have the first rows.
//!
//! `EXPLAIN` tells what is decided from statistics, and at which level filters and keys are
//! decided. `EXPLAIN ANALYZE` counts: `chunks_total` is the sum of `chunks_pruned`,
//! `chunks_from_stats` (answered, or without a value) and `chunks_decoded`; `bytes_read` and
//! `requests` are those of the storage. Each of these can be switched off in a session, with the
//! same answers: see [`AtlasOptions`].
//!
//! # Not here
//!
//! Tables are read, not written: [`atlas`] and `atlas-import` write stores. A registered table
//! keeps showing the generation it was registered with.

mod aggregate;
mod bits;
mod error;
mod plan;
pub mod sample;
mod scan;
mod session;
mod tables;
#[cfg(test)]
mod testing;

pub use plan::aggregate_rule::AggregateInScan;
pub use plan::aggregate_source::AggregateSource;
pub use plan::dynamic::SoundDynamicFilters;
pub use plan::literals::FloatLiterals;
pub use plan::source::AtlasSource;
pub use plan::table::AtlasTable;
pub use sample::{SAMPLE_AT, SampleAt};
pub use session::metadata::{Metadata, MetadataTable};
pub use session::progress::{Progress, ScanProgress};
pub use session::register::{
    ATLAS_CHUNKS, ATLAS_DATASETS, FILE_TYPE, READ_ATLAS, register_atlas, register_store, register_store_with,
    session_state, with_atlas,
};
pub use session::summary::{summarize, summarize_rows};
pub use tables::grids::{Grid, grids};
pub use tables::names::grid_table_names;
pub use tables::options::{AtlasOptions, TableOptions};
