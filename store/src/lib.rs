//! A store for thousands of N-dimensional datasets, kept *variable-first*: the `temperature` of all
//! datasets lies together, so that a query about one variable in all datasets reads few files.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> atlas::Result<()> {
//! # let directory = std::env::temp_dir().join(format!("atlas-doc-{}", std::process::id()));
//! # let _ = std::fs::remove_dir_all(&directory);
//! use atlas::{Atlas, StoreConfig};
//! use ndarray::array;
//!
//! let atlas = Atlas::create_path(&directory, StoreConfig::default()).await?;
//! let station = atlas.create_dataset("station-1").await?;
//! station.set_attribute("title", "Harbour")?;
//! station.define_array::<f32>("temperature", &["time", "depth"], &[2, 3], None, Some(-999.0))?;
//! let values = array![[7.5f32, 7.25, 7.0], [8.5, 8.25, -999.0]];
//! station.write_array("temperature", &[0, 0], values.view().into_dyn()).await?;
//! let warm = station.read_array::<f32>("temperature", [1, 0], [1, 2]).await?.unwrap();
//! assert_eq!(warm, array![[8.5, 8.25]].into_dyn());
//! assert_eq!(station.array_stats("temperature").await?.null_count, 1);
//! atlas.flush().await?;
//! # std::fs::remove_dir_all(&directory).ok();
//! # Ok(())
//! # }
//! ```
//!
//! # Terms
//!
//! A store contains **datasets**. A dataset is a set of named **arrays** over named **dimensions**,
//! with attributes, like a NetCDF file or an `xarray.Dataset`. All arrays of one name form a
//! **variable**. An array is divided into **chunks**. Chunks of one variable are encoded together
//! in **blocks**. Blocks and an index of their chunks make a **segment**, which is a file. A cell
//! is *missing* if it was never written or equals the array's **fill value**. Missing cells are
//! null in Arrow arrays, and the fill value in [`ndarray`] arrays.
//!
//! # How to use it
//!
//! - [`Atlas`] creates and opens stores, on any [`object_store`]. [`DatasetView`] defines, writes
//!   and reads the arrays of one dataset.
//! - The handle that made changes reads them at once. Others see them after [`Atlas::flush`], which
//!   commits all of them together. Two writers that commit at the same time both succeed, unless
//!   they have changed the same thing; then one of them gets [`Error::Conflict`].
//! - A [`Snapshot`] is one generation of a store. It stays readable and unchanged while other
//!   generations are committed.
//! - [`Catalog`] has the metadata of all datasets, and [`VariableIndex`] has [`Statistics`] of
//!   every chunk. Query engines plan with both, and then [`read`](Snapshot::read) regions of many
//!   datasets at once.
//! - Committed data can be [overwritten](DatasetView::write_array),
//!   [extended](DatasetView::extend), deleted and renamed, all in one commit. Earlier generations
//!   [stay readable](Atlas::open_at) until they are [vacuumed](Atlas::vacuum). [`Atlas::compact`]
//!   rewrites the small files of many commits, and [`Atlas::verify`] reads everything to find
//!   damage.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! | --- | --- | --- |
//! | `aws`, `azure`, `gcp`, `http` | yes | URLs of Amazon S3, Azure, Google Cloud Storage and HTTP servers |
//! | `zstd`, `lz4` | yes | blocks of that [`Codec`]; a program without the feature cannot read them |
//! | `ndarray` | yes | [`write_array`](DatasetView::write_array), [`read_array`](DatasetView::read_array) and [`read_array_across`](Atlas::read_array_across), in addition to the methods for Arrow |
//! | `tracing` | no | spans and events of the crate `tracing`: `open`, `flush`, `commit`, `compact`, `read`, and each request at level trace |
//! | `internals` | no | access for the benches and fuzzers of this crate; any version may change it |
//!
//! # What it does not do
//!
//! It is neither a file system nor a database: there are no transactions over several stores. It
//! does not query, interpolate or regrid; the crates `atlas-datafusion` and `atlas-udfs` add SQL.

mod dataset;
mod encoding;
mod error;
pub mod format;
mod history;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod model;
mod options;
mod pending_reads;
mod read;
mod storage;
mod store;
mod verify;
mod write;

pub use dataset::{ArrayMeta, DatasetMeta, DatasetView, Names};
pub use encoding::codec::Codec;
pub use error::{Error, Result};
pub use format::catalog::{Catalog, Dataset, Root, SegmentEntry};
pub use format::index::ChunkColumns;
pub use history::{Commit, Vacuumed};
pub use model::dtype::{DType, Element, Timestamp};
pub use model::grid::{ChunkGrid, Fit, Region, Regions, Run, Span};
pub use model::schema::{ArraySchema, Attributes, DatasetSchema, default_chunk, is_note};
pub use model::statistics::Statistics;
pub use model::value::{AttributeValue, Value};
pub use options::Options;
pub use read::cache::CacheBudget;
pub use read::joined::{ArrayCursor, ChunkFinder, Joined};
pub use read::snapshot::{ArrayRead, ChunkRef, Snapshot, VariableIndex};
pub use storage::durability::Durability;
pub use storage::files::Storage;
pub use storage::location::Location;
pub use storage::requests::ReadMetrics;
pub use store::{Atlas, StoreConfig};
pub use verify::Verified;
pub use write::compact::Compacted;
pub use write::merge::Merged;
