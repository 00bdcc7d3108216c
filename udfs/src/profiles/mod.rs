//! Profiles: values at levels, and functions that use the values between, above or below.

mod argo_best;
mod integrate;
mod interp;
mod levels;
mod mixed_layer_depth;
mod nsquared;

use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

/// The functions of rows.
pub fn scalar_functions() -> Vec<ScalarUDF> {
    vec![argo_best::udf()]
}

/// The aggregates, for which each group is a profile.
pub fn aggregate_functions() -> Vec<AggregateUDF> {
    vec![interp::udaf(), integrate::udaf(), mixed_layer_depth::udaf()]
}

/// The window functions, for which each partition is a profile.
pub fn window_functions() -> Vec<WindowUDF> {
    vec![nsquared::udwf()]
}
