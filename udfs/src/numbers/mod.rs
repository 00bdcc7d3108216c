//! Numbers of any kind.

mod bin;

use datafusion::logical_expr::ScalarUDF;

/// The functions of this module.
pub fn functions() -> Vec<ScalarUDF> {
    vec![bin::udf()]
}
