//! Queries over [Atlas stores](atlas) that run on several machines.
//!
//! Workers are processes that run parts of queries: `atlas worker`, or a [`Worker`] in a program.
//! [`with_workers`] adds workers to a session of DataFusion. The session sends queries that read
//! much to the workers, and runs all others itself. The engine is [`datafusion_distributed`], which
//! divides plans into stages and streams rows between them over Arrow Flight. This crate divides
//! scans into shares; [`AtlasCodec`](atlas_datafusion::codec::AtlasCodec) encodes them.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use atlas::Atlas;
//! use atlas_cluster::{Access, with_workers};
//! use atlas_datafusion::{Workers, register_store, with_atlas};
//! use datafusion::execution::session_state::SessionStateBuilder;
//! use datafusion::prelude::SessionContext;
//!
//! let urls = Workers::parse("http://10.0.0.1:8470,http://10.0.0.2:8470")?;
//! let access = Access::default().with_token("a shared secret")?;
//! let builder = with_atlas(SessionStateBuilder::new().with_default_features());
//! let ctx = SessionContext::new_with_state(with_workers(builder, urls, access).build());
//! let atlas = Atlas::open_url("s3://bucket/store").await?;
//! register_store(&ctx, "atlas", &atlas)?;
//! ctx.sql("SELECT lat, avg(temperature) FROM atlas GROUP BY lat").await?.show().await?;
//! # Ok(())
//! # }
//! ```

mod access;
mod allowed;
mod analyze;
mod channel;
mod connections;
mod encoding;
mod error;
mod exec;
mod leaves;
mod lost;
mod planner;
mod progress;
mod settings;
mod stages;
mod subqueries;
mod task;
mod windows;
mod worker;

use std::sync::Arc;

use atlas_datafusion::{AtlasOptions, Workers};
use datafusion::execution::session_state::SessionStateBuilder;
use url::Url;

pub use access::Access;
pub use allowed::Prefix;
pub use error::WorkerError;
pub use exec::ClusterExec;
pub use worker::Worker;

use crate::planner::ClusterPlanner;
use crate::subqueries::ScalarSubqueries;

/// Adds workers to a session that is being built. Call it after
/// [`with_atlas`](atlas_datafusion::with_atlas). If `urls` is empty, the session begins without
/// workers.
///
/// `SET atlas.workers = 'http://…,http://…'` changes the workers, `SET atlas.workers.timeout` the
/// seconds within which they must answer, and `SET atlas.workers.min_bytes` the number of bytes
/// from which on a query is sent to them.
pub fn with_workers(mut builder: SessionStateBuilder, urls: Vec<Url>, access: Access) -> SessionStateBuilder {
    let inner = builder.query_planner().take();
    ScalarSubqueries::replace_in(builder.optimizer().get_or_insert_default());
    let options = builder.config().get_or_insert_default().options_mut();
    let mut atlas = AtlasOptions::of(options);
    atlas.workers = Workers::with_engine(urls);
    options.extensions.insert(atlas);
    builder.with_query_planner(Arc::new(ClusterPlanner { inner, access, lost: Default::default() }))
}
