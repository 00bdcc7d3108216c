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
//! Arguments are 64-bit floats, or values that convert to them. A function of a row is NULL if an
//! argument is NULL, or if it has no value (for a latitude of 95 degrees, a pressure below zero).
//! NaN stays NaN. Aggregates skip NULL and NaN, both of which mean "missing"; an infinity is a
//! value.
//!
//! The crate does not know stores or grids. `sample_at`, which takes the values of a grid at
//! points, is in the crate `atlas-datafusion`.

pub mod aggregates;
pub mod atmosphere;
mod documentation;
pub mod geography;
pub mod numbers;
mod numeric;
pub mod ocean;
pub mod profiles;
pub mod synonyms;
mod texts;
pub mod time;
pub mod units;

use std::sync::Arc;

use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{AggregateUDF, Documentation, ScalarUDF, WindowUDF};
use datafusion::prelude::SessionContext;

/// All functions of rows.
pub fn scalar_functions() -> Vec<ScalarUDF> {
    [geography::functions(), time::functions(), ocean::functions(), atmosphere::functions()]
        .into_iter()
        .chain([units::functions(), numbers::functions(), profiles::scalar_functions()])
        .flatten()
        .collect()
}

/// All aggregate functions.
pub fn aggregate_functions() -> Vec<AggregateUDF> {
    [aggregates::functions(), profiles::aggregate_functions()].into_iter().flatten().collect()
}

/// All window functions. (Every aggregate can also be used as one.)
pub fn window_functions() -> Vec<WindowUDF> {
    profiles::window_functions()
}

/// Registers all functions in a session.
pub fn register_all(ctx: &SessionContext) {
    scalar_functions().into_iter().for_each(|function| ctx.register_udf(function));
    aggregate_functions().into_iter().for_each(|function| ctx.register_udaf(function));
    window_functions().into_iter().for_each(|function| ctx.register_udwf(function));
    register_planner(ctx);
    synonyms::register(ctx);
}

/// Adds multiplication and division of intervals. (A session state accepts any number of planners.)
fn register_planner(ctx: &SessionContext) {
    let planner = Arc::new(time::IntervalPlanner);
    let _: datafusion::error::Result<()> = ctx.state_ref().write().register_expr_planner(planner);
}

/// The documentation of every function, by name. `docs/functions.md` shows it.
pub fn documentation() -> Vec<(String, Arc<Documentation>)> {
    let known = |name: &str, documentation: Option<&Documentation>| {
        Some((name.to_owned(), Arc::new(documentation?.clone())))
    };
    let scalar = scalar_functions();
    let aggregates = aggregate_functions();
    let windows = window_functions();
    let scalar = scalar.iter().filter_map(|function| known(function.name(), function.documentation()));
    let aggregates =
        aggregates.iter().filter_map(|function| known(function.name(), function.documentation()));
    let windows = windows.iter().filter_map(|function| known(function.name(), function.documentation()));
    scalar.chain(aggregates).chain(windows).collect()
}
