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
//! - **`atlas`**, the wide table of its primary grid: a row for each cell of the grid in each dataset, a column for
//!   the dataset's name, for each dimension, for each variable on the grid or on some of its dimensions (which is repeated along the
//!   others, as `xarray.Dataset.to_dataframe()` does), and for each attribute of datasets;
//! - **`atlas.<variable>`**, for each variable a table of its own cells;
//! - **`atlas._grid_<dims>`**, the wide tables of further grids;
//! - **`atlas._datasets`**, **`atlas._variables`**, **`atlas._attributes`**, **`atlas._chunks`**: what is known without reading
//!   values.
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
//! Only the columns that it names. Predicates on `dataset`, on attributes and on one coordinate are decided
//! once for each dataset or coordinate value, and choose datasets and index ranges. Predicates on values rule
//! chunks out by their statistics; then the columns they name are read, and only for chunks with a
//! matching row the other columns.
//!
//! `count`, `sum`, `avg`, `min` and `max` of a column, of all rows or grouped by `dataset`, attributes and expressions of one
//! coordinate, are answered from statistics for chunks of which all rows are wanted and belong to one group; the others are decoded
//! and added up along the dimensions that the groups do not depend on. Other aggregates, grouped in these ways, get the
//! group of each row without making it. `ORDER BY … LIMIT` begins with the chunks that may have the first rows.
//!
//! `EXPLAIN` tells what is decided from statistics. `EXPLAIN ANALYZE` counts: `chunks_total` is the sum of `chunks_pruned`,
//! `chunks_from_stats` (answered, or without a value) and `chunks_decoded`; `bytes_read` and `requests` are those of the storage.
//! Each of these can be switched off in a session, with the same answers: see [`AtlasOptions`].
//!
//! # Not here
//!
//! Tables are read, not written: [`atlas`] and `atlas-import` write stores. A registered table keeps showing the generation
//! it was registered with.

mod aggregate;
mod columns;
mod dynamic;
mod error;
mod grids;
mod large;
mod layout;
mod literals;
mod metadata;
mod names;
mod options;
mod order;
mod predicate;
mod progress;
mod pruning;
mod register;
mod scan;
mod select;
mod source;
mod statistics;
mod summary;
mod table;
#[cfg(test)]
mod testing;
mod tiles;
mod widen;

pub use aggregate::{AggregateInScan, AggregateSource};
pub use dynamic::SoundDynamicFilters;
pub use grids::{Grid, grids};
pub use literals::FloatLiterals;
pub use metadata::{Metadata, MetadataTable};
pub use names::grid_table_names;
pub use options::{AtlasOptions, TableOptions};
pub use progress::{Progress, ScanProgress};
pub use register::{
    ATLAS_CHUNKS, ATLAS_DATASETS, FILE_TYPE, READ_ATLAS, register_atlas, register_store, register_store_with,
    session_state, with_atlas,
};
pub use source::AtlasSource;
pub use summary::{summarize, summarize_rows};
pub use table::AtlasTable;
