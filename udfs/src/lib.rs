//! SQL functions for the earth sciences, for any DataFusion session.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> datafusion::error::Result<()> {
//! use datafusion::prelude::SessionContext;
//!
//! let ctx = SessionContext::new();
//! atlas_udfs::register_all(&ctx);
//! let rows = ctx.sql("SELECT round(haversine(50.06, 5.71, 58.64, 3.07)) AS metres").await?;
//! # assert_eq!(rows.count().await?, 1);
//! # Ok(())
//! # }
//! ```
//!
//! Numbers come as 64-bit floats or as what converts to them. Every function is NULL where an argument is NULL, and where
//! it has no value (a latitude of 95 degrees, a pressure below zero); NaN stays NaN. Aggregates pass over
//! NULL and over NaN, both of which mean "missing"; an infinity is a value.

pub mod aggregates;
pub mod atmosphere;
mod documentation;
pub mod geography;
pub mod numbers;
mod numeric;
pub mod ocean;
pub mod time;
pub mod units;

use std::sync::Arc;

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::prelude::SessionContext;

/// All functions of rows.
pub fn scalar_functions() -> Vec<ScalarUDF> {
    [geography::functions(), time::functions(), ocean::functions(), atmosphere::functions()]
        .into_iter()
        .chain([units::functions(), numbers::functions()])
        .flatten()
        .collect()
}

/// All aggregate functions.
pub fn aggregate_functions() -> Vec<AggregateUDF> {
    aggregates::functions()
}

/// Makes all functions known to a session.
pub fn register_all(ctx: &SessionContext) {
    scalar_functions().into_iter().for_each(|function| ctx.register_udf(function));
    aggregate_functions().into_iter().for_each(|function| ctx.register_udaf(function));
}

/// The documentation of every function here, by name: what `docs/functions.md` shows.
pub fn documentation() -> Vec<(String, Arc<datafusion::logical_expr::Documentation>)> {
    let scalar = scalar_functions();
    let scalar =
        scalar.iter().map(|function| (function.name().to_owned(), function.documentation().cloned()));
    let aggregates = aggregate_functions();
    let aggregates =
        aggregates.iter().map(|function| (function.name().to_owned(), function.documentation().cloned()));
    let all = scalar.chain(aggregates);
    all.filter_map(|(name, documentation)| Some((name, Arc::new(documentation?)))).collect()
}
